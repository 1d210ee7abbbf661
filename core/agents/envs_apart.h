// envs_apart.h: how agents of a device meet their environments: what all members exchange in a step, side by side, whether
// environments live on the device too or on the host.
#ifndef UF_ENVS_APART_H
#define UF_ENVS_APART_H

#include "core/agents/train_envs.h"
#include "core/reserved.h"

// What P members' N environments take and give. action: reals, or kinds as u8; obs: reals, or bytes.
typedef struct UfExchange {
    void *action, *obs;  // (P, N, .)
    real* reward;        // (P, N)
    uint8_t *terminated, *truncated;
} UfExchange;

typedef struct UfApart {
    UfBackend* backend;
    UfTrainSpace space;
    int P, N, items;    // numbers that an action is stored as
    UfExchange there;   // on the device
    UfExchange here;    // the same on the host, for environments that live there; without truncated
    real* host_action;  // (P, N, items): kinds as environments of the host take them.   Nullable: of numbers
    UfOutcome* outcomes;  // (P) of a step on the host
    UfTrainEnvs* moved;   // the environments that the device has.   Nullable
} UfApart;

// Room on both sides; that of the device belongs to `reserved`, whose backend it is.   Errors: UF_ERR_MEMORY
UfStatus uf_apart_create(UfApart* apart, UfReserved* reserved, const UfTrainSpace* space, int P, int N);
void uf_apart_free(UfApart* apart);  // what is on the host; also of zeros

// The environments from now on. Those that a device can have move there. *changed: they are others than before.
UfStatus uf_apart_meet(UfApart* apart, UfTrainEnvs* envs, bool* changed);
// Of environments that moved nothing is waited for; the others are stepped on the host: actions come down and observations
// go up, of all members, which the backend's threads share.
UfStatus uf_apart_reset(UfApart* apart, UfTrainEnvs* envs,
                        void* obs);                         // (P, N, .) on the device: first observations
UfStatus uf_apart_step(UfApart* apart, UfTrainEnvs* envs);  // by there.action, into the rest of `there`
// truncated of the last step. NULL: all ends are in `terminated`.
static inline const uint8_t* uf_apart_truncated(const UfApart* apart) {
    return apart->moved ? apart->there.truncated : NULL;
}

#endif
