// synth_draw.h: a synthetic environment on one page.
#ifndef UF_SYNTH_DRAW_H
#define UF_SYNTH_DRAW_H

#include "core/synth/synth.h"

// Draws what it rewards: the best action and its reward over the two numbers of an observation that matter most, the others
// at their median; what the best action depends on; first observations beside the states that the best action visits in
// `spec`; its returns there, and one episode. What is drawn at random depends on seed alone, episodes as those of
// uf_synth_play.   The ending of path (.png, .svg, .pdf) decides the format.
// Nullable: spec: nothing is played.   Errors: UF_ERR_ARGUMENT (sizes, kind or bounds of actions of spec; the ending),
// UF_ERR_NONFINITE (observations, rewards), UF_ERR_UNSUPPORTED (spec is not in this build; built without cairo), UF_ERR_IO,
// UF_ERR_MEMORY.
UfStatus uf_synth_draw(const SeEnv* env, const UfEnvSpec* spec, uint64_t seed, const char* path);

#endif
