// test_plot_runs: what `unifloral plot` reads, the numbers that it draws, and what it refuses. Runs are folders with
// as much in them as a plot reads.
#include "support.h"

#include <math.h>

#include "core/data/h5.h"
#include "core/results/curves.h"
#include "core/results/plot_runs.h"
#include "core/results/results.h"
#include "core/runs/run_log.h"

// ---- made runs ----

static void write_in(const char* run, const char* name, const char* text) {
    char path[256];
    assert_ok(uf_make_folder(in_folder(run)));
    snprintf(path, sizeof path, "%s/%s", in_folder(run), name);
    assert_ok(uf_write_file(path, text, strlen(text)));
}

// Of dataset d by algorithm a, unless the settings say otherwise.
static const char* config_of(const char* settings, char config[512]) {
    snprintf(config, 512, "{\"num_updates\": 1000%s%s%s}",
             strstr(settings, "\"dataset\"") ? "" : ", \"dataset\": \"data/d.hdf5\"",
             strstr(settings, "\"algorithm\"") ? "" : ", \"algorithm\": \"a\"", settings);
    return config;
}

static void make_run(const char* run, const char* settings, const char* log) {
    char config[512];
    write_in(run, "config.json", config_of(settings, config));
    write_in(run, "log.jsonl", log);
}

// Evaluations at updates step, 2 step, ...; seconds are a tenth of updates.
static void make_scored_run(const char* run, const char* settings, int step, const double* scores,
                            int count) {
    UfText text = {0};
    char* log;
    for (int i = 1; i <= count; i++)
        uf_text_add(
            &text,
            "{\"update\": %d, \"seconds\": %g, \"critic_loss\": %g, \"eval_return\": %g, \"eval_score\": "
            "%g}\n",
            i * step, 0.1 * i * step, 0.5 * i, -scores[i - 1], scores[i - 1]);
    assert_ok(uf_text_finish(&text, &log));
    make_run(run, settings, log);
    uf_free(log);
}

static void write_final(const char* run, const char* settings, const char* hash, const double* scores,
                        int64_t count) {
    char path[256], config[512];
    UfH5 h5;
    snprintf(path, sizeof path, "%s/final.h5", in_folder(run));
    assert_ok(uf_make_folder(in_folder(run)));
    assert_ok(uf_h5_create(&h5, path));
    assert_ok(uf_h5_write_string(&h5, "/", "kind", "unifloral-result"));
    assert_ok(uf_h5_write_string(&h5, "/", "version", "1.0.0"));
    assert_ok(uf_h5_write_string(&h5, "/", "dataset_hash", hash));
    assert_ok(uf_h5_write_string(&h5, "/", "env", "Pendulum-v1"));
    assert_ok(uf_h5_write_string(&h5, "/", "config", config_of(settings, config)));
    assert_ok(uf_h5_write(&h5, "returns", UF_H5_DOUBLE, scores, 1, &count, 0, false));
    assert_ok(uf_h5_write(&h5, "scores", UF_H5_DOUBLE, scores, 1, &count, 0, false));
    assert_ok(uf_h5_close(&h5));
}

static int empty_folder(void** state) {
    char command[160];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'/*", folder);
    return system(command);
}

// ---- plotting them ----

static const char* sources[2];

// Two runs under "runs"; no picture, the table in drawn.csv.
static UfPlotRuns plot_of(const char* first, const char* second) {
    sources[0] = in_folder(first);
    sources[1] = second ? in_folder(second) : NULL;
    return (UfPlotRuns){.sources = sources,
                        .num_sources = second ? 2 : 1,
                        .csv = in_folder("drawn.csv"),
                        .confidence = 0.95,
                        .num_bootstraps = 200,
                        .num_threads = 1};
}

