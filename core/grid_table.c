// grid_table.c: one row an id, how its environments lie in memory, what their missions say.
// Sources: MiniGrid 3.2.0 `register_minigrid_envs` and the defaults of its classes; NAVIX 0.11.0 `register_env`.
#include "grid_table.h"

#include <stdio.h>  // snprintf
#include <string.h>

#include "../navix.h"
#include "grid_levels.h"

// ---- rows ----

// id, family, width, height, max_steps, see through walls; the rest by name.
#define ROW(id_, family_, w, h, steps, see, ...) \
    {.id = id_,                                  \
     .family = NX_FAMILY_##family_,              \
     .width = w,                                 \
     .height = h,                                \
     .max_steps = steps,                         \
     .see_through_walls = see,                   \
     __VA_ARGS__},
// A square level of MiniGrid's; one that NAVIX has too, with MiniGrid's rules under "MiniGrid-" and its own under
// "Navix-", where 100 steps are the default of every id.
#define MINIGRID(name, family, s, steps, see, ...) \
    ROW("MiniGrid-" name "-v0", family, s, s, steps, see, __VA_ARGS__)
#define NAVIX(name, family, w, h, see, ...) \
    ROW("Navix-" name "-v0", family, w, h, 100, see, .navix = true, __VA_ARGS__)
#define BOTH(name, family, w, h, steps, see, ...)                      \
    ROW("MiniGrid-" name "-v0", family, w, h, steps, see, __VA_ARGS__) \
    NAVIX(name, family, w, h, see, __VA_ARGS__)

