// host_mma.h: stands for kernels_mma.cuh where the kernels are compiled for the host; see host_cuda.cpp.
#ifndef UF_HOST_MMA_H
#define UF_HOST_MMA_H

#include <cmath>
#include <cstdint>
#include <cstring>

#include "cuda_runtime.h"

// Exactly the bytes of the launch, so that the address sanitizer sees what lies beyond.
float* uf_shared_memory();

__attribute__((no_sanitize("thread"))) inline void uf_store_flag(int* at) {
    uf_races_joint_write(at, sizeof *at);
    *at = 1;
}

inline float uf_read(const float* at) { return *at; }
inline float4 uf_read4(const float* at) { return *reinterpret_cast<const float4*>(at); }
inline float uf_rsqrt(float x) { return 1 / std::sqrt(x); }

uint32_t uf_round_tf32(float x);
uint32_t uf_pack_bf16(float low, float high);
// Products of what tensor cores see of the operands, summed in double: they keep more bits than float between the terms
// of one instruction, and round once.
void uf_mma_tf32(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
void uf_mma_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

#endif
