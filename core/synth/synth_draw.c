// synth_draw.c: see synth_draw.h.
//
// First all is measured, then it is drawn from top to bottom: maps and what matters; histograms; episodes.
//
// Rooms: what is known, measuring, measures and colours, maps, what matters, histograms, episodes, page.
#include "core/synth/synth_draw.h"

#include "core/pictures/plot.h"  // uf_picture_check

#ifdef UF_NO_CAIRO

UfStatus uf_synth_draw(const SeEnv* env, const UfEnvSpec* spec, uint64_t seed, const char* path) {
    (void)env;
    (void)spec;
    (void)seed;
    return UF_FAIL(UF_ERR_UNSUPPORTED,
                   "%s: this build draws no pictures; install libcairo2-dev and build again", path);
}

#else

#include <cairo.h>
#include <math.h>
#include <stdio.h>   // snprintf
#include <stdlib.h>  // qsort
#include <string.h>

#include "core/synth/synth_page.h"

enum {
    CONTEXTS = 5000,  // first observations
    ASKED = 2000,     // of them, whose best actions are asked for; fewer where observations are long
    ASKED_NUMBERS = 64000,
    MAX_VISITED = 20000,  // states, about
    MAX_DOTS = 500,
    EPISODES = 100,
    FEW_EPISODES = 20,  // where se_best_actions has to climb
    MAP_SIDE = 96,
    SMALL_MAP_SIDE = 48,  // likewise
    BINS = 48,
    MAX_SHOWN = 12,  // numbers of an observation that have a histogram
};

// ---- what is known ----

typedef struct Map {
    bool angle;              // of a pendulum: of (cos, sin, velocity) angle and velocity
    int number[2];           // of the observation, along x and y
    double low[2], high[2];  // shown
    int side;
    int shown;                         // which number of an action
    float *obs, *action, *reward;      // (side * side, O), (side * side, numbers), (side * side)
    double least_reward, most_reward;  // of the colours
} Map;

typedef struct Study {
    const SeEnv* env;
    const SeOptions* o;
    const UfEnvSpec* spec;  // NULL: nothing is played
    uint64_t seed;
    const char* path;
    int O, numbers;   // numbers of an action as it is taken
    float* contexts;  // (CONTEXTS, O)
    float* median;    // (O) of them
    double* importance;
    int* order;  // (O) numbers, from the most important on
    int num_shown;
    int shown[MAX_SHOWN];  // numbers of an observation, from the first on
    Map map;
    int num_episodes, num_visited;
    double* returns;         // (num_episodes)
    float* visited;          // (num_visited, O)
    SeEpisode episode;       // the first of them
    double mean, deviation;  // of returns
} Study;

static const float* row_of(const Study* s, const float* rows, int row) {
    return rows + (size_t)row * (size_t)s->O;
}

static const char* name_of(const Study* s, int j, char text[32]) { return se_page_feature(s->spec, j, text); }

// ---- measuring ----

static int compare_floats(const void* a, const void* b) {
    const float x = *(const float*)a, y = *(const float*)b;
    return (x > y) - (x < y);
}

static UfStatus check_finite(const float* x, int64_t count, const char* what) {
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(x[i]))
            return UF_FAIL(UF_ERR_NONFINITE, "%s of the synthetic environment are not finite", what);
    return UF_OK;
}

static UfStatus measure_contexts(Study* s) {
    const SeDraw draw = {.seed = s->seed};
    UF_TRY(UF_ALLOC(&s->contexts, (int64_t)CONTEXTS * s->O, "contexts"));
    UF_TRY(UF_ALLOC(&s->median, s->O, "contexts"));
    se_reset(s->env, &draw, CONTEXTS, s->contexts);
    return check_finite(s->contexts, (int64_t)CONTEXTS * s->O, "first observations");
}

// The share-th of sorted numbers.
static double quantile(const float* sorted, int count, double share) {
    return (double)sorted[(int)fmin(count - 1, floor(share * count))];
}

static int by_importance(const Study* s, int a, int b) {
    return s->importance[a] != s->importance[b] ? (s->importance[a] < s->importance[b] ? 1 : -1) : a - b;
}

