// report.c: the results of many runs as one page. Every figure in it is read from the files of a run.
//
// Runs that differ in nothing but the seed share a row: its score is the mean over seeds, with the standard error
// sqrt(sum (x - mean)^2 / (n - 1) / n). Published figures (published.def) stand beside a dataset that has the name
// and the number of rows of D4RL's own file.
//
// Rooms: published figures, one run, command, all runs, order, page, csv, API.
#include "core/results/report.h"

#include <ctype.h>
#include <glob.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>   // snprintf
#include <stdlib.h>  // qsort
#include <string.h>
#include <unistd.h>  // access

#include "core/config.h"
#include "core/data/h5.h"
#include "core/runs/run.h"
#include "core/runs/run_log.h"

#define PATH_BYTES (UF_FOLDER_BYTES + 64)

// ---- published figures ----

typedef struct D4rlSet {
    const char* name;
    int64_t rows;
    const char* file;  // "": as name
} D4rlSet;

typedef struct Source {
    const char *name, *url;
} Source;

typedef struct Published {
    const Source* source;
    const char *set, *algorithm;
    double score, spread;
} Published;

#define UF_D4RL_SET(name, rows, file) {name, rows, file},
#define UF_PUBLISHED_SOURCE(id, name, url)
#define UF_PUBLISHED(source, set, algorithm, score, spread)
#define UF_CORL(...)
#define UF_KIT(...)
static const D4rlSet d4rl_sets[] = {
#include "core/results/published.def"
};

#undef UF_D4RL_SET
#undef UF_PUBLISHED_SOURCE
#define UF_D4RL_SET(name, rows, file)
#define UF_PUBLISHED_SOURCE(id, name, url) static const Source id##_source = {name, url};
#include "core/results/published.def"

#undef UF_PUBLISHED_SOURCE
#undef UF_PUBLISHED
#undef UF_CORL
#undef UF_KIT
#define UF_PUBLISHED_SOURCE(id, name, url)
#define UF_PUBLISHED(id, set, algorithm, score, spread) {&id##_source, set, algorithm, score, spread},
#define UF_CORL(set, bc, bc_s, td3, td3_s, cql, cql_s, iql, iql_s, reb, reb_s, sac, sac_s, edac, edac_s) \
    UF_PUBLISHED(corl, set, "bc", bc, bc_s)                                                              \
    UF_PUBLISHED(corl, set, "td3_bc", td3, td3_s)                                                        \
    UF_PUBLISHED(corl, set, "cql", cql, cql_s)                                                           \
    UF_PUBLISHED(corl, set, "iql", iql, iql_s)                                                           \
    UF_PUBLISHED(corl, set, "rebrac", reb, reb_s)                                                        \
    UF_PUBLISHED(corl, set, "sac_n", sac, sac_s) UF_PUBLISHED(corl, set, "edac", edac, edac_s)
#define UF_KIT(set, mopo, mopo_s, combo, combo_s, rambo, mobile, cql, td3, edac, iql) \
    UF_PUBLISHED(kit, set, "mopo", mopo, mopo_s)                                      \
    UF_PUBLISHED(kit, set, "combo", combo, combo_s)                                   \
    UF_PUBLISHED(kit, set, "rambo", rambo, NAN)                                       \
    UF_PUBLISHED(kit, set, "mobile", mobile, NAN)                                     \
    UF_PUBLISHED(kit, set, "cql", cql, NAN)                                           \
    UF_PUBLISHED(kit, set, "td3_bc", td3, NAN)                                        \
    UF_PUBLISHED(kit, set, "edac", edac, NAN) UF_PUBLISHED(kit, set, "iql", iql, NAN)
static const Published published[] = {
#include "core/results/published.def"
};
#define NUM_PUBLISHED (sizeof published / sizeof published[0])

// The set of D4RL that a file is called after: "/data/hopper_medium-v2.hdf5" is hopper-medium-v2.   NULL: none
static const D4rlSet* named_set(const char* path) {
    char name[UF_STRING_BYTES];
    const char* slash = strrchr(path, '/');
    snprintf(name, sizeof name, "%s", slash ? slash + 1 : path);
    char* dot = strrchr(name, '.');
    if (dot) *dot = 0;
    for (char* c = name; *c; c++) *c = *c == '_' ? '-' : (char)tolower((unsigned char)*c);
    for (size_t i = 0; i < sizeof d4rl_sets / sizeof d4rl_sets[0]; i++)
        if (!strcmp(name, d4rl_sets[i].name) || !strcmp(name, d4rl_sets[i].file)) return &d4rl_sets[i];
    return NULL;
}

