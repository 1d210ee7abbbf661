// synth_run.c: see synth_run.h.
//
// Rooms: results, what a sweep reads of them, the search behind the frame of runs.
#include "core/synth/synth_run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/data/returns.h"
#include "core/synth/synth_agents_draw.h"
#include "core/synth/synth_draw.h"
#include "core/synth/synth_rate.h"

static const char ENVIRONMENT_FILE[] = "environment.h5", AGENTS_FILE[] = "agents.h5";

// ---- results ----

static const UfSearchFile agents_file = {UF_RETURNS_OF_AGENTS, "agents of a synthetic environment",
                                         &se_table};

typedef struct Ratings {
    int count;
    SeRating ratings[SE_NUM_ALGORITHMS];
    UfEvaluation arg_max;
} Ratings;

static UfStatus write_ratings(const void* context, const UfH5* h5) {
    const Ratings* r = context;
    char name[32];
    for (int i = 0; i < r->count; i++) {
        const SeRating* rating = &r->ratings[i];
        const int64_t dims[] = {rating->num_agents, rating->num_episodes};
        snprintf(name, sizeof name, "returns/%s", se_algorithm_names[rating->algorithm]);
        UF_TRY(uf_h5_write(h5, name, UF_H5_DOUBLE, rating->returns, 2, dims, 4, false));
    }
    return uf_h5_write(h5, "arg_max", UF_H5_DOUBLE, r->arg_max.returns, 1, &r->arg_max.num_episodes, 4,
                       false);
}

static bool was_searched_with(const SeConfig* c, SeAlgorithm algorithm, bool discrete) {
    SeAlgorithms list;
    if (se_parse_algorithms(&list, "algorithms", c->algorithms, discrete) != UF_OK) return false;
    for (int i = 0; i < list.count; i++)
        if (list.list[i] == algorithm) return true;
    return false;
}

// Agents of every algorithm that is asked for, and no agent at all.
static UfStatus rate_all(const UfSearchEnd* end, const SeEnv* env, const UfEnvSpec* spec, Ratings* out) {
    const SeConfig* c = end->config;
    SeAlgorithms list;
    SeRateOptions options = {.config = c,
                             .env = env,
                             .num_agents = (int)c->eval_agents,
                             .num_episodes = (int)c->eval_episodes,
                             .seed = (uint64_t)c->seed,
                             .stop = end->options->stop};
    UF_TRY(se_parse_algorithms(&list, "eval_algorithms", c->eval_algorithms, spec->discrete));
    for (int i = 0; i < list.count; i++) {
        SeRating* r = &out->ratings[i];
        options.algorithm = list.list[i];
        UF_TRY(se_rate(r, &options));
        out->count++;
        uf_text_add(end->report, "%-18s%.4g inter-quartile mean, %.4g to %.4g  (%d agents x %d episodes)%s\n",
                    se_algorithm_names[r->algorithm], r->iqm, r->least, r->most, r->num_agents,
                    r->num_episodes,
                    was_searched_with(c, r->algorithm, spec->discrete) ? "" : "; not in the search");
    }
    UF_TRY(se_rate_no_agent(&out->arg_max, c, env));
    uf_text_add(end->report, "%-18s%.4g mean  (the reward's best action, %lld episodes)\n", "no agent",
                out->arg_max.mean_return, (long long)out->arg_max.num_episodes);
    return UF_OK;
}

static UfStatus write_environment(const UfSearchEnd* end, const SeEnv* env, const UfEnvSpec* spec,
                                  bool* has_picture) {
    char path[UF_PATH_BYTES], source[256];
    const SeConfig* c = end->config;
    snprintf(source, sizeof source, "search: %lld candidates, generation %lld, seed %lld",
             (long long)c->popsize, (long long)uf_es_generation(se_search_es(end->search)),
             (long long)c->seed);
    uf_run_folder_path(end->folder, ENVIRONMENT_FILE, path);
    UF_TRY(se_write(env, path, source));
    uf_run_folder_path(end->folder, "environment.png", path);
    return uf_search_drawn(end, uf_synth_draw(env, spec, (uint64_t)c->seed, path), has_picture);
}

