// grid_navix.h: NAVIX's rules for one environment, and what it observes; compiled by C11 and CUDA.
//
// NAVIX keeps a base map of walls and lists of entities over it. Here a cell is the topmost entity, as NAVIX's
// observations show it, and that is nearly all: only a dropped key can share a cell (NxNavix.hidden), and which walls and
// doors stand on the base map follows from the family. There is one key at most, as in all of NAVIX's levels.
// Rooms: what NAVIX has, entities, balls, a step, observations. Levels: grid_navix_levels.h.
// Source: NAVIX 0.11.0, actions.py, transitions.py, events.py, terminations.py, rewards.py, observations.py.
#ifndef NX_GRID_NAVIX_H
#define NX_GRID_NAVIX_H

#include "navix.h"  // NX_REWARD_*, NX_EVENT_*
#include "core/grid/grid.h"
#include "core/grid/grid_step.h"  // NxResult, nx_inside
#include "core/grid/grid_view.h"  // nx_view_place

// ---- what NAVIX has ----

enum { NX_CELL_BALL = NX_CELL(NX_BALL, NX_BLUE) };

static inline UF_HD bool nx_navix_has(const NxSpec* spec) {
    const uint32_t families = 1u << NX_FAMILY_EMPTY | 1u << NX_FAMILY_DOOR_KEY | 1u << NX_FAMILY_FOUR_ROOMS |
                              1u << NX_FAMILY_LAVA_GAP | 1u << NX_FAMILY_CROSSING |
                              1u << NX_FAMILY_DIST_SHIFT | 1u << NX_FAMILY_DYNAMIC_OBSTACLES |
                              1u << NX_FAMILY_GO_TO_DOOR | 1u << NX_FAMILY_KEY_CORRIDOR;
    return (families >> spec->family & 1) &&
           !(spec->family == NX_FAMILY_CROSSING && spec->variant == NX_VARIANT_LAVA);
}

// A layout under NAVIX's rules, all else at their defaults.
static inline void nx_navix_lay_out(NxLayout* layout) {
    layout->rules = NX_RULES_NAVIX;
    layout->reward = NX_REWARD_GOAL;
    layout->spec.see_through_walls = true;  // see the observations below
    layout->tile_size = 8;
}

// The events that end an episode. GoToDoor has none: see nx_navix_step.
static inline UF_HD unsigned nx_navix_endings(NxFamily family) {
    switch (family) {
        case NX_FAMILY_GO_TO_DOOR: return 0;
        case NX_FAMILY_LAVA_GAP: return NX_EVENT_GOAL | NX_EVENT_LAVA;
        case NX_FAMILY_DYNAMIC_OBSTACLES: return NX_EVENT_GOAL | NX_EVENT_LAVA | NX_EVENT_BALL;
        default: return NX_EVENT_GOAL;  // lava does nothing
    }
}

// ---- entities ----

static inline UF_HD NxCell* nx_navix_cell(const NxLayout* layout, NxEnv* env, int x, int y) {
    return nx_inside(layout, x, y) ? nx_cells(env) + y * layout->spec.width + x : (NxCell*)0;
}

// Whether a wall or door stands on a wall of the base map. DoorKey's and FourRooms' inner walls are entities on floor;
// GoToDoor's doors are entities on wall, so that nobody passes even an open one.
static inline UF_HD bool nx_navix_on_base(const NxLayout* layout, int x, int y, NxCell cell) {
    const NxSpec* spec = &layout->spec;
    if (nx_kind(cell) == NX_WALL)
        return (spec->family != NX_FAMILY_DOOR_KEY && spec->family != NX_FAMILY_FOUR_ROOMS) || x == 0 ||
               y == 0 || x == spec->width - 1 || y == spec->height - 1;
    return spec->family == NX_FAMILY_GO_TO_DOOR &&
           nx_is(cell, NX_BIT(NX_DOOR_OPEN) | NX_BIT(NX_DOOR_CLOSED) | NX_BIT(NX_DOOR_LOCKED));
}

static inline UF_HD NxCell nx_navix_hidden_at(const NxEnv* env, int x, int y) {
    return env->navix.hidden_x == x && env->navix.hidden_y == y ? env->navix.hidden : (NxCell)NX_UNSEEN;
}

// Puts a key where one may walk. In NAVIX's order of drawing (ball, door, goal, key, lava, player, wall) a key covers
// a door and a goal, and lava covers the key.
static inline UF_HD void nx_navix_put_key(NxEnv* env, NxCell* cell, int x, int y, NxCell key) {
    NxCell hidden = *cell == NX_CELL_EMPTY ? (NxCell)NX_UNSEEN : *cell;
    if (nx_kind(*cell) == NX_LAVA)
        hidden = key;
    else
        *cell = key;
    if (hidden == NX_UNSEEN) return;
    env->navix.hidden = hidden;
    env->navix.hidden_x = (uint8_t)x;
    env->navix.hidden_y = (uint8_t)y;
}

