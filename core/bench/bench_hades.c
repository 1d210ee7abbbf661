// bench_hades.c: whole generations of a distillation, and how much of one is cloning.
#include <math.h>

#include "core/bench/bench.h"
#include "core/core.h"
#include "core/search/hades_search.h"

enum { MIN_WINDOWS = 5, MAX_WINDOWS = 100000 };

typedef struct Bench {
    const HdBenchOptions* options;
    HdSearch* search;
    double *rates, *steps;  // (windows): candidates and environment steps a second
} Bench;

static UfStatus time_generations(Bench* b, HdGeneration* last) {
    const HdBenchOptions* o = b->options;
    const int64_t P = o->config->popsize;
    for (int i = 0; i < o->num_windows; i++) {
        double seconds = 0, steps = 0;
        for (int k = 0; k < o->num_generations; k++) {
            UF_TRY(hd_search_step(b->search, last));
            seconds += last->seconds;
            steps += (double)last->num_steps;
        }
        b->rates[i] = (double)(P * o->num_generations) / seconds;
        b->steps[i] = steps / seconds;
    }
    uf_sort(b->rates, o->num_windows);
    uf_sort(b->steps, o->num_windows);
    return UF_OK;
}

static UfStatus run(Bench* b, char** json_line) {
    const HdBenchOptions* o = b->options;
    const HdConfig* c = o->config;
    HdGeneration last = {.generation = 0};
    UF_TRY(UF_ALLOC(&b->rates, o->num_windows, "timings"));
    UF_TRY(UF_ALLOC(&b->steps, o->num_windows, "timings"));
    UF_TRY(hd_search_create(&b->search, c));
    UF_TRY(time_generations(b, &last));
    const UfBackend* be = hd_search_backend(b->search);
    const int n = o->num_windows;
    UfText text = {0};
    uf_text_add(
        &text,
        "{\"algorithm\": \"hades\", \"task\": \"%s\", \"rows\": %lld, \"popsize\": %lld, \"rollouts\": %lld, "
        "\"num_envs\": %lld, \"num_steps\": %lld, \"generations\": %lld, \"threads\": %d, \"windows\": %d, ",
        c->env[0] ? c->env : c->images, (long long)c->rows, (long long)c->popsize, (long long)c->rollouts,
        (long long)c->num_envs, (long long)c->num_steps, (long long)last.generation,
        uf_pool_num_threads(be->pool), n);
    uf_text_add(
        &text,
        "\"candidates_per_second\": {\"min\": %.4g, \"median\": %.4g, \"max\": %.4g}, \"steps_per_second\": "
        "{\"min\": %.4g, \"median\": %.4g, \"max\": %.4g}, \"mean_fitness\": %.6g, \"device\": \"%s\", "
        "\"version\": \"%s\"}",
        b->rates[0], uf_quantile(b->rates, n, 0.5), b->rates[n - 1], b->steps[0],
        uf_quantile(b->steps, n, 0.5), b->steps[n - 1], last.mean, be->about, UF_VERSION);
    return uf_text_finish(&text, json_line);
}

UfStatus uf_bench_hades(const HdBenchOptions* options, char** json_line) {
    Bench b = {.options = options};
    *json_line = NULL;
    if (options->num_generations < 1 || options->num_windows < MIN_WINDOWS ||
        options->num_windows > MAX_WINDOWS)
        return UF_FAIL(UF_ERR_ARGUMENT, "bench: generations %d, windows %d; expected at least 1 and %d",
                       options->num_generations, options->num_windows, MIN_WINDOWS);
    const UfStatus status = run(&b, json_line);
    hd_search_free(b.search);
    uf_free(b.rates);
    uf_free(b.steps);
    return status;
}
