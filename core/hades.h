// hades.h: the inside of hades.c, for the files that run, test and draw it.
#ifndef UF_HADES_H
#define UF_HADES_H

#include "../kernels.h"
#include "config.h"
#include "distilled.h"
#include "envs.h"
#include "images.h"
#include "ranks.h"

typedef struct HdConfig {
#define UF_GROUP(id, title)
#define UF_INT(name, value, low, high, scope, help) int64_t name;
#define UF_FLOAT(name, value, low, high, scope, help) double name;
#define UF_BOOL(name, value, scope, help) bool name;
#define UF_ENUM(name, value, choices, scope, help) int name;
#define UF_STRING(name, value, scope, help) char name[UF_STRING_BYTES];
#include "../hades.def"
} HdConfig;

// Indices into the choices of the enums.
enum { HD_SEARCH_DATASET, HD_SEARCH_WEIGHTS };
enum { HD_STRATEGY_OPENES, HD_STRATEGY_SNES };
enum { HD_LABELS_AUTO, HD_LABELS_EVOLVED, HD_LABELS_FIXED, HD_LABELS_SOFT };
enum { HD_MEAN_ZERO, HD_MEAN_CLASS, HD_MEAN_SAMPLE };
enum { HD_POLICIES_FRESH, HD_POLICIES_FIXED };
enum { HD_INIT_LECUN, HD_INIT_ORTHOGONAL };
enum { HD_LOSS_AUTO, HD_LOSS_GAUSSIAN_NLL, HD_LOSS_CE, HD_LOSS_CE_OVER_ACTIONS };
enum { HD_FITNESS_FIRST, HD_FITNESS_ENDED, HD_FITNESS_LAST, HD_FITNESS_RUNNING };
enum { HD_STARTS_RANDOM, HD_STARTS_GRID };
enum { HD_NORM_NONE, HD_NORM_SCALE, HD_NORM_CONSTANT, HD_NORM_RUNNING };

extern const UfTable hd_table;
UfStatus hd_config_check(const HdConfig* config);  // rules between fields, and of the environment

// ---- the search ----

typedef struct HdSearch HdSearch;

// Nothing is evaluated yet. ranks: the processes that share each generation; NULL: this one alone.
// Errors: UF_ERR_CONFIG, UF_ERR_MEMORY, UF_ERR_UNSUPPORTED, and what environment, images and files can refuse.
// Nullable: ranks
UfStatus hd_search_create(HdSearch** out, const HdConfig* config, const UfRanks* ranks);
void hd_search_free(HdSearch* search);
const HdConfig* hd_search_config(const HdSearch* search);
const UfEs* hd_search_es(const HdSearch* search);

typedef struct HdGeneration {
    int64_t generation;  // told so far
    double mean, best, std;  // fitness over the population
    double best_ever;
    int64_t num_nonfinite;  // candidates so far
    int64_t num_candidates;  // that this process trained in the generation
    double seconds;
} HdGeneration;
// Asks, clones, plays, tells. stop: of this process; *stopped says whether any process was asked to, the same on all
// ranks; then nothing was told.   Nullable: stop, stopped
// Errors: UF_ERR_NONFINITE (no candidate has a fitness), UF_ERR_DEVICE, those of another rank.
UfStatus hd_search_step(HdSearch* search, HdGeneration* out, const volatile sig_atomic_t* stop, bool* stopped);

// The mean as a dataset: what the search is for. UF_ERR_UNSUPPORTED where weights evolve.
UfStatus hd_search_dataset(HdSearch* search, UfDistilled** out);

// Layout: attributes kind "unifloral-hades", version; config (JSON); es/...; norm/{mean,divisor}.
UfStatus hd_search_save(const HdSearch* search, const char* path);
UfStatus hd_search_load(HdSearch** out, const char* path, const HdConfig* run, const UfRanks* ranks);  // run: RUN fields

// ---- policies ----

// num_inits policies with fresh initial weights, cloned from data as config says and rated over num_episodes each:
// returns (num_inits, num_episodes); of images (num_inits, 2), loss and accuracy on the test set. Policy i depends on
// (seed, i) alone.   Nullable: env (that of data; a merged dataset wants it said)
typedef struct HdRating {
    int num_inits, num_numbers;
    double* numbers;  // (num_inits, num_numbers)
    double mean, std, least;  // of the means of policies
    double stderr_mean;
} HdRating;
UfStatus hd_rate(HdRating* out, const HdConfig* config, const UfDistilled* data, const char* env, int num_inits,
                 int num_episodes, int64_t seed);
void hd_rating_free(HdRating* rating);

#endif
