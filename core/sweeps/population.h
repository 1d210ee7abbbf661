// population.h: which runs may train as one population, and how many of them are worth it on this machine.
#ifndef UF_POPULATION_H
#define UF_POPULATION_H

#include "core/config.h"

typedef struct UfPopulationChoice {
    int members;
    size_t bytes;   // that a member takes
    char why[320];  // for the user
} UfPopulationChoice;

// On the CPU a population trains as fast as its members would side by side, a thread each, so that more members than
// threads gain nothing and put off the first results. As many as that, then, but no more than fit into half of the
// memory that is free, with the dataset, in each of `jobs` processes.   Errors: UF_ERR_CONFIG, UF_ERR_MEMORY.
UfStatus uf_population_choose(UfPopulationChoice* out, const UfConfig* config, int obs_dim, int action_dim,
                              size_t dataset_bytes, int threads, int jobs);

// Bytes that may still be taken: what the kernel calls available, or what the control group leaves. 0: not known.
size_t uf_free_memory(void);
// Bytes of the largest cache of the first core. 0: not known.
size_t uf_cache_bytes(void);

#endif
