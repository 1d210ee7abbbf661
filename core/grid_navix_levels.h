// grid_navix_levels.h: NAVIX's levels, from an environment's own chance alone; compiled by C11 and CUDA.
//
// Where NAVIX draws two things with one random key they are not independent. JAX's randint is a 64-bit number of the key
// modulo the range, so here such draws take one number modulo theirs: equal in distribution, the dependence included.
// Measured over NAVIX's own levels: FourRooms (gaps of the horizontal wall, direction), GoToDoor (right door, target) and
// KeyCorridor (place and colour of a door) have such draws. DoorKey's direction, goal and key share a key too, but what
// JAX makes of it there is independent.
// Source: NAVIX 0.11.0, environments/*.py and grid.py.
#ifndef NX_GRID_NAVIX_LEVELS_H
#define NX_GRID_NAVIX_LEVELS_H

#include <string.h>  // memset

#include "grid_navix.h"

// ---- pieces ----

static inline UF_HD void nx_navix_set(const NxLayout* layout, NxEnv* env, int x, int y, NxCell cell) {
    nx_cells(env)[y * layout->spec.width + x] = cell;
}
static inline UF_HD NxCell nx_navix_get(const NxLayout* layout, NxEnv* env, int x, int y) {
    return nx_cells(env)[y * layout->spec.width + x];
}

static inline UF_HD void nx_navix_column(const NxLayout* layout, NxEnv* env, int x, NxCell cell) {
    for (int y = 0; y < layout->spec.height; y++) nx_navix_set(layout, env, x, y, cell);
}
static inline UF_HD void nx_navix_row(const NxLayout* layout, NxEnv* env, int y, NxCell cell) {
    for (int x = 0; x < layout->spec.width; x++) nx_navix_set(layout, env, x, y, cell);
}

// A column or row between the walls at both ends.
static inline UF_HD void nx_navix_inner_column(const NxLayout* layout, NxEnv* env, int x, NxCell cell) {
    for (int y = 1; y < layout->spec.height - 1; y++) nx_navix_set(layout, env, x, y, cell);
}
static inline UF_HD void nx_navix_inner_row(const NxLayout* layout, NxEnv* env, int y, NxCell cell) {
    for (int x = 1; x < layout->spec.width - 1; x++) nx_navix_set(layout, env, x, y, cell);
}

static inline UF_HD void nx_navix_agent(NxEnv* env, int x, int y, int direction) {
    env->x = (uint8_t)x;
    env->y = (uint8_t)y;
    env->direction = (uint8_t)direction;
}

// A uniform empty cell of a rectangle, its corners included. There is one in all that follows.
static inline UF_HD NxObject nx_navix_floor(const NxLayout* layout, NxEnv* env, int left, int top, int right,
                                            int bottom) {
    for (;;) {
        int x = nx_between(env, left, right), y = nx_between(env, top, bottom);
        NxObject place = {(uint8_t)x, (uint8_t)y, nx_navix_get(layout, env, x, y)};
        if (place.cell == NX_CELL_EMPTY) return place;
    }
}
static inline UF_HD NxObject nx_navix_any_floor(const NxLayout* layout, NxEnv* env) {
    return nx_navix_floor(layout, env, 1, 1, layout->spec.width - 2, layout->spec.height - 2);
}

// low..high, from a number that several draws share.
static inline UF_HD int nx_navix_shared(uint32_t number, int low, int high) {
    return low + (int)(number % (uint32_t)(high - low + 1));
}

static inline UF_HD void nx_navix_goal(const NxLayout* layout, NxEnv* env, int x, int y) {
    nx_navix_set(layout, env, x, y, NX_CELL_GOAL);
}
static inline UF_HD void nx_navix_goal_in_corner(const NxLayout* layout, NxEnv* env) {
    nx_navix_goal(layout, env, layout->spec.width - 2, layout->spec.height - 2);
}

// ---- families: the cells hold a room with walls around, the agent is at (1, 1) and looks east ----

// Agent and goal may be in one cell.
static inline UF_HD void nx_navix_empty(const NxLayout* layout, NxEnv* env) {
    if (!layout->spec.random_start) {
        nx_navix_goal_in_corner(layout, env);
        return;
    }
    NxObject agent = nx_navix_any_floor(layout, env), goal = nx_navix_any_floor(layout, env);
    nx_navix_agent(env, agent.x, agent.y, nx_between(env, 0, 3));
    nx_navix_goal(layout, env, goal.x, goal.y);
}

