// es.h: what the library itself wants of evolution strategies beside the public part (unifloral.h): noise that was
// recorded, and checkpoints.
#ifndef UF_ES_H
#define UF_ES_H

#include "core/data/h5.h"

// ---- noise from outside: `unifloral verify` of kind es-steps ----

int uf_es_num_noise(const UfEs* es);  // rows of noise of a generation: popsize / 2 (OpenES) or popsize (SNES)
// Candidates (popsize, dims) from standard normals noise (uf_es_num_noise, dims), in place of those that seed and
// generation give.
void uf_es_ask_with(const UfEs* es, const float* noise, float* x);
UfStatus uf_es_tell_with(UfEs* es, const float* noise, const double* fitness);
// What the search knows, (dims) each: Adam's moments of OpenES, and its learning rate.
const double* uf_es_adam_m(const UfEs* es);
const double* uf_es_adam_v(const UfEs* es);
double uf_es_lr(const UfEs* es);
// fitness (popsize) as the update uses it: after sign and shaping. SNES: weights by rank, best first.
void uf_es_shape(const UfEs* es, const double* fitness, double* shaped);
void uf_es_rank_weights(const UfEs* es, double* weights);

// `unifloral verify` of kind es-steps: its lines as text (free with uf_free) and whether all passed.
UfStatus uf_verify_es_steps(const char* path, char** report, bool* passed);

// ---- checkpoints ----

// Everything that goes on with the search, in a group of an open file: "es/mean", ... `group`: "es".
UfStatus uf_es_save(const UfEs* es, const UfH5* h5, const char* group);
// Into a search of the same options.   Errors: UF_ERR_FORMAT (other dimensions; the dataset is named).
UfStatus uf_es_load(UfEs* es, const UfH5* h5, const char* group);

#endif