static UfStatus draw_agents(const UfSearchEnd* end, const UfEnvSpec* spec, const Ratings* r,
                            bool* has_picture) {
    const SeConfig* c = end->config;
    char path[UF_PATH_BYTES];
    const SeAgentsPage page = {.spec = spec,
                               .num_steps = c->num_steps,
                               .seed = (uint64_t)c->seed,
                               .no_agent = r->arg_max.mean_return,
                               .count = r->count,
                               .ratings = r->ratings};
    uf_run_folder_path(end->folder, "agents.png", path);
    return uf_search_drawn(end, se_draw_ratings(&page, path), has_picture);
}

static UfStatus all_results(const UfSearchEnd* end, const SeEnv* env, Ratings* ratings) {
    const SeConfig* c = end->config;
    const UfEnvSpec* spec;
    char path[UF_PATH_BYTES];
    bool has_picture = false, has_agents = false;
    UF_TRY(uf_env_lookup(&spec, c->env));
    UF_TRY(write_environment(end, env, spec, &has_picture));
    UF_TRY(rate_all(end, env, spec, ratings));
    uf_run_folder_path(end->folder, AGENTS_FILE, path);
    UF_TRY(uf_search_write_file(&agents_file, path, c, write_ratings, ratings));
    UF_TRY(draw_agents(end, spec, ratings, &has_agents));
    uf_text_add(end->report, "environment       %s/%s\n", end->folder->name, ENVIRONMENT_FILE);
    if (has_picture) uf_text_add(end->report, "picture           %s/environment.png\n", end->folder->name);
    if (has_agents) uf_text_add(end->report, "agents' picture   %s/agents.png\n", end->folder->name);
    return UF_OK;
}

static UfStatus results(const UfSearchEnd* end) {
    SeEnv* env;
    Ratings ratings = {.count = 0};
    UF_TRY(se_search_env(end->search, &env));
    const UfStatus status = all_results(end, env, &ratings);
    for (int i = 0; i < ratings.count; i++) se_rating_free(&ratings.ratings[i]);
    uf_evaluation_free(&ratings.arg_max);
    se_free(env);
    return status;
}

// ---- what a sweep reads of them ----

enum { ARG_MAX = SE_NUM_ALGORITHMS, NUM_COLUMNS };
static const UfSearchColumn columns[NUM_COLUMNS] = {{"ppo agents", "ppo"}, {"sac agents", "sac"},
                                                    {"dqn agents", "dqn"}, {"ddpg agents", "ddpg"},
                                                    {"td3 agents", "td3"}, {"no agent", "arg_max"}};

// Mean over all numbers of a dataset.
static UfStatus read_mean(const UfH5* h5, const char* name, double* mean) {
    UfReturns r;
    UF_TRY(uf_returns_read(h5, name, &r));
    *mean = uf_returns_mean(r.numbers, r.rows * r.columns, 1);
    uf_free(r.numbers);
    return UF_OK;
}

static UfStatus read_columns(const char* folder, double* values) {
    char path[UF_PATH_BYTES], name[32];
    UfH5 h5;
    snprintf(path, sizeof path, "%s/%s", folder, AGENTS_FILE);
    if (!uf_file_exists(path)) return UF_OK;
    UF_TRY(uf_h5_open(&h5, path));
    UfStatus status = UF_OK;
    for (int a = 0; a < SE_NUM_ALGORITHMS && status == UF_OK; a++) {
        snprintf(name, sizeof name, "returns/%s", se_algorithm_names[a]);
        if (uf_h5_exists(&h5, name)) status = read_mean(&h5, name, &values[a]);
    }
    if (status == UF_OK) status = read_mean(&h5, "arg_max", &values[ARG_MAX]);
    uf_h5_close(&h5);
    return status;
}

// ---- the search behind the frame of runs ----

static UfStatus check(const void* config) { return se_config_check(config); }

// Columns of the log for what the mean comes to now and then.
static const char* const mean_names[SE_NUM_ALGORITHMS] = {"mean_ppo", "mean_sac", "mean_dqn", "mean_ddpg",
                                                          "mean_td3"};
static const char* const mean_labels[SE_NUM_ALGORITHMS] = {"mean environment, PPO", "mean environment, SAC",
                                                           "mean environment, DQN", "mean environment, DDPG",
                                                           "mean environment, TD3"};

static SeAlgorithms algorithms_of(const SeConfig* c) {
    const UfEnvSpec* spec = uf_env_find(c->env);
    SeAlgorithms list = {.count = 0};
    if (spec && se_parse_algorithms(&list, "algorithms", c->algorithms, spec->discrete) != UF_OK)
        list.count = 0;
    return list;
}

