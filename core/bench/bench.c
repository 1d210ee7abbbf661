// bench.c: how fast an update, or a rollout in a world model, is against the bare matrix products it needs,
// in one run on one machine.
//
// The products are noted while one update runs (kernels.h, UfTrace): one entry for each product of the
// mathematics over the whole batch, whatever pieces the backend cuts it into. Windows of updates and windows
// of bare cblas_sgemm calls alternate, so that both see the same machine.
#include "core/bench/bench.h"

#include <cblas.h>
#include <cjson/cJSON.h>  // its version
#include <hdf5.h>         // its version
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/agents/agent.h"
#include "core/agents/dynamics.h"
#include "core/runs/run_folder.h"

char* openblas_get_config(void);
char* openblas_get_corename(void);

enum { BENCH_ROWS = 100000, MAX_PRODUCTS = 65536, MAX_WINDOWS = 1000, MIN_WINDOWS = 5 };

typedef struct Bench {
    const UfBenchOptions* options;
    UfDataset* dataset;
    UfConfig** members;
    UfAgent* agent;        // or
    UfDynamics* dynamics;  // what trains
    UfBackend* backend;    // of it
    UfTrace trace;
    double *update_ms, *bare_ms;  // (windows)
    float *a, *b, **c;            // operands of bare products; a result a thread
    double flop;                  // an update of the population
} Bench;

// ---- random data ----

static void fill(float* out, int64_t count, bool normal, uint64_t seed) {
    UfRandom random = uf_random(seed, UF_STREAM_CONTROLLER, 0);
    for (int64_t i = 0; i < count; i++)
        out[i] = normal ? uf_random_normal(&random) : (float)uf_random_uniform(&random, -1, 1);
}

static UfStatus make_dataset(Bench* b) {
    const int64_t O = b->options->obs_dim, A = b->options->action_dim, T = BENCH_ROWS;
    float *obs = NULL, *actions = NULL, *rewards = NULL;
    uint8_t* terminals = NULL;
    UfStatus status = UF_ALLOC(&obs, T * O, "random observations");
    if (status == UF_OK) status = UF_ALLOC(&actions, T * A, "random actions");
    if (status == UF_OK) status = UF_ALLOC(&rewards, T, "random rewards");
    if (status == UF_OK) status = UF_ALLOC(&terminals, T, "terminals");
    if (status == UF_OK) {
        fill(obs, T * O, true, 1);
        fill(actions, T * A, false, 2);
        fill(rewards, T, true, 3);
        const UfArrays arrays = {.num_rows = T,
                                 .obs_dim = (int)O,
                                 .action_dim = (int)A,
                                 .observations = obs,
                                 .actions = actions,
                                 .rewards = rewards,
                                 .terminals = terminals};
        status = uf_dataset_from_arrays(&b->dataset, &arrays);
    }
    uf_free(obs);
    uf_free(actions);
    uf_free(rewards);
    uf_free(terminals);
    return status;
}

// A world model of the configured shape, without knowledge: small weights, so that rollouts stay finite.
static UfStatus make_model(Bench* b, UfModel* m) {
    const UfConfig* c = b->options->config;
    const int D = b->options->obs_dim + 1;
    m->obs_dim = b->options->obs_dim;
    m->action_dim = b->options->action_dim;
    m->num_networks = (int)c->num_elites;
    m->mlp = uf_mlp_shape(m->obs_dim + m->action_dim, (int)c->layer_size, (int)c->n_layers, 2 * D, false, 0);
    snprintf(m->termination, sizeof m->termination, "never");
    const int64_t count = m->num_networks * (int64_t)m->mlp.size;
    UF_TRY(UF_ALLOC(&m->params, count, "a random world model"));
    UF_TRY(UF_ALLOC(&m->bounds, 2 * D, "a random world model"));
    fill(m->params, count, true, 6);
    for (int64_t i = 0; i < count; i++) m->params[i] *= 0.05f;
    for (int d = 0; d < D; d++) {
        m->bounds[d] = 0.5f;
        m->bounds[D + d] = -10;
    }
    m->min_reward = -1;
    m->discrepancy = 1;
    return UF_OK;
}

