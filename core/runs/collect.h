// collect.h: datasets in D4RL layout from scripted controllers, checkpoints, and mixtures of them.
#ifndef UF_COLLECT_H
#define UF_COLLECT_H

#include "core/core.h"

// A policy is random, medium, expert or replay (the scripted controllers), or else a checkpoint: a file or a run
// folder, sampled if its policy is stochastic, acting at its mean with "@mean" behind the name.
typedef struct UfCollectOptions {
    const char* env;
    const char* policy;  // Nullable: where there is a mix
    const char* mix;     // "random:0.5,runs/x:0.5": policies and their shares of the steps.   Nullable
    int64_t num_steps;
    uint64_t seed;
    int num_threads;         // 0: all cores. The file does not depend on it
    bool mean;               // as if "@mean" stood behind every checkpoint
    double noise;            // standard deviation of Gaussian exploration on top, clipped to [-1, 1]
    bool next_observations;  // store them
    const char* output;
} UfCollectOptions;

// Writes the file: whole episodes, but for the very last; the parts of a mix one after the other. Episode e of
// part k depends on seed, k and e alone (replay: on the rows before its round as well). Recorded actions are the
// ones that the environment was given, to the bit, scaled to [-1, 1]; of discrete ones the numbers.
UfStatus uf_collect(const UfCollectOptions* options);

// Whether this is the name of a script that keeps one skill (random, medium, expert), and which.
bool uf_collect_skill(const char* name, double* skill);

#endif
