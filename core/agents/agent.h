// agent.h: the inside of an agent for the library's other parts: replaying recorded updates, measuring,
// acting.
#ifndef UF_AGENT_H
#define UF_AGENT_H

#include "kernels.h"
#include "core/config.h"

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
// nets, heads, mean and std of a play of its actors as they are; they stay the agent's.
void uf_agent_actors(const UfAgent* agent, UfPlay* play);
// The agent's own batch and noise arrays, to be filled by upload before uf_agent_step.
const UfBatch* uf_agent_batch(const UfAgent* agent);
const UfNoise* uf_agent_noise(const UfAgent* agent);
// One update with what they hold.
UfStatus uf_agent_step(UfAgent* agent);
// q (n): Q of one member's critics at obs (n, O) and action (n, A) in [-1, 1], or one-hot, as its actor reduces them.
UfStatus uf_agent_q(UfAgent* agent, int member, double* q, const float* obs, const float* action, int64_t n);

// What trains an agent's networks by other losses than an update's wants of it. Arrays stay the agent's; gradients and
// moments of the groups are the updates'.
enum { UF_ACTOR_NETS, UF_CRITIC_NETS, UF_VALUE_NETS, UF_NUM_NETS };
typedef struct UfInside {
    UfBackend* backend;
    const UfConfig* configs;               // (P)
    const uint64_t *seeds, *device_seeds;  // (P) on the host and where the others are
    int P, O, A, H, B;
    bool discrete;
    const char* env_id;        // of its dataset
    const real* norm;          // (2, O) on the host: mean and std of inputs.   NULL: inputs are as they are
    const real *mean, *std;    // the same where ops read it
    UfNets nets[UF_NUM_NETS];  // N 0: there are none
    UfGroup groups[UF_NUM_NETS];  // target null: there is none
    UfHeads heads;                // of the actors, without `head`
} UfInside;
UfInside uf_agent_inside(const UfAgent* agent);

// What init_from has done, a line of text; "" where it has done nothing. Belongs to the agent.
const char* uf_agent_init_note(const UfAgent* agent);
// One refresh of the model buffer with rows of this dataset, as uf_train does every rollout_interval updates.
UfStatus uf_agent_rollout(UfAgent* agent, const UfDataset* dataset);
// Whether they can be made: there is a world model, and something says where episodes end. uf_train asks it too.
UfStatus uf_agent_check_rollouts(const UfAgent* agent);
// Bytes reserved at creation: parameters with optimiser state, and scratch.
void uf_agent_bytes(const UfAgent* agent, size_t* parameters, size_t* scratch);
// Of the buffer of model rollouts of one member.
size_t uf_model_buffer_bytes(const UfConfig* config, int obs_dim, int action_dim);

// A checkpoint without its world model, which acting does without.
UfStatus uf_agent_load_to_act(UfAgent** out, const char* path);

// ---- diagnosis ----

// What one member says of a dataset: of at most 1024 of its initial states, spread evenly, and 1024 of its rows, drawn
// by a fixed seed. Q is the mean over the online critics, the policy acts at its mean, actions are in [-1, 1].
// Source: d3rlpy, metrics/evaluators.py, but that takes all rows, actions in the dataset's units, and for an initial
// state also every 1024th row of an episode.
typedef struct UfDiagnosis {
    double init_value;   // InitialStateValueEstimationEvaluator: mean of Q(s0, pi(s0))
    double td_error;     // TDErrorEvaluator: mean of (Q(s, a) - r - gamma (1 - done) Q(s', pi(s')))^2
    double action_diff;  // ContinuousActionDiffEvaluator: mean of |pi(s) - a|^2
} UfDiagnosis;
// Between updates; changes none of them.
UfStatus uf_agent_diagnose(UfAgent* agent, int member, const UfDataset* dataset, UfDiagnosis* out);
// The rows of a dataset that begin an episode, in order. Free *rows with uf_free.
UfStatus uf_initial_rows(const UfDataset* dataset, int64_t** rows, int64_t* count);
// values (num_rows): Q(s, pi(s)) at these rows, of an evaluator whose policy is sampled its mean over 16 actions.
UfStatus uf_agent_values(UfAgent* agent, int member, const UfDataset* dataset, double* values,
                         const int64_t* rows, int64_t num_rows);

// ---- evaluator ----

// An agent for fitted Q evaluation (fqe.h): member p has the actor of policies[p], which stays as it is and keeps its
// own observation statistics, and one critic, initialised and fed with batches by seeds[p]; uf_train trains the
// critics alone. The policies must be alike and fit the dataset. `settings`: of uf_fqe_config.
UfStatus uf_agent_create_evaluator(UfAgent** out, const UfPolicy* const* policies, const int64_t* seeds,
                                   int population, const UfConfig* settings, const UfDataset* dataset,
                                   int num_threads);
// Whether their actors can be members of one evaluator: shape, kind and observation statistics.
bool uf_policies_alike(const UfPolicy* a, const UfPolicy* b);
// Refuses a policy of other dimensions or action units than the dataset, or with numbers that are none.
UfStatus uf_policy_check(const UfPolicy* policy, const UfDataset* dataset);

// UF_OK where two configurations may be members of one population; else the sentence says what they cannot differ in.
UfStatus uf_config_fit_together(const UfConfig* a, const UfConfig* b);

// How many members a checkpoint holds, how far they are, and the configuration of member 0 (free with uf_config_free).
UfStatus uf_checkpoint_peek(const char* path, int* population, int64_t* num_updates, UfConfig** config);
// Text about a checkpoint for `unifloral info`.
UfStatus uf_checkpoint_info(const char* path, char** text);

#endif
