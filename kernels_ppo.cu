// kernels_ppo.cu: what PPO does beside networks and Adam, on a CUDA device. kernels.c is the specification.
//
// A thread has a row, a warp an observation, a block a member's sums: in one order, whatever the number of members.
//
// Rooms: rollout, values, loss, optimiser, order.
#include "kernels.cuh"

namespace uf_cuda {

namespace {

// Number of row n of step t of member p.
__device__ inline int64_t step_row(const UfSteps& s, int p, int t, int n) {
    return (static_cast<int64_t>(p) * s.T + t) * s.N + n;
}
// The same where there are T + 1 steps.
__device__ inline int64_t place_row(const UfSteps& s, int p, int t, int n) {
    return (static_cast<int64_t>(p) * (s.T + 1) + t) * s.N + n;
}

State* begin_steps(UfBackend* be, const char* op, const UfSteps* s, int rows) {
    return begin(be, op, s->P, 1, rows, s->O);
}

// ---- rollout ----

__global__ void __launch_bounds__(THREADS)
    ppo_observe_kernel(real* x, UfSteps s, const int64_t* index, int64_t stride, int first, int B) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * WARPS + warp();
    if (row >= static_cast<int64_t>(s.P) * B) return;
    const int64_t p = row / B, b = row % B, which = index ? index[p * stride + b] : first + b;
    const int64_t from = (p * (s.T + 1) * s.N + which) * s.O;
    real* to = x + row * s.O;
    if (s.bytes)
        for (int i = lane(); i < s.O; i += WARP) to[i] = static_cast<const uint8_t*>(s.obs)[from + i];
    else
        for (int i = lane(); i < s.O; i += WARP) to[i] = static_cast<const real*>(s.obs)[from + i];
}

void cuda_ppo_observe(UfBackend* be, real* x, const UfSteps* steps, const UfPick* pick, int first, int B) {
    const int rows = pick ? pick->B : B;
    State* s = begin_steps(be, "ppo_observe", steps, rows);
    launch(s, ppo_observe_kernel, ceil_div(static_cast<int64_t>(steps->P) * rows, WARPS), THREADS, x, *steps,
           pick ? pick->index : nullptr, pick ? static_cast<int64_t>(pick->stride) : 0, first, rows);
}

__global__ void __launch_bounds__(THREADS)
    ppo_act_kernel(UfSteps s, int t, UfPpoHeads heads, const real* noise, void* apart) {
    const int64_t i = thread_id();
    if (i >= static_cast<int64_t>(s.P) * s.N) return;
    const int p = static_cast<int>(i / s.N), n = static_cast<int>(i % s.N);
    const int64_t row = step_row(s, p, t, n);
    const real* head = heads.head + i * heads.ld;
    if (s.discrete) {
        real log_p[UF_MAX_KINDS];
        uf_log_softmax(log_p, head, s.A);
        const int kind = uf_categorical_pick(log_p, s.A, (noise[row] + 1) / 2);
        s.action[row] = static_cast<real>(kind);
        s.log_prob[row] = log_p[kind];
        if (apart) static_cast<uint8_t*>(apart)[i] = static_cast<uint8_t>(kind);
        return;
    }
    const real* log_std = heads.log_std + p * static_cast<int64_t>(heads.log_std_stride);
    real log_prob = 0;
    for (int k = 0; k < s.A; k++) {
        const int64_t at = row * s.A + k;
        UfHeadGrad unused;
        const real action = head[k] + exp(log_std[k]) * noise[at];
        s.action[at] = action;
        log_prob += uf_normal_log_prob(action, head[k], log_std[k], &unused);
        if (apart) static_cast<real*>(apart)[i * s.A + k] = action;
    }
    s.log_prob[row] = log_prob;
}

void cuda_ppo_act(UfBackend* be, const UfSteps* steps, int t, const UfPpoHeads* heads, const real* noise,
                  void* apart) {
    State* s = begin_steps(be, "ppo_act", steps, steps->N);
    launch(s, ppo_act_kernel, ceil_div(static_cast<int64_t>(steps->P) * steps->N, THREADS), THREADS, *steps,
           t, *heads, noise, apart);
}

template <typename Item>
__device__ inline void copy_items(void* to, int64_t to_row, const void* from, int64_t from_row, int count) {
    for (int i = lane(); i < count; i += WARP)
        static_cast<Item*>(to)[to_row * count + i] = static_cast<const Item*>(from)[from_row * count + i];
}

__global__ void __launch_bounds__(THREADS)
    ppo_store_kernel(UfSteps s, int t, const void* obs, const real* reward, const uint8_t* terminated,
                     const uint8_t* truncated) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * WARPS + warp();
    if (i >= static_cast<int64_t>(s.P) * s.N) return;
    const int p = static_cast<int>(i / s.N), n = static_cast<int>(i % s.N);
    const int64_t to = place_row(s, p, t + 1, n), from = obs ? i : place_row(s, p, s.T, n);
    if (s.bytes)
        copy_items<uint8_t>(s.obs, to, obs ? obs : s.obs, from, s.O);
    else
        copy_items<real>(s.obs, to, obs ? obs : s.obs, from, s.O);
    if (t < 0 || lane() != 0) return;
    const int64_t row = step_row(s, p, t, n);
    s.reward[row] = reward[i];
    s.done[row] = terminated[i] || (truncated && truncated[i]);
}

