// main.c: the command line. A table of commands and a table of options; each command is one function.
//
// Exit status: 0 done; 1 refused or failed, one sentence on standard error; 2 misuse of the command line; 128
// + signal when stopped. All printing of the project happens here.
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>  // terminal width
#include <sys/stat.h>
#include <unistd.h>

#include "core/agent.h"
#include "core/bench.h"
#include "core/collect.h"
#include "core/config.h"
#include "core/dataset.h"
#include "core/dynamics.h"
#include "core/dynamics_run.h"
#include "core/envs.h"
#include "core/fqe.h"
#include "core/grid_play.h"
#include "core/grid_render.h"
#include "core/grid_table.h"
#include "core/grid_tiles.h"  // NX_MAX_TILE_SIZE
#include "core/h5.h"          // and <hdf5.h>
#include "core/hades_run.h"
#include "core/online.h"
#include "core/plot_runs.h"
#include "core/ppo_run.h"
#include "core/protocol.h"
#include "core/render.h"
#include "core/report.h"
#include "core/results.h"
#include "core/returns.h"
#include "core/run.h"
#include "core/search_sweep.h"
#include "core/sweep.h"
#include "core/synth.h"
#include "core/synth_draw.h"
#include "core/synth_rate.h"
#include "core/synth_run.h"
#include "core/verify.h"

enum { DONE = 0, FAILED = 1, MISUSE = 2 };

// ---- options ----

enum Option {
    O_SET,
    O_SEED,
    O_OUT,
    O_RESUME,
    O_THREADS,
    O_DATASET,
    O_QUIET,
    O_ENV,
    O_EPISODES,
    O_WORKERS,
    O_JSON,
    O_POLICY,
    O_STEPS,
    O_CONFIG,
    O_OBS_DIM,
    O_ACTION_DIM,
    O_POPULATION,
    O_WINDOWS,
    O_ROLLOUTS,
    O_MIX,
    O_MEAN,
    O_SAMPLE,
    O_NOISE,
    O_NEXT_OBSERVATIONS,
    O_START_STEPS,
    O_MEDIUM_SCORE,
    O_DATASETS,
    O_DATASET_STEPS,
    O_DYNAMICS,
    O_PPO,
    O_CSV,
    O_EPISODE,
    O_WIDTH,
    O_HEIGHT,
    O_FRAMES,
    O_SUBSAMPLE,
    O_MAX_PULLS,
    O_TRIALS,
    O_BOOTSTRAPS,
    O_UCB_ALPHA,
    O_CONFIDENCE,
    O_NUM_POLICIES,
    O_SWEEP_SEED,
    O_GRID,
    O_RETRY,
    O_STORE,
    O_JOBS,
    O_WHERE,
    O_NPZ,
    O_IMPORT,
    O_DEVICE,
    O_PRECISION,
    O_PROTOCOL,
    O_SLURM,
    O_BLOCK,
    O_BY,
    O_METRIC,
    O_X,
    O_BAND,
    O_SMOOTH,
    O_FINAL,
    O_NUM_UPDATES,
    O_GAMMA,
    O_ENVS,
    O_OBSERVATION,
    O_KEYS,
    O_TILE_SIZE,
    O_FIRST_PERSON,
    O_INITS,
    O_CONTROLS,
    O_APART,
    O_AGENTS,
    O_ALGORITHMS,
    O_EACH,
    O_CHECKPOINT,
    O_HIDDEN,
    O_RETURN_TEMPERATURE,
    O_INIT_FROM,
    NUM_OPTIONS,
};

typedef struct OptionRow {
    const char *name, *value, *help;  // value NULL: a switch
    int64_t low, high;                // high > 0: a whole number in this range
} OptionRow;

static const OptionRow options[NUM_OPTIONS] = {
    [O_SET] = {"set", "NAME=VALUE", "set one hyperparameter; may be repeated", 0, 0},
    [O_SEED] = {"seed", "N", "seed of everything random", 0, 4294967295},
    [O_OUT] = {"out", "PATH", "where the result goes", 0, 0},
    [O_RESUME] = {"resume", "DIR", "go on with the run in DIR", 0, 0},
    [O_THREADS] = {"threads", "N", "threads; 0: all cores. Results do not depend on it", 0, 1024},
    [O_DATASET] = {"dataset", "FILE", "HDF5 file to train on, or to evaluate on (fqe)", 0, 0},
    [O_QUIET] = {"quiet", NULL, "no progress", 0, 0},
    [O_ENV] = {"env", "NAME", "environment", 0, 0},
    [O_EPISODES] = {"episodes", "N", "episodes (default 100)", 1, 10000000},
    [O_WORKERS] = {"workers", "N", "episodes side by side on a thread (default 8)", 1, 4096},
    [O_JSON] = {"json", NULL, "one line of JSON", 0, 0},
    [O_POLICY] = {"policy", "POLICY",
                  "random, medium, expert, replay, or a checkpoint (a file or a run folder)", 0, 0},
    [O_STEPS] = {"steps", "N",
                 "environment steps, or of a window of bench: updates (default 20, on a device 200), "
                 "rollouts (1), with --env steps "
                 "(1000); synthenv make: of the optimiser (10000)",
                 1, INT32_MAX},
    [O_CONFIG] = {"config", "FILE", "JSON configuration", 0, 0},
    [O_OBS_DIM] = {"obs-dim", "N", "observation size (default 17)", 1, 1000000},
    [O_ACTION_DIM] = {"action-dim", "N", "action size (default 6)", 1, 100000},
    [O_POPULATION] = {"population", "N",
                      "members that train together in one process (default 1); sweep: or auto", 0, 0},
    [O_WINDOWS] = {"windows", "N", "timed windows (default 7, with --env 101, of gridworlds 21)", 5, 100000},
    [O_ROLLOUTS] = {"rollouts", NULL, "time rollouts in a random world model instead of updates", 0, 0},
    [O_MIX] = {"mix", "P:SHARE,...", "policies and their shares of the steps, as random:0.5,runs/x@mean:0.5",
               0, 0},
    [O_MEAN] = {"mean", NULL, "checkpoints act at their mean (POLICY@mean: this one does)", 0, 0},
    [O_SAMPLE] = {"sample", NULL, "stochastic checkpoints are sampled (the default)", 0, 0},
    [O_NOISE] = {"noise", "SIGMA", "Gaussian exploration on top, clipped", 0, 0},
    [O_NEXT_OBSERVATIONS] = {"next-observations", NULL, "store next_observations", 0, 0},
    [O_START_STEPS] = {"start-steps", "N", "as --set start_steps=N", 0, 0},
    [O_DEVICE] = {"device", "NAME", "cpu, cuda or auto: where updates are computed, or gridworlds step", 0,
                  0},
    [O_PRECISION] = {"precision", "NAME", "tf32, bf16 or fp32: of products on a CUDA device", 0, 0},
    [O_MEDIUM_SCORE] = {"medium-score", "X", "as --set medium_score=X", 0, 0},
    [O_DATASETS] = {"datasets", "DIR",
                    "make medium-replay, medium, expert and medium-expert files there; those there are kept",
                    0, 0},
    [O_DATASET_STEPS] = {"dataset-steps", "N",
                         "steps of medium and expert, half of medium-expert (default 100000)", 1, INT32_MAX},
    [O_PPO] = {"ppo", NULL, "time iterations of PPO in --env, of --population agents", 0, 0},
    [O_DYNAMICS] = {"dynamics", NULL, "time the world model's training", 0, 0},
    [O_CSV] = {"csv", "FILE", "the same as a table, for spreadsheets", 0, 0},
    [O_EPISODE] = {"episode", "N", "which episode of the seed, as eval counts them (default 0)", 0,
                   INT32_MAX},
    [O_WIDTH] = {"width", "N", "pixels of a frame (default 400)", UF_RENDER_MIN_SIDE, UF_RENDER_MAX_SIDE},
    [O_HEIGHT] = {"height", "N", "pixels of a frame (default 300)", UF_RENDER_MIN_SIDE, UF_RENDER_MAX_SIDE},
    [O_FRAMES] = {"frames", "N",
                  "frames at most (default: 12 in a .png, in a .gif as many as 25 a second need)", 1, 10000},
    [O_SUBSAMPLE] = {"subsample", "N", "policies that a trial chooses among (default 8)", 1, 1000000},
    [O_MAX_PULLS] = {"max-pulls", "N", "online evaluations of a trial (default 200)", 1, 100000},
    [O_TRIALS] = {"trials", "N", "trials of a curve (default 1000)", 2, 1000000},
    [O_BOOTSTRAPS] = {"bootstraps", "N", "replicates behind an interval; 0: no intervals (default 2000)", 0,
                      100000},
    [O_UCB_ALPHA] = {"ucb-alpha", "X", "weight of exploration (default 2)", 0, 0},
    [O_CONFIDENCE] = {"confidence", "X", "of the intervals, between 0 and 1 (default 0.95)", 0, 0},
    [O_NUM_POLICIES] = {"num-policies", "N", "policies to draw (default 20)", 1, 100000},
    [O_SWEEP_SEED] = {"sweep-seed", "N", "seed of what is drawn (default 0)", 0, 4294967295},
    [O_GRID] = {"grid", NULL, "every combination of the axes once", 0, 0},
    [O_RETRY] = {"retry", NULL, "train those again that failed before", 0, 0},
    [O_STORE] = {"store", "FILE", "result store (default store.sqlite in the folder)", 0, 0},
    [O_JOBS] = {"jobs", "N", "processes side by side (default: all cores, with --population 1)", 1, 1024},
    [O_WHERE] = {"where", "NAME=VALUE",
                 "only policies of this algorithm, dataset, seed, status or hyperparameter; may be repeated",
                 0, 0},
    [O_PROTOCOL] = {"protocol", NULL,
                    "then what `unifloral protocol` says of the store, with its figure, in the folder", 0, 0},
    [O_NPZ] = {"npz", "FOLDER", "a .npz file a policy there, in the layout of the Unifloral reference", 0, 0},
    [O_IMPORT] = {"import", "PATH...", "put run folders and .npz files of the reference into the store", 0,
                  0},
    [O_SLURM] = {"slurm", NULL, "as an array of Slurm; sbatch_options are its options", 0, 0},
    [O_BLOCK] = {"block", "N", "what a task of that array does: block N of its plan alone", 0, 99999},
    [O_BY] = {"by", "NAME", "a line for each value of this hyperparameter, not only for each algorithm", 0,
              0},
    [O_METRIC] =
        {"metric", "NAME",
         "column of log.jsonl (default: evaluation score, or return where there are no scores; of world "
         "models validation)",
         0, 0},
    [O_X] =
        {"x", "AXIS",
         "updates (default; epochs of world models) or seconds. Lines of runs that were logged at different "
         "places are interpolated, as far as all runs of a group go, and a note says so",
         0, 0},
    [O_BAND] =
        {"band", "KIND",
         "over the runs of a group: stderr (default), std, minmax, or ci (Student's interval of the mean)", 0,
         0},
    [O_SMOOTH] = {"smooth", "N", "each point is the mean of itself and the N - 1 before it, run by run", 1,
                  100000},
    [O_FINAL] = {"final", NULL,
                 "final scores: inter-quartile mean over runs with its bootstrap interval, and each run", 0,
                 0},
    [O_NUM_UPDATES] = {"num-updates", "N", "as --set num_updates=N (default 20000)", 1, INT64_MAX},
    [O_GAMMA] = {"gamma", "X", "as --set gamma=X (default 0.99)", 0, 0},
    [O_ENVS] = {"envs", "N", "gridworlds side by side (default 2048, on a device 1048576)", 1, INT32_MAX},
    [O_OBSERVATION] = {"observation", "NAME",
                       "of gridworlds: first_person (default), full, one_hot, symbolic, flat, rgb, "
                       "rgb_first_person, categorical, categorical_first_person, none",
                       0, 0},
    [O_KEYS] = {"keys", "KEYS", "play these, not a terminal's, and print the last picture", 0, 0},
    [O_TILE_SIZE] = {"tile-size", "N",
                     "pixels of a gridworld's cell (default 32, on a sheet of several what fits)", 1,
                     NX_MAX_TILE_SIZE},
    [O_FIRST_PERSON] = {"first-person", NULL, "a gridworld as its agent sees it, not the map", 0, 0},
    [O_INITS] = {"inits", "N", "policies, each with initial weights of its own (default 20)", 1, 100000},
    [O_CONTROLS] =
        {"controls", NULL,
         "also with all states 0, and with labels dealt to other states; or agents in the real environment",
         0, 0},
    [O_APART] = {"apart", NULL, "each task has observations and actions of its own, side by side", 0, 0},
    [O_AGENTS] = {"agents", "N", "agents of each algorithm (default 12)", 1, 100000},
    [O_ALGORITHMS] = {"algorithms", "LIST",
                      "of ppo, sac, dqn, ddpg, td3, with commas (default: all that fit)", 0, 0},
    [O_EACH] = {"each", NULL, "a line for each agent", 0, 0},
    [O_CHECKPOINT] =
        {"checkpoint", "FILE",
         "checkpoint or run folder of `unifloral train` whose Q the rewards are (default: the dataset's "
         "behaviour)",
         0, 0},
    [O_HIDDEN] = {"width", "N", "hidden units (default 64, or twice an observation where that is more)", 1,
                  2048},
    [O_RETURN_TEMPERATURE] =
        {"return-temperature", "X",
         "behaviour: rows weigh exp(their episode's return, standardised, over X) (default 0: alike)", 0, 0},
    [O_INIT_FROM] = {"init-from", "FILE", "as --set init_from=FILE", 0, 0},
};

typedef struct Args {
    const char* values[NUM_OPTIONS];  // "" for a switch that is on; NULL: not given
    const char** sets;
    const char** files;
    const char** wheres;
    int num_sets, num_files, num_wheres;
    bool online;
} Args;

