// test_es.c: evolution strategies: steps worked out by hand, ranks, floors, noise, checkpoints, searches, recordings.
#include "support.h"
#include "h5_change.h"

#include <math.h>

#include "core/search/es.h"
#include "core/verify/verify.h"

enum { MAX_DIMS = 4096, MAX_POPSIZE = 256 };

static UfEsOptions options_of(UfEsStrategy strategy, int popsize, int64_t dims) {
    UfEsOptions o;
    uf_es_default_options(&o, strategy);
    o.popsize = popsize;
    o.dims = dims;
    return o;
}

static UfEs* create(const UfEsOptions* o) {
    UfEs* es = NULL;
    assert_ok(uf_es_create(&es, o));
    return es;
}

// Numbers of a double computation, which sums and roots in another order may move by some roundings.
static void assert_near(const char* what, const double* ours, const double* expected, int count) {
    for (int i = 0; i < count; i++)
        if (!(fabs(ours[i] - expected[i]) <= 1e-14 * fmax(1, fabs(expected[i]))))
            fail_msg("%s[%d] is %.17g; expected %.17g", what, i, ours[i], expected[i]);
}

static void assert_same(const char* what, const void* a, const void* b, size_t bytes) {
    if (memcmp(a, b, bytes) != 0) fail_msg("%s: other bits", what);
}

// ---- steps by hand ----

// Two generations of 2 dimensions and 4 candidates, larger being better, in numpy's float64:
//   F = -f; g = sum of e F / (P sigma), e = z of the first half, -z of the second; m, v, mean as Adam's with b1 = 0.99
// g is (-1.75, 5.5) and then (-1.92.., 0): the second step shows the moments' memory. Afterwards sigma 0.5 * 0.5 stops
// at its floor of 0.26, lr 0.1 * 0.5 at 0.06.
static void test_openes_by_hand(void** state) {
    (void)state;
    static const float noise[2][4] = {{1, -2, 0.5f, 3}, {1, 1, 0, 2}};
    static const double fitness[2][4] = {{3, 1, -1, 2}, {0, 0, -2, 1}};
    static const float x[8] = {0.5f, -1, 0.25f, 1.5f, -0.5f, 1, -0.25f, -1.5f};
    static const double mean[2][2] = {{0.09999999942857145, -0.09999999981818183},
                                      {0.15994628131282293, -0.14222377110090234}},
                        m[2][2] = {{-0.0175, 0.055}, {-0.036555769230769226, 0.05445}},
                        v[2][2] = {{0.0030625, 0.03025}, {0.006757662352071006, 0.03021975}},
                        sigma[2] = {0.26, 0.26}, lr = 0.06;
    UfEsOptions o = options_of(UF_ES_OPENES, 4, 2);
    float ours[8];
    assert_true(o.beta1 == 0.99 && o.beta2 == 0.999 && o.eps == 1e-8 && o.sigma_limit == 0.01 &&
                o.lr_limit == 0.001);
    o.sigma_init = 0.5;
    o.lr = 0.1;
    o.sigma_decay = o.lr_decay = 0.5;
    o.sigma_limit = 0.26;
    o.lr_limit = 0.06;
    UfEs* es = create(&o);
    assert_int_equal(uf_es_num_noise(es), 2);
    uf_es_ask_with(es, noise[0], ours);
    assert_same("candidates", ours, x, sizeof x);
    for (int g = 0; g < 2; g++) {
        assert_ok(uf_es_tell_with(es, noise[g], fitness[g]));
        assert_near("mean", uf_es_mean(es), mean[g], 2);
        assert_near("adam_m", uf_es_adam_m(es), m[g], 2);
        assert_near("adam_v", uf_es_adam_v(es), v[g], 2);
        assert_near("sigma", uf_es_sigma(es), sigma, 2);
        const double rate = uf_es_lr(es);
        assert_near("lr", &rate, &lr, 1);
        assert_int_equal(uf_es_generation(es), g + 1);
    }
    uf_es_free(es);
}

