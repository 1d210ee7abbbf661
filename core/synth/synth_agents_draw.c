// synth_agents_draw.c: see synth_agents_draw.h.
//
// Rooms: what is known, marks, rows of returns, learning rates, one agent, page.
#include "core/synth/synth_agents_draw.h"

#include <stdio.h>   // snprintf
#include <string.h>  // strrchr

#include "core/pictures/plot.h"  // uf_picture_check

UfStatus se_check_picture(const char* path) {
    UF_TRY(uf_picture_check(path));
#ifdef UF_NO_CAIRO
    return UF_FAIL(UF_ERR_UNSUPPORTED,
                   "%s: this build draws no pictures; install libcairo2-dev and build again", path);
#endif
    return uf_check_output(path);
}

#ifdef UF_NO_CAIRO

UfStatus se_draw_ratings(const SeAgentsPage* page, const char* path) {
    (void)page;
    return se_check_picture(path);
}

#else

#include <cairo.h>
#include <math.h>

#include "core/synth/synth_page.h"

enum {
    ROW = 36,
    DOTS = 25,    // of it; below is what is published
    KEYS = 22,    // a line of them
    NAMES = 116,  // of rows
    NUMBER = 78,  // a column of numbers beside the rows
    PANEL = 200,  // high
    PANEL_GAP = 16,
    FEWEST_PANELS = 3,  // beside each other: fewer are as wide
};

// ---- what is known ----

typedef struct Study {
    const SeAgentsPage* page;
    double low, high;            // returns, with a margin
    double low_rate, high_rate;  // log10 of learning rates, likewise
    bool published, nonfinite, synthetic, real;
    SeAlgorithms algorithms;
} Study;

static double published_return(const Study* s, const SeRating* r) {
    return r->real ? NAN : se_published_return(s->page->spec->name, r->algorithm);
}

static void widen(double* low, double* high, double value) {
    if (!isfinite(value)) return;
    *low = fmin(*low, value);
    *high = fmax(*high, value);
}

static void note_algorithm(Study* s, SeAlgorithm algorithm) {
    for (int i = 0; i < s->algorithms.count; i++)
        if (s->algorithms.list[i] == algorithm) return;
    s->algorithms.list[s->algorithms.count++] = algorithm;
}

static void measure(Study* s) {
    s->low = s->low_rate = INFINITY;
    s->high = s->high_rate = -INFINITY;
    for (int k = 0; k < s->page->count; k++) {
        const SeRating* r = &s->page->ratings[k];
        for (int i = 0; i < r->num_agents; i++) {
            widen(&s->low, &s->high, r->means[i]);
            widen(&s->low_rate, &s->high_rate, log10(r->numbers[i].lr));
            s->nonfinite |= !isfinite(r->means[i]);
        }
        widen(&s->low, &s->high, published_return(s, r));
        s->published |= isfinite(published_return(s, r));
        s->real |= r->real;
        s->synthetic |= !r->real;
        note_algorithm(s, r->algorithm);
    }
    widen(&s->low, &s->high, s->page->no_agent);
    if (!(s->low <= s->high)) s->low = s->high = 0;  // no agent is finite
    const double size = fmax(fabs(s->low), fabs(s->high)), range = s->high - s->low,
                 margin = range > 1e-9 * fmax(1, size) ? 0.04 * range : fmax(0.5, 0.05 * size);
    s->low -= margin;
    s->high += margin;
    const double decades = 0.15 + 0.08 * (s->high_rate - s->low_rate);
    s->low_rate -= decades;
    s->high_rate += decades;
}

// ---- marks ----

static const double* colour_of(const SeRating* r) { return r->real ? se_page_vermilion : se_page_blue; }
static const char* place_of(const SeRating* r) { return r->real ? "real" : "synthetic"; }

// Between -1 and 1, spread evenly over agents by the golden ratio.
static double spread(int agent) { return 2 * fmod(0.5 + 0.618033988749895 * agent, 1) - 1; }

static void draw_dot(cairo_t* c, double x, double y, const double rgb[3], int of) {
    cairo_new_path(c);  // text leaves a point
    cairo_arc(c, x, y, of > 100 ? 2 : 3.2, 0, 2 * UF_PI);
    se_page_rgb(c, rgb, of > 30 ? 0.4 : 0.55);
    cairo_fill(c);
}

static void draw_cross(cairo_t* c, double x, double y, const double rgb[3]) {
    enum { R = 3 };
    cairo_new_path(c);
    cairo_move_to(c, x - R, y - R);
    cairo_line_to(c, x + R, y + R);
    cairo_move_to(c, x - R, y + R);
    cairo_line_to(c, x + R, y - R);
    se_page_rgb(c, rgb, 1);
    cairo_set_line_width(c, 1.4);
    cairo_stroke(c);
}