static int64_t number(const Args* args, enum Option option, int64_t otherwise) {
    return args->values[option] ? strtoll(args->values[option], NULL, 10)
                                : otherwise;  // the parser checked it
}

static int failed(void) {
    fprintf(stderr, "error: %s\n", uf_error());
    return FAILED;
}

// ---- progress ----

static volatile sig_atomic_t stop_signal;

static void on_signal(int signal) { stop_signal = signal; }

// The first signal asks to finish the update and save; SA_RESETHAND makes the second one immediate.
static void catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND | SA_RESTART};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
}

typedef struct Screen {
    bool terminal, quiet;
} Screen;

static double metric(const UfRunEvent* e, const char* name) {
    for (int i = 0; i < e->num_metrics; i++) {
        if (!strcmp(e->names[i], name)) return e->values[i];
    }
    return NAN;
}

static size_t add_value(char* line, size_t length, size_t bytes, const char* name, const char* format,
                        double value) {
    if (!isfinite(value) || length >= bytes) return length;
    length += (size_t)snprintf(line + length, bytes - length, "  %s ", name);
    return length < bytes ? length + (size_t)snprintf(line + length, bytes - length, format, value) : length;
}

static size_t describe(const UfRunEvent* e, char* line, size_t bytes) {
    char left[32];
    size_t n = (size_t)snprintf(line, bytes, "%3.0f%%  %.0f updates/s",
                                100.0 * (double)e->update / (double)e->num_updates, e->updates_per_second);
    if (e->population > 1) n += (size_t)snprintf(line + n, bytes - n, " of %d", e->population);
    n += (size_t)snprintf(line + n, bytes - n, "  %s left", uf_duration(e->seconds_left, left));
    n = add_value(line, n, bytes, "epoch", "%.0f", metric(e, "epoch"));
    n = add_value(line, n, bytes, "loss", "%.4g", metric(e, "loss"));
    n = add_value(line, n, bytes, "validation", "%.4g", metric(e, "validation"));
    n = add_value(line, n, bytes, "critic", "%.3g", metric(e, "critic_loss"));
    n = add_value(line, n, bytes, "actor", "%.3g", metric(e, "actor_loss"));
    if (isfinite(e->eval_score)) return add_value(line, n, bytes, "score", "%.1f", e->eval_score);
    return add_value(line, n, bytes, "return", "%.1f", e->eval_return);
}

// A terminal has one line that is redrawn; elsewhere each interval is a plain line.
static void on_progress(void* user, const UfRunEvent* e) {
    const Screen* screen = user;
    char line[512];
    if (e->kind == UF_RUN_NOTE) {
        fprintf(stderr, "%snote: %s\n", screen->terminal ? "\r\033[K" : "", e->text);
    } else if (!screen->quiet && screen->terminal) {
        struct winsize size = {.ws_col = 80};
        ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
        int width = size.ws_col > 20 ? size.ws_col - 1 : 79, length = (int)describe(e, line, sizeof(line));
        int bar = width - length - 3;
        bar = bar < 0 ? 0 : bar > 30 ? 30 : bar;
        int full = e->num_updates ? (int)(bar * e->update / e->num_updates) : 0;
        fputs("\r\033[K", stderr);
        if (bar >= 5) {
            fputc('[', stderr);
            for (int i = 0; i < bar; i++) fputc(i < full ? '=' : ' ', stderr);
            fputs("] ", stderr);
        }
        fprintf(stderr, "%.*s", width, line);
        fflush(stderr);
    } else if (!screen->quiet && e->kind == UF_RUN_INTERVAL) {
        describe(e, line, sizeof(line));
        fprintf(stderr, "update %" PRId64 "  %s\n", e->update, line);
    }
}

// ---- train ----

// `unifloral online` is `unifloral train` with online true, and counts environment steps.
static UfStatus online_config(const Args* args, UfConfig* c) {
    const int64_t steps = number(args, O_STEPS, 0);
    c->online = true;
    if (steps && steps <= c->start_steps)
        return UF_FAIL(UF_ERR_CONFIG, "--steps %" PRId64 " leaves nothing after start_steps %" PRId64, steps,
                       c->start_steps);
    if (steps) c->num_updates = (steps - c->start_steps) * c->updates_per_step;
    return UF_OK;
}

static UfStatus set_by_name(const Args* args, UfConfig* config) {
    for (int i = 0; i < args->num_sets; i++) {
        char name[256];
        const char* equals = strchr(args->sets[i], '=');
        snprintf(name, sizeof(name), "%.*s", (int)(equals - args->sets[i]), args->sets[i]);
        UF_TRY(uf_config_set(config, name, equals + 1));
    }
    return UF_OK;
}

// Nullable: file
static UfStatus train_config(const Args* args, const char* file, UfConfig** out) {
    const char* resume = args->values[O_RESUME];
    char path[2048];
    *out = NULL;
    if (resume) snprintf(path, sizeof(path), "%s/config.json", resume);
    if (resume && (access(path, F_OK) == 0 || !file))
        UF_TRY(uf_run_config(out, resume));
    else
        UF_TRY(uf_config_create(out));
    if (file) UF_TRY(uf_config_load(*out, file));
    UF_TRY(set_by_name(args, *out));
    static const struct {
        enum Option option;
        const char* name;
    } sugar[] = {{O_SEED, "seed"},     {O_THREADS, "num_threads"},     {O_DATASET, "dataset"},
                 {O_ENV, "env"},       {O_START_STEPS, "start_steps"}, {O_MEDIUM_SCORE, "medium_score"},
                 {O_DEVICE, "device"}, {O_PRECISION, "precision"},     {O_INIT_FROM, "init_from"}};
    for (size_t i = 0; i < sizeof(sugar) / sizeof(sugar[0]); i++) {
        const char* value = args->values[sugar[i].option];
        if (value) UF_TRY(uf_config_set(*out, sugar[i].name, value));
    }
    UfStatus status = args->online ? online_config(args, *out) : UF_OK;
    if (status == UF_OK) status = uf_config_check(*out);
    if (status == UF_OK) return UF_OK;
    char label[1200];
    snprintf(label, sizeof(label), "%s%s", file ? file : resume, args->num_sets ? " with --set" : "");
    return uf_fail_prefix(status, label);
}

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
                                 .num_steps = number(args, O_DATASET_STEPS, 100000),
                                 .num_threads = (int)number(args, O_THREADS, 0)};
    char* report;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGUSR1, SIG_DFL);
    if (uf_online_datasets(&datasets, &report) != UF_OK) return failed();
    printf("%s", report);
    uf_free(report);
    return DONE;
}

// ---- several runs in one process ----