// Likewise of SNES, 3 candidates; two of the second generation tie. The mean moves by the sigma of before.
static void test_snes_by_hand(void** state) {
    (void)state;
    static const float noise[2][6] = {{1, -2, 0.5f, 3, -1, 0}, {0, 1, 2, 0.5f, -1.5f, -1}};
    static const double fitness[2][3] = {{1, 5, 3}, {2, 2, -1}}, start[2] = {1, -1};
    static const struct {
        double temperature, weights[3], mean[2][2], sigma[2][2];
    } cases[] = {{20,
                  {0.999954600070331, 4.5397868608866656e-05, 2.061060046209062e-09},
                  {{1.2499659521138082, 0.4999318980444365}, {1.2500032740513756, 4.53847071207661}},
                  {{0.41106784926719014, 4.038630503288369}, {0.3166068443886081, 4.0385945936910455}}},
                 {0,
                  {0.4708295265993962, -0.13749619326606277, -1.0 / 3},
                  {{1.0197888116162137, 0.03957762323242764}, {1.1223819442201224, 0.8245801610587492}},
                  {{0.4559540498328803, 1.0674283098480786}, {0.324701918939435, 1.096564524840015}}}};
    for (int k = 0; k < 2; k++) {
        UfEsOptions o = options_of(UF_ES_SNES, 3, 2);
        double weights[3];
        o.sigma_init = 0.5;
        o.temperature = cases[k].temperature;
        UfEs* es = create(&o);
        const double rate = uf_es_options(es)->lr_sigma,
                     expected_rate = 0.5222898830587832;  // (3 + ln 2) / (5 sqrt 2)
        assert_near("lr_sigma", &rate, &expected_rate, 1);
        assert_int_equal(uf_es_num_noise(es), 3);
        uf_es_set_mean(es, start);
        uf_es_rank_weights(es, weights);
        assert_near("weights", weights, cases[k].weights, 3);
        for (int g = 0; g < 2; g++) {
            assert_ok(uf_es_tell_with(es, noise[g], fitness[g]));
            assert_near("mean", uf_es_mean(es), cases[k].mean[g], 2);
            assert_near("sigma", uf_es_sigma(es), cases[k].sigma[g], 2);
        }
        assert_null(uf_es_adam_m(es));
        uf_es_free(es);
    }
}

// numpy: softmax of -2 (i / 3 - 1 / 2); utilities of 5, whose second half has none and so -1 / 5.
static void test_rank_weights(void** state) {
    (void)state;
    static const double four[4] = {0.522916955756275, 0.26847451691768004, 0.1378394130095422,
                                   0.07076911431650273},
                        five[5] = {0.43704257124121676, 0.08457025743803293, -0.12161282867924968, -0.2,
                                   -0.2};
    double ours[5];
    UfEsOptions o = options_of(UF_ES_SNES, 4, 3);
    o.temperature = 2;
    UfEs* es = create(&o);
    uf_es_rank_weights(es, ours);
    assert_near("softmax", ours, four, 4);
    uf_es_free(es);
    o = options_of(UF_ES_SNES, 5, 3);
    es = create(&o);
    uf_es_rank_weights(es, ours);
    assert_near("utilities", ours, five, 5);
    uf_es_free(es);
    o.temperature = 1e6;  // all of it on the best
    es = create(&o);
    uf_es_rank_weights(es, ours);
    assert_true(ours[0] == 1 && ours[1] == 0 && ours[4] == 0);
    uf_es_free(es);
}

// With the sign turned to minimise, ranks from the best, ties in order; smaller is better in the second half.
static void test_shaping(void** state) {
    (void)state;
    static const double fitness[4] = {2, 7, 2, -1};
    // F - mean(F) is (0.5, -4.5, 0.5, 3.5) over a deviation of sqrt(8.25)
    static const double raw[4] = {-2, -7, -2, 1}, ranked[4] = {1.0 / 3 - 0.5, -0.5, 2.0 / 3 - 0.5, 0.5},
                        ranked_down[4] = {1.0 / 3 - 0.5, 0.5, 2.0 / 3 - 0.5, -0.5};
    const double unit = 1 / (sqrt(8.25) + 1e-10),
                 scored[4] = {0.5 * unit, -4.5 * unit, 0.5 * unit, 3.5 * unit};
    const double* const expected[3] = {raw, ranked, scored};
    double ours[4];
    for (int shaping = UF_ES_RAW; shaping <= UF_ES_Z_SCORE; shaping++) {
        UfEsOptions o = options_of(UF_ES_OPENES, 4, 1);
        o.shaping = (UfEsShaping)shaping;
        UfEs* es = create(&o);
        uf_es_shape(es, fitness, ours);
        assert_near("shaped", ours, expected[shaping], 4);
        uf_es_free(es);
    }
    UfEsOptions o = options_of(UF_ES_OPENES, 4, 1);
    o.maximize = 0;
    o.shaping = UF_ES_CENTERED_RANK;
    UfEs* es = create(&o);
    uf_es_shape(es, fitness, ours);
    assert_near("minimised", ours, ranked_down, 4);
    uf_es_free(es);
}

// ---- fitness that is not finite ----

