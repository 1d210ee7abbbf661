// kernels.c: the op set on the CPU. OpenBLAS does the products, our own threads the rest; this version is the
// specification.
//
// A pass over a network is cut into tasks (member, network, block of rows). A task takes its rows through all
// layers, so what a layer writes is still in cache when the next reads it, and a backward pass has no
// barrier: each task sums its own rows' weight gradient into its own block, and the optimiser adds the blocks
// in order. The cut depends on shapes alone (uf_block_rows), so results are the same for any number of
// threads, and a member of a population computes what it computes alone.
//
// Rooms: row functions, members, shapes, products, products of few rows, forward, backward, second order, random numbers, rows,
// terms, world model, episodes, PPO, optimiser, bench, backend.
#include "kernels_cpu.h"

#include <assert.h>
#include <cblas.h>
#include <stdio.h>
#include <string.h>

void openblas_set_num_threads(int num_threads);  // cblas.h of some builds lacks it

// ---- row functions ----

// z -> activation(z + bias) into r, in place; with LayerNorm its output into h (which may be r) and (mean, 1/std)
// into stats.
CLONES static void rows_forward(real* r, real* h, real* stats, const real* bias, const real* scale,
                                const real* shift, int activation, int rows, int width) {
    for (int b = 0; b < rows; b++, r += width, h += width) {
        real sum = 0, squares = 0;
        if (activation == UF_TANH) {
#pragma omp simd
            for (int j = 0; j < width; j++) r[j] = uf_tanh(r[j] + bias[j]);
            if (!scale) continue;
#pragma omp simd reduction(+ : sum)
            for (int j = 0; j < width; j++) sum += r[j];
        } else {
#pragma omp simd reduction(+ : sum)
            for (int j = 0; j < width; j++) {
                real x = r[j] + bias[j];
                x = x <= 0 ? 0 : x;  // written so that NaN stays NaN
                r[j] = x;
                sum += x;
            }
        }
        if (!scale) continue;
        const real mean = sum / width;
#pragma omp simd reduction(+ : squares)
        for (int j = 0; j < width; j++) squares += (r[j] - mean) * (r[j] - mean);
        const real inv_std = 1 / sqrt(squares / width + (real)UF_LAYER_NORM_EPS);
#pragma omp simd
        for (int j = 0; j < width; j++) h[j] = (r[j] - mean) * inv_std * scale[j] + shift[j];
        if (stats) {
            stats[2 * b] = mean;
            stats[2 * b + 1] = inv_std;
        }
    }
}

// The output of LayerNorm once more, from what a tape holds.
CLONES static void rows_layer_norm(real* h, const real* r, const real* stats, const real* scale,
                                   const real* shift, int rows, int width) {
    for (int b = 0; b < rows; b++, r += width, h += width) {
        const real mean = stats[2 * b], inv_std = stats[2 * b + 1];
#pragma omp simd
        for (int j = 0; j < width; j++) h[j] = (r[j] - mean) * inv_std * scale[j] + shift[j];
    }
}

// dL/dh -> dL/dz in place. Adds to dbias (and dscale, dshift), unless null.
CLONES static void rows_backward(real* d, const real* r, const real* stats, const real* scale, real* dbias,
                                 real* dscale, real* dshift, int activation, int rows, int width) {
    for (int b = 0; b < rows; b++, d += width, r += width) {
        if (scale) {
            const real mean = stats[2 * b], inv_std = stats[2 * b + 1];
            real s1 = 0, s2 = 0;
            if (dscale) {
#pragma omp simd
                for (int j = 0; j < width; j++) {
                    dscale[j] += d[j] * ((r[j] - mean) * inv_std);
                    dshift[j] += d[j];
                }
            }
#pragma omp simd reduction(+ : s1, s2)
            for (int j = 0; j < width; j++) {
                s1 += d[j] * scale[j];
                s2 += d[j] * scale[j] * ((r[j] - mean) * inv_std);
            }
            s1 /= width;
            s2 /= width;
#pragma omp simd
            for (int j = 0; j < width; j++) {
                real x = inv_std * (d[j] * scale[j] - s1 - (r[j] - mean) * inv_std * s2);
                d[j] = activation == UF_TANH ? x * (1 - r[j] * r[j]) : r[j] > 0 ? x : 0;
            }
        } else if (activation == UF_TANH) {
#pragma omp simd
            for (int j = 0; j < width; j++) d[j] *= 1 - r[j] * r[j];
        } else {
#pragma omp simd
            for (int j = 0; j < width; j++) d[j] = r[j] > 0 ? d[j] : 0;
        }
        if (dbias) {
#pragma omp simd
            for (int j = 0; j < width; j++) dbias[j] += d[j];
        }
    }
}

// Tangent of rows_forward: dz/dt -> dh/dt in place. Keeps u = centred dr/dt and, a row, mean(xhat * u) in
// `projection`.
CLONES static void rows_tangent(real* t, real* u, real* projection, const real* r, const real* stats,
                                const real* scale, int rows, int width) {
    for (int b = 0; b < rows; b++, t += width, r += width) {
        real sum = 0, p = 0;
#pragma omp simd reduction(+ : sum)
        for (int j = 0; j < width; j++) {
            t[j] = r[j] > 0 ? t[j] : 0;
            sum += t[j];
        }
        if (!scale) continue;
        const real mean = stats[2 * b], inv_std = stats[2 * b + 1];
        sum /= width;
#pragma omp simd reduction(+ : p)
        for (int j = 0; j < width; j++) {
            u[j] = t[j] - sum;
            p += (r[j] - mean) * inv_std * u[j];
        }
        p /= width;
#pragma omp simd
        for (int j = 0; j < width; j++) t[j] = scale[j] * inv_std * (u[j] - (r[j] - mean) * inv_std * p);
        projection[b] = p;
        u += width;
    }
}

// Reverse of rows_forward and rows_tangent together: alpha = adjoint of dh/dt, beta = adjoint of h ->
// adjoints of dz/dt and z. With s = 1/std, xhat = s (r - mean), dxhat/dt = s (u - xhat p), n the width:
//   adj u    = s (a - xhat mean(a xhat)),           a = alpha * scale
//   adj xhat = beta * scale - s (a p + mean(a xhat) u)
//   adj s    = sum a (u - xhat p) + sum(xhat adj xhat) / s,  and s depends on r through the variance.
CLONES static void rows_backward_backward(real* alpha, real* beta, const real* u, const real* projection,
                                          const real* r, const real* stats, const real* scale, real* dbias,
                                          real* dscale, real* dshift, int rows, int width) {
    for (int b = 0; b < rows; b++, alpha += width, beta += width, r += width) {
        if (scale) {
            const real mean = stats[2 * b], s = stats[2 * b + 1], p = projection[b];
            real a1 = 0, a2 = 0, a3 = 0, s1 = 0, s2 = 0;
#pragma omp simd reduction(+ : a1, a2, a3)
            for (int j = 0; j < width; j++) {
                const real xhat = (r[j] - mean) * s, slope = u[j] - xhat * p;
                dscale[j] += beta[j] * xhat + alpha[j] * s * slope;
                dshift[j] += beta[j];
                const real a = alpha[j] * scale[j];
                a1 += a;
                a2 += a * xhat;
                a3 += a * slope;
            }
            a1 /= width;
            a2 /= width;
#pragma omp simd reduction(+ : s1, s2)
            for (int j = 0; j < width; j++) {
                const real xhat = (r[j] - mean) * s, a = alpha[j] * scale[j];
                const real dxhat = beta[j] * scale[j] - s * (a * p + a2 * u[j]);
                s1 += dxhat;
                s2 += xhat * dxhat;
                beta[j] = dxhat;
                alpha[j] = s * (a - a1 - xhat * a2);
            }
            s1 /= width;
            const real ds = (a3 + s2 / s) * s * s / width;
#pragma omp simd
            for (int j = 0; j < width; j++) beta[j] = s * (beta[j] - s1) - ds * ((r[j] - mean) * s);
            u += width;
        }
#pragma omp simd
        for (int j = 0; j < width; j++) {
            alpha[j] = r[j] > 0 ? alpha[j] : 0;
            beta[j] = r[j] > 0 ? beta[j] : 0;
            dbias[j] += beta[j];
        }
    }
}

CLONES static void rows_add(real* x, const real* bias, int rows, int width) {
    for (int b = 0; b < rows; b++, x += width)
        for (int j = 0; j < width; j++) x[j] += bias[j];
}

CLONES static void rows_sum(real* sum, const real* x, int rows, int width) {
    memset(sum, 0, (size_t)width * sizeof(real));
    for (int b = 0; b < rows; b++, x += width)
        for (int j = 0; j < width; j++) sum[j] += x[j];
}

// ---- members ----

UfBackend uf_backend_members(const UfBackend* backend, int first, int count) {
    UfBackend some = *backend;
    some.first_member = first;
    some.num_members = count;
    return some;
}

UfMembers uf_members(const UfBackend* be, int P) {
    return be->num_members ? (UfMembers){be->first_member, be->first_member + be->num_members}
                           : (UfMembers){0, P};
}

typedef struct Shifted {
    UfTask* task;
    void* context;
    int first;
} Shifted;

static void shifted_task(void* context, int task, int thread) {
    const Shifted* s = context;
    s->task(s->context, s->first + task, thread);
}

// Tasks are numbered member by member, tasks_each of them: those of the members that the backend works on.
void uf_cpu_run_tasks(UfBackend* backend, int P, int tasks_each, UfTask* task, void* context) {
    const UfMembers m = uf_members(backend, P);
    Shifted s = {task, context, m.first * tasks_each};
    uf_pool_run(backend->pool, (m.end - m.first) * tasks_each, shifted_task, &s);
}

// ---- shapes ----

static size_t place(size_t* at, size_t count) {
    size_t offset = *at;
    *at += (count + 15) / 16 * 16;
    return offset;
}

UfMlp uf_mlp_shape(int in, int width, int layers, int out, bool layer_norm, int extra) {
    UfMlp m = {.in = in, .width = width, .layers = layers, .out = out, .layer_norm = layer_norm};
    size_t at = 0;
    for (int l = 0; l < layers; l++) {
        m.kernel[l] = place(&at, (size_t)(l ? width : in) * (size_t)width);
        m.bias[l] = place(&at, (size_t)width);
        if (layer_norm) m.scale[l] = place(&at, (size_t)width);
        if (layer_norm) m.shift[l] = place(&at, (size_t)width);
    }
    m.kernel[layers] = place(&at, (size_t)width * (size_t)out);
    m.bias[layers] = place(&at, (size_t)out);
    m.log_std = place(&at, (size_t)extra);
    m.size = (at + 63) / 64 * 64;
    return m;
}

void uf_fill_lecun_normal(real* out, size_t count, int fan_in, UfRandom* random) {
    const double std = 1 / sqrt((double)fan_in) / 0.87962566103423978;
    for (size_t i = 0; i < count;) {
        const float x = uf_random_normal(random);
        if (x > -2 && x < 2) out[i++] = (real)(std * x);
    }
}

// Gram and Schmidt over the vectors of the shorter axis, each twice: "twice is enough" (Giraud et al., 2005). The first
// coefficient of every step is positive, so the law is that of a QR decomposition with positive diagonal.
UfStatus uf_fill_orthogonal(real* weights, int in, int out, int ld, double gain, UfRandom* random) {
    const int count = in < out ? in : out, length = in < out ? out : in;
    double* vectors;
    UF_TRY(UF_ALLOC(&vectors, (size_t)count * (size_t)length, "an orthogonal matrix"));
    for (int i = 0; i < count; i++) {
        double *v = vectors + (size_t)i * (size_t)length, squares = 0;
        for (int k = 0; k < length; k++) v[k] = (double)uf_random_normal(random);
        for (int pass = 0; pass < 2; pass++)
            for (int j = 0; j < i; j++) {
                const double* u = vectors + (size_t)j * (size_t)length;
                double inner = 0;
                for (int k = 0; k < length; k++) inner += u[k] * v[k];
                for (int k = 0; k < length; k++) v[k] -= inner * u[k];
            }
        for (int k = 0; k < length; k++) squares += v[k] * v[k];
        for (int k = 0; k < length; k++) v[k] /= sqrt(squares);
    }
    for (int i = 0; i < in; i++)
        for (int j = 0; j < out; j++)
            weights[(size_t)i * (size_t)ld + (size_t)j] =
                (real)(gain * (in < out ? vectors[(size_t)i * (size_t)length + (size_t)j]
                                        : vectors[(size_t)j * (size_t)length + (size_t)i]));
    uf_free(vectors);
    return UF_OK;
}

void uf_variance_bounds(real* bounds, const real* max_min, int D) {
    for (int d = 0; d < D; d++) {
        bounds[d] = exp(max_min[D + d]);
        bounds[D + d] = exp(-max_min[d]);
    }
}

// ---- products ----

// Notes a product of a whole pass for the bench. Where members are worked on one by one the first speaks for all.
static void note(UfBackend* backend, bool trans_a, bool trans_b, int m, int n, int k, int count) {
    UfTrace* trace = backend->trace;
    if (trace && backend->first_member == 0 && trace->num_products < trace->capacity)
        trace->products[trace->num_products++] = (UfProduct){m, n, k, count, trans_a, trans_b};
}

int uf_block_rows(int rows, int networks) {
    int block = rows < 512 ? rows : 512;
    if (networks < 4 && rows >= 256) {  // few networks: cut the batch too, so that two threads have work
        int half = (rows + 1) / 2;
        if (half < block) block = half;
    }
    return (block + 15) / 16 * 16;
}

int uf_num_blocks(int rows, int networks) {
    int block = uf_block_rows(rows, networks);
    return (rows + block - 1) / block;
}

