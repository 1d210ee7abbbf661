// curves.c: see curves.h.
//
// Rooms: Student's distribution, grid, mean and band, API.
#include "core/results/curves.h"

#include <math.h>
#include <stdlib.h>  // qsort

const char* const uf_band_names[] = {"stderr", "std", "minmax", "ci", NULL};

// ---- Student's distribution ----

// P(|T| <= t).      Source: Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4
static double student_within(double t, int df) {
    const double angle = atan(t / sqrt(df)), cosine = cos(angle);
    double term = df % 2 ? cosine : 1, sum = df == 1 ? 0 : term;
    for (int k = df % 2 ? 3 : 2; k < df; k += 2) {
        term *= cosine * cosine * (k - 1) / k;
        sum += term;
    }
    return df % 2 ? (angle + sin(angle) * sum) * 2 / 3.14159265358979324 : sin(angle) * sum;
}

double uf_student_width(double confidence, int df) {
    double low = 0, high = 1;
    while (student_within(high, df) < confidence && high < 1e9) high *= 2;
    for (int i = 0; i < 100; i++) {
        const double middle = (low + high) / 2;
        if (student_within(middle, df) < confidence)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

// ---- grid ----

static double last_x(const UfTrace* t) { return t->x[t->num_points - 1]; }

static int compare_numbers(const void* left, const void* right) {
    const double a = *(const double*)left, b = *(const double*)right;
    return (a > b) - (a < b);
}

static UfStatus find_range(UfCurve* c, const UfTrace* traces, double* from, double* to) {
    const UfTrace *starts = traces, *ends = traces, *longest = traces;
    for (int i = 1; i < c->num_runs; i++) {
        if (traces[i].x[0] > starts->x[0]) starts = &traces[i];
        if (last_x(&traces[i]) < last_x(ends)) ends = &traces[i];
        if (last_x(&traces[i]) > last_x(longest)) longest = &traces[i];
    }
    *from = starts->x[0];
    *to = last_x(ends);
    c->longest = last_x(longest) > *to ? longest : NULL;
    if (*from <= *to) return UF_OK;
    return UF_FAIL(
        UF_ERR_ARGUMENT,
        "the log of %s ends at %g, before that of %s begins (%g): these have no mean; leave one out",
        ends->name, *to, starts->name, *from);
}

static UfStatus make_grid(UfCurve* c, const UfTrace* traces) {
    double from, to;
    size_t total = 0;
    UF_TRY(find_range(c, traces, &from, &to));
    for (int i = 0; i < c->num_runs; i++) total += (size_t)traces[i].num_points;
    UF_TRY(UF_ALLOC(&c->x, total, "a curve"));
    int count = 0;
    for (int i = 0; i < c->num_runs; i++)
        for (int k = 0; k < traces[i].num_points; k++)
            if (traces[i].x[k] >= from && traces[i].x[k] <= to) c->x[count++] = traces[i].x[k];
    qsort(c->x, (size_t)count, sizeof *c->x, compare_numbers);
    for (int i = 0; i < count; i++)
        if (!c->num_points || c->x[i] != c->x[c->num_points - 1]) c->x[c->num_points++] = c->x[i];
    return UF_OK;
}

// ---- mean and band ----

// x is within the range of the trace.
static double value_at(const UfTrace* t, double x, bool* interpolated) {
    int low = 0, high = t->num_points - 1;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        *(t->x[middle] <= x ? &low : &high) = middle;
    }
    if (t->x[low] == x) return t->y[low];
    if (t->x[high] == x) return t->y[high];
    *interpolated = true;
    return t->y[low] + (t->y[high] - t->y[low]) * (x - t->x[low]) / (t->x[high] - t->x[low]);
}

// student: width of UF_BAND_CI in standard errors.
static void set_point(UfCurve* c, int i, const double* values, UfBand band, double student) {
    const int n = c->num_runs;
    double sum = 0, squares = 0, least = values[0], most = values[0];
    for (int k = 0; k < n; k++) {
        sum += values[k];
        least = fmin(least, values[k]);
        most = fmax(most, values[k]);
    }
    const double mean = sum / n;
    for (int k = 0; k < n; k++) squares += (values[k] - mean) * (values[k] - mean);
    const double std = n > 1 ? sqrt(squares / (n - 1)) : NAN, error = std / sqrt(n);
    const double width = band == UF_BAND_STD ? std : band == UF_BAND_CI ? student * error : error;
    const bool ends = band == UF_BAND_MINMAX && n > 1;
    c->mean[i] = mean;
    c->low[i] = ends ? least : mean - width;
    c->high[i] = ends ? most : mean + width;
}

static UfStatus fill(UfCurve* c, const UfTrace* traces, UfBand band, double confidence) {
    double* values;
    UF_TRY(make_grid(c, traces));
    UF_TRY(UF_ALLOC(&c->mean, c->num_points, "a curve"));
    UF_TRY(UF_ALLOC(&c->low, c->num_points, "a curve"));
    UF_TRY(UF_ALLOC(&c->high, c->num_points, "a curve"));
    UF_TRY(UF_ALLOC(&values, c->num_runs, "a curve"));
    const bool student = band == UF_BAND_CI && c->num_runs > 1;
    const double width = student ? uf_student_width(confidence, c->num_runs - 1) : NAN;
    for (int i = 0; i < c->num_points; i++) {
        for (int k = 0; k < c->num_runs; k++) values[k] = value_at(&traces[k], c->x[i], &c->interpolated);
        set_point(c, i, values, band, width);
    }
    uf_free(values);
    return UF_OK;
}

// ---- API ----

UfStatus uf_curve_mean(UfCurve* out, const UfTrace* traces, int num_traces, UfBand band, double confidence) {
    *out = (UfCurve){.num_runs = num_traces};
    UfStatus status = fill(out, traces, band, confidence);
    if (status != UF_OK) uf_curve_free(out);
    return status;
}

void uf_curve_free(UfCurve* curve) {
    uf_free(curve->x);
    uf_free(curve->mean);
    uf_free(curve->low);
    uf_free(curve->high);
    *curve = (UfCurve){0};
}
