// kernels_td.cu: what off-policy agents do between passes over networks, on a CUDA device. kernels_td.c is the specification,
// kernels_td.h a row of it.
//
// A thread has a number of a record or a row, a block a member's sum: in one order, whatever the number of members.
//
// Rooms: replay, actions, targets, losses, table.
#include "kernels.cuh"
#include "kernels_td.h"

namespace uf_cuda {

namespace {

// ---- replay ----

struct Store {
    UfOffRing ring;
    UfCount row;
    const int64_t* replays;
    real* obs;
    const real *action, *reward, *next_obs;
    const uint8_t *terminated, *truncated;
};

// A thread has a number of a record.
__global__ void __launch_bounds__(THREADS) off_store_kernel(Store c) {
    const UfOffRing& r = c.ring;
    const int64_t i = thread_id();
    if (i >= static_cast<int64_t>(r.P) * r.N * r.stride) return;
    const int64_t from = i / r.stride, p = from / r.N, n = from % r.N, now = count_now(c.row, c.replays);
    const int k = static_cast<int>(i % r.stride), end = r.O + r.items;
    const real x = k < r.O        ? c.obs[from * r.O + k]
                   : k < end      ? c.action[from * r.items + k - r.O]
                   : k == end     ? c.reward[from]
                   : k == end + 1 ? uf_off_ended(c.terminated, c.truncated, static_cast<size_t>(from))
                                  : c.next_obs[from * r.O + k - end - 2];
    r.records[(p * r.capacity + (now + n) % r.capacity) * r.stride + k] = x;
    if (c.next_obs && k < r.O) c.obs[from * r.O + k] = c.next_obs[from * r.O + k];
    if (n == 0 && k == 0) r.fill[p] = now + r.N < r.capacity ? now + r.N : r.capacity;
}

void cuda_off_store(UfBackend* be, const UfOffRing* ring, UfCount row, real* obs, const real* action,
                    const real* reward, const uint8_t* terminated, const uint8_t* truncated,
                    const real* next_obs) {
    State* s = begin(be, "off_store", ring->P, 1, ring->N, ring->stride);
    const Store c = {*ring,      row,      s->recording ? s->replays : nullptr, obs, action, reward, next_obs,
                     terminated, truncated};
    launch(s, off_store_kernel, ceil_div(static_cast<int64_t>(ring->P) * ring->N * ring->stride, THREADS),
           THREADS, c);
}

// A thread has a number of a record.
__global__ void __launch_bounds__(THREADS)
    off_gather_kernel(UfOffBatch b, UfOffRing r, const int64_t* index) {
    const int64_t i = thread_id();
    if (i >= static_cast<int64_t>(b.P) * b.B * r.stride) return;
    const int64_t row = i / r.stride, p = row / b.B;
    const int k = static_cast<int>(i % r.stride);
    const real x = r.records[(p * r.capacity + index[row]) * r.stride + k];
    if (k < b.ld) {
        b.x[row * b.ld + k] = x;
        if (b.x_pi && k < b.O) b.x_pi[row * b.ld + k] = x;
    } else if (k == b.ld) {
        b.reward[row] = x;
    } else if (k == b.ld + 1) {
        b.done[row] = x != 0;
    } else if (b.x_next) {
        b.x_next[row * b.ld + k - b.ld - 2] = x;
    }
}

void cuda_off_gather(UfBackend* be, const UfOffBatch* batch, const UfOffRing* ring, const int64_t* index) {
    State* s = begin(be, "off_gather", batch->P, 1, batch->B, ring->stride);
    launch(s, off_gather_kernel, ceil_div(static_cast<int64_t>(batch->P) * batch->B * ring->stride, THREADS),
           THREADS, *batch, *ring, index);
}

// ---- actions ----

__global__ void __launch_bounds__(THREADS)
    off_act_kernel(real* action, UfOffHeads heads, UfOffAct of, const int64_t* replays) {
    const int64_t i = thread_id();
    if (i >= static_cast<int64_t>(heads.P) * heads.R) return;
    uf_off_act_row(action, &heads, &of, count_now(of.step, replays), static_cast<int>(i / heads.R),
                   static_cast<int>(i % heads.R));
}

void cuda_off_act(UfBackend* be, real* action, const UfOffHeads* heads, const UfOffAct* of) {
    State* s = begin(be, "off_act", heads->P, 1, heads->R, heads->H);
    launch(s, off_act_kernel, ceil_div(static_cast<int64_t>(heads->P) * heads->R, THREADS), THREADS, action,
           *heads, *of, s->recording ? s->replays : nullptr);
}

__global__ void __launch_bounds__(THREADS)
    off_sample_kernel(real* x, int O, int ld, real* log_prob, UfOffHeads h, const real* noise) {
    const int64_t i = thread_id();
    if (i >= static_cast<int64_t>(h.P) * h.R) return;
    const real of_action = uf_off_sample_row(x + i * ld + O, &h, static_cast<int>(i / h.R), h.head + i * h.H,
                                             noise ? noise + i * h.A : nullptr);
    if (log_prob) log_prob[i] = of_action;
}

void cuda_off_sample(UfBackend* be, real* x, int O, int ld, real* log_prob, const UfOffHeads* heads,
                     const real* noise) {
    State* s = begin(be, "off_sample", heads->P, 1, heads->R, heads->H);
    launch(s, off_sample_kernel, ceil_div(static_cast<int64_t>(heads->P) * heads->R, THREADS), THREADS, x, O,
           ld, log_prob, *heads, noise);
}

// ---- targets ----

__global__ void __launch_bounds__(THREADS) off_target_kernel(real* y, UfOffBatch batch, UfOffHeads heads,
                                                             UfOffNext next, int N, const real* log_alpha) {
    const int64_t i = thread_id();
    if (i >= static_cast<int64_t>(batch.P) * batch.B) return;
    const int p = static_cast<int>(i / batch.B), b = static_cast<int>(i % batch.B);
    y[i] = uf_step_value(batch.reward[i], batch.done[i], heads.hyper[p].gamma,
                         uf_off_next_value(&heads, &next, batch.B, N, log_alpha, p, b));
}

void cuda_off_target(UfBackend* be, real* y, const UfOffBatch* batch, const UfOffHeads* heads,
                     const UfOffNext* next, int N, const real* log_alpha) {
    State* s = begin(be, "off_target", batch->P, N, batch->B, heads->A);
    launch(s, off_target_kernel, ceil_div(static_cast<int64_t>(batch->P) * batch->B, THREADS), THREADS, y,
           *batch, *heads, *next, N, log_alpha);
}

// ---- losses ----

__global__ void __launch_bounds__(THREADS)
    off_critic_loss_kernel(real* dq, const real* q, const real* y, UfOffBatch batch, int N, int kinds) {
    const int64_t i = thread_id();
    if (i >= static_cast<int64_t>(batch.P) * N * batch.B) return;
    const int64_t g = i / batch.B;
    uf_off_critic_row(dq, q, y, &batch, N, kinds, static_cast<int>(g / N), static_cast<int>(g % N),
                      static_cast<int>(i % batch.B));
}

void cuda_off_critic_loss(UfBackend* be, real* dq, const real* q, const real* y, const UfOffBatch* batch,
                          int N, int kinds) {
    State* s = begin(be, "off_critic_loss", batch->P, N, batch->B, kinds);
    launch(s, off_critic_loss_kernel, ceil_div(static_cast<int64_t>(batch->P) * N * batch->B, THREADS),
           THREADS, dq, q, y, *batch, N, kinds);
}

__global__ void __launch_bounds__(THREADS)
    off_actor_q_kernel(real* dq, const real* q, bool smallest, int P, int N, int B) {
    const int64_t i = thread_id();
    if (i >= static_cast<int64_t>(P) * B) return;
    const int64_t first = i / B * N * B;
    uf_off_actor_q_row(dq + first, q + first, smallest, N, B, static_cast<int>(i % B));
}

void cuda_off_actor_q(UfBackend* be, real* dq, const real* q, bool smallest, int P, int N, int B) {
    State* s = begin(be, "off_actor_q", P, N, B, 1);
    launch(s, off_actor_q_kernel, ceil_div(static_cast<int64_t>(P) * B, THREADS), THREADS, dq, q, smallest, P,
           N, B);
}

struct ActorLoss {
    real *dhead, *dlog_alpha;
    UfOffHeads heads;
    const real* q;
    int N;
    const real *noise, *log_prob, *log_alpha;
};

// A block has a member, for the sake of its temperature's mean.
__global__ void __launch_bounds__(TERM_THREADS) off_actor_loss_kernel(ActorLoss c) {
    const UfOffHeads& h = c.heads;
    const int p = static_cast<int>(blockIdx.x);
    const real alpha = c.log_alpha ? exp(c.log_alpha[p]) : 0;
    double log_prob = 0;
    for (int b = static_cast<int>(threadIdx.x); b < h.R; b += TERM_THREADS) {
        const int64_t row = static_cast<int64_t>(p) * h.R + b;
        real* dhead = c.dhead + row * h.H;
        if (h.kind == UF_OFF_CATEGORICAL) {
            log_prob += static_cast<double>(uf_off_actor_kinds(dhead, &h, c.q, c.N, alpha, p, b));
            continue;
        }
        uf_off_actor_numbers(dhead, &h, c.q, c.N, c.noise, alpha, p, b);
        if (c.log_prob) log_prob += static_cast<double>(c.log_prob[row]);
    }
    if (!c.dlog_alpha) return;
    log_prob = block_sum(log_prob);
    if (threadIdx.x == 0)
        c.dlog_alpha[p] = uf_entropy_coef_grad(static_cast<real>(log_prob / h.R), h.hyper[p].target_entropy);
}

void cuda_off_actor_loss(UfBackend* be, real* dhead, real* dlog_alpha, const UfOffHeads* heads,
                         const real* q_or_dqda, int N, const real* noise, const real* log_prob,
                         const real* log_alpha) {
    State* s = begin(be, "off_actor_loss", heads->P, N, heads->R, heads->H);
    launch(s, off_actor_loss_kernel, heads->P, TERM_THREADS,
           ActorLoss{dhead, dlog_alpha, *heads, q_or_dqda, N, noise, log_prob, log_alpha});
}

}  // namespace

// ---- table ----

void add_td(UfBackend* be) {
    be->off_store = cuda_off_store;
    be->off_gather = cuda_off_gather;
    be->off_act = cuda_off_act;
    be->off_sample = cuda_off_sample;
    be->off_target = cuda_off_target;
    be->off_critic_loss = cuda_off_critic_loss;
    be->off_actor_q = cuda_off_actor_q;
    be->off_actor_loss = cuda_off_actor_loss;
}

}  // namespace uf_cuda
