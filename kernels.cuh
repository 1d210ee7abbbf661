// kernels.cuh: what the .cu files share: state and launching, rows and parameters as kernels see them, column sums.
#ifndef UF_KERNELS_CUH
#define UF_KERNELS_CUH

#include "core/cuda.h"
#include "kernels.h"
#include "kernels_mma.cuh"

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <cstdarg>
#include <cstdio>

static_assert(sizeof(real) == sizeof(float), "the device computes in float");

namespace uf_cuda {

enum { WARP = UF_WARP, THREADS = 256, WARPS = THREADS / WARP };
enum { TERM_THREADS = 512 };  // of a block that has a member's terms
enum { ROWS = 16 };           // of a chunk; uf_block_rows is a multiple of it

// ---- state ----

typedef cublasStatus_t GemmStridedBatched(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int,
                                          const void*, const void*, cudaDataType, int, long long, const void*,
                                          cudaDataType, int, long long, const void*, void*, cudaDataType, int,
                                          long long, int, cublasComputeType_t, cublasGemmAlgo_t);

// cuBLAS, found when a precision needs it.
struct Blas {
    void* library;
    cublasHandle_t handles[UF_NUM_BRANCHES];  // Nullable: the first
    void* workspaces[UF_NUM_BRANCHES];        // its own would be allocated in the middle of an update
    cublasComputeType_t compute;
    decltype(&cublasCreate_v2) create;
    decltype(&cublasDestroy_v2) destroy;
    decltype(&cublasSetStream_v2) set_stream;
    decltype(&cublasSetWorkspace_v2) set_workspace;
    GemmStridedBatched* gemm;
};

enum Precision { FP32, TF32, BF16 };

// How passes over networks are made: by a rule of their shape, or as who measures wants it.
enum Passes {
    PASSES_BY_SHAPE,
    PASSES_BY_LAYER,
    PASSES_OF_WARPGROUPS,
    PASSES_OF_2_WARPGROUPS,
    PASSES_OF_16 = 16,
    PASSES_OF_32 = 32,
    PASSES_OF_64 = 64
};

// Kernels of networks at `params` in bf16 as passes of kernels_hopper.cu read them, which adam_polyak and `upload` keep
// the same as the parameters.
struct PackedNets {
    const float* params;
    UfMlp mlp;
    size_t networks;
    unsigned char* at;
    bool stale;  // parameters came from the host since
};
enum { MOST_PACKED = 16 };

// The op under way: what a failure names.
struct Where {
    const char* op;
    int P, N, rows, width;
};

struct State {
    cudaStream_t streams[UF_NUM_BRANCHES];
    cudaEvent_t events[UF_NUM_BRANCHES];  // how far a branch is
    int branch;                           // that ops are given to
    char device[128];
    int num_sms;
    bool has_wgmma;
    PackedNets packed[MOST_PACKED];
    int num_packed;
    Precision precision;
    Passes passes;
    Blas blas;
    cudaGraphExec_t graph;  // of a recorded update.   Nullable
    bool recording;
    int64_t* replays;      // of it, on the device
    int64_t num_recorded;  // kernels in it
    UfCudaClock* clock;    // of launches.   Nullable
    float* scratch;        // (UF_NUM_BRANCHES, scratch_count)
    size_t scratch_count;  // a multiple of 64
    float* clone_scratch;  // of all blocks of the one op that needs it
    size_t clone_scratch_count;
    Where where;
    UfStatus failed;
    char sentence[400];
};

inline State* state_of(UfBackend* be) { return static_cast<State*>(be->state); }

// Scratch (copies, *count) that holds at least `needed` numbers a copy.
UfStatus reserve_scratch(State* s, float** scratch, size_t* count, size_t copies, size_t needed,
                         const char* what);

// Keeps the first failure.
__attribute__((format(printf, 3, 4))) inline void fail(State* s, UfStatus code, const char* format, ...) {
    if (s->failed != UF_OK) return;
    s->failed = code;
    const Where* w = &s->where;
    int length = 0;
    if (w->op)
        length = snprintf(s->sentence, sizeof s->sentence,
                          "%s (population %d, networks %d, rows %d, width %d): ", w->op, w->P, w->N, w->rows,
                          w->width);
    va_list args;
    va_start(args, format);
    vsnprintf(s->sentence + length, sizeof s->sentence - static_cast<size_t>(length), format, args);
    va_end(args);
}

inline void check(State* s, cudaError_t error) {
    if (error != cudaSuccess)
        fail(s, error == cudaErrorMemoryAllocation ? UF_ERR_MEMORY : UF_ERR_DEVICE, "%s",
             cudaGetErrorString(error));
}

// ---- launching ----

inline State* begin(UfBackend* be, const char* op, int P, int N, int rows, int width) {
    State* s = state_of(be);
    s->where = Where{op, P, N, rows, width};
    return s;
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// One-dimensional grids alone: the others end at 65535. shared_bytes: what the kernel asks of uf_shared_memory.
template <typename... Params, typename... Args>
void launch_shared(State* s, void (*kernel)(Params...), int64_t blocks, int threads, size_t shared_bytes,
                   Args... args) {
    if (s->failed != UF_OK || blocks < 1) return;
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(static_cast<unsigned>(blocks));
    config.blockDim = dim3(static_cast<unsigned>(threads));
    config.dynamicSmemBytes = shared_bytes;
    config.stream = s->streams[s->branch];
    uf_cuda_clock_before(s->clock, config.stream);
    check(s, cudaLaunchKernelEx(&config, kernel, Params(args)...));
    uf_cuda_clock_after(s->clock, config.stream);
}

template <typename... Params, typename... Args>
void launch(State* s, void (*kernel)(Params...), int64_t blocks, int threads, Args... args) {
    launch_shared(s, kernel, blocks, threads, 0, args...);
}

// Places in the branch's scratch, each on a multiple of 256 bytes.
struct Scratch {
    State* state;
    size_t used;

    float* take(size_t count) {
        float* at = state->scratch + (static_cast<size_t>(state->branch) * state->scratch_count + used);
        used += (count + 63) / 64 * 64;
        return at;
    }
    // False, and a failure that sticks, where `plan` did not ask for as much.
    bool fits() {
        if (used <= state->scratch_count) return true;
        fail(state, UF_ERR_DEVICE, "needs %zu bytes of scratch, %zu were planned", used * sizeof(float),
             state->scratch_count * sizeof(float));
        return false;
    }
};

// ---- sums ----

// Each of these over the threads of a block, in an order that depends on its size alone; every thread has them. Together
// they take little longer than one.
enum { MOST_SUMS = 8 };
static __device__ inline void block_sums(double* x, int count) {
    __shared__ double parts[MOST_SUMS][WARP];
#pragma unroll
    for (int i = 0; i < MOST_SUMS; i++)
        if (i < count) x[i] = warp_sum(x[i]);
    __syncthreads();  // the parts of the sums before may still be read
#pragma unroll
    for (int i = 0; i < MOST_SUMS; i++)
        if (i < count && lane() == 0) parts[i][warp()] = x[i];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < MOST_SUMS; i++) {
        if (i >= count) continue;
        x[i] = 0;
        for (int w = 0; w < static_cast<int>(blockDim.x) / WARP; w++) x[i] += parts[i][w];
    }
}
template <int N>
__device__ inline void block_sums(double (&x)[N]) {
    static_assert(N <= MOST_SUMS, "room for the parts");
    block_sums(x, N);
}
static __device__ inline double block_sum(double x) {
    block_sums(&x, 1);
    return x;
}

// at[i] += x[i], which every thread of the block has: a thread for each, as the next would wait for the one before.
template <int N>
__device__ inline void add_each(double* at, const double (&x)[N]) {
    static_assert(N <= WARP, "blocks are whole warps");
    double own = x[0];
#pragma unroll
    for (int i = 1; i < N; i++)
        if (static_cast<int>(threadIdx.x) == i) own = x[i];
    if (threadIdx.x < N) at[threadIdx.x] += own;
}

// What a UfCount has come to. replays null: the op is not recorded.
__device__ inline int64_t count_now(UfCount count, const int64_t* replays) {
    return count.now + (replays ? count.each * *replays : 0);
}

__device__ inline int64_t thread_id() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }

