// kernels.cu: the op set on a CUDA device. kernels.c is the specification.
//
// Everything an op touches lies on the device; an op only launches, on the stream of its branch: it allocates nothing,
// waits for nothing and reads nothing back, so a whole update is recorded once, as a graph, and repeated. What changes
// from update to update is a UfCount: kernels add `each` times the number of replays, which lies on the device. A failure
// sticks, later ops do nothing, and `sync` tells it with op and shape.
//
// Passes over networks of up to 256 units are in kernels_whole.cu; here, for others, layer by layer. Products: fp32 by
// product_kernel, which sums over k in order, so that a member computes to the bit what it computes alone and runs
// repeat; tf32 and bf16 by cuBLAS on tensor cores, with sums in fp32. cuBLAS is looked for when it is asked for: a
// program that never does runs without it.
// What lies between two products is one kernel: activation, LayerNorm, and the output layer where it is narrow; backward
// the same with the column sums that become the gradients of bias, scale and shift. A chunk of ROWS rows sums its own
// columns, sum_chunks_kernel adds the chunks in order. Terms: one block for each member, sums in one order.
//
// Rooms: sums, products, forward, backward, second order, random numbers, rows, policy terms, critic terms, world
// model, optimiser, branches, recording, bench, backend.
#include "kernels_hopper.cuh"

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>

namespace {

using namespace uf_cuda;

enum { NARROW_OUT = 16 };   // outputs that the last hidden layer's kernel computes along
enum { MAX_WIDTH = 8192 };  // of a hidden layer: what params.def allows

// ---- sums ----

// A metric of a member, and what is added to it, which every thread has.
struct Added {
    int metric;
    double value;
};

// Different ones; a thread for each.
template <int N>
__device__ inline void add_metrics(double* metrics, int p, const Added (&added)[N]) {
    Added own = added[0];
#pragma unroll
    for (int i = 1; i < N; i++)
        if (static_cast<int>(threadIdx.x) == i) own = added[i];
    if (threadIdx.x < N) metrics[static_cast<size_t>(p) * UF_NUM_METRICS + own.metric] += own.value;
}

__device__ inline void add_metric(double* metrics, int p, int metric, double value) {
    add_metrics(metrics, p, {{metric, value}});
}

// ---- products ----

// A matrix of each network (p, n) of a pass and of each part of the product.
struct Matrix {
    const float* at;
    int ld;
    bool transposed;  // the operand is its transpose
    int64_t member, network, part;
};

// c (m, n) = op(a) op(b) + beta c for P x N networks and `parts`. cut: the parts are pieces of k rows of what is
// summed over, of `total`; else each is a product of its own.
struct Product {
    Matrix a, b, c;
    int m, n, k, P, N, parts;
    bool cut;
    int total;
    float beta;
};

enum { TILE = 64, DEPTH = 16 };

__device__ inline float element(const Matrix& x, int64_t offset, int row, int column) {
    const int64_t at =
        x.transposed ? static_cast<int64_t>(column) * x.ld + row : static_cast<int64_t>(row) * x.ld + column;
    return x.at[offset + at];
}

// A tile of c a block, 4 by 4 numbers a thread, each summed over k in order whatever the shape.
__global__ void __launch_bounds__(THREADS) product_kernel(Product g) {
    __shared__ float a[DEPTH][TILE + 4], b[DEPTH][TILE + 4];  // + 4: fewer conflicts between banks
    const int columns = (g.n + TILE - 1) / TILE, tiles = columns * ((g.m + TILE - 1) / TILE);
    const int tile = static_cast<int>(blockIdx.x % tiles), z = static_cast<int>(blockIdx.x / tiles);
    const int network = z % g.N, p = z / g.N % g.P, part = z / g.N / g.P;
    const int row = tile / columns * TILE, column = tile % columns * TILE;
    const int k = g.cut && g.total - part * g.k < g.k ? g.total - part * g.k : g.k;
    const int64_t at_a = p * g.a.member + network * g.a.network + part * g.a.part;
    const int64_t at_b = p * g.b.member + network * g.b.network + part * g.b.part;
    const int tid = static_cast<int>(threadIdx.x), y = tid / 16 * 4, x = tid % 16 * 4;
    float sum[4][4] = {};
    for (int first = 0; first < k; first += DEPTH) {
        for (int e = tid; e < TILE * DEPTH; e += THREADS) {  // neighbours in memory for neighbouring threads
            const int ka = g.a.transposed ? e / TILE : e % DEPTH, ia = g.a.transposed ? e % TILE : e / DEPTH;
            const int kb = g.b.transposed ? e % DEPTH : e / TILE, jb = g.b.transposed ? e / DEPTH : e % TILE;
            a[ka][ia] = row + ia < g.m && first + ka < k ? element(g.a, at_a, row + ia, first + ka) : 0;
            b[kb][jb] = column + jb < g.n && first + kb < k ? element(g.b, at_b, first + kb, column + jb) : 0;
        }
        __syncthreads();
        for (int i = 0; i < DEPTH; i++) {
            float left[4], right[4];
            for (int q = 0; q < 4; q++) left[q] = a[i][y + q];
            for (int q = 0; q < 4; q++) right[q] = b[i][x + q];
            for (int r = 0; r < 4; r++)
                for (int q = 0; q < 4; q++) sum[r][q] += left[r] * right[q];
        }
        __syncthreads();
    }
    float* c = const_cast<float*>(g.c.at) + (p * g.c.member + network * g.c.network + part * g.c.part);
    for (int r = 0; r < 4 && row + y + r < g.m; r++)
        for (int q = 0; q < 4 && column + x + q < g.n; q++) {
            float* to = c + (static_cast<int64_t>(row + y + r) * g.c.ld + (column + x + q));
            *to = g.beta != 0 ? sum[r][q] + g.beta * *to : sum[r][q];
        }
}

// cuBLAS is column-major: c' = op(b)' op(a)'. `count` matrices with one stride each.
void blas_product(State* s, const Product& g, int k, int64_t at[3], int64_t a, int64_t b, int64_t c,
                  int count) {
    const float one = 1;
    const cublasOperation_t left = g.b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N,
                            right = g.a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    uf_cuda_clock_before(s->clock, s->streams[s->branch]);
    const cublasStatus_t status = s->blas.gemm(
        s->blas.handles[s->branch], left, right, g.n, g.m, k, &one, g.b.at + at[1], CUDA_R_32F, g.b.ld, b,
        g.a.at + at[0], CUDA_R_32F, g.a.ld, a, &g.beta, const_cast<float*>(g.c.at) + at[2], CUDA_R_32F,
        g.c.ld, c, count, s->blas.compute, CUBLAS_GEMM_DEFAULT);
    uf_cuda_clock_after(s->clock, s->streams[s->branch]);
    if (status != CUBLAS_STATUS_SUCCESS)
        fail(s, UF_ERR_DEVICE, "cuBLAS status %d for a product of %d x %d x %d", status, g.m, g.n, k);
}

// Members and networks in one batch where one stride leads through both, else the fewer of the two in a loop.
void blas_products(State* s, const Product& g) {
    const Matrix* x[3] = {&g.a, &g.b, &g.c};
    bool even = true;
    for (const Matrix* m : x) even = even && m->member == g.N * m->network;
    const bool whole = g.P == 1 || g.N == 1 || even, over_members = g.N < g.P;
    const int outer = whole ? 1 : over_members ? g.N : g.P;
    const int count = whole ? g.P * g.N : over_members ? g.P : g.N;
    for (int part = 0; part < g.parts; part++) {
        const int k = g.cut && g.total - part * g.k < g.k ? g.total - part * g.k : g.k;
        for (int o = 0; o < outer; o++) {
            int64_t at[3], stride[3];
            for (int i = 0; i < 3; i++) {
                at[i] = part * x[i]->part + o * (over_members ? x[i]->network : x[i]->member);
                stride[i] = over_members ? x[i]->member : x[i]->network;
                if (whole) stride[i] = g.N == 1 ? x[i]->member : x[i]->network;
            }
            blas_product(s, g, k, at, stride[0], stride[1], stride[2], count);
        }
    }
}

void product(State* s, const Product& g) {
    if (s->failed != UF_OK) return;
    if (s->blas.handles[0]) return blas_products(s, g);
    const int64_t tiles = ceil_div(g.m, TILE) * ceil_div(g.n, TILE);
    launch(s, product_kernel, tiles * g.N * g.P * g.parts, THREADS, g);
}

// ---- forward ----

struct Hidden {
    Rows r, h;    // r in: products, out: after ReLU.   h: LayerNorm's output; r where there is none
    Rows stats;   // Nullable
    Rows out;     // of the output layer where this kernel computes it: `num_out` > 0
    bool keep_r;  // the tape wants it
    bool keep_h;  // a product follows
    Parameters params;
    Layer layer;
    int64_t out_kernel, out_bias;
    int num_out, rows, width;
};

// Activation of z + bias, LayerNorm, and a narrow output layer: a warp takes a row, ITEMS numbers a lane.
template <int ITEMS, int ACTIVATION>
__global__ void __launch_bounds__(THREADS) hidden_kernel(Hidden c, int64_t num_rows) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * WARPS + warp();
    if (row >= num_rows) return;
    const int g = static_cast<int>(row / c.rows), b = static_cast<int>(row % c.rows);
    const float* w = c.params.of(g);
    const int64_t at = static_cast<int64_t>(b) * c.width;
    float *r = c.r.at + g * c.r.stride + at, *h = c.h.at + g * c.h.stride + at;
    float x[ITEMS], sum = 0;
#pragma unroll(ITEMS <= 32 ? ITEMS : 4)
    for (int i = 0; i < ITEMS; i++) {
        const int j = i * WARP + lane();
        x[i] = 0;
        if (j >= c.width) continue;
        x[i] = activate<ACTIVATION>(r[j] + w[c.layer.bias + j]);
        sum += x[i];
        if (c.keep_r) r[j] = x[i];
    }
    if (c.layer.layer_norm) {
        const float mean = warp_sum(sum) / c.width;
        float squares = 0;
#pragma unroll(ITEMS <= 32 ? ITEMS : 4)
        for (int i = 0; i < ITEMS; i++)
            if (i * WARP + lane() < c.width) squares += (x[i] - mean) * (x[i] - mean);
        const float inv_std = 1 / sqrt(warp_sum(squares) / c.width + static_cast<float>(UF_LAYER_NORM_EPS));
#pragma unroll(ITEMS <= 32 ? ITEMS : 4)
        for (int i = 0; i < ITEMS; i++) {
            const int j = i * WARP + lane();
            if (j < c.width) x[i] = (x[i] - mean) * inv_std * w[c.layer.scale + j] + w[c.layer.shift + j];
        }
        if (c.stats.at && lane() == 0) {
            c.stats.at[g * c.stats.stride + 2 * b] = mean;
            c.stats.at[g * c.stats.stride + 2 * b + 1] = inv_std;
        }
    }
#pragma unroll(ITEMS <= 32 ? ITEMS : 4)
    for (int i = 0; i < ITEMS; i++) {
        const int j = i * WARP + lane();
        if (c.keep_h && j < c.width) h[j] = x[i];
    }
    for (int o = 0; o < c.num_out; o++) {
        float dot = 0;
#pragma unroll(ITEMS <= 32 ? ITEMS : 4)
        for (int i = 0; i < ITEMS; i++) {
            const int j = i * WARP + lane();
            if (j < c.width) dot += x[i] * w[c.out_kernel + static_cast<int64_t>(j) * c.num_out + o];
        }
        dot = warp_sum(dot);
        if (lane() == 0)
            c.out.at[g * c.out.stride + static_cast<int64_t>(b) * c.num_out + o] = dot + w[c.out_bias + o];
    }
}

void launch_hidden(State* s, const UfMlp* mlp, const Hidden& c, int G) {
    const int64_t rows = static_cast<int64_t>(G) * c.rows, blocks = ceil_div(rows, WARPS);
    with_activation(mlp, [&](auto activation) {
        constexpr int ACTIVATION = decltype(activation)::value;
        if (c.width <= 8 * WARP)
            launch(s, hidden_kernel<8, ACTIVATION>, blocks, THREADS, c, rows);
        else if (c.width <= 32 * WARP)
            launch(s, hidden_kernel<32, ACTIVATION>, blocks, THREADS, c, rows);
        else
            launch(s, hidden_kernel<MAX_WIDTH / WARP, ACTIVATION>, blocks, THREADS, c, rows);
    });
}

__global__ void bias_kernel(Rows out, Parameters params, int64_t bias, int num_out, int rows, int64_t count) {
    const int64_t i = thread_id();
    if (i >= count) return;
    const int64_t row = i / num_out, g = row / rows;
    const int o = static_cast<int>(i % num_out);
    out.at[g * out.stride + row % rows * num_out + o] += params.of(static_cast<int>(g))[bias + o];
}

// Kernel of layer l as an operand.
Matrix weights(const UfNets* nets, int l, bool transposed) {
    const Parameters p = params_of(nets);
    const int ld = l < nets->mlp->layers ? nets->mlp->width : nets->mlp->out;
    return Matrix{p.at + nets->mlp->kernel[l], ld, transposed, p.member, p.network, 0};
}

// Activations (G, stride) of `used` networks a member.
Matrix activations(const UfNets* nets, Rows x, int ld, bool transposed) {
    return Matrix{x.at, ld, transposed, x.stride * nets->used, x.stride, 0};
}

Matrix input_matrix(UfInput input, int first, bool transposed) {
    return Matrix{input.x + static_cast<int64_t>(first) * input.ld, input.ld, transposed,
                  static_cast<int64_t>(input.total) * input.ld,     0,        0};
}

Product whole(const UfNets* nets, Matrix a, Matrix b, Matrix c, int m, int n, int k) {
    return Product{a, b, c, m, n, k, nets->P, nets->used, 1, false, k, 0};
}

// Copies of parameters that came from the host since. It waits, so that no branch reads what is not there yet.
void renew_packed(State* s) {
    for (int i = 0; i < s->num_packed; i++) {
        if (!s->packed[i].stale) continue;
        s->packed[i].stale = false;
        pack(s, &s->packed[i]);
        check(s, cudaStreamSynchronize(s->streams[s->branch]));
    }
}

void cuda_mlp_forward(UfBackend* be, const UfNets* nets, real* out, const UfTape* tape, UfInput input,
                      UfRows rows) {
    const UfMlp* mlp = nets->mlp;
    State* s = begin(be, "mlp_forward", nets->P, nets->used, rows.count, mlp->width);
    if (!s->recording) renew_packed(s);
    const int G = nets->P * nets->used, L = mlp->layers, count = rows.count;
    if (whole_forward(s, nets, out, tape, input, rows)) return;
    const int64_t area = static_cast<int64_t>(count) * mlp->width;
    const bool narrow = mlp->out <= NARROW_OUT;
    Scratch scratch = {s, 0};
    Rows space[2];
    for (Rows& x : space) x = Rows{scratch.take(static_cast<size_t>(G * area)), area};
    if (!scratch.fits()) return;
    const Rows result = tape_rows(out, rows.first, rows.total, mlp->out);
    Matrix x = input_matrix(input, rows.first, false);
    for (int l = 0; l < L; l++) {
        const bool last = l == L - 1;
        Hidden c = {};
        c.r = tape ? tape_rows(tape->r[l], rows.first, rows.total, mlp->width) : space[l % 2];
        c.h = tape && mlp->layer_norm ? space[0] : c.r;  // its product is done when the layer writes there
        c.keep_h = !last || !narrow;
        c.keep_r = tape != nullptr;
        if (tape && mlp->layer_norm) c.stats = tape_rows(tape->stats[l], rows.first, rows.total, 2);
        c.params = params_of(nets);
        c.layer = layer_of(mlp, l);
        c.rows = count;
        c.width = mlp->width;
        if (last && narrow) {
            c.num_out = mlp->out;
            c.out = result;
            c.out_kernel = static_cast<int64_t>(mlp->kernel[L]);
            c.out_bias = static_cast<int64_t>(mlp->bias[L]);
        }
        product(s, whole(nets, x, weights(nets, l, false), activations(nets, c.r, mlp->width, false), count,
                         mlp->width, l ? mlp->width : mlp->in));
        launch_hidden(s, mlp, c, G);
        x = activations(nets, c.h, mlp->width, false);
    }
    if (narrow) return;
    product(s, whole(nets, x, weights(nets, L, false), activations(nets, result, mlp->out, false), count,
                     mlp->out, mlp->width));
    const int64_t numbers = static_cast<int64_t>(G) * count * mlp->out;
    launch(s, bias_kernel, ceil_div(numbers, THREADS), THREADS, result, params_of(nets),
           static_cast<int64_t>(mlp->bias[L]), mlp->out, count, numbers);
}

