// es.c: evolution strategies by ask and tell, OpenES and SNES, as behaviour distillation uses them.
//
// A candidate is mean + sigma z. Nothing of size popsize * dims is kept: z is a function of (seed, generation, candidate,
// dimension) and made again where it is needed. Both strategies minimise inside, so F = -fitness where larger is better.
// What the search knows is double, candidates are float.
//
// Rooms: noise, creation, candidates, fitness, update, checkpoints.
// Sources: Salimans et al., arXiv 1703.03864; Schaul et al., GECCO 2011; evosax 0.1.5 (open_es.py, snes.py, fitness_shaper.py),
// whose numbers recordings of kind es-steps hold.
#include "core/search/es.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels_cpu.h"
#include "core/normals.h"
#include "core/philox.h"

// Loops are compiled for several instruction sets (CLONES); with -ffp-contract=off (Makefile) and without functions of libm
// they have the same bits on all of them.

// A walk over dimensions takes WALK of them at a time, so that its sums stay in the fastest cache.
enum { LANES = UF_NORMAL_LANES, CHUNK = UF_NORMAL_CHUNK, WALK = 16 * CHUNK };

typedef struct Ranked {
    double F;
    int index;
} Ranked;

struct UfEs {
    UfEsOptions options;
    int64_t generation, num_nonfinite;
    double lr, best_fitness;
    double *mean, *sigma, *m, *v;  // (dims); m and v of OpenES alone
    double* next;                  // (4, dims) what an update makes of them, before it is known to be finite
    double *weights, *shaped;      // (popsize) by rank, best first, of SNES; F, later what candidates weigh
    Ranked* ranked;                // (popsize)
    float* best;                   // (dims)
    bool has_best;
};

// ---- noise ----

int uf_es_num_noise(const UfEs* es) {
    return es->options.strategy == UF_ES_OPENES ? es->options.popsize / 2 : es->options.popsize;
}

// Numbers [first, first + count) of row `row`, count at most WALK; first is a multiple of it. z has room for WALK.
// Nullable: recorded, (uf_es_num_noise, dims) noise in place of ours
static void noise_at(const UfEs* es, const float* recorded, int row, int64_t first, int count, float* z) {
    const int64_t dims = es->options.dims, chunks = (dims + CHUNK - 1) / CHUNK;
    if (recorded)
        memcpy(z, recorded + row * dims + first, (size_t)count * sizeof *z);
    else
        uf_normals(es->options.seed, UF_STREAM_ES_NOISE, (uint64_t)es->generation,
                   (uint64_t)(row * chunks + first / CHUNK) * LANES, (count + CHUNK - 1) / CHUNK, z);
}

static int walk_count(int64_t dims, int64_t first) {
    return dims - first < WALK ? (int)(dims - first) : WALK;
}

// ---- creation ----

void uf_es_default_options(UfEsOptions* options, UfEsStrategy strategy) {
    *options = (UfEsOptions){.strategy = strategy,
                             .maximize = 1,
                             .sigma_init = strategy == UF_ES_OPENES ? 0.03 : 1,
                             .shaping = UF_ES_RAW,
                             .sigma_decay = 1,
                             .sigma_limit = 0.01,
                             .lr = 0.05,
                             .lr_decay = 1,
                             .lr_limit = 0.001,
                             .beta1 = 0.99,
                             .beta2 = 0.999,
                             .eps = 1e-8,
                             .temperature = 0,
                             .lr_mean = 1,
                             .lr_sigma = 0};
}

static UfStatus check_number(const char* name, double value, bool ok, const char* expected) {
    if (ok && isfinite(value)) return UF_OK;
    return UF_FAIL(UF_ERR_CONFIG, "evolution strategy: %s is %g; expected %s", name, value, expected);
}

