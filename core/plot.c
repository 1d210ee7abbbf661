// plot.c: line charts with bands. draw() knows cairo and no file format; uf_plot_write picks the surface by
// the ending.
//
// Sources: palette of Okabe and Ito, "Color Universal Design" (2008); ticks after Heckbert, "Nice numbers for
// graph labels", Graphics Gems (1990).
#include "plot.h"

#ifdef UF_NO_CAIRO

UfStatus uf_plot_write(const UfPlot* plot, const char* path) { return uf_plot_write_grid(plot, 1, path); }

UfStatus uf_plot_write_grid(const UfPlot* plots, int num_plots, const char* path) {
    (void)plots;
    (void)num_plots;
    return UF_FAIL(UF_ERR_UNSUPPORTED,
                   "%s: this build draws no charts; install libcairo2-dev and build again", path);
}

#else

#include <cairo-pdf.h>
#include <cairo-svg.h>
#include <cairo.h>
#include <math.h>
#include <stdio.h>  // snprintf
#include <string.h>
#include <strings.h>  // strcasecmp

#define WIDTH 1000  // of a picture of one chart
#define HEIGHT 640
#define PANEL_WIDTH 520  // of a chart among others
#define PANEL_HEIGHT 380
#define MAX_COLUMNS 4
#define FONT "DejaVu Sans"
#define MAX_TICKS 64

static const double palette[][3] = {
    {0.000, 0.447, 0.698}, {0.835, 0.369, 0.000}, {0.000, 0.620, 0.451}, {0.800, 0.475, 0.655},
    {0.902, 0.624, 0.000}, {0.337, 0.706, 0.914}, {0.941, 0.894, 0.259}, {0.000, 0.000, 0.000},
};
#define NUM_COLOURS ((int)(sizeof(palette) / sizeof(palette[0])))

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

// ---- drawing ----

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

// Text with its anchor at (x, y): h and v are 0 left/top, 0.5 middle, 1 right/bottom.
static void draw_text(cairo_t* c, const char* text, double x, double y, double h, double v) {
    cairo_text_extents_t size;
    cairo_font_extents_t font;
    cairo_text_extents(c, text, &size);
    cairo_font_extents(c, &font);
    cairo_move_to(c, x - h * size.x_advance, y + (1 - v) * font.ascent - v * font.descent);
    cairo_show_text(c, text);
    cairo_new_path(c);
}

static void draw_frame(cairo_t* c, const UfPlot* plot, const Axis* ax, const Axis* ay, double height) {
    char text[64];
    cairo_set_font_size(c, 15);
    cairo_set_line_width(c, 1);
    for (int i = 0; i < ay->num_ticks; i++) {
        double y = ay->from + (ay->ticks[i] - ay->low) / (ay->high - ay->low) * (ay->to - ay->from);
        cairo_set_source_rgb(c, 0.88, 0.88, 0.88);
        cairo_move_to(c, ax->from, floor(y) + 0.5);
        cairo_line_to(c, ax->to, floor(y) + 0.5);
        cairo_stroke(c);
        cairo_set_source_rgb(c, 0.2, 0.2, 0.2);
        axis_label(ay, i, text, sizeof(text));
        draw_text(c, text, ax->from - 10, y, 1, 0.5);
    }
    for (int i = 0; i < ax->num_ticks; i++) {
        double x = ax->from + (ax->ticks[i] - ax->low) / (ax->high - ax->low) * (ax->to - ax->from);
        cairo_set_source_rgb(c, 0.93, 0.93, 0.93);
        cairo_move_to(c, floor(x) + 0.5, ay->from);
        cairo_line_to(c, floor(x) + 0.5, ay->to);
        cairo_stroke(c);
        cairo_set_source_rgb(c, 0.2, 0.2, 0.2);
        axis_label(ax, i, text, sizeof(text));
        draw_text(c, text, x, ay->from + 8, 0.5, 0);
    }
    cairo_set_source_rgb(c, 0.2, 0.2, 0.2);
    cairo_move_to(c, ax->from + 0.5, ay->to);
    cairo_line_to(c, ax->from + 0.5, ay->from + 0.5);
    cairo_line_to(c, ax->to, ay->from + 0.5);
    cairo_stroke(c);

    cairo_set_font_size(c, 16);
    if (plot->x_label) draw_text(c, plot->x_label, (ax->from + ax->to) / 2, height - 14, 0.5, 1);
    if (plot->y_label) {
        cairo_save(c);
        cairo_translate(c, 16, (ay->from + ay->to) / 2);
        cairo_rotate(c, -1.57079632679489662);
        draw_text(c, plot->y_label, 0, 0, 0.5, 0);
        cairo_restore(c);
    }
    cairo_set_font_size(c, 19);
    if (plot->title) draw_text(c, plot->title, (ax->from + ax->to) / 2, 16, 0.5, 0);
}

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

