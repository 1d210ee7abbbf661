// page.c: what pictures made with cairo share.
//
// Ticks after Heckbert, "Nice numbers for graph labels", Graphics Gems (1990).
#ifndef UF_NO_CAIRO

#include "core/pictures/page.h"

#include <cairo-pdf.h>
#include <cairo-svg.h>
#include <math.h>
#include <stdio.h>  // snprintf
#include <string.h>
#include <strings.h>  // strcasecmp
#include <unistd.h>   // unlink

#define FONT "DejaVu Sans"

// ---- text ----

void uf_page_font(cairo_t* c, double size, bool bold) {
    cairo_select_font_face(c, FONT, CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(c, size);
}

double uf_page_text_width(cairo_t* c, const char* text) {
    cairo_text_extents_t size;
    cairo_text_extents(c, text, &size);
    return size.x_advance;
}

void uf_page_text(cairo_t* c, const char* text, double x, double y, double align) {
    cairo_move_to(c, floor(x - align * uf_page_text_width(c, text)), y);
    cairo_show_text(c, text);
}

void uf_page_text_within(cairo_t* c, const char* text, double x, double y, double align, double size,
                         double most) {
    uf_page_font(c, size, false);
    const double width = uf_page_text_width(c, text);
    if (width > most) uf_page_font(c, size * most / width, false);
    uf_page_text(c, text, x, y, align);
}

// ---- axes ----

void uf_page_diverging(double rgb[3], double x) {
    static const double ends[2][3] = {{0, 114 / 255.0, 178 / 255.0}, {213 / 255.0, 94 / 255.0, 0}};
    const double size = fmin(fabs(x), 1);
    for (int i = 0; i < 3; i++) rgb[i] = 1 + size * (ends[x > 0][i] - 1);
}

// The step 1, 2 or 5 times a power of ten that cuts the range into about `count` parts.
static double nice_step(double range, int count) {
    double rough = range / count, power = pow(10, floor(log10(rough))), part = rough / power;
    return power * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10);
}

static void add_tick(UfPageAxis* axis, double value) {
    double slack = 1e-9 * (axis->high - axis->low);
    if (axis->num_ticks == UF_PAGE_MAX_TICKS || value < axis->low - slack || value > axis->high + slack)
        return;
    axis->ticks[axis->num_ticks++] = value;
}

void uf_page_axis_fit(UfPageAxis* axis, double low, double high, int count, bool snap) {
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
    for (double i = floor(axis->low / step);
         i * step < axis->high + step / 2 && axis->num_ticks < UF_PAGE_MAX_TICKS; i++) {
        add_tick(axis, i * step);
        if (!axis->log || axis->high - axis->low > 2.5) continue;
        add_tick(axis, i + 0.30102999566398120);  // 2 and 5 of a short log axis
        add_tick(axis, i + 0.69897000433601880);
    }
}

double uf_page_axis_value(const UfPageAxis* axis, double value) { return axis->log ? log10(value) : value; }

double uf_page_axis_pixel(const UfPageAxis* axis, double value) {
    double v = uf_page_axis_value(axis, value);
    return axis->from + (v - axis->low) / (axis->high - axis->low) * (axis->to - axis->from);
}

void uf_page_axis_label(const UfPageAxis* axis, int tick, char* text, size_t bytes) {
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

double uf_page_axis_tick(const UfPageAxis* axis, int tick) {
    return axis->from + (axis->ticks[tick] - axis->low) / (axis->high - axis->low) * (axis->to - axis->from);
}

// ---- files ----

UfStatus uf_page_failed(const char* path, cairo_status_t status) {
    return UF_FAIL(
        status == CAIRO_STATUS_NO_MEMORY ? UF_ERR_MEMORY : UF_ERR_IO, "%s: cannot draw the pictures: %s%s",
        path, cairo_status_to_string(status),
        status == CAIRO_STATUS_WRITE_ERROR ? "; is their folder there, and room on the disk?" : "");
}

UfStatus uf_page_write_png(cairo_surface_t* surface, const char* path) {
    UfText name = {0};
    char* temporary;
    uf_text_add(&name, "%s.tmp", path);
    UF_TRY(uf_text_finish(&name, &temporary));
    cairo_status_t written = cairo_surface_write_to_png(surface, temporary);
    UfStatus status = UF_OK;
    if (written != CAIRO_STATUS_SUCCESS)
        status =
            UF_FAIL(UF_ERR_IO, "%s: cannot write the picture: %s", path, cairo_status_to_string(written));
    if (status == UF_OK) status = uf_commit_file(temporary, path);
    if (status != UF_OK) unlink(temporary);
    uf_free(temporary);
    return status;
}

static cairo_surface_t* create_surface(const char* ending, const char* path, double width, double height) {
    if (!strcasecmp(ending, ".svg")) return cairo_svg_surface_create(path, width, height);
    if (!strcasecmp(ending, ".pdf")) return cairo_pdf_surface_create(path, width, height);
    return cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)width, (int)height);
}

// Draws, and writes what the surface has not written yet. png: where a PNG goes; NULL: it is none.
static UfStatus fill_page(cairo_surface_t* surface, const char* path, const char* png,
                          UfStatus (*draw)(cairo_t* c, void* user), void* user) {
    cairo_t* c = cairo_create(surface);
    cairo_set_source_rgb(c, 1, 1, 1);
    cairo_paint(c);
    UfStatus status = draw(c, user);
    cairo_status_t drawn = cairo_status(c);
    cairo_destroy(c);
    if (status != UF_OK) return status;
    if (drawn == CAIRO_STATUS_SUCCESS && png) drawn = cairo_surface_write_to_png(surface, png);
    cairo_surface_finish(surface);
    if (drawn == CAIRO_STATUS_SUCCESS) drawn = cairo_surface_status(surface);
    return drawn == CAIRO_STATUS_SUCCESS ? UF_OK : uf_page_failed(path, drawn);
}

UfStatus uf_page_write(const char* path, double width, double height,
                       UfStatus (*draw)(cairo_t* c, void* user), void* user) {
    const char* ending = strrchr(path, '.') ? strrchr(path, '.') : "";
    const bool png = strcasecmp(ending, ".svg") != 0 && strcasecmp(ending, ".pdf") != 0;
    UfText name = {0};
    char* temporary;
    if (png && (width > UF_PAGE_MAX_SIDE || height > UF_PAGE_MAX_SIDE))
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "%s: a picture of %.0f x %.0f is too large for a PNG, %d is the largest side; write "
                       "a .pdf or .svg",
                       path, width, height, UF_PAGE_MAX_SIDE);
    uf_text_add(&name, "%s.tmp", path);
    UF_TRY(uf_text_finish(&name, &temporary));
    cairo_surface_t* surface = create_surface(ending, temporary, width, height);
    UfStatus status = cairo_surface_status(surface) == CAIRO_STATUS_SUCCESS
                          ? fill_page(surface, path, png ? temporary : NULL, draw, user)
                          : uf_page_failed(path, cairo_surface_status(surface));
    cairo_surface_destroy(surface);
    if (status == UF_OK) status = uf_commit_file(temporary, path);
    if (status != UF_OK) unlink(temporary);
    uf_free(temporary);
    return status;
}

#else

typedef int uf_page_is_not_here;  // a file of C holds something

#endif