static void test_nonfinite_shaping(void** state) {
    (void)state;
    const double nan = (double)NAN, inf = (double)INFINITY, fitness[6] = {3, 1, nan, 2, 1, -inf};
    // The two count as 1, the worst there is; in z-scores F is then (-3, -1, -1, -2, -1, -1) (numpy).
    const double raw[6] = {-3, -1, -1, -2, -1, -1},
                 scored[6] = {-1.9639610118667885, 0.6546536706222628, 0.6546536706222628,
                              -0.6546536706222628, 0.6546536706222628, 0.6546536706222628},
                 ranked[6] = {-0.5, 0.4 - 0.5, 0.8 - 0.5, 0.2 - 0.5, 0.6 - 0.5, 0.5};
    const double* const expected[3] = {raw, ranked, scored};
    double ours[6], best;
    for (int shaping = UF_ES_RAW; shaping <= UF_ES_Z_SCORE; shaping++) {
        UfEsOptions o = options_of(UF_ES_OPENES, 6, 1);
        o.shaping = (UfEsShaping)shaping;
        UfEs* es = create(&o);
        uf_es_shape(es, fitness, ours);
        assert_near("shaped", ours, expected[shaping], 6);
        uf_es_free(es);
    }
    // An infinite return is none either, whichever way it points.
    const double odd[6] = {inf, 1, nan, -inf, 0, inf};
    UfEsOptions o = options_of(UF_ES_SNES, 6, 1);
    UfEs* es = create(&o);
    assert_ok(uf_es_tell(es, odd));
    assert_ok(uf_es_tell(es, odd));
    assert_int_equal(uf_es_num_nonfinite(es), 8);
    assert_non_null(uf_es_best(es, &best));
    assert_true(best == 1);
    uf_es_free(es);
}

// Everything a search knows, to see whether it has changed.
typedef struct Known {
    double mean[MAX_DIMS], sigma[MAX_DIMS], m[MAX_DIMS], v[MAX_DIMS], lr, best_fitness;
    float best[MAX_DIMS];
    int64_t generation, num_nonfinite;
} Known;

static void know(Known* k, const UfEs* es) {
    const size_t count = (size_t)uf_es_options(es)->dims, bytes = count * sizeof(double);
    memset(k, 0, sizeof *k);
    memcpy(k->mean, uf_es_mean(es), bytes);
    memcpy(k->sigma, uf_es_sigma(es), bytes);
    if (uf_es_adam_m(es)) memcpy(k->m, uf_es_adam_m(es), bytes);
    if (uf_es_adam_v(es)) memcpy(k->v, uf_es_adam_v(es), bytes);
    k->lr = uf_es_lr(es);
    const float* best = uf_es_best(es, &k->best_fitness);
    if (best) memcpy(k->best, best, count * sizeof *best);
    k->generation = uf_es_generation(es);
    k->num_nonfinite = uf_es_num_nonfinite(es);
}

static void test_refused_generations(void** state) {
    (void)state;
    static Known before, after;
    const double nan = (double)NAN, inf = (double)INFINITY, good[4] = {1, 2, 3, 4},
                 none[4] = {nan, inf, -inf, nan}, huge[4] = {1e308, -1e308, -1e308, 1e308};
    for (int strategy = UF_ES_OPENES; strategy <= UF_ES_SNES; strategy++) {
        UfEsOptions o = options_of((UfEsStrategy)strategy, 4, 3);
        o.sigma_init = 1e-3;
        UfEs* es = create(&o);
        assert_ok(uf_es_tell(es, good));
        know(&before, es);
        assert_int_equal(uf_es_tell(es, none), UF_ERR_NONFINITE);
        assert_error("none of the 4 candidates of generation 2 has a finite fitness");
        know(&after, es);
        assert_same("after a generation without fitness", &before, &after, sizeof before);
        if (strategy == UF_ES_OPENES) {
            assert_int_equal(uf_es_tell(es, huge), UF_ERR_NONFINITE);
            assert_error("generation 2 would make mean 0");
            know(&after, es);
            assert_same("after a fitness too large", &before, &after, sizeof before);
        }
        assert_ok(uf_es_tell(es, good));
        uf_es_free(es);
    }
}

// Which a sum over processes makes of -0.
static void test_negative_zero(void** state) {
    (void)state;
    static Known a, b;
    for (int maximize = 0; maximize < 2; maximize++) {
        UfEsOptions o = options_of(UF_ES_OPENES, 4, 70);
        double shaped[2][4];
        o.maximize = maximize;
        UfEs *es = create(&o), *other = create(&o);
        uf_es_shape(es, (double[]){0, 0, 0, 0}, shaped[0]);
        uf_es_shape(es, (double[]){-0.0, -0.0, -0.0, -0.0}, shaped[1]);
        assert_same("shaped", shaped[0], shaped[1], sizeof shaped[0]);
        assert_ok(uf_es_tell(es, (double[]){0, 0, 0, 0}));
        assert_ok(uf_es_tell(other, (double[]){-0.0, -0.0, -0.0, -0.0}));
        know(&a, es);
        know(&b, other);
        assert_same("search", &a, &b, sizeof a);
        uf_es_free(es);
        uf_es_free(other);
    }
}

