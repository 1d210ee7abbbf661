// curves.h: the mean of the curves of some runs, with a band.
#ifndef UF_CURVES_H
#define UF_CURVES_H

#include "core/core.h"

typedef struct UfTrace {  // of one run
    const char* name;     // for messages
    int num_points;       // 1 or more
    const double *x, *y;  // x ascending, all finite
} UfTrace;

typedef enum UfBand {
    UF_BAND_STDERR,  // standard error of the mean to either side
    UF_BAND_STD,     // standard deviation
    UF_BAND_MINMAX,  // least and largest run
    UF_BAND_CI       // Student's interval of the mean
} UfBand;
extern const char* const uf_band_names[];  // in this order, and a NULL

typedef struct UfCurve {
    int num_runs, num_points;
    double *x, *mean, *low, *high;  // low, high: NaN where there is one run, which has no spread
    bool interpolated;              // somewhere between a run's own points
    const UfTrace* longest;         // goes on where another one has ended.   NULL: they end together
} UfCurve;

// Over the range that all of them cover, at every x in it that one of them has; the others are interpolated linearly
// between their own points. confidence: of UF_BAND_CI. Errors: UF_ERR_ARGUMENT: one ends before another begins.
UfStatus uf_curve_mean(UfCurve* out, const UfTrace* traces, int num_traces, UfBand band, double confidence);
void uf_curve_free(UfCurve* curve);

// How many standard errors to either side Student's interval of a mean reaches; df: one less than there are values.
double uf_student_width(double confidence, int df);

#endif
