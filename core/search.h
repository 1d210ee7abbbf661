// search.h: what every search on an evolution strategy does, whatever its candidates are and whatever rates them:
// behaviour distillation (hades.c), synthetic environments (synth_search.c). A run of one in a folder: search_run.h.
#ifndef UF_SEARCH_H
#define UF_SEARCH_H

#include <signal.h>  // sig_atomic_t

#include "config.h"
#include "es.h"
#include "ranks.h"

// ---- random numbers ----

// A seed for one purpose: of a generation, number `index` of it. `stream` is the search's (philox.h).
uint64_t uf_search_seed(uint32_t stream, int64_t seed, int purpose, int64_t generation, int64_t index);

// ---- a generation ----

// Everybody gets everybody's fitness, and hears of those that were asked to stop or failed. fitness: (popsize + 2), in
// which candidates that others rate are 0. mine: how this process fared. *stopped: whether any was asked to.
// Nullable: ranks, stop   Errors: mine, or UF_ERR_DEVICE where another process failed.
UfStatus uf_search_share_fitness(const UfEs* es, const UfRanks* ranks, double* fitness, UfStatus mine,
                                 const volatile sig_atomic_t* stop, bool* stopped);

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
