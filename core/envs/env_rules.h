// env_rules.h: what the built-in environments do, once for C, C++ and CUDA: start, step and look at a state.
//
// They follow gymnasium to the bit, which means following where numpy rounds to float32: an open-loop replay of a
// swing-up amplifies a difference of 1e-8 in one step until the whole episode differs. On a device sine, cosine and the
// like may differ in their last bits. Sources: gymnasium/envs/classic_control/*.py; of the mazes see maze.c.
#ifndef UF_ENV_RULES_H
#define UF_ENV_RULES_H

#ifdef __cplusplus
#include <cmath>
#else
#include <math.h>
#include <stdbool.h>
#endif

#include "core/philox.h"

// A fused multiply-add rounds once where gymnasium rounds twice. (nvcc has -fmad=false for this.)
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__) && !defined(__CUDACC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif

#define UF_ENV_STATE 4  // doubles that a built-in environment's state has at most
#define UF_PI 3.14159265358979323846

enum { UF_RULE_MAX_OBS = 6, UF_RULE_MAX_ACTIONS = 4 };

// Reset of classic control: uniform within these, component by component. A square of cells: its corners.
typedef struct UfResetBounds {
    double low[UF_ENV_STATE], high[UF_ENV_STATE];
} UfResetBounds;

#define UF_MAZE_SIDE 16
typedef struct UfMazeGrid {
    int num_rows, num_columns, goal[2];
    bool dense;
    uint16_t wall[UF_MAZE_SIDE];  // bit j of row i: cell (i, j)
} UfMazeGrid;

typedef enum UfRuleKind {
    UF_RULE_NONE,  // not built in
    UF_RULE_PENDULUM,
    UF_RULE_CART_POLE,
    UF_RULE_MOUNTAIN_CAR,
    UF_RULE_MOUNTAIN_CAR_CONTINUOUS,
    UF_RULE_ACROBOT,
    UF_RULE_MAZE,
    UF_RULE_GRID_WORLD,
} UfRuleKind;

// A built-in environment as a device needs it, without pointers: of a UfEnvSpec, by uf_env_rule.
typedef struct UfEnvRule {
    UfRuleKind kind;
    int obs_dim, action_dim, state_dim, max_steps;
    bool discrete;
    float action_low, action_high;
    double step_seconds;
    UfResetBounds bounds;
    UfMazeGrid maze;
} UfEnvRule;

// Lets NaN through, as numpy.clip does.
static inline UF_HD double uf_clip_state(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

static inline UF_HD int uf_discrete_action(const float* action, int count) {
    return (int)fminf(fmaxf(rintf(action[0]), 0.0f), (float)(count - 1));  // NaN counts as 0
}

static inline UF_HD void uf_reset_uniform(double* state, int count, const UfResetBounds* bounds,
                                          UfRandom* random) {
    for (int i = 0; i < count; i++) state[i] = uf_random_uniform(random, bounds->low[i], bounds->high[i]);
}

static inline UF_HD void uf_observe_state(const double* state, int count, float* obs) {
    for (int i = 0; i < count; i++) obs[i] = (float)state[i];
}

// ---- pendulum ----

// Angle from upright in [-pi, pi), by Python's modulo.
static inline UF_HD double uf_wrap_angle(double angle) {
    double turn = fmod(angle + UF_PI, 2 * UF_PI);
    return (turn < 0 ? turn + 2 * UF_PI : turn) - UF_PI;
}

static inline UF_HD void uf_pendulum_step(double* s, double dt, const float* action, double* reward,
                                          bool* terminated) {
    double angle = s[0], speed = s[1], wrapped = uf_wrap_angle(angle);
    float torque = (float)uf_clip_state(action[0], -2, 2);
    float effort = 0.001f * (torque * torque), push = 3.0f * torque;  // numpy keeps both in float32
    *reward = -(wrapped * wrapped + 0.1 * (speed * speed) + effort);
    *terminated = false;
    speed = uf_clip_state(speed + (15.0 * sin(angle) + push) * dt, -8, 8);
    s[0] = angle + speed * dt;
    s[1] = speed;
}

static inline UF_HD void uf_pendulum_observe(const double* s, float* obs) {
    obs[0] = (float)cos(s[0]);
    obs[1] = (float)sin(s[0]);
    obs[2] = (float)s[1];
}

// ---- cart pole ----

static inline UF_HD void uf_cart_pole_step(double* s, double dt, const float* action, double* reward,
                                           bool* terminated) {
    const double gravity = 9.8, pole_mass = 0.1, mass = 0.1 + 1.0, length = 0.5, pole_moment = 0.1 * 0.5;
    double force = uf_discrete_action(action, 2) == 1 ? 10.0 : -10.0, cosine = cos(s[2]), sine = sin(s[2]);
    double push = (force + pole_moment * (s[3] * s[3]) * sine) / mass;
    double turn =
        (gravity * sine - cosine * push) / (length * (4.0 / 3.0 - pole_mass * (cosine * cosine) / mass));
    double pull = push - pole_moment * turn * cosine / mass;
    // explicit Euler: every rate is the old one
    s[0] += dt * s[1];
    s[1] += dt * pull;
    s[2] += dt * s[3];
    s[3] += dt * turn;
    *terminated = fabs(s[0]) > 2.4 || fabs(s[2]) > 12 * 2 * UF_PI / 360;
    *reward = 1;
}

// ---- mountain car ----

static inline UF_HD void uf_mountain_car_step(double* s, const float* action, double* reward,
                                              bool* terminated) {
    double position = s[0], speed = s[1];
    double push = (uf_discrete_action(action, 3) - 1) * 0.001;
    speed = uf_clip_state(speed + (push + cos(3 * position) * -0.0025), -0.07, 0.07);
    position = uf_clip_state(position + speed, -1.2, 0.6);
    if (position == -1.2 && speed < 0) speed = 0;
    s[0] = position;
    s[1] = speed;
    *terminated = position >= 0.5 && speed >= 0;
    *reward = -1;
}

static inline UF_HD double uf_rounded(double x, bool to_single) { return to_single ? (float)x : x; }

// gymnasium stores the state as float32 after each step but starts from float64 (steps 0), and a clipped action is a
// Python float where another is a numpy.float32; both decide what is rounded.
static inline UF_HD void uf_mountain_car_continuous_step(double* s, int steps, const float* action,
                                                         double* reward, bool* terminated) {
    bool single = steps > 0, beyond = action[0] < -1 || action[0] > 1;
    double position = s[0], speed = s[1];
    double slope = 0.0025 * cos(uf_rounded(3 * position, single));
    double gain =
        beyond ? copysign(0.0015, (double)action[0]) - slope : (double)(action[0] * 0.0015f - (float)slope);
    double top = uf_rounded(0.07, single), left = uf_rounded(-1.2, single), right = uf_rounded(0.6, single);
    speed = uf_clip_state(uf_rounded(speed + uf_rounded(gain, single), single), -top, top);
    position = uf_clip_state(uf_rounded(position + speed, single), left, right);
    if (position == left && speed < 0) speed = 0;
    *terminated = position >= uf_rounded(0.45, single) && speed >= 0;
    *reward = (*terminated ? 100.0 : 0.0) - (double)action[0] * action[0] * 0.1;
    s[0] = (float)position;
    s[1] = (float)speed;
}

// ---- acrobot ----

// Where Python writes x**2, numpy calls pow, which is not x * x in the last bit; a constant 2 would let the
// compiler fold it.
static inline UF_HD double uf_power_2(double x) {
    volatile double two = 2;
    return pow(x, two);
}

// d state / dt under a constant torque. Masses and link length are 1, centres of mass at 0.5, inertias 1.
static inline UF_HD void uf_acrobot_rates(double rates[4], const double s[4], double torque) {
    const double l1 = 1, lc1 = 0.5, lc2 = 0.5, i1 = 1, i2 = 1, g = 9.8;
    double th1 = s[0], th2 = s[1], w1 = s[2], w2 = s[3];
    double d1 = lc1 * lc1 + (l1 * l1 + lc2 * lc2 + 2 * l1 * lc2 * cos(th2)) + i1 + i2;
    double d2 = (lc2 * lc2 + l1 * lc2 * cos(th2)) + i2;
    double f2 = lc2 * g * cos(th1 + th2 - UF_PI / 2);
    double f1 = -l1 * lc2 * uf_power_2(w2) * sin(th2) - 2 * l1 * lc2 * w2 * w1 * sin(th2) +
                (lc1 + l1) * g * cos(th1 - UF_PI / 2) + f2;
    double a2 = (torque + d2 / d1 * f1 - l1 * lc2 * uf_power_2(w1) * sin(th2) - f2) /
                (lc2 * lc2 + i2 - uf_power_2(d2) / d1);
    rates[0] = w1;
    rates[1] = w2;
    rates[2] = -(d2 * a2 + f1) / d1;
    rates[3] = a2;
}

static inline UF_HD void uf_acrobot_reset(double* s, const UfResetBounds* bounds, UfRandom* random) {
    uf_reset_uniform(s, 4, bounds, random);
    for (int i = 0; i < 4; i++) s[i] = (float)s[i];
}

static inline UF_HD double uf_wrap_to_pi(double angle) {
    if (!(fabs(angle) < 1e3)) return fmod(angle, 2 * UF_PI);  // only a state set by hand is that far off
    while (angle > UF_PI) angle -= 2 * UF_PI;
    while (angle < -UF_PI) angle += 2 * UF_PI;
    return angle;
}

static inline UF_HD void uf_acrobot_step(double* s, double dt, const float* action, double* reward,
                                         bool* terminated) {
    double torque = uf_discrete_action(action, 3) - 1, k1[4], k2[4], k3[4], k4[4], at[4];
    uf_acrobot_rates(k1, s, torque);
    for (int i = 0; i < 4; i++) at[i] = s[i] + dt / 2 * k1[i];
    uf_acrobot_rates(k2, at, torque);
    for (int i = 0; i < 4; i++) at[i] = s[i] + dt / 2 * k2[i];
    uf_acrobot_rates(k3, at, torque);
    for (int i = 0; i < 4; i++) at[i] = s[i] + dt * k3[i];
    uf_acrobot_rates(k4, at, torque);
    for (int i = 0; i < 4; i++) s[i] += dt / 6.0 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]);
    s[0] = uf_wrap_to_pi(s[0]);
    s[1] = uf_wrap_to_pi(s[1]);
    s[2] = uf_clip_state(s[2], -4 * UF_PI, 4 * UF_PI);
    s[3] = uf_clip_state(s[3], -9 * UF_PI, 9 * UF_PI);
    *terminated = -cos(s[0]) - cos(s[1] + s[0]) > 1;
    *reward = *terminated ? 0 : -1;
}

