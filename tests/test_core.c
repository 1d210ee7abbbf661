// test_core.c: errors, memory, text, files, SHA-256 and the thread pool.
#include "support.h"

#include <math.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "core/core.h"

// ---- errors, memory, text ----

static void* other_thread(void* out) {
    strcpy(out, uf_error());
    UF_FAIL(UF_ERR_IO, "of the other thread");
    return NULL;
}

static void test_errors(void** state) {
    (void)state;
    assert_int_equal(UF_FAIL(UF_ERR_FORMAT, "%s has %d rows", "x.hdf5", 3), UF_ERR_FORMAT);
    assert_string_equal(uf_error(), "x.hdf5 has 3 rows");
    assert_int_equal(uf_fail_prefix(UF_ERR_CONFIG, "run.json"), UF_ERR_CONFIG);
    assert_string_equal(uf_error(), "run.json: x.hdf5 has 3 rows");
    UF_FAIL(UF_ERR_IO, "again: %s", uf_error());
    assert_string_equal(uf_error(), "again: run.json: x.hdf5 has 3 rows");

    char seen[4096] = "?";
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, other_thread, seen), 0);
    pthread_join(thread, NULL);
    assert_string_equal(seen, "");
    assert_string_equal(uf_error(), "again: run.json: x.hdf5 has 3 rows");

    // Too long: cut between characters, and said so. One padding puts a two-byte character on the border.
    for (int padding = 0; padding < 2; padding++) {
        char text[9001] = "";
        for (int i = 0; i < 4500; i++) memcpy(text + 2 * i, "\xc3\xa4", 2);
        UF_FAIL(UF_ERR_IO, "%s%s", padding ? "x" : "", text);
        size_t length = strlen(uf_error());
        assert_true(length > 1000 && length < 9000);
        assert_string_equal(uf_error() + length - 3, "...");
        assert_int_equal((length - 3 - (size_t)padding) % 2, 0);
        uf_fail_prefix(UF_ERR_IO, "prefix");
        assert_memory_equal(uf_error(), "prefix: ", 8);
    }
    assert_string_equal(uf_version(), UF_VERSION);
}

static void test_alloc(void** state) {
    (void)state;
    float* numbers;
    assert_int_equal(UF_ALLOC(&numbers, 1001, "numbers"), UF_OK);
    assert_int_equal((uintptr_t)numbers % UF_ALIGN, 0);
    for (int i = 0; i < 1001; i++) assert_true(numbers[i] == 0);
    uf_free(numbers);
    assert_int_equal(UF_ALLOC(&numbers, 0, "nothing"), UF_OK);
    assert_non_null(numbers);
    uf_free(numbers);

    assert_int_equal(uf_alloc((void**)&numbers, SIZE_MAX / 2, 4, "the batch"), UF_ERR_MEMORY);
    assert_null(numbers);
    assert_error("the batch");
    assert_int_equal(uf_alloc((void**)&numbers, SIZE_MAX - 10, 1, "the batch"), UF_ERR_MEMORY);
    assert_int_equal(uf_alloc((void**)&numbers, PTRDIFF_MAX, 1, "the batch"), UF_ERR_MEMORY);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they end the program, no NULL
    assert_int_equal(uf_alloc((void**)&numbers, (size_t)1 << 60, 1, "the batch"), UF_ERR_MEMORY);
    assert_error("1152921504606846976 bytes for the batch");
#endif
    char* copy;
    assert_int_equal(uf_strdup(&copy, "text"), UF_OK);
    assert_string_equal(copy, "text");
    uf_free(copy);
    uf_free(NULL);
}

static void test_text(void** state) {
    (void)state;
    UfText text = {0};
    char* out;
    assert_int_equal(uf_text_finish(&text, &out), UF_OK);
    assert_string_equal(out, "");
    uf_free(out);
    for (int i = 0; i < 1000; i++) uf_text_add(&text, "%d,", i % 10);
    uf_text_add(&text, "%s", "");
    assert_int_equal(uf_text_finish(&text, &out), UF_OK);
    assert_int_equal(strlen(out), 2000);
    assert_memory_equal(out + 1980, "0,1,2,3,4,5,6,7,8,9,", 21);
    uf_free(out);
}

