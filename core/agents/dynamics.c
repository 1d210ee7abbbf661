// dynamics.c: trains the world model: E networks that see the same batches, by Gaussian likelihood with learned
// bounds of the log-variance, AdamW.
//
// Whole episodes are held out, so that errors over several steps can be measured on data that no network has seen.
// Everything random is a function of (seed, epoch) or (seed, tensor); a file holds epoch and batch, not a generator.
// Compiled twice, like unifloral.c (Makefile, double.o).
//
// Rooms: tensors, memory, creation, passes, split, training, measuring, prediction error, file, model.
// Source: spec of the reference's dynamics.py; PETS (arXiv 1805.12114), MBPO (1906.08253), MOReL (2005.05951).
#include "core/agents/dynamics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/agents/agent.h"
#include "core/data/h5.h"
#include "core/data/loaded.h"
#include "core/envs/termination.h"

#define MODEL_KIND "unifloral-dynamics"
#define MODEL_FILE "model.h5"  // in a run folder

enum {
    MAX_TENSORS = 2 * (UF_MAX_LAYERS + 1) + 2,
    MAX_ARRAYS = 32,
    MAX_STATISTICS_ROWS = 500000,  // of the largest disagreement
    MAX_STARTS = 4096,             // of prediction errors
    START_CHUNK = 64,
};

// Rows [first, first + count) of the dataset: one episode of the held-out part.
typedef struct Episode {
    int64_t first, count;
} Episode;

struct UfDynamics {
    UfBackend* backend;
    UfConfig config;
    int O, A, D, E, B;
    UfMlp mlp;
    UfGroup nets, bounds;  // bounds: max_logvar (D), min_logvar (D)
    UfDynamicsTensor tensors[MAX_TENSORS];
    int num_tensors;
    void* arrays[MAX_ARRAYS];
    int num_arrays;

    // What a step works on, on the device; R is the larger of B and UF_DYNAMICS_ROWS.
    UfBatch batch;         // (R, .)
    int64_t* index;        // (R)
    real* x;               // (R, O + A)
    real *out, *target;    // (E, R, 2 D), (R, D)
    real *dout, *lr;       // (E, B, 2 D), (1)
    UfTape tape;           // of B rows
    double *loss, *error;  // (E + 1), (E): sums
    int* bad;              // (2)
    double* host_loss;     // (E + 1), as last fetched
    int host_bad[2];       // likewise
    real* host;            // (E, R, 2 D) and (R, D): outputs and targets taken back

    int64_t epoch, batch_in_epoch, num_steps;
    double* history;  // (epochs, E + 1): training loss, validation error of each network
    int64_t history_capacity;

    char dataset_hash[65], env[64], termination[64];
    UfLoaded loaded;  // the bound dataset
    UfSource source;  // of it
    int64_t *train_rows, *held_rows, *order;
    int64_t num_train, num_held, order_epoch;  // order_epoch: the epoch that `order` is of, -1: none
    Episode* held_episodes;
    int64_t num_held_episodes;

    bool measured;  // what follows belongs to these parameters
    int* elites;    // (num_elites), best first
    double* r2;     // (D)
    double discrepancy, min_reward, rmse;
};

// ---- tensors ----

static void add_tensor(UfDynamics* d, const char* name, int layer, bool is_shared, int rank, int rows,
                       int columns, size_t offset) {
    UfDynamicsTensor* t = &d->tensors[d->num_tensors++];
    *t = (UfDynamicsTensor){
        .is_shared = is_shared, .rank = rank, .rows = rows, .columns = columns, .offset = offset};
    if (layer >= 0)
        snprintf(t->name, sizeof t->name, "hidden/%d/%s", layer, name);
    else
        snprintf(t->name, sizeof t->name, "%s", name);
}

static void describe_tensors(UfDynamics* d) {
    const UfMlp* m = &d->mlp;
    const int L = m->layers;
    for (int l = 0; l < L; l++) {
        add_tensor(d, "kernel", l, false, 2, l ? m->width : m->in, m->width, m->kernel[l]);
        add_tensor(d, "bias", l, false, 1, 1, m->width, m->bias[l]);
    }
    add_tensor(d, "out/kernel", -1, false, 2, m->width, m->out, m->kernel[L]);
    add_tensor(d, "out/bias", -1, false, 1, 1, m->out, m->bias[L]);
    add_tensor(d, "max_logvar", -1, true, 1, 1, d->D, 0);
    add_tensor(d, "min_logvar", -1, true, 1, 1, d->D, (size_t)d->D);
}

int uf_dynamics_num_tensors(const UfDynamics* d) { return d->num_tensors; }
const UfDynamicsTensor* uf_dynamics_tensor(const UfDynamics* d, int index) { return &d->tensors[index]; }
size_t uf_dynamics_tensor_count(const UfDynamics* d, const UfDynamicsTensor* t) {
    return (size_t)(t->is_shared ? 1 : d->E) * (size_t)t->rows * (size_t)t->columns;
}

static UfStatus move_tensor(UfDynamics* d, const UfDynamicsTensor* t, UfTensorKind kind, real* dense,
                            bool to_device) {
    const UfGroup* g = t->is_shared ? &d->bounds : &d->nets;
    real* array = kind == UF_TENSOR_ADAM_M ? g->m : kind == UF_TENSOR_ADAM_V ? g->v : g->params;
    const size_t count = (size_t)t->rows * (size_t)t->columns, bytes = count * sizeof(real);
    for (int n = 0; n < (t->is_shared ? 1 : d->E); n++) {
        real* device = array + (size_t)n * d->mlp.size + t->offset;
        if (to_device)
            d->backend->upload(d->backend, device, dense + (size_t)n * count, bytes);
        else
            d->backend->download(d->backend, dense + (size_t)n * count, device, bytes);
    }
    return d->backend->sync(d->backend);
}

UfStatus uf_dynamics_get_tensor(UfDynamics* d, const UfDynamicsTensor* t, UfTensorKind kind, real* out) {
    return move_tensor(d, t, kind, out, false);
}

UfStatus uf_dynamics_set_tensor(UfDynamics* d, const UfDynamicsTensor* t, UfTensorKind kind, const real* in) {
    return move_tensor(d, t, kind, (real*)in, true);
}

// ---- memory ----

static UfStatus reserve(UfDynamics* d, void* pointer, size_t count, size_t item_bytes, const char* what) {
    void* memory = NULL;
    UF_TRY(d->backend->reserve(d->backend, &memory, count * item_bytes, what));
    d->arrays[d->num_arrays++] = memory;
    memcpy(pointer, &memory, sizeof memory);
    return UF_OK;
}
#define RESERVE(d, field, count, what) reserve((d), &(field), (size_t)(count), sizeof *(field), (what))

static UfStatus reserve_group(UfDynamics* d, UfGroup* g, size_t count, int num_blocks) {
    g->P = 1;
    g->count = count;
    g->num_blocks = num_blocks;
    UF_TRY(RESERVE(d, g->params, count, "parameters of the world model"));
    UF_TRY(RESERVE(d, g->grads, count * (size_t)num_blocks, "gradients of the world model"));
    UF_TRY(RESERVE(d, g->m, count, "optimiser state of the world model"));
    return RESERVE(d, g->v, count, "optimiser state of the world model");
}

