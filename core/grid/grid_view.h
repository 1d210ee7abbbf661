// grid_view.h: what an agent sees and what observations are made of, by MiniGrid's rules; inline for C11 and CUDA.
// This version is the specification. What the CPU does faster with vector instructions is in grid_view.c.
//
// A view of size V has rows 0 (farthest) to V - 1 (the agent's) and the agent in the middle column.
// Source: MiniGrid 3.2.0, minigrid_env.py `gen_obs_grid`, core/grid.py `process_vis`, wrappers.py.
#ifndef NX_GRID_VIEW_H
#define NX_GRID_VIEW_H

#include "core/grid/grid.h"
#include "core/grid/grid_step.h"  // nx_inside

enum { NX_MAX_VIEW = 63 };  // a row's bits and a carry fit a word
enum { NX_FLAT_LETTERS = 96, NX_FLAT_ALPHABET = 28, NX_FLAT_BYTES = NX_FLAT_LETTERS * NX_FLAT_ALPHABET };
enum { NX_ONE_HOT = NX_NUM_TYPES + NX_NUM_COLOURS + 3 };

// ---- the view ----

// Where row r, column c of the agent's view is on the map, or off it.
static inline UF_HD void nx_view_place(const NxLayout* layout, const NxEnv* env, int r, int c, int* x,
                                       int* y) {
    const int dx = nx_dx(env->direction), dy = nx_dy(env->direction);
    const int forward = layout->view - 1 - r, side = c - layout->view / 2;
    *x = env->x + forward * dx - side * dy;
    *y = env->y + forward * dy + side * dx;
}

// What is there; off the map are walls.
static inline UF_HD NxCell nx_view_cell(const NxLayout* layout, const NxEnv* env, int r, int c) {
    int x, y;
    nx_view_place(layout, env, r, c, &x, &y);
    return nx_inside(layout, x, y) ? ((const NxCell*)(env + 1))[y * layout->spec.width + x] : NX_CELL_WALL;
}

// The part of each run of ones in `clear` that has a bit of `reached` in it, and all of that run.
static inline UF_HD uint64_t nx_fill_runs(uint64_t clear, uint64_t reached, int bits) {
    uint64_t fill = clear & reached;
    fill = (((fill + clear) ^ clear) | fill) & clear;  // upwards: a carry runs to the end of the run
    for (int step = 1; step < bits; step *= 2) {       // downwards, in steps of 1, 2, 4, ...
        fill |= clear & fill >> step;
        clear &= clear >> step;
    }
    return fill;
}

// Row r of the view as cells, NX_UNSEEN where hidden; the agent's cell shows what it carries, never what it stands on.
// `reached` has a bit for each column that light comes into from the row behind; returns those of the row ahead.
// MiniGrid marks along a row to the right and back; a marked cell that is not opaque marks its neighbour and those
// two ahead. Both ways together reach all of each run of clear cells that is reached anywhere, and the cells at its
// ends, and mark ahead what lies ahead of these.
static inline UF_HD uint64_t nx_view_row(const NxLayout* layout, const NxEnv* env, int r, uint64_t reached,
                                         NxCell* row) {
    const int size = layout->view;
    const uint64_t all = ((uint64_t)1 << size) - 1;
    uint64_t clear = 0;
    for (int c = 0; c < size; c++) {
        row[c] = nx_view_cell(layout, env, r, c);
        clear |= (uint64_t)!nx_is(row[c], NX_OPAQUE) << c;
    }
    const uint64_t fill = nx_fill_runs(clear, reached, size);
    const uint64_t ahead = (fill | fill << 1 | fill >> 1) & all;
    const uint64_t seen = layout->spec.see_through_walls ? all : reached | ahead;
    for (int c = 0; c < size; c++)
        if (!(seen >> c & 1)) row[c] = NX_UNSEEN;
    if (r == size - 1) row[size / 2] = env->carrying;
    return ahead;
}
static inline UF_HD uint64_t nx_view_begin(const NxLayout* layout) { return (uint64_t)1 << layout->view / 2; }

// All of it: (V, V).
static inline UF_HD void nx_view(const NxLayout* layout, const NxEnv* env, NxCell* view) {
    uint64_t reached = nx_view_begin(layout);
    for (int r = layout->view - 1; r >= 0; r--)
        reached = nx_view_row(layout, env, r, reached, view + r * layout->view);
}

// ---- observations: one environment's, to `out` ----

