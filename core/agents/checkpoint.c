// checkpoint.c: an agent on disk: see unifloral.h, agent.h.
#include "core/agents/agent_parts.h"

#include <stdio.h>
#include <string.h>

#include "core/data/h5.h"

#define CHECKPOINT_KIND "unifloral-checkpoint"

// Layout: attributes kind, version, population, num_updates, obs_dim, action_dim, discrete, dataset_hash, env;
// with a world model also model_hash and model_callback, model/{metrics,counts} and for each member the
// filled rows of its buffer, model/<p>/{records,next_obs,next_actions}; config/<p> (JSON bytes); of a member that
// stopped the attributes fault_<p> (its sentence) and fault_status_<p>;
// norm/{mean,std}; action/{low,high} where the dataset has units; metrics (P, M) and its attribute count; and
// for each tensor of the table value/<name>, adam_m/<name>, adam_v/<name> with shape (P, [N,] rows, columns).
static const UfH5Type h5_real = sizeof(real) == sizeof(float) ? UF_H5_FLOAT : UF_H5_DOUBLE;

// Members of the agent that a file holds, all of the file's.
typedef struct Part {
    UfAgent* agent;
    const UfH5* h5;
    int first, count;
} Part;

typedef UfStatus TensorVisit(const Part* part, const char* name, const UfTensor* t, UfTensorKind kind,
                             real* values);

static UfStatus write_tensor(const Part* part, const char* name, const UfTensor* t, UfTensorKind kind,
                             real* values) {
    int64_t dims[4] = {part->count};
    int rank = 1;
    if (t->has_networks) dims[rank++] = t->num_networks;
    if (t->rank == 2) dims[rank++] = t->rows;
    if (t->rank >= 1) dims[rank++] = t->columns;
    for (int k = 0; k < part->count; k++)
        UF_TRY(uf_agent_get_tensor(part->agent, t, kind, part->first + k,
                                   values + (size_t)k * uf_tensor_count(t)));
    return uf_h5_write(part->h5, name, h5_real, values, rank, dims, 0, false);
}

static UfStatus read_tensor(const Part* part, const char* name, const UfTensor* t, UfTensorKind kind,
                            real* values) {
    const size_t count = uf_tensor_count(t);
    UF_TRY(uf_h5_read(part->h5, name, h5_real, values, (int64_t)((size_t)part->count * count)));
    for (int k = 0; k < part->count; k++)
        UF_TRY(uf_agent_set_tensor(part->agent, t, kind, part->first + k, values + (size_t)k * count));
    return UF_OK;
}

static UfStatus visit_tensors(const Part* part, TensorVisit* visit) {
    const UfAgent* a = part->agent;
    static const char* const prefix[] = {"value", "adam_m", "adam_v"};
    for (int i = 0; i < a->num_tensors; i++) {
        const UfTensor* t = &a->tensors[i];
        real* values = NULL;
        UF_TRY(UF_ALLOC(&values, (size_t)part->count * uf_tensor_count(t), "one tensor of a checkpoint"));
        UfStatus status = UF_OK;
        for (int kind = 0; kind < (t->is_target ? 1 : 3) && status == UF_OK; kind++) {
            char name[96];
            snprintf(name, sizeof name, "%s/%s", prefix[kind], t->name);
            status = visit(part, name, t, (UfTensorKind)kind, values);
        }
        uf_free(values);
        UF_TRY(status);
    }
    return UF_OK;
}

static UfStatus read_optional_string(const UfH5* h5, const char* name, char* out, size_t bytes) {
    char* text = NULL;
    UF_TRY(uf_h5_read_string(h5, "/", name, &text));
    snprintf(out, bytes, "%s", text);
    uf_free(text);
    return UF_OK;
}

static UfStatus write_rows(const UfH5* h5, const char* name, float* rows, int64_t count, int64_t columns) {
    return uf_h5_write(h5, name, UF_H5_FLOAT, rows, 2, (int64_t[]){count, columns}, 0, false);
}

