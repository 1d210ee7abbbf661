// test_protocol.c: the bandit protocol against expectations computed without it, the aggregates against small cases
// by hand, and what results can be wrong in.
#include "support.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <sys/stat.h>

#include "h5_change.h"

#include "core/core.h"
#include "core/data/h5.h"
#include "core/results/protocol.h"
#include "core/results/scores.h"
#include "core/verify/verify.h"

static UfScores matrix(const char* dataset, const char* algorithm, int policies, int rollouts,
                       const double* values) {
    return (UfScores){dataset, algorithm, policies, rollouts, values, false};
}

static UfBanditCurve curve_of(const UfScores* s, UfProtocolOptions o, int threads) {
    UfBanditCurve curve;
    UfPool* pool;
    assert_ok(uf_pool_create(&pool, threads));
    assert_ok(uf_bandit_curve(&curve, s, &o, pool));
    uf_pool_free(pool);
    return curve;
}

static UfProtocol protocol_of(const UfScores* s, int count, UfProtocolOptions o, int threads) {
    UfProtocol p;
    UfPool* pool;
    assert_ok(uf_pool_create(&pool, threads));
    assert_ok(uf_protocol(&p, s, count, &o, pool));
    uf_pool_free(pool);
    return p;
}

// ---- curves ----

// K = 1: the drawn policy is the choice, whatever its returns are; on average the mean of all.
static void test_one_arm(void** state) {
    (void)state;
    const double values[] = {1, 3, 10, 20, -5, -5};
    const UfScores s = matrix("d", "a", 3, 2, values);
    UfProtocolOptions o = uf_protocol_defaults();
    o.subsample = 1;
    o.num_trials = 4000;
    UfBanditCurve c = curve_of(&s, o, 1);
    // Unpulled arms count as mean 0, but with one arm there is no other: negative means are chosen too.
    for (int i = 0; i < o.max_pulls; i++) {
        assert_true(fabs(c.mean[i] - 4) < 6 * c.error[i]);
        assert_true(c.mean[i] == c.mean[0]);
    }
    uf_bandit_curve_free(&c);
}

// Returns that never vary: the first K pulls visit each arm once, so that after K the best of the K is the choice,
// exactly. Before, the best of those pulled, each set of them as likely.
static void test_constant_returns(void** state) {
    (void)state;
    const double values[] = {10, 10, 20, 20, 40, 40};
    const UfScores s = matrix("d", "a", 3, 2, values);
    UfProtocolOptions o = uf_protocol_defaults();
    o.subsample = 3;
    o.max_pulls = 10;
    o.num_trials = 20000;
    UfBanditCurve c = curve_of(&s, o, 1);
    assert_int_equal(c.subsample, 3);
    assert_true(fabs(c.mean[0] - 70.0 / 3) < 6 * c.error[0]);
    assert_true(fabs(c.mean[1] - 100.0 / 3) < 6 * c.error[1]);
    for (int i = 2; i < 10; i++) {
        assert_true(c.mean[i] == 40 && c.error[i] == 0);
        assert_true(c.low[i] == 40 && c.high[i] == 40);
    }
    uf_bandit_curve_free(&c);
}

// Means near the bonus of an unpulled arm, sqrt(2 ln t / 1e-9) = 37233 at t = 2 and 46875 at t = 3: who first drew the
// arm of 40000 stays with it for one pull. A clock that starts at 2, or another constant, moves that.
static void test_clock(void** state) {
    (void)state;
    const double values[] = {40000, 50000};
    const UfScores s = matrix("d", "a", 2, 1, values);
    UfProtocolOptions o = uf_protocol_defaults();
    o.max_pulls = 4;
    UfBanditCurve c = curve_of(&s, o, 1);
    assert_int_equal(c.subsample, 2);  // lowered from 8
    assert_true(c.mean[0] > 44000 && c.mean[0] < 46000);
    assert_true(c.mean[1] == c.mean[0]);
    assert_true(c.mean[2] == 50000 && c.mean[3] == 50000);
    uf_bandit_curve_free(&c);
}

