// replay.c: replays a recorded update file (kind unifloral-update) through the library's own train step.
//
// Compiled twice: in float32, and in double precision together with its own copy of unifloral.c and kernels.c
// (Makefile, double.o).
#include "core/verify/replay.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/agents/agent.h"
#include "core/data/h5.h"
#include "core/verify/replay_input.h"

typedef struct Replay {
    UfH5 h5;
    const char *device, *precision;  // Nullable: precision
    UfAgent* agent;
    int B, O, A, U;
    double** before;  // expected values of each tensor before this step
    UfReplay* out;
    int capacity;  // results that out holds
} Replay;

static UfStatus read_reals(Replay* r, const char* name, real* out, int64_t count) {
    return uf_read_input(&r->h5, name, out, count, r->out);
}

// Reads a dataset and hands it to the agent.
static UfStatus load_array(Replay* r, const char* name, real* device, int64_t count) {
    UfBackend* be = uf_agent_backend(r->agent);
    real* host = NULL;
    UF_TRY(UF_ALLOC(&host, count, "a recorded array"));
    UfStatus status = read_reals(r, name, host, count);
    if (status == UF_OK) be->upload(be, device, host, (size_t)count * sizeof(real));
    uf_free(host);
    return status;
}

static UfStatus load_step(Replay* r, int step) {
    const UfBatch* batch = uf_agent_batch(r->agent);
    const UfNoise* noise = uf_agent_noise(r->agent);
    const int64_t rows = r->B, action = rows * r->A, obs = rows * r->O, updates = action * r->U;
    const struct {
        const char* name;
        real* device;
        int64_t count;
    } arrays[] = {
        {"batch/obs", batch->obs, obs},
        {"batch/action", batch->action, action},
        {"batch/reward", batch->reward, rows},
        {"batch/next_obs", batch->next_obs, obs},
        {"batch/next_action", batch->next_action, action},
        {"batch/done", batch->done, rows},
        {"noise/alpha", noise->alpha, action},
        {"noise/actor", noise->actor, action},
        {"noise/next_action", noise->next_action, updates},
        {"noise/smoothing", noise->smoothing, updates},
        {"noise/cql_random", noise->cql_random, updates},
        {"noise/cql_pi", noise->cql_pi, updates},
        {"noise/cql_next", noise->cql_next, updates},
    };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        char name[64];
        if (!arrays[i].device) continue;  // no term of this configuration reads it
        snprintf(name, sizeof name, "step%d/%s", step, arrays[i].name);
        UF_TRY(load_array(r, name, arrays[i].device, arrays[i].count));
    }
    return UF_OK;
}

static UfStatus load_parameters(Replay* r) {
    for (int i = 0; i < uf_agent_num_tensors(r->agent); i++) {
        const UfTensor* t = uf_agent_tensor(r->agent, i);
        const int64_t count = (int64_t)uf_tensor_count(t);
        char name[96];
        real* values = NULL;
        snprintf(name, sizeof name, "init/%s", t->name);
        UF_TRY(UF_ALLOC(&r->before[i], count, "a recorded tensor"));
        UF_TRY(uf_h5_read(&r->h5, name, UF_H5_DOUBLE, r->before[i], count));
        UF_TRY(UF_ALLOC(&values, count, "a recorded tensor"));
        UfStatus status = read_reals(r, name, values, count);
        if (status == UF_OK) status = uf_agent_set_tensor(r->agent, t, UF_TENSOR_VALUE, 0, values);
        uf_free(values);
        UF_TRY(status);
    }
    return UF_OK;
}

