// plot.c: charts. draw() knows cairo and no file format; page.c picks the surface by the ending.
//
// Rooms: axes, colours and marks, text, frame, lines, comparisons, layout, files.
// Source: palette of Okabe and Ito, "Color Universal Design" (2008), without its yellow, which is faint on white.
#include "core/pictures/plot.h"

#include <string.h>
#include <strings.h>  // strcasecmp

UfStatus uf_plot_write(const UfPlot* plot, const char* path) { return uf_plot_write_grid(plot, 1, path); }

UfStatus uf_plot_write_grid(const UfPlot* plots, int num_plots, const char* path) {
    return uf_picture_write(&(UfPicture){.num_charts = num_plots, .plots = plots}, path);
}

UfStatus uf_picture_check(const char* path) {
    const char* ending = strrchr(path, '.');
    if (ending && (!strcasecmp(ending, ".png") || !strcasecmp(ending, ".svg") || !strcasecmp(ending, ".pdf")))
        return UF_OK;
    return UF_FAIL(UF_ERR_ARGUMENT, "%s: the ending of a chart's name must be .png, .svg or .pdf", path);
}

#ifdef UF_NO_CAIRO

UfStatus uf_picture_write(const UfPicture* picture, const char* path) {
    (void)picture;
    return UF_FAIL(UF_ERR_UNSUPPORTED,
                   "%s: this build draws no charts; install libcairo2-dev and build again", path);
}

#else

#include <cairo.h>
#include <math.h>
#include <stdio.h>  // snprintf

#include "core/pictures/page.h"

#define WIDTH 1000  // of a picture of one chart
#define HEIGHT 640
#define PANEL_WIDTH 520  // of a chart among others
#define PANEL_HEIGHT 380
#define MAX_COLUMNS 4
#define ROW_HEIGHT 38  // of a comparison
#define TOP 58         // above and below what is drawn into: title; numbers and name of the axis
#define BOTTOM 76
#define LEGEND_LINE 26
#define CAPTION_HEIGHT 30
#define TICK_ROOM 75  // pixels of a number at the horizontal axis
#define MARK_ROOM 60  // pixels between marks on a line of many points
#define FONT "DejaVu Sans"
#define TURN 6.28318530717958648

// ---- axes ----

static bool axis_takes(const UfPageAxis* axis, double value) {
    return isfinite(value) && (!axis->log || value > 0);
}

// ---- colours and marks ----

static const double palette[][3] = {
    {0.000, 0.447, 0.698}, {0.835, 0.369, 0.000}, {0.000, 0.620, 0.451}, {0.800, 0.475, 0.655},
    {0.902, 0.624, 0.000}, {0.337, 0.706, 0.914}, {0.000, 0.000, 0.000},
};
#define NUM_COLOURS ((int)(sizeof(palette) / sizeof(palette[0])))

// A shape for each colour, so that print without colours tells lines apart too.
static const struct {
    int corners;          // 0: a circle
    double angle, inner;  // of the first corner, in turns; radius between corners (1: none)
    double size;          // radii that look equally large
} marks[NUM_COLOURS] = {{0, 0, 1, 1},      {4, 0.125, 1, 1.2},   {3, 0.75, 1, 1.4}, {4, 0, 1, 1.3},
                        {3, 0.25, 1, 1.4}, {5, 0.75, 0.45, 1.5}, {4, 0, 0.35, 1.6}};

static void set_colour(cairo_t* c, int series, double alpha) {
    const double* rgb = palette[series % NUM_COLOURS];
    cairo_set_source_rgba(c, rgb[0], rgb[1], rgb[2], alpha);
}

// Where colours come again, dashes tell the lines apart.
static void set_dash(cairo_t* c, int series) {
    const double dashes[][2] = {{9, 5}, {2.5, 4}};
    const int round = series / NUM_COLOURS;
    cairo_set_dash(c, dashes[round % 2 == 0], round ? 2 : 0, 0);
}

static void mark_path(cairo_t* c, int series, double x, double y, double radius) {
    const int shape = series % NUM_COLOURS, corners = marks[shape].corners;
    radius *= marks[shape].size;
    cairo_new_path(c);
    if (!corners) cairo_arc(c, x, y, radius, 0, TURN);
    for (int i = 0; i < 2 * corners; i++) {
        const double angle = TURN * (marks[shape].angle + 0.5 * i / corners),
                     r = i % 2 ? radius * marks[shape].inner : radius;
        if (i % 2 && marks[shape].inner == 1) continue;
        cairo_line_to(c, x + r * cos(angle), y + r * sin(angle));
    }
    cairo_close_path(c);
}

