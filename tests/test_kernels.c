// test_kernels.c: every op of kernels.h, on every backend that opens, over one table of shapes.
//
// An op's test describes its arrays, sends them, calls the op, takes them back and compares with plain loops
// in double. The harness does the rest, for every array: what lies behind it and what the op only reads must
// be untouched; two backends of one name (threads) must agree to the bit; and each member alone (P = 1) must
// give the bits it gave inside the population. Arrays are NaN where nothing was written, so what is left out,
// or read though it should not be, shows. Source of the scheme: ggml tests/test-backend-ops.cpp (one table,
// sentinels).
//
// Tolerances. u = 2^-24 is half a unit in the last place of float. A sum of n products is off by at most n u
// times the sum of the absolute products, in any order; functions of the C library by 1 or 2 u. Where no
// other reason stands, that is the bound. Tensor cores see operands of products with 10 (tf32) or 7 (bf16) bits behind
// the point and may cut rather than round, so that a product of two is off by 2^-9 or 2^-7 of itself, and a sum of
// products by as much of the sum of their absolute values.
#include "support.h"

#include "core/envs/envs.h"
#include "kernels.h"
#ifdef UF_HOST_CUDA
#include "cuda_host/host_cuda.h"
#endif

#define U 5.9604644775390625e-8

// ---- shapes and backends ----

enum { MAX_P = 5, MAX_N = 5, MAX_LAYERS = 3, MAX_WIDTH = 1100, MAX_OUT = 20 };

// For networks: rows [before, before + rows) of before + rows + after, inputs with `pad` columns behind them.
// For the terms B is rows, O is in, A is out, and before, after and pad surround actions that live inside
// critic inputs.
typedef struct Case {
    int P, N, used, rows, before, after, in, pad, width, layers, out;
    bool layer_norm;
} Case;

static const Case cases[] = {
    // P  N  used rows bef aft in pad width L out LayerNorm
    {1, 1, 1, 1, 0, 0, 1, 0, 1, 1, 1, false},      {1, 1, 1, 1, 0, 0, 1, 0, 1, 1, 1, true},
    {2, 2, 2, 19, 1, 2, 5, 1, 72, 2, 20, true},    {2, 2, 2, 5, 0, 2, 3, 1, 3, 2, 2, true},
    {5, 1, 1, 17, 1, 0, 2, 0, 50, 3, 4, true},     {3, 2, 1, 37, 3, 4, 5, 3, 37, 2, 1, true},
    {2, 3, 2, 16, 0, 0, 4, 0, 16, 1, 3, false},    {1, 5, 5, 255, 0, 1, 7, 0, 33, 1, 3, false},
    {2, 1, 1, 256, 0, 0, 4, 2, 16, 2, 6, false},   {2, 2, 2, 300, 7, 0, 23, 0, 37, 3, 1, true},
    {1, 4, 3, 512, 0, 3, 6, 5, 17, 2, 1, false},   {1, 2, 2, 513, 0, 0, 11, 0, 24, 2, 1, true},
    {1, 5, 5, 513, 1, 1, 3, 0, 9, 1, 2, true},     {3, 3, 3, 1024, 0, 0, 9, 1, 20, 2, 1, false},
    {1, 4, 4, 1024, 0, 512, 8, 0, 16, 1, 2, true}, {1, 1, 1, 64, 0, 0, 17, 0, 256, 3, 1, true},
    {1, 1, 1, 6, 0, 0, 20, 1, 150, 2, 6, false},   {1, 3, 2, 21, 0, 0, 4, 0, 300, 1, 18, true},
    {1, 1, 1, 3, 0, 0, 3, 0, 1100, 1, 1, true},    {2, 3, 2, 70, 3, 5, 30, 2, 64, 3, 7, true},
    {1, 2, 1, 100, 0, 0, 45, 0, 132, 2, 1, false}, {2, 1, 1, 33, 0, 1, 17, 1, 256, 2, 3, false},
    {1, 1, 1, 40, 0, 0, 45, 3, 16, 2, 2, true},    {1, 2, 2, 1300, 3, 0, 6, 0, 20, 2, 2, true},
    {1, 5, 5, 20, 0, 0, 23, 0, 200, 2, 20, false}, {2, 2, 1, 19, 1, 0, 6, 0, 72, 3, 2, false},
};
enum { NUM_CASES = sizeof cases / sizeof cases[0] };

// Backends of one name and precision stand together: the first is compared with the references, the others with the
// first's bits. How many rows a CUDA device takes through a network at once (`passes`) changes no bit; whether it goes
// layer by layer does, or through the kernels of warpgroups, of which a block may have one or two.
#define LAYERS "layers"
#define GROUPS "warpgroups"
#define PAIRS "2 warpgroups"
static struct Device {
    const char *name, *precision,
        *passes;  // passes: of UNIFLORAL_CUDA_PASSES
    int threads;
    double rounding;  // of products, beside float's
    UfBackend* be;
} devices[] = {
    {"cpu", "fp32", "", 1, 0, NULL},           {"cpu", "fp32", "", 2, 0, NULL},
    {"cuda", "fp32", "", 1, 0, NULL},          {"cuda", "fp32", "", 2, 0, NULL},
    {"cuda", "fp32", "", 3, 0, NULL},          {"cuda", "fp32", "32", 2, 0, NULL},
    {"cuda", "fp32", "64", 3, 0, NULL},        {"cuda", "tf32", "", 1, 0x1p-9, NULL},
    {"cuda", "tf32", "16", 1, 0x1p-9, NULL},   {"cuda", "tf32", "32", 2, 0x1p-9, NULL},
    {"cuda", "tf32", "64", 3, 0x1p-9, NULL},   {"cuda", "bf16", "", 1, 0x1p-7, NULL},
    {"cuda", "bf16", "32", 3, 0x1p-7, NULL},   {"cuda", "bf16", "64", 2, 0x1p-7, NULL},
    {"cuda", "fp32", LAYERS, 1, 0, NULL},      {"cuda", "fp32", LAYERS, 2, 0, NULL},
    {"cuda", "fp32", LAYERS, 3, 0, NULL},      {"cuda", "tf32", LAYERS, 1, 0x1p-9, NULL},
    {"cuda", "tf32", LAYERS, 2, 0x1p-9, NULL}, {"cuda", "bf16", LAYERS, 1, 0x1p-7, NULL},
    {"cuda", "bf16", LAYERS, 2, 0x1p-7, NULL}, {"cuda", "bf16", GROUPS, 1, 0x1p-7, NULL},
    {"cuda", "bf16", GROUPS, 2, 0x1p-7, NULL}, {"cuda", "bf16", GROUPS, 3, 0x1p-7, NULL},
    {"cuda", "bf16", PAIRS, 1, 0x1p-7, NULL},  {"cuda", "bf16", PAIRS, 3, 0x1p-7, NULL},
};
enum { NUM_DEVICES = sizeof devices / sizeof devices[0] };

// Where kernels.cu runs on the host, each of the three has the threads of a block in another order.
static void use(const struct Device* device) {
#ifdef UF_HOST_CUDA
    uf_host_cuda.order = (UfHostOrder)(device->threads - 1);
    uf_host_cuda.closes_memory =
        false;  // so many ops, and some with so much of it, that to open and close it takes long
#else
    (void)device;
#endif
}

static int open_devices(void** state) {
    (void)state;
    int open = 0;
    for (int d = 0; d < NUM_DEVICES; d++) {
        assert_int_equal(setenv("UNIFLORAL_CUDA_PASSES", devices[d].passes, 1), 0);
        if (uf_backend_open(&devices[d].be, devices[d].name, devices[d].precision, devices[d].threads) ==
            UF_OK)
            open++;
        else if (devices[d].threads == 1 && !*devices[d].passes)
            print_message("SKIP %s %s: %s\n", devices[d].name, devices[d].precision, uf_error());
    }
    return open ? 0 : -1;
}

static int close_devices(void** state) {
    (void)state;
    for (int d = 0; d < NUM_DEVICES; d++) uf_backend_close(devices[d].be);
    return 0;
}

// ---- harness ----

enum { GUARD = 256, MAX_ARRAYS = 40, MAX_KEPT = 400 };
static const uint32_t UNWRITTEN = 0x7FA5A5A5;  // a NaN as float and, twice, as double; a huge number as index

// (outer, P, member) items; shared: (member) for all of the population.
typedef struct Array {
    const char* name;
    size_t outer, member, item, bytes;
    bool shared, written;           // written: the op may change it
    unsigned char *before, *after;  // on the host: as sent, as taken back; GUARD bytes more than the items
    void* device;
} Array;

// What a full population wrote, a member at a time, in order.
typedef struct Kept {
    const char* name;
    size_t bytes;
    unsigned char* data;
} Kept;
typedef struct Results {
    int count[MAX_P];
    Kept kept[MAX_P][MAX_KEPT];
} Results;

typedef struct Test {
    const struct Device* device;
    UfBackend* be;
    const Case* c;
    int P, first;  // members [first, first + P) of the case's population
    bool split;    // the backend works on member `only` of them
    int only;
    bool reference;  // compare with the reference and keep the bits; else compare bits with what was kept
    Array arrays[MAX_ARRAYS];
    int num_arrays;
    Results* results;
    int next[MAX_P];  // of the kept results of each member
    const char* variant;
} Test;

#define BEFORE(a) ((real*)(void*)(a)->before)
#define AFTER(a) ((const real*)(const void*)(a)->after)
#define DEV(a) ((real*)(a)->device)
#define F(value) ((double)(value))

static uint64_t seed_of(const Test* t, int p) {
    return 0x123456789ABCu * (uint64_t)(t->c - cases + 1) + (uint64_t)(t->first + p);
}

static void explain(const Test* t, const char* sentence) {
    fail_msg("%s %s %s %d thread(s), case %d %s, members %d..%d, seed of member 0 %llu: %s", t->device->name,
             t->device->precision, t->device->passes, t->device->threads, (int)(t->c - cases),
             t->variant ? t->variant : "", t->first, t->first + t->P - 1, (unsigned long long)seed_of(t, 0),
             sentence);
}

#define expect(t, what, i, got, want, bound) \
    expect_near((t), (what), (size_t)(i), (double)(got), (want), (bound))
static void expect_near(const Test* t, const char* what, size_t i, double got, double want, double bound) {
    if (fabs(got - want) <= bound) return;  // NaN is never near
    char sentence[200];
    snprintf(sentence, sizeof sentence, "%s[%zu] = %.9g, expected %.9g, off by %.3g (allowed %.3g)", what, i,
             got, want, fabs(got - want), bound);
    explain(t, sentence);
}

static bool untouched(real value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits == UNWRITTEN;
}

static void expect_untouched(const Test* t, const char* what, size_t i, real value) {
    if (!untouched(value)) expect_near(t, what, i, value, NAN, 0);
}

static void* must(void* memory) {
    assert_non_null(memory);
    return memory;
}

static Array* new_array(Test* t, const char* name, size_t outer, size_t member, size_t item, bool shared,
                        bool written) {
    assert_true(t->num_arrays < MAX_ARRAYS);
    Array* a = &t->arrays[t->num_arrays++];
    *a = (Array){
        .name = name, .outer = outer, .member = member, .item = item, .shared = shared, .written = written};
    a->bytes = outer * (shared ? 1 : t->P) * member * item;
    a->before = must(malloc(a->bytes + GUARD));
    a->after = must(malloc(a->bytes + GUARD));
    for (size_t k = 0; k + sizeof UNWRITTEN <= a->bytes + GUARD; k += sizeof UNWRITTEN)
        memcpy(a->before + k, &UNWRITTEN, sizeof UNWRITTEN);
    assert_int_equal(t->be->reserve(t->be, &a->device, a->bytes + GUARD, name), UF_OK);
    return a;
}

// What the op writes: `member` reals for each member.
static Array* output(Test* t, const char* name, size_t member) {
    return new_array(t, name, 1, member, sizeof(real), false, true);
}

// A generator for one member's part of an array.
static UfRandom random_of(const Test* t, int p, int outer) {
    return uf_random(seed_of(t, p), (uint32_t)(t->num_arrays % 50), (uint64_t)outer);
}

// Normal numbers: shift + scale * n. A member's numbers do not depend on who else is there.
static Array* normals_outer(Test* t, const char* name, size_t outer, size_t member, double scale,
                            double shift) {
    Array* a = new_array(t, name, outer, member, sizeof(real), false, false);
    for (size_t o = 0; o < outer; o++)
        for (int p = 0; p < t->P; p++) {
            UfRandom r = random_of(t, p, (int)o);
            real* x = BEFORE(a) + (o * t->P + p) * member;
            for (size_t i = 0; i < member; i++) x[i] = (real)(shift + scale * uf_random_normal(&r));
        }
    return a;
}
static Array* normals(Test* t, const char* name, size_t member, double scale, double shift) {
    return normals_outer(t, name, 1, member, scale, shift);
}

// Normal numbers in rows [b * total + first, + rows) and columns [0, columns) of blocks (total, ld); the rest
// stays NaN.
static Array* padded(Test* t, const char* name, int blocks, int total, int ld, int first, int rows,
                     int columns) {
    Array* a = new_array(t, name, 1, blocks * total * ld, sizeof(real), false, false);
    for (int p = 0; p < t->P; p++) {
        UfRandom r = random_of(t, p, 0);
        for (int k = 0; k < blocks; k++)
            for (int row = first; row < first + rows; row++) {
                real* x = BEFORE(a) + p * a->member + (k * total + row) * ld;
                for (int i = 0; i < columns; i++) x[i] = uf_random_normal(&r);
            }
    }
    return a;
}

static void send(Test* t) {
    for (Array* a = t->arrays; a < t->arrays + t->num_arrays; a++)
        t->be->upload(t->be, a->device, a->before, a->bytes + GUARD);
}

// One member's part of a written array: kept, or compared with what was kept.
static void keep(Test* t, const Array* a, int p) {
    const int member = t->first + p, at = t->next[member]++;
    const size_t part = a->member * a->item;
    assert_true(at < MAX_KEPT && member < MAX_P);
    Kept* k = &t->results->kept[member][at];
    if (t->reference) {
        *k = (Kept){a->name, a->outer * part, must(malloc(a->outer * part + 1))};
        t->results->count[member] = at + 1;
    }
    assert_true(at < t->results->count[member]);
    assert_string_equal(k->name, a->name);
    assert_int_equal(k->bytes, a->outer * part);
    for (size_t o = 0; o < a->outer; o++) {
        const unsigned char* now = a->after + (o * t->P + p) * part;
        unsigned char* then = k->data + o * part;
        if (t->reference) memcpy(then, now, part);
        for (size_t i = 0; memcmp(then, now, part) != 0 && i < a->member; i++)
            if (memcmp(then + i * a->item, now + i * a->item, a->item) != 0) {
                char sentence[160];
                real was = NAN, is = NAN;  // unless the items are numbers
                if (a->item == sizeof(real)) memcpy(&was, then + i * a->item, sizeof was);
                if (a->item == sizeof(real)) memcpy(&is, now + i * a->item, sizeof is);
                snprintf(sentence, sizeof sentence, "%s[%zu] of member %d is %.9g, in the first run %.9g",
                         a->name, o * a->member + i, member, F(is), F(was));
                explain(t, sentence);
            }
    }
}

// What another member owns.
static void expect_unchanged(const Test* t, const Array* a, int p) {
    const size_t part = a->member * a->item;
    for (size_t o = 0; o < a->outer; o++) {
        const size_t at = (o * t->P + p) * part;
        char sentence[120];
        if (memcmp(a->before + at, a->after + at, part) == 0) continue;
        snprintf(sentence, sizeof sentence, "working on member %d changed %s of member %d", t->only, a->name,
                 p);
        explain(t, sentence);
    }
}

static void receive(Test* t) {
    for (Array* a = t->arrays; a < t->arrays + t->num_arrays; a++) {
        t->be->download(t->be, a->after, a->device, a->bytes + GUARD);
        assert_int_equal(t->be->sync(t->be), UF_OK);
        const size_t from = a->written ? a->bytes : 0;
        if (memcmp(a->after + from, a->before + from, a->bytes + GUARD - from) != 0) {
            char sentence[100];
            snprintf(sentence, sizeof sentence, "%s %s",
                     a->written ? "written behind the end of" : "changed its input", a->name);
            explain(t, sentence);
        }
        for (int p = 0; a->written && p < t->P; p++) {
            if (!t->split || p == t->only)
                keep(t, a, p);
            else
                expect_unchanged(t, a, p);
        }
    }
}

static void clear(Test* t) {
    for (Array* a = t->arrays; a < t->arrays + t->num_arrays; a++) {
        t->be->release(t->be, a->device);
        free(a->before);
        free(a->after);
    }
    t->num_arrays = 0;
    t->variant = NULL;
}

typedef void Op(Test* t);

// Those that give other bits than others of one precision.
static int kernels_of(const struct Device* device) {
    return strcmp(device->passes, LAYERS) == 0 ? 1 : strstr(device->passes, GROUPS) ? 2 : 0;
}

// What an op is tested on: each kind takes those before it along. Products: in every precision, by every kind of pass that
// makes them; those of warpgroups make first-order passes of ReLU alone.
enum Kinds { IN_FP32, IN_EVERY_PRECISION, BY_EVERY_PASS, BY_WARPGROUPS_TOO };
static enum Kinds kind_of(const struct Device* device) {
    return kernels_of(device) == 2 ? BY_WARPGROUPS_TOO
           : *device->passes       ? BY_EVERY_PASS
           : device->rounding != 0 ? IN_EVERY_PRECISION
                                   : IN_FP32;
}

// Whether passes are of the kernels that take a network whole. cuBLAS may cut a product in another way when there are more
// of them, or when it is made anew; those may not.
static bool is_whole(const struct Device* device, const Case* c) {
    return strcmp(device->name, "cuda") == 0 && strcmp(device->passes, LAYERS) != 0 && c->width <= 256 &&
           c->width % 4 == 0;
}
static bool is_exact(const Test* t) { return t->device->rounding == 0 || is_whole(t->device, t->c); }

// Every backend with the whole population, then each member alone, then each as one of all.
static void run_case(const Case* c, Op* op, enum Kinds kinds) {
    Results* results = must(calloc(1, sizeof *results));
    const struct Device* last = NULL;
    for (int d = 0; d < NUM_DEVICES; d++) {
        const bool exact = devices[d].rounding == 0;
        if (!devices[d].be || kind_of(&devices[d]) > kinds) continue;
        if (kernels_of(&devices[d]) == 2 && (c->width <= 128 || c->width > 256 || c->width % 4)) continue;
        Test t = {.device = &devices[d], .be = devices[d].be, .c = c, .P = c->P, .results = results};
        t.reference = !last || strcmp(last->name, devices[d].name) != 0 ||
                      strcmp(last->precision, devices[d].precision) != 0 ||
                      kernels_of(last) != kernels_of(&devices[d]);
        last = &devices[d];
        use(&devices[d]);
        for (int p = 0; p < MAX_P && t.reference; p++) {
            for (int k = 0; k < results->count[p]; k++) free(results->kept[p][k].data);
            results->count[p] = 0;  // a device that lacks the op keeps nothing
        }
        op(&t);
        for (int p = 0; p < c->P && c->P > 1 && (exact || is_whole(&devices[d], c)); p++) {
            Test alone = {
                .device = &devices[d], .be = devices[d].be, .c = c, .P = 1, .first = p, .results = results};
            op(&alone);
            if (!devices[d].be->splits) continue;
            UfBackend member = uf_backend_members(devices[d].be, p, 1);
            Test split = {.device = &devices[d],
                          .be = &member,
                          .c = c,
                          .P = c->P,
                          .results = results,
                          .split = true,
                          .only = p};
            op(&split);
        }
    }
    for (int p = 0; p < MAX_P; p++)
        for (int k = 0; k < results->count[p]; k++) free(results->kept[p][k].data);
    free(results);
}

// ---- what terms share ----

// Hyperparameters that differ between members.
static Array* hypers(Test* t) {
    Array* a = new_array(t, "hyper", 1, 1, sizeof(UfHyper), false, false);
    for (int p = 0; p < t->P; p++) {
        UfHyper h;
        real* field = (real*)(void*)&h;
        UfRandom r = random_of(t, p, 0);
        for (size_t i = 0; i < sizeof h / sizeof(real); i++) field[i] = (real)uf_random_uniform(&r, 0.1, 0.9);
        h.log_std_min = (real)uf_random_uniform(&r, -2, -1);
        h.log_std_max = (real)uf_random_uniform(&r, 0.2, 0.6);
        h.awr_temperature = (real)uf_random_uniform(&r, 0.5, 3);
        h.awr_exp_adv_clip = 20;
        h.cql_temperature = (real)pow(10, uf_random_uniform(&r, -1, 1));
        h.lr = (real)uf_random_uniform(&r, 1e-4, 1e-2);
        ((UfHyper*)(void*)a->before)[p] = h;
    }
    return a;
}
#define HYPER(a) ((const UfHyper*)(const void*)(a)->before)
#define HYPER_DEV(a) ((const UfHyper*)(a)->device)

// Running sums that the ops add to.
static Array* new_metrics(Test* t) {
    Array* a = new_array(t, "metrics", 1, UF_NUM_METRICS, sizeof(double), false, true);
    for (int i = 0; i < t->P * UF_NUM_METRICS; i++)
        ((double*)(void*)a->before)[i] = 0.25 * (i % UF_NUM_METRICS);
    return a;
}
#define METRICS_DEV(a) ((double*)(a)->device)

typedef struct Metrics {
    double add[UF_NUM_METRICS], bound[UF_NUM_METRICS];
} Metrics;

// What was to be added; a metric without a bound must not have moved.
static void expect_metrics(const Test* t, const Array* a, int p, const Metrics* m) {
    for (int i = 0; i < UF_NUM_METRICS; i++)
        expect(t, "metrics", p * UF_NUM_METRICS + i,
               ((const double*)(const void*)a->after)[p * UF_NUM_METRICS + i], 0.25 * i + m->add[i],
               m->bound[i]);
}

// Index (p, n, row) into (P, N, rows).
static size_t at3(int p, int N, int n, int rows, int row) { return (p * N + n) * rows + row; }

static double naive_min(const real* q, int p, int N, int total, int b) {
    double low = q[at3(p, N, 0, total, b)];
    for (int n = 1; n < N; n++) low = fmin(low, q[at3(p, N, n, total, b)]);
    return low;
}

// df/dx by four points; h is small against what f varies over, so what is left is its rounding, far below
// float's.
typedef double Function(double x, const void* context);
static double slope(Function* f, double x, double h, const void* context) {
    return (f(x - 2 * h, context) - 8 * f(x - h, context) + 8 * f(x + h, context) - f(x + 2 * h, context)) /
           (12 * h);
}

// ---- networks: layout and reference ----

// As in the agent, but with a gap behind every tensor: gaps are NaN and stay it.
static size_t place(size_t* at, size_t count) {
    const size_t offset = *at;
    *at += (count / 16 + 1) * 16;
    return offset;
}

static int activation;  // of every network here
static UfMlp shape_of(const Case* c, int out) {
    UfMlp m = {.in = c->in,
               .width = c->width,
               .layers = c->layers,
               .out = out,
               .layer_norm = c->layer_norm,
               .activation = activation};
    const size_t in = c->in, width = c->width;
    size_t at = 0;
    for (int l = 0; l < m.layers; l++) {
        m.kernel[l] = place(&at, (l ? width : in) * width);
        m.bias[l] = place(&at, width);
        if (m.layer_norm) m.scale[l] = place(&at, width);
        if (m.layer_norm) m.shift[l] = place(&at, width);
    }
    m.kernel[m.layers] = place(&at, width * out);
    m.bias[m.layers] = place(&at, out);
    m.log_std = place(&at, out);
    m.size = (at + 63) / 64 * 64;
    return m;
}

typedef struct Tensor {
    size_t offset, count;
    double scale, shift;  // of its random values
} Tensor;

static int tensors_of(const UfMlp* m, Tensor out[4 * MAX_LAYERS + 2]) {
    const size_t first_in = m->in, width = m->width;
    int count = 0;
    for (int l = 0; l < m->layers; l++) {
        const size_t in = l ? width : first_in;
        out[count++] = (Tensor){m->kernel[l], in * width, 1 / sqrt((double)in), 0};
        out[count++] = (Tensor){m->bias[l], width, 0.3, 0.1};
        if (m->layer_norm) out[count++] = (Tensor){m->scale[l], width, 0.2, 1};
        if (m->layer_norm) out[count++] = (Tensor){m->shift[l], width, 0.2, 0};
    }
    out[count++] = (Tensor){m->kernel[m->layers], width * m->out, 1 / sqrt((double)width), 0};
    out[count++] = (Tensor){m->bias[m->layers], m->out, 0.3, 0.1};
    return count;
}

static Array* parameters(Test* t, const UfMlp* m) {
    Array* a = new_array(t, "params", 1, t->c->N * m->size, sizeof(real), false, false);
    Tensor tensors[4 * MAX_LAYERS + 2];
    const int count = tensors_of(m, tensors);
    for (int p = 0; p < t->P; p++) {
        UfRandom r = random_of(t, p, 0);
        for (int n = 0; n < t->c->used; n++)
            for (const Tensor* k = tensors; k < tensors + count; k++) {
                real* x = BEFORE(a) + (p * t->c->N + n) * m->size + k->offset;
                for (size_t i = 0; i < k->count; i++)
                    x[i] = (real)(k->shift + k->scale * uf_random_normal(&r));
            }
    }
    return a;
}

typedef struct TapeArrays {
    Array *r[MAX_LAYERS], *stats[MAX_LAYERS];
    UfTape tape;
} TapeArrays;

static TapeArrays new_tape(Test* t, const UfMlp* m, int total) {
    TapeArrays a = {0};
    const size_t rows = t->c->used * total;
    for (int l = 0; l < m->layers; l++) {
        a.r[l] = output(t, "tape r", rows * m->width);
        if (m->layer_norm) a.stats[l] = output(t, "tape stats", rows * 2);
        a.tape.r[l] = DEV(a.r[l]);
        a.tape.stats[l] = m->layer_norm ? DEV(a.stats[l]) : NULL;
    }
    return a;
}

// One row through one network in double. The signs of ReLU come from outside (the tape), so that what the
// reference differentiates is smooth and takes the same side as the op where a unit is within rounding of 0.
typedef struct Row {
    bool live[MAX_LAYERS][MAX_WIDTH];
    double a[MAX_LAYERS][MAX_WIDTH];  // after the activation
    double xhat[MAX_LAYERS][MAX_WIDTH], h[MAX_LAYERS][MAX_WIDTH], inv_std[MAX_LAYERS], out[MAX_OUT];
} Row;

static void naive_forward(const UfMlp* m, const real* w, const double* x, Row* row) {
    for (int l = 0; l <= m->layers; l++) {
        const int in = l ? m->width : m->in, out = l < m->layers ? m->width : m->out;
        double* y = l < m->layers ? row->h[l] : row->out;
        for (int j = 0; j < out; j++) y[j] = w[m->bias[l] + j];
        for (int i = 0; i < in; i++)
            for (int j = 0; j < out; j++) y[j] += x[i] * F(w[m->kernel[l] + (i * out + j)]);
        if (l == m->layers) return;
        double mean = 0, variance = 0;
        for (int j = 0; j < out; j++) {
            y[j] = row->a[l][j] = m->activation == UF_TANH ? tanh(y[j]) : row->live[l][j] ? y[j] : 0;
            mean += y[j] / out;
        }
        for (int j = 0; j < out; j++) variance += (y[j] - mean) * (y[j] - mean) / out;
        row->inv_std[l] = 1 / sqrt(variance + 1e-6);
        for (int j = 0; j < out && m->layer_norm; j++) {
            row->xhat[l][j] = (y[j] - mean) * row->inv_std[l];
            y[j] = row->xhat[l][j] * F(w[m->scale[l] + j]) + F(w[m->shift[l] + j]);
        }
        x = row->h[l];
    }
}

// Adds the gradient of <seed, out> to grads (size) and writes that with respect to x to dx (in).
static void naive_backward(const UfMlp* m, const real* w, const double* x, const Row* row, const double* seed,
                           double* grads, double* dx) {
    double d[MAX_WIDTH], next[MAX_WIDTH];
    for (int j = 0; j < m->out; j++) d[j] = seed[j];
    for (int l = m->layers; l >= 0; l--) {
        const int in = l ? m->width : m->in, out = l < m->layers ? m->width : m->out;
        const double* input = l ? row->h[l - 1] : x;
        if (l < m->layers) {
            double s1 = 0, s2 = 0;
            for (int j = 0; j < out && m->layer_norm; j++) {
                grads[m->scale[l] + j] += d[j] * row->xhat[l][j];
                grads[m->shift[l] + j] += d[j];
                d[j] *= F(w[m->scale[l] + j]);
                s1 += d[j] / out;
                s2 += d[j] * row->xhat[l][j] / out;
            }
            for (int j = 0; j < out; j++) {
                if (m->layer_norm) d[j] = row->inv_std[l] * (d[j] - s1 - row->xhat[l][j] * s2);
                if (m->activation == UF_TANH)
                    d[j] *= 1 - row->a[l][j] * row->a[l][j];
                else if (!row->live[l][j])
                    d[j] = 0;
            }
        }
        for (int j = 0; j < out; j++) grads[m->bias[l] + j] += d[j];
        for (int i = 0; i < in; i++) {
            next[i] = 0;
            for (int j = 0; j < out; j++) {
                grads[m->kernel[l] + (i * out + j)] += input[i] * d[j];
                next[i] += d[j] * F(w[m->kernel[l] + (i * out + j)]);
            }
        }
        memcpy(l ? d : dx, next, in * sizeof(double));
    }
}

static void take_signs(Row* row, const TapeArrays* tape, const UfMlp* m, size_t tape_row) {
    for (int l = 0; l < m->layers; l++)
        for (int j = 0; j < m->width; j++) row->live[l][j] = AFTER(tape->r[l])[tape_row * m->width + j] > 0;
}

