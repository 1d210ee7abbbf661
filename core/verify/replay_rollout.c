// replay_rollout.c: replays one recorded step of a model rollout through mlp_forward and model_step.
//
// Compiled twice, as replay.c is (Makefile, double.o).
#include "core/verify/replay_rollout.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels.h"
#include "core/data/h5.h"

enum { MAX_ARRAYS = 32 };

typedef struct Replay {
    UfH5 h5;
    UfBackend* be;
    UfMlp mlp;
    UfElites elites;
    UfHyper hyper;
    int O, A, D, E, R, num_members;  // E elites of num_members networks
    int64_t* chosen;                 // (E)
    void* device[MAX_ARRAYS];
    int num_device;
} Replay;

static UfStatus reserve(Replay* r, void* out, int64_t count, size_t item_bytes) {
    void* memory = NULL;
    UF_TRY(r->be->reserve(r->be, &memory, (size_t)count * item_bytes, "a recorded rollout"));
    r->device[r->num_device++] = memory;
    memcpy(out, &memory, sizeof memory);
    return UF_OK;
}

static UfStatus read_reals(Replay* r, const char* name, real* out, int64_t count) {
    return uf_h5_read(&r->h5, name, sizeof(real) == sizeof(float) ? UF_H5_FLOAT : UF_H5_DOUBLE, out, count);
}

// A recorded array on the device.
static UfStatus load(Replay* r, const char* name, real** device, int64_t count) {
    real* host = NULL;
    UF_TRY(reserve(r, device, count, sizeof(real)));
    UF_TRY(UF_ALLOC(&host, count, name));
    UfStatus status = read_reals(r, name, host, count);
    if (status == UF_OK) r->be->upload(r->be, *device, host, (size_t)count * sizeof(real));
    uf_free(host);
    return status;
}

// ---- the recorded model ----

static UfStatus matrix(Replay* r, const char* name, int rank, UfH5Shape* shape) {
    UF_TRY(uf_h5_shape(&r->h5, name, shape));
    bool fits = shape->rank == rank && shape->count > 0 && shape->count < 1 << 28;
    for (int i = 0; fits && i < rank; i++) fits = shape->dims[i] > 0;
    if (!fits) return UF_FAIL(UF_ERR_FORMAT, "%s: '%s' is not an array of rank %d", r->h5.path, name, rank);
    return UF_OK;
}

static UfStatus measure(Replay* r) {
    UfH5Shape obs, action, kernel, elites;
    int layers = 0;
    char name[64];
    UF_TRY(matrix(r, "rollout/obs", 2, &obs));
    UF_TRY(matrix(r, "rollout/action", 2, &action));
    UF_TRY(matrix(r, "after/hidden/0/kernel", 3, &kernel));
    UF_TRY(matrix(r, "elites", 1, &elites));
    for (;; layers++) {
        snprintf(name, sizeof name, "after/hidden/%d", layers);
        if (!uf_h5_exists(&r->h5, name)) break;
    }
    r->R = (int)obs.dims[0];
    r->O = (int)obs.dims[1];
    r->A = (int)action.dims[1];
    r->D = r->O + 1;
    r->E = (int)elites.dims[0];
    r->num_members = (int)kernel.dims[0];
    if (layers > UF_MAX_LAYERS)
        return UF_FAIL(UF_ERR_FORMAT, "%s: %d hidden layers, expected at most %d", r->h5.path, layers,
                       UF_MAX_LAYERS);
    r->mlp = uf_mlp_shape(r->O + r->A, (int)kernel.dims[2], layers, 2 * r->D, false, 0);
    UF_TRY(UF_ALLOC(&r->chosen, r->E, "elites"));
    UF_TRY(uf_h5_read(&r->h5, "elites", UF_H5_INT64, r->chosen, r->E));
    for (int e = 0; e < r->E; e++)
        if (r->chosen[e] < 0 || r->chosen[e] >= r->num_members)
            return UF_FAIL(UF_ERR_FORMAT, "%s: elite %lld of %d networks", r->h5.path,
                           (long long)r->chosen[e], r->num_members);
    return UF_OK;
}

// The elites' part of tensor (members, count) into their blocks at `offset`.
static UfStatus pack(Replay* r, const char* group, const char* leaf, real* params, size_t offset, int count) {
    char name[64];
    real* all = NULL;
    snprintf(name, sizeof name, "after/%s/%s", group, leaf);
    UF_TRY(UF_ALLOC(&all, (int64_t)r->num_members * count, "a recorded tensor"));
    UfStatus status = read_reals(r, name, all, (int64_t)r->num_members * count);
    for (int e = 0; e < r->E && status == UF_OK; e++)
        memcpy(params + (size_t)e * r->mlp.size + offset, all + r->chosen[e] * count,
               (size_t)count * sizeof(real));
    uf_free(all);
    return status;
}