static UfStatus reserve_all(UfDynamics* d) {
    const size_t R = (size_t)(d->B > UF_DYNAMICS_ROWS ? d->B : UF_DYNAMICS_ROWS), E = (size_t)d->E;
    const size_t B = (size_t)d->B, D = (size_t)d->D, O = (size_t)d->O, A = (size_t)d->A;
    static const char what[] = "batch of the world model";
    UF_TRY(reserve_group(d, &d->nets, E * d->mlp.size, uf_num_blocks(d->B, d->E)));
    UF_TRY(reserve_group(d, &d->bounds, 2 * D, d->E));
    UF_TRY(RESERVE(d, d->batch.obs, R * O, what));
    UF_TRY(RESERVE(d, d->batch.action, R * A, what));
    UF_TRY(RESERVE(d, d->batch.reward, R, what));
    UF_TRY(RESERVE(d, d->batch.next_obs, R * O, what));
    UF_TRY(RESERVE(d, d->batch.next_action, R * A, what));
    UF_TRY(RESERVE(d, d->batch.done, R, what));
    UF_TRY(RESERVE(d, d->index, R, what));
    UF_TRY(RESERVE(d, d->x, R * (O + A), what));
    UF_TRY(RESERVE(d, d->target, R * D, what));
    UF_TRY(RESERVE(d, d->out, E * R * 2 * D, what));
    UF_TRY(RESERVE(d, d->dout, E * B * 2 * D, what));
    // The layers' activations in one piece.
    real* tape = NULL;
    const size_t layer = E * B * (size_t)d->mlp.width;
    UF_TRY(RESERVE(d, tape, (size_t)d->mlp.layers * layer, "activations of the world model"));
    for (int l = 0; l < d->mlp.layers; l++) d->tape.r[l] = tape + (size_t)l * layer;
    UF_TRY(RESERVE(d, d->lr, 1, what));
    UF_TRY(RESERVE(d, d->loss, E + 1, what));
    UF_TRY(RESERVE(d, d->error, E, what));
    UF_TRY(RESERVE(d, d->bad, 2, what));
    UF_TRY(UF_ALLOC(&d->host, E * R * 2 * D + R * D, what));
    UF_TRY(UF_ALLOC(&d->elites, d->config.num_elites, "elites"));
    return UF_ALLOC(&d->r2, D, "R^2");
}

// ---- creation ----

static UfStatus check_config(const UfConfig* c) {
    if (c->num_elites > c->num_ensemble)
        return UF_FAIL(UF_ERR_CONFIG, "num_elites %lld is above num_ensemble %lld; lower it",
                       (long long)c->num_elites, (long long)c->num_ensemble);
    return UF_OK;
}

static UfStatus init_tensor(UfDynamics* d, int index) {
    const UfDynamicsTensor* t = &d->tensors[index];
    const size_t count = uf_dynamics_tensor_count(d, t);
    real* values = NULL;
    UfRandom random = uf_random((uint64_t)d->config.seed, UF_STREAM_DYNAMICS_INIT, (uint64_t)index);
    UF_TRY(UF_ALLOC(&values, count, "initial values of one tensor"));  // zeros: biases
    if (t->rank == 2) uf_fill_lecun_normal(values, count, t->rows, &random);
    for (size_t i = 0; t->is_shared && i < count; i++)
        values[i] = (real)(t->offset ? UF_MIN_LOGVAR_INIT : UF_MAX_LOGVAR_INIT);
    UfStatus status = uf_dynamics_set_tensor(d, t, UF_TENSOR_VALUE, values);
    uf_free(values);
    return status;
}

static UfStatus build(UfDynamics* d, const UfConfig* config, int num_threads) {
    UF_TRY(check_config(config));
    d->config = *config;
    d->D = d->O + 1;
    d->E = (int)config->num_ensemble;
    d->B = (int)config->batch_size;
    d->order_epoch = -1;
    d->mlp = uf_mlp_shape(d->O + d->A, (int)config->layer_size, (int)config->n_layers, 2 * d->D, false, 0);
    UF_TRY(uf_backend_open(&d->backend, uf_device_name(config->device), uf_precision_name(config->precision),
                           num_threads));
    UF_TRY(UF_ALLOC(&d->host_loss, d->E + 1, "losses of the world model"));
    describe_tensors(d);
    UF_TRY(reserve_all(d));
    UF_TRY(d->backend->plan(d->backend, &d->mlp, 1, d->E, d->B));
    UF_TRY(d->backend->plan(d->backend, &d->mlp, 1, d->E, UF_DYNAMICS_ROWS));
    for (int i = 0; i < d->num_tensors; i++) UF_TRY(init_tensor(d, i));
    d->backend->upload(d->backend, d->lr, &(real){(real)config->lr}, sizeof(real));
    return d->backend->sync(d->backend);
}

UfStatus uf_dynamics_create_bare(UfDynamics** out, const UfConfig* config, int obs_dim, int action_dim,
                                 int num_threads) {
    UfDynamics* d = NULL;
    *out = NULL;
    UF_TRY(UF_ALLOC(&d, 1, "world model"));
    d->O = obs_dim;
    d->A = action_dim;
    UfStatus status = build(d, config, num_threads);
    if (status != UF_OK) {
        uf_dynamics_free(d);
        return status;
    }
    *out = d;
    return UF_OK;
}

// The first name that knows a rule: what is asked for, then what the data say of themselves.
static void name_termination(UfDynamics* d, const UfDataset* dataset) {
    const char* names[] = {d->config.termination, d->config.env, dataset->env_id, dataset->path};
    for (size_t i = 0; i < sizeof names / sizeof *names && !d->termination[0]; i++)
        if (names[i]) snprintf(d->termination, sizeof d->termination, "%s", uf_termination_name(names[i]));
}

UfStatus uf_dynamics_create(UfDynamics** out, const UfConfig* config, const UfDataset* dataset,
                            int num_threads) {
    if (!out) return UF_FAIL(UF_ERR_ARGUMENT, "uf_dynamics_create: out is null");
    *out = NULL;
    if (!config || !dataset) return UF_FAIL(UF_ERR_ARGUMENT, "uf_dynamics_create: config or dataset is null");
    if (config->termination[0] && !uf_termination_name(config->termination)[0]) {
        UfTermination rule;
        uf_termination_rule(config->termination, &rule);  // its sentence lists the known ones
        return uf_fail_prefix(UF_ERR_CONFIG, "termination");
    }
    UF_TRY(uf_dynamics_create_bare(out, config, dataset->obs_dim, dataset->action_dim, num_threads));
    UfDynamics* d = *out;
    snprintf(d->dataset_hash, sizeof d->dataset_hash, "%s", dataset->hash);
    const char* env = config->env[0] ? config->env : dataset->env_id ? dataset->env_id : "";
    snprintf(d->env, sizeof d->env, "%.63s", env);
    name_termination(d, dataset);
    return UF_OK;
}

void uf_dynamics_free(UfDynamics* d) {
    if (!d) return;
    for (int i = 0; i < d->num_arrays; i++) d->backend->release(d->backend, d->arrays[i]);
    if (d->backend) uf_loaded_free(&d->loaded, d->backend);
    uf_backend_close(d->backend);
    uf_free(d->host_loss);
    uf_free(d->host);
    uf_free(d->elites);
    uf_free(d->r2);
    uf_free(d->history);
    uf_free(d->train_rows);
    uf_free(d->held_rows);
    uf_free(d->order);
    uf_free(d->held_episodes);
    uf_free(d);
}

UfBackend* uf_dynamics_backend(UfDynamics* d) { return d->backend; }
const UfConfig* uf_dynamics_config(const UfDynamics* d) { return &d->config; }
int64_t uf_dynamics_num_epochs(const UfDynamics* d) { return d->epoch; }
int64_t uf_dynamics_num_steps(const UfDynamics* d) { return d->num_steps; }
int64_t uf_dynamics_num_batches(const UfDynamics* d) { return d->num_train / d->B; }
const int* uf_dynamics_elites(const UfDynamics* d, int* count) {
    *count = (int)d->config.num_elites;
    return d->elites;
}

void uf_dynamics_set_end(UfDynamics* d, int64_t num_epochs, int64_t early_stop_epochs) {
    d->config.num_epochs = num_epochs;
    d->config.early_stop_epochs = early_stop_epochs;
}

// ---- passes ----

static UfNets networks(const UfDynamics* d) {
    return (UfNets){&d->mlp, 1, d->E, d->E, d->nets.params, false};
}

