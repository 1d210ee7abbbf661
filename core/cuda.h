// cuda.h: what the .cu files share that does not know the backend's state (kernels.cuh): warps, ops that have a file of
// their own, and the clock.
#ifndef UF_CUDA_H
#define UF_CUDA_H

#include <cuda_runtime.h>

#include "kernels.h"

// ---- in a kernel ----

enum { UF_WARP = 32 };

__device__ inline int lane() { return static_cast<int>(threadIdx.x) % UF_WARP; }
__device__ inline int warp() { return static_cast<int>(threadIdx.x) / UF_WARP; }

// Over the lanes of a warp; every lane has the same bits, as each adds the same two numbers at each turn.
template <typename T>
__device__ inline T warp_sum(T x) {
    for (int offset = UF_WARP / 2; offset; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
    return x;
}

// ---- ops of other files ----

// kernels.cu puts them into its table.
void uf_cuda_play(UfBackend* backend, const UfPlay* play, int num_steps);
void uf_cuda_step_rules(UfBackend* backend, const UfRuleEnvs* envs, const void* action, real* obs,
                        real* reward, uint8_t* terminated, uint8_t* truncated);
void uf_cuda_play_trials(UfBackend* backend, const UfPlayTrials* play, int64_t first, int num_steps);
void uf_cuda_synth_reset(UfBackend* backend, const UfSynths* envs, real* obs);
void uf_cuda_synth_step(UfBackend* backend, const UfSynths* envs, const void* action, real* obs, real* reward,
                        uint8_t* terminated, uint8_t* truncated);

// ---- clock: times the launches on a stream one by one, by events around each ----

struct UfCudaClock;
// Errors: UF_ERR_MEMORY.
UfStatus uf_cuda_clock_start(UfCudaClock** out, cudaStream_t stream);
// Around a launch on this stream: the clock's, or one that waits for it.   Nullable: clock
void uf_cuda_clock_before(UfCudaClock* clock, cudaStream_t stream);
void uf_cuda_clock_after(UfCudaClock* clock, cudaStream_t stream);
// Waits, says what was measured, and frees the clock.   Nullable: clock, out
// Errors: UF_ERR_DEVICE, UF_ERR_UNSUPPORTED (too many launches).
UfStatus uf_cuda_clock_stop(UfCudaClock* clock, UfLaunchTimes* out);

#endif
