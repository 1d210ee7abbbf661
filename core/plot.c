// plot.c: charts. draw() knows cairo and no file format; page.c picks the surface by the ending.
//
// Rooms: axes, colours and marks, text, frame, lines, comparisons, layout, files.
// Sources: palette of Okabe and Ito, "Color Universal Design" (2008), without its yellow, which is faint on white;
// ticks after Heckbert, "Nice numbers for graph labels", Graphics Gems (1990).
#include "plot.h"

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

#include "page.h"

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
#define MAX_TICKS 64
#define TURN 6.28318530717958648

// ---- axes ----

typedef struct Axis {
    double low, high;  // range shown; of a log axis: of log10
    double from, to;   // pixels
    bool log;
    int num_ticks, decimals;
    double ticks[MAX_TICKS];  // in the units of low and high
} Axis;

// The step 1, 2 or 5 times a power of ten that cuts the range into about `count` parts.
static double nice_step(double range, int count) {
    double rough = range / count, power = pow(10, floor(log10(rough))), part = rough / power;
    return power * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10);
}

static void add_tick(Axis* axis, double value) {
    double slack = 1e-9 * (axis->high - axis->low);
    if (axis->num_ticks == MAX_TICKS || value < axis->low - slack || value > axis->high + slack) return;
    axis->ticks[axis->num_ticks++] = value;
}

// Sets range and ticks for data in [low, high]; `snap` widens the range to whole ticks.
static void axis_fit(Axis* axis, double low, double high, int count, bool snap) {
    if (!(low <= high)) low = 0, high = 1;  // no data
    if (!axis->log && low > 0 && low < 0.25 * high) low = 0;
    if (high - low < 1e-12 * fmax(1, fmax(fabs(low), fabs(high)))) {
        double margin = fmax(0.5, 0.05 * fabs(low));
        low -= margin, high += margin;
    }
    double step = nice_step(high - low, count);
    if (axis->log) step = fmax(1, round(step));
    axis->low = snap ? floor(low / step + 1e-9) * step : low;
    axis->high = snap ? ceil(high / step - 1e-9) * step : high;
    axis->decimals = (int)fmin(12, fmax(0, -floor(log10(step) + 1e-9)));
    axis->num_ticks = 0;
    for (double i = floor(axis->low / step); i * step < axis->high + step / 2 && axis->num_ticks < MAX_TICKS;
         i++) {
        add_tick(axis, i * step);
        if (!axis->log || axis->high - axis->low > 2.5) continue;
        add_tick(axis, i + 0.30102999566398120);  // 2 and 5 of a short log axis
        add_tick(axis, i + 0.69897000433601880);
    }
}

static bool axis_takes(const Axis* axis, double value) {
    return isfinite(value) && (!axis->log || value > 0);
}

static double axis_value(const Axis* axis, double value) { return axis->log ? log10(value) : value; }

static double axis_pixel(const Axis* axis, double value) {
    double v = axis_value(axis, value);
    return axis->from + (v - axis->low) / (axis->high - axis->low) * (axis->to - axis->from);
}

