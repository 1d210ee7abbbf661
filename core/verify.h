// verify.h: replays recorded computations and compares.
#ifndef UF_VERIFY_H
#define UF_VERIFY_H

#include "core.h"

// Goes by the file's root attribute `kind`. *report (free with uf_free): one line a checked part and PASS or
// FAIL at the end. A file that cannot be checked (missing, cut off, unknown kind) is an error, a wrong value
// is *passed = false.
UfStatus uf_verify(const char* path, char** report, bool* passed);

#endif