static void draw_mark(cairo_t* c, int series, double x, double y, double radius) {
    mark_path(c, series, x, y, radius);
    cairo_fill(c);
}

// ---- text ----

static void set_grey(cairo_t* c, double level) { cairo_set_source_rgb(c, level, level, level); }

static double text_width(cairo_t* c, const char* text) {
    cairo_text_extents_t size;
    cairo_text_extents(c, text, &size);
    return size.x_advance;
}

// Text with its anchor at (x, y): h and v are 0 left/top, 0.5 middle, 1 right/bottom.
static void draw_text(cairo_t* c, const char* text, double x, double y, double h, double v) {
    cairo_font_extents_t font;
    cairo_font_extents(c, &font);
    cairo_move_to(c, x - h * text_width(c, text), y + (1 - v) * font.ascent - v * font.descent);
    cairo_show_text(c, text);
    cairo_new_path(c);
}

// In a smaller font where it would be wider than there is room.
static void draw_text_within(cairo_t* c, const char* text, double x, double y, double h, double v,
                             double font, double room) {
    cairo_set_font_size(c, font);
    const double width = text_width(c, text);
    if (width > room) cairo_set_font_size(c, font * room / width);
    draw_text(c, text, x, y, h, v);
}

// ---- frame ----

static void draw_y_ticks(cairo_t* c, const UfPageAxis* ax, const UfPageAxis* ay) {
    char text[64];
    for (int i = 0; i < ay->num_ticks; i++) {
        const double y = uf_page_axis_tick(ay, i);
        set_grey(c, 0.88);
        cairo_move_to(c, ax->from, floor(y) + 0.5);
        cairo_line_to(c, ax->to, floor(y) + 0.5);
        cairo_stroke(c);
        set_grey(c, 0.2);
        uf_page_axis_label(ay, i, text, sizeof(text));
        draw_text(c, text, ax->from - 10, y, 1, 0.5);
    }
}

static void draw_x_ticks(cairo_t* c, const UfPageAxis* ax, const UfPageAxis* ay) {
    char text[64];
    for (int i = 0; i < ax->num_ticks; i++) {
        const double x = uf_page_axis_tick(ax, i);
        set_grey(c, 0.93);
        cairo_move_to(c, floor(x) + 0.5, ay->from);
        cairo_line_to(c, floor(x) + 0.5, ay->to);
        cairo_stroke(c);
        set_grey(c, 0.2);
        uf_page_axis_label(ax, i, text, sizeof(text));
        draw_text(c, text, x, ay->from + 8, 0.5, 0);
    }
}

static void draw_frame(cairo_t* c, const UfPageAxis* ax, const UfPageAxis* ay, bool y_ticks) {
    cairo_set_font_size(c, 15);
    cairo_set_line_width(c, 1);
    if (y_ticks) draw_y_ticks(c, ax, ay);
    draw_x_ticks(c, ax, ay);
    cairo_move_to(c, ax->from + 0.5, ay->to);
    cairo_line_to(c, ax->from + 0.5, ay->from + 0.5);
    cairo_line_to(c, ax->to, ay->from + 0.5);
    cairo_stroke(c);
}

// Nullable: each of the three
static void draw_names(cairo_t* c, const UfPageAxis* ax, const UfPageAxis* ay, const char* title,
                       const char* x_label, const char* y_label) {
    const double middle = (ax->from + ax->to) / 2, room = ax->to - ax->from + 60;
    set_grey(c, 0.2);
    if (x_label) draw_text_within(c, x_label, middle, ay->from + BOTTOM - 14, 0.5, 1, 16, room);
    if (title) draw_text_within(c, title, middle, 16, 0.5, 0, 19, room);
    if (!y_label) return;
    cairo_save(c);
    cairo_translate(c, 16, (ay->from + ay->to) / 2);
    cairo_rotate(c, -TURN / 4);
    draw_text_within(c, y_label, 0, 0, 0.5, 0, 16, ay->from - ay->to + 40);
    cairo_restore(c);
}

// ---- lines ----

