// synth_search.c: the search for synthetic environments in which agents become good in the real one.
//
//   a generation:  candidates of SNES (core/search/es.c), each the parameters of an environment
//                  -> R agents of one algorithm for each, trained in it from scratch (synth_agents.c)
//                  -> E episodes of each in the real environment (trials.c), at most the horizon's steps long
//                  -> mean return: the candidate's fitness
//   common random numbers: hyperparameters, initial weights, exploration, contexts, start states and action noise are
//                  functions of (seed, generation, r), the same for all candidates of a generation
//   the result:    the strategy's mean as an environment, an ordinary file
//
// Rooms: making, a generation, measuring the mean, checkpoints.
// Source: Liesen et al., arXiv 2406.12589, and the settings of its published environments. Deviations: docs/deviations.md.
#include "core/synth/synth_search.h"

#include <math.h>
#include <string.h>

#include "core/search/search.h"

enum { KEY_HYPER, KEY_AGENT, KEY_PLAY, KEY_MEAN };

struct SeSearch {
    SeConfig c;
    const UfEnvSpec* spec;
    SeOptions options;  // of the environments that are candidates
    const UfRanks* ranks;
    SeAlgorithms algorithms;
    UfEs* es;
    int R, chunk;                          // candidates that are trained in and rated at once
    int64_t limit;                         // most steps of an episode in any generation
    UfBackend* be;                         // of agents and of episodes
    SePolicies shapes[SE_NUM_ALGORITHMS];  // of each algorithm's policies, without parameters
    UfTrials* trials[SE_NUM_ALGORITHMS];
    SeEnv** envs;          // (chunk)
    const SeEnv** env_of;  // (chunk, R), agent by agent as all below
    SeHyper* hypers;
    uint64_t* seeds;
    UfTrial* episodes;  // (chunk, R, E)
    float* x;           // (chunk, dims)
    double* fitness;    // (popsize + 2)
    int64_t num_agents, num_steps;
};

// ---- making ----

static uint64_t seed_of(const SeSearch* s, int purpose, int64_t generation, int64_t index) {
    return uf_search_seed(UF_STREAM_SYNTH_SEARCH, s->c.seed, purpose, generation, index);
}

// The search begins at a fresh network.
static UfStatus create_strategy(SeSearch* s) {
    SeEnv* fresh = NULL;
    float* params = NULL;
    double* mean = NULL;
    UfEsOptions o;
    UF_TRY(se_create(&fresh, &s->options, (uint64_t)s->c.seed));
    s->options = *se_options(fresh);  // sizes that were left out
    s->options.eval_env = s->spec->name;
    uf_es_default_options(&o, UF_ES_SNES);
    o.popsize = (int)s->c.popsize;
    o.dims = se_num_params(fresh);
    o.maximize = 1;
    o.seed = (uint64_t)s->c.seed;
    o.sigma_init = s->c.sigma_init;
    o.temperature = s->c.temperature;
    UfStatus status = uf_es_create(&s->es, &o);
    if (status == UF_OK) status = UF_ALLOC(&params, o.dims, "parameters");
    if (status == UF_OK) status = UF_ALLOC(&mean, o.dims, "parameters");
    if (status == UF_OK) {
        se_get_params(fresh, params);
        for (int64_t i = 0; i < o.dims; i++) mean[i] = params[i];
        uf_es_set_mean(s->es, mean);
    }
    uf_free(params);
    uf_free(mean);
    se_free(fresh);
    return status;
}

static UfStatus create_trials(SeSearch* s) {
    for (int i = 0; i < s->algorithms.count; i++) {
        const SeAlgorithm a = s->algorithms.list[i];
        const SePolicies* shape = &s->shapes[a];
        se_policy_shape(&s->shapes[a], &s->c, a, s->spec);
        const UfTrialOptions o = {.backend = s->be,
                                  .spec = s->spec,
                                  .net = &shape->net,
                                  .num_envs = (int)s->c.episodes,
                                  .num_steps = s->limit,
                                  .any_length = s->c.horizon_init > 0,
                                  .num_keys = s->R,
                                  .rule = UF_TRIAL_FIRST,
                                  .policy = shape->policy,
                                  .greedy = shape->greedy};
        UF_TRY(uf_trials_create(&s->trials[a], &o, s->be->pool));
    }
    return UF_OK;
}

// Candidates that are rated at once take at most about this much memory, if it is not one alone; what they come to does
// not depend on it.
enum { CHUNK_BYTES = 64 << 20 };

