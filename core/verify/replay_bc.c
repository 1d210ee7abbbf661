// replay_bc.c: replays recorded behaviour cloning (kind bc-inner) through the op that does it.
//
// Compiled twice, like replay_ppo.c. Each group of the file: attribute config, states (rows, obs_dim), labels (rows,
// action_dim), init/ and after/ with net/0..L/{kernel, bias} of L hidden layers and, of a Gaussian, log_std; losses
// (steps) before each step.
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/data/h5.h"
#include "core/reserved.h"
#include "core/verify/replay.h"
#include "core/verify/replay_input.h"

enum { NAME = 160, MAX_SIZE = 1000000, MAX_TENSORS = 2 * (UF_MAX_LAYERS + 1) + 1 };

typedef struct Tensor {
    char name[64];
    size_t offset;
    int64_t rows, columns;  // rows 0: a vector
} Tensor;

typedef struct Replay {
    UfH5 h5;
    const char *group, *device, *precision;                             // Nullable: precision
    int rows, obs_dim, action_dim, steps, loss, activation, optimizer;  // -1: not read yet
    double lr, eps, clip;
    UfCloneNet net;
    Tensor tensors[MAX_TENSORS];
    int num_tensors;
    UfBackend* be;
    UfReserved reserved;
    UfReplay* out;
} Replay;

// "<group>/<name>"
static const char* path_of(const Replay* r, const char* name, char path[NAME]) {
    snprintf(path, NAME, "%.60s/%.90s", r->group, name);
    return path;
}

// ---- configuration ----

static UfStatus set_size(const Replay* r, const cJSON* item, int* field) {
    const double value = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    if (!(value >= 1 && value <= MAX_SIZE && value == floor(value)))
        return UF_FAIL(UF_ERR_FORMAT, "%s: group '%s': config: %s is no whole number from 1 to %d",
                       r->h5.path, r->group, item->string, MAX_SIZE);
    *field = (int)value;
    return UF_OK;
}

static UfStatus set_number(const Replay* r, const cJSON* item, double* field) {
    const double value = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    if (!(value >= 0 && value <= 1e6))
        return UF_FAIL(UF_ERR_FORMAT, "%s: group '%s': config: %s is no number from 0 to 1e6", r->h5.path,
                       r->group, item->string);
    *field = value;
    return UF_OK;
}

static UfStatus set_choice(const Replay* r, const cJSON* item, const char* const* choices, int count,
                           int* field) {
    const char* value = cJSON_IsString(item) ? item->valuestring : "";
    UfText expected = {0};
    for (int i = 0; i < count; i++) {
        if (strcmp(value, choices[i]) == 0) *field = i;
        uf_text_add(&expected, "%s%s", !i ? "" : i + 1 < count ? ", " : " or ", choices[i]);
    }
    char* text = NULL;
    UF_TRY(uf_text_finish(&expected, &text));
    const UfStatus status = *field >= 0
                                ? UF_OK
                                : UF_FAIL(UF_ERR_FORMAT, "%s: group '%s': config: %s is '%.40s'; expected %s",
                                          r->h5.path, r->group, item->string, value, text);
    uf_free(text);
    return status;
}

static UfStatus set_member(Replay* r, const cJSON* item) {
    static const char* const losses[] = {"gaussian_nll", "ce", "ce_over_actions"};  // UF_CLONE_GAUSSIAN_NLL..
    static const char* const optimizers[] = {"adam", "sgd"};                        // UF_CLONE_ADAM..
    static const char* const activations[] = {"relu", "tanh"};                      // UF_RELU..
    const char* name = item->string;
    if (!strcmp(name, "rows")) return set_size(r, item, &r->rows);
    if (!strcmp(name, "obs_dim")) return set_size(r, item, &r->obs_dim);
    if (!strcmp(name, "action_dim")) return set_size(r, item, &r->action_dim);
    if (!strcmp(name, "steps")) return set_size(r, item, &r->steps);
    if (!strcmp(name, "lr")) return set_number(r, item, &r->lr);
    if (!strcmp(name, "clip")) return set_number(r, item, &r->clip);
    if (!strcmp(name, "eps")) return set_number(r, item, &r->eps);
    if (!strcmp(name, "loss")) return set_choice(r, item, losses, 3, &r->loss);
    if (!strcmp(name, "optimizer")) return set_choice(r, item, optimizers, 2, &r->optimizer);
    if (!strcmp(name, "activation")) return set_choice(r, item, activations, 2, &r->activation);
    if (!strcmp(name, "soft_labels")) return UF_OK;  // says what the labels show
    return UF_FAIL(
        UF_ERR_UNSUPPORTED,
        "%s: group '%s': config: '%.40s' is unknown here; expected rows, obs_dim, action_dim, steps, "
        "loss, activation, optimizer, lr, eps, clip or soft_labels",
        r->h5.path, r->group, name);
}

