// synth_traces.c: `unifloral verify` of kind synthenv: published synthetic environments and what the code they come from
// (synthetic-gymnax, gymnax, evosax, all in float32) made of them, against synthenv.c, es.c and classic.c.
//
// Parts, of which `checkpoint` must be there: environments with forward passes and steps; `fresh_mdp`, one with all four
// networks and random weights; `snes`, generations of the search; `eval_env`, steps of classic control as gymnax has it;
// `greedy`, returns of the best action there.
// An error is measured against 1 + the largest number of what it is an error of; of the MDP, whose observations grow
// without bounds, against 1 + the largest number of the step's observation. Limits: of passes through the networks,
// and of the search, 1e-5, some dozens of roundings of float32 (humanoidstandup sums 261 numbers for a hidden unit); of a
// step of classic control 2e-6.
//
// gymnax's mountain car with continuous actions keeps its speed at the left wall, gymnasium's and so ours loses it. There
// the position and our speed of 0 are compared, and the recorded speed with ours from the same place and action, started
// at a speed that stays clear of the wall: what a step adds to the speed does not depend on it.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/search/es.h"
#include "core/synth/synth.h"
#include "core/verify/judge.h"

static const double limit = 1e-5, step_limit = 2e-6;

enum { MAX_NUMBERS = 10000000 };  // of a recorded dataset

// ---- reading ----

typedef struct Group {
    const UfH5* h5;
    UfReport* report;
    char path[128];
    const char* name;  // the last part of path
} Group;

// (*rows) or (*rows, columns) numbers as floats in fresh memory. *rows 0: as many as it has.
static UfStatus read_rows(const Group* g, const char* name, float** out, int64_t* rows, int64_t columns) {
    char path[256];
    UfH5Shape shape;
    snprintf(path, sizeof path, "%s/%s", g->path, name);
    UF_TRY(uf_h5_shape(g->h5, path, &shape));
    if (shape.rank != (columns ? 2 : 1) || shape.count > MAX_NUMBERS || (*rows && shape.dims[0] != *rows) ||
        (columns && shape.dims[1] != columns))
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: dataset '%s' has %d dimensions, %lld x %lld; expected %s%lld x %lld", g->h5->path,
                       path, shape.rank, (long long)shape.dims[0],
                       (long long)(shape.rank > 1 ? shape.dims[1] : 1), columns ? "2, " : "1, ",
                       (long long)(*rows ? *rows : shape.dims[0]), (long long)(columns ? columns : 1));
    *rows = shape.dims[0];
    UF_TRY(UF_ALLOC(out, shape.count, path));
    return uf_h5_read(g->h5, path, UF_H5_FLOAT, *out, shape.count);
}

// What fails by the file's numbers says which file.
static UfStatus of_file(const Group* g, UfStatus status) {
    return status == UF_OK ? UF_OK : uf_fail_prefix(status, g->h5->path);
}

// Arrays of a check, freed together.
enum { MAX_ARRAYS = 24 };
typedef struct Arrays {
    float* all[MAX_ARRAYS];
    int count;
    int64_t rows;  // of what is read
    UfStatus status;
} Arrays;

// NULL from the first failure on, which is kept.
static float* take(Arrays* a, const Group* g, const char* name, int columns) {
    float** to = &a->all[a->count];
    if (a->status != UF_OK) return NULL;
    a->status = read_rows(g, name, to, &a->rows, columns);
    a->count++;
    return *to;
}

// Of `kinds` kinds, or 0: of `numbers` numbers. The number of a kind is no other than 0 to kinds - 1.
static float* take_actions(Arrays* a, const Group* g, const char* name, int kinds, int numbers) {
    float* actions = take(a, g, name, kinds ? 0 : numbers);
    for (int64_t i = 0; a->status == UF_OK && kinds && i < a->rows; i++)
        if (!(actions[i] >= 0 && actions[i] < (float)kinds) || actions[i] != floorf(actions[i]))
            a->status =
                UF_FAIL(UF_ERR_FORMAT, "%s: '%s/%s' has an action %g; a whole number from 0 to %d expected",
                        g->h5->path, g->path, name, (double)actions[i], kinds - 1);
    return actions;
}

