// grid_render.h: pictures of gridworlds: a level or a sheet of them (.png), or an episode (.gif).
#ifndef NX_GRID_RENDER_H
#define NX_GRID_RENDER_H

#include "core/core.h"

typedef struct NxRenderOptions {
    const char* const* ids;  // more than one: a sheet, a .png alone
    int num_ids;
    uint64_t seed;
    int64_t num_steps;  // actions: before a .png; of a .gif at most, or until the episode ends
    UfStatus (*act)(void* user,
                    uint8_t* action);  // chooses them, step by step, of a single id.   NULL: random ones
    void* user;
    int max_steps;       // of the episode; 0: the id's
    int tile_size;       // pixels; 0: 32, on a sheet what fits
    bool first_person;   // what the agent sees, not the map
    const char* output;  // the ending decides the format
} NxRenderOptions;

typedef struct NxRender {
    int num_frames, width, height;  // of the file
    int num_steps;                  // of the (first) episode, and its return
    double ret;
} NxRender;

// A single level's .png is the frame as MiniGrid draws it and nothing else.
// Errors: UF_ERR_ARGUMENT (id, with the nearest; ending; sizes), UF_ERR_UNSUPPORTED where a library was not there at
// build time, UF_ERR_IO.
UfStatus nx_render(const NxRenderOptions* options, NxRender* out);

#endif
