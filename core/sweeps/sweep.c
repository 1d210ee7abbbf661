// sweep.c: see sweep.h.
//
// Why a sweep that was killed goes on: a policy's configuration depends on (sweep_seed, policy) alone, its run folder
// resumes by itself, a run is a row of the store once however often it is put there, and children are told to stop when
// the process that started them dies.
//
// Policies that may be members of one population form blocks, a process each. As a policy's bits do not depend on who
// trains beside it, and each has its own run folder, blocks are made anew of what is left each time.
//
// Rooms: drawing, plan, blocks, one policy, processes, end of a block, what is left, Slurm, API.
#include "core/sweeps/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>   // snprintf
#include <stdlib.h>  // qsort
#include <string.h>
#include <sys/file.h>   // flock
#include <sys/prctl.h>  // PR_SET_PDEATHSIG
#include <sys/wait.h>
#include <time.h>  // nanosleep
#include <unistd.h>

#include "core/agents/agent.h"
#include "core/data/dataset.h"
#include "core/philox.h"
#include "core/results/results.h"
#include "core/runs/run_folder.h"
#include "core/sweeps/population.h"
#include "core/sweeps/slurm.h"

enum { MAX_POLICIES = 100000, MAX_JOBS = 1024, SETTINGS_BYTES = 2048, STORED = 1, FAILED = 2 };

typedef struct Block {  // policies that train in one process: order[first, first + count)
    int first, count;
} Block;

typedef struct Job {
    pid_t process;  // 0: free
    Block block;
} Job;

// Policies that fit together.
typedef struct Shape {
    UfConfig* config;  // of the first
    int members;       // of a block
    int block, room;   // the last block, and how many more it takes
} Shape;

typedef struct Sweep {
    const UfSweepOptions* options;
    UfSweepResult* result;
    UfStore* store;
    int* choices;          // (policies, axes): indices into the values
    int total, num_ended;  // policies; those that have a result or failed
    int ended_now;         // by this process, or while it waited
    int* todo;             // (num_todo) policies that are left
    int num_todo;
    unsigned char* before;  // (policies) STORED: had a row in the store, FAILED: which was a failure
    bool draws_seed;        // no axis has it
    int* order;             // (policies that are left) in blocks
    Block* blocks;
    int num_blocks;
    Shape* shapes;
    int num_shapes;
    char hash[65];  // of the dataset
    int64_t dataset_rows;
    int obs_dim, action_dim;
    size_t dataset_bytes;
    char stem[UF_STRING_BYTES];  // the dataset's name
    int lock;
    double started;
    char array[UF_SLURM_ID_BYTES];  // id
    UfSlurmState seen;              // of the array
    Job jobs[MAX_JOBS];
} Sweep;

// ---- drawing ----

static int64_t num_combinations(const UfAxes* axes) {
    int64_t product = 1;
    for (int i = 0; i < axes->count; i++)
        if (__builtin_mul_overflow(product, (int64_t)axes->axes[i].num_values, &product)) return INT64_MAX;
    return product;
}

static void draw(const Sweep* s, int policy, int attempt, int* choice) {
    const UfAxes* axes = s->options->axes;
    for (int i = 0; i < axes->count; i++) {
        UfPhilox p = uf_philox(s->options->sweep_seed, UF_STREAM_SWEEP, (uint64_t)policy,
                               (uint64_t)attempt * UF_MAX_AXES + (uint64_t)i);
        choice[i] = (int)((uint64_t)p.v[0] * (uint64_t)axes->axes[i].num_values >> 32);
    }
}

static bool drawn_before(const Sweep* s, int policy) {
    const size_t n = (size_t)s->options->axes->count;
    for (int k = 0; k < policy; k++)
        if (!memcmp(s->choices + (size_t)k * n, s->choices + (size_t)policy * n, n * sizeof(int)))
            return true;
    return false;
}

// The last axis of the file moves fastest.
static void grid_point(const UfAxes* axes, int policy, int* choice) {
    for (int i = axes->count - 1; i >= 0; i--) {
        choice[i] = policy % axes->axes[i].num_values;
        policy /= axes->axes[i].num_values;
    }
}

static UfStatus draw_all(Sweep* s) {
    const UfSweepOptions* o = s->options;
    const int64_t combinations = num_combinations(o->axes), wanted = o->grid ? combinations : o->num_policies;
    s->draws_seed = !o->grid;
    for (int i = 0; i < o->axes->count; i++)
        if (!strcmp(o->axes->axes[i].param->name, "seed")) s->draws_seed = false;
    if (wanted < 1 || wanted > MAX_POLICIES)
        return UF_FAIL(UF_ERR_CONFIG, "a sweep of %" PRId64 " policies; expected 1 to %d", wanted,
                       MAX_POLICIES);
    if (!o->grid && !s->draws_seed && wanted > combinations)
        return UF_FAIL(UF_ERR_CONFIG,
                       "the axes, seed among them, have %" PRId64 " combinations, fewer than %" PRId64
                       " policies; give --grid, or more values",
                       combinations, wanted);
    s->total = s->result->num_policies = (int)wanted;
    UF_TRY(UF_ALLOC(&s->choices, (size_t)wanted * (size_t)o->axes->count + 1, "the plan of a sweep"));
    for (int policy = 0; policy < s->total; policy++) {
        int* choice = s->choices + (size_t)policy * (size_t)o->axes->count;
        if (o->grid) {
            grid_point(o->axes, policy, choice);
            continue;
        }
        int attempt = 0;
        do draw(s, policy, attempt++, choice);
        while (!s->draws_seed && drawn_before(s, policy));
    }
    return UF_OK;
}

