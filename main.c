// main.c: the command line. A table of commands; each is one function of cli/, where the table of options is too.
//
// Exit status: 0 done; 1 refused or failed, one sentence on standard error; 2 misuse of the command line; 128 + signal
// when stopped. All printing of the project happens here and in cli/.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hdf5.h>  // H5dont_atexit

#include "cli/cli.h"
#include "core/grid/grid_play.h"       // NX_KEYS_HELP
#include "core/search/hades_search.h"  // hd_table
#include "core/synth/synth_agents.h"   // se_table

static const Command commands[] = {
    {.name = "train",
     .function = cli_train,
     .usage = "CONFIG... [--set name=value]... [--seed N] [--out DIR] [--resume DIR] [--threads N] "
              "[--dataset FILE] [--env NAME] [--init-from BANDIT.h5]",
     .help = "train by a JSON configuration, evaluate, keep checkpoints. Several configurations train in one "
             "process, as one population where they fit together, each in a folder of --out that is named "
             "after it; the same command goes on",
     .files = {1, -1},
     .allowed = BIT(O_SET) | BIT(O_SEED) | BIT(O_OUT) | BIT(O_RESUME) | BIT(O_THREADS) | BIT(O_DATASET) |
                BIT(O_QUIET) | BIT(O_ENV) | BIT(O_DEVICE) | BIT(O_PRECISION) | BIT(O_INIT_FROM),
     .check = cli_check_train,
     .table = &uf_config_table},
    {.name = "online",
     .function = cli_online,
     .usage = "CONFIG [--env NAME] [--steps N] [--start-steps N] [--out DIR] [--resume DIR] [--datasets DIR]",
     .help = "train on the policy's own steps in an environment, and make datasets of it",
     .files = {1, 1},
     .allowed = BIT(O_SET) | BIT(O_SEED) | BIT(O_OUT) | BIT(O_RESUME) | BIT(O_THREADS) | BIT(O_QUIET) |
                BIT(O_ENV) | BIT(O_STEPS) | BIT(O_START_STEPS) | BIT(O_MEDIUM_SCORE) | BIT(O_DATASETS) |
                BIT(O_DATASET_STEPS) | BIT(O_DEVICE) | BIT(O_PRECISION)},
    {.name = "dynamics",
     .function = cli_dynamics,
     .usage = "--config FILE --dataset FILE [--set name=value]... [--seed N] [--out DIR] [--resume DIR] "
              "[--threads N]",
     .help = "train the world model of a dataset: an ensemble that predicts next observations and rewards",
     .allowed = BIT(O_CONFIG) | BIT(O_DATASET) | BIT(O_SET) | BIT(O_SEED) | BIT(O_OUT) | BIT(O_RESUME) |
                BIT(O_THREADS) | BIT(O_QUIET) | BIT(O_ENV),
     .check = cli_check_dynamics},
    {.name = "ppo",
     .function = cli_ppo,
     .usage =
         "[--config FILE] --env NAME|FILE.h5 [--steps N] [--population N] [--set name=value]... [--seed N] "
         "[--out DIR] [--resume DIR] [--threads N] [--device cpu|cuda|auto] [--precision tf32|bf16|fp32]",
     .help = "train agents by PPO in an environment, a gridworld say, or a synthetic one in a file; --steps "
             "N as --set budget=N",
     .allowed = BIT(O_CONFIG) | BIT(O_ENV) | BIT(O_STEPS) | BIT(O_POPULATION) | BIT(O_SET) | BIT(O_SEED) |
                BIT(O_OUT) | BIT(O_RESUME) | BIT(O_THREADS) | BIT(O_QUIET) | BIT(O_DEVICE) | BIT(O_PRECISION),
     .check = cli_check_population,
     .table = &uf_ppo_table},
    {.name = "hades",
     .function = cli_hades,
     .usage = "[--config FILE] --env NAME [--set name=value]... [--seed N] [--out DIR] [--resume DIR] "
              "[--threads N] [--device cpu|cuda|auto]",
     .help = "distil a few state-action pairs on which behaviour cloning trains a good policy, by evolution "
             "strategies. Under mpirun or srun the processes share each generation",
     .allowed = BIT(O_CONFIG) | BIT(O_ENV) | BIT(O_SET) | BIT(O_SEED) | BIT(O_OUT) | BIT(O_RESUME) |
                BIT(O_THREADS) | BIT(O_QUIET) | BIT(O_DEVICE),
     .table = &hd_table},
    {.name = "hades show",
     .function = cli_hades_show,
     .usage = "FILE [--out FILE.png|.svg|.pdf]",
     .help = "print a distilled dataset and draw all of it: each state as it looks, with its action",
     .files = {1, 1},
     .allowed = BIT(O_OUT)},
    {.name = "hades try",
     .function = cli_hades_try,
     .usage = "FILE [--env NAME] [--inits N] [--episodes N] [--seed N] [--config FILE] [--set name=value]... "
              "[--controls]",
     .help = "clone policies with fresh initial weights from a distilled dataset and play them: --set "
             "layer_width=128, say, for other networks than the search had",
     .files = {1, 1},
     .allowed = BIT(O_ENV) | BIT(O_INITS) | BIT(O_EPISODES) | BIT(O_SEED) | BIT(O_CONFIG) | BIT(O_SET) |
                BIT(O_CONTROLS) | BIT(O_THREADS) | BIT(O_DEVICE)},
    {.name = "hades vary",
     .function = cli_hades_vary,
     .usage = "FILE [--env NAME] [--config FILE] [--set name=[a,b]]... [--inits N] [--episodes N] [--seed N]",
     .help = "the same for each value of each list in turn: how the dataset does with other networks and "
             "other cloning",
     .files = {1, 1},
     .allowed = BIT(O_ENV) | BIT(O_INITS) | BIT(O_EPISODES) | BIT(O_SEED) | BIT(O_CONFIG) | BIT(O_SET) |
                BIT(O_THREADS) | BIT(O_DEVICE)},
    {.name = "hades sweep",
     .function = cli_hades_sweep,
     .usage =
         "[--config FILE] [--set name=[a,b]]... --out DIR [--seed N] [--threads N] [--device cpu|cuda|auto]",
     .help = "a distillation for each combination of the lists in --config or --set, a table over their "
             "seeds and a figure; the same command goes on",
     .allowed = BIT(O_CONFIG) | BIT(O_ENV) | BIT(O_SET) | BIT(O_SEED) | BIT(O_OUT) | BIT(O_THREADS) |
                BIT(O_QUIET) | BIT(O_DEVICE),
     .required = BIT(O_OUT)},
    {.name = "hades merge",
     .function = cli_hades_merge,
     .usage = "FILE FILE... [--apart] --out FILE",
     .help = "put distilled datasets of several tasks together, for one policy of all",
     .files = {2, -1},
     .allowed = BIT(O_APART) | BIT(O_OUT),
     .required = BIT(O_OUT)},
    {.name = "synthenv meta",
     .function = cli_synthenv_meta,
     .usage = "[--config FILE] --env NAME [--set name=value]... [--seed N] [--out DIR] [--resume DIR] "
              "[--threads N] [--device cpu|cuda|auto]",
     .help = "search for a synthetic environment in which agents of any algorithm become good in a real one, "
             "by evolution strategies. Under mpirun or srun the processes share each generation",
     .allowed = BIT(O_CONFIG) | BIT(O_ENV) | BIT(O_SET) | BIT(O_SEED) | BIT(O_OUT) | BIT(O_RESUME) |
                BIT(O_THREADS) | BIT(O_DEVICE) | BIT(O_QUIET),
     .table = &se_table},
    {.name = "synthenv train",
     .function = cli_synthenv_train,
     .usage = "FILE [--algorithms LIST] [--agents N] [--episodes N] [--controls] [--each] [--config FILE] "
              "[--set name=value]... [--env NAME] [--seed N] [--threads N] [--device cpu|cuda|auto] [--json] "
              "[--out FILE.png|.svg|.pdf]",
     .help = "train agents of each algorithm, with hyperparameters drawn from lists, in a synthetic "
             "environment and play them in the real one; with --controls also as many that train in the real "
             "one for as many steps; with --out also a picture: their returns by algorithm and by learning "
             "rate, and one of them at play",
     .files = {1, 1},
     .allowed = BIT(O_ALGORITHMS) | BIT(O_AGENTS) | BIT(O_EPISODES) | BIT(O_CONTROLS) | BIT(O_EACH) |
                BIT(O_CONFIG) | BIT(O_SET) | BIT(O_ENV) | BIT(O_SEED) | BIT(O_THREADS) | BIT(O_DEVICE) |
                BIT(O_JSON) | BIT(O_OUT),
     .table = &se_table},
    {.name = "synthenv sweep",
     .function = cli_synthenv_sweep,
     .usage = "[--config FILE] [--set name=[a,b]]... --out DIR [--env NAME] [--seed N] [--threads N] "
              "[--device cpu|cuda|auto]",
     .help = "a search for each combination of the lists in --config or --set, a table over their seeds and "
             "a figure; the same command goes on",
     .allowed = BIT(O_CONFIG) | BIT(O_ENV) | BIT(O_SET) | BIT(O_SEED) | BIT(O_OUT) | BIT(O_THREADS) |
                BIT(O_DEVICE) | BIT(O_QUIET),
     .required = BIT(O_OUT)},
    {.name = "synthenv import",
     .function = cli_synthenv_import,
     .usage = "FILE NAME --out FILE",
     .help = "take one of the published synthetic environments, cartpole or CartPole-v1, say, out of a file "
             "of them",
     .files = {2, 2},
     .allowed = BIT(O_OUT),
     .required = BIT(O_OUT)},
    {.name = "synthenv make",
     .function = cli_synthenv_make,
     .usage = "(--dataset FILE | --checkpoint FILE [--dataset FILE]) --out FILE [--env NAME] [--steps N] "
              "[--width N] [--seed N] [--return-temperature X] [--threads N]",
     .help = "make a bandit of a dataset's behaviour or of a checkpoint's Q, to begin training from: train "
             "--init-from",
     .allowed = BIT(O_DATASET) | BIT(O_CHECKPOINT) | BIT(O_OUT) | BIT(O_ENV) | BIT(O_STEPS) | BIT(O_HIDDEN) |
                BIT(O_SEED) | BIT(O_RETURN_TEMPERATURE) | BIT(O_THREADS),
     .required = BIT(O_OUT),
     .check = cli_check_synthenv_make},
    {.name = "synthenv info",
     .function = cli_synthenv_info,
     .usage = "FILE",
     .help = "describe a synthetic environment: its first observations, rewards and best actions, and what "
             "these depend on",
     .files = {1, 1}},
    {.name = "synthenv play",
     .function = cli_synthenv_play,
     .usage = "FILE [--env NAME] [--episodes N] [--seed N] [--threads N] [--json]",
     .help = "act by the largest reward of a synthetic environment in the environment that it stands for, or "
             "--env",
     .files = {1, 1},
     .allowed = BIT(O_ENV) | BIT(O_EPISODES) | BIT(O_SEED) | BIT(O_THREADS) | BIT(O_JSON)},
    {.name = "synthenv show",
     .function = cli_synthenv_show,
     .usage = "FILE [--out FILE.png|.svg|.pdf] [--env NAME] [--seed N]",
     .help = "describe a synthetic environment and draw it: best actions and rewards, what they depend on, "
             "where episodes lead",
     .files = {1, 1},
     .allowed = BIT(O_OUT) | BIT(O_ENV) | BIT(O_SEED),
     .check = cli_check_synthenv_show},
    {.name = "eval",
     .function = cli_eval,
     .usage = "CHECKPOINT [--env NAME] [--episodes N] [--seed N] [--threads N] [--workers N] "
              "[--mean|--sample] [--json]",
     .help = "evaluate the policy of a checkpoint (a file or a run folder)",
     .files = {1, 1},
     .allowed = BIT(O_ENV) | BIT(O_EPISODES) | BIT(O_SEED) | BIT(O_THREADS) | BIT(O_WORKERS) | BIT(O_JSON) |
                BIT(O_MEAN) | BIT(O_SAMPLE)},
    {.name = "fqe",
     .function = cli_fqe,
     .usage = "CHECKPOINT... --dataset FILE [--num-updates N] [--gamma X] [--set name=value]... [--seed N] "
              "[--threads N] [--env NAME] [--json] [--out FILE]",
     .help = "rank policies by fitted Q evaluation on a dataset, without an environment",
     .files = {1, -1},
     .allowed = BIT(O_DATASET) | BIT(O_NUM_UPDATES) | BIT(O_GAMMA) | BIT(O_SET) | BIT(O_SEED) |
                BIT(O_THREADS) | BIT(O_ENV) | BIT(O_JSON) | BIT(O_OUT) | BIT(O_QUIET),
     .required = BIT(O_DATASET)},
    {.name = "info",
     .function = cli_info,
     .usage = "FILE...",
     .help = "describe datasets, checkpoints, world models, synthetic environments and results",
     .files = {1, -1}},
    {.name = "verify",
     .function = cli_verify,
     .usage = "[--device cpu|cuda|auto] [--precision tf32|bf16|fp32] FILE...",
     .help = "replay recorded updates and traces; PASS or FAIL",
     .files = {1, -1},
     .allowed = BIT(O_DEVICE) | BIT(O_PRECISION)},
    {.name = "collect",
     .function = cli_collect,
     .usage = "--env NAME (--policy POLICY | --mix P:SHARE,...) --steps N [--seed N] [--mean] [--noise "
              "SIGMA] --out FILE",
     .help = "make a dataset with scripted controllers or checkpoints",
     .allowed = BIT(O_ENV) | BIT(O_POLICY) | BIT(O_STEPS) | BIT(O_SEED) | BIT(O_OUT) | BIT(O_THREADS) |
                BIT(O_MIX) | BIT(O_MEAN) | BIT(O_SAMPLE) | BIT(O_NOISE) | BIT(O_NEXT_OBSERVATIONS),
     .required = BIT(O_ENV) | BIT(O_STEPS) | BIT(O_OUT),
     .check = cli_check_collect},
    {.name = "render",
     .function = cli_render,
     .usage = "(CHECKPOINT | --policy POLICY) [--env NAME] [--seed N] [--episode N] [--steps N] --out "
              "FILE.png|FILE.gif | GRIDWORLD... [--seed N] [--steps N] [--tile-size N] [--first-person] "
              "--out FILE.png|FILE.gif",
     .help = "draw an episode of a checkpoint or a script: a strip of pictures or an animation. Of a "
             "gridworld (MiniGrid-..., Navix-...): a level, after N random actions, or those (at most 100) "
             "as an animation; of several: a sheet of levels",
     .files = {0, -1},
     .allowed = BIT(O_POLICY) | BIT(O_ENV) | BIT(O_SEED) | BIT(O_EPISODE) | BIT(O_STEPS) | BIT(O_WIDTH) |
                BIT(O_HEIGHT) | BIT(O_FRAMES) | BIT(O_OUT) | BIT(O_TILE_SIZE) | BIT(O_FIRST_PERSON) |
                BIT(O_MEAN) | BIT(O_SAMPLE),
     .required = BIT(O_OUT),
     .check = cli_check_render},
    {.name = "play",
     .function = cli_play,
     .usage = "GRIDWORLD [--seed N] [--keys KEYS]",
     .help = "play a gridworld (MiniGrid-..., Navix-...) in a terminal: " NX_KEYS_HELP,
     .files = {1, 1},
     .allowed = BIT(O_SEED) | BIT(O_KEYS)},
    {.name = "convert",
     .function = cli_convert,
     .usage = "IN OUT",
     .help = "CSV or .npz to D4RL-layout HDF5",
     .files = {2, 2}},
    {.name = "bench",
     .function = cli_bench,
     .usage = "[--config FILE] [--obs-dim N] [--action-dim N] [--population N] [--rollouts|--dynamics] | "
              "--env NAME [--envs N] [--observation NAME] | --ppo --env NAME [--config FILE] [--population "
              "N]   [--threads N] [--steps N] [--windows N] [--device NAME] [--precision NAME]",
     .help = "time updates on random data, model rollouts, an environment, or PPO; a line of JSON, on a CUDA "
             "device without --config one for each of some presets and populations",
     .allowed = BIT(O_ENV) | BIT(O_ROLLOUTS) | BIT(O_DYNAMICS) | BIT(O_CONFIG) | BIT(O_OBS_DIM) |
                BIT(O_ACTION_DIM) | BIT(O_THREADS) | BIT(O_STEPS) | BIT(O_POPULATION) | BIT(O_WINDOWS) |
                BIT(O_DEVICE) | BIT(O_PRECISION) | BIT(O_ENVS) | BIT(O_OBSERVATION) | BIT(O_PPO) | BIT(O_SET),
     .check = cli_check_population},
    {.name = "bench hades",
     .function = cli_bench_hades,
     .usage = "[--config FILE] [--env NAME] [--set name=value]... [--steps N] [--windows N] [--threads N] "
              "[--device NAME]",
     .help = "time generations of a distillation (default CartPole-v1, --steps generations a window) and "
             "steps of cloning",
     .allowed = BIT(O_CONFIG) | BIT(O_ENV) | BIT(O_SET) | BIT(O_STEPS) | BIT(O_WINDOWS) | BIT(O_THREADS) |
                BIT(O_DEVICE)},
    {.name = "bench synthenv",
     .function = cli_bench_synthenv,
     .usage = "FILE [--steps N] [--windows N]",
     .help = "time a step of 1 to 1000 copies of a synthetic environment (default 101 windows of 10000 steps "
             "of copies)",
     .files = {1, 1},
     .allowed = BIT(O_STEPS) | BIT(O_WINDOWS)},
    {.name = "report",
     .function = cli_report,
     .usage = "FOLDER... --out FILE [--csv FILE]",
     .help = "a page of many runs: mean over seeds, commands, published figures",
     .files = {1, -1},
     .allowed = BIT(O_OUT) | BIT(O_CSV),
     .required = BIT(O_OUT)},
    {.name = "protocol",
     .function = cli_protocol,
     .usage = "SOURCE... [--subsample N] [--max-pulls N] [--trials N] [--bootstraps N] [--ucb-alpha X] "
              "[--out DIR]",
     .help = "expected score of the policy that so many online evaluations choose, from run folders or "
             "result stores",
     .files = {1, -1},
     .allowed = BIT(O_SUBSAMPLE) | BIT(O_MAX_PULLS) | BIT(O_TRIALS) | BIT(O_BOOTSTRAPS) | BIT(O_UCB_ALPHA) |
                BIT(O_CONFIDENCE) | BIT(O_SEED) | BIT(O_THREADS) | BIT(O_OUT)},
    {.name = "sweep",
     .function = cli_sweep,
     .usage = "CONFIG --dataset FILE [--num-policies N] [--sweep-seed N | --grid] [--population N|auto] "
              "[--jobs N] [--slurm] [--store FILE] [--out DIR] [--set name=value]... [--protocol]",
     .help = "train many policies: lists in CONFIG (or --set name=[a,b]) are axes; the same command goes on",
     .files = {1, 1},
     .allowed = BIT(O_SET) | BIT(O_SEED) | BIT(O_OUT) | BIT(O_THREADS) | BIT(O_DATASET) | BIT(O_QUIET) |
                BIT(O_ENV) | BIT(O_NUM_POLICIES) | BIT(O_SWEEP_SEED) | BIT(O_GRID) | BIT(O_RETRY) |
                BIT(O_STORE) | BIT(O_JOBS) | BIT(O_POPULATION) | BIT(O_SLURM) | BIT(O_BLOCK) |
                BIT(O_PROTOCOL),
     .check = cli_check_sweep},
    {.name = "results",
     .function = cli_results,
     .usage = "STORE|FOLDER [--where name=value]... [--csv FILE] [--npz FOLDER] [--import PATH...]",
     .help = "list, filter, export and import the results of a store, or of a sweep's folder",
     .files = {1, -1},
     .allowed = BIT(O_WHERE) | BIT(O_CSV) | BIT(O_NPZ) | BIT(O_IMPORT),
     .check = cli_check_results},
    {.name = "plot",
     .function = cli_plot,
     .usage = "RUN... [-o FILE.png|.svg|.pdf] [--by NAME] [--metric NAME] [--x updates|seconds] [--band "
              "KIND] [--smooth N] [--csv FILE] | RUN... --final [-o FILE] [--by NAME] [--csv FILE]",
     .help = "draw learning curves of many runs, or their final scores (without -o: "
             "runs/learning_curves.png, runs/final_scores.png)",
     .files = {1, -1},
     .allowed = BIT(O_OUT) | BIT(O_CSV) | BIT(O_BY) | BIT(O_METRIC) | BIT(O_X) | BIT(O_BAND) | BIT(O_SMOOTH) |
                BIT(O_FINAL) | BIT(O_CONFIDENCE) | BIT(O_BOOTSTRAPS) | BIT(O_SEED) | BIT(O_THREADS),
     .check = cli_check_plot},
    {.name = "envs",
     .function = cli_envs,
     .usage = "",
     .help = "list the built-in environments and gridworlds"},
};
enum { NUM_COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static int list_commands(void) {
    printf("unifloral %s: offline reinforcement learning in one hyperparameter space\n\n", uf_version());
    for (int i = 0; i < NUM_COMMANDS; i++)
        printf("  unifloral %-11s %s\n", commands[i].name, commands[i].help);
    printf(
        "\n`unifloral COMMAND --help` says more. Exit status: 0 done, 1 refused or failed, 2 misuse, "
        "128+signal stopped.\n");
    return DONE;
}

// A hyperparameter table as README.md holds it.
static int print_markdown(const char* of) {
    const UfTable* table = !strcmp(of, "ppo")        ? &uf_ppo_table
                           : !strcmp(of, "hades")    ? &hd_table
                           : !strcmp(of, "synthenv") ? &se_table
                                                     : &uf_config_table;
    char* text = NULL;
    const UfStatus status = uf_table_markdown(table, &text);
    return cli_print(status, text);
}

// Some commands are two words; *used: how many they are. NULL: none is meant, and that was said.
static const Command* find_command(int num_words, char** words, int* used) {
    const char* names[NUM_COMMANDS + 2] = {NULL};
    const Command* command = NULL;
    const char* name = words[0];
    char two[128] = "";
    *used = 1;
    if (num_words > 1) snprintf(two, sizeof(two), "%s %s", name, words[1]);
    for (int i = 0; i < NUM_COMMANDS; i++) {
        names[i] = commands[i].name;
        if (!command && !strcmp(name, commands[i].name)) command = &commands[i];
        if (strcmp(two, commands[i].name) != 0) continue;
        command = &commands[i];
        *used = 2;
    }
    if (command) return command;
    names[NUM_COMMANDS] = "help";
    const size_t length = strlen(name);
    for (int i = 0; i < NUM_COMMANDS; i++)
        if (!strncmp(commands[i].name, name, length) && commands[i].name[length] == ' ') {
            cli_misuse(NULL, "'%s' is the first of two words; did you mean %s?", name, commands[i].name);
            return NULL;
        }
    const char* nearest = uf_nearest_name(name, names);
    if (nearest)
        cli_misuse(NULL, "unknown command '%s'; did you mean %s?", name, nearest);
    else
        cli_misuse(NULL, "unknown command '%s'", name);
    return NULL;
}

static int run_command(const Command* command, int argc, char** argv) {
    Args args = {.sets = calloc((size_t)argc + 1, sizeof(char*)),
                 .files = calloc((size_t)argc + 1, sizeof(char*)),
                 .wheres = calloc((size_t)argc + 1, sizeof(char*))};
    int status = args.sets && args.files && args.wheres ? cli_parse(command, argc, argv, &args) : FAILED;
    if (status == GO_ON) status = command->function(&args);
    free(args.sets);
    free(args.files);
    free(args.wheres);
    if ((fflush(stdout) || ferror(stdout)) && status == DONE && errno != EPIPE) {
        fprintf(stderr, "error: cannot write the output: %s\n", strerror(errno));
        status = FAILED;
    }
    return status;
}

int main(int argc, char** argv) {
    signal(SIGPIPE, SIG_IGN);
    H5dont_atexit();  // HDF5 1.10 crashes at exit over a file that it could not write: the disk was full
    if (argc < 2) return cli_misuse(NULL, "a command is missing");
    if (!strcmp(argv[1], "--version")) return printf("unifloral %s\n", uf_version()) < 0;
    const bool help = !strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h");
    if (help && argc < 3) return list_commands();
    if (help && !strcmp(argv[2], "--markdown")) return print_markdown(argc > 3 ? argv[3] : "");

    const int first = help ? 2 : 1;
    int used;
    const Command* command = find_command(argc - first, argv + first, &used);
    if (!command) return MISUSE;
    return help ? cli_help(command) : run_command(command, argc - first - used, argv + first + used);
}