// ---- one run ----

typedef struct Result {
    char folder[UF_FOLDER_BYTES];
    char* missing;  // why there is no result.   NULL: there is one, and then the rest is filled in
    UfConfig* config;
    char *hash, *env, *version;
    char* command;                                         // with S for the seed
    int64_t seed, num_updates, num_episodes, num_rows;     // rows of the dataset; 0: the result does not say
    double score, score_error, mean_return, return_error;  // NaN: not evaluated, or no reference scores
    double seconds;                                        // NaN: no log
    int set, group;  // first result on the same dataset; first of these with the same settings
} Result;

static void free_result(Result* r) {
    uf_free(r->missing);
    uf_config_free(r->config);
    uf_free(r->hash);
    uf_free(r->env);
    uf_free(r->version);
    uf_free(r->command);
}

static void path_in(const Result* r, const char* name, char path[PATH_BYTES]) {
    snprintf(path, PATH_BYTES, "%s/%s", r->folder, name);
}

static UfStatus read_number(const UfH5* h5, const char* name, double* value) {
    *value = NAN;
    return uf_h5_has_attribute(h5, "/", name) ? uf_h5_read_number(h5, "/", name, value) : UF_OK;
}

// The configuration that final.h5 was made with. There `env` is the one that was found; config.json has what was
// asked for, which belongs in the command.
static UfStatus read_config(Result* r, const UfH5* h5) {
    char* json = NULL;
    UF_TRY(uf_config_create(&r->config));
    UF_TRY(uf_h5_read_string(h5, "/", "config", &json));
    UfStatus status = uf_config_parse(r->config, json, h5->path);
    uf_free(json);
    if (status != UF_OK || !uf_has_file(r->folder, "config.json")) return status;
    UfConfig* asked;
    UF_TRY(uf_run_config(&asked, r->folder));
    memcpy(r->config->env, asked->env, sizeof r->config->env);
    uf_config_free(asked);
    return UF_OK;
}

static UfStatus read_attributes(Result* r, const UfH5* h5) {
    char* kind = NULL;
    double seed, updates, rows;
    UfH5Shape shape;
    UF_TRY(uf_h5_read_string(h5, "/", "kind", &kind));
    bool result = !strcmp(kind, "unifloral-result");
    uf_free(kind);
    if (!result) return UF_FAIL(UF_ERR_FORMAT, "%s: is not the result of a run", h5->path);
    UF_TRY(uf_h5_read_string(h5, "/", "dataset_hash", &r->hash));
    UF_TRY(uf_h5_read_string(h5, "/", "env", &r->env));
    UF_TRY(uf_h5_read_string(h5, "/", "version", &r->version));
    UF_TRY(uf_h5_read_number(h5, "/", "seed", &seed));
    UF_TRY(uf_h5_read_number(h5, "/", "num_updates", &updates));
    UF_TRY(read_number(h5, "dataset_rows", &rows));
    UF_TRY(read_number(h5, "score_mean", &r->score));
    UF_TRY(read_number(h5, "score_stderr", &r->score_error));
    UF_TRY(read_number(h5, "return_mean", &r->mean_return));
    UF_TRY(read_number(h5, "return_stderr", &r->return_error));
    r->seed = (int64_t)seed;
    r->num_updates = (int64_t)updates;
    r->num_rows = isfinite(rows) ? (int64_t)rows : 0;
    if (!uf_h5_exists(h5, "returns")) return UF_OK;
    UF_TRY(uf_h5_shape(h5, "returns", &shape));
    r->num_episodes = shape.count;
    return UF_OK;
}

// ---- command ----

// What has an option of its own in a command and makes no other row.
static bool in_options(const UfParam* p) {
    return !strcmp(p->name, "seed") || !strcmp(p->name, "dataset") || !uf_param_shapes_results(p);
}

