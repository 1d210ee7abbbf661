// grid_table.h: which gridworlds there are, and what their missions say.
#ifndef NX_GRID_TABLE_H
#define NX_GRID_TABLE_H

#include "core/core.h"
#include "core/grid/grid.h"
#include "core/grid/grid_mission.h"  // NX_NUM_FETCH_MISSIONS, nx_mission_text

#ifdef __cplusplus
extern "C" {
#endif

// The row of an id.   Errors: UF_ERR_ARGUMENT (no such id, with the nearest ones).
UfStatus nx_find_spec(const NxSpec** out, const char* id);

// Whether a name is one of a gridworld, known or not: by its prefix.
bool nx_is_grid(const char* name);

// Lays an environment of the id out: MiniGrid's rules, all else at nx_default_options. The block's parts begin at
// whole 64 bytes; there are contents where the id's boxes hold things, or where with_contents asks for them.
void nx_lay_out(NxLayout* layout, const NxSpec* spec, bool with_contents);

// Sets env->mission of a LockedRoom that was not generated here from its doors and its key, as long as the key lies
// in its room. Fetch's wording is in no state: it stays what it is.
void nx_recall_mission(const NxLayout* layout, NxEnv* env);

#ifdef __cplusplus
}
#endif

#endif
