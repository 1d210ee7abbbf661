// synth_rate.h: how good agents become in the real environment that train in a synthetic one.
#ifndef UF_SYNTH_RATE_H
#define UF_SYNTH_RATE_H

#include "core/synth/synth_agents.h"

typedef struct SeRateOptions {
    const SeConfig* config;  // agents, and env
    const SeEnv* env;        // NULL: they train in the real environment itself
    SeAlgorithm algorithm;
    int num_agents, num_episodes;
    uint64_t seed;
    const volatile sig_atomic_t* stop;  // Nullable
    UfBackend* backend;                 // of agents; null: their own
} SeRateOptions;

typedef struct SeRating {
    SeAlgorithm algorithm;
    bool real;  // they trained in the real environment
    int num_agents, num_episodes;
    double* returns;   // (num_agents, num_episodes)
    double* means;     // (num_agents)
    char** hypers;     // (num_agents): in words
    SeHyper* numbers;  // (num_agents): the same
    // Over the agents' means. iqm: inter-quartile mean, a quarter of them, rounded down, cut at either end.
    double iqm, mean, std, least, most;
    double train_seconds, play_seconds;  // of one core, or of the device, for one agent
    int median;  // the agent in the middle by its mean, of two the better one, and an episode of its likeliest actions
    SeEpisode
        episode;  // in the real environment, from the start of (seed, 0).   No steps: they are no more finite
} SeRating;
// Errors: those of se_train, UF_ERR_STOPPED.
UfStatus se_rate(SeRating* out, const SeRateOptions* options);
void se_rating_free(SeRating* rating);
// 100 episodes of the policy that takes the reward's best action, in config's env and by its seed.
UfStatus se_rate_no_agent(UfEvaluation* out, const SeConfig* config, const SeEnv* env);

// The return that agents of an algorithm come to in a published environment, by its authors; NaN: not told.
double se_published_return(const char* env, SeAlgorithm algorithm);

#endif