static void add_quoted(UfText* text, const char* word) {
    if (*word &&
        !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=,+@%-")]) {
        uf_text_add(text, "%s", word);
        return;
    }
    uf_text_add(text, "'");
    for (const char* c = word; *c; c++) uf_text_add(text, *c == '\'' ? "'\\''" : "%c", *c);
    uf_text_add(text, "'");
}

// How many hyperparameters differ between a configuration and its base; adds them as options.   Nullable: text
static int differences(const UfConfig* config, const UfConfig* base, UfText* text) {
    int count = 0;
    for (int i = 0; i < uf_num_params; i++) {
        const UfParam* p = &uf_params[i];
        char a[UF_STRING_BYTES], b[UF_STRING_BYTES], setting[UF_STRING_BYTES + 64];
        if (p->type == UF_TYPE_GROUP || in_options(p)) continue;
        uf_param_format(config, p, a, sizeof a);
        uf_param_format(base, p, b, sizeof b);
        if (!strcmp(a, b)) continue;
        count++;
        if (!text) continue;
        snprintf(setting, sizeof setting, "%s=%s", p->name, a);
        uf_text_add(text, " --set ");
        add_quoted(text, setting);
    }
    return count;
}

// The nearest of configs/ALGORITHM.json and configs/*/ALGORITHM.json but for sweeps. *preset stays NULL if there is none.
static UfStatus find_preset(const UfConfig* config, UfConfig** preset, char path[PATH_BYTES]) {
    char pattern[UF_STRING_BYTES + 32];
    glob_t found = {0};
    int fewest = 0;
    UfStatus status = UF_OK;
    snprintf(pattern, sizeof pattern, "configs/%s.json", config->algorithm);
    int failed = glob(pattern, 0, NULL, &found);
    snprintf(pattern, sizeof pattern, "configs/*/%s.json", config->algorithm);
    if (failed != GLOB_NOSPACE) failed = glob(pattern, failed ? 0 : GLOB_APPEND, NULL, &found);
    if (failed == GLOB_NOSPACE) status = UF_FAIL(UF_ERR_MEMORY, "out of memory while looking for presets");
    for (size_t i = 0; status == UF_OK && i < found.gl_pathc; i++) {
        UfConfig* candidate;
        if (strstr(found.gl_pathv[i], "/sweeps/")) continue;
        status = uf_config_create(&candidate);
        if (status == UF_OK) status = uf_config_load(candidate, found.gl_pathv[i]);
        int count = status == UF_OK ? differences(config, candidate, NULL) : 0;
        if (status == UF_OK && (!*preset || count < fewest)) {
            uf_config_free(*preset);
            *preset = candidate;
            fewest = count;
            snprintf(path, PATH_BYTES, "%s", found.gl_pathv[i]);
        } else {
            uf_config_free(candidate);
        }
    }
    globfree(&found);
    return status;
}

// The preset and what differs from it; without a preset, the run's own config.json, which holds everything.
static UfStatus make_command(Result* r) {
    const UfConfig* c = r->config;
    UfConfig* preset = NULL;
    UfText text = {0};
    char path[PATH_BYTES];
    path_in(r, "config.json", path);
    UfStatus status = find_preset(c, &preset, path);
    uf_text_add(&text, "unifloral %s ", c->online ? "online" : "train");
    add_quoted(&text, path);
    if (c->dataset[0]) {
        uf_text_add(&text, " --dataset ");
        add_quoted(&text, c->dataset);
    }
    uf_text_add(&text, " --seed S");
    if (c->num_threads) uf_text_add(&text, " --threads %" PRId64, c->num_threads);
    if (preset) differences(c, preset, &text);
    uf_config_free(preset);
    UfStatus finished = uf_text_finish(&text, &r->command);
    return status != UF_OK ? status : finished;
}

static UfStatus read_result(Result* r) {
    char path[PATH_BYTES];
    UfH5 h5;
    int64_t update;
    path_in(r, "final.h5", path);
    UF_TRY(uf_h5_open(&h5, path));
    UfStatus status = read_attributes(r, &h5);
    if (status == UF_OK) status = read_config(r, &h5);
    uf_h5_close(&h5);
    r->seconds = NAN;
    if (status == UF_OK) status = uf_run_log_last(r->folder, &update, &r->seconds);
    return status == UF_OK ? make_command(r) : status;
}

