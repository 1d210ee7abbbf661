// hades.c: `unifloral hades` and its subcommands.
#include <stdio.h>
#include <stdlib.h>

#include "cli/search.h"
#include "core/search/hades_run.h"

const SearchCommand cli_hades_command = {&hd_kind, "hades"};

int cli_hades(const Args* args) { return cli_search(args, &cli_hades_command); }

int cli_hades_sweep(const Args* args) { return cli_search_sweep(args, &cli_hades_command); }

int cli_hades_show(const Args* args) {
    const char* out = args->values[O_OUT];
    UfDistilled* data;
    char* text = NULL;
    if (uf_distilled_read(&data, args->files[0]) != UF_OK) return cli_failed();
    UfStatus status = uf_distilled_describe(data, 12, &text);
    if (status == UF_OK && out) status = uf_distilled_show(data, out);
    uf_distilled_free(data);
    if (status != UF_OK) {
        uf_free(text);
        return cli_failed();
    }
    printf("%s", text);
    if (out) printf("wrote %s\n", out);
    uf_free(text);
    return DONE;
}

static HdRateOptions rate_options(const Args* args, const HdConfig* config) {
    return (HdRateOptions){.config = config,
                           .task = args->values[O_ENV],
                           .num_inits = (int)cli_number(args, O_INITS, 20),
                           .num_episodes = (int)cli_number(args, O_EPISODES, 10),
                           .seed = cli_number(args, O_SEED, 0)};
}

// What `hades try` and `hades vary` do with a file: config is the one that it carries.
typedef UfStatus TryFile(const Args* args, const UfDistilled* data, HdConfig* config, UfText* text);

static int try_file(const Args* args, TryFile* with) {
    UfDistilled* data;
    HdConfig* config = NULL;
    UfText text = {0};
    if (uf_distilled_read(&data, args->files[0]) != UF_OK) return cli_failed();
    UfStatus status = hd_config_of(&config, data);
    if (status == UF_OK) status = with(args, data, config, &text);
    uf_distilled_free(data);
    hd_config_free(config);
    return cli_print_text(status, &text);
}

static UfStatus try_once(const Args* args, const UfDistilled* data, HdConfig* config, UfText* text) {
    static const Sugar sugar[] = {{O_THREADS, "num_threads"}, {O_DEVICE, "device"}, {.name = NULL}};
    UF_TRY(cli_configure(args, args->values[O_CONFIG], &hd_table, sugar, config, NULL));
    const HdTryOptions options = {.rate = rate_options(args, config),
                                  .controls = args->values[O_CONTROLS] != NULL};
    return hd_try(data, &options, text);
}

int cli_hades_try(const Args* args) { return try_file(args, try_once); }

// Lists say what is varied; all else in --config and --set holds throughout.
static UfStatus try_lists(const Args* args, const UfDistilled* data, HdConfig* config, UfText* text) {
    UfAxes axes = {.count = 0};
    HdConfig before = *config;
    UfStatus status = cli_configure(args, args->values[O_CONFIG], &hd_table, cli_search_sugar, config, &axes);
    for (int i = 0; i < axes.count && status == UF_OK; i++) {  // loading put the first of each list there
        char value[UF_STRING_BYTES];
        uf_param_format(&before, axes.axes[i].param, value, sizeof(value));
        status = uf_table_set(&hd_table, config, axes.axes[i].param->name, value);
    }
    if (status == UF_OK && !axes.count)
        status =
            UF_FAIL(UF_ERR_CONFIG, "nothing is varied: expected a list in --config, or --set name=[a,b]");
    const HdRateOptions rate = rate_options(args, config);
    if (status == UF_OK) status = hd_vary(data, config, &axes, &rate, text);
    uf_axes_free(&axes);
    return status;
}

int cli_hades_vary(const Args* args) { return try_file(args, try_lists); }

int cli_hades_merge(const Args* args) {
    const int n = args->num_files;
    UfDistilled** parts = calloc((size_t)n, sizeof(UfDistilled*));
    UfDistilled* merged = NULL;
    UfStatus status = parts ? UF_OK : UF_ERR_MEMORY;
    for (int i = 0; i < n && status == UF_OK; i++) status = uf_distilled_read(&parts[i], args->files[i]);
    if (status == UF_OK)
        status =
            uf_distilled_merge(&merged, (const UfDistilled* const*)parts, n, args->values[O_APART] != NULL);
    if (status == UF_OK) status = uf_distilled_write(merged, args->values[O_OUT]);
    if (status == UF_OK)
        printf("wrote %s: %d rows of %d observations and %d actions, %d tasks\n", args->values[O_OUT],
               merged->rows, merged->obs_dim, merged->action_dim, merged->num_tasks);
    for (int i = 0; i < n && parts; i++) uf_distilled_free(parts[i]);
    uf_distilled_free(merged);
    free(parts);
    return status == UF_OK ? DONE : cli_failed();
}