static float* room(Arrays* a, int64_t count) {
    float** to = &a->all[a->count];
    if (a->status != UF_OK) return NULL;
    a->status = UF_ALLOC(to, count, "a recording");
    a->count++;
    return *to;
}

static UfStatus finish(Arrays* a) {
    for (int i = 0; i < a->count; i++) uf_free(a->all[i]);
    return a->status;
}

// ---- comparing ----

static double error_of(const float* ours, const float* expected, int64_t count) {
    double worst = 0, most = 0;
    for (int64_t i = 0; i < count; i++) {
        uf_keep_worst(&worst, fabs((double)ours[i] - (double)expected[i]));
        uf_keep_worst(&most, fabs((double)expected[i]));
    }
    return worst == 0 ? 0 : worst / (1 + most);
}

// The worst row's, by the size of its observation (rows, O).
static double row_error(const float* ours, const float* expected, int columns, const float* obs, int O,
                        int rows) {
    double worst = 0;
    for (int r = 0; r < rows; r++) {
        double most = 0;
        for (int i = 0; i < O; i++) uf_keep_worst(&most, fabs((double)obs[r * O + i]));
        for (int i = r * columns; i < (r + 1) * columns; i++)
            uf_keep_worst(&worst, fabs((double)ours[i] - (double)expected[i]) / (1 + most));
    }
    return worst;
}

static int64_t differing(const float* a, const float* b, int64_t count) {
    int64_t sum = 0;
    for (int64_t i = 0; i < count; i++) sum += !(a[i] == b[i]);
    return sum;
}

static void add(const Group* g, const char* check, double worst, double most) {
    uf_report_add(g->report, g->name, check, worst, most);
}

// ---- environments ----

static UfStatus check_parameters(const Group* g, const SeEnv* env) {
    Arrays a = {.rows = se_num_params(env)};
    double count;
    UF_TRY(uf_h5_read_number(g->h5, g->path, "num_params", &count));
    const float* flat = take(&a, g, "flat", 0);
    float* ours = room(&a, a.rows);
    if (a.status == UF_OK) {
        se_get_params(env, ours);
        add(g, "parameters (their number is off by)", fabs(count - (double)a.rows), 0);
        add(g, "parameters in order (wrong ones)", (double)differing(ours, flat, a.rows), 0);
    }
    return finish(&a);
}

static UfStatus check_forward(const Group* g, const SeEnv* env) {
    const SeOptions* o = se_options(env);
    const int O = o->obs_dim, A = o->action_dim, L = o->latent_dim, kinds = o->discrete ? A : 0;
    Arrays a = {0};
    const float *latent = take(&a, g, "forward/latent", L), *context = take(&a, g, "forward/context", O),
                *obs = take(&a, g, "forward/obs", O),
                *action = take_actions(&a, g, "forward/action", kinds, A),
                *encoded = take(&a, g, "forward/action_encoded", A),
                *reward = take(&a, g, "forward/reward", 0), *dobs = take(&a, g, "forward/grad_obs", O),
                *dencoded = take(&a, g, "forward/grad_action", A),
                *all = o->discrete ? take(&a, g, "forward/reward_all_actions", A) : NULL;
    float *our_context = room(&a, a.rows * O), *our_encoded = room(&a, a.rows * A),
          *our_reward = room(&a, a.rows), *our_dobs = room(&a, a.rows * O),
          *our_dencoded = room(&a, a.rows * A), *stepped = room(&a, a.rows), *our_all = room(&a, a.rows * A),
          *next = room(&a, a.rows * O);
    uint8_t* done = (uint8_t*)room(&a, a.rows);
    if (a.status != UF_OK) return finish(&a);
    const int n = (int)a.rows;
    const SeDraw draw = {.latents = latent};
    se_reset(env, &draw, n, our_context);
    se_encode(env, n, action, our_encoded);
    se_reward_gradient(env, n, obs, encoded, our_reward, our_dobs, our_dencoded);
    add(g, "contexts", error_of(our_context, context, a.rows * O), limit);
    add(g, "rewards", error_of(our_reward, reward, a.rows), limit);
    add(g, "rewards by observation", error_of(our_dobs, dobs, a.rows * O), limit);
    add(g, "rewards by action", error_of(our_dencoded, dencoded, a.rows * A), limit);
    if (all) {
        se_rewards_of_all(env, n, obs, our_all);
        add(g, "rewards of all actions", error_of(our_all, all, a.rows * A), limit);
    }
    // A kind and its one-hot row are the same action, a number is itself.
    se_step(env, &draw, n, obs, action, NULL, next, stepped, done);
    add(g, "encoded actions (wrong ones)",
        (double)(differing(our_encoded, encoded, a.rows * A) + differing(stepped, our_reward, a.rows)), 0);
    return finish(&a);
}

