// pictures.c: `unifloral render`, play, plot, report and envs: what there is to look at.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/envs/envs.h"
#include "core/grid/grid_play.h"
#include "core/grid/grid_render.h"
#include "core/grid/grid_table.h"
#include "core/results/plot_runs.h"
#include "core/results/protocol.h"
#include "core/results/report.h"
#include "core/runs/ppo_run.h"
#include "core/runs/render.h"

// ---- render ----

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
                              .seed = (uint64_t)cli_number(args, O_SEED, 0),
                              .num_steps = cli_number(args, O_STEPS, animation ? 100 : 0),
                              .tile_size = (int)cli_number(args, O_TILE_SIZE, 0),
                              .first_person = args->values[O_FIRST_PERSON] != NULL,
                              .output = out};
    if (nx_render(&render, &r) != UF_OK) return cli_failed();
    if (args->num_files == 1)
        printf("environment       %s, seed %" PRIu64 ", %d random actions, return %.3f\n", args->files[0],
               render.seed, r.num_steps, r.ret);
    printf("wrote %s: %d %s%s, %d x %d pixels\n", out, r.num_frames, animation ? "frame" : "level",
           r.num_frames == 1 ? "" : "s", r.width, r.height);
    return DONE;
}

static int render_ppo(const Args* args) {
    const char* out = args->values[O_OUT];
    const UfPpoRenderOptions render = {
        .checkpoint = args->files[0],
        .env = args->values[O_ENV],
        .seed = cli_number(args, O_SEED, 0),
        .num_steps = cli_number(args, O_STEPS, is_animation(out) ? INT32_MAX : 0),
        .greedy = args->values[O_MEAN] != NULL,
        .first_person = args->values[O_FIRST_PERSON] != NULL,
        .tile_size = (int)cli_number(args, O_TILE_SIZE, 0),
        .output = out};
    char env[UF_STRING_BYTES];
    NxRender r;
    if (uf_ppo_render(&render, &r, env) != UF_OK) return cli_failed();
    printf("environment       %s, seed %" PRId64 ", %d actions, return %.3f\n", env, render.seed, r.num_steps,
           r.ret);
    printf("wrote %s: %d frame%s, %d x %d pixels\n", out, r.num_frames, r.num_frames == 1 ? "" : "s", r.width,
           r.height);
    return DONE;
}

// Agents of PPO; gridworlds; other checkpoints and scripts: each has options of its own.
int cli_check_render(const Command* c, const Args* args) {
    static const enum Option not_of_ppo[] = {O_POLICY, O_EPISODE, O_WIDTH, O_HEIGHT, O_FRAMES, NUM_OPTIONS},
                             not_of_grid[] = {O_POLICY, O_ENV,    O_EPISODE,  O_WIDTH,
                                              O_HEIGHT, O_FRAMES, NUM_OPTIONS},
                             of_gridworlds[] = {O_TILE_SIZE, O_FIRST_PERSON, NUM_OPTIONS},
                             of_ppo[] = {O_MEAN, O_SAMPLE, NUM_OPTIONS};
    const char* given;
    if (args->num_files == 1 && uf_ppo_is_checkpoint(args->files[0])) {
        given = cli_first_given(args, not_of_ppo);
        return given ? cli_misuse(c, "--%s is not for agents of PPO", given) : GO_ON;
    }
    if ((given = cli_first_given(args, of_ppo))) return cli_misuse(c, "--%s is for agents of PPO", given);
    if (args->num_files && is_gridworld(args->files[0])) {
        given = cli_first_given(args, not_of_grid);
        return given ? cli_misuse(c, "--%s is not for gridworlds", given) : GO_ON;
    }
    if ((given = cli_first_given(args, of_gridworlds))) return cli_misuse(c, "--%s is for gridworlds", given);
    if (args->num_files > 1)
        return cli_misuse(c, "'%s' is one argument too many: only gridworlds share a sheet", args->files[1]);
    if ((args->num_files > 0) == (args->values[O_POLICY] != NULL))
        return cli_misuse(c, "what acts is %s: either a checkpoint or --policy",
                          args->num_files ? "given twice" : "missing");
    return GO_ON;
}

