// test_images.c: IDX files, whole and odd, plain and gzip; drawn glyphs; standardising.
#include "support.h"

#include <math.h>
#include <zlib.h>

#include "core/data/images.h"

// ---- IDX ----

enum { COUNT = 5, HEIGHT = 3, WIDTH = 4, AREA = HEIGHT * WIDTH };

typedef struct File {
    uint8_t bytes[16 + COUNT * AREA + 8];
    size_t size;
} File;

static void add_word(File* f, uint32_t word) {
    for (int shift = 24; shift >= 0; shift -= 8) f->bytes[f->size++] = (uint8_t)(word >> shift);
}

static File images_file(void) {
    File f = {.size = 0};
    add_word(&f, 0x00000803);
    add_word(&f, COUNT);
    add_word(&f, HEIGHT);
    add_word(&f, WIDTH);
    for (int i = 0; i < COUNT * AREA; i++) f.bytes[f.size++] = (uint8_t)(i * 37 % 256);
    return f;
}

static File labels_file(void) {
    static const uint8_t labels[COUNT] = {2, 0, 6, 1, 2};
    File f = {.size = 0};
    add_word(&f, 0x00000801);
    add_word(&f, COUNT);
    for (int i = 0; i < COUNT; i++) f.bytes[f.size++] = labels[i];
    return f;
}

static const char* put(const File* f, const char* name) {
    assert_ok(uf_write_file(in_folder(name), f->bytes, f->size));
    return in_folder(name);
}

static const char* put_gzip(const File* f, const char* name) {
    gzFile gz = gzopen(in_folder(name), "wb9");
    assert_int_equal(gzwrite(gz, f->bytes, (unsigned)f->size), f->size);
    assert_int_equal(gzclose(gz), Z_OK);
    return in_folder(name);
}

static void check_images(const UfImages* images) {
    assert_int_equal(images->count, COUNT);
    assert_true(images->height == HEIGHT && images->width == WIDTH && images->planes == 1);
    assert_int_equal(images->num_classes, 7);
    for (int i = 0; i < COUNT * AREA; i++) assert_true(images->pixels[i] == (float)(i * 37 % 256) / 255);
    assert_int_equal(images->labels[2], 6);
}

static void test_idx(void** state) {
    (void)state;
    const File pictures = images_file(), labels = labels_file();
    UfImages* images = NULL;
    assert_ok(uf_images_read_idx(&images, put(&pictures, "images"), put(&labels, "labels")));
    check_images(images);
    uf_images_free(images);
    assert_ok(uf_images_read_idx(&images, put_gzip(&pictures, "images.gz"), put_gzip(&labels, "labels.gz")));
    check_images(images);
    uf_images_free(images);
    uf_images_free(NULL);
}

// Reads both, of which one has been changed, and expects a sentence that names it.
static void expect_refused(const char* pictures, const char* labels, UfStatus status, const char* name,
                           const char* piece) {
    UfImages* images = (UfImages*)&images;
    const UfStatus got = uf_images_read_idx(&images, pictures, labels);
    if (got != status) fail_msg("%s: status %d: %s", piece, got, uf_error());
    assert_null(images);
    assert_error(name);
    assert_error(piece);
}

static void test_odd_idx(void** state) {
    (void)state;
    const File pictures = images_file(), labels = labels_file();
    char good[192], fine[192];  // in_folder's own come again
    File f;
    strcpy(good, put(&pictures, "good"));
    strcpy(fine, put(&labels, "fine"));

    expect_refused(in_folder("nowhere"), fine, UF_ERR_IO, "nowhere", "cannot be opened");
    expect_refused(folder, fine, UF_ERR_IO, folder, "is not a file");
    expect_refused(fine, good, UF_ERR_FORMAT, "fine", "begins with 0x00000801, expected 0x00000803");
    expect_refused(good, good, UF_ERR_FORMAT, "good", "begins with 0x00000803, expected 0x00000801");
    for (size_t size = 0; size < pictures.size; size++) {
        f = pictures;
        f.size = size;
        expect_refused(put(&f, "odd"), fine, UF_ERR_FORMAT, "odd",
                       "the file is cut off; copy or download it again");
    }
    for (size_t size = 0; size < labels.size; size++) {
        f = labels;
        f.size = size;
        expect_refused(good, put(&f, "odd"), UF_ERR_FORMAT, "odd",
                       "the file is cut off; copy or download it again");
    }
    f = pictures;
    f.size++;
    expect_refused(put(&f, "odd"), fine, UF_ERR_FORMAT, "odd", "goes on behind what its header says");
    f = labels;
    f.size++;
    expect_refused(good, put(&f, "odd"), UF_ERR_FORMAT, "odd", "goes on behind what its header says");
    f = labels;
    f.bytes[7]--;
    f.size--;
    expect_refused(good, put(&f, "odd"), UF_ERR_FORMAT, "odd", "has 4 labels, but");
    f = pictures;
    f.bytes[7] = 0;
    expect_refused(put(&f, "odd"), fine, UF_ERR_FORMAT, "odd", "dimension 0 of its images is 0");
    f = pictures;
    f.bytes[9] = 1;
    expect_refused(put(&f, "odd"), fine, UF_ERR_FORMAT, "odd", "dimension 1 of its images is 65539");
    f = pictures;
    f.bytes[4] = 0x7F;  // two thousand million images: refused before memory for them is asked for
    expect_refused(put(&f, "odd"), fine, UF_ERR_FORMAT, "odd", "its header claims 25");

    // gzip: cut off, and with a bit that is wrong
    char* bytes;
    size_t size;
    assert_ok(uf_read_file(put_gzip(&pictures, "whole.gz"), &bytes, &size));
    assert_ok(uf_write_file(in_folder("odd.gz"), bytes, size / 2));
    expect_refused(in_folder("odd.gz"), fine, UF_ERR_FORMAT, "odd.gz", "copy or download it again");
    bytes[size - 6] ^= 1;  // of its checksum
    assert_ok(uf_write_file(in_folder("odd.gz"), bytes, size));
    expect_refused(in_folder("odd.gz"), fine, UF_ERR_FORMAT, "odd.gz", "copy or download it again");
    uf_free(bytes);
}

