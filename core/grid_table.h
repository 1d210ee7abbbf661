// grid_table.h: which gridworlds there are, and what their missions say.
#ifndef NX_GRID_TABLE_H
#define NX_GRID_TABLE_H

#include "core.h"
#include "grid.h"

#ifdef __cplusplus
extern "C" {
#endif

// The row of an id.   Errors: UF_ERR_ARGUMENT (no such id, with the nearest ones).
UfStatus nx_find_spec(const NxSpec** out, const char* id);

#ifdef __cplusplus
}
#endif

#endif
