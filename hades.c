// hades.c: behaviour distillation: find the few state-action pairs on which behaviour cloning trains a good policy.
//
//   a generation:  candidates of an evolution strategy (core/search/es.c), each a dataset
//                  -> R policies for each, cloned on it from fresh (HaDES-R) or fixed (HaDES-F) weights (op `clone`)
//                  -> E environments for each policy (core/search/trials.c) -> mean return: the candidate's fitness
//   common random numbers: initial weights, start states and action noise are functions of (seed, generation, r), the
//                  same for all candidates of a generation
//   the result:    the strategy's mean as a dataset, an ordinary HDF5 file
//
// Images take the place of an environment in supervised distillation: the fitness of a dataset is the loss that a network
// cloned on it has on the real training set. Direct evolution of weights, to compare with, skips the cloning.
//
// Rooms: tables, config check, what networks see, images, networks, search, candidates, a generation, the dataset,
// checkpoints, ratings.
// Source: Lupu et al., "Behaviour Distillation", ICLR 2024. Deviations: docs/deviations.md.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/data/dataset.h"
#include "core/search/es.h"
#include "core/search/hades_search.h"
#include "core/search/search.h"
#include "core/search/trials.h"

_Static_assert(sizeof(real) == sizeof(float), "environments and datasets speak float");

// ---- tables ----

#define UF_PARAM_STRUCT HdConfig
static const UfParam params[] = {
#include "core/param_rows.h"
#include "hades.def"
};
const UfTable hd_table = {params, sizeof params / sizeof params[0], sizeof(HdConfig),
                          "unifloral hades --help"};

UfStatus hd_config_create(HdConfig** out) {
    UF_TRY_GIVEN(out);
    return uf_table_create(&hd_table, (void**)out);
}
UfStatus hd_config_load(HdConfig* config, const char* path) { return uf_table_load(&hd_table, config, path); }
UfStatus hd_config_set(HdConfig* config, const char* name, const char* value) {
    return uf_table_set(&hd_table, config, name, value);
}
UfStatus hd_config_json(const HdConfig* config, char** json) {
    UF_TRY_GIVEN(config);
    UF_TRY_GIVEN(json);
    return uf_table_json(&hd_table, config, json);
}
void hd_config_free(HdConfig* config) { uf_free(config); }

// What observations are divided by under obs_norm=scale: about their largest values.
static const struct {
    const char* env;
    float scale[6];
} scales[] = {{"CartPole-v1", {1, 1, 0.1f, 1}},
              {"MountainCar-v0", {0.5f, 0.03f}},
              {"MountainCarContinuous-v0", {0.5f, 0.03f}},
              {"Pendulum-v1", {1, 1, 4}},
              {"Acrobot-v1", {1, 1, 1, 1, 3, 5}}};

static const float* find_scale(const UfEnvSpec* spec) {
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++)
        if (!strcmp(scales[i].env, spec->name)) return scales[i].scale;
    return NULL;
}

enum { NORM_STEPS = 10000 };  // of random play, that obs_norm=constant measures
#define HD_ADAM_EPS 1e-5
#define HD_ES_LR_LIMIT 0.001

// ---- config check ----

// What the configuration is about: an environment, or images (spec NULL).
static UfStatus find_task(const HdConfig* c, const UfEnvSpec** spec) {
    *spec = NULL;
    if (c->env[0] && c->images[0])
        return UF_FAIL(UF_ERR_CONFIG,
                       "env %s and images %s: one of them is what to distil; leave the other empty", c->env,
                       c->images);
    if (!c->env[0] && !c->images[0])
        return UF_FAIL(UF_ERR_CONFIG,
                       "env is empty; expected an environment (unifloral envs lists them), or images=glyphs");
    return c->env[0] ? uf_env_lookup(spec, c->env) : UF_OK;
}

static int resolve_labels(const HdConfig* c, bool discrete) {
    return c->labels != HD_LABELS_AUTO ? c->labels : discrete ? HD_LABELS_FIXED : HD_LABELS_EVOLVED;
}

static int resolve_loss(const HdConfig* c, bool discrete) {
    switch (c->loss) {
        case HD_LOSS_GAUSSIAN_NLL: return UF_CLONE_GAUSSIAN_NLL;
        case HD_LOSS_CE: return UF_CLONE_CE;
        case HD_LOSS_CE_OVER_ACTIONS: return UF_CLONE_CE_OVER_ACTIONS;
        default: return discrete ? UF_CLONE_CE : UF_CLONE_GAUSSIAN_NLL;
    }
}

static int resolve_norm(const HdConfig* c, const UfEnvSpec* spec) {
    return c->obs_norm != HD_NORM_AUTO ? c->obs_norm : find_scale(spec) ? HD_NORM_SCALE : HD_NORM_CONSTANT;
}

static UfStatus check_labels(const HdConfig* c, bool discrete, int kinds, const char* what) {
    const int labels = resolve_labels(c, discrete);
    if (discrete != (labels != HD_LABELS_EVOLVED))
        return UF_FAIL(UF_ERR_CONFIG, "labels: %s has %s actions; expected %s", what,
                       discrete ? "discrete" : "continuous", discrete ? "fixed or soft" : "evolved");
    if (discrete != (resolve_loss(c, discrete) != UF_CLONE_GAUSSIAN_NLL))
        return UF_FAIL(UF_ERR_CONFIG, "loss: %s has %s actions; expected %s", what,
                       discrete ? "discrete" : "continuous",
                       discrete ? "ce or ce_over_actions" : "gaussian_nll");
    if (labels == HD_LABELS_FIXED && c->rows < kinds)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "rows %lld: %s has %d kinds and each needs a row; raise rows to at least %d, or let labels "
            "evolve (labels=soft)",
            (long long)c->rows, what, kinds, kinds);
    return UF_OK;
}

// Episodes that only the limit ends do not end in an evaluation that is shorter: Freeway's 2500 steps, say.
static UfStatus check_fitness(const HdConfig* c, const UfEnvSpec* spec) {
    if ((c->fitness == HD_FITNESS_ENDED || c->fitness == HD_FITNESS_LAST) && spec->endless &&
        c->rollout_steps < spec->max_steps)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "fitness %s counts episodes that ended, and in %s none ends before step %d (rollout_steps is "
            "%lld); raise rollout_steps, or set fitness to running",
            c->fitness == HD_FITNESS_LAST ? "last" : "ended", spec->name, spec->max_steps,
            (long long)c->rollout_steps);
    return UF_OK;
}

static bool is_minatar(const UfEnvSpec* spec) {
    const size_t length = strlen(spec->name), ending = strlen("-MinAtar");
    return length > ending && !strcmp(spec->name + length - ending, "-MinAtar");
}

static UfStatus check_environment(const HdConfig* c, const UfEnvSpec* spec) {
    UF_TRY(uf_env_available(spec));
    if (spec->discrete && spec->action_dim > UF_MAX_KINDS)
        return UF_FAIL(UF_ERR_CONFIG, "env %s has %d kinds of actions; at most %d are supported", spec->name,
                       spec->action_dim, UF_MAX_KINDS);
    if (c->search == HD_SEARCH_DATASET) UF_TRY(check_labels(c, spec->discrete, spec->action_dim, spec->name));
    UF_TRY(check_fitness(c, spec));
    if (c->obs_norm == HD_NORM_SCALE && !find_scale(spec))
        return UF_FAIL(
            UF_ERR_CONFIG,
            "obs_norm scale: there are no fixed scales for %s; set obs_norm to constant, running or none",
            spec->name);
    if (c->conv_filters && !is_minatar(spec))
        return UF_FAIL(UF_ERR_CONFIG, "conv_filters %lld: observations of %s are no picture; set it to 0",
                       (long long)c->conv_filters, spec->name);
    if (c->mean_init != HD_MEAN_ZERO)
        return UF_FAIL(UF_ERR_CONFIG, "mean_init: %s has no images to begin with; expected zero", spec->name);
    return UF_OK;
}

