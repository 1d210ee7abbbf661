// images.c: labelled images: IDX files (http://yann.lecun.com/exdb/mnist describes them), glyphs drawn here, standardising.
//
// Rooms: memory, IDX, glyphs, standardising.
#include "core/data/images.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>  // snprintf
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "core/philox.h"

enum {
    MAX_SIDE = 4096,        // of an image in a file
    MAX_DEFLATE = 1032,     // times that gzip makes a file smaller at most
    IMAGES_MAGIC = 0x0803,  // u8, three dimensions
    LABELS_MAGIC = 0x0801,  // u8, one
    GLYPH_WIDTH = 5,
    GLYPH_HEIGHT = 7,
    GLYPH_CELL = 8,  // pixels that a side stands for: a glyph, and room to move
};

// ---- memory ----

static UfStatus create(UfImages** out, int64_t count, int height, int width) {
    UfImages* images = NULL;
    *out = NULL;
    UF_TRY(UF_ALLOC(&images, 1, "images"));
    *images = (UfImages){.count = count, .height = height, .width = width, .planes = 1};
    UfStatus status = UF_ALLOC(&images->pixels, count * height * width, "images");
    if (status == UF_OK) status = UF_ALLOC(&images->labels, count, "labels of images");
    if (status == UF_OK)
        *out = images;
    else
        uf_images_free(images);
    return status;
}

void uf_images_free(UfImages* images) {
    if (!images) return;
    uf_free(images->pixels);
    uf_free(images->labels);
    uf_free(images);
}

// ---- IDX ----

typedef struct Idx {
    const char* path;
    gzFile file;  // reads plain files too
    int64_t file_bytes;
    uint32_t dims[3];
} Idx;

static UfStatus fail_idx(const Idx* x, const char* what) {
    return UF_FAIL(UF_ERR_FORMAT, "%s: %s; copy or download it again", x->path, what);
}

// Exactly so many bytes.
static UfStatus read_bytes(const Idx* x, void* to, int64_t count) {
    uint8_t* at = to;
    while (count > 0) {
        const int num = gzread(x->file, at, (unsigned)(count < 1 << 20 ? count : 1 << 20));
        if (num < 0) {
            int code;
            return UF_FAIL(UF_ERR_FORMAT, "%s: cannot be read: %s; copy or download it again", x->path,
                           gzerror(x->file, &code));
        }
        if (num == 0) return fail_idx(x, "the file is cut off");
        at += num;
        count -= num;
    }
    return UF_OK;
}

static UfStatus open_idx(Idx* x, const char* path) {
    struct stat info;
    *x = (Idx){.path = path};
    if (stat(path, &info) != 0) return UF_FAIL(UF_ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode)) return UF_FAIL(UF_ERR_IO, "%s: is not a file, expected an IDX file", path);
    x->file_bytes = (int64_t)info.st_size;
    errno = 0;
    if (!(x->file = gzopen(path, "rb")))
        return UF_FAIL(errno ? UF_ERR_IO : UF_ERR_MEMORY, "%s: cannot be opened: %s", path,
                       errno ? strerror(errno) : "out of memory");
    return UF_OK;
}

// 32 bits, the highest byte first.
static UfStatus read_word(const Idx* x, uint32_t* word) {
    uint8_t bytes[4];
    UF_TRY(read_bytes(x, bytes, 4));
    *word = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
    return UF_OK;
}

// Magic and dimensions.
static UfStatus read_header(Idx* x, uint32_t magic, int rank, const char* what) {
    uint32_t first, word;
    int64_t total = 1;
    UF_TRY(read_word(x, &first));
    if (first != magic)
        return UF_FAIL(UF_ERR_FORMAT, "%s: begins with 0x%08x, expected 0x%08x, an IDX file of %s", x->path,
                       first, magic, what);
    for (int i = 0; i < rank; i++) {
        UF_TRY(read_word(x, &word));
        x->dims[i] = word;
        if (word == 0 || (i > 0 && word > MAX_SIDE))
            return UF_FAIL(UF_ERR_FORMAT, "%s: dimension %d of its %s is %u; is the file damaged?", x->path,
                           i, what, word);
        total *= word;
    }
    // Before memory for all of them is asked for.
    if (total / MAX_DEFLATE > x->file_bytes)
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: its header claims %lld bytes, more than %lld can hold; copy or download it again",
                       x->path, (long long)total, (long long)x->file_bytes);
    return UF_OK;
}

