// test_terms.c: the equations of terms.h in double: each derivative against differences of its value,
// densities against integrals, corners against what they are by hand.
#include "support.h"

#include "core/philox.h"
#define UF_REAL double
#include "terms.h"

enum { SEED = 20240607, POINTS = 400 };

static UfRandom random_of(int which) { return uf_random(SEED, 0, (uint64_t)which); }
static double draw(UfRandom* r, double low, double high) { return uf_random_uniform(r, low, high); }

#define assert_close(got, want, bound) close_to(#got, (got), (want), (bound), __LINE__)
static void close_to(const char* what, double got, double want, double bound, int line) {
    if (fabs(got - want) <= bound) return;  // NaN is never close
    fail_msg("line %d, seed %d: %s = %.17g, expected %.17g, off by %.3g (allowed %.3g)", line, SEED, what,
             got, want, fabs(got - want), bound);
}

// df/dx by four points. Error: h^4 f'''''/30 + 1.5 u |f| / h with u = 1.1e-16.
typedef double Function(const double* x, const void* context);
static double slope(Function* f, const double* at, int count, int i, double h, const void* context) {
    double x[32], value[4];
    const double steps[4] = {-2, -1, 1, 2};
    for (int k = 0; k < count; k++) x[k] = at[k];
    for (int k = 0; k < 4; k++) {
        x[i] = at[i] + steps[k] * h;
        value[k] = f(x, context);
    }
    return (value[0] - 8 * value[1] + 8 * value[2] - value[3]) / (12 * h);
}
// With h = 1e-3 and fifth derivatives up to 1e3 (exp(s) eps runs up to 8 here) the first part is 3e-11;
// values up to 1e6 (a narrow policy far from its action) add 2e-7 in the second, which is relative to the
// value.
static const double STEP = 1e-3;
static double tolerance(double value, double derivative) {
    return 1e-9 + 1e-9 * fabs(derivative) + 1e-12 * fabs(value);
}

// ---- policy ----

typedef struct Policy {
    int kind;
    double eps, da, dlp, a_data;
} Policy;

static double sample_loss(const double* x, const void* context) {
    const Policy* c = context;
    const UfSample sample = uf_policy_sample(c->kind, x[0], x[1], c->eps);
    return c->da * sample.action + c->dlp * sample.log_prob;
}

static void test_policy_sample(void** state) {
    (void)state;
    UfRandom r = random_of(1);
    for (int k = 0; k < POINTS; k++)
        for (int kind = UF_POLICY_DETERMINISTIC; kind <= UF_POLICY_SQUASHED; kind++) {
            const double x[2] = {draw(&r, -3, 3), draw(&r, -5, 1)};
            const Policy c = {kind, k % 10 ? draw(&r, -3, 3) : 0, draw(&r, -2, 2),
                              k % 7 ? draw(&r, -2, 2) : 0, 0};
            const UfHeadGrad g = uf_policy_sample_grad(kind, x[0], x[1], c.eps, c.da, c.dlp);
            const double value = sample_loss(x, &c);
            assert_close(g.dm, slope(sample_loss, x, 2, 0, STEP, &c), tolerance(value, g.dm));
            assert_close(g.ds, slope(sample_loss, x, 2, 1, STEP, &c), tolerance(value, g.ds));

            // The value by the textbook formula; 1 - tanh^2 keeps 1e-10 of itself up to |u| = 6.
            const UfSample sample = uf_policy_sample(kind, x[0], x[1], c.eps);
            const double u = x[0] + exp(x[1]) * c.eps,
                         normal = -c.eps * c.eps / 2 - x[1] - log(2 * acos(-1)) / 2;
            if (kind == UF_POLICY_DETERMINISTIC) {
                assert_close(sample.action, tanh(x[0]), 0);
                assert_close(sample.log_prob, 0, 0);
                assert_close(g.ds, 0, 0);
            } else if (kind == UF_POLICY_GAUSSIAN) {
                assert_close(sample.action, tanh(x[0]) + exp(x[1]) * c.eps, 1e-14);
                assert_close(sample.log_prob, normal, 1e-13);
            } else {
                assert_close(sample.action, tanh(u), 1e-15);
                if (fabs(u) < 6) assert_close(sample.log_prob, normal - log(1 - tanh(u) * tanh(u)), 1e-9);
            }
        }
}

// Saturated policies: log-probabilities stay finite and linear in u where 1 - tanh^2 is 0 in floating point.
static void test_saturation(void** state) {
    (void)state;
    for (double u = 20; u < 2e4; u *= 10)
        for (int sign = -1; sign <= 1; sign += 2) {
            assert_close(uf_log_tanh_slope(sign * u), 2 * log(2) - 2 * u, 1e-15 * u);
            const UfSample sample = uf_policy_sample(UF_POLICY_SQUASHED, sign * u, 0, 0);
            assert_close(sample.action, sign, 1e-15);
            assert_close(sample.log_prob, 2 * u - 2 * log(2) - log(2 * acos(-1)) / 2, 1e-14 * u);
            const UfHeadGrad g = uf_policy_sample_grad(UF_POLICY_SQUASHED, sign * u, 0, 0, 1, 1);
            assert_close(g.dm, 2 * sign, 1e-14);
            assert_close(g.ds, -1, 0);
        }
    assert_close(uf_log_tanh_slope(0), 0, 1e-15);
    assert_close(uf_softplus(0), log(2), 1e-16);
    assert_close(uf_softplus(1e4), 1e4, 0);
    assert_close(uf_softplus(-1e4), 0, 0);
    assert_close(uf_softplus(2.5), log1p(exp(2.5)), 1e-15);
}

