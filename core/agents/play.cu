// play.cu: episodes of the built-in environments on a CUDA device, policy and environment in one kernel.
//
// A block takes a few rows through `num_steps` steps: its threads go through the layers together, activations in shared
// memory and weights from the L2 cache, then one thread a row steps the environment. Nothing waits for the host in
// between. A warp makes 8 columns of a layer at a time, its 4 quarters each a quarter of the sum, so that an episode
// depends neither on the rows beside it nor on how many a block takes. All in fp32: what is evaluated is the policy.
#include "kernels.cuh"

#include <cmath>

namespace {

enum { COLUMNS = 8, PARTS = UF_WARP / COLUMNS };  // of a warp
enum { FEW = 1, MANY = 8 };                       // rows of a block
enum { MOST_WARPS = 32 };

// What a block's threads share. Activations lie row beside row: (width, rows).
struct Shared {
    float (*h)[UF_PLAY_MAX_WIDTH];  // two layers' in turn
    float* x;                       // the input
    int* going;                     // rows with an episode to play
};

// out (width, ROWS) = activation(w' in + bias)
template <int ROWS>
__device__ inline void layer(float* out, const float* in, const float* w, const float* bias, int num_in,
                             int width, int activation) {
    const int part = lane() / COLUMNS, step = static_cast<int>(blockDim.x) / UF_WARP * COLUMNS;
    for (int first = warp() * COLUMNS; first < width; first += step) {
        const int j = first + lane() % COLUMNS;
        const float* column = w + (j < width ? j : 0);
        float sum[ROWS] = {};
#pragma unroll 8
        for (int k = part; k < num_in; k += PARTS) {
            const float weight = column[static_cast<int64_t>(k) * width];
            for (int r = 0; r < ROWS; r++) sum[r] = fmaf(in[k * ROWS + r], weight, sum[r]);
        }
        for (int r = 0; r < ROWS; r++) {
            sum[r] += __shfl_xor_sync(0xffffffffu, sum[r], COLUMNS);
            sum[r] += __shfl_xor_sync(0xffffffffu, sum[r], 2 * COLUMNS);
            const float z = sum[r] + (j < width ? bias[j] : 0);
            if (part == 0 && j < width)
                out[j * ROWS + r] = activation == UF_TANH ? uf_tanh(z)
                                    : z <= 0              ? 0
                                                          : z;  // written so that NaN stays NaN
        }
    }
}

// A warp's row.
template <int ROWS>
__device__ inline void layer_norm(float* h, const float* scale, const float* shift, int width) {
    float sum = 0, squares = 0;
    for (int j = lane(); j < width; j += UF_WARP) sum += h[j * ROWS + warp()];
    const float mean = warp_sum(sum) / width;
    for (int j = lane(); j < width; j += UF_WARP) {
        const float d = h[j * ROWS + warp()] - mean;
        squares = fmaf(d, d, squares);
    }
    const float inv_std = 1 / sqrtf(warp_sum(squares) / width + static_cast<float>(UF_LAYER_NORM_EPS));
    for (int j = lane(); j < width; j += UF_WARP)
        h[j * ROWS + warp()] = (h[j * ROWS + warp()] - mean) * inv_std * scale[j] + shift[j];
}

// Begins the episode where it has not begun, and gives the policy its input.
template <int ROWS>
__device__ inline void look(const UfPlay& c, int p, UfPlayRow* row, int64_t episode, float* x, int num_in) {
    float obs[UF_RULE_MAX_OBS];
    if (row->steps == 0) uf_rule_reset(&c.rule, row->state, c.seeds[p], static_cast<uint64_t>(episode));
    uf_rule_observe(&c.rule, row->state, obs);
    for (int i = 0; i < num_in; i++)
        x[i * ROWS + warp()] =
            c.mean ? (obs[i] - c.mean[i]) / (c.std[i] + static_cast<float>(UF_OBS_STD_EPS)) : obs[i];
}

__device__ inline void act(const UfPlay& c, int p, UfPlayRow* row, int64_t episode, const float* head) {
    const UfHeads& heads = c.heads;
    const UfHyper* h = &heads.hyper[p];
    float action[UF_RULE_MAX_ACTIONS], noise[UF_RULE_MAX_ACTIONS] = {};
    double reward;
    bool terminated, bad = false;
    for (int i = 0; i < heads.A && !c.deterministic; i++)
        noise[i] = uf_random_normal_at(c.seeds[p], UF_STREAM_EVAL_ACTION, static_cast<uint64_t>(episode),
                                       static_cast<uint64_t>(row->steps) * heads.A + i);
    if (heads.kind == UF_POLICY_CATEGORICAL)
        uf_categorical_action(action, head, c.deterministic ? nullptr : noise, heads.A);
    for (int i = 0; i < heads.A; i++) {
        const float raw = heads.log_std       ? heads.log_std[p * heads.log_std_stride + i]
                          : heads.H > heads.A ? head[heads.A + i]
                                              : 0;
        if (heads.kind != UF_POLICY_CATEGORICAL)
            action[i] =
                uf_policy_sample(heads.kind, head[i], uf_clip(raw, h->log_std_min, h->log_std_max), noise[i])
                    .action;
        if (uf_is_finite(action[i])) continue;
        action[i] = 0;
        bad = true;
    }
    const UfEnvRule* rule = &c.rule;
    const int64_t at = p * c.num_episodes + episode;
    uf_action_in_env(rule->discrete, rule->action_dim, rule->action_low, rule->action_high, action, action);
    uf_rule_step(rule, row->state, row->steps, action, &reward, &terminated);
    row->num_nonfinite += bad;
    c.returns[at] += reward;
    c.lengths[at]++;
    if (++row->steps < rule->max_steps && !terminated) return;
    row->steps = 0;
    row->finished++;
}

template <int ROWS>
__device__ inline void play_rows(const UfPlay& c, const UfMlp& mlp, int blocks_each, int num_steps,
                                 Shared s) {
    const int p = static_cast<int>(blockIdx.x) / blocks_each, L = mlp.layers, width = mlp.width,
              r = static_cast<int>(blockIdx.x) % blocks_each * ROWS + warp();
    const bool is_row = warp() < ROWS && r < c.R, drives = is_row && lane() == 0;
    const float* w = c.nets.params + static_cast<int64_t>(p) * c.nets.N * static_cast<int64_t>(mlp.size);
    UfPlayRow row = {};
    if (drives) row = c.rows[static_cast<int64_t>(p) * c.R + r];
    for (int e = static_cast<int>(threadIdx.x); e < mlp.in * ROWS; e += static_cast<int>(blockDim.x))
        s.x[e] = 0;
    for (int step = 0; step < num_steps; step++) {
        const int64_t episode = r + row.finished * c.R;
        __syncthreads();  // what is written below has been read
        if (lane() == 0 && warp() < ROWS) {
            const bool going = drives && episode < c.num_episodes;
            s.going[warp()] = going;
            if (going) look<ROWS>(c, p, &row, episode, s.x, mlp.in);
        }
        __syncthreads();
        bool any = false;
        for (int i = 0; i < ROWS; i++) any = any || s.going[i];
        if (!any) break;
        const float* in = s.x;
        for (int l = 0; l < L; l++) {
            float* out = s.h[l % 2];
            layer<ROWS>(out, in, w + mlp.kernel[l], w + mlp.bias[l], l ? width : mlp.in, width,
                        mlp.activation);
            __syncthreads();
            if (mlp.layer_norm) {
                if (warp() < ROWS) layer_norm<ROWS>(out, w + mlp.scale[l], w + mlp.shift[l], width);
                __syncthreads();
            }
            in = out;
        }
        if (warp() >= ROWS || !s.going[warp()]) continue;
        float head[2 * UF_RULE_MAX_ACTIONS];
        for (int o = 0; o < mlp.out; o++) {
            float sum = 0;
            for (int k = lane(); k < width; k += UF_WARP)
                sum = fmaf(in[k * ROWS + warp()], w[mlp.kernel[L] + static_cast<int64_t>(k) * mlp.out + o],
                           sum);
            head[o] = warp_sum(sum) + w[mlp.bias[L] + o];
        }
        if (drives) act(c, p, &row, episode, head);
    }
    if (drives) c.rows[static_cast<int64_t>(p) * c.R + r] = row;
}

// c.nets.mlp is the host's; mlp is what it points to.
__global__ void __launch_bounds__(MOST_WARPS* UF_WARP)
    play_few_kernel(UfPlay c, UfMlp mlp, int blocks_each, int num_steps) {
    __shared__ float h[2][UF_PLAY_MAX_WIDTH], x[FEW * UF_RULE_MAX_OBS];
    __shared__ int going[FEW];
    play_rows<FEW>(c, mlp, blocks_each, num_steps, Shared{h, x, going});
}

__global__ void __launch_bounds__(MOST_WARPS* UF_WARP)
    play_many_kernel(UfPlay c, UfMlp mlp, int blocks_each, int num_steps) {
    __shared__ float h[2][UF_PLAY_MAX_WIDTH], x[MANY * UF_RULE_MAX_OBS];
    __shared__ int going[MANY];
    play_rows<MANY>(c, mlp, blocks_each, num_steps, Shared{h, x, going});
}

}  // namespace

// Few rows take a block each, which is the shortest way through the layers; more share the weights that a block reads.
void uf_cuda_play(UfBackend* be, const UfPlay* play, int num_steps) {
    const UfMlp* mlp = play->nets.mlp;
    const int P = play->nets.P;
    const bool many = MANY * mlp->width <= UF_PLAY_MAX_WIDTH &&
                      static_cast<int64_t>(P) * play->R > 2 * uf_cuda::state_of(be)->num_sms;
    const int rows = many ? MANY : FEW, blocks_each = (play->R + rows - 1) / rows;
    int warps = (mlp->width + COLUMNS - 1) / COLUMNS;
    warps = warps < rows ? rows : warps > MOST_WARPS ? static_cast<int>(MOST_WARPS) : warps;
    uf_cuda::launch(uf_cuda::begin(be, "play", P, 1, play->R, mlp->width),
                    many ? play_many_kernel : play_few_kernel, static_cast<int64_t>(P) * blocks_each,
                    warps * UF_WARP, *play, *mlp, blocks_each, num_steps);
}
