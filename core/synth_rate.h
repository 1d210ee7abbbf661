// synth_rate.h: how good agents become in the real environment that train in a synthetic one.
#ifndef UF_SYNTH_RATE_H
#define UF_SYNTH_RATE_H

#include "synth_agents.h"

typedef struct SeRateOptions {
    const SeConfig* config;  // agents, and env
    const SeEnv* env;        // NULL: they train in the real environment itself
    SeAlgorithm algorithm;
    int num_agents, num_episodes;
    uint64_t seed;
    const volatile sig_atomic_t* stop;  // Nullable
} SeRateOptions;

typedef struct SeRating {
    SeAlgorithm algorithm;
    int num_agents, num_episodes;
    double* returns;  // (num_agents, num_episodes)
    double* means;    // (num_agents)
    char** hypers;    // (num_agents): in words
    // Over the agents' means. iqm: inter-quartile mean, a quarter of them, rounded down, cut at either end.
    double iqm, mean, std, least, most;
    double train_seconds, play_seconds;  // of one core for one agent
} SeRating;
// Errors: those of se_train, UF_ERR_STOPPED.
UfStatus se_rate(SeRating* out, const SeRateOptions* options);
void se_rating_free(SeRating* rating);

// The return that agents of an algorithm come to in a published environment, by its authors; NaN: not told.
double se_published_return(const char* env, SeAlgorithm algorithm);

typedef struct SeReuseOptions {
    SeRateOptions rate;  // algorithm aside
    const char* algorithms;
    bool control;  // also as many agents that train in the real environment, for as many steps
    bool each;     // also a line for each agent
    bool json;     // one object in place of text
} SeReuseOptions;
// Agents of each algorithm, as lines of text.
UfStatus se_reuse(const SeReuseOptions* options, UfText* text);

#endif
