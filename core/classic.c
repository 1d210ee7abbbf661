// classic.c: Pendulum, CartPole, both MountainCars and Acrobot, and a script that solves each.
//
// They follow gymnasium to the bit, which means following where numpy rounds to float32: an open-loop replay
// of a swing-up amplifies a difference of 1e-8 in one step until the whole episode differs. Sources:
// gymnasium/envs/classic_control/*.py.
#include <math.h>

#include "draw.h"
#include "envs.h"

// A fused multiply-add rounds once where gymnasium rounds twice.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#define PI 3.14159265358979323846

// Lets NaN through, as numpy.clip does.
static double clip(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

static void reset_uniform(UfEnv* env, UfRandom* random) {
    const UfResetBounds* bounds = env->spec->details;
    for (int i = 0; i < env->spec->state_dim; i++)
        env->state[i] = uf_random_uniform(random, bounds->low[i], bounds->high[i]);
}

static void observe_state(const UfEnv* env, float* obs) {
    for (int i = 0; i < env->spec->obs_dim; i++) obs[i] = (float)env->state[i];
}

// ---- pendulum ----

// Angle from upright in [-pi, pi), by Python's modulo.
static double wrap_angle(double angle) {
    double turn = fmod(angle + PI, 2 * PI);
    return (turn < 0 ? turn + 2 * PI : turn) - PI;
}

static void pendulum_step(UfEnv* env, const float* action, double* reward, bool* terminated) {
    double angle = env->state[0], speed = env->state[1], wrapped = wrap_angle(angle);
    float torque = (float)clip(action[0], -2, 2);
    float effort = 0.001f * (torque * torque), push = 3.0f * torque;  // numpy keeps both in float32
    *reward = -(wrapped * wrapped + 0.1 * (speed * speed) + effort);
    *terminated = false;
    const double dt = env->spec->step_seconds;
    speed = clip(speed + (15.0 * sin(angle) + push) * dt, -8, 8);
    env->state[0] = angle + speed * dt;
    env->state[1] = speed;
}

static void pendulum_observe(const UfEnv* env, float* obs) {
    obs[0] = (float)cos(env->state[0]);
    obs[1] = (float)sin(env->state[0]);
    obs[2] = (float)env->state[1];
}

// Pumps energy until the linear law can catch the rod. Constants by random search on the mean return.
static void pendulum_control(const UfEnv* env, const float* obs, float* action) {
    (void)env;
    double angle = atan2(obs[1], obs[0]), speed = obs[2];
    double missing = 15 * (1 - obs[0]) - 0.5 * speed * speed;  // energy of standing upright, less the present
    double balance = -(11 * angle + 3.1 * speed);
    bool near = fabs(angle) < 1.5 && fabs(balance) < 5;
    action[0] = (float)clip(near ? balance : missing * speed, -2, 2);
}

const UfEnvOps uf_pendulum_ops = {.reset = reset_uniform,
                                  .step = pendulum_step,
                                  .observe = pendulum_observe,
                                  .control = pendulum_control,
                                  .draw = UF_DRAW(pendulum)};

// ---- cart pole ----

static void cart_pole_step(UfEnv* env, const float* action, double* reward, bool* terminated) {
    const double gravity = 9.8, pole_mass = 0.1, mass = 0.1 + 1.0, length = 0.5, pole_moment = 0.1 * 0.5;
    const double dt = env->spec->step_seconds;
    double* s = env->state;
    double force = uf_env_kind(env->spec, action) == 1 ? 10.0 : -10.0, cosine = cos(s[2]), sine = sin(s[2]);
    double push = (force + pole_moment * (s[3] * s[3]) * sine) / mass;
    double turn =
        (gravity * sine - cosine * push) / (length * (4.0 / 3.0 - pole_mass * (cosine * cosine) / mass));
    double pull = push - pole_moment * turn * cosine / mass;
    // explicit Euler: every rate is the old one
    s[0] += dt * s[1];
    s[1] += dt * pull;
    s[2] += dt * s[3];
    s[3] += dt * turn;
    *terminated = fabs(s[0]) > 2.4 || fabs(s[2]) > 12 * 2 * PI / 360;
    *reward = 1;
}

static void cart_pole_control(const UfEnv* env, const float* obs, float* action) {
    (void)env;
    action[0] = 0.1f * obs[0] + 0.3f * obs[1] + 2 * obs[2] + obs[3] > 0;
}

const UfEnvOps uf_cart_pole_ops = {.reset = reset_uniform,
                                   .step = cart_pole_step,
                                   .observe = observe_state,
                                   .control = cart_pole_control,
                                   .draw = UF_DRAW(cart_pole)};

// ---- mountain car ----

static void mountain_car_step(UfEnv* env, const float* action, double* reward, bool* terminated) {
    double position = env->state[0], speed = env->state[1];
    double push = (uf_env_kind(env->spec, action) - 1) * 0.001;
    speed = clip(speed + (push + cos(3 * position) * -0.0025), -0.07, 0.07);
    position = clip(position + speed, -1.2, 0.6);
    if (position == -1.2 && speed < 0) speed = 0;
    env->state[0] = position;
    env->state[1] = speed;
    *terminated = position >= 0.5 && speed >= 0;
    *reward = -1;
}

static void mountain_car_control(const UfEnv* env, const float* obs, float* action) {
    (void)env;
    action[0] = obs[1] < 0 ? 0 : 2;
}

const UfEnvOps uf_mountain_car_ops = {.reset = reset_uniform,
                                      .step = mountain_car_step,
                                      .observe = observe_state,
                                      .control = mountain_car_control,
                                      .draw = UF_DRAW(mountain_car)};

static double rounded(double x, bool to_single) { return to_single ? (float)x : x; }

// gymnasium stores the state as float32 after each step but starts from float64, and a clipped action is a
// Python float where another is a numpy.float32; both decide what is rounded.
static void mountain_car_continuous_step(UfEnv* env, const float* action, double* reward, bool* terminated) {
    bool single = env->steps > 0, beyond = action[0] < -1 || action[0] > 1;
    double position = env->state[0], speed = env->state[1];
    double slope = 0.0025 * cos(rounded(3 * position, single));
    double gain = beyond ? copysign(0.0015, action[0]) - slope : (double)(action[0] * 0.0015f - (float)slope);
    double top = rounded(0.07, single), left = rounded(-1.2, single), right = rounded(0.6, single);
    speed = clip(rounded(speed + rounded(gain, single), single), -top, top);
    position = clip(rounded(position + speed, single), left, right);
    if (position == left && speed < 0) speed = 0;
    *terminated = position >= rounded(0.45, single) && speed >= 0;
    *reward = (*terminated ? 100.0 : 0.0) - (double)action[0] * action[0] * 0.1;
    env->state[0] = (float)position;
    env->state[1] = (float)speed;
}

static void mountain_car_continuous_control(const UfEnv* env, const float* obs, float* action) {
    (void)env;
    action[0] = obs[1] < 0 ? -0.2f : 0.2f;
}

const UfEnvOps uf_mountain_car_continuous_ops = {.reset = reset_uniform,
                                                 .step = mountain_car_continuous_step,
                                                 .observe = observe_state,
                                                 .control = mountain_car_continuous_control,
                                                 .draw = UF_DRAW(mountain_car_continuous)};

// ---- acrobot ----

// Where Python writes x**2, numpy calls pow, which is not x * x in the last bit; a constant 2 would let the
// compiler fold it.
static double power_2(double x) {
    volatile double two = 2;
    return pow(x, two);
}

// d state / dt under a constant torque. Masses and link length are 1, centres of mass at 0.5, inertias 1.
static void acrobot_rates(double rates[4], const double s[4], double torque) {
    const double l1 = 1, lc1 = 0.5, lc2 = 0.5, i1 = 1, i2 = 1, g = 9.8;
    double th1 = s[0], th2 = s[1], w1 = s[2], w2 = s[3];
    double d1 = lc1 * lc1 + (l1 * l1 + lc2 * lc2 + 2 * l1 * lc2 * cos(th2)) + i1 + i2;
    double d2 = (lc2 * lc2 + l1 * lc2 * cos(th2)) + i2;
    double f2 = lc2 * g * cos(th1 + th2 - PI / 2);
    double f1 = -l1 * lc2 * power_2(w2) * sin(th2) - 2 * l1 * lc2 * w2 * w1 * sin(th2) +
                (lc1 + l1) * g * cos(th1 - PI / 2) + f2;
    double a2 = (torque + d2 / d1 * f1 - l1 * lc2 * power_2(w1) * sin(th2) - f2) /
                (lc2 * lc2 + i2 - power_2(d2) / d1);
    rates[0] = w1;
    rates[1] = w2;
    rates[2] = -(d2 * a2 + f1) / d1;
    rates[3] = a2;
}

static void acrobot_reset(UfEnv* env, UfRandom* random) {
    reset_uniform(env, random);
    for (int i = 0; i < 4; i++) env->state[i] = (float)env->state[i];
}

static double wrap_to_pi(double angle) {
    if (!(fabs(angle) < 1e3)) return fmod(angle, 2 * PI);  // only a state set by hand is that far off
    while (angle > PI) angle -= 2 * PI;
    while (angle < -PI) angle += 2 * PI;
    return angle;
}

static void acrobot_step(UfEnv* env, const float* action, double* reward, bool* terminated) {
    const double dt = env->spec->step_seconds;
    double* s = env->state;
    double torque = uf_env_kind(env->spec, action) - 1, k1[4], k2[4], k3[4], k4[4], at[4];
    acrobot_rates(k1, s, torque);
    for (int i = 0; i < 4; i++) at[i] = s[i] + dt / 2 * k1[i];
    acrobot_rates(k2, at, torque);
    for (int i = 0; i < 4; i++) at[i] = s[i] + dt / 2 * k2[i];
    acrobot_rates(k3, at, torque);
    for (int i = 0; i < 4; i++) at[i] = s[i] + dt * k3[i];
    acrobot_rates(k4, at, torque);
    for (int i = 0; i < 4; i++) s[i] += dt / 6.0 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]);
    s[0] = wrap_to_pi(s[0]);
    s[1] = wrap_to_pi(s[1]);
    s[2] = clip(s[2], -4 * PI, 4 * PI);
    s[3] = clip(s[3], -9 * PI, 9 * PI);
    *terminated = -cos(s[0]) - cos(s[1] + s[0]) > 1;
    *reward = *terminated ? 0 : -1;
}

static void acrobot_observe(const UfEnv* env, float* obs) {
    const double* s = env->state;
    obs[0] = (float)cos(s[0]);
    obs[1] = (float)sin(s[0]);
    obs[2] = (float)cos(s[1]);
    obs[3] = (float)sin(s[1]);
    obs[4] = (float)s[2];
    obs[5] = (float)s[3];
}

static void acrobot_control(const UfEnv* env, const float* obs, float* action) {
    (void)env;
    action[0] = obs[4] > 0 ? 0 : 2;
}

const UfEnvOps uf_acrobot_ops = {.reset = acrobot_reset,
                                 .step = acrobot_step,
                                 .observe = acrobot_observe,
                                 .control = acrobot_control,
                                 .draw = UF_DRAW(acrobot)};
