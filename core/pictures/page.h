// page.h: what pictures made with cairo share: text, axes, and files.
#ifndef UF_PAGE_H
#define UF_PAGE_H

#ifndef UF_NO_CAIRO

#include <cairo.h>

#include "core/core.h"

enum { UF_PAGE_MAX_SIDE = 32767 };  // of cairo's images

void uf_page_font(cairo_t* c, double size, bool bold);
// With x at the text's left edge (align 0), its right one (1) or between; y is the base line.
void uf_page_text(cairo_t* c, const char* text, double x, double y, double align);
double uf_page_text_width(cairo_t* c, const char* text);
// In a font of that size; a smaller one where it would be wider than `most`.
void uf_page_text_within(cairo_t* c, const char* text, double x, double y, double align, double size,
                         double most);

// From blue by white to vermilion (Okabe and Ito's), for x from -1 to 1.
void uf_page_diverging(double rgb[3], double x);

enum { UF_PAGE_MAX_TICKS = 64 };
typedef struct UfPageAxis {
    double low, high;  // range shown; of a log axis: of log10
    double from, to;   // pixels
    bool log;
    int num_ticks, decimals;
    double ticks[UF_PAGE_MAX_TICKS];  // in the units of low and high
} UfPageAxis;
// Sets range and ticks, about `count`, for data in [low, high]; `snap` widens the range to whole ticks.
void uf_page_axis_fit(UfPageAxis* axis, double low, double high, int count, bool snap);
double uf_page_axis_value(const UfPageAxis* axis, double value);  // of a log axis: its log10
double uf_page_axis_pixel(const UfPageAxis* axis, double value);
double uf_page_axis_tick(const UfPageAxis* axis, int tick);  // its pixel
void uf_page_axis_label(const UfPageAxis* axis, int tick, char* text, size_t bytes);

// Writes the file whole or not at all.   Errors: UF_ERR_IO.
UfStatus uf_page_write_png(cairo_surface_t* surface, const char* path);
// A picture of width x height points on white; the ending of path (.png, .svg, .pdf) decides the format. The file is
// written whole or not at all.   Errors: UF_ERR_IO, UF_ERR_MEMORY, UF_ERR_ARGUMENT (too large for a PNG), and draw's.
UfStatus uf_page_write(const char* path, double width, double height,
                       UfStatus (*draw)(cairo_t* c, void* user), void* user);
// The sentence of what cairo says: UF_ERR_MEMORY or UF_ERR_IO.
UfStatus uf_page_failed(const char* path, cairo_status_t status);

#endif

#endif