// The configuration of a policy, and its axes as text.
static UfStatus policy_config(const Sweep* s, int policy, UfConfig** out, char settings[SETTINGS_BYTES]) {
    const UfAxes* axes = s->options->axes;
    const int* choice = s->choices + (size_t)policy * (size_t)axes->count;
    size_t n = 0;
    settings[0] = 0;
    UF_TRY(uf_config_create(out));
    **out = *s->options->config;
    UfStatus status = UF_OK;
    for (int i = 0; status == UF_OK && i < axes->count; i++) {
        const char *name = axes->axes[i].param->name, *value = axes->axes[i].values[choice[i]];
        status = uf_config_set(*out, name, value);
        if (n < SETTINGS_BYTES)
            n += (size_t)snprintf(settings + n, SETTINGS_BYTES - n, "%s%s=%s", n ? " " : "", name, value);
    }
    if (s->draws_seed) {
        char seed[32];
        snprintf(seed, sizeof seed, "%" PRId64, s->options->config->seed + policy);
        if (status == UF_OK) status = uf_config_set(*out, "seed", seed);
        if (n < SETTINGS_BYTES) snprintf(settings + n, SETTINGS_BYTES - n, "%sseed=%s", n ? " " : "", seed);
    }
    (*out)->num_threads = s->options->threads;
    memset((*out)->sbatch_options, 0, sizeof(*out)->sbatch_options);
    if (status == UF_OK) return UF_OK;
    uf_config_free(*out);
    *out = NULL;
    return status;
}

// ---- plan ----

static void path_of(const Sweep* s, int policy, const char* ending, char path[UF_PATH_BYTES]) {
    snprintf(path, UF_PATH_BYTES, "%s/policy_%04d%s", s->result->folder, policy, ending);
}

static void slurm_path(const Sweep* s, const char* name, char path[UF_PATH_BYTES]) {
    snprintf(path, UF_PATH_BYTES, "%s/slurm%s", s->result->folder, name);
}

// What makes this sweep and no other; how many policies are drawn and how fast is not part of it.
static UfStatus describe(const Sweep* s, char** out) {
    const UfSweepOptions* o = s->options;
    UfText text = {0};
    UfConfig config = *o->config;
    char* json;
    uf_config_forget_means(&config);
    UF_TRY(uf_config_json(&config, &json));
    uf_text_add(&text, "{\"sweep_seed\": %" PRIu64 ",\n\"grid\": %s,\n\"dataset_hash\": \"%s\",\n",
                o->grid ? 0 : o->sweep_seed, o->grid ? "true" : "false", s->hash);
    for (int i = 0; i < o->axes->count; i++) {
        const UfAxis* axis = &o->axes->axes[i];
        uf_text_add(&text, "\"axis %s\": [", axis->param->name);
        for (int k = 0; k < axis->num_values; k++)
            uf_text_add(&text, "%s\"%s\"", k ? ", " : "", axis->values[k]);
        uf_text_add(&text, "],\n");
    }
    uf_text_add(&text, "\"config\": %s}\n", json);
    uf_free(json);
    return uf_text_finish(&text, out);
}

// A line without its indentation, comma and end.
static const char* trimmed_line(const char* text, char line[UF_STRING_BYTES]) {
    text += strspn(text, " ");
    int length = (int)strcspn(text, "\n");
    if (length && text[length - 1] == ',') length--;
    snprintf(line, UF_STRING_BYTES, "%.*s", length, text);
    return line;
}

// The first line of one that is not the same in the other.
static UfStatus refuse_other(const char* path, const char* there, const char* now) {
    char a[UF_STRING_BYTES], b[UF_STRING_BYTES];
    while (*there && *now && !strcmp(trimmed_line(there, a), trimmed_line(now, b))) {
        there += strcspn(there, "\n") + (strchr(there, '\n') != NULL);
        now += strcspn(now, "\n") + (strchr(now, '\n') != NULL);
    }
    return UF_FAIL(UF_ERR_CONFIG,
                   "%s: describes another sweep: it has %s where this one has %s; give another --out", path,
                   trimmed_line(there, a), trimmed_line(now, b));
}

static UfStatus check_plan(const Sweep* s) {
    char path[UF_PATH_BYTES], *now = NULL, *there = NULL;
    size_t size;
    snprintf(path, sizeof path, "%s/sweep.json", s->result->folder);
    UF_TRY(describe(s, &now));
    UfStatus status = UF_OK;
    if (!uf_file_exists(path))
        status = uf_write_file(path, now, strlen(now));
    else if ((status = uf_read_file(path, &there, &size)) == UF_OK && strcmp(there, now))
        status = refuse_other(path, there, now);
    uf_free(now);
    uf_free(there);
    return status;
}

