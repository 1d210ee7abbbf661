// distilled.c: distilled datasets: memory, file, several in one, text (distilled.h). Pictures: distilled_draw.c.
//
// Rooms: memory, writing, reading, merging, text.
#include "core/search/distilled.h"

#include <float.h>  // FLT_EPSILON
#include <math.h>
#include <stdio.h>  // snprintf
#include <string.h>

#include "core/data/dataset.h"
#include "core/data/h5.h"

#define KIND "distilled"
#define MAX_SEED 9007199254740992.0  // integers up to here are doubles too, as attributes are read

// ---- memory ----

UfStatus uf_distilled_create(UfDistilled** out, int rows, int obs_dim, int action_dim, bool discrete) {
    UfDistilled* d = NULL;
    *out = NULL;
    if (rows < 1 || obs_dim < 1 || action_dim < 1)
        return UF_FAIL(
            UF_ERR_ARGUMENT,
            "a distilled dataset of %d rows, %d observations and %d actions; each must be at least 1", rows,
            obs_dim, action_dim);
    UF_TRY(UF_ALLOC(&d, 1, "a distilled dataset"));
    const size_t D = (size_t)rows, S = (size_t)obs_dim, A = (size_t)action_dim;
    *d = (UfDistilled){.rows = rows, .obs_dim = obs_dim, .action_dim = action_dim, .discrete = discrete};
    d->fitness = NAN;
    char** const texts[] = {&d->env_id, &d->recipe, &d->config};
    UfStatus status = UF_ALLOC(&d->states, D * S, "a distilled dataset");
    if (status == UF_OK) status = UF_ALLOC(&d->labels, D * A, "a distilled dataset");
    if (status == UF_OK) status = UF_ALLOC(&d->mean, S, "a distilled dataset");
    if (status == UF_OK) status = UF_ALLOC(&d->divisor, S, "a distilled dataset");
    for (int i = 0; i < 3 && status == UF_OK; i++) status = uf_strdup(texts[i], "");
    if (status != UF_OK) {
        uf_distilled_free(d);
        return status;
    }
    for (size_t j = 0; j < S; j++) d->divisor[j] = 1;
    *out = d;
    return UF_OK;
}

void uf_distilled_free(UfDistilled* data) {
    if (!data) return;
    void* const parts[] = {data->states, data->labels, data->mean,  data->divisor,
                           data->env_id, data->recipe, data->config};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) uf_free(parts[i]);
    for (int i = 0; i < data->num_tasks; i++) {
        uf_free(data->tasks[i].env_id);
        uf_free(data->tasks[i].mean);
        uf_free(data->tasks[i].divisor);
    }
    uf_free(data->tasks);
    uf_free(data);
}

UfStatus uf_distilled_task(const UfDistilled* data, const char* env, UfDistilledTask* out) {
    const UfDistilledTask all = {data->env_id, data->obs_dim, data->action_dim, 0, data->mean, data->divisor};
    const int n = data->num_tasks ? data->num_tasks : 1;
    const UfDistilledTask* tasks = data->num_tasks ? data->tasks : &all;
    if (!env && n > 1)
        return UF_FAIL(UF_ERR_CONFIG, "the dataset is of %s: say which of these environments is meant",
                       data->env_id);
    for (int i = 0; i < n; i++) {
        *out = tasks[i];
        if (!env || !strcmp(env, tasks[i].env_id)) return UF_OK;
    }
    return UF_FAIL(UF_ERR_CONFIG, "the dataset is of %s, not of %s",
                   data->env_id[0] ? data->env_id : "no environment", env);
}

// Room for the next task of a merged dataset, whose statistics are 0 and 1.
static UfStatus add_task(UfDistilled* d, const char* env_id, int obs_dim) {
    UfDistilledTask* task = &d->tasks[d->num_tasks++];
    UF_TRY(uf_strdup(&task->env_id, env_id));
    task->obs_dim = obs_dim;
    UF_TRY(UF_ALLOC(&task->mean, obs_dim, "a task"));
    return UF_ALLOC(&task->divisor, obs_dim, "a task");
}

