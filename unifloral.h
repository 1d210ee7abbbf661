// unifloral.h: offline reinforcement learning in one hyperparameter space, as a C library.
//
// The one header a user includes. Link with `pkg-config --libs unifloral`.
//
// How it fits together
//   UfConfig   the hyperparameters of one run: a table of named values (see `unifloral train --help`)
//   UfDataset  transitions in memory, read from a D4RL or Minari HDF5 file or copied from arrays
//   UfAgent    networks and optimiser state of a population of P >= 1 members that train together
//   UfDynamics an ensemble that learns to predict next observation and reward: the world model of agents
//   UfPolicy   a frozen copy of one member's actor, for acting; needs neither agent nor dataset
//
// Rules of the house
//   * Every function that can fail returns a UfStatus; UF_OK is 0. The sentence is in uf_error(), which is
//     thread-local and valid until the next call on that thread. The library never prints, exits or aborts.
//   * Handles are opaque. uf_*_create/open/load write NULL to *out on failure; uf_*_free(NULL) does nothing.
//     Functions with a status refuse null pointers that are not Nullable; the others (counts, names) take none.
//   * Arrays are row-major float32 unless said otherwise. Shape letters: P population, B batch,
//     O observation, A action.
//   * One process-wide effect: OpenBLAS is set to one thread, as the library's own threads call it.
//   * Two agents may be used from two threads at once, their files too where HDF5 is built thread-safe (Debian's
//     is). One agent is used by one thread at a time.
//   * UfConfig and UfDataset are read-only while an agent trains and may be shared by many agents.
#ifndef UNIFLORAL_H
#define UNIFLORAL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UF_VERSION "0.6.0"

#if defined(__GNUC__)
#define UF_API __attribute__((visibility("default")))
#else
#define UF_API
#endif

typedef enum UfStatus {
    UF_OK = 0,
    UF_ERR_ARGUMENT,     // a null or senseless argument
    UF_ERR_CONFIG,       // unknown name, wrong type, out of range, contradiction
    UF_ERR_FORMAT,       // a file that is not what it should be
    UF_ERR_IO,           // the operating system said no
    UF_ERR_MEMORY,       // out of memory
    UF_ERR_NONFINITE,    // a loss or parameter is NaN or infinite
    UF_ERR_DEVICE,       // the compute backend failed
    UF_ERR_UNSUPPORTED,  // right in principle, absent from this build
    UF_ERR_STOPPED,      // a callback asked to stop
} UfStatus;

typedef struct UfConfig UfConfig;
typedef struct UfDataset UfDataset;
typedef struct UfAgent UfAgent;
typedef struct UfPolicy UfPolicy;
typedef struct UfDynamics UfDynamics;

// The sentence that belongs to the last failure on this thread; "" if there was none.
UF_API const char* uf_error(void);
// "0.6.0": the version this library was built as.
UF_API const char* uf_version(void);
// Frees what the library handed out as plain memory (uf_config_json).   Nullable: memory
UF_API void uf_free(void* memory);

// ---- config ----

// A config that holds the default of every hyperparameter.
UF_API UfStatus uf_config_create(UfConfig** out);
// Reads a JSON file over what the config holds. Unknown or duplicate names, wrong types, values out of range,
// lists and malformed JSON are UF_ERR_CONFIG, and the sentence names file, line, key, value and what would be
// right.
UF_API UfStatus uf_config_load(UfConfig* config, const char* path);
// The same from text; `label` stands for the file name in messages.
UF_API UfStatus uf_config_parse(UfConfig* config, const char* json, const char* label);
// Sets one hyperparameter from text, as `--set name=value` does. Strings need no quotes.
UF_API UfStatus uf_config_set(UfConfig* config, const char* name, const char* value);
// Writes the value of one hyperparameter as text into buffer (always terminated).
UF_API UfStatus uf_config_get(const UfConfig* config, const char* name, char* buffer, size_t buffer_bytes);
// The whole configuration as JSON text, every name in table order. Free *json with uf_free.
UF_API UfStatus uf_config_json(const UfConfig* config, char** json);
// Rules between fields (entropy needs a stochastic actor, ...). uf_agent_create calls it.
UF_API UfStatus uf_config_check(const UfConfig* config);
UF_API void uf_config_free(UfConfig* config);

