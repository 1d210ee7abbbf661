// grid_navix_traces.h: NAVIX's recorded episodes against grid_navix.h.
#ifndef NX_GRID_NAVIX_TRACES_H
#define NX_GRID_NAVIX_TRACES_H

#include "h5.h"

// Replays each group of /navix and compares every number recorded. Adds a line a group to `report` and clears *passed
// where one differs.   Errors: UF_ERR_FORMAT (the file, the dataset, what is wrong), UF_ERR_ARGUMENT (an id that is none)
UfStatus nx_verify_navix(const UfH5* h5, UfText* report, bool* passed);

#endif