// The table, and the notes before it.
static char* drawn(UfPlotRuns plot) {
    UfPlotReport report;
    UfText text = {0};
    char *table, *both;
    size_t bytes;
    assert_ok(uf_plot_runs(&plot, &report));
    assert_ok(uf_read_file(plot.csv, &table, &bytes));
    uf_text_add(&text, "%s%s", report.notes, table);
    uf_free(table);
    uf_plot_report_free(&report);
    assert_ok(uf_text_finish(&text, &both));
    return both;
}

static void assert_drawn(UfPlotRuns plot, const char* expected) {
    char* text = drawn(plot);
    assert_string_equal(text, expected);
    uf_free(text);
}

static void assert_refused(UfPlotRuns plot, UfStatus status, const char* piece) {
    UfPlotReport report;
    assert_int_equal(uf_plot_runs(&plot, &report), status);
    assert_error(piece);
    uf_plot_report_free(&report);
}

// ---- logs ----

static void test_log(void** state) {
    (void)state;
    UfRunLog log;
    make_run("r", "",
             "{\"update\": 1, \"a\": 2.5}\n{\"update\": 2, \"b\": null, \"a\": -1e3}\n{\"update\": 3, \"a");
    assert_ok(uf_run_log_read(&log, in_folder("r")));
    assert_int_equal(log.num_rows, 2);  // the last line is not whole
    assert_int_equal(log.num_columns, 3);
    assert_int_equal(uf_run_log_column(&log, "b"), 2);
    assert_int_equal(uf_run_log_column(&log, "c"), -1);
    assert_true(uf_run_log_at(&log, 1, "update") == 2 && uf_run_log_at(&log, 1, "a") == -1000);
    assert_true(isnan(uf_run_log_at(&log, 0, "b")) && isnan(uf_run_log_at(&log, 1, "b")));
    assert_true(isnan(uf_run_log_at(&log, 0, "c")));
    uf_run_log_free(&log);
    write_in("r", "log.jsonl", "{\"update\": 1}\n[2]\n");
    assert_int_equal(uf_run_log_read(&log, in_folder("r")), UF_ERR_FORMAT);
    assert_error("log.jsonl: line 2 is not a JSON object");
    assert_ok(uf_run_log_read(&log, in_folder("nowhere")));
    assert_int_equal(log.num_rows, 0);
    uf_run_log_free(&log);
}

// ---- means and bands ----

static void test_student(void** state) {
    (void)state;
    // Abramowitz and Stegun, table 26.10, at six digits.
    static const struct {
        double confidence;
        int df;
        double width;
    } cases[] = {{0.95, 1, 12.7062},  {0.95, 2, 4.30265},  {0.95, 3, 3.18245}, {0.95, 4, 2.77645},
                 {0.95, 9, 2.26216},  {0.95, 30, 2.04227}, {0.99, 3, 5.84091}, {0.5, 1, 1},
                 {0.9, 120, 1.65765}, {0.5, 2, 0.816497}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const double width = uf_student_width(cases[i].confidence, cases[i].df);
        if (fabs(width - cases[i].width) > 6e-6 * cases[i].width)  // rounded in the table
            fail_msg("%g, %d: %.7g, expected %.6g", cases[i].confidence, cases[i].df, width, cases[i].width);
    }
}

static void test_bands(void** state) {
    (void)state;
    const double x[] = {1, 2}, a[] = {1, 10}, b[] = {2, 10}, c[] = {6, 10};  // at 1: mean 3, variance 7
    const UfTrace traces[] = {{"a", 2, x, a}, {"b", 2, x, b}, {"c", 2, x, c}};
    const double low[] = {3 - sqrt(7. / 3), 3 - sqrt(7), 1, 3 - 4.302652730 * sqrt(7. / 3)},
                 high[] = {3 + sqrt(7. / 3), 3 + sqrt(7), 6, 3 + 4.302652730 * sqrt(7. / 3)};
    UfCurve curve;
    for (int band = 0; band < 4; band++) {
        assert_ok(uf_curve_mean(&curve, traces, 3, (UfBand)band, 0.95));
        assert_int_equal(curve.num_points, 2);
        assert_true(fabs(curve.mean[0] - 3) < 1e-12 && fabs(curve.mean[1] - 10) < 1e-12);
        assert_true(fabs(curve.low[0] - low[band]) < 1e-8 && fabs(curve.high[0] - high[band]) < 1e-8);
        assert_true(curve.low[1] == 10 && curve.high[1] == 10);
        assert_true(!curve.interpolated && !curve.longest);
        uf_curve_free(&curve);
        assert_ok(uf_curve_mean(&curve, traces, 1, (UfBand)band, 0.95));
        assert_true(curve.mean[1] == 10 && isnan(curve.low[1]) && isnan(curve.high[1]));
        uf_curve_free(&curve);
    }
}