static UfStatus check_steps(const Group* g, const SeEnv* env) {
    const SeOptions* o = se_options(env);
    const int O = o->obs_dim, L = o->latent_dim, A = o->action_dim, kinds = o->discrete ? A : 0;
    Arrays a = {0};
    const float *latent = take(&a, g, "steps/latent", L), *obs = take(&a, g, "steps/obs", O),
                *action = take_actions(&a, g, "steps/action", kinds, A),
                *reward = take(&a, g, "steps/reward", 0), *done = take(&a, g, "steps/done", 0),
                *next = take(&a, g, "steps/next_obs", O);
    float *our_obs = room(&a, a.rows * O), *our_next = room(&a, a.rows * O), *our_reward = room(&a, a.rows);
    uint8_t* our_done = (uint8_t*)room(&a, a.rows);
    if (a.status != UF_OK) return finish(&a);
    // The episodes after the recorded one have the latents behind it; of the last one it is not known.
    const int n = (int)a.rows, known = n - 1;
    const SeDraw first = {.latents = latent}, later = {.latents = latent + L};
    int64_t wrong = 0;
    se_reset(env, &first, n, our_obs);
    se_step(env, &first, n, our_obs, action, NULL, our_next, our_reward, our_done);
    for (int i = 0; i < n; i++) wrong += our_done[i] != done[i];
    add(g, "steps: rewards", error_of(our_reward, reward, n), limit);
    add(g, "steps: ends (wrong ones)", (double)wrong, 0);
    if (known) se_step(env, &later, known, our_obs, action, NULL, our_next, our_reward, our_done);
    add(g, "steps: observations", fmax(error_of(our_obs, obs, n * O), error_of(our_next, next, known * O)),
        limit);
    return finish(&a);
}

static UfStatus check_checkpoint(const UfH5* h5, UfReport* report, const char* name) {
    Group g = {.h5 = h5, .report = report, .name = name};
    SeEnv* env;
    snprintf(g.path, sizeof g.path, "checkpoint/%.100s", name);
    UF_TRY(se_import(&env, h5->path, name));
    UfStatus status = check_parameters(&g, env);
    if (status == UF_OK && se_options(env)->mode != SE_BANDIT)
        status = UF_FAIL(UF_ERR_UNSUPPORTED, "%s: '%s' is no bandit; expected max_steps_in_episode 1",
                         h5->path, g.path);
    if (status == UF_OK) status = check_forward(&g, env);
    if (status == UF_OK) status = check_steps(&g, env);
    se_free(env);
    return status;
}

// ---- an MDP ----

typedef struct Episodes {
    const float *first, *obs, *action, *reward, *done, *logit, *next, *latent;
    float *our_next, *our_reward, *our_logit, *at;  // (n, O), (n), (n), (n + 1, O)
    uint8_t* our_done;
    int n, O, L, numbers;
} Episodes;

