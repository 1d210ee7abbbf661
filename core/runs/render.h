// render.h: pictures of an episode: a strip of frames (.png) or an animation (.gif).
#ifndef UF_RENDER_H
#define UF_RENDER_H

#include "core/core.h"
#include "core/envs/envs.h"

enum { UF_RENDER_MIN_SIDE = 100, UF_RENDER_MAX_SIDE = 4096 };  // of a frame

typedef struct UfRenderOptions {
    const char* policy;  // a checkpoint (a file or a run folder), or random, medium, expert: the scripts
    const char* env;     // Nullable: the one of the checkpoint's configuration
    uint64_t seed;
    int64_t episode;     // of that seed, as uf_run_eval counts them
    int64_t num_steps;   // draw so many steps at most; 0: all
    int width, height;   // of a frame, in pixels
    int num_frames;      // at most; 0: 12 in a .png, in a .gif as many as 25 a second need
    const char* output;  // the ending decides the format
} UfRenderOptions;

typedef struct UfRender {
    const UfEnvSpec* spec;
    double ret;  // of the whole episode, as its length
    int length;
    bool diverged;
    int num_frames, width, height;  // of the file
    char note[512];                 // what the user must be told about the pictures, or ""
} UfRender;

// Plays the episode and draws it. A GIF runs at the task's own speed.
// Errors: UF_ERR_ARGUMENT (ending, sizes, a policy that does not fit), UF_ERR_UNSUPPORTED where a library was not
// there at build time, UF_ERR_IO.
UfStatus uf_render(const UfRenderOptions* options, UfRender* out);

#endif