// ---- forward ----

// One row of a recorded forward pass, a layer at a time from the numbers it recorded itself: errors do not
// pile up. LayerNorm's output is not recorded: it follows from r and its statistics, with a few roundings of
// the terms it is the difference of (`size`).
static void check_forward_row(const Test* t, const UfMlp* m, const real* w, const real* x,
                              const TapeArrays* tape, const real* out, size_t row) {
    const int width = m->width, longest = width > m->in ? width : m->in;
    double *value = test_malloc(longest * sizeof(double)), *size = test_malloc(longest * sizeof(double));
    for (int i = 0; i < m->in; i++) {
        value[i] = x[i];
        size[i] = fabs(F(x[i]));
    }
    for (int l = 0; l <= m->layers; l++) {
        const int in = l ? width : m->in, count = l < m->layers ? width : m->out;
        const real* r = l < m->layers ? AFTER(tape->r[l]) + row * width : out + row * m->out;
        for (int j = 0; j < count; j++) {
            const double bias = w[m->bias[l] + j];
            double z = bias, sum = fabs(bias);
            for (int i = 0; i < in; i++) {
                const double weight = w[m->kernel[l] + (i * count + j)];
                z += value[i] * weight;
                sum += size[i] * fabs(weight);
            }
            const bool hidden = l < m->layers, squashed = hidden && m->activation == UF_TANH;
            if (squashed) z = tanh(z);
            if (hidden && !squashed && z < 0) z = 0;
            // uf_tanh is off by 4e-7 at most, and no steeper than 1.
            expect(t, hidden ? "r" : "out", (int)row * count + j, r[j], z,
                   ((in + 6) * U + t->device->rounding) * sum + (squashed ? 4e-7 : 0));
        }
        if (l == m->layers) break;
        double mean = 0, variance = 0;
        const real* stats = NULL;
        if (m->layer_norm) {
            double mean_size = 0;
            for (int j = 0; j < width; j++) mean += F(r[j]) / width;
            for (int j = 0; j < width; j++) mean_size += fabs(F(r[j])) / width;
            for (int j = 0; j < width; j++) variance += (r[j] - mean) * (r[j] - mean) / width;
            const double inv_std = 1 / sqrt(variance + UF_LAYER_NORM_EPS), rounding = (width + 8) * U;
            stats = AFTER(tape->stats[l]) + 2 * row;
            expect(t, "mean", row, stats[0], mean, rounding * mean_size);
            expect(t, "1/std", row, stats[1], inv_std, rounding * inv_std);
        }
        for (int j = 0; j < width; j++) {
            value[j] = r[j];
            size[j] = fabs(F(r[j]));
            if (!stats) continue;
            const double scale = w[m->scale[l] + j], shift = w[m->shift[l] + j];
            value[j] = (r[j] - F(stats[0])) * F(stats[1]) * scale + shift;
            size[j] = (fabs(F(r[j])) + fabs(F(stats[0]))) * F(stats[1]) * fabs(scale) + fabs(shift);
        }
    }
    test_free(value);
    test_free(size);
}

static void announce(Test* t, const UfMlp* m, Array* params, bool there) {
    if (!t->be->announce) return;
    assert_int_equal(t->be->announce(t->be, m, there ? t->P * t->c->N : 0, DEV(params)), UF_OK);
}

static void op_mlp_forward(Test* t) {
    const Case* c = t->c;
    const UfMlp m = shape_of(c, c->out);
    const int total = c->before + c->rows + c->after, ld = c->in + c->pad;
    Array* params = parameters(t, &m);
    Array* x = padded(t, "x", 1, total, ld, c->before, c->rows, c->in);
    Array* out = output(t, "out", c->used * total * c->out);
    Array* plain = output(t, "out without tape", c->used * total * c->out);
    const TapeArrays tape = new_tape(t, &m, total);
    const UfNets nets = {&m, t->P, c->N, c->used, DEV(params), false};
    const UfInput input = {DEV(x), ld, total};
    const UfRows rows = {c->before, c->rows, total};
    assert_int_equal(t->be->plan(t->be, &m, t->P, c->N, c->rows), UF_OK);
    send(t);
    announce(t, &m, params, true);
    t->be->mlp_forward(t->be, &nets, DEV(out), &tape.tape, input, rows);
    t->be->mlp_forward(t->be, &nets, DEV(plain), NULL, input, rows);
    receive(t);
    if (is_exact(t)) assert_memory_equal(out->after, plain->after, out->bytes);
    for (int p = 0; p < t->P && t->reference; p++)
        for (int n = 0; n < c->used; n++) {
            const real* w = BEFORE(params) + (p * c->N + n) * m.size;
            const size_t first = at3(p, c->used, n, total, 0);
            for (int b = 0; b < total; b++) {
                const size_t row = first + b;
                if (b >= c->before && b < c->before + c->rows) {
                    check_forward_row(t, &m, w, BEFORE(x) + (p * total + b) * ld, &tape, AFTER(out), row);
                    continue;
                }
                for (int j = 0; j < c->out; j++)
                    expect_untouched(t, "out", row, AFTER(out)[row * c->out + j]);
                for (int l = 0; l < c->layers; l++)
                    for (int j = 0; j < c->width; j++)
                        expect_untouched(t, "r", row, AFTER(tape.r[l])[row * c->width + j]);
            }
        }
    announce(t, &m, params, false);
    clear(t);
}

// A policy's pass on the host. Without LayerNorm small whole numbers make every sum exact, in any order; with
// it (the code of the backend's pass but for the products) a row still has to be the same alone.
static void op_mlp_forward_host(Test* t) {
    const Case* c = t->c;
    const UfMlp m = shape_of(c, c->out);
    const int rows = c->rows < 9 ? c->rows : 9, ld = c->in + c->pad, width = m.width;
    Array* params = parameters(t, &m);
    Array* x = padded(t, "x", 1, rows, ld, 0, rows, c->in);
    real *w = BEFORE(params), *in = BEFORE(x);
    const bool exact = !m.layer_norm && m.activation == UF_RELU;
    if (exact) {
        for (size_t i = 0; i < m.size; i++) w[i] = (real)((int)(i * 7919 % 5) - 2);
        for (int i = 0; i < rows * ld; i++) in[i] = (real)(i % 7 - 3);
    }
    real* scratch = test_malloc(2 * rows * width * sizeof(real));
    real* out = test_malloc((rows * m.out + 1) * sizeof(real));
    real* alone = test_malloc(m.out * sizeof(real));
    out[rows * m.out] = 12345;
    uf_mlp_forward_host(&m, w, out, in, ld, rows, scratch);
    assert_true(out[rows * m.out] == 12345);
    for (int b = 0; b < rows; b++) {
        uf_mlp_forward_host(&m, w, alone, in + b * ld, ld, 1, scratch);
        assert_memory_equal(alone, out + b * m.out, m.out * sizeof(real));
        if (!exact) continue;
        double *value = test_malloc((width > m.in ? width : m.in) * sizeof(double)), *next;
        for (int i = 0; i < m.in; i++) value[i] = F(in[b * ld + i]);
        for (int l = 0; l <= m.layers; l++) {
            const int k = l ? width : m.in, n = l < m.layers ? width : m.out;
            next = test_malloc((n > width ? n : width) * sizeof(double));
            for (int j = 0; j < n; j++) {
                double z = F(w[m.bias[l] + j]);
                for (int i = 0; i < k; i++) z += value[i] * F(w[m.kernel[l] + (i * n + j)]);
                next[j] = l < m.layers && z < 0 ? 0 : z;
                assert_true(fabs(z) < 1 << 24);  // exact in float too
            }
            test_free(value);
            value = next;
        }
        for (int j = 0; j < m.out; j++)
            expect(t, "out on the host", b * m.out + j, out[b * m.out + j], value[j], 0);
        test_free(value);
    }
    test_free(scratch);
    test_free(out);
    test_free(alone);
    clear(t);
}

// A NaN in one input row reaches every output of that row and no other; a NaN in a bias reaches every row.
static void op_nan(Test* t) {
    const Case* c = t->c;
    const UfMlp m = shape_of(c, c->out);
    for (int kind = 0; kind < 2; kind++) {
        Array* params = parameters(t, &m);
        Array* x = padded(t, "x", 1, c->rows, c->in, 0, c->rows, c->in);
        Array* out = output(t, "out", c->used * c->rows * c->out);
        const int bad = c->rows / 2;
        for (int p = 0; p < t->P; p++) {
            if (kind == 0) BEFORE(x)[(p * c->rows + bad) * c->in + c->in - 1] = NAN;
            for (int n = 0; n < c->used && kind == 1; n++)
                BEFORE(params)[(p * c->N + n) * m.size + m.bias[0] + (c->width - 1)] = NAN;
        }
        const UfNets nets = {&m, t->P, c->N, c->used, DEV(params), false};
        assert_int_equal(t->be->plan(t->be, &m, t->P, c->N, c->rows), UF_OK);
        send(t);
        t->be->mlp_forward(t->be, &nets, DEV(out), NULL, (UfInput){DEV(x), c->in, c->rows},
                           (UfRows){0, c->rows, c->rows});
        receive(t);
        for (int k = 0; k < t->P * c->used * c->rows * c->out && t->reference; k++)
            if (isnan(AFTER(out)[k]) != (kind == 1 || k / c->out % c->rows == bad))
                expect_near(t, kind ? "out of a NaN bias" : "out of a NaN input", k, AFTER(out)[k], NAN, 0);
        clear(t);
    }
}

// ---- backward ----

// Sums over rows of what one network's gradient should be, and of its absolute parts.
typedef struct Expected {
    double *sum, *size, *row;
} Expected;

static Expected new_expected(size_t count) {
    return (Expected){must(calloc(count, sizeof(double))), must(calloc(count, sizeof(double))),
                      must(calloc(count, sizeof(double)))};
}

static void add_row(Expected* e, size_t count) {
    for (size_t i = 0; i < count; i++) {
        e->sum[i] += e->row[i];
        e->size[i] += fabs(e->row[i]);
    }
    memset(e->row, 0, count * sizeof(double));
}

static void free_expected(Expected* e) {
    free(e->sum);
    free(e->size);
    free(e->row);
}

// Rounding of a pass up and down L layers, relative to a tensor's largest sum of absolute row parts: each
// layer is a sum of at most `width` products and the sums of LayerNorm, whose roundings add like sqrt(terms)
// u and are handed on to the next layer; 4 for the two directions and LayerNorm's 1/std. Sums over rows are
// of independent errors. LayerNorm over few units cancels nearly everything (what is left is of the order of
// eps / variance): there the measure is the whole network's largest sum, times 8 for what 1/std makes of the
// difference. The rounding of tensor cores' operands is each product's own: it does not grow with their number.
static double pass_rounding(const Test* t, const UfMlp* m) {
    return 4 * (m->layers + 1) * (sqrt(m->width + 8) * U + t->device->rounding);
}
static bool cancels(const UfMlp* m) { return m->layer_norm && m->width < 16; }

static void check_gradient(const Test* t, const UfMlp* m, const Array* grads, int p, int n,
                           const Expected* e) {
    const Case* c = t->c;
    const size_t stride = c->N * m->size, at = p * stride + n * m->size;
    Tensor tensors[4 * MAX_LAYERS + 2];
    const int count = tensors_of(m, tensors);
    double largest[4 * MAX_LAYERS + 2] = {0}, overall = 0;
    size_t next = 0;
    for (int k = 0; k < count; k++) {
        for (size_t i = 0; i < tensors[k].count; i++)
            largest[k] = fmax(largest[k], e->size[tensors[k].offset + i]);
        overall = fmax(overall, largest[k]);
    }
    for (int k = 0; k < count; k++) {
        const double size = cancels(m) ? 8 * overall : largest[k];
        for (size_t i = 0; i < tensors[k].count; i++) {
            double sum = 0;
            for (size_t block = 0; block < grads->outer; block++)
                sum += AFTER(grads)[block * t->P * stride + at + tensors[k].offset + i];
            expect(t, "gradient", tensors[k].offset + i, sum, e->sum[tensors[k].offset + i],
                   pass_rounding(t, m) * size);
        }
    }
    for (int k = 0; k <= count; k++) {  // between the tensors
        const size_t end = k < count ? tensors[k].offset : m->size;
        for (size_t block = 0; block < grads->outer; block++)
            for (size_t i = next; i < end; i++)
                expect_untouched(t, "gap of gradient", i, AFTER(grads)[block * t->P * stride + at + i]);
        if (k < count) next = tensors[k].offset + tensors[k].count;
    }
}

static Array* gradients(Test* t, const char* name, const UfMlp* m, int total) {
    return new_array(t, name, uf_num_blocks(total, t->c->N), t->c->N * m->size, sizeof(real), false, true);
}

// Forward in two parts, as the data rows and the others of a critic pass, so that the backward pass finds its
// rows of both.
static void forward_in_parts(Test* t, const UfNets* nets, real* out, const UfTape* tape, UfInput input) {
    const int part = input.total / 4;
    assert_int_equal(t->be->plan(t->be, nets->mlp, t->P, nets->N, input.total), UF_OK);
    if (part) t->be->mlp_forward(t->be, nets, out, tape, input, (UfRows){0, part, input.total});
    t->be->mlp_forward(t->be, nets, out, tape, input, (UfRows){part, input.total - part, input.total});
}

static void op_mlp_backward(Test* t) {
    const Case* c = t->c;
    const UfMlp m = shape_of(c, c->out);
    const int total = c->rows, ld = c->in + c->pad, dx_first = c->in / 3,
              dx_count = c->in - dx_first > 3 ? 3 : c->in - dx_first;
    Array* params = parameters(t, &m);
    Array* x = padded(t, "x", 1, total, ld, 0, total, c->in);
    Array* dout = normals(t, "dout", c->used * total * c->out, 1, 0);
    Array* out = output(t, "out", c->used * total * c->out);
    const TapeArrays tape = new_tape(t, &m, total);
    Array* grads = gradients(t, "grads", &m, total);
    Array* grads_only = gradients(t, "grads without dx", &m, total);
    const size_t dx_size = (c->used * total * dx_count);
    Array *dx = output(t, "dx", dx_size), *dx_only = output(t, "dx without grads", dx_size);
    const UfNets nets = {&m, t->P, c->N, c->used, DEV(params), false};
    const UfInput input = {DEV(x), ld, total};
    send(t);
    announce(t, &m, params, true);
    forward_in_parts(t, &nets, DEV(out), &tape.tape, input);
    t->be->mlp_backward(t->be, &nets, DEV(grads), DEV(dx), dx_first, dx_count, &tape.tape, input, DEV(dout),
                        total);
    t->be->mlp_backward(t->be, &nets, DEV(grads_only), NULL, 0, 0, &tape.tape, input, DEV(dout), total);
    t->be->mlp_backward(t->be, &nets, NULL, DEV(dx_only), dx_first, dx_count, &tape.tape, input, DEV(dout),
                        total);
    receive(t);
    if (is_exact(t)) assert_memory_equal(grads->after, grads_only->after, grads->bytes);
    if (is_exact(t)) assert_memory_equal(dx->after, dx_only->after, dx->bytes);
    Expected e = new_expected(m.size);
    double* expected_dx = must(calloc(total * c->in, sizeof(double)));
    for (int p = 0; p < t->P && t->reference; p++)
        for (int n = 0; n < c->N; n++) {
            const real* w = BEFORE(params) + (p * c->N + n) * m.size;
            double largest = 0;
            memset(e.sum, 0, m.size * sizeof(double));
            memset(e.size, 0, m.size * sizeof(double));
            for (size_t i = 0; i < m.size && n >= c->used; i++)
                expect_untouched(t, "gradient of an unused network", i,
                                 AFTER(grads)[(p * c->N + n) * m.size + i]);
            if (n >= c->used) continue;
            for (int b = 0; b < total; b++) {
                static Row row;
                double input_row[64], seed[MAX_OUT];
                const size_t at = at3(p, c->used, n, total, b);
                for (int i = 0; i < c->in; i++) input_row[i] = BEFORE(x)[(p * total + b) * ld + i];
                for (int j = 0; j < c->out; j++) seed[j] = BEFORE(dout)[at * c->out + j];
                take_signs(&row, &tape, &m, at);
                naive_forward(&m, w, input_row, &row);
                naive_backward(&m, w, input_row, &row, seed, e.row, expected_dx + b * c->in);
                add_row(&e, m.size);
                for (int i = 0; i < c->in; i++) largest = fmax(largest, fabs(expected_dx[b * c->in + i]));
            }
            for (size_t i = 0; i < m.size && cancels(&m); i++) largest = fmax(largest, 8 * e.size[i]);
            check_gradient(t, &m, grads, p, n, &e);
            for (int k = 0; k < total * dx_count; k++)
                expect(t, "dx", k, AFTER(dx)[at3(p, c->used, n, total * dx_count, k)],
                       expected_dx[k / dx_count * c->in + dx_first + k % dx_count],
                       pass_rounding(t, &m) * largest);
        }
    free(expected_dx);
    free_expected(&e);
    announce(t, &m, params, false);
    clear(t);
}

// The passes with tanh in place of ReLU.
static void with_tanh(Test* t, Op* op) {
    activation = UF_TANH;
    op(t);
    activation = UF_RELU;
}
static void op_mlp_forward_tanh(Test* t) { with_tanh(t, op_mlp_forward); }
static void op_mlp_backward_tanh(Test* t) { with_tanh(t, op_mlp_backward); }
static void op_mlp_forward_host_tanh(Test* t) { with_tanh(t, op_mlp_forward_host); }
static void op_nan_tanh(Test* t) { with_tanh(t, op_nan); }

// ---- second order ----

typedef struct SecondOrder {
    const UfMlp* m;
    real* w;  // a copy of one network; the parameter that moves is *moving
    double* scratch;
    const TapeArrays* tape;
    const real *x, *tangent, *dout;
    int ld, first, count, rows;
    size_t tape_row;
} SecondOrder;

// The function itself: sum over rows of dout * out + <tangent, d out / d x>.
static double second_order_value(const SecondOrder* s) {
    double value = 0;
    for (int b = 0; b < s->rows; b++) {
        static Row row;
        double x[64], dx[64];
        const double one = 1;
        for (int i = 0; i < s->m->in; i++) x[i] = s->x[b * s->ld + i];
        take_signs(&row, s->tape, s->m, s->tape_row + b);
        naive_forward(s->m, s->w, x, &row);
        naive_backward(s->m, s->w, x, &row, &one, s->scratch, dx);
        value += F(s->dout[b]) * row.out[0];
        for (int i = 0; i < s->count; i++) value += F(s->tangent[b * s->count + i]) * dx[s->first + i];
    }
    return value;
}

// Its gradient: that of <tangent, dQ/dx> is the derivative of Q's own gradient as x moves along the tangent.
// Steps of 1e-5 keep the four-point rule's error (h^4 over the fourth power of LayerNorm's smallest std,
// 1e-3) and its rounding near 1e-9.
static void second_order_gradient(const SecondOrder* s, Expected* e) {
    const double h = 1e-5, steps[5] = {0, -2, -1, 1, 2}, weights[5] = {0, 1, -8, 8, -1};
    for (int b = 0; b < s->rows; b++) {
        static Row row;
        double x[64], dx[64];
        take_signs(&row, s->tape, s->m, s->tape_row + b);
        for (int k = 0; k < 5; k++) {
            const double seed = k ? weights[k] / (12 * h) : F(s->dout[b]);
            for (int i = 0; i < s->m->in; i++) x[i] = s->x[b * s->ld + i];
            for (int i = 0; i < s->count; i++)
                x[s->first + i] += steps[k] * h * F(s->tangent[b * s->count + i]);
            naive_forward(s->m, s->w, x, &row);
            naive_backward(s->m, s->w, x, &row, &seed, e->row, dx);
        }
        add_row(e, s->m->size);
    }
}

static void op_mlp_backward_backward(Test* t) {
    const Case* c = t->c;
    const UfMlp m = shape_of(c, 1);
    const int total = c->rows, ld = c->in + c->pad, first = c->in / 3,
              count = c->in - first > 6 ? 6 : c->in - first;
    Array* params = parameters(t, &m);
    Array* x = padded(t, "x", 1, total, ld, 0, total, c->in);
    Array* dout = normals(t, "dout", c->used * total, 1, 0);
    Array* tangent = normals(t, "tangent", c->used * total * count, 1, 0);
    Array* out = output(t, "out", c->used * total);
    const TapeArrays tape = new_tape(t, &m, total);
    Array* grads = gradients(t, "grads", &m, total);
    const UfNets nets = {&m, t->P, c->N, c->used, DEV(params), false};
    const UfInput input = {DEV(x), ld, total};
    send(t);
    forward_in_parts(t, &nets, DEV(out), &tape.tape, input);
    t->be->mlp_backward_backward(t->be, &nets, DEV(grads), &tape.tape, input, DEV(tangent), first, count,
                                 DEV(dout), total);
    receive(t);
    Expected e = new_expected(m.size);
    real* w = must(malloc(m.size * sizeof(real)));
    double* scratch = must(calloc(m.size, sizeof(double)));
    Tensor tensors[4 * MAX_LAYERS + 2];
    const int num_tensors = tensors_of(&m, tensors);
    for (int p = 0; p < t->P && t->reference; p++)
        for (int n = 0; n < c->used; n++) {
            const size_t row = at3(p, c->used, n, total, 0);
            const SecondOrder s = {&m,
                                   w,
                                   scratch,
                                   &tape,
                                   BEFORE(x) + p * total * ld,
                                   BEFORE(tangent) + row * count,
                                   BEFORE(dout) + row,
                                   ld,
                                   first,
                                   count,
                                   total,
                                   row};
            memcpy(w, BEFORE(params) + (p * c->N + n) * m.size, m.size * sizeof(real));
            memset(e.sum, 0, m.size * sizeof(double));
            memset(e.size, 0, m.size * sizeof(double));
            second_order_gradient(&s, &e);
            check_gradient(t, &m, grads, p, n, &e);
            // And the reference against differences of the function, in one number of each tensor. Parameters
            // are float here, so the step is whatever is left after rounding; two points: h^2 times third
            // derivatives (1/std to the third) over value.
            for (int k = 0; k < num_tensors && p == 0 && n == 0 && c->width >= 16 && c->width < 100; k++) {
                const size_t at = tensors[k].offset + (7 * k) % tensors[k].count;
                const real middle = w[at], step = (real)0x1p-12;
                w[at] = middle + step;
                const double up = second_order_value(&s), high = w[at];
                w[at] = middle - step;
                const double down = second_order_value(&s), low = w[at];
                w[at] = middle;
                expect(t, "reference of gradient", at, e.sum[at], (up - down) / (high - low),
                       1e-5 * e.size[at] + 1e-5);
            }
        }
    free(w);
    free(scratch);
    free_expected(&e);
    clear(t);
}

static void test_blocks(void** state) {
    (void)state;
    for (int networks = 1; networks < 20; networks++)
        for (int rows = 1; rows < 3000; rows++) {
            const int block = uf_block_rows(rows, networks), blocks = uf_num_blocks(rows, networks);
            if (block < 1 || block > 512 || blocks * block < rows || (blocks - 1) * block >= rows)
                fail_msg("%d rows of %d networks: %d blocks of %d", rows, networks, blocks, block);
        }
}

// ---- policy ----

static const char* const kind_names[] = {"deterministic", "gaussian", "squashed"};

// One action dimension in double: log-density by the change of variables, written for large |u| as well.
static double naive_log_tanh_slope(double u) { return 2 * (log(2) - fabs(u) - log1p(exp(-2 * fabs(u)))); }

static void naive_sample(int kind, double m, double s, double eps, double* action, double* log_prob) {
    const double u = m + exp(s) * eps, normal = -eps * eps / 2 - s - log(2 * acos(-1)) / 2;
    *action = kind == UF_POLICY_DETERMINISTIC ? tanh(m)
              : kind == UF_POLICY_GAUSSIAN    ? tanh(m) + exp(s) * eps
                                              : tanh(u);
    *log_prob = kind == UF_POLICY_DETERMINISTIC ? 0
                : kind == UF_POLICY_GAUSSIAN    ? normal
                                                : normal - naive_log_tanh_slope(u);
}

// Of a categorical policy with outputs m: log pi of each kind; returns the mean of them, minus the entropy.
static double naive_categorical(const double* m, int A, double* log_pi) {
    double top = -INFINITY, sum = 0, mean = 0;
    for (int i = 0; i < A; i++) top = fmax(top, m[i]);
    for (int i = 0; i < A; i++) sum += exp(m[i] - top);
    for (int i = 0; i < A; i++) log_pi[i] = m[i] - top - log(sum);
    for (int i = 0; i < A; i++) mean += exp(log_pi[i]) * log_pi[i];
    return mean;
}

// Errors of a log-probability: of the sum of exponentials, and of the difference of two numbers of this size.
static double log_pi_bound(const double* m, int A) {
    double size = 0;
    for (int i = 0; i < A; i++) size = fmax(size, fabs(m[i]));
    return (8 + A + 4 * size) * U;
}

static double naive_bc(int kind, double m, double s, double a) {
    if (kind == UF_POLICY_DETERMINISTIC) return (tanh(m) - a) * (tanh(m) - a);
    // The bound is float's 0.999999: 1 - that is off by a hundredth of itself in float, which atanh shows.
    const double limit = (float)UF_ATANH_LIMIT, u = atanh(fmin(fmax(a, -limit), limit));
    const double z = (kind == UF_POLICY_GAUSSIAN ? a - tanh(m) : u - m) * exp(-s);
    return z * z / 2 + s + log(2 * acos(-1)) / 2 + (kind == UF_POLICY_GAUSSIAN ? 0 : naive_log_tanh_slope(u));
}

typedef struct HeadArrays {
    Array *head, *log_std, *hyper;
    UfHeads heads;
} HeadArrays;

// source 0: deterministic; 1: a log-std head; 2: a free log-std.
static HeadArrays new_heads(Test* t, int kind, int source) {
    const Case* c = t->c;
    HeadArrays a = {0};
    const int B = c->rows, A = c->out, H = source == 1 ? 2 * A : A, stride = A + 3;
    a.hyper = hypers(t);
    a.head = normals(t, "head", B * H, 1, 0);
    if (source == 2) a.log_std = normals(t, "log_std", stride, 1, 0);
    a.heads = (UfHeads){
        kind, t->P, B, A, H, DEV(a.head), source == 2 ? DEV(a.log_std) : NULL, stride, HYPER_DEV(a.hyper)};
    for (int p = 0; p < t->P && source; p++) {  // the first log-std on its bound, the last far outside
        real* s = source == 1 ? BEFORE(a.head) + p * B * H + A : BEFORE(a.log_std) + p * stride;
        s[0] = (t->first + p) % 2 ? HYPER(a.hyper)[p].log_std_max : HYPER(a.hyper)[p].log_std_min;
        if (A > 1) s[A - 1] = 30;
    }
    return a;
}

static double raw_log_std(const HeadArrays* a, int p, int b, int i) {
    const UfHeads* h = &a->heads;
    if (a->log_std) return BEFORE(a->log_std)[p * h->log_std_stride + i];
    return h->H == 2 * h->A ? BEFORE(a->head)[(p * h->B + b) * h->H + h->A + i] : 0;
}

static void op_categorical_sample(Test* t) {
    const Case* c = t->c;
    const int B = c->rows, A = c->out, ld = c->in + A + c->pad, total = B + c->after;
    for (int k = 0; k < 4; k++) {
        const bool has_noise = k & 1, has_log_prob = k & 2;
        const HeadArrays heads = new_heads(t, UF_POLICY_CATEGORICAL, 0);
        Array *noise = normals(t, "noise", B * A, 1, 0), *smoothing = normals(t, "smoothing", B * A, 1, 0);
        Array *x = output(t, "x", total * ld), *log_prob = output(t, "log_prob", B);
        const int broken = B > 4 ? 3 : -1;  // a row with an output that is none
        t->variant = has_noise ? "sampled" : "likeliest";
        for (int p = 0; p < t->P && broken >= 0; p++)
            BEFORE(heads.head)[(p * B + broken) * A + A - 1] = k & 2 ? INFINITY : NAN;
        send(t);
        t->be->policy_sample(t->be, &heads.heads, (UfActions){DEV(x) + c->in, ld, total},
                             has_log_prob ? DEV(log_prob) : NULL, has_noise ? DEV(noise) : NULL,
                             k == 3 ? DEV(smoothing) : NULL);  // which nobody looks at
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++)
            for (int b = 0; b < total; b++) {
                const real* row = AFTER(x) + (p * total + b) * ld;
                double m[MAX_OUT], log_pi[MAX_OUT], highest = -INFINITY, of_choice = 0, bound = 0;
                for (int i = 0; i < ld; i++)
                    if (b >= B || i < c->in || i >= c->in + A)
                        expect_untouched(t, "x", ((p * total + b) * ld + i), row[i]);
                if (b >= B) continue;
                if (b == broken) {
                    for (int i = 0; i < A; i++) assert_true(isnan(row[c->in + i]));
                    if (has_log_prob) assert_true(isnan(AFTER(log_prob)[p * B + b]));
                    continue;
                }
                int ones = 0;
                for (int i = 0; i < A; i++) {
                    const real a = row[c->in + i];
                    const double eps = BEFORE(noise)[(p * B + b) * A + i],
                                 tail = erfc(fabs(eps) / sqrt(2)) / 2;
                    const double gumbel = has_noise ? -log(eps > 0 ? -log1p(-tail) : -log(tail)) : 0;
                    m[i] = BEFORE(heads.head)[(p * B + b) * A + i];
                    highest = fmax(highest, m[i] + gumbel);
                    // The tail's relative error is eps^2 times that of its argument.
                    bound = fmax(bound, (8 + 4 * eps * eps + fabs(m[i]) + 2 * fabs(gumbel)) * U);
                    if (a == 1) of_choice = m[i] + gumbel;
                    ones += a == 1;
                    if (a != 1 && a != 0) expect(t, "action", (p * B + b) * A + i, a, 0, 0);
                }
                expect(t, "number of ones", p * B + b, ones, 1, 0);
                // Of two that are as good to within rounding either may be taken.
                expect(t, "what was chosen", p * B + b, of_choice, highest, has_noise ? 2 * bound : 0);
                const double mean = naive_categorical(m, A, log_pi);
                if (has_log_prob)
                    expect(t, "log_prob", p * B + b, AFTER(log_prob)[p * B + b], mean,
                           (2 - mean) * log_pi_bound(m, A));
                else
                    expect_untouched(t, "log_prob", p * B + b, AFTER(log_prob)[p * B + b]);
            }
        clear(t);
    }
}