// Reals of scratch that the largest task of a pass needs: second order keeps two arrays a layer and four
// more.
static size_t scratch_needed(const UfMlp* mlp, int block) {
    return (size_t)block * (size_t)mlp->width * (size_t)(2 * mlp->layers + 5) + (size_t)block * UF_MAX_LAYERS;
}

UfStatus uf_cpu_reserve_scratch(UfBackend* backend, size_t needed) {
    UfCpuState* state = backend->state;
    if (needed <= state->scratch_count) return UF_OK;
    for (int t = 0; t < uf_pool_num_threads(backend->pool); t++) {
        uf_free(state->scratch[t]);
        state->scratch[t] = NULL;
        state->scratch_count = 0;
        UF_TRY(UF_ALLOC(&state->scratch[t], needed, "scratch of one thread"));
    }
    state->scratch_count = needed;
    return UF_OK;
}

static UfStatus cpu_plan(UfBackend* backend, const UfMlp* mlp, int P, int networks, int rows) {
    (void)P;
    return uf_cpu_reserve_scratch(backend, scratch_needed(mlp, uf_block_rows(rows, networks)));
}

// One task of a pass: which network and which rows.
typedef struct Task {
    int p, n, first, count, block;
    size_t network;  // p * N + n, into parameters
    size_t rows;     // first row in arrays (P, used, total)
} Task;

static Task cut(const UfNets* nets, UfRows rows, int task) {
    const int block_rows = uf_block_rows(rows.count, nets->N), blocks = uf_num_blocks(rows.count, nets->N);
    Task t;
    t.block = task % blocks;
    t.n = task / blocks % nets->used;
    t.p = task / blocks / nets->used;
    t.first = rows.first + t.block * block_rows;
    t.count = rows.first + rows.count - t.first < block_rows ? rows.first + rows.count - t.first : block_rows;
    t.network = (nets->shared ? 0 : (size_t)t.p * (size_t)nets->N) + (size_t)t.n;
    t.rows = ((size_t)t.p * (size_t)nets->used + (size_t)t.n) * (size_t)rows.total + (size_t)t.first;
    return t;
}

static void run_pass(UfBackend* backend, const UfNets* nets, UfRows rows, UfTask* task, void* context) {
    uf_cpu_run_tasks(backend, nets->P, nets->used * uf_num_blocks(rows.count, nets->N), task, context);
}

static const real* input_rows(UfInput input, const Task* t) {
    return input.x + ((size_t)t->p * (size_t)input.total + (size_t)t->first) * (size_t)input.ld;
}

// ---- products of few rows ----
//
// BLAS packs its operands first, which costs more than the product where a policy acts for a few rows, or is cloned from
// a few. Here every sum runs over k in order, or strip by strip of it, so that a row's result does not depend on the rows
// beside it.

enum { TILE_ROWS = 4, TILE_WIDTH = 32, NARROW = 8, STRIP = 64 };

// sum (height, width) += rows of a times b (k, width); number i of row r is a[r][i * step].
INLINE void add_to_tile(real* sum, const real* const* a, size_t step, const real* b, size_t ldb, int height,
                        int width, int k) {
    for (int i = 0; i < k; i++)
        for (int r = 0; r < height; r++) {
            const real x = a[r][(size_t)i * step];
#pragma omp simd
            for (int j = 0; j < width; j++) sum[r * width + j] += x * b[(size_t)i * ldb + (size_t)j];
        }
}

// An operand whose number (row, i) is at + row * row_step + i * step.
typedef struct Operand {
    const real* at;
    size_t row, step;
} Operand;

// c (height, count) = a b, a tile of a product, at most `width` wide: height and width are known while compiling.
INLINE void tile_product(real* c, size_t ldc, Operand a, const real* b, size_t ldb, int height, int width,
                         int count, int k) {
    const real* row[TILE_ROWS];
    real sum[TILE_ROWS * TILE_WIDTH];
    for (int j = 0; j < height * width; j++) sum[j] = 0;
    for (int r = 0; r < height; r++) row[r] = a.at + (size_t)r * a.row;
    if (count == width) {
        add_to_tile(sum, row, a.step, b, ldb, height, width, k);
    } else {  // strips of b, with zeros behind
        real strip[STRIP * NARROW];
        for (int i = 0; i < k; i += STRIP) {
            const int end = k - i < STRIP ? k - i : STRIP;
            for (int s = 0; s < end; s++)
                for (int j = 0; j < width; j++)
                    strip[s * width + j] = j < count ? b[(size_t)(i + s) * ldb + (size_t)j] : 0;
            add_to_tile(sum, row, a.step, strip, (size_t)width, height, width, end);
            for (int r = 0; r < height; r++) row[r] += (size_t)end * a.step;
        }
    }
    for (int r = 0; r < height; r++)
        for (int j = 0; j < count; j++) c[(size_t)r * ldc + (size_t)j] = sum[r * width + j];
}

INLINE void tile_row(real* c, size_t ldc, Operand a, const real* b, size_t ldb, int height, int n, int k) {
    int j = 0;
    for (; n - j >= TILE_WIDTH; j += TILE_WIDTH)
        tile_product(c + j, ldc, a, b + j, ldb, height, TILE_WIDTH, TILE_WIDTH, k);
    for (; n - j >= NARROW; j += NARROW) tile_product(c + j, ldc, a, b + j, ldb, height, NARROW, NARROW, k);
    if (j < n) tile_product(c + j, ldc, a, b + j, ldb, height, NARROW, n - j, k);
}

// c (rows, n) = a (rows, k) b (k, n)
CLONES static void rows_product(real* c, int ldc, Operand a, const real* b, int ldb, int rows, int n, int k) {
    for (int r = 0; r < rows; r += TILE_ROWS) {
        real* to = c + (size_t)r * (size_t)ldc;
        const Operand from = {a.at + (size_t)r * a.row, a.row, a.step};
        if (rows - r >= TILE_ROWS)
            tile_row(to, (size_t)ldc, from, b, (size_t)ldb, TILE_ROWS, n, k);
        else if (rows - r == 3)
            tile_row(to, (size_t)ldc, from, b, (size_t)ldb, 3, n, k);
        else if (rows - r == 2)
            tile_row(to, (size_t)ldc, from, b, (size_t)ldb, 2, n, k);
        else
            tile_row(to, (size_t)ldc, from, b, (size_t)ldb, 1, n, k);
    }
}

// to (4, 4) = from transposed.
INLINE void transpose_4(real* to, size_t ld_to, const real* from, size_t ld_from) {
#if defined(__GNUC__) && !defined(__clang__)
    typedef real Four __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));
    typedef __typeof__(__builtin_choose_expr(sizeof(real) == 4, (int32_t)0, (int64_t)0)) Place;
    typedef Place Order __attribute__((vector_size(4 * sizeof(real))));
    const Order low = {0, 4, 1, 5}, high = {2, 6, 3, 7}, first = {0, 1, 4, 5}, second = {2, 3, 6, 7};
    const Four a = *(const Four*)from, b = *(const Four*)(from + ld_from),
               c = *(const Four*)(from + 2 * ld_from), d = *(const Four*)(from + 3 * ld_from);
    const Four ab = __builtin_shuffle(a, b, low), cd = __builtin_shuffle(c, d, low),
               ab2 = __builtin_shuffle(a, b, high), cd2 = __builtin_shuffle(c, d, high);
    *(Four*)to = __builtin_shuffle(ab, cd, first);
    *(Four*)(to + ld_to) = __builtin_shuffle(ab, cd, second);
    *(Four*)(to + 2 * ld_to) = __builtin_shuffle(ab2, cd2, first);
    *(Four*)(to + 3 * ld_to) = __builtin_shuffle(ab2, cd2, second);
#else
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 4; j++) to[i * ld_to + j] = from[j * ld_from + i];
#endif
}

// to (columns, ld) = from (rows, columns) transposed.
INLINE void transpose(real* to, size_t ld, const real* from, size_t ld_from, int rows, int columns) {
    const int whole = columns / 4 * 4;
    int j = 0;
    for (; j + 4 <= rows; j += 4) {
        const real* at = from + (size_t)j * ld_from;
        for (int i = 0; i < whole; i += 4) transpose_4(to + (size_t)i * ld + (size_t)j, ld, at + i, ld_from);
        for (int i = whole; i < columns; i++)
            for (int r = 0; r < 4; r++)
                to[(size_t)i * ld + (size_t)(j + r)] = at[(size_t)r * ld_from + (size_t)i];
    }
    for (; j < rows; j++)
        for (int i = 0; i < columns; i++)
            to[(size_t)i * ld + (size_t)j] = from[(size_t)j * ld_from + (size_t)i];
}

// c (height, count) = or, with more, += a (height, k) strip (k, width).
INLINE void strip_product(real* c, size_t ldc, const real* a, size_t lda, const real* strip, int height,
                          int width, int count, int k, bool more) {
    const real* row[TILE_ROWS];
    real sum[TILE_ROWS * TILE_WIDTH];
    for (int j = 0; j < height * width; j++) sum[j] = 0;
    for (int r = 0; r < height; r++) row[r] = a + (size_t)r * lda;
    add_to_tile(sum, row, 1, strip, (size_t)width, height, width, k);
    for (int r = 0; r < height; r++)
        for (int j = 0; j < width && j < count; j++) {
            real* to = &c[(size_t)r * ldc + (size_t)j];
            *to = more ? *to + sum[r * width + j] : sum[r * width + j];
        }
}

INLINE void strip_rows(real* c, size_t ldc, const real* a, size_t lda, const real* strip, int rows, int width,
                       int count, int k, bool more) {
    int r = 0;
    for (; rows - r >= TILE_ROWS; r += TILE_ROWS)
        strip_product(c + (size_t)r * ldc, ldc, a + (size_t)r * lda, lda, strip, TILE_ROWS, width, count, k,
                      more);
    for (; rows - r >= 2; r += 2)
        strip_product(c + (size_t)r * ldc, ldc, a + (size_t)r * lda, lda, strip, 2, width, count, k, more);
    if (r < rows)
        strip_product(c + (size_t)r * ldc, ldc, a + (size_t)r * lda, lda, strip, 1, width, count, k, more);
}

// c (rows, n) = a (rows, k) b (n, k) transposed: strips of b are transposed first, for all rows.
CLONES static void rows_product_transposed(real* c, int ldc, const real* a, int lda, const real* b, int ldb,
                                           int rows, int n, int k) {
    real strip[STRIP * TILE_WIDTH];
    for (int j = 0; j < n;) {
        const bool wide = n - j >= TILE_WIDTH;
        const int width = wide ? TILE_WIDTH : NARROW, count = n - j < width ? n - j : width;
        if (count < width) memset(strip, 0, (size_t)(k < STRIP ? k : STRIP) * NARROW * sizeof(real));
        for (int i = 0; i < k; i += STRIP) {
            const int end = k - i < STRIP ? k - i : STRIP;
            transpose(strip, (size_t)width, b + (size_t)j * (size_t)ldb + (size_t)i, (size_t)ldb, count, end);
            if (wide)
                strip_rows(c + j, (size_t)ldc, a + i, (size_t)lda, strip, rows, TILE_WIDTH, TILE_WIDTH, end,
                           i > 0);
            else
                strip_rows(c + j, (size_t)ldc, a + i, (size_t)lda, strip, rows, NARROW, count, end, i > 0);
        }
        j += count;
    }
}

// A small right operand that is to be transposed: of one or two columns BLAS loses to the loops, of more it is faster when
// it gets it transposed already (100 rows of 64 by 64: 3.6 us, not 6.4).
enum { SMALL = 64, SMALL_THIN = 2 };

CLONES static void transpose_small(real* to, const real* from, int ld, int n, int k) {
    transpose(to, (size_t)n, from, (size_t)ld, n, k);
}

void uf_cpu_product(UfBackend* backend, int thread, bool trans_a, bool trans_b, int m, int n, int k,
                    const real* a, int lda, const real* b, int ldb, real beta, real* c, int ldc) {
    if (!backend) {
        if (trans_b)
            rows_product_transposed(c, ldc, a, lda, b, ldb, m, n, k);
        else
            rows_product(c, ldc, (Operand){a, trans_a ? 1 : (size_t)lda, trans_a ? (size_t)lda : 1}, b, ldb,
                         m, n, k);
        return;
    }
    const UfTrace* trace = backend->trace;
    const double start = trace && trace->clock ? uf_now() : 0;
    real small[SMALL * SMALL];
    if (trans_b && !trans_a && n <= SMALL && k <= SMALL && beta == 0) {
        if (k <= SMALL_THIN) {
            rows_product_transposed(c, ldc, a, lda, b, ldb, m, n, k);
            if (trace && trace->clock) trace->gemm_seconds[thread] += uf_now() - start;
            return;
        }
        transpose_small(small, b, ldb, n, k);
        trans_b = false;
        b = small;
        ldb = n;
    }
    const enum CBLAS_TRANSPOSE ta = trans_a ? CblasTrans : CblasNoTrans,
                               tb = trans_b ? CblasTrans : CblasNoTrans;
    if (sizeof(real) == sizeof(float))
        cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, 1, (const float*)a, lda, (const float*)b, ldb,
                    (float)beta, (float*)c, ldc);
    else
        cblas_dgemm(CblasRowMajor, ta, tb, m, n, k, 1, (const double*)a, lda, (const double*)b, ldb, beta,
                    (double*)c, ldc);
    if (trace && trace->clock) trace->gemm_seconds[thread] += uf_now() - start;
}

// ---- forward ----

typedef struct Forward {
    UfBackend* backend;
    const UfNets* nets;
    real* out;
    const UfTape* tape;
    UfInput input;
    UfRows rows;
} Forward;

