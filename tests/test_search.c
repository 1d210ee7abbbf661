// test_search.c: what searches share, with a toy in their place, a point that looks for (1, ..., 1): a generation's
// fitness among processes, what it came to, files, runs that are stopped and go on, what they log and report, sweeps.
#include "support.h"

#include <math.h>

#include "core/runs/run_log.h"
#include "core/search/search_sweep.h"

// ---- the toy ----

typedef struct ToyConfig {
    int64_t seed, generations, log_interval, checkpoint_interval, popsize, dims;
    bool greedy;
    char env[UF_STRING_BYTES];
} ToyConfig;

#define UF_PARAM_STRUCT ToyConfig
static const UfParam params[] = {
#include "core/param_rows.h"
    UF_GROUP(run, "Run")                                            //
    UF_INT(seed, 0, AT_LEAST(0), AT_MOST(100), SHARED, "")          //
    UF_INT(generations, 12, AT_LEAST(0), AT_MOST(1000), RUN, "")    //
    UF_INT(log_interval, 4, AT_LEAST(1), NO_LIMIT, RUN, "")         //
    UF_INT(checkpoint_interval, 5, AT_LEAST(1), NO_LIMIT, RUN, "")  //
    UF_INT(popsize, 8, AT_LEAST(2), AT_MOST(1000), SHARED, "")      //
    UF_INT(dims, 3, AT_LEAST(1), AT_MOST(1000), SHARED, "")         //
    UF_BOOL(greedy, false, RUN, "")                                 //
    UF_STRING(env, "far/away", SHARED, "")                          //
};
static const UfTable table = {params, sizeof params / sizeof params[0], sizeof(ToyConfig),
                              "unifloral toy --help"};
static const UfSearchFile checkpoint = {"toy", "a toy", &table};

typedef struct Toy {
    ToyConfig c;
    UfEs* es;
    double fitness[64];
} Toy;

static struct {
    int64_t stop_before;      // this generation (from 1) is not made; 0: none
    bool stop_results, fail;  // a stop while results are made; results that fail
    int steps, opened, reopened, num_events, num_notes;
    int fewer_curves;
    UfRunEvent last;
} watch;

static UfStatus check(const void* config) {
    const ToyConfig* c = config;
    return c->dims == 13 ? UF_FAIL(UF_ERR_CONFIG, "dims 13 brings bad luck") : UF_OK;
}

static UfSearchPlan plan(const void* config) {
    const ToyConfig* c = config;
    return (UfSearchPlan){.generations = c->generations,
                          .log_interval = c->log_interval,
                          .checkpoint_interval = c->checkpoint_interval,
                          .method = "Play",
                          .subject = c->env,
                          .axis = "distance",
                          .fitness = "minus distance",
                          .num_curves = 2 - watch.fewer_curves,
                          .curves = {{"the mean", "measured"}, {"never there", "nothing"}}};
}

static void toy_free(void* search) {
    Toy* t = search;
    if (t) uf_es_free(t->es);
    uf_free(t);
}

static UfStatus toy_open(void** search, const void* config, const UfRanks* ranks) {
    Toy* t;
    UfEsOptions o;
    (void)ranks;
    *search = NULL;
    watch.opened++;
    UF_TRY(UF_ALLOC(&t, 1, "a toy"));
    t->c = *(const ToyConfig*)config;
    uf_es_default_options(&o, UF_ES_SNES);
    o.popsize = (int)t->c.popsize;
    o.dims = t->c.dims;
    o.maximize = 1;
    o.seed = (uint64_t)t->c.seed;
    *search = t;
    return uf_es_create(&t->es, &o);
}

static UfStatus write_es(const void* context, const UfH5* h5) {
    return uf_es_save(((const Toy*)context)->es, h5, "es");
}

static UfStatus toy_save(const void* search, const char* path) {
    const Toy* t = search;
    return uf_search_write_file(&checkpoint, path, &t->c, write_es, t);
}