static UfStatus parse_config(Replay* r) {
    char* json = NULL;
    UF_TRY(uf_h5_read_string(&r->h5, r->group, "config", &json));
    cJSON* root = cJSON_Parse(json);
    UfStatus status = cJSON_IsObject(root)
                          ? UF_OK
                          : UF_FAIL(UF_ERR_FORMAT, "%s: group '%s': attribute 'config' is no JSON object",
                                    r->h5.path, r->group);
    const cJSON* item;
    cJSON_ArrayForEach(item, root) {
        if (status == UF_OK) status = set_member(r, item);
    }
    cJSON_Delete(root);
    uf_free(json);
    UF_TRY(status);
    const struct {
        const char* name;
        bool missing;
    } needed[] = {
        {"rows", r->rows < 0},           {"obs_dim", r->obs_dim < 0}, {"action_dim", r->action_dim < 0},
        {"steps", r->steps < 0},         {"loss", r->loss < 0},       {"activation", r->activation < 0},
        {"optimizer", r->optimizer < 0}, {"lr", r->lr < 0},           {"clip", r->clip < 0}};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (needed[i].missing)
            return UF_FAIL(UF_ERR_FORMAT, "%s: group '%s': config: %s is missing", r->h5.path, r->group,
                           needed[i].name);
    return UF_OK;
}

// ---- network ----

static UfStatus add_tensor(Replay* r, const char* name, size_t offset, int64_t rows, int64_t columns) {
    static const char* const sides[] = {"init", "after"};
    Tensor* t = &r->tensors[r->num_tensors++];
    *t = (Tensor){.offset = offset, .rows = rows, .columns = columns};
    snprintf(t->name, sizeof t->name, "%s", name);
    for (int i = 0; i < 2; i++) {
        char side[80], path[NAME];
        UfH5Shape shape;
        snprintf(side, sizeof side, "%s/%s", sides[i], name);
        UF_TRY(uf_h5_shape(&r->h5, path_of(r, side, path), &shape));
        if (rows ? shape.rank != 2 || shape.dims[0] != rows || shape.dims[1] != columns
                 : shape.rank != 1 || shape.dims[0] != columns)
            return rows ? UF_FAIL(UF_ERR_FORMAT, "%s: '%s' is not of shape (%lld, %lld)", r->h5.path, path,
                                  (long long)rows, (long long)columns)
                        : UF_FAIL(UF_ERR_FORMAT, "%s: '%s' is not of shape (%lld)", r->h5.path, path,
                                  (long long)columns);
    }
    return UF_OK;
}

// Depth and width are those of the recorded network.
static UfStatus describe_network(Replay* r) {
    char name[64], path[NAME];
    UfH5Shape shape;
    int layers = 0;
    for (; layers <= UF_MAX_LAYERS + 1; layers++) {
        snprintf(name, sizeof name, "init/net/%d/kernel", layers);
        if (!uf_h5_exists(&r->h5, path_of(r, name, path))) break;
    }
    const int L = layers - 1;
    if (L < 1 || L > UF_MAX_LAYERS)
        return UF_FAIL(UF_ERR_UNSUPPORTED, "%s: group '%s': init/net has %d layer(s); expected 2 to %d",
                       r->h5.path, r->group, layers, UF_MAX_LAYERS + 1);
    UF_TRY(uf_h5_shape(&r->h5, path_of(r, "init/net/0/kernel", path), &shape));
    if (shape.rank != 2 || shape.dims[1] < 1 || shape.dims[1] > MAX_SIZE)
        return UF_FAIL(UF_ERR_FORMAT, "%s: '%s' is no matrix of 1 to %d columns", r->h5.path, path, MAX_SIZE);
    const int width = (int)shape.dims[1];
    const bool gaussian = r->loss == UF_CLONE_GAUSSIAN_NLL;
    r->net = uf_clone_net(NULL, r->obs_dim, width, L, r->action_dim, r->activation, false, gaussian);
    for (int l = 0; l <= L; l++) {
        snprintf(name, sizeof name, "net/%d/kernel", l);
        UF_TRY(
            add_tensor(r, name, r->net.mlp.kernel[l], l ? width : r->obs_dim, l < L ? width : r->action_dim));
        snprintf(name, sizeof name, "net/%d/bias", l);
        UF_TRY(add_tensor(r, name, r->net.mlp.bias[l], 0, l < L ? width : r->action_dim));
    }
    return gaussian ? add_tensor(r, "log_std", r->net.mlp.log_std, 0, r->action_dim) : UF_OK;
}

