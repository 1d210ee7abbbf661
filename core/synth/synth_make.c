// synth_make.c: bandits made of data: se_make of synthenv.h, `unifloral synthenv make`.
//
// Both networks are trained on standardised numbers, which are folded into their weights in the end: a file is plain.
// Contexts begin, where the hidden layer is wide enough, as mean + C z with the Cholesky factor C of the covariance, since
// z = relu(z) - relu(-z), and then lessen the energy distance from the data, 2 E|g - x| - E|g - g'| - E|x - x'|, batch by
// batch. Rewards are regressed on a checkpoint's Q, or tell the data's actions from uniform ones.
// What is random is a function of (seed, purpose, step); sums run in an order that no number of threads changes.
//
// Rooms: a network that learns, rows, contexts, environment, Q, behaviour, folding, API.
// Sources: Szekely, Rizzo, "Energy statistics" (2013); Gutmann, Hyvarinen, "Noise-contrastive estimation" (2010).
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels.h"
#include "core/agents/agent.h"
#include "core/agents/policy.h"
#include "core/data/dataset.h"
#include "core/envs/envs.h"
#include "core/runs/run.h"
#include "core/synth/synth.h"

_Static_assert(sizeof(real) == sizeof(float), "environments speak float");

enum {
    BATCH = 256,           // rows of a step
    NUM_STEPS = 10000,     // by default
    MIN_WIDTH = 64,        // likewise
    MIN_ROWS = 20,         // of a dataset
    HELD_SHARE = 10,       // one row in so many is held out,
    MAX_HELD = 4096,       // and at most so many
    MOMENT_ROWS = 100000,  // that mean and covariance are taken of, at most
    DISTANCE_ROWS = 2048,  // that the distance is told by; at most the rows there are
    Q_STATES =
        16384,    // states at which Q is asked, of data and of contexts each; at most four times the rows
    ACTIONS = 3,  // at each of them
    CHUNK = 16,   // rows of a task
};
#define RATE 1e-2

// What a number that chance gives is for.
enum { DRAW_LATENT, DRAW_OBS, DRAW_ORDER, DRAW_ROW, DRAW_ACTION, DRAW_NOISE, DRAW_WEIGHTS, DRAW_CONTEXT };

static UfRandom random_of(const SeMaking* m, int purpose, int64_t step) {
    return uf_random(m->seed, UF_STREAM_SYNTH_MAKE, (uint64_t)purpose << 40 | (uint64_t)step);
}

static int64_t below(UfRandom* random, int64_t n) {
    const int64_t i = (int64_t)(uf_random_uniform(random, 0, 1) * (double)n);
    return i < n ? i : n - 1;
}

// ---- a network that learns ----

// One network of one hidden layer under Adam, on rows of the host.
typedef struct Fit {
    UfBackend* be;
    UfMlp mlp;
    UfGroup group;
    UfTape tape;
    real *x, *out, *dout, *lr;  // (rows, in), (rows, out) twice, (1)
    int* bad;                   // (1)
    void* arrays[16];
    int num_arrays, rows;
    real *host_x, *host_out, *params;  // (rows, in), (rows, out), (size): on the host
} Fit;

static UfStatus reserve(Fit* f, void* pointer, size_t count, size_t item_bytes) {
    void* memory = NULL;
    UF_TRY(f->be->reserve(f->be, &memory, count * item_bytes, "a network that learns"));
    f->arrays[f->num_arrays++] = memory;
    memcpy(pointer, &memory, sizeof memory);
    return UF_OK;
}
#define RESERVE(f, field, count) reserve((f), &(field), (size_t)(count), sizeof *(field))

static void close_fit(Fit* f) {
    for (int i = 0; i < f->num_arrays; i++) f->be->release(f->be, f->arrays[i]);
    uf_free(f->host_x);
    uf_free(f->host_out);
    uf_free(f->params);
}

static UfStatus fill_fit(Fit* f) {
    const size_t rows = (size_t)f->rows, in = (size_t)f->mlp.in, out = (size_t)f->mlp.out, size = f->mlp.size;
    f->group = (UfGroup){.P = 1, .count = size, .num_blocks = uf_num_blocks(f->rows, 1)};
    UF_TRY(RESERVE(f, f->group.params, size));
    UF_TRY(RESERVE(f, f->group.grads, size * (size_t)f->group.num_blocks));
    UF_TRY(RESERVE(f, f->group.m, size));
    UF_TRY(RESERVE(f, f->group.v, size));
    UF_TRY(RESERVE(f, f->tape.r[0], rows * (size_t)f->mlp.width));
    UF_TRY(RESERVE(f, f->x, rows * in));
    UF_TRY(RESERVE(f, f->out, rows * out));
    UF_TRY(RESERVE(f, f->dout, rows * out));
    UF_TRY(RESERVE(f, f->lr, 1));
    UF_TRY(RESERVE(f, f->bad, 1));
    UF_TRY(UF_ALLOC(&f->host_x, rows * in, "rows of a network"));
    UF_TRY(UF_ALLOC(&f->host_out, rows * out, "rows of a network"));
    UF_TRY(UF_ALLOC(&f->params, size, "parameters of a network"));
    f->be->upload(f->be, f->lr, &(real){(real)RATE}, sizeof(real));
    return f->be->plan(f->be, &f->mlp, 1, 1, f->rows);
}

// Parameters are zeros. To be closed in any case.
static UfStatus open_fit(Fit* f, UfBackend* be, int in, int width, int out, int rows) {
    *f = (Fit){.be = be, .mlp = uf_mlp_shape(in, width, 1, out, false, 0), .rows = rows};
    return fill_fit(f);
}

static UfStatus put_params(Fit* f) {
    f->be->upload(f->be, f->group.params, f->params, f->mlp.size * sizeof(real));
    return f->be->sync(f->be);
}