static bool has_point(const UfSeries* s, int i, const UfPageAxis* ax, const UfPageAxis* ay) {
    return axis_takes(ax, s->x[i]) && axis_takes(ay, s->y[i]);
}
static bool has_band(const UfSeries* s, int i, const UfPageAxis* ax, const UfPageAxis* ay) {
    return axis_takes(ax, s->x[i]) && axis_takes(ay, s->low[i]) && axis_takes(ay, s->high[i]);
}

// The band is one polygon for each stretch of finite points: along the lower edge, back along the upper one.
static void draw_band(cairo_t* c, const UfSeries* s, const UfPageAxis* ax, const UfPageAxis* ay) {
    for (int start = 0; start < s->num_points;) {
        int end = start;
        for (; end < s->num_points && has_band(s, end, ax, ay); end++) {
            cairo_line_to(c, uf_page_axis_pixel(ax, s->x[end]), uf_page_axis_pixel(ay, s->low[end]));
        }
        for (int i = end - 1; i >= start; i--)
            cairo_line_to(c, uf_page_axis_pixel(ax, s->x[i]), uf_page_axis_pixel(ay, s->high[i]));
        cairo_close_path(c);
        cairo_fill(c);
        start = end + 1;
    }
}

// Points that are not finite are left out and the line goes on to the next one. Few points get a mark each, of many
// only some, so that the line can be told from others.
static void draw_line(cairo_t* c, const UfSeries* s, int series, const UfPageAxis* ax, const UfPageAxis* ay) {
    int count = 0;
    for (int i = 0; i < s->num_points; i++) {
        if (!has_point(s, i, ax, ay)) continue;
        cairo_line_to(c, uf_page_axis_pixel(ax, s->x[i]), uf_page_axis_pixel(ay, s->y[i]));
        count++;
    }
    cairo_stroke(c);
    double last = -INFINITY;
    for (int i = 0; i < s->num_points; i++) {
        if (!has_point(s, i, ax, ay)) continue;
        const double x = uf_page_axis_pixel(ax, s->x[i]);
        if (count > 40 && x < last + MARK_ROOM) continue;
        draw_mark(c, series, x, uf_page_axis_pixel(ay, s->y[i]), 3.5);
        last = x;
    }
}

static void fit_axes(const UfPlot* plot, UfPageAxis* ax, UfPageAxis* ay) {
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (int k = 0; k < plot->num_series; k++) {
        const UfSeries* s = &plot->series[k];
        for (int i = 0; i < s->num_points; i++) {
            if (!has_point(s, i, ax, ay)) continue;
            double x = uf_page_axis_value(ax, s->x[i]);
            bool band = s->low && s->high && has_band(s, i, ax, ay);
            low[0] = fmin(low[0], x), high[0] = fmax(high[0], x);
            low[1] = fmin(low[1], uf_page_axis_value(ay, band ? fmin(s->y[i], s->low[i]) : s->y[i]));
            high[1] = fmax(high[1], uf_page_axis_value(ay, band ? fmax(s->y[i], s->high[i]) : s->y[i]));
        }
    }
    uf_page_axis_fit(ax, low[0], high[0], (int)fmax(2, (ax->to - ax->from) / TICK_ROOM), false);
    uf_page_axis_fit(ay, low[1], high[1], 6, true);
}

// One chart, with its corner at the origin.
static void draw_plot(cairo_t* c, const UfPlot* plot, double width, double height) {
    UfPageAxis ax = {.log = plot->log_x, .from = 92, .to = width - 32};
    UfPageAxis ay = {.log = plot->log_y, .from = height - BOTTOM, .to = TOP};
    fit_axes(plot, &ax, &ay);
    draw_frame(c, &ax, &ay, true);
    draw_names(c, &ax, &ay, plot->title, plot->x_label, plot->y_label);

    cairo_save(c);
    cairo_rectangle(c, ax.from - 5, ay.to - 5, ax.to - ax.from + 10, ay.from - ay.to + 10);
    cairo_clip(c);
    for (int k = 0; k < plot->num_series; k++) {
        if (!plot->series[k].low || !plot->series[k].high) continue;
        set_colour(c, k, 0.2);
        draw_band(c, &plot->series[k], &ax, &ay);
    }
    cairo_set_line_width(c, 2.5);
    cairo_set_line_join(c, CAIRO_LINE_JOIN_ROUND);
    for (int k = 0; k < plot->num_series; k++) {
        set_colour(c, k, 1);
        set_dash(c, k);
        draw_line(c, &plot->series[k], k, &ax, &ay);
    }
    cairo_restore(c);
}

