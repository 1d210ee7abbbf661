// train.c: `unifloral train`, online and dynamics.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/runs/dynamics_run.h"
#include "core/runs/online.h"

// ---- configuration ----

// `unifloral online` is `unifloral train` with online true, and counts environment steps.
static UfStatus online_config(const Args* args, UfConfig* c) {
    const int64_t steps = cli_number(args, O_STEPS, 0);
    c->online = true;
    if (steps && steps <= c->start_steps)
        return UF_FAIL(UF_ERR_CONFIG, "--steps %" PRId64 " leaves nothing after start_steps %" PRId64, steps,
                       c->start_steps);
    if (steps) c->num_updates = (steps - c->start_steps) * c->updates_per_step;
    return UF_OK;
}

// Nullable: file
static UfStatus train_config(const Args* args, const char* file, bool online, UfConfig** out) {
    static const Sugar sugar[] = {
        {O_SEED, "seed"},     {O_THREADS, "num_threads"},     {O_DATASET, "dataset"},
        {O_ENV, "env"},       {O_START_STEPS, "start_steps"}, {O_MEDIUM_SCORE, "medium_score"},
        {O_DEVICE, "device"}, {O_PRECISION, "precision"},     {O_INIT_FROM, "init_from"},
        {.name = NULL}};
    const char* resume = args->values[O_RESUME];
    char path[2048];
    *out = NULL;
    if (resume) snprintf(path, sizeof(path), "%s/config.json", resume);
    if (resume && (access(path, F_OK) == 0 || !file))
        UF_TRY(uf_run_config(out, resume));
    else
        UF_TRY(uf_config_create(out));
    UF_TRY(cli_configure(args, file, &uf_config_table, sugar, *out, NULL));
    UfStatus status = online ? online_config(args, *out) : UF_OK;
    if (status == UF_OK) status = uf_config_check(*out);
    return cli_checked(args, status, file, "train");
}

// ---- one run ----

static void print_result(const UfRunResult* r) {
    char path[UF_FOLDER_BYTES + 32];
    if (r->num_episodes && isfinite(r->mean_score))
        printf("normalised score  %.1f +- %.1f  (return %.1f, %" PRId64 " episodes of %s)\n", r->mean_score,
               r->stderr_score, r->mean_return, r->num_episodes, r->env);
    else if (r->num_episodes)
        printf("return            %.2f +- %.2f  (%" PRId64 " episodes of %s)\n", r->mean_return,
               r->stderr_return, r->num_episodes, r->env);
    else
        printf("normalised score  none: not evaluated\n");
    snprintf(path, sizeof(path), "%s/learning_curve.png", r->folder);
    if (r->has_chart) printf("learning curve    %s\n", path);
    printf("results           %s/final.h5\n", r->folder);
    printf("checkpoint        %s/checkpoint.h5\n", r->folder);
}

// Files appear whole or not at all, so a signal may end this at once.
static int make_datasets(const Args* args, const char* folder) {
    UfOnlineDatasets datasets = {.run = folder,
                                 .output = args->values[O_DATASETS],
                                 .num_steps = cli_number(args, O_DATASET_STEPS, 100000),
                                 .num_threads = (int)cli_number(args, O_THREADS, 0)};
    char* report = NULL;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGUSR1, SIG_DFL);
    const UfStatus status = uf_online_datasets(&datasets, &report);
    return cli_print(status, report);
}

static int train(const Args* args, bool online) {
    UfConfig* config = NULL;
    UfRunResult result;
    Screen screen = cli_screen(args);
    if (train_config(args, args->num_files ? args->files[0] : NULL, online, &config) != UF_OK) {
        uf_config_free(config);
        return cli_failed();
    }
    cli_catch_signals();
    UfRunOptions run = {.config = config,
                        .out = args->values[O_OUT],
                        .resume = args->values[O_RESUME],
                        .stop = &cli_stop_signal,
                        .on_progress = cli_on_progress,
                        .user = &screen};
    UfStatus status = uf_run_train(&run, &result);
    uf_config_free(config);
    cli_clear_progress(&screen);
    if (status == UF_ERR_STOPPED) {
        fprintf(stderr, "stopped at update %" PRId64 "; go on with: unifloral %s --resume %s\n",
                result.update, online ? "online" : "train", result.folder);
        return 128 + cli_stop_signal;
    }
    if (status != UF_OK) return cli_failed();
    print_result(&result);
    return args->values[O_DATASETS] ? make_datasets(args, result.folder) : DONE;
}

// ---- several runs in one process ----