static UfStatus reserve_arrays(SeSearch* s) {
    const SeConfig* c = &s->c;
    const size_t R = (size_t)s->R, dims = (size_t)uf_es_options(s->es)->dims, E = (size_t)c->episodes;
    size_t size = 0;
    for (int i = 0; i < s->algorithms.count; i++) {
        const size_t own = s->shapes[s->algorithms.list[i]].net.size;
        if (own > size) size = own;
    }
    const size_t each = R * (size * sizeof(real) + E * sizeof(UfTrial)) + 2 * dims * sizeof(float);
    const size_t most = CHUNK_BYTES / each;
    s->chunk = most < 1 ? 1 : most > (size_t)c->popsize ? (int)c->popsize : (int)most;
    const size_t chunk = (size_t)s->chunk, agents = chunk * R;
    UF_TRY(UF_ALLOC(&s->envs, chunk, "candidates"));
    UF_TRY(UF_ALLOC(&s->env_of, agents, "candidates"));
    UF_TRY(UF_ALLOC(&s->hypers, agents, "agents"));
    UF_TRY(UF_ALLOC(&s->seeds, agents, "agents"));
    UF_TRY(UF_ALLOC(&s->episodes, agents * E, "episodes"));
    UF_TRY(UF_ALLOC(&s->x, chunk * dims, "candidates"));
    UF_TRY(UF_ALLOC(&s->fitness, c->popsize + 2, "fitness"));
    for (int i = 0; i < s->chunk; i++) UF_TRY(se_create(&s->envs[i], &s->options, 0));
    for (size_t i = 0; i < agents; i++) s->env_of[i] = s->envs[i / R];
    return UF_OK;
}

static UfStatus build(SeSearch* s) {
    static const SeMode modes[] = {SE_BANDIT, SE_MDP};
    static const SeLatent latents[] = {SE_NORMAL, SE_UNIFORM, SE_CATEGORICAL, SE_SOFTMAX};
    const SeConfig* c = &s->c;
    UF_TRY(se_config_check(c));
    UF_TRY(uf_env_lookup(&s->spec, c->env));
    UF_TRY(se_parse_algorithms(&s->algorithms, "algorithms", c->algorithms, s->spec->discrete));
    UF_TRY(se_default_options(&s->options, s->spec->name));
    s->options.mode = modes[c->mode];
    s->options.latent = latents[c->latent];
    s->options.latent_dim = (int)c->latent_dim;
    s->options.width = (int)c->width;
    if (c->mode == SE_MODE_MDP) s->options.max_steps = (int)c->max_steps;
    s->R = (int)c->rollouts;
    s->limit = c->horizon_init == 0               ? s->spec->max_steps
               : c->horizon_init > c->horizon_end ? c->horizon_init
                                                  : c->horizon_end;
    UF_TRY(create_strategy(s));
    UF_TRY(se_open_backend(&s->be, c));
    UF_TRY(create_trials(s));
    return reserve_arrays(s);
}

UfStatus se_search_open(SeSearch** out, const SeConfig* config, const UfRanks* ranks) {
    SeSearch* s;
    *out = NULL;
    UF_TRY(UF_ALLOC(&s, 1, "a search"));
    s->c = *config;
    s->ranks = ranks;
    const UfStatus status = build(s);
    if (status != UF_OK) {
        se_search_free(s);
        return status;
    }
    *out = s;
    return UF_OK;
}

UfStatus se_search_create(SeSearch** out, const SeConfig* config) {
    UF_TRY_GIVEN(out);
    *out = NULL;
    UF_TRY_GIVEN(config);
    return se_search_open(out, config, NULL);
}

void se_search_free(SeSearch* s) {
    if (!s) return;
    for (int a = 0; a < SE_NUM_ALGORITHMS; a++) uf_trials_free(s->trials[a]);
    for (int i = 0; s->envs && i < s->chunk; i++) se_free(s->envs[i]);
    uf_backend_close(s->be);
    uf_es_free(s->es);
    void* all[] = {s->envs, s->env_of, s->hypers, s->seeds, s->episodes, s->x, s->fitness, s};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
}

const SeConfig* se_search_config(const SeSearch* s) { return &s->c; }
const UfBackend* se_search_backend(const SeSearch* s) { return s->be; }
const UfEs* se_search_es(const SeSearch* s) { return s->es; }

// ---- a generation ----

static SeAlgorithm algorithm_of(const SeSearch* s, int64_t generation) {
    return s->algorithms.list[generation % s->algorithms.count];
}

static int64_t horizon_of(const SeSearch* s, int64_t generation) {
    const SeConfig* c = &s->c;
    const SeHorizon horizon = {c->horizon_init, c->horizon_end, c->horizon_begin, c->horizon_steps};
    return c->horizon_init == 0 ? s->spec->max_steps : se_horizon(&horizon, generation);
}

