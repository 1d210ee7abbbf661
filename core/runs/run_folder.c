// run_folder.c: see run_folder.h.
//
// Rooms: paths, looking for runs, folder.
#include "core/runs/run_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>   // snprintf
#include <stdlib.h>  // free
#include <string.h>
#include <sys/file.h>  // flock
#include <sys/stat.h>
#include <unistd.h>

// ---- paths ----

void uf_run_folder_path(const UfRunFolder* folder, const char* name, char path[UF_PATH_BYTES]) {
    snprintf(path, UF_PATH_BYTES, "%s/%s", folder->name, name);
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

UfStatus uf_run_config(UfConfig** out, const char* folder) {
    char path[UF_PATH_BYTES];
    *out = NULL;
    if (snprintf(path, sizeof(path), "%s/config.json", folder) >= (int)sizeof(path) || !uf_file_exists(path))
        return UF_FAIL(UF_ERR_IO, "%s: holds no run to resume (no config.json in it)", folder);
    UF_TRY(uf_config_create(out));
    UfStatus status = uf_config_load(*out, path);
    if (status == UF_OK) return UF_OK;
    uf_config_free(*out);
    *out = NULL;
    return status;
}

UfStatus uf_run_checkpoint(const char* name, char* path, size_t path_bytes) {
    struct stat info;
    bool folder = stat(name, &info) == 0 && S_ISDIR(info.st_mode);
    if ((size_t)snprintf(path, path_bytes, "%s%s", name, folder ? "/checkpoint.h5" : "") >= path_bytes)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: the name is too long", name);
    return UF_OK;
}

// ---- folder ----

static UfStatus lock_folder(UfRunFolder* f) {
    f->lock = open(f->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->lock < 0) return uf_fail_io("open the run folder", f->name);
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
        if (errno != EEXIST) return uf_fail_io("make the run folder", f->name);
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