static UfStatus measure_importance(Study* s) {
    const int rows = s->O <= ASKED_NUMBERS / ASKED ? ASKED : (int)fmax(100, ASKED_NUMBERS / s->O);
    float *best = NULL, *changed = NULL, *other = NULL;
    UF_TRY(UF_ALLOC(&s->importance, s->O, "what matters"));
    UF_TRY(UF_ALLOC(&s->order, s->O, "what matters"));
    UfStatus status = UF_ALLOC(&best, (int64_t)rows * s->numbers, "actions");
    if (status == UF_OK) status = UF_ALLOC(&changed, (int64_t)rows * s->O, "contexts");
    if (status == UF_OK) status = UF_ALLOC(&other, (int64_t)rows * s->numbers, "actions");
    if (status == UF_OK) se_best_actions(s->env, rows, s->contexts, best);
    for (int j = 0; j < s->O && status == UF_OK; j++)
        s->importance[j] = uf_synth_importance(s->env, rows, s->contexts, best, j, changed, other);
    for (int j = 0; j < s->O && status == UF_OK; j++) {  // insertion: few numbers, and ties keep their order
        int at = j;
        for (; at > 0 && by_importance(s, s->order[at - 1], j) > 0; at--) s->order[at] = s->order[at - 1];
        s->order[at] = j;
    }
    uf_free(best);
    uf_free(changed);
    uf_free(other);
    return status;
}

static int compare_ints(const void* a, const void* b) { return *(const int*)a - *(const int*)b; }

// The most important numbers, in their own order.
static void choose_shown(Study* s) {
    s->num_shown = s->O < MAX_SHOWN ? s->O : MAX_SHOWN;
    memcpy(s->shown, s->order, (size_t)s->num_shown * sizeof(int));
    qsort(s->shown, (size_t)s->num_shown, sizeof(int), compare_ints);
}

typedef struct Table {  // episodes side by side; those that go on come first
    UfEnv* envs[EPISODES];
    int episodes[EPISODES], running;
    float *obs, *actions;
} Table;

static UfStatus make_table(Study* s, Table* t) {
    UF_TRY(UF_ALLOC(&t->obs, (int64_t)s->num_episodes * s->O, "observations"));
    UF_TRY(UF_ALLOC(&t->actions, (int64_t)s->num_episodes * s->numbers, "actions"));
    for (t->running = 0; t->running < s->num_episodes; t->running++) {
        const int e = t->running;
        UF_TRY(uf_env_create(&t->envs[e], s->spec->name));
        t->episodes[e] = e;
        uf_env_reset(t->envs[e], s->seed, (uint64_t)e, t->obs + (size_t)e * (size_t)s->O);
    }
    return UF_OK;
}

static void remember(Study* s, const Table* t, int k, bool visits) {
    const size_t O = (size_t)s->O, A = (size_t)s->numbers;
    const float *obs = t->obs + (size_t)k * O, *action = t->actions + (size_t)k * A;
    if (visits) memcpy(s->visited + (size_t)s->num_visited++ * O, obs, O * sizeof *obs);
    if (t->episodes[k]) return;
    memcpy(s->episode.obs + (size_t)s->episode.num_steps * O, obs, O * sizeof *obs);
    memcpy(s->episode.actions + (size_t)s->episode.num_steps++ * A, action, A * sizeof *action);
}

static void play_table(Study* s, Table* t, int every) {
    const size_t O = (size_t)s->O, A = (size_t)s->numbers;
    for (int step = 0; t->running; step++) {
        se_best_actions(s->env, t->running, t->obs, t->actions);
        for (int k = 0; k < t->running; k++) remember(s, t, k, step % every == 0);
        for (int k = t->running - 1; k >= 0; k--) {
            double reward;
            bool terminated, truncated;
            uf_env_step(t->envs[k], t->actions + (size_t)k * A, t->obs + (size_t)k * O, &reward, &terminated,
                        &truncated);
            s->returns[t->episodes[k]] += reward;
            if (!terminated && !truncated) continue;
            UfEnv* env = t->envs[k];  // the last one that runs takes its place
            t->envs[k] = t->envs[--t->running];
            t->envs[t->running] = env;
            t->episodes[k] = t->episodes[t->running];
            memmove(t->obs + (size_t)k * O, t->obs + (size_t)t->running * O, O * sizeof *t->obs);
        }
    }
}