// ---- backward ----

__global__ void __launch_bounds__(THREADS) sum_chunks_kernel(Sums sums, SumsTo to, int64_t count) {
    const int64_t i = thread_id();
    if (i < count) sum_chunks_at(sums, to, i);
}

void sum_chunks(State* s, const UfNets* nets, const Sums& sums, float* grads, int total) {
    const SumsTo to = sums_to(nets, grads, total);
    const int64_t count = num_sums(nets, sums, to);
    launch(s, sum_chunks_kernel, ceil_div(count, THREADS), THREADS, sums, to, count);
}

// What both backward kernels read of a layer and of the one below it.
struct Taken {
    Rows r, stats;
    Rows below, below_r,
        below_stats;  // below.at: also writes the output of LayerNorm one layer down.   Nullable
    Rows dout;        // (out)
    bool top;         // one output: dL/dh is dout times the output layer's kernel
    bool sum_dout;    // the sum of dout is this chunk's to make
    Parameters params;
    Layer layer, layer_below;
    int64_t out_kernel;
    Sums sums;
    int l, rows, width;
};

// A chunk of rows of one network, as its block sees it.
struct Chunk {
    int g, index, first, count;
};

__device__ inline Chunk chunk_of(const Taken& c) {
    const int chunks = (c.rows + ROWS - 1) / ROWS;
    Chunk k;
    k.g = static_cast<int>(blockIdx.x) / chunks;
    k.index = static_cast<int>(blockIdx.x) % chunks;
    k.first = k.index * ROWS;
    k.count = c.rows - k.first < ROWS ? c.rows - k.first : ROWS;
    return k;
}

// Output of LayerNorm one layer down, which the product for the kernel's gradient reads.
__device__ inline void write_below(const Taken& c, const Chunk& k, const float* w) {
    if (!c.below.at) return;
    const float* stats = c.below_stats.at + k.g * c.below_stats.stride;
    for (int j = static_cast<int>(threadIdx.x); j < c.width; j += THREADS) {
        const float scale = w[c.layer_below.scale + j], shift = w[c.layer_below.shift + j];
        for (int b = k.first; b < k.first + k.count; b++) {
            const int64_t at = static_cast<int64_t>(b) * c.width + j;
            c.below.at[k.g * c.below.stride + at] =
                (c.below_r.at[k.g * c.below_r.stride + at] - stats[2 * b]) * stats[2 * b + 1] * scale + shift;
        }
    }
}

__device__ inline void sum_dout(const Taken& c, const Chunk& k) {
    if (!c.sum_dout) return;
    for (int o = static_cast<int>(threadIdx.x); o < c.sums.out; o += THREADS) {
        const float* dout = c.dout.at + k.g * c.dout.stride + o;
        float sum = 0;
        for (int b = k.first; b < k.first + k.count; b++) sum += dout[static_cast<int64_t>(b) * c.sums.out];
        c.sums.of(k.g, k.index)[c.width * (3 * c.sums.layers + 1) + o] = sum;
    }
}

// dL/dh -> dL/dz in place, for a chunk of rows. First each warp finds the two means of its rows that LayerNorm's
// derivative needs; then a thread takes columns, so that it sums them over the rows in order.
template <int ACTIVATION>
__global__ void __launch_bounds__(THREADS) hidden_backward_kernel(Taken c, Rows d) {
    __shared__ float means[ROWS][2], norm[ROWS][2], seed[ROWS];
    const Chunk k = chunk_of(c);
    const float *w = c.params.of(k.g), *scale = w + c.layer.scale, *out_kernel = w + c.out_kernel;
    const int64_t first = static_cast<int64_t>(k.first) * c.width;
    const float* r = c.r.at + k.g * c.r.stride + first;
    float* dh = d.at + k.g * d.stride + first;
    for (int b = warp(); b < k.count; b += WARPS) {
        const float from_out = c.top ? c.dout.at[k.g * c.dout.stride + k.first + b] : 0;
        float s1 = 0, s2 = 0, mean = 0, inv_std = 0;
        if (c.layer.layer_norm) {
            const float* stats = c.stats.at + k.g * c.stats.stride + 2 * (k.first + b);
            mean = stats[0];
            inv_std = stats[1];
            for (int j = lane(); j < c.width; j += WARP) {
                const int64_t at = static_cast<int64_t>(b) * c.width + j;
                const float x = (c.top ? from_out * out_kernel[j] : dh[at]) * scale[j];
                s1 += x;
                s2 += x * ((r[at] - mean) * inv_std);
            }
            s1 = warp_sum(s1) / c.width;
            s2 = warp_sum(s2) / c.width;
        }
        if (lane() == 0) {
            seed[b] = from_out;
            means[b][0] = s1;
            means[b][1] = s2;
            norm[b][0] = mean;
            norm[b][1] = inv_std;
        }
    }
    __syncthreads();
    for (int j = static_cast<int>(threadIdx.x); j < c.width; j += THREADS) {
        const float out_weight = c.top ? out_kernel[j] : 0, gain = c.layer.layer_norm ? scale[j] : 1,
                    shift = c.layer.layer_norm ? w[c.layer.shift + j] : 0;
        float dbias = 0, dscale = 0, dshift = 0, dkernel = 0;
        for (int b = 0; b < k.count; b++) {
            const int64_t at = static_cast<int64_t>(b) * c.width + j;
            const float live = r[at], dy = c.top ? seed[b] * out_weight : dh[at];
            float dz = dy, h = live;
            if (c.layer.layer_norm) {
                const float xhat = (live - norm[b][0]) * norm[b][1];
                h = xhat * gain + shift;
                dscale += dy * xhat;
                dshift += dy;
                dz = norm[b][1] * (dy * gain - means[b][0] - xhat * means[b][1]);
            }
            dkernel += h * seed[b];
            dz = activation_grad<ACTIVATION>(live, dz);
            dbias += dz;
            dh[at] = dz;
        }
        if (!c.sums.at) continue;
        float* to = c.sums.of(k.g, k.index) + j;
        to[(3 * c.l) * c.width] = dbias;
        to[(3 * c.l + 1) * c.width] = dscale;
        to[(3 * c.l + 2) * c.width] = dshift;
        if (c.top) to[3 * c.sums.layers * c.width] = dkernel;
    }
    write_below(c, k, w);
    sum_dout(c, k);
}

// LayerNorm's output once more, for a wide output layer's gradient.
__global__ void __launch_bounds__(THREADS) layer_norm_kernel(Taken c) {
    const Chunk k = chunk_of(c);
    write_below(c, k, c.params.of(k.g));
}

struct Backward {
    const UfNets* nets;
    const UfTape* tape;
    UfInput input;
    int total;
    Rows space;  // LayerNorm's output of the layer below
    Sums sums;   // sums.at null: no gradients
    Rows dout;
};

Taken taken_of(const Backward& c, int l) {
    const UfMlp* mlp = c.nets->mlp;
    Taken t = {};
    t.l = l;
    t.rows = c.total;
    t.width = mlp->width;
    t.params = params_of(c.nets);
    t.layer = layer_of(mlp, l);
    t.r = tape_rows(c.tape->r[l], 0, c.total, mlp->width);
    if (mlp->layer_norm) t.stats = tape_rows(c.tape->stats[l], 0, c.total, 2);
    if (mlp->layer_norm && l && c.sums.at) {
        t.below = c.space;
        t.below_r = tape_rows(c.tape->r[l - 1], 0, c.total, mlp->width);
        t.below_stats = tape_rows(c.tape->stats[l - 1], 0, c.total, 2);
        t.layer_below = layer_of(mlp, l - 1);
    }
    t.dout = c.dout;
    t.top = l == mlp->layers - 1 && mlp->out == 1;
    t.sum_dout = l == mlp->layers - 1 && c.sums.at;
    t.out_kernel = static_cast<int64_t>(mlp->kernel[mlp->layers]);
    t.sums = c.sums;
    return t;
}

int64_t num_chunks(const Backward& c) {
    return static_cast<int64_t>(c.nets->P) * c.nets->used * ceil_div(c.total, ROWS);
}

// What layer l reads, as the first operand of its kernel's gradient. For l > 0 without LayerNorm it is the tape's r.
Matrix layer_input(const Backward& c, int l) {
    if (l == 0) return input_matrix(c.input, 0, true);
    const int width = c.nets->mlp->width;
    return activations(c.nets,
                       c.nets->mlp->layer_norm ? c.space : tape_rows(c.tape->r[l - 1], 0, c.total, width),
                       width, true);
}

// A kernel's gradient: dw (m, n) = x' d + beta dw of each block of rows.
void kernel_gradient(State* s, const Backward& c, float* grads, size_t offset, Matrix x, Matrix d, int m,
                     int n, float beta) {
    const int64_t size = static_cast<int64_t>(c.nets->mlp->size), N = c.nets->N;
    const int block = uf_block_rows(c.total, c.nets->N);
    x.part = static_cast<int64_t>(block) * x.ld;
    d.part = static_cast<int64_t>(block) * d.ld;
    const Matrix dw = {grads + offset, n, false, N * size, size, N * size * c.nets->P};
    const int blocks = uf_num_blocks(c.total, c.nets->N);
    product(s, Product{x, d, dw, m, n, block, c.nets->P, c.nets->used, blocks, true, c.total, beta});
}

void cuda_mlp_backward(UfBackend* be, const UfNets* nets, real* grads, real* dx, int dx_first, int dx_count,
                       const UfTape* tape, UfInput input, const real* dout, int total) {
    const UfMlp* mlp = nets->mlp;
    State* s = begin(be, "mlp_backward", nets->P, nets->used, total, mlp->width);
    if (!s->recording) renew_packed(s);
    if (whole_backward(s, nets, grads, dx, dx_first, dx_count, tape, input, dout, total)) return;
    const int L = mlp->layers, width = mlp->width;
    const size_t G = static_cast<size_t>(nets->P) * static_cast<size_t>(nets->used);
    const int64_t area = static_cast<int64_t>(total) * width;
    Scratch scratch = {s, 0};
    Rows d = {scratch.take(G * static_cast<size_t>(area)), area},
         next = {scratch.take(G * static_cast<size_t>(area)), area};
    Backward c = {nets, tape, input, total, Rows{scratch.take(G * static_cast<size_t>(area)), area}, {}, {}};
    c.sums = sums_of(mlp, nullptr, total);
    if (grads) c.sums.at = scratch.take(G * static_cast<size_t>(c.sums.chunks * c.sums.record));
    c.dout = Rows{const_cast<real*>(dout), static_cast<int64_t>(total) * mlp->out};
    if (!scratch.fits()) return;

    // One output is taken care of in the last hidden layer's kernel.
    if (mlp->out > 1) {
        if (grads && mlp->layer_norm) {
            Taken top = taken_of(c, L - 1);
            top.below = c.space;
            top.below_r = top.r;
            top.below_stats = top.stats;
            top.layer_below = top.layer;
            launch(s, layer_norm_kernel, num_chunks(c), THREADS, top);
        }
        if (grads)
            kernel_gradient(s, c, grads, mlp->kernel[L], layer_input(c, L),
                            activations(nets, c.dout, mlp->out, false), width, mlp->out, 0);
        product(s, whole(nets, activations(nets, c.dout, mlp->out, false), weights(nets, L, true),
                         activations(nets, d, width, false), total, width, mlp->out));
    }
    for (int l = L - 1; l >= 0; l--) {
        with_activation(mlp, [&](auto activation) {
            launch(s, hidden_backward_kernel<decltype(activation)::value>, num_chunks(c), THREADS,
                   taken_of(c, l), d);
        });
        const Matrix dz = activations(nets, d, width, false);
        if (grads)
            kernel_gradient(s, c, grads, mlp->kernel[l], layer_input(c, l), dz, l ? width : mlp->in, width,
                            0);
        if (l) {
            product(s, whole(nets, dz, weights(nets, l, true), activations(nets, next, width, false), total,
                             width, width));
            const Rows swap = d;
            d = next;
            next = swap;
        } else if (dx) {
            Matrix w = weights(nets, 0, true);
            w.at += static_cast<int64_t>(dx_first) * width;
            product(
                s, whole(nets, dz, w,
                         activations(nets, Rows{dx, static_cast<int64_t>(total) * dx_count}, dx_count, false),
                         total, dx_count, width));
        }
    }
    if (grads) sum_chunks(s, nets, c.sums, grads, total);
}

// ---- second order ----

// As in kernels.c: a forward pass that carries tangents, then two adjoint streams back, alpha for tangents and beta
// for values. They lie behind one another, so that one product takes both through a layer.

struct Tangent {
    Rows t, u;          // t in: dz/dt, out: dh/dt.   u: centred dr/dt
    float* projection;  // (G, rows) mean(xhat * u)
    Rows r, stats;
    Parameters params;
    Layer layer;
    int rows, width;
};

__global__ void __launch_bounds__(THREADS) tangent_kernel(Tangent c, int64_t num_rows) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * WARPS + warp();
    if (row >= num_rows) return;
    const int g = static_cast<int>(row / c.rows), b = static_cast<int>(row % c.rows);
    const int64_t at = static_cast<int64_t>(b) * c.width;
    float *t = c.t.at + g * c.t.stride + at, *u = c.u.at + g * c.u.stride + at;
    const float* r = c.r.at + g * c.r.stride + at;
    float sum = 0, p = 0;
    for (int j = lane(); j < c.width; j += WARP) {
        t[j] = r[j] > 0 ? t[j] : 0;
        sum += t[j];
    }
    if (!c.layer.layer_norm) return;
    const float* stats = c.stats.at + g * c.stats.stride + 2 * b;
    const float mean = stats[0], inv_std = stats[1], *scale = c.params.of(g) + c.layer.scale;
    sum = warp_sum(sum) / c.width;
    for (int j = lane(); j < c.width; j += WARP) {
        u[j] = t[j] - sum;
        p += (r[j] - mean) * inv_std * u[j];
    }
    p = warp_sum(p) / c.width;
    for (int j = lane(); j < c.width; j += WARP)
        t[j] = scale[j] * inv_std * (u[j] - (r[j] - mean) * inv_std * p);
    if (lane() == 0) c.projection[row] = p;
}

// The five means of a row that rows_backward_backward of kernels.c forms.
struct Means {
    float a1, a2, s1, ds, p, mean, inv_std, seed;
};

