// grid_layouts.c: `unifloral verify` of kind minigrid-layouts: counts over n recorded levels of an id against m of
// ours.
//
// Two-sample tests, all exact or with the right tails, as thousands of them have to hold at once:
// - What happens once a level (the kind of a cell; the agent's cell, column, row, ninth of the board, direction;
//   the same of what there is one of, and its colour) is a table of two rows: likelihood-ratio chi-square over the
//   categories that the recording is expected to have MIN_EXPECTED times, the others pooled; where even the pool is
//   below that, Fisher's exact test of the pool.
// - What may happen several times a level (cells of a type in a row, a column, a ninth, in all; a type's colours;
//   door states) is a sum of n independent numbers, whose mean, variance and skewness our levels tell: tails of the
//   gamma distribution with these three (Pearson's type III). A number that never varies must be met exactly.
// - A cell that always holds the same (but nothing), and an agent that always starts alike, must do so in both
//   samples.
// A test fails below ALARM / (number of tests in the file): Bonferroni. A right generator fails a file with probability
// ALARM at most; our levels are the same in every run.
// Counts at single places say nothing about what goes together in a level: that is for tests/test_grid_levels.c.
#include "core/verify/grid_layouts.h"

#include <math.h>
#include <stdio.h>  // snprintf
#include <string.h>

#include "core/data/h5.h"
#include "core/grid/grid_levels.h"
#include "core/grid/grid_table.h"
#include "core/verify/judge.h"

static const double ALARM = 1e-4, MIN_EXPECTED = 10;
enum { LEVELS_EACH = 100, MAX_LEVELS = 100000, MIN_LEVELS = 20000, SEED = 8 };
// What is there in a wall's place is there in 5 % of the levels at least, of all ids (tests/test_grid_levels.c): a
// recording of this many levels misses it with probability 1e-8. An agent that may begin elsewhere does so more often.
enum { MIN_CONSTANT = 360 };
enum { TYPE_DOOR = 4 };

// ---- tails ----

static double log_gamma(double x) {  // x > 0, by Stirling's series above 10: to 1e-13
    double shift = 0;
    for (; x < 10; x++) shift -= log(x);
    const double r = 1 / (x * x);
    return shift + (x - 0.5) * log(x) - x + 0.91893853320467274178 +
           (1.0 / 12 - r * (1.0 / 360 - r * (1.0 / 1260 - r * (1.0 / 1680 - r / 1188)))) / x;
}

// P(G <= x) and P(G >= x) of a gamma distribution of shape a: series below the mean, continued fraction (Lentz)
// above.
static void gamma_tails(double a, double x, double* lower, double* upper) {
    *lower = 0;
    *upper = 1;
    if (x <= 0) return;
    const double scale = exp(a * log(x) - x - log_gamma(a));
    if (x < a + 1) {
        double term = 1 / a, sum = term;
        for (double k = a + 1; term > sum * 1e-15; k++) sum += term *= x / k;
        *lower = fmin(1, scale * sum);
        *upper = 1 - *lower;
        return;
    }
    double b = x + 1 - a, c = 1e300, d = 1 / b, h = d;
    for (int i = 1; i < 100000; i++) {
        const double an = -i * (i - a);
        b += 2;
        d = 1 / (an * d + b);
        c = b + an / c;
        h *= d * c;
        if (fabs(d * c - 1) < 1e-14) break;
    }
    *upper = fmin(1, scale * h);
    *lower = 1 - *upper;
}

static double chi_square_tail(double x, int degrees) {
    double lower, upper;
    gamma_tails(degrees / 2.0, x / 2, &lower, &upper);
    return upper;
}

// Two-sided: of k1 + k2 marked among n + m, k1 are in the n.
static double fisher(double k1, double n, double k2, double m) {
    const double marked = k1 + k2, all = n + m;
    double tail[2] = {0, 0};
    for (int side = 0; side < 2; side++) {
        const double last = side ? fmin(marked, n) : fmax(0, marked - m), step = side ? 1 : -1;
        for (double k = k1; step * (last - k) >= 0; k += step) {
            const double p =
                exp(log_gamma(marked + 1) - log_gamma(k + 1) - log_gamma(marked - k + 1) +
                    log_gamma(all - marked + 1) - log_gamma(n - k + 1) - log_gamma(m - marked + k + 1) -
                    log_gamma(all + 1) + log_gamma(n + 1) + log_gamma(m + 1));
            tail[side] += p;
            if (p < tail[side] * 1e-12) break;
        }
    }
    return fmin(1, 2 * fmin(tail[0], tail[1]));
}

