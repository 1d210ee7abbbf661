// mujoco.h: the MuJoCo tasks, for the table of environments and for the check against recorded trajectories.
#ifndef UF_MUJOCO_H
#define UF_MUJOCO_H

#include "core/envs/envs.h"

typedef enum UfMujocoModel {
    UF_MUJOCO_HOPPER,
    UF_MUJOCO_HALFCHEETAH,
    UF_MUJOCO_WALKER2D,
    UF_MUJOCO_ANT,
    UF_MUJOCO_INVERTEDPENDULUM,
    UF_MUJOCO_NUM_MODELS,
} UfMujocoModel;

// `details` of a row of the table. Legacy: masses and inertias as MuJoCo computed them when D4RL's data were
// made.
typedef struct UfMujocoKind {
    UfMujocoModel model;
    bool legacy;
} UfMujocoKind;

#ifndef UF_NO_MUJOCO
#include <mujoco/mujoco.h>

// The simulation behind an environment, to read; between steps it is where mj_step left it.
const mjModel* uf_mujoco_model(const UfEnv* env);
const mjData* uf_mujoco_data(const UfEnv* env);
int uf_mujoco_frame_skip(const UfEnv* env);
// What reset, step and observe do, in double precision. place: reset to this position and velocity; torso_x:
// where the torso's pose lies behind, as it does after a step.   Nullable: torso_x
void uf_mujoco_place(UfEnv* env, const double* qpos, const double* qvel, const double* torso_x);
void uf_mujoco_step(UfEnv* env, const double* action, double* reward, bool* terminated);
void uf_mujoco_observe(const UfEnv* env, double* obs);

// The model of a task with more MJCF at its end, for pictures; it is the caller's.
UfStatus uf_mujoco_model_to_draw(mjModel** out, const UfEnvSpec* spec, const char* more);
// Whether a call into the library came to its end; if not, the message says why. An environment has been made before.
bool uf_mujoco_guarded(void (*call)(void* argument), void* argument);
const char* uf_mujoco_message(void);
#endif

#endif
