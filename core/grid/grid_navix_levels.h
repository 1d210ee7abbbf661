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

#include "core/grid/grid_levels.h"  // boards
#include "core/grid/grid_navix.h"

// ---- pieces ----

// A uniform empty cell of width by height at (x, y), the agent's included. There is one in all that follows.
static inline UF_HD NxObject nx_navix_floor(NxEnv* env, NxBoard board, int x, int y, int width, int height) {
    NxObject spot;
    do spot = nx_any(env, x, y, width, height);
    while (*nx_at(board, spot.x, spot.y) != NX_CELL_EMPTY);
    return spot;
}
static inline UF_HD NxObject nx_navix_any_floor(NxEnv* env, NxBoard board) {
    return nx_navix_floor(env, board, 1, 1, board.width - 2, board.height - 2);
}

// low..high, from a number that several draws share.
static inline UF_HD int nx_navix_shared(uint32_t number, int low, int high) {
    return low + (int)(number % (uint32_t)(high - low + 1));
}

// ---- levels: on MiniGrid's base, the agent at (1, 1) and looking east ----

// Agent and goal may be in one cell.
static inline UF_HD void nx_navix_empty(const NxSpec* spec, NxEnv* env, NxBoard board) {
    if (!spec->random_start) return;
    nx_put(board, board.width - 2, board.height - 2, NX_CELL_EMPTY);
    NxObject agent = nx_navix_any_floor(env, board), goal = nx_navix_any_floor(env, board);
    nx_start(env, agent.x, agent.y, nx_between(env, 0, 3));
    nx_put(board, goal.x, goal.y, NX_CELL_GOAL);
}

static inline UF_HD void nx_navix_door_key(const NxSpec* spec, NxEnv* env, NxBoard board) {
    const int wall = nx_between(env, 2, board.width - 3), height = board.height - 2;
    nx_column(board, wall, 1, height, NX_CELL_WALL);
    nx_put(board, wall, nx_between(env, 1, height), NX_CELL(NX_DOOR_LOCKED, NX_YELLOW));
    if (spec->random_start) {
        nx_put(board, board.width - 2, board.height - 2, NX_CELL_EMPTY);
        NxObject agent = nx_navix_floor(env, board, 1, 1, wall - 1, height);
        NxObject goal = nx_navix_floor(env, board, wall + 1, 1, board.width - 2 - wall, height);
        nx_start(env, agent.x, agent.y, nx_between(env, 0, 3));
        nx_put(board, goal.x, goal.y, NX_CELL_GOAL);
    }
    nx_place(env, board, 1, 1, wall - 1, height, NX_CELL(NX_KEY, NX_YELLOW));
}

// The second gap of a wall is never next to the cross. Agent and goal may be in one cell.
static inline UF_HD void nx_navix_four_rooms(NxEnv* env, NxBoard board) {
    const int x = board.width / 2, y = board.height / 2;
    const uint32_t down = nx_random(env), across = nx_random(env);
    nx_put(board, x, nx_navix_shared(down, 1, y - 1), NX_CELL_EMPTY);
    nx_put(board, x, nx_navix_shared(down, y + 2, board.height - 2), NX_CELL_EMPTY);
    nx_put(board, nx_navix_shared(across, 1, x - 1), y, NX_CELL_EMPTY);
    nx_put(board, nx_navix_shared(across, x + 2, board.width - 2), y, NX_CELL_EMPTY);
    NxObject agent = nx_navix_any_floor(env, board), goal = nx_navix_any_floor(env, board);
    nx_start(env, agent.x, agent.y, nx_navix_shared(across, 0, 3));
    nx_put(board, goal.x, goal.y, NX_CELL_GOAL);
}

// Balls may lie on one another, and the agent may begin on the goal.
static inline UF_HD void nx_navix_obstacles(const NxSpec* spec, NxEnv* env, NxBoard board) {
    if (spec->random_start) {
        NxObject agent = nx_any(env, 1, 1, board.width - 2, board.height - 2);
        nx_start(env, agent.x, agent.y, nx_between(env, 0, 3));
    }
    env->num_obstacles = (uint8_t)spec->count;
    for (int i = 0; i < spec->count; i++) {
        NxObject ball;
        do ball = nx_navix_any_floor(env, board);
        while (ball.x == env->x && ball.y == env->y);
        env->obstacle_x[i] = ball.x;
        env->obstacle_y[i] = ball.y;
    }
    for (int i = 0; i < spec->count; i++) nx_put(board, env->obstacle_x[i], env->obstacle_y[i], NX_CELL_BALL);
}

