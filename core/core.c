// core.c: errors, memory, text, files, SHA-256, the clock and the thread pool.
//
// Sources: FIPS 180-4 (SHA-256); Boytsov 2011, "Indexing methods for approximate dictionary searching" (edit
// distance with swaps); sqlite's os_unix.c (fsync of the folder after a rename).
#include "core/core.h"

#include <ctype.h>  // isalnum
#include <errno.h>
#include <fcntl.h>  // open
#include <math.h>   // isfinite
#include <pthread.h>
#include <sched.h>   // sched_getaffinity
#include <signal.h>  // pthread_sigmask
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>  // vsnprintf, rename
#include <stdlib.h>
#include <string.h>
#include <strings.h>   // strncasecmp
#include <sys/stat.h>  // mkdir, fstat
#include <time.h>
#include <unistd.h>  // access, read, write, fsync

const char* uf_version(void) { return UF_VERSION; }

// ---- errors ----

#define ERROR_BYTES 2048
static _Thread_local char error_text[ERROR_BYTES];

const char* uf_error(void) { return error_text; }

// Formats aside and copies: the arguments may point into error_text. A sentence too long ends in "...".
UfStatus uf_fail_(UfStatus code, const char* format, ...) {
    char text[ERROR_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0) strcpy(text, "failed, and the message could not be written");
    if (length >= (int)sizeof text) {
        size_t end = sizeof text - 4;
        while (end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80) end--;  // not inside a UTF-8 character
        strcpy(text + end, "...");
    }
    strcpy(error_text, text);
    return code;
}

UfStatus uf_fail_prefix(UfStatus code, const char* prefix) {
    return uf_fail_(code, "%s: %s", prefix, error_text);
}

void uf_keep_outcome(UfOutcome* out, UfStatus status) {
    out->status = status;
    if (status != UF_OK)
        snprintf(out->sentence, sizeof out->sentence, "%.*s", (int)sizeof out->sentence - 1, error_text);
}

UfStatus uf_tell_outcomes(const UfOutcome* outcomes, int count) {
    for (int i = 0; i < count; i++)
        if (outcomes[i].status != UF_OK) return UF_FAIL(outcomes[i].status, "%s", outcomes[i].sentence);
    return UF_OK;
}

UfStatus uf_fail_io(const char* verb, const char* path) {
    char buffer[256];
    const char* reason = strerror_r(errno, buffer, sizeof buffer);
    return UF_FAIL(UF_ERR_IO, "cannot %s '%s': %s", verb, path, reason);
}

// ---- memory ----

UfStatus uf_alloc(void** out, size_t count, size_t item_bytes, const char* what) {
    void* memory = NULL;
    memcpy(out, &memory, sizeof memory);  // *out may be any pointer type: copy, not assign
    size_t bytes = 0, padded = 0;
    if (__builtin_mul_overflow(count, item_bytes, &bytes) ||
        __builtin_add_overflow(bytes, UF_ALIGN, &padded) || padded > PTRDIFF_MAX)
        return UF_FAIL(UF_ERR_MEMORY, "%s: %zu items of %zu bytes cannot be addressed", what, count,
                       item_bytes);
    padded -= padded % UF_ALIGN;  // aligned_alloc wants a multiple; never 0
    memory = aligned_alloc(UF_ALIGN, padded);
    if (!memory) return UF_FAIL(UF_ERR_MEMORY, "out of memory: %zu bytes for %s", bytes, what);
    memset(memory, 0, padded);
    memcpy(out, &memory, sizeof memory);
    return UF_OK;
}

UfStatus uf_strdup(char** out, const char* text) {
    *out = strdup(text);
    return *out ? UF_OK : UF_FAIL(UF_ERR_MEMORY, "out of memory: %zu bytes for a string", strlen(text) + 1);
}

void uf_free(void* memory) { free(memory); }

// ---- text ----