static UfStatus set_text(char** to, const char* text) {
    char* copy = NULL;
    UF_TRY(uf_strdup(&copy, text));
    uf_free(*to);
    *to = copy;
    return UF_OK;
}

int uf_distilled_kind(const UfDistilled* d, int row) {
    const float* label = d->labels + (size_t)row * (size_t)d->action_dim;
    int best = 0;
    for (int j = 1; j < d->action_dim; j++)
        if (label[j] > label[best]) best = j;
    return best;
}

static bool is_one_hot(const UfDistilled* d, int row) {
    const float* label = d->labels + (size_t)row * (size_t)d->action_dim;
    for (int j = 0, kind = uf_distilled_kind(d, row); j < d->action_dim; j++)
        if (label[j] != (float)(j == kind)) return false;
    return true;
}

bool uf_distilled_is_hard(const UfDistilled* d) {
    bool hard = d->discrete;
    for (int i = 0; i < d->rows && hard; i++) hard = is_one_hot(d, i);
    return hard;
}

float uf_distilled_observation(const UfDistilled* d, int row, int column) {
    const float state = d->states[(size_t)row * (size_t)d->obs_dim + (size_t)column];
    return (float)((double)d->mean[column] + (double)d->divisor[column] * (double)state);
}

// ---- writing ----

static UfStatus check_finite(const char* path, const char* what, const float* numbers, int rows,
                             int columns) {
    for (int64_t i = 0; i < (int64_t)rows * columns; i++)
        if (!isfinite(numbers[i]))
            return UF_FAIL(UF_ERR_NONFINITE,
                           "%s: the distilled dataset's %s have %s at row %lld, column %lld", path, what,
                           isnan(numbers[i]) ? "NaN" : "an infinite number", (long long)(i / columns),
                           (long long)(i % columns));
    return UF_OK;
}

static UfStatus check_writable(const UfDistilled* d, const char* path) {
    if (!((double)d->seed < MAX_SEED))
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: seed %llu of a distilled dataset; it must be below 2^53", path,
                       (unsigned long long)d->seed);
    UF_TRY(check_finite(path, "states", d->states, d->rows, d->obs_dim));
    return check_finite(path, "labels", d->labels, d->rows, d->action_dim);
}

static UfStatus write_tasks(const UfH5* h5, const UfDistilled* d) {
    char group[32], name[96];
    for (int i = 0; i < d->num_tasks; i++) {
        const UfDistilledTask* t = &d->tasks[i];
        const int64_t dims[] = {t->obs_dim};
        snprintf(group, sizeof group, "tasks/%d", i);
        snprintf(name, sizeof name, "%s/mean", group);
        UF_TRY(uf_h5_write(h5, name, UF_H5_FLOAT, t->mean, 1, dims, 0, false));
        snprintf(name, sizeof name, "%s/divisor", group);
        UF_TRY(uf_h5_write(h5, name, UF_H5_FLOAT, t->divisor, 1, dims, 0, false));
        UF_TRY(uf_h5_write_string(h5, group, "env_id", t->env_id));
        UF_TRY(uf_h5_write_integer(h5, group, "action_dim", t->action_dim));
        UF_TRY(uf_h5_write_integer(h5, group, "first_obs", t->first_obs));
    }
    return UF_OK;
}

// What a dataset of D4RL's layout has no place for. The states are kept beside the observations, as mean + divisor *
// state is rounded: the way back would miss some by a bit or two.
static UfStatus write_rest(const UfH5* h5, const void* context) {
    const UfDistilled* d = context;
    const bool soft = d->discrete && !uf_distilled_is_hard(d);
    UF_TRY(uf_h5_write(h5, "distilled/states", UF_H5_FLOAT, d->states, 2, (int64_t[]){d->rows, d->obs_dim}, 0,
                       false));
    if (soft)
        UF_TRY(uf_h5_write(h5, "distilled/labels", UF_H5_FLOAT, d->labels, 2,
                           (int64_t[]){d->rows, d->action_dim}, 0, false));
    UF_TRY(uf_h5_write_string(h5, "", "kind", KIND));
    if (d->config[0]) UF_TRY(uf_h5_write_string(h5, "", "config", d->config));
    UF_TRY(write_tasks(h5, d));
    if (!isnan(d->fitness)) UF_TRY(uf_h5_write_number(h5, "", "fitness", d->fitness));
    return uf_h5_write_integer(h5, "", "generation", d->generation);
}