// The folder of a configuration of several: named after it, in --out. One that is there goes on.
static UfStatus member_of(const Args* args, const char* file, UfRunMember* m, char folder[UF_FOLDER_BYTES]) {
    char stem[UF_STRING_BYTES];
    UfConfig* config;
    UfStatus status = train_config(args, file, false, &config);
    m->config = config;
    UF_TRY(status);
    if (snprintf(folder, UF_FOLDER_BYTES, "%s/%s", args->values[O_OUT],
                 uf_file_stem(file, stem, sizeof(stem))) >= UF_FOLDER_BYTES)
        return UF_FAIL(UF_ERR_ARGUMENT, "%.64s...: the folder's name is too long", args->values[O_OUT]);
    if (uf_has_file(folder, "config.json"))
        m->resume = folder;
    else
        m->out = folder;
    return UF_OK;
}

static UfStatus members_of(const Args* args, UfRunMember* members, char (*folders)[UF_FOLDER_BYTES]) {
    for (int i = 0; i < args->num_files; i++) {
        UF_TRY(member_of(args, args->files[i], &members[i], folders[i]));
        for (int k = 0; k < i; k++)
            if (!strcmp(folders[k], folders[i]))
                return UF_FAIL(UF_ERR_ARGUMENT, "%s and %s would both train in %s; rename one of them",
                               args->files[k], args->files[i], folders[i]);
    }
    return UF_OK;
}

static void print_member(const UfRunMember* m, const char* folder) {
    const UfRunResult* r = &m->result;
    if (m->status == UF_ERR_STOPPED) return;
    if (m->status != UF_OK)
        fprintf(stderr, "error: %s: %s\n", folder, m->error);
    else if (r->num_episodes && isfinite(r->mean_score))
        printf("%s  normalised score %.1f +- %.1f\n", folder, r->mean_score, r->stderr_score);
    else if (r->num_episodes)
        printf("%s  return %.2f +- %.2f\n", folder, r->mean_return, r->stderr_return);
    else
        printf("%s  not evaluated\n", folder);
}

static int train_members(const Args* args, UfRunMember* members, char (*folders)[UF_FOLDER_BYTES]) {
    Screen screen = cli_screen(args);
    if (members_of(args, members, folders) != UF_OK) return cli_failed();
    cli_catch_signals();
    const UfRunOptions run = {.stop = &cli_stop_signal, .on_progress = cli_on_progress, .user = &screen};
    const UfStatus status = uf_run_train_members(&run, members, args->num_files);
    bool told = false;
    cli_clear_progress(&screen);
    for (int i = 0; i < args->num_files; i++) {
        print_member(&members[i], folders[i]);
        told = told || members[i].status != UF_OK;
    }
    if (status == UF_ERR_STOPPED) {
        fprintf(stderr, "stopped; the same command goes on\n");
        return 128 + cli_stop_signal;
    }
    return status == UF_OK ? DONE : told ? FAILED : cli_failed();
}

static int train_several(const Args* args) {
    UfRunMember* members = calloc((size_t)args->num_files, sizeof *members);
    char(*folders)[UF_FOLDER_BYTES] = calloc((size_t)args->num_files, sizeof *folders);
    int status = FAILED;
    if (members && folders)
        status = train_members(args, members, folders);
    else
        fprintf(stderr, "error: out of memory\n");
    for (int i = 0; members && i < args->num_files; i++) uf_config_free((UfConfig*)members[i].config);
    free(members);
    free(folders);
    return status;
}

// ---- commands ----

int cli_check_train(const Command* c, const Args* args) {
    if (args->num_files < 2) return GO_ON;
    if (args->values[O_RESUME])
        return cli_misuse(c, "--resume: several configurations go on by the same command");
    if (!args->values[O_OUT])
        return cli_misuse(c, "--out is missing: the folder for the runs of several configurations");
    return GO_ON;
}

int cli_train(const Args* args) { return args->num_files > 1 ? train_several(args) : train(args, false); }

int cli_online(const Args* args) { return train(args, true); }

int cli_check_dynamics(const Command* c, const Args* args) {
    if (args->values[O_CONFIG] || args->values[O_RESUME]) return GO_ON;
    return cli_misuse(c, "--config or --resume is missing");
}

int cli_dynamics(const Args* args) {
    UfConfig* config = NULL;
    UfDynamicsResult result;
    Screen screen = cli_screen(args);
    if (train_config(args, args->values[O_CONFIG], false, &config) != UF_OK) {
        uf_config_free(config);
        return cli_failed();
    }
    cli_catch_signals();
    const UfRunOptions run = {.config = config,
                              .out = args->values[O_OUT],
                              .resume = args->values[O_RESUME],
                              .stop = &cli_stop_signal,
                              .on_progress = cli_on_progress,
                              .user = &screen};
    UfStatus status = uf_dynamics_run(&run, &result);
    uf_config_free(config);
    cli_clear_progress(&screen);
    if (status == UF_ERR_STOPPED) {
        fprintf(stderr, "stopped after epoch %" PRId64 "; go on with: unifloral dynamics --resume %s\n",
                result.epoch, result.folder);
        return 128 + cli_stop_signal;
    }
    return cli_print(status, result.report);
}
