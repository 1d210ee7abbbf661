// evaluate.h: episodes of a policy in an environment, on threads, with a batched policy.
#ifndef UF_EVALUATE_H
#define UF_EVALUATE_H

#include "core/core.h"
#include "core/envs/envs.h"

typedef struct UfEvaluation {
    int64_t num_episodes;
    double* returns;   // (num_episodes)
    int32_t* lengths;  // (num_episodes)
    double mean_return, std_return, stderr_return;
    double mean_score, stderr_score;  // NaN without reference scores
    double mean_length;
    int64_t num_steps;
    double seconds;
    int64_t num_nonfinite_actions;  // replaced by 0, as the reference does, but counted
    int64_t num_diverged;           // episodes that ended because the simulation failed
} UfEvaluation;

// Episode e starts and acts from (seed, e) alone: the same returns for any number of threads and workers.
// Up to `workers` episodes run side by side on a thread. deterministic: act at the mean.
UfStatus uf_evaluate(UfEvaluation* out, const UfPolicy* policy, const UfEnvSpec* spec, int64_t num_episodes,
                     int workers, uint64_t seed, bool deterministic, UfPool* pool);

// Sees the start of an episode (action NULL, reward 0) and then each step: the action that the environment was given.
typedef UfStatus UfEpisodeFn(void* user, const UfEnv* env, const float* action, double reward);

// Who plays an episode, and which.
typedef struct UfEpisodeOptions {
    const UfPolicy* policy;  // Nullable: then the scripted controller
    double skill;            // of that
    const UfEnvSpec* spec;
    uint64_t seed;
    int64_t episode;
    bool deterministic;
    UfEpisodeFn* on_step;
    void* user;
} UfEpisodeOptions;

// Plays one episode for an audience: with a policy it is that episode of uf_evaluate, to the bit; with a script it
// is that episode of uf_collect, but for rounding.
UfStatus uf_evaluate_episode(const UfEpisodeOptions* options);
// From returns and lengths, in episode order.
void uf_evaluation_summarise(UfEvaluation* evaluation, const UfEnvSpec* spec);
void uf_evaluation_free(UfEvaluation* evaluation);
// The means and deviations of num_episodes returns and lengths.   Nullable: spec (no scores)
void uf_evaluation_summarise(UfEvaluation* evaluation, const UfEnvSpec* spec);

// The same on a thread of its own, which shares nothing with the caller but what is passed: policy and pool must
// stay, and be used by nobody else, until uf_evaluate_wait, which each start needs.
typedef struct UfEvaluating UfEvaluating;
UfStatus uf_evaluate_start(UfEvaluating** out, const UfPolicy* policy, const UfEnvSpec* spec,
                           int64_t num_episodes, int workers, uint64_t seed, bool deterministic,
                           UfPool* pool);
bool uf_evaluate_is_done(const UfEvaluating* evaluating);
// Waits, gives what uf_evaluate gave, the sentence of a failure included, and frees `evaluating`. With out NULL
// nobody wants it: a failure leaves no sentence.   Nullable: evaluating, out
UfStatus uf_evaluate_wait(UfEvaluating* evaluating, UfEvaluation* out);

#endif