static UfStatus make_modelled_agent(Bench* b) {
    UfModel model = {0};
    UF_TRY(uf_agent_create_bare(&b->agent, (const UfConfig* const*)b->members, b->options->population,
                                b->options->obs_dim, b->options->action_dim, b->dataset->obs_mean,
                                b->dataset->obs_std, b->options->num_threads));
    UfStatus status = make_model(b, &model);
    if (status == UF_OK) status = uf_agent_set_model(b->agent, &model);
    uf_free(model.params);
    uf_free(model.bounds);
    return status;
}

static UfStatus make_agent(Bench* b) {
    const int P = b->options->population;
    UF_TRY(UF_ALLOC(&b->members, P, "configurations"));
    for (int p = 0; p < P; p++) {
        UF_TRY(uf_config_create(&b->members[p]));
        *b->members[p] = *b->options->config;
        b->members[p]->seed += p;
    }
    if (b->options->config->dataset_sample_ratio < 1)
        UF_TRY(make_modelled_agent(b));
    else
        UF_TRY(uf_agent_create_population(&b->agent, (const UfConfig* const*)b->members, P, b->dataset,
                                          b->options->num_threads));
    b->backend = uf_agent_backend(b->agent);
    return UF_OK;
}

static UfStatus make_dynamics(Bench* b) {
    if (b->options->population != 1)
        return UF_FAIL(UF_ERR_ARGUMENT, "bench: a world model has no population; leave --population at 1");
    UF_TRY(uf_dynamics_create(&b->dynamics, b->options->config, b->dataset, b->options->num_threads));
    b->backend = uf_dynamics_backend(b->dynamics);
    return uf_dynamics_bind(b->dynamics, b->dataset);
}

// What is timed, `count` times.
static UfStatus work(Bench* b, int count) {
    if (!b->dynamics && !b->options->rollouts) return uf_train(b->agent, b->dataset, count, NULL, NULL);
    for (int i = 0; i < count; i++)
        UF_TRY(b->dynamics ? uf_dynamics_train_batch(b->dynamics) : uf_agent_rollout(b->agent, b->dataset));
    return UF_OK;
}

// ---- products ----

static UfStatus note_products(Bench* b) {
    UfBackend* be = b->backend;
    size_t largest = 1;
    b->trace.capacity = MAX_PRODUCTS;
    UF_TRY(UF_ALLOC(&b->trace.products, MAX_PRODUCTS, "list of products"));
    UF_TRY(UF_ALLOC(&b->trace.gemm_seconds, uf_pool_num_threads(be->pool), "clocks"));
    UF_TRY(work(b, 1));
    be->trace = &b->trace;
    UF_TRY(work(b, 1));
    be->trace = NULL;
    if (b->trace.num_products == MAX_PRODUCTS)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s of this configuration has over %d products; lower %s",
                       b->options->rollouts ? "a rollout" : "an update", MAX_PRODUCTS,
                       b->options->rollouts ? "rollout_length" : "num_critic_updates_per_step");
    for (int i = 0; i < b->trace.num_products; i++) {
        const UfProduct* p = &b->trace.products[i];
        const size_t m = (size_t)p->m, n = (size_t)p->n, k = (size_t)p->k;
        if (m * k > largest) largest = m * k;
        if (n * k > largest) largest = n * k;
        if (m * n > largest) largest = m * n;
        b->flop += 2.0 * (double)m * (double)n * (double)k * p->count;
    }
    UF_TRY(UF_ALLOC(&b->a, largest, "operand"));
    UF_TRY(UF_ALLOC(&b->b, largest, "operand"));
    fill(b->a, (int64_t)largest, true, 4);  // zeros would let some cores clock higher
    fill(b->b, (int64_t)largest, true, 5);
    UF_TRY(UF_ALLOC(&b->c, uf_pool_num_threads(be->pool), "results"));
    for (int t = 0; t < uf_pool_num_threads(be->pool); t++) UF_TRY(UF_ALLOC(&b->c[t], largest, "result"));
    return UF_OK;
}

