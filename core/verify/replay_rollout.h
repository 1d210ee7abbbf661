// replay_rollout.h: the rollout step of a recorded world model (kind dynamics) through the op that trains, in
// the precision of this compilation of it.
#ifndef UF_REPLAY_ROLLOUT_H
#define UF_REPLAY_ROLLOUT_H

#include "core/core.h"

typedef struct UfReplayedNumbers {
    double max_error;  // |ours - expected|; NaN where ours is no number
    double max_value;  // |expected|
} UfReplayedNumbers;

typedef struct UfReplayRollout {
    int64_t num_rows, num_wrong_done;
    UfReplayedNumbers next_obs, reward, disagreement;
    double rounding;  // of the backend's products
} UfReplayRollout;

// rollout/{obs,action,elite,noise} with the parameters of `after`, the elites in the recorded order, and
// step_penalty_coef and termination of the recorded configuration.
// Errors: UF_ERR_FORMAT (names what is missing or of another size), UF_ERR_CONFIG (termination).
// float32: on a device ("cpu", "cuda", "auto") in a precision, both as in the hyperparameters.   Nullable: precision
UfStatus uf_replay_rollout(const char* path, const char* device, const char* precision, UfReplayRollout* out);
UfStatus uf_replay_rollout_double(const char* path,
                                  UfReplayRollout* out);  // the same sources with UF_REAL=double

#endif
