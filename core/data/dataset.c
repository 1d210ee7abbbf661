// dataset.c: transitions from D4RL and Minari files, or from arrays, into records (dataset.h).
//
// Rooms: records, checking numbers, cutting into episodes, statistics, D4RL files, Minari files, open,
// arrays, info, writing. Sources: d4rl/__init__.py `qlearning_dataset` (which rows are kept),
// d4rl/offline_env.py (names and ranks), minari/dataset/_storages/hdf5_storage.py and metadata.json (Minari's
// layout).
#include "core/data/dataset.h"

#include <cjson/cJSON.h>
#include <ctype.h>   // isdigit
#include <math.h>    // isfinite, sqrt, INFINITY
#include <stdio.h>   // snprintf
#include <stdlib.h>  // strtod
#include <string.h>
#include <sys/stat.h>  // stat
#include <unistd.h>    // unlink

#include "core/data/h5.h"
#include "core/envs/envs.h"
#include "core/envs/tasks.h"
#include "terms.h"  // UF_OBS_STD_EPS

#define MAX_DIM (1 << 20)
#define PATH_BYTES 1024
#define ACTION_TOLERANCE 1e-6
#define MAX_KINDS 4096  // of discrete actions
// Of observations: obs_std + UF_OBS_STD_EPS, a sum of floats, is it to 1e-4 still.
#define MIN_DIVISOR 1e-6f

// ---- records ----

// What the last float of a record says while loading; cut_episodes replaces it by has_next.
enum {
    MARK_NONE,
    MARK_TIMEOUT,
    MARK_EXTRA
};  // extra: Minari's last observation of an episode, no transition

static float* record_at(const UfDataset* d, int64_t i) { return d->records + (size_t)i * (size_t)d->stride; }
static float* reward_of(const UfDataset* d, float* record) { return record + d->obs_dim + d->action_dim; }
static float* done_of(const UfDataset* d, float* record) { return record + d->obs_dim + d->action_dim + 1; }
static float* mark_of(const UfDataset* d, float* record) { return record + d->obs_dim + d->action_dim + 2; }

static const char* label(const UfDataset* d) { return d->path && d->path[0] ? d->path : "arrays"; }

static const char* base_name(const char* path) {
    const char* slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static UfStatus set_dims(UfDataset* d, int64_t num_records, int64_t obs_dim, int64_t action_dim) {
    if (obs_dim > MAX_DIM || action_dim > MAX_DIM)
        return UF_FAIL(UF_ERR_FORMAT, "%s: %lld observation and %lld action dimensions, expected at most %d",
                       label(d), (long long)obs_dim, (long long)action_dim, MAX_DIM);
    d->obs_dim = (int)obs_dim;
    d->action_dim = (int)action_dim;
    d->stride = d->obs_dim + d->action_dim + 3;
    d->num_records = num_records;
    int64_t num_floats;
    if (__builtin_mul_overflow(num_records, (int64_t)d->stride, &num_floats))
        return UF_FAIL(UF_ERR_MEMORY, "%s: %lld rows are more than this machine can address", label(d),
                       (long long)num_records);
    return UF_ALLOC(&d->records, num_floats, "transitions");
}

static void free_contents(UfDataset* d) {
    void* const parts[] = {d->records,         d->next_obs,       d->rows,        d->obs_mean, d->obs_std,
                           d->norm_divisor,    d->action_low,     d->action_high, d->path,     d->env_id,
                           d->episode_returns, d->episode_lengths};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) uf_free(parts[i]);
}

void uf_dataset_free(UfDataset* dataset) {
    if (!dataset) return;
    free_contents(dataset);
    uf_free(dataset);
}

int64_t uf_dataset_num_rows(const UfDataset* dataset) { return dataset->num_rows; }
int uf_dataset_obs_dim(const UfDataset* dataset) { return dataset->obs_dim; }
int uf_dataset_action_dim(const UfDataset* dataset) { return dataset->action_dim; }

// ---- checking numbers ----

typedef struct Findings {
    int64_t num_nonfinite;
    char first[256];      // where the first of them is
    int64_t num_outside;  // action components beyond [-1, 1]
    double worst;         // the largest of their magnitudes
} Findings;

static void note_nonfinite(Findings* f, float value, const char* group, const char* name, int64_t row,
                           int column) {
    if (f->num_nonfinite++) return;
    snprintf(f->first, sizeof f->first, "dataset '%s%s' has %s at row %lld, column %d", group, name,
             isnan(value) ? "NaN" : "an infinite number", (long long)row, column);
}

// Which dataset float j of a record is from.
static const char* field_name(const UfDataset* d, int j, int* column) {
    *column = j;
    if (j < d->obs_dim) return "observations";
    *column = j -= d->obs_dim;
    if (j < d->action_dim) return "actions";
    *column = 0;
    j -= d->action_dim;
    return j == 0   ? "rewards"
           : j == 1 ? (d->is_minari ? "terminations" : "terminals")
                    : (d->is_minari ? "truncations" : "timeouts");
}

// Looks at every number of `count` records from `start`. `group` stands before dataset names ("episode_3/").
static void inspect(const UfDataset* d, int64_t start, int64_t count, const char* group, Findings* f) {
    int column;
    for (int64_t i = 0; i < count; i++) {
        const float* record = record_at(d, start + i);
        for (int j = 0; j < d->stride; j++)
            if (!isfinite(record[j])) {
                const char* name = field_name(d, j, &column);
                note_nonfinite(f, record[j], group, name, i, column);
            }
        for (int j = 0; j < d->action_dim; j++) {
            double size = fabs((double)record[d->obs_dim + j]);
            if (!(size > 1 + ACTION_TOLERANCE) || !isfinite(size)) continue;
            f->num_outside++;
            if (size > f->worst) f->worst = size;
        }
        for (int j = 0; d->next_obs && j < d->obs_dim; j++) {
            float value = d->next_obs[(start + i) * d->obs_dim + j];
            if (!isfinite(value)) note_nonfinite(f, value, group, "next_observations", i, j);
        }
    }
}

static UfStatus check_findings(const UfDataset* d, const Findings* f) {
    if (f->num_nonfinite)
        return UF_FAIL(UF_ERR_FORMAT, "%s: %s (%lld such numbers in all); remove these rows", label(d),
                       f->first, (long long)f->num_nonfinite);
    if (f->num_outside == 0 || d->is_distilled) return UF_OK;
    return UF_FAIL(UF_ERR_FORMAT,
                   "%s: %lld of %lld numbers in 'actions' are beyond [-1, 1], the worst is %g in size; %s",
                   label(d), (long long)f->num_outside, (long long)(d->num_records * d->action_dim), f->worst,
                   d->is_minari ? "is the metadata.json beside it, with the true bounds of the action space?"
                                : "divide them by the bound of the action space, as D4RL's files have it");
}

// ---- cutting into episodes ----