static void test_interpolation(void** state) {
    (void)state;
    const double x[] = {0, 10, 20, 30}, a[] = {0, 10, 40, 40}, other[] = {5, 20}, b[] = {1, 4};
    const UfTrace traces[] = {{"a", 4, x, a}, {"b", 2, other, b}};
    UfCurve c;
    assert_ok(uf_curve_mean(&c, traces, 2, UF_BAND_MINMAX, 0.95));
    // From 5, where b begins, to 20, where it ends: a at 5 is 5, b at 10 is 2.
    assert_int_equal(c.num_points, 3);
    const double grid[] = {5, 10, 20}, mean[] = {3, 6, 22}, low[] = {1, 2, 4};
    for (int i = 0; i < 3; i++)
        assert_true(c.x[i] == grid[i] && fabs(c.mean[i] - mean[i]) < 1e-12 &&
                    fabs(c.low[i] - low[i]) < 1e-12);
    assert_true(c.interpolated && c.longest == &traces[0]);
    uf_curve_free(&c);
    const double late[] = {25, 26};
    const UfTrace apart[] = {{"b", 2, other, b}, {"late", 2, late, b}};
    assert_int_equal(uf_curve_mean(&c, apart, 2, UF_BAND_STDERR, 0.95), UF_ERR_ARGUMENT);
    assert_error("the log of b ends at 20, before that of late begins (25)");
}

// ---- curves of runs ----

#define HEAD "dataset,group,metric,num_runs,updates,mean,low,high\n"
static const double up[] = {10, 20, 30}, down[] = {30, 20, 16}, flat[] = {50, 50, 50};

static void test_groups(void** state) {
    (void)state;
    make_scored_run("runs/1", "", 100, up, 3);
    make_scored_run("runs/2", ", \"seed\": 1", 100, down, 3);
    make_scored_run("runs/3", ", \"algorithm\": \"b, \\\"c\\\"\"", 100, flat, 2);
    make_scored_run("runs/4", ", \"dataset\": \"elsewhere/e.hdf5\"", 100, flat, 1);
    UfPlotRuns plot = plot_of("runs", NULL);
    plot.band = "minmax";
    assert_drawn(plot,
                 "d, b, \"c\": one run, so there is no band\n"
                 "e, a: one run, so there is no band\n" HEAD
                 "\"d\",\"a\",\"eval_score\",2,100,20,10,30\n"
                 "\"d\",\"a\",\"eval_score\",2,200,20,20,20\n"
                 "\"d\",\"a\",\"eval_score\",2,300,23,16,30\n"
                 "\"d\",\"b, \"\"c\"\"\",\"eval_score\",1,100,50,,\n"
                 "\"d\",\"b, \"\"c\"\"\",\"eval_score\",1,200,50,,\n"
                 "\"e\",\"a\",\"eval_score\",1,100,50,,\n");
    UfPlotReport report;
    assert_ok(uf_plot_runs(&plot, &report));
    assert_true(report.num_runs == 4 && report.num_groups == 2 && report.num_datasets == 2);
    uf_plot_report_free(&report);
}

