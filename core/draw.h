// draw.h: what environments draw on, and their drawing functions (UfEnvOps.draw).
//
// A picture shows the state as it is and no more; captions are render.c's. A new environment adds its function here.
#ifndef UF_DRAW_H
#define UF_DRAW_H

#include "envs.h"

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
UfDrawFn uf_draw_acrobot, uf_draw_maze;
// draw_mujoco.c
UfDrawFn uf_draw_mujoco;
#endif

#endif