// Why a run without final.h5 has none.
static UfStatus describe_missing(Result* r) {
    int64_t update = 0;
    double seconds;
    UfConfig* config;
    UfText text = {0};
    if (!uf_is_run(r->folder)) {
        uf_text_add(&text, "%s", access(r->folder, F_OK) == 0 ? "holds no run" : "is not there");
    } else {
        UF_TRY(uf_run_config(&config, r->folder));
        UfStatus status = uf_run_log_last(r->folder, &update, &seconds);
        uf_text_add(&text, "not finished: its log ends at update %" PRId64 " of %" PRId64, update,
                    config->num_updates);
        uf_config_free(config);
        UF_TRY(status);
    }
    return uf_text_finish(&text, &r->missing);
}

// ---- all runs ----

typedef struct Report {
    const UfReportOptions* options;
    Result* results;
    int num_results, capacity;
    UfStatus broken;  // of the first result that could not be read
    char* complaint;
} Report;

// The folder of a world model: it has epochs and no score. Those of agents are often beside it.
static bool is_world_model(const char* folder) {
    UfRunLog log;
    if (uf_has_file(folder, "model.h5")) return true;
    if (uf_run_log_read(&log, folder) != UF_OK) return false;  // who reads it again says why
    const bool of_epochs = uf_run_log_column(&log, "epoch") == 0;
    uf_run_log_free(&log);
    return of_epochs;
}

static UfStatus add_run(void* user, const char* folder) {
    Report* report = user;
    if (!uf_has_file(folder, "final.h5") && is_world_model(folder)) return UF_OK;
    if (report->num_results == report->capacity) {
        Result* grown;
        int capacity = report->capacity ? 2 * report->capacity : 64;
        UF_TRY(UF_ALLOC(&grown, capacity, "results"));
        if (report->results) memcpy(grown, report->results, sizeof *grown * (size_t)report->num_results);
        uf_free(report->results);
        report->results = grown;
        report->capacity = capacity;
    }
    Result* r = &report->results[report->num_results++];
    if (snprintf(r->folder, sizeof r->folder, "%s", folder) >= (int)sizeof r->folder)
        return UF_FAIL(UF_ERR_ARGUMENT, "%.64s...: the folder's name is too long", folder);
    UfStatus status = uf_has_file(folder, "final.h5") ? read_result(r) : describe_missing(r);
    if (status == UF_OK || status == UF_ERR_MEMORY) return status;
    if (report->broken == UF_OK) {
        report->broken = status;
        UF_TRY(uf_strdup(&report->complaint, uf_error()));
    }
    return r->missing ? UF_OK : uf_strdup(&r->missing, uf_error());
}

static UfStatus add_folder(Report* report, const char* folder) {
    int num_found = 0;
    UF_TRY(uf_runs_below(folder, add_run, report, &num_found));
    return num_found ? UF_OK : add_run(report, folder);  // as one that is missing
}

// ---- order ----

// What a result was trained on, for readers.
static const char* dataset_name(const Result* r) { return r->config->online ? r->env : r->config->dataset; }

static const char* short_name(const Result* r) {
    const char *name = dataset_name(r), *slash = strrchr(name, '/');
    return slash && slash[1] ? slash + 1 : name;
}

static bool same_set(const Result* a, const Result* b) {
    return a->config->online == b->config->online && !strcmp(dataset_name(a), dataset_name(b)) &&
           (a->config->online || !strcmp(a->hash, b->hash));
}

static void number_sets_and_groups(Result* results, int count) {
    for (int i = 0; i < count; i++) {
        Result* r = &results[i];
        r->set = r->group = i;
        if (r->missing) continue;
        for (int j = 0; j < i; j++) {
            const Result* other = &results[j];
            if (other->missing || !same_set(r, other)) continue;
            if (r->set == i) r->set = other->set;
            if (r->group == i && !differences(r->config, other->config, NULL)) r->group = other->group;
        }
    }
}

