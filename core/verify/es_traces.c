// es_traces.c: `unifloral verify` of kind es-steps: whole searches of a reference, driven by its noise and fitness alone.
//
// A group is a search. Everything the reference recorded of it is compared after each generation, over the largest number
// that its dataset has there:
//   |ours - expected| <= 1e-5 max |expected|          x, mean, best_member: <= 1e-5 max(1, max |expected|)
// which is some dozens of roundings of float32, in which the reference computes, for 20 generations to add up in.
// Adam's moments are sums of noise times fitness, S the mean of |fitness| / sigma. The reference recovers the noise from
// candidates, (x - mean) / sigma, so that the fitness common to a pair does not cancel but for its rounding, 2^-24 of S;
// and 1 - beta is rounded in float32: by c = 1.3e-5 of itself for 0.999. Hence, S and S^2 averaged as m and v are,
//   m: <= (1e-5 + c) max |m| + 2^-24 mean(S)          v: <= (2e-5 + c) max v + 2^-23 sqrt(max v mean(S^2))
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/search/es.h"
#include "core/verify/judge.h"

static const double limit = 1e-5;

enum { MAX_NUMBERS = 100000000 };  // of a recorded dataset

typedef struct Recording {
    const UfH5* h5;
    const char* group;
    int64_t popsize, dims, generations;
    UfEsOptions options;
} Recording;

// What is compared, in the order of a generation.
enum { X, SHAPED, MEAN, SIGMA, BEST_MEMBER, BEST_FITNESS, ADAM_M, ADAM_V, ADAM_LRATE, NUM_COMPARED };
static const char* const compared[NUM_COMPARED] = {
    "x", "shaped", "mean", "sigma", "best_member", "best_fitness", "adam_m", "adam_v", "adam_lrate"};

// ---- reading ----

static UfStatus read_number(const Recording* r, const char* name, double* value) {
    return uf_h5_read_number(r->h5, r->group, name, value);
}

static UfStatus read_size(const Recording* r, const char* name, int64_t* size) {
    double value = 0;
    UF_TRY(read_number(r, name, &value));
    if (!(value >= 1 && value <= MAX_NUMBERS) || value != floor(value))
        return UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' of '%s' is %g; expected 1 to %d", r->h5->path, name,
                       r->group, value, MAX_NUMBERS);
    *size = (int64_t)value;
    return UF_OK;
}

// The place of the attribute's text in `names`, which ends at a NULL.
static UfStatus read_choice(const Recording* r, const char* name, const char* const* names, int* choice) {
    char* text = NULL;
    UF_TRY(uf_h5_read_string(r->h5, r->group, name, &text));
    int i = 0;
    while (names[i] && strcmp(text, names[i]) != 0) i++;
    if (!names[i])
        uf_fail_(UF_ERR_FORMAT, "%s: attribute '%s' of '%s' is '%.40s'; expected %s, ...", r->h5->path, name,
                 r->group, text, names[0]);
    uf_free(text);
    *choice = i;
    return names[i] ? UF_OK : UF_ERR_FORMAT;
}

static UfStatus read_options(Recording* r) {
    static const char* const strategies[] = {"OpenES", "SNES", NULL};
    static const char* const shapings[] = {"none", "centered_rank", "z_score", NULL};
    UfEsOptions* o = &r->options;
    int strategy, shaping;
    double maximize;
    UF_TRY(read_choice(r, "strategy", strategies, &strategy));
    uf_es_default_options(o, strategy == 0 ? UF_ES_OPENES : UF_ES_SNES);
    UF_TRY(read_choice(r, "shaping", shapings, &shaping));
    UF_TRY(read_size(r, "popsize", &r->popsize));
    UF_TRY(read_size(r, "dims", &r->dims));
    UF_TRY(read_size(r, "generations", &r->generations));
    UF_TRY(read_number(r, "maximize", &maximize));
    UF_TRY(read_number(r, "sigma_init", &o->sigma_init));
    o->popsize = (int)r->popsize;
    o->dims = r->dims;
    o->maximize = maximize != 0;
    o->shaping = shaping == 0 ? UF_ES_RAW : shaping == 1 ? UF_ES_CENTERED_RANK : UF_ES_Z_SCORE;
    if (o->strategy == UF_ES_SNES) {
        if (shaping != 0)
            return UF_FAIL(UF_ERR_UNSUPPORTED, "%s: '%s' shapes the fitness of SNES, which weighs by rank",
                           r->h5->path, r->group);
        UF_TRY(read_number(r, "temperature", &o->temperature));
        UF_TRY(read_number(r, "lrate_mean", &o->lr_mean));
        return read_number(r, "lrate_sigma", &o->lr_sigma);
    }
    UF_TRY(read_number(r, "sigma_decay", &o->sigma_decay));
    UF_TRY(read_number(r, "sigma_limit", &o->sigma_limit));
    UF_TRY(read_number(r, "adam_lrate_init", &o->lr));
    UF_TRY(read_number(r, "adam_lrate_decay", &o->lr_decay));
    UF_TRY(read_number(r, "adam_lrate_limit", &o->lr_limit));
    UF_TRY(read_number(r, "adam_beta_1", &o->beta1));
    UF_TRY(read_number(r, "adam_beta_2", &o->beta2));
    return read_number(r, "adam_eps", &o->eps);
}