// Every row ends its episode, and its next observation is its own: what follows it is never asked for, but readers drop a
// row of which it is not known, the last of a file among them.
UfStatus uf_distilled_write(const UfDistilled* data, const char* path) {
    const UfDistilled* d = data;
    const size_t D = (size_t)d->rows, S = (size_t)d->obs_dim, A = (size_t)d->action_dim;
    float *observations = NULL, *actions = NULL, *rewards = NULL;
    uint8_t* terminals = NULL;
    UF_TRY(check_writable(d, path));
    UfStatus status = UF_ALLOC(&observations, D * S, "observations");
    if (status == UF_OK) status = UF_ALLOC(&actions, D * A, "actions");
    if (status == UF_OK) status = UF_ALLOC(&rewards, D, "rewards");
    if (status == UF_OK) status = UF_ALLOC(&terminals, D, "terminals");
    for (int i = 0; i < d->rows && status == UF_OK; i++) {
        for (int j = 0; j < d->obs_dim; j++)
            observations[(size_t)i * S + (size_t)j] = uf_distilled_observation(d, i, j);
        if (d->discrete)
            actions[(size_t)i * A + (size_t)uf_distilled_kind(d, i)] = 1;
        else
            memcpy(actions + (size_t)i * A, d->labels + (size_t)i * A, A * sizeof *actions);
        terminals[i] = 1;
    }
    if (status == UF_OK) status = check_finite(path, "observations", observations, d->rows, d->obs_dim);
    if (status == UF_OK)
        status = uf_dataset_write(path, &(UfDatasetWriter){.num_rows = d->rows,
                                                           .obs_dim = d->obs_dim,
                                                           .action_dim = d->action_dim,
                                                           .observations = observations,
                                                           .actions = actions,
                                                           .rewards = rewards,
                                                           .next_observations = observations,
                                                           .terminals = terminals,
                                                           .env_id = d->env_id,
                                                           .recipe = d->recipe,
                                                           .seed = &d->seed,
                                                           .discrete = d->discrete,
                                                           .norm_mean = d->mean,
                                                           .norm_divisor = d->divisor,
                                                           .write_more = write_rest,
                                                           .context = d});
    uf_free(observations);
    uf_free(actions);
    uf_free(rewards);
    uf_free(terminals);
    return status;
}

// ---- reading ----

static UfStatus has_kind(const UfH5* h5, bool* distilled) {
    char* kind = NULL;
    *distilled = false;
    if (!uf_h5_has_attribute(h5, "", "kind")) return UF_OK;
    UF_TRY(uf_h5_read_string(h5, "", "kind", &kind));
    *distilled = !strcmp(kind, KIND);
    uf_free(kind);
    return UF_OK;
}

bool uf_is_distilled(const char* path) {
    UfH5 h5;
    bool distilled;
    if (uf_h5_open(&h5, path) != UF_OK) return false;
    const bool is = has_kind(&h5, &distilled) == UF_OK && distilled;
    uf_h5_close(&h5);
    return is;
}

// A matrix of this many rows and columns that is stored beside the dataset.
static UfStatus read_matrix(const UfH5* h5, const char* name, float* numbers, int rows, int columns) {
    UfH5Shape shape;
    UF_TRY(uf_h5_shape(h5, name, &shape));
    if (shape.rank != 2 || shape.dims[0] != rows || shape.dims[1] != columns)
        return UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' has the shape (%lld, %lld), expected (%d, %d)",
                       h5->path, name, (long long)(shape.rank > 0 ? shape.dims[0] : 1),
                       (long long)(shape.rank > 1 ? shape.dims[1] : 1), rows, columns);
    UF_TRY(uf_h5_read(h5, name, UF_H5_FLOAT, numbers, (int64_t)rows * columns));
    for (int64_t i = 0; i < (int64_t)rows * columns; i++)
        if (!isfinite(numbers[i]))
            return UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' has %s at row %lld, column %lld", h5->path, name,
                           isnan(numbers[i]) ? "NaN" : "an infinite number", (long long)(i / columns),
                           (long long)(i % columns));
    return UF_OK;
}

