// verify.h: replays recorded computations and compares.
#ifndef UF_VERIFY_H
#define UF_VERIFY_H

#include "core/data/h5.h"

// Goes by the file's root attribute `kind`. *report (free with uf_free): one line a checked part and PASS or
// FAIL at the end. A file that cannot be checked (missing, cut off, unknown kind) is an error, a wrong value
// is *passed = false.
UfStatus uf_verify(const char* path, char** report, bool* passed);
// The same with the float32 replay of updates on another device.   Errors: also UF_ERR_DEVICE, and UF_ERR_UNSUPPORTED
// for recordings of what runs on the CPU alone.
UfStatus uf_verify_on(const char* path, const char* device, const char* precision, char** report,
                      bool* passed);

// For tests: an update replayed on the device from one file and in double precision from another, which differ in what
// the device then does wrong.
UfStatus uf_verify_apart(const char* path, const char* exact_path, const char* device, const char* precision,
                         char** report, bool* passed);

// ---- for the files that check a kind ----

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
