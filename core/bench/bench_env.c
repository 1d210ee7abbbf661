// bench_env.c: steps/s of an environment behind our interface, and of a bare loop of mj_step on the same model.
//
// Random actions. Both sides start the same episodes from the same states and take the same actions, hence make
// the same calls of MuJoCo: a reset is mj_resetData and mj_forward, a step frame_skip times mj_step. They end
// in the same state, which is checked to the bit. Windows of both alternate, and what counts is the median of
// the ratios of neighbours, so that others who use the machine disturb both alike.
#include <stdlib.h>
#include <string.h>

#include "core/bench/bench.h"
#include "core/envs/envs.h"
#include "core/envs/mujoco.h"

enum { MIN_WINDOWS = 5, MAX_WINDOWS = 100000, SEED = 0, EPISODES = 1000000 };  // of a thread, at most

typedef struct Lane {  // what one thread does
    UfEnv* env;
    float* obs;
#ifndef UF_NO_MUJOCO
    mjData* data;         // of the bare loop
    bool* begins;         // (steps): whether an episode begins with this step
    double *qpos, *qvel;  // (steps, nq), (steps, nv): where, if so
#endif
} Lane;

typedef struct Bench {
    const UfEnvSpec* spec;
    const UfEnvBenchOptions* options;
    UfPool* pool;
    Lane* lanes;                            // (threads)
    float* actions;                         // (steps, numbers), in the environment's units
    int numbers;                            // an action has
    double *speeds, *bare_speeds, *ratios;  // (windows)
} Bench;

// ---- the two sides ----

static void interface_task(void* context, int task, int thread) {
    const Bench* b = context;
    Lane* lane = &b->lanes[task];
    double reward;
    bool terminated = true, truncated = false;
    uint64_t episode = (uint64_t)task * EPISODES;
    (void)thread;
    for (int i = 0; i < b->options->num_steps; i++) {
        if (terminated || truncated) uf_env_reset(lane->env, SEED, episode++, lane->obs);
        uf_env_step(lane->env, b->actions + (size_t)i * (size_t)b->numbers, lane->obs, &reward, &terminated,
                    &truncated);
    }
}

#ifndef UF_NO_MUJOCO

static bool has_bare_loop(const Bench* b) { return b->spec->ops == &uf_mujoco_ops; }

// The interface's episodes once more, to note where they begin.
static void note_task(void* context, int task, int thread) {
    const Bench* b = context;
    Lane* lane = &b->lanes[task];
    const mjModel* m = uf_mujoco_model(lane->env);
    const mjData* d = uf_mujoco_data(lane->env);
    double reward;
    bool terminated = true, truncated = false;
    uint64_t episode = (uint64_t)task * EPISODES;
    (void)thread;
    for (int i = 0; i < b->options->num_steps; i++) {
        lane->begins[i] = terminated || truncated;
        if (lane->begins[i]) {
            uf_env_reset(lane->env, SEED, episode++, lane->obs);
            mju_copy(lane->qpos + (size_t)i * (size_t)m->nq, d->qpos, m->nq);
            mju_copy(lane->qvel + (size_t)i * (size_t)m->nv, d->qvel, m->nv);
        }
        uf_env_step(lane->env, b->actions + (size_t)i * (size_t)b->numbers, lane->obs, &reward, &terminated,
                    &truncated);
    }
}

static void bare_task(void* context, int task, int thread) {
    const Bench* b = context;
    const Lane* lane = &b->lanes[task];
    const mjModel* m = uf_mujoco_model(lane->env);
    mjData* d = lane->data;
    const int frame_skip = uf_mujoco_frame_skip(lane->env);
    (void)thread;
    for (int i = 0; i < b->options->num_steps; i++) {
        if (lane->begins[i]) {
            mj_resetData(m, d);
            mju_copy(d->qpos, lane->qpos + (size_t)i * (size_t)m->nq, m->nq);
            mju_copy(d->qvel, lane->qvel + (size_t)i * (size_t)m->nv, m->nv);
            mj_forward(m, d);
        }
        for (int a = 0; a < m->nu; a++) d->ctrl[a] = b->actions[(size_t)i * (size_t)b->numbers + (size_t)a];
        for (int k = 0; k < frame_skip; k++) mj_step(m, d);
    }
}

static UfStatus prepare_bare_loop(const Bench* b) {
    const size_t steps = (size_t)b->options->num_steps;
    for (int t = 0; t < uf_pool_num_threads(b->pool); t++) {
        Lane* lane = &b->lanes[t];
        const mjModel* m = uf_mujoco_model(lane->env);
        lane->data = mj_makeData(m);
        if (!lane->data) return UF_FAIL(UF_ERR_MEMORY, "out of memory: the simulation of %s", b->spec->name);
        UF_TRY(UF_ALLOC(&lane->begins, steps, "starts of episodes"));
        UF_TRY(UF_ALLOC(&lane->qpos, steps * (size_t)m->nq, "starts of episodes"));
        UF_TRY(UF_ALLOC(&lane->qvel, steps * (size_t)m->nv, "starts of episodes"));
    }
    uf_pool_run(b->pool, uf_pool_num_threads(b->pool), note_task, (void*)b);
    uf_pool_run(b->pool, uf_pool_num_threads(b->pool), bare_task, (void*)b);
    for (int t = 0; t < uf_pool_num_threads(b->pool); t++) {
        const mjModel* m = uf_mujoco_model(b->lanes[t].env);
        const mjData *ours = uf_mujoco_data(b->lanes[t].env), *bare = b->lanes[t].data;
        if (memcmp(ours->qpos, bare->qpos, (size_t)m->nq * sizeof(mjtNum)) != 0 ||
            memcmp(ours->qvel, bare->qvel, (size_t)m->nv * sizeof(mjtNum)) != 0)
            return UF_FAIL(UF_ERR_NONFINITE,
                           "bench: %s and the bare loop end in different states, so that their times do not "
                           "compare",
                           b->spec->name);
    }
    return UF_OK;
}