// ---- comparisons ----

static const char* row_label(const UfRow* row) { return row->label ? row->label : ""; }

// The single values are spread over the height of their row, in order, so that equal ones stay apart.
static void draw_row(cairo_t* c, const UfRow* row, int index, const UfPageAxis* ax, double y) {
    set_colour(c, index, 0.45);
    for (int i = 0; i < row->num_points; i++) {
        if (!axis_takes(ax, row->points[i])) continue;
        const double share = row->num_points > 1 ? (double)i / (row->num_points - 1) - 0.5 : 0;
        cairo_arc(c, uf_page_axis_pixel(ax, row->points[i]), y + 0.6 * ROW_HEIGHT * share, 3, 0, TURN);
        cairo_fill(c);
    }
    if (!row->num_points || !axis_takes(ax, row->value)) return;
    set_colour(c, index, 1);
    if (axis_takes(ax, row->low) && axis_takes(ax, row->high)) {
        const double ends[] = {uf_page_axis_pixel(ax, row->low), uf_page_axis_pixel(ax, row->high)};
        cairo_set_line_width(c, 2.5);
        cairo_move_to(c, ends[0], y);
        cairo_line_to(c, ends[1], y);
        for (int i = 0; i < 2; i++) {
            cairo_move_to(c, ends[i], y - 9);
            cairo_line_to(c, ends[i], y + 9);
        }
        cairo_stroke(c);
    }
    mark_path(c, index, uf_page_axis_pixel(ax, row->value), y, 5.5);
    cairo_fill_preserve(c);
    cairo_set_source_rgb(c, 1, 1, 1);
    cairo_set_line_width(c, 1);
    cairo_stroke(c);
}

static void fit_row_axis(const UfComparison* comparison, UfPageAxis* ax) {
    double low = INFINITY, high = -INFINITY;
    for (int k = 0; k < comparison->num_rows; k++) {
        const UfRow* row = &comparison->rows[k];
        const double shown[] = {row->value, row->low, row->high};
        for (int i = 0; i < row->num_points + 3 && row->num_points; i++) {
            const double x = i < 3 ? shown[i] : row->points[i - 3];
            if (axis_takes(ax, x)) low = fmin(low, x), high = fmax(high, x);
        }
    }
    uf_page_axis_fit(ax, low, high, (int)fmax(2, (ax->to - ax->from) / TICK_ROOM), true);
}

static void draw_comparison(cairo_t* c, const UfComparison* comparison, double labels, double width,
                            double height) {
    UfPageAxis ax = {.from = labels, .to = width - 40}, ay = {.from = height - BOTTOM, .to = TOP};
    fit_row_axis(comparison, &ax);
    draw_frame(c, &ax, &ay, false);
    draw_names(c, &ax, &ay, comparison->title, comparison->x_label, NULL);
    for (int k = 0; k < comparison->num_rows; k++) {
        const double y = TOP + (k + 0.5) * ROW_HEIGHT;
        set_grey(c, 0.2);
        cairo_set_font_size(c, 15);
        draw_text(c, row_label(&comparison->rows[k]), ax.from - 12, y, 1, 0.5);
        draw_row(c, &comparison->rows[k], k, &ax, y);
    }
}

// ---- layout ----

typedef struct Layout {
    int columns;
    double width, height;  // of the picture
    double chart_width, chart_height;
    double labels;    // width of the row labels of a comparison
    double legend_x;  // 0: no legend
} Layout;

static const char* series_label(const UfSeries* s) { return s->label ? s->label : ""; }

// To the right of the charts, so that it never hides a line.
static void draw_legend(cairo_t* c, const UfPlot* plot, double x, double y) {
    cairo_set_line_width(c, 2.5);
    cairo_set_font_size(c, 15);
    for (int i = 0; i < plot->num_series; i++, y += LEGEND_LINE) {
        set_colour(c, i, 1);
        set_dash(c, i);
        cairo_move_to(c, x, y);
        cairo_line_to(c, x + 30, y);
        cairo_stroke(c);
        draw_mark(c, i, x + 15, y, 3.5);
        set_grey(c, 0.2);
        draw_text(c, series_label(&plot->series[i]), x + 38, y, 0, 0.5);
    }
    cairo_set_dash(c, NULL, 0, 0);
}