// From each recorded observation. What was recorded behind a step is there before a new episode begins.
static void check_transitions(const Group* g, const SeEnv* env, const Episodes* e) {
    for (int i = 0; i < e->n; i++)
        se_transition(env, e->obs + i * e->O, e->action + i * e->numbers, e->our_next + i * e->O,
                      e->our_reward + i, e->our_done + i);
    se_done_logits(env, e->n, e->our_next, e->our_logit);
    add(g, "rewards", row_error(e->our_reward, e->reward, 1, e->obs, e->O, e->n), limit);
    add(g, "next observations", row_error(e->our_next, e->next, e->O, e->obs, e->O, e->n), limit);
    add(g, "logits of the end", row_error(e->our_logit, e->logit, 1, e->obs, e->O, e->n), limit);
}

// From the first latent on, by the actions alone: each step adds its own rounding to an observation that the networks take
// further, so the limit grows with their number.
static void check_trajectory(const Group* g, const SeEnv* env, const Episodes* e) {
    const SeDraw start = {.latents = e->first};
    int64_t wrong = 0;
    int32_t steps = 0;
    se_reset(env, &start, 1, e->at);
    for (int i = 0; i < e->n; i++) {
        const SeDraw draw = {.latents = e->latent + i * e->L};
        se_step(env, &draw, 1, e->at + i * e->O, e->action + i * e->numbers, &steps, e->at + (i + 1) * e->O,
                e->our_reward + i, e->our_done + i);
        wrong += e->our_done[i] != e->done[i];
    }
    add(g, "all of it: observations", row_error(e->at, e->obs, e->O, e->obs, e->O, e->n), e->n * limit);
    add(g, "all of it: rewards", row_error(e->our_reward, e->reward, 1, e->obs, e->O, e->n), e->n * limit);
    add(g, "all of it: ends (wrong ones)", (double)wrong, 0);
}

static UfStatus check_mdp(const UfH5* h5, UfReport* report) {
    const Group g = {.h5 = h5, .report = report, .path = "fresh_mdp", .name = "fresh_mdp"};
    SeEnv* env;
    UF_TRY(se_import(&env, h5->path, "fresh_mdp"));
    const SeOptions* o = se_options(env);
    const int O = o->obs_dim, L = o->latent_dim, numbers = o->discrete ? 0 : o->action_dim;
    Episodes e = {.O = O, .L = L, .numbers = numbers ? numbers : 1};
    Arrays a = {.rows = L};
    if (o->mode != SE_MDP)
        a.status = UF_FAIL(UF_ERR_FORMAT, "%s: 'fresh_mdp' has episodes of one step", h5->path);
    e.first = take(&a, &g, "first_latent", 0);
    a.rows = 0;
    e.obs = take(&a, &g, "steps/obs", O);
    e.action = take_actions(&a, &g, "steps/action", numbers ? 0 : o->action_dim, numbers);
    e.reward = take(&a, &g, "steps/reward", 0);
    e.done = take(&a, &g, "steps/done", 0);
    e.logit = take(&a, &g, "steps/done_logit", 0);
    e.next = take(&a, &g, "steps/next_obs", O);
    e.latent = take(&a, &g, "steps/latent_if_reset", L);
    e.our_next = room(&a, a.rows * O);
    e.our_reward = room(&a, a.rows);
    e.our_logit = room(&a, a.rows);
    e.at = room(&a, (a.rows + 1) * O);
    e.our_done = (uint8_t*)room(&a, a.rows);
    e.n = (int)a.rows;
    if (a.status == UF_OK) {
        check_transitions(&g, env, &e);
        check_trajectory(&g, env, &e);
    }
    se_free(env);
    return finish(&a);
}

// ---- the search ----

static UfStatus snes_options(const UfH5* h5, UfEsOptions* o) {
    double popsize, dims, maximize;
    uf_es_default_options(o, UF_ES_SNES);
    UF_TRY(uf_h5_read_number(h5, "snes", "popsize", &popsize));
    UF_TRY(uf_h5_read_number(h5, "snes", "dims", &dims));
    UF_TRY(uf_h5_read_number(h5, "snes", "maximize", &maximize));
    UF_TRY(uf_h5_read_number(h5, "snes", "lrate_mean", &o->lr_mean));
    UF_TRY(uf_h5_read_number(h5, "snes", "lrate_sigma", &o->lr_sigma));
    UF_TRY(uf_h5_read_number(h5, "snes", "sigma_init", &o->sigma_init));
    if (maximize != 0 && maximize != 1)
        return UF_FAIL(UF_ERR_FORMAT, "%s: attribute 'maximize' of 'snes' is %g; 0 or 1 expected", h5->path,
                       maximize);
    if (!(popsize >= 2 && popsize <= 1e6 && dims >= 1 && dims <= MAX_NUMBERS))
        return UF_FAIL(UF_ERR_FORMAT, "%s: attributes of 'snes': popsize is %g, dims is %g", h5->path,
                       popsize, dims);
    o->popsize = (int)popsize;
    o->dims = (int64_t)dims;
    o->maximize = maximize != 0;
    return UF_OK;
}

