// sweep.c: `unifloral sweep`, results and protocol: many runs and what they say together.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/results/protocol.h"
#include "core/results/results.h"
#include "core/runs/run_folder.h"
#include "core/sweeps/sweep.h"

// ---- protocol ----

static int run_protocol(const UfProtocolRun* run) {
    UfProtocolReport report;
    const UfStatus status = uf_protocol_run(run, &report);
    cli_print_notes(report.notes);
    if (report.text) printf("%s", report.text);
    if (status == UF_OK)
        printf("\nwrote %s: curves.csv, summary.csv, aggregates.csv, protocol.json%s\n", run->folder,
               report.has_figures ? ", protocol.svg, .png, .pdf" : "");
    uf_protocol_report_free(&report);
    return status == UF_OK ? DONE : cli_failed();
}

int cli_protocol(const Args* args) {
    const UfProtocolOptions d = uf_protocol_defaults();
    const char* out = args->values[O_OUT];
    const UfProtocolRun run = {
        .sources = args->files,
        .num_sources = args->num_files,
        .num_threads = (int)cli_number(args, O_THREADS, 0),
        .folder = out ? out : "runs/protocol",
        .options = {.subsample = (int)cli_number(args, O_SUBSAMPLE, d.subsample),
                    .max_pulls = (int)cli_number(args, O_MAX_PULLS, d.max_pulls),
                    .num_trials = (int)cli_number(args, O_TRIALS, d.num_trials),
                    .num_bootstraps = (int)cli_number(args, O_BOOTSTRAPS, d.num_bootstraps),
                    .ucb_alpha = cli_real(args, O_UCB_ALPHA, d.ucb_alpha),
                    .confidence = cli_real(args, O_CONFIDENCE, d.confidence),
                    .seed = (uint64_t)cli_number(args, O_SEED, (int64_t)d.seed)}};
    return run_protocol(&run);
}

// ---- sweep ----

// What the store holds, of other sweeps too, by the protocol's defaults.
static int protocol_of_sweep(const Args* args, const UfSweepResult* result) {
    char folder[sizeof result->folder + 16];
    const char* const sources[] = {result->store};
    snprintf(folder, sizeof folder, "%s/protocol", result->folder);
    const UfProtocolRun run = {.sources = sources,
                               .num_sources = 1,
                               .num_threads = (int)cli_number(args, O_THREADS, 0),
                               .folder = folder,
                               .options = uf_protocol_defaults()};
    printf("\n");
    return run_protocol(&run);
}

// Lists of the file and of --set are axes.
static UfStatus sweep_config(const Args* args, UfConfig* config, UfAxes* axes) {
    static const Sugar sugar[] = {{O_SEED, "seed"}, {.name = NULL}};
    UF_TRY(cli_configure(args, args->files[0], &uf_config_table, sugar, config, axes));
    if (args->values[O_DATASET]) UF_TRY(uf_config_set(config, "dataset", args->values[O_DATASET]));
    return args->values[O_ENV] ? uf_config_set(config, "env", args->values[O_ENV]) : UF_OK;
}

// A line a policy, and the first one: what the sweep is.
static void on_policy(void* user, const UfSweepEvent* e) {
    char left[32];
    if (((const Screen*)user)->quiet && !e->failure) return;
    if (e->text) {
        printf("%s\n", e->text);
    } else {
        printf("[%d/%d] policy %04d", e->done, e->total, e->policy);
        if (isfinite(e->mean_score))
            printf("  score %.1f", e->mean_score);
        else if (isfinite(e->mean_return))
            printf("  return %.2f", e->mean_return);
        printf("  %s", e->settings);
        if (e->failure) printf("  FAILED: %s", e->failure);
        if (e->done < e->total) printf("  %s left", uf_duration(e->seconds_left, left));
        printf("\n");
    }
    fflush(stdout);
}

typedef struct Task {  // the command of a task of an array: this one with --block and, to be added, a number
    char names[NUM_OPTIONS][32], file[4096], threads[16];
    const char** words;
} Task;

