// kernels_mma.cuh: what C++ has no words for on the device: tensor cores, their number formats, shared memory whose
// size is chosen at launch, copies to it that go on by themselves, phases that count what comes there, products of four warps, and stores that may meet. Each
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
    UF_HOPPER(asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n\tfence.mbarrier_init.release.cluster;" ::"r"(
                               uf_shared_address(phase)),
                           "r"(count)
                           : "memory");)
}
__device__ inline void uf_phase_arrive(UfPhase* phase) {
    UF_HOPPER(asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(uf_shared_address(phase)) : "memory");)
}
// Arrives, and says how many bytes are to come.
__device__ inline void uf_phase_expect(UfPhase* phase, int bytes) {
    UF_HOPPER(asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(uf_shared_address(phase)),
                           "r"(bytes)
                           : "memory");)
}
__device__ inline void uf_phase_wait(UfPhase* phase, int parity) {
    UF_HOPPER(uint32_t done = 0; while (!done) asm volatile(
                  "{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}"
                  : "=r"(done)
                  : "r"(uf_shared_address(phase)), "r"(parity)
                  : "memory");)
}
// Copies that a thread sends for whole, counted by a phase where they arrive: multiples of 16 bytes, aligned likewise.
__device__ inline void uf_copy_bulk(void* to, const void* from, int bytes, UfPhase* phase) {
    UF_HOPPER(asm volatile(
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
    return (uf_shared_address(at) & 0x3ffffu) / 16 | leading << 16 | stride << 32 | static_cast<uint64_t>(1) << 62;
}
template <bool ROWS_ARE_K>
__device__ inline void uf_wgmma(float (&d)[128], const uint32_t (&a)[4], uint64_t b, bool adds) {
#ifdef UF_WGMMA
    asm volatile(
        "{.reg .pred p; setp.ne.b32 p, %133, 0;\n\t"
        "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
        "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
        "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
        "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "
        "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
        "}, {%128, %129, %130, %131}, %132, p, 1, 1, %134;}"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
          "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
          "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
          "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]),
          "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]),
          "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]),
          "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
          "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63]),
          "+f"(d[64]), "+f"(d[65]), "+f"(d[66]), "+f"(d[67]), "+f"(d[68]), "+f"(d[69]), "+f"(d[70]), "+f"(d[71]),
          "+f"(d[72]), "+f"(d[73]), "+f"(d[74]), "+f"(d[75]), "+f"(d[76]), "+f"(d[77]), "+f"(d[78]), "+f"(d[79]),
          "+f"(d[80]), "+f"(d[81]), "+f"(d[82]), "+f"(d[83]), "+f"(d[84]), "+f"(d[85]), "+f"(d[86]), "+f"(d[87]),
          "+f"(d[88]), "+f"(d[89]), "+f"(d[90]), "+f"(d[91]), "+f"(d[92]), "+f"(d[93]), "+f"(d[94]), "+f"(d[95]),
          "+f"(d[96]), "+f"(d[97]), "+f"(d[98]), "+f"(d[99]), "+f"(d[100]), "+f"(d[101]), "+f"(d[102]), "+f"(d[103]),
          "+f"(d[104]), "+f"(d[105]), "+f"(d[106]), "+f"(d[107]), "+f"(d[108]), "+f"(d[109]), "+f"(d[110]), "+f"(d[111]),
          "+f"(d[112]), "+f"(d[113]), "+f"(d[114]), "+f"(d[115]), "+f"(d[116]), "+f"(d[117]), "+f"(d[118]), "+f"(d[119]),
          "+f"(d[120]), "+f"(d[121]), "+f"(d[122]), "+f"(d[123]), "+f"(d[124]), "+f"(d[125]), "+f"(d[126]), "+f"(d[127])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(adds)), "n"(ROWS_ARE_K));
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
