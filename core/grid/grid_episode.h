// grid_episode.h: what one call of nx_step or nx_reset does to one environment and says of it, observations aside;
// compiled by C11 and CUDA. navix.c and navix.cu differ only in who takes which environment and how it is observed.
#ifndef NX_GRID_EPISODE_H
#define NX_GRID_EPISODE_H

#include "core/grid/grid_levels.h"
#include "core/grid/grid_navix_levels.h"
#include "core/grid/grid_step.h"

static inline UF_HD void nx_begin_episode(const NxLayout* layout, NxEnv* env) {
    if (layout->rules == NX_RULES_NAVIX)
        nx_navix_generate(layout, env);
    else
        nx_generate(layout, env);
}

// How a step goes: nx_step_env, nx_navix_step, or one of these with another way to move balls.
typedef NxResult NxStep(const NxLayout* layout, NxEnv* env, int action, const int32_t* obstacles);

typedef enum NxTurn {
    NX_TURN_STEP,
    NX_TURN_LEVEL,  // a new episode has begun
    NX_TURN_LAST    // the episode has ended and the next is to begin at once: nx_begin_episode, once the last
                    // observation is taken
} NxTurn;

enum { NX_RESET = -1 };

// Environment i of a call: an action, or NX_RESET.   Nullable: obstacles (n, num_obstacles, 2)
static inline UF_HD NxTurn nx_take_turn(const NxLayout* layout, NxEnv* env, int64_t i, int action,
                                        const int32_t* obstacles, const NxOutput* out, NxStep* step) {
    NxResult result = {0, false, false};
    const bool resets = action == NX_RESET || (env->ended && layout->autoreset == NX_NEXT_STEP);
    if (resets) {
        nx_begin_episode(layout, env);
    } else {
        result = step(layout, env, action, obstacles ? obstacles + 2 * i * layout->spec.count : obstacles);
        env->ended = result.terminated || result.truncated;
        env->episode_return += result.reward;
    }
    if (out->reward) out->reward[i] = result.reward;
    if (out->terminated) out->terminated[i] = result.terminated;
    if (out->truncated) out->truncated[i] = result.truncated;
    if (out->episode_return) out->episode_return[i] = env->episode_return;
    if (out->episode_length) out->episode_length[i] = env->step_count;
    if (env->ended && layout->autoreset == NX_SAME_STEP) {
        if (out->final_direction) out->final_direction[i] = env->direction;
        return NX_TURN_LAST;
    }
    return resets ? NX_TURN_LEVEL : NX_TURN_STEP;
}

// Number i of uniform actions, for the bench.
static inline UF_HD uint8_t nx_random_action(uint64_t seed, int64_t i, int num_actions) {
    return (uint8_t)((nx_random_begin(seed, (uint64_t)i) >> 32) * (uint64_t)num_actions >> 32);
}

// Which cell an action may change, and with it what a box there holds. No other changes, but for balls that move by
// themselves and new levels.   -1: none
static inline UF_HD int nx_front(const NxLayout* layout, const NxEnv* env) {
    const int x = env->x + nx_dx(env->direction), y = env->y + nx_dy(env->direction);
    return nx_inside(layout, x, y) ? y * layout->spec.width + x : -1;
}

#endif