static void op_policy_sample(Test* t) {
    const Case* c = t->c;
    const int B = c->rows, A = c->out, ld = c->in + A + c->pad, total = B + c->after;
    for (int k = 0; k < 5 * 8; k++) {
        const int kind = k % 5 == 0  ? UF_POLICY_DETERMINISTIC
                         : k % 5 < 3 ? UF_POLICY_GAUSSIAN
                                     : UF_POLICY_SQUASHED;
        const bool has_noise = k / 5 & 1, has_smoothing = k / 5 & 2, has_log_prob = k / 5 & 4;
        const HeadArrays heads = new_heads(t, kind, k % 5 == 0 ? 0 : k % 5 % 2 ? 1 : 2);
        t->variant = kind_names[kind];
        Array* noise = normals(t, "noise", B * A, 1, 0);
        Array* smoothing = normals(t, "smoothing", B * A, 1, 0);
        Array *x = output(t, "x", total * ld), *log_prob = output(t, "log_prob", B);
        send(t);
        t->be->policy_sample(t->be, &heads.heads, (UfActions){DEV(x) + c->in, ld, total},
                             has_log_prob ? DEV(log_prob) : NULL, has_noise ? DEV(noise) : NULL,
                             has_smoothing ? DEV(smoothing) : NULL);
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++) {
            const UfHyper* h = &HYPER(heads.hyper)[p];
            for (int b = 0; b < total; b++) {
                const real* row = AFTER(x) + (p * total + b) * ld;
                double sum = 0, size = 0;
                for (int i = 0; i < ld; i++)
                    if (b >= B || i < c->in || i >= c->in + A)
                        expect_untouched(t, "x", ((p * total + b) * ld + i), row[i]);
                for (int i = 0; i < A && b < B; i++) {
                    const int at = (p * B + b) * A + i;
                    const double m = BEFORE(heads.head)[(p * B + b) * heads.heads.H + i],
                                 eps = has_noise ? BEFORE(noise)[at] : 0;
                    const double s = fmin(fmax(raw_log_std(&heads, p, b, i), h->log_std_min), h->log_std_max);
                    double action, lp, spread = fabs(exp(s) * eps);
                    naive_sample(kind, m, s, eps, &action, &lp);
                    if (has_smoothing) {
                        const double n = F(h->policy_noise) * F(BEFORE(smoothing)[at]), limit = h->noise_clip;
                        action = fmin(fmax(action + fmin(fmax(n, -limit), limit), -1), 1);
                    }
                    expect(t, "action", at, row[c->in + i], action, 8 * U * (1 + fabs(m) + spread));
                    sum += lp;
                    size += eps * eps / 2 + fabs(s) + 4 * (fabs(m) + spread) + 4;
                }
                if (b < B && has_log_prob)
                    expect(t, "log_prob", p * B + b, AFTER(log_prob)[p * B + b], sum, (8 + A) * U * size);
                if (b < B && !has_log_prob)
                    expect_untouched(t, "log_prob", p * B + b, AFTER(log_prob)[p * B + b]);
            }
        }
        clear(t);
    }
    // Only the log-probability is wanted.
    const HeadArrays heads = new_heads(t, UF_POLICY_GAUSSIAN, 1);
    Array* log_prob = output(t, "log_prob", B);
    send(t);
    t->be->policy_sample(t->be, &heads.heads, (UfActions){NULL, 0, 0}, DEV(log_prob), NULL, NULL);
    receive(t);
    for (int k = 0; k < t->P * B && t->reference; k++) assert_false(isnan(AFTER(log_prob)[k]));
    clear(t);
}

static void op_entropy_coef(Test* t) {
    const Case* c = t->c;
    const int B = c->rows, A = c->out;
    const size_t stride = 64;
    Array* log_prob = normals(t, "log_prob", B, 2, -1);
    Array* log_alpha = normals(t, "log_alpha", stride, 1, 0);
    Array *grads = output(t, "grads", stride), *alpha = output(t, "alpha", 1), *metrics = new_metrics(t);
    send(t);
    t->be->entropy_coef_loss(t->be, DEV(grads), stride, DEV(log_prob), DEV(log_alpha), -A, t->P, B,
                             METRICS_DEV(metrics));
    t->be->entropy_coef(t->be, DEV(alpha), DEV(log_alpha), stride, t->P, METRICS_DEV(metrics));
    receive(t);
    for (int p = 0; p < t->P && t->reference; p++) {
        double sum = 0, size = 0;
        for (int b = 0; b < B; b++) {
            sum += BEFORE(log_prob)[p * B + b];
            size += fabs(BEFORE(log_prob)[p * B + b]);
        }
        const double want = -sum / B + A, bound = 4 * U * (size / B + A),
                     value = BEFORE(log_alpha)[p * stride];
        expect(t, "gradient of log_alpha", p, AFTER(grads)[p * stride], want, bound);
        for (size_t i = 1; i < stride; i++) expect_untouched(t, "grads", i, AFTER(grads)[p * stride + i]);
        expect(t, "alpha", p, AFTER(alpha)[p], exp(value), 4 * U * exp(value));
        Metrics m = {0};
        m.add[UF_METRIC_alpha_loss] = value * want;
        m.bound[UF_METRIC_alpha_loss] = fabs(value) * bound + 1e-14;
        m.add[UF_METRIC_alpha] = exp(value);
        m.bound[UF_METRIC_alpha] = 4 * U * exp(value);
        expect_metrics(t, metrics, p, &m);
    }
    clear(t);
}

// ---- actor ----

static void op_awr_weight(Test* t) {
    const Case* c = t->c;
    const int B = c->rows, N = c->used, total = B + c->after;
    Array* hyper = hypers(t);
    Array *q = padded(t, "q", N, total, 1, 0, B, 1), *v = normals(t, "v", B, 1, -0.5);
    Array *weight = output(t, "weight", B), *metrics = new_metrics(t);
    send(t);
    t->be->awr_weight(t->be, DEV(weight), DEV(q), total, DEV(v), HYPER_DEV(hyper), t->P, N, B,
                      METRICS_DEV(metrics));
    receive(t);
    for (int p = 0; p < t->P && t->reference; p++) {
        const double T = HYPER(hyper)[p].awr_temperature;
        double sum = 0, size = 0;
        for (int b = 0; b < B; b++) {
            const double low = naive_min(BEFORE(q), p, N, total, b), value = BEFORE(v)[p * B + b],
                         advantage = low - value;
            // The exponent's rounding is the weight's relative error.
            const double exponent = 2 * T * (fabs(low) + fabs(value)), want = fmin(exp(T * advantage), 20);
            expect(t, "weight", p * B + b, AFTER(weight)[p * B + b], want, (4 + exponent) * U * want);
            sum += advantage;
            size += fabs(low) + fabs(value);
        }
        Metrics m = {0};
        m.add[UF_METRIC_adv] = sum / B;
        m.bound[UF_METRIC_adv] = 2 * U * size / B;
        expect_metrics(t, metrics, p, &m);
    }
    clear(t);
}

static void op_actor_q_loss(Test* t) {
    const Case* c = t->c;
    const int B = c->rows;
    static const char* const names[] = {"min", "mean", "first"};
    for (int k = 0; k < 6; k++) {
        const int aggregate = k / 2, N = aggregate == 2 ? 1 : c->used;
        const bool normalise = k % 2;
        t->variant = names[aggregate];
        Array *hyper = hypers(t), *q = normals(t, "q", N * B, 3, 1);
        Array *dq = output(t, "dq", N * B), *metrics = new_metrics(t);
        send(t);
        t->be->actor_q_loss(t->be, DEV(dq), DEV(q), aggregate, normalise, HYPER_DEV(hyper), t->P, N, B,
                            METRICS_DEV(metrics));
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++) {
            double sum = 0, size = 0, norm = 0;
            for (int b = 0; b < B; b++) {
                double value = 0;
                for (int n = 0; n < N; n++) {
                    value += F(BEFORE(q)[at3(p, N, n, B, b)]) / N;
                    size += fabs(BEFORE(q)[at3(p, N, n, B, b)]);
                }
                if (aggregate != 1) value = naive_min(BEFORE(q), p, N, B, b);
                sum += value;
                norm += fabs(value) / B;
            }
            const double coef = HYPER(hyper)[p].actor_q_coef, lambda = normalise ? 1 / (norm + 1e-7) : 1;
            // A mean of critics near 0 in every row would make lambda as uncertain as size / norm; sizes here
            // are alike.
            const double rounding = (8 + N) * U * (normalise ? 1 + size / B / N / norm : 1);
            for (int b = 0; b < B; b++)
                for (int n = 0; n < N; n++) {
                    const size_t at = at3(p, N, n, B, b);
                    const double share =
                        aggregate == 1 ? 1.0 / N : BEFORE(q)[at] == naive_min(BEFORE(q), p, N, B, b);
                    expect(t, "dq", at, AFTER(dq)[at], -coef * lambda / B * share,
                           rounding * coef * lambda / B);
                }
            Metrics m = {0};
            m.add[UF_METRIC_actor_q] = sum / B;
            m.bound[UF_METRIC_actor_q] = (4 + N) * U * size / B + 1e-14;
            m.add[UF_METRIC_actor_loss] = -coef * lambda * sum / B;
            m.bound[UF_METRIC_actor_loss] = rounding * coef * lambda * size / B + 1e-14;
            expect_metrics(t, metrics, p, &m);
        }
        clear(t);
    }
}

static void op_expected_q_loss(Test* t) {
    const Case* c = t->c;
    const int B = c->rows, A = c->out, rows = A * B;
    static const char* const names[] = {"min", "mean", "first"};
    for (int k = 0; k < 6; k++) {
        const int aggregate = k / 2, N = aggregate == 2 ? 1 : c->used;
        const bool normalise = k % 2;
        const HeadArrays heads = new_heads(t, UF_POLICY_CATEGORICAL, 0);
        t->variant = names[aggregate];
        Array* q = normals(t, "q", N * rows, 3, 1);
        Array *dpi = output(t, "dpi", rows), *metrics = new_metrics(t);
        send(t);
        t->be->expected_q_loss(t->be, DEV(dpi), &heads.heads, DEV(q), aggregate, normalise, N,
                               METRICS_DEV(metrics));
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++) {
            double sum = 0, norm = 0, size = 0, flaw = 0;
            double* values = must(malloc((size_t)rows * sizeof *values));
            for (int b = 0; b < B; b++) {
                double m[MAX_OUT], log_pi[MAX_OUT], all = 0;
                for (int i = 0; i < A; i++) m[i] = BEFORE(heads.head)[(p * B + b) * A + i];
                naive_categorical(m, A, log_pi);
                for (int i = 0; i < A; i++) {
                    double mean = 0;
                    for (int n = 0; n < N; n++) mean += F(BEFORE(q)[at3(p, N, n, rows, i * B + b)]) / N;
                    const double value = aggregate == 1 ? mean : naive_min(BEFORE(q), p, N, rows, i * B + b);
                    values[b * A + i] = value;
                    sum += exp(log_pi[i]) * value / B;
                    norm += exp(log_pi[i]) * fabs(value) / B;
                    all +=
                        exp(log_pi[i]) * (fabs(value) + 12 * N);  // a mean is of numbers of up to 12 in size
                }
                size += all / B;
                flaw += all / B * log_pi_bound(m, A);
            }
            const double coef = HYPER(heads.hyper)[p].actor_q_coef,
                         lambda = normalise ? 1 / (norm + 1e-7) : 1;
            // Rounding of the mean |Q|, relative to it.
            const double wrong = normalise ? (flaw + (4 + N) * U * size) / norm : 0;
            for (int i = 0; i < rows; i++)
                expect(t, "dpi", p * rows + i, AFTER(dpi)[p * rows + i], -coef * lambda / B * values[i],
                       coef * lambda / B * ((8 + N) * U * (fabs(values[i]) + 12) + wrong * fabs(values[i])));
            Metrics metric = {0};
            metric.add[UF_METRIC_actor_q] = sum;
            metric.bound[UF_METRIC_actor_q] = flaw + (4 + N) * U * size;
            metric.add[UF_METRIC_actor_loss] = -coef * lambda * sum;
            metric.bound[UF_METRIC_actor_loss] =
                coef * lambda * (flaw + (8 + N) * U * size + wrong * fabs(sum));
            expect_metrics(t, metrics, p, &metric);
            free(values);
        }
        clear(t);
    }
}

// A row's part of a categorical actor's loss, as a function of its output `at`.
typedef struct KindsTerm {
    int A, data, at;
    double m[MAX_OUT], da[MAX_OUT], bc, dlp;
} KindsTerm;

static double loss_of_output(double m, const void* context) {
    KindsTerm c = *(const KindsTerm*)context;
    double log_pi[MAX_OUT], loss = 0;
    c.m[c.at] = m;
    loss = c.dlp * naive_categorical(c.m, c.A, log_pi) - c.bc * log_pi[c.data];
    for (int i = 0; i < c.A; i++) loss += exp(log_pi[i]) * c.da[i];
    return loss;
}

static void op_categorical_loss(Test* t) {
    const Case* c = t->c;
    const int B = c->rows, A = c->out;
    for (int k = 0; k < 4; k++) {
        const bool has_weight = k != 1, has_q = k != 2, has_entropy = k != 3;
        const HeadArrays heads = new_heads(t, UF_POLICY_CATEGORICAL, 0);
        t->variant = "categorical";
        Array *a_data = normals(t, "a_data", B * A, 1, 0), *weight = normals(t, "weight", B, 0.2, 1);
        for (int row = 0; row < t->P * B; row++)
            for (int i = 0; i < A; i++) BEFORE(a_data)[row * A + i] = i == row % B % A;
        Array *dpi = normals(t, "dpi", B * A, 1.0 / B, 0), *alpha = normals(t, "alpha", 1, 0.1, 1);
        Array *log_prob = normals(t, "log_prob", B, 1, 0), *dhead = output(t, "dhead", B * A),
              *metrics = new_metrics(t);
        send(t);
        t->be->actor_loss(t->be, DEV(dhead), NULL, &heads.heads, NULL, DEV(a_data),
                          has_weight ? DEV(weight) : NULL, has_q ? DEV(dpi) : NULL, 1,
                          has_entropy ? DEV(alpha) : NULL, has_entropy ? DEV(log_prob) : NULL,
                          METRICS_DEV(metrics));
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++) {
            const UfHyper* h = &HYPER(heads.hyper)[p];
            const double entropy = has_entropy ? F(h->actor_entropy_coef) * F(BEFORE(alpha)[p]) : 0;
            double bc = 0, bc_flaw = 0, loss = 0, log_probs = 0, log_size = 0, weight_size = 0;
            for (int b = 0; b < B; b++) {
                const int row = p * B + b;
                const double coef = F(h->actor_bc_coef) * (has_weight ? F(BEFORE(weight)[row]) : 1);
                KindsTerm term = {A, b % A, 0, {0}, {0}, coef / B, entropy / B};
                double log_pi[MAX_OUT], da_size = 0;
                for (int i = 0; i < A; i++) term.m[i] = BEFORE(heads.head)[row * A + i];
                for (int i = 0; i < A && has_q; i++) term.da[i] = BEFORE(dpi)[row * A + i];
                for (int i = 0; i < A; i++) da_size = fmax(da_size, fabs(term.da[i]));
                naive_categorical(term.m, A, log_pi);
                const double flaw = log_pi_bound(term.m, A);
                for (term.at = 0; term.at < A; term.at++) {
                    const double size =
                        fabs(term.bc) + 2 * da_size + fabs(term.dlp) * (2 + 2 * fabs(log_pi[term.at]));
                    // Besides: five-point differences of numbers of this size, h = 1e-3.
                    expect(t, "dhead", row * A + term.at, AFTER(dhead)[row * A + term.at],
                           slope(loss_of_output, term.m[term.at], 1e-3, &term),
                           (4 * flaw + 1e-11) * size + 1e-30);
                }
                bc -= log_pi[term.data];
                bc_flaw += flaw - U * log_pi[term.data];
                loss -= coef * log_pi[term.data];
                weight_size = fmax(weight_size, fabs(coef));
                log_probs += has_entropy ? BEFORE(log_prob)[row] : 0;
                log_size += has_entropy ? fabs(BEFORE(log_prob)[row]) : 0;
            }
            Metrics m = {0};
            m.add[UF_METRIC_bc_loss] = bc / B;
            m.bound[UF_METRIC_bc_loss] = bc_flaw / B;
            m.add[UF_METRIC_entropy] = -log_probs / B;
            m.bound[UF_METRIC_entropy] = 4 * U * log_size / B + 1e-14;
            m.add[UF_METRIC_actor_loss] = (loss + entropy * log_probs) / B;
            m.bound[UF_METRIC_actor_loss] =
                (weight_size * (bc_flaw + 4 * U * bc) + 8 * U * fabs(entropy) * log_size) / B;
            expect_metrics(t, metrics, p, &m);
        }
        clear(t);
    }
}

// One action dimension's part of the actor's loss.
typedef struct HeadTerm {
    int kind;
    double m, s, eps, a_data, bc, da, dlp;
} HeadTerm;

static double head_loss(const HeadTerm* h) {
    double action, log_prob;
    naive_sample(h->kind, h->m, h->s, h->eps, &action, &log_prob);
    return h->bc * naive_bc(h->kind, h->m, h->s, h->a_data) + h->da * action + h->dlp * log_prob;
}
static double loss_of_mean(double m, const void* context) {
    HeadTerm h = *(const HeadTerm*)context;
    h.m = m;
    return head_loss(&h);
}
static double loss_of_log_std(double s, const void* context) {
    HeadTerm h = *(const HeadTerm*)context;
    h.s = s;
    return head_loss(&h);
}

static void op_actor_loss(Test* t) {
    const Case* c = t->c;
    const int B = c->rows, A = c->out, N = c->used;
    for (int k = 0; k < 5 * 3; k++) {
        const int kind = k % 5 == 0  ? UF_POLICY_DETERMINISTIC
                         : k % 5 < 3 ? UF_POLICY_GAUSSIAN
                                     : UF_POLICY_SQUASHED;
        const int source = k % 5 == 0 ? 0 : k % 5 % 2 ? 1 : 2;
        const bool has_weight = k / 5 != 1, has_q = k / 5 != 2,
                   has_entropy = k / 5 != 1 && kind != UF_POLICY_DETERMINISTIC;
        const HeadArrays heads = new_heads(t, kind, source);
        const int H = heads.heads.H;
        const size_t stride = heads.heads.log_std_stride;
        t->variant = kind_names[kind];
        Array *noise = normals(t, "noise", B * A, 1, 0), *a_data = normals(t, "a_data", B * A, 1, 0);
        for (int i = 0; i < t->P * B * A; i++) {
            const int corner = i % (B * A) % 22;  // now and then an action on its bound
            BEFORE(a_data)[i] = corner % 11 ? (real)tanh(BEFORE(a_data)[i]) : corner ? 1 : -1;
        }
        Array *weight = normals(t, "weight", B, 0.2, 1), *dqda = normals(t, "dqda", N * B * A, 1.0 / B, 0);
        Array *alpha = normals(t, "alpha", 1, 0.1, 1), *log_prob = normals(t, "log_prob", B, 1, 0);
        Array *dhead = output(t, "dhead", B * H), *dlog_std = output(t, "dlog_std", stride),
              *metrics = new_metrics(t);
        send(t);
        t->be->actor_loss(t->be, DEV(dhead), source == 2 ? DEV(dlog_std) : NULL, &heads.heads, DEV(noise),
                          DEV(a_data), has_weight ? DEV(weight) : NULL, has_q ? DEV(dqda) : NULL, N,
                          has_entropy ? DEV(alpha) : NULL, has_entropy ? DEV(log_prob) : NULL,
                          METRICS_DEV(metrics));
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++) {
            const UfHyper* h = &HYPER(heads.hyper)[p];
            const double entropy = has_entropy ? F(h->actor_entropy_coef) * F(BEFORE(alpha)[p]) : 0;
            double free_sum[MAX_OUT] = {0}, free_size[MAX_OUT] = {0}, bc = 0, bc_size = 0, loss = 0,
                   log_probs = 0, log_size = 0;
            for (int b = 0; b < B; b++) {
                const int row = p * B + b;
                const double coef = F(h->actor_bc_coef) * (has_weight ? F(BEFORE(weight)[row]) : 1);
                for (int i = 0; i < A; i++) {
                    const int at = row * A + i;
                    const double raw = raw_log_std(&heads, p, b, i),
                                 s = source ? fmin(fmax(raw, h->log_std_min), h->log_std_max) : 0;
                    HeadTerm term = {kind,
                                     BEFORE(heads.head)[row * H + i],
                                     s,
                                     BEFORE(noise)[at],
                                     BEFORE(a_data)[at],
                                     coef / B,
                                     0,
                                     entropy / B};
                    double da_size = 0;
                    for (int n = 0; n < N && has_q; n++) {
                        const double da = BEFORE(dqda)[at3(p, N, n, B, b) * A + i];
                        term.da += da;
                        da_size += fabs(da);
                    }
                    const bool passes = source && raw > F(h->log_std_min) && raw < F(h->log_std_max);
                    // Sizes of what is added: distance over std for cloning, the pre-activation for tanh's
                    // slope.
                    const double spread = fabs(exp(s) * term.eps), u = 1 + fabs(term.m) + spread,
                                 weight_bc = fabs(term.bc);
                    const double x = (kind == UF_POLICY_SQUASHED ? fmin(fabs(atanh(term.a_data)), 8) : 1) +
                                     fabs(term.m) + 1,
                                 inverse = exp(-2 * s);
                    const double size_m = weight_bc * (4 + x * inverse) + (da_size + 2 * fabs(term.dlp)) * u;
                    const double size_s =
                        weight_bc * (1 + x * x * inverse) + (da_size + 2 * fabs(term.dlp)) * u * (1 + spread);
                    expect(t, "dhead", row * H + i, AFTER(dhead)[row * H + i],
                           slope(loss_of_mean, term.m, 1e-4, &term), (16 + N) * U * size_m);
                    const double ds = passes ? slope(loss_of_log_std, s, 1e-4, &term) : 0;
                    if (source == 1)
                        expect(t, "dhead", row * H + A + i, AFTER(dhead)[row * H + A + i], ds,
                               (16 + N) * U * size_s);
                    free_sum[i] += ds;
                    free_size[i] += size_s;
                    const double value = naive_bc(kind, term.m, s, term.a_data);
                    bc += value;
                    loss += coef * value;
                    bc_size += 4 + x * x * inverse + 2 * x;
                }
                log_probs += has_entropy ? BEFORE(log_prob)[row] : 0;
                log_size += has_entropy ? fabs(BEFORE(log_prob)[row]) : 0;
            }
            for (int i = 0; i < (int)stride; i++) {
                const real got = AFTER(dlog_std)[p * stride + i];
                if (source != 2 || i >= A)
                    expect_untouched(t, "dlog_std", i, got);
                else
                    expect(t, "dlog_std", i, got, free_sum[i], (16 + N + B) * U * free_size[i]);
            }
            Metrics m = {0};
            m.add[UF_METRIC_bc_loss] = bc / B;
            m.bound[UF_METRIC_bc_loss] = (16 + A) * U * bc_size / B;
            m.add[UF_METRIC_entropy] = -log_probs / B;
            m.bound[UF_METRIC_entropy] = 4 * U * log_size / B + 1e-14;
            m.add[UF_METRIC_actor_loss] = (loss + entropy * log_probs) / B;
            m.bound[UF_METRIC_actor_loss] = (20 + A) * U * (2 * bc_size + fabs(entropy) * log_size) / B;
            expect_metrics(t, metrics, p, &m);
        }
        clear(t);
    }
}

// ---- critics and value ----

static void op_td_target(Test* t) {
    const Case* c = t->c;
    const int B = c->rows, A = c->out, N = c->used, ld = c->in + A + c->pad, total = B + c->after;
    for (int k = 0; k < 4; k++) {
        const bool from_v = k & 1, has_entropy = k & 2;
        Array *hyper = hypers(t), *q = normals(t, "q", N * B, 5, 0), *v = normals(t, "v", B, 5, 0);
        Array *x = padded(t, "x", 1, total, ld, 0, B, ld),
              *next_action = normals(t, "next_action", B * A, 1, 0);
        Array *reward = normals(t, "reward", B, 1, 0), *done = normals(t, "done", B, 1, -1);
        for (int i = 0; i < t->P * B; i++) BEFORE(done)[i] = BEFORE(done)[i] > 0;
        Array *alpha = normals(t, "alpha", 1, 0.1, 1), *log_prob = normals(t, "log_prob", B, 1, 0);
        Array *y = output(t, "y", B), *metrics = new_metrics(t);
        const UfBatch batch = {.next_action = DEV(next_action), .reward = DEV(reward), .done = DEV(done)};
        send(t);
        t->be->td_target(t->be, DEV(y), &batch, from_v ? NULL : DEV(q), from_v ? DEV(v) : NULL,
                         (UfActions){DEV(x) + c->in, ld, total}, has_entropy ? DEV(alpha) : NULL,
                         has_entropy ? DEV(log_prob) : NULL, HYPER_DEV(hyper), t->P, N, B, A,
                         METRICS_DEV(metrics), 0.5);
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++) {
            const UfHyper* h = &HYPER(hyper)[p];
            double sum = 0, sizes = 0;
            for (int b = 0; b < B; b++) {
                const int row = p * B + b;
                double value = from_v ? BEFORE(v)[row] : naive_min(BEFORE(q), p, N, B, b), size = fabs(value);
                const double penalty =
                    has_entropy ? F(h->critic_entropy_coef) * F(BEFORE(alpha)[p]) * F(BEFORE(log_prob)[row])
                                : 0;
                value -= penalty;
                size += fabs(penalty);
                for (int i = 0; i < A; i++) {
                    const double a = BEFORE(x)[(p * total + b) * ld + c->in + i],
                                 data = BEFORE(next_action)[row * A + i];
                    value -= F(h->critic_bc_coef) * (a - data) * (a - data);
                    size += F(h->critic_bc_coef) * (a - data) * (a - data);
                }
                const double want = BEFORE(reward)[row] + F(h->gamma) * (1 - F(BEFORE(done)[row])) * value;
                size = fabs(BEFORE(reward)[row]) + F(h->gamma) * size;
                expect(t, "y", row, AFTER(y)[row], want, (8 + A) * U * size);
                sum += want;
                sizes += size;
            }
            Metrics m = {0};
            m.add[UF_METRIC_target] = 0.5 * sum / B;
            m.bound[UF_METRIC_target] = (8 + A) * U * sizes / B;
            expect_metrics(t, metrics, p, &m);
        }
        clear(t);
    }
}

static void op_q_loss(Test* t) {
    const Case* c = t->c;
    const int B = c->rows, N = c->used;
    const int num_data[] = {B, B, B * 3 / 5, 0, B, B * 2 / 5};  // the first: no conservative penalty
    for (int k = 0; k < 6; k++) {
        const bool all_actions = k > 3;  // the log-sum-exp leaves the data's group out
        const int groups = !k ? 1 : all_actions ? 1 + c->out : 4, first = all_actions, total = groups * B;
        Array *hyper = hypers(t), *q = normals(t, "q", N * total, 5, 0), *y = normals(t, "y", B, 5, 0);
        Array *dq = output(t, "dq", N * total), *metrics = new_metrics(t);
        t->variant = all_actions ? "all actions" : k ? "sampled" : "alone";
        if (k == 1 || k == 5)  // values whose plain exponentials overflow
            for (int i = 0; i < t->P * N * total; i++) BEFORE(q)[i] *= i % (N * total) % 3 ? 1 : 1000;
        send(t);
        t->be->q_loss(t->be, DEV(dq), DEV(q), DEV(y), HYPER_DEV(hyper), t->P, N, B, total, all_actions,
                      num_data[k], METRICS_DEV(metrics), 0.5);
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++) {
            const double weight = HYPER(hyper)[p].cql_min_q_weight, T = HYPER(hyper)[p].cql_temperature;
            double error = 0, cql = 0, error_size = 0, cql_size = 0;
            for (int n = 0; n < N; n++)
                for (int b = 0; b < B; b++) {
                    double values[1 + MAX_OUT] = {0}, top = -INFINITY, sum = 0, size = 0;
                    const double target = BEFORE(y)[p * B + b];
                    const bool data = b < num_data[k];
                    for (int g = 0; g < groups; g++) {
                        values[g] = BEFORE(q)[at3(p, N, n, total, g * B + b)];
                        if (g >= first) top = fmax(top, values[g]);
                        size = fmax(size, fabs(values[g]));
                    }
                    for (int g = first; g < groups && k; g++) sum += exp((values[g] - top) / T);
                    for (int g = 0; g < groups; g++) {
                        const size_t at = at3(p, N, n, total, g * B + b);
                        const double share = k && g >= first ? exp((values[g] - top) / T) / sum : 0;
                        const double subtracted = k && g == 0 && data ? weight / num_data[k] : 0;
                        const double squared = g ? 0 : 2 * (values[0] - target) / B;
                        // A softmax's relative error is that of its exponents: their size over T, for itself
                        // and the sum.
                        const double spread = 8 + groups + 2 * fmax(top - values[g], 0) / T;
                        expect(t, "dq", at, AFTER(dq)[at], squared + weight * share / B - subtracted,
                               8 * U * (fabs(squared) + subtracted) + U * (spread + 16) * weight * share / B +
                                   1e-30);
                    }
                    error += (values[0] - target) * (values[0] - target);
                    error_size += (fabs(values[0]) + fabs(target)) * (fabs(values[0]) + fabs(target));
                    if (k) cql += (top + T * log(sum)) / B - (data ? values[0] / num_data[k] : 0);
                    cql_size += size / B + 2 * T / B + (data ? fabs(values[0]) / num_data[k] : 0);
                }
            Metrics m = {0};
            m.add[UF_METRIC_critic_loss] = 0.5 * (error / B + (k ? weight * cql : 0));
            m.bound[UF_METRIC_critic_loss] = 8 * U * (error_size / B + cql_size);
            m.add[UF_METRIC_cql_loss] = 0.5 * cql;
            m.bound[UF_METRIC_cql_loss] = 8 * U * cql_size;
            expect_metrics(t, metrics, p, &m);
        }
        clear(t);
    }
}