// Terminals and timeouts of any type become 0 and 1, that is MARK_NONE and MARK_TIMEOUT.
static void make_flags(const UfDataset* d, int64_t start, int64_t count) {
    for (int64_t i = start; i < start + count; i++) {
        float* record = record_at(d, i);
        *done_of(d, record) = *done_of(d, record) != 0;
        *mark_of(d, record) = *mark_of(d, record) != 0;
    }
}

// Without timeouts an episode is cut at the step limit of its task (0: none).
static void cut_at_limit(const UfDataset* d, int64_t limit) {
    int64_t step = 0;
    for (int64_t i = 0; i < d->num_records && limit > 0; i++) {
        float* record = record_at(d, i);
        bool last = ++step == limit;
        *mark_of(d, record) = last ? MARK_TIMEOUT : MARK_NONE;
        if (last || *done_of(d, record) != 0) step = 0;
    }
}

typedef struct Step {
    bool extra, done, timeout, ends, kept;
} Step;

// What record i is, as long as the marks of i and i + 1 are there. As in D4RL a row is dropped whose next
// state is not in the file: one cut by a timeout (even if terminal as well) and the last one. A stored next
// observation keeps it.
static Step step_at(const UfDataset* d, int64_t i) {
    float* record = record_at(d, i);
    bool last = i == d->num_records - 1;
    bool before_extra = !last && *mark_of(d, record + d->stride) == MARK_EXTRA;
    Step s = {.extra = *mark_of(d, record) == MARK_EXTRA};
    if (s.extra) return s;
    s.done = *done_of(d, record) != 0;
    s.timeout = *mark_of(d, record) == MARK_TIMEOUT;
    s.ends = s.done || s.timeout || last || before_extra;
    s.kept = d->next_obs || before_extra || (d->is_minari && !last) || (!s.timeout && !last);
    return s;
}

static UfStatus count_steps(UfDataset* d) {
    int64_t last_kept = -1;
    for (int64_t i = 0; i < d->num_records; i++) {
        Step s = step_at(d, i);
        if (s.extra) continue;
        d->num_terminals += s.done;
        d->num_timeouts += s.timeout;
        d->num_episodes += s.ends;
        d->unfinished_tail = s.ends && !s.done && !s.timeout;
        d->num_rows += s.kept;
        d->num_dropped += !s.kept;
        if (s.kept) last_kept = i;
    }
    if (d->num_rows == 0)
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: none of the %lld rows has a known next state; store next_observations", label(d),
                       (long long)d->num_records);
    if (last_kept >= d->num_rows) return UF_ALLOC(&d->rows, d->num_rows, "the list of rows");
    return UF_OK;  // rows are the records from the first on
}

// Fills rows, has_next and the facts of each episode. has_next is 0 at the end of an episode: after a
// terminal the next action does not matter; after a timeout or at the end of the file none is known, and the
// row's own action stands in.
static UfStatus cut_episodes(UfDataset* d) {
    UF_TRY(count_steps(d));
    UF_TRY(UF_ALLOC(&d->episode_returns, d->num_episodes, "returns"));
    UF_TRY(UF_ALLOC(&d->episode_lengths, d->num_episodes, "episode lengths"));
    int64_t row = 0, episode = 0, length = 0;
    double sum = 0;
    for (int64_t i = 0; i < d->num_records; i++) {
        Step s = step_at(d, i);
        float* record = record_at(d, i);
        *mark_of(d, record) = !s.extra && !s.ends;
        if (s.extra) continue;
        if (s.kept && d->rows) d->rows[row++] = i;
        sum += (double)*reward_of(d, record);
        length++;
        if (!s.ends) continue;
        d->episode_returns[episode] = (float)sum;
        d->episode_lengths[episode++] = length < INT32_MAX ? (int32_t)length : INT32_MAX;
        sum = 0;
        length = 0;
    }
    return UF_OK;
}

// ---- statistics ----

// Mean and standard deviation of each observation component over the rows: two passes, in order, in double.
UfStatus uf_dataset_measure(UfDataset* d) {
    size_t num = (size_t)d->obs_dim;
    double* sums = NULL;
    UF_TRY(UF_ALLOC(&d->obs_mean, num, "observation statistics"));
    UF_TRY(UF_ALLOC(&d->obs_std, num, "observation statistics"));
    UF_TRY(UF_ALLOC(&sums, 2 * num, "observation statistics"));
    double* squares = sums + num;
    for (int64_t row = 0; row < d->num_rows; row++) {
        const float* obs = uf_record(d, row);
        for (size_t j = 0; j < num; j++) sums[j] += (double)obs[j];
    }
    for (size_t j = 0; j < num; j++) sums[j] /= (double)d->num_rows;
    for (int64_t row = 0; row < d->num_rows; row++) {
        const float* obs = uf_record(d, row);
        for (size_t j = 0; j < num; j++) {
            double difference = (double)obs[j] - sums[j];
            squares[j] += difference * difference;
        }
    }
    for (size_t j = 0; j < num; j++) {
        d->obs_mean[j] = (float)sums[j];
        d->obs_std[j] = (float)sqrt(squares[j] / (double)d->num_rows);
    }
    uf_free(sums);
    return UF_OK;
}

// Statistics of the rows, where the file did not say by which others observations are normalised.
static UfStatus finish(UfDataset* d) {
    UF_TRY(cut_episodes(d));
    return d->norm_divisor ? UF_OK : uf_dataset_measure(d);
}

// ---- discrete actions ----

// A vector of actions holds numbers of kinds; columns are of continuous ones.
static UfStatus has_kinds(const UfH5* h5, const char* name, bool* kinds) {
    UfH5Shape shape;
    UF_TRY(uf_h5_shape(h5, name, &shape));
    *kinds = shape.rank == 1;
    return UF_OK;
}

// The numbers of a vector of actions (free with uf_free), and how many kinds they need at least.
static UfStatus read_kinds(const UfH5* h5, const char* name, int64_t rows, float** kinds, int* needed) {
    *kinds = NULL;
    UF_TRY(UF_ALLOC(kinds, rows, "actions"));
    UfStatus status = uf_h5_read_strided(h5, name, *kinds, rows, 1, 1);
    for (int64_t i = 0; i < rows && status == UF_OK; i++) {
        const float kind = (*kinds)[i];
        if (!(kind >= 0 && kind < MAX_KINDS && kind == floorf(kind)))
            status =
                UF_FAIL(UF_ERR_FORMAT,
                        "%s: dataset '%s' has %g at row %lld; a vector of actions holds numbers of discrete "
                        "ones, 0 to at most %d (continuous ones have the shape (rows, size))",
                        h5->path, name, (double)kind, (long long)i, MAX_KINDS - 1);
        else if (kind >= (float)*needed)
            *needed = (int)kind + 1;
    }
    if (status == UF_OK) return UF_OK;
    uf_free(*kinds);
    *kinds = NULL;
    return status;
}

