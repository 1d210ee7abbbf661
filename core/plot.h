// plot.h: line charts with bands, drawn with cairo: one draw function, PNG, SVG and PDF.
#ifndef UF_PLOT_H
#define UF_PLOT_H

#include "core.h"

typedef struct UfSeries {
    const char* label;
    int num_points;
    const double *x, *y;
    const double *low, *high;  // band around y.   Nullable
} UfSeries;

typedef struct UfPlot {
    const char *title, *x_label, *y_label;
    int num_series;
    const UfSeries* series;  // colours: a colour-blind-safe palette, in order
    bool log_x, log_y;
} UfPlot;

// Writes a chart; the ending of path (.png, .svg, .pdf) decides the format. Points that are not finite are
// skipped. Errors: UF_ERR_UNSUPPORTED where cairo was not there at build time, UF_ERR_IO, UF_ERR_ARGUMENT.
UfStatus uf_plot_write(const UfPlot* plot, const char* path);

// Several charts in one picture, row by row, with one legend at the right: series i is the same thing in all of them
// (without points where a chart has nothing of it).
UfStatus uf_plot_write_grid(const UfPlot* plots, int num_plots, const char* path);

#endif