// D of one row as a function of one number of dQ/da.
typedef struct DiversityRow {
    double q[MAX_N][MAX_OUT];
    int N, A, n, i;
} DiversityRow;

static double naive_diversity(const DiversityRow* d) {
    double g[MAX_N][MAX_OUT], sum = 0;
    for (int n = 0; n < d->N; n++) {
        double norm = 0;
        for (int i = 0; i < d->A; i++) norm += d->q[n][i] * d->q[n][i];
        for (int i = 0; i < d->A; i++) g[n][i] = d->q[n][i] / (sqrt(norm) + 1e-6);
    }
    for (int n = 0; n < d->N; n++)
        for (int k = 0; k < d->N; k++)
            for (int i = 0; i < d->A && k != n; i++) sum += g[n][i] * g[k][i];
    return sum / (d->N - 1);
}
static double diversity_of(double x, const void* context) {
    DiversityRow d = *(const DiversityRow*)context;
    d.q[d.n][d.i] = x;
    return naive_diversity(&d);
}

static void op_diversity_loss(Test* t) {
    const Case* c = t->c;
    const int B = c->rows, A = c->out, N = c->used;
    if (N < 2) return;  // refused by the configuration: there is no pair
    for (int groups = 1; groups <= 4; groups += 3) {
        const int total = groups * B;
        Array *hyper = hypers(t), *dqda = normals(t, "dqda", N * total * A, 1, 0);
        for (int p = 0; p < t->P; p++)  // no gradient at all in the first row of the first critic
            for (int i = 0; i < A; i++) BEFORE(dqda)[at3(p, N, 0, total, 0) * A + i] = 0;
        Array *tangent = output(t, "tangent", N * total * A), *metrics = new_metrics(t);
        send(t);
        t->be->diversity_loss(t->be, DEV(tangent), DEV(dqda), HYPER_DEV(hyper), t->P, N, B, total, A,
                              METRICS_DEV(metrics), 0.5);
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++) {
            const double coef = HYPER(hyper)[p].diversity_coef;
            double sum = 0;
            for (int b = 0; b < total; b++) {
                DiversityRow d = {.N = N, .A = A};
                for (int n = 0; n < N; n++)
                    for (int i = 0; i < A; i++) d.q[n][i] = BEFORE(dqda)[at3(p, N, n, total, b) * A + i];
                if (b < B) sum += naive_diversity(&d);
                for (d.n = 0; d.n < N; d.n++) {
                    double norm = 0;
                    for (int i = 0; i < A; i++) norm += d.q[d.n][i] * d.q[d.n][i];
                    norm = sqrt(norm);
                    for (d.i = 0; d.i < A; d.i++) {
                        const size_t at = at3(p, N, d.n, total, b) * A + d.i;
                        const double h = norm > 0 ? 1e-3 * norm : 1e-11,
                                     want = b < B ? coef / B * slope(diversity_of, d.q[d.n][d.i], h, &d) : 0;
                        // |dD/dg| is at most 2 N / (N - 1), over |q|; at 0 differences are off by h / 1e-6.
                        const double size = b < B ? coef / B * 2 * N / (N - 1) / (norm + 1e-6) : 0;
                        expect(t, "tangent", at, AFTER(tangent)[at], want,
                               (16 + N + A) * U * size + (norm > 0 ? 0 : 1e-4 * size));
                    }
                }
            }
            Metrics m = {0};
            m.add[UF_METRIC_diversity_loss] = 0.5 * sum / B;
            m.add[UF_METRIC_critic_loss] = 0.5 * coef * sum / B;
            m.bound[UF_METRIC_critic_loss] = m.bound[UF_METRIC_diversity_loss] = (8 + N + A) * U * 2 * N;
            expect_metrics(t, metrics, p, &m);
        }
        clear(t);
    }
}

static void op_value_loss(Test* t) {
    const Case* c = t->c;
    const int B = c->rows, N = c->used, total = B + c->after;
    Array *hyper = hypers(t), *q = padded(t, "q", N, total, 1, 0, B, 1), *v = normals(t, "v", B, 1, -0.5);
    for (int p = 0; p < t->P; p++)
        BEFORE(v)[p * B] = (real)naive_min(BEFORE(q), p, N, total, 0);  // the corner
    Array *dv = output(t, "dv", B), *metrics = new_metrics(t);
    send(t);
    t->be->value_loss(t->be, DEV(dv), DEV(q), total, DEV(v), HYPER_DEV(hyper), t->P, N, B,
                      METRICS_DEV(metrics));
    receive(t);
    for (int p = 0; p < t->P && t->reference; p++) {
        double sum = 0, sizes = 0;
        for (int b = 0; b < B; b++) {
            const double low = naive_min(BEFORE(q), p, N, total, b), x = low - BEFORE(v)[p * B + b],
                         tau = HYPER(hyper)[p].value_expectile;
            const double weight = x < 0 ? 1 - tau : tau, size = fabs(low) + fabs(BEFORE(v)[p * B + b]);
            expect(t, "dv", p * B + b, AFTER(dv)[p * B + b], -2 * weight * x / B, 8 * U * size / B);
            sum += weight * x * x;
            sizes += size * size;
        }
        Metrics m = {0};
        m.add[UF_METRIC_value_loss] = sum / B;
        m.bound[UF_METRIC_value_loss] = 8 * U * sizes / B;
        expect_metrics(t, metrics, p, &m);
    }
    clear(t);
}

// ---- world model ----

static void op_dynamics_target(Test* t) {
    const int B = t->c->rows, O = t->c->in, D = O + 1;
    Array *obs = normals(t, "obs", B * O, 2, 1), *next = normals(t, "next_obs", B * O, 2, 1),
          *reward = normals(t, "reward", B, 1, 0), *target = output(t, "target", B * D);
    const UfBatch batch = {.obs = DEV(obs), .next_obs = DEV(next), .reward = DEV(reward)};
    send(t);
    t->be->dynamics_target(t->be, DEV(target), &batch, t->P, B, O);
    receive(t);
    for (int i = 0; i < t->P * B * D && t->reference; i++) {
        const int row = i / D, k = i % D;
        const real a = BEFORE(next)[row * O + (k < O ? k : 0)], b = BEFORE(obs)[row * O + (k < O ? k : 0)];
        expect(t, "target", i, AFTER(target)[i], k < O ? a - b : BEFORE(reward)[row], 0);
    }
    clear(t);
}

// The negative log-likelihood as the method states it, by two soft clamps, in double.
static double soft_logvar(double raw, double max, double min, double* draw, double* dmax, double* dmin) {
    const double up = 1 / (1 + exp(raw - max)), u = max - log1p(exp(max - raw));
    const double down = 1 / (1 + exp(min - u));
    *draw = down * up;
    *dmax = down * (1 - up);
    *dmin = 1 - down;
    return min + log1p(exp(u - min));
}

// A member's parts of dbounds lie in N outer blocks.
static void op_dynamics_loss(Test* t) {
    const int N = t->c->used, B = t->c->rows, D = t->c->out, stride = 2 * D + t->c->pad;
    const double coef = 0.01;
    Array *out = normals(t, "out", N * B * 2 * D, 1, 0), *target = normals(t, "target", B * D, 1, 0);
    Array *bounds = normals(t, "bounds", stride, 0.3, 0), *dout = output(t, "dout", N * B * 2 * D);
    Array* dbounds = new_array(t, "dbounds", N, stride, sizeof(real), false, true);
    Array* loss = new_array(t, "loss", 1, N + 1, sizeof(double), false, true);
    for (int i = 0; i < t->P * stride; i++) BEFORE(bounds)[i] += i % stride < D ? (real)0.5 : -4;
    for (int i = 0; i < t->P * (N + 1); i++) ((double*)(void*)loss->before)[i] = 0.5 * (i % (N + 1));
    send(t);
    t->be->dynamics_loss(t->be, DEV(dout), DEV(dbounds), DEV(out), DEV(target), DEV(bounds), stride, coef,
                         t->P, N, B, D, (double*)loss->device);
    receive(t);
    for (int p = 0; p < t->P && t->reference; p++) {
        double range = 0;
        for (int n = 0; n < N; n++) {
            double sum = 0, sizes = 0;
            for (int d = 0; d < D; d++) {
                const real* bound = BEFORE(bounds) + p * stride;
                double high = 0, low = 0, high_size = 0, low_size = 0;
                if (n == 0) range += F(bound[d]) - bound[D + d];
                for (int b = 0; b < B; b++) {
                    const int row = ((p * N + n) * B + b) * 2 * D;
                    double draw, dmax, dmin;
                    const double logvar =
                        soft_logvar(BEFORE(out)[row + D + d], bound[d], bound[D + d], &draw, &dmax, &dmin);
                    const double error = F(BEFORE(out)[row + d]) - BEFORE(target)[(p * B + b) * D + d];
                    const double surprise = error * error * exp(-logvar), scale = 1.0 / B / D;
                    // Six exponentials and quotients, each off by 2 u of what it is (their arguments are below 8, whose
                    // rounding makes 8 u): 32 u of the size of what is added.
                    const double size = 1 + surprise;
                    expect(t, "dout of a mean", row + d, AFTER(dout)[row + d],
                           2 * error * exp(-logvar) * scale,
                           32 * U * 2 * (fabs(error) + U) * exp(-logvar) * scale);
                    expect(t, "dout of a raw log-variance", row + D + d, AFTER(dout)[row + D + d],
                           (1 - surprise) * draw * scale, 32 * U * size * scale);
                    high += (1 - surprise) * dmax * scale;
                    low += (1 - surprise) * dmin * scale;
                    high_size += size * dmax * scale;
                    low_size += size * dmin * scale;
                    sum += (surprise + logvar) * scale;
                    sizes += (surprise + fabs(logvar) + 1) * scale;
                }
                const int at = (n * t->P + p) * stride + d;
                expect(t, "dbounds max", at, AFTER(dbounds)[at], high + (n ? 0 : coef),
                       (32 + B) * U * (high_size + coef));
                expect(t, "dbounds min", at + D, AFTER(dbounds)[at + D], low - (n ? 0 : coef),
                       (32 + B) * U * (low_size + coef));
            }
            for (int i = 2 * D; i < stride; i++)
                expect_untouched(t, "dbounds behind the bounds", i,
                                 AFTER(dbounds)[(n * t->P + p) * stride + i]);
            const int at = p * (N + 1) + n;
            expect_near(t, "loss", (size_t)at, ((const double*)(const void*)loss->after)[at], 0.5 * n + sum,
                        32 * U * sizes);
        }
        expect_near(t, "loss of the bounds", (size_t)p,
                    ((const double*)(const void*)loss->after)[p * (N + 1) + N], 0.5 * N + coef * range,
                    1e-12 * fabs(range));
    }
    clear(t);
}

static void op_dynamics_error(Test* t) {
    const int N = t->c->used, B = t->c->rows, D = t->c->out;
    Array *out = normals(t, "out", N * B * 2 * D, 1, 0), *target = normals(t, "target", B * D, 1, 0);
    Array* sum = new_array(t, "sum", 1, N, sizeof(double), false, true);
    for (int i = 0; i < t->P * N; i++) ((double*)(void*)sum->before)[i] = 0.5;
    send(t);
    t->be->dynamics_error(t->be, (double*)sum->device, DEV(out), DEV(target), t->P, N, B, D);
    receive(t);
    for (int i = 0; i < t->P * N && t->reference; i++) {
        double want = 0.5;
        for (int b = 0; b < B; b++)
            for (int d = 0; d < D; d++) {
                const double e =
                    F(BEFORE(out)[(i * B + b) * 2 * D + d]) - BEFORE(target)[(i / N * B + b) * D + d];
                want += e * e;
            }
        expect_near(t, "sum", (size_t)i, ((const double*)(const void*)sum->after)[i], want,
                    (4 + D) * U * want);
    }
    clear(t);
}

// ---- optimiser ----

enum { ADAM_ONLY, ADAM_AND_POLYAK, POLYAK_ONLY, ADAM_NAN, ADAM_INFINITE, NUM_ADAM };

static void op_adam_polyak(Test* t) {
    const Case* c = t->c;
    const UfMlp m = shape_of(c, c->out);
    const size_t count = c->N * m.size + (size_t)(c->rows % 4);  // members that begin anywhere
    static const int64_t steps[] = {1, 2, 0, 1000, 3};
    static const UfDecay decays[] = {
        {0, 0}, {UF_DECAY_COSINE, 3}, {0, 0}, {UF_DECAY_COSINE, 4000}, {UF_DECAY_LINEAR, 7}};
    static const char* const names[] = {"adam", "adam and polyak", "polyak", "adam, NaN gradient",
                                        "adam, infinite gradient"};
    for (int k = 0; k < NUM_ADAM; k++) {
        const bool adam = k != POLYAK_ONLY, polyak = k == ADAM_AND_POLYAK || k == POLYAK_ONLY;
        const int num_blocks = 1 + k % 3, bad_member = c->P - 1;
        t->variant = names[k];
        Array *params = normals(t, "params", count, 1, 0), *target = normals(t, "target", count, 1, 0);
        Array *grads = normals_outer(t, "grads", num_blocks, count, 0.1, 0),
              *mean = normals(t, "m", count, 0.1, 0);
        Array *square = normals(t, "v", count, 0.1, 0), *lr = normals(t, "lr", 1, 1e-3, 1e-2),
              *step_size = normals(t, "polyak", 1, 0.01, 0.1);
        for (int p = 0; p < t->P && k == POLYAK_ONLY; p++)  // every other member's target is a copy
            BEFORE(step_size)[p] = (t->first + p) % 2 ? 1 : BEFORE(step_size)[p];
        Array* bad = new_array(t, "bad", 1, 1, sizeof(int), false, true);
        for (size_t i = 0; i < t->P * count; i++) BEFORE(square)[i] *= i % count % 5 ? BEFORE(square)[i] : 0;
        for (int p = 0; p < t->P; p++) {
            ((int*)(void*)bad->before)[p] = 0;
            real* last_block = BEFORE(grads) + ((num_blocks - 1) * t->P + p) * count;
            if (t->first + p == bad_member && k >= ADAM_NAN)
                last_block[count / 2] = k == ADAM_NAN ? NAN : INFINITY;
        }
        params->written = mean->written = square->written = adam;
        target->written = polyak;
        const UfGroup group = {DEV(params), DEV(grads), DEV(mean), DEV(square), polyak ? DEV(target) : NULL,
                               t->P,        num_blocks, count};
        send(t);
        const double decay = k == ADAM_AND_POLYAK ? 0.05 : 0;  // AdamW
        t->be->adam_polyak(t->be, &group, adam ? DEV(lr) : NULL, (UfCount){steps[k], 0}, decays[k], decay,
                           polyak ? DEV(step_size) : NULL, adam ? bad->device : NULL);
        receive(t);
        const double part = decays[k].kind ? (steps[k] - 1.0) / (double)decays[k].steps : 0;
        const double schedule = decays[k].kind == UF_DECAY_LINEAR ? 1 - part : (1 + cos(acos(-1) * part)) / 2;
        for (int p = 0; p < t->P && t->reference; p++) {
            const int flag = ((const int*)(const void*)bad->after)[p];
            if ((flag != 0) != (k >= ADAM_NAN && p == bad_member)) expect_near(t, "bad", p, flag, !flag, 0);
            for (size_t i = p * count; i < (p + 1) * count; i++) {
                double g = 0, g_size = 0;
                for (int block = 0; block < num_blocks; block++) {
                    const double part = BEFORE(grads)[block * t->P * count + i];
                    g += part;
                    g_size += fabs(part);
                }
                double w = BEFORE(params)[i], w_bound = 0;
                if (adam && !isfinite(g)) {
                    if (isfinite(AFTER(params)[i]))
                        expect_near(t, "parameter of a broken gradient", i, AFTER(params)[i], NAN, 0);
                    continue;
                }
                if (adam) {
                    const double m0 = BEFORE(mean)[i], v0 = BEFORE(square)[i], m1 = 0.9 * m0 + 0.1 * g,
                                 v1 = 0.999 * v0 + 0.001 * g * g;
                    const double m_bound = 4 * U * (fabs(m0) + g_size),
                                 v_bound = 4 * U * (v0 + 0.001 * g_size * g_size) +
                                           num_blocks * U * 0.002 * fabs(g) * g_size;
                    const double c1 = 1 - pow(0.9, (double)steps[k]), c2 = 1 - pow(0.999, (double)steps[k]);
                    const double divisor = sqrt(v1 / c2) + 1e-5,
                                 step = F(BEFORE(lr)[p]) * schedule / c1 / divisor;
                    w -= step * m1 + F(BEFORE(lr)[p]) * schedule * decay * w;
                    // What v is off by moves sqrt(v) by half of it over sqrt(v).
                    const double slack = v1 > 0 ? v_bound / (2 * sqrt(v1 * c2)) / divisor : 0;
                    w_bound = 2 * U * fabs(w) + step * (m_bound + (8 * U + slack) * fabs(m1));
                    expect(t, "m", i, AFTER(mean)[i], m1, m_bound);
                    expect(t, "v", i, AFTER(square)[i], v1, v_bound);
                    expect(t, "params", i, AFTER(params)[i], w, w_bound);
                }
                if (!polyak) continue;
                const double old = BEFORE(target)[i], part = BEFORE(step_size)[p];
                if (part == 1) assert_true(AFTER(target)[i] == AFTER(params)[i]);
                expect(t, "target", i, AFTER(target)[i], old + part * (w - old),
                       4 * U * (fabs(old) + fabs(w)) + w_bound);
            }
        }
        clear(t);
    }
}

// ---- random numbers ----

static void test_philox(void** state) {
    (void)state;
    // Known answers of Random123 (kat_vectors, philox4x32 10): counter and key all 0, all 1, digits of pi.
    const UfPhilox zero = uf_philox(0, 0, 0, 0), ones = uf_philox(UINT64_MAX, 0, UINT64_MAX, UINT64_MAX);
    const UfPhilox pi = uf_philox(0x299f31d0a4093822, 0, 0x0370734413198a2e, 0x85a308d3243f6a88);
    const uint32_t want[3][4] = {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
                                 {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
                                 {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}};
    assert_memory_equal(zero.v, want[0], sizeof want[0]);
    assert_memory_equal(ones.v, want[1], sizeof want[1]);
    assert_memory_equal(pi.v, want[2], sizeof want[2]);
}

static Array* new_seeds(Test* t) {
    Array* a = new_array(t, "seeds", 1, 1, sizeof(uint64_t), false, false);
    for (int p = 0; p < t->P; p++) ((uint64_t*)(void*)a->before)[p] = seed_of(t, p) << 20 | 5;
    return a;
}
static uint64_t seed_at(const Array* seeds, int p) {
    return ((const uint64_t*)(const void*)seeds->before)[p];
}

static void draw(UfBackend* be, int kind, void* out, const int64_t* below, int64_t count, int stream,
                 int64_t update, int P, const uint64_t* seeds) {
    be->random(be, &(UfDraw){out, below, count, kind, stream, {update, 0}}, 1, P, seeds);
}

static void op_random(Test* t) {
    const int B = t->c->rows;
    static const int64_t sizes[] = {1, 7, 1000003, (int64_t)1 << 40};
    for (int k = 0; k < 4; k++) {
        Array* index = new_array(t, "index", 1, B, sizeof(int64_t), false, true);
        Array *below = new_array(t, "n", 1, 1, sizeof(int64_t), false, false), *seeds = new_seeds(t);
        int64_t* n = (int64_t*)(void*)below->before;
        for (int p = 0; p < t->P; p++)
            n[p] = sizes[k] + (t->first + p) * (sizes[k] / 3);  // each member its own
        send(t);
        draw(t->be, UF_DRAW_INDEX, index->device, below->device, B, UF_STREAM_INDEX, 77, t->P, seeds->device);
        receive(t);
        for (int i = 0; i < t->P * B && t->reference; i++) {
            const int64_t got = ((const int64_t*)(const void*)index->after)[i], high = n[i / B];
            // Index b is the upper half of n times words 2 (b % 2) and the next of block b / 2.
            const UfPhilox w = uf_philox(seed_at(seeds, i / B), UF_STREAM_INDEX, 77, (uint64_t)(i % B) / 2);
            const double part =
                (w.v[2 * (i % B % 2)] + w.v[2 * (i % B % 2) + 1] / 4294967296.0) / 4294967296.0;
            if (got < 0 || got >= high)
                expect_near(t, "index", i, (double)got, (double)high / 2, (double)high / 2);
            expect(t, "index", i, (double)got, floor(part * (double)high), 1);  // 1: part is rounded
        }
        clear(t);
    }
    const int64_t count = B % 2 ? B : 5000 + B % 7;  // less and more than a task's share
    for (int k = 0; k < 2; k++) {
        const int stream = k ? UF_STREAM_CQL_RANDOM : UF_STREAM_ACTOR;
        const uint64_t update = 0x100000003;
        Array *out = output(t, k ? "uniform" : "normal", count), *seeds = new_seeds(t);
        send(t);
        draw(t->be, k ? UF_DRAW_UNIFORM : UF_DRAW_NORMAL, DEV(out), NULL, count, stream, (int64_t)update,
             t->P, seeds->device);
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++)
            for (int64_t i = 0; i < count; i++) {
                // Number i is word i % 4 of block i / 4, normals in pairs: an addressable part of every
                // recorded run.
                const UfPhilox w = uf_philox(seed_at(seeds, p), (uint32_t)stream, update, (uint64_t)i / 4);
                const double a = ((w.v[i % 4 / 2 * 2] >> 9) + 0.5) / 8388608,
                             b = ((w.v[i % 4 / 2 * 2 + 1] >> 9) + 0.5) / 8388608;
                const double radius = sqrt(-2 * log(a)), angle = 2 * acos(-1) * b;
                const double want = k ? 2 * ((w.v[i % 4] >> 9) + 0.5) / 8388608 - 1
                                      : radius * (i % 2 ? sin(angle) : cos(angle));
                // Box-Muller in float: an angle up to 2 pi is off by 6 u; near a = 1 the radius keeps half of
                // a's digits.
                expect(t, out->name, p * count + i, AFTER(out)[p * count + i], want,
                       k ? 2 * U : 16 * U * radius + 2 * U / fmax(radius, 1e-4));
            }
        clear(t);
    }
}

// More draws than fit a launch of a device, of all kinds, with a few numbers each: as if drawn one by one.
static void op_random_list(Test* t) {
    enum { MANY = 70, MOST = 11 };
    UfDraw draws[MANY];
    Array *below = new_array(t, "n", 1, 1, sizeof(int64_t), false, false), *seeds = new_seeds(t);
    Array* numbers = new_array(t, "numbers", MANY, MOST, sizeof(int64_t), false, true);
    Array* alone = new_array(t, "numbers one by one", MANY, MOST, sizeof(int64_t), false, true);
    for (int p = 0; p < t->P; p++) ((int64_t*)(void*)below->before)[p] = 1000 + t->first + p;
    send(t);
    for (int turn = 0; turn < 2; turn++) {
        for (int k = 0; k < MANY; k++) {
            int64_t* out = (int64_t*)(turn ? alone : numbers)->device + (size_t)k * t->P * MOST;
            draws[k] = (UfDraw){out, below->device, k % 5 ? 1 + k % MOST : MOST, k % 3, k % 7, {k, 0}};
            if (turn) t->be->random(t->be, &draws[k], 1, t->P, seeds->device);
        }
        if (!turn) t->be->random(t->be, draws, MANY, t->P, seeds->device);
    }
    // Members lie side by side, `count` numbers each, which may be fewer than an array has room for.
    for (int k = 0; k < t->num_arrays; k++)
        t->be->download(t->be, t->arrays[k].after, t->arrays[k].device, t->arrays[k].bytes + GUARD);
    assert_int_equal(t->be->sync(t->be), UF_OK);
    if (!t->split) assert_memory_equal(numbers->after, alone->after, numbers->bytes);
    for (int k = 0; k < MANY && !t->split; k++)
        assert_false(untouched(((const real*)(const void*)numbers->after)[2 * (size_t)k * t->P * MOST]));
    clear(t);
}

// Each of many members draws what it draws alone.
static void test_many_members(void** state) {
    (void)state;
    enum { MANY = 300, COUNT = 7 };
    for (int d = 0; d < NUM_DEVICES; d++) {
        UfBackend* be = devices[d].be;
        uint64_t seeds[MANY];
        int64_t below[MANY], *index = must(malloc(MANY * COUNT * sizeof *index)), one[COUNT];
        real *x = must(malloc(MANY * COUNT * sizeof *x)), alone[COUNT];
        void *n, *out, *there;
        for (int p = 0; p < MANY; p++) {
            seeds[p] = (uint64_t)p * 77 + 5;
            below[p] = 1000 + p;
        }
        if (be) {
            use(&devices[d]);
            assert_int_equal(be->reserve(be, &n, sizeof below, "n"), UF_OK);
            assert_int_equal(be->reserve(be, &out, MANY * COUNT * sizeof *index, "numbers"), UF_OK);
            assert_int_equal(be->reserve(be, &there, sizeof seeds, "seeds"), UF_OK);
            be->upload(be, n, below, sizeof below);
            be->upload(be, there, seeds, sizeof seeds);
            draw(be, UF_DRAW_INDEX, out, n, COUNT, UF_STREAM_INDEX, 3, MANY, there);
            be->download(be, index, out, MANY * COUNT * sizeof *index);
            draw(be, UF_DRAW_NORMAL, out, NULL, COUNT, UF_STREAM_ACTOR, 3, MANY, there);
            be->download(be, x, out, MANY * COUNT * sizeof *x);
            for (int p = 0; p < MANY; p++) {
                draw(be, UF_DRAW_INDEX, out, (int64_t*)n + p, COUNT, UF_STREAM_INDEX, 3, 1,
                     (uint64_t*)there + p);
                be->download(be, one, out, sizeof one);
                draw(be, UF_DRAW_NORMAL, out, NULL, COUNT, UF_STREAM_ACTOR, 3, 1, (uint64_t*)there + p);
                be->download(be, alone, out, sizeof alone);
                assert_int_equal(be->sync(be), UF_OK);
                assert_memory_equal(one, index + p * COUNT, sizeof one);
                assert_memory_equal(alone, x + p * COUNT, sizeof alone);
            }
            be->release(be, n);
            be->release(be, out);
            be->release(be, there);
        }
        free(index);
        free(x);
    }
}

// Moments and frequencies on every backend; bounds are five standard deviations, and the seed is fixed.
static void test_distributions(void** state) {
    (void)state;
    enum { COUNT = 65536, BINS = 64 };
    const uint64_t seeds[2] = {1, 2};
    for (int d = 0; d < NUM_DEVICES; d++) {
        UfBackend* be = devices[d].be;
        if (!be) continue;
        use(&devices[d]);
        real *x = must(malloc(2 * COUNT * sizeof(real))), *first = must(malloc(2 * COUNT * sizeof(real)));
        int64_t* index = must(malloc(2 * COUNT * sizeof(int64_t)));
        void *device, *there;
        assert_int_equal(be->reserve(be, &device, 2 * COUNT * sizeof(int64_t), "numbers"), UF_OK);
        assert_int_equal(be->reserve(be, &there, sizeof seeds, "seeds"), UF_OK);
        be->upload(be, there, seeds, sizeof seeds);
        for (int k = 0; k < 5; k++) {  // normal; uniform; normal of another stream, of another update; index
            const char* names[] = {"normal", "uniform", "normal, other stream", "normal, other update"};
            if (k == 4) break;
            if (k == 1)
                draw(be, UF_DRAW_UNIFORM, device, NULL, COUNT, UF_STREAM_CQL_RANDOM, 5, 2, there);
            else
                draw(be, UF_DRAW_NORMAL, device, NULL, COUNT, k == 2 ? UF_STREAM_ALPHA : UF_STREAM_ACTOR,
                     k == 3 ? 6 : 5, 2, there);
            be->download(be, x, device, 2 * COUNT * sizeof(real));
            assert_int_equal(be->sync(be), UF_OK);
            double sum = 0, squares = 0, fourth = 0, lag = 0, members = 0, earlier = 0;
            for (int i = 0; i < COUNT; i++) {
                sum += x[i];
                squares += F(x[i]) * x[i];
                fourth += F(x[i]) * x[i] * x[i] * x[i];
                lag += i ? F(x[i]) * x[i - 1] : 0;
                members += F(x[i]) * x[COUNT + i];
                earlier += k ? F(x[i]) * first[i] : 0;
                if (k == 1 && !(x[i] > -1 && x[i] < 1)) fail_msg("uniform[%d] = %g", i, F(x[i]));
            }
            const double variance = k == 1 ? 1.0 / 3 : 1, n = COUNT, sd = 5 / sqrt(n);
            const struct {
                const char* what;
                double got, want, bound;
            } facts[] = {
                {"mean", sum / n, 0, sd * sqrt(variance)},
                {"variance", squares / n, variance, sd * (k == 1 ? sqrt(4.0 / 45) : sqrt(2))},
                {"fourth moment", fourth / n, k == 1 ? 0.2 : 3,
                 sd * (k == 1 ? sqrt(1.0 / 9 - 0.04) : sqrt(96))},
                {"correlation with the number before", lag / n, 0, sd * variance},
                {"correlation of two seeds", members / n, 0, sd * variance},
                {"correlation with the first stream", earlier / n, 0, sd * sqrt(variance)},
            };
            for (size_t f = 0; f < sizeof facts / sizeof facts[0]; f++)
                if (!(fabs(facts[f].got - facts[f].want) <= facts[f].bound))
                    fail_msg("%s, %s: %g, expected %g within %g", names[k], facts[f].what, facts[f].got,
                             facts[f].want, facts[f].bound);
            if (k == 0) memcpy(first, x, 2 * COUNT * sizeof(real));
        }
        const int64_t bins[2] = {BINS, BINS};
        void* below;
        assert_int_equal(be->reserve(be, &below, sizeof bins, "bins"), UF_OK);
        be->upload(be, below, bins, sizeof bins);
        draw(be, UF_DRAW_INDEX, device, below, COUNT, UF_STREAM_INDEX, 5, 2, there);
        be->download(be, index, device, 2 * COUNT * sizeof(int64_t));
        assert_int_equal(be->sync(be), UF_OK);
        for (int p = 0; p < 2; p++) {
            int counts[BINS] = {0};
            double chi = 0;
            for (int i = 0; i < COUNT; i++) counts[index[p * COUNT + i]]++;
            for (int i = 0; i < BINS; i++)
                chi += (counts[i] - COUNT / BINS) * (counts[i] - COUNT / BINS) / (double)(COUNT / BINS);
            // 63 degrees of freedom: mean 63, standard deviation 11.2.
            if (!(chi > 63 - 4 * 11.2 && chi < 63 + 5 * 11.2))
                fail_msg("chi-square of indices %g, expected about 63", chi);
        }
        be->release(be, device);
        be->release(be, below);
        be->release(be, there);
        free(x);
        free(first);
        free(index);
    }
}