// Missing ones go last; then as they came: set by set, group by group, and by seed.
static int compare_results(const void* left, const void* right) {
    const Result *a = left, *b = right;
    if (!a->missing != !b->missing) return a->missing ? 1 : -1;
    if (a->set != b->set) return a->set < b->set ? -1 : 1;
    if (a->group != b->group) return a->group < b->group ? -1 : 1;
    if (a->seed != b->seed) return a->seed < b->seed ? -1 : 1;
    return strcmp(a->folder, b->folder);
}

// ---- page ----

typedef struct Page {
    UfText text;
    const Result* results;
    int count;           // without the missing ones
    bool any_published;  // some dataset is D4RL's own
} Page;

// A table cell: '|' would end it.
static void add_cell(UfText* text, const char* word) {
    for (const char* c = word; *c; c++) uf_text_add(text, *c == '|' ? "\\|" : "%c", *c);
}

static int end_of_group(const Page* page, int first) {
    int end = first;
    while (end < page->count && page->results[end].group == page->results[first].group) end++;
    return end;
}

static int end_of_set(const Page* page, int first) {
    int end = first;
    while (end < page->count && page->results[end].set == page->results[first].set) end++;
    return end;
}

typedef struct Mean {
    int count;
    double mean, error;
} Mean;

// Over the finite values of one double field; the error of a single one is NaN.
static Mean mean_over_seeds(const Result* results, int count, size_t field) {
    Mean m = {0, 0, 0};
    double sum = 0, squares = 0;
    for (int i = 0; i < count; i++) {
        double x = *(const double*)((const char*)&results[i] + field);
        if (!isfinite(x)) continue;
        sum += x;
        m.count++;
    }
    m.mean = sum / m.count;
    for (int i = 0; i < count; i++) {
        double x = *(const double*)((const char*)&results[i] + field);
        if (isfinite(x)) squares += (x - m.mean) * (x - m.mean);
    }
    m.error = m.count > 1 ? sqrt(squares / (m.count - 1) / m.count) : NAN;
    return m;
}

static void add_number(UfText* text, double mean, double error) {
    uf_text_add(text, "%.1f", mean);
    if (isfinite(error)) uf_text_add(text, " ± %.1f", error);
}

static void add_group_score(UfText* text, const Result* results, int count) {
    Mean score = mean_over_seeds(results, count, offsetof(Result, score)),
         ret = mean_over_seeds(results, count, offsetof(Result, mean_return));
    if (score.count) {
        add_number(text, score.mean, score.error);
    } else if (ret.count) {
        uf_text_add(text, "return ");
        add_number(text, ret.mean, ret.error);
    } else {
        uf_text_add(text, "not evaluated");
    }
}

// D4RL's own file: its name and its number of rows.   NULL: not one
static const D4rlSet* genuine_set(const Result* r) {
    const D4rlSet* set = r->config->online ? NULL : named_set(r->config->dataset);
    return set && set->rows == r->num_rows ? set : NULL;
}

static void add_published(UfText* text, const D4rlSet* set, const char* algorithm) {
    const char* comma = "";
    for (size_t i = 0; i < NUM_PUBLISHED; i++) {
        const Published* p = &published[i];
        if (strcmp(p->set, set->name) || strcmp(p->algorithm, algorithm)) continue;
        uf_text_add(text, "%s%s ", comma, p->source->name);
        add_number(text, p->score, p->spread);
        comma = "; ";
    }
}

static void add_head(Page* page) {
    char machine[320], versions[512] = "";
    UfText* t = &page->text;
    uf_machine(machine, sizeof machine);
    for (int i = 0; i < page->count; i++) {
        size_t length = strlen(versions);
        if (!strstr(versions, page->results[i].version))
            snprintf(versions + length, sizeof versions - length, "%s%s", length ? ", " : "",
                     page->results[i].version);
    }
    uf_text_add(t, "# Reproduction\n\n");
    uf_text_add(t,
                "Written by `unifloral report` (version of the runs: %s); every figure is read from the "
                "files of a run. "
                "Machine: %s.\n\n",
                versions, machine);
    uf_text_add(t,
                "- Score: the normalised score of the policy after the last update, never the best of a "
                "run; mean over "
                "seeds ± its standard error.\n"
                "- A single run's ± is the standard error over the episodes of its final evaluation.\n"
                "- Wall time: training with its interim evaluations, without the final one.\n");
    if (!page->any_published) return;
    uf_text_add(t,
                "- Published: final scores of full trainings (a million updates or more), ± standard "
                "deviation over seeds where given. Sources:");
    const Source* last = NULL;
    for (size_t i = 0; i < NUM_PUBLISHED; i++) {
        const Source* s = published[i].source;
        if (s != last) uf_text_add(t, "%s [%s](%s)", last ? "," : "", s->name, s->url);
        last = s;
    }
    uf_text_add(t, ".\n");
}

