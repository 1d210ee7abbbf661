// terms.h: each equation of the method once, as a scalar value with its derivative, for C, C++ and CUDA.
//
// Common subset of C11 and C++17. UF_REAL is float; tests set it to double and check each derivative by
// central differences.
// Notation: b a row of the batch, i an action dimension, n a critic. d... is a derivative of the loss.
// Sources: "A Clean Slate for Offline RL" (unifloral.py); EDAC (arXiv 2110.01548), CQL (2006.04779),
// IQL (2110.06169), ReBRAC (2305.09836), SAC (1801.01290), for discrete actions (1910.07207); LayerNorm (1607.06450);
// PPO (1707.06347) with generalised advantages (1506.02438) as PureJaxRL, Rejax and NAVIX have it.
#ifndef UF_TERMS_H
#define UF_TERMS_H

#ifndef UF_REAL
#define UF_REAL float
#endif
typedef UF_REAL real;

#ifndef UF_HD
#ifdef __CUDACC__
#define UF_HD __host__ __device__
#else
#define UF_HD
#endif
#endif

#ifdef __cplusplus
#include <cmath>
#include <cstdint>
using std::exp, std::log, std::log1p, std::tanh, std::atanh, std::sqrt, std::fabs, std::pow, std::cos,
    std::erfc;
#else
#include <stdbool.h>
#include <stdint.h>
#include <tgmath.h>
#endif

#define UF_LAYER_NORM_EPS 1e-6
#define UF_ADAM_BETA1 0.9
#define UF_ADAM_BETA2 0.999
#define UF_ADAM_EPS 1e-5
#define UF_OBS_STD_EPS 1e-3
#define UF_HALF_LOG_2PI 0.91893853320467274178
#define UF_LOG_2 0.69314718055994530942
#define UF_SQRT_HALF 0.70710678118654752440
// atanh of a dataset action: actions on the bound are taken as this close to it (atanh(1) is infinite).
#define UF_ATANH_LIMIT 0.999999

static inline UF_HD real uf_clip(real x, real low, real high) { return x < low ? low : x > high ? high : x; }
// The smaller one; NaN if either is.
static inline UF_HD real uf_min(real x, real y) { return x < y || x != x ? x : y; }
static inline UF_HD bool uf_is_finite(real x) { return x - x == 0; }
static inline UF_HD real uf_softplus(real x) { return (x > 0 ? x : 0) + log1p(exp(-fabs(x))); }

// tanh by multiplications, additions and one division, so that a loop over it becomes vectors: the rational function of
// degree 13 over 6 that Eigen uses, off by at most 4e-7. Other precisions than float take the library's.
static inline UF_HD real uf_tanh(real x) {
    if (sizeof(real) != sizeof(float)) return tanh(x);
    const float bound = 7.90531110763549805f,
                z = (float)(x < -bound  ? -bound
                            : x > bound ? bound
                                        : x),
                y = z * z;
    const float p =
        ((((((-2.76076847742355e-16f * y + 2.00018790482477e-13f) * y - 8.60467152213735e-11f) * y +
            5.12229709037114e-08f) *
               y +
           1.48572235717979e-05f) *
              y +
          6.37261928875436e-04f) *
             y +
         4.89352455891786e-03f) *
        z;
    const float q = ((1.19825839466702e-06f * y + 1.18534705686654e-04f) * y + 2.26843463243900e-03f) * y +
                    4.89352518554385e-03f;
    return p / q;
}

// ---- policy: one action dimension ----

enum {
    UF_POLICY_DETERMINISTIC,  // a = tanh(m)
    UF_POLICY_GAUSSIAN,       // a = tanh(m) + exp(s) * eps, Gaussian density, no squashing
    UF_POLICY_SQUASHED,       // a = tanh(m + exp(s) * eps), density with the change of variables
    UF_POLICY_CATEGORICAL,    // a is one-hot, of kind i with probability softmax(m)[i]: see below
};

// log |d tanh(u) / du| = 2 * (log 2 - u - softplus(-2u))
static inline UF_HD real uf_log_tanh_slope(real u) { return 2 * ((real)UF_LOG_2 - u - uf_softplus(-2 * u)); }

typedef struct UfSample {
    real action, log_prob;
} UfSample;

// Log-density of a Gaussian's sample, and of that squashed to tanh(u).
static inline UF_HD real uf_sample_log_prob(real s, real eps) {
    return (real)-0.5 * eps * eps - s - (real)UF_HALF_LOG_2PI;
}
static inline UF_HD real uf_squashed_log_prob(real s, real eps, real u) {
    return uf_sample_log_prob(s, eps) - uf_log_tanh_slope(u);
}

