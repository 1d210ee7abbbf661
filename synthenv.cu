// synthenv.cu: steps of synthetic environments on a CUDA device: all that one does is one kernel. synthenv.c is the
// specification, core/synth/synth_rules.h what both do.
//
// A team of threads has a row: a warp, or where networks are large a block. Activations lie in shared memory; of a layer a
// thread makes an output, its kernel read in the order of memory, and where there are fewer outputs than threads several
// share an output's inputs. How large a team is and which thread sums what follow from the networks' sizes, so that a row
// has the same bits whatever is beside it. A one-hot input is a row of the kernel.
//
// Each row counts its own draws, so that nothing of a step comes from the host: what was recorded is repeated.
//
// Rooms: layers, episodes, launching.
#include "kernels.cuh"

#include "core/synth/synth_rules.h"

using namespace uf_cuda;

namespace {

enum { BLOCK = 128, LARGE_BLOCK = 256, MOST_SHARED = 46 << 10 };  // without asking for more there are 48 KB
enum { LARGE = 8192 };  // weights of a layer: more of them want a block

// One layer in its member's parameters.
struct Dense {
    int64_t kernel, bias;
    int width, shift;  // 2^shift outputs are made at once
};

struct Call {
    int64_t rows, stride;
    int N, O, A, L, H, x, each;  // x: room for a row of inputs; each: numbers of a team
    bool discrete, bandit;
    int latent, max_steps;
    float low, high;
    Dense nets[UF_SYNTH_NETS][2];
    const float* params;
    const uint64_t* seeds;
    uint64_t* draws;
    int32_t* steps;
    float* state;  // (rows, O)
    // what goes in and out
    const void* action;
    float *obs, *reward;
    uint8_t *terminated, *truncated;
};

// What a team's threads see. T of them.
template <int T>
struct Team {
    int thread, copy;  // copy: of its member's, the row's place
    int64_t row, member;
    const float* params;  // the member's
    // in shared memory
    float *x, *hidden;     // inputs; (H)
    float *next, *scalar;  // (O) outputs; one
    float* parts;          // (T) of sums, of a block

