// scores.c: see scores.h.
//
// Rooms: rows, run folders, groups.
#include "core/results/scores.h"

#include <math.h>
#include <stdio.h>   // snprintf
#include <stdlib.h>  // realpath
#include <string.h>

#include "core/data/h5.h"
#include "core/runs/run_folder.h"

struct UfScoreRow {
    char *source, *hash, *env, *algorithm;
    char dataset[UF_STRING_BYTES];
    int num_rollouts;
    double *returns, *scores;  // Nullable: scores
};

// ---- rows ----

void uf_scores_label(const UfConfig* config, const UfParam* by, char label[UF_LABEL_BYTES]) {
    char value[UF_STRING_BYTES];
    snprintf(label, UF_LABEL_BYTES, "%s", config->algorithm);
    if (!by || !strcmp(by->name, "algorithm")) return;
    uf_param_format(config, by, value, sizeof value);
    snprintf(label, UF_LABEL_BYTES, "%s, %s=%s", config->algorithm, by->name, value);
}

static void free_row(UfScoreRow* row) {
    uf_free(row->source);
    uf_free(row->hash);
    uf_free(row->env);
    uf_free(row->algorithm);
    uf_free(row->returns);
    uf_free(row->scores);
}

static UfStatus copy_numbers(double** out, const UfPolicyResult* r, const double* values, const char* what) {
    UF_TRY(UF_ALLOC(out, r->num_rollouts, what));
    for (int i = 0; i < r->num_rollouts; i++) {
        if (!isfinite(values[i]))
            return UF_FAIL(UF_ERR_NONFINITE,
                           "%s: %s %d of %d is not a number; evaluate that policy again or leave it out",
                           r->source, what, i, r->num_rollouts);
        (*out)[i] = values[i];
    }
    return UF_OK;
}

static UfStatus copy_row(UfScoreRow* row, const UfPolicyResult* r) {
    UF_TRY(uf_strdup(&row->source, r->source));
    UF_TRY(uf_strdup(&row->hash, r->hash));
    UF_TRY(uf_strdup(&row->env, r->env));
    UF_TRY(uf_strdup(&row->algorithm, r->algorithm));
    uf_file_stem(r->dataset, row->dataset, sizeof row->dataset);
    row->num_rollouts = r->num_rollouts;
    UF_TRY(copy_numbers(&row->returns, r, r->returns, "return"));
    return r->scores ? copy_numbers(&row->scores, r, r->scores, "score") : UF_OK;
}

UfStatus uf_scores_add(UfScoreTable* table, const UfPolicyResult* result) {
    if (result->num_rollouts < 1)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: no final episodes; evaluate that policy or leave it out",
                       result->source);
    for (int i = 0; i < table->num_rows; i++)
        if (!strcmp(table->rows[i].source, result->source))
            return UF_FAIL(UF_ERR_ARGUMENT, "%s: given twice; a policy counts once", result->source);
    if (table->num_rows == table->capacity) {
        UfScoreRow* grown;
        const int capacity = table->capacity ? 2 * table->capacity : 64;
        UF_TRY(UF_ALLOC(&grown, capacity, "results"));
        if (table->rows) memcpy(grown, table->rows, sizeof *grown * (size_t)table->num_rows);
        uf_free(table->rows);
        table->rows = grown;
        table->capacity = capacity;
    }
    UfScoreRow row = {0};
    UfStatus status = copy_row(&row, result);
    if (status == UF_OK)
        table->rows[table->num_rows++] = row;
    else
        free_row(&row);
    return status;
}

// ---- run folders ----

typedef struct Final {
    UfH5 h5;
    UfConfig* config;
    char *kind, *json, *hash, *env;
    double *returns, *scores;
    int num_rollouts;
} Final;

static UfStatus read_episodes(Final* f, const char* name, double** out) {
    UfH5Shape shape;
    UF_TRY(uf_h5_shape(&f->h5, name, &shape));
    if (shape.count < 1 || shape.count > INT32_MAX || (f->num_rollouts && shape.count != f->num_rollouts))
        return UF_FAIL(UF_ERR_FORMAT, "%s: '%s' has %lld episodes, expected %s", f->h5.path, name,
                       (long long)shape.count, f->num_rollouts ? "as many as returns" : "at least 1");
    f->num_rollouts = (int)shape.count;
    UF_TRY(UF_ALLOC(out, shape.count, name));
    return uf_h5_read(&f->h5, name, UF_H5_DOUBLE, *out, shape.count);
}