// ---- rows ----

// Rows [before, before + rows) of batches of before + rows + after; records shared by the members or each its
// own.
static void op_gather(Test* t) {
    const Case* c = t->c;
    const int O = c->in, A = c->out, stride = O + A + 3, records = 50, num_rows = 31;
    const int first = c->before, count = c->rows, B = first + count + c->after;
    for (int k = 0; k < 16; k++) {
        const bool has_next_obs = k & 1, has_rows = k & 2, has_next_actions = k & 4, shared = !(k & 8);
        Array* data = new_array(t, "records", 1, records * stride, sizeof(float), shared, false);
        Array* next_obs = new_array(t, "next_obs", 1, records * O, sizeof(float), shared, false);
        Array* next_actions = new_array(t, "next_actions", 1, records * A, sizeof(float), shared, false);
        Array* rows = new_array(t, "rows", 1, num_rows, sizeof(int64_t), true, false);
        Array* index = new_array(t, "index", 1, count, sizeof(int64_t), false, false);
        for (int p = 0; p < (shared ? 1 : t->P); p++) {
            UfRandom r = uf_random(shared ? 7 : seed_of(t, p), 0, 0);
            real *x = BEFORE(data) + p * records * stride, *next = BEFORE(next_obs) + p * records * O,
                 *actions = BEFORE(next_actions) + p * records * A;
            for (int i = 0; i < records * stride; i++) x[i] = uf_random_normal(&r);
            for (int i = 0; i < records * O; i++) next[i] = uf_random_normal(&r);
            for (int i = 0; i < records * A; i++) actions[i] = uf_random_normal(&r);
            for (int i = 0; i < records; i++) {
                x[i * stride + O + A + 1] = i % 5 == 0;
                x[i * stride + O + A + 2] = i % 3 != 0;
            }
        }
        int64_t *of_row = (int64_t*)(void*)rows->before, *picked = (int64_t*)(void*)index->before;
        for (int i = 0; i < num_rows; i++) of_row[i] = i + i / 3 + 2;
        for (int p = 0; p < t->P; p++) {
            UfRandom member = uf_random(seed_of(t, p), 1, 0);
            for (int b = 0; b < count; b++)
                picked[p * count + b] = b == 0 ? num_rows - 1 : uf_random_u32(&member) % (uint32_t)num_rows;
        }
        Array *obs = output(t, "obs", B * O), *action = output(t, "action", B * A),
              *reward = output(t, "reward", B);
        Array *next = output(t, "batch next_obs", B * O), *next_action = output(t, "next_action", B * A);
        Array* done = output(t, "done", B);
        const UfBatch batch = {DEV(obs), DEV(action), DEV(reward), DEV(next), DEV(next_action), DEV(done)};
        const UfSource source = {.records = data->device,
                                 .next_obs = has_next_obs ? next_obs->device : NULL,
                                 .next_actions = has_next_actions ? next_actions->device : NULL,
                                 .rows = has_rows ? rows->device : NULL,
                                 .num_rows = num_rows,
                                 .obs_dim = O,
                                 .action_dim = A,
                                 .stride = stride,
                                 .member_rows = shared ? 0 : records};
        send(t);
        // In two pieces, where there are two rows.
        const int part = t->P == 1 ? count / 2 : 0;
        const UfPiece pieces[] = {
            {&source, index->device, {first, part ? part : count, B}},
            {&source, (const int64_t*)index->device + part, {first + part, count - part, B}}};
        t->be->gather(t->be, &batch, pieces, part ? 2 : 1, t->P);
        receive(t);
        for (int i = 0; i < t->P * B && t->reference; i++) {
            const int p = i / B, b = i % B - first;
            if (b < 0 || b >= count) {
                expect_untouched(t, "reward", i, AFTER(reward)[i]);
                expect_untouched(t, "obs", i * O, AFTER(obs)[i * O]);
                expect_untouched(t, "next_action", i * A, AFTER(next_action)[i * A]);
                continue;
            }
            const int64_t row = picked[p * count + b],
                          record = (has_rows ? of_row[row] : row) + (shared ? 0 : p * records);
            const real *here = BEFORE(data) + record * stride,
                       *after = here[O + A + 2] > 0 ? here + stride : here;
            for (int j = 0; j < O; j++) {
                expect(t, "obs", i * O + j, AFTER(obs)[i * O + j], here[j], 0);
                expect(t, "next_obs", i * O + j, AFTER(next)[i * O + j],
                       has_next_obs ? BEFORE(next_obs)[record * O + j] : here[stride + j], 0);
            }
            for (int j = 0; j < A; j++) {
                expect(t, "action", i * A + j, AFTER(action)[i * A + j], here[O + j], 0);
                expect(t, "next_action", i * A + j, AFTER(next_action)[i * A + j],
                       has_next_actions ? BEFORE(next_actions)[record * A + j] : after[O + j], 0);
            }
            expect(t, "reward", i, AFTER(reward)[i], here[O + A], 0);
            expect(t, "done", i, AFTER(done)[i], here[O + A + 1], 0);
        }
        clear(t);
    }
}

static void op_network_input(Test* t) {
    const Case* c = t->c;
    const int B = c->rows, O = c->in, A = c->out, total = B + c->after, ld = O + A + c->pad;
    for (int k = 0; k < 4; k++) {
        const bool has_norm = k & 1, has_action = k & 2;
        Array* mean = new_array(t, "mean", 1, O, sizeof(real), true, false);
        Array* std = new_array(t, "std", 1, O, sizeof(real), true, false);
        UfRandom r = uf_random(8, 0, 0);
        for (int i = 0; i < O; i++) {
            BEFORE(mean)[i] = uf_random_normal(&r);
            const real spread = (real)fabs(uf_random_normal(&r));
            BEFORE(std)[i] = i % 4 ? spread : 0;  // 0: a column that is constant in the data
        }
        Array *obs = normals(t, "obs", B * O, 2, 1), *action = normals(t, "action", B * A, 1, 0);
        Array* out = output(t, "out", total * ld);
        send(t);
        Array* again = output(t, "out", total * ld);
        const real* columns = has_action ? DEV(action) : NULL;
        t->be->upload(t->be, again->device, again->before, again->bytes + GUARD);
        const UfInputRows inputs[] = {{DEV(out), total, DEV(obs), columns},
                                      {DEV(again), total, DEV(obs), columns}};
        t->be->network_input(t->be, inputs, 2, ld, has_norm ? DEV(mean) : NULL, has_norm ? DEV(std) : NULL,
                             t->P, B, O, A);
        receive(t);
        assert_memory_equal(out->after, again->after, out->bytes);
        for (int i = 0; i < t->P * total * ld && t->reference; i++) {
            const int p = i / ld / total, b = i / ld % total, j = i % ld;
            const real got = AFTER(out)[i];
            if (b < B && j < O) {
                const double o = BEFORE(obs)[(p * B + b) * O + j], m = BEFORE(mean)[j],
                             divisor = BEFORE(std)[j] + 1e-3;
                expect(t, "out", i, got, has_norm ? (o - m) / divisor : o,
                       has_norm ? 4 * U * (fabs(o) + fabs(m)) / divisor : 0);
            } else if (b < B && j < O + A && has_action) {
                expect(t, "out", i, got, BEFORE(action)[(p * B + b) * A + j - O], 0);
            } else {
                expect_untouched(t, "out", i, got);
            }
        }
        clear(t);
    }
}

// ---- world model ----

// Model outputs, inputs, elites and noise of R rows; D = in + 1 numbers, N elites.
typedef struct ModelArrays {
    Array *out, *bounds, *x, *elite, *noise, *hyper;
    UfMlp mlp;
    UfElites model;
} ModelArrays;

static ModelArrays model_arrays(Test* t, int total, int ld) {
    const Case* c = t->c;
    const int O = c->in, D = O + 1, R = c->rows;
    ModelArrays m;
    m.out = normals(t, "out", (size_t)c->N * R * 2 * D, 1, 0);
    m.bounds = new_array(t, "bounds", 1, 2 * D, sizeof(real), true, false);
    UfRandom r = uf_random(9, 0, 0);
    for (int d = 0; d < 2 * D; d++) BEFORE(m.bounds)[d] = (real)exp(uf_random_uniform(&r, -3, 0));
    m.x = padded(t, "x", 1, total, ld, 0, R, O + c->out);
    m.elite = new_array(t, "elite", 1, R, sizeof(int64_t), false, false);
    for (int p = 0; p < t->P; p++) {
        UfRandom member = uf_random(seed_of(t, p), 2, 0);
        for (int b = 0; b < R; b++)
            ((int64_t*)(void*)m.elite->before)[p * R + b] = uf_random_u32(&member) % (uint32_t)c->N;
    }
    m.noise = normals(t, "noise", (size_t)R * D, 1, 0);
    m.hyper = hypers(t);
    m.mlp = uf_mlp_shape(O + c->out, 1, 1, 2 * D, false, 0);
    m.model = (UfElites){
        {NULL, 1, c->N, c->N, NULL, true}, DEV(m.bounds), O, c->out, UF_TERMINATION_HUMANOID, 2, -3};
    return m;
}

static double naive_variance(const ModelArrays* m, double raw, int d, int D) {
    const double low = log(F(BEFORE(m->bounds)[d])), high = -log(F(BEFORE(m->bounds)[D + d]));
    double logvar = high - log1p(exp(high - raw));
    logvar = low + log1p(exp(logvar - low));
    return exp(logvar);
}

static void op_model_step(Test* t) {
    const Case* c = t->c;
    const int O = c->in, D = O + 1, R = c->rows, E = c->N, total = R + c->after, ld = O + c->out + c->pad;
    for (int k = 0; k < 4; k++) {
        const bool pessimist = k & 1, has_distance = k & 2;
        ModelArrays m = model_arrays(t, total, ld);
        for (int p = 0; p < t->P; p++) {
            UfHyper* h = &((UfHyper*)(void*)m.hyper->before)[p];
            if ((t->first + p) % 3 == 1) h->step_penalty_coef = 0;
            h->term_penalty_offset = pessimist && (t->first + p) % 2 == 0 ? -5 : 0;
        }
        m.model.discrepancy = (real)(4 * sqrt(D));  // about the middle with threshold_coef near 0.5
        Array *next_obs = output(t, "next_obs", (size_t)R * O), *reward = output(t, "reward", R);
        Array *done = output(t, "done", R), *penalty = output(t, "penalty", R);
        Array* distance = has_distance ? output(t, "distance", R) : NULL;
        send(t);
        t->be->model_step(t->be, DEV(next_obs), DEV(reward), DEV(done), DEV(penalty),
                          has_distance ? DEV(distance) : NULL, &m.model, DEV(m.out),
                          (UfInput){DEV(m.x), ld, total}, m.elite->device, DEV(m.noise), HYPER_DEV(m.hyper),
                          t->P, R);
        receive(t);
        for (int i = 0; i < t->P * R && t->reference; i++) {
            const int p = i / R, b = i % R;
            const UfHyper* h = &HYPER(m.hyper)[p];
            const real* of_elite[MAX_N];
            double largest = 0, apart = 0;
            for (int e = 0; e < E; e++) {
                of_elite[e] = BEFORE(m.out) + (((size_t)p * E + e) * R + b) * 2 * D;
                double sum = 0;
                for (int d = 0; d < D; d++) sum += naive_variance(&m, F(of_elite[e][D + d]), d, D);
                largest = fmax(largest, sum);
                for (int f = 0; f < e; f++) {
                    double square = 0;
                    for (int d = 0; d < D; d++)
                        square += (F(of_elite[e][d]) - of_elite[f][d]) * (F(of_elite[e][d]) - of_elite[f][d]);
                    apart = fmax(apart, sqrt(square));
                }
            }
            const real* mean = of_elite[((int64_t*)(void*)m.elite->before)[i]];
            const real* obs = BEFORE(m.x) + ((size_t)p * total + b) * ld;
            double sample = 0, slack = 0, first = 0;
            for (int d = 0; d < D; d++) {
                // The variance takes an exponential, two sums and a quotient; its root halves their errors.
                const double shift =
                    sqrt(naive_variance(&m, F(mean[D + d]), d, D)) * F(BEFORE(m.noise)[(size_t)i * D + d]);
                sample = mean[d] + shift;
                slack = U * (fabs(F(mean[d])) + 8 * fabs(shift) + fabs(sample));
                if (d == O) break;
                if (d == 0) first = obs[0] + sample;
                expect(t, "next_obs", (size_t)i * O + d, AFTER(next_obs)[(size_t)i * O + d], obs[d] + sample,
                       slack + U * fabs(obs[d] + sample));
            }
            const double fine = F(h->step_penalty_coef) * sqrt(largest), off = fine * (D + 8) * U;
            const double limit = F(h->threshold_coef) * m.model.discrepancy;
            const bool uncertain = h->term_penalty_offset < 0 && apart > limit;
            expect(t, "penalty", i, AFTER(penalty)[i], fine, off);
            if (has_distance) expect(t, "distance", i, AFTER(distance)[i], apart, apart * (D + 4) * U);
            if (h->term_penalty_offset < 0 && fabs(apart - limit) < 1e-4) continue;  // either way
            if (uncertain)
                expect(t, "reward", i, AFTER(reward)[i], -8, 0);
            else
                expect(t, "reward", i, AFTER(reward)[i], sample - fine,
                       slack + off + U * fabs(sample - fine));
            if (fabs(first - 1) < 1e-4 || fabs(first - 2) < 1e-4) continue;
            expect(t, "done", i, AFTER(done)[i], uncertain || !(first >= 1 && first <= 2), 0);
        }
        clear(t);
    }
}

static void op_model_error(Test* t) {
    const Case* c = t->c;
    const int O = c->in, D = O + 1, R = c->rows, E = c->N;
    ModelArrays m = model_arrays(t, R, O + c->out);
    Array *obs = normals(t, "obs", (size_t)R * O, 1, 0), *next = normals(t, "next_obs", (size_t)R * O, 1, 0),
          *reward = normals(t, "reward", R, 2, 1);
    for (int i = 0; i < t->P * R; i++)
        BEFORE(obs)[(size_t)i * O] = BEFORE(next)[(size_t)i * O];  // does not vary
    Array* error = new_array(t, "error", 1, 1, sizeof(double), false, true);
    const UfBatch batch = {.obs = DEV(obs), .next_obs = DEV(next), .reward = DEV(reward)};
    send(t);
    t->be->model_error(t->be, error->device, &m.model, DEV(m.out), &batch, t->P, R);
    receive(t);
    for (int p = 0; p < t->P && t->reference; p++) {
        double sum = 0;
        int count = 0;
        for (int d = 0; d < D; d++) {
            double targets = 0, squares = 0, wrong = 0;
            for (int b = 0; b < R; b++) {
                const size_t row = (size_t)p * R + b, at = row * O + d;
                const double target = d < O ? F(BEFORE(next)[at]) - BEFORE(obs)[at] : F(BEFORE(reward)[row]);
                double mean = 0;
                for (int e = 0; e < E; e++)
                    mean += F(BEFORE(m.out)[(((size_t)p * E + e) * R + b) * 2 * D + d]) / E;
                targets += target;
                squares += target * target;
                wrong += (target - mean) * (target - mean);
            }
            const double variance = squares - targets * targets / R;
            if (d == 0 || R == 1) continue;
            sum += wrong / variance;
            count++;
        }
        const double want = count ? sqrt(sum / count) : 0;
        expect(t, "error", p, ((double*)(void*)error->after)[p], want, 1e-9 * want);
    }
    clear(t);
}

// A ring that wraps around, twice: all rows, then those that are still alive.
static void append_to_ring(Test* t, int64_t capacity) {
    const Case* c = t->c;
    const int O = c->in, A = c->out, R = c->rows, ld = O + A + c->pad, stride = O + A + 3;
    Array* x = padded(t, "x", 1, R, ld, 0, R, O + A);
    Array *reward = normals(t, "reward", R, 1, 0), *penalty = normals(t, "penalty", R, 1, 0);
    Array *next_obs = normals(t, "next_obs", (size_t)R * O, 1, 0),
          *next_action = normals(t, "next_action", (size_t)R * A, 1, 0), *done = normals(t, "done", R, 0, 0);
    Array* records = new_array(t, "records", 1, (size_t)capacity * stride, sizeof(float), false, true);
    Array* ring_obs = new_array(t, "ring next_obs", 1, (size_t)capacity * O, sizeof(float), false, true);
    Array* ring_actions =
        new_array(t, "ring next_actions", 1, (size_t)capacity * A, sizeof(float), false, true);
    Array* head = new_array(t, "head", 1, 1, sizeof(int64_t), false, true);
    Array* fill = new_array(t, "fill", 1, 1, sizeof(int64_t), false, true);
    Array* alive = new_array(t, "alive", 1, R, sizeof(int), false, true);
    Array* sums = new_array(t, "sums", 1, UF_NUM_ROLLOUT_SUMS, sizeof(double), false, true);
    for (int p = 0; p < t->P; p++) {
        const int64_t start = (t->first + p) % 2 ? 0 : R / 2 % capacity;
        ((int64_t*)(void*)head->before)[p] = ((int64_t*)(void*)fill->before)[p] = start;
        for (int i = 0; i < UF_NUM_ROLLOUT_SUMS; i++)
            ((double*)(void*)sums->before)[p * UF_NUM_ROLLOUT_SUMS + i] = i;
        UfRandom r = uf_random(seed_of(t, p), 3, 0);
        for (int b = 0; b < R; b++) {
            const size_t row = (size_t)p * R + b;
            const uint32_t kind = uf_random_u32(&r) % 12;
            if (kind == 0) BEFORE(next_obs)[row * O + O - 1] = NAN;
            if (kind == 1) BEFORE(reward)[row] = INFINITY;
            if (kind == 2) BEFORE(next_action)[row * A] = -INFINITY;
            if (kind == 3) BEFORE(x)[row * ld + O] = NAN;
            if (kind >= 4 && kind < 7) BEFORE(done)[row] = 1;
        }
    }
    const UfRing ring = {
        records->device, ring_obs->device, ring_actions->device, head->device, fill->device, capacity, O, A,
        stride};
    const UfBatch step = {
        .reward = DEV(reward), .next_obs = DEV(next_obs), .next_action = DEV(next_action), .done = DEV(done)};
    send(t);
    for (int k = 0; k < 2; k++)
        t->be->ring_append(t->be, &ring, alive->device, k == 0, sums->device, (UfInput){DEV(x), ld, R}, &step,
                           DEV(penalty), t->P, R);
    receive(t);
    for (int p = 0; p < t->P && t->reference; p++) {
        int64_t at = ((int64_t*)(void*)head->before)[p], filled = at;
        double expected[UF_NUM_ROLLOUT_SUMS] = {0, 1, 2, 3};
        bool *going = must(calloc((size_t)R, sizeof *going)),
             *written = must(calloc((size_t)capacity, sizeof *written));
        int64_t* of_place = must(calloc((size_t)capacity, sizeof *of_place));
        for (int k = 0; k < 2; k++)
            for (int b = 0; b < R; b++) {
                const size_t row = (size_t)p * R + b;
                if (k == 1 && !going[b]) continue;
                bool finite = isfinite(BEFORE(reward)[row]);
                for (int i = 0; i < O + A; i++) finite = finite && isfinite(BEFORE(x)[row * ld + i]);
                for (int i = 0; i < O; i++) finite = finite && isfinite(BEFORE(next_obs)[row * O + i]);
                for (int i = 0; i < A; i++) finite = finite && isfinite(BEFORE(next_action)[row * A + i]);
                expected[UF_ROLLOUT_TRIED]++;
                expected[UF_ROLLOUT_DROPPED] += !finite;
                if (finite) {
                    expected[UF_ROLLOUT_TERMINATED] += BEFORE(done)[row] > 0;
                    expected[UF_ROLLOUT_PENALTY] += F(BEFORE(penalty)[row]);
                    of_place[at] = (int64_t)row;
                    written[at] = true;
                    at = at + 1 == capacity ? 0 : at + 1;
                    filled = filled < capacity ? filled + 1 : capacity;
                }
                going[b] = finite && BEFORE(done)[row] == 0;
            }
        expect(t, "head", p, (double)((int64_t*)(void*)head->after)[p], (double)at, 0);
        expect(t, "fill", p, (double)((int64_t*)(void*)fill->after)[p], (double)filled, 0);
        for (int b = 0; b < R; b++)
            expect(t, "alive", p * R + b, ((int*)(void*)alive->after)[p * R + b], going[b], 0);
        for (int i = 0; i < UF_NUM_ROLLOUT_SUMS; i++)  // the penalties are added in the same order
            expect(t, "sums", p * UF_NUM_ROLLOUT_SUMS + i,
                   ((double*)(void*)sums->after)[p * UF_NUM_ROLLOUT_SUMS + i], expected[i],
                   i == UF_ROLLOUT_PENALTY ? 1e-12 * R : 0);
        for (int64_t k = 0; k < capacity; k++) {
            const size_t place = (size_t)p * (size_t)capacity + (size_t)k, row = (size_t)of_place[k];
            const real* record = AFTER(records) + place * stride;
            if (!written[k]) {
                expect_untouched(t, "records", place * stride, record[0]);
                expect_untouched(t, "ring next_obs", place * O, AFTER(ring_obs)[place * O]);
                continue;
            }
            for (int i = 0; i < O + A; i++)
                expect(t, "records", place * stride + i, record[i], BEFORE(x)[row * ld + i], 0);
            expect(t, "records reward", place, record[O + A], BEFORE(reward)[row], 0);
            expect(t, "records done", place, record[O + A + 1], BEFORE(done)[row], 0);
            expect(t, "records has_next", place, record[O + A + 2], 0, 0);
            for (int i = 0; i < O; i++)
                expect(t, "ring next_obs", place * O + i, AFTER(ring_obs)[place * O + i],
                       BEFORE(next_obs)[row * O + i], 0);
            for (int i = 0; i < A; i++)
                expect(t, "ring next_actions", place * A + i, AFTER(ring_actions)[place * A + i],
                       BEFORE(next_action)[row * A + i], 0);
        }
        free(going);
        free(written);
        free(of_place);
    }
    clear(t);
}

// The second is smaller than what one call appends: the last rows stay.
static void op_ring_append(Test* t) {
    const int R = t->c->rows;
    append_to_ring(t, R + R / 3 + 1);
    append_to_ring(t, R / 3 + 1);
}

// ---- episodes ----

static const char* const played[] = {
    "pendulum", "cartpole",        "mountaincar",          "mountaincarcontinuous",
    "acrobot",  "pointmaze-umaze", "pointmaze-large-dense"};
enum { NUM_PLAYED = sizeof played / sizeof played[0], PLAY_STEPS = 3, PLAY_CALLS = 5, PLAY_LENGTH = 5 };

typedef struct Played {
    const UfPlay* play;
    const real *params, *log_std, *mean, *std;
    const UfHyper* hyper;
    UfEnv* env;
    double ret;
    int length, steps_left;  // steps_left: of the row
    bool tied;               // two discrete actions were so close that rounding may choose
} Played;

// An episode by the interface of environments, the host's forward pass and numbers drawn one by one.
static void naive_episode(Played* e, uint64_t seed, uint64_t episode) {
    const UfPlay* c = e->play;
    const UfMlp* m = c->nets.mlp;
    UfRandom random = uf_random(seed, UF_STREAM_EVAL_ACTION, episode);
    float obs[8], action[8];
    real x[8], head[16], *scratch = must(malloc(2 * m->width * sizeof *scratch));
    bool ends = false, truncated = false;
    uf_env_reset(e->env, seed, episode, obs);
    e->ret = e->length = e->tied = 0;
    for (; !ends && e->length < c->rule.max_steps && e->steps_left > 0; e->length++, e->steps_left--) {
        for (int i = 0; i < m->in; i++) x[i] = e->mean ? (obs[i] - e->mean[i]) / (e->std[i] + 1e-3f) : obs[i];
        uf_mlp_forward_host(m, e->params, head, x, m->in, 1, scratch);
        for (int i = 0; i < c->heads.A; i++) {
            const real raw = e->log_std ? e->log_std[i] : head[c->heads.H > c->heads.A ? c->heads.A + i : 0];
            const real eps = uf_random_normal(&random);
            action[i] = uf_policy_sample(c->heads.kind, head[i],
                                         uf_clip(raw, e->hyper->log_std_min, e->hyper->log_std_max),
                                         c->deterministic ? 0 : eps)
                            .action;
            for (int k = 0; k < i && c->rule.discrete; k++) e->tied |= fabs(F(action[i]) - action[k]) < 1e-4;
            if (!isfinite(action[i])) action[i] = 0;
        }
        double reward;
        uf_env_scale_action(uf_env_spec(e->env), action, action);
        uf_env_step(e->env, action, obs, &reward, &ends, &truncated);
        e->ret += reward;
    }
    free(scratch);
}

// Short episodes, several a row, which the calls cut where they do not end. Member 0 has a policy of NaN now and then.
static void op_play(Test* t) {
    const Case* c = t->c;
    const int which = (int)(c - cases), kind = which % 3;
    const int R = c->rows < 40 ? c->rows : c->rows < 200 ? 40 : c->rows < 300 ? 200 : 300;
    const int64_t num_episodes = R + R / 2 + 1;
    const UfEnvSpec* spec = uf_env_find(played[which % NUM_PLAYED]);
    const bool free_std = which % 2, norm = which % 4 < 2, sick = which % 5 == 4;
    const int A = spec->action_dim, H = kind == UF_POLICY_DETERMINISTIC || free_std ? A : 2 * A;
    Case shaped = *c;
    shaped.in = spec->obs_dim;
    UfMlp m = shape_of(&shaped, H);
    Array *params = parameters(t, &m), *hyper = hypers(t), *log_std = normals(t, "log_std", A + 1, 1, 0);
    Array *mean = new_array(t, "mean", 1, m.in, sizeof(real), true, false),
          *std = new_array(t, "std", 1, m.in, sizeof(real), true, false);
    Array* seeds = new_array(t, "seeds", 1, 1, sizeof(uint64_t), false, false);
    Array* rows = new_array(t, "rows", 1, R, sizeof(UfPlayRow), false, true);
    Array* returns = new_array(t, "returns", 1, (size_t)num_episodes, sizeof(double), false, true);
    Array* lengths = new_array(t, "lengths", 1, (size_t)num_episodes, sizeof(int32_t), false, true);
    memset(rows->before, 0, rows->bytes);
    memset(returns->before, 0, returns->bytes);
    memset(lengths->before, 0, lengths->bytes);
    for (int i = 0; i < m.in; i++) BEFORE(mean)[i] = 0.1f * (real)i, BEFORE(std)[i] = 0.5f + (real)i;
    for (int p = 0; p < t->P; p++) {
        ((uint64_t*)(void*)seeds->before)[p] = seed_of(t, p);
        if (sick && t->first + p == 0) BEFORE(params)[(size_t)p * c->N * m.size + m.bias[m.layers]] = NAN;
    }
    const bool sampled = kind != UF_POLICY_DETERMINISTIC;
    UfPlay play = {.nets = {&m, t->P, c->N, 1, DEV(params), false},
                   .heads = {.kind = kind,
                             .P = t->P,
                             .B = R,
                             .A = A,
                             .H = H,
                             .log_std = sampled && free_std ? DEV(log_std) : NULL,
                             .log_std_stride = (size_t)A + 1,
                             .hyper = HYPER_DEV(hyper)},
                   .mean = norm ? DEV(mean) : NULL,
                   .std = norm ? DEV(std) : NULL,
                   .deterministic = which % 7 == 1,
                   .R = R,
                   .num_episodes = num_episodes,
                   .seeds = seeds->device,
                   .rows = rows->device,
                   .returns = returns->device,
                   .lengths = lengths->device};
    assert_true(uf_env_rule(spec, &play.rule));
    play.rule.max_steps = PLAY_LENGTH;
    send(t);
    assert_int_equal(t->be->plan(t->be, &m, t->P, 1, 1), UF_OK);
    for (int k = 0; k < PLAY_CALLS; k++) t->be->play(t->be, &play, PLAY_STEPS);
    receive(t);
    Played e = {.play = &play, .mean = norm ? BEFORE(mean) : NULL, .std = BEFORE(std)};
    assert_int_equal(uf_env_create(&e.env, spec->name), UF_OK);
    for (int i = 0; i < t->P * R && t->reference; i++) {
        const int p = i / R, r = i % R;
        const UfPlayRow* row = &((const UfPlayRow*)(const void*)rows->after)[i];
        e.params = BEFORE(params) + (size_t)p * c->N * m.size;
        e.log_std = sampled && free_std ? BEFORE(log_std) + p * (A + 1) : NULL;
        e.hyper = &HYPER(hyper)[p];
        e.steps_left = PLAY_STEPS * PLAY_CALLS;
        bool tied = false;
        int64_t finished = 0, steps = 0;
        for (int64_t k = r; k < num_episodes; k += R) {
            const size_t at = (size_t)p * (size_t)num_episodes + (size_t)k;
            naive_episode(&e, seed_of(t, p), (uint64_t)k);
            tied = tied || e.tied;
            if (tied) break;  // either way
            // An action is off by what sums over a layer round, some 2 u, and the C library of a device as much
            // again; a step may double what a state is off by.
            expect(t, "returns", at, ((const double*)(const void*)returns->after)[at], e.ret,
                   (4 << PLAY_LENGTH) * U * (1 + fabs(e.ret)));
            expect(t, "lengths", at, ((const int32_t*)(const void*)lengths->after)[at], e.length, 0);
            if (e.length == 0) continue;
            steps = e.length;
            if (steps < PLAY_LENGTH && e.steps_left == 0)
                break;  // it goes on, or it has ended by itself just now
            finished++;
            steps = 0;
        }
        if (tied) continue;
        if (steps == 0) expect(t, "finished", i, (double)row->finished, (double)finished, 0);
        if (row->finished == finished) expect(t, "steps", i, (double)row->steps, (double)steps, 0);
        const bool is_sick = sick && t->first + p == 0;
        int64_t played_steps = 0;
        for (int64_t k = r; k < num_episodes; k += R)
            played_steps +=
                ((const int32_t*)(const void*)lengths->after)[(size_t)p * (size_t)num_episodes + (size_t)k];
        expect(t, "num_nonfinite", i, (double)row->num_nonfinite, is_sick ? (double)played_steps : 0, 0);
    }
    uf_env_free(e.env);
    clear(t);
}

