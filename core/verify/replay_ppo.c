// replay_ppo.c: replays a recorded PPO update (kind ppo-update) through the library's own steps.
//
// Compiled twice: in float32, and in double precision together with its own copy of ppo.c and kernels.c (Makefile,
// double.o). Layout of the file: each group has a configuration, parameters before and after, a rollout, what is to
// come out of it and the rows of each minibatch.
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/agents/ppo.h"
#include "core/data/h5.h"
#include "core/verify/replay.h"
#include "core/verify/replay_input.h"

enum { NUM_LOSSES = 4, NUM_ESTIMATES = 3, NAME = 160 };

typedef struct Replay {
    UfH5 h5;
    const char *group, *device, *precision;  // Nullable: precision
    UfPpoConfig* config;
    UfTrainSpace space;
    UfPpo* ppo;
    int T, N;
    int64_t num_updates, rows;  // minibatches, rows of each
    UfReplay* out;
} Replay;

static UfStatus fail(const Replay* r, const char* what) {
    return UF_FAIL(UF_ERR_FORMAT, "%s: group '%s': %s", r->h5.path, r->group, what);
}

// "<group>/<name>"
static const char* path_of(const Replay* r, const char* name, char path[NAME]) {
    snprintf(path, NAME, "%.60s/%.90s", r->group, name);
    return path;
}

// ---- configuration ----

// Dimensions are the file's own names, everything else is a hyperparameter.
static UfStatus set_member(Replay* r, const cJSON* item) {
    char text[64], sentence[200];
    if (!strcmp(item->string, "obs_dim") || !strcmp(item->string, "action_dim")) {
        if (!cJSON_IsNumber(item) || item->valuedouble < 1 || item->valuedouble > 1e6 ||
            item->valuedouble != floor(item->valuedouble)) {
            snprintf(sentence, sizeof sentence, "config has no sensible %.20s; expected an integer >= 1",
                     item->string);
            return fail(r, sentence);
        }
        if (item->string[0] == 'o')
            r->space.obs_dim = item->valueint;
        else
            r->space.action_dim = item->valueint;
        return UF_OK;
    }
    if (!strcmp(item->string, "discrete")) {
        r->space.discrete = cJSON_IsTrue(item);
        return cJSON_IsBool(item) ? UF_OK : fail(r, "config: discrete is no truth value");
    }
    if (cJSON_IsNumber(item))
        snprintf(text, sizeof text, "%.17g", item->valuedouble);
    else
        snprintf(text, sizeof text, "%.60s",
                 cJSON_IsString(item) ? item->valuestring
                 : cJSON_IsTrue(item) ? "true"
                                      : "false");
    const UfStatus status = uf_table_set(&uf_ppo_table, r->config, item->string, text);
    return status == UF_OK ? UF_OK
                           : UF_FAIL(status, "%s: group '%s': config: %s", r->h5.path, r->group, uf_error());
}

static UfStatus parse_config(Replay* r) {
    char* json = NULL;
    UF_TRY(uf_h5_read_string(&r->h5, r->group, "config", &json));
    cJSON* root = cJSON_Parse(json);
    UfStatus status = cJSON_IsObject(root) ? UF_OK : fail(r, "attribute 'config' is no JSON object");
    const cJSON* item;
    cJSON_ArrayForEach(item, root) {
        if (status == UF_OK) status = set_member(r, item);
    }
    cJSON_Delete(root);
    uf_free(json);
    return status;
}

static UfStatus hidden_activation(Replay* r) {
    char* text = NULL;
    if (!uf_h5_has_attribute(&r->h5, "/", "hidden_activation")) return UF_OK;
    UF_TRY(uf_h5_read_string(&r->h5, "/", "hidden_activation", &text));
    const UfStatus status = uf_table_set(&uf_ppo_table, r->config, "activation", text);
    uf_free(text);
    return status == UF_OK ? UF_OK : UF_FAIL(status, "%s: hidden_activation: %s", r->h5.path, uf_error());
}