static UfStatus measure_episodes(Study* s) {
    Table t = {0};
    if (!s->spec) return UF_OK;
    s->num_episodes = s->numbers == 1 ? EPISODES : FEW_EPISODES;
    const int64_t all = (int64_t)s->num_episodes * s->spec->max_steps;
    const int every = (int)((all + MAX_VISITED - 1) / MAX_VISITED);
    const int64_t most = s->num_episodes * ((s->spec->max_steps + every - 1) / (int64_t)every);
    UF_TRY(UF_ALLOC(&s->returns, s->num_episodes, "returns"));
    UF_TRY(UF_ALLOC(&s->visited, most * s->O, "states"));
    UF_TRY(se_episode_create(&s->episode, s->spec));
    const UfStatus status = make_table(s, &t);
    if (status == UF_OK) play_table(s, &t, every);
    for (int e = 0; e < s->num_episodes; e++) uf_env_free(t.envs[e]);
    uf_free(t.obs);
    uf_free(t.actions);
    UF_TRY(status);
    double squares = 0;
    for (int e = 0; e < s->num_episodes; e++) s->mean += s->returns[e];
    s->mean /= s->num_episodes;
    s->episode.sum = s->returns[0];
    for (int e = 0; e < s->num_episodes; e++)
        squares += (s->returns[e] - s->mean) * (s->returns[e] - s->mean);
    s->deviation = sqrt(squares / s->num_episodes);
    return UF_OK;
}

// Where most contexts are, `trim` of them beyond each end, and all states that are visited.
static void range_of(const Study* s, const float* sorted, int j, double trim, double* low, double* high) {
    *low = quantile(sorted, CONTEXTS, trim);
    *high = quantile(sorted, CONTEXTS, 1 - trim);
    for (int i = 0; i < s->num_visited; i++) {
        const double x = (double)row_of(s, s->visited, i)[j];
        *low = fmin(*low, x);
        *high = fmax(*high, x);
    }
    const double margin = *high - *low > 1e-9 * fmax(1, fabs(*low)) ? 0.02 * (*high - *low) : 0.5;
    *low -= margin;
    *high += margin;
}

static void sort_contexts(const Study* s, int j, float* sorted) {
    for (int i = 0; i < CONTEXTS; i++) sorted[i] = row_of(s, s->contexts, i)[j];
    qsort(sorted, CONTEXTS, sizeof *sorted, compare_floats);
}

static void place_map(Study* s, float* sorted) {
    Map* m = &s->map;
    m->angle = s->spec && s->spec->ops == &uf_pendulum_ops;
    m->number[0] = m->angle ? 0 : s->order[0];
    m->number[1] = m->angle ? 2 : s->O > 1 ? s->order[1] : s->order[0];
    if (!m->angle && m->number[0] > m->number[1]) {
        m->number[0] = m->number[1];
        m->number[1] = s->order[0];
    }
    for (int j = 0; j < s->O; j++) {
        sort_contexts(s, j, sorted);
        s->median[j] = (float)quantile(sorted, CONTEXTS, 0.5);
        for (int k = 0; k < 2; k++)
            if (m->number[k] == j) range_of(s, sorted, j, 0.05, &m->low[k], &m->high[k]);
    }
    if (!m->angle) return;
    m->low[0] = -UF_PI;
    m->high[0] = UF_PI;
}

// The observation at a place of the map, and the other way round.
static void observation_at(const Study* s, double x, double y, float* obs) {
    const Map* m = &s->map;
    memcpy(obs, s->median, (size_t)s->O * sizeof *obs);
    obs[m->number[1]] = (float)y;
    obs[m->number[0]] = (float)(m->angle ? cos(x) : x);  // of one number alone this one
    if (m->angle) obs[1] = (float)sin(x);
}

static void place_of(const Study* s, const float* obs, double at[2]) {
    const Map* m = &s->map;
    at[0] = m->angle ? atan2((double)obs[1], (double)obs[0]) : (double)obs[m->number[0]];
    at[1] = (double)obs[m->number[1]];
}

// The number of an action that the map shows: the one that varies most on it.
static int most_varied(const Study* s, const float* action, int rows) {
    int best = 0;
    double most = -1;
    for (int a = 0; a < s->numbers; a++) {
        double sum = 0, squares = 0;
        for (int i = 0; i < rows; i++) {
            const double x = (double)action[(size_t)i * (size_t)s->numbers + (size_t)a];
            sum += x;
            squares += x * x;
        }
        const double variance = squares / rows - sum / rows * (sum / rows);
        if (variance <= most) continue;
        most = variance;
        best = a;
    }
    return best;
}