// An arm of negative returns loses to one that was never pulled.
static void test_negative_returns(void** state) {
    (void)state;
    const double values[] = {-3, -1};
    const UfScores s = matrix("d", "a", 2, 1, values);
    UfProtocolOptions o = uf_protocol_defaults();
    o.max_pulls = 2;
    UfBanditCurve c = curve_of(&s, o, 1);
    assert_true(fabs(c.mean[0] + 2) < 6 * c.error[0] && c.error[0] > 0);
    assert_true(c.mean[1] == -1);
    uf_bandit_curve_free(&c);
}

// The expectation itself, by going through every outcome of every pull.
enum { TREE_PULLS = 9, MAX_TREE_ARMS = 3 };

typedef struct Tree {
    const UfScores* s;
    double alpha, expected[TREE_PULLS];
} Tree;

static double row_mean(const UfScores* s, int policy) {
    double sum = 0;
    for (int r = 0; r < s->num_rollouts; r++) sum += s->values[policy * s->num_rollouts + r];
    return sum / s->num_rollouts;
}

static void descend(Tree* tree, const int* arms, int K, int pull, const int* n, const double* sum,
                    double probability) {
    double index[MAX_TREE_ARMS], top = -INFINITY;
    int num_tied = 0;
    if (pull == TREE_PULLS) return;
    for (int k = 0; k < K; k++) {
        index[k] = (n[k] ? sum[k] / n[k] : 0) + sqrt(tree->alpha * log(pull + 1.0) / (n[k] + 1e-9));
        top = fmax(top, index[k]);
    }
    for (int k = 0; k < K; k++) num_tied += index[k] == top;
    for (int k = 0; k < K; k++) {
        const int R = tree->s->num_rollouts;
        for (int r = 0; index[k] == top && r < R; r++) {
            int n2[MAX_TREE_ARMS], best = 0;
            double sum2[MAX_TREE_ARMS], highest = -INFINITY;
            const double p = probability / num_tied / R;
            memcpy(n2, n, sizeof n2);
            memcpy(sum2, sum, sizeof sum2);
            n2[k]++;
            sum2[k] += tree->s->values[arms[k] * R + r];
            for (int a = 0; a < K; a++) {
                const double mean = n2[a] ? sum2[a] / n2[a] : 0;
                if (mean > highest) {
                    highest = mean;
                    best = a;
                }
            }
            tree->expected[pull] += p * row_mean(tree->s, arms[best]);
            descend(tree, arms, K, pull + 1, n2, sum2, p);
        }
    }
}

// Returns of the size of the bonus, so that alpha, the root and the clock all matter; two arms out of three.
static void test_expectation(void** state) {
    (void)state;
    const double values[] = {0, 1, 0.2, 0.9, -0.4, 1.1};
    const UfScores s = matrix("d", "a", 3, 2, values);
    const double alphas[] = {0, 0.3, 2};
    for (int i = 0; i < 3; i++) {
        Tree tree = {&s, alphas[i], {0}};
        for (int a = 0; a < 3; a++)
            for (int b = 0; b < 3; b++)
                if (a != b)
                    descend(&tree, (int[]){a, b}, 2, 0, (int[]){0, 0, 0}, (double[]){0, 0, 0}, 1.0 / 6);
        UfProtocolOptions o = uf_protocol_defaults();
        o.subsample = 2;
        o.max_pulls = TREE_PULLS;
        o.num_trials = 200000;
        o.num_bootstraps = 0;
        o.ucb_alpha = alphas[i];
        UfBanditCurve c = curve_of(&s, o, 2);
        for (int t = 0; t < TREE_PULLS; t++) {
            const double errors = fabs(c.mean[t] - tree.expected[t]) / c.error[t];
            if (!(errors < 6))
                fail_msg("alpha %g, pull %d: %.5f, expected %.5f, %.1f standard errors", alphas[i], t + 1,
                         c.mean[t], tree.expected[t], errors);
            assert_true(isnan(c.low[t]) && isnan(c.high[t]));
        }
        uf_bandit_curve_free(&c);
    }
}

// ---- intervals ----

static double noise(uint32_t* x) {  // sum of uniforms, nearly normal, variance 1
    double sum = 0;
    for (int i = 0; i < 12; i++) {
        *x = *x * 1664525u + 1013904223u;
        sum += (*x >> 8) / 16777216.0;
    }
    return sum - 6;
}