static UfStatus toy_reopen(void** search, const char* path, const void* run, const UfRanks* ranks) {
    UfH5 h5;
    void* config;
    *search = NULL;
    UF_TRY(uf_h5_open(&h5, path));
    UfStatus status = uf_search_read_config(&checkpoint, &h5, &config);
    if (status == UF_OK) status = uf_table_take_run_fields(&table, config, run);
    if (status == UF_OK) status = toy_open(search, config, ranks);
    if (status == UF_OK) status = uf_es_load(((Toy*)*search)->es, &h5, "es");
    uf_h5_close(&h5);
    uf_free(config);
    watch.opened--;
    watch.reopened++;
    return status;
}

static const void* toy_config(const void* search) { return &((const Toy*)search)->c; }
static const UfEs* toy_es(const void* search) { return ((const Toy*)search)->es; }

static double distance(const Toy* t, const float* x) {
    double sum = 0;
    for (int64_t d = 0; d < t->c.dims; d++) sum += (x[d] - 1.0) * (x[d] - 1.0);
    return sqrt(sum);
}

// Each third generation measures the mean that it begins with, which is a line of the log then.
static UfStatus toy_step(void* search, UfSearchStep* out, const volatile sig_atomic_t* stop, bool* stopped) {
    Toy* t = search;
    const int64_t g = uf_es_generation(t->es);
    float x[1000];
    double measured = NAN;
    (void)stop;
    *stopped = watch.stop_before == g + 1;
    if (*stopped) return UF_OK;
    watch.steps++;
    out->logged = g % 3 == 0;
    for (int64_t d = 0; d < t->c.dims; d++) x[d] = (float)uf_es_mean(t->es)[d];
    if (out->logged) measured = distance(t, x);
    for (int i = 0; i < t->c.popsize; i++) {
        uf_es_candidate(t->es, i, x);
        t->fitness[i] = i == 2 && g == 1 ? NAN : -distance(t, x);
    }
    UF_TRY(uf_es_tell(t->es, t->fitness));
    out->generation = uf_search_summary(t->es, t->fitness);
    uf_search_number(out, "trials", (double)t->c.popsize);
    uf_search_number(out, "measured", measured);
    uf_search_number(out, "nothing", NAN);
    return UF_OK;
}

static UfStatus toy_results(const UfSearchEnd* end) {
    const ToyConfig* c = end->config;
    char path[UF_PATH_BYTES], text[64];
    bool drawn;
    if (watch.stop_results) return UF_ERR_STOPPED;
    if (watch.fail) return UF_FAIL(UF_ERR_IO, "the disk is full");
    assert_int_equal(uf_es_generation(toy_es(end->search)), c->generations);
    uf_run_folder_path(end->folder, "toy.txt", path);
    snprintf(text, sizeof text, "%g", uf_es_mean(toy_es(end->search))[0]);
    UF_TRY(uf_search_drawn(end, UF_FAIL(UF_ERR_UNSUPPORTED, "no paint in this build"), &drawn));
    assert_false(drawn);
    uf_text_add(end->report, "toy               %s\n", end->folder->name);
    return uf_write_file(path, text, strlen(text));
}

enum { FIRST_NUMBER, HIDDEN, NEVER, NUM_COLUMNS };
static const UfSearchColumn columns[NUM_COLUMNS] = {
    {"a number", "number"}, {NULL, "hidden"}, {"never", "never"}};

static UfStatus read_columns(const char* folder_name, double* values) {
    char path[UF_PATH_BYTES], *text;
    size_t bytes;
    for (int c = 0; c < NUM_COLUMNS; c++) assert_true(isnan(values[c]));
    snprintf(path, sizeof path, "%s/toy.txt", folder_name);
    UF_TRY(uf_read_file(path, &text, &bytes));
    values[FIRST_NUMBER] = strtod(text, NULL);
    values[HIDDEN] = 7;
    uf_free(text);
    return UF_OK;
}

static const UfSearchKind kind = {.table = &table,
                                  .config_file = "toy.json",
                                  .algorithm = "toy",
                                  .what = "game",
                                  .title = "Playing",
                                  .check = check,
                                  .plan = plan,
                                  .open = toy_open,
                                  .reopen = toy_reopen,
                                  .save = toy_save,
                                  .free = toy_free,
                                  .config = toy_config,
                                  .es = toy_es,
                                  .step = toy_step,
                                  .results = toy_results,
                                  .num_columns = NUM_COLUMNS,
                                  .columns = columns,
                                  .read_columns = read_columns};

