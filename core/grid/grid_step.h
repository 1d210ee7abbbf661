// grid_step.h: what an action does to one environment by MiniGrid's rules; inline for C11 and CUDA.
//
// Read nx_step_env, at the end. The front cell is the cell ahead before the action. What an action does is a matter of
// that cell's kind: most actions of a random agent do nothing, so that turning and walking are computed without a
// branch, and one rarely taken branch does the rest.
// Source: MiniGrid 3.2.0, minigrid_env.py `step` and the `step` of each environment.
#ifndef NX_GRID_STEP_H
#define NX_GRID_STEP_H

#include <string.h>  // memcpy

#include "navix.h"
#include "core/grid/grid.h"

typedef struct NxResult {
    float reward;
    bool terminated, truncated;
} NxResult;

// 1 - 0.9 t / T, in double.
static inline UF_HD float nx_success(const NxEnv* env) {
    return (float)(1.0 - 0.9 * ((double)env->step_count / (double)env->max_steps));
}

static inline UF_HD bool nx_inside(const NxLayout* layout, int x, int y) {
    return (unsigned)x < (unsigned)layout->spec.width && (unsigned)y < (unsigned)layout->spec.height;
}

// ---- moving obstacles ----

// MiniGrid draws cells of the 3x3 block around a ball until one is empty, 101 times at most, and leaves the ball where
// it is if none was: here it draws among those that are. (The 101 draws fail with probability 7e-6 where one of the nine
// is free.) Where the block begins off the map, it is moved inside; where it ends there, cut.
static inline UF_HD void nx_move_border_obstacle(const NxLayout* layout, NxEnv* env, int ball,
                                                 uint32_t* fraction) {
    NxCell* cells = nx_cells(env);
    const int width = layout->spec.width, height = layout->spec.height;
    const int x = env->obstacle_x[ball], y = env->obstacle_y[ball];
    const int left = x ? x - 1 : 0, top = y ? y - 1 : 0;
    const int right = left + 3 < width ? left + 3 : width, bottom = top + 3 < height ? top + 3 : height;
    int count = 0;
    for (int b = top; b < bottom; b++)
        for (int a = left; a < right; a++) count += cells[b * width + a] == NX_CELL_EMPTY;
    if (!count) return;
    int chosen = nx_take(fraction, count);
    for (int b = top; b < bottom; b++)
        for (int a = left; a < right; a++) {
            if (cells[b * width + a] != NX_CELL_EMPTY || chosen--) continue;
            cells[b * width + a] = cells[y * width + x];
            cells[y * width + x] = NX_CELL_EMPTY;
            env->obstacle_x[ball] = (uint8_t)a;
            env->obstacle_y[ball] = (uint8_t)b;
            return;
        }
}

// The same inside, where almost every ball is: its eight neighbours as the bytes of a word, in rows. Each free one
// becomes a 1, the multiplication sums them up from below, and the chosen one is the first whose sum exceeds `chosen`.
static inline UF_HD void nx_move_obstacle(const NxLayout* layout, NxEnv* env, int ball, uint32_t* fraction) {
    const uint64_t ones = 0x0101010101010101ull, tops = ones << 7;
    NxCell* cells = nx_cells(env);
    const int width = layout->spec.width;
    const int x = env->obstacle_x[ball], y = env->obstacle_y[ball];
    if ((unsigned)(x - 1) >= (unsigned)(width - 2) ||
        (unsigned)(y - 1) >= (unsigned)(layout->spec.height - 2)) {
        nx_move_border_obstacle(layout, env, ball, fraction);
        return;
    }
    NxCell* cell = cells + y * width + x;
    // by bytes: one that a ball has just been written to cannot be read as part of a word without a stall
    uint64_t around = ((uint64_t)cell[-width - 1] | (uint64_t)cell[-width] << 8) |
                      ((uint64_t)cell[-width + 1] << 16 | (uint64_t)cell[-1] << 24) |
                      ((uint64_t)cell[1] << 32 | (uint64_t)cell[width - 1] << 40) |
                      ((uint64_t)cell[width] << 48 | (uint64_t)cell[width + 1] << 56);
    around ^= ones * NX_CELL_EMPTY;  // cells have bit 7 clear
    const uint64_t sums = ((~(around + (tops - ones)) & tops) >> 7) * ones;
    const int count = (int)(sums >> 56);
    if (!count) return;
    const int chosen = nx_take(fraction, count);
    const uint64_t before = ((tops + ones * (unsigned)chosen) - sums) & tops;
    const int at = (int)((before >> 7) * ones >> 56);
    const int dx = (int)(0x9224u >> 2 * at & 3) - 1, dy = (int)(0xA940u >> 2 * at & 3) - 1;  // two bits each
    cell[dy * width + dx] = *cell;
    *cell = NX_CELL_EMPTY;
    env->obstacle_x[ball] = (uint8_t)(x + dx);
    env->obstacle_y[ball] = (uint8_t)(y + dy);
}

