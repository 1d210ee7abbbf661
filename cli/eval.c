// eval.c: `unifloral eval`, fqe, info and verify: what is asked of files that are there.
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/agents/agent.h"
#include "core/agents/dynamics.h"
#include "core/data/dataset.h"
#include "core/data/h5.h"
#include "core/data/returns.h"
#include "core/runs/fqe.h"
#include "core/runs/ppo_run.h"
#include "core/search/hades_run.h"
#include "core/synth/synth.h"
#include "core/synth/synth_run.h"
#include "core/verify/verify.h"

// ---- eval ----

// A block, or a line of JSON, for each member.
static int eval_ppo(const Args* args) {
    const UfPpoEvalOptions eval = {.checkpoint = args->files[0],
                                   .env = args->values[O_ENV],
                                   .num_episodes = (int)cli_number(args, O_EPISODES, 100),
                                   .num_threads = (int)cli_number(args, O_THREADS, 0),
                                   .seed = cli_number(args, O_SEED, 0),
                                   .greedy = args->values[O_MEAN] != NULL};
    UfEvaluation* e;
    int population;
    char env[UF_STRING_BYTES];
    if (args->values[O_WORKERS]) {
        fprintf(stderr, "error: --workers is not for agents of PPO: all episodes run side by side\n");
        return MISUSE;
    }
    if (uf_ppo_run_eval(&eval, &e, &population, env) != UF_OK) return cli_failed();
    for (int p = 0; p < population; p++) {
        if (population > 1 && !args->values[O_JSON]) printf("%smember            %d\n", p ? "\n" : "", p);
        cli_print_evaluation(args, env, &e[p]);
        uf_evaluation_free(&e[p]);
    }
    uf_free(e);
    return DONE;
}

int cli_eval(const Args* args) {
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
                             .num_episodes = cli_number(args, O_EPISODES, 100),
                             .workers = (int)cli_number(args, O_WORKERS, 8),
                             .num_threads = (int)cli_number(args, O_THREADS, 0),
                             .seed = (uint64_t)cli_number(args, O_SEED, 0)};
    if (uf_run_eval(&eval, &e, &spec) != UF_OK) return cli_failed();
    cli_print_evaluation(args, spec->name, &e);
    uf_evaluation_free(&e);
    return DONE;
}

// ---- fqe ----

static UfStatus fqe_config(const Args* args, UfConfig** out) {
    static const Sugar sugar[] = {
        {O_SEED, "seed"}, {O_NUM_UPDATES, "num_updates"}, {O_GAMMA, "gamma"}, {.name = NULL}};
    UF_TRY(uf_fqe_config(out));
    return cli_configure(args, NULL, &uf_config_table, sugar, *out, NULL);
}

// A policy that diverged has no estimate: the others are printed, but it is an error.
static int print_fqe(const Args* args, const UfFqeReport* report) {
    if (args->values[O_JSON])
        printf("%s\n", report->json);
    else
        printf("%s", report->text);
    if (!report->num_diverged) return DONE;
    fprintf(stderr,
            "error: %d of %d evaluations diverged and are no estimate; try a smaller lr, or another gamma\n",
            report->num_diverged, report->num_policies);
    return FAILED;
}

int cli_fqe(const Args* args) {
    UfConfig* config = NULL;
    UfFqeReport report;
    Screen screen = cli_screen(args);
    if (fqe_config(args, &config) != UF_OK) {
        uf_config_free(config);
        return cli_failed();
    }
    cli_catch_signals();
    const UfFqeRun run = {.checkpoints = args->files,
                          .num_checkpoints = args->num_files,
                          .dataset = args->values[O_DATASET],
                          .env = args->values[O_ENV],
                          .config = config,
                          .num_threads = (int)cli_number(args, O_THREADS, 0),
                          .out = args->values[O_OUT],
                          .stop = &cli_stop_signal,
                          .on_progress = cli_on_progress,
                          .user = &screen};
    const UfStatus status = uf_fqe_run(&run, &report);
    uf_config_free(config);
    cli_clear_progress(&screen);
    if (status == UF_ERR_STOPPED) {
        fprintf(stderr, "%s; nothing was written\n", uf_error());
        return 128 + cli_stop_signal;
    }
    if (status != UF_OK) return cli_failed();
    const int result = print_fqe(args, &report);
    uf_fqe_report_free(&report);
    return result;
}

// ---- info, verify ----

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

int cli_info(const Args* args) {
    for (int i = 0; i < args->num_files; i++) {
        char* text = NULL;
        if (file_info(args->files[i], &text) != UF_OK) return cli_failed();
        printf("%s%s", i ? "\n" : "", text);
        uf_free(text);
    }
    return DONE;
}

// All files are checked, whatever one of them says.
int cli_verify(const Args* args) {
    const char* device = args->values[O_DEVICE];
    int result = DONE;
    for (int i = 0; i < args->num_files; i++) {
        char* report = NULL;
        bool passed = false;
        if (uf_verify_on(args->files[i], device ? device : "cpu", args->values[O_PRECISION], &report,
                         &passed) != UF_OK)
            result = cli_failed();
        else
            printf("%s", report);
        fflush(stdout);
        uf_free(report);
        if (!passed) result = FAILED;
    }
    return result;
}
