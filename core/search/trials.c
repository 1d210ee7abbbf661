// trials.c: see trials.h.
#include "core/search/trials.h"

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

// What a backend plays with, in its memory but for `play` itself.
typedef struct Apart {
    UfBackend* be;  // NULL: the host plays
    UfPlayTrials play;
    void *keys, *mean, *divisor, *rows, *seen, *trials, *going;
    int most;                // policies that there is room for
    UfTrialSeen* host_seen;  // (most)
    int32_t* host_going;     // (most)
} Apart;

struct UfTrials {
    UfTrialOptions o;
    Apart apart;
    UfPool* pool;
    Thread* threads;
    int num_threads, S, A, numbers;  // numbers of noise an action takes
    int64_t T, most_steps;           // of now, of any time
    uint64_t* keys;
    float* noise;        // (num_keys, most_steps, E, numbers).   NULL: nothing is sampled
    double* grid;        // (E, state_dim).   NULL: random starts
    const real* params;  // of the call
    UfTrial* results;
    double* moments;
};

// ---- making ----

static UfStatus make_grid(UfTrials* x) {
    const UfEnvSpec* spec = x->o.spec;
    UfEnvRule rule;
    if (!uf_env_rule(spec, &rule) || rule.kind == UF_RULE_MAZE || rule.kind == UF_RULE_GRID_WORLD)
        return UF_FAIL(UF_ERR_CONFIG,
                       "starts: %s has no box of start states to lay a grid over; set starts to random",
                       spec->name);
    UF_TRY(UF_ALLOC(&x->grid, x->o.num_envs * spec->state_dim, "start states"));
    for (int e = 0; e < x->o.num_envs; e++)
        for (int i = 0; i < spec->state_dim; i++)
            x->grid[e * spec->state_dim + i] = uf_trial_grid(&rule.bounds, x->o.num_envs, e, i);
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

// Whether the backend can play them: else the host does, whatever there is to play.
static bool find_backend(UfTrials* x) {
    const UfTrialOptions* o = &x->o;
    UfPlayTrials* play = &x->apart.play;
    if (!o->backend || !o->backend->play_trials || !uf_env_rule(o->spec, &play->rule) ||
        o->net->conv.filters || o->net->in + 2 * o->net->mlp.width > UF_TRIALS_MAX_UNITS)
        return false;
    x->apart.be = o->backend;
    play->net = o->net;
    play->counts = o->rule;
    play->policy = o->policy;
    if (o->any_length) play->rule.max_steps = INT32_MAX;
    play->E = o->num_envs;
    play->num_keys = o->num_keys;
    play->first_obs = o->first_obs;
    play->greedy = o->greedy;
    play->grid = o->grid;
    play->running = o->running;
    return true;
}

static UfStatus reserve(UfTrials* x, void** out, size_t bytes, const char* what) {
    return x->apart.be->reserve(x->apart.be, out, bytes, what);
}

static UfStatus make_apart(UfTrials* x) {
    const UfTrialOptions* o = &x->o;
    Apart* a = &x->apart;
    const size_t bytes = (size_t)x->S * sizeof(float);
    UF_TRY(reserve(x, &a->keys, (size_t)o->num_keys * sizeof *x->keys, "keys"));
    a->play.keys = a->keys;
    if (!o->mean) return UF_OK;
    UF_TRY(reserve(x, &a->mean, bytes, "observation statistics"));
    UF_TRY(reserve(x, &a->divisor, bytes, "observation statistics"));
    a->be->upload(a->be, a->mean, o->mean, bytes);
    a->be->upload(a->be, a->divisor, o->divisor, bytes);
    a->play.mean = a->mean;
    a->play.divisor = a->divisor;
    return a->be->sync(a->be);
}

static void release_policies(Apart* a) {
    void* device[] = {a->rows, a->seen, a->trials, a->going};
    for (size_t i = 0; i < sizeof device / sizeof device[0] && a->be; i++) a->be->release(a->be, device[i]);
    uf_free(a->host_seen);
    uf_free(a->host_going);
    a->rows = a->seen = a->trials = a->going = NULL;
    a->host_seen = NULL;
    a->host_going = NULL;
    a->most = 0;
}

// Room for so many policies.
static UfStatus reserve_policies(UfTrials* x, int num_policies) {
    static const char what[] = "trials";
    Apart* a = &x->apart;
    const size_t P = (size_t)num_policies, all = P * (size_t)x->o.num_envs;
    if (num_policies <= a->most) return UF_OK;
    release_policies(a);
    UF_TRY(reserve(x, &a->rows, all * sizeof *a->play.rows, what));
    UF_TRY(reserve(x, &a->seen, P * sizeof *a->play.seen, what));
    UF_TRY(reserve(x, &a->trials, all * sizeof *a->play.trials, what));
    UF_TRY(reserve(x, &a->going, P * sizeof *a->play.going, what));
    UF_TRY(UF_ALLOC(&a->host_seen, P, what));
    UF_TRY(UF_ALLOC(&a->host_going, P, what));
    a->play.rows = a->rows;
    a->play.seen = a->seen;
    a->play.trials = a->trials;
    a->play.going = a->going;
    a->most = num_policies;
    return UF_OK;
}

// How many steps are played where this many are asked for.
static int64_t steps_of(const UfTrials* x, int64_t num_steps) {
    const bool limited = x->o.rule == UF_TRIAL_FIRST && !x->o.any_length;
    return limited && x->o.spec->max_steps < num_steps ? x->o.spec->max_steps : num_steps;
}

static UfStatus make_all(UfTrials* x) {
    const UfTrialOptions* o = &x->o;
    UF_TRY(uf_env_available(o->spec));
    const bool discrete = o->spec->discrete, samples = uf_trial_samples(o->policy, discrete, o->greedy),
               squashed = o->policy == UF_TRIAL_SQUASHED;
    if (o->net->in < o->first_obs + x->S || o->net->mlp.out < x->A)
        return UF_FAIL(UF_ERR_CONFIG,
                       "policies of %d observations and %d actions, %s has %d and %d; is it another task?",
                       o->net->in, o->net->mlp.out, o->spec->name, o->spec->obs_dim, o->spec->action_dim);
    if (o->net->mlp.out < uf_trial_outputs(o->policy, discrete, x->A))
        return UF_FAIL(UF_ERR_CONFIG,
                       "policies of %d outputs; %d means and as many log-stds of %s's actions are expected",
                       o->net->mlp.out, x->A, o->spec->name);
    if (samples && !discrete && !squashed && !o->net->has_log_std)
        return UF_FAIL(UF_ERR_CONFIG,
                       "policies without log-stds: %s's actions cannot be sampled; act greedily",
                       o->spec->name);
    if (o->grid) UF_TRY(make_grid(x));
    UF_TRY(UF_ALLOC(&x->keys, o->num_keys, "keys"));
    if (find_backend(x)) return make_apart(x);
    if (samples)
        UF_TRY(UF_ALLOC(&x->noise, (int64_t)o->num_keys * x->most_steps * o->num_envs * x->numbers,
                        "action noise"));
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
    x->T = x->most_steps = steps_of(x, options->num_steps);
    const UfStatus status = make_all(x);
    if (status != UF_OK) {
        uf_trials_free(x);
        return status;
    }
    *out = x;
    return UF_OK;
}

bool uf_trials_apart(const UfTrials* x) { return x->apart.be != NULL; }

void uf_trials_free(UfTrials* x) {
    if (!x) return;
    Apart* a = &x->apart;
    void* device[] = {a->keys, a->mean, a->divisor};
    release_policies(a);
    for (size_t i = 0; i < sizeof device / sizeof device[0] && a->be; i++) a->be->release(a->be, device[i]);
    for (int i = 0; x->threads && i < x->num_threads; i++) free_thread(x, &x->threads[i]);
    void* all[] = {x->threads, x->keys, x->noise, x->grid, x};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
}

// ---- noise ----

// A task's share is what uf_trial_noise calls a block, drawn number after number.
static void noise_task(void* context, int task, int thread) {
    UfTrials* x = context;
    const int64_t T = x->most_steps, blocks = (T + UF_TRIAL_NOISE_STEPS - 1) / UF_TRIAL_NOISE_STEPS,
                  block = task % blocks;
    const int64_t each = (int64_t)x->o.num_envs * x->numbers, last = (block + 1) * UF_TRIAL_NOISE_STEPS;
    const int64_t first = block * UF_TRIAL_NOISE_STEPS * each, end = (last < T ? last : T) * each;
    float* out = x->noise + task / blocks * T * each;
    UfRandom random = uf_random(x->keys[task / blocks], UF_STREAM_EVAL_ACTION, (uint64_t)block);
    (void)thread;
    for (int64_t i = first; i < end; i++)
        out[i] = x->o.spec->discrete ? uf_uniform(uf_random_u32(&random)) : uf_random_normal(&random);
}

void uf_trials_set_keys(UfTrials* x, const uint64_t* keys) {
    const size_t bytes = (size_t)x->o.num_keys * sizeof *keys;
    memcpy(x->keys, keys, bytes);
    if (x->apart.be) x->apart.be->upload(x->apart.be, x->apart.keys, x->keys, bytes);
    const int64_t blocks = (x->most_steps + UF_TRIAL_NOISE_STEPS - 1) / UF_TRIAL_NOISE_STEPS;
    if (x->noise) uf_pool_run(x->pool, (int)(blocks * x->o.num_keys), noise_task, x);
}

UfStatus uf_trials_set_num_steps(UfTrials* x, int64_t num_steps) {
    if (num_steps < 1 || num_steps > x->o.num_steps)
        return UF_FAIL(UF_ERR_ARGUMENT, "num_steps is %lld; these trials were made for 1 to %lld",
                       (long long)num_steps, (long long)x->o.num_steps);
    x->T = steps_of(x, num_steps);
    return UF_OK;
}

// ---- playing ----

static void begin_episode(const UfTrials* x, Thread* t, int e, uint64_t key) {
    float* obs = t->obs + (size_t)e * (size_t)x->S;
    uf_env_reset(t->envs[e], key, uf_trial_episode(t->episode[e], x->o.num_envs, e), obs);
    if (x->grid) uf_env_set_state(t->envs[e], x->grid + e * x->o.spec->state_dim, obs);
    t->ret[e] = 0;
}

// Takes a step's observations, of the n environments that still play, into the moments.
static void merge_moments(const UfTrials* x, Thread* t, int n, double* count) {
    for (int j = 0; j < x->S; j++) {
        double mean = 0, squares = 0;
        for (int k = 0; k < n; k++) mean += t->obs[t->rows[k] * x->S + j];
        mean /= n;
        for (int k = 0; k < n; k++) {
            const double d = t->obs[t->rows[k] * x->S + j] - mean;
            squares += d * d;
        }
        uf_trial_merge(&t->mean[j], &t->var[j], *count, n, mean, squares);
    }
    *count += n;
}

// Rows of the network's input, of the environments that still play.
static void network_rows(const UfTrials* x, Thread* t, int running) {
    for (int k = 0; k < running; k++) {
        const float* obs = t->obs + (size_t)t->rows[k] * (size_t)x->S;
        real* in = t->in + (size_t)k * (size_t)x->o.net->in + x->o.first_obs;
        if (x->o.running)
            for (int j = 0; j < x->S; j++) in[j] = uf_trial_normalised(obs[j], t->mean[j], t->var[j]);
        else if (x->o.mean)
            for (int j = 0; j < x->S; j++) in[j] = (obs[j] - x->o.mean[j]) / x->o.divisor[j];
        else
            memcpy(in, obs, (size_t)x->S * sizeof *in);
    }
}

// One step of environment e.   false: the policy failed
static bool step(const UfTrials* x, Thread* t, const real* params, const real* out, const float* noise, int e,
                 uint64_t key, UfTrial* trial, bool* ended) {
    const UfEnvSpec* spec = x->o.spec;
    float action[UF_MAX_KINDS];
    double reward;
    bool terminated, truncated;
    if (!uf_trial_act(x->o.policy, spec->discrete, x->A, spec->action_low, spec->action_high, out,
                      params + x->o.net->mlp.log_std, noise, action))
        return false;
    uf_env_step(t->envs[e], action, t->obs + (size_t)e * (size_t)x->S, &reward, &terminated, &truncated);
    *ended = terminated || (truncated && !x->o.any_length);
    uf_trial_count(x->o.rule, trial, &t->ret[e], reward, *ended);
    if (!*ended || x->o.rule == UF_TRIAL_FIRST) return true;
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
        trial[e] = uf_trial_start(o->rule);
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
            const float* noise =
                x->noise ? x->noise + ((key_index * x->most_steps + s) * E + e) * x->numbers : NULL;
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

// ---- playing apart ----

enum { LAUNCH_STEPS = 256 };  // then those that have ended are not played on

static UfStatus any_going(const Apart* a, bool* going) {
    *going = false;
    a->be->download(a->be, a->host_going, a->going, (size_t)a->play.P * sizeof *a->host_going);
    UF_TRY(a->be->sync(a->be));
    for (int p = 0; p < a->play.P; p++) *going = *going || a->host_going[p];
    return UF_OK;
}

static UfStatus play_apart(UfTrials* x, const real* params, int num_policies, UfTrial* out, double* moments) {
    Apart* a = &x->apart;
    UfBackend* be = a->be;
    const size_t P = (size_t)num_policies, S = (size_t)x->S;
    bool going = true;
    UF_TRY(reserve_policies(x, num_policies));
    a->play.P = num_policies;
    a->play.params = params;
    for (int64_t s = 0; s < x->T && going; s += LAUNCH_STEPS) {
        const int64_t left = x->T - s;
        be->play_trials(be, &a->play, s, left < LAUNCH_STEPS ? (int)left : LAUNCH_STEPS);
        if (left > LAUNCH_STEPS && x->o.rule == UF_TRIAL_FIRST) UF_TRY(any_going(a, &going));
    }
    be->download(be, out, a->trials, P * (size_t)x->o.num_envs * sizeof *out);
    if (moments) be->download(be, a->host_seen, a->seen, P * sizeof *a->host_seen);
    UF_TRY(be->sync(be));
    for (size_t p = 0; moments && p < P; p++, moments += 2 * S) {
        memcpy(moments, a->host_seen[p].mean, S * sizeof *moments);
        memcpy(moments + S, a->host_seen[p].var, S * sizeof *moments);
    }
    return UF_OK;
}

UfStatus uf_trials_play(UfTrials* x, const real* params, int num_policies, UfTrial* out, double* moments) {
    if (x->apart.be) return play_apart(x, params, num_policies, out, moments);
    x->params = params;
    x->results = out;
    x->moments = moments;
    uf_pool_run(x->pool, num_policies, play_task, x);
    return UF_OK;
}
