// trials.c: see trials.h.
#include "trials.h"

#include <math.h>
#include <string.h>

typedef struct Thread {  // what one thread plays with
    UfEnv** envs;        // (E)
    float* obs;          // (E, S)
    real *in, *out;      // (E, inputs), (E, outputs) of the network
    real* scratch;
    int* rows;                 // (E) environments that still play
    int64_t* episode;          // (E) under way, from 0
    double *ret, *mean, *var;  // (E), (S), (S)
} Thread;

struct UfTrials {
    UfTrialOptions o;
    UfPool* pool;
    Thread* threads;
    int num_threads, S, A, numbers;  // numbers of noise an action takes
    int64_t T;
    uint64_t* keys;
    float* noise;        // (num_keys, T, E, numbers).   NULL: greedy
    double* grid;        // (E, state_dim).   NULL: random starts
    const real* params;  // of the call
    UfTrial* results;
    double* moments;
};

// ---- making ----

static UfStatus make_grid(UfTrials* x) {
    const UfEnvSpec* spec = x->o.spec;
    UfEnvRule rule;
    if (!uf_env_rule(spec, &rule) || rule.kind == UF_RULE_MAZE)
        return UF_FAIL(UF_ERR_CONFIG,
                       "starts: %s has no box of start states to lay a grid over; set starts to random",
                       spec->name);
    UF_TRY(UF_ALLOC(&x->grid, x->o.num_envs * spec->state_dim, "start states"));
    for (int e = 0; e < x->o.num_envs; e++)
        for (int i = 0; i < spec->state_dim; i++) {
            const double low = rule.bounds.low[i], high = rule.bounds.high[i];
            const double place = i == 0 ? (e + 0.5) / x->o.num_envs : 0.5;
            x->grid[e * spec->state_dim + i] = low + place * (high - low);
        }
    return UF_OK;
}

static UfStatus make_thread(UfTrials* x, Thread* t) {
    static const char what[] = "trials";
    const size_t E = (size_t)x->o.num_envs, S = (size_t)x->S;
    UF_TRY(UF_ALLOC(&t->envs, E, what));
    for (size_t e = 0; e < E; e++) UF_TRY(uf_env_create(&t->envs[e], x->o.spec->name));
    UF_TRY(UF_ALLOC(&t->obs, E * S, what));
    UF_TRY(UF_ALLOC(&t->in, E * (size_t)x->o.net->in, what));
    UF_TRY(UF_ALLOC(&t->out, E * (size_t)x->o.net->mlp.out, what));
    UF_TRY(UF_ALLOC(&t->scratch, uf_clone_scratch(x->o.net, x->o.num_envs), what));
    UF_TRY(UF_ALLOC(&t->rows, E, what));
    UF_TRY(UF_ALLOC(&t->episode, E, what));
    UF_TRY(UF_ALLOC(&t->ret, E, what));
    UF_TRY(UF_ALLOC(&t->mean, S, what));
    return UF_ALLOC(&t->var, S, what);
}

static void free_thread(UfTrials* x, Thread* t) {
    for (int e = 0; t->envs && e < x->o.num_envs; e++) uf_env_free(t->envs[e]);
    void* all[] = {t->envs, t->obs, t->in, t->out, t->scratch, t->rows, t->episode, t->ret, t->mean, t->var};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
}

static UfStatus make_all(UfTrials* x) {
    const UfTrialOptions* o = &x->o;
    UF_TRY(uf_env_available(o->spec));
    if (o->net->in < o->first_obs + x->S || o->net->mlp.out < x->A)
        return UF_FAIL(UF_ERR_CONFIG,
                       "policies of %d observations and %d actions, %s has %d and %d; is it another task?",
                       o->net->in, o->net->mlp.out, o->spec->name, o->spec->obs_dim, o->spec->action_dim);
    UF_TRY(UF_ALLOC(&x->keys, o->num_keys, "keys"));
    if (!o->greedy)
        UF_TRY(UF_ALLOC(&x->noise, (int64_t)o->num_keys * x->T * o->num_envs * x->numbers, "action noise"));
    if (o->grid) UF_TRY(make_grid(x));
    UF_TRY(UF_ALLOC(&x->threads, x->num_threads, "trials"));
    for (int i = 0; i < x->num_threads; i++) UF_TRY(make_thread(x, &x->threads[i]));
    return UF_OK;
}