// ---- dataset ----

// Transitions as arrays of the caller, copied by uf_dataset_from_arrays. Rows are in time order, episode
// after episode.
typedef struct UfArrays {
    int64_t num_rows;           // T
    int obs_dim, action_dim;    // O, A
    const float* observations;  // (T, O)
    const float* actions;       // (T, A), in [-1, 1]
    const float* rewards;       // (T)
    const uint8_t* terminals;   // (T) 1 where the episode ended by itself
    const uint8_t*
        timeouts;  // (T) 1 where it was cut; Nullable: then episodes end at terminals or step_limit
    const float* next_observations;  // (T, O); Nullable: then the next row of the same episode is used
    int64_t step_limit;              // used where timeouts is null; 0: none
} UfArrays;

// Reads a D4RL-style HDF5 file (observations, actions, rewards, terminals, optional timeouts and
// next_observations; float32 or float64) or a Minari main_data.hdf5. Holds the arrays as float32 once. task:
// environment name, for the step limit where a file has no timeouts.   Nullable: task (then the file's env_id
// or name) Errors: UF_ERR_IO, UF_ERR_FORMAT, UF_ERR_MEMORY.   Source: d4rl/__init__.py qlearning_dataset;
// spec of Minari files.
UF_API UfStatus uf_dataset_open(UfDataset** out, const char* path, const char* task);
UF_API UfStatus uf_dataset_from_arrays(UfDataset** out, const UfArrays* arrays);
// Transitions that can be sampled (rows without a known next state are not counted).
UF_API int64_t uf_dataset_num_rows(const UfDataset* dataset);
UF_API int uf_dataset_obs_dim(const UfDataset* dataset);
UF_API int uf_dataset_action_dim(const UfDataset* dataset);
UF_API void uf_dataset_free(UfDataset* dataset);

// ---- agent ----

// Called after every update; of a population (or on a device) after every round of up to 64, about a quarter of a
// second. Return 0 to go on; anything else stops training there with UF_ERR_STOPPED; the agent stays usable and can be
// saved. To be at a certain update, say so to uf_train.
typedef int UfUpdateFn(void* user, UfAgent* agent, int64_t update);

// An agent with fresh parameters for the dataset's dimensions and statistics. num_threads 0: all cores.
// Where dataset_sample_ratio is below 1 the world model in model_path is read too, and must be of this
// dataset. Where init_from names a bandit, networks learn its rewards here, before the first update.
// Errors: UF_ERR_CONFIG (contradictions), UF_ERR_MEMORY, and what these files can have.
UF_API UfStatus uf_agent_create(UfAgent** out, const UfConfig* config, const UfDataset* dataset,
                                int num_threads);
// The same for a population: configs[p] for each of P members. Fields marked "per member" in the table and
// the seed may differ; the others must be equal. Member p ends with the bits that a population of one with
// configs[p] ends with.
UF_API UfStatus uf_agent_create_population(UfAgent** out, const UfConfig* const* configs, int population,
                                           const UfDataset* dataset, int num_threads);
// Whether rollouts in the world model end, for tasks that no built-in rule knows: done[i] = 1 where the step
// from obs (n, O) by actions (n, A), in the units of the dataset's actions, to next_obs (n, O) ends an
// episode; done (n) comes as zeros. Must be a function of these alone, or runs do not resume. Called from the
// thread of uf_train.
typedef void UfTerminationFn(void* user, const float* obs, const float* actions, const float* next_obs,
                             uint8_t* done, int64_t n);