void cuda_ppo_store(UfBackend* be, const UfSteps* steps, int t, const void* obs, const real* reward,
                    const uint8_t* terminated, const uint8_t* truncated) {
    State* s = begin_steps(be, "ppo_store", steps, steps->N);
    launch(s, ppo_store_kernel, ceil_div(static_cast<int64_t>(steps->P) * steps->N, WARPS), THREADS, *steps,
           t, obs, reward, terminated, truncated);
}

// A block has a member.
__global__ void __launch_bounds__(THREADS) ppo_episodes_kernel(UfSteps s, int t, UfEpisodes e) {
    const int p = static_cast<int>(blockIdx.x);
    double sums[3] = {};  // of episodes that ended, their returns, their lengths
    for (int n = static_cast<int>(threadIdx.x); n < s.N; n += THREADS) {
        const int64_t row = step_row(s, p, t, n), i = static_cast<int64_t>(p) * s.N + n;
        const int32_t length = e.length[i];
        const double ret = e.ret[i] + static_cast<double>(s.reward[row]);
        const bool done = s.done[row];
        s.time[row] = length;
        e.length[i] = done ? 0 : length + 1;
        e.ret[i] = done ? 0 : ret;
        if (!done) continue;
        sums[0]++;
        sums[1] += ret;
        sums[2] += length + 1;
    }
    block_sums(sums);
    add_each(e.sums + 3 * static_cast<int64_t>(p), sums);
}

void cuda_ppo_episodes(UfBackend* be, const UfSteps* steps, int t, const UfEpisodes* episodes) {
    launch(begin_steps(be, "ppo_episodes", steps, steps->N), ppo_episodes_kernel, steps->P, THREADS, *steps,
           t, *episodes);
}

// ---- values ----

__global__ void __launch_bounds__(THREADS)
    ppo_values_kernel(UfSteps s, int first, const real* out, int ld, int B) {
    const int64_t i = thread_id();
    if (i >= static_cast<int64_t>(s.P) * B) return;
    s.value[i / B * (s.T + 1) * s.N + first + i % B] = out[i * ld];
}

void cuda_ppo_values(UfBackend* be, const UfSteps* steps, int first, const real* out, int ld, int B) {
    launch(begin_steps(be, "ppo_values", steps, B), ppo_values_kernel,
           ceil_div(static_cast<int64_t>(steps->P) * B, THREADS), THREADS, *steps, first, out, ld, B);
}

// A thread goes back through the steps of an environment.
__global__ void __launch_bounds__(THREADS)
    ppo_advantages_kernel(UfSteps s, bool by_time, const UfPpoHyper* hyper) {
    const int64_t i = thread_id();
    if (i >= static_cast<int64_t>(s.P) * s.N) return;
    const int p = static_cast<int>(i / s.N), n = static_cast<int>(i % s.N);
    const real gamma = hyper[p].gamma, lambda = hyper[p].gae_lambda;
    const real* __restrict__ rewards = s.reward;
    const real* __restrict__ values = s.value;
    const uint8_t* __restrict__ ends = s.done;
    const int32_t* __restrict__ times = s.time;
    real* __restrict__ advantages = s.advantage;
    real* __restrict__ targets = s.target;
    real next = 0, next_value = values[place_row(s, p, s.T, n)];
#pragma unroll 4
    for (int t = s.T - 1; t >= 0; t--) {
        const int64_t row = step_row(s, p, t, n);
        const real value = values[place_row(s, p, t, n)];
        const real discount = ends[row] ? 0 : uf_ppo_discount(gamma, by_time, by_time ? times[row] : 0);
        next = uf_gae(rewards[row], value, next_value, discount, lambda, next);
        advantages[row] = next;
        targets[row] = next + value;
        next_value = value;
    }
}

