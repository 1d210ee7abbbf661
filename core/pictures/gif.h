// gif.h: animations as GIF files, by giflib.
#ifndef UF_GIF_H
#define UF_GIF_H

#include "core/core.h"

typedef struct UfGif UfGif;

// Begins a file of this many pixels; it stands beside path until uf_gif_close has the last frame.
// Errors: UF_ERR_UNSUPPORTED where giflib was not there at build time, UF_ERR_IO.
UfStatus uf_gif_open(UfGif** out, const char* path, int width, int height);
// Appends a picture that is shown for so long. pixels: 0xRRGGBB, rows of `stride` pixels.
UfStatus uf_gif_add(UfGif* gif, const uint32_t* pixels, int stride, int centiseconds);
// Puts the finished file in its place, and frees.
UfStatus uf_gif_close(UfGif* gif);
// Frees and leaves no file.
void uf_gif_abandon(UfGif* gif);

#endif
