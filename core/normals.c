// normals.c: see normals.h. With -ffp-contract=off (Makefile) and without functions of libm, whose last bits are not the
// same everywhere, the loops have the same bits for every instruction set they are compiled for.
#include "core/normals.h"

#include <math.h>

#include "kernels_cpu.h"
#include "core/philox.h"

// -2 ln u and the root of it, for u in (0, 1). ln by Cephes's polynomial (Moshier, logf.c): relative error below 1e-7.
INLINE float normal_radius(float u) {
    union {
        float f;
        int32_t i;
    } bits = {u};
    // u = x 2^e with x in [sqrt(1/2), sqrt(2))
    const int32_t e = (bits.i - 0x3F3504F3) >> 23;
    bits.i -= (int32_t)((uint32_t)e << 23);
    const float x = bits.f - 1, k = (float)e, z = x * x;
    float p = 7.0376836292e-2f;
    p = p * x - 1.1514610310e-1f;
    p = p * x + 1.1676998740e-1f;
    p = p * x - 1.2420140846e-1f;
    p = p * x + 1.4249322787e-1f;
    p = p * x - 1.6668057665e-1f;
    p = p * x + 2.0000714765e-1f;
    p = p * x - 2.4999993993e-1f;
    p = p * x + 3.3333331174e-1f;
    const float ln = x - 0.5f * z + (p * x * z + k * -2.12194440e-4f) + k * 0.693359375f;
    return sqrtf(-2 * ln);
}

// Cosine and sine of the angle that the upper 23 bits of a word name, as a share of a turn: an octant by the bits, then
// Cephes's polynomials up to pi / 4.
INLINE void turn(uint32_t word, float* cosine, float* sine) {
    const int32_t n = (int32_t)(word >> 9), quarter = (n + (1 << 20)) >> 21;
    const float t = ((float)(n - quarter * (1 << 21)) + 0.5f) * (6.28318530717958647692f / 8388608),
                z = t * t;
    const float c = 1 - 0.5f * z +
                    z * z * ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f),
                s = t + t * z * ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f);
    const float a = quarter & 1 ? s : c, b = quarter & 1 ? c : s;
    *cosine = (quarter + 1) & 2 ? -a : a;
    *sine = quarter & 2 ? -b : b;
}

CLONES static void fill(uint64_t seed, uint32_t stream, uint64_t update, uint64_t block, int chunks,
                        float* restrict z) {
    for (int k = 0; k < chunks; k++, z += UF_NORMAL_CHUNK, block += UF_NORMAL_LANES) {
#pragma omp simd
        for (int i = 0; i < UF_NORMAL_LANES; i++) {
            const UfPhilox w = uf_philox(seed, stream, update, block + (uint64_t)i);
            const float r = normal_radius(uf_uniform(w.v[0])), q = normal_radius(uf_uniform(w.v[2]));
            float c, s, d, t;
            turn(w.v[1], &c, &s);
            turn(w.v[3], &d, &t);
            z[i] = r * c;
            z[i + UF_NORMAL_LANES] = r * s;
            z[i + 2 * UF_NORMAL_LANES] = q * d;
            z[i + 3 * UF_NORMAL_LANES] = q * t;
        }
    }
}

void uf_normals(uint64_t seed, uint32_t stream, uint64_t update, uint64_t block, int chunks, float* z) {
    fill(seed, stream, update, block, chunks, z);
}
