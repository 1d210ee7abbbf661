// replay_dynamics.c: the parts of a recording of kind dynamics that train: its steps, predictions and elites.
//
// Compiled twice, like replay.c. The file: attribute config (this project's names, obs_dim and action_dim among
// them), init/, train<k>/{obs, action, target, loss}, after/ (every parameter after the last step), predict/{mean,
// logvar, mse} of those parameters on the first batch, elites.
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/agents/dynamics.h"
#include "core/data/h5.h"
#include "core/verify/replay.h"
#include "core/verify/replay_input.h"
#include "core/verify/judge.h"  // uf_keep_worst

typedef struct Replay {
    UfH5 h5;
    UfDynamics* dynamics;
    int B, O, A, D, E;
    real *obs, *action, *target;     // (B, .) of one batch
    const char *device, *precision;  // Nullable: precision
    UfReplay* out;
    int capacity;
} Replay;

// ---- configuration ----

static UfStatus set_field(const Replay* r, UfConfig* config, const cJSON* item) {
    char value[64];
    if (cJSON_IsString(item)) return uf_config_set(config, item->string, item->valuestring);
    if (!cJSON_IsNumber(item))
        return UF_FAIL(UF_ERR_FORMAT, "%s: config: '%s' is no number or text", r->h5.path, item->string);
    snprintf(value, sizeof value, "%.17g", item->valuedouble);
    return uf_config_set(config, item->string, value);
}

// The names are those of the table but for the dimensions, the optimiser's epsilon, which is fixed here, and what
// belongs to the recording's group `bandit`.
static UfStatus read_fields(Replay* r, UfConfig* config, const cJSON* json) {
    const cJSON* item;
    cJSON_ArrayForEach(item, json) {
        const double value = cJSON_IsNumber(item) ? item->valuedouble : NAN;
        if (strcmp(item->string, "obs_dim") == 0 || strcmp(item->string, "action_dim") == 0) {
            if (!(value >= 1 && value <= 1e6 && value == floor(value)))
                return UF_FAIL(UF_ERR_FORMAT, "%s: config: %s is no whole number from 1 to 1000000",
                               r->h5.path, item->string);
            *(item->string[0] == 'o' ? &r->O : &r->A) = (int)value;
        } else if (strcmp(item->string, "adam_eps") == 0) {
            if (value != UF_ADAM_EPS)
                return UF_FAIL(UF_ERR_UNSUPPORTED, "%s: config: adam_eps is %g; this build has %g",
                               r->h5.path, value, UF_ADAM_EPS);
        } else if (strcmp(item->string, "ucb_alpha") != 0) {
            UF_TRY(set_field(r, config, item));
        }
    }
    if (r->O < 1 || r->A < 1)
        return UF_FAIL(UF_ERR_FORMAT, "%s: config: obs_dim or action_dim is missing", r->h5.path);
    return UF_OK;
}

static UfStatus create(Replay* r) {
    UfConfig* config = NULL;
    char* text = NULL;
    UF_TRY(uf_h5_read_string(&r->h5, "/", "config", &text));
    cJSON* json = cJSON_Parse(text);
    uf_free(text);
    UfStatus status = cJSON_IsObject(json)
                          ? uf_config_create(&config)
                          : UF_FAIL(UF_ERR_FORMAT, "%s: attribute config is no JSON object", r->h5.path);
    if (status == UF_OK) status = read_fields(r, config, json);
    if (status == UF_OK) status = uf_config_set(config, "device", r->device);
    if (status == UF_OK && r->precision) status = uf_config_set(config, "precision", r->precision);
    if (status == UF_OK) status = uf_dynamics_create_bare(&r->dynamics, config, r->O, r->A, 0);
    if (status == UF_OK) {
        r->D = r->O + 1;
        r->E = (int)config->num_ensemble;
        r->B = (int)config->batch_size;
        r->out->rounding = uf_dynamics_backend(r->dynamics)->rounding;
    }
    cJSON_Delete(json);
    uf_config_free(config);
    return status;
}

// ---- comparing ----

static UfStatus read_reals(const Replay* r, const char* name, real* out, int64_t count) {
    return uf_read_input(&r->h5, name, out, count, r->out);
}

static UfReplayed* new_result(Replay* r, const char* name, int step, int64_t count) {
    UfReplayed* result = &r->out->tensors[r->out->num_tensors++];
    snprintf(result->tensor, sizeof result->tensor, "%s", name);
    result->step = step;
    result->num_elements = count;
    return result;
}

// A NaN is infinitely far.
static void add_error(UfReplayed* result, double ours, double expected) {
    const double error = fabs(ours - expected);
    uf_keep_worst(&result->max_error, error);
    if (!(error <= result->allowed)) result->num_outside++;
    result->rms_error += error * error;
}

// After every add_error; `sizes`: squares of what rms_change is about, summed.
static void finish(UfReplayed* result, double sizes) {
    result->rms_error = sqrt(result->rms_error / (double)result->num_elements);
    result->rms_change = sqrt(sizes / (double)result->num_elements);
}

