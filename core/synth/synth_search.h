// synth_search.h: the inside of the search for synthetic environments, for the files that run, test and draw it. The
// public part is synthenv.h.
#ifndef UF_SYNTH_SEARCH_H
#define UF_SYNTH_SEARCH_H

#include <signal.h>  // sig_atomic_t

#include "core/ranks.h"
#include "core/synth/synth_agents.h"

// ---- the search ----

// se_search_create for several processes that share each generation.   Nullable: ranks
UfStatus se_search_open(SeSearch** out, const SeConfig* config, const UfRanks* ranks);
// stop: of this process. *stopped: whether any process was asked to, the same on all; then nothing was told, and the
// generation begins anew when the search goes on.   Nullable: out, stop with stopped
UfStatus se_search_step_until(SeSearch* search, SeGeneration* out, const volatile sig_atomic_t* stop,
                              bool* stopped);
// run: RUN fields of it take the place of the file's.   Nullable: run, ranks
UfStatus se_search_reopen(SeSearch** out, const char* path, const SeConfig* run, const UfRanks* ranks);
// Mean returns (num_agents) of fresh agents that train in the search's mean; those of different generations and algorithms
// are different ones. All processes call it, each trains its share.   Nullable: stop
// *stopped: some process was asked to leave off, and returns are no result.
UfStatus se_search_measure(SeSearch* search, SeAlgorithm algorithm, int num_agents, double* returns,
                           const volatile sig_atomic_t* stop, bool* stopped);
// What a checkpoint is of, as lines of text (free with uf_free): `unifloral info`.
UfStatus se_checkpoint_info(const char* path, char** text);
const SeConfig* se_search_config(const SeSearch* search);
const UfBackend* se_search_backend(const SeSearch* search);
// Fitness of given candidates x (count, dims) in the present generation: a candidate's does not depend on the others.
UfStatus se_search_rate(SeSearch* search, const float* x, int count, double* fitness);

#endif