static void put_input(UfDynamics* d, int rows) {
    d->backend->network_input(d->backend, &(UfInputRows){d->x, rows, d->batch.obs, d->batch.action}, 1,
                              d->O + d->A, NULL, NULL, 1, rows, d->O, d->A);
}

// Rows of the dataset into batch, input and target.
static void take_rows(UfDynamics* d, const int64_t* rows, int count) {
    UfBackend* be = d->backend;
    be->upload(be, d->index, rows, (size_t)count * sizeof *rows);
    be->gather(be, &d->batch, &(UfPiece){&d->source, d->index, {0, count, count}}, 1, 1);
    be->dynamics_target(be, d->target, &d->batch, 1, count, d->O);
    put_input(d, count);
}

static void forward(UfDynamics* d, int rows, const UfTape* tape) {
    const UfNets nets = networks(d);
    d->backend->mlp_forward(d->backend, &nets, d->out, tape, (UfInput){d->x, d->O + d->A, rows},
                            (UfRows){0, rows, rows});
}

// One step of every network on the batch that is there.
static void train_step(UfDynamics* d) {
    UfBackend* be = d->backend;
    const UfConfig* c = &d->config;
    const UfNets nets = networks(d);
    forward(d, d->B, &d->tape);
    be->dynamics_loss(be, d->dout, d->bounds.grads, d->out, d->target, d->bounds.params, d->bounds.count,
                      c->logvar_diff_coef, 1, d->E, d->B, d->D, d->loss);
    be->mlp_backward(be, &nets, d->nets.grads, NULL, 0, 0, &d->tape, (UfInput){d->x, d->O + d->A, d->B},
                     d->dout, d->B);
    d->num_steps++;
    d->measured = false;
    const UfCount step = {d->num_steps, 1};
    be->adam_polyak(be, &d->nets, d->lr, step, (UfDecay){0}, c->weight_decay, NULL, d->bad);
    be->adam_polyak(be, &d->bounds, d->lr, step, (UfDecay){0}, c->weight_decay, NULL, d->bad + 1);
}

static void clear_loss(UfDynamics* d) {
    memset(d->host_loss, 0, (size_t)(d->E + 1) * sizeof *d->loss);
    d->backend->upload(d->backend, d->loss, d->host_loss, (size_t)(d->E + 1) * sizeof *d->loss);
}

// What steps have summed up, on the host.
static UfStatus fetch_loss(const UfDynamics* d) {
    UfBackend* be = d->backend;
    be->download(be, d->host_loss, d->loss, (size_t)(d->E + 1) * sizeof *d->loss);
    be->download(be, (int*)d->host_bad, d->bad, sizeof d->host_bad);
    return be->sync(be);
}

static double total_loss(const UfDynamics* d) {
    double sum = 0;
    for (int n = 0; n <= d->E; n++) sum += d->host_loss[n];
    return sum;
}

UfStatus uf_dynamics_step(UfDynamics* d, const real* obs, const real* action, const real* target,
                          double* loss) {
    UfBackend* be = d->backend;
    const size_t B = (size_t)d->B;
    be->upload(be, d->batch.obs, obs, B * (size_t)d->O * sizeof(real));
    be->upload(be, d->batch.action, action, B * (size_t)d->A * sizeof(real));
    be->upload(be, d->target, target, B * (size_t)d->D * sizeof(real));
    put_input(d, d->B);
    clear_loss(d);
    train_step(d);
    UF_TRY(fetch_loss(d));
    *loss = total_loss(d);
    return UF_OK;
}

UfStatus uf_dynamics_predict(UfDynamics* d, real* mean, real* logvar, const real* obs, const real* action,
                             int rows) {
    UfBackend* be = d->backend;
    const int D = d->D;
    const size_t count = (size_t)d->E * (size_t)rows;
    real* bounds = NULL;
    if (rows < 1 || rows > UF_DYNAMICS_ROWS)
        return UF_FAIL(UF_ERR_ARGUMENT, "prediction of %d rows at once; expected 1 to %d", rows,
                       UF_DYNAMICS_ROWS);
    UF_TRY(UF_ALLOC(&bounds, 2 * D, "bounds of the log-variance"));
    be->upload(be, d->batch.obs, obs, (size_t)rows * (size_t)d->O * sizeof(real));
    be->upload(be, d->batch.action, action, (size_t)rows * (size_t)d->A * sizeof(real));
    put_input(d, rows);
    forward(d, rows, NULL);
    be->download(be, d->host, d->out, count * 2 * (size_t)D * sizeof(real));
    be->download(be, bounds, d->bounds.params, 2 * (size_t)D * sizeof(real));
    UfStatus status = be->sync(be);
    for (size_t i = 0; i < count * (size_t)D; i++) {
        const size_t row = i / (size_t)D, k = i % (size_t)D;
        const real* out = d->host + row * 2 * (size_t)D;
        mean[i] = out[k];
        if (logvar)
            logvar[i] =
                log(uf_model_variance(out[(size_t)D + k], exp(bounds[(size_t)D + k]), exp(-bounds[k])));
    }
    uf_free(bounds);
    return status;
}

// ---- split ----

__extension__ typedef unsigned __int128 uint128;

static uint64_t below(UfRandom* random, uint64_t n) {
    const uint64_t high = uf_random_u32(random), bits = high << 32 | uf_random_u32(random);
    return (uint64_t)(((uint128)bits * n) >> 64);
}

static void shuffle(int64_t* items, int64_t count, UfRandom random) {
    for (int64_t i = count - 1; i > 0; i--) {
        const int64_t k = (int64_t)below(&random, (uint64_t)i + 1), swap = items[i];
        items[i] = items[k];
        items[k] = swap;
    }
}

// Rows that follow one another in time. An episode's rows are neighbours; between two episodes has_next is 0 or a
// record lies that is no row.
static UfStatus find_episodes(const UfDataset* data, Episode** episodes, int64_t* count) {
    UF_TRY(UF_ALLOC(episodes, data->num_rows, "episodes"));
    *count = 0;
    for (int64_t row = 0; row < data->num_rows; row++) {
        const float* last = row ? uf_record(data, row - 1) : NULL;
        const bool goes_on =
            last && uf_record(data, row) == last + data->stride && last[data->stride - 1] > 0;
        if (!goes_on) (*episodes)[(*count)++].first = row;
        (*episodes)[*count - 1].count++;
    }
    return UF_OK;
}

// A single episode is cut: its end is held out.
static int64_t cut_in_two(Episode* episodes, int64_t num_rows, double share) {
    int64_t held = (int64_t)ceil(share * (double)num_rows);
    if (held >= num_rows) held = num_rows - 1;
    episodes[0] = (Episode){0, num_rows - held};
    episodes[1] = (Episode){num_rows - held, held};
    return 2;
}

// Episodes in random order go to the held-out part until it has its share of the rows; one is left to train on.
static UfStatus hold_out(const UfDynamics* d, const Episode* episodes, int64_t count, int64_t num_rows,
                         bool* held) {
    int64_t *order = NULL, rows = 0;
    UF_TRY(UF_ALLOC(&order, count, "order of the episodes"));
    for (int64_t i = 0; i < count; i++) order[i] = i;
    shuffle(order, count, uf_random((uint64_t)d->config.seed, UF_STREAM_DYNAMICS_SPLIT, 0));
    for (int64_t i = 0; i < count - 1 && (double)rows < d->config.validation_split * (double)num_rows; i++) {
        held[order[i]] = true;
        rows += episodes[order[i]].count;
    }
    uf_free(order);
    return UF_OK;
}