// Two rows of counts, each level in one category. 1 where there is one category only.
static double table_test(const int64_t* a, double n, const int64_t* b, double m, int categories) {
    double pool_a = 0, pool_b = 0, g = 0;
    int used = 0;
    for (int k = 0; k <= categories; k++) {
        double x, y;
        if (k < categories) {
            x = (double)a[k];
            y = (double)b[k];
            if ((x + y) * n / (n + m) < MIN_EXPECTED) {
                pool_a += x;
                pool_b += y;
                continue;
            }
        } else {
            x = pool_a;
            y = pool_b;
            if ((x + y) * n / (n + m) < MIN_EXPECTED) break;
            pool_a = pool_b = 0;
        }
        const double share = (x + y) / (n + m);
        if (x > 0) g += 2 * x * log(x / (n * share));
        if (y > 0) g += 2 * y * log(y / (m * share));
        used++;
    }
    const double rest = pool_a + pool_b > 0 ? fisher(pool_a, n, pool_b, m) : 1;
    const double p = used > 1 ? chi_square_tail(g, used - 1) : 1;
    return fmin(1, (used > 1 && rest < 1 ? 2 : 1) * fmin(p, rest));
}

// ---- counts ----

// What may happen several times a level: groups of lines, each a line for every type and for every member of the
// group.
enum {
    ROW,
    COLUMN,
    NINTH,
    TOTAL,
    COLOUR,
    DOOR,
    NUM_GROUPS
};  // a ninth of the board; a door's state, for doors alone
static int members(const NxSpec* s, int group) {
    const int count[NUM_GROUPS] = {s->height, s->width, 9, 1, NX_NUM_COLOURS, 3};
    return count[group];
}
static int line_of(const NxSpec* s, int group, int type, int member) {
    int first = 0;
    for (int g = 0; g < group; g++) first += NX_NUM_TYPES * members(s, g);
    return first + type * members(s, group) + member;
}
static int num_lines(const NxSpec* s) { return line_of(s, DOOR, NX_NUM_TYPES, 0); }
static int ninth(const NxSpec* s, int x, int y) { return y * 3 / s->height * 3 + x * 3 / s->width; }

static void name_line(int group, int type, int member, char name[64]) {
    static const char* const types[NX_NUM_TYPES] = {"unseen", "empty", "wall", "floor", "door", "key",
                                                    "ball",   "box",   "goal", "lava",  "agent"};
    static const char* const groups[NUM_GROUPS] = {"row",   "column", "ninth of the board",
                                                   "total", "colour", "state"};
    snprintf(name, 64, "%s, %s %d", types[type], groups[group], member);
}

typedef struct Counts {
    int64_t levels;
    int64_t* kind;   // (H, W, 11)
    int64_t* agent;  // (H, W, 4)
    int64_t* line;   // (lines)
    // ours alone: sums of squares and cubes over levels, the most of a type in one level
    int64_t *squares, *cubes;  // (lines)
    int64_t most[NX_NUM_TYPES];
} Counts;

static void counts_free(Counts* c) {
    void* all[] = {c->kind, c->agent, c->line, c->squares, c->cubes};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
}

static UfStatus counts_alloc(Counts* c, const NxSpec* s) {
    const int cells = s->width * s->height, lines = num_lines(s);
    UF_TRY(UF_ALLOC(&c->kind, cells * NX_NUM_TYPES, "counts of kinds"));
    UF_TRY(UF_ALLOC(&c->agent, cells * 4, "counts of agents"));
    UF_TRY(UF_ALLOC(&c->line, lines, "counts of lines"));
    UF_TRY(UF_ALLOC(&c->squares, lines, "squares of counts"));
    return UF_ALLOC(&c->cubes, lines, "cubes of counts");
}

