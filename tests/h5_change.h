// h5_change.h: changes one number of a recording, for tests that a changed file is noticed. After support.h.
#ifndef UF_TEST_H5_CHANGE_H
#define UF_TEST_H5_CHANGE_H

#include <hdf5.h>

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

#endif