static UfStatus list_rows(UfDynamics* d, const Episode* episodes, int64_t count, const bool* held) {
    int64_t rows[2] = {0, 0}, num_held = 0;
    for (int64_t i = 0; i < count; i++) {
        rows[held[i]] += episodes[i].count;
        num_held += held[i];
    }
    UF_TRY(UF_ALLOC(&d->train_rows, rows[0], "training rows"));
    UF_TRY(UF_ALLOC(&d->order, rows[0], "order of the training rows"));
    UF_TRY(UF_ALLOC(&d->held_rows, rows[1], "held-out rows"));
    UF_TRY(UF_ALLOC(&d->held_episodes, num_held, "held-out episodes"));
    for (int64_t i = 0; i < count; i++) {
        for (int64_t row = episodes[i].first; row < episodes[i].first + episodes[i].count; row++) {
            if (held[i])
                d->held_rows[d->num_held++] = row;
            else
                d->train_rows[d->num_train++] = row;
        }
        if (held[i]) d->held_episodes[d->num_held_episodes++] = episodes[i];
    }
    return UF_OK;
}

static void unbind(UfDynamics* d) {
    uf_free(d->train_rows);
    uf_free(d->held_rows);
    uf_free(d->order);
    uf_free(d->held_episodes);
    d->train_rows = d->held_rows = d->order = NULL;
    d->held_episodes = NULL;
    d->num_train = d->num_held = d->num_held_episodes = 0;
    d->order_epoch = -1;
}

static UfStatus split(UfDynamics* d, const UfDataset* data) {
    Episode* episodes = NULL;
    bool* held = NULL;
    int64_t count = 0;
    UfStatus status = find_episodes(data, &episodes, &count);
    if (status == UF_OK) status = UF_ALLOC(&held, count + 1, "which episodes are held out");
    if (status == UF_OK && count == 1) {
        count = cut_in_two(episodes, data->num_rows, d->config.validation_split);
        held[1] = true;
    } else if (status == UF_OK) {
        status = hold_out(d, episodes, count, data->num_rows, held);
    }
    if (status == UF_OK) status = list_rows(d, episodes, count, held);
    uf_free(episodes);
    uf_free(held);
    return status;
}

UfStatus uf_dynamics_bind(UfDynamics* d, const UfDataset* data) {
    unbind(d);
    if (data->obs_dim != d->O || data->action_dim != d->A)
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "dataset has %d observation and %d action dimensions, the world model %d and %d",
                       data->obs_dim, data->action_dim, d->O, d->A);
    if (strcmp(data->hash, d->dataset_hash) != 0)
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "%s: is not the data that the world model was trained on (SHA-256 %.12s..., then "
                       "%.12s...)",
                       data->path && data->path[0] ? data->path : "arrays", data->hash, d->dataset_hash);
    if (data->num_rows < 2)
        return UF_FAIL(UF_ERR_ARGUMENT, "dataset has %lld rows; a world model needs 2 at least",
                       (long long)data->num_rows);
    UF_TRY(split(d, data));
    if (uf_dynamics_num_batches(d) < 1) {
        const long long rows = d->num_train;
        unbind(d);
        return UF_FAIL(UF_ERR_CONFIG, "batch_size %d is above the %lld training rows; lower it", d->B, rows);
    }
    return uf_loaded_source(&d->loaded, d->backend, data, &d->source);
}

void uf_dynamics_rows(const UfDynamics* d, const int64_t** train, int64_t* num_train,
                      const int64_t** held_out, int64_t* num_held_out) {
    *train = d->train_rows;
    *num_train = d->num_train;
    *held_out = d->held_rows;
    *num_held_out = d->num_held;
}

// ---- training ----

// The order of this epoch starts from that of the dataset, so an epoch needs nothing of the one before.
static void shuffle_rows(UfDynamics* d) {
    if (d->order_epoch == d->epoch) return;
    memcpy(d->order, d->train_rows, (size_t)d->num_train * sizeof *d->order);
    shuffle(d->order, d->num_train,
            uf_random((uint64_t)d->config.seed, UF_STREAM_DYNAMICS_ORDER, (uint64_t)d->epoch));
    d->order_epoch = d->epoch;
}

// A device that is apart is asked now and then, so that the host does not wait for every batch.
enum { FETCH_BATCHES = 100 };

UfStatus uf_dynamics_train_batch(UfDynamics* d) {
    if (d->batch_in_epoch >= uf_dynamics_num_batches(d)) d->batch_in_epoch = 0;  // a bench goes round
    shuffle_rows(d);
    if (d->batch_in_epoch == 0) clear_loss(d);
    take_rows(d, d->order + d->batch_in_epoch * d->B, d->B);
    train_step(d);
    d->batch_in_epoch++;
    const bool ends = d->batch_in_epoch == uf_dynamics_num_batches(d);
    if (d->backend->apart && !ends && d->batch_in_epoch % FETCH_BATCHES) return UF_OK;
    UF_TRY(fetch_loss(d));
    if (!isfinite(total_loss(d)) || d->host_bad[0] || d->host_bad[1])
        return UF_FAIL(UF_ERR_NONFINITE,
                       "epoch %lld, %s %lld: the loss or a parameter is not finite; try a smaller lr or "
                       "look at the dataset's observations",
                       (long long)d->epoch + 1, d->backend->apart ? "by batch" : "batch",
                       (long long)d->batch_in_epoch);
    return UF_OK;
}

static int chunk_of(int64_t first, int64_t count) {
    return count - first < UF_DYNAMICS_ROWS ? (int)(count - first) : UF_DYNAMICS_ROWS;
}

static UfStatus validate(UfDynamics* d, double* errors) {
    UfBackend* be = d->backend;
    memset(errors, 0, (size_t)d->E * sizeof *errors);
    be->upload(be, d->error, errors, (size_t)d->E * sizeof *errors);
    for (int64_t first = 0; first < d->num_held; first += UF_DYNAMICS_ROWS) {
        const int rows = chunk_of(first, d->num_held);
        take_rows(d, d->held_rows + first, rows);
        forward(d, rows, NULL);
        be->dynamics_error(be, d->error, d->out, d->target, 1, d->E, rows, d->D);
    }
    be->download(be, errors, d->error, (size_t)d->E * sizeof *errors);
    UF_TRY(be->sync(be));
    for (int n = 0; n < d->E; n++) {
        errors[n] = errors[n] / (double)d->num_held / d->D;
        if (!isfinite(errors[n]))
            return UF_FAIL(UF_ERR_NONFINITE,
                           "epoch %lld: the validation error of network %d is not finite; try a smaller lr",
                           (long long)d->epoch + 1, n);
    }
    return UF_OK;
}

static double* history_of(const UfDynamics* d, int64_t epoch) { return d->history + epoch * (d->E + 1); }

static UfStatus room_for_epochs(UfDynamics* d, int64_t epochs) {
    if (epochs <= d->history_capacity) return UF_OK;
    const int64_t capacity = 2 * epochs > 64 ? 2 * epochs : 64;
    double* larger = NULL;
    UF_TRY(UF_ALLOC(&larger, capacity * (d->E + 1), "validation history"));
    if (d->epoch) memcpy(larger, d->history, (size_t)d->epoch * (size_t)(d->E + 1) * sizeof *larger);
    uf_free(d->history);
    d->history = larger;
    d->history_capacity = capacity;
    return UF_OK;
}

static UfStatus end_epoch(UfDynamics* d) {
    UF_TRY(room_for_epochs(d, d->epoch + 1));
    double* h = history_of(d, d->epoch);
    h[0] = total_loss(d) / (double)d->batch_in_epoch;
    UF_TRY(validate(d, h + 1));
    d->epoch++;
    d->batch_in_epoch = 0;
    return UF_OK;
}

bool uf_dynamics_stopped_early(const UfDynamics* d) {
    double best = INFINITY;
    int64_t best_epoch = 0;
    if (!d->config.early_stop_epochs) return false;
    for (int64_t e = 0; e < d->epoch; e++) {
        double mean = 0;
        for (int n = 1; n <= d->E; n++) mean += history_of(d, e)[n] / d->E;
        if (!(mean < best)) continue;
        best = mean;
        best_epoch = e + 1;
    }
    return d->epoch - best_epoch >= d->config.early_stop_epochs;
}

