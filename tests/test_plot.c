// test_plot: charts in every format, odd data, and the errors.
#include "support.h"

#include <math.h>

#include "core/pictures/plot.h"

// Draws, checks that the file begins as it should, and returns its text.
static char* written(const UfPlot* plot, const char* name, const char* magic) {
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    UfStatus status = uf_plot_write(plot, path);
#ifdef UF_NO_CAIRO
    assert_int_equal(status, UF_ERR_UNSUPPORTED);
    assert_non_null(strstr(uf_error(), "libcairo2-dev"));
    skip();
#endif
    if (status != UF_OK) fail_msg("%s", uf_error());
    char* data;
    size_t num_bytes;
    assert_int_equal(uf_read_file(path, &data, &num_bytes), UF_OK);
    assert_true(num_bytes > 800);
    assert_memory_equal(data, magic, strlen(magic));
    return data;
}

enum { N = 60 };
static double x[N], y[2][N], low[N], high[N];

static UfPlot example(UfSeries* series) {
    for (int i = 0; i < N; i++) {
        x[i] = 2500.0 * (i + 1);
        y[0][i] = 90 * (1 - exp(-i / 12.0)) + 3 * sin(i);
        y[1][i] = 60 * (1 - exp(-i / 20.0)) + 2 * cos(i);
        low[i] = y[0][i] - 9;
        high[i] = y[0][i] + 9;
    }
    series[0] = (UfSeries){"TD3-AWR", N, x, y[0], low, high};
    series[1] = (UfSeries){"behaviour cloning", N, x, y[1], NULL, NULL};
    return (UfPlot){"pendulum-medium-replay", "updates", "normalised score", 2, series, false, false};
}

static void test_formats(void** state) {
    (void)state;
    UfSeries series[2];
    UfPlot plot = example(series);
    uf_free(written(&plot, "a.png", "\x89PNG\r\n"));
    uf_free(written(&plot, "a.pdf", "%PDF-"));
    char* svg = written(&plot, "a.svg", "<?xml");
    // One filled band, more than one stroke, and the size that was promised.
    assert_non_null(strstr(svg, "1000"));
    assert_non_null(strstr(svg, "fill-opacity:0.2"));
    uf_free(svg);
    plot.log_x = true;
    uf_free(written(&plot, "log.PNG", "\x89PNG\r\n"));
}

// A point that is not finite leaves no trace: not in the range, not in the line.
static void test_gaps(void** state) {
    (void)state;
    double px[5] = {1, 2, 3, 4, 5}, py[5] = {1, NAN, 3, 2, 4}, without_x[4] = {1, 3, 4, 5},
           without_y[4] = {1, 3, 2, 4};
    UfSeries with = {"s", 5, px, py, NULL, NULL}, without = {"s", 4, without_x, without_y, NULL, NULL};
    UfPlot a = {"t", "x", "y", 1, &with, false, false}, b = {"t", "x", "y", 1, &without, false, false};
    char *first = written(&a, "gap.svg", "<?xml"), *second = written(&b, "nogap.svg", "<?xml");
    const char *line = strstr(first, "stroke-width:2.5"),
               *other = strstr(second, "stroke-width:2.5");  // behind cairo's ids
    assert_non_null(line);
    assert_non_null(other);
    assert_string_equal(line, other);
    assert_null(strstr(first, "nan"));
    uf_free(first);
    uf_free(second);
}

