// grid_solver.h: solves gridworlds with the step function itself.
//
// A Plan is a copy of an environment that is acted on; what led to success is kept and can be replayed. What the
// agent can reach by walking and opening doors is a shortest-path search over its places and directions. Where
// objects or locked doors are in the way, solve_by_moving clears one thing after the other: the first that blocks
// the path which ignores them.
//
// relax() is the optimistic view: objects block nothing, a key that can be reached opens all doors of its colour. It
// permits whatever the rules do, so what it does not reach cannot be reached: that is how a level is proved
// unsolvable.
#ifndef NX_GRID_SOLVER_H
#define NX_GRID_SOLVER_H

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/grid/grid_levels.h"
#include "core/grid/grid_step.h"

enum { PLAN_STEPS = 8192, POSES = 4 * NX_MAX_CELLS, NONE = -1 };
static const unsigned OBJECTS = NX_PORTABLE;

typedef struct Plan {
    const NxLayout* layout;
    NxEnv* env;
    NxCell* cells;
    int width, height, num_steps;
    uint8_t steps[PLAN_STEPS];
    bool ended, avoids_aux;  // Memory: its cell ends the episode
    float reward;
} Plan;

static inline void plan_begin(Plan* p, const NxLayout* layout, const NxEnv* start) {
    memset(p, 0, sizeof *p);
    p->layout = layout;
    p->env = aligned_alloc(64, layout->env_bytes);
    memcpy(p->env, start, layout->env_bytes);
    p->cells = nx_cells(p->env);
    p->width = layout->spec.width;
    p->height = layout->spec.height;
    p->avoids_aux = layout->spec.family == NX_FAMILY_MEMORY;
}
static inline void plan_free(Plan* p) { free(p->env); }

static inline void act(Plan* p, int action) {
    if (p->ended || p->num_steps == PLAN_STEPS) return;
    p->steps[p->num_steps++] = (uint8_t)action;
    const NxResult result = nx_step_env(p->layout, p->env, action, NULL);
    p->ended = result.terminated || result.truncated;
    p->reward = result.reward;
}

static inline int cell_of(const Plan* p, int x, int y) { return y * p->width + x; }
static inline int agent_cell(const Plan* p) { return cell_of(p, p->env->x, p->env->y); }
// The cell ahead in a direction, NONE off the map.
static inline int ahead(const Plan* p, int cell, int direction) {
    const int x = cell % p->width + nx_dx(direction), y = cell / p->width + nx_dy(direction);
    return x < 0 || y < 0 || x >= p->width || y >= p->height ? NONE : cell_of(p, x, y);
}
static inline int agent_front(const Plan* p) { return ahead(p, agent_cell(p), p->env->direction); }

// ---- walking ----

// Steps to walk onto a cell: one, two with a door that is to be opened, 0 where nobody may. `goal` may be a goal.
static inline int walking_steps(const Plan* p, int cell, int goal) {
    const NxCell c = p->cells[cell];
    if (p->avoids_aux && cell == cell_of(p, p->env->aux.x, p->env->aux.y)) return 0;
    if (nx_kind(c) == NX_GOAL) return cell == goal;
    if (nx_is(c, NX_BIT(NX_EMPTY) | NX_BIT(NX_FLOOR) | NX_BIT(NX_DOOR_OPEN))) return 1;
    return nx_kind(c) == NX_DOOR_CLOSED && p->layout->spec.family != NX_FAMILY_GO_TO_DOOR ? 2 : 0;
}

// Shortest ways from the agent to all poses (cell * 4 + direction): steps, and the action that comes before.
typedef struct Ways {
    int steps[POSES];  // INT_MAX: not to be reached
    int from[POSES];
} Ways;

