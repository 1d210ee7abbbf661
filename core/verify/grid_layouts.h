// grid_layouts.h: compares level generation with recorded counts.
#ifndef NX_GRID_LAYOUTS_H
#define NX_GRID_LAYOUTS_H

#include "core/core.h"
#include "core/grid/grid.h"

// A file of kind minigrid-layouts against nx_generate. *report (free with uf_free): one line an id.
// Errors: UF_ERR_FORMAT (what is missing, has another shape or counts that do not add up; an id that we do not know).
UfStatus nx_verify_layouts(const char* path, char** report, bool* passed);

// The same with another generator, to see that the comparison tells them apart.
typedef void NxGenerator(const NxLayout* layout, NxEnv* env);
UfStatus nx_verify_layouts_of(const char* path, NxGenerator* generate, char** report, bool* passed);

#endif