// Values by size and not as text, those of an algorithm together, and the algorithm in the label.
static void test_by(void** state) {
    (void)state;
    static const char* const settings[] = {", \"lr\": 0.01", ", \"lr\": 3e-5",
                                           ", \"lr\": 0.01, \"algorithm\": \"b\"", ", \"lr\": 0.002",
                                           ", \"lr\": 3e-5, \"seed\": 4"};
    for (int i = 0; i < 5; i++) {
        char run[32];
        snprintf(run, sizeof run, "runs/%d", i);
        make_scored_run(run, settings[i], 100, (double[]){i}, 1);
    }
    UfPlotRuns plot = plot_of("runs", NULL);
    plot.by = "lr";
    char *text = drawn(plot), *table = strstr(text, "dataset,");
    assert_string_equal(table, HEAD
                        "\"d\",\"a, lr=3e-5\",\"eval_score\",2,100,2.5,1,4\n"
                        "\"d\",\"a, lr=0.002\",\"eval_score\",1,100,3,,\n"
                        "\"d\",\"a, lr=0.01\",\"eval_score\",1,100,0,,\n"
                        "\"d\",\"b, lr=0.01\",\"eval_score\",1,100,2,,\n");
    assert_null(strstr(text, "more than seeds"));
    uf_free(text);
    plot.by = NULL;
    text = drawn(plot);
    assert_non_null(strstr(text, "d, a: the mean is over more than seeds; its runs differ in lr; --by NAME"));
    assert_non_null(strstr(text, "\"d\",\"a\",\"eval_score\",4,100,2,"));
    uf_free(text);
    plot.by = "lrr";
    assert_refused(plot, UF_ERR_CONFIG, "'lrr' is not a hyperparameter; did you mean 'lr'?");
}

static void test_columns(void** state) {
    (void)state;
    const double scores[] = {1, 5, 3, 7};
    make_scored_run("r", "", 10, scores, 4);
    UfPlotRuns plot = plot_of("r", NULL);
    plot.metric = "critic_loss";
    plot.x = "seconds";
    assert_drawn(plot,
                 "d, a: one run, so there is no band\n"
                 "dataset,group,metric,num_runs,seconds,mean,low,high\n"
                 "\"d\",\"a\",\"critic_loss\",1,1,0.5,,\n\"d\",\"a\",\"critic_loss\",1,2,1,,\n"
                 "\"d\",\"a\",\"critic_loss\",1,3,1.5,,\n\"d\",\"a\",\"critic_loss\",1,4,2,,\n");
    plot = plot_of("r", NULL);
    plot.smooth = 3;
    assert_drawn(plot, "d, a: one run, so there is no band\n" HEAD
                       "\"d\",\"a\",\"eval_score\",1,10,1,,\n\"d\",\"a\",\"eval_score\",1,20,3,,\n"
                       "\"d\",\"a\",\"eval_score\",1,30,3,,\n\"d\",\"a\",\"eval_score\",1,40,5,,\n");
    plot = plot_of("r", NULL);
    plot.metric = "criticloss";
    assert_refused(plot, UF_ERR_ARGUMENT, "unknown metric 'criticloss'; did you mean 'critic_loss'?");
}

