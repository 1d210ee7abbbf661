// grid_levels.h: MiniGrid's levels, one environment, compiled by C11 and CUDA. Nothing is allocated.
//
// What all levels of an id have in common is drawn once, into NxLayout.base; nx_generate copies that and draws the
// rest. Distributions are MiniGrid's, its random numbers are not: where MiniGrid tries cells until one is free we
// try those alone that may be, and what is independent of all else (which of the objects is the target, where a
// wall's door is) is drawn when it is needed. A level is a function of (spec, env->random) with every compiler, so no
// two draws are arguments of one call: which comes first differs between gcc and a device's. Limits: NX_MAX_CELLS
// cells, sides of 254 (127 for MultiRoom), NX_MAX_OBSTACLES obstacles; crossings of size 17, 4 objects of PutNear,
// 6 rooms of MultiRoom, 3 rows of KeyCorridor.
//
// 1 boards  2 placing  3 levels in one room  4 rooms in a grid  5 other rooms  6 base and generate
// Source: MiniGrid 3.2.0, minigrid/envs/*.py `_gen_grid`, minigrid/core/roomgrid.py, minigrid_env.py `place_obj`.
#ifndef NX_GRID_LEVELS_H
#define NX_GRID_LEVELS_H

#include "core/grid/grid.h"

// ---- 1 boards ----

typedef struct NxBoard {
    NxCell* cells;
    int width, height;
} NxBoard;

static inline UF_HD NxBoard nx_board(const NxLayout* layout, NxCell* cells) {
    NxBoard board;
    board.cells = cells;
    board.width = layout->spec.width;
    board.height = layout->spec.height;
    return board;
}
static inline UF_HD NxCell* nx_at(NxBoard board, int x, int y) { return &board.cells[y * board.width + x]; }
static inline UF_HD NxObject nx_put(NxBoard board, int x, int y, NxCell cell) {
    NxObject object;
    object.x = (uint8_t)x;
    object.y = (uint8_t)y;
    object.cell = cell;
    *nx_at(board, x, y) = cell;
    return object;
}
static inline UF_HD void nx_row(NxBoard board, int x, int y, int length, NxCell cell) {
    for (int i = 0; i < length; i++) *nx_at(board, x + i, y) = cell;
}
static inline UF_HD void nx_column(NxBoard board, int x, int y, int length, NxCell cell) {
    for (int i = 0; i < length; i++) *nx_at(board, x, y + i) = cell;
}
static inline UF_HD void nx_frame(NxBoard board, int x, int y, int width, int height) {
    nx_row(board, x, y, width, NX_CELL_WALL);
    nx_row(board, x, y + height - 1, width, NX_CELL_WALL);
    nx_column(board, x, y, height, NX_CELL_WALL);
    nx_column(board, x + width - 1, y, height, NX_CELL_WALL);
}

// ---- 2 placing ----

static inline UF_HD NxObject nx_no_object(void) {
    NxObject object;
    object.x = object.y = NX_NOWHERE;
    object.cell = NX_UNSEEN;
    return object;
}

// A uniform cell of width by height at (x, y).
static inline UF_HD NxObject nx_any(NxEnv* env, int x, int y, int width, int height) {
    uint32_t fraction = nx_random(env);
    NxObject spot;
    spot.x = (uint8_t)(x + nx_take(&fraction, width));
    spot.y = (uint8_t)(y + nx_take(&fraction, height));
    spot.cell = NX_UNSEEN;
    return spot;
}

// A cell on a uniform one of the free cells there: empty and not the agent's.
static inline UF_HD NxObject nx_place(NxEnv* env, NxBoard board, int x, int y, int width, int height,
                                      NxCell cell) {
    NxObject spot;
    do spot = nx_any(env, x, y, width, height);
    while (*nx_at(board, spot.x, spot.y) != NX_CELL_EMPTY || (spot.x == env->x && spot.y == env->y));
    return nx_put(board, spot.x, spot.y, cell);
}
// Inside the outermost walls.
static inline UF_HD NxObject nx_place_anywhere(NxEnv* env, NxBoard board, NxCell cell) {
    return nx_place(env, board, 1, 1, board.width - 2, board.height - 2, cell);
}

static inline UF_HD void nx_start(NxEnv* env, int x, int y, int direction) {
    env->x = (uint8_t)x;
    env->y = (uint8_t)y;
    env->direction = (uint8_t)direction;
}
static inline UF_HD void nx_place_agent(NxEnv* env, NxBoard board, int x, int y, int width, int height) {
    env->x = env->y = NX_NOWHERE;
    NxObject spot = nx_place(env, board, x, y, width, height, NX_CELL_EMPTY);
    nx_start(env, spot.x, spot.y, nx_between(env, 0, 3));
}
static inline UF_HD void nx_place_agent_anywhere(NxEnv* env, NxBoard board) {
    nx_place_agent(env, board, 1, 1, board.width - 2, board.height - 2);
}