static inline UF_HD void uf_acrobot_observe(const double* s, float* obs) {
    obs[0] = (float)cos(s[0]);
    obs[1] = (float)sin(s[0]);
    obs[2] = (float)cos(s[1]);
    obs[3] = (float)sin(s[1]);
    obs[4] = (float)s[2];
    obs[5] = (float)s[3];
}

// ---- point mazes ----
//
// The mass is a disc in a grid of unit cells; cell (i, j) covers [i - 0.5, i + 0.5] x [j - 0.5, j + 0.5]. Walls are hard
// and smooth: a step that would enter one ends on its surface and loses the speed into it.

#define UF_MAZE_RADIUS 0.1
#define UF_MAZE_SUB_STEPS 4  // at 5 cells a second: 1/8 radius each
#define UF_MAZE_MASS                                                          \
    (4.18879020478639098 * UF_MAZE_RADIUS * UF_MAZE_RADIUS * UF_MAZE_RADIUS * \
     1000)                   // MuJoCo's ball of density 1000
#define UF_MAZE_MOTOR 100.0  // force of action 1
#define UF_MAZE_DAMPING 1.0
#define UF_MAZE_MAX_SPEED 5.0

static inline UF_HD bool uf_maze_is_wall(const UfMazeGrid* maze, int row, int column) {
    return row < 0 || column < 0 || row >= maze->num_rows || column >= maze->num_columns ||
           (maze->wall[row] >> column & 1);
}

