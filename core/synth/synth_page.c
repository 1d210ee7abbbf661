// synth_page.c: see synth_page.h.
//
// Rooms: colours, names, titles and keys, frames, episodes.
#ifndef UF_NO_CAIRO

#include "core/synth/synth_page.h"

#include <math.h>
#include <stdio.h>  // snprintf

#include "core/envs/draw.h"

// ---- colours ----

const double se_page_blue[3] = {0, 0.447, 0.698}, se_page_sky[3] = {0.337, 0.706, 0.914},
             se_page_vermilion[3] = {0.835, 0.369, 0};

void se_page_grey(cairo_t* c, double grey) { cairo_set_source_rgb(c, grey, grey, grey); }

void se_page_rgb(cairo_t* c, const double rgb[3], double alpha) {
    cairo_set_source_rgba(c, rgb[0], rgb[1], rgb[2], alpha);
}

const double* se_page_kind_colour(int kind) {
    static const double colours[][3] = {{0.53, 0.74, 0.90}, {0.98, 0.70, 0.42}, {0.53, 0.81, 0.68},
                                        {0.87, 0.65, 0.79}, {0.95, 0.89, 0.50}, {0.93, 0.55, 0.47},
                                        {0.75, 0.75, 0.75}, {0.62, 0.65, 0.90}};
    return colours[kind % (int)(sizeof colours / sizeof *colours)];
}

// ---- names ----

// Its name, or what it is and its number.   Nullable: name
static const char* named(const char* name, const char* what, int number, char text[32]) {
    if (name)
        snprintf(text, 32, "%s", name);
    else
        snprintf(text, 32, "%s %d", what, number);
    return text;
}

const char* se_page_feature(const UfEnvSpec* spec, int j, char text[32]) {
    return named(spec ? uf_draw_feature(spec, j) : NULL, "obs", j, text);
}

const char* se_page_kind(const UfEnvSpec* spec, int kind, char text[32]) {
    return named(spec ? uf_draw_kind(spec, kind) : NULL, "action", kind, text);
}

// ---- titles and keys ----

void se_page_title(cairo_t* c, const char* title, const char* line) {
    se_page_grey(c, 0.1);
    uf_page_font(c, 17, true);
    uf_page_text(c, title, SE_PAGE_MARGIN, 29, 0);
    se_page_grey(c, 0.35);
    uf_page_text_within(c, line, SE_PAGE_MARGIN, 50, 0, 13, SE_PAGE_WIDTH - 2 * SE_PAGE_MARGIN);
}

void se_page_header(cairo_t* c, const char* text, double y) {
    se_page_grey(c, 0.15);
    uf_page_font(c, 14, true);
    uf_page_text(c, text, SE_PAGE_MARGIN, y, 0);
}

double se_page_key(cairo_t* c, const double rgb[3], double alpha, const char* text, double x, double y) {
    se_page_rgb(c, rgb, alpha);
    cairo_rectangle(c, x, y - 10, 12, 12);
    cairo_fill(c);
    se_page_grey(c, 0.25);
    uf_page_font(c, 12, false);
    uf_page_text(c, text, x + 17, y, 0);
    return x + 17 + uf_page_text_width(c, text) + 16;
}

// ---- frames ----

UfPageAxis se_page_axis(double low, double high, double from, double to, int count, bool log) {
    UfPageAxis axis = {.from = from, .to = to, .log = log};
    uf_page_axis_fit(&axis, low, high, count, false);
    axis.low = low;
    axis.high = high;
    int kept = 0;
    for (int i = 0; i < axis.num_ticks; i++)
        if (axis.ticks[i] >= low && axis.ticks[i] <= high) axis.ticks[kept++] = axis.ticks[i];
    axis.num_ticks = kept;
    return axis;
}

void se_page_ticks(cairo_t* c, const UfPageAxis* ax, const UfPageAxis* ay) {
    char text[64];
    cairo_set_line_width(c, 1);
    uf_page_font(c, 11, false);
    for (int i = 0; i < ax->num_ticks; i++) {
        const double x = floor(uf_page_axis_tick(ax, i)) + 0.5;
        se_page_grey(c, 0.4);
        cairo_move_to(c, x, ay->from);
        cairo_line_to(c, x, ay->from + 4);
        cairo_stroke(c);
        se_page_grey(c, 0.25);
        uf_page_axis_label(ax, i, text, sizeof text);
        uf_page_text(c, text, x, ay->from + 16, 0.5);
    }
    for (int i = 0; i < ay->num_ticks; i++) {
        const double y = floor(uf_page_axis_tick(ay, i)) + 0.5;
        se_page_grey(c, 0.4);
        cairo_move_to(c, ax->from - 4, y);
        cairo_line_to(c, ax->from, y);
        cairo_stroke(c);
        se_page_grey(c, 0.25);
        uf_page_axis_label(ay, i, text, sizeof text);
        uf_page_text(c, text, ax->from - 7, y + 4, 1);
    }
}

void se_page_box(cairo_t* c, const UfPageAxis* ax, const UfPageAxis* ay) {
    se_page_grey(c, 0.4);
    cairo_set_line_width(c, 1);
    cairo_rectangle(c, floor(ax->from) + 0.5, floor(ay->to) + 0.5, floor(ax->to - ax->from),
                    floor(ay->from - ay->to));
    cairo_stroke(c);
}

