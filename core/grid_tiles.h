// grid_tiles.h: MiniGrid's pictures: tiles of any size, exact to the byte, and frames as copies of their rows.
//
// A frame is made in two steps: which tile stands in each cell (nx_full_tiles, nx_view_tiles: inline, C11 and CUDA),
// then copies (nx_draw). All tiles of a size are drawn once, by nx_tiles_create.
#ifndef NX_GRID_TILES_H
#define NX_GRID_TILES_H

#include "core.h"
#include "grid.h"

enum {
    NX_MAX_TILE_SIZE = 256,  // pixels a side: all tiles then take 112 MB; of 32 pixels they take 1.8
    NX_NUM_TILE_CODES = 128 * 5 * 2,
};

// What a tile shows: a cell, on it nothing (agent 0) or the agent that looks in direction agent - 1, highlighted or
// not.
static inline UF_HD int nx_tile_code(NxCell cell, int agent, bool highlight) {
    return cell + 128 * (agent + 5 * highlight);
}

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

// The point of view (V, V): the agent at its place, facing up. What it does not see looks empty.
static inline UF_HD void nx_view_tiles(int view, const NxCell* seen, uint16_t* codes) {
    for (int i = 0; i < view * view; i++)
        codes[i] = (uint16_t)nx_tile_code(seen[i], 0, nx_kind(seen[i]) != NX_UNSEEN);
    const int own = (view - 1) * view + view / 2;
    codes[own] = (uint16_t)nx_tile_code(seen[own], 1 + 3, true);
}

// The whole map (H, W).
static inline UF_HD void nx_map_tiles(const NxLayout* layout, const NxEnv* env, const NxCell* seen,
                                      uint16_t* codes) {
    const int width = layout->spec.width, height = layout->spec.height, view = layout->view;
    const NxCell* cells = (const NxCell*)(env + 1);
    for (int i = 0; i < width * height; i++) codes[i] = (uint16_t)nx_tile_code(cells[i], 0, false);
    codes[env->y * width + env->x] =
        (uint16_t)nx_tile_code(cells[env->y * width + env->x], 1 + env->direction, false);
    const int dx = nx_dx(env->direction), dy = nx_dy(env->direction);
    for (int row = 0; row < view; row++) {
        for (int column = 0; column < view; column++) {
            const int ahead = view - 1 - row, right = column - view / 2;
            const int x = env->x + ahead * dx - right * dy, y = env->y + ahead * dy + right * dx;
            if (nx_kind(seen[row * view + column]) == NX_UNSEEN || x < 0 || x >= width || y < 0 ||
                y >= height)
                continue;
            codes[y * width + x] = (uint16_t)(codes[y * width + x] + nx_tile_code(0, 0, true));
        }
    }
}

// Copies the tiles of `codes` (height, width) to out (height * size, width * size, 3).
void nx_draw(const NxTiles* tiles, const uint16_t* codes, int width, int height, uint8_t* out);
// RGB observations: the whole map (H size, W size, 3), or the point of view (V size, V size, 3).
void nx_draw_map(const NxTiles* tiles, const NxLayout* layout, const NxEnv* env, uint8_t* out);
void nx_draw_view(const NxTiles* tiles, const NxLayout* layout, const NxEnv* env, uint8_t* out);

#endif
