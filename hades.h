// hades.h: behaviour distillation: a handful of state-action pairs on which behaviour cloning trains a good policy.
//
// An evolution strategy (unifloral.h) proposes datasets; of each, policies are cloned from fresh weights and play; what
// they earn is its fitness. No expert, no gradient through the cloning. The result is an ordinary dataset: uf_dataset_open
// reads it, uf_train learns from it, with any network.
// Source: Lupu, Lu, Liesen, Lange, Foerster, "Behaviour Distillation", ICLR 2024 (arXiv 2406.15042). docs/deviations.md
// says where this differs. Link and rules of the house: unifloral.h.
//
//   HdConfig* config; HdSearch* search; HdGeneration g;
//   hd_config_create(&config); hd_config_set(config, "env", "CartPole-v1");
//   hd_search_create(&search, config);
//   for (int i = 0; i < 40; i++) hd_search_step(search, &g);
//   hd_search_write(search, "distilled.hdf5");
#ifndef HADES_H
#define HADES_H

#include "unifloral.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct HdConfig HdConfig;  // the hyperparameters of `unifloral hades --help`
typedef struct HdSearch HdSearch;

// The same five as those of UfConfig (unifloral.h).
UF_API UfStatus hd_config_create(HdConfig** out);
UF_API UfStatus hd_config_load(HdConfig* config, const char* path);
UF_API UfStatus hd_config_set(HdConfig* config, const char* name, const char* value);
UF_API UfStatus hd_config_json(const HdConfig* config, char** json);  // free with uf_free
UF_API void hd_config_free(HdConfig* config);

// What a generation came to: fitness over its candidates, mean returns of an episode (or of images mean losses, and best
// is the least).
typedef struct HdGeneration {
    int64_t generation;      // told so far
    double mean, best, std;  // over the candidates whose fitness is finite
    double best_ever;
    int64_t num_nonfinite;  // candidates of the whole search whose fitness was not finite: they ranked last
    int64_t num_networks;   // cloned in this generation by this process
    int64_t num_steps;      // of environments, likewise
    double seconds;
} HdGeneration;

// A search at its beginning; nothing is evaluated yet. config is copied.
// Errors: UF_ERR_CONFIG, UF_ERR_ARGUMENT (no such environment), UF_ERR_UNSUPPORTED (not in this build), UF_ERR_MEMORY,
// and of images and statistics UF_ERR_IO and UF_ERR_FORMAT.
UF_API UfStatus hd_search_create(HdSearch** out, const HdConfig* config);
// One generation. Its numbers depend on the configuration alone, not on threads.   Nullable: out
// Errors: UF_ERR_NONFINITE (no candidate has a fitness), UF_ERR_DEVICE.
UF_API UfStatus hd_search_step(HdSearch* search, HdGeneration* out);
// The evolution strategy inside: mean, sigma, best candidate. A candidate is labels (if they evolve), then states, each
// row by row; or the weights. Belongs to the search.
UF_API const UfEs* hd_search_es(const HdSearch* search);
// Writes the search's mean as a dataset.   Errors: UF_ERR_UNSUPPORTED (weights evolve), UF_ERR_IO.
UF_API UfStatus hd_search_write(HdSearch* search, const char* path);
// Everything that goes on with the search (HDF5; written beside, flushed, renamed), and a search from it, which ends in
// the bits of one that was never saved.
UF_API UfStatus hd_search_save(const HdSearch* search, const char* path);
UF_API UfStatus hd_search_load(HdSearch** out, const char* path);
UF_API void hd_search_free(HdSearch* search);

#ifdef __cplusplus
}
#endif
#endif
