// kernels_clone.cu: behaviour cloning of many small networks on a CUDA device. kernels_clone.c is the specification.
//
// A block has a network and takes it through all its steps in one kernel. Parameters, gradients, moments and what a step
// keeps lie in shared memory where they fit, else the former, or all, in global memory that the block has to itself and
// uses again for the next of its networks. Every sum is one thread's in order, or a warp's or block's in one order, so that
// a network does not depend on those beside it. Products are fp32 in every precision.
//
// Rooms: shapes, products, convolution, layers, loss, update, cloning, score.
#include "kernels.cuh"

namespace uf_cuda {

namespace {

enum {
    MOST_THREADS = 512,
    MOST_SHARED = 96 << 10
};                                          // of a block; two of them share a multiprocessor of Ampere
enum { TILE = 4 };                          // rows, or inputs, of a thread's product
enum { SCORE_ROWS = 16, MOST_PARTS = 64 };  // rows of a block at once; blocks that share a network's rows

enum Place { ALL_SHARED, WORK_SHARED, ALL_GLOBAL };

// ---- shapes ----

// Where things lie behind one another, in numbers: what a step keeps of its rows.
struct Work {
    int64_t features, dfeatures;  // (rows, mlp.in) of a convolution
    int64_t r, h, stats;         // (layers, rows, width) twice, h where there is LayerNorm; (layers, rows, 2)
    int64_t out, dout, d, next;  // (rows, H), (rows, width)
    int64_t count;
};

int64_t take(Work* w, int64_t count) {
    const int64_t at = w->count;
    w->count += ceil_div(count, 16) * 16;
    return at;
}

Work work_of(const UfCloneNet* net, int64_t rows, bool backward) {
    const UfMlp* mlp = &net->mlp;
    const int64_t hidden = rows * mlp->width, L = mlp->layers;
    Work w = {};
    w.features = take(&w, net->conv.filters ? rows * mlp->in : 0);
    w.dfeatures = take(&w, net->conv.filters && backward ? rows * mlp->in : 0);
    w.r = take(&w, L * hidden);
    w.h = take(&w, mlp->layer_norm ? L * hidden : 0);
    w.stats = take(&w, mlp->layer_norm ? L * rows * 2 : 0);
    w.out = take(&w, rows * mlp->out);
    w.dout = take(&w, rows * mlp->out);
    w.d = take(&w, backward ? hidden : 0);
    w.next = take(&w, backward ? hidden : 0);
    return w;
}

// Parameters, gradients and moments.
int64_t state_count(const UfCloneNet* net) { return 4 * static_cast<int64_t>(net->size); }

Place place_of(const Work* w, int64_t state) {
    const int64_t most = MOST_SHARED / static_cast<int64_t>(sizeof(float));
    return w->count + state <= most ? ALL_SHARED : w->count <= most ? WORK_SHARED : ALL_GLOBAL;
}

// Numbers of shared and of global memory that a block has.
int64_t shared_count(Place place, const Work* w, int64_t state) {
    return (place != ALL_GLOBAL ? w->count : 0) + (place == ALL_SHARED ? state : 0);
}
int64_t global_count(Place place, const Work* w, int64_t state) {
    return w->count + state - shared_count(place, w, state);
}

int threads_of(const UfCloneNet* net) {
    const int units = net->mlp.width > net->mlp.in / 4 ? net->mlp.width : net->mlp.in / 4;
    return units <= 32 ? 64 : units <= 64 ? 128 : units <= 128 ? 256 : int{MOST_THREADS};
}

// Blocks at work at once, each with scratch of its own: as many as there are networks, or fill the device.
int64_t blocks_of(const State* s, Place place, int64_t networks) {
    const int64_t most = (place == ALL_SHARED ? 16 : 2) * static_cast<int64_t>(s->num_sms);
    return networks < most ? networks : most;
}

bool clone_fits(State* s, int64_t needed) {
    if (static_cast<size_t>(needed) <= s->clone_scratch_count) return true;
    fail(s, UF_ERR_DEVICE, "needs %lld numbers of scratch, %zu were planned", static_cast<long long>(needed),
         s->clone_scratch_count);
    return false;
}

int parts_of(int rows) {
    const int64_t parts = ceil_div(rows, 4 * SCORE_ROWS);
    return static_cast<int>(parts < MOST_PARTS ? parts : int64_t{MOST_PARTS});
}

// A network's rows as a block sees them.
struct Block {
    const UfCloneNet& net;
    const Work& at;
    float* work;
    const float* params;
    const float* x;  // (rows, net.in)
    int rows;