static UfStatus measure(UfDynamics* d, const UfDataset* data);

UfStatus uf_dynamics_train(UfDynamics* d, const UfDataset* data, int64_t num_epochs, UfDynamicsFn* on_batch,
                           void* user) {
    if (!d || !data) return UF_FAIL(UF_ERR_ARGUMENT, "uf_dynamics_train: dynamics or dataset is null");
    if (num_epochs < 0)
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "uf_dynamics_train: %lld epochs; expected 1 or more, or 0 for the config's",
                       (long long)num_epochs);
    UF_TRY(uf_dynamics_bind(d, data));
    const int64_t end = num_epochs > 0 ? d->epoch + num_epochs : d->config.num_epochs;
    const int64_t num_batches = uf_dynamics_num_batches(d);
    while (d->epoch < end && !uf_dynamics_stopped_early(d)) {
        while (d->batch_in_epoch < num_batches) {
            UF_TRY(uf_dynamics_train_batch(d));
            if (on_batch && on_batch(user, d, d->epoch + 1, d->batch_in_epoch) != 0)
                return UF_FAIL(UF_ERR_STOPPED, "stopped in epoch %lld", (long long)d->epoch + 1);
        }
        UF_TRY(end_epoch(d));
        if (on_batch && on_batch(user, d, d->epoch, 0) != 0)
            return UF_FAIL(UF_ERR_STOPPED, "stopped after epoch %lld", (long long)d->epoch);
    }
    return measure(d, data);
}

UfStatus uf_dynamics_epoch(const UfDynamics* d, int64_t epoch, double* train_loss, const double** validation,
                           int* num_members) {
    if (!d || epoch < 1 || epoch > d->epoch)
        return UF_FAIL(UF_ERR_ARGUMENT, "epoch %lld has not been trained", (long long)epoch);
    if (train_loss) *train_loss = history_of(d, epoch - 1)[0];
    if (validation) *validation = history_of(d, epoch - 1) + 1;
    if (num_members) *num_members = d->E;
    return UF_OK;
}

// ---- measuring ----

void uf_dynamics_best(int* best, int count, const double* errors, int E) {
    for (int i = 0; i < count; i++) {
        best[i] = -1;
        for (int n = 0; n < E; n++) {
            bool taken = false;
            for (int k = 0; k < i; k++) taken |= best[k] == n;
            if (!taken && (best[i] < 0 || errors[n] < errors[best[i]])) best[i] = n;
        }
    }
}

// Outputs and targets of rows of the dataset on the host: d->host holds out (E, rows, 2 D), *target (rows, D).
static UfStatus outputs_of(UfDynamics* d, const int64_t* rows, int count, const real** target) {
    UfBackend* be = d->backend;
    const size_t outputs = (size_t)d->E * (size_t)count * 2 * (size_t)d->D;
    take_rows(d, rows, count);
    forward(d, count, NULL);
    be->download(be, d->host, d->out, outputs * sizeof(real));
    be->download(be, d->host + outputs, d->target, (size_t)count * (size_t)d->D * sizeof(real));
    *target = d->host + outputs;
    return be->sync(be);
}

static const real* elite_means(const UfDynamics* d, int elite, int row, int rows) {
    return d->host + ((size_t)d->elites[elite] * (size_t)rows + (size_t)row) * 2 * (size_t)d->D;
}

// For one number: sums of its squared errors, of itself and of its squares, and its range.
typedef struct Spread {
    double error, sum, squares, low, high;
} Spread;

static void add_row(const UfDynamics* d, Spread* spread, const real* target, int row, int rows) {
    const int K = (int)d->config.num_elites;
    for (int k = 0; k < d->D; k++) {
        const double y = target[k];
        double mean = 0;
        for (int e = 0; e < K; e++) mean += elite_means(d, e, row, rows)[k];
        mean /= K;
        spread[k].error += (mean - y) * (mean - y);
        spread[k].sum += y;
        spread[k].squares += y * y;
        if (y < spread[k].low) spread[k].low = y;
        if (y > spread[k].high) spread[k].high = y;
    }
}

// R^2 of each number that varies on the held-out rows, and their joint error.
static UfStatus measure_fit(UfDynamics* d) {
    Spread* spread = NULL;
    UF_TRY(UF_ALLOC(&spread, d->D, "spread of the targets"));
    for (int k = 0; k < d->D; k++) spread[k].low = INFINITY, spread[k].high = -INFINITY;
    UfStatus status = UF_OK;
    for (int64_t first = 0; first < d->num_held && status == UF_OK; first += UF_DYNAMICS_ROWS) {
        const int rows = chunk_of(first, d->num_held);
        const real* target;
        status = outputs_of(d, d->held_rows + first, rows, &target);
        for (int b = 0; b < rows && status == UF_OK; b++)
            add_row(d, spread, target + (size_t)b * (size_t)d->D, b, rows);
    }
    double unexplained = 0;
    int varying = 0;
    for (int k = 0; k < d->D; k++) {
        const Spread* s = &spread[k];
        d->r2[k] = NAN;
        if (!(s->low < s->high)) continue;
        d->r2[k] = 1 - s->error / (s->squares - s->sum * s->sum / (double)d->num_held);
        unexplained += 1 - d->r2[k];
        varying++;
    }
    d->rmse = varying ? sqrt(unexplained / varying) : 0;
    uf_free(spread);
    return status;
}

static double distance(const real* a, const real* b, int count) {
    double sum = 0;
    for (int k = 0; k < count; k++) sum += ((double)a[k] - b[k]) * ((double)a[k] - b[k]);
    return sqrt(sum);
}

// The largest distance between two elites' means for the same input, over rows spread evenly across the dataset.
static UfStatus measure_discrepancy(UfDynamics* d, const UfDataset* data) {
    const int64_t total = data->num_rows < MAX_STATISTICS_ROWS ? data->num_rows : MAX_STATISTICS_ROWS;
    const int K = (int)d->config.num_elites;
    int64_t chosen[UF_DYNAMICS_ROWS];
    d->discrepancy = 0;
    for (int64_t first = 0; first < total; first += UF_DYNAMICS_ROWS) {
        const int rows = chunk_of(first, total);
        const real* target;
        for (int b = 0; b < rows; b++)
            chosen[b] = (int64_t)((double)(first + b) * ((double)data->num_rows / (double)total));
        UF_TRY(outputs_of(d, chosen, rows, &target));
        for (int b = 0; b < rows; b++)
            for (int i = 0; i < K; i++)
                for (int j = i + 1; j < K; j++) {
                    const double x = distance(elite_means(d, i, b, rows), elite_means(d, j, b, rows), d->D);
                    if (x > d->discrepancy) d->discrepancy = x;
                }
    }
    return UF_OK;
}

static UfStatus measure(UfDynamics* d, const UfDataset* data) {
    if (d->measured || d->epoch == 0) return UF_OK;
    uf_dynamics_best(d->elites, (int)d->config.num_elites, history_of(d, d->epoch - 1) + 1, d->E);
    UF_TRY(measure_fit(d));
    UF_TRY(measure_discrepancy(d, data));
    d->min_reward = INFINITY;
    for (int64_t row = 0; row < data->num_rows; row++)
        d->min_reward = fmin(d->min_reward, (double)uf_record(data, row)[d->O + d->A]);
    d->measured = true;
    return UF_OK;
}

UfStatus uf_dynamics_r2(const UfDynamics* d, const double** r2, int* num_values) {
    if (!d || !r2 || !num_values) return UF_FAIL(UF_ERR_ARGUMENT, "uf_dynamics_r2: an argument is null");
    if (!d->measured)
        return UF_FAIL(UF_ERR_ARGUMENT, "the world model's training has not ended; R^2 is measured then");
    *r2 = d->r2;
    *num_values = d->D;
    return UF_OK;
}

// ---- prediction error ----

