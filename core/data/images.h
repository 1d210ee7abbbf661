// images.h: labelled images for supervised distillation: IDX files of MNIST's layout, or glyphs drawn here.
#ifndef UF_IMAGES_H
#define UF_IMAGES_H

#include "core/core.h"

typedef struct UfImages {
    int64_t count;
    int height, width, planes, num_classes;
    float* pixels;    // (count, height, width, planes): x / 255, or ink up to 1; until they are standardised
    uint8_t* labels;  // (count)
} UfImages;

// IDX, plain or gzip: images (count, height, width) u8, labels (count) u8.   Errors: UF_ERR_IO, UF_ERR_FORMAT (magic,
// sizes that differ, a file cut off).
UfStatus uf_images_read_idx(UfImages** out, const char* images_path, const char* labels_path);
// The four files of MNIST (FashionMNIST, ...) in a folder, by their names, each with or without .gz: 60000 images to learn
// from and 10000 for the test. Pixels are x / 255.   Errors: those above; the two sets differ in size.
UfStatus uf_images_read_mnist(const char* folder, UfImages** train, UfImages** test);
// `count` drawn glyphs of `num_classes` kinds (at most 36: digits, then letters), side x side pixels, each shifted by up to
// one pixel and with Gaussian noise of deviation `noise`. Image i is of kind i mod num_classes, and a function of (seed, i)
// alone.
UfStatus uf_images_draw(UfImages** out, int64_t count, int num_classes, int side, double noise,
                        uint64_t seed);
// Both sets less the mean, over the deviation of `train`'s pixels.
void uf_images_standardise(UfImages* train, UfImages* test);
void uf_images_free(UfImages* images);

#endif
