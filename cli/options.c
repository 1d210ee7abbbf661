// options.c: what is on the command line: the table of options, help, misuse, and the parser.
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/grid/grid_tiles.h"  // NX_MAX_TILE_SIZE
#include "core/runs/render.h"      // UF_RENDER_MIN_SIDE
#include "core/sweeps/sweep.h"     // UF_MAX_POPULATION

_Static_assert(NUM_OPTIONS <= 128, "an option is a bit of an OptionSet");

const OptionRow cli_options[NUM_OPTIONS] = {
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
                 "rollouts (1), with --env steps (1000); synthenv make: of the optimiser (10000)",
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
    [O_METRIC] = {"metric", "NAME",
                  "column of log.jsonl (default: evaluation score, or return where there are no scores; of "
                  "world models validation)",
                  0, 0},
    [O_X] = {"x", "AXIS",
             "updates (default; epochs of world models) or seconds. Lines of runs that were logged at "
             "different places are interpolated, as far as all runs of a group go, and a note says so",
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
    [O_CHECKPOINT] = {"checkpoint", "FILE",
                      "checkpoint or run folder of `unifloral train` whose Q the rewards are (default: the "
                      "dataset's behaviour)",
                      0, 0},
    [O_HIDDEN] = {"width", "N", "hidden units (default 64, or twice an observation where that is more)", 1,
                  2048},
    [O_RETURN_TEMPERATURE] =
        {"return-temperature", "X",
         "behaviour: rows weigh exp(their episode's return, standardised, over X) (default 0: alike)", 0, 0},
    [O_INIT_FROM] = {"init-from", "FILE", "as --set init_from=FILE", 0, 0},
};

// ---- values ----

int64_t cli_number(const Args* args, enum Option option, int64_t otherwise) {
    const char* value = args->values[option];
    return value ? strtoll(value, NULL, 10) : otherwise;  // the parser checked it
}

double cli_real(const Args* args, enum Option option, double otherwise) {
    const char* value = args->values[option];
    return value ? strtod(value, NULL) : otherwise;  // likewise
}

bool cli_is_whole_number(const char* text, int64_t low, int64_t high) {
    char* end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    return *text && *text != ' ' && !*end && !errno && value >= low && value <= high;
}

bool cli_is_number(const char* text) {
    char* end;
    return *text && strtod(text, &end) >= 0 && !*end;
}

const char* cli_first_given(const Args* args, const enum Option* list) {
    for (; *list != NUM_OPTIONS; list++)
        if (args->values[*list]) return cli_options[*list].name;
    return NULL;
}

// ---- help and misuse ----

int cli_help(const Command* c) {
    printf("usage: unifloral %s %s\n%s\n", c->name, c->usage, c->help);
    if (c->allowed) printf("\n");
    for (int i = 0; i < NUM_OPTIONS; i++) {
        const OptionRow* row = &cli_options[i];
        char name[64];
        if (!(c->allowed & BIT(i))) continue;
        snprintf(name, sizeof(name), "--%s%s%s", row->name, row->value ? " " : "",
                 row->value ? row->value : "");
        printf("  %-20s %s\n", name, row->help);
    }
    if (c->table) {
        char* text;
        if (uf_table_help(c->table, &text) != UF_OK) return cli_failed();
        printf("\nHyperparameters, in CONFIG as JSON or by --set (default < CONFIG < --set):\n%s", text);
        uf_free(text);
    }
    return DONE;
}

int cli_misuse(const Command* c, const char* format, ...) {
    va_list arguments;
    fputs("error: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "; see: unifloral %s%s--help\n", c ? c->name : "", c ? " " : "");
    return MISUSE;
}

static int unknown_option(const Command* c, const char* argument) {
    const char* names[NUM_OPTIONS + 1] = {NULL};
    int count = 0;
    for (int i = 0; i < NUM_OPTIONS; i++) {
        if (c->allowed & BIT(i)) names[count++] = cli_options[i].name;
    }
    const char* nearest = uf_nearest_name(argument + strspn(argument, "-"), names);
    return nearest ? cli_misuse(c, "unknown option '%s'; did you mean --%s?", argument, nearest)
                   : cli_misuse(c, "unknown option '%s'", argument);
}

// ---- what goes together ----

int cli_check_population(const Command* c, const Args* args) {
    const char* population = args->values[O_POPULATION];
    if (!population || cli_is_whole_number(population, 1, UF_MAX_POPULATION)) return GO_ON;
    return cli_misuse(c, "--population wants a whole number from 1 to %d, not '%s'", UF_MAX_POPULATION,
                      population);
}

// What holds for every command.
static int check(const Command* c, const Args* args) {
    static const enum Option reals[] = {O_NOISE, O_UCB_ALPHA, O_CONFIDENCE, O_GAMMA, O_RETURN_TEMPERATURE};
    // A run to resume brings its own configuration.
    const bool resumed = args->values[O_RESUME] != NULL;
    for (int o = 0; o < NUM_OPTIONS; o++) {
        if ((c->required & BIT(o)) && !args->values[o])
            return cli_misuse(c, "--%s is missing", cli_options[o].name);
    }
    const int status = c->check ? c->check(c, args) : GO_ON;
    if (status != GO_ON) return status;
    if (args->values[O_MEAN] && args->values[O_SAMPLE])
        return cli_misuse(c, "--mean and --sample contradict each other");
    for (size_t i = 0; i < sizeof(reals) / sizeof(reals[0]); i++) {
        const char* value = args->values[reals[i]];
        if (value && !cli_is_number(value))
            return cli_misuse(c, "--%s wants a number of at least 0, not '%s'", cli_options[reals[i]].name,
                              value);
    }
    if (args->num_files < c->files.min && !resumed)
        return cli_misuse(c, "an argument is missing: %s", c->usage);
    if (resumed && args->values[O_OUT])
        return cli_misuse(c, "--resume and --out contradict each other: a resumed run stays in its folder");
    return GO_ON;
}

// ---- the command line ----

// Of the first `length` bytes of an argument. NUM_OPTIONS: the command has no such option.
static enum Option find_option(const Command* c, const char* argument, size_t length) {
    int o = 0;
    while (o < NUM_OPTIONS &&
           !((c->allowed & BIT(o)) && length == strlen(cli_options[o].name) + 2 &&
             !strncmp(argument, "--", 2) && !strncmp(argument + 2, cli_options[o].name, length - 2)))
        o++;
    return o;
}

static int take_value(const Command* c, Args* args, enum Option o, const char* value) {
    const OptionRow* row = &cli_options[o];
    if (!value || (row->value && !*value))
        return cli_misuse(c, "--%s %s: the value is missing", row->name, row->value ? row->value : "");
    if (row->high && !cli_is_whole_number(value, row->low, row->high))
        return cli_misuse(c, "--%s wants a whole number from %" PRId64 " to %" PRId64 ", not '%s'", row->name,
                          row->low, row->high, value);
    if (o == O_SET && (!strchr(value, '=') || *value == '='))
        return cli_misuse(c, "--set wants name=value, not '%s'", value);
    if (o == O_SET) args->sets[args->num_sets++] = value;
    if (o == O_WHERE) args->wheres[args->num_wheres++] = value;
    args->values[o] = value;
    return GO_ON;
}

int cli_parse(const Command* c, int argc, char** argv, Args* args) {
    bool only_files = false;
    for (int i = 0; i < argc; i++) {
        const char* a = argv[i];
        if (!only_files && !strcmp(a, "-o")) a = "--out";
        if (only_files || a[0] != '-' || !a[1]) {
            if (c->files.max >= 0 && args->num_files == c->files.max)
                return cli_misuse(c, "'%s' is one argument too many", a);
            args->files[args->num_files++] = a;
            continue;
        }
        if (!strcmp(a, "--")) {
            only_files = true;
            continue;
        }
        if (!strcmp(a, "--help") || !strcmp(a, "-h")) return cli_help(c);
        const char* equals = strchr(a, '=');
        const enum Option o = find_option(c, a, equals ? (size_t)(equals - a) : strlen(a));
        if (o == NUM_OPTIONS) return unknown_option(c, a);
        const OptionRow* row = &cli_options[o];
        if (!row->value && equals) return cli_misuse(c, "--%s takes no value", row->name);
        const char* value = !row->value ? "" : equals ? equals + 1 : i + 1 < argc ? argv[++i] : NULL;
        const int status = take_value(c, args, o, value);
        if (status != GO_ON) return status;
    }
    return check(c, args);
}