static UfStatus read_final(Final* f) {
    UF_TRY(uf_h5_read_string(&f->h5, "/", "kind", &f->kind));
    if (strcmp(f->kind, "unifloral-result"))
        return UF_FAIL(UF_ERR_FORMAT, "%s: is not the result of a run", f->h5.path);
    UF_TRY(uf_h5_read_string(&f->h5, "/", "dataset_hash", &f->hash));
    UF_TRY(uf_h5_read_string(&f->h5, "/", "env", &f->env));
    UF_TRY(uf_h5_read_string(&f->h5, "/", "config", &f->json));
    UF_TRY(uf_config_create(&f->config));
    UF_TRY(uf_config_parse(f->config, f->json, f->h5.path));
    if (!uf_h5_exists(&f->h5, "returns")) return UF_OK;  // not evaluated
    UF_TRY(read_episodes(f, "returns", &f->returns));
    return uf_h5_exists(&f->h5, "scores") ? read_episodes(f, "scores", &f->scores) : UF_OK;
}

static UfStatus count_unfinished(UfScoreTable* table, const char* folder) {
    return table->num_unfinished++ ? UF_OK : uf_strdup(&table->unfinished, folder);
}

static UfStatus add_final(UfScoreTable* table, const char* folder, const Final* f) {
    if (!f->returns) return count_unfinished(table, folder);
    char label[UF_LABEL_BYTES];
    uf_scores_label(f->config, table->by, label);
    char* source = realpath(folder, NULL);  // so that one run by two names is noticed
    const UfPolicyResult result = {.source = source ? source : folder,
                                   .dataset = f->config->online ? f->env : f->config->dataset,
                                   .hash = f->hash,
                                   .env = f->env,
                                   .algorithm = label,
                                   .num_rollouts = f->num_rollouts,
                                   .returns = f->returns,
                                   .scores = f->scores};
    UfStatus status = uf_scores_add(table, &result);
    free(source);
    return status;
}

static UfStatus add_run(void* user, const char* folder) {
    UfScoreTable* table = user;
    char path[UF_PATH_BYTES];
    Final f = {0};
    if (!uf_has_file(folder, "final.h5")) return count_unfinished(table, folder);
    snprintf(path, sizeof path, "%s/final.h5", folder);
    UF_TRY(uf_h5_open(&f.h5, path));
    UfStatus status = read_final(&f);
    uf_h5_close(&f.h5);
    if (status == UF_OK) status = add_final(table, folder, &f);
    uf_config_free(f.config);
    uf_free(f.kind);
    uf_free(f.json);
    uf_free(f.hash);
    uf_free(f.env);
    uf_free(f.returns);
    uf_free(f.scores);
    return status;
}

UfStatus uf_scores_add_runs(UfScoreTable* table, const char* folder) {
    int num_found = 0;
    UF_TRY(uf_runs_below(folder, add_run, table, &num_found));
    if (num_found) return UF_OK;
    return UF_FAIL(UF_ERR_ARGUMENT, "%s: %s; give run folders, or folders that hold some", folder,
                   uf_file_exists(folder) ? "holds no run" : "is not there");
}

// ---- groups ----

static bool same_group(const UfScoreRow* a, const UfScoreRow* b) {
    return !strcmp(a->dataset, b->dataset) && !strcmp(a->algorithm, b->algorithm);
}

// The first row that a row can be grouped with; itself if there is none before it.
static int first_like(const UfScoreTable* t, int row, bool whole_dataset) {
    int i = 0;
    while (i < row && !(whole_dataset ? !strcmp(t->rows[i].dataset, t->rows[row].dataset)
                                      : same_group(&t->rows[i], &t->rows[row])))
        i++;
    return i;
}