// NaN counts as -1: a wall.
static inline UF_HD int uf_maze_cell_of(double x) {
    return (int)fmin(fmax(floor(x + 0.5), -1.0), (double)UF_MAZE_SIDE);
}

// As D4RL: the middle of any free cell (the goal's too) +- 0.1, speed 0.1 * normal.
static inline UF_HD void uf_maze_reset(double* s, const UfMazeGrid* maze, UfRandom* random) {
    int count = 0, row = 0, column = 0;
    for (int i = 0; i < maze->num_rows; i++)
        for (int j = 0; j < maze->num_columns; j++) count += !uf_maze_is_wall(maze, i, j);
    int chosen = (int)uf_random_uniform(random, 0, count);
    for (int i = 0; i < maze->num_rows; i++)
        for (int j = 0; j < maze->num_columns; j++)
            if (!uf_maze_is_wall(maze, i, j) && chosen-- == 0) row = i, column = j;
    s[0] = row + uf_random_uniform(random, -0.1, 0.1);
    s[1] = column + uf_random_uniform(random, -0.1, 0.1);
    for (int i = 0; i < 2; i++) s[2 + i] = 0.1 * uf_random_normal(random);
}

// Puts the disc back where it touches the walls around its cell, and takes the speed into them.
static inline UF_HD void uf_maze_collide(const UfMazeGrid* maze, double* position, double* velocity) {
    const double room = 0.5 - UF_MAZE_RADIUS;
    int cell[2] = {uf_maze_cell_of(position[0]), uf_maze_cell_of(position[1])};
    if (uf_maze_is_wall(maze, cell[0], cell[1]))
        return;                    // only a state set by hand is inside a wall; it may leave
    for (int k = 0; k < 4; k++) {  // faces
        int axis = k / 2, side = k & 1 ? -1 : 1;
        if (!uf_maze_is_wall(maze, cell[0] + (axis ? 0 : side), cell[1] + (axis ? side : 0))) continue;
        if (side * (position[axis] - cell[axis]) <= room) continue;
        position[axis] = cell[axis] + side * room;
        if (side * velocity[axis] > 0) velocity[axis] = 0;
    }
    // Corners: where a face beside it is a wall too, the disc is already a room's distance away.
    for (int k = 0; k < 4; k++) {
        int sides[2] = {k & 1 ? 1 : -1, k & 2 ? 1 : -1};
        if (!uf_maze_is_wall(maze, cell[0] + sides[0], cell[1] + sides[1])) continue;
        double dx = position[0] - (cell[0] + 0.5 * sides[0]), dy = position[1] - (cell[1] + 0.5 * sides[1]);
        double distance = sqrt(dx * dx + dy * dy);
        if (distance >= UF_MAZE_RADIUS || distance == 0) continue;
        dx /= distance;
        dy /= distance;
        position[0] += (UF_MAZE_RADIUS - distance) * dx;
        position[1] += (UF_MAZE_RADIUS - distance) * dy;
        double into = fmin(velocity[0] * dx + velocity[1] * dy, 0.0);
        velocity[0] -= into * dx;
        velocity[1] -= into * dy;
    }
}

