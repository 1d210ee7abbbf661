// loaded.c: a dataset where ops can read it.
#include "loaded.h"

#include <stdio.h>
#include <string.h>

void uf_loaded_free(UfLoaded* l, UfBackend* be) {
    if (be->apart) {
        be->release(be, l->records);
        be->release(be, l->next_obs);
        be->release(be, l->rows);
    }
    *l = (UfLoaded){0};
}

static UfStatus send(UfBackend* be, void** out, const void* host, size_t bytes, const char* what) {
    if (!host) return UF_OK;
    UF_TRY(be->reserve(be, out, bytes, what));
    be->upload(be, *out, host, bytes);
    return UF_OK;
}

static bool is_copied(const UfLoaded* l, const UfDataset* d) {
    return l->of == d && !strcmp(l->hash, d->hash) && l->num_records == d->num_records &&
           l->num_rows == d->num_rows;
}

static UfStatus copy_dataset(UfLoaded* l, UfBackend* be, const UfDataset* d) {
    const size_t records = (size_t)d->num_records, item = sizeof(float);
    uf_loaded_free(l, be);
    UF_TRY(send(be, (void**)&l->records, d->records, records * (size_t)d->stride * item, "dataset"));
    UF_TRY(send(be, (void**)&l->next_obs, d->next_obs, records * (size_t)d->obs_dim * item,
                "next observations of the dataset"));
    UF_TRY(send(be, (void**)&l->rows, d->rows, (size_t)d->num_rows * sizeof *d->rows, "rows of the dataset"));
    UF_TRY(be->sync(be));
    l->of = d;
    l->num_records = d->num_records;
    l->num_rows = d->num_rows;
    snprintf(l->hash, sizeof l->hash, "%s", d->hash);
    return UF_OK;
}

UfStatus uf_loaded_source(UfLoaded* l, UfBackend* be, const UfDataset* d, UfSource* source) {
    if (be->apart && !is_copied(l, d)) UF_TRY(copy_dataset(l, be, d));
    *source = (UfSource){.records = be->apart ? l->records : d->records,
                         .next_obs = be->apart ? l->next_obs : d->next_obs,
                         .rows = be->apart ? l->rows : d->rows,
                         .num_rows = d->num_rows,
                         .obs_dim = d->obs_dim,
                         .action_dim = d->action_dim,
                         .stride = d->stride};
    return UF_OK;
}