static UfStatus read_rows(const UfH5* h5, const char* name, float* rows, int64_t count, int64_t columns) {
    return uf_h5_read(h5, name, UF_H5_FLOAT, rows, count * columns);
}

// Moves the filled rows of the buffer of the file's member k between device and file.
static UfStatus move_ring(const Part* part, int k, int64_t fill, bool to_device) {
    UfBackend* be = part->agent->backend;
    const UfRing* ring = &part->agent->world.ring;
    const size_t p = (size_t)(part->first + k);
    const struct {
        const char* name;
        float* device;
        int columns;
    } arrays[] = {{"records", ring->records, ring->stride},
                  {"next_obs", ring->next_obs, ring->obs_dim},
                  {"next_actions", ring->next_actions, ring->action_dim}};
    UfStatus status = UF_OK;
    for (int i = 0; i < 3 && fill > 0 && status == UF_OK; i++) {
        char name[64];
        float *host = NULL,
              *device = arrays[i].device + p * (size_t)ring->capacity * (size_t)arrays[i].columns;
        const int64_t count = fill * arrays[i].columns;
        snprintf(name, sizeof name, "model/%d/%s", k, arrays[i].name);
        UF_TRY(UF_ALLOC(&host, count, "rows of the model buffer"));
        if (!to_device) be->download(be, host, device, (size_t)count * sizeof(float));
        if (!to_device) status = be->sync(be);
        if (status == UF_OK)
            status = (to_device ? read_rows : write_rows)(part->h5, name, host, fill, arrays[i].columns);
        if (to_device && status == UF_OK) be->upload(be, device, host, (size_t)count * sizeof(float));
        if (status == UF_OK) status = be->sync(be);
        uf_free(host);
    }
    return status;
}

// head and fill of each member, (2, count).
static UfStatus write_world(const Part* part) {
    const UfH5* h5 = part->h5;
    UfBackend* be = part->agent->backend;
    const UfWorld* w = &part->agent->world;
    const int count = part->count;
    const size_t bytes = (size_t)count * sizeof(int64_t);
    int64_t* counts = NULL;
    UF_TRY(uf_h5_write_string(h5, "/", "model_hash", w->hash));
    UF_TRY(uf_h5_write_integer(h5, "/", "model_callback", w->terminates || w->needs_callback));
    UF_TRY(uf_h5_write(h5, "model/metrics", UF_H5_DOUBLE,
                       w->metrics + (size_t)part->first * NUM_MODEL_METRICS, 2,
                       (int64_t[]){count, NUM_MODEL_METRICS}, 0, false));
    UF_TRY(UF_ALLOC(&counts, 2 * count, "counts of the model buffer"));
    be->download(be, counts, w->ring.head + part->first, bytes);
    be->download(be, counts + count, w->ring.fill + part->first, bytes);
    UfStatus status = be->sync(be);
    if (status == UF_OK)
        status = uf_h5_write(h5, "model/counts", UF_H5_INT64, counts, 2, (int64_t[]){2, count}, 0, false);
    for (int k = 0; k < count && status == UF_OK; k++) status = move_ring(part, k, counts[count + k], false);
    uf_free(counts);
    return status;
}

static UfStatus read_ring(const Part* part, const int64_t* head, const int64_t* fill) {
    UfBackend* be = part->agent->backend;
    const UfRing* ring = &part->agent->world.ring;
    const size_t bytes = (size_t)part->count * sizeof(int64_t);
    for (int k = 0; k < part->count; k++) {
        if (fill[k] < 0 || fill[k] > ring->capacity || head[k] < 0 || head[k] >= ring->capacity ||
            (fill[k] < ring->capacity && head[k] != fill[k]))
            return UF_FAIL(UF_ERR_FORMAT,
                           "%s: model/counts has head %lld and fill %lld of %lld; the checkpoint is damaged",
                           part->h5->path, (long long)head[k], (long long)fill[k], (long long)ring->capacity);
        UF_TRY(move_ring(part, k, fill[k], true));
    }
    be->upload(be, ring->head + part->first, head, bytes);
    be->upload(be, ring->fill + part->first, fill, bytes);
    return be->sync(be);
}