static UfStatus measure_map(Study* s) {
    Map* m = &s->map;
    m->side = s->numbers == 1 ? MAP_SIDE : SMALL_MAP_SIDE;
    const int rows = m->side * m->side;
    float *encoded = NULL, *sorted = NULL;
    UF_TRY(UF_ALLOC(&m->obs, (int64_t)rows * s->O, "map"));
    UF_TRY(UF_ALLOC(&m->action, (int64_t)rows * s->numbers, "map"));
    UF_TRY(UF_ALLOC(&m->reward, rows, "map"));
    UfStatus status = UF_ALLOC(&sorted, CONTEXTS > rows ? CONTEXTS : rows, "contexts");
    if (status == UF_OK) status = UF_ALLOC(&encoded, (int64_t)rows * s->o->action_dim, "map");
    if (status == UF_OK) {
        place_map(s, sorted);
        for (int i = 0; i < rows; i++)
            observation_at(s, m->low[0] + (i % m->side + 0.5) / m->side * (m->high[0] - m->low[0]),
                           m->low[1] + (i / m->side + 0.5) / m->side * (m->high[1] - m->low[1]),
                           m->obs + (size_t)i * (size_t)s->O);
        se_best_actions(s->env, rows, m->obs, m->action);
        se_encode(s->env, rows, m->action, encoded);
        se_rewards(s->env, rows, m->obs, encoded, m->reward);
        status = check_finite(m->reward, rows, "rewards");
        m->shown = most_varied(s, m->action, rows);
        memcpy(sorted, m->reward, (size_t)rows * sizeof *sorted);
        qsort(sorted, (size_t)rows, sizeof *sorted, compare_floats);
        m->least_reward = quantile(sorted, rows, 0.005);
        m->most_reward = quantile(sorted, rows, 0.995);
        if (!(m->most_reward > m->least_reward)) m->most_reward = m->least_reward + 1;
    }
    uf_free(encoded);
    uf_free(sorted);
    return status;
}

static UfStatus measure(Study* s) {
    UF_TRY(measure_contexts(s));
    UF_TRY(measure_importance(s));
    choose_shown(s);
    UF_TRY(measure_episodes(s));
    return measure_map(s);
}

// ---- measures and colours ----

enum {
    COLUMN = 392,  // of three, with 16 between them
    MAP_HEIGHT = 270,
    LEGEND = 28,
    HISTOGRAM = 104,
    MOST_COLUMNS = 6,
};

// From dark blue by green to yellow, for x from 0 to 1: matplotlib's viridis at eight places.
static void sequential(double rgb[3], double x) {
    static const double places[][3] = {{0.267, 0.005, 0.329}, {0.275, 0.195, 0.496}, {0.213, 0.359, 0.552},
                                       {0.153, 0.497, 0.558}, {0.122, 0.633, 0.531}, {0.290, 0.758, 0.428},
                                       {0.622, 0.854, 0.226}, {0.993, 0.906, 0.144}};
    const double at = fmin(fmax(x, 0), 1) * 7;
    const int i = (int)fmin(floor(at), 6);
    for (int k = 0; k < 3; k++) rgb[k] = places[i][k] + (at - i) * (places[i + 1][k] - places[i][k]);
}

// ---- maps ----

// An image of the map, drawn as a whole so that there are no seams. what: 0 the action, 1 its reward
static UfStatus draw_cells(cairo_t* c, const Study* s, const UfPageAxis* ax, const UfPageAxis* ay, int what) {
    const Map* m = &s->map;
    cairo_surface_t* image = cairo_image_surface_create(CAIRO_FORMAT_RGB24, m->side, m->side);
    if (cairo_surface_status(image) != CAIRO_STATUS_SUCCESS) {
        const cairo_status_t failed = cairo_surface_status(image);
        cairo_surface_destroy(image);
        return uf_page_failed(s->path, failed);
    }
    unsigned char* pixels = cairo_image_surface_get_data(image);
    const int stride = cairo_image_surface_get_stride(image);
    for (int i = 0; i < m->side * m->side; i++) {
        const double action = (double)m->action[(size_t)i * (size_t)s->numbers + (size_t)m->shown],
                     middle = (double)(s->o->action_low + s->o->action_high) / 2,
                     half = (double)(s->o->action_high - s->o->action_low) / 2;
        double rgb[3];
        if (what)
            sequential(rgb, ((double)m->reward[i] - m->least_reward) / (m->most_reward - m->least_reward));
        else if (s->o->discrete)
            memcpy(rgb, se_page_kind_colour((int)action), sizeof rgb);
        else
            uf_page_diverging(rgb, (action - middle) / half);
        const uint32_t value = (uint32_t)lround(255 * rgb[0]) << 16 | (uint32_t)lround(255 * rgb[1]) << 8 |
                               (uint32_t)lround(255 * rgb[2]);
        memcpy(pixels + (m->side - 1 - i / m->side) * stride + 4 * (i % m->side), &value, sizeof value);
    }
    cairo_surface_mark_dirty(image);
    cairo_save(c);
    cairo_translate(c, ax->from, ay->to);
    cairo_scale(c, (ax->to - ax->from) / m->side, (ay->from - ay->to) / m->side);
    cairo_set_source_surface(c, image, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(c), CAIRO_FILTER_NEAREST);
    cairo_paint(c);
    cairo_restore(c);
    cairo_surface_destroy(image);
    return UF_OK;
}