// after/<tensor>, where the steps of this file have moved it from init/<tensor>.
static UfStatus compare_tensor(Replay* r, const UfDynamicsTensor* t) {
    const int64_t count = (int64_t)uf_dynamics_tensor_count(r->dynamics, t);
    char name[64];
    double *before = NULL, *expected = NULL;
    real* ours = NULL;
    UfStatus status = UF_ALLOC(&before, count, "a recorded tensor");
    if (status == UF_OK) status = UF_ALLOC(&expected, count, "a recorded tensor");
    if (status == UF_OK) status = UF_ALLOC(&ours, count, "a tensor");
    snprintf(name, sizeof name, "init/%s", t->name);
    if (status == UF_OK) status = uf_h5_read(&r->h5, name, UF_H5_DOUBLE, before, count);
    snprintf(name, sizeof name, "after/%s", t->name);
    if (status == UF_OK) status = uf_h5_read(&r->h5, name, UF_H5_DOUBLE, expected, count);
    if (status == UF_OK) status = uf_dynamics_get_tensor(r->dynamics, t, UF_TENSOR_VALUE, ours);
    if (status == UF_OK) {
        UfReplayed* result = new_result(r, name, r->out->num_steps - 1, count);
        double changes = 0;
        for (int64_t k = 0; k < count; k++) {
            const double change = fabs(expected[k] - before[k]);
            uf_keep_worst(&result->max_change, change);
            changes += change * change;
        }
        result->allowed = 1e-6 + 2e-3 * result->max_change;
        for (int64_t k = 0; k < count; k++) add_error(result, (double)ours[k], expected[k]);
        finish(result, changes);
        status = uf_keep_ours(result, ours);
    }
    uf_free(before);
    uf_free(expected);
    uf_free(ours);
    return status;
}

static UfStatus set_tensors(Replay* r, const char* group) {
    for (int i = 0; i < uf_dynamics_num_tensors(r->dynamics); i++) {
        const UfDynamicsTensor* t = uf_dynamics_tensor(r->dynamics, i);
        const int64_t count = (int64_t)uf_dynamics_tensor_count(r->dynamics, t);
        char name[64];
        real* values = NULL;
        snprintf(name, sizeof name, "%s/%s", group, t->name);
        UF_TRY(UF_ALLOC(&values, count, "a recorded tensor"));
        UfStatus status = read_reals(r, name, values, count);
        if (status == UF_OK) status = uf_dynamics_set_tensor(r->dynamics, t, UF_TENSOR_VALUE, values);
        uf_free(values);
        UF_TRY(status);
    }
    return UF_OK;
}

// ---- parts ----

static UfStatus load_batch(Replay* r, int step) {
    const struct {
        const char* name;
        real* out;
        int columns;
    } arrays[] = {{"obs", r->obs, r->O}, {"action", r->action, r->A}, {"target", r->target, r->D}};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        char name[64];
        snprintf(name, sizeof name, "train%d/%s", step, arrays[i].name);
        UF_TRY(read_reals(r, name, arrays[i].out, (int64_t)r->B * arrays[i].columns));
    }
    return UF_OK;
}

static UfStatus replay_step(Replay* r, int step) {
    char name[64];
    double loss = 0, expected = 0;
    UF_TRY(load_batch(r, step));
    snprintf(name, sizeof name, "train%d/loss", step);
    UF_TRY(uf_h5_read(&r->h5, name, UF_H5_DOUBLE, &expected, 1));
    UF_TRY(uf_dynamics_step(r->dynamics, r->obs, r->action, r->target, &loss));
    snprintf(name, sizeof name, "train/loss");
    UfReplayed* result = new_result(r, name, step, 1);
    result->allowed = 1e-5 + 2e-3 * fabs(expected);
    add_error(result, loss, expected);
    finish(result, expected * expected);
    return uf_keep_number(result, loss);
}

static UfStatus compare_prediction(Replay* r, const char* name, const real* ours, int64_t count) {
    double* expected = NULL;
    UF_TRY(UF_ALLOC(&expected, count, "a recorded prediction"));
    UfStatus status = uf_h5_read(&r->h5, name, UF_H5_DOUBLE, expected, count);
    if (status == UF_OK) {
        double largest = 0, sizes = 0;
        for (int64_t k = 0; k < count; k++) {
            largest = fmax(largest, fabs(expected[k]));
            sizes += expected[k] * expected[k];
        }
        UfReplayed* result = new_result(r, name, r->out->num_steps - 1, count);
        result->allowed = 1e-6 + 1e-5 * largest;  // five layers of sums: 100 roundings of float32
        for (int64_t k = 0; k < count; k++) add_error(result, (double)ours[k], expected[k]);
        finish(result, sizes);
        status = uf_keep_ours(result, ours);
    }
    uf_free(expected);
    return status;
}

// max_error: numbers of networks, which rounding must not change in float32. rms_error: how much worse in the recorded
// errors (E) the networks are that stand where others should.
static void judge_elites(UfReplayed* result, const int* ours, const int* expected, const double* errors) {
    double sizes = 0, worse = 0;
    result->allowed = 0.5;
    for (int64_t i = 0; i < result->num_elements; i++) {
        const double should = errors[expected[i]], is = errors[ours[i]];
        add_error(result, ours[i], expected[i]);
        worse += (is - should) * (is - should);
        sizes += should * should;
    }
    result->rms_error = worse;
    finish(result, sizes);
}

