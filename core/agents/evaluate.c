// evaluate.c: episodes of a policy in an environment, on threads, with a batched policy.
//
// A thread runs up to `workers` episodes side by side: a call of the policy a step, for all of them. One that
// ends makes room for the next that no thread has begun. As a policy's row does not depend on the rows beside
// it (kernels.h), a return depends on seed and episode alone.
// Source: unifloral/evaluation.py and unifloral.py `eval_agent`.
#include "core/agents/evaluate.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>  // pthread_sigmask
#include <stdatomic.h>
#include <string.h>

#include "core/agents/policy.h"

typedef struct Job {         // what all groups share
    const UfPolicy* policy;  // NULL: the script, one row
    double skill;
    const UfEnvSpec* spec;
    UfEvaluation* out;  // Nullable: nobody asks
    int rows;           // of a group: episodes that it runs side by side
    int obs_dim;        // the policy's: may be padded with zeros
    uint64_t seed;
    bool deterministic;
    _Atomic int64_t next;  // the first episode that no thread has begun
    int64_t end;
    struct GroupResult* results;
    UfEpisodeFn* on_step;  // Nullable; of a single episode
    void* user;
} Job;

typedef struct GroupResult {
    UfStatus status;
    char* message;  // of a failure: the sentence is thread-local, so it travels by hand
    int64_t num_nonfinite, num_diverged;
} GroupResult;

typedef struct Row {
    UfEnv* env;
    UfRandom random;  // of the action noise
    int64_t episode;
} Row;

typedef struct Group {
    Row* rows;                     // (rows); those that run come first
    float *obs, *actions, *noise;  // (rows, O), (rows, A), (rows, A)
} Group;

static void group_free(Group* g, int num_rows) {
    for (int i = 0; g->rows && i < num_rows; i++) uf_env_free(g->rows[i].env);
    void* all[] = {g->rows, g->obs, g->actions, g->noise};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
}

// Begins the next episode in this row, if there is one.
static UfStatus begin_episode(Job* job, Group* g, int row, bool* begun) {
    Row* r = &g->rows[row];
    r->episode = atomic_fetch_add(&job->next, 1);
    *begun = r->episode < job->end;
    if (!*begun) return UF_OK;
    r->random = uf_random(job->seed, job->policy ? UF_STREAM_EVAL_ACTION : UF_STREAM_CONTROLLER,
                          (uint64_t)r->episode);
    uf_env_reset(r->env, job->seed, (uint64_t)r->episode, g->obs + (size_t)row * job->obs_dim);
    return job->on_step ? job->on_step(job->user, r->env, NULL, 0) : UF_OK;
}

// Takes the policy's action (not finite: 0, and counted) to the environment.
static UfStatus step_row(const Job* job, Group* g, int row, GroupResult* result, bool* ended) {
    const UfEnvSpec* spec = job->spec;
    const Row* r = &g->rows[row];
    float* action = g->actions + (size_t)row * spec->action_dim;
    double reward;
    bool terminated, truncated;
    int bad = 0;
    for (int i = 0; i < spec->action_dim; i++) {
        if (isfinite(action[i])) continue;
        action[i] = 0;
        bad = 1;
    }
    result->num_nonfinite += bad;
    if (job->policy) uf_env_scale_action(spec, action, action);
    uf_env_step(r->env, action, g->obs + (size_t)row * job->obs_dim, &reward, &terminated, &truncated);
    if (job->out) {
        job->out->returns[r->episode] += reward;
        job->out->lengths[r->episode]++;
    }
    result->num_diverged += r->env->diverged;
    *ended = terminated || truncated;
    return job->on_step ? job->on_step(job->user, r->env, action, reward) : UF_OK;
}

// The actions of the rows that run, the policy's in [-1, 1], the script's in the environment's units.
static UfStatus act(const Job* job, Group* g, int running) {
    const int num_actions = job->spec->action_dim;
    if (!job->policy)
        return uf_env_controller(job->spec, g->rows[0].env, g->obs, job->skill, &g->rows[0].random,
                                 g->actions);
    if (!job->deterministic)
        for (int i = 0; i < running * num_actions; i++)
            g->noise[i] = uf_random_normal(&g->rows[i / num_actions].random);
    const float* noise = job->deterministic ? NULL : g->noise;
    return uf_policy_act_normalised(job->policy, g->actions, g->obs, running, noise);
}