// m: output of the mean head; s: clipped log-std; eps: standard normal.
static inline UF_HD UfSample uf_policy_sample(int kind, real m, real s, real eps) {
    UfSample r;
    if (kind == UF_POLICY_DETERMINISTIC) {
        r.action = tanh(m);
        r.log_prob = 0;
        return r;
    }
    if (kind == UF_POLICY_GAUSSIAN) {
        r.action = tanh(m) + exp(s) * eps;
        r.log_prob = uf_sample_log_prob(s, eps);
    } else {
        real u = m + exp(s) * eps;
        r.action = tanh(u);
        r.log_prob = uf_squashed_log_prob(s, eps, u);
    }
    return r;
}

typedef struct UfHeadGrad {
    real dm, ds;  // with respect to the mean head's output and the clipped log-std
} UfHeadGrad;

// Chain rule through a squashed sample a = tanh(m + noise), noise = exp(s) * eps.
static inline UF_HD UfHeadGrad uf_squashed_grad(real a, real noise, real da, real dlp) {
    UfHeadGrad g;
    g.dm = da * (1 - a * a) + dlp * 2 * a;  // d log_prob / du = 2 tanh(u)
    g.ds = g.dm * noise - dlp;
    return g;
}

// Chain rule through uf_policy_sample: da = dL/d action, dlp = dL/d log_prob.
static inline UF_HD UfHeadGrad uf_policy_sample_grad(int kind, real m, real s, real eps, real da, real dlp) {
    UfHeadGrad g;
    if (kind == UF_POLICY_SQUASHED) {
        real noise = exp(s) * eps;
        g = uf_squashed_grad(tanh(m + noise), noise, da, dlp);
    } else {
        real mean = tanh(m);
        g.dm = da * (1 - mean * mean);
        g.ds = kind == UF_POLICY_GAUSSIAN ? da * exp(s) * eps - dlp : 0;
    }
    return g;
}

// Behaviour cloning of one action dimension: value, and derivative with respect to m and s.
// Deterministic: (a - a_data)^2. Else -log pi(a_data | s).
static inline UF_HD real uf_bc_loss(int kind, real m, real s, real a_data, UfHeadGrad* g) {
    if (kind == UF_POLICY_DETERMINISTIC) {
        real a = tanh(m), diff = a - a_data;
        g->dm = 2 * diff * (1 - a * a);
        g->ds = 0;
        return diff * diff;
    }
    real inv_std = exp(-s), x, slope, log_volume;
    if (kind == UF_POLICY_GAUSSIAN) {
        real mean = tanh(m);
        x = a_data - mean;
        slope = 1 - mean * mean;
        log_volume = 0;
    } else {
        real u = atanh(uf_clip(a_data, (real)-UF_ATANH_LIMIT, (real)UF_ATANH_LIMIT));
        x = u - m;
        slope = 1;
        log_volume = uf_log_tanh_slope(u);
    }
    real z = x * inv_std;
    g->dm = -z * inv_std * slope;
    g->ds = 1 - z * z;
    return (real)0.5 * z * z + s + (real)UF_HALF_LOG_2PI + log_volume;
}

// Clipped log-std; the gradient passes only inside the bounds.
static inline UF_HD real uf_log_std(real raw, real low, real high, bool* passes) {
    *passes = raw > low && raw < high;
    return uf_clip(raw, low, high);
}

// ---- policy: one of A kinds ----

// T * log(sum of exp(x / T)) over `count` values that lie `stride` apart, and its derivative, the softmax, into soft
// (stride too).
static inline UF_HD real uf_log_sum_exp(const real* x, int count, int stride, real temperature, real* soft) {
    real top = x[0], sum = 0;
    for (int k = 1; k < count; k++) top = x[k * stride] > top ? x[k * stride] : top;
    for (int k = 0; k < count; k++) sum += soft[k * stride] = exp((x[k * stride] - top) / temperature);
    for (int k = 0; k < count; k++) soft[k * stride] /= sum;
    return top + temperature * log(sum);
}

// Cross entropy -<label, log softmax(m)> of a label that sums to 1, and its derivative with respect to m into dm.
static inline UF_HD real uf_cross_entropy(real* dm, const real* m, const real* label, int count) {
    const real log_z = uf_log_sum_exp(m, count, 1, 1, dm);
    real loss = 0;
    for (int i = 0; i < count; i++) {
        loss += label[i] * (log_z - m[i]);
        dm[i] -= label[i];
    }
    return loss;
}