// One dataset of an id, (count) numbers of the shape `dims`.
static UfStatus read_counts(const UfH5* h5, const char* id, const char* name, int rank, const int64_t* dims,
                            int64_t* out) {
    char path[160];
    UfH5Shape shape;
    snprintf(path, sizeof path, "layouts/%s/%s", id, name);
    UF_TRY(uf_h5_shape(h5, path, &shape));
    bool same = shape.rank == rank && shape.is_integer;
    for (int i = 0; same && i < rank; i++) same = shape.dims[i] == dims[i];
    if (!same)
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: dataset '%s' is not of %lld by %lld by %lld integers, as the id has it", h5->path,
                       path, (long long)dims[0], (long long)(rank > 1 ? dims[1] : 1),
                       (long long)(rank > 2 ? dims[2] : 1));
    UF_TRY(uf_h5_read(h5, path, UF_H5_INT64, out, shape.count));
    for (int64_t i = 0; i < shape.count; i++)
        if (out[i] < 0)
            return UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' has the count %lld", h5->path, path,
                           (long long)out[i]);
    return UF_OK;
}

static UfStatus recorded_counts(Counts* c, const UfH5* h5, const NxSpec* s) {
    const int cells = s->width * s->height;
    char group[160];
    double n;
    snprintf(group, sizeof group, "layouts/%s", s->id);
    UF_TRY(uf_h5_read_number(h5, group, "n", &n));
    if (!(n >= 1 && n <= 1e9) || n != floor(n))
        return UF_FAIL(UF_ERR_FORMAT, "%s: attribute 'n' of '%s' is %g; a number of levels expected",
                       h5->path, group, n);
    c->levels = (int64_t)n;
    UF_TRY(read_counts(h5, s->id, "kind", 3, (int64_t[]){s->height, s->width, NX_NUM_TYPES}, c->kind));
    UF_TRY(read_counts(h5, s->id, "agent", 3, (int64_t[]){s->height, s->width, 4}, c->agent));
    UF_TRY(read_counts(h5, s->id, "colour", 2, (int64_t[]){NX_NUM_TYPES, NX_NUM_COLOURS},
                       &c->line[line_of(s, COLOUR, 0, 0)]));
    UF_TRY(read_counts(h5, s->id, "door", 1, (int64_t[]){3}, &c->line[line_of(s, DOOR, TYPE_DOOR, 0)]));
    int64_t agents = 0;
    for (int i = 0; i < cells; i++) {
        const int x = i % s->width, y = i / s->width;
        int64_t kinds = 0;
        for (int type = 0; type < NX_NUM_TYPES; type++) {
            const int64_t count = c->kind[i * NX_NUM_TYPES + type];
            kinds += count;
            c->line[line_of(s, ROW, type, y)] += count;
            c->line[line_of(s, COLUMN, type, x)] += count;
            c->line[line_of(s, NINTH, type, ninth(s, x, y))] += count;
            c->line[line_of(s, TOTAL, type, 0)] += count;
        }
        for (int d = 0; d < 4; d++) agents += c->agent[i * 4 + d];
        if (kinds != c->levels)
            return UF_FAIL(UF_ERR_FORMAT, "%s: '%s' has %lld kinds at cell (%d, %d) in %lld levels", h5->path,
                           group, (long long)kinds, x, y, (long long)c->levels);
    }
    if (agents != c->levels)
        return UF_FAIL(UF_ERR_FORMAT, "%s: '%s' has %lld agents in %lld levels", h5->path, group,
                       (long long)agents, (long long)c->levels);
    return UF_OK;
}