static inline UF_HD int nx_any_colour(NxEnv* env) { return nx_between(env, 0, NX_NUM_COLOURS - 1); }

// A key, a ball or, with three kinds, a box, of any colour.
static inline UF_HD NxCell nx_any_object(NxEnv* env, int kinds) {
    uint32_t fraction = nx_random(env);
    int kind = NX_KEY + nx_take(&fraction, kinds);
    return NX_CELL(kind, nx_take(&fraction, NX_NUM_COLOURS));
}
// One that is not in *used, a set with a bit for each of them.
static inline UF_HD NxCell nx_new_object(NxEnv* env, uint32_t* used) {
    for (;;) {
        NxCell cell = nx_any_object(env, 3);
        uint32_t bit = 1u << ((nx_kind(cell) - NX_KEY) * NX_NUM_COLOURS + nx_colour(cell));
        if (*used & bit) continue;
        *used |= bit;
        return cell;
    }
}

// The colours in any order.
static inline UF_HD void nx_shuffle_colours(NxEnv* env, uint8_t colours[NX_NUM_COLOURS]) {
    uint32_t fraction = nx_random(env);
    for (int i = 0; i < NX_NUM_COLOURS; i++) {
        int j = nx_take(&fraction, i + 1);
        colours[i] = colours[j];
        colours[j] = (uint8_t)i;
    }
}

// ---- 3 levels in one room ----

static inline UF_HD void nx_level_empty(const NxSpec* spec, NxEnv* env, NxBoard board) {
    nx_start(env, 1, 1, 0);
    if (spec->random_start) nx_place_agent_anywhere(env, board);
}

static inline UF_HD void nx_level_door_key(NxEnv* env, NxBoard board) {
    int wall = nx_between(env, 2, board.width - 3);
    nx_column(board, wall, 0, board.height, NX_CELL_WALL);
    nx_place_agent(env, board, 1, 1, wall - 1, board.height - 2);
    nx_put(board, wall, nx_between(env, 1, board.height - 3), NX_CELL(NX_DOOR_LOCKED, NX_YELLOW));
    nx_place(env, board, 1, 1, wall - 1, board.height - 2, NX_CELL(NX_KEY, NX_YELLOW));
}

static inline UF_HD void nx_level_four_rooms(NxEnv* env, NxBoard board) {
    int middle = board.width / 2;
    for (int i = 0; i < 2; i++) {
        nx_put(board, middle, i * middle + nx_between(env, 1, middle - 1), NX_CELL_EMPTY);
        nx_put(board, i * middle + nx_between(env, 1, middle - 1), middle, NX_CELL_EMPTY);
    }
    nx_place_agent_anywhere(env, board);
    nx_place_anywhere(env, board, NX_CELL_GOAL);
}

static inline UF_HD void nx_level_lava_gap(NxEnv* env, NxBoard board) {
    nx_start(env, 1, 1, 0);
    int x = nx_between(env, 2, board.width - 3);
    nx_column(board, x, 1, board.height - 2, NX_CELL_LAVA);
    nx_put(board, x, nx_between(env, 1, board.height - 2), NX_CELL_EMPTY);
}

// Rivers run along even columns and rows. A path from room to room, to the right or down in any order, makes an
// opening in each of them.
static inline UF_HD void nx_level_crossing(const NxSpec* spec, NxEnv* env, NxBoard board) {
    NxCell river = spec->variant == NX_VARIANT_LAVA ? NX_CELL_LAVA : NX_CELL_WALL;
    int size = spec->size, candidates = (size - 3) / 2;  // in each direction
    nx_start(env, 1, 1, 0);
    uint32_t chosen = 0;  // columns, then rows
    for (int left = spec->count; left > 0;) {
        uint32_t bit = 1u << nx_between(env, 0, 2 * candidates - 1);
        left -= !(chosen & bit);
        chosen |= bit;
    }
    uint8_t column[8], row[8];  // where the present room and those after it end
    int columns = 0, rows = 0;
    for (int i = 0; i < candidates; i++) {
        if (chosen >> i & 1) column[columns++] = (uint8_t)(2 * i + 2);
        if (chosen >> (candidates + i) & 1) row[rows++] = (uint8_t)(2 * i + 2);
    }
    for (int i = 0; i < columns; i++) nx_column(board, column[i], 1, size - 2, river);
    for (int i = 0; i < rows; i++) nx_row(board, 1, row[i], size - 2, river);
    column[columns] = row[rows] = (uint8_t)(size - 1);
    for (int i = 0, j = 0; i < columns || j < rows;) {
        int x = i ? column[i - 1] : 0, y = j ? row[j - 1] : 0;  // the room is right of and below these
        if (nx_between(env, 0, columns - i + rows - j - 1) < columns - i)
            nx_put(board, column[i++], nx_between(env, y + 1, row[j] - 1), NX_CELL_EMPTY);
        else
            nx_put(board, nx_between(env, x + 1, column[i] - 1), row[j++], NX_CELL_EMPTY);
    }
}

