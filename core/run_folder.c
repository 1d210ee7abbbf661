// run_folder.c: see run_folder.h.
//
// Rooms: paths, looking for runs, log, folder.
#include "run_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>   // snprintf, sscanf
#include <stdlib.h>  // free
#include <string.h>
#include <sys/file.h>  // flock
#include <sys/stat.h>
#include <unistd.h>

#include "run_log.h"

// ---- paths ----

void uf_run_folder_path(const UfRunFolder* folder, const char* name, char path[UF_PATH_BYTES]) {
    snprintf(path, UF_PATH_BYTES, "%s/%s", folder->name, name);
}

bool uf_file_exists(const char* path) { return access(path, F_OK) == 0; }

bool uf_is_file(const char* path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

static UfStatus system_failure(const char* path, const char* what) {
    char reason[128];
    return UF_FAIL(UF_ERR_IO, "%s: cannot %s: %s", path, what, strerror_r(errno, reason, sizeof(reason)));
}

const char* uf_file_stem(const char* path, char* stem, size_t bytes) {
    const char* slash = strrchr(path, '/');
    snprintf(stem, bytes, "%s", slash ? slash + 1 : path);
    char* dot = strrchr(stem, '.');
    if (dot && dot != stem) *dot = 0;
    return stem;
}

static bool shapes_updates(const UfParam* p) { return p->scope != UF_SCOPE_RUN; }

UfStatus uf_same_hyperparameters(const UfTable* table, const void* saved, const void* now) {
    char was[UF_STRING_BYTES], is[UF_STRING_BYTES];
    const UfParam* p = uf_table_difference(table, saved, now, shapes_updates);
    if (!p) return UF_OK;
    uf_param_format(saved, p, was, sizeof(was));
    uf_param_format(now, p, is, sizeof(is));
    return UF_FAIL(UF_ERR_CONFIG,
                   "%s: the run to resume was trained with %s, not %s; start a new run to change it", p->name,
                   was, is);
}

// ---- looking for runs ----

enum { MAX_DEPTH = 4 };  // of folders in a folder that is no run itself

bool uf_has_file(const char* folder, const char* name) {
    char path[2 * UF_PATH_BYTES];
    return snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path && uf_file_exists(path);
}

bool uf_is_run(const char* folder) {
    return uf_has_file(folder, "config.json") || uf_has_file(folder, "final.h5");
}

static int is_visible(const struct dirent* entry) { return entry->d_name[0] != '.'; }

static UfStatus runs_below(const char* folder, UfRunVisit* visit, void* user, int depth, int* num_found) {
    struct dirent** entries;
    if (uf_is_run(folder)) {
        ++*num_found;
        return visit(user, folder);
    }
    struct stat info;
    if (depth > MAX_DEPTH || stat(folder, &info) || !S_ISDIR(info.st_mode)) return UF_OK;
    int count = scandir(folder, &entries, is_visible, alphasort);
    if (count < 0) return UF_FAIL(UF_ERR_IO, "%s: cannot list the folder", folder);
    UfStatus status = UF_OK;
    for (int i = 0; i < count; i++) {
        char path[UF_FOLDER_BYTES];
        if (status == UF_OK) {
            if (snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name) < (int)sizeof path)
                status = runs_below(path, visit, user, depth + 1, num_found);
            else
                status = UF_FAIL(UF_ERR_ARGUMENT, "%.64s...: the folder's name is too long", folder);
        }
        free(entries[i]);
    }
    free(entries);
    return status;
}

UfStatus uf_runs_below(const char* folder, UfRunVisit* visit, void* user, int* num_found) {
    return runs_below(folder, visit, user, 0, num_found);
}

// ---- log ----

static UfStatus append_to_file(const char* path, const char* data, size_t num_bytes) {
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file < 0) return system_failure(path, "open the log");
    while (num_bytes > 0) {
        ssize_t written = write(file, data, num_bytes);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) break;
        data += written;
        num_bytes -= (size_t)written;
    }
    UfStatus status = num_bytes || fsync(file) ? system_failure(path, "write the log") : UF_OK;
    if (close(file) && status == UF_OK) status = system_failure(path, "close the log");
    return status;
}

