// agent.h: the inside of an agent for the library's other parts: replaying recorded updates, measuring,
// acting.
#ifndef UF_AGENT_H
#define UF_AGENT_H

#include "../kernels.h"
#include "config.h"

// Standard normals of one update before any scaling (cql_random: uniform in (-1, 1)). Arrays of the U critic
// updates are (U, P, B, A), the others (P, B, A). An array that no term of the configuration reads is null.
typedef struct UfNoise {
    real *alpha, *actor, *next_action, *smoothing, *cql_random, *cql_pi, *cql_next;
} UfNoise;

// Which of the arrays that lie side by side for each parameter.
typedef enum UfTensorKind { UF_TENSOR_VALUE, UF_TENSOR_ADAM_M, UF_TENSOR_ADAM_V } UfTensorKind;

// One named parameter tensor of every member: (rows, columns) for each of N networks.
typedef struct UfTensor {
    char name[64];           // "critic/hidden/0/kernel"
    int group;               // index of the optimiser group
    bool is_target;          // the target copy: no optimiser state of its own
    bool has_networks;       // leading axis N
    int num_networks, rank;  // rank of one network's tensor: 0, 1 or 2
    int rows, columns, ld;
    size_t offset, network_size;
} UfTensor;

// An agent without world model for given dimensions and statistics (O reals each, null: zeros and ones)
// instead of a dataset's.
UfStatus uf_agent_create_bare(UfAgent** out, const UfConfig* const* configs, int population, int obs_dim,
                              int action_dim, const real* obs_mean, const real* obs_std, int num_threads);
// Gives an agent with dataset_sample_ratio < 1 a copy of its world model; uf_agent_create and uf_agent_load
// do it for model_path.
struct UfModel;
UfStatus uf_agent_set_model(UfAgent* agent, const struct UfModel* model);
int uf_agent_num_tensors(const UfAgent* agent);
const UfTensor* uf_agent_tensor(const UfAgent* agent, int index);
size_t uf_tensor_count(const UfTensor* tensor);  // N * rows * columns
// Dense (N, rows, columns) of one member.
UfStatus uf_agent_get_tensor(UfAgent* agent, const UfTensor* tensor, UfTensorKind kind, int member,
                             real* out);
UfStatus uf_agent_set_tensor(UfAgent* agent, const UfTensor* tensor, UfTensorKind kind, int member,
                             const real* in);
UfBackend* uf_agent_backend(UfAgent* agent);
// The chosen device and precision as the backend's names.
const char* uf_config_device(const UfConfig* config);
const char* uf_config_precision(const UfConfig* config);
// The agent's own batch and noise arrays, to be filled by upload before uf_agent_step.
const UfBatch* uf_agent_batch(const UfAgent* agent);
const UfNoise* uf_agent_noise(const UfAgent* agent);
// One update with what they hold.
UfStatus uf_agent_step(UfAgent* agent);
// One refresh of the model buffer with rows of this dataset, as uf_train does every rollout_interval updates.
UfStatus uf_agent_rollout(UfAgent* agent, const UfDataset* dataset);
// Bytes reserved at creation: parameters with optimiser state, and scratch.
void uf_agent_bytes(const UfAgent* agent, size_t* parameters, size_t* scratch);
// Of the buffer of model rollouts of one member.
size_t uf_model_buffer_bytes(const UfConfig* config, int obs_dim, int action_dim);

// UF_OK where two configurations may be members of one population; else the sentence says what they cannot differ in.
UfStatus uf_config_fit_together(const UfConfig* a, const UfConfig* b);

// How many members a checkpoint holds, how far they are, and the configuration of member 0 (free with uf_config_free).
UfStatus uf_checkpoint_peek(const char* path, int* population, int64_t* num_updates, UfConfig** config);
// Text about a checkpoint for `unifloral info`.
UfStatus uf_checkpoint_info(const char* path, char** text);

#endif
