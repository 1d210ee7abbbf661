// grid_table.c: one row an id, how its environments lie in memory, what their missions say.
#include "grid_table.h"

#include <stdio.h>  // snprintf
#include <string.h>

#include "../navix.h"
#include "grid_levels.h"

// ---- rows ----

#define ROW(id_, family_, w, h, steps, see, ...) \
    {.id = id_,                                  \
     .family = NX_FAMILY_##family_,              \
     .width = w,                                 \
     .height = h,                                \
     .max_steps = steps,                         \
     .see_through_walls = see,                   \
     __VA_ARGS__},
const NxSpec nx_specs[] = {
#include "grid_table.def"
};
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

static const char* const colour_names[NX_NUM_COLOURS] = {"red", "green", "blue", "purple", "yellow", "grey"};

// "blue key"
static void name_object(char name[32], NxCell cell) {
    const int kind = nx_kind(cell);
    const char* what = kind == NX_KEY ? "key" : kind == NX_BALL ? "ball" : kind == NX_BOX ? "box" : "door";
    snprintf(name, 32, "%s %s", colour_names[nx_colour(cell) % NX_NUM_COLOURS], what);
}

void nx_mission_text(const NxLayout* layout, const NxEnv* env, char text[128]) {
    static const char* const fetch[NX_NUM_FETCH_MISSIONS] = {"get a", "go get a", "fetch a", "go fetch a",
                                                             "you must fetch a"};
    const NxSpec* spec = &layout->spec;
    const char* fixed = "";
    char target[32], moved[32];
    name_object(target, env->target.cell);
    name_object(moved, env->aux.cell);
    NxFamily family = spec->family;
    if (layout->rules == NX_RULES_NAVIX && family == NX_FAMILY_KEY_CORRIDOR)
        family = NX_FAMILY_DOOR_KEY;  // a goal
    switch (family) {
        case NX_FAMILY_EMPTY:
        case NX_FAMILY_DIST_SHIFT:
        case NX_FAMILY_DYNAMIC_OBSTACLES: fixed = "get to the green goal square"; break;
        case NX_FAMILY_DOOR_KEY: fixed = "use the key to open the door and then get to the goal"; break;
        case NX_FAMILY_FOUR_ROOMS: fixed = "reach the goal"; break;
        case NX_FAMILY_LAVA_GAP: fixed = "avoid the lava and get to the green goal square"; break;
        case NX_FAMILY_CROSSING:
            fixed = spec->variant == NX_VARIANT_LAVA ? "avoid the lava and get to the green goal square"
                                                     : "find the opening and get to the green goal square";
            break;
        case NX_FAMILY_UNLOCK: fixed = "open the door"; break;
        case NX_FAMILY_MEMORY: fixed = "go to the matching object at the end of the hallway"; break;
        case NX_FAMILY_MULTI_ROOM: fixed = "traverse the rooms to get to the goal"; break;
        case NX_FAMILY_RED_BLUE_DOORS: fixed = "open the red door then the blue door"; break;
        case NX_FAMILY_GO_TO_DOOR:
        case NX_FAMILY_GO_TO_OBJECT: snprintf(text, 128, "go to the %s", target); return;
        case NX_FAMILY_FETCH:
            snprintf(text, 128, "%s %s", fetch[env->mission % NX_NUM_FETCH_MISSIONS], target);
            return;
        case NX_FAMILY_PUT_NEAR: snprintf(text, 128, "put the %s near the %s", moved, target); return;
        case NX_FAMILY_KEY_CORRIDOR:
        case NX_FAMILY_UNLOCK_PICKUP:
        case NX_FAMILY_BLOCKED_UNLOCK_PICKUP:
        case NX_FAMILY_OBSTRUCTED_MAZE: snprintf(text, 128, "pick up the %s", target); return;
        case NX_FAMILY_LOCKED_ROOM: {
            const char* key = colour_names[env->mission % 8 % NX_NUM_COLOURS];
            snprintf(text, 128, "get the %s key from the %s room, unlock the %s door and go to the goal", key,
                     colour_names[env->mission / 8 % NX_NUM_COLOURS], key);
            return;
        }
        case NX_FAMILY_SANDBOX: fixed = "sandbox"; break;
        case NX_FAMILY_PLAYGROUND:
        case NX_NUM_FAMILIES: break;
    }
    snprintf(text, 128, "%s", fixed);
}

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