static UfStatus check_row(const UfScoreTable* t, int row) {
    const UfScoreRow *r = &t->rows[row], *d = &t->rows[first_like(t, row, true)],
                     *g = &t->rows[first_like(t, row, false)];
    if (strcmp(r->hash, d->hash))
        return UF_FAIL(
            UF_ERR_ARGUMENT,
            "dataset '%s' of %s has the hash %.12s, that of %s %.12s: these are two datasets; give their "
            "results one at a time",
            r->dataset, r->source, r->hash, d->source, d->hash);
    if (strcmp(r->env, d->env))
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "dataset '%s': %s was evaluated in %s, %s in %s; give their results one at a time",
                       r->dataset, r->source, r->env, d->source, d->env);
    if (r->num_rollouts != g->num_rollouts)
        return UF_FAIL(
            UF_ERR_ARGUMENT,
            "%s, %s: %s has %d final episodes, %s %d; the policies of a curve need as many each: leave some "
            "out, or set eval_final_episodes and train them again",
            r->dataset, r->algorithm, r->source, r->num_rollouts, g->source, g->num_rollouts);
    return UF_OK;
}

static UfStatus add_group(UfScoreTable* t, int first, bool returns) {
    const UfScoreRow* f = &t->rows[first];
    const size_t R = (size_t)f->num_rollouts;
    double* values;
    int count = 0;
    for (int i = first; i < t->num_rows; i++) count += same_group(f, &t->rows[i]);
    UF_TRY(UF_ALLOC(&values, (size_t)count * R, "scores"));
    UfScores* s = &t->scores[t->num_scores++];
    *s = (UfScores){f->dataset, f->algorithm, count, f->num_rollouts, values, returns};
    for (int i = first; i < t->num_rows; i++) {
        const UfScoreRow* r = &t->rows[i];
        if (!same_group(f, r)) continue;
        memcpy(values, returns ? r->returns : r->scores, R * sizeof *values);
        values += R;
    }
    return UF_OK;
}

static UfStatus add_dataset(UfScoreTable* t, int first) {
    const UfScoreRow *f = &t->rows[first], *unscored = NULL;
    for (int i = first; i < t->num_rows && !unscored; i++)
        if (!strcmp(t->rows[i].dataset, f->dataset) && !t->rows[i].scores) unscored = &t->rows[i];
    if (unscored)
        uf_text_add(&t->notes, "%s: returns, not scores: %s has no reference scores (%s)\n", f->dataset,
                    unscored->env, unscored->source);
    for (int i = first; i < t->num_rows; i++)
        if (!strcmp(t->rows[i].dataset, f->dataset) && first_like(t, i, false) == i)
            UF_TRY(add_group(t, i, unscored != NULL));
    return UF_OK;
}

UfStatus uf_scores_group(UfScoreTable* table) {
    if (!table->num_rows && table->num_unfinished)
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "no results: none of %d runs has final returns (%s); let them finish, with "
                       "eval_final_episodes above 0",
                       table->num_unfinished, table->unfinished);
    if (!table->num_rows) return UF_FAIL(UF_ERR_ARGUMENT, "no results: there is no policy to choose");
    if (table->num_unfinished)
        uf_text_add(&table->notes, "runs without final returns are left out, %d in all: %s%s\n",
                    table->num_unfinished, table->unfinished, table->num_unfinished > 1 ? ", ..." : "");
    for (int i = 0; i < table->num_rows; i++) UF_TRY(check_row(table, i));
    UF_TRY(UF_ALLOC(&table->scores, table->num_rows, "scores"));
    for (int i = 0; i < table->num_rows; i++)
        if (first_like(table, i, true) == i) UF_TRY(add_dataset(table, i));
    return UF_OK;
}

void uf_scores_free(UfScoreTable* table) {
    char* notes = NULL;
    for (int i = 0; i < table->num_scores; i++) uf_free((double*)table->scores[i].values);
    for (int i = 0; i < table->num_rows; i++) free_row(&table->rows[i]);
    uf_free(table->scores);
    uf_free(table->rows);
    uf_free(table->unfinished);
    if (uf_text_finish(&table->notes, &notes) == UF_OK) uf_free(notes);
    *table = (UfScoreTable){0};
}