typedef struct Bare {
    const Bench* bench;
    const UfProduct* product;
} Bare;

static void bare_task(void* context, int task, int thread) {
    const Bare* bare = context;
    const UfProduct* p = bare->product;
    (void)task;
    cblas_sgemm(CblasRowMajor, p->trans_a ? CblasTrans : CblasNoTrans, p->trans_b ? CblasTrans : CblasNoTrans,
                p->m, p->n, p->k, 1, bare->bench->a, p->trans_a ? p->m : p->k, bare->bench->b,
                p->trans_b ? p->k : p->n, 0, bare->bench->c[thread], p->n);
}

static void run_products(const Bench* b) {
    for (int i = 0; i < b->trace.num_products; i++) {
        Bare bare = {b, &b->trace.products[i]};
        uf_pool_run(b->backend->pool, bare.product->count, bare_task, &bare);
    }
}

static void bench_free(Bench* b) {
    for (int t = 0; b->c && t < uf_pool_num_threads(b->backend->pool); t++) uf_free(b->c[t]);
    for (int p = 0; b->members && p < b->options->population; p++) uf_config_free(b->members[p]);
    uf_free(b->members);
    uf_free(b->c);
    uf_free(b->a);
    uf_free(b->b);
    uf_free(b->update_ms);
    uf_free(b->bare_ms);
    uf_free(b->trace.products);
    uf_free(b->trace.gemm_seconds);
    uf_agent_free(b->agent);
    uf_dynamics_free(b->dynamics);
    uf_dataset_free(b->dataset);
}

// ---- timing ----

static UfStatus time_windows(Bench* b) {
    const UfBenchOptions* o = b->options;
    const double scale = 1e3 / o->num_steps / o->population;
    for (int w = 0; w < o->num_windows; w++) {
        double start = uf_now();
        UF_TRY(work(b, o->num_steps));
        b->update_ms[w] = (uf_now() - start) * scale;
        start = uf_now();
        for (int s = 0; s < o->num_steps; s++) run_products(b);
        b->bare_ms[w] = (uf_now() - start) * scale;
    }
    uf_sort(b->update_ms, o->num_windows);
    uf_sort(b->bare_ms, o->num_windows);
    return UF_OK;
}

// Share of the threads' time that a window of updates spends inside products.
static UfStatus time_share(Bench* b, double* share) {
    UfBackend* be = b->backend;
    const int threads = uf_pool_num_threads(be->pool);
    double inside = 0;
    b->trace.clock = true;
    b->trace.capacity = 0;
    be->trace = &b->trace;
    const double start = uf_now();
    UfStatus status = work(b, b->options->num_steps);
    const double wall = uf_now() - start;
    be->trace = NULL;
    for (int t = 0; t < threads; t++) inside += b->trace.gemm_seconds[t];
    *share = inside / (wall * threads);
    return status;
}

// ---- on a device ----

// A device that is apart has its own figure: what it does with one large product in the same precision. The floating
// point operations of an update are counted as above, in a population of one on the CPU, whatever the device makes of it.

#ifdef UF_HOST_CUDA  // what stands for a device is slow, and its times mean nothing
enum { PEAK_SIZE = 96, PEAK_REPEATS = 1 };
#else
enum { PEAK_SIZE = 4096, PEAK_REPEATS = 20 };
#endif
enum { PEAK_WINDOWS = 5 };

