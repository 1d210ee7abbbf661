// grid_verify.h: `unifloral verify` of gridworlds' recordings.
#ifndef NX_GRID_VERIFY_H
#define NX_GRID_VERIFY_H

#include "h5.h"
#include "verify.h"

// Recordings of kind minigrid-traces: its groups, each by one of those below.
UfStatus nx_verify_traces(const char* path, char** text, bool* passed);

UfStatus nx_verify_minigrid(const UfH5* h5, UfReport* report);  // /minigrid: episodes by MiniGrid's rules
UfStatus nx_verify_navix(const UfH5* h5, UfReport* report);     // /navix: by NAVIX's
UfStatus nx_verify_tiles(const UfH5* h5, UfReport* report);     // /tiles, byte by byte
UfStatus nx_verify_frames(const UfH5* h5, UfReport* report);    // /frames

#endif
