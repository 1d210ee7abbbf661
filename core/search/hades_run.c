// hades_run.c: see hades_run.h.
//
// Rooms: results, what a sweep reads of them, the search behind the frame of runs, datasets.
#include "core/search/hades_run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/data/returns.h"

static const char DATASET_FILE[] = "distilled.hdf5", RATINGS_FILE[] = "ratings.h5";

// ---- results ----

static const UfSearchFile ratings_file = {UF_RETURNS_OF_CLONES, "the ratings of a distillation", &hd_table};

typedef struct Ratings {
    const HdRating *fresh, *own;  // own: of the search's fixed weights.   Nullable
    bool images;
} Ratings;

static UfStatus write_rating(const UfH5* h5, const char* name, const HdRating* rating) {
    const int64_t dims[] = {rating->num_inits, rating->num_numbers};
    return uf_h5_write(h5, name, UF_H5_DOUBLE, rating->numbers, 2, dims, 4, false);
}

static UfStatus write_ratings(const void* context, const UfH5* h5) {
    const Ratings* r = context;
    UF_TRY(write_rating(h5, r->images ? "loss_and_accuracy" : "returns", r->fresh));
    return r->own ? write_rating(h5, "own_returns", r->own) : UF_OK;
}

static void report_rating(UfText* text, const char* what, const HdRating* r, bool images) {
    if (images)
        uf_text_add(text, "%-18s%.4f +- %.4f of the test images, least %.4f  (%d initial weights)\n", what,
                    r->mean, r->std, r->least, r->num_inits);
    else
        uf_text_add(text, "%-18s%.4g +- %.2g, least %.4g  (%d initial weights x %d episodes)\n", what,
                    r->mean, r->std, r->least, r->num_inits, r->num_numbers);
}

// What the dataset is good for: its file, its picture, fresh policies; own where the initial weights were fixed.
static UfStatus dataset_results(const UfSearchEnd* end, HdRateOptions* rate, HdRating* fresh, HdRating* own,
                                bool* has_picture) {
    const HdConfig* c = end->config;
    char path[UF_PATH_BYTES];
    UfDistilled* data;
    UF_TRY(hd_search_dataset(end->search, &data));
    uf_run_folder_path(end->folder, DATASET_FILE, path);
    UfStatus status = uf_distilled_write(data, path);
    uf_run_folder_path(end->folder, "dataset.png", path);
    if (status == UF_OK) status = uf_search_drawn(end, uf_distilled_show(data, path), has_picture);
    if (status == UF_OK) status = hd_rate(fresh, data, rate);
    rate->own_inits = true;
    rate->num_inits = (int)c->rollouts;
    if (status == UF_OK && c->policies == HD_POLICIES_FIXED) status = hd_rate(own, data, rate);
    uf_distilled_free(data);
    return status;
}

static UfStatus rate_result(const UfSearchEnd* end, HdRating* fresh, HdRating* own, bool* has_picture) {
    const HdConfig* c = end->config;
    HdRateOptions rate = {
        .config = c, .num_inits = (int)c->eval_inits, .num_episodes = (int)c->eval_episodes, .seed = c->seed};
    if (c->search == HD_SEARCH_DATASET) return dataset_results(end, &rate, fresh, own, has_picture);
    return c->env[0] ? hd_rate_weights(fresh, end->search, rate.num_inits, rate.num_episodes, c->seed)
                     : UF_OK;
}

static UfStatus results(const UfSearchEnd* end) {
    const HdConfig* c = end->config;
    const bool images = c->images[0] != 0, has_dataset = c->search == HD_SEARCH_DATASET;
    char path[UF_PATH_BYTES];
    HdRating fresh = {0}, own = {0};
    bool has_picture = false;
    UfStatus status = rate_result(end, &fresh, &own, &has_picture);
    const Ratings ratings = {&fresh, own.numbers ? &own : NULL, images};
    uf_run_folder_path(end->folder, RATINGS_FILE, path);
    if (status == UF_OK && fresh.numbers)
        status = uf_search_write_file(&ratings_file, path, c, write_ratings, &ratings);
    report_rating(end->report, has_dataset ? "fresh policies" : "evolved policy", &fresh, images);
    if (own.numbers) report_rating(end->report, "its own weights", &own, images);
    if (has_dataset) uf_text_add(end->report, "dataset           %s/%s\n", end->folder->name, DATASET_FILE);
    if (has_picture) uf_text_add(end->report, "picture           %s/dataset.png\n", end->folder->name);
    hd_rating_free(&fresh);
    hd_rating_free(&own);
    return status;
}

