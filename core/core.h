// core.h: what every part needs and none is about: errors, memory, threads, time, files.
#ifndef UF_CORE_H
#define UF_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "unifloral.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- errors ----

// Writes the sentence of this thread's last failure and returns `code`. Use as: return UF_FAIL(UF_ERR_FORMAT,
// "...", ...);
#define UF_FAIL(code, ...) uf_fail_((code), __VA_ARGS__)
#define UF_TRY(call)                                \
    do {                                            \
        UfStatus uf_status_ = (call);               \
        if (uf_status_ != UF_OK) return uf_status_; \
    } while (0)
// Refuses an argument of a public function that is null.
#define UF_TRY_GIVEN(argument)                                                                     \
    do {                                                                                           \
        if (!(argument)) return UF_FAIL(UF_ERR_ARGUMENT, "%s: '%s' is null", __func__, #argument); \
    } while (0)
UfStatus uf_fail_(UfStatus code, const char* format, ...) __attribute__((format(printf, 2, 3)));
// Puts "prefix: " in front of the sentence there is (a file name, say) and returns `code`.
UfStatus uf_fail_prefix(UfStatus code, const char* prefix);

// What one of several threads' tasks came to, to be told by the thread that gave them out: a sentence is its thread's own.
typedef struct UfOutcome {
    UfStatus status;
    char sentence[500];
} UfOutcome;
void uf_keep_outcome(UfOutcome* out, UfStatus status);            // with the sentence there is
UfStatus uf_tell_outcomes(const UfOutcome* outcomes, int count);  // the first that failed

// ---- memory ----

#define UF_ALIGN 256  // bytes; rows of tensors start on this

// Zeroed, UF_ALIGN-aligned memory for count items; free with uf_free. `what` names it in the message.
UfStatus uf_alloc(void** out, size_t count, size_t item_bytes, const char* what);
#define UF_ALLOC(out, count, what) uf_alloc((void**)(out), (size_t)(count), sizeof(**(out)), (what))
// A copy of a string; free with uf_free.
UfStatus uf_strdup(char** out, const char* text);

// ---- text ----

typedef struct UfText {  // a growing string; the failure of any append is kept and returned by uf_text_finish
    char* data;
    size_t length, capacity;
    UfStatus status;
} UfText;
void uf_text_add(UfText* text, const char* format, ...) __attribute__((format(printf, 2, 3)));
void uf_text_add_bytes(UfText* text, const void* data, size_t num_bytes);
// Cells of a CSV file: text in quotes, those inside doubled; a number and the comma after it, one that is not finite is
// empty.
void uf_text_add_csv(UfText* text, const char* word);
void uf_text_add_csv_number(UfText* text, double value);
// Hands over the string (free with uf_free) or the first failure.
UfStatus uf_text_finish(UfText* text, char** out);

// Makes text from a file fit for a message: control characters become spaces, in place.
const char* uf_one_line(char* text);
// What follows the last slash of a path.
const char* uf_file_name(const char* path);
// That without its ending.
const char* uf_file_stem(const char* path, char* stem, size_t bytes);
// Length of `key` if `name` begins with it as a whole word ("pendulum-medium.hdf5", not "pendulums"), else 0.
size_t uf_leading_word(const char* name, const char* key);
// UF_ERR_ARGUMENT and "unknown environment 'x'; did you mean 'y'? known: a, b, c". `known` ends at a NULL
// entry.
UfStatus uf_fail_unknown(const char* what, const char* name, const char* const* known);
// The name in `names` that is nearest to `name` by edit distance, or NULL when none is near. Ends at a NULL
// entry.
const char* uf_nearest_name(const char* name, const char* const* names);

// ---- files ----

bool uf_file_exists(const char* path);
bool uf_is_file(const char* path);  // and no folder
// UF_ERR_IO and "cannot <verb> '<path>': <what errno says>".
UfStatus uf_fail_io(const char* verb, const char* path);
// Reads a whole file into *data (one extra 0 byte at the end); free with uf_free.
UfStatus uf_read_file(const char* path, char** data, size_t* num_bytes);
// Writes a file so that a reader sees the old or the new content, never a part: path.tmp, fsync, rename,
// fsync of the folder.
UfStatus uf_write_file(const char* path, const void* data, size_t num_bytes);
// The last half of that, for files other libraries wrote at path.tmp, which is removed where it fails.
UfStatus uf_commit_file(const char* temporary_path, const char* path);
// Whether a file can be written there, as far as that is known before: asked by what works long until it writes.
UfStatus uf_check_output(const char* path);
UfStatus uf_make_folder(const char* path);  // and its parents
// SHA-256 of a file's bytes as 64 hex digits and a final 0.
UfStatus uf_sha256_file(const char* path, char hex[65]);
void uf_sha256(const void* data, size_t num_bytes, char hex[65]);

// ---- numbers ----

void uf_sort(double* values, int64_t count);  // ascending; none may be NaN
// Linear between the two nearest of `count` sorted numbers, as numpy does: share 0 is the least, 1 the largest.
double uf_quantile(const double* sorted, int64_t count, double share);

// ---- time ----

double uf_now(void);  // seconds, monotonic
// "1:02:03", "2:03", or "?" for what is not finite.
const char* uf_duration(double seconds, char text[32]);

// ---- machine ----

// "2 cores of AMD EPYC, AVX-512": what this process may use.
void uf_machine(char* text, size_t bytes);
int uf_num_cores(void);  // likewise

// ---- threads ----

typedef struct UfPool UfPool;
typedef void UfTask(void* context, int task, int thread);

// num_threads 0: as many as the process may use. A pool of one runs everything on the caller.
UfStatus uf_pool_create(UfPool** out, int num_threads);
int uf_pool_num_threads(const UfPool* pool);
// Runs tasks 0..num_tasks-1, each once, on any thread in any order, and returns when all are done.
// Callers cut the work into tasks by its size alone, never by the number of threads: that keeps results
// independent of it.
void uf_pool_run(UfPool* pool, int num_tasks, UfTask* task, void* context);
void uf_pool_free(UfPool* pool);

#ifdef __cplusplus
}
#endif

#endif