static UfStatus compare_tensor(Replay* r, int step, int index) {
    const UfTensor* t = uf_agent_tensor(r->agent, index);
    const int64_t count = (int64_t)uf_tensor_count(t);
    UfReplayed* result = &r->out->tensors[r->out->num_tensors++];
    char name[96];
    double *expected = NULL, error = 0, change = 0, errors = 0, changes = 0;
    real* ours = NULL;
    snprintf(name, sizeof name, "step%d/after/%s", step, t->name);
    UfStatus status = UF_ALLOC(&expected, count, "a recorded tensor");
    if (status == UF_OK) status = UF_ALLOC(&ours, count, "a tensor");
    if (status == UF_OK) status = uf_h5_read(&r->h5, name, UF_H5_DOUBLE, expected, count);
    if (status == UF_OK) status = uf_agent_get_tensor(r->agent, t, UF_TENSOR_VALUE, 0, ours);
    result->num_elements = count;
    if (status == UF_OK) status = uf_keep_ours(result, ours);
    for (int64_t k = 0; status == UF_OK && k < count; k++) {
        const double c = fabs(expected[k] - r->before[index][k]);
        if (c > change || isnan(c)) change = c;
        changes += c * c;
        r->before[index][k] = expected[k];
    }
    result->allowed = 1e-6 + 2e-3 * change;
    for (int64_t k = 0; status == UF_OK && k < count; k++) {
        const double e = fabs((double)ours[k] - expected[k]);
        if (e > error || isnan(e)) error = e;  // a NaN stays
        errors += e * e;
        if (!(e <= result->allowed)) result->num_outside++;
    }
    if (status == UF_OK && !t->is_target) {
        status = UF_ALLOC(&result->moment, count, "a moment");
        if (status == UF_OK) status = uf_agent_get_tensor(r->agent, t, UF_TENSOR_ADAM_M, 0, ours);
        for (int64_t k = 0; status == UF_OK && k < count; k++) result->moment[k] = (double)ours[k];
    }
    snprintf(result->tensor, sizeof result->tensor, "%s", t->name);
    result->step = step;
    result->max_error = error;
    result->max_change = change;
    result->rms_error = sqrt(errors / (double)count);
    result->rms_change = sqrt(changes / (double)count);
    uf_free(expected);
    uf_free(ours);
    return status;
}

// Whether it is a tensor of the agent, or a group that one is in.
static bool has_tensor(const Replay* r, const char* name, bool* is_tensor) {
    const size_t length = strlen(name);
    *is_tensor = false;
    for (int i = 0; i < uf_agent_num_tensors(r->agent); i++) {
        const char* tensor = uf_agent_tensor(r->agent, i)->name;
        if (strncmp(tensor, name, length) != 0 || (tensor[length] && tensor[length] != '/')) continue;
        *is_tensor = !tensor[length];
        return true;
    }
    return false;
}

// A recorded network or tensor that this configuration does not have is a difference, not something to skip. inside: a
// group of init, "" itself.
static UfStatus check_tensors(const Replay* r, const char* inside) {
    char **names = NULL, group[128];
    int count = 0;
    snprintf(group, sizeof group, "init%s%.100s", inside[0] ? "/" : "", inside);
    UF_TRY(uf_h5_list(&r->h5, group, &names, &count));
    UfStatus status = UF_OK;
    for (int i = 0; i < count && status == UF_OK; i++) {
        char name[128];
        bool is_tensor;
        snprintf(name, sizeof name, "%.60s%s%.60s", inside, inside[0] ? "/" : "", names[i]);
        if (!has_tensor(r, name, &is_tensor))
            status = UF_FAIL(UF_ERR_FORMAT, "%s: records '%s', which its configuration does not have",
                             r->h5.path, name);
        else if (!is_tensor)
            status = check_tensors(r, name);
    }
    uf_h5_list_free(names, count);
    return status;
}

static UfStatus create_agent(Replay* r) {
    UfConfig* config = NULL;
    char *json = NULL, label[1100];
    double obs_dim = 0, action_dim = 0;
    real* norm = NULL;
    snprintf(label, sizeof label, "%s: attribute config", r->h5.path);
    UfStatus status = uf_h5_read_string(&r->h5, "/", "config", &json);
    if (status == UF_OK) status = uf_h5_read_number(&r->h5, "/", "obs_dim", &obs_dim);
    if (status == UF_OK) status = uf_h5_read_number(&r->h5, "/", "action_dim", &action_dim);
    if (status == UF_OK && !(obs_dim >= 1 && obs_dim < 1e6 && action_dim >= 1 && action_dim < 1e6 &&
                             obs_dim == floor(obs_dim) && action_dim == floor(action_dim)))
        status =
            UF_FAIL(UF_ERR_FORMAT, "%s: obs_dim %g and action_dim %g; expected whole numbers of at least 1",
                    r->h5.path, obs_dim, action_dim);
    if (status == UF_OK) status = uf_config_create(&config);
    if (status == UF_OK) status = uf_config_parse(config, json, label);
    if (status == UF_OK) status = uf_config_set(config, "device", r->device);
    if (status == UF_OK && r->precision) status = uf_config_set(config, "precision", r->precision);
    if (status == UF_OK) {
        r->O = (int)obs_dim;
        r->A = (int)action_dim;
        r->B = (int)config->batch_size;
        r->U = (int)config->num_critic_updates_per_step;
        r->out->actor_layers = (int)config->actor_num_layers;
        r->out->critic_layers = (int)config->critic_num_layers;
        status = UF_ALLOC(&norm, 2 * r->O, "observation statistics");
    }
    if (status == UF_OK) status = read_reals(r, "norm/mean", norm, r->O);
    if (status == UF_OK) status = read_reals(r, "norm/std", norm + r->O, r->O);
    if (status == UF_OK)
        status = uf_agent_create_bare(&r->agent, (const UfConfig* const*)&config, 1, r->O, r->A, norm,
                                      norm + r->O, 0);
    uf_free(json);
    uf_free(norm);
    uf_config_free(config);
    return status;
}