static inline UF_HD void nx_level_dynamic_obstacles(const NxSpec* spec, NxEnv* env, NxBoard board) {
    nx_level_empty(spec, env, board);
    env->num_obstacles = (uint8_t)spec->count;
    for (int i = 0; i < spec->count; i++) {
        NxObject ball = nx_place_anywhere(env, board, NX_CELL(NX_BALL, NX_BLUE));
        env->obstacle_x[i] = ball.x;
        env->obstacle_y[i] = ball.y;
    }
}

static inline UF_HD void nx_level_go_to_door(const NxSpec* spec, NxEnv* env, NxBoard board) {
    int width = nx_between(env, 5, spec->size), height = nx_between(env, 5, spec->size);
    nx_frame(board, 0, 0, width, height);
    nx_place_agent(env, board, 1, 1, width - 2, height - 2);
    uint8_t colours[NX_NUM_COLOURS];
    nx_shuffle_colours(env, colours);
    int target = nx_between(env, 0, 3);
    for (int side = 0; side < 4; side++) {  // left, right, top, bottom
        int x = side == 1 ? width - 1 : 0, y = side == 3 ? height - 1 : 0;
        if (side < 2) y = nx_between(env, 2, height - 3);
        if (side >= 2) x = nx_between(env, 2, width - 3);
        NxObject door = nx_put(board, x, y, NX_CELL(NX_DOOR_CLOSED, colours[side]));
        if (side == target) env->target = door;
    }
}

static inline UF_HD void nx_level_go_to_object(const NxSpec* spec, NxEnv* env, NxBoard board) {
    int target = nx_between(env, 0, spec->count - 1);
    uint32_t used = 0;
    for (int i = 0; i < spec->count; i++) {
        NxObject object = nx_place_anywhere(env, board, nx_new_object(env, &used));
        if (i == target) env->target = object;
    }
    nx_place_agent_anywhere(env, board);
}

// The target is a kind and a colour, which more than one object may have.
static inline UF_HD void nx_level_fetch(const NxSpec* spec, NxEnv* env, NxBoard board) {
    int target = nx_between(env, 0, spec->count - 1);
    for (int i = 0; i < spec->count; i++) {
        NxObject object = nx_place_anywhere(env, board, nx_any_object(env, 2));
        if (i == target) env->target.cell = object.cell;
    }
    nx_place_agent_anywhere(env, board);
    env->mission = (uint8_t)nx_between(env, 0, 4);
}

static inline UF_HD bool nx_is_near(NxObject a, NxObject b) {
    int dx = a.x - b.x, dy = a.y - b.y;
    return dx >= -1 && dx <= 1 && dy >= -1 && dy <= 1;
}
static inline UF_HD void nx_level_put_near(const NxSpec* spec, NxEnv* env, NxBoard board) {
    NxObject objects[4];
    uint32_t used = 0;
    for (int i = 0; i < spec->count; i++) {
        NxCell cell = nx_new_object(env, &used);
        bool near;  // to an earlier one
        do {
            objects[i] = nx_place_anywhere(env, board, NX_CELL_EMPTY);
            near = false;
            for (int k = 0; k < i; k++) near |= nx_is_near(objects[i], objects[k]);
        } while (near);
        objects[i] = nx_put(board, objects[i].x, objects[i].y, cell);
    }
    nx_place_agent_anywhere(env, board);
    int moved = nx_between(env, 0, spec->count - 1), target = nx_between(env, 0, spec->count - 2);
    env->aux = objects[moved];
    env->target = objects[target + (target >= moved)];
}

static inline UF_HD void nx_level_memory(const NxSpec* spec, NxEnv* env, NxBoard board) {
    int middle = spec->size / 2, end = spec->size - 3;  // of the hallway: a column
    if (spec->variant == NX_VARIANT_RANDOM_LENGTH) end = nx_between(env, 4, spec->size - 3);
    for (int x = 5; x < end; x++) {
        nx_put(board, x, middle - 1, NX_CELL_WALL);
        nx_put(board, x, middle + 1, NX_CELL_WALL);
    }
    nx_column(board, end, 0, middle, NX_CELL_WALL);
    nx_column(board, end, middle + 1, middle, NX_CELL_WALL);
    nx_column(board, end + 2, 0, spec->size, NX_CELL_WALL);
    nx_start(env, nx_between(env, 1, end), middle, 0);
    const NxCell object[2] = {NX_CELL(NX_KEY, NX_GREEN), NX_CELL(NX_BALL, NX_GREEN)};
    int first = nx_between(env, 0, 1), above = nx_between(env, 0, 1);
    nx_put(board, 1, middle - 1, object[first]);
    nx_put(board, end + 1, middle - 2, object[above]);
    nx_put(board, end + 1, middle + 2, object[1 - above]);
    int side = first == above ? -1 : 1;  // of the matching one
    env->target.x = env->aux.x = (uint8_t)(end + 1);
    env->target.y = (uint8_t)(middle + side);
    env->aux.y = (uint8_t)(middle - side);
}