static void on_progress(void* user, const UfRunEvent* e) {
    (void)user;
    watch.num_events++;
    watch.num_notes += e->kind == UF_RUN_NOTE;
    watch.last = *e;
}

static ToyConfig config_of(int64_t generations) {
    void* made;
    assert_ok(uf_table_create(&table, &made));
    ToyConfig c = *(ToyConfig*)made;
    c.generations = generations;
    uf_free(made);
    return c;
}

// A new run, or one that goes on.   Free result->report.
static UfStatus play(const ToyConfig* c, const char* out, const char* resume, UfSearchResult* result) {
    const UfSearchRunOptions run = {
        .kind = &kind, .config = c, .out = out, .resume = resume, .on_progress = on_progress};
    return uf_search_run(&run, result);
}

static void play_to_end(const ToyConfig* c, const char* out, const char* resume) {
    UfSearchResult result;
    assert_ok(play(c, out, resume, &result));
    uf_free(result.report);
}

static const char* file_of(const char* run, const char* name) {
    static char path[UF_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", run, name);
    return path;
}

// Without the clock, the second number of a line.   Free with uf_free.
static char* log_of(const char* run) {
    char* text;
    size_t bytes;
    assert_ok(uf_read_file(file_of(run, "log.csv"), &text, &bytes));
    char* to = text;
    int comma = 0;
    for (const char* c = text; *c; c++) {
        comma = *c == '\n' ? 0 : comma + (*c == ',');
        if (comma != 1) *to++ = *c;
    }
    *to = 0;
    return text;
}

static void assert_same_run(const char* a, const char* b) {
    char *left = log_of(a), *right = log_of(b);
    double mean[2][3];
    assert_string_equal(left, right);
    for (int i = 0; i < 2; i++) {
        UfH5 h5;
        assert_ok(uf_h5_open(&h5, file_of(i ? b : a, "checkpoint.h5")));
        assert_ok(uf_h5_read(&h5, "es/mean", UF_H5_DOUBLE, mean[i], 3));
        assert_ok(uf_h5_close(&h5));
    }
    assert_memory_equal(mean[0], mean[1], sizeof mean[0]);
    uf_free(left);
    uf_free(right);
}

// ---- a generation ----

static UfEs* strategy(int popsize, int maximize) {
    UfEsOptions o;
    UfEs* es;
    uf_es_default_options(&o, UF_ES_SNES);
    o.popsize = popsize;
    o.dims = 2;
    o.maximize = maximize;
    assert_ok(uf_es_create(&es, &o));
    return es;
}

// Mean and deviation by hand: of 1, 2, 6 the mean is 3, the variance 14 / 3.
static void test_summary(void** state) {
    (void)state;
    static const double fitness[] = {2, NAN, 6, -INFINITY, 1}, best[] = {1, 6};
    for (int maximize = 0; maximize < 2; maximize++) {
        UfEs* es = strategy(5, maximize);
        assert_ok(uf_es_tell(es, fitness));
        const UfGeneration g = uf_search_summary(es, fitness);
        assert_int_equal(g.generation, 1);
        assert_int_equal(g.num_nonfinite, 2);
        assert_true(g.mean == 3 && g.best == best[maximize] && g.best_ever == best[maximize]);
        assert_true(fabs(g.std - sqrt(14.0 / 3)) < 1e-15);
        uf_es_free(es);
    }
}

// What other processes add to a sum.
static UfStatus add_others(void* context, double* values, int64_t count) {
    for (int64_t i = 0; i < count; i++) values[i] += ((double*)context)[i];
    return UF_OK;
}

static void test_share_fitness(void** state) {
    (void)state;
    UfEs* es = strategy(2, 1);
    double others[4] = {0, 5};
    const UfRanks ranks = {0, 2, others, add_others};
    double fitness[4] = {3, 0, 9, 9};  // the last two are whatever they were
    volatile sig_atomic_t stop = 0;
    bool stopped = true;
    assert_ok(uf_search_share_fitness(es, &ranks, fitness, UF_OK, &stop, &stopped));
    assert_true(fitness[0] == 3 && fitness[1] == 5 && !stopped);
    others[2] = 1;  // the other one was asked to stop
    assert_ok(uf_search_share_fitness(es, &ranks, fitness, UF_OK, NULL, &stopped));
    assert_true(stopped);
    others[3] = 1;
    assert_int_equal(uf_search_share_fitness(es, &ranks, fitness, UF_OK, NULL, &stopped), UF_ERR_DEVICE);
    assert_error("1 of 2 processes failed in generation 1");
    assert_int_equal(
        uf_search_share_fitness(es, &ranks, fitness, UF_FAIL(UF_ERR_MEMORY, "mine"), NULL, &stopped),
        UF_ERR_MEMORY);
    assert_error("mine");
    stop = 1;
    assert_ok(uf_search_share_fitness(es, NULL, fitness, UF_OK, &stop, &stopped));
    assert_true(stopped);
    assert_int_equal(uf_search_share_fitness(es, NULL, fitness, UF_ERR_IO, NULL, &stopped), UF_ERR_IO);
    assert_false(stopped);
    uf_es_free(es);
}

static void test_tables(void** state) {
    (void)state;
    ToyConfig c = config_of(3), run = config_of(9);
    UfText text = {0};
    char* said;
    c.dims = 5;
    strcpy(c.env, "near");
    run.greedy = true;
    run.popsize = 99;
    assert_ok(uf_table_take_run_fields(&table, &c, &run));
    assert_int_equal(c.generations, 9);
    assert_true(c.greedy);
    assert_int_equal(c.popsize, 8);  // is no RUN field
    assert_ok(uf_table_describe_settings(&table, &c, &text));
    assert_ok(uf_text_finish(&text, &said));
    assert_string_equal(said,
                        "settings that are not the defaults:\n"
                        "  generations          9\n"
                        "  dims                 5\n"
                        "  greedy               true\n"
                        "  env                  near\n");
    uf_free(said);
}

// ---- runs ----

static void test_run(void** state) {
    (void)state;
    const ToyConfig c = config_of(12);
    const char* out = in_folder("run");
    UfSearchResult result;
    char expected[1000], *text;
    size_t bytes;
    memset(&watch, 0, sizeof watch);
    assert_ok(play(&c, out, NULL, &result));
    assert_string_equal(result.folder, out);
    assert_int_equal(result.generation, 12);
    assert_int_equal(watch.steps, 12);
    assert_int_equal(watch.last.kind == UF_RUN_NOTE ? 12 : watch.last.update, 12);

    // Lines: each fourth, each that was measured, the last.
    UfRunLog log;
    assert_ok(uf_run_log_read(&log, out));
    static const double lines[] = {1, 4, 7, 8, 10, 12};
    static const char* const names[] = {"generation", "seconds",       "mean",   "best",     "std",
                                        "best_ever",  "num_nonfinite", "trials", "measured", "nothing"};
    assert_int_equal(log.num_rows, 6);
    assert_int_equal(log.num_columns, 10);
    for (int i = 0; i < 10; i++) assert_string_equal(log.names[i], names[i]);
    for (int i = 0; i < 6; i++) {
        assert_true(uf_run_log_at(&log, i, "generation") == lines[i]);
        assert_int_equal(isfinite(uf_run_log_at(&log, i, "measured")),
                         lines[i] == 1 || lines[i] == 4 || lines[i] == 7 || lines[i] == 10);
    }
    assert_true(fabs(uf_run_log_at(&log, 0, "measured") - sqrt(3)) <
                1e-8);  // it begins at zeros; nine digits
    assert_true(uf_run_log_at(&log, 5, "num_nonfinite") == 1);

    // The report: fitness, the kind's own, files.
    const double mean = uf_run_log_at(&log, 5, "mean"), best = uf_run_log_at(&log, 5, "best");
    const int length = snprintf(expected, sizeof expected,
                                "fitness           %.4g mean, %.4g best of generation 12 (minus distance)\n"
                                "not a number      fitness of 1 candidates so far; they ranked last\n"
                                "toy               %s\n",
                                mean, best, out);
    uf_run_log_free(&log);
#ifdef UF_NO_CAIRO
    assert_int_equal(watch.num_notes, 2);
#else
    assert_int_equal(watch.num_notes, 1);  // of what results could not draw
    snprintf(expected + length, sizeof expected - (size_t)length, "fitness curve     %s/fitness.png\n", out);
    assert_ok(uf_read_file(file_of(out, "fitness.svg"), &text, &bytes));
    assert_non_null(strstr(text, "<svg"));
    uf_free(text);
#endif
    const size_t end = strlen(expected);
    snprintf(expected + end, sizeof expected - end, "checkpoint        %s/checkpoint.h5\n", out);
    (void)length;
    assert_string_equal(result.report, expected);
    assert_ok(uf_read_file(file_of(out, "report.txt"), &text, &bytes));
    assert_string_equal(text, expected);
    uf_free(text);
    uf_free(result.report);

    // It is what info says.
    UfH5 h5;
    void* config;
    assert_ok(uf_h5_open(&h5, file_of(out, "checkpoint.h5")));
    assert_ok(uf_search_read_config(&checkpoint, &h5, &config));
    assert_memory_equal(config, &c, sizeof c);
    uf_free(config);
    const UfSearchFile other = {"clockwork", "a clock", &table};
    assert_int_equal(uf_search_read_config(&other, &h5, &config), UF_ERR_FORMAT);
    assert_error("checkpoint.h5: is no checkpoint of a clock");
    assert_null(config);
    assert_ok(uf_h5_close(&h5));
}

// Stopped anywhere, before a checkpoint, behind one, between lines: it goes on to the same bits and the same lines.
static void test_stopped(void** state) {
    (void)state;
    const ToyConfig c = config_of(12);
    const char* straight = in_folder("straight");
    memset(&watch, 0, sizeof watch);
    play_to_end(&c, straight, NULL);
    for (int before = 1; before <= 12; before++) {
        char name[32];
        UfSearchResult result;
        snprintf(name, sizeof name, "stopped%d", before);
        const char* out = in_folder(name);
        memset(&watch, 0, sizeof watch);
        watch.stop_before = before;
        assert_int_equal(play(&c, out, NULL, &result), UF_ERR_STOPPED);
        assert_error("stopped after generation");
        assert_int_equal(result.generation, before - 1);
        assert_string_equal(result.folder, out);
        assert_null(result.report);
        assert_false(uf_has_file(out, "report.txt"));
        bool finished = true;
        assert_ok(uf_search_run_finished(&kind, &c, out, &finished));
        assert_false(finished);
        watch.stop_before = 0;
        play_to_end(&c, NULL, out);
        assert_int_equal(watch.reopened, 1);
        assert_int_equal(watch.steps, 12);
        assert_same_run(straight, out);
        assert_ok(uf_search_run_finished(&kind, &c, out, &finished));
        assert_true(finished);
    }
}

// A run that was killed has lines that are younger than its checkpoint, or no checkpoint at all.
static void test_killed(void** state) {
    (void)state;
    const ToyConfig c = config_of(12), five = config_of(5);
    const char *straight = in_folder("straight"), *out = in_folder("killed"), *bare = in_folder("bare");
    char *text, *kept;
    size_t bytes;
    memset(&watch, 0, sizeof watch);
    play_to_end(&five, out, NULL);
    assert_ok(uf_read_file(file_of(out, "checkpoint.h5"), &kept, &bytes));
    play_to_end(&c, NULL, out);  // further than it was to go
    assert_ok(uf_write_file(file_of(out, "checkpoint.h5"), kept, bytes));
    uf_free(kept);
    play_to_end(&c, NULL, out);
    // generation 5 ended the first call, so it has a line there
    char* lines = log_of(out);
    assert_non_null(strstr(lines, "\n5,"));
    assert_null(strstr(strstr(lines, "\n8,") + 1, "\n8,"));
    uf_free(lines);

    assert_ok(uf_make_folder(bare));
    assert_ok(uf_read_file(file_of(straight, "toy.json"), &text, &bytes));
    assert_ok(uf_write_file(file_of(bare, "toy.json"), text, bytes));
    uf_free(text);
    watch.opened = watch.reopened = 0;
    play_to_end(&c, NULL, bare);
    assert_int_equal(watch.opened, 1);
    assert_int_equal(watch.reopened, 0);
    assert_same_run(straight, bare);
}

// Results may be stopped, or fail: there is no report then, and the search is not made again.
static void test_results(void** state) {
    (void)state;
    const ToyConfig c = config_of(12);
    const char *straight = in_folder("straight"), *out = in_folder("results");
    UfSearchResult result;
    memset(&watch, 0, sizeof watch);
    watch.stop_results = true;
    assert_int_equal(play(&c, out, NULL, &result), UF_ERR_STOPPED);
    assert_int_equal(result.generation, 12);
    watch.stop_results = false;
    watch.fail = true;
    assert_int_equal(play(&c, NULL, out, &result), UF_ERR_IO);
    assert_error("the disk is full");
    assert_null(result.report);
    assert_false(uf_has_file(out, "report.txt"));
    watch.fail = false;
    play_to_end(&c, NULL, out);
    assert_int_equal(watch.steps, 12);
    assert_true(uf_has_file(out, "report.txt"));
    assert_same_run(straight, out);
}

static void test_refused(void** state) {
    (void)state;
    ToyConfig c = config_of(12);
    UfSearchResult result;
    void* config;
    bool finished;
    const char *run = in_folder("run"), *none = in_folder("none");
    c.dims = 13;
    assert_int_equal(play(&c, none, NULL, &result), UF_ERR_CONFIG);
    assert_error("bad luck");
    assert_false(uf_file_exists(none));
    c.dims = 4;
    assert_int_equal(play(&c, NULL, run, &result), UF_ERR_CONFIG);
    assert_error("dims: the run to resume was trained with 3, not 4");
    assert_int_equal(uf_search_run_finished(&kind, &c, run, &finished), UF_ERR_CONFIG);
    assert_error("/run: dims: the run to resume");
    assert_false(finished);
    assert_int_equal(uf_search_run_config(&kind, &config, folder), UF_ERR_IO);
    assert_error("holds no game (no toy.json)");
    uf_free(config);
}

// runs/toy_away_0: the last part of a subject that is a path.
static void test_named(void** state) {
    (void)state;
    const ToyConfig c = config_of(1);
    char before[4096];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(folder), 0);
    for (int i = 0; i < 2; i++) {
        UfSearchResult result;
        assert_ok(play(&c, NULL, NULL, &result));
        assert_string_equal(result.folder, i ? "runs/toy_away_0_2" : "runs/toy_away_0");
        uf_free(result.report);
    }
    assert_int_equal(chdir(before), 0);
}

