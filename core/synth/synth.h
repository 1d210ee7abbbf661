// synth.h: what the library itself wants of synthetic environments beside the public part (synthenv.h): playing in the
// evaluation environment, the common interface, a description, recordings.
#ifndef UF_SYNTH_H
#define UF_SYNTH_H

#include "kernels.h"
#include "synthenv.h"
#include "core/agents/evaluate.h"
#include "core/envs/envs.h"

const char* se_mode_name(const SeEnv* env);     // "bandit", "mdp"
const char* se_latent_name(const SeEnv* env);   // "normal", ...
const char* se_meaning_name(const SeEnv* env);  // "sought", "q", "behaviour"
// Shape and parameters of each network, by UF_SYNTH_*; returns how many there are. They belong to env.
int se_networks(const SeEnv* env, const UfMlp** shapes, const real* const** params);
// Whether an environment may stand for another.   Errors: UF_ERR_ARGUMENT (sizes, kind or bounds of actions)
UfStatus se_check_fit(const SeOptions* options, const UfEnvSpec* spec);
// The largest size of a weight, and the name of the tensor that it is in.
float se_largest_weight(const SeEnv* env, char* tensor, size_t bytes);
// One step of one copy without what begins anew: the observation after it, and whether the episode ends by itself. Of a
// bandit it does, and shows the observation it began with.
void se_transition(const SeEnv* env, const float* obs, const float* action, float* next_obs, float* reward,
                   uint8_t* ended);

// ---- synth_play.c ----

// An episode of a policy in an environment, step by step.
typedef struct SeEpisode {
    int obs_dim, numbers;  // of an observation, of an action as it is taken: a kind is one number
    int num_steps;
    float *obs, *actions;  // (num_steps, obs_dim): what it saw; (num_steps, numbers): what it did
    double sum;            // of rewards
} SeEpisode;
// Of no steps yet, with room for the most of spec.
UfStatus se_episode_create(SeEpisode* out, const UfEnvSpec* spec);
void se_episode_free(SeEpisode* episode);

// It behind the common interface. Latents are those of the reset's (seed, episode). An episode that ends by itself shows
// the observation it ended in: of a bandit the one it began with.   env must stay.
UfStatus uf_synth_env_create(UfEnv** out, const SeEnv* env);

// Episodes of the policy that takes the reward's best action, in an environment of the library: episode e is by (seed, e)
// alone.   Nullable: spec, the evaluation environment.   Errors: UF_ERR_ARGUMENT (no such environment, other sizes),
// UF_ERR_UNSUPPORTED (not in this build), UF_ERR_MEMORY.
UfStatus uf_synth_play(UfEvaluation* out, const UfEnvSpec** spec, const SeEnv* env, const char* name,
                       int64_t num_episodes, uint64_t seed, UfPool* pool);

// What becomes of the best actions of first observations obs (rows, O), which are `best` (rows, numbers), where number j of
// each is another one's among them: the share that changes, or the mean size of the change. changed (rows, O), other
// (rows, numbers): room.
double uf_synth_importance(const SeEnv* env, int rows, const float* obs, const float* best, int j,
                           float* changed, float* other);

// What a file is, and what its first observations, rewards and best actions look like.   Free *text with uf_free.
UfStatus uf_synth_info(const char* path, char** text);

// ---- synth_traces.c ----

// `unifloral verify` of kind synthenv: its lines as text (free with uf_free) and whether all passed.
UfStatus uf_verify_synthenv(const char* path, char** report, bool* passed);

#endif