// ---- what a sweep reads of them ----

enum { FRESH, LEAST, OWN, NUM_COLUMNS };
static const UfSearchColumn columns[NUM_COLUMNS] = {
    {"fresh policies", "fresh_policies"}, {NULL, "least_policy"}, {"its own weights", "own_weights"}};

// Mean of a rating in ratings.h5, and the least mean of a policy; of images the accuracies.
static UfStatus read_rating(const UfH5* h5, const char* name, double* mean, double* least) {
    UfReturns r;
    const bool images = !strcmp(name, "loss_and_accuracy");
    UF_TRY(uf_returns_read(h5, name, &r));
    *least = INFINITY;
    for (int64_t i = 0; i < r.rows; i++) {
        const double* row = r.numbers + i * r.columns;
        const double m = images ? row[r.columns - 1] : uf_returns_mean(row, r.columns, 1);
        if (!(m >= *least || isnan(*least))) *least = m;
    }
    *mean = images ? uf_returns_mean(r.numbers + r.columns - 1, r.rows, r.columns)
                   : uf_returns_mean(r.numbers, r.rows * r.columns, 1);
    uf_free(r.numbers);
    return UF_OK;
}

static UfStatus read_columns(const char* folder, double* values) {
    char path[UF_PATH_BYTES];
    UfH5 h5;
    double least;
    snprintf(path, sizeof path, "%s/%s", folder, RATINGS_FILE);
    if (!uf_file_exists(path)) return UF_OK;
    UF_TRY(uf_h5_open(&h5, path));
    const char* name = uf_h5_exists(&h5, "returns") ? "returns" : "loss_and_accuracy";
    UfStatus status = read_rating(&h5, name, &values[FRESH], &values[LEAST]);
    if (status == UF_OK && uf_h5_exists(&h5, "own_returns"))
        status = read_rating(&h5, "own_returns", &values[OWN], &least);
    uf_h5_close(&h5);
    return status;
}

// ---- the search behind the frame of runs ----

static UfStatus check(const void* config) { return hd_config_check(config); }

static UfSearchPlan plan(const void* config) {
    const HdConfig* c = config;
    const bool images = c->images[0] != 0;
    return (UfSearchPlan){
        .generations = c->generations,
        .log_interval = c->log_interval,
        .checkpoint_interval = c->checkpoint_interval,
        .method = c->search == HD_SEARCH_WEIGHTS ? "Direct evolution of weights" : "Behaviour distillation",
        .subject = images ? c->images : c->env,
        .axis = images ? "training loss" : "fitness (return)",
        .fitness = images ? "training loss" : "mean return of candidates"};
}

static UfStatus open_search(void** search, const void* config, const UfRanks* ranks) {
    HdSearch* s;
    const UfStatus status = hd_search_open(&s, config, ranks);
    *search = s;
    return status;
}

static UfStatus reopen_search(void** search, const char* path, const void* run, const UfRanks* ranks) {
    HdSearch* s;
    const UfStatus status = hd_search_reopen(&s, path, run, ranks);
    *search = s;
    return status;
}

static UfStatus save_search(const void* search, const char* path) { return hd_search_save(search, path); }
static void free_search(void* search) { hd_search_free(search); }
static const void* config_of(const void* search) { return hd_search_config(search); }
static const UfEs* es_of(const void* search) { return hd_search_es(search); }

static const char* device_of(void* search) {
    return hd_search_config(search)->device == UF_DEVICE_AUTO ? hd_search_backend(search)->about : NULL;
}