static inline UF_HD void nx_navix_door_key(const NxLayout* layout, NxEnv* env) {
    const int width = layout->spec.width, height = layout->spec.height;
    const int divider = nx_between(env, 2, width - 3);
    nx_navix_inner_column(layout, env, divider, NX_CELL_WALL);
    nx_navix_set(layout, env, divider, nx_between(env, 1, height - 2), NX_CELL(NX_DOOR_LOCKED, NX_YELLOW));
    if (layout->spec.random_start) {
        NxObject agent = nx_navix_floor(layout, env, 1, 1, divider - 1, height - 2);
        NxObject goal = nx_navix_floor(layout, env, divider + 1, 1, width - 2, height - 2);
        nx_navix_agent(env, agent.x, agent.y, nx_between(env, 0, 3));
        nx_navix_goal(layout, env, goal.x, goal.y);
    } else {
        nx_navix_goal_in_corner(layout, env);
    }
    NxObject key;
    do key = nx_navix_floor(layout, env, 1, 1, divider - 1, height - 2);
    while (key.x == env->x && key.y == env->y);
    nx_navix_set(layout, env, key.x, key.y, NX_CELL(NX_KEY, NX_YELLOW));
}

// The second gap of a wall is never next to the cross. Agent and goal may be in one cell.
static inline UF_HD void nx_navix_four_rooms(const NxLayout* layout, NxEnv* env) {
    const int width = layout->spec.width, height = layout->spec.height, column = width / 2, row = height / 2;
    nx_navix_inner_column(layout, env, column, NX_CELL_WALL);
    nx_navix_inner_row(layout, env, row, NX_CELL_WALL);
    uint32_t down = nx_random(env), across = nx_random(env);
    nx_navix_set(layout, env, column, nx_navix_shared(down, 1, row - 1), NX_CELL_EMPTY);
    nx_navix_set(layout, env, column, nx_navix_shared(down, row + 2, height - 2), NX_CELL_EMPTY);
    nx_navix_set(layout, env, nx_navix_shared(across, 1, column - 1), row, NX_CELL_EMPTY);
    nx_navix_set(layout, env, nx_navix_shared(across, column + 2, width - 2), row, NX_CELL_EMPTY);
    NxObject agent = nx_navix_any_floor(layout, env), goal = nx_navix_any_floor(layout, env);
    nx_navix_agent(env, agent.x, agent.y, nx_navix_shared(across, 0, 3));
    nx_navix_goal(layout, env, goal.x, goal.y);
}

static inline UF_HD void nx_navix_lava_gap(const NxLayout* layout, NxEnv* env) {
    const int column = nx_between(env, 2, layout->spec.width - 3);
    nx_navix_goal_in_corner(layout, env);
    nx_navix_inner_column(layout, env, column, NX_CELL_LAVA);
    nx_navix_set(layout, env, column, nx_between(env, 1, layout->spec.height - 2), NX_CELL_EMPTY);
}

// The least of a set that is above `from`; `end` if there is none.
static inline UF_HD int nx_navix_next(uint32_t set, int from, int end) {
    for (int i = from + 1; i < end; i++)
        if (set >> i & 1) return i;
    return end;
}

// `count` of the even columns and rows become walls. A path from corner to corner crosses them in random order; each
// crossing is a gap somewhere on the room's side where the path is.
static inline UF_HD void nx_navix_crossing(const NxLayout* layout, NxEnv* env) {
    const int width = layout->spec.width, height = layout->spec.height;
    const int num_columns = (width - 3) / 2, num_rows = (height - 3) / 2, candidates = num_columns + num_rows;
    uint32_t columns = 0, rows = 0;  // bits: where the walls are
    int num_walls = layout->spec.count < candidates ? layout->spec.count : candidates, down = 0, across = 0;
    nx_navix_goal_in_corner(layout, env);
    for (int left = num_walls; left;) {
        int i = nx_between(env, 0, candidates - 1);
        uint32_t* set = i < num_columns ? &columns : &rows;
        int at = i < num_columns ? 2 * i + 2 : 2 * (i - num_columns) + 2;
        if (*set >> at & 1) continue;
        *set |= 1u << at;
        i < num_columns ? across++ : down++;
        left--;
    }
    for (int x = 0; x < width; x++)
        if (columns >> x & 1) nx_navix_inner_column(layout, env, x, NX_CELL_WALL);
    for (int y = 0; y < height; y++)
        if (rows >> y & 1) nx_navix_inner_row(layout, env, y, NX_CELL_WALL);
    for (int x = 0, y = 0; across + down;) {
        int next_x = nx_navix_next(columns, x, width - 1), next_y = nx_navix_next(rows, y, height - 1);
        if (nx_between(env, 1, across + down) <= across) {
            nx_navix_set(layout, env, next_x, nx_between(env, y + 1, next_y - 1), NX_CELL_EMPTY);
            x = next_x;
            across--;
        } else {
            nx_navix_set(layout, env, nx_between(env, x + 1, next_x - 1), next_y, NX_CELL_EMPTY);
            y = next_y;
            down--;
        }
    }
}

