// verify.c: replays recorded updates (kind unifloral-update) through the library's own train step and compares parameters.
//
// A file records a configuration, initial parameters and, for each step, batch, noise and every parameter after it, computed in
// double precision. Measure, for each tensor and step: |ours - expected| <= ABSOLUTE + RELATIVE * max |expected change|, the
// change being this step's own. ABSOLUTE covers float32 rounding of values of order 1, RELATIVE what rounding does to Adam's
// ratio of moments where a gradient is near Adam's epsilon.
#include "verify.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "agent.h"
#include "envs.h"
#include "h5.h"

#ifndef UF_VERIFY_ABSOLUTE
#define UF_VERIFY_ABSOLUTE 1e-6
#endif
#ifndef UF_VERIFY_RELATIVE
#define UF_VERIFY_RELATIVE 2e-3
#endif

// ---- one file ----

// The worst tensor of one network so far.
typedef struct Worst {
    char network[32], tensor[64];
    double error, tolerance, ratio;  // ratio > 1: failed
    int step;
} Worst;

enum { MAX_NETWORKS = 8 };

typedef struct Replay {
    UfH5 h5;
    UfAgent* agent;
    int P, B, O, A, U, num_networks;
    Worst worst[MAX_NETWORKS];
    double** before;  // expected values of each tensor before this step
    UfText* report;
} Replay;

static Worst* worst_of(Replay* r, const char* tensor) {
    const size_t length = strcspn(tensor, "/");
    for (int i = 0; i < r->num_networks; i++)
        if (strncmp(r->worst[i].network, tensor, length) == 0 && r->worst[i].network[length] == 0) return &r->worst[i];
    Worst* w = &r->worst[r->num_networks++];
    snprintf(w->network, sizeof w->network, "%.*s", (int)length, tensor);
    return w;
}

static UfStatus read_reals(Replay* r, const char* name, real* out, int64_t count) {
    return uf_h5_read(&r->h5, name, sizeof(real) == sizeof(float) ? UF_H5_FLOAT : UF_H5_DOUBLE, out, count);
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
        for (int64_t k = 0; k < count; k++) values[k] = (real)r->before[i][k];
        UfStatus status = uf_agent_set_tensor(r->agent, t, UF_TENSOR_VALUE, 0, values);
        uf_free(values);
        UF_TRY(status);
    }
    return UF_OK;
}

static UfStatus compare_tensor(Replay* r, int step, int index) {
    const UfTensor* t = uf_agent_tensor(r->agent, index);
    const int64_t count = (int64_t)uf_tensor_count(t);
    char name[96];
    double *expected = NULL, error = 0, change = 0;
    real* ours = NULL;
    snprintf(name, sizeof name, "step%d/after/%s", step, t->name);
    UfStatus status = UF_ALLOC(&expected, count, "a recorded tensor");
    if (status == UF_OK) status = UF_ALLOC(&ours, count, "a tensor");
    if (status == UF_OK) status = uf_h5_read(&r->h5, name, UF_H5_DOUBLE, expected, count);
    if (status == UF_OK) status = uf_agent_get_tensor(r->agent, t, UF_TENSOR_VALUE, 0, ours);
    for (int64_t k = 0; status == UF_OK && k < count; k++) {
        const double e = fabs((double)ours[k] - expected[k]), c = fabs(expected[k] - r->before[index][k]);
        if (!(e <= error)) error = e;  // a NaN stays
        if (c > change) change = c;
        r->before[index][k] = expected[k];
    }
    if (status == UF_OK) {
        const double tolerance = UF_VERIFY_ABSOLUTE + UF_VERIFY_RELATIVE * change;
        const double ratio = isfinite(error) ? error / tolerance : INFINITY;
        Worst* w = worst_of(r, t->name);
        if (!w->tensor[0] || ratio > w->ratio) {
            snprintf(w->tensor, sizeof w->tensor, "%s", t->name);
            w->error = error;
            w->tolerance = tolerance;
            w->ratio = ratio;
            w->step = step;
        }
    }
    uf_free(expected);
    uf_free(ours);
    return status;
}