// The model that the run was trained with, and its buffer.
static UfStatus read_world(const Part* part) {
    UfAgent* a = part->agent;
    const UfH5* h5 = part->h5;
    char hash[65] = "";
    double callback = 0;
    int64_t* counts = NULL;
    if (!uf_h5_has_attribute(h5, "/", "model_hash"))
        return UF_FAIL(UF_ERR_FORMAT, "%s: no attribute 'model_hash', though dataset_sample_ratio is below 1",
                       h5->path);
    UF_TRY(read_optional_string(h5, "model_hash", hash, sizeof hash));
    UF_TRY(uf_h5_read_number(h5, "/", "model_callback", &callback));
    UfStatus status = uf_agent_has_model(a) ? UF_OK : uf_agent_load_model(a);
    if (status != UF_OK) return uf_fail_prefix(status, h5->path);
    if (strcmp(hash, a->world.hash) != 0)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "%s: model_path '%s' holds another world model than this run was trained with; put that one back "
            "or start a new run",
            h5->path, a->configs[0].model_path);
    a->world.needs_callback = callback != 0;
    UF_TRY(uf_h5_read(h5, "model/metrics", UF_H5_DOUBLE,
                      a->world.metrics + (size_t)part->first * NUM_MODEL_METRICS,
                      (int64_t)part->count * NUM_MODEL_METRICS));
    UF_TRY(UF_ALLOC(&counts, 2 * part->count, "counts of the model buffer"));
    status = uf_h5_read(h5, "model/counts", UF_H5_INT64, counts, 2 * part->count);
    if (status == UF_OK) status = read_ring(part, counts, counts + part->count);
    uf_free(counts);
    return status;
}

static UfStatus write_member(const Part* part, int k) {
    const UfAgent* a = part->agent;
    const int p = part->first + k;
    char name[32], *json = NULL;
    snprintf(name, sizeof name, "config/%d", k);
    UF_TRY(uf_config_json(&a->configs[p], &json));
    UfStatus status =
        uf_h5_write(part->h5, name, UF_H5_UINT8, json, 1, &(int64_t){(int64_t)strlen(json)}, 0, false);
    uf_free(json);
    if (status != UF_OK || !uf_agent_is_stopped(a, p)) return status;
    snprintf(name, sizeof name, "fault_%d", k);
    UF_TRY(uf_h5_write_string(part->h5, "/", name, a->faults[p].sentence));
    snprintf(name, sizeof name, "fault_status_%d", k);
    return uf_h5_write_integer(part->h5, "/", name, a->faults[p].status);
}

static UfStatus write_checkpoint(const Part* part) {
    const UfAgent* a = part->agent;
    const UfH5* h5 = part->h5;
    UF_TRY(uf_h5_write_string(h5, "/", "kind", CHECKPOINT_KIND));
    UF_TRY(uf_h5_write_string(h5, "/", "version", UF_VERSION));
    UF_TRY(uf_h5_write_string(h5, "/", "dataset_hash", a->dataset_hash));
    UF_TRY(uf_h5_write_string(h5, "/", "env", a->env_id));
    UF_TRY(uf_h5_write_integer(h5, "/", "population", part->count));
    UF_TRY(uf_h5_write_integer(h5, "/", "num_updates", a->num_updates));
    UF_TRY(uf_h5_write_integer(h5, "/", "obs_dim", a->O));
    UF_TRY(uf_h5_write_integer(h5, "/", "action_dim", a->A));
    if (a->discrete) UF_TRY(uf_h5_write_integer(h5, "/", "discrete", 1));
    for (int k = 0; k < part->count; k++) UF_TRY(write_member(part, k));
    UF_TRY(uf_h5_write(h5, "norm/mean", h5_real, a->host_norm, 1, &(int64_t){a->O}, 0, false));
    UF_TRY(uf_h5_write(h5, "norm/std", h5_real, a->host_norm + a->O, 1, &(int64_t){a->O}, 0, false));
    if (a->action_bounds) {
        UF_TRY(uf_h5_write(h5, "action/low", UF_H5_FLOAT, a->action_bounds, 1, &(int64_t){a->A}, 0, false));
        UF_TRY(uf_h5_write(h5, "action/high", UF_H5_FLOAT, a->action_bounds + a->A, 1, &(int64_t){a->A}, 0,
                           false));
    }
    UF_TRY(uf_h5_write(h5, "metrics", UF_H5_DOUBLE, a->host_metrics + (size_t)part->first * UF_NUM_METRICS, 2,
                       (int64_t[]){part->count, UF_NUM_METRICS}, 0, false));
    UF_TRY(uf_h5_write_integer(h5, "/", "metrics_count", a->metrics_count));
    if (uf_agent_has_model(a)) UF_TRY(write_world(part));
    return visit_tensors(part, write_tensor);
}

