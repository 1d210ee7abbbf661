// synth_rate.c: see synth_rate.h.
//
// Rooms: rating, published returns.
#include "core/synth/synth_rate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// ---- rating ----

static UfStatus copy_hypers(SeRating* r, const SeAgents* agents) {
    UF_TRY(UF_ALLOC(&r->numbers, r->num_agents, "hyperparameters of agents"));
    for (int i = 0; i < r->num_agents; i++) r->numbers[i] = *se_agent_hyper(agents, i);
    UF_TRY(UF_ALLOC(&r->hypers, r->num_agents, "hyperparameters of agents"));
    for (int i = 0; i < r->num_agents; i++)
        UF_TRY(uf_strdup(&r->hypers[i], se_agent_hyperparameters(agents, i)));
    return UF_OK;
}

// An agent that is no more finite is the worst.
static double rank_by(const SeRating* r, int agent) {
    return isnan(r->means[agent]) ? -INFINITY : r->means[agent];
}

// The agent in the middle of `sorted` means; of equal ones the first is worse.
static int find_median(const SeRating* r, const double* sorted) {
    const int middle = r->num_agents / 2;
    int before = 0, agent = 0;
    while (sorted[before] < sorted[middle]) before++;
    for (int equal = before;; agent++)
        if (rank_by(r, agent) == sorted[middle] && equal++ == middle) return agent;
}

static UfStatus summarise(SeRating* r) {
    const int n = r->num_agents, E = r->num_episodes, cut = n / 4;
    double* sorted;
    UF_TRY(UF_ALLOC(&r->means, n, "returns"));
    UF_TRY(UF_ALLOC(&sorted, n, "returns"));
    for (int i = 0; i < n; i++) {
        for (int e = 0; e < E; e++) r->means[i] += r->returns[(size_t)i * (size_t)E + (size_t)e] / E;
        sorted[i] = rank_by(r, i);
    }
    uf_sort(sorted, n);
    for (int i = cut; i < n - cut; i++) r->iqm += sorted[i] / (n - 2 * cut);
    for (int i = 0; i < n; i++) r->mean += sorted[i] / n;
    for (int i = 0; i < n; i++) r->std += (sorted[i] - r->mean) * (sorted[i] - r->mean) / n;
    r->std = sqrt(r->std);
    r->least = sorted[0];
    r->most = sorted[n - 1];
    r->median = find_median(r, sorted);
    uf_free(sorted);
    return UF_OK;
}

static UfStatus play_episode(SeEpisode* e, const SeAgents* agents, int agent, UfEnv* env, uint64_t seed) {
    bool terminated = false, truncated = false;
    float obs[UF_ENV_MAX_OBS];
    uf_env_reset(env, seed, 0, obs);
    while (!terminated && !truncated) {
        double reward;
        float* action = e->actions + (size_t)e->num_steps * (size_t)e->numbers;
        memcpy(e->obs + (size_t)e->num_steps * (size_t)e->obs_dim, obs, (size_t)e->obs_dim * sizeof *obs);
        UF_TRY(se_act(agents, agent, 1, obs, action));
        uf_env_step(env, action, obs, &reward, &terminated, &truncated);
        e->sum += reward;
        e->num_steps++;
    }
    return UF_OK;
}

static UfStatus record_episode(SeRating* r, const SeAgents* agents, const SeRateOptions* o) {
    const UfEnvSpec* spec;
    UfEnv* env;
    UF_TRY(se_find_env(&spec, o->config));
    UF_TRY(se_episode_create(&r->episode, spec));
    UF_TRY(uf_env_create(&env, spec->name));
    UfStatus status = play_episode(&r->episode, agents, r->median, env, o->seed);
    uf_env_free(env);
    if (status != UF_ERR_NONFINITE) return status;
    r->episode.num_steps = 0;
    return UF_OK;
}

static UfStatus rate(SeRating* r, SeAgents** agents, const SeRateOptions* o) {
    const SeTrainOptions options = {.config = o->config,
                                    .env = o->env,
                                    .algorithm = se_algorithm_names[o->algorithm],
                                    .num_agents = o->num_agents,
                                    .seed = o->seed,
                                    .stop = o->stop,
                                    .backend = o->backend};
    const double threads = (double)o->config->num_threads, cores = threads > 0 ? threads : uf_num_cores();
    const double start = uf_now();
    UF_TRY(se_train_some(agents, &options));
    const double trained = uf_now();
    UF_TRY(UF_ALLOC(&r->returns, (size_t)r->num_agents * (size_t)r->num_episodes, "returns"));
    UF_TRY(se_play(*agents, o->num_episodes, o->seed, r->returns));
    const double busy = se_agents_apart(*agents) ? 1 : cores < o->num_agents ? cores : o->num_agents;
    r->train_seconds = (trained - start) * busy / o->num_agents;
    r->play_seconds = (uf_now() - trained) * busy / o->num_agents;
    UF_TRY(copy_hypers(r, *agents));
    UF_TRY(summarise(r));
    return record_episode(r, *agents, o);
}

UfStatus se_rate(SeRating* out, const SeRateOptions* o) {
    SeAgents* agents = NULL;
    *out = (SeRating){.algorithm = o->algorithm,
                      .real = !o->env,
                      .num_agents = o->num_agents,
                      .num_episodes = o->num_episodes};
    const UfStatus status = rate(out, &agents, o);
    se_agents_free(agents);
    if (status != UF_OK) se_rating_free(out);
    return status;
}

void se_rating_free(SeRating* r) {
    for (int i = 0; r->hypers && i < r->num_agents; i++) uf_free(r->hypers[i]);
    uf_free(r->hypers);
    uf_free(r->returns);
    uf_free(r->means);
    uf_free(r->numbers);
    se_episode_free(&r->episode);
    *r = (SeRating){.num_agents = 0};
}

UfStatus se_rate_no_agent(UfEvaluation* out, const SeConfig* c, const SeEnv* env) {
    const UfEnvSpec* spec;
    UfPool* pool;
    UF_TRY(uf_pool_create(&pool, (int)c->num_threads));
    const UfStatus status = uf_synth_play(out, &spec, env, c->env, 100, (uint64_t)c->seed, pool);
    uf_pool_free(pool);
    return status;
}

// ---- published returns ----

// Inter-quartile means of 20 agents: README of synthetic-gymnax.
static const struct {
    const char* env;
    double returns[SE_NUM_ALGORITHMS];  // ppo, sac, dqn, ddpg, td3
} published[] = {
    {"CartPole-v1", {500, 500, 500, NAN, NAN}},
    {"Acrobot-v1", {-84.1, -85.3, -82.6, NAN, NAN}},
    {"MountainCar-v0", {-181.8, -170.1, -118.4, NAN, NAN}},
    {"MountainCarContinuous-v0", {66.9, 91.1, NAN, 97.6, 97.5}},
    {"Pendulum-v1", {-205.4, -188.3, NAN, -164.3, -168.5}},
};

double se_published_return(const char* env, SeAlgorithm algorithm) {
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++)
        if (!strcmp(published[i].env, env)) return published[i].returns[algorithm];
    return NAN;
}