// pi = softmax(m).
typedef struct UfCategorical {
    real log_z;          // log pi[i] = m[i] - log_z
    real mean_log_prob;  // sum of pi log pi: minus the entropy
} UfCategorical;

static inline UF_HD UfCategorical uf_categorical(const real* m, int count) {
    UfCategorical c;
    real top = m[0], sum = 0;
    for (int i = 1; i < count; i++) top = m[i] > top ? m[i] : top;
    for (int i = 0; i < count; i++) sum += exp(m[i] - top);
    c.log_z = top + log(sum);
    c.mean_log_prob = 0;
    for (int i = 0; i < count; i++) c.mean_log_prob += exp(m[i] - c.log_z) * (m[i] - c.log_z);
    return c;
}

// A standard Gumbel number, -log(-log(u)), of the uniform number u = Phi(eps) of a standard normal one.
static inline UF_HD real uf_gumbel(real eps) {
    const real tail = erfc(fabs(eps) * (real)UF_SQRT_HALF) / 2;
    return -log(eps > 0 ? -log1p(-tail) : -log(tail));
}

// Which kind a policy with these outputs takes: arg max of m + Gumbel(eps), which is a sample of softmax(m); without
// noise the likeliest.   Nullable: eps
static inline UF_HD int uf_categorical_choice(const real* m, const real* eps, int count) {
    int best = 0;
    real highest = 0;
    for (int i = 0; i < count; i++) {
        const real x = eps ? m[i] + uf_gumbel(eps[i]) : m[i];
        if (i && !(x > highest)) continue;
        best = i;
        highest = x;
    }
    return best;
}

// The one-hot action of that choice; NaN where an output is not finite.   Nullable: eps
static inline UF_HD void uf_categorical_action(real* action, const real* m, const real* eps, int count) {
    real flaw = 0;
    for (int i = 0; i < count; i++) flaw += m[i] - m[i];
    const int choice = uf_categorical_choice(m, eps, count);
    for (int i = 0; i < count; i++) action[i] = (i == choice ? 1 : 0) + flaw;
}

// Derivative with respect to m[i] of  bc * -log pi[data] + <da, pi> + dlp * sum of pi log pi,  where a_data is one-hot
// and mean_da = <da, pi>.
static inline UF_HD real uf_categorical_grad(UfCategorical c, real m, real a_data, real bc, real da,
                                             real mean_da, real dlp) {
    const real log_pi = m - c.log_z, pi = exp(log_pi);
    return bc * (pi - a_data) + pi * (da - mean_da + dlp * (log_pi - c.mean_log_prob));
}

// ---- actor ----

// Weight of behaviour cloning under AWR; no gradient flows through it.
static inline UF_HD real uf_awr_weight(real advantage, real temperature, real clip) {
    real w = exp(advantage * temperature);
    return w > clip ? clip : w;  // NaN stays NaN
}

// 1 / (mean |Q| + 1e-7), no gradient.
static inline UF_HD real uf_q_normaliser(real mean_abs_q) { return 1 / (mean_abs_q + (real)1e-7); }

// Gradient of log_alpha: mean entropy - target entropy.
static inline UF_HD real uf_entropy_coef_grad(real mean_log_prob, real target_entropy) {
    return -mean_log_prob - target_entropy;
}

// ---- critics ----

// Target policy smoothing: a' + clip(policy_noise * n, +-noise_clip), clipped to [low, high], here [-1, 1].
static inline UF_HD real uf_smoothed_within(real action, real policy_noise, real noise_clip, real n, real low,
                                            real high) {
    return uf_clip(action + uf_clip(policy_noise * n, -noise_clip, noise_clip), low, high);
}
static inline UF_HD real uf_smoothed_action(real action, real policy_noise, real noise_clip, real n) {
    return uf_smoothed_within(action, policy_noise, noise_clip, n, -1, 1);
}

static inline UF_HD real uf_td_target(real reward, real done, real gamma, real next_v) {
    return reward + gamma * (1 - done) * next_v;
}

// sum_N (Q - y)^2: one critic's term and its derivative.
static inline UF_HD real uf_q_loss(real q, real y, real* dq) {
    *dq = 2 * (q - y);
    return (q - y) * (q - y);
}

