// replay.h: a recording through the train step of agent or world model, in the precision of this compilation of it.
#ifndef UF_REPLAY_H
#define UF_REPLAY_H

#include "core/core.h"

// What a double replay does to the numbers that go in: each is moved by up to `by` of itself, in each `way` by another part.
typedef struct UfMove {
    double by;
    int way;
} UfMove;

// One tensor after one step, or one loss of it ("losses/<name>": then allowed is relative to the loss),
// against the recording.
typedef struct UfReplayed {
    char tensor[64];
    int step;
    double max_error;                   // |ours - expected|; NaN where ours is no number
    double max_change;                  // |expected - expected before this step|
    double allowed;                     // 1e-6 + 2e-3 * max_change; of a loss 1e-5 + 2e-3 * |loss|
    int64_t num_elements, num_outside;  // outside: error > allowed
    double rms_error,
        rms_change;  // root mean squares over the tensor; of a loss or prediction: of error and itself
    double* moment;  // Adam's first, a mean of gradients (num_elements).   Nullable: of a target, of a loss
    double* ours;    // (num_elements), of a double replay.   Nullable: in float32
} UfReplayed;

typedef struct UfReplay {
    UfReplayed* tensors;  // free with uf_replay_free
    int num_tensors, num_steps;
    double rounding;                  // of the backend's products
    int actor_layers, critic_layers;  // hidden ones; value has those of critics
    bool is_ppo;                      // no critic is behind its actor, and ratios are clipped
    int action_dim;                   // of PPO, as its clip_eps
    double clip_eps;
    bool is_smooth;  // units of tanh: none switches
    UfMove move;
    uint64_t num_inputs;  // arrays that go in and were read
    bool single_inputs;   // some are stored in float32
} UfReplay;

// Harmless twice.
static inline void uf_replay_free(UfReplay* replay) {
    for (int i = 0; replay->tensors && i < replay->num_tensors; i++) {
        uf_free(replay->tensors[i].moment);
        uf_free(replay->tensors[i].ours);
    }
    uf_free(replay->tensors);
    replay->tensors = NULL;
}

// float32: what trains, on a device ("cpu", "cuda", "auto") in a precision, both as in the hyperparameters.
UfStatus uf_replay_update(const char* path, const char* device, const char* precision, UfReplay* replay);
// The same sources compiled with UF_REAL=double, as all that are called so.
UfStatus uf_replay_update_double(const char* path, UfMove move, UfReplay* replay);

// The training part of a recording of kind dynamics: its steps, predictions and elites.
UfStatus uf_replay_dynamics(const char* path, const char* device, const char* precision, UfReplay* replay);
UfStatus uf_replay_dynamics_double(const char* path, UfMove move, UfReplay* replay);

// One group of a recording of kind ppo-update: an iteration's values, advantages, losses and parameters.
UfStatus uf_replay_ppo(const char* path, const char* group, const char* device, const char* precision,
                       UfReplay* replay);
UfStatus uf_replay_ppo_double(const char* path, const char* group, UfMove move, UfReplay* replay);

// One group of a recording of kind bc-inner: losses before each step and parameters after the last.
UfStatus uf_replay_bc(const char* path, const char* group, const char* device, const char* precision,
                      UfReplay* replay);
UfStatus uf_replay_bc_double(const char* path, const char* group, UfMove move, UfReplay* replay);

#endif
