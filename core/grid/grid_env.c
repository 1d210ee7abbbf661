// grid_env.c: MiniGrid's gridworlds behind the interface of envs.h, one at a time, for policies that are plain networks:
// the observation is the first-person view as 7 * 7 * 3 numbers in the order of navix.h, an action one of seven. Batches
// of them are navix.h's. The script plans a shortest way from the whole state.
//
// Rooms: environment, ways, script, table.
#include <string.h>

#include "navix.h"
#include "core/envs/envs.h"
#include "core/grid/grid.h"
#include "core/grid/grid_levels.h"
#include "core/grid/grid_step.h"
#include "core/grid/grid_table.h"
#include "core/grid/grid_view.h"

enum { VIEW = 7, OBS = VIEW * VIEW * 3 };

// ---- environment ----

typedef struct GridEnv {
    UfEnv base;
    NxLayout layout;
    NxEnv* grid;  // layout.env_bytes
} GridEnv;

static void grid_free(UfEnv* env) {
    GridEnv* e = (GridEnv*)env;
    uf_free(e->grid);
    uf_free(e);
}

static UfStatus grid_create(UfEnv** out, const UfEnvSpec* spec) {
    GridEnv* e;
    UF_TRY(UF_ALLOC(&e, 1, spec->name));
    nx_lay_out(&e->layout, &nx_specs[spec - uf_grid_env_specs], false);
    UfStatus status = uf_alloc((void**)&e->grid, e->layout.env_bytes, 1, spec->name);
    if (status != UF_OK)
        uf_free(e);
    else
        *out = &e->base;
    return status;
}

static void grid_reset(UfEnv* env, UfRandom* random) {
    GridEnv* e = (GridEnv*)env;
    e->grid->random = (uint64_t)uf_random_u32(random) << 32;
    e->grid->random |= uf_random_u32(random);
    nx_generate(&e->layout, e->grid);
}

static void grid_step(UfEnv* env, const float* action, double* reward, bool* terminated) {
    GridEnv* e = (GridEnv*)env;
    const NxResult result = nx_step_env(&e->layout, e->grid, uf_env_kind(env->spec, action), NULL);
    *reward = result.reward;
    *terminated = result.terminated;
}

static void grid_observe(const UfEnv* env, float* obs) {
    const GridEnv* e = (const GridEnv*)env;
    uint8_t bytes[OBS];
    nx_observe_first_person(&e->layout, e->grid, bytes);
    for (int i = 0; i < OBS; i++) obs[i] = bytes[i];
}

// ---- ways ----

enum { POSES = 4 * NX_MAX_CELLS, NO_WAY = -1, HERE = -2 };

// A pose is cell * 4 + direction.
typedef struct Plan {
    const NxLayout* layout;
    const NxEnv* grid;
    NxCell cells[NX_MAX_CELLS];
    bool wanted[NX_MAX_CELLS];
    int16_t queue[POSES];
    int8_t first[POSES];  // what begins a shortest way to a pose; NO_WAY: none is known
} Plan;

static int num_cells(const Plan* p) { return p->layout->spec.width * p->layout->spec.height; }
static int cell_at(const Plan* p, int x, int y) { return y * p->layout->spec.width + x; }

// The cell ahead of a pose; NO_WAY off the map.
static int ahead(const Plan* p, int pose) {
    const int width = p->layout->spec.width, x = pose / 4 % width + nx_dx(pose % 4),
              y = pose / 4 / width + nx_dy(pose % 4);
    return nx_inside(p->layout, x, y) ? cell_at(p, x, y) : NO_WAY;
}

// Whether a way may lead over a cell. A closed door is opened; in GoToDoor that would end the episode.
static bool can_pass(const Plan* p, int cell) {
    const NxFamily family = p->layout->spec.family;
    if (family == NX_FAMILY_MEMORY && cell == cell_at(p, p->grid->aux.x, p->grid->aux.y)) return false;
    if (nx_kind(p->cells[cell]) == NX_GOAL) return p->wanted[cell];
    if (nx_kind(p->cells[cell]) == NX_DOOR_CLOSED) return family != NX_FAMILY_GO_TO_DOOR;
    return nx_is(p->cells[cell], NX_WALKABLE & ~NX_BIT(NX_LAVA));
}