static UfStatus save_members(const UfAgent* agent, int first, int count, const char* path) {
    char temporary[1024];
    if (snprintf(temporary, sizeof temporary, "%s.tmp", path) >= (int)sizeof temporary)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: the path is too long", path);
    UfH5 h5;
    UF_TRY(uf_h5_create(&h5, temporary));
    const Part part = {(UfAgent*)agent, &h5, first, count};
    UfStatus status = write_checkpoint(&part);
    UfStatus closed = uf_h5_close(&h5);
    if (status == UF_OK) status = closed;
    if (status == UF_OK) return uf_commit_file(temporary, path);
    remove(temporary);
    return status;
}

UfStatus uf_agent_save(const UfAgent* agent, const char* path) {
    if (!agent || !path) return UF_FAIL(UF_ERR_ARGUMENT, "uf_agent_save: agent or path is null");
    return save_members(agent, 0, agent->P, path);
}

UfStatus uf_agent_save_member(const UfAgent* agent, int member, const char* path) {
    if (!agent || !path || member < 0 || member >= agent->P)
        return UF_FAIL(UF_ERR_ARGUMENT, "uf_agent_save_member: agent or path is null, or no member %d",
                       member);
    return save_members(agent, member, 1, path);
}

typedef struct CheckpointHeader {
    int population, obs_dim, action_dim;
    bool discrete;
    int64_t num_updates, metrics_count;
} CheckpointHeader;

static UfStatus read_integer(const UfH5* h5, const char* name, double lowest, double highest, int64_t* out) {
    double value = 0;
    UF_TRY(uf_h5_read_number(h5, "/", name, &value));
    if (!(value >= lowest && value <= highest) || value != floor(value))
        return UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' is %g; the checkpoint is damaged", h5->path, name,
                       value);
    *out = (int64_t)value;
    return UF_OK;
}

static UfStatus check_string(const UfH5* h5, const char* name, const char* expected) {
    char* text = NULL;
    if (!uf_h5_has_attribute(h5, "/", name))
        return UF_FAIL(UF_ERR_FORMAT, "%s: no attribute '%s'; this is not a checkpoint of unifloral",
                       h5->path, name);
    UF_TRY(uf_h5_read_string(h5, "/", name, &text));
    UfStatus status = UF_OK;
    if (strcmp(text, expected) != 0)
        status = UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' is '%.40s', expected '%s'", h5->path, name, text,
                         expected);
    uf_free(text);
    return status;
}

static UfStatus read_header(const UfH5* h5, CheckpointHeader* header) {
    int64_t population = 0, obs_dim = 0, action_dim = 0, discrete = 0;
    UF_TRY(check_string(h5, "kind", CHECKPOINT_KIND));
    UF_TRY(check_string(h5, "version", UF_VERSION));
    UF_TRY(read_integer(h5, "population", 1, 1e6, &population));
    UF_TRY(read_integer(h5, "obs_dim", 1, 1e6, &obs_dim));
    UF_TRY(read_integer(h5, "action_dim", 1, 1e6, &action_dim));
    if (uf_h5_has_attribute(h5, "/", "discrete")) UF_TRY(read_integer(h5, "discrete", 0, 1, &discrete));
    UF_TRY(read_integer(h5, "num_updates", 0, 9e15, &header->num_updates));
    UF_TRY(read_integer(h5, "metrics_count", 0, 9e15, &header->metrics_count));
    header->population = (int)population;
    header->obs_dim = (int)obs_dim;
    header->action_dim = (int)action_dim;
    header->discrete = discrete;
    return UF_OK;
}