UfStatus hd_config_check(const HdConfig* c) {
    const UfEnvSpec* spec;
    UF_TRY(find_task(c, &spec));
    if (c->strategy == HD_STRATEGY_OPENES && c->popsize % 2)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "popsize %lld is odd; OpenES takes candidates in pairs, one on each side of the mean: set it to "
            "%lld or %lld, or strategy to snes",
            (long long)c->popsize, (long long)c->popsize - 1, (long long)c->popsize + 1);
    if (c->strategy == HD_STRATEGY_OPENES && c->es_lr < HD_ES_LR_LIMIT)
        return UF_FAIL(UF_ERR_CONFIG,
                       "es_lr %g: OpenES's rate falls no lower than %g; expected at least that", c->es_lr,
                       HD_ES_LR_LIMIT);
    if (c->strategy == HD_STRATEGY_OPENES && c->sigma_init < c->sigma_limit)
        return UF_FAIL(UF_ERR_CONFIG,
                       "sigma_init %g is below sigma_limit %g, where sigma's fall ends; lower the limit or "
                       "raise sigma_init",
                       c->sigma_init, c->sigma_limit);
    if (c->obs_norm_data[0] && c->obs_norm != HD_NORM_CONSTANT)
        return UF_FAIL(UF_ERR_CONFIG, "obs_norm_data %s is for obs_norm=constant alone", c->obs_norm_data);
    if (c->search == HD_SEARCH_WEIGHTS && c->rollouts * c->popsize > INT32_MAX)
        return UF_FAIL(UF_ERR_CONFIG, "popsize %lld times rollouts %lld is too many", (long long)c->popsize,
                       (long long)c->rollouts);
    if (c->search == HD_SEARCH_WEIGHTS && c->mean_init != HD_MEAN_ZERO)
        return UF_FAIL(UF_ERR_CONFIG,
                       "mean_init: search=weights has no dataset to begin with; expected zero");
    return spec ? check_environment(c, spec) : check_labels(c, true, 2, c->images);
}

// ---- random numbers ----

enum { KEY_INIT, KEY_PLAY, KEY_NORM, KEY_RATE_INIT, KEY_RATE_PLAY, KEY_TRAIN, KEY_TEST, KEY_SAMPLE };

static uint64_t key(int64_t seed, int purpose, int64_t generation, int64_t index) {
    return uf_search_seed(UF_STREAM_HADES, seed, purpose, generation, index);
}

// ---- what networks see ----

typedef struct Norm {
    int S;
    float *mean, *divisor;  // (S)
    const char* file;       // that it was read from.   Nullable
} Norm;

static void norm_free(Norm* n) {
    uf_free(n->mean);
    uf_free(n->divisor);
}

static UfStatus norm_alloc(Norm* n, int S) {
    n->S = S;
    UF_TRY(UF_ALLOC(&n->mean, S, "observation statistics"));
    UF_TRY(UF_ALLOC(&n->divisor, S, "observation statistics"));
    for (int i = 0; i < S; i++) n->divisor[i] = 1;
    return UF_OK;
}

static void add_observation(double* sums, const float* obs, int S) {
    for (int i = 0; i < S; i++) {
        sums[i] += obs[i];
        sums[S + i] += (double)obs[i] * obs[i];
    }
}

// Observations of uniformly random play.
static UfStatus measure_random_play(Norm* n, const UfEnvSpec* spec, int64_t seed) {
    const int S = spec->obs_dim;
    const uint64_t k = key(seed, KEY_NORM, 0, 0);
    UfRandom random = uf_random(k, UF_STREAM_CONTROLLER, 0);
    float *obs = NULL, action[UF_MAX_KINDS];
    double *sums = NULL, reward;
    UfEnv* env = NULL;
    bool terminated = false, truncated = true;
    UfStatus status = UF_ALLOC(&obs, S, "random play");
    if (status == UF_OK) status = UF_ALLOC(&sums, 2 * S, "random play");
    if (status == UF_OK) status = uf_env_create(&env, spec->name);
    for (int s = 0, episode = 0; s < NORM_STEPS && status == UF_OK; s++) {
        if (terminated || truncated) uf_env_reset(env, k, (uint64_t)episode++, obs);
        status = uf_env_controller(spec, env, obs, 0, &random, action);
        if (status != UF_OK) break;
        uf_env_step(env, action, obs, &reward, &terminated, &truncated);
        add_observation(sums, obs, S);
    }
    for (int i = 0; i < S && status == UF_OK; i++) {
        const double mean = sums[i] / NORM_STEPS, var = sums[S + i] / NORM_STEPS - mean * mean;
        n->mean[i] = (float)mean;
        n->divisor[i] = (float)sqrt((var > 0 ? var : 0) + UF_TRIAL_VAR_EPS);
    }
    uf_env_free(env);
    uf_free(sums);
    uf_free(obs);
    return status;
}

static UfStatus read_statistics(Norm* n, const char* path, const UfEnvSpec* spec) {
    UfDataset* data;
    UF_TRY(uf_dataset_open(&data, path, spec->name));
    UfStatus status = UF_OK;
    if (data->obs_dim != spec->obs_dim)
        status = UF_FAIL(UF_ERR_CONFIG,
                         "obs_norm_data %s has observations of %d numbers, %s has %d; is it of another task?",
                         path, data->obs_dim, spec->name, spec->obs_dim);
    for (int i = 0; i < spec->obs_dim && status == UF_OK; i++) {
        n->mean[i] = data->obs_mean[i];
        n->divisor[i] = data->norm_divisor
                            ? data->norm_divisor[i]
                            : (float)sqrt((double)data->obs_std[i] * data->obs_std[i] + UF_TRIAL_VAR_EPS);
    }
    uf_dataset_free(data);
    return status;
}

static UfStatus norm_find(Norm* n, const HdConfig* c, const UfEnvSpec* spec) {
    const int kind = resolve_norm(c, spec);
    if (kind == HD_NORM_SCALE) memcpy(n->divisor, find_scale(spec), (size_t)spec->obs_dim * sizeof(float));
    if (kind != HD_NORM_CONSTANT) return UF_OK;
    return c->obs_norm_data[0] ? read_statistics(n, c->obs_norm_data, spec)
                               : measure_random_play(n, spec, c->seed);
}

// ---- images ----

// What the images are is a function of the configuration.
static UfStatus read_images(const HdConfig* c, UfImages** train, UfImages** test) {
    *train = *test = NULL;
    if (!strcmp(c->images, "glyphs")) {
        UF_TRY(uf_images_draw(train, c->train_images, (int)c->image_classes, (int)c->image_side,
                              c->image_noise, key(c->seed, KEY_TRAIN, 0, 0)));
        UF_TRY(uf_images_draw(test, c->test_images, (int)c->image_classes, (int)c->image_side, c->image_noise,
                              key(c->seed, KEY_TEST, 0, 0)));
    } else {
        UF_TRY(uf_images_read_mnist(c->images, train, test));
    }
    uf_images_standardise(*train, *test);
    return UF_OK;
}