static UfStatus our_counts(Counts* c, const NxSpec* s, NxGenerator* generate, int64_t levels) {
    const int lines = num_lines(s);
    NxLayout layout;
    NxEnv* env = NULL;
    int32_t* once = NULL;  // (lines) of one level
    int first[NUM_GROUPS];
    uint8_t third_x[NX_MAX_CELLS], third_y[NX_MAX_CELLS];
    for (int g = 0; g < NUM_GROUPS; g++) first[g] = line_of(s, g, 0, 0);
    for (int x = 0; x < s->width; x++) third_x[x] = (uint8_t)(ninth(s, x, 0));
    for (int y = 0; y < s->height; y++) third_y[y] = (uint8_t)(ninth(s, 0, y) / 3);
    nx_lay_out(&layout, s, false);
    UfStatus status = uf_alloc((void**)&env, 1, layout.env_bytes, "one environment");
    if (status == UF_OK) status = UF_ALLOC(&once, lines, "counts of one level");
    c->levels = status == UF_OK ? levels : 0;
    for (int64_t n = 0; n < c->levels; n++) {
        env->random = nx_random_begin(SEED, (uint64_t)n);
        generate(&layout, env);
        memset(once, 0, (size_t)lines * sizeof *once);
        const NxCell* cell = nx_cells(env);
        int64_t* kind = c->kind;
        for (int y = 0; y < s->height; y++)
            for (int x = 0; x < s->width; x++, cell++, kind += NX_NUM_TYPES) {
                const int type = nx_type(*cell);
                kind[type]++;
                if (type == NX_EMPTY) continue;  // follows from all others
                once[first[ROW] + type * s->height + y]++;
                once[first[COLUMN] + type * s->width + x]++;
                once[first[NINTH] + type * 9 + third_y[y] * 3 + third_x[x]]++;
                once[first[TOTAL] + type]++;
                once[first[COLOUR] + type * NX_NUM_COLOURS + nx_colour(*cell)]++;
                if (type == TYPE_DOOR) once[first[DOOR] + type * 3 + nx_door_state(*cell)]++;
            }
        c->agent[(env->y * s->width + env->x) * 4 + env->direction]++;
        for (int i = 0; i < lines; i++) {
            const int64_t v = once[i];
            if (v == 0) continue;
            c->line[i] += v;
            c->squares[i] += v * v;
            c->cubes[i] += v * v * v;
        }
        for (int type = 0; type < NX_NUM_TYPES; type++)
            if (once[first[TOTAL] + type] > c->most[type]) c->most[type] = once[first[TOTAL] + type];
    }
    uf_free(once);
    uf_free(env);
    return status;
}

// ---- tests ----

typedef struct Verdict {
    const NxSpec* spec;
    int64_t recorded, ours;
    int tests;
    double least;  // p
    char where[64], counts[96];
} Verdict;

static void note(Verdict* v, double p, const char* where, double recorded, double ours) {
    v->tests++;
    if (!(p < v->least)) return;
    v->least = p;
    snprintf(v->where, sizeof v->where, "%s", where);
    snprintf(v->counts, sizeof v->counts, "%.6g recorded, %.6g expected", recorded,
             ours * (double)v->recorded / (double)v->ours);
}

static int only_category(const int64_t* counts, int64_t levels, int categories) {
    for (int k = 0; k < categories; k++)
        if (counts[k] == levels) return k;
    return -1;
}

// The category in which the samples differ most.
static int widest_gap(const Counts* a, const int64_t* x, const Counts* b, const int64_t* y, int categories) {
    int widest = 0;
    double gap = -1;
    for (int k = 0; k < categories; k++) {
        const double g = fabs((double)x[k] / (double)a->levels - (double)y[k] / (double)b->levels);
        if (g <= gap) continue;
        gap = g;
        widest = k;
    }
    return widest;
}

static void test_cells(Verdict* v, const Counts* a, const Counts* b) {
    const NxSpec* s = v->spec;
    for (int i = 0; i < s->width * s->height; i++) {
        const int64_t *x = &a->kind[i * NX_NUM_TYPES], *y = &b->kind[i * NX_NUM_TYPES];
        const int always = only_category(x, a->levels, NX_NUM_TYPES),
                  ours = only_category(y, b->levels, NX_NUM_TYPES);
        if (always >= 0 && always == ours) continue;
        char name[64];
        const int most = widest_gap(a, x, b, y, NX_NUM_TYPES);
        snprintf(name, sizeof name, "type %d at (%d, %d)", most, i % s->width, i / s->width);
        const bool broken = (always > NX_EMPTY && a->levels >= MIN_CONSTANT) || ours > NX_EMPTY;
        const double p = table_test(x, (double)a->levels, y, (double)b->levels, NX_NUM_TYPES);
        note(v, broken ? 0 : p, name, (double)x[most], (double)y[most]);
    }
}

