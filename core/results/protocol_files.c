// protocol_files.c: the results of the protocol as tables, CSV, JSON and figures.
//
// Rooms: notes, tables, CSV, JSON, figure, folder, command.
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>  // snprintf
#include <string.h>

#include "core/pictures/plot.h"
#include "core/results/protocol.h"
#include "core/results/results.h"

static const char* group_dataset(const UfProtocol* p, const UfProtocolGroup* g) {
    return p->datasets[g->dataset];
}
static const char* group_algorithm(const UfProtocol* p, const UfProtocolGroup* g) {
    return p->algorithms[g->algorithm].name;
}
static const char* unit(const UfScores* s) { return s->are_returns ? "return" : "score"; }

// ---- notes ----

// What was done otherwise than asked: a smaller subsample, no choice.
static void add_notes(const UfProtocol* p, UfText* notes) {
    int num_lowered = 0;
    for (int g = 0; g < p->num_groups; g++)
        num_lowered += p->groups[g].curve.subsample < p->options.subsample;
    if (num_lowered)
        uf_text_add(notes, "subsample %d is more than there are policies and was lowered to their number: ",
                    p->options.subsample);
    for (int g = 0, listed = 0; g < p->num_groups; g++) {
        const UfProtocolGroup* group = &p->groups[g];
        if (group->curve.subsample == p->options.subsample) continue;
        const bool opens = g == 0 || !listed || p->groups[g - 1].dataset != group->dataset;
        uf_text_add(notes, "%s%s%s%s %d", listed ? opens ? "; " : ", " : "",
                    opens ? group_dataset(p, group) : "", opens ? ": " : "", group_algorithm(p, group),
                    group->curve.subsample);
        if (++listed == num_lowered) uf_text_add(notes, "\n");
    }
    for (int g = 0; g < p->num_groups; g++)
        if (p->groups[g].scores->num_policies == 1)
            uf_text_add(
                notes,
                "%s, %s: one policy only: nothing to choose, so the curve is flat and has no interval\n",
                group_dataset(p, &p->groups[g]), group_algorithm(p, &p->groups[g]));
}

// ---- tables ----

static void add_interval(UfText* t, int decimals, const UfInterval* i) {
    char number[3][32], cell[128];
    snprintf(number[0], sizeof number[0], "%.*f", decimals, i->value);
    snprintf(number[1], sizeof number[1], "%.*f", decimals, i->low);
    snprintf(number[2], sizeof number[2], "%.*f", decimals, i->high);
    if (!isfinite(i->value))
        snprintf(cell, sizeof cell, "-");
    else if (!isfinite(i->low))
        snprintf(cell, sizeof cell, "%s", number[0]);
    else
        snprintf(cell, sizeof cell, "%s [%s, %s]", number[0], number[1], number[2]);
    uf_text_add(t, "  %-24s", cell);
}

static UfInterval curve_at(const UfBanditCurve* c, int pulls) {
    return (UfInterval){c->mean[pulls - 1], c->low[pulls - 1], c->high[pulls - 1]};
}

static int name_width(const UfProtocol* p, bool datasets) {
    size_t width = 9;
    const int count = datasets ? p->num_datasets : p->num_algorithms;
    for (int i = 0; i < count; i++) {
        const size_t length = strlen(datasets ? p->datasets[i] : p->algorithms[i].name);
        if (length > width) width = length;
    }
    return (int)width;
}

static void add_names(UfText* t, const UfProtocol* p, const UfProtocolGroup* g) {
    uf_text_add(t, "%-*s  %-*s", name_width(p, true), g ? group_dataset(p, g) : "dataset",
                name_width(p, false), g ? group_algorithm(p, g) : "algorithm");
}

static void end_line(UfText* t) {
    while (t->status == UF_OK && t->length && t->data[t->length - 1] == ' ') t->length--;
    uf_text_add(t, "\n");
}