static void one_hot(real* out, const UfImages* images) {
    for (int64_t i = 0; i < images->count; i++) out[i * images->num_classes + images->labels[i]] = 1;
}

// ---- networks ----

static UfCloneNet network(const HdConfig* c, int in, int out, bool discrete, const UfConv* picture) {
    UfConv conv = picture ? *picture : (UfConv){0};
    conv.filters = (int)c->conv_filters;
    return uf_clone_net(c->conv_filters ? &conv : NULL, in, (int)c->layer_width, (int)c->num_layers, out,
                        c->activation, false, !discrete);
}

// How a configuration clones: all but the data.
static UfClone cloning(const HdConfig* c, const UfCloneNet* net, bool discrete) {
    return (UfClone){.net = net,
                     .loss = resolve_loss(c, discrete),
                     .optimizer = c->optimizer,
                     .num_steps = (int)c->num_steps,
                     .lr = c->lr,
                     .eps = HD_ADAM_EPS,
                     .clip = c->max_grad_norm};
}

// A tensor of a network's block. Between them lies padding, which no candidate has numbers for.
typedef struct Tensor {
    size_t offset;
    int rows, columns;  // a vector: one row
    bool kernel, last;
} Tensor;

static int list_tensors(const UfCloneNet* net, Tensor out[2 * UF_MAX_LAYERS + 5]) {
    const UfMlp* m = &net->mlp;
    int n = 0;
    for (int l = 0; l <= m->layers; l++) {
        const int in = l ? m->width : m->in, width = l < m->layers ? m->width : m->out;
        out[n++] = (Tensor){m->kernel[l], in, width, true, l == m->layers};
        out[n++] = (Tensor){m->bias[l], 1, width, false, l == m->layers};
    }
    if (net->has_log_std) out[n++] = (Tensor){m->log_std, 1, m->out, false, true};
    if (!net->conv.filters) return n;
    out[n++] = (Tensor){net->conv_kernel, 9 * net->conv.planes, net->conv.filters, true, false};
    out[n++] = (Tensor){net->conv_bias, 1, net->conv.filters, false, false};
    return n;
}

UfStatus hd_fill_init(real* params, const UfCloneNet* net, const HdConfig* c, uint64_t seed) {
    Tensor tensors[2 * UF_MAX_LAYERS + 5];
    const int n = list_tensors(net, tensors);
    for (int i = 0; i < n; i++) {
        const Tensor* t = &tensors[i];
        UfRandom random = uf_random(seed, UF_STREAM_INIT, (uint64_t)i);
        if (t->kernel && c->hidden_init == HD_INIT_ORTHOGONAL)
            UF_TRY(uf_fill_orthogonal(params + t->offset, t->rows, t->columns, t->columns,
                                      t->last ? 0.01 : sqrt(2), &random));
        else if (t->kernel)
            uf_fill_lecun_normal(params + t->offset, (size_t)t->rows * (size_t)t->columns, t->rows, &random);
        else if (!t->last && c->hidden_init == HD_INIT_LECUN)
            for (int j = 0; j < t->columns; j++)
                params[t->offset + (size_t)j] = (real)uf_random_uniform(&random, 0, 0.05);
    }
    return UF_OK;
}

// ---- search ----

struct HdSearch {
    HdConfig c;
    const UfRanks* ranks;
    UfBackend* be;
    UfEs* es;
    const UfEnvSpec* spec;  // NULL: images
    UfImages *train, *test;
    int S, A, D, R;
    bool discrete;
    int labels, loss;
    UfCloneNet net;
    Norm norm;
    UfTrials* trials;                           // NULL: images
    int64_t dims, num_label_dims;               // of a candidate, and how many of them are labels
    int chunk;                                  // candidates that are cloned at once
    real *init, *states, *label_rows, *params;  // (R, size) (chunk, D, S) (chunk or 1, D, A) (chunk, R, size)
    real *train_states, *train_labels;          // (train, S) (train, A).   NULL: environments
    double* sums;                               // (chunk * R, 2) of images
    real *host, *host_params;                   // what is uploaded or downloaded
    float* x;                                   // (chunk, dims)
    double* fitness;                            // (popsize + 2): and what ranks tell each other
    UfTrial* trial;                             // (chunk * R, E)
    int64_t num_networks, num_steps;            // of the generation
};

static bool evolves_labels(const HdSearch* s) { return s->labels != HD_LABELS_FIXED; }

static UfStatus find_sizes(HdSearch* s) {
    const HdConfig* c = &s->c;
    UfConv picture = {0};
    if (s->spec) {
        s->S = s->spec->obs_dim;
        s->A = s->spec->action_dim;
        s->discrete = s->spec->discrete;
        if (is_minatar(s->spec)) picture = (UfConv){10, 10, s->S / 100, 0};
    } else {
        UF_TRY(read_images(c, &s->train, &s->test));
        picture = (UfConv){s->train->height, s->train->width, s->train->planes, 0};
        s->S = picture.height * picture.width * picture.planes;
        s->A = s->train->num_classes;
        s->discrete = true;
        UF_TRY(check_labels(c, true, s->A, c->images));
    }
    s->D = (int)c->rows;
    s->R = (int)c->rollouts;
    s->labels = resolve_labels(c, s->discrete);
    s->loss = resolve_loss(c, s->discrete);
    s->net = network(c, s->S, s->A, s->discrete, &picture);
    UF_TRY(norm_alloc(&s->norm, s->S));
    if (c->search == HD_SEARCH_WEIGHTS) {
        Tensor tensors[2 * UF_MAX_LAYERS + 5];
        const int n = list_tensors(&s->net, tensors);
        for (int i = 0; i < n; i++) s->dims += (int64_t)tensors[i].rows * tensors[i].columns;
        if (!s->spec) s->R = 1;  // the same number each time
        return UF_OK;
    }
    s->num_label_dims = evolves_labels(s) ? (int64_t)s->D * s->A : 0;
    s->dims = s->num_label_dims + (int64_t)s->D * s->S;
    return UF_OK;
}

static UfEsShaping shaping(const HdConfig* c) {
    static const UfEsShaping kinds[] = {UF_ES_RAW, UF_ES_CENTERED_RANK, UF_ES_Z_SCORE};
    return kinds[c->shaping];
}

static UfStatus create_strategy(HdSearch* s) {
    const HdConfig* c = &s->c;
    UfEsOptions o;
    uf_es_default_options(&o, c->strategy == HD_STRATEGY_OPENES ? UF_ES_OPENES : UF_ES_SNES);
    o.popsize = (int)c->popsize;
    o.dims = s->dims;
    o.maximize = s->spec != NULL;
    o.seed = (uint64_t)c->seed;
    o.sigma_init = c->sigma_init;
    o.sigma_decay = c->sigma_decay;
    o.sigma_limit = c->sigma_limit;
    o.lr = c->es_lr;
    o.lr_decay = c->es_lr_decay;
    o.lr_limit = HD_ES_LR_LIMIT;
    o.shaping = shaping(c);
    o.temperature = c->temperature;
    return uf_es_create(&s->es, &o);
}