// Floating point operations a second of products of PEAK_SIZE; the fastest of a few windows.
static UfStatus measure_peak(UfBackend* be, double* flops) {
    const size_t count = (size_t)PEAK_SIZE * PEAK_SIZE;
    const uint64_t of_operands[2] = {7, 8};  // as members; zeros would let some devices clock higher
    void *operands = NULL, *result = NULL, *seeds = NULL;
    double best = INFINITY;
    UfStatus status = be->reserve(be, &operands, 2 * count * sizeof(real), "operands of a large product");
    if (status == UF_OK) status = be->reserve(be, &result, count * sizeof(real), "a large product");
    if (status == UF_OK) status = be->reserve(be, &seeds, sizeof of_operands, "seeds of operands");
    if (status == UF_OK) be->upload(be, seeds, of_operands, sizeof of_operands);
    if (status == UF_OK)
        be->random(be,
                   &(UfDraw){operands, NULL, (int64_t)count, UF_DRAW_NORMAL, UF_STREAM_CONTROLLER, {0, 0}}, 1,
                   2, seeds);
    for (int w = 0; status == UF_OK && w <= PEAK_WINDOWS; w++) {  // the first warms up
        status = be->sync(be);
        const double start = uf_now();
        for (int i = 0; i < PEAK_REPEATS; i++)
            be->product(be, result, operands, (real*)operands + count, PEAK_SIZE, PEAK_SIZE, PEAK_SIZE);
        if (status == UF_OK) status = be->sync(be);
        if (w > 0) best = fmin(best, (uf_now() - start) / PEAK_REPEATS);
    }
    be->release(be, operands);
    be->release(be, result);
    be->release(be, seeds);
    *flops = 2.0 * PEAK_SIZE * PEAK_SIZE * PEAK_SIZE / best;
    return status;
}

// What one member's update asks for, from a CPU that does it.
static UfStatus count_flop(const Bench* b, double* flop) {
    UfConfig config = *b->options->config;
    UfBenchOptions options = *b->options;
    config.device = UF_DEVICE_CPU;
    options.config = &config;
    options.population = 1;
    Bench one = {.options = &options, .dataset = b->dataset};
    UfStatus status = options.dynamics ? make_dynamics(&one) : make_agent(&one);
    if (status == UF_OK) status = note_products(&one);
    *flop = one.flop;
    one.dataset = NULL;
    bench_free(&one);
    return status;
}

// One update (rollout, batch) launched op by op, each launch timed. The numbers of it are as of every other.
static UfStatus time_launches(Bench* b, UfLaunchTimes* times) {
    UfBackend* be = b->backend;
    void (*const repeat)(UfBackend*) = be->repeat;
    UF_TRY(be->start_clock(be));
    be->repeat = NULL;
    UfStatus status = work(b, 1);
    be->repeat = repeat;
    const UfStatus stopped = be->stop_clock(be, times);
    return status == UF_OK ? stopped : status;
}

static UfStatus time_device_windows(Bench* b) {
    const UfBenchOptions* o = b->options;
    const double scale = 1e6 / o->num_steps / o->population;
    UF_TRY(work(b, o->num_steps + 2));  // two until the update is recorded
    for (int w = 0; w < o->num_windows; w++) {
        const double start = uf_now();
        UF_TRY(work(b, o->num_steps));
        UF_TRY(b->backend->sync(b->backend));
        b->update_ms[w] = (uf_now() - start) * scale;
    }
    uf_sort(b->update_ms, o->num_windows);
    return UF_OK;
}

