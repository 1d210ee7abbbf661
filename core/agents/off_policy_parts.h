// off_policy_parts.h: agents' inside, for tests, which see it in double precision too (Makefile, double.o).
#ifndef UF_OFF_POLICY_PARTS_H
#define UF_OFF_POLICY_PARTS_H

#include "core/agents/off_policy.h"

enum { UF_OFF_ACTOR, UF_OFF_CRITIC, UF_OFF_ALPHA, UF_OFF_GROUPS };  // DQN has a critic alone

// The functions of off_policy.h, and arrays that belong to the agents.
typedef struct UfOffPolicyParts {
    UfStatus (*create)(UfOffPolicy** out, const UfOffPolicyConfig* configs, int population,
                       const UfTrainSpace* space, UfBackend* backend, int num_threads);
    void (*free)(UfOffPolicy* agents);
    UfStatus (*train)(UfOffPolicy* agents, UfTrainEnvs* envs, int64_t num_iterations);
    const UfMlp* (*mlp)(const UfOffPolicy* agents, int group);      // Nullable: what it returns, of alpha
    const UfGroup* (*group)(const UfOffPolicy* agents, int group);  // of all members; count 0: there is none
    const UfOffRing* (*ring)(const UfOffPolicy* agents);
} UfOffPolicyParts;

#ifdef UF_DOUBLE_COPY
#define uf_off_policy_parts uf_off_policy_parts_double
#endif
const UfOffPolicyParts* uf_off_policy_parts(void);
const UfOffPolicyParts* uf_off_policy_parts_double(void);  // whose real is double

#endif