static inline UF_HD void nx_level_red_blue_doors(const NxSpec* spec, NxEnv* env, NxBoard board) {
    int size = spec->size, x = size / 2;
    nx_place_agent(env, board, x + 1, 1, size - 2, size - 2);
    env->aux = nx_put(board, x, nx_between(env, 1, size - 2), NX_CELL(NX_DOOR_CLOSED, NX_RED));
    env->target = nx_put(board, x + size - 1, nx_between(env, 1, size - 2), NX_CELL(NX_DOOR_CLOSED, NX_BLUE));
}

// ---- 4 rooms in a grid ----

// Rooms of size by size that share their walls. Until it is placed the agent stands in the middle, (x, y) of env.
static inline UF_HD int nx_rooms_across(const NxSpec* spec) { return (spec->width - 1) / (spec->size - 1); }
static inline UF_HD int nx_rooms_down(const NxSpec* spec) { return (spec->height - 1) / (spec->size - 1); }
static inline UF_HD void nx_begin_rooms(const NxSpec* spec, NxEnv* env) {
    nx_start(env, nx_rooms_across(spec) / 2 * (spec->size - 1) + spec->size / 2,
             nx_rooms_down(spec) / 2 * (spec->size - 1) + spec->size / 2, 0);
}

// A door on a wall of room (i, j), anywhere along it. Sides count as directions do. Each wall has one at most, so
// where it is need not be known before.
static inline UF_HD NxObject nx_put_door(const NxSpec* spec, NxEnv* env, NxBoard board, int i, int j,
                                         int side, NxCell door) {
    int x = i * (spec->size - 1), y = j * (spec->size - 1), along = nx_between(env, 1, spec->size - 2);
    bool upright = side == 0 || side == 2;
    x += upright ? (side == 0) * (spec->size - 1) : along;
    y += upright ? along : (side == 1) * (spec->size - 1);
    return nx_put(board, x, y, door);
}

// On a free cell of room (i, j) that is neither the agent's nor next to it.
static inline UF_HD NxObject nx_place_in_room(const NxSpec* spec, NxEnv* env, NxBoard board, int i, int j,
                                              NxCell cell) {
    NxObject spot;
    int distance;
    do {
        spot = nx_place(env, board, i * (spec->size - 1) + 1, j * (spec->size - 1) + 1, spec->size - 2,
                        spec->size - 2, NX_CELL_EMPTY);
        int dx = spot.x - env->x, dy = spot.y - env->y;
        distance = (dx < 0 ? -dx : dx) + (dy < 0 ? -dy : dy);
    } while (distance < 2);
    return nx_put(board, spot.x, spot.y, cell);
}

// In room (i, j) and facing nothing but floor and walls. The rows of its upper and lower wall are tried too: where
// rooms have been made one they are floor.
static inline UF_HD void nx_place_agent_in_room(const NxSpec* spec, NxEnv* env, NxBoard board, int i, int j) {
    NxCell front;
    do {
        nx_place_agent(env, board, i * (spec->size - 1) + 1, j * (spec->size - 1), spec->size - 2,
                       spec->size);
        front = *nx_at(board, env->x + nx_dx(env->direction), env->y + nx_dy(env->direction));
    } while (front != NX_CELL_EMPTY && front != NX_CELL_WALL);
}

// Unlock, UnlockPickup, BlockedUnlockPickup.
static inline UF_HD void nx_level_unlock(const NxSpec* spec, NxEnv* env, NxBoard board) {
    nx_begin_rooms(spec, env);
    if (spec->family != NX_FAMILY_UNLOCK)
        env->target = nx_place_in_room(spec, env, board, 1, 0, NX_CELL(NX_BOX, nx_any_colour(env)));
    int colour = nx_any_colour(env);
    NxObject door = nx_put_door(spec, env, board, 0, 0, 0, NX_CELL(NX_DOOR_LOCKED, colour));
    if (spec->family == NX_FAMILY_UNLOCK) env->target = door;
    if (spec->family == NX_FAMILY_BLOCKED_UNLOCK_PICKUP)
        nx_put(board, door.x - 1, door.y, NX_CELL(NX_BALL, nx_any_colour(env)));
    nx_place_in_room(spec, env, board, 0, 0, NX_CELL(NX_KEY, colour));
    nx_place_agent_in_room(spec, env, board, 0, 0);
}