static UfStatus time_device(Bench* b, char** json_line) {
    const UfBenchOptions* o = b->options;
    const UfConfig* c = o->config;
    const char* what = o->rollouts ? "rollout" : o->dynamics ? "batch" : "update";
    UfLaunchTimes times = {0};
    UfText text = {0};
    double flop, peak;
    UF_TRY(count_flop(b, &flop));
    UF_TRY(measure_peak(b->backend, &peak));
    UF_TRY(time_device_windows(b));
    UF_TRY(time_launches(b, &times));
    const double median = b->update_ms[o->num_windows / 2], wall = median * o->population,
                 flops = flop / (median * 1e-6);
    uf_text_add(&text,
                "{\"algorithm\": \"%s\", \"obs_dim\": %d, \"action_dim\": %d, \"batch_size\": %lld, "
                "\"population\": %d, \"steps\": %d, \"windows\": %d, ",
                o->dynamics ? "dynamics" : c->algorithm, o->obs_dim, o->action_dim, (long long)c->batch_size,
                o->population, o->num_steps, o->num_windows);
    if (o->rollouts)
        uf_text_add(&text,
                    "\"rollout_batch_size\": %lld, \"rollout_length\": %lld, \"ms_per_rollout\": %.4g, ",
                    (long long)c->rollout_batch_size, (long long)c->rollout_length, 1e-3 * wall);
    uf_text_add(&text, "\"us_per_%s_and_agent\": {\"min\": %.4g, \"median\": %.4g, \"max\": %.4g}, ", what,
                b->update_ms[0], median, b->update_ms[o->num_windows - 1]);
    uf_text_add(&text,
                "\"gflop_per_%s\": %.4g, \"tflops\": %.4g, \"peak_tflops\": %.4g, \"share_of_peak\": %.4g, ",
                what, flop * 1e-9, flops * 1e-12, peak * 1e-12, flops / peak);
    // Work on parallel branches may add up to more than the time it takes.
    uf_text_add(&text,
                "\"kernels_per_%s\": %lld, \"launches_per_%s\": %lld, \"busy_us_per_%s\": %.4g, "
                "\"empty_launch_us\": %.3g, \"idle_share\": %.4g, ",
                what, (long long)(times.num_recorded ? times.num_recorded : times.num_launches), what,
                (long long)times.num_launches, what, times.busy_seconds * 1e6, times.empty_seconds * 1e6,
                fmax(0, 1 - times.busy_seconds * 1e6 / wall));
#ifdef UF_HOST_CUDA
    uf_text_add(
        &text, "\"note\": \"no GPU: the host stands for one, so every time and share here means nothing\", ");
#endif
    uf_text_add(&text, "\"device\": \"%s\", \"version\": \"%s\"}", b->backend->about, UF_VERSION);
    return uf_text_finish(&text, json_line);
}

static UfStatus run_bench(Bench* b, char** json_line) {
    const UfBenchOptions* o = b->options;
    char machine[320];
    double share = 0;
    UF_TRY(UF_ALLOC(&b->update_ms, o->num_windows, "timings"));
    UF_TRY(UF_ALLOC(&b->bare_ms, o->num_windows, "timings"));
    UF_TRY(make_dataset(b));
    UF_TRY(o->dynamics ? make_dynamics(b) : make_agent(b));
    if (b->backend->apart) return time_device(b, json_line);
    UF_TRY(note_products(b));
    UF_TRY(time_windows(b));
    UF_TRY(time_share(b, &share));
    uf_machine(machine, sizeof machine);
    const int middle = o->num_windows / 2, last = o->num_windows - 1;
    const double gflop = b->flop / o->population * 1e-9;
    const char* what = o->rollouts ? "rollout" : "update";
    UfText text = {0};
    uf_text_add(&text,
                "{\"algorithm\": \"%s\", \"obs_dim\": %d, \"action_dim\": %d, \"batch_size\": %lld, "
                "\"population\": %d, ",
                o->dynamics ? "dynamics" : o->config->algorithm, o->obs_dim, o->action_dim,
                (long long)o->config->batch_size, o->population);
    uf_text_add(&text, "\"threads\": %d, \"steps\": %d, \"windows\": %d, ",
                uf_pool_num_threads(b->backend->pool), o->num_steps, o->num_windows);
    if (o->rollouts)
        uf_text_add(&text, "\"rollout_batch_size\": %lld, \"rollout_length\": %lld, ",
                    (long long)o->config->rollout_batch_size, (long long)o->config->rollout_length);
    uf_text_add(&text, "\"ms_per_%s\": {\"min\": %.4g, \"median\": %.4g, \"max\": %.4g}, ", what,
                b->update_ms[0], b->update_ms[middle], b->update_ms[last]);
    uf_text_add(&text, "\"bare_gemm_ms\": %.4g, \"speed_vs_bare_gemm\": %.3f, \"gemm_share_of_time\": %.3f, ",
                b->bare_ms[middle], b->bare_ms[middle] / b->update_ms[middle], share);
    uf_text_add(&text, "\"gflop_per_%s\": %.3f, \"gflops\": %.1f, \"bare_gemm_gflops\": %.1f, ", what, gflop,
                gflop / b->update_ms[middle] * 1e3, gflop / b->bare_ms[middle] * 1e3);
    uf_text_add(&text, "\"machine\": \"%s\", \"device\": \"%s\", \"version\": \"%s\", ", machine,
                b->backend->name, UF_VERSION);
    unsigned major = 0, minor = 0, release = 0;
    H5get_libversion(&major, &minor, &release);
    uf_text_add(
        &text,
        "\"libraries\": {\"openblas\": \"%s, kernels %s\", \"hdf5\": \"%u.%u.%u\", \"cjson\": \"%s\"}}",
        openblas_get_config(), openblas_get_corename(), major, minor, release, cJSON_Version());
    return uf_text_finish(&text, json_line);
}

