// draw.h: what environments draw on, and their drawing functions (UfEnvOps.draw).
//
// A picture shows the state as it is and no more; captions are render.c's. A new environment adds its function here.
#ifndef UF_DRAW_H
#define UF_DRAW_H

#include "core/envs/envs.h"

struct UfCanvas {
    struct _cairo* cairo;  // a cairo_t: white, (0, 0) is the top left corner
    int width, height;     // pixels
    const float* action;   // the one that led here, in the environment's units.   Nullable: the start
    char note[512];        // what the user must be told about the pictures, or ""
    void* view;            // what the environment keeps from picture to picture.   Nullable
    void (*free_view)(void* view);
};

#ifdef UF_NO_CAIRO
#define UF_DRAW(NAME) NULL
#else
#define UF_DRAW(NAME) uf_draw_##NAME
typedef UfStatus UfDrawFn(UfCanvas* canvas, const UfEnv* env);
// draw_classic.c
UfDrawFn uf_draw_pendulum, uf_draw_cart_pole, uf_draw_mountain_car, uf_draw_mountain_car_continuous;
UfDrawFn uf_draw_acrobot, uf_draw_maze, uf_draw_grid_world;
// distilled_draw.c: what number j of an observation is called, or a kind of action.   NULL: it has no name
const char* uf_draw_feature(const UfEnvSpec* spec, int j);
const char* uf_draw_kind(const UfEnvSpec* spec, int kind);
// draw_mujoco.c
UfDrawFn uf_draw_mujoco;
// draw_minatar.c
UfDrawFn uf_draw_minatar;
// Any array of the shape of a MinAtar observation, (10, 10, planes), as large as the canvas lets a square be. Where all
// is 0 or 1: a coloured cell a bit, as in the game. Else each cell shows its planes as squares side by side whose area
// goes with the size of the number (the largest finite one fills its place), filled above zero and hollow below.
// Errors: UF_ERR_ARGUMENT: fewer than 1 or more than UF_DRAW_MINATAR_PLANES planes.
enum { UF_DRAW_MINATAR_PLANES = 9 };
UfStatus uf_draw_minatar_obs(UfCanvas* canvas, int planes, const float* obs);
#endif

#endif