static UfStatus open_folder(Sweep* s) {
    const UfSweepOptions* o = s->options;
    char text[2 * UF_STRING_BYTES + 64];
    if (o->grid)
        snprintf(text, sizeof text, "runs/sweep_%s_%s_grid", o->config->algorithm, s->stem);
    else
        snprintf(text, sizeof text, "runs/sweep_%s_%s_%" PRIu64, o->config->algorithm, s->stem,
                 o->sweep_seed);
    const char* folder = o->out ? o->out : text;
    int length = snprintf(s->result->folder, sizeof s->result->folder, "%s", folder);
    if (length > UF_FOLDER_BYTES - 32)
        return UF_FAIL(UF_ERR_ARGUMENT, "%.64s...: the folder's name is too long", folder);
    length = o->store ? snprintf(s->result->store, sizeof s->result->store, "%s", o->store)
                      : snprintf(s->result->store, sizeof s->result->store, "%s/store.sqlite", folder);
    if (length >= (int)sizeof s->result->store)
        return UF_FAIL(UF_ERR_ARGUMENT, "%.64s...: the store's name is too long", s->result->store);
    UF_TRY(uf_make_folder(folder));
    if (o->is_task) return UF_OK;  // the plan keeps tasks apart
    s->lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->lock < 0) return UF_FAIL(UF_ERR_IO, "%s: cannot open the folder", folder);
    if (flock(s->lock, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return UF_FAIL(UF_ERR_IO, "%s: another sweep works in this folder; wait for it or stop it", folder);
    return UF_OK;
}

// Opens it once, before many processes do: its hash, and whether it can be read at all.
static UfStatus look_at_dataset(Sweep* s) {
    const UfConfig* c = s->options->config;
    uf_file_stem(c->online ? c->env : c->dataset, s->stem, sizeof s->stem);
    if (c->online) return UF_OK;
    if (!c->dataset[0])
        return UF_FAIL(UF_ERR_CONFIG, "dataset: is empty; name an HDF5 file with --dataset FILE");
    UfDataset* dataset;
    UF_TRY(uf_dataset_open(&dataset, c->dataset, c->env[0] ? c->env : NULL));
    memcpy(s->hash, dataset->hash, sizeof s->hash);
    s->dataset_rows = dataset->num_records;
    s->obs_dim = dataset->obs_dim;
    s->action_dim = dataset->action_dim;
    s->dataset_bytes = (size_t)dataset->num_records *
                       (size_t)(dataset->stride + (dataset->next_obs ? dataset->obs_dim : 0)) * sizeof(float);
    uf_dataset_free(dataset);
    return UF_OK;
}

// One that contradicts itself fails when its turn comes; but if all of them do, nothing is started.
static UfStatus check_some(const Sweep* s) {
    UfStatus status = UF_OK;
    for (int policy = 0; policy < s->total; policy++) {
        UfConfig* config;
        char settings[SETTINGS_BYTES];
        UF_TRY(policy_config(s, policy, &config, settings));
        status = uf_config_check(config);
        uf_config_free(config);
        if (status == UF_OK) return UF_OK;
    }
    return status;
}

static void say(const Sweep* s, const UfSweepEvent* event) {
    if (s->options->on_progress) s->options->on_progress(s->options->user, event);
}

static void announce(const Sweep* s, int num_before) {
    const UfAxes* axes = s->options->axes;
    UfText text = {0};
    char* line;
    uf_text_add(&text, "%d policies%s", s->total, s->options->grid ? ", the full grid" : "");
    for (int i = 0; i < axes->count; i++)
        uf_text_add(&text, "%s%s (%d)", i ? " x " : ": ", axes->axes[i].param->name,
                    axes->axes[i].num_values);
    if (num_before) uf_text_add(&text, "; %d ended before", num_before);
    if (s->options->is_task)
        uf_text_add(&text, "; block %d, in %s", s->options->block, s->result->folder);
    else if (s->options->task)
        uf_text_add(&text, "; %d task%s for Slurm, in %s", s->num_blocks, s->num_blocks == 1 ? "" : "s",
                    s->result->folder);
    else if (s->options->population == 1)
        uf_text_add(&text, "; %d at a time, in %s", s->options->jobs, s->result->folder);
    else
        uf_text_add(&text, "; %d block%s of %d shape%s, %d at a time, in %s", s->num_blocks,
                    s->num_blocks == 1 ? "" : "s", s->num_shapes, s->num_shapes == 1 ? "" : "s",
                    s->options->jobs, s->result->folder);
    if (uf_text_finish(&text, &line) != UF_OK) return;
    say(s, &(UfSweepEvent){.text = line});
    uf_free(line);
}

// ---- blocks ----

static UfStatus size_blocks(const Sweep* s, Shape* shape) {
    UfPopulationChoice choice;
    char text[400];
    shape->members = s->options->population;
    if (shape->members) return UF_OK;
    const int threads = s->options->threads ? s->options->threads : uf_num_cores();
    UF_TRY(uf_population_choose(&choice, shape->config, s->obs_dim, s->action_dim, s->dataset_bytes, threads,
                                s->options->task ? 1 : s->options->jobs));
    shape->members = choice.members;
    snprintf(text, sizeof text, "population: %s", choice.why);
    say(s, &(UfSweepEvent){.text = text});
    return UF_OK;
}

// The shape of a configuration, which it takes over if it is the first. NULL: of a policy that trains alone.
static UfStatus find_shape(Sweep* s, UfConfig** config, Shape** shape) {
    *shape = NULL;
    if (s->options->population == 1 || (*config)->online || uf_config_check(*config) != UF_OK) return UF_OK;
    for (Shape* other = s->shapes; other < s->shapes + s->num_shapes && !*shape; other++)
        if (uf_config_fit_together(other->config, *config) == UF_OK) *shape = other;
    if (*shape) return UF_OK;
    *shape = &s->shapes[s->num_shapes++];
    **shape = (Shape){.config = *config};
    *config = NULL;
    return size_blocks(s, *shape);
}

// The block of a policy: the open one of its shape, or a new one.
static UfStatus place(Sweep* s, int policy, int* block) {
    char settings[SETTINGS_BYTES];
    UfConfig* config;
    Shape* shape;
    UF_TRY(policy_config(s, policy, &config, settings));
    UfStatus status = find_shape(s, &config, &shape);
    uf_config_free(config);
    UF_TRY(status);
    const bool fresh = !shape || !shape->room;
    *block = fresh ? s->num_blocks++ : shape->block;
    s->blocks[*block].count++;
    if (!shape) return UF_OK;
    shape->room = (fresh ? shape->members : shape->room) - 1;
    shape->block = *block;
    return UF_OK;
}

static UfStatus make_blocks(Sweep* s) {
    const int* todo = s->todo;
    const int num_todo = s->num_todo;
    int* block_of;
    UF_TRY(UF_ALLOC(&s->order, num_todo + 1, "the plan of a sweep"));
    UF_TRY(UF_ALLOC(&s->blocks, num_todo + 1, "the plan of a sweep"));
    UF_TRY(UF_ALLOC(&s->shapes, num_todo + 1, "the plan of a sweep"));
    UF_TRY(UF_ALLOC(&block_of, num_todo + 1, "the plan of a sweep"));
    UfStatus status = UF_OK;
    for (int i = 0; i < num_todo && status == UF_OK; i++) status = place(s, todo[i], &block_of[i]);
    for (int b = 1; b < s->num_blocks; b++)
        s->blocks[b].first = s->blocks[b - 1].first + s->blocks[b - 1].count;
    for (int b = 0; b < s->num_blocks; b++) s->blocks[b].count = 0;
    for (int i = 0; i < num_todo && status == UF_OK; i++) {
        Block* block = &s->blocks[block_of[i]];
        s->order[block->first + block->count++] = todo[i];
    }
    uf_free(block_of);
    return status;
}

// ---- one policy ----

static void say_end(Sweep* s, int policy, const char* failure, double mean_score, double mean_return) {
    char settings[SETTINGS_BYTES];
    UfConfig* config;
    if (policy_config(s, policy, &config, settings) != UF_OK) return;
    uf_config_free(config);
    double elapsed = uf_now() - s->started;
    say(s, &(UfSweepEvent){.policy = policy,
                           .done = s->num_ended,
                           .total = s->total,
                           .settings = settings,
                           .failure = failure,
                           .mean_score = mean_score,
                           .mean_return = mean_return,
                           .seconds_left = elapsed / s->ended_now * (s->total - s->num_ended)});
}

static double mean_of(const double* x, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; x && i < count; i++) sum += x[i];
    return x && count ? sum / (double)count : NAN;
}

