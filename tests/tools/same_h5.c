// same_h5 A B [PREFIX]: says whether two HDF5 files hold the same datasets, to the bit. Attributes are left
// out: they hold names and times. With PREFIX only datasets below it count ("value/" of checkpoints). Status
// 0 same, 1 different, 2 trouble.
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Walk {
    hid_t other;
    const char* prefix;
    int num_datasets, num_different;
} Walk;

static void* contents(hid_t file, const char* name, size_t* num_bytes) {
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    if (dataset < 0) return NULL;
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    *num_bytes = H5Tget_size(type) * (size_t)H5Sget_simple_extent_npoints(space);
    void* data = calloc(*num_bytes + 1, 1);
    if (data && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) {
        free(data);
        data = NULL;
    }
    H5Tclose(type);
    H5Sclose(space);
    H5Dclose(dataset);
    return data;
}

static herr_t visit(hid_t file, const char* name, const H5O_info_t* info, void* user) {
    Walk* walk = user;
    size_t a_bytes = 0, b_bytes = 0;
    if (info->type != H5O_TYPE_DATASET || strncmp(name, walk->prefix, strlen(walk->prefix))) return 0;
    void *a = contents(file, name, &a_bytes), *b = contents(walk->other, name, &b_bytes);
    walk->num_datasets++;
    if (!a || !b || a_bytes != b_bytes || memcmp(a, b, a_bytes)) {
        walk->num_different++;
        printf("%s differs\n", name);
    }
    free(a);
    free(b);
    return 0;
}

static herr_t count(hid_t file, const char* name, const H5O_info_t* info, void* user) {
    Walk* walk = user;
    (void)file;
    walk->num_datasets +=
        info->type == H5O_TYPE_DATASET && !strncmp(name, walk->prefix, strlen(walk->prefix));
    return 0;
}

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t a = H5Fopen(argv[1], H5F_ACC_RDONLY, H5P_DEFAULT),
          b = H5Fopen(argv[2], H5F_ACC_RDONLY, H5P_DEFAULT);
    Walk walk = {b, argc > 3 ? argv[3] : "", 0, 0}, back = {a, walk.prefix, 0, 0};
    if (a < 0 || b < 0 || H5Ovisit(a, H5_INDEX_NAME, H5_ITER_INC, visit, &walk) < 0 ||
        H5Ovisit(b, H5_INDEX_NAME, H5_ITER_INC, count, &back) < 0)
        return 2;
    H5Fclose(a);
    H5Fclose(b);
    printf("%d datasets, %d in the other file, %d different\n", walk.num_datasets, back.num_datasets,
           walk.num_different);
    return walk.num_datasets == 0 || walk.num_datasets != back.num_datasets || walk.num_different > 0;
}
