// synth_reuse.h: what `unifloral synthenv train` does: agents of several algorithms in one synthetic environment, rated, told and drawn.
#ifndef UF_SYNTH_REUSE_H
#define UF_SYNTH_REUSE_H

#include "core/synth/synth_rate.h"

typedef struct SeReuseOptions {
    SeRateOptions rate;  // algorithm aside
    const char* algorithms;
    bool control;         // also as many agents that train in the real environment, for as many steps
    bool each;            // also a line for each agent
    bool json;            // one object in place of text
    const char* picture;  // of all ratings: a file; synth_agents_draw.h.   Nullable
} SeReuseOptions;
// Agents of each algorithm, as lines of text.   A picture that cannot be is refused before any agent trains.
UfStatus se_reuse(const SeReuseOptions* options, UfText* text);

#endif
