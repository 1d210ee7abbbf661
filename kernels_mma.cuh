// kernels_mma.cuh: what C++ has no words for on the device: tensor cores, their number formats, shared memory whose
// size is chosen at launch, copies to it that go on by themselves, phases that count what comes there, products of four
// warps, and stores that may meet. Each is one function; on the host (tests/cuda_host) a twin takes its place.
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

// A phase: a place in shared memory where arrivals and bytes of copies are counted. One ends when `count` threads have
// arrived and all bytes that were expected have come; then the next begins. uf_phase_wait waits for the end of the one
// of that parity: the first is 0, and before it 1 has ended.
typedef unsigned long long UfPhase;

#if defined __CUDA_ARCH__ && __CUDA_ARCH__ >= 900
#define UF_HOPPER(...) __VA_ARGS__
#else
#define UF_HOPPER(...)
#endif
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define UF_WGMMA
#endif

__device__ inline uint32_t uf_shared_address(const void* at) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(at));
}
// By one thread; the others may use them behind a barrier of the block.
__device__ inline void uf_phase_begin(UfPhase* phase, int count) {
    UF_HOPPER(
        asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n\tfence.mbarrier_init.release.cluster;" ::"r"(
                         uf_shared_address(phase)),
                     "r"(count)
                     : "memory");)
}
__device__ inline void uf_phase_arrive(UfPhase* phase) {
    UF_HOPPER(asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(uf_shared_address(phase))
                           : "memory");)
}
// Arrives, and says how many bytes are to come.
__device__ inline void uf_phase_expect(UfPhase* phase, int bytes) {
    UF_HOPPER(
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(uf_shared_address(phase)),
                     "r"(bytes)
                     : "memory");)
}
__device__ inline void uf_phase_wait(UfPhase* phase, int parity) {
    UF_HOPPER(
        uint32_t done = 0; while (!done) asm volatile(
            "{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}"
            : "=r"(done)
            : "r"(uf_shared_address(phase)), "r"(parity)
            : "memory");)
}
// Copies that a thread sends for whole, counted by a phase where they arrive: multiples of 16 bytes, aligned likewise.
__device__ inline void uf_copy_bulk(void* to, const void* from, int bytes, UfPhase* phase) {
    UF_HOPPER(
        asm volatile(
            "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                uf_shared_address(to)),
            "l"(from), "r"(bytes), "r"(uf_shared_address(phase))
            : "memory");)
}

// Products of a warpgroup, four warps side by side, of sm_90a alone: d (64, 256) += a b over 16 numbers of k in bf16. They
// go on by themselves: d and a are not to be touched from uf_wgmma_begin to the uf_wgmma_wait for their group. With g =
// lane / 4 and t = lane % 4 warp w has of d rows 16 w + g (d[4 j], d[4 j + 1]) and that + 8 (d[4 j + 2], d[4 j + 3]),
// columns 8 j + 2 t and the next; of a what uf_mma_bf16 has of it. b lies in shared memory in pieces of 8 rows of 64
// numbers (128 bytes) that begin on multiples of 1024 bytes; in row r of a piece 16 bytes number c are at c ^ r.
__device__ inline void uf_wgmma_begin() {
#ifdef UF_WGMMA
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
__device__ inline void uf_wgmma_commit() {
#ifdef UF_WGMMA
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
// For all groups but the last LATER.
template <int LATER>
__device__ inline void uf_wgmma_wait() {
#ifdef UF_WGMMA
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LATER) : "memory");
#endif
}
// Registers of the threads of a warpgroup from here on: fewer, or more once others have given some away.
template <int COUNT, bool MORE>
__device__ inline void uf_take_registers() {
#ifdef UF_WGMMA
    if (MORE)
        asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(COUNT));
    else
        asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(COUNT));
#endif
}
// ROWS_ARE_K: rows of a piece are along k and numbers along n: pieces side by side along n are `along_n` bytes apart,
// along k `along_k`. Else rows are along n, `along_n` from piece to piece, and a piece has 64 of k: `at` moves by 32 bytes.
template <bool ROWS_ARE_K>
__device__ inline uint64_t uf_wgmma_matrix(const void* at, int along_n, int along_k) {
    const uint64_t leading = static_cast<uint64_t>(ROWS_ARE_K ? along_n : 16) / 16,
                   stride = static_cast<uint64_t>(ROWS_ARE_K ? along_k : along_n) / 16;
    return (uf_shared_address(at) & 0x3ffffu) / 16 | leading << 16 | stride << 32 |
           static_cast<uint64_t>(1) << 62;
}
#define UF_EIGHT(i)                                                                             \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), \
        "+f"(d[i + 6]), "+f"(d[i + 7])
#define UF_SUMS                                                                                            \
    UF_EIGHT(0), UF_EIGHT(8), UF_EIGHT(16), UF_EIGHT(24), UF_EIGHT(32), UF_EIGHT(40), UF_EIGHT(48),        \
        UF_EIGHT(56), UF_EIGHT(64), UF_EIGHT(72), UF_EIGHT(80), UF_EIGHT(88), UF_EIGHT(96), UF_EIGHT(104), \
        UF_EIGHT(112), UF_EIGHT(120)
#define UF_WGMMA_256                                                                                 \
    "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {"                                        \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                         \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "               \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "               \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "               \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "               \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "               \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "   \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127" \
    "}, "
template <bool ROWS_ARE_K>
__device__ inline void uf_wgmma(float (&d)[128], const uint32_t (&a)[4], uint64_t b, bool adds) {
#ifdef UF_WGMMA
    asm volatile("{.reg .pred p; setp.ne.b32 p, %133, 0;\n\t" UF_WGMMA_256
                 "{%128, %129, %130, %131}, %132, p, 1, 1, %134;}"
                 : UF_SUMS
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(adds)),
                   "n"(ROWS_ARE_K));
#endif
}
// The same with a in shared memory, of 64 columns: it is the transpose of a matrix that lies there as b does. ROWS_ARE_K of both.
__device__ inline void uf_wgmma_of_transpose(float (&d)[128], uint64_t a, uint64_t b, bool adds) {
#ifdef UF_WGMMA
    asm volatile("{.reg .pred p; setp.ne.b32 p, %130, 0;\n\t" UF_WGMMA_256 "%128, %129, p, 1, 1, 1, 1;}"
                 : UF_SUMS
                 : "l"(a), "l"(b), "r"(static_cast<int>(adds)));
#endif
}
#undef UF_WGMMA_256
#undef UF_SUMS
#undef UF_EIGHT

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