// Where images begin: the mean of each class, or one of its images.
static UfStatus begin_at_images(HdSearch* s) {
    const UfImages* train = s->train;
    double* mean;
    UF_TRY(UF_ALLOC(&mean, s->dims, "the mean of a search"));
    for (int d = 0; d < s->D; d++) {
        double* row = mean + s->num_label_dims + (int64_t)d * s->S;
        int64_t count = 0, wanted = -1;
        for (int64_t i = 0; i < train->count; i++) count += train->labels[i] == d % s->A;
        if (s->c.mean_init == HD_MEAN_SAMPLE && count)
            wanted = (int64_t)(key(s->c.seed, KEY_SAMPLE, 0, d) % (uint64_t)count);
        for (int64_t i = 0, at = 0; i < train->count; i++) {
            if (train->labels[i] != d % s->A || (wanted >= 0 && at++ != wanted)) continue;
            for (int j = 0; j < s->S; j++)
                row[j] += (double)train->pixels[i * s->S + j] / (double)(wanted >= 0 ? 1 : count);
        }
        for (int k = 0; k < s->A && s->labels == HD_LABELS_SOFT; k++)
            mean[(int64_t)d * s->A + k] = k == d % s->A ? 4 : 0;  // logits of a softmax of about .9
    }
    uf_es_set_mean(s->es, mean);
    uf_free(mean);
    return UF_OK;
}

static UfStatus create_trials(HdSearch* s) {
    static const UfTrialRule rules[] = {UF_TRIAL_FIRST, UF_TRIAL_ENDED, UF_TRIAL_LAST, UF_TRIAL_RUNNING};
    const HdConfig* c = &s->c;
    const UfTrialOptions o = {.backend = s->be,
                              .spec = s->spec,
                              .net = &s->net,
                              .num_envs = (int)c->num_envs,
                              .num_steps = c->rollout_steps,
                              .num_keys = s->R,
                              .rule = rules[c->fitness],
                              .greedy = c->greedy,
                              .grid = c->starts == HD_STARTS_GRID,
                              .mean = s->norm.mean,
                              .divisor = s->norm.divisor,
                              .running = c->obs_norm == HD_NORM_RUNNING};
    return uf_trials_create(&s->trials, &o, s->be->pool);
}

static UfStatus reserve(HdSearch* s, real** out, size_t count, const char* what) {
    return s->be->reserve(s->be, (void**)out, count * sizeof(real), what);
}

// Candidates that are cloned and rated at once take at most about this much memory, if it is not one alone; what they
// come to does not depend on it.
enum { CHUNK_BYTES = 64 << 20 };

static UfStatus reserve_arrays(HdSearch* s) {
    const HdConfig* c = &s->c;
    const size_t size = s->net.size, R = (size_t)s->R, D = (size_t)s->D;
    const size_t trials = s->spec ? R * (size_t)c->num_envs : 0;
    const size_t each = (R * size + D * (size_t)(s->S + s->A)) * sizeof(real) + trials * sizeof(UfTrial);
    const size_t most = CHUNK_BYTES / each;
    s->chunk = most < 1 ? 1 : most > (size_t)c->popsize ? (int)c->popsize : (int)most;
    const size_t chunk = (size_t)s->chunk, states = chunk * D * (size_t)s->S,
                 labels = chunk * D * (size_t)s->A;
    const size_t images = s->train ? (size_t)s->train->count * (size_t)s->S : 0, params = chunk * R * size;
    size_t most_host = states > labels ? states : labels;
    if (params > most_host) most_host = params;
    UF_TRY(reserve(s, &s->init, R * size, "initial weights"));
    UF_TRY(reserve(s, &s->states, states, "synthetic states"));
    UF_TRY(reserve(s, &s->label_rows, labels, "synthetic labels"));
    UF_TRY(reserve(s, &s->params, params, "cloned networks"));
    UF_TRY(UF_ALLOC(&s->host, most_host, "candidates"));
    UF_TRY(UF_ALLOC(&s->x, chunk * (size_t)s->dims, "candidates"));
    UF_TRY(UF_ALLOC(&s->fitness, c->popsize + 2, "fitness"));
    if (s->be->apart && s->spec && !uf_trials_apart(s->trials))
        UF_TRY(UF_ALLOC(&s->host_params, params, "cloned networks"));
    if (s->spec) return UF_ALLOC(&s->trial, chunk * trials, "trials");
    const size_t train_labels = (size_t)s->train->count * (size_t)s->A;
    UF_TRY(reserve(s, &s->train_states, images, "images"));
    UF_TRY(reserve(s, &s->train_labels, train_labels, "labels of images"));
    UF_TRY(s->be->reserve(s->be, (void**)&s->sums, chunk * R * 2 * sizeof(double), "scores"));
    s->be->upload(s->be, s->train_states, s->train->pixels, images * sizeof(real));
    real* labels_of_train;
    UF_TRY(UF_ALLOC(&labels_of_train, train_labels, "labels of images"));
    one_hot(labels_of_train, s->train);
    s->be->upload(s->be, s->train_labels, labels_of_train, train_labels * sizeof(real));
    uf_free(labels_of_train);
    return UF_OK;
}

static UfStatus build(HdSearch* s, const Norm* norm) {
    const HdConfig* c = &s->c;
    UF_TRY(hd_config_check(c));
    UF_TRY(find_task(c, &s->spec));
    UF_TRY(find_sizes(s));
    if (norm && norm->S != s->S)
        return UF_FAIL(UF_ERR_FORMAT, "%s: dataset 'norm/mean' has %d numbers; observations have %d",
                       norm->file, norm->S, s->S);
    if (norm) {
        memcpy(s->norm.mean, norm->mean, (size_t)s->S * sizeof(float));
        memcpy(s->norm.divisor, norm->divisor, (size_t)s->S * sizeof(float));
    } else if (s->spec) {
        UF_TRY(norm_find(&s->norm, c, s->spec));
    }
    UF_TRY(uf_backend_open(&s->be, uf_device_name(c->device), "fp32", (int)c->num_threads));
    UF_TRY(create_strategy(s));
    if (c->mean_init != HD_MEAN_ZERO && c->search == HD_SEARCH_DATASET) UF_TRY(begin_at_images(s));
    if (s->spec) UF_TRY(create_trials(s));
    UF_TRY(reserve_arrays(s));
    const int64_t rows = s->train && s->train->count > s->D ? s->train->count : s->D;
    return s->be->plan_clone(s->be, &s->net, s->chunk * s->R, (int)rows);
}

static UfStatus open_search(HdSearch** out, const HdConfig* config, const UfRanks* ranks, const Norm* norm) {
    *out = NULL;
    HdSearch* s;
    UF_TRY(UF_ALLOC(&s, 1, "a search"));
    s->c = *config;
    s->ranks = ranks;
    const UfStatus status = build(s, norm);
    if (status != UF_OK) {
        hd_search_free(s);
        return status;
    }
    *out = s;
    return UF_OK;
}

UfStatus hd_search_open(HdSearch** out, const HdConfig* config, const UfRanks* ranks) {
    return open_search(out, config, ranks, NULL);
}

UfStatus hd_search_create(HdSearch** out, const HdConfig* config) {
    UF_TRY_GIVEN(out);
    *out = NULL;
    UF_TRY_GIVEN(config);
    return open_search(out, config, NULL, NULL);
}