// Rows that are one-hot at `kinds` in the records from `start` on.
static void set_kinds(const UfDataset* d, int64_t start, const float* kinds, int64_t count) {
    for (int64_t i = 0; i < count; i++) record_at(d, start + i)[d->obs_dim + (int)kinds[i]] = 1;
}

UfStatus uf_dataset_check_one_hot(const UfDataset* d) {
    for (int64_t row = 0; row < d->num_rows && !d->discrete; row++) {
        const float* action = uf_record(d, row) + d->obs_dim;
        int ones = 0, zeros = 0;
        for (int i = 0; i < d->action_dim; i++) {
            ones += action[i] == 1;
            zeros += action[i] == 0;
        }
        if (ones != 1 || zeros != d->action_dim - 1)
            return UF_FAIL(
                UF_ERR_CONFIG,
                "%s: the action of row %lld is not one-hot (its first number is %g), but the policy is "
                "for discrete actions; store their numbers as a vector, or set action_space to "
                "continuous",
                label(d), (long long)row, (double)action[0]);
    }
    return UF_OK;
}

// ---- D4RL files ----

// Rows and columns of a required dataset of `rank` dimensions; vectors may be (N) or (N, 1).
static UfStatus matrix_shape(const UfH5* h5, const char* name, int rank, int64_t* rows, int64_t* columns) {
    UfH5Shape shape;
    UF_TRY(uf_h5_shape(h5, name, &shape));
    *rows = shape.dims[0];
    *columns = shape.rank > 1 ? shape.dims[1] : 1;
    if (rank == 2 ? shape.rank == 2 : shape.rank == 1 || (shape.rank == 2 && *columns == 1)) return UF_OK;
    return UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' has %d dimensions, expected %s%s", h5->path, name,
                   shape.rank, rank == 2 ? "(rows, size)" : "one number a row",
                   shape.rank > 2 ? "; images are not read" : "");
}

static UfStatus check_rows(const UfH5* h5, const char* name, int64_t rows, const char* other,
                           int64_t other_rows) {
    if (rows == other_rows) return UF_OK;
    return UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' has %lld rows, '%s' has %lld; is the file complete?",
                   h5->path, name, (long long)rows, other, (long long)other_rows);
}

// One number a row into float `offset` of each record.
static UfStatus read_column(UfDataset* d, const UfH5* h5, const char* name, int offset) {
    int64_t rows, columns;
    UF_TRY(matrix_shape(h5, name, 1, &rows, &columns));
    UF_TRY(check_rows(h5, name, rows, "observations", d->num_records));
    return uf_h5_read_strided(h5, name, d->records + offset, rows, 1, d->stride);
}

static UfStatus read_next_observations(UfDataset* d, const UfH5* h5) {
    const char* name = "next_observations";
    int64_t rows, columns;
    UF_TRY(matrix_shape(h5, name, 2, &rows, &columns));
    UF_TRY(check_rows(h5, name, rows, "observations", d->num_records));
    if (columns != d->obs_dim)
        return UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' has %lld columns, 'observations' has %d", h5->path,
                       name, (long long)columns, d->obs_dim);
    UF_TRY(UF_ALLOC(&d->next_obs, rows * columns, name));
    return uf_h5_read_strided(h5, name, d->next_obs, rows, columns, columns);
}

static UfStatus check_required(const UfH5* h5) {
    static const char* const required[] = {"observations", "actions", "rewards", "terminals"};
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++)
        if (!uf_h5_exists(h5, required[i]))
            return UF_FAIL(UF_ERR_FORMAT,
                           "%s: there is no dataset '%s'; expected observations, actions, rewards and "
                           "terminals (zeros, where no episode ends by itself)",
                           h5->path, required[i]);
    return UF_OK;
}

static UfStatus set_env_id(UfDataset* d, const char* env_id) {
    UF_TRY(uf_strdup(&d->env_id, env_id));
    for (char* c = d->env_id; *c; c++)
        if ((unsigned char)*c < ' ') *c = '?';  // it comes from a file and goes into lines of text
    return UF_OK;
}

static UfStatus read_env_id(UfDataset* d, const UfH5* h5) {
    char* text = NULL;
    if (uf_h5_has_attribute(h5, "", "env_id")) UF_TRY(uf_h5_read_string(h5, "", "env_id", &text));
    UfStatus status = set_env_id(d, text ? text : "");
    uf_free(text);
    return status;
}

// What the data are of: the task asked for, else what the file says, else its name.
static const char* task_name(const UfDataset* d, const char* task) {
    return task && task[0] ? task : d->env_id[0] ? d->env_id : base_name(d->path);
}

// D4RL's Ant has 84 columns of contact forces that were never filled in; without them it is gymnasium's.
static void drop_padding(UfDataset* d, const char* task) {
    const UfEnvSpec* spec = uf_env_find(task_name(d, task));
    size_t old_obs = (size_t)d->obs_dim, old_stride = (size_t)d->stride;
    if (!spec || spec->padded_obs_dim != d->obs_dim) return;
    size_t obs = (size_t)spec->obs_dim, stride = old_stride - old_obs + obs, rows = (size_t)d->num_records;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = obs; j < old_obs; j++)
            if (d->records[i * old_stride + j] != 0 || (d->next_obs && d->next_obs[i * old_obs + j] != 0))
                return;
    for (size_t i = 0; i < rows; i++) {
        float* to = d->records + i * stride;
        const float* from = d->records + i * old_stride;
        memmove(to, from, obs * sizeof *to);
        memmove(to + obs, from + old_obs, (stride - obs) * sizeof *to);
        if (d->next_obs) memmove(d->next_obs + i * obs, d->next_obs + i * old_obs, obs * sizeof *to);
    }
    d->obs_dim = spec->obs_dim;
    d->stride = (int)stride;
}

// How many kinds of actions there are: as the file says, else as its environment has, else as many as occur.
static UfStatus count_kinds(const UfDataset* d, const UfH5* h5, const char* task, int needed,
                            int64_t* count) {
    static const char name[] = "num_actions";
    const UfEnvSpec* spec = uf_env_find(task_name(d, task));
    double said = 0;
    *count = spec && spec->discrete && spec->action_dim > needed ? spec->action_dim : needed;
    if (!uf_h5_has_attribute(h5, "", name)) return UF_OK;
    UF_TRY(uf_h5_read_number(h5, "", name, &said));
    if (!(said >= needed && said <= MAX_KINDS && said == floor(said)))
        return UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' is %g, but 'actions' has numbers up to %d",
                       h5->path, name, said, needed - 1);
    *count = (int64_t)said;
    return UF_OK;
}

// The step limit stands in for timeouts that are not there.
static int64_t step_limit(const UfDataset* d, const char* task) {
    return uf_task_max_steps(task_name(d, task));
}