// ---- the best candidate ----

static void test_best_member(void** state) {
    (void)state;
    UfEsOptions o = options_of(UF_ES_OPENES, 4, 5);
    float x[20], kept[5];
    double fitness;
    for (int maximize = 0; maximize < 2; maximize++) {
        const double sign = maximize ? 1 : -1;
        o.maximize = maximize;
        UfEs* es = create(&o);
        assert_null(uf_es_best(es, &fitness));
        assert_true(isnan(fitness));
        uf_es_ask(es, x);
        // the first of equal ones
        assert_ok(uf_es_tell(es, (double[]){sign * 1, sign * 3, sign * 2, sign * 3}));
        memcpy(kept, x + 5, sizeof kept);
        assert_same("best", uf_es_best(es, &fitness), kept, sizeof kept);
        assert_true(fitness == sign * 3);
        assert_ok(uf_es_tell(es, (double[]){sign * 3, sign * 3, sign * 2, (double)NAN}));  // no improvement
        assert_same("best", uf_es_best(es, &fitness), kept, sizeof kept);
        uf_es_ask(es, x);
        assert_ok(uf_es_tell(es, (double[]){sign * 1, sign * 3, sign * 2, sign * 3.5}));
        assert_same("better", uf_es_best(es, &fitness), x + 15, sizeof kept);
        assert_true(fitness == sign * 3.5);
        uf_es_free(es);
    }
}

// ---- noise ----

// 1 to several blocks of dimensions, with and without a rest.
static void test_candidate_alone(void** state) {
    (void)state;
    static const int64_t sizes[] = {1, 63, 64, 65, 1024, 1025, 2500};
    static float all[6 * 2500], one[2500];
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int strategy = UF_ES_OPENES; strategy <= UF_ES_SNES; strategy++) {
            const int64_t n = sizes[k];
            UfEsOptions o = options_of((UfEsStrategy)strategy, 6, n);
            o.seed = 11;
            UfEs* es = create(&o);
            for (int g = 0; g < 2; g++) {
                uf_es_ask(es, all);
                for (int i = 5; i >= 0; i--) {
                    uf_es_candidate(es, i, one);
                    assert_same("candidate", one, all + i * n, (size_t)n * sizeof *one);
                    for (int j = 0; j < i; j++)
                        assert_true(memcmp(all + i * n, all + j * n, (size_t)n * sizeof *all));
                }
                assert_ok(uf_es_tell(es, (double[]){1, 2, 3, 4, 5, 6}));
            }
            uf_es_free(es);
        }
}

// tell makes the noise that ask made: given as recorded noise, it leads to the same search.
static void test_told_noise(void** state) {
    (void)state;
    enum { N = 1100, P = 6 };
    static float x[P * N], noise[P * N];
    static Known ours, theirs;
    for (int strategy = UF_ES_OPENES; strategy <= UF_ES_SNES; strategy++) {
        UfEsOptions o = options_of((UfEsStrategy)strategy, P, N);
        o.sigma_init = 1;
        UfEs *es = create(&o), *told = create(&o);
        uf_es_ask(es, x);  // around 0 and of sigma 1, they are the noise
        memcpy(noise, x, (size_t)uf_es_num_noise(es) * N * sizeof *noise);
        assert_ok(uf_es_tell(es, (double[]){4, 1, 2, 6, 5, 3}));
        assert_ok(uf_es_tell_with(told, noise, (double[]){4, 1, 2, 6, 5, 3}));
        know(&ours, es);
        know(&theirs, told);
        assert_same("search", &ours, &theirs, sizeof ours);
        uf_es_free(es);
        uf_es_free(told);
    }
}

// Antithetic, and after a generation other numbers; a seed has its own.
static void test_noise_of_whom(void** state) {
    (void)state;
    enum { N = 200 };
    float a[4 * N], b[4 * N];
    UfEsOptions o = options_of(UF_ES_OPENES, 4, N);
    o.sigma_init = 1;
    o.sigma_limit = 0.5;
    UfEs* es = create(&o);
    uf_es_ask(es, a);
    for (int i = 0; i < 2 * N; i++) assert_true(a[i] == -a[i + 2 * N]);
    o.seed = 1;
    UfEs* other = create(&o);
    uf_es_ask(other, b);
    int same = 0;
    for (int i = 0; i < 2 * N; i++)
        for (int j = 0; j < i; j++) same += a[i] == a[j];
    assert_true(same <= 1);  // of 79800 pairs of floats, from any places of two candidates
    same = 0;
    for (int i = 0; i < 2 * N; i++) same += a[i] == b[i];
    assert_ok(uf_es_tell(es, (double[]){0, 0, 0, 0}));  // no gradient: the mean stays
    uf_es_ask(es, b);
    for (int i = 0; i < 2 * N; i++) same += a[i] == b[i];
    assert_true(same <= 1);  // of 800 pairs of floats
    uf_es_free(es);
    uf_es_free(other);
}