static UfStatus record_failure(Sweep* s, int policy, const char* sentence) {
    char folder[UF_PATH_BYTES], settings[SETTINGS_BYTES];
    UfConfig* config;
    path_of(s, policy, "", folder);
    UF_TRY(policy_config(s, policy, &config, settings));
    UfStoreRow row = {.algorithm = config->algorithm,
                      .dataset = s->stem,
                      .dataset_hash = s->hash,
                      .env = config->env,
                      .version = (char*)(uintptr_t)uf_version(),
                      .source = folder,
                      .message = (char*)(uintptr_t)sentence,
                      .dataset_rows = s->dataset_rows,
                      .seed = config->seed,
                      .num_updates = config->num_updates,
                      .seconds = NAN};
    UfStatus status = uf_config_json(config, &row.config);
    if (status == UF_OK) status = uf_store_put(s->store, &row);
    uf_free(row.config);
    uf_config_free(config);
    s->result->num_failed += status == UF_OK;
    return status;
}

// Puts the result of a finished run into the store.
static UfStatus record_result(Sweep* s, int policy, UfStoreRow* row) {
    char folder[UF_PATH_BYTES];
    bool failed = false;
    path_of(s, policy, "", folder);
    UF_TRY(uf_results_put_run(s->store, folder, row, &failed));
    ++*(failed ? &s->result->num_failed : &s->result->num_done);
    return UF_OK;
}

// ---- processes ----

// One that still saves, of a sweep that was killed, holds the run folder's lock.
static void wait_for(const Sweep* s, int policy) {
    char folder[UF_PATH_BYTES];
    path_of(s, policy, "", folder);
    int lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0) return;
    flock(lock, LOCK_EX);
    close(lock);
}