typedef struct Prediction {
    const UfDynamics* d;
    const UfDataset* data;
    const real* params;     // (E, size) on the host
    const int64_t* starts;  // rows
    int64_t num_starts;
    int horizon, series;  // series 0: the elites' mean, then each elite on its own
    double* sums;         // (chunks, series, horizon)
    real* scratch;        // (threads, scratch_count)
    size_t scratch_count;
} Prediction;

// Adds the means of one elite for `rows` inputs, times weight, to `delta` (rows, D).
static void add_means(const Prediction* c, int elite, const real* x, int rows, real* delta, real weight,
                      real* out, real* layers) {
    const UfDynamics* d = c->d;
    uf_mlp_forward_host(&d->mlp, c->params + (size_t)d->elites[elite] * d->mlp.size, out, x, d->O + d->A,
                        rows, layers);
    for (int b = 0; b < rows; b++)
        for (int k = 0; k < d->D; k++)
            delta[(size_t)b * (size_t)d->D + (size_t)k] +=
                weight * out[(size_t)b * 2 * (size_t)d->D + (size_t)k];
}

static const float* next_obs_of(const UfDataset* data, int64_t row) {
    const int64_t record = data->rows ? data->rows[row] : row;
    return data->next_obs ? data->next_obs + record * data->obs_dim : uf_record(data, row) + data->stride;
}

static void predict_task(void* context, int task, int thread) {
    const Prediction* c = context;
    const UfDynamics* d = c->d;
    const int O = d->O, A = d->A, K = c->series - 1;
    const int64_t first = (int64_t)task * START_CHUNK;
    const int rows = c->num_starts - first < START_CHUNK ? (int)(c->num_starts - first) : START_CHUNK;
    real* x = c->scratch + (size_t)thread * c->scratch_count;
    real* delta = x + (size_t)START_CHUNK * (size_t)(O + A);
    real* out = delta + (size_t)START_CHUNK * (size_t)d->D;
    real* layers = out + (size_t)START_CHUNK * 2 * (size_t)d->D;
    for (int s = 0; s < c->series; s++)
        for (int h = 0; h < c->horizon; h++) {
            double* sum =
                &c->sums[((size_t)task * (size_t)c->series + (size_t)s) * (size_t)c->horizon + (size_t)h];
            for (int b = 0; b < rows; b++) {
                const float* record = uf_record(c->data, c->starts[first + b] + h);
                real* row = x + (size_t)b * (size_t)(O + A);
                for (int i = 0; i < O && h == 0; i++) row[i] = record[i];
                for (int i = 0; i < A; i++) row[O + i] = record[O + i];
            }
            memset(delta, 0, (size_t)rows * (size_t)d->D * sizeof(real));
            for (int e = s ? s - 1 : 0; e < (s ? s : K); e++)
                add_means(c, e, x, rows, delta, s ? 1 : (real)1 / K, out, layers);
            for (int b = 0; b < rows; b++) {
                const float* truth = next_obs_of(c->data, c->starts[first + b] + h);
                for (int i = 0; i < O; i++) {
                    real* o = &x[(size_t)b * (size_t)(O + A) + (size_t)i];
                    *o += delta[(size_t)b * (size_t)d->D + (size_t)i];
                    const double error = ((double)*o - truth[i]) / c->data->obs_std[i];
                    if (c->data->obs_std[i] > 0) *sum += error * error;
                }
            }
        }
}

// Starts spread evenly over all held-out rows with `horizon` steps of their episode from there on.
static UfStatus choose_starts(const UfDynamics* d, int horizon, int64_t** starts, int64_t* count) {
    int64_t total = 0, chosen = 0, seen = 0;
    for (int64_t i = 0; i < d->num_held_episodes; i++)
        if (d->held_episodes[i].count >= horizon) total += d->held_episodes[i].count - horizon + 1;
    *count = total < MAX_STARTS ? total : MAX_STARTS;
    UF_TRY(UF_ALLOC(starts, *count, "starts of predictions"));
    for (int64_t i = 0; i < d->num_held_episodes; i++) {
        const Episode* e = &d->held_episodes[i];
        const int64_t here = e->count >= horizon ? e->count - horizon + 1 : 0;
        for (; chosen < *count && chosen * total / *count < seen + here; chosen++)
            (*starts)[chosen] = e->first + chosen * total / *count - seen;
        seen += here;
    }
    return UF_OK;
}

static void summarise(const Prediction* c, int num_chunks, UfPredictionError* out) {
    int varying = 0;
    for (int i = 0; i < c->d->O; i++) varying += c->data->obs_std[i] > 0;
    for (int h = 0; h < c->horizon; h++) {
        out->low[h] = INFINITY;
        out->high[h] = -INFINITY;
        for (int s = 0; s < c->series; s++) {
            double sum = 0;
            for (int k = 0; k < num_chunks; k++)
                sum += c->sums[((size_t)k * (size_t)c->series + (size_t)s) * (size_t)c->horizon + (size_t)h];
            const double error = sqrt(sum / (double)c->num_starts / (varying ? varying : 1));
            if (s == 0)
                out->mean[h] = error;
            else
                out->alone[h] += error / (c->series - 1);
            if (s && error < out->low[h]) out->low[h] = error;
            if (s && error > out->high[h]) out->high[h] = error;
        }
    }
}

static UfStatus predict_all(UfDynamics* d, Prediction* c, UfPredictionError* out) {
    real* params = NULL;
    int64_t* starts = NULL;
    const size_t count = (size_t)d->E * d->mlp.size;
    const int threads = uf_pool_num_threads(d->backend->pool);
    c->scratch_count = (size_t)START_CHUNK * (size_t)(d->O + d->A + 3 * d->D + 2 * d->mlp.width);
    UfStatus status = choose_starts(d, c->horizon, &starts, &c->num_starts);
    const int num_chunks = (int)((c->num_starts + START_CHUNK - 1) / START_CHUNK);
    if (status == UF_OK) status = UF_ALLOC(&params, count, "parameters of the world model");
    if (status == UF_OK)
        status = UF_ALLOC(&c->scratch, (size_t)threads * c->scratch_count, "scratch of predictions");
    if (status == UF_OK)
        status = UF_ALLOC(&c->sums, num_chunks * c->series * c->horizon, "errors of predictions");
    if (status == UF_OK) {
        d->backend->download(d->backend, params, d->nets.params, count * sizeof(real));
        status = d->backend->sync(d->backend);
    }
    if (status == UF_OK) {
        c->params = params;
        c->starts = starts;
        uf_pool_run(d->backend->pool, num_chunks, predict_task, c);
        out->num_starts = c->num_starts;
        summarise(c, num_chunks, out);
    }
    uf_free(params);
    uf_free(starts);
    uf_free(c->scratch);
    uf_free(c->sums);
    return status;
}

UfStatus uf_dynamics_prediction_error(UfDynamics* d, const UfDataset* data, UfPredictionError* out) {
    *out = (UfPredictionError){0};
    if (!d->measured) return UF_FAIL(UF_ERR_ARGUMENT, "the world model's training has not ended");
    UF_TRY(uf_dynamics_bind(d, data));
    for (int64_t i = 0; i < d->num_held_episodes; i++)
        if (d->held_episodes[i].count > out->horizon)
            out->horizon =
                d->held_episodes[i].count < UF_MAX_HORIZON ? (int)d->held_episodes[i].count : UF_MAX_HORIZON;
    Prediction c = {.d = d, .data = data, .horizon = out->horizon, .series = (int)d->config.num_elites + 1};
    return predict_all(d, &c, out);
}

// ---- file ----

static const UfH5Type h5_real = sizeof(real) == sizeof(float) ? UF_H5_FLOAT : UF_H5_DOUBLE;

typedef UfStatus TensorVisit(UfDynamics* d, const UfH5* h5, const char* name, const UfDynamicsTensor* t,
                             UfTensorKind kind, real* values);