__device__ inline Means second_order_means(const Taken& c, float seed, const float* alpha, const float* beta,
                                           const float* u, float p, const float* r, const float* stats,
                                           const float* scale, const float* out_kernel) {
    const float mean = stats[0], s = stats[1];
    float a1 = 0, a2 = 0, a3 = 0, s1 = 0, s2 = 0;
    for (int j = lane(); j < c.width; j += WARP) {
        const float xhat = (r[j] - mean) * s, a = (c.top ? out_kernel[j] : alpha[j]) * scale[j];
        a1 += a;
        a2 += a * xhat;
        a3 += a * (u[j] - xhat * p);
    }
    a1 = warp_sum(a1) / c.width;
    a2 = warp_sum(a2) / c.width;
    a3 = warp_sum(a3) / c.width;
    for (int j = lane(); j < c.width; j += WARP) {
        const float xhat = (r[j] - mean) * s, a = (c.top ? out_kernel[j] : alpha[j]) * scale[j];
        const float dxhat = (c.top ? seed * out_kernel[j] : beta[j]) * scale[j] - s * (a * p + a2 * u[j]);
        s1 += dxhat;
        s2 += xhat * dxhat;
    }
    s1 = warp_sum(s1);
    s2 = warp_sum(s2);
    return Means{a1, a2, s1 / c.width, (a3 + s2 / s / c.width) * s * s, p, mean, s, seed};
}

struct SecondOrder {
    Rows alpha, beta, u, dh;  // dh: of this layer, for the output layer's kernel
    const float* projection;
};

__global__ void __launch_bounds__(THREADS) second_order_kernel(Taken c, SecondOrder x) {
    __shared__ Means means[ROWS];
    const Chunk k = chunk_of(c);
    const float *w = c.params.of(k.g), *scale = w + c.layer.scale, *out_kernel = w + c.out_kernel;
    const int64_t first = static_cast<int64_t>(k.first) * c.width;
    const float *r = c.r.at + k.g * c.r.stride + first, *u = x.u.at + k.g * x.u.stride + first,
                *dh = x.dh.at + k.g * x.dh.stride + first;
    float *alpha = x.alpha.at + k.g * x.alpha.stride + first, *beta = x.beta.at + k.g * x.beta.stride + first;
    for (int b = warp(); b < k.count; b += WARPS) {
        const float seed = c.top ? c.dout.at[k.g * c.dout.stride + k.first + b] : 0;
        const int64_t at = static_cast<int64_t>(b) * c.width;
        Means m = {};
        m.seed = seed;
        if (c.layer.layer_norm)
            m = second_order_means(c, seed, alpha + at, beta + at, u + at,
                                   x.projection[static_cast<int64_t>(k.g) * c.rows + k.first + b], r + at,
                                   c.stats.at + k.g * c.stats.stride + 2 * (k.first + b), scale, out_kernel);
        if (lane() == 0) means[b] = m;
    }
    __syncthreads();
    for (int j = static_cast<int>(threadIdx.x); j < c.width; j += THREADS) {
        const float out_weight = c.top ? out_kernel[j] : 0, gain = c.layer.layer_norm ? scale[j] : 1,
                    shift = c.layer.layer_norm ? w[c.layer.shift + j] : 0;
        float dbias = 0, dscale = 0, dshift = 0, dkernel = 0;
        for (int b = 0; b < k.count; b++) {
            const Means& m = means[b];
            const int64_t at = static_cast<int64_t>(b) * c.width + j;
            const float live = r[at], da = c.top ? out_weight : alpha[at],
                        db = c.top ? m.seed * out_weight : beta[at];
            float to_alpha = da, to_beta = db, h = live;
            if (c.layer.layer_norm) {
                const float s = m.inv_std, xhat = (live - m.mean) * s, a = da * gain;
                h = xhat * gain + shift;
                dscale += db * xhat + da * s * (u[at] - xhat * m.p);
                dshift += db;
                to_alpha = s * (a - m.a1 - xhat * m.a2);
                to_beta = s * (db * gain - s * (a * m.p + m.a2 * u[at]) - m.s1) - m.ds * xhat;
            }
            if (c.top) dkernel += dh[at] + h * m.seed;
            alpha[at] = live > 0 ? to_alpha : 0;
            to_beta = live > 0 ? to_beta : 0;
            beta[at] = to_beta;
            dbias += to_beta;
        }
        float* to = c.sums.of(k.g, k.index) + j;
        to[(3 * c.l) * c.width] = dbias;
        to[(3 * c.l + 1) * c.width] = dscale;
        to[(3 * c.l + 2) * c.width] = dshift;
        if (c.top) to[3 * c.sums.layers * c.width] = dkernel;
    }
    write_below(c, k, w);
    sum_dout(c, k);
}

void cuda_mlp_backward_backward(UfBackend* be, const UfNets* nets, real* grads, const UfTape* tape,
                                UfInput input, const real* tangent, int tangent_first, int tangent_count,
                                const real* dout, int total) {
    const UfMlp* mlp = nets->mlp;
    State* s = begin(be, "mlp_backward_backward", nets->P, nets->used, total, mlp->width);
    if (mlp->activation != UF_RELU) return fail(s, UF_ERR_UNSUPPORTED, "is for networks of ReLU alone");
    if (whole_second_order(s, nets, grads, tape, input, tangent, tangent_first, tangent_count, dout, total))
        return;
    const int L = mlp->layers, width = mlp->width;
    const size_t G = static_cast<size_t>(nets->P) * static_cast<size_t>(nets->used);
    const int64_t area = static_cast<int64_t>(total) * width, rows = static_cast<int64_t>(G) * total;
    const size_t all = G * static_cast<size_t>(area);
    const int64_t second = static_cast<int64_t>((all + 63) / 64 * 64);  // beta behind alpha
    Scratch scratch = {s, 0};
    Rows dh[UF_MAX_LAYERS], u[UF_MAX_LAYERS];
    float* projection[UF_MAX_LAYERS];
    for (int l = 0; l < L; l++) {
        dh[l] = Rows{scratch.take(all), area};
        u[l] = Rows{scratch.take(all), area};
        projection[l] = scratch.take(static_cast<size_t>(rows));
    }
    Rows alpha = {scratch.take(all), area}, beta = {scratch.take(all), area},
         alpha_next = {scratch.take(all), area}, beta_next = {scratch.take(all), area};
    Backward c = {nets, tape, input, total, Rows{scratch.take(all), area}, {}, {}};
    c.sums = sums_of(mlp, nullptr, total);
    c.sums.at = scratch.take(G * static_cast<size_t>(c.sums.chunks * c.sums.record));
    c.dout = Rows{const_cast<real*>(dout), total};
    if (!scratch.fits()) return;
    const Rows along = {const_cast<real*>(tangent), static_cast<int64_t>(total) * tangent_count};

    for (int l = 0; l < L; l++) {
        Matrix w = weights(nets, l, false);
        if (l == 0) w.at += static_cast<int64_t>(tangent_first) * width;
        const int in = l ? width : tangent_count;
        product(s, whole(nets, activations(nets, l ? dh[l - 1] : along, in, false), w,
                         activations(nets, dh[l], width, false), total, width, in));
        Tangent t = {dh[l],
                     u[l],
                     projection[l],
                     tape_rows(tape->r[l], 0, total, width),
                     {},
                     params_of(nets),
                     layer_of(mlp, l),
                     total,
                     width};
        if (mlp->layer_norm) t.stats = tape_rows(tape->stats[l], 0, total, 2);
        launch(s, tangent_kernel, ceil_div(rows, WARPS), THREADS, t, rows);
    }
    for (int l = L - 1; l >= 0; l--) {
        const SecondOrder x = {alpha, beta, u[l], dh[l], projection[l]};
        launch(s, second_order_kernel, num_chunks(c), THREADS, taken_of(c, l), x);
        const Matrix da = activations(nets, alpha, width, false), db = activations(nets, beta, width, false);
        kernel_gradient(s, c, grads, mlp->kernel[l], layer_input(c, l), db, l ? width : mlp->in, width, 0);
        if (l == 0) {
            kernel_gradient(s, c, grads, mlp->kernel[0] + static_cast<size_t>(tangent_first) * width,
                            activations(nets, along, tangent_count, true), da, tangent_count, width, 1);
            break;
        }
        kernel_gradient(s, c, grads, mlp->kernel[l], activations(nets, dh[l - 1], width, true), da, width,
                        width, 1);
        Product both = whole(nets, da, weights(nets, l, true), activations(nets, alpha_next, width, false),
                             total, width, width);
        both.parts = 2;
        both.a.part = both.c.part = second;
        product(s, both);
        const Rows swap_a = alpha, swap_b = beta;
        alpha = alpha_next;
        beta = beta_next;
        alpha_next = swap_a;
        beta_next = swap_b;
    }
    sum_chunks(s, nets, c.sums, grads, total);
}

// Numbers of scratch for passes over G networks: two arrays forward, three backward or one a layer, and second order,
// which has one output, two a layer and five more, or four a layer.
size_t scratch_needed(const UfMlp* mlp, size_t G, int rows) {
    const size_t all = (G * static_cast<size_t>(rows) * static_cast<size_t>(mlp->width) + 63) / 64 * 64;
    const size_t sums =
        G * static_cast<size_t>(ceil_div(rows, ROWS)) * static_cast<size_t>(sums_record(mlp)) + 64;
    const size_t L = static_cast<size_t>(mlp->layers);
    if (mlp->out > 1) return (L > 3 ? L : 3) * all + sums;
    return (2 * L + 5 > 4 * L ? 2 * L + 5 : 4 * L) * all + L * (G * static_cast<size_t>(rows) + 64) + sums;
}

// ---- random numbers ----

enum { DRAWS = 64 };  // of a launch

// What is drawn for each member. A thread makes the numbers of one Philox block: 4 reals or 2 indices. Those of draw d
// begin at block begins[d].
struct Draws {
    const uint64_t* seeds;  // (P)
    UfDraw of[DRAWS];
    int64_t begins[DRAWS + 1];
    int P;
    const int64_t* replays;
};
static_assert(sizeof(Draws) <= 4096, "a kernel's argument");

__global__ void __launch_bounds__(THREADS) random_kernel(Draws c, int num_draws) {
    const int64_t i = thread_id();
    if (i >= c.begins[num_draws]) return;
    int which = 0;
    while (i >= c.begins[which + 1]) which++;
    const UfDraw& d = c.of[which];
    const int64_t at = i - c.begins[which], blocks_each = (c.begins[which + 1] - c.begins[which]) / c.P,
                  block = at % blocks_each;
    const int p = static_cast<int>(at / blocks_each);
    const UfPhilox w =
        uf_philox(c.seeds[p], static_cast<uint32_t>(d.stream),
                  static_cast<uint64_t>(count_now(d.update, c.replays)), static_cast<uint64_t>(block));
    if (d.kind == UF_DRAW_INDEX) {
        int64_t* index = static_cast<int64_t*>(d.out) + p * d.count;
        for (int k = 0; k < 2 && 2 * block + k < d.count; k++) {
            const uint64_t bits = static_cast<uint64_t>(w.v[2 * k]) << 32 | w.v[2 * k + 1];
            index[2 * block + k] = static_cast<int64_t>(__umul64hi(bits, static_cast<uint64_t>(d.below[p])));
        }
        return;
    }
    float v[4];
    if (d.kind == UF_DRAW_NORMAL) {
        uf_normal_pair(w.v[0], w.v[1], v);
        uf_normal_pair(w.v[2], w.v[3], v + 2);
    } else {
        for (int k = 0; k < 4; k++) v[k] = 2 * uf_uniform(w.v[k]) - 1;
    }
    float* out = static_cast<float*>(d.out) + p * d.count;
    for (int k = 0; k < 4 && 4 * block + k < d.count; k++) out[4 * block + k] = v[k];
}

void cuda_random(UfBackend* be, const UfDraw* draws, int num_draws, int P, const uint64_t* seeds) {
    State* s = begin(be, "random", P, num_draws, num_draws ? static_cast<int>(draws->count) : 0, 0);
    for (int from = 0; from < num_draws; from += DRAWS) {
        const int count = num_draws - from < DRAWS ? num_draws - from : DRAWS;
        Draws c = {};
        c.seeds = seeds;
        c.P = P;
        c.replays = s->recording ? s->replays : nullptr;
        for (int k = 0; k < count; k++) {
            c.of[k] = draws[from + k];
            c.begins[k + 1] =
                c.begins[k] + P * ceil_div(c.of[k].count, c.of[k].kind == UF_DRAW_INDEX ? 2 : 4);
        }
        launch(s, random_kernel, ceil_div(c.begins[count], THREADS), THREADS, c, count);
    }
}

// ---- rows ----

__device__ inline void copy_row(float* to, const float* from, int count) {
    for (int i = lane(); i < count; i += WARP) to[i] = from[i];
}

enum { PIECES = 4, INPUTS = 16 };  // of a launch

// Pieces of a batch: warps from begins[k] on take a row of piece k each.
struct Gather {
    UfBatch batch;
    UfSource source[PIECES];
    const int64_t* index[PIECES];
    UfRows rows[PIECES];
    int64_t begins[PIECES + 1];
};

__global__ void __launch_bounds__(THREADS) gather_kernel(Gather c, int num_pieces) {
    const int64_t warp_at = static_cast<int64_t>(blockIdx.x) * WARPS + warp();
    if (warp_at >= c.begins[num_pieces]) return;
    int which = 0;
    while (warp_at >= c.begins[which + 1]) which++;
    const UfSource& source = c.source[which];
    const UfRows& rows = c.rows[which];
    const int O = source.obs_dim, A = source.action_dim;
    const int64_t i = warp_at - c.begins[which], p = i / rows.count,
                  to = p * rows.total + rows.first + i % rows.count, k = c.index[which][i];
    const int64_t row = p * source.member_rows + (source.rows ? source.rows[k] : k);
    const float *record = source.records + row * source.stride, *tail = record + O + A;
    const float* next_obs = source.next_obs ? source.next_obs + row * O : record + source.stride;
    const float* next_action = source.next_actions ? source.next_actions + row * A
                               : tail[2] > 0       ? record + source.stride + O
                                                   : record + O;
    copy_row(c.batch.obs + to * O, record, O);
    copy_row(c.batch.action + to * A, record + O, A);
    copy_row(c.batch.next_obs + to * O, next_obs, O);
    copy_row(c.batch.next_action + to * A, next_action, A);
    if (lane() == 0) c.batch.reward[to] = tail[0];
    if (lane() == 0) c.batch.done[to] = tail[1];
}

void cuda_gather(UfBackend* be, const UfBatch* batch, const UfPiece* pieces, int num_pieces, int P) {
    State* s = begin(be, "gather", P, num_pieces, pieces->rows.count, pieces->source->stride);
    for (int from = 0; from < num_pieces; from += PIECES) {
        const int count = num_pieces - from < PIECES ? num_pieces - from : PIECES;
        Gather c = {};
        c.batch = *batch;
        for (int k = 0; k < count; k++) {
            const UfPiece& piece = pieces[from + k];
            c.source[k] = *piece.source;
            c.index[k] = piece.index;
            c.rows[k] = piece.rows;
            c.begins[k + 1] = c.begins[k] + static_cast<int64_t>(P) * piece.rows.count;
        }
        launch(s, gather_kernel, ceil_div(c.begins[count], WARPS), THREADS, c, count);
    }
}

struct Inputs {
    UfInputRows of[INPUTS];
    int64_t begins[INPUTS + 1];
    const real *mean, *std;
    int ld, B, O, A;
};

__global__ void __launch_bounds__(THREADS) network_input_kernel(Inputs c, int num_rows) {
    int64_t i = thread_id();
    if (i >= c.begins[num_rows]) return;
    int which = 0;
    while (i >= c.begins[which + 1]) which++;
    i -= c.begins[which];
    const UfInputRows& rows = c.of[which];
    const int columns = rows.action ? c.O + c.A : c.O, j = static_cast<int>(i % columns);
    const int64_t row = i / columns, p = row / c.B, b = row % c.B;
    float* to = rows.out + ((p * rows.total + b) * c.ld + j);
    if (j >= c.O)
        *to = rows.action[row * c.A + j - c.O];
    else
        *to = c.mean ? (rows.obs[row * c.O + j] - c.mean[j]) / (c.std[j] + static_cast<real>(UF_OBS_STD_EPS))
                     : rows.obs[row * c.O + j];
}

