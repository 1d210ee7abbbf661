// traces.c: `unifloral verify` of kind classic-traces: recorded gymnasium episodes against classic.c.
//
// Each environment is checked from every recorded state (one step), over whole episodes driven by the
// recorded actions alone (replay), and in the distribution of its resets.
#include <math.h>
#include <stdio.h>  // snprintf
#include <string.h>

#include "core/data/h5.h"
#include "core/envs/envs.h"
#include "core/verify/judge.h"

static const char* const names[] = {
    "Pendulum-v1", "MountainCarContinuous-v0", "CartPole-v1", "MountainCar-v0", "Acrobot-v1", NULL};

// ---- file ----

typedef struct Trace {
    const UfEnvSpec* spec;
    int64_t num_episodes, num_steps, num_resets;
    int32_t* length;                  // (episodes)
    uint8_t* forced;                  // (episodes) 1: start set by hand
    double *returns, *state0;         // (episodes), (episodes, n)
    float* obs0;                      // (episodes, o)
    float* actions;                   // (steps)
    double *states, *rewards;         // (steps, n), (steps): after each action
    float* obs;                       // (steps, o)
    uint8_t *terminated, *truncated;  // (steps)
    double* resets;                   // (resets, n)
} Trace;

static void trace_free(Trace* t) {
    void* all[] = {t->length, t->forced,  t->returns, t->state0,     t->obs0,      t->actions,
                   t->states, t->rewards, t->obs,     t->terminated, t->truncated, t->resets};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
}

// Reads dataset `name` of the environment's group into fresh memory: (*rows) or (*rows, columns). *rows < 0:
// as many as it has.
static UfStatus read_array(const UfH5* h5, const UfEnvSpec* spec, const char* name, UfH5Type type, void* out,
                           int64_t* rows, int64_t columns) {
    static const size_t item_bytes[] = {
        [UF_H5_FLOAT] = 4, [UF_H5_DOUBLE] = 8, [UF_H5_INT32] = 4, [UF_H5_UINT8] = 1};
    char path[128];
    UfH5Shape shape;
    snprintf(path, sizeof path, "%s/%s", spec->name, name);
    UF_TRY(uf_h5_shape(h5, path, &shape));
    int rank = columns ? 2 : 1;
    if (shape.rank != rank)
        return UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' has rank %d; %d expected", h5->path, path, shape.rank,
                       rank);
    if (*rows < 0) *rows = shape.dims[0];
    if (shape.dims[0] != *rows || (columns && shape.dims[1] != columns))
        return UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' has %lld rows of %lld; %lld of %lld expected",
                       h5->path, path, (long long)shape.dims[0], (long long)(columns ? shape.dims[1] : 1),
                       (long long)*rows, (long long)(columns ? columns : 1));
    void* data;
    UF_TRY(uf_alloc(&data, (size_t)shape.count, item_bytes[type], path));
    UfStatus status = uf_h5_read(h5, path, type, data, shape.count);
    if (status == UF_OK)
        memcpy(out, &data, sizeof data);
    else
        uf_free(data);
    return status;
}

// Refuses an attribute that is not `expected`.
static UfStatus check_attribute(const UfH5* h5, const UfEnvSpec* spec, const char* name, double expected) {
    double value;
    UF_TRY(uf_h5_read_number(h5, spec->name, name, &value));
    if (value != expected)
        return UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' of %s is %g; %g expected", h5->path, name,
                       spec->name, value, expected);
    return UF_OK;
}

