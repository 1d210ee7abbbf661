// grid_verify.h: `unifloral verify` of gridworlds' recordings.
#ifndef NX_GRID_VERIFY_H
#define NX_GRID_VERIFY_H

#include "core/data/h5.h"
#include "core/verify/judge.h"

// Recordings of kind minigrid-traces: /minigrid, episodes by MiniGrid's rules, on that device, and the other groups, each
// by one of those below, on the CPU.
UfStatus nx_verify_traces(const char* path, const char* device, char** text, bool* passed);

UfStatus nx_verify_navix(const UfH5* h5, UfReport* report);   // /navix: by NAVIX's
UfStatus nx_verify_tiles(const UfH5* h5, UfReport* report);   // /tiles, byte by byte
UfStatus nx_verify_frames(const UfH5* h5, UfReport* report);  // /frames

#endif
