// plot_panels.c: see plot_panels.h.
//
// Rooms: names, labels, titles, counts, tables.
#include "core/results/plot_panels.h"

#include <stdio.h>   // snprintf
#include <stdlib.h>  // strtod
#include <string.h>

// ---- names ----

int uf_names_find(const UfNames* n, const char* name) {
    int i = 0;
    while (i < n->count && strcmp(n->names[i], name)) i++;
    return i;
}

UfStatus uf_names_add(UfNames* n, const char* name) {
    if (uf_names_find(n, name) < n->count) return UF_OK;
    if (n->count == n->capacity) {
        char** grown;
        const int capacity = n->capacity ? 2 * n->capacity : 16;
        UF_TRY(UF_ALLOC(&grown, capacity + 1, "names"));
        if (n->names) memcpy(grown, n->names, sizeof *grown * (size_t)n->count);
        uf_free(n->names);
        n->names = grown;
        n->capacity = capacity;
    }
    UF_TRY(uf_strdup(&n->names[n->count], name));
    n->count++;
    return UF_OK;
}

void uf_names_free(UfNames* n) {
    for (int i = 0; i < n->count; i++) uf_free(n->names[i]);
    uf_free(n->names);
    *n = (UfNames){0};
}

// ---- labels ----

// "td3_bc, lr=0.001": the part that groups of an algorithm share, up to the value.
static size_t stem_length(const char* label, const UfParam* by) {
    char piece[80];
    snprintf(piece, sizeof piece, ", %s=", by ? by->name : "");
    const char* place = by ? strstr(label, piece) : NULL;
    return place ? (size_t)(place - label) + strlen(piece) : strlen(label);
}

static bool same_stem(const char* a, const char* b, const UfParam* by) {
    const size_t length = stem_length(a, by);
    return length == stem_length(b, by) && !strncmp(a, b, length);
}

static bool is_smaller(const char* a, const char* b, const UfParam* by) {
    const char *x = a + stem_length(a, by), *y = b + stem_length(b, by);
    char *x_end, *y_end;
    const double left = strtod(x, &x_end), right = strtod(y, &y_end);
    return *x && *y && !*x_end && !*y_end && left < right;
}

// Algorithms as they come, each with its values by size.
static void order_labels(UfNames* n, const UfParam* by) {
    for (int i = 1; i < n->count; i++) {
        char* label = n->names[i];
        int place = i;
        for (int k = 0; k < i; k++)
            if (same_stem(n->names[k], label, by)) place = k + 1;  // behind the last of its algorithm
        while (place > 0 && same_stem(n->names[place - 1], label, by) &&
               is_smaller(label, n->names[place - 1], by))
            place--;
        memmove(&n->names[place + 1], &n->names[place], sizeof label * (size_t)(i - place));
        n->names[place] = label;
    }
}

// ---- titles ----

// Length of "td3_bc, " if all labels begin with it, else 0.
static size_t common_length(const UfPanels* p) {
    const char* first = p->groups.names[0];
    const size_t stem = stem_length(first, p->by);
    if (!p->by || stem == strlen(first)) return 0;
    for (int i = 1; i < p->groups.count; i++)
        if (!same_stem(first, p->groups.names[i], p->by)) return 0;
    return stem - strlen(p->by->name) - 1;
}

const char* uf_panels_label(const UfPanels* p, int group) {
    return p->groups.names[group] + common_length(p);
}

UfStatus uf_panels_arrange(UfPanels* p) {
    order_labels(&p->groups, p->by);
    p->report->num_datasets = p->datasets.count;
    p->report->num_groups = p->groups.count;
    const int common = (int)common_length(p);
    UF_TRY(UF_ALLOC(&p->titles, p->datasets.count, "titles"));
    for (int d = 0; d < p->datasets.count; d++) {
        UfText title = {0};
        if (common) uf_text_add(&title, "%.*s on ", common - 2, p->groups.names[0]);
        uf_text_add(&title, "%s", p->datasets.names[d]);
        UF_TRY(uf_text_finish(&title, &p->titles[d]));
    }
    return UF_OK;
}

void uf_panels_free(UfPanels* p) {
    for (int d = 0; p->titles && d < p->datasets.count; d++) uf_free(p->titles[d]);
    uf_free(p->titles);
    uf_names_free(&p->datasets);
    uf_names_free(&p->groups);
}

// ---- counts ----

void uf_counts_add(UfCounts* c, int count) {
    if (!count) return;
    c->least = c->least && c->least < count ? c->least : count;
    c->most = c->most > count ? c->most : count;
}

const char* uf_counts_text(UfCounts c, char text[32]) {
    if (c.least == c.most)
        snprintf(text, 32, "%d", c.most);
    else
        snprintf(text, 32, "%d to %d", c.least, c.most);
    return text;
}

// ---- tables ----

void uf_panels_csv(const UfPanels* p, UfText* text, int dataset, int group, const char* what) {
    uf_text_add_csv(text, p->datasets.names[dataset]);
    uf_text_add(text, ",");
    uf_text_add_csv(text, p->groups.names[group]);
    uf_text_add(text, ",");
    uf_text_add_csv(text, what);
    uf_text_add(text, ",");
}

void uf_panels_csv_numbers(UfText* text, const double* numbers, int count) {
    for (int i = 0; i < count; i++) uf_text_add_csv_number(text, numbers[i]);
    if (text->status == UF_OK) text->data[text->length - 1] = '\n';  // the last comma
}

UfStatus uf_panels_csv_write(const UfPanels* p, UfText* text) {
    char* data;
    UF_TRY(uf_text_finish(text, &data));
    UfStatus status = uf_write_file(p->options->csv, data, strlen(data));
    uf_free(data);
    return status;
}