static void test_agent(Verdict* v, const Counts* a, const Counts* b) {
    const NxSpec* s = v->spec;
    const int cells = s->width * s->height;
    enum { SIDE = 256 };
    int64_t sums[2][4][SIDE] = {0};  // columns, rows, directions, ninths
    for (int i = 0; i < 4 * cells; i++)
        for (int which = 0; which < 2; which++) {
            const int64_t count = (which ? b : a)->agent[i];
            sums[which][0][i / 4 % s->width] += count;
            sums[which][1][i / 4 / s->width] += count;
            sums[which][2][i % 4] += count;
            sums[which][3][ninth(s, i / 4 % s->width, i / 4 / s->width)] += count;
        }
    static const char* const names[] = {"agent, column", "agent, row", "agent, direction",
                                        "agent, ninth of the board"};
    const int categories[] = {s->width, s->height, 4, 9};
    for (int k = 0; k < 4; k++) {
        const double p =
            table_test(sums[0][k], (double)a->levels, sums[1][k], (double)b->levels, categories[k]);
        const int most = widest_gap(a, sums[0][k], b, sums[1][k], categories[k]);
        char name[64];
        snprintf(name, sizeof name, "%s %d", names[k], most);
        note(v, p, name, (double)sums[0][k][most], (double)sums[1][k][most]);
    }
    // few levels may begin alike by chance
    const int always = only_category(a->agent, a->levels, 4 * cells),
              ours = only_category(b->agent, b->levels, 4 * cells);
    const bool broken = always != ours && (ours >= 0 || a->levels >= MIN_CONSTANT);
    const double p = table_test(a->agent, (double)a->levels, b->agent, (double)b->levels, 4 * cells);
    const int most = widest_gap(a, a->agent, b, b->agent, 4 * cells);
    char place[64];
    snprintf(place, sizeof place, "agent at (%d, %d), direction %d", most / 4 % s->width, most / 4 / s->width,
             most % 4);
    note(v, broken ? 0 : p, place, (double)a->agent[most], (double)b->agent[most]);
}

// The tail of a sum of n numbers that are distributed as ours.
static double sum_test(const Counts* a, const Counts* b, int line, int64_t most) {
    const double n = (double)a->levels, m = (double)b->levels, total = (double)a->line[line];
    const double mean = (double)b->line[line] / m;
    const double variance = (double)b->squares[line] / m - mean * mean;
    const double third =
        (double)b->cubes[line] / m - 3 * mean * (double)b->squares[line] / m + 2 * mean * mean * mean;
    if (b->line[line] ==
        0) {  // never met in ours: at `most` a level, this many of the recorded levels have it
        double p = 1, levels = most ? ceil(total / (double)most) : INFINITY;
        for (double i = 0; i < levels && p > 0 && i < n; i++) p *= (n - i) / (n + m - i);
        return most ? p : 0;
    }
    // a sum of squares of integers: a variance above rounding is at least 1 / m - 1 / m^2
    if (variance < 0.5 / m) return total == n * mean ? 1 : 0;
    const double deviation = total - n * mean, sd = sqrt(variance * n * (1 + n / m));
    const double z = fmax(0, fabs(deviation) - 0.5) / sd;  // totals are integers
    double skew = third / (variance * sqrt(variance * n));
    if (deviation < 0) skew = -skew;
    if (fabs(skew) < 0.02)
        return erfc(z / sqrt(2));  // where 5 sd of it change the tail by less than a factor 1.5
    const double shape = 4 / (skew * skew);
    double lower, upper;
    gamma_tails(shape, shape + (skew > 0 ? z : -z) * sqrt(shape), &lower, &upper);
    return fmin(1, 2 * (skew > 0 ? upper : lower));
}

