// kernels_clone.c: behaviour cloning of many small networks on the CPU.
//
// A task is a network: it goes through all its steps while parameters, gradients and moments stay in the cache of one
// thread, whose scratch they live in. There the output layer's kernel lies transposed, (H, width), so that every loop
// over it runs along the longer side. Few rows are multiplied by our own loops, more by BLAS: a function of shapes alone.
//
// Rooms: shapes, convolution, loss, update, cloning, score.
#include "kernels_cpu.h"

#include <assert.h>
#include <string.h>

// ---- shapes ----

UfCloneNet uf_clone_net(const UfConv* conv, int in, int width, int layers, int out, int activation,
                        bool layer_norm, bool log_std) {
    UfCloneNet net = {.in = in, .has_log_std = log_std};
    const bool has_conv = conv && conv->filters > 0;
    const int pixels = has_conv ? conv->height * conv->width : 0;
    assert(layers >= 1 && (!has_conv || in == pixels * conv->planes));
    net.mlp = uf_mlp_shape(has_conv ? pixels * conv->filters : in, width, layers, out, layer_norm,
                           log_std ? out : 0);
    net.mlp.activation = activation;
    net.size = net.mlp.size;
    if (!has_conv) return net;
    net.conv = *conv;
    const size_t filters = (size_t)conv->filters, kernel = 9 * (size_t)conv->planes * filters;
    net.conv_kernel = net.size;
    net.conv_bias = net.conv_kernel + (kernel + 15) / 16 * 16;
    net.size = (net.conv_bias + filters + 63) / 64 * 64;
    return net;
}

// From how many numbers of a layer's output on BLAS is faster: 24 rows of 512 units, 48 of 256.
enum { BLAS_NUMBERS = 12288 };

static UfBackend* backend_for(UfBackend* be, int rows, int width) {
    return (int64_t)rows * width < BLAS_NUMBERS ? NULL : be;
}

static int num_pixels(const UfConv* c) { return c->height * c->width; }

// Numbers of an image's patches.
static size_t patches_size(const UfConv* c) {
    return c->filters ? (size_t)num_pixels(c) * 9 * (size_t)c->planes : 0;
}

// Rows of a block of clone_score; an image is many rows of a convolution.
static int score_rows(const UfCloneNet* net) { return net->conv.filters ? 64 : 256; }

// What a task needs, in a thread's scratch.
typedef struct Work {
    real *params, *grads, *m, *v;  // (size)
    real *patches, *features,
        *dfeatures;          // (rows, pixels, 9 * planes), (rows, mlp.in) twice: of a convolution
    real *out, *dout;        // (rows, H)
    real *d, *next, *space;  // (rows, width)
    UfTape tape;
    size_t count;  // reals, all together
} Work;

static real* take(Work* w, real* base, size_t count) {
    real* at = base ? base + w->count : NULL;
    w->count += (count + 15) / 16 * 16;
    return at;
}

static Work clone_work(const UfCloneNet* net, int rows, real* base) {
    const UfMlp* mlp = &net->mlp;
    const size_t R = (size_t)rows, hidden = R * (size_t)mlp->width, out = R * (size_t)mlp->out;
    const size_t features = net->conv.filters ? R * (size_t)mlp->in : 0;
    Work w = {0};
    w.params = take(&w, base, net->size);
    w.grads = take(&w, base, net->size);
    w.m = take(&w, base, net->size);
    w.v = take(&w, base, net->size);
    w.patches = take(&w, base, R * patches_size(&net->conv));
    w.features = take(&w, base, features);
    w.dfeatures = take(&w, base, features);
    w.out = take(&w, base, out);
    w.dout = take(&w, base, out);
    w.d = take(&w, base, hidden);
    w.next = take(&w, base, hidden);
    w.space = take(&w, base, hidden);
    for (int l = 0; l < mlp->layers; l++) {
        w.tape.r[l] = take(&w, base, hidden);
        w.tape.stats[l] = mlp->layer_norm ? take(&w, base, 2 * R) : NULL;
    }
    return w;
}

size_t uf_clone_scratch(const UfCloneNet* net, int rows) {
    const size_t R = (size_t)rows;
    return patches_size(&net->conv) + (net->conv.filters ? R * (size_t)net->mlp.in : 0) +
           2 * R * (size_t)net->mlp.width;
}

// A block's outputs, a row's derivative and what forward passes need.
static size_t score_work(const UfCloneNet* net) {
    const int rows = score_rows(net);
    return (size_t)(rows + 1) * (size_t)net->mlp.out + uf_clone_scratch(net, rows);
}

