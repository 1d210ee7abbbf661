// synth_init.h: what init_from does to a fresh agent: its networks learn the rewards of a synthetic bandit.
//
// Actors learn to act so that the reward is large at the bandit's contexts, by its gradient; of kinds of action by the
// expectation over all. Where the reward is a Q function critics learn it too, at random actions and the policy's, and a value
// function what it says of the policy's. All by the ops of an update, on any device; then targets are copies.
#ifndef UF_SYNTH_INIT_H
#define UF_SYNTH_INIT_H

#include "core/agents/agent.h"

// init_steps steps of all members. What member p becomes depends on its configuration and seed alone. note: what came of it,
// of the first member, a line.
// Errors: UF_ERR_CONFIG (the bandit has other sizes, stands for another environment, or is of another discount than gamma),
// UF_ERR_FORMAT (what the file says), UF_ERR_NONFINITE, UF_ERR_MEMORY.
UfStatus uf_synth_init(UfAgent* agent, char* note, size_t note_bytes);

#endif