// One number for each observation from a vector of the file.
static UfStatus read_norm(const UfDataset* d, const UfH5* h5, const char* name, float least, float** out) {
    UfH5Shape shape;
    UF_TRY(uf_h5_shape(h5, name, &shape));
    if (shape.rank != 1 || shape.count != d->obs_dim)
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: dataset '%s' has %lld numbers in %d dimensions, expected %d in one, as "
                       "'observations' has columns",
                       h5->path, name, (long long)shape.count, shape.rank, d->obs_dim);
    UF_TRY(UF_ALLOC(out, d->obs_dim, "observation statistics"));
    UF_TRY(uf_h5_read(h5, name, UF_H5_FLOAT, *out, d->obs_dim));
    for (int j = 0; j < d->obs_dim; j++)
        if (!isfinite((*out)[j]) || (*out)[j] < least)
            return UF_FAIL(UF_ERR_FORMAT,
                           "%s: dataset '%s' has %g for observation %d, expected a finite number%s", h5->path,
                           name, (double)(*out)[j], j, least > 0 ? " of 1e-6 or more" : "");
    return UF_OK;
}

// How the file wants its observations seen: (observation - mean) / divisor. Two rows have no statistics to speak of.
static UfStatus read_normalization(UfDataset* d, const UfH5* h5) {
    static const char mean[] = "normalization/mean", divisor[] = "normalization/divisor";
    const bool has_mean = uf_h5_exists(h5, mean), has_divisor = uf_h5_exists(h5, divisor);
    if (!has_mean && !has_divisor) return UF_OK;
    if (!has_mean || !has_divisor)
        return UF_FAIL(UF_ERR_FORMAT, "%s: there is a dataset '%s', but no '%s'; expected both or neither",
                       h5->path, has_mean ? mean : divisor, has_mean ? divisor : mean);
    UF_TRY(read_norm(d, h5, mean, -INFINITY, &d->obs_mean));
    UF_TRY(read_norm(d, h5, divisor, MIN_DIVISOR, &d->norm_divisor));
    UF_TRY(UF_ALLOC(&d->obs_std, d->obs_dim, "observation statistics"));
    // So that the sum of the two is the divisor, or the float beside it: no other obs_std comes nearer.
    for (int j = 0; j < d->obs_dim; j++) d->obs_std[j] = d->norm_divisor[j] - (float)UF_OBS_STD_EPS;
    return UF_OK;
}

// Actions of a distilled dataset are what a search found, within [-1, 1] or not.
static UfStatus read_kind(UfDataset* d, const UfH5* h5) {
    char* kind = NULL;
    if (!uf_h5_has_attribute(h5, "", "kind")) return UF_OK;
    UF_TRY(uf_h5_read_string(h5, "", "kind", &kind));
    d->is_distilled = !strcmp(kind, "distilled");
    uf_free(kind);
    return UF_OK;
}

static UfStatus read_d4rl(UfDataset* d, const UfH5* h5, const char* task, Findings* findings) {
    UfH5Shape shape;
    int64_t rows, action_rows, obs_dim, action_dim;
    float* kinds = NULL;
    int needed = 0;
    UF_TRY(check_required(h5));
    UF_TRY(matrix_shape(h5, "observations", 2, &rows, &obs_dim));
    UF_TRY(has_kinds(h5, "actions", &d->discrete));
    UF_TRY(matrix_shape(h5, "actions", d->discrete ? 1 : 2, &action_rows, &action_dim));
    UF_TRY(check_rows(h5, "actions", action_rows, "observations", rows));
    UF_TRY(uf_h5_shape(h5, "observations", &shape));
    d->file_item_bytes = (int)shape.item_bytes;
    d->has_timeouts = uf_h5_exists(h5, "timeouts");
    UF_TRY(read_env_id(d, h5));
    UF_TRY(read_kind(d, h5));
    if (d->discrete) {
        UF_TRY(read_kinds(h5, "actions", rows, &kinds, &needed));
        UfStatus status = count_kinds(d, h5, task, needed, &action_dim);
        if (status == UF_OK) status = set_dims(d, rows, obs_dim, action_dim);
        if (status == UF_OK) set_kinds(d, 0, kinds, rows);
        uf_free(kinds);
        UF_TRY(status);
    } else {
        UF_TRY(set_dims(d, rows, obs_dim, action_dim));
    }
    int offset = d->obs_dim + d->action_dim;  // small datasets first: their faults are found soonest
    UF_TRY(read_column(d, h5, "rewards", offset));
    UF_TRY(read_column(d, h5, "terminals", offset + 1));
    if (d->has_timeouts) UF_TRY(read_column(d, h5, "timeouts", offset + 2));
    UF_TRY(read_normalization(d, h5));
    if (!d->discrete)
        UF_TRY(uf_h5_read_strided(h5, "actions", d->records + d->obs_dim, rows, action_dim, d->stride));
    UF_TRY(uf_h5_read_strided(h5, "observations", d->records, rows, obs_dim, d->stride));
    if (uf_h5_exists(h5, "next_observations")) UF_TRY(read_next_observations(d, h5));
    drop_padding(d, task);
    inspect(d, 0, rows, "", findings);
    make_flags(d, 0, rows);
    if (!d->has_timeouts) cut_at_limit(d, step_limit(d, task));
    return UF_OK;
}

// ---- Minari files ----

// Python writes infinities and NaN as words that JSON does not have: numbers of the same length take their
// place.
static void plain_json(char* text) {
    for (char* c = text; (c = strstr(c, "Infinity")); c += 8) memcpy(c, "1e999   ", 8);
    for (char* c = text; (c = strstr(c, "NaN")); c += 3) memcpy(c, "0  ", 3);
}

// metadata.json as a tree; *out stays NULL if there is no such file.
static UfStatus read_metadata(const char* path, cJSON** out) {
    struct stat info;
    char* text = NULL;
    size_t bytes = 0;
    *out = NULL;
    if (stat(path, &info) != 0) return UF_OK;
    UF_TRY(uf_read_file(path, &text, &bytes));
    plain_json(text);
    *out = cJSON_Parse(text);
    uf_free(text);
    return *out ? UF_OK : UF_FAIL(UF_ERR_FORMAT, "%s: is not valid JSON", path);
}

// Minari keeps spaces and the environment as JSON inside strings.
static cJSON* parse_inner(const cJSON* metadata, const char* key) {
    const char* text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(metadata, key));
    return text ? cJSON_Parse(text) : NULL;
}

static bool is_discrete(const cJSON* space) {
    const char* type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(space, "type"));
    return type && !strcmp(type, "Discrete");
}

// A Discrete space of a number of kinds from 0 on.
static UfStatus check_kinds(const char* path, const cJSON* space) {
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(space, "n"),
                *start = cJSON_GetObjectItemCaseSensitive(space, "start");
    if (!cJSON_IsNumber(n) || !(n->valuedouble >= 1 && n->valuedouble <= MAX_KINDS) ||
        n->valuedouble != floor(n->valuedouble))
        return UF_FAIL(UF_ERR_FORMAT, "%s: the Discrete 'action_space' has no 'n' of 1 to %d", path,
                       MAX_KINDS);
    if (start && (!cJSON_IsNumber(start) || start->valuedouble != 0))
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: the Discrete 'action_space' does not start at 0; number actions from 0 on", path);
    return UF_OK;
}

