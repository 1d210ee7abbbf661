// ppo_envs.h: the environments that PPO trains in: gridworlds by navix.h, files of synthetic ones by synthenv.h, everything
// else by envs.h.
#ifndef UF_PPO_ENVS_H
#define UF_PPO_ENVS_H

#include "core/agents/ppo.h"
#include "core/envs/envs.h"

// What the seeds of environments are for: an evaluation meets none of training's.
typedef enum UfPpoPurpose { UF_PPO_TRAINING, UF_PPO_EVALUATION } UfPpoPurpose;

uint64_t uf_ppo_env_seed(int64_t seed, UfPpoPurpose purpose);  // of a member's environments

typedef struct UfPpoEnvsOptions {
    const char* env;  // MiniGrid's and NAVIX's ids, a path that ends in .h5, or a name or alias of envs.h
    const UfPpoConfig* config;  // observation, max_steps
    int num_envs;               // of a member
    const int64_t* seeds;       // (population): of the members
    int population;
    UfPpoPurpose purpose;
} UfPpoEnvsOptions;

// Environment n of a member depends on the member's seed, the purpose and n alone.
// *spec: of envs.h, NULL for a gridworld and a synthetic one.   Errors: UF_ERR_CONFIG, UF_ERR_ARGUMENT (no such
// environment; an observation or max_steps for one that is no gridworld), UF_ERR_MEMORY, UF_ERR_UNSUPPORTED, those of
// se_read. Free with uf_train_envs_free.
UfStatus uf_ppo_envs_create(UfTrainEnvs** out, const UfEnvSpec** spec, const UfPpoEnvsOptions* options);

#endif
