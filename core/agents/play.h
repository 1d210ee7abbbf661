// play.h: episodes of an agent's actors in a built-in environment on the device that it trains on.
#ifndef UF_PLAY_H
#define UF_PLAY_H

#include "core/agents/agent.h"
#include "core/agents/evaluate.h"

// Whether they can be played there, and it is another than the host: else evaluate.h is the way.
bool uf_plays_apart(UfAgent* agent, const UfEnvSpec* spec);

// out (P): what uf_evaluate says of each member's present actor for seeds[p], in fp32 whatever the agent's precision. On
// the agent's device, whatever that is; there the last bits of an action may be others, which a chaotic environment
// lets grow. Nothing visits the host within a few hundred steps.   Errors: UF_ERR_ARGUMENT, UF_ERR_UNSUPPORTED (not
// built in, or an actor too wide), UF_ERR_MEMORY, UF_ERR_DEVICE. Then nothing is in out.
UfStatus uf_play(UfEvaluation* out, UfAgent* agent, const UfEnvSpec* spec, int64_t num_episodes,
                 const uint64_t* seeds, bool deterministic);

#endif