static void test_folder(void** state) {
    (void)state;
    const File pictures = images_file(), labels = labels_file();
    UfImages *train = NULL, *test = NULL;
    assert_int_equal(uf_images_read_mnist(folder, &train, &test), UF_ERR_IO);
    assert_error("there is neither 'train-images-idx3-ubyte' nor 'train-images-idx3-ubyte.gz'");
    put(&pictures, "train-images-idx3-ubyte");
    put_gzip(&labels, "train-labels-idx1-ubyte.gz");
    put(&pictures, "t10k-images-idx3-ubyte");
    assert_int_equal(uf_images_read_mnist(folder, &train, &test), UF_ERR_IO);
    assert_error("t10k-labels-idx1-ubyte");
    File few = labels;
    few.bytes[8 + 2] = 3;  // the test set lacks the last class
    put(&few, "t10k-labels-idx1-ubyte");
    assert_ok(uf_images_read_mnist(folder, &train, &test));
    check_images(train);
    assert_int_equal(test->num_classes, 7);
    assert_int_equal(test->labels[2], 3);
    uf_images_free(train);
    uf_images_free(test);
    File turned = pictures;
    turned.bytes[11] = WIDTH;
    turned.bytes[15] = HEIGHT;
    put(&turned, "t10k-images-idx3-ubyte");
    assert_int_equal(uf_images_read_mnist(folder, &train, &test), UF_ERR_FORMAT);
    assert_error("images to learn from are 3 x 4, those of the test 4 x 3");
    assert_true(!train && !test);
}

// ---- glyphs ----

static UfImages* drawn(int64_t count, int classes, int side, double noise, uint64_t seed) {
    UfImages* images = NULL;
    assert_ok(uf_images_draw(&images, count, classes, side, noise, seed));
    return images;
}

// An image is a function of (seed, its number): not of the others.
static void test_draw(void** state) {
    (void)state;
    UfImages *a = drawn(40, 10, 8, 0.3, 5), *b = drawn(25, 10, 8, 0.3, 5), *c = drawn(40, 10, 8, 0.3, 6);
    assert_memory_equal(a->pixels, b->pixels, 25 * 64 * sizeof(float));
    assert_memory_not_equal(a->pixels, c->pixels, 64 * sizeof(float));
    assert_true(a->num_classes == 10 && a->height == 8 && a->width == 8 && a->planes == 1 && a->count == 40);
    for (int i = 0; i < 40; i++) assert_int_equal(a->labels[i], i % 10);
    assert_memory_not_equal(a->pixels, a->pixels + 10 * 64, 64 * sizeof(float));  // two of one class
    uf_images_free(a);
    uf_images_free(b);
    uf_images_free(c);
}

// Without noise: ink between 0 and 0.7 to 1; all shifts by one pixel occur, and no more; as large sides as small ones show
// the same.
static void test_ink(void** state) {
    (void)state;
    UfImages *a = drawn(360, 36, 8, 0, 1), *large = drawn(360, 36, 32, 0, 1);
    int left[3] = {0};
    double low = 2, high = 0;
    for (int i = 0; i < 360; i++) {
        const float *p = a->pixels + 64 * i, *q = large->pixels + 1024 * i;
        float most = 0;
        double sum = 0, sum_large = 0;
        int first = 8;
        for (int k = 0; k < 64; k++) {
            most = fmaxf(most, p[k]);
            sum += (double)p[k];
            if (p[k] > 0 && k % 8 < first) first = k % 8;
        }
        for (int k = 0; k < 64; k++) assert_true(p[k] == 0 || p[k] == most);  // no in-between at this size
        for (int k = 0; k < 1024; k++) sum_large += (double)q[k];
        // Ink is kept: 16 pixels for one, of the glyph's own brightness (0.7 to 1, drawn alike), less what leaves the edge.
        if (fabs(sum_large / 16 / sum - 1) > 0.15)
            fail_msg("image %d: ink %g of 8 x 8, %g", i, sum, sum_large / 16);
        if (i % 36 == 0) left[first]++;
        low = fmin(low, (double)most);
        high = fmax(high, (double)most);
    }
    assert_true(low >= 0.7 && high <= 1 && low < 0.72 && high > 0.98);
    assert_true(left[0] && left[1] && left[2] && left[0] + left[1] + left[2] == 10);
    uf_images_free(a);
    uf_images_free(large);
}