// The last row that runs takes the place of one that is done.
static void close_row(const Job* job, Group* g, int row, int last) {
    Row done = g->rows[row];
    g->rows[row] = g->rows[last];
    g->rows[last] = done;
    memcpy(g->obs + (size_t)row * job->obs_dim, g->obs + (size_t)last * job->obs_dim,
           (size_t)job->obs_dim * sizeof(float));
}

static UfStatus run_group(Job* job, Group* g, GroupResult* result) {
    const int num_actions = job->spec->action_dim;
    int running = 0;
    UF_TRY(UF_ALLOC(&g->rows, job->rows, "environments"));
    UF_TRY(UF_ALLOC(&g->obs, (size_t)job->rows * job->obs_dim, "evaluation"));
    UF_TRY(UF_ALLOC(&g->actions, (size_t)job->rows * num_actions, "evaluation"));
    UF_TRY(UF_ALLOC(&g->noise, (size_t)job->rows * num_actions, "evaluation"));
    for (int i = 0; i < job->rows; i++) UF_TRY(uf_env_create(&g->rows[i].env, job->spec->name));
    for (bool begun = true; running < job->rows && begun; running += begun)
        UF_TRY(begin_episode(job, g, running, &begun));
    while (running > 0) {
        UF_TRY(act(job, g, running));
        for (int i = running - 1; i >= 0; i--) {  // backwards: a row that moves has been stepped
            bool ended = false, begun = true;
            UF_TRY(step_row(job, g, i, result, &ended));
            if (ended) UF_TRY(begin_episode(job, g, i, &begun));
            if (!begun) close_row(job, g, i, --running);
        }
    }
    return UF_OK;
}

static void group_task(void* context, int task, int thread) {
    (void)thread;
    Job* job = context;
    GroupResult* result = &job->results[task];
    Group group = {0};
    result->status = run_group(job, &group, result);
    if (result->status != UF_OK && uf_strdup(&result->message, uf_error()) != UF_OK) result->message = NULL;
    group_free(&group, job->rows);
}

// Mean and error of the mean, in episode order.
void uf_evaluation_summarise(UfEvaluation* out, const UfEnvSpec* spec) {
    double n = (double)out->num_episodes, sum = 0, squares = 0;
    for (int64_t e = 0; e < out->num_episodes; e++) {
        sum += out->returns[e];
        out->num_steps += out->lengths[e];
    }
    out->mean_return = sum / n;
    for (int64_t e = 0; e < out->num_episodes; e++) {
        double d = out->returns[e] - out->mean_return;
        squares += d * d;
    }
    out->std_return = sqrt(squares / n);
    out->stderr_return = out->std_return / sqrt(n);
    out->mean_score = spec ? uf_env_score(spec, out->mean_return) : NAN;
    out->stderr_score =
        spec ? fabs(uf_env_score(spec, out->mean_return + out->stderr_return) - out->mean_score) : NAN;
    out->mean_length = (double)out->num_steps / n;
}

static UfStatus check_arguments(const UfPolicy* policy, const UfEnvSpec* spec, int64_t num_episodes,
                                int workers) {
    if (num_episodes < 1 || workers < 1)
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "evaluation of %lld episodes on %d workers; at least 1 of each is needed",
                       (long long)num_episodes, workers);
    int obs_dim = uf_policy_obs_dim(policy), action_dim = uf_policy_action_dim(policy);
    if (!uf_env_fits(spec, obs_dim, action_dim))
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "the policy is for %d observations and %d actions, %s has %d and %d; was it trained "
                       "on another task?",
                       obs_dim, action_dim, spec->name, spec->obs_dim, spec->action_dim);
    return UF_OK;
}