// The chart: a column that the log has numbers of now and then is a curve, one without any is none.
static void test_chart(void** state) {
    (void)state;
#ifdef UF_NO_CAIRO
    skip();
#else
    const ToyConfig c = config_of(12);
    char* pictures[3];
    size_t bytes[3];
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "chart%d", i);
        memset(&watch, 0, sizeof watch);
        watch.fewer_curves = i;
        play_to_end(&c, in_folder(name), NULL);
        assert_ok(uf_read_file(file_of(in_folder(name), "fitness.png"), &pictures[i], &bytes[i]));
    }
    assert_int_equal(bytes[0], bytes[1]);
    assert_memory_equal(pictures[0], pictures[1], bytes[0]);
    assert_true(bytes[1] != bytes[2] || memcmp(pictures[1], pictures[2], bytes[1]) != 0);
    for (int i = 0; i < 3; i++) uf_free(pictures[i]);
#endif
}

// ---- sweeps ----

static UfStatus sweep(const ToyConfig* c, const char* out, const char* first, const char* second,
                      char** report) {
    ToyConfig config = *c;
    UfAxes axes = {.count = 0};
    assert_ok(uf_table_set_axis(&table, &config, &axes, "dims", first));
    assert_ok(uf_table_set_axis(&table, &config, &axes, "seed", second));
    const UfSearchSweepOptions options = {.kind = &kind, .config = &config, .axes = &axes, .out = out};
    const UfStatus status = uf_search_sweep(&options, report);
    uf_axes_free(&axes);
    return status;
}

