// judge.h: what the files that check a kind of recording share: a line for each check, a verdict, and what a file must have.
#ifndef UF_JUDGE_H
#define UF_JUDGE_H

#include "core/data/h5.h"

typedef struct UfReport {
    UfText text;
    bool passed;
} UfReport;

// "part  check  worst .. limit ..  PASS"; passed stays true while worst <= limit. A NaN fails.
void uf_report_add(UfReport* report, const char* part, const char* check, double worst, double limit);
// Hands text and verdict over, or passes `status` on.
UfStatus uf_report_finish(UfReport* report, UfStatus status, char** text, bool* passed);
// A kind that is checked by one function: opens the file, calls it, hands text and verdict over.
typedef UfStatus UfCheckFile(UfReport* report, const UfH5* h5);
UfStatus uf_report_file(const char* path, UfCheckFile* check, char** text, bool* passed);
// Refuses a file whose group `parent` ("/": the file) has a member that is none of those which name_of(0), name_of(1), ...
// says, to its NULL, or none at all; what: "game of MinAtar", say. The report says which are not there.
typedef const char* UfGroupName(int index);
UfStatus uf_check_groups(UfReport* report, const UfH5* h5, const char* parent, UfGroupName* name_of,
                         const char* what);
// Refuses a file that says it has another layout than the one known, format 1.
UfStatus uf_check_format(const UfH5* h5);
// *worst = max(*worst, error); a NaN is infinitely bad.
void uf_keep_worst(double* worst, double error);

#endif