static void free_bare_loop(Lane* lane) {
    if (lane->data) mj_deleteData(lane->data);
    uf_free(lane->begins);
    uf_free(lane->qpos);
    uf_free(lane->qvel);
}

#else

static bool has_bare_loop(const Bench* b) { return (void)b, false; }
static UfStatus prepare_bare_loop(const Bench* b) { return (void)b, UF_OK; }
static void bare_task(void* context, int task, int thread) { (void)context, (void)task, (void)thread; }
static void free_bare_loop(Lane* lane) { (void)lane; }

#endif

// ---- timing ----

static double steps_per_second(const Bench* b, UfTask* task) {
    const int threads = uf_pool_num_threads(b->pool);
    const double start = uf_now();
    uf_pool_run(b->pool, threads, task, (void*)b);
    return (double)threads * b->options->num_steps / (uf_now() - start);
}

static void time_windows(Bench* b) {
    const bool bare = has_bare_loop(b);
    steps_per_second(b, interface_task);  // warms up
    for (int w = 0; w < b->options->num_windows; w++) {
        if (bare && w % 2) b->bare_speeds[w] = steps_per_second(b, bare_task);
        b->speeds[w] = steps_per_second(b, interface_task);
        if (bare && w % 2 == 0) b->bare_speeds[w] = steps_per_second(b, bare_task);
        if (bare) b->ratios[w] = b->speeds[w] / b->bare_speeds[w];
    }
}

// The share `at` of the values lies below it.
static double quantile(double* values, int count, double at) {
    uf_sort(values, count);
    return uf_quantile(values, count, at);
}

static void make_actions(Bench* b) {
    UfRandom random = uf_random(SEED, UF_STREAM_CONTROLLER, 0);
    for (int i = 0; i < b->options->num_steps * b->numbers; i++)
        b->actions[i] = b->spec->discrete
                            ? (float)(int)uf_random_uniform(&random, 0, b->spec->action_dim)
                            : (float)uf_random_uniform(&random, b->spec->action_low, b->spec->action_high);
}

static UfStatus run(Bench* b, char** json_line) {
    const UfEnvBenchOptions* o = b->options;
    const int windows = o->num_windows;
    UF_TRY(uf_env_lookup(&b->spec, o->env));
    UF_TRY(uf_env_available(b->spec));
    UF_TRY(uf_pool_create(&b->pool, o->num_threads));
    const int threads = uf_pool_num_threads(b->pool);
    b->numbers = b->spec->discrete ? 1 : b->spec->action_dim;
    UF_TRY(UF_ALLOC(&b->lanes, threads, "environments"));
    UF_TRY(UF_ALLOC(&b->actions, (size_t)o->num_steps * (size_t)b->numbers, "actions"));
    UF_TRY(UF_ALLOC(&b->speeds, windows, "timings"));
    UF_TRY(UF_ALLOC(&b->bare_speeds, windows, "timings"));
    UF_TRY(UF_ALLOC(&b->ratios, windows, "timings"));
    for (int t = 0; t < threads; t++) {
        UF_TRY(uf_env_create(&b->lanes[t].env, b->spec->name));
        UF_TRY(UF_ALLOC(&b->lanes[t].obs, b->spec->obs_dim, "observations"));
    }
    make_actions(b);
    if (has_bare_loop(b)) UF_TRY(prepare_bare_loop(b));
    time_windows(b);
    UfText text = {0};
    uf_text_add(
        &text,
        "{\"env\": \"%s\", \"threads\": %d, \"steps\": %d, \"windows\": %d, \"steps_per_second\": %.0f",
        b->spec->name, threads, o->num_steps, windows, quantile(b->speeds, windows, 0.5));
    if (has_bare_loop(b))
        uf_text_add(&text,
                    ", \"bare_steps_per_second\": %.0f, \"ratio\": %.3f, \"ratio_quartiles\": [%.3f, %.3f]",
                    quantile(b->bare_speeds, windows, 0.5), quantile(b->ratios, windows, 0.5),
                    quantile(b->ratios, windows, 0.25), quantile(b->ratios, windows, 0.75));
    uf_text_add(&text, "}");
    return uf_text_finish(&text, json_line);
}

UfStatus uf_bench_env(const UfEnvBenchOptions* options, char** json_line) {
    Bench b = {.options = options};
    *json_line = NULL;
    if (options->num_steps < 1 || options->num_windows < MIN_WINDOWS || options->num_windows > MAX_WINDOWS)
        return UF_FAIL(UF_ERR_ARGUMENT, "bench: steps %d, windows %d; expected at least 1 and %d",
                       options->num_steps, options->num_windows, MIN_WINDOWS);
    UfStatus status = run(&b, json_line);
    for (int t = 0; b.lanes && t < uf_pool_num_threads(b.pool); t++) {
        free_bare_loop(&b.lanes[t]);
        uf_env_free(b.lanes[t].env);
        uf_free(b.lanes[t].obs);
    }
    void* all[] = {b.lanes, b.actions, b.speeds, b.bare_speeds, b.ratios};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
    uf_pool_free(b.pool);
    return status;
}
