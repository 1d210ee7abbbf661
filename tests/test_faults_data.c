// test_faults_data.c: truncated, flipped, odd and crafted data files, and failing allocations.
//
// Whatever the file: no crash, and where it is refused one sentence on one line that names the file. Linked
// with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=posix_memalign,--wrap=aligned_alloc (of this
// program's own objects and the static library; HDF5, cJSON and cmocka keep theirs).
#include "support.h"

#include <math.h>
#include <sys/stat.h>

#include "core/data/dataset.h"
#include "core/data/h5.h"

#include "failing_alloc.h"

// A damaged header can make HDF5 itself ask for gigabytes: like malloc, the sanitizer shall refuse, not
// abort.
const char* __asan_default_options(void);
const char* __asan_default_options(void) { return "allocator_may_return_null=1"; }

// HDF5 1.10 does not free every header that it could not decode.
const char* __lsan_default_suppressions(void);
const char* __lsan_default_suppressions(void) { return "leak:libhdf5"; }

// The sentence is one line of some length that starts with what it is about.
static void check_sentence(const char* start) {
    const char* text = uf_error();
    size_t length = strlen(text);
    if (length < 10 || length > 600) fail_msg("no sentence: '%s'", text);
    for (const char* c = text; *c; c++)
        if ((unsigned char)*c < ' ') fail_msg("a control character in: '%s'", text);
    if (start && !strstr(text, start)) fail_msg("'%s' is not in: %s", start, text);
}