// Rooms that can be reached from one another, group[r] as a set.
static inline UF_HD void nx_join_rooms(uint16_t* group, int num_rooms, int a, int b) {
    uint16_t joined = group[a] | group[b];
    for (int r = 0; r < num_rooms; r++)
        if (joined >> r & 1) group[r] = joined;
}
static inline UF_HD void nx_level_key_corridor(const NxSpec* spec, NxEnv* env, NxBoard board) {
    int rows = nx_rooms_down(spec), num_rooms = 3 * rows;
    nx_begin_rooms(spec, env);
    int q = nx_between(env, 0, rows - 1), colour = nx_any_colour(env), locked = 3 * q + 2;
    nx_put_door(spec, env, board, 2, q, 2, NX_CELL(NX_DOOR_LOCKED, colour));
    env->target = nx_place_in_room(spec, env, board, 2, q, NX_CELL(NX_BALL, nx_any_colour(env)));
    nx_place_in_room(spec, env, board, 0, nx_between(env, 0, rows - 1), NX_CELL(NX_KEY, colour));
    nx_place_agent_in_room(spec, env, board, 1, rows / 2);

    // doors at random until all rooms are connected, none at the locked room
    uint16_t group[9];
    uint32_t doors = 1u << (locked - 1);  // a bit r: right of room r, 16 + r: below it
    for (int r = 0; r < num_rooms; r++) group[r] = (uint16_t)(1 << r);
    for (int j = 0; j + 1 < rows; j++) {  // the middle rooms are a corridor
        doors |= 1u << (16 + 3 * j + 1);
        nx_join_rooms(group, num_rooms, 3 * j + 1, 3 * j + 4);
    }
    nx_join_rooms(group, num_rooms, locked - 1, locked);
    while (group[0] != (1 << num_rooms) - 1) {
        uint32_t fraction = nx_random(env);
        int i = nx_take(&fraction, 3), j = nx_take(&fraction, rows), side = nx_take(&fraction, 4);
        int i2 = i + nx_dx(side), j2 = j + nx_dy(side);
        if (i2 < 0 || i2 > 2 || j2 < 0 || j2 >= rows) continue;
        int room = 3 * j + i, other = 3 * j2 + i2, first = room < other ? room : other;
        uint32_t bit = 1u << (first + (side & 1) * 16);
        if (doors & bit || room == locked || other == locked) continue;
        doors |= bit;
        nx_put_door(spec, env, board, i, j, side,
                    NX_CELL(NX_DOOR_CLOSED, nx_take(&fraction, NX_NUM_COLOURS)));
        nx_join_rooms(group, num_rooms, room, other);
    }
}

// A locked door of room (i, j), perhaps with a ball in front of it, on top of whatever is there.
static inline UF_HD void nx_put_maze_door(const NxLayout* layout, NxEnv* env, NxBoard board, int i, int j,
                                          int side, int colour) {
    NxObject door = nx_put_door(&layout->spec, env, board, i, j, side, NX_CELL(NX_DOOR_LOCKED, colour));
    if (!(layout->spec.variant & NX_VARIANT_BLOCKED)) return;
    int x = door.x - nx_dx(side), y = door.y - nx_dy(side);
    nx_put(board, x, y, NX_CELL(NX_BALL, NX_GREEN));
    if (layout->contents_offset) nx_contents(layout, env)[y * board.width + x] = NX_CELL_EMPTY;
}
static inline UF_HD void nx_place_maze_key(const NxLayout* layout, NxEnv* env, NxBoard board, int i, int j,
                                           int colour) {
    const NxCell key = NX_CELL(NX_KEY, colour);
    bool boxed = layout->spec.variant & NX_VARIANT_BOXES;
    NxObject spot = nx_place_in_room(&layout->spec, env, board, i, j, boxed ? NX_CELL(NX_BOX, NX_GREY) : key);
    if (boxed) nx_contents(layout, env)[spot.y * board.width + spot.x] = key;
}
static inline UF_HD void nx_level_obstructed_maze(const NxLayout* layout, NxEnv* env, NxBoard board) {
    const NxSpec* spec = &layout->spec;
    const NxCell ball = NX_CELL(NX_BALL, NX_BLUE);
    bool keys_last = spec->variant & NX_VARIANT_KEYS_LAST;
    uint8_t colours[NX_NUM_COLOURS];
    nx_begin_rooms(spec, env);
    nx_shuffle_colours(env, colours);
    if (spec->count == 0) {  // two rooms
        nx_put_maze_door(layout, env, board, 0, 0, 0, colours[0]);
        nx_place_maze_key(layout, env, board, 0, 0, colours[0]);
        env->target = nx_place_in_room(spec, env, board, 1, 0, ball);
        nx_place_agent_in_room(spec, env, board, 0, 0);
        return;
    }
    // nine: from the middle one an open way to the rooms at some of its sides, from those locked ones to the corners
    for (int side = 0; side < spec->count; side++) {
        int i = 1 + nx_dx(side), j = 1 + nx_dy(side);
        nx_put_door(spec, env, board, 1, 1, side, NX_CELL(NX_DOOR_CLOSED, colours[side]));
        for (int k = -1; k <= 1; k += 2) {
            int colour = colours[(side + k + NX_NUM_COLOURS) % NX_NUM_COLOURS];
            nx_put_maze_door(layout, env, board, i, j, (side + k) & 3, colour);
            if (!keys_last) nx_place_maze_key(layout, env, board, i, j, colour);
        }
        for (int k = -1; keys_last && k <= 1; k += 2)
            nx_place_maze_key(layout, env, board, i, j,
                              colours[(side + k + NX_NUM_COLOURS) % NX_NUM_COLOURS]);
    }
    int corner = nx_between(env, 0, spec->count - 1);  // clockwise from the upper right one
    env->target =
        nx_place_in_room(spec, env, board, corner < 2 ? 2 : 0, corner == 1 || corner == 2 ? 2 : 0, ball);
    nx_place_agent_in_room(spec, env, board, spec->variant & NX_VARIANT_FROM_CENTRE ? 1 : 2, 1);
}

