// loaded.c: a dataset where ops can read it.
#include "core/data/loaded.h"

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

static int64_t capacity_of(const UfDataset* d) { return d->capacity > 0 ? d->capacity : d->num_records; }

// What is there is a copy of it, as long as it was then.
static bool is_copied(const UfLoaded* l, const UfDataset* d) {
    return l->of == d && !strcmp(l->hash, d->hash) && l->capacity == capacity_of(d) &&
           l->num_records <= d->num_records && (d->capacity > 0 || l->num_rows == d->num_rows);
}

static UfStatus reserve(UfLoaded* l, UfBackend* be, const UfDataset* d) {
    const size_t capacity = (size_t)capacity_of(d), item = sizeof(float);
    void* memory = NULL;
    uf_loaded_free(l, be);
    UF_TRY(be->reserve(be, &memory, capacity * (size_t)d->stride * item, "dataset"));
    l->records = memory;
    if (d->next_obs) {
        UF_TRY(be->reserve(be, &memory, capacity * (size_t)d->obs_dim * item,
                           "next observations of the dataset"));
        l->next_obs = memory;
    }
    if (d->rows) {
        UF_TRY(be->reserve(be, &memory, (size_t)d->num_rows * sizeof *d->rows, "rows of the dataset"));
        l->rows = memory;
        be->upload(be, l->rows, d->rows, (size_t)d->num_rows * sizeof *d->rows);
    }
    l->of = d;
    l->capacity = capacity_of(d);
    l->num_rows = d->num_rows;
    snprintf(l->hash, sizeof l->hash, "%s", d->hash);
    return UF_OK;
}

static void send_records(UfLoaded* l, UfBackend* be, const UfDataset* d) {
    const size_t first =
                     l->num_records > 0 ? (size_t)l->num_records - 1 : 0,  // whether the last goes on is news
        count = (size_t)d->num_records - first, stride = (size_t)d->stride, O = (size_t)d->obs_dim;
    be->upload(be, l->records + first * stride, d->records + first * stride, count * stride * sizeof(float));
    if (d->next_obs)
        be->upload(be, l->next_obs + first * O, d->next_obs + first * O, count * O * sizeof(float));
    l->num_records = d->num_records;
    l->num_rows = d->num_rows;
}

static UfStatus copy_dataset(UfLoaded* l, UfBackend* be, const UfDataset* d) {
    if (!is_copied(l, d)) UF_TRY(reserve(l, be, d));
    if (l->num_records == d->num_records) return UF_OK;
    send_records(l, be, d);
    return be->sync(be);
}

UfStatus uf_loaded_source(UfLoaded* l, UfBackend* be, const UfDataset* d, UfSource* source) {
    if (be->apart) UF_TRY(copy_dataset(l, be, d));
    *source = (UfSource){.records = be->apart ? l->records : d->records,
                         .next_obs = be->apart ? l->next_obs : d->next_obs,
                         .rows = be->apart ? l->rows : d->rows,
                         .num_rows = d->num_rows,
                         .obs_dim = d->obs_dim,
                         .action_dim = d->action_dim,
                         .stride = d->stride};
    return UF_OK;
}
