// agent_parts.h: an agent's inside, for the files that share it: unifloral.c, which makes and trains one, checkpoint.c and
// policy.c.
#ifndef UF_AGENT_PARTS_H
#define UF_AGENT_PARTS_H

#include "core/agents/agent.h"
#include "core/agents/dynamics.h"
#include "core/agents/policy.h"
#include "core/data/loaded.h"

enum { GROUP_ACTOR, GROUP_CRITIC, GROUP_VALUE, GROUP_ALPHA, NUM_GROUPS };

enum { MAX_TENSORS = 512, MAX_REGIONS = 320 };
enum { FIRST_MODEL_METRIC = UF_METRIC_model_error, NUM_MODEL_METRICS = 5 };  // what is logged of rollouts

// A list of arrays that will lie in one reservation.
typedef struct UfArena {
    void* memory;
    size_t bytes;
    int num_regions;
    struct {
        void* pointer;  // address of the pointer to set
        size_t offset;
    } regions[MAX_REGIONS];
} UfArena;

// The world model of an agent, and what rollouts in it work on: `slice` start states at once. All on the
// device but for host and below.
typedef struct UfWorld {
    UfMlp mlp;
    UfElites elites;  // nets.params null: there is no model
    real *params, *bounds;
    int slice;
    UfRing ring;
    UfBatch step;                // (P, slice, .) dataset rows to start from, then a step of the rollout
    int64_t *index, *elite;      // (P, slice)
    int64_t* num_elites;         // (P)
    real *x, *obs;               // (P, slice, O + A) inputs of the model, (P, slice, O) of the actor
    real *out, *head;            // (P, E, slice, 2 D), (P, slice, H)
    real *noise, *action_noise;  // (P, slice, D), (P, slice, A).   Nullable: action_noise
    real *penalty, *log_prob;    // (P, slice)
    int* alive;                  // (P, slice)
    double *sums, *error;        // (P, UF_NUM_ROLLOUT_SUMS), (P)
    UfArena arena;

    double* metrics;              // (P, NUM_MODEL_METRICS) of the last rollout
    char hash[65];                // of the model's numbers
    bool has_rule;                // a built-in termination rule is named
    UfTerminationFn* terminates;  // the user's.   Nullable
    void* user;
    bool needs_callback;  // the checkpoint was trained with one
    struct {              // rows of one member on the host, for the callback
        real* device;     // (slice, O + A), (slice, O), (slice)
        int* alive;       // (slice)
        float* packed;    // (slice, O), (slice, A), (slice, O)
        uint8_t* done;    // (slice)
    } host;
} UfWorld;

// Why a member of a population stopped. status UF_OK: it goes on.
typedef struct UfFault {
    UfStatus status;
    bool told;  // the caller of uf_train knows
    char sentence[512];
} UfFault;

// An update that a device recorded: the next one is `next`, of rows of `records`.
typedef struct UfRecorded {
    const float* records;
    bool warm;
    int64_t next;
} UfRecorded;

struct UfAgent {
    UfBackend* backend;
    UfConfig* configs;  // (P)
    int P, O, A, H;     // H: outputs of the actor
    int N, B, U;
    int total;     // rows of a critic pass: B, or under CQL 4B, of discrete actions (1 + A) B
    int pi_rows;   // rows of the actor's critic pass: B, of discrete actions A B: all there are
    int num_data;  // rows of a batch from the dataset, its first ones
    int ld;        // O + A: a critic input row
    int policy_kind;
    bool discrete;  // actions are one-hot, the policy is categorical
    bool has_target_actor;
    bool frozen;                     // an evaluator: the actors stay as they are
    uint64_t *seeds, *device_seeds;  // (P)
    real* host_norm;                 // (2, O) mean and std on the host
    float* action_bounds;            // (2, A) low and high of the dataset's units; null: [-1, 1]
    char dataset_hash[65];
    char env_id[64];

    UfMlp mlp[NUM_GROUPS];
    int networks[NUM_GROUPS];  // N of each group, 0: absent
    UfGroup groups[NUM_GROUPS];
    UfTensor tensors[MAX_TENSORS];
    int num_tensors;

    // Constants of an update, on the device.
    UfHyper* hyper;                // (P)
    real *lr, *actor_lr, *polyak;  // (P)
    real *norm_mean, *norm_std;    // (O) or null
    real *actor_mean, *actor_std;  // (O) or null: of a frozen actor, which keeps its own
    real* ones;                    // (P, N, total): seed of dQ/da

    // What an update works on.
    UfBatch batch;
    UfNoise noise;
    int64_t* index;                // (P, num_data), then (P, B - num_data)
    int64_t* num_rows;             // (P) of the dataset
    real *x_data, *x_pi, *x_next;  // critic inputs (P, total, ld), (P, pi_rows, ld), (P, B, ld)
    UfInputRows* inputs;  // on the host, what prepare_inputs lists: data, next, pi_rows / B and total / B - 1
    UfTape actor_tape, data_tape, pi_tape, value_tape;
    real *actor_out, *next_out;    // heads (P, B, H) on s and s'
    real *q_data, *q_pi, *q_next;  // (P, N, total), (P, used, pi_rows), (P, N, B)
    real* q_weight;                // (P, N, B)
    real *v_data, *v_next;         // (P, B)
    real *log_prob, *next_log_prob, *weight, *alpha;
    real* target;  // (U, P, B); U = 1 under same_targets
    real *dq, *dq_pi, *dqda_pi, *dqda_data, *tangent, *dhead, *dv;

    int* bad;         // (NUM_GROUPS, P)
    double* metrics;  // (P, UF_NUM_METRICS) sums
    int64_t metrics_count;
    int num_logged;
    int logged[UF_NUM_METRICS];
    const char* logged_names[UF_NUM_METRICS];
    double* logged_values;  // (UF_NUM_METRICS)
    // On the host: `metrics` and `bad` as they were when last fetched; on a backend that is not apart they are those.
    double* host_metrics;
    int* host_bad;
    UfLoaded data;
    UfRecorded recorded;

    int64_t num_updates, num_checked;  // checked: looked at for what is not finite
    int64_t round;                     // of a population: updates that its members do by themselves at most
    UfFault* faults;                   // (P) of members that stopped
    char init_note[400];               // what init_from has done
    UfWorld world;
    UfArena parameters, scratch;
};

// ---- what unifloral.c does for the others ----

// obs_mean, obs_std (O).   frozen: an evaluator, whose actors stay. Nothing of a dataset or world model is in it yet.
UfStatus uf_agent_make(UfAgent** out, const UfConfig* const* configs, int population, int obs_dim,
                       int action_dim, bool discrete, const real* obs_mean, const real* obs_std,
                       int num_threads, bool frozen);
// The world model that the configuration names.
UfStatus uf_agent_load_model(UfAgent* agent);
// To the device: hyperparameters as configurations have them; metrics as the host has them.
void uf_agent_upload_constants(UfAgent* agent);
void uf_agent_send_metrics(UfAgent* agent);

// An action in [-1, 1] in the units of bounds (2, A); null: as it is.
static inline float uf_action_in_units(const float* bounds, int num_actions, int i, float action) {
    return bounds ? bounds[i] + (action + 1) / 2 * (bounds[num_actions + i] - bounds[i]) : action;
}

static inline bool uf_agent_is_stopped(const UfAgent* a, int p) { return a->faults[p].status != UF_OK; }
static inline bool uf_agent_uses_model(const UfAgent* a) { return a->configs[0].dataset_sample_ratio < 1; }
static inline bool uf_agent_has_model(const UfAgent* a) { return a->world.elites.nets.params != NULL; }

#endif