// ---- bench ----

// One product of the bench on every backend: odd sizes, and every number of the result.
static void test_product(void** state) {
    (void)state;
    enum { M = 37, N = 70, K = 19 };
    real a[M * K], b[K * N], c[M * N];
    UfRandom r = uf_random(11, 0, 0);
    for (int i = 0; i < M * K; i++) a[i] = uf_random_normal(&r);
    for (int i = 0; i < K * N; i++) b[i] = uf_random_normal(&r);
    for (int d = 0; d < NUM_DEVICES; d++) {
        UfBackend* be = devices[d].be;
        void *da, *db, *dc;
        if (!be) continue;
        use(&devices[d]);
        assert_int_equal(be->reserve(be, &da, sizeof a, "a"), UF_OK);
        assert_int_equal(be->reserve(be, &db, sizeof b, "b"), UF_OK);
        assert_int_equal(be->reserve(be, &dc, sizeof c, "c"), UF_OK);
        be->upload(be, da, a, sizeof a);
        be->upload(be, db, b, sizeof b);
        be->product(be, dc, da, db, M, N, K);
        be->download(be, c, dc, sizeof c);
        assert_int_equal(be->sync(be), UF_OK);
        for (int i = 0; i < M * N; i++) {
            double want = 0, size = 0;
            for (int k = 0; k < K; k++) {
                want += F(a[i / N * K + k]) * b[k * N + i % N];
                size += fabs(F(a[i / N * K + k]) * b[k * N + i % N]);
            }
            if (!(fabs(c[i] - want) <= size * (K * U + devices[d].rounding)))
                fail_msg("%s %s: product[%d] = %g, expected %g", devices[d].name, devices[d].precision, i,
                         F(c[i]), want);
        }
        be->release(be, da);
        be->release(be, db);
        be->release(be, dc);
    }
}

// ---- all of them ----

// ---- PPO ----

// A rollout of T steps of N environments. Rows of a case are T N, as far as there are that many.
typedef struct Rollout {
    UfSteps s;
    Array *obs, *action, *log_prob, *reward, *done, *time, *value, *advantage, *target;
    int rows;
} Rollout;

static bool has_ppo(const Test* t) { return t->be->ppo_loss != NULL; }

static int between(UfRandom* r, int count) { return (int)uf_random_uniform(r, 0, count); }

static Rollout new_rollout(Test* t, bool discrete, bool bytes) {
    const Case* c = t->c;
    Rollout o = {0};
    const int T = 1 + c->rows % 7,
              N = c->rows / T < 1    ? 1
                  : c->rows / T > 60 ? 60
                                     : c->rows / T,
              rows = T * N;
    const int A = discrete && c->out == 1 ? 2 : c->out, numbers = discrete ? 1 : A;
    o.rows = rows;
    o.obs = bytes ? new_array(t, "obs", 1, (rows + N) * c->in, 1, false, false)
                  : normals(t, "obs", (rows + N) * c->in, 1, 0);
    o.action = normals(t, "action", rows * numbers, 1, 0);
    o.log_prob = normals(t, "log_prob", rows, 0.3, -1.2);
    o.reward = normals(t, "reward", rows, 1, 0);
    o.done = new_array(t, "done", 1, rows, 1, false, false);
    o.time = new_array(t, "time", 1, rows, sizeof(int32_t), false, false);
    o.value = normals(t, "value", rows + N, 1, 0);
    o.advantage = normals(t, "advantage", rows, 1.5, 0.3);
    o.target = normals(t, "target", rows, 1, 0);
    for (int p = 0; p < t->P; p++) {
        UfRandom r = random_of(t, p, 0);
        for (int i = 0; i < (rows + N) * c->in && bytes; i++)
            o.obs->before[(size_t)p * o.obs->member + (size_t)i] = (unsigned char)between(&r, 256);
        for (int i = 0; i < rows; i++) {
            o.done->before[p * rows + i] = between(&r, 4) == 0;
            ((int32_t*)(void*)o.time->before)[p * rows + i] = between(&r, 30);
            if (discrete) BEFORE(o.action)[p * rows + i] = (real)between(&r, A);
        }
    }
    o.s = (UfSteps){.P = t->P,
                    .T = T,
                    .N = N,
                    .O = c->in,
                    .A = A,
                    .discrete = discrete,
                    .bytes = bytes,
                    .obs = o.obs->device,
                    .action = DEV(o.action),
                    .log_prob = DEV(o.log_prob),
                    .reward = DEV(o.reward),
                    .done = o.done->device,
                    .time = o.time->device,
                    .value = DEV(o.value),
                    .advantage = DEV(o.advantage),
                    .target = DEV(o.target)};
    return o;
}

static Array* ppo_hypers(Test* t) {
    Array* a = new_array(t, "hyper", 1, 1, sizeof(UfPpoHyper), false, false);
    for (int p = 0; p < t->P; p++) {
        UfRandom r = random_of(t, p, 0);
        UfPpoHyper h = {.lr = 1e-3f,
                        .max_grad_norm = (real)uf_random_uniform(&r, 0.2, 0.9),
                        .gamma = (real)uf_random_uniform(&r, 0.8, 1),
                        .gae_lambda = (real)uf_random_uniform(&r, 0.5, 1),
                        .clip_eps = (real)uf_random_uniform(&r, 0.05, 0.4),
                        .vf_coef = (real)uf_random_uniform(&r, 0.2, 1),
                        .ent_coef = (real)uf_random_uniform(&r, 0, 0.2)};
        ((UfPpoHyper*)(void*)a->before)[p] = h;
    }
    return a;
}
#define PPO_HYPER(a) ((const UfPpoHyper*)(const void*)(a)->before)

static Array* ppo_metrics(Test* t) {
    Array* a = new_array(t, "metrics", 1, UF_NUM_PPO_METRICS, sizeof(double), false, true);
    for (int i = 0; i < t->P * UF_NUM_PPO_METRICS; i++)
        ((double*)(void*)a->before)[i] = 0.25 * (i % UF_NUM_PPO_METRICS);
    return a;
}

static void op_random_order(Test* t) {
    const int sizes[] = {1, 2, 3, 4, 5, 33, 2 * t->c->rows};
    if (!t->be->random_order) return;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const int n = sizes[k];
        Array *a = new_array(t, "order", 1, n, sizeof(int64_t), false, true),
              *b = new_array(t, "order of the next update", 1, n, sizeof(int64_t), false, true),
              *seeds = new_seeds(t);
        send(t);
        t->be->random_order(t->be, a->device, t->P, n, seeds->device, 7, (UfCount){k + 1, 0});
        t->be->random_order(t->be, b->device, t->P, n, seeds->device, 7, (UfCount){k + 2, 0});
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++) {
            const int64_t *now = (const int64_t*)(const void*)a->after + p * n,
                          *next = (const int64_t*)(const void*)b->after + p * n;
            int* seen = must(calloc(n, sizeof *seen));
            for (int i = 0; i < n; i++) {
                assert_true(now[i] >= 0 && now[i] < n && !seen[now[i]]);
                seen[now[i]] = 1;
            }
            if (n > 32) assert_memory_not_equal(now, next, n * sizeof *now);
            free(seen);
        }
        clear(t);
    }
}

static void op_ppo_observe(Test* t) {
    if (!has_ppo(t)) return;
    for (int bytes = 0; bytes < 2; bytes++) {
        const Rollout o = new_rollout(t, true, bytes);
        const int B = o.rows < 70 ? o.rows : 70, O = t->c->in, first = o.s.N / 2;
        Array *index = new_array(t, "index", 1, o.rows, sizeof(int64_t), false, false),
              *picked = output(t, "rows that are picked", B * O),
              *range = output(t, "rows in order", o.rows * O);
        for (int p = 0; p < t->P; p++) {
            UfRandom r = random_of(t, p, 0);
            for (int i = 0; i < o.rows; i++)
                ((int64_t*)(void*)index->before)[p * o.rows + i] = between(&r, o.rows);
        }
        send(t);
        t->be->ppo_observe(t->be, DEV(picked), &o.s, &(UfPick){index->device, o.rows, B}, 0, 0);
        t->be->ppo_observe(t->be, DEV(range), &o.s, NULL, first, o.rows);
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++)
            for (int b = 0; b < o.rows; b++)
                for (int i = 0; i < O; i++) {
                    const size_t rows = o.rows + o.s.N,
                                 chosen = ((int64_t*)(void*)index->before)[p * o.rows + b];
                    const size_t at = (p * rows + chosen) * O + i, next = (p * rows + first + b) * O + i;
                    if (b < B)
                        expect(t, "picked", at, AFTER(picked)[(p * B + b) * O + i],
                               bytes ? o.obs->before[at] : BEFORE(o.obs)[at], 0);
                    expect(t, "range", next, AFTER(range)[(p * o.rows + b) * O + i],
                           bytes ? o.obs->before[next] : BEFORE(o.obs)[next], 0);
                }
        clear(t);
    }
}

// Log-probabilities of a row's kinds in double, and what float may be off by: a sum of A exponentials and a logarithm.
static double naive_log_softmax(const real* logits, int A, double* log_p) {
    double sum = 0, entropy = 0, largest = 0;
    for (int k = 0; k < A; k++) sum += exp(F(logits[k]));
    for (int k = 0; k < A; k++) {
        log_p[k] = F(logits[k]) - log(sum);
        entropy -= exp(log_p[k]) * log_p[k];
        largest = fmax(largest, fabs(log_p[k]));
    }
    return entropy;
}
static double softmax_bound(const real* logits, int A) {
    double largest = 0;
    for (int k = 0; k < A; k++) largest = fmax(largest, fabs(F(logits[k])));
    return (A + 8) * U * (1 + 2 * largest);
}

static void op_ppo_act(Test* t) {
    if (!has_ppo(t)) return;
    for (int discrete = 0; discrete < 2; discrete++) {
        Rollout o = new_rollout(t, discrete, false);
        const int A = o.s.A, N = o.s.N, ld = A + 1, step = o.s.T - 1, numbers = discrete ? 1 : A;
        Array *head = normals(t, "head", N * ld, 1.5, 0), *log_std = normals(t, "log_std", A + 3, 0.5, -0.5);
        Array* noise = normals(t, "noise", o.rows * numbers, 1, 0);
        for (size_t i = 0; i < t->P * noise->member && discrete; i++)
            BEFORE(noise)[i] = (real)tanh(BEFORE(noise)[i]);  // in (-1, 1), most of it not near the ends
        o.action->written = o.log_prob->written = true;
        const UfPpoHeads heads = {DEV(head), ld, discrete ? NULL : DEV(log_std), A + 3};
        Array* apart = t->c->rows % 2 ? new_array(t, "actions apart", 1, N * numbers,
                                                  discrete ? 1 : sizeof(real), false, true)
                                      : NULL;
        send(t);
        t->be->ppo_act(t->be, &o.s, step, &heads, DEV(noise), apart ? apart->device : NULL);
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++)
            for (int row = 0; row < o.rows; row++) {
                const size_t at = p * o.rows + row;
                const int n = row - step * N;
                const real* m = BEFORE(head) + (p * N + n) * ld;
                if (n < 0) {  // other steps are left alone
                    expect(t, "action of another step", at, AFTER(o.action)[at * numbers],
                           BEFORE(o.action)[at * numbers], 0);
                    continue;
                }
                for (int i = 0; i < numbers && apart; i++) {
                    const size_t from = at * numbers + i, to = (p * N + n) * numbers + i;
                    expect(t, "action apart", to,
                           discrete ? apart->after[to] : F(((const real*)(const void*)apart->after)[to]),
                           F(AFTER(o.action)[from]), 0);
                }
                if (discrete) {
                    double log_p[MAX_OUT], below = 0;
                    const int kind = (int)AFTER(o.action)[at];
                    naive_log_softmax(m, A, log_p);
                    assert_true(kind >= 0 && kind < A && AFTER(o.action)[at] == (real)kind);
                    for (int k = 0; k < kind; k++) below += exp(log_p[k]);
                    const double u = (F(BEFORE(noise)[at]) + 1) / 2, slack = 2 * softmax_bound(m, A);
                    if (u < below - slack || (u > below + exp(log_p[kind]) + slack && kind < A - 1))
                        expect_near(t, "share below the kind", at, below, u, 0);
                    expect(t, "log_prob", at, AFTER(o.log_prob)[at], log_p[kind], softmax_bound(m, A));
                    continue;
                }
                double log_prob = 0, size = 0;
                for (int i = 0; i < A; i++) {
                    const double s = F(BEFORE(log_std)[p * (A + 3) + i]), eps = F(BEFORE(noise)[at * A + i]);
                    const double action = F(m[i]) + exp(s) * eps, got = F(AFTER(o.action)[at * A + i]);
                    expect(t, "action", at * A + i, got, action,
                           4 * U * (fabs(F(m[i])) + exp(s) * fabs(eps)));
                    const double z = (got - F(m[i])) / exp(s);
                    log_prob += -z * z / 2 - s - log(2 * acos(-1)) / 2;
                    // z is a difference that may have lost what action and mean are large by
                    size += z * z + fabs(s) + 1 + fabs(z) * fabs(F(m[i])) / exp(s);
                }
                expect(t, "log_prob", at, AFTER(o.log_prob)[at], log_prob, (A + 8) * U * size);
            }
        clear(t);
    }
}

// An answer to each step but one, then the beginning of the next rollout.
static void op_ppo_store(Test* t) {
    if (!has_ppo(t)) return;
    for (int kind = 0; kind < 4; kind++) {
        const bool bytes = kind % 2, begins_apart = kind / 2;
        Rollout o = new_rollout(t, true, bytes);
        const int N = o.s.N, O = o.s.O, step = o.s.T / 2, item = bytes ? 1 : sizeof(real);
        Array *obs = bytes ? new_array(t, "obs apart", 1, N * O, 1, false, false)
                           : normals(t, "obs apart", N * O, 1, 0),
              *reward = normals(t, "reward apart", N, 1, 0),
              *terminated = new_array(t, "terminated", 1, N, 1, false, false),
              *truncated = new_array(t, "truncated", 1, N, 1, false, false);
        for (int p = 0; p < t->P; p++) {
            UfRandom r = random_of(t, p, 0);
            for (int i = 0; i < N * O && bytes; i++)
                obs->before[p * N * O + i] = (unsigned char)between(&r, 256);
            for (int n = 0; n < N; n++) {
                terminated->before[p * N + n] = between(&r, 3) == 0;
                truncated->before[p * N + n] = between(&r, 3) == 0;
            }
        }
        o.obs->written = o.reward->written = o.done->written = true;
        send(t);
        t->be->ppo_store(t->be, &o.s, step, obs->device, DEV(reward), terminated->device,
                         begins_apart ? truncated->device : NULL);
        t->be->ppo_store(t->be, &o.s, -1, begins_apart ? obs->device : NULL, NULL, NULL, NULL);
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++)
            for (int place = 0; place < o.rows + N; place++) {
                const int at_step = place / N, n = place % N;
                const size_t i = p * N + n, row = p * o.rows + place, own = p * (o.rows + N) + place,
                             last = p * (o.rows + N) + o.rows + n;
                const bool from_apart =
                    at_step == step + 1 || (at_step == 0 && (begins_apart || o.s.T == step + 1));
                const unsigned char* expected = from_apart
                                                    ? obs->before + i * O * item
                                                    : o.obs->before + (at_step == 0 ? last : own) * O * item;
                for (int k = 0; k < O * item; k++)
                    expect(t, "byte of obs", own * O * item + k, o.obs->after[own * O * item + k],
                           expected[k], 0);
                if (at_step == o.s.T) continue;
                const bool stored = at_step == step;
                expect(t, "reward", row, F(AFTER(o.reward)[row]),
                       F(stored ? BEFORE(reward)[i] : BEFORE(o.reward)[row]), 0);
                expect(t, "done", row, o.done->after[row],
                       !stored ? o.done->before[row]
                               : terminated->before[i] || (begins_apart && truncated->before[i]),
                       0);
            }
        clear(t);
    }
}

static void op_ppo_episodes(Test* t) {
    if (!has_ppo(t)) return;
    Rollout o = new_rollout(t, true, false);
    const int N = o.s.N;
    Array *length = new_array(t, "length", 1, N, sizeof(int32_t), false, true),
          *ret = new_array(t, "return", 1, N, sizeof(double), false, true),
          *sums = new_array(t, "sums", 1, 3, sizeof(double), false, true);
    o.time->written = true;
    for (int i = 0; i < t->P * N; i++) {
        ((int32_t*)(void*)length->before)[i] = i % N % 5;
        ((double*)(void*)ret->before)[i] = 0.5 * (i % N % 3);
    }
    for (int i = 0; i < t->P * 3; i++) ((double*)(void*)sums->before)[i] = 10 * (i % 3);
    const UfEpisodes e = {length->device, ret->device, sums->device};
    send(t);
    for (int step = 0; step < o.s.T; step++) t->be->ppo_episodes(t->be, &o.s, step, &e);
    receive(t);
    for (int p = 0; p < t->P && t->reference; p++) {
        double expected[3] = {0, 10, 20};
        for (int n = 0; n < N; n++) {
            int steps = ((int32_t*)(void*)length->before)[p * N + n];
            double sum = ((double*)(void*)ret->before)[p * N + n];
            for (int step = 0; step < o.s.T; step++) {
                const size_t row = p * o.rows + step * N + n;
                expect(t, "time", row, ((const int32_t*)(const void*)o.time->after)[row], steps++, 0);
                sum += F(BEFORE(o.reward)[row]);
                if (!o.done->before[row]) continue;
                expected[0]++;
                expected[1] += sum;
                expected[2] += steps;
                sum = steps = 0;
            }
            expect(t, "length", n, ((const int32_t*)(const void*)length->after)[p * N + n], steps, 0);
            expect(t, "return", n, ((const double*)(const void*)ret->after)[p * N + n], sum,
                   1e-12 * (1 + fabs(sum)));
        }
        for (int i = 0; i < 3; i++)
            expect(t, "sums", i, ((const double*)(const void*)sums->after)[p * 3 + i], expected[i],
                   1e-10 * o.rows);
    }
    clear(t);
}

static void op_ppo_values(Test* t) {
    if (!has_ppo(t)) return;
    Rollout o = new_rollout(t, true, false);
    const int ld = 3, B = o.rows - o.rows / 3, first = o.rows / 3;
    Array* out = normals(t, "out", B * ld, 1, 0);
    o.value->written = true;
    send(t);
    t->be->ppo_values(t->be, &o.s, first, DEV(out) + 1, ld, B);
    receive(t);
    for (int p = 0; p < t->P && t->reference; p++)
        for (int row = 0; row < o.rows + o.s.N; row++) {
            const size_t at = p * (o.rows + o.s.N) + row;
            const bool inside = row >= first && row < first + B;
            expect(t, "value", at, AFTER(o.value)[at],
                   inside ? BEFORE(out)[(p * B + row - first) * ld + 1] : BEFORE(o.value)[at], 0);
        }
    clear(t);
}

static void op_ppo_advantages(Test* t) {
    if (!has_ppo(t)) return;
    for (int by_time = 0; by_time < 2; by_time++) {
        Rollout o = new_rollout(t, true, false);
        Array* hyper = ppo_hypers(t);
        const int N = o.s.N;
        o.advantage->written = o.target->written = true;
        send(t);
        t->be->ppo_advantages(t->be, &o.s, by_time, hyper->device);
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++)
            for (int n = 0; n < N; n++) {
                double next = 0, size = 0;
                for (int step = o.s.T - 1; step >= 0; step--) {
                    const size_t row = p * o.rows + step * N + n, v = p * (o.rows + N) + step * N + n;
                    const double gamma = F(PPO_HYPER(hyper)[p].gamma),
                                 time = ((int32_t*)(void*)o.time->before)[row];
                    const double discount = o.done->before[row] ? 0 : by_time ? pow(gamma, time) : gamma;
                    const double value = F(BEFORE(o.value)[v]), after = discount * F(BEFORE(o.value)[v + N]);
                    const double lambda = discount * F(PPO_HYPER(hyper)[p].gae_lambda);
                    next = F(BEFORE(o.reward)[row]) + after - value + lambda * next;
                    size = fabs(F(BEFORE(o.reward)[row])) + fabs(after) + fabs(value) + lambda * size;
                    // powf is off by a unit or two, and gamma's own rounding is not counted: both use the float.
                    expect(t, "advantage", row, AFTER(o.advantage)[row], next, 8 * U * size);
                    expect(t, "target", row, AFTER(o.target)[row], next + value,
                           9 * U * (size + fabs(value)));
                }
            }
        clear(t);
    }
}

// One row's part of the loss, in double, with the derivatives written out from the definitions.
typedef struct LossRow {
    double policy, value, entropy, kl, clipped;
    double dlp, dv;      // with respect to log-probability and value
    bool near_a_corner;  // float may take the other side
} LossRow;

static LossRow naive_loss_row(double log_ratio, double advantage, double v, double old, double target,
                              double eps, int clip_value) {
    LossRow l = {0};
    const double ratio = exp(log_ratio), low = 1 - eps, high = 1 + eps;
    const double held = fmin(fmax(ratio, low), high), plain = ratio * advantage, cut = held * advantage;
    l.policy = -fmin(plain, cut);
    l.dlp = plain <= cut ? -plain : 0;
    l.kl = ratio - 1 - log_ratio;
    l.clipped = ratio < low || ratio > high;
    l.near_a_corner = fabs(ratio - low) < 1e-4 || fabs(ratio - high) < 1e-4;
    const double error = v - target, held_v = old + fmin(fmax(v - old, -eps), eps), error_c = held_v - target;
    const double share = clip_value == UF_CLIP_VALUE_NAVIX ? 0.5 : 1, a = error * error,
                 b = share * error_c * error_c;
    const bool inside = fabs(v - old) <= eps;
    if (clip_value == UF_CLIP_VALUE_NONE || a >= b || (inside && share == 1)) {
        l.value = a / 2;
        l.dv = error;
    } else {
        l.value = b / 2;
        l.dv = inside ? share * error_c : 0;
    }
    if (clip_value != UF_CLIP_VALUE_NONE)
        l.near_a_corner |=
            fabs(fabs(v - old) - eps) < 1e-4 || (!(inside && share == 1) && fabs(a - b) < 1e-4);
    return l;
}

static void check_loss(Test* t, const Rollout* o, const Array* index, int B, const Array* head,
                       const Array* log_std, const Array* value, const Array* hyper, const Array* dhead,
                       const Array* dvalue, const Array* dlog_std, const Array* metrics, int ld,
                       int clip_value, bool normalise) {
    const int A = o->s.A, N = o->s.N, rows = o->rows;
    for (int p = 0; p < t->P; p++) {
        const int64_t* picks = (const int64_t*)(const void*)index->before + p * rows;
        const UfPpoHyper* h = &PPO_HYPER(hyper)[p];
        double mean = 0, variance = 0, sums[UF_NUM_PPO_METRICS] = {0}, size = 0, ds[MAX_OUT] = {0},
               ds_size = 0;
        int corners = 0;
        for (int b = 0; b < B; b++) mean += F(BEFORE(o->advantage)[p * rows + picks[b]]) / B;
        for (int b = 0; b < B; b++)
            variance += pow(F(BEFORE(o->advantage)[p * rows + picks[b]]) - mean, 2) / B;
        const double scale = normalise ? 1 / (sqrt(variance) + 1e-8) : 1;
        if (!normalise) mean = 0;
        for (int b = 0; b < B; b++) {
            const size_t row = p * rows + picks[b], v_row = p * (rows + N) + picks[b];
            const real* m = BEFORE(head) + (p * B + b) * ld;
            const real* s = log_std ? BEFORE(log_std) + p * A : NULL;
            double log_p[MAX_OUT] = {0}, entropy = 0, log_prob = 0, bound = 0;
            const int kind = o->s.discrete ? (int)BEFORE(o->action)[row] : 0;
            if (o->s.discrete) {
                entropy = naive_log_softmax(m, A, log_p);
                log_prob = log_p[kind];
                bound = softmax_bound(m, A);
            }
            for (int i = 0; i < A && s; i++) {
                const double x = F(BEFORE(o->action)[row * A + i]), z = (x - F(m[i])) / exp(F(s[i]));
                log_prob += -z * z / 2 - F(s[i]) - log(2 * acos(-1)) / 2;
                entropy += F(s[i]) + 0.5 + log(2 * acos(-1)) / 2;
                bound +=
                    8 * U * (z * z + fabs(F(s[i])) + 1 + fabs(z) * (fabs(x) + fabs(F(m[i]))) / exp(F(s[i])));
            }
            const double advantage = (F(BEFORE(o->advantage)[row]) - mean) * scale,
                         v = F(BEFORE(value)[p * B + b]);
            const double log_ratio = log_prob - F(BEFORE(o->log_prob)[row]);
            const LossRow l = naive_loss_row(log_ratio, advantage, v, F(BEFORE(o->value)[v_row]),
                                             F(BEFORE(o->target)[row]), F(h->clip_eps), clip_value);
            corners += l.near_a_corner;
            sums[UF_PPO_METRIC_policy_loss] += l.policy / B;
            sums[UF_PPO_METRIC_value_loss] += l.value / B;
            sums[UF_PPO_METRIC_entropy] += entropy / B;
            sums[UF_PPO_METRIC_approx_kl] += l.kl / B;
            sums[UF_PPO_METRIC_clip_fraction] += l.clipped / B;
            const double ratio = exp(log_ratio), moved = bound + 4 * U * (1 + fabs(log_ratio));
            size +=
                (ratio * (1 + fabs(advantage)) * (moved + 8 * U) + 8 * U * (l.value + fabs(entropy) + 4)) / B;
            const double dlp = l.dlp / B, dh = -F(h->ent_coef) / B;
            const double dlp_bound =
                fabs(dlp) * (moved + 16 * U) + ratio / B * 8 * U * scale * (fabs(mean) + 1);
            if (l.near_a_corner) continue;
            expect(
                t, "dvalue", p * B + b, AFTER(dvalue)[p * B + b], F(h->vf_coef) * l.dv / B,
                8 * U * F(h->vf_coef) *
                    (fabs(v) + 2 * fabs(F(BEFORE(o->value)[v_row])) + fabs(F(BEFORE(o->target)[row])) + 1) /
                    B);
            for (int i = 0; i < A; i++) {
                const double got = F(AFTER(dhead)[(p * B + b) * ld + i]);
                if (o->s.discrete) {
                    const double prob = exp(log_p[i]), each = prob * (log_p[i] + entropy);
                    expect(t, "dhead", (p * B + b) * A + i, got, dlp * ((i == kind) - prob) - dh * each,
                           dlp_bound + fabs(dlp) * 2 * bound +
                               fabs(dh) * (2 * bound + 8 * U) * (2 + fabs(log_p[i])));
                    continue;
                }
                const double std = exp(F(s[i])), z = (F(BEFORE(o->action)[row * A + i]) - F(m[i])) / std;
                const double z_bound =
                    4 * U * (fabs(z) + (fabs(F(m[i])) + fabs(F(BEFORE(o->action)[row * A + i]))) / std);
                expect(t, "dhead", (p * B + b) * A + i, got, dlp * z / std,
                       (dlp_bound * fabs(z) + fabs(dlp) * (z_bound + 4 * U * fabs(z))) / std);
                ds_size += dlp_bound * (z * z + 1) +
                           fabs(dlp) * (2 * fabs(z) * z_bound + 4 * U * (z * z + 1)) + 4 * U * fabs(dh);
                ds[i] += dlp * (z * z - 1) + dh;
            }
        }
        // Rows near a corner move sums by their own size: then the sums say nothing to these bounds.
        if (corners) continue;
        for (int i = 0; i < A && dlog_std; i++)
            expect(t, "dlog_std", p * A + i, AFTER(dlog_std)[p * A + i], ds[i],
                   ds_size + B * U * fabs(ds[i]));
        sums[UF_PPO_METRIC_loss] = sums[UF_PPO_METRIC_policy_loss] +
                                   F(h->vf_coef) * sums[UF_PPO_METRIC_value_loss] -
                                   F(h->ent_coef) * sums[UF_PPO_METRIC_entropy];
        for (int i = 0; i < UF_NUM_PPO_METRICS; i++)
            expect(t, "metrics", i, ((const double*)(const void*)metrics->after)[p * UF_NUM_PPO_METRICS + i],
                   0.25 * i + sums[i], i == UF_PPO_METRIC_grad_norm ? 0 : 2 * size + 1e-12);
    }
}

