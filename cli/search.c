// search.c: searches on an evolution strategy, alone and in sweeps, by one process or several.
#include <inttypes.h>
#include <stdio.h>

#include "cli/search.h"
#include "core/search/search_sweep.h"

const Sugar cli_search_sugar[] = {
    {O_SEED, "seed"}, {O_THREADS, "num_threads"}, {O_ENV, "env"}, {O_DEVICE, "device"}, {.name = NULL}};

UfStatus cli_search_config(const Args* args, const SearchCommand* c, void** out) {
    const char* file = args->values[O_CONFIG];
    *out = NULL;
    UF_TRY(args->values[O_RESUME] ? uf_search_run_config(c->kind, out, args->values[O_RESUME])
                                  : uf_table_create(c->kind->table, out));
    UF_TRY(cli_configure(args, file, c->kind->table, cli_search_sugar, *out, NULL));
    return cli_checked(args, c->kind->check(*out), file, c->command);
}

// Exit status of a search that ended like this; `how` to go on, if it was stopped.
static int search_ended(UfStatus status, const Screen* screen, const UfRanks* ranks, const char* how,
                        char* report) {
    const bool speaks = !ranks || ranks->rank == 0;
    int result = DONE;
    if (speaks) cli_clear_progress(screen);
    if (status == UF_ERR_STOPPED) {
        if (speaks) fprintf(stderr, "stopped%s\n", how);
        result = 128 + (cli_stop_signal ? cli_stop_signal : SIGTERM);
    } else if (status != UF_OK) {
        result = cli_failed();
    } else if (report) {
        printf("%s", report);
    }
    uf_free(report);
    return result;
}

static int run_search(const Args* args, const SearchCommand* c, const UfRanks* ranks) {
    void* config;
    UfSearchResult result;
    char how[UF_FOLDER_BYTES + 128];
    Screen screen = cli_screen(args);
    if (cli_search_config(args, c, &config) != UF_OK) {
        uf_free(config);
        return cli_failed();
    }
    cli_catch_signals();
    const UfSearchRunOptions run = {.kind = c->kind,
                                    .config = config,
                                    .out = args->values[O_OUT],
                                    .resume = args->values[O_RESUME],
                                    .ranks = ranks,
                                    .stop = &cli_stop_signal,
                                    .on_progress = cli_on_search_progress,
                                    .user = &screen};
    const UfStatus status = uf_search_run(&run, &result);
    uf_free(config);
    snprintf(how, sizeof(how), " after generation %" PRId64 "; go on with: unifloral %s --resume %s",
             result.generation, c->command, result.folder);
    return search_ended(status, &screen, ranks, how, result.report);
}

static int sweep_search(const Args* args, const SearchCommand* c, const UfRanks* ranks) {
    void* config = NULL;
    UfAxes axes = {.count = 0};
    char* report = NULL;
    Screen screen = cli_screen(args);
    UfStatus status = uf_table_create(c->kind->table, &config);
    if (status == UF_OK)
        status = cli_configure(args, args->values[O_CONFIG], c->kind->table, cli_search_sugar, config, &axes);
    cli_catch_signals();
    const UfSearchSweepOptions sweep = {.kind = c->kind,
                                        .config = config,
                                        .axes = &axes,
                                        .out = args->values[O_OUT],
                                        .ranks = ranks,
                                        .stop = &cli_stop_signal,
                                        .on_progress = cli_on_search_progress,
                                        .user = &screen};
    if (status == UF_OK) status = uf_search_sweep(&sweep, &report);
    uf_axes_free(&axes);
    uf_free(config);
    return search_ended(status, &screen, ranks, "; the same command goes on", report);
}

typedef int SearchWithRanks(const Args* args, const SearchCommand* c, const UfRanks* ranks);

// Under mpirun or srun the processes share each generation.
static int with_ranks(const Args* args, const SearchCommand* c, SearchWithRanks* search) {
    UfRanks* ranks;
    if (uf_mpi_join(&ranks) != UF_OK) return cli_failed();
    const int result = search(args, c, ranks);
    // One that failed alone just ends: to leave would be to wait for the others.
    if (result != FAILED) uf_mpi_leave(ranks);
    return result;
}

int cli_search(const Args* args, const SearchCommand* c) { return with_ranks(args, c, run_search); }

int cli_search_sweep(const Args* args, const SearchCommand* c) { return with_ranks(args, c, sweep_search); }