// A square room in the corner whose walls run on to the ends of the map.
static inline UF_HD void nx_navix_go_to_door(NxEnv* env, NxBoard board) {
    const int side = board.width > 5 ? nx_between(env, 5, board.width - 1) : 5;
    for (int k = 0; k < side; k += side - 1) {
        nx_column(board, k, 0, board.height, NX_CELL_WALL);
        nx_row(board, 0, k, board.width, NX_CELL_WALL);
    }
    NxObject agent = nx_any(env, 1, 1, side - 2, side - 2);
    nx_start(env, agent.x, agent.y, nx_between(env, 0, 3));
    const uint32_t right = nx_random(env);
    const int below = nx_between(env, 2, side - 3), left = nx_between(env, 2, side - 3),
              above = nx_between(env, 2, side - 3);
    const int x[4] = {side - 1, below, 0, above};
    const int y[4] = {nx_navix_shared(right, 2, side - 3), side - 1, left, 0};
    for (int i = 0; i < 4; i++) {  // colours may be the same
        NxObject door = nx_put(board, x[i], y[i], NX_CELL(NX_DOOR_CLOSED, nx_any_colour(env)));
        if (i == nx_navix_shared(right, 0, 3)) env->target = door;
    }
}

// A uniform cell of a room that is not in its last row or column, if it has others.
static inline UF_HD NxObject nx_navix_in_room(NxEnv* env, int room, int column, int row) {
    const int side = room > 1 ? room - 1 : 1;
    return nx_any(env, column * (room + 1) + 1, row * (room + 1) + 1, side, side);
}

// A door of a wall whose place 1..room and colour share a number.
static inline UF_HD void nx_navix_side_door(NxEnv* env, NxBoard board, int x, int y, int room) {
    const uint32_t number = nx_random(env);
    nx_put(board, x, y + nx_navix_shared(number, 1, room),
           NX_CELL(NX_DOOR_CLOSED, nx_navix_shared(number, 0, NX_NUM_COLOURS - 1)));
}

// A corridor between two columns of rooms. On the left, every room has a door to the corridor and one down; on the right
// every room has a door to the corridor, the goal's a locked one. (NAVIX makes the doors down twice, the second over the
// first.)
static inline UF_HD void nx_navix_key_corridor(const NxSpec* spec, NxEnv* env, NxBoard board) {
    const int room = spec->size - 2, pitch = spec->size - 1, last = spec->count - 1;
    NxObject key = nx_navix_in_room(env, room, 0, nx_between(env, 0, last));
    NxObject agent = nx_navix_in_room(env, room, 1, nx_between(env, 0, last));
    const int goal_row = nx_between(env, 0, last), colour = nx_any_colour(env);
    NxObject goal = nx_navix_in_room(env, room, 2, goal_row);
    nx_put(board, key.x, key.y, NX_CELL(NX_KEY, colour));
    nx_put(board, goal.x, goal.y, NX_CELL_GOAL);
    nx_start(env, agent.x, agent.y, nx_between(env, 0, 3));
    for (int row = 0; row <= last; row++) {
        if (row == goal_row)
            nx_put(board, 2 * pitch, row * pitch + nx_between(env, 1, room), NX_CELL(NX_DOOR_LOCKED, colour));
        else
            nx_navix_side_door(env, board, 2 * pitch, row * pitch, room);
        nx_navix_side_door(env, board, pitch, row * pitch, room);
        if (row == last) break;
        const int x = nx_between(env, 1, room);
        nx_put(board, x, (row + 1) * pitch, NX_CELL(NX_DOOR_CLOSED, nx_any_colour(env)));
    }
}

// ---- a new episode ----

static inline UF_HD void nx_navix_generate(const NxLayout* layout, NxEnv* env) {
    const NxSpec* spec = &layout->spec;
    const NxBoard board = nx_board(layout, nx_cells(env));
    nx_begin_level(layout, env);
    nx_start(env, 1, 1, 0);
    env->navix.events = 0;
    env->navix.pocket = env->navix.pile = env->navix.hidden = NX_UNSEEN;
    switch (spec->family) {
        case NX_FAMILY_EMPTY: nx_navix_empty(spec, env, board); break;
        case NX_FAMILY_DOOR_KEY: nx_navix_door_key(spec, env, board); break;
        case NX_FAMILY_FOUR_ROOMS: nx_navix_four_rooms(env, board); break;
        case NX_FAMILY_LAVA_GAP: nx_level_lava_gap(env, board); break;  // as MiniGrid's
        case NX_FAMILY_CROSSING: nx_level_crossing(spec, env, board); break;
        case NX_FAMILY_DYNAMIC_OBSTACLES: nx_navix_obstacles(spec, env, board); break;
        case NX_FAMILY_GO_TO_DOOR: nx_navix_go_to_door(env, board); break;
        case NX_FAMILY_KEY_CORRIDOR: nx_navix_key_corridor(spec, env, board); break;
        default: break;  // DistShift is all base; nx_navix_has refuses the rest
    }
}

#endif