static UfStatus write_tensor(UfDynamics* d, const UfH5* h5, const char* name, const UfDynamicsTensor* t,
                             UfTensorKind kind, real* values) {
    int64_t dims[3];
    int rank = 0;
    if (!t->is_shared) dims[rank++] = d->E;
    if (t->rank == 2) dims[rank++] = t->rows;
    dims[rank++] = t->columns;
    UF_TRY(uf_dynamics_get_tensor(d, t, kind, values));
    return uf_h5_write(h5, name, h5_real, values, rank, dims, 0, false);
}

static UfStatus read_tensor(UfDynamics* d, const UfH5* h5, const char* name, const UfDynamicsTensor* t,
                            UfTensorKind kind, real* values) {
    const size_t count = uf_dynamics_tensor_count(d, t);
    UF_TRY(uf_h5_read(h5, name, h5_real, values, (int64_t)count));
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return UF_FAIL(UF_ERR_FORMAT, "%s: '%s' holds a number that is not finite; the file is damaged",
                           h5->path, name);
    return uf_dynamics_set_tensor(d, t, kind, values);
}

static UfStatus visit_tensors(UfDynamics* d, const UfH5* h5, TensorVisit* visit) {
    static const char* const prefix[] = {"value", "adam_m", "adam_v"};
    for (int i = 0; i < d->num_tensors; i++) {
        const UfDynamicsTensor* t = &d->tensors[i];
        real* values = NULL;
        UF_TRY(UF_ALLOC(&values, uf_dynamics_tensor_count(d, t), "one tensor of a world model"));
        UfStatus status = UF_OK;
        for (int kind = 0; kind < 3 && status == UF_OK; kind++) {
            char name[64];
            snprintf(name, sizeof name, "%s/%s", prefix[kind], t->name);
            status = visit(d, h5, name, t, (UfTensorKind)kind, values);
        }
        uf_free(values);
        UF_TRY(status);
    }
    return UF_OK;
}

static UfStatus write_measured(const UfDynamics* d, const UfH5* h5) {
    UF_TRY(uf_h5_write_number(h5, "/", "discrepancy", d->discrepancy));
    UF_TRY(uf_h5_write_number(h5, "/", "min_reward", d->min_reward));
    UF_TRY(uf_h5_write_number(h5, "/", "rmse", d->rmse));
    UF_TRY(uf_h5_write(h5, "elites", UF_H5_INT32, d->elites, 1, &(int64_t){d->config.num_elites}, 0, false));
    return uf_h5_write(h5, "r2", UF_H5_DOUBLE, d->r2, 1, &(int64_t){d->D}, 0, false);
}

static UfStatus write_model(UfDynamics* d, const UfH5* h5) {
    char* json = NULL;
    UF_TRY(uf_h5_write_string(h5, "/", "kind", MODEL_KIND));
    UF_TRY(uf_h5_write_string(h5, "/", "version", UF_VERSION));
    UF_TRY(uf_h5_write_string(h5, "/", "dataset_hash", d->dataset_hash));
    UF_TRY(uf_h5_write_string(h5, "/", "env", d->env));
    UF_TRY(uf_h5_write_string(h5, "/", "termination", d->termination));
    UF_TRY(uf_config_json(&d->config, &json));
    UfStatus status = uf_h5_write_string(h5, "/", "config", json);
    uf_free(json);
    UF_TRY(status);
    UF_TRY(uf_h5_write_integer(h5, "/", "obs_dim", d->O));
    UF_TRY(uf_h5_write_integer(h5, "/", "action_dim", d->A));
    UF_TRY(uf_h5_write_integer(h5, "/", "epoch", d->epoch));
    UF_TRY(uf_h5_write_integer(h5, "/", "batch_in_epoch", d->batch_in_epoch));
    UF_TRY(uf_h5_write_integer(h5, "/", "num_steps", d->num_steps));
    UF_TRY(uf_h5_write_integer(h5, "/", "measured", d->measured));
    UF_TRY(fetch_loss(d));
    UF_TRY(uf_h5_write(h5, "loss", UF_H5_DOUBLE, d->host_loss, 1, &(int64_t){d->E + 1}, 0, false));
    if (d->epoch)
        UF_TRY(uf_h5_write(h5, "history", UF_H5_DOUBLE, d->history, 2, (int64_t[]){d->epoch, d->E + 1}, 0,
                           false));
    if (d->measured) UF_TRY(write_measured(d, h5));
    return visit_tensors(d, h5, write_tensor);
}

UfStatus uf_dynamics_save(const UfDynamics* d, const char* path) {
    if (!d || !path) return UF_FAIL(UF_ERR_ARGUMENT, "uf_dynamics_save: dynamics or path is null");
    char temporary[1024];
    if (snprintf(temporary, sizeof temporary, "%s.tmp", path) >= (int)sizeof temporary)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: the path is too long", path);
    UfH5 h5;
    UF_TRY(uf_h5_create(&h5, temporary));
    UfStatus status = write_model((UfDynamics*)d, &h5);
    UfStatus closed = uf_h5_close(&h5);
    if (status == UF_OK) status = closed;
    if (status == UF_OK) return uf_commit_file(temporary, path);
    remove(temporary);
    return status;
}

static UfStatus read_integer(const UfH5* h5, const char* name, double lowest, double highest, int64_t* out) {
    double value = 0;
    UF_TRY(uf_h5_read_number(h5, "/", name, &value));
    if (!(value >= lowest && value <= highest) || value != floor(value))
        return UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' is %g; the world model is damaged", h5->path, name,
                       value);
    *out = (int64_t)value;
    return UF_OK;
}

static UfStatus read_text(const UfH5* h5, const char* name, char* out, size_t bytes) {
    char* text = NULL;
    UF_TRY(uf_h5_read_string(h5, "/", name, &text));
    const size_t length = strlen(text);
    if (length < bytes) memcpy(out, text, length + 1);
    uf_free(text);
    if (length < bytes) return UF_OK;
    return UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' has %zu characters; the world model is damaged",
                   h5->path, name, length);
}

static UfStatus check_header(const UfH5* h5) {
    static const struct {
        const char *name, *expected, *remedy;
    } rows[] = {
        {"kind", MODEL_KIND, "a world model comes from `unifloral dynamics`"},
        {"version", UF_VERSION, "train it again with this version"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[128];
        if (!uf_h5_has_attribute(h5, "/", rows[i].name))
            return UF_FAIL(UF_ERR_FORMAT, "%s: no attribute '%s'; %s", h5->path, rows[i].name,
                           rows[i].remedy);
        UF_TRY(read_text(h5, rows[i].name, text, sizeof text));
        if (strcmp(text, rows[i].expected) != 0)
            return UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' is '%.40s', expected '%s'; %s", h5->path,
                           rows[i].name, text, rows[i].expected, rows[i].remedy);
    }
    return UF_OK;
}

static UfStatus create_from(const UfH5* h5, const char* device, const char* precision, int num_threads,
                            UfDynamics** out) {
    UfConfig* config = NULL;
    char *json = NULL, label[1100];
    int64_t obs_dim = 0, action_dim = 0;
    UF_TRY(check_header(h5));
    UF_TRY(read_integer(h5, "obs_dim", 1, 1e6, &obs_dim));
    UF_TRY(read_integer(h5, "action_dim", 1, 1e6, &action_dim));
    snprintf(label, sizeof label, "%s: attribute config", h5->path);
    UfStatus status = uf_h5_read_string(h5, "/", "config", &json);
    if (status == UF_OK) status = uf_config_create(&config);
    if (status == UF_OK) status = uf_config_parse(config, json, label);
    if (status == UF_OK && device) status = uf_config_set(config, "device", device);
    if (status == UF_OK && precision) status = uf_config_set(config, "precision", precision);
    if (status == UF_OK)
        status = uf_dynamics_create_bare(out, config, (int)obs_dim, (int)action_dim, num_threads);
    uf_free(json);
    uf_config_free(config);
    return status;
}