static void add_curves(UfText* t, const UfProtocol* p) {
    static const int wanted[] = {1, 5, 20, 50};
    int columns[5], count = 0;
    for (int i = 0; i < 4; i++)
        if (wanted[i] < p->options.max_pulls) columns[count++] = wanted[i];
    columns[count++] = p->options.max_pulls;
    bool returns = false, scores = false;
    for (int g = 0; g < p->num_groups; g++) *(p->groups[g].scores->are_returns ? &returns : &scores) = true;
    uf_text_add(t,
                "Expected %s of the chosen policy after so many online evaluations, mean of %d trials [%g %% "
                "interval]\n\n",
                returns ? scores ? "score or return" : "return" : "score", p->options.num_trials,
                100 * p->options.confidence);
    add_names(t, p, NULL);
    for (int i = 0; i < count; i++) uf_text_add(t, "  %-24d", columns[i]);
    end_line(t);
    for (int g = 0; g < p->num_groups; g++) {
        add_names(t, p, &p->groups[g]);
        for (int i = 0; i < count; i++) {
            const UfInterval at = curve_at(&p->groups[g].curve, columns[i]);
            add_interval(t, 1, &at);
        }
        end_line(t);
    }
}

static void add_summary(UfText* t, const UfProtocol* p) {
    uf_text_add(t, "\nWithout choosing, and choosing with hindsight\n\n");
    add_names(t, p, NULL);
    uf_text_add(t, "  %-12s  %-6s  %-24s  %-24s  %s\n", "policies", "unit", "zero-shot (mean)",
                "inter-quartile mean", "best of sweep");
    for (int g = 0; g < p->num_groups; g++) {
        const UfProtocolGroup* group = &p->groups[g];
        char size[32];
        snprintf(size, sizeof size, "%d x %d", group->scores->num_policies, group->scores->num_rollouts);
        add_names(t, p, group);
        uf_text_add(t, "  %-12s  %-6s", size, unit(group->scores));
        add_interval(t, 1, &group->zero_shot);
        add_interval(t, 1, &group->iqm);
        uf_text_add(t, "  %.1f\n", group->best);
    }
}

static void add_aggregates(UfText* t, const UfProtocol* p) {
    uf_text_add(t, "\nInter-quartile mean over policies of all datasets with scores\n\n");
    for (int a = 0; a < p->num_algorithms; a++) {
        uf_text_add(t, "%-*s", name_width(p, false), p->algorithms[a].name);
        add_interval(t, 1, &p->algorithms[a].iqm);
        uf_text_add(t, "  %d dataset%s\n", p->algorithms[a].num_scored,
                    p->algorithms[a].num_scored == 1 ? "" : "s");
    }
    if (p->num_pairs)
        uf_text_add(t, "\nProbability that a policy of the first is better than one of the second\n\n");
    for (int i = 0; i < p->num_pairs; i++) {
        const UfProtocolPair* pair = &p->pairs[i];
        uf_text_add(t, "%-*s > %-*s", name_width(p, false), p->algorithms[pair->a].name, name_width(p, false),
                    p->algorithms[pair->b].name);
        add_interval(t, 2, &pair->value);
        uf_text_add(t, "  %d dataset%s\n", pair->num_datasets, pair->num_datasets == 1 ? "" : "s");
    }
}

UfStatus uf_protocol_text(const UfProtocol* protocol, char** text) {
    UfText t = {0};
    add_curves(&t, protocol);
    add_summary(&t, protocol);
    add_aggregates(&t, protocol);
    return uf_text_finish(&t, text);
}

// ---- CSV ----

// What is not finite is an empty cell.
static void add_cell(UfText* t, double value) { uf_text_add(t, isfinite(value) ? ",%.9g" : ",", value); }

static void add_interval_cells(UfText* t, const UfInterval* i) {
    add_cell(t, i->value);
    add_cell(t, i->low);
    add_cell(t, i->high);
}

static void add_group_cells(UfText* t, const UfProtocol* p, const UfProtocolGroup* g) {
    uf_text_add_csv(t, group_dataset(p, g));
    uf_text_add(t, ",");
    uf_text_add_csv(t, group_algorithm(p, g));
    uf_text_add(t, ",%s,%d,%d,%d", unit(g->scores), g->scores->num_policies, g->scores->num_rollouts,
                g->curve.subsample);
}