static UfStatus check_space(const char* path, const char* key, const cJSON* space) {
    const char* type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(space, "type"));
    const cJSON* shape = cJSON_GetObjectItemCaseSensitive(space, "shape");
    if (!type) return UF_FAIL(UF_ERR_FORMAT, "%s: '%s' does not describe a space", path, key);
    if (!strcmp(key, "action_space") && is_discrete(space)) return check_kinds(path, space);
    if (strcmp(type, "Box"))
        return UF_FAIL(UF_ERR_FORMAT, "%s: '%s' is a %.40s space, expected a Box of one dimension%s", path,
                       key, type, strcmp(key, "action_space") ? "" : " or Discrete");
    if (cJSON_GetArraySize(shape) != 1)
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: '%s' is a Box of %d dimensions, expected one (images are not read)", path, key,
                       cJSON_GetArraySize(shape));
    return UF_OK;
}

// Keeps the bounds of the action space unless they are [-1, 1].
static UfStatus read_bounds(UfDataset* d, const char* path, const cJSON* space) {
    const cJSON* sides[2] = {cJSON_GetObjectItemCaseSensitive(space, "low"),
                             cJSON_GetObjectItemCaseSensitive(space, "high")};
    bool plain = true;
    for (int side = 0; side < 2; side++)
        if (cJSON_GetArraySize(sides[side]) != d->action_dim)
            return UF_FAIL(UF_ERR_FORMAT, "%s: 'action_space' has %d bounds, 'actions' has %d columns", path,
                           cJSON_GetArraySize(sides[side]), d->action_dim);
    UF_TRY(UF_ALLOC(&d->action_low, d->action_dim, "action bounds"));
    UF_TRY(UF_ALLOC(&d->action_high, d->action_dim, "action bounds"));
    for (int j = 0; j < d->action_dim; j++) {
        const cJSON *low = cJSON_GetArrayItem(sides[0], j), *high = cJSON_GetArrayItem(sides[1], j);
        d->action_low[j] = cJSON_IsNumber(low) ? (float)low->valuedouble : -INFINITY;
        d->action_high[j] = cJSON_IsNumber(high) ? (float)high->valuedouble : INFINITY;
        if (!isfinite(d->action_low[j]) || !isfinite(d->action_high[j]) ||
            !(d->action_low[j] < d->action_high[j]))
            return UF_FAIL(UF_ERR_FORMAT,
                           "%s: component %d of 'action_space' is bounded by %g and %g; finite bounds are "
                           "needed to scale actions to [-1, 1]",
                           path, j, (double)d->action_low[j], (double)d->action_high[j]);
        plain = plain && d->action_low[j] == -1 && d->action_high[j] == 1;
    }
    if (!plain) return UF_OK;
    uf_free(d->action_low);
    uf_free(d->action_high);
    d->action_low = d->action_high = NULL;
    return UF_OK;
}

static UfStatus use_metadata(UfDataset* d, const char* path, const cJSON* metadata) {
    cJSON* action_space = parse_inner(metadata, "action_space");
    cJSON* env_spec = parse_inner(metadata, "env_spec");
    const char* id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(env_spec, "id"));
    UfStatus status = is_discrete(action_space) ? UF_OK : read_bounds(d, path, action_space);
    if (status == UF_OK) status = set_env_id(d, id ? id : "");
    cJSON_Delete(action_space);
    cJSON_Delete(env_spec);
    return status;
}

// Refuses by name what this library does not learn from, before any of it is read.
static UfStatus check_metadata(const char* path, const cJSON* metadata) {
    static const char* const keys[] = {"observation_space", "action_space"};
    const char* format = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(metadata, "data_format"));
    if (format && strcmp(format, "hdf5"))
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: the data format is '%.40s', expected hdf5; write the dataset with "
                       "data_format=\"hdf5\"",
                       path, format);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        cJSON* space = parse_inner(metadata, keys[i]);
        UfStatus status = check_space(path, keys[i], space);
        cJSON_Delete(space);
        UF_TRY(status);
    }
    return UF_OK;
}

// "episode_12"; in natural order these are in time order.
static bool is_episode(const char* name) {
    size_t length = strlen(name);
    return length > 8 && length < 40 && !strncmp(name, "episode_", 8) &&
           strspn(name + 8, "0123456789") == length - 8;
}

typedef struct Member {
    char name[80];
} Member;
static Member member(const char* episode, const char* name) {
    Member m;
    snprintf(m.name, sizeof m.name, "%.40s/%.30s", episode, name);
    return m;
}

// Adds one episode's records (T + 1) to `*records`, and holds its dimensions against those of the first.
// Of discrete actions the kinds seen so far count.
static UfStatus size_episode(const UfH5* h5, const char* episode, int64_t* records, int64_t* obs_dim,
                             int64_t* action_dim, bool* kinds) {
    Member obs = member(episode, "observations"), actions = member(episode, "actions");
    int64_t obs_rows, rows, obs_columns, columns;
    bool discrete;
    UF_TRY(matrix_shape(h5, obs.name, 2, &obs_rows, &obs_columns));
    UF_TRY(has_kinds(h5, actions.name, &discrete));
    if (*records && discrete != *kinds)
        return UF_FAIL(UF_ERR_FORMAT, "%s: '%s' has %s actions, episodes before it do not", h5->path, episode,
                       discrete ? "discrete" : "continuous");
    *kinds = discrete;
    UF_TRY(matrix_shape(h5, actions.name, discrete ? 1 : 2, &rows, &columns));
    if (discrete) {
        float* numbers;
        int needed = (int)*action_dim;
        UF_TRY(read_kinds(h5, actions.name, rows, &numbers, &needed));
        uf_free(numbers);
        columns = *action_dim = needed;
    }
    if (obs_rows != rows + 1)
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: '%s' has %lld rows for %lld actions, expected one more; is the file complete?",
                       h5->path, obs.name, (long long)obs_rows, (long long)rows);
    if (*records && (obs_columns != *obs_dim || columns != *action_dim))
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: '%s' has %lld observation and %lld action columns, episodes before it %lld and "
                       "%lld",
                       h5->path, episode, (long long)obs_columns, (long long)columns, (long long)*obs_dim,
                       (long long)*action_dim);
    *obs_dim = obs_columns;
    *action_dim = columns;
    *records += obs_rows;
    return UF_OK;
}

static void scale_actions(const UfDataset* d, int64_t start, int64_t count) {
    for (int64_t i = start; i < start + count && d->action_low; i++) {
        float* action = record_at(d, i) + d->obs_dim;
        for (int j = 0; j < d->action_dim; j++) {
            double low = (double)d->action_low[j], high = (double)d->action_high[j];
            action[j] = (float)(2 * ((double)action[j] - low) / (high - low) - 1);
        }
    }
}

