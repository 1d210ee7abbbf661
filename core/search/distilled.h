// distilled.h: a distilled dataset, in memory and as a file of D4RL's layout that any training reads.
//
// The file: observations (D, S) in the environment's own units, actions (D, A) in [-1, 1]'s units as evolved, not
// clipped, or (D) kinds with attribute num_actions; rewards 0; terminals 1, so that each row is an episode of one step, and
// next_observations its own, which no one asks for but without which readers drop the last row. Labels that are distributions over kinds are stored as their likeliest kind, and whole as
// distilled/labels (D, A).
// tasks/<i>/{mean, divisor} of a merged dataset, attributes env_id, obs_dim, action_dim, first_obs: of each task that the
// rows are for, which columns are its own and how its observations are normalised.
// normalization/{mean, divisor} (S): a policy sees (observation - mean) / divisor. Where they are, dataset.c takes them in
// place of the statistics of the rows, which two rows do not have: a policy trained from the file alone sees what those
// of the search saw.
// distilled/states (D, S): the states to the bit, which observations lose by a rounding; both are checked against each other.
// Attributes: env_id, recipe, seed; kind "distilled"; config (the search's, JSON); fitness, generation.
#ifndef UF_DISTILLED_H
#define UF_DISTILLED_H

#include "core/core.h"

typedef struct UfDistilledTask {
    char* env_id;
    int obs_dim, action_dim, first_obs;  // its actions are the first of all
    float *mean, *divisor;               // (obs_dim): what networks see is (observation - mean) / divisor
} UfDistilledTask;

typedef struct UfDistilled {
    int rows, obs_dim, action_dim;  // D, S, A
    bool discrete;
    float* states;          // (D, S) as networks see them: normalised
    float* labels;          // (D, A): actions, or a distribution over kinds (mostly one-hot)
    float *mean, *divisor;  // (S): states = (observation - mean) / divisor
    int num_tasks;          // that were merged.   0: it is of one task, all of it
    UfDistilledTask* tasks;
    char* env_id;  // "" for images; of merged tasks "a+b"
    char* recipe;  // how it was made
    char* config;  // of the search, JSON; "" if there was none
    uint64_t seed;
    double fitness;  // of the search's mean at the end; NaN: unknown
    int64_t generation;
} UfDistilled;

UfStatus uf_distilled_create(UfDistilled** out, int rows, int obs_dim, int action_dim, bool discrete);
UfStatus uf_distilled_write(const UfDistilled* data, const char* path);
// Errors: UF_ERR_IO, UF_ERR_FORMAT (an ordinary dataset: kind is missing).
UfStatus uf_distilled_read(UfDistilled** out, const char* path);
bool uf_is_distilled(const char* path);
void uf_distilled_free(UfDistilled* data);

// Nearest to mean + divisor * state.
float uf_distilled_observation(const UfDistilled* data, int row, int column);
// The likeliest kind of a row of discrete actions, the first of several.
int uf_distilled_kind(const UfDistilled* data, int row);
// Whether each row names one kind, as no distribution does. False where actions are continuous.
bool uf_distilled_is_hard(const UfDistilled* data);

// Which columns are those of an environment; the task belongs to data. env NULL: the only one.
// Errors: UF_ERR_CONFIG (none of it, several and none said).   Nullable: env
UfStatus uf_distilled_task(const UfDistilled* data, const char* env, UfDistilledTask* out);

// Rows of several datasets below each other, for one policy of several tasks; env_ids: "a+b". Actions (or kinds) share
// columns, padded with zeros to the most. So do states, and then mean is 0 and divisor 1: observations are what networks
// see, each task normalised by its own. With `apart` each task's observations have columns of their own, in its units, and
// the states of the others are 0 there.
// Errors: UF_ERR_ARGUMENT (discrete and continuous ones together).
UfStatus uf_distilled_merge(UfDistilled** out, const UfDistilled* const* parts, int num_parts, bool apart);

// Draws all of it: each row as its environment looks (with its action), or as a table of observations where there is
// nothing to draw. The ending of path: .png, .svg or .pdf.   Errors: UF_ERR_UNSUPPORTED without cairo.
UfStatus uf_distilled_show(const UfDistilled* data, const char* path);
// The same as text: a table of at most `max_columns` observations.
UfStatus uf_distilled_describe(const UfDistilled* data, int max_columns, char** text);

#endif
