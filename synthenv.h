// synthenv.h: synthetic environments: a few hundred numbers in which an agent trains, to be good in another environment.
//
// Small networks stand for an environment: from random latents the first observation, from observation and action the
// reward, and of an MDP what the observation changes by and whether the episode ends. Of a contextual bandit an episode is
// one step, so that its reward is its Q function: the best action of the reward network is a policy (se_best_actions).
// Source: Liesen, Lu, Lupu, Foerster, Sprekeler, Lange, "Discovering Minimal Reinforcement Learning Environments"
// (arXiv 2406.12589). Link and rules of the house: unifloral.h.
//
//   SeEnv* env;
//   se_read(&env, "cartpole.h5");
//   SeDraw draw = {.seed = 0};
//   se_reset(env, &draw, rows, obs);
//   for (draw.step = 1;; draw.step++) se_step(env, &draw, rows, obs, action, steps, obs, reward, done);
#ifndef SYNTHENV_H
#define SYNTHENV_H

#include "unifloral.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- what an environment is ----
//
// Four networks of one hidden layer of ReLU. O observation, A numbers of an action or kinds of it, L latent.
//   initial_state     (L) latent -> (O)                 reward    (O + A) -> 1
//   next_state_delta  (O + A) -> (O), of an MDP         done      (O) the next observation -> 1: ends where it is > 0
// Kinds of action are one-hot there, continuous actions as they are, in the units of the evaluation environment; nothing is
// clipped or scaled.

typedef struct SeEnv SeEnv;  // networks alone: a constant while it is stepped, from any number of threads

typedef enum SeMode { SE_BANDIT, SE_MDP } SeMode;
typedef enum SeLatent {
    SE_NORMAL,       // standard normals
    SE_UNIFORM,      // between 0 and 1
    SE_CATEGORICAL,  // one-hot, each number as likely as another
    SE_SOFTMAX,      // one-hot, number i with a probability in proportion to exp(-i)
} SeLatent;

// What a reward says, where that is known.
typedef enum SeMeaning {
    SE_SOUGHT,  // nothing more: a search found it
    SE_Q,       // it is a Q function of the evaluation environment, of the discount in the options
    SE_BEHAVIOUR,  // log-density of a dataset's actions against uniform ones; of kinds their log-probability, but for a
                   // number of the state's own
} SeMeaning;

typedef struct SeOptions {
    const char* eval_env;  // the environment that it stands for.   Nullable: none
    SeMode mode;
    SeLatent latent;
    int obs_dim, action_dim;        // O, A
    int discrete;                   // 1: A kinds of action
    float action_low, action_high;  // of continuous ones: where se_best_actions looks
    int latent_dim;                 // L; 0: as many as observations
    int width;                      // H of every hidden layer
    int max_steps;                  // of an episode of an MDP; a bandit's has 1
    SeMeaning meaning;              // of a reward
    float discount;                 // of SE_Q
} SeOptions;

// A bandit with normal latents and 32 hidden units for an environment by name; sizes, bounds and step limit are its own.
// Errors: UF_ERR_ARGUMENT (no such environment).
UF_API UfStatus se_default_options(SeOptions* options, const char* eval_env);
// Fresh weights: kernels are LeCun's normals of the seed, biases 0.   Errors: UF_ERR_ARGUMENT (sizes), UF_ERR_MEMORY.
UF_API UfStatus se_create(SeEnv** out, const SeOptions* options, uint64_t seed);
UF_API const SeOptions* se_options(const SeEnv* env);  // every size filled in; belongs to env
UF_API void se_free(SeEnv* env);

// All parameters as one vector, as evolution strategies search it: initial_state, reward, next_state_delta, done; of each
// network the hidden layer, then the output; of a layer bias, then kernel (in, out) row by row.
UF_API int64_t se_num_params(const SeEnv* env);
UF_API void se_get_params(const SeEnv* env, float* params);
// Errors: UF_ERR_NONFINITE (the tensor is named; nothing has changed).
UF_API UfStatus se_set_params(SeEnv* env, const float* params);

// ---- steps of many copies ----
//
// A copy is a row: its observation (O) and the steps of its episode so far. What a row gets depends on itself and its draw
// alone, to the bit: not on the rows beside it, nor on threads.

typedef struct SeDraw {
    const float* latents;  // (rows, L).   Nullable: then row i gets those of (seed, step, first + i)
    uint64_t seed, step;   // step: one more from call to call
    uint64_t first;        // number of the first row's copy
} SeDraw;