void se_page_names(cairo_t* c, const UfPageAxis* ax, const UfPageAxis* ay, const char* title,
                   const char* x_name, const char* y_name) {
    const double middle = (ax->from + ax->to) / 2, room = ax->to - ax->from;
    se_page_grey(c, 0.15);
    if (title) {
        uf_page_font(c, 13, true);
        uf_page_text(c, title, ax->from, ay->to - 7, 0);
    }
    se_page_grey(c, 0.25);
    if (x_name) uf_page_text_within(c, x_name, middle, ay->from + 33, 0.5, 12, room);
    if (!y_name) return;
    cairo_save(c);
    cairo_translate(c, ax->from - SE_PAGE_AXIS + 14, (ay->from + ay->to) / 2);
    cairo_rotate(c, -UF_PI / 2);
    uf_page_text_within(c, y_name, 0, 0, 0.5, 12, ay->from - ay->to);
    cairo_restore(c);
}

// ---- episodes ----

// A line over the steps, between its own ends.
static void draw_strip(cairo_t* c, const float* rows, int num_steps, int stride, int j, const UfPageAxis* ax,
                       double y, double height, const double rgb[3]) {
    double low = INFINITY, high = -INFINITY;
    char text[32];
    for (int t = 0; t < num_steps; t++) {
        const double at = (double)rows[(size_t)t * (size_t)stride + (size_t)j];
        low = fmin(low, at);
        high = fmax(high, at);
    }
    const double flat = high - low > 1e-12 ? 0 : 1;
    cairo_new_path(c);  // text leaves a point
    for (int t = 0; t < num_steps; t++) {
        const double value = (double)rows[(size_t)t * (size_t)stride + (size_t)j],
                     share = flat > 0 ? 0.5 : (value - low) / (high - low);
        cairo_line_to(c, uf_page_axis_pixel(ax, t + 0.5), y + height - 4 - share * (height - 8));
    }
    se_page_rgb(c, rgb, 1);
    cairo_set_line_width(c, 1.4);
    cairo_stroke(c);
    se_page_grey(c, 0.45);
    snprintf(text, sizeof text, "%.3g", high);
    uf_page_text_within(c, text, ax->to + 6, y + 12, 0, 10, 46);
    if (flat > 0) return;
    snprintf(text, sizeof text, "%.3g", low);
    uf_page_text_within(c, text, ax->to + 6, y + height - 4, 0, 10, 46);
}

static void draw_kinds(cairo_t* c, const SeEpisode* e, const UfPageAxis* ax, double y, double height) {
    cairo_save(c);
    cairo_set_antialias(c, CAIRO_ANTIALIAS_NONE);
    for (int t = 0; t < e->num_steps; t++) {
        se_page_rgb(c, se_page_kind_colour((int)e->actions[t]), 1);
        cairo_rectangle(c, uf_page_axis_pixel(ax, t), y,
                        uf_page_axis_pixel(ax, t + 1) - uf_page_axis_pixel(ax, t), height);
        cairo_fill(c);
    }
    cairo_restore(c);
}

void se_page_episode(cairo_t* c, const SeEpisodeView* v, double x, double y) {
    const SeEpisode* e = v->episode;
    const int strips = v->num_shown + 1;
    double names = 0;
    char name[32];
    uf_page_font(c, 12, false);
    for (int i = 0; i < v->num_shown; i++)
        names = fmax(names, uf_page_text_width(c, se_page_feature(v->spec, v->shown[i], name)));
    names = fmax(names, uf_page_text_width(c, v->action_name));
    const UfPageAxis ax = se_page_axis(0, e->num_steps, x + names + 20, SE_PAGE_WIDTH - SE_PAGE_MARGIN - 50,
                                       e->num_steps < 10 ? e->num_steps : 10, false),
                     ay = {.from = y + SE_PAGE_EPISODE, .to = y, .high = 1};
    const double height = (double)SE_PAGE_EPISODE / strips;
    for (int i = 0; i < strips; i++) {
        const double top = y + i * height;
        const bool is_action = i == v->num_shown;
        se_page_grey(c, 0.25);
        uf_page_font(c, 12, false);
        uf_page_text(c, is_action ? v->action_name : se_page_feature(v->spec, v->shown[i], name), ax.from - 8,
                     top + height / 2 + 4, 1);
        if (!is_action)
            draw_strip(c, e->obs, e->num_steps, e->obs_dim, v->shown[i], &ax, top, height, se_page_blue);
        else if (v->discrete)
            draw_kinds(c, e, &ax, top, height);
        else
            draw_strip(c, e->actions, e->num_steps, e->numbers, v->action, &ax, top, height,
                       se_page_vermilion);
        se_page_grey(c, 0.8);
        cairo_set_line_width(c, 1);
        cairo_move_to(c, ax.from, floor(top) + 0.5);
        cairo_line_to(c, ax.to, floor(top) + 0.5);
        cairo_stroke(c);
    }
    se_page_box(c, &ax, &ay);
    se_page_ticks(c, &ax, &ay);
    se_page_names(c, &ax, &ay, v->title, "step", NULL);
}

#else

typedef int se_page_is_not_here;  // a file of C holds something

#endif