static int num_columns(int num_charts) {
    int columns = num_charts <= 3 ? num_charts : 2;
    while (columns < MAX_COLUMNS && columns * columns < num_charts) columns++;
    return columns;
}

// A legend takes its room from a single chart, as long as it is not too wide.
static void measure_plots(cairo_t* c, const UfPicture* p, Layout* l) {
    const bool single = p->num_charts == 1;
    double legend = 0;
    l->chart_height = single ? HEIGHT : PANEL_HEIGHT;
    cairo_set_font_size(c, 15);
    for (int i = 0; i < p->plots->num_series; i++)
        legend = fmax(legend, ceil(text_width(c, series_label(&p->plots->series[i]))) + 38 + 20);
    if (single && p->plots->num_series < 2) legend = 0;
    l->chart_width = single ? WIDTH - fmin(legend, WIDTH / 3.0) : PANEL_WIDTH;
    l->width = l->columns * l->chart_width;
    if (!legend) return;
    l->legend_x = l->width - 8;
    l->width += legend - (single ? 0 : 8);
}

static void measure_comparisons(cairo_t* c, const UfPicture* p, Layout* l) {
    l->labels = 40;
    cairo_set_font_size(c, 15);
    for (int i = 0; i < p->num_charts; i++)
        for (int k = 0; k < p->comparisons[i].num_rows; k++)
            l->labels = fmax(l->labels, 32 + ceil(text_width(c, row_label(&p->comparisons[i].rows[k]))));
    l->chart_width = p->num_charts == 1 ? fmax(WIDTH, l->labels + PANEL_WIDTH) : l->labels + PANEL_WIDTH - 92;
    l->chart_height = TOP + BOTTOM + ROW_HEIGHT * p->comparisons->num_rows;
    l->width = l->columns * l->chart_width;
}

static Layout measure(const UfPicture* p) {
    cairo_surface_t* none = cairo_image_surface_create(CAIRO_FORMAT_A8, 1, 1);
    cairo_t* c = cairo_create(none);
    Layout l = {.columns = num_columns(p->num_charts)};
    cairo_select_font_face(c, FONT, CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    if (p->plots)
        measure_plots(c, p, &l);
    else
        measure_comparisons(c, p, &l);
    l.height = (p->num_charts + l.columns - 1) / l.columns * l.chart_height;
    if (l.legend_x > 0) l.height = fmax(l.height, TOP + 20 + LEGEND_LINE * p->plots->num_series);
    if (p->caption) l.height += CAPTION_HEIGHT;
    cairo_destroy(c);
    cairo_surface_destroy(none);
    return l;
}

static void draw(cairo_t* c, const UfPicture* p, const Layout* l) {
    cairo_set_source_rgb(c, 1, 1, 1);
    cairo_paint(c);
    cairo_select_font_face(c, FONT, CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    for (int i = 0; i < p->num_charts; i++) {
        cairo_save(c);
        cairo_translate(c, i % l->columns * l->chart_width, i / l->columns * l->chart_height);
        if (p->plots)
            draw_plot(c, &p->plots[i], l->chart_width, l->chart_height);
        else
            draw_comparison(c, &p->comparisons[i], l->labels, l->chart_width, l->chart_height);
        cairo_restore(c);
    }
    if (l->legend_x > 0) draw_legend(c, p->plots, l->legend_x, TOP + 12);
    if (!p->caption) return;
    set_grey(c, 0.4);
    draw_text_within(c, p->caption, 16, l->height - 12, 0, 1, 14, l->width - 32);
}

// ---- files ----

typedef struct Drawing {
    const UfPicture* picture;
    Layout layout;
} Drawing;

static UfStatus draw_page(cairo_t* c, void* user) {
    const Drawing* d = user;
    draw(c, d->picture, &d->layout);
    return UF_OK;
}

UfStatus uf_picture_write(const UfPicture* picture, const char* path) {
    UF_TRY(uf_picture_check(path));
    if (picture->num_charts < 1) return UF_FAIL(UF_ERR_ARGUMENT, "%s: no chart to draw", path);
    Drawing drawing = {picture, measure(picture)};
    return uf_page_write(path, drawing.layout.width, drawing.layout.height, draw_page, &drawing);
}

#endif