// latents (rows, L) that such a draw has.
UF_API void se_latents(const SeEnv* env, const SeDraw* draw, int rows, float* latents);
// obs (rows, O): first observations.
UF_API void se_reset(const SeEnv* env, const SeDraw* draw, int rows, float* obs);
// One step of each row. action: (rows, A), or (rows) kinds as floats. steps (rows): of the episode, counted here, of an
// MDP; a bandit does not look at it. Where an episode ends, done is 1, steps 0 again, and next_obs (rows, O) the first
// observation of a new one. next_obs may be obs.   Nullable: steps of a bandit
UF_API void se_step(const SeEnv* env, const SeDraw* draw, int rows, const float* obs, const float* action,
                    int32_t* steps, float* next_obs, float* reward, uint8_t* done);
// logit (rows) of the network `done` for next observations (rows, O): an episode ends where it is above 0. Of an MDP.
UF_API void se_done_logits(const SeEnv* env, int rows, const float* next_obs, float* logit);

// ---- rewards ----

// encoded (rows, A): one-hot of (rows) kinds, a copy of (rows, A) numbers. A kind is rounded, and kept within 0 to A - 1.
UF_API void se_encode(const SeEnv* env, int rows, const float* action, float* encoded);
// reward (rows) for encoded actions (rows, A), which need not be one-hot.
UF_API void se_rewards(const SeEnv* env, int rows, const float* obs, const float* encoded, float* reward);
// reward (rows, A): of each kind of action. Where actions are kinds.
UF_API void se_rewards_of_all(const SeEnv* env, int rows, const float* obs, float* reward);
// Its derivatives by the observation (rows, O) and the encoded action (rows, A).   Nullable: reward, dobs, dencoded
UF_API void se_reward_gradient(const SeEnv* env, int rows, const float* obs, const float* encoded,
                               float* reward, float* dobs, float* dencoded);
// The action of the largest reward: action (rows) kinds, the first of equal ones; or (rows, A) numbers out of a grid of 101
// from action_low to action_high in each: all of it where A is 1; else from the middle one number after another takes its
// best place, until a round of them changes nothing (at most 20 rounds).
UF_API void se_best_actions(const SeEnv* env, int rows, const float* obs, float* action);

// ---- files ----

// Writes an environment (HDF5; written beside, flushed, renamed).   Nullable: source, where it comes from, a line of text
UF_API UfStatus se_write(const SeEnv* env, const char* path, const char* source);
// Errors: UF_ERR_IO, UF_ERR_FORMAT (the tensor or attribute is named; also sizes that are not those of the evaluation
// environment, where that is one of the library's).
UF_API UfStatus se_read(SeEnv** out, const char* path);
// One of the published environments: `name` is a group of `checkpoint` in the file ("cartpole") or its env_id
// ("CartPole-v1"), or another group with these tensors.
UF_API UfStatus se_import(SeEnv** out, const char* path, const char* name);

// ---- made of data ----

typedef struct SeMaking {
    const char* env;  // that it is to stand for.   Nullable: what checkpoint and dataset say of theirs
    const char*
        checkpoint;  // of `unifloral train`, a file or run folder: the reward is its Q.   Nullable: the reward is
                     // the dataset's behaviour
    int64_t num_steps;  // of Adam, for either network; 0: 10000
    int width;          // 0: 64, or twice an observation where that is more
    uint64_t seed;
    double
        return_temperature;  // behaviour: rows weigh exp(their episode's return, standardised, over this); 0: alike
    int num_threads;         // 0: all cores. The bandit does not depend on it
} SeMaking;

typedef struct SeMade {
    int begins_exact;  // 1: contexts began as the Gaussian of the dataset's mean and covariance; 0: as fresh ones
    double first_distance,
        distance;  // energy distance of contexts from the dataset's observations, both in units of their
                   // deviations, at that beginning and at the end
    double r2;     // of Q on states and actions that were held out.   NaN: of behaviour
    double cross_entropy, accuracy;  // of behaviour on rows that were held out, in nats.   NaN: of Q
    double chance;                   // what the cross-entropy of one who knows nothing is
    double effective_rows;           // of behaviour: (sum w)^2 / sum w^2 of the weights of rows.   NaN: of Q
} SeMade;

// A bandit whose contexts look like a dataset's observations and whose best action is what the data did, or what a
// checkpoint's critics (as its actor reduces them) say is best.   Nullable: dataset, where there is a checkpoint that names its
// own; made
// Errors: UF_ERR_ARGUMENT (sizes or environment of dataset, checkpoint and `env` differ; too few rows; a setting),
// UF_ERR_NONFINITE, UF_ERR_MEMORY, those of reading.
UF_API UfStatus se_make(SeEnv** out, SeMade* made, const UfDataset* dataset, const SeMaking* making);

// ---- the horizon of evaluations while environments are searched ----