UfStatus uf_cpu_plan_clone(UfBackend* backend, const UfCloneNet* net, int P, int rows) {
    (void)P;
    const size_t clone = clone_work(net, rows, NULL).count, score = score_work(net);
    return uf_cpu_reserve_scratch(backend, clone > score ? clone : score);
}

// ---- convolution ----

// patches (pixels, 9 * planes) of one image: around each pixel, row by row, zeros beyond the borders.
static void gather_patches(real* patches, const UfConv* c, const real* image) {
    const int row = c->width * c->planes, three = 3 * c->planes;
    for (int y = 0; y < c->height; y++)
        for (int x = 0; x < c->width; x++)
            for (int from_y = y - 1; from_y <= y + 1; from_y++, patches += three) {
                const bool inside = from_y >= 0 && from_y < c->height;
                const int start = (x - 1) * c->planes;
                for (int i = 0; i < three; i++)
                    patches[i] = inside && start + i >= 0 && start + i < row
                                     ? image[(ptrdiff_t)from_y * row + start + i]
                                     : 0;
            }
}

CLONES static void rows_relu(real* x, const real* bias, int rows, int width) {
    for (int b = 0; b < rows; b++, x += width)
        for (int j = 0; j < width; j++) {
            const real z = x[j] + bias[j];
            x[j] = z <= 0 ? 0 : z;  // written so that NaN stays NaN
        }
}

CLONES static void relu_back(real* restrict d, const real* restrict r, size_t count) {
#pragma omp simd
    for (size_t i = 0; i < count; i++) d[i] = r[i] > 0 ? d[i] : 0;
}

// features (pixels, filters) of `images` images from their patches.
static void convolve(UfBackend* be, int thread, const UfCloneNet* net, const real* params, real* features,
                     const real* patches, int images) {
    const UfConv* c = &net->conv;
    const int pixels = images * num_pixels(c), k = 9 * c->planes;
    uf_cpu_product(be, thread, false, false, pixels, c->filters, k, patches, k, params + net->conv_kernel,
                   c->filters, 0, features, c->filters);
    rows_relu(features, params + net->conv_bias, pixels, c->filters);
}

static void convolve_back(UfBackend* be, int thread, const UfCloneNet* net, real* grads, real* dfeatures,
                          const real* features, const real* patches, int images) {
    const UfConv* c = &net->conv;
    const int pixels = images * num_pixels(c), k = 9 * c->planes;
    relu_back(dfeatures, features, (size_t)pixels * (size_t)c->filters);
    uf_cpu_product(be, thread, true, false, k, c->filters, pixels, patches, k, dfeatures, c->filters, 0,
                   grads + net->conv_kernel, c->filters);
    uf_rows_sum(grads + net->conv_bias, dfeatures, pixels, c->filters);
}

// out (rows, H) of rows x; scratch: uf_clone_scratch.   Nullable: be
static void forward(UfBackend* be, int thread, const UfCloneNet* net, const real* params, real* out,
                    const real* x, int rows, real* scratch) {
    const UfMlp* mlp = &net->mlp;
    const int L = mlp->layers;
    if (net->conv.filters) {
        real *patches = scratch, *features = patches + patches_size(&net->conv);
        for (int b = 0; b < rows; b++) {
            gather_patches(patches, &net->conv, x + (size_t)b * (size_t)net->in);
            convolve(be, thread, net, params, features + (size_t)b * (size_t)mlp->in, patches, 1);
        }
        x = features;
        scratch = features + (size_t)rows * (size_t)mlp->in;
    }
    const real* h = uf_cpu_hidden_forward(be, thread, mlp, params, NULL, 0, x, mlp->in, rows, scratch);
    uf_cpu_product(be, thread, false, false, rows, mlp->out, mlp->width, h, mlp->width,
                   params + mlp->kernel[L], mlp->out, 0, out, mlp->out);
    uf_rows_add(out, params + mlp->bias[L], rows, mlp->out);
}

void uf_clone_forward_host(const UfCloneNet* net, const real* params, real* out, const real* x, int rows,
                           real* scratch) {
    forward(NULL, 0, net, params, out, x, rows, scratch);
}

// ---- loss ----

