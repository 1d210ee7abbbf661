// synth_agents.h: agents that train from scratch in synthetic environments, or in real ones, many at once, and play.
//
// PPO is core/agents/ppo.c, the others core/agents/off_policy.c, episodes are core/search/trials.c; here is what they are given: hyperparameters
// by synthenv.def, environments, seeds.
#ifndef UF_SYNTH_AGENTS_H
#define UF_SYNTH_AGENTS_H

#include <signal.h>  // sig_atomic_t

#include "core/agents/train_envs.h"
#include "core/config.h"
#include "core/search/trials.h"
#include "core/synth/synth.h"

struct SeConfig {
#define UF_GROUP(id, title)
#define UF_INT(name, value, low, high, scope, help) int64_t name;
#define UF_FLOAT(name, value, low, high, scope, help) double name;
#define UF_BOOL(name, value, scope, help) bool name;
#define UF_ENUM(name, value, choices, scope, help) int name;
#define UF_STRING(name, value, scope, help) char name[UF_STRING_BYTES];
#include "synthenv.def"
};

// Indices into the choices of the enums.
enum { SE_MODE_BANDIT, SE_MODE_MDP };

extern const UfTable se_table;
// Rules between fields, lists, and of the environment.
UfStatus se_config_check(const SeConfig* config);

// ---- algorithms ----

typedef enum SeAlgorithm { SE_PPO, SE_SAC, SE_DQN, SE_DDPG, SE_TD3, SE_NUM_ALGORITHMS } SeAlgorithm;
extern const char* const se_algorithm_names[SE_NUM_ALGORITHMS];
bool se_algorithm_fits(SeAlgorithm algorithm, bool discrete);

typedef struct SeAlgorithms {
    int count;
    SeAlgorithm list[SE_NUM_ALGORITHMS];
} SeAlgorithms;
// From a list of names, "dqn,ppo"; "auto": all that fit the actions, in the order above.
// Errors: UF_ERR_CONFIG (unknown, twice, of other actions; `key` is named).
UfStatus se_parse_algorithms(SeAlgorithms* out, const char* key, const char* text, bool discrete);

// The backend that `device` and `precision` name.
UfStatus se_open_backend(UfBackend** out, const SeConfig* config);

// The environment that agents are to be good in.
UfStatus se_find_env(const UfEnvSpec** spec, const SeConfig* config);
// Rules for agents of these algorithms, in it; those of the search are no matter.
UfStatus se_check_agents(const SeConfig* config, const UfEnvSpec* spec, const SeAlgorithms* trained);

// ---- hyperparameters of an agent ----

typedef struct SeHyper {  // one value of each list
    double lr, gamma, tau, gae_lambda, clip_eps, ent_coef, vf_coef, target_entropy_ratio, eps_end, double_dqn,
        exploration_noise, target_noise, target_noise_clip;
} SeHyper;
// What seed draws of the lists, each by itself and uniformly.
UfStatus se_draw_hyper(SeHyper* out, const SeConfig* config, SeAlgorithm algorithm, bool discrete,
                       uint64_t seed);
// "lr 0.005  clip_eps 0.3 ...": those that the algorithm has, and that matter in a bandit or mdp.
void se_describe_hyper(char* text, size_t size, const SeHyper* hyper, SeAlgorithm algorithm, bool discrete,
                       bool bandit);

// ---- training ----

typedef struct SeTraining {
    const SeConfig* config;  // env: where agents are to be good
    const UfEnvSpec* spec;   // it
    SeAlgorithm algorithm;
    int count;                          // agents
    const SeHyper* hypers;              // (count)
    const uint64_t* seeds;              // (count): of initial weights, exploration and what environments draw
    const SeEnv* const* envs;           // (count).   Nullable: they train in the real one
    UfBackend* backend;                 // that they train on, se_open_backend's
    const volatile sig_atomic_t* stop;  // to leave off early, with UF_ERR_STOPPED.   Nullable
} SeTraining;

// What agents of one algorithm have become: their policies, ready for trials.h.
typedef struct SePolicies {
    UfCloneNet net;
    UfTrialPolicy policy;
    bool greedy;  // how agents of the algorithm act: DQN, DDPG and TD3 without noise
    int count;
    real* params;  // (count, net.size)
} SePolicies;
// Agent i depends on hypers[i], seeds[i] and envs[i] alone. One whose numbers are no more finite has them in its policy.
UfStatus se_train_policies(SePolicies* out, const SeTraining* training);
void se_policies_free(SePolicies* policies);
// uf_trials_play of all of them, wherever `be` has it done.
UfStatus se_policies_play(const SePolicies* policies, UfTrials* trials, UfBackend* be, UfTrial* out);
// se_train of agents [first, first + num_agents), which may leave off early, with UF_ERR_STOPPED. backend: stays the
// caller's and must stay; null: their own.   Nullable: env, stop, backend
typedef struct SeTrainOptions {
    const SeConfig* config;
    const SeEnv* env;
    const char* algorithm;
    int first, num_agents;
    uint64_t seed;
    const volatile sig_atomic_t* stop;
    UfBackend* backend;
} SeTrainOptions;
UfStatus se_train_some(SeAgents** out, const SeTrainOptions* options);
bool se_agents_apart(const SeAgents* agents);  // whether they trained apart from the host's cores
// What agent `index` was given; belongs to the agents.
const SeHyper* se_agent_hyper(const SeAgents* agents, int index);
// The shape alone.
void se_policy_shape(SePolicies* out, const SeConfig* config, SeAlgorithm algorithm, const UfEnvSpec* spec);

#endif