void cuda_ppo_advantages(UfBackend* be, const UfSteps* steps, bool by_time, const UfPpoHyper* hyper) {
    launch(begin_steps(be, "ppo_advantages", steps, steps->T), ppo_advantages_kernel,
           ceil_div(static_cast<int64_t>(steps->P) * steps->N, THREADS), THREADS, *steps, by_time, hyper);
}

// ---- loss ----

struct Loss {
    real *dhead, *dvalue, *dlog_std;
    UfSteps steps;
    UfPick pick;
    UfPpoHeads heads;
    const real* value;
    int value_ld, clip_value;
    bool normalise;
    const UfPpoHyper* hyper;
    double* metrics;
};

// A member's minibatch, as its block sees it.
struct Minibatch {
    const int64_t* index;
    int64_t rows, values;  // where its steps begin, T or T + 1 of them
    double mean, scale;    // of its advantages
};

__device__ inline Minibatch minibatch_of(const Loss& c, int p) {
    const UfSteps& s = c.steps;
    const int B = c.pick.B;
    const int64_t rows = step_row(s, p, 0, 0);
    Minibatch m = {c.pick.index + p * static_cast<int64_t>(c.pick.stride), rows, place_row(s, p, 0, 0), 0, 1};
    if (!c.normalise) return m;
    double sum = 0, squares = 0;
    for (int b = static_cast<int>(threadIdx.x); b < B; b += TERM_THREADS)
        sum += static_cast<double>(s.advantage[rows + m.index[b]]);
    m.mean = block_sum(sum) / B;
    for (int b = static_cast<int>(threadIdx.x); b < B; b += TERM_THREADS) {
        const double x = static_cast<double>(s.advantage[rows + m.index[b]]) - m.mean;
        squares += x * x;
    }
    m.scale = 1 / (sqrt(block_sum(squares) / B) + UF_ADVANTAGE_EPS);
    return m;
}

// Value loss of row b of member p, and its derivative.
__device__ inline real value_loss(const Loss& c, const Minibatch& m, int p, int b, real* dv) {
    return uf_ppo_value_loss(c.clip_value, c.value[(static_cast<int64_t>(p) * c.pick.B + b) * c.value_ld],
                             c.steps.value[m.values + m.index[b]], c.steps.target[m.rows + m.index[b]],
                             c.hyper[p].clip_eps, dv);
}

// Gradient of the free log-std: thread by thread the same rows as below, whose dL/d log_prob lies where dvalue will.
__device__ inline void log_std_grads(const Loss& c, const Minibatch& m, int p) {
    const int A = c.steps.A, B = c.pick.B;
    const int64_t stride = static_cast<int64_t>(c.heads.log_std_stride);
    const real* log_std = c.heads.log_std + p * stride;
    for (int i = 0; i < A; i++) {
        double sum = 0;
        for (int b = static_cast<int>(threadIdx.x); b < B; b += TERM_THREADS) {
            const int64_t row = m.rows + m.index[b], at = static_cast<int64_t>(p) * B + b;
            const real dlp = c.dvalue[at * c.value_ld];
            UfHeadGrad g;
            uf_normal_log_prob(c.steps.action[row * A + i], c.heads.head[at * c.heads.ld + i], log_std[i],
                               &g);
            c.dhead[at * c.heads.ld + i] = dlp * g.dm;
            sum += static_cast<double>(dlp * g.ds - c.hyper[p].ent_coef / static_cast<real>(B));
        }
        sum = block_sum(sum);
        if (c.dlog_std && threadIdx.x == 0) c.dlog_std[p * stride + i] = static_cast<real>(sum);
    }
}