// (d0), (d0, d1) or (d0, d1, d2): sizes from the first 0 on are not there. type: UF_H5_FLOAT or UF_H5_DOUBLE.
static UfStatus read_array(const Recording* r, const char* name, UfH5Type type, void* out, int64_t d0,
                           int64_t d1, int64_t d2) {
    char path[256];
    UfH5Shape shape;
    snprintf(path, sizeof path, "%s/%s", r->group, name);
    UF_TRY(uf_h5_shape(r->h5, path, &shape));
    const int rank = d2 ? 3 : d1 ? 2 : 1;
    if (shape.rank != rank || shape.dims[0] != d0 || (rank > 1 && shape.dims[1] != d1) ||
        (rank > 2 && shape.dims[2] != d2) || shape.count > MAX_NUMBERS)
        return UF_FAIL(
            UF_ERR_FORMAT,
            "%s: dataset '%s' is not of the shape that the attributes of '%s' say: %lld x %lld x %lld",
            r->h5->path, path, r->group, (long long)d0, (long long)(d1 ? d1 : 1), (long long)(d2 ? d2 : 1));
    UF_TRY(uf_alloc((void**)out, (size_t)shape.count, type == UF_H5_FLOAT ? sizeof(float) : sizeof(double),
                    path));
    return uf_h5_read(r->h5, path, type, *(void**)out, shape.count);
}

// ---- comparing ----

static double largest(const double* values, int64_t count) {
    double most = 0;
    for (int64_t i = 0; i < count; i++) uf_keep_worst(&most, fabs(values[i]));
    return most;
}

// In units of `scale`, where `limit` of them is allowed.
static void compare(double* worst, const double* ours, const double* expected, int64_t count, double scale) {
    double error = 0;
    for (int64_t i = 0; i < count; i++) uf_keep_worst(&error, fabs(ours[i] - expected[i]));
    uf_keep_worst(worst, error == 0 ? 0 : error / scale);
}

// The share of 1 - beta that float32 makes of it is off by.
static double beta_rounding(double beta) { return fabs((double)(1 - (float)beta) / (1 - beta) - 1); }

typedef struct Replay {
    UfEs* es;
    float *noise, *x;                   // of all generations; of one
    double *mean0, *fitness, *numbers;  // the start; of all generations; room for one's candidates
    double* expected[NUM_COMPARED];     // NULL: not recorded
    int64_t size[NUM_COMPARED];         // of a generation
    double worst[NUM_COMPARED];
    double sum_size, square_size;  // S and S^2, averaged as m and v are
} Replay;

static UfStatus replay_read(Replay* p, const Recording* r) {
    const int64_t G = r->generations, P = r->popsize, n = r->dims, rows = uf_es_num_noise(p->es);
    const bool adam = r->options.strategy == UF_ES_OPENES;
    UF_TRY(read_array(r, "noise", UF_H5_FLOAT, &p->noise, G, rows, n));
    for (int k = 0; k < (adam ? NUM_COMPARED : ADAM_M); k++) {
        const bool vector = k == MEAN || k == SIGMA || k == BEST_MEMBER || k == ADAM_M || k == ADAM_V;
        const int64_t d1 = k == X || k == SHAPED ? P : vector ? n : 0, d2 = k == X ? n : 0;
        UF_TRY(read_array(r, compared[k], UF_H5_DOUBLE, &p->expected[k], G, d1, d2));
        p->size[k] = (d1 ? d1 : 1) * (d2 ? d2 : 1);
    }
    UF_TRY(UF_ALLOC(&p->x, P * n, "candidates of a recording"));
    return UF_ALLOC(&p->numbers, P * n, "candidates of a recording");
}

static void compare_with(Replay* p, int what, int64_t generation, const double* ours) {
    const int64_t count = p->size[what];
    if (!p->expected[what]) return;
    const double *expected = p->expected[what] + generation * count, most = largest(expected, count);
    const UfEsOptions* o = uf_es_options(p->es);
    double scale = most;
    if (what == X || what == MEAN || what == BEST_MEMBER) scale = fmax(1, most);
    if (what == ADAM_M) scale = ((limit + beta_rounding(o->beta1)) * most + 0x1p-24 * p->sum_size) / limit;
    if (what == ADAM_V)
        scale =
            ((2 * limit + beta_rounding(o->beta2)) * most + 0x1p-23 * sqrt(most * p->square_size)) / limit;
    compare(&p->worst[what], ours, expected, count, scale);
}