// As wide on either side as the standard error says: of 20000 replicates a limit is known to 1 % of the distance.
static void test_width(void** state) {
    (void)state;
    double values[10 * 50];
    uint32_t x = 1;
    for (int i = 0; i < 500; i++) values[i] = 10 * (i / 50) + 20 * noise(&x);
    const UfScores s = matrix("d", "a", 10, 50, values);
    UfProtocolOptions o = uf_protocol_defaults();
    o.max_pulls = 20;
    o.num_bootstraps = 20000;
    UfBanditCurve c = curve_of(&s, o, 1);
    for (int i = 0; i < o.max_pulls; i++) {
        const double below = (c.mean[i] - c.low[i]) / (1.96 * c.error[i]),
                     above = (c.high[i] - c.mean[i]) / (1.96 * c.error[i]);
        if (!(below > 0.92 && below < 1.08 && above > 0.92 && above < 1.08))
            fail_msg("pull %d: %.3f and %.3f times as wide", i + 1, below, above);
    }
    UfProtocolOptions half = o;
    half.confidence = 0.5;
    UfBanditCurve narrow = curve_of(&s, half, 1);
    assert_true((narrow.high[0] - narrow.low[0]) / (c.high[0] - c.low[0]) < 0.4);  // 0.344 of a normal
    uf_bandit_curve_free(&narrow);
    uf_bandit_curve_free(&c);
}

// Of 400 intervals about 380 hold the truth: within 6 standard deviations of a binomial.
static void test_coverage(void** state) {
    (void)state;
    const double values[] = {1, 1, 2, 2, 4, 4, 9, 9};
    const UfScores s = matrix("d", "a", 4, 2, values);
    UfProtocolOptions o = {.subsample = 1,
                           .max_pulls = 1,
                           .num_trials = 100,
                           .num_bootstraps = 200,
                           .ucb_alpha = 2,
                           .confidence = 0.95};
    int covered = 0;
    for (o.seed = 0; o.seed < 400; o.seed++) {
        UfBanditCurve c = curve_of(&s, o, 1);
        covered += c.low[0] <= 4 && 4 <= c.high[0];
        uf_bandit_curve_free(&c);
    }
    if (covered < 354 || covered == 400) fail_msg("%d of 400 intervals hold the truth", covered);
}

// ---- aggregates ----

static void test_aggregates(void** state) {
    (void)state;
    const double a1[] = {1, 2, 3}, b1[] = {2, 0}, a2[] = {8, 7, 6, 5, 4}, b2[] = {9, 9};
    const UfScores s[] = {matrix("one", "a", 3, 1, a1), matrix("one", "b", 2, 1, b1),
                          matrix("two", "a", 5, 1, a2), matrix("two", "b", 1, 2, b2)};
    UfProtocolOptions o = uf_protocol_defaults();
    o.num_trials = 10;
    UfProtocol p = protocol_of(s, 4, o, 1);
    assert_int_equal(p.num_datasets, 2);
    assert_int_equal(p.num_algorithms, 2);
    assert_int_equal(p.num_pairs, 1);
    assert_true(fabs(p.groups[0].zero_shot.value - 2) < 1e-12);
    assert_true(fabs(p.groups[2].zero_shot.value - 6) < 1e-12);
    assert_true(fabs(p.groups[2].iqm.value - 6) < 1e-12);  // of 5 one goes at either end
    assert_true(p.groups[2].best == 8 && p.groups[2].best_policy == 0);
    assert_true(fabs(p.algorithms[0].iqm.value - 4.5) < 1e-12);       // 3 4 5 6 of 1 to 8
    assert_true(fabs(p.algorithms[1].iqm.value - 11.0 / 3) < 1e-12);  // 0 2 9: a quarter of 3 is none
    // One: 4.5 of 6 pairs, an equal one being half. Two: none.
    assert_int_equal(p.pairs[0].num_datasets, 2);
    assert_true(fabs(p.pairs[0].value.value - 0.375) < 1e-12);
    assert_true(p.pairs[0].value.low <= 0.375 && p.pairs[0].value.high >= 0.375);
    assert_true(p.pairs[0].value.low >= 0 && p.pairs[0].value.high <= 0.5);
    assert_true(p.groups[0].zero_shot.low < 2 && p.groups[0].zero_shot.high > 2);
    assert_true(isnan(p.groups[3].zero_shot.low) && isnan(p.groups[3].curve.low[0]));  // one policy
    uf_protocol_free(&p);
}

