// envs.h: environments behind one interface: built-in ones here, MuJoCo's through the same table, gridworlds by a table
// of their own.
#ifndef UF_ENVS_H
#define UF_ENVS_H

#include "core/core.h"
#include "core/envs/env_rules.h"
#include "core/philox.h"

typedef struct UfEnv UfEnv;
typedef struct UfEnvOps UfEnvOps;
typedef struct UfCanvas UfCanvas;  // draw.h

// One row an environment: everything there is to know about it without making one.
typedef struct UfEnvSpec {
    const char* name;   // "Pendulum-v1"
    const char* alias;  // "pendulum": also matched in dataset names
    int obs_dim;
    int padded_obs_dim;  // so many with zeros behind, as some datasets and policies have them.   0: none have
    int action_dim;      // continuous: size; discrete: number of actions
    bool discrete;       // then step reads action[0] as the index
    float action_low, action_high;
    int max_steps;
    bool endless;  // only max_steps ends an episode
    double
        step_seconds;  // from step to step; where the task has no clock: as gymnasium plays it.   0: gridworlds
    int state_dim;     // doubles of get/set state, internal clock excluded.   0: gridworlds, see navix.h
    bool has_scores;
    double score_min, score_max;  // returns of score 0 (random) and 100 (expert)
    // of model rollouts: a name that uf_termination_rule knows.   NULL: there is none (gridworlds, MinAtar)
    const char* termination_rule;
    double skill_power;   // controllers mix skill^skill_power of the script with noise: returns rise evenly
    const UfEnvOps* ops;  // what it does, from its own file
    const void* details;  // what ops want to know: a maze, reset bounds.   Nullable
} UfEnvSpec;

extern const UfEnvSpec uf_env_specs[];
extern const int uf_num_env_specs;
// Row i is nx_specs[i]; NAVIX's ids are not to be used through this interface.
extern const UfEnvSpec uf_grid_env_specs[];

// By name or alias, case-insensitive; may be a dataset's ("pendulum-medium-replay.hdf5"). NULL: unknown.
const UfEnvSpec* uf_env_find(const char* name);
// The same, but unknown is an error whose sentence lists the known ones.
UfStatus uf_env_lookup(const UfEnvSpec** out, const char* name);
// The step limit of an environment of ours or a D4RL task; 0: none known.
int uf_task_max_steps(const char* name);
// The returns of score 0 and 100 of either. False: not known.
bool uf_task_scores(const char* name, double* score_min, double* score_max);
// UF_ERR_UNSUPPORTED and a sentence that names the package where a library is missing from this build.
UfStatus uf_env_available(const UfEnvSpec* spec);
// Whether a dataset or policy of these dimensions is for this environment: obs_dim or padded_obs_dim.
bool uf_env_fits(const UfEnvSpec* spec, int obs_dim, int action_dim);
UfStatus uf_env_create(UfEnv** out, const char* name);
const UfEnvSpec* uf_env_spec(const UfEnv* env);
// Starts an episode. Its start state and any noise inside depend on (seed, episode) alone.
void uf_env_reset(UfEnv* env, uint64_t seed, uint64_t episode, float* obs);
// action in the environment's own units; values beyond the bounds are treated as gymnasium does.
void uf_env_step(UfEnv* env, const float* action, float* obs, double* reward, bool* terminated,
                 bool* truncated);
void uf_env_get_state(const UfEnv* env, double* state);
// Sets the state as if the episode had just been reset to it (step count 0); obs may be NULL.
void uf_env_set_state(UfEnv* env, const double* state, float* obs);
void uf_env_free(UfEnv* env);

// A built-in environment as a device needs it; false: it runs on the host alone.
bool uf_env_rule(const UfEnvSpec* spec, UfEnvRule* rule);

// 100 * (ret - score_min) / (score_max - score_min); NaN without scores.
double uf_env_score(const UfEnvSpec* spec, double ret);
// Maps a policy's action in [-1, 1] to the environment's units, clipped (discrete: arg max). env_action:
// action_dim floats or 1; may be `action` itself.
void uf_env_scale_action(const UfEnvSpec* spec, const float* action, float* env_action);
// The number of a discrete action, as step gets it.
int uf_env_kind(const UfEnvSpec* spec, const float* env_action);

// Scripted controllers of tunable skill, for datasets: 0 random .. 1 the best the script can. In env units.
UfStatus uf_env_controller(const UfEnvSpec* spec, const UfEnv* env, const float* obs, double skill,
                           UfRandom* random, float* action);

// `unifloral verify` of kind classic-traces: its lines as text (free with uf_free) and whether all passed.
UfStatus uf_verify_classic_traces(const char* path, char** report, bool* passed);

// Kind minatar-traces: against minatar.h and minatar.c.
UfStatus uf_verify_minatar_traces(const char* path, char** report, bool* passed);

// Kind mujoco-traces: against mujoco.c. UF_ERR_UNSUPPORTED without the library.
UfStatus uf_verify_mujoco_traces(const char* path, char** report, bool* passed);

// ---- for the files that supply environments ----

struct UfEnvOps {
    UfRuleKind rule;                                         // of a built-in one
    UfStatus (*create)(UfEnv** out, const UfEnvSpec* spec);  // Nullable: a plain UfEnv
    UfStatus (*available)(const UfEnvSpec* spec);            // Nullable: always
    void (*reset)(UfEnv* env, UfRandom* random);
    void (*step)(UfEnv* env, const float* action, double* reward, bool* terminated);
    void (*observe)(const UfEnv* env, float* obs);
    void (*control)(const UfEnv* env, const float* obs, float* action);  // the script at skill 1.   Nullable
    UfStatus (*draw)(UfCanvas* canvas, const UfEnv* env);  // the state as it is.   Nullable: no pictures
    // Nullable: plain environments keep all their state in UfEnv.state
    void (*get_state)(const UfEnv* env, double* state);
    void (*set_state)(UfEnv* env, const double* state);
    void (*free)(UfEnv* env);
};

#define UF_ENV_MAX_STATE 64  // of any environment
#define UF_ENV_MAX_OBS 700   // of any in uf_env_specs
struct UfEnv {               // the first member of environments that need more
    const UfEnvSpec* spec;
    int steps;      // of this episode; the interface counts them
    bool diverged;  // this episode ended because the simulation failed: a number was none
    double state[UF_ENV_STATE];
};

typedef struct UfMaze {
    const char* rows;  // '#' wall, 'O' free, 'G' goal; newlines between. x counts rows, y columns, as in D4RL
    bool dense;
} UfMaze;
UfMazeGrid uf_maze_grid(const UfMaze* layout);

// classic.c
extern const UfEnvOps uf_pendulum_ops, uf_mountain_car_continuous_ops, uf_cart_pole_ops, uf_mountain_car_ops;
extern const UfEnvOps uf_acrobot_ops, uf_grid_world_ops;
// maze.c
extern const UfEnvOps uf_maze_ops;
// mujoco.c
extern const UfEnvOps uf_mujoco_ops;
// minatar.c
extern const UfEnvOps uf_breakout_ops, uf_asterix_ops, uf_invaders_ops, uf_freeway_ops;

#endif