void cuda_network_input(UfBackend* be, const UfInputRows* rows, int num_rows, int ld, const real* mean,
                        const real* std, int P, int B, int O, int A) {
    State* s = begin(be, "network_input", P, num_rows, B, ld);
    for (int from = 0; from < num_rows; from += INPUTS) {
        const int count = num_rows - from < INPUTS ? num_rows - from : INPUTS;
        Inputs c = {{}, {}, mean, std, ld, B, O, A};
        for (int k = 0; k < count; k++) {
            c.of[k] = rows[from + k];
            c.begins[k + 1] = c.begins[k] + static_cast<int64_t>(P) * B * (c.of[k].action ? O + A : O);
        }
        launch(s, network_input_kernel, ceil_div(c.begins[count], THREADS), THREADS, c, count);
    }
}

// ---- policy terms ----

// Mean output and clipped log-std of action dimension i in row b of member p.
struct Head {
    real m, s;
    bool passes;
};

__device__ inline bool has_log_std(const UfHeads& heads) {
    return heads.kind != UF_POLICY_DETERMINISTIC && heads.kind != UF_POLICY_CATEGORICAL;
}

// Raw log-std number i of member p; head: the row's.
__device__ inline real raw_log_std(const UfHeads& heads, const real* head, int p, int i) {
    return heads.log_std ? heads.log_std[p * heads.log_std_stride + i] : head[heads.A + i];
}

__device__ inline Head head_of(const UfHeads& heads, int p, int b, int i) {
    const real* head = heads.head + (static_cast<int64_t>(p) * heads.B + b) * heads.H;
    Head h = {head[i], 0, false};
    if (!has_log_std(heads)) return h;
    h.s = uf_log_std(raw_log_std(heads, head, p, i), heads.hyper[p].log_std_min, heads.hyper[p].log_std_max,
                     &h.passes);
    return h;
}

// Outputs of a categorical policy in row b of member p.
__device__ inline const real* outputs_of(const UfHeads& heads, int64_t row) {
    return heads.head + row * heads.H;
}

__global__ void __launch_bounds__(THREADS)
    categorical_sample_kernel(UfHeads heads, UfActions actions, real* log_prob, const real* noise) {
    const int64_t row = thread_id();
    if (row >= static_cast<int64_t>(heads.P) * heads.B) return;
    const int64_t p = row / heads.B, b = row % heads.B;
    const real* m = outputs_of(heads, row);
    const UfCategorical pi = uf_categorical(m, heads.A);
    const int choice = uf_categorical_choice(m, noise ? noise + row * heads.A : nullptr, heads.A);
    const real flaw = pi.log_z - pi.log_z;  // 0, or NaN
    for (int i = 0; actions.a && i < heads.A; i++)
        actions.a[(p * actions.total + b) * actions.ld + i] = static_cast<real>(i == choice) + flaw;
    if (log_prob) log_prob[row] = pi.mean_log_prob;
}

__global__ void __launch_bounds__(THREADS)
    policy_sample_kernel(UfHeads heads, UfActions actions, real* log_prob, const real* noise,
                         const real* smoothing) {
    const int64_t row = thread_id();
    if (row >= static_cast<int64_t>(heads.P) * heads.B) return;
    const int p = static_cast<int>(row / heads.B), b = static_cast<int>(row % heads.B);
    const UfHyper* h = &heads.hyper[p];
    real sum = 0;
    for (int i = 0; i < heads.A; i++) {
        const Head head = head_of(heads, p, b, i);
        const int64_t at = row * heads.A + i;
        const UfSample sample = uf_policy_sample(heads.kind, head.m, head.s, noise ? noise[at] : 0);
        sum += sample.log_prob;
        if (actions.a)
            actions.a[(static_cast<int64_t>(p) * actions.total + b) * actions.ld + i] =
                smoothing ? uf_smoothed_action(sample.action, h->policy_noise, h->noise_clip, smoothing[at])
                          : sample.action;
    }
    if (log_prob) log_prob[row] = sum;
}

// A thread a number where no log-probability is asked for.
__global__ void __launch_bounds__(THREADS)
    policy_action_kernel(UfHeads heads, UfActions actions, const real* noise, const real* smoothing) {
    const int64_t at = thread_id();
    if (at >= static_cast<int64_t>(heads.P) * heads.B * heads.A) return;
    const int64_t row = at / heads.A;
    const int p = static_cast<int>(row / heads.B), b = static_cast<int>(row % heads.B),
              i = static_cast<int>(at % heads.A);
    const Head head = head_of(heads, p, b, i);
    const real with = noise ? noise[at] : 0, more = smoothing ? smoothing[at] : 0;
    const real action = uf_policy_sample(heads.kind, head.m, head.s, with).action;
    const UfHyper* h = &heads.hyper[p];
    actions.a[(static_cast<int64_t>(p) * actions.total + b) * actions.ld + i] =
        smoothing ? uf_smoothed_action(action, h->policy_noise, h->noise_clip, more) : action;
}

void cuda_policy_sample(UfBackend* be, const UfHeads* heads, UfActions actions, real* log_prob,
                        const real* noise, const real* smoothing) {
    State* s = begin(be, "policy_sample", heads->P, 1, heads->B, heads->H);
    const int64_t blocks = ceil_div(static_cast<int64_t>(heads->P) * heads->B, THREADS);
    if (heads->kind == UF_POLICY_CATEGORICAL) {
        launch(s, categorical_sample_kernel, blocks, THREADS, *heads, actions, log_prob, noise);
        return;
    }
    if (!log_prob && actions.a)
        launch(s, policy_action_kernel,
               ceil_div(static_cast<int64_t>(heads->P) * heads->B * heads->A, THREADS), THREADS, *heads,
               actions, noise, smoothing);
    else
        launch(s, policy_sample_kernel, blocks, THREADS, *heads, actions, log_prob, noise, smoothing);
}

// A block a member from here on: blockIdx.x is p.

__global__ void __launch_bounds__(TERM_THREADS)
    entropy_coef_loss_kernel(real* grads, int64_t stride, const real* log_prob, const real* log_alpha,
                             real target_entropy, int B, double* metrics) {
    const int p = static_cast<int>(blockIdx.x);
    double sum = 0;
    for (int b = static_cast<int>(threadIdx.x); b < B; b += static_cast<int>(blockDim.x))
        sum += log_prob[static_cast<int64_t>(p) * B + b];
    const real grad = uf_entropy_coef_grad(static_cast<real>(block_sum(sum) / B), target_entropy);
    if (threadIdx.x == 0) grads[p * stride] = grad;
    add_metric(metrics, p, UF_METRIC_alpha_loss, static_cast<double>(log_alpha[p * stride]) * grad);
}

__global__ void entropy_coef_kernel(real* alpha, const real* log_alpha, int64_t stride, double* metrics) {
    const int p = static_cast<int>(blockIdx.x);
    alpha[p] = exp(log_alpha[p * stride]);
    add_metric(metrics, p, UF_METRIC_alpha, alpha[p]);
}

// Threads of a block that goes over `count` rows: whole warps, no more than there are rows.
int term_threads(int64_t count) {
    const int64_t threads = ceil_div(count, WARP) * WARP;
    return threads < TERM_THREADS ? static_cast<int>(threads) : static_cast<int>(TERM_THREADS);
}

void cuda_entropy_coef_loss(UfBackend* be, real* grads, size_t stride, const real* log_prob,
                            const real* log_alpha, real target_entropy, int P, int B, double* metrics) {
    State* s = begin(be, "entropy_coef_loss", P, 1, B, 1);
    launch(s, entropy_coef_loss_kernel, P, term_threads(B), grads, static_cast<int64_t>(stride), log_prob,
           log_alpha, target_entropy, B, metrics);
}

void cuda_entropy_coef(UfBackend* be, real* alpha, const real* log_alpha, size_t stride, int P,
                       double* metrics) {
    State* s = begin(be, "entropy_coef", P, 1, 1, 1);
    launch(s, entropy_coef_kernel, P, 1, alpha, log_alpha, static_cast<int64_t>(stride), metrics);
}

// Smallest of N critics at a row of q (P, N, total).
__device__ inline real min_q(const real* q, int p, int N, int total, int b) {
    const real* column = q + static_cast<int64_t>(p) * N * total + b;
    real low = column[0];
    for (int n = 1; n < N; n++) low = uf_min(column[static_cast<int64_t>(n) * total], low);
    return low;
}

__global__ void __launch_bounds__(TERM_THREADS)
    awr_weight_kernel(real* weight, const real* q, int q_total, const real* v, const UfHyper* hyper, int N,
                      int B, double* metrics) {
    const int p = static_cast<int>(blockIdx.x);
    double sum = 0;
    for (int b = static_cast<int>(threadIdx.x); b < B; b += static_cast<int>(blockDim.x)) {
        const int64_t row = static_cast<int64_t>(p) * B + b;
        const real advantage = min_q(q, p, N, q_total, b) - v[row];
        weight[row] = uf_awr_weight(advantage, hyper[p].awr_temperature, hyper[p].awr_exp_adv_clip);
        sum += advantage;
    }
    add_metric(metrics, p, UF_METRIC_adv, block_sum(sum) / B);
}

void cuda_awr_weight(UfBackend* be, real* weight, const real* q, int q_total, const real* v,
                     const UfHyper* hyper, int P, int N, int B, double* metrics) {
    State* s = begin(be, "awr_weight", P, N, B, 1);
    launch(s, awr_weight_kernel, P, term_threads(B), weight, q, q_total, v, hyper, N, B, metrics);
}

// Value of a row's aggregated critics; which of them is the lowest.   A NaN wins and is found.
__device__ inline real aggregate_q(const real* q, int aggregate, int N, int B, int* lowest) {
    *lowest = 0;
    if (aggregate == 1) {
        real value = 0;
        for (int n = 0; n < N; n++) value += q[static_cast<int64_t>(n) * B] / N;
        return value;
    }
    for (int n = 1; n < N; n++)
        if (!(q[static_cast<int64_t>(n) * B] >= q[static_cast<int64_t>(*lowest) * B])) *lowest = n;
    return q[static_cast<int64_t>(*lowest) * B];
}

__global__ void __launch_bounds__(TERM_THREADS)
    actor_q_loss_kernel(real* dq, const real* q, int aggregate, bool normalise, const UfHyper* hyper, int N,
                        int B, double* metrics) {
    const int p = static_cast<int>(blockIdx.x);
    const int64_t first = static_cast<int64_t>(p) * N * B;
    double sums[2] = {};  // of values, of their sizes
    int lowest;
    for (int b = static_cast<int>(threadIdx.x); b < B; b += static_cast<int>(blockDim.x)) {
        const real value = aggregate_q(q + first + b, aggregate, N, B, &lowest);
        sums[0] += value;
        sums[1] += fabs(value);
    }
    block_sums(sums);
    const real lambda = normalise ? uf_q_normaliser(static_cast<real>(sums[1] / B)) : 1;
    const real scale = -hyper[p].actor_q_coef * lambda / B;
    for (int b = static_cast<int>(threadIdx.x); b < B; b += static_cast<int>(blockDim.x)) {
        aggregate_q(q + first + b, aggregate, N, B, &lowest);
        for (int n = 0; n < N; n++)
            dq[first + static_cast<int64_t>(n) * B + b] = aggregate == 1 ? scale * (static_cast<real>(1) / N)
                                                          : n == lowest  ? scale
                                                                         : 0;
    }
    add_metrics(metrics, p,
                {{UF_METRIC_actor_q, sums[0] / B},
                 {UF_METRIC_actor_loss, -static_cast<double>(hyper[p].actor_q_coef * lambda) * sums[0] / B}});
}

void cuda_actor_q_loss(UfBackend* be, real* dq, const real* q, int aggregate, bool normalise,
                       const UfHyper* hyper, int P, int N, int B, double* metrics) {
    State* s = begin(be, "actor_q_loss", P, N, B, 1);
    launch(s, actor_q_loss_kernel, P, term_threads(B), dq, q, aggregate, normalise, hyper, N, B, metrics);
}

__global__ void __launch_bounds__(TERM_THREADS)
    expected_q_loss_kernel(real* dpi, UfHeads heads, const real* q, int aggregate, bool normalise, int N,
                           double* metrics) {
    const int p = static_cast<int>(blockIdx.x), B = heads.B, A = heads.A, rows = A * B;
    const real* first = q + static_cast<int64_t>(p) * N * rows;
    real* out = dpi + static_cast<int64_t>(p) * rows;
    double sums[2] = {};  // of values, of their sizes
    for (int b = static_cast<int>(threadIdx.x); b < B; b += static_cast<int>(blockDim.x)) {
        const real* m = outputs_of(heads, static_cast<int64_t>(p) * B + b);
        const UfCategorical pi = uf_categorical(m, A);
        for (int i = 0; i < A; i++) {
            int lowest;
            const real value =
                aggregate_q(first + static_cast<int64_t>(i) * B + b, aggregate, N, rows, &lowest);
            const real share = exp(m[i] - pi.log_z);
            out[static_cast<int64_t>(b) * A + i] = value;
            sums[0] += static_cast<double>(share) * value;
            sums[1] += static_cast<double>(share) * fabs(value);
        }
    }
    block_sums(sums);
    const UfHyper* h = &heads.hyper[p];
    const real lambda = normalise ? uf_q_normaliser(static_cast<real>(sums[1] / B)) : 1;
    const real scale = -h->actor_q_coef * lambda / B;
    for (int b = static_cast<int>(threadIdx.x); b < B; b += static_cast<int>(blockDim.x))  // its own rows
        for (int i = 0; i < A; i++) out[static_cast<int64_t>(b) * A + i] *= scale;
    add_metrics(metrics, p,
                {{UF_METRIC_actor_q, sums[0] / B},
                 {UF_METRIC_actor_loss, -static_cast<double>(h->actor_q_coef * lambda) * sums[0] / B}});
}

void cuda_expected_q_loss(UfBackend* be, real* dpi, const UfHeads* heads, const real* q, int aggregate,
                          bool normalise, int N, double* metrics) {
    State* s = begin(be, "expected_q_loss", heads->P, N, heads->A * heads->B, 1);
    launch(s, expected_q_loss_kernel, heads->P, term_threads(heads->B), dpi, *heads, q, aggregate, normalise,
           N, metrics);
}

struct ActorLoss {
    real *dhead, *dlog_std;
    UfHeads heads;
    const real *noise, *a_data, *weight, *dqda;
    int N;
    const real *alpha, *log_prob;
    double* metrics;
};

enum { DIMENSIONS = 6 };  // of a row that a thread has at once

// What they read.
struct Dimensions {
    real m[DIMENSIONS], raw[DIMENSIONS];  // raw: of the log-std
    real noise[DIMENSIONS], a_data[DIMENSIONS];
    real da[DIMENSIONS];  // already a mean over the batch
};

#define FOR_DIMENSIONS(k) _Pragma("unroll") for (int k = 0; k < DIMENSIONS; k++)