static int64_t count_of(const Tensor* t) { return (t->rows ? t->rows : 1) * t->columns; }

// ---- what goes in and comes out ----

// A recorded matrix (rows, columns) on the device.
static UfStatus load(Replay* r, const char* name, int columns, real** device) {
    const int64_t count = (int64_t)r->rows * columns;
    UfH5Shape shape;
    char path[NAME];
    real* host;
    UF_TRY(uf_h5_shape(&r->h5, path_of(r, name, path), &shape));
    if (shape.rank != 2 || shape.dims[0] != r->rows || shape.dims[1] != columns)
        return UF_FAIL(UF_ERR_FORMAT, "%s: '%s' is not of shape (%d, %d)", r->h5.path, path, r->rows,
                       columns);
    UF_TRY(UF_RESERVE(&r->reserved, *device, count, name));
    UF_TRY(UF_ALLOC(&host, count, name));
    const UfStatus status = uf_read_input(&r->h5, path_of(r, name, path), host, count, r->out);
    if (status == UF_OK) r->be->upload(r->be, *device, host, (size_t)count * sizeof(real));
    uf_free(host);
    return status;
}

// "<side>/<tensor>"
static UfStatus read_tensor(const Replay* r, const char* side, const Tensor* t, double* values) {
    char name[80], path[NAME];
    snprintf(name, sizeof name, "%s/%s", side, t->name);
    return uf_h5_read(&r->h5, path_of(r, name, path), UF_H5_DOUBLE, values, count_of(t));
}

static UfStatus load_parameters(Replay* r, real** device) {
    real* host;
    UF_TRY(UF_RESERVE(&r->reserved, *device, r->net.size, "recorded parameters"));
    UF_TRY(UF_ALLOC(&host, r->net.size, "recorded parameters"));
    UfStatus status = UF_OK;
    for (int i = 0; i < r->num_tensors && status == UF_OK; i++) {
        const Tensor* t = &r->tensors[i];
        char name[80], path[NAME];
        snprintf(name, sizeof name, "init/%s", t->name);
        status = uf_read_input(&r->h5, path_of(r, name, path), host + t->offset, count_of(t), r->out);
    }
    if (status == UF_OK) r->be->upload(r->be, *device, host, r->net.size * sizeof(real));
    uf_free(host);
    return status;
}

static UfStatus compare_tensor(Replay* r, const Tensor* t, const real* ours) {
    const int64_t count = count_of(t);
    UfReplayed* result = &r->out->tensors[r->out->num_tensors++];
    double *before = NULL, *after = NULL, errors = 0, changes = 0;
    snprintf(result->tensor, sizeof result->tensor, "%s", t->name);
    result->step = r->steps - 1;
    result->num_elements = count;
    UfStatus status = UF_ALLOC(&before, count, "a recorded tensor");
    if (status == UF_OK) status = UF_ALLOC(&after, count, "a recorded tensor");
    if (status == UF_OK) status = read_tensor(r, "init", t, before);
    if (status == UF_OK) status = read_tensor(r, "after", t, after);
    for (int64_t i = 0; i < count && status == UF_OK; i++)
        result->max_change = fmax(result->max_change, fabs(after[i] - before[i]));
    result->allowed = 1e-6 + 2e-3 * result->max_change;
    for (int64_t i = 0; i < count && status == UF_OK; i++) {
        const double error = fabs((double)ours[i] - after[i]);
        if (error > result->max_error || isnan(error)) result->max_error = error;  // a NaN stays
        if (!(error <= result->allowed)) result->num_outside++;
        errors += error * error;
        changes += (after[i] - before[i]) * (after[i] - before[i]);
    }
    result->rms_error = sqrt(errors / (double)count);
    result->rms_change = sqrt(changes / (double)count);
    if (status == UF_OK) status = uf_keep_ours(result, ours);
    uf_free(before);
    uf_free(after);
    return status;
}

