// envs.c: the table of environments, the interface to them, and the termination rules of model rollouts.
//
// A new environment is a row here and its UfEnvOps in a file of its own. Gridworlds: grid_env.c.
#include "core/envs/envs.h"

#include <math.h>
#include <stdlib.h>  // atoi
#include <string.h>
#include <strings.h>

#include "core/envs/minatar.h"
#include "core/envs/mujoco.h"
#include "core/envs/tasks.h"
#include "core/grid/grid_table.h"

#define PI 3.14159265358979323846

// ---- table ----

static const UfResetBounds pendulum_reset = {{-PI, -1}, {PI, 1}};
static const UfResetBounds cart_pole_reset = {{-0.05, -0.05, -0.05, -0.05}, {0.05, 0.05, 0.05, 0.05}};
static const UfResetBounds mountain_car_reset = {{-0.6, 0}, {-0.4, 0}};
static const UfResetBounds acrobot_reset = {{-0.1, -0.1, -0.1, -0.1}, {0.1, 0.1, 0.1, 0.1}};

static const UfResetBounds cells_5x5 = {{0, 0}, {4, 4}}, cells_8x8 = {{0, 0}, {7, 7}};

#define OPEN_ROWS "#######\n#OOOOO#\n#OOGOO#\n#OOOOO#\n#######"
#define UMAZE_ROWS "#####\n#GOO#\n###O#\n#OOO#\n#####"
#define MEDIUM_ROWS "########\n#OO##OO#\n#OO#OOO#\n##OOO###\n#OO#OOO#\n#O#OO#O#\n#OOO#OG#\n########"
#define LARGE_ROWS                                                                         \
    "############\n#OOOO#OOOOO#\n#O##O#O#O#O#\n#OOOOOO#OOO#\n#O####O###O#\n#OO#O#OOOOO#\n" \
    "##O#O#O#O###\n#OO#OOO#OGO#\n############"
static const UfMaze open_maze = {OPEN_ROWS, false}, open_dense = {OPEN_ROWS, true};
static const UfMaze umaze = {UMAZE_ROWS, false}, umaze_dense = {UMAZE_ROWS, true};
static const UfMaze medium_maze = {MEDIUM_ROWS, false}, medium_dense = {MEDIUM_ROWS, true};
static const UfMaze large_maze = {LARGE_ROWS, false}, large_dense = {LARGE_ROWS, true};

#define MAZE_ROW(NAME, MAX_STEPS, MIN, MAX, MAZE)                                                         \
    {                                                                                                     \
        .name = "PointMaze-" NAME, .alias = "pointmaze-" NAME, .obs_dim = 4, .action_dim = 2,             \
        .action_low = -1, .action_high = 1, .max_steps = MAX_STEPS, .step_seconds = 0.01, .state_dim = 4, \
        .has_scores = true, .score_min = MIN, .score_max = MAX, .termination_rule = "never",              \
        .skill_power = 2, .ops = &uf_maze_ops, .details = &(MAZE), .endless = true                        \
    }

// The clock is for pictures.
#define GRID_WORLD_ROW(SIZE, MIN, CELLS)                                                                    \
    {                                                                                                       \
        .name = "GridWorld-" #SIZE "x" #SIZE, .alias = "gridworld-" #SIZE "x" #SIZE, .obs_dim = 2,          \
        .action_dim = UF_GRID_WORLD_ACTIONS, .discrete = true, .action_high = UF_GRID_WORLD_ACTIONS - 1,    \
        .max_steps = 4 * (SIZE), .step_seconds = 0.2, .state_dim = 2, .has_scores = true, .score_min = MIN, \
        .score_max = 1, .skill_power = 2, .ops = &uf_grid_world_ops, .details = &(CELLS)                    \
    }

