// plot_panels.h: what the pictures of plot_runs.h share, for plot_runs.c and plot_final.c: a panel a dataset, a colour a
// group, titles, captions, tables.
#ifndef UF_PLOT_PANELS_H
#define UF_PLOT_PANELS_H

#include "core/results/plot_runs.h"
#include "core/results/scores.h"

typedef struct UfNames {  // each once, in order of appearance, and a NULL
    char** names;
    int count, capacity;
} UfNames;
UfStatus uf_names_add(UfNames* names, const char* name);
int uf_names_find(const UfNames* names, const char* name);  // count: it is not there
void uf_names_free(UfNames* names);

typedef struct UfPanels {
    const UfPlotRuns* options;
    UfPlotReport* report;
    const UfParam* by;
    UfNames datasets, groups;  // of groups the labels of uf_scores_label
    char** titles;             // (datasets)
    UfText notes;
} UfPanels;

// Once all names are there: groups of an algorithm in the order of their values; titles, which hold the algorithm where
// it is the only one.
UfStatus uf_panels_arrange(UfPanels* panels);
// The label of a group, without what the titles say.
const char* uf_panels_label(const UfPanels* panels, int group);
void uf_panels_free(UfPanels* panels);

// The least and the largest of some counts, "5" or "3 to 5".
typedef struct UfCounts {
    int least, most;
} UfCounts;
void uf_counts_add(UfCounts* counts, int count);  // 0 is none
const char* uf_counts_text(UfCounts counts, char text[32]);

// A line of a table: names, then what follows after a comma.
void uf_panels_csv(const UfPanels* panels, UfText* text, int dataset, int group, const char* what);
void uf_panels_csv_numbers(UfText* text, const double* numbers, int count);  // and the end of the line
UfStatus uf_panels_csv_write(const UfPanels* panels, UfText* text);

// Final scores; the other half of uf_plot_runs.
UfStatus uf_plot_final(UfPanels* panels);

#endif
