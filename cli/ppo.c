// ppo.c: `unifloral ppo`.
#include <inttypes.h>
#include <stdio.h>

#include "cli/cli.h"
#include "core/runs/ppo_run.h"

UfStatus cli_ppo_config(const Args* args, UfPpoConfig** out) {
    static const Sugar sugar[] = {{O_SEED, "seed"},
                                  {O_THREADS, "num_threads"},
                                  {O_ENV, "env"},
                                  {O_STEPS, "budget"},
                                  {O_POPULATION, "population"},
                                  {O_DEVICE, "device"},
                                  {O_PRECISION, "precision"},
                                  {.name = NULL}};
    const char* file = args->values[O_CONFIG];
    *out = NULL;
    UF_TRY(args->values[O_RESUME] ? uf_ppo_run_config(out, args->values[O_RESUME])
                                  : uf_table_create(&uf_ppo_table, (void**)out));
    UF_TRY(cli_configure(args, file, &uf_ppo_table, sugar, *out, NULL));
    return cli_checked(args, uf_ppo_config_check(*out), file, "ppo");
}

int cli_ppo(const Args* args) {
    UfPpoConfig* config;
    UfPpoResult result;
    Screen screen = cli_screen(args);
    if (cli_ppo_config(args, &config) != UF_OK) {
        uf_free(config);
        return cli_failed();
    }
    cli_catch_signals();
    const UfPpoRunOptions run = {.config = config,
                                 .out = args->values[O_OUT],
                                 .resume = args->values[O_RESUME],
                                 .stop = &cli_stop_signal,
                                 .on_progress = cli_on_ppo_progress,
                                 .user = &screen};
    const UfStatus status = uf_ppo_run(&run, &result);
    uf_free(config);
    cli_clear_progress(&screen);
    if (status == UF_ERR_STOPPED) {
        fprintf(stderr, "stopped after iteration %" PRId64 "; go on with: unifloral ppo --resume %s\n",
                result.iteration, result.folder);
        return 128 + cli_stop_signal;
    }
    return cli_print(status, result.report);
}