static bool make_task(Task* task, const Args* args, const char* program, int threads) {
    const char** words = calloc((size_t)(2 * NUM_OPTIONS + 2 * args->num_sets + 8), sizeof(char*));
    int n = 0;
    task->words = words;
    if (!words) return false;
    snprintf(task->file, sizeof(task->file), "%s%s", args->files[0][0] == '-' ? "./" : "", args->files[0]);
    snprintf(task->threads, sizeof(task->threads), "%d", threads);
    words[n++] = program;
    words[n++] = "sweep";
    words[n++] = task->file;
    for (int i = 0; i < args->num_sets; i++) {
        words[n++] = "--set";
        words[n++] = args->sets[i];
    }
    for (int o = 0; o < NUM_OPTIONS; o++) {
        if (!args->values[o] || o == O_SET || o == O_THREADS || o == O_JOBS || o == O_SLURM) continue;
        snprintf(task->names[o], sizeof(task->names[o]), "--%s", cli_options[o].name);
        words[n++] = task->names[o];
        if (cli_options[o].value) words[n++] = args->values[o];
    }
    words[n++] = "--threads";
    words[n++] = task->threads;
    words[n] = "--block";
    return true;
}

int cli_check_sweep(const Command* c, const Args* args) {
    const char* population = args->values[O_POPULATION];
    const bool grid = args->values[O_GRID] != NULL;
    if (population && !cli_is_whole_number(population, 1, UF_MAX_POPULATION) &&
        strcmp(population, "auto") != 0)
        return cli_misuse(c, "--population wants a whole number from 1 to %d, or auto, not '%s'",
                          UF_MAX_POPULATION, population);
    if (grid && args->values[O_NUM_POLICIES])
        return cli_misuse(c, "--grid and --num-policies contradict each other: a grid has all combinations");
    if (grid && args->values[O_SWEEP_SEED])
        return cli_misuse(c, "--grid and --sweep-seed contradict each other: nothing of a grid is drawn");
    if (args->values[O_SLURM] && args->values[O_BLOCK])
        return cli_misuse(c, "--slurm and --block contradict each other: a task submits nothing");
    return GO_ON;
}

int cli_sweep(const Args* args) {
    UfConfig* config = NULL;
    UfAxes axes = {.count = 0};
    UfSweepResult result;
    char program[4096];
    Screen screen = cli_screen(args);
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (length < 0) {
        fprintf(stderr, "error: /proc/self/exe: cannot be read: %s\n", strerror(errno));
        return FAILED;
    }
    program[length] = 0;
    UfStatus status = uf_config_create(&config);
    if (status == UF_OK) status = sweep_config(args, config, &axes);
    cli_catch_signals();
    const char* population = args->values[O_POPULATION];
    const bool together = population && strcmp(population, "1") != 0;  // then the threads are for one process
    const bool slurm = args->values[O_SLURM] != NULL;
    const int cores = uf_num_cores(), jobs = (int)cli_number(args, O_JOBS, slurm ? 0 : together ? 1 : cores);
    const int share =
        together && !slurm && cores > jobs ? cores / jobs : 1;  // tasks run on other cores than these
    Task task = {.words = NULL};
    UfSweepOptions sweep = {.config = config,
                            .axes = &axes,
                            .num_policies = cli_number(args, O_NUM_POLICIES, 20),
                            .sweep_seed = (uint64_t)cli_number(args, O_SWEEP_SEED, 0),
                            .grid = args->values[O_GRID] != NULL,
                            .retry = args->values[O_RETRY] != NULL,
                            .program = program,
                            .out = args->values[O_OUT],
                            .store = args->values[O_STORE],
                            .population = (int)cli_number(args, O_POPULATION, 1),
                            .jobs = jobs,
                            .threads = (int)cli_number(args, O_THREADS, share),
                            .is_task = args->values[O_BLOCK] != NULL,
                            .block = (int)cli_number(args, O_BLOCK, 0),
                            .stop = &cli_stop_signal,
                            .on_progress = on_policy,
                            .user = &screen};
    if (status == UF_OK && slurm && !make_task(&task, args, program, sweep.threads))
        status = UF_FAIL(UF_ERR_MEMORY, "out of memory for the command of a task");
    sweep.task = task.words;
    if (status == UF_OK) status = uf_sweep(&sweep, &result);
    free(task.words);
    uf_axes_free(&axes);
    uf_config_free(config);
    if (status == UF_ERR_STOPPED) {
        fprintf(stderr, "%s; the same command goes on\n", uf_error());
        return 128 + cli_stop_signal;
    }
    if (status != UF_OK) return cli_failed();
    if (sweep.is_task) return DONE;
    printf("%d policies, %d failed\nresults           %s\n", result.num_policies, result.num_failed,
           result.store);
    const bool none = result.num_failed == result.num_policies;
    const int shown = args->values[O_PROTOCOL] && !none ? protocol_of_sweep(args, &result) : DONE;
    if (!result.num_failed) return shown;
    fprintf(stderr, "error: %d of %d policies failed; why: unifloral results %s --where status=failed\n",
            result.num_failed, result.num_policies, result.store);
    return FAILED;
}