// T steps into T + 1 records from `*start` on; the last carries only its observation.
static UfStatus read_episode(UfDataset* d, const UfH5* h5, const char* episode, int64_t* start,
                             Findings* findings) {
    static const char* const vectors[] = {"rewards", "terminations", "truncations"};
    Member obs = member(episode, "observations"), actions = member(episode, "actions"),
           prefix = member(episode, "");
    int64_t steps, columns;
    UF_TRY(matrix_shape(h5, actions.name, d->discrete ? 1 : 2, &steps, &columns));
    float* record = record_at(d, *start);
    UF_TRY(uf_h5_read_strided(h5, obs.name, record, steps + 1, d->obs_dim, d->stride));
    if (d->discrete) {
        float* kinds;
        UF_TRY(read_kinds(h5, actions.name, steps, &kinds, &(int){0}));
        set_kinds(d, *start, kinds, steps);
        uf_free(kinds);
    } else {
        UF_TRY(uf_h5_read_strided(h5, actions.name, record + d->obs_dim, steps, d->action_dim, d->stride));
    }
    for (int i = 0; i < 3; i++)
        UF_TRY(uf_h5_read_strided(h5, member(episode, vectors[i]).name, reward_of(d, record) + i, steps, 1,
                                  d->stride));
    scale_actions(d, *start, steps);
    inspect(d, *start, steps + 1, prefix.name, findings);
    make_flags(d, *start, steps);
    *mark_of(d, record_at(d, *start + steps)) = MARK_EXTRA;
    *start += steps + 1;
    return UF_OK;
}

// How many kinds the space of actions has, where they are discrete.
static UfStatus use_kinds(const UfDataset* d, const char* path, const cJSON* metadata, int64_t* action_dim) {
    cJSON* space = parse_inner(metadata, "action_space");
    const bool discrete = is_discrete(space);
    const int64_t n =
        discrete ? (int64_t)cJSON_GetObjectItemCaseSensitive(space, "n")->valuedouble : *action_dim;
    cJSON_Delete(space);
    if (discrete != d->discrete)
        return UF_FAIL(UF_ERR_FORMAT, "%s: 'action_space' is %s, but the actions in the file are not", path,
                       discrete ? "Discrete" : "a Box");
    if (*action_dim > n)
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: 'action_space' has %lld actions, but the file has numbers up to %lld", path,
                       (long long)n, (long long)(*action_dim - 1));
    *action_dim = n;
    return UF_OK;
}

static UfStatus read_episodes(UfDataset* d, const UfH5* h5, char** names, int num_names,
                              const char* metadata_path, const cJSON* metadata, Findings* findings) {
    UfH5Shape shape;
    int64_t records = 0, obs_dim = 0, action_dim = 0, start = 0;
    if (metadata) UF_TRY(check_metadata(metadata_path, metadata));
    for (int i = 0; i < num_names; i++) {
        if (!is_episode(names[i])) continue;
        UF_TRY(size_episode(h5, names[i], &records, &obs_dim, &action_dim, &d->discrete));
        UF_TRY(uf_h5_shape(h5, member(names[i], "observations").name, &shape));
        d->file_item_bytes = (int)shape.item_bytes;
    }
    d->is_minari = d->has_timeouts = true;
    if (metadata) UF_TRY(use_kinds(d, metadata_path, metadata, &action_dim));
    UF_TRY(set_dims(d, records, obs_dim, action_dim));
    UF_TRY(metadata ? use_metadata(d, metadata_path, metadata) : set_env_id(d, ""));
    for (int i = 0; i < num_names; i++)
        if (is_episode(names[i])) UF_TRY(read_episode(d, h5, names[i], &start, findings));
    return UF_OK;
}

// Without metadata.json actions are used as they are.
static UfStatus read_minari(UfDataset* d, const UfH5* h5, char** names, int num_names, Findings* findings) {
    char path[PATH_BYTES + 16];
    cJSON* metadata = NULL;
    snprintf(path, sizeof path, "%.*smetadata.json", (int)(base_name(h5->path) - h5->path), h5->path);
    UF_TRY(read_metadata(path, &metadata));
    UfStatus status = read_episodes(d, h5, names, num_names, path, metadata, findings);
    cJSON_Delete(metadata);
    return status;
}

// ---- open ----

static bool is_folder(const char* path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool is_file(const char* path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

// The HDF5 file meant by a path, which may be a folder that Minari wrote or its `data`.
static UfStatus find_file(const char* path, char file[PATH_BYTES]) {
    static const char* const places[] = {"", "/data"};
    if (!path || !path[0]) return UF_FAIL(UF_ERR_ARGUMENT, "the path of a dataset is empty");
    if (strlen(path) + 32 > PATH_BYTES)
        return UF_FAIL(UF_ERR_ARGUMENT, "'%.64s...': the path is longer than %d bytes", path,
                       PATH_BYTES - 32);
    snprintf(file, PATH_BYTES, "%s", path);
    if (!is_folder(path)) return UF_OK;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(file, PATH_BYTES, "%s%s/main_data.hdf5", path, places[i]);
        if (is_file(file)) return UF_OK;
        cJSON* metadata = NULL;
        snprintf(file, PATH_BYTES, "%s%s/metadata.json", path, places[i]);
        UF_TRY(read_metadata(file, &metadata));
        UfStatus status = metadata ? check_metadata(file, metadata) : UF_OK;
        cJSON_Delete(metadata);
        UF_TRY(status);
    }
    return UF_FAIL(UF_ERR_IO,
                   "%s: is a folder without main_data.hdf5; expected an HDF5 file or a folder of Minari",
                   path);
}

static UfStatus read_any(UfDataset* d, const UfH5* h5, const char* task, Findings* findings) {
    char** names = NULL;
    int num_names = 0;
    bool minari = false;
    if (uf_h5_exists(h5, "observations")) return read_d4rl(d, h5, task, findings);
    UF_TRY(uf_h5_list(h5, "", &names, &num_names));
    for (int i = 0; i < num_names; i++) minari = minari || is_episode(names[i]);
    UfStatus status = minari ? read_minari(d, h5, names, num_names, findings) : check_required(h5);
    uf_h5_list_free(names, num_names);
    return status;
}

static UfStatus load(UfDataset* d, const char* path, const char* task, Findings* findings) {
    char file[PATH_BYTES];
    UfH5 h5;
    UF_TRY(find_file(path, file));
    UF_TRY(uf_strdup(&d->path, path));
    UF_TRY(uf_h5_open(&h5, file));
    UfStatus status = read_any(d, &h5, task, findings);
    H5Fclose(h5.file);  // read only: nothing can be lost, and a failure before keeps its sentence
    UF_TRY(status);
    return uf_sha256_file(file, d->hash);
}

UfStatus uf_dataset_open(UfDataset** out, const char* path, const char* task) {
    UfDataset* d = NULL;
    Findings findings = {0};
    if (!out) return UF_FAIL(UF_ERR_ARGUMENT, "uf_dataset_open: 'out' is null");
    *out = NULL;
    UF_TRY(UF_ALLOC(&d, 1, "a dataset"));
    UfStatus status = load(d, path, task, &findings);
    if (status == UF_OK) status = check_findings(d, &findings);
    if (status == UF_OK) status = finish(d);
    if (status == UF_OK)
        *out = d;
    else
        uf_dataset_free(d);
    return status;
}

// ---- arrays ----

static UfStatus check_arrays(const UfArrays* a) {
    const struct {
        const char* name;
        const void* data;
    } required[] = {{"observations", a->observations},
                    {"actions", a->actions},
                    {"rewards", a->rewards},
                    {"terminals", a->terminals}};
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++)
        if (!required[i].data)
            return UF_FAIL(UF_ERR_ARGUMENT, "uf_dataset_from_arrays: '%s' is null", required[i].name);
    if (a->num_rows < 1 || a->obs_dim < 1 || a->action_dim < 1)
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "uf_dataset_from_arrays: %lld rows, obs_dim %d, action_dim %d; expected at least 1 "
                       "each",
                       (long long)a->num_rows, a->obs_dim, a->action_dim);
    if (a->step_limit < 0)
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "uf_dataset_from_arrays: step_limit is %lld, expected 0 (none) or more",
                       (long long)a->step_limit);
    return UF_OK;
}