// Room for `more` characters and the final 0.
static bool text_reserve(UfText* text, size_t more) {
    size_t wanted = text->length + more + 1;
    if (wanted <= text->capacity) return true;
    size_t capacity = wanted > 2 * text->capacity ? wanted : 2 * text->capacity;
    if (capacity < 256) capacity = 256;
    char* data = realloc(text->data, capacity);
    if (!data) {
        text->status = UF_FAIL(UF_ERR_MEMORY, "out of memory: %zu bytes for text", capacity);
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void uf_text_add(UfText* text, const char* format, ...) {
    if (text->status != UF_OK) return;
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0)
        text->status = UF_FAIL(UF_ERR_ARGUMENT, "text cannot be formatted with '%s'", format);
    else if (text_reserve(text, (size_t)length))
        text->length += (size_t)vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
    va_end(again);
}

void uf_text_add_bytes(UfText* text, const void* data, size_t num_bytes) {
    if (text->status != UF_OK || !num_bytes || !text_reserve(text, num_bytes)) return;
    memcpy(text->data + text->length, data, num_bytes);
    text->length += num_bytes;
}

void uf_text_add_csv(UfText* text, const char* word) {
    uf_text_add(text, "\"");
    for (const char* c = word; *c; c++) uf_text_add(text, *c == '"' ? "\"\"" : "%c", *c);
    uf_text_add(text, "\"");
}

void uf_text_add_csv_number(UfText* text, double value) {
    uf_text_add(text, isfinite(value) ? "%.9g," : ",", value);
}

UfStatus uf_text_finish(UfText* text, char** out) {
    *out = NULL;
    if (text->status == UF_OK && text_reserve(text, 0)) text->data[text->length] = 0;
    UfStatus status = text->status;
    if (status == UF_OK)
        *out = text->data;
    else
        free(text->data);
    *text = (UfText){0};
    return status;
}

const char* uf_one_line(char* text) {
    for (char* c = text; *c; c++)
        if ((unsigned char)*c < ' ') *c = ' ';
    return text;
}

#define NAME_BYTES 64  // longer names are near nothing

static inline int lower(char c) { return c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c; }

// Insertions, deletions, replacements and swaps of neighbours that turn a into b, case aside.
static int edit_distance(const char* a, const char* b) {
    int rows[3][NAME_BYTES + 1];  // the last two rows of the table and the present one, in turn
    int la = (int)strlen(a), lb = (int)strlen(b);
    for (int j = 0; j <= lb; j++) rows[0][j] = j;
    for (int i = 1; i <= la; i++) {
        int *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= lb; j++) {
            int x = lower(a[i - 1]), y = lower(b[j - 1]);
            int best = above[j - 1] + (x != y);
            if (above[j] + 1 < best) best = above[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            bool swapped = i > 1 && j > 1 && x == lower(b[j - 2]) && y == lower(a[i - 2]);
            if (swapped && above2[j - 2] + 1 < best) best = above2[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[la % 3][lb];
}

// Near: at most max(2, a third of its letters) wrong, and fewer than all of them.
const char* uf_nearest_name(const char* name, const char* const* names) {
    int length = (int)strnlen(name, NAME_BYTES + 1);
    if (length > NAME_BYTES) return NULL;
    int limit = length / 3 > 2 ? length / 3 : 2;
    if (limit > length - 1) limit = length - 1;
    const char* nearest = NULL;
    for (; *names; names++) {
        if (strnlen(*names, NAME_BYTES + 1) > NAME_BYTES) continue;
        int distance = edit_distance(name, *names);
        if (distance > limit) continue;
        nearest = *names;
        limit = distance - 1;  // from here on only a nearer one counts
    }
    return nearest;
}

const char* uf_file_name(const char* path) {
    const char* slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

const char* uf_file_stem(const char* path, char* stem, size_t bytes) {
    snprintf(stem, bytes, "%s", uf_file_name(path));
    char* dot = strrchr(stem, '.');
    if (dot && dot != stem) *dot = 0;
    return stem;
}

size_t uf_leading_word(const char* name, const char* key) {
    const size_t length = strlen(key);
    return strncasecmp(name, key, length) == 0 && !isalnum((unsigned char)name[length]) ? length : 0;
}

UfStatus uf_fail_unknown(const char* what, const char* name, const char* const* known) {
    char list[1024] = "";
    for (int i = 0; known[i]; i++) {
        if (i) strncat(list, ", ", sizeof list - strlen(list) - 1);
        strncat(list, known[i], sizeof list - strlen(list) - 1);
    }
    const char* near = uf_nearest_name(name, known);
    return UF_FAIL(UF_ERR_ARGUMENT, "unknown %s '%s'%s%s%s; known: %s", what, name,
                   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "", list);
}

// ---- files ----

bool uf_file_exists(const char* path) { return access(path, F_OK) == 0; }

bool uf_is_file(const char* path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

UfStatus uf_read_file(const char* path, char** data, size_t* num_bytes) {
    *data = NULL;
    *num_bytes = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return uf_fail_io("open", path);
    struct stat facts;
    size_t capacity = fstat(file, &facts) == 0 && facts.st_size > 0 ? (size_t)facts.st_size + 1 : 4096;
    size_t length = 0;
    UfStatus status = UF_OK;
    char* bytes = malloc(capacity);
    while (bytes) {  // the size is a hint: a pipe has none and a file may grow
        ssize_t got = read(file, bytes + length, capacity - length);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) status = uf_fail_io("read", path);
        if (got <= 0) break;
        length += (size_t)got;
        if (length < capacity) continue;
        char* bigger = realloc(bytes, capacity *= 2);
        if (!bigger) free(bytes);
        bytes = bigger;
    }
    close(file);
    if (!bytes) return UF_FAIL(UF_ERR_MEMORY, "out of memory: %zu bytes for '%s'", capacity, path);
    if (status != UF_OK) {
        free(bytes);
        return status;
    }
    bytes[length] = 0;  // length < capacity here
    *data = bytes;
    *num_bytes = length;
    return UF_OK;
}

// fsync of a file or folder by name.
static UfStatus sync_path(const char* path, int flags) {
    int file = open(path, flags | O_CLOEXEC);
    if (file < 0) return uf_fail_io("open", path);
    UfStatus status = UF_OK;
    if (fsync(file) != 0 && errno != EINVAL && errno != ENOTSUP)  // some file systems cannot sync folders
        status = uf_fail_io("write to the disk", path);
    close(file);
    return status;
}

UfStatus uf_commit_file(const char* temporary_path, const char* path) {
    UfStatus synced = sync_path(temporary_path, O_RDONLY);
    if (synced == UF_OK && rename(temporary_path, path) != 0) synced = uf_fail_io("replace", path);
    if (synced != UF_OK) {
        unlink(temporary_path);
        return synced;
    }
    char* folder;
    UF_TRY(uf_strdup(&folder, path));
    char* slash = strrchr(folder, '/');
    if (slash) slash[slash == folder] = 0;  // keeps the slash of "/"
    UfStatus status = sync_path(slash ? folder : ".", O_RDONLY | O_DIRECTORY);
    free(folder);
    return status;
}

static UfStatus write_bytes(const char* path, const char* data, size_t num_bytes) {
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0) return uf_fail_io("create", path);
    UfStatus status = UF_OK;
    while (num_bytes > 0 && status == UF_OK) {
        ssize_t done = write(file, data, num_bytes);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) {
            status = uf_fail_io("write", path);
        } else {
            data += done;
            num_bytes -= (size_t)done;
        }
    }
    if (close(file) != 0 && status == UF_OK) status = uf_fail_io("write", path);
    return status;
}

UfStatus uf_write_file(const char* path, const void* data, size_t num_bytes) {
    UfText name = {0};
    char* temporary;
    uf_text_add(&name, "%s.tmp", path);
    UF_TRY(uf_text_finish(&name, &temporary));
    UfStatus status = write_bytes(temporary, data, num_bytes);
    if (status == UF_OK) status = uf_commit_file(temporary, path);
    if (status != UF_OK) unlink(temporary);
    free(temporary);
    return status;
}

UfStatus uf_check_output(const char* path) {
    const int folder_bytes = (int)(uf_file_name(path) - path);
    UfText text = {0};
    char* folder;
    struct stat facts;
    if (stat(path, &facts) == 0 && S_ISDIR(facts.st_mode))
        return UF_FAIL(UF_ERR_IO, "%s: is a folder; expected the name of a file to write", path);
    uf_text_add(&text, "%.*s", folder_bytes ? folder_bytes : 1, folder_bytes ? path : ".");
    UF_TRY(uf_text_finish(&text, &folder));
    const bool writable = access(folder, W_OK) == 0;
    uf_free(folder);
    if (writable) return UF_OK;
    return UF_FAIL(UF_ERR_IO, "%s: its folder is not there or cannot be written to; make it first", path);
}

UfStatus uf_make_folder(const char* path) {
    if (!*path) return UF_FAIL(UF_ERR_ARGUMENT, "the name of a folder to make is empty");
    char* part;
    UF_TRY(uf_strdup(&part, path));
    UfStatus status = UF_OK;
    size_t length = strlen(path);
    for (size_t i = 1; i <= length && status == UF_OK; i++) {  // up to each slash and to the end
        if (path[i] != '/' && path[i] != 0) continue;
        part[i] = 0;
        struct stat facts;
        if (mkdir(part, 0777) != 0) {
            int reason = errno;  // stat would overwrite it
            bool there = stat(part, &facts) == 0;
            errno = reason;
            if (there && !S_ISDIR(facts.st_mode))
                status = UF_FAIL(UF_ERR_IO, "cannot make the folder '%s': '%s' is there and is not a folder",
                                 path, part);
            else if (!there)
                status = uf_fail_io("make the folder", part);
        }
        part[i] = path[i];
    }
    free(part);
    return status;
}

// ---- SHA-256 ----

typedef struct Sha256 {
    uint32_t state[8];
    uint64_t length;  // bytes so far
    uint8_t block[64];
} Sha256;

static const uint32_t sha_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static inline uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha_block(uint32_t state[8], const uint8_t* p) {
    uint32_t w[64];
    for (int i = 0; i < 16; i++, p += 4)
        w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
    for (int i = 16; i < 64; i++) {
        uint32_t x = w[i - 15], y = w[i - 2];
        uint32_t sx = rotate(x, 7) ^ rotate(x, 18) ^ x >> 3, sy = rotate(y, 17) ^ rotate(y, 19) ^ y >> 10;
        w[i] = w[i - 16] + sx + w[i - 7] + sy;
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int i = 0; i < 64; i++) {
        uint32_t se = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
        uint32_t sa = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
        uint32_t t1 = h + se + ((e & f) ^ (~e & g)) + sha_constants[i] + w[i];
        uint32_t t2 = sa + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

static void sha_start(Sha256* sha) {
    *sha = (Sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
                              0x1f83d9ab, 0x5be0cd19}};
}

static void sha_add(Sha256* sha, const uint8_t* data, size_t num_bytes) {
    size_t filled = sha->length % 64;
    sha->length += num_bytes;
    if (filled > 0) {
        size_t part = num_bytes < 64 - filled ? num_bytes : 64 - filled;
        memcpy(sha->block + filled, data, part);
        data += part, num_bytes -= part;
        if (filled + part < 64) return;
        sha_block(sha->state, sha->block);
    }
    for (; num_bytes >= 64; data += 64, num_bytes -= 64) sha_block(sha->state, data);
    if (num_bytes > 0) memcpy(sha->block, data, num_bytes);
}

static void sha_finish(Sha256* sha, char hex[65]) {
    uint8_t tail[72] = {0x80};  // a one bit, zeros up to 56 mod 64, the length in bits
    size_t zeros = (119 - sha->length % 64) % 64 + 1;
    uint64_t bits = sha->length * 8;
    for (int i = 0; i < 8; i++) tail[zeros + (size_t)i] = (uint8_t)(bits >> (56 - 8 * i));
    sha_add(sha, tail, zeros + 8);
    for (int i = 0; i < 64; i++) hex[i] = "0123456789abcdef"[sha->state[i / 8] >> (28 - 4 * (i % 8)) & 15];
    hex[64] = 0;
}

void uf_sha256(const void* data, size_t num_bytes, char hex[65]) {
    Sha256 sha;
    sha_start(&sha);
    sha_add(&sha, data, num_bytes);
    sha_finish(&sha, hex);
}

UfStatus uf_sha256_file(const char* path, char hex[65]) {
    enum { CHUNK = 1 << 20 };
    hex[0] = 0;
    uint8_t* chunk;
    UF_TRY(UF_ALLOC(&chunk, CHUNK, "reading a file"));
    int file = open(path, O_RDONLY | O_CLOEXEC);
    UfStatus status = file < 0 ? uf_fail_io("open", path) : UF_OK;
    Sha256 sha;
    sha_start(&sha);
    while (status == UF_OK) {
        ssize_t got = read(file, chunk, CHUNK);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) status = uf_fail_io("read", path);
        if (got <= 0) break;
        sha_add(&sha, chunk, (size_t)got);
    }
    if (status == UF_OK) sha_finish(&sha, hex);
    if (file >= 0) close(file);
    uf_free(chunk);
    return status;
}

// ---- numbers ----

static int ascending(const void* left, const void* right) {
    const double a = *(const double*)left, b = *(const double*)right;
    return (a > b) - (a < b);
}

void uf_sort(double* values, int64_t count) { qsort(values, (size_t)count, sizeof *values, ascending); }

double uf_quantile(const double* sorted, int64_t count, double share) {
    const double place = share * (double)(count - 1);
    const int64_t below = (int64_t)place;
    if (below >= count - 1) return sorted[count - 1];
    return sorted[below] + (place - (double)below) * (sorted[below + 1] - sorted[below]);
}

// ---- time ----

double uf_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

const char* uf_duration(double seconds, char text[32]) {
    if (!isfinite(seconds)) return "?";
    long s = (long)(seconds + 0.5);
    if (s < 3600)
        snprintf(text, 32, "%ld:%02ld", s / 60, s % 60);
    else
        snprintf(text, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    return text;
}

// ---- threads ----

// A region is one uf_pool_run. The caller calls as many workers as there are tasks for, takes tasks itself
// until none is left, withdraws the calls that nobody has answered yet, and waits for the others.
// A worker's state goes IDLE -> CALLED (by the caller) -> WORKING (by the worker) -> IDLE (by the worker),
// or CALLED -> IDLE (by the caller: withdrawn).
// Whoever waits spins for a moment, as the next region of a training update is near, and then sleeps. A
// sleeper announces itself before its last look at the state, and the other side changes the state before it
// looks for a sleeper: one of them sees the other (both accesses are sequentially consistent).
enum { IDLE, CALLED, WORKING, QUIT };
#define MAX_THREADS 1024
#define SPIN_SECONDS 50e-6

typedef struct Sleeper {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    atomic_bool asleep;
} Sleeper;

typedef struct Worker {
    UfPool* pool;
    int thread;
    pthread_t id;
    atomic_int state;
    Sleeper sleeper;
    char gap[64];  // a state changes often: keep it off the neighbour's cache line
} Worker;

struct UfPool {
    int num_threads, num_started;
    double spin_seconds;
    UfTask* task;  // the present region
    void* context;
    int num_tasks;
    char gap[64];
    atomic_int next_task;
    char gap2[64];
    Sleeper caller;
    Worker workers[];  // num_threads - 1; workers[i] is thread i + 1
};

// The pool and thread a task of which runs on this thread, for uf_pool_run inside uf_pool_run.
static _Thread_local struct {
    const UfPool* pool;
    int thread;
} running;

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static void sleeper_create(Sleeper* s) {  // cannot fail on Linux with default attributes
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->wake, NULL);
}

static void sleeper_free(Sleeper* s) {
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->mutex);
}

// Returns when *state is no longer `from`.
static void wait_while(Sleeper* s, atomic_int* state, int from, double spin_seconds) {
    double end = spin_seconds > 0 ? uf_now() + spin_seconds : 0;
    while (end > 0) {
        for (int i = 0; i < 64; i++) {
            if (atomic_load_explicit(state, memory_order_acquire) != from) return;
            relax();
        }
        if (uf_now() >= end) break;
    }
    pthread_mutex_lock(&s->mutex);
    atomic_store(&s->asleep, true);
    while (atomic_load(state) == from) pthread_cond_wait(&s->wake, &s->mutex);
    atomic_store(&s->asleep, false);
    pthread_mutex_unlock(&s->mutex);
}

static void wake_if_asleep(Sleeper* s) {
    if (!atomic_load(&s->asleep)) return;
    pthread_mutex_lock(&s->mutex);
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->mutex);
}

static void run_tasks(UfPool* pool, int thread) {
    running.pool = pool;
    running.thread = thread;
    for (;;) {
        int task = atomic_fetch_add_explicit(&pool->next_task, 1, memory_order_relaxed);
        if (task >= pool->num_tasks) break;
        pool->task(pool->context, task, thread);
    }
    running.pool = NULL;
}

static void* worker_main(void* argument) {
    Worker* w = argument;
    for (;;) {
        wait_while(&w->sleeper, &w->state, IDLE, w->pool->spin_seconds);
        int state = CALLED;
        if (atomic_compare_exchange_strong(&w->state, &state, WORKING)) {
            run_tasks(w->pool, w->thread);
            atomic_store(&w->state, IDLE);
            wake_if_asleep(&w->pool->caller);
        } else if (state == QUIT) {
            return NULL;
        }
    }
}

void uf_pool_run(UfPool* pool, int num_tasks, UfTask* task, void* context) {
    if (running.pool || pool->num_threads == 1 || num_tasks <= 1) {
        int thread = running.pool == pool ? running.thread : 0;
        for (int i = 0; i < num_tasks; i++) task(context, i, thread);
        return;
    }
    pool->task = task;
    pool->context = context;
    pool->num_tasks = num_tasks;
    atomic_store_explicit(&pool->next_task, 0, memory_order_relaxed);
    int helpers = (num_tasks < pool->num_threads ? num_tasks : pool->num_threads) - 1;
    for (int i = 0; i < helpers; i++) {
        atomic_store(&pool->workers[i].state, CALLED);
        wake_if_asleep(&pool->workers[i].sleeper);
    }
    run_tasks(pool, 0);
    for (int i = 0; i < helpers; i++) {
        int state = CALLED;
        if (!atomic_compare_exchange_strong(&pool->workers[i].state, &state, IDLE))
            wait_while(&pool->caller, &pool->workers[i].state, WORKING, pool->spin_seconds);
    }
}

int uf_num_cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);  // more than 1024 cores
    return online < 1 ? 1 : online < MAX_THREADS ? (int)online : MAX_THREADS;
}

