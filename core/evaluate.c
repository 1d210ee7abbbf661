// evaluate.c: episodes of a policy in an environment, on threads, with a batched policy.
//
// A group of at most `workers` episodes runs in lockstep on one thread: one call of the policy a step, for all
// of them. Because BLAS may round a row differently in another matrix or place, the matrix has `workers` rows
// whatever happens (a finished episode repeats its last observation, a row without one is zero), and episode e
// has row e % workers. So a return depends on workers, seed and episode alone, not on threads, on how episodes
// are dealt to groups, or on when the others end.
// Source: unifloral/evaluation.py and unifloral.py `eval_agent`.
#include "evaluate.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>  // pthread_sigmask
#include <stdatomic.h>
#include <string.h>  // strerror_r

#include "policy.h"

typedef struct Job {         // what all groups share
    const UfPolicy* policy;  // NULL: the script, one worker
    double skill;
    const UfEnvSpec* spec;
    UfEvaluation* out;
    int workers, num_groups;
    int obs_dim;  // the policy's: may be padded with zeros
    uint64_t seed;
    bool deterministic;
    struct GroupResult* results;
    UfEpisodeFn* on_step;  // Nullable; of a single episode
    void* user;
} Job;

typedef struct GroupResult {
    UfStatus status;
    char* message;  // of a failure: the sentence is thread-local, so it travels by hand
    int64_t num_nonfinite, num_diverged;
} GroupResult;

typedef struct Group {
    UfEnv** envs;                  // (workers)
    UfRandom* random;              // (workers): of the action noise
    bool* idle;                    // (workers): no episode, or one that has ended
    double* returns;               // (workers)
    int32_t* lengths;              // (workers)
    float *obs, *actions, *noise;  // (workers, O), (workers, A), (workers, A)
} Group;

static void group_free(Group* g, int workers) {
    for (int i = 0; g->envs && i < workers; i++) uf_env_free(g->envs[i]);
    void* all[] = {g->envs, g->random, g->idle, g->returns, g->lengths, g->obs, g->actions, g->noise};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
}

// One row: takes the policy's action (not finite: 0, and counted) to the environment.
static UfStatus step_row(const Job* job, Group* g, int row, GroupResult* result) {
    const UfEnvSpec* spec = job->spec;
    float* action = g->actions + (size_t)row * spec->action_dim;
    float* obs = g->obs + (size_t)row * job->obs_dim;
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
    uf_env_step(g->envs[row], action, obs, &reward, &terminated, &truncated);
    g->returns[row] += reward;
    g->lengths[row]++;
    g->idle[row] = terminated || truncated;
    result->num_diverged += g->envs[row]->diverged;
    return job->on_step ? job->on_step(job->user, g->envs[row], action, reward) : UF_OK;
}

// The actions of all rows, the policy's in [-1, 1], the script's in the environment's units.
static UfStatus act(const Job* job, Group* g) {
    int num_actions = job->spec->action_dim;
    if (!job->policy)
        return uf_env_controller(job->spec, g->envs[0], g->obs, job->skill, &g->random[0], g->actions);
    if (!job->deterministic)
        for (int i = 0; i < job->workers * num_actions; i++)
            g->noise[i] = uf_random_normal(&g->random[i / num_actions]);
    const float* noise = job->deterministic ? NULL : g->noise;
    return uf_policy_act_normalised(job->policy, g->actions, g->obs, job->workers, noise);
}