// The first action of a shortest way to a wanted cell, or to where one is ahead; HERE, NO_WAY.
static int find_way(Plan* p, bool stand) {
    const int start = cell_at(p, p->grid->x, p->grid->y) * 4 + p->grid->direction;
    int head = 0, count = 1;
    memset(p->first, NO_WAY, (size_t)num_cells(p) * 4);
    p->queue[0] = (int16_t)start;
    p->first[start] = HERE;
    while (head < count) {
        const int pose = p->queue[head++], front = ahead(p, pose), at = stand ? pose / 4 : front;
        if (at != NO_WAY && p->wanted[at]) return p->first[pose];
        const bool passes = front != NO_WAY && can_pass(p, front);
        const int forward = passes && nx_kind(p->cells[front]) == NX_DOOR_CLOSED ? NX_TOGGLE : NX_FORWARD;
        const int next[3] = {pose / 4 * 4 + (pose + 3) % 4, pose / 4 * 4 + (pose + 1) % 4,
                             passes ? front * 4 + pose % 4 : NO_WAY};
        const int action[3] = {NX_LEFT, NX_RIGHT, forward};
        for (int k = 0; k < 3; k++) {
            if (next[k] == NO_WAY || p->first[next[k]] != NO_WAY) continue;
            p->first[next[k]] = (int8_t)(pose == start ? action[k] : p->first[pose]);
            p->queue[count++] = (int16_t)next[k];
        }
    }
    return NO_WAY;
}

// Towards where a wanted cell is ahead, and there the action.
static int face(Plan* p, int action) {
    const int first = find_way(p, false);
    return first == HERE ? action : first;
}

static void want_none(Plan* p) { memset(p->wanted, 0, sizeof p->wanted); }
static void want_object(Plan* p, NxObject object) {
    want_none(p);
    p->wanted[cell_at(p, object.x, object.y)] = true;
}
static void want_kinds(Plan* p, unsigned kinds) {
    for (int c = 0; c < num_cells(p); c++) p->wanted[c] = nx_is(p->cells[c], kinds);
}
static void want_like(Plan* p, NxCell cell) {
    for (int c = 0; c < num_cells(p); c++) p->wanted[c] = p->cells[c] == cell;
}

// ---- script ----

// Puts down what is carried where what is wanted can still be faced.
static int put_down(Plan* p) {
    bool aims[NX_MAX_CELLS], fits[NX_MAX_CELLS] = {false};
    memcpy(aims, p->wanted, sizeof aims);
    for (int c = 0; c < num_cells(p); c++) {
        if (p->cells[c] != NX_CELL_EMPTY) continue;
        p->cells[c] = NX_CELL(NX_BOX, NX_GREY);
        fits[c] = find_way(p, false) != NO_WAY;
        p->cells[c] = NX_CELL_EMPTY;
    }
    memcpy(p->wanted, fits, sizeof fits);
    const int action = face(p, NX_DROP);
    memcpy(p->wanted, aims, sizeof aims);
    return action;
}

// Fetches the key of a locked door and opens it.
static int unlock(Plan* p) {
    const NxCell carried = p->grid->carrying;
    unsigned colours = 0;  // of locked doors
    for (int c = 0; c < num_cells(p); c++)
        if (nx_kind(p->cells[c]) == NX_DOOR_LOCKED) colours |= 1u << nx_colour(p->cells[c]);
    if (nx_kind(carried) == NX_KEY && colours >> nx_colour(carried) & 1) {
        want_like(p, NX_CELL(NX_DOOR_LOCKED, nx_colour(carried)));
        return face(p, NX_TOGGLE);
    }
    for (int c = 0; c < num_cells(p); c++)
        p->wanted[c] = nx_kind(p->cells[c]) == NX_KEY && colours >> nx_colour(p->cells[c]) & 1;
    const int action = face(p, NX_PICKUP);
    return action != NO_WAY && carried != NX_CELL_EMPTY ? put_down(p) : action;
}