// EDAC, one critic: g = q / (|q| + 1e-6) with q = dQ/da (A numbers).
#define UF_DIVERSITY_EPS 1e-6
// Chain rule of that: given y = dD/dg, c = dD/dq = scale (y - e <e, y>) + scale^2 eps e <e, y> with e =
// q/|q|, split so that the part across q is not the difference of large numbers (with one action dimension it
// is zero).
static inline UF_HD real uf_diversity_grad(real e, real y, real norm, real inner) {
    real scale = 1 / (norm + (real)UF_DIVERSITY_EPS);
    return scale * (y - e * inner) + scale * scale * (real)UF_DIVERSITY_EPS * e * inner;
}

// ---- value ----

// Expectile regression |tau - 1(x < 0)| x^2 of x = min Q - V; derivative with respect to V.
static inline UF_HD real uf_value_loss(real q_min, real v, real expectile, real* dv) {
    real x = q_min - v, weight = x < 0 ? 1 - expectile : expectile;
    *dv = -2 * weight * x;
    return weight * x * x;
}

// ---- optimiser ----

// What one Adam step (1-based) does to every parameter; `decay` is AdamW's, decoupled from the gradient.
typedef struct UfAdamStep {
    real step_size, inv_sqrt_c2, decay, eps;
} UfAdamStep;

// How the learning rate falls to 0 over `steps` steps.
enum { UF_DECAY_NONE, UF_DECAY_COSINE, UF_DECAY_LINEAR };
typedef struct UfDecay {
    int kind;
    int64_t steps;  // at least 1 where there is a decay
} UfDecay;

// The factor of the rate at a step, 1-based: the first one has the whole of it.
static inline UF_HD double uf_decay(UfDecay d, int64_t step) {
    if (d.kind == UF_DECAY_NONE) return 1;
    const double part = step > d.steps ? 1 : (double)(step - 1) / (double)d.steps;
    return d.kind == UF_DECAY_LINEAR ? 1 - part : 0.5 * (1 + cos(3.14159265358979323846 * part));
}

// power1, power2: the betas to the power of `step`.
static inline UF_HD UfAdamStep uf_adam_step_of(real lr, int64_t step, UfDecay decay, double weight_decay,
                                               double power1, double power2) {
    const double rate = (double)lr * uf_decay(decay, step), c1 = 1 - power1, c2 = 1 - power2;
    UfAdamStep s;
    s.step_size = (real)(rate / c1);
    s.inv_sqrt_c2 = (real)(1 / sqrt(c2));
    s.decay = (real)(rate * weight_decay);
    s.eps = (real)UF_ADAM_EPS;
    return s;
}

static inline UF_HD UfAdamStep uf_adam_step(real lr, int64_t step, UfDecay decay, double weight_decay) {
    return uf_adam_step_of(lr, step, decay, weight_decay, pow(UF_ADAM_BETA1, (double)step),
                           pow(UF_ADAM_BETA2, (double)step));
}

static inline UF_HD void uf_adam(real* w, real* m, real* v, real grad, UfAdamStep s) {
    const real b1 = (real)UF_ADAM_BETA1, b2 = (real)UF_ADAM_BETA2;
    const real a1 = (real)(1 - UF_ADAM_BETA1),
               a2 = (real)(1 - UF_ADAM_BETA2);  // in double: 1 - 0.999f is off by 1e-5
    *m = b1 * *m + a1 * grad;
    *v = b2 * *v + a2 * grad * grad;
    *w -= s.step_size * *m / (sqrt(*v) * s.inv_sqrt_c2 + s.eps) + s.decay * *w;
}

// What a gradient of this norm is multiplied with so that its norm is at most max_norm (optax.clip_by_global_norm).
static inline UF_HD real uf_clip_factor(real norm, real max_norm) {
    return norm <= max_norm ? 1 : max_norm / norm;  // NaN stays NaN
}

// ---- PPO ----

#define UF_ADVANTAGE_EPS 1e-8

// One step of generalised advantage estimation, backwards in time; discount: 0 where the step ended its episode.
static inline UF_HD real uf_gae(real reward, real value, real next_value, real discount, real lambda,
                                real next_advantage) {
    return reward + discount * next_value - value + discount * lambda * next_advantage;
}

// The discount of a step: gamma, or NAVIX's gamma^t with t the episode's steps before this one.
static inline UF_HD real uf_ppo_discount(real gamma, bool by_time, int t) {
    return by_time ? pow(gamma, (real)t) : gamma;
}

