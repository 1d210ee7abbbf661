// dynamics.h: the world model: an ensemble of networks that predict the next observation and the reward.
//
// A member maps [obs | action] (unnormalised) to mean and log-variance of D = O + 1 numbers: next_obs - obs, then
// the reward. Source: spec of the reference's dynamics.py (EnsembleDynamicsModel).
#ifndef UF_DYNAMICS_H
#define UF_DYNAMICS_H

#include "kernels.h"
#include "core/agents/agent.h"  // UfTensorKind

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

// ---- a training ensemble from inside: for recordings, benches and run folders ----

// One parameter tensor: (E, rows, columns) where it belongs to the networks, (columns) where they share it.
typedef struct UfDynamicsTensor {
    char name[32];  // "hidden/0/kernel", "out/bias", "max_logvar"
    bool is_shared;
    int rank, rows, columns;  // of one network
    size_t offset;
} UfDynamicsTensor;

// For given dimensions instead of a dataset's.
UfStatus uf_dynamics_create_bare(UfDynamics** out, const UfConfig* config, int obs_dim, int action_dim,
                                 int num_threads);
// uf_dynamics_load on another device or in another precision than the file says.   Nullable: device, precision
UfStatus uf_dynamics_load_on(UfDynamics** out, const char* path, const char* device, const char* precision,
                             int num_threads);
UfBackend* uf_dynamics_backend(UfDynamics* dynamics);
const UfConfig* uf_dynamics_config(const UfDynamics* dynamics);
int uf_dynamics_num_tensors(const UfDynamics* dynamics);
const UfDynamicsTensor* uf_dynamics_tensor(const UfDynamics* dynamics, int index);
size_t uf_dynamics_tensor_count(const UfDynamics* dynamics, const UfDynamicsTensor* tensor);
// Dense values on the host.
UfStatus uf_dynamics_get_tensor(UfDynamics* dynamics, const UfDynamicsTensor* tensor, UfTensorKind kind,
                                real* out);
UfStatus uf_dynamics_set_tensor(UfDynamics* dynamics, const UfDynamicsTensor* tensor, UfTensorKind kind,
                                const real* in);

// One step on a batch of the configuration's size: obs (B, O), action (B, A), target (B, D) on the host. *loss: of the
// parameters before the step.
UfStatus uf_dynamics_step(UfDynamics* dynamics, const real* obs, const real* action, const real* target,
                          double* loss);
// mean and log-variance (E, rows, D); at most UF_DYNAMICS_ROWS rows.   Nullable: logvar
enum { UF_DYNAMICS_ROWS = 1024 };
UfStatus uf_dynamics_predict(UfDynamics* dynamics, real* mean, real* logvar, const real* obs,
                             const real* action, int rows);
// The numbers of the `count` smallest of `errors` (E), best first; equal ones in order.
void uf_dynamics_best(int* best, int count, const double* errors, int E);

// Chooses which rows of the dataset are held out; uf_dynamics_train does it by itself.
UfStatus uf_dynamics_bind(UfDynamics* dynamics, const UfDataset* dataset);
// Rows in order of the dataset, owned by dynamics.
void uf_dynamics_rows(const UfDynamics* dynamics, const int64_t** train, int64_t* num_train,
                      const int64_t** held_out, int64_t* num_held_out);
// What a run to go on with may change: where it ends.
void uf_dynamics_set_end(UfDynamics* dynamics, int64_t num_epochs, int64_t early_stop_epochs);
// Trains on the next batch of the bound dataset. UF_ERR_NONFINITE names epoch and batch.
UfStatus uf_dynamics_train_batch(UfDynamics* dynamics);
int64_t uf_dynamics_num_batches(const UfDynamics* dynamics);  // of an epoch
// Batches trained on since the beginning.
int64_t uf_dynamics_num_steps(const UfDynamics* dynamics);
// Whether early_stop_epochs is reached.
bool uf_dynamics_stopped_early(const UfDynamics* dynamics);
const int* uf_dynamics_elites(const UfDynamics* dynamics, int* count);

// Error of the predicted observation after 1 to `horizon` steps along held-out episodes: predictions are fed back with
// the data's actions; root mean square over starts and over the numbers that vary, each in units of its standard
// deviation in the dataset. mean: of the elites' mean; alone: of an elite on its own, average over elites, with the
// least and largest in low and high.
enum { UF_MAX_HORIZON = 10 };
typedef struct UfPredictionError {
    int horizon;  // at most UF_MAX_HORIZON and the longest held-out episode
    int64_t num_starts;
    double mean[UF_MAX_HORIZON], alone[UF_MAX_HORIZON], low[UF_MAX_HORIZON], high[UF_MAX_HORIZON];
} UfPredictionError;
UfStatus uf_dynamics_prediction_error(UfDynamics* dynamics, const UfDataset* dataset, UfPredictionError* out);

// Text about a model file for `unifloral info`.
UfStatus uf_dynamics_info(const char* path, char** text);

#endif