__global__ void __launch_bounds__(TERM_THREADS) ppo_loss_kernel(Loss c) {
    const int p = static_cast<int>(blockIdx.x), A = c.steps.A, B = c.pick.B;
    const UfSteps& s = c.steps;
    const UfPpoHyper& hyper = c.hyper[p];
    const Minibatch m = minibatch_of(c, p);
    const real* log_std =
        s.discrete ? nullptr : c.heads.log_std + p * static_cast<int64_t>(c.heads.log_std_stride);
    double sums[UF_NUM_PPO_METRICS] = {};
    for (int b = static_cast<int>(threadIdx.x); b < B; b += TERM_THREADS) {
        const int64_t row = m.rows + m.index[b], at = static_cast<int64_t>(p) * B + b;
        const real* head = c.heads.head + at * c.heads.ld;
        real log_p[UF_MAX_KINDS], entropy = 0, log_prob = 0, dlp, dv;
        if (s.discrete) {
            entropy = uf_log_softmax(log_p, head, A);
            log_prob = log_p[static_cast<int>(s.action[row])];
        }
        for (int i = 0; i < A && !s.discrete; i++) {
            UfHeadGrad g;
            log_prob += uf_normal_log_prob(s.action[row * A + i], head[i], log_std[i], &g);
            entropy += uf_normal_entropy(log_std[i]);
        }
        const real log_ratio = log_prob - s.log_prob[row];
        const real advantage = static_cast<real>((static_cast<double>(s.advantage[row]) - m.mean) * m.scale);
        sums[UF_PPO_METRIC_policy_loss] +=
            static_cast<double>(uf_ppo_policy_loss(log_ratio, advantage, hyper.clip_eps, &dlp));
        sums[UF_PPO_METRIC_value_loss] += static_cast<double>(value_loss(c, m, p, b, &dv));
        sums[UF_PPO_METRIC_entropy] += static_cast<double>(entropy);
        const real ratio = exp(log_ratio);
        sums[UF_PPO_METRIC_approx_kl] += static_cast<double>(ratio - 1 - log_ratio);
        sums[UF_PPO_METRIC_clip_fraction] += ratio > 1 + hyper.clip_eps || ratio < 1 - hyper.clip_eps;
        dlp /= static_cast<real>(B);
        c.dvalue[at * c.value_ld] = s.discrete ? hyper.vf_coef * dv / static_cast<real>(B) : dlp;
        if (s.discrete)
            uf_logits_grad(c.dhead + at * c.heads.ld, log_p, A, entropy, static_cast<int>(s.action[row]), dlp,
                           -hyper.ent_coef / static_cast<real>(B));
    }
    if (!s.discrete) {
        log_std_grads(c, m, p);
        for (int b = static_cast<int>(threadIdx.x); b < B; b += TERM_THREADS) {
            real dv;
            value_loss(c, m, p, b, &dv);
            c.dvalue[(static_cast<int64_t>(p) * B + b) * c.value_ld] =
                hyper.vf_coef * dv / static_cast<real>(B);
        }
    }
    block_sums(sums + UF_PPO_METRIC_policy_loss, UF_PPO_METRIC_clip_fraction - UF_PPO_METRIC_policy_loss + 1);
    sums[UF_PPO_METRIC_loss] = sums[UF_PPO_METRIC_policy_loss] +
                               static_cast<double>(hyper.vf_coef) * sums[UF_PPO_METRIC_value_loss] -
                               static_cast<double>(hyper.ent_coef) * sums[UF_PPO_METRIC_entropy];
    for (int i = 0; i < UF_NUM_PPO_METRICS; i++) sums[i] /= B;
    add_each(c.metrics + static_cast<int64_t>(p) * UF_NUM_PPO_METRICS, sums);
}

void cuda_ppo_loss(UfBackend* be, real* dhead, real* dvalue, real* dlog_std, const UfSteps* steps,
                   UfPick pick, const UfPpoHeads* heads, const real* value, int value_ld, int clip_value,
                   bool normalise, const UfPpoHyper* hyper, double* metrics) {
    const Loss c = {dhead, dvalue,   dlog_std,   *steps,    pick,  *heads,
                    value, value_ld, clip_value, normalise, hyper, metrics};
    launch(begin_steps(be, "ppo_loss", steps, pick.B), ppo_loss_kernel, steps->P, TERM_THREADS, c);
}

// ---- optimiser ----

enum { CLIP_GROUPS = 4, CLIP_THREADS = 1024 };