static void add_summary(Page* page) {
    UfText* t = &page->text;
    uf_text_add(t, "\n| dataset | preset | score | seeds | updates |%s\n|---|---|---|---|---|%s\n",
                page->any_published ? " published |" : "", page->any_published ? "---|" : "");
    for (int i = 0, end; i < page->count; i = end) {
        const Result* r = &page->results[i];
        const D4rlSet* set = genuine_set(r);
        end = end_of_group(page, i);
        uf_text_add(t, "| ");
        add_cell(t, short_name(r));
        uf_text_add(t, " | ");
        add_cell(t, r->config->algorithm);
        uf_text_add(t, " | ");
        add_group_score(t, r, end - i);
        uf_text_add(t, " | %d | %" PRId64 " |", end - i, r->num_updates);
        if (page->any_published) uf_text_add(t, " ");
        if (set) add_published(t, set, r->config->algorithm);
        uf_text_add(t, page->any_published ? " |\n" : "\n");
    }
}

// Whether the dataset counts as D4RL's own, where its name raises the question; then what others have on it.
static void add_provenance(Page* page, int first, int end) {
    const Result* r = &page->results[first];
    const D4rlSet* named = r->config->online ? NULL : named_set(r->config->dataset);
    UfText* t = &page->text;
    if (!named) return;
    if (!r->num_rows) {
        uf_text_add(t,
                    "\nCalled after D4RL's %s, but the results do not say how many rows it has: no published "
                    "figures.\n",
                    named->name);
        return;
    }
    if (named->rows != r->num_rows) {
        uf_text_add(t,
                    "\nCalled after D4RL's %s, which has %" PRId64 " rows; this file has %" PRId64
                    ": no published figures.\n",
                    named->name, named->rows, r->num_rows);
        return;
    }
    uf_text_add(t, "\nD4RL's %s by its name and its %" PRId64 " rows.", named->name, named->rows);
    const char* comma = " Published of other algorithms:";
    for (size_t i = 0; i < NUM_PUBLISHED; i++) {
        const Published* p = &published[i];
        bool trained = strcmp(p->set, named->name) != 0;
        for (int k = first; k < end; k++)
            trained |= !strcmp(p->algorithm, page->results[k].config->algorithm);
        if (trained) continue;
        uf_text_add(t, "%s %s ", comma, p->algorithm);
        add_number(t, p->score, p->spread);
        uf_text_add(t, " (%s)", p->source->name);
        comma = ",";
    }
    uf_text_add(t, *comma == ',' ? ".\n" : "\n");
}

static void add_row(UfText* t, const Result* r) {
    char wall[32];
    uf_text_add(t, "| ");
    add_cell(t, r->config->algorithm);
    uf_text_add(t, " | %" PRId64 " | ", r->seed);
    if (isfinite(r->score)) add_number(t, r->score, r->score_error);
    uf_text_add(t, " | ");
    if (isfinite(r->mean_return)) add_number(t, r->mean_return, r->return_error);
    uf_text_add(t, " | ");
    if (r->num_episodes) {
        uf_text_add(t, "%" PRId64 " of ", r->num_episodes);
        add_cell(t, r->env);
    } else {
        uf_text_add(t, "none");
    }
    uf_text_add(t, " | %" PRId64 " | %s |\n", r->num_updates, uf_duration(r->seconds, wall));
}