static void draw_tick(cairo_t* c, double x, double y, double height, const double rgb[3]) {
    cairo_new_path(c);
    cairo_move_to(c, x, y - height / 2);
    cairo_line_to(c, x, y + height / 2);
    se_page_rgb(c, rgb, 1);
    cairo_set_line_width(c, 2.4);
    cairo_stroke(c);
}

static void draw_diamond(cairo_t* c, double x, double y) {
    enum { R = 4 };
    for (int above = 0; above < 2; above++) {
        cairo_new_path(c);
        cairo_move_to(c, x - R, y);
        cairo_line_to(c, x, y - R);
        cairo_line_to(c, x + R, y);
        cairo_line_to(c, x, y + R);
        cairo_close_path(c);
        se_page_grey(c, above ? 0.1 : 1);
        cairo_set_line_width(c, above ? 1.3 : 4);  // a light border first: it may stand on a tick
        cairo_stroke(c);
    }
}

static void draw_dashes(cairo_t* c, double x, double from, double to) {
    static const double dashes[] = {5, 3};
    cairo_new_path(c);
    cairo_move_to(c, floor(x) + 0.5, from);
    cairo_line_to(c, floor(x) + 0.5, to);
    se_page_grey(c, 0.35);
    cairo_set_line_width(c, 1);
    cairo_set_dash(c, dashes, 2, 0);
    cairo_stroke(c);
    cairo_set_dash(c, NULL, 0, 0);
}

// ---- rows of returns ----

static double key_text(cairo_t* c, const char* text, double x, double y) {
    se_page_grey(c, 0.25);
    uf_page_font(c, 12, false);
    uf_page_text(c, text, x, y, 0);
    return x + uf_page_text_width(c, text) + 22;
}

static void draw_keys(cairo_t* c, const Study* s, double y) {
    static const double grey[3] = {0.3, 0.3, 0.3};
    double x = SE_PAGE_MARGIN + 5;
    char text[96];
    for (int real = 0; real < 2; real++) {
        if (real ? !s->real : !s->synthetic) continue;
        draw_dot(c, x, y - 4, real ? se_page_vermilion : se_page_blue, 1);
        x = key_text(c, real ? "trained in the real environment" : "trained in the synthetic environment",
                     x + 9, y);
    }
    draw_tick(c, x, y - 4, 14, grey);
    x = key_text(c, "inter-quartile mean", x + 8, y);
    if (s->published) {
        draw_diamond(c, x + 2, y - 4);
        x = key_text(c, "published", x + 12, y);
    }
    if (isfinite(s->page->no_agent)) {
        draw_dashes(c, x + 1, y - 12, y + 4);
        snprintf(text, sizeof text, "no agent, the reward's best action: %.4g", s->page->no_agent);
        x = key_text(c, text, x + 9, y);
    }
    if (!s->nonfinite) return;
    draw_cross(c, x, y - 4, grey);
    key_text(c, "no more finite", x + 9, y);
}

static void draw_number(cairo_t* c, double value, double x, double y) {
    char text[32] = "-";
    if (isfinite(value)) snprintf(text, sizeof text, "%.4g", value);
    uf_page_text(c, text, x, y, 1);
}

static void draw_row(cairo_t* c, const Study* s, const SeRating* r, const UfPageAxis* ax, double top) {
    const double middle = top + ROW / 2.0, told = published_return(s, r);
    const double* rgb = colour_of(r);
    if (isfinite(r->iqm)) draw_tick(c, uf_page_axis_pixel(ax, r->iqm), middle, ROW - 4, rgb);
    for (int i = 0; i < r->num_agents; i++) {
        const double y = top + DOTS / 2.0 + spread(i) * (DOTS / 2.0 - 5);
        if (isfinite(r->means[i]))
            draw_dot(c, uf_page_axis_pixel(ax, r->means[i]), y, rgb, r->num_agents);
        else
            draw_cross(c, ax->from + 6, y, rgb);
    }
    if (isfinite(told)) draw_diamond(c, uf_page_axis_pixel(ax, told), top + (DOTS + ROW) / 2.0);
    uf_page_font(c, 12, true);
    se_page_grey(c, 0.15);
    uf_page_text(c, se_algorithm_names[r->algorithm], SE_PAGE_MARGIN, middle + 4, 0);
    uf_page_font(c, 12, false);
    se_page_rgb(c, rgb, 1);
    uf_page_text(c, place_of(r), ax->from - 10, middle + 4, 1);
    uf_page_font(c, 12, true);
    draw_number(c, r->iqm, ax->to + NUMBER - 14, middle + 4);
    uf_page_font(c, 12, false);
    se_page_grey(c, 0.35);
    if (s->published) draw_number(c, told, ax->to + 2 * NUMBER - 14, middle + 4);
}