// Dimensions [first, first + DIMENSIONS) of row b; beyond the last one that one again. No load waits for another, and
// nothing is written between: one after the other would wait for the memory each time.
__device__ inline Dimensions read_dimensions(const ActorLoss& c, int p, int b, int first) {
    const int B = c.heads.B, A = c.heads.A;
    const int64_t row = static_cast<int64_t>(p) * B + b;
    const real *head = c.heads.head + row * c.heads.H, *a_data = c.a_data + row * A;
    Dimensions d = {};
    int i[DIMENSIONS];
    FOR_DIMENSIONS(k) i[k] = first + k < A ? first + k : A - 1;
    FOR_DIMENSIONS(k) d.m[k] = head[i[k]];
    FOR_DIMENSIONS(k) d.a_data[k] = a_data[i[k]];
    if (has_log_std(c.heads)) {
        FOR_DIMENSIONS(k) d.raw[k] = raw_log_std(c.heads, head, p, i[k]);
    }
    if (c.noise) {
        FOR_DIMENSIONS(k) d.noise[k] = c.noise[row * A + i[k]];
    }
    if (!c.dqda) return d;
#pragma unroll 2
    for (int n = 0; n < c.N; n++) {
        const real* dqda = c.dqda + ((static_cast<int64_t>(p) * c.N + n) * B + b) * A;
        FOR_DIMENSIONS(k) d.da[k] += dqda[i[k]];
    }
    return d;
}

// What all dimensions of a row share. clones: there is a behaviour cloning term.
struct RowCoefs {
    bool clones;
    real log_std_min, log_std_max;
    real bc, bc_mean, entropy_mean;  // the last two over the batch's rows
};

// Number k of what was read. Adds to sums[0] the behaviour cloning term, to sums[1] that with its weight.
__device__ inline UfHeadGrad actor_loss_of(const UfHeads& heads, const Dimensions& d, int k,
                                           const RowCoefs& coef, double* sums) {
    const int kind = heads.kind;
    bool passes = false;
    const real s = has_log_std(heads) ? uf_log_std(d.raw[k], coef.log_std_min, coef.log_std_max, &passes) : 0;
    UfHeadGrad bc_grad = {0, 0};
    real value = 0;
    if (coef.clones) value = uf_bc_loss(kind, d.m[k], s, d.a_data[k], &bc_grad);
    UfHeadGrad grad = uf_policy_sample_grad(kind, d.m[k], s, d.noise[k], d.da[k], coef.entropy_mean);
    grad.dm += coef.bc_mean * bc_grad.dm;
    grad.ds = passes ? grad.ds + coef.bc_mean * bc_grad.ds : 0;
    sums[0] += value;
    sums[1] += static_cast<double>(coef.bc) * value;
    return grad;
}

// Dimensions of row b from `first` on, those of them that there are.
__device__ inline void actor_loss_row(const ActorLoss& c, int p, int b, int first, const RowCoefs& coef,
                                      double* sums, double (&ds)[DIMENSIONS]) {
    const int A = c.heads.A, H = c.heads.H;
    real* dhead = c.dhead + (static_cast<int64_t>(p) * c.heads.B + b) * H;
    const Dimensions d = read_dimensions(c, p, b, first);
    FOR_DIMENSIONS(k) {
        const int i = first + k;
        if (i >= A) continue;
        const UfHeadGrad grad = actor_loss_of(c.heads, d, k, coef, sums);
        dhead[i] = grad.dm;
        if (!c.dlog_std && H == 2 * A) dhead[A + i] = grad.ds;
        ds[k] += grad.ds;
    }
}

// The gradient of a categorical policy's row; adds to the sums of the behaviour cloning term.
__device__ inline void categorical_loss_row(const ActorLoss& c, int p, int b, const RowCoefs& coef,
                                            double* sums) {
    const int A = c.heads.A;
    const int64_t row = static_cast<int64_t>(p) * c.heads.B + b, at = row * A;
    const real *m = outputs_of(c.heads, row), *da = c.dqda ? c.dqda + at : nullptr;
    const UfCategorical pi = uf_categorical(m, A);
    real mean_da = 0, value = 0;
    for (int i = 0; i < A && da; i++) mean_da += exp(m[i] - pi.log_z) * da[i];
    for (int i = 0; i < A; i++) {
        value -= c.a_data[at + i] * (m[i] - pi.log_z);
        c.dhead[at + i] = uf_categorical_grad(pi, m[i], c.a_data[at + i], coef.bc_mean, da ? da[i] : 0,
                                              mean_da, coef.entropy_mean);
    }
    sums[0] += value;
    sums[1] += static_cast<double>(coef.bc) * value;
}

__global__ void __launch_bounds__(TERM_THREADS) actor_loss_kernel(ActorLoss c) {
    const int p = static_cast<int>(blockIdx.x), B = c.heads.B, A = c.heads.A;
    const bool categorical = c.heads.kind == UF_POLICY_CATEGORICAL;
    const UfHyper* h = &c.heads.hyper[p];
    const real actor_bc_coef = h->actor_bc_coef, entropy = c.alpha ? h->actor_entropy_coef * c.alpha[p] : 0;
    RowCoefs coef = {actor_bc_coef > 0 || c.weight, h->log_std_min, h->log_std_max, 0, 0,
                     entropy / static_cast<real>(B)};
    double sums[3] = {};  // of cloning, of cloning with its weight, of log_prob
    for (int first = 0; first < (categorical ? 1 : A); first += DIMENSIONS) {
        double ds[DIMENSIONS] = {};
        for (int b = static_cast<int>(threadIdx.x); b < B; b += static_cast<int>(blockDim.x)) {
            coef.bc = actor_bc_coef * (c.weight ? c.weight[static_cast<int64_t>(p) * B + b] : 1);
            coef.bc_mean = coef.bc / static_cast<real>(B);
            if (categorical)
                categorical_loss_row(c, p, b, coef, sums);
            else
                actor_loss_row(c, p, b, first, coef, sums, ds);
        }
        if (!c.dlog_std) continue;
        block_sums(ds);
        for (int k = 0; k < DIMENSIONS && first + k < A && threadIdx.x == 0; k++)
            c.dlog_std[p * c.heads.log_std_stride + first + k] = static_cast<real>(ds[k]);
    }
    for (int b = static_cast<int>(threadIdx.x); c.log_prob && b < B; b += static_cast<int>(blockDim.x))
        sums[2] += c.log_prob[static_cast<int64_t>(p) * B + b];
    block_sums(sums);
    add_metrics(c.metrics, p,
                {{UF_METRIC_bc_loss, sums[0] / B},
                 {UF_METRIC_entropy, -sums[2] / B},
                 {UF_METRIC_actor_loss, (sums[1] + static_cast<double>(entropy) * sums[2]) / B}});
}

void cuda_actor_loss(UfBackend* be, real* dhead, real* dlog_std, const UfHeads* heads, const real* noise,
                     const real* a_data, const real* weight, const real* dqda, int N, const real* alpha,
                     const real* log_prob, double* metrics) {
    State* s = begin(be, "actor_loss", heads->P, N, heads->B, heads->H);
    const ActorLoss c = {dhead, dlog_std, *heads, noise, a_data, weight, dqda, N, alpha, log_prob, metrics};
    launch(s, actor_loss_kernel, heads->P, term_threads(heads->B), c);
}

// ---- critic terms ----

struct TdTarget {
    real* y;
    const real *next_action, *reward, *done, *q, *v;
    UfActions next;
    const real *alpha, *log_prob;
    const UfHyper* hyper;
    int N, B, A;
    double *metrics, weight;
};

// Squared distance of two actions, read DIMENSIONS numbers at a time.
__device__ inline real distance_of(const real* a, const real* b, int A) {
    real distance = 0;
    for (int first = 0; first < A; first += DIMENSIONS) {
        real difference[DIMENSIONS];
        FOR_DIMENSIONS(k) {
            const int i = first + k < A ? first + k : A - 1;
            difference[k] = a[i] - b[i];
        }
        FOR_DIMENSIONS(k) if (first + k < A) distance += difference[k] * difference[k];
    }
    return distance;
}

__global__ void __launch_bounds__(TERM_THREADS) td_target_kernel(TdTarget c) {
    const int p = static_cast<int>(blockIdx.x);
    const UfHyper* h = &c.hyper[p];
    double sum = 0;
    for (int b = static_cast<int>(threadIdx.x); b < c.B; b += static_cast<int>(blockDim.x)) {
        const int64_t row = static_cast<int64_t>(p) * c.B + b;
        const real *a = c.next.a + (static_cast<int64_t>(p) * c.next.total + b) * c.next.ld,
                   *a_data = c.next_action + row * c.A;
        const real distance = distance_of(a, a_data, c.A);
        real value = c.v ? c.v[row] : min_q(c.q, p, c.N, c.B, b);
        if (c.alpha) value -= h->critic_entropy_coef * c.alpha[p] * c.log_prob[row];
        value -= h->critic_bc_coef * distance;
        const real y = uf_td_target(c.reward[row], c.done[row], h->gamma, value);
        c.y[row] = y;
        sum += y;
    }
    add_metric(c.metrics, p, UF_METRIC_target, c.weight * block_sum(sum) / c.B);
}

void cuda_td_target(UfBackend* be, real* y, const UfBatch* batch, const real* q, const real* v,
                    UfActions next, const real* alpha, const real* log_prob, const UfHyper* hyper, int P,
                    int N, int B, int A, double* metrics, double weight) {
    State* s = begin(be, "td_target", P, N, B, A);
    const TdTarget c = {y,     batch->next_action, batch->reward, batch->done, q, v, next,
                        alpha, log_prob,           hyper,         N,           B, A, metrics,
                        weight};
    launch(s, td_target_kernel, P, term_threads(B), c);
}

struct QLoss {
    real* dq;
    const real *q, *y;
    const UfHyper* hyper;
    int N, B, total, num_data;
    bool all_actions;
    double *metrics, weight;
};

__global__ void __launch_bounds__(TERM_THREADS) q_loss_kernel(QLoss c) {
    const int p = static_cast<int>(blockIdx.x), B = c.B, groups = c.total / B, first = c.all_actions ? 1 : 0;
    const UfHyper* h = &c.hyper[p];
    double sums[2] = {};  // of errors, of conservative penalties
    for (int e = static_cast<int>(threadIdx.x); e < c.N * B; e += static_cast<int>(blockDim.x)) {
        const int n = e / B, b = e % B;
        const int64_t at = (static_cast<int64_t>(p) * c.N + n) * c.total + b;
        const real q = c.q[at];
        real d;
        sums[0] += uf_q_loss(q, c.y[static_cast<int64_t>(p) * B + b], &d);
        d /= B;
        if (groups > 1) {
            const int64_t from = at + static_cast<int64_t>(first) * B;
            sums[1] += static_cast<double>(
                           uf_log_sum_exp(c.q + from, groups - first, B, h->cql_temperature, c.dq + from)) /
                       B;
            if (b < c.num_data) sums[1] -= static_cast<double>(q) / c.num_data;
            d += h->cql_min_q_weight *
                 ((first ? 0 : c.dq[at] / B) - (b < c.num_data ? static_cast<real>(1) / c.num_data : 0));
            for (int k = 1; k < groups; k++) {
                real* dk = &c.dq[at + static_cast<int64_t>(k) * B];
                *dk = h->cql_min_q_weight * *dk / B;
            }
        }
        c.dq[at] = d;
    }
    block_sums(sums);
    add_metrics(c.metrics, p,
                {{UF_METRIC_critic_loss,
                  c.weight * (sums[0] / B + static_cast<double>(h->cql_min_q_weight) * sums[1])},
                 {UF_METRIC_cql_loss, c.weight * sums[1]}});
}

void cuda_q_loss(UfBackend* be, real* dq, const real* q, const real* y, const UfHyper* hyper, int P, int N,
                 int B, int total, bool all_actions, int num_data, double* metrics, double weight) {
    State* s = begin(be, "q_loss", P, N, B, 1);
    const QLoss c = {dq, q, y, hyper, N, B, total, num_data, all_actions, metrics, weight};
    launch(s, q_loss_kernel, P, term_threads(static_cast<int64_t>(N) * B), c);
}

struct Diversity {
    real* tangent;
    const real* dqda;
    const UfHyper* hyper;
    int N, B, total, A;
    double *metrics, weight;
};

__device__ inline real norm_of(const real* q, int A) {
    real norm = 0;
    for (int i = 0; i < A; i++) norm += q[i] * q[i];
    return sqrt(norm);
}

// The row's part of D = 1/(N-1) (|sum_i g_i|^2 - sum_i |g_i|^2), and dD/dg_i = 2/(N-1) (sum_j g_j - g_i) through g =
// q/(|q| + eps) into the tangent, which first holds g. A lane takes critics.
__device__ inline double diversity_of_row(const Diversity& c, int64_t row, real scale) {
    const int64_t network = static_cast<int64_t>(c.total) * c.A;
    double sum_squared = 0, squares = 0;
    for (int n = lane(); n < c.N; n += WARP) {
        const real *q = c.dqda + row + n * network, norm = norm_of(q, c.A);
        for (int i = 0; i < c.A; i++)
            c.tangent[row + n * network + i] = q[i] / (norm + static_cast<real>(UF_DIVERSITY_EPS));
    }
    for (int i = 0; i < c.A; i++) {
        real sum = 0;
        for (int n = lane(); n < c.N; n += WARP) {
            const real g = c.tangent[row + n * network + i];
            sum += g;
            squares += static_cast<double>(g) * g;
        }
        sum = warp_sum(sum);
        sum_squared += static_cast<double>(sum) * sum;
        for (int n = lane(); n < c.N; n += WARP) {
            real* g = &c.tangent[row + n * network + i];
            *g = 2 * (sum - *g) / (c.N - 1);
        }
    }
    for (int n = lane(); n < c.N; n += WARP) {
        const real *q = c.dqda + row + n * network, norm = norm_of(q, c.A);
        const real divisor = norm > 0 ? norm : 1;  // at q = 0 the norm's derivative is taken as 0
        real* y = c.tangent + row + n * network;
        real inner = 0;
        for (int i = 0; i < c.A; i++) inner += q[i] / divisor * y[i];
        for (int i = 0; i < c.A; i++) y[i] = scale * uf_diversity_grad(q[i] / divisor, y[i], norm, inner);
    }
    return (sum_squared - warp_sum(squares)) / (c.N - 1);
}

__global__ void __launch_bounds__(TERM_THREADS) diversity_kernel(Diversity c) {
    const int p = static_cast<int>(blockIdx.x), num_warps = static_cast<int>(blockDim.x) / WARP;
    const int64_t network = static_cast<int64_t>(c.total) * c.A, base = p * c.N * network;
    const real coef = c.hyper[p].diversity_coef;
    double loss = 0;
    for (int b = warp(); b < c.B; b += num_warps) {
        const double row = diversity_of_row(c, base + static_cast<int64_t>(b) * c.A, coef / c.B);
        if (lane() == 0) loss += row;
    }
    const int64_t rest = static_cast<int64_t>(c.total - c.B) * c.A;
    for (int64_t e = threadIdx.x; e < c.N * rest; e += blockDim.x)
        c.tangent[base + e / rest * network + static_cast<int64_t>(c.B) * c.A + e % rest] = 0;
    loss = block_sum(loss);
    add_metrics(c.metrics, p,
                {{UF_METRIC_diversity_loss, c.weight * loss / c.B},
                 {UF_METRIC_critic_loss, c.weight * static_cast<double>(coef) * loss / c.B}});
}

void cuda_diversity_loss(UfBackend* be, real* tangent, const real* dqda, const UfHyper* hyper, int P, int N,
                         int B, int total, int A, double* metrics, double weight) {
    State* s = begin(be, "diversity_loss", P, N, total, A);
    const Diversity c = {tangent, dqda, hyper, N, B, total, A, metrics, weight};
    launch(s, diversity_kernel, P, term_threads(static_cast<int64_t>(B) * WARP), c);
}