// Keeps the whole lines whose count, found by the scanf format, is at most last; the csv header has
// none and stays. *seconds becomes the wall clock of the last line kept.
static UfStatus truncate_log(const char* path, const char* format, int64_t last, double* seconds) {
    char* data;
    size_t num_bytes, kept = 0;
    if (!uf_file_exists(path)) return UF_OK;
    UF_TRY(uf_read_file(path, &data, &num_bytes));
    for (char *line = data, *end; (end = strchr(line, '\n')); line = end + 1) {
        int64_t count = 0;
        double wall = 0;
        sscanf(line, format, &count, &wall);
        if (count > last) break;
        kept = (size_t)(end + 1 - data);
        if (count > 0) *seconds = wall;
    }
    UfStatus status = kept < num_bytes ? uf_write_file(path, data, kept) : UF_OK;
    uf_free(data);
    return status;
}

// A log of other units is that of another command, which has its config.json here: nothing of it is touched.
static UfStatus check_unit(const UfRunFolder* folder, const char* path, const char* unit) {
    char* data;
    size_t num_bytes;
    if (!uf_file_exists(path)) return UF_OK;
    UF_TRY(uf_read_file(path, &data, &num_bytes));
    const size_t length = strcspn(data, ",\n"), wanted = strlen(unit);
    UfStatus status = UF_OK;
    if (length && (length != wanted || memcmp(data, unit, wanted) != 0))
        status =
            UF_FAIL(UF_ERR_ARGUMENT,
                    "%s: holds the run of another command: its log.csv begins with '%.*s', expected '%s'; "
                    "resume it with the command that began it",
                    folder->name, (int)(length < 32 ? length : 32), data, unit);
    uf_free(data);
    return status;
}

UfStatus uf_run_log_truncate(const UfRunFolder* folder, const char* unit, int64_t last, double* seconds) {
    char path[UF_PATH_BYTES], format[64];
    uf_run_folder_path(folder, "log.csv", path);
    UF_TRY(check_unit(folder, path, unit));
    UF_TRY(truncate_log(path, "%" SCNd64 ",%lf", last, seconds));
    uf_run_folder_path(folder, "log.jsonl", path);
    snprintf(format, sizeof(format), "{\"%s\": %%" SCNd64 ", \"seconds\": %%lf", unit);
    return truncate_log(path, format, last, seconds);
}

UfStatus uf_run_log_last(const char* folder, int64_t* update, double* seconds) {
    UfRunLog log;
    UF_TRY(uf_run_log_read(&log, folder));
    const int last = log.num_rows - 1;
    const double u = last < 0 ? 0 : uf_run_log_at(&log, last, "update"),
                 s = last < 0 ? 0 : uf_run_log_at(&log, last, "seconds");
    uf_run_log_free(&log);
    if (last < 0) return UF_OK;
    if (!isfinite(u) || !isfinite(s))
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s/log.jsonl: the last line has no update and seconds; is the file damaged?", folder);
    *update = (int64_t)u;
    *seconds = s;
    return UF_OK;
}

void uf_log_begin(UfLogLine* line, const char* unit, int64_t count, double seconds) {
    *line = (UfLogLine){.json.data = NULL};
    uf_text_add(&line->json, "{\"%s\": %" PRId64, unit, count);
    uf_text_add(&line->csv, "%" PRId64, count);
    uf_text_add(&line->header, "%s", unit);
    uf_log_number(line, "seconds", seconds);
}

// JSON knows no NaN: null there, an empty cell here.
void uf_log_number(UfLogLine* line, const char* name, double value) {
    uf_text_add(&line->header, ",%s", name);
    uf_text_add(&line->json, ", \"%s\": ", name);
    uf_text_add(&line->json, isfinite(value) ? "%.9g" : "null", value);
    uf_text_add(&line->csv, isfinite(value) ? ",%.9g" : ",", value);
}

UfStatus uf_log_finish(const UfRunFolder* folder, UfLogLine* line) {
    uf_text_add(&line->json, "}\n");
    uf_text_add(&line->csv, "\n");
    uf_text_add(&line->header, "\n");
    char *json, *csv, *header, path[UF_PATH_BYTES];
    UfStatus status[] = {uf_text_finish(&line->json, &json), uf_text_finish(&line->csv, &csv),
                         uf_text_finish(&line->header, &header)};
    UfStatus result = status[0] ? status[0] : status[1] ? status[1] : status[2];
    uf_run_folder_path(folder, "log.csv", path);
    struct stat info;
    bool fresh = stat(path, &info) != 0 || info.st_size == 0;
    if (result == UF_OK && fresh) result = append_to_file(path, header, strlen(header));
    if (result == UF_OK) result = append_to_file(path, csv, strlen(csv));
    uf_run_folder_path(folder, "log.jsonl", path);
    if (result == UF_OK) result = append_to_file(path, json, strlen(json));
    uf_free(json);
    uf_free(csv);
    uf_free(header);
    return result;
}