// The states must be those of the observations: who changes one of them would otherwise train on the other.
static UfStatus read_states(UfDistilled* d, const UfH5* h5, const UfDataset* file) {
    UF_TRY(read_matrix(h5, "distilled/states", d->states, d->rows, d->obs_dim));
    for (int i = 0; i < d->rows; i++)
        for (int j = 0; j < d->obs_dim; j++) {
            const double stored = (double)uf_record(file, i)[j],
                         mine = (double)uf_distilled_observation(d, i, j);
            // One rounding apart, whatever the compiler made of the sum.
            if (fabs(stored - mine) <= (double)FLT_EPSILON * fmax(fabs(stored), fabs((double)d->mean[j])))
                continue;
            return UF_FAIL(
                UF_ERR_FORMAT,
                "%s: 'observations' has %g at row %d, column %d, where 'distilled/states' means %g; change "
                "both or neither",
                h5->path, stored, i, j, mine);
        }
    return UF_OK;
}

static UfStatus read_labels(UfDistilled* d, const UfH5* h5, const UfDataset* file) {
    const size_t A = (size_t)d->action_dim;
    for (int i = 0; i < d->rows; i++)
        memcpy(d->labels + (size_t)i * A, uf_record(file, i) + d->obs_dim, A * sizeof *d->labels);
    if (!d->discrete || !uf_h5_exists(h5, "distilled/labels")) return UF_OK;
    UF_TRY(read_matrix(h5, "distilled/labels", d->labels, d->rows, d->action_dim));
    for (int i = 0; i < d->rows; i++)
        if (uf_record(file, i)[d->obs_dim + uf_distilled_kind(d, i)] != 1)
            return UF_FAIL(
                UF_ERR_FORMAT,
                "%s: 'actions' at row %d is not the likeliest kind of 'distilled/labels', %d; change both or "
                "neither",
                h5->path, i, uf_distilled_kind(d, i));
    return UF_OK;
}

// Columns of a task, which must be columns of the dataset.
static UfStatus read_columns(const UfH5* h5, const char* group, const UfDistilled* d, UfDistilledTask* t) {
    double actions, first;
    UF_TRY(uf_h5_read_number(h5, group, "action_dim", &actions));
    UF_TRY(uf_h5_read_number(h5, group, "first_obs", &first));
    if (!(actions >= 1 && actions <= d->action_dim && first >= 0 && first + t->obs_dim <= d->obs_dim))
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: '%s' has observations %g to %g and %g actions; the dataset has %d and %d",
                       h5->path, group, first, first + t->obs_dim - 1, actions, d->obs_dim, d->action_dim);
    t->action_dim = (int)actions;
    t->first_obs = (int)first;
    return UF_OK;
}

static UfStatus read_task(UfDistilled* d, const UfH5* h5, const char* group) {
    char mean[96], divisor[96], *env_id;
    UfH5Shape shape;
    snprintf(mean, sizeof mean, "%s/mean", group);
    snprintf(divisor, sizeof divisor, "%s/divisor", group);
    UF_TRY(uf_h5_shape(h5, mean, &shape));
    if (shape.rank != 1 || shape.count < 1 || shape.count > d->obs_dim)
        return UF_FAIL(UF_ERR_FORMAT, "%s: '%s' has %lld numbers; expected a vector of 1 to %d", h5->path,
                       mean, (long long)shape.count, d->obs_dim);
    UF_TRY(uf_h5_read_string(h5, group, "env_id", &env_id));
    const UfStatus status = add_task(d, env_id, (int)shape.count);
    uf_free(env_id);
    UF_TRY(status);
    UfDistilledTask* t = &d->tasks[d->num_tasks - 1];
    UF_TRY(uf_h5_read(h5, mean, UF_H5_FLOAT, t->mean, shape.count));
    UF_TRY(uf_h5_read(h5, divisor, UF_H5_FLOAT, t->divisor, shape.count));
    for (int j = 0; j < t->obs_dim; j++)
        if (!isfinite(t->mean[j]) || !isfinite(t->divisor[j]) || t->divisor[j] <= 0)
            return UF_FAIL(UF_ERR_FORMAT,
                           "%s: '%s' has mean %g and divisor %g at %d; expected numbers, the second "
                           "above 0",
                           h5->path, group, (double)t->mean[j], (double)t->divisor[j], j);
    return read_columns(h5, group, d, t);
}

