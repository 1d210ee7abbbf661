// normals.h: many standard normals at once, counted as Philox's blocks are.
#ifndef UF_NORMALS_H
#define UF_NORMALS_H

#include <stdint.h>

// The words of UF_NORMAL_LANES blocks make a chunk.
enum { UF_NORMAL_LANES = 16, UF_NORMAL_CHUNK = 4 * UF_NORMAL_LANES };

// z (chunks, 4, UF_NORMAL_LANES): the four normals of block `block` + k UF_NORMAL_LANES + i of (seed, stream, update) lie
// at z[k][.][i]: two pairs by Box-Muller, uf_normal_pair's but for rounding.
void uf_normals(uint64_t seed, uint32_t stream, uint64_t update, uint64_t block, int chunks, float* z);

#endif
