// bench.c: `unifloral bench` and its subcommands.
#include <stdio.h>
#include <string.h>

#include "cli/search.h"
#include "core/bench/bench.h"
#include "core/grid/grid_table.h"

static void print_line(void* user, const char* line) {
    (void)user;
    printf("%s\n", line);
    fflush(stdout);
}

static int print_json(UfStatus status, char* json) {
    if (status != UF_OK) return cli_failed();
    print_line(NULL, json);
    uf_free(json);
    return DONE;
}

// Options of an update say nothing about an environment.
static int bench_env(const Args* args) {
    static const enum Option others[] = {O_CONFIG,     O_OBS_DIM,   O_ACTION_DIM,
                                         O_POPULATION, O_PRECISION, NUM_OPTIONS};
    const char* other = cli_first_given(args, others);
    if (other) {
        fprintf(stderr, "error: bench --env times an environment; --%s is for updates\n", other);
        return MISUSE;
    }
    const bool grid = nx_is_grid(args->values[O_ENV]);
    const char* device = args->values[O_DEVICE];
    const bool on_device = device && strcmp(device, "cpu") != 0;
    UfEnvBenchOptions bench = {.env = args->values[O_ENV],
                               .num_threads = (int)cli_number(args, O_THREADS, 1),
                               .num_steps = (int)cli_number(args, O_STEPS, on_device ? 200 : 1000),
                               .num_windows = (int)cli_number(args, O_WINDOWS, grid ? 21 : 101),
                               .num_envs = (int)cli_number(args, O_ENVS, on_device ? 1 << 20 : 2048),
                               .observation = args->values[O_OBSERVATION],
                               .device = device};
    if (!grid && (args->values[O_ENVS] || args->values[O_OBSERVATION] || device)) {
        fprintf(stderr, "error: --envs, --observation and --device are for gridworlds, not for '%s'\n",
                bench.env);
        return MISUSE;
    }
    char* json = NULL;
    const UfStatus status = (grid ? uf_bench_grid : uf_bench_env)(&bench, &json);
    return print_json(status, json);
}

// Takes --config, --env, --population, --threads, --device, --precision as `unifloral ppo` does; --steps are
// iterations.
static int bench_ppo(const Args* args) {
    static const enum Option others[] = {O_OBS_DIM, O_ACTION_DIM,  O_ROLLOUTS, O_DYNAMICS,
                                         O_ENVS,    O_OBSERVATION, NUM_OPTIONS};
    const char* other = cli_first_given(args, others);
    if (other) {
        fprintf(stderr, "error: bench --ppo times whole iterations; --%s is for other benches\n", other);
        return MISUSE;
    }
    UfPpoConfig* config = NULL;
    Args given = *args;
    char* json = NULL;
    given.values[O_STEPS] = NULL;
    UfStatus status = cli_ppo_config(&given, &config);
    const UfPpoBenchOptions bench = {.config = config,
                                     .num_steps = (int)cli_number(args, O_STEPS, 3),
                                     .num_windows = (int)cli_number(args, O_WINDOWS, 7)};
    if (status == UF_OK) status = uf_bench_ppo(&bench, &json);
    uf_free(config);
    return print_json(status, json);
}

// Two lines of JSON: generations, and steps of cloning of several shapes. --steps are generations of a window.
int cli_bench_hades(const Args* args) {
    void* config;
    char* json = NULL;
    Args given = *args;
    if (!args->values[O_CONFIG] && !args->values[O_ENV]) given.values[O_ENV] = "CartPole-v1";
    UfStatus status = cli_search_config(&given, &cli_hades_command, &config);
    const HdBenchOptions bench = {.config = config,
                                  .num_generations = (int)cli_number(args, O_STEPS, 5),
                                  .num_windows = (int)cli_number(args, O_WINDOWS, 8)};
    if (status == UF_OK) status = uf_bench_hades(&bench, &json);
    if (status == UF_OK) print_line(NULL, json);
    uf_free(json);
    json = NULL;
    const UfCloneBenchOptions clone = {.device = args->values[O_DEVICE],
                                       .num_threads = (int)cli_number(args, O_THREADS, 0),
                                       .num_networks = 32,
                                       .num_windows = bench.num_windows};
    if (status == UF_OK) status = uf_bench_clone(&clone, &json);
    uf_free(config);
    return print_json(status, json);
}

int cli_bench_synthenv(const Args* args) {
    const int num_steps = (int)cli_number(args, O_STEPS, 10000),
              num_windows = (int)cli_number(args, O_WINDOWS, 101);
    char* json = NULL;
    const UfStatus status = uf_bench_synth(args->files[0], num_steps, num_windows, &json);
    return print_json(status, json);
}

int cli_bench(const Args* args) {
    if (args->values[O_PPO]) return bench_ppo(args);
    if (args->num_sets) {
        fprintf(stderr, "error: bench: --set is for --ppo; other benches take --config FILE\n");
        return MISUSE;
    }
    if (args->values[O_ENV]) return bench_env(args);
    if (args->values[O_ENVS] || args->values[O_OBSERVATION]) {
        fprintf(stderr,
                "error: --envs and --observation are for gridworlds; --env MiniGrid-... is missing\n");
        return MISUSE;
    }
    static const Sugar sugar[] = {{O_DEVICE, "device"}, {O_PRECISION, "precision"}, {.name = NULL}};
    UfConfig* config = NULL;
    char* json = NULL;
    UfStatus status = uf_config_create(&config);
    if (status == UF_OK)
        status = cli_configure(args, args->values[O_CONFIG], &uf_config_table, sugar, config, NULL);
    const bool apart = status == UF_OK && config->device == UF_DEVICE_CUDA,
               list =
                   apart && !args->values[O_CONFIG] && !args->values[O_DYNAMICS] && !args->values[O_ROLLOUTS];
    const int num_steps = args->values[O_ROLLOUTS] ? 1 : apart ? 200 : 20;
    UfBenchOptions bench = {.config = config,
                            .obs_dim = (int)cli_number(args, O_OBS_DIM, 17),
                            .action_dim = (int)cli_number(args, O_ACTION_DIM, 6),
                            .num_threads = (int)cli_number(args, O_THREADS, 1),
                            .rollouts = args->values[O_ROLLOUTS] != NULL,
                            .num_steps = (int)cli_number(args, O_STEPS, num_steps),
                            .population = (int)cli_number(args, O_POPULATION, list ? 0 : 1),
                            .num_windows = (int)cli_number(args, O_WINDOWS, 7),
                            .dynamics = args->values[O_DYNAMICS] != NULL};
    if (status == UF_OK) status = list ? uf_bench_list(&bench, print_line, NULL) : uf_bench(&bench, &json);
    uf_config_free(config);
    if (status != UF_OK) return cli_failed();
    if (json) print_line(NULL, json);
    uf_free(json);
    return DONE;
}