// They go where a recording says, positions (num_obstacles, 2).
static inline UF_HD void nx_place_obstacles(const NxLayout* layout, NxEnv* env, const int32_t* positions) {
    NxCell *cells = nx_cells(env), kept[NX_MAX_OBSTACLES];
    const int width = layout->spec.width;
    for (int i = 0; i < env->num_obstacles; i++) {
        NxCell* cell = &cells[env->obstacle_y[i] * width + env->obstacle_x[i]];
        kept[i] = *cell;
        *cell = NX_CELL_EMPTY;
    }
    for (int i = 0; i < env->num_obstacles; i++) {
        env->obstacle_x[i] = (uint8_t)positions[2 * i];
        env->obstacle_y[i] = (uint8_t)positions[2 * i + 1];
        cells[env->obstacle_y[i] * width + env->obstacle_x[i]] = kept[i];
    }
}

enum { NX_MOVES_OF_DRAW = 4 };  // 8^4 / 2^32: a bias of 1e-6

// How the balls move.   Nullable: positions
typedef void NxMove(const NxLayout* layout, NxEnv* env, const int32_t* positions);

// No ball goes onto the agent: its cell is a wall for as long as they move.
static inline UF_HD void nx_move_obstacles(const NxLayout* layout, NxEnv* env, const int32_t* positions) {
    NxCell *under = &nx_cells(env)[env->y * layout->spec.width + env->x], kept = *under;
    if (positions) {
        nx_place_obstacles(layout, env, positions);
        return;
    }
    *under = NX_CELL_WALL;
    uint32_t fraction = 0;
    for (int i = 0; i < env->num_obstacles; i++) {
        if (i % NX_MOVES_OF_DRAW == 0) fraction = nx_random(env);
        nx_move_obstacle(layout, env, i, &fraction);
    }
    *under = kept;
}

// ---- the action itself ----

// What forward, pickup, drop and toggle do to the front cell `front` (of kind `kind`), where they do anything.
static inline UF_HD void nx_handle(const NxLayout* layout, NxEnv* env, int action, NxCell* front,
                                   NxResult* result) {
    NxCell* contents = nx_contents(layout, env);
    if (contents) contents += front - nx_cells(env);
    const int kind = nx_kind(*front);
    if (action == NX_FORWARD) {  // walked onto goal or lava
        result->terminated = true;
        if (kind == NX_GOAL) result->reward = nx_success(env);
    } else if (action == NX_PICKUP) {
        env->carrying = *front;
        *front = NX_CELL_EMPTY;
        if (contents) {
            env->carrying_contents = *contents;
            *contents = NX_CELL_EMPTY;
        }
    } else if (action == NX_DROP) {
        *front = env->carrying;
        env->carrying = NX_CELL_EMPTY;
        if (contents) {
            *contents = env->carrying_contents;
            env->carrying_contents = NX_CELL_EMPTY;
        }
    } else if (kind == NX_BOX) {
        *front = contents ? *contents : NX_CELL_EMPTY;
        if (contents) *contents = NX_CELL_EMPTY;
    } else if (kind == NX_DOOR_OPEN) {
        *front = NX_CELL(NX_DOOR_CLOSED, nx_colour(*front));
    } else if (kind == NX_DOOR_CLOSED || env->carrying == NX_CELL(NX_KEY, nx_colour(*front))) {
        *front = NX_CELL(NX_DOOR_OPEN, nx_colour(*front));  // a key that unlocks is kept
    }
}