static UfStatus expect_end(const Idx* x) {
    uint8_t more;
    const int num = gzread(x->file, &more, 1);
    if (num > 0) return fail_idx(x, "goes on behind what its header says");
    return num == 0 ? UF_OK : fail_idx(x, "is damaged at its end");
}

static UfStatus read_images(UfImages** out, Idx* x, int64_t* count) {
    uint8_t* row = NULL;
    UF_TRY(read_header(x, IMAGES_MAGIC, 3, "images"));
    UF_TRY(create(out, *count = x->dims[0], (int)x->dims[1], (int)x->dims[2]));
    const int64_t area = (int64_t)x->dims[1] * x->dims[2];
    UF_TRY(UF_ALLOC(&row, area, "an image"));
    UfStatus status = UF_OK;
    for (int64_t i = 0; i < *count && status == UF_OK; i++) {
        status = read_bytes(x, row, area);
        for (int64_t j = 0; j < area; j++) (*out)->pixels[i * area + j] = (float)row[j] / 255;
    }
    uf_free(row);
    return status == UF_OK ? expect_end(x) : status;
}

static UfStatus read_labels(UfImages* images, Idx* x, const Idx* beside) {
    UF_TRY(read_header(x, LABELS_MAGIC, 1, "labels"));
    if (x->dims[0] != images->count)
        return UF_FAIL(UF_ERR_FORMAT, "%s: has %u labels, but '%s' has %lld images; are they of one set?",
                       x->path, x->dims[0], beside->path, (long long)images->count);
    UF_TRY(read_bytes(x, images->labels, images->count));
    for (int64_t i = 0; i < images->count; i++)
        if (images->labels[i] >= images->num_classes) images->num_classes = images->labels[i] + 1;
    return expect_end(x);
}

UfStatus uf_images_read_idx(UfImages** out, const char* images_path, const char* labels_path) {
    UfImages* images = NULL;
    Idx pictures = {0}, labels = {0};
    int64_t count;
    *out = NULL;
    UfStatus status = open_idx(&pictures, images_path);
    if (status == UF_OK) status = open_idx(&labels, labels_path);
    if (status == UF_OK) status = read_images(&images, &pictures, &count);
    if (status == UF_OK) status = read_labels(images, &labels, &pictures);
    if (pictures.file) gzclose_r(pictures.file);  // read only: nothing can be lost
    if (labels.file) gzclose_r(labels.file);
    if (status == UF_OK)
        *out = images;
    else
        uf_images_free(images);
    return status;
}

// The file of this name in a folder, or its gzip.
static UfStatus find_file(char** path, const char* folder, const char* name) {
    static const char* const endings[] = {"", ".gz"};
    struct stat info;
    for (int i = 0; i < 2; i++) {
        UfText text = {0};
        uf_text_add(&text, "%s/%s%s", folder, name, endings[i]);
        UF_TRY(uf_text_finish(&text, path));
        if (stat(*path, &info) == 0) return UF_OK;
        uf_free(*path);
        *path = NULL;
    }
    return UF_FAIL(UF_ERR_IO,
                   "%s: there is neither '%s' nor '%s.gz' in this folder; expected the four files of MNIST",
                   folder, name, name);
}

static UfStatus read_set(UfImages** out, const char* folder, const char* images_name,
                         const char* labels_name) {
    char *images = NULL, *labels = NULL;
    *out = NULL;
    UfStatus status = find_file(&images, folder, images_name);
    if (status == UF_OK) status = find_file(&labels, folder, labels_name);
    if (status == UF_OK) status = uf_images_read_idx(out, images, labels);
    uf_free(images);
    uf_free(labels);
    return status;
}