// The rate of sigma is that of the formula, in float32.
static void check_rates(const Group* g, const UfEsOptions* o, const float* weights) {
    const double n = (double)o->dims, rate = (3 + log(n)) / (5 * sqrt(n));
    double sum = 0;
    for (int i = 0; i < o->popsize; i++) sum += (double)weights[i];
    add(g, "rate of sigma", fabs(o->lr_sigma / rate - 1), 1e-6);
    add(g, "sum of the weights", fabs(sum), 1e-6);
}

typedef struct Search {
    const Group* g;
    const UfEsOptions* o;
    const float *weights, *mean, *sigma, *x, *fitness;
    int64_t generations;
} Search;

static double error_in_double(const double* ours, const float* expected, int64_t count) {
    double worst = 0, most = 0;
    for (int64_t i = 0; i < count; i++) {
        uf_keep_worst(&worst, fabs(ours[i] - (double)expected[i]));
        uf_keep_worst(&most, fabs((double)expected[i]));
    }
    return worst / most;
}

// Once by the recorded fitness, once by another that ranks alike, which must not change a bit.
static UfStatus run_search(const Search* s, UfEs* es[2], float* noise, double* numbers) {
    const int64_t n = s->o->dims, P = s->o->popsize;
    double means = 0, sigmas = 0, weights = 0;
    int64_t wrong = 0;
    for (int64_t d = 0; d < n; d++) numbers[d] = (double)s->mean[d];
    for (int k = 0; k < 2; k++) uf_es_set_mean(es[k], numbers);
    uf_es_rank_weights(es[0], numbers);
    weights = error_in_double(numbers, s->weights, P);
    sigmas = error_in_double(uf_es_sigma(es[0]), s->sigma, n);
    for (int64_t t = 0; t < s->generations; t++) {
        const double *mean = uf_es_mean(es[0]), *sigma = uf_es_sigma(es[0]);
        for (int64_t i = 0; i < P * n; i++)
            noise[i] = (float)(((double)s->x[t * P * n + i] - mean[i % n]) / sigma[i % n]);
        for (int k = 0; k < 2; k++) {
            for (int64_t i = 0; i < P; i++) {
                const double f = (double)s->fitness[t * P + i];
                numbers[i] = k ? cbrt(f) - 3 : f;
            }
            UF_TRY(uf_es_tell_with(es[k], noise, numbers));
        }
        uf_keep_worst(&means, error_in_double(uf_es_mean(es[0]), s->mean + (t + 1) * n, n));
        uf_keep_worst(&sigmas, error_in_double(uf_es_sigma(es[0]), s->sigma + (t + 1) * n, n));
        wrong += memcmp(uf_es_mean(es[0]), uf_es_mean(es[1]), (size_t)n * sizeof(double)) != 0;
        wrong += memcmp(uf_es_sigma(es[0]), uf_es_sigma(es[1]), (size_t)n * sizeof(double)) != 0;
    }
    add(s->g, "weights by rank", weights, limit);
    add(s->g, "means", means, limit);
    add(s->g, "sigmas", sigmas, limit);
    add(s->g, "means and sigmas by ranks alone (wrong)", (double)wrong, 0);
    return UF_OK;
}