static void test_nearest(void** state) {
    (void)state;
    static const char* const names[] = {
        "lr", "actor_lr", "batch_size", "seed", "actor_bc_coef", "critic_bc_coef", NULL};
    static const char* const none[] = {NULL};
    assert_string_equal(uf_nearest_name("batchsize", names), "batch_size");
    assert_string_equal(uf_nearest_name("Lr", names), "lr");
    assert_string_equal(uf_nearest_name("rl", names), "lr");
    assert_string_equal(uf_nearest_name("sede", names), "seed");
    assert_string_equal(uf_nearest_name("critic_bc_coeff", names), "critic_bc_coef");
    assert_string_equal(uf_nearest_name("actr_bc_coef", names), "actor_bc_coef");
    assert_null(uf_nearest_name("xy", names));  // every letter wrong
    assert_null(uf_nearest_name("", names));
    assert_null(uf_nearest_name("momentum", names));
    assert_null(uf_nearest_name("seed", none));
    char longest[300];
    memset(longest, 'a', 299);
    longest[299] = 0;
    assert_null(uf_nearest_name(longest, names));
}

// ---- files ----

static int count_entries(const char* path) {
    char command[256];
    snprintf(command, sizeof command, "ls -A '%s' | wc -l", path);
    FILE* pipe = popen(command, "r");
    int count = -1;
    assert_int_equal(fscanf(pipe, "%d", &count), 1);
    pclose(pipe);
    return count;
}

static void test_files(void** state) {
    (void)state;
    char* data;
    size_t num_bytes;
    assert_int_equal(uf_make_folder(in_folder("a/b//c/")), UF_OK);
    assert_int_equal(uf_make_folder(in_folder("a/b/c")), UF_OK);
    struct stat facts;
    assert_int_equal(stat(in_folder("a/b/c"), &facts), 0);
    assert_true(S_ISDIR(facts.st_mode));

    const char* path = in_folder("a/b/file");
    assert_int_equal(uf_write_file(path, "first", 5), UF_OK);
    assert_int_equal(uf_write_file(path, "se\0cond", 7), UF_OK);
    assert_int_equal(uf_read_file(path, &data, &num_bytes), UF_OK);
    assert_int_equal(num_bytes, 7);
    assert_memory_equal(data, "se\0cond", 8);  // and the extra 0
    uf_free(data);
    assert_int_equal(count_entries(in_folder("a/b")), 2);  // no temporary file is left

    // An empty file, and one whose size the system does not know beforehand.
    assert_int_equal(uf_write_file(in_folder("empty"), NULL, 0), UF_OK);
    assert_int_equal(uf_read_file(in_folder("empty"), &data, &num_bytes), UF_OK);
    assert_int_equal(num_bytes, 0);
    assert_int_equal(data[0], 0);
    uf_free(data);
    assert_int_equal(uf_read_file("/proc/self/maps", &data, &num_bytes), UF_OK);
    assert_true(num_bytes > 0 && strlen(data) == num_bytes);
    uf_free(data);

    // Failures say what and why, hand out nothing and leave the old file alone.
    assert_int_equal(uf_read_file(in_folder("missing"), &data, &num_bytes), UF_ERR_IO);
    assert_null(data);
    assert_error("cannot open");
    assert_error("missing': No such file or directory");
    assert_int_equal(uf_read_file(folder, &data, &num_bytes), UF_ERR_IO);
    assert_error("Is a directory");
    assert_int_equal(uf_write_file(in_folder("nowhere/file"), "x", 1), UF_ERR_IO);
    assert_error("nowhere/file.tmp");
    assert_int_equal(uf_write_file(in_folder("a/b/c"), "x", 1), UF_ERR_IO);  // a folder cannot be replaced
    assert_int_equal(access(in_folder("a/b/c.tmp"), F_OK), -1);
    assert_int_equal(uf_commit_file(in_folder("missing.tmp"), path), UF_ERR_IO);
    assert_int_equal(uf_read_file(path, &data, &num_bytes), UF_OK);
    assert_int_equal(num_bytes, 7);
    uf_free(data);
    assert_int_equal(uf_make_folder(in_folder("a/b/file/d")), UF_ERR_IO);
    assert_error("is there and is not a folder");
    assert_int_equal(uf_make_folder(""), UF_ERR_ARGUMENT);
    if (access("/dev/full", W_OK) == 0) {  // a full disk
        assert_int_equal(symlink("/dev/full", in_folder("full.tmp")), 0);
        assert_int_equal(uf_write_file(in_folder("full"), "x", 1), UF_ERR_IO);
        assert_error("No space left");
        assert_int_equal(access(in_folder("full"), F_OK), -1);
    }

    // Names without a folder are in the working directory.
    char here[1024];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(uf_make_folder("x"), UF_OK);
    assert_int_equal(uf_make_folder("/"), UF_OK);
    assert_int_equal(uf_write_file("plain", "y", 1), UF_OK);
    assert_int_equal(chdir(here), 0);
    assert_int_equal(access(in_folder("plain"), R_OK), 0);
    assert_int_equal(stat(in_folder("x"), &facts), 0);
}