static UfStatus copy_arrays(UfDataset* d, const UfArrays* a) {
    size_t num_obs = (size_t)a->obs_dim, num_actions = (size_t)a->action_dim;
    UF_TRY(uf_strdup(&d->path, ""));
    UF_TRY(uf_strdup(&d->env_id, ""));
    UF_TRY(set_dims(d, a->num_rows, a->obs_dim, a->action_dim));
    d->file_item_bytes = sizeof(float);
    d->has_timeouts = a->timeouts != NULL;
    for (int64_t i = 0; i < a->num_rows; i++) {
        float* record = record_at(d, i);
        memcpy(record, a->observations + (size_t)i * num_obs, num_obs * sizeof *record);
        memcpy(record + num_obs, a->actions + (size_t)i * num_actions, num_actions * sizeof *record);
        *reward_of(d, record) = a->rewards[i];
        *done_of(d, record) = a->terminals[i] != 0;
        *mark_of(d, record) = a->timeouts && a->timeouts[i] ? MARK_TIMEOUT : MARK_NONE;
    }
    if (!a->next_observations) return UF_OK;
    UF_TRY(UF_ALLOC(&d->next_obs, a->num_rows * a->obs_dim, "next observations"));
    memcpy(d->next_obs, a->next_observations, (size_t)a->num_rows * num_obs * sizeof *d->next_obs);
    return UF_OK;
}

// Of the numbers as they lie here: equal arrays give equal hashes.
static void hash_arrays(UfDataset* d) {
    struct {
        char records[65], next_obs[65];
        int32_t obs_dim, action_dim;
    } parts;
    memset(&parts, 0, sizeof parts);
    parts.obs_dim = d->obs_dim;
    parts.action_dim = d->action_dim;
    uf_sha256(d->records, (size_t)d->num_records * (size_t)d->stride * sizeof *d->records, parts.records);
    if (d->next_obs)
        uf_sha256(d->next_obs, (size_t)d->num_records * (size_t)d->obs_dim * sizeof *d->next_obs,
                  parts.next_obs);
    uf_sha256(&parts, sizeof parts, d->hash);
}

UfStatus uf_dataset_from_arrays(UfDataset** out, const UfArrays* arrays) {
    UfDataset* d = NULL;
    Findings findings = {0};
    if (!out) return UF_FAIL(UF_ERR_ARGUMENT, "uf_dataset_from_arrays: 'out' is null");
    *out = NULL;
    if (!arrays) return UF_FAIL(UF_ERR_ARGUMENT, "uf_dataset_from_arrays: 'arrays' is null");
    UF_TRY(check_arrays(arrays));
    UF_TRY(UF_ALLOC(&d, 1, "a dataset"));
    UfStatus status = copy_arrays(d, arrays);
    if (status == UF_OK) {
        inspect(d, 0, d->num_records, "", &findings);
        status = check_findings(d, &findings);
    }
    if (status == UF_OK) {
        if (!d->has_timeouts) cut_at_limit(d, arrays->step_limit);
        status = finish(d);
        hash_arrays(d);
    }
    if (status == UF_OK)
        *out = d;
    else
        uf_dataset_free(d);
    return status;
}

// ---- info ----

// One line: quantiles and mean of values mapped by scale * (x - shift).
static void add_quantiles(UfText* text, const char* name, const double* sorted, int64_t n, double shift,
                          double scale) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += sorted[i];
    uf_text_add(text, "%-13s", name);
    for (int i = 0; i < 5; i++) {
        static const char* const titles[] = {"min", "25%", "median", "75%", "max"};
        uf_text_add(text, " %s %.6g ", titles[i], scale * (uf_quantile(sorted, n, 0.25 * i) - shift));
    }
    uf_text_add(text, " mean %.6g\n", scale * (sum / (double)n - shift));
}

// Returns, scores if the task is known, lengths.
static UfStatus describe_episodes(UfText* text, const UfDataset* d) {
    double *sorted = NULL, low, high;
    int64_t num_finite = 0;
    UF_TRY(UF_ALLOC(&sorted, d->num_episodes, "returns"));
    for (int64_t i = 0; i < d->num_episodes; i++)
        if (isfinite(d->episode_returns[i])) sorted[num_finite++] = (double)d->episode_returns[i];
    uf_sort(sorted, num_finite);
    if (num_finite) add_quantiles(text, "return", sorted, num_finite, 0, 1);
    if (num_finite && uf_task_scores(task_name(d, NULL), &low, &high))
        add_quantiles(text, "score", sorted, num_finite, low, 100 / (high - low));
    for (int64_t i = 0; i < d->num_episodes; i++) sorted[i] = d->episode_lengths[i];
    uf_sort(sorted, d->num_episodes);
    add_quantiles(text, "length", sorted, d->num_episodes, 0, 1);
    uf_free(sorted);
    return UF_OK;
}

static void describe_normalization(UfText* text, const UfDataset* d) {
    float least = INFINITY, most = 0;
    if (!d->norm_divisor) return;
    for (int j = 0; j < d->obs_dim; j++) {
        least = fminf(least, d->norm_divisor[j]);
        most = fmaxf(most, d->norm_divisor[j]);
    }
    uf_text_add(text, "normalised    as the file says, not by its rows: divisors %g to %g\n", (double)least,
                (double)most);
}