static UfStatus check_options(const UfEsOptions* o) {
    const int64_t most_dims = INT64_C(1) << 40;  // so that blocks of noise fit their 56 bits
    if (o->strategy != UF_ES_OPENES && o->strategy != UF_ES_SNES)
        return UF_FAIL(UF_ERR_CONFIG,
                       "evolution strategy: strategy is %d; expected UF_ES_OPENES or UF_ES_SNES",
                       (int)o->strategy);
    if (o->popsize < 2)
        return UF_FAIL(UF_ERR_CONFIG, "evolution strategy: popsize is %d; expected 2 candidates or more",
                       o->popsize);
    if (o->dims < 1 || o->dims > most_dims / o->popsize * 64)
        return UF_FAIL(UF_ERR_CONFIG,
                       "evolution strategy: dims is %lld with %d candidates; expected 1 to %lld",
                       (long long)o->dims, o->popsize, (long long)(most_dims / o->popsize * 64));
    UF_TRY(check_number("sigma_init", o->sigma_init, o->sigma_init > 0, "more than 0"));
    if (o->strategy == UF_ES_SNES) {
        UF_TRY(check_number("temperature", o->temperature, o->temperature >= 0, "0 (utilities) or more"));
        UF_TRY(check_number("lr_mean", o->lr_mean, o->lr_mean > 0, "more than 0"));
        return check_number("lr_sigma", o->lr_sigma, o->lr_sigma >= 0, "0 (by dims) or more");
    }
    if (o->popsize % 2)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "evolution strategy: popsize is %d; OpenES pairs candidates on either side of the mean, so take "
            "an even one, %d say, or SNES",
            o->popsize, o->popsize + 1);
    if (o->shaping != UF_ES_RAW && o->shaping != UF_ES_CENTERED_RANK && o->shaping != UF_ES_Z_SCORE)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "evolution strategy: shaping is %d; expected UF_ES_RAW, UF_ES_CENTERED_RANK or UF_ES_Z_SCORE",
            (int)o->shaping);
    UF_TRY(check_number("sigma_decay", o->sigma_decay, o->sigma_decay > 0, "more than 0"));
    UF_TRY(check_number("sigma_limit", o->sigma_limit, o->sigma_limit >= 0, "0 or more"));
    UF_TRY(check_number("lr", o->lr, o->lr > 0, "more than 0"));
    UF_TRY(check_number("lr_decay", o->lr_decay, o->lr_decay > 0, "more than 0"));
    UF_TRY(check_number("lr_limit", o->lr_limit, o->lr_limit >= 0, "0 or more"));
    UF_TRY(check_number("beta1", o->beta1, o->beta1 >= 0 && o->beta1 < 1, "0 or more and less than 1"));
    UF_TRY(check_number("beta2", o->beta2, o->beta2 >= 0 && o->beta2 < 1, "0 or more and less than 1"));
    return check_number("eps", o->eps, o->eps > 0, "more than 0");
}

// What rank i (0: best) weighs.
static void fill_weights(double* w, int popsize, double temperature) {
    double sum = 0;
    for (int i = 0; i < popsize; i++) {
        // softmax of -temperature (i / (P - 1) - 1 / 2), the largest of which is the first
        w[i] = temperature > 0 ? exp(-temperature * i / (popsize - 1.0))
                               : fmax(0, log(popsize / 2.0 + 1) - log(i + 1.0));
        sum += w[i];
    }
    for (int i = 0; i < popsize; i++) w[i] = w[i] / sum - (temperature > 0 ? 0 : 1.0 / popsize);
}

static UfStatus allocate(UfEs* es) {
    const int64_t dims = es->options.dims, popsize = es->options.popsize;
    UF_TRY(UF_ALLOC(&es->mean, dims, "mean of an evolution strategy"));
    UF_TRY(UF_ALLOC(&es->sigma, dims, "deviations of an evolution strategy"));
    UF_TRY(UF_ALLOC(&es->next, 4 * dims, "update of an evolution strategy"));
    UF_TRY(UF_ALLOC(&es->best, dims, "best candidate of an evolution strategy"));
    UF_TRY(UF_ALLOC(&es->shaped, popsize, "fitness of an evolution strategy"));
    UF_TRY(UF_ALLOC(&es->ranked, popsize, "ranks of an evolution strategy"));
    if (es->options.strategy == UF_ES_SNES)
        return UF_ALLOC(&es->weights, popsize, "weights of an evolution strategy");
    UF_TRY(UF_ALLOC(&es->m, dims, "moments of an evolution strategy"));
    return UF_ALLOC(&es->v, dims, "moments of an evolution strategy");
}

