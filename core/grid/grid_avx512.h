// grid_avx512.h: whether the fast versions for AVX-512 with VBMI are compiled, and as what.
#ifndef NX_GRID_AVX512_H
#define NX_GRID_AVX512_H

// Not under the sanitizers: wide loads read beyond a map, and drop what they read there.
#if defined(__x86_64__) && !defined(UF_NO_CLONES)
#include <immintrin.h>
#define NX_HAS_AVX512 1
#define NX_USES_AVX512 \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,bmi,bmi2,lzcnt,popcnt")))
#endif

#endif
