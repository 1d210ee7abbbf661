// judge.c: see judge.h.
#include "core/verify/judge.h"

#include <math.h>
#include <string.h>

void uf_report_add(UfReport* report, const char* part, const char* check, double worst, double limit) {
    bool passed = worst <= limit;
    uf_text_add(&report->text, "%-24s  %-36s  worst %-9.3g  limit %-7.3g  %s\n", part, check, worst, limit,
                passed ? "PASS" : "FAIL");
    report->passed = report->passed && passed;
}

UfStatus uf_report_finish(UfReport* report, UfStatus status, char** text, bool* passed) {
    *text = NULL;
    *passed = false;
    if (status != UF_OK) report->text.status = status;  // hands over no text
    UF_TRY(uf_text_finish(&report->text, text));
    *passed = report->passed;
    return UF_OK;
}

void uf_keep_worst(double* worst, double error) {
    if (!(error <= *worst)) *worst = isnan(error) ? (double)INFINITY : error;
}

UfStatus uf_report_file(const char* path, UfCheckFile* check, char** text, bool* passed) {
    UfReport report = {.passed = true};
    UfH5 h5;
    *text = NULL;
    *passed = false;
    UF_TRY(uf_h5_open(&h5, path));
    const UfStatus status = check(&report, &h5);
    uf_h5_close(&h5);
    return uf_report_finish(&report, status, text, passed);
}

static bool is_among(const char* name, char** names, int count) {
    for (int i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

UfStatus uf_check_groups(UfReport* report, const UfH5* h5, const char* parent, UfGroupName* name_of,
                         const char* what) {
    char** groups;
    int count, absent = 0;
    UF_TRY(uf_h5_list(h5, parent, &groups, &count));
    UfStatus status = UF_OK;
    if (count == 0)
        status =
            UF_FAIL(UF_ERR_FORMAT, "%s: '%s' has no group; expected one for each %s", h5->path, parent, what);
    for (int i = 0; i < count && status == UF_OK; i++) {
        bool known = false;
        for (int k = 0; name_of(k) && !known; k++) known = strcmp(groups[i], name_of(k)) == 0;
        if (!known)
            status =
                UF_FAIL(UF_ERR_FORMAT, "%s: group '%s' is no %s that we know", h5->path, groups[i], what);
    }
    for (int k = 0; name_of(k) && status == UF_OK; k++)
        if (!is_among(name_of(k), groups, count))
            uf_text_add(&report->text, "%s%s", absent++ ? ", " : "not recorded: ", name_of(k));
    if (absent) uf_text_add(&report->text, " (%s)\n", parent);
    uf_h5_list_free(groups, count);
    return status;
}

UfStatus uf_check_format(const UfH5* h5) {
    double format;
    if (!uf_h5_has_attribute(h5, "/", "format")) return UF_OK;
    UF_TRY(uf_h5_read_number(h5, "/", "format", &format));
    if (format == 1) return UF_OK;
    return UF_FAIL(UF_ERR_FORMAT, "%s: attribute 'format' is %g; this version knows format 1", h5->path,
                   format);
}