static void axis_label(const Axis* axis, int tick, char* text, size_t bytes) {
    double v = axis->log ? pow(10, axis->ticks[tick]) : axis->ticks[tick], size = fabs(v);
    double largest = fmax(fabs(axis->low), fabs(axis->high));
    if (axis->log) largest = size;
    if (size == 0)
        snprintf(text, bytes, "0");
    else if (largest >= 1e6 && largest < 1e9)
        snprintf(text, bytes, "%.6gM", v / 1e6);
    else if (largest >= 1e4 && largest < 1e6)
        snprintf(text, bytes, "%.6gk", v / 1e3);
    else if (largest >= 1e9 || largest < 1e-4)
        snprintf(text, bytes, "%.4g", v);
    else if (axis->log)
        snprintf(text, bytes, "%g", v);
    else
        snprintf(text, bytes, "%.*f", axis->decimals, v);
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

static double tick_pixel(const Axis* axis, int tick) {
    return axis->from + (axis->ticks[tick] - axis->low) / (axis->high - axis->low) * (axis->to - axis->from);
}

static void draw_y_ticks(cairo_t* c, const Axis* ax, const Axis* ay) {
    char text[64];
    for (int i = 0; i < ay->num_ticks; i++) {
        const double y = tick_pixel(ay, i);
        set_grey(c, 0.88);
        cairo_move_to(c, ax->from, floor(y) + 0.5);
        cairo_line_to(c, ax->to, floor(y) + 0.5);
        cairo_stroke(c);
        set_grey(c, 0.2);
        axis_label(ay, i, text, sizeof(text));
        draw_text(c, text, ax->from - 10, y, 1, 0.5);
    }
}

static void draw_x_ticks(cairo_t* c, const Axis* ax, const Axis* ay) {
    char text[64];
    for (int i = 0; i < ax->num_ticks; i++) {
        const double x = tick_pixel(ax, i);
        set_grey(c, 0.93);
        cairo_move_to(c, floor(x) + 0.5, ay->from);
        cairo_line_to(c, floor(x) + 0.5, ay->to);
        cairo_stroke(c);
        set_grey(c, 0.2);
        axis_label(ax, i, text, sizeof(text));
        draw_text(c, text, x, ay->from + 8, 0.5, 0);
    }
}

static void draw_frame(cairo_t* c, const Axis* ax, const Axis* ay, bool y_ticks) {
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
static void draw_names(cairo_t* c, const Axis* ax, const Axis* ay, const char* title, const char* x_label,
                       const char* y_label) {
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

static bool has_point(const UfSeries* s, int i, const Axis* ax, const Axis* ay) {
    return axis_takes(ax, s->x[i]) && axis_takes(ay, s->y[i]);
}
static bool has_band(const UfSeries* s, int i, const Axis* ax, const Axis* ay) {
    return axis_takes(ax, s->x[i]) && axis_takes(ay, s->low[i]) && axis_takes(ay, s->high[i]);
}

// The band is one polygon for each stretch of finite points: along the lower edge, back along the upper one.
static void draw_band(cairo_t* c, const UfSeries* s, const Axis* ax, const Axis* ay) {
    for (int start = 0; start < s->num_points;) {
        int end = start;
        for (; end < s->num_points && has_band(s, end, ax, ay); end++) {
            cairo_line_to(c, axis_pixel(ax, s->x[end]), axis_pixel(ay, s->low[end]));
        }
        for (int i = end - 1; i >= start; i--)
            cairo_line_to(c, axis_pixel(ax, s->x[i]), axis_pixel(ay, s->high[i]));
        cairo_close_path(c);
        cairo_fill(c);
        start = end + 1;
    }
}

// Points that are not finite are left out and the line goes on to the next one. Few points get a mark each, of many
// only some, so that the line can be told from others.
static void draw_line(cairo_t* c, const UfSeries* s, int series, const Axis* ax, const Axis* ay) {
    int count = 0;
    for (int i = 0; i < s->num_points; i++) {
        if (!has_point(s, i, ax, ay)) continue;
        cairo_line_to(c, axis_pixel(ax, s->x[i]), axis_pixel(ay, s->y[i]));
        count++;
    }
    cairo_stroke(c);
    double last = -INFINITY;
    for (int i = 0; i < s->num_points; i++) {
        if (!has_point(s, i, ax, ay)) continue;
        const double x = axis_pixel(ax, s->x[i]);
        if (count > 40 && x < last + MARK_ROOM) continue;
        draw_mark(c, series, x, axis_pixel(ay, s->y[i]), 3.5);
        last = x;
    }
}

static void fit_axes(const UfPlot* plot, Axis* ax, Axis* ay) {
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (int k = 0; k < plot->num_series; k++) {
        const UfSeries* s = &plot->series[k];
        for (int i = 0; i < s->num_points; i++) {
            if (!has_point(s, i, ax, ay)) continue;
            double x = axis_value(ax, s->x[i]);
            bool band = s->low && s->high && has_band(s, i, ax, ay);
            low[0] = fmin(low[0], x), high[0] = fmax(high[0], x);
            low[1] = fmin(low[1], axis_value(ay, band ? fmin(s->y[i], s->low[i]) : s->y[i]));
            high[1] = fmax(high[1], axis_value(ay, band ? fmax(s->y[i], s->high[i]) : s->y[i]));
        }
    }
    axis_fit(ax, low[0], high[0], (int)fmax(2, (ax->to - ax->from) / TICK_ROOM), false);
    axis_fit(ay, low[1], high[1], 6, true);
}

// One chart, with its corner at the origin.
static void draw_plot(cairo_t* c, const UfPlot* plot, double width, double height) {
    Axis ax = {.log = plot->log_x, .from = 92, .to = width - 32};
    Axis ay = {.log = plot->log_y, .from = height - BOTTOM, .to = TOP};
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
static void draw_row(cairo_t* c, const UfRow* row, int index, const Axis* ax, double y) {
    set_colour(c, index, 0.45);
    for (int i = 0; i < row->num_points; i++) {
        if (!axis_takes(ax, row->points[i])) continue;
        const double share = row->num_points > 1 ? (double)i / (row->num_points - 1) - 0.5 : 0;
        cairo_arc(c, axis_pixel(ax, row->points[i]), y + 0.6 * ROW_HEIGHT * share, 3, 0, TURN);
        cairo_fill(c);
    }
    if (!row->num_points || !axis_takes(ax, row->value)) return;
    set_colour(c, index, 1);
    if (axis_takes(ax, row->low) && axis_takes(ax, row->high)) {
        const double ends[] = {axis_pixel(ax, row->low), axis_pixel(ax, row->high)};
        cairo_set_line_width(c, 2.5);
        cairo_move_to(c, ends[0], y);
        cairo_line_to(c, ends[1], y);
        for (int i = 0; i < 2; i++) {
            cairo_move_to(c, ends[i], y - 9);
            cairo_line_to(c, ends[i], y + 9);
        }
        cairo_stroke(c);
    }
    mark_path(c, index, axis_pixel(ax, row->value), y, 5.5);
    cairo_fill_preserve(c);
    cairo_set_source_rgb(c, 1, 1, 1);
    cairo_set_line_width(c, 1);
    cairo_stroke(c);
}

static void fit_row_axis(const UfComparison* comparison, Axis* ax) {
    double low = INFINITY, high = -INFINITY;
    for (int k = 0; k < comparison->num_rows; k++) {
        const UfRow* row = &comparison->rows[k];
        const double shown[] = {row->value, row->low, row->high};
        for (int i = 0; i < row->num_points + 3 && row->num_points; i++) {
            const double x = i < 3 ? shown[i] : row->points[i - 3];
            if (axis_takes(ax, x)) low = fmin(low, x), high = fmax(high, x);
        }
    }
    axis_fit(ax, low, high, (int)fmax(2, (ax->to - ax->from) / TICK_ROOM), true);
}

static void draw_comparison(cairo_t* c, const UfComparison* comparison, double labels, double width,
                            double height) {
    Axis ax = {.from = labels, .to = width - 40}, ay = {.from = height - BOTTOM, .to = TOP};
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