// ---- folder ----

static UfStatus lock_folder(UfRunFolder* f) {
    f->lock = open(f->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->lock < 0) return system_failure(f->name, "open the run folder");
    if (flock(f->lock, LOCK_EX | LOCK_NB) &&
        errno == EWOULDBLOCK)  // other failures: a file system without locks
        return UF_FAIL(UF_ERR_IO, "%s: another process trains in this folder; wait for it or stop it",
                       f->name);
    return UF_OK;
}

static UfStatus make_named_folder(UfRunFolder* f, const char* name) {
    snprintf(f->name, sizeof(f->name), "%s", name);
    struct stat info;
    bool there = stat(name, &info) == 0;
    if (there && !S_ISDIR(info.st_mode))
        return UF_FAIL(UF_ERR_IO, "%s: is a file; --out wants a folder", name);
    if (!there) UF_TRY(uf_make_folder(name));
    f->made_folder = !there;
    return UF_OK;
}

static const UfTable* table_of(const UfRunFolderOptions* o) { return o->table ? o->table : &uf_config_table; }

// runs/<algorithm>_<subject>_<seed>, then _2, _3, ...: mkdir decides between runs that start at the same
// time.
static UfStatus make_default_folder(UfRunFolder* f, const UfRunFolderOptions* o) {
    char name[2 * UF_STRING_BYTES + 64], seed[UF_STRING_BYTES];
    UF_TRY(uf_make_folder("runs"));
    uf_param_format(o->config, uf_table_find(table_of(o), "seed"), seed, sizeof(seed));
    int length = snprintf(name, sizeof(name), "%s_%s_%.24s", o->algorithm, o->subject, seed);
    for (int i = 0; i < length; i++) {
        if (name[i] == '/') name[i] = '-';
    }
    for (int i = 1; i < 100000; i++) {
        int needed = i == 1 ? snprintf(f->name, UF_FOLDER_BYTES, "runs/%s", name)
                            : snprintf(f->name, UF_FOLDER_BYTES, "runs/%s_%d", name, i);
        if (needed >= UF_FOLDER_BYTES)
            return UF_FAIL(UF_ERR_IO, "runs/%s: the name is too long; give --out DIR", name);
        f->made_folder = mkdir(f->name, 0777) == 0;
        if (f->made_folder) return UF_OK;
        if (errno != EEXIST) return system_failure(f->name, "make the run folder");
    }
    return UF_FAIL(UF_ERR_IO, "runs/%s: 100000 runs of this name; give --out DIR", name);
}

static UfStatus write_config(UfRunFolder* f, const UfTable* table, const void* config) {
    char path[UF_PATH_BYTES];
    char* json;
    uf_run_folder_path(f, f->config_name, path);
    UF_TRY(uf_table_json(table, config, &json));
    UfStatus status = uf_write_file(path, json, strlen(json));
    uf_free(json);
    f->made_config = status == UF_OK;
    return status;
}

UfStatus uf_run_folder_open(UfRunFolder* f, const UfRunFolderOptions* o) {
    const char* wanted = o->resume ? o->resume : o->out;
    char path[UF_PATH_BYTES];
    *f = (UfRunFolder){.lock = -1, .config_name = o->config_name ? o->config_name : "config.json"};
    if (wanted && strlen(wanted) >= UF_FOLDER_BYTES)
        return UF_FAIL(UF_ERR_ARGUMENT, "the folder's name has %zu characters; at most %d fit",
                       strlen(wanted), UF_FOLDER_BYTES - 1);
    UF_TRY(wanted ? make_named_folder(f, wanted) : make_default_folder(f, o));
    UF_TRY(lock_folder(f));
    uf_run_folder_path(f, f->config_name, path);
    if (!uf_file_exists(path)) {
        uf_run_folder_path(f, o->checkpoint, path);
        if (!uf_file_exists(path)) return write_config(f, table_of(o), o->config);
    }
    if (o->resume) return UF_OK;
    return UF_FAIL(UF_ERR_ARGUMENT,
                   "%s: already holds a run; give another --out, or go on with it by --resume %s", wanted,
                   wanted);
}

void uf_run_folder_keep(UfRunFolder* f) { f->made_config = f->made_folder = false; }

void uf_run_folder_close(UfRunFolder* f) {
    char path[UF_PATH_BYTES];
    if (f->made_config) {
        uf_run_folder_path(f, f->config_name, path);
        unlink(path);
    }
    if (f->made_folder) rmdir(f->name);
    if (f->lock >= 0) close(f->lock);
    f->lock = -1;
}