static void test_lines(Verdict* v, const Counts* a, const Counts* b) {
    const NxSpec* s = v->spec;
    char name[64];
    for (int group = 0; group < NUM_GROUPS; group++)
        for (int type = 0; type < NX_NUM_TYPES; type++) {
            if (type == NX_EMPTY) continue;  // the cells that no other type has
            const int count = members(s, group), first = line_of(s, group, type, 0),
                      all = line_of(s, TOTAL, type, 0);
            const int64_t *x = &a->line[first], *y = &b->line[first];
            for (int i = 0; i < count; i++) {
                if (x[i] == 0 && y[i] == 0) continue;
                name_line(group, type, i, name);
                note(v, sum_test(a, b, first + i, b->most[type]), name, (double)x[i], (double)y[i]);
            }
            // what there is one of in each level makes a table
            if (b->most[type] != 1 || b->line[all] != b->levels || a->line[all] != a->levels) continue;
            const int i = widest_gap(a, x, b, y, count);
            name_line(group, type, i, name);
            const double p = table_test(x, (double)a->levels, y, (double)b->levels, count);
            note(v, p, name, (double)x[i], (double)y[i]);
        }
}

// ---- file ----

static UfStatus check_id(Verdict* v, const UfH5* h5, const char* id, NxGenerator* generate) {
    Counts recorded = {0}, ours = {0};
    *v = (Verdict){.least = 2};
    UfStatus status = nx_find_spec(&v->spec, id);
    if (status != UF_OK) return uf_fail_prefix(UF_ERR_FORMAT, h5->path);
    status = counts_alloc(&recorded, v->spec);
    if (status == UF_OK) status = counts_alloc(&ours, v->spec);
    if (status == UF_OK) status = recorded_counts(&recorded, h5, v->spec);
    if (status == UF_OK) {
        int64_t levels = LEVELS_EACH * recorded.levels;
        if (levels > MAX_LEVELS) levels = MAX_LEVELS;
        if (levels < MIN_LEVELS) levels = MIN_LEVELS;
        status = our_counts(&ours, v->spec, generate, levels);
    }
    if (status == UF_OK) {
        v->recorded = recorded.levels;
        v->ours = ours.levels;
        test_cells(v, &recorded, &ours);
        test_agent(v, &recorded, &ours);
        test_lines(v, &recorded, &ours);
    }
    counts_free(&recorded);
    counts_free(&ours);
    return status;
}

static UfStatus check_file(UfReport* report, const UfH5* h5, NxGenerator* generate) {
    char** ids;
    int count, tests = 0;
    Verdict* verdicts = NULL;
    UF_TRY(uf_check_format(h5));
    UF_TRY(uf_h5_list(h5, "layouts", &ids, &count));
    UfStatus status = UF_ALLOC(&verdicts, count + 1, "verdicts");
    if (status == UF_OK && count == 0)
        status = UF_FAIL(UF_ERR_FORMAT, "%s: group 'layouts' is empty; one group an id expected", h5->path);
    for (int i = 0; i < count && status == UF_OK; i++) {
        status = check_id(&verdicts[i], h5, ids[i], generate);
        tests += verdicts[i].tests;
    }
    for (int i = 0; i < count && status == UF_OK; i++) {
        const Verdict* v = &verdicts[i];
        const bool passed = v->least >= ALARM / tests;
        uf_text_add(&report->text, "%-36s %lld levels, %4d tests, least p %.1e  %s\n", v->spec->id,
                    (long long)v->recorded, v->tests, v->least, passed ? "PASS" : "FAIL");
        if (!passed) uf_text_add(&report->text, "  %s: %s\n", v->where, v->counts);
        report->passed = report->passed && passed;
    }
    if (status == UF_OK)
        uf_text_add(&report->text, "%d tests in all, each fails below p = %.1e\n", tests, ALARM / tests);
    uf_free(verdicts);
    uf_h5_list_free(ids, count);
    return status;
}

UfStatus nx_verify_layouts_of(const char* path, NxGenerator* generate, char** text, bool* passed) {
    UfReport report = {.passed = true};
    UfH5 h5;
    *text = NULL;
    *passed = false;
    UF_TRY(uf_h5_open(&h5, path));
    UfStatus status = check_file(&report, &h5, generate);
    uf_h5_close(&h5);
    return uf_report_finish(&report, status, text, passed);
}

static void generate(const NxLayout* layout, NxEnv* env) { nx_generate(layout, env); }
UfStatus nx_verify_layouts(const char* path, char** text, bool* passed) {
    return nx_verify_layouts_of(path, generate, text, passed);
}