// No glyph is another at any shift: pairs of classes differ in at least two pixels of ink.
static void test_classes(void** state) {
    (void)state;
    enum { SAMPLES = 60 };
    UfImages* a = drawn(36 * SAMPLES, 36, 8, 0, 9);
    for (int i = 0; i < 36; i++)
        for (int j = 0; j < i; j++)
            for (int s = 0; s < SAMPLES; s++) {
                const float *p = a->pixels + 64 * i, *q = a->pixels + 64 * (36 * s + j);
                int differ = 0;
                for (int k = 0; k < 64; k++) differ += (p[k] > 0) != (q[k] > 0);
                if (differ < 2) fail_msg("glyphs %d and %d differ in %d pixels", i, j, differ);
            }
    uf_images_free(a);
}

static void test_noise(void** state) {
    (void)state;
    UfImages *a = drawn(400, 10, 8, 0.3, 2), *clean = drawn(400, 10, 8, 0, 2);
    double sum = 0, square = 0;
    const int n = 400 * 64;
    for (int i = 0; i < n; i++) {
        const double d = (double)a->pixels[i] - (double)clean->pixels[i];
        sum += d;
        square += d * d;
    }
    // Five standard errors of 25600 draws.
    assert_true(fabs(sum / n) < 5 * 0.3 / sqrt(n));
    assert_true(fabs(sqrt(square / n) / 0.3 - 1) < 5 / sqrt(2.0 * n));
    uf_images_free(a);
    uf_images_free(clean);
}

static void test_draw_refusals(void** state) {
    (void)state;
    UfImages* images;
    assert_int_equal(uf_images_draw(&images, 0, 10, 8, 0, 0), UF_ERR_ARGUMENT);
    assert_int_equal(uf_images_draw(&images, 1, 37, 8, 0, 0), UF_ERR_ARGUMENT);
    assert_int_equal(uf_images_draw(&images, 1, 10, 7, 0, 0), UF_ERR_ARGUMENT);
    assert_int_equal(uf_images_draw(&images, 1, 10, 8, -0.1, 0), UF_ERR_ARGUMENT);
    assert_int_equal(uf_images_draw(&images, 1, 10, 8, NAN, 0), UF_ERR_ARGUMENT);
    assert_error("1 glyphs of 10 kinds, 8 pixels a side");
    assert_null(images);
}

// ---- standardising ----

static void test_standardise(void** state) {
    (void)state;
    UfImages *train = drawn(100, 10, 8, 0.3, 3), *test = drawn(50, 10, 8, 0.3, 4),
             *before = drawn(50, 10, 8, 0.3, 4);
    const int n = 100 * 64;
    double mean = 0, square = 0, old_mean = 0, old_square = 0;
    for (int i = 0; i < n; i++) old_mean += (double)train->pixels[i] / n;
    for (int i = 0; i < n; i++) old_square += pow((double)train->pixels[i] - old_mean, 2) / n;
    uf_images_standardise(train, test);
    for (int i = 0; i < n; i++) mean += (double)train->pixels[i] / n;
    for (int i = 0; i < n; i++) square += pow((double)train->pixels[i] - mean, 2) / n;
    assert_true(fabs(mean) < 1e-6 && fabs(square - 1) < 1e-6);  // roundings to float, which average out
    for (int i = 0; i < 50 * 64; i++) {
        const double expected = ((double)before->pixels[i] - old_mean) / sqrt(old_square);
        assert_true(fabs((double)test->pixels[i] - expected) < 1e-6);
    }
    uf_images_free(before);

    // Images without any contrast stay numbers.
    for (int i = 0; i < n; i++) train->pixels[i] = 3;
    uf_images_standardise(train, test);
    assert_true(train->pixels[0] == 0 && isfinite(test->pixels[0]));
    uf_images_free(train);
    uf_images_free(test);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idx),        cmocka_unit_test(test_odd_idx),
        cmocka_unit_test(test_folder),     cmocka_unit_test(test_draw),
        cmocka_unit_test(test_ink),        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_noise),      cmocka_unit_test(test_draw_refusals),
        cmocka_unit_test(test_standardise)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