// Uses this rule instead of the one that `termination` or the world model names; null goes back to that. Only
// with a rule of this kind do rollouts visit the host. Not in the checkpoint: call it again after
// uf_agent_load. Nullable: terminates, user   Errors: UF_ERR_ARGUMENT (an agent without a world model),
// UF_ERR_MEMORY.
UF_API UfStatus uf_agent_set_termination(UfAgent* agent, UfTerminationFn* terminates, void* user);
// Trains for num_updates updates (0: up to the config's num_updates). Resumable; bit-exact with an
// uninterrupted run on the same machine, for any number of threads.   Nullable: on_update, user Errors:
// UF_ERR_NONFINITE (update and term in uf_error()), UF_ERR_STOPPED, UF_ERR_ARGUMENT (dimensions differ).
// A member of a population whose numbers are not finite stops, and the call returns at the end of the round; the next
// one goes on with the others.
// Source: unifloral.py, main loop.
UF_API UfStatus uf_train(UfAgent* agent, const UfDataset* dataset, int64_t num_updates, UfUpdateFn* on_update,
                         void* user);
// Why a member of a population stopped; null where it did not. Belongs to the agent.
UF_API const char* uf_agent_member_error(const UfAgent* agent, int member);
// Means of the logged losses since the last uf_agent_clear_metrics, for one member. *names and *values
// (num_metrics each) belong to the agent; values are valid until its next call. Before the first update they
// are NaN.
UF_API UfStatus uf_agent_metrics(UfAgent* agent, int member, int* num_metrics, const char* const** names,
                                 const double** values);
UF_API void uf_agent_clear_metrics(UfAgent* agent);
// Updates done so far.
UF_API int64_t uf_agent_num_updates(const UfAgent* agent);
UF_API int uf_agent_population(const UfAgent* agent);
// The configuration of one member, as checkpointed; null where there is no such member. Belongs to the agent.
UF_API const UfConfig* uf_agent_config(const UfAgent* agent, int member);
// SHA-256 of the dataset file the agent was made for (64 hex digits).
UF_API const char* uf_agent_dataset_hash(const UfAgent* agent);
// Writes everything that training needs to go on (HDF5; written beside, flushed, renamed).
UF_API UfStatus uf_agent_save(const UfAgent* agent, const char* path);
// The same of one member, as if it had trained alone.
UF_API UfStatus uf_agent_save_member(const UfAgent* agent, int member, const char* path);
// Rebuilds an agent from a checkpoint. The dataset given to uf_train must be the one it was trained on, and
// the world model, if there is one, must still be in model_path.
UF_API UfStatus uf_agent_load(UfAgent** out, const char* path, int num_threads);
// Likewise, several as one population, on another device ("cpu", "cuda", "auto") or in another precision ("tf32", "bf16",
// "fp32") than the configuration in the file says.   Nullable: device, precision (as in the file)
UF_API UfStatus uf_agent_load_on(UfAgent** out, const char* const* paths, int num_paths, const char* device,
                                 const char* precision, int num_threads);
// A population of the members of several checkpoints, in order. They must be at the same update of the same dataset,
// and agree in what members cannot differ in.   Errors: UF_ERR_ARGUMENT, UF_ERR_CONFIG, and those of uf_agent_load.
UF_API UfStatus uf_agent_load_population(UfAgent** out, const char* const* paths, int num_paths,
                                         int num_threads);
UF_API void uf_agent_free(UfAgent* agent);

// ---- policy ----

// A frozen copy of one member's actor.
UF_API UfStatus uf_policy_create(UfPolicy** out, const UfAgent* agent, int member);
// The same from a checkpoint; needs no dataset.
UF_API UfStatus uf_policy_load(UfPolicy** out, const char* path, int member);
UF_API int uf_policy_obs_dim(const UfPolicy* policy);
UF_API int uf_policy_action_dim(const UfPolicy* policy);
// actions (n, A) for obs (n, O), in the units of the dataset's actions. noise (n, A) standard normals: the
// policy is sampled; null: its mean. May be called from many threads at once on one policy.   Nullable: noise
UF_API UfStatus uf_policy_act(const UfPolicy* policy, float* actions, const float* obs, int64_t n,
                              const float* noise);
UF_API void uf_policy_free(UfPolicy* policy);

// ---- choosing without a simulator ----