// Logits of a categorical distribution over A kinds -> log-probabilities. Returns the entropy.
static inline UF_HD real uf_log_softmax(real* log_p, const real* logits, int A) {
    const UfCategorical c = uf_categorical(logits, A);
    for (int k = 0; k < A; k++) log_p[k] = logits[k] - c.log_z;
    return -c.mean_log_prob;
}

// The kind that u, uniform in (0, 1), falls on.
static inline UF_HD int uf_categorical_pick(const real* log_p, int A, real u) {
    real sum = 0;
    for (int k = 0; k + 1 < A; k++) {
        sum += exp(log_p[k]);
        if (u < sum) return k;
    }
    return A - 1;
}

// dL/dlogits from dlp = dL/d log_prob of the chosen kind and dh = dL/d entropy.
static inline UF_HD void uf_logits_grad(real* dlogits, const real* log_p, int A, real entropy, int chosen,
                                        real dlp, real dh) {
    const UfCategorical c = {0, -entropy};
    for (int k = 0; k < A; k++)
        dlogits[k] = uf_categorical_grad(c, log_p[k], k == chosen ? 1 : 0, -dlp, 0, 0, -dh);
}

// Log-density of one dimension of a Gaussian at x, and its derivatives with respect to mean and log-std s.
static inline UF_HD real uf_normal_log_prob(real x, real mean, real s, UfHeadGrad* g) {
    const real inv_std = exp(-s), z = (x - mean) * inv_std;
    g->dm = z * inv_std;
    g->ds = z * z - 1;
    return (real)-0.5 * z * z - s - (real)UF_HALF_LOG_2PI;
}
// Its entropy, whose derivative with respect to s is 1.
static inline UF_HD real uf_normal_entropy(real s) { return s + (real)0.5 + (real)UF_HALF_LOG_2PI; }

// -min(ratio A, clip(ratio, 1 - c, 1 + c) A) of log_ratio = log_prob - old_log_prob, and its derivative.
static inline UF_HD real uf_ppo_policy_loss(real log_ratio, real advantage, real c, real* dlp) {
    const real ratio = exp(log_ratio), plain = ratio * advantage,
               cut = uf_clip(ratio, 1 - c, 1 + c) * advantage;
    *dlp = plain > cut ? 0 : -plain;  // NaN stays NaN
    return -uf_min(plain, cut);
}

// How far a value may move, in the order of ppo.def's choices. With e = (v - G)^2 and e_c that of the clipped value:
// max(e, e_c) / 2; NAVIX's max(e, e_c / 2) / 2; e / 2.
enum { UF_CLIP_VALUE_STANDARD, UF_CLIP_VALUE_NAVIX, UF_CLIP_VALUE_NONE };
static inline UF_HD real uf_ppo_value_loss(int kind, real v, real old, real target, real c, real* dv) {
    const real error = v - target, share = kind == UF_CLIP_VALUE_NAVIX ? (real)0.5 : 1;
    const real cut = old + uf_clip(v - old, -c, c) - target;
    if (kind != UF_CLIP_VALUE_NONE && share * cut * cut > error * error) {
        *dv = v - old >= -c && v - old <= c ? share * cut : 0;
        return (real)0.5 * share * cut * cut;
    }
    *dv = error;
    return (real)0.5 * error * error;
}

// ---- off-policy agents ----

// Duelling Q of one of A kinds: value + advantage - mean advantage; out: A advantages, then the value (Wang et al. 2016).
// What the kinds of a row share:
static inline UF_HD real uf_duel_base(const real* out, int A) {
    real sum = 0;
    for (int k = 0; k < A; k++) sum += out[k];
    return out[A] - sum / A;
}
static inline UF_HD real uf_duel_q(const real* out, int A, int k) { return uf_duel_base(out, A) + out[k]; }
// dout from dq = dL/dQ of kind k alone.
static inline UF_HD void uf_duel_grad(real* dout, int A, int k, real dq) {
    for (int j = 0; j < A; j++) dout[j] = j == k ? dq - dq / A : -dq / A;
    dout[A] = dq;
}

// (q - y)^2 / 2 and its derivative.
static inline UF_HD real uf_half_square(real q, real y, real* dq) {
    *dq = q - y;
    return (real)0.5 * (q - y) * (q - y);
}

// What a step is worth: nothing follows where it ended its episode, whatever the next value is said to be.
static inline UF_HD real uf_step_value(real reward, bool done, real gamma, real next_v) {
    return done ? reward : uf_td_target(reward, 0, gamma, next_v);
}