void hd_search_free(HdSearch* s) {
    if (!s) return;
    uf_trials_free(s->trials);
    void* device[] = {s->init,         s->states,       s->label_rows, s->params,
                      s->train_states, s->train_labels, s->sums};
    for (size_t i = 0; i < sizeof device / sizeof device[0] && s->be; i++) s->be->release(s->be, device[i]);
    uf_backend_close(s->be);
    uf_es_free(s->es);
    uf_images_free(s->train);
    uf_images_free(s->test);
    norm_free(&s->norm);
    void* all[] = {s->host, s->host_params, s->x, s->fitness, s->trial, s};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
}

const HdConfig* hd_search_config(const HdSearch* s) { return &s->c; }
const UfEs* hd_search_es(const HdSearch* s) { return s->es; }
UfBackend* hd_search_backend(HdSearch* s) { return s->be; }

// ---- candidates ----

static void softmax(real* out, const float* logits, int A) {
    uf_log_softmax(out, logits, A);
    for (int i = 0; i < A; i++) out[i] = expf(out[i]);
}

// Labels (D, A) of a candidate. Fixed ones go round: with D no multiple of A the first kinds have a row more.
static void candidate_labels(const HdSearch* s, const float* x, real* out) {
    for (int d = 0; d < s->D; d++, out += s->A) {
        if (s->labels == HD_LABELS_EVOLVED)
            memcpy(out, x + d * s->A, (size_t)s->A * sizeof *out);
        else if (s->labels == HD_LABELS_SOFT)
            softmax(out, x + d * s->A, s->A);
        else
            for (int k = 0; k < s->A; k++) out[k] = k == d % s->A;
    }
}

// Networks of weights that are candidates themselves: once for each rollout.
static void candidate_weights(const HdSearch* s, const float* x, real* out) {
    Tensor tensors[2 * UF_MAX_LAYERS + 5];
    const int n = list_tensors(&s->net, tensors);
    memset(out, 0, s->net.size * sizeof *out);
    for (int i = 0; i < n; i++) {
        const size_t count = (size_t)tensors[i].rows * (size_t)tensors[i].columns;
        memcpy(out + tensors[i].offset, x, count * sizeof *out);
        x += count;
    }
    for (int r = 1; r < s->R; r++) memcpy(out + (size_t)r * s->net.size, out, s->net.size * sizeof *out);
}

// Networks (count, R, size) of candidates x (count, dims), where the backend has them.
static void make_networks(HdSearch* s, const float* x, int count) {
    UfBackend* be = s->be;
    const size_t D = (size_t)s->D, n = (size_t)count;
    if (s->c.search == HD_SEARCH_WEIGHTS) {
        for (size_t i = 0; i < n; i++)
            candidate_weights(s, x + i * (size_t)s->dims, s->host + i * (size_t)s->R * s->net.size);
        be->upload(be, s->params, s->host, n * (size_t)s->R * s->net.size * sizeof(real));
        return;
    }
    const bool shared = !evolves_labels(s);
    const size_t states = D * (size_t)s->S, labels = D * (size_t)s->A, sets = shared ? 1 : n;
    for (size_t i = 0; i < n; i++)
        memcpy(s->host + i * states, x + i * (size_t)s->dims + s->num_label_dims, states * sizeof(real));
    be->upload(be, s->states, s->host, n * states * sizeof(real));
    for (size_t i = 0; i < sets; i++) candidate_labels(s, x + i * (size_t)s->dims, s->host + i * labels);
    be->upload(be, s->label_rows, s->host, sets * labels * sizeof(real));
    UfClone clone = cloning(&s->c, &s->net, s->discrete);
    clone.sets = count;
    clone.inits = s->R;
    clone.rows = s->D;
    clone.states = s->states;
    clone.labels = s->label_rows;
    clone.shared_labels = shared;
    clone.init = s->init;
    clone.params = s->params;
    be->clone(be, &clone);
}

// Plays the first `count` networks, where the backend has them or on the host.   Nullable: moments
static UfStatus play_networks(HdSearch* s, int count, double* moments) {
    const real* networks = s->params;
    if (s->be->apart && !uf_trials_apart(s->trials)) {
        s->be->download(s->be, s->host_params, s->params, (size_t)count * s->net.size * sizeof(real));
        UF_TRY(s->be->sync(s->be));
        networks = s->host_params;
    }
    return uf_trials_play(s->trials, networks, count, s->trial, moments);
}

static UfStatus rate_by_images(HdSearch* s, int count, double* fitness) {
    const int n = count * s->R;
    const UfCloneScore score = {.net = &s->net,
                                .P = n,
                                .rows = (int)s->train->count,
                                .params = s->params,
                                .states = s->train_states,
                                .labels = s->train_labels,
                                .loss = s->loss,
                                .sums = s->sums};
    double* sums;
    UF_TRY(UF_ALLOC(&sums, 2 * n, "scores"));
    s->be->clone_score(s->be, &score);
    s->be->download(s->be, sums, s->sums, 2 * (size_t)n * sizeof *sums);
    const UfStatus status = s->be->sync(s->be);
    for (int i = 0; i < count; i++) {
        fitness[i] = 0;
        for (int r = 0; r < s->R; r++) fitness[i] += sums[2 * (i * s->R + r)] / s->R;
    }
    uf_free(sums);
    return status;
}

// Mean over the returns that count, of all environments of a candidate's policies; NaN where none does.
static double mean_of_trials(const UfTrial* trial, int64_t count) {
    double sum = 0, returns = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += trial[i].sum;
        returns += (double)trial[i].count;
    }
    return returns > 0 ? sum / returns : NAN;
}

static UfStatus rate_by_play(HdSearch* s, int count, double* fitness) {
    const int64_t each = (int64_t)s->R * s->c.num_envs;
    UF_TRY(play_networks(s, count * s->R, NULL));
    for (int i = 0; i < count; i++) fitness[i] = mean_of_trials(s->trial + i * each, each);
    for (int64_t i = 0; i < count * each; i++) s->num_steps += s->trial[i].steps;
    return UF_OK;
}

// ---- a generation ----

// What all candidates of a generation share.
static UfStatus begin_generation(void* search) {
    HdSearch* s = search;
    const int64_t g = uf_es_generation(s->es);
    const size_t size = s->net.size;
    uint64_t* keys;
    UF_TRY(UF_ALLOC(&keys, s->R, "keys"));
    UfStatus status = UF_OK;
    memset(s->host, 0, (size_t)s->R * size * sizeof(real));
    for (int r = 0; r < s->R; r++) {
        keys[r] = key(s->c.seed, KEY_PLAY, g, r);
        if (status == UF_OK)
            status = hd_fill_init(s->host + (size_t)r * size, &s->net, &s->c,
                                  key(s->c.seed, KEY_INIT, s->c.policies == HD_POLICIES_FIXED ? 0 : g, r));
    }
    if (status == UF_OK) s->be->upload(s->be, s->init, s->host, (size_t)s->R * size * sizeof(real));
    if (status == UF_OK && s->trials) uf_trials_set_keys(s->trials, keys);
    uf_free(keys);
    return status;
}

static UfStatus rate_chunk(void* search, const float* x, int count, double* fitness,
                           const volatile sig_atomic_t* stop) {
    HdSearch* s = search;
    (void)stop;  // a chunk takes less than a second
    make_networks(s, x, count);
    s->num_networks += (int64_t)count * s->R;
    return s->spec ? rate_by_play(s, count, fitness) : rate_by_images(s, count, fitness);
}

