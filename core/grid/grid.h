// grid.h: a gridworld's state and its cells, shared by rules (grid_step.h), levels (grid_levels.h), views and
// pictures; compiled by C11 and CUDA.
//
// One environment is a block of env_bytes bytes, a multiple of 64: an NxEnv, then the cells row by row (y * W + x),
// then, where boxes may hold things, their contents cell by cell.
#ifndef NX_GRID_H
#define NX_GRID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/philox.h"  // UF_HD

// ---- cells ----

// A cell is one byte: kind in bits 0-3, colour in bits 4-6. A door's state is part of its kind, so that one byte is
// all there is to see and tables of 128 entries turn cells into triples. Bit 7 is 0.
enum {
    NX_UNSEEN,
    NX_EMPTY,
    NX_WALL,
    NX_FLOOR,
    NX_DOOR_OPEN,
    NX_DOOR_CLOSED,
    NX_DOOR_LOCKED,
    NX_KEY,
    NX_BALL,
    NX_BOX,
    NX_GOAL,
    NX_LAVA,
    NX_NUM_KINDS
};
enum { NX_RED, NX_GREEN, NX_BLUE, NX_PURPLE, NX_YELLOW, NX_GREY, NX_NUM_COLOURS };
enum { NX_TYPE_AGENT = 10, NX_NUM_TYPES = 11 };

typedef uint8_t NxCell;

#define NX_CELL(kind, colour) ((NxCell)((kind) | (colour) << 4))
#define NX_CELL_EMPTY NX_CELL(NX_EMPTY, NX_RED)
#define NX_CELL_WALL NX_CELL(NX_WALL, NX_GREY)
#define NX_CELL_GOAL NX_CELL(NX_GOAL, NX_GREEN)
#define NX_CELL_LAVA NX_CELL(NX_LAVA, NX_RED)

static inline UF_HD int nx_kind(NxCell cell) { return cell & 15; }
static inline UF_HD int nx_colour(NxCell cell) { return cell >> 4 & 7; }

// Sets of kinds, as bits.
#define NX_BIT(kind) (1u << (kind))
#define NX_WALKABLE \
    (NX_BIT(NX_EMPTY) | NX_BIT(NX_FLOOR) | NX_BIT(NX_GOAL) | NX_BIT(NX_LAVA) | NX_BIT(NX_DOOR_OPEN))
#define NX_PORTABLE (NX_BIT(NX_KEY) | NX_BIT(NX_BALL) | NX_BIT(NX_BOX))
#define NX_OPAQUE (NX_BIT(NX_WALL) | NX_BIT(NX_DOOR_CLOSED) | NX_BIT(NX_DOOR_LOCKED))
static inline UF_HD bool nx_is(NxCell cell, unsigned kinds) { return kinds >> nx_kind(cell) & 1; }

// MiniGrid's type and state of a cell; the colour is nx_colour.
static inline UF_HD int nx_type(NxCell cell) {
    // unseen 0, empty 1, wall 2, floor 3, doors 4, key 5, ball 6, box 7, goal 8, lava 9: a nibble each
    return (int)(0x987654443210ull >> 4 * nx_kind(cell) & 15);
}
static inline UF_HD int nx_door_state(NxCell cell) {
    int kind = nx_kind(cell);
    return kind == NX_DOOR_CLOSED ? 1 : kind == NX_DOOR_LOCKED ? 2 : 0;
}

// The cell that MiniGrid encodes as type, colour, state.   False: there is none such.
static inline UF_HD bool nx_cell_of(const uint8_t triple[3], NxCell* cell) {
    const int type = triple[0], colour = triple[1], state = triple[2];
    if (type >= NX_TYPE_AGENT || colour >= NX_NUM_COLOURS) return false;
    // where doors begin there are three kinds of one type
    const int kind = type < 4 ? type : type == 4 ? NX_DOOR_OPEN + state : type + 2;
    *cell = NX_CELL(kind, colour);
    return type == 4 ? state < 3 : state == 0;
}

// ---- one id ----

typedef enum NxFamily {
    NX_FAMILY_EMPTY,
    NX_FAMILY_DOOR_KEY,
    NX_FAMILY_FOUR_ROOMS,
    NX_FAMILY_LAVA_GAP,
    NX_FAMILY_CROSSING,
    NX_FAMILY_DIST_SHIFT,
    NX_FAMILY_DYNAMIC_OBSTACLES,
    NX_FAMILY_GO_TO_DOOR,
    NX_FAMILY_GO_TO_OBJECT,
    NX_FAMILY_FETCH,
    NX_FAMILY_PUT_NEAR,
    NX_FAMILY_KEY_CORRIDOR,
    NX_FAMILY_UNLOCK,
    NX_FAMILY_UNLOCK_PICKUP,
    NX_FAMILY_BLOCKED_UNLOCK_PICKUP,
    NX_FAMILY_OBSTRUCTED_MAZE,
    NX_FAMILY_LOCKED_ROOM,
    NX_FAMILY_MEMORY,
    NX_FAMILY_MULTI_ROOM,
    NX_FAMILY_RED_BLUE_DOORS,
    NX_FAMILY_PLAYGROUND,
    NX_FAMILY_SANDBOX,  // no level of its own and no task: states that are set
    NX_NUM_FAMILIES
} NxFamily;

