// grid_tiles.h: MiniGrid's pictures: tiles of any size, exact to the byte, and frames as copies of their rows.
//
// A frame is made in two steps: which tile stands in each cell (nx_full_tiles, nx_view_tiles: inline, C11 and CUDA),
// then copies (nx_draw). All tiles of a size are drawn once, by nx_tiles_create.
#ifndef NX_GRID_TILES_H
#define NX_GRID_TILES_H

#include "core.h"
#include "grid.h"

enum {
    NX_MAX_TILE_SIZE = 128,  // pixels a side: all tiles then take 29 MB
    NX_NUM_TILE_CODES = 128 * 5 * 2,
};

// What a tile shows: a cell, on it nothing (agent 0) or the agent that looks in direction agent - 1, highlighted or
// not.
static inline UF_HD int nx_tile_code(NxCell cell, int agent, bool highlight) {
    return (cell & ~NX_ENTITY) + 128 * (agent + 5 * highlight);
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

// Copies the tiles of `codes` (height, width) to out (height * size, width * size, 3).
void nx_draw(const NxTiles* tiles, const uint16_t* codes, int width, int height, uint8_t* out);

#endif
