// page.c: what pictures made with cairo share.
#ifndef UF_NO_CAIRO

#include "page.h"

#include <cairo-pdf.h>
#include <cairo-svg.h>
#include <math.h>
#include <string.h>
#include <strings.h>  // strcasecmp
#include <unistd.h>   // unlink

#define FONT "DejaVu Sans"

void uf_page_font(cairo_t* c, double size, bool bold) {
    cairo_select_font_face(c, FONT, CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(c, size);
}

void uf_page_text(cairo_t* c, const char* text, double x, double y, double align) {
    cairo_text_extents_t size;
    cairo_text_extents(c, text, &size);
    cairo_move_to(c, floor(x - align * size.x_advance), y);
    cairo_show_text(c, text);
}

UfStatus uf_page_failed(const char* path, cairo_status_t status) {
    return UF_FAIL(status == CAIRO_STATUS_NO_MEMORY ? UF_ERR_MEMORY : UF_ERR_IO,
                   "%s: cannot draw the pictures: %s%s", path, cairo_status_to_string(status),
                   status == CAIRO_STATUS_WRITE_ERROR ? "; does their folder exist?" : "");
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