UfStatus uf_es_create(UfEs** out, const UfEsOptions* options) {
    UF_TRY_GIVEN(out);
    *out = NULL;
    UF_TRY_GIVEN(options);
    UfEs* es = NULL;
    UF_TRY(check_options(options));
    UF_TRY(UF_ALLOC(&es, 1, "evolution strategy"));
    es->options = *options;
    const UfStatus status = allocate(es);
    if (status != UF_OK) {
        uf_es_free(es);
        return status;
    }
    const double n = (double)options->dims;
    if (options->lr_sigma == 0) es->options.lr_sigma = (3 + log(n)) / (5 * sqrt(n));
    for (int64_t d = 0; d < options->dims; d++) es->sigma[d] = options->sigma_init;
    es->lr = options->lr;
    es->best_fitness = (double)NAN;
    if (es->weights) fill_weights(es->weights, options->popsize, options->temperature);
    *out = es;
    return UF_OK;
}

void uf_es_free(UfEs* es) {
    if (!es) return;
    uf_free(es->mean);
    uf_free(es->sigma);
    uf_free(es->m);
    uf_free(es->v);
    uf_free(es->next);
    uf_free(es->weights);
    uf_free(es->shaped);
    uf_free(es->ranked);
    uf_free(es->best);
    uf_free(es);
}

const UfEsOptions* uf_es_options(const UfEs* es) { return &es->options; }
int64_t uf_es_generation(const UfEs* es) { return es->generation; }
int64_t uf_es_num_nonfinite(const UfEs* es) { return es->num_nonfinite; }
const double* uf_es_mean(const UfEs* es) { return es->mean; }
const double* uf_es_sigma(const UfEs* es) { return es->sigma; }
const double* uf_es_adam_m(const UfEs* es) { return es->m; }
const double* uf_es_adam_v(const UfEs* es) { return es->v; }
double uf_es_lr(const UfEs* es) { return es->lr; }

void uf_es_set_mean(UfEs* es, const double* mean) {
    memcpy(es->mean, mean, (size_t)es->options.dims * sizeof *mean);
}

const float* uf_es_best(const UfEs* es, double* fitness) {
    *fitness = es->best_fitness;
    return es->has_best ? es->best : NULL;
}

void uf_es_rank_weights(const UfEs* es, double* weights) {
    assert(es->weights);
    memcpy(weights, es->weights, (size_t)es->options.popsize * sizeof *weights);
}

// ---- candidates ----

// sign: -1 for the second of a pair.
CLONES static void place(float* restrict x, const double* restrict mean, const double* restrict sigma,
                         const float* restrict z, double sign, int count) {
#pragma omp simd
    for (int i = 0; i < count; i++) x[i] = (float)(mean[i] + sign * sigma[i] * (double)z[i]);
}

static int noise_row(const UfEs* es, int index, double* sign) {
    const int rows = uf_es_num_noise(es);
    *sign = index < rows ? 1 : -1;
    return index < rows ? index : index - rows;
}

static void candidate(const UfEs* es, const float* noise, int index, float* x) {
    const int64_t dims = es->options.dims;
    float z[WALK];
    double sign;
    const int row = noise_row(es, index, &sign);
    for (int64_t first = 0; first < dims; first += WALK) {
        const int count = walk_count(dims, first);
        noise_at(es, noise, row, first, count, z);
        place(x + first, es->mean + first, es->sigma + first, z, sign, count);
    }
}

void uf_es_candidate(const UfEs* es, int index, float* x) {
    assert(index >= 0 && index < es->options.popsize);
    candidate(es, NULL, index, x);
}

void uf_es_ask_with(const UfEs* es, const float* noise, float* x) {
    const int64_t dims = es->options.dims;
    const int rows = uf_es_num_noise(es);
    float z[WALK];
    for (int row = 0; row < rows; row++)
        for (int64_t first = 0; first < dims; first += WALK) {
            const int count = walk_count(dims, first);
            noise_at(es, noise, row, first, count, z);
            for (int index = row; index < es->options.popsize; index += rows)
                place(x + index * dims + first, es->mean + first, es->sigma + first, z, index == row ? 1 : -1,
                      count);
        }
}