// The folder of a configuration of several: named after it, in --out. One that is there goes on.
static UfStatus member_of(const Args* args, const char* file, UfRunMember* m, char folder[UF_FOLDER_BYTES]) {
    char stem[UF_STRING_BYTES];
    UfConfig* config;
    UfStatus status = train_config(args, file, &config);
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
    Screen screen = {.terminal = isatty(STDERR_FILENO), .quiet = args->values[O_QUIET] != NULL};
    if (members_of(args, members, folders) != UF_OK) return failed();
    catch_signals();
    const UfRunOptions run = {.stop = &stop_signal, .on_progress = on_progress, .user = &screen};
    const UfStatus status = uf_run_train_members(&run, members, args->num_files);
    bool told = false;
    if (screen.terminal && !screen.quiet) fputs("\r\033[K", stderr);
    for (int i = 0; i < args->num_files; i++) {
        print_member(&members[i], folders[i]);
        told = told || members[i].status != UF_OK;
    }
    if (status == UF_ERR_STOPPED) {
        fprintf(stderr, "stopped; the same command goes on\n");
        return 128 + stop_signal;
    }
    return status == UF_OK ? DONE : told ? FAILED : failed();
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

static int command_train(const Args* args) {
    UfConfig* config = NULL;
    UfRunResult result;
    Screen screen = {.terminal = isatty(STDERR_FILENO), .quiet = args->values[O_QUIET] != NULL};
    if (args->num_files > 1) return train_several(args);
    if (train_config(args, args->num_files ? args->files[0] : NULL, &config) != UF_OK) {
        uf_config_free(config);
        return failed();
    }
    catch_signals();
    UfRunOptions run = {.config = config,
                        .out = args->values[O_OUT],
                        .resume = args->values[O_RESUME],
                        .stop = &stop_signal,
                        .on_progress = on_progress,
                        .user = &screen};
    UfStatus status = uf_run_train(&run, &result);
    uf_config_free(config);
    if (screen.terminal && !screen.quiet) fputs("\r\033[K", stderr);
    if (status == UF_ERR_STOPPED) {
        fprintf(stderr, "stopped at update %" PRId64 "; go on with: unifloral %s --resume %s\n",
                result.update, args->online ? "online" : "train", result.folder);
        return 128 + stop_signal;
    }
    if (status != UF_OK) return failed();
    print_result(&result);
    return args->values[O_DATASETS] ? make_datasets(args, result.folder) : DONE;
}

static int command_online(const Args* args) {
    Args online = *args;
    online.online = true;
    return command_train(&online);
}

// ---- ppo ----

static void describe_ppo(const UfRunEvent* e, char* line, size_t bytes) {
    char left[32];
    size_t n = (size_t)snprintf(line, bytes, "%3.0f%%  %.0f steps/s",
                                100.0 * (double)e->update / (double)e->num_updates, e->updates_per_second);
    if (e->population > 1) n += (size_t)snprintf(line + n, bytes - n, " of %d", e->population);
    n += (size_t)snprintf(line + n, bytes - n, "  %s left", uf_duration(e->seconds_left, left));
    n = add_value(line, n, bytes, "return", "%.3g", metric(e, "return"));
    n = add_value(line, n, bytes, "length", "%.1f", metric(e, "length"));
    n = add_value(line, n, bytes, "entropy", "%.2f", metric(e, "entropy"));
    add_value(line, n, bytes, "evaluation", "%.3g", e->eval_return);
}

static void on_ppo_progress(void* user, const UfRunEvent* e) {
    const Screen* screen = user;
    char line[512];
    if (e->kind == UF_RUN_NOTE) {
        fprintf(stderr, "%snote: %s\n", screen->terminal ? "\r\033[K" : "", e->text);
        return;
    }
    if (screen->quiet || (!screen->terminal && e->kind != UF_RUN_INTERVAL)) return;
    describe_ppo(e, line, sizeof(line));
    if (screen->terminal)
        fprintf(stderr, "\r\033[K%s", line);
    else
        fprintf(stderr, "step %" PRId64 "  %s\n", e->update, line);
    fflush(stderr);
}

// An option that stands for --set of one hyperparameter.
typedef struct Sugar {
    enum Option option;
    const char* name;
} Sugar;

// default < file < --set and what stands for it, over what config holds.
static UfStatus configure(const Args* args, const UfTable* table, const Sugar* sugar, size_t num_sugar,
                          void* config) {
    const char* file = args->values[O_CONFIG];
    if (file) UF_TRY(uf_table_load(table, config, file));
    for (int i = 0; i < args->num_sets; i++) {
        char name[256];
        const char* equals = strchr(args->sets[i], '=');
        snprintf(name, sizeof(name), "%.*s", (int)(equals - args->sets[i]), args->sets[i]);
        UF_TRY(uf_table_set(table, config, name, equals + 1));
    }
    for (size_t i = 0; i < num_sugar; i++) {
        const char* value = args->values[sugar[i].option];
        if (value) UF_TRY(uf_table_set(table, config, sugar[i].name, value));
    }
    return UF_OK;
}

// The same, and lists are axes.
static UfStatus configure_axes(const Args* args, const UfTable* table, const Sugar* sugar, size_t num_sugar,
                               void* config, UfAxes* axes) {
    const char* file = args->values[O_CONFIG];
    if (file) UF_TRY(uf_table_load_axes(table, config, axes, file));
    for (int i = 0; i < args->num_sets; i++) {
        char name[256];
        const char* equals = strchr(args->sets[i], '=');
        snprintf(name, sizeof(name), "%.*s", (int)(equals - args->sets[i]), args->sets[i]);
        UF_TRY(uf_table_set_axis(table, config, axes, name, equals + 1));
    }
    for (size_t i = 0; i < num_sugar; i++) {
        const char* value = args->values[sugar[i].option];
        if (value) UF_TRY(uf_table_set_axis(table, config, axes, sugar[i].name, value));
    }
    return UF_OK;
}

// Puts before the sentence of a check where the configuration is from.
static UfStatus checked(const Args* args, UfStatus status, const char* command) {
    const char *file = args->values[O_CONFIG], *resume = args->values[O_RESUME];
    char label[1200];
    if (status == UF_OK) return UF_OK;
    snprintf(label, sizeof(label), "%s%s",
             file     ? file
             : resume ? resume
                      : command,
             args->num_sets ? " with --set" : "");
    return uf_fail_prefix(status, label);
}

// Of a resumed run its own configuration comes first.
static UfStatus ppo_config(const Args* args, UfPpoConfig** out) {
    static const Sugar sugar[] = {
        {O_SEED, "seed"},          {O_THREADS, "num_threads"},   {O_ENV, "env"},
        {O_STEPS, "budget"},       {O_POPULATION, "population"}, {O_DEVICE, "device"},
        {O_PRECISION, "precision"}};
    *out = NULL;
    UF_TRY(args->values[O_RESUME] ? uf_ppo_run_config(out, args->values[O_RESUME])
                                  : uf_table_create(&uf_ppo_table, (void**)out));
    UF_TRY(configure(args, &uf_ppo_table, sugar, sizeof(sugar) / sizeof(sugar[0]), *out));
    return checked(args, uf_ppo_config_check(*out), "ppo");
}

static int command_ppo(const Args* args) {
    UfPpoConfig* config;
    UfPpoResult result;
    Screen screen = {.terminal = isatty(STDERR_FILENO), .quiet = args->values[O_QUIET] != NULL};
    if (ppo_config(args, &config) != UF_OK) {
        uf_free(config);
        return failed();
    }
    catch_signals();
    const UfPpoRunOptions run = {.config = config,
                                 .out = args->values[O_OUT],
                                 .resume = args->values[O_RESUME],
                                 .stop = &stop_signal,
                                 .on_progress = on_ppo_progress,
                                 .user = &screen};
    const UfStatus status = uf_ppo_run(&run, &result);
    uf_free(config);
    if (screen.terminal && !screen.quiet) fputs("\r\033[K", stderr);
    if (status == UF_ERR_STOPPED) {
        fprintf(stderr, "stopped after iteration %" PRId64 "; go on with: unifloral ppo --resume %s\n",
                result.iteration, result.folder);
        return 128 + stop_signal;
    }
    if (status != UF_OK) return failed();
    printf("%s", result.report);
    uf_free(result.report);
    return DONE;
}

// ---- searches on an evolution strategy ----

// How a kind of search is asked for: `unifloral <command>`, and `sweep` of it.
typedef struct SearchCommand {
    const UfSearchKind* kind;
    const char* command;
    const Sugar* sugar;
    size_t num_sugar;
} SearchCommand;

static void on_search_progress(void* user, const UfRunEvent* e) {
    const Screen* screen = user;
    char line[256], left[32];
    if (e->kind == UF_RUN_NOTE) {
        fprintf(stderr, "%snote: %s\n", screen->terminal ? "\r\033[K" : "", e->text);
        return;
    }
    if (screen->quiet || (!screen->terminal && e->kind != UF_RUN_INTERVAL)) return;
    size_t n = (size_t)snprintf(line, sizeof(line), "%3.0f%%  %.2f generations/s  %s left",
                                100.0 * (double)e->update / (double)e->num_updates, e->updates_per_second,
                                uf_duration(e->seconds_left, left));
    n = add_value(line, n, sizeof(line), "mean", "%.4g", metric(e, "mean"));
    n = add_value(line, n, sizeof(line), "best", "%.4g", metric(e, "best"));
    add_value(line, n, sizeof(line), "best ever", "%.4g", metric(e, "best_ever"));
    if (screen->terminal)
        fprintf(stderr, "\r\033[K%s", line);
    else
        fprintf(stderr, "generation %" PRId64 "  %s\n", e->update, line);
    fflush(stderr);
}

// Free *out with uf_free in any case.
static UfStatus search_config(const Args* args, const SearchCommand* c, void** out) {
    *out = NULL;
    UF_TRY(args->values[O_RESUME] ? uf_search_run_config(c->kind, out, args->values[O_RESUME])
                                  : uf_table_create(c->kind->table, out));
    UF_TRY(configure(args, c->kind->table, c->sugar, c->num_sugar, *out));
    return checked(args, c->kind->check(*out), c->command);
}

// Exit status of a search that ended like this; `how` to go on, if it was stopped.
static int search_ended(UfStatus status, const Screen* screen, const UfRanks* ranks, const char* how,
                        char* report) {
    const bool speaks = !ranks || ranks->rank == 0;
    int result = DONE;
    if (screen->terminal && !screen->quiet && speaks) fputs("\r\033[K", stderr);
    if (status == UF_ERR_STOPPED) {
        if (speaks) fprintf(stderr, "stopped%s\n", how);
        result = 128 + (stop_signal ? stop_signal : SIGTERM);
    } else if (status != UF_OK) {
        result = failed();
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
    Screen screen = {.terminal = isatty(STDERR_FILENO), .quiet = args->values[O_QUIET] != NULL};
    if (search_config(args, c, &config) != UF_OK) {
        uf_free(config);
        return failed();
    }
    catch_signals();
    const UfSearchRunOptions run = {.kind = c->kind,
                                    .config = config,
                                    .out = args->values[O_OUT],
                                    .resume = args->values[O_RESUME],
                                    .ranks = ranks,
                                    .stop = &stop_signal,
                                    .on_progress = on_search_progress,
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
    Screen screen = {.terminal = isatty(STDERR_FILENO), .quiet = args->values[O_QUIET] != NULL};
    UfStatus status = uf_table_create(c->kind->table, &config);
    if (status == UF_OK) status = configure_axes(args, c->kind->table, c->sugar, c->num_sugar, config, &axes);
    catch_signals();
    const UfSearchSweepOptions sweep = {.kind = c->kind,
                                        .config = config,
                                        .axes = &axes,
                                        .out = args->values[O_OUT],
                                        .ranks = ranks,
                                        .stop = &stop_signal,
                                        .on_progress = on_search_progress,
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
    if (uf_mpi_join(&ranks) != UF_OK) return failed();
    const int result = search(args, c, ranks);
    // One that failed alone just ends: to leave would be to wait for the others.
    if (result != FAILED) uf_mpi_leave(ranks);
    return result;
}

// ---- hades ----

// Prints a text, if what it is about went well, and frees it.
static int print_text(UfStatus status, UfText* text) {
    char sentence[1024], *whole = NULL;
    snprintf(sentence, sizeof(sentence), "%s", uf_error());
    const UfStatus finished = uf_text_finish(text, &whole);
    if (status != UF_OK) uf_fail_(status, "%s", sentence);
    if (status == UF_OK) status = finished;
    if (status == UF_OK) printf("%s", whole);
    uf_free(whole);
    return status == UF_OK ? DONE : failed();
}

static const Sugar hades_sugar[] = {
    {O_SEED, "seed"}, {O_THREADS, "num_threads"}, {O_ENV, "env"}, {O_DEVICE, "device"}};
enum { NUM_HADES_SUGAR = sizeof(hades_sugar) / sizeof(hades_sugar[0]) };
static const SearchCommand hades_search = {&hd_kind, "hades", hades_sugar, NUM_HADES_SUGAR};

static int command_hades(const Args* args) { return with_ranks(args, &hades_search, run_search); }
static int command_hades_sweep(const Args* args) { return with_ranks(args, &hades_search, sweep_search); }

static int command_hades_show(const Args* args) {
    const char* out = args->values[O_OUT];
    UfDistilled* data;
    char* text = NULL;
    if (uf_distilled_read(&data, args->files[0]) != UF_OK) return failed();
    UfStatus status = uf_distilled_describe(data, 12, &text);
    if (status == UF_OK && out) status = uf_distilled_show(data, out);
    uf_distilled_free(data);
    if (status != UF_OK) {
        uf_free(text);
        return failed();
    }
    printf("%s", text);
    if (out) printf("wrote %s\n", out);
    uf_free(text);
    return DONE;
}

static HdRateOptions rate_options(const Args* args, const HdConfig* config) {
    return (HdRateOptions){.config = config,
                           .task = args->values[O_ENV],
                           .num_inits = (int)number(args, O_INITS, 20),
                           .num_episodes = (int)number(args, O_EPISODES, 10),
                           .seed = number(args, O_SEED, 0)};
}

// What `hades try` and `hades vary` do with a file: config is the one that it carries.
typedef UfStatus TryFile(const Args* args, const UfDistilled* data, HdConfig* config, UfText* text);

static int try_file(const Args* args, TryFile* with) {
    UfDistilled* data;
    HdConfig* config = NULL;
    UfText text = {0};
    if (uf_distilled_read(&data, args->files[0]) != UF_OK) return failed();
    UfStatus status = hd_config_of(&config, data);
    if (status == UF_OK) status = with(args, data, config, &text);
    uf_distilled_free(data);
    hd_config_free(config);
    return print_text(status, &text);
}

static const Sugar try_sugar[] = {{O_THREADS, "num_threads"}, {O_DEVICE, "device"}};

static UfStatus try_once(const Args* args, const UfDistilled* data, HdConfig* config, UfText* text) {
    UF_TRY(configure(args, &hd_table, try_sugar, sizeof(try_sugar) / sizeof(try_sugar[0]), config));
    const HdTryOptions options = {.rate = rate_options(args, config),
                                  .controls = args->values[O_CONTROLS] != NULL};
    return hd_try(data, &options, text);
}

static int command_hades_try(const Args* args) { return try_file(args, try_once); }

// Lists say what is varied; all else in --config and --set holds throughout.
static UfStatus try_lists(const Args* args, const UfDistilled* data, HdConfig* config, UfText* text) {
    UfAxes axes = {.count = 0};
    HdConfig before = *config;
    UfStatus status = configure_axes(args, &hd_table, hades_sugar, NUM_HADES_SUGAR, config, &axes);
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

static int command_hades_vary(const Args* args) { return try_file(args, try_lists); }

static int command_hades_merge(const Args* args) {
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
    return status == UF_OK ? DONE : failed();
}

// ---- dynamics ----

static int command_dynamics(const Args* args) {
    UfConfig* config = NULL;
    UfDynamicsResult result;
    Screen screen = {.terminal = isatty(STDERR_FILENO), .quiet = args->values[O_QUIET] != NULL};
    if (train_config(args, args->values[O_CONFIG], &config) != UF_OK) {
        uf_config_free(config);
        return failed();
    }
    catch_signals();
    const UfRunOptions run = {.config = config,
                              .out = args->values[O_OUT],
                              .resume = args->values[O_RESUME],
                              .stop = &stop_signal,
                              .on_progress = on_progress,
                              .user = &screen};
    UfStatus status = uf_dynamics_run(&run, &result);
    uf_config_free(config);
    if (screen.terminal && !screen.quiet) fputs("\r\033[K", stderr);
    if (status == UF_ERR_STOPPED) {
        fprintf(stderr, "stopped after epoch %" PRId64 "; go on with: unifloral dynamics --resume %s\n",
                result.epoch, result.folder);
        return 128 + stop_signal;
    }
    if (status != UF_OK) return failed();
    printf("%s", result.report);
    uf_free(result.report);
    return DONE;
}

// ---- sweep, results, protocol ----

static void print_notes(const char* notes) {
    for (const char *line = notes, *end; line && (end = strchr(line, '\n')); line = end + 1)
        fprintf(stderr, "note: %.*s\n", (int)(end - line), line);
}

static int run_protocol(const UfProtocolRun* run) {
    UfProtocolReport report;
    const UfStatus status = uf_protocol_run(run, &report);
    print_notes(report.notes);
    if (report.text) printf("%s", report.text);
    if (status == UF_OK)
        printf("\nwrote %s: curves.csv, summary.csv, aggregates.csv, protocol.json%s\n", run->folder,
               report.has_figures ? ", protocol.svg, .png, .pdf" : "");
    uf_protocol_report_free(&report);
    return status == UF_OK ? DONE : failed();
}

// What the store holds, of other sweeps too, by the protocol's defaults.
static int protocol_of_sweep(const Args* args, const UfSweepResult* result) {
    char folder[sizeof result->folder + 16];
    const char* const sources[] = {result->store};
    snprintf(folder, sizeof folder, "%s/protocol", result->folder);
    const UfProtocolRun run = {.sources = sources,
                               .num_sources = 1,
                               .num_threads = (int)number(args, O_THREADS, 0),
                               .folder = folder,
                               .options = uf_protocol_defaults()};
    printf("\n");
    return run_protocol(&run);
}

// Lists of the file and of --set are axes.
static UfStatus sweep_config(const Args* args, UfConfig* config, UfAxes* axes) {
    UF_TRY(uf_config_load_axes(config, axes, args->files[0]));
    for (int i = 0; i < args->num_sets; i++) {
        char name[256];
        const char* equals = strchr(args->sets[i], '=');
        snprintf(name, sizeof(name), "%.*s", (int)(equals - args->sets[i]), args->sets[i]);
        UF_TRY(uf_config_set_axis(config, axes, name, equals + 1));
    }
    if (args->values[O_DATASET]) UF_TRY(uf_config_set(config, "dataset", args->values[O_DATASET]));
    if (args->values[O_ENV]) UF_TRY(uf_config_set(config, "env", args->values[O_ENV]));
    return args->values[O_SEED] ? uf_config_set_axis(config, axes, "seed", args->values[O_SEED]) : UF_OK;
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
        snprintf(task->names[o], sizeof(task->names[o]), "--%s", options[o].name);
        words[n++] = task->names[o];
        if (options[o].value) words[n++] = args->values[o];
    }
    words[n++] = "--threads";
    words[n++] = task->threads;
    words[n] = "--block";
    return true;
}

static int command_sweep(const Args* args) {
    UfConfig* config = NULL;
    UfAxes axes = {.count = 0};
    UfSweepResult result;
    char program[4096];
    Screen screen = {.quiet = args->values[O_QUIET] != NULL};
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (length < 0) {
        fprintf(stderr, "error: /proc/self/exe: cannot be read: %s\n", strerror(errno));
        return FAILED;
    }
    program[length] = 0;
    UfStatus status = uf_config_create(&config);
    if (status == UF_OK) status = sweep_config(args, config, &axes);
    catch_signals();
    const char* population = args->values[O_POPULATION];
    const bool together = population && strcmp(population, "1") != 0;  // then the threads are for one process
    const bool slurm = args->values[O_SLURM] != NULL;
    const int cores = uf_num_cores(), jobs = (int)number(args, O_JOBS, slurm ? 0 : together ? 1 : cores);
    const int share =
        together && !slurm && cores > jobs ? cores / jobs : 1;  // tasks run on other cores than these
    Task task = {.words = NULL};
    UfSweepOptions sweep = {.config = config,
                            .axes = &axes,
                            .num_policies = number(args, O_NUM_POLICIES, 20),
                            .sweep_seed = (uint64_t)number(args, O_SWEEP_SEED, 0),
                            .grid = args->values[O_GRID] != NULL,
                            .retry = args->values[O_RETRY] != NULL,
                            .program = program,
                            .out = args->values[O_OUT],
                            .store = args->values[O_STORE],
                            .population = (int)number(args, O_POPULATION, 1),
                            .jobs = jobs,
                            .threads = (int)number(args, O_THREADS, share),
                            .is_task = args->values[O_BLOCK] != NULL,
                            .block = (int)number(args, O_BLOCK, 0),
                            .stop = &stop_signal,
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
        return 128 + stop_signal;
    }
    if (status != UF_OK) return failed();
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

static int import_results(const Args* args) {
    UfStore* store;
    UfImportCounts counts = {0};
    UfStatus status = UF_OK;
    if (uf_store_open(&store, args->files[0], true) != UF_OK) return failed();
    args->files[0] = args->values[O_IMPORT];  // the paths: this one and those after the store
    status = uf_results_import(store, args->files, args->num_files, &counts);
    uf_store_close(store);
    printf("%d results stored, %d of them failed; %d refused\n", counts.num_stored, counts.num_failed,
           counts.num_refused);
    return status == UF_OK ? DONE : failed();
}

static int show_results(const Args* args, const UfStoreRows* rows) {
    char* text;
    int count;
    if (args->values[O_CSV]) {
        if (uf_results_csv(rows, args->values[O_CSV]) != UF_OK) return failed();
        printf("wrote %s: %d policies\n", args->values[O_CSV], rows->count);
    }
    if (args->values[O_NPZ]) {
        if (uf_results_npz(rows, args->values[O_NPZ], &count) != UF_OK) return failed();
        printf("wrote %d files to %s; %d policies have no returns\n", count, args->values[O_NPZ],
               rows->count - count);
    }
    if (args->values[O_CSV] || args->values[O_NPZ]) return DONE;
    if (uf_results_table(rows, &text) != UF_OK) return failed();
    printf("%s", text);
    uf_free(text);
    return DONE;
}

static int command_results(const Args* args) {
    UfStore* store;
    UfStoreRows rows;
    const char* path = args->files[0];
    int imported = args->values[O_IMPORT] ? import_results(args) : DONE;
    if (args->values[O_IMPORT] && !args->values[O_CSV] && !args->values[O_NPZ] && !args->num_wheres)
        return imported;
    if (uf_store_open(&store, path, false) != UF_OK) return failed();
    UfStatus status = uf_store_rows(store, args->wheres, args->num_wheres, &rows);
    uf_store_close(store);
    if (status != UF_OK) return failed();
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

// ---- eval ----

static void print_number(const char* name, double value) {
    printf(isfinite(value) ? ", \"%s\": %.9g" : ", \"%s\": null", name, value);
}

static void print_evaluation(const Args* args, const char* env, const UfEvaluation* e) {
    double speed = e->seconds > 0 ? (double)e->num_steps / e->seconds : NAN;
    if (args->values[O_JSON]) {
        printf("{\"env\": \"%s\", \"episodes\": %" PRId64, env, e->num_episodes);
        print_number("return_mean", e->mean_return);
        print_number("return_stderr", e->stderr_return);
        print_number("score_mean", e->mean_score);
        print_number("score_stderr", e->stderr_score);
        print_number("length_mean", e->mean_length);
        print_number("steps_per_second", speed);
        printf(", \"nonfinite_actions\": %" PRId64 ", \"diverged\": %" PRId64 "}\n", e->num_nonfinite_actions,
               e->num_diverged);
        return;
    }
    printf("environment       %s, %" PRId64 " episodes\n", env, e->num_episodes);
    printf("return            %.3f +- %.3f\n", e->mean_return, e->stderr_return);
    if (isfinite(e->mean_score)) printf("normalised score  %.2f +- %.2f\n", e->mean_score, e->stderr_score);
    printf("length            %.1f\n", e->mean_length);
    printf("speed             %.0f steps/s\n", speed);
    if (e->num_nonfinite_actions)
        printf("warning           %" PRId64 " actions were not finite and counted as 0\n",
               e->num_nonfinite_actions);
    if (e->num_diverged)
        printf("warning           the simulation diverged in %" PRId64 " episodes; each ended there\n",
               e->num_diverged);
}

// A block, or a line of JSON, for each member.
static int eval_ppo(const Args* args) {
    const UfPpoEvalOptions eval = {.checkpoint = args->files[0],
                                   .env = args->values[O_ENV],
                                   .num_episodes = (int)number(args, O_EPISODES, 100),
                                   .num_threads = (int)number(args, O_THREADS, 0),
                                   .seed = number(args, O_SEED, 0),
                                   .greedy = args->values[O_MEAN] != NULL};
    UfEvaluation* e;
    int population;
    char env[UF_STRING_BYTES];
    if (args->values[O_WORKERS]) {
        fprintf(stderr, "error: --workers is not for agents of PPO: all episodes run side by side\n");
        return MISUSE;
    }
    if (uf_ppo_run_eval(&eval, &e, &population, env) != UF_OK) return failed();
    for (int p = 0; p < population; p++) {
        if (population > 1 && !args->values[O_JSON]) printf("%smember            %d\n", p ? "\n" : "", p);
        print_evaluation(args, env, &e[p]);
        uf_evaluation_free(&e[p]);
    }
    uf_free(e);
    return DONE;
}

static int command_eval(const Args* args) {
    UfEvaluation e;
    const UfEnvSpec* spec = NULL;
    if (uf_ppo_is_checkpoint(args->files[0])) return eval_ppo(args);
    if (args->values[O_MEAN] || args->values[O_SAMPLE]) {
        fprintf(stderr, "error: --%s is for agents of PPO; others act as deterministic_eval says\n",
                args->values[O_MEAN] ? "mean" : "sample");
        return MISUSE;
    }
    UfRunEvalOptions eval = {.checkpoint = args->files[0],
                             .env = args->values[O_ENV],
                             .num_episodes = number(args, O_EPISODES, 100),
                             .workers = (int)number(args, O_WORKERS, 8),
                             .num_threads = (int)number(args, O_THREADS, 0),
                             .seed = (uint64_t)number(args, O_SEED, 0)};
    if (uf_run_eval(&eval, &e, &spec) != UF_OK) return failed();
    print_evaluation(args, spec->name, &e);
    uf_evaluation_free(&e);
    return DONE;
}

// ---- synthenv ----

static int command_synthenv_import(const Args* args) {
    const char *file = args->files[0], *name = args->files[1], *out = args->values[O_OUT];
    char source[1200];
    SeEnv* env;
    if (se_import(&env, file, name) != UF_OK) return failed();
    snprintf(source, sizeof(source), "%s: %s", uf_file_name(file), name);
    const UfStatus status = se_write(env, out, source);
    if (status == UF_OK)
        printf("wrote %s: %s, %" PRId64 " parameters\n", out, se_options(env)->eval_env, se_num_params(env));
    se_free(env);
    return status == UF_OK ? DONE : failed();
}

static int command_synthenv_info(const Args* args) {
    char* text;
    if (uf_synth_info(args->files[0], &text) != UF_OK) return failed();
    printf("%s", text);
    uf_free(text);
    return DONE;
}

static void print_made(const char* out, const SeEnv* env, const SeMade* made) {
    const SeOptions* o = se_options(env);
    if (!made->begins_exact)
        fprintf(stderr,
                "note: width %d is less than twice the %d numbers of an observation, which a Gaussian to "
                "begin with takes; "
                "contexts began as fresh ones\n",
                o->width, o->obs_dim);
    printf("contexts  energy distance from the dataset's observations %.4g, at first %.4g\n", made->distance,
           made->first_distance);
    if (o->meaning == SE_Q)
        printf("reward    Q of discount %g: R^2 %.4f on what was held out\n", (double)o->discount, made->r2);
    else
        printf(
            "reward    behaviour: cross-entropy %.4f of a chance's %.4f, accuracy %.3f on rows that were "
            "held out; "
            "weights as of %.0f rows\n",
            made->cross_entropy, made->chance, made->accuracy, made->effective_rows);
    printf("wrote %s: %s, %" PRId64 " parameters\n", out,
           o->eval_env[0] ? o->eval_env : "no environment with a name", se_num_params(env));
}

static int command_synthenv_make(const Args* args) {
    const char *data = args->values[O_DATASET], *checkpoint = args->values[O_CHECKPOINT],
               *out = args->values[O_OUT], *temperature = args->values[O_RETURN_TEMPERATURE];
    char source[2400];
    const SeMaking making = {.env = args->values[O_ENV],
                             .checkpoint = checkpoint,
                             .num_steps = number(args, O_STEPS, 0),
                             .width = (int)number(args, O_HIDDEN, 0),
                             .seed = (uint64_t)number(args, O_SEED, 0),
                             .return_temperature = temperature ? strtod(temperature, NULL) : 0,
                             .num_threads = (int)number(args, O_THREADS, 0)};
    UfDataset* dataset = NULL;
    SeEnv* env = NULL;
    SeMade made;
    UfStatus status = data ? uf_dataset_open(&dataset, data, args->values[O_ENV]) : UF_OK;
    if (status == UF_OK) status = se_make(&env, &made, dataset, &making);
    snprintf(source, sizeof(source), checkpoint ? "Q of %s" : "behaviour of %s",
             checkpoint ? checkpoint : data);
    if (status == UF_OK) status = se_write(env, out, source);
    if (status == UF_OK) print_made(out, env, &made);
    se_free(env);
    uf_dataset_free(dataset);
    return status == UF_OK ? DONE : failed();
}

static UfStatus draw_synthenv(const Args* args, const SeEnv* env) {
    const char *name = args->values[O_ENV], *out = args->values[O_OUT];
    const UfEnvSpec* spec = NULL;
    if (name)
        UF_TRY(uf_env_lookup(&spec, name));
    else if (se_options(env)->eval_env[0])
        spec = uf_env_find(se_options(env)->eval_env);
    UF_TRY(uf_synth_draw(env, spec, (uint64_t)number(args, O_SEED, 0), out));
    if (!spec) printf("played in no environment: name one with --env NAME\n");
    printf("wrote %s\n", out);
    return UF_OK;
}

static int command_synthenv_show(const Args* args) {
    SeEnv* env = NULL;
    char* text;
    if (uf_synth_info(args->files[0], &text) != UF_OK) return failed();
    printf("%s", text);
    uf_free(text);
    UfStatus status = UF_OK;
    if (args->values[O_OUT]) status = se_read(&env, args->files[0]);
    if (env && status == UF_OK) status = draw_synthenv(args, env);
    se_free(env);
    return status == UF_OK ? DONE : failed();
}

static int command_synthenv_play(const Args* args) {
    const UfEnvSpec* spec = NULL;
    UfEvaluation e = {0};
    UfPool* pool = NULL;
    SeEnv* env;
    UfStatus status = se_read(&env, args->files[0]);
    if (status == UF_OK) status = uf_pool_create(&pool, (int)number(args, O_THREADS, 0));
    if (status == UF_OK)
        status = uf_synth_play(&e, &spec, env, args->values[O_ENV], number(args, O_EPISODES, 100),
                               (uint64_t)number(args, O_SEED, 0), pool);
    if (status == UF_OK) print_evaluation(args, spec->name, &e);
    uf_evaluation_free(&e);
    uf_pool_free(pool);
    se_free(env);
    return status == UF_OK ? DONE : failed();
}

static const Sugar synth_sugar[] = {
    {O_SEED, "seed"}, {O_THREADS, "num_threads"}, {O_ENV, "env"}, {O_DEVICE, "device"}};
enum { NUM_SYNTH_SUGAR = sizeof(synth_sugar) / sizeof(synth_sugar[0]) };
static const SearchCommand synth_search = {&se_kind, "synthenv meta", synth_sugar, NUM_SYNTH_SUGAR};

static int command_synthenv_meta(const Args* args) { return with_ranks(args, &synth_search, run_search); }
static int command_synthenv_sweep(const Args* args) { return with_ranks(args, &synth_search, sweep_search); }

// Agents train in the environment of a file, to be good where it says.
static UfStatus train_in(const Args* args, const SeEnv* env, SeConfig* config, UfText* text) {
    if (se_options(env)->eval_env) UF_TRY(se_config_set(config, "env", se_options(env)->eval_env));
    UF_TRY(configure(args, &se_table, synth_sugar, NUM_SYNTH_SUGAR, config));
    const char* algorithms = args->values[O_ALGORITHMS];
    const SeReuseOptions options = {.rate = {.config = config,
                                             .env = env,
                                             .num_agents = (int)number(args, O_AGENTS, 12),
                                             .num_episodes = (int)number(args, O_EPISODES, 20),
                                             .seed = (uint64_t)config->seed,
                                             .stop = &stop_signal},
                                    .algorithms = algorithms ? algorithms : "auto",
                                    .control = args->values[O_CONTROLS] != NULL,
                                    .each = args->values[O_EACH] != NULL,
                                    .json = args->values[O_JSON] != NULL,
                                    .picture = args->values[O_OUT]};
    catch_signals();
    return se_reuse(&options, text);
}

static int command_synthenv_train(const Args* args) {
    SeEnv* env;
    SeConfig* config = NULL;
    UfText text = {0};
    UfStatus status = se_read(&env, args->files[0]);
    if (status == UF_OK) status = se_config_create(&config);
    if (status == UF_OK) status = train_in(args, env, config, &text);
    se_config_free(config);
    se_free(env);
    return print_text(status, &text);
}

// ---- fqe, info, verify ----

static UfStatus fqe_config(const Args* args, UfConfig** out) {
    static const struct {
        enum Option option;
        const char* name;
    } sugar[] = {{O_SEED, "seed"}, {O_NUM_UPDATES, "num_updates"}, {O_GAMMA, "gamma"}};
    UF_TRY(uf_fqe_config(out));
    UF_TRY(set_by_name(args, *out));
    for (size_t i = 0; i < sizeof(sugar) / sizeof(sugar[0]); i++) {
        const char* value = args->values[sugar[i].option];
        if (value) UF_TRY(uf_config_set(*out, sugar[i].name, value));
    }
    return UF_OK;
}

// A policy that diverged has no estimate: the others are printed, but it is an error.
static int print_fqe(const Args* args, const UfFqeReport* report) {
    if (args->values[O_JSON])
        printf("%s\n", report->json);
    else
        printf("%s", report->text);
    if (!report->num_diverged) return DONE;
    fprintf(stderr,
            "error: %d of %d evaluations diverged and are no estimate; try a smaller lr, or "
            "another gamma\n",
            report->num_diverged, report->num_policies);
    return FAILED;
}

static int command_fqe(const Args* args) {
    UfConfig* config = NULL;
    UfFqeReport report;
    Screen screen = {.terminal = isatty(STDERR_FILENO), .quiet = args->values[O_QUIET] != NULL};
    if (fqe_config(args, &config) != UF_OK) {
        uf_config_free(config);
        return failed();
    }
    catch_signals();
    const UfFqeRun run = {.checkpoints = args->files,
                          .num_checkpoints = args->num_files,
                          .dataset = args->values[O_DATASET],
                          .env = args->values[O_ENV],
                          .config = config,
                          .num_threads = (int)number(args, O_THREADS, 0),
                          .out = args->values[O_OUT],
                          .stop = &stop_signal,
                          .on_progress = on_progress,
                          .user = &screen};
    const UfStatus status = uf_fqe_run(&run, &report);
    uf_config_free(config);
    if (screen.terminal && !screen.quiet) fputs("\r\033[K", stderr);
    if (status == UF_ERR_STOPPED) {
        fprintf(stderr, "%s; nothing was written\n", uf_error());
        return 128 + stop_signal;
    }
    if (status != UF_OK) return failed();
    const int result = print_fqe(args, &report);
    uf_fqe_report_free(&report);
    return result;
}

// Files that say so in their attribute `kind`.
static const struct {
    const char* kind;
    UfStatus (*describe)(const char* path, char** text);
} kinds[] = {{"unifloral-checkpoint", uf_checkpoint_info},
             {"unifloral-dynamics", uf_dynamics_info},
             {"unifloral-ppo", uf_ppo_info},
             {"unifloral-hades", hd_checkpoint_info},
             {"unifloral-synthenv", uf_synth_info},
             {"unifloral-synthenv-search", se_checkpoint_info},
             {UF_RETURNS_OF_AGENTS, uf_returns_info},
             {UF_RETURNS_OF_CLONES, uf_returns_info},
             {UF_RETURNS_OF_PPO, uf_returns_info}};

// Checkpoints and results say so in their attribute `kind`; everything else is taken for a dataset.
// A folder is a run, or else a Minari dataset.
static UfStatus file_info(const char* file, char** text) {
    char path[2048], *kind = NULL;
    struct stat info;
    UfH5 h5;
    bool folder = stat(file, &info) == 0 && S_ISDIR(info.st_mode), run = false;
    static const char* const files[] = {"checkpoint.h5", "model.h5"};
    for (int i = 0; i < 2 && folder && !run; i++) {
        snprintf(path, sizeof(path), "%s/%s", file, files[i]);
        run = access(path, F_OK) == 0;
    }
    if (folder && !run) return uf_dataset_info(file, text);
    if (!run) snprintf(path, sizeof(path), "%s", file);

    UF_TRY(uf_h5_open(&h5, path));
    UfStatus status = UF_OK;
    bool known = uf_h5_has_attribute(&h5, "/", "kind");
    if (known) status = uf_h5_read_string(&h5, "/", "kind", &kind);
    const bool result = kind && !strcmp(kind, "unifloral-result");
    size_t k = 0;
    while (k < sizeof(kinds) / sizeof(kinds[0]) && !(kind && !strcmp(kind, kinds[k].kind))) k++;
    if (status == UF_OK && result) status = uf_run_result_info(&h5, text);
    uf_h5_close(&h5);
    uf_free(kind);
    if (status != UF_OK || result) return status;
    return k < sizeof(kinds) / sizeof(kinds[0]) ? kinds[k].describe(path, text) : uf_dataset_info(path, text);
}

static int command_info(const Args* args) {
    for (int i = 0; i < args->num_files; i++) {
        char* text = NULL;
        if (file_info(args->files[i], &text) != UF_OK) return failed();
        printf("%s%s", i ? "\n" : "", text);
        uf_free(text);
    }
    return DONE;
}

// All files are checked, whatever one of them says.
static int command_verify(const Args* args) {
    const char* device = args->values[O_DEVICE];
    int result = DONE;
    for (int i = 0; i < args->num_files; i++) {
        char* report = NULL;
        bool passed = false;
        if (uf_verify_on(args->files[i], device ? device : "cpu", args->values[O_PRECISION], &report,
                         &passed) != UF_OK)
            result = failed();
        else
            printf("%s", report);
        fflush(stdout);
        uf_free(report);
        if (!passed) result = FAILED;
    }
    return result;
}

// ---- collect, convert, bench, report, envs ----

static int command_collect(const Args* args) {
    const char* noise = args->values[O_NOISE];
    UfCollectOptions collect = {.env = args->values[O_ENV],
                                .policy = args->values[O_POLICY],
                                .mix = args->values[O_MIX],
                                .num_steps = number(args, O_STEPS, 0),
                                .seed = (uint64_t)number(args, O_SEED, 0),
                                .num_threads = (int)number(args, O_THREADS, 0),
                                .mean = args->values[O_MEAN] != NULL,
                                .noise = noise ? strtod(noise, NULL) : 0,
                                .next_observations = args->values[O_NEXT_OBSERVATIONS] != NULL,
                                .output = args->values[O_OUT]};
    if (uf_collect(&collect) != UF_OK) return failed();
    printf("wrote %s\n", args->values[O_OUT]);
    return DONE;
}

// Whether the arguments are gridworlds: a name that a file or folder has is a checkpoint.
static bool is_gridworld(const char* name) {
    return (!strncmp(name, "MiniGrid-", 9) || !strncmp(name, "Navix-", 6)) && access(name, F_OK) != 0;
}

static bool is_animation(const char* path) {
    return strlen(path) > 4 && !strcasecmp(path + strlen(path) - 4, ".gif");
}

static int render_gridworlds(const Args* args) {
    const char* out = args->values[O_OUT];
    const bool animation = is_animation(out);
    NxRender r;
    NxRenderOptions render = {.ids = args->files,
                              .num_ids = args->num_files,
                              .seed = (uint64_t)number(args, O_SEED, 0),
                              .num_steps = number(args, O_STEPS, animation ? 100 : 0),
                              .tile_size = (int)number(args, O_TILE_SIZE, 0),
                              .first_person = args->values[O_FIRST_PERSON] != NULL,
                              .output = out};
    if (nx_render(&render, &r) != UF_OK) return failed();
    if (args->num_files == 1)
        printf("environment       %s, seed %" PRIu64 ", %d random actions, return %.3f\n", args->files[0],
               render.seed, r.num_steps, r.ret);
    printf("wrote %s: %d %s%s, %d x %d pixels\n", out, r.num_frames, animation ? "frame" : "level",
           r.num_frames == 1 ? "" : "s", r.width, r.height);
    return DONE;
}

static int render_ppo(const Args* args) {
    const char* out = args->values[O_OUT];
    const UfPpoRenderOptions render = {.checkpoint = args->files[0],
                                       .env = args->values[O_ENV],
                                       .seed = number(args, O_SEED, 0),
                                       .num_steps = number(args, O_STEPS, is_animation(out) ? INT32_MAX : 0),
                                       .greedy = args->values[O_MEAN] != NULL,
                                       .first_person = args->values[O_FIRST_PERSON] != NULL,
                                       .tile_size = (int)number(args, O_TILE_SIZE, 0),
                                       .output = out};
    char env[UF_STRING_BYTES];
    NxRender r;
    if (uf_ppo_render(&render, &r, env) != UF_OK) return failed();
    printf("environment       %s, seed %" PRId64 ", %d actions, return %.3f\n", env, render.seed, r.num_steps,
           r.ret);
    printf("wrote %s: %d frame%s, %d x %d pixels\n", out, r.num_frames, r.num_frames == 1 ? "" : "s", r.width,
           r.height);
    return DONE;
}

static int command_render(const Args* args) {
    UfRender r;
    if (args->num_files && uf_ppo_is_checkpoint(args->files[0])) return render_ppo(args);
    if (args->num_files && is_gridworld(args->files[0])) return render_gridworlds(args);
    UfRenderOptions render = {.policy = args->num_files ? args->files[0] : args->values[O_POLICY],
                              .env = args->values[O_ENV],
                              .seed = (uint64_t)number(args, O_SEED, 0),
                              .episode = number(args, O_EPISODE, 0),
                              .num_steps = number(args, O_STEPS, 0),
                              .width = (int)number(args, O_WIDTH, 400),
                              .height = (int)number(args, O_HEIGHT, 300),
                              .num_frames = (int)number(args, O_FRAMES, 0),
                              .output = args->values[O_OUT]};
    if (uf_render(&render, &r) != UF_OK) return failed();
    if (r.note[0]) fprintf(stderr, "note: %s\n", r.note);
    printf("environment       %s, seed %" PRIu64 ", episode %" PRId64 "\n", r.spec->name, render.seed,
           render.episode);
    printf("return            %.3f\n", r.ret);
    printf("length            %d\n", r.length);
    if (r.diverged) printf("warning           the simulation diverged; the episode ended there\n");
    printf("wrote %s: %d frames, %d x %d pixels\n", render.output, r.num_frames, r.width, r.height);
    return DONE;
}

static int command_play(const Args* args) {
    int signal;
    NxPlayOptions play = {.id = args->files[0],
                          .seed = (uint64_t)number(args, O_SEED, 0),
                          .keys = args->values[O_KEYS],
                          .input = STDIN_FILENO,
                          .output = STDOUT_FILENO};
    if (nx_play(&play, &signal) != UF_OK) return failed();
    return signal ? 128 + signal : DONE;
}

static int command_convert(const Args* args) {
    if (uf_dataset_convert(args->files[0], args->files[1]) != UF_OK) return failed();
    printf("wrote %s\n", args->files[1]);
    return DONE;
}

// Options of an update say nothing about an environment.
static int bench_env(const Args* args) {
    static const enum Option others[] = {O_CONFIG, O_OBS_DIM, O_ACTION_DIM, O_POPULATION, O_PRECISION};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (args->values[others[i]]) {
            fprintf(stderr, "error: bench --env times an environment; --%s is for updates\n",
                    options[others[i]].name);
            return MISUSE;
        }
    const bool grid = nx_is_grid(args->values[O_ENV]);
    const char* device = args->values[O_DEVICE];
    const bool on_device = device && strcmp(device, "cpu") != 0;
    UfEnvBenchOptions bench = {.env = args->values[O_ENV],
                               .num_threads = (int)number(args, O_THREADS, 1),
                               .num_steps = (int)number(args, O_STEPS, on_device ? 200 : 1000),
                               .num_windows = (int)number(args, O_WINDOWS, grid ? 21 : 101),
                               .num_envs = (int)number(args, O_ENVS, on_device ? 1 << 20 : 2048),
                               .observation = args->values[O_OBSERVATION],
                               .device = device};
    if (!grid && (args->values[O_ENVS] || args->values[O_OBSERVATION] || device)) {
        fprintf(stderr, "error: --envs, --observation and --device are for gridworlds, not for '%s'\n",
                bench.env);
        return MISUSE;
    }
    char* json = NULL;
    if ((grid ? uf_bench_grid : uf_bench_env)(&bench, &json) != UF_OK) return failed();
    printf("%s\n", json);
    uf_free(json);
    return DONE;
}

static void print_line(void* user, const char* line) {
    (void)user;
    printf("%s\n", line);
    fflush(stdout);
}

// Takes --config, --env, --population, --threads, --device, --precision as `unifloral ppo` does; --steps are iterations.
static int bench_ppo(const Args* args) {
    static const enum Option others[] = {O_OBS_DIM,  O_ACTION_DIM, O_ROLLOUTS,
                                         O_DYNAMICS, O_ENVS,       O_OBSERVATION};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (args->values[others[i]]) {
            fprintf(stderr, "error: bench --ppo times whole iterations; --%s is for other benches\n",
                    options[others[i]].name);
            return MISUSE;
        }
    UfPpoConfig* config = NULL;
    Args given = *args;
    char* json = NULL;
    given.values[O_STEPS] = NULL;
    UfStatus status = ppo_config(&given, &config);
    const UfPpoBenchOptions bench = {.config = config,
                                     .num_steps = (int)number(args, O_STEPS, 3),
                                     .num_windows = (int)number(args, O_WINDOWS, 7)};
    if (status == UF_OK) status = uf_bench_ppo(&bench, &json);
    uf_free(config);
    if (status != UF_OK) return failed();
    print_line(NULL, json);
    uf_free(json);
    return DONE;
}

// Two lines of JSON: generations, and steps of cloning of several shapes. --steps are generations of a window.
static int command_bench_hades(const Args* args) {
    void* config;
    char* json = NULL;
    Args given = *args;
    if (!args->values[O_CONFIG] && !args->values[O_ENV]) given.values[O_ENV] = "CartPole-v1";
    UfStatus status = search_config(&given, &hades_search, &config);
    const HdBenchOptions bench = {.config = config,
                                  .num_generations = (int)number(args, O_STEPS, 5),
                                  .num_windows = (int)number(args, O_WINDOWS, 8)};
    if (status == UF_OK) status = uf_bench_hades(&bench, &json);
    if (status == UF_OK) print_line(NULL, json);
    uf_free(json);
    json = NULL;
    const UfCloneBenchOptions clone = {.device = args->values[O_DEVICE],
                                       .num_threads = (int)number(args, O_THREADS, 0),
                                       .num_networks = 32,
                                       .num_windows = bench.num_windows};
    if (status == UF_OK) status = uf_bench_clone(&clone, &json);
    uf_free(config);
    if (status != UF_OK) return failed();
    print_line(NULL, json);
    uf_free(json);
    return DONE;
}

static int command_bench_synthenv(const Args* args) {
    char* json;
    if (uf_bench_synth(args->files[0], (int)number(args, O_STEPS, 10000), (int)number(args, O_WINDOWS, 101),
                       &json) != UF_OK)
        return failed();
    print_line(NULL, json);
    uf_free(json);
    return DONE;
}

static int command_bench(const Args* args) {
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
    UfConfig* config = NULL;
    char* json = NULL;
    UfStatus status = uf_config_create(&config);
    if (status == UF_OK && args->values[O_CONFIG]) status = uf_config_load(config, args->values[O_CONFIG]);
    if (status == UF_OK && args->values[O_DEVICE])
        status = uf_config_set(config, "device", args->values[O_DEVICE]);
    if (status == UF_OK && args->values[O_PRECISION])
        status = uf_config_set(config, "precision", args->values[O_PRECISION]);
    const bool apart = status == UF_OK && config->device == UF_DEVICE_CUDA,
               list =
                   apart && !args->values[O_CONFIG] && !args->values[O_DYNAMICS] && !args->values[O_ROLLOUTS];
    const int num_steps = args->values[O_ROLLOUTS] ? 1 : apart ? 200 : 20;
    UfBenchOptions bench = {.config = config,
                            .obs_dim = (int)number(args, O_OBS_DIM, 17),
                            .action_dim = (int)number(args, O_ACTION_DIM, 6),
                            .num_threads = (int)number(args, O_THREADS, 1),
                            .rollouts = args->values[O_ROLLOUTS] != NULL,
                            .num_steps = (int)number(args, O_STEPS, num_steps),
                            .population = (int)number(args, O_POPULATION, list ? 0 : 1),
                            .num_windows = (int)number(args, O_WINDOWS, 7),
                            .dynamics = args->values[O_DYNAMICS] != NULL};
    if (status == UF_OK) status = list ? uf_bench_list(&bench, print_line, NULL) : uf_bench(&bench, &json);
    uf_config_free(config);
    if (status != UF_OK) return failed();
    if (json) print_line(NULL, json);
    uf_free(json);
    return DONE;
}

// A result that cannot be read is an error, but the page of the others is written.
static int command_report(const Args* args) {
    UfReportOptions report = {.folders = args->files,
                              .num_folders = args->num_files,
                              .output = args->values[O_OUT],
                              .csv = args->values[O_CSV]};
    UfReportCounts counts;
    UfStatus status = uf_report(&report, &counts);
    if (counts.num_results) printf("%d runs, %d missing\n", counts.num_results, counts.num_missing);
    return status == UF_OK ? DONE : failed();
}

static int command_protocol(const Args* args) {
    const UfProtocolOptions d = uf_protocol_defaults();
    const char *alpha = args->values[O_UCB_ALPHA], *confidence = args->values[O_CONFIDENCE],
               *out = args->values[O_OUT];
    const UfProtocolRun run = {
        .sources = args->files,
        .num_sources = args->num_files,
        .num_threads = (int)number(args, O_THREADS, 0),
        .folder = out ? out : "runs/protocol",
        .options = {.subsample = (int)number(args, O_SUBSAMPLE, d.subsample),
                    .max_pulls = (int)number(args, O_MAX_PULLS, d.max_pulls),
                    .num_trials = (int)number(args, O_TRIALS, d.num_trials),
                    .num_bootstraps = (int)number(args, O_BOOTSTRAPS, d.num_bootstraps),
                    .ucb_alpha = alpha ? strtod(alpha, NULL) : d.ucb_alpha,
                    .confidence = confidence ? strtod(confidence, NULL) : d.confidence,
                    .seed = (uint64_t)number(args, O_SEED, (int64_t)d.seed)}};
    return run_protocol(&run);
}

// A build that draws no charts still writes the table.
static int command_plot(const Args* args) {
    const UfProtocolOptions d = uf_protocol_defaults();
    const bool final = args->values[O_FINAL] != NULL;
    const char *confidence = args->values[O_CONFIDENCE], *out = args->values[O_OUT];
    if (!out && uf_make_folder("runs") != UF_OK) return failed();
    const UfPlotRuns plot = {.sources = args->files,
                             .num_sources = args->num_files,
                             .output = out     ? out
                                       : final ? "runs/final_scores.png"
                                               : "runs/learning_curves.png",
                             .csv = args->values[O_CSV],
                             .by = args->values[O_BY],
                             .final = final,
                             .metric = args->values[O_METRIC],
                             .x = args->values[O_X],
                             .band = args->values[O_BAND],
                             .smooth = (int)number(args, O_SMOOTH, 1),
                             .confidence = confidence ? strtod(confidence, NULL) : d.confidence,
                             .num_bootstraps = (int)number(args, O_BOOTSTRAPS, d.num_bootstraps),
                             .seed = (uint64_t)number(args, O_SEED, (int64_t)d.seed),
                             .num_threads = (int)number(args, O_THREADS, 0)};
    UfPlotReport report;
    const UfStatus status = uf_plot_runs(&plot, &report);
    print_notes(report.notes);
    if (status == UF_OK)
        printf("wrote %s%s%s: %d run%s, %d group%s, %d dataset%s\n", plot.output, plot.csv ? ", " : "",
               plot.csv ? plot.csv : "", report.num_runs, report.num_runs == 1 ? "" : "s", report.num_groups,
               report.num_groups == 1 ? "" : "s", report.num_datasets, report.num_datasets == 1 ? "" : "s");
    uf_plot_report_free(&report);
    return status == UF_OK ? DONE : failed();
}

static int command_envs(const Args* args) {
    (void)args;
    printf("%-28s %12s %8s %6s  %s\n", "environment", "observations", "actions", "steps",
           "returns of score 0 and 100");
    for (int i = 0; i < uf_num_env_specs; i++) {
        const UfEnvSpec* s = &uf_env_specs[i];
        char actions[32], scores[64] = "none";
        snprintf(actions, sizeof(actions), "%d%s", s->action_dim, s->discrete ? " kinds" : "");
        if (s->has_scores) snprintf(scores, sizeof(scores), "%g %g", s->score_min, s->score_max);
        printf("%-28s %12d %8s %6d  %s\n", s->name, s->obs_dim, actions, s->max_steps, scores);
    }
    printf("\n%-42s %12s %8s %6s  %s\n", "gridworld", "height x width", "actions", "steps", "walls");
    for (int i = 0; i < nx_num_specs; i++) {
        const NxSpec* s = &nx_specs[i];
        char size[32];
        snprintf(size, sizeof(size), "%d x %d", s->height, s->width);
        printf("%-42s %14s %8s %6d  %s\n", s->id, size, "7 kinds", s->max_steps,
               s->see_through_walls ? "see-through" : "opaque");
    }
    printf("%-42s %14s %8s %6s  %s\n", "Sandbox-WxH", "H x W", "7 kinds", "4 W H", "opaque");
    return DONE;
}

// ---- commands ----

__extension__ typedef unsigned __int128 OptionSet;
#define BIT(option) ((OptionSet)1 << (option))
_Static_assert(NUM_OPTIONS <= 128, "an option is a bit of a command");

typedef struct Command {
    const char* name;
    int (*function)(const Args* args);
    const char *usage, *help;
    int min_files, max_files;     // -1: any number
    OptionSet allowed, required;  // bits of options
} Command;

static const Command commands[] = {
    {"train", command_train,
     "CONFIG... [--set name=value]... [--seed N] [--out DIR] [--resume DIR] [--threads N] [--dataset FILE] "
     "[--env NAME] [--init-from BANDIT.h5]",
     "train by a JSON configuration, evaluate, keep checkpoints. Several configurations train in one "
     "process, as one "
     "population where they fit together, each in a folder of --out that is named after it; the same command "
     "goes on",
     1, -1,
     BIT(O_SET) | BIT(O_SEED) | BIT(O_OUT) | BIT(O_RESUME) | BIT(O_THREADS) | BIT(O_DATASET) | BIT(O_QUIET) |
         BIT(O_ENV) | BIT(O_DEVICE) | BIT(O_PRECISION) | BIT(O_INIT_FROM),
     0},
    {"online", command_online,
     "CONFIG [--env NAME] [--steps N] [--start-steps N] [--out DIR] [--resume DIR] [--datasets DIR]",
     "train on the policy's own steps in an environment, and make datasets of it", 1, 1,
     BIT(O_SET) | BIT(O_SEED) | BIT(O_OUT) | BIT(O_RESUME) | BIT(O_THREADS) | BIT(O_QUIET) | BIT(O_ENV) |
         BIT(O_STEPS) | BIT(O_START_STEPS) | BIT(O_MEDIUM_SCORE) | BIT(O_DATASETS) | BIT(O_DATASET_STEPS) |
         BIT(O_DEVICE) | BIT(O_PRECISION),
     0},
    {"dynamics", command_dynamics,
     "--config FILE --dataset FILE [--set name=value]... [--seed N] [--out DIR] [--resume DIR] [--threads N]",
     "train the world model of a dataset: an ensemble that predicts next observations and rewards", 0, 0,
     BIT(O_CONFIG) | BIT(O_DATASET) | BIT(O_SET) | BIT(O_SEED) | BIT(O_OUT) | BIT(O_RESUME) | BIT(O_THREADS) |
         BIT(O_QUIET) | BIT(O_ENV),
     0},
    {"ppo", command_ppo,
     "[--config FILE] --env NAME|FILE.h5 [--steps N] [--population N] [--set name=value]... [--seed N] "
     "[--out DIR] "
     "[--resume DIR] [--threads N] [--device cpu|cuda|auto] [--precision tf32|bf16|fp32]",
     "train agents by PPO in an environment, a gridworld say, or a synthetic one in a file; --steps N as "
     "--set budget=N",
     0, 0,
     BIT(O_CONFIG) | BIT(O_ENV) | BIT(O_STEPS) | BIT(O_POPULATION) | BIT(O_SET) | BIT(O_SEED) | BIT(O_OUT) |
         BIT(O_RESUME) | BIT(O_THREADS) | BIT(O_QUIET) | BIT(O_DEVICE) | BIT(O_PRECISION),
     0},
    {"hades", command_hades,
     "[--config FILE] --env NAME [--set name=value]... [--seed N] [--out DIR] [--resume DIR] [--threads N] "
     "[--device cpu|cuda|auto]",
     "distil a few state-action pairs on which behaviour cloning trains a good policy, by evolution "
     "strategies. Under "
     "mpirun or srun the processes share each generation",
     0, 0,
     BIT(O_CONFIG) | BIT(O_ENV) | BIT(O_SET) | BIT(O_SEED) | BIT(O_OUT) | BIT(O_RESUME) | BIT(O_THREADS) |
         BIT(O_QUIET) | BIT(O_DEVICE),
     0},
    {"hades show", command_hades_show, "FILE [--out FILE.png|.svg|.pdf]",
     "print a distilled dataset and draw all of it: each state as it looks, with its action", 1, 1,
     BIT(O_OUT), 0},
    {"hades try", command_hades_try,
     "FILE [--env NAME] [--inits N] [--episodes N] [--seed N] [--config FILE] [--set name=value]... "
     "[--controls]",
     "clone policies with fresh initial weights from a distilled dataset and play them: --set "
     "layer_width=128, say, "
     "for other networks than the search had",
     1, 1,
     BIT(O_ENV) | BIT(O_INITS) | BIT(O_EPISODES) | BIT(O_SEED) | BIT(O_CONFIG) | BIT(O_SET) |
         BIT(O_CONTROLS) | BIT(O_THREADS) | BIT(O_DEVICE),
     0},
    {"hades vary", command_hades_vary,
     "FILE [--env NAME] [--config FILE] [--set name=[a,b]]... [--inits N] [--episodes N] [--seed N]",
     "the same for each value of each list in turn: how the dataset does with other networks and other "
     "cloning",
     1, 1,
     BIT(O_ENV) | BIT(O_INITS) | BIT(O_EPISODES) | BIT(O_SEED) | BIT(O_CONFIG) | BIT(O_SET) | BIT(O_THREADS) |
         BIT(O_DEVICE),
     0},
    {"hades sweep", command_hades_sweep,
     "[--config FILE] [--set name=[a,b]]... --out DIR [--seed N] [--threads N] [--device cpu|cuda|auto]",
     "a distillation for each combination of the lists in --config or --set, a table over their seeds and a "
     "figure; "
     "the same command goes on",
     0, 0,
     BIT(O_CONFIG) | BIT(O_ENV) | BIT(O_SET) | BIT(O_SEED) | BIT(O_OUT) | BIT(O_THREADS) | BIT(O_QUIET) |
         BIT(O_DEVICE),
     BIT(O_OUT)},
    {"hades merge", command_hades_merge, "FILE FILE... [--apart] --out FILE",
     "put distilled datasets of several tasks together, for one policy of all", 2, -1,
     BIT(O_APART) | BIT(O_OUT), BIT(O_OUT)},
    {"synthenv meta", command_synthenv_meta,
     "[--config FILE] --env NAME [--set name=value]... [--seed N] [--out DIR] [--resume DIR] [--threads N] "
     "[--device cpu|cuda|auto]",
     "search for a synthetic environment in which agents of any algorithm become good in a real one, by "
     "evolution strategies. Under mpirun or srun the processes share each generation",
     0, 0,
     BIT(O_CONFIG) | BIT(O_ENV) | BIT(O_SET) | BIT(O_SEED) | BIT(O_OUT) | BIT(O_RESUME) | BIT(O_THREADS) |
         BIT(O_DEVICE) | BIT(O_QUIET),
     0},
    {"synthenv train", command_synthenv_train,
     "FILE [--algorithms LIST] [--agents N] [--episodes N] [--controls] [--each] [--config FILE] "
     "[--set name=value]... [--env NAME] [--seed N] [--threads N] [--device cpu|cuda|auto] [--json] "
     "[--out FILE.png|.svg|.pdf]",
     "train agents of each algorithm, with hyperparameters drawn from lists, in a synthetic environment and "
     "play them in the real one; with --controls also as many that train in the real one for as many steps; "
     "with --out also a picture: their returns by algorithm and by learning rate, and one of them at play",
     1, 1,
     BIT(O_ALGORITHMS) | BIT(O_AGENTS) | BIT(O_EPISODES) | BIT(O_CONTROLS) | BIT(O_EACH) | BIT(O_CONFIG) |
         BIT(O_SET) | BIT(O_ENV) | BIT(O_SEED) | BIT(O_THREADS) | BIT(O_DEVICE) | BIT(O_JSON) | BIT(O_OUT),
     0},
    {"synthenv sweep", command_synthenv_sweep,
     "[--config FILE] [--set name=[a,b]]... --out DIR [--env NAME] [--seed N] [--threads N] "
     "[--device cpu|cuda|auto]",
     "a search for each combination of the lists in --config or --set, a table over their seeds and a "
     "figure; "
     "the same command goes on",
     0, 0,
     BIT(O_CONFIG) | BIT(O_ENV) | BIT(O_SET) | BIT(O_SEED) | BIT(O_OUT) | BIT(O_THREADS) | BIT(O_DEVICE) |
         BIT(O_QUIET),
     BIT(O_OUT)},
    {"synthenv import", command_synthenv_import, "FILE NAME --out FILE",
     "take one of the published synthetic environments, cartpole or CartPole-v1, say, out of a file of them",
     2, 2, BIT(O_OUT), BIT(O_OUT)},
    {"synthenv make", command_synthenv_make,
     "(--dataset FILE | --checkpoint FILE [--dataset FILE]) --out FILE [--env NAME] [--steps N] [--width N] "
     "[--seed N] "
     "[--return-temperature X] [--threads N]",
     "make a bandit of a dataset's behaviour or of a checkpoint's Q, to begin training from: train "
     "--init-from",
     0, 0,
     BIT(O_DATASET) | BIT(O_CHECKPOINT) | BIT(O_OUT) | BIT(O_ENV) | BIT(O_STEPS) | BIT(O_HIDDEN) |
         BIT(O_SEED) | BIT(O_RETURN_TEMPERATURE) | BIT(O_THREADS),
     BIT(O_OUT)},
    {"synthenv info", command_synthenv_info, "FILE",
     "describe a synthetic environment: its first observations, rewards and best actions, and what these "
     "depend on",
     1, 1, 0, 0},
    {"synthenv play", command_synthenv_play,
     "FILE [--env NAME] [--episodes N] [--seed N] [--threads N] [--json]",
     "act by the largest reward of a synthetic environment in the environment that it stands for, or --env",
     1, 1, BIT(O_ENV) | BIT(O_EPISODES) | BIT(O_SEED) | BIT(O_THREADS) | BIT(O_JSON), 0},
    {"synthenv show", command_synthenv_show, "FILE [--out FILE.png|.svg|.pdf] [--env NAME] [--seed N]",
     "describe a synthetic environment and draw it: best actions and rewards, what they depend on, where "
     "episodes "
     "lead",
     1, 1, BIT(O_OUT) | BIT(O_ENV) | BIT(O_SEED), 0},
    {"eval", command_eval,
     "CHECKPOINT [--env NAME] [--episodes N] [--seed N] [--threads N] [--workers N] [--mean|--sample] "
     "[--json]",
     "evaluate the policy of a checkpoint (a file or a run folder)", 1, 1,
     BIT(O_ENV) | BIT(O_EPISODES) | BIT(O_SEED) | BIT(O_THREADS) | BIT(O_WORKERS) | BIT(O_JSON) |
         BIT(O_MEAN) | BIT(O_SAMPLE),
     0},
    {"fqe", command_fqe,
     "CHECKPOINT... --dataset FILE [--num-updates N] [--gamma X] [--set name=value]... [--seed N] [--threads "
     "N] "
     "[--env NAME] [--json] [--out FILE]",
     "rank policies by fitted Q evaluation on a dataset, without an environment", 1, -1,
     BIT(O_DATASET) | BIT(O_NUM_UPDATES) | BIT(O_GAMMA) | BIT(O_SET) | BIT(O_SEED) | BIT(O_THREADS) |
         BIT(O_ENV) | BIT(O_JSON) | BIT(O_OUT) | BIT(O_QUIET),
     BIT(O_DATASET)},
    {"info", command_info, "FILE...",
     "describe datasets, checkpoints, world models, synthetic environments and results", 1, -1, 0, 0},
    {"verify", command_verify, "[--device cpu|cuda|auto] [--precision tf32|bf16|fp32] FILE...",
     "replay recorded updates and traces; PASS or FAIL", 1, -1, BIT(O_DEVICE) | BIT(O_PRECISION), 0},
    {"collect", command_collect,
     "--env NAME (--policy POLICY | --mix P:SHARE,...) --steps N [--seed N] [--mean] [--noise SIGMA] --out "
     "FILE",
     "make a dataset with scripted controllers or checkpoints", 0, 0,
     BIT(O_ENV) | BIT(O_POLICY) | BIT(O_STEPS) | BIT(O_SEED) | BIT(O_OUT) | BIT(O_THREADS) | BIT(O_MIX) |
         BIT(O_MEAN) | BIT(O_SAMPLE) | BIT(O_NOISE) | BIT(O_NEXT_OBSERVATIONS),
     BIT(O_ENV) | BIT(O_STEPS) | BIT(O_OUT)},
    {"render", command_render,
     "(CHECKPOINT | --policy POLICY) [--env NAME] [--seed N] [--episode N] [--steps N] --out "
     "FILE.png|FILE.gif | GRIDWORLD... [--seed N] [--steps N] [--tile-size N] [--first-person] --out "
     "FILE.png|FILE.gif",
     "draw an episode of a checkpoint or a script: a strip of pictures or an animation. Of a gridworld "
     "(MiniGrid-..., Navix-...): a level, after N random actions, or those (at most 100) as an animation; of "
     "several: a sheet of levels",
     0, -1,
     BIT(O_POLICY) | BIT(O_ENV) | BIT(O_SEED) | BIT(O_EPISODE) | BIT(O_STEPS) | BIT(O_WIDTH) | BIT(O_HEIGHT) |
         BIT(O_FRAMES) | BIT(O_OUT) | BIT(O_TILE_SIZE) | BIT(O_FIRST_PERSON) | BIT(O_MEAN) | BIT(O_SAMPLE),
     BIT(O_OUT)},
    {"play", command_play, "GRIDWORLD [--seed N] [--keys KEYS]",
     "play a gridworld (MiniGrid-..., Navix-...) in a terminal: " NX_KEYS_HELP, 1, 1,
     BIT(O_SEED) | BIT(O_KEYS), 0},
    {"convert", command_convert, "IN OUT", "CSV or .npz to D4RL-layout HDF5", 2, 2, 0, 0},
    {"bench", command_bench,
     "[--config FILE] [--obs-dim N] [--action-dim N] [--population N] [--rollouts|--dynamics] | --env NAME "
     "[--envs N] [--observation NAME] | --ppo --env NAME [--config FILE] [--population N]   [--threads N] "
     "[--steps N] [--windows N] [--device NAME] [--precision "
     "NAME]",
     "time updates on random data, model rollouts, an environment, or PPO; a line of JSON, on a CUDA device "
     "without --config one for each of some presets and populations",
     0, 0,
     BIT(O_ENV) | BIT(O_ROLLOUTS) | BIT(O_DYNAMICS) | BIT(O_CONFIG) | BIT(O_OBS_DIM) | BIT(O_ACTION_DIM) |
         BIT(O_THREADS) | BIT(O_STEPS) | BIT(O_POPULATION) | BIT(O_WINDOWS) | BIT(O_DEVICE) |
         BIT(O_PRECISION) | BIT(O_ENVS) | BIT(O_OBSERVATION) | BIT(O_PPO) | BIT(O_SET),
     0},
    {"bench hades", command_bench_hades,
     "[--config FILE] [--env NAME] [--set name=value]... [--steps N] [--windows N] [--threads N] [--device "
     "NAME]",
     "time generations of a distillation (default CartPole-v1, --steps generations a window) and steps of "
     "cloning",
     0, 0,
     BIT(O_CONFIG) | BIT(O_ENV) | BIT(O_SET) | BIT(O_STEPS) | BIT(O_WINDOWS) | BIT(O_THREADS) | BIT(O_DEVICE),
     0},
    {"bench synthenv", command_bench_synthenv, "FILE [--steps N] [--windows N]",
     "time a step of 1 to 1000 copies of a synthetic environment (default 101 windows of 10000 steps of "
     "copies)",
     1, 1, BIT(O_STEPS) | BIT(O_WINDOWS), 0},
    {"report", command_report, "FOLDER... --out FILE [--csv FILE]",
     "a page of many runs: mean over seeds, commands, published figures", 1, -1, BIT(O_OUT) | BIT(O_CSV),
     BIT(O_OUT)},
    {"protocol", command_protocol,
     "SOURCE... [--subsample N] [--max-pulls N] [--trials N] [--bootstraps N] [--ucb-alpha X] [--out DIR]",
     "expected score of the policy that so many online evaluations choose, from run folders or result stores",
     1, -1,
     BIT(O_SUBSAMPLE) | BIT(O_MAX_PULLS) | BIT(O_TRIALS) | BIT(O_BOOTSTRAPS) | BIT(O_UCB_ALPHA) |
         BIT(O_CONFIDENCE) | BIT(O_SEED) | BIT(O_THREADS) | BIT(O_OUT),
     0},
    {"sweep", command_sweep,
     "CONFIG --dataset FILE [--num-policies N] [--sweep-seed N | --grid] [--population N|auto] [--jobs N] "
     "[--slurm] [--store FILE] [--out DIR] [--set name=value]... [--protocol]",
     "train many policies: lists in CONFIG (or --set name=[a,b]) are axes; the same command goes on", 1, 1,
     BIT(O_SET) | BIT(O_SEED) | BIT(O_OUT) | BIT(O_THREADS) | BIT(O_DATASET) | BIT(O_QUIET) | BIT(O_ENV) |
         BIT(O_NUM_POLICIES) | BIT(O_SWEEP_SEED) | BIT(O_GRID) | BIT(O_RETRY) | BIT(O_STORE) | BIT(O_JOBS) |
         BIT(O_POPULATION) | BIT(O_SLURM) | BIT(O_BLOCK) | BIT(O_PROTOCOL),
     0},
    {"results", command_results,
     "STORE [--where name=value]... [--csv FILE] [--npz FOLDER] [--import PATH...]",
     "list, filter, export and import the results of a store", 1, -1,
     BIT(O_WHERE) | BIT(O_CSV) | BIT(O_NPZ) | BIT(O_IMPORT), 0},
    {"plot", command_plot,
     "RUN... [-o FILE.png|.svg|.pdf] [--by NAME] [--metric NAME] [--x updates|seconds] [--band KIND] "
     "[--smooth N] "
     "[--csv FILE] | RUN... --final [-o FILE] [--by NAME] [--csv FILE]",
     "draw learning curves of many runs, or their final scores (without -o: runs/learning_curves.png, "
     "runs/final_scores.png)",
     1, -1,
     BIT(O_OUT) | BIT(O_CSV) | BIT(O_BY) | BIT(O_METRIC) | BIT(O_X) | BIT(O_BAND) | BIT(O_SMOOTH) |
         BIT(O_FINAL) | BIT(O_CONFIDENCE) | BIT(O_BOOTSTRAPS) | BIT(O_SEED) | BIT(O_THREADS),
     0},
    {"envs", command_envs, "", "list the built-in environments and gridworlds", 0, 0, 0, 0},
};
#define NUM_COMMANDS ((int)(sizeof(commands) / sizeof(commands[0])))

static int print_help(const Command* c) {
    if (!c) {
        printf("unifloral %s: offline reinforcement learning in one hyperparameter space\n\n", uf_version());
        for (int i = 0; i < NUM_COMMANDS; i++)
            printf("  unifloral %-11s %s\n", commands[i].name, commands[i].help);
        printf(
            "\n`unifloral COMMAND --help` says more. Exit status: 0 done, 1 refused or failed, 2 misuse, "
            "128+signal stopped.\n");
        return DONE;
    }
    printf("usage: unifloral %s %s\n%s\n", c->name, c->usage, c->help);
    if (c->allowed) printf("\n");
    for (int i = 0; i < NUM_OPTIONS; i++) {
        char name[64];
        if (!(c->allowed & BIT(i))) continue;
        snprintf(name, sizeof(name), "--%s%s%s", options[i].name, options[i].value ? " " : "",
                 options[i].value ? options[i].value : "");
        printf("  %-20s %s\n", name, options[i].help);
    }
    const UfTable* table = c->function == command_train   ? &uf_config_table
                           : c->function == command_ppo   ? &uf_ppo_table
                           : c->function == command_hades ? &hd_table
                           : c->function == command_synthenv_meta || c->function == command_synthenv_train
                               ? &se_table
                               : NULL;
    if (table) {
        char* text;
        if (uf_table_help(table, &text) != UF_OK) return failed();
        printf("\nHyperparameters, in CONFIG as JSON or by --set (default < CONFIG < --set):\n%s", text);
        uf_free(text);
    }
    return DONE;
}

// A hyperparameter table as README.md holds it.
static int print_markdown(const UfTable* table) {
    char* text;
    if (uf_table_markdown(table, &text) != UF_OK) return failed();
    fputs(text, stdout);
    uf_free(text);
    return DONE;
}

static int misuse(const Command* c, const char* format, const char* what, const char* nearest) {
    fputs("error: ", stderr);
    fprintf(stderr, format, what);
    if (nearest) fprintf(stderr, "; did you mean %s?", nearest);
    fprintf(stderr, "; see: unifloral %s%s--help\n", c ? c->name : "", c ? " " : "");
    return MISUSE;
}

static int unknown_option(const Command* c, const char* argument) {
    const char* names[NUM_OPTIONS + 1] = {NULL};
    char nearest[64];
    int count = 0;
    for (int i = 0; i < NUM_OPTIONS; i++) {
        if (c->allowed & BIT(i)) names[count++] = options[i].name;
    }
    const char* name = uf_nearest_name(argument + strspn(argument, "-"), names);
    if (name) snprintf(nearest, sizeof(nearest), "--%s", name);
    return misuse(c, "unknown option '%s'", argument, name ? nearest : NULL);
}

static bool is_whole_number(const char* text, int64_t low, int64_t high) {
    char* end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    return *text && *text != ' ' && !*end && !errno && value >= low && value <= high;
}

static bool is_number(const char* text) {
    char* end;
    return *text && strtod(text, &end) >= 0 && !*end;
}

// Curves and final scores have options of their own. A number other than -1 is the exit status.
static int check_plot(const Command* c, const Args* args) {
    static const enum Option of_curves[] = {O_METRIC, O_X, O_BAND, O_SMOOTH},
                             of_final[] = {O_BOOTSTRAPS, O_SEED, O_THREADS};
    const char* band = args->values[O_BAND];
    char text[64];
    for (size_t i = 0; i < sizeof of_curves / sizeof of_curves[0] && args->values[O_FINAL]; i++) {
        snprintf(text, sizeof text, "--final and --%s", options[of_curves[i]].name);
        if (args->values[of_curves[i]]) return misuse(c, "%s contradict each other", text, NULL);
    }
    for (size_t i = 0; i < sizeof of_final / sizeof of_final[0] && !args->values[O_FINAL]; i++) {
        snprintf(text, sizeof text, "--%s", options[of_final[i]].name);
        if (args->values[of_final[i]]) return misuse(c, "%s is for --final", text, NULL);
    }
    if (args->values[O_CONFIDENCE] && !args->values[O_FINAL] && (!band || strcmp(band, "ci")))
        return misuse(c, "%s", "--confidence is for --final and --band ci", NULL);
    return -1;
}

// Checkpoints and scripts, and gridworlds, have options of their own. A number other than -1 is the exit status.
static int check_render(const Command* c, const Args* args) {
    static const enum Option of_episodes[] = {O_POLICY, O_ENV, O_EPISODE, O_WIDTH, O_HEIGHT, O_FRAMES},
                             of_gridworlds[] = {O_TILE_SIZE, O_FIRST_PERSON}, of_ppo[] = {O_MEAN, O_SAMPLE};
    const bool gridworld = args->num_files && is_gridworld(args->files[0]),
               ppo = args->num_files == 1 && uf_ppo_is_checkpoint(args->files[0]);
    char text[64];
    for (size_t i = 0; i < sizeof of_episodes / sizeof of_episodes[0] && ppo; i++) {
        snprintf(text, sizeof text, "--%s", options[of_episodes[i]].name);
        if (args->values[of_episodes[i]] && of_episodes[i] != O_ENV)
            return misuse(c, "%s is not for agents of PPO", text, NULL);
    }
    for (size_t i = 0; i < sizeof of_ppo / sizeof of_ppo[0] && !ppo; i++) {
        snprintf(text, sizeof text, "--%s", options[of_ppo[i]].name);
        if (args->values[of_ppo[i]]) return misuse(c, "%s is for agents of PPO", text, NULL);
    }
    if (ppo) return -1;
    for (size_t i = 0; i < sizeof of_episodes / sizeof of_episodes[0] && gridworld; i++) {
        snprintf(text, sizeof text, "--%s", options[of_episodes[i]].name);
        if (args->values[of_episodes[i]]) return misuse(c, "%s is not for gridworlds", text, NULL);
    }
    for (size_t i = 0; i < sizeof of_gridworlds / sizeof of_gridworlds[0] && !gridworld; i++) {
        snprintf(text, sizeof text, "--%s", options[of_gridworlds[i]].name);
        if (args->values[of_gridworlds[i]]) return misuse(c, "%s is for gridworlds", text, NULL);
    }
    if (gridworld) return -1;
    if (args->num_files > 1)
        return misuse(c, "'%s' is one argument too many: only gridworlds share a sheet", args->files[1],
                      NULL);
    if ((args->num_files > 0) == (args->values[O_POLICY] != NULL))
        return misuse(c, "what acts is %s: either a checkpoint or --policy",
                      args->num_files ? "given twice" : "missing", NULL);
    return -1;
}

// What is drawn at random, and where, is for a picture. A number other than -1 is the exit status.
static int check_show(const Command* c, const Args* args) {
    if (args->values[O_OUT]) return -1;
    if (args->values[O_ENV]) return misuse(c, "%s", "--env is for --out", NULL);
    return args->values[O_SEED] ? misuse(c, "%s", "--seed is for --out", NULL) : -1;
}

// Options may be written --name value or --name=value. Fills args; a number other than -1 is the exit status.
static int parse(const Command* c, int argc, char** argv, Args* args) {
    bool only_files = false;
    char text[128];
    for (int i = 0; i < argc; i++) {
        const char* a = argv[i];
        if (!only_files && !strcmp(a, "-o")) a = "--out";
        if (only_files || a[0] != '-' || !a[1]) {
            if (c->max_files >= 0 && args->num_files == c->max_files)
                return misuse(c, "'%s' is one argument too many", a, NULL);
            args->files[args->num_files++] = a;
            continue;
        }
        if (!strcmp(a, "--")) {
            only_files = true;
            continue;
        }
        if (!strcmp(a, "--help") || !strcmp(a, "-h")) return print_help(c);
        const char* equals = strchr(a, '=');
        size_t length = equals ? (size_t)(equals - a) : strlen(a);
        int o = 0;
        while (o < NUM_OPTIONS && !((c->allowed & BIT(o)) && length == strlen(options[o].name) + 2 &&
                                    !strncmp(a, "--", 2) && !strncmp(a + 2, options[o].name, length - 2)))
            o++;
        if (o == NUM_OPTIONS) return unknown_option(c, a);
        const OptionRow* row = &options[o];
        if (!row->value && equals) return misuse(c, "--%s takes no value", row->name, NULL);
        const char* value = !row->value ? "" : equals ? equals + 1 : i + 1 < argc ? argv[++i] : NULL;
        snprintf(text, sizeof(text), "--%s %s", row->name, row->value ? row->value : "");
        if (!value || (row->value && !*value)) return misuse(c, "%s: the value is missing", text, NULL);
        if (row->high && !is_whole_number(value, row->low, row->high)) {
            snprintf(text, sizeof(text),
                     "--%s wants a whole number from %" PRId64 " to %" PRId64 ", not '%%s'", row->name,
                     row->low, row->high);
            return misuse(c, text, value, NULL);
        }
        if (o == O_SET && (!strchr(value, '=') || *value == '='))
            return misuse(c, "--set wants name=value, not '%s'", value, NULL);
        if (o == O_SET) args->sets[args->num_sets++] = value;
        if (o == O_WHERE) args->wheres[args->num_wheres++] = value;
        args->values[o] = value;
    }
    for (int o = 0; o < NUM_OPTIONS; o++) {
        if ((c->required & BIT(o)) && !args->values[o])
            return misuse(c, "--%s is missing", options[o].name, NULL);
    }
    if (c->function == command_collect && !args->values[O_POLICY] && !args->values[O_MIX])
        return misuse(c, "%s is missing: what acts", "--policy or --mix", NULL);
    if (c->function == command_synthenv_make && !args->values[O_DATASET] && !args->values[O_CHECKPOINT])
        return misuse(c, "%s is missing", "--dataset or --checkpoint", NULL);
    if (c->function == command_dynamics && !args->values[O_CONFIG] && !args->values[O_RESUME])
        return misuse(c, "%s is missing", "--config or --resume", NULL);
    if (c->function == command_render && check_render(c, args) >= 0) return MISUSE;
    if (c->function == command_synthenv_show && check_show(c, args) >= 0) return MISUSE;
    if (args->values[O_POLICY] && args->values[O_MIX])
        return misuse(c, "%s contradict each other", "--policy and --mix", NULL);
    if (args->values[O_MEAN] && args->values[O_SAMPLE])
        return misuse(c, "%s contradict each other", "--mean and --sample", NULL);
    static const enum Option reals[] = {O_NOISE, O_UCB_ALPHA, O_CONFIDENCE, O_GAMMA, O_RETURN_TEMPERATURE};
    for (size_t i = 0; i < sizeof(reals) / sizeof(reals[0]); i++) {
        const char* value = args->values[reals[i]];
        snprintf(text, sizeof(text), "--%s wants a number of at least 0, not '%%s'", options[reals[i]].name);
        if (value && !is_number(value)) return misuse(c, text, value, NULL);
    }
    const char* population = args->values[O_POPULATION];
    const bool may_choose = c->function == command_sweep;
    snprintf(text, sizeof(text), "--population wants a whole number from 1 to %d%s, not '%%s'",
             UF_MAX_POPULATION, may_choose ? ", or auto" : "");
    if (population && !is_whole_number(population, 1, UF_MAX_POPULATION) &&
        !(may_choose && !strcmp(population, "auto")))
        return misuse(c, text, population, NULL);
    if (args->values[O_GRID] && args->values[O_NUM_POLICIES])
        return misuse(c, "%s contradict each other: a grid has all combinations", "--grid and --num-policies",
                      NULL);
    if (args->values[O_GRID] && args->values[O_SWEEP_SEED])
        return misuse(c, "%s contradict each other: nothing of a grid is drawn", "--grid and --sweep-seed",
                      NULL);
    if (args->values[O_SLURM] && args->values[O_BLOCK])
        return misuse(c, "%s contradict each other: a task submits nothing", "--slurm and --block", NULL);
    if (c->function == command_results && args->num_files > 1 && !args->values[O_IMPORT])
        return misuse(c, "'%s' is one argument too many; --import PATH... puts results into a store",
                      args->files[1], NULL);
    if (c->function == command_plot && check_plot(c, args) >= 0) return MISUSE;
    // A run to resume brings its own configuration.
    bool resumed = args->values[O_RESUME] != NULL;
    if (args->num_files < c->min_files && !resumed)
        return misuse(c, "an argument is missing: %s", c->usage, NULL);
    if (c->function == command_train && args->num_files > 1 && resumed)
        return misuse(c, "%s: several configurations go on by the same command", "--resume", NULL);
    if (c->function == command_train && args->num_files > 1 && !args->values[O_OUT])
        return misuse(c, "%s is missing: the folder for the runs of several configurations", "--out", NULL);
    if (resumed && args->values[O_OUT])
        return misuse(c, "%s contradict each other: a resumed run stays in its folder", "--resume and --out",
                      NULL);
    return -1;
}

int main(int argc, char** argv) {
    const char* names[NUM_COMMANDS + 2] = {NULL};
    const Command* command = NULL;
    signal(SIGPIPE, SIG_IGN);
    H5dont_atexit();  // HDF5 1.10 crashes at exit over a file that it could not write: the disk was full
    if (argc < 2) return misuse(NULL, "%s", "a command is missing", NULL);
    if (!strcmp(argv[1], "--version")) return printf("unifloral %s\n", uf_version()) < 0;
    bool help = !strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h");
    if (help && argc < 3) return print_help(NULL);
    if (help && !strcmp(argv[2], "--markdown"))
        return print_markdown(argc > 3 && !strcmp(argv[3], "ppo")        ? &uf_ppo_table
                              : argc > 3 && !strcmp(argv[3], "hades")    ? &hd_table
                              : argc > 3 && !strcmp(argv[3], "synthenv") ? &se_table
                                                                         : &uf_config_table);

    // Some commands are two words.
    int first = help ? 2 : 1;
    const char* name = argv[first++];
    char words[128] = "";
    if (first < argc) snprintf(words, sizeof(words), "%s %s", name, argv[first]);
    for (int i = 0; i < NUM_COMMANDS; i++) {
        names[i] = commands[i].name;
        if (!command && !strcmp(name, commands[i].name)) command = &commands[i];
        if (strcmp(words, commands[i].name)) continue;
        command = &commands[i];
        first++;
    }
    names[NUM_COMMANDS] = "help";
    const size_t length = strlen(name);
    for (int i = 0; i < NUM_COMMANDS && !command; i++)
        if (!strncmp(commands[i].name, name, length) && commands[i].name[length] == ' ')
            return misuse(NULL, "'%s' is the first of two words", name, commands[i].name);
    if (!command) return misuse(NULL, "unknown command '%s'", name, uf_nearest_name(name, names));
    if (help) return print_help(command);

    Args args = {.sets = calloc((size_t)argc, sizeof(char*)),
                 .files = calloc((size_t)argc, sizeof(char*)),
                 .wheres = calloc((size_t)argc, sizeof(char*))};
    int status =
        args.sets && args.files && args.wheres ? parse(command, argc - first, argv + first, &args) : FAILED;
    if (status < 0) status = command->function(&args);
    free(args.sets);
    free(args.files);
    free(args.wheres);
    if ((fflush(stdout) || ferror(stdout)) && status == DONE && errno != EPIPE) {
        fprintf(stderr, "error: cannot write the output: %s\n", strerror(errno));
        status = FAILED;
    }
    return status;
}