// The key in a cell, which leaves it; NX_UNSEEN if there is none.
static inline UF_HD NxCell nx_navix_take_key(NxEnv* env, NxCell* cell, int x, int y) {
    NxCell hidden = nx_navix_hidden_at(env, x, y), key = NX_UNSEEN;
    if (nx_kind(*cell) == NX_KEY) {
        key = *cell;
        *cell = hidden == NX_UNSEEN ? NX_CELL_EMPTY : hidden;
    } else if (nx_kind(hidden) == NX_KEY) {
        key = hidden;
    }
    if (key != NX_UNSEEN && hidden != NX_UNSEEN) env->navix.hidden = NX_UNSEEN;
    return key;
}

static inline UF_HD unsigned nx_navix_event_of(NxCell cell) {
    switch (nx_kind(cell)) {
        case NX_WALL: return NX_EVENT_WALL;
        case NX_GOAL: return NX_EVENT_GOAL;
        case NX_LAVA: return NX_EVENT_LAVA;
        case NX_BALL: return NX_EVENT_BALL;
        default: return 0;
    }
}

// Whether one may walk to (x, y); adds to *events what walking there would meet, reached or not.
static inline UF_HD bool nx_navix_can_walk(const NxLayout* layout, NxEnv* env, int x, int y,
                                           unsigned* events) {
    const NxCell* cell = nx_navix_cell(layout, env, x, y);
    if (!cell || nx_navix_on_base(layout, x, y, *cell)) {
        *events |= NX_EVENT_WALL;
        return false;
    }
    NxCell hidden = nx_navix_hidden_at(env, x, y);
    *events |= nx_navix_event_of(*cell) | nx_navix_event_of(hidden);
    return nx_is(*cell, NX_WALKABLE) && (hidden == NX_UNSEEN || nx_is(hidden, NX_WALKABLE));
}

// ---- actions ----

static inline UF_HD void nx_navix_move(const NxLayout* layout, NxEnv* env, int direction) {
    int x = env->x + nx_dx(direction), y = env->y + nx_dy(direction);
    unsigned events = env->navix.events;
    if (nx_navix_can_walk(layout, env, x, y, &events)) {
        env->x = (uint8_t)x;
        env->y = (uint8_t)y;
    }
    env->navix.events = (uint8_t)events;
}

static inline UF_HD void nx_navix_pick_up(NxEnv* env, NxCell* front, int x, int y) {
    NxCell key = front ? nx_navix_take_key(env, front, x, y) : (NxCell)NX_UNSEEN;
    if (key == NX_UNSEEN) return;
    env->navix.pocket = env->navix.pile = key;  // what was in the pocket is lost
}

// The pocket keeps what has been dropped: it still opens doors, but cannot be dropped once more.
static inline UF_HD void nx_navix_drop(const NxLayout* layout, NxEnv* env, NxCell* front, int x, int y) {
    unsigned events = 0;  // looking is not walking
    if (!env->navix.pocket || !env->navix.pile) return;
    if (!nx_navix_can_walk(layout, env, x, y, &events)) return;
    nx_navix_put_key(env, front, x, y, env->navix.pile);
    env->navix.pile = NX_UNSEEN;
}

// Opens for good, and takes the key for it. NAVIX goes by the key's number; a number is a colour in all its levels.
static inline UF_HD void nx_navix_open(NxEnv* env, NxCell* front) {
    if (!front) return;
    if (nx_kind(*front) == NX_DOOR_LOCKED) {
        if (env->navix.pocket != NX_CELL(NX_KEY, nx_colour(*front))) return;
        env->navix.pocket = NX_UNSEEN;
    } else if (nx_kind(*front) != NX_DOOR_CLOSED) {
        return;
    }
    *front = NX_CELL(NX_DOOR_OPEN, nx_colour(*front));
}

// What an action of either set does. NX_DO_MOVE + k moves k quarter turns from where the agent looks.
enum { NX_DO_NOTHING, NX_DO_RIGHT, NX_DO_LEFT, NX_DO_PICK_UP, NX_DO_DROP, NX_DO_OPEN, NX_DO_MOVE = 8 };