void uf_es_ask(const UfEs* es, float* x) { uf_es_ask_with(es, NULL, x); }

// ---- fitness ----

static int by_rank(const void* a, const void* b) {
    const Ranked *p = a, *q = b;
    if (p->F != q->F) return p->F < q->F ? -1 : 1;
    return (p->index > q->index) - (p->index < q->index);  // equal ones in order
}

// Candidates best first, a zero of either sign as 0, which is what a sum over processes makes of it; those without a finite fitness last, in order. How many have none.
static int rank(const UfEs* es, const double* fitness, Ranked* ranked) {
    const int popsize = es->options.popsize;
    int bad = 0;
    for (int i = 0; i < popsize; i++) {
        const bool finite = isfinite(fitness[i]);
        bad += !finite;
        ranked[i] =
            (Ranked){finite ? (es->options.maximize ? -fitness[i] : fitness[i]) + 0.0 : (double)INFINITY, i};
    }
    qsort(ranked, (size_t)popsize, sizeof *ranked, by_rank);
    return bad;
}

// From what rank() made. SNES weighs by rank, so there this is F alone.
static void shape(const UfEs* es, const Ranked* ranked, int bad, double* shaped) {
    const int popsize = es->options.popsize;
    const UfEsShaping shaping = es->options.strategy == UF_ES_OPENES ? es->options.shaping : UF_ES_RAW;
    // One that has no fitness is as bad as the worst that has one.
    const double worst = bad < popsize ? ranked[popsize - bad - 1].F : (double)NAN;
    double sum = 0, squares = 0;
    for (int i = 0; i < popsize; i++)
        shaped[ranked[i].index] = shaping == UF_ES_CENTERED_RANK ? i / (popsize - 1.0) - 0.5
                                  : i < popsize - bad            ? ranked[i].F
                                                                 : worst;
    if (shaping != UF_ES_Z_SCORE) return;
    for (int i = 0; i < popsize; i++) sum += shaped[i];
    const double mean = sum / popsize;
    for (int i = 0; i < popsize; i++) squares += (shaped[i] - mean) * (shaped[i] - mean);
    const double scale = sqrt(squares / popsize) + 1e-10;
    for (int i = 0; i < popsize; i++) shaped[i] = (shaped[i] - mean) / scale;
}

void uf_es_shape(const UfEs* es, const double* fitness, double* shaped) {
    const int bad = rank(es, fitness, es->ranked);
    shape(es, es->ranked, bad, shaped);
}

// ---- update ----

CLONES static void add_first(double* restrict sum, const float* restrict z, double weight, int count) {
#pragma omp simd
    for (int i = 0; i < count; i++) sum[i] += weight * (double)z[i];
}

CLONES static void add_both(double* restrict sum, double* restrict squares, const float* restrict z,
                            double weight, int count) {
#pragma omp simd
    for (int i = 0; i < count; i++) {
        const double s = (double)z[i];
        sum[i] += weight * s;
        squares[i] += weight * (s * s - 1);
    }
}

// g = 1 / (P sigma) sum of z F, of both candidates of a pair; a step of Adam on it, to minimise.
static void update_openes(const UfEs* es, const float* noise, int64_t first, int count, double* next) {
    const UfEsOptions* o = &es->options;
    const double t = (double)(es->generation + 1), correct1 = 1 - pow(o->beta1, t),
                 correct2 = 1 - pow(o->beta2, t);
    double sum[WALK] = {0}, *mean = next + first, *m = next + 2 * o->dims + first,
           *v = next + 3 * o->dims + first;
    float z[WALK];
    for (int row = 0; row < o->popsize / 2; row++) {
        noise_at(es, noise, row, first, count, z);
        add_first(sum, z, es->shaped[row] - es->shaped[row + o->popsize / 2], count);
    }
    for (int i = 0; i < count; i++) {
        const int64_t d = first + i;
        const double g = sum[i] / (o->popsize * es->sigma[d]);
        m[i] = o->beta1 * es->m[d] + (1 - o->beta1) * g;
        v[i] = o->beta2 * es->v[d] + (1 - o->beta2) * g * g;
        mean[i] = es->mean[d] - es->lr * (m[i] / correct1) / (sqrt(v[i] / correct2) + o->eps);
    }
}