static void draw_dots(cairo_t* c, const Study* s, const UfPageAxis* ax, const UfPageAxis* ay, bool light) {
    const int dots = s->num_visited < MAX_DOTS ? s->num_visited : MAX_DOTS;
    cairo_save(c);
    cairo_rectangle(c, ax->from, ay->to, ax->to - ax->from, ay->from - ay->to);
    cairo_clip(c);
    cairo_set_source_rgba(c, light, light, light, 0.6);
    cairo_new_path(c);  // text leaves a point
    for (int i = 0; i < dots; i++) {
        double at[2];
        place_of(s, row_of(s, s->visited, (int)((int64_t)i * s->num_visited / dots)), at);
        cairo_arc(c, uf_page_axis_pixel(ax, at[0]), uf_page_axis_pixel(ay, at[1]), 1.4, 0, 2 * UF_PI);
        cairo_fill(c);
    }
    cairo_restore(c);
}

// A strip of colours with the numbers of its ends. sequential or diverging, by `what` as above
static double draw_scale(cairo_t* c, double x, double y, int what, double low, double high) {
    const int parts = 60;
    char text[32];
    uf_page_font(c, 12, false);
    se_page_grey(c, 0.25);
    snprintf(text, sizeof text, "%.3g", low);
    uf_page_text(c, text, x, y, 0);
    x += uf_page_text_width(c, text) + 6;
    for (int i = 0; i < parts; i++) {
        double rgb[3];
        if (what)
            sequential(rgb, (i + 0.5) / parts);
        else
            uf_page_diverging(rgb, 2 * (i + 0.5) / parts - 1);
        se_page_rgb(c, rgb, 1);
        cairo_rectangle(c, x + 2 * i, y - 10, 2.5, 12);
        cairo_fill(c);
    }
    x += 2 * parts + 6;
    se_page_grey(c, 0.25);
    snprintf(text, sizeof text, "%.3g", high);
    uf_page_text(c, text, x, y, 0);
    return x + uf_page_text_width(c, text) + 16;
}

static UfStatus draw_map(cairo_t* c, const Study* s, double x, double y, int what) {
    static const char dots[] = "dots: states visited";
    const Map* m = &s->map;
    const double right = x + COLUMN, bottom = y + MAP_HEIGHT;
    const UfPageAxis ax = se_page_axis(m->low[0], m->high[0], x + SE_PAGE_AXIS, right, 6, false),
                     ay = se_page_axis(m->low[1], m->high[1], bottom, y, 6, false);
    char title[64], x_name[64], name[32], text[32];
    UF_TRY(draw_cells(c, s, &ax, &ay, what));
    draw_dots(c, s, &ax, &ay, what);
    se_page_box(c, &ax, &ay);
    se_page_ticks(c, &ax, &ay);
    if (what)
        snprintf(title, sizeof title, "Its reward");
    else if (s->numbers > 1)
        snprintf(title, sizeof title, "Best action: number %d of %d", m->shown, s->numbers);
    else
        snprintf(title, sizeof title, "Best action");
    snprintf(x_name, sizeof x_name, "%s%s", m->angle ? "angle" : name_of(s, m->number[0], name),
             s->O > 2 && !m->angle ? "; others at their median" : "");
    se_page_names(c, &ax, &ay, title, x_name, name_of(s, m->number[1], name));
    const double key = bottom + SE_PAGE_BELOW + 16;
    double at = x + SE_PAGE_AXIS;
    if (what)
        at = draw_scale(c, at, key, 1, m->least_reward, m->most_reward);
    else if (!s->o->discrete)
        at = draw_scale(c, at, key, 0, (double)s->o->action_low, (double)s->o->action_high);
    for (int k = 0; !what && s->o->discrete && k < s->o->action_dim && at < right - 60; k++)
        at = se_page_key(c, se_page_kind_colour(k), 1, se_page_kind(s->spec, k, text), at, key);
    if (!s->num_visited) return UF_OK;
    se_page_grey(c, 0.45);
    uf_page_font(c, 11, false);
    if (uf_page_text_width(c, dots) <= right - at)
        uf_page_text(c, dots, right, key, 1);  // else the next map says so
    return UF_OK;
}