__global__ void __launch_bounds__(TERM_THREADS)
    value_loss_kernel(real* dv, const real* q, int q_total, const real* v, const UfHyper* hyper, int N, int B,
                      double* metrics) {
    const int p = static_cast<int>(blockIdx.x);
    double sum = 0;
    for (int b = static_cast<int>(threadIdx.x); b < B; b += static_cast<int>(blockDim.x)) {
        const int64_t row = static_cast<int64_t>(p) * B + b;
        real d;
        sum += uf_value_loss(min_q(q, p, N, q_total, b), v[row], hyper[p].value_expectile, &d);
        dv[row] = d / B;
    }
    add_metric(metrics, p, UF_METRIC_value_loss, block_sum(sum) / B);
}

void cuda_value_loss(UfBackend* be, real* dv, const real* q, int q_total, const real* v, const UfHyper* hyper,
                     int P, int N, int B, double* metrics) {
    State* s = begin(be, "value_loss", P, N, B, 1);
    launch(s, value_loss_kernel, P, term_threads(B), dv, q, q_total, v, hyper, N, B, metrics);
}

// ---- world model ----

__global__ void __launch_bounds__(THREADS)
    dynamics_target_kernel(real* target, const real* obs, const real* next, const real* reward, int O,
                           int64_t count) {
    const int64_t i = thread_id();
    if (i >= count) return;
    const int64_t row = i / (O + 1), k = i % (O + 1);
    target[i] = k < O ? next[row * O + k] - obs[row * O + k] : reward[row];
}

void cuda_dynamics_target(UfBackend* be, real* target, const UfBatch* batch, int P, int B, int O) {
    State* s = begin(be, "dynamics_target", P, 1, B, O);
    const int64_t count = static_cast<int64_t>(P) * B * (O + 1);
    launch(s, dynamics_target_kernel, ceil_div(count, THREADS), THREADS, target, batch->obs, batch->next_obs,
           batch->reward, O, count);
}

struct DynamicsLoss {
    real *dout, *dbounds;
    const real *out, *target, *bounds;
    int64_t stride;
    double diff_coef;
    int P, N, B, D;
    double* loss;
};

// A block a network, a warp a number of the target.
__global__ void __launch_bounds__(TERM_THREADS) dynamics_loss_kernel(DynamicsLoss c) {
    const int p = static_cast<int>(blockIdx.x) / c.N, n = static_cast<int>(blockIdx.x) % c.N, D = c.D;
    const int64_t rows = static_cast<int64_t>(blockIdx.x) * c.B, width = 2 * static_cast<int64_t>(D);
    const real* max = c.bounds + p * c.stride;
    const real scale = static_cast<real>(1.0 / c.B / D), diff = n ? 0 : static_cast<real>(c.diff_coef);
    real* dmax = c.dbounds + (static_cast<int64_t>(n) * c.P + p) * c.stride;
    double sum = 0, range = 0;
    for (int d = warp(); d < D; d += static_cast<int>(blockDim.x) / WARP) {
        const real exp_min = exp(max[D + d]), exp_minus_max = exp(-max[d]);
        real high = 0, low = 0;
        for (int b = lane(); b < c.B; b += WARP) {
            const int64_t at = (rows + b) * width + d;
            const UfModelLoss l =
                uf_model_loss(c.out[at], c.out[at + D], c.target[(static_cast<int64_t>(p) * c.B + b) * D + d],
                              exp_min, exp_minus_max);
            c.dout[at] = scale * l.dmean;
            c.dout[at + D] = scale * l.draw;
            high += l.dmax;
            low += l.dmin;
            sum += l.loss;
        }
        high = warp_sum(high);
        low = warp_sum(low);
        if (lane() != 0) continue;
        dmax[d] = scale * high + diff;
        dmax[D + d] = scale * low - diff;
        range += static_cast<double>(max[d]) - max[D + d];
    }
    sum = block_sum(sum);
    range = block_sum(range);
    double* loss = c.loss + static_cast<int64_t>(p) * (c.N + 1);
    if (threadIdx.x == 0) loss[n] += sum / c.B / D;
    if (threadIdx.x == 0 && n == 0) loss[c.N] += c.diff_coef * range;
}

void cuda_dynamics_loss(UfBackend* be, real* dout, real* dbounds, const real* out, const real* target,
                        const real* bounds, size_t stride, double diff_coef, int P, int N, int B, int D,
                        double* loss) {
    State* s = begin(be, "dynamics_loss", P, N, B, D);
    const DynamicsLoss c = {dout,      dbounds, out, target, bounds, static_cast<int64_t>(stride),
                            diff_coef, P,       N,   B,      D,      loss};
    launch(s, dynamics_loss_kernel, static_cast<int64_t>(P) * N, term_threads(static_cast<int64_t>(D) * WARP),
           c);
}

__global__ void __launch_bounds__(TERM_THREADS)
    dynamics_error_kernel(double* sum, const real* out, const real* target, int N, int B, int D) {
    const int64_t g = blockIdx.x;
    out += g * B * 2 * D;
    target += g / N * B * D;
    double error = 0;
    for (int b = static_cast<int>(threadIdx.x); b < B; b += static_cast<int>(blockDim.x)) {
        real row = 0;
        for (int d = 0; d < D; d++) {
            const real e = out[static_cast<int64_t>(b) * 2 * D + d] - target[static_cast<int64_t>(b) * D + d];
            row += e * e;
        }
        error += row;
    }
    error = block_sum(error);
    if (threadIdx.x == 0) sum[g] += error;
}

void cuda_dynamics_error(UfBackend* be, double* sum, const real* out, const real* target, int P, int N, int B,
                         int D) {
    State* s = begin(be, "dynamics_error", P, N, B, D);
    launch(s, dynamics_error_kernel, static_cast<int64_t>(P) * N, term_threads(B), sum, out, target, N, B, D);
}

struct ModelStep {
    real *next_obs, *reward, *done, *penalty, *distance;
    const real *out, *bounds, *noise;
    UfInput x;
    const int64_t* elite;
    const UfHyper* hyper;
    UfTermination termination;
    real discrepancy, min_reward;
    int O, E, R;
};

// The largest squared norm of the elites' standard deviations: their variances summed.
__device__ inline real largest_variance(const ModelStep& c, const real* raw, int64_t network) {
    const int D = c.O + 1;
    real largest = 0;
    for (int e = 0; e < c.E; e++, raw += network) {
        real sum = 0;
        for (int d = lane(); d < D; d += WARP) sum += uf_model_variance(raw[d], c.bounds[d], c.bounds[D + d]);
        sum = warp_sum(sum);
        largest = sum > largest || sum != sum ? sum : largest;
    }
    return largest;
}

// The largest squared distance between two elites' means.
__device__ inline real largest_distance(const ModelStep& c, const real* mean, int64_t network) {
    real largest = 0;
    for (int e = 1; e < c.E; e++)
        for (int f = 0; f < e; f++) {
            const real *a = mean + e * network, *b = mean + f * network;
            real sum = 0;
            for (int d = lane(); d <= c.O; d += WARP) sum += (a[d] - b[d]) * (a[d] - b[d]);
            sum = warp_sum(sum);
            largest = sum > largest || sum != sum ? sum : largest;
        }
    return largest;
}

// A warp a row.
__global__ void __launch_bounds__(THREADS) model_step_kernel(ModelStep c, int64_t num_rows) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * WARPS + warp();
    if (row >= num_rows) return;
    const int p = static_cast<int>(row / c.R), O = c.O, D = O + 1;
    const int64_t b = row % c.R, network = static_cast<int64_t>(c.R) * 2 * D;
    const UfHyper* h = &c.hyper[p];
    const real *first = c.out + p * c.E * network + b * 2 * D, *mean = first + c.elite[row] * network,
               *noise = c.noise + row * D, *obs = c.x.x + (static_cast<int64_t>(p) * c.x.total + b) * c.x.ld;
    real *next_obs = c.next_obs + row * O, own = 0;
    for (int d = lane(); d < D; d += WARP) {
        const real variance = uf_model_variance(mean[D + d], c.bounds[d], c.bounds[D + d]);
        const real sample = mean[d] + sqrt(variance) * noise[d];
        if (d < O)
            next_obs[d] = obs[d] + sample;
        else
            own = sample;
    }
    real reward = __shfl_sync(0xffffffffu, own, O % WARP);  // of the lane that has the reward
    const real coef = h->step_penalty_coef,
               penalty = coef > 0 ? coef * sqrt(largest_variance(c, first + D, network)) : 0;
    const bool pessimist = h->term_penalty_offset < 0;
    const real distance = pessimist || c.distance ? sqrt(largest_distance(c, first, network)) : 0;
    __syncwarp();  // lane 0 reads what the others wrote
    if (lane() != 0) return;
    bool done = uf_terminates(c.termination, obs, next_obs, O);
    reward -= penalty;
    if (c.distance) c.distance[row] = distance;
    if (pessimist && distance > h->threshold_coef * c.discrepancy) {
        done = true;
        reward = c.min_reward + h->term_penalty_offset;
    }
    c.reward[row] = reward;
    c.done[row] = done;
    c.penalty[row] = penalty;
}

void cuda_model_step(UfBackend* be, real* next_obs, real* reward, real* done, real* penalty, real* distance,
                     const UfElites* model, const real* out, UfInput x, const int64_t* elite,
                     const real* noise, const UfHyper* hyper, int P, int R) {
    State* s = begin(be, "model_step", P, model->nets.N, R, model->obs_dim);
    const ModelStep c = {next_obs,
                         reward,
                         done,
                         penalty,
                         distance,
                         out,
                         model->bounds,
                         noise,
                         x,
                         elite,
                         hyper,
                         model->termination,
                         model->discrepancy,
                         model->min_reward,
                         model->obs_dim,
                         model->nets.N,
                         R};
    const int64_t rows = static_cast<int64_t>(P) * R;
    launch(s, model_step_kernel, ceil_div(rows, WARPS), THREADS, c, rows);
}

struct ModelError {
    double* error;
    const real *out, *obs, *next_obs, *reward;
    int O, E, R;

    __device__ double target(int64_t row, int d) const {
        if (d == O) return reward[row];
        return static_cast<double>(next_obs[row * O + d]) - obs[row * O + d];
    }
};

// A block a member, a warp a number of the target.
__global__ void __launch_bounds__(TERM_THREADS) model_error_kernel(ModelError c) {
    const int64_t p = blockIdx.x, base = p * c.R;
    const int D = c.O + 1;
    double sum = 0, count = 0;
    for (int d = warp(); d < D; d += static_cast<int>(blockDim.x) / WARP) {
        double mean = 0, squares = 0, wrong = 0;
        for (int b = lane(); b < c.R; b += WARP) mean += c.target(base + b, d) / c.R;
        mean = warp_sum(mean);
        for (int b = lane(); b < c.R; b += WARP) {
            const double target = c.target(base + b, d);
            double guess = 0;
            for (int e = 0; e < c.E; e++)
                guess +=
                    static_cast<double>(c.out[(base * c.E + static_cast<int64_t>(e) * c.R + b) * 2 * D + d]) /
                    c.E;
            squares += (target - mean) * (target - mean);
            wrong += (target - guess) * (target - guess);
        }
        squares = warp_sum(squares);
        wrong = warp_sum(wrong);
        if (lane() != 0 || !(squares > 0)) continue;
        sum += wrong / squares;
        count++;
    }
    sum = block_sum(sum);
    count = block_sum(count);
    if (threadIdx.x == 0) c.error[p] = count > 0 ? sqrt(sum / count) : 0;
}

void cuda_model_error(UfBackend* be, double* error, const UfElites* model, const real* out,
                      const UfBatch* batch, int P, int R) {
    State* s = begin(be, "model_error", P, model->nets.N, R, model->obs_dim);
    const ModelError c = {error,          out,           batch->obs, batch->next_obs, batch->reward,
                          model->obs_dim, model->nets.N, R};
    launch(s, model_error_kernel, P, term_threads(static_cast<int64_t>(c.O + 1) * WARP), c);
}

struct RingAppend {
    UfRing ring;
    int* alive;
    bool start;
    double* sums;
    UfInput x;
    const real *reward, *done, *next_obs, *next_action, *penalty;
    int R;

    __device__ const real* input(int64_t p, int b) const { return x.x + (p * x.total + b) * x.ld; }
};

__device__ inline bool lanes_finite(const real* x, int count) {
    bool finite = true;
    for (int i = lane(); i < count; i += WARP) finite = finite && uf_is_finite(x[i]);
    return __all_sync(0xffffffffu, finite);
}

// One warp's row to place `at` of the ring.
__device__ inline void put_row(const RingAppend& c, int64_t p, int b, int64_t at) {
    const UfRing& ring = c.ring;
    const int O = ring.obs_dim, A = ring.action_dim;
    const int64_t row = p * c.R + b, place = p * ring.capacity + at;
    float* record = ring.records + place * ring.stride;
    copy_row(record, c.input(p, b), O + A);
    if (lane() == 0) {
        record[O + A] = c.reward[row];
        record[O + A + 1] = c.done[row];
        record[O + A + 2] = 0;
    }
    copy_row(ring.next_obs + place * O, c.next_obs + row * O, O);
    copy_row(ring.next_actions + place * A, c.next_action + row * A, A);
}

// Three kernels, since a block that had a member to itself waited for the memory row after row. Between them `alive` holds
// what is known of a row: whether it goes on, whether it is put, whether it was tried, and from PLACE on where in the ring.
enum { GOES_ON = 1, PUT = 2, TRIED = 4, PLACE = 8 };
enum { MOST_PLACES = 1 << 28 };

// A warp a row.
__global__ void __launch_bounds__(THREADS) ring_look_kernel(RingAppend c, int64_t num_rows) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * WARPS + warp();
    if (row >= num_rows) return;
    const int64_t p = row / c.R, b = row % c.R;
    const int O = c.ring.obs_dim, A = c.ring.action_dim;
    const bool asked = c.start || c.alive[row];
    const bool finite = asked && lanes_finite(c.input(p, static_cast<int>(b)), O + A) &&
                        uf_is_finite(c.reward[row]) && lanes_finite(c.next_obs + row * O, O) &&
                        lanes_finite(c.next_action + row * A, A);
    __syncwarp();  // all lanes have read what lane 0 now writes
    if (lane() != 0) return;
    const bool done = finite && c.done[row] > 0;
    c.alive[row] = (asked ? TRIED : 0) + (finite ? PUT : 0) + (finite && !done ? GOES_ON : 0);
}

// How many threads of the block before this one have `one`, and all. of_warp is free again behind the barrier after next.
__device__ inline int block_prefix(bool one, int (&of_warp)[WARP], int* all) {
    int up_to = one;
    for (int offset = 1; offset < WARP; offset *= 2) {
        const int other = __shfl_up_sync(0xffffffffu, up_to, offset);
        if (lane() >= offset) up_to += other;
    }
    if (lane() == WARP - 1) of_warp[warp()] = up_to;
    __syncthreads();
    int before = up_to - one;
    *all = 0;
    for (int w = 0; w < static_cast<int>(blockDim.x) / WARP; w++) {
        if (w < warp()) before += of_warp[w];
        *all += of_warp[w];
    }
    return before;
}