// Points that are not finite are left out and the line goes on to the next one; few points get dots.
static void draw_line(cairo_t* c, const UfSeries* s, const Axis* ax, const Axis* ay) {
    int count = 0;
    for (int i = 0; i < s->num_points; i++) {
        if (!has_point(s, i, ax, ay)) continue;
        cairo_line_to(c, axis_pixel(ax, s->x[i]), axis_pixel(ay, s->y[i]));
        count++;
    }
    cairo_stroke(c);
    for (int i = 0; i < s->num_points && count <= 40; i++) {
        if (!has_point(s, i, ax, ay)) continue;
        cairo_arc(c, axis_pixel(ax, s->x[i]), axis_pixel(ay, s->y[i]), 3.5, 0, 6.28318530717958648);
        cairo_fill(c);
    }
}

// To the right of the plot, so that it never hides a line.
static void draw_legend(cairo_t* c, const UfPlot* plot, double x, double y) {
    cairo_set_line_width(c, 2.5);
    cairo_set_font_size(c, 15);
    for (int i = 0; i < plot->num_series; i++, y += 26) {
        set_colour(c, i, 1);
        set_dash(c, i);
        cairo_move_to(c, x, y);
        cairo_line_to(c, x + 24, y);
        cairo_stroke(c);
        cairo_set_source_rgb(c, 0.2, 0.2, 0.2);
        draw_text(c, plot->series[i].label ? plot->series[i].label : "", x + 32, y, 0, 0.5);
    }
}

static double legend_width(cairo_t* c, const UfPlot* plot) {
    double width = 0;
    cairo_set_font_size(c, 15);
    for (int i = 0; i < plot->num_series; i++) {
        cairo_text_extents_t size;
        cairo_text_extents(c, plot->series[i].label ? plot->series[i].label : "", &size);
        width = fmax(width, size.x_advance);
    }
    return fmin(width + 32, WIDTH / 3.0);
}

// One chart, with its corner at the origin.
static void draw_chart(cairo_t* c, const UfPlot* plot, double width, double height, bool legend) {
    Axis ax = {.log = plot->log_x, .from = 92, .to = width - 32 - (legend ? legend_width(c, plot) + 16 : 0)};
    Axis ay = {.log = plot->log_y, .from = height - 76, .to = 58};
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (int k = 0; k < plot->num_series; k++) {
        const UfSeries* s = &plot->series[k];
        for (int i = 0; i < s->num_points; i++) {
            if (!has_point(s, i, &ax, &ay)) continue;
            double x = axis_value(&ax, s->x[i]);
            bool band = s->low && s->high && has_band(s, i, &ax, &ay);
            low[0] = fmin(low[0], x), high[0] = fmax(high[0], x);
            low[1] = fmin(low[1], axis_value(&ay, band ? fmin(s->y[i], s->low[i]) : s->y[i]));
            high[1] = fmax(high[1], axis_value(&ay, band ? fmax(s->y[i], s->high[i]) : s->y[i]));
        }
    }
    axis_fit(&ax, low[0], high[0], 8, false);
    axis_fit(&ay, low[1], high[1], 6, true);
    draw_frame(c, plot, &ax, &ay, height);

    cairo_save(c);
    cairo_rectangle(c, ax.from, ay.to - 4, ax.to - ax.from + 4, ay.from - ay.to + 4);
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
        draw_line(c, &plot->series[k], &ax, &ay);
    }
    cairo_restore(c);
    if (legend) draw_legend(c, plot, ax.to + 20, ay.to + 12);
}