static UfStatus check_snes(const UfH5* h5, UfReport* report) {
    const Group g = {.h5 = h5, .report = report, .path = "snes", .name = "snes"};
    UfEsOptions o;
    UfEs* es[2] = {NULL, NULL};
    UF_TRY(snes_options(h5, &o));
    const int64_t n = o.dims, P = o.popsize;
    Arrays a = {.rows = P};
    Search s = {.g = &g, .o = &o};
    double* numbers = NULL;
    UfH5Shape shape;
    s.weights = take(&a, &g, "weights", 0);
    a.rows = 0;
    s.fitness = take(&a, &g, "fitness", (int)P);
    s.generations = a.rows;
    a.rows++;
    s.mean = take(&a, &g, "mean", (int)n);
    s.sigma = take(&a, &g, "sigma", (int)n);
    if (a.status == UF_OK) a.status = uf_h5_shape(h5, "snes/x", &shape);
    if (a.status == UF_OK && (shape.rank != 3 || shape.dims[0] != s.generations || shape.dims[1] != P ||
                              shape.dims[2] != n || shape.count > MAX_NUMBERS))
        a.status = UF_FAIL(UF_ERR_FORMAT, "%s: dataset 'snes/x' is not of the shape %lld x %lld x %lld",
                           h5->path, (long long)s.generations, (long long)P, (long long)n);
    float *x = room(&a, s.generations * P * n), *noise = room(&a, P * n);
    s.x = x;
    if (a.status == UF_OK) a.status = uf_h5_read(h5, "snes/x", UF_H5_FLOAT, x, shape.count);
    if (a.status == UF_OK) a.status = UF_ALLOC(&numbers, n > P ? n : P, "a recording");
    for (int k = 0; k < 2 && a.status == UF_OK; k++) a.status = of_file(&g, uf_es_create(&es[k], &o));
    if (a.status == UF_OK) {
        check_rates(&g, &o, s.weights);
        a.status = of_file(&g, run_search(&s, es, noise, numbers));
    }
    for (int k = 0; k < 2; k++) uf_es_free(es[k]);
    uf_free(numbers);
    return finish(&a);
}

// ---- the evaluation environment ----

typedef struct Trace {
    const float *state, *obs, *action, *reward, *done, *next_state, *next_obs;
    int64_t rows;
    int max_steps;
} Trace;

typedef struct Worst {
    double state, obs, reward;
    int64_t wrong, at_wall;
} Worst;

static double relative(double ours, double expected) { return fabs(ours - expected) / (1 + fabs(expected)); }

// Between angles, which may be a turn apart where one was wrapped.
static double angle_error(double ours, double expected) {
    const double turn = fabs(ours - expected), other = fabs(turn - 2 * UF_PI);
    return turn < other ? turn : other;
}

static void start_at(UfEnv* env, const double* state, int steps, float* obs) {
    uf_env_set_state(env, state, obs);
    env->steps = steps;
}

// See the head of this file.
static void compare_at_wall(UfEnv* env, const double* before, const double* after, const float* expected,
                            const float* next_obs, const float* action, int steps, Worst* w) {
    const double clear[2] = {before[0], 0.05}, fastest = 0.07;
    double free_of_it[2], reward, speed;
    float obs[UF_RULE_MAX_OBS];
    bool terminated, truncated;
    start_at(env, clear, steps, NULL);
    uf_env_step(env, action, obs, &reward, &terminated, &truncated);
    uf_env_get_state(env, free_of_it);
    speed = uf_clip_state(before[1] + (free_of_it[1] - clear[1]), -fastest, fastest);
    uf_keep_worst(&w->state, relative(after[0], (double)expected[0]));
    uf_keep_worst(&w->state, relative(speed, (double)expected[1]));
    for (int i = 0; i < 2; i++) uf_keep_worst(&w->obs, relative((double)next_obs[i], (double)expected[i]));
    w->wrong += after[1] != 0;
    w->at_wall++;
}