struct Clip {
    UfGroup groups[CLIP_GROUPS];
    int num_groups;
    const float* max_norm;
    double* norm;
    int64_t stride;
};

// A block has a member. What a thread adds up it later scales, so nobody waits for its numbers.
__global__ void __launch_bounds__(CLIP_THREADS) clip_gradients_kernel(Clip c) {
    const int p = static_cast<int>(blockIdx.x);
    double squares = 0;
    for (int k = 0; k < c.num_groups; k++) {
        const UfGroup& g = c.groups[k];
        const int64_t count = static_cast<int64_t>(g.count), stride = g.P * count;
        float* grads = g.grads + p * count;
        for (int64_t i = threadIdx.x; i < count; i += CLIP_THREADS) {
            float sum = grads[i];
            for (int block = 1; block < g.num_blocks; block++) sum += grads[block * stride + i];
            if (g.num_blocks > 1) grads[i] = sum;
            squares += static_cast<double>(sum) * static_cast<double>(sum);
        }
    }
    const double norm = sqrt(block_sum(squares));
    const float factor = uf_clip_factor(static_cast<float>(norm), c.max_norm[p]);
    if (threadIdx.x == 0 && c.norm) c.norm[p * c.stride] += norm;
    if (factor == 1) return;
    for (int k = 0; k < c.num_groups; k++) {
        const int64_t count = static_cast<int64_t>(c.groups[k].count);
        float* grads = c.groups[k].grads + p * count;
        for (int64_t i = threadIdx.x; i < count; i += CLIP_THREADS) grads[i] *= factor;
    }
}

void cuda_clip_gradients(UfBackend* be, const UfGroup* groups, int num_groups, const float* max_norm,
                         double* norm, size_t stride) {
    State* s = begin(be, "clip_gradients", groups->P, num_groups, groups->num_blocks,
                     static_cast<int>(groups->count));
    if (num_groups > CLIP_GROUPS)
        return fail(s, UF_ERR_UNSUPPORTED, "groups of parameters: at most %d on a device", int{CLIP_GROUPS});
    Clip c = {{}, num_groups, max_norm, norm, static_cast<int64_t>(stride)};
    for (int k = 0; k < num_groups; k++) c.groups[k] = groups[k];
    launch(s, clip_gradients_kernel, groups->P, CLIP_THREADS, c);
}

// ---- order ----

struct Order {
    const uint64_t* seeds;
    int64_t* index;
    int n, chunks, stream;
    UfCount update;
    const int64_t* replays;
};

// A block has THREADS places of a member's order, whose keys its threads share.
__global__ void __launch_bounds__(THREADS) random_order_kernel(Order c) {
    __shared__ UfShuffle keys;
    const int member = static_cast<int>(blockIdx.x) / c.chunks,
              i = static_cast<int>(blockIdx.x) % c.chunks * THREADS + static_cast<int>(threadIdx.x);
    if (threadIdx.x == 0)
        keys = uf_shuffle(c.seeds[member], static_cast<uint32_t>(c.stream),
                          static_cast<uint64_t>(count_now(c.update, c.replays)), static_cast<uint32_t>(c.n));
    __syncthreads();
    if (i < c.n)
        c.index[static_cast<int64_t>(member) * c.n + i] = uf_shuffled(&keys, static_cast<uint32_t>(i));
}

void cuda_random_order(UfBackend* be, int64_t* index, int P, int n, const uint64_t* seeds, int stream,
                       UfCount update) {
    State* s = begin(be, "random_order", P, 1, n, 0);
    const Order c = {seeds,
                     index,
                     n,
                     static_cast<int>(ceil_div(n, THREADS)),
                     stream,
                     update,
                     s->recording ? s->replays : nullptr};
    launch(s, random_order_kernel, static_cast<int64_t>(P) * c.chunks, THREADS, c);
}

}  // namespace

void add_ppo(UfBackend* be) {
    be->ppo_observe = cuda_ppo_observe;
    be->ppo_act = cuda_ppo_act;
    be->ppo_store = cuda_ppo_store;
    be->ppo_episodes = cuda_ppo_episodes;
    be->ppo_values = cuda_ppo_values;
    be->ppo_advantages = cuda_ppo_advantages;
    be->ppo_loss = cuda_ppo_loss;
    be->clip_gradients = cuda_clip_gradients;
    be->random_order = cuda_random_order;
}

}  // namespace uf_cuda