// Takes the parameters back, which are to be finite.
static UfStatus take_params(Fit* f, const char* name) {
    f->be->download(f->be, f->params, f->group.params, f->mlp.size * sizeof(real));
    UF_TRY(f->be->sync(f->be));
    for (size_t i = 0; i < f->mlp.size; i++)
        if (!uf_is_finite(f->params[i]))
            return UF_FAIL(UF_ERR_NONFINITE, "a parameter of the network %s is not finite after its steps",
                           name);
    return UF_OK;
}

// Fresh ones: kernels are LeCun's normals of the seed, as se_create's.
static UfStatus draw_params(Fit* f, const SeMaking* making, int64_t which) {
    const UfMlp* m = &f->mlp;
    UfRandom random = random_of(making, DRAW_WEIGHTS, which);
    uf_fill_lecun_normal(f->params + m->kernel[0], (size_t)m->in * (size_t)m->width, m->in, &random);
    uf_fill_lecun_normal(f->params + m->kernel[1], (size_t)m->width * (size_t)m->out, m->width, &random);
    return put_params(f);
}

// host_out from host_x.
static UfStatus forward(Fit* f) {
    const UfNets nets = {&f->mlp, 1, 1, 1, f->group.params, false};
    f->be->upload(f->be, f->x, f->host_x, (size_t)f->rows * (size_t)f->mlp.in * sizeof(real));
    f->be->mlp_forward(f->be, &nets, f->out, &f->tape, (UfInput){f->x, f->mlp.in, f->rows},
                       (UfRows){0, f->rows, f->rows});
    f->be->download(f->be, f->host_out, f->out, (size_t)f->rows * (size_t)f->mlp.out * sizeof(real));
    return f->be->sync(f->be);
}

// One step by the derivatives that now stand in host_out. step: from 1.
static UfStatus backward(Fit* f, int64_t step, int64_t num_steps) {
    const UfNets nets = {&f->mlp, 1, 1, 1, f->group.params, false};
    f->be->upload(f->be, f->dout, f->host_out, (size_t)f->rows * (size_t)f->mlp.out * sizeof(real));
    f->be->mlp_backward(f->be, &nets, f->group.grads, NULL, 0, 0, &f->tape,
                        (UfInput){f->x, f->mlp.in, f->rows}, f->dout, f->rows);
    f->be->adam_polyak(f->be, &f->group, f->lr, (UfCount){step, 0}, (UfDecay){UF_DECAY_COSINE, num_steps}, 0,
                       NULL, f->bad);
    return f->be->sync(f->be);
}

// ---- rows ----

typedef struct Make {
    SeMaking making;
    const UfDataset* data;
    UfAgent* agent;    // whose Q it is.   NULL: behaviour
    UfPolicy* policy;  // its
    SeOptions options;
    char eval_env[128];
    UfBackend* be;
    UfShuffle order;  // of the rows: the first num_held of them are held out
    int64_t num_rows, num_held;
    double *mean, *deviation;  // (O) of observations
    float* weights;            // (num_rows) of rows, mean 1.   NULL: alike
    Fit contexts, reward;
    double target_mean, target_deviation;  // of Q
    SeMade made;
} Make;

static const float* row_at(const Make* m, int64_t place) {
    return uf_record(m->data, uf_shuffled(&m->order, (uint32_t)place));
}
static float weight_at(const Make* m, int64_t place) {
    return m->weights ? m->weights[uf_shuffled(&m->order, (uint32_t)place)] : 1;
}

// A row that is not held out.
static int64_t draw_place(const Make* m, UfRandom* random) {
    return m->num_held + below(random, m->num_rows - m->num_held);
}

static real standardised(const Make* m, int i, float obs) {
    return (real)(((double)obs - m->mean[i]) / m->deviation[i]);
}

// Mean and deviation of a number; one that does not vary has the deviation 1.
static UfStatus measure(Make* m) {
    const int O = m->data->obs_dim;
    const int64_t count = m->num_rows < MOMENT_ROWS ? m->num_rows : MOMENT_ROWS;
    UF_TRY(UF_ALLOC(&m->mean, O, "statistics of observations"));
    UF_TRY(UF_ALLOC(&m->deviation, O, "statistics of observations"));
    for (int64_t k = 0; k < count; k++) {
        const float* obs = row_at(m, k);
        for (int i = 0; i < O; i++) m->mean[i] += (double)obs[i] / (double)count;
    }
    for (int64_t k = 0; k < count; k++) {
        const float* obs = row_at(m, k);
        for (int i = 0; i < O; i++) m->deviation[i] += pow((double)obs[i] - m->mean[i], 2) / (double)count;
    }
    for (int i = 0; i < O; i++) {
        m->deviation[i] = sqrt(m->deviation[i]);
        if (!(m->deviation[i] > 1e-6 * (1 + fabs(m->mean[i])))) m->deviation[i] = 1;
    }
    return UF_OK;
}