// Policies are drawn within their dataset: mixing datasets would make this interval wide.
static void test_stratified(void** state) {
    (void)state;
    const double low[] = {0, 0, 0, 0}, high[] = {100, 100, 100, 100};
    const UfScores s[] = {matrix("one", "a", 4, 1, low), matrix("two", "a", 4, 1, high)};
    UfProtocolOptions o = uf_protocol_defaults();
    o.num_trials = 10;
    UfProtocol p = protocol_of(s, 2, o, 1);
    assert_true(p.algorithms[0].iqm.value == 50);
    assert_true(p.algorithms[0].iqm.low == 50 && p.algorithms[0].iqm.high == 50);
    uf_protocol_free(&p);
}

// Two samples of one distribution: the variance of the probability is (n + m + 1) / 12 n m (Mann, Whitney).
static void test_improvement_interval(void** state) {
    (void)state;
    enum { N = 150 };
    double a[N], b[N];
    uint32_t x = 7;
    for (int i = 0; i < N; i++) {
        a[i] = noise(&x);
        b[i] = noise(&x);
    }
    const UfScores s[] = {matrix("d", "a", N, 1, a), matrix("d", "b", N, 1, b)};
    UfProtocolOptions o = uf_protocol_defaults();
    o.num_trials = 10;
    UfProtocol p = protocol_of(s, 2, o, 2);
    const double deviation = sqrt((2 * N + 1) / (12.0 * N * N)),
                 wide = (p.pairs[0].value.high - p.pairs[0].value.low) / (2 * 1.96 * deviation);
    assert_true(fabs(p.pairs[0].value.value - 0.5) < 5 * deviation);
    if (!(wide > 0.85 && wide < 1.15)) fail_msg("%.2f times as wide", wide);
    uf_protocol_free(&p);
}

// ---- the same bits ----

static void assert_same_curve(const UfBanditCurve* a, const UfBanditCurve* b) {
    const size_t bytes = (size_t)a->num_pulls * sizeof(double);
    assert_memory_equal(a->mean, b->mean, bytes);
    assert_memory_equal(a->error, b->error, bytes);
    assert_memory_equal(a->low, b->low, bytes);
    assert_memory_equal(a->high, b->high, bytes);
}

// For any number of threads, and whatever other matrices there are; but not for another seed.
static void test_same_bits(void** state) {
    (void)state;
    double values[12 * 30];
    uint32_t x = 3;
    for (int i = 0; i < 360; i++) values[i] = i / 30 + 5 * noise(&x);
    const UfScores s[] = {matrix("d", "a", 7, 30, values), matrix("d", "b", 12, 30, values)};
    UfProtocolOptions o = uf_protocol_defaults();
    o.num_trials = 333;
    o.num_bootstraps = 101;
    UfProtocol one = protocol_of(s, 2, o, 1), three = protocol_of(s, 2, o, 3);
    UfBanditCurve alone = curve_of(&s[1], o, 2);
    for (int g = 0; g < 2; g++) {
        assert_same_curve(&one.groups[g].curve, &three.groups[g].curve);
        assert_memory_equal(&one.groups[g].zero_shot, &three.groups[g].zero_shot, sizeof(UfInterval));
        assert_memory_equal(&one.groups[g].iqm, &three.groups[g].iqm, sizeof(UfInterval));
        assert_memory_equal(&one.algorithms[g].iqm, &three.algorithms[g].iqm, sizeof(UfInterval));
    }
    assert_memory_equal(&one.pairs[0].value, &three.pairs[0].value, sizeof(UfInterval));
    assert_same_curve(&one.groups[1].curve, &alone);
    uf_bandit_curve_free(&alone);
    o.seed = 1;
    alone = curve_of(&s[1], o, 2);
    assert_true(alone.mean[50] != one.groups[1].curve.mean[50]);
    uf_bandit_curve_free(&alone);
    uf_protocol_free(&one);
    uf_protocol_free(&three);
}

// ---- what is refused ----

