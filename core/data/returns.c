// returns.c: see returns.h.
#include "core/data/returns.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

UfStatus uf_returns_read(const UfH5* h5, const char* name, UfReturns* t) {
    UfH5Shape shape;
    UF_TRY(uf_h5_shape(h5, name, &shape));
    if (shape.rank < 1 || shape.rank > 2 || shape.count < 1)
        return UF_FAIL(UF_ERR_FORMAT, "%s: '%s' is no table of numbers; the file is damaged", h5->path, name);
    t->rows = shape.rank == 2 ? shape.dims[0] : 1;
    t->columns = shape.dims[shape.rank - 1];
    UF_TRY(UF_ALLOC(&t->numbers, shape.count, "returns"));
    const UfStatus status = uf_h5_read(h5, name, UF_H5_DOUBLE, t->numbers, shape.count);
    if (status != UF_OK) uf_free(t->numbers);
    return status;
}

double uf_returns_mean(const double* numbers, int64_t count, int64_t stride) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += numbers[i * stride];
    return sum / (double)count;
}

// Means of policies: the least and the most are told where there are several.
static void add_returns(UfText* text, const char* name, const UfReturns* t) {
    double least = 0, most = 0;
    for (int64_t r = 0; r < t->rows; r++) {
        const double mean = uf_returns_mean(t->numbers + r * t->columns, t->columns, 1);
        if (r == 0 || !(mean >= least)) least = mean;
        if (r == 0 || !(mean <= most)) most = mean;
    }
    uf_text_add(text, "%-14s %.6g mean", name, uf_returns_mean(t->numbers, t->rows * t->columns, 1));
    if (t->rows > 1)
        uf_text_add(text, ", %.6g to %.6g  (%lld policies x %lld episodes)\n", least, most,
                    (long long)t->rows, (long long)t->columns);
    else
        uf_text_add(text, "  (%lld episodes)\n", (long long)t->columns);
}

static UfStatus add_table(UfText* text, const UfH5* h5, const char* name) {
    UfReturns t;
    UF_TRY(uf_returns_read(h5, name, &t));
    if (!strcmp(name, "loss_and_accuracy") && t.columns == 2)
        uf_text_add(text, "%-14s %.6g\n%-14s %.6g  (mean of %lld policies on the test images)\n", "loss",
                    uf_returns_mean(t.numbers, t.rows, 2), "accuracy",
                    uf_returns_mean(t.numbers + 1, t.rows, 2), (long long)t.rows);
    else
        add_returns(text, name, &t);
    uf_free(t.numbers);
    return UF_OK;
}

// What the policies are for: an environment, or images.
static UfStatus add_subject(UfText* text, const UfH5* h5) {
    static const char* const names[] = {"env", "images"};
    char* json;
    UF_TRY(uf_h5_read_string(h5, "/", "config", &json));
    cJSON* config = cJSON_Parse(json);
    uf_free(json);
    for (int i = 0; i < 2 && config; i++) {
        const cJSON* value = cJSON_GetObjectItemCaseSensitive(config, names[i]);
        if (cJSON_IsString(value) && value->valuestring[0])
            uf_text_add(text, "%-14s %s\n", names[i], value->valuestring);
    }
    const bool parsed = config != NULL;
    cJSON_Delete(config);
    if (parsed) return UF_OK;
    return UF_FAIL(UF_ERR_FORMAT, "%s: its configuration is no JSON; the file is damaged", h5->path);
}

// Agents have a table for each algorithm, in a group.
static UfStatus add_tables(UfText* text, const UfH5* h5, bool grouped, const char* group) {
    char **names, path[256];
    int count;
    UF_TRY(uf_h5_list(h5, group, &names, &count));
    UfStatus status = UF_OK;
    for (int i = 0; i < count && status == UF_OK; i++) {
        snprintf(path, sizeof path, "%s%s%s", group, *group ? "/" : "", names[i]);
        const bool is_group = grouped && !strcmp(path, "returns");
        status = is_group ? add_tables(text, h5, false, path) : add_table(text, h5, path);
    }
    uf_h5_list_free(names, count);
    return status;
}

static UfStatus describe(UfText* text, const UfH5* h5) {
    char *kind, *version;
    UF_TRY(uf_h5_read_string(h5, "/", "kind", &kind));
    const bool grouped = !strcmp(kind, UF_RETURNS_OF_AGENTS);
    uf_text_add(text, "%-14s %s\n%-14s %s\n", "file", h5->path, "kind", kind);
    uf_free(kind);
    UF_TRY(uf_h5_read_string(h5, "/", "version", &version));
    uf_text_add(text, "%-14s %s\n", "version", version);
    uf_free(version);
    UF_TRY(add_subject(text, h5));
    return add_tables(text, h5, grouped, "");
}

UfStatus uf_returns_info(const char* path, char** out) {
    UfText text = {0};
    UfH5 h5;
    UF_TRY(uf_h5_open(&h5, path));
    const UfStatus status = describe(&text, &h5);
    uf_h5_close(&h5);
    const UfStatus finished = uf_text_finish(&text, out);
    if (status == UF_OK || finished != UF_OK) return finished;
    uf_free(*out);
    *out = NULL;
    return status;
}