UfStatus uf_trials_create(UfTrials** out, const UfTrialOptions* options, UfPool* pool) {
    const UfEnvSpec* spec = options->spec;
    *out = NULL;
    UfTrials* x;
    UF_TRY(UF_ALLOC(&x, 1, "trials"));
    x->o = *options;
    x->pool = pool;
    x->num_threads = uf_pool_num_threads(pool);
    x->S = spec->obs_dim;
    x->A = spec->action_dim;
    x->numbers = spec->discrete ? 1 : spec->action_dim;
    x->T = options->num_steps;
    if (options->rule == UF_TRIAL_FIRST && spec->max_steps < x->T) x->T = spec->max_steps;
    const UfStatus status = make_all(x);
    if (status != UF_OK) {
        uf_trials_free(x);
        return status;
    }
    *out = x;
    return UF_OK;
}

void uf_trials_free(UfTrials* x) {
    if (!x) return;
    for (int i = 0; x->threads && i < x->num_threads; i++) free_thread(x, &x->threads[i]);
    void* all[] = {x->threads, x->keys, x->noise, x->grid, x};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
}

// ---- noise ----

enum { NOISE_STEPS = 64 };  // that a task draws

static void noise_task(void* context, int task, int thread) {
    UfTrials* x = context;
    const int64_t blocks = (x->T + NOISE_STEPS - 1) / NOISE_STEPS, block = task % blocks;
    const int64_t each = (int64_t)x->o.num_envs * x->numbers, last = (block + 1) * NOISE_STEPS;
    const int64_t first = block * NOISE_STEPS * each, end = (last < x->T ? last : x->T) * each;
    float* out = x->noise + task / blocks * x->T * each;
    UfRandom random = uf_random(x->keys[task / blocks], UF_STREAM_EVAL_ACTION, (uint64_t)block);
    (void)thread;
    for (int64_t i = first; i < end; i++)
        out[i] = x->o.spec->discrete ? uf_uniform(uf_random_u32(&random)) : uf_random_normal(&random);
}

void uf_trials_set_keys(UfTrials* x, const uint64_t* keys) {
    memcpy(x->keys, keys, (size_t)x->o.num_keys * sizeof *keys);
    const int64_t blocks = (x->T + NOISE_STEPS - 1) / NOISE_STEPS;
    if (x->noise) uf_pool_run(x->pool, (int)(blocks * x->o.num_keys), noise_task, x);
}

// ---- playing ----

static void begin_episode(const UfTrials* x, Thread* t, int e, uint64_t key) {
    float* obs = t->obs + (size_t)e * (size_t)x->S;
    uf_env_reset(t->envs[e], key, (uint64_t)(t->episode[e] * x->o.num_envs + e), obs);
    if (x->grid) uf_env_set_state(t->envs[e], x->grid + e * x->o.spec->state_dim, obs);
    t->ret[e] = 0;
}

// Takes a step's observations, of the n environments that still play, into the moments with the weight that Welford's
// merge of two samples gives them.
static void merge_moments(const UfTrials* x, Thread* t, int n, double* count) {
    const double total = *count + n;
    for (int j = 0; j < x->S; j++) {
        double mean = 0, squares = 0;
        for (int k = 0; k < n; k++) mean += t->obs[t->rows[k] * x->S + j];
        mean /= n;
        for (int k = 0; k < n; k++) {
            const double d = t->obs[t->rows[k] * x->S + j] - mean;
            squares += d * d;
        }
        const double delta = mean - t->mean[j];
        t->var[j] = (t->var[j] * *count + squares + delta * delta * *count * n / total) / total;
        t->mean[j] += delta * n / total;
    }
    *count = total;
}

// Rows of the network's input, of the environments that still play.
static void network_rows(const UfTrials* x, Thread* t, int running) {
    for (int k = 0; k < running; k++) {
        const float* obs = t->obs + (size_t)t->rows[k] * (size_t)x->S;
        real* in = t->in + (size_t)k * (size_t)x->o.net->in + x->o.first_obs;
        if (x->o.running)
            for (int j = 0; j < x->S; j++)
                in[j] = (real)((obs[j] - t->mean[j]) / sqrt(t->var[j] + UF_TRIAL_VAR_EPS));
        else if (x->o.mean)
            for (int j = 0; j < x->S; j++) in[j] = (obs[j] - x->o.mean[j]) / x->o.divisor[j];
        else
            memcpy(in, obs, (size_t)x->S * sizeof *in);
    }
}

// The kind that u falls on among softmax(logits), or the first of the likeliest.
static int choose_kind(const real* logits, int A, const float* u) {
    real e[UF_MAX_KINDS], sum = 0;
    int best = 0;
    for (int i = 1; i < A; i++)
        if (logits[i] > logits[best]) best = i;
    if (!u) return best;
    for (int i = 0; i < A; i++) sum += e[i] = expf(logits[i] - logits[best]);
    const real at = *u * sum;
    sum = 0;
    for (int i = 0; i + 1 < A; i++) {
        sum += e[i];
        if (at < sum) return i;
    }
    return A - 1;
}