static int num_columns(int num_plots) {
    int columns = num_plots <= 3 ? num_plots : 2;
    while (columns < MAX_COLUMNS && columns * columns < num_plots) columns++;
    return columns;
}

static void draw(cairo_t* c, const UfPlot* plots, int num_plots) {
    const int columns = num_columns(num_plots);
    cairo_set_source_rgb(c, 1, 1, 1);
    cairo_paint(c);
    cairo_select_font_face(c, FONT, CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    if (num_plots == 1) {
        draw_chart(c, plots, WIDTH, HEIGHT, plots->num_series > 1);
        return;
    }
    for (int i = 0; i < num_plots; i++) {
        cairo_save(c);
        cairo_translate(c, i % columns * PANEL_WIDTH, i / columns * PANEL_HEIGHT);
        draw_chart(c, &plots[i], PANEL_WIDTH, PANEL_HEIGHT, false);
        cairo_restore(c);
    }
    draw_legend(c, plots, columns * PANEL_WIDTH, 70);
}

// Pixels, or points of a PDF.
static void measure(const UfPlot* plots, int num_plots, double* width, double* height) {
    const int columns = num_columns(num_plots);
    *width = WIDTH, *height = HEIGHT;
    if (num_plots == 1) return;
    cairo_surface_t* none = cairo_image_surface_create(CAIRO_FORMAT_A8, 1, 1);
    cairo_t* c = cairo_create(none);
    cairo_select_font_face(c, FONT, CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    *width = ceil(columns * PANEL_WIDTH + legend_width(c, plots) + 24);
    *height = (num_plots + columns - 1) / columns * PANEL_HEIGHT;
    cairo_destroy(c);
    cairo_surface_destroy(none);
}

// ---- files ----

UfStatus uf_plot_write(const UfPlot* plot, const char* path) { return uf_plot_write_grid(plot, 1, path); }

UfStatus uf_plot_write_grid(const UfPlot* plots, int num_plots, const char* path) {
    double width, height;
    const char* ending = strrchr(path, '.');
    bool png = ending && !strcasecmp(ending, ".png"), svg = ending && !strcasecmp(ending, ".svg");
    bool pdf = ending && !strcasecmp(ending, ".pdf");
    if (!png && !svg && !pdf) {
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: the ending of a chart's name must be .png, .svg or .pdf", path);
    }
    if (num_plots < 1) return UF_FAIL(UF_ERR_ARGUMENT, "%s: no chart to draw", path);
    measure(plots, num_plots, &width, &height);
    cairo_surface_t* surface = svg ? cairo_svg_surface_create(path, width, height)
                               : pdf
                                   ? cairo_pdf_surface_create(path, width, height)
                                   : cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)width, (int)height);
    cairo_t* c = cairo_create(surface);
    draw(c, plots, num_plots);
    cairo_status_t status = cairo_status(c);
    cairo_destroy(c);
    if (status == CAIRO_STATUS_SUCCESS && png) status = cairo_surface_write_to_png(surface, path);
    cairo_surface_finish(surface);  // writes the rest of an SVG or PDF
    if (status == CAIRO_STATUS_SUCCESS) status = cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    if (status == CAIRO_STATUS_NO_MEMORY)
        return UF_FAIL(UF_ERR_MEMORY, "%s: out of memory while drawing", path);
    if (status != CAIRO_STATUS_SUCCESS) {
        return UF_FAIL(UF_ERR_IO, "%s: cannot write the chart: %s", path, cairo_status_to_string(status));
    }
    return UF_OK;
}

#endif