// What the task asks for, as if no locked door and no object were in the way.
static int aim(Plan* p) {
    const NxEnv* g = p->grid;
    int action;
    switch (p->layout->spec.family) {
        case NX_FAMILY_GO_TO_DOOR:
        case NX_FAMILY_GO_TO_OBJECT: want_object(p, g->target); return face(p, NX_DONE);
        case NX_FAMILY_FETCH: want_like(p, g->target.cell); return face(p, NX_PICKUP);
        case NX_FAMILY_MEMORY: want_object(p, g->target); return find_way(p, true);
        case NX_FAMILY_RED_BLUE_DOORS:  // red, then blue
            want_object(
                p, nx_kind(p->cells[cell_at(p, g->aux.x, g->aux.y)]) == NX_DOOR_OPEN ? g->target : g->aux);
            return face(p, NX_TOGGLE);
        case NX_FAMILY_UNLOCK: return NO_WAY;  // the locked door is all there is
        case NX_FAMILY_UNLOCK_PICKUP:
        case NX_FAMILY_KEY_CORRIDOR:
            want_object(p, g->target);
            action = face(p, NX_PICKUP);
            return action != NO_WAY && g->carrying != NX_CELL_EMPTY ? put_down(p) : action;
        default: want_kinds(p, NX_BIT(NX_GOAL)); return find_way(p, true);
    }
}

static void grid_control(const UfEnv* env, const float* obs, float* action) {
    const GridEnv* e = (const GridEnv*)env;
    (void)obs;
    Plan p = {.layout = &e->layout, .grid = e->grid};
    memcpy(p.cells, nx_cells(e->grid), (size_t)num_cells(&p));
    int a = aim(&p);
    if (a == NO_WAY) a = unlock(&p);
    if (a == NO_WAY && e->grid->carrying == NX_CELL_EMPTY && e->layout.spec.family != NX_FAMILY_FETCH) {
        want_kinds(&p, NX_PORTABLE);  // something lies in the way
        a = face(&p, NX_PICKUP);
    }
    action[0] = (float)(a == NO_WAY ? NX_LEFT : a);  // a moving obstacle will make way
}

// ---- table ----

static const UfEnvOps scripted_ops = {.create = grid_create,
                                      .reset = grid_reset,
                                      .step = grid_step,
                                      .observe = grid_observe,
                                      .control = grid_control,
                                      .free = grid_free};
static const UfEnvOps plain_ops = {.create = grid_create,
                                   .reset = grid_reset,
                                   .step = grid_step,
                                   .observe = grid_observe,
                                   .free = grid_free};

// Objects that may be moved only once, that hide others, or no task at all.
#define HAS_SCRIPT(family)                                                            \
    ((family) != NX_FAMILY_PUT_NEAR && (family) != NX_FAMILY_BLOCKED_UNLOCK_PICKUP && \
     (family) != NX_FAMILY_OBSTRUCTED_MAZE && (family) != NX_FAMILY_PLAYGROUND)

// Where a wrong step ends the episode a few of them spoil it; elsewhere a few right ones are enough.
#define HAS_TRAPS(family)                                                                               \
    ((family) == NX_FAMILY_GO_TO_DOOR || (family) == NX_FAMILY_GO_TO_OBJECT ||                          \
     (family) == NX_FAMILY_FETCH || (family) == NX_FAMILY_LAVA_GAP || (family) == NX_FAMILY_CROSSING || \
     (family) == NX_FAMILY_DIST_SHIFT || (family) == NX_FAMILY_DYNAMIC_OBSTACLES ||                     \
     (family) == NX_FAMILY_MULTI_ROOM || (family) == NX_FAMILY_FOUR_ROOMS)

// A score is the return in percent: success brings at most 1, and what a random agent gets is near 0 but in small levels.
#define ROW(id, family_, w, h, steps, ...)                    \
    {.name = id,                                              \
     .alias = id,                                             \
     .obs_dim = OBS,                                          \
     .action_dim = NX_NUM_ACTIONS,                            \
     .discrete = true,                                        \
     .action_high = NX_NUM_ACTIONS - 1,                       \
     .max_steps = steps,                                      \
     .has_scores = true,                                      \
     .score_max = 1,                                          \
     .skill_power = HAS_TRAPS(NX_FAMILY_##family_) ? 1 : 2.5, \
     .ops = HAS_SCRIPT(NX_FAMILY_##family_) ? &scripted_ops : &plain_ops},
const UfEnvSpec uf_grid_env_specs[] = {
#include "core/grid/grid_table.def"
};