// The first of the largest.
static inline UF_HD int uf_best_kind(const real* q, int A) {
    int best = 0;
    for (int k = 1; k < A; k++)
        if (q[k] > q[best]) best = k;
    return best;
}

// The chance of a kind at random: from 1 in a straight line to `end` after `fall` steps.
static inline UF_HD real uf_epsilon(real end, int64_t step, int64_t fall) {
    return step >= fall ? end : 1 + (end - 1) * ((real)step / (real)fall);
}

// The kind that u, uniform in (0, 1), falls on: any with chance epsilon / A, and the best ones share the rest evenly.
static inline UF_HD int uf_epsilon_greedy(const real* q, int A, real epsilon, real u) {
    const real best = q[uf_best_kind(q, A)];
    int ties = 0;
    for (int k = 0; k < A; k++) ties += q[k] == best;
    real sum = 0;
    for (int k = 0; k + 1 < A; k++) {
        sum += epsilon / A + (q[k] == best ? (1 - epsilon) / ties : 0);
        if (u < sum) return k;
    }
    return A - 1;
}

// SAC's actor of kinds: alpha * sum of pi log pi - sum of pi q with pi = softmax(m), which is minus the soft value; and its
// derivative with respect to m.   Nullable: dm
static inline UF_HD real uf_soft_loss(real* dm, const real* m, const real* q, int A, real alpha) {
    const UfCategorical c = uf_categorical(m, A);
    real mean_q = 0;
    for (int k = 0; k < A; k++) mean_q += exp(m[k] - c.log_z) * q[k];
    for (int k = 0; dm && k < A; k++) dm[k] = uf_categorical_grad(c, m[k], 0, 0, -q[k], -mean_q, alpha);
    return alpha * c.mean_log_prob - mean_q;
}

// Its temperature: -log_alpha * (mean log pi + target entropy), whose derivative is uf_entropy_coef_grad.
static inline UF_HD real uf_temperature_loss(real log_alpha, real mean_log_prob, real target_entropy) {
    return log_alpha * uf_entropy_coef_grad(mean_log_prob, target_entropy);
}

// An action of [-1, 1] in an environment's units; its derivative is half the range.
static inline UF_HD real uf_half_range(real low, real high) { return (high - low) / 2; }
static inline UF_HD real uf_in_units(real x, real low, real high) {
    return (low + high) / 2 + uf_half_range(low, high) * x;
}

// The action that tanh(m) is there, and its derivative.
static inline UF_HD real uf_tanh_action(real m, real low, real high, real* dm) {
    const real x = uf_tanh(m);
    *dm = uf_half_range(low, high) * (1 - x * x);
    return uf_in_units(x, low, high);
}

#define UF_SAC_LOG_STD_MIN -20
#define UF_SAC_LOG_STD_MAX 2

// ---- world model ----

#define UF_MAX_LOGVAR_INIT 0.5
#define UF_MIN_LOGVAR_INIT -10

// Variance of one output. logvar = max - softplus(max - x), then min + softplus(logvar - min); its exponential is
// exp(min) + 1 / (exp(-max) + exp(-x)).
static inline UF_HD real uf_model_variance(real x, real exp_min, real exp_minus_max) {
    return exp_min + 1 / (exp_minus_max + exp(-x));
}

typedef struct UfModelLoss {
    real loss, logvar;
    real dmean, draw, dmax, dmin;  // draw: with respect to the raw log-variance
} UfModelLoss;

// Gaussian negative log-likelihood of one output, without its constants: (mean - target)^2 / variance + logvar.
// With u = max - softplus(max - raw): d logvar / du = exp(u) / variance, du / draw = exp(u - raw), du / dmax =
// exp(u - max), d logvar / dmin = exp(min) / variance.
static inline UF_HD UfModelLoss uf_model_loss(real mean, real raw, real target, real exp_min,
                                              real exp_minus_max) {
    UfModelLoss l;
    const real exp_u = uf_model_variance(raw, 0, exp_minus_max), precision = 1 / (exp_min + exp_u);
    const real error = mean - target, surprise = error * error * precision;
    const real dlogvar = (1 - surprise) * precision, part = exp_u * exp_minus_max;
    l.logvar = -log(precision);
    l.loss = surprise + l.logvar;
    l.dmean = 2 * error * precision;
    l.dmax = dlogvar * exp_u * part;
    l.draw = dlogvar * exp_u * (1 - part);
    l.dmin = dlogvar * exp_min;
    return l;
}

#endif