// ---- what matters ----

static void draw_importance(cairo_t* c, const Study* s, double x, double y) {
    const int n = s->num_shown;
    const double bottom = y + MAP_HEIGHT, height = (double)MAP_HEIGHT / n;
    double most = 0, names = 0;
    char text[32];
    uf_page_font(c, 12, false);
    for (int i = 0; i < n; i++) {
        most = fmax(most, s->importance[s->shown[i]]);
        names = fmax(names, uf_page_text_width(c, name_of(s, s->shown[i], text)));
    }
    if (!(most > 0)) most = 1;
    UfPageAxis ax = se_page_axis(0, most * 1.16, x + names + 20, SE_PAGE_WIDTH - SE_PAGE_MARGIN, 5, false),
               ay = {.from = bottom, .to = y, .high = 1};
    for (int i = 0; i < n; i++) {
        const double value = s->importance[s->shown[i]], thick = fmin(26, 0.66 * height),
                     middle = y + (i + 0.5) * height;
        se_page_grey(c, 0.25);
        uf_page_font(c, 12, false);
        uf_page_text(c, name_of(s, s->shown[i], text), ax.from - 8, middle + 4, 1);
        se_page_rgb(c, se_page_sky, 1);
        cairo_rectangle(c, ax.from, middle - thick / 2, uf_page_axis_pixel(&ax, value) - ax.from, thick);
        cairo_fill(c);
        se_page_grey(c, 0.25);
        snprintf(text, sizeof text, "%.2g", value);
        uf_page_text(c, text, uf_page_axis_pixel(&ax, value) + 5, middle + 4, 0);
    }
    se_page_box(c, &ax, &ay);
    se_page_ticks(c, &ax, &ay);
    se_page_names(c, &ax, &ay, NULL,
                  s->o->discrete ? "share of best actions that change with it"
                                 : "mean change of the best action with it",
                  NULL);
    se_page_grey(c, 0.15);
    uf_page_font(c, 13, true);
    uf_page_text(c, n < s->O ? "What the best action depends on most" : "What the best action depends on", x,
                 y - 7, 0);
}

// ---- histograms ----

static void count_bins(int bins[BINS], const Study* s, const float* rows, int count, int j, double low,
                       double high) {
    memset(bins, 0, BINS * sizeof *bins);
    for (int i = 0; i < count; i++) {
        const double at = ((double)row_of(s, rows, i)[j] - low) / (high - low) * BINS;
        if (at < 0 || at > BINS) continue;  // the ends that are cut off
        bins[(int)fmin(at, BINS - 1)]++;
    }
}

// The highest is as high as the panel.
static void draw_bins(cairo_t* c, const int* bins, int count, const UfPageAxis* ax, const UfPageAxis* ay,
                      const double rgb[3], double alpha) {
    int most = 1;
    for (int i = 0; i < count; i++) most = bins[i] > most ? bins[i] : most;
    const double width = (ax->to - ax->from) / count, height = (ay->from - ay->to) * 0.94;
    cairo_move_to(c, ax->from, ay->from);
    for (int i = 0; i < count; i++)
        for (int side = 0; side < 2; side++)
            cairo_line_to(c, ax->from + (i + side) * width, ay->from - height * bins[i] / most);
    cairo_line_to(c, ax->to, ay->from);
    cairo_close_path(c);
    se_page_rgb(c, rgb, alpha);
    cairo_fill_preserve(c);
    se_page_rgb(c, rgb, 1);
    cairo_set_line_width(c, 1);
    cairo_stroke(c);
}

static int histogram_columns(const Study* s) {
    return s->num_shown < MOST_COLUMNS ? s->num_shown : MOST_COLUMNS;
}
static int histogram_rows(const Study* s) { return (s->num_shown + MOST_COLUMNS - 1) / MOST_COLUMNS; }