static UfStatus describe(UfText* text, const UfDataset* d, const Findings* f) {
    uf_text_add(text, "file          %s\n", d->path);
    uf_text_add(text, "layout        %s%s, float%d%s%s\n", d->is_distilled ? "distilled, " : "",
                d->is_minari ? "Minari" : "D4RL", 8 * d->file_item_bytes,
                d->next_obs ? ", next_observations" : "", d->has_timeouts ? "" : ", no timeouts");
    uf_text_add(text, "environment   %s\n", d->env_id[0] ? d->env_id : "not named in the file");
    uf_text_add(text, "observations  %d\n", d->obs_dim);
    describe_normalization(text, d);
    uf_text_add(text, "actions       %d%s\n", d->action_dim,
                d->discrete     ? " kinds"
                : d->action_low ? ", scaled to [-1, 1]"
                                : "");
    uf_text_add(text, "rows          %lld transitions, %lld more without a next state\n",
                (long long)d->num_rows, (long long)d->num_dropped);
    uf_text_add(text, "episodes      %lld%s: %lld terminals, %lld timeouts\n", (long long)d->num_episodes,
                d->unfinished_tail ? " (the last is unfinished)" : "", (long long)d->num_terminals,
                (long long)d->num_timeouts);
    if (!d->is_distilled)
        UF_TRY(describe_episodes(text, d));  // whose rows are no episodes, and have no rewards
    uf_text_add(text, "not finite    %lld numbers%s%s\n", (long long)f->num_nonfinite,
                f->num_nonfinite ? "; " : "", f->first);
    uf_text_add(text, "out of range  %lld numbers in actions beyond [-1, 1]", (long long)f->num_outside);
    if (f->num_outside)
        uf_text_add(text, ", the worst %g%s", f->worst, d->is_distilled ? " (as evolved)" : "");
    uf_text_add(text, "\nsha256        %s\n", d->hash);
    return UF_OK;
}

UfStatus uf_dataset_info(const char* path, char** text) {
    UfDataset* d = NULL;
    Findings findings = {0};
    UfText lines = {0};
    *text = NULL;
    UF_TRY(UF_ALLOC(&d, 1, "a dataset"));
    UfStatus status = load(d, path, NULL, &findings);
    if (status == UF_OK) status = cut_episodes(d);
    if (status == UF_OK) status = describe(&lines, d, &findings);
    uf_dataset_free(d);
    if (status == UF_OK) return uf_text_finish(&lines, text);
    uf_free(lines.data);
    return status;
}

// ---- writing ----

enum { GZIP = 4 };

// A matrix or a vector (rank 1) whose rows lie `stride` floats apart.
static UfStatus write_numbers(const UfH5* h5, const char* name, const float* data, int64_t rows, int columns,
                              int rank, int stride) {
    const int64_t dims[2] = {rows, columns};
    float* dense = NULL;
    if (stride == columns) return uf_h5_write(h5, name, UF_H5_FLOAT, data, rank, dims, GZIP, false);
    if (rank == 2) return uf_h5_write_strided(h5, name, data, rows, columns, stride, GZIP);
    UF_TRY(UF_ALLOC(&dense, rows, name));
    for (int64_t i = 0; i < rows; i++) dense[i] = data[i * stride];
    UfStatus status = uf_h5_write(h5, name, UF_H5_FLOAT, dense, 1, dims, GZIP, false);
    uf_free(dense);
    return status;
}

static UfStatus write_kinds(const UfH5* h5, const UfDatasetWriter* w) {
    const size_t stride = (size_t)(w->stride > 0 ? w->stride : w->action_dim);
    int32_t* kinds = NULL;
    UF_TRY(UF_ALLOC(&kinds, w->num_rows, "actions"));
    for (size_t i = 0; i < (size_t)w->num_rows; i++)
        while (kinds[i] < w->action_dim - 1 && w->actions[i * stride + (size_t)kinds[i]] == 0) kinds[i]++;
    UfStatus status = uf_h5_write(h5, "actions", UF_H5_INT32, kinds, 1, &w->num_rows, GZIP, false);
    uf_free(kinds);
    return status == UF_OK ? uf_h5_write_integer(h5, "", "num_actions", w->action_dim) : status;
}

static UfStatus write_arrays(const UfH5* h5, const UfDatasetWriter* w) {
    const struct {
        const char* name;
        const float* data;
        int columns, rank;
    } numbers[] = {{"observations", w->observations, w->obs_dim, 2},
                   {"actions", w->discrete ? NULL : w->actions, w->action_dim, 2},
                   {"rewards", w->rewards, 1, 1},
                   {"next_observations", w->next_observations, w->obs_dim, 2}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const int columns = numbers[i].columns;
        const bool strided = w->stride > 0 && numbers[i].data != w->next_observations;
        if (numbers[i].data)
            UF_TRY(write_numbers(h5, numbers[i].name, numbers[i].data, w->num_rows, columns, numbers[i].rank,
                                 strided ? w->stride : columns));
    }
    if (w->discrete) UF_TRY(write_kinds(h5, w));
    UF_TRY(uf_h5_write(h5, "terminals", UF_H5_UINT8, w->terminals, 1, &w->num_rows, GZIP, true));
    if (w->timeouts)
        UF_TRY(uf_h5_write(h5, "timeouts", UF_H5_UINT8, w->timeouts, 1, &w->num_rows, GZIP, true));
    if (w->seed) UF_TRY(uf_h5_write_integer(h5, "", "seed", (int64_t)*w->seed));
    if (w->env_id && w->env_id[0]) UF_TRY(uf_h5_write_string(h5, "", "env_id", w->env_id));
    if (w->recipe && w->recipe[0]) UF_TRY(uf_h5_write_string(h5, "", "recipe", w->recipe));
    if (w->norm_mean && w->norm_divisor) {
        const int64_t columns = w->obs_dim;
        UF_TRY(uf_h5_write(h5, "normalization/mean", UF_H5_FLOAT, w->norm_mean, 1, &columns, 0, false));
        UF_TRY(uf_h5_write(h5, "normalization/divisor", UF_H5_FLOAT, w->norm_divisor, 1, &columns, 0, false));
    }
    return w->write_more ? w->write_more(h5, w->context) : UF_OK;
}

// Written beside and renamed: a reader never sees a part.
UfStatus uf_dataset_write(const char* path, const UfDatasetWriter* arrays) {
    char temporary[PATH_BYTES];
    UfH5 h5;
    const UfDatasetWriter* w = arrays;
    if (!w->observations || !w->actions || !w->rewards || !w->terminals)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: a dataset needs observations, actions, rewards and terminals",
                       path);
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.tmp", path) >= sizeof temporary)
        return UF_FAIL(UF_ERR_ARGUMENT, "'%.64s...': the path is longer than %d bytes", path, PATH_BYTES - 5);
    UF_TRY(uf_h5_create(&h5, temporary));
    UfStatus status = write_arrays(&h5, w);
    UfStatus closed = status == UF_OK ? uf_h5_close(&h5) : UF_OK;
    if (status == UF_OK)
        status = closed;
    else
        H5Fclose(h5.file);  // the first failure keeps its sentence
    if (status == UF_OK) status = uf_commit_file(temporary, path);
    if (status != UF_OK) unlink(temporary);
    return status;
}