static UfStatus read_tasks(UfDistilled* d, const UfH5* h5) {
    char** names;
    char group[80];
    int count;
    if (!uf_h5_exists(h5, "tasks")) return UF_OK;
    UF_TRY(uf_h5_list(h5, "tasks", &names, &count));
    UfStatus status = UF_ALLOC(&d->tasks, count, "tasks");
    for (int i = 0; i < count && status == UF_OK; i++) {
        snprintf(group, sizeof group, "tasks/%.64s", names[i]);
        status = read_task(d, h5, group);
    }
    uf_h5_list_free(names, count);
    return status;
}

static UfStatus read_text(char** to, const UfH5* h5, const char* name) {
    char* text = NULL;
    if (!uf_h5_has_attribute(h5, "", name)) return UF_OK;
    UF_TRY(uf_h5_read_string(h5, "", name, &text));
    uf_free(*to);
    *to = text;
    return UF_OK;
}

static UfStatus read_attributes(UfDistilled* d, const UfH5* h5) {
    const struct {
        const char* name;
        double least, most;
    } whole[] = {{"seed", 0, MAX_SEED - 1}, {"generation", 0, MAX_SEED - 1}};
    double numbers[2] = {0, 0};
    UF_TRY(read_text(&d->env_id, h5, "env_id"));
    UF_TRY(read_text(&d->recipe, h5, "recipe"));
    UF_TRY(read_text(&d->config, h5, "config"));
    if (uf_h5_has_attribute(h5, "", "fitness")) UF_TRY(uf_h5_read_number(h5, "", "fitness", &d->fitness));
    for (int i = 0; i < 2; i++) {
        if (!uf_h5_has_attribute(h5, "", whole[i].name)) continue;
        UF_TRY(uf_h5_read_number(h5, "", whole[i].name, &numbers[i]));
        if (!(numbers[i] >= whole[i].least && numbers[i] <= whole[i].most) || numbers[i] != floor(numbers[i]))
            return UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' is %g, expected an integer of 0 or more",
                           h5->path, whole[i].name, numbers[i]);
    }
    d->seed = (uint64_t)numbers[0];
    d->generation = (int64_t)numbers[1];
    return UF_OK;
}

static UfStatus check_kind(const UfH5* h5) {
    bool distilled;
    UF_TRY(has_kind(h5, &distilled));
    if (!distilled)
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: is no distilled dataset: its attribute 'kind' is not '" KIND
                       "'; `unifloral hades` writes them",
                       h5->path);
    if (!uf_h5_exists(h5, "normalization/mean") || !uf_h5_exists(h5, "distilled/states"))
        return UF_FAIL(UF_ERR_FORMAT, "%s: there is no dataset '%s', which a distilled one has", h5->path,
                       uf_h5_exists(h5, "distilled/states") ? "normalization/mean" : "distilled/states");
    return UF_OK;
}

static UfStatus read_from(UfDistilled** out, const UfH5* h5, const UfDataset* file) {
    if (file->num_rows != file->num_records || file->num_rows > INT32_MAX)
        return UF_FAIL(UF_ERR_FORMAT, "%s: %lld of %lld rows of a distilled dataset have no next state",
                       h5->path, (long long)(file->num_records - file->num_rows),
                       (long long)file->num_records);
    UF_TRY(uf_distilled_create(out, (int)file->num_rows, file->obs_dim, file->action_dim, file->discrete));
    UfDistilled* d = *out;
    const size_t S = (size_t)d->obs_dim;
    memcpy(d->mean, file->obs_mean, S * sizeof *d->mean);
    memcpy(d->divisor, file->norm_divisor, S * sizeof *d->divisor);
    UF_TRY(read_attributes(d, h5));
    UF_TRY(read_tasks(d, h5));
    UF_TRY(read_states(d, h5, file));
    return read_labels(d, h5, file);
}