static void add_curves_csv(UfText* t, const UfProtocol* p) {
    uf_text_add(t, "dataset,algorithm,unit,num_policies,num_rollouts,subsample,pulls,mean,low,high,stderr\n");
    for (int g = 0; g < p->num_groups; g++)
        for (int i = 1; i <= p->groups[g].curve.num_pulls; i++) {
            const UfInterval at = curve_at(&p->groups[g].curve, i);
            add_group_cells(t, p, &p->groups[g]);
            uf_text_add(t, ",%d", i);
            add_interval_cells(t, &at);
            add_cell(t, p->groups[g].curve.error[i - 1]);
            uf_text_add(t, "\n");
        }
}

static void add_summary_csv(UfText* t, const UfProtocol* p) {
    uf_text_add(t,
                "dataset,algorithm,unit,num_policies,num_rollouts,subsample,zero_shot,zero_shot_low,zero_"
                "shot_high,iqm,"
                "iqm_low,iqm_high,best\n");
    for (int g = 0; g < p->num_groups; g++) {
        add_group_cells(t, p, &p->groups[g]);
        add_interval_cells(t, &p->groups[g].zero_shot);
        add_interval_cells(t, &p->groups[g].iqm);
        add_cell(t, p->groups[g].best);
        uf_text_add(t, "\n");
    }
}

static void add_aggregates_csv(UfText* t, const UfProtocol* p) {
    uf_text_add(t, "statistic,algorithm,other,num_datasets,value,low,high\n");
    for (int a = 0; a < p->num_algorithms; a++) {
        uf_text_add(t, "iqm,");
        uf_text_add_csv(t, p->algorithms[a].name);
        uf_text_add(t, ",,%d", p->algorithms[a].num_scored);
        add_interval_cells(t, &p->algorithms[a].iqm);
        uf_text_add(t, "\n");
    }
    for (int i = 0; i < p->num_pairs; i++) {
        const UfProtocolPair* pair = &p->pairs[i];
        uf_text_add(t, "probability_of_improvement,");
        uf_text_add_csv(t, p->algorithms[pair->a].name);
        uf_text_add(t, ",");
        uf_text_add_csv(t, p->algorithms[pair->b].name);
        uf_text_add(t, ",%d", pair->num_datasets);
        add_interval_cells(t, &pair->value);
        uf_text_add(t, "\n");
    }
}

// ---- JSON ----

// cJSON writes what is not finite as null.
static cJSON* interval_json(const UfInterval* i) {
    cJSON* json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "value", i->value);
    cJSON_AddNumberToObject(json, "low", i->low);
    cJSON_AddNumberToObject(json, "high", i->high);
    return json;
}

static void add_curve_json(cJSON* json, const UfBanditCurve* c) {
    const struct {
        const char* name;
        const double* values;
    } rows[] = {{"mean", c->mean}, {"low", c->low}, {"high", c->high}, {"stderr", c->error}};
    cJSON* pulls = cJSON_AddArrayToObject(json, "pulls");
    for (int i = 1; i <= c->num_pulls; i++) cJSON_AddItemToArray(pulls, cJSON_CreateNumber(i));
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        cJSON_AddItemToObject(json, rows[r].name, cJSON_CreateDoubleArray(rows[r].values, c->num_pulls));
}

static cJSON* group_json(const UfProtocol* p, const UfProtocolGroup* g) {
    cJSON* json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "dataset", group_dataset(p, g));
    cJSON_AddStringToObject(json, "algorithm", group_algorithm(p, g));
    cJSON_AddStringToObject(json, "unit", unit(g->scores));
    cJSON_AddNumberToObject(json, "num_policies", g->scores->num_policies);
    cJSON_AddNumberToObject(json, "num_rollouts", g->scores->num_rollouts);
    cJSON_AddNumberToObject(json, "subsample", g->curve.subsample);
    cJSON_AddItemToObject(json, "zero_shot", interval_json(&g->zero_shot));
    cJSON_AddItemToObject(json, "iqm", interval_json(&g->iqm));
    cJSON_AddNumberToObject(json, "best", g->best);
    add_curve_json(json, &g->curve);
    return json;
}