// A block a member, a thread a row, TERM_THREADS at a time: a prefix sum over those that are kept gives each its place.
__global__ void __launch_bounds__(TERM_THREADS) ring_place_kernel(RingAppend c) {
    __shared__ int of_warp[2][WARP];  // in turn
    const int64_t p = blockIdx.x, capacity = c.ring.capacity, head = c.ring.head[p];
    const int tid = static_cast<int>(threadIdx.x);
    int* alive = c.alive + p * c.R;
    double sums[4] = {};  // tried, dropped, terminated, penalties
    int64_t total = 0;
    int next = tid < c.R ? alive[tid] : 0, turn = 0;
    for (int first = 0; first < c.R; first += TERM_THREADS, turn = 1 - turn) {
        const int b = first + tid, is = next;
        next = b + TERM_THREADS < c.R ? alive[b + TERM_THREADS] : 0;
        const bool put = is & PUT;
        int all;
        const int before = block_prefix(put, of_warp[turn], &all);
        if (b < c.R) {
            sums[0] += is & TRIED ? 1 : 0;
            sums[1] += (is & TRIED) && !put;
            sums[2] += put && !(is & GOES_ON);
            sums[3] += put ? static_cast<double>(c.penalty[p * c.R + b]) : 0;
            const int64_t place = (head + total + before) % capacity;
            alive[b] = (is & GOES_ON) + (put ? PUT + PLACE * static_cast<int>(place) : 0);
        }
        total += all;
    }
    // Of more than there is room for, the later ones stay.
    int64_t rank = 0;
    for (int first = 0; total > capacity && first < c.R; first += TERM_THREADS, turn = 1 - turn) {
        const int b = first + tid, is = b < c.R ? alive[b] : 0;
        int all;
        const int64_t mine = rank + block_prefix(is & PUT, of_warp[turn], &all);
        if ((is & PUT) && mine + capacity < total) alive[b] = is & GOES_ON;
        rank += all;
    }
    block_sums(sums);
    if (tid == 0) {
        c.ring.head[p] = (head + total) % capacity;
        c.ring.fill[p] = c.ring.fill[p] + total < capacity ? c.ring.fill[p] + total : capacity;
    }
    static_assert(UF_ROLLOUT_TRIED == 0 && UF_ROLLOUT_DROPPED == 1 && UF_ROLLOUT_TERMINATED == 2 &&
                      UF_ROLLOUT_PENALTY == 3,
                  "the same order");
    add_each(c.sums + p * UF_NUM_ROLLOUT_SUMS, sums);
}

// A warp a row.
__global__ void __launch_bounds__(THREADS) ring_put_kernel(RingAppend c, int64_t num_rows) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * WARPS + warp();
    if (row >= num_rows) return;
    const int is = c.alive[row];
    __syncwarp();  // all lanes have read what lane 0 now writes
    if (is & PUT) put_row(c, row / c.R, static_cast<int>(row % c.R), is / PLACE);
    if (lane() == 0) c.alive[row] = is & GOES_ON;
}

void cuda_ring_append(UfBackend* be, const UfRing* ring, int* alive, bool start, double* sums, UfInput x,
                      const UfBatch* step, const real* penalty, int P, int R) {
    State* s = begin(be, "ring_append", P, 1, R, ring->stride);
    const RingAppend c = {
        *ring,   alive, start, sums, x, step->reward, step->done, step->next_obs, step->next_action,
        penalty, R};
    const int64_t rows = static_cast<int64_t>(P) * R;
    if (ring->capacity > MOST_PLACES)
        fail(s, UF_ERR_UNSUPPORTED,
             "a buffer of %lld rows; on a CUDA device %d at most: lower "
             "rollout_batch_size or model_retain_epochs",
             static_cast<long long>(ring->capacity), static_cast<int>(MOST_PLACES));
    launch(s, ring_look_kernel, ceil_div(rows, WARPS), THREADS, c, rows);
    launch(s, ring_place_kernel, P, TERM_THREADS, c);
    launch(s, ring_put_kernel, ceil_div(rows, WARPS), THREADS, c, rows);
}

// ---- optimiser ----

struct Adam {
    UfGroup group;
    const real *lr, *polyak;
    UfCount step;
    const int64_t* replays;
    UfDecay decay;
    double weight_decay;
    int* bad;
    int blocks_each;
    bool aligned;  // the arrays begin on 16 bytes
    PackedShape shape;
    unsigned char *packed, *packed_target;  // copies of the parameters, of the target's.   Nullable
};

// Four numbers that lie in 16 bytes; [low, high) of them are the member's.
struct Four {
    int64_t at;
    int low, high;
    bool at_once;  // all are, and arrays begin on 16 bytes
};

// ONCE: nobody needs the array again soon.
template <bool ONCE>
__device__ inline void load_four(real (&x)[4], const real* array, const Four& four) {
    const real* from = array + four.at;
    if (four.at_once) {
        const float4* whole = reinterpret_cast<const float4*>(from);
        const float4 v = ONCE ? __ldcs(whole) : *whole;
        x[0] = v.x;
        x[1] = v.y;
        x[2] = v.z;
        x[3] = v.w;
        return;
    }
#pragma unroll
    for (int q = 0; q < 4; q++) x[q] = q >= four.low && q < four.high ? from[q] : 0;
}

template <bool ONCE>
__device__ inline void store_four(real* array, const Four& four, const real (&x)[4]) {
    real* to = array + four.at;
    if (four.at_once) {
        const float4 v = make_float4(x[0], x[1], x[2], x[3]);
        float4* whole = reinterpret_cast<float4*>(to);
        if (ONCE)
            __stcs(whole, v);
        else
            *whole = v;
        return;
    }
#pragma unroll
    for (int q = 0; q < 4; q++)
        if (q >= four.low && q < four.high) to[q] = x[q];
}

// Blocks of a member share its parameters; each parameter is read and written once, four by four. What a thread's first
// four need is on its way before the step is worked out.
template <bool PACKS>
__global__ void __launch_bounds__(THREADS) adam_polyak_kernel(const __grid_constant__ Adam c) {
    __shared__ UfAdamStep step;
    const UfGroup& g = c.group;
    const int p = static_cast<int>(blockIdx.x) / c.blocks_each,
              block = static_cast<int>(blockIdx.x) % c.blocks_each;
    const int64_t count = static_cast<int64_t>(g.count), first = p * count, end = first + count,
                  stride = g.P * count, fours = (end + 3) / 4;
    int64_t i = first / 4 + static_cast<int64_t>(block) * THREADS + threadIdx.x;
    Four four = {};
    real w[4], m[4], v[4], grad[4], second[4], target[4];
    const auto load_part = [&](real(&part)[4], int k) {
        Four of = four;
        of.at_once = four.at_once && k * stride % 4 == 0;
        load_four<true>(part, g.grads + k * stride, of);
    };
    const auto load = [&] {
        four.at = 4 * i;
        four.low = first > four.at ? static_cast<int>(first - four.at) : 0;
        four.high = end - four.at < 4 ? static_cast<int>(end - four.at) : 4;
        four.at_once = c.aligned && four.low == 0 && four.high == 4;
        load_four<false>(w, g.params, four);
        if (c.lr) {
            load_four<true>(m, g.m, four);
            load_four<true>(v, g.v, four);
            load_four<true>(grad, g.grads, four);
        }
        if (c.polyak) load_four<false>(target, g.target, four);
        if (c.lr && g.num_blocks > 1) load_part(second, 1);
    };
    if (i < fours) load();
    const real share = c.polyak ? c.polyak[p] : 0;
    if (c.lr && warp() == 0) {  // a lane for each power: they take long
        const int64_t now = count_now(c.step, c.replays);
        const double power = pow(lane() ? UF_ADAM_BETA2 : UF_ADAM_BETA1, static_cast<double>(now)),
                     second_power = __shfl_sync(0xffffffffu, power, 1);
        if (lane() == 0) step = uf_adam_step_of(c.lr[p], now, c.decay, c.weight_decay, power, second_power);
    }
    __syncthreads();
    bool bad = false;
    const auto put_copy = [&](unsigned char* to, const real(&x)[4]) {
        if (!PACKS || !to) return;
        const int size = c.shape.size, e = static_cast<int>(four.at - first), n = e / size;
        to += (p * (g.count / static_cast<size_t>(size)) + static_cast<size_t>(n)) *
              static_cast<size_t>(c.shape.bytes);
        put_packed(to, c.shape, e - n * size, x);
    };
    while (i < fours) {
        if (c.lr) {
            for (int k = 1; k < g.num_blocks; k++) {
                if (k > 1) load_part(second, k);
#pragma unroll
                for (int q = 0; q < 4; q++) grad[q] += second[q];
            }
#pragma unroll
            for (int q = 0; q < 4; q++) {
                uf_adam(&w[q], &m[q], &v[q], grad[q], step);
                bad = bad || !uf_is_finite(w[q]) || !uf_is_finite(v[q]);
            }
            store_four<false>(g.params, four, w);
            store_four<true>(g.m, four, m);
            store_four<true>(g.v, four, v);
            put_copy(c.packed, w);
        }
        if (c.polyak) {
#pragma unroll
            for (int q = 0; q < 4; q++)
                target[q] = share == 1 ? w[q] : target[q] + share * (w[q] - target[q]);
            store_four<false>(g.target, four, target);
            put_copy(c.packed_target, target);
        }
        i += static_cast<int64_t>(c.blocks_each) * THREADS;
        if (i < fours) load();
    }
    if (bad) uf_store_flag(&c.bad[p]);
}

void cuda_adam_polyak(UfBackend* be, const UfGroup* group, const real* lr, UfCount step, UfDecay decay,
                      double weight_decay, const real* polyak, int* bad) {
    State* s = begin(be, "adam_polyak", group->P, group->num_blocks, 1, static_cast<int>(group->count));
    // One more four where a member begins within one.
    const int64_t needed = ceil_div(static_cast<int64_t>(group->count) / 4 + 2, THREADS),
                  fair = ceil_div(16 * static_cast<int64_t>(s->num_sms), group->P);
    bool aligned = true;
    for (const real* array : {group->params, group->grads, group->m, group->v, group->target})
        aligned = aligned && reinterpret_cast<uintptr_t>(array) % sizeof(float4) == 0;
    const PackedNets *packed = packed_of(s, group->params),
                     *of_target = group->target ? packed_of(s, group->target) : nullptr;
    const Adam c = {
        *group,
        lr,
        polyak,
        step,
        s->recording ? s->replays : nullptr,
        decay,
        weight_decay,
        bad,
        static_cast<int>(needed < fair ? needed : fair),
        aligned,
        packed || of_target ? packed_shape(s, &(packed ? packed : of_target)->mlp) : PackedShape{},
        packed ? packed->at : nullptr,
        of_target ? of_target->at : nullptr};
    launch(s, packed || of_target ? adam_polyak_kernel<true> : adam_polyak_kernel<false>,
           static_cast<int64_t>(group->P) * c.blocks_each, THREADS, c);
}

// ---- branches ----

// The clock times one stream.
void cuda_branch(UfBackend* be, int to) { state_of(be)->branch = state_of(be)->clock ? 0 : to; }

void cuda_after(UfBackend* be, int on) {
    State* s = begin(be, "after", 0, 0, 0, 0);
    if (s->failed != UF_OK || on == s->branch || s->clock) return;
    check(s, cudaEventRecord(s->events[on], s->streams[on]));
    check(s, cudaStreamWaitEvent(s->streams[s->branch], s->events[on], 0));
}

// ---- recording ----

__global__ void advance_kernel(int64_t* replays) { ++*replays; }

void forget(State* s) {
    if (s->graph) check(s, cudaGraphExecDestroy(s->graph));
    s->graph = nullptr;
}

// Of a recorded update, for the bench.
void count_kernels(State* s, cudaGraph_t graph) {
    cudaGraphNode_t* nodes = nullptr;
    size_t count = 0;
    s->num_recorded = 0;
    check(s, cudaGraphGetNodes(graph, nullptr, &count));
    if (s->failed != UF_OK || UF_ALLOC(&nodes, count, "nodes of a graph") != UF_OK) return;
    check(s, cudaGraphGetNodes(graph, nodes, &count));
    for (size_t i = 0; i < count && s->failed == UF_OK; i++) {
        cudaGraphNodeType type;
        check(s, cudaGraphNodeGetType(nodes[i], &type));
        s->num_recorded += type == cudaGraphNodeTypeKernel;
    }
    uf_free(nodes);
}

void cuda_record(UfBackend* be) {
    State* s = begin(be, "record", 0, 0, 0, 0);
    renew_packed(s);
    forget(s);
    if (s->failed != UF_OK) return;
    check(s, cudaMemsetAsync(s->replays, 0, sizeof *s->replays, s->streams[0]));
    check(s, cudaStreamBeginCapture(s->streams[0], cudaStreamCaptureModeThreadLocal));
    s->recording = s->failed == UF_OK;
}

void cuda_end_record(UfBackend* be) {
    State* s = state_of(be);
    cudaGraph_t graph = nullptr;
    if (!s->recording) return;
    launch(s, advance_kernel, 1, 1, s->replays);
    s->where = Where{"end_record", 0, 0, 0, 0};
    s->recording = false;
    check(s, cudaStreamEndCapture(s->streams[0], &graph));
    if (s->failed == UF_OK) check(s, cudaGraphInstantiate(&s->graph, graph, 0));
    if (s->failed == UF_OK) count_kernels(s, graph);
    if (graph) check(s, cudaGraphDestroy(graph));
}

void cuda_repeat(UfBackend* be) {
    State* s = begin(be, "recorded update", 0, 0, 0, 0);
    renew_packed(s);
    if (s->failed == UF_OK) check(s, cudaGraphLaunch(s->graph, s->streams[0]));
}

// ---- bench ----

void cuda_product(UfBackend* be, real* c, const real* a, const real* b, int m, int n, int k) {
    State* s = begin(be, "product", 1, 1, m, n);
    product(s, Product{Matrix{a, k, false, 0, 0, 0}, Matrix{b, n, false, 0, 0, 0},
                       Matrix{c, n, false, 0, 0, 0}, m, n, k, 1, 1, 1, false, k, 0});
}

UfStatus cuda_start_clock(UfBackend* be) {
    State* s = state_of(be);
    UF_TRY(uf_cuda_clock_stop(s->clock, nullptr));
    return uf_cuda_clock_start(&s->clock, s->streams[0]);
}

UfStatus cuda_stop_clock(UfBackend* be, UfLaunchTimes* out) {
    State* s = state_of(be);
    const UfStatus status = uf_cuda_clock_stop(s->clock, out);
    s->clock = nullptr;
    out->num_recorded = s->graph ? s->num_recorded : 0;
    return status;
}

// ---- backend ----

double gib(size_t bytes) { return static_cast<double>(bytes) / (1 << 30); }

// Memory of the device, or why not: what was asked, what is free, what would lower it.
UfStatus allocate(void** out, size_t bytes, const char* what) {
    const cudaError_t error = cudaMalloc(out, bytes);
    if (error == cudaSuccess) return UF_OK;
    *out = nullptr;
    cudaGetLastError();  // it has been read
    size_t free_bytes = 0, total = 0;
    if (error != cudaErrorMemoryAllocation || cudaMemGetInfo(&free_bytes, &total) != cudaSuccess)
        return UF_FAIL(UF_ERR_DEVICE, "%s: %s", what, cudaGetErrorString(error));
    return UF_FAIL(UF_ERR_MEMORY,
                   "%s: %.2f GiB asked of the device, which has %.2f of %.2f GiB free; lower the population, "
                   "the widths, or what there is of "
                   "batch_size, num_critics, num_envs, buffer_size, PPO's num_steps, a world model's "
                   "rollout_batch_size or model_retain_epochs",
                   what, gib(bytes), gib(free_bytes), gib(total));
}

UfStatus cuda_reserve(UfBackend* be, void** out, size_t bytes, const char* what) {
    State* s = begin(be, "reserve", 0, 0, 0, 0);
    UF_TRY(allocate(out, bytes, what));
    check(s, cudaMemsetAsync(*out, 0, bytes, s->streams[0]));
    return UF_OK;
}