// A recorded network that this configuration does not have is a difference, not something to skip.
static UfStatus check_networks(Replay* r) {
    char** names = NULL;
    int count = 0;
    UF_TRY(uf_h5_list(&r->h5, "init", &names, &count));
    UfStatus status = UF_OK;
    for (int i = 0; i < count && status == UF_OK; i++) {
        bool known = false;
        for (int k = 0; k < uf_agent_num_tensors(r->agent); k++) {
            const char* tensor = uf_agent_tensor(r->agent, k)->name;
            const size_t length = strlen(names[i]);
            known |= strncmp(tensor, names[i], length) == 0 && (tensor[length] == '/' || tensor[length] == 0);
        }
        if (!known)
            status = UF_FAIL(UF_ERR_FORMAT, "%s: records network '%s', which its configuration does not have", r->h5.path, names[i]);
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
    if (status == UF_OK && !(obs_dim >= 1 && obs_dim < 1e6 && action_dim >= 1 && action_dim < 1e6))
        status = UF_FAIL(UF_ERR_FORMAT, "%s: obs_dim %g and action_dim %g; expected at least 1", r->h5.path, obs_dim, action_dim);
    if (status == UF_OK) status = uf_config_create(&config);
    if (status == UF_OK) status = uf_config_parse(config, json, label);
    if (status == UF_OK) {
        r->O = (int)obs_dim;
        r->A = (int)action_dim;
        r->B = (int)config->batch_size;
        r->U = (int)config->num_critic_updates_per_step;
        status = UF_ALLOC(&norm, 2 * r->O, "observation statistics");
    }
    if (status == UF_OK) status = read_reals(r, "norm/mean", norm, r->O);
    if (status == UF_OK) status = read_reals(r, "norm/std", norm + r->O, r->O);
    if (status == UF_OK)
        status = uf_agent_create_bare(&r->agent, (const UfConfig* const*)&config, 1, r->O, r->A, norm, norm + r->O, 0);
    uf_free(json);
    uf_free(norm);
    uf_config_free(config);
    return status;
}

static UfStatus replay(Replay* r, bool* passed) {
    int step = 0;
    char name[32];
    UF_TRY(create_agent(r));
    UF_TRY(check_networks(r));
    const int num_tensors = uf_agent_num_tensors(r->agent);
    UF_TRY(UF_ALLOC(&r->before, num_tensors, "recorded tensors"));
    UF_TRY(load_parameters(r));
    for (;; step++) {
        snprintf(name, sizeof name, "step%d", step);
        if (!uf_h5_exists(&r->h5, name)) break;
        UF_TRY(load_step(r, step));
        UF_TRY(uf_agent_step(r->agent));
        for (int i = 0; i < num_tensors; i++) UF_TRY(compare_tensor(r, step, i));
    }
    if (step == 0) return UF_FAIL(UF_ERR_FORMAT, "%s: no recorded step; expected a group step0", r->h5.path);
    *passed = true;
    for (int i = 0; i < r->num_networks; i++) {
        const Worst* w = &r->worst[i];
        const bool ok = w->ratio <= 1;
        *passed &= ok;
        uf_text_add(r->report, "  %-14s %s  worst error %.2e, allowed %.2e (%s, step %d)\n", w->network, ok ? "PASS" : "FAIL",
                    w->error, w->tolerance, w->tensor, w->step);
    }
    uf_text_add(r->report, "  %d step%s replayed\n", step, step == 1 ? "" : "s");
    return UF_OK;
}

static UfStatus verify_update(const char* path, UfText* report, bool* passed) {
    Replay r = {.report = report, .P = 1};
    UF_TRY(uf_h5_open(&r.h5, path));
    UfStatus status = replay(&r, passed);
    for (int i = 0; r.before && i < uf_agent_num_tensors(r.agent); i++) uf_free(r.before[i]);
    uf_free(r.before);
    uf_agent_free(r.agent);
    uf_h5_close(&r.h5);
    return status;
}

// ---- dispatch ----

static UfStatus read_kind(const char* path, char* kind, size_t bytes) {
    UfH5 h5;
    char* text = NULL;
    UF_TRY(uf_h5_open(&h5, path));
    UfStatus status = uf_h5_has_attribute(&h5, "/", "kind")
                          ? uf_h5_read_string(&h5, "/", "kind", &text)
                          : UF_FAIL(UF_ERR_FORMAT, "%s: no attribute 'kind'; this is not a recording", path);
    if (status == UF_OK) snprintf(kind, bytes, "%s", text);
    uf_free(text);
    uf_h5_close(&h5);
    return status;
}

UfStatus uf_verify(const char* path, char** report, bool* passed) {
    char kind[64];
    UfText text = {0};
    *report = NULL;
    *passed = false;
    UF_TRY(read_kind(path, kind, sizeof kind));
    if (strcmp(kind, "classic-traces") == 0) {
        char* lines = NULL;
        UF_TRY(uf_verify_classic_traces(path, &lines, passed));
        uf_text_add(&text, "%s", lines);
        uf_free(lines);
    } else if (strcmp(kind, "unifloral-update") == 0) {
        UfStatus status = verify_update(path, &text, passed);
        if (status != UF_OK) {
            char* partial = NULL;
            if (uf_text_finish(&text, &partial) == UF_OK) uf_free(partial);
            return status;
        }
    } else {
        return UF_FAIL(UF_ERR_UNSUPPORTED, "%s: recordings of kind '%.40s' belong to a part that this version does not have; "
                       "expected unifloral-update or classic-traces", path, kind);
    }
    uf_text_add(&text, "%s %s (%s)\n", *passed ? "PASS" : "FAIL", path, kind);
    return uf_text_finish(&text, report);
}