static UfSearchPlan plan(const void* config) {
    const SeConfig* c = config;
    const SeAlgorithms list = algorithms_of(c);
    UfSearchPlan plan = {.generations = c->generations,
                         .log_interval = c->log_interval,
                         .checkpoint_interval = c->checkpoint_interval,
                         .method = c->mode == SE_MODE_MDP ? "Synthetic MDP" : "Synthetic bandit",
                         .subject = c->env,
                         .axis = "fitness (return)",
                         .fitness = "mean return of candidates' agents"};
    for (int i = 0; i < list.count && c->mean_eval_interval; i++) {
        plan.curves[plan.num_curves].label = mean_labels[list.list[i]];
        plan.curves[plan.num_curves++].column = mean_names[list.list[i]];
    }
    return plan;
}

static UfStatus open_search(void** search, const void* config, const UfRanks* ranks) {
    SeSearch* s;
    const UfStatus status = se_search_open(&s, config, ranks);
    *search = s;
    return status;
}

static UfStatus reopen_search(void** search, const char* path, const void* run, const UfRanks* ranks) {
    SeSearch* s;
    const UfStatus status = se_search_reopen(&s, path, run, ranks);
    *search = s;
    return status;
}

static UfStatus save_search(const void* search, const char* path) { return se_search_save(search, path); }
static void free_search(void* search) { se_search_free(search); }
static const void* config_of(const void* search) { return se_search_config(search); }
static const char* device_of(void* search) {
    return se_search_config(search)->device == UF_DEVICE_AUTO ? se_search_backend(search)->about : NULL;
}
static const UfEs* es_of(const void* search) { return se_search_es(search); }

// The mean that the generation begins with, by agents of every algorithm of the search.
static UfStatus measure(SeSearch* search, UfSearchStep* out, const volatile sig_atomic_t* stop,
                        bool* stopped) {
    const SeConfig* c = se_search_config(search);
    const SeAlgorithms list = algorithms_of(c);
    const int64_t g = uf_es_generation(se_search_es(search));
    const bool now = c->mean_eval_interval && g % c->mean_eval_interval == 0;
    double* returns;
    UF_TRY(UF_ALLOC(&returns, c->mean_eval_agents, "returns"));
    UfStatus status = UF_OK;
    for (int i = 0; i < list.count && status == UF_OK && !*stopped && c->mean_eval_interval; i++) {
        double mean = now ? 0 : NAN;
        if (now)
            status =
                se_search_measure(search, list.list[i], (int)c->mean_eval_agents, returns, stop, stopped);
        for (int64_t k = 0; k < c->mean_eval_agents && now; k++)
            mean += returns[k] / (double)c->mean_eval_agents;
        uf_search_number(out, mean_names[list.list[i]], mean);
    }
    out->logged = now;
    uf_free(returns);
    return status;
}

static UfStatus step(void* search, UfSearchStep* out, const volatile sig_atomic_t* stop, bool* stopped) {
    SeGeneration g = {0};
    *stopped = false;
    UF_TRY(measure(search, out, stop, stopped));
    if (*stopped) return UF_OK;
    UF_TRY(se_search_step_until(search, &g, stop, stopped));
    if (*stopped) return UF_OK;
    int algorithm = 0;
    while (strcmp(se_algorithm_names[algorithm], g.algorithm) != 0) algorithm++;
    out->generation = (UfGeneration){g.generation, g.mean, g.best, g.std, g.best_ever, g.num_nonfinite};
    uf_search_number(out, "algorithm", algorithm);
    uf_search_number(out, "horizon", (double)g.horizon);
    uf_search_number(out, "agents_per_second", (double)g.num_agents / g.seconds);
    uf_search_number(out, "steps_per_second", (double)g.num_steps / g.seconds);
    return UF_OK;
}

const UfSearchKind se_kind = {.table = &se_table,
                              .config_file = "synthenv.json",
                              .algorithm = "synthenv",
                              .what = "search for a synthetic environment",
                              .title = "Synthetic environments",
                              .check = check,
                              .plan = plan,
                              .open = open_search,
                              .reopen = reopen_search,
                              .save = save_search,
                              .free = free_search,
                              .config = config_of,
                              .es = es_of,
                              .device = device_of,
                              .step = step,
                              .results = results,
                              .num_columns = NUM_COLUMNS,
                              .columns = columns,
                              .read_columns = read_columns};
