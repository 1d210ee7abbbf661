// kernels.h: the op set. Few, coarse, batched operations that the update is made of, done once a backend.
//
// kernels.c (OpenBLAS, threads) is the specification; kernels.cu is the other implementation. unifloral.c
// never looks inside an array: every pointer named "device" in spirit came from `reserve` and is only handed
// to ops.
//
// Shapes. P population, N networks of an ensemble, G = P * N, B rows of a batch, R rows of a pass, A actions,
// H outputs. Arrays are dense and row-major with exactly the dimensions in the comment unless a stride is an
// argument.
// Aliasing: outputs never overlap inputs. Sizes may be any number >= 1.
// Errors: ops cannot fail on the CPU; on a device failures stick and `sync` reports them.
// Reductions have a fixed order that depends on shapes alone: not on threads, not on P.
#ifndef UF_KERNELS_H
#define UF_KERNELS_H

#include "core/core.h"
#include "core/data/dataset.h"
#include "core/envs/env_rules.h"
#include "core/envs/termination.h"
#include "core/philox.h"
#include "core/search/trial_rules.h"
#include "terms.h"

#ifdef __cplusplus
extern "C" {
#endif

#define UF_MAX_LAYERS 16
#define UF_NUM_BRANCHES 3

// ---- types ----

// A number that grows from update to update, `each` at a time: what a device that recorded one update needs to
// repeat it. `now` is that of the update being done or recorded.
typedef struct UfCount {
    int64_t now, each;
} UfCount;

enum { UF_RELU, UF_TANH };

// Shape of one multilayer perceptron: `layers` times LayerNorm(activation(x W + b)), then x W + b. Offsets are in
// reals inside one network's block of `size` reals (a multiple of 64); W is (in, out).
typedef struct UfMlp {
    int in, width, layers, out;
    bool layer_norm;
    int activation;  // UF_RELU, as uf_mlp_shape leaves it, or UF_TANH
    size_t kernel[UF_MAX_LAYERS + 1], bias[UF_MAX_LAYERS + 1], scale[UF_MAX_LAYERS], shift[UF_MAX_LAYERS];
    size_t log_std;  // the actor's free log-std (A); unused otherwise
    size_t size;
} UfMlp;

// extra: reals behind the last bias (the actor's free log-std).
UfMlp uf_mlp_shape(int in, int width, int layers, int out, bool layer_norm, int extra);
// Initial weights: a normal truncated at two sigma with variance 1/fan_in after truncation (LeCun).
void uf_fill_lecun_normal(real* out, size_t count, int fan_in, UfRandom* random);
// Initial weights (in, out), row i at out + i * ld: the longer of the two axes has orthonormal rows or columns, times
// gain (Saxe et al., arXiv 1312.6120).   Errors: UF_ERR_MEMORY
UfStatus uf_fill_orthogonal(real* weights, int in, int out, int ld, double gain, UfRandom* random);

// bounds (2, D) of uf_model_variance, exp(min) and exp(-max), from max and min of the log-variance (2, D).
void uf_variance_bounds(real* bounds, const real* max_min, int D);

// (P, N) networks of one shape, network (p, n) at params + (p * N + n) * size. Ops use the first `used` of
// each N.
typedef struct UfNets {
    const UfMlp* mlp;
    int P, N, used;
    const real* params;
    bool shared;  // all members use the N networks at params (forward passes only)
} UfNets;

// Rows [first, first + count) of arrays that hold `total` rows for each network.
typedef struct UfRows {
    int first, count, total;
} UfRows;

// Input row of member p at x + (p * total + row) * ld; the N networks of a member share them.
typedef struct UfInput {
    const real* x;
    int ld, total;
} UfInput;

// What the backward passes need of a forward pass, for arrays of `total` rows. LayerNorm's output is not
// kept: to write and read it again costs more than to compute it again.
typedef struct UfTape {
    real* r[UF_MAX_LAYERS];      // (P, used, total, width) after the activation
    real* stats[UF_MAX_LAYERS];  // (P, used, total, 2) mean and 1/std of LayerNorm; null where there is none
} UfTape;

// A group of parameters that one optimiser updates: count reals for each of P members.
typedef struct UfGroup {
    real *params, *grads, *m, *v,
        *target;  // grads (num_blocks, P, count): partial sums, added in order.  Nullable: target
    int P, num_blocks;
    size_t count;
} UfGroup;

// The per-member hyperparameters (params.def, scope PER_MEMBER) as the ops read them: an array of P.
typedef struct UfHyper {
#define UF_FIELD_RUN(name)
#define UF_FIELD_SHARED(name)
#define UF_FIELD_PER_MEMBER(name) real name;
#define UF_GROUP(id, title)
#define UF_INT(name, value, low, high, scope, help)
#define UF_FLOAT(name, value, low, high, scope, help) UF_FIELD_##scope(name)
#define UF_BOOL(name, value, scope, help)
#define UF_ENUM(name, value, choices, scope, help)
#define UF_STRING(name, value, scope, help)
#include "params.def"
} UfHyper;

// The same of PPO (ppo.def).
typedef struct UfPpoHyper {
#define UF_GROUP(id, title)
#define UF_INT(name, value, low, high, scope, help)
#define UF_FLOAT(name, value, low, high, scope, help) UF_FIELD_##scope(name)
#define UF_BOOL(name, value, scope, help)
#define UF_ENUM(name, value, choices, scope, help)
#define UF_STRING(name, value, scope, help)
#include "ppo.def"
} UfPpoHyper;

// Rows of a dataset or rollout buffer on the device: see core/data/dataset.h for the record.
typedef struct UfSource {
    const float *records, *next_obs, *next_actions;  // Nullable: next_obs, next_actions
    const int64_t* rows;                             // Nullable
    int64_t num_rows;
    int obs_dim, action_dim, stride;
    int64_t member_rows;  // member p's records begin at p * member_rows; 0: all members share them
} UfSource;

// The last `capacity` rows of model rollouts of each member, as a UfSource reads them (has_next is 0).
typedef struct UfRing {
    float *records, *next_obs, *next_actions;  // (P, capacity, stride) (P, capacity, O) (P, capacity, A)
    int64_t *head, *fill;                      // (P) where the next row goes, rows that hold something
    int64_t capacity;
    int obs_dim, action_dim, stride;
} UfRing;

// What a model rollout counts: a row of sums (P, UF_NUM_ROLLOUT_SUMS).
enum {
    UF_ROLLOUT_TRIED,       // rows that were still going
    UF_ROLLOUT_DROPPED,     // of these, not finite
    UF_ROLLOUT_TERMINATED,  // of the others, done
    UF_ROLLOUT_PENALTY,     // sum over the others
    UF_NUM_ROLLOUT_SUMS
};

// The elites of a world model, shared by all members: nets.P members, nets.N elites, in O + A, out 2 D with D = O + 1.
typedef struct UfElites {
    UfNets nets;
    const real* bounds;  // (2, D) of uf_variance_bounds
    int obs_dim, action_dim;
    UfTermination termination;
    real discrepancy, min_reward;  // MOReL's; read where term_penalty_offset < 0
} UfElites;

// Numbers that chance gives: number i of member p is a function of (seeds[p], stream, update, i) alone.
enum { UF_DRAW_NORMAL, UF_DRAW_UNIFORM, UF_DRAW_INDEX };  // uniform in (-1, 1)
typedef struct UfDraw {
    void* out;             // (P, count) reals; of indices int64_t
    const int64_t* below;  // (P) indices are below it.   Nullable: of the others
    int64_t count;
    int kind, stream;
    UfCount update;
} UfDraw;

// A batch: B transitions for each of P members.
typedef struct UfBatch {
    real *obs, *action, *reward, *next_obs, *next_action,
        *done;  // (P,B,O) (P,B,A) (P,B) (P,B,O) (P,B,A) (P,B)
} UfBatch;

// Rows of a batch from one source, at index (P, rows.count).
typedef struct UfPiece {
    const UfSource* source;
    const int64_t* index;
    UfRows rows;
} UfPiece;

// Input rows of a network from obs (P, B, O) and action (P, B, A): row b of member p at out + (p * total + b) * ld.
typedef struct UfInputRows {
    real* out;
    int total;
    const real *obs, *action;  // Nullable: action, columns that are left alone
} UfInputRows;

// A policy's heads: `head` (P, B, H) is the actor's output, H = A, or 2A where a log-std head follows the
// mean. Of a categorical policy: the A outputs whose softmax it is.
typedef struct UfHeads {
    int kind;  // UF_POLICY_*
    int P, B, A, H;
    const real* head;
    const real* log_std;  // free log-std of member 0; member p at + p * log_std_stride.   Nullable
    size_t log_std_stride;
    const UfHyper* hyper;  // log_std_min, log_std_max
} UfHeads;

// Where a policy's actions go: row b of member p at a + (p * total + b) * ld.
typedef struct UfActions {
    real* a;
    int ld, total;
} UfActions;

// One of the episodes that are played side by side. Zeros to begin with.
typedef struct UfPlayRow {
    double state[UF_ENV_STATE];
    int64_t finished;       // episodes of this row
    int64_t num_nonfinite;  // steps with an action that was none: it counts as 0
    int64_t steps;          // of the episode under way.   0: it has not begun
} UfPlayRow;

// Episodes 0 to num_episodes - 1 of a built-in environment for each of P members, R side by side: row r plays r, r + R
// and so on. Episode e of member p starts and acts from (seeds[p], e) alone, as in uf_evaluate.
typedef struct UfPlay {
    UfNets nets;             // (P, 1) actors, hidden layers of at most UF_PLAY_MAX_WIDTH
    UfHeads heads;           // how they act, head aside; B = R
    const real *mean, *std;  // (O) of their input.   Nullable, both alike
    UfEnvRule rule;
    bool deterministic;  // acts at the mean
    int R;
    int64_t num_episodes;
    const uint64_t* seeds;  // (P)
    UfPlayRow* rows;        // (P, R)
    double* returns;        // (P, num_episodes), added to
    int32_t* lengths;       // (P, num_episodes), likewise
} UfPlay;
enum { UF_PLAY_MAX_WIDTH = 4096 };

// One of the built-in environments that agents train in.
typedef struct UfRuleRow {
    double state[UF_ENV_STATE];
    int64_t episode;  // of the member's: number n + k * N is environment n's k-th
    int32_t steps;    // of the episode so far
} UfRuleRow;

// N of them for each of P members.
typedef struct UfRuleEnvs {
    UfEnvRule rule;
    int P, N;
    const uint64_t* seeds;  // (P): episode e of member p starts from (seeds[p], e) alone
    UfRuleRow* rows;        // (P, N)
    float* actions;         // (P, N, max_steps, numbers of an action): what was done in the episode so far
} UfRuleEnvs;

// What PPO learns from: T steps of N environments for each of P members. Row t * N + n of a member is step t of its
// environment n.
typedef struct UfSteps {
    int P, T, N, O, A;         // A numbers of an action, or kinds of it where they are discrete
    bool discrete, bytes;      // bytes: observations are u8, else reals
    void* obs;                 // (P, T + 1, N, O)
    real* action;              // (P, T, N, A); discrete (P, T, N), the kind
    real *log_prob, *reward;   // (P, T, N)
    uint8_t* done;             // (P, T, N) 1: the episode ended with this step
    int32_t* time;             // (P, T, N) steps of the episode before this one
    real* value;               // (P, T + 1, N)
    real *advantage, *target;  // (P, T, N)
} UfSteps;

// Episodes under way, and sums over those that ended: how many, returns, lengths.
typedef struct UfEpisodes {
    int32_t* length;  // (P, N)
    double* ret;      // (P, N)
    double* sums;     // (P, 3)
} UfEpisodes;

// A minibatch: row b of member p is row index[p * stride + b] of its steps.
typedef struct UfPick {
    const int64_t* index;
    size_t stride;
    int B;
} UfPick;

// The heads of a policy over B rows: outputs of a network, row b of member p at head + (p * B + b) * ld; logits, or means
// of a Gaussian with a free log-std, that of member p at log_std + p * log_std_stride.   Nullable: log_std
typedef struct UfPpoHeads {
    const real* head;
    int ld;
    const real* log_std;
    size_t log_std_stride;
} UfPpoHeads;

// A 3x3 convolution with ReLU before a network's first layer; each side has as many rows and columns as before (zeros
// around). Inputs are (height, width, planes), planes fastest. filters 0: none.
typedef struct UfConv {
    int height, width, planes, filters;
} UfConv;

// What is trained by behaviour cloning at once: a small network. Its block of `size` reals is that of the mlp, whose input
// is (height, width, filters), then the convolution's kernel (9 * planes, filters), row (dy * 3 + dx) * planes + plane,
// and its bias.
typedef struct UfCloneNet {
    UfConv conv;
    UfMlp mlp;  // log_std: the free log-std of a Gaussian, behind the last bias
    int in;     // numbers of an input row: those of the convolution's, or mlp.in
    size_t conv_kernel, conv_bias, size;
    bool has_log_std;
} UfCloneNet;
UfCloneNet uf_clone_net(const UfConv* conv, int in, int width, int layers, int out, int activation,
                        bool layer_norm, bool log_std);  // Nullable: conv

enum {
    UF_CLONE_GAUSSIAN_NLL,  // mean over rows, sum over dimensions; the mean's output is not squashed, log_std trained
    UF_CLONE_CE,            // cross entropy with labels that sum to 1, mean over rows
    UF_CLONE_CE_OVER_ACTIONS,  // the same over A more: mean over rows and kinds
};
enum { UF_CLONE_ADAM, UF_CLONE_SGD };

// Behaviour cloning of sets * inits networks, whole: network (s, r) starts at init r and takes num_steps full-batch
// gradient steps on dataset s.
typedef struct UfClone {
    const UfCloneNet* net;
    int sets, inits, rows;           // rows D of a dataset
    const real *states, *labels;     // (sets, D, in), (sets, D, A)
    bool shared_labels;              // labels are (D, A) for all sets
    const real* init;                // (inits, size)
    real* params;                    // (sets, inits, size), written
    int loss, optimizer, num_steps;  // UF_CLONE_*
    double lr, eps, clip;            // Adam's epsilon; largest global norm of a gradient, 0: any
    real* losses;                    // (sets, inits, num_steps) before each step.   Nullable
} UfClone;

// Loss and share of rows whose likeliest kind is that of the label, of each of P networks on the same rows.
typedef struct UfCloneScore {
    const UfCloneNet* net;
    int P, rows;
    const real *params, *states;  // (P, size), (rows, in)
    const real* labels;           // (rows, A)
    int loss;
    double* sums;  // (P, 2): mean loss, share of rows, 0 where there are no kinds; written
} UfCloneScore;

// One environment of one small policy, in the middle of its episodes.
typedef struct UfTrialRow {
    double state[UF_ENV_STATE], ret;  // ret: of the episode so far
    UfTrial trial;
    int64_t episode;
    int32_t steps;  // of the episode
    bool going, bad;
    float obs[UF_RULE_MAX_OBS], action[UF_RULE_MAX_ACTIONS];
} UfTrialRow;

// The running normaliser of one policy.
typedef struct UfTrialSeen {
    double count, mean[UF_RULE_MAX_OBS], var[UF_RULE_MAX_OBS];
} UfTrialSeen;

// Trials (core/search/trials.h) of P small policies, each in E built-in environments side by side.
typedef struct UfPlayTrials {
    const UfCloneNet* net;  // without a convolution; in + 2 * width at most UF_TRIALS_MAX_UNITS
    UfEnvRule rule;
    UfTrialRule counts;
    UfTrialPolicy policy;
    int P, E, num_keys, first_obs;
    bool greedy, grid, running;
    const real* params;           // (P, size)
    const uint64_t* keys;         // (num_keys), policy p's keys[p % num_keys]
    const float *mean, *divisor;  // (S).   Nullable, both alike
    UfTrialRow* rows;             // (P, E)
    UfTrialSeen* seen;            // (P)
    UfTrial* trials;              // (P, E), written
    int32_t* going;               // (P) whether any of the environments goes on, written
} UfPlayTrials;
enum { UF_TRIALS_MAX_UNITS = 2048 };

// Synthetic environments (synthenv.h), N copies for each of P members, alike but for their parameters. What a row gets
// depends on itself, its draws so far and its place among its member's alone: not on P and N.
enum { UF_SYNTH_INITIAL_STATE, UF_SYNTH_REWARD, UF_SYNTH_NEXT_STATE_DELTA, UF_SYNTH_DONE, UF_SYNTH_NETS };
typedef struct UfSynths {
    int P, N, O, A, L;      // A numbers of an action, or at most 256 kinds of it; L latents
    bool discrete, bandit;  // bandit: there are two networks, and an episode is a step
    int latent;             // SeLatent
    int max_steps;
    real low, high;         // actions that are numbers are clipped to them
    const UfMlp* nets;      // by UF_SYNTH_*, on the host
    const real* params;     // member p's at + p * stride: those of its networks one behind another
    size_t stride;          // 0: all members share them
    const uint64_t* seeds;  // (P)
    uint64_t* draws;        // (P, N) made so far
    int32_t* steps;         // (P, N) of the episode
    real* obs;              // (P, N, O)
} UfSynths;

// The last `capacity` steps of each member, N environments' a time. A record: observation (O), action (A numbers, or the
// kind), reward, done, next observation (O).
typedef struct UfOffRing {
    int P, N, O, A;           // A numbers of an action, or kinds of it
    bool discrete, has_next;  // has_next: records have a next observation
    int items, stride;        // numbers of a stored action, of a record
    int64_t capacity;
    real* records;  // (P, capacity, stride)
    int64_t* fill;  // (P) records that hold something
} UfOffRing;

// Rows that an off-policy agent learns from: B for each of P members. Critics of numbers see [observation | action].
typedef struct UfOffBatch {
    int P, B, O, items, ld;  // ld = O + items
    // (P, B, ld): observation and action; the observation once more and the next one, with columns O on for other actions,
    // which off_gather leaves alone.   Nullable: x_pi, x_next
    real *x, *x_pi, *x_next;
    real* reward;   // (P, B)
    uint8_t* done;  // (P, B)
} UfOffBatch;

// A member's numbers of off-policy learning, an array of P.
typedef struct UfOffHyper {
    real gamma, target_entropy, eps_end, exploration_noise, target_noise, target_noise_clip;
    bool double_dqn;
} UfOffHyper;

// What outputs say of actions, which are numbers in [low, high] where they are no kinds.
enum {
    UF_OFF_GREEDY,       // A + 1 duelling outputs: the best kind, or with chance epsilon any
    UF_OFF_CATEGORICAL,  // A logits
    UF_OFF_SQUASHED,  // A means, A log-stds clipped to -20 to 2: of a Gaussian whose tanh is scaled to the range
    UF_OFF_TANH,      // A numbers whose tanh is scaled to it
};
typedef struct UfOffHeads {
    int kind, P, R, A, H;  // R rows
    real low, high;
    const real* head;  // (P, R, H)
    const UfOffHyper* hyper;
} UfOffHeads;

// How environments are acted in at one step.
typedef struct UfOffAct {
    const real* noise;    // (P, N) uniform in (-1, 1) of kinds, else (P, N, A) normal
    const real* uniform;  // (P, N, A) in (-1, 1): instead of the tanh.   Nullable
    bool explores;        // adds exploration_noise to it, or to the tanh
    UfCount step;         // before this one, of all environments together
    int64_t fall;         // steps in which epsilon comes down; INT64_MAX: it is 1
    uint8_t* kinds;       // (P, N) kinds once more, as environments of a device want them.   Nullable
} UfOffAct;

// Of next states. q is of all kinds, or of one action.
typedef struct UfOffNext {
    const real* q;         // (P, N, B, A + 1 or 1) of N target critics
    const real* chooser;   // (P, B, A + 1): says which kind, under double_dqn.   Nullable
    const real* head;      // (P, B, A) logits of SAC's actor.   Nullable
    const real* log_prob;  // (P, B) of the action.   Nullable
} UfOffNext;

// What is logged of PPO. One row (P, UF_NUM_PPO_METRICS) of running sums; ops add means over the minibatch.
#define UF_PPO_METRICS(X) \
    X(loss)               \
    X(policy_loss)        \
    X(value_loss)         \
    X(entropy)            \
    X(approx_kl)          \
    X(clip_fraction) X(grad_norm)
enum {
#define X(name) UF_PPO_METRIC_##name,
    UF_PPO_METRICS(X)
#undef X
        UF_NUM_PPO_METRICS
};

// What is logged. One row (P, UF_NUM_METRICS) of running sums; ops add the mean over the batch times
// `weight`.
#define UF_METRICS(X) \
    X(actor_loss)     \
    X(bc_loss)        \
    X(actor_q)        \
    X(adv)            \
    X(entropy)        \
    X(alpha)          \
    X(alpha_loss)     \
    X(critic_loss)    \
    X(target)         \
    X(diversity_loss) \
    X(cql_loss)       \
    X(value_loss) X(model_error) X(model_penalty) X(model_terminated) X(model_dropped) X(buffer_fill)
enum {
#define X(name) UF_METRIC_##name,
    UF_METRICS(X)
#undef X
        UF_NUM_METRICS
};

// One product of a pass, as the mathematics asks for it (whole batch): for the bench.
typedef struct UfProduct {
    int m, n, k, count;
    bool trans_a, trans_b;
} UfProduct;

typedef struct UfTrace {
    int num_products, capacity;
    UfProduct* products;
    bool clock;            // also time the products
    double* gemm_seconds;  // (threads)
} UfTrace;

// What a device launched for some work, for the bench.
typedef struct UfLaunchTimes {
    int64_t num_launches;  // one by one: kernels, and calls of cuBLAS
    int64_t num_recorded;  // kernels in the update that `repeat` does; 0: none is recorded
    double empty_seconds;  // of a launch that does nothing
    double busy_seconds;   // sum over the launches of what each takes longer than that
} UfLaunchTimes;

// Rows that one task of a pass handles: a function of shapes alone.
int uf_block_rows(int rows, int networks);
int uf_num_blocks(int rows, int networks);

// ---- the table ----

typedef struct UfBackend UfBackend;
struct UfBackend {
    const char* name;
    void* state;
    UfPool* pool;
    UfTrace* trace;                 // Nullable
    bool splits;                    // uf_backend_members may be used
    bool apart;                     // its memory is not the host's: what it made is downloaded, now and then
    double rounding;                // of a product of two numbers by tensor cores, relative; 0: float's alone
    char about[256];                // what it runs on, and under "auto" why
    int first_member, num_members;  // that ops work on.   num_members 0: all P

    // memory
    UfStatus (*reserve)(UfBackend*, void** out, size_t bytes, const char* what);  // zeroed
    void (*release)(UfBackend*, void* memory);
    void (*upload)(UfBackend*, void* device, const void* host, size_t bytes);
    void (*download)(UfBackend*, void* host, const void* device, size_t bytes);
    UfStatus (*sync)(UfBackend*);
    // Scratch for passes of this shape over P members; called for every shape before the first update.
    UfStatus (*plan)(UfBackend*, const UfMlp* mlp, int P, int networks, int rows);
    // `networks` of this shape lie at params and pass there often: the backend may keep a copy of them as its products read
    // them best. Only `upload` and `adam_polyak` change them from here on; none lie there any more: networks 0.   Nullable
    UfStatus (*announce)(UfBackend*, const UfMlp* mlp, int networks, const real* params);

    // Branches of an update, which a device may take side by side: UF_NUM_BRANCHES. Ops are given to one branch, to
    // begin with 0. Those of a branch come one after another; those of different branches in any order or at once, but
    // for what `after` says. branch: ops from here on are given to `to`. after: those that the present branch is given
    // from here on come after all that `on` was given so far. A branch begins with an `after`, and 0 comes after all
    // of them before an update ends or memory moves between device and host.
    // The rule: of two ops that nothing orders none writes what the other reads or writes, numbers of `metrics` that
    // are each op's own aside. Scratch of passes is each branch's own. And the order in which ops are given is right as
    // it stands: a backend without branches takes them so.   Nullable, both alike
    void (*branch)(UfBackend*, int to);
    void (*after)(UfBackend*, int on);

    // rows. Each of these does a list at once.
    // seeds (P)
    void (*random)(UfBackend*, const UfDraw* draws, int num_draws, int P, const uint64_t* seeds);
    void (*gather)(UfBackend*, const UfBatch* batch, const UfPiece* pieces, int num_pieces, int P);
    // rows [(obs - mean) / (std + 1e-3) | action]; mean null: obs as they are.   Nullable: mean, std
    void (*network_input)(UfBackend*, const UfInputRows* rows, int num_rows, int ld, const real* mean,
                          const real* std, int P, int B, int O, int A);
    // index (P, n): 0..n-1 in the order that uf_shuffle gives them; seeds (P)
    void (*random_order)(UfBackend*, int64_t* index, int P, int n, const uint64_t* seeds, int stream,
                         UfCount update);

    // networks
    // out (P, used, total, H).   Nullable: tape (then nothing is kept)
    void (*mlp_forward)(UfBackend*, const UfNets*, real* out, const UfTape*, UfInput, UfRows);
    // dout (P, used, total, H) -> grads (num_blocks, P, N, size), every parameter written; dx (P, used,
    // total, dx_count): input columns from dx_first on. All `total` rows.   Nullable: grads, dx
    void (*mlp_backward)(UfBackend*, const UfNets*, real* grads, real* dx, int dx_first, int dx_count,
                         const UfTape*, UfInput, const real* dout, int total);
    // Gradient of sum_rows( dout * out + <tangent, d out / d x[columns]> ), one output (H = 1): first order
    // through dout and second order through the input gradient. tangent (P, used, total, count): constants.
    // Networks of ReLU alone.
    void (*mlp_backward_backward)(UfBackend*, const UfNets*, real* grads, const UfTape*, UfInput,
                                  const real* tangent, int tangent_first, int tangent_count, const real* dout,
                                  int total);

    // terms; hyper (P), metrics (P, UF_NUM_METRICS), sums over a batch are means
    // Actions of a policy and their log-probability (P, B). noise (P, B, A); null: the mean, log-prob of eps
    // = 0. smoothing (P, B, A) standard normals: target policy smoothing and clip to [-1, 1]. A categorical
    // policy's actions are one-hot, without noise the likeliest kind, and never smoothed; its log_prob is the
    // mean over all kinds, whatever was drawn; where an output is not finite neither are they.   Nullable:
    // noise, smoothing, log_prob
    void (*policy_sample)(UfBackend*, const UfHeads*, UfActions, real* log_prob, const real* noise,
                          const real* smoothing);
    // grads (P, size): gradient of log alpha; alpha metrics.
    void (*entropy_coef_loss)(UfBackend*, real* grads, size_t stride, const real* log_prob,
                              const real* log_alpha, real target_entropy, int P, int B, double* metrics);
    // alpha (P) = exp(log_alpha), logged
    void (*entropy_coef)(UfBackend*, real* alpha, const real* log_alpha, size_t stride, int P,
                         double* metrics);
    // weight (P, B) of behaviour cloning from q (P, N, q_total, 1) and v (P, B)
    void (*awr_weight)(UfBackend*, real* weight, const real* q, int q_total, const real* v, const UfHyper*,
                       int P, int N, int B, double* metrics);
    // dq (P, N, B): derivative of -actor_q_coef * lambda * agg_N q
    void (*actor_q_loss)(UfBackend*, real* dq, const real* q, int aggregate, bool normalise, const UfHyper*,
                         int P, int N, int B, double* metrics);
    // dpi (P, B, A): derivative of -actor_q_coef * lambda * sum_i pi[i] agg_N q with respect to a categorical
    // policy's pi, from q (P, N, A * B) of all actions: row i * B + b is kind i at row b. lambda normalises by
    // the mean of sum_i pi[i] |agg_N q|.
    void (*expected_q_loss)(UfBackend*, real* dpi, const UfHeads*, const real* q, int aggregate,
                            bool normalise, int N, double* metrics);
    // dhead (P, B, H) and dlog_std (P, stride) from behaviour cloning (weight), Q (dqda (P, N, B, A), null:
    // none; of a categorical policy dpi, N = 1) and entropy (alpha (P), null: none).   Nullable: weight, dqda, alpha, log_prob, dlog_std
    void (*actor_loss)(UfBackend*, real* dhead, real* dlog_std, const UfHeads*, const real* noise,
                       const real* a_data, const real* weight, const real* dqda, int N, const real* alpha,
                       const real* log_prob, double* metrics);
    // y (P, B). q (P, N, B) target critics, or v (P, B) under use_value_target; alpha (P) and log_prob (P, B)
    // under entropy. Nullable: q or v; alpha with log_prob
    void (*td_target)(UfBackend*, real* y, const UfBatch*, const real* q, const real* v, UfActions next,
                      const real* alpha, const real* log_prob, const UfHyper*, int P, int N, int B, int A,
                      double* metrics, double weight);
    // dq (P, N, total): squared error on rows [0, B); total = (1 + K) B: conservative penalty, its log-sum-exp
    // over data and K more groups of B rows (random, pi, next pi), or if `all_actions` over those K alone, which
    // then are all the actions there are. num_data: rows of the batch whose Q is subtracted (all B, or the
    // dataset's under cql_data_only).
    void (*q_loss)(UfBackend*, real* dq, const real* q, const real* y, const UfHyper*, int P, int N, int B,
                   int total, bool all_actions, int num_data, double* metrics, double weight);
    // tangent (P, N, total, A) = diversity_coef * dD/d(dQ/da) from dqda of the same shape; rows >= B are
    // zero.
    void (*diversity_loss)(UfBackend*, real* tangent, const real* dqda, const UfHyper*, int P, int N, int B,
                           int total, int A, double* metrics, double weight);
    // dv (P, B) from q (P, N, q_total) and v (P, B)
    void (*value_loss)(UfBackend*, real* dv, const real* q, int q_total, const real* v, const UfHyper*, int P,
                       int N, int B, double* metrics);

    // world model, D = O + 1 numbers: next_obs - obs, then the reward; bounds of the log-variance max (D), min (D) of
    // member p at bounds + p * stride
    // target (P, B, D) of a batch
    void (*dynamics_target)(UfBackend*, real* target, const UfBatch*, int P, int B, int O);
    // From out (P, N, B, 2 D), means and raw log-variances, and target (P, B, D), which networks share: dout (P, N,
    // B, 2 D) and dbounds (N, P, stride), one block for each network, of the sum over networks of the likelihood's
    // mean over B and D plus diff_coef * sum(max - min), which block 0 has. loss (P, N + 1) is added to: a number
    // for each network, then the bounds' term.
    void (*dynamics_loss)(UfBackend*, real* dout, real* dbounds, const real* out, const real* target,
                          const real* bounds, size_t stride, double diff_coef, int P, int N, int B, int D,
                          double* loss);
    // sum (P, N) is added to: squared errors of the means in out, over B and D.
    void (*dynamics_error)(UfBackend*, double* sum, const real* out, const real* target, int P, int N, int B,
                           int D);

    // rollouts in it, R rows for each member
    // One step of a rollout from the elites' outputs out (P, E, R, 2 D) for inputs x = [obs | action]:
    // elite (P, R) and noise (P, R, D) give a sample (delta, reward) = mean + std * noise, next_obs (P, R, O)
    // = obs + delta; penalty (P, R) = step_penalty_coef * max over elites of |std|, off the reward (P, R);
    // distance (P, R): the largest between two elites' means. done (P, R) by the rule, or where
    // term_penalty_offset < 0 and the distance is above threshold_coef * discrepancy: then the reward is
    // min_reward + term_penalty_offset. Nullable: distance
    void (*model_step)(UfBackend*, real* next_obs, real* reward, real* done, real* penalty, real* distance,
                       const UfElites*, const real* out, UfInput x, const int64_t* elite, const real* noise,
                       const UfHyper*, int P, int R);
    // error (P): root mean square error of the elites' mean against (next_obs - obs, reward) of a batch of R
    // rows, each number in units of its own standard deviation over them; numbers that do not vary are left
    // out.
    void (*model_error)(UfBackend*, double* error, const UfElites*, const real* out, const UfBatch*, int P,
                        int R);
    // Appends the rows that are alive (P, R) and finite to the ring, in row order. A row that is not finite
    // or done is alive no more. start: all rows are alive. sums (P, UF_NUM_ROLLOUT_SUMS) are added to.
    void (*ring_append)(UfBackend*, const UfRing*, int* alive, bool start, double* sums, UfInput x,
                        const UfBatch* step, const real* penalty, int P, int R);

    // episodes: num_steps steps of each row that has an episode to play; fp32 in every precision, and a row does not
    // depend on the others. Wants a plan for `nets` of one row.
    void (*play)(UfBackend*, const UfPlay*, int num_steps);

    // One step of the environments that agents train in, by action: (P, N, A) reals, which are clipped, or (P, N) kinds as
    // u8. obs (P, N, O): after it, and where the episode ended the first of the next one. action null: all begin with their
    // first episodes, and obs alone is written.   Nullable: core/agents/train_envs.c steps on the host
    void (*step_rules)(UfBackend*, const UfRuleEnvs*, const void* action, real* obs, real* reward,
                       uint8_t* terminated, uint8_t* truncated);

    // behaviour cloning of many small networks, fp32 in every precision. A network's numbers do not depend on those
    // beside it. plan_clone comes before both, for the most networks and rows of a dataset; scores take any rows.
    UfStatus (*plan_clone)(UfBackend*, const UfCloneNet* net, int P, int rows);  // P = sets * inits, or P
    void (*clone)(UfBackend*, const UfClone*);
    void (*clone_score)(UfBackend*, const UfCloneScore*);

    // Steps [first, first + num_steps) of trials, where they go on; from step 0 on all begin. fp32 in every precision, and
    // a policy's numbers do not depend on those beside it.   Nullable: core/search/trials.c plays on the host
    void (*play_trials)(UfBackend*, const UfPlayTrials*, int64_t first, int num_steps);

    // Synthetic environments, fp32 in every precision; draws are those of se_reset and se_step. reset: obs (P, N, O) of new
    // episodes, from draw 0 on. step: action (P, N, A), or (P, N) kinds as u8; obs (P, N, O) after it, where an episode ended
    // the first of the next; terminated where the networks say so, truncated where it has max_steps (P, N).   Nullable, both
    // alike: the host steps them (synthenv.c)
    void (*synth_reset)(UfBackend*, const UfSynths*, real* obs);
    void (*synth_step)(UfBackend*, const UfSynths*, const void* action, real* obs, real* reward,
                       uint8_t* terminated, uint8_t* truncated);

    // PPO; metrics (P, UF_NUM_PPO_METRICS), hyper (P)
    // x (P, B, O): observations of rows [first, first + B) of each member, T + 1 steps of them, or of those that pick
    // names.   Nullable: pick (then first and B count)
    void (*ppo_observe)(UfBackend*, real* x, const UfSteps*, const UfPick* pick, int first, int B);
    // Actions of step t and their log-probabilities, from heads over N rows. noise (P, T, N) uniform in (-1, 1) where
    // actions are discrete, else (P, T, N, A) normal. apart: the actions once more, side by side as environments want
    // them: (P, N, A) reals, or (P, N) kinds as u8.   Nullable: apart
    void (*ppo_act)(UfBackend*, const UfSteps*, int t, const UfPpoHeads*, const real* noise, void* apart);
    // What the environments of all members answered to step t, side by side: obs (P, N, O) goes to step t + 1, reward
    // (P, N) and done, where either says so, to step t. t = -1: obs alone, null for those of step T: how a rollout
    // begins.   Nullable: obs, reward and terminated then; truncated
    void (*ppo_store)(UfBackend*, const UfSteps*, int t, const void* obs, const real* reward,
                      const uint8_t* terminated, const uint8_t* truncated);
    // What step t says of the episodes of environment n: time is their length before it; both counts of `episodes` grow by
    // the step, and where it is done go to the sums and begin anew.
    void (*ppo_episodes)(UfBackend*, const UfSteps*, int t, const UfEpisodes*);
    // Values of rows [first, first + B) from out (P, B, .), row b of member p at out + (p * B + b) * ld.
    void (*ppo_values)(UfBackend*, const UfSteps*, int first, const real* out, int ld, int B);
    // advantage and target of all rows from reward, done, value and, where by_time, time.
    void (*ppo_advantages)(UfBackend*, const UfSteps*, bool by_time, const UfPpoHyper*);
    // Gradient of policy_loss + vf_coef * value_loss - ent_coef * entropy, means over a minibatch: dhead and dvalue lie
    // as heads and value do, value of row b of member p at value + (p * B + b) * value_ld; dlog_std as log_std.
    // Nullable: dlog_std
    void (*ppo_loss)(UfBackend*, real* dhead, real* dvalue, real* dlog_std, const UfSteps*, UfPick,
                     const UfPpoHeads*, const real* value, int value_ld, int clip_value, bool normalise,
                     const UfPpoHyper*, double* metrics);
    // Adds each group's gradient blocks in order into the first, and scales that so that the norm over all groups is
    // at most max_norm (P). The norm before is added to norm[p * stride].   Nullable: norm
    void (*clip_gradients)(UfBackend*, const UfGroup* groups, int num_groups, const real* max_norm,
                           double* norm, size_t stride);

    // off-policy agents: what they do with rows between passes over networks
    // Steps of N environments (P, N, .) become records row.now and on, modulo the capacity; fill becomes what the ring
    // holds then, rows having begun at 0. done: where either byte says so. Then obs becomes next_obs.   Nullable:
    // truncated; next_obs of a ring that has none, and obs stays
    void (*off_store)(UfBackend*, const UfOffRing*, UfCount row, real* obs, const real* action,
                      const real* reward, const uint8_t* terminated, const uint8_t* truncated,
                      const real* next_obs);
    // The records at index (P, B).
    void (*off_gather)(UfBackend*, const UfOffBatch*, const UfOffRing*, const int64_t* index);
    // action (P, N, A), or (P, N) kinds, from heads over R = N rows. One that is no number is the middle of the range.
    void (*off_act)(UfBackend*, real* action, const UfOffHeads*, const UfOffAct*);
    // Actions of squashed or tanh heads over R = B rows into columns O on of x (P, B, ld). log_prob (P, B): of the Gaussian's
    // tanh, without what the range adds. noise (P, B, A) normal; of tanh heads: target smoothing.   Nullable: log_prob,
    // noise of tanh heads
    void (*off_sample)(UfBackend*, real* x, int O, int ld, real* log_prob, const UfOffHeads*,
                       const real* noise);
    // y (P, B): reward + gamma * value of the next state, which is by kind of heads the best kind's Q (of the target's or the
    // chooser's choice); the soft one over kinds; the smallest Q, less alpha log pi where there is a log_prob. heads: kind, A
    // and hyper.   Nullable: log_alpha (P)
    void (*off_target)(UfBackend*, real* y, const UfOffBatch*, const UfOffHeads*, const UfOffNext*, int N,
                       const real* log_alpha);
    // dq as q (P, N, B, A + 1 of kinds, else 1): of half the squared error of each critic, mean over B.
    void (*off_critic_loss)(UfBackend*, real* dq, const real* q, const real* y, const UfOffBatch*, int N,
                            int kinds);
    // dq (P, N, B): of minus the mean over B of the smallest critic, or of all critics' mean.
    void (*off_actor_q)(UfBackend*, real* dq, const real* q, bool smallest, int P, int N, int B);
    // dhead as heads over R = B rows, of the mean over B of: SAC of kinds alpha log pi - smallest q summed over kinds with pi, q
    // (P, N, B, A + 1); SAC of numbers alpha log pi, and dqda (P, N, B, A) summed over N; tanh heads dqda alone. dlog_alpha
    // (P): of the temperature. noise and log_prob as in off_sample.   Nullable: noise and log_prob but of squashed heads,
    // dlog_alpha and log_alpha of tanh heads
    void (*off_actor_loss)(UfBackend*, real* dhead, real* dlog_alpha, const UfOffHeads*,
                           const real* q_or_dqda, int N, const real* noise, const real* log_prob,
                           const real* log_alpha);

    // optimiser: one Adam step (1-based `step`) with uf_adam_step of lr[p] on the sum of the gradient's blocks; then
    // target += polyak[p] * (params - target) where polyak is not null, of 1 params themselves. lr null: only that. bad (P): set to 1 where a
    // parameter or its second moment is no longer finite.   Nullable: lr, polyak
    void (*adam_polyak)(UfBackend*, const UfGroup*, const real* lr, UfCount step, UfDecay decay,
                        double weight_decay, const real* polyak, int* bad);

    // Between `record` and `end_record` ops are noted, not done; `repeat` does them all, the first time as they were
    // noted, then with each UfCount grown by its `each` from time to time.   Nullable, all three alike
    void (*record)(UfBackend*);
    void (*end_record)(UfBackend*);
    void (*repeat)(UfBackend*);

    // for the bench: c (m, n) = a (m, k) b (k, n), as passes do it
    void (*product)(UfBackend*, real* c, const real* a, const real* b, int m, int n, int k);
    // Between them launches are timed one by one; not while `record` notes them.   Nullable, both alike
    UfStatus (*start_clock)(UfBackend*);
    UfStatus (*stop_clock)(UfBackend*, UfLaunchTimes* out);

    void (*close)(UfBackend*);
};

// device "cpu", "cuda", or "auto": the first that there is of cuda and cpu. precision: of the products on a CUDA device, "fp32", "tf32" or "bf16"; the CPU's are fp32.
// num_threads 0: all cores.   Errors: UF_ERR_UNSUPPORTED (not in this build), UF_ERR_DEVICE (no driver, no device).
UfStatus uf_backend_open(UfBackend** out, const char* device, const char* precision, int num_threads);
#ifdef UF_CUDA
UfStatus uf_backend_open_cuda(UfBackend** out, const char* precision, int num_threads);
#endif
void uf_backend_close(UfBackend* backend);

// The same backend with ops that leave all but `count` members alone, for a backend that splits: threads of its pool
// may use one each at once, so that a member goes through a whole update while its data are in cache. Nothing to close.
UfBackend uf_backend_members(const UfBackend* backend, int first, int count);
// Members [first, end) of P that the ops of a backend work on.
typedef struct UfMembers {
    int first, end;
} UfMembers;
UfMembers uf_members(const UfBackend* backend, int P);
#define UF_FOR_MEMBERS(backend, p, P) \
    for (int p = uf_members((backend), (P)).first, end_##p = uf_members((backend), (P)).end; p < end_##p; p++)

// One network over rows on the host, for policies: out (rows, H). scratch: 2 * rows * width reals. A row's
// result does not depend on the rows beside it, to the bit.
void uf_mlp_forward_host(const UfMlp* mlp, const real* params, real* out, const real* x, int ld, int rows,
                         real* scratch);
// The same of one that was cloned; scratch: uf_clone_scratch reals.
void uf_clone_forward_host(const UfCloneNet* net, const real* params, real* out, const real* x, int rows,
                           real* scratch);
size_t uf_clone_scratch(const UfCloneNet* net, int rows);

#ifdef __cplusplus
}
#endif

#endif