static inline UF_HD void nx_put_triple(NxCell cell, uint8_t out[3]) {
    out[0] = (uint8_t)nx_type(cell);
    out[1] = (uint8_t)nx_colour(cell);
    out[2] = (uint8_t)nx_door_state(cell);
}

// The same three bytes in a word, the type lowest; and a cell as 20 bits, of which a one-hot observation makes bytes.
static inline UF_HD uint32_t nx_triple(NxCell cell) {
    return (uint32_t)(nx_type(cell) | nx_colour(cell) << 8 | nx_door_state(cell) << 16);
}
static inline UF_HD uint32_t nx_one_hot(NxCell cell) {
    if (nx_kind(cell) >= NX_NUM_KINDS || nx_colour(cell) >= NX_NUM_COLOURS) return 0;  // there is no such cell
    return 1u << nx_type(cell) | 1u << (NX_NUM_TYPES + nx_colour(cell)) |
           1u << (NX_NUM_TYPES + NX_NUM_COLOURS + nx_door_state(cell));
}

static inline UF_HD void nx_observe_first_person(const NxLayout* layout, const NxEnv* env, uint8_t* out) {
    NxCell row[NX_MAX_VIEW];
    uint64_t reached = nx_view_begin(layout);
    for (int r = layout->view - 1; r >= 0; r--) {
        reached = nx_view_row(layout, env, r, reached, row);
        for (int c = 0; c < layout->view; c++) nx_put_triple(row[c], out + 3 * (r * layout->view + c));
    }
}

static inline UF_HD void nx_observe_full(const NxLayout* layout, const NxEnv* env, uint8_t* out) {
    const NxCell* cells = (const NxCell*)(env + 1);
    for (int i = 0; i < layout->spec.width * layout->spec.height; i++) nx_put_triple(cells[i], out + 3 * i);
    uint8_t* agent = out + 3 * (env->y * layout->spec.width + env->x);
    agent[0] = NX_TYPE_AGENT;
    agent[1] = NX_RED;
    agent[2] = env->direction;
}

static inline UF_HD void nx_put_one_hot(NxCell cell, uint8_t out[NX_ONE_HOT]) {
    const uint32_t set = nx_one_hot(cell);
    for (int i = 0; i < NX_ONE_HOT; i++) out[i] = set >> i & 1;
}

static inline UF_HD void nx_observe_one_hot(const NxLayout* layout, const NxEnv* env, uint8_t* out) {
    NxCell row[NX_MAX_VIEW];
    uint64_t reached = nx_view_begin(layout);
    for (int r = layout->view - 1; r >= 0; r--) {
        reached = nx_view_row(layout, env, r, reached, row);
        for (int c = 0; c < layout->view; c++)
            nx_put_one_hot(row[c], out + NX_ONE_HOT * (r * layout->view + c));
    }
}

static inline UF_HD int nx_symbol(const NxEnv* env, int x, int y, NxCell cell) {
    return x == env->x && y == env->y ? NX_TYPE_AGENT : cell == NX_CELL_EMPTY ? -1 : nx_type(cell);
}
static inline UF_HD void nx_observe_symbolic(const NxLayout* layout, const NxEnv* env, int64_t* out) {
    const NxCell* cells = (const NxCell*)(env + 1);
    for (int y = 0; y < layout->spec.height; y++)
        for (int x = 0; x < layout->spec.width; x++, out += 3) {
            out[0] = x;
            out[1] = y;
            out[2] = nx_symbol(env, x, y, cells[y * layout->spec.width + x]);
        }
}

static inline UF_HD int nx_flat_letter(char letter) {
    return letter == ' ' ? 26 : letter == ',' ? 27 : letter - 'a';
}

// The view column by column, then a row of the alphabet (a-z, space, comma) for each letter of the mission.
static inline UF_HD void nx_observe_flat(const NxLayout* layout, const NxEnv* env, const char* mission,
                                         uint8_t* out) {
    NxCell row[NX_MAX_VIEW];
    const int size = layout->view;
    uint64_t reached = nx_view_begin(layout);
    for (int r = size - 1; r >= 0; r--) {
        reached = nx_view_row(layout, env, r, reached, row);
        for (int c = 0; c < size; c++) nx_put_triple(row[c], out + 3 * (c * size + r));
    }
    out += 3 * size * size;
    for (int i = 0; i < NX_FLAT_BYTES; i++) out[i] = 0;
    for (int i = 0; i < NX_FLAT_LETTERS && mission[i]; i++) {
        out[i * NX_FLAT_ALPHABET + nx_flat_letter(mission[i])] = 1;
    }
}

#endif