// What all candidates of a generation share.
static UfStatus begin_generation(void* search) {
    SeSearch* s = search;
    const int64_t g = uf_es_generation(s->es);
    const SeAlgorithm a = algorithm_of(s, g);
    uint64_t* keys;
    UF_TRY(uf_trials_set_num_steps(s->trials[a], horizon_of(s, g)));
    UF_TRY(UF_ALLOC(&keys, s->R, "keys"));
    UfStatus status = UF_OK;
    for (int r = 0; r < s->R && status == UF_OK; r++) {
        keys[r] = seed_of(s, KEY_PLAY, g, r);
        s->seeds[r] = seed_of(s, KEY_AGENT, g, r);
        status = se_draw_hyper(&s->hypers[r], &s->c, a, s->spec->discrete, seed_of(s, KEY_HYPER, g, r));
    }
    if (status == UF_OK) uf_trials_set_keys(s->trials[a], keys);
    uf_free(keys);
    for (int i = s->R; i < s->chunk * s->R; i++) {
        s->seeds[i] = s->seeds[i % s->R];
        s->hypers[i] = s->hypers[i % s->R];
    }
    return status;
}

static UfStatus rate_chunk(void* search, const float* x, int count, double* fitness,
                           const volatile sig_atomic_t* stop) {
    SeSearch* s = search;
    const size_t dims = (size_t)uf_es_options(s->es)->dims;
    const int64_t each = (int64_t)s->R * s->c.episodes;
    const SeAlgorithm a = algorithm_of(s, uf_es_generation(s->es));
    SePolicies policies;
    for (int i = 0; i < count; i++) UF_TRY(se_set_params(s->envs[i], x + (size_t)i * dims));
    const SeTraining training = {.config = &s->c,
                                 .spec = s->spec,
                                 .algorithm = a,
                                 .count = count * s->R,
                                 .hypers = s->hypers,
                                 .seeds = s->seeds,
                                 .envs = s->env_of,
                                 .backend = s->be,
                                 .stop = stop};
    UF_TRY(se_train_policies(&policies, &training));
    const UfStatus status = se_policies_play(&policies, s->trials[a], s->be, s->episodes);
    se_policies_free(&policies);
    UF_TRY(status);
    s->num_agents += count * s->R;
    for (int i = 0; i < count; i++) {
        fitness[i] = 0;
        for (int64_t k = 0; k < each; k++) {
            fitness[i] += s->episodes[i * each + k].sum / (double)each;
            s->num_steps += s->episodes[i * each + k].steps;
        }
    }
    return UF_OK;
}

static UfSearchRater rater_of(SeSearch* s) {
    return (UfSearchRater){s, begin_generation, rate_chunk, s->chunk, s->x, s->fitness};
}

UfStatus se_search_rate(SeSearch* s, const float* x, int count, double* fitness) {
    const UfSearchRater rater = rater_of(s);
    return uf_search_rate(s->es, &rater, x, count, fitness);
}

UfStatus se_search_step_until(SeSearch* s, SeGeneration* out, const volatile sig_atomic_t* stop,
                              bool* stopped) {
    const double start = uf_now();
    const int64_t g = uf_es_generation(s->es);
    const UfSearchRater rater = rater_of(s);
    bool ended = false;
    s->num_agents = s->num_steps = 0;
    UF_TRY(uf_search_generation(s->es, s->ranks, &rater, stop, &ended));
    if (stopped) *stopped = ended;
    if (ended || !out) return UF_OK;
    const UfGeneration summary = uf_search_summary(s->es, s->fitness);
    *out = (SeGeneration){.generation = summary.generation,
                          .algorithm = se_algorithm_names[algorithm_of(s, g)],
                          .horizon = horizon_of(s, g),
                          .mean = summary.mean,
                          .best = summary.best,
                          .std = summary.std,
                          .best_ever = summary.best_ever,
                          .num_nonfinite = summary.num_nonfinite,
                          .num_agents = s->num_agents,
                          .num_steps = s->num_steps,
                          .seconds = uf_now() - start};
    return UF_OK;
}

UfStatus se_search_step(SeSearch* s, SeGeneration* out) {
    UF_TRY_GIVEN(s);
    return se_search_step_until(s, out, NULL, NULL);
}

// ---- measuring the mean ----