// What the child does between fork and exec. Children of a process that dies stop.
static void become_run(const Sweep* s, pid_t parent, Block block, const char* output,
                       char* const* arguments) {
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGUSR1, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(1);
    close(s->lock);  // a sweep that is started anew does not wait for this
    for (int i = 0; i < block.count; i++) wait_for(s, s->order[block.first + i]);
    int null = open("/dev/null", O_RDONLY), out = open(output, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (null < 0 || out < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0) _exit(1);
    execv(s->options->program, arguments);
    dprintf(2, "error: %s: cannot be run: %s\n", s->options->program, strerror(errno));
    _exit(1);
}

static UfStatus write_policy(const Sweep* s, int policy, const char* path) {
    char settings[SETTINGS_BYTES], *json = NULL;
    UfConfig* config;
    UF_TRY(policy_config(s, policy, &config, settings));
    UfStatus status = uf_config_json(config, &json);
    uf_config_free(config);
    if (status == UF_OK) status = uf_write_file(path, json, strlen(json));
    uf_free(json);
    return status;
}

static UfStatus start_process(Sweep* s, Job* job, Block block, char* const* arguments) {
    char output[UF_PATH_BYTES];
    path_of(s, s->order[block.first], ".txt", output);
    pid_t parent = getpid(), process = fork();
    if (process < 0) return UF_FAIL(UF_ERR_IO, "cannot start a process: %s", strerror(errno));
    if (!process) become_run(s, parent, block, output, arguments);
    *job = (Job){process, block};
    return UF_OK;
}

// Several configurations in one process go on by the command that began.
static UfStatus start(Sweep* s, Job* job, Block block) {
    char(*configs)[UF_PATH_BYTES], folder[UF_PATH_BYTES], threads[16];
    char** arguments;
    int n = 0;
    path_of(s, s->order[block.first], "", folder);
    snprintf(threads, sizeof threads, "%d", s->options->threads);
    UF_TRY(UF_ALLOC(&configs, block.count, "names of configurations"));
    UfStatus status = UF_ALLOC(&arguments, block.count + 8, "arguments of a process");
    for (int i = 0; i < block.count && status == UF_OK; i++) {
        path_of(s, s->order[block.first + i], ".json", configs[i]);
        status = write_policy(s, s->order[block.first + i], configs[i]);
    }
    if (status == UF_OK) {
        const bool resumes = block.count == 1 && uf_has_file(folder, "config.json");
        arguments[n++] = "unifloral";
        arguments[n++] = "train";
        for (int i = 0; i < block.count && !resumes; i++) arguments[n++] = configs[i];
        arguments[n++] = resumes ? "--resume" : "--out";
        arguments[n++] = block.count == 1 ? folder : s->result->folder;
        arguments[n++] = "--threads";
        arguments[n++] = threads;
        arguments[n++] = "--quiet";
        status = start_process(s, job, block, arguments);
    }
    uf_free(arguments);
    uf_free(configs);
    return status;
}

static bool asked_to_stop(const Sweep* s) { return s->options->stop && *s->options->stop; }

// ---- end of a block ----

// The sentence in what a process said: of its own, or of one of its runs.
static bool find_sentence(const char* said, const char* folder, char* sentence, size_t bytes) {
    char begin[UF_PATH_BYTES + 16];
    snprintf(begin, sizeof begin, folder ? "error: %s: " : "error: ", folder);
    for (const char* line = said; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, begin, strlen(begin))) continue;
        line += strlen(begin);
        snprintf(sentence, bytes, "%.*s", (int)strcspn(line, "\n"), line);
        return true;
    }
    return false;
}

// Why a policy of a block has no result, from the output of the block's process, or how that ended. false: it has one.
static bool read_failure(const Sweep* s, Block block, int policy, int status, char* sentence, size_t bytes) {
    char path[UF_PATH_BYTES], folder[UF_PATH_BYTES], *said = NULL;
    size_t size;
    path_of(s, policy, "", folder);
    path_of(s, s->order[block.first], ".txt", path);
    if (WIFSIGNALED(status))
        snprintf(sentence, bytes, "killed by signal %d; see %s", WTERMSIG(status), path);
    else
        snprintf(sentence, bytes, "exit status %d; see %s", WEXITSTATUS(status), path);
    if (uf_read_file(path, &said, &size) != UF_OK) said = NULL;
    const bool several = block.count > 1, done = several && uf_has_file(folder, "final.h5");
    const bool told = said && find_sentence(said, several ? folder : NULL, sentence, bytes);
    if (said && !told && !done) find_sentence(said, NULL, sentence, bytes);
    uf_free(said);
    return told || !done;
}

static UfStatus finish_policy(Sweep* s, Block block, int policy, int status) {
    char sentence[1024];
    UfStoreRow row = {0};
    s->num_ended++;
    s->ended_now++;
    const bool ended_well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!ended_well && read_failure(s, block, policy, status, sentence, sizeof sentence)) {
        UF_TRY(record_failure(s, policy, sentence));
        say_end(s, policy, sentence, NAN, NAN);
        return UF_OK;
    }
    UF_TRY(record_result(s, policy, &row));
    say_end(s, policy, row.message[0] ? row.message : NULL, mean_of(row.scores, row.num_episodes),
            mean_of(row.returns, row.num_episodes));
    uf_store_row_free(&row);
    return UF_OK;
}

static UfStatus finish(Sweep* s, Block block, int status) {
    for (int i = 0; i < block.count; i++) UF_TRY(finish_policy(s, block, s->order[block.first + i], status));
    return UF_OK;
}

static void pause_a_moment(void) { nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); }

static bool was_stopped(int status) { return WIFSIGNALED(status) || WEXITSTATUS(status) > 128; }

// Takes note of the processes that have ended. While the sweep stops, one that did not end well was stopped. The signal
// may have gone to both, and the process may have been faster.
static UfStatus reap(Sweep* s, bool stopping, int* num_running) {
    UfStatus result = UF_OK;
    *num_running = 0;
    for (int i = 0; i < s->options->jobs; i++) {
        Job* job = &s->jobs[i];
        int status;
        if (!job->process) continue;
        pid_t ended = waitpid(job->process, &status, WNOHANG);
        if (ended == 0 || (ended < 0 && errno == EINTR)) {
            ++*num_running;
            continue;
        }
        job->process = 0;
        if (ended < 0) status = 255 << 8;
        if (was_stopped(status) && !stopping) pause_a_moment();
        if ((was_stopped(status) && (stopping || asked_to_stop(s))) || result != UF_OK) continue;
        result = finish(s, job->block, status);
    }
    return result;
}