// The action by the rules that all families share.
static inline UF_HD void nx_act(const NxLayout* layout, NxEnv* env, int action, NxResult* result) {
    // On which kinds of front cells an action does more than turn or walk: with empty hands, and with full ones.
    static const uint16_t handled[2][NX_NUM_ACTIONS] = {
        {0, 0, NX_BIT(NX_GOAL) | NX_BIT(NX_LAVA), NX_PORTABLE, 0,
         NX_BIT(NX_DOOR_OPEN) | NX_BIT(NX_DOOR_CLOSED) | NX_BIT(NX_BOX), 0},
        {0, 0, NX_BIT(NX_GOAL) | NX_BIT(NX_LAVA), 0, NX_BIT(NX_EMPTY),
         NX_BIT(NX_DOOR_OPEN) | NX_BIT(NX_DOOR_CLOSED) | NX_BIT(NX_DOOR_LOCKED) | NX_BIT(NX_BOX), 0}};
    const int dx = nx_dx(env->direction), dy = nx_dy(env->direction);
    const int x = env->x + dx, y = env->y + dy;
    if (!nx_inside(layout, x, y)) {  // only where no wall encloses the level: nothing is there
        if (action <= NX_RIGHT) env->direction = (uint8_t)((env->direction + 3 - 2 * action) & 3);
        return;
    }
    NxCell* front = nx_cells(env) + y * layout->spec.width + x;
    const int walks = (action == NX_FORWARD) & nx_is(*front, NX_WALKABLE);
    const int turn = (action == NX_RIGHT) - (action == NX_LEFT);
    env->direction = (uint8_t)((env->direction + turn) & 3);
    env->x = (uint8_t)(env->x + (dx & -walks));
    env->y = (uint8_t)(env->y + (dy & -walks));
    if (nx_is(*front, handled[env->carrying != NX_CELL_EMPTY][action]))
        nx_handle(layout, env, action, front, result);
}

// ---- what families add ----

static inline UF_HD void nx_win(const NxEnv* env, NxResult* result, bool won) {
    result->terminated = true;
    result->reward = won ? nx_success(env) : 0;
}
static inline UF_HD int nx_distance(int a, int b) { return a < b ? b - a : a - b; }
static inline UF_HD NxCell nx_cell_at(const NxLayout* layout, NxEnv* env, NxObject object) {
    return nx_cells(env)[object.y * layout->spec.width + object.x];
}
static inline UF_HD bool nx_is_open(const NxLayout* layout, NxEnv* env, NxObject door) {
    return nx_kind(nx_cell_at(layout, env, door)) == NX_DOOR_OPEN;
}

// GoToDoor, GoToObject: `done` beside where the target was at the start; a toggle ends the episode.
static inline UF_HD void nx_step_go_to(const NxLayout* layout, NxEnv* env, int action, NxResult* result) {
    nx_act(layout, env, action, result);
    if (action == NX_TOGGLE) result->terminated = true;
    if (action == NX_DONE)
        nx_win(env, result, nx_distance(env->x, env->target.x) + nx_distance(env->y, env->target.y) == 1);
}

// A ball ahead, or a wall, ends the episode of who walks, even if the ball has just moved away.
static inline UF_HD void nx_step_obstacles(const NxLayout* layout, NxEnv* env, int action,
                                           const int32_t* positions, NxMove* move, NxResult* result) {
    const int x = env->x + nx_dx(env->direction), y = env->y + nx_dy(env->direction);
    const bool blocked = !nx_inside(layout, x, y) || !nx_is(nx_cells(env)[y * layout->spec.width + x],
                                                            NX_BIT(NX_EMPTY) | NX_BIT(NX_GOAL));
    if (action > NX_FORWARD) action = NX_LEFT;
    move(layout, env, positions);
    nx_act(layout, env, action, result);
    if (action == NX_FORWARD && blocked) {
        result->terminated = true;
        result->reward = -1;
    }
}

