// grid_tiles.h: MiniGrid's pictures: tiles of any size, exact to the byte, and frames as copies of their rows.
//
// A frame is made in two steps: which tile stands in each cell (nx_full_tiles, nx_view_tiles: inline, C11 and CUDA),
// then copies (nx_draw). All tiles of a size are drawn once, by nx_tiles_create.
#ifndef NX_GRID_TILES_H
#define NX_GRID_TILES_H

#include "core/core.h"
#include "core/grid/grid.h"
#include "core/grid/grid_navix.h"
#include "core/grid/grid_view.h"

enum {
    NX_MAX_TILE_SIZE = 256,  // pixels a side: all tiles then take 112 MB; of 32 pixels they take 1.8
    NX_NUM_TILE_CODES = 128 * 5 * 2,
};

// What a tile shows: a cell, on it nothing (agent 0) or the agent that looks in direction agent - 1, highlighted or
// not.
static inline UF_HD int nx_tile_code(NxCell cell, int agent, bool highlight) {
    return cell + 128 * (agent + 5 * highlight);
}

#ifdef __cplusplus
extern "C" {
#endif

typedef struct NxTiles {
    int size, num_tiles;
    uint8_t* pixels;                    // (num_tiles, size, size, 3)
    uint16_t index[NX_NUM_TILE_CODES];  // which of them; 0, the empty cell's, for cells that cannot be
} NxTiles;

// Draws every tile of this size. Errors: UF_ERR_ARGUMENT (size), UF_ERR_MEMORY.
UfStatus nx_tiles_create(NxTiles** out, int size);
void nx_tiles_free(NxTiles* tiles);
static inline const uint8_t* nx_tile(const NxTiles* tiles, int code) {
    return tiles->pixels + (size_t)tiles->index[code] * (size_t)(3 * tiles->size * tiles->size);
}

// ---- which tiles make up a frame ----
//
// seen (V, V): the agent's view (grid_view.h `nx_view`). What it sees is highlighted.

// What NAVIX's pictures show: of the map no view, and in first person a wall wherever the agent does not see.
// work (2, NX_MAX_SIDE): a place to work in.
static inline UF_HD void nx_navix_picture(const NxLayout* layout, const NxEnv* env, bool first_person,
                                          NxCell* seen, uint32_t* work) {
    const NxCell* cells = (const NxCell*)(env + 1);
    if (first_person) nx_navix_see(layout, env, work, work + NX_MAX_SIDE);
    for (int i = 0; i < layout->view * layout->view; i++) {
        int x, y;
        nx_view_place(layout, env, i / layout->view, i % layout->view, &x, &y);
        if (!first_person)
            seen[i] = NX_UNSEEN;
        else if (nx_inside(layout, x, y) && work[y] >> x & 1)
            seen[i] = x == env->x && y == env->y ? NX_CELL_EMPTY : cells[y * layout->spec.width + x];
        else
            seen[i] = NX_CELL_WALL;
    }
}
static inline UF_HD void nx_picture_view(const NxLayout* layout, const NxEnv* env, bool first_person,
                                         NxCell* seen, uint32_t* work) {
    if (layout->rules == NX_RULES_NAVIX)
        nx_navix_picture(layout, env, first_person, seen, work);
    else
        nx_view(layout, env, seen);
}

// The point of view (V, V): the agent at its place, facing up. What it does not see looks empty.
static inline UF_HD int nx_view_tile(int view, const NxCell* seen, int i) {
    const bool own = i == (view - 1) * view + view / 2;
    return nx_tile_code(seen[i], own ? 1 + 3 : 0, own || nx_kind(seen[i]) != NX_UNSEEN);
}
static inline UF_HD void nx_view_tiles(int view, const NxCell* seen, uint16_t* codes) {
    for (int i = 0; i < view * view; i++) codes[i] = (uint16_t)nx_view_tile(view, seen, i);
}

// The whole map (H, W).
static inline UF_HD int nx_map_tile(const NxLayout* layout, const NxEnv* env, const NxCell* seen, int i) {
    const int view = layout->view, dx = nx_dx(env->direction), dy = nx_dy(env->direction);
    const int x = i % layout->spec.width - env->x, y = i / layout->spec.width - env->y;
    // as nx_view_place has them
    const int r = view - 1 - (x * dx + y * dy), c = y * dx - x * dy + view / 2;
    const bool looked_at = r >= 0 && r < view && c >= 0 && c < view;
    return nx_tile_code(((const NxCell*)(env + 1))[i], x == 0 && y == 0 ? 1 + env->direction : 0,
                        looked_at && nx_kind(seen[r * view + c]) != NX_UNSEEN);
}
static inline UF_HD void nx_map_tiles(const NxLayout* layout, const NxEnv* env, const NxCell* seen,
                                      uint16_t* codes) {
    for (int i = 0; i < layout->spec.width * layout->spec.height; i++)
        codes[i] = (uint16_t)nx_map_tile(layout, env, seen, i);
}

// Copies the tiles of `codes` (height, width) to out (height * size, width * size, 3).
void nx_draw(const NxTiles* tiles, const uint16_t* codes, int width, int height, uint8_t* out);
// RGB observations: the whole map (H size, W size, 3), or the point of view (V size, V size, 3).
void nx_draw_map(const NxTiles* tiles, const NxLayout* layout, const NxEnv* env, uint8_t* out);
void nx_draw_view(const NxTiles* tiles, const NxLayout* layout, const NxEnv* env, uint8_t* out);

#ifdef __cplusplus
}
#endif

#endif