static inline void find_ways(const Plan* p, int goal, Ways* w) {
    static int queue[3][POSES];  // by steps, modulo 3: an edge has one or two
    int count[3] = {1, 0, 0}, waiting = 1;
    for (int i = 0; i < 4 * p->width * p->height; i++) w->steps[i] = INT_MAX;
    const int start = agent_cell(p) * 4 + p->env->direction;
    w->steps[start] = 0;
    w->from[start] = NONE;
    queue[0][0] = start;
    for (int now = 0; waiting > 0; now++) {
        int* ready = queue[now % 3];
        for (int i = 0; i < count[now % 3]; i++, waiting--) {
            const int pose = ready[i], cell = pose / 4, direction = pose % 4;
            if (w->steps[pose] != now) continue;
            const int front = ahead(p, cell, direction);
            const int onto = front == NONE ? 0 : walking_steps(p, front, goal);
            const int next[3] = {cell * 4 + (direction + 1) % 4, cell * 4 + (direction + 3) % 4,
                                 onto ? front * 4 + direction : NONE};
            for (int k = 0; k < 3; k++) {
                const int cost = now + (k < 2 ? 1 : onto);
                if (next[k] == NONE || w->steps[next[k]] <= cost) continue;
                w->steps[next[k]] = cost;
                w->from[next[k]] = pose;
                queue[cost % 3][count[cost % 3]++] = next[k];
                waiting++;
            }
        }
        count[now % 3] = 0;
    }
}

static inline void walk(Plan* p, const Ways* w, int pose) {
    static int path[POSES];
    int length = 0;
    for (int at = pose; w->from[at] != NONE; at = w->from[at]) path[length++] = at;
    while (length-- > 0) {
        const int at = agent_cell(p), next = path[length];
        if (next / 4 != at) {
            if (nx_kind(p->cells[next / 4]) == NX_DOOR_CLOSED) act(p, NX_TOGGLE);
            act(p, NX_FORWARD);
        } else {
            act(p, next % 4 == (p->env->direction + 1) % 4 ? NX_RIGHT : NX_LEFT);
        }
    }
}

// The nearest pose in front of a cell, or on it; NONE if there is none.
static inline int nearest_pose(const Plan* p, const Ways* w, int cell, bool on_it) {
    int best = NONE;
    for (int d = 0; d < 4; d++) {
        const int beside = on_it ? cell : ahead(p, cell, (d + 2) % 4);
        if (beside == NONE || w->steps[beside * 4 + d] == INT_MAX) continue;
        if (best == NONE || w->steps[beside * 4 + d] < w->steps[best]) best = beside * 4 + d;
    }
    return best;
}
static inline bool go(Plan* p, int cell, bool on_it) {
    static Ways w;
    find_ways(p, on_it ? cell : NONE, &w);
    const int pose = nearest_pose(p, &w, cell, on_it);
    if (pose == NONE) return false;
    walk(p, &w, pose);
    return true;
}
static inline bool face(Plan* p, int cell) { return go(p, cell, false); }

// ---- the optimistic view ----

enum { UNREACHED = 99 };
typedef struct Relaxed {
    uint8_t round[NX_MAX_CELLS];        // how many times new keys had to be found before a cell was reached
    uint8_t key_round[NX_NUM_COLOURS];  // from which round on doors of a colour are open
} Relaxed;

static inline void relax(const Plan* p, Relaxed* r) {
    const int cells = p->width * p->height;
    const NxCell *contents = nx_contents(p->layout, p->env), carried = p->env->carrying;
    memset(r, UNREACHED, sizeof *r);
    if (nx_kind(carried) == NX_KEY) r->key_round[nx_colour(carried)] = 0;
    r->round[agent_cell(p)] = 0;
    for (int round = 0, grown = 1; grown; round++) {
        grown = 0;
        for (bool grows = true; grows;) {
            grows = false;
            for (int c = 0; c < cells; c++) {
                const NxCell cell = p->cells[c];
                if (r->round[c] != UNREACHED || nx_is(cell, NX_BIT(NX_WALL) | NX_BIT(NX_LAVA))) continue;
                if (nx_kind(cell) == NX_DOOR_LOCKED && r->key_round[nx_colour(cell)] > round) continue;
                for (int d = 0; d < 4 && r->round[c] == UNREACHED; d++) {
                    const int beside = ahead(p, c, d);
                    if (beside != NONE && r->round[beside] != UNREACHED) r->round[c] = (uint8_t)round;
                }
                if (r->round[c] == UNREACHED) continue;
                grows = true;
                grown = 1;
                const NxCell found = contents && nx_kind(cell) == NX_BOX ? contents[c] : cell;
                if (nx_kind(found) == NX_KEY && r->key_round[nx_colour(found)] == UNREACHED)
                    r->key_round[nx_colour(found)] = (uint8_t)(round + 1);
            }
        }
    }
}