// Integral of exp(log_prob) over actions up to each node = normal distribution function of its eps: the
// density integrates to 1 and its mass is where the samples are. Trapezoids over 40000 nodes, whose widths
// come from the actions themselves; the error is the step squared over 12: (16 / 40000)^2 / 12 times
// curvatures below 100.
static void test_density(void** state) {
    (void)state;
    UfRandom r = random_of(2);
    for (int k = 0; k < 20; k++)
        for (int kind = UF_POLICY_GAUSSIAN; kind <= UF_POLICY_SQUASHED; kind++) {
            const double m = draw(&r, -1.5, 1.5), s = draw(&r, -3, 0.3), low = -8;
            const int nodes = 40000;
            double total = 0, bc_total = 0, last_action = 0, last = 0, bc_last = 0;
            for (int i = 0; i <= nodes; i++) {
                const double eps = low - 2 * low * i / nodes;
                const UfSample sample = uf_policy_sample(kind, m, s, eps);
                UfHeadGrad g;
                const double p = exp(sample.log_prob), bc = exp(-uf_bc_loss(kind, m, s, sample.action, &g));
                const bool inside = kind == UF_POLICY_GAUSSIAN || fabs(sample.action) < UF_ATANH_LIMIT;
                if (i) {
                    total += (p + last) / 2 * (sample.action - last_action);
                    bc_total += (bc + bc_last) / 2 * (sample.action - last_action);
                }
                // The last actions before +-1 are 1e-16 apart: their widths are rounded, their mass is below
                // 1e-7 here.
                if (i % 500 == 0) assert_close(total, erfc(-eps / sqrt(2)) / 2, 1e-6);
                // atanh of an action near 1 has lost what 1 - a^2 has: 1e-16 / 2e-6, over the standard
                // deviation, squared.
                if (inside && fabs(eps) < 5) assert_close(bc / p, 1, 1e-6);
                last_action = sample.action;
                last = p;
                bc_last = bc;
            }
            assert_close(total, 1, 1e-6);
            // Behaviour cloning takes actions beyond the limit as the limit: that moves mass 1e-6 wide at
            // most.
            assert_close(bc_total, 1, 1e-4);
        }
}

static double bc_loss(const double* x, const void* context) {
    const Policy* c = context;
    UfHeadGrad g;
    return uf_bc_loss(c->kind, x[0], x[1], c->a_data, &g);
}

static void test_bc_loss(void** state) {
    (void)state;
    UfRandom r = random_of(3);
    const double corners[] = {-1, 1, 0, UF_ATANH_LIMIT, -UF_ATANH_LIMIT, 1 + 1e-6, -1 - 1e-6};
    for (int k = 0; k < POINTS; k++)
        for (int kind = UF_POLICY_DETERMINISTIC; kind <= UF_POLICY_SQUASHED; kind++) {
            const double x[2] = {draw(&r, -3, 3), k % 2 ? draw(&r, -5, 2) : draw(&r, -1, 1)};
            const Policy c = {kind, 0, 0, 0, k % 3 ? draw(&r, -1, 1) : corners[k / 3 % 7]};
            UfHeadGrad g;
            const double value = uf_bc_loss(kind, x[0], x[1], c.a_data, &g);
            assert_true(isfinite(value));
            assert_close(g.dm, slope(bc_loss, x, 2, 0, STEP, &c), tolerance(value, g.dm));
            assert_close(g.ds, slope(bc_loss, x, 2, 1, STEP, &c), tolerance(value, g.ds));
            if (kind == UF_POLICY_DETERMINISTIC) {
                assert_close(value, (tanh(x[0]) - c.a_data) * (tanh(x[0]) - c.a_data), 1e-15);
                assert_close(g.ds, 0, 0);
            }
        }
    // An action on the bound is the limit's; the policy's own mean is the best there is.
    UfHeadGrad g;
    assert_close(uf_bc_loss(UF_POLICY_SQUASHED, 0.3, -1, 1, &g),
                 uf_bc_loss(UF_POLICY_SQUASHED, 0.3, -1, UF_ATANH_LIMIT, &g), 0);
    assert_close(uf_bc_loss(UF_POLICY_GAUSSIAN, 0.3, -1, tanh(0.3), &g), -1 + log(2 * acos(-1)) / 2, 1e-15);
    assert_close(g.dm, 0, 0);
    assert_close(g.ds, 1, 0);
}

static void test_log_std(void** state) {
    (void)state;
    const double low = -5, high = 2;
    const struct {
        double raw, value;
        bool passes;
    } rows[] = {
        {-5.5, -5, false},  {-5, -5, false},  {-5 + 1e-9, -5 + 1e-9, true},
        {0, 0, true},       {1.5, 1.5, true}, {2 - 1e-9, 2 - 1e-9, true},
        {2, 2, false},      {7, 2, false},    {1e30, 2, false},
        {-1e30, -5, false},
    };
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
        bool passes;
        assert_close(uf_log_std(rows[k].raw, low, high, &passes), rows[k].value, 0);
        assert_int_equal(passes, rows[k].passes);
    }
    bool passes;
    assert_true(
        isnan(uf_log_std(NAN, low, high, &passes)));  // a broken network must not look like a clipped one
    assert_true(isnan(uf_clip(NAN, -1, 1)));
}

// ---- categorical policy ----

typedef struct Kinds {
    int count, data;
    double bc, dlp, da[8];
} Kinds;

// bc * -log pi[data] + <da, pi> + dlp * sum of pi log pi, by definition.
static double kinds_loss(const double* m, const void* context) {
    const Kinds* c = context;
    double total = 0, loss = 0;
    for (int i = 0; i < c->count; i++) total += exp(m[i]);
    for (int i = 0; i < c->count; i++)
        loss += exp(m[i]) / total * (c->da[i] + c->dlp * log(exp(m[i]) / total));
    return loss - c->bc * log(exp(m[c->data]) / total);
}

