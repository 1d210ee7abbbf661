// ppo_run.h: PPO in a run folder, and the evaluation of what it trains.
//
// The folder: ppo.json, log.jsonl and log.csv (a line each log_interval iterations, means over the members),
// checkpoint.h5 (each checkpoint_interval iterations and at every ending), and at the end returns.h5 (every return of
// the last evaluation) and learning_curve.png, .svg. Its names are not those of runs of `unifloral train`, so that
// report, plot and protocol, which compare those, pass it by.
#ifndef UF_PPO_RUN_H
#define UF_PPO_RUN_H

#include "core/agents/ppo_envs.h"
#include "core/grid/grid_render.h"
#include "core/runs/run.h"

typedef struct UfPpoRunOptions {
    const UfPpoConfig*
        config;  // of a resumed run: what uf_ppo_run_config gave, with RUN fields changed at will
    const char *out, *resume;           // as in UfRunOptions
    const volatile sig_atomic_t* stop;  // end after this iteration.   Nullable
    UfRunProgressFn* on_progress;       // update counts environment steps of all members.   Nullable
    void* user;
} UfPpoRunOptions;

typedef struct UfPpoResult {
    char folder[UF_FOLDER_BYTES];
    int64_t iteration;
    char* report;  // what came out, as lines of text; free with uf_free.   NULL: not at the end
} UfPpoResult;

// The configuration of the run in a folder. UF_ERR_IO: there is no run of PPO.
UfStatus uf_ppo_run_config(UfPpoConfig** out, const char* folder);

// Trains to the end of the budget. A run that was killed and resumed ends in the bits of one that never stopped.
// Errors: UF_ERR_STOPPED (a checkpoint was written; result->folder and iteration are set), UF_ERR_NONFINITE (the last
// good checkpoint is kept), and everything that config, environment and files can refuse.
UfStatus uf_ppo_run(const UfPpoRunOptions* options, UfPpoResult* result);

// Episodes 0..num_episodes-1 of (seed): each starts and acts from its number alone, whatever the threads. greedy: the most
// probable action, or the mean; else actions are drawn. config: observation and max_steps.
UfStatus uf_ppo_evaluate_policy(UfEvaluation* out, const UfPpoPolicy* policy, const char* env,
                                const UfPpoConfig* config, int num_episodes, int64_t seed, bool greedy,
                                UfPool* pool);

// Whether a file or run folder holds a checkpoint of PPO.
bool uf_ppo_is_checkpoint(const char* name);

typedef struct UfPpoEvalOptions {
    const char* checkpoint;  // a file or a run folder
    const char* env;         // Nullable: the one of its configuration
    int num_episodes, num_threads;
    int64_t seed;
    bool greedy;
} UfPpoEvalOptions;
// Every member: *evaluations (*population), free each with uf_evaluation_free and the array with uf_free. env: its name.
UfStatus uf_ppo_run_eval(const UfPpoEvalOptions* options, UfEvaluation** evaluations, int* population,
                         char env[UF_STRING_BYTES]);
// Draws the first episode that uf_ppo_run_eval plays with this seed, of member 0 in a gridworld: as nx_render draws one.
typedef struct UfPpoRenderOptions {
    const char* checkpoint;
    const char* env;  // Nullable: the one of its configuration
    int64_t seed, num_steps;
    bool greedy, first_person;
    int tile_size;
    const char* output;
} UfPpoRenderOptions;
// Errors: UF_ERR_UNSUPPORTED (an environment that is no gridworld), and those of nx_render.
UfStatus uf_ppo_render(const UfPpoRenderOptions* options, NxRender* out, char env[UF_STRING_BYTES]);
// What `unifloral info` prints about a checkpoint. Free *text with uf_free.
UfStatus uf_ppo_info(const char* path, char** text);

#endif