// A tape keeps r and stats; the rest lives in two scratch arrays.
const real* uf_cpu_hidden_forward(UfBackend* backend, int thread, const UfMlp* mlp, const real* params,
                                  const UfTape* tape, size_t tape_row, const real* x, int ld, int rows,
                                  real* scratch) {
    const int width = mlp->width;
    for (int l = 0; l < mlp->layers; l++) {
        const size_t at = tape_row * (size_t)width;
        real* r = tape ? tape->r[l] + at : scratch + (size_t)(l % 2) * (size_t)rows * (size_t)width;
        real* h = tape && mlp->layer_norm ? scratch : r;  // x lies there too, but its product is done by then
        real* stats = tape && mlp->layer_norm ? tape->stats[l] + 2 * tape_row : NULL;
        uf_cpu_product(backend, thread, false, false, rows, width, l ? width : mlp->in, x, ld,
                       params + mlp->kernel[l], width, 0, r, width);
        rows_forward(r, h, stats, params + mlp->bias[l], mlp->layer_norm ? params + mlp->scale[l] : NULL,
                     mlp->layer_norm ? params + mlp->shift[l] : NULL, mlp->activation, rows, width);
        x = h;
        ld = width;
    }
    return x;
}

// All layers.
static void forward_rows(UfBackend* backend, int thread, const UfMlp* mlp, const real* params, real* out,
                         const UfTape* tape, size_t tape_row, const real* x, int ld, int rows,
                         real* scratch) {
    const int L = mlp->layers;
    const real* h = uf_cpu_hidden_forward(backend, thread, mlp, params, tape, tape_row, x, ld, rows, scratch);
    uf_cpu_product(backend, thread, false, false, rows, mlp->out, mlp->width, h, mlp->width,
                   params + mlp->kernel[L], mlp->out, 0, out, mlp->out);
    rows_add(out, params + mlp->bias[L], rows, mlp->out);
}

void uf_mlp_forward_host(const UfMlp* mlp, const real* params, real* out, const real* x, int ld, int rows,
                         real* scratch) {
    forward_rows(NULL, 0, mlp, params, out, NULL, 0, x, ld, rows, scratch);
}

static void forward_task(void* context, int task, int thread) {
    const Forward* f = context;
    const UfMlp* mlp = f->nets->mlp;
    const Task t = cut(f->nets, f->rows, task);
    forward_rows(f->backend, thread, mlp, f->nets->params + t.network * mlp->size,
                 f->out + t.rows * (size_t)mlp->out, f->tape, t.rows, input_rows(f->input, &t), f->input.ld,
                 t.count, ((UfCpuState*)f->backend->state)->scratch[thread]);
}

static void cpu_mlp_forward(UfBackend* backend, const UfNets* nets, real* out, const UfTape* tape,
                            UfInput input, UfRows rows) {
    Forward f = {backend, nets, out, tape, input, rows};
    const UfMlp* mlp = nets->mlp;
    for (int l = 0; l <= mlp->layers; l++)
        note(backend, false, false, rows.count, l < mlp->layers ? mlp->width : mlp->out,
             l ? mlp->width : mlp->in, nets->P * nets->used);
    run_pass(backend, nets, rows, forward_task, &f);
}

// ---- backward ----

typedef struct Backward {
    UfBackend* backend;
    const UfNets* nets;
    real *grads, *dx;
    int dx_first, dx_count;
    const UfTape* tape;
    UfInput input;
    const real *dout, *tangent;
    UfRows rows;
} Backward;

// This task's block of the gradient: (num_blocks, P, N, size).
static real* gradient_block(const Backward* c, const Task* t) {
    return c->grads +
           ((size_t)t->block * (size_t)(c->nets->P * c->nets->N) + t->network) * c->nets->mlp->size;
}

// Clears what row functions add to.
static void clear_row_sums(const UfMlp* mlp, real* grads, int l) {
    const size_t bytes = (size_t)mlp->width * sizeof(real);
    memset(grads + mlp->bias[l], 0, bytes);
    if (mlp->layer_norm) {
        memset(grads + mlp->scale[l], 0, bytes);
        memset(grads + mlp->shift[l], 0, bytes);
    }
}

// Output of layer l over the rows; computed into `space` where LayerNorm's is not kept.
static const real* layer_output(const UfMlp* mlp, const UfTape* tape, size_t tape_row, const real* params,
                                int l, int rows, real* space) {
    const real* r = tape->r[l] + tape_row * (size_t)mlp->width;
    if (!mlp->layer_norm) return r;
    rows_layer_norm(space, r, tape->stats[l] + 2 * tape_row, params + mlp->scale[l], params + mlp->shift[l],
                    rows, mlp->width);
    return space;
}

void uf_cpu_hidden_backward(const UfHiddenBack* c, real* dx, int dx_first, int dx_count) {
    UfBackend* be = c->backend;
    const UfMlp* mlp = c->mlp;
    const int width = mlp->width, rows = c->rows, thread = c->thread;
    const real* params = c->params;
    const size_t at = c->tape_row * (size_t)width;
    real *grads = c->grads, *d = c->d, *next = c->next;
    for (int l = mlp->layers - 1; l >= 0; l--) {
        if (grads) clear_row_sums(mlp, grads, l);
        rows_backward(d, c->tape->r[l] + at, mlp->layer_norm ? c->tape->stats[l] + 2 * c->tape_row : NULL,
                      mlp->layer_norm ? params + mlp->scale[l] : NULL, grads ? grads + mlp->bias[l] : NULL,
                      grads && mlp->layer_norm ? grads + mlp->scale[l] : NULL,
                      grads && mlp->layer_norm ? grads + mlp->shift[l] : NULL, mlp->activation, rows, width);
        if (grads) {
            const real* x = l ? layer_output(mlp, c->tape, c->tape_row, params, l - 1, rows, c->space) : c->x;
            uf_cpu_product(be, thread, true, false, l ? width : mlp->in, width, rows, x, l ? width : c->ld, d,
                           width, 0, grads + mlp->kernel[l], width);
        }
        if (l) {
            uf_cpu_product(be, thread, false, true, rows, width, width, d, width, params + mlp->kernel[l],
                           width, 0, next, width);
            real* swap = d;
            d = next;
            next = swap;
        } else if (dx) {
            uf_cpu_product(be, thread, false, true, rows, dx_count, width, d, width,
                           params + mlp->kernel[0] + (size_t)dx_first * (size_t)width, width, 0, dx,
                           dx_count);
        }
    }
}

static void backward_task(void* context, int task, int thread) {
    const Backward* c = context;
    UfBackend* be = c->backend;
    const UfMlp* mlp = c->nets->mlp;
    const Task t = cut(c->nets, c->rows, task);
    const int width = mlp->width, rows = t.count, L = mlp->layers;
    const real* params = c->nets->params + t.network * mlp->size;
    real* grads = c->grads ? gradient_block(c, &t) : NULL;
    real* d = ((UfCpuState*)be->state)->scratch[thread];
    real *next = d + (size_t)rows * (size_t)width, *space = next + (size_t)rows * (size_t)width;

    // Output layer.
    const real* dout = c->dout + t.rows * (size_t)mlp->out;
    if (grads) {
        uf_cpu_product(be, thread, true, false, width, mlp->out, rows,
                       layer_output(mlp, c->tape, t.rows, params, L - 1, rows, space), width, dout, mlp->out,
                       0, grads + mlp->kernel[L], mlp->out);
        rows_sum(grads + mlp->bias[L], dout, rows, mlp->out);
    }
    uf_cpu_product(be, thread, false, true, rows, width, mlp->out, dout, mlp->out, params + mlp->kernel[L],
                   mlp->out, 0, d, width);

    const UfHiddenBack hidden = {
        be,          thread, mlp, params, grads, c->tape, t.rows, input_rows(c->input, &t),
        c->input.ld, rows,   d,   next,   space};
    uf_cpu_hidden_backward(&hidden, c->dx ? c->dx + t.rows * (size_t)c->dx_count : NULL, c->dx_first,
                           c->dx_count);
}

static void note_backward(UfBackend* backend, const UfNets* nets, bool grads, int dx_count, int rows) {
    const UfMlp* mlp = nets->mlp;
    const int count = nets->P * nets->used;
    for (int l = mlp->layers; l >= 0; l--) {
        const int in = l ? mlp->width : mlp->in, out = l < mlp->layers ? mlp->width : mlp->out;
        if (grads) note(backend, true, false, in, out, rows, count);
        if (l || dx_count) note(backend, false, true, rows, l ? in : dx_count, out, count);
    }
}

static void cpu_mlp_backward(UfBackend* backend, const UfNets* nets, real* grads, real* dx, int dx_first,
                             int dx_count, const UfTape* tape, UfInput input, const real* dout, int total) {
    Backward c = {backend, nets, grads, dx, dx_first, dx_count, tape, input, dout, NULL, {0, total, total}};
    note_backward(backend, nets, grads != NULL, dx ? dx_count : 0, total);
    run_pass(backend, nets, c.rows, backward_task, &c);
}

// ---- second order ----

// <tangent, dQ/dx> is the derivative of Q along the tangent, so its gradient is one reverse pass over a
// forward pass that carries tangents (forward over reverse): two adjoint streams, alpha for tangents and beta
// for values. The first-order loss enters through beta's seed.
static void backward_backward_task(void* context, int task, int thread) {
    const Backward* c = context;
    UfBackend* be = c->backend;
    const UfMlp* mlp = c->nets->mlp;
    const Task t = cut(c->nets, c->rows, task);
    const int width = mlp->width, rows = t.count, L = mlp->layers, cols = c->dx_count;
    const size_t area = (size_t)rows * (size_t)width, at = t.rows * (size_t)width;
    const real* params = c->nets->params + t.network * mlp->size;
    const real* tangent = c->tangent + t.rows * (size_t)cols;
    const real* dout = c->dout + t.rows;
    real* grads = gradient_block(c, &t);
    real* scratch = ((UfCpuState*)be->state)->scratch[thread];
    real *dh[UF_MAX_LAYERS], *u[UF_MAX_LAYERS], *projection[UF_MAX_LAYERS];
    for (int l = 0; l < L; l++) {
        dh[l] = scratch + (size_t)(2 * l) * area;
        u[l] = scratch + (size_t)(2 * l + 1) * area;
        projection[l] = scratch + (size_t)(2 * L + 5) * area + (size_t)l * (size_t)rows;
    }
    real *alpha = scratch + (size_t)(2 * L) * area, *beta = alpha + area, *alpha_next = beta + area,
         *beta_next = alpha_next + area, *space = beta_next + area;

    // Tangents forward.
    for (int l = 0; l < L; l++) {
        const real* w = params + mlp->kernel[l] + (l ? 0 : (size_t)c->dx_first * (size_t)width);
        uf_cpu_product(be, thread, false, false, rows, width, l ? width : cols, l ? dh[l - 1] : tangent,
                       l ? width : cols, w, width, 0, dh[l], width);
        rows_tangent(dh[l], u[l], projection[l], c->tape->r[l] + at,
                     mlp->layer_norm ? c->tape->stats[l] + 2 * t.rows : NULL,
                     mlp->layer_norm ? params + mlp->scale[l] : NULL, rows, width);
    }

    // Output layer: Q = h w + b, dQ/dt = (dh/dt) w.
    const real* w = params + mlp->kernel[L];
    rows_sum(grads + mlp->kernel[L], dh[L - 1], rows, width);
    uf_cpu_product(be, thread, true, false, width, 1, rows,
                   layer_output(mlp, c->tape, t.rows, params, L - 1, rows, space), width, dout, 1, 1,
                   grads + mlp->kernel[L], 1);
    rows_sum(grads + mlp->bias[L], dout, rows, 1);
    for (int b = 0; b < rows; b++) {
        memcpy(alpha + (size_t)b * (size_t)width, w, (size_t)width * sizeof(real));
        for (int j = 0; j < width; j++) beta[(size_t)b * (size_t)width + (size_t)j] = dout[b] * w[j];
    }

    // Both adjoints back.
    for (int l = L - 1; l >= 0; l--) {
        clear_row_sums(mlp, grads, l);
        rows_backward_backward(alpha, beta, u[l], projection[l], c->tape->r[l] + at,
                               mlp->layer_norm ? c->tape->stats[l] + 2 * t.rows : NULL,
                               mlp->layer_norm ? params + mlp->scale[l] : NULL, grads + mlp->bias[l],
                               mlp->layer_norm ? grads + mlp->scale[l] : NULL,
                               mlp->layer_norm ? grads + mlp->shift[l] : NULL, rows, width);
        real* dw = grads + mlp->kernel[l];
        const real* x =
            l ? layer_output(mlp, c->tape, t.rows, params, l - 1, rows, space) : input_rows(c->input, &t);
        uf_cpu_product(be, thread, true, false, l ? width : mlp->in, width, rows, x, l ? width : c->input.ld,
                       beta, width, 0, dw, width);
        if (l) {
            uf_cpu_product(be, thread, true, false, width, width, rows, dh[l - 1], width, alpha, width, 1, dw,
                           width);
            const real* wl = params + mlp->kernel[l];
            uf_cpu_product(be, thread, false, true, rows, width, width, alpha, width, wl, width, 0,
                           alpha_next, width);
            uf_cpu_product(be, thread, false, true, rows, width, width, beta, width, wl, width, 0, beta_next,
                           width);
            real *swap_a = alpha, *swap_b = beta;
            alpha = alpha_next;
            beta = beta_next;
            alpha_next = swap_a;
            beta_next = swap_b;
        } else {
            uf_cpu_product(be, thread, true, false, cols, width, rows, tangent, cols, alpha, width, 1,
                           dw + (size_t)c->dx_first * (size_t)width, width);
        }
    }
}