UfStatus uf_images_read_mnist(const char* folder, UfImages** train, UfImages** test) {
    *train = *test = NULL;
    UfStatus status = read_set(train, folder, "train-images-idx3-ubyte", "train-labels-idx1-ubyte");
    if (status == UF_OK) status = read_set(test, folder, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte");
    if (status == UF_OK && ((*train)->height != (*test)->height || (*train)->width != (*test)->width))
        status =
            UF_FAIL(UF_ERR_FORMAT,
                    "%s: images to learn from are %d x %d, those of the test %d x %d; are they of one set?",
                    folder, (*train)->height, (*train)->width, (*test)->height, (*test)->width);
    if (status == UF_OK) {
        const int a = (*train)->num_classes, b = (*test)->num_classes;
        (*train)->num_classes = (*test)->num_classes = a > b ? a : b;
        return UF_OK;
    }
    uf_images_free(*train);
    uf_images_free(*test);
    *train = *test = NULL;
    return status;
}

// ---- glyphs ----

enum { NUM_GLYPHS = 36 };

// Rows from the top; the highest of five bits is the left pixel.
static const uint8_t font[NUM_GLYPHS][GLYPH_HEIGHT] = {
    {14, 17, 19, 21, 25, 17, 14},  // 0
    {4, 12, 4, 4, 4, 4, 14},       // 1
    {14, 17, 1, 2, 4, 8, 31},      // 2
    {31, 2, 4, 2, 1, 17, 14},      // 3
    {2, 6, 10, 18, 31, 2, 2},      // 4
    {31, 16, 30, 1, 1, 17, 14},    // 5
    {6, 8, 16, 30, 17, 17, 14},    // 6
    {31, 1, 2, 4, 8, 8, 8},        // 7
    {14, 17, 17, 14, 17, 17, 14},  // 8
    {14, 17, 17, 15, 1, 2, 12},    // 9
    {14, 17, 17, 31, 17, 17, 17},  // A
    {30, 17, 17, 30, 17, 17, 30},  // B
    {14, 17, 16, 16, 16, 17, 14},  // C
    {28, 18, 17, 17, 17, 18, 28},  // D
    {31, 16, 16, 30, 16, 16, 31},  // E
    {31, 16, 16, 30, 16, 16, 16},  // F
    {14, 17, 16, 23, 17, 17, 15},  // G
    {17, 17, 17, 31, 17, 17, 17},  // H
    {31, 4, 4, 4, 4, 4, 31},       // I, with wide bars: not the 1
    {7, 2, 2, 2, 2, 18, 12},       // J
    {17, 18, 20, 24, 20, 18, 17},  // K
    {16, 16, 16, 16, 16, 16, 31},  // L
    {17, 27, 21, 21, 17, 17, 17},  // M
    {17, 17, 25, 21, 19, 17, 17},  // N
    {14, 17, 17, 17, 17, 17, 14},  // O, without the 0's stroke
    {30, 17, 17, 30, 16, 16, 16},  // P
    {14, 17, 17, 17, 21, 18, 13},  // Q
    {30, 17, 17, 30, 20, 18, 17},  // R
    {15, 16, 16, 14, 1, 1, 30},    // S
    {31, 4, 4, 4, 4, 4, 4},        // T
    {17, 17, 17, 17, 17, 17, 14},  // U
    {17, 17, 17, 17, 17, 10, 4},   // V
    {17, 17, 17, 21, 21, 27, 17},  // W
    {17, 17, 10, 4, 10, 17, 17},   // X
    {17, 17, 17, 10, 4, 4, 4},     // Y
    {31, 1, 2, 4, 8, 16, 31},      // Z
};

static int ink(const uint8_t* glyph, int x, int y) {
    if (x < 0 || x >= GLYPH_WIDTH || y < 0 || y >= GLYPH_HEIGHT) return 0;
    return glyph[y] >> (GLYPH_WIDTH - 1 - x) & 1;
}

// Where the middle of pixel `i` of an image of `side` pixels lies between the middles of a glyph's: at `*cell` and
// `*part` / (2 side) of the way to the next.
static void locate(int i, int side, int* cell, int* part) {
    const int whole = 2 * side, at = (2 * i + 1) * GLYPH_CELL - side;
    *cell = at >= 0 ? at / whole : -((whole - 1 - at) / whole);
    *part = at - *cell * whole;
}

// Ink of a pixel in (2 side)^2-ths: between the four nearest of the glyph, in integers, so that no compiler rounds it.
static int cover(const uint8_t* glyph, int x, int y, int side) {
    int u, v, right, down;
    locate(x, side, &u, &right);
    locate(y, side, &v, &down);
    const int whole = 2 * side, left = whole - right, up = whole - down;
    return up * (left * ink(glyph, u, v) + right * ink(glyph, u + 1, v)) +
           down * (left * ink(glyph, u, v + 1) + right * ink(glyph, u + 1, v + 1));
}

// Where a glyph's box of `size` of GLYPH_CELL parts begins: in the middle, or a pixel to either side where there is room.
static int begin(UfRandom* random, int side, int size) {
    const int box = (side * size + GLYPH_CELL - 1) / GLYPH_CELL, middle = (side - box) / 2;
    const int least = middle > 0 ? middle - 1 : 0, most = middle + 1 + box <= side ? middle + 1 : middle;
    const int at = least + (int)uf_random_uniform(random, 0, most - least + 1);
    return at < most ? at : most;
}

static void draw(float* pixels, const uint8_t* glyph, int side, double noise, UfRandom* random) {
    const int left = begin(random, side, GLYPH_WIDTH), top = begin(random, side, GLYPH_HEIGHT);
    const float brightness = (float)uf_random_uniform(random, 0.7, 1) / (float)(4 * side * side);
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++)
            pixels[y * side + x] = brightness * (float)cover(glyph, x - left, y - top, side) +
                                   (float)noise * uf_random_normal(random);
}