// Returns of episodes are sums over the rows there are.
static UfStatus weigh_rows(Make* m) {
    const UfDataset* d = m->data;
    const int at = d->obs_dim + d->action_dim;
    double *returns, sum = 0, squares = 0, total = 0, all_squares = 0;
    int64_t episodes = 0;
    m->made.effective_rows = (double)m->num_rows;
    if (!(m->making.return_temperature > 0)) return UF_OK;
    UF_TRY(UF_ALLOC(&returns, m->num_rows, "returns of rows"));
    for (int64_t first = 0, end; first < m->num_rows; first = end) {
        double ret = (double)uf_record(d, first)[at];
        for (end = first + 1; end < m->num_rows && !uf_is_initial(d, end); end++)
            ret += (double)uf_record(d, end)[at];
        for (int64_t row = first; row < end; row++) returns[row] = ret;
        episodes++;
        sum += ret;
        squares += ret * ret;
    }
    const double mean = sum / (double)episodes,
                 deviation = sqrt(fmax(squares / (double)episodes - mean * mean, 0));
    UfStatus status =
        deviation > 1e-9 * fabs(mean)
            ? UF_ALLOC(&m->weights, m->num_rows, "weights of rows")
            : UF_FAIL(UF_ERR_ARGUMENT,
                      "return_temperature %g weighs episodes by their return, but all %lld of the dataset "
                      "have %g; set it to 0",
                      m->making.return_temperature, (long long)episodes, mean);
    double most = -INFINITY;
    for (int64_t row = 0; row < m->num_rows && status == UF_OK; row++) {
        returns[row] = (returns[row] - mean) / deviation / m->making.return_temperature;
        most = fmax(most, returns[row]);
    }
    for (int64_t row = 0; row < m->num_rows && status == UF_OK; row++) {
        returns[row] = exp(returns[row] - most);
        total += returns[row];
        all_squares += returns[row] * returns[row];
    }
    for (int64_t row = 0; row < m->num_rows && status == UF_OK; row++)
        m->weights[row] = (float)(returns[row] / total * (double)m->num_rows);
    if (status == UF_OK) m->made.effective_rows = total * total / all_squares;
    uf_free(returns);
    return status;
}

// ---- contexts ----

