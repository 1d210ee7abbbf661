// classic.c: Pendulum, CartPole, both MountainCars, Acrobot and a square of cells behind the interface (what they do:
// env_rules.h), and a script that solves each.
#include <math.h>

// As in env_rules.h, so that its functions can become part of ours.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=off")
#endif

#include "core/envs/draw.h"
#include "core/envs/envs.h"

static void reset_uniform(UfEnv* env, UfRandom* random) {
    uf_reset_uniform(env->state, env->spec->state_dim, env->spec->details, random);
}

static void observe_state(const UfEnv* env, float* obs) {
    uf_observe_state(env->state, env->spec->obs_dim, obs);
}

// ---- pendulum ----

static void pendulum_step(UfEnv* env, const float* action, double* reward, bool* terminated) {
    uf_pendulum_step(env->state, env->spec->step_seconds, action, reward, terminated);
}

static void pendulum_observe(const UfEnv* env, float* obs) { uf_pendulum_observe(env->state, obs); }

// Pumps energy until the linear law can catch the rod. Constants by random search on the mean return.
static void pendulum_control(const UfEnv* env, const float* obs, float* action) {
    (void)env;
    double angle = atan2(obs[1], obs[0]), speed = obs[2];
    double missing = 15 * (1 - obs[0]) - 0.5 * speed * speed;  // energy of standing upright, less the present
    double balance = -(11 * angle + 3.1 * speed);
    bool near = fabs(angle) < 1.5 && fabs(balance) < 5;
    action[0] = (float)uf_clip_state(near ? balance : missing * speed, -2, 2);
}

const UfEnvOps uf_pendulum_ops = {.rule = UF_RULE_PENDULUM,
                                  .reset = reset_uniform,
                                  .step = pendulum_step,
                                  .observe = pendulum_observe,
                                  .control = pendulum_control,
                                  .draw = UF_DRAW(pendulum)};

// ---- cart pole ----

static void cart_pole_step(UfEnv* env, const float* action, double* reward, bool* terminated) {
    uf_cart_pole_step(env->state, env->spec->step_seconds, action, reward, terminated);
}

static void cart_pole_control(const UfEnv* env, const float* obs, float* action) {
    (void)env;
    action[0] = 0.1f * obs[0] + 0.3f * obs[1] + 2 * obs[2] + obs[3] > 0;
}

const UfEnvOps uf_cart_pole_ops = {.rule = UF_RULE_CART_POLE,
                                   .reset = reset_uniform,
                                   .step = cart_pole_step,
                                   .observe = observe_state,
                                   .control = cart_pole_control,
                                   .draw = UF_DRAW(cart_pole)};

// ---- mountain car ----

static void mountain_car_step(UfEnv* env, const float* action, double* reward, bool* terminated) {
    uf_mountain_car_step(env->state, action, reward, terminated);
}

static void mountain_car_control(const UfEnv* env, const float* obs, float* action) {
    (void)env;
    action[0] = obs[1] < 0 ? 0 : 2;
}

const UfEnvOps uf_mountain_car_ops = {.rule = UF_RULE_MOUNTAIN_CAR,
                                      .reset = reset_uniform,
                                      .step = mountain_car_step,
                                      .observe = observe_state,
                                      .control = mountain_car_control,
                                      .draw = UF_DRAW(mountain_car)};

static void mountain_car_continuous_step(UfEnv* env, const float* action, double* reward, bool* terminated) {
    uf_mountain_car_continuous_step(env->state, env->steps, action, reward, terminated);
}

static void mountain_car_continuous_control(const UfEnv* env, const float* obs, float* action) {
    (void)env;
    action[0] = obs[1] < 0 ? -0.2f : 0.2f;
}

const UfEnvOps uf_mountain_car_continuous_ops = {.rule = UF_RULE_MOUNTAIN_CAR_CONTINUOUS,
                                                 .reset = reset_uniform,
                                                 .step = mountain_car_continuous_step,
                                                 .observe = observe_state,
                                                 .control = mountain_car_continuous_control,
                                                 .draw = UF_DRAW(mountain_car_continuous)};

// ---- acrobot ----

static void acrobot_reset(UfEnv* env, UfRandom* random) {
    uf_acrobot_reset(env->state, env->spec->details, random);
}

static void acrobot_step(UfEnv* env, const float* action, double* reward, bool* terminated) {
    uf_acrobot_step(env->state, env->spec->step_seconds, action, reward, terminated);
}

static void acrobot_observe(const UfEnv* env, float* obs) { uf_acrobot_observe(env->state, obs); }

static void acrobot_control(const UfEnv* env, const float* obs, float* action) {
    (void)env;
    action[0] = obs[4] > 0 ? 0 : 2;
}

const UfEnvOps uf_acrobot_ops = {.rule = UF_RULE_ACROBOT,
                                 .reset = acrobot_reset,
                                 .step = acrobot_step,
                                 .observe = acrobot_observe,
                                 .control = acrobot_control,
                                 .draw = UF_DRAW(acrobot)};

// ---- a square of cells ----

static void grid_world_reset(UfEnv* env, UfRandom* random) {
    uf_grid_world_reset(env->state, env->spec->details, random);
}

static void grid_world_step(UfEnv* env, const float* action, double* reward, bool* terminated) {
    uf_grid_world_step(env->state, env->spec->details, action, reward, terminated);
}

static void grid_world_observe(const UfEnv* env, float* obs) {
    uf_grid_world_observe(env->state, env->spec->details, obs);
}

static void grid_world_control(const UfEnv* env, const float* obs, float* action) {
    (void)env;
    action[0] = obs[0] < 1 ? 1 : 2;
}

const UfEnvOps uf_grid_world_ops = {.rule = UF_RULE_GRID_WORLD,
                                    .reset = grid_world_reset,
                                    .step = grid_world_step,
                                    .observe = grid_world_observe,
                                    .control = grid_world_control,
                                    .draw = UF_DRAW(grid_world)};