static void test_bad_options(void** state) {
    (void)state;
    double values[] = {1, 2, 3, 4};
    UfScores s = matrix("hopper-medium", "iql", 2, 2, values);
    const struct {
        UfProtocolOptions options;
        const char* piece;
    } cases[] = {
        {{0, 10, 10, 10, 2, 0.95, 0}, "subsample is 0"},
        {{2, 0, 10, 10, 2, 0.95, 0}, "max_pulls is 0"},
        {{2, 10, 1, 10, 2, 0.95, 0}, "num_trials is 1"},
        {{2, 10, 10, -1, 2, 0.95, 0}, "num_bootstraps is -1"},
        {{2, 10, 10, 10, -1, 0.95, 0}, "ucb_alpha is -1"},
        {{2, 10, 10, 10, NAN, 0.95, 0}, "ucb_alpha is nan"},
        {{2, 10, 10, 10, 2, 1, 0}, "confidence is 1, expected"},
        {{2, 10, 10, 10, 2, 0, 0}, "confidence is 0, expected"},
    };
    UfPool* pool;
    UfProtocol p;
    assert_ok(uf_pool_create(&pool, 1));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(uf_protocol(&p, &s, 1, &cases[i].options, pool), UF_ERR_ARGUMENT);
        assert_error(cases[i].piece);
    }
    const UfProtocolOptions o = uf_protocol_defaults();
    assert_int_equal(uf_protocol(&p, &s, 0, &o, pool), UF_ERR_ARGUMENT);
    assert_error("no results");
    const UfScores twice[] = {s, s};
    assert_int_equal(uf_protocol(&p, twice, 2, &o, pool), UF_ERR_ARGUMENT);
    assert_error("hopper-medium, iql: given twice");
    const UfScores single = matrix("hopper-medium", "bc", 1, 4, values);
    assert_int_equal(uf_protocol(&p, &single, 1, &o, pool), UF_ERR_ARGUMENT);
    assert_error("hopper-medium, bc: one policy only");
    values[2] = NAN;
    assert_int_equal(uf_protocol(&p, &s, 1, &o, pool), UF_ERR_NONFINITE);
    assert_error("hopper-medium, iql: rollout 0 of policy 1 is not a number");
    uf_pool_free(pool);
}

// ---- run folders ----

// A run's result as far as the protocol reads it.
static const char* make_run(const char* name, const char* dataset, const char* algorithm,
                            const double* returns, int64_t count, double scale) {
    const char* path = in_folder(name);
    char config[256], file[256];
    double scores[64];
    UfH5 h5;
    assert_ok(uf_make_folder(path));
    snprintf(file, sizeof file, "%s/final.h5", path);
    snprintf(config, sizeof config, "{\"dataset\": \"data/%s.hdf5\", \"algorithm\": \"%s\"}", dataset,
             algorithm);
    assert_ok(uf_h5_create(&h5, file));
    assert_ok(uf_h5_write_string(&h5, "/", "kind", "unifloral-result"));
    assert_ok(uf_h5_write_string(&h5, "/", "dataset_hash", dataset));
    assert_ok(uf_h5_write_string(&h5, "/", "env", "Pendulum-v1"));
    assert_ok(uf_h5_write_string(&h5, "/", "config", config));
    for (int64_t i = 0; i < count; i++) scores[i] = scale * returns[i];
    if (count) assert_ok(uf_h5_write(&h5, "returns", UF_H5_DOUBLE, returns, 1, &count, 0, false));
    if (count && scale != 0) assert_ok(uf_h5_write(&h5, "scores", UF_H5_DOUBLE, scores, 1, &count, 0, false));
    assert_ok(uf_h5_close(&h5));
    return path;
}

static void remove_runs(void) {
    char command[160];
    snprintf(command, sizeof command, "rm -rf '%s'/*", folder);
    assert_int_equal(system(command), 0);
}

static UfStatus run_protocol(const char* source, const char* second, UfProtocolReport* report) {
    const char* sources[] = {source, second};
    UfProtocolRun run = {.sources = sources,
                         .num_sources = second ? 2 : 1,
                         .options = uf_protocol_defaults(),
                         .num_threads = 1,
                         .folder = in_folder("out")};
    run.options.num_trials = 50;
    run.options.num_bootstraps = 40;
    run.options.max_pulls = 12;
    return uf_protocol_run(&run, report);
}

