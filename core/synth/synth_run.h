// synth_run.h: a search for a synthetic environment as one kind of run (search_run.h).
//
// Beside what every search's folder has: synthenv.json, environment.h5 (the mean of the search: what it is for) with its
// picture environment.png, and agents.h5 (returns of fresh agents that trained in it: returns/<algorithm> (agents, episodes),
// arg_max (episodes) of the policy that takes the reward's best action) with theirs, agents.png.
#ifndef UF_SYNTH_RUN_H
#define UF_SYNTH_RUN_H

#include "core/search/search_run.h"
#include "core/synth/synth_search.h"

extern const UfSearchKind se_kind;

#endif