// ---- results ----

static int import_results(const Args* args) {
    UfStore* store;
    UfImportCounts counts = {0};
    UfStatus status = UF_OK;
    if (uf_store_open(&store, args->files[0], true) != UF_OK) return cli_failed();
    args->files[0] = args->values[O_IMPORT];  // the paths: this one and those after the store
    status = uf_results_import(store, args->files, args->num_files, &counts);
    uf_store_close(store);
    printf("%d results stored, %d of them failed; %d refused\n", counts.num_stored, counts.num_failed,
           counts.num_refused);
    return status == UF_OK ? DONE : cli_failed();
}

static int show_results(const Args* args, const UfStoreRows* rows) {
    char* text = NULL;
    int count;
    if (args->values[O_CSV]) {
        if (uf_results_csv(rows, args->values[O_CSV]) != UF_OK) return cli_failed();
        printf("wrote %s: %d policies\n", args->values[O_CSV], rows->count);
    }
    if (args->values[O_NPZ]) {
        if (uf_results_npz(rows, args->values[O_NPZ], &count) != UF_OK) return cli_failed();
        printf("wrote %d files to %s; %d policies have no returns\n", count, args->values[O_NPZ],
               rows->count - count);
    }
    if (args->values[O_CSV] || args->values[O_NPZ]) return DONE;
    const UfStatus status = uf_results_table(rows, &text);
    return cli_print(status, text);
}

int cli_check_results(const Command* c, const Args* args) {
    if (args->num_files < 2 || args->values[O_IMPORT]) return GO_ON;
    return cli_misuse(c, "'%s' is one argument too many; --import PATH... puts results into a store",
                      args->files[1]);
}

int cli_results(const Args* args) {
    UfStore* store;
    UfStoreRows rows;
    const char* path = args->files[0];
    char in_folder[UF_PATH_BYTES];
    if (uf_has_file(path, "store.sqlite") &&
        snprintf(in_folder, sizeof in_folder, "%s/store.sqlite", path) < (int)sizeof in_folder)
        path = args->files[0] = in_folder;  // the folder of a sweep
    int imported = args->values[O_IMPORT] ? import_results(args) : DONE;
    if (args->values[O_IMPORT] && !args->values[O_CSV] && !args->values[O_NPZ] && !args->num_wheres)
        return imported;
    if (uf_store_open(&store, path, false) != UF_OK) return cli_failed();
    UfStatus status = uf_store_rows(store, args->wheres, args->num_wheres, &rows);
    uf_store_close(store);
    if (status != UF_OK) return cli_failed();
    int shown = FAILED;
    if (rows.count)
        shown = show_results(args, &rows);
    else
        fprintf(stderr, "error: %s: holds no policy%s\n", path,
                args->num_wheres ? " for which all of --where holds"
                                 : " yet; unifloral sweep or --import puts some in");
    uf_store_rows_free(&rows);
    return imported == DONE ? shown : imported;
}