static void assert_refused(UfStatus status, const char* piece, const char* second) {
    UfProtocolReport report;
    assert_int_equal(run_protocol(folder, second, &report), status);
    assert_error(piece);
    assert_null(report.text);
    uf_protocol_report_free(&report);
    remove_runs();
}

static const double returns_a[] = {1, 2, 3}, returns_b[] = {4, 5, 6}, returns_nan[] = {1, NAN, 3};

static void test_bad_results(void** state) {
    (void)state;
    remove_runs();
    assert_refused(UF_ERR_ARGUMENT, "holds no run", NULL);
    make_run("r0", "d", "iql", returns_a, 3, 10);
    assert_refused(UF_ERR_ARGUMENT, "nowhere: is not there", in_folder("nowhere"));
    make_run("r0", "d", "iql", returns_a, 0, 0);
    assert_refused(UF_ERR_ARGUMENT, "none of 1 runs has final returns", NULL);
    make_run("r0", "d", "iql", returns_a, 3, 10);
    make_run("r1", "d", "iql", returns_b, 2, 10);
    assert_refused(UF_ERR_ARGUMENT, "r1 has 2 final episodes, ", NULL);
    make_run("r0", "d", "iql", returns_nan, 3, 0);
    assert_refused(UF_ERR_NONFINITE, "r0: return 1 of 3 is not a number", NULL);
    make_run("r0", "d", "iql", returns_a, 3, 10);
    assert_refused(UF_ERR_ARGUMENT, "d, iql: one policy only", NULL);
    const char* run = make_run("r0", "d", "iql", returns_a, 3, 10);
    assert_refused(UF_ERR_ARGUMENT, "r0: given twice", run);
    run = make_run("r0", "d", "iql", returns_a, 3, 10);
    make_run("r1", "d", "iql", returns_b, 3, 10);
    char file[256];
    UfH5 h5 = {.file = -1};
    snprintf(file, sizeof file, "%s/final.h5", run);
    h5.file = H5Fopen(file, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_ok(uf_h5_write_string(&h5, "/", "dataset_hash", "another"));
    assert_ok(uf_h5_close(&h5));
    assert_refused(UF_ERR_ARGUMENT, "these are two datasets", NULL);
}

static cJSON* read_json(const char* name) {
    char* text;
    size_t bytes;
    assert_ok(uf_read_file(in_folder(name), &text, &bytes));
    cJSON* json = cJSON_Parse(text);
    assert_non_null(json);
    uf_free(text);
    return json;
}

static int count_lines(const char* name) {
    char* text;
    size_t bytes;
    int lines = 0;
    assert_ok(uf_read_file(in_folder(name), &text, &bytes));
    for (size_t i = 0; i < bytes; i++) lines += text[i] == '\n';
    uf_free(text);
    return lines;
}

static double at(const cJSON* object, const char* list, int i) {
    return cJSON_GetArrayItem(cJSON_GetObjectItem(object, list), i)->valuedouble;
}

static void test_files(void** state) {
    (void)state;
    static const char quoted[] = "a,\\\"b\\\"";  // as JSON has it
    UfProtocolReport report;
    remove_runs();
    make_run("runs/d/r0", "d", quoted, returns_a, 3, 10);
    make_run("runs/d/r1", "d", quoted, returns_b, 3, 10);
    make_run("runs/d/r2", "d", "iql", returns_b, 3, 10);
    make_run("runs/e/r0", "e", "iql", returns_a, 3, 0);
    make_run("runs/e/r1", "e", "iql", returns_b, 3, 10);
    make_run("runs/e/r2", "e", "iql", returns_b, 0, 0);
    assert_ok(run_protocol(in_folder("runs"), NULL, &report));
#ifdef UF_NO_CAIRO
    assert_false(report.has_figures);
    assert_non_null(strstr(report.notes, "libcairo2-dev"));
#else
    assert_true(report.has_figures);
    static const char* const magics[][2] = {{"svg", "<?xml"}, {"png", "\x89PNG"}, {"pdf", "%PDF-"}};
    for (int i = 0; i < 3; i++) {
        char name[32], *data;
        size_t bytes;
        snprintf(name, sizeof name, "out/protocol.%s", magics[i][0]);
        assert_ok(uf_read_file(in_folder(name), &data, &bytes));
        assert_memory_equal(data, magics[i][1], strlen(magics[i][1]));
        uf_free(data);
    }
#endif
    static const char* const said[] = {"left out, 1 in all", "e: returns, not scores: Pendulum-v1",
                                       "lowered to their number: d: a,\"b\" 2, iql 1; e: iql 2",
                                       "d, iql: one policy only"};
    for (int i = 0; i < 4; i++)
        if (!strstr(report.notes, said[i])) fail_msg("'%s' is not in: %s", said[i], report.notes);
    assert_non_null(strstr(report.text, "35.0"));  // zero-shot of d, a
    cJSON *json = read_json("out/protocol.json"), *curves = cJSON_GetObjectItem(json, "curves");
    assert_int_equal(cJSON_GetArraySize(curves), 3);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "notes")), 4);
    const cJSON *first = cJSON_GetArrayItem(curves, 0), *alone = cJSON_GetArrayItem(curves, 1),
                *returns = cJSON_GetArrayItem(curves, 2);
    assert_string_equal(cJSON_GetObjectItem(first, "algorithm")->valuestring, "a,\"b\"");
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(first, "mean")), 12);
    for (int i = 1; i < 12; i++) assert_true(at(first, "mean", i) == 50);  // returns 1 2 3 against 4 5 6
    assert_true(at(first, "pulls", 11) == 12 && at(first, "low", 11) == 50);
    assert_true(at(alone, "mean", 5) == 50);
    assert_true(cJSON_IsNull(cJSON_GetArrayItem(cJSON_GetObjectItem(alone, "low"), 5)));
    assert_string_equal(cJSON_GetObjectItem(returns, "unit")->valuestring, "return");
    assert_true(at(returns, "mean", 5) == 5);
    cJSON_Delete(json);
    assert_int_equal(count_lines("out/curves.csv"), 1 + 3 * 12);
    assert_int_equal(count_lines("out/summary.csv"), 1 + 3);
    assert_int_equal(count_lines("out/aggregates.csv"), 1 + 2 + 1);
    uf_protocol_report_free(&report);
}