static void draw_histogram(cairo_t* c, const Study* s, int j, const float* sorted, double x, double y,
                           double width) {
    double low, high;
    int bins[BINS];
    char text[32];
    range_of(s, sorted, j, 0.005, &low, &high);
    UfPageAxis ax = se_page_axis(low, high, x, x + width, width > 300 ? 8 : 4, false),
               ay = {.from = y + HISTOGRAM, .to = y, .high = 1};
    count_bins(bins, s, s->contexts, CONTEXTS, j, low, high);
    draw_bins(c, bins, BINS, &ax, &ay, se_page_sky, 0.55);
    if (s->num_visited) {
        count_bins(bins, s, s->visited, s->num_visited, j, low, high);
        draw_bins(c, bins, BINS, &ax, &ay, se_page_vermilion, 0.35);
    }
    se_page_box(c, &ax, &ay);
    se_page_ticks(c, &ax, &ay);
    se_page_names(c, &ax, &ay, name_of(s, j, text), NULL, NULL);
}

static UfStatus draw_histograms(cairo_t* c, const Study* s, double y) {
    const int columns = histogram_columns(s);
    const double gap = 34, width = (SE_PAGE_WIDTH - 2 * SE_PAGE_MARGIN - (columns - 1) * gap) / columns;
    char text[96];
    float* sorted;
    UF_TRY(UF_ALLOC(&sorted, CONTEXTS, "contexts"));
    const char* header = s->spec ? "Where it begins, and where its best action leads" : "Where it begins";
    se_page_header(c, header, y + 14);
    double at = SE_PAGE_MARGIN + uf_page_text_width(c, header) + 30;
    snprintf(text, sizeof text, "%d first observations", CONTEXTS);
    at = se_page_key(c, se_page_sky, 0.7, text, at, y + 14);
    if (s->num_visited) {
        snprintf(text, sizeof text, "states of %d episodes", s->num_episodes);
        at = se_page_key(c, se_page_vermilion, 0.6, text, at, y + 14);
    }
    se_page_grey(c, 0.45);
    uf_page_text_within(c,
                        s->num_shown < s->O ? "each as high as its panel; the numbers that matter most"
                                            : "each as high as its panel",
                        SE_PAGE_WIDTH - SE_PAGE_MARGIN, y + 14, 1, 11, SE_PAGE_WIDTH - SE_PAGE_MARGIN - at);
    for (int i = 0; i < s->num_shown; i++) {
        sort_contexts(s, s->shown[i], sorted);
        draw_histogram(c, s, s->shown[i], sorted, SE_PAGE_MARGIN + i % columns * (width + gap),
                       y + SE_PAGE_HEADER + SE_PAGE_PANEL_TITLE +
                           i / columns * (SE_PAGE_PANEL_TITLE + HISTOGRAM + SE_PAGE_ROW_GAP),
                       width);
    }
    uf_free(sorted);
    return UF_OK;
}

// ---- episodes ----

static void draw_returns(cairo_t* c, const Study* s, double x, double y) {
    enum { PARTS = 25 };  // odd: where all are alike they are in the middle
    int bins[PARTS] = {0}, most = 1;
    double low = INFINITY, high = -INFINITY;
    char title[96];
    for (int e = 0; e < s->num_episodes; e++) {
        low = fmin(low, s->returns[e]);
        high = fmax(high, s->returns[e]);
    }
    if (!(high - low > 1e-9 * fmax(1, fabs(low)))) {
        low -= 0.5;
        high += 0.5;
    }
    for (int e = 0; e < s->num_episodes; e++)
        bins[(int)fmin((s->returns[e] - low) / (high - low) * PARTS, PARTS - 1)]++;
    for (int i = 0; i < PARTS; i++) most = bins[i] > most ? bins[i] : most;
    const UfPageAxis ax = se_page_axis(low, high, x + SE_PAGE_AXIS, x + COLUMN, 6, false),
                     ay = se_page_axis(0, most / 0.94, y + SE_PAGE_EPISODE, y, 5, false);
    draw_bins(c, bins, PARTS, &ax, &ay, se_page_vermilion, 0.35);
    se_page_grey(c, 0.15);
    cairo_set_line_width(c, 1.5);
    const double at = uf_page_axis_pixel(&ax, s->mean);
    cairo_move_to(c, at, ay.from);
    cairo_line_to(c, at, ay.to);
    cairo_stroke(c);
    se_page_box(c, &ax, &ay);
    se_page_ticks(c, &ax, &ay);
    snprintf(title, sizeof title, "Returns: %.4g on average", s->mean);
    se_page_names(c, &ax, &ay, title, "return of an episode", "episodes");
}