// |a - b| over O numbers.
static real distance(const real* a, const real* b, int O) {
    real sum = 0;
    for (int i = 0; i < O; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sqrtf(sum);
}

// Two batches of n rows: generated ones and the data's. What is wanted of their distance.
typedef struct Pairs {
    const real *g, *x;
    real* dg;      // (n, O).   NULL: sums (tasks) instead
    double* sums;  // of 2 |g - x| / n^2 - (|g - g'| + |x - x'|) / (n (n - 1))
    int n, O;
} Pairs;

// Adds coef times the unit vector from b to a.
static void add_pull(real* to, const real* a, const real* b, int O, real coef) {
    const real d = distance(a, b, O);
    if (!(d > 0)) return;  // it has no direction there
    for (int i = 0; i < O; i++) to[i] += coef / d * (a[i] - b[i]);
}

static void pairs_task(void* context, int task, int thread) {
    const Pairs* p = context;
    const int O = p->O, n = p->n, first = task * CHUNK, end = first + CHUNK < n ? first + CHUNK : n;
    const double across = 2.0 / ((double)n * n), within = 1.0 / ((double)n * (n - 1));
    (void)thread;
    for (int r = first; r < end; r++) {
        const real *g = p->g + (size_t)r * (size_t)O, *x = p->x + (size_t)r * (size_t)O;
        for (int k = 0; k < n; k++) {
            const real *other_g = p->g + (size_t)k * (size_t)O, *other_x = p->x + (size_t)k * (size_t)O;
            if (p->dg) {
                add_pull(p->dg + (size_t)r * (size_t)O, g, other_x, O, (real)across);
                if (k != r) add_pull(p->dg + (size_t)r * (size_t)O, g, other_g, O, (real)(-2 * within));
                continue;
            }
            p->sums[task] += across * (double)distance(g, other_x, O);
            p->sums[task] -= within * (double)(distance(g, other_g, O) + distance(x, other_x, O));
        }
    }
}

static void draw_latents(const Make* m, real* z, int rows, int64_t step) {
    UfRandom random = random_of(&m->making, DRAW_LATENT, step);
    for (int i = 0; i < rows * m->data->obs_dim; i++) z[i] = uf_random_normal(&random);
}

// x (rows, O), standardised: rows held out or not.
static void draw_obs(const Make* m, real* x, int rows, int64_t step, bool held) {
    const int O = m->data->obs_dim;
    UfRandom random = random_of(&m->making, DRAW_OBS, step);
    for (int r = 0; r < rows; r++) {
        const float* obs = row_at(m, held ? below(&random, m->num_held) : draw_place(m, &random));
        for (int i = 0; i < O; i++) x[(size_t)r * (size_t)O + (size_t)i] = standardised(m, i, obs[i]);
    }
}

// Of the contexts as they are, on rows that were held out; the same rows and latents at every call.
static UfStatus measure_distance(const Make* m, const real* params, double* out) {
    enum { NUM_TASKS = (DISTANCE_ROWS + CHUNK - 1) / CHUNK };
    const int O = m->data->obs_dim, n = m->num_rows < DISTANCE_ROWS ? (int)m->num_rows : DISTANCE_ROWS;
    const UfMlp* mlp = &m->contexts.mlp;
    const size_t count = (size_t)n * (size_t)O;
    double sums[NUM_TASKS] = {0};
    real* z;
    UF_TRY(UF_ALLOC(&z, 3 * count + 2 * (size_t)n * (size_t)mlp->width, "contexts"));
    real *g = z + count, *x = g + count, *scratch = x + count;
    draw_latents(m, z, n, 0);
    draw_obs(m, x, n, 0, true);
    uf_mlp_forward_host(mlp, params, g, z, O, n, scratch);
    const Pairs pairs = {g, x, NULL, sums, n, O};
    uf_pool_run(m->be->pool, (n + CHUNK - 1) / CHUNK, pairs_task, (void*)&pairs);
    *out = 0;
    for (int i = 0; i < NUM_TASKS; i++) *out += sums[i];
    uf_free(z);
    return UF_OK;
}

// factor (O, O), lower: C C' = the correlations. A number that others determine has a column of zeros.
static UfStatus factorise(const Make* m, double* factor) {
    const int O = m->data->obs_dim;
    const int64_t count = m->num_rows < MOMENT_ROWS ? m->num_rows : MOMENT_ROWS;
    real* x;
    UF_TRY(UF_ALLOC(&x, O, "an observation"));
    for (int64_t k = 0; k < count; k++) {
        const float* obs = row_at(m, k);
        for (int i = 0; i < O; i++) x[i] = standardised(m, i, obs[i]);
        for (int i = 0; i < O; i++)
            for (int j = 0; j <= i; j++) factor[i * O + j] += (double)x[i] * (double)x[j] / (double)count;
    }
    uf_free(x);
    for (int j = 0; j < O; j++) {
        for (int k = 0; k < j; k++) factor[j * O + j] -= factor[j * O + k] * factor[j * O + k];
        const double pivot = factor[j * O + j] > 1e-6 ? sqrt(factor[j * O + j]) : 0;
        factor[j * O + j] = pivot;
        for (int i = j + 1; i < O; i++) {
            for (int k = 0; k < j; k++) factor[i * O + j] -= factor[i * O + k] * factor[j * O + k];
            factor[i * O + j] = pivot > 0 ? factor[i * O + j] / pivot : 0;
        }
    }
    return UF_OK;
}

// Units i and O + i are relu(z_i) and relu(-z_i); those beyond are fresh and count for nothing yet.
static UfStatus begin_gaussian(Make* m) {
    Fit* f = &m->contexts;
    const int O = m->data->obs_dim, H = f->mlp.width;
    real *hidden = f->params + f->mlp.kernel[0], *out = f->params + f->mlp.kernel[1];
    double* factor;
    UF_TRY(UF_ALLOC(&factor, (size_t)O * (size_t)O, "covariances"));
    const UfStatus status = factorise(m, factor);
    for (int i = 0; i < O; i++) {
        for (int h = 0; h < 2 * O; h++) hidden[i * H + h] = h == i ? 1 : h == O + i ? -1 : 0;
        for (int j = 0; j < O; j++) {
            out[i * O + j] = (real)factor[j * O + i];
            out[(O + i) * O + j] = (real)-factor[j * O + i];
        }
    }
    memset(out + 2 * O * O, 0, (size_t)(H - 2 * O) * (size_t)O * sizeof *out);
    uf_free(factor);
    return status == UF_OK ? put_params(f) : status;
}

static UfStatus step_contexts(Make* m, real* x, real* dg, int64_t step) {
    Fit* f = &m->contexts;
    const int O = m->data->obs_dim;
    draw_latents(m, f->host_x, BATCH, step);
    draw_obs(m, x, BATCH, step, false);
    UF_TRY(forward(f));
    memset(dg, 0, (size_t)BATCH * (size_t)O * sizeof *dg);
    const Pairs pairs = {f->host_out, x, dg, NULL, BATCH, O};
    uf_pool_run(m->be->pool, (BATCH + CHUNK - 1) / CHUNK, pairs_task, (void*)&pairs);
    memcpy(f->host_out, dg, (size_t)BATCH * (size_t)O * sizeof *dg);
    return backward(f, step, m->making.num_steps);
}

// The beginning is kept where steps have not bettered it.
static UfStatus refine_contexts(Make* m) {
    Fit* f = &m->contexts;
    const size_t count = (size_t)BATCH * (size_t)m->data->obs_dim;
    real *x = NULL, *first = NULL;
    UF_TRY(measure_distance(m, f->params, &m->made.first_distance));
    UfStatus status = UF_ALLOC(&x, 2 * count, "observations");
    if (status == UF_OK) status = UF_ALLOC(&first, f->mlp.size, "parameters of contexts");
    if (status == UF_OK) memcpy(first, f->params, f->mlp.size * sizeof *first);
    for (int64_t step = 1; step <= m->making.num_steps && status == UF_OK; step++)
        status = step_contexts(m, x, x + count, step);
    if (status == UF_OK) status = take_params(f, "initial_state");
    if (status == UF_OK) status = measure_distance(m, f->params, &m->made.distance);
    if (status == UF_OK && !(m->made.distance < m->made.first_distance)) {
        m->made.distance = m->made.first_distance;
        memcpy(f->params, first, f->mlp.size * sizeof *first);
    }
    uf_free(x);
    uf_free(first);
    return status;
}

static UfStatus make_contexts(Make* m) {
    const int O = m->data->obs_dim;
    UF_TRY(open_fit(&m->contexts, m->be, O, m->options.width, O, BATCH));
    UF_TRY(draw_params(&m->contexts, &m->making, 0));
    m->made.begins_exact = m->options.width >= 2 * O;
    if (m->made.begins_exact) UF_TRY(begin_gaussian(m));
    return refine_contexts(m);
}

// ---- environment ----

// The name that a dataset's environment is known by; "" where it has none.
static const char* name_of(const UfDataset* d) {
    return d->env_id && d->env_id[0] ? d->env_id : d->path ? d->path : "";
}

static const char* label(const Make* m) {
    return m->data->path && m->data->path[0] ? m->data->path : "the dataset";
}

static const char* kind_of_actions(bool discrete) {
    return discrete ? "kinds of action" : "numbers of an action";
}

static UfStatus find_env(const Make* m, const UfEnvSpec** spec) {
    const char* asked = m->making.env;
    const UfEnvSpec *of_data = uf_env_find(name_of(m->data)), *of_agent = NULL;
    if (!of_data && m->data->path) of_data = uf_env_find(m->data->path);
    if (m->agent) {
        const char* name = uf_agent_config(m->agent, 0)->env;
        of_agent = uf_env_find(name[0] ? name : uf_agent_inside(m->agent).env_id);
    }
    if (of_data && of_agent && of_data != of_agent)
        return UF_FAIL(UF_ERR_ARGUMENT, "the checkpoint '%s' is of %s, but %s of %s; take data of its task",
                       m->making.checkpoint, of_agent->name, label(m), of_data->name);
    *spec = of_agent ? of_agent : of_data;
    return asked ? uf_env_lookup(spec, asked) : UF_OK;
}

static UfStatus choose_discrete(Make* m, const UfEnvSpec* spec) {
    const UfDataset* d = m->data;
    m->options.discrete =
        m->agent ? uf_agent_inside(m->agent).discrete : d->discrete || (spec && spec->discrete);
    return m->options.discrete ? uf_dataset_check_one_hot(d) : UF_OK;
}

static UfStatus choose_options(Make* m) {
    const UfDataset* d = m->data;
    const UfEnvSpec* spec;
    SeOptions* o = &m->options;
    const int width = 2 * d->obs_dim > MIN_WIDTH ? 2 * d->obs_dim : MIN_WIDTH;
    UF_TRY(find_env(m, &spec));
    *o = (SeOptions){.mode = SE_BANDIT,
                     .latent = SE_NORMAL,
                     .obs_dim = d->obs_dim,
                     .action_dim = d->action_dim,
                     .action_low = -1,
                     .action_high = 1,
                     .latent_dim = d->obs_dim,
                     .max_steps = 1};
    if (spec) {
        snprintf(m->eval_env, sizeof m->eval_env, "%s", spec->name);
        o->eval_env = m->eval_env;
        o->action_low = spec->action_low;
        o->action_high = spec->action_high;
    }
    o->width = m->making.width ? m->making.width : width;
    o->meaning = m->agent ? SE_Q : SE_BEHAVIOUR;
    if (m->agent) o->discount = (float)uf_agent_config(m->agent, 0)->gamma;
    UF_TRY(choose_discrete(m, spec));
    if (!spec || se_check_fit(o, spec) == UF_OK) return UF_OK;
    return UF_FAIL(
        UF_ERR_ARGUMENT,
        "%s has %d numbers of an observation and %d %s, %s %d and %d %s; name the environment of the data",
        label(m), o->obs_dim, o->action_dim, kind_of_actions(o->discrete), spec->name, spec->obs_dim,
        spec->action_dim, kind_of_actions(spec->discrete));
}

// ---- rewards: what Q and behaviour share ----

// Input of the reward's network: standardised observation, action in [-1, 1] or one-hot.
static void put_input(const Make* m, real* x, const float* obs, const float* action) {
    const int O = m->data->obs_dim, A = m->data->action_dim;
    for (int i = 0; i < O; i++) x[i] = standardised(m, i, obs[i]);
    for (int i = 0; i < A; i++) x[O + i] = action[i];
}

static void draw_action(const Make* m, UfRandom* random, float* action) {
    const int A = m->data->action_dim;
    for (int i = 0; i < A && !m->options.discrete; i++) action[i] = (float)uf_random_uniform(random, -1, 1);
    if (!m->options.discrete) return;
    memset(action, 0, (size_t)A * sizeof *action);
    action[below(random, A)] = 1;
}

// out (n) of the reward's network, by its parameters on the host.
static UfStatus predict(const Make* m, real* out, const real* x, int n) {
    const UfMlp* mlp = &m->reward.mlp;
    real* scratch;
    UF_TRY(UF_ALLOC(&scratch, 2 * BATCH * mlp->width, "scratch of a network"));
    for (int first = 0; first < n; first += BATCH)
        uf_mlp_forward_host(mlp, m->reward.params, out + first, x + (size_t)first * (size_t)mlp->in, mlp->in,
                            n - first < BATCH ? n - first : BATCH, scratch);
    uf_free(scratch);
    return UF_OK;
}

// ---- Q ----

// States, actions there, and what the critics say.
typedef struct Table {
    int rows;
    float *obs, *action;
    double* q;
} Table;

static void free_table(Table* t) {
    uf_free(t->obs);
    uf_free(t->action);
    uf_free(t->q);
}

// States of the data, held out or not, with the action of the data, the policy's and a random one; then contexts with the
// policy's and two random ones. draw: numbers the table.
static UfStatus fill_states(const Make* m, Table* t, int states, bool held, int64_t draw) {
    const size_t O = (size_t)m->data->obs_dim, A = (size_t)m->data->action_dim;
    const UfMlp* mlp = &m->contexts.mlp;
    UfRandom rows = random_of(&m->making, DRAW_ROW, draw), actions = random_of(&m->making, DRAW_ACTION, draw),
             latents = random_of(&m->making, DRAW_CONTEXT, draw);
    real* z;
    UF_TRY(UF_ALLOC(&z, 2 * O + 2 * (size_t)mlp->width, "a context"));
    for (int k = 0; k < 2 * states; k++) {
        float *obs = t->obs + (size_t)k * ACTIONS * O, *action = t->action + (size_t)k * ACTIONS * A;
        if (k < states) {
            const float* row = row_at(m, held ? below(&rows, m->num_held) : draw_place(m, &rows));
            memcpy(obs, row, O * sizeof *obs);
            memcpy(action, row + O, A * sizeof *action);
        } else {
            for (size_t i = 0; i < O; i++) z[i] = uf_random_normal(&latents);
            uf_mlp_forward_host(mlp, m->contexts.params, z + O, z, (int)O, 1, z + 2 * O);
            for (size_t i = 0; i < O; i++) obs[i] = (float)(m->mean[i] + m->deviation[i] * (double)z[O + i]);
            draw_action(m, &actions, action);
        }
        memcpy(obs + O, obs, O * sizeof *obs);
        memcpy(obs + 2 * O, obs, O * sizeof *obs);
        draw_action(m, &actions, action + 2 * A);
    }
    uf_free(z);
    return UF_OK;
}

// The middle action of each state is the policy's, sampled where it is stochastic.
static UfStatus fill_policy_actions(const Make* m, Table* t, int64_t draw) {
    const size_t O = (size_t)m->data->obs_dim, A = (size_t)m->data->action_dim,
                 states = (size_t)t->rows / ACTIONS;
    UfRandom random = random_of(&m->making, DRAW_NOISE, draw);
    float* obs;
    UF_TRY(UF_ALLOC(&obs, states * (O + 2 * A), "actions of a policy"));
    float *noise = obs + states * O, *action = noise + states * A;
    for (size_t k = 0; k < states; k++) memcpy(obs + k * O, t->obs + k * ACTIONS * O, O * sizeof *obs);
    for (size_t i = 0; i < states * A; i++) noise[i] = uf_random_normal(&random);
    const UfStatus status = uf_policy_act_normalised(m->policy, action, obs, (int64_t)states, noise);
    for (size_t k = 0; k < states; k++)
        memcpy(t->action + (k * ACTIONS + 1) * A, action + k * A, A * sizeof *action);
    uf_free(obs);
    return status;
}

static UfStatus make_table(const Make* m, Table* t, int states, bool held, int64_t draw) {
    const size_t rows = 2 * (size_t)states * ACTIONS;
    *t = (Table){.rows = (int)rows};
    UF_TRY(UF_ALLOC(&t->obs, rows * (size_t)m->data->obs_dim, "states"));
    UF_TRY(UF_ALLOC(&t->action, rows * (size_t)m->data->action_dim, "actions"));
    UF_TRY(UF_ALLOC(&t->q, rows, "values"));
    UF_TRY(fill_states(m, t, states, held, draw));
    UF_TRY(fill_policy_actions(m, t, draw));
    UF_TRY(uf_agent_q(m->agent, 0, t->q, t->obs, t->action, t->rows));
    for (int i = 0; i < t->rows; i++)
        if (!isfinite(t->q[i]))
            return UF_FAIL(UF_ERR_NONFINITE, "checkpoint '%s': its critics say %g of a state of the dataset",
                           m->making.checkpoint, t->q[i]);
    return UF_OK;
}

static void measure_target(Make* m, const Table* t) {
    double squares = 0;
    m->target_mean = 0;
    for (int i = 0; i < t->rows; i++) m->target_mean += t->q[i] / t->rows;
    for (int i = 0; i < t->rows; i++) squares += pow(t->q[i] - m->target_mean, 2) / t->rows;
    m->target_deviation = squares > 0 ? sqrt(squares) : 1;
}

static UfStatus step_q(Make* m, const Table* t, int64_t step) {
    Fit* f = &m->reward;
    const size_t O = (size_t)m->data->obs_dim, A = (size_t)m->data->action_dim;
    UfRandom random = random_of(&m->making, DRAW_ORDER, step);
    double y[BATCH];
    for (int r = 0; r < BATCH; r++) {
        const size_t i = (size_t)below(&random, t->rows);
        put_input(m, f->host_x + (size_t)r * (O + A), t->obs + i * O, t->action + i * A);
        y[r] = (t->q[i] - m->target_mean) / m->target_deviation;
    }
    UF_TRY(forward(f));
    for (int r = 0; r < BATCH; r++) f->host_out[r] = (real)(2 * ((double)f->host_out[r] - y[r]) / BATCH);
    return backward(f, step, m->making.num_steps);
}

static UfStatus measure_r2(Make* m, const Table* t) {
    const size_t O = (size_t)m->data->obs_dim, A = (size_t)m->data->action_dim, n = (size_t)t->rows;
    double mean = 0, total = 0, left = 0;
    real* x;
    UF_TRY(UF_ALLOC(&x, n * (O + A + 1), "rows"));
    real* out = x + n * (O + A);
    for (size_t i = 0; i < n; i++) put_input(m, x + i * (O + A), t->obs + i * O, t->action + i * A);
    const UfStatus status = predict(m, out, x, t->rows);
    for (size_t i = 0; i < n; i++) mean += t->q[i] / (double)n;
    for (size_t i = 0; i < n; i++) {
        total += pow(t->q[i] - mean, 2);
        left += pow(t->q[i] - m->target_mean - m->target_deviation * (double)out[i], 2);
    }
    m->made.r2 = total > 0 ? 1 - left / total : 0;
    uf_free(x);
    return status;
}

static UfStatus make_q(Make* m) {
    Table train = {0}, held = {0};
    UF_TRY(open_fit(&m->reward, m->be, m->data->obs_dim + m->data->action_dim, m->options.width, 1, BATCH));
    UF_TRY(draw_params(&m->reward, &m->making, 1));
    const int states = 4 * m->num_rows < Q_STATES ? (int)(4 * m->num_rows) : Q_STATES;
    UfStatus status = make_table(m, &train, states, false, 1);
    if (status == UF_OK) status = make_table(m, &held, states / HELD_SHARE, true, 2);
    if (status == UF_OK) measure_target(m, &train);
    for (int64_t step = 1; step <= m->making.num_steps && status == UF_OK; step++)
        status = step_q(m, &train, step);
    if (status == UF_OK) status = take_params(&m->reward, "reward");
    if (status == UF_OK) status = measure_r2(m, &held);
    free_table(&train);
    free_table(&held);
    return status;
}

// ---- behaviour ----

// Rows of the network for one row of the data: its action and a uniform one, or all kinds.
static int rows_each(const Make* m) { return m->options.discrete ? m->data->action_dim : 2; }

static void put_choices(const Make* m, real* x, const float* row, UfRandom* random) {
    const int O = m->data->obs_dim, A = m->data->action_dim, each = rows_each(m);
    for (int k = 0; k < each; k++, x += O + A) {
        put_input(m, x, row, row + O);
        for (int i = 0; i < A; i++)
            if (m->options.discrete)
                x[O + i] = i == k;
            else if (k == 1)
                x[O + i] = (real)uf_random_uniform(random, -1, 1);
    }
}

static int chosen_kind(const Make* m, const float* row) {
    const float* action = row + m->data->obs_dim;
    int kind = 0;
    for (int i = 1; i < m->data->action_dim; i++)
        if (action[i] > action[kind]) kind = i;
    return kind;
}

// log(1 + e^z)
static double softplus(double z) { return z > 0 ? z + log1p(exp(-z)) : log1p(exp(z)); }

// Cross-entropy of what the network says, z (each), of one row of the data; z becomes its derivative.
// right: how many of the two, or whether of the kinds, are told rightly, as a share.
static double choice_loss(const Make* m, real* z, const float* row, double* right) {
    if (!m->options.discrete) {
        const double data = (double)z[0], other = (double)z[1];
        *right = ((data > 0) + (other <= 0)) / 2.0;
        z[0] = (real)(-1 / (1 + exp(data)));
        z[1] = (real)(1 / (1 + exp(-other)));
        return softplus(-data) + softplus(other);
    }
    const int A = m->data->action_dim, kind = chosen_kind(m, row);
    int best = 0;
    for (int i = 1; i < A; i++)
        if (z[i] > z[best]) best = i;
    *right = best == kind;
    const real of_kind = z[kind];
    const UfCategorical c = uf_categorical(z, A);
    for (int i = 0; i < A; i++) z[i] = exp(z[i] - c.log_z) - (i == kind);
    return (double)(c.log_z - of_kind);
}

static UfStatus step_behaviour(Make* m, int64_t step) {
    Fit* f = &m->reward;
    const size_t in = (size_t)f->mlp.in;
    const int each = rows_each(m);
    UfRandom rows = random_of(&m->making, DRAW_ROW, step), actions = random_of(&m->making, DRAW_ACTION, step);
    int64_t places[BATCH];
    double right;
    for (int r = 0; r < BATCH; r++) {
        places[r] = draw_place(m, &rows);
        put_choices(m, f->host_x + (size_t)(r * each) * in, row_at(m, places[r]), &actions);
    }
    UF_TRY(forward(f));
    for (int r = 0; r < BATCH; r++) {
        real* z = f->host_out + r * each;
        choice_loss(m, z, row_at(m, places[r]), &right);
        for (int k = 0; k < each; k++) z[k] *= (real)weight_at(m, places[r]) / BATCH;
    }
    return backward(f, step, m->making.num_steps);
}

static UfStatus measure_behaviour(Make* m) {
    const size_t in = (size_t)m->reward.mlp.in, each = (size_t)rows_each(m), n = (size_t)m->num_held;
    UfRandom random = random_of(&m->making, DRAW_ACTION, 0);
    double loss = 0, right = 0, total = 0, share;
    real* x;
    UF_TRY(UF_ALLOC(&x, n * each * (in + 1), "rows"));
    real* z = x + n * each * in;
    for (size_t k = 0; k < n; k++) put_choices(m, x + k * each * in, row_at(m, (int64_t)k), &random);
    const UfStatus status = predict(m, z, x, (int)(n * each));
    for (size_t k = 0; k < n; k++) {
        const double weight = (double)weight_at(m, (int64_t)k);
        loss += weight * choice_loss(m, z + k * each, row_at(m, (int64_t)k), &share);
        right += weight * share;
        total += weight;
    }
    // of the two choices that a continuous row is, each
    m->made.cross_entropy = loss / total / (m->options.discrete ? 1 : 2);
    m->made.accuracy = right / total;
    m->made.chance = log(m->options.discrete ? m->data->action_dim : 2);
    uf_free(x);
    return status;
}

static UfStatus make_behaviour(Make* m) {
    UF_TRY(open_fit(&m->reward, m->be, m->data->obs_dim + m->data->action_dim, m->options.width, 1,
                    BATCH * rows_each(m)));
    UF_TRY(draw_params(&m->reward, &m->making, 1));
    UF_TRY(weigh_rows(m));
    for (int64_t step = 1; step <= m->making.num_steps; step++) UF_TRY(step_behaviour(m, step));
    UF_TRY(take_params(&m->reward, "reward"));
    return measure_behaviour(m);
}

// ---- folding ----

// Observations and rewards in their own units again: bias, kernel (in, width), bias, kernel (width, out) at `to`.
static float* fold_contexts(const Make* m, float* to) {
    const UfMlp* f = &m->contexts.mlp;
    const real* p = m->contexts.params;
    const int H = f->width, O = f->out;
    for (int h = 0; h < H; h++) *to++ = p[f->bias[0] + (size_t)h];
    for (int i = 0; i < f->in * H; i++) *to++ = p[f->kernel[0] + (size_t)i];
    for (int i = 0; i < O; i++)
        *to++ = (float)(m->mean[i] + m->deviation[i] * (double)p[f->bias[1] + (size_t)i]);
    for (int i = 0; i < H * O; i++)
        *to++ = (float)(m->deviation[i % O] * (double)p[f->kernel[1] + (size_t)i]);
    return to;
}

static void fold_reward(const Make* m, float* to) {
    const SeOptions* o = &m->options;
    const UfMlp* f = &m->reward.mlp;
    const real* p = m->reward.params;
    const int H = f->width, O = o->obs_dim;
    const double middle = o->discrete ? 0 : ((double)o->action_low + (double)o->action_high) / 2,
                 half = o->discrete ? 1 : ((double)o->action_high - (double)o->action_low) / 2;
    for (int h = 0; h < H; h++) {
        double bias = (double)p[f->bias[0] + (size_t)h];
        for (int i = 0; i < f->in; i++)
            bias -= (double)p[f->kernel[0] + (size_t)(i * H + h)] *
                    (i < O ? m->mean[i] / m->deviation[i] : middle / half);
        *to++ = (float)bias;
    }
    for (int i = 0; i < f->in; i++)
        for (int h = 0; h < H; h++)
            *to++ = (float)((double)p[f->kernel[0] + (size_t)(i * H + h)] / (i < O ? m->deviation[i] : half));
    *to++ = (float)(m->target_mean + m->target_deviation * (double)p[f->bias[1]]);
    for (int h = 0; h < H; h++) *to++ = (float)(m->target_deviation * (double)p[f->kernel[1] + (size_t)h]);
}

static UfStatus fold(const Make* m, SeEnv** out) {
    float* params;
    UF_TRY(se_create(out, &m->options, m->making.seed));
    UfStatus status = UF_ALLOC(&params, se_num_params(*out), "parameters of a bandit");
    if (status == UF_OK) {
        fold_reward(m, fold_contexts(m, params));
        status = se_set_params(*out, params);
        uf_free(params);
    }
    if (status == UF_OK) return UF_OK;
    se_free(*out);
    *out = NULL;
    return status;
}

// ---- API ----

static UfStatus check_making(const Make* m) {
    const SeMaking* s = &m->making;
    if (!(s->return_temperature >= 0) || !isfinite(s->return_temperature))
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "return_temperature is %g; expected a number of at least 0, 0 for none",
                       s->return_temperature);
    if (s->return_temperature > 0 && s->checkpoint)
        return UF_FAIL(
            UF_ERR_ARGUMENT,
            "return_temperature %g weighs behaviour, but the reward is the Q of checkpoint '%s'; drop one",
            s->return_temperature, s->checkpoint);
    if (s->num_steps < 0 || s->num_steps >= INT64_C(1) << 32)
        return UF_FAIL(UF_ERR_ARGUMENT, "%lld steps; expected 1 to 4294967295, or 0 for %d",
                       (long long)s->num_steps, NUM_STEPS);
    if (s->width < 0)
        return UF_FAIL(UF_ERR_ARGUMENT, "width is %d; expected at least 1, or 0 for the usual one", s->width);
    return UF_OK;
}