// Loss of a row; its derivative times `scale` into dout, and for the log-std added to dlog_std.   Nullable: dlog_std
static real row_loss(int loss, real* dout, real* dlog_std, const real* out, const real* label,
                     const real* log_std, int A, real scale) {
    real sum = 0;
    if (loss != UF_CLONE_GAUSSIAN_NLL) {
        sum = uf_cross_entropy(dout, out, label, A);
        for (int i = 0; i < A; i++) dout[i] *= scale;
        return sum;
    }
    for (int i = 0; i < A; i++) {
        UfHeadGrad g;
        sum -= uf_normal_log_prob(label[i], out[i], log_std[i], &g);
        dout[i] = -scale * g.dm;
        if (dlog_std) dlog_std[i] -= scale * g.ds;
    }
    return sum;
}

// What a sum over rows is divided by.
static double loss_divisor(int loss, int rows, int A) {
    return (double)rows * (loss == UF_CLONE_CE_OVER_ACTIONS ? A : 1);
}

// ---- update ----

CLONES static void sgd_rows(real* restrict w, const real* restrict grad, size_t count, real lr) {
#pragma omp simd
    for (size_t i = 0; i < count; i++) w[i] -= lr * grad[i];
}

static void clip(real* grads, size_t count, double max_norm) {
    if (!(max_norm > 0)) return;
    const real factor = uf_clip_factor((real)sqrt(uf_sum_squares(grads, count)), (real)max_norm);
    if (factor != 1) uf_scale_rows(grads, factor, count);
}

// ---- cloning ----

enum { STEPS_KEPT = 1024 };  // beyond them a step of Adam is worked out by each network

typedef struct Cloning {
    UfBackend* backend;
    const UfClone* op;
    UfAdamStep adam[STEPS_KEPT];
} Cloning;

static UfAdamStep adam_step(const UfClone* op, int64_t step) {
    UfAdamStep s = uf_adam_step((real)op->lr, step, (UfDecay){UF_DECAY_NONE, 0}, 0);
    s.eps = (real)op->eps;
    return s;
}

// Copies a network between its own layout and that of scratch, where the output layer's kernel is transposed.
static void copy_network(real* to, const real* from, const UfCloneNet* net, bool to_scratch) {
    const UfMlp* mlp = &net->mlp;
    const size_t kernel = mlp->kernel[mlp->layers], width = (size_t)mlp->width, out = (size_t)mlp->out;
    memcpy(to, from, net->size * sizeof(real));
    for (size_t i = 0; i < width; i++)
        for (size_t j = 0; j < out; j++) {
            const size_t own = kernel + i * out + j, transposed = kernel + j * width + i;
            if (to_scratch)
                to[transposed] = from[own];
            else
                to[own] = from[transposed];
        }
}

// Gradient of the loss at the work's parameters; returns the loss.
static double gradient(const Cloning* c, int thread, const Work* w, const real* states, const real* labels) {
    const UfClone* op = c->op;
    const UfCloneNet* net = op->net;
    const UfMlp* mlp = &net->mlp;
    const int rows = op->rows, width = mlp->width, A = mlp->out, L = mlp->layers;
    const bool has_conv = net->conv.filters > 0, gaussian = op->loss == UF_CLONE_GAUSSIAN_NLL;
    UfBackend *be = backend_for(c->backend, rows, width),
              *conv_be =
                  has_conv ? backend_for(c->backend, rows * num_pixels(&net->conv), net->conv.filters) : NULL;
    const real *kernel = w->params + mlp->kernel[L], *log_std = w->params + mlp->log_std;
    real* dlog_std = gaussian ? w->grads + mlp->log_std : NULL;

    if (has_conv) convolve(conv_be, thread, net, w->params, w->features, w->patches, rows);
    const real* x = has_conv ? w->features : states;
    const real* h =
        uf_cpu_hidden_forward(be, thread, mlp, w->params, &w->tape, 0, x, mlp->in, rows, w->space);
    uf_cpu_product(be, thread, false, true, rows, A, width, h, width, kernel, width, 0, w->out, A);
    uf_rows_add(w->out, w->params + mlp->bias[L], rows, A);

    const double divisor = loss_divisor(op->loss, rows, A);
    const real scale = (real)(1 / divisor);
    double loss = 0;
    for (int i = 0; gaussian && i < A; i++) dlog_std[i] = 0;
    for (int b = 0; b < rows; b++) {
        const size_t at = (size_t)b * (size_t)A;
        loss +=
            (double)row_loss(op->loss, w->dout + at, dlog_std, w->out + at, labels + at, log_std, A, scale);
    }

    uf_cpu_product(be, thread, true, false, A, width, rows, w->dout, A, h, width, 0,
                   w->grads + mlp->kernel[L], width);
    uf_rows_sum(w->grads + mlp->bias[L], w->dout, rows, A);
    uf_cpu_product(be, thread, false, false, rows, width, A, w->dout, A, kernel, width, 0, w->d, width);
    const UfHiddenBack back = {be, thread,  mlp,  w->params, w->grads, &w->tape, 0,
                               x,  mlp->in, rows, w->d,      w->next,  w->space};
    uf_cpu_hidden_backward(&back, has_conv ? w->dfeatures : NULL, 0, mlp->in);
    if (has_conv) convolve_back(conv_be, thread, net, w->grads, w->dfeatures, w->features, w->patches, rows);
    return loss / divisor;
}