static UfStatus compare_losses(Replay* r, const real* ours) {
    char path[NAME];
    double* expected;
    UF_TRY(UF_ALLOC(&expected, r->steps, "recorded losses"));
    UfStatus status = uf_h5_read(&r->h5, path_of(r, "losses", path), UF_H5_DOUBLE, expected, r->steps);
    for (int k = 0; k < r->steps && status == UF_OK; k++) {
        UfReplayed* result = &r->out->tensors[r->out->num_tensors++];
        snprintf(result->tensor, sizeof result->tensor, "losses/loss");
        result->step = k;
        result->num_elements = 1;
        result->rms_error = result->max_error = fabs((double)ours[k] - expected[k]);
        result->rms_change = fabs(expected[k]);
        result->allowed = 1e-5 + 2e-3 * fabs(expected[k]);
        result->num_outside = !(result->max_error <= result->allowed);
        status = uf_keep_ours(result, &ours[k]);
    }
    uf_free(expected);
    return status;
}

// ---- replay ----

static UfStatus replay_group(Replay* r) {
    real *states = NULL, *labels = NULL, *init = NULL, *params = NULL, *losses = NULL, *host = NULL;
    UF_TRY(parse_config(r));
    UF_TRY(describe_network(r));
    UF_TRY(uf_backend_open(&r->be, r->device, r->precision ? r->precision : "fp32", 1));
    r->reserved.backend = r->be;
    UF_TRY(load(r, "states", r->obs_dim, &states));
    UF_TRY(load(r, "labels", r->action_dim, &labels));
    UF_TRY(load_parameters(r, &init));
    UF_TRY(UF_RESERVE(&r->reserved, params, r->net.size, "parameters"));
    UF_TRY(UF_RESERVE(&r->reserved, losses, r->steps, "losses"));
    UF_TRY(r->be->plan_clone(r->be, &r->net, 1, r->rows));
    const UfClone clone = {.net = &r->net,
                           .sets = 1,
                           .inits = 1,
                           .rows = r->rows,
                           .states = states,
                           .labels = labels,
                           .init = init,
                           .params = params,
                           .loss = r->loss,
                           .optimizer = r->optimizer,
                           .num_steps = r->steps,
                           .lr = r->lr,
                           .eps = r->eps,
                           .clip = r->clip,
                           .losses = losses};
    r->be->clone(r->be, &clone);
    r->out->num_steps = r->steps;
    UF_TRY(UF_ALLOC(&r->out->tensors, r->num_tensors + r->steps, "results of a replay"));
    UF_TRY(UF_ALLOC(&host, r->net.size + (size_t)r->steps, "parameters and losses"));
    r->be->download(r->be, host, params, r->net.size * sizeof(real));
    r->be->download(r->be, host + r->net.size, losses, (size_t)r->steps * sizeof(real));
    UfStatus status = r->be->sync(r->be);
    for (int i = 0; i < r->num_tensors && status == UF_OK; i++)
        status = compare_tensor(r, &r->tensors[i], host + r->tensors[i].offset);
    if (status == UF_OK) status = compare_losses(r, host + r->net.size);
    uf_free(host);
    return status;
}

#ifdef UF_DOUBLE_COPY
UfStatus uf_replay_bc_double(const char* path, const char* group, UfMove move, UfReplay* out) {
    Replay r = {.group = group, .device = "cpu", .out = out};
#else
UfStatus uf_replay_bc(const char* path, const char* group, const char* device, const char* precision,
                      UfReplay* out) {
    const UfMove move = {0, 0};
    Replay r = {.group = group, .device = device, .precision = precision, .out = out};
#endif
    *out = (UfReplay){.move = move};
    r.rows = r.obs_dim = r.action_dim = r.steps = r.loss = r.activation = r.optimizer = -1;
    r.lr = r.clip = -1;
    r.eps = 1e-5;
    UF_TRY(uf_h5_open(&r.h5, path));
    UfStatus status = replay_group(&r);
    if (r.be) uf_release_reserved(&r.reserved);
    uf_backend_close(r.be);
    uf_h5_close(&r.h5);
    if (status != UF_OK) uf_replay_free(out);
    return status;
}