static void cpu_mlp_backward_backward(UfBackend* backend, const UfNets* nets, real* grads, const UfTape* tape,
                                      UfInput input, const real* tangent, int tangent_first,
                                      int tangent_count, const real* dout, int total) {
    Backward c = {backend, nets,  grads, NULL,    tangent_first,    tangent_count,
                  tape,    input, dout,  tangent, {0, total, total}};
    const UfMlp* mlp = nets->mlp;
    const int count = nets->P * nets->used, width = mlp->width;
    assert(mlp->activation == UF_RELU);
    note_backward(backend, nets, true, 0, total);
    for (int l = 0; l < mlp->layers; l++) {
        const int in = l ? width : tangent_count;
        note(backend, false, false, total, width, in, count);
        note(backend, true, false, in, width, total, count);
        if (l) note(backend, false, true, total, width, width, count);
    }
    run_pass(backend, nets, c.rows, backward_backward_task, &c);
}

// ---- random numbers ----

__extension__ typedef unsigned __int128 uint128;

static void random_index(UfBackend* backend, const UfDraw* d, int P, const uint64_t* seeds) {
    UF_FOR_MEMBERS(backend, p, P)
    for (int64_t b = 0; b < d->count; b += 2) {
        const UfPhilox w = uf_philox(seeds[p], (uint32_t)d->stream, (uint64_t)d->update.now, (uint64_t)b / 2);
        for (int i = 0; i < 2 && b + i < d->count; i++) {
            const uint64_t bits = (uint64_t)w.v[2 * i] << 32 | w.v[2 * i + 1];
            ((int64_t*)d->out)[p * d->count + b + i] =
                (int64_t)(((uint128)bits * (uint64_t)d->below[p]) >> 64);
        }
    }
}

typedef struct Random {
    const UfDraw* draw;
    const uint64_t* seeds;
    int chunks;
} Random;

enum { RANDOM_CHUNK = 4096 };

static void random_task(void* context, int task, int thread) {
    const Random* c = context;
    const UfDraw* d = c->draw;
    (void)thread;
    const int p = task / c->chunks;
    const int64_t first = (int64_t)(task % c->chunks) * RANDOM_CHUNK;
    const int64_t end = first + RANDOM_CHUNK < d->count ? first + RANDOM_CHUNK : d->count;
    real* out = (real*)d->out + (int64_t)p * d->count;
    for (int64_t i = first; i < end; i += 4) {
        const UfPhilox w =
            uf_philox(c->seeds[p], (uint32_t)d->stream, (uint64_t)d->update.now, (uint64_t)i / 4);
        float v[4];
        if (d->kind == UF_DRAW_NORMAL) {
            uf_normal_pair(w.v[0], w.v[1], v);
            uf_normal_pair(w.v[2], w.v[3], v + 2);
        } else {
            for (int k = 0; k < 4; k++) v[k] = 2 * uf_uniform(w.v[k]) - 1;
        }
        for (int k = 0; k < 4 && i + k < end; k++) out[i + k] = v[k];
    }
}

static void cpu_random(UfBackend* backend, const UfDraw* draws, int num_draws, int P, const uint64_t* seeds) {
    for (const UfDraw* d = draws; d < draws + num_draws; d++) {
        Random c = {d, seeds, (int)((d->count + RANDOM_CHUNK - 1) / RANDOM_CHUNK)};
        if (d->kind == UF_DRAW_INDEX)
            random_index(backend, d, P, seeds);
        else
            uf_cpu_run_tasks(backend, P, c.chunks, random_task, &c);
    }
}

static void cpu_random_order(UfBackend* backend, int64_t* index, int P, int n, const uint64_t* seeds,
                             int stream, UfCount update) {
    UF_FOR_MEMBERS(backend, p, P) {
        const UfShuffle s = uf_shuffle(seeds[p], (uint32_t)stream, (uint64_t)update.now, (uint32_t)n);
        int64_t* row = index + (size_t)p * (size_t)n;
        for (int i = 0; i < n; i++) row[i] = uf_shuffled(&s, (uint32_t)i);
    }
}

// ---- rows ----

static void copy_row(real* out, const float* in, int count) {
    for (int i = 0; i < count; i++) out[i] = in[i];
}

static void gather_row(const UfBatch* batch, size_t i, const UfSource* source, int64_t row) {
    const int O = source->obs_dim, A = source->action_dim;
    const size_t stride = (size_t)source->stride;
    const float* record = source->records + (size_t)row * stride;
    const float* tail = record + O + A;  // reward, done, has_next
    const float* next_obs = source->next_obs ? source->next_obs + (size_t)row * (size_t)O : record + stride;
    const float* next_action = source->next_actions ? source->next_actions + (size_t)row * (size_t)A
                               : tail[2] > 0        ? record + stride + O
                                                    : record + O;
    copy_row(batch->obs + i * (size_t)O, record, O);
    copy_row(batch->action + i * (size_t)A, record + O, A);
    copy_row(batch->next_obs + i * (size_t)O, next_obs, O);
    copy_row(batch->next_action + i * (size_t)A, next_action, A);
    batch->reward[i] = tail[0];
    batch->done[i] = tail[1];
}

static void cpu_gather(UfBackend* backend, const UfBatch* batch, const UfPiece* pieces, int num_pieces,
                       int P) {
    for (const UfPiece* k = pieces; k < pieces + num_pieces; k++) {
        const UfSource* source = k->source;
        UF_FOR_MEMBERS(backend, p, P)
        for (int b = 0; b < k->rows.count; b++) {
            const int64_t at = k->index[(size_t)p * (size_t)k->rows.count + (size_t)b];
            const int64_t row = p * source->member_rows + (source->rows ? source->rows[at] : at);
            gather_row(batch, (size_t)p * (size_t)k->rows.total + (size_t)(k->rows.first + b), source, row);
        }
    }
}

static void cpu_network_input(UfBackend* backend, const UfInputRows* rows, int num_rows, int ld,
                              const real* mean, const real* std, int P, int B, int O, int A) {
    for (const UfInputRows* k = rows; k < rows + num_rows; k++) UF_FOR_MEMBERS(backend, p, P)
    for (int b = 0; b < B; b++) {
        const size_t row = (size_t)p * (size_t)B + (size_t)b;
        real* x = k->out + ((size_t)p * (size_t)k->total + (size_t)b) * (size_t)ld;
        const real* o = k->obs + row * (size_t)O;
        for (int i = 0; i < O; i++) x[i] = mean ? (o[i] - mean[i]) / (std[i] + (real)UF_OBS_STD_EPS) : o[i];
        if (k->action) memcpy(x + O, k->action + row * (size_t)A, (size_t)A * sizeof(real));
    }
}

// ---- terms ----

// Terms handle a few numbers a row; one task a member keeps sums in one order.
static void add_metric(double* metrics, int p, int metric, double value) {
    metrics[(size_t)p * UF_NUM_METRICS + (size_t)metric] += value;
}

typedef struct HeadRow {
    const real *m, *s;  // mean outputs and raw log-stds of a row; s null: it has none
} HeadRow;

static HeadRow head_row(const UfHeads* heads, int p, int b) {
    const real* head = heads->head + ((size_t)p * (size_t)heads->B + (size_t)b) * (size_t)heads->H;
    HeadRow row = {head, NULL};
    if (heads->kind == UF_POLICY_DETERMINISTIC || heads->kind == UF_POLICY_CATEGORICAL) return row;
    row.s = heads->log_std ? heads->log_std + (size_t)p * heads->log_std_stride : head + heads->A;
    return row;
}

static real clipped_log_std(const UfHeads* heads, HeadRow row, int p, int i, bool* passes) {
    *passes = false;
    if (!row.s) return 0;
    return uf_log_std(row.s[i], heads->hyper[p].log_std_min, heads->hyper[p].log_std_max, passes);
}

typedef struct PolicySample {
    const UfHeads* heads;
    UfActions actions;
    real* log_prob;
    const real *noise, *smoothing;
} PolicySample;

static void categorical_sample(const PolicySample* c, int p) {
    const UfHeads* heads = c->heads;
    const int A = heads->A;
    for (int b = 0; b < heads->B; b++) {
        const size_t row = (size_t)p * (size_t)heads->B + (size_t)b, at = row * (size_t)A;
        const real* m = head_row(heads, p, b).m;
        const UfCategorical pi = uf_categorical(m, A);
        const int choice = uf_categorical_choice(m, c->noise ? c->noise + at : NULL, A);
        const real flaw = pi.log_z - pi.log_z;  // 0, or NaN
        real* a = c->actions.a ? c->actions.a + ((size_t)p * (size_t)c->actions.total + (size_t)b) *
                                                    (size_t)c->actions.ld
                               : NULL;
        for (int i = 0; a && i < A; i++) a[i] = (i == choice) + flaw;
        if (c->log_prob) c->log_prob[row] = pi.mean_log_prob;
    }
}

static void policy_sample_task(void* context, int p, int thread) {
    const PolicySample* c = context;
    const UfHeads* heads = c->heads;
    (void)thread;
    if (heads->kind == UF_POLICY_CATEGORICAL) {
        categorical_sample(c, p);
        return;
    }
    for (int b = 0; b < heads->B; b++) {
        const HeadRow row = head_row(heads, p, b);
        const size_t at = ((size_t)p * (size_t)heads->B + (size_t)b) * (size_t)heads->A;
        real* a = c->actions.a ? c->actions.a + ((size_t)p * (size_t)c->actions.total + (size_t)b) *
                                                    (size_t)c->actions.ld
                               : NULL;
        real log_prob = 0;
        for (int i = 0; i < heads->A; i++) {
            bool passes;
            const real s = clipped_log_std(heads, row, p, i, &passes);
            const UfSample sample =
                uf_policy_sample(heads->kind, row.m[i], s, c->noise ? c->noise[at + (size_t)i] : 0);
            const UfHyper* h = &heads->hyper[p];
            log_prob += sample.log_prob;
            if (a)
                a[i] = c->smoothing ? uf_smoothed_action(sample.action, h->policy_noise, h->noise_clip,
                                                         c->smoothing[at + (size_t)i])
                                    : sample.action;
        }
        if (c->log_prob) c->log_prob[(size_t)p * (size_t)heads->B + (size_t)b] = log_prob;
    }
}

static void cpu_policy_sample(UfBackend* backend, const UfHeads* heads, UfActions actions, real* log_prob,
                              const real* noise, const real* smoothing) {
    PolicySample c = {heads, actions, log_prob, noise, smoothing};
    uf_cpu_run_tasks(backend, heads->P, 1, policy_sample_task, &c);
}

static void cpu_entropy_coef_loss(UfBackend* backend, real* grads, size_t stride, const real* log_prob,
                                  const real* log_alpha, real target_entropy, int P, int B, double* metrics) {
    UF_FOR_MEMBERS(backend, p, P) {
        double sum = 0;
        for (int b = 0; b < B; b++) sum += log_prob[(size_t)p * (size_t)B + (size_t)b];
        const real grad = uf_entropy_coef_grad((real)(sum / B), target_entropy);
        grads[(size_t)p * stride] = grad;
        add_metric(metrics, p, UF_METRIC_alpha_loss, (double)log_alpha[(size_t)p * stride] * (double)grad);
    }
}

static void cpu_entropy_coef(UfBackend* backend, real* alpha, const real* log_alpha, size_t stride, int P,
                             double* metrics) {
    UF_FOR_MEMBERS(backend, p, P) {
        alpha[p] = exp(log_alpha[(size_t)p * stride]);
        add_metric(metrics, p, UF_METRIC_alpha, alpha[p]);
    }
}

// Smallest of N critics at a row of q (P, N, total).
static real min_q(const real* q, int p, int N, int total, int b) {
    const real* column = q + (size_t)p * (size_t)N * (size_t)total + (size_t)b;
    real low = column[0];
    for (int n = 1; n < N; n++) low = uf_min(column[(size_t)n * (size_t)total], low);
    return low;
}

static void cpu_awr_weight(UfBackend* backend, real* weight, const real* q, int q_total, const real* v,
                           const UfHyper* hyper, int P, int N, int B, double* metrics) {
    UF_FOR_MEMBERS(backend, p, P) {
        double sum = 0;
        for (int b = 0; b < B; b++) {
            const size_t row = (size_t)p * (size_t)B + (size_t)b;
            const real advantage = min_q(q, p, N, q_total, b) - v[row];
            weight[row] = uf_awr_weight(advantage, hyper[p].awr_temperature, hyper[p].awr_exp_adv_clip);
            sum += advantage;
        }
        add_metric(metrics, p, UF_METRIC_adv, sum / B);
    }
}

static void cpu_actor_q_loss(UfBackend* backend, real* dq, const real* q, int aggregate, bool normalise,
                             const UfHyper* hyper, int P, int N, int B, double* metrics) {
    UF_FOR_MEMBERS(backend, p, P) {
        const real* qp = q + (size_t)p * (size_t)N * (size_t)B;
        real* dqp = dq + (size_t)p * (size_t)N * (size_t)B;
        memset(dqp, 0, (size_t)N * (size_t)B * sizeof(real));
        double sum = 0, abs_sum = 0;
        for (int b = 0; b < B; b++) {
            real value = 0;
            if (aggregate == 1) {  // mean
                for (int n = 0; n < N; n++) {
                    value += qp[(size_t)n * (size_t)B + (size_t)b] / N;
                    dqp[(size_t)n * (size_t)B + (size_t)b] = (real)1 / N;
                }
            } else {  // min, or first: N is 1 there
                int lowest = 0;
                for (int n = 1; n < N; n++)  // a NaN wins and is found
                    if (!(qp[(size_t)n * (size_t)B + (size_t)b] >=
                          qp[(size_t)lowest * (size_t)B + (size_t)b]))
                        lowest = n;
                value = qp[(size_t)lowest * (size_t)B + (size_t)b];
                dqp[(size_t)lowest * (size_t)B + (size_t)b] = 1;
            }
            sum += value;
            abs_sum += fabs(value);
        }
        const real lambda = normalise ? uf_q_normaliser((real)(abs_sum / B)) : 1;
        const real scale = -hyper[p].actor_q_coef * lambda / B;
        for (size_t i = 0; i < (size_t)N * (size_t)B; i++) dqp[i] *= scale;
        add_metric(metrics, p, UF_METRIC_actor_q, sum / B);
        add_metric(metrics, p, UF_METRIC_actor_loss, -(double)(hyper[p].actor_q_coef * lambda) * sum / B);
    }
}