// ---- moving what is in the way ----

// Of all ways to a cell, through objects and locked doors, one with the fewest of them: fills path, from the
// agent's cell to `goal`, and returns its length or 0. *blocks: how many there are. Cells that relax reached after
// `round` are shut.
static inline int blocked_path(const Plan* p, const Relaxed* r, int goal, int round, int* path, int* blocks) {
    enum { BLOCK = 1000 };
    static int cost[NX_MAX_CELLS], from[NX_MAX_CELLS];
    const int cells = p->width * p->height;
    for (int c = 0; c < cells; c++) cost[c] = INT_MAX;
    cost[agent_cell(p)] = 0;
    from[agent_cell(p)] = NONE;
    for (bool changed = true; changed;) {  // Bellman and Ford: levels are small
        changed = false;
        for (int c = 0; c < cells; c++) {
            if (cost[c] == INT_MAX || c == goal) continue;
            for (int d = 0; d < 4; d++) {
                const int next = ahead(p, c, d);
                if (next == NONE || r->round[next] > round) continue;
                if (next != goal && nx_kind(p->cells[next]) == NX_GOAL) continue;
                const bool held = p->env->carrying == NX_CELL(NX_KEY, nx_colour(p->cells[next]));
                const bool locked = nx_kind(p->cells[next]) == NX_DOOR_LOCKED && !held;
                const int there =
                    cost[c] + 1 + (next != goal && (locked || nx_is(p->cells[next], OBJECTS))) * BLOCK;
                if (there >= cost[next]) continue;
                cost[next] = there;
                from[next] = c;
                changed = true;
            }
        }
    }
    *blocks = 0;
    if (cost[goal] == INT_MAX) return 0;
    *blocks = cost[goal] / BLOCK;
    int length = 0;
    for (int c = goal; c != NONE; c = from[c]) length++;
    for (int c = goal, i = length; c != NONE; c = from[c]) path[--i] = c;
    return length;
}

// How many cells can be walked on or faced from the agent's, all doors open.
static inline int open_cells(const Plan* p, int start) {
    static int queue[NX_MAX_CELLS];
    bool seen[NX_MAX_CELLS] = {false};
    int head = 0, count = 1;
    queue[0] = start;
    seen[start] = true;
    while (head < count) {
        const int c = queue[head++];
        if (c != start && nx_is(p->cells[c], OBJECTS | NX_BIT(NX_WALL) | NX_BIT(NX_LAVA))) continue;
        for (int d = 0; d < 4; d++) {
            const int next = ahead(p, c, d);
            if (next == NONE || seen[next]) continue;
            seen[next] = true;
            queue[count++] = next;
        }
    }
    return count;
}

// Puts down what is carried where it shuts nothing off; failing that, where it does not block the way to `goal`.
static inline bool drop_aside(Plan* p, int goal) {
    static Ways w;
    static int path[NX_MAX_CELLS];
    static Relaxed r;
    find_ways(p, NONE, &w);
    const NxCell carried = p->env->carrying;
    const int x = p->env->x, y = p->env->y, open = open_cells(p, agent_cell(p));
    for (int strict = 1; strict >= 0; strict--) {
        int best = NONE;
        relax(p, &r);
        int before, blocks;
        blocked_path(p, &r, goal, UNREACHED - 1, path, &before);
        for (int pose = 0; pose < 4 * p->width * p->height; pose++) {
            if (w.steps[pose] == INT_MAX || (best != NONE && w.steps[pose] >= w.steps[best])) continue;
            const int front = ahead(p, pose / 4, pose % 4);
            if (front == NONE || p->cells[front] != NX_CELL_EMPTY || front == goal) continue;
            p->cells[front] = NX_CELL(NX_BALL, NX_RED);
            bool fits = open_cells(p, pose / 4) == open;
            if (!strict) {
                p->env->x = (uint8_t)(pose / 4 % p->width);
                p->env->y = (uint8_t)(pose / 4 / p->width);
                fits = blocked_path(p, &r, goal, UNREACHED - 1, path, &blocks) > 0 && blocks <= before;
                p->env->x = (uint8_t)x;
                p->env->y = (uint8_t)y;
            }
            p->cells[front] = NX_CELL_EMPTY;
            if (fits) best = pose;
        }
        if (best == NONE) continue;
        walk(p, &w, best);
        act(p, NX_DROP);
        return p->env->carrying == NX_CELL_EMPTY && carried != NX_CELL_EMPTY;
    }
    return false;
}

