// cuda.h: what the other .cu files need of the backend in kernels.cu: launches on its stream, failures that stick. And
// the clock that kernels.cu asks the other way round.
#ifndef UF_CUDA_H
#define UF_CUDA_H

#include <cuda_runtime.h>

#include "../kernels.h"

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

// ---- launching ----

// Opens an op, which a failure names. The stream to launch on; null where an op before has failed: then nothing is done.
cudaStream_t uf_cuda_begin(UfBackend* backend, const char* op, int P, int N, int rows, int width);
// Keeps the first failure for `sync`.
void uf_cuda_check(UfBackend* backend, cudaError_t error);
int uf_cuda_num_sms(const UfBackend* backend);

// A one-dimensional launch of the op that is open; timed where the bench asks for it.
void uf_cuda_before_launch(UfBackend* backend);
void uf_cuda_after_launch(UfBackend* backend);
template <typename... Params, typename... Args>
void uf_cuda_launch(UfBackend* backend, cudaStream_t stream, void (*kernel)(Params...), int64_t blocks,
                    int threads, Args... args) {
    if (!stream || blocks < 1) return;
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(static_cast<unsigned>(blocks));
    config.blockDim = dim3(static_cast<unsigned>(threads));
    config.stream = stream;
    uf_cuda_before_launch(backend);
    uf_cuda_check(backend, cudaLaunchKernelEx(&config, kernel, Params(args)...));
    uf_cuda_after_launch(backend);
}

// Ops of other files; kernels.cu puts them into its table.
void uf_cuda_play(UfBackend* backend, const UfPlay* play, int num_steps);

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
