// hades_search.h: the inside of hades.c, for the files that run, test and draw it.
#ifndef UF_HADES_SEARCH_H
#define UF_HADES_SEARCH_H

#include <signal.h>  // sig_atomic_t

#include "hades.h"
#include "kernels.h"
#include "core/config.h"
#include "core/data/images.h"
#include "core/envs/envs.h"
#include "core/ranks.h"
#include "core/search/distilled.h"

struct HdConfig {
#define UF_GROUP(id, title)
#define UF_INT(name, value, low, high, scope, help) int64_t name;
#define UF_FLOAT(name, value, low, high, scope, help) double name;
#define UF_BOOL(name, value, scope, help) bool name;
#define UF_ENUM(name, value, choices, scope, help) int name;
#define UF_STRING(name, value, scope, help) char name[UF_STRING_BYTES];
#include "hades.def"
};

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
enum { HD_NORM_AUTO, HD_NORM_NONE, HD_NORM_SCALE, HD_NORM_CONSTANT, HD_NORM_RUNNING };

extern const UfTable hd_table;
UfStatus hd_config_check(const HdConfig* config);  // rules between fields, and of the environment

// ---- the search ----

// hd_search_create and hd_search_step for several processes that share each generation.   Nullable: ranks
UfStatus hd_search_open(HdSearch** out, const HdConfig* config, const UfRanks* ranks);
// stop: of this process. *stopped: whether any process was asked to, the same on all; then nothing was told, and the
// generation begins anew when the search goes on.   Nullable: out, stop with stopped
UfStatus hd_search_step_until(HdSearch* search, HdGeneration* out, const volatile sig_atomic_t* stop,
                              bool* stopped);
// run: RUN fields of it take the place of the file's.   Nullable: run, ranks
UfStatus hd_search_reopen(HdSearch** out, const char* path, const HdConfig* run, const UfRanks* ranks);
// What a checkpoint is of, as lines of text (free with uf_free): `unifloral info`.
UfStatus hd_checkpoint_info(const char* path, char** text);
const HdConfig* hd_search_config(const HdSearch* search);
// What the networks of the search run on.
UfBackend* hd_search_backend(HdSearch* search);

// The mean as a dataset: what the search is for.   Errors: UF_ERR_UNSUPPORTED where weights evolve.
UfStatus hd_search_dataset(HdSearch* search, UfDistilled** out);
// Initial weights by hidden_init into params (size), which is zeroed: of networks that candidates are cloned from.
UfStatus hd_fill_init(real* params, const UfCloneNet* net, const HdConfig* config, uint64_t seed);
// Fitness of given candidates x (count, dims) in the present generation: a candidate's does not depend on the others.
UfStatus hd_search_rate(HdSearch* search, const float* x, int count, double* fitness);

// ---- policies from a dataset ----

typedef struct HdRateOptions {
    const HdConfig* config;  // networks, cloning, greedy; of images which they are
    const char* task;        // which environment of a dataset of several.   Nullable: the only one
    int num_inits, num_episodes;
    int64_t seed;
    bool own_inits;  // the initial weights that the search itself had under policies=fixed; num_inits of them
} HdRateOptions;

// num_inits policies with initial weights of their own, cloned from data and played: numbers (num_inits, num_numbers)
// are returns of num_episodes each; of images loss and accuracy on the test set. Policy i depends on (seed, i) alone.
typedef struct HdRating {
    int num_inits, num_numbers;
    double* numbers;
    double mean, std, least, stderr_mean;  // over the policies' means; of images over their accuracies
} HdRating;
// Errors: UF_ERR_CONFIG (another task, a loss of other actions), and those of hd_search_create.
UfStatus hd_rate(HdRating* out, const UfDistilled* data, const HdRateOptions* options);
// The same of a policy that evolved itself: num_inits sets of episodes of the search's mean.
UfStatus hd_rate_weights(HdRating* out, HdSearch* search, int num_inits, int num_episodes, int64_t seed);
void hd_rating_free(HdRating* rating);

#endif
