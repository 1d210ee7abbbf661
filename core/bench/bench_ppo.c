// bench_ppo.c: frames/s of PPO: whole iterations of all members, environments included, in windows of several, behind one
// that warms up (on a device it records). On a device also what an iteration launches and how busy that keeps it, from one
// more that is launched op by op with events around each launch.
#include <math.h>
#include <string.h>

#include "core/agents/ppo_envs.h"
#include "core/bench/bench.h"

enum { MIN_WINDOWS = 5, MAX_WINDOWS = 100000 };

typedef struct Bench {
    const UfPpoBenchOptions* options;
    UfPpo* ppo;
    UfTrainEnvs* envs;
    double* seconds;  // (windows) of an iteration
} Bench;

static UfStatus create(Bench* b) {
    const UfPpoConfig* c = b->options->config;
    const int P = (int)c->population;
    const UfEnvSpec* spec;
    UfPpoConfig* configs = NULL;
    const UfPpoConfig** each = NULL;
    int64_t* seeds = NULL;
    UF_TRY(uf_ppo_config_check(c));
    UfStatus status = UF_ALLOC(&configs, P, "configurations");
    if (status == UF_OK) status = UF_ALLOC(&each, P, "configurations");
    if (status == UF_OK) status = UF_ALLOC(&seeds, P, "seeds");
    for (int p = 0; p < P && status == UF_OK; p++) {
        configs[p] = *c;
        seeds[p] = configs[p].seed += p;
        each[p] = &configs[p];
    }
    const UfPpoEnvsOptions envs = {c->env, c, (int)c->num_envs, seeds, P, UF_PPO_TRAINING};
    if (status == UF_OK) status = uf_ppo_envs_create(&b->envs, &spec, &envs);
    if (status == UF_OK) status = uf_ppo_create(&b->ppo, each, P, &b->envs->space, (int)c->num_threads);
    uf_free(configs);
    uf_free(each);
    uf_free(seeds);
    return status;
}

static UfStatus iterate(Bench* b, int count, double* seconds) {
    const double start = uf_now();
    for (int i = 0; i < count; i++) UF_TRY(uf_ppo_iterate(b->ppo, b->envs));
    UF_TRY(uf_ppo_check(b->ppo));
    *seconds = (uf_now() - start) / count;
    return UF_OK;
}

// The last iteration there is, as its numbers are those of an earlier one.
static UfStatus time_launches(Bench* b, UfLaunchTimes* times, UfLaunchTimes* recorded) {
    UfBackend* be = uf_ppo_backend(b->ppo);
    void (*const record)(UfBackend*) = be->record;
    double seconds;
    UF_TRY(be->start_clock(be));
    UF_TRY(iterate(b, 1, &seconds));
    UF_TRY(be->stop_clock(be, recorded));
    UF_TRY(be->start_clock(be));
    be->record = NULL;  // op by op
    const UfStatus status = iterate(b, 1, &seconds);
    be->record = record;
    UF_TRY(status);
    return be->stop_clock(be, times);
}

static UfStatus add_launches(Bench* b, UfText* text, double seconds) {
    UfLaunchTimes times = {0}, recorded = {0};
    UF_TRY(time_launches(b, &times, &recorded));
    uf_text_add(
        text,
        "\"kernels_recorded\": %lld, \"launches_beside_recorded\": %lld, \"launches_per_iteration\": %lld, "
        "\"busy_ms_per_iteration\": %.4g, \"empty_launch_us\": %.3g, \"idle_share\": %.4g, ",
        (long long)recorded.num_recorded, (long long)recorded.num_launches, (long long)times.num_launches,
        times.busy_seconds * 1e3, times.empty_seconds * 1e6, fmax(0, 1 - times.busy_seconds / seconds));
#ifdef UF_HOST_CUDA
    uf_text_add(
        text, "\"note\": \"no GPU: the host stands for one, so every time and share here means nothing\", ");
#endif
    return UF_OK;
}

static UfStatus run(Bench* b, char** json_line) {
    const UfPpoBenchOptions* o = b->options;
    const UfPpoConfig* c = o->config;
    double warm;
    UF_TRY(UF_ALLOC(&b->seconds, o->num_windows, "timings"));
    UF_TRY(create(b));
    UF_TRY(iterate(b, 2, &warm));
    for (int w = 0; w < o->num_windows; w++) UF_TRY(iterate(b, o->num_steps, &b->seconds[w]));
    uf_sort(b->seconds, o->num_windows);
    UfBackend* be = uf_ppo_backend(b->ppo);
    const double median = uf_quantile(b->seconds, o->num_windows, 0.5),
                 frames = (double)(c->num_envs * c->num_steps * c->population);
    UfText text = {0};
    uf_text_add(&text,
                "{\"algorithm\": \"ppo\", \"env\": \"%s\", \"population\": %lld, \"num_envs\": %lld, "
                "\"num_steps\": %lld, \"threads\": %d, \"steps\": %d, \"windows\": %d, ",
                c->env, (long long)c->population, (long long)c->num_envs, (long long)c->num_steps,
                uf_pool_num_threads(be->pool), o->num_steps, o->num_windows);
    uf_text_add(
        &text,
        "\"ms_per_iteration\": {\"min\": %.4g, \"median\": %.4g, \"max\": %.4g}, \"frames_per_second\": "
        "%.4g, \"seconds_for_1m_frames_each\": %.4g, ",
        b->seconds[0] * 1e3, median * 1e3, b->seconds[o->num_windows - 1] * 1e3, frames / median,
        1e6 * (double)c->population / (frames / median));
    UfStatus status = UF_OK;
    if (be->apart) status = add_launches(b, &text, median);
    if (status != UF_OK) text.status = status;
    uf_text_add(&text, "\"device\": \"%s\", \"version\": \"%s\"}", be->about[0] ? be->about : be->name,
                UF_VERSION);
    return uf_text_finish(&text, json_line);
}

UfStatus uf_bench_ppo(const UfPpoBenchOptions* options, char** json_line) {
    Bench b = {.options = options};
    *json_line = NULL;
    if (options->num_steps < 1 || options->num_windows < MIN_WINDOWS || options->num_windows > MAX_WINDOWS)
        return UF_FAIL(UF_ERR_ARGUMENT, "bench: steps %d, windows %d; expected at least 1 and %d",
                       options->num_steps, options->num_windows, MIN_WINDOWS);
    const UfStatus status = run(&b, json_line);
    uf_train_envs_free(b.envs);
    uf_ppo_free(b.ppo);
    uf_free(b.seconds);
    return status;
}