typedef struct SeHorizon {
    int64_t init, end, begin, steps;
} SeHorizon;
// Steps of an evaluation episode in generation g: init until `begin`, end from begin + steps on, between them on a
// straight line, rounded towards 0.
UF_API int64_t se_horizon(const SeHorizon* horizon, int64_t generation);

// ---- agents ----
//
// DQN, SAC, PPO, DDPG, TD3 with 64-64 networks, hyperparameters drawn from lists: those of SeConfig.

typedef struct SeConfig SeConfig;  // the hyperparameters of `unifloral synthenv meta --help`

// The same five as those of UfConfig (unifloral.h).
UF_API UfStatus se_config_create(SeConfig** out);
UF_API UfStatus se_config_load(SeConfig* config, const char* path);
UF_API UfStatus se_config_set(SeConfig* config, const char* name, const char* value);
UF_API UfStatus se_config_json(const SeConfig* config, char** json);  // free with uf_free
UF_API void se_config_free(SeConfig* config);

// Agents of one algorithm that trained from scratch, each with hyperparameters of its own.
typedef struct SeAgents SeAgents;
// num_agents of them, for config's env. env: where they train; NULL: in the real environment itself, for as many steps.
// They train, and play, on config's device, which is theirs until they are freed. Agent i depends on (seed, i) alone.
// Nullable: env
// Errors: UF_ERR_CONFIG (an unknown algorithm, or one of other actions), UF_ERR_ARGUMENT (env is for other sizes),
// UF_ERR_NONFINITE (rewards of env are not finite; the tensor is named), UF_ERR_DEVICE, UF_ERR_UNSUPPORTED (no such device in
// this build), UF_ERR_MEMORY.
UF_API UfStatus se_train(SeAgents** out, const SeConfig* config, const SeEnv* env, const char* algorithm,
                         int num_agents, uint64_t seed);
// returns (num_agents, num_episodes) of episodes in the real environment, from start states of (seed, agent).
UF_API UfStatus se_play(SeAgents* agents, int num_episodes, uint64_t seed, double* returns);
// Actions (rows, A), or (rows) kinds, of agent `index` for obs (rows, O), in the environment's units, at their most
// probable.   scratch and threads: none; may be called from any thread.
// Errors: UF_ERR_ARGUMENT (index), UF_ERR_NONFINITE (the agent's numbers no more are), UF_ERR_MEMORY
UF_API UfStatus se_act(const SeAgents* agents, int index, int rows, const float* obs, float* action);
// "lr 0.005  eps_end 0.1": the hyperparameters of agent `index`, which belong to the agents.
UF_API const char* se_agent_hyperparameters(const SeAgents* agents, int index);
UF_API void se_agents_free(SeAgents* agents);

// ---- search ----

typedef struct SeSearch SeSearch;

typedef struct SeGeneration {
    int64_t generation;      // told so far
    const char* algorithm;   // whose agents were trained
    int64_t horizon;         // most steps of the episodes that they played
    double mean, best, std;  // fitness over the candidates whose it is finite
    double best_ever;
    int64_t num_nonfinite;  // candidates of the whole search whose fitness was not finite: they ranked last
    int64_t num_agents;     // trained in this generation by this process
    int64_t num_steps;      // of the real environment, likewise
    double seconds;
} SeGeneration;

// A search at its beginning, on config's device; nothing is evaluated yet. config is copied.
// Errors: UF_ERR_CONFIG, UF_ERR_ARGUMENT (no such environment), UF_ERR_UNSUPPORTED (it, or the device, is not in this build),
// UF_ERR_DEVICE, UF_ERR_MEMORY.
UF_API UfStatus se_search_create(SeSearch** out, const SeConfig* config);
// One generation. Its numbers depend on the configuration alone, not on threads.   Nullable: out
// Errors: UF_ERR_NONFINITE (no candidate has a fitness).
UF_API UfStatus se_search_step(SeSearch* search, SeGeneration* out);
// The evolution strategy inside: mean, sigma, best candidate, parameter vectors as of se_get_params. Belongs to the search.
UF_API const UfEs* se_search_es(const SeSearch* search);
// The search's mean as an environment of its own: what the search is for.
UF_API UfStatus se_search_env(const SeSearch* search, SeEnv** out);
// Everything that goes on with the search (HDF5; written beside, flushed, renamed), and a search from it, which ends in
// the bits of one that was never saved.
UF_API UfStatus se_search_save(const SeSearch* search, const char* path);
UF_API UfStatus se_search_load(SeSearch** out, const char* path);
UF_API void se_search_free(SeSearch* search);

#ifdef __cplusplus
}
#endif
#endif