// One number of N critics at a row, `stride` apart.
static real aggregate(const real* q, int aggregate, int N, size_t stride) {
    real value = 0;
    if (aggregate == 1) {  // mean
        for (int n = 0; n < N; n++) value += q[(size_t)n * stride] / N;
        return value;
    }
    value = q[0];
    for (int n = 1; n < N; n++) value = uf_min(q[(size_t)n * stride], value);
    return value;
}

static void cpu_expected_q_loss(UfBackend* backend, real* dpi, const UfHeads* heads, const real* q,
                                int aggregation, bool normalise, int N, double* metrics) {
    const int B = heads->B, A = heads->A;
    const size_t rows = (size_t)A * (size_t)B;
    UF_FOR_MEMBERS(backend, p, heads->P) {
        const UfHyper* h = &heads->hyper[p];
        real* out = dpi + (size_t)p * rows;
        double sum = 0, abs_sum = 0;
        for (int b = 0; b < B; b++) {
            const real* m = head_row(heads, p, b).m;
            const UfCategorical pi = uf_categorical(m, A);
            for (int i = 0; i < A; i++) {
                const size_t row = (size_t)i * (size_t)B + (size_t)b;
                const real value = aggregate(q + (size_t)p * (size_t)N * rows + row, aggregation, N, rows);
                const real share = exp(m[i] - pi.log_z);
                out[(size_t)b * (size_t)A + (size_t)i] = value;
                sum += (double)share * value;
                abs_sum += (double)share * fabs(value);
            }
        }
        const real lambda = normalise ? uf_q_normaliser((real)(abs_sum / B)) : 1;
        const real scale = -h->actor_q_coef * lambda / B;
        for (size_t i = 0; i < rows; i++) out[i] *= scale;
        add_metric(metrics, p, UF_METRIC_actor_q, sum / B);
        add_metric(metrics, p, UF_METRIC_actor_loss, -(double)(h->actor_q_coef * lambda) * sum / B);
    }
}

typedef struct ActorLoss {
    real *dhead, *dlog_std;
    const UfHeads* heads;
    const real *noise, *a_data, *weight, *dqda;
    int N;
    const real *alpha, *log_prob;
    double* metrics;
} ActorLoss;

// The loss of a row's behaviour cloning; its gradient and the others' go to dhead. coef: of cloning, before the mean.
static real categorical_loss_row(const ActorLoss* c, int p, int b, real coef, real entropy_coef) {
    const UfHeads* heads = c->heads;
    const int A = heads->A, B = heads->B;
    const size_t at = ((size_t)p * (size_t)B + (size_t)b) * (size_t)A;
    const real *m = head_row(heads, p, b).m, *da = c->dqda ? c->dqda + at : NULL, *data = c->a_data + at;
    const UfCategorical pi = uf_categorical(m, A);
    real mean_da = 0, bc = 0;
    for (int i = 0; i < A && da; i++) mean_da += exp(m[i] - pi.log_z) * da[i];
    for (int i = 0; i < A; i++) {
        bc -= data[i] * (m[i] - pi.log_z);
        c->dhead[at + (size_t)i] =
            uf_categorical_grad(pi, m[i], data[i], coef / B, da ? da[i] : 0, mean_da, entropy_coef / B);
    }
    return bc;
}

static void actor_loss_task(void* context, int p, int thread) {
    const ActorLoss* c = context;
    const UfHeads* heads = c->heads;
    const UfHyper* h = &heads->hyper[p];
    const int B = heads->B, A = heads->A, H = heads->H;
    real* dlog_std = c->dlog_std ? c->dlog_std + (size_t)p * heads->log_std_stride : NULL;
    const real entropy_coef = c->alpha ? h->actor_entropy_coef * c->alpha[p] : 0;
    double bc_sum = 0, loss_sum = 0, log_prob_sum = 0;
    (void)thread;
    if (dlog_std) memset(dlog_std, 0, (size_t)A * sizeof(real));
    for (int b = 0; b < B; b++) {
        const size_t row = (size_t)p * (size_t)B + (size_t)b;
        const HeadRow head = head_row(heads, p, b);
        const real bc_coef = h->actor_bc_coef * (c->weight ? c->weight[row] : 1);
        const bool categorical = heads->kind == UF_POLICY_CATEGORICAL;
        real bc = categorical ? categorical_loss_row(c, p, b, bc_coef, entropy_coef) : 0;
        for (int i = 0; i < A && !categorical; i++) {
            bool passes;
            const size_t at = row * (size_t)A + (size_t)i;
            const real s = clipped_log_std(heads, head, p, i, &passes);
            UfHeadGrad bc_grad = {0, 0};
            if (h->actor_bc_coef > 0 || c->weight)
                bc += uf_bc_loss(heads->kind, head.m[i], s, c->a_data[at], &bc_grad);
            real da = 0;  // already a mean over the batch
            if (c->dqda)
                for (int n = 0; n < c->N; n++)
                    da +=
                        c->dqda[(((size_t)p * (size_t)c->N + (size_t)n) * (size_t)B + (size_t)b) * (size_t)A +
                                (size_t)i];
            const UfHeadGrad grad = uf_policy_sample_grad(heads->kind, head.m[i], s,
                                                          c->noise ? c->noise[at] : 0, da, entropy_coef / B);
            c->dhead[row * (size_t)H + (size_t)i] = grad.dm + bc_coef / B * bc_grad.dm;
            const real ds = passes ? grad.ds + bc_coef / B * bc_grad.ds : 0;
            if (dlog_std)
                dlog_std[i] += ds;
            else if (H == 2 * A)
                c->dhead[row * (size_t)H + (size_t)(A + i)] = ds;
        }
        bc_sum += bc;
        loss_sum += (double)bc_coef * bc;
        if (c->log_prob) log_prob_sum += c->log_prob[row];
    }
    add_metric(c->metrics, p, UF_METRIC_bc_loss, bc_sum / B);
    add_metric(c->metrics, p, UF_METRIC_entropy, -log_prob_sum / B);
    add_metric(c->metrics, p, UF_METRIC_actor_loss, (loss_sum + (double)entropy_coef * log_prob_sum) / B);
}

static void cpu_actor_loss(UfBackend* backend, real* dhead, real* dlog_std, const UfHeads* heads,
                           const real* noise, const real* a_data, const real* weight, const real* dqda, int N,
                           const real* alpha, const real* log_prob, double* metrics) {
    ActorLoss c = {dhead, dlog_std, heads, noise, a_data, weight, dqda, N, alpha, log_prob, metrics};
    uf_cpu_run_tasks(backend, heads->P, 1, actor_loss_task, &c);
}

static void cpu_td_target(UfBackend* backend, real* y, const UfBatch* batch, const real* q, const real* v,
                          UfActions next, const real* alpha, const real* log_prob, const UfHyper* hyper,
                          int P, int N, int B, int A, double* metrics, double weight) {
    UF_FOR_MEMBERS(backend, p, P) {
        const UfHyper* h = &hyper[p];
        double sum = 0;
        for (int b = 0; b < B; b++) {
            const size_t row = (size_t)p * (size_t)B + (size_t)b;
            const real* a = next.a + ((size_t)p * (size_t)next.total + (size_t)b) * (size_t)next.ld;
            const real* a_data = batch->next_action + row * (size_t)A;
            real value = v ? v[row] : min_q(q, p, N, B, b), distance = 0;
            if (alpha) value -= h->critic_entropy_coef * alpha[p] * log_prob[row];
            for (int i = 0; i < A; i++) distance += (a[i] - a_data[i]) * (a[i] - a_data[i]);
            value -= h->critic_bc_coef * distance;
            y[row] = uf_td_target(batch->reward[row], batch->done[row], h->gamma, value);
            sum += y[row];
        }
        add_metric(metrics, p, UF_METRIC_target, weight * sum / B);
    }
}

typedef struct QLoss {
    real* dq;
    const real *q, *y;
    const UfHyper* hyper;
    int N, B, total;
    bool all_actions;
    int num_data;
    double* metrics;
    double weight;
} QLoss;

static void q_loss_task(void* context, int p, int thread) {
    const QLoss* c = context;
    const UfHyper* h = &c->hyper[p];
    const int B = c->B, groups = c->total / B, first = c->all_actions;
    double error_sum = 0, cql_sum = 0;
    (void)thread;
    for (int n = 0; n < c->N; n++) {
        const size_t at = ((size_t)p * (size_t)c->N + (size_t)n) * (size_t)c->total;
        const real* q = c->q + at;
        real* dq = c->dq + at;
        for (int b = 0; b < B; b++) {
            real slope;
            error_sum += uf_q_loss(q[b], c->y[(size_t)p * (size_t)B + (size_t)b], &slope);
            dq[b] = 0;
            if (groups > 1) {
                const size_t from = (size_t)first * (size_t)B + (size_t)b;
                cql_sum +=
                    (double)uf_log_sum_exp(q + from, groups - first, B, h->cql_temperature, dq + from) / B;
                if (b < c->num_data) cql_sum -= (double)q[b] / c->num_data;
                dq[b] = h->cql_min_q_weight * (dq[b] / B - (b < c->num_data ? (real)1 / c->num_data : 0));
            }
            dq[b] = slope / B + dq[b];
            for (int k = 1; k < groups; k++) {
                real* d = &dq[(size_t)k * (size_t)B + (size_t)b];
                *d = h->cql_min_q_weight * *d / B;
            }
        }
    }
    add_metric(c->metrics, p, UF_METRIC_critic_loss,
               c->weight * (error_sum / B + (double)h->cql_min_q_weight * cql_sum));
    add_metric(c->metrics, p, UF_METRIC_cql_loss, c->weight * cql_sum);
}

static void cpu_q_loss(UfBackend* backend, real* dq, const real* q, const real* y, const UfHyper* hyper,
                       int P, int N, int B, int total, bool all_actions, int num_data, double* metrics,
                       double weight) {
    QLoss c = {dq, q, y, hyper, N, B, total, all_actions, num_data, metrics, weight};
    uf_cpu_run_tasks(backend, P, 1, q_loss_task, &c);
}

typedef struct Diversity {
    real* tangent;
    const real* dqda;
    const UfHyper* hyper;
    int N, B, total, A;
    double* metrics;
    double weight;
} Diversity;

static void diversity_task(void* context, int p, int thread) {
    const Diversity* c = context;
    const int N = c->N, B = c->B, A = c->A;
    const size_t network = (size_t)c->total * (size_t)A, base = (size_t)p * (size_t)N * network;
    const real scale = c->hyper[p].diversity_coef / B;
    double loss = 0;
    (void)thread;
    for (int n = 0; n < N; n++)
        memset(c->tangent + base + (size_t)n * network + (size_t)B * (size_t)A, 0,
               (size_t)(c->total - B) * (size_t)A * sizeof(real));
    // D = 1/(N-1) (|sum_i g_i|^2 - sum_i |g_i|^2), dD/dg_i = 2/(N-1) (sum_j g_j - g_i). The tangent row first
    // holds g_i.
    for (int b = 0; b < B; b++) {
        const size_t row = base + (size_t)b * (size_t)A;
        double sum_squared = 0, squares = 0;
        for (int n = 0; n < N; n++) {
            const real* q = c->dqda + row + (size_t)n * network;
            real norm = 0;
            for (int i = 0; i < A; i++) norm += q[i] * q[i];
            norm = sqrt(norm);
            for (int i = 0; i < A; i++)
                c->tangent[row + (size_t)n * network + (size_t)i] = q[i] / (norm + (real)UF_DIVERSITY_EPS);
        }
        for (int i = 0; i < A; i++) {
            real sum = 0;
            for (int n = 0; n < N; n++) {
                const real g = c->tangent[row + (size_t)n * network + (size_t)i];
                sum += g;
                squares += (double)g * g;
            }
            sum_squared += (double)sum * sum;
            for (int n = 0; n < N; n++) {
                real* g = &c->tangent[row + (size_t)n * network + (size_t)i];
                *g = 2 * (sum - *g) / (N - 1);
            }
        }
        for (int n = 0; n < N; n++) {
            const real* q = c->dqda + row + (size_t)n * network;
            real* y = c->tangent + row + (size_t)n * network;
            real norm = 0, inner = 0;
            for (int i = 0; i < A; i++) norm += q[i] * q[i];
            norm = sqrt(norm);
            const real divisor = norm > 0 ? norm : 1;  // at q = 0 the norm's derivative is taken as 0
            for (int i = 0; i < A; i++) inner += q[i] / divisor * y[i];
            for (int i = 0; i < A; i++) y[i] = scale * uf_diversity_grad(q[i] / divisor, y[i], norm, inner);
        }
        loss += (sum_squared - squares) / (N - 1);
    }
    add_metric(c->metrics, p, UF_METRIC_diversity_loss, c->weight * loss / B);
    add_metric(c->metrics, p, UF_METRIC_critic_loss,
               c->weight * (double)c->hyper[p].diversity_coef * loss / B);
}

static void cpu_diversity_loss(UfBackend* backend, real* tangent, const real* dqda, const UfHyper* hyper,
                               int P, int N, int B, int total, int A, double* metrics, double weight) {
    Diversity c = {tangent, dqda, hyper, N, B, total, A, metrics, weight};
    uf_cpu_run_tasks(backend, P, 1, diversity_task, &c);
}