static UfStatus pack_networks(Replay* r, real* params) {
    const UfMlp* m = &r->mlp;
    for (int l = 0; l <= m->layers; l++) {
        char group[32] = "out";
        const int in = l ? m->width : m->in, out = l < m->layers ? m->width : m->out;
        if (l < m->layers) snprintf(group, sizeof group, "hidden/%d", l);
        UF_TRY(pack(r, group, "kernel", params, m->kernel[l], in * out));
        UF_TRY(pack(r, group, "bias", params, m->bias[l], out));
    }
    return UF_OK;
}

static UfStatus load_networks(Replay* r) {
    const size_t count = (size_t)r->E * r->mlp.size, D = (size_t)r->D;
    real *host = NULL, *params = NULL, *bounds = NULL, *logvar = NULL;
    UF_TRY(reserve(r, &params, (int64_t)count, sizeof(real)));
    UF_TRY(reserve(r, &bounds, (int64_t)(2 * D), sizeof(real)));
    UfStatus status = UF_ALLOC(&host, count + 2 * D, "recorded parameters");
    if (status == UF_OK) status = UF_ALLOC(&logvar, 2 * D, "recorded bounds");
    if (status == UF_OK) status = pack_networks(r, host);
    if (status == UF_OK) status = read_reals(r, "after/max_logvar", logvar, r->D);
    if (status == UF_OK) status = read_reals(r, "after/min_logvar", logvar + D, r->D);
    if (status == UF_OK) {
        uf_variance_bounds(host + count, logvar, r->D);
        r->be->upload(r->be, params, host, count * sizeof(real));
        r->be->upload(r->be, bounds, host + count, 2 * D * sizeof(real));
    }
    r->elites = (UfElites){
        .nets = {&r->mlp, 1, r->E, r->E, params}, .bounds = bounds, .obs_dim = r->O, .action_dim = r->A};
    uf_free(host);
    uf_free(logvar);
    return status;
}

static UfStatus read_config(Replay* r) {
    char* json = NULL;
    UF_TRY(uf_h5_read_string(&r->h5, "/", "config", &json));
    cJSON* root = cJSON_Parse(json);
    uf_free(json);
    const cJSON *coef = cJSON_GetObjectItemCaseSensitive(root, "step_penalty_coef"),
                *rule = cJSON_GetObjectItemCaseSensitive(root, "termination");
    UfStatus status = UF_OK;
    if (!cJSON_IsNumber(coef) || !cJSON_IsString(rule))
        status = UF_FAIL(UF_ERR_FORMAT, "%s: attribute config names no step_penalty_coef and termination",
                         r->h5.path);
    else
        status = uf_termination_rule(rule->valuestring, &r->elites.termination);
    if (status == UF_OK && r->O < uf_termination_obs_dim(r->elites.termination))
        status = UF_FAIL(UF_ERR_FORMAT, "%s: termination '%s' needs more than %d numbers of an observation",
                         r->h5.path, rule->valuestring, r->O);
    if (status == UF_OK) r->hyper.step_penalty_coef = (real)coef->valuedouble;
    cJSON_Delete(root);
    return status;
}

// ---- the step ----

static UfStatus load_inputs(Replay* r, real** x, int64_t** elite, real** noise) {
    const int64_t R = r->R;
    real *obs = NULL, *action = NULL;
    int64_t* host = NULL;
    UF_TRY(load(r, "rollout/obs", &obs, R * r->O));
    UF_TRY(load(r, "rollout/action", &action, R * r->A));
    UF_TRY(load(r, "rollout/noise", noise, R * r->D));
    UF_TRY(reserve(r, x, R * (r->O + r->A), sizeof(real)));
    UF_TRY(reserve(r, elite, R, sizeof(int64_t)));
    r->be->network_input(r->be, &(UfInputRows){*x, r->R, obs, action}, 1, r->O + r->A, NULL, NULL, 1, r->R,
                         r->O, r->A);
    UF_TRY(UF_ALLOC(&host, R, "recorded elites"));
    UfStatus status = uf_h5_read(&r->h5, "rollout/elite", UF_H5_INT64, host, R);
    for (int64_t b = 0; b < R && status == UF_OK; b++)
        if (host[b] < 0 || host[b] >= r->E)
            status = UF_FAIL(UF_ERR_FORMAT, "%s: rollout/elite is %lld, expected 0 to %d", r->h5.path,
                             (long long)host[b], r->E - 1);
    r->be->upload(r->be, *elite, host, (size_t)R * sizeof(int64_t));
    uf_free(host);
    return status;
}