static UfStatus step(void* search, UfSearchStep* out, const volatile sig_atomic_t* stop, bool* stopped) {
    HdGeneration g = {0};
    UF_TRY(hd_search_step_until(search, &g, stop, stopped));
    out->generation = (UfGeneration){g.generation, g.mean, g.best, g.std, g.best_ever, g.num_nonfinite};
    uf_search_number(out, "networks_per_second", (double)g.num_networks / g.seconds);
    uf_search_number(out, "steps_per_second", (double)g.num_steps / g.seconds);
    return UF_OK;
}

const UfSearchKind hd_kind = {.table = &hd_table,
                              .config_file = "hades.json",
                              .algorithm = "hades",
                              .what = "distillation",
                              .title = "Behaviour distillation",
                              .check = check,
                              .plan = plan,
                              .open = open_search,
                              .reopen = reopen_search,
                              .save = save_search,
                              .free = free_search,
                              .config = config_of,
                              .es = es_of,
                              .device = device_of,
                              .step = step,
                              .results = results,
                              .num_columns = NUM_COLUMNS,
                              .columns = columns,
                              .read_columns = read_columns};

// ---- datasets ----

UfStatus hd_config_of(HdConfig** out, const UfDistilled* data) {
    UF_TRY(hd_config_create(out));
    if (data->config && data->config[0])
        return uf_table_parse(&hd_table, *out, data->config, "the dataset's config");
    return data->num_tasks || !data->env_id[0] ? UF_OK : hd_config_set(*out, "env", data->env_id);
}

static UfStatus try_rows(const UfDistilled* data, const HdRateOptions* options, const char* what,
                         UfText* text) {
    HdRating rating;
    UF_TRY(hd_rate(&rating, data, options));
    report_rating(text, what, &rating, options->config->images[0] != 0);
    hd_rating_free(&rating);
    return UF_OK;
}

// The same rows with states of 0, then with each state's label that of the row before.
static UfStatus try_controls(const UfDistilled* data, const HdRateOptions* options, UfText* text) {
    UfDistilled control = *data;
    const size_t A = (size_t)data->action_dim, last = (size_t)(data->rows - 1);
    UF_TRY(UF_ALLOC(&control.states, data->rows * data->obs_dim, "a control"));
    UfStatus status = try_rows(&control, options, "states all 0", text);
    uf_free(control.states);
    UF_TRY(status);
    control.states = data->states;
    UF_TRY(UF_ALLOC(&control.labels, data->rows * data->action_dim, "a control"));
    memcpy(control.labels, data->labels + last * A, A * sizeof(float));
    memcpy(control.labels + A, data->labels, last * A * sizeof(float));
    status = try_rows(&control, options, "labels moved on", text);
    uf_free(control.labels);
    return status;
}

UfStatus hd_try(const UfDistilled* data, const HdTryOptions* options, UfText* text) {
    UF_TRY(try_rows(data, &options->rate, "fresh policies", text));
    return options->controls ? try_controls(data, &options->rate, text) : UF_OK;
}

static UfStatus rate_line(const UfDistilled* data, const HdConfig* config, const HdRateOptions* rate,
                          const char* what, UfText* report) {
    HdRateOptions options = *rate;
    HdRating r;
    options.config = config;
    UF_TRY(hd_rate(&r, data, &options));
    uf_text_add(report, "%-28s %9.4g +- %-8.2g least %.4g\n", what, r.mean, r.std, r.least);
    hd_rating_free(&r);
    return UF_OK;
}

UfStatus hd_vary(const UfDistilled* data, const HdConfig* config, const UfAxes* axes,
                 const HdRateOptions* rate, UfText* report) {
    HdConfig* changed;
    UF_TRY(hd_config_create(&changed));
    UfStatus status = rate_line(data, config, rate, "nothing varied", report);
    for (int a = 0; a < axes->count; a++)
        for (int v = 0; v < axes->axes[a].num_values && status == UF_OK; v++) {
            const UfAxis* axis = &axes->axes[a];
            char what[UF_STRING_BYTES + 64];
            *changed = *config;
            snprintf(what, sizeof what, "%s=%s", axis->param->name, axis->values[v]);
            status = uf_table_set(&hd_table, changed, axis->param->name, axis->values[v]);
            if (status == UF_OK) status = rate_line(data, changed, rate, what, report);
        }
    hd_config_free(changed);
    return status;
}
