// ppo.h: proximal policy optimisation of a population of small agents, on the op set.
//
// P members train together; each has its own environments (num_envs of them), parameters, seed and, where ppo.def says
// so, hyperparameters. Member p ends in the bits that it ends in alone, for any number of threads.
// An iteration: num_steps steps of all environments, values and advantages of these rows, then update_epochs passes over
// them in num_minibatches random parts, each an Adam step of actor and critic together.
// Sources: Schulman et al. (arXiv 1707.06347); PureJaxRL, Rejax and NAVIX for what the paper leaves open.
#ifndef UF_PPO_H
#define UF_PPO_H

#include "kernels.h"
#include "core/agents/agent.h"  // UfTensor
#include "core/agents/train_envs.h"
#include "core/config.h"

typedef struct UfPpoConfig {
#define UF_GROUP(id, title)
#define UF_INT(name, value, low, high, scope, help) int64_t name;
#define UF_FLOAT(name, value, low, high, scope, help) double name;
#define UF_BOOL(name, value, scope, help) bool name;
#define UF_ENUM(name, value, choices, scope, help) int name;
#define UF_STRING(name, value, scope, help) char name[UF_STRING_BYTES];
#include "ppo.def"
} UfPpoConfig;

// Indices into the choices of the enums; those of clip_value are in terms.h, of activation in kernels.h.
enum { UF_GAE_STANDARD, UF_GAE_NAVIX };
enum { UF_INIT_LECUN, UF_INIT_ORTHOGONAL };

extern const UfTable uf_ppo_table;
UfStatus uf_ppo_config_check(const UfPpoConfig* config);  // rules between fields

typedef struct UfPpo UfPpo;

// Fresh agents. configs: one a member; what ppo.def calls the same must be.
// Errors: UF_ERR_CONFIG, UF_ERR_MEMORY, UF_ERR_UNSUPPORTED (a device that has not all of the ops).
UfStatus uf_ppo_create(UfPpo** out, const UfPpoConfig* const* configs, int population,
                       const UfTrainSpace* space, int num_threads);
// The same on a backend that stays the caller's and computes for nobody else until they are freed, whatever configurations
// say of devices.
UfStatus uf_ppo_create_on(UfPpo** out, const UfPpoConfig* const* configs, int population,
                          const UfTrainSpace* space, UfBackend* backend);
// Environments that moved to the device of its own backend are freed before.
void uf_ppo_free(UfPpo* ppo);
int uf_ppo_population(const UfPpo* ppo);
const UfPpoConfig* uf_ppo_config(const UfPpo* ppo, int member);
const UfTrainSpace* uf_ppo_space(const UfPpo* ppo);
UfBackend* uf_ppo_backend(UfPpo* ppo);

// ---- training ----

int64_t uf_ppo_iteration(const UfPpo* ppo);       // done so far
int64_t uf_ppo_num_iterations(const UfPpo* ppo);  // that the budget has
// One iteration of all members. The first one resets the environments. On a device environments that it can have move
// there, the others are stepped on the host: actions come down and observations go up once a step, of all members.
// Errors: UF_ERR_NONFINITE (a member, an iteration, a loss), and those of the environments. On a device it only begins the
// iteration; uf_ppo_check, uf_ppo_metrics and uf_ppo_save wait and tell.
UfStatus uf_ppo_iterate(UfPpo* ppo, UfTrainEnvs* envs);
// Waits for what a device does. Errors: UF_ERR_NONFINITE, UF_ERR_DEVICE.
UfStatus uf_ppo_check(UfPpo* ppo);

// Since the last uf_ppo_clear_metrics: means of UF_PPO_METRICS over optimiser steps, and of the training episodes that
// ended how many, their mean return and mean length (NaN where none did).
typedef struct UfPpoMetrics {
    double values[UF_NUM_PPO_METRICS];
    double episodes, mean_return, mean_length;
} UfPpoMetrics;
extern const char* const uf_ppo_metric_names[UF_NUM_PPO_METRICS];
UfStatus uf_ppo_metrics(UfPpo* ppo, int member, UfPpoMetrics* out);
void uf_ppo_clear_metrics(UfPpo* ppo);

// ---- parts of an iteration, for replaying recorded ones ----

const UfSteps* uf_ppo_steps(const UfPpo* ppo);
// Values, advantages and targets of the steps there are.
void uf_ppo_evaluate(UfPpo* ppo);
// One optimiser step on a minibatch of pick->B == uf_ppo_minibatch_rows rows.
void uf_ppo_learn(UfPpo* ppo, UfPick pick);
int uf_ppo_minibatch_rows(const UfPpo* ppo);

// ---- parameters ----

int uf_ppo_num_tensors(const UfPpo* ppo);
const UfTensor* uf_ppo_tensor(const UfPpo* ppo, int index);  // "actor/0/kernel", ..., "log_std"
UfStatus uf_ppo_get_tensor(UfPpo* ppo, const UfTensor* tensor, UfTensorKind kind, int member, real* out);
UfStatus uf_ppo_set_tensor(UfPpo* ppo, const UfTensor* tensor, UfTensorKind kind, int member, const real* in);

// ---- acting ----

// Actors of a space of their own (no shared trunk), the free log-std of continuous actions behind each.
const UfMlp* uf_ppo_actor_shape(const UfPpo* ppo);
UfStatus uf_ppo_actors(UfPpo* ppo, real* params);  // (P, size): those of all members

// A frozen copy of one member's actor, on the host.
typedef struct UfPpoPolicy UfPpoPolicy;
UfStatus uf_ppo_policy_create(UfPpoPolicy** out, UfPpo* ppo, int member);
const UfTrainSpace* uf_ppo_policy_space(const UfPpoPolicy* policy);
// action (n, A), or (n) kinds, for obs (n, O). noise as of the op ppo_act for n rows; null: the most probable kind, the
// mean. scratch: uf_ppo_policy_scratch(policy, n) reals. A row's action does not depend on the rows beside it.
// Nullable: noise
void uf_ppo_policy_act(const UfPpoPolicy* policy, real* action, const void* obs, int n, const real* noise,
                       real* scratch);
size_t uf_ppo_policy_scratch(const UfPpoPolicy* policy, int n);
void uf_ppo_policy_free(UfPpoPolicy* policy);

// ---- checkpoint ----

// Everything that training needs to go on, environments included; HDF5, written beside, flushed, renamed.
// Layout: attributes kind "unifloral-ppo", version, population, iteration, num_updates, metrics_count, obs_dim,
// action_dim, bytes, discrete; config/<p> (JSON bytes); value|adam_m|adam_v/<tensor> (P, rows, columns); last_obs/<p>
// (N, O); episode/{length, return} (P, N), episode/sums (P, 3); metrics (P, M); envs (P, state_bytes).
UfStatus uf_ppo_save(UfPpo* ppo, const UfTrainEnvs* envs, const char* path);
// to_act: agents that only act, on the host, without room for rollouts.
// device: where they go on, in place of what the file's configurations say: fields device and precision of it.
// Nullable: device
UfStatus uf_ppo_load(UfPpo** out, const char* path, const UfPpoConfig* device, int num_threads, bool to_act);
// Puts the environments where the checkpoint left them.
UfStatus uf_ppo_load_envs(UfPpo* ppo, UfTrainEnvs* envs, const char* path);

#endif