static void add_options_json(cJSON* json, const UfProtocolOptions* o) {
    cJSON_AddStringToObject(json, "version", uf_version());
    cJSON_AddNumberToObject(json, "subsample", o->subsample);
    cJSON_AddNumberToObject(json, "max_pulls", o->max_pulls);
    cJSON_AddNumberToObject(json, "num_trials", o->num_trials);
    cJSON_AddNumberToObject(json, "num_bootstraps", o->num_bootstraps);
    cJSON_AddNumberToObject(json, "ucb_alpha", o->ucb_alpha);
    cJSON_AddNumberToObject(json, "confidence", o->confidence);
    cJSON_AddNumberToObject(json, "seed", (double)o->seed);
}

static UfStatus add_notes_json(cJSON* json, const char* notes) {
    cJSON* array = cJSON_AddArrayToObject(json, "notes");
    char *copy, *end;
    UF_TRY(uf_strdup(&copy, notes ? notes : ""));
    for (char* line = copy; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        cJSON_AddItemToArray(array, cJSON_CreateString(line));
    }
    uf_free(copy);
    return UF_OK;
}

static UfStatus write_json(const UfProtocol* p, const char* notes, const char* path) {
    cJSON* json = cJSON_CreateObject();
    add_options_json(json, &p->options);
    UfStatus status = add_notes_json(json, notes);
    cJSON* curves = cJSON_AddArrayToObject(json, "curves");
    for (int g = 0; g < p->num_groups; g++) cJSON_AddItemToArray(curves, group_json(p, &p->groups[g]));
    cJSON* algorithms = cJSON_AddArrayToObject(json, "algorithms");
    for (int a = 0; a < p->num_algorithms; a++) {
        cJSON* row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "algorithm", p->algorithms[a].name);
        cJSON_AddNumberToObject(row, "num_datasets", p->algorithms[a].num_scored);
        cJSON_AddItemToObject(row, "iqm", interval_json(&p->algorithms[a].iqm));
        cJSON_AddItemToArray(algorithms, row);
    }
    cJSON* pairs = cJSON_AddArrayToObject(json, "probability_of_improvement");
    for (int i = 0; i < p->num_pairs; i++) {
        cJSON* row = interval_json(&p->pairs[i].value);
        cJSON_AddStringToObject(row, "algorithm", p->algorithms[p->pairs[i].a].name);
        cJSON_AddStringToObject(row, "other", p->algorithms[p->pairs[i].b].name);
        cJSON_AddNumberToObject(row, "num_datasets", p->pairs[i].num_datasets);
        cJSON_AddItemToArray(pairs, row);
    }
    char* text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    if (!text) return UF_FAIL(UF_ERR_MEMORY, "%s: out of memory while writing JSON", path);
    if (status == UF_OK) status = uf_write_file(path, text, strlen(text));
    cJSON_free(text);
    return status;
}

// ---- figure ----

typedef struct Figure {
    UfPlot* plots;     // a dataset each
    UfSeries* series;  // (num_datasets, num_algorithms): the same colour in each
    double* pulls;
} Figure;

static UfStatus make_figure(Figure* f, const UfProtocol* p) {
    const size_t A = (size_t)p->num_algorithms;
    UF_TRY(UF_ALLOC(&f->plots, p->num_datasets, "charts"));
    UF_TRY(UF_ALLOC(&f->series, (size_t)p->num_datasets * A, "lines of charts"));
    UF_TRY(UF_ALLOC(&f->pulls, p->options.max_pulls, "pulls"));
    for (int i = 0; i < p->options.max_pulls; i++) f->pulls[i] = i + 1;
    for (int d = 0; d < p->num_datasets; d++) {
        UfSeries* series = &f->series[(size_t)d * A];
        f->plots[d] = (UfPlot){.title = p->datasets[d],
                               .x_label = "number of policy evaluations",
                               .num_series = p->num_algorithms,
                               .series = series,
                               .log_x = true};
        for (int a = 0; a < p->num_algorithms; a++) series[a] = (UfSeries){.label = p->algorithms[a].name};
    }
    for (int g = 0; g < p->num_groups; g++) {
        const UfProtocolGroup* group = &p->groups[g];
        const UfBanditCurve* c = &group->curve;
        UfSeries* series = &f->series[(size_t)group->dataset * A + (size_t)group->algorithm];
        series->num_points = c->num_pulls;
        series->x = f->pulls;
        series->y = c->mean;
        series->low = c->low;
        series->high = c->high;
        f->plots[group->dataset].y_label = group->scores->are_returns ? "expected return" : "expected score";
    }
    return UF_OK;
}