// Depth and width are those of the recorded actor; the critic's are checked as its tensors are read.
static UfStatus hidden_layers(Replay* r) {
    char name[64], path[NAME];
    UfH5Shape shape;
    int layers = 0;
    for (;; layers++) {
        snprintf(name, sizeof name, "init/actor/%d/kernel", layers);
        if (!uf_h5_exists(&r->h5, path_of(r, name, path))) break;
    }
    if (layers < 2) return fail(r, "init/actor has no hidden layer");
    UF_TRY(uf_h5_shape(&r->h5, path_of(r, "init/actor/0/kernel", path), &shape));
    if (shape.rank != 2) return fail(r, "init/actor/0/kernel is no matrix");
    r->config->num_layers = layers - 1;
    r->config->layer_width = shape.dims[1];
    return layers - 1 <= UF_MAX_LAYERS ? UF_OK : fail(r, "too many layers");
}

static UfStatus minibatches(Replay* r) {
    char path[NAME];
    UfH5Shape shape;
    UF_TRY(uf_h5_shape(&r->h5, path_of(r, "minibatch_index", path), &shape));
    if (shape.rank != 2 || shape.dims[0] < 1) return fail(r, "minibatch_index is no matrix (steps, rows)");
    r->num_updates = shape.dims[0];
    r->rows = shape.dims[1];
    return UF_OK;
}

static UfStatus create(Replay* r) {
    UF_TRY(uf_table_create(&uf_ppo_table, (void**)&r->config));
    UF_TRY(parse_config(r));
    UF_TRY(hidden_activation(r));
    UF_TRY(hidden_layers(r));
    UF_TRY(minibatches(r));
    r->T = (int)r->config->num_steps;
    r->N = (int)r->config->num_envs;
    r->config->budget = r->config->num_steps * r->config->num_envs;
    UF_TRY(uf_table_set(&uf_ppo_table, r->config, "device", r->device));
    if (r->precision) UF_TRY(uf_table_set(&uf_ppo_table, r->config, "precision", r->precision));
    UF_TRY(uf_ppo_create(&r->ppo, (const UfPpoConfig* const*)&r->config, 1, &r->space, 1));
    if (r->rows != uf_ppo_minibatch_rows(r->ppo))
        return fail(r, "minibatch_index does not have T N / num_minibatches columns");
    return UF_OK;
}

// ---- what is loaded ----

static UfStatus load(Replay* r, const char* name, UfH5Type type, size_t item, void* device, int64_t count) {
    UfBackend* be = uf_ppo_backend(r->ppo);
    char path[NAME];
    void* host;
    UF_TRY(uf_alloc(&host, (size_t)count, item, "a recorded array"));
    const UfStatus status = uf_h5_read(&r->h5, path_of(r, name, path), type, host, count);
    if (status == UF_OK) be->upload(be, device, host, (size_t)count * item);
    uf_free(host);
    return status;
}

static UfStatus load_reals(Replay* r, const char* name, void* device, int64_t count) {
    UfBackend* be = uf_ppo_backend(r->ppo);
    char path[NAME];
    real* host;
    UF_TRY(UF_ALLOC(&host, count, "a recorded array"));
    const UfStatus status = uf_read_input(&r->h5, path_of(r, name, path), host, count, r->out);
    if (status == UF_OK) be->upload(be, device, host, (size_t)count * sizeof *host);
    uf_free(host);
    return status;
}

// Refuses actions and rows that are none, which would be read from elsewhere.
static UfStatus check_range(Replay* r, const char* name, int64_t count, int64_t end) {
    char path[NAME], sentence[200];
    double* values;
    UF_TRY(UF_ALLOC(&values, count, "a recorded array"));
    UfStatus status = uf_h5_read(&r->h5, path_of(r, name, path), UF_H5_DOUBLE, values, count);
    for (int64_t i = 0; i < count && status == UF_OK; i++) {
        if (values[i] >= 0 && values[i] < (double)end && values[i] == floor(values[i])) continue;
        snprintf(sentence, sizeof sentence, "%s[%lld] is %g; expected 0 to %lld", name, (long long)i,
                 values[i], (long long)end - 1);
        status = fail(r, sentence);
    }
    uf_free(values);
    return status;
}