static double rows_height(const Study* s) { return s->page->count * (double)ROW; }

static void draw_rows(cairo_t* c, const Study* s, double y) {
    const SeAgentsPage* p = s->page;
    const double right = SE_PAGE_WIDTH - SE_PAGE_MARGIN - NUMBER * (s->published ? 2 : 1);
    const UfPageAxis ax = se_page_axis(s->low, s->high, SE_PAGE_MARGIN + NAMES, right, 10, false),
                     ay = {.from = y + rows_height(s), .to = y, .high = 1};
    char text[96];
    for (int i = 0; i < p->count; i++) {
        const bool same = i > 0 && p->ratings[i].algorithm == p->ratings[i - 1].algorithm;
        se_page_grey(c, same ? 0.92 : 0.75);
        cairo_set_line_width(c, 1);
        cairo_move_to(c, same ? ax.from : SE_PAGE_MARGIN, y + i * ROW + 0.5);
        cairo_line_to(c, same ? ax.to : SE_PAGE_WIDTH - SE_PAGE_MARGIN, y + i * ROW + 0.5);
        cairo_stroke(c);
    }
    if (isfinite(p->no_agent)) draw_dashes(c, uf_page_axis_pixel(&ax, p->no_agent), ay.from, ay.to);
    for (int i = 0; i < p->count; i++) draw_row(c, s, &p->ratings[i], &ax, y + i * ROW);
    se_page_box(c, &ax, &ay);
    se_page_ticks(c, &ax, &ay);
    snprintf(text, sizeof text, "mean return of an agent in %s", p->spec->name);
    se_page_names(c, &ax, &ay, NULL, text, NULL);
    uf_page_font(c, 11, false);
    se_page_grey(c, 0.45);
    uf_page_text(c, "iqm", ax.to + NUMBER - 14, y - 6, 1);
    if (s->published) uf_page_text(c, "published", ax.to + 2 * NUMBER - 14, y - 6, 1);
}

// ---- learning rates ----

static void draw_rates(cairo_t* c, const Study* s, SeAlgorithm algorithm, double x, double y, double width) {
    enum { APART = 7, JITTER = 6 };
    const UfPageAxis ax = se_page_axis(s->low_rate, s->high_rate, x + SE_PAGE_AXIS, x + width, 5, true),
                     ay = se_page_axis(s->low, s->high, y + PANEL, y, 5, false);
    const bool both = s->real && s->synthetic;
    for (int k = 0; k < s->page->count; k++) {
        const SeRating* r = &s->page->ratings[k];
        if (r->algorithm != algorithm) continue;
        for (int i = 0; i < r->num_agents; i++) {
            const double at = uf_page_axis_pixel(&ax, r->numbers[i].lr) + spread(i) * JITTER +
                              (!both     ? 0
                               : r->real ? APART
                                         : -APART);
            if (isfinite(r->means[i]))
                draw_dot(c, at, uf_page_axis_pixel(&ay, r->means[i]), colour_of(r), r->num_agents);
            else
                draw_cross(c, at, ay.from - 6, colour_of(r));
        }
    }
    se_page_box(c, &ax, &ay);
    se_page_ticks(c, &ax, &ay);
    se_page_names(c, &ax, &ay, se_algorithm_names[algorithm], "learning rate",
                  algorithm == s->algorithms.list[0] ? "return" : NULL);
}

static void draw_panels(cairo_t* c, const Study* s, double y) {
    const int n = s->algorithms.count > FEWEST_PANELS ? s->algorithms.count : FEWEST_PANELS;
    const double width = (SE_PAGE_WIDTH - 2 * SE_PAGE_MARGIN - (n - 1) * PANEL_GAP) / (double)n;
    for (int i = 0; i < s->algorithms.count; i++)
        draw_rates(c, s, s->algorithms.list[i], SE_PAGE_MARGIN + i * (width + PANEL_GAP), y, width);
}

// ---- one agent ----