static inline UF_HD int nx_navix_deed(int num_actions, int action) {
    // A digit an action, from the right. Seven: left, right, forward, pick up, drop, open, done. Ten: no-op, right,
    // left, forward, to the right, back, to the left, pick up, open, done.
    return (int)((num_actions == 10 ? 0x053BA98210ull : 0x0543812ull) >> 4 * action & 15);
}

static inline UF_HD void nx_navix_act(const NxLayout* layout, NxEnv* env, int action) {
    int deed = nx_navix_deed(layout->num_actions, action);
    int x = env->x + nx_dx(env->direction), y = env->y + nx_dy(env->direction);
    NxCell* front = nx_navix_cell(layout, env, x, y);
    switch (deed) {
        case NX_DO_NOTHING: break;
        case NX_DO_RIGHT: env->direction = (env->direction + 1) & 3; break;
        case NX_DO_LEFT: env->direction = (env->direction + 3) & 3; break;
        case NX_DO_PICK_UP: nx_navix_pick_up(env, front, x, y); break;
        case NX_DO_DROP: nx_navix_drop(layout, env, front, x, y); break;
        case NX_DO_OPEN: nx_navix_open(env, front); break;
        default: {
            // NAVIX adds without wrapping around, and what is beyond north (3) counts as north.
            int direction = env->direction + deed - NX_DO_MOVE;
            nx_navix_move(layout, env, direction > 3 ? 3 : direction);
        }
    }
}

// ---- balls ----

// Each ball tries one cell and stays where it cannot go. Of the balls only the first is in the way of others, so that
// they may come to lie on one another.   Nullable: tries (num_obstacles, 2) (x, y) instead of a random neighbour
static inline UF_HD void nx_navix_move_balls(const NxLayout* layout, NxEnv* env, const int32_t* tries) {
    const int count = env->num_obstacles;
    const int first_x = count ? env->obstacle_x[0] : 0, first_y = count ? env->obstacle_y[0] : 0;
    for (int i = 0; i < count; i++)
        *nx_navix_cell(layout, env, env->obstacle_x[i], env->obstacle_y[i]) = NX_CELL_EMPTY;
    for (int i = 0; i < count; i++) {
        int direction = tries ? 0 : nx_between(env, 0, 3);
        int x = tries ? tries[2 * i] : env->obstacle_x[i] + nx_dx(direction);
        int y = tries ? tries[2 * i + 1] : env->obstacle_y[i] + nx_dy(direction);
        const NxCell* cell = nx_navix_cell(layout, env, x, y);
        bool hit = x == env->x && y == env->y;
        if (hit) env->navix.events |= NX_EVENT_BALL;
        if (hit || !cell || *cell != NX_CELL_EMPTY || (x == first_x && y == first_y)) continue;
        env->obstacle_x[i] = (uint8_t)x;
        env->obstacle_y[i] = (uint8_t)y;
    }
    for (int i = 0; i < count; i++)
        *nx_navix_cell(layout, env, env->obstacle_x[i], env->obstacle_y[i]) = NX_CELL_BALL;
}

// ---- a step ----

static inline UF_HD bool nx_navix_faces_target(const NxEnv* env) {
    return env->x + nx_dx(env->direction) == env->target.x && env->y + nx_dy(env->direction) == env->target.y;
}

static inline UF_HD float nx_navix_reward(const NxLayout* layout, const NxEnv* env, int action, bool success,
                                          bool terminated) {
    float reward = 0;
    if (layout->reward & NX_REWARD_GOAL) reward += success;
    if ((layout->reward & NX_REWARD_ACTION_COST) && action != NX_DONE) reward -= 0.01f;  // 6 in either set
    if (layout->reward & NX_REWARD_TIME_COST) reward -= 0.01f;
    if ((layout->reward & NX_REWARD_WALL_HIT) && (env->navix.events & NX_EVENT_WALL)) reward += 0.01f;
    // A product of two floats is exact in double, so that no compiler can round it another way.
    float share = (float)env->step_count / (float)env->max_steps;
    if (terminated) reward = (float)((double)reward - (double)layout->penalty_coef * (double)share);
    return reward;
}

// One step of an episode that goes on.   Nullable: tries, see nx_navix_move_balls
static inline UF_HD NxResult nx_navix_step(const NxLayout* layout, NxEnv* env, int action,
                                           const int32_t* tries) {
    NxResult result;
    nx_navix_act(layout, env, action);
    nx_navix_move_balls(layout, env, tries);
    env->step_count++;
    // To face the door is enough, whatever the action.
    bool to_door = layout->spec.family == NX_FAMILY_GO_TO_DOOR;
    bool at_door = to_door && nx_navix_faces_target(env);
    result.terminated = at_door || (env->navix.events & nx_navix_endings(layout->spec.family));
    result.truncated = !result.terminated && env->step_count >= env->max_steps;
    bool success = to_door ? at_door : env->navix.events & NX_EVENT_GOAL;
    result.reward = nx_navix_reward(layout, env, action, success, result.terminated);
    return result;
}