UfStatus uf_distilled_read(UfDistilled** out, const char* path) {
    UfDataset* file = NULL;
    UfDistilled* d = NULL;
    UfH5 h5;
    *out = NULL;
    UF_TRY(uf_h5_open(&h5, path));
    UfStatus status = check_kind(&h5);
    if (status == UF_OK) status = uf_dataset_open(&file, path, NULL);
    if (status == UF_OK) status = read_from(&d, &h5, file);
    H5Fclose(h5.file);  // read only: nothing can be lost, and a failure before keeps its sentence
    uf_dataset_free(file);
    if (status == UF_OK)
        *out = d;
    else
        uf_distilled_free(d);
    return status;
}

// ---- merging ----

// The texts of a merged dataset: "a+b" and how it came about.
static UfStatus merge_texts(UfDistilled* m, const UfDistilled* const* parts, int num_parts, bool apart) {
    UfText ids = {0}, recipe = {0};
    char *id_text = NULL, *recipe_text = NULL;
    uf_text_add(&recipe,
                "merged, observations %s:", apart ? "in columns of each task's own" : "in shared columns");
    for (int i = 0; i < num_parts; i++) {
        const char* name = parts[i]->env_id[0] ? parts[i]->env_id : "unnamed";
        uf_text_add(&ids, "%s%s", i ? "+" : "", name);
        uf_text_add(&recipe, "%s %d rows of %s (%s)", i ? ";" : "", parts[i]->rows, name, parts[i]->recipe);
    }
    UfStatus status = uf_text_finish(&ids, &id_text), other = uf_text_finish(&recipe, &recipe_text);
    if (status == UF_OK) status = other;
    if (status == UF_OK) status = set_text(&m->env_id, id_text);
    if (status == UF_OK) status = set_text(&m->recipe, recipe_text);
    uf_free(id_text);
    uf_free(recipe_text);
    return status;
}

// The rows of a part from row `row` and column `column` on. In columns of its own a task keeps its units; shared ones hold
// what networks see, as one column has one unit.
static void place(UfDistilled* m, const UfDistilled* part, int row, int column, bool apart) {
    const size_t S = (size_t)part->obs_dim, A = (size_t)part->action_dim;
    for (int i = 0; i < part->rows; i++) {
        const size_t to = (size_t)(row + i);
        memcpy(m->states + to * (size_t)m->obs_dim + (size_t)column, part->states + (size_t)i * S,
               S * sizeof *m->states);
        memcpy(m->labels + to * (size_t)m->action_dim, part->labels + (size_t)i * A, A * sizeof *m->labels);
    }
    if (!apart) return;
    memcpy(m->mean + column, part->mean, S * sizeof *m->mean);
    memcpy(m->divisor + column, part->divisor, S * sizeof *m->divisor);
}

// What each part knew of its own task, so that policies of the whole can be tried in it.
static UfStatus merge_tasks(UfDistilled* m, const UfDistilled* const* parts, int num_parts, bool apart) {
    int first = 0;
    UF_TRY(UF_ALLOC(&m->tasks, num_parts, "tasks"));
    for (int i = 0; i < num_parts; i++) {
        const UfDistilled* part = parts[i];
        if (part->num_tasks)
            return UF_FAIL(UF_ERR_ARGUMENT, "%s is merged already; merge the datasets that it is of",
                           part->env_id);
        UF_TRY(add_task(m, part->env_id, part->obs_dim));
        UfDistilledTask* t = &m->tasks[i];
        t->action_dim = part->action_dim;
        t->first_obs = apart ? first : 0;
        memcpy(t->mean, part->mean, (size_t)t->obs_dim * sizeof *t->mean);
        memcpy(t->divisor, part->divisor, (size_t)t->obs_dim * sizeof *t->divisor);
        first += part->obs_dim;
    }
    return UF_OK;
}