static UfStatus trace_read(Trace* t, const UfH5* h5, const UfEnvSpec* spec) {
    int64_t n = spec->state_dim, o = spec->obs_dim, *episodes = &t->num_episodes, *steps = &t->num_steps;
    *t = (Trace){.spec = spec, .num_episodes = -1, .num_steps = -1, .num_resets = -1};
    UF_TRY(check_attribute(h5, spec, "max_steps", spec->max_steps));
    UF_TRY(check_attribute(h5, spec, "discrete", spec->discrete));
    UF_TRY(read_array(h5, spec, "ep_length", UF_H5_INT32, &t->length, episodes, 0));
    UF_TRY(read_array(h5, spec, "ep_forced", UF_H5_UINT8, &t->forced, episodes, 0));
    UF_TRY(read_array(h5, spec, "ep_return", UF_H5_DOUBLE, &t->returns, episodes, 0));
    UF_TRY(read_array(h5, spec, "ep_state0", UF_H5_DOUBLE, &t->state0, episodes, n));
    UF_TRY(read_array(h5, spec, "ep_obs0", UF_H5_FLOAT, &t->obs0, episodes, o));
    UF_TRY(read_array(h5, spec, "actions", UF_H5_FLOAT, &t->actions, steps, 0));
    UF_TRY(read_array(h5, spec, "states", UF_H5_DOUBLE, &t->states, steps, n));
    UF_TRY(read_array(h5, spec, "rewards", UF_H5_DOUBLE, &t->rewards, steps, 0));
    UF_TRY(read_array(h5, spec, "obs", UF_H5_FLOAT, &t->obs, steps, o));
    UF_TRY(read_array(h5, spec, "terminated", UF_H5_UINT8, &t->terminated, steps, 0));
    UF_TRY(read_array(h5, spec, "truncated", UF_H5_UINT8, &t->truncated, steps, 0));
    UF_TRY(read_array(h5, spec, "resets", UF_H5_DOUBLE, &t->resets, &t->num_resets, n));
    UF_TRY(check_attribute(h5, spec, "episodes", (double)*episodes));
    int64_t sum = 0;
    for (int64_t e = 0; e < *episodes; e++) {
        if (t->forced[e] > 1)
            return UF_FAIL(UF_ERR_FORMAT, "%s: '%s/ep_forced' has a %d; 0 or 1 expected", h5->path,
                           spec->name, t->forced[e]);
        if (t->length[e] < 1)
            return UF_FAIL(UF_ERR_FORMAT, "%s: '%s/ep_length' has a length of %d; at least 1 expected",
                           h5->path, spec->name, t->length[e]);
        sum += t->length[e];
    }
    if (sum != *steps)
        return UF_FAIL(UF_ERR_FORMAT, "%s: '%s/ep_length' adds up to %lld steps, 'actions' has %lld",
                       h5->path, spec->name, (long long)sum, (long long)*steps);
    return UF_OK;
}

// ---- comparing ----

// The worst of each kind so far.
typedef struct Worst {
    double one_step, replay, reward, observations, flags, starts;  // the last three are counts
} Worst;

static double distance(const double* a, const double* b, int n) {
    double worst = 0;
    for (int i = 0; i < n; i++) uf_keep_worst(&worst, fabs(a[i] - b[i]));
    return worst;
}

static int differing(const float* a, const float* b, int n) {
    int count = 0;
    for (int i = 0; i < n; i++) count += !(a[i] == b[i]);
    return count;
}

// Acrobot starts in float32, and there numpy takes cosine and sine in float32: the last bit may differ from
// ours.
static int differing_starts(const float* a, const float* b, int n) {
    int count = 0;
    for (int i = 0; i < n; i++) count += !(fabsf(a[i] - b[i]) <= 1.2e-7f * fmaxf(1, fabsf(b[i])));
    return count;
}

// Beyond a bound by more than float32 rounding.
static int out_of_bounds(const UfEnvSpec* spec, const double* state) {
    const UfResetBounds* bounds = spec->details;
    int count = 0;
    for (int i = 0; i < spec->state_dim; i++)
        count += !((float)state[i] >= (float)bounds->low[i] && (float)state[i] <= (float)bounds->high[i]);
    return count;
}

// One step of env against row `row` of the file.
static void compare_step(UfEnv* env, const Trace* t, int64_t row, Worst* worst, double* state_error) {
    int n = t->spec->state_dim, o = t->spec->obs_dim;
    float obs[8];
    double reward, state[UF_ENV_STATE];
    bool terminated, truncated;
    uf_env_step(env, t->actions + row, obs, &reward, &terminated, &truncated);
    uf_env_get_state(env, state);
    uf_keep_worst(state_error, distance(state, t->states + row * n, n));
    uf_keep_worst(&worst->reward, fabs(reward - t->rewards[row]));
    // a replay's may round the other way where another libm differs in the last bit
    if (state_error == &worst->one_step) worst->observations += differing(obs, t->obs + row * o, o);
    worst->flags += (terminated != t->terminated[row]) + (truncated != t->truncated[row]);
}

static void compare_episodes(UfEnv* env, const Trace* t, Worst* worst) {
    int n = t->spec->state_dim, o = t->spec->obs_dim;
    int64_t first = 0;
    for (int64_t e = 0; e < t->num_episodes; first += t->length[e++]) {
        const double* state0 = t->state0 + e * n;
        const float* obs0 = t->obs0 + e * o;
        float obs[8];
        double sum = 0;
        // from every recorded state; what a step does may depend on its number
        for (int64_t k = 0; k < t->length[e]; k++) {
            uf_env_set_state(env, k ? t->states + (first + k - 1) * n : state0, NULL);
            env->steps = (int)k;
            compare_step(env, t, first + k, worst, &worst->one_step);
            sum += t->rewards[first + k];
            float action = t->actions[first + k];
            if (t->spec->discrete) worst->flags += !(action >= 0 && action < (float)t->spec->action_dim);
        }
        uf_keep_worst(&worst->reward, fabs(sum - t->returns[e]));
        uf_env_set_state(env, state0, obs);
        if (!t->forced[e])
            worst->starts += out_of_bounds(t->spec, state0) + differing_starts(obs, obs0, o);
        else
            for (int i = 0; i < o; i++) worst->starts += !isnan(obs0[i]);
        for (int64_t k = 0; k < t->length[e]; k++) compare_step(env, t, first + k, worst, &worst->replay);
    }
}