static UfSearchRater rater_of(HdSearch* s) {
    return (UfSearchRater){s, begin_generation, rate_chunk, s->chunk, s->x, s->fitness};
}

UfStatus hd_search_rate(HdSearch* s, const float* x, int count, double* fitness) {
    const UfSearchRater rater = rater_of(s);
    return uf_search_rate(s->es, &rater, x, count, fitness);
}

UfStatus hd_search_step_until(HdSearch* s, HdGeneration* out, const volatile sig_atomic_t* stop,
                              bool* stopped) {
    const double start = uf_now();
    const UfSearchRater rater = rater_of(s);
    bool ended = false;
    s->num_networks = s->num_steps = 0;
    UF_TRY(uf_search_generation(s->es, s->ranks, &rater, stop, &ended));
    if (stopped) *stopped = ended;
    if (ended || !out) return UF_OK;
    const UfGeneration g = uf_search_summary(s->es, s->fitness);
    *out = (HdGeneration){.generation = g.generation,
                          .mean = g.mean,
                          .best = g.best,
                          .std = g.std,
                          .best_ever = g.best_ever,
                          .num_nonfinite = g.num_nonfinite,
                          .num_networks = s->num_networks,
                          .num_steps = s->num_steps,
                          .seconds = uf_now() - start};
    return UF_OK;
}

UfStatus hd_search_step(HdSearch* s, HdGeneration* out) {
    UF_TRY_GIVEN(s);
    return hd_search_step_until(s, out, NULL, NULL);
}

// ---- the dataset ----

// Where observations are normalised as they come there are no constants; these are what the mean dataset's policies end
// with: the mean of their means, the variance of all that they saw.
static UfStatus final_moments(HdSearch* s, const float* x, float* mean_out, float* divisor) {
    const int R = s->R, S = s->S;
    double* moments;
    UF_TRY(begin_generation(s));
    make_networks(s, x, 1);
    UF_TRY(UF_ALLOC(&moments, 2 * R * S, "observation statistics"));
    const UfStatus status = play_networks(s, R, moments);
    for (int j = 0; j < S && status == UF_OK; j++) {
        double mean = 0, square = 0;
        for (int r = 0; r < R; r++) {
            const double m = moments[2 * r * S + j], var = moments[(2 * r + 1) * S + j];
            mean += m / R;
            square += (var + m * m) / R;
        }
        const double var = square - mean * mean;
        mean_out[j] = (float)mean;
        divisor[j] = (float)sqrt((var > 0 ? var : 0) + UF_TRIAL_VAR_EPS);
    }
    uf_free(moments);
    return status;
}

static UfStatus describe(const HdSearch* s, UfDistilled* data) {
    static const char* const strategies[] = {"OpenES", "SNES"};
    UfText text = {0};
    uf_text_add(&text, "behaviour distillation (HaDES-%s): %s, %lld candidates, %lld generations",
                s->c.policies == HD_POLICIES_FIXED ? "F" : "R", strategies[s->c.strategy],
                (long long)s->c.popsize, (long long)uf_es_generation(s->es));
    char** const empty[] = {&data->recipe, &data->config, &data->env_id};  // as the dataset was made
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
        uf_free(*empty[i]);
        *empty[i] = NULL;
    }
    UF_TRY(uf_text_finish(&text, &data->recipe));
    UF_TRY(hd_config_json(&s->c, &data->config));
    return uf_strdup(&data->env_id, s->spec ? s->spec->name : "");
}

static UfStatus fill_dataset(HdSearch* s, UfDistilled* data) {
    const size_t S = (size_t)s->S;
    const double* mean = uf_es_mean(s->es);
    for (int64_t i = 0; i < s->dims; i++) s->x[i] = (float)mean[i];
    candidate_labels(s, s->x, data->labels);
    memcpy(data->states, s->x + s->num_label_dims, (size_t)s->D * S * sizeof(float));
    memcpy(data->mean, s->norm.mean, S * sizeof(float));
    memcpy(data->divisor, s->norm.divisor, S * sizeof(float));
    if (s->trials && s->c.obs_norm == HD_NORM_RUNNING)
        UF_TRY(final_moments(s, s->x, data->mean, data->divisor));
    data->seed = (uint64_t)s->c.seed;
    data->generation = uf_es_generation(s->es);
    UF_TRY(hd_search_rate(s, s->x, 1, &data->fitness));
    return describe(s, data);
}

UfStatus hd_search_dataset(HdSearch* s, UfDistilled** out) {
    *out = NULL;
    if (s->c.search == HD_SEARCH_WEIGHTS)
        return UF_FAIL(UF_ERR_UNSUPPORTED,
                       "search=weights evolves a policy itself: there is no dataset to write");
    UF_TRY(uf_distilled_create(out, s->D, s->S, s->A, s->discrete));
    const UfStatus status = fill_dataset(s, *out);
    if (status == UF_OK) return UF_OK;
    uf_distilled_free(*out);
    *out = NULL;
    return status;
}

UfStatus hd_search_write(HdSearch* s, const char* path) {
    UF_TRY_GIVEN(s);
    UF_TRY_GIVEN(path);
    UfDistilled* data;
    UF_TRY(hd_search_dataset(s, &data));
    const UfStatus status = uf_distilled_write(data, path);
    uf_distilled_free(data);
    return status;
}

// ---- checkpoints ----

static const UfSearchFile checkpoint_file = {"unifloral-hades", "a distillation", &hd_table};

static UfStatus write_all(const void* context, const UfH5* h5) {
    const HdSearch* s = context;
    const int64_t dims[] = {s->S};
    UF_TRY(uf_h5_write(h5, "norm/mean", UF_H5_FLOAT, s->norm.mean, 1, dims, 0, false));
    UF_TRY(uf_h5_write(h5, "norm/divisor", UF_H5_FLOAT, s->norm.divisor, 1, dims, 0, false));
    return uf_es_save(s->es, h5, "es");
}

UfStatus hd_search_save(const HdSearch* s, const char* path) {
    UF_TRY_GIVEN(s);
    UF_TRY_GIVEN(path);
    return uf_search_write_file(&checkpoint_file, path, &s->c, write_all, s);
}

static UfStatus read_norm(const UfH5* h5, Norm* norm) {
    UfH5Shape shape;
    UF_TRY(uf_h5_shape(h5, "norm/mean", &shape));
    if (shape.rank != 1 || shape.count > INT32_MAX)
        return UF_FAIL(UF_ERR_FORMAT, "%s: dataset 'norm/mean' is no vector", h5->path);
    UF_TRY(norm_alloc(norm, (int)shape.count));
    norm->file = h5->path;
    UF_TRY(uf_h5_read(h5, "norm/mean", UF_H5_FLOAT, norm->mean, shape.count));
    UF_TRY(uf_h5_read(h5, "norm/divisor", UF_H5_FLOAT, norm->divisor, shape.count));
    for (int i = 0; i < norm->S; i++)
        if (!isfinite(norm->mean[i]) || !(norm->divisor[i] > 0 && isfinite(norm->divisor[i])))
            return UF_FAIL(UF_ERR_FORMAT,
                           "%s: number %d of 'norm' is less %g over %g; expected a finite one over one "
                           "above 0",
                           h5->path, i, (double)norm->mean[i], (double)norm->divisor[i]);
    return UF_OK;
}

