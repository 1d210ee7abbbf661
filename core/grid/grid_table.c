// grid_table.c: one row an id, how its environments lie in memory, what their missions say.
#include "core/grid/grid_table.h"

#include <stdio.h>  // snprintf
#include <string.h>

#include "navix.h"
#include "core/grid/grid_levels.h"

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
#include "core/grid/grid_table.def"
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