int uf_pool_num_threads(const UfPool* pool) { return pool->num_threads; }

UfStatus uf_pool_create(UfPool** out, int num_threads) {
    *out = NULL;
    if (num_threads < 0 || num_threads > MAX_THREADS)
        return UF_FAIL(UF_ERR_ARGUMENT, "%d threads; expected 1 to %d, or 0 for all cores", num_threads,
                       MAX_THREADS);
    int cpus = uf_num_cores();
    if (num_threads == 0) num_threads = cpus;
    UfPool* pool;
    size_t bytes = sizeof *pool + (size_t)(num_threads - 1) * sizeof(Worker);
    UF_TRY(uf_alloc((void**)&pool, 1, bytes, "a thread pool"));
    pool->num_threads = num_threads;
    pool->spin_seconds = num_threads <= cpus ? SPIN_SECONDS : 0;  // spinning must not keep others from a core
    sleeper_create(&pool->caller);

    // Signals are the main program's business: workers block them all.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    UfStatus status = UF_OK;
    for (int i = 0; i < num_threads - 1 && status == UF_OK; i++) {
        Worker* w = &pool->workers[i];
        w->pool = pool;
        w->thread = i + 1;
        sleeper_create(&w->sleeper);
        int reason = pthread_create(&w->id, NULL, worker_main, w);
        if (reason == 0) {
            pool->num_started++;
        } else {
            sleeper_free(&w->sleeper);
            char buffer[256];
            status = UF_FAIL(UF_ERR_MEMORY, "cannot start thread %d of %d: %s; try a smaller num_threads",
                             i + 2, num_threads, strerror_r(reason, buffer, sizeof buffer));
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != UF_OK) {
        uf_pool_free(pool);
        return status;
    }
    *out = pool;
    return UF_OK;
}

void uf_pool_free(UfPool* pool) {
    if (!pool) return;
    for (int i = 0; i < pool->num_started; i++) {
        atomic_store(&pool->workers[i].state, QUIT);
        wake_if_asleep(&pool->workers[i].sleeper);
    }
    for (int i = 0; i < pool->num_started; i++) {
        pthread_join(pool->workers[i].id, NULL);
        sleeper_free(&pool->workers[i].sleeper);
    }
    sleeper_free(&pool->caller);
    uf_free(pool);
}

// ---- machine ----

void uf_machine(char* text, size_t bytes) {
    char line[256], name[256] = "unknown processor";
    const char* vectors = "";
    const int cores = uf_num_cores();
    FILE* file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file)) {
        char* value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !value) continue;
        value[strcspn(value, "\n")] = 0;
        snprintf(name, sizeof name, "%s", value + 2);
        break;
    }
    if (file) fclose(file);
    for (char* c = name; *c; c++)
        if (*c == '"' || *c == '\\') *c = ' ';  // it goes into JSON
#ifdef __x86_64__
    vectors = __builtin_cpu_supports("avx512f") ? ", AVX-512"
              : __builtin_cpu_supports("avx2")  ? ", AVX2"
                                                : "";
#endif
    snprintf(text, bytes, "%d core%s of %s%s", cores, cores == 1 ? "" : "s", name, vectors);
}