static uint64_t next_random(uint64_t* seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

// ---- files to spoil ----

enum { ROWS = 400 };

static float observations[ROWS * 3], actions[ROWS * 2], rewards[ROWS];
static uint8_t terminals[ROWS], timeouts[ROWS];

static void fill_arrays(void) {
    uint64_t seed = 1;
    for (int i = 0; i < ROWS * 3; i++) observations[i] = (float)next_random(&seed) * 1e-9f;
    for (int i = 0; i < ROWS * 2; i++) actions[i] = (float)(next_random(&seed) % 1000) * 1e-3f;
    for (int i = 0; i < ROWS; i++) timeouts[i] = i % 100 == 99;
}

// One dataset in HDF5's oldest format, as h5py writes it. `change` is a name that is left to the caller.
static void write_old(hid_t file, const char* name, hid_t type, const void* data, int rank, hsize_t rows,
                      hsize_t columns, const char* change) {
    if (change && !strcmp(change, name)) return;
    hsize_t dims[2] = {rows, columns}, chunk[2] = {rows < 64 ? rows : 64, columns};
    hid_t space = H5Screate_simple(rank, dims, NULL), layout = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(layout, rank, chunk);
    H5Pset_shuffle(layout);
    H5Pset_deflate(layout, 4);
    hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, layout, H5P_DEFAULT);
    assert_true(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Dclose(dataset);
    H5Pclose(layout);
    H5Sclose(space);
}

// A good file but for the dataset named by `change`, which is not there. The caller adds it and closes the
// file.
static hid_t create_without(const char* path, const char* change) {
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(file >= 0);
    write_old(file, "observations", H5T_NATIVE_FLOAT, observations, 2, ROWS, 3, change);
    write_old(file, "actions", H5T_NATIVE_FLOAT, actions, 2, ROWS, 2, change);
    write_old(file, "rewards", H5T_NATIVE_FLOAT, rewards, 1, ROWS, 1, change);
    write_old(file, "terminals", H5T_NATIVE_UINT8, terminals, 1, ROWS, 1, change);
    write_old(file, "timeouts", H5T_NATIVE_UINT8, timeouts, 1, ROWS, 1, change);
    return file;
}

static void write_old_file(const char* path) { H5Fclose(create_without(path, NULL)); }

static void write_new_file(const char* path) {
    UfDatasetWriter w = {.num_rows = ROWS,
                         .obs_dim = 3,
                         .action_dim = 2,
                         .observations = observations,
                         .actions = actions,
                         .rewards = rewards,
                         .next_observations = observations,
                         .terminals = terminals,
                         .timeouts = timeouts,
                         .env_id = "Hopper-v4",
                         .recipe = "none"};
    assert_ok(uf_dataset_write(path, &w));
}

static void write_bytes(const char* path, const void* data, size_t bytes) {
    FILE* file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

// Opens and describes a file; both end well or in a sentence that names it. True if it was taken.
static bool survives(const char* path) {
    UfDataset* d = NULL;
    char* text = NULL;
    UfStatus status = uf_dataset_open(&d, path, NULL);
    if (status != UF_OK) {
        check_sentence(folder);
        assert_null(d);
    } else {
        assert_true(d->num_rows > 0);
        uf_dataset_free(d);
    }
    if (uf_dataset_info(path, &text) != UF_OK) {
        check_sentence(folder);
        assert_null(text);
    }
    uf_free(text);
    return status == UF_OK;
}

// Three sources: HDF5's oldest and 1.10 format, and a real file of Minari.
static const char* source_path(int source) {
    static const char* const names[] = {"old.hdf5", "new.hdf5"};
    if (source == 2) return "tests/data/minari/main_data.hdf5";
    return in_folder(names[source]);
}

static void test_truncated(void** state) {
    (void)state;
    for (int source = 0; source < 3; source++) {
        char* data;
        size_t bytes;
        assert_ok(uf_read_file(source_path(source), &data, &bytes));
        for (size_t i = 0; i < 30; i++) {
            size_t cut = i < 8 ? i * 3 : bytes * i / 30;
            if (i >= 27) cut = bytes - (30 - i);
            write_bytes(in_folder("cut.hdf5"), data, cut);
            if (survives(in_folder("cut.hdf5")))
                fail_msg("source %d cut off at %zu of %zu was taken", source, cut, bytes);
        }
        uf_free(data);
    }
}

static void hash_records(const char* path, char hex[65]) {
    UfDataset* d;
    assert_ok(uf_dataset_open(&d, path, NULL));
    uf_sha256(d->records, (size_t)d->num_records * (size_t)d->stride * sizeof *d->records, hex);
    uf_dataset_free(d);
}

// Flips may go unseen where the old format has no checksum; in files of our own none changes a number.
static void test_flipped(void** state) {
    (void)state;
    uint64_t seed = 2;
    for (int source = 0; source < 3; source++) {
        char* data;
        size_t bytes;
        int num_taken = 0;
        assert_ok(uf_read_file(source_path(source), &data, &bytes));
        for (int i = 0; i < 150; i++) {
            // Half of them among the headers, where there is more to break.
            size_t place = next_random(&seed) % (i % 2 || bytes < 4096 ? bytes : 4096);
            char old = data[place];
            data[place] = (char)(old ^ (1 << next_random(&seed) % 8));
            write_bytes(in_folder("flip.hdf5"), data, bytes);
            bool taken = survives(in_folder("flip.hdf5"));
            num_taken += taken;
            if (source == 1 && taken) {
                char before[65], after[65];
                hash_records(source_path(source), before);
                hash_records(in_folder("flip.hdf5"), after);
                assert_string_equal(after, before);
            }
            data[place] = old;
        }
        uf_free(data);
        print_message("source %d: %d of 150 flips were not noticed\n", source, num_taken);
        assert_true(num_taken < 150);
    }
}

// The packed arrays of our own files are checksummed: a flip in them is always seen.
static void test_flipped_data(void** state) {
    (void)state;
    UfH5 h5;
    float back[ROWS];
    char* data;
    size_t bytes;
    int64_t dims[1] = {ROWS};
    assert_ok(uf_h5_create(&h5, in_folder("sum.h5")));
    assert_ok(uf_h5_write(&h5, "x", UF_H5_FLOAT, observations, 1, dims, 0, false));
    assert_ok(uf_h5_close(&h5));
    assert_ok(uf_read_file(in_folder("sum.h5"), &data, &bytes));
    char* found = memmem(data, bytes, observations, ROWS * sizeof(float));
    assert_non_null(found);
    found[777] ^= 16;
    write_bytes(in_folder("sum.h5"), data, bytes);
    uf_free(data);
    assert_ok(uf_h5_open(&h5, in_folder("sum.h5")));
    assert_int_equal(uf_h5_read(&h5, "x", UF_H5_FLOAT, back, ROWS), UF_ERR_FORMAT);
    check_sentence("'x' cannot be read");
    assert_ok(uf_h5_close(&h5));
}

// ---- no HDF5 file ----

static void test_no_file(void** state) {
    (void)state;
    UfDataset* d;
    static const char text[] = "observations,actions\n1,2\n";
    write_bytes(in_folder("text.hdf5"), text, sizeof text - 1);
    write_bytes(in_folder("empty.hdf5"), text, 0);
    const struct {
        const char *name, *error;
        UfStatus status;
    } cases[] = {{"none.hdf5", "No such file", UF_ERR_IO},
                 {"text.hdf5", "is not an HDF5 file", UF_ERR_FORMAT},
                 {"empty.hdf5", "the file is empty", UF_ERR_FORMAT},
                 {"", "is a folder without main_data.hdf5", UF_ERR_IO}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(uf_dataset_open(&d, in_folder(cases[i].name), NULL), cases[i].status);
        check_sentence(cases[i].error);
        check_sentence(folder);
    }
    assert_int_equal(uf_dataset_open(&d, NULL, NULL), UF_ERR_ARGUMENT);
    assert_int_equal(uf_dataset_open(NULL, "x", NULL), UF_ERR_ARGUMENT);
    char long_path[3000];
    memset(long_path, 'x', sizeof long_path);
    long_path[sizeof long_path - 1] = 0;
    assert_int_equal(uf_dataset_open(&d, long_path, NULL), UF_ERR_ARGUMENT);
    check_sentence("is longer than");
    UfH5 h5;
    assert_int_equal(uf_h5_create(&h5, in_folder("no/folder.h5")), UF_ERR_IO);
    check_sentence("No such file");
    assert_int_equal(uf_h5_open(&h5, folder), UF_ERR_IO);
    check_sentence("is a folder");
    if (geteuid() == 0) return;  // root may read everything
    assert_int_equal(chmod(in_folder("text.hdf5"), 0), 0);
    assert_int_equal(uf_dataset_open(&d, in_folder("text.hdf5"), NULL), UF_ERR_IO);
    check_sentence("Permission denied");
}

// ---- odd datasets ----

static void refused(hid_t file, const char* path, const char* error) {
    UfDataset* d;
    assert_true(H5Fclose(file) >= 0);
    assert_int_equal(uf_dataset_open(&d, path, NULL), UF_ERR_FORMAT);
    assert_null(d);
    check_sentence(error);
    check_sentence(folder);
}

static void test_odd_shapes(void** state) {
    (void)state;
    const char* path = in_folder("odd.hdf5");
    hid_t file = create_without(path, "rewards");
    refused(file, path,
            "there is no dataset 'rewards'; expected observations, actions, rewards and terminals");
    file = create_without(path, "observations");
    refused(file, path, "there is no dataset 'observations'");
    file = create_without(path, "observations");
    write_old(file, "observations", H5T_NATIVE_FLOAT, observations, 1, ROWS, 1, NULL);
    refused(file, path, "dataset 'observations' has 1 dimensions, expected (rows, size)");
    file = create_without(path, "rewards");
    write_old(file, "rewards", H5T_NATIVE_FLOAT, observations, 2, ROWS, 2, NULL);
    refused(file, path, "dataset 'rewards' has 2 dimensions, expected one number a row");
    file = create_without(path, "actions");
    write_old(file, "actions", H5T_NATIVE_FLOAT, actions, 2, ROWS - 1, 2, NULL);
    refused(file, path, "dataset 'actions' has 399 rows, 'observations' has 400; is the file complete?");
    file = create_without(path, "timeouts");
    write_old(file, "timeouts", H5T_NATIVE_UINT8, timeouts, 1, ROWS - 1, 1, NULL);
    refused(file, path, "dataset 'timeouts' has 399 rows");
    file = create_without(path, NULL);
    write_old(file, "next_observations", H5T_NATIVE_FLOAT, observations, 2, ROWS, 2, NULL);
    refused(file, path, "dataset 'next_observations' has 2 columns, 'observations' has 3");
    file = create_without(path, "observations");
    hid_t space = H5Screate_simple(2, (hsize_t[]){0, 3}, NULL);
    H5Dclose(
        H5Dcreate2(file, "observations", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(space);
    refused(file, path, "dataset 'observations' is empty: its shape is (0, 3)");
    file = create_without(path, "rewards");
    H5Gclose(H5Gcreate2(file, "rewards", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    refused(file, path, "'rewards' is a group, expected a dataset");
    file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    refused(file, path, "there is no dataset 'observations'");
    file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Gclose(H5Gcreate2(file, "two\nlines", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    refused(file, path, "control characters");
    file = create_without(path, "terminals");
    hid_t text = H5Tcopy(H5T_C_S1);
    H5Tset_size(text, 4);
    write_old(file, "terminals", text, observations, 1, ROWS, 1, NULL);
    H5Tclose(text);
    refused(file, path, "dataset 'terminals' holds text, expected numbers");
}

static void test_bad_numbers(void** state) {
    (void)state;
    const char* path = in_folder("bad.hdf5");
    observations[3 * 17 + 2] = NAN;
    write_old_file(path);
    refused(create_without(path, NULL), path,
            "dataset 'observations' has NaN at row 17, column 2 (1 such numbers in all)");
    fill_arrays();
    rewards[30] = rewards[31] = -INFINITY;
    refused(create_without(path, NULL), path,
            "dataset 'rewards' has an infinite number at row 30, column 0 (2 such");
    rewards[30] = rewards[31] = 0;
    actions[5] = 1.01f;
    actions[6] = -7;
    refused(create_without(path, NULL), path,
            "2 of 800 numbers in 'actions' are beyond [-1, 1], the worst is 7");
    fill_arrays();
    memset(timeouts, 1, sizeof timeouts);
    refused(create_without(path, NULL), path, "none of the 400 rows has a known next state");
    fill_arrays();
}

static size_t copy_filter(unsigned flags, size_t num_values, const unsigned* values, size_t bytes,
                          size_t* size, void** data) {
    (void)flags, (void)num_values, (void)values, (void)size, (void)data;
    return bytes;
}

static void test_odd_storage(void** state) {
    (void)state;
    const char* path = in_folder("odd.hdf5");
    hid_t space = H5Screate_simple(2, (hsize_t[]){ROWS, 3}, NULL), layout;

    hid_t file = create_without(path, "observations");
    H5Lcreate_external(in_folder("old.hdf5"), "observations", file, "observations", H5P_DEFAULT, H5P_DEFAULT);
    refused(file, path, "'observations' is a link to another file, which is not followed");
    file = create_without(path, "observations");
    H5Lcreate_soft("/observations", file, "observations", H5P_DEFAULT, H5P_DEFAULT);
    refused(file, path, "'observations' is a soft link, which is not followed");

    file = create_without(path, "observations");
    layout = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(layout, "/etc/hostname", 0, H5F_UNLIMITED);
    H5Dclose(H5Dcreate2(file, "observations", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, layout, H5P_DEFAULT));
    H5Pclose(layout);
    refused(file, path, "dataset 'observations' keeps its data in other files");

    file = create_without(path, "observations");
    layout = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_virtual(layout, space, in_folder("old.hdf5"), "observations", space);
    H5Dclose(H5Dcreate2(file, "observations", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, layout, H5P_DEFAULT));
    H5Pclose(layout);
    refused(file, path, "dataset 'observations' keeps its data in other files");

    H5Z_class2_t lzf = {H5Z_CLASS_T_VERS, 32000, 1, 1, "lzf", NULL, NULL, copy_filter};
    assert_true(H5Zregister(&lzf) >= 0);
    file = create_without(path, "observations");
    layout = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(layout, 2, (hsize_t[]){64, 3});
    H5Pset_filter(layout, 32000, H5Z_FLAG_OPTIONAL, 0, NULL);
    hid_t dataset =
        H5Dcreate2(file, "observations", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, layout, H5P_DEFAULT);
    assert_true(H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, observations) >= 0);
    H5Dclose(dataset);
    H5Pclose(layout);
    assert_true(H5Zunregister(32000) >= 0);
    refused(file, path,
            "dataset 'observations' is compressed with filter 'lzf' (32000), which this HDF5 does not have");
    H5Sclose(space);
}

// A kilobyte that claims 2^50 rows asks for no memory.
static void test_absurd_claims(void** state) {
    (void)state;
    static const char* const names[] = {"observations", "actions", "rewards", "terminals"};
    const char* path = in_folder("absurd.hdf5");
    const struct {
        hsize_t rows, chunk;
        const char* error;
    } cases[] = {{(hsize_t)1 << 50, 1024, "claims shape (1125899906842624, 3)"},
                 {(hsize_t)1 << 62, 1024, "absurd shape"},
                 {(hsize_t)1 << 33, 1024, "is the file damaged?"},
                 {1000, 250000000, "in chunks of more than 1 GiB"}};
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
        for (int i = 0; i < 4; i++) {
            hsize_t dims[2] = {cases[k].rows, 3}, most[2] = {H5S_UNLIMITED, 3},
                    chunk[2] = {cases[k].chunk, 3};
            int rank = i < 2 ? 2 : 1;
            hid_t space = H5Screate_simple(rank, dims, most), layout = H5Pcreate(H5P_DATASET_CREATE);
            assert_true(H5Pset_chunk(layout, rank, chunk) >= 0);
            hid_t dataset =
                H5Dcreate2(file, names[i], H5T_NATIVE_FLOAT, space, H5P_DEFAULT, layout, H5P_DEFAULT);
            assert_true(dataset >= 0);
            H5Dclose(dataset);
            H5Pclose(layout);
            H5Sclose(space);
        }
        refused(file, path, cases[k].error);
    }
}

// ---- .npz and CSV ----

static void test_spoilt_npz(void** state) {
    (void)state;
    static const char* const names[] = {"d4rl", "neorl", "ogbench", "zip64"};
    uint64_t seed = 3;
    for (int k = 0; k < 4; k++) {
        char path[64], *data;
        size_t bytes;
        snprintf(path, sizeof path, "tests/data/npz/%s.npz", names[k]);
        assert_ok(uf_read_file(path, &data, &bytes));
        for (size_t i = 0; i < 30; i++) {
            write_bytes(in_folder("cut.npz"), data, bytes * i / 30);
            assert_int_equal(uf_dataset_convert(in_folder("cut.npz"), in_folder("cut.hdf5")), UF_ERR_FORMAT);
            check_sentence(folder);
        }
        for (int i = 0; i < 300; i++) {
            size_t place = next_random(&seed) % bytes;
            char old = data[place];
            data[place] = (char)(old ^ (1 << next_random(&seed) % 8));
            write_bytes(in_folder("flip.npz"), data, bytes);
            if (uf_dataset_convert(in_folder("flip.npz"), in_folder("flip.hdf5")) != UF_OK)
                check_sentence(folder);
            data[place] = old;
        }
        uf_free(data);
    }
}

// In a member that is only stored, nothing but the archive's checksum sees a changed number.
static void test_npz_checksum(void** state) {
    (void)state;
    char* data;
    size_t bytes;
    assert_ok(uf_read_file("tests/data/npz/neorl.npz", &data, &bytes));
    data[64 + 128 + 10] ^= 1;  // behind the headers of the first member and its array
    write_bytes(in_folder("flip.npz"), data, bytes);
    uf_free(data);
    assert_int_equal(uf_dataset_convert(in_folder("flip.npz"), in_folder("flip.hdf5")), UF_ERR_FORMAT);
    check_sentence("'obs' is damaged: its checksum is wrong");
}

static void test_spoilt_csv(void** state) {
    (void)state;
    static const char good[] =
        "obs_0,obs_1,action_0,reward,done,timeout\n1,2,0.5,3,0,0\n4,5,-0.5,6,true,0\n7,8,1,9,0,1\n";
    char data[sizeof good - 1];
    uint64_t seed = 4;
    for (int i = 0; i < 500; i++) {
        memcpy(data, good, sizeof data);
        for (int j = 0; j < 2; j++) data[next_random(&seed) % sizeof data] = (char)next_random(&seed);
        write_bytes(in_folder("flip.csv"), data, i % 5 ? sizeof data : next_random(&seed) % sizeof data);
        if (uf_dataset_convert(in_folder("flip.csv"), in_folder("flip.hdf5")) != UF_OK)
            check_sentence(folder);
    }
}

// ---- failing allocations ----

typedef UfStatus Action(void);

static UfStatus open_path(const char* path) {
    UfDataset* d;
    UfStatus status = uf_dataset_open(&d, path, NULL);
    assert_true((status == UF_OK) == (d != NULL));
    uf_dataset_free(d);
    return status;
}

static UfStatus open_old(void) { return open_path(in_folder("old.hdf5")); }
static UfStatus open_new(void) { return open_path(in_folder("new.hdf5")); }
static UfStatus open_minari(void) { return open_path("tests/data/minari"); }

static UfStatus from_arrays(void) {
    UfDataset* d;
    UfArrays a = {.num_rows = ROWS,
                  .obs_dim = 3,
                  .action_dim = 2,
                  .observations = observations,
                  .actions = actions,
                  .rewards = rewards,
                  .terminals = terminals,
                  .timeouts = timeouts,
                  .next_observations = observations};
    UfStatus status = uf_dataset_from_arrays(&d, &a);
    assert_true((status == UF_OK) == (d != NULL));
    uf_dataset_free(d);
    return status;
}

static UfStatus describe(void) {
    char* text;
    UfStatus status = uf_dataset_info("tests/data/minari", &text);
    assert_true((status == UF_OK) == (text != NULL));
    uf_free(text);
    return status;
}

static UfStatus convert_csv(void) {
    return uf_dataset_convert(in_folder("good.csv"), in_folder("good.hdf5"));
}
static UfStatus convert_npz(void) {
    return uf_dataset_convert("tests/data/npz/ogbench.npz", in_folder("good.hdf5"));
}

static UfStatus strided(void) {
    UfH5 h5;
    assert_ok(uf_h5_create(&h5, in_folder("strided.h5")));
    UfStatus status = uf_h5_write_strided(&h5, "x", observations, ROWS, 2, 3, 1);
    H5Fclose(h5.file);
    return status;
}

// The n-th allocation fails, for n = 1, 2, ... until none is left to fail: UF_ERR_MEMORY each time, nothing
// lost (ASan says).
static void test_failing_allocations(void** state) {
    (void)state;
    const struct {
        const char* name;
        Action* run;
        int at_least;
    } cases[] = {{"open, old format", open_old, 8},
                 {"open, new format", open_new, 8},
                 {"open Minari", open_minari, 30},
                 {"from arrays", from_arrays, 7},
                 {"info", describe, 30},
                 {"convert CSV", convert_csv, 6},
                 {"convert npz", convert_npz, 10},
                 {"write strided", strided, 1}};
    static const char csv[] = "obs_0,action_0,reward,done,timeout,next_obs_0\n1,0,0,0,0,1\n2,0,0,1,0,2\n";
    write_bytes(in_folder("good.csv"), csv, sizeof csv - 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int n = 0;
        UfStatus status;
        do {
            allocations_left = n++;
            status = cases[i].run();
            bool all_done = allocations_left >= 0;
            allocations_left = -1;
            if (all_done) break;
            if (status != UF_ERR_MEMORY)
                fail_msg("%s, allocation %d: status %d: %s", cases[i].name, n, status, uf_error());
            check_sentence("memory");
        } while (n < 10000);
        if (status != UF_OK) fail_msg("%s: %s", cases[i].name, uf_error());
        if (n - 1 < cases[i].at_least) fail_msg("%s: only %d allocations failed", cases[i].name, n - 1);
    }
}

static int prepare(void** state) {
    if (make_folder(state)) return -1;
    uf_h5_quiet();
    fill_arrays();
    write_old_file(in_folder("old.hdf5"));
    write_new_file(in_folder("new.hdf5"));
    char* metadata;
    size_t bytes;
    if (uf_read_file("tests/data/minari/metadata.json", &metadata, &bytes) != UF_OK) return -1;
    write_bytes(in_folder("metadata.json"), metadata, bytes);  // beside the spoilt copies
    uf_free(metadata);
    return survives(in_folder("old.hdf5")) && survives(in_folder("new.hdf5")) ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truncated),    cmocka_unit_test(test_flipped),
        cmocka_unit_test(test_flipped_data), cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_odd_shapes),   cmocka_unit_test(test_bad_numbers),
        cmocka_unit_test(test_odd_storage),  cmocka_unit_test(test_absurd_claims),
        cmocka_unit_test(test_spoilt_npz),   cmocka_unit_test(test_npz_checksum),
        cmocka_unit_test(test_spoilt_csv),   cmocka_unit_test(test_failing_allocations)};
    return cmocka_run_group_tests(tests, prepare, remove_folder);
}