// Whatever is not as a reader would think is said.
static void test_notes(void** state) {
    (void)state;
    make_scored_run("runs/1", "", 100, up, 3);
    make_scored_run("runs/2", ", \"seed\": 1", 150, down, 2);
    make_run("runs/3", ", \"seed\": 2",
             "{\"update\": 100, \"seconds\": 1, \"eval_return\": null, \"eval_score\": null}\n");
    make_run("runs/4", ", \"algorithm\": \"dynamics\"",
             "{\"epoch\": 1, \"seconds\": 1, \"validation\": 2}\n");
    make_run("runs/5", "", "");
    UfPlotRuns plot = plot_of("runs", NULL);
    plot.band = "minmax";
    char first[600], *text = drawn(plot), *table = strstr(text, "dataset,");
    snprintf(
        first, sizeof first,
        "runs without evaluations, 2 left out: %s/3, ...\n"
        "world models, 1 left out: %s/4\n"
        "d, a: its runs were logged at different updates; values between two are interpolated linearly\n",
        in_folder("runs"), in_folder("runs"));
    assert_memory_equal(text, first, strlen(first));
    // Both end at 300, so that nothing is cut there.
    assert_string_equal(table, HEAD
                        "\"d\",\"a\",\"eval_score\",2,150,22.5,15,30\n\"d\",\"a\",\"eval_score\",2,200,23."
                        "3333333,20,26.6666667\n"
                        "\"d\",\"a\",\"eval_score\",2,300,25,20,30\n");
    assert_ptr_equal(table, text + strlen(first));
    uf_free(text);
    plot.x = "seconds";
    text = drawn(plot);
    assert_non_null(strstr(text, "seconds differ from run to run: "));
    assert_null(strstr(text, "different updates"));
    uf_free(text);
    make_scored_run("runs/2", ", \"seed\": 1", 100, down, 2);
    plot.x = NULL;
    text = drawn(plot);
    snprintf(first, sizeof first, "d, a: drawn up to 200, as far as all its runs go; %s/1 goes on to 300\n",
             in_folder("runs"));
    assert_non_null(strstr(text, first));
    assert_null(strstr(text, "interpolated"));
    uf_free(text);
}

// Returns where one run of the dataset has no scores: the two are not mixed.
static void test_returns(void** state) {
    (void)state;
    make_scored_run("runs/1", "", 100, up, 1);
    make_run("runs/2", ", \"algorithm\": \"b\"",
             "{\"update\": 100, \"seconds\": 1, \"eval_return\": 7, \"eval_score\": null}\n"
             "{\"update\": 200, \"seconds\": 1, \"eval_return\": null, \"eval_score\": null}\n");
    char *text = drawn(plot_of("runs", NULL)), *table = strstr(text, "dataset,"), note[300];
    assert_string_equal(
        table, HEAD "\"d\",\"a\",\"eval_return\",1,100,-10,,\n\"d\",\"b\",\"eval_return\",1,100,7,,\n");
    snprintf(note, sizeof note, "d: returns, not scores: %s/2 has none\n", in_folder("runs"));
    assert_non_null(strstr(text, note));
    assert_non_null(strstr(text, "2: 1 of 2 log lines have no eval_return and are left out\n"));
    uf_free(text);
}

static void test_world_models(void** state) {
    (void)state;
    make_run("w", ", \"algorithm\": \"dynamics\"",
             "{\"epoch\": 1, \"seconds\": 3, \"train_loss\": 9, \"validation\": 8}\n"
             "{\"epoch\": 2, \"seconds\": 6, \"train_loss\": 5, \"validation\": 6}\n");
    make_scored_run("r", "", 100, up, 3);
    UfPlotRuns plot = plot_of("w", NULL);
    assert_drawn(plot,
                 "d, dynamics: one run, so there is no band\n"
                 "dataset,group,metric,num_runs,epochs,mean,low,high\n"
                 "\"d\",\"dynamics\",\"validation\",1,1,8,,\n\"d\",\"dynamics\",\"validation\",1,2,6,,\n");
    plot.x = "updates";
    assert_refused(plot, UF_ERR_ARGUMENT, "count epochs and not updates");
    plot = plot_of("w", "r");
    plot.metric = "train_loss";
    char* text = drawn(plot);
    assert_non_null(strstr(text, "runs that are no world models, 1 left out: "));
    assert_non_null(strstr(text, "\"train_loss\",1,2,5,,\n"));
    uf_free(text);
}

