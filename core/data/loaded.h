// loaded.h: a dataset where ops can read it.
#ifndef UF_LOADED_H
#define UF_LOADED_H

#include "kernels.h"

// On a backend that is apart: a copy. Zeros to begin with.
typedef struct UfLoaded {
    const UfDataset* of;
    char hash[65];
    int64_t num_records, num_rows, capacity;
    float *records, *next_obs;
    int64_t* rows;
} UfLoaded;

// The dataset's arrays themselves, or their copy, which is made anew only when the dataset is another. Records that came
// since are added to it, where it is for a dataset that grows; then only the last of those before may have changed.
// Errors: UF_ERR_MEMORY, UF_ERR_DEVICE.
UfStatus uf_loaded_source(UfLoaded* loaded, UfBackend* backend, const UfDataset* dataset, UfSource* source);
void uf_loaded_free(UfLoaded* loaded, UfBackend* backend);

#endif