// Start states against the uniform distribution: mean and variance in standard errors, and how far the
// extremes stay from the bounds in units of the gap one expects. Infinite where one is outside.
static void compare_resets(const UfEnvSpec* spec, const double* states, int64_t count, double* sigmas,
                           double* gaps) {
    const UfResetBounds* bounds = spec->details;
    int n = spec->state_dim;
    *sigmas = *gaps = 0;
    for (int64_t k = 0; k < count; k++)
        if (out_of_bounds(spec, states + k * n)) *gaps = (double)INFINITY;
    for (int i = 0; i < n; i++) {
        double width = bounds->high[i] - bounds->low[i], middle = 0.5 * (bounds->low[i] + bounds->high[i]);
        double mean = 0, variance = 0, low = (double)INFINITY, high = -(double)INFINITY;
        if (width == 0) continue;  // a constant: within the bounds says all
        for (int64_t k = 0; k < count; k++) {
            double x = (states[k * n + i] - middle) / width;  // uniform in [-0.5, 0.5]
            mean += x / (double)count;
            variance += x * x / (double)count;
            low = fmin(low, x);
            high = fmax(high, x);
        }
        uf_keep_worst(sigmas, fabs(mean) * sqrt(12.0 * (double)count));
        uf_keep_worst(sigmas, fabs(variance - 1 / 12.0) * sqrt(180.0 * (double)count));
        uf_keep_worst(gaps, fmax(low + 0.5, 0.5 - high) * (double)count);
    }
}

static UfStatus our_resets(UfEnv* env, int64_t count, double** states) {
    float obs[8];
    UF_TRY(UF_ALLOC(states, count * env->spec->state_dim, "reset states"));
    for (int64_t k = 0; k < count; k++) {
        uf_env_reset(env, 0, (uint64_t)k, obs);
        uf_env_get_state(env, *states + k * env->spec->state_dim);
    }
    return UF_OK;
}

// ---- report ----

static UfStatus check_environment(UfReport* report, const UfH5* h5, const char* name) {
    Trace trace = {0};
    UfEnv* env = NULL;
    double* resets = NULL;
    Worst worst = {0};
    double sigmas, gaps;
    UfStatus status = trace_read(&trace, h5, uf_env_find(name));
    if (status == UF_OK) status = uf_env_create(&env, name);
    if (status == UF_OK) status = our_resets(env, 4096, &resets);
    if (status != UF_OK) goto done;

    compare_episodes(env, &trace, &worst);
    uf_report_add(report, name, "one step: states", worst.one_step, 1e-12);  // rounding of another libm
    // 0 with glibc; one bit of difference in a sine grows up to 1e9 times in a swing-up. Changed files fail
    // the one step above.
    uf_report_add(report, name, "replay: states", worst.replay, 1e-6);
    uf_report_add(report, name, "rewards and returns", worst.reward, 1e-9);
    uf_report_add(report, name, "observations (float32s that differ)", worst.observations, 0);
    uf_report_add(report, name, "flags and actions (wrong ones)", worst.flags, 0);
    uf_report_add(report, name, "starts (wrong ones)", worst.starts, 0);
    // 5 standard errors: 6e-7 a number; 20 gaps: 2e-9 a bound
    compare_resets(trace.spec, trace.resets, trace.num_resets, &sigmas, &gaps);
    uf_report_add(report, name, "its resets: moments (sigma)", sigmas, 5);
    uf_report_add(report, name, "its resets: range (gaps)", gaps, 20);
    compare_resets(trace.spec, resets, 4096, &sigmas, &gaps);
    uf_report_add(report, name, "our resets: moments (sigma)", sigmas, 5);
    uf_report_add(report, name, "our resets: range (gaps)", gaps, 20);
done:
    uf_env_free(env);
    uf_free(resets);
    trace_free(&trace);
    return status;
}

static const char* name_of(int k) { return names[k]; }

static UfStatus check_file(UfReport* report, const UfH5* h5) {
    UfStatus status = uf_check_groups(report, h5, "/", name_of, "classic-control environment");
    for (int k = 0; names[k] && status == UF_OK; k++)
        if (uf_h5_exists(h5, names[k])) status = check_environment(report, h5, names[k]);
    return status;
}

UfStatus uf_verify_classic_traces(const char* path, char** text, bool* passed) {
    return uf_report_file(path, check_file, text, passed);
}