void cuda_release(UfBackend* be, void* memory) {
    State* s = state_of(be);
    if (memory) check(s, cudaFree(memory));
}

// Both wait: the host's memory may be gone or be read right after.
void copy(UfBackend* be, const char* op, void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
    State* s = begin(be, op, 0, 0, 0, 0);
    if (s->failed != UF_OK) return;
    check(s, cudaMemcpyAsync(to, from, bytes, kind, s->streams[0]));
    check(s, cudaStreamSynchronize(s->streams[0]));
}

UfStatus cuda_announce(UfBackend* be, const UfMlp* mlp, int networks, const real* params) {
    State* s = begin(be, "announce", 1, networks, 0, mlp->width);
    const PackedShape shape = packed_shape(s, mlp);
    for (int i = 0; i < s->num_packed && !networks; i++) {
        if (s->packed[i].params != params) continue;
        check(s, cudaFree(s->packed[i].at));
        s->packed[i] = s->packed[--s->num_packed];
    }
    if (!networks || !shape.bytes || s->num_packed == MOST_PACKED || reinterpret_cast<uintptr_t>(params) % 16)
        return UF_OK;
    void* at = nullptr;
    const size_t bytes = static_cast<size_t>(networks) * static_cast<size_t>(shape.bytes);
    UF_TRY(allocate(&at, bytes, "networks in bf16"));
    s->packed[s->num_packed++] =
        PackedNets{params, *mlp, static_cast<size_t>(networks), static_cast<unsigned char*>(at), true};
    check(s, cudaMemsetAsync(at, 0, bytes, s->streams[0]));
    check(s, cudaStreamSynchronize(s->streams[0]));
    return UF_OK;
}

void cuda_upload(UfBackend* be, void* device, const void* host, size_t bytes) {
    State* s = state_of(be);
    for (int i = 0; i < s->num_packed; i++) {
        PackedNets* of = &s->packed[i];
        const float *first = static_cast<const float*>(device), *end = first + bytes / sizeof(float);
        if (first < of->params + of->networks * of->mlp.size && end > of->params) of->stale = true;
    }
    copy(be, "upload", device, host, bytes, cudaMemcpyHostToDevice);
}

void cuda_download(UfBackend* be, void* host, const void* device, size_t bytes) {
    copy(be, "download", host, device, bytes, cudaMemcpyDeviceToHost);
}

UfStatus cuda_sync(UfBackend* be) {
    State* s = state_of(be);
    const cudaError_t error = cudaStreamSynchronize(s->streams[0]);
    if (error != cudaSuccess)
        fail(s, UF_ERR_DEVICE,
             "%s, found while waiting after this op; CUDA_LAUNCH_BLOCKING=1 names the one at fault",
             cudaGetErrorString(error));
    return s->failed == UF_OK ? UF_OK : UF_FAIL(s->failed, "%s", s->sentence);
}

UfStatus cuda_plan(UfBackend* be, const UfMlp* mlp, int P, int networks, int rows) {
    State* s = state_of(be);
    if (mlp->width > MAX_WIDTH)
        return UF_FAIL(UF_ERR_UNSUPPORTED, "a hidden layer of %d units; on a CUDA device %d at most",
                       mlp->width, MAX_WIDTH);
    const size_t G = static_cast<size_t>(P) * static_cast<size_t>(networks),
                 most = scratch_needed(mlp, G, rows), other = hopper_scratch(s, mlp, G, rows),
                 needed = ((most > other ? most : other) + 63) / 64 * 64;
    return reserve_scratch(s, &s->scratch, &s->scratch_count, UF_NUM_BRANCHES, needed,
                           "scratch of passes over networks");
}

void cuda_close(UfBackend* be) {
    State* s = state_of(be);
    if (s) {
        uf_cuda_clock_stop(s->clock, nullptr);
        if (s->graph) cudaGraphExecDestroy(s->graph);  // may hold kernels of cuBLAS
        for (int b = 0; b < UF_NUM_BRANCHES; b++) {
            if (s->blas.handles[b]) s->blas.destroy(s->blas.handles[b]);
            if (s->blas.workspaces[b]) cudaFree(s->blas.workspaces[b]);
        }
        if (s->blas.library) dlclose(s->blas.library);
        if (s->scratch) cudaFree(s->scratch);
        if (s->clone_scratch) cudaFree(s->clone_scratch);
        for (int i = 0; i < s->num_packed; i++) cudaFree(s->packed[i].at);
        if (s->replays) cudaFree(s->replays);
        for (int b = 0; b < UF_NUM_BRANCHES; b++) {
            if (s->events[b]) cudaEventDestroy(s->events[b]);
            if (s->streams[b]) cudaStreamDestroy(s->streams[b]);
        }
        uf_free(s);
    }
    uf_pool_free(be->pool);
    uf_free(be);
}

// A GPU that can run this program, or what is in the way.
UfStatus find_device(State* s) {
    int driver = 0, count = 0, major = 0, minor = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
        return UF_FAIL(UF_ERR_DEVICE,
                       "device 'cuda': no NVIDIA driver is installed; install one or set device to cpu");
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaErrorInsufficientDriver)
        return UF_FAIL(
            UF_ERR_DEVICE,
            "device 'cuda': the NVIDIA driver is for CUDA %d.%d, this program needs %d.%d; update the "
            "driver or build with an older CUDA toolkit",
            driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
        return UF_FAIL(
            UF_ERR_DEVICE,
            "device 'cuda': the NVIDIA driver shows no GPU; look at nvidia-smi and CUDA_VISIBLE_DEVICES");
    if (error != cudaSuccess) return UF_FAIL(UF_ERR_DEVICE, "device 'cuda': %s", cudaGetErrorString(error));
    cudaDeviceProp properties = {};
    if (cudaGetDeviceProperties(&properties, 0) == cudaSuccess)
        snprintf(s->device, sizeof s->device, "%.100s", properties.name);
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0);
    cudaDeviceGetAttribute(&s->num_sms, cudaDevAttrMultiProcessorCount, 0);
    s->has_wgmma = major == 9 && minor == 0;
    if (major < 8)
        return UF_FAIL(
            UF_ERR_DEVICE,
            "device 'cuda': the GPU has compute capability %d.%d, this program needs 8.0 (Ampere) or newer",
            major, minor);
    return UF_OK;
}

template <typename Function>
bool find(void* library, Function* out, const char* name) {
    void* symbol = dlsym(library, name);
    memcpy(out, &symbol, sizeof symbol);
    return symbol != nullptr;
}

enum { BLAS_WORKSPACE = 32 << 20 };  // bytes; what cuBLAS recommends for Hopper

UfStatus open_blas(State* s, const char* precision) {
    Blas* blas = &s->blas;
    char name[32];
    snprintf(name, sizeof name, "libcublas.so.%d", CUBLAS_VER_MAJOR);
    blas->library = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);  // loading takes long: once
    if (!blas->library)
        return UF_FAIL(
            UF_ERR_DEVICE,
            "precision '%s' needs cuBLAS, and %s cannot be loaded (%s); install CUDA's libraries or set "
            "precision to fp32",
            precision, name, dlerror());
    if (!find(blas->library, &blas->create, "cublasCreate_v2") ||
        !find(blas->library, &blas->destroy, "cublasDestroy_v2") ||
        !find(blas->library, &blas->set_stream, "cublasSetStream_v2") ||
        !find(blas->library, &blas->set_workspace, "cublasSetWorkspace_v2") ||
        !find(blas->library, &blas->gemm, "cublasGemmStridedBatchedEx"))
        return UF_FAIL(UF_ERR_DEVICE, "%s lacks a function this program needs; set precision to fp32", name);
    blas->compute =
        strcmp(precision, "bf16") == 0 ? CUBLAS_COMPUTE_32F_FAST_16BF : CUBLAS_COMPUTE_32F_FAST_TF32;
    // One for each branch: they would share a workspace.
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
    for (int b = 0; b < UF_NUM_BRANCHES && status == CUBLAS_STATUS_SUCCESS; b++) {
        UF_TRY(allocate(&blas->workspaces[b], BLAS_WORKSPACE, "workspace of cuBLAS"));
        status = blas->create(&blas->handles[b]);
        if (status == CUBLAS_STATUS_SUCCESS) status = blas->set_stream(blas->handles[b], s->streams[b]);
        if (status == CUBLAS_STATUS_SUCCESS)
            status = blas->set_workspace(blas->handles[b], blas->workspaces[b], BLAS_WORKSPACE);
    }
    if (status != CUBLAS_STATUS_SUCCESS)
        return UF_FAIL(UF_ERR_DEVICE, "cuBLAS does not start: status %d", status);
    return UF_OK;
}

// Whether kernels run at all; and loads the one that is first launched while an update is recorded, which must not be.
UfStatus try_kernel(State* s) {
    s->where = Where{"first kernel", 1, 1, 1, 1};
    launch(s, advance_kernel, 1, 1, s->replays);
    const cudaError_t error = cudaStreamSynchronize(s->streams[0]);
    check(s, error);
    return s->failed == UF_OK ? UF_OK : UF_FAIL(s->failed, "device 'cuda': %s", s->sentence);
}

// For who measures: how passes over networks are made where not by the rule of shapes of kernels_whole.cu.
UfStatus read_passes(State* s) {
    static const struct {
        const char* name;
        Passes passes;
    } all[] = {{"rule", PASSES_BY_SHAPE},
               {"layers", PASSES_BY_LAYER},
               {"warpgroups", PASSES_OF_WARPGROUPS},
               {"2 warpgroups", PASSES_OF_2_WARPGROUPS},
               {"16", PASSES_OF_16},
               {"32", PASSES_OF_32},
               {"64", PASSES_OF_64}};
    const char* name = getenv("UNIFLORAL_CUDA_PASSES");
    if (!name || !*name) return UF_OK;
    for (const auto& one : all) {
        if (strcmp(name, one.name) != 0) continue;
        s->passes = one.passes;
        return UF_OK;
    }
    return UF_FAIL(UF_ERR_ARGUMENT,
                   "UNIFLORAL_CUDA_PASSES is '%s'; expected rule, layers, warpgroups, 2 warpgroups, or 16, "
                   "32 or 64 rows of a tile",
                   name);
}

UfStatus open_state(State* s, const char* precision) {
    if (strcmp(precision, "fp32") != 0 && strcmp(precision, "tf32") != 0 && strcmp(precision, "bf16") != 0)
        return UF_FAIL(UF_ERR_ARGUMENT, "precision '%s'; expected fp32, tf32 or bf16", precision);
    s->precision = strcmp(precision, "fp32") == 0 ? FP32 : strcmp(precision, "tf32") == 0 ? TF32 : BF16;
    UF_TRY(read_passes(s));
    UF_TRY(find_device(s));
    if ((s->passes == PASSES_OF_WARPGROUPS || s->passes == PASSES_OF_2_WARPGROUPS) &&
        (s->precision != BF16 || !s->has_wgmma))
        return UF_FAIL(
            UF_ERR_ARGUMENT,
            "UNIFLORAL_CUDA_PASSES is 'warpgroups', which precision '%s' on this device has none of; it "
            "wants bf16 and compute capability 9.0",
            precision);
    cudaError_t error = cudaSuccess;
    for (int b = 0; b < UF_NUM_BRANCHES && error == cudaSuccess; b++) {
        error = cudaStreamCreateWithFlags(&s->streams[b], cudaStreamNonBlocking);
        if (error == cudaSuccess) error = cudaEventCreateWithFlags(&s->events[b], cudaEventDisableTiming);
    }
    if (error != cudaSuccess) return UF_FAIL(UF_ERR_DEVICE, "device 'cuda': %s", cudaGetErrorString(error));
    void* replays = nullptr;
    UF_TRY(allocate(&replays, sizeof(int64_t), "number of replays"));
    s->replays = static_cast<int64_t*>(replays);
    UF_TRY(try_kernel(s));
    prepare_whole(s);
    prepare_hopper(s);
    if (s->failed != UF_OK) return UF_FAIL(s->failed, "device 'cuda': %s", s->sentence);
    return s->precision == FP32 ? UF_OK : open_blas(s, precision);
}

void fill_table(UfBackend* be) {
    be->name = "cuda";
    be->apart = true;
    be->reserve = cuda_reserve;
    be->release = cuda_release;
    be->upload = cuda_upload;
    be->download = cuda_download;
    be->sync = cuda_sync;
    be->plan = cuda_plan;
    be->announce = cuda_announce;
    be->random = cuda_random;
    be->gather = cuda_gather;
    be->network_input = cuda_network_input;
    be->mlp_forward = cuda_mlp_forward;
    be->mlp_backward = cuda_mlp_backward;
    be->mlp_backward_backward = cuda_mlp_backward_backward;
    be->policy_sample = cuda_policy_sample;
    be->entropy_coef_loss = cuda_entropy_coef_loss;
    be->entropy_coef = cuda_entropy_coef;
    be->awr_weight = cuda_awr_weight;
    be->actor_q_loss = cuda_actor_q_loss;
    be->expected_q_loss = cuda_expected_q_loss;
    be->actor_loss = cuda_actor_loss;
    be->td_target = cuda_td_target;
    be->q_loss = cuda_q_loss;
    be->diversity_loss = cuda_diversity_loss;
    be->value_loss = cuda_value_loss;
    be->dynamics_target = cuda_dynamics_target;
    be->dynamics_loss = cuda_dynamics_loss;
    be->dynamics_error = cuda_dynamics_error;
    be->model_step = cuda_model_step;
    be->model_error = cuda_model_error;
    be->ring_append = cuda_ring_append;
    be->play = uf_cuda_play;
    be->play_trials = uf_cuda_play_trials;
    be->step_rules = uf_cuda_step_rules;
    be->synth_reset = uf_cuda_synth_reset;
    be->synth_step = uf_cuda_synth_step;
    add_ppo(be);
    add_td(be);
    be->adam_polyak = cuda_adam_polyak;
    be->record = cuda_record;
    be->end_record = cuda_end_record;
    be->repeat = cuda_repeat;
    be->branch = cuda_branch;
    be->after = cuda_after;
    be->product = cuda_product;
    be->start_clock = cuda_start_clock;
    be->stop_clock = cuda_stop_clock;
    be->close = cuda_close;
}

}  // namespace

UfStatus uf_cuda::reserve_scratch(State* s, float** scratch, size_t* count, size_t copies, size_t needed,
                                  const char* what) {
    if (needed <= *count) return UF_OK;
    if (*scratch) check(s, cudaFree(*scratch));
    *scratch = nullptr;
    *count = 0;
    void* memory = nullptr;
    UF_TRY(allocate(&memory, copies * needed * sizeof(float), what));
    *scratch = static_cast<float*>(memory);
    *count = needed;
    return UF_OK;
}

extern "C" UfStatus uf_backend_open_cuda(UfBackend** out, const char* precision, int num_threads) {
    UfBackend* be = nullptr;
    *out = nullptr;
    UF_TRY(UF_ALLOC(&be, 1, "backend"));
    fill_table(be);
    State* s = nullptr;
    UfStatus status = UF_ALLOC(&s, 1, "backend");
    be->state = s;
    if (status == UF_OK) status = uf_pool_create(&be->pool, num_threads);
    if (status == UF_OK) status = open_state(s, precision);
    if (status == UF_OK) add_clone(be);
    // They see 10 or 7 bits of an operand behind the point, and may cut rather than round.
    if (s) be->rounding = s->precision == TF32 ? 0x1p-9 : s->precision == BF16 ? 0x1p-7 : 0;
    if (status == UF_OK) snprintf(be->about, sizeof be->about, "cuda (%s, %s)", s->device, precision);
    if (status != UF_OK) {
        cuda_close(be);
        return status;
    }
    *out = be;
    return UF_OK;
}