static void test_categorical(void** state) {
    (void)state;
    UfRandom r = random_of(11);
    for (int k = 0; k < POINTS; k++) {
        Kinds c = {1 + k % 8, 0, k % 3 ? draw(&r, 0, 2) : 0, k % 5 ? draw(&r, -2, 2) : 0, {0}};
        double m[8], entropy = 0, mean_da = 0, sum = 0;
        c.data = (int)draw(&r, 0, c.count);
        for (int i = 0; i < c.count; i++) m[i] = draw(&r, -4, 4);
        for (int i = 0; i < c.count; i++) c.da[i] = k % 2 ? draw(&r, -3, 3) : 0;
        const UfCategorical pi = uf_categorical(m, c.count);
        for (int i = 0; i < c.count; i++) {
            const double p = exp(m[i] - pi.log_z);
            sum += p;
            mean_da += p * c.da[i];
            entropy -= p * log(p);
        }
        assert_close(sum, 1, 1e-14);
        assert_close(pi.mean_log_prob, -entropy, 1e-13);
        for (int i = 0; i < c.count; i++) {
            const double got = uf_categorical_grad(pi, m[i], i == c.data, c.bc, c.da[i], mean_da, c.dlp);
            assert_close(got, slope(kinds_loss, m, c.count, i, STEP, &c), tolerance(kinds_loss(m, &c), got));
        }
    }
    // Outputs whose exponentials leave any range: certain, and nothing to learn.
    const double far[3] = {1e4, -1e4, 0};
    const UfCategorical pi = uf_categorical(far, 3);
    assert_close(pi.log_z, 1e4, 0);
    assert_close(pi.mean_log_prob, 0, 0);
    assert_close(uf_categorical_grad(pi, far[0], 1, 2, 0, 0, 3), 0, 0);
    assert_close(uf_categorical_grad(pi, far[1], 1, 2, 0, 0, 3), -2, 0);  // the data say otherwise
    const double broken[2] = {0, NAN};
    assert_true(isnan(uf_categorical(broken, 2).log_z) && isnan(uf_categorical(broken, 2).mean_log_prob));
}