// ---- observations ----

// NAVIX's symbolic views are MiniGrid's full view, and its first-person view where nothing hides anything and no hand
// holds anything: layouts under NAVIX's rules see through walls, and env->carrying is empty, the pocket being apart.

static inline UF_HD int nx_navix_tag(const NxLayout* layout, const NxEnv* env, int x, int y, NxCell cell) {
    if (x == env->x && y == env->y) return NX_TYPE_AGENT;
    if (cell == NX_CELL_EMPTY) return 0;
    if (nx_kind(cell) == NX_WALL && nx_navix_on_base(layout, x, y, cell)) return -1;
    return nx_type(cell);
}

// (H, W): types, 0 floor, -1 walls of the base map.
static inline UF_HD void nx_navix_categorical(const NxLayout* layout, const NxEnv* env, int32_t* out) {
    const NxCell* cells = (const NxCell*)(env + 1);
    for (int y = 0; y < layout->spec.height; y++)
        for (int x = 0; x < layout->spec.width; x++, cells++, out++)
            *out = nx_navix_tag(layout, env, x, y, *cells);
}

enum { NX_MAX_SIDE = 32 };  // cells of a row are bits of a word

// A set of cells and their neighbours to the left and right. Rows close to rings, as arrays that NAVIX rolls.
static inline UF_HD uint32_t nx_navix_widen(uint32_t row, int width) {
    const uint32_t all = width == 32 ? ~0u : (1u << width) - 1;
    return (row | row << 1 | row >> (width - 1) | row >> 1 | row << (width - 1)) & all;
}

// One step of a flood in eight directions: to the clear neighbours; the last: to those that are not.
static inline UF_HD void nx_navix_flood(const NxLayout* layout, uint32_t* seen, const uint32_t* clear,
                                        bool last) {
    const int height = layout->spec.height, width = layout->spec.width;
    uint32_t above = nx_navix_widen(seen[height - 1], width), here = nx_navix_widen(seen[0], width);
    const uint32_t first = here;
    for (int y = 0; y < height; y++) {
        const uint32_t below = y + 1 < height ? nx_navix_widen(seen[y + 1], width) : first;
        const uint32_t flood = above | here | below;
        seen[y] = last ? seen[y] | (flood & ~clear[y]) : flood & clear[y];
        above = here;
        here = below;
    }
}

// What is seen, a bit a cell: a flood from the agent through what can be seen through, V - 1 steps far, and the opaque
// cells that touch it. seen, clear (H): the latter is a place to work in.
static inline UF_HD void nx_navix_see(const NxLayout* layout, const NxEnv* env, uint32_t* seen,
                                      uint32_t* clear) {
    const int height = layout->spec.height, width = layout->spec.width;
    const NxCell* cells = (const NxCell*)(env + 1);
    for (int y = 0; y < height; y++) {
        uint32_t row = 0;
        for (int x = 0; x < width; x++, cells++) row |= (uint32_t)!nx_is(*cells, NX_OPAQUE) << x;
        seen[y] = 0;
        clear[y] = row;
    }
    seen[env->y] = 1u << env->x;
    for (int i = 0; i < layout->view - 1; i++) nx_navix_flood(layout, seen, clear, false);
    nx_navix_flood(layout, seen, clear, true);
    seen[env->y] |= 1u << env->x;
}

// Number i of the categorical view, with what is seen.
static inline UF_HD int nx_navix_view_tag(const NxLayout* layout, const NxEnv* env, const uint32_t* seen,
                                          int i) {
    int x, y;
    nx_view_place(layout, env, i / layout->view, i % layout->view, &x, &y);
    if (!nx_inside(layout, x, y)) return 100;
    const NxCell cell = ((const NxCell*)(env + 1))[y * layout->spec.width + x];
    return seen[y] >> x & 1 ? nx_navix_tag(layout, env, x, y, cell) : 0;
}

// (V, V): the categorical view, 0 also where nothing is seen, 100 beyond the map.
static inline UF_HD void nx_navix_categorical_first_person(const NxLayout* layout, const NxEnv* env,
                                                           int32_t* out) {
    uint32_t seen[NX_MAX_SIDE], clear[NX_MAX_SIDE];
    nx_navix_see(layout, env, seen, clear);
    for (int i = 0; i < layout->view * layout->view; i++) out[i] = nx_navix_view_tag(layout, env, seen, i);
}

#endif
