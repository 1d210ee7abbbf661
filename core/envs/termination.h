// termination.h: termination rules of model rollouts, for C, C++ and CUDA.
//
// A rule says whether next_obs `z` (the mazes: obs) ends an episode. What is not finite ends every rule that
// looks at it. Source: unifloral termination_fns.py; the last five are the environments' own.
#ifndef UF_TERMINATION_H
#define UF_TERMINATION_H

#include "terms.h"
#include "unifloral.h"

typedef enum UfTermination {
    UF_TERMINATION_NEVER,
    UF_TERMINATION_HALF_CHEETAH,
    UF_TERMINATION_HOPPER,
    UF_TERMINATION_WALKER2D,
    UF_TERMINATION_ANT,
    UF_TERMINATION_HUMANOID,
    UF_TERMINATION_PEN,
    UF_TERMINATION_MAZE2D_OPEN,
    UF_TERMINATION_MAZE2D_UMAZE,
    UF_TERMINATION_MAZE2D_MEDIUM,
    UF_TERMINATION_MAZE2D_LARGE,
    UF_TERMINATION_INVERTED_PENDULUM,
    UF_TERMINATION_MOUNTAIN_CAR,
    UF_TERMINATION_MOUNTAIN_CAR_CONTINUOUS,
    UF_TERMINATION_CART_POLE,
    UF_TERMINATION_ACROBOT,
} UfTermination;

#ifdef __cplusplus
extern "C" {
#endif
// By name, of a task ("hopper") or of its datasets ("hopper-medium-v2"); unknown is an error that lists the
// known ones.
UfStatus uf_termination_rule(const char* name, UfTermination* rule);
// The name in the table that an environment, a dataset or its file has ("hopper" of "Hopper-v4"); "" if none.
const char* uf_termination_name(const char* name);
#ifdef __cplusplus
}
#endif

// Numbers that an observation must have for the rule to make sense.
static inline UF_HD int uf_termination_obs_dim(UfTermination rule) {
    switch (rule) {
        case UF_TERMINATION_PEN: return 27;
        case UF_TERMINATION_ACROBOT: return 4;
        case UF_TERMINATION_CART_POLE: return 3;
        case UF_TERMINATION_NEVER:
        case UF_TERMINATION_HALF_CHEETAH:
        case UF_TERMINATION_ANT:
        case UF_TERMINATION_HUMANOID: return 1;
        default: return 2;
    }
}

static inline UF_HD bool uf_all_below_100(const real* z, int count) {
    for (int i = 0; i < count; i++)
        if (!(fabs(z[i]) < 100)) return false;
    return true;
}

static inline UF_HD bool uf_all_finite(const real* z, int count) {
    for (int i = 0; i < count; i++)
        if (!uf_is_finite(z[i])) return false;
    return true;
}

static inline UF_HD bool uf_near(const real* obs, real x, real y) {
    return !(sqrt((obs[0] - x) * (obs[0] - x) + (obs[1] - y) * (obs[1] - y)) >= (real)0.5);
}

static inline UF_HD bool uf_terminates(UfTermination rule, const real* obs, const real* z, int obs_dim) {
    switch (rule) {
        case UF_TERMINATION_NEVER: return false;
        case UF_TERMINATION_HALF_CHEETAH: return !uf_all_below_100(z, obs_dim);
        case UF_TERMINATION_HOPPER:
            return !(uf_is_finite(z[0]) && uf_all_below_100(z + 1, obs_dim - 1) && z[0] > (real)0.7 &&
                     fabs(z[1]) < (real)0.2);
        case UF_TERMINATION_WALKER2D:
            return !(uf_all_below_100(z, obs_dim) && z[0] > (real)0.8 && z[0] < 2 && fabs(z[1]) < 1);
        case UF_TERMINATION_ANT: return !(uf_all_finite(z, obs_dim) && z[0] >= (real)0.2 && z[0] <= 1);
        case UF_TERMINATION_HUMANOID: return !(z[0] >= 1 && z[0] <= 2);
        case UF_TERMINATION_PEN: return !(z[26] >= (real)0.075);
        case UF_TERMINATION_MAZE2D_OPEN: return uf_near(obs, 2, 3);
        case UF_TERMINATION_MAZE2D_UMAZE: return uf_near(obs, 1, 1);
        case UF_TERMINATION_MAZE2D_MEDIUM: return uf_near(obs, 6, 6);
        case UF_TERMINATION_MAZE2D_LARGE: return uf_near(obs, 7, 9);
        case UF_TERMINATION_INVERTED_PENDULUM: return !(uf_all_finite(z, obs_dim) && fabs(z[1]) <= (real)0.2);
        case UF_TERMINATION_MOUNTAIN_CAR: return !(z[0] < (real)0.5 || z[1] < 0);
        case UF_TERMINATION_MOUNTAIN_CAR_CONTINUOUS: return !(z[0] < (real)0.45 || z[1] < 0);
        case UF_TERMINATION_CART_POLE: return !(fabs(z[0]) <= (real)2.4 && fabs(z[2]) <= (real)0.20943951);
        case UF_TERMINATION_ACROBOT: return !(-z[0] - (z[0] * z[2] - z[1] * z[3]) <= 1);
    }
    return false;
}

#endif