// A process ends at once at the second signal of a kind, and Ctrl-C or scancel may have sent it the one that came here.
static UfStatus stop_all(Sweep* s) {
    int num_running;
    UfStatus status = UF_OK;
    const int signal = s->options->stop && *s->options->stop == SIGTERM ? SIGUSR1 : SIGTERM;
    for (int i = 0; i < s->options->jobs; i++)
        if (s->jobs[i].process) kill(s->jobs[i].process, signal);
    do {
        UfStatus reaped = reap(s, true, &num_running);
        if (status == UF_OK) status = reaped;
        if (num_running) pause_a_moment();
    } while (num_running);
    return status;
}

static UfStatus run_blocks(Sweep* s) {
    int next = 0, num_running = 0;
    while (next < s->num_blocks || num_running) {
        if (asked_to_stop(s)) {
            UF_TRY(stop_all(s));
            return UF_FAIL(UF_ERR_STOPPED, "%s: stopped with %d of %d policies", s->result->folder,
                           s->num_ended, s->total);
        }
        UF_TRY(reap(s, false, &num_running));
        for (int i = 0; i < s->options->jobs && next < s->num_blocks; i++) {
            if (s->jobs[i].process) continue;
            UF_TRY(start(s, &s->jobs[i], s->blocks[next++]));
            num_running++;
        }
        if (num_running) pause_a_moment();
    }
    return UF_OK;
}

// ---- what is left ----

// The policies of a block by the plan of an array: a line a block.
static UfStatus read_block(Sweep* s) {
    char path[UF_PATH_BYTES], *plan = NULL;
    size_t size;
    slurm_path(s, "/plan", path);
    if (uf_file_exists(path)) UF_TRY(uf_read_file(path, &plan, &size));
    const char* line = plan;
    for (int i = 0; i < s->options->block && line; i++)
        line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL;
    for (char* end; line && *line && *line != '\n'; line = end + (*end == ' ')) {
        const long policy = strtol(line, &end, 10);
        if (end == line || policy < 0 || policy >= s->total || s->num_todo == s->total) break;
        s->todo[s->num_todo++] = (int)policy;
    }
    const bool whole = line && *line == '\n' && s->num_todo;
    uf_free(plan);
    if (!whole)
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: has no block %d of these policies; only tasks that --slurm submits take --block",
                       path, s->options->block);
    s->total = s->num_todo;  // for this process
    return UF_OK;
}

static UfStatus list_policies(Sweep* s) {
    UF_TRY(UF_ALLOC(&s->todo, s->total + 1, "the plan of a sweep"));
    if (s->options->is_task) return read_block(s);
    for (int policy = 0; policy < s->total; policy++) s->todo[s->num_todo++] = policy;
    return UF_OK;
}

// The policy of this sweep that a row of the store is of. -1: none.
static int policy_of(const Sweep* s, const UfStoreRow* row) {
    char folder[UF_PATH_BYTES], *end;
    const size_t length = (size_t)snprintf(folder, sizeof folder, "%s/policy_", s->result->folder);
    if (strncmp(row->source, folder, length)) return -1;
    const long policy = strtol(row->source + length, &end, 10);
    return end > row->source + length && !*end && policy >= 0 && policy < s->result->num_policies
               ? (int)policy
               : -1;
}

static UfStatus note_rows(Sweep* s) {
    UfStoreRows rows;
    UF_TRY(UF_ALLOC(&s->before, s->result->num_policies + 1, "the plan of a sweep"));
    UF_TRY(uf_store_rows(s->store, NULL, 0, &rows));
    for (int i = 0; i < rows.count; i++) {
        const int policy = policy_of(s, &rows.rows[i]);
        if (policy >= 0) s->before[policy] |= rows.rows[i].message[0] ? STORED | FAILED : STORED;
    }
    uf_store_rows_free(&rows);
    return UF_OK;
}

// What is left to do. Results of finished runs go into the store again: the process may have died just before.
static UfStatus find_todo(Sweep* s) {
    const int num_policies = s->num_todo;
    UF_TRY(note_rows(s));
    s->num_todo = 0;
    for (int i = 0; i < num_policies; i++) {
        const int policy = s->todo[i];
        const bool failed = s->before[policy] & FAILED;
        char folder[UF_PATH_BYTES];
        path_of(s, policy, "", folder);
        if (!(failed ? !s->options->retry : uf_has_file(folder, "final.h5"))) {
            s->todo[s->num_todo++] = policy;
            continue;
        }
        s->num_ended++;
        if (failed)
            s->result->num_failed++;
        else
            UF_TRY(record_result(s, policy, NULL));
    }
    return UF_OK;
}

// ---- Slurm ----

static UfStatus write_plan(const Sweep* s) {
    char path[UF_PATH_BYTES], *text;
    UfText plan = {0};
    slurm_path(s, "/plan", path);
    for (int b = 0; b < s->num_blocks; b++)
        for (int i = 0; i < s->blocks[b].count; i++)
            uf_text_add(&plan, "%d%c", s->order[s->blocks[b].first + i],
                        i + 1 < s->blocks[b].count ? ' ' : '\n');
    UF_TRY(uf_text_finish(&plan, &text));
    UfStatus status = uf_write_file(path, text, strlen(text));
    uf_free(text);
    return status;
}

