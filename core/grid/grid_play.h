// grid_play.h: a gridworld in a terminal, played with keys.
#ifndef NX_GRID_PLAY_H
#define NX_GRID_PLAY_H

#include "core/core.h"

#define NX_KEYS_HELP                                                          \
    "arrows (or h, l, k) turn and move, space toggles, p picks up, d drops, " \
    "enter done, r new level, v view, q quits"

typedef struct NxPlayOptions {
    const char* id;
    uint64_t seed;
    const char* keys;   // these instead of a terminal: the last picture is written as plain text.   Nullable
    int input, output;  // descriptors: a terminal each, where there are no keys
} NxPlayOptions;

// Plays until a key quits or the input ends; *signal: the one that stopped it, or 0. The terminal is as it was
// afterwards, whatever happened.
// Errors: UF_ERR_ARGUMENT (unknown id, with the nearest; no terminal; what is no key, or an action after the end of an
// episode), UF_ERR_IO.
UfStatus nx_play(const NxPlayOptions* options, int* signal);

#endif
