// h5_change.h: changes one number of a recording, or its configuration, for tests that a changed file is noticed. After
// support.h.
#ifndef UF_TEST_H5_CHANGE_H
#define UF_TEST_H5_CHANGE_H

#include <unistd.h>  // access

#include "core/data/h5.h"
#include "core/verify/verify.h"

// Adds `change` to element `index` (modulo their number) of a numeric dataset of an open file.
static inline void alter(hid_t file, const char* name, int64_t index, double change) {
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    assert_true(dataset >= 0);
    hid_t space = H5Dget_space(dataset);
    int64_t count = H5Sget_simple_extent_npoints(space);
    double* values = malloc((size_t)count * sizeof(double));
    assert_non_null(values);
    assert_true(H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    values[index % count] += change;
    assert_true(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    free(values);
    H5Sclose(space);
    H5Dclose(dataset);
}

// Puts the same numbers, of which `change` is added to element `index`, in a dataset of another type.
static inline void store_as(hid_t file, const char* name, hid_t type, int64_t index, double change) {
    hid_t old = H5Dopen2(file, name, H5P_DEFAULT);
    assert_true(old >= 0);
    hid_t space = H5Dget_space(old);
    const int64_t count = H5Sget_simple_extent_npoints(space);
    double* values = malloc((size_t)count * sizeof *values);
    assert_non_null(values);
    assert_true(H5Dread(old, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    values[index % count] += change;
    H5Dclose(old);
    assert_true(H5Ldelete(file, name, H5P_DEFAULT) >= 0);
    hid_t fresh = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(fresh >= 0 && H5Dwrite(fresh, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    free(values);
    H5Dclose(fresh);
    H5Sclose(space);
}

static inline void alter_file(const char* path, const char* dataset, int64_t index, double change) {
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    alter(file, dataset, index, change);
    H5Fclose(file);
}

// A copy of a recording in the test's folder, open to be changed. *path is valid until the next one.
static inline hid_t open_copy(const char* recording, const char** path) {
    *path = copy_in_folder(recording, "traces.h5");
    hid_t file = H5Fopen(*path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    return file;
}

// Replaces a piece of a group's attribute `config`.
static inline void set_config(const char* path, const char* group, const char* from, const char* to) {
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), object = H5Gopen2(file, group, H5P_DEFAULT);
    UfH5 h5 = {.file = file};
    char *json, *at, changed[2000];
    snprintf(h5.path, sizeof h5.path, "%s", path);
    assert_ok(uf_h5_read_string(&h5, group, "config", &json));
    at = strstr(json, from);
    if (!at) fail_msg("'%s' is not in %s", from, json);
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - json), json, to, at + strlen(from));
    assert_true(H5Adelete(object, "config") >= 0);
    assert_ok(uf_h5_write_string(&h5, group, "config", changed));
    uf_free(json);
    H5Gclose(object);
    H5Fclose(file);
}

static inline bool is_there(const char* recording, const char* test) {
    if (access(recording, R_OK) == 0) return true;
    print_message("SKIP %s: %s not there\n", test, recording);
    return false;
}

// NULL: `unifloral verify` passes; else the report of a failure, to be freed.
static inline char* report_of(const char* path) {
    char* report;
    bool passed;
    assert_ok(uf_verify(path, &report, &passed));
    if (!passed) return report;
    uf_free(report);
    return NULL;
}

#endif
