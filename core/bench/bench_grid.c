// bench_grid.c: steps/s of a batch of gridworlds with random actions, new levels at the end of episodes included, and
// how long writing as many bytes as the observations have takes by itself, in alternating windows: the least that any
// implementation needs that hands over its observations in memory. On a device actions and outputs stay there.
#include <string.h>
#include <time.h>  // clock_gettime

#include "navix.h"
#include "core/bench/bench.h"
#include "core/grid/grid_device.h"

enum { MIN_WINDOWS = 5, MAX_WINDOWS = 100000, SEED = 0, ACTION_SETS = 64, WRITE_BYTES = 1 << 18 };

typedef struct Bench {
    const UfEnvBenchOptions* options;
    NxBatch* batch;
    UfPool* pool;
    NxOutput out;
    uint8_t* actions;  // (ACTION_SETS, n)
    size_t obs_bytes;  // of the batch
    uint8_t byte;
} Bench;

// Of all threads: what the clock says on cores that nobody else uses, times their number.
static double processor_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double time_steps(Bench* b, UfStatus* status) {
    const double start = uf_now();
    for (int i = 0; i < b->options->num_steps; i++)
        nx_step(b->batch, b->actions + (size_t)(i % ACTION_SETS) * (size_t)b->options->num_envs, &b->out);
    *status = nx_sync(b->batch);
    return uf_now() - start;
}

static void write_task(void* context, int task, int thread) {
    const Bench* b = context;
    const size_t first = (size_t)task * WRITE_BYTES, rest = b->obs_bytes - first;
    (void)thread;
    memset((uint8_t*)b->out.obs + first, b->byte, rest < WRITE_BYTES ? rest : WRITE_BYTES);
}

static double time_writes(Bench* b, UfStatus* status) {
    const double start = uf_now();
    for (int i = 0; i < b->options->num_steps && b->obs_bytes; i++) {
        b->byte = (uint8_t)i;
        if (nx_on_device(b->batch))
            nx_write(b->batch, b->out.obs, b->byte, b->obs_bytes);
        else
            uf_pool_run(b->pool, (int)((b->obs_bytes + WRITE_BYTES - 1) / WRITE_BYTES), write_task, b);
    }
    *status = nx_sync(b->batch);
    return uf_now() - start;
}

static double median(double* values, int count) {
    uf_sort(values, count);
    return uf_quantile(values, count, 0.5);
}

static UfStatus run(Bench* b, double* step_seconds, double* write_seconds, double* processor,
                    char** json_line) {
    const UfEnvBenchOptions* o = b->options;
    const size_t n = (size_t)o->num_envs;
    const int windows = o->num_windows;
    const char* observation = o->observation ? o->observation : "first_person";
    NxOptions options;
    nx_default_options(&options);
    options.num_threads = o->num_threads;
    options.device = o->device;
    UfStatus status;
    UF_TRY(nx_find_observation(&options.observation, observation));
    UF_TRY(nx_create(&b->batch, o->env, o->num_envs, SEED, &options));
    UF_TRY(uf_pool_create(&b->pool, o->num_threads));
    b->obs_bytes = n * nx_shape(b->batch).bytes;
    UF_TRY(nx_reserve(b->batch, &b->out.obs, b->obs_bytes));
    UF_TRY(nx_reserve(b->batch, (void**)&b->out.reward, n * sizeof *b->out.reward));
    UF_TRY(nx_reserve(b->batch, (void**)&b->out.terminated, n));
    UF_TRY(nx_reserve(b->batch, (void**)&b->out.truncated, n));
    UF_TRY(nx_reserve(b->batch, (void**)&b->actions, ACTION_SETS * n));
    nx_draw_actions(b->batch, b->actions, ACTION_SETS * (int64_t)n, SEED);
    UF_TRY(nx_reset(b->batch, &b->out));
    time_steps(b, &status);  // warms up
    UF_TRY(status);
    for (int w = 0; w < windows; w++) {
        const double start = processor_seconds();
        step_seconds[w] = time_steps(b, &status) / o->num_steps;
        UF_TRY(status);
        processor[w] = (processor_seconds() - start) / o->num_steps;
        write_seconds[w] = time_writes(b, &status) / o->num_steps;
        UF_TRY(status);
    }
    const double step = median(step_seconds, windows), write = median(write_seconds, windows);
    const double busy = median(processor, windows);
    const size_t step_bytes = nx_step_bytes(b->batch, &b->out);
    UfText text = {0};
    uf_text_add(&text,
                "{\"env\": \"%s\", \"observation\": \"%s\", \"envs\": %d, \"threads\": %d, \"steps\": %d, "
                "\"windows\": %d, "
                "\"steps_per_second\": %.0f, \"steps_per_second_quartiles\": [%.0f, %.0f], "
                "\"steps_per_processor_second\": %.0f, \"observation_bytes\": %zu, "
                "\"write_gb_per_second\": %.2f, \"write_share\": %.3f",
                o->env, observation, o->num_envs, uf_pool_num_threads(b->pool), o->num_steps, windows,
                (double)n / step, (double)n / uf_quantile(step_seconds, windows, 0.75),
                (double)n / uf_quantile(step_seconds, windows, 0.25), (double)n / busy,
                nx_shape(b->batch).bytes, write > 0 ? (double)b->obs_bytes / write / 1e9 : 0, write / step);
    if (nx_on_device(b->batch))
        uf_text_add(&text, ", \"device\": \"%s\", \"bytes_per_step\": %zu, \"gb_per_second\": %.1f%s",
                    nx_about(b->batch), step_bytes, (double)n * (double)step_bytes / step / 1e9,
#ifdef UF_HOST_CUDA
                    ", \"note\": \"kernels run on the host: no times of a GPU\"");
#else
                    "");
#endif
    uf_text_add(&text, "}");
    return uf_text_finish(&text, json_line);
}

UfStatus uf_bench_grid(const UfEnvBenchOptions* options, char** json_line) {
    Bench b = {.options = options};
    double *step_seconds = NULL, *write_seconds = NULL, *processor = NULL;
    *json_line = NULL;
    if (options->num_steps < 1 || options->num_windows < MIN_WINDOWS || options->num_windows > MAX_WINDOWS)
        return UF_FAIL(UF_ERR_ARGUMENT, "bench: steps %d, windows %d; expected at least 1 and %d",
                       options->num_steps, options->num_windows, MIN_WINDOWS);
    UfStatus status = UF_ALLOC(&step_seconds, options->num_windows, "timings");
    if (status == UF_OK) status = UF_ALLOC(&write_seconds, options->num_windows, "timings");
    if (status == UF_OK) status = UF_ALLOC(&processor, options->num_windows, "timings");
    if (status == UF_OK) status = run(&b, step_seconds, write_seconds, processor, json_line);
    void* arrays[] = {b.out.obs, b.out.reward, b.out.terminated, b.out.truncated, b.actions};
    for (size_t i = 0; b.batch && i < sizeof arrays / sizeof arrays[0]; i++) nx_release(b.batch, arrays[i]);
    nx_free(b.batch);
    uf_pool_free(b.pool);
    uf_free(step_seconds);
    uf_free(write_seconds);
    uf_free(processor);
    return status;
}