// A pick-up of what is not to be moved ends the episode, and so does a drop, even one that fails.
static inline UF_HD void nx_step_put_near(const NxLayout* layout, NxEnv* env, int action, NxResult* result) {
    const NxCell before = env->carrying;
    const int x = env->x + nx_dx(env->direction), y = env->y + nx_dy(env->direction);
    nx_act(layout, env, action, result);
    if (action == NX_PICKUP && env->carrying != NX_CELL_EMPTY && env->carrying != env->aux.cell)
        result->terminated = true;
    if (action == NX_DROP && before != NX_CELL_EMPTY)
        nx_win(env, result,
               env->carrying == NX_CELL_EMPTY && nx_distance(x, env->target.x) <= 1 &&
                   nx_distance(y, env->target.y) <= 1);
}

// One step, with another way to move balls.
static inline UF_HD NxResult nx_step_env_by(const NxLayout* layout, NxEnv* env, int action,
                                            const int32_t* obstacles, NxMove* move) {
    NxResult result = {0, false, false};
    env->step_count++;
    switch (layout->spec.family) {
        case NX_FAMILY_DYNAMIC_OBSTACLES:
            nx_step_obstacles(layout, env, action, obstacles, move, &result);
            break;
        case NX_FAMILY_GO_TO_DOOR:
        case NX_FAMILY_GO_TO_OBJECT: nx_step_go_to(layout, env, action, &result); break;
        case NX_FAMILY_PUT_NEAR: nx_step_put_near(layout, env, action, &result); break;
        case NX_FAMILY_FETCH:
            nx_act(layout, env, action, &result);
            if (env->carrying != NX_CELL_EMPTY) nx_win(env, &result, env->carrying == env->target.cell);
            break;
        case NX_FAMILY_KEY_CORRIDOR:
        case NX_FAMILY_UNLOCK_PICKUP:
        case NX_FAMILY_BLOCKED_UNLOCK_PICKUP:
        case NX_FAMILY_OBSTRUCTED_MAZE:  // their targets are the only ones of their kind and colour
            nx_act(layout, env, action, &result);
            if (action == NX_PICKUP && env->carrying == env->target.cell) nx_win(env, &result, true);
            break;
        case NX_FAMILY_UNLOCK:
            nx_act(layout, env, action, &result);
            if (action == NX_TOGGLE && nx_is_open(layout, env, env->target)) nx_win(env, &result, true);
            break;
        case NX_FAMILY_RED_BLUE_DOORS: {  // target: the blue door
            const bool red = nx_is_open(layout, env, env->aux), blue = nx_is_open(layout, env, env->target);
            nx_act(layout, env, action, &result);
            if (nx_is_open(layout, env, env->target))
                nx_win(env, &result, red);
            else if (blue && nx_is_open(layout, env, env->aux))
                nx_win(env, &result, false);
            break;
        }
        case NX_FAMILY_MEMORY:  // target and aux: the cells of success and failure
            nx_act(layout, env, action == NX_PICKUP ? NX_TOGGLE : action, &result);
            if (env->x == env->target.x && env->y == env->target.y) nx_win(env, &result, true);
            if (env->x == env->aux.x && env->y == env->aux.y) nx_win(env, &result, false);
            break;
        default: nx_act(layout, env, action, &result);
    }
    result.truncated = env->step_count >= env->max_steps;
    return result;
}

// One step.   Nullable: obstacles (num_obstacles, 2), where the balls of Dynamic-Obstacles go instead of drawing
static inline UF_HD NxResult nx_step_env(const NxLayout* layout, NxEnv* env, int action,
                                         const int32_t* obstacles) {
    return nx_step_env_by(layout, env, action, obstacles, nx_move_obstacles);
}

#endif