// ---- 5 other rooms ----

static inline UF_HD void nx_level_locked_room(NxEnv* env, NxBoard board) {
    int left = board.width / 2 - 2, right = board.width / 2 + 2, pitch = board.height / 3;
    uint8_t colours[NX_NUM_COLOURS];
    nx_shuffle_colours(env, colours);
    int locked = nx_between(env, 0, 5), with_key = nx_between(env, 0, 4);
    with_key += with_key >= locked;
    for (int room = 0; room < 6; room++) {  // left, right, left, ...
        int x = room & 1 ? right : 0, y = room / 2 * pitch,
            kind = room == locked ? NX_DOOR_LOCKED : NX_DOOR_CLOSED;
        nx_put(board, room & 1 ? right : left, y + 3, NX_CELL(kind, colours[room]));
        NxCell inside = room == locked ? NX_CELL_GOAL : NX_CELL(NX_KEY, colours[locked]);
        if (room == locked || room == with_key)
            nx_place(env, board, x + 1, y + 1, left - 1, pitch - 1, inside);
    }
    nx_place_agent(env, board, left + 1, 1, right - left - 1, board.height - 2);
    env->mission = (uint8_t)(colours[locked] + 8 * colours[with_key]);
}

// A chain of rooms, each behind a door in a wall of the one before. Walls: 0 right, 1 bottom, 2 left, 3 top.
typedef struct NxRoom {
    int8_t x, y, width, height;
    int8_t door_x, door_y;  // where one comes in
} NxRoom;
// A room of any size behind a door in its wall `entry`; its x, y are the door's for the first. False: no space.
static inline UF_HD bool nx_fit_room(const NxSpec* spec, NxEnv* env, NxRoom* rooms, int index, int entry,
                                     int x, int y) {
    int width = nx_between(env, 4, spec->size), height = nx_between(env, 4, spec->size), left = x, top = y;
    if (index > 0 && (entry == 0 || entry == 2)) {
        left = entry == 0 ? x - width + 1 : x;
        top = nx_between(env, y - height + 2, y - 1);
    } else if (index > 0) {
        left = nx_between(env, x - width + 2, x - 1);
        top = entry == 1 ? y - height + 1 : y;
    }
    // the lowest row stays free, and rooms lie apart to the right and below: as MiniGrid has it
    if (left < 0 || top < 0 || left + width > spec->width || top + height >= spec->height) return false;
    for (int k = 0; k + 1 < index; k++) {
        const NxRoom* r = &rooms[k];
        if (!(left + width < r->x || r->x + r->width <= left || top + height < r->y ||
              r->y + r->height <= top))
            return false;
    }
    NxRoom* room = &rooms[index];
    room->x = (int8_t)left;
    room->y = (int8_t)top;
    room->width = (int8_t)width;
    room->height = (int8_t)height;
    room->door_x = (int8_t)x;
    room->door_y = (int8_t)y;
    return true;
}
// Eight tries for each next room; MiniGrid takes no room back, so a chain that ends early is begun anew.
static inline UF_HD void nx_chain_rooms(const NxSpec* spec, NxEnv* env, NxRoom* rooms) {
    for (;;) {
        uint32_t fraction = nx_random(env);
        int x = nx_take(&fraction, spec->width - 2), y = nx_take(&fraction, spec->width - 2), entry = 2,
            placed = 0;
        bool fits = nx_fit_room(spec, env, rooms, 0, entry, x, y);
        while (fits && ++placed < spec->count) {
            NxRoom room = rooms[placed - 1];
            fits = false;
            for (int k = 0, came_by = entry; k < 8 && !fits; k++) {
                int exit = nx_between(env, 0, 2);
                exit += exit >= came_by;
                bool upright = exit == 0 || exit == 2;
                int along = nx_between(env, 1, (upright ? room.height : room.width) - 2);
                x = room.x + (upright ? (exit == 0) * (room.width - 1) : along);
                y = room.y + (upright ? along : (exit == 1) * (room.height - 1));
                entry = (exit + 2) & 3;
                fits = nx_fit_room(spec, env, rooms, placed, entry, x, y);
            }
        }
        if (placed == spec->count) return;
    }
}
static inline UF_HD void nx_level_multi_room(const NxSpec* spec, NxEnv* env, NxBoard board) {
    NxRoom rooms[6];
    nx_chain_rooms(spec, env, rooms);
    for (int k = 0, colour = 0; k < spec->count; k++) {
        nx_frame(board, rooms[k].x, rooms[k].y, rooms[k].width, rooms[k].height);
        if (k == 0) continue;
        if (k == 1) {
            colour = nx_any_colour(env);
        } else {  // not the one before
            int other = nx_between(env, 0, NX_NUM_COLOURS - 2);
            colour = other + (other >= colour);
        }
        nx_put(board, rooms[k].door_x, rooms[k].door_y, NX_CELL(NX_DOOR_CLOSED, colour));
    }
    const NxRoom *first = &rooms[0], *last = &rooms[spec->count - 1];
    nx_place_agent(env, board, first->x + 1, first->y + 1, first->width - 2, first->height - 2);
    nx_place(env, board, last->x + 1, last->y + 1, last->width - 2, last->height - 2, NX_CELL_GOAL);
}