static UfStatus open_checkpoint(Make* m) {
    char path[UF_PATH_BYTES];
    if (!m->making.checkpoint) return UF_OK;
    UF_TRY(uf_run_checkpoint(m->making.checkpoint, path, sizeof path));
    UF_TRY(uf_agent_load_to_act(&m->agent, path));
    return uf_policy_create(&m->policy, m->agent, 0);
}

// The dataset that was given, or that the checkpoint was trained on.
static UfStatus find_data(Make* m, UfDataset** opened) {
    if (m->data) return UF_OK;
    if (!m->agent) return UF_FAIL(UF_ERR_ARGUMENT, "se_make: needs a dataset or a checkpoint");
    const char* path = uf_agent_config(m->agent, 0)->dataset;
    if (!path[0])
        return UF_FAIL(
            UF_ERR_ARGUMENT,
            "checkpoint '%s' names no dataset, whose observations contexts are to be like; name one",
            m->making.checkpoint);
    UF_TRY(uf_dataset_open(opened, path, NULL));
    m->data = *opened;
    return UF_OK;
}

static UfStatus check_data(Make* m) {
    const UfDataset* d = m->data;
    m->num_rows = d->num_rows < UINT32_MAX ? d->num_rows : UINT32_MAX;
    if (m->num_rows < MIN_ROWS)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: has %lld rows; a bandit wants at least %d", label(m),
                       (long long)d->num_rows, MIN_ROWS);
    m->num_held = m->num_rows / HELD_SHARE < MAX_HELD ? m->num_rows / HELD_SHARE : MAX_HELD;
    m->order =
        uf_shuffle(m->making.seed, UF_STREAM_SYNTH_MAKE, (uint64_t)DRAW_ORDER << 40, (uint32_t)m->num_rows);
    return m->policy ? uf_policy_check(m->policy, d) : UF_OK;
}