static inline UF_HD void nx_navix_dist_shift(const NxLayout* layout, NxEnv* env) {
    nx_navix_goal(layout, env, layout->spec.width - 2, 1);
    for (int x = 3; x <= 5; x++) {
        nx_navix_set(layout, env, x, 1, NX_CELL_LAVA);
        nx_navix_set(layout, env, x, layout->spec.variant, NX_CELL_LAVA);
    }
}

// Balls may lie on one another, and the agent may begin on the goal.
static inline UF_HD void nx_navix_obstacles(const NxLayout* layout, NxEnv* env) {
    if (layout->spec.random_start) {
        NxObject agent = nx_navix_any_floor(layout, env);
        nx_navix_agent(env, agent.x, agent.y, nx_between(env, 0, 3));
    }
    nx_navix_goal_in_corner(layout, env);
    env->num_obstacles = (uint8_t)layout->spec.count;
    for (int i = 0; i < env->num_obstacles; i++) {
        NxObject ball;
        do ball = nx_navix_any_floor(layout, env);
        while (ball.x == env->x && ball.y == env->y);
        env->obstacle_x[i] = ball.x;
        env->obstacle_y[i] = ball.y;
    }
    for (int i = 0; i < env->num_obstacles; i++)
        nx_navix_set(layout, env, env->obstacle_x[i], env->obstacle_y[i], NX_CELL_BALL);
}

// A square room in the corner whose walls run on to the ends of the map.
static inline UF_HD void nx_navix_go_to_door(const NxLayout* layout, NxEnv* env) {
    const int width = layout->spec.width, height = layout->spec.height;
    const int side = width > 5 ? nx_between(env, 5, width - 1) : 5;
    nx_navix_column(layout, env, width - 1, NX_CELL_EMPTY);
    nx_navix_row(layout, env, height - 1, NX_CELL_EMPTY);
    nx_navix_column(layout, env, side - 1, NX_CELL_WALL);
    nx_navix_row(layout, env, side - 1, NX_CELL_WALL);
    nx_navix_column(layout, env, 0, NX_CELL_WALL);
    nx_navix_row(layout, env, 0, NX_CELL_WALL);
    NxObject agent = nx_navix_floor(layout, env, 1, 1, side - 2, side - 2);
    nx_navix_agent(env, agent.x, agent.y, nx_between(env, 0, 3));
    // Right, bottom, left, top. Colours may be the same.
    const uint32_t right = nx_random(env);
    const int bottom = nx_between(env, 2, side - 3), left = nx_between(env, 2, side - 3),
              top = nx_between(env, 2, side - 3);
    const int x[4] = {side - 1, bottom, 0, top};
    const int y[4] = {nx_navix_shared(right, 2, side - 3), side - 1, left, 0};
    for (int i = 0; i < 4; i++) {
        NxCell door = NX_CELL(NX_DOOR_CLOSED, nx_between(env, 0, NX_NUM_COLOURS - 1));
        nx_navix_set(layout, env, x[i], y[i], door);
    }
    const int target = nx_navix_shared(right, 0, 3);
    env->target.x = (uint8_t)x[target];
    env->target.y = (uint8_t)y[target];
    env->target.cell = nx_navix_get(layout, env, x[target], y[target]);
}

// A uniform place of a room that is not in its last row or column, if it has others.
static inline UF_HD NxObject nx_navix_in_room(NxEnv* env, int room, int column, int row) {
    const int last = room > 1 ? room - 1 : 1;
    int x = column * (room + 1) + nx_between(env, 1, last), y = row * (room + 1) + nx_between(env, 1, last);
    NxObject place = {(uint8_t)x, (uint8_t)y, NX_CELL_EMPTY};
    return place;
}