static void op_ppo_loss(Test* t) {
    if (!has_ppo(t)) return;
    for (int variant = 0; variant < 8; variant++) {
        const bool discrete = variant % 2, normalise = variant / 2 % 2;
        const int clip_value = variant % 3;
        Rollout o = new_rollout(t, discrete, false);
        const int A = o.s.A, B = o.rows < 40 ? o.rows : 40, ld = A + variant % 2;
        Array *index = new_array(t, "index", 1, o.rows, sizeof(int64_t), false, false),
              *head = normals(t, "head", B * ld, 1, 0),
              *log_std = discrete ? NULL : normals(t, "log_std", A, 0.3, 0);
        Array *value = normals(t, "new value", B, 1, 0), *hyper = ppo_hypers(t), *metrics = ppo_metrics(t);
        Array *dhead = output(t, "dhead", B * ld), *dvalue = output(t, "dvalue", B),
              *dlog_std = discrete ? NULL : output(t, "dlog_std", A);
        for (int p = 0; p < t->P; p++) {
            UfRandom r = random_of(t, p, 0);
            for (int i = 0; i < o.rows; i++)
                ((int64_t*)(void*)index->before)[p * o.rows + i] = between(&r, o.rows);
            for (int b = 0; b < B; b++) {  // values that moved little beside such that moved too far
                const int64_t row = ((int64_t*)(void*)index->before)[p * o.rows + b];
                if (b % 3 == 0)
                    BEFORE(value)[p * B + b] = BEFORE(o.value)[p * (o.rows + o.s.N) + row] + (real)0.02;
            }
            for (int i = 0; i < o.rows && !discrete; i++)  // ratios of the order of 1, whatever A is
                BEFORE(o.log_prob)[p * o.rows + i] -= (real)(A * (0.5 + log(2 * acos(-1)) / 2) - 1);
        }
        const UfPpoHeads heads = {DEV(head), ld, discrete ? NULL : DEV(log_std), A};
        send(t);
        t->be->ppo_loss(t->be, DEV(dhead), DEV(dvalue), discrete ? NULL : DEV(dlog_std), &o.s,
                        (UfPick){index->device, o.rows, B}, &heads, DEV(value), 1, clip_value, normalise,
                        hyper->device, metrics->device);
        receive(t);
        if (t->reference)
            check_loss(t, &o, index, B, head, log_std, value, hyper, dhead, dvalue, dlog_std, metrics, ld,
                       clip_value, normalise);
        clear(t);
    }
}

static void op_clip_gradients(Test* t) {
    if (!has_ppo(t)) return;
    for (int large = 0; large < 2; large++) {
        const size_t counts[] = {(size_t)t->c->width * 16 + 3, 64};
        Array* grads[2];
        UfGroup groups[2];
        Array *max_norm = new_array(t, "max_norm", 1, 1, sizeof(real), false, false),
              *metrics = ppo_metrics(t);
        for (int p = 0; p < t->P; p++) {
            UfRandom r = random_of(t, p, 0);
            BEFORE(max_norm)[p] = (real)uf_random_uniform(&r, 0.2, 0.9);
        }
        for (int k = 0; k < 2; k++) {
            grads[k] = normals_outer(t, "grads", 1 + 2 * k, counts[k], large ? 1 : 1e-4, 0);
            grads[k]->written = true;
            groups[k] =
                (UfGroup){.grads = DEV(grads[k]), .P = t->P, .num_blocks = 1 + 2 * k, .count = counts[k]};
        }
        send(t);
        t->be->clip_gradients(t->be, groups, 2, DEV(max_norm),
                              (double*)metrics->device + UF_PPO_METRIC_grad_norm, UF_NUM_PPO_METRICS);
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++) {
            double squares = 0;
            for (int k = 0; k < 2; k++)
                for (size_t i = 0; i < counts[k]; i++) {
                    double sum = 0;
                    for (size_t b = 0; b < grads[k]->outer; b++)
                        sum += F(BEFORE(grads[k])[(b * t->P + p) * counts[k] + i]);
                    squares += sum * sum;
                }
            const double norm = sqrt(squares), most = F(BEFORE(max_norm)[p]);
            const double factor = norm > most ? most / norm : 1;
            if (large) assert_true(norm > most);
            expect(t, "grad_norm", p,
                   ((const double*)(const void*)
                        metrics->after)[p * UF_NUM_PPO_METRICS + UF_PPO_METRIC_grad_norm],
                   0.25 * UF_PPO_METRIC_grad_norm + norm, 4 * U * norm);
            for (int k = 0; k < 2; k++)
                for (size_t i = 0; i < counts[k]; i++) {
                    double sum = 0, size = 0;
                    for (size_t b = 0; b < grads[k]->outer; b++) {
                        const double part = F(BEFORE(grads[k])[(b * t->P + p) * counts[k] + i]);
                        sum += part;
                        size += fabs(part);
                        if (b)
                            expect(t, "another block", i, AFTER(grads[k])[(b * t->P + p) * counts[k] + i],
                                   part, 0);
                    }
                    expect(t, "gradient", i, AFTER(grads[k])[p * counts[k] + i], factor * sum,
                           8 * U * factor * size);
                }
        }
        clear(t);
    }
}

// ---- off-policy agents ----

static Array* off_hypers(Test* t) {
    Array* a = new_array(t, "hyper", 1, 1, sizeof(UfOffHyper), false, false);
    for (int p = 0; p < t->P; p++) {
        UfRandom r = random_of(t, p, 0);
        UfOffHyper h;
        memset(&h, 0, sizeof h);
        h.gamma = (real)uf_random_uniform(&r, 0.8, 1);
        h.target_entropy = (real)uf_random_uniform(&r, -2, 1);
        h.eps_end = (real)uf_random_uniform(&r, 0.05, 0.3);
        h.exploration_noise = (real)uf_random_uniform(&r, 0.1, 1);
        h.target_noise = (real)uf_random_uniform(&r, 0.1, 1);
        h.target_noise_clip = (real)uf_random_uniform(&r, 0.1, 0.5);
        h.double_dqn = uf_random_uniform(&r, 0, 1) < 0.5;
        ((UfOffHyper*)(void*)a->before)[p] = h;
    }
    return a;
}
#define OFF_HYPER(a) ((const UfOffHyper*)(const void*)(a)->before)

static const double off_low = -1, off_high = 2.5;
static int off_outputs(int kind, int A) {
    return kind == UF_OFF_GREEDY ? A + 1 : kind == UF_OFF_SQUASHED ? 2 * A : A;
}
static UfOffHeads off_heads(const Test* t, int kind, const Array* head, const Array* hyper, int rows) {
    const int A = t->c->out;
    return (UfOffHeads){.kind = kind,
                        .P = t->P,
                        .R = rows,
                        .A = A,
                        .H = off_outputs(kind, A),
                        .low = (real)off_low,
                        .high = (real)off_high,
                        .head = head ? DEV(head) : NULL,
                        .hyper = hyper->device};
}

// Numbers of an action in the range's units, of its tanh; uf_tanh is off by 4e-7.
static double off_units(double x) { return (off_low + off_high) / 2 + (off_high - off_low) / 2 * x; }
static double off_clip(double x) { return fmin(fmax(x, off_low), off_high); }
static const double OFF_ACTION = 4e-6;

// Rows go round the ring; a batch of them comes back.
static void op_off_replay(Test* t) {
    for (int which = 0; which < 4; which++) {
        const bool discrete = which % 2, has_next = which < 2;
        const int O = t->c->in, items = discrete ? 1 : t->c->out, N = 1 + t->c->rows % 5, B = t->c->rows,
                  ld = O + items, stride = ld + 2 + (has_next ? O : 0), capacity = N + t->c->rows % 7;
        const int64_t row = which == 1 ? 0 : 3 * capacity - 1;
        Array *records = normals(t, "records", capacity * stride, 1, 0),
              *obs = normals(t, "obs", N * O, 1, 0), *action = normals(t, "action", N * items, 1, 0),
              *reward = normals(t, "reward", N, 1, 0), *next = normals(t, "next_obs", N * O, 1, 0),
              *terminated = new_array(t, "terminated", 1, N, 1, false, false),
              *truncated = new_array(t, "truncated", 1, N, 1, false, false),
              *fill = new_array(t, "fill", 1, 1, sizeof(int64_t), false, true),
              *index = new_array(t, "index", 1, B, sizeof(int64_t), false, false),
              *x = output(t, "x", B * ld), *x_pi = output(t, "x_pi", B * ld),
              *x_next = output(t, "x_next", B * ld), *got_reward = output(t, "reward of rows", B),
              *got_done = new_array(t, "done of rows", 1, B, 1, false, true);
        const bool two = which % 3 == 0;  // bytes that say where an episode ended
        records->written = obs->written = true;
        for (int p = 0; p < t->P; p++) {
            UfRandom r = random_of(t, p, 0);
            for (int n = 0; n < N; n++) terminated->before[p * N + n] = between(&r, 2);
            for (int n = 0; n < N; n++) truncated->before[p * N + n] = between(&r, 2);
            for (int b = 0; b < B; b++) ((int64_t*)(void*)index->before)[p * B + b] = between(&r, capacity);
            for (int k = 0; k < capacity; k++) BEFORE(records)[(p * capacity + k) * stride + ld + 1] = k % 2;
        }
        const UfOffRing ring = {t->P,  N,      O,        t->c->out,    discrete,    has_next,
                                items, stride, capacity, DEV(records), fill->device};
        const UfOffBatch batch = {t->P,
                                  B,
                                  O,
                                  items,
                                  ld,
                                  DEV(x),
                                  DEV(x_pi),
                                  has_next ? DEV(x_next) : NULL,
                                  DEV(got_reward),
                                  got_done->device};
        send(t);
        t->be->off_store(t->be, &ring, (UfCount){row, N}, DEV(obs), DEV(action), DEV(reward),
                         terminated->device, two ? truncated->device : NULL,
                         has_next || which == 2 ? DEV(next) : NULL);
        t->be->off_gather(t->be, &batch, &ring, index->device);
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++) {
            assert_int_equal(((int64_t*)(void*)fill->after)[p], row + N < capacity ? row + N : capacity);
            for (int n = 0; n < N;
                 n++) {  // what was stored takes its place in what is expected of all records
                real* to = BEFORE(records) + (p * capacity + (row + n) % capacity) * stride;
                memcpy(to, BEFORE(obs) + (p * N + n) * O, O * sizeof(real));
                memcpy(to + O, BEFORE(action) + (p * N + n) * items, items * sizeof(real));
                to[ld] = BEFORE(reward)[p * N + n];
                to[ld + 1] = terminated->before[p * N + n] || (two && truncated->before[p * N + n]);
                if (has_next) memcpy(to + ld + 2, BEFORE(next) + (p * N + n) * O, O * sizeof(real));
            }
            for (int i = p * N * O; i < (p + 1) * N * O; i++)
                expect(t, "obs", i, AFTER(obs)[i], (has_next || which == 2 ? BEFORE(next) : BEFORE(obs))[i],
                       0);
            for (int i = 0; i < capacity * stride; i++)
                expect(t, "record", i, AFTER(records)[p * capacity * stride + i],
                       BEFORE(records)[p * capacity * stride + i], 0);
            for (int b = 0; b < B; b++) {
                const int at = p * B + b;
                const real* from =
                    BEFORE(records) + (p * capacity + ((int64_t*)(void*)index->before)[at]) * stride;
                for (int i = 0; i < ld; i++) {
                    expect(t, "x", at * ld + i, AFTER(x)[at * ld + i], from[i], 0);
                    if (i >= O) {
                        expect_untouched(t, "x_pi", at * ld + i, AFTER(x_pi)[at * ld + i]);
                        expect_untouched(t, "x_next", at * ld + i, AFTER(x_next)[at * ld + i]);
                        continue;
                    }
                    expect(t, "x_pi", at * ld + i, AFTER(x_pi)[at * ld + i], from[i], 0);
                    if (has_next)
                        expect(t, "x_next", at * ld + i, AFTER(x_next)[at * ld + i], from[ld + 2 + i], 0);
                    else
                        expect_untouched(t, "x_next", at * ld + i, AFTER(x_next)[at * ld + i]);
                }
                expect(t, "reward", at, AFTER(got_reward)[at], from[ld], 0);
                assert_int_equal(got_done->after[at], from[ld + 1] != 0);
            }
        }
        clear(t);
    }
}

// Kinds: u is within the piece of the kind that was taken, but for the rounding of sums of A shares.
static void expect_kind(const Test* t, const double* share, int A, double u, real action, double slack) {
    double below = 0;
    const int kind = (int)action;
    assert_true(kind >= 0 && kind < A && action == (real)kind);
    for (int k = 0; k < kind; k++) below += share[k];
    if (u < below - slack || (u > below + share[kind] + slack && kind < A - 1))
        expect_near(t, "share below the kind", kind, below, u, 0);
}

static void op_off_act(Test* t) {
    // greedy, greedy while it warms up, categorical, squashed, tanh, and tanh at random with noise
    static const int kinds[] = {UF_OFF_GREEDY,   UF_OFF_GREEDY, UF_OFF_CATEGORICAL,
                                UF_OFF_SQUASHED, UF_OFF_TANH,   UF_OFF_TANH};
    for (int which = 0; which < 6; which++) {
        const int kind = kinds[which], A = t->c->out, H = off_outputs(kind, A), N = t->c->rows;
        const bool discrete = kind == UF_OFF_GREEDY || kind == UF_OFF_CATEGORICAL, random = which == 5;
        const int items = discrete ? 1 : A;
        Array *head = normals(t, "head", N * H, 1, 0), *noise = normals(t, "noise", N * items, 1, 0),
              *uniform = normals(t, "uniform", N * items, 1, 0), *hyper = off_hypers(t),
              *action = output(t, "action", N * items),
              *apart = new_array(t, "kinds apart", 1, N, 1, false, which == 1 || which == 2);
        for (size_t i = 0; i < t->P * noise->member; i++) {
            if (discrete) BEFORE(noise)[i] = (real)tanh(BEFORE(noise)[i]);
            BEFORE(uniform)[i] = (real)tanh(BEFORE(uniform)[i]);
        }
        for (int p = 0; p < t->P && kind == UF_OFF_GREEDY && A > 2; p++)  // ties
            BEFORE(head)[p * N * H] = BEFORE(head)[p * N * H + 2] = 5;
        if (kind == UF_OFF_TANH && !random)
            for (int p = 0; p < t->P; p++) BEFORE(head)[p * N * H] = NAN;
        const UfOffHeads heads = off_heads(t, kind, head, hyper, N);
        const UfOffAct how = {.noise = DEV(noise),
                              .uniform = random ? DEV(uniform) : NULL,
                              .explores = kind == UF_OFF_TANH,
                              .step = {30, 1},
                              .fall = which == 1 ? INT64_MAX : 40,
                              .kinds = which == 1 || which == 2 ? apart->device : NULL};
        send(t);
        t->be->off_act(t->be, DEV(action), &heads, &how);
        receive(t);
        for (int i = 0; i < t->P * N && t->reference && how.kinds; i++)
            assert_int_equal(apart->after[i], (int)AFTER(action)[i]);
        for (int p = 0; p < t->P && t->reference; p++)
            for (int n = 0; n < N; n++) {
                const real* m = BEFORE(head) + (p * N + n) * H;
                const double u = (F(BEFORE(noise)[p * N * items + n * items]) + 1) / 2;
                double share[MAX_OUT + 1];
                if (kind == UF_OFF_CATEGORICAL) {
                    naive_log_softmax(m, A, share);
                    for (int k = 0; k < A; k++) share[k] = exp(share[k]);
                    expect_kind(t, share, A, u, AFTER(action)[p * N + n], 2 * softmax_bound(m, A));
                    continue;
                }
                if (kind == UF_OFF_GREEDY) {
                    const double end = F(OFF_HYPER(hyper)[p].eps_end),
                                 epsilon = which == 1 ? 1 : 1 - (1 - end) * 30 / 40;
                    int ties = 0;
                    real best = m[0];
                    for (int k = 0; k < A; k++) best = m[k] > best ? m[k] : best;
                    for (int k = 0; k < A; k++) ties += m[k] == best;
                    for (int k = 0; k < A; k++)
                        share[k] = epsilon / A + (m[k] == best ? (1 - epsilon) / ties : 0);
                    expect_kind(t, share, A, u, AFTER(action)[p * N + n], 2 * A * U);
                    continue;
                }
                for (int i = 0; i < A; i++) {
                    const size_t at = (p * N + n) * A + i;
                    const double z = F(BEFORE(noise)[at]);
                    double want = random ? off_units(F(BEFORE(uniform)[at]))
                                  : kind == UF_OFF_TANH
                                      ? off_units(tanh(F(m[i])))
                                      : off_units(tanh(F(m[i]) + exp(fmin(fmax(F(m[A + i]), -20), 2)) * z));
                    if (kind == UF_OFF_TANH)
                        want = off_clip(want + F(OFF_HYPER(hyper)[p].exploration_noise) * z);
                    if (isnan(F(m[i])) && !random) want = off_units(0);
                    // the argument of tanh is rounded where it is large: slope 1 - tanh^2 times it is below 1
                    expect(t, "action", at, AFTER(action)[at], want, OFF_ACTION);
                }
            }
        clear(t);
    }
}

static void op_off_sample(Test* t) {
    for (int which = 0; which < 3; which++) {  // squashed; tanh with and without the target's noise
        const int kind = which ? UF_OFF_TANH : UF_OFF_SQUASHED, A = t->c->out, H = off_outputs(kind, A);
        const int B = t->c->rows, O = t->c->in, ld = O + A;
        Array *head = normals(t, "head", B * H, 1, 0), *noise = normals(t, "noise", B * A, 1, 0),
              *hyper = off_hypers(t), *x = output(t, "x", B * ld), *log_prob = output(t, "log_prob", B);
        if (!which)
            for (int p = 0; p < t->P; p++) BEFORE(head)[p * B * H + A] = -30;  // clipped to -20
        const UfOffHeads heads = off_heads(t, kind, head, hyper, B);
        send(t);
        t->be->off_sample(t->be, DEV(x), O, ld, which ? NULL : DEV(log_prob), &heads,
                          which == 2 ? NULL : DEV(noise));
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++)
            for (int b = 0; b < B; b++) {
                const real* m = BEFORE(head) + (p * B + b) * H;
                const UfOffHyper* h = &OFF_HYPER(hyper)[p];
                double sum = 0, size = 0;
                for (int i = 0; i < A; i++) {
                    const double z = F(BEFORE(noise)[(p * B + b) * A + i]),
                                 s = which ? 0 : fmin(fmax(F(m[A + i]), -20), 2),
                                 u = F(m[i]) + (which ? 0 : exp(s) * z), spread = F(h->target_noise_clip);
                    double want = off_units(tanh(u));
                    if (which == 1)
                        want = off_clip(want + fmin(fmax(F(h->target_noise) * z, -spread), spread));
                    expect(t, "action", i, AFTER(x)[(p * B + b) * ld + O + i], want, OFF_ACTION);
                    const double slope = 2 * (log(2) - fabs(u) - log1p(exp(-2 * fabs(u))));
                    const double part = -z * z / 2 - s - log(2 * acos(-1)) / 2 - slope;
                    sum += part;
                    size += z * z + fabs(s) + fabs(u) * 4 + 4;
                }
                for (int i = 0; i < O; i++) expect_untouched(t, "x", i, AFTER(x)[(p * B + b) * ld + i]);
                if (which)
                    expect_untouched(t, "log_prob", b, AFTER(log_prob)[p * B + b]);
                else
                    expect(t, "log_prob", b, AFTER(log_prob)[p * B + b], sum, (A + 8) * U * size);
            }
        clear(t);
    }
}

// Q of kind k at a row of duelling outputs.
static double naive_duel(const real* out, int A, int k) {
    double mean = 0;
    for (int j = 0; j < A; j++) mean += F(out[j]) / A;
    return F(out[A]) + F(out[k]) - mean;
}

static double naive_smallest(const real* q, int p, int N, int B, int b, int A, int k) {
    double least = INFINITY;
    for (int n = 0; n < N; n++) {
        const real* row = q + at3(p, N, n, B, b) * (A ? A + 1 : 1);
        least = fmin(least, A ? naive_duel(row, A, k) : F(row[0]));
    }
    return least;
}

// Sums of A numbers of size 5 at most, and exponentials of them.
static double off_bound(int A) { return (A + 16) * U * 20; }

static void op_off_target(Test* t) {
    static const int kinds[] = {UF_OFF_GREEDY, UF_OFF_CATEGORICAL, UF_OFF_SQUASHED, UF_OFF_TANH};
    for (int which = 0; which < 4; which++) {
        const int kind = kinds[which], A = t->c->out, B = t->c->rows, N = kind == UF_OFF_GREEDY ? 1 : 2;
        const bool discrete = which < 2;
        const int Q = discrete ? A + 1 : 1;
        Array *q = normals(t, "q", N * B * Q, 1, 0), *chooser = normals(t, "chooser", B * Q, 1, 0),
              *head = normals(t, "head", B * A, 1, 0), *log_prob = normals(t, "log_prob", B, 1, 0),
              *reward = normals(t, "reward", B, 1, 0), *done = new_array(t, "done", 1, B, 1, false, false),
              *log_alpha = normals(t, "log_alpha", 1, 0.5, 0), *hyper = off_hypers(t), *y = output(t, "y", B);
        for (int i = 0; i < t->P * B; i++) done->before[i] = (t->first * B + i) % B % 3 == 0;
        const UfOffBatch batch = {
            .P = t->P, .B = B, .O = t->c->in, .reward = DEV(reward), .done = done->device};
        const UfOffHeads heads = off_heads(t, kind, NULL, hyper, B);
        const UfOffNext next = {DEV(q), kind == UF_OFF_GREEDY ? DEV(chooser) : NULL,
                                kind == UF_OFF_CATEGORICAL ? DEV(head) : NULL,
                                kind == UF_OFF_SQUASHED ? DEV(log_prob) : NULL};
        send(t);
        t->be->off_target(t->be, DEV(y), &batch, &heads, &next, N,
                          kind == UF_OFF_CATEGORICAL || kind == UF_OFF_SQUASHED ? DEV(log_alpha) : NULL);
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++)
            for (int b = 0; b < B; b++) {
                const UfOffHyper* h = &OFF_HYPER(hyper)[p];
                const double alpha = exp(F(BEFORE(log_alpha)[p]));
                const int at = p * B + b;
                double value = naive_smallest(BEFORE(q), p, N, B, b, discrete ? A : 0, 0);
                if (kind == UF_OFF_SQUASHED) value -= alpha * F(BEFORE(log_prob)[at]);
                if (kind == UF_OFF_GREEDY) {
                    const real* who = (h->double_dqn ? BEFORE(chooser) : BEFORE(q)) + at * Q;
                    int best = 0;
                    for (int k = 1; k < A; k++)
                        if (who[k] > who[best]) best = k;
                    value = naive_duel(BEFORE(q) + at * Q, A, best);
                }
                if (kind == UF_OFF_CATEGORICAL) {
                    double log_p[MAX_OUT];
                    naive_log_softmax(BEFORE(head) + at * A, A, log_p);
                    value = 0;
                    for (int k = 0; k < A; k++)
                        value +=
                            exp(log_p[k]) * (naive_smallest(BEFORE(q), p, N, B, b, A, k) - alpha * log_p[k]);
                }
                const double r = F(BEFORE(reward)[at]);
                expect(t, "y", at, AFTER(y)[at], done->before[at] ? r : r + F(h->gamma) * value,
                       done->before[at] ? 0 : off_bound(A));
            }
        clear(t);
    }
}

static void op_off_critic_loss(Test* t) {
    for (int discrete = 0; discrete < 2; discrete++) {
        const int A = t->c->out, B = t->c->rows, N = t->c->N, O = t->c->in, ld = O + (discrete ? 1 : A);
        const int Q = discrete ? A + 1 : 1;
        Array *q = normals(t, "q", N * B * Q, 1, 0), *y = normals(t, "y", B, 1, 0),
              *x = normals(t, "x", B * ld, 1, 0), *dq = output(t, "dq", N * B * Q);
        for (int p = 0; p < t->P && discrete; p++) {
            UfRandom r = random_of(t, p, 0);
            for (int b = 0; b < B; b++) BEFORE(x)[(p * B + b) * ld + O] = (real)between(&r, A);
        }
        const UfOffBatch batch = {.P = t->P, .B = B, .O = O, .items = ld - O, .ld = ld, .x = DEV(x)};
        send(t);
        t->be->off_critic_loss(t->be, DEV(dq), DEV(q), DEV(y), &batch, N, discrete ? A : 0);
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++)
            for (int n = 0; n < N; n++)
                for (int b = 0; b < B; b++) {
                    const size_t at = at3(p, N, n, B, b) * Q;
                    const int kind = discrete ? (int)BEFORE(x)[(p * B + b) * ld + O] : 0;
                    const double value = discrete ? naive_duel(BEFORE(q) + at, A, kind) : F(BEFORE(q)[at]),
                                 slope = (value - F(BEFORE(y)[p * B + b])) / B;
                    for (int k = 0; k < Q; k++) {
                        const double want = k == Q - 1 ? slope : slope * ((k == kind) - 1.0 / A);
                        expect(t, "dq", at + k, AFTER(dq)[at + k], want, off_bound(A) / B);
                    }
                }
        clear(t);
    }
}

static void op_off_actor_q(Test* t) {
    for (int smallest = 0; smallest < 2; smallest++) {
        const int B = t->c->rows, N = t->c->N;
        Array *q = normals(t, "q", N * B, 1, 0), *dq = output(t, "dq", N * B);
        send(t);
        t->be->off_actor_q(t->be, DEV(dq), DEV(q), smallest, t->P, N, B);
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++)
            for (int b = 0; b < B; b++) {
                const double least = naive_min(BEFORE(q), p, N, B, b);
                for (int n = 0; n < N; n++) {
                    const size_t at = at3(p, N, n, B, b);
                    const double want = !smallest ? -1.0 / N / B : F(BEFORE(q)[at]) == least ? -1.0 / B : 0;
                    expect(t, "dq", at, AFTER(dq)[at], want, 2 * U / B);
                }
            }
        clear(t);
    }
}

static void op_off_actor_loss(Test* t) {
    static const int kinds[] = {UF_OFF_CATEGORICAL, UF_OFF_SQUASHED, UF_OFF_TANH};
    for (int which = 0; which < 3; which++) {
        const int kind = kinds[which], A = t->c->out, H = off_outputs(kind, A), B = t->c->rows, N = t->c->N;
        const int Q = which ? A : A + 1;
        Array *head = normals(t, "head", B * H, 1, 0),
              *q = normals(t, "q or dqda", N * B * Q, which ? 1.0 / B : 1, 0),
              *noise = normals(t, "noise", B * A, 1, 0), *log_prob = normals(t, "log_prob", B, 1, 0),
              *log_alpha = normals(t, "log_alpha", 1, 0.5, 0), *hyper = off_hypers(t),
              *dhead = output(t, "dhead", B * H), *dalpha = output(t, "dlog_alpha", 1);
        if (which == 1)
            for (int p = 0; p < t->P; p++) BEFORE(head)[p * B * H + A] = 3;  // clipped to 2: no gradient
        const UfOffHeads heads = off_heads(t, kind, head, hyper, B);
        send(t);
        t->be->off_actor_loss(t->be, DEV(dhead), which < 2 ? DEV(dalpha) : NULL, &heads, DEV(q), N,
                              which == 1 ? DEV(noise) : NULL, which == 1 ? DEV(log_prob) : NULL,
                              which < 2 ? DEV(log_alpha) : NULL);
        receive(t);
        for (int p = 0; p < t->P && t->reference; p++) {
            const double alpha = exp(F(BEFORE(log_alpha)[p]));
            double mean = 0, size = 0;
            for (int b = 0; b < B; b++) {
                const real* m = BEFORE(head) + (p * B + b) * H;
                const real* got = AFTER(dhead) + (p * B + b) * H;
                double log_p[MAX_OUT], cost[MAX_OUT], average = 0;
                if (!which) {  // d/dm_k of sum pi (alpha log pi - q)
                    mean -= naive_log_softmax(m, A, log_p) / B;
                    for (int k = 0; k < A; k++) {
                        cost[k] = alpha * log_p[k] - naive_smallest(BEFORE(q), p, N, B, b, A, k);
                        average += exp(log_p[k]) * cost[k];
                    }
                    for (int k = 0; k < A; k++)
                        expect(t, "dhead", k, got[k], exp(log_p[k]) * (cost[k] - average) / B,
                               (1 + alpha) * off_bound(A) / B);
                    continue;
                }
                mean += F(BEFORE(log_prob)[p * B + b]) / B;
                size += fabs(F(BEFORE(log_prob)[p * B + b])) / B;
                for (int i = 0; i < A; i++) {
                    const double z = F(BEFORE(noise)[(p * B + b) * A + i]),
                                 s = which == 1 ? fmin(fmax(F(m[A + i]), -20), 2) : 0,
                                 u = F(m[i]) + (which == 1 ? exp(s) * z : 0), tanh_u = tanh(u);
                    double da = 0, sum = 0;
                    for (int n = 0; n < N; n++) {
                        const double part = F(BEFORE(q)[at3(p, N, n, B, b) * A + i]);
                        da += part * (off_high - off_low) / 2;
                        sum += fabs(part) * (off_high - off_low) / 2;
                    }
                    const double share = which == 1 ? alpha / B : 0;
                    const double du = da * (1 - tanh_u * tanh_u) + share * 2 * tanh_u;
                    // tanh is off by 4e-7, 1 - tanh^2 by twice that
                    const double bound = 2e-6 * (sum + share) + (A + 16) * U * (sum + share);
                    expect(t, "dhead", i, got[i], du, bound);
                    if (which == 1)
                        expect(t, "dhead", A + i, got[A + i], F(m[A + i]) > 2 ? 0 : du * exp(s) * z - share,
                               bound * (1 + 2 * fabs(exp(s) * z)));
                }
            }
            if (which < 2)
                expect(t, "dlog_alpha", p, AFTER(dalpha)[p], -mean - F(OFF_HYPER(hyper)[p].target_entropy),
                       off_bound(A) + 8 * U * size);
            else
                expect_untouched(t, "dlog_alpha", p, AFTER(dalpha)[p]);
        }
        clear(t);
    }
}

