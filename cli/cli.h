// cli.h: what the files of the command line share: options, commands, and what several commands do alike.
//
// Of the program alone, and what prints: the library never does. A command is a function of its arguments that returns
// the exit status, and a row of main.c's table.
#ifndef UF_CLI_H
#define UF_CLI_H

#include <signal.h>  // sig_atomic_t

#include "core/agents/ppo.h"
#include "core/config.h"
#include "core/runs/run.h"

// Exit statuses; more than 128: stopped by that signal. GO_ON: none yet.
enum { GO_ON = -1, DONE = 0, FAILED = 1, MISUSE = 2 };

// ---- options ----

// In the order in which --help lists them.
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
extern const OptionRow cli_options[NUM_OPTIONS];

__extension__ typedef unsigned __int128 OptionSet;
#define BIT(option) ((OptionSet)1 << (option))

typedef struct Args {
    const char* values[NUM_OPTIONS];  // "" for a switch that is on; NULL: not given
    const char** sets;
    const char** files;
    const char** wheres;
    int num_sets, num_files, num_wheres;
} Args;

// ---- commands ----

typedef struct Command Command;
typedef int CommandFunction(const Args* args);
// Refuses options that do not go together: GO_ON, or the exit status.
typedef int CheckFunction(const Command* c, const Args* args);

struct Command {
    const char* name;
    CommandFunction* function;
    const char *usage, *help;
    struct {
        int min, max;  // -1: any number
    } files;
    OptionSet allowed, required;
    CheckFunction* check;  // NULL: all that is allowed goes together
    const UfTable* table;  // hyperparameters that --help lists.   NULL: none
};

// train.c
CommandFunction cli_train, cli_online, cli_dynamics;
CheckFunction cli_check_train, cli_check_dynamics;
// ppo.c
CommandFunction cli_ppo;
// hades.c
CommandFunction cli_hades, cli_hades_show, cli_hades_try, cli_hades_vary, cli_hades_sweep, cli_hades_merge;
// synthenv.c
CommandFunction cli_synthenv_meta, cli_synthenv_train, cli_synthenv_sweep, cli_synthenv_import,
    cli_synthenv_make, cli_synthenv_info, cli_synthenv_play, cli_synthenv_show;
CheckFunction cli_check_synthenv_make, cli_check_synthenv_show;
// eval.c
CommandFunction cli_eval, cli_fqe, cli_info, cli_verify;
// data.c
CommandFunction cli_collect, cli_convert;
CheckFunction cli_check_collect;
// pictures.c
CommandFunction cli_render, cli_play, cli_plot, cli_report, cli_envs;
CheckFunction cli_check_render, cli_check_plot;
// bench.c
CommandFunction cli_bench, cli_bench_hades, cli_bench_synthenv;
// sweep.c
CommandFunction cli_sweep, cli_results, cli_protocol;
CheckFunction cli_check_sweep, cli_check_results;

// ---- options.c: what is on the command line ----

// Options may be written --name value or --name=value. Fills args, whose lists have room for argc entries.
// GO_ON, or the exit status: --help was printed, or a misuse.
int cli_parse(const Command* c, int argc, char** argv, Args* args);
int cli_help(const Command* c);
// Prints the sentence and where help is.   Nullable: c
int cli_misuse(const Command* c, const char* format, ...) __attribute__((format(printf, 2, 3)));
int64_t cli_number(const Args* args, enum Option option, int64_t otherwise);
double cli_real(const Args* args, enum Option option, double otherwise);
bool cli_is_number(const char* text);  // of at least 0
bool cli_is_whole_number(const char* text, int64_t low, int64_t high);
CheckFunction cli_check_population;  // a number
// Name of the first of `list`, which NUM_OPTIONS ends, that is given. NULL: none is.
const char* cli_first_given(const Args* args, const enum Option* list);

// ---- configure.c: options that become hyperparameters ----

// An option that stands for --set of one hyperparameter. A list ends where the name is NULL.
typedef struct Sugar {
    enum Option option;
    const char* name;
} Sugar;

// default < file < --set and what stands for it, over what config holds; with axes, lists are axes.
// Nullable: file, axes
UfStatus cli_configure(const Args* args, const char* file, const UfTable* table, const Sugar* sugar,
                       void* config, UfAxes* axes);
// Puts before the sentence of a check where the configuration is from.   Nullable: file
UfStatus cli_checked(const Args* args, UfStatus status, const char* file, const char* command);
// ppo.c: of a resumed run its own configuration comes first. Free *out with uf_free in any case.
UfStatus cli_ppo_config(const Args* args, UfPpoConfig** out);

// ---- progress.c: while a command works ----

// A signal that asks to finish the update and save; 0: none came.
extern volatile sig_atomic_t cli_stop_signal;
void cli_catch_signals(void);

typedef struct Screen {
    bool terminal, quiet;
} Screen;
Screen cli_screen(const Args* args);
// A terminal has one line that is redrawn; elsewhere each interval is a plain line. user: a Screen
UfRunProgressFn cli_on_progress, cli_on_ppo_progress, cli_on_search_progress;
void cli_clear_progress(const Screen* screen);

// ---- output.c: what a command says ----

int cli_failed(void);  // prints uf_error()
// Prints a text, if what it is about went well, and frees it.
int cli_print(UfStatus status, char* text);
int cli_print_text(UfStatus status, UfText* text);
void cli_print_notes(const char* notes);
void cli_print_evaluation(const Args* args, const char* env, const UfEvaluation* e);

#endif
