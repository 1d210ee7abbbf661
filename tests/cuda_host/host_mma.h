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
inline float uf_rsqrt(float x) { return 1 / std::sqrt(x); }

// A copy is done when its thread waits for it; until then NaN is there, so that a wait too few is seen, and what is begun
// too early.
struct UfHostCopy {
    float* to;
    const float* from;
    int count;  // numbers
    bool is_real;
};
void uf_host_begin_copy(const UfHostCopy& copy);
bool uf_host_next_copy(int later, UfHostCopy* out);  // of the thread's oldest groups but the last `later`
void uf_commit_copies();

template <int BYTES>
inline void uf_copy_async(float* to, const float* from, bool is_real) {
    const UfHostCopy copy = {to, from, BYTES / 4, is_real};
    for (int i = 0; i < copy.count; i++) to[i] = __uint_as_float(0x7FA5A5A5);
    uf_host_begin_copy(copy);
}
template <int LATER>
void uf_wait_copies() {
    UfHostCopy copy;
    while (uf_host_next_copy(LATER, &copy))
        for (int i = 0; i < copy.count; i++) copy.to[i] = copy.is_real ? copy.from[i] : 0;
}

// Phases: bytes of a copy come when somebody waits for their phase, until then NaN is there.
typedef unsigned long long UfPhase;
void uf_phase_begin(UfPhase* phase, int count);
void uf_phase_arrive(UfPhase* phase);
void uf_phase_expect(UfPhase* phase, int bytes);
void uf_phase_wait(UfPhase* phase, int parity);
void uf_copy_bulk(void* to, const void* from, int bytes, UfPhase* phase);

// Products of a warpgroup are made when a thread waits for them: b is read then, and d is NaN until all are.
struct UfHostMatrix {
    const unsigned char* at;
    int along_n, along_k;
};
void uf_wgmma_begin();
void uf_wgmma_commit();
// a null: `transpose` is in its place.
void uf_host_wgmma(float* d, const uint32_t* a, UfHostMatrix transpose, UfHostMatrix b, bool rows_are_k,
                   bool adds);
void uf_host_wgmma_wait(int later);
template <int COUNT, bool MORE>
void uf_take_registers() {}
template <int LATER>
void uf_wgmma_wait() {
    uf_host_wgmma_wait(LATER);
}
template <bool ROWS_ARE_K>
UfHostMatrix uf_wgmma_matrix(const void* at, int along_n, int along_k) {
    return UfHostMatrix{static_cast<const unsigned char*>(at), along_n, along_k};
}
template <bool ROWS_ARE_K>
void uf_wgmma(float (&d)[128], const uint32_t (&a)[4], UfHostMatrix b, bool adds) {
    uf_host_wgmma(d, a, UfHostMatrix{}, b, ROWS_ARE_K, adds);
}
inline void uf_wgmma_of_transpose(float (&d)[128], UfHostMatrix a, UfHostMatrix b, bool adds) {
    uf_host_wgmma(d, nullptr, a, b, true, adds);
}

uint32_t uf_round_tf32(float x);
uint32_t uf_pack_bf16(float low, float high);
// Products of what tensor cores see of the operands, summed in double: they keep more bits than float between the terms
// of one instruction, and round once.
void uf_mma_tf32(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
void uf_mma_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

#endif