static UfStatus make(Make* m, SeEnv** out, UfDataset** opened) {
    SeEnv* probe;
    UF_TRY(check_making(m));
    UF_TRY(open_checkpoint(m));
    UF_TRY(find_data(m, opened));
    UF_TRY(check_data(m));
    UF_TRY(choose_options(m));
    UF_TRY(se_create(&probe, &m->options, 0));  // refuses sizes before anything is trained
    se_free(probe);
    UF_TRY(uf_backend_open(&m->be, "cpu", "fp32", m->making.num_threads));
    UF_TRY(measure(m));
    UF_TRY(make_contexts(m));
    UF_TRY(m->agent ? make_q(m) : make_behaviour(m));
    return fold(m, out);
}

static void close_make(Make* m) {
    if (m->be) close_fit(&m->contexts);
    if (m->be) close_fit(&m->reward);
    uf_backend_close(m->be);
    uf_free(m->mean);
    uf_free(m->deviation);
    uf_free(m->weights);
    uf_policy_free(m->policy);
    uf_agent_free(m->agent);
}

UfStatus se_make(SeEnv** out, SeMade* made, const UfDataset* dataset, const SeMaking* making) {
    UF_TRY_GIVEN(out);
    *out = NULL;
    UF_TRY_GIVEN(making);
    UfDataset* opened = NULL;
    Make m = {
        .making = *making,
        .data = dataset,
        .target_deviation = 1,
        .made = {.r2 = NAN, .cross_entropy = NAN, .accuracy = NAN, .chance = NAN, .effective_rows = NAN}};
    if (!m.making.num_steps) m.making.num_steps = NUM_STEPS;
    const UfStatus status = make(&m, out, &opened);
    if (status == UF_OK && made) *made = m.made;
    close_make(&m);
    uf_dataset_free(opened);
    return status;
}