// The bits of a search's candidates are part of every run: the same on every machine, with whatever instructions.
static void test_noise_bits(void** state) {
    (void)state;
    static float x[4 * 1000];
    char hash[65];
    UfEsOptions o = options_of(UF_ES_SNES, 4, 1000);
    o.seed = 3;
    UfEs* es = create(&o);
    uf_es_ask(es, x);
    uf_sha256(x, sizeof x, hash);
    assert_string_equal(hash, "777a3ad77aac0c9478e02e1a640d3204cecbd3dc6637bb22e142b3b3835f9c6a");
    uf_es_free(es);
}

// Of a million numbers: moments, neighbours and a few counts, each within 4.5 standard errors (a right generator fails one
// of these 8 with probability 6e-5, and the seed is fixed).
static void test_noise_is_normal(void** state) {
    (void)state;
    enum { N = 1 << 20 };
    float* x = test_malloc(N * sizeof *x);
    double sum[5] = {0}, next = 0, far = 0, below = 0, beyond = 0;
    UfEsOptions o = options_of(UF_ES_SNES, 2, N);
    UfEs* es = create(&o);
    uf_es_candidate(es, 0, x);
    for (int i = 0; i < N; i++) {
        double power = 1;
        for (int k = 1; k < 5; k++) sum[k] += power *= (double)x[i];
        next += (double)x[i] * (double)x[(i + 1) % N];
        far += (double)x[i] * (double)x[(i + 16) % N];
        below += x[i] < -0.5f;
        beyond += fabsf(x[i]) > 3;
    }
    // variances of x, x^2, x^3, x^4, products: 1, 2, 15, 96, 1; of counts p (1 - p)
    const double n = N, p = 0.30853753872598690, q = 0.0026997960632601866;
    const struct {
        const char* what;
        double mean, expected, variance;
    } all[] = {{"x", sum[1] / n, 0, 1},
               {"x^2", sum[2] / n, 1, 2},
               {"x^3", sum[3] / n, 0, 15},
               {"x^4", sum[4] / n, 3, 96},
               {"neighbours", next / n, 0, 1},
               {"of one block", far / n, 0, 1},
               {"below -0.5", below / n, p, p * (1 - p)},
               {"beyond 3", beyond / n, q, q * (1 - q)}};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        if (!(fabs(all[k].mean - all[k].expected) <= 4.5 * sqrt(all[k].variance / n)))
            fail_msg("%s: %g; expected %g +- %g", all[k].what, all[k].mean, all[k].expected,
                     sqrt(all[k].variance / n));
    uf_es_free(es);
    test_free(x);
}

// ---- options ----

static void test_refused_options(void** state) {
    (void)state;
    const double nan = (double)NAN;
    UfEs* es;
    UfEsOptions o;
#define REFUSED(strategy, change, sentence)                 \
    o = options_of(strategy, 8, 3);                         \
    o.change;                                               \
    es = (UfEs*)&o;                                         \
    assert_int_equal(uf_es_create(&es, &o), UF_ERR_CONFIG); \
    assert_null(es);                                        \
    assert_error(sentence)
    REFUSED(UF_ES_OPENES, popsize = 15,
            "popsize is 15; OpenES pairs candidates on either side of the mean, so take an even one, 16 say, "
            "or SNES");
    REFUSED(UF_ES_OPENES, popsize = 0, "popsize is 0; expected 2 candidates or more");
    REFUSED(UF_ES_SNES, popsize = 1, "popsize is 1; expected 2 candidates or more");
    REFUSED(UF_ES_SNES, dims = 0, "dims is 0 with 8 candidates; expected 1 to");
    REFUSED(UF_ES_SNES, dims = INT64_MAX, "dims is 9223372036854775807");
    REFUSED(UF_ES_SNES, sigma_init = 0, "sigma_init is 0; expected more than 0");
    REFUSED(UF_ES_SNES, sigma_init = nan, "sigma_init is nan");
    REFUSED(UF_ES_SNES, temperature = -1, "temperature is -1; expected 0 (utilities) or more");
    REFUSED(UF_ES_SNES, lr_mean = 0, "lr_mean is 0");
    REFUSED(UF_ES_SNES, lr_sigma = -1, "lr_sigma is -1");
    REFUSED(UF_ES_OPENES, shaping = (UfEsShaping)7, "shaping is 7");
    REFUSED(UF_ES_OPENES, strategy = (UfEsStrategy)2, "strategy is 2");
    REFUSED(UF_ES_OPENES, sigma_decay = 0, "sigma_decay is 0");
    REFUSED(UF_ES_OPENES, sigma_limit = -1, "sigma_limit is -1");
    REFUSED(UF_ES_OPENES, lr = (double)INFINITY, "lr is inf");
    REFUSED(UF_ES_OPENES, lr_decay = 0, "lr_decay is 0");
    REFUSED(UF_ES_OPENES, lr_limit = nan, "lr_limit is nan");
    REFUSED(UF_ES_OPENES, beta1 = 1, "beta1 is 1; expected 0 or more and less than 1");
    REFUSED(UF_ES_OPENES, beta2 = -0.5, "beta2 is -0.5");
    REFUSED(UF_ES_OPENES, eps = 0, "eps is 0");
#undef REFUSED
    o = options_of(UF_ES_SNES, 15, 3);  // odd is fine here
    uf_es_free(create(&o));
    uf_es_free(NULL);
}