static inline UF_HD void uf_maze_step(double* s, const UfMazeGrid* maze, double step_seconds,
                                      const float* action, double* reward, bool* terminated) {
    const double dt = step_seconds / UF_MAZE_SUB_STEPS;
    double *position = s, *velocity = s + 2;
    for (int i = 0; i < 2; i++) velocity[i] = fmin(fmax(velocity[i], -UF_MAZE_MAX_SPEED), UF_MAZE_MAX_SPEED);
    for (int k = 0; k < UF_MAZE_SUB_STEPS; k++) {
        for (int i = 0; i < 2; i++) {  // semi-implicit Euler
            double force =
                action[i] != action[i] ? 0 : fmin(fmax((double)action[i], -1.0), 1.0) * UF_MAZE_MOTOR;
            velocity[i] += dt * (force - UF_MAZE_DAMPING * velocity[i]) / UF_MAZE_MASS;
            position[i] += dt * velocity[i];
        }
        uf_maze_collide(maze, position, velocity);
    }
    double distance = hypot(position[0] - maze->goal[0], position[1] - maze->goal[1]);
    *reward = maze->dense ? exp(-distance) : distance <= 0.5;
    *terminated = false;
}

// ---- a square of cells ----
//
// One walks to the goal in the last column and row: left, right, up, down; into a wall one stays. Every other cell is as
// likely a start. Seen are column and row, each from -1 to 1.

enum { UF_GRID_WORLD_ACTIONS = 4 };

