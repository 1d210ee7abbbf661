// policy.h: acting in [-1, 1] whatever the units of the dataset's actions, for evaluation.
#ifndef UF_POLICY_H
#define UF_POLICY_H

#include <stdbool.h>

#include "unifloral.h"

// Copies the actor's present parameters of the agent that the policy was made of.
UfStatus uf_policy_refresh(UfPolicy* policy, const UfAgent* agent, int member);
// uf_policy_act without the scaling to the dataset's units.
UfStatus uf_policy_act_normalised(const UfPolicy* policy, float* actions, const float* obs, int64_t n,
                                  const float* noise);

#endif