static inline UF_HD void nx_level_playground(NxEnv* env, NxBoard board) {
    int pitch = board.width / 3;
    for (int j = 0; j < 3; j++)
        for (int i = 0; i < 3; i++) {
            int x = i * pitch, y = j * pitch;
            if (i < 2) {
                NxCell door = NX_CELL(NX_DOOR_CLOSED, nx_any_colour(env));
                nx_put(board, x + pitch, nx_between(env, y + 1, y + pitch - 2), door);
            }
            if (j < 2) {
                NxCell door = NX_CELL(NX_DOOR_CLOSED, nx_any_colour(env));
                nx_put(board, nx_between(env, x + 1, x + pitch - 2), y + pitch, door);
            }
        }
    nx_place_agent_anywhere(env, board);
    for (int k = 0; k < 12; k++) nx_place_anywhere(env, board, nx_any_object(env, 3));
}

// ---- 6 base and generate ----

// Fills layout->base from layout->spec: the walls, and what else never differs.
static inline UF_HD void nx_draw_base(NxLayout* layout) {
    const NxSpec* spec = &layout->spec;
    NxBoard board = nx_board(layout, (NxCell*)layout->base);
    int width = spec->width, height = spec->height, middle = height / 2;
    for (int i = 0; i < NX_MAX_CELLS; i++) board.cells[i] = NX_CELL_EMPTY;
    bool rooms_apart = spec->family == NX_FAMILY_GO_TO_DOOR || spec->family == NX_FAMILY_MULTI_ROOM;
    if (!rooms_apart) nx_frame(board, 0, 0, width, height);
    switch (spec->family) {
        case NX_FAMILY_EMPTY:
        case NX_FAMILY_DOOR_KEY:
        case NX_FAMILY_LAVA_GAP:
        case NX_FAMILY_CROSSING:
        case NX_FAMILY_DYNAMIC_OBSTACLES: nx_put(board, width - 2, height - 2, NX_CELL_GOAL); break;
        case NX_FAMILY_FOUR_ROOMS:
            nx_column(board, width / 2, 0, height, NX_CELL_WALL);
            nx_row(board, 0, middle, width, NX_CELL_WALL);
            break;
        case NX_FAMILY_DIST_SHIFT:
            nx_put(board, width - 2, 1, NX_CELL_GOAL);
            nx_row(board, 3, 1, width - 6, NX_CELL_LAVA);
            nx_row(board, 3, spec->variant, width - 6, NX_CELL_LAVA);
            break;
        case NX_FAMILY_KEY_CORRIDOR:
        case NX_FAMILY_UNLOCK:
        case NX_FAMILY_UNLOCK_PICKUP:
        case NX_FAMILY_BLOCKED_UNLOCK_PICKUP:
        case NX_FAMILY_OBSTRUCTED_MAZE: {
            int pitch = spec->size - 1;
            for (int x = pitch; x < width; x += pitch) nx_column(board, x, 0, height, NX_CELL_WALL);
            for (int y = pitch; y < height; y += pitch) nx_row(board, 0, y, width, NX_CELL_WALL);
            if (spec->family != NX_FAMILY_KEY_CORRIDOR) break;
            for (int y = pitch; y < height - 1; y += pitch)
                nx_row(board, pitch + 1, y, pitch - 1, NX_CELL_EMPTY);
            break;
        }
        case NX_FAMILY_LOCKED_ROOM:
            nx_column(board, width / 2 - 2, 0, height, NX_CELL_WALL);
            nx_column(board, width / 2 + 2, 0, height, NX_CELL_WALL);
            for (int y = 0; y < height - 1; y += height / 3) {
                nx_row(board, 0, y, width / 2 - 2, NX_CELL_WALL);
                nx_row(board, width / 2 + 2, y, width / 2 - 2, NX_CELL_WALL);
            }
            break;
        case NX_FAMILY_MEMORY:  // the room where it begins
            nx_row(board, 1, middle - 2, 4, NX_CELL_WALL);
            nx_row(board, 1, middle + 2, 4, NX_CELL_WALL);
            nx_put(board, 4, middle - 1, NX_CELL_WALL);
            nx_put(board, 4, middle + 1, NX_CELL_WALL);
            break;
        case NX_FAMILY_RED_BLUE_DOORS: nx_frame(board, spec->size / 2, 0, spec->size, spec->size); break;
        case NX_FAMILY_PLAYGROUND:
            for (int k = 1; k < 3; k++) {
                nx_column(board, k * (width / 3), 0, height, NX_CELL_WALL);
                nx_row(board, 0, k * (height / 3), width, NX_CELL_WALL);
            }
            break;
        default: break;
    }
}