static UfStatus read_config(const UfH5* h5, int member, UfConfig** out) {
    char name[32], label[1100], *json = NULL;
    UfH5Shape shape;
    *out = NULL;
    snprintf(name, sizeof name, "config/%d", member);
    snprintf(label, sizeof label, "%s:%s", h5->path, name);
    UF_TRY(uf_h5_shape(h5, name, &shape));
    UF_TRY(UF_ALLOC(&json, shape.count + 1, "configuration of a checkpoint"));
    UfStatus status = uf_h5_read(h5, name, UF_H5_UINT8, json, shape.count);
    if (status == UF_OK) status = uf_config_create(out);
    if (status == UF_OK) status = uf_config_parse(*out, json, label);
    uf_free(json);
    if (status != UF_OK) {
        uf_config_free(*out);
        *out = NULL;
    }
    return status;
}

// Units of the dataset's actions, (2, A), or null where they are [-1, 1].
static UfStatus read_action_bounds(const UfH5* h5, int action_dim, float** bounds) {
    if (!uf_h5_exists(h5, "action/low")) return UF_OK;
    UF_TRY(UF_ALLOC(bounds, 2 * action_dim, "action bounds"));
    UF_TRY(uf_h5_read(h5, "action/low", UF_H5_FLOAT, *bounds, action_dim));
    return uf_h5_read(h5, "action/high", UF_H5_FLOAT, *bounds + action_dim, action_dim);
}

// A file of those that a population is loaded from.
typedef struct Saved {
    UfH5 h5;
    bool open;
    CheckpointHeader header;
    int first;  // of the population's members
} Saved;

static UfStatus read_fault(const Part* part, int k) {
    UfFault* f = &part->agent->faults[part->first + k];
    char name[32];
    double status = 0;
    snprintf(name, sizeof name, "fault_%d", k);
    if (!uf_h5_has_attribute(part->h5, "/", name)) return UF_OK;
    UF_TRY(read_optional_string(part->h5, name, f->sentence, sizeof f->sentence));
    snprintf(name, sizeof name, "fault_status_%d", k);
    UF_TRY(uf_h5_read_number(part->h5, "/", name, &status));
    f->status = (UfStatus)status;
    f->told = true;
    return UF_OK;
}

// What belongs to single members.
static UfStatus read_members(const Part* part, bool to_train) {
    UfAgent* a = part->agent;
    UF_TRY(uf_h5_read(part->h5, "metrics", UF_H5_DOUBLE,
                      a->host_metrics + (size_t)part->first * UF_NUM_METRICS,
                      (int64_t)part->count * UF_NUM_METRICS));
    uf_agent_send_metrics(a);
    for (int k = 0; k < part->count; k++) UF_TRY(read_fault(part, k));
    UF_TRY(visit_tensors(part, read_tensor));
    return to_train && uf_agent_uses_model(a) ? read_world(part) : UF_OK;
}

// What members share, from the first file; the others were checked to be like it.
static UfStatus read_shared(UfAgent* a, const Saved* saved) {
    const UfH5* h5 = &saved->h5;
    UF_TRY(uf_h5_read(h5, "norm/mean", h5_real, a->host_norm, a->O));
    UF_TRY(uf_h5_read(h5, "norm/std", h5_real, a->host_norm + a->O, a->O));
    UF_TRY(read_action_bounds(h5, a->A, &a->action_bounds));
    UF_TRY(read_optional_string(h5, "dataset_hash", a->dataset_hash, sizeof a->dataset_hash));
    UF_TRY(read_optional_string(h5, "env", a->env_id, sizeof a->env_id));
    a->num_updates = a->num_checked = saved->header.num_updates;
    a->metrics_count = saved->header.metrics_count;
    uf_agent_upload_constants(a);
    return UF_OK;
}