// Of what the reference adds up in a generation; `shaped` is in p->numbers.
static void measure_sum(Replay* p) {
    const UfEsOptions* o = uf_es_options(p->es);
    double sum = 0;
    for (int i = 0; i < o->popsize; i++) sum += fabs(p->numbers[i]);
    const double size = sum / o->popsize / uf_es_sigma(p->es)[0];
    p->sum_size = o->beta1 * p->sum_size + (1 - o->beta1) * size;
    p->square_size = o->beta2 * p->square_size + (1 - o->beta2) * size * size;
}

static void compare_floats(Replay* p, int what, int64_t generation, const float* ours) {
    for (int64_t i = 0; i < p->size[what]; i++) p->numbers[i] = (double)ours[i];
    compare_with(p, what, generation, p->numbers);
}

static UfStatus replay_generation(Replay* p, const Recording* r, int64_t g) {
    const float* noise = p->noise + g * uf_es_num_noise(p->es) * r->dims;
    const double* fitness = p->fitness + g * r->popsize;
    double best, lr;
    uf_es_ask_with(p->es, noise, p->x);
    compare_floats(p, X, g, p->x);
    uf_es_shape(p->es, fitness, p->numbers);
    compare_with(p, SHAPED, g, p->numbers);
    measure_sum(p);
    UF_TRY(uf_es_tell_with(p->es, noise, fitness));
    compare_with(p, MEAN, g, uf_es_mean(p->es));
    compare_with(p, SIGMA, g, uf_es_sigma(p->es));
    compare_floats(p, BEST_MEMBER, g, uf_es_best(p->es, &best));
    compare_with(p, BEST_FITNESS, g, &best);
    lr = uf_es_lr(p->es);
    compare_with(p, ADAM_M, g, uf_es_adam_m(p->es));
    compare_with(p, ADAM_V, g, uf_es_adam_v(p->es));
    compare_with(p, ADAM_LRATE, g, &lr);
    return UF_OK;
}

static UfStatus compare_weights(const Replay* p, const Recording* r, double* worst) {
    double *expected = NULL, *ours = NULL;
    UfStatus status = read_array(r, "weights", UF_H5_DOUBLE, &expected, r->popsize, 0, 0);
    if (status == UF_OK) status = UF_ALLOC(&ours, r->popsize, "weights of a recording");
    if (status == UF_OK) {
        uf_es_rank_weights(p->es, ours);
        compare(worst, ours, expected, r->popsize, largest(expected, r->popsize));
    }
    uf_free(expected);
    uf_free(ours);
    return status;
}

static UfStatus replay_search(Replay* p, const Recording* r, UfReport* report) {
    char check[64];
    // first what shows that the attributes mean it, as all memory goes by them
    UF_TRY(read_array(r, "mean0", UF_H5_DOUBLE, &p->mean0, r->dims, 0, 0));
    UF_TRY(read_array(r, "fitness", UF_H5_DOUBLE, &p->fitness, r->generations, r->popsize, 0));
    UF_TRY(uf_es_create(&p->es, &r->options));
    uf_es_set_mean(p->es, p->mean0);
    UF_TRY(replay_read(p, r));
    if (r->options.strategy == UF_ES_SNES) {
        double worst = 0;
        UF_TRY(compare_weights(p, r, &worst));
        uf_report_add(report, r->group, "weights by rank", worst, limit);
    }
    for (int64_t g = 0; g < r->generations; g++) UF_TRY(replay_generation(p, r, g));
    for (int k = 0; k < NUM_COMPARED; k++) {
        snprintf(check, sizeof check, "%s, %lld generations", compared[k], (long long)r->generations);
        if (p->expected[k]) uf_report_add(report, r->group, check, p->worst[k], limit);
    }
    return UF_OK;
}

static UfStatus check_group(const UfH5* h5, const char* group, UfReport* report) {
    Recording r = {.h5 = h5, .group = group};
    Replay p = {0};
    UF_TRY(read_options(&r));
    UfStatus status = replay_search(&p, &r, report);
    if (status != UF_OK && !strstr(uf_error(), h5->path)) {
        char where[1200];
        snprintf(where, sizeof where, "%s: '%.100s'", h5->path, group);
        status = uf_fail_prefix(status, where);
    }
    uf_es_free(p.es);
    uf_free(p.noise);
    uf_free(p.x);
    uf_free(p.mean0);
    uf_free(p.fitness);
    uf_free(p.numbers);
    for (int k = 0; k < NUM_COMPARED; k++) uf_free(p.expected[k]);
    return status;
}

static UfStatus check_file(UfReport* report, const UfH5* h5) {
    char** groups;
    int count;
    UF_TRY(uf_h5_list(h5, "/", &groups, &count));
    UfStatus status =
        count > 0 ? UF_OK : UF_FAIL(UF_ERR_FORMAT, "%s: no recorded search; expected a group each", h5->path);
    for (int i = 0; i < count && status == UF_OK; i++) status = check_group(h5, groups[i], report);
    uf_h5_list_free(groups, count);
    return status;
}

UfStatus uf_verify_es_steps(const char* path, char** text, bool* passed) {
    return uf_report_file(path, check_file, text, passed);
}