static UfStatus load_steps(Replay* r) {
    const UfSteps* s = uf_ppo_steps(r->ppo);
    const int64_t rows = (int64_t)r->T * r->N, O = r->space.obs_dim;
    const int64_t actions = r->space.discrete ? rows : rows * r->space.action_dim;
    if (r->space.discrete) UF_TRY(check_range(r, "action", rows, r->space.action_dim));
    UF_TRY(check_range(r, "minibatch_index", r->num_updates * r->rows, rows));
    UF_TRY(check_range(r, "done", rows, 2));
    UF_TRY(load_reals(r, "obs", s->obs, rows * O));
    UF_TRY(load_reals(r, "last_obs", (real*)s->obs + rows * O, r->N * O));
    if (r->space.discrete)
        UF_TRY(load(r, "action", uf_h5_real, sizeof(real), s->action, actions));
    else
        UF_TRY(load_reals(r, "action", s->action, actions));
    UF_TRY(load_reals(r, "old_log_prob", s->log_prob, rows));
    UF_TRY(load_reals(r, "reward", s->reward, rows));
    UF_TRY(load(r, "done", UF_H5_UINT8, 1, s->done, rows));
    return load(r, "t", UF_H5_INT32, sizeof(int32_t), s->time, rows);
}

static int64_t count_of(const UfTensor* t) { return (int64_t)t->rows * t->columns; }

static UfStatus load_parameters(Replay* r) {
    for (int i = 0; i < uf_ppo_num_tensors(r->ppo); i++) {
        const UfTensor* t = uf_ppo_tensor(r->ppo, i);
        char name[96], path[NAME];
        real* values;
        snprintf(name, sizeof name, "init/%s", t->name);
        UF_TRY(UF_ALLOC(&values, count_of(t), "a recorded tensor"));
        UfStatus status = uf_read_input(&r->h5, path_of(r, name, path), values, count_of(t), r->out);
        if (status == UF_OK) status = uf_ppo_set_tensor(r->ppo, t, UF_TENSOR_VALUE, 0, values);
        uf_free(values);
        UF_TRY(status);
    }
    return UF_OK;
}

// ---- what is compared ----

// The next result.
static UfReplayed* new_result(Replay* r, const char* tensor, int step, int64_t count) {
    UfReplayed* result = &r->out->tensors[r->out->num_tensors++];
    snprintf(result->tensor, sizeof result->tensor, "%s", tensor);
    result->step = step;
    result->num_elements = count;
    return result;
}

static void compare(UfReplayed* result, const double* expected, const real* ours) {
    double squares = 0;
    for (int64_t i = 0; i < result->num_elements; i++) {
        const double e = fabs((double)ours[i] - expected[i]);
        if (e > result->max_error || isnan(e)) result->max_error = e;  // a NaN stays
        if (!(e <= result->allowed)) result->num_outside++;
        squares += e * e;
    }
    result->rms_error = sqrt(squares / (double)result->num_elements);
}

static double rms_of(const double* x, int64_t count) {
    double squares = 0;
    for (int64_t i = 0; i < count; i++) squares += x[i] * x[i];
    return sqrt(squares / (double)count);
}