static void compare_row(UfEnv* env, const Trace* t, int64_t row, int steps, Worst* w) {
    const UfEnvSpec* spec = env->spec;
    const int n = spec->state_dim, O = spec->obs_dim, numbers = spec->discrete ? 1 : spec->action_dim;
    const bool acrobot = spec->ops == &uf_acrobot_ops;
    const float *expected = t->next_state + row * n, *action = t->action + row * numbers;
    double before[UF_ENV_STATE], after[UF_ENV_STATE], reward;
    float obs[UF_RULE_MAX_OBS];
    bool terminated, truncated;
    for (int i = 0; i < n; i++) before[i] = (double)t->state[row * n + i];
    start_at(env, before, steps, obs);
    for (int i = 0; i < O; i++) uf_keep_worst(&w->obs, relative((double)obs[i], (double)t->obs[row * O + i]));
    uf_env_step(env, action, obs, &reward, &terminated, &truncated);
    uf_env_get_state(env, after);
    uf_keep_worst(&w->reward, relative(reward, (double)t->reward[row]));
    w->wrong += (float)(terminated || steps + 1 >= t->max_steps) != t->done[row];
    if (spec->ops == &uf_mountain_car_continuous_ops && (float)after[0] == -1.2f && expected[1] < 0) {
        compare_at_wall(env, before, after, expected, t->next_obs + row * O, action, steps, w);
        return;
    }
    for (int i = 0; i < n; i++)
        uf_keep_worst(&w->state, acrobot && i < 2 ? angle_error(after[i], (double)expected[i])
                                                  : relative(after[i], (double)expected[i]));
    for (int i = 0; i < O; i++)
        uf_keep_worst(&w->obs, relative((double)obs[i], (double)t->next_obs[row * O + i]));
}

static UfStatus find_env(const Group* g, const UfEnvSpec** spec, double* max_steps) {
    char* id = NULL;
    UF_TRY(uf_h5_read_string(g->h5, g->path, "env_id", &id));
    UfStatus status = uf_env_lookup(spec, id);
    if (status == UF_OK && ((*spec)->ops->rule == UF_RULE_NONE || (*spec)->ops->rule == UF_RULE_MAZE))
        status = UF_FAIL(UF_ERR_UNSUPPORTED, "%s is no classic control", (*spec)->name);
    uf_free(id);
    if (status != UF_OK) return uf_fail_prefix(status, g->h5->path);
    UF_TRY(uf_h5_read_number(g->h5, g->path, "max_steps_in_episode", max_steps));
    if (*max_steps >= 1 && *max_steps <= INT32_MAX) return UF_OK;
    return UF_FAIL(UF_ERR_FORMAT, "%s: attribute 'max_steps_in_episode' of '%s' is %g", g->h5->path, g->path,
                   *max_steps);
}

static UfStatus check_eval_env(const UfH5* h5, UfReport* report, const char* name) {
    Group g = {.h5 = h5, .report = report, .name = name};
    const UfEnvSpec* spec;
    UfEnv* env = NULL;
    double max_steps;
    Arrays a = {0};
    Worst w = {0};
    snprintf(g.path, sizeof g.path, "eval_env/%.100s", name);
    UF_TRY(find_env(&g, &spec, &max_steps));
    const int n = spec->state_dim, O = spec->obs_dim;
    Trace t = {.max_steps = (int)max_steps};
    t.state = take(&a, &g, "state", n);
    t.obs = take(&a, &g, "obs", O);
    t.action = take_actions(&a, &g, "action", spec->discrete ? spec->action_dim : 0, spec->action_dim);
    t.reward = take(&a, &g, "reward", 0);
    t.done = take(&a, &g, "done", 0);
    t.next_state = take(&a, &g, "next_state", n);
    t.next_obs = take(&a, &g, "next_obs", O);
    if (a.status == UF_OK) a.status = uf_env_create(&env, spec->name);
    if (a.status == UF_OK) {
        int steps = 0;
        for (int64_t row = 0; row < a.rows; row++) {
            compare_row(env, &t, row, steps, &w);
            steps = t.done[row] != 0 ? 0 : steps + 1;
            // within an episode one row's next state is the state of the row behind it
            if (steps && row + 1 < a.rows)
                w.wrong += differing(t.state + (row + 1) * n, t.next_state + row * n, n) != 0;
        }
        char check[64] = "evaluation: states";
        if (w.at_wall)
            snprintf(check, sizeof check, "evaluation: states, %lld at gymnax's wall", (long long)w.at_wall);
        add(&g, check, w.state, step_limit);
        add(&g, "evaluation: observations", w.obs, step_limit);
        add(&g, "evaluation: rewards", w.reward, step_limit);
        add(&g, "evaluation: ends and order (wrong ones)", (double)w.wrong, 0);
    }
    uf_env_free(env);
    return finish(&a);
}

