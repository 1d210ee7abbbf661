// train_envs.h: the environments that agents train in, behind one table: PPO's (ppo.h) and the off-policy ones'
// (off_policy.h). Gridworlds are made by ppo_envs.h.
#ifndef UF_TRAIN_ENVS_H
#define UF_TRAIN_ENVS_H

#include "kernels.h"
#include "synthenv.h"
#include "core/envs/envs.h"

// What environments show and take.
typedef struct UfTrainSpace {
    int obs_dim, action_dim;  // action_dim: numbers of an action, or kinds of it where they are discrete
    bool bytes;               // observations are u8, else float
    bool discrete;
    float action_low, action_high;  // of continuous ones
    bool always_done;               // every step ends its episode: what a step is worth is its reward
} UfTrainSpace;

// The environments of all members: num_envs of each. What a call writes is on the host, (N, .) of one member; different
// members may be stepped from different threads at once.
typedef struct UfTrainEnvs UfTrainEnvs;
typedef struct UfTrainEnvsOps {
    UfStatus (*reset)(UfTrainEnvs*, int member, void* obs);
    // action (N, A) or (N) kinds as reals. obs: after the step, and where done is 1 the first of a new episode.
    UfStatus (*step)(UfTrainEnvs*, int member, const real* action, void* obs, real* reward, uint8_t* done);
    // All there is to know of one member's environments, to go on from: state_bytes of them, the same for all members.
    size_t (*state_bytes)(const UfTrainEnvs*);
    UfStatus (*get_state)(const UfTrainEnvs*, int member, void* state);
    UfStatus (*set_state)(UfTrainEnvs*, int member, const void* state, const char* label);
    void (*free)(UfTrainEnvs*);

    // Environments that a device has, all at once: arrays of all members side by side, (P, N, .) in the device's memory.
    // Of reset and step nothing is waited for: failures stick to the backend, and what was recorded may be repeated.
    // action: (P, N, A) reals, or (P, N) kinds as u8. An episode ended where either byte says so.
    // move: there they are from now on, in the state they were in; reset, step and set_state are not called any more.
    // get_states: those of all members.   Called where `moves`; Nullable, all four alike, where it never is
    UfStatus (*move)(UfTrainEnvs*, UfBackend*);
    UfStatus (*reset_all)(UfTrainEnvs*, void* obs);
    UfStatus (*step_all)(UfTrainEnvs*, const void* action, void* obs, real* reward, uint8_t* terminated,
                         uint8_t* truncated);
    UfStatus (*get_states)(const UfTrainEnvs*, void* states);
} UfTrainEnvsOps;
struct UfTrainEnvs {  // the first member of what an implementation keeps
    const UfTrainEnvsOps* ops;
    UfTrainSpace space;
    bool moves;  // a device may have them
};
// For get_state of environments that a device has: one member's, of what get_states says of `population`.
// Errors: UF_ERR_MEMORY, those of get_states.
UfStatus uf_train_envs_state_there(const UfTrainEnvs* envs, int population, int member, void* state);

// num_envs real environments for each of `population` members. What member p meets depends on seeds[p] alone.
// Errors: UF_ERR_UNSUPPORTED (not in this build), UF_ERR_MEMORY.
UfStatus uf_train_envs_real(UfTrainEnvs** out, const UfEnvSpec* spec, int population, int num_envs,
                            const uint64_t* seeds);
// Synthetic ones of the same sizes: envs[p] is member p's, stays the caller's and must stay. They may move to a device unless
// members' differ in more than parameters, or there are more kinds of action than a byte has.
UfStatus uf_train_envs_synthetic(UfTrainEnvs** out, const SeEnv* const* envs, int population, int num_envs,
                                 const uint64_t* seeds);
// The same one of a file for all.   Errors: those of se_read.
UfStatus uf_train_envs_file(UfTrainEnvs** out, const char* path, int population, int num_envs,
                            const uint64_t* seeds);
void uf_train_envs_free(UfTrainEnvs* envs);

#endif