// Gumbel numbers have the distribution exp(-exp(-x)); choices by them have the probabilities softmax(m).
static void test_categorical_choice(void** state) {
    (void)state;
    for (double eps = -8; eps <= 8; eps += 0.25) {
        // Phi of eps above 5 is 1 to double's last digits: 1 - Phi is compared.
        const double x = uf_gumbel(eps), tail = erfc(eps / sqrt(2)) / 2, above = -expm1(-exp(-x));
        assert_close(above / tail, 1, 1e-12);
        if (eps > -8) assert_true(x > uf_gumbel(eps - 0.25));
    }
    const double m[4] = {0.3, -1.2, 1.1, -0.4};
    const UfCategorical pi = uf_categorical(m, 4);
    enum { DRAWS = 200000 };
    int counts[4] = {0};
    UfRandom r = random_of(12);
    for (int k = 0; k < DRAWS; k++) {
        double eps[4];
        for (int i = 0; i < 4; i++) eps[i] = uf_random_normal(&r);
        counts[uf_categorical_choice(m, eps, 4)]++;
    }
    double chi = 0;
    for (int i = 0; i < 4; i++) {
        const double expected = DRAWS * exp(m[i] - pi.log_z);
        chi += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    if (chi > 16.3) fail_msg("chi squared of choices is %g, of 3 degrees of freedom", chi);  // 1 in 1000
    assert_int_equal(uf_categorical_choice(m, NULL, 4), 2);
    assert_int_equal(uf_categorical_choice((const double[]){2, 5, 5}, NULL, 3), 1);  // the first of equals
    assert_int_equal(uf_categorical_choice((const double[]){-INFINITY, -1e300, -INFINITY}, NULL, 3), 1);
}

// ---- actor ----

static void test_actor_scalars(void** state) {
    (void)state;
    UfRandom r = random_of(4);
    for (int k = 0; k < POINTS; k++) {
        const double advantage = draw(&r, -3, 3), temperature = draw(&r, 0, 10), clip = draw(&r, 0.5, 100);
        const double w = exp(advantage * temperature);
        assert_close(uf_awr_weight(advantage, temperature, clip), fmin(w, clip), 1e-13 * clip);
        const double mean_log_prob = draw(&r, -10, 10);
        assert_close(uf_entropy_coef_grad(mean_log_prob, -6), -mean_log_prob + 6, 1e-14);
    }
    assert_close(uf_awr_weight(0, 3, 100), 1, 0);
    assert_close(uf_awr_weight(2, 0, 100), 1, 0);
    assert_close(uf_awr_weight(0, 1, 1), 1, 0);
    assert_close(uf_awr_weight(1e4, 10, 100), 100, 0);
    assert_close(uf_awr_weight(-1e4, 10, 100), 0, 0);
    assert_close(uf_q_normaliser(0), 1e7, 1e-8);
    assert_close(uf_q_normaliser(4), 1 / (4 + 1e-7), 1e-16);
}

// ---- critics ----

static void test_target(void** state) {
    (void)state;
    assert_close(uf_smoothed_action(0.1, 0.2, 0.5, 1), 0.3, 1e-16);  // inside both clips
    assert_close(uf_smoothed_action(0.1, 0.2, 0.5, 3), 0.6, 1e-16);  // noise clipped
    assert_close(uf_smoothed_action(0.1, 0.2, 0.5, -3), -0.4, 1e-16);
    assert_close(uf_smoothed_action(0.9, 0.2, 0.5, 1), 1, 0);  // sum clipped
    assert_close(uf_smoothed_action(-0.9, 0.2, 0.5, -9), -1, 0);
    assert_close(uf_smoothed_action(1.7, 0, 0.5, 2), 1, 0);  // a Gaussian action outside the bounds
    assert_close(uf_smoothed_action(0.4, 3, 0, -2), 0.4, 0);
    assert_close(uf_td_target(2, 0, 0.9, 10), 11, 1e-15);
    assert_close(uf_td_target(2, 1, 0.9, 10), 2, 0);
    assert_close(uf_td_target(-1, 0, 0, 1e6), -1, 0);
}

static double q_loss(const double* x, const void* context) {
    double dq;
    return uf_q_loss(x[0], *(const double*)context, &dq);
}

static void test_q_loss(void** state) {
    (void)state;
    UfRandom r = random_of(5);
    for (int k = 0; k < POINTS; k++) {
        const double q = draw(&r, -100, 100), y = k % 5 ? draw(&r, -100, 100) : q;
        double dq;
        const double value = uf_q_loss(q, y, &dq);
        assert_close(value, (q - y) * (q - y), 0);
        assert_close(dq, slope(q_loss, &q, 1, 0, STEP, &y), tolerance(value, dq));
        if (q == y) assert_close(fabs(dq) + value, 0, 0);
    }
}

// D of one row: 1/(N-1) sum_{i != j} <g_i, g_j>, g = q / (|q| + 1e-6).
typedef struct Shape {
    int N, A;
} Shape;

static double diversity(const double* q, const void* context) {
    const Shape* c = context;
    double g[32], sum = 0;
    for (int n = 0; n < c->N; n++) {
        double norm = 0;
        for (int i = 0; i < c->A; i++) norm += q[n * c->A + i] * q[n * c->A + i];
        for (int i = 0; i < c->A; i++) g[n * c->A + i] = q[n * c->A + i] / (sqrt(norm) + 1e-6);
    }
    for (int n = 0; n < c->N; n++)
        for (int k = 0; k < c->N; k++)
            for (int i = 0; i < c->A; i++) sum += n == k ? 0 : g[n * c->A + i] * g[k * c->A + i];
    return sum / (c->N - 1);
}

static void diversity_grad(const double* q, Shape c, double* dq) {
    double g[32], norm[32];
    for (int n = 0; n < c.N; n++) {
        norm[n] = 0;
        for (int i = 0; i < c.A; i++) norm[n] += q[n * c.A + i] * q[n * c.A + i];
        norm[n] = sqrt(norm[n]);
        for (int i = 0; i < c.A; i++) g[n * c.A + i] = q[n * c.A + i] / (norm[n] + UF_DIVERSITY_EPS);
    }
    for (int n = 0; n < c.N; n++) {
        double y[32] = {0}, inner = 0;
        const double divisor = norm[n] > 0 ? norm[n] : 1;
        for (int i = 0; i < c.A; i++) {
            for (int k = 0; k < c.N; k++) y[i] += k == n ? 0 : 2 * g[k * c.A + i] / (c.N - 1);
            inner += q[n * c.A + i] / divisor * y[i];
        }
        for (int i = 0; i < c.A; i++)
            dq[n * c.A + i] = uf_diversity_grad(q[n * c.A + i] / divisor, y[i], norm[n], inner);
    }
}

static void test_diversity(void** state) {
    (void)state;
    UfRandom r = random_of(6);
    for (int k = 0; k < POINTS; k++) {
        const Shape c = {2 + k % 4, 1 + k / 4 % 6};
        const double size = pow(10, draw(&r, -7, 3));  // on both sides of the 1e-6 in the denominator
        double q[32], dq[32];
        for (int i = 0; i < c.N * c.A; i++) q[i] = size * draw(&r, -1, 1);
        for (int n = 0; n < c.N; n++)
            q[n * c.A] += q[n * c.A] < 0 ? -size / 4 : size / 4;  // no gradient near 0: kinks there
        diversity_grad(q, c, dq);
        for (int i = 0; i < c.N * c.A; i++) {
            const double h = 1e-3 * size, expected = slope(diversity, q, c.N * c.A, i, h, &c);
            // Values up to N: rounding 1.5 u N N / h; truncation: h^4 times the fifth derivative, 24 (4 /
            // size)^5 and more.
            assert_close(dq[i], expected, 1e-8 / size);
            // One dimension: g is +-1 up to the 1e-6, so nothing across q is left and the rest has a closed
            // form.
            if (c.A == 1) {
                double others = 0;
                for (int n = 0; n < c.N; n++)
                    others += n == i ? 0 : 2 * q[n] / (fabs(q[n]) + 1e-6) / (c.N - 1);
                const double denominator = fabs(q[i]) + 1e-6;
                assert_close(dq[i], others * 1e-6 / (denominator * denominator), 1e-12 * fabs(dq[i]));
            }
        }
    }
    // At q = 0 the term is q / 1e-6 to first order: differences far below 1e-6 are off by h / 1e-6.
    const Shape c = {2, 2};
    const double q[4] = {0, 0, 3, -4};
    double dq[4];
    diversity_grad(q, c, dq);
    for (int i = 0; i < 2; i++) assert_close(dq[i], slope(diversity, q, 4, i, 1e-11, &c), 1e-4 * fabs(dq[i]));
    assert_close(dq[0], 2 * 0.6e6, 10);
}

typedef struct Softmax {
    int count;
    double temperature;
} Softmax;

static double logsumexp(const double* q, const void* context) {
    const Softmax* c = context;
    double dq[8];
    return uf_log_sum_exp(q, c->count, 1, c->temperature, dq);
}

typedef struct Label {
    int count;
    double label[8];
} Label;

static double cross_entropy(const double* m, const void* context) {
    const Label* c = context;
    double dm[8];
    return uf_cross_entropy(dm, m, c->label, c->count);
}

static void test_cross_entropy(void** state) {
    (void)state;
    UfRandom r = random_of(17);
    for (int k = 0; k < POINTS; k++) {
        Label c = {.count = 1 + k % 5};
        double m[8], dm[8], sum = 0, partition = 0, plain = 0;
        for (int i = 0; i < c.count; i++) {
            m[i] = draw(&r, -5, 5);
            sum += c.label[i] = k % 2 ? i == k % c.count : draw(&r, 0, 1);
            partition += exp(m[i]);
        }
        for (int i = 0; i < c.count; i++) c.label[i] /= sum;
        for (int i = 0; i < c.count; i++) plain -= c.label[i] * log(exp(m[i]) / partition);
        const double value = uf_cross_entropy(dm, m, c.label, c.count);
        assert_close(value, plain, 1e-12 * (1 + fabs(plain)));
        for (int i = 0; i < c.count; i++)
            assert_close(dm[i], slope(cross_entropy, m, c.count, i, STEP, &c), tolerance(value, dm[i]));
    }
    double dm[2];
    assert_close(uf_cross_entropy(dm, (const double[]){1e4, -1e4}, (const double[]){0, 1}, 2), 2e4, 0);
    assert_close(dm[0], 1, 0);
    assert_close(dm[1], -1, 0);
}

static void test_log_sum_exp(void** state) {
    (void)state;
    UfRandom r = random_of(7);
    for (int k = 0; k < POINTS; k++) {
        const Softmax c = {1 + k % 5, pow(10, draw(&r, -1, 1))};
        double q[8], dq[8], sum = 0, plain = 0;
        for (int i = 0; i < c.count; i++) q[i] = draw(&r, -5, 5);
        if (k % 7 == 0) q[c.count - 1] = q[0];  // ties
        const double value = uf_log_sum_exp(q, c.count, 1, c.temperature, dq);
        for (int i = 0; i < c.count; i++) {
            // Fifth derivatives grow as 1 / temperature^4: the step follows it.
            assert_close(dq[i], slope(logsumexp, q, c.count, i, STEP * c.temperature, &c),
                         1e-9 / c.temperature);
            sum += dq[i];
            plain += exp(q[i] / c.temperature);
        }
        assert_close(sum, 1, 1e-14);
        assert_close(value, c.temperature * log(plain), 1e-12);
    }
    // Values whose exponentials leave any range.
    const double huge[3][4] = {{1e4, 1e4, 1e4, 1e4}, {1e4, -1e4, 0, 1e4 - 1}, {-1e4, -1e4, -2e4, -1e4}};
    for (double temperature = 0.1; temperature < 11; temperature *= 10)
        for (int k = 0; k < 3; k++) {
            double dq[4], sum = 0;
            const double value = uf_log_sum_exp(huge[k], 4, 1, temperature, dq);
            assert_true(value >= huge[k][0] && value <= huge[k][0] + temperature * log(4) + 1e-11);
            for (int i = 0; i < 4; i++) {
                assert_true(dq[i] >= 0 && dq[i] <= 1);
                sum += dq[i];
            }
            assert_close(sum, 1, 1e-15);
            if (k == 0) assert_close(value, 1e4 + temperature * log(4), 1e-11);
        }
    // Numbers that lie apart, as groups of rows do; those between are left alone.
    double apart[7] = {1, 50, -2, 50, 0.5, 50, 3}, soft[7] = {9, 9, 9, 9, 9, 9, 9}, dense[4];
    assert_close(uf_log_sum_exp(apart, 4, 2, 0.7, soft),
                 uf_log_sum_exp((const double[]){1, -2, 0.5, 3}, 4, 1, 0.7, dense), 0);
    for (int i = 0; i < 7; i++) assert_close(soft[i], i % 2 ? 9 : dense[i / 2], 0);
}

// ---- value ----

typedef struct Expectile {
    double q, tau;
} Expectile;

static double value_loss(const double* x, const void* context) {
    const Expectile* c = context;
    double dv;
    return uf_value_loss(c->q, x[0], c->tau, &dv);
}

static void test_value_loss(void** state) {
    (void)state;
    UfRandom r = random_of(8);
    for (int k = 0; k < POINTS; k++) {
        const Expectile c = {draw(&r, -10, 10), draw(&r, 0.01, 0.99)};
        double v = draw(&r, -10, 10), dv;
        if (fabs(c.q - v) < 3 * STEP) v += 1;  // the second derivative jumps where they meet
        const double value = uf_value_loss(c.q, v, c.tau, &dv), x = c.q - v;
        assert_close(value, (x < 0 ? 1 - c.tau : c.tau) * x * x, 1e-13);
        assert_close(dv, slope(value_loss, &v, 1, 0, STEP, &c), tolerance(value, dv));
        assert_close(uf_value_loss(c.q, c.q, c.tau, &dv), 0, 0);
        assert_close(dv, 0, 0);
    }
}

// ---- world model ----

// mean, raw log-variance, max, min; context: the target.
static double model_loss(const double* x, const void* context) {
    return uf_model_loss(x[0], x[1], *(const double*)context, exp(x[3]), exp(-x[2])).loss;
}

static void test_model_loss(void** state) {
    (void)state;
    UfRandom r = random_of(9);
    for (int k = 0; k < POINTS; k++) {
        const double x[4] = {draw(&r, -2, 2), draw(&r, -8, 4), draw(&r, -1, 2), draw(&r, -6, -2)};
        const double target = draw(&r, -2, 2);
        const UfModelLoss l = uf_model_loss(x[0], x[1], target, exp(x[3]), exp(-x[2]));
        const double value = model_loss(x, &target);
        // As the method states it: soft clamp from above, then from below.
        const double clamped = x[2] - uf_softplus(x[2] - x[1]), logvar = x[3] + uf_softplus(clamped - x[3]);
        const double error = x[0] - target;
        assert_close(l.logvar, logvar, 1e-13);
        assert_close(log(uf_model_variance(x[1], exp(x[3]), exp(-x[2]))), logvar, 1e-13);
        assert_close(l.loss, error * error * exp(-logvar) + logvar, 1e-13 * (1 + fabs(l.loss)));
        assert_close(l.dmean, slope(model_loss, x, 4, 0, STEP, &target), tolerance(value, l.dmean));
        assert_close(l.draw, slope(model_loss, x, 4, 1, STEP, &target), tolerance(value, l.draw));
        assert_close(l.dmax, slope(model_loss, x, 4, 2, STEP, &target), tolerance(value, l.dmax));
        assert_close(l.dmin, slope(model_loss, x, 4, 3, STEP, &target), tolerance(value, l.dmin));
    }
    // Raw values whose exponentials leave any range: the bounds hold and pass no gradient to what is clamped.
    const double high = 0.5, low = -10;
    for (double raw = -1e4; raw <= 1e4; raw += 2e4) {
        const UfModelLoss l = uf_model_loss(1, raw, 1, exp(low), exp(-high));
        assert_close(l.logvar, raw > 0 ? low + uf_softplus(high - low) : low, 1e-15);
        assert_close(l.draw, 0, 0);
        // d logvar / dmax and d logvar / dmin share one between them; l is logvar alone here.
        assert_close(l.dmax + l.dmin, 1, 1e-15);
        assert_close(l.dmin, raw > 0 ? 1 / (1 + exp(high - low)) : 1, 1e-15);
    }
}

// ---- PPO ----

enum { MAX_KINDS = 7 };
typedef struct PpoCategorical {
    int A, chosen;
    double dlp, dh;
} PpoCategorical;

static double ppo_categorical_loss(const double* logits, const void* context) {
    const PpoCategorical* c = context;
    double log_p[MAX_KINDS];
    const double entropy = uf_log_softmax(log_p, logits, c->A);
    return c->dlp * log_p[c->chosen] + c->dh * entropy;
}

static void test_ppo_categorical(void** state) {
    (void)state;
    UfRandom r = random_of(10);
    for (int k = 0; k < POINTS; k++) {
        const int A = 1 + k % MAX_KINDS;
        const PpoCategorical c = {A, k / MAX_KINDS % A, draw(&r, -2, 2), draw(&r, -2, 2)};
        double logits[MAX_KINDS], log_p[MAX_KINDS], d[MAX_KINDS], sum = 0, entropy = 0;
        for (int i = 0; i < A; i++) logits[i] = draw(&r, -4, 4);
        const double given = uf_log_softmax(log_p, logits, A), value = ppo_categorical_loss(logits, &c);
        for (int i = 0; i < A; i++) sum += exp(logits[i]);
        for (int i = 0; i < A; i++) {
            const double p = exp(logits[i]) / sum;
            assert_close(log_p[i], log(p), 1e-13);
            entropy -= p * log(p);
        }
        assert_close(given, entropy, 1e-13);
        uf_logits_grad(d, log_p, A, given, c.chosen, c.dlp, c.dh);
        for (int i = 0; i < A; i++)
            assert_close(d[i], slope(ppo_categorical_loss, logits, A, i, STEP, &c), tolerance(value, d[i]));
        // The kinds share (0, 1) in order.
        double below = 0;
        for (int i = 0; i < A; i++) {
            const double p = exp(log_p[i]);
            assert_int_equal(uf_categorical_pick(log_p, A, below + 1e-9), i);
            assert_int_equal(uf_categorical_pick(log_p, A, below + p - 1e-9), i);
            below += p;
        }
    }
    // Logits whose exponentials leave any range.
    const double far[3] = {1e4, -1e4, 0};
    double log_p[3];
    assert_close(uf_log_softmax(log_p, far, 3), 0, 0);
    assert_close(log_p[0], 0, 0);
    assert_close(log_p[1], -2e4, 0);
    assert_int_equal(uf_categorical_pick(log_p, 3, 0.999999), 0);
}

static double normal_loss(const double* x, const void* context) {
    UfHeadGrad unused;
    return uf_normal_log_prob(*(const double*)context, x[0], x[1], &unused);
}

static void test_normal(void** state) {
    (void)state;
    UfRandom r = random_of(11);
    for (int k = 0; k < POINTS; k++) {
        const double x[2] = {draw(&r, -2, 2), draw(&r, -1, 1)}, action = draw(&r, -3, 3);
        UfHeadGrad g;
        const double value = uf_normal_log_prob(action, x[0], x[1], &g), std = exp(x[1]);
        assert_close(value, log(exp(-pow((action - x[0]) / std, 2) / 2) / (std * sqrt(2 * acos(-1)))),
                     1e-12 * (1 + fabs(value)));
        assert_close(g.dm, slope(normal_loss, x, 2, 0, STEP, &action), tolerance(value, g.dm));
        assert_close(g.ds, slope(normal_loss, x, 2, 1, STEP, &action), 10 * tolerance(value, g.ds));
        assert_close(uf_normal_entropy(x[1]), log(std * sqrt(2 * acos(-1) * exp(1))), 1e-14);
    }
}

typedef struct Ppo {
    int kind;
    double advantage, clip, old, target;
} Ppo;

static double policy_loss(const double* x, const void* context) {
    const Ppo* c = context;
    double unused;
    return uf_ppo_policy_loss(x[0], c->advantage, c->clip, &unused);
}

static double clipped_value_loss(const double* x, const void* context) {
    const Ppo* c = context;
    double unused;
    return uf_ppo_value_loss(c->kind, x[0], c->old, c->target, c->clip, &unused);
}

static void test_ppo_losses(void** state) {
    (void)state;
    UfRandom r = random_of(12);
    int held[2] = {0};
    for (int k = 0; k < 4 * POINTS; k++) {
        const Ppo c = {k % 3, draw(&r, -2, 2), draw(&r, 0.05, 0.5), draw(&r, -2, 2), draw(&r, -2, 2)};
        double x = draw(&r, -1, 1), d;
        const double far = fmin(fabs(exp(x) - 1 - c.clip), fabs(exp(x) - 1 + c.clip));
        if (far > 4 * STEP) {  // the derivative jumps where the ratio leaves its bounds
            const double value = uf_ppo_policy_loss(x, c.advantage, c.clip, &d), ratio = exp(x);
            const double cut = fmin(fmax(ratio, 1 - c.clip), 1 + c.clip);
            assert_close(value, -fmin(ratio * c.advantage, cut * c.advantage), 1e-14);
            assert_close(d, slope(policy_loss, &x, 1, 0, STEP, &c), tolerance(value, d));
            held[0] += d == 0;
        }
        x = c.old + draw(&r, -1, 1);
        const double share = c.kind == UF_CLIP_VALUE_NAVIX ? 0.5 : 1, error = x - c.target,
                     cut = c.old + fmin(fmax(x - c.old, -c.clip), c.clip) - c.target;
        const double wanted =
            c.kind == UF_CLIP_VALUE_NONE ? error * error / 2 : fmax(error * error, share * cut * cut) / 2;
        assert_close(uf_ppo_value_loss(c.kind, x, c.old, c.target, c.clip, &d), wanted, 1e-14);
        const bool meet = c.kind != UF_CLIP_VALUE_NONE &&
                          (fabs(fabs(x - c.old) - c.clip) < 4 * STEP ||
                           (fabs(x - c.old) > c.clip && fabs(error * error - share * cut * cut) < 0.1));
        if (meet) continue;
        assert_close(d, slope(clipped_value_loss, &x, 1, 0, STEP, &c), tolerance(wanted, d));
        held[1] += d == 0;
    }
    assert_in_range(held[0], 100, 4 * POINTS);  // both sides of both clips were met
    assert_in_range(held[1], 50, 4 * POINTS);
    double d;
    assert_true(isnan(uf_ppo_policy_loss(NAN, 1, 0.2, &d)) && isnan(d));
    assert_true(isnan(uf_ppo_value_loss(UF_CLIP_VALUE_STANDARD, NAN, 0, 0, 0.2, &d)) && isnan(d));
}

// Advantages against their definition: sums over what follows, weighted by the product of discount and lambda.
static void test_gae(void** state) {
    (void)state;
    enum { T = 12 };
    UfRandom r = random_of(13);
    for (int k = 0; k < 50; k++) {
        const double gamma = draw(&r, 0.5, 1), lambda = draw(&r, 0, 1);
        const bool by_time = k % 2;
        double reward[T], value[T + 1], discount[T], next = 0;
        for (int t = 0; t < T; t++) {
            reward[t] = draw(&r, -1, 1);
            discount[t] = k % 5 == 0 && t == 6 ? 0 : uf_ppo_discount(gamma, by_time, t);
            assert_close(uf_ppo_discount(gamma, by_time, t), by_time ? pow(gamma, t) : gamma, 1e-15);
        }
        for (int t = 0; t <= T; t++) value[t] = draw(&r, -1, 1);
        for (int t = T - 1; t >= 0; t--) {
            double sum = 0, weight = 1;
            for (int s = t; s < T; s++) {
                sum += weight * (reward[s] + discount[s] * value[s + 1] - value[s]);
                weight *= discount[s] * lambda;
            }
            next = uf_gae(reward[t], value[t], value[t + 1], discount[t], lambda, next);
            assert_close(next, sum, 1e-13);
        }
    }
}

static void test_clip_and_decay(void** state) {
    (void)state;
    assert_close(uf_clip_factor(0.4, 0.5), 1, 0);
    assert_close(uf_clip_factor(0.5, 0.5), 1, 0);
    assert_close(uf_clip_factor(2, 0.5), 0.25, 0);
    assert_true(isnan(uf_clip_factor(NAN, 0.5)));
    const UfDecay none = {0}, linear = {UF_DECAY_LINEAR, 4}, cosine = {UF_DECAY_COSINE, 4};
    const double lines[] = {1, 0.75, 0.5, 0.25, 0, 0},
                 curve[] = {1, 0.5 + sqrt(0.125), 0.5, 0.5 - sqrt(0.125), 0, 0};
    for (int step = 1; step <= 6; step++) {
        assert_close(uf_decay(none, step), 1, 0);
        assert_close(uf_decay(linear, step), lines[step - 1], 0);
        assert_close(uf_decay(cosine, step), curve[step - 1], 1e-15);
    }
}

// Two steps by hand; epsilon is the step's own.
static void test_adam(void** state) {
    (void)state;
    double w = 1, m = 0, v = 0;
    UfAdamStep step = uf_adam_step(0.1, 1, (UfDecay){0}, 0);
    assert_close(step.eps, UF_ADAM_EPS, 0);
    step.eps = 0.5;
    uf_adam(&w, &m, &v, 2, step);
    assert_close(w, 1 - 0.1 * 2 / (2 + 0.5), 1e-15);
    step = uf_adam_step(0.1, 2, (UfDecay){0}, 0.3);
    const double was = w, mean = (0.9 * 0.2 - 0.1) / (1 - 0.81),
                 square = (0.999 * 0.004 + 0.001) / (1 - 0.999 * 0.999);
    uf_adam(&w, &m, &v, -1, step);
    assert_close(w, was - 0.1 * mean / (sqrt(square) + 1e-5) - 0.1 * 0.3 * was, 1e-14);
}

// ---- off-policy agents ----

enum { DUEL_KINDS = 5 };
typedef struct Duel {
    int kind;
    double target, alpha;
    const double* q;
} Duel;

static double duel_loss(const double* x, const void* context) {
    const Duel* c = context;
    double unused;
    return uf_half_square(uf_duel_q(x, DUEL_KINDS, c->kind), c->target, &unused);
}

static double soft_loss(const double* x, const void* context) {
    const Duel* c = context;
    return uf_soft_loss(NULL, x, c->q, DUEL_KINDS, c->alpha);
}

static void test_duel(void** state) {
    (void)state;
    UfRandom r = random_of(31);
    for (int k = 0; k < POINTS; k++) {
        double x[DUEL_KINDS + 1], dx[DUEL_KINDS + 1], slope_q, mean = 0, mean_q = 0;
        for (int i = 0; i <= DUEL_KINDS; i++) x[i] = draw(&r, -3, 3);
        const Duel c = {k % DUEL_KINDS, draw(&r, -3, 3), 0, NULL};
        for (int i = 0; i < DUEL_KINDS; i++) mean += x[i] / DUEL_KINDS;
        const double q = uf_duel_q(x, DUEL_KINDS, c.kind);
        assert_close(q, x[DUEL_KINDS] + x[c.kind] - mean, 1e-14);
        for (int i = 0; i < DUEL_KINDS; i++) mean_q += uf_duel_q(x, DUEL_KINDS, i) / DUEL_KINDS;
        assert_close(mean_q, x[DUEL_KINDS], 1e-14);  // advantages are centred
        assert_close(uf_half_square(q, c.target, &slope_q), (q - c.target) * (q - c.target) / 2, 1e-14);
        uf_duel_grad(dx, DUEL_KINDS, c.kind, slope_q);
        for (int i = 0; i <= DUEL_KINDS; i++)
            assert_close(dx[i], slope(duel_loss, x, DUEL_KINDS + 1, i, STEP, &c), tolerance(q * q, dx[i]));
    }
}

// The actor's loss over kinds, and the temperature's.
static void test_soft_loss(void** state) {
    (void)state;
    UfRandom r = random_of(32);
    for (int k = 0; k < POINTS; k++) {
        double x[DUEL_KINDS], q[DUEL_KINDS], dx[DUEL_KINDS], sum = 0, want = 0;
        for (int i = 0; i < DUEL_KINDS; i++) {
            x[i] = draw(&r, -3, 3);
            q[i] = draw(&r, -3, 3);
            sum += exp(x[i]);
        }
        const Duel c = {0, 0, draw(&r, 0, 2), q};
        for (int i = 0; i < DUEL_KINDS; i++)
            want += exp(x[i]) / sum * (c.alpha * log(exp(x[i]) / sum) - q[i]);
        const double loss = uf_soft_loss(dx, x, q, DUEL_KINDS, c.alpha);
        assert_close(loss, want, 1e-13);
        for (int i = 0; i < DUEL_KINDS; i++)
            assert_close(dx[i], slope(soft_loss, x, DUEL_KINDS, i, STEP, &c), tolerance(loss, dx[i]));
        const double log_alpha = draw(&r, -2, 2), log_prob = draw(&r, -3, 1), entropy = draw(&r, -1, 1);
        assert_close(uf_temperature_loss(log_alpha, log_prob, entropy), -log_alpha * (log_prob + entropy),
                     1e-14);
        assert_close(uf_entropy_coef_grad(log_prob, entropy),
                     uf_temperature_loss(log_alpha + 1, log_prob, entropy) -
                         uf_temperature_loss(log_alpha, log_prob, entropy),
                     1e-14);
    }
}

// The chance of each kind: the lengths of u's pieces.
static void test_epsilon_greedy(void** state) {
    (void)state;
    enum { N = 100000 };
    const double q[4] = {1, 3, 3, -2}, chances[4] = {0.05, 0.45, 0.45, 0.05};
    double count[4] = {0};
    for (int i = 0; i < N; i++) count[uf_epsilon_greedy(q, 4, 0.2, (i + 0.5) / N)]++;
    for (int k = 0; k < 4; k++) assert_close(count[k] / N, chances[k], 1.0 / N);
    for (int i = 0; i < N; i++) assert_true(uf_epsilon_greedy(q, 4, 0, (i + 0.5) / N) % 3 != 0);
    const double none[3] = {NAN, NAN, NAN};
    for (int i = 0; i < 10; i++) assert_in_range(uf_epsilon_greedy(none, 3, 0.1, (i + 0.5) / 10), 0, 2);
    assert_int_equal(uf_best_kind(q, 4), 1);
    assert_close(uf_epsilon(0.1, 0, 50), 1, 0);
    assert_close(uf_epsilon(0.1, 25, 50), 0.55, 1e-15);
    assert_close(uf_epsilon(0.1, 50, 50), 0.1, 0);
    assert_close(uf_epsilon(0.1, 5000, 50), 0.1, 0);
    assert_close(uf_epsilon(0.1, 0, 0), 0.1, 0);
}

static double tanh_action(const double* x, const void* context) {
    double unused;
    (void)context;
    return uf_tanh_action(x[0], -1, 5, &unused);
}

static void test_tanh_action(void** state) {
    (void)state;
    UfRandom r = random_of(33);
    for (int k = 0; k < POINTS; k++) {
        const double m = draw(&r, -4, 4);
        double dm;
        assert_close(uf_tanh_action(m, -1, 5, &dm), 2 + 3 * tanh(m), 1e-14);
        assert_close(dm, slope(tanh_action, &m, 1, 0, STEP, NULL), tolerance(5, dm));
    }
}

static void test_step_values(void** state) {
    (void)state;
    assert_close(uf_step_value(2, false, 0.9, 3), 2 + 0.9 * 3, 1e-15);
    assert_close(uf_step_value(2, true, 0.9, 3), 2, 0);
    assert_close(uf_step_value(2, true, 0.9, INFINITY), 2, 0);
    assert_close(uf_in_units(-1, -2, 4), -2, 0);
    assert_close(uf_in_units(1, -2, 4), 4, 0);
    assert_close(uf_in_units(0.5, -2, 4), 2.5, 0);
    assert_close(uf_smoothed_within(1, 0.5, 0.3, 2, -2, 2), 1.3, 1e-15);
    assert_close(uf_smoothed_within(1, 0.5, 0.3, -0.2, -2, 2), 0.9, 1e-15);
    assert_close(uf_smoothed_within(1.9, 0.5, 0.3, 2, -2, 2), 2, 0);
    assert_close(uf_smoothed_action(0.9, 0.5, 0.3, 2), 1, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policy_sample),
        cmocka_unit_test(test_saturation),
        cmocka_unit_test(test_density),
        cmocka_unit_test(test_bc_loss),
        cmocka_unit_test(test_log_std),
        cmocka_unit_test(test_actor_scalars),
        cmocka_unit_test(test_target),
        cmocka_unit_test(test_q_loss),
        cmocka_unit_test(test_diversity),
        cmocka_unit_test(test_log_sum_exp),
        cmocka_unit_test(test_value_loss),
        cmocka_unit_test(test_model_loss),
        cmocka_unit_test(test_categorical),
        cmocka_unit_test(test_categorical_choice),
        cmocka_unit_test(test_ppo_categorical),
        cmocka_unit_test(test_normal),
        cmocka_unit_test(test_ppo_losses),
        cmocka_unit_test(test_gae),
        cmocka_unit_test(test_clip_and_decay),
        cmocka_unit_test(test_cross_entropy),
        cmocka_unit_test(test_adam),
        cmocka_unit_test(test_duel),
        cmocka_unit_test(test_soft_loss),
        cmocka_unit_test(test_epsilon_greedy),
        cmocka_unit_test(test_tanh_action),
        cmocka_unit_test(test_step_values),
    };
    return cmocka_run_group_tests_name("terms", tests, NULL, NULL);
}