static void clone_task(void* context, int task, int thread) {
    const Cloning* c = context;
    const UfClone* op = c->op;
    const UfCloneNet* net = op->net;
    const size_t set = (size_t)(task / op->inits), init = (size_t)(task % op->inits), network = (size_t)task,
                 rows = (size_t)op->rows, A = (size_t)net->mlp.out, K = (size_t)op->num_steps;
    const Work w = clone_work(net, op->rows, ((UfCpuState*)c->backend->state)->scratch[thread]);
    const real *states = op->states + set * rows * (size_t)net->in,
               *labels = op->labels + (op->shared_labels ? 0 : set * rows * A);
    copy_network(w.params, op->init + init * net->size, net, true);
    memset(w.grads, 0, 3 * net->size * sizeof(real));  // m and v lie behind
    for (size_t b = 0; net->conv.filters && b < rows; b++)
        gather_patches(w.patches + b * patches_size(&net->conv), &net->conv, states + b * (size_t)net->in);
    for (size_t k = 0; k < K; k++) {
        const double loss = gradient(c, thread, &w, states, labels);
        if (op->losses) op->losses[network * K + k] = (real)loss;
        clip(w.grads, net->size, op->clip);
        if (op->optimizer == UF_CLONE_ADAM)
            (void)uf_adam_rows(w.params, w.grads, w.m, w.v, net->size,
                               k < STEPS_KEPT ? c->adam[k] : adam_step(op, (int64_t)k + 1));
        else
            sgd_rows(w.params, w.grads, net->size, (real)op->lr);
    }
    copy_network(op->params + network * net->size, w.params, net, false);
}

void uf_cpu_clone(UfBackend* backend, const UfClone* op) {
    Cloning c = {.backend = backend, .op = op};
    for (int k = 0; k < op->num_steps && k < STEPS_KEPT; k++) c.adam[k] = adam_step(op, k + 1);
    uf_cpu_run_tasks(backend, op->sets, op->inits, clone_task, &c);
}

// ---- score ----

typedef struct Scoring {
    UfBackend* backend;
    const UfCloneScore* op;
} Scoring;

static void score_task(void* context, int p, int thread) {
    const Scoring* c = context;
    const UfCloneScore* op = c->op;
    const UfCloneNet* net = op->net;
    const int A = net->mlp.out, most = score_rows(net);
    const real* params = op->params + (size_t)p * net->size;
    real *out = ((UfCpuState*)c->backend->state)->scratch[thread], *unused = out + (size_t)most * (size_t)A,
         *scratch = unused + A;
    double loss = 0;
    int64_t right = 0;
    for (int first = 0; first < op->rows; first += most) {
        const int rows = op->rows - first < most ? op->rows - first : most;
        forward(c->backend, thread, net, params, out, op->states + (size_t)first * (size_t)net->in, rows,
                scratch);
        for (int b = 0; b < rows; b++) {
            const real *row = out + (size_t)b * (size_t)A,
                       *label = op->labels + (size_t)(first + b) * (size_t)A;
            loss += (double)row_loss(op->loss, unused, NULL, row, label, params + net->mlp.log_std, A, 1);
            right += op->loss != UF_CLONE_GAUSSIAN_NLL &&
                     uf_categorical_choice(row, NULL, A) == uf_categorical_choice(label, NULL, A);
        }
    }
    op->sums[2 * (size_t)p] = loss / loss_divisor(op->loss, op->rows, A);
    op->sums[2 * (size_t)p + 1] = (double)right / op->rows;
}

void uf_cpu_clone_score(UfBackend* backend, const UfCloneScore* op) {
    Scoring c = {backend, op};
    uf_cpu_run_tasks(backend, op->P, 1, score_task, &c);
}