// Both sums weigh by rank; the mean moves by the old sigma.
static void update_snes(const UfEs* es, const float* noise, int64_t first, int count, double* next) {
    const UfEsOptions* o = &es->options;
    double sum[WALK] = {0}, squares[WALK] = {0}, *mean = next + first, *sigma = next + o->dims + first;
    float z[WALK];
    for (int i = 0; i < o->popsize; i++) {
        noise_at(es, noise, es->ranked[i].index, first, count, z);
        add_both(sum, squares, z, es->weights[i], count);
    }
    for (int i = 0; i < count; i++) {
        const double old = es->sigma[first + i];
        mean[i] = es->mean[first + i] + o->lr_mean * old * sum[i];
        sigma[i] = old * exp(o->lr_sigma / 2 * squares[i]);
    }
}

// Replaced on strict improvement alone; the first of equal ones counts.
static void keep_best(UfEs* es, const float* noise, const double* fitness) {
    const int index = es->ranked[0].index;
    const double best = fitness[index] + 0.0;
    if (es->has_best && !(es->options.maximize ? best > es->best_fitness : best < es->best_fitness)) return;
    candidate(es, noise, index, es->best);
    es->best_fitness = best;
    es->has_best = true;
}

UfStatus uf_es_tell_with(UfEs* es, const float* noise, const double* fitness) {
    const UfEsOptions* o = &es->options;
    const int64_t dims = o->dims;
    const int bad = rank(es, fitness, es->ranked);
    if (bad == o->popsize)
        return UF_FAIL(
            UF_ERR_NONFINITE,
            "evolution strategy: none of the %d candidates of generation %lld has a finite fitness", bad,
            (long long)es->generation + 1);
    shape(es, es->ranked, bad, es->shaped);
    double* next = es->next;  // mean, sigma, m, v
    for (int64_t first = 0; first < dims; first += WALK)
        (o->strategy == UF_ES_OPENES ? update_openes : update_snes)(es, noise, first, walk_count(dims, first),
                                                                    next);
    const double sigma = fmax(es->sigma[0] * o->sigma_decay, o->sigma_limit);
    for (int64_t d = 0; d < dims && o->strategy == UF_ES_OPENES; d++) next[dims + d] = sigma;
    for (int64_t d = 0; d < 2 * dims; d++)
        if (!isfinite(next[d]))
            return UF_FAIL(UF_ERR_NONFINITE,
                           "evolution strategy: generation %lld would make %s %lld %g; is the fitness (up to "
                           "%g) too large?",
                           (long long)es->generation + 1, d < dims ? "mean" : "sigma", (long long)(d % dims),
                           next[d], fabs(fitness[es->ranked[0].index]));
    keep_best(es, noise, fitness);
    memcpy(es->mean, next, (size_t)dims * sizeof *next);
    memcpy(es->sigma, next + dims, (size_t)dims * sizeof *next);
    if (o->strategy == UF_ES_OPENES) {
        memcpy(es->m, next + 2 * dims, (size_t)dims * sizeof *next);
        memcpy(es->v, next + 3 * dims, (size_t)dims * sizeof *next);
        es->lr = fmax(es->lr * o->lr_decay, o->lr_limit);
    }
    es->num_nonfinite += bad;
    es->generation++;
    return UF_OK;
}

UfStatus uf_es_tell(UfEs* es, const double* fitness) {
    UF_TRY_GIVEN(es);
    UF_TRY_GIVEN(fitness);
    return uf_es_tell_with(es, NULL, fitness);
}

// ---- checkpoints ----

static const char* strategy_name(const UfEs* es) {
    return es->options.strategy == UF_ES_OPENES ? "openes" : "snes";
}

typedef struct Array {
    const char* name;
    UfH5Type type;
    void* data;
} Array;

// What there is, ended by a NULL; best only where there is one.
static void list_arrays(const UfEs* es, Array out[6]) {
    int n = 0;
    out[n++] = (Array){"mean", UF_H5_DOUBLE, es->mean};
    out[n++] = (Array){"sigma", UF_H5_DOUBLE, es->sigma};
    if (es->m) out[n++] = (Array){"adam_m", UF_H5_DOUBLE, es->m};
    if (es->v) out[n++] = (Array){"adam_v", UF_H5_DOUBLE, es->v};
    if (es->has_best) out[n++] = (Array){"best", UF_H5_FLOAT, es->best};
    out[n] = (Array){NULL, UF_H5_DOUBLE, NULL};
}