// ---- rows and parameters ----

// Rows of each network of a pass: row b of network g at at + (g * stride + b * width).
struct Rows {
    float* at;
    int64_t stride;
};

// Parameters of a pass: network (p, n) at at + p * member + n * network.
struct Parameters {
    const float* at;
    int64_t member, network;
    int N;

    __device__ const float* of(int g) const { return at + (g / N * member + g % N * network); }
};

// What one network's block holds, for kernels.
struct Layer {
    int64_t bias, scale, shift;
    bool layer_norm;
};

inline Parameters params_of(const UfNets* nets) {
    const int64_t size = static_cast<int64_t>(nets->mlp->size);
    return Parameters{nets->params, nets->shared ? 0 : size * nets->N, size, nets->used};
}

inline Layer layer_of(const UfMlp* mlp, int l) {
    return Layer{static_cast<int64_t>(mlp->bias[l]), static_cast<int64_t>(mlp->scale[l]),
                 static_cast<int64_t>(mlp->shift[l]), mlp->layer_norm};
}

// A tape's rows of a pass that begins at `first` of `total`, `item` numbers each.
inline Rows tape_rows(float* at, int first, int total, int item) {
    return Rows{at ? at + static_cast<int64_t>(first) * item : nullptr, static_cast<int64_t>(total) * item};
}

