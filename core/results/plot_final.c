// plot_final.c: final scores of groups of runs: inter-quartile means with their intervals, and each run.
//
// Statistics are those of `unifloral protocol`: a run is a policy, its score the mean over its final episodes.
//
// Rooms: statistics, rows, picture, CSV, API.
#include <math.h>
#include <stdio.h>  // snprintf
#include <string.h>

#include "core/pictures/plot.h"
#include "core/results/plot_panels.h"
#include "core/results/results.h"

typedef struct Final {
    UfPanels* panels;
    UfScoreTable table;
    UfProtocol protocol;
    UfRow* rows;     // (datasets, groups)
    double* points;  // of all runs
} Final;

// ---- statistics ----

static UfStatus read_scores(Final* f) {
    const UfPlotRuns* o = f->panels->options;
    UfProtocolOptions options = uf_protocol_defaults();
    UfPool* pool;
    options.confidence = o->confidence;
    options.num_bootstraps = o->num_bootstraps;
    options.seed = o->seed;
    f->table.by = f->panels->by;
    for (int i = 0; i < o->num_sources; i++) UF_TRY(uf_results_add_source(&f->table, o->sources[i]));
    UF_TRY(uf_scores_group(&f->table));
    UF_TRY(uf_pool_create(&pool, o->num_threads));
    UfStatus status =
        uf_protocol_aggregates(&f->protocol, f->table.scores, f->table.num_scores, &options, pool);
    uf_pool_free(pool);
    return status;
}

static void add_notes(const Final* f) {
    UfText* notes = &f->panels->notes;
    if (f->table.notes.length) uf_text_add(notes, "%s", f->table.notes.data);
    for (int g = 0; g < f->protocol.num_groups; g++) {
        const UfScores* s = f->protocol.groups[g].scores;
        if (s->num_policies == 1)
            uf_text_add(notes, "%s, %s: one run, so there is no interval\n", s->dataset, s->algorithm);
    }
}

// ---- rows ----

static UfStatus arrange(Final* f) {
    UfPanels* p = f->panels;
    for (int g = 0; g < f->protocol.num_groups; g++) {
        const UfScores* s = f->protocol.groups[g].scores;
        UF_TRY(uf_names_add(&p->datasets, s->dataset));
        UF_TRY(uf_names_add(&p->groups, s->algorithm));
        p->report->num_runs += s->num_policies;
    }
    return uf_panels_arrange(p);
}

static void score_runs(const UfScores* s, double* points) {
    for (int i = 0; i < s->num_policies; i++) {
        double sum = 0;
        for (int k = 0; k < s->num_rollouts; k++)
            sum += s->values[(size_t)i * (size_t)s->num_rollouts + (size_t)k];
        points[i] = sum / s->num_rollouts;
    }
}

static UfStatus make_rows(Final* f) {
    UfPanels* p = f->panels;
    UF_TRY(arrange(f));
    const int D = p->datasets.count, G = p->groups.count;
    UF_TRY(UF_ALLOC(&f->rows, (size_t)D * (size_t)G, "rows"));
    UF_TRY(UF_ALLOC(&f->points, p->report->num_runs, "scores"));
    for (int i = 0; i < D * G; i++) f->rows[i] = (UfRow){.label = uf_panels_label(p, i % G)};
    double* points = f->points;
    for (int g = 0; g < f->protocol.num_groups; g++) {
        const UfProtocolGroup* group = &f->protocol.groups[g];
        UfRow* row = &f->rows[uf_names_find(&p->datasets, group->scores->dataset) * G +
                              uf_names_find(&p->groups, group->scores->algorithm)];
        score_runs(group->scores, points);
        row->points = points;
        row->num_points = group->scores->num_policies;
        row->value = group->iqm.value;
        row->low = group->iqm.low;
        row->high = group->iqm.high;
        points += row->num_points;
    }
    return UF_OK;
}

// ---- picture ----

static bool has_returns(const Final* f, int dataset) {
    for (int g = 0; g < f->protocol.num_groups; g++) {
        const UfScores* s = f->protocol.groups[g].scores;
        if (!strcmp(s->dataset, f->panels->datasets.names[dataset])) return s->are_returns;
    }
    return false;
}

static UfStatus make_caption(const Final* f, char** caption) {
    const UfPlotRuns* o = f->panels->options;
    char runs[32], episodes[32];
    UfCounts num_runs = {0, 0}, num_episodes = {0, 0};
    UfText text = {0};
    for (int g = 0; g < f->protocol.num_groups; g++) {
        uf_counts_add(&num_runs, f->protocol.groups[g].scores->num_policies);
        uf_counts_add(&num_episodes, f->protocol.groups[g].scores->num_rollouts);
    }
    uf_counts_text(num_episodes, episodes);
    if (num_runs.most > 1) {
        uf_text_add(&text, "inter-quartile mean over %s runs", uf_counts_text(num_runs, runs));
        if (o->num_bootstraps) uf_text_add(&text, " and its %g %% bootstrap interval", 100 * o->confidence);
        uf_text_add(&text, "; dots: runs, each the mean of %s final episodes", episodes);
    } else {
        uf_text_add(&text, "one run each, the mean of %s final episodes", episodes);
    }
    return uf_text_finish(&text, caption);
}

static UfStatus draw(const Final* f) {
    const UfPanels* p = f->panels;
    const int D = p->datasets.count, G = p->groups.count;
    UfComparison* charts;
    char* caption;
    UF_TRY(UF_ALLOC(&charts, D, "charts"));
    for (int d = 0; d < D; d++)
        charts[d] = (UfComparison){.title = p->titles[d],
                                   .x_label = has_returns(f, d) ? "final return" : "final normalised score",
                                   .num_rows = G,
                                   .rows = &f->rows[d * G]};
    UfStatus status = make_caption(f, &caption);
    if (status == UF_OK)
        status = uf_picture_write(&(UfPicture){.num_charts = D, .comparisons = charts, .caption = caption},
                                  p->options->output);
    uf_free(caption);
    uf_free(charts);
    return status;
}

// ---- CSV ----

static UfStatus write_csv(const Final* f) {
    const UfPanels* p = f->panels;
    const int D = p->datasets.count, G = p->groups.count;
    UfText t = {0};
    uf_text_add(&t, "dataset,group,unit,num_runs,statistic,value,low,high\n");
    for (int i = 0; i < D * G; i++) {
        const UfRow* row = &f->rows[i];
        for (int k = -1; k < row->num_points && row->num_points; k++) {
            const double mean[] = {row->value, row->low, row->high},
                         run[] = {k < 0 ? NAN : row->points[k], NAN, NAN};
            uf_panels_csv(p, &t, i / G, i % G, has_returns(f, i / G) ? "return" : "score");
            uf_text_add(&t, "%d,%s,", row->num_points, k < 0 ? "iqm" : "run");
            uf_panels_csv_numbers(&t, k < 0 ? mean : run, 3);
        }
    }
    return uf_panels_csv_write(p, &t);
}

// ---- API ----

UfStatus uf_plot_final(UfPanels* panels) {
    Final f = {.panels = panels};
    UfStatus status = read_scores(&f);
    add_notes(&f);
    if (status == UF_OK) status = make_rows(&f);
    if (status == UF_OK && panels->options->csv) status = write_csv(&f);
    if (status == UF_OK && panels->options->output) status = draw(&f);
    uf_free(f.rows);
    uf_free(f.points);
    uf_protocol_free(&f.protocol);
    uf_scores_free(&f.table);
    return status;
}