// What fitted Q evaluation says of one policy.
typedef struct UfFqe {
    double estimate;       // mean of Q(s0, policy(s0)) over initial states and critics: discounted return.
                           // NaN, as low and high are, where it diverged
    double low, high;      // 95 %: bootstrap over initial states, and the spread of the critics
    double td_error;       // mean square on rows of the dataset, mean over critics
    int64_t num_states;    // initial states: the first row of each episode
    int diverged;          // 1: `worst` or the TD error is not finite, or beyond what rewards and gamma allow
    double q_low, q_high;  // which is this
    double worst;  // largest in size of the critics' means of Q at initial states; NaN: a critic broke
} UfFqe;

// Called as UfUpdateFn is. num_updates: of all populations that the policies make, which train one after the other.
// Return 0 to go on; anything else stops with UF_ERR_STOPPED.
typedef int UfFqeFn(void* user, int64_t update, int64_t num_updates);

// A config for uf_fqe, which reads these of it and refuses others that are changed: seed, num_updates, lr,
// lr_schedule, batch_size, gamma, polyak_step_size, num_critics, critic_num_layers, critic_layer_width, critic_ln.
UF_API UfStatus uf_fqe_config(UfConfig** out);
// Fitted Q evaluation of num_policies policies on a dataset: results (num_policies). Stochastic policies are sampled,
// but of a configuration with deterministic_eval act at their mean. A result depends neither on threads nor on
// the policies beside it. num_threads 0: all cores.   Nullable: on_update, user   Errors: UF_ERR_ARGUMENT (dimensions
// or action units differ), UF_ERR_CONFIG, UF_ERR_MEMORY, UF_ERR_STOPPED. A policy that diverges is none.
// Source: Le, Voloshin, Yue 2019 (arXiv 1903.08738); how it is done: core/runs/fqe.h.
UF_API UfStatus uf_fqe(UfFqe* results, const UfPolicy* const* policies, int num_policies,
                       const UfDataset* dataset, const UfConfig* config, int num_threads, UfFqeFn* on_update,
                       void* user);

// ---- world model ----

// Called after every batch of an epoch (both counted from 1), and with batch 0 when the epoch has been validated.
// Return 0 to go on; anything else stops with UF_ERR_STOPPED; the ensemble stays usable and can be saved.
typedef int UfDynamicsFn(void* user, UfDynamics* dynamics, int64_t epoch, int64_t batch);

// An ensemble with fresh parameters for the dataset's dimensions. Agents use the file that uf_dynamics_save writes
// through their hyperparameter model_path. num_threads 0: all cores.   Errors: UF_ERR_CONFIG, UF_ERR_MEMORY.
UF_API UfStatus uf_dynamics_create(UfDynamics** out, const UfConfig* config, const UfDataset* dataset,
                                   int num_threads);
// Trains for num_epochs epochs (0: up to the config's num_epochs), less where early_stop_epochs ends it, then chooses
// the elites and measures them. Whole episodes are held out for validation (of a single episode its end). Resumable;
// bit-exact with an uninterrupted run on the same machine, for any number of threads.   Nullable: on_batch, user
// Errors: UF_ERR_NONFINITE (epoch and batch in uf_error()), UF_ERR_STOPPED, UF_ERR_ARGUMENT (another dataset).
UF_API UfStatus uf_dynamics_train(UfDynamics* dynamics, const UfDataset* dataset, int64_t num_epochs,
                                  UfDynamicsFn* on_batch, void* user);
// Epochs done so far.
UF_API int64_t uf_dynamics_num_epochs(const UfDynamics* dynamics);
// Mean training loss of an epoch (from 1), and of each of *num_members networks the squared error of its means on the
// held-out rows. *validation belongs to the ensemble and is valid until its next call.
// Nullable: train_loss, validation, num_members
UF_API UfStatus uf_dynamics_epoch(const UfDynamics* dynamics, int64_t epoch, double* train_loss,
                                  const double** validation, int* num_members);