// A tile of rows of one network, as its block sees it.
struct Place {
    int g, first, count;
};

__device__ inline Place place_of(int rows, int tile_rows) {
    const int tiles = (rows + tile_rows - 1) / tile_rows;
    Place p;
    p.g = static_cast<int>(blockIdx.x) / tiles;
    p.first = static_cast<int>(blockIdx.x) % tiles * tile_rows;
    p.count = rows - p.first < tile_rows ? rows - p.first : tile_rows;
    return p;
}

// ---- hidden units ----

template <int ACTIVATION>
__device__ inline float activate(float z) {
    if (ACTIVATION == UF_TANH) return uf_tanh(z);
    return z <= 0 ? 0 : z;  // written so that NaN stays NaN
}

// dL/dz of a unit that came out as r, from dL/dr.
template <int ACTIVATION>
__device__ inline float activation_grad(float r, float dr) {
    if (ACTIVATION == UF_TANH) return dr * (1 - r * r);
    return r > 0 ? dr : 0;
}

// A number that is known while compiling, as an argument.
template <int N>
struct Constant {
    static constexpr int value = N;
};

// Calls f with the activation of a network's hidden units.
template <typename F>
void with_activation(const UfMlp* mlp, F f) {
    if (mlp->activation == UF_TANH)
        f(Constant<UF_TANH>());
    else
        f(Constant<UF_RELU>());
}

// ---- column sums ----

// Column sums of a chunk: for each layer bias, scale and shift (3 * width numbers), then the output layer's kernel
// where it has one output (width), then its bias.
struct Sums {
    float* at;  // (G, chunks, record).   Nullable
    int chunks, record, layers, width, out;

    __device__ float* of(int g, int chunk) const {
        return at + (static_cast<int64_t>(g) * chunks + chunk) * record;
    }
};

inline int sums_record(const UfMlp* mlp) { return mlp->width * (3 * mlp->layers + 1) + mlp->out; }

inline Sums sums_of(const UfMlp* mlp, float* at, int total) {
    return Sums{at,      static_cast<int>(ceil_div(total, ROWS)), sums_record(mlp), mlp->layers, mlp->width,
                mlp->out};
}