UfStatus uf_distilled_merge(UfDistilled** out, const UfDistilled* const* parts, int num_parts, bool apart) {
    int64_t rows = 0, sum = 0;
    int most = 0, actions = 0, row = 0, column = 0;
    UfDistilled* m = NULL;
    *out = NULL;
    if (num_parts < 1) return UF_FAIL(UF_ERR_ARGUMENT, "there are no distilled datasets to merge");
    for (int i = 0; i < num_parts; i++) {
        const UfDistilled* part = parts[i];
        if (part->discrete != parts[0]->discrete)
            return UF_FAIL(UF_ERR_ARGUMENT,
                           "%s has %s actions and %s %s ones: no policy has both; merge tasks of one kind",
                           parts[0]->env_id, parts[0]->discrete ? "discrete" : "continuous", part->env_id,
                           part->discrete ? "discrete" : "continuous");
        rows += part->rows;
        sum += part->obs_dim;
        most = part->obs_dim > most ? part->obs_dim : most;
        actions = part->action_dim > actions ? part->action_dim : actions;
    }
    if (rows > INT32_MAX || sum > INT32_MAX)
        return UF_FAIL(UF_ERR_ARGUMENT, "%d distilled datasets are too large to be one", num_parts);
    UF_TRY(uf_distilled_create(&m, (int)rows, apart ? (int)sum : most, actions, parts[0]->discrete));
    for (int i = 0; i < num_parts; i++) {
        place(m, parts[i], row, column, apart);
        row += parts[i]->rows;
        if (apart) column += parts[i]->obs_dim;
    }
    UfStatus status = merge_texts(m, parts, num_parts, apart);
    if (status == UF_OK) status = merge_tasks(m, parts, num_parts, apart);
    if (status == UF_OK)
        *out = m;
    else
        uf_distilled_free(m);
    return status;
}

// ---- text ----

static void add_facts(UfText* text, const UfDistilled* d) {
    uf_text_add(text, "environment   %s\n", d->env_id[0] ? d->env_id : "none");
    uf_text_add(text, "rows          %d of %d observations and %d %s\n", d->rows, d->obs_dim, d->action_dim,
                d->discrete ? "kinds of actions" : "actions");
    if (!isnan(d->fitness))
        uf_text_add(text, "fitness       %.6g after %lld generations\n", d->fitness,
                    (long long)d->generation);
    uf_text_add(text, "seed          %llu\n", (unsigned long long)d->seed);
    if (d->recipe[0]) uf_text_add(text, "recipe        %s\n", d->recipe);
}

UfStatus uf_distilled_describe(const UfDistilled* data, int max_columns, char** text) {
    const UfDistilled* d = data;
    const int shown = max_columns < 0 ? 0 : max_columns < d->obs_dim ? max_columns : d->obs_dim;
    const bool hard = uf_distilled_is_hard(d);
    char more[32] = "";
    UfText t = {0};
    *text = NULL;
    if (shown < d->obs_dim) snprintf(more, sizeof more, "  (%d more)", d->obs_dim - shown);
    add_facts(&t, d);
    uf_text_add(&t, "\n%6s", "row");
    for (int j = 0; j < shown; j++) uf_text_add(&t, " %7s %2d", "obs", j);
    uf_text_add(&t, "%s", more);
    for (int j = 0; j < d->action_dim && !hard; j++) uf_text_add(&t, " %7s %2d", "action", j);
    uf_text_add(&t, "%s\n", hard ? "     action" : "");
    for (int i = 0; i < d->rows; i++) {
        const float* label = d->labels + (size_t)i * (size_t)d->action_dim;
        uf_text_add(&t, "%6d", i);
        for (int j = 0; j < shown; j++) uf_text_add(&t, " %10.4g", (double)uf_distilled_observation(d, i, j));
        uf_text_add(&t, "%*s", (int)strlen(more), more[0] ? "..." : "");
        for (int j = 0; j < d->action_dim && !hard; j++) uf_text_add(&t, " %10.4g", (double)label[j]);
        if (hard) uf_text_add(&t, " %10d", uf_distilled_kind(d, i));
        uf_text_add(&t, "\n");
    }
    return uf_text_finish(&t, text);
}