// One-step R^2 of the elites' mean on the held-out rows for each number of (next_obs - obs, reward): *num_values =
// O + 1; NaN where it does not vary there. UF_ERR_ARGUMENT before uf_dynamics_train has returned UF_OK.
UF_API UfStatus uf_dynamics_r2(const UfDynamics* dynamics, const double** r2, int* num_values);
// Writes everything that training and agents need (HDF5; written beside, flushed, renamed).
UF_API UfStatus uf_dynamics_save(const UfDynamics* dynamics, const char* path);
// Rebuilds an ensemble from a file; it trains on only with the dataset it was trained on.
UF_API UfStatus uf_dynamics_load(UfDynamics** out, const char* path, int num_threads);
UF_API void uf_dynamics_free(UfDynamics* dynamics);

// ---- evolution strategies ----

// A search over vectors of `dims` numbers by ask and tell: each generation gives popsize candidates, which the caller
// rates. Everything random is a function of (seed, generation, candidate, dimension), so any part of a generation can be
// made anywhere, by itself.
// Sources: OpenES (Salimans et al., arXiv 1703.03864) and SNES (Schaul et al., GECCO 2011) as evosax 0.1 has them.
typedef struct UfEs UfEs;

typedef enum UfEsStrategy {
    UF_ES_OPENES,  // antithetic pairs: mean + sigma z for the first half, mean - sigma z for the second; Adam
    UF_ES_SNES,    // a sigma for each dimension; weights by rank
} UfEsStrategy;
typedef enum UfEsShaping {
    UF_ES_RAW,
    UF_ES_CENTERED_RANK,
    UF_ES_Z_SCORE
} UfEsShaping;  // of OpenES's fitness

typedef struct UfEsOptions {
    UfEsStrategy strategy;
    int popsize;  // even for OpenES
    int64_t dims;
    int maximize;  // 1: larger fitness is better
    uint64_t seed;
    double sigma_init;
    // OpenES: after each generation sigma = max(sigma * sigma_decay, sigma_limit), lr likewise
    UfEsShaping shaping;
    double sigma_decay, sigma_limit, lr, lr_decay, lr_limit, beta1, beta2, eps;
    // SNES
    double temperature;        // of the softmax over ranks; 0: the usual utilities
    double lr_mean, lr_sigma;  // lr_sigma 0: (3 + ln dims) / (5 sqrt(dims))
} UfEsOptions;

// The defaults of evosax, and HaDES's beta1 of 0.99; popsize and dims are left 0.
UF_API void uf_es_default_options(UfEsOptions* options, UfEsStrategy strategy);
// A search that starts at zeros.   Errors: UF_ERR_CONFIG (an odd popsize for OpenES, sizes, rates), UF_ERR_MEMORY.
UF_API UfStatus uf_es_create(UfEs** out, const UfEsOptions* options);
UF_API const UfEsOptions* uf_es_options(const UfEs* es);
// Where it starts, or goes on from; mean (dims).
UF_API void uf_es_set_mean(UfEs* es, const double* mean);
// x (popsize, dims): this generation's candidates.
UF_API void uf_es_ask(const UfEs* es, float* x);
// x (dims): candidate `index` of them alone, the same bits.
UF_API void uf_es_candidate(const UfEs* es, int index, float* x);
// fitness (popsize) of these candidates ends the generation. One that is not finite ranks behind all that are, and is
// counted.   Errors: UF_ERR_NONFINITE (none is finite: nothing has changed).
UF_API UfStatus uf_es_tell(UfEs* es, const double* fitness);
UF_API int64_t uf_es_generation(const UfEs* es);     // told so far
UF_API int64_t uf_es_num_nonfinite(const UfEs* es);  // candidates so far whose fitness was not finite
UF_API const double* uf_es_mean(const UfEs* es);     // (dims)
UF_API const double* uf_es_sigma(const UfEs* es);    // (dims)
// The best candidate so far (dims) and its fitness; replaced only by a better one. NULL, NaN: none yet.
UF_API const float* uf_es_best(const UfEs* es, double* fitness);
UF_API void uf_es_free(UfEs* es);

#ifdef __cplusplus
}
#endif
#endif
