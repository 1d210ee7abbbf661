// page.c: what pictures made with cairo share.
#ifndef UF_NO_CAIRO

#include "page.h"

#include <math.h>
#include <unistd.h>  // unlink

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
                   "%s: cannot draw the pictures: %s", path, cairo_status_to_string(status));
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

#else

typedef int uf_page_is_not_here;  // a file of C holds something

#endif
