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
#include "core/dataset.h"
#include "core/philox.h"
#include "terms.h"

#define UF_MAX_LAYERS 16

// ---- types ----

// Shape of one multilayer perceptron: `layers` times LayerNorm(ReLU(x W + b)), then x W + b. Offsets are in
// reals inside one network's block of `size` reals (a multiple of 64); W is (in, out).
typedef struct UfMlp {
    int in, width, layers, out;
    bool layer_norm;
    size_t kernel[UF_MAX_LAYERS + 1], bias[UF_MAX_LAYERS + 1], scale[UF_MAX_LAYERS], shift[UF_MAX_LAYERS];
    size_t log_std;  // the actor's free log-std (A); unused otherwise
    size_t size;
} UfMlp;

// (P, N) networks of one shape, network (p, n) at params + (p * N + n) * size. Ops use the first `used` of
// each N.
typedef struct UfNets {
    const UfMlp* mlp;
    int P, N, used;
    const real* params;
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

// What the backward passes need of a forward pass, for arrays of `total` rows. LayerNorm's output is not kept: to
// write and read it again costs more than to compute it again.
typedef struct UfTape {
    real* r[UF_MAX_LAYERS];      // (P, used, total, width) after ReLU
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

// Rows of a dataset or rollout buffer on the device: see core/dataset.h for the record.
typedef struct UfSource {
    const float *records, *next_obs;  // Nullable: next_obs
    const int64_t* rows;              // Nullable
    int64_t num_rows;
    int obs_dim, action_dim, stride;
} UfSource;

// A batch: B transitions for each of P members.
typedef struct UfBatch {
    real *obs, *action, *reward, *next_obs, *next_action,
        *done;  // (P,B,O) (P,B,A) (P,B) (P,B,O) (P,B,A) (P,B)
} UfBatch;

// A policy's heads: `head` (P, B, H) is the actor's output, H = A, or 2A where a log-std head follows the
// mean.
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

// What is logged. One row (P, UF_NUM_METRICS) of running sums; ops add the mean over the batch times
// `weight`.
#define UF_METRICS(X)                                                                               \
    X(actor_loss)                                                                                   \
    X(bc_loss)                                                                                      \
    X(actor_q)                                                                                      \
    X(adv) X(entropy) X(alpha) X(alpha_loss) X(critic_loss) X(target) X(diversity_loss) X(cql_loss) \
        X(value_loss)
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

// Rows that one task of a pass handles: a function of shapes alone.
int uf_block_rows(int rows, int networks);
int uf_num_blocks(int rows, int networks);

// ---- the table ----

typedef struct UfBackend UfBackend;
struct UfBackend {
    const char* name;
    void* state;
    UfPool* pool;
    UfTrace* trace;  // Nullable

    // memory
    UfStatus (*reserve)(UfBackend*, void** out, size_t bytes, const char* what);  // zeroed
    void (*release)(UfBackend*, void* memory);
    void (*upload)(UfBackend*, void* device, const void* host, size_t bytes);
    void (*download)(UfBackend*, void* host, const void* device, size_t bytes);
    UfStatus (*sync)(UfBackend*);
    // Scratch for passes of this shape; called for every shape before the first update.
    UfStatus (*plan)(UfBackend*, const UfMlp* mlp, int rows, int networks);

    // rows: batch (P, B) of source at index (P, B); numbers of (seeds[p], stream, update)
    void (*random_index)(UfBackend*, int64_t* index, int P, int B, int64_t n, const uint64_t* seeds,
                         uint64_t update);
    void (*random_normal)(UfBackend*, real* out, int P, int64_t count, const uint64_t* seeds, int stream,
                          uint64_t update);
    void (*random_uniform)(UfBackend*, real* out, int P, int64_t count, const uint64_t* seeds, int stream,
                           uint64_t update);
    void (*gather)(UfBackend*, const UfBatch* batch, const UfSource* source, const int64_t* index, int P,
                   int B);
    // out rows [(obs - mean) / (std + 1e-3) | action] of member p at out + (p * total + b) * ld; mean null:
    // obs as they are; action null: columns left alone.   Nullable: mean, std, action
    void (*network_input)(UfBackend*, real* out, int ld, int total, const real* obs, const real* action,
                          const real* mean, const real* std, int P, int B, int O, int A);

    // networks
    // out (P, used, total, H).   Nullable: tape (then nothing is kept)
    void (*mlp_forward)(UfBackend*, const UfNets*, real* out, const UfTape*, UfInput, UfRows);
    // dout (P, used, total, H) -> grads (num_blocks, P, N, size), every parameter written; dx (P, used,
    // total, dx_count): input columns from dx_first on. All `total` rows.   Nullable: grads, dx
    void (*mlp_backward)(UfBackend*, const UfNets*, real* grads, real* dx, int dx_first, int dx_count,
                         const UfTape*, UfInput, const real* dout, int total);
    // Gradient of sum_rows( dout * out + <tangent, d out / d x[columns]> ), one output (H = 1): first order
    // through dout and second order through the input gradient. tangent (P, used, total, count): constants.
    void (*mlp_backward_backward)(UfBackend*, const UfNets*, real* grads, const UfTape*, UfInput,
                                  const real* tangent, int tangent_first, int tangent_count, const real* dout,
                                  int total);

    // terms; hyper (P), metrics (P, UF_NUM_METRICS), sums over a batch are means
    // Actions of a policy and their log-probability (P, B). noise (P, B, A); null: the mean, log-prob of eps
    // = 0. smoothing (P, B, A) standard normals: target policy smoothing and clip to [-1, 1].   Nullable:
    // noise, smoothing, log_prob
    void (*policy_sample)(UfBackend*, const UfHeads*, UfActions, real* log_prob, const real* noise,
                          const real* smoothing);
    // grads (P, size): gradient of log alpha; alpha metrics.
    void (*entropy_coef_loss)(UfBackend*, real* grads, size_t stride, const real* log_prob,
                              const real* log_alpha, int P, int B, int A, double* metrics);
    // alpha (P) = exp(log_alpha), logged
    void (*entropy_coef)(UfBackend*, real* alpha, const real* log_alpha, size_t stride, int P,
                         double* metrics);
    // weight (P, B) of behaviour cloning from q (P, N, q_total, 1) and v (P, B)
    void (*awr_weight)(UfBackend*, real* weight, const real* q, int q_total, const real* v, const UfHyper*,
                       int P, int N, int B, double* metrics);
    // dq (P, N, B): derivative of -actor_q_coef * lambda * agg_N q
    void (*actor_q_loss)(UfBackend*, real* dq, const real* q, int aggregate, bool normalise, const UfHyper*,
                         int P, int N, int B, double* metrics);
    // dhead (P, B, H) and dlog_std (P, stride) from behaviour cloning (weight), Q (dqda (P, N, B, A), null:
    // none) and entropy (alpha (P), null: none).   Nullable: weight, dqda, alpha, log_prob, dlog_std
    void (*actor_loss)(UfBackend*, real* dhead, real* dlog_std, const UfHeads*, const real* noise,
                       const real* a_data, const real* weight, const real* dqda, int N, const real* alpha,
                       const real* log_prob, double* metrics);
    // y (P, B). q (P, N, B) target critics, or v (P, B) under use_value_target; alpha (P) and log_prob (P, B)
    // under entropy. Nullable: q or v; alpha with log_prob
    void (*td_target)(UfBackend*, real* y, const UfBatch*, const real* q, const real* v, UfActions next,
                      const real* alpha, const real* log_prob, const UfHyper*, int P, int N, int B, int A,
                      double* metrics, double weight);
    // dq (P, N, total): squared error on rows [0, B); total = 4B: conservative penalty over (data, random,
    // pi, next pi). num_data: rows of the batch whose Q is subtracted (all B, or the dataset's under
    // cql_data_only).
    void (*q_loss)(UfBackend*, real* dq, const real* q, const real* y, const UfHyper*, int P, int N, int B,
                   int total, int num_data, double* metrics, double weight);
    // tangent (P, N, total, A) = diversity_coef * dD/d(dQ/da) from dqda of the same shape; rows >= B are
    // zero.
    void (*diversity_loss)(UfBackend*, real* tangent, const real* dqda, const UfHyper*, int P, int N, int B,
                           int total, int A, double* metrics, double weight);
    // dv (P, B) from q (P, N, q_total) and v (P, B)
    void (*value_loss)(UfBackend*, real* dv, const real* q, int q_total, const real* v, const UfHyper*, int P,
                       int N, int B, double* metrics);

    // optimiser: one Adam step (1-based `step`) with lr[p] * lr_scale on the sum of the gradient's blocks;
    // then target += polyak[p] * (params - target) where polyak is not null. step 0: only that. bad (P): set
    // to 1 where a parameter or its second moment is no longer finite.   Nullable: polyak
    void (*adam_polyak)(UfBackend*, const UfGroup*, const real* lr, double lr_scale, int64_t step,
                        const real* polyak, int* bad);
};

// name "cpu" ("cuda", "auto" with the CUDA backend). num_threads 0: all cores.
UfStatus uf_backend_open(UfBackend** out, const char* name, int num_threads);
void uf_backend_close(UfBackend* backend);

// One network over rows on the host, for policies: out (rows, H). scratch: 2 * rows * width reals. A row's
// result does not depend on the rows beside it, to the bit.
void uf_mlp_forward_host(const UfMlp* mlp, const real* params, real* out, const real* x, int ld, int rows,
                         real* scratch);

#endif