// Ours against a recorded array; *wrong counts elements that are not equal.   Nullable: numbers, wrong
static UfStatus compare(Replay* r, const char* name, const real* device, int64_t count,
                        UfReplayedNumbers* numbers, int64_t* wrong) {
    double* expected = NULL;
    real* ours = NULL;
    UfStatus status = UF_ALLOC(&expected, count, "a recorded array");
    if (status == UF_OK) status = UF_ALLOC(&ours, count, "an array");
    if (status == UF_OK) status = uf_h5_read(&r->h5, name, UF_H5_DOUBLE, expected, count);
    if (status == UF_OK) r->be->download(r->be, ours, device, (size_t)count * sizeof(real));
    if (status == UF_OK) status = r->be->sync(r->be);
    for (int64_t i = 0; i < count && status == UF_OK; i++) {
        const double error = fabs((double)ours[i] - expected[i]);
        if (wrong) *wrong += !(error == 0);
        if (!numbers) continue;
        if (error > numbers->max_error || isnan(error)) numbers->max_error = error;
        if (fabs(expected[i]) > numbers->max_value) numbers->max_value = fabs(expected[i]);
    }
    uf_free(expected);
    uf_free(ours);
    return status;
}

static UfStatus replay_file(Replay* r, const char* device, const char* precision, UfReplayRollout* out) {
    UF_TRY(uf_backend_open(&r->be, device, precision ? precision : "tf32", 1));
    out->rounding = r->be->rounding;
    UF_TRY(measure(r));
    UF_TRY(load_networks(r));
    UF_TRY(read_config(r));
    UF_TRY(r->be->plan(r->be, &r->mlp, 1, r->E, r->R));
    const int64_t R = r->R;
    real *x, *noise, *heads, *next_obs, *reward, *done, *penalty, *distance;
    int64_t* elite;
    UfHyper* hyper;
    UF_TRY(load_inputs(r, &x, &elite, &noise));
    UF_TRY(reserve(r, &heads, R * r->E * 2 * r->D, sizeof(real)));
    UF_TRY(reserve(r, &next_obs, R * r->O, sizeof(real)));
    UF_TRY(reserve(r, &reward, R, sizeof(real)));
    UF_TRY(reserve(r, &done, R, sizeof(real)));
    UF_TRY(reserve(r, &penalty, R, sizeof(real)));
    UF_TRY(reserve(r, &distance, R, sizeof(real)));
    UF_TRY(reserve(r, &hyper, 1, sizeof(UfHyper)));
    r->be->upload(r->be, hyper, &r->hyper, sizeof r->hyper);
    const UfInput input = {x, r->O + r->A, r->R};
    r->be->mlp_forward(r->be, &r->elites.nets, heads, NULL, input, (UfRows){0, r->R, r->R});
    r->be->model_step(r->be, next_obs, reward, done, penalty, distance, &r->elites, heads, input, elite,
                      noise, hyper, 1, r->R);
    out->num_rows = R;
    UF_TRY(compare(r, "rollout/next_obs", next_obs, R * r->O, &out->next_obs, NULL));
    UF_TRY(compare(r, "rollout/reward", reward, R, &out->reward, NULL));
    UF_TRY(compare(r, "rollout/max_disagreement", distance, R, &out->disagreement, NULL));
    return compare(r, "rollout/done", done, R, NULL, &out->num_wrong_done);
}

#ifdef UF_DOUBLE_COPY
UfStatus uf_replay_rollout_double(const char* path, UfReplayRollout* out) {
    const char *device = "cpu", *precision = NULL;
#else
UfStatus uf_replay_rollout(const char* path, const char* device, const char* precision,
                           UfReplayRollout* out) {
#endif
    Replay r = {0};
    memset(out, 0, sizeof *out);
    UF_TRY(uf_h5_open(&r.h5, path));
    UfStatus status = replay_file(&r, device, precision, out);
    for (int i = 0; i < r.num_device; i++) r.be->release(r.be, r.device[i]);
    uf_free(r.chosen);
    uf_backend_close(r.be);
    uf_h5_close(&r.h5);
    return status;
}