// Values, advantages and targets, all to 1e-5; in float32 to 16 roundings of the largest besides: a step has three
// operations on numbers of that size, and the errors of later ones fade with gamma lambda. max_change 0: no element is
// excused; rms_change: their own size.
static UfStatus compare_estimate(Replay* r, const char* name, const real* device) {
    UfBackend* be = uf_ppo_backend(r->ppo);
    const int64_t count = (int64_t)r->T * r->N;
    UfReplayed* result = new_result(r, name, 0, count);
    char path[NAME];
    double* expected = NULL;
    real* ours = NULL;
    UfStatus status = UF_ALLOC(&expected, count, "a recorded array");
    if (status == UF_OK) status = UF_ALLOC(&ours, count, "an array");
    if (status == UF_OK) status = uf_h5_read(&r->h5, path_of(r, name, path), UF_H5_DOUBLE, expected, count);
    if (status == UF_OK) be->download(be, ours, device, (size_t)count * sizeof(real));
    if (status == UF_OK) status = be->sync(be);
    result->allowed = 1e-5;
    for (int64_t i = 0; i < count && status == UF_OK && sizeof(real) == sizeof(float); i++)
        result->allowed = fmax(result->allowed, 1e-5 + 16 * 0x1p-24 * fabs(expected[i]));
    if (status == UF_OK) compare(result, expected, ours);
    if (status == UF_OK) result->rms_change = rms_of(expected, count);
    if (status == UF_OK) status = uf_keep_ours(result, ours);
    uf_free(expected);
    uf_free(ours);
    return status;
}

static UfStatus compare_losses(Replay* r, int step, const double* expected) {
    static const int metrics[NUM_LOSSES] = {UF_PPO_METRIC_loss, UF_PPO_METRIC_policy_loss,
                                            UF_PPO_METRIC_value_loss, UF_PPO_METRIC_entropy};
    UfPpoMetrics ours;
    UF_TRY(uf_ppo_metrics(r->ppo, 0, &ours));
    for (int i = 0; i < NUM_LOSSES; i++) {
        char name[64];
        snprintf(name, sizeof name, "losses/%s", uf_ppo_metric_names[metrics[i]]);
        UfReplayed* result = new_result(r, name, step, 1);
        result->max_error = fabs(ours.values[metrics[i]] - expected[i]);
        result->allowed = 1e-5 + 2e-3 * fabs(expected[i]);
        result->num_outside = !(result->max_error <= result->allowed);
        result->rms_error = result->max_error;
        result->rms_change = fabs(expected[i]);
        UF_TRY(uf_keep_number(result, ours.values[metrics[i]]));
    }
    return UF_OK;
}

static UfStatus compare_tensor(Replay* r, const UfTensor* t) {
    const int64_t count = count_of(t);
    char name[96], path[NAME];
    double *before = NULL, *after = NULL;
    real* ours = NULL;
    UfReplayed* result = new_result(r, t->name, (int)r->num_updates - 1, count);
    UfStatus status = UF_ALLOC(&before, count, "a recorded tensor");
    if (status == UF_OK) status = UF_ALLOC(&after, count, "a recorded tensor");
    if (status == UF_OK) status = UF_ALLOC(&ours, count, "a tensor");
    snprintf(name, sizeof name, "init/%s", t->name);
    if (status == UF_OK) status = uf_h5_read(&r->h5, path_of(r, name, path), UF_H5_DOUBLE, before, count);
    snprintf(name, sizeof name, "after/%s", t->name);
    if (status == UF_OK) status = uf_h5_read(&r->h5, path_of(r, name, path), UF_H5_DOUBLE, after, count);
    if (status == UF_OK) status = uf_ppo_get_tensor(r->ppo, t, UF_TENSOR_VALUE, 0, ours);
    for (int64_t i = 0; i < count && status == UF_OK; i++) {
        before[i] = after[i] - before[i];
        result->max_change = fmax(result->max_change, fabs(before[i]));
    }
    result->allowed = 1e-6 + 2e-3 * result->max_change;
    if (status == UF_OK) compare(result, after, ours);
    if (status == UF_OK) result->rms_change = rms_of(before, count);
    if (status == UF_OK) status = uf_keep_ours(result, ours);
    if (status == UF_OK) status = UF_ALLOC(&result->moment, count, "a moment");
    if (status == UF_OK) status = uf_ppo_get_tensor(r->ppo, t, UF_TENSOR_ADAM_M, 0, ours);
    for (int64_t i = 0; i < count && status == UF_OK; i++) result->moment[i] = (double)ours[i];
    uf_free(before);
    uf_free(after);
    uf_free(ours);
    return status;
}