#define EMPTY(s) BOTH("Empty-" #s "x" #s, EMPTY, s, s, 4 * s * s, true, .size = s)
#define EMPTY_RANDOM(s) \
    BOTH("Empty-Random-" #s "x" #s, EMPTY, s, s, 4 * s * s, true, .size = s, .random_start = true)
// MiniGrid's only DoorKey begins anywhere: its twin of NAVIX's Random ids is the plain one.
#define DOOR_KEY(s)                                                          \
    BOTH("DoorKey-" #s "x" #s, DOOR_KEY, s, s, 10 * s * s, false, .size = s) \
    NAVIX("DoorKey-Random-" #s "x" #s, DOOR_KEY, s, s, false, .size = s, .random_start = true)
#define FOUR_ROOMS(s) BOTH("FourRooms-" #s "x" #s, FOUR_ROOMS, s, s, 100, false, .size = s)
#define KEY_CORRIDOR(s, r)                                                                            \
    BOTH("KeyCorridorS" #s "R" #r, KEY_CORRIDOR, 3 * (s - 1) + 1, r * (s - 1) + 1, 30 * s * s, false, \
         .size = s, .count = r)
#define LAVA_GAP(s) BOTH("LavaGapS" #s, LAVA_GAP, s, s, 4 * s * s, false, .size = s)
#define CROSSING(s, n)                                                                         \
    BOTH("SimpleCrossingS" #s "N" #n, CROSSING, s, s, 4 * s * s, false, .size = s, .count = n, \
         .variant = NX_VARIANT_WALL)                                                           \
    MINIGRID("LavaCrossingS" #s "N" #n, CROSSING, s, 4 * s * s, false, .size = s, .count = n,  \
             .variant = NX_VARIANT_LAVA)
#define OBSTACLES(s, n) \
    BOTH("Dynamic-Obstacles-" #s "x" #s, DYNAMIC_OBSTACLES, s, s, 4 * s * s, true, .size = s, .count = n)
#define OBSTACLES_RANDOM(s, n)                                                                            \
    MINIGRID("Dynamic-Obstacles-Random-" #s "x" #s, DYNAMIC_OBSTACLES, s, 4 * s * s, true, .size = s,     \
             .count = n, .random_start = true)                                                            \
    NAVIX("Dynamic-Obstacles-" #s "x" #s "-Random", DYNAMIC_OBSTACLES, s, s, true, .size = s, .count = n, \
          .random_start = true)
#define DIST_SHIFT(n, row) BOTH("DistShift" #n, DIST_SHIFT, 9, 7, 252, true, .variant = row)
#define GO_TO_DOOR(s) BOTH("GoToDoor-" #s "x" #s, GO_TO_DOOR, s, s, 4 * s * s, true, .size = s)

#define FETCH(s, n) MINIGRID("Fetch-" #s "x" #s "-N" #n, FETCH, s, 5 * s * s, true, .size = s, .count = n)
#define GO_TO_OBJECT(s, n) \
    MINIGRID("GoToObject-" #s "x" #s "-N" #n, GO_TO_OBJECT, s, 5 * s * s, true, .size = s, .count = n)
#define PUT_NEAR(s, n) MINIGRID("PutNear-" #s "x" #s "-N" #n, PUT_NEAR, s, 5 * s, true, .size = s, .count = n)
#define MEMORY(s) MINIGRID("MemoryS" #s, MEMORY, s, 5 * s * s, false, .size = s)
#define MEMORY_RANDOM(s)                                                    \
    MINIGRID("MemoryS" #s "Random", MEMORY, s, 5 * s * s, false, .size = s, \
             .variant = NX_VARIANT_RANDOM_LENGTH)
#define MULTI_ROOM(name, n, s) \
    ROW("MiniGrid-MultiRoom-" name, MULTI_ROOM, 25, 25, 20 * n, false, .size = s, .count = n)
#define RED_BLUE_DOORS(s) \
    ROW("MiniGrid-RedBlueDoors-" #s "x" #s "-v0", RED_BLUE_DOORS, 2 * s, s, 20 * s * s, false, .size = s)
// Two rooms of 6 by 6.
#define TWO_ROOMS(name, family, steps, ...) \
    ROW("MiniGrid-" name "-v0", family, 11, 6, steps, false, .size = 6, __VA_ARGS__)
// Nine of them, a number of sides with locked doors, 144 steps for each room that a solution enters.
#define MAZE(name, sides, visits, ...)                                                            \
    ROW("MiniGrid-ObstructedMaze-" name, OBSTRUCTED_MAZE, 16, 16, 144 * visits, false, .size = 6, \
        .count = sides, .variant = __VA_ARGS__)

// clang-format off
const NxSpec nx_specs[] = {
    EMPTY(5) EMPTY(6) EMPTY(8) EMPTY(16)
    EMPTY_RANDOM(5) EMPTY_RANDOM(6) EMPTY_RANDOM(8) EMPTY_RANDOM(16)
    DOOR_KEY(5) DOOR_KEY(6) DOOR_KEY(8) DOOR_KEY(16)
    BOTH("FourRooms", FOUR_ROOMS, 19, 19, 100, false, .size = 19)
    FOUR_ROOMS(7) FOUR_ROOMS(9) FOUR_ROOMS(11) FOUR_ROOMS(13) FOUR_ROOMS(15) FOUR_ROOMS(17)
    LAVA_GAP(5) LAVA_GAP(6) LAVA_GAP(7)
    CROSSING(9, 1) CROSSING(9, 2) CROSSING(9, 3) CROSSING(11, 5)
    DIST_SHIFT(1, 2) DIST_SHIFT(2, 5)
    OBSTACLES(5, 2) OBSTACLES(6, 3) OBSTACLES(8, 4) OBSTACLES(16, 8) OBSTACLES_RANDOM(5, 2) OBSTACLES_RANDOM(6, 3)
    GO_TO_DOOR(5) GO_TO_DOOR(6) GO_TO_DOOR(8)
    GO_TO_OBJECT(6, 2) GO_TO_OBJECT(8, 2)
    FETCH(5, 2) FETCH(6, 2) FETCH(8, 3)
    PUT_NEAR(6, 2) PUT_NEAR(8, 3)
    KEY_CORRIDOR(3, 1) KEY_CORRIDOR(3, 2) KEY_CORRIDOR(3, 3) KEY_CORRIDOR(4, 3) KEY_CORRIDOR(5, 3) KEY_CORRIDOR(6, 3)
    TWO_ROOMS("Unlock", UNLOCK, 288) TWO_ROOMS("UnlockPickup", UNLOCK_PICKUP, 288)
    TWO_ROOMS("BlockedUnlockPickup", BLOCKED_UNLOCK_PICKUP, 576)
    TWO_ROOMS("ObstructedMaze-1Dl", OBSTRUCTED_MAZE, 288)
    TWO_ROOMS("ObstructedMaze-1Dlh", OBSTRUCTED_MAZE, 288, .variant = NX_VARIANT_BOXES)
    TWO_ROOMS("ObstructedMaze-1Dlhb", OBSTRUCTED_MAZE, 288, .variant = NX_VARIANT_BOXES | NX_VARIANT_BLOCKED)
    MAZE("2Dl-v0", 1, 4, 0)
    MAZE("2Dlh-v0", 1, 4, NX_VARIANT_BOXES)
    MAZE("2Dlhb-v0", 1, 4, NX_VARIANT_BOXES | NX_VARIANT_BLOCKED)
    MAZE("2Dlhb-v1", 1, 4, NX_VARIANT_BOXES | NX_VARIANT_BLOCKED | NX_VARIANT_KEYS_LAST)
    MAZE("1Q-v0", 1, 5, NX_VARIANT_BOXES | NX_VARIANT_BLOCKED | NX_VARIANT_FROM_CENTRE)
    MAZE("1Q-v1", 1, 5, NX_VARIANT_BOXES | NX_VARIANT_BLOCKED | NX_VARIANT_FROM_CENTRE | NX_VARIANT_KEYS_LAST)
    MAZE("2Q-v0", 2, 11, NX_VARIANT_BOXES | NX_VARIANT_BLOCKED)
    MAZE("2Q-v1", 2, 11, NX_VARIANT_BOXES | NX_VARIANT_BLOCKED | NX_VARIANT_KEYS_LAST)
    MAZE("Full-v0", 4, 25, NX_VARIANT_BOXES | NX_VARIANT_BLOCKED | NX_VARIANT_FROM_CENTRE)
    MAZE("Full-v1", 4, 25, NX_VARIANT_BOXES | NX_VARIANT_BLOCKED | NX_VARIANT_FROM_CENTRE | NX_VARIANT_KEYS_LAST)
    ROW("MiniGrid-LockedRoom-v0", LOCKED_ROOM, 19, 19, 190, false, .size = 19)
    MEMORY(7) MEMORY(9) MEMORY(11) MEMORY(13) MEMORY_RANDOM(13) MEMORY_RANDOM(17)
    MULTI_ROOM("N2-S4-v0", 2, 4)
    MULTI_ROOM("N4-S5-v0", 6, 5)  // six rooms, as MiniGrid registers it
    MULTI_ROOM("N4-S5-v1", 4, 5)
    MULTI_ROOM("N6-v0", 6, 10)
    RED_BLUE_DOORS(6) RED_BLUE_DOORS(8)
    ROW("MiniGrid-Playground-v0", PLAYGROUND, 19, 19, 100, false, .size = 19)
};
// clang-format on
const int nx_num_specs = sizeof nx_specs / sizeof nx_specs[0];

// ---- lookup ----

UfStatus nx_find_spec(const NxSpec** out, const char* id) {
    *out = NULL;
    const char* names[sizeof nx_specs / sizeof nx_specs[0] + 1];
    for (int i = 0; i < nx_num_specs; i++) {
        if (strcmp(nx_specs[i].id, id) == 0) {
            *out = &nx_specs[i];
            return UF_OK;
        }
        names[i] = nx_specs[i].id;
    }
    // The three nearest, each taken out before the next is looked for. The prefix may be all that is missing.
    char near[256] = "", full[96];
    snprintf(full, sizeof full, "MiniGrid-%s", id);
    int count = nx_num_specs;
    for (int k = 0; k < 3; k++) {
        names[count] = NULL;
        const char* name = uf_nearest_name(id, names);
        if (name == NULL) name = uf_nearest_name(full, names);
        if (name == NULL) break;
        strcat(strcat(near, k ? "', '" : "; did you mean '"), name);
        for (int i = 0; i < count; i++)
            if (names[i] == name) names[i] = names[--count];
    }
    return UF_FAIL(UF_ERR_ARGUMENT, "unknown gridworld '%.80s'%s%s; `unifloral envs` lists them all", id,
                   near, near[0] ? "'?" : "");
}

bool nx_is_grid(const char* name) {
    return strncmp(name, "MiniGrid-", 9) == 0 || strncmp(name, "Navix-", 6) == 0 ||
           strncmp(name, "Sandbox-", 8) == 0;
}

// ---- layout ----

void nx_lay_out(NxLayout* layout, const NxSpec* spec, bool with_contents) {
    const uint32_t cells = (uint32_t)(spec->width * spec->height + 63) / 64 * 64;
    if (spec->family == NX_FAMILY_OBSTRUCTED_MAZE && spec->variant & NX_VARIANT_BOXES) with_contents = true;
    *layout = (NxLayout){.spec = *spec,
                         .rules = NX_RULES_MINIGRID,
                         .observation = NX_OBS_FIRST_PERSON,
                         .autoreset = NX_NEXT_STEP,
                         .view = 7,
                         .tile_size = 32,
                         .num_actions = NX_NUM_ACTIONS};
    layout->env_bytes = (uint32_t)sizeof(NxEnv) + cells;
    if (with_contents) {
        layout->contents_offset = layout->env_bytes;
        layout->env_bytes += cells;
    }
    nx_draw_base(layout);
}

// ---- missions ----

void nx_recall_mission(const NxLayout* layout, NxEnv* env) {
    const int width = layout->spec.width, height = layout->spec.height, pitch = height / 3;
    const NxCell* cells = nx_cells(env);
    if (layout->spec.family != NX_FAMILY_LOCKED_ROOM) return;
    for (int i = 0; i < width * height; i++) {
        if (nx_kind(cells[i]) != NX_KEY) continue;
        const int x = i % width, y = i / width, door_x = x < width / 2 ? width / 2 - 2 : width / 2 + 2;
        const NxCell door = cells[((y - 1) / pitch * pitch + 3) * width + door_x];
        const bool in_room = x < width / 2 - 2 || x > width / 2 + 2;
        if (in_room) env->mission = (uint8_t)(nx_colour(cells[i]) + 8 * nx_colour(door));
    }
}