static inline bool pick_up(Plan* p, int cell) {
    if (p->env->carrying != NX_CELL_EMPTY && !drop_aside(p, cell)) return false;
    if (!face(p, cell)) return false;
    act(p, NX_PICKUP);
    return true;
}

// A cell where a key of the colour lies, maybe in a box, that relax reached by `round`; NONE if there is none.
static inline int find_key(const Plan* p, const Relaxed* r, int colour, int round) {
    static int path[NX_MAX_CELLS];
    const NxCell* contents = nx_contents(p->layout, p->env);
    const NxCell key = NX_CELL(NX_KEY, colour);
    int best = NONE, best_cost = INT_MAX;
    for (int c = 0; c < p->width * p->height; c++) {
        const bool boxed = contents && nx_kind(p->cells[c]) == NX_BOX && contents[c] == key;
        if ((p->cells[c] != key && !boxed) || r->round[c] > round) continue;
        int blocks;
        const int length = blocked_path(p, r, c, round, path, &blocks);
        if (length == 0 || blocks * 1000 + length >= best_cost) continue;
        best_cost = blocks * 1000 + length;
        best = c;
    }
    return best;
}

typedef enum Aim { REACH, PICK_UP, OPEN } Aim;

// One thing at a time towards `aim` at a cell. False: stuck, which is a fault of this solver where relax reaches
// the cell.
static inline bool advance(Plan* p, Aim aim, int target) {
    static int path[NX_MAX_CELLS];
    Relaxed r;
    relax(p, &r);
    int goal = target, round = r.round[target], want = aim;
    if (round == UNREACHED) return false;
    for (int depth = 0; depth < 16; depth++) {
        int blocks, first = 0;
        const int length = blocked_path(p, &r, goal, round, path, &blocks);
        if (length == 0) return false;
        for (int i = 1; i < length && !first; i++) {
            const NxCell c = p->cells[path[i]];
            const bool last = i == length - 1;
            if (nx_kind(c) == NX_DOOR_LOCKED) first = i;
            if (nx_is(c, OBJECTS) && !last) first = i;
        }
        if (!first) {  // the way is free
            if (want == REACH) return go(p, goal, true);
            if (nx_kind(p->cells[goal]) == NX_BOX && goal != target) {  // the key is in it
                if (!face(p, goal)) return false;
                act(p, NX_TOGGLE);
                return true;
            }
            return pick_up(p, goal);
        }
        const int at = path[first];
        const NxCell c = p->cells[at];
        if (nx_kind(c) == NX_BOX) {
            if (!face(p, at)) return false;
            act(p, NX_TOGGLE);
            return true;
        }
        if (nx_is(c, OBJECTS)) return pick_up(p, at) && drop_aside(p, goal);
        if (p->env->carrying == NX_CELL(NX_KEY, nx_colour(c))) {
            if (!face(p, at)) return false;
            act(p, NX_TOGGLE);
            return true;
        }
        round = r.round[at] - 1;  // its key is this side of it
        goal = find_key(p, &r, nx_colour(c), round);
        want = PICK_UP;
        if (goal == NONE) return false;
    }
    return false;
}

static inline void solve_by_moving(Plan* p, Aim aim, int target) {
    for (int i = 0; i < 500 && !p->ended; i++)
        if (!advance(p, aim, target)) return;
}

// ---- families ----

