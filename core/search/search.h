// search.h: what every search on an evolution strategy does, whatever its candidates are and whatever rates them:
// behaviour distillation (hades.c), synthetic environments (synth_search.c). A run of one in a folder: search_run.h.
#ifndef UF_SEARCH_H
#define UF_SEARCH_H

#include <signal.h>  // sig_atomic_t

#include "core/config.h"
#include "core/ranks.h"
#include "core/search/es.h"

// ---- random numbers ----

// A seed for one purpose: of a generation, number `index` of it. `stream` is the search's (philox.h).
uint64_t uf_search_seed(uint32_t stream, int64_t seed, int purpose, int64_t generation, int64_t index);

// ---- a generation ----

// Everybody gets everybody's fitness, and hears of those that were asked to stop or failed. fitness: (popsize + 2), in
// which candidates that others rate are 0. mine: how this process fared. *stopped: whether any was asked to.
// Nullable: ranks, stop   Errors: mine, or UF_ERR_DEVICE where another process failed.
UfStatus uf_search_share_fitness(const UfEs* es, const UfRanks* ranks, double* fitness, UfStatus mine,
                                 const volatile sig_atomic_t* stop, bool* stopped);

// How a search rates candidates x (count, dims): `begin` for a generation, then `rate`, `chunk` of them at most at a time.
// One that is asked to stop may leave off with UF_ERR_STOPPED.
typedef struct UfSearchRater {
    void* search;
    UfStatus (*begin)(void* search);
    UfStatus (*rate)(void* search, const float* x, int count, double* fitness,
                     const volatile sig_atomic_t* stop);
    int chunk;
    float* x;         // (chunk, dims) to work with
    double* fitness;  // (popsize + 2), likewise
} UfSearchRater;
// A generation: this process's share of the candidates, then everybody's fitness is told. *stopped, the same on all
// ranks: none was, and it begins anew when the search goes on.   Nullable: ranks, stop
UfStatus uf_search_generation(UfEs* es, const UfRanks* ranks, const UfSearchRater* rater,
                              const volatile sig_atomic_t* stop, bool* stopped);
// Fitness of given candidates x (count, dims) in the present generation.
UfStatus uf_search_rate(const UfEs* es, const UfSearchRater* rater, const float* x, int count,
                        double* fitness);

// What a generation came to, once it was told. mean, best, std: over the candidates whose fitness is finite. best:
// largest, or smallest where the strategy minimises.
typedef struct UfGeneration {
    int64_t generation;  // told so far
    double mean, best, std, best_ever;
    int64_t num_nonfinite;  // candidates of the whole search
} UfGeneration;
UfGeneration uf_search_summary(const UfEs* es, const double* fitness);

// ---- files ----

// Files of a search say what they are, and by which configuration: attributes kind, version, config of the root.
typedef struct UfSearchFile {
    const char *kind, *what;  // "unifloral-hades", "a distillation"
    const UfTable* table;     // of the configuration
} UfSearchFile;

// Writes the rest of a file.
typedef UfStatus UfSearchWrite(const void* context, const UfH5* h5);
// A file with these attributes and what `write` adds: written beside, flushed, renamed.
UfStatus uf_search_write_file(const UfSearchFile* file, const char* path, const void* config,
                              UfSearchWrite* write, const void* context);
// The configuration in a file (free with uf_free).   Errors: UF_ERR_FORMAT ("is no checkpoint of a distillation")
UfStatus uf_search_read_config(const UfSearchFile* file, const UfH5* h5, void** config);

// How a checkpoint with a strategy in group "es" is told.
typedef struct UfSearchAbout {
    const char* what;                  // "behaviour distillation (HaDES-R)"
    const char *subject_is, *subject;  // "environment", "CartPole-v1"
    const char* fitness_is;            // "best fitness"
    int64_t popsize;
} UfSearchAbout;
// As lines of text (free with uf_free): `unifloral info`. about: by the configuration, whose texts it may point to.
UfStatus uf_search_checkpoint_info(const UfSearchFile* file, const char* path,
                                   UfSearchAbout about(const void* config), char** text);

#endif