static void add_details(Page* page, int first, int end) {
    UfText* t = &page->text;
    const Result* r = &page->results[first];
    uf_text_add(t, "\n## %s\n\n", short_name(r));
    if (r->config->online)
        uf_text_add(t, "Trained in the environment.\n");
    else
        uf_text_add(t, "`%s`, SHA-256 `%s`.\n", dataset_name(r), r->hash);
    add_provenance(page, first, end);
    uf_text_add(t,
                "\n| preset | seed | score | return | episodes | updates | wall time "
                "|\n|---|---|---|---|---|---|---|\n");
    for (int i = first; i < end; i++) add_row(t, &page->results[i]);
    uf_text_add(t, "\nCommands, S being the seed:\n\n```\n");
    for (int i = first; i < end; i = end_of_group(page, i)) uf_text_add(t, "%s\n", page->results[i].command);
    uf_text_add(t, "```\n");
}

static UfStatus write_page(const Report* report, int num_results) {
    Page page = {.results = report->results, .count = num_results};
    for (int i = 0; i < num_results; i++) page.any_published |= genuine_set(&report->results[i]) != NULL;
    add_head(&page);
    add_summary(&page);
    for (int i = 0, end; i < num_results; i = end) {
        end = end_of_set(&page, i);
        add_details(&page, i, end);
    }
    if (num_results < report->num_results) uf_text_add(&page.text, "\n## Missing\n\n");
    for (int i = num_results; i < report->num_results; i++)
        uf_text_add(&page.text, "- `%s`: %s\n", report->results[i].folder, report->results[i].missing);
    char* text;
    UF_TRY(uf_text_finish(&page.text, &text));
    UfStatus status = uf_write_file(report->options->output, text, strlen(text));
    uf_free(text);
    return status;
}

// ---- csv ----

static UfStatus write_csv(const Report* report, int num_results) {
    UfText t = {0};
    uf_text_add(&t,
                "folder,dataset,dataset_hash,env,algorithm,version,command,seed,num_updates,num_episodes,"
                "score_mean,score_stderr,return_mean,return_stderr,seconds\n");
    for (int i = 0; i < num_results; i++) {
        const Result* r = &report->results[i];
        const char* texts[] = {r->folder,  r->config->dataset, r->hash, r->env, r->config->algorithm,
                               r->version, r->command};
        double numbers[] = {r->score, r->score_error, r->mean_return, r->return_error, r->seconds};
        for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++) {
            uf_text_add_csv(&t, texts[k]);
            uf_text_add(&t, ",");
        }
        uf_text_add(&t, "%" PRId64 ",%" PRId64 ",%" PRId64 ",", r->seed, r->num_updates, r->num_episodes);
        for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++)
            uf_text_add_csv_number(&t, numbers[k]);
        if (t.status == UF_OK) t.data[t.length - 1] = '\n';  // the last comma
    }
    char* text;
    UF_TRY(uf_text_finish(&t, &text));
    UfStatus status = uf_write_file(report->options->csv, text, strlen(text));
    uf_free(text);
    return status;
}

// ---- API ----

static UfStatus make_report(Report* report, UfReportCounts* counts) {
    const UfReportOptions* o = report->options;
    for (int i = 0; i < o->num_folders; i++) UF_TRY(add_folder(report, o->folders[i]));
    for (int i = 0; i < report->num_results; i++)
        ++*(report->results[i].missing ? &counts->num_missing : &counts->num_results);
    if (!counts->num_results && report->broken != UF_OK)
        return UF_FAIL(report->broken, "%s", report->complaint);
    if (!counts->num_results)
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "%s: no result to report (%s); give run folders, or folders that hold some",
                       o->num_folders ? o->folders[0] : "report",
                       report->num_results ? report->results[0].missing : "no folder");
    number_sets_and_groups(report->results, report->num_results);
    qsort(report->results, (size_t)report->num_results, sizeof *report->results, compare_results);
    UF_TRY(write_page(report, counts->num_results));
    if (o->csv) UF_TRY(write_csv(report, counts->num_results));
    return report->broken == UF_OK ? UF_OK : UF_FAIL(report->broken, "%s", report->complaint);
}

UfStatus uf_report(const UfReportOptions* options, UfReportCounts* counts) {
    Report report = {.options = options};
    *counts = (UfReportCounts){0, 0};
    UfStatus status = make_report(&report, counts);
    for (int i = 0; i < report.num_results; i++) free_result(&report.results[i]);
    uf_free(report.results);
    uf_free(report.complaint);
    return status;
}