static UfStatus read_all(HdSearch** out, const UfH5* h5, const HdConfig* run, const UfRanks* ranks,
                         HdConfig** config, Norm* norm) {
    UF_TRY(uf_search_read_config(&checkpoint_file, h5, (void**)config));
    if (run) UF_TRY(uf_table_take_run_fields(&hd_table, *config, run));
    UF_TRY(read_norm(h5, norm));
    UF_TRY(open_search(out, *config, ranks, norm));
    return uf_es_load((*out)->es, h5, "es");
}

UfStatus hd_search_reopen(HdSearch** out, const char* path, const HdConfig* run, const UfRanks* ranks) {
    UfH5 h5;
    HdConfig* config = NULL;
    Norm norm = {0};
    *out = NULL;
    UF_TRY(uf_h5_open(&h5, path));
    const UfStatus status = read_all(out, &h5, run, ranks, &config, &norm);
    uf_h5_close(&h5);
    hd_config_free(config);
    norm_free(&norm);
    if (status == UF_OK) return UF_OK;
    hd_search_free(*out);
    *out = NULL;
    return status;
}

UfStatus hd_search_load(HdSearch** out, const char* path) {
    UF_TRY_GIVEN(out);
    *out = NULL;
    UF_TRY_GIVEN(path);
    return hd_search_reopen(out, path, NULL, NULL);
}

static UfSearchAbout about(const void* config) {
    const HdConfig* c = config;
    const bool images = !c->env[0];
    return (UfSearchAbout){.what = c->search == HD_SEARCH_WEIGHTS     ? "direct evolution of weights"
                                   : c->policies == HD_POLICIES_FIXED ? "behaviour distillation (HaDES-F)"
                                                                      : "behaviour distillation (HaDES-R)",
                           .subject_is = images ? "images" : "environment",
                           .subject = images ? c->images : c->env,
                           .fitness_is = images ? "least loss" : "best fitness",
                           .popsize = c->popsize};
}

UfStatus hd_checkpoint_info(const char* path, char** text) {
    return uf_search_checkpoint_info(&checkpoint_file, path, about, text);
}

// ---- ratings ----

typedef struct Rating {
    const HdRateOptions* o;
    const HdConfig* c;
    const UfDistilled* data;
    const UfEnvSpec* spec;  // NULL: images
    UfDistilledTask task;
    UfImages *train, *test;  // NULL: environments
    UfBackend* be;
    UfCloneNet net;
    HdRating* out;
    real *init, *states, *labels, *params, *host;
} Rating;

void hd_rating_free(HdRating* rating) {
    uf_free(rating->numbers);
    *rating = (HdRating){0};
}

// Over the means of the policies; of images over their accuracies.
static void summarise_rating(HdRating* r, bool images) {
    double squares = 0;
    r->mean = 0;
    r->least = INFINITY;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < r->num_inits; i++) {
            const double* numbers = r->numbers + (int64_t)i * r->num_numbers;
            double mean = images ? numbers[1] : 0;
            for (int k = 0; k < r->num_numbers && !images; k++) mean += numbers[k] / r->num_numbers;
            if (pass) squares += (mean - r->mean) * (mean - r->mean);
            if (pass) continue;
            r->mean += mean / r->num_inits;
            if (!(mean >= r->least || isnan(r->least))) r->least = mean;
        }
    r->std = sqrt(squares / r->num_inits);
    r->stderr_mean = r->std / sqrt(r->num_inits);
}

static UfStatus find_rated_task(Rating* x) {
    const UfDistilled* data = x->data;
    if (x->c->images[0]) return UF_OK;
    if (x->o->task) UF_TRY(uf_env_lookup(&x->spec, x->o->task));
    UF_TRY(uf_distilled_task(data, x->spec ? x->spec->name : NULL, &x->task));
    if (!x->spec) UF_TRY(uf_env_lookup(&x->spec, x->task.env_id));
    UF_TRY(uf_env_available(x->spec));
    if (x->task.obs_dim != x->spec->obs_dim || x->task.action_dim != x->spec->action_dim ||
        data->discrete != x->spec->discrete)
        return UF_FAIL(
            UF_ERR_CONFIG, "the dataset has %d observations and %d %s of %s, which has %d and %d %s",
            x->task.obs_dim, x->task.action_dim, data->discrete ? "kinds" : "actions", x->spec->name,
            x->spec->obs_dim, x->spec->action_dim, x->spec->discrete ? "kinds" : "actions");
    return UF_OK;
}

static uint64_t rated_key(const Rating* x, int purpose, int i) {
    if (x->o->own_inits && purpose == KEY_RATE_INIT) return key(x->c->seed, KEY_INIT, 0, i);
    return key(x->o->seed, purpose, 0, i);
}

static UfStatus clone_rated(Rating* x) {
    const HdRateOptions* o = x->o;
    const UfDistilled* data = x->data;
    const size_t n = (size_t)o->num_inits, size = x->net.size, D = (size_t)data->rows;
    const size_t states = D * (size_t)data->obs_dim, labels = D * (size_t)data->action_dim;
    UfBackend* be = x->be;
    UF_TRY(be->reserve(be, (void**)&x->init, n * size * sizeof(real), "initial weights"));
    UF_TRY(be->reserve(be, (void**)&x->params, n * size * sizeof(real), "cloned networks"));
    UF_TRY(be->reserve(be, (void**)&x->states, states * sizeof(real), "synthetic states"));
    UF_TRY(be->reserve(be, (void**)&x->labels, labels * sizeof(real), "synthetic labels"));
    UF_TRY(UF_ALLOC(&x->host, n * size, "cloned networks"));
    for (size_t i = 0; i < n; i++)
        UF_TRY(hd_fill_init(x->host + i * size, &x->net, x->c, rated_key(x, KEY_RATE_INIT, (int)i)));
    be->upload(be, x->init, x->host, n * size * sizeof(real));
    be->upload(be, x->states, data->states, states * sizeof(real));
    be->upload(be, x->labels, data->labels, labels * sizeof(real));
    UfClone clone = cloning(x->c, &x->net, data->discrete);
    clone.sets = 1;
    clone.inits = o->num_inits;
    clone.rows = data->rows;
    clone.states = x->states;
    clone.labels = x->labels;
    clone.init = x->init;
    clone.params = x->params;
    be->clone(be, &clone);
    be->download(be, x->host, x->params, n * size * sizeof(real));
    return be->sync(be);
}

// Episodes to their end of policies at params (num_inits, size) on the host, which x->params also has where options name
// a backend.
static UfStatus play_rated(Rating* x, const real* params, const UfTrialOptions* options, UfPool* pool) {
    const int n = x->o->num_inits;
    const int64_t count = (int64_t)n * options->num_envs;
    UfTrials* trials;
    UfTrial* trial = NULL;
    uint64_t* keys = NULL;
    UF_TRY(uf_trials_create(&trials, options, pool));
    UfStatus status = UF_ALLOC(&trial, count, "trials");
    if (status == UF_OK) status = UF_ALLOC(&keys, n, "keys");
    if (status == UF_OK) {
        for (int i = 0; i < n; i++) keys[i] = rated_key(x, KEY_RATE_PLAY, i);
        uf_trials_set_keys(trials, keys);
        status = uf_trials_play(trials, uf_trials_apart(trials) ? x->params : params, n, trial, NULL);
        for (int64_t i = 0; i < count && status == UF_OK; i++) x->out->numbers[i] = trial[i].sum;
    }
    uf_free(keys);
    uf_free(trial);
    uf_trials_free(trials);
    return status;
}