static inline UF_HD void uf_grid_world_reset(double* s, const UfResetBounds* cells, UfRandom* random) {
    const int columns = (int)cells->high[0] + 1, goal = columns * ((int)cells->high[1] + 1) - 1;
    const int cell = (int)uf_random_uniform(random, 0, goal);
    s[0] = cell % columns;
    s[1] = cell / columns;
}

static inline UF_HD void uf_grid_world_step(double* s, const UfResetBounds* cells, const float* action,
                                            double* reward, bool* terminated) {
    const int way = uf_discrete_action(action, UF_GRID_WORLD_ACTIONS);
    s[0] = uf_clip_state(s[0] + (way == 1) - (way == 0), cells->low[0], cells->high[0]);
    s[1] = uf_clip_state(s[1] + (way == 2) - (way == 3), cells->low[1], cells->high[1]);
    *terminated = s[0] >= cells->high[0] && s[1] >= cells->high[1];
    *reward = *terminated;
}

static inline UF_HD void uf_grid_world_observe(const double* s, const UfResetBounds* cells, float* obs) {
    for (int i = 0; i < 2; i++) obs[i] = (float)(2 * s[i] / cells->high[i] - 1);
}

// ---- any of them ----

// Starts an episode: the state depends on (seed, episode) alone.
static inline UF_HD void uf_rule_reset(const UfEnvRule* rule, double* s, uint64_t seed, uint64_t episode) {
    UfRandom random = uf_random(seed, UF_STREAM_ENV_RESET, episode);
    switch (rule->kind) {
        case UF_RULE_ACROBOT: uf_acrobot_reset(s, &rule->bounds, &random); break;
        case UF_RULE_MAZE: uf_maze_reset(s, &rule->maze, &random); break;
        case UF_RULE_GRID_WORLD: uf_grid_world_reset(s, &rule->bounds, &random); break;
        default: uf_reset_uniform(s, rule->state_dim, &rule->bounds, &random);
    }
}

// `steps` of the episode have been made; action in the environment's own units.
static inline UF_HD void uf_rule_step(const UfEnvRule* rule, double* s, int steps, const float* action,
                                      double* reward, bool* terminated) {
    const double dt = rule->step_seconds;
    switch (rule->kind) {
        case UF_RULE_PENDULUM: uf_pendulum_step(s, dt, action, reward, terminated); break;
        case UF_RULE_CART_POLE: uf_cart_pole_step(s, dt, action, reward, terminated); break;
        case UF_RULE_MOUNTAIN_CAR: uf_mountain_car_step(s, action, reward, terminated); break;
        case UF_RULE_MOUNTAIN_CAR_CONTINUOUS:
            uf_mountain_car_continuous_step(s, steps, action, reward, terminated);
            break;
        case UF_RULE_ACROBOT: uf_acrobot_step(s, dt, action, reward, terminated); break;
        case UF_RULE_GRID_WORLD: uf_grid_world_step(s, &rule->bounds, action, reward, terminated); break;
        default: uf_maze_step(s, &rule->maze, dt, action, reward, terminated);
    }
}

static inline UF_HD void uf_rule_observe(const UfEnvRule* rule, const double* s, float* obs) {
    switch (rule->kind) {
        case UF_RULE_PENDULUM: uf_pendulum_observe(s, obs); break;
        case UF_RULE_ACROBOT: uf_acrobot_observe(s, obs); break;
        case UF_RULE_GRID_WORLD: uf_grid_world_observe(s, &rule->bounds, obs); break;
        default: uf_observe_state(s, rule->obs_dim, obs);
    }
}

// A policy's action in [-1, 1] in the environment's units, clipped (discrete: arg max). env_action: action_dim floats or
// 1; may be `action` itself.
static inline UF_HD void uf_action_in_env(bool discrete, int action_dim, float low, float high,
                                          const float* action, float* env_action) {
    if (discrete) {
        int best = 0;
        for (int i = 1; i < action_dim; i++)
            if (action[i] > action[best]) best = i;
        env_action[0] = (float)best;
        return;
    }
    float middle = 0.5f * (low + high), half = 0.5f * (high - low);
    for (int i = 0; i < action_dim; i++) {
        float clipped = action[i] < -1 ? -1 : action[i] > 1 ? 1 : action[i];
        env_action[i] = middle + half * clipped;
    }
}

#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
#pragma GCC pop_options
#endif

#endif