// Our mean of the logged loss `name`, if there is one.
static bool find_loss(Replay* r, const char* name, double* value) {
    int count = 0;
    const char* const* names = NULL;
    const double* values = NULL;
    if (uf_agent_metrics(r->agent, 0, &count, &names, &values) != UF_OK) return false;
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) {
            *value = values[i];
            return true;
        }
    return false;
}

static UfStatus compare_losses(Replay* r, int step) {
    char group[32], **names = NULL;
    int count = 0;
    snprintf(group, sizeof group, "step%d/losses", step);
    if (!uf_h5_exists(&r->h5, group)) return UF_OK;
    UF_TRY(uf_h5_list(&r->h5, group, &names, &count));
    UfStatus status = UF_OK;
    for (int i = 0; i < count && status == UF_OK && r->out->num_tensors < r->capacity; i++) {
        char path[128];
        double ours = 0, expected = 0;
        if (!find_loss(r, names[i], &ours)) continue;  // recordings may hold scalars that we do not log
        snprintf(path, sizeof path, "%s/%s", group, names[i]);
        status = uf_h5_read(&r->h5, path, UF_H5_DOUBLE, &expected, 1);
        UfReplayed* result = &r->out->tensors[r->out->num_tensors++];
        snprintf(result->tensor, sizeof result->tensor, "losses/%.40s", names[i]);
        result->step = step;
        result->num_elements = 1;
        result->max_error = fabs(ours - expected);
        result->allowed = 1e-5 + 2e-3 * fabs(expected);
        result->rms_error = result->max_error;
        result->rms_change = fabs(expected);
        result->num_outside = !(result->max_error <= result->allowed);
        if (status == UF_OK) status = uf_keep_number(result, ours);
    }
    uf_h5_list_free(names, count);
    return status;
}

static UfStatus replay_file(Replay* r) {
    UF_TRY(create_agent(r));
    r->out->rounding = uf_agent_backend(r->agent)->rounding;
    UF_TRY(check_tensors(r, ""));
    UF_TRY(uf_count_steps(&r->h5, "step", &r->out->num_steps));
    const int num_tensors = uf_agent_num_tensors(r->agent);
    UF_TRY(UF_ALLOC(&r->before, num_tensors, "recorded tensors"));
    r->capacity = (num_tensors + UF_NUM_METRICS) * r->out->num_steps;
    UF_TRY(UF_ALLOC(&r->out->tensors, r->capacity, "results of a replay"));
    UF_TRY(load_parameters(r));
    for (int step = 0; step < r->out->num_steps; step++) {
        UF_TRY(load_step(r, step));
        uf_agent_clear_metrics(r->agent);
        UF_TRY(uf_agent_step(r->agent));
        for (int i = 0; i < num_tensors; i++) UF_TRY(compare_tensor(r, step, i));
        UF_TRY(compare_losses(r, step));
    }
    return UF_OK;
}

#ifdef UF_DOUBLE_COPY
UfStatus uf_replay_update_double(const char* path, UfMove move, UfReplay* out) {
    Replay r = {.device = "cpu", .out = out};
#else
UfStatus uf_replay_update(const char* path, const char* device, const char* precision, UfReplay* out) {
    const UfMove move = {0, 0};
    Replay r = {.device = device, .precision = precision, .out = out};
#endif
    *out = (UfReplay){.move = move};
    UF_TRY(uf_h5_open(&r.h5, path));
    UfStatus status = replay_file(&r);
    for (int i = 0; r.before && i < uf_agent_num_tensors(r.agent); i++) uf_free(r.before[i]);
    uf_free(r.before);
    uf_agent_free(r.agent);
    uf_h5_close(&r.h5);
    if (status != UF_OK) uf_replay_free(out);
    return status;
}
