// synth_rules.h: how synthetic environments draw latents and end episodes, for C and CUDA: synthenv.c and synthenv.cu.
#ifndef UF_SYNTH_RULES_H
#define UF_SYNTH_RULES_H

#include "synthenv.h"
#include "core/philox.h"

#ifdef __cplusplus
extern "C" {
#endif

static inline UF_HD bool uf_synth_is_one_hot(int latent) {
    return latent == SE_CATEGORICAL || latent == SE_SOFTMAX;
}

// Blocks of Philox that a copy has a step: of four numbers each, or one for the place of the 1.
static inline UF_HD int uf_synth_blocks(int latent, int L) {
    return uf_synth_is_one_hot(latent) ? 1 : (L + 3) / 4;
}

// The first of those of a copy.
static inline UF_HD uint64_t uf_synth_first_block(int latent, int L, uint64_t copy) {
    return copy * (uint64_t)uf_synth_blocks(latent, L);
}

static inline UF_HD UfPhilox uf_synth_words(uint64_t seed, uint64_t step, uint64_t block) {
    return uf_philox(seed, UF_STREAM_SYNTH_LATENT, step, block);
}

// The number at which the sum of probabilities passes u; of exp(-i) it is (1 - exp(-i)) / (1 - exp(-L)).
static inline UF_HD int uf_synth_one_hot(int latent, int L, UfPhilox w) {
    const double u = uf_uniform_double(w.v[0], w.v[1]);
    const int i = (int)(latent == SE_CATEGORICAL ? u * L : -log1p(u * expm1(-(double)L)));
    return i < L ? i : L - 1;
}

// Whether the step that follows `steps` of an episode is its last.
static inline UF_HD bool uf_synth_is_last(int32_t steps, int max_steps) { return steps + 1 >= max_steps; }

#ifdef __cplusplus
}
#endif

#endif
