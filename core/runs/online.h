// online.h: training from nothing: an environment, the buffer that its transitions fill, and updates in step
// with it; and the datasets that such a run leaves.
//
// Before update k the environment has made start_steps + k / updates_per_step + 1 steps (uf_online_steps): the
// first start_steps with uniform actions, the others with the policy of that moment, sampled if it is stochastic,
// plus exploration_noise. Each step depends on the seed, its number and the parameters alone.
#ifndef UF_ONLINE_H
#define UF_ONLINE_H

#include "core/config.h"
#include "core/core.h"

typedef struct UfOnline UfOnline;

// Reserves a buffer with room for every step of the run: nothing is ever overwritten.
UfStatus uf_online_create(UfOnline** out, const UfConfig* config);
void uf_online_free(UfOnline* online);
// The transitions so far, all of them rows. A time-out is no terminal: its next observation is stored and is
// bootstrapped from. Belongs to `online`.
UfDataset* uf_online_buffer(UfOnline* online);
// Environment steps that num_updates updates take.
int64_t uf_online_steps(const UfConfig* config, int64_t num_updates);

// Steps in which the simulation diverged, in this process. Such a step is no transition: it is left out of the
// buffer and of the count of steps, and its episode ends before it, as by a time-out. Where it is the first of
// an episode training ends with UF_ERR_NONFINITE.
int64_t uf_online_num_diverged(const UfOnline* online);

// The first start_steps steps; then the buffer's statistics are known, and an agent can be made for it.
UfStatus uf_online_start(UfOnline* online);
// uf_train with an environment step before each updates_per_step updates. Resumable.   Nullable: on_update, user
UfStatus uf_online_train(UfOnline* online, UfAgent* agent, int64_t num_updates, UfUpdateFn* on_update,
                         void* user);
// The buffer as a dataset in D4RL layout.
UfStatus uf_online_save(const UfOnline* online, const char* path);
// Takes the first num_steps rows of such a file and replays the last episode, so that its environment stands
// where it stood. Errors: UF_ERR_FORMAT (of another run, or the environment does not do the same any more).
UfStatus uf_online_load(UfOnline* online, const char* path, int64_t num_steps);

// Files of a run folder.
#define UF_ONLINE_BUFFER "buffer.hdf5"
#define UF_ONLINE_MEDIUM "medium.h5"        // checkpoint of the first evaluation that reached medium_score
#define UF_ONLINE_BEST "best.h5"            // of the best evaluation
#define UF_ONLINE_CANDIDATE "candidate.h5"  // of the evaluation under way, which may become one of these

// Makes <env>-medium-replay.hdf5 (the buffer up to the medium checkpoint, or all of it), -medium (num_steps of its
// policy, sampled), -expert (num_steps of the best policy's mean) and -medium-expert (num_steps of each) in a
// folder. A file that is there is kept. *report: a line for each (free with uf_free).
typedef struct UfOnlineDatasets {
    const char *run, *output;  // folders
    int64_t num_steps;
    int num_threads;
} UfOnlineDatasets;
UfStatus uf_online_datasets(const UfOnlineDatasets* options, char** report);

#endif
