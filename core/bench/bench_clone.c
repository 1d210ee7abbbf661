// bench_clone.c: one step of behaviour cloning of small networks, beside the bare products that it needs.
#include <string.h>

#include "core/bench/bench.h"
#include "core/reserved.h"

enum { MIN_WINDOWS = 5, MAX_WINDOWS = 100000, MAX_NETWORKS = 100000, MOST_PRODUCTS = 16, REPEATS = 200 };

// A network and its data: hidden layers of one width, rows of the dataset, steps.
typedef struct Shape {
    const char* what;
    int in, width, layers, out, activation, rows, steps, loss;
} Shape;
static const Shape shapes[] = {
    {"CartPole", 4, 32, 2, 2, UF_TANH, 2, 100, UF_CLONE_CE},
    {"MountainCar", 2, 32, 2, 3, UF_TANH, 3, 100, UF_CLONE_CE},
    {"Breakout", 400, 64, 2, 3, UF_RELU, 15, 64, UF_CLONE_CE_OVER_ACTIONS},
    {"Hopper", 11, 512, 2, 3, UF_TANH, 64, 5, UF_CLONE_GAUSSIAN_NLL},
};

typedef struct Bench {
    const UfCloneBenchOptions* options;
    UfBackend* be;
    UfReserved reserved;
    double *seconds, *products;  // (windows) of a step of one network
} Bench;

static UfStatus random_reals(Bench* b, real** out, size_t count, double scale, UfRandom* r) {
    real* host;
    UF_TRY(UF_RESERVE(&b->reserved, *out, count, "numbers of a bench"));
    UF_TRY(UF_ALLOC(&host, count, "numbers of a bench"));
    for (size_t i = 0; i < count; i++) host[i] = (real)(scale * uf_random_normal(r));
    b->be->upload(b->be, *out, host, count * sizeof(real));
    const UfStatus status = b->be->sync(b->be);
    uf_free(host);
    return status;
}

// (rows, A), each row one kind.
static UfStatus one_hot(Bench* b, real** out, int64_t rows, int A) {
    real* host;
    const size_t bytes = (size_t)(rows * A) * sizeof(real);
    UF_TRY(UF_RESERVE(&b->reserved, *out, rows * A, "labels of a bench"));
    UF_TRY(uf_alloc((void**)&host, bytes, 1, "labels of a bench"));
    for (int64_t i = 0; i < rows; i++) host[i * A + i % A] = 1;
    b->be->upload(b->be, *out, host, bytes);
    const UfStatus status = b->be->sync(b->be);
    uf_free(host);
    return status;
}

// The products of a step: forward, gradients of kernels, back through layers but the first.
static int products_of(const Shape* s, UfProduct out[MOST_PRODUCTS]) {
    int count = 0;
    for (int l = 0; l <= s->layers; l++) {
        const int in = l ? s->width : s->in, n = l < s->layers ? s->width : s->out;
        out[count++] = (UfProduct){.m = s->rows, .n = n, .k = in};
        out[count++] = (UfProduct){.m = in, .n = n, .k = s->rows};
        if (l) out[count++] = (UfProduct){.m = s->rows, .n = in, .k = n};
    }
    return count;
}

// Of one network: as many steps as make a window long enough to be timed.
static UfStatus time_products(Bench* b, const Shape* s, double* seconds) {
    UfProduct products[MOST_PRODUCTS];
    const int count = products_of(s, products);
    const size_t most = s->in > s->width ? (size_t)s->in : (size_t)s->width,
                 size = (most + (size_t)s->rows) * most;
    UfRandom r = uf_random(3, 0, 0);
    real *x, *w, *c;
    UF_TRY(random_reals(b, &x, size, 1, &r));
    UF_TRY(random_reals(b, &w, size, 1, &r));
    UF_TRY(random_reals(b, &c, size, 1, &r));
    for (int i = 0; i < b->options->num_windows; i++) {
        const double start = uf_now();
        for (int k = 0; k < REPEATS; k++)
            for (const UfProduct* p = products; p < products + count; p++)
                b->be->product(b->be, c, x, w, p->m, p->n, p->k);
        UF_TRY(b->be->sync(b->be));
        seconds[i] = (uf_now() - start) / REPEATS;
    }
    uf_sort(seconds, b->options->num_windows);
    return UF_OK;
}