// Episodes first to end - 1 of the evaluation.
static UfStatus run_episodes(const Job* job, Group* g, int64_t first, int64_t end, GroupResult* result) {
    const UfEnvSpec* spec = job->spec;
    int workers = job->workers, num_actions = spec->action_dim;
    int running = (int)(end - first);
    uint32_t stream = job->policy ? UF_STREAM_EVAL_ACTION : UF_STREAM_CONTROLLER;
    UF_TRY(UF_ALLOC(&g->envs, workers, "environments"));
    UF_TRY(UF_ALLOC(&g->random, workers, "random numbers"));
    UF_TRY(UF_ALLOC(&g->idle, workers, "evaluation"));
    UF_TRY(UF_ALLOC(&g->returns, workers, "evaluation"));
    UF_TRY(UF_ALLOC(&g->lengths, workers, "evaluation"));
    UF_TRY(UF_ALLOC(&g->obs, (size_t)workers * job->obs_dim, "evaluation"));
    UF_TRY(UF_ALLOC(&g->actions, (size_t)workers * num_actions, "evaluation"));
    UF_TRY(UF_ALLOC(&g->noise, (size_t)workers * num_actions, "evaluation"));
    for (int i = 0; i < workers; i++) g->idle[i] = true;
    for (int64_t e = first; e < end; e++) {
        int i = (int)(e % workers);
        UF_TRY(uf_env_create(&g->envs[i], spec->name));
        g->idle[i] = false;
        g->random[i] = uf_random(job->seed, stream, (uint64_t)e);
        uf_env_reset(g->envs[i], job->seed, (uint64_t)e, g->obs + (size_t)i * job->obs_dim);
        if (job->on_step) UF_TRY(job->on_step(job->user, g->envs[i], NULL, 0));
    }
    while (running > 0) {
        UF_TRY(act(job, g));
        running = 0;
        for (int i = 0; i < workers; i++) {
            if (!g->idle[i]) UF_TRY(step_row(job, g, i, result));
            running += !g->idle[i];
        }
    }
    return UF_OK;
}

static UfStatus run_group(const Job* job, Group* g, int group, GroupResult* result) {
    int workers = job->workers;
    int64_t first = job->out->num_episodes * group / job->num_groups;
    int64_t end = job->out->num_episodes * (group + 1) / job->num_groups;
    UF_TRY(run_episodes(job, g, first, end, result));
    for (int64_t e = first; e < end; e++) {
        job->out->returns[e] = g->returns[e % workers];
        job->out->lengths[e] = g->lengths[e % workers];
    }
    return UF_OK;
}

static void group_task(void* context, int task, int thread) {
    (void)thread;
    const Job* job = context;
    GroupResult* result = &job->results[task];
    Group group = {0};
    result->status = run_group(job, &group, task, result);
    if (result->status != UF_OK && uf_strdup(&result->message, uf_error()) != UF_OK) result->message = NULL;
    group_free(&group, job->workers);
}

// Mean and error of the mean, in episode order.
static void summarise(UfEvaluation* out, const UfEnvSpec* spec) {
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
    out->mean_score = uf_env_score(spec, out->mean_return);
    out->stderr_score = fabs(uf_env_score(spec, out->mean_return + out->stderr_return) - out->mean_score);
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
    if (num_episodes / workers >= INT32_MAX)
        return UF_FAIL(UF_ERR_ARGUMENT, "%lld episodes in groups of %d are too many; raise the workers",
                       (long long)num_episodes, workers);
    return UF_OK;
}

UfStatus uf_evaluate(UfEvaluation* out, const UfPolicy* policy, const UfEnvSpec* spec, int64_t num_episodes,
                     int workers, uint64_t seed, bool deterministic, UfPool* pool) {
    double start = uf_now();
    *out = (UfEvaluation){.num_episodes = num_episodes};
    UF_TRY(check_arguments(policy, spec, num_episodes, workers));
    int num_groups = (int)((num_episodes + workers - 1) / workers), num_threads = uf_pool_num_threads(pool);
    if (num_groups < num_threads) num_groups = num_episodes < num_threads ? (int)num_episodes : num_threads;
    Job job = {.policy = policy,
               .spec = spec,
               .out = out,
               .workers = workers,
               .num_groups = num_groups,
               .obs_dim = uf_policy_obs_dim(policy),
               .seed = seed,
               .deterministic = deterministic};
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
    if (status == UF_OK) summarise(out, spec);
    out->seconds = uf_now() - start;
done:
    for (int i = 0; job.results && i < num_groups; i++) uf_free(job.results[i].message);
    uf_free(job.results);
    if (status != UF_OK) uf_evaluation_free(out);
    return status;
}

UfStatus uf_evaluate_episode(const UfEpisodeOptions* o) {
    int workers = o->policy ? o->workers : 1;
    if (o->policy) UF_TRY(check_arguments(o->policy, o->spec, 1, workers));
    Job job = {.policy = o->policy,
               .skill = o->skill,
               .spec = o->spec,
               .workers = workers,
               .obs_dim = o->policy ? uf_policy_obs_dim(o->policy) : o->spec->obs_dim,
               .seed = o->seed,
               .deterministic = o->deterministic,
               .on_step = o->on_step,
               .user = o->user};
    GroupResult result = {0};
    Group group = {0};
    UfStatus status = run_episodes(&job, &group, o->episode, o->episode + 1, &result);
    group_free(&group, workers);
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
