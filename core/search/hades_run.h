// hades_run.h: behaviour distillation as a kind of search that runs in a folder (search_run.h, search_sweep.h), and what
// is tried with its dataset.
//
// The folder has, beside what every search has: hades.json, distilled.hdf5 with its picture dataset.png, and ratings.h5
// (every return of policies cloned from it). Where weights evolve there is no dataset.
#ifndef UF_HADES_RUN_H
#define UF_HADES_RUN_H

#include "core/search/hades_search.h"
#include "core/search/search_run.h"

extern const UfSearchKind hd_kind;

// ---- datasets ----

// The configuration that a distilled file carries, or the defaults for its environment.
UfStatus hd_config_of(HdConfig** out, const UfDistilled* data);

// Policies cloned from data, as lines of text: mean return over initial weights, its deviation, the least. controls: also
// from the same rows with states of 0, and with labels dealt to others' states.
typedef struct HdTryOptions {
    HdRateOptions rate;  // config
    bool controls;
} HdTryOptions;
UfStatus hd_try(const UfDistilled* data, const HdTryOptions* options, UfText* report);

// Policies cloned from data by configuration `config` as it is, then with each value of each axis in turn, the others as
// they are: a line of text each.
UfStatus hd_vary(const UfDistilled* data, const HdConfig* config, const UfAxes* axes,
                 const HdRateOptions* rate, UfText* report);

#endif
