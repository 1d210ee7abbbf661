// off_policy.h: DQN, SAC, DDPG and TD3 of a population of small agents, on the op set.
//
// P members train together; each has its own environments (num_envs of them), replay, parameters, seed and hyperparameters.
// Member p ends in the bits that it ends in alone, for any number of threads; on a device in those of that device.
// An iteration: a step of all environments, whose rows go to the replay (a ring), then `updates` optimiser steps on random
// rows of it. Where every step ends its episode (train_envs.h, always_done) what a row is worth is its reward: the same bits
// without target networks.
// Sources: Mnih et al. 2015 with double (van Hasselt 2016) and duelling (Wang 2016) Q-learning, SAC (arXiv 1801.01290; for
// discrete actions 1910.07207), DDPG (1509.02971), TD3 (1802.09477); Rejax for what the papers leave open, as it stood in
// March 2024: it trained the agents of synthetic environments.
#ifndef UF_OFF_POLICY_H
#define UF_OFF_POLICY_H

#include "core/agents/train_envs.h"

typedef enum UfOffPolicyAlgorithm {
    UF_OFF_POLICY_SAC,   // of kinds or numbers
    UF_OFF_POLICY_DQN,   // of kinds alone
    UF_OFF_POLICY_DDPG,  // of numbers alone, as TD3
    UF_OFF_POLICY_TD3,
} UfOffPolicyAlgorithm;

// Of one member; what is called the same must be.
typedef struct UfOffPolicyConfig {
    // the same of all members
    UfOffPolicyAlgorithm algorithm;
    int num_layers, layer_width, activation;  // UF_RELU, UF_TANH; of every network
    int64_t num_steps;  // environment steps, all environments together: a multiple of num_envs
    int64_t num_envs, batch_size, buffer_size;
    // SAC updates once the replay has been given more rows; the others act at random while their count of steps, before an
    // iteration, is at most this, and update from then on. TD3's noise is added to random actions too.
    int64_t warm_up;
    int64_t updates;              // optimiser steps of an iteration
    int64_t target_interval;      // DQN: steps between copies to the target
    int64_t policy_delay;         // TD3: steps of the critics to one of the actor
    double max_grad_norm;         // over all parameters of an optimiser; SAC: none.   0: any
    double exploration_fraction;  // DQN: share of num_steps in which epsilon falls from 1
    // a member's own
    uint64_t seed;
    double lr, gamma;
    double tau;                   // what targets keep of themselves at each iteration: SAC, DDPG, TD3
    double target_entropy_ratio;  // SAC of kinds: of log A
    double eps_end;               // DQN
    double exploration_noise;     // DDPG, TD3: in units of actions
    double target_noise, target_noise_clip;  // TD3, likewise
    bool double_dqn;
} UfOffPolicyConfig;

typedef struct UfOffPolicy UfOffPolicy;

// Fresh agents; observations are floats. Beside a replay and networks for each member they have what one update needs for
// each thread that has work, on a device for each member. backend: computes, for nobody else until they are freed, and
// stays the caller's; null: one of the CPU with num_threads.   Nullable: backend
// Errors: UF_ERR_CONFIG (a size, an algorithm of other actions; the field is named), UF_ERR_MEMORY, UF_ERR_DEVICE.
UfStatus uf_off_policy_create(UfOffPolicy** out, const UfOffPolicyConfig* configs, int population,
                              const UfTrainSpace* space, UfBackend* backend, int num_threads);
void uf_off_policy_free(UfOffPolicy* agents);

// All iterations from where the agents are, at most num_iterations of them (0: to the end of num_steps). The first one
// resets the environments. Members whose numbers are no more finite go on, and are told of by uf_off_policy_finite.
// An action that is no number is played as the middle of its range. On a device environments that it can have move there,
// and iterations that learn are noted once and repeated; the others are stepped on the host, one after another.
// Errors: those of the environments and of a device, after which the agents are good for nothing but uf_off_policy_free;
// UF_ERR_MEMORY, before anything is done.
UfStatus uf_off_policy_train(UfOffPolicy* agents, UfTrainEnvs* envs, int64_t num_iterations);
int64_t uf_off_policy_iteration(const UfOffPolicy* agents);  // done so far
// Optimiser steps of critics and actors so far, of each member.
void uf_off_policy_updates(const UfOffPolicy* agents, int64_t* critic, int64_t* actor);
bool uf_off_policy_finite(const UfOffPolicy* agents, int member);

// What acts: DQN's duelling network, whose first A outputs have the best kind as their largest (the last one is the
// state's value); SAC's logits, or A means and A log-stds of a Gaussian through tanh; DDPG's and TD3's means through tanh.
// UF_TRIAL_* of trials.h are for these.
const UfMlp* uf_off_policy_actor_shape(const UfOffPolicy* agents);
UfStatus uf_off_policy_actors(UfOffPolicy* agents, real* params);  // (P, size)

#endif