static UfStatus read_elites(UfDynamics* d, const UfH5* h5) {
    const int K = (int)d->config.num_elites;
    UF_TRY(uf_h5_read(h5, "elites", UF_H5_INT32, d->elites, K));
    for (int i = 0; i < K; i++) {
        bool wrong = d->elites[i] < 0 || d->elites[i] >= d->E;
        for (int k = 0; k < i; k++) wrong |= d->elites[k] == d->elites[i];
        if (wrong)
            return UF_FAIL(UF_ERR_FORMAT,
                           "%s: 'elites' are not %d different networks of %d; the file is damaged", h5->path,
                           K, d->E);
    }
    return UF_OK;
}

static UfStatus read_measured(UfDynamics* d, const UfH5* h5) {
    UF_TRY(uf_h5_read_number(h5, "/", "discrepancy", &d->discrepancy));
    UF_TRY(uf_h5_read_number(h5, "/", "min_reward", &d->min_reward));
    UF_TRY(uf_h5_read_number(h5, "/", "rmse", &d->rmse));
    UF_TRY(read_elites(d, h5));
    return uf_h5_read(h5, "r2", UF_H5_DOUBLE, d->r2, d->D);
}

static UfStatus read_model(UfDynamics* d, const UfH5* h5) {
    int64_t epoch = 0, measured = 0;
    UF_TRY(read_text(h5, "dataset_hash", d->dataset_hash, sizeof d->dataset_hash));
    UF_TRY(read_text(h5, "env", d->env, sizeof d->env));
    UF_TRY(read_text(h5, "termination", d->termination, sizeof d->termination));
    UF_TRY(read_integer(h5, "epoch", 0, 1e9, &epoch));
    UF_TRY(read_integer(h5, "batch_in_epoch", 0, 9e15, &d->batch_in_epoch));
    UF_TRY(read_integer(h5, "num_steps", 0, 9e15, &d->num_steps));
    UF_TRY(read_integer(h5, "measured", 0, 1, &measured));
    UF_TRY(uf_h5_read(h5, "loss", UF_H5_DOUBLE, d->host_loss, d->E + 1));
    d->backend->upload(d->backend, d->loss, d->host_loss, (size_t)(d->E + 1) * sizeof *d->loss);
    UF_TRY(room_for_epochs(d, epoch));
    if (epoch) UF_TRY(uf_h5_read(h5, "history", UF_H5_DOUBLE, d->history, epoch * (d->E + 1)));
    d->epoch = epoch;
    if (measured) UF_TRY(read_measured(d, h5));
    UF_TRY(visit_tensors(d, h5, read_tensor));
    d->measured = measured;
    return UF_OK;
}

UfStatus uf_dynamics_load(UfDynamics** out, const char* path, int num_threads) {
    return uf_dynamics_load_on(out, path, NULL, NULL, num_threads);
}

UfStatus uf_dynamics_load_on(UfDynamics** out, const char* path, const char* device, const char* precision,
                             int num_threads) {
    UF_TRY_GIVEN(out);
    *out = NULL;
    UF_TRY_GIVEN(path);
    UfH5 h5;
    UF_TRY(uf_h5_open(&h5, path));
    UfStatus status = create_from(&h5, device, precision, num_threads, out);
    if (status == UF_OK) status = read_model(*out, &h5);
    uf_h5_close(&h5);
    if (status != UF_OK) {
        uf_dynamics_free(*out);
        *out = NULL;
    }
    return status;
}

UfStatus uf_dynamics_info(const char* path, char** out) {
    UfDynamics* d = NULL;
    UfText text = {0};
    size_t parameters = 0;
    UF_TRY(uf_dynamics_load_on(&d, path, "cpu", NULL, 1));
    for (int i = 0; i < d->num_tensors; i++) parameters += uf_dynamics_tensor_count(d, &d->tensors[i]);
    uf_text_add(&text, "file            %s\nkind            %s, version %s\n", path, MODEL_KIND, UF_VERSION);
    uf_text_add(&text, "epochs          %lld of %lld%s\n", (long long)d->epoch,
                (long long)d->config.num_epochs, d->measured ? "" : "; training has not ended");
    uf_text_add(&text, "dimensions      %d observation, %d action\n", d->O, d->A);
    uf_text_add(&text, "networks        %d of %lld x %lld, %zu parameters\n", d->E,
                (long long)d->config.n_layers, (long long)d->config.layer_size, parameters);
    uf_text_add(&text, "dataset SHA-256 %s\nenvironment     %s\ntermination     %s\n", d->dataset_hash,
                d->env[0] ? d->env : "not named", d->termination[0] ? d->termination : "not known");
    if (d->epoch) {
        uf_text_add(&text, "validation MSE ");
        for (int n = 1; n <= d->E; n++) uf_text_add(&text, " %.4g", history_of(d, d->epoch - 1)[n]);
        uf_text_add(&text, "\n");
    }
    if (d->measured) {
        uf_text_add(&text, "elites         ");
        for (int i = 0; i < d->config.num_elites; i++) uf_text_add(&text, " %d", d->elites[i]);
        uf_text_add(&text, "\none-step R^2   ");
        for (int k = 0; k < d->D; k++) uf_text_add(&text, " %.4g", d->r2[k]);
        uf_text_add(&text, "  (observations, then reward; held-out rows)\n");
        uf_text_add(&text, "discrepancy     %.4g, least reward %.4g\n", d->discrepancy, d->min_reward);
    }
    uf_dynamics_free(d);
    return uf_text_finish(&text, out);
}

// ---- model ----

static UfStatus copy_elites(UfDynamics* d, UfModel* m) {
    UfBackend* be = d->backend;
    m->obs_dim = d->O;
    m->action_dim = d->A;
    m->num_networks = (int)d->config.num_elites;
    m->mlp = d->mlp;
    m->discrepancy = d->discrepancy;
    m->min_reward = d->min_reward;
    m->rmse = d->rmse;
    memcpy(m->dataset_hash, d->dataset_hash, sizeof m->dataset_hash);
    memcpy(m->termination, d->termination, sizeof m->termination);
    UF_TRY(UF_ALLOC(&m->params, (size_t)m->num_networks * d->mlp.size, "world model"));
    UF_TRY(UF_ALLOC(&m->bounds, 2 * d->D, "bounds of the log-variance"));
    for (int i = 0; i < m->num_networks; i++)
        be->download(be, m->params + (size_t)i * d->mlp.size,
                     d->nets.params + (size_t)d->elites[i] * d->mlp.size, d->mlp.size * sizeof(real));
    be->download(be, m->bounds, d->bounds.params, 2 * (size_t)d->D * sizeof(real));
    return be->sync(be);
}

UfStatus uf_model_load(UfModel** out, const char* name) {
    char path[1024];
    struct stat info;
    UfDynamics* d = NULL;
    *out = NULL;
    const bool folder = stat(name, &info) == 0 && S_ISDIR(info.st_mode);
    if (snprintf(path, sizeof path, "%s%s", name, folder ? "/" MODEL_FILE : "") >= (int)sizeof path)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: the path is too long", name);
    UF_TRY(uf_dynamics_load_on(&d, path, "cpu", NULL, 1));
    UfStatus status = UF_OK;
    if (!d->measured)
        status =
            UF_FAIL(UF_ERR_FORMAT,
                    "%s: its training has not ended (epoch %lld of %lld); go on with `unifloral dynamics "
                    "--resume`",
                    path, (long long)d->epoch, (long long)d->config.num_epochs);
    if (status == UF_OK) status = UF_ALLOC(out, 1, "world model");
    if (status == UF_OK) status = copy_elites(d, *out);
    uf_dynamics_free(d);
    if (status != UF_OK) {
        uf_model_free(*out);
        *out = NULL;
    }
    return status;
}

void uf_model_free(UfModel* model) {
    if (!model) return;
    uf_free(model->params);
    uf_free(model->bounds);
    uf_free(model);
}