// What the checkpoint, the log and toy.txt of a run say, as a line of sweep.csv.
static void csv_line(char* line, size_t size, const char* settings, const char* run, int dims) {
    UfRunLog log;
    char* text;
    size_t bytes;
    assert_ok(uf_run_log_read(&log, run));
    assert_ok(uf_read_file(file_of(run, "toy.txt"), &text, &bytes));
    snprintf(line, size, "\"%s\",%d,%.9g,%.9g,%.9g,7,\n", settings, dims, uf_run_log_at(&log, 0, "mean"),
             uf_run_log_at(&log, log.num_rows - 1, "mean"), strtod(text, NULL));
    uf_run_log_free(&log);
    uf_free(text);
}

static void test_sweep(void** state) {
    (void)state;
    const ToyConfig c = config_of(6);
    const char* out = in_folder("sweep");
    static const char* const settings[] = {"dims=2,seed=0", "dims=2,seed=1", "dims=4,seed=0",
                                           "dims=4,seed=1"};
    char *report, *again, *csv,
        expected[2000] = "settings,numbers,first_generation,last_generation,number,hidden,never\n";
    size_t bytes;
    memset(&watch, 0, sizeof watch);
    assert_ok(sweep(&c, out, "[2,4]", "[0,1]", &report));
    assert_int_equal(watch.steps, 4 * 6);
    for (int i = 0; i < 4; i++) {
        char run[UF_FOLDER_BYTES];
        const size_t length = strlen(expected);
        snprintf(run, sizeof run, "%s/%s", out, settings[i]);
        csv_line(expected + length, sizeof expected - length, settings[i], run, i < 2 ? 2 : 4);
    }
    assert_ok(uf_read_file(file_of(out, "sweep.csv"), &csv, &bytes));
    assert_string_equal(csv, expected);
    uf_free(csv);
    // In the table neither what has no title nor what no run has.
    assert_non_null(strstr(
        report, "  first generation            last generation             a number                  \n"));
    assert_null(strstr(report, "never"));
    assert_non_null(strstr(report, "\ndims=2                                   2        2  "));
    assert_non_null(strstr(report, "\ndims=4                                   2        4  "));

    // The same call goes on: three are there, one was begun.
    char run[UF_FOLDER_BYTES];
    snprintf(run, sizeof run, "%s/%s", out, settings[2]);
    assert_int_equal(remove(file_of(run, "report.txt")), 0);
    watch.steps = 0;
    watch.opened = watch.reopened = 0;
    assert_ok(sweep(&c, out, "[2,4]", "[0,1]", &again));
    assert_int_equal(watch.steps, 0);
    assert_int_equal(watch.opened, 0);
    assert_int_equal(watch.reopened, 1);
    assert_string_equal(report, again);
    uf_free(report);
    uf_free(again);

    // One that stops leaves what is there.
    const ToyConfig further = config_of(8);
    watch.stop_before = 8;
    assert_int_equal(sweep(&further, out, "[2,4]", "[0,1]", &report), UF_ERR_STOPPED);
    assert_null(report);
    watch.stop_before = 0;
    watch.steps = 0;
    assert_ok(sweep(&further, out, "[2,4]", "[0,1]", &report));
    assert_int_equal(watch.steps, 1 + 3 * 2);
    uf_free(report);

    // Refused before any work, wherever in the lists it is.
    const char* refused = in_folder("refused");
    assert_int_equal(sweep(&c, refused, "[2,13]", "[0,1]", &report), UF_ERR_CONFIG);
    assert_error("bad luck");
    assert_false(uf_file_exists(refused));
    assert_int_equal(sweep(&c, out, "[2,4]", "[0]", &report), UF_OK);
    uf_free(report);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_summary), cmocka_unit_test(test_share_fitness), cmocka_unit_test(test_tables),
        cmocka_unit_test(test_run),     cmocka_unit_test(test_stopped),       cmocka_unit_test(test_killed),
        cmocka_unit_test(test_results), cmocka_unit_test(test_refused),       cmocka_unit_test(test_named),
        cmocka_unit_test(test_chart),   cmocka_unit_test(test_sweep),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder) ? 1 : 0;
}