static UfStatus compare_elites(Replay* r, const double* mse) {
    const int count = (int)uf_dynamics_config(r->dynamics)->num_elites;
    int *ours = NULL, *expected = NULL;
    double* errors = NULL;
    UfStatus status = UF_ALLOC(&ours, count, "elites");
    if (status == UF_OK) status = UF_ALLOC(&expected, count, "recorded elites");
    if (status == UF_OK) status = UF_ALLOC(&errors, r->E, "recorded errors");
    if (status == UF_OK) status = uf_h5_read(&r->h5, "elites", UF_H5_INT32, expected, count);
    if (status == UF_OK) status = uf_h5_read(&r->h5, "predict/mse", UF_H5_DOUBLE, errors, r->E);
    for (int i = 0; i < count && status == UF_OK; i++)
        if (expected[i] < 0 || expected[i] >= r->E)
            status =
                UF_FAIL(UF_ERR_FORMAT, "%s: 'elites' names network %d of %d", r->h5.path, expected[i], r->E);
    if (status == UF_OK) {
        uf_dynamics_best(ours, count, mse, r->E);
        judge_elites(new_result(r, "elites", r->out->num_steps - 1, count), ours, expected, errors);
    }
    uf_free(ours);
    uf_free(expected);
    uf_free(errors);
    return status;
}

// With the recorded parameters, so that the training's rounding does not enter.
static UfStatus replay_predictions(Replay* r) {
    const int64_t count = (int64_t)r->E * r->B * r->D, member = (int64_t)r->B * r->D;
    real *mean = NULL, *logvar = NULL, *mse_real = NULL;
    double* mse = NULL;
    UF_TRY(load_batch(r, 0));
    UF_TRY(set_tensors(r, "after"));
    UfStatus status = UF_ALLOC(&mean, count, "predictions");
    if (status == UF_OK) status = UF_ALLOC(&logvar, count, "predictions");
    if (status == UF_OK) status = UF_ALLOC(&mse, r->E, "errors");
    if (status == UF_OK) status = UF_ALLOC(&mse_real, r->E, "errors");
    if (status == UF_OK) status = uf_dynamics_predict(r->dynamics, mean, logvar, r->obs, r->action, r->B);
    for (int n = 0; status == UF_OK && n < r->E; n++) {
        for (int64_t i = 0; i < member; i++) {
            const double error = (double)mean[n * member + i] - r->target[i];
            mse[n] += error * error / (double)member;
        }
        mse_real[n] = (real)mse[n];
    }
    if (status == UF_OK) status = compare_prediction(r, "predict/mean", mean, count);
    if (status == UF_OK) status = compare_prediction(r, "predict/logvar", logvar, count);
    if (status == UF_OK) status = compare_prediction(r, "predict/mse", mse_real, r->E);
    if (status == UF_OK) status = compare_elites(r, mse);
    uf_free(mean);
    uf_free(logvar);
    uf_free(mse);
    uf_free(mse_real);
    return status;
}

static UfStatus replay_file(Replay* r) {
    UF_TRY(create(r));
    UF_TRY(uf_count_steps(&r->h5, "train", &r->out->num_steps));
    r->capacity = r->out->num_steps + uf_dynamics_num_tensors(r->dynamics) + 4;
    UF_TRY(UF_ALLOC(&r->out->tensors, r->capacity, "results of a replay"));
    UF_TRY(UF_ALLOC(&r->obs, r->B * r->O, "recorded observations"));
    UF_TRY(UF_ALLOC(&r->action, r->B * r->A, "recorded actions"));
    UF_TRY(UF_ALLOC(&r->target, r->B * r->D, "recorded targets"));
    UF_TRY(set_tensors(r, "init"));
    for (int step = 0; step < r->out->num_steps; step++) UF_TRY(replay_step(r, step));
    for (int i = 0; i < uf_dynamics_num_tensors(r->dynamics); i++)
        UF_TRY(compare_tensor(r, uf_dynamics_tensor(r->dynamics, i)));
    return replay_predictions(r);
}

#ifdef UF_DOUBLE_COPY
UfStatus uf_replay_dynamics_double(const char* path, UfMove move, UfReplay* out) {
    const char *device = "cpu", *precision = NULL;
#else
UfStatus uf_replay_dynamics(const char* path, const char* device, const char* precision, UfReplay* out) {
    const UfMove move = {0, 0};
#endif
    Replay r = {.device = device, .precision = precision, .out = out};
    *out = (UfReplay){.move = move};
    UF_TRY(uf_h5_open(&r.h5, path));
    UfStatus status = replay_file(&r);
    uf_free(r.obs);
    uf_free(r.action);
    uf_free(r.target);
    uf_dynamics_free(r.dynamics);
    uf_h5_close(&r.h5);
    if (status != UF_OK) uf_replay_free(out);
    return status;
}
