// trial_rules.h: what one environment of one small policy does in a step, once for C, C++ and CUDA. trials.h says what for.
#ifndef UF_TRIAL_RULES_H
#define UF_TRIAL_RULES_H

#include "terms.h"
#include "core/envs/env_rules.h"

// The running normaliser: what it counts of its start (mean 0, variance 1), and what keeps its divisor above 0.
#define UF_TRIAL_COUNT_EPS 1e-4
#define UF_TRIAL_VAR_EPS 1e-8

#define UF_MAX_KINDS 64  // of a discrete action

#define UF_TRIAL_LOG_STD_MIN (-20)  // of UF_TRIAL_SQUASHED
#define UF_TRIAL_LOG_STD_MAX 2

typedef enum UfTrialRule {
    UF_TRIAL_FIRST,    // each environment's first episode, cut off after num_steps
    UF_TRIAL_ENDED,    // all episodes that ended
    UF_TRIAL_LAST,     // the last that ended; 0 where none did
    UF_TRIAL_RUNNING,  // rewards of all num_steps, ended or not
} UfTrialRule;

// What the first outputs of a network are, and of which actions. Where actions are kinds: A logits, or what else is
// largest for the best kind where a policy is greedy; whatever is said here.
typedef enum UfTrialPolicy {
    UF_TRIAL_GAUSSIAN,  // A means with a free log-std, of actions in [-1, 1]; clipped, then scaled to the bounds
    UF_TRIAL_IN_UNITS,  // the same of actions in the environment's own units, clipped at the bounds
    UF_TRIAL_TANH,      // A numbers whose tanh is the action, then scaled; nothing is sampled
    UF_TRIAL_SQUASHED,  // A means, A log-stds, clipped to -20 to 2, of a Gaussian whose tanh is the action, then scaled
} UfTrialPolicy;

typedef struct UfTrial {  // one environment of one policy
    double sum;           // of returns that count; NaN: the policy answered with a number that is none
    int64_t count;        // how many returns that are
    int64_t steps;        // played
} UfTrial;

// ---- starts ----

// What an episode of an environment is called, for uf_rule_reset or uf_env_reset.
static inline UF_HD uint64_t uf_trial_episode(int64_t episode, int num_envs, int e) {
    return (uint64_t)(episode * num_envs + e);
}

// Number i of the state where environment e begins on an even grid over the first number.
static inline UF_HD double uf_trial_grid(const UfResetBounds* bounds, int num_envs, int e, int i) {
    const double place = i == 0 ? (e + 0.5) / num_envs : 0.5;
    return bounds->low[i] + place * (bounds->high[i] - bounds->low[i]);
}

// ---- noise ----

enum { UF_TRIAL_NOISE_STEPS = 64 };  // that one sequence of random numbers is for

// Number i of `each` that all environments of a policy have in a step: uniform where actions are discrete, else normal.
static inline UF_HD float uf_trial_noise(uint64_t key, bool discrete, int64_t step, int64_t each, int64_t i) {
    const uint64_t block = (uint64_t)(step / UF_TRIAL_NOISE_STEPS),
                   at = (uint64_t)(step % UF_TRIAL_NOISE_STEPS * each + i);
    if (!discrete) return uf_random_normal_at(key, UF_STREAM_EVAL_ACTION, block, at);
    const UfPhilox words = uf_philox(key, UF_STREAM_EVAL_ACTION, block, at / 4);
    return uf_uniform(words.v[at % 4]);
}

// ---- what a policy sees ----

// Takes a step's numbers, of n environments with this mean and sum of squares around it, into running moments, with the
// weight that Welford's merge of two samples gives them. count: of what was taken in before.
static inline UF_HD void uf_trial_merge(double* mean, double* var, double count, int n, double new_mean,
                                        double squares) {
    const double total = count + n, delta = new_mean - *mean;
    *var = (*var * count + squares + delta * delta * count * n / total) / total;
    *mean += delta * n / total;
}

static inline UF_HD real uf_trial_normalised(float obs, double mean, double var) {
    return (real)((obs - mean) / sqrt(var + UF_TRIAL_VAR_EPS));
}

// ---- what it does ----

// The kind that u falls on among softmax(logits), or the first of the likeliest.   Nullable: u
static inline UF_HD int uf_trial_kind(const real* logits, int A, const float* u) {
    real e[UF_MAX_KINDS], sum = 0;
    int best = 0;
    for (int i = 1; i < A; i++)
        if (logits[i] > logits[best]) best = i;
    if (!u) return best;
    for (int i = 0; i < A; i++) sum += e[i] = (real)expf((float)(logits[i] - logits[best]));
    const real at = *u * sum;
    sum = 0;
    for (int i = 0; i + 1 < A; i++) {
        sum += e[i];
        if (at < sum) return i;
    }
    return A - 1;
}

// How many of a network's outputs are read, the first ones.
static inline UF_HD int uf_trial_outputs(UfTrialPolicy policy, bool discrete, int A) {
    return policy == UF_TRIAL_SQUASHED && !discrete ? 2 * A : A;
}

// Whether an action is sampled.
static inline UF_HD bool uf_trial_samples(UfTrialPolicy policy, bool discrete, bool greedy) {
    return !greedy && (discrete || policy != UF_TRIAL_TANH);
}

// The environment's action from outputs.   false: a number was none.
// Nullable: noise (acts greedily); log_std where it is no Gaussian with a free one
static inline UF_HD bool uf_trial_act(UfTrialPolicy policy, bool discrete, int A, float low, float high,
                                      const real* out, const real* log_std, const float* noise,
                                      float* action) {
    const int outputs = uf_trial_outputs(policy, discrete, A);
    for (int i = 0; i < outputs; i++)
        if (!uf_is_finite(out[i])) return false;
    if (discrete) {
        action[0] = (float)uf_trial_kind(out, A, noise);
        return true;
    }
    for (int i = 0; i < A; i++) {
        real x = out[i];
        if (noise && policy != UF_TRIAL_TANH) {
            const real s = policy == UF_TRIAL_SQUASHED
                               ? uf_clip(out[A + i], UF_TRIAL_LOG_STD_MIN, UF_TRIAL_LOG_STD_MAX)
                               : log_std[i];
            x = out[i] + expf((float)s) * noise[i];
        }
        if (policy == UF_TRIAL_TANH || policy == UF_TRIAL_SQUASHED) x = uf_tanh(x);
        action[i] = (float)x;
        if (!uf_is_finite(action[i])) return false;
        if (policy == UF_TRIAL_IN_UNITS) action[i] = fminf(fmaxf(action[i], low), high);
    }
    if (policy != UF_TRIAL_IN_UNITS) uf_action_in_env(false, A, low, high, action, action);
    return true;
}

// ---- what counts ----

static inline UF_HD UfTrial uf_trial_start(UfTrialRule rule) {
    UfTrial trial = {0, rule == UF_TRIAL_ENDED ? 0 : 1, 0};
    return trial;
}

// A step with this reward. ret: of the episode so far, which it ended or not.
static inline UF_HD void uf_trial_count(UfTrialRule rule, UfTrial* trial, double* ret, double reward,
                                        bool ended) {
    *ret += reward;
    trial->steps++;
    if (rule == UF_TRIAL_FIRST || rule == UF_TRIAL_RUNNING) trial->sum += reward;
    if (ended && rule == UF_TRIAL_LAST) trial->sum = *ret;
    if (ended && rule == UF_TRIAL_ENDED) {
        trial->sum += *ret;
        trial->count++;
    }
}

#endif