static UfStatus write_figure(const UfProtocol* p, const char* folder) {
    static const char* const endings[] = {"svg", "png", "pdf"};
    Figure f = {0};
    char path[1024], caption[128] = "", interval[64] = "";
    UfStatus status = make_figure(&f, p);
    if (p->options.num_bootstraps)
        snprintf(interval, sizeof interval, "; band: its %g %% bootstrap interval",
                 100 * p->options.confidence);
    snprintf(caption, sizeof caption, "true mean of the policy that looks best, mean of %d trials%s",
             p->options.num_trials, interval);
    const UfPicture picture = {.num_charts = p->num_datasets, .plots = f.plots, .caption = caption};
    for (int i = 0; i < 3 && status == UF_OK; i++) {
        snprintf(path, sizeof path, "%s/protocol.%s", folder, endings[i]);
        status = uf_picture_write(&picture, path);
    }
    uf_free(f.plots);
    uf_free(f.series);
    uf_free(f.pulls);
    return status;
}

// ---- folder ----

typedef void AddText(UfText* text, const UfProtocol* protocol);

static UfStatus write_text(const UfProtocol* p, AddText* add, const char* folder, const char* name) {
    UfText t = {0};
    char path[1024], *text;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    add(&t, p);
    UF_TRY(uf_text_finish(&t, &text));
    UfStatus status = uf_write_file(path, text, strlen(text));
    uf_free(text);
    return status;
}

UfStatus uf_protocol_write(const UfProtocol* protocol, const char* notes, const char* folder) {
    char path[1024];
    if (snprintf(path, sizeof path, "%s/aggregates.csv.tmp", folder) >= (int)sizeof path)
        return UF_FAIL(UF_ERR_ARGUMENT, "%.64s...: the folder's name is too long", folder);
    UF_TRY(uf_make_folder(folder));
    UF_TRY(write_text(protocol, add_curves_csv, folder, "curves.csv"));
    UF_TRY(write_text(protocol, add_summary_csv, folder, "summary.csv"));
    UF_TRY(write_text(protocol, add_aggregates_csv, folder, "aggregates.csv"));
    snprintf(path, sizeof path, "%s/protocol.json", folder);
    UF_TRY(write_json(protocol, notes, path));
    return write_figure(protocol, folder);
}

// ---- command ----

static UfStatus add_note(char** notes, const char* note) {
    UfText t = {0};
    uf_text_add(&t, "%s%s\n", *notes, note);
    uf_free(*notes);
    return uf_text_finish(&t, notes);
}

static UfStatus protocol_of_table(const UfProtocolRun* run, UfScoreTable* table, UfPool* pool,
                                  UfProtocolReport* report) {
    UfProtocol p;
    UF_TRY(uf_protocol(&p, table->scores, table->num_scores, &run->options, pool));
    add_notes(&p, &table->notes);
    UfStatus status = uf_text_finish(&table->notes, &report->notes);
    if (status == UF_OK) status = uf_protocol_text(&p, &report->text);
    if (status == UF_OK) status = uf_protocol_write(&p, report->notes, run->folder);
    report->has_figures = status == UF_OK;
    if (status == UF_ERR_UNSUPPORTED) status = add_note(&report->notes, uf_error());
    uf_protocol_free(&p);
    return status;
}

UfStatus uf_protocol_run(const UfProtocolRun* run, UfProtocolReport* report) {
    UfScoreTable table = {0};
    UfPool* pool = NULL;
    UfStatus status = UF_OK;
    *report = (UfProtocolReport){0};
    for (int i = 0; i < run->num_sources && status == UF_OK; i++)
        status = uf_results_add_source(&table, run->sources[i]);
    if (status == UF_OK) status = uf_scores_group(&table);
    if (status == UF_OK) status = uf_pool_create(&pool, run->num_threads);
    if (status == UF_OK) status = protocol_of_table(run, &table, pool, report);
    uf_pool_free(pool);
    uf_scores_free(&table);
    return status;
}

void uf_protocol_report_free(UfProtocolReport* report) {
    uf_free(report->text);
    uf_free(report->notes);
    *report = (UfProtocolReport){0};
}