static UfTrialOptions rated_options(const Rating* x) {
    return (UfTrialOptions){.spec = x->spec,
                            .net = &x->net,
                            .num_envs = x->o->num_episodes,
                            .num_steps = x->spec->max_steps,
                            .num_keys = x->o->num_inits,
                            .rule = UF_TRIAL_FIRST,
                            .greedy = x->c->greedy};
}

static UfStatus score_rated(Rating* x) {
    const UfImages* test = x->test;
    UfBackend* be = x->be;
    const size_t count = (size_t)test->count, S = (size_t)x->data->obs_dim, A = (size_t)x->data->action_dim;
    real *states = NULL, *labels = NULL, *one_hots = NULL;
    double* sums = NULL;
    UfStatus status = UF_ALLOC(&one_hots, count * A, "labels of images");
    if (status == UF_OK) status = be->reserve(be, (void**)&states, count * S * sizeof(real), "images");
    if (status == UF_OK)
        status = be->reserve(be, (void**)&labels, count * A * sizeof(real), "labels of images");
    if (status == UF_OK)
        status = be->reserve(be, (void**)&sums, 2 * (size_t)x->o->num_inits * sizeof(double), "scores");
    if (status == UF_OK) status = be->plan_clone(be, &x->net, x->o->num_inits, (int)count);
    if (status == UF_OK) {
        one_hot(one_hots, test);
        be->upload(be, states, test->pixels, count * S * sizeof(real));
        be->upload(be, labels, one_hots, count * A * sizeof(real));
        be->clone_score(be, &(UfCloneScore){&x->net, x->o->num_inits, (int)count, x->params, states, labels,
                                            resolve_loss(x->c, true), sums});
        be->download(be, x->out->numbers, sums, 2 * (size_t)x->o->num_inits * sizeof(double));
        status = be->sync(be);
    }
    void* device[] = {states, labels, sums};
    for (size_t i = 0; i < sizeof device / sizeof device[0]; i++) be->release(be, device[i]);
    uf_free(one_hots);
    return status;
}

// The picture that an input row is, for a convolution.
static UfStatus find_picture(Rating* x, UfConv* picture) {
    const UfDistilled* data = x->data;
    if (x->spec) {  // rows of several games, whose planes differ, are none
        if (is_minatar(x->spec) && data->obs_dim == x->spec->obs_dim)
            *picture = (UfConv){10, 10, data->obs_dim / 100, 0};
        return UF_OK;
    }
    UF_TRY(read_images(x->c, &x->train, &x->test));
    const UfImages* test = x->test;
    *picture = (UfConv){test->height, test->width, test->planes, 0};
    if (data->obs_dim == test->height * test->width * test->planes && data->action_dim == test->num_classes)
        return UF_OK;
    return UF_FAIL(
        UF_ERR_CONFIG,
        "the dataset has rows of %d numbers and %d classes, the images %d x %d x %d and %d; is it of others?",
        data->obs_dim, data->action_dim, test->height, test->width, test->planes, test->num_classes);
}

static UfStatus rate(Rating* x) {
    const UfDistilled* data = x->data;
    UfConv picture = {0};
    UF_TRY(find_rated_task(x));
    if (data->discrete != (resolve_loss(x->c, data->discrete) != UF_CLONE_GAUSSIAN_NLL))
        return UF_FAIL(UF_ERR_CONFIG, "loss: the dataset has %s actions; expected %s",
                       data->discrete ? "discrete" : "continuous",
                       data->discrete ? "ce or ce_over_actions" : "gaussian_nll");
    UF_TRY(find_picture(x, &picture));
    if (x->c->conv_filters && !picture.height)
        return UF_FAIL(UF_ERR_CONFIG, "conv_filters %lld: observations of %s are no picture; set it to 0",
                       (long long)x->c->conv_filters, x->spec->name);
    x->net = network(x->c, data->obs_dim, data->action_dim, data->discrete, &picture);
    UF_TRY(uf_backend_open(&x->be, uf_device_name(x->c->device), "fp32", (int)x->c->num_threads));
    UF_TRY(x->be->plan_clone(x->be, &x->net, x->o->num_inits, data->rows));
    UF_TRY(clone_rated(x));
    if (!x->spec) return score_rated(x);
    UfTrialOptions options = rated_options(x);
    options.backend = x->be;
    options.first_obs = x->task.first_obs;
    options.mean = x->task.mean;
    options.divisor = x->task.divisor;
    return play_rated(x, x->host, &options, x->be->pool);
}

static void rating_close(Rating* x) {
    void* device[] = {x->init, x->states, x->labels, x->params};
    for (size_t i = 0; i < sizeof device / sizeof device[0] && x->be; i++) x->be->release(x->be, device[i]);
    uf_backend_close(x->be);
    uf_images_free(x->train);
    uf_images_free(x->test);
    uf_free(x->host);
}

UfStatus hd_rate(HdRating* out, const UfDistilled* data, const HdRateOptions* options) {
    Rating x = {.o = options, .c = options->config, .data = data, .out = out};
    const bool images = options->config->images[0] != 0;
    *out = (HdRating){.num_inits = options->num_inits, .num_numbers = images ? 2 : options->num_episodes};
    UfStatus status = UF_ALLOC(&out->numbers, (int64_t)out->num_inits * out->num_numbers, "returns");
    if (status == UF_OK) status = rate(&x);
    rating_close(&x);
    if (status == UF_OK)
        summarise_rating(out, images);
    else
        hd_rating_free(out);
    return status;
}

UfStatus hd_rate_weights(HdRating* out, HdSearch* s, int num_inits, int num_episodes, int64_t seed) {
    const HdRateOptions o = {
        .config = &s->c, .num_inits = num_inits, .num_episodes = num_episodes, .seed = seed};
    Rating x = {.o = &o, .c = &s->c, .spec = s->spec, .net = s->net, .out = out};
    real* params;
    *out = (HdRating){.num_inits = num_inits, .num_numbers = num_episodes};
    if (s->c.search != HD_SEARCH_WEIGHTS || !s->spec)
        return UF_FAIL(UF_ERR_ARGUMENT, "there are no weights of a policy in this search");
    UF_TRY(UF_ALLOC(&params, (size_t)num_inits * s->net.size, "policies"));
    UfStatus status = UF_ALLOC(&out->numbers, (int64_t)num_inits * num_episodes, "returns");
    const double* mean = uf_es_mean(s->es);
    for (int64_t i = 0; i < s->dims; i++) s->x[i] = (float)mean[i];
    candidate_weights(s, s->x, s->host);
    for (int i = 0; i < num_inits; i++)
        memcpy(params + (size_t)i * s->net.size, s->host, s->net.size * sizeof *params);
    UfTrialOptions options = rated_options(&x);
    options.mean = s->norm.mean;
    options.divisor = s->norm.divisor;
    options.running = s->c.obs_norm == HD_NORM_RUNNING;
    if (status == UF_OK) status = play_rated(&x, params, &options, s->be->pool);
    uf_free(params);
    if (status == UF_OK)
        summarise_rating(out, false);
    else
        hd_rating_free(out);
    return status;
}