UfStatus uf_bench(const UfBenchOptions* options, char** json_line) {
    Bench b = {.options = options};
    *json_line = NULL;
    if (options->population < 1 || options->num_steps < 1 || options->num_windows < MIN_WINDOWS ||
        options->num_windows > MAX_WINDOWS)
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "bench: population %d, steps %d, windows %d; expected at least 1, 1 and %d",
                       options->population, options->num_steps, options->num_windows, MIN_WINDOWS);
    if (options->rollouts && options->dynamics)
        return UF_FAIL(UF_ERR_ARGUMENT, "bench: rollouts and dynamics exclude each other; leave one out");
    if (options->rollouts && options->config->dataset_sample_ratio >= 1)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "bench: dataset_sample_ratio is 1, so there are no rollouts to time; take configs/mobrac.json");
    UfStatus status = run_bench(&b, json_line);
    bench_free(&b);
    return status;
}

// ---- the list ----

typedef struct ListEntry {
    const char* preset;  // configs/<preset>.json
    bool rollouts;
} ListEntry;
static const ListEntry list[] = {
    {"td3_awr", false}, {"td3_bc", false}, {"iql", false}, {"rebrac", false}, {"mobrac", true}};
static const int list_populations[] = {1, 16, 64};

static UfStatus list_config(const UfBenchOptions* options, const char* preset, UfConfig** out) {
    char path[64];
    snprintf(path, sizeof path, "configs/%s.json", preset);
    UF_TRY(uf_config_create(out));
    if (!uf_file_exists(path))
        return UF_FAIL(UF_ERR_IO,
                       "%s is not here; run bench in the folder that holds configs, or name --config", path);
    UF_TRY(uf_config_load(*out, path));
    (*out)->device = options->config->device;
    (*out)->precision = options->config->precision;
    return UF_OK;
}

// A line; of a population that does not fit into the device's memory one that says so.
static UfStatus bench_entry(const UfBenchOptions* base, const ListEntry* entry, int population,
                            UfBenchLineFn* on_line, void* user, int* num_failed) {
    UfBenchOptions options = *base;
    UfConfig* config = NULL;
    char *line = NULL, why[1024];
    UfStatus status = list_config(base, entry->preset, &config);
    options.config = config;
    options.population = population;
    options.rollouts = entry->rollouts;
    if (entry->rollouts) options.num_steps = 1;
    if (status == UF_OK) status = uf_bench(&options, &line);
    if (status == UF_ERR_MEMORY) {
        UfText text = {0};
        ++*num_failed;
        snprintf(why, sizeof why, "%s", uf_error());
        for (char* c = why; *c; c++)
            if (*c == '"') *c = '\'';
        uf_text_add(&text, "{\"algorithm\": \"%s\", \"population\": %d, \"error\": \"%s\"}",
                    config->algorithm, population, why);
        status = uf_text_finish(&text, &line);
    }
    if (status == UF_OK) on_line(user, line);
    uf_free(line);
    uf_config_free(config);
    return status;
}

UfStatus uf_bench_list(const UfBenchOptions* options, UfBenchLineFn* on_line, void* user) {
    const int given = options->population;
    int num_failed = 0;
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        for (size_t k = 0; k < sizeof list_populations / sizeof list_populations[0]; k++) {
            const int population = given ? given : list_populations[k];
            if ((given || list[i].rollouts) && k > 0) break;
            UF_TRY(bench_entry(options, &list[i], list[i].rollouts ? 1 : population, on_line, user,
                               &num_failed));
        }
    if (!num_failed) return UF_OK;
    return UF_FAIL(UF_ERR_MEMORY, "%d of the populations did not fit into the device's memory", num_failed);
}