static UfStatus time_steps(Bench* b, const Shape* s, double* seconds) {
    const bool gaussian = s->loss == UF_CLONE_GAUSSIAN_NLL;
    const UfCloneNet net =
        uf_clone_net(NULL, s->in, s->width, s->layers, s->out, s->activation, false, gaussian);
    const int P = b->options->num_networks;
    const int64_t rows = (int64_t)P * s->rows;
    UfRandom r = uf_random(2, 0, 0);
    real *states = NULL, *labels = NULL, *init = NULL, *params = NULL;
    UF_TRY(random_reals(b, &states, (size_t)rows * (size_t)s->in, 1, &r));
    if (gaussian)
        UF_TRY(random_reals(b, &labels, (size_t)rows * (size_t)s->out, 1, &r));
    else
        UF_TRY(one_hot(b, &labels, rows, s->out));
    UF_TRY(random_reals(b, &init, net.size, 0.1, &r));
    UF_TRY(UF_RESERVE(&b->reserved, params, (size_t)P * net.size, "networks of a bench"));
    UF_TRY(b->be->plan_clone(b->be, &net, P, s->rows));
    const UfClone clone = {.net = &net,
                           .sets = P,
                           .inits = 1,
                           .rows = s->rows,
                           .states = states,
                           .labels = labels,
                           .init = init,
                           .params = params,
                           .loss = s->loss,
                           .optimizer = UF_CLONE_ADAM,
                           .num_steps = s->steps,
                           .lr = 0.01,
                           .eps = 1e-5,
                           .clip = 0.5};
    for (int i = -1; i < b->options->num_windows; i++) {  // one that warms up
        const double start = uf_now();
        b->be->clone(b->be, &clone);
        UF_TRY(b->be->sync(b->be));
        if (i >= 0) seconds[i] = (uf_now() - start) / ((double)P * s->steps);
    }
    uf_sort(seconds, b->options->num_windows);
    return UF_OK;
}

static UfStatus run_shape(Bench* b, const Shape* s, UfText* text) {
    const int windows = b->options->num_windows;
    b->reserved.backend = b->be;
    UfStatus status = time_steps(b, s, b->seconds);
    if (status == UF_OK && !b->be->apart) status = time_products(b, s, b->products);
    uf_release_reserved(&b->reserved);
    UF_TRY(status);
    const double median = uf_quantile(b->seconds, windows, 0.5);
    uf_text_add(text,
                "{\"network\": \"%s\", \"in\": %d, \"width\": %d, \"layers\": %d, \"out\": %d, \"rows\": %d, "
                "\"us_per_step\": {\"min\": %.4g, \"median\": %.4g, \"max\": %.4g}",
                s->what, s->in, s->width, s->layers, s->out, s->rows, b->seconds[0] * 1e6, median * 1e6,
                b->seconds[windows - 1] * 1e6);
    if (!b->be->apart)
        uf_text_add(text,
                    ", \"us_of_products\": {\"min\": %.4g, \"median\": %.4g}, \"steps_to_products\": %.3g",
                    b->products[0] * 1e6, uf_quantile(b->products, windows, 0.5) * 1e6,
                    b->seconds[0] / b->products[0]);
    uf_text_add(text, "}");
    return UF_OK;
}

static UfStatus run(Bench* b, char** json_line) {
    const UfCloneBenchOptions* o = b->options;
    UF_TRY(UF_ALLOC(&b->seconds, o->num_windows, "timings"));
    UF_TRY(UF_ALLOC(&b->products, o->num_windows, "timings"));
    UF_TRY(uf_backend_open(&b->be, o->device ? o->device : "cpu", "fp32", o->num_threads));
    UfText text = {0};
    UfStatus status = UF_OK;
    uf_text_add(
        &text,
        "{\"algorithm\": \"cloning\", \"networks\": %d, \"threads\": %d, \"windows\": %d, \"shapes\": [",
        o->num_networks, uf_pool_num_threads(b->be->pool), o->num_windows);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes && status == UF_OK; i++) {
        if (i) uf_text_add(&text, ", ");
        status = run_shape(b, &shapes[i], &text);
    }
    uf_text_add(&text, "], \"device\": \"%s\", \"version\": \"%s\"}", b->be->about, UF_VERSION);
    if (status != UF_OK) text.status = status;
    return uf_text_finish(&text, json_line);
}

UfStatus uf_bench_clone(const UfCloneBenchOptions* options, char** json_line) {
    Bench b = {.options = options};
    *json_line = NULL;
    if (options->num_networks < 1 || options->num_networks > MAX_NETWORKS ||
        options->num_windows < MIN_WINDOWS || options->num_windows > MAX_WINDOWS)
        return UF_FAIL(UF_ERR_ARGUMENT, "bench: networks %d, windows %d; expected at least 1 and %d",
                       options->num_networks, options->num_windows, MIN_WINDOWS);
    const UfStatus status = run(&b, json_line);
    uf_backend_close(b.be);
    uf_free(b.seconds);
    uf_free(b.products);
    return status;
}