int cli_render(const Args* args) {
    UfRender r;
    if (args->num_files && uf_ppo_is_checkpoint(args->files[0])) return render_ppo(args);
    if (args->num_files && is_gridworld(args->files[0])) return render_gridworlds(args);
    UfRenderOptions render = {.policy = args->num_files ? args->files[0] : args->values[O_POLICY],
                              .env = args->values[O_ENV],
                              .seed = (uint64_t)cli_number(args, O_SEED, 0),
                              .episode = cli_number(args, O_EPISODE, 0),
                              .num_steps = cli_number(args, O_STEPS, 0),
                              .width = (int)cli_number(args, O_WIDTH, 400),
                              .height = (int)cli_number(args, O_HEIGHT, 300),
                              .num_frames = (int)cli_number(args, O_FRAMES, 0),
                              .output = args->values[O_OUT]};
    if (uf_render(&render, &r) != UF_OK) return cli_failed();
    if (r.note[0]) fprintf(stderr, "note: %s\n", r.note);
    printf("environment       %s, seed %" PRIu64 ", episode %" PRId64 "\n", r.spec->name, render.seed,
           render.episode);
    printf("return            %.3f\n", r.ret);
    printf("length            %d\n", r.length);
    if (r.diverged) printf("warning           the simulation diverged; the episode ended there\n");
    printf("wrote %s: %d frames, %d x %d pixels\n", render.output, r.num_frames, r.width, r.height);
    return DONE;
}

// ---- play ----

int cli_play(const Args* args) {
    int signal;
    NxPlayOptions play = {.id = args->files[0],
                          .seed = (uint64_t)cli_number(args, O_SEED, 0),
                          .keys = args->values[O_KEYS],
                          .input = STDIN_FILENO,
                          .output = STDOUT_FILENO};
    if (nx_play(&play, &signal) != UF_OK) return cli_failed();
    return signal ? 128 + signal : DONE;
}

// ---- plot ----

// Curves and final scores have options of their own.
int cli_check_plot(const Command* c, const Args* args) {
    static const enum Option of_curves[] = {O_METRIC, O_X, O_BAND, O_SMOOTH, NUM_OPTIONS},
                             of_final[] = {O_BOOTSTRAPS, O_SEED, O_THREADS, NUM_OPTIONS};
    const bool final = args->values[O_FINAL] != NULL;
    const char *given = cli_first_given(args, final ? of_curves : of_final), *band = args->values[O_BAND],
               *confidence = args->values[O_CONFIDENCE];
    if (given && final) return cli_misuse(c, "--final and --%s contradict each other", given);
    if (given) return cli_misuse(c, "--%s is for --final", given);
    if (confidence && cli_is_number(confidence) && !final && (!band || strcmp(band, "ci") != 0))
        return cli_misuse(c, "--confidence is for --final and --band ci");
    return GO_ON;
}

// A build that draws no charts still writes the table.
int cli_plot(const Args* args) {
    const UfProtocolOptions d = uf_protocol_defaults();
    const bool final = args->values[O_FINAL] != NULL;
    const char* out = args->values[O_OUT];
    if (!out && uf_make_folder("runs") != UF_OK) return cli_failed();
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
                             .smooth = (int)cli_number(args, O_SMOOTH, 1),
                             .confidence = cli_real(args, O_CONFIDENCE, d.confidence),
                             .num_bootstraps = (int)cli_number(args, O_BOOTSTRAPS, d.num_bootstraps),
                             .seed = (uint64_t)cli_number(args, O_SEED, (int64_t)d.seed),
                             .num_threads = (int)cli_number(args, O_THREADS, 0)};
    UfPlotReport report;
    const UfStatus status = uf_plot_runs(&plot, &report);
    cli_print_notes(report.notes);
    if (status == UF_OK)
        printf("wrote %s%s%s: %d run%s, %d group%s, %d dataset%s\n", plot.output, plot.csv ? ", " : "",
               plot.csv ? plot.csv : "", report.num_runs, report.num_runs == 1 ? "" : "s", report.num_groups,
               report.num_groups == 1 ? "" : "s", report.num_datasets, report.num_datasets == 1 ? "" : "s");
    uf_plot_report_free(&report);
    return status == UF_OK ? DONE : cli_failed();
}

// ---- report, envs ----

// A result that cannot be read is an error, but the page of the others is written.
int cli_report(const Args* args) {
    UfReportOptions report = {.folders = args->files,
                              .num_folders = args->num_files,
                              .output = args->values[O_OUT],
                              .csv = args->values[O_CSV]};
    UfReportCounts counts;
    UfStatus status = uf_report(&report, &counts);
    if (counts.num_results) printf("%d runs, %d missing\n", counts.num_results, counts.num_missing);
    return status == UF_OK ? DONE : cli_failed();
}

int cli_envs(const Args* args) {
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