// ---- searches ----

// How far from (1, ..., 1).
static double distance(const double* x, int64_t n) {
    double squares = 0;
    for (int64_t d = 0; d < n; d++) squares += (x[d] - 1) * (x[d] - 1);
    return sqrt(squares);
}

static void rate(const UfEs* es, double* fitness) {
    static float x[MAX_POPSIZE * 64];
    const UfEsOptions* o = uf_es_options(es);
    uf_es_ask(es, x);
    for (int i = 0; i < o->popsize; i++) {
        fitness[i] = 0;
        for (int64_t d = 0; d < o->dims; d++)
            fitness[i] -=
                ((double)x[i * o->dims + d] - 1) * ((double)x[i * o->dims + d] - 1) * (1 + (double)(d % 3));
        if (!o->maximize) fitness[i] = -fitness[i];
    }
}

// A replica of OpenES in numpy ends 0.02 to 0.03 away with three seeds. From a distance of sqrt(20) = 4.5 of the optimum of a quadratic to a hundredth (SNES, whose sigma shrinks) or a tenth
// (OpenES, whose sigma stays).
static void test_searches_converge(void** state) {
    (void)state;
    double fitness[MAX_POPSIZE];
    for (int maximize = 0; maximize < 2; maximize++)
        for (int k = 0; k < 5; k++) {
            UfEsOptions o = options_of(k < 3 ? UF_ES_OPENES : UF_ES_SNES, 64, 20);
            o.maximize = maximize;
            o.shaping = k < 3 ? (UfEsShaping)k : UF_ES_RAW;
            o.sigma_init = k < 3 ? 0.1 : 1;
            o.temperature = k == 3 ? 0 : 12;
            o.lr_decay =
                0.99;  // a memory of 100 generations swings around the optimum as long as steps are large
            UfEs* es = create(&o);
            for (int g = 0; g < (k < 3 ? 800 : 400); g++) {
                rate(es, fitness);
                assert_ok(uf_es_tell(es, fitness));
            }
            const double left = distance(uf_es_mean(es), 20);
            if (!(left < (k < 3 ? 0.1 : 0.01))) fail_msg("search %d: %g from the optimum", k, left);
            uf_es_free(es);
        }
}

// ---- checkpoints ----

static void save(const UfEs* es, const char* path) {
    UfH5 h5;
    assert_ok(uf_h5_create(&h5, path));
    assert_ok(uf_es_save(es, &h5, "es"));
    assert_ok(uf_h5_close(&h5));
}

static UfStatus load(UfEs* es, const char* path) {
    UfH5 h5;
    assert_ok(uf_h5_open(&h5, path));
    const UfStatus status = uf_es_load(es, &h5, "es");
    uf_h5_close(&h5);
    return status;
}

static void test_saved_searches_go_on(void** state) {
    (void)state;
    static Known whole, parts;
    double fitness[MAX_POPSIZE];
    for (int strategy = UF_ES_OPENES; strategy <= UF_ES_SNES; strategy++)
        for (int stop = 0; stop < 3; stop += 2) {
            UfEsOptions o = options_of((UfEsStrategy)strategy, 8, 20);
            o.sigma_decay = o.lr_decay = 0.9;
            o.seed = 4;
            UfEs *es = create(&o), *again = create(&o);
            for (int g = 0; g < 6; g++) {
                if (g == stop) save(es, in_folder("es.h5"));
                rate(es, fitness);
                fitness[3] = (double)NAN;
                assert_ok(uf_es_tell(es, fitness));
            }
            assert_ok(load(again, in_folder("es.h5")));
            assert_int_equal(uf_es_generation(again), stop);
            assert_int_equal(uf_es_num_nonfinite(again), stop);
            for (int g = stop; g < 6; g++) {
                rate(again, fitness);
                fitness[3] = (double)NAN;
                assert_ok(uf_es_tell(again, fitness));
            }
            know(&whole, es);
            know(&parts, again);
            assert_same("search", &whole, &parts, sizeof whole);
            uf_es_free(es);
            uf_es_free(again);
        }
}