// One row an id (grid_table.c). "Navix-" ids are rows of their own.
typedef struct NxSpec {
    const char* id;  // "MiniGrid-DoorKey-8x8-v0"
    NxFamily family;
    int width, height;
    int max_steps;  // the id's default
    bool see_through_walls;
    bool navix;         // NAVIX's rules and levels by default
    bool random_start;  // Empty, Dynamic-Obstacles, DoorKey under NAVIX's rules
    int size;           // the family's: room size
    int count;          // crossings, obstacles, objects, rooms, rows of rooms
    int variant;        // the family's: NX_VARIANT_* below
} NxSpec;

// NxSpec.variant, where a family has more than one.
enum {
    NX_VARIANT_WALL = NX_WALL,  // Crossing: what the rivers are of, a kind
    NX_VARIANT_LAVA = NX_LAVA,
    NX_VARIANT_RANDOM_LENGTH = 1,  // Memory: of the hallway
    NX_VARIANT_BOXES = 1,          // ObstructedMaze: keys are in boxes
    NX_VARIANT_BLOCKED = 2,        // a ball in front of each locked door
    NX_VARIANT_KEYS_LAST = 4,   // v1: keys after all of a room's doors, so that no ball takes a key's place
    NX_VARIANT_FROM_CENTRE = 8  // the agent begins in the middle room
};                              // DistShift: the row of the second strip

extern const NxSpec nx_specs[];
extern const int nx_num_specs;

// ---- one environment ----

#define NX_MAX_OBSTACLES 8
#define NX_MAX_CELLS 1024

enum { NX_NOWHERE = 255 };
typedef struct NxObject {  // where something was at the start, and what
    uint8_t x, y;          // NX_NOWHERE: no place
    NxCell cell;           // NX_UNSEEN: only a place
} NxObject;

// What NAVIX's rules keep besides, see grid_navix.h. All 0: nothing.
typedef struct NxNavix {
    uint8_t events;              // since the episode's start
    NxCell pocket;               // the key that opens doors
    NxCell pile;                 // the key that was picked up last, while it lies nowhere
    NxCell hidden;               // a second thing in a cell, which the cell's own covers
    uint8_t hidden_x, hidden_y;  // where
} NxNavix;

// 64 bytes: a cache line.
typedef struct NxEnv {
    uint64_t random;  // of nx_random: all the environment's randomness
    int32_t step_count, max_steps;
    float episode_return;
    uint8_t x, y, direction;
    NxCell carrying;           // NX_CELL_EMPTY: nothing
    NxCell carrying_contents;  // of a carried box
    uint8_t ended;             // the last step was the episode's last
    uint8_t mission;  // Fetch: which wording; LockedRoom: the key's colour + 8 * the colour of its room
    NxObject target, aux;
    uint8_t num_obstacles;
    uint8_t obstacle_x[NX_MAX_OBSTACLES], obstacle_y[NX_MAX_OBSTACLES];
    NxNavix navix;
    uint8_t spare[8];
} NxEnv;

// What all environments of a batch share: known to the CPU and the GPU alike.
typedef struct NxLayout {
    NxSpec spec;  // with max_steps and see_through_walls as the options have them
    int rules, observation, autoreset, reward;  // of navix.h, resolved
    int view, tile_size, num_actions;
    float penalty_coef;
    uint32_t contents_offset;  // bytes from the block's begin; 0: no boxes that hold things
    uint32_t env_bytes;
    // What all levels of the id have in common, cell by cell in whole 64 bytes: nx_draw_base (grid_levels.h) makes it
    // from spec, once.
    uint64_t base[NX_MAX_CELLS / 8];
} NxLayout;

static inline UF_HD NxCell* nx_cells(NxEnv* env) { return (NxCell*)(env + 1); }
static inline UF_HD NxCell* nx_contents(const NxLayout* layout, NxEnv* env) {
    return layout->contents_offset ? (NxCell*)env + layout->contents_offset : (NxCell*)0;
}

// ---- chance ----

// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): eight bytes of state, a handful of instructions, the same on every
// machine. An environment's stream begins at a mix of (seed, index).
static inline UF_HD uint64_t nx_mix(uint64_t z) {
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    return z ^ z >> 31;
}
static inline UF_HD uint64_t nx_random_begin(uint64_t seed, uint64_t index) {
    return nx_mix(nx_mix(seed + 0x9E3779B97F4A7C15ull) ^
                  (index * 0xD1B54A32D192ED03ull + 0x8CB92BA72F3D8DD7ull));
}
static inline UF_HD uint32_t nx_random(NxEnv* env) {
    env->random += 0x9E3779B97F4A7C15ull;
    return (uint32_t)(nx_mix(env->random) >> 32);
}
// Uniform in low..high, both included; the bias of the multiplication is below (high - low + 1) / 2^32.
static inline UF_HD int nx_between(NxEnv* env, int low, int high) {
    return low + (int)((uint64_t)nx_random(env) * (uint32_t)(high - low + 1) >> 32);
}

// One draw makes several numbers: with *fraction = nx_random(env), takes a uniform 0..count-1 off it. The bias is
// below the product of all counts / 2^32.
static inline UF_HD int nx_take(uint32_t* fraction, int count) {
    uint64_t product = (uint64_t)*fraction * (uint32_t)count;
    *fraction = (uint32_t)product;
    return (int)(product >> 32);
}

// ---- geometry ----

static inline UF_HD int nx_dx(int direction) { return (direction == 0) - (direction == 2); }
static inline UF_HD int nx_dy(int direction) { return (direction == 1) - (direction == 3); }

#endif