UfStatus se_search_env(const SeSearch* s, SeEnv** out) {
    UF_TRY_GIVEN(out);
    *out = NULL;
    UF_TRY_GIVEN(s);
    const int64_t dims = uf_es_options(s->es)->dims;
    float* params;
    UF_TRY(se_create(out, &s->options, 0));
    UfStatus status = UF_ALLOC(&params, dims, "parameters");
    if (status == UF_OK) {
        for (int64_t i = 0; i < dims; i++) params[i] = (float)uf_es_mean(s->es)[i];
        status = se_set_params(*out, params);
        uf_free(params);
    }
    if (status == UF_OK) return UF_OK;
    se_free(*out);
    *out = NULL;
    return status;
}

// What agents [first, end) of one algorithm earn in the mean: returns[i] is agent i's mean. NaN where the mean's rewards
// are not finite.
static UfStatus measure_share(const SeSearch* s, const SeEnv* env, SeAlgorithm a, int first, int end,
                              double* returns, const volatile sig_atomic_t* stop) {
    const int n = end - first, E = (int)s->c.eval_episodes;
    const uint64_t seed = seed_of(s, KEY_MEAN, uf_es_generation(s->es), a);
    const SeTrainOptions options = {&s->c, env, se_algorithm_names[a], first, n, seed, stop, s->be};
    SeAgents* agents;
    double* episodes = NULL;
    if (n == 0) return UF_OK;
    UfStatus status = se_train_some(&agents, &options);
    if (status == UF_OK) status = UF_ALLOC(&episodes, (int64_t)n * E, "episodes");
    if (status == UF_OK) status = se_play(agents, E, seed, episodes);
    for (int i = 0; i < n && (status == UF_OK || status == UF_ERR_NONFINITE); i++)
        for (int e = 0; e < E; e++) returns[first + i] += status == UF_OK ? episodes[i * E + e] / E : NAN;
    se_agents_free(agents);
    uf_free(episodes);
    return status == UF_ERR_NONFINITE ? UF_OK : status;
}

UfStatus se_search_measure(SeSearch* s, SeAlgorithm algorithm, int num_agents, double* returns,
                           const volatile sig_atomic_t* stop, bool* stopped) {
    int64_t first, end;
    double any;
    SeEnv* env;
    memset(returns, 0, (size_t)num_agents * sizeof *returns);
    uf_rank_share(s->ranks, num_agents, &first, &end);
    UfStatus status = se_search_env(s, &env);
    if (status == UF_OK) status = measure_share(s, env, algorithm, (int)first, (int)end, returns, stop);
    se_free(env);
    any = status == UF_ERR_STOPPED;
    if (status == UF_ERR_STOPPED) status = UF_OK;
    UF_TRY(uf_ranks_all_well(s->ranks, status));
    if (s->ranks) UF_TRY(s->ranks->sum(s->ranks->context, &any, 1));
    *stopped = any > 0;
    return s->ranks ? s->ranks->sum(s->ranks->context, returns, num_agents) : UF_OK;
}

// ---- checkpoints ----

static const UfSearchFile file_kind = {"unifloral-synthenv-search", "a search for a synthetic environment",
                                       &se_table};

static UfStatus write_strategy(const void* context, const UfH5* h5) {
    return uf_es_save(((const SeSearch*)context)->es, h5, "es");
}

UfStatus se_search_save(const SeSearch* s, const char* path) {
    UF_TRY_GIVEN(s);
    UF_TRY_GIVEN(path);
    return uf_search_write_file(&file_kind, path, &s->c, write_strategy, s);
}

UfStatus se_search_reopen(SeSearch** out, const char* path, const SeConfig* run, const UfRanks* ranks) {
    UfH5 h5;
    void* config = NULL;
    *out = NULL;
    UF_TRY(uf_h5_open(&h5, path));
    UfStatus status = uf_search_read_config(&file_kind, &h5, &config);
    if (status == UF_OK && run) status = uf_table_take_run_fields(&se_table, config, run);
    if (status == UF_OK) status = se_search_open(out, config, ranks);
    if (status == UF_OK) status = uf_es_load((*out)->es, &h5, "es");
    uf_h5_close(&h5);
    uf_free(config);
    if (status == UF_OK) return UF_OK;
    se_search_free(*out);
    *out = NULL;
    return status;
}

UfStatus se_search_load(SeSearch** out, const char* path) {
    UF_TRY_GIVEN(out);
    *out = NULL;
    UF_TRY_GIVEN(path);
    return se_search_reopen(out, path, NULL, NULL);
}

static UfSearchAbout about(const void* config) {
    const SeConfig* c = config;
    return (UfSearchAbout){
        c->mode == SE_MODE_MDP ? "search for a synthetic MDP" : "search for a synthetic bandit",
        "environment", c->env, "best fitness", c->popsize};
}

UfStatus se_checkpoint_info(const char* path, char** text) {
    return uf_search_checkpoint_info(&file_kind, path, about, text);
}
