// trials.h: many small policies at once, each in E environments that it steps side by side.
//
// Policy i of a call starts and acts by keys[i % num_keys] alone, so policies with one key meet the same start states and
// the same noise (common random numbers). Results do not depend on threads, nor on the policies of the call.
#ifndef UF_TRIALS_H
#define UF_TRIALS_H

#include "kernels.h"
#include "core/envs/envs.h"

typedef struct UfTrialOptions {
    UfBackend* backend;  // plays built-in environments, where it can; uf_trials_apart.   Nullable
    const UfEnvSpec* spec;
    const UfCloneNet* net;  // observation -> what `policy` says; trial_rules.h
    int first_obs;  // the column of inputs where this task's begin; others are 0. Its outputs are the first of all
    int num_envs;       // E
    int64_t num_steps;  // T, of each environment; the most that uf_trials_set_num_steps may ask for
    bool any_length;    // episodes go on past the environment's own limit: they end where it says, or with T
    int num_keys;
    UfTrialRule rule;
    UfTrialPolicy policy;
    bool greedy;  // the likeliest kind, the mean; else sampled
    bool
        grid;  // episodes of environment e start at place e of an even grid over the first number of the state
    const float *mean,
        *divisor;  // (S) of the task: a policy sees (observation - mean) / divisor.   Nullable, both alike
    bool running;  // those of all that the policy has seen in this call so far, in their place
} UfTrialOptions;

typedef struct UfTrials UfTrials;

// Makes num_envs environments for each thread, or has the backend play. Arrays of options stay the caller's and must stay.
// Errors: UF_ERR_CONFIG (grid where start states are no box, a network of too few numbers), UF_ERR_UNSUPPORTED,
// UF_ERR_MEMORY.
UfStatus uf_trials_create(UfTrials** out, const UfTrialOptions* options, UfPool* pool);
void uf_trials_free(UfTrials* trials);
// Whether the backend plays, by its op play_trials: then the parameters it is given are in its memory, and last bits may be
// others than the host's.
bool uf_trials_apart(const UfTrials* trials);
// The action noise of these keys (num_keys) for all that follows.
void uf_trials_set_keys(UfTrials* trials, const uint64_t* keys);
// T for all that follows; the noise of a step stays what it was.   Errors: UF_ERR_ARGUMENT (not in 1 to the T of options).
UfStatus uf_trials_set_num_steps(UfTrials* trials, int64_t num_steps);

// params (num_policies, size) -> out (num_policies, E). moments (num_policies, 2, S): what the running normaliser came
// to, means then variances.   Nullable: moments
// Errors: where a backend plays UF_ERR_DEVICE, UF_ERR_MEMORY; else none.
UfStatus uf_trials_play(UfTrials* trials, const real* params, int num_policies, UfTrial* out,
                        double* moments);

#endif