static void test_refusals(void** state) {
    (void)state;
    UfPlotRuns plot = plot_of("nowhere", NULL);
    assert_refused(plot, UF_ERR_ARGUMENT, "nowhere: is not there");
    assert_ok(uf_make_folder(in_folder("empty")));
    assert_refused(plot_of("empty", NULL), UF_ERR_ARGUMENT, "empty: holds no run");
    make_run("silent", "", "");
    assert_refused(plot_of("silent", NULL), UF_ERR_ARGUMENT, "no run has evaluations");
    plot = plot_of("silent", NULL);
    plot.metric = "actor_loss";
    assert_refused(plot, UF_ERR_ARGUMENT, "no run has logged anything yet");
    make_scored_run("r", "", 100, up, 3);
    assert_refused(plot_of("r", "r"), UF_ERR_ARGUMENT, "r: given twice");
    plot = plot_of("r", NULL);
    plot.output = "picture.gif";
    assert_refused(plot, UF_ERR_ARGUMENT, "picture.gif: the ending");
    plot = plot_of("r", NULL);
    plot.band = "sdt";
    assert_refused(plot, UF_ERR_ARGUMENT,
                   "unknown band 'sdt'; did you mean 'std'?; known: stderr, std, minmax, ci");
    plot = plot_of("r", NULL);
    plot.x = "second";
    assert_refused(plot, UF_ERR_ARGUMENT, "unknown axis 'second'; did you mean 'seconds'?");
    plot = plot_of("r", NULL);
    plot.confidence = 1;
    assert_refused(plot, UF_ERR_ARGUMENT, "confidence is 1");
    plot.num_sources = 0;
    assert_refused(plot, UF_ERR_ARGUMENT, "no runs");
    make_run("s", "", "{\"update\": 2, \"eval_return\": 1}\n{\"update\": 2, \"eval_return\": 1}\n");
    assert_refused(plot_of("s", NULL), UF_ERR_FORMAT, "log.jsonl: line 2: 'update' is not above");
    make_scored_run("t", "", 1000, up, 1);
    assert_refused(plot_of("r", "t"), UF_ERR_ARGUMENT, "d, a: the log of ");
    write_final("r", "", "one hash", up, 3);
    make_scored_run("u", "", 100, up, 3);
    write_final("u", "", "another", up, 3);
    assert_refused(plot_of("r", "u"), UF_ERR_ARGUMENT, "these are two datasets");
}

// ---- final scores ----

static void test_final(void** state) {
    (void)state;
    const double scores[5][2] = {{10, 20}, {40, 60}, {70, 70}, {80, 80}, {200, 0}};
    for (int i = 0; i < 5; i++) {
        char run[32], settings[80];
        snprintf(run, sizeof run, "runs/%d", i);
        snprintf(settings, sizeof settings, ", \"seed\": %d%s", i, i == 4 ? ", \"algorithm\": \"b\"" : "");
        write_final(run, settings, "hash", scores[i], 2);
    }
    UfPlotRuns plot = plot_of("runs", NULL);
    plot.final = true;
    // The same numbers as `unifloral protocol` has them. Of 15, 50, 70, 80 the middle half is 50 and 70.
    UfScoreTable table = {0};
    UfProtocolOptions o = uf_protocol_defaults();
    UfProtocol p;
    UfPool* pool;
    o.num_bootstraps = plot.num_bootstraps;
    assert_ok(uf_pool_create(&pool, 1));
    assert_ok(uf_results_add_source(&table, sources[0]));
    assert_ok(uf_scores_group(&table));
    assert_ok(uf_protocol(&p, table.scores, table.num_scores, &o, pool));
    const UfInterval iqm = p.groups[0].iqm;
    assert_true(iqm.value == 60 && iqm.low < 60 && iqm.high > 60);
    char expected[1024];
    snprintf(expected, sizeof expected,
             "d, b: one run, so there is no interval\n"
             "dataset,group,unit,num_runs,statistic,value,low,high\n"
             "\"d\",\"a\",\"score\",4,iqm,60,%.9g,%.9g\n"
             "\"d\",\"a\",\"score\",4,run,15,,\n\"d\",\"a\",\"score\",4,run,50,,\n"
             "\"d\",\"a\",\"score\",4,run,70,,\n\"d\",\"a\",\"score\",4,run,80,,\n"
             "\"d\",\"b\",\"score\",1,iqm,100,,\n\"d\",\"b\",\"score\",1,run,100,,\n",
             iqm.low, iqm.high);
    assert_drawn(plot, expected);
    uf_protocol_free(&p);
    uf_pool_free(pool);
    uf_scores_free(&table);
    plot.by = "seed";
    char* text = drawn(plot);
    assert_non_null(strstr(text, "\"a, seed=3\",\"score\",1,iqm,80,,\n"));
    uf_free(text);
    plot = plot_of("nowhere", NULL);
    plot.final = true;
    assert_refused(plot, UF_ERR_ARGUMENT, "nowhere: is not there");
}