static void draw_episode(cairo_t* c, const Study* s, double x, double y) {
    int chosen[SE_PAGE_STRIPS];
    char title[96];
    const SeEpisode* e = &s->episode;
    const SeEpisodeView view = {.episode = e,
                                .spec = s->spec,
                                .num_shown = s->O < SE_PAGE_STRIPS ? s->O : SE_PAGE_STRIPS,
                                .shown = chosen,
                                .discrete = s->o->discrete,
                                .action = s->map.shown,
                                .action_name = "best action",
                                .title = title};
    memcpy(chosen, s->order, (size_t)view.num_shown * sizeof(int));
    qsort(chosen, (size_t)view.num_shown, sizeof(int), compare_ints);
    snprintf(title, sizeof title, "One episode: return %.4g in %d step%s", e->sum, e->num_steps,
             e->num_steps == 1 ? "" : "s");
    se_page_episode(c, &view, x, y);
}

// ---- page ----

enum {
    FIRST_ROW = SE_PAGE_TITLE + SE_PAGE_PANEL_TITLE,
    SECOND_ROW = FIRST_ROW + MAP_HEIGHT + SE_PAGE_BELOW + LEGEND + SE_PAGE_ROW_GAP
};

static double third_row(const Study* s) {
    return SECOND_ROW + SE_PAGE_HEADER +
           histogram_rows(s) * (SE_PAGE_PANEL_TITLE + HISTOGRAM + SE_PAGE_ROW_GAP) + SE_PAGE_ROW_GAP;
}

static void draw_title(cairo_t* c, const Study* s) {
    char title[512], text[512];
    const char* name =
        s->o->eval_env && s->o->eval_env[0] ? s->o->eval_env : "no environment that has a name";
    snprintf(title, sizeof title, "Synthetic %s for %.200s: %lld numbers",
             s->o->mode == SE_MDP ? "MDP" : "bandit", name, (long long)se_num_params(s->env));
    if (s->spec) {
        snprintf(text, sizeof text, "its best action in %s: return %.4g, deviation %.3g, over %d episodes",
                 s->spec->name, s->mean, s->deviation, s->num_episodes);
        if (s->spec->has_scores)
            snprintf(text + strlen(text), sizeof text - strlen(text), "; score %.4g",
                     uf_env_score(s->spec, s->mean));
    } else {
        snprintf(text, sizeof text, "played in no environment");
    }
    snprintf(text + strlen(text), sizeof text - strlen(text), "; seed %llu", (unsigned long long)s->seed);
    se_page_title(c, title, text);
}

static UfStatus draw_page(cairo_t* c, void* user) {
    const Study* s = user;
    draw_title(c, s);
    UF_TRY(draw_map(c, s, SE_PAGE_MARGIN, FIRST_ROW, 0));
    UF_TRY(draw_map(c, s, SE_PAGE_MARGIN + COLUMN + 16, FIRST_ROW, 1));
    draw_importance(c, s, SE_PAGE_MARGIN + 2 * (COLUMN + 16) + 28, FIRST_ROW);
    UF_TRY(draw_histograms(c, s, SECOND_ROW));
    if (!s->spec) return UF_OK;
    se_page_header(c, "Its best action", third_row(s) + 14);
    draw_returns(c, s, SE_PAGE_MARGIN, third_row(s) + SE_PAGE_HEADER + SE_PAGE_PANEL_TITLE);
    draw_episode(c, s, SE_PAGE_MARGIN + COLUMN + 16, third_row(s) + SE_PAGE_HEADER + SE_PAGE_PANEL_TITLE);
    return UF_OK;
}

UfStatus uf_synth_draw(const SeEnv* env, const UfEnvSpec* spec, uint64_t seed, const char* path) {
    const SeOptions* o = se_options(env);
    Study s = {.env = env,
               .o = o,
               .spec = spec,
               .seed = seed,
               .path = path,
               .O = o->obs_dim,
               .numbers = o->discrete ? 1 : o->action_dim};
    UF_TRY(uf_picture_check(path));
    if (spec) UF_TRY(uf_env_available(spec));
    if (spec) UF_TRY(se_check_fit(o, spec));
    UfStatus status = measure(&s);
    const double height =
        third_row(&s) + (spec ? SE_PAGE_HEADER + SE_PAGE_PANEL_TITLE + SE_PAGE_EPISODE + SE_PAGE_BELOW + 8
                              : -SE_PAGE_ROW_GAP);
    if (status == UF_OK) status = uf_page_write(path, SE_PAGE_WIDTH, height, draw_page, &s);
    void* all[] = {s.contexts,   s.median,     s.importance, s.order,  s.map.obs,
                   s.map.action, s.map.reward, s.returns,    s.visited};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
    se_episode_free(&s.episode);
    return status;
}

#endif