UfStatus uf_es_save(const UfEs* es, const UfH5* h5, const char* group) {
    Array arrays[6];
    char name[256];
    list_arrays(es, arrays);
    for (const Array* a = arrays; a->name; a++) {
        snprintf(name, sizeof name, "%s/%s", group, a->name);
        UF_TRY(uf_h5_write(h5, name, a->type, a->data, 1, &es->options.dims, 0, false));
    }
    UF_TRY(uf_h5_write_string(h5, group, "strategy", strategy_name(es)));
    UF_TRY(uf_h5_write_integer(h5, group, "generation", es->generation));
    UF_TRY(uf_h5_write_integer(h5, group, "num_nonfinite", es->num_nonfinite));
    UF_TRY(uf_h5_write_number(h5, group, "lr", es->lr));
    return uf_h5_write_number(h5, group, "best_fitness", es->best_fitness);
}

static UfStatus read_array(const UfEs* es, const UfH5* h5, const char* group, const Array* a) {
    char name[256];
    UfH5Shape shape;
    snprintf(name, sizeof name, "%s/%s", group, a->name);
    UF_TRY(uf_h5_shape(h5, name, &shape));
    if (shape.rank != 1 || shape.count != es->options.dims)
        return UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' has %lld numbers; the search has %lld dimensions",
                       h5->path, name, (long long)shape.count, (long long)es->options.dims);
    UF_TRY(uf_h5_read(h5, name, a->type, a->data, shape.count));
    for (int64_t d = 0; d < shape.count; d++) {
        const double value = a->type == UF_H5_FLOAT ? (double)((float*)a->data)[d] : ((double*)a->data)[d];
        const bool sigma = a->data == es->sigma;
        if (!isfinite(value) || (sigma && value < 0))
            return UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' has %g at %lld; expected finite numbers%s",
                           h5->path, name, value, (long long)d, sigma ? ", none below 0" : "");
    }
    return UF_OK;
}

static UfStatus read_count(const UfH5* h5, const char* group, const char* name, int64_t* out) {
    double value = 0;
    UF_TRY(uf_h5_read_number(h5, group, name, &value));
    if (!(value >= 0 && value <= 9007199254740992.0) || value != floor(value))
        return UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' of '%s' is %g; expected a count", h5->path, name,
                       group, value);
    *out = (int64_t)value;
    return UF_OK;
}

UfStatus uf_es_load(UfEs* es, const UfH5* h5, const char* group) {
    Array arrays[6];
    char* strategy = NULL;
    char best[256];
    UF_TRY(uf_h5_read_string(h5, group, "strategy", &strategy));
    const bool same = strcmp(strategy, strategy_name(es)) == 0;
    if (!same)
        uf_fail_(UF_ERR_FORMAT, "%s: '%s' is of strategy '%.20s'; expected %s", h5->path, group, strategy,
                 strategy_name(es));
    uf_free(strategy);
    if (!same) return UF_ERR_FORMAT;
    UF_TRY(read_count(h5, group, "generation", &es->generation));
    UF_TRY(read_count(h5, group, "num_nonfinite", &es->num_nonfinite));
    UF_TRY(uf_h5_read_number(h5, group, "lr", &es->lr));
    UF_TRY(uf_h5_read_number(h5, group, "best_fitness", &es->best_fitness));
    snprintf(best, sizeof best, "%s/best", group);
    es->has_best = uf_h5_exists(h5, best);
    if (!isfinite(es->lr) || isfinite(es->best_fitness) != es->has_best)
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: attributes lr and best_fitness of '%s' are %g and %g %s dataset 'best'", h5->path,
                       group, es->lr, es->best_fitness, es->has_best ? "with" : "without");
    list_arrays(es, arrays);
    for (const Array* a = arrays; a->name; a++) UF_TRY(read_array(es, h5, group, a));
    return UF_OK;
}