static inline int find_kind(const Plan* p, int kind) {
    for (int c = 0; c < p->width * p->height; c++)
        if (nx_kind(p->cells[c]) == kind) return c;
    return NONE;
}
static inline int object_cell(const Plan* p, NxObject o) { return cell_of(p, o.x, o.y); }

// Fetch: the nearest object that is right; any other would end the episode.
static inline void solve_fetch(Plan* p) {
    static Ways w;
    int best = NONE;
    find_ways(p, NONE, &w);
    for (int c = 0; c < p->width * p->height; c++) {
        if (p->cells[c] != p->env->target.cell) continue;
        const int pose = nearest_pose(p, &w, c, false);
        if (pose != NONE && (best == NONE || w.steps[pose] < w.steps[best])) best = pose;
    }
    if (best == NONE) return;
    walk(p, &w, best);
    act(p, NX_PICKUP);
}

static inline void solve_go_to(Plan* p) {
    if (face(p, object_cell(p, p->env->target))) act(p, NX_DONE);
}

// PutNear: one object may be picked up and the drop ends the episode.
static inline void solve_put_near(Plan* p) {
    static Ways w;
    if (!face(p, object_cell(p, p->env->aux))) return;
    act(p, NX_PICKUP);
    find_ways(p, NONE, &w);
    int best = NONE;
    for (int pose = 0; pose < 4 * p->width * p->height; pose++) {
        const int front = ahead(p, pose / 4, pose % 4);
        if (w.steps[pose] == INT_MAX || front == NONE || p->cells[front] != NX_CELL_EMPTY) continue;
        const int dx = front % p->width - p->env->target.x, dy = front / p->width - p->env->target.y;
        if (abs(dx) > 1 || abs(dy) > 1 || (best != NONE && w.steps[pose] >= w.steps[best])) continue;
        best = pose;
    }
    if (best == NONE) return;
    walk(p, &w, best);
    act(p, NX_DROP);
}

// Never walks while something is ahead: nothing ends such an episode but the goal or the clock.
static inline void solve_dynamic_obstacles(Plan* p) {
    static Ways w;
    const int goal = find_kind(p, NX_GOAL);
    while (!p->ended) {
        find_ways(p, goal, &w);
        int at = nearest_pose(p, &w, goal, true), next = NONE;
        for (; at != NONE && w.from[at] != NONE; at = w.from[at]) next = at;
        if (next == NONE)
            act(p, NX_LEFT);
        else if (next / 4 != agent_cell(p))
            act(p, NX_FORWARD);
        else
            act(p, next % 4 == (p->env->direction + 1) % 4 ? NX_RIGHT : NX_LEFT);
    }
}

// Leaves p->ended with p->reward > 0 where it finds a way.
static inline void solve(Plan* p) {
    const NxEnv* env = p->env;
    switch (p->layout->spec.family) {
        case NX_FAMILY_DYNAMIC_OBSTACLES: solve_dynamic_obstacles(p); return;
        case NX_FAMILY_GO_TO_DOOR:
        case NX_FAMILY_GO_TO_OBJECT: solve_go_to(p); return;
        case NX_FAMILY_FETCH: solve_fetch(p); return;
        case NX_FAMILY_PUT_NEAR: solve_put_near(p); return;
        case NX_FAMILY_MEMORY: go(p, object_cell(p, env->target), true); return;
        case NX_FAMILY_RED_BLUE_DOORS:
            if (!face(p, object_cell(p, env->aux))) return;
            act(p, NX_TOGGLE);
            if (face(p, object_cell(p, env->target))) act(p, NX_TOGGLE);
            return;
        case NX_FAMILY_UNLOCK: solve_by_moving(p, OPEN, object_cell(p, env->target)); return;
        case NX_FAMILY_KEY_CORRIDOR:
        case NX_FAMILY_UNLOCK_PICKUP:
        case NX_FAMILY_BLOCKED_UNLOCK_PICKUP:
        case NX_FAMILY_OBSTRUCTED_MAZE: solve_by_moving(p, PICK_UP, object_cell(p, env->target)); return;
        default: solve_by_moving(p, REACH, find_kind(p, NX_GOAL)); return;
    }
}

#endif