// D4RL's own datasets have the legacy masses, gymnasium's v4 the exact ones; the names say which. The bare
// alias stands for D4RL's.
#define MUJOCO_ROW(NAME, VERSION, ALIAS, LEGACY, MODEL, OBS, ACTIONS, BOUND, STATE, ...)                     \
    {                                                                                                        \
        .name = NAME VERSION, .alias = ALIAS, .obs_dim = OBS, .action_dim = ACTIONS, .action_low = -(BOUND), \
        .action_high = BOUND, .max_steps = 1000, .state_dim = STATE, .termination_rule = ALIAS,              \
        .ops = &uf_mujoco_ops, .details = &(const UfMujocoKind){UF_MUJOCO_##MODEL, LEGACY}, __VA_ARGS__      \
    }
#define MUJOCO_ROWS(NAME, ALIAS, ...)                  \
    MUJOCO_ROW(NAME, "-v2", ALIAS, true, __VA_ARGS__), \
        MUJOCO_ROW(NAME, "-v4", ALIAS "-v4", false, __VA_ARGS__)
// 20 steps a second are for pictures; the games have no clock.
#define MINATAR_ROW(NAME, ALIAS, GAME, KIND, MAX_STEPS, ENDLESS, MIN, MAX, POWER)                  \
    {                                                                                              \
        .name = NAME "-MinAtar", .alias = "minatar-" ALIAS,                                        \
        .obs_dim = UF_MINATAR_CELLS * UF_##KIND##_PLANES, .action_dim = UF_##KIND##_ACTIONS,       \
        .discrete = true, .action_high = UF_##KIND##_ACTIONS - 1, .max_steps = MAX_STEPS,          \
        .step_seconds = 0.05, .state_dim = UF_MINATAR_STATE, .has_scores = true, .score_min = MIN, \
        .score_max = MAX, .skill_power = POWER, .ops = &uf_##GAME##_ops, .endless = ENDLESS        \
    }
#define SCORES(MODEL) SCORES_OF(UF_SCORES_##MODEL)
#define SCORES_OF(...) SCORE_FIELDS(__VA_ARGS__)
#define SCORE_FIELDS(MIN, MAX) .has_scores = true, .score_min = MIN, .score_max = MAX

// Reference scores: mean returns of 10,000 episodes (resets of seed 12345) of uniformly random actions and of
// the script at skill 1; standard errors are below 0.3 % of the range; GridWorld's are exact. A good policy may pass 100.
const UfEnvSpec uf_env_specs[] = {
    {.name = "Pendulum-v1",
     .alias = "pendulum",
     .obs_dim = 3,
     .action_dim = 1,
     .action_low = -2,
     .action_high = 2,
     .max_steps = 200,
     .endless = true,
     .step_seconds = 0.05,
     .state_dim = 2,
     .has_scores = true,
     .score_min = -1229.41,
     .score_max = -149.19,
     .termination_rule = "pendulum",
     .skill_power = 1,
     .ops = &uf_pendulum_ops,
     .details = &pendulum_reset},
    {.name = "MountainCarContinuous-v0",
     .alias = "mountaincarcontinuous",
     .obs_dim = 2,
     .action_dim = 1,
     .action_low = -1,
     .action_high = 1,
     .max_steps = 999,
     .step_seconds = 1.0 / 30,
     .state_dim = 2,
     .has_scores = true,
     .score_min = -33.09,
     .score_max = 98.59,
     .termination_rule = "mountaincarcontinuous",
     .skill_power = 0.6,
     .ops = &uf_mountain_car_continuous_ops,
     .details = &mountain_car_reset},
    {.name = "CartPole-v1",
     .alias = "cartpole",
     .obs_dim = 4,
     .action_dim = 2,
     .discrete = true,
     .action_high = 1,
     .max_steps = 500,
     .step_seconds = 0.02,
     .state_dim = 4,
     .has_scores = true,
     .score_min = 22.31,
     .score_max = 500,
     .termination_rule = "cartpole",
     .skill_power = 1,
     .ops = &uf_cart_pole_ops,
     .details = &cart_pole_reset},
    {.name = "MountainCar-v0",
     .alias = "mountaincar",
     .obs_dim = 2,
     .action_dim = 3,
     .discrete = true,
     .action_high = 2,
     .max_steps = 200,
     .step_seconds = 1.0 / 30,
     .state_dim = 2,
     .has_scores = true,
     .score_min = -200,
     .score_max = -119.44,
     .termination_rule = "mountaincar",
     .skill_power = 0.5,
     .ops = &uf_mountain_car_ops,
     .details = &mountain_car_reset},
    {.name = "Acrobot-v1",
     .alias = "acrobot",
     .obs_dim = 6,
     .action_dim = 3,
     .discrete = true,
     .action_high = 2,
     .max_steps = 500,
     .step_seconds = 0.2,
     .state_dim = 4,
     .has_scores = true,
     .score_min = -498.86,
     .score_max = -84.75,
     .termination_rule = "acrobot",
     .skill_power = 1.5,
     .ops = &uf_acrobot_ops,
     .details = &acrobot_reset},
    MAZE_ROW("open", 150, 8.30, 110.85, open_maze),
    MAZE_ROW("open-dense", 150, 37.99, 116.44, open_dense),
    MAZE_ROW("umaze", 300, 39.62, 237.38, umaze),
    MAZE_ROW("umaze-dense", 300, 70.00, 244.13, umaze_dense),
    MAZE_ROW("medium", 600, 21.45, 468.02, medium_maze),
    MAZE_ROW("medium-dense", 600, 49.39, 476.89, medium_dense),
    MAZE_ROW("large", 800, 11.44, 614.45, large_maze),
    MAZE_ROW("large-dense", 800, 39.77, 627.37, large_dense),
    GRID_WORLD_ROW(5, 0.2242, cells_5x5),
    GRID_WORLD_ROW(8, 0.1234, cells_8x8),
    // state: see mujoco.c `get_state`; scores: D4RL's. Ant has 84 zeros more in D4RL, where MuJoCo left the
    // contact forces empty.
    MUJOCO_ROWS("Hopper", "hopper", HOPPER, 11, 3, 1, 19, .step_seconds = 0.008, SCORES(HOPPER)),
    MUJOCO_ROWS("HalfCheetah", "halfcheetah", HALFCHEETAH, 17, 6, 1, 28, .step_seconds = 0.05,
                .endless = true, SCORES(HALFCHEETAH)),
    MUJOCO_ROWS("Walker2d", "walker2d", WALKER2D, 17, 6, 1, 28, .step_seconds = 0.008, SCORES(WALKER2D)),
    MUJOCO_ROWS("Ant", "ant", ANT, 27, 8, 1, 44, .padded_obs_dim = 111, .step_seconds = 0.05, SCORES(ANT)),
    MUJOCO_ROWS("InvertedPendulum", "invertedpendulum", INVERTEDPENDULUM, 4, 1, 3, 7, .step_seconds = 0.04),
    MINATAR_ROW("Breakout", "breakout", breakout, BREAKOUT, UF_MINATAR_MAX_STEPS, false, 0.42, 84, 0.1),
    MINATAR_ROW("Asterix", "asterix", asterix, ASTERIX, UF_MINATAR_MAX_STEPS, false, 0.49, 77.8, 0.1),
    MINATAR_ROW("SpaceInvaders", "spaceinvaders", invaders, INVADERS, UF_MINATAR_MAX_STEPS, false, 4.18, 114,
                0.1),
    MINATAR_ROW("Freeway", "freeway", freeway, FREEWAY, UF_FREEWAY_MAX_STEPS, true, 0.4, 72.32, 0.5),
};
const int uf_num_env_specs = sizeof uf_env_specs / sizeof uf_env_specs[0];

// ---- names ----

// gymnasium's v5 tasks have other rewards and, Walker2d, other feet.
static bool other_version(const UfEnvSpec* spec, const char* rest) {
    return spec->ops == &uf_mujoco_ops && strncasecmp(rest, "-v", 2) == 0 && atoi(rest + 2) > 4;
}

// No id is the beginning of another.
static const UfEnvSpec* find_grid(const char* name) {
    for (int i = 0; i < nx_num_specs; i++)
        if (!nx_specs[i].navix && uf_leading_word(name, uf_grid_env_specs[i].name))
            return &uf_grid_env_specs[i];
    return NULL;
}

const UfEnvSpec* uf_env_find(const char* name) {
    const UfEnvSpec* best = NULL;
    size_t best_length = 0;
    if (!name) return NULL;
    if ((best = find_grid(uf_file_name(name)))) return best;
    for (int i = 0; i < uf_num_env_specs; i++) {
        const UfEnvSpec* spec = &uf_env_specs[i];
        size_t by_name = uf_leading_word(uf_file_name(name), spec->name);
        size_t by_alias = uf_leading_word(uf_file_name(name), spec->alias);
        size_t length = by_name > by_alias ? by_name : by_alias;
        if (length && other_version(spec, uf_file_name(name) + length)) continue;
        if (length <= best_length) continue;  // "pointmaze-umaze-dense" goes before "pointmaze-umaze"
        best = spec;
        best_length = length;
    }
    // "Ant_maze_u-maze.hdf5" is no ant
    const UfTaskSpec* task = best ? uf_task_find(name) : NULL;
    return task && strlen(task->name) > best_length ? NULL : best;
}

int uf_task_max_steps(const char* name) {
    const UfEnvSpec* env = uf_env_find(name);
    if (env) return env->max_steps;
    const UfTaskSpec* task = uf_task_find(name);
    return task ? task->max_steps : 0;
}

bool uf_task_scores(const char* name, double* score_min, double* score_max) {
    const UfEnvSpec* env = uf_env_find(name);
    const UfTaskSpec* task = env ? NULL : uf_task_find(name);
    *score_min = env ? env->score_min : task ? task->score_min : 0;
    *score_max = env ? env->score_max : task ? task->score_max : 0;
    return env ? env->has_scores : task != NULL;
}

UfStatus uf_env_lookup(const UfEnvSpec** out, const char* name) {
    const char* known[sizeof uf_env_specs / sizeof uf_env_specs[0] + 1] = {0};
    *out = uf_env_find(name);
    if (*out) return UF_OK;
    if (name && nx_is_grid(name)) {
        const NxSpec* spec;
        UF_TRY(nx_find_spec(&spec, name));
        return UF_FAIL(UF_ERR_UNSUPPORTED,
                       "%s: policies act in gridworlds of MiniGrid's rules; take a 'MiniGrid-' id", name);
    }
    for (int i = 0; i < uf_num_env_specs; i++) known[i] = uf_env_specs[i].alias;
    return uf_fail_unknown("environment", name ? name : "", known);
}

UfStatus uf_env_available(const UfEnvSpec* spec) {
    return spec->ops->available ? spec->ops->available(spec) : UF_OK;
}

bool uf_env_fits(const UfEnvSpec* spec, int obs_dim, int action_dim) {
    return (obs_dim == spec->obs_dim || (spec->padded_obs_dim && obs_dim == spec->padded_obs_dim)) &&
           action_dim == spec->action_dim;
}

// ---- interface ----

UfStatus uf_env_create(UfEnv** out, const char* name) {
    const UfEnvSpec* spec;
    *out = NULL;
    UF_TRY(uf_env_lookup(&spec, name));
    if (spec->ops->create)
        UF_TRY(spec->ops->create(out, spec));
    else
        UF_TRY(UF_ALLOC(out, 1, spec->name));
    (*out)->spec = spec;
    return UF_OK;
}

const UfEnvSpec* uf_env_spec(const UfEnv* env) { return env->spec; }

void uf_env_reset(UfEnv* env, uint64_t seed, uint64_t episode, float* obs) {
    UfRandom random = uf_random(seed, UF_STREAM_ENV_RESET, episode);
    env->steps = 0;
    env->diverged = false;
    env->spec->ops->reset(env, &random);
    env->spec->ops->observe(env, obs);
}

void uf_env_step(UfEnv* env, const float* action, float* obs, double* reward, bool* terminated,
                 bool* truncated) {
    env->spec->ops->step(env, action, reward, terminated);
    env->steps++;
    *truncated = env->steps >= env->spec->max_steps;
    env->spec->ops->observe(env, obs);
}

void uf_env_get_state(const UfEnv* env, double* state) {
    if (env->spec->ops->get_state)
        env->spec->ops->get_state(env, state);
    else
        memcpy(state, env->state, (size_t)env->spec->state_dim * sizeof *state);
}

void uf_env_set_state(UfEnv* env, const double* state, float* obs) {
    env->steps = 0;
    env->diverged = false;
    if (env->spec->ops->set_state)
        env->spec->ops->set_state(env, state);
    else
        memcpy(env->state, state, (size_t)env->spec->state_dim * sizeof *state);
    if (obs) env->spec->ops->observe(env, obs);
}

void uf_env_free(UfEnv* env) {
    if (env && env->spec->ops->free)
        env->spec->ops->free(env);
    else
        uf_free(env);
}

double uf_env_score(const UfEnvSpec* spec, double ret) {
    if (!spec->has_scores) return (double)NAN;
    return 100 * (ret - spec->score_min) / (spec->score_max - spec->score_min);
}

void uf_env_scale_action(const UfEnvSpec* spec, const float* action, float* env_action) {
    uf_action_in_env(spec->discrete, spec->action_dim, spec->action_low, spec->action_high, action,
                     env_action);
}

bool uf_env_rule(const UfEnvSpec* spec, UfEnvRule* rule) {
    if (spec->ops->rule == UF_RULE_NONE) return false;
    *rule = (UfEnvRule){.kind = spec->ops->rule,
                        .obs_dim = spec->obs_dim,
                        .action_dim = spec->action_dim,
                        .state_dim = spec->state_dim,
                        .max_steps = spec->max_steps,
                        .discrete = spec->discrete,
                        .action_low = spec->action_low,
                        .action_high = spec->action_high,
                        .step_seconds = spec->step_seconds};
    if (rule->kind == UF_RULE_MAZE)
        rule->maze = uf_maze_grid(spec->details);
    else
        rule->bounds = *(const UfResetBounds*)spec->details;
    return true;
}

int uf_env_kind(const UfEnvSpec* spec, const float* env_action) {
    return uf_discrete_action(env_action, spec->action_dim);
}

UfStatus uf_env_controller(const UfEnvSpec* spec, const UfEnv* env, const float* obs, double skill,
                           UfRandom* random, float* action) {
    if (!spec->ops->control && skill != 0)
        return UF_FAIL(UF_ERR_UNSUPPORTED,
                       "%s has no scripted controller but the random one; take a trained policy", spec->name);
    if (!(skill >= 0 && skill <= 1))
        return UF_FAIL(UF_ERR_ARGUMENT, "skill is %g; it goes from 0 (random) to 1 (the best the script can)",
                       skill);
    double share = skill > 0 ? pow(skill, spec->skill_power) : 0;  // of the script; the rest is uniform noise
    if (spec->ops->control)
        spec->ops->control(env, obs, action);
    else
        memset(action, 0, (size_t)(spec->discrete ? 1 : spec->action_dim) * sizeof *action);
    if (spec->discrete) {
        bool keep = uf_random_uniform(random, 0, 1) < share;
        double other = floor(uf_random_uniform(random, 0, spec->action_dim));
        if (!keep) action[0] = (float)other;
        return UF_OK;
    }
    for (int i = 0; i < spec->action_dim; i++) {
        double noise = uf_random_uniform(random, spec->action_low, spec->action_high);
        action[i] = (float)(share * action[i] + (1 - share) * noise);
    }
    return UF_OK;
}