static void cpu_value_loss(UfBackend* backend, real* dv, const real* q, int q_total, const real* v,
                           const UfHyper* hyper, int P, int N, int B, double* metrics) {
    UF_FOR_MEMBERS(backend, p, P) {
        double sum = 0;
        for (int b = 0; b < B; b++) {
            const size_t row = (size_t)p * (size_t)B + (size_t)b;
            sum += uf_value_loss(min_q(q, p, N, q_total, b), v[row], hyper[p].value_expectile, &dv[row]);
            dv[row] /= B;
        }
        add_metric(metrics, p, UF_METRIC_value_loss, sum / B);
    }
}

// ---- world model ----

typedef struct ModelStep {
    real *next_obs, *reward, *done, *penalty, *distance;
    const UfElites* model;
    const real* out;
    UfInput x;
    const int64_t* elite;
    const real* noise;
    const UfHyper* hyper;
    int R, chunks;
} ModelStep;

enum { MODEL_CHUNK = 256 };

// The largest squared norm of the elites' standard deviations: their variances summed.
CLONES static real largest_variance(const real* raw, size_t network, int num_networks, const real* bounds,
                                    int D) {
    real largest = 0;
    for (int e = 0; e < num_networks; e++, raw += network) {
        real sum = 0;
        for (int d = 0; d < D; d++) sum += uf_model_variance(raw[d], bounds[d], bounds[D + d]);
        largest = sum > largest || sum != sum ? sum : largest;
    }
    return largest;
}

// The largest squared distance between two elites' means.
CLONES static real largest_distance(const real* mean, size_t network, int num_networks, int D) {
    real largest = 0;
    for (int e = 1; e < num_networks; e++)
        for (int f = 0; f < e; f++) {
            const real *a = mean + (size_t)e * network, *b = mean + (size_t)f * network;
            real sum = 0;
            for (int d = 0; d < D; d++) sum += (a[d] - b[d]) * (a[d] - b[d]);
            largest = sum > largest || sum != sum ? sum : largest;
        }
    return largest;
}

static void model_step_row(const ModelStep* c, int p, int b) {
    const UfElites* m = c->model;
    const UfHyper* h = &c->hyper[p];
    const int O = m->obs_dim, D = O + 1, E = m->nets.N;
    const size_t row = (size_t)p * (size_t)c->R + (size_t)b, network = (size_t)c->R * (size_t)(2 * D);
    const real* first = c->out + (size_t)p * (size_t)E * network + (size_t)b * (size_t)(2 * D);
    const real *mean = first + (size_t)c->elite[row] * network, *noise = c->noise + row * (size_t)D;
    const real* obs = c->x.x + ((size_t)p * (size_t)c->x.total + (size_t)b) * (size_t)c->x.ld;
    real* next_obs = c->next_obs + row * (size_t)O;
    real reward = 0;
    for (int d = 0; d < D; d++) {
        const real variance = uf_model_variance(mean[D + d], m->bounds[d], m->bounds[D + d]);
        const real sample = mean[d] + sqrt(variance) * noise[d];
        if (d < O)
            next_obs[d] = obs[d] + sample;
        else
            reward = sample;
    }
    const real coef = h->step_penalty_coef;
    const real penalty = coef > 0 ? coef * sqrt(largest_variance(first + D, network, E, m->bounds, D)) : 0;
    const bool pessimist = h->term_penalty_offset < 0;
    bool done = uf_terminates(m->termination, obs, next_obs, O);
    reward -= penalty;
    if (pessimist || c->distance) {
        const real distance = sqrt(largest_distance(first, network, E, D));
        if (c->distance) c->distance[row] = distance;
        if (pessimist && distance > h->threshold_coef * m->discrepancy) {
            done = true;
            reward = m->min_reward + h->term_penalty_offset;
        }
    }
    c->reward[row] = reward;
    c->done[row] = done;
    c->penalty[row] = penalty;
}

static void model_step_task(void* context, int task, int thread) {
    const ModelStep* c = context;
    const int p = task / c->chunks, first = task % c->chunks * MODEL_CHUNK;
    const int end = first + MODEL_CHUNK < c->R ? first + MODEL_CHUNK : c->R;
    (void)thread;
    for (int b = first; b < end; b++) model_step_row(c, p, b);
}

static void cpu_model_step(UfBackend* backend, real* next_obs, real* reward, real* done, real* penalty,
                           real* distance, const UfElites* model, const real* out, UfInput x,
                           const int64_t* elite, const real* noise, const UfHyper* hyper, int P, int R) {
    ModelStep c = {next_obs,
                   reward,
                   done,
                   penalty,
                   distance,
                   model,
                   out,
                   x,
                   elite,
                   noise,
                   hyper,
                   R,
                   (R + MODEL_CHUNK - 1) / MODEL_CHUNK};
    uf_cpu_run_tasks(backend, P, c.chunks, model_step_task, &c);
}

// Squared error of the elites' mean and variance of the target for number d.
static void error_of_number(const UfElites* m, const real* out, const UfBatch* batch, size_t base, int R,
                            int d, double* error, double* variance) {
    const int O = m->obs_dim, D = O + 1, E = m->nets.N;
    double sum = 0, squares = 0, wrong = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int b = 0; b < R; b++) {
            const size_t row = base + (size_t)b, at = row * (size_t)O + (size_t)d;
            const double target =
                d < O ? (double)batch->next_obs[at] - (double)batch->obs[at] : (double)batch->reward[row];
            if (pass == 0) {
                sum += target / R;
                continue;
            }
            double mean = 0;
            for (int e = 0; e < E; e++)
                mean +=
                    (double)out[((base * (size_t)E) + (size_t)e * (size_t)R + (size_t)b) * (size_t)(2 * D) +
                                (size_t)d] /
                    E;
            squares += (target - sum) * (target - sum);
            wrong += (target - mean) * (target - mean);
        }
    *error = wrong;
    *variance = squares;
}

static void cpu_model_error(UfBackend* backend, double* error, const UfElites* model, const real* out,
                            const UfBatch* batch, int P, int R) {
    UF_FOR_MEMBERS(backend, p, P) {
        double sum = 0;
        int count = 0;
        for (int d = 0; d <= model->obs_dim; d++) {
            double wrong, variance;
            error_of_number(model, out, batch, (size_t)p * (size_t)R, R, d, &wrong, &variance);
            if (!(variance > 0)) continue;
            sum += wrong / variance;
            count++;
        }
        error[p] = count ? sqrt(sum / count) : 0;
    }
}

static bool all_finite(const real* x, int count) {
    for (int i = 0; i < count; i++)
        if (!uf_is_finite(x[i])) return false;
    return true;
}

static void copy_to_ring(float* out, const real* in, int count) {
    for (int i = 0; i < count; i++) out[i] = (float)in[i];
}

typedef struct RingAppend {
    const UfRing* ring;
    int* alive;
    bool start;
    double* sums;
    UfInput x;
    const UfBatch* step;
    const real* penalty;
    int R;
} RingAppend;

static void ring_append_task(void* context, int p, int thread) {
    const RingAppend* c = context;
    const UfRing* ring = c->ring;
    const int O = ring->obs_dim, A = ring->action_dim;
    double* sums = c->sums + (size_t)p * UF_NUM_ROLLOUT_SUMS;
    (void)thread;
    for (int b = 0; b < c->R; b++) {
        const size_t row = (size_t)p * (size_t)c->R + (size_t)b;
        const real* x = c->x.x + ((size_t)p * (size_t)c->x.total + (size_t)b) * (size_t)c->x.ld;
        const real *next_obs = c->step->next_obs + row * (size_t)O,
                   *next_action = c->step->next_action + row * (size_t)A;
        if (!c->start && !c->alive[row]) continue;
        sums[UF_ROLLOUT_TRIED]++;
        c->alive[row] = all_finite(x, O + A) && uf_is_finite(c->step->reward[row]) &&
                        all_finite(next_obs, O) && all_finite(next_action, A);
        if (!c->alive[row]) {
            sums[UF_ROLLOUT_DROPPED]++;
            continue;
        }
        const size_t at = (size_t)p * (size_t)ring->capacity + (size_t)ring->head[p];
        float* record = ring->records + at * (size_t)ring->stride;
        copy_to_ring(record, x, O + A);
        record[O + A] = (float)c->step->reward[row];
        record[O + A + 1] = (float)c->step->done[row];
        record[O + A + 2] = 0;
        copy_to_ring(ring->next_obs + at * (size_t)O, next_obs, O);
        copy_to_ring(ring->next_actions + at * (size_t)A, next_action, A);
        ring->head[p] = (ring->head[p] + 1) % ring->capacity;
        if (ring->fill[p] < ring->capacity) ring->fill[p]++;
        c->alive[row] = !(c->step->done[row] > 0);
        sums[UF_ROLLOUT_TERMINATED] += c->step->done[row] > 0;
        sums[UF_ROLLOUT_PENALTY] += (double)c->penalty[row];
    }
}

static void cpu_ring_append(UfBackend* backend, const UfRing* ring, int* alive, bool start, double* sums,
                            UfInput x, const UfBatch* step, const real* penalty, int P, int R) {
    RingAppend c = {ring, alive, start, sums, x, step, penalty, R};
    uf_cpu_run_tasks(backend, P, 1, ring_append_task, &c);
}

static void cpu_dynamics_target(UfBackend* backend, real* target, const UfBatch* batch, int P, int B, int O) {
    const UfMembers m = uf_members(backend, P);
    target += (size_t)m.first * (size_t)B * (size_t)(O + 1);
    for (size_t row = (size_t)m.first * (size_t)B; row < (size_t)m.end * (size_t)B; row++, target += O + 1) {
        const real *obs = batch->obs + row * (size_t)O, *next = batch->next_obs + row * (size_t)O;
        for (int i = 0; i < O; i++) target[i] = next[i] - obs[i];
        target[O] = batch->reward[row];
    }
}

typedef struct DynamicsLoss {
    real *dout, *dbounds;
    const real *out, *target, *bounds;
    size_t stride;
    double diff_coef;
    int P, N, B, D;
    double* loss;
} DynamicsLoss;

// One network; its sums over rows are in order.
static void dynamics_loss_task(void* context, int task, int thread) {
    const DynamicsLoss* c = context;
    const int p = task / c->N, n = task % c->N, D = c->D;
    const size_t rows = (size_t)task * (size_t)c->B, width = 2 * (size_t)D;
    const real* max = c->bounds + (size_t)p * c->stride;
    const real scale = (real)(1.0 / c->B / D), diff = n ? 0 : (real)c->diff_coef;
    real* dmax = c->dbounds + ((size_t)n * (size_t)c->P + (size_t)p) * c->stride;
    double sum = 0, range = 0;
    (void)thread;
    for (int d = 0; d < D; d++) {
        const real exp_min = exp(max[D + d]), exp_minus_max = exp(-max[d]);
        const real* target = c->target + (size_t)p * (size_t)c->B * (size_t)D + (size_t)d;
        const real* out = c->out + rows * width + (size_t)d;
        real *dout = c->dout + rows * width + (size_t)d, bound[2] = {0, 0};
        for (int b = 0; b < c->B; b++, out += width, dout += width, target += D) {
            const UfModelLoss l = uf_model_loss(out[0], out[D], *target, exp_min, exp_minus_max);
            dout[0] = scale * l.dmean;
            dout[D] = scale * l.draw;
            bound[0] += l.dmax;
            bound[1] += l.dmin;
            sum += l.loss;
        }
        dmax[d] = scale * bound[0] + diff;
        dmax[D + d] = scale * bound[1] - diff;
        range += (double)max[d] - max[D + d];
    }
    double* loss = c->loss + (size_t)p * (size_t)(c->N + 1);
    loss[n] += sum / c->B / D;
    if (n == 0) loss[c->N] += c->diff_coef * range;
}

static void cpu_dynamics_loss(UfBackend* backend, real* dout, real* dbounds, const real* out,
                              const real* target, const real* bounds, size_t stride, double diff_coef, int P,
                              int N, int B, int D, double* loss) {
    DynamicsLoss c = {dout, dbounds, out, target, bounds, stride, diff_coef, P, N, B, D, loss};
    uf_cpu_run_tasks(backend, P, N, dynamics_loss_task, &c);
}

typedef struct DynamicsError {
    double* sum;
    const real *out, *target;
    int N, B, D;
} DynamicsError;

static void dynamics_error_task(void* context, int task, int thread) {
    const DynamicsError* c = context;
    const int D = c->D;
    const real* out = c->out + (size_t)task * (size_t)c->B * 2 * (size_t)D;
    const real* target = c->target + (size_t)(task / c->N) * (size_t)c->B * (size_t)D;
    double sum = 0;
    (void)thread;
    for (int b = 0; b < c->B; b++, out += 2 * D, target += D) {
        real row = 0;
        for (int d = 0; d < D; d++) row += (out[d] - target[d]) * (out[d] - target[d]);
        sum += row;
    }
    c->sum[task] += sum;
}

static void cpu_dynamics_error(UfBackend* backend, double* sum, const real* out, const real* target, int P,
                               int N, int B, int D) {
    DynamicsError c = {sum, out, target, N, B, D};
    uf_cpu_run_tasks(backend, P, N, dynamics_error_task, &c);
}

// ---- episodes ----

typedef struct Play {
    const UfPlay* of;
    real** scratch;
    int num_steps;
} Play;