static void test_odd_data(void** state) {
    (void)state;
    double one = 3, none = NAN, huge[2] = {-1e300, 1e300}, steps[2] = {0, 1}, zero[2] = {0, 0};
    struct {
        const char* name;
        UfSeries series;
        bool log_x;
    } cases[] = {
        {"nothing.svg", {"s", 0, &one, &one, NULL, NULL}, false},
        {"one.svg", {"s", 1, &one, &one, &one, &one}, false},
        {"nan.svg", {"s", 1, &none, &none, &none, &none}, false},
        {"huge.svg", {NULL, 2, steps, huge, NULL, NULL}, false},
        {"flat.svg", {"s", 2, steps, zero, NULL, NULL}, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        UfPlot plot = {NULL, NULL, NULL, 1, &cases[i].series, cases[i].log_x, false};
        uf_free(written(&plot, cases[i].name, "<?xml"));
    }
}

// A chart beside another: one legend, the same colour for the same series, and room for both.
static void test_grid(void** state) {
    (void)state;
    UfSeries series[2], other[2];
    UfPlot plots[3] = {example(series), example(series), example(series)};
    other[0] = (UfSeries){.label = "TD3-AWR"};  // nothing of it there
    other[1] = series[1];
    plots[1].series = other;
    const char* path = in_folder("grid.svg");
#ifdef UF_NO_CAIRO
    assert_int_equal(uf_plot_write_grid(plots, 3, path), UF_ERR_UNSUPPORTED);
    skip();
#endif
    assert_ok(uf_plot_write_grid(plots, 3, path));
    char* svg;
    size_t num_bytes;
    assert_ok(uf_read_file(path, &svg, &num_bytes));
    assert_non_null(strstr(svg, "height=\"380"));
    int bands = 0, lines[2] = {0, 0};
    for (char* c = svg; (c = strstr(c, "fill-opacity:0.2")); c++) bands++;
    for (char* c = svg; (c = strstr(c, "stroke:rgb(0%,44.")); c++) lines[0]++;
    for (char* c = svg; (c = strstr(c, "stroke:rgb(83.5")); c++) lines[1]++;
    assert_int_equal(bands, 2);
    assert_int_equal(lines[0], 3);  // two charts and the legend
    assert_int_equal(lines[1], 4);
    uf_free(svg);
    assert_ok(uf_plot_write_grid(plots, 3, in_folder("grid.png")));
    assert_ok(uf_plot_write_grid(plots, 3, in_folder("grid.pdf")));
    assert_int_equal(uf_plot_write_grid(plots, 0, path), UF_ERR_ARGUMENT);
}

static void svg_size(const char* svg, double* width, double* height) {
    const char *w = strstr(svg, "width=\""), *h = strstr(svg, "height=\"");
    assert_non_null(w);
    assert_non_null(h);
    *width = strtod(w + 7, NULL);
    *height = strtod(h + 8, NULL);
}

// Nothing is cut off: the picture grows with its legend, and a caption comes below all else.
static void test_room(void** state) {
    (void)state;
    enum { MANY = 40 };
    UfSeries series[MANY];
    UfPlot plot = example(series);
    double width[4], height[4];
    char *svg = written(&plot, "plain.svg", "<?xml"), *captioned;
    size_t num_bytes;
    svg_size(svg, &width[0], &height[0]);
    uf_free(svg);
    series[1].label =
        "a label that is far longer than a third of the picture: actor_bc_coef=0.001, critic_bc_coef=0.01";
    svg = written(&plot, "long.svg", "<?xml");
    svg_size(svg, &width[1], &height[1]);
    uf_free(svg);
    for (int i = 1; i < MANY; i++) series[i] = (UfSeries){"s", N, x, y[1], NULL, NULL};
    plot.num_series = MANY;
    svg = written(&plot, "many.svg", "<?xml");
    svg_size(svg, &width[2], &height[2]);
    uf_free(svg);
    plot = example(series);
    const char* path = in_folder("caption.svg");
    assert_ok(uf_picture_write(&(UfPicture){.num_charts = 1, .plots = &plot, .caption = "said below"}, path));
    assert_ok(uf_read_file(path, &captioned, &num_bytes));
    svg_size(captioned, &width[3], &height[3]);
    uf_free(captioned);
    assert_true(width[0] == 1000 && height[0] == 640);
    assert_true(width[1] > 1200 && height[1] == 640);
    assert_true(width[2] == 1000 && height[2] > MANY * 20);
    assert_true(width[3] == 1000 && height[3] > 650);
}

// Rows: a dot for each value, an interval where there is one, and rows of nothing stay empty.
static void test_comparison(void** state) {
    (void)state;
    const double values[3] = {1, 2, 4}, one = 3;
    const UfRow rows[3] = {
        {"three values", 3, values, 2, 1.5, 3.5}, {"one", 1, &one, 3, NAN, NAN}, {.label = "none"}};
    const UfComparison comparison = {"t", "score", 3, rows};
    const UfPicture picture = {.num_charts = 1, .comparisons = &comparison};
    const char* path = in_folder("rows.svg");
    char* svg;
    size_t num_bytes;
#ifdef UF_NO_CAIRO
    assert_int_equal(uf_picture_write(&picture, path), UF_ERR_UNSUPPORTED);
    skip();
#endif
    assert_ok(uf_picture_write(&picture, path));
    assert_ok(uf_read_file(path, &svg, &num_bytes));
    int dots = 0, marks[3] = {0, 0, 0}, intervals = 0;
    for (char* c = svg; (c = strstr(c, "fill-opacity:0.45")); c++) dots++;
    for (char* c = svg; (c = strstr(c, "fill:rgb(0%,44.")); c++) marks[0]++;
    for (char* c = svg; (c = strstr(c, "fill:rgb(83.5")); c++) marks[1]++;
    for (char* c = svg; (c = strstr(c, "fill:rgb(0%,62")); c++) marks[2]++;
    for (char* c = svg; (c = strstr(c, "stroke-width:2.5")); c++) intervals++;
    assert_int_equal(dots, 4);
    assert_int_equal(marks[0], 4);  // three dots and the mark
    assert_int_equal(marks[1], 2);
    assert_int_equal(marks[2], 0);
    assert_int_equal(intervals, 1);
    uf_free(svg);
}

static void test_errors(void** state) {
    (void)state;
    UfSeries series[2];
    UfPlot plot = example(series);
    assert_int_equal(uf_picture_check("chart.gif"), UF_ERR_ARGUMENT);
    assert_ok(uf_picture_check("chart.b.PDF"));
#ifdef UF_NO_CAIRO
    skip();
#endif
    assert_int_equal(uf_plot_write(&plot, "chart.gif"), UF_ERR_ARGUMENT);
    assert_non_null(strstr(uf_error(), "chart.gif"));
    assert_int_equal(uf_plot_write(&plot, "/nowhere/at/all/chart.png"), UF_ERR_IO);
    assert_non_null(strstr(uf_error(), "/nowhere/at/all/chart.png"));
    assert_int_equal(uf_plot_write(&plot, "/nowhere/at/all/chart.svg"), UF_ERR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats), cmocka_unit_test(test_gaps), cmocka_unit_test(test_odd_data),
        cmocka_unit_test(test_grid),    cmocka_unit_test(test_room), cmocka_unit_test(test_comparison),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests_name("plot", tests, make_folder, remove_folder);
}