// A corridor of three columns of rooms. On the left, every room has a door to the middle and one down; on the right every
// room has a door to the middle, the goal's a locked one. (NAVIX makes the doors down twice, the second over the first.)
static inline UF_HD void nx_navix_key_corridor(const NxLayout* layout, NxEnv* env) {
    const int room = (layout->spec.width - 3) / 3, pitch = room + 1,
              num_rows = (layout->spec.height - 1) / pitch;
    for (int i = 1; i < 3; i++) nx_navix_column(layout, env, i * pitch, NX_CELL_WALL);
    for (int i = 1; i < num_rows; i++) {
        nx_navix_row(layout, env, i * pitch, NX_CELL_WALL);
        for (int x = pitch + 1; x < 2 * pitch; x++) nx_navix_set(layout, env, x, i * pitch, NX_CELL_EMPTY);
    }
    const int key_row = nx_between(env, 0, num_rows - 1), agent_row = nx_between(env, 0, num_rows - 1),
              goal_row = nx_between(env, 0, num_rows - 1), colour = nx_between(env, 0, NX_NUM_COLOURS - 1);
    NxObject key = nx_navix_in_room(env, room, 0, key_row), agent = nx_navix_in_room(env, room, 1, agent_row),
             goal = nx_navix_in_room(env, room, 2, goal_row);
    nx_navix_set(layout, env, key.x, key.y, NX_CELL(NX_KEY, colour));
    nx_navix_agent(env, agent.x, agent.y, nx_between(env, 0, 3));
    nx_navix_goal(layout, env, goal.x, goal.y);
    for (int row = 0; row < num_rows; row++) {
        uint32_t right = nx_random(env), left = nx_random(env);
        NxCell door = NX_CELL(NX_DOOR_CLOSED, nx_navix_shared(right, 0, NX_NUM_COLOURS - 1));
        if (row == goal_row) door = NX_CELL(NX_DOOR_LOCKED, colour);
        nx_navix_set(layout, env, 2 * pitch, row * pitch + nx_navix_shared(right, 1, room), door);
        door = NX_CELL(NX_DOOR_CLOSED, nx_navix_shared(left, 0, NX_NUM_COLOURS - 1));
        nx_navix_set(layout, env, pitch, row * pitch + nx_navix_shared(left, 1, room), door);
        if (row == num_rows - 1) break;
        door = NX_CELL(NX_DOOR_CLOSED, nx_between(env, 0, NX_NUM_COLOURS - 1));
        nx_navix_set(layout, env, nx_between(env, 1, room), (row + 1) * pitch, door);
    }
}

// ---- a level ----

// The state of an episode's start without its level, agent at (1, 1). Everything but env->random is new.
static inline UF_HD void nx_navix_clear(const NxLayout* layout, NxEnv* env) {
    const uint64_t random = env->random;
    memset(env, 0, sizeof *env);
    env->random = random;
    env->max_steps = layout->spec.max_steps;
    env->carrying = NX_CELL_EMPTY;
    nx_navix_agent(env, 1, 1, 0);
}

// A new episode.
static inline UF_HD void nx_navix_generate(const NxLayout* layout, NxEnv* env) {
    const int width = layout->spec.width, height = layout->spec.height;
    nx_navix_clear(layout, env);
    for (int i = 0; i < width * height; i++) nx_cells(env)[i] = NX_CELL_EMPTY;
    nx_navix_row(layout, env, 0, NX_CELL_WALL);
    nx_navix_row(layout, env, height - 1, NX_CELL_WALL);
    nx_navix_column(layout, env, 0, NX_CELL_WALL);
    nx_navix_column(layout, env, width - 1, NX_CELL_WALL);
    switch (layout->spec.family) {
        case NX_FAMILY_EMPTY: nx_navix_empty(layout, env); break;
        case NX_FAMILY_DOOR_KEY: nx_navix_door_key(layout, env); break;
        case NX_FAMILY_FOUR_ROOMS: nx_navix_four_rooms(layout, env); break;
        case NX_FAMILY_LAVA_GAP: nx_navix_lava_gap(layout, env); break;
        case NX_FAMILY_CROSSING: nx_navix_crossing(layout, env); break;
        case NX_FAMILY_DIST_SHIFT: nx_navix_dist_shift(layout, env); break;
        case NX_FAMILY_DYNAMIC_OBSTACLES: nx_navix_obstacles(layout, env); break;
        case NX_FAMILY_GO_TO_DOOR: nx_navix_go_to_door(layout, env); break;
        case NX_FAMILY_KEY_CORRIDOR: nx_navix_key_corridor(layout, env); break;
        default: break;  // nx_navix_has refuses the rest
    }
}

#endif