    __device__ Team(const Call& c) {
        const int team = static_cast<int>(threadIdx.x) / T;
        thread = static_cast<int>(threadIdx.x) % T;
        row = static_cast<int64_t>(blockIdx.x) * (static_cast<int>(blockDim.x) / T) + team;
        member = row / c.N;
        copy = static_cast<int>(row - member * c.N);
        params = c.params + member * c.stride;
        x = uf_shared_memory() + team * c.each;
        hidden = x + c.x;
        next = hidden + c.H;
        scalar = next + c.O;
        parts = scalar + 1;
    }
    __device__ static void sync() {
        if (T == WARP)
            __syncwarp();
        else
            __syncthreads();
    }
};

// ---- layers ----

enum { NONE = -1 };

// out (width) = activation(x (in) kernel + row `more` of the kernel + bias). Ends with a barrier.   more may be NONE
template <int T>
__device__ void layer(const Team<T>& t, const Dense& d, float* out, const float* x, int in, int more,
                      bool hidden) {
    const float *w = t.params + d.kernel, *bias = t.params + d.bias;
    const int columns = 1 << d.shift, column = t.thread & (columns - 1), share = t.thread >> d.shift,
              shares = T >> d.shift;
    // Once, unless there are more outputs than threads.
    for (int first = 0; first < d.width; first += columns) {
        const int j = first + column;
        float sum = 0;
        if (j < d.width) {
#pragma unroll 8
            for (int i = share; i < in; i += shares)
                sum = fmaf(x[i], w[static_cast<int64_t>(i) * d.width + j], sum);
        }
        for (int apart = columns; apart < WARP; apart *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, apart);
        if (T > WARP && columns < T) {
            const int apart = columns < WARP ? static_cast<int>(WARP) : columns;
            t.parts[t.thread] = sum;
            t.sync();
            for (int k = t.thread + apart; share == 0 && k < T; k += apart) sum += t.parts[k];
        }
        if (share || j >= d.width) continue;
        if (more != NONE) sum += w[static_cast<int64_t>(more) * d.width + j];
        sum += bias[j];
        out[j] = hidden ? activate<UF_RELU>(sum) : sum;
    }
    t.sync();
}

template <int T>
__device__ void network(const Call& c, const Team<T>& t, int net, float* out, const float* x, int in,
                        int more) {
    layer(t, c.nets[net][0], t.hidden, x, in, more, true);
    layer(t, c.nets[net][1], out, t.hidden, c.H, NONE, false);
}

// ---- episodes ----

// The first observation of an episode into t.next, from draw number `draw`.
template <int T>
__device__ void begin_episode(const Call& c, const Team<T>& t, uint64_t draw) {
    const uint64_t seed = c.seeds[t.member],
                   block = uf_synth_first_block(c.latent, c.L, static_cast<uint64_t>(t.copy));
    if (uf_synth_is_one_hot(c.latent)) {
        const int place = uf_synth_one_hot(c.latent, c.L, uf_synth_words(seed, draw, block));
        network(c, t, UF_SYNTH_INITIAL_STATE, t.next, t.x, 0, place);
        return;
    }
    for (int b = t.thread; 4 * b < c.L; b += T) {
        const UfPhilox w = uf_synth_words(seed, draw, block + static_cast<uint64_t>(b));
        float z[4];
        if (c.latent == SE_NORMAL) {
            uf_normal_pair(w.v[0], w.v[1], z);
            uf_normal_pair(w.v[2], w.v[3], z + 2);
        } else {
            for (int k = 0; k < 4; k++) z[k] = uf_uniform(w.v[k]);
        }
        for (int k = 0; k < 4 && 4 * b + k < c.L; k++) t.x[4 * b + k] = z[k];
    }
    t.sync();
    network(c, t, UF_SYNTH_INITIAL_STATE, t.next, t.x, c.L, NONE);
}

// What the row shows and knows from here on.
template <int T>
__device__ void finish(const Call& c, const Team<T>& t, uint64_t draws, int steps) {
    const int64_t at = t.row * c.O;
    for (int i = t.thread; i < c.O; i += T) c.state[at + i] = c.obs[at + i] = t.next[i];
    if (t.thread) return;
    c.draws[t.row] = draws;
    c.steps[t.row] = steps;
}

template <int T>
__global__ void __launch_bounds__(T > WARP ? T : BLOCK) reset_kernel(const __grid_constant__ Call c) {
    const Team<T> t(c);
    if (t.row >= c.rows) return;
    begin_episode(c, t, 0);
    finish(c, t, 1, 0);
}

template <int T>
__global__ void __launch_bounds__(T > WARP ? T : BLOCK) step_kernel(const __grid_constant__ Call c) {
    const Team<T> t(c);
    if (t.row >= c.rows) return;
    const uint64_t draw = c.draws[t.row];
    const int steps = c.steps[t.row];
    int in = c.O, kind = NONE;
    for (int i = t.thread; i < c.O; i += T) t.x[i] = c.state[t.row * c.O + i];
    if (c.discrete) {
        const int asked = static_cast<const uint8_t*>(c.action)[t.row];
        kind = c.O + (asked < c.A ? asked : c.A - 1);
    } else {
        const float* action = static_cast<const float*>(c.action) + t.row * c.A;
        for (int i = t.thread; i < c.A; i += T) t.x[c.O + i] = uf_clip(action[i], c.low, c.high);
        in += c.A;
    }
    t.sync();

    network(c, t, UF_SYNTH_REWARD, t.scalar, t.x, in, kind);
    if (t.thread == 0) c.reward[t.row] = *t.scalar;
    bool ended = true, last = false;
    if (!c.bandit) {
        network(c, t, UF_SYNTH_NEXT_STATE_DELTA, t.next, t.x, in, kind);
        for (int i = t.thread; i < c.O; i += T) t.next[i] += t.x[i];
        t.sync();
        network(c, t, UF_SYNTH_DONE, t.scalar, t.next, c.O, NONE);
        ended = *t.scalar > 0;
        last = uf_synth_is_last(steps, c.max_steps);
    }
    if (ended || last) begin_episode(c, t, draw);
    finish(c, t, draw + 1, ended || last ? 0 : steps + 1);
    if (t.thread) return;
    c.terminated[t.row] = ended;
    c.truncated[t.row] = last;
}

// ---- launching ----

bool is_large(const UfSynths* s) {
    for (int n = 0; n < (s->bandit ? UF_SYNTH_NEXT_STATE_DELTA : UF_SYNTH_NETS); n++)
        if ((s->nets[n].in > s->nets[n].out ? s->nets[n].in : s->nets[n].out) * s->nets[n].width > LARGE)
            return true;
    return false;
}

Dense dense_of(const UfMlp* mlp, int64_t params, int l, int threads) {
    const int width = l ? mlp->out : mlp->width;
    int shift = 0;
    while (1 << shift < width && 1 << shift < threads) shift++;
    return Dense{params + static_cast<int64_t>(mlp->kernel[l]), params + static_cast<int64_t>(mlp->bias[l]),
                 width, shift};
}

Call call_of(const UfSynths* s, int threads) {
    Call c = {};
    c.rows = static_cast<int64_t>(s->P) * s->N;
    c.stride = static_cast<int64_t>(s->stride);
    c.N = s->N;
    c.O = s->O;
    c.A = s->A;
    c.L = s->L;
    c.H = s->nets->width;
    c.discrete = s->discrete;
    c.bandit = s->bandit;
    c.latent = s->latent;
    c.max_steps = s->max_steps;
    c.low = s->low;
    c.high = s->high;
    c.params = s->params;
    c.seeds = s->seeds;
    c.draws = s->draws;
    c.steps = s->steps;
    c.state = s->obs;
    int64_t params = 0;
    for (int n = 0; n < (s->bandit ? UF_SYNTH_NEXT_STATE_DELTA : UF_SYNTH_NETS); n++) {
        for (int l = 0; l < 2; l++) c.nets[n][l] = dense_of(&s->nets[n], params, l, threads);
        params += static_cast<int64_t>(s->nets[n].size);
    }
    const int in = s->O + (s->discrete ? 0 : s->A);
    c.x = in > s->L ? in : s->L;
    const int each = c.x + c.H + c.O + 1 + (threads > WARP ? threads : 0);
    c.each = (each + 3) / 4 * 4;  // shared memory comes by float4
    return c;
}

void launch_rows(State* s, void (*kernel)(Call), const Call& c, int threads) {
    const size_t bytes = static_cast<size_t>(c.each) * sizeof(float);
    int teams = threads > WARP ? 1 : BLOCK / WARP;
    while (teams > 1 && static_cast<size_t>(teams) * bytes > MOST_SHARED) teams /= 2;
    launch_shared(s, kernel, ceil_div(c.rows, teams), teams * threads, static_cast<size_t>(teams) * bytes, c);
}

State* open(UfBackend* be, const char* op, const UfSynths* s) {
    return begin(be, op, s->P, 1, s->N, s->nets->width);
}

}  // namespace

void uf_cuda_synth_reset(UfBackend* be, const UfSynths* envs, float* obs) {
    const bool large = is_large(envs);
    const int threads = large ? LARGE_BLOCK : static_cast<int>(WARP);
    Call c = call_of(envs, threads);
    c.obs = obs;
    launch_rows(open(be, "synth_reset", envs), large ? reset_kernel<LARGE_BLOCK> : reset_kernel<WARP>, c,
                threads);
}

void uf_cuda_synth_step(UfBackend* be, const UfSynths* envs, const void* action, float* obs, float* reward,
                        uint8_t* terminated, uint8_t* truncated) {
    const bool large = is_large(envs);
    const int threads = large ? LARGE_BLOCK : static_cast<int>(WARP);
    Call c = call_of(envs, threads);
    c.action = action;
    c.obs = obs;
    c.reward = reward;
    c.terminated = terminated;
    c.truncated = truncated;
    launch_rows(open(be, "synth_step", envs), large ? step_kernel<LARGE_BLOCK> : step_kernel<WARP>, c,
                threads);
}
