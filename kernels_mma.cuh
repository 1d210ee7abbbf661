// kernels_mma.cuh: what C++ has no words for on the device: tensor cores, their number formats, shared memory whose
// size is chosen at launch, copies to it that go on by themselves, arrivals of bytes there, and stores that may meet. Each
// is one function; on the host (tests/cuda_host) a twin takes its place.
//
// Fragments of a product c += a b of 16 x K by K x 8 in a warp, as the PTX manual lays them out. With g = lane / 4 and
// t = lane % 4: c[0], c[1] are row g, columns 2t and 2t + 1; c[2], c[3] the same of row g + 8. tf32 (K = 8): a[0] is row
// g, a[1] row g + 8 of slot t, a[2], a[3] those of slot t + 4; b[0], b[1] are slots t and t + 4 of column g. bf16
// (K = 16): two slots a word, the first in its low half; words of slots 2t and 2t + 1, then 2t + 8 and 2t + 9.
#ifndef UF_KERNELS_MMA_CUH
#define UF_KERNELS_MMA_CUH

#ifdef UF_HOST_CUDA
#include "tests/cuda_host/host_mma.h"
#else
#include <cuda_runtime.h>

#include <cstdint>

// The block's own memory: as many bytes as its launch gave it, aligned for float4.
__device__ inline float* uf_shared_memory() {
    extern __shared__ float4 uf_shared_bytes[];
    return &uf_shared_bytes[0].x;
}

// Begins to copy BYTES (4, 8 or 16) to shared memory, or zeros where not is_real. A thread's copies since its last
// uf_commit_copies are a group; uf_wait_copies waits for all its groups but the last LATER. Others see them behind a barrier.
template <int BYTES>
__device__ inline void uf_copy_async(float* to, const float* from, bool is_real) {
    const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(to));
    const int zeros = !is_real;
    if constexpr (BYTES == 16)  // past the first cache
        asm volatile(
            "{.reg .pred p; setp.ne.s32 p, %2, 0; cp.async.cg.shared.global.L2::128B [%0], [%1], 16, p;}" ::
                "r"(at),
            "l"(from), "r"(zeros)
            : "memory");
    else
        asm volatile(
            "{.reg .pred p; setp.ne.s32 p, %2, 0; cp.async.ca.shared.global [%0], [%1], %3, p;}" ::"r"(at),
            "l"(from), "r"(zeros), "n"(BYTES)
            : "memory");
}
__device__ inline void uf_commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int LATER>
__device__ inline void uf_wait_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(LATER) : "memory");
}

// An arrival is a place in shared memory, of sm_90 and later, that counts bytes as they come to the block: a phase of it
// ends when those that one thread expects have come, and is waited for by its parity, 0 first.
typedef unsigned long long UfArrival;

// By one thread, before a barrier of the block.
__device__ inline void uf_arrival_begin(UfArrival* arrival) {
#if __CUDA_ARCH__ >= 900
    const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(arrival));
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;\n\tfence.mbarrier_init.release.cluster;" ::"r"(at)
                 : "memory");
#endif
}
__device__ inline void uf_arrival_expect(UfArrival* arrival, int bytes) {
#if __CUDA_ARCH__ >= 900
    const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(arrival));
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(at), "r"(bytes) : "memory");
#endif
}
__device__ inline void uf_arrival_wait(UfArrival* arrival, int parity) {
#if __CUDA_ARCH__ >= 900
    const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(arrival));
    uint32_t done = 0;
    while (!done)
        asm volatile(
            "{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}"
            : "=r"(done)
            : "r"(at), "r"(parity)
            : "memory");
#endif
}

// Sets a flag that any thread may set while others do: the detector of races on the host lets this pass.
__device__ inline void uf_store_flag(int* at) { *at = 1; }

// Numbers that nobody writes while the kernel runs.
__device__ inline float uf_read(const float* at) { return __ldg(at); }
// 1/sqrt(x), to within two units of the last place.
__device__ inline float uf_rsqrt(float x) { return rsqrtf(x); }

// To the nearest number with 10 bits behind the point, of a half the greater: tensor cores do not look at what is behind
// those. One instruction of sm_90; cvt.rna.tf32 is the same of finite numbers, and three. Nor does this one make a number of
// the NaN that arithmetic gives, 0x7fffffff.
__device__ inline uint32_t uf_round_tf32(float x) {
    const int bits = __float_as_int(x);
    return static_cast<uint32_t>(__viaddmax_s32(bits, 0x1000, bits));
}

// Two numbers to the nearest with 7 bits behind the point.
__device__ inline uint32_t uf_pack_bf16(float low, float high) {
    uint32_t word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
}

__device__ inline void uf_mma_tf32(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ inline void uf_mma_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#endif
#endif
