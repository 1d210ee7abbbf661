// grid_mission.h: what missions say, as MiniGrid words them; compiled by C11 and CUDA.
#ifndef NX_GRID_MISSION_H
#define NX_GRID_MISSION_H

#include "navix.h"  // NX_RULES_NAVIX
#include "core/grid/grid.h"

enum { NX_MISSION_BYTES = 128, NX_NUM_FETCH_MISSIONS = 5 };

static inline UF_HD const char* nx_colour_name(int colour) {
    switch (colour) {
        case NX_RED: return "red";
        case NX_GREEN: return "green";
        case NX_BLUE: return "blue";
        case NX_PURPLE: return "purple";
        case NX_YELLOW: return "yellow";
        default: return "grey";
    }
}

static inline UF_HD const char* nx_fetch_words(int mission) {
    switch (mission) {
        case 0: return "get a ";
        case 1: return "go get a ";
        case 2: return "fetch a ";
        case 3: return "go fetch a ";
        default: return "you must fetch a ";
    }
}

// Both write behind text[length], a final 0 too, and return the new length. The longest mission has 78 letters.
static inline UF_HD int nx_add_words(char* text, int length, const char* words) {
    for (; *words && length < NX_MISSION_BYTES - 1; words++) text[length++] = *words;
    text[length] = 0;
    return length;
}
// "blue key"
static inline UF_HD int nx_add_object(char* text, int length, NxCell cell) {
    const int kind = nx_kind(cell);
    length = nx_add_words(text, length, nx_colour_name(nx_colour(cell) % NX_NUM_COLOURS));
    return nx_add_words(text, length,
                        kind == NX_KEY    ? " key"
                        : kind == NX_BALL ? " ball"
                        : kind == NX_BOX  ? " box"
                                          : " door");
}

// Empty where a family has none.
static inline UF_HD void nx_mission_text(const NxLayout* layout, const NxEnv* env,
                                         char text[NX_MISSION_BYTES]) {
    const NxSpec* spec = &layout->spec;
    int length = 0;
    NxFamily family = spec->family;
    if (layout->rules == NX_RULES_NAVIX && family == NX_FAMILY_KEY_CORRIDOR)
        family = NX_FAMILY_DOOR_KEY;  // a goal
    const char* words = "";
    switch (family) {
        case NX_FAMILY_EMPTY:
        case NX_FAMILY_DIST_SHIFT:
        case NX_FAMILY_DYNAMIC_OBSTACLES: words = "get to the green goal square"; break;
        case NX_FAMILY_DOOR_KEY: words = "use the key to open the door and then get to the goal"; break;
        case NX_FAMILY_FOUR_ROOMS: words = "reach the goal"; break;
        case NX_FAMILY_LAVA_GAP: words = "avoid the lava and get to the green goal square"; break;
        case NX_FAMILY_CROSSING:
            words = spec->variant == NX_VARIANT_LAVA ? "avoid the lava and get to the green goal square"
                                                     : "find the opening and get to the green goal square";
            break;
        case NX_FAMILY_UNLOCK: words = "open the door"; break;
        case NX_FAMILY_MEMORY: words = "go to the matching object at the end of the hallway"; break;
        case NX_FAMILY_MULTI_ROOM: words = "traverse the rooms to get to the goal"; break;
        case NX_FAMILY_RED_BLUE_DOORS: words = "open the red door then the blue door"; break;
        case NX_FAMILY_GO_TO_DOOR:
        case NX_FAMILY_GO_TO_OBJECT: words = "go to the "; break;
        case NX_FAMILY_FETCH: words = nx_fetch_words(env->mission % NX_NUM_FETCH_MISSIONS); break;
        case NX_FAMILY_PUT_NEAR: words = "put the "; break;
        case NX_FAMILY_KEY_CORRIDOR:
        case NX_FAMILY_UNLOCK_PICKUP:
        case NX_FAMILY_BLOCKED_UNLOCK_PICKUP:
        case NX_FAMILY_OBSTRUCTED_MAZE: words = "pick up the "; break;
        case NX_FAMILY_LOCKED_ROOM: words = "get the "; break;
        case NX_FAMILY_SANDBOX: words = "sandbox"; break;
        case NX_FAMILY_PLAYGROUND:
        case NX_NUM_FAMILIES: break;
    }
    length = nx_add_words(text, length, words);
    switch (family) {
        case NX_FAMILY_PUT_NEAR:
            length = nx_add_object(text, length, env->aux.cell);
            length = nx_add_words(text, length, " near the ");
            nx_add_object(text, length, env->target.cell);
            return;
        case NX_FAMILY_LOCKED_ROOM: {
            const char* key = nx_colour_name(env->mission % 8 % NX_NUM_COLOURS);
            length = nx_add_words(text, length, key);
            length = nx_add_words(text, length, " key from the ");
            length = nx_add_words(text, length, nx_colour_name(env->mission / 8 % NX_NUM_COLOURS));
            length = nx_add_words(text, length, " room, unlock the ");
            length = nx_add_words(text, length, key);
            nx_add_words(text, length, " door and go to the goal");
            return;
        }
        case NX_FAMILY_GO_TO_DOOR:
        case NX_FAMILY_GO_TO_OBJECT:
        case NX_FAMILY_FETCH:
        case NX_FAMILY_KEY_CORRIDOR:
        case NX_FAMILY_UNLOCK_PICKUP:
        case NX_FAMILY_BLOCKED_UNLOCK_PICKUP:
        case NX_FAMILY_OBSTRUCTED_MAZE: nx_add_object(text, length, env->target.cell); return;
        default: return;
    }
}

#endif