static void test_refused_checkpoints(void** state) {
    (void)state;
    UfEsOptions o = options_of(UF_ES_OPENES, 8, 20);
    UfEs* es = create(&o);
    double fitness[8];
    hid_t file;
    rate(es, fitness);
    assert_ok(uf_es_tell(es, fitness));
    save(es, in_folder("es.h5"));

    o.dims = 21;
    UfEs* larger = create(&o);
    assert_int_equal(load(larger, in_folder("es.h5")), UF_ERR_FORMAT);
    assert_error("es.h5: dataset 'es/mean' has 20 numbers; the search has 21 dimensions");
    UfEsOptions s = options_of(UF_ES_SNES, 8, 20);
    UfEs* snes = create(&s);
    assert_int_equal(load(snes, in_folder("es.h5")), UF_ERR_FORMAT);
    assert_error("'es' is of strategy 'openes'; expected snes");

    file = H5Fopen(copy_in_folder(in_folder("es.h5"), "nan.h5"), H5F_ACC_RDWR, H5P_DEFAULT);
    alter(file, "es/adam_v", 7, (double)NAN);
    H5Fclose(file);
    assert_int_equal(load(es, in_folder("nan.h5")), UF_ERR_FORMAT);
    assert_error("dataset 'es/adam_v' has nan at 7");
    file = H5Fopen(copy_in_folder(in_folder("es.h5"), "nobest.h5"), H5F_ACC_RDWR, H5P_DEFAULT);
    H5Ldelete(file, "es/best", H5P_DEFAULT);
    H5Fclose(file);
    assert_int_equal(load(es, in_folder("nobest.h5")), UF_ERR_FORMAT);
    assert_error("without dataset 'best'");
    file = H5Fopen(copy_in_folder(in_folder("es.h5"), "nomean.h5"), H5F_ACC_RDWR, H5P_DEFAULT);
    H5Ldelete(file, "es/mean", H5P_DEFAULT);
    H5Fclose(file);
    assert_int_not_equal(load(es, in_folder("nomean.h5")), UF_OK);
    assert_error("es/mean");
    uf_es_free(es);
    uf_es_free(larger);
    uf_es_free(snes);
}

// ---- recordings ----

static const char recording[] = "../shared/oracle/es_steps.h5";

static void test_recording_passes(void** state) {
    (void)state;
    if (!is_there(recording, "test_recording_passes")) skip();
    char* report = report_of(recording);
    if (report) fail_msg("%s", report);
}

// What was changed, in what goes in or comes out, is found where it acts.
static void test_changed_recordings_fail(void** state) {
    (void)state;
    static const struct {
        const char* dataset;
        int64_t index;
        double change;
        const char *group, *found;
    } cases[] = {
        {"openes_brax/noise", 5, 1e-3, "openes_brax", "x"},
        {"openes_brax/fitness", 17, 1, "openes_brax", "shaped"},
        {"openes_brax/x", -1, 1e-4, "openes_brax", "x"},
        {"openes_brax/mean0", 3, 1e-3, "openes_brax", "mean"},
        {"openes_decay/mean", -1, 1e-4, "openes_decay", "mean"},
        {"openes_decay/sigma", 40, 1e-6, "openes_decay", "sigma"},
        {"openes_limit/adam_lrate", 15, 1e-6, "openes_limit", "adam_lrate"},
        {"openes_limit/adam_m", 3, 1e-3, "openes_limit", "adam_m"},
        {"openes_limit/adam_v", -1, 1e-3, "openes_limit", "adam_v"},
        {"openes_ranked/shaped", 9, 0.01, "openes_ranked", "shaped"},
        {"openes_zscore/best_member", -1, 1e-4, "openes_zscore", "best_member"},
        {"snes_ties/best_fitness", 4, 0.01, "snes_ties", "best_fitness"},
        {"snes_minatar/weights", 2, 1e-5, "snes_minatar", "weights by rank"},
        {"snes_default/sigma", -1, 1e-4, "snes_default", "sigma"},
    };
    if (!is_there(recording, "test_changed_recordings_fail")) skip();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char start[64];
        const char* path = copy_in_folder(recording, "changed.h5");
        hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
        alter(file, cases[i].dataset, cases[i].index < 0 ? 95 : cases[i].index, cases[i].change);
        H5Fclose(file);
        char *report = report_of(path), *line;
        if (!report) fail_msg("%s was changed, and verify passed", cases[i].dataset);
        snprintf(start, sizeof start, "%-24s  %s", cases[i].group, cases[i].found);
        line = strstr(report, start);
        if (!line || !strstr(line, "AIL") || strstr(line, "AIL") > strchr(line, '\n'))
            fail_msg("%s: no line '%s .. FAIL' in\n%s", cases[i].dataset, start, report);
        uf_free(report);
    }
}

