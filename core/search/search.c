// search.c: see search.h.
#include "core/search/search.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/philox.h"

// ---- random numbers ----

uint64_t uf_search_seed(uint32_t stream, int64_t seed, int purpose, int64_t generation, int64_t index) {
    const UfPhilox w =
        uf_philox((uint64_t)seed, stream, (uint64_t)generation, (uint64_t)purpose << 32 | (uint64_t)index);
    return (uint64_t)w.v[0] << 32 | w.v[1];
}

// ---- a generation ----

UfStatus uf_search_share_fitness(const UfEs* es, const UfRanks* ranks, double* fitness, UfStatus mine,
                                 const volatile sig_atomic_t* stop, bool* stopped) {
    const int64_t P = uf_es_options(es)->popsize;
    *stopped = stop && *stop;
    if (!ranks) return mine;
    char sentence[512];
    snprintf(sentence, sizeof sentence, "%s", mine == UF_OK ? "" : uf_error());
    fitness[P] = *stopped;
    fitness[P + 1] = mine != UF_OK;
    UF_TRY(ranks->sum(ranks->context, fitness, P + 2));
    *stopped = fitness[P] > 0;
    if (mine != UF_OK) return UF_FAIL(mine, "%s", sentence);
    if (fitness[P + 1] > 0)
        return UF_FAIL(UF_ERR_DEVICE,
                       "%g of %d processes failed in generation %lld; their own messages say why",
                       fitness[P + 1], ranks->size, (long long)uf_es_generation(es) + 1);
    return UF_OK;
}

static UfStatus rate_share(const UfEs* es, const UfRanks* ranks, const UfSearchRater* r,
                           const volatile sig_atomic_t* stop) {
    const UfEsOptions* o = uf_es_options(es);
    int64_t first, end;
    uf_rank_share(ranks, o->popsize, &first, &end);
    UF_TRY(r->begin(r->search));
    for (int64_t i = first; i < end && !(stop && *stop); i += r->chunk) {
        const int n = end - i < r->chunk ? (int)(end - i) : r->chunk;
        for (int k = 0; k < n; k++) uf_es_candidate(es, (int)i + k, r->x + (int64_t)k * o->dims);
        const UfStatus status = r->rate(r->search, r->x, n, r->fitness + i, stop);
        if (status != UF_ERR_STOPPED) UF_TRY(status);
    }
    return UF_OK;
}

UfStatus uf_search_generation(UfEs* es, const UfRanks* ranks, const UfSearchRater* r,
                              const volatile sig_atomic_t* stop, bool* stopped) {
    memset(r->fitness, 0, (size_t)(uf_es_options(es)->popsize + 2) * sizeof *r->fitness);
    UF_TRY(uf_search_share_fitness(es, ranks, r->fitness, rate_share(es, ranks, r, stop), stop, stopped));
    return *stopped ? UF_OK : uf_es_tell(es, r->fitness);
}

UfStatus uf_search_rate(const UfEs* es, const UfSearchRater* r, const float* x, int count, double* fitness) {
    UF_TRY(r->begin(r->search));
    for (int i = 0; i < count; i += r->chunk) {
        const int n = count - i < r->chunk ? count - i : r->chunk;
        UF_TRY(r->rate(r->search, x + i * uf_es_options(es)->dims, n, fitness + i, NULL));
    }
    return UF_OK;
}

UfGeneration uf_search_summary(const UfEs* es, const double* fitness) {
    const UfEsOptions* o = uf_es_options(es);
    UfGeneration g = {
        .generation = uf_es_generation(es), .best = NAN, .num_nonfinite = uf_es_num_nonfinite(es)};
    int64_t n = 0;
    for (int i = 0; i < o->popsize; i++) {
        const double f = fitness[i];
        if (!isfinite(f)) continue;
        n++;
        g.mean += f;
        if (!(o->maximize ? f <= g.best : f >= g.best)) g.best = f;
    }
    g.mean /= (double)n;
    for (int i = 0; i < o->popsize; i++)
        if (isfinite(fitness[i])) g.std += (fitness[i] - g.mean) * (fitness[i] - g.mean);
    g.std = sqrt(g.std / (double)n);
    uf_es_best(es, &g.best_ever);
    return g;
}