static void test_sha256(void** state) {
    (void)state;
    static const struct {
        const char *text, *hex;
    } cases[] = {
        // FIPS 180-4's examples
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
         "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    };
    char hex[65], by_file[65];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uf_sha256(cases[i].text, strlen(cases[i].text), hex);
        assert_string_equal(hex, cases[i].hex);
    }
    // A million "a" (FIPS 180-4), and a file longer than one chunk whose length is no multiple of a block.
    size_t num_bytes = 3 * 1024 * 1024 + 77;
    char* letters = malloc(num_bytes);
    memset(letters, 'a', num_bytes);
    uf_sha256(letters, 1000000, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    const char* path = in_folder("letters");
    assert_int_equal(uf_write_file(path, letters, num_bytes), UF_OK);
    uf_sha256(letters, num_bytes, hex);
    assert_int_equal(uf_sha256_file(path, by_file), UF_OK);
    assert_string_equal(by_file, hex);
    free(letters);
    assert_int_equal(uf_sha256_file(in_folder("missing"), by_file), UF_ERR_IO);
    assert_error("missing");
    assert_string_equal(by_file, "");
}

// ---- threads ----

typedef struct Region {
    UfPool* pool;
    int num_tasks, num_threads;
    _Atomic int runs[300];   // of each task
    _Atomic int inside[16];  // tasks that run as one thread at this moment: never two
    long plain[300];         // not atomic: the pool's own ordering must make it visible
    int nested;
} Region;

static void inner_task(void* context, int task, int thread) {
    long* sums = context;
    (void)thread;
    sums[task]++;
}

static void region_task(void* context, int task, int thread) {
    Region* r = context;
    assert_true(task >= 0 && task < r->num_tasks && thread >= 0 && thread < r->num_threads);
    assert_int_equal(atomic_fetch_add(&r->inside[thread], 1), 0);
    atomic_fetch_add(&r->runs[task], 1);
    r->plain[task] += task;
    if (r->nested) {
        long sums[20] = {0};
        uf_pool_run(r->pool, 20, inner_task, sums);
        for (int i = 0; i < 20; i++) assert_int_equal(sums[i], 1);
    }
    atomic_fetch_sub(&r->inside[thread], 1);
}

static void test_pool(void** state) {
    (void)state;
    for (int num_threads = 1; num_threads <= 8; num_threads += num_threads < 4 ? 1 : 4) {
        Region r = {.num_threads = num_threads};
        assert_int_equal(uf_pool_create(&r.pool, num_threads), UF_OK);
        assert_int_equal(uf_pool_num_threads(r.pool), num_threads);
        int expected[300] = {0};
        for (int round = 0; round < 400; round++) {
            static const int sizes[] = {1, 2, 3, 300, 0, 17, 8, 4};
            r.num_tasks = sizes[round % 8];
            r.nested = round % 16 == 3;
            if (round % 100 == 50) usleep(300);  // long enough for the workers to fall asleep
            uf_pool_run(r.pool, r.num_tasks, region_task, &r);
            for (int i = 0; i < r.num_tasks; i++) expected[i]++;
            for (int i = 0; i < 300; i++) {
                assert_int_equal(r.runs[i], expected[i]);
                assert_int_equal(r.plain[i], (long)expected[i] * i);
            }
        }
        uf_pool_free(r.pool);
    }
}

// 10000 short regions in which every next one reads what the one before wrote.
static void wave_task(void* context, int task, int thread) {
    (void)thread;
    int64_t* cells = context;
    int64_t side = cells[0];
    cells[1 + (side ^ 1) * 16 + task] = cells[1 + side * 16 + (task + 1) % 16] + task;
}

static void test_pool_reuse(void** state) {
    (void)state;
    int64_t cells[33] = {0}, alone[33] = {0};
    UfPool *pool, *one;
    assert_int_equal(uf_pool_create(&pool, 3), UF_OK);
    assert_int_equal(uf_pool_create(&one, 1), UF_OK);
    for (int i = 0; i < 10000; i++) {
        uf_pool_run(pool, 16, wave_task, cells);
        uf_pool_run(one, 16, wave_task, alone);
        cells[0] ^= 1;
        alone[0] ^= 1;
        if (i % 1000 == 0) usleep(200);
    }
    assert_memory_equal(cells, alone, sizeof cells);
    uf_pool_free(pool);
    uf_pool_free(one);
}

// A pool inside a task of another one, and two pools from two threads at once.
typedef struct Two {
    UfPool *outer, *inner;
    long sums[4][20];
} Two;
static void outer_task(void* context, int task, int thread) {
    (void)thread;
    Two* two = context;
    if (task == 0) uf_pool_run(two->inner, 20, inner_task, two->sums[0]);
}
static void* pool_thread(void* out) {
    UfPool* pool;
    if (uf_pool_create(&pool, 2) != UF_OK) return NULL;
    for (int i = 0; i < 500; i++) uf_pool_run(pool, 20, inner_task, out);
    uf_pool_free(pool);
    return NULL;
}

static void test_pools(void** state) {
    (void)state;
    Two two = {0};
    assert_int_equal(uf_pool_create(&two.outer, 2), UF_OK);
    assert_int_equal(uf_pool_create(&two.inner, 2), UF_OK);
    uf_pool_run(two.outer, 4, outer_task, &two);
    uf_pool_free(two.outer);
    uf_pool_free(two.inner);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, pool_thread, two.sums[1 + i]), 0);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(two.sums[0][i], 1);
        assert_int_equal(two.sums[1][i], 500);
        assert_int_equal(two.sums[2][i], 500);
    }
    UfPool* pool;
    assert_int_equal(uf_pool_create(&pool, 0), UF_OK);
    assert_true(uf_pool_num_threads(pool) >= 1);
    uf_pool_free(pool);
    assert_int_equal(uf_pool_create(&pool, -1), UF_ERR_ARGUMENT);
    assert_null(pool);
    assert_error("-1 threads");
    assert_int_equal(uf_pool_create(&pool, 1025), UF_ERR_ARGUMENT);
    uf_pool_free(NULL);
}

// Against numpy.quantile([1, 2, 4, 8], share).
static void test_quantile(void** state) {
    (void)state;
    double x[] = {4, 1, 8, 2};
    static const double sorted[] = {1, 2, 4, 8};
    static const struct {
        double share, expected;
    } rows[] = {{0, 1}, {0.1, 1.3}, {0.25, 1.75}, {0.5, 3}, {0.75, 5}, {0.9, 6.8}, {1, 8}};
    uf_sort(x, 4);
    assert_memory_equal(x, sorted, sizeof x);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_true(fabs(uf_quantile(x, 4, rows[i].share) - rows[i].expected) < 1e-12);
    assert_true(uf_quantile(x + 2, 1, 0.3) == 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantile), cmocka_unit_test(test_errors),  cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_text),     cmocka_unit_test(test_nearest), cmocka_unit_test(test_files),
        cmocka_unit_test(test_sha256),   cmocka_unit_test(test_pool),    cmocka_unit_test(test_pool_reuse),
        cmocka_unit_test(test_pools),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