// ---- stores ----

// Curves of a store are those of its run folders, as long as these hold what was stored.
static void test_store(void** state) {
    (void)state;
    UfStore* store;
    bool failed;
    make_scored_run("runs/1", "", 100, up, 3);
    write_final("runs/1", "", "hash", up, 3);
    make_scored_run("runs/2", ", \"lr\": 0.1", 100, down, 3);
    write_final("runs/2", ", \"lr\": 0.1", "hash", down, 3);
    UfStatus status = uf_store_open(&store, in_folder("store.sqlite"), true);
    if (status == UF_ERR_UNSUPPORTED) skip();
    assert_ok(status);
    assert_ok(uf_results_put_run(store, in_folder("runs/1"), NULL, &failed));
    assert_ok(uf_results_put_run(store, in_folder("runs/2"), NULL, &failed));
    uf_store_close(store);
    UfPlotRuns plot = plot_of("store.sqlite", NULL);
    plot.by = "lr";
    char *text = drawn(plot), *of_folders = drawn((plot.sources = (const char*[]){in_folder("runs")}, plot));
    assert_string_equal(text, of_folders);
    assert_non_null(strstr(text, "lr=0.1\",\"eval_score\",1,300,16,,\n"));
    uf_free(text);
    uf_free(of_folders);
    make_scored_run("runs/2", ", \"lr\": 0.2", 100, down, 3);
    plot = plot_of("store.sqlite", NULL);
    text = drawn(plot);
    assert_non_null(strstr(
        text, "store.sqlite: 1 of 2 policies are left out: their run folders are not where they were"));
    assert_null(strstr(text, "eval_score\",2,"));
    uf_free(text);
    plot.final = true;
    plot.by = "lr";
    text = drawn(plot);
    assert_non_null(strstr(text, "\"a, lr=0.1\",\"score\",1,iqm,22,,\n"));
    uf_free(text);
    static const char* const others[] = {", \"seed\": 9", ", \"dataset\": \"other/d.hdf5\"",
                                         ", \"algorithm\": \"b\""};
    for (int i = 0; i < 3; i++) {
        make_scored_run("runs/1", others[i], 100, down, 3);
        assert_refused(plot_of("store.sqlite", NULL), UF_ERR_ARGUMENT, "give the folders, or --final");
    }
}

// ---- pictures ----

#ifndef UF_NO_CAIRO
static char* svg_of(UfPlotRuns plot) {
    UfPlotReport report;
    char* svg;
    size_t bytes;
    plot.csv = NULL;
    plot.output = in_folder("picture.svg");
    assert_ok(uf_plot_runs(&plot, &report));
    uf_plot_report_free(&report);
    assert_ok(uf_read_file(plot.output, &svg, &bytes));
    return svg;
}

static int count_of(const char* text, const char* piece) {
    int count = 0;
    for (const char* c = text; (c = strstr(c, piece)); c++) count++;
    return count;
}

// Points of the first line of a colour: the chart comes before the legend.
static int read_line(const char* svg, const char* colour, double points[][2], int most) {
    const char* path = strstr(svg, colour);
    assert_non_null(path);
    path = strstr(path, " d=\"");
    assert_non_null(path);
    int count = 0, used = 0;
    char kind;
    path += 4;
    while (count < most &&
           sscanf(path, " %c %lf %lf%n", &kind, &points[count][0], &points[count][1], &used) == 3) {
        path += used;
        count++;
    }
    return count;
}
#endif