// ---- the recorded curves ----

static void test_recorded(void** state) {
    (void)state;
    static const char recording[] = "../shared/oracle/dynamics.h5";
    // Single points, moved by some 10 standard errors; one return; a NaN.
    static const struct {
        const char* dataset;
        int64_t index;
        double change;
    } cases[] = {{"bandit/mean_8", 0, 1.5},  {"bandit/mean_8", 199, -0.6}, {"bandit/mean_4", 30, 0.9},
                 {"bandit/returns", 0, 1e4}, {"bandit/mean_4", 0, NAN},    {"bandit/stderr_8", 5, NAN}};
    if (access(recording, R_OK) != 0) {
        print_message("SKIP test_recorded: %s not there\n", recording);
        skip();
    }
    char *bytes = NULL, *report = NULL;
    size_t num_bytes = 0;
    bool passed = false;
    assert_ok(uf_verify(recording, &report, &passed));
    assert_true(passed);
    assert_non_null(strstr(report, "recorded mean of 4 arms"));
    assert_non_null(strstr(report, "recorded mean of 8 arms"));
    uf_free(report);
    assert_ok(uf_read_file(recording, &bytes, &num_bytes));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char* path = in_folder("changed.h5");
        assert_ok(uf_write_file(path, bytes, num_bytes));
        hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
        alter(file, cases[i].dataset, cases[i].index, cases[i].change);
        H5Fclose(file);
        assert_ok(uf_verify(path, &report, &passed));
        if (passed) fail_msg("a change of %s went unnoticed", cases[i].dataset);
        uf_free(report);
    }
    uf_free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_arm),     cmocka_unit_test(test_constant_returns),
        cmocka_unit_test(test_clock),       cmocka_unit_test(test_negative_returns),
        cmocka_unit_test(test_expectation), cmocka_unit_test(test_width),
        cmocka_unit_test(test_coverage),    cmocka_unit_test(test_aggregates),
        cmocka_unit_test(test_stratified),  cmocka_unit_test(test_improvement_interval),
        cmocka_unit_test(test_same_bits),   cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_bad_results), cmocka_unit_test(test_files),
        cmocka_unit_test(test_recorded),
    };
    return cmocka_run_group_tests_name("protocol", tests, make_folder, remove_folder);
}