// Where the numbers of a record go in a gradient.
struct SumsTo {
    float* grads;                           // (blocks, P, N, size)
    int64_t offset[3 * UF_MAX_LAYERS + 2];  // of each column sum; negative: nowhere
    int64_t member, network, block;
    int chunks_each, blocks, used;
};

// Adds a block's chunks in order: number i of (G, blocks, record). Loads of AT_ONCE chunks are under way together.
__device__ inline void sum_chunks_at(const Sums& sums, const SumsTo& to, int64_t i) {
    enum { AT_ONCE = 8 };
    const int e = static_cast<int>(i % sums.record), z = static_cast<int>(i / sums.record);
    const int block = z % to.blocks, g = z / to.blocks;
    const int kind = e / sums.width, last = 3 * sums.layers + 1;
    const int q = kind < last ? kind : last, j = e - q * sums.width;
    if (to.offset[q] < 0) return;
    const int first = block * to.chunks_each,
              end = first + to.chunks_each < sums.chunks ? first + to.chunks_each : sums.chunks;
    const float* from = sums.of(g, first) + e;
    float sum = 0;
    for (int k = first; k < end; k += AT_ONCE, from += AT_ONCE * sums.record) {
        float x[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) x[i] = k + i < end ? from[i * sums.record] : 0;
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) sum += x[i];  // a zero more changes nothing: the sum is never -0
    }
    to.grads[block * to.block + g / to.used * to.member + g % to.used * to.network + to.offset[q] + j] = sum;
}

inline SumsTo sums_to(const UfNets* nets, float* grads, int total) {
    const UfMlp* mlp = nets->mlp;
    const int L = mlp->layers;
    const int64_t size = static_cast<int64_t>(mlp->size);
    SumsTo to = {};
    to.grads = grads;
    for (int l = 0; l < L; l++) {
        to.offset[3 * l] = static_cast<int64_t>(mlp->bias[l]);
        to.offset[3 * l + 1] = mlp->layer_norm ? static_cast<int64_t>(mlp->scale[l]) : -1;
        to.offset[3 * l + 2] = mlp->layer_norm ? static_cast<int64_t>(mlp->shift[l]) : -1;
    }
    to.offset[3 * L] = mlp->out == 1 ? static_cast<int64_t>(mlp->kernel[L]) : -1;
    to.offset[3 * L + 1] = static_cast<int64_t>(mlp->bias[L]);
    to.member = size * nets->N;
    to.network = size;
    to.block = size * nets->N * nets->P;
    to.chunks_each = uf_block_rows(total, nets->N) / ROWS;
    to.blocks = uf_num_blocks(total, nets->N);
    to.used = nets->used;
    return to;
}

inline int64_t num_sums(const UfNets* nets, const Sums& sums, const SumsTo& to) {
    return static_cast<int64_t>(nets->P) * nets->used * to.blocks * sums.record;
}

// ---- passes over whole networks: kernels_whole.cu ----

// Lets these kernels have as much shared memory as they may want; before the first of them.
void prepare_whole(State* s);
// They say whether they did it: by the rule of shapes there, or as `passes` wants it.
bool whole_forward(State* s, const UfNets* nets, float* out, const UfTape* tape, UfInput input, UfRows rows);
bool whole_backward(State* s, const UfNets* nets, float* grads, float* dx, int dx_first, int dx_count,
                    const UfTape* tape, UfInput input, const float* dout, int total);
bool whole_second_order(State* s, const UfNets* nets, float* grads, const UfTape* tape, UfInput input,
                        const float* tangent, int tangent_first, int tangent_count, const float* dout,
                        int total);

// ---- PPO: kernels_ppo.cu; off-policy agents: kernels_td.cu; cloning: kernels_clone.cu ----

// Put their ops into the table.
void add_ppo(UfBackend* be);
void add_td(UfBackend* be);
// Likewise; before the first of its kernels, as prepare_whole.
void add_clone(UfBackend* be);

}  // namespace uf_cuda

#endif