// ---- behaviour cloning ----

// The reference is the loss alone, in double and by plain loops; its gradient is taken by central differences.
typedef struct CloneCase {
    UfConv conv;
    int in, width, layers, out;  // in: unless there is a convolution
    bool layer_norm;
    int activation, inits, rows, steps, loss, optimizer;
    bool clip, shared_labels;
} CloneCase;

enum {
    R = UF_RELU,
    T = UF_TANH,
    NLL = UF_CLONE_GAUSSIAN_NLL,
    CE = UF_CLONE_CE,
    CEA = UF_CLONE_CE_OVER_ACTIONS
};
enum { ADAM = UF_CLONE_ADAM, SGD = UF_CLONE_SGD };
// Of a network with more parameters than CLONE_FULL some are checked, after one step. The CPU takes few rows by its own
// loops and the cases of 64 rows and of the largest images by BLAS; of a device, networks lie in either memory or in both.
static const CloneCase clones[] = {
    // conv          in  width L out LayerNorm act inits rows steps loss optimizer clip shared_labels
    {{0, 0, 0, 0}, 3, 5, 2, 2, false, T, 1, 2, 4, CE, ADAM, false, false},
    {{0, 0, 0, 0}, 4, 7, 1, 1, true, T, 2, 1, 3, NLL, ADAM, true, false},
    {{4, 3, 2, 3}, 0, 6, 1, 3, false, R, 2, 3, 2, CEA, SGD, true, true},
    {{0, 0, 0, 0}, 2, 9, 2, 3, true, R, 1, 5, 5, CEA, ADAM, true, true},
    {{0, 0, 0, 0}, 5, 4, 3, 2, false, R, 1, 3, 3, NLL, SGD, true, false},
    {{3, 4, 1, 2}, 0, 4, 2, 2, true, T, 1, 2, 3, CE, ADAM, true, false},
    {{0, 0, 0, 0}, 11, 33, 2, 9, false, T, 2, 6, 1, CE, SGD, false, false},
    {{0, 0, 0, 0}, 45, 64, 2, 3, false, R, 1, 25, 1, CE, SGD, false, true},
    {{6, 5, 3, 17}, 0, 20, 1, 10, false, R, 1, 7, 1, CE, SGD, false, true},
    {{0, 0, 0, 0}, 4, 32, 2, 2, false, T, 3, 1, 1, NLL, SGD, false, false},
    {{0, 0, 0, 0}, 7, 200, 2, 5, true, T, 1, 64, 1, NLL, SGD, false, false},
    {{5, 3, 1, 4}, 0, 140, 2, 3, false, T, 1, 30, 1, CEA, SGD, false, false},
    {{10, 10, 1, 17}, 0, 5, 1, 2, false, R, 1, 8, 1, CE, SGD, false, false},
    {{0, 0, 0, 0}, 1, 1, 1, 1, false, R, 800, 1, 2, NLL, ADAM, false, true},  // more than blocks at once
};
enum { NUM_CLONES = sizeof clones / sizeof clones[0], CLONE_FULL = 600, CLONE_SOME = 40 };

static UfCloneNet clone_net_of(const CloneCase* k) {
    const int in = k->conv.filters ? k->conv.height * k->conv.width * k->conv.planes : k->in;
    return uf_clone_net(&k->conv, in, k->width, k->layers, k->out, k->activation, k->layer_norm,
                        k->loss == NLL);
}

enum { MAX_CLONE_TENSORS = 4 * MAX_LAYERS + 5 };
static int clone_tensors(const CloneCase* k, const UfCloneNet* net, Tensor out[MAX_CLONE_TENSORS]) {
    int count = tensors_of(&net->mlp, out);
    if (k->loss == NLL) out[count++] = (Tensor){net->mlp.log_std, k->out, 0.3, -0.2};
    if (!k->conv.filters) return count;
    out[count++] =
        (Tensor){net->conv_kernel, 9 * k->conv.planes * k->conv.filters, 1 / sqrt(9.0 * k->conv.planes), 0};
    out[count++] = (Tensor){net->conv_bias, k->conv.filters, 0.3, 0.1};
    return count;
}

// (blocks, size) networks; what lies between tensors stays NaN.
static void fill_networks(real* out, int blocks, const CloneCase* k, const UfCloneNet* net, UfRandom* r) {
    Tensor tensors[MAX_CLONE_TENSORS];
    const int count = clone_tensors(k, net, tensors);
    for (int n = 0; n < blocks; n++)
        for (const Tensor* s = tensors; s < tensors + count; s++)
            for (size_t i = 0; i < s->count; i++)
                out[n * net->size + s->offset + i] = (real)(s->shift + s->scale * uf_random_normal(r));
}

// Actions, or rows that sum to 1: one-hot and soft by turns.
static void fill_labels(real* out, int rows, const CloneCase* k, UfRandom* r) {
    for (int b = 0; b < rows; b++, out += k->out) {
        real sum = 0;
        for (int i = 0; i < k->out; i++)
            sum += out[i] = k->loss == NLL ? uf_random_normal(r)
                            : b % 2        ? (real)exp(F(uf_random_normal(r)))
                                           : (real)(i == b / 2 % k->out);
        for (int i = 0; i < k->out && k->loss != NLL; i++) out[i] /= sum;
    }
}

// Pixel (y, x, f) of the convolution of an image.
static double naive_conv(const UfCloneNet* net, const double* w, const real* image, int y, int x, int f) {
    const UfConv* c = &net->conv;
    double z = w[net->conv_bias + f];
    for (int dy = 0; dy < 3; dy++)
        for (int dx = 0; dx < 3; dx++)
            for (int q = 0; q < c->planes; q++) {
                const int from_y = y + dy - 1, from_x = x + dx - 1;
                if (from_y < 0 || from_y >= c->height || from_x < 0 || from_x >= c->width) continue;
                z += w[net->conv_kernel + ((dy * 3 + dx) * c->planes + q) * c->filters + f] *
                     F(image[(from_y * c->width + from_x) * c->planes + q]);
            }
    return z < 0 ? 0 : z;
}

static void naive_outputs(double* out, const UfCloneNet* net, const double* w, const real* state) {
    const UfMlp* m = &net->mlp;
    const UfConv* c = &net->conv;
    double *value = must(malloc((m->in + m->width) * sizeof *value)),
           *next = must(malloc((m->width + m->out) * sizeof *next));
    for (int i = 0; i < m->in; i++)
        value[i] = c->filters ? naive_conv(net, w, state, i / c->filters / c->width,
                                           i / c->filters % c->width, i % c->filters)
                              : F(state[i]);
    for (int l = 0; l <= m->layers; l++) {
        const int in = l ? m->width : m->in, count = l < m->layers ? m->width : m->out;
        double mean = 0, variance = 0;
        for (int j = 0; j < count; j++) {
            double z = w[m->bias[l] + j];
            for (int i = 0; i < in; i++) z += value[i] * w[m->kernel[l] + i * count + j];
            next[j] = l == m->layers ? z : m->activation == UF_TANH ? tanh(z) : z < 0 ? 0 : z;
            mean += next[j] / count;
        }
        for (int j = 0; j < count; j++) variance += (next[j] - mean) * (next[j] - mean) / count;
        for (int j = 0; j < count; j++)
            value[j] = l < m->layers && m->layer_norm
                           ? (next[j] - mean) / sqrt(variance + UF_LAYER_NORM_EPS) * w[m->scale[l] + j] +
                                 w[m->shift[l] + j]
                           : next[j];
    }
    memcpy(out, value, m->out * sizeof *out);
    free(value);
    free(next);
}

static double naive_row_loss(const double* out, const real* label, const double* log_std, int loss, int A) {
    double sum = 0, partition = 0;
    for (int i = 0; i < A; i++) partition += exp(out[i]);
    for (int i = 0; i < A; i++)
        sum += loss == NLL
                   ? pow((F(label[i]) - out[i]) / exp(log_std[i]), 2) / 2 + log_std[i] + log(2 * acos(-1)) / 2
                   : F(label[i]) * (log(partition) - out[i]);
    return loss == CEA ? sum / A : sum;
}

// Mean over the rows.
static double naive_loss(const CloneCase* k, const UfCloneNet* net, const double* w, const real* states,
                         const real* labels) {
    double out[MAX_OUT], sum = 0;
    for (int b = 0; b < k->rows; b++) {
        naive_outputs(out, net, w, states + b * net->in);
        sum += naive_row_loss(out, labels + b * k->out, w + net->mlp.log_std, k->loss, k->out) / k->rows;
    }
    return sum;
}

typedef struct CloneReference {
    const CloneCase* k;
    const UfClone* op;
    double *w, *m, *v, *grad;  // (size)
    bool* is_checked;          // (size)
    double off;                // by what a parameter may be off
} CloneReference;

// One step of every parameter that is checked. A gradient is a mean over rows of products of numbers of the size of 1,
// behind sums of up to n numbers in each of the layers there and back: it is off by 2 (L + 2) n U of the largest there is,
// and twice as much for the C library's functions. Adam divides by eps at least; what the step before was off by comes back
// in the gradient, so that it doubles at most.
static void naive_step(CloneReference* e, int step, const real* states, const real* labels) {
    const CloneCase* k = e->k;
    const UfCloneNet* net = e->op->net;
    double squares = 0, largest = 0;
    for (size_t i = 0; i < net->size; i++) {
        if (!e->is_checked[i]) continue;
        const double h = 1e-6, was = e->w[i];
        e->w[i] = was + h;
        const double above = naive_loss(k, net, e->w, states, labels);
        e->w[i] = was - h;
        e->grad[i] = (above - naive_loss(k, net, e->w, states, labels)) / (2 * h);
        e->w[i] = was;
        squares += e->grad[i] * e->grad[i];
        largest = fmax(largest, fabs(e->grad[i]));
    }
    const double norm = sqrt(squares), clip = e->op->clip,
                 factor = clip > 0 && norm >= clip ? clip / norm : 1;
    if (clip > 0 && step == 1 && !(norm > 1.5 * clip)) fail_msg("the norm %g is not above %g", norm, clip);
    const int n = net->mlp.in > k->width ? net->mlp.in : k->width;
    const double off = 4 * (k->layers + 2) * (n + k->rows) * U * fmax(largest * factor, 1e-3);
    e->off = 2 * e->off + e->op->lr * off / (k->optimizer == ADAM ? e->op->eps : 1) + U;
    for (size_t i = 0; i < net->size; i++) {
        if (!e->is_checked[i]) continue;
        const double g = factor * e->grad[i];
        if (k->optimizer == SGD) {
            e->w[i] -= e->op->lr * g;
            continue;
        }
        e->m[i] = 0.9 * e->m[i] + 0.1 * g;
        e->v[i] = 0.999 * e->v[i] + 0.001 * g * g;
        e->w[i] -= e->op->lr * e->m[i] / (1 - pow(0.9, step)) /
                   (sqrt(e->v[i] / (1 - pow(0.999, step))) + e->op->eps);
    }
}

// Each tensor whole, or where there are too many parameters some of each.
static void choose_checked(const CloneCase* k, const UfCloneNet* net, bool* is_checked) {
    Tensor tensors[MAX_CLONE_TENSORS];
    const int count = clone_tensors(k, net, tensors);
    size_t all = 0;
    for (int s = 0; s < count; s++) all += tensors[s].count;
    memset(is_checked, 0, net->size);
    for (int s = 0; s < count; s++)
        for (size_t i = 0; i < tensors[s].count; i++)
            is_checked[tensors[s].offset + i] = all <= CLONE_FULL ||
                                                (i * 7919) % tensors[s].count < CLONE_SOME / (size_t)count ||
                                                i + 1 == tensors[s].count;
    assert_true(all <= CLONE_FULL || (k->steps == 1 && !k->clip));
}

static void check_clone(const Test* t, const CloneCase* k, const UfClone* op, const Array* init,
                        const Array* states, const Array* labels, const Array* params, const Array* losses,
                        int p, int n) {
    const UfCloneNet* net = op->net;
    const size_t size = net->size, at = p * k->inits + n;
    const real *x = BEFORE(states) + p * k->rows * net->in,
               *y = BEFORE(labels) + (k->shared_labels ? 0 : p * k->rows * k->out);
    CloneReference e = {.k = k, .op = op};
    e.w = must(calloc(4 * size, sizeof *e.w));
    e.m = e.w + size;
    e.v = e.m + size;
    e.grad = e.v + size;
    e.is_checked = must(malloc(size));
    choose_checked(k, net, e.is_checked);
    for (size_t i = 0; i < size; i++) e.w[i] = F(BEFORE(init)[n * size + i]);
    for (int step = 1; step <= k->steps; step++) {
        const double loss = naive_loss(k, net, e.w, x, y);
        if (losses)
            expect(t, "losses", at * k->steps + step - 1, AFTER(losses)[at * k->steps + step - 1], loss,
                   32 * U * (1 + fabs(loss)) + 30 * e.off);
        naive_step(&e, step, x, y);
    }
    for (size_t i = 0; i < size; i++)
        if (e.is_checked[i])
            expect(t, "params", at * size + i, AFTER(params)[at * size + i], e.w[i],
                   e.off + 2 * U * fabs(e.w[i]));
    free(e.w);
    free(e.is_checked);
}

static void op_clone(Test* t) {
    const int which = (int)(t->c - cases);
    if (which >= NUM_CLONES || !t->be->clone) return;
    const CloneCase* k = &clones[which];
    const UfCloneNet net = clone_net_of(k);
    const bool sick = which == 3;  // member 0 has no numbers
    Array* init = new_array(t, "init", 1, k->inits * net.size, sizeof(real), true, false);
    UfRandom r = uf_random(99, 0, (uint64_t)which);
    fill_networks(BEFORE(init), k->inits, k, &net, &r);
    Array* states = normals(t, "states", k->rows * net.in, 1, 0);
    Array* labels = new_array(t, "labels", 1, k->rows * k->out, sizeof(real), k->shared_labels, false);
    for (int p = 0; p < (k->shared_labels ? 1 : t->P); p++) {
        UfRandom own = random_of(t, k->shared_labels ? -t->first : p, 0);
        fill_labels(BEFORE(labels) + p * k->rows * k->out, k->rows, k, &own);
    }
    if (sick && t->first == 0) BEFORE(states)[k->rows * net.in - 1] = NAN;
    Array* params = output(t, "params", k->inits * net.size);
    Array* losses = which % 3 == 2 ? NULL : output(t, "losses", k->inits * k->steps);
    UfClone op = {.net = &net,
                  .sets = t->P,
                  .inits = k->inits,
                  .rows = k->rows,
                  .states = DEV(states),
                  .labels = DEV(labels),
                  .shared_labels = k->shared_labels,
                  .init = DEV(init),
                  .params = DEV(params),
                  .loss = k->loss,
                  .optimizer = k->optimizer,
                  .num_steps = k->steps,
                  .lr = k->optimizer == SGD ? 0.1 : 0.02,
                  .eps = 3e-3,
                  .clip = k->clip ? 0.1 : 0,
                  .losses = losses ? DEV(losses) : NULL};
    assert_int_equal(t->be->plan_clone(t->be, &net, t->P * k->inits, k->rows), UF_OK);
    send(t);
    t->be->clone(t->be, &op);
    receive(t);
    for (int p = 0; p < t->P && t->reference; p++)
        for (int n = 0; n < k->inits; n++) {
            if (!sick || t->first + p > 0)
                check_clone(t, k, &op, init, states, labels, params, losses, p, n);
            else
                assert_true(isnan(AFTER(losses)[0]) && isnan(AFTER(params)[net.mlp.kernel[0]]));
        }
    clear(t);
}

// More rows than a block has.
static void op_clone_score(Test* t) {
    const int which = (int)(t->c - cases);
    if (which >= NUM_CLONES || !t->be->clone_score) return;
    CloneCase k = clones[which];
    k.rows = which % 2 ? k.rows : 258;
    const UfCloneNet net = clone_net_of(&k);
    Array* params = new_array(t, "params", 1, net.size, sizeof(real), false, false);
    for (int p = 0; p < t->P; p++) {
        UfRandom r = random_of(t, p, 0);
        fill_networks(BEFORE(params) + p * net.size, 1, &k, &net, &r);
    }
    UfRandom r = uf_random(98, 0, (uint64_t)which);
    Array* states = new_array(t, "states", 1, k.rows * net.in, sizeof(real), true, false);
    for (int i = 0; i < k.rows * net.in; i++) BEFORE(states)[i] = uf_random_normal(&r);
    Array* labels = new_array(t, "labels", 1, k.rows * k.out, sizeof(real), true, false);
    fill_labels(BEFORE(labels), k.rows, &k, &r);
    Array* sums = new_array(t, "sums", 1, 2, sizeof(double), false, true);
    const UfCloneScore op = {&net, t->P, k.rows, DEV(params), DEV(states), DEV(labels), k.loss, sums->device};
    assert_int_equal(t->be->plan_clone(t->be, &net, t->P, 1), UF_OK);
    send(t);
    t->be->clone_score(t->be, &op);
    receive(t);
    double* w = must(malloc(net.size * sizeof *w));
    for (int p = 0; p < t->P && t->reference; p++) {
        double out[MAX_OUT], loss = 0, size = 0;
        int right = 0, tied = 0;
        for (size_t i = 0; i < net.size; i++) w[i] = F(BEFORE(params)[p * net.size + i]);
        for (int b = 0; b < k.rows; b++) {
            const real* label = BEFORE(labels) + b * k.out;
            int best = 0, wanted = 0;
            naive_outputs(out, &net, w, BEFORE(states) + b * net.in);
            const double row = naive_row_loss(out, label, w + net.mlp.log_std, k.loss, k.out);
            loss += row / k.rows;
            size += fabs(row) / k.rows;
            for (int i = 1; i < k.out; i++) {
                if (out[i] > out[best]) best = i;
                if (label[i] > label[wanted]) wanted = i;
            }
            bool close = false;
            for (int i = 0; i < k.out; i++) close |= i != best && out[best] - out[i] < 1e-5;
            tied += close;
            right += best == wanted && k.loss != NLL;
        }
        const double* got = (const double*)(const void*)sums->after + 2 * p;
        // An output is off by the sums of each layer.
        const double off = 4 * (k.layers + 1) * (net.mlp.in + k.width) * U;
        expect(t, "mean loss", p, got[0], loss, off * (1 + size));
        expect(t, "share", p, got[1], (double)right / k.rows, (double)tied / k.rows + 1e-12);
    }
    free(w);
    clear(t);
}

// A policy's pass on the host, against the reference, and rows alone.
static void op_clone_forward_host(Test* t) {
    const int which = (int)(t->c - cases);
    if (which >= NUM_CLONES) return;
    const CloneCase* k = &clones[which];
    const UfCloneNet net = clone_net_of(k);
    enum { ROWS_HOST = 7 };
    UfRandom r = uf_random(97, 0, (uint64_t)which);
    real *params = must(calloc(net.size, sizeof *params)), *x = must(malloc(ROWS_HOST * net.in * sizeof *x)),
         *scratch = must(malloc(uf_clone_scratch(&net, ROWS_HOST) * sizeof *scratch)),
         out[ROWS_HOST * MAX_OUT + 1], alone[MAX_OUT];
    double *w = must(malloc(net.size * sizeof *w)), wanted[MAX_OUT];
    fill_networks(params, 1, k, &net, &r);
    for (size_t i = 0; i < net.size; i++) w[i] = F(params[i]);
    for (int i = 0; i < ROWS_HOST * net.in; i++) x[i] = uf_random_normal(&r);
    for (int rows = 1; rows <= ROWS_HOST; rows++) {
        out[rows * k->out] = 12345;
        uf_clone_forward_host(&net, params, out, x, rows, scratch);
        assert_true(out[rows * k->out] == 12345);
        for (int b = 0; b < rows; b++) {
            uf_clone_forward_host(&net, params, alone, x + b * net.in, 1, scratch);
            assert_memory_equal(alone, out + b * k->out, k->out * sizeof(real));
        }
    }
    for (int b = 0; b < ROWS_HOST; b++) {
        naive_outputs(wanted, &net, w, x + b * net.in);
        for (int i = 0; i < k->out; i++)
            expect(t, "out on the host", b * k->out + i, out[b * k->out + i], wanted[i],
                   4 * (k->layers + 1) * (net.mlp.in + k->width) * U);
    }
    free(params);
    free(x);
    free(scratch);
    free(w);
}

// Orders of five numbers: each of the 120 as often as any other. chi^2 of 119 degrees has mean 119 and deviation 15.4.
static void test_orders(void** state) {
    (void)state;
    enum { DRAWS = 24000 };
    int counts[3125] = {0};
    double chi = 0;
    for (uint64_t draw = 0; draw < DRAWS; draw++) {
        const UfShuffle s = uf_shuffle(11, UF_STREAM_PPO_ORDER, draw, 5);
        int code = 0;
        for (uint32_t i = 0; i < 5; i++) code = 5 * code + (int)uf_shuffled(&s, i);
        counts[code]++;
    }
    int kinds = 0;
    for (int k = 0; k < 3125; k++) {
        kinds += counts[k] > 0;
        if (counts[k]) chi += pow(counts[k] - DRAWS / 120.0, 2) / (DRAWS / 120.0);
    }
    assert_int_equal(kinds, 120);
    if (chi > 119 + 5 * 15.4) fail_msg("chi^2 of orders of five: %g, expected 119 +- 15", chi);
    // Of many: where a number lands does not depend on it, nor on where its neighbour does.
    double lag = 0, place = 0;
    const int n = 1000, orders = 200;
    for (int draw = 0; draw < orders; draw++) {
        const UfShuffle s = uf_shuffle(12, UF_STREAM_PPO_ORDER, (uint64_t)draw, (uint32_t)n);
        double last = 0;
        for (int i = 0; i < n; i++) {
            const double x = (uf_shuffled(&s, (uint32_t)i) + 0.5) / n - 0.5;
            place += x * ((i + 0.5) / n - 0.5);
            if (i) lag += x * last;
            last = x;
        }
    }
    const double deviation = sqrt((double)n * orders) / 12;  // of a sum of products of two uniform numbers
    if (fabs(place) > 5 * deviation || fabs(lag) > 5 * deviation)
        fail_msg("correlation with the place %g, with the neighbour %g, expected 0 +- %g", place, lag,
                 deviation);
}

static void test_tanh(void** state) {
    (void)state;
    for (double x = 1e-8; x < 100; x *= 1.0001)
        for (int sign = -1; sign <= 1; sign += 2) {
            const real y = uf_tanh((real)(sign * x)), wanted = (real)tanh(sign * x);
            if (!(fabs(F(y) - F(wanted)) <= 4e-7 * fabs(F(wanted))) || fabsf(y) > 1)
                fail_msg("tanh(%.9g) = %.9g, expected %.9g", sign * x, F(y), F(wanted));
        }
    assert_true(uf_tanh(0) == 0 && uf_tanh(INFINITY) == 1 && uf_tanh(-INFINITY) == -1 && isnan(uf_tanh(NAN)));
}

static void test_orthogonal(void** state) {
    (void)state;
    static const int shapes[][2] = {{1, 1}, {5, 3}, {3, 5}, {64, 64}, {64, 7}, {4, 64}, {147, 64}};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        const int in = shapes[k][0], out = shapes[k][1], ld = out + 2, count = in < out ? in : out,
                  length = in < out ? out : in;
        real* w = must(calloc(in * ld, sizeof *w));
        UfRandom r = uf_random(k, 0, 0);
        assert_int_equal(uf_fill_orthogonal(w, in, out, ld, 1.5, &r), UF_OK);
        for (int i = 0; i < count; i++)
            for (int j = 0; j <= i; j++) {
                double inner = 0;
                for (int x = 0; x < length; x++)
                    inner +=
                        in < out ? F(w[i * ld + x]) * F(w[j * ld + x]) : F(w[x * ld + i]) * F(w[x * ld + j]);
                if (fabs(inner - 2.25 * (i == j)) > 1e-6)
                    fail_msg("(%d, %d): vectors %d and %d have the product %g", in, out, i, j, inner);
            }
        for (int i = 0; i < in; i++) assert_true(w[i * ld + out] == 0 && w[i * ld + out + 1] == 0);
        free(w);
    }
}

static const struct NamedOp {
    const char* name;
    Op* op;
    enum Kinds kinds;
} ops[] = {
    {"mlp_forward", op_mlp_forward, BY_WARPGROUPS_TOO},
    {"mlp_forward_host", op_mlp_forward_host, IN_FP32},
    {"nan", op_nan, BY_EVERY_PASS},
    {"mlp_backward", op_mlp_backward, BY_WARPGROUPS_TOO},
    {"mlp_backward_backward", op_mlp_backward_backward, BY_EVERY_PASS},
    {"mlp_forward, tanh", op_mlp_forward_tanh, BY_EVERY_PASS},
    {"mlp_forward_host, tanh", op_mlp_forward_host_tanh, IN_FP32},
    {"nan, tanh", op_nan_tanh, BY_EVERY_PASS},
    {"mlp_backward, tanh", op_mlp_backward_tanh, BY_EVERY_PASS},
    {"random_order", op_random_order, IN_FP32},
    {"ppo_observe", op_ppo_observe, IN_FP32},
    {"ppo_act", op_ppo_act, IN_FP32},
    {"ppo_store", op_ppo_store, IN_FP32},
    {"ppo_episodes", op_ppo_episodes, IN_FP32},
    {"ppo_values", op_ppo_values, IN_FP32},
    {"ppo_advantages", op_ppo_advantages, IN_FP32},
    {"ppo_loss", op_ppo_loss, IN_FP32},
    {"clip_gradients", op_clip_gradients, IN_FP32},
    {"off_store and off_gather", op_off_replay, IN_FP32},
    {"off_act", op_off_act, IN_FP32},
    {"off_sample", op_off_sample, IN_FP32},
    {"off_target", op_off_target, IN_FP32},
    {"off_critic_loss", op_off_critic_loss, IN_FP32},
    {"off_actor_q", op_off_actor_q, IN_FP32},
    {"off_actor_loss", op_off_actor_loss, IN_FP32},
    {"policy_sample", op_policy_sample, IN_FP32},
    {"policy_sample of a categorical policy", op_categorical_sample, IN_FP32},
    {"entropy_coef", op_entropy_coef, IN_FP32},
    {"awr_weight", op_awr_weight, IN_FP32},
    {"actor_q_loss", op_actor_q_loss, IN_FP32},
    {"actor_loss", op_actor_loss, IN_FP32},
    {"expected_q_loss", op_expected_q_loss, IN_FP32},
    {"actor_loss of a categorical policy", op_categorical_loss, IN_FP32},
    {"td_target", op_td_target, IN_FP32},
    {"q_loss", op_q_loss, IN_FP32},
    {"diversity_loss", op_diversity_loss, IN_FP32},
    {"value_loss", op_value_loss, IN_FP32},
    {"dynamics_target", op_dynamics_target, IN_FP32},
    {"dynamics_loss", op_dynamics_loss, IN_FP32},
    {"dynamics_error", op_dynamics_error, IN_FP32},
    {"adam_polyak", op_adam_polyak, IN_FP32},
    {"random", op_random, IN_FP32},
    {"random_list", op_random_list, IN_FP32},
    {"gather", op_gather, IN_FP32},
    {"model_step", op_model_step, IN_FP32},
    {"model_error", op_model_error, IN_FP32},
    {"ring_append", op_ring_append, IN_FP32},
    {"network_input", op_network_input, IN_FP32},
    {"clone", op_clone, IN_FP32},
    {"clone_score", op_clone_score, IN_FP32},
    {"clone_forward_host", op_clone_forward_host, IN_FP32},
    {"play", op_play, IN_EVERY_PRECISION},  // fp32 in each
};
enum { NUM_OPS = sizeof ops / sizeof ops[0] };

static void test_op(void** state) {
    const struct NamedOp* named = *state;
    const char* limit = getenv("UF_TEST_CASES");  // for tools that are slow
    const int count = limit ? atoi(limit) : NUM_CASES;
    assert_in_range(count, 1, NUM_CASES);
    for (int k = 0; k < count; k++) run_case(&cases[k], named->op, named->kinds);
}

int main(void) {
    enum { OTHERS = 8 };
    struct CMUnitTest tests[NUM_OPS + OTHERS] = {
        cmocka_unit_test(test_blocks),        cmocka_unit_test(test_philox),
        cmocka_unit_test(test_distributions), cmocka_unit_test(test_many_members),
        cmocka_unit_test(test_orders),        cmocka_unit_test(test_orthogonal),
        cmocka_unit_test(test_tanh),          cmocka_unit_test(test_product),
    };
    for (int k = 0; k < NUM_OPS; k++)
        tests[OTHERS + k] = (struct CMUnitTest){ops[k].name, test_op, NULL, NULL, (void*)&ops[k]};
    return cmocka_run_group_tests_name("kernels", tests, open_devices, close_devices);
}
