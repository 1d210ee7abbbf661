// data.c: `unifloral collect` and convert: datasets.
#include <stdio.h>

#include "cli/cli.h"
#include "core/data/dataset.h"
#include "core/runs/collect.h"

int cli_check_collect(const Command* c, const Args* args) {
    if (!args->values[O_POLICY] && !args->values[O_MIX])
        return cli_misuse(c, "--policy or --mix is missing: what acts");
    if (args->values[O_POLICY] && args->values[O_MIX])
        return cli_misuse(c, "--policy and --mix contradict each other");
    return GO_ON;
}

int cli_collect(const Args* args) {
    UfCollectOptions collect = {.env = args->values[O_ENV],
                                .policy = args->values[O_POLICY],
                                .mix = args->values[O_MIX],
                                .num_steps = cli_number(args, O_STEPS, 0),
                                .seed = (uint64_t)cli_number(args, O_SEED, 0),
                                .num_threads = (int)cli_number(args, O_THREADS, 0),
                                .mean = args->values[O_MEAN] != NULL,
                                .noise = cli_real(args, O_NOISE, 0),
                                .next_observations = args->values[O_NEXT_OBSERVATIONS] != NULL,
                                .output = args->values[O_OUT]};
    if (uf_collect(&collect) != UF_OK) return cli_failed();
    printf("wrote %s\n", args->values[O_OUT]);
    return DONE;
}

int cli_convert(const Args* args) {
    if (uf_dataset_convert(args->files[0], args->files[1]) != UF_OK) return cli_failed();
    printf("wrote %s\n", args->files[1]);
    return DONE;
}