// What every level begins with: the base, and a state in which nothing has happened. Writes all but env->random's
// owner and what NAVIX's rules keep; cells in whole 64 bytes (what follows the cells in a block must be written
// after).
static inline UF_HD void nx_begin_level(const NxLayout* layout, NxEnv* env) {
    int num_cells = layout->spec.width * layout->spec.height;
    uint64_t* words = (uint64_t*)(env + 1);
    for (int i = 0; i < (num_cells + 63) / 64; i++)
        for (int k = 0; k < 8; k++) words[8 * i + k] = layout->base[8 * i + k];
    if (layout->contents_offset) {
        NxCell* contents = nx_contents(layout, env);
        for (int i = 0; i < num_cells; i++) contents[i] = NX_CELL_EMPTY;
    }
    env->step_count = 0;
    env->max_steps = layout->spec.max_steps;
    env->episode_return = 0;
    env->x = env->y = NX_NOWHERE;
    env->carrying = env->carrying_contents = NX_CELL_EMPTY;
    env->ended = 0;
    env->mission = 0;
    env->target = env->aux = nx_no_object();
    env->num_obstacles = 0;
}

// A new episode. Ids whose boxes hold things need layout->contents_offset.
static inline UF_HD void nx_generate(const NxLayout* layout, NxEnv* env) {
    const NxSpec* spec = &layout->spec;
    NxBoard board = nx_board(layout, nx_cells(env));
    nx_begin_level(layout, env);
    switch (spec->family) {
        case NX_FAMILY_EMPTY: nx_level_empty(spec, env, board); return;
        case NX_FAMILY_DOOR_KEY: nx_level_door_key(env, board); return;
        case NX_FAMILY_FOUR_ROOMS: nx_level_four_rooms(env, board); return;
        case NX_FAMILY_LAVA_GAP: nx_level_lava_gap(env, board); return;
        case NX_FAMILY_CROSSING: nx_level_crossing(spec, env, board); return;
        case NX_FAMILY_DYNAMIC_OBSTACLES: nx_level_dynamic_obstacles(spec, env, board); return;
        case NX_FAMILY_GO_TO_DOOR: nx_level_go_to_door(spec, env, board); return;
        case NX_FAMILY_GO_TO_OBJECT: nx_level_go_to_object(spec, env, board); return;
        case NX_FAMILY_FETCH: nx_level_fetch(spec, env, board); return;
        case NX_FAMILY_PUT_NEAR: nx_level_put_near(spec, env, board); return;
        case NX_FAMILY_KEY_CORRIDOR: nx_level_key_corridor(spec, env, board); return;
        case NX_FAMILY_UNLOCK:
        case NX_FAMILY_UNLOCK_PICKUP:
        case NX_FAMILY_BLOCKED_UNLOCK_PICKUP: nx_level_unlock(spec, env, board); return;
        case NX_FAMILY_OBSTRUCTED_MAZE: nx_level_obstructed_maze(layout, env, board); return;
        case NX_FAMILY_LOCKED_ROOM: nx_level_locked_room(env, board); return;
        case NX_FAMILY_MEMORY: nx_level_memory(spec, env, board); return;
        case NX_FAMILY_MULTI_ROOM: nx_level_multi_room(spec, env, board); return;
        case NX_FAMILY_RED_BLUE_DOORS: nx_level_red_blue_doors(spec, env, board); return;
        case NX_FAMILY_PLAYGROUND: nx_level_playground(env, board); return;
        case NX_FAMILY_DIST_SHIFT:
        case NX_FAMILY_SANDBOX:
        case NX_NUM_FAMILIES: nx_start(env, 1, 1, 0); return;
    }
}

#endif