UfStatus uf_evaluate(UfEvaluation* out, const UfPolicy* policy, const UfEnvSpec* spec, int64_t num_episodes,
                     int workers, uint64_t seed, bool deterministic, UfPool* pool) {
    double start = uf_now();
    *out = (UfEvaluation){.num_episodes = num_episodes};
    UF_TRY(check_arguments(policy, spec, num_episodes, workers));
    int num_groups = uf_pool_num_threads(pool);
    if (num_groups > num_episodes) num_groups = (int)num_episodes;
    const int64_t share = (num_episodes - 1) / num_groups + 1;
    Job job = {.policy = policy,
               .spec = spec,
               .out = out,
               .rows = share < workers ? (int)share : workers,
               .obs_dim = uf_policy_obs_dim(policy),
               .seed = seed,
               .deterministic = deterministic,
               .end = num_episodes};
    UfStatus status = UF_ALLOC(&job.results, num_groups, "evaluation");
    if (status == UF_OK) status = UF_ALLOC(&out->returns, num_episodes, "returns");
    if (status == UF_OK) status = UF_ALLOC(&out->lengths, num_episodes, "episode lengths");
    if (status != UF_OK) goto done;

    uf_pool_run(pool, num_groups, group_task, &job);
    for (int i = 0; i < num_groups; i++) {
        const GroupResult* result = &job.results[i];
        out->num_nonfinite_actions += result->num_nonfinite;
        out->num_diverged += result->num_diverged;
        if (result->status != UF_OK && status == UF_OK)
            status = UF_FAIL(result->status, "%s",
                             result->message ? result->message : "out of memory while evaluating");
    }
    if (status == UF_OK) uf_evaluation_summarise(out, spec);
    out->seconds = uf_now() - start;
done:
    for (int i = 0; job.results && i < num_groups; i++) uf_free(job.results[i].message);
    uf_free(job.results);
    if (status != UF_OK) uf_evaluation_free(out);
    return status;
}

UfStatus uf_evaluate_episode(const UfEpisodeOptions* o) {
    if (o->policy) UF_TRY(check_arguments(o->policy, o->spec, 1, 1));
    Job job = {.policy = o->policy,
               .skill = o->skill,
               .spec = o->spec,
               .rows = 1,
               .obs_dim = o->policy ? uf_policy_obs_dim(o->policy) : o->spec->obs_dim,
               .seed = o->seed,
               .deterministic = o->deterministic,
               .next = o->episode,
               .end = o->episode + 1,
               .on_step = o->on_step,
               .user = o->user};
    GroupResult result = {0};
    Group group = {0};
    UfStatus status = run_group(&job, &group, &result);
    group_free(&group, job.rows);
    return status;
}

void uf_evaluation_free(UfEvaluation* evaluation) {
    if (!evaluation) return;
    uf_free(evaluation->returns);
    uf_free(evaluation->lengths);
    *evaluation = (UfEvaluation){0};
}

// ---- on a thread of its own ----

struct UfEvaluating {
    const UfPolicy* policy;
    const UfEnvSpec* spec;
    int64_t num_episodes;
    int workers;
    uint64_t seed;
    bool deterministic;
    UfPool* pool;
    pthread_t thread;
    atomic_bool done;
    UfStatus status;  // this and below: of the thread until it is done
    char* message;    // as in GroupResult
    UfEvaluation result;
};

static void* evaluating_main(void* argument) {
    UfEvaluating* e = argument;
    e->status = uf_evaluate(&e->result, e->policy, e->spec, e->num_episodes, e->workers, e->seed,
                            e->deterministic, e->pool);
    if (e->status != UF_OK && uf_strdup(&e->message, uf_error()) != UF_OK) e->message = NULL;
    atomic_store(&e->done, true);
    return NULL;
}

UfStatus uf_evaluate_start(UfEvaluating** out, const UfPolicy* policy, const UfEnvSpec* spec,
                           int64_t num_episodes, int workers, uint64_t seed, bool deterministic,
                           UfPool* pool) {
    UfEvaluating* e;
    *out = NULL;
    UF_TRY(UF_ALLOC(&e, 1, "an evaluation"));
    e->policy = policy;
    e->spec = spec;
    e->num_episodes = num_episodes;
    e->workers = workers;
    e->seed = seed;
    e->deterministic = deterministic;
    e->pool = pool;
    sigset_t all, before;  // signals are the main program's business
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int reason = pthread_create(&e->thread, NULL, evaluating_main, e);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (reason == 0) {
        *out = e;
        return UF_OK;
    }
    char text[128];
    uf_free(e);
    return UF_FAIL(UF_ERR_MEMORY, "cannot start a thread for evaluation: %s; eval_threads 0 needs none",
                   strerror_r(reason, text, sizeof(text)));
}

bool uf_evaluate_is_done(const UfEvaluating* evaluating) { return atomic_load(&evaluating->done); }

UfStatus uf_evaluate_wait(UfEvaluating* e, UfEvaluation* out) {
    if (!e) return UF_OK;
    pthread_join(e->thread, NULL);
    UfStatus status = e->status;
    if (out)
        *out = e->result;
    else
        uf_evaluation_free(&e->result);
    if (out && status != UF_OK)
        status = UF_FAIL(status, "%s", e->message ? e->message : "out of memory while evaluating");
    uf_free(e->message);
    uf_free(e);
    return status;
}