// ---- best actions ----

// As many episodes of our own as were recorded, with other start states:
//   |mean - recorded mean| <= 5 sqrt(se^2 + recorded se^2)
// A right program is outside with a probability below 6e-7, and the seed is fixed. Where all returns are equal, as of
// cartpole, so must ours be.
static UfStatus check_greedy(const UfH5* h5, UfReport* report, const char* name, UfPool* pool) {
    Group g = {.h5 = h5, .report = report, .name = name};
    Arrays a = {0};
    const UfEnvSpec* spec;
    UfEvaluation e = {0};
    SeEnv* env;
    char check[96];
    snprintf(g.path, sizeof g.path, "greedy/%.100s", name);
    UF_TRY(se_import(&env, h5->path, name));
    const float* returns = take(&a, &g, "returns", 0);
    if (a.status == UF_OK) a.status = of_file(&g, uf_synth_play(&e, &spec, env, NULL, a.rows, 0, pool));
    if (a.status == UF_OK) {
        double mean = 0, squares = 0;
        for (int64_t i = 0; i < a.rows; i++) mean += (double)returns[i] / (double)a.rows;
        for (int64_t i = 0; i < a.rows; i++)
            squares += ((double)returns[i] - mean) * ((double)returns[i] - mean);
        const double spread = hypot(e.stderr_return, sqrt(squares) / (double)a.rows),
                     distance = fabs(e.mean_return - mean);
        snprintf(check, sizeof check, "best actions: %.1f of %.1f (sigma)", e.mean_return, mean);
        add(&g, check, distance == 0 ? 0 : distance / spread, 5);
    }
    uf_evaluation_free(&e);
    se_free(env);
    return finish(&a);
}

// ---- report ----

static UfStatus check_members(const UfH5* h5, UfReport* report, const char* group,
                              UfStatus (*check)(const UfH5*, UfReport*, const char*)) {
    char** names;
    int count;
    UF_TRY(uf_h5_list(h5, group, &names, &count));
    UfStatus status = UF_OK;
    for (int i = 0; i < count && status == UF_OK; i++) status = check(h5, report, names[i]);
    uf_h5_list_free(names, count);
    return status;
}

static UfStatus check_all_greedy(const UfH5* h5, UfReport* report) {
    char** names;
    int count;
    UfPool* pool = NULL;
    UF_TRY(uf_h5_list(h5, "greedy", &names, &count));
    UfStatus status = uf_pool_create(&pool, 0);
    for (int i = 0; i < count && status == UF_OK; i++) status = check_greedy(h5, report, names[i], pool);
    uf_pool_free(pool);
    uf_h5_list_free(names, count);
    return status;
}

static UfStatus check_file(UfReport* report, const UfH5* h5) {
    if (!uf_h5_exists(h5, "checkpoint"))
        return UF_FAIL(UF_ERR_FORMAT, "%s: there is no group 'checkpoint' with environments", h5->path);
    UF_TRY(check_members(h5, report, "checkpoint", check_checkpoint));
    if (uf_h5_exists(h5, "fresh_mdp")) UF_TRY(check_mdp(h5, report));
    if (uf_h5_exists(h5, "snes")) UF_TRY(check_snes(h5, report));
    if (uf_h5_exists(h5, "eval_env")) UF_TRY(check_members(h5, report, "eval_env", check_eval_env));
    return uf_h5_exists(h5, "greedy") ? check_all_greedy(h5, report) : UF_OK;
}

UfStatus uf_verify_synthenv(const char* path, char** text, bool* passed) {
    return uf_report_file(path, check_file, text, passed);
}
