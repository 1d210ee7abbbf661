// plot.h: line charts with bands and comparisons of groups, drawn with cairo: one draw function, PNG, SVG and PDF.
#ifndef UF_PLOT_H
#define UF_PLOT_H

#include "core/core.h"

typedef struct UfSeries {
    const char* label;
    int num_points;
    const double *x, *y;
    const double *low, *high;  // band around y.   Nullable
} UfSeries;

typedef struct UfPlot {
    const char *title, *x_label, *y_label;
    int num_series;
    const UfSeries* series;  // colours and marks: a colour-blind-safe palette, in order
    bool log_x, log_y;
} UfPlot;

// A group of a comparison: an estimate, its interval, and the single values that it is of.
typedef struct UfRow {
    const char* label;
    int num_points;  // 0: nothing of it here, the row stays empty
    const double* points;
    double value, low, high;  // low, high NaN: no interval
} UfRow;

typedef struct UfComparison {
    const char *title, *x_label;
    int num_rows;
    const UfRow* rows;  // from the top; colours and marks as those of series
} UfComparison;

// Charts of one kind, row by row in a grid. Series i (row i) is the same thing in all of them, without points where a
// chart has nothing of it; series have one legend at the right.
typedef struct UfPicture {
    int num_charts;
    const UfPlot* plots;              // Nullable: then
    const UfComparison* comparisons;  // these
    const char* caption;              // a line below all charts.   Nullable
} UfPicture;

// Writes a picture; the ending of path (.png, .svg, .pdf) decides the format. Points that are not finite are
// skipped. Errors: UF_ERR_UNSUPPORTED where cairo was not there at build time, UF_ERR_IO, UF_ERR_ARGUMENT.
UfStatus uf_picture_write(const UfPicture* picture, const char* path);
UfStatus uf_plot_write(const UfPlot* plot, const char* path);  // one chart
UfStatus uf_plot_write_grid(const UfPlot* plots, int num_plots, const char* path);

// Whether the ending is one of the three: before long work.
UfStatus uf_picture_check(const char* path);

#endif