static UfStatus submit_tasks(Sweep* s, const int* tasks) {
    char logs[UF_PATH_BYTES], script[UF_PATH_BYTES], job[UF_PATH_BYTES], here[4096], text[128];
    slurm_path(s, "", logs);
    slurm_path(s, "/array.sh", script);
    slurm_path(s, "/job", job);
    if (!getcwd(here, sizeof here)) return UF_FAIL(UF_ERR_IO, "the current folder: %s", strerror(errno));
    const UfSlurmArray array = {.name = uf_file_name(s->result->folder),
                                .script = script,
                                .log_folder = logs,
                                .work_folder = here,
                                .command = s->options->task,
                                .tasks = tasks,
                                .num_tasks = s->num_blocks,
                                .max_running = s->options->jobs,
                                .cores = s->options->threads,
                                .grace_seconds = 60,
                                .options = s->options->config->sbatch_options};
    UF_TRY(uf_slurm_submit(&array, s->array));
    UfStatus status = uf_write_file(job, s->array, strlen(s->array));
    if (status != UF_OK) {  // nobody would wait for it
        char* why = NULL;
        UfStatus kept = uf_strdup(&why, uf_error());
        uf_slurm_cancel(s->array);
        status = kept == UF_OK ? UF_FAIL(status, "%s", why) : kept;
        uf_free(why);
        return status;
    }
    snprintf(text, sizeof text, "job %s of Slurm; Ctrl-C leaves it running", s->array);
    say(s, &(UfSweepEvent){.text = text});
    return UF_OK;
}

static UfStatus submit(Sweep* s) {
    char folder[UF_PATH_BYTES];
    int* tasks;
    slurm_path(s, "", folder);
    UF_TRY(uf_make_folder(folder));
    UF_TRY(write_plan(s));
    UF_TRY(UF_ALLOC(&tasks, s->num_blocks, "tasks"));
    for (int b = 0; b < s->num_blocks; b++) tasks[b] = b;
    UfStatus status = submit_tasks(s, tasks);
    uf_free(tasks);
    return status;
}

// Whether a row says that a policy has ended. One that was there before says nothing until the array is over.
static bool is_end(const Sweep* s, const UfStoreRow* row, int policy, bool over) {
    char folder[UF_PATH_BYTES];
    path_of(s, policy, "", folder);
    return !(s->before[policy] & STORED) || (over && (row->message[0] || uf_has_file(folder, "final.h5")));
}

static void say_row(Sweep* s, int policy, const UfStoreRow* row) {
    s->num_ended++;
    s->ended_now++;
    ++*(row->message[0] ? &s->result->num_failed : &s->result->num_done);
    say_end(s, policy, row->message[0] ? row->message : NULL, mean_of(row->scores, row->num_episodes),
            mean_of(row->returns, row->num_episodes));
}

// Strikes the policies off the list that have ended by the store, and says so.
static UfStatus strike_ended(Sweep* s, bool over) {
    UfStoreRows rows;
    const UfStoreRow** of;
    int num_left = 0;
    UF_TRY(uf_store_rows(s->store, NULL, 0, &rows));
    UfStatus status = UF_ALLOC(&of, s->result->num_policies + 1, "rows of policies");
    for (int i = 0; status == UF_OK && i < rows.count; i++) {
        const int policy = policy_of(s, &rows.rows[i]);
        if (policy >= 0 && is_end(s, &rows.rows[i], policy, over)) of[policy] = &rows.rows[i];
    }
    for (int i = 0; status == UF_OK && i < s->num_todo; i++) {
        const int policy = s->todo[i];
        if (of[policy])
            say_row(s, policy, of[policy]);
        else
            s->todo[num_left++] = policy;
    }
    if (status == UF_OK) s->num_todo = num_left;
    uf_free(of);
    uf_store_rows_free(&rows);
    return status;
}

static UfStatus forget_array(const Sweep* s) {
    char job[UF_PATH_BYTES];
    slurm_path(s, "/job", job);
    return unlink(job) ? UF_FAIL(UF_ERR_IO, "%s: cannot be removed: %s", job, strerror(errno)) : UF_OK;
}

static UfStatus on_poll(void* user, const UfSlurmState* state) {
    Sweep* s = user;
    if (!state->num_running && state->num_pending && strcmp(state->reason, s->seen.reason)) {
        char text[128];
        snprintf(text, sizeof text, "no task runs, %d wait: %s", state->num_pending, state->reason);
        if (strcmp(state->reason, "None")) say(s, &(UfSweepEvent){.text = text});
    }
    s->seen = *state;
    return strike_ended(s, false);
}

// Waits for the array. What is left on the list then has no result. retried: failures that were in the store before are
// those of this array.
static UfStatus await_array(Sweep* s, bool retried) {
    UfStatus status = uf_slurm_wait(s->array, s->options->stop, on_poll, s);
    if (status == UF_ERR_STOPPED)
        return UF_FAIL(status,
                       "%s: %d of %d policies have ended; job %s of Slurm runs on, scancel %s ends it",
                       s->result->folder, s->num_ended, s->total, s->array, s->array);
    UF_TRY(status);
    UF_TRY(strike_ended(s, retried));
    int num_left = 0;
    for (int i = 0; i < s->num_todo; i++) {  // a task may have died between a result and the store
        char folder[UF_PATH_BYTES];
        const int policy = s->todo[i];
        path_of(s, policy, "", folder);
        if (uf_has_file(folder, "final.h5") && !(s->before[policy] & STORED))
            UF_TRY(finish_policy(s, (Block){0, 1}, policy, 0));
        else
            s->todo[num_left++] = policy;
    }
    s->num_todo = num_left;
    return forget_array(s);
}