static void draw_agent(cairo_t* c, const Study* s, double y) {
    static const int shown[SE_PAGE_STRIPS] = {0, 1, 2, 3, 4, 5};
    const SeRating* r = &s->page->ratings[0];
    const SeEpisode* e = &r->episode;
    char text[256], name[32];
    const SeEpisodeView view = {.episode = e,
                                .spec = s->page->spec,
                                .num_shown = e->obs_dim < SE_PAGE_STRIPS ? e->obs_dim : SE_PAGE_STRIPS,
                                .shown = shown,
                                .discrete = s->page->spec->discrete,
                                .action_name = e->numbers > 1 ? "action 0" : "action"};
    snprintf(text, sizeof text, "One agent: the median of %s that trained in the %s environment",
             se_algorithm_names[r->algorithm], place_of(r));
    se_page_header(c, text, y + 14);
    double at = SE_PAGE_MARGIN + uf_page_text_width(c, text) + 30;
    for (int k = 0; view.discrete && k < s->page->spec->action_dim && at < SE_PAGE_WIDTH - 120; k++)
        at = se_page_key(c, se_page_kind_colour(k), 1, se_page_kind(s->page->spec, k, name), at, y + 14);
    const double line = y + SE_PAGE_HEADER + 12;
    se_page_grey(c, 0.25);
    if (e->num_steps)
        snprintf(text, sizeof text,
                 "agent %d, mean return %.4g; an episode of its likeliest actions: return %.4g in %d step%s",
                 r->median, r->means[r->median], e->sum, e->num_steps, e->num_steps == 1 ? "" : "s");
    else
        snprintf(text, sizeof text, "agent %d: its actions are no more finite, so that it plays no episode",
                 r->median);
    if (e->num_steps && view.num_shown < e->obs_dim)
        snprintf(text + strlen(text), sizeof text - strlen(text), "; the first %d of %d observed numbers",
                 view.num_shown, e->obs_dim);
    uf_page_font(c, 12, false);
    uf_page_text(c, text, SE_PAGE_MARGIN, line, 0);
    at = SE_PAGE_MARGIN + uf_page_text_width(c, text) + 30;
    se_page_grey(c, 0.45);
    uf_page_text_within(c, r->hypers[r->median], SE_PAGE_WIDTH - SE_PAGE_MARGIN, line, 1, 11,
                        SE_PAGE_WIDTH - SE_PAGE_MARGIN - at);
    if (e->num_steps) se_page_episode(c, &view, SE_PAGE_MARGIN, y + SE_PAGE_HEADER + SE_PAGE_PANEL_TITLE);
}

// ---- page ----

enum { FIRST_ROW = SE_PAGE_TITLE + SE_PAGE_HEADER + KEYS };

static double second_row(const Study* s) {
    return FIRST_ROW + rows_height(s) + SE_PAGE_BELOW + SE_PAGE_ROW_GAP;
}

static double third_row(const Study* s) {
    return second_row(s) + SE_PAGE_HEADER + SE_PAGE_PANEL_TITLE + PANEL + SE_PAGE_BELOW + SE_PAGE_ROW_GAP;
}

static UfStatus draw_page(cairo_t* c, void* user) {
    const Study* s = user;
    const SeAgentsPage* p = s->page;
    char title[160], text[256];
    snprintf(title, sizeof title, "Agents in %s", p->spec->name);
    snprintf(text, sizeof text,
             "%d of each algorithm from fresh weights, with hyperparameters of their own; %lld steps of "
             "training, then %d "
             "episode%s in the real environment; seed %llu",
             p->ratings[0].num_agents, (long long)p->num_steps, p->ratings[0].num_episodes,
             p->ratings[0].num_episodes == 1 ? "" : "s", (unsigned long long)p->seed);
    se_page_title(c, title, text);
    se_page_header(c, "Returns, by algorithm and by where it trained", SE_PAGE_TITLE + 14);
    draw_keys(c, s, SE_PAGE_TITLE + SE_PAGE_HEADER + 11);
    draw_rows(c, s, FIRST_ROW);
    se_page_header(c, "Returns, by learning rate", second_row(s) + 14);
    draw_panels(c, s, second_row(s) + SE_PAGE_HEADER + SE_PAGE_PANEL_TITLE);
    draw_agent(c, s, third_row(s));
    return UF_OK;
}

UfStatus se_draw_ratings(const SeAgentsPage* page, const char* path) {
    Study s = {.page = page};
    UF_TRY(se_check_picture(path));
    if (page->count < 1)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: there are no ratings; expected at least one", path);
    measure(&s);
    const double episode = page->ratings[0].episode.num_steps ? SE_PAGE_EPISODE + SE_PAGE_BELOW : 0;
    return uf_page_write(path, SE_PAGE_WIDTH,
                         third_row(&s) + SE_PAGE_HEADER + SE_PAGE_PANEL_TITLE + episode + 8, draw_page, &s);
}

#endif
