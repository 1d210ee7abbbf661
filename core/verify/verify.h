// verify.h: replays recorded computations and compares.
#ifndef UF_VERIFY_H
#define UF_VERIFY_H

#include "core/core.h"

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

#endif