// Classes take turns, so that their shares are equal.
UfStatus uf_images_draw(UfImages** out, int64_t count, int num_classes, int side, double noise,
                        uint64_t seed) {
    *out = NULL;
    if (count < 1 || num_classes < 1 || num_classes > NUM_GLYPHS || side < GLYPH_CELL || side > MAX_SIDE ||
        !(noise >= 0 && isfinite(noise)))
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "%lld glyphs of %d kinds, %d pixels a side, noise %g; expected at least one, 1 to %d "
                       "kinds, %d to "
                       "%d pixels, noise of 0 or more",
                       (long long)count, num_classes, side, noise, NUM_GLYPHS, GLYPH_CELL, MAX_SIDE);
    UF_TRY(create(out, count, side, side));
    (*out)->num_classes = num_classes;
    for (int64_t i = 0; i < count; i++) {
        UfRandom random = uf_random(seed, UF_STREAM_IMAGES, (uint64_t)i);
        (*out)->labels[i] = (uint8_t)(i % num_classes);
        draw((*out)->pixels + i * side * side, font[i % num_classes], side, noise, &random);
    }
    return UF_OK;
}

// ---- standardising ----

static int64_t num_pixels(const UfImages* images) {
    return images->count * images->height * images->width * images->planes;
}

// Two passes, in order, in double.
void uf_images_standardise(UfImages* train, UfImages* test) {
    UfImages* const sets[] = {train, test};
    const int64_t count = num_pixels(train);
    double mean = 0, square = 0;
    for (int64_t i = 0; i < count; i++) mean += (double)train->pixels[i];
    mean /= (double)count;
    for (int64_t i = 0; i < count; i++) {
        const double difference = (double)train->pixels[i] - mean;
        square += difference * difference;
    }
    const double deviation = square > 0 ? sqrt(square / (double)count) : 1;
    for (int set = 0; set < 2; set++)
        for (int64_t i = 0; i < num_pixels(sets[set]); i++)
            sets[set]->pixels[i] = (float)(((double)sets[set]->pixels[i] - mean) / deviation);
}
