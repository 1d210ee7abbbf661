// dynamics.h: the world model: an ensemble of networks that predict the next observation and the reward.
//
// A member maps [obs | action] (unnormalised) to mean and log-variance of D = O + 1 numbers: next_obs - obs, then
// the reward. Source: spec of the reference's dynamics.py (EnsembleDynamicsModel).
#ifndef UF_DYNAMICS_H
#define UF_DYNAMICS_H

#include "../kernels.h"

// What rollouts need of a trained ensemble: its elites, best first, on the host.
typedef struct UfModel {
    int obs_dim, action_dim, num_networks;
    UfMlp mlp;           // of one member: in O + A, out 2 D
    real* params;        // (num_networks, mlp.size)
    real* bounds;        // (2, D): max_logvar, min_logvar
    double discrepancy;  // largest distance between two elites' means for one input of the dataset (MOReL)
    double min_reward;   // least reward of the dataset (MOReL)
    double rmse;  // of the elites' mean on the held-out rows, in units of each number's standard deviation
    char dataset_hash[65];
    char termination[64];  // rule of the task, as uf_termination_rule knows it
} UfModel;

// From a model file or the run folder that holds it. Errors: UF_ERR_FORMAT (cut off, of another kind or version).
UfStatus uf_model_load(UfModel** out, const char* path);
void uf_model_free(UfModel* model);

#endif