// What the policy of member p does in row's episode, in [-1, 1]; not finite: 0.
static void play_action(const UfPlay* c, int p, UfPlayRow* row, int64_t episode, float* action,
                        real* scratch) {
    const UfMlp* mlp = c->nets.mlp;
    const UfHeads* heads = &c->heads;
    const real* params = c->nets.params + (size_t)p * (size_t)c->nets.N * mlp->size;
    float obs[UF_RULE_MAX_OBS];
    real x[UF_RULE_MAX_OBS], head[2 * UF_RULE_MAX_ACTIONS], noise[UF_RULE_MAX_ACTIONS] = {0};
    real chosen[UF_RULE_MAX_ACTIONS];
    bool bad = false;
    uf_rule_observe(&c->rule, row->state, obs);
    for (int i = 0; i < mlp->in; i++)
        x[i] = c->mean ? (obs[i] - c->mean[i]) / (c->std[i] + (real)UF_OBS_STD_EPS) : obs[i];
    uf_mlp_forward_host(mlp, params, head, x, mlp->in, 1, scratch);
    for (int i = 0; i < heads->A && !c->deterministic; i++)
        noise[i] = uf_random_normal_at(c->seeds[p], UF_STREAM_EVAL_ACTION, (uint64_t)episode,
                                       (uint64_t)row->steps * (uint64_t)heads->A + (uint64_t)i);
    if (heads->kind == UF_POLICY_CATEGORICAL)
        uf_categorical_action(chosen, head, c->deterministic ? NULL : noise, heads->A);
    for (int i = 0; i < heads->A; i++) {
        const real raw = heads->log_std        ? heads->log_std[(size_t)p * heads->log_std_stride + (size_t)i]
                         : heads->H > heads->A ? head[heads->A + i]
                                               : 0;
        if (heads->kind != UF_POLICY_CATEGORICAL)
            chosen[i] = uf_policy_sample(
                            heads->kind, head[i],
                            uf_clip(raw, heads->hyper[p].log_std_min, heads->hyper[p].log_std_max), noise[i])
                            .action;
        action[i] = (float)chosen[i];
        if (action[i] - action[i] == 0) continue;
        action[i] = 0;
        bad = true;
    }
    row->num_nonfinite += bad;
}

static void play_task(void* context, int task, int thread) {
    const Play* play = context;
    const UfPlay* c = play->of;
    const UfEnvRule* rule = &c->rule;
    const int p = task / c->R, r = task % c->R;
    UfPlayRow* row = &c->rows[task];
    for (int k = 0; k < play->num_steps; k++) {
        const int64_t episode = r + row->finished * c->R, at = p * c->num_episodes + episode;
        float action[UF_RULE_MAX_ACTIONS];
        double reward;
        bool terminated;
        if (episode >= c->num_episodes) return;
        if (row->steps == 0) uf_rule_reset(rule, row->state, c->seeds[p], (uint64_t)episode);
        play_action(c, p, row, episode, action, play->scratch[thread]);
        uf_action_in_env(rule->discrete, rule->action_dim, rule->action_low, rule->action_high, action,
                         action);
        uf_rule_step(rule, row->state, row->steps, action, &reward, &terminated);
        c->returns[at] += reward;
        c->lengths[at]++;
        if (++row->steps < rule->max_steps && !terminated) continue;
        row->steps = 0;
        row->finished++;
    }
}

static void cpu_play(UfBackend* backend, const UfPlay* c, int num_steps) {
    Play play = {c, ((UfCpuState*)backend->state)->scratch, num_steps};
    uf_cpu_run_tasks(backend, c->nets.P, c->R, play_task, &play);
}

// ---- PPO ----

enum { OBSERVE_ROWS = 64 };  // that one task copies

typedef struct Observe {
    real* x;
    const UfSteps* steps;
    UfPick pick;
    int first, chunks;
} Observe;

CLONES static void bytes_to_reals(real* x, const uint8_t* bytes, int count) {
    for (int i = 0; i < count; i++) x[i] = bytes[i];
}

static void observe_task(void* context, int task, int thread) {
    const Observe* c = context;
    const UfSteps* s = c->steps;
    const int p = task / c->chunks, begin = task % c->chunks * OBSERVE_ROWS, B = c->pick.B;
    const int end = begin + OBSERVE_ROWS < B ? begin + OBSERVE_ROWS : B;
    const size_t O = (size_t)s->O, base = (size_t)p * (size_t)(s->T + 1) * (size_t)s->N;
    const int64_t* index = c->pick.index ? c->pick.index + (size_t)p * c->pick.stride : NULL;
    (void)thread;
    for (int b = begin; b < end; b++) {
        const size_t at = (base + (size_t)(index ? index[b] : c->first + b)) * O;
        real* x = c->x + ((size_t)p * (size_t)B + (size_t)b) * O;
        if (s->bytes)
            bytes_to_reals(x, (const uint8_t*)s->obs + at, s->O);
        else
            memcpy(x, (const real*)s->obs + at, O * sizeof(real));
    }
}

static void cpu_ppo_observe(UfBackend* backend, real* x, const UfSteps* steps, const UfPick* pick, int first,
                            int B) {
    Observe c = {x, steps, {NULL, 0, B}, first, 0};
    if (pick) c.pick = *pick;
    c.chunks = (c.pick.B + OBSERVE_ROWS - 1) / OBSERVE_ROWS;
    uf_cpu_run_tasks(backend, steps->P, c.chunks, observe_task, &c);
}

// Row n of step t of member p.
static size_t step_row(const UfSteps* s, int p, int t, int n) {
    return ((size_t)p * (size_t)s->T + (size_t)t) * (size_t)s->N + (size_t)n;
}

typedef struct PpoAct {
    const UfSteps* steps;
    int t;
    const UfPpoHeads* heads;
    const real* noise;
    void* apart;
} PpoAct;

static void ppo_act_task(void* context, int p, int thread) {
    const PpoAct* c = context;
    const UfSteps* s = c->steps;
    const UfPpoHeads* h = c->heads;
    (void)thread;
    for (int n = 0; n < s->N; n++) {
        const real* head = h->head + ((size_t)p * (size_t)s->N + (size_t)n) * (size_t)h->ld;
        const size_t row = step_row(s, p, c->t, n);
        if (s->discrete) {
            real log_p[UF_MAX_KINDS];
            uf_log_softmax(log_p, head, s->A);
            const int kind = uf_categorical_pick(log_p, s->A, (c->noise[row] + 1) / 2);
            s->action[row] = (real)kind;
            s->log_prob[row] = log_p[kind];
            if (c->apart) ((uint8_t*)c->apart)[(size_t)p * (size_t)s->N + (size_t)n] = (uint8_t)kind;
            continue;
        }
        const real* log_std = h->log_std + (size_t)p * h->log_std_stride;
        s->log_prob[row] = 0;
        for (int i = 0; i < s->A; i++) {
            const size_t at = row * (size_t)s->A + (size_t)i;
            UfHeadGrad unused;
            s->action[at] = head[i] + exp(log_std[i]) * c->noise[at];
            s->log_prob[row] += uf_normal_log_prob(s->action[at], head[i], log_std[i], &unused);
        }
        if (c->apart)
            memcpy((real*)c->apart + ((size_t)p * (size_t)s->N + (size_t)n) * (size_t)s->A,
                   s->action + row * (size_t)s->A, (size_t)s->A * sizeof(real));
    }
}

static void cpu_ppo_act(UfBackend* backend, const UfSteps* steps, int t, const UfPpoHeads* heads,
                        const real* noise, void* apart) {
    PpoAct c = {steps, t, heads, noise, apart};
    uf_cpu_run_tasks(backend, steps->P, 1, ppo_act_task, &c);
}

static void cpu_ppo_store(UfBackend* backend, const UfSteps* s, int t, const void* obs, const real* reward,
                          const uint8_t* terminated, const uint8_t* truncated) {
    const size_t N = (size_t)s->N, bytes = N * (size_t)s->O * (s->bytes ? 1 : sizeof(real));
    UF_FOR_MEMBERS(backend, p, s->P) {
        char* first = (char*)s->obs + (size_t)p * (size_t)(s->T + 1) * bytes;
        const char* from = obs ? (const char*)obs + (size_t)p * bytes : first + (size_t)s->T * bytes;
        memcpy(first + (size_t)(t + 1) * bytes, from, bytes);
        for (size_t n = 0; n < N && t >= 0; n++) {
            const size_t row = step_row(s, p, t, (int)n), i = (size_t)p * N + n;
            s->reward[row] = reward[i];
            s->done[row] = terminated[i] || (truncated && truncated[i]);
        }
    }
}

static void cpu_ppo_episodes(UfBackend* backend, const UfSteps* s, int t, const UfEpisodes* e) {
    UF_FOR_MEMBERS(backend, p, s->P)
    for (int n = 0; n < s->N; n++) {
        const size_t row = step_row(s, p, t, n), i = (size_t)p * (size_t)s->N + (size_t)n;
        double* sums = e->sums + 3 * (size_t)p;
        s->time[row] = e->length[i]++;
        e->ret[i] += (double)s->reward[row];
        if (!s->done[row]) continue;
        sums[0]++;
        sums[1] += e->ret[i];
        sums[2] += e->length[i];
        e->length[i] = 0;
        e->ret[i] = 0;
    }
}

static void cpu_ppo_values(UfBackend* backend, const UfSteps* steps, int first, const real* out, int ld,
                           int B) {
    UF_FOR_MEMBERS(backend, p, steps->P)
    for (int b = 0; b < B; b++)
        steps->value[(size_t)p * (size_t)(steps->T + 1) * (size_t)steps->N + (size_t)(first + b)] =
            out[((size_t)p * (size_t)B + (size_t)b) * (size_t)ld];
}

static void cpu_ppo_advantages(UfBackend* backend, const UfSteps* s, bool by_time, const UfPpoHyper* hyper) {
    UF_FOR_MEMBERS(backend, p, s->P)
    for (int t = s->T - 1; t >= 0; t--)
        for (int n = 0; n < s->N; n++) {
            const size_t row = step_row(s, p, t, n);
            const real* value = s->value + ((size_t)p * (size_t)(s->T + 1) + (size_t)t) * (size_t)s->N + n;
            const real discount = s->done[row] ? 0 : uf_ppo_discount(hyper[p].gamma, by_time, s->time[row]);
            const real next = t + 1 < s->T ? s->advantage[row + (size_t)s->N] : 0;
            s->advantage[row] =
                uf_gae(s->reward[row], value[0], value[s->N], discount, hyper[p].gae_lambda, next);
            s->target[row] = s->advantage[row] + value[0];
        }
}

typedef struct PpoLoss {
    real *dhead, *dvalue, *dlog_std;
    const UfSteps* steps;
    UfPick pick;
    const UfPpoHeads* heads;
    const real* value;
    int value_ld, clip_value;
    bool normalise;
    const UfPpoHyper* hyper;
    double* metrics;
} PpoLoss;

// Mean of a minibatch's advantages and 1 / (standard deviation + 1e-8).
static void advantage_scale(const PpoLoss* c, const real* advantage, const int64_t* index, double* mean,
                            double* scale) {
    const int B = c->pick.B;
    double sum = 0, squares = 0;
    *mean = 0;
    *scale = 1;
    if (!c->normalise) return;
    for (int b = 0; b < B; b++) sum += (double)advantage[index[b]];
    *mean = sum / B;
    for (int b = 0; b < B; b++) {
        const double x = (double)advantage[index[b]] - *mean;
        squares += x * x;
    }
    *scale = 1 / (sqrt(squares / B) + UF_ADVANTAGE_EPS);
}

static void ppo_loss_task(void* context, int p, int thread) {
    const PpoLoss* c = context;
    const UfSteps* s = c->steps;
    const UfPpoHyper* hyper = &c->hyper[p];
    const int A = s->A, B = c->pick.B;
    const int64_t* index = c->pick.index + (size_t)p * c->pick.stride;
    const size_t rows = (size_t)p * (size_t)s->T * (size_t)s->N, values = rows + (size_t)p * (size_t)s->N;
    const size_t stride = c->heads->log_std_stride;
    const real* log_std = c->heads->log_std ? c->heads->log_std + (size_t)p * stride : NULL;
    real* dlog_std = c->dlog_std ? c->dlog_std + (size_t)p * stride : NULL;
    double mean, scale, sums[UF_NUM_PPO_METRICS] = {0};
    (void)thread;
    advantage_scale(c, s->advantage + rows, index, &mean, &scale);
    for (int i = 0; dlog_std && i < A; i++) dlog_std[i] = 0;
    for (int b = 0; b < B; b++) {
        const size_t row = rows + (size_t)index[b], at = (size_t)p * (size_t)B + (size_t)b;
        const real* head = c->heads->head + at * (size_t)c->heads->ld;
        real* dhead = c->dhead + at * (size_t)c->heads->ld;
        real log_p[UF_MAX_KINDS], entropy = 0, log_prob = 0, dlp, dv;
        if (s->discrete) {
            entropy = uf_log_softmax(log_p, head, A);
            log_prob = log_p[(int)s->action[row]];
        } else {
            for (int i = 0; i < A; i++) {
                UfHeadGrad g;
                log_prob +=
                    uf_normal_log_prob(s->action[row * (size_t)A + (size_t)i], head[i], log_std[i], &g);
                entropy += uf_normal_entropy(log_std[i]);
            }
        }
        const real log_ratio = log_prob - s->log_prob[row];
        const real advantage = (real)(((double)s->advantage[row] - mean) * scale);
        sums[UF_PPO_METRIC_policy_loss] +=
            (double)uf_ppo_policy_loss(log_ratio, advantage, hyper->clip_eps, &dlp);
        sums[UF_PPO_METRIC_value_loss] += (double)uf_ppo_value_loss(
            c->clip_value, c->value[at * (size_t)c->value_ld], s->value[values + (size_t)index[b]],
            s->target[row], hyper->clip_eps, &dv);
        sums[UF_PPO_METRIC_entropy] += (double)entropy;
        const real ratio = exp(log_ratio);
        sums[UF_PPO_METRIC_approx_kl] += (double)(ratio - 1 - log_ratio);
        sums[UF_PPO_METRIC_clip_fraction] += ratio > 1 + hyper->clip_eps || ratio < 1 - hyper->clip_eps;
        dlp /= (real)B;
        c->dvalue[at * (size_t)c->value_ld] = hyper->vf_coef * dv / (real)B;
        if (s->discrete) {
            uf_logits_grad(dhead, log_p, A, entropy, (int)s->action[row], dlp, -hyper->ent_coef / (real)B);
            continue;
        }
        for (int i = 0; i < A; i++) {
            UfHeadGrad g;
            uf_normal_log_prob(s->action[row * (size_t)A + (size_t)i], head[i], log_std[i], &g);
            dhead[i] = dlp * g.dm;
            dlog_std[i] += dlp * g.ds - hyper->ent_coef / (real)B;
        }
    }
    sums[UF_PPO_METRIC_loss] = sums[UF_PPO_METRIC_policy_loss] +
                               (double)hyper->vf_coef * sums[UF_PPO_METRIC_value_loss] -
                               (double)hyper->ent_coef * sums[UF_PPO_METRIC_entropy];
    for (int i = 0; i < UF_NUM_PPO_METRICS; i++)
        c->metrics[(size_t)p * UF_NUM_PPO_METRICS + (size_t)i] += sums[i] / B;
}