static UfStatus check_alike(const Saved* first, const Saved* s) {
    const CheckpointHeader *a = &first->header, *b = &s->header;
    char hashes[2][65] = {"", ""};
    UF_TRY(read_optional_string(&first->h5, "dataset_hash", hashes[0], sizeof hashes[0]));
    UF_TRY(read_optional_string(&s->h5, "dataset_hash", hashes[1], sizeof hashes[1]));
    if (a->num_updates == b->num_updates && a->metrics_count == b->metrics_count &&
        a->obs_dim == b->obs_dim && a->action_dim == b->action_dim && a->discrete == b->discrete &&
        !strcmp(hashes[0], hashes[1]))
        return UF_OK;
    return UF_FAIL(UF_ERR_ARGUMENT,
                   "%s and %s cannot be one population: they are at updates %lld and %lld, of datasets "
                   "%.12s... and %.12s...; members must be at the same update of the same dataset",
                   first->h5.path, s->h5.path, (long long)a->num_updates, (long long)b->num_updates,
                   hashes[0], hashes[1]);
}

static UfStatus read_configs(const Saved* saved, int count, int device, int precision, UfConfig** configs) {
    for (int i = 0; i < count; i++)
        for (int k = 0; k < saved[i].header.population; k++) {
            UfConfig** c = &configs[saved[i].first + k];
            UF_TRY(read_config(&saved[i].h5, k, c));
            if (device >= 0) (*c)->device = device;
            if (precision >= 0) (*c)->precision = precision;
        }
    return UF_OK;
}

static UfStatus read_saved(Saved* saved, int count, UfConfig** configs, int population, int num_threads,
                           bool to_train, UfAgent** out) {
    const CheckpointHeader* h = &saved->header;
    UF_TRY(uf_agent_make(out, (const UfConfig* const*)configs, population, h->obs_dim, h->action_dim,
                         h->discrete, NULL, NULL, num_threads, false));
    UF_TRY(read_shared(*out, saved));
    for (int i = 0; i < count; i++) {
        const Part part = {*out, &saved[i].h5, saved[i].first, saved[i].header.population};
        UF_TRY(read_members(&part, to_train));
    }
    return UF_OK;
}

// to_train: with world model and its buffer, which acting does without.
// device and precision: indices into the choices; negative: those of the configuration.
static UfStatus load_agent(UfAgent** out, const char* const* paths, int num_paths, int device, int precision,
                           int num_threads, bool to_train) {
    Saved* saved = NULL;
    UfConfig** configs = NULL;
    int population = 0;
    *out = NULL;
    UF_TRY(UF_ALLOC(&saved, num_paths, "checkpoints"));
    UfStatus status = UF_OK;
    for (int i = 0; i < num_paths && status == UF_OK; i++) {
        Saved* s = &saved[i];
        status = uf_h5_open(&s->h5, paths[i]);
        s->open = status == UF_OK;
        if (status == UF_OK) status = read_header(&s->h5, &s->header);
        if (status == UF_OK) status = check_alike(saved, s);
        s->first = population;
        population += s->header.population;
    }
    if (status == UF_OK) status = UF_ALLOC(&configs, population, "configurations");
    if (status == UF_OK) status = read_configs(saved, num_paths, device, precision, configs);
    if (status == UF_OK)
        status = read_saved(saved, num_paths, configs, population, num_threads, to_train, out);
    for (int p = 0; configs && p < population; p++) uf_config_free(configs[p]);
    uf_free(configs);
    for (int i = 0; i < num_paths; i++)
        if (saved[i].open) uf_h5_close(&saved[i].h5);
    uf_free(saved);
    if (status != UF_OK) {
        uf_agent_free(*out);
        *out = NULL;
    }
    return status;
}

UfStatus uf_agent_load(UfAgent** out, const char* path, int num_threads) {
    UF_TRY_GIVEN(out);
    *out = NULL;
    UF_TRY_GIVEN(path);
    return load_agent(out, &path, 1, -1, -1, num_threads, true);
}

