// page.h: what pictures made with cairo share: text, and a PNG file.
#ifndef UF_PAGE_H
#define UF_PAGE_H

#ifndef UF_NO_CAIRO

#include <cairo.h>

#include "core.h"

enum { UF_PAGE_MAX_SIDE = 32767 };  // of cairo's images

void uf_page_font(cairo_t* c, double size, bool bold);
// With x at the text's left edge (align 0), its right one (1) or between; y is the base line.
void uf_page_text(cairo_t* c, const char* text, double x, double y, double align);
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