// What is drawn is what the table says: on one scale for both axes.
static void test_picture(void** state) {
    (void)state;
#ifdef UF_NO_CAIRO
    skip();
#else
    const double first[] = {10, 40, 20, 90}, second[] = {20, 60, 100, 100}, mean[] = {15, 50, 60, 95};
    double points[8][2];
    make_scored_run("runs/1", "", 100, first, 4);
    make_scored_run("runs/2", ", \"seed\": 1", 100, second, 4);
    make_scored_run("runs/3", ", \"algorithm\": \"b\"", 100, first, 4);
    make_scored_run("runs/4", ", \"dataset\": \"e.hdf5\"", 100, first, 4);
    char* svg = svg_of(plot_of("runs/1", "runs/2"));
    assert_int_equal(read_line(svg, "stroke:rgb(0%,44.", points, 8), 4);
    const double x_scale = (points[1][0] - points[0][0]) / 100, y_scale = (points[1][1] - points[0][1]) / 35;
    assert_true(x_scale > 0 && y_scale < 0);
    for (int i = 0; i < 4; i++) {  // cairo keeps 1/256 of a pixel; the scale is of a half of the range
        assert_true(fabs(points[i][0] - points[0][0] - 100 * i * x_scale) < 0.02);
        assert_true(fabs(points[i][1] - points[0][1] - (mean[i] - mean[0]) * y_scale) < 0.02);
    }
    assert_int_equal(count_of(svg, "fill-opacity:0.2"), 1);
    uf_free(svg);
    svg = svg_of(plot_of("runs", NULL));  // two charts, of which the second has no b
    assert_int_equal(count_of(svg, "stroke:rgb(0%,44."), 3);
    assert_int_equal(count_of(svg, "stroke:rgb(83."), 2);
    assert_int_equal(count_of(svg, "fill-opacity:0.2"), 1);
    uf_free(svg);
#endif
}

// Two groups: the caps of an interval are at its ends, where the mark's scale says.
static void test_final_picture(void** state) {
    (void)state;
#ifdef UF_NO_CAIRO
    skip();
#else
    double points[8][2];
    const double values[] = {0, 100, 50};
    for (int i = 0; i < 3; i++) {
        char run[32], settings[80];
        snprintf(run, sizeof run, "runs/%d", i);
        snprintf(settings, sizeof settings, ", \"seed\": %d", i);
        write_final(run, settings, "hash", &values[i], 1);
    }
    write_final("runs/b", ", \"algorithm\": \"b\"", "hash", values, 1);
    UfPlotRuns plot = plot_of("runs", NULL);
    plot.final = true;
    plot.confidence = 0.999999;  // so that the interval is from the worst run to the best
    char* svg = svg_of(plot);
    // The line from end to end and two caps; the axis is from 0 to 100 too.
    assert_int_equal(read_line(svg, "stroke:rgb(0%,44.", points, 8), 6);
    assert_true(points[1][0] - points[0][0] > 700 && points[0][1] == points[1][1]);
    assert_true(points[2][0] == points[0][0] && points[4][0] == points[1][0]);
    assert_true(points[2][1] + points[3][1] == 2 * points[0][1]);
    assert_int_equal(count_of(svg, "fill-opacity:0.45"), 4);  // runs
    assert_int_equal(count_of(svg, "stroke:rgb(83."), 0);     // b has one run, so no interval
    uf_free(svg);
#endif
}

int main(void) {
#define CASE(test) cmocka_unit_test_setup(test, empty_folder)
    const struct CMUnitTest tests[] = {
        CASE(test_log),     CASE(test_student), CASE(test_bands),         CASE(test_interpolation),
        CASE(test_groups),  CASE(test_by),      CASE(test_columns),       CASE(test_notes),
        CASE(test_returns), CASE(test_final),   CASE(test_world_models),  CASE(test_refusals),
        CASE(test_store),   CASE(test_picture), CASE(test_final_picture),
    };
    return cmocka_run_group_tests_name("plot_runs", tests, make_folder, remove_folder);
}