static UfStatus run_array(Sweep* s) {
    char how[80] = "";
    if (!s->num_blocks) return UF_OK;
    UF_TRY(submit(s));
    UF_TRY(await_array(s, true));
    if (!s->num_todo) return UF_OK;
    if (s->seen.num_died) snprintf(how, sizeof how, " (task %d: %s)", s->seen.died, s->seen.how);
    return UF_FAIL(
        UF_ERR_IO,
        "%s: %d of %d policies have no result%s; see slurm/task_*.txt there; the same command submits "
        "them again",
        s->result->folder, s->num_todo, s->total, how);
}

// The id of an array that an earlier call submitted and that is not over. "": there is none.
static UfStatus find_array(Sweep* s) {
    char path[UF_PATH_BYTES], *id;
    size_t length;
    slurm_path(s, "/job", path);
    if (!uf_file_exists(path)) return UF_OK;
    UF_TRY(uf_read_file(path, &id, &length));
    const bool right = length && length < sizeof s->array && strspn(id, "0123456789") == length;
    if (right) memcpy(s->array, id, length + 1);
    uf_free(id);
    if (!right) return UF_FAIL(UF_ERR_FORMAT, "%s: is not the number of a job; remove it if none runs", path);
    UfStatus status = uf_slurm_state(s->array, &s->seen);
    if (status == UF_ERR_UNSUPPORTED)
        return UF_FAIL(status,
                       "%s: job %s of Slurm may still run, and this machine has no squeue to ask; remove the "
                       "file if it does not",
                       path, s->array);
    if (status != UF_OK) return uf_fail_prefix(status, path);
    if (s->seen.num_pending || s->seen.num_running) return UF_OK;
    s->array[0] = 0;
    return forget_array(s);
}

// An array that is under way is waited for; what it leaves is for the next one.
static UfStatus meet_array(Sweep* s) {
    char text[128];
    UF_TRY(find_array(s));
    if (!s->array[0]) return UF_OK;
    if (!s->options->task)
        return UF_FAIL(
            UF_ERR_IO,
            "%s: job %s of Slurm works in this folder; give --slurm to wait for it, or end it: scancel %s",
            s->result->folder, s->array, s->array);
    snprintf(text, sizeof text, "job %s of Slurm is under way, %d of %d policies have ended", s->array,
             s->num_ended, s->total);
    say(s, &(UfSweepEvent){.text = text});
    s->started = uf_now();
    return await_array(s, false);
}

// ---- API ----

static UfStatus sweep(Sweep* s) {
    UF_TRY(draw_all(s));
    UF_TRY(check_some(s));
    UF_TRY(look_at_dataset(s));
    UF_TRY(open_folder(s));
    UF_TRY(check_plan(s));
    UF_TRY(uf_store_open(&s->store, s->result->store, true));
    UF_TRY(list_policies(s));
    UF_TRY(find_todo(s));
    if (!s->options->is_task) UF_TRY(meet_array(s));
    UF_TRY(make_blocks(s));
    announce(s, s->num_ended);
    s->started = uf_now();
    return s->options->task ? run_array(s) : run_blocks(s);
}

UfStatus uf_sweep(const UfSweepOptions* options, UfSweepResult* result) {
    Sweep* s;
    *result = (UfSweepResult){.folder = ""};
    if (options->population < 0 || options->population > UF_MAX_POPULATION)
        return UF_FAIL(UF_ERR_ARGUMENT, "a population of %d; expected 1 to %d", options->population,
                       UF_MAX_POPULATION);
    if (options->config->online && options->population != 1)
        return UF_FAIL(UF_ERR_CONFIG, "online true: such runs train alone; leave --population out");
    const int least_jobs = options->task ? 0 : 1;
    if (options->jobs < least_jobs || options->jobs > MAX_JOBS)
        return UF_FAIL(UF_ERR_ARGUMENT, "%d jobs; expected %d to %d", options->jobs, least_jobs, MAX_JOBS);
    UF_TRY(UF_ALLOC(&s, 1, "a sweep"));
    s->options = options;
    s->result = result;
    s->lock = -1;
    UfStatus status = sweep(s);
    if (status != UF_OK &&
        status != UF_ERR_STOPPED) {  // a store on a full disk, say: runs go on by the same command
        char* why = NULL;
        UfStatus kept = uf_strdup(&why, uf_error());
        stop_all(s);
        status = kept == UF_OK ? UF_FAIL(status, "%s", why) : kept;
        uf_free(why);
    }
    uf_store_close(s->store);
    if (s->lock >= 0) close(s->lock);
    for (int i = 0; i < s->num_shapes; i++) uf_config_free(s->shapes[i].config);
    uf_free(s->shapes);
    uf_free(s->blocks);
    uf_free(s->order);
    uf_free(s->todo);
    uf_free(s->before);
    uf_free(s->choices);
    uf_free(s);
    return status;
}
