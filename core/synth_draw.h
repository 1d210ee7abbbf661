#ifndef TMP
#define TMP
#include "synth.h"
static inline UfStatus uf_synth_draw(const SeEnv* env, const UfEnvSpec* spec, uint64_t seed, const char* path){(void)env;(void)spec;(void)seed;(void)path;return UF_FAIL(UF_ERR_UNSUPPORTED,"no picture yet");}
#endif