// The environment's action from a row of outputs.   false: a number was none
static bool act(const UfTrials* x, const real* params, const real* out, const float* noise, float* action) {
    const UfEnvSpec* spec = x->o.spec;
    for (int i = 0; i < x->A; i++)
        if (!isfinite(out[i])) return false;
    if (spec->discrete) {
        action[0] = (float)choose_kind(out, x->A, noise);
        return true;
    }
    const real* log_std = params + x->o.net->mlp.log_std;
    for (int i = 0; i < x->A; i++) {
        action[i] = (float)(noise ? out[i] + expf(log_std[i]) * noise[i] : out[i]);
        if (!isfinite(action[i])) return false;
    }
    uf_env_scale_action(spec, action, action);
    return true;
}

static void count_episode(const UfTrials* x, Thread* t, int e, UfTrial* trial) {
    if (x->o.rule == UF_TRIAL_LAST) {
        trial->sum = t->ret[e];
        trial->count = 1;
    } else if (x->o.rule == UF_TRIAL_ENDED) {
        trial->sum += t->ret[e];
        trial->count++;
    }
}

// One step of environment e.   false: the policy failed
static bool step(const UfTrials* x, Thread* t, const real* params, const real* out, const float* noise, int e,
                 uint64_t key, UfTrial* trial, bool* ended) {
    float action[UF_MAX_KINDS];
    double reward;
    bool terminated, truncated;
    if (!act(x, params, out, noise, action)) return false;
    uf_env_step(t->envs[e], action, t->obs + (size_t)e * (size_t)x->S, &reward, &terminated, &truncated);
    t->ret[e] += reward;
    trial->steps++;
    *ended = terminated || truncated;
    if (x->o.rule == UF_TRIAL_FIRST || x->o.rule == UF_TRIAL_RUNNING) trial->sum += reward;
    if (!*ended || x->o.rule == UF_TRIAL_FIRST) return true;
    count_episode(x, t, e, trial);
    t->episode[e]++;
    begin_episode(x, t, e, key);
    return true;
}

static void play_task(void* context, int task, int thread) {
    const UfTrials* x = context;
    const UfTrialOptions* o = &x->o;
    const int E = o->num_envs, key_index = task % o->num_keys;
    Thread* t = &x->threads[thread];
    const real* params = x->params + (size_t)task * o->net->size;
    const uint64_t key = x->keys[key_index];
    UfTrial* trial = x->results + (size_t)task * (size_t)E;
    double seen = UF_TRIAL_COUNT_EPS;
    int running = E;
    bool sound = true;
    for (int e = 0; e < E; e++) {
        trial[e] = (UfTrial){.count = o->rule == UF_TRIAL_ENDED ? 0 : 1};
        t->rows[e] = e;
        t->episode[e] = 0;
        begin_episode(x, t, e, key);
    }
    for (int j = 0; j < x->S && o->running; j++) {
        t->mean[j] = 0;
        t->var[j] = 1;
    }
    for (int64_t s = 0; s < x->T && running && sound; s++) {
        int still = 0;
        if (o->running) merge_moments(x, t, running, &seen);
        network_rows(x, t, running);
        uf_clone_forward_host(o->net, params, t->out, t->in, running, t->scratch);
        for (int k = 0; k < running && sound; k++) {
            const int e = t->rows[k];
            const float* noise = x->noise ? x->noise + ((key_index * x->T + s) * E + e) * x->numbers : NULL;
            bool ended = false;
            sound = step(x, t, params, t->out + (size_t)k * (size_t)o->net->mlp.out, noise, e, key, &trial[e],
                         &ended);
            if (!ended || o->rule != UF_TRIAL_FIRST) t->rows[still++] = e;
        }
        running = still;
    }
    for (int e = 0; e < E && !sound; e++) trial[e].sum = NAN;
    if (!x->moments) return;
    memcpy(x->moments + (size_t)task * 2 * (size_t)x->S, t->mean, (size_t)x->S * sizeof(double));
    memcpy(x->moments + ((size_t)task * 2 + 1) * (size_t)x->S, t->var, (size_t)x->S * sizeof(double));
}

void uf_trials_play(UfTrials* x, const real* params, int num_policies, UfTrial* out, double* moments) {
    x->params = params;
    x->results = out;
    x->moments = moments;
    uf_pool_run(x->pool, num_policies, play_task, x);
}