    __device__ const UfMlp& mlp() const { return net.mlp; }
    __device__ float* of(int64_t offset) const { return work + offset; }
    __device__ float* r(int l) const { return of(at.r) + static_cast<int64_t>(l) * rows * mlp().width; }
    __device__ float* h(int l) const {
        return mlp().layer_norm ? of(at.h) + static_cast<int64_t>(l) * rows * mlp().width : r(l);
    }
    __device__ float* stats(int l) const { return of(at.stats) + static_cast<int64_t>(l) * rows * 2; }
    __device__ const float* input() const { return net.conv.filters ? of(at.features) : x; }
};

__device__ inline int first_thread() { return static_cast<int>(threadIdx.x); }
__device__ inline int num_threads() { return static_cast<int>(blockDim.x); }
__device__ inline int num_warps() { return num_threads() / WARP; }

// ---- products ----

// c (m, n) = a b, b (k, n); number i of row r of a is a[r * row + i * step]. A thread has a column of TILE rows.
__device__ void product(float* c, const float* a, int64_t row, int64_t step, const float* b, int m, int n,
                        int k) {
    const int64_t items = static_cast<int64_t>((m + TILE - 1) / TILE) * n;
    for (int64_t item = first_thread(); item < items; item += num_threads()) {
        const int j = static_cast<int>(item % n), first = static_cast<int>(item / n) * TILE;
        const float* rows[TILE];
        float sum[TILE] = {};
        for (int r = 0; r < TILE; r++) rows[r] = a + (first + r < m ? first + r : m - 1) * row;
        for (int i = 0; i < k; i++) {
            const float x = b[static_cast<int64_t>(i) * n + j];
            for (int r = 0; r < TILE; r++) sum[r] += rows[r][i * step] * x;
        }
        for (int r = 0; r < TILE; r++)
            if (first + r < m) c[static_cast<int64_t>(first + r) * n + j] = sum[r];
    }
}

// c (m, n) = a (m, k) b transposed; number i of column j of b is b[j * column + i * step]. A warp has a column of TILE
// rows, and its lanes share a sum.
__device__ void product_transposed(float* c, const float* a, const float* b, int64_t column, int64_t step,
                                   int m, int n, int k) {
    const int64_t items = static_cast<int64_t>((m + TILE - 1) / TILE) * n;
    for (int64_t item = warp(); item < items; item += num_warps()) {
        const int j = static_cast<int>(item % n), first = static_cast<int>(item / n) * TILE;
        const float* rows[TILE];
        float sum[TILE] = {};
        for (int r = 0; r < TILE; r++)
            rows[r] = a + static_cast<int64_t>(first + r < m ? first + r : m - 1) * k;
        for (int i = lane(); i < k; i += WARP) {
            const float x = b[j * column + i * step];
            for (int r = 0; r < TILE; r++) sum[r] += rows[r][i] * x;
        }
        for (int r = 0; r < TILE; r++) sum[r] = warp_sum(sum[r]);
        for (int r = 0; r < TILE; r++)
            if (lane() == 0 && first + r < m) c[static_cast<int64_t>(first + r) * n + j] = sum[r];
    }
}

// sum (n) over rows of x (rows, n)
__device__ void column_sums(float* sum, const float* x, int rows, int n) {
    for (int j = first_thread(); j < n; j += num_threads()) {
        float total = 0;
        for (int b = 0; b < rows; b++) total += x[static_cast<int64_t>(b) * n + j];
        sum[j] = total;
    }
}

// ---- convolution ----

// Number q = (dy * 3 + dx) * planes + plane of the patch around a pixel; 0 beyond the borders.
__device__ inline float patch(const UfConv& c, const float* image, int pixel, int q) {
    const int y = pixel / c.width + q / c.planes / 3 - 1, x = pixel % c.width + q / c.planes % 3 - 1;
    if (y < 0 || y >= c.height || x < 0 || x >= c.width) return 0;
    return image[static_cast<int64_t>(y * c.width + x) * c.planes + q % c.planes];
}

__device__ void convolve(const Block& k) {
    const UfConv& c = k.net.conv;
    const float *kernel = k.params + k.net.conv_kernel, *bias = k.params + k.net.conv_bias;
    const int pixels = c.height * c.width;
    const int64_t count = static_cast<int64_t>(k.rows) * pixels * c.filters;
    for (int64_t i = first_thread(); i < count; i += num_threads()) {
        const int f = static_cast<int>(i % c.filters), pixel = static_cast<int>(i / c.filters % pixels);
        const float* image = k.x + i / c.filters / pixels * k.net.in;
        float sum = 0;
        for (int q = 0; q < 9 * c.planes; q++) sum += patch(c, image, pixel, q) * kernel[q * c.filters + f];
        k.of(k.at.features)[i] = activate<UF_RELU>(sum + bias[f]);
    }
    __syncthreads();
}

// A warp has a number of the kernel, or with q at their end of the bias.
__device__ void convolve_back(const Block& k, float* grads) {
    const UfConv& c = k.net.conv;
    const int pixels = c.height * c.width, Q = 9 * c.planes;
    float *d = k.of(k.at.dfeatures), *features = k.of(k.at.features);
    const int64_t all = static_cast<int64_t>(k.rows) * pixels;
    for (int64_t i = first_thread(); i < all * c.filters; i += num_threads())
        d[i] = activation_grad<UF_RELU>(features[i], d[i]);
    __syncthreads();
    for (int item = warp(); item < (Q + 1) * c.filters; item += num_warps()) {
        const int q = item / c.filters, f = item % c.filters;
        float sum = 0;
        for (int64_t i = lane(); i < all; i += WARP)
            sum += d[i * c.filters + f] *
                   (q < Q ? patch(c, k.x + i / pixels * k.net.in, static_cast<int>(i % pixels), q) : 1);
        sum = warp_sum(sum);
        if (lane() == 0) grads[q < Q ? k.net.conv_kernel + item : k.net.conv_bias + f] = sum;
    }
}

// ---- layers ----

__device__ inline float activated(int activation, float z) {
    return activation == UF_TANH ? activate<UF_TANH>(z) : activate<UF_RELU>(z);
}
__device__ inline float activated_grad(int activation, float r, float d) {
    return activation == UF_TANH ? activation_grad<UF_TANH>(r, d) : activation_grad<UF_RELU>(r, d);
}

// Bias and activation of z = x W in r, and LayerNorm into h: a warp has a row.
__device__ void finish_layer(const Block& k, int l) {
    const UfMlp& m = k.mlp();
    const float* bias = k.params + m.bias[l];
    for (int b = warp(); b < k.rows; b += num_warps()) {
        float *r = k.r(l) + static_cast<int64_t>(b) * m.width, sum = 0, squares = 0;
        for (int j = lane(); j < m.width; j += WARP) {
            r[j] = activated(m.activation, r[j] + bias[j]);
            sum += r[j];
        }
        if (!m.layer_norm) continue;
        const float mean = warp_sum(sum) / static_cast<float>(m.width);
        for (int j = lane(); j < m.width; j += WARP) squares += (r[j] - mean) * (r[j] - mean);
        const float inv_std = 1 / sqrtf(warp_sum(squares) / static_cast<float>(m.width) +
                                        static_cast<float>(UF_LAYER_NORM_EPS));
        float* h = k.h(l) + static_cast<int64_t>(b) * m.width;
        for (int j = lane(); j < m.width; j += WARP)
            h[j] = (r[j] - mean) * inv_std * k.params[m.scale[l] + j] + k.params[m.shift[l] + j];
        if (lane() == 0) k.stats(l)[2 * b] = mean;
        if (lane() == 0) k.stats(l)[2 * b + 1] = inv_std;
    }
    __syncthreads();
}

__device__ void forward(const Block& k) {
    const UfMlp& m = k.mlp();
    const int L = m.layers;
    if (k.net.conv.filters) convolve(k);
    for (int l = 0; l < L; l++) {
        const int in = l ? m.width : m.in;
        product(k.r(l), l ? k.h(l - 1) : k.input(), in, 1, k.params + m.kernel[l], k.rows, m.width, in);
        __syncthreads();
        finish_layer(k, l);
    }
    product_transposed(k.of(k.at.out), k.h(L - 1), k.params + m.kernel[L], 1, m.out, k.rows, m.out, m.width);
    __syncthreads();
    for (int i = first_thread(); i < k.rows * m.out; i += num_threads())
        k.of(k.at.out)[i] += k.params[m.bias[L] + i % m.out];
    __syncthreads();
}

// dL/dh -> dL/dz in place, and LayerNorm's gradients.
__device__ void layer_back(const Block& k, int l, float* d, float* grads) {
    const UfMlp& m = k.mlp();
    const float *r = k.r(l), *stats = k.stats(l);
    for (int j = first_thread(); m.layer_norm && j < m.width; j += num_threads()) {
        float dscale = 0, dshift = 0;
        for (int b = 0; b < k.rows; b++) {
            const int64_t i = static_cast<int64_t>(b) * m.width + j;
            dscale += d[i] * ((r[i] - stats[2 * b]) * stats[2 * b + 1]);
            dshift += d[i];
        }
        grads[m.scale[l] + j] = dscale;
        grads[m.shift[l] + j] = dshift;
    }
    if (m.layer_norm) __syncthreads();
    for (int b = warp(); b < k.rows; b += num_warps()) {
        float* row = d + static_cast<int64_t>(b) * m.width;
        const float* of = r + static_cast<int64_t>(b) * m.width;
        float mean = 0, inv_std = 1, s1 = 0, s2 = 0;
        if (m.layer_norm) {
            mean = stats[2 * b];
            inv_std = stats[2 * b + 1];
            for (int j = lane(); j < m.width; j += WARP) {
                row[j] *= k.params[m.scale[l] + j];
                s1 += row[j];
                s2 += row[j] * ((of[j] - mean) * inv_std);
            }
            s1 = warp_sum(s1) / static_cast<float>(m.width);
            s2 = warp_sum(s2) / static_cast<float>(m.width);
        }
        for (int j = lane(); j < m.width; j += WARP) {
            const float x = m.layer_norm ? inv_std * (row[j] - s1 - (of[j] - mean) * inv_std * s2) : row[j];
            row[j] = activated_grad(m.activation, of[j], x);
        }
    }
    __syncthreads();
}

// From dout to the gradients of all layers.
__device__ void backward(const Block& k, float* grads) {
    const UfMlp& m = k.mlp();
    const int L = m.layers, rows = k.rows;
    float *d = k.of(k.at.d), *next = k.of(k.at.next);
    const float* dout = k.of(k.at.dout);
    product(grads + m.kernel[L], k.h(L - 1), 1, m.width, dout, m.width, m.out, rows);
    column_sums(grads + m.bias[L], dout, rows, m.out);
    for (int i = first_thread(); i < rows * m.width; i += num_threads()) {
        const float *w = k.params + m.kernel[L] + static_cast<int64_t>(i % m.width) * m.out,
                    *seed = dout + static_cast<int64_t>(i / m.width) * m.out;
        float sum = 0;
        for (int o = 0; o < m.out; o++) sum += seed[o] * w[o];
        d[i] = sum;
    }
    __syncthreads();
    for (int l = L - 1; l >= 0; l--) {
        const int in = l ? m.width : m.in;
        layer_back(k, l, d, grads);
        product(grads + m.kernel[l], l ? k.h(l - 1) : k.input(), 1, in, d, in, m.width, rows);
        column_sums(grads + m.bias[l], d, rows, m.width);
        if (!l && !k.net.conv.filters) break;
        product_transposed(l ? next : k.of(k.at.dfeatures), d, k.params + m.kernel[l], m.width, 1, rows, in,
                           m.width);
        __syncthreads();
        float* swap = d;
        d = next;
        next = swap;
    }
    if (k.net.conv.filters) convolve_back(k, grads);
    __syncthreads();
}

// ---- loss ----

// Sum of a row's terms; its derivative times `scale` into dout.
__device__ float row_loss(int loss, float* dout, const float* out, const float* label, const float* log_std,
                          int A, float scale) {
    if (loss != UF_CLONE_GAUSSIAN_NLL) {
        const float sum = uf_cross_entropy(dout, out, label, A);
        for (int i = 0; i < A; i++) dout[i] *= scale;
        return sum;
    }
    float sum = 0;
    for (int i = 0; i < A; i++) {
        UfHeadGrad g;
        sum -= uf_normal_log_prob(label[i], out[i], log_std[i], &g);
        dout[i] = -scale * g.dm;
    }
    return sum;
}

// What a sum over rows is divided by.
__host__ __device__ inline double loss_divisor(int loss, int rows, int A) {
    return static_cast<double>(rows) * (loss == UF_CLONE_CE_OVER_ACTIONS ? A : 1);
}

// Seeds dout, and the gradient of log_std. Every thread has the loss, where it is wanted.
__device__ double loss_of(const Block& k, int loss, const float* labels, float* grads, bool wanted) {
    const UfMlp& m = k.mlp();
    const int A = m.out;
    const double divisor = loss_divisor(loss, k.rows, A);
    const float scale = static_cast<float>(1 / divisor);
    const float *out = k.of(k.at.out), *log_std = k.params + m.log_std;
    double sum = 0;
    for (int b = first_thread(); b < k.rows; b += num_threads()) {
        const int64_t at = static_cast<int64_t>(b) * A;
        sum += static_cast<double>(
            row_loss(loss, k.of(k.at.dout) + at, out + at, labels + at, log_std, A, scale));
    }
    for (int i = first_thread(); loss == UF_CLONE_GAUSSIAN_NLL && i < A; i += num_threads()) {
        float dlog_std = 0;
        for (int b = 0; b < k.rows; b++) {
            const int64_t at = static_cast<int64_t>(b) * A + i;
            UfHeadGrad g;
            (void)uf_normal_log_prob(labels[at], out[at], log_std[i], &g);
            dlog_std -= scale * g.ds;
        }
        grads[m.log_std + i] = dlog_std;
    }
    __syncthreads();
    return wanted ? block_sum(sum) / divisor : 0;
}

// ---- update ----

__device__ void update(const UfClone& op, int64_t size, float* params, float* grads, float* m, float* v,
                       const UfAdamStep& step) {
    float factor = 1;
    if (op.clip > 0) {
        double squares = 0;
        for (int64_t i = first_thread(); i < size; i += num_threads())
            squares += static_cast<double>(grads[i]) * static_cast<double>(grads[i]);
        factor = uf_clip_factor(static_cast<float>(sqrt(block_sum(squares))), static_cast<float>(op.clip));
    }
    for (int64_t i = first_thread(); i < size; i += num_threads()) {
        const float grad = grads[i] * factor;
        if (op.optimizer == UF_CLONE_ADAM)
            uf_adam(&params[i], &m[i], &v[i], grad, step);
        else
            params[i] -= static_cast<float>(op.lr) * grad;
    }
    __syncthreads();
}

// ---- cloning ----

struct Cloning {
    UfClone op;
    UfCloneNet net;
    Work work;
    float* scratch;  // (blocks, each)
    int64_t each;
};
static_assert(sizeof(Cloning) <= 4096, "a kernel's argument");

template <int PLACE>
__global__ void __launch_bounds__(MOST_THREADS) clone_kernel(Cloning c) {
    __shared__ UfAdamStep step;
    const UfClone& op = c.op;
    const int64_t size = static_cast<int64_t>(c.net.size),
                  networks = static_cast<int64_t>(op.sets) * op.inits;
    float *global = c.scratch + static_cast<int64_t>(blockIdx.x) * c.each,
          *shared = PLACE == ALL_GLOBAL ? nullptr : uf_shared_memory();
    float *params = PLACE == ALL_SHARED ? shared : global, *grads = params + size, *m = grads + size,
          *v = m + size;
    float* work = PLACE == WORK_SHARED ? shared : v + size;
    for (int64_t network = blockIdx.x; network < networks; network += gridDim.x) {
        const int64_t set = network / op.inits, init = network % op.inits;
        const float* labels =
            op.labels + (op.shared_labels ? 0 : set * op.rows * static_cast<int64_t>(c.net.mlp.out));
        const Block k = {c.net, c.work, work, params, op.states + set * op.rows * c.net.in, op.rows};
        for (int64_t i = first_thread(); i < size; i += num_threads()) {
            params[i] = op.init[init * size + i];
            grads[i] = m[i] = v[i] = 0;
        }
        for (int step_number = 0; step_number < op.num_steps; step_number++) {
            if (threadIdx.x == blockDim.x - 1) {
                step = uf_adam_step(static_cast<float>(op.lr), step_number + 1, UfDecay{UF_DECAY_NONE, 0}, 0);
                step.eps = static_cast<float>(op.eps);
            }
            __syncthreads();
            forward(k);
            const double loss = loss_of(k, op.loss, labels, grads, op.losses != nullptr);
            if (op.losses && threadIdx.x == 0)
                op.losses[network * op.num_steps + step_number] = static_cast<float>(loss);
            backward(k, grads);
            update(op, size, params, grads, m, v, step);
        }
        for (int64_t i = first_thread(); i < size; i += num_threads())
            op.params[network * size + i] = params[i];
    }
}

template <typename F>
void with_place(Place place, F f) {
    if (place == ALL_SHARED)
        f(Constant<ALL_SHARED>());
    else if (place == WORK_SHARED)
        f(Constant<WORK_SHARED>());
    else
        f(Constant<ALL_GLOBAL>());
}

void cuda_clone(UfBackend* be, const UfClone* op) {
    const UfCloneNet* net = op->net;
    const int64_t networks = static_cast<int64_t>(op->sets) * op->inits, state = state_count(net);
    State* s = begin(be, "clone", static_cast<int>(networks), 1, op->rows, net->mlp.width);
    Cloning c = {*op, *net, work_of(net, op->rows, true), s->clone_scratch, 0};
    const Place place = place_of(&c.work, state);
    const int64_t blocks = blocks_of(s, place, networks);
    c.each = global_count(place, &c.work, state);
    if (!clone_fits(s, blocks * c.each)) return;
    with_place(place, [&](auto where) {
        launch_shared(s, clone_kernel<decltype(where)::value>, blocks, threads_of(net),
                      static_cast<size_t>(shared_count(place, &c.work, state)) * sizeof(float), c);
    });
}

// ---- score ----

struct Scoring {
    UfCloneScore op;
    UfCloneNet net;
    Work work;
    float* scratch;  // (blocks, each)
    int64_t each;
    double* sums;  // (P, parts, 2)
    int parts;
};

// Block (p, part) takes every parts'th group of rows.
template <int PLACE>
__global__ void __launch_bounds__(MOST_THREADS) clone_score_kernel(Scoring c) {
    const UfCloneScore& op = c.op;
    const int A = c.net.mlp.out;
    float* work =
        PLACE == ALL_GLOBAL ? c.scratch + static_cast<int64_t>(blockIdx.x) * c.each : uf_shared_memory();
    const int64_t all = static_cast<int64_t>(op.P) * c.parts;
    for (int64_t item = blockIdx.x; item < all; item += gridDim.x) {
        const int64_t p = item / c.parts;
        const float* params = op.params + p * static_cast<int64_t>(c.net.size);
        double loss = 0, right = 0;
        for (int64_t first = item % c.parts * SCORE_ROWS; first < op.rows;
             first += static_cast<int64_t>(c.parts) * SCORE_ROWS) {
            const int rows =
                static_cast<int>(op.rows - first < SCORE_ROWS ? op.rows - first : int64_t{SCORE_ROWS});
            const Block k = {c.net, c.work, work, params, op.states + first * c.net.in, rows};
            forward(k);
            for (int b = first_thread(); b < rows; b += num_threads()) {
                const float *out = k.of(c.work.out) + b * A, *label = op.labels + (first + b) * A;
                loss += static_cast<double>(row_loss(op.loss, k.of(c.work.dout) + b * A, out, label,
                                                     params + c.net.mlp.log_std, A, 1));
                if (op.loss != UF_CLONE_GAUSSIAN_NLL)
                    right +=
                        uf_categorical_choice(out, nullptr, A) == uf_categorical_choice(label, nullptr, A);
            }
            __syncthreads();
        }
        loss = block_sum(loss);
        right = block_sum(right);
        if (threadIdx.x == 0) {
            c.sums[2 * item] = loss;
            c.sums[2 * item + 1] = right;
        }
    }
}

// A thread has a network.
__global__ void __launch_bounds__(THREADS) clone_score_sum_kernel(Scoring c) {
    const int64_t p = thread_id();
    if (p >= c.op.P) return;
    double loss = 0, right = 0;
    for (int part = 0; part < c.parts; part++) {
        loss += c.sums[2 * (p * c.parts + part)];
        right += c.sums[2 * (p * c.parts + part) + 1];
    }
    c.op.sums[2 * p] = loss / loss_divisor(c.op.loss, c.op.rows, c.net.mlp.out);
    c.op.sums[2 * p + 1] = right / c.op.rows;
}

// Numbers of scratch for partial sums, two floats each.
int64_t sums_count(int64_t P, int parts) { return 2 * 2 * P * parts; }

void cuda_clone_score(UfBackend* be, const UfCloneScore* op) {
    const UfCloneNet* net = op->net;
    State* s = begin(be, "clone_score", op->P, 1, op->rows, net->mlp.width);
    Scoring c = {*op, *net, work_of(net, SCORE_ROWS, false), nullptr, 0, nullptr, parts_of(op->rows)};
    const Place place = place_of(&c.work, 0);
    const int64_t blocks = blocks_of(s, place, static_cast<int64_t>(op->P) * c.parts),
                  sums = sums_count(op->P, c.parts);
    c.each = global_count(place, &c.work, 0);
    if (!clone_fits(s, sums + blocks * c.each)) return;
    c.sums = reinterpret_cast<double*>(s->clone_scratch);
    c.scratch = s->clone_scratch + sums;
    launch_shared(s, place == ALL_GLOBAL ? clone_score_kernel<ALL_GLOBAL> : clone_score_kernel<ALL_SHARED>,
                  blocks, threads_of(net),
                  static_cast<size_t>(shared_count(place, &c.work, 0)) * sizeof(float), c);
    launch(s, clone_score_sum_kernel, ceil_div(op->P, THREADS), THREADS, c);
}

UfStatus cuda_plan_clone(UfBackend* be, const UfCloneNet* net, int P, int rows) {
    State* s = state_of(be);
    const Work work = work_of(net, rows, true), score = work_of(net, SCORE_ROWS, false);
    const int64_t state = state_count(net), all = static_cast<int64_t>(P) * MOST_PARTS;
    const Place place = place_of(&work, state), score_place = place_of(&score, 0);
    const int64_t clone = blocks_of(s, place, P) * global_count(place, &work, state),
                  scoring = sums_count(P, MOST_PARTS) +
                            blocks_of(s, score_place, all) * global_count(score_place, &score, 0);
    return reserve_scratch(s, &s->clone_scratch, &s->clone_scratch_count, 1,
                           static_cast<size_t>(clone > scoring ? clone : scoring), "scratch of cloning");
}

}  // namespace

void add_clone(UfBackend* be) {
    State* s = state_of(be);
    const auto what = cudaFuncAttributeMaxDynamicSharedMemorySize;
    check(s, cudaFuncSetAttribute(clone_kernel<ALL_SHARED>, what, MOST_SHARED));
    check(s, cudaFuncSetAttribute(clone_kernel<WORK_SHARED>, what, MOST_SHARED));
    check(s, cudaFuncSetAttribute(clone_score_kernel<ALL_SHARED>, what, MOST_SHARED));
    be->plan_clone = cuda_plan_clone;
    be->clone = cuda_clone;
    be->clone_score = cuda_clone_score;
}

}  // namespace uf_cuda