// ---- files ----

static UfStatus write_all(const UfSearchFile* file, const UfH5* h5, const void* config, UfSearchWrite* write,
                          const void* context) {
    char* json;
    UF_TRY(uf_h5_write_string(h5, "/", "kind", file->kind));
    UF_TRY(uf_h5_write_string(h5, "/", "version", uf_version()));
    UF_TRY(uf_table_json(file->table, config, &json));
    const UfStatus status = uf_h5_write_string(h5, "/", "config", json);
    uf_free(json);
    UF_TRY(status);
    return write(context, h5);
}

UfStatus uf_search_write_file(const UfSearchFile* file, const char* path, const void* config,
                              UfSearchWrite* write, const void* context) {
    char temporary[1100];
    UfH5 h5;
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    UF_TRY(uf_h5_create(&h5, temporary));
    UfStatus status = write_all(file, &h5, config, write, context);
    const UfStatus closed = uf_h5_close(&h5);
    if (status == UF_OK) status = closed;
    if (status == UF_OK) return uf_commit_file(temporary, path);
    remove(temporary);
    return status;
}

UfStatus uf_search_read_config(const UfSearchFile* file, const UfH5* h5, void** config) {
    char label[1100], *text = NULL;
    const bool has_kind = uf_h5_has_attribute(h5, "/", "kind");
    *config = NULL;
    if (has_kind) UF_TRY(uf_h5_read_string(h5, "/", "kind", &text));
    const bool right = has_kind && !strcmp(text, file->kind);
    uf_free(text);
    if (!right) return UF_FAIL(UF_ERR_FORMAT, "%s: is no checkpoint of %s", h5->path, file->what);
    UF_TRY(uf_h5_read_string(h5, "/", "config", &text));
    snprintf(label, sizeof label, "%s: config", h5->path);
    UfStatus status = uf_table_create(file->table, config);
    if (status == UF_OK) status = uf_table_parse(file->table, *config, text, label);
    uf_free(text);
    return status;
}

static UfStatus describe(const UfSearchFile* file, const UfH5* h5, const void* config,
                         const UfSearchAbout* about, UfText* text) {
    double generation, best;
    UfH5Shape shape;
    UF_TRY(uf_h5_shape(h5, "es/mean", &shape));
    UF_TRY(uf_h5_read_number(h5, "es", "generation", &generation));
    UF_TRY(uf_h5_read_number(h5, "es", "best_fitness", &best));
    uf_text_add(text, "%-14s %s\n%-14s %s\n", "file", h5->path, "checkpoint", about->what);
    uf_text_add(text, "%-14s %s\n", about->subject_is, about->subject);
    uf_text_add(text, "%-14s %.0f\n", "generation", generation);
    uf_text_add(text, "%-14s %lld numbers, %lld of them a generation\n", "candidates", (long long)shape.count,
                (long long)about->popsize);
    if (isfinite(best)) uf_text_add(text, "%-14s %.4g\n", about->fitness_is, best);
    return uf_table_describe_settings(file->table, config, text);
}

UfStatus uf_search_checkpoint_info(const UfSearchFile* file, const char* path,
                                   UfSearchAbout about(const void* config), char** text) {
    UfH5 h5;
    void* config;
    UfText out = {0};
    *text = NULL;
    UF_TRY(uf_h5_open(&h5, path));
    UfStatus status = uf_search_read_config(file, &h5, &config);
    if (status == UF_OK) {
        const UfSearchAbout told = about(config);
        status = describe(file, &h5, config, &told, &out);
    }
    uf_h5_close(&h5);
    uf_free(config);
    if (status != UF_OK) out.status = status;
    return uf_text_finish(&out, text);
}