// ---- replay ----

static UfStatus learn(Replay* r, const double* losses) {
    UfBackend* be = uf_ppo_backend(r->ppo);
    char path[NAME];
    int64_t* index;
    void* device = NULL;
    UF_TRY(UF_ALLOC(&index, r->num_updates * r->rows, "recorded minibatches"));
    const size_t bytes = (size_t)(r->num_updates * r->rows) * sizeof *index;
    UfStatus status =
        uf_h5_read(&r->h5, path_of(r, "minibatch_index", path), UF_H5_INT64, index, r->num_updates * r->rows);
    if (status == UF_OK) status = be->reserve(be, &device, bytes, "recorded minibatches");
    if (status == UF_OK) be->upload(be, device, index, bytes);
    for (int64_t k = 0; k < r->num_updates && status == UF_OK; k++) {
        uf_ppo_clear_metrics(r->ppo);
        uf_ppo_learn(r->ppo, (UfPick){(const int64_t*)device + k * r->rows, 0, (int)r->rows});
        status = compare_losses(r, (int)k, losses + k * NUM_LOSSES);
    }
    be->release(be, device);
    uf_free(index);
    return status;
}

static UfStatus replay_group(Replay* r) {
    char path[NAME];
    double* losses;
    UF_TRY(create(r));
    const int num_tensors = uf_ppo_num_tensors(r->ppo);
    const int64_t results = num_tensors + NUM_ESTIMATES + NUM_LOSSES * r->num_updates;
    r->out->num_steps = (int)r->num_updates;
    r->out->rounding = uf_ppo_backend(r->ppo)->rounding;
    r->out->actor_layers = r->out->critic_layers = (int)r->config->num_layers;
    r->out->is_ppo = true;
    r->out->action_dim = r->space.action_dim;
    r->out->clip_eps = r->config->clip_eps;
    r->out->is_smooth = r->config->activation == UF_TANH;
    UF_TRY(UF_ALLOC(&r->out->tensors, results, "results of a replay"));
    UF_TRY(load_parameters(r));
    UF_TRY(load_steps(r));
    const UfSteps* s = uf_ppo_steps(r->ppo);
    uf_ppo_evaluate(r->ppo);
    UF_TRY(compare_estimate(r, "value", s->value));
    UF_TRY(compare_estimate(r, "advantage", s->advantage));
    UF_TRY(compare_estimate(r, "target", s->target));
    UF_TRY(UF_ALLOC(&losses, NUM_LOSSES * r->num_updates, "recorded losses"));
    UfStatus status =
        uf_h5_read(&r->h5, path_of(r, "losses", path), UF_H5_DOUBLE, losses, NUM_LOSSES * r->num_updates);
    if (status == UF_OK) status = learn(r, losses);
    uf_free(losses);
    UF_TRY(status);
    for (int i = 0; i < num_tensors; i++) UF_TRY(compare_tensor(r, uf_ppo_tensor(r->ppo, i)));
    return UF_OK;
}

#ifdef UF_DOUBLE_COPY
UfStatus uf_replay_ppo_double(const char* path, const char* group, UfMove move, UfReplay* out) {
    Replay r = {.group = group, .device = "cpu", .out = out};
#else
UfStatus uf_replay_ppo(const char* path, const char* group, const char* device, const char* precision,
                       UfReplay* out) {
    const UfMove move = {0, 0};
    Replay r = {.group = group, .device = device, .precision = precision, .out = out};
#endif
    *out = (UfReplay){.move = move};
    UF_TRY(uf_h5_open(&r.h5, path));
    UfStatus status = replay_group(&r);
    uf_ppo_free(r.ppo);
    uf_free(r.config);
    uf_h5_close(&r.h5);
    if (status != UF_OK) uf_replay_free(out);
    return status;
}