static void change_attribute(const char* path, const char* group, const char* name, double value) {
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), object = H5Gopen2(file, group, H5P_DEFAULT);
    UfH5 h5 = {.file = file};
    snprintf(h5.path, sizeof h5.path, "%s", path);
    assert_true(H5Adelete(object, name) >= 0);
    assert_ok(uf_h5_write_number(&h5, group, name, value));
    H5Gclose(object);
    H5Fclose(file);
}

// A setting that is not that of the recorded search leads elsewhere.
static void test_other_settings_fail(void** state) {
    (void)state;
    static const struct {
        const char *group, *name;
        double value;
    } cases[] = {{"openes_brax", "adam_beta_1", 0.9},      {"openes_brax", "adam_beta_2", 0.9},
                 {"openes_brax", "maximize", 0},           {"openes_decay", "sigma_decay", 0.901},
                 {"openes_limit", "sigma_limit", 0},       {"openes_limit", "adam_lrate_limit", 0},
                 {"openes_limit", "adam_lrate_decay", .9}, {"snes_minatar", "temperature", 0},
                 {"snes_default", "lrate_sigma", 0.3},     {"snes_default", "lrate_mean", 0.9},
                 {"openes_zscore", "sigma_init", 0.031}};
    if (!is_there(recording, "test_other_settings_fail")) skip();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char* path = copy_in_folder(recording, "changed.h5");
        change_attribute(path, cases[i].group, cases[i].name, cases[i].value);
        char* report = report_of(path);
        if (!report)
            fail_msg("%s/%s is %g, and verify passed", cases[i].group, cases[i].name, cases[i].value);
        uf_free(report);
    }
}

static void test_broken_recordings(void** state) {
    (void)state;
    char* report;
    bool passed;
    if (!is_there(recording, "test_broken_recordings")) skip();
    const char* path = copy_in_folder(recording, "broken.h5");
    change_attribute(path, "openes_brax", "sigma_init", 0);
    assert_int_equal(uf_verify(path, &report, &passed), UF_ERR_CONFIG);
    assert_error("broken.h5: 'openes_brax': evolution strategy: sigma_init is 0; expected more than 0");
    path = copy_in_folder(recording, "broken.h5");
    change_attribute(path, "openes_brax", "popsize", 1e8);
    assert_int_equal(uf_verify(path, &report, &passed), UF_ERR_FORMAT);
    assert_error(
        "dataset 'openes_brax/fitness' is not of the shape that the attributes of 'openes_brax' say: 20 x "
        "100000000 x 1");
    path = copy_in_folder(recording, "broken.h5");
    change_attribute(path, "openes_brax", "dims", 11);
    assert_int_equal(uf_verify(path, &report, &passed), UF_ERR_FORMAT);
    assert_error(
        "dataset 'openes_brax/mean0' is not of the shape that the attributes of 'openes_brax' say: 11 x 1 x "
        "1");
    path = copy_in_folder(recording, "broken.h5");
    change_attribute(path, "snes_ties", "generations", 0);
    assert_int_equal(uf_verify(path, &report, &passed), UF_ERR_FORMAT);
    assert_error("attribute 'generations' of 'snes_ties' is 0; expected 1 to");
    path = copy_in_folder(recording, "broken.h5");
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    H5Ldelete(file, "snes_default/noise", H5P_DEFAULT);
    H5Fclose(file);
    assert_int_not_equal(uf_verify(path, &report, &passed), UF_OK);
    assert_error("snes_default/noise");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_openes_by_hand),
        cmocka_unit_test(test_snes_by_hand),
        cmocka_unit_test(test_rank_weights),
        cmocka_unit_test(test_shaping),
        cmocka_unit_test(test_nonfinite_shaping),
        cmocka_unit_test(test_refused_generations),
        cmocka_unit_test(test_negative_zero),
        cmocka_unit_test(test_best_member),
        cmocka_unit_test(test_candidate_alone),
        cmocka_unit_test(test_told_noise),
        cmocka_unit_test(test_noise_of_whom),
        cmocka_unit_test(test_noise_bits),
        cmocka_unit_test(test_noise_is_normal),
        cmocka_unit_test(test_refused_options),
        cmocka_unit_test(test_searches_converge),
        cmocka_unit_test(test_saved_searches_go_on),
        cmocka_unit_test(test_refused_checkpoints),
        cmocka_unit_test(test_recording_passes),
        cmocka_unit_test(test_changed_recordings_fail),
        cmocka_unit_test(test_other_settings_fail),
        cmocka_unit_test(test_broken_recordings),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
