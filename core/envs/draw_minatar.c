// draw_minatar.c: pictures of MinAtar: a coloured cell a bit, and squares for arrays that hold other numbers.
#include "core/envs/draw.h"

#ifndef UF_NO_CAIRO

#include <cairo.h>
#include <math.h>

#include "core/envs/minatar.h"

// ---- colours ----

// Okabe and Ito's palette, which the colour-blind can tell apart, without its black.
static const unsigned char colours[UF_DRAW_MINATAR_PLANES][3] = {
    {0, 114, 178}, {213, 94, 0},    {86, 180, 233},  {240, 228, 66}, {0, 158, 115},
    {230, 159, 0}, {204, 121, 167}, {110, 110, 110}, {0, 0, 0},
};

static void set_plane(cairo_t* c, int plane) {
    const unsigned char* rgb = colours[plane];
    cairo_set_source_rgb(c, rgb[0] / 255.0, rgb[1] / 255.0, rgb[2] / 255.0);
}

// ---- grid ----

enum { SIDE = UF_MINATAR_SIDE };

// From here on the unit is a cell and the grid is in the middle of the canvas, as large as whole pixels let cells be.
static void set_grid(const UfCanvas* canvas) {
    cairo_t* c = canvas->cairo;
    double cell = floor(fmin(canvas->width, canvas->height) / (double)SIDE);
    if (cell < 1) cell = fmin(canvas->width, canvas->height) / (double)SIDE;
    cairo_translate(c, floor((canvas->width - SIDE * cell) / 2), floor((canvas->height - SIDE * cell) / 2));
    cairo_scale(c, cell, cell);
    cairo_set_source_rgb(c, 0.95, 0.95, 0.95);
    cairo_rectangle(c, 0, 0, SIDE, SIDE);
    cairo_fill(c);
    cairo_set_source_rgb(c, 0.85, 0.85, 0.85);
    cairo_set_line_width(c, 1 / cell);
    for (int i = 0; i <= SIDE; i++) {
        cairo_move_to(c, i, 0);
        cairo_line_to(c, i, SIDE);
        cairo_move_to(c, 0, i);
        cairo_line_to(c, SIDE, i);
    }
    cairo_stroke(c);
}

// Bits of one cell lie in each other, so that none hides another.
static void draw_bits(cairo_t* c, int planes, const float* obs) {
    for (int cell = 0; cell < SIDE * SIDE; cell++) {
        const float* bits = obs + cell * planes;
        int set = 0, drawn = 0;
        for (int p = 0; p < planes; p++) set += bits[p] != 0;
        for (int p = planes - 1; p >= 0; p--) {
            if (bits[p] == 0) continue;
            double inset = 0.04 + 0.42 * drawn++ / set;
            set_plane(c, p);
            cairo_rectangle(c, cell % SIDE + inset, cell / SIDE + inset, 1 - 2 * inset, 1 - 2 * inset);
            cairo_fill(c);
        }
    }
}

static void draw_numbers(cairo_t* c, int planes, const float* obs, double largest) {
    int columns = (int)ceil(sqrt(planes)), rows = (planes + columns - 1) / columns;
    double place = 1.0 / (columns > rows ? columns : rows);
    for (int i = 0; i < SIDE * SIDE * planes; i++) {
        const int cell = i / planes, p = i % planes;
        // by size first: the largest number may be infinite
        double size = fmin(fabs((double)obs[i]) / largest, 1), side = 0.92 * place * sqrt(size);
        if (!(side > 0)) continue;
        double x = cell % SIDE + 0.5 + place * (p % columns + 0.5 - columns / 2.0);
        double y = cell / SIDE + 0.5 + place * (p / columns + 0.5 - rows / 2.0);
        set_plane(c, p);
        if (obs[i] > 0) {
            cairo_rectangle(c, x - side / 2, y - side / 2, side, side);
            cairo_fill(c);
        } else {
            double line = 0.22 * side;
            cairo_set_line_width(c, line);
            cairo_rectangle(c, x - (side - line) / 2, y - (side - line) / 2, side - line, side - line);
            cairo_stroke(c);
        }
    }
}

UfStatus uf_draw_minatar_obs(UfCanvas* canvas, int planes, const float* obs) {
    bool bits = true;
    double largest = 0;
    if (planes < 1 || planes > UF_DRAW_MINATAR_PLANES)
        return UF_FAIL(UF_ERR_ARGUMENT, "an observation of %d planes; 1 to %d can be drawn", planes,
                       UF_DRAW_MINATAR_PLANES);
    for (int i = 0; i < SIDE * SIDE * planes; i++) {
        bits = bits && (obs[i] == 0 || obs[i] == 1);
        if (isfinite(obs[i])) largest = fmax(largest, fabs((double)obs[i]));
    }
    set_grid(canvas);
    if (bits)
        draw_bits(canvas->cairo, planes, obs);
    else
        draw_numbers(canvas->cairo, planes, obs, largest > 0 ? largest : 1);
    return UF_OK;
}

UfStatus uf_draw_minatar(UfCanvas* canvas, const UfEnv* env) {
    float obs[UF_MINATAR_MAX_OBS];
    env->spec->ops->observe(env, obs);
    return uf_draw_minatar_obs(canvas, env->spec->obs_dim / (SIDE * SIDE), obs);
}

#endif