static void cpu_ppo_loss(UfBackend* backend, real* dhead, real* dvalue, real* dlog_std, const UfSteps* steps,
                         UfPick pick, const UfPpoHeads* heads, const real* value, int value_ld,
                         int clip_value, bool normalise, const UfPpoHyper* hyper, double* metrics) {
    PpoLoss c = {dhead, dvalue,   dlog_std,   steps,     pick,  heads,
                 value, value_ld, clip_value, normalise, hyper, metrics};
    uf_cpu_run_tasks(backend, steps->P, 1, ppo_loss_task, &c);
}

// ---- optimiser ----

typedef struct Adam {
    const UfGroup* group;
    const real *lr, *polyak;
    int64_t step;
    UfDecay decay;
    double weight_decay;
    int* bad;
    int chunks;
} Adam;

enum { ADAM_CHUNK = 8192, ADAM_ROWS = 1024 };

// Sum of the gradient's blocks, in order.
CLONES static void add_blocks(real* restrict sum, const real* restrict g, size_t block_stride, int num_blocks,
                              size_t count) {
    memcpy(sum, g, count * sizeof *sum);
    for (int k = 1; k < num_blocks; k++) {
        const real* restrict block = g + (size_t)k * block_stride;
#pragma omp simd
        for (size_t i = 0; i < count; i++) sum[i] += block[i];
    }
}

CLONES static real adam_rows(real* restrict w, const real* restrict grad, real* restrict m, real* restrict v,
                             size_t count, UfAdamStep step) {
    real check = 0;
#pragma omp simd reduction(+ : check)
    for (size_t i = 0; i < count; i++) {
        uf_adam(&w[i], &m[i], &v[i], grad[i], step);
        check += w[i] * 0 + v[i] * 0;  // NaN as soon as one parameter or moment is not finite
    }
    return check;
}

// The blocks' sum stays in cache: a loop that added them itself would not become vectors.
static real adam_chunk(real* w, const real* g, size_t block_stride, int num_blocks, real* m, real* v,
                       size_t count, UfAdamStep step) {
    real sum[ADAM_ROWS], check = 0;
    for (size_t at = 0; at < count; at += ADAM_ROWS) {
        const size_t rows = count - at < ADAM_ROWS ? count - at : ADAM_ROWS;
        if (num_blocks > 1) add_blocks(sum, g + at, block_stride, num_blocks, rows);
        check += adam_rows(w + at, num_blocks > 1 ? sum : g + at, m + at, v + at, rows, step);
    }
    return check;
}

CLONES static void polyak_chunk(real* restrict target, const real* restrict w, size_t count, real step) {
#pragma omp simd
    for (size_t i = 0; i < count; i++) target[i] += step * (w[i] - target[i]);
}

typedef struct Clip {
    const UfGroup* groups;
    int num_groups;
    const real* max_norm;
    double* norm;
    size_t stride;
} Clip;

// Squares are summed in double, a cache line of sums at a time: in order whatever the instruction set.
CLONES static double sum_squares(const real* g, size_t count) {
    enum { LANES = 16 };
    double lane[LANES] = {0}, sum = 0;
    const size_t whole = count / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES)
#pragma omp simd
        for (int k = 0; k < LANES; k++) lane[k] += (double)g[i + (size_t)k] * (double)g[i + (size_t)k];
    for (size_t i = whole; i < count; i++) lane[i - whole] += (double)g[i] * (double)g[i];
    for (int k = 0; k < LANES; k++) sum += lane[k];
    return sum;
}

CLONES static void add_rows(real* restrict sum, const real* restrict x, size_t count) {
#pragma omp simd
    for (size_t i = 0; i < count; i++) sum[i] += x[i];
}

CLONES static void scale_rows(real* x, real factor, size_t count) {
#pragma omp simd
    for (size_t i = 0; i < count; i++) x[i] *= factor;
}

static void clip_task(void* context, int p, int thread) {
    const Clip* c = context;
    double squares = 0;
    (void)thread;
    for (int k = 0; k < c->num_groups; k++) {
        const UfGroup* g = &c->groups[k];
        real* first = g->grads + (size_t)p * g->count;
        for (int block = 1; block < g->num_blocks; block++)
            add_rows(first, first + (size_t)block * (size_t)g->P * g->count, g->count);
        squares += sum_squares(first, g->count);
    }
    const real factor = uf_clip_factor((real)sqrt(squares), c->max_norm[p]);
    if (c->norm) c->norm[(size_t)p * c->stride] += sqrt(squares);
    if (factor == 1) return;
    for (int k = 0; k < c->num_groups; k++)
        scale_rows(c->groups[k].grads + (size_t)p * c->groups[k].count, factor, c->groups[k].count);
}

static void cpu_clip_gradients(UfBackend* backend, const UfGroup* groups, int num_groups,
                               const real* max_norm, double* norm, size_t stride) {
    Clip c = {groups, num_groups, max_norm, norm, stride};
    uf_cpu_run_tasks(backend, groups[0].P, 1, clip_task, &c);
}

static void adam_task(void* context, int task, int thread) {
    const Adam* c = context;
    const UfGroup* g = c->group;
    const int p = task / c->chunks;
    const size_t first = (size_t)(task % c->chunks) * ADAM_CHUNK, at = (size_t)p * g->count + first;
    const size_t count = g->count - first < ADAM_CHUNK ? g->count - first : ADAM_CHUNK;
    (void)thread;
    if (c->lr) {
        const UfAdamStep step = uf_adam_step(c->lr[p], c->step, c->decay, c->weight_decay);
        const real check = adam_chunk(g->params + at, g->grads + at, (size_t)g->P * g->count, g->num_blocks,
                                      g->m + at, g->v + at, count, step);
        if (!(check == 0)) __atomic_store_n(&c->bad[p], 1, __ATOMIC_RELAXED);
    }
    if (!c->polyak) return;
    if (c->polyak[p] == 1)
        memcpy(g->target + at, g->params + at, count * sizeof(real));
    else
        polyak_chunk(g->target + at, g->params + at, count, c->polyak[p]);
}

static void cpu_adam_polyak(UfBackend* backend, const UfGroup* group, const real* lr, UfCount step,
                            UfDecay decay, double weight_decay, const real* polyak, int* bad) {
    Adam c = {group, lr,           polyak, step.now,
              decay, weight_decay, bad,    (int)((group->count + ADAM_CHUNK - 1) / ADAM_CHUNK)};
    uf_cpu_run_tasks(backend, group->P, c.chunks, adam_task, &c);
}

// ---- row functions for other files ----

// A function with clones that others saw would be in the way of its double copy's when both are linked.
void uf_rows_add(real* x, const real* bias, int rows, int width) { rows_add(x, bias, rows, width); }
void uf_rows_sum(real* sum, const real* x, int rows, int width) { rows_sum(sum, x, rows, width); }
double uf_sum_squares(const real* x, size_t count) { return sum_squares(x, count); }
void uf_scale_rows(real* x, real factor, size_t count) { scale_rows(x, factor, count); }
real uf_adam_rows(real* restrict w, const real* restrict grad, real* restrict m, real* restrict v,
                  size_t count, UfAdamStep step) {
    return adam_rows(w, grad, m, v, count, step);
}

// ---- bench ----

static void cpu_product(UfBackend* backend, real* c, const real* a, const real* b, int m, int n, int k) {
    uf_cpu_product(backend, 0, false, false, m, n, k, a, k, b, n, 0, c, n);
}

// ---- backend ----

static UfStatus cpu_reserve(UfBackend* backend, void** out, size_t bytes, const char* what) {
    (void)backend;
    return uf_alloc(out, bytes, 1, what);
}

static void cpu_release(UfBackend* backend, void* memory) {
    (void)backend;
    uf_free(memory);
}

static void cpu_upload(UfBackend* backend, void* device, const void* host, size_t bytes) {
    (void)backend;
    memcpy(device, host, bytes);
}

static void cpu_download(UfBackend* backend, void* host, const void* device, size_t bytes) {
    (void)backend;
    memcpy(host, device, bytes);
}

static UfStatus cpu_sync(UfBackend* backend) {
    (void)backend;
    return UF_OK;
}

static void cpu_close(UfBackend* backend) {
    UfCpuState* state = backend->state;
    if (state && state->scratch)
        for (int t = 0; t < uf_pool_num_threads(backend->pool); t++) uf_free(state->scratch[t]);
    if (state) uf_free(state->scratch);
    uf_free(state);
    uf_pool_free(backend->pool);
    uf_free(backend);
}

static const UfBackend cpu_backend = {
    .name = "cpu",
    .about = "cpu",
    .splits = true,
    .reserve = cpu_reserve,
    .release = cpu_release,
    .upload = cpu_upload,
    .download = cpu_download,
    .sync = cpu_sync,
    .plan = cpu_plan,
    .random = cpu_random,
    .random_order = cpu_random_order,
    .gather = cpu_gather,
    .network_input = cpu_network_input,
    .mlp_forward = cpu_mlp_forward,
    .mlp_backward = cpu_mlp_backward,
    .mlp_backward_backward = cpu_mlp_backward_backward,
    .policy_sample = cpu_policy_sample,
    .entropy_coef_loss = cpu_entropy_coef_loss,
    .entropy_coef = cpu_entropy_coef,
    .awr_weight = cpu_awr_weight,
    .actor_q_loss = cpu_actor_q_loss,
    .expected_q_loss = cpu_expected_q_loss,
    .actor_loss = cpu_actor_loss,
    .td_target = cpu_td_target,
    .q_loss = cpu_q_loss,
    .diversity_loss = cpu_diversity_loss,
    .value_loss = cpu_value_loss,
    .model_step = cpu_model_step,
    .model_error = cpu_model_error,
    .ring_append = cpu_ring_append,
    .dynamics_target = cpu_dynamics_target,
    .dynamics_loss = cpu_dynamics_loss,
    .dynamics_error = cpu_dynamics_error,
    .play = cpu_play,
    .plan_clone = uf_cpu_plan_clone,
    .clone = uf_cpu_clone,
    .clone_score = uf_cpu_clone_score,
    .ppo_observe = cpu_ppo_observe,
    .ppo_act = cpu_ppo_act,
    .ppo_store = cpu_ppo_store,
    .ppo_episodes = cpu_ppo_episodes,
    .ppo_values = cpu_ppo_values,
    .ppo_advantages = cpu_ppo_advantages,
    .ppo_loss = cpu_ppo_loss,
    .clip_gradients = cpu_clip_gradients,
    .adam_polyak = cpu_adam_polyak,
    .product = cpu_product,
    .close = cpu_close,
};

static UfStatus open_cpu(UfBackend** out, int num_threads) {
    UfBackend* backend = NULL;
    UfCpuState* state = NULL;
    openblas_set_num_threads(1);  // our threads call it; its own would fight them for the cores
    UF_TRY(UF_ALLOC(&backend, 1, "backend"));
    *backend = cpu_backend;
    uf_cpu_off_policy(backend);
    UfStatus status = UF_ALLOC(&state, 1, "backend");
    backend->state = state;
    if (status == UF_OK) status = uf_pool_create(&backend->pool, num_threads);
    if (status == UF_OK)
        status = UF_ALLOC(&state->scratch, uf_pool_num_threads(backend->pool), "scratch table");
    if (status != UF_OK) {
        uf_backend_close(backend);
        return status;
    }
    *out = backend;
    return UF_OK;
}

// The copy in double precision has the CPU alone.
static UfStatus open_named(UfBackend** out, const char* device, const char* precision, int num_threads) {
    if (strcmp(device, "cpu") == 0) return open_cpu(out, num_threads);
#if defined UF_CUDA && !defined UF_DOUBLE_COPY
    return uf_backend_open_cuda(out, precision, num_threads);
#else
    (void)precision;
    return UF_FAIL(
        UF_ERR_UNSUPPORTED,
        "device 'cuda' is not in this build; build it where nvcc is on the PATH, or set device to cpu");
#endif
}

static UfStatus open_auto(UfBackend** out, const char* precision, int num_threads) {
    const UfStatus status = open_named(out, "cuda", precision, num_threads);
    if (status != UF_ERR_DEVICE && status != UF_ERR_UNSUPPORTED) return status;
    char why[200];
    snprintf(why, sizeof why, "%s", uf_error());
    UF_TRY(open_cpu(out, num_threads));
    snprintf((*out)->about, sizeof(*out)->about, "cpu (%s)", why);
    return UF_OK;
}

UfStatus uf_backend_open(UfBackend** out, const char* device, const char* precision, int num_threads) {
    *out = NULL;
    if (strcmp(device, "auto") == 0) return open_auto(out, precision, num_threads);
    if (strcmp(device, "cpu") != 0 && strcmp(device, "cuda") != 0)
        return UF_FAIL(UF_ERR_ARGUMENT, "device '%s'; expected cpu, cuda or auto", device);
    return open_named(out, device, precision, num_threads);
}

void uf_backend_close(UfBackend* backend) {
    if (backend) backend->close(backend);
}
