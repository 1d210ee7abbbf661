// bench_synth.c: steps of copies of a synthetic environment, on the calling thread, for some numbers of copies.
#include "core/bench/bench.h"
#include "core/core.h"
#include "core/synth/synth.h"

enum { MIN_WINDOWS = 5, MAX_WINDOWS = 100000, MOST_ROWS = 1000 };
static const int rows_of[] = {1, 5, 10, 100, MOST_ROWS};

typedef struct Bench {
    SeEnv* env;
    int num_windows, num_rows;  // rows stepped in a window
    float *obs, *action, *reward;
    int32_t* steps;
    uint8_t* done;
    double* seconds;  // (windows): of a step
} Bench;

// Actions are the same at every step: nothing that is timed depends on them.
static UfStatus reserve(Bench* b) {
    const SeOptions* o = se_options(b->env);
    const int numbers = o->discrete ? 1 : o->action_dim;
    UfRandom random = uf_random(0, UF_STREAM_CONTROLLER, 0);
    UF_TRY(UF_ALLOC(&b->obs, MOST_ROWS * o->obs_dim, "observations"));
    UF_TRY(UF_ALLOC(&b->action, MOST_ROWS * numbers, "actions"));
    UF_TRY(UF_ALLOC(&b->reward, MOST_ROWS, "rewards"));
    UF_TRY(UF_ALLOC(&b->steps, MOST_ROWS, "steps of episodes"));
    UF_TRY(UF_ALLOC(&b->done, MOST_ROWS, "ends of episodes"));
    UF_TRY(UF_ALLOC(&b->seconds, b->num_windows, "timings"));
    for (int i = 0; i < MOST_ROWS * numbers; i++)
        b->action[i] = o->discrete
                           ? (float)(uf_random_u32(&random) % (uint32_t)o->action_dim)
                           : (float)uf_random_uniform(&random, (double)o->action_low, (double)o->action_high);
    return UF_OK;
}

static void time_steps(Bench* b, int rows) {
    SeDraw draw = {.seed = 0};
    const int count = b->num_rows / rows > 0 ? b->num_rows / rows : 1;
    for (int i = 0; i < rows; i++) b->steps[i] = 0;
    se_reset(b->env, &draw, rows, b->obs);
    for (int w = 0; w < b->num_windows; w++) {
        const double start = uf_now();
        for (int k = 0; k < count; k++) {
            draw.step++;
            se_step(b->env, &draw, rows, b->obs, b->action, b->steps, b->obs, b->reward, b->done);
        }
        b->seconds[w] = (uf_now() - start) / count;
    }
    uf_sort(b->seconds, b->num_windows);
}

static UfStatus run(Bench* b, char** json_line) {
    const SeOptions* o = se_options(b->env);
    const int n = b->num_windows;
    UfText text = {0};
    UF_TRY(reserve(b));
    uf_text_add(&text,
                "{\"algorithm\": \"synthetic %s\", \"obs_dim\": %d, \"action_dim\": %d, \"width\": %d, "
                "\"threads\": 1, "
                "\"windows\": %d, \"microseconds_a_step\": {",
                se_mode_name(b->env), o->obs_dim, o->action_dim, o->width, n);
    for (size_t i = 0; i < sizeof rows_of / sizeof rows_of[0]; i++) {
        time_steps(b, rows_of[i]);
        uf_text_add(&text, "%s\"%d\": {\"min\": %.4g, \"median\": %.4g, \"max\": %.4g}", i ? ", " : "",
                    rows_of[i], 1e6 * b->seconds[0], 1e6 * uf_quantile(b->seconds, n, 0.5),
                    1e6 * b->seconds[n - 1]);
    }
    uf_text_add(&text, "}, \"version\": \"%s\"}", UF_VERSION);
    return uf_text_finish(&text, json_line);
}

UfStatus uf_bench_synth(const char* path, int num_steps, int num_windows, char** json_line) {
    Bench b = {.num_windows = num_windows, .num_rows = num_steps};
    *json_line = NULL;
    if (num_steps < 1 || num_windows < MIN_WINDOWS || num_windows > MAX_WINDOWS)
        return UF_FAIL(UF_ERR_ARGUMENT, "bench: steps %d, windows %d; expected at least 1 and %d", num_steps,
                       num_windows, MIN_WINDOWS);
    UF_TRY(se_read(&b.env, path));
    const UfStatus status = run(&b, json_line);
    void* all[] = {b.obs, b.action, b.reward, b.steps, b.done, b.seconds};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
    se_free(b.env);
    return status;
}