UfStatus uf_agent_load_population(UfAgent** out, const char* const* paths, int num_paths, int num_threads) {
    UF_TRY_GIVEN(out);
    *out = NULL;
    if (!paths || num_paths < 1)
        return UF_FAIL(UF_ERR_ARGUMENT, "uf_agent_load_population: needs at least one path");
    return load_agent(out, paths, num_paths, -1, -1, num_threads, true);
}

UfStatus uf_agent_load_on(UfAgent** out, const char* const* paths, int num_paths, const char* device,
                          const char* precision, int num_threads) {
    UfConfig* config = NULL;
    UF_TRY_GIVEN(out);
    *out = NULL;
    if (!paths || num_paths < 1) return UF_FAIL(UF_ERR_ARGUMENT, "uf_agent_load_on: needs at least one path");
    UF_TRY(uf_config_create(&config));
    UfStatus status = device ? uf_config_set(config, "device", device) : UF_OK;
    if (status == UF_OK && precision) status = uf_config_set(config, "precision", precision);
    if (status == UF_OK)
        status = load_agent(out, paths, num_paths, device ? (int)config->device : -1,
                            precision ? (int)config->precision : -1, num_threads, true);
    uf_config_free(config);
    return status;
}

UfStatus uf_checkpoint_peek(const char* path, int* population, int64_t* num_updates, UfConfig** config) {
    CheckpointHeader header = {0};
    UfH5 h5;
    *config = NULL;
    UF_TRY(uf_h5_open(&h5, path));
    UfStatus status = read_header(&h5, &header);
    if (status == UF_OK) status = read_config(&h5, 0, config);
    uf_h5_close(&h5);
    *population = header.population;
    *num_updates = header.num_updates;
    return status;
}

UfStatus uf_agent_load_to_act(UfAgent** out, const char* path) {
    return load_agent(out, &path, 1, UF_DEVICE_CPU, -1, 1, false);
}

UfStatus uf_checkpoint_info(const char* path, char** out) {
    UfAgent* a = NULL;
    UfConfig* defaults = NULL;
    UfText text = {0};
    UF_TRY(load_agent(&a, &path, 1, UF_DEVICE_CPU, -1, 1, false));
    UfStatus status = uf_config_create(&defaults);
    if (status == UF_OK) {
        const UfConfig* c = &a->configs[0];
        size_t parameters = 0;
        for (int i = 0; i < a->num_tensors; i++)
            if (!a->tensors[i].is_target) parameters += uf_tensor_count(&a->tensors[i]);
        uf_text_add(&text, "file            %s\nkind            %s, version %s\n", path, CHECKPOINT_KIND,
                    UF_VERSION);
        uf_text_add(&text, "updates         %lld of %lld\n", (long long)a->num_updates,
                    (long long)c->num_updates);
        uf_text_add(&text, "population      %d\ndimensions      %d observation, %d action%s\n", a->P, a->O,
                    a->A, a->discrete ? " kinds" : "");
        uf_text_add(&text, "parameters      %zu a member, targets not counted\n", parameters);
        uf_text_add(&text, "dataset SHA-256 %s\nenvironment     %s\n", a->dataset_hash,
                    a->env_id[0] ? a->env_id : "not named");
        uf_text_add(&text, "differs from the defaults%s\n", a->P > 1 ? " (member 0)" : "");
        for (int i = 0; i < uf_num_params; i++) {
            char value[UF_STRING_BYTES], usual[UF_STRING_BYTES];
            if (uf_params[i].type == UF_TYPE_GROUP) continue;
            uf_param_format(c, &uf_params[i], value, sizeof value);
            uf_param_format(defaults, &uf_params[i], usual, sizeof usual);
            if (strcmp(value, usual) != 0) uf_text_add(&text, "  %-28s %s\n", uf_params[i].name, value);
        }
        status = uf_text_finish(&text, out);
    }
    uf_config_free(defaults);
    uf_agent_free(a);
    return status;
}
