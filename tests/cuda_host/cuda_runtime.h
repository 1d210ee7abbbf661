// cuda_runtime.h: stands for CUDA's own where kernels.cu is compiled for the host, so that its kernels are tested
// without a GPU. A test tool, not a backend: blocks run one after another, the threads of a block as fibres that
// change at barriers and warp functions. Only what kernels.cu uses is here; see host_cuda.cpp.
#ifndef UF_HOST_CUDA_RUNTIME_H
#define UF_HOST_CUDA_RUNTIME_H

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#include "host_cuda.h"

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __grid_constant__
// All shared memory lies in one section, which is filled with NaN before every block.
#define __shared__ static __attribute__((section("uf_shared")))

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    uint32_t x, y;
};
struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};
inline uint2 make_uint2(uint32_t x, uint32_t y) { return uint2{x, y}; }
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return uint4{x, y, z, w}; }
inline float2 make_float2(float x, float y) { return float2{x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return float4{x, y, z, w}; }

// Of what is not needed again soon.
inline float4 __ldcs(const float4* at) { return *at; }
inline void __stcs(float4* at, float4 x) { *at = x; }

// ---- what the threads of a block do together ----

enum UfHostMeeting { UF_HOST_SYNCTHREADS, UF_HOST_SYNCWARP, UF_HOST_SHUFFLE, UF_HOST_ALL, UF_HOST_MMA };

void __syncthreads();
int __syncthreads_or(int predicate);
void __syncwarp();
// Hands in `bits` and gets those of another lane of the warp; every lane takes part.
uint64_t uf_host_exchange(UfHostMeeting what, uint64_t bits, int from_lane);

template <typename T>
T uf_host_shuffle(unsigned mask, T x, int from_lane) {
    uint64_t bits = 0;
    uf_host_check_mask(mask);
    static_assert(sizeof x <= sizeof bits, "a shuffle moves 8 bytes at most");
    memcpy(&bits, &x, sizeof x);
    bits = uf_host_exchange(UF_HOST_SHUFFLE, bits, from_lane);
    memcpy(&x, &bits, sizeof x);
    return x;
}
inline int uf_host_lane() { return static_cast<int>(threadIdx.x % 32); }
template <typename T>
T __shfl_sync(unsigned mask, T x, int lane) {
    return uf_host_shuffle(mask, x, lane);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T x, int bits) {
    return uf_host_shuffle(mask, x, uf_host_lane() ^ bits);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T x, int by) {
    return uf_host_shuffle(mask, x, uf_host_lane() < by ? uf_host_lane() : uf_host_lane() - by);
}
int __all_sync(unsigned mask, int predicate);

inline float __uint_as_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
inline uint32_t __float_as_uint(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

__extension__ typedef unsigned __int128 UfHostUint128;
inline uint64_t __umul64hi(uint64_t a, uint64_t b) {
    return static_cast<uint64_t>(static_cast<UfHostUint128>(a) * b >> 64);
}

// Tells the detector of races of a write that does not conflict with others of its kind.
#ifdef UF_RACES
extern "C" void uf_races_joint_write(void* at, size_t bytes);
#else
inline void uf_races_joint_write(void*, size_t) {}
#endif

// Threads take turns between meetings, so that nothing comes in between.
__attribute__((no_sanitize("thread"))) inline unsigned long long atomicMax(unsigned long long* at,
                                                                           unsigned long long x) {
    uf_races_joint_write(at, sizeof *at);
    const unsigned long long before = *at;
    if (x > before) *at = x;
    return before;
}

// ---- runtime ----

#define CUDART_VERSION 13000

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorIllegalAddress = 700,
    cudaErrorLaunchFailure = 719,
    cudaErrorStreamCaptureUnjoined = 904,
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2 };
enum cudaDeviceAttr {
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrComputeCapabilityMajor = 75,
    cudaDevAttrComputeCapabilityMinor = 76,
};
enum { cudaStreamNonBlocking = 1 };
struct cudaDeviceProp {
    char name[256];
};
typedef struct UfHostStream* cudaStream_t;

const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr what, int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* out, int device);
cudaError_t cudaMalloc(void** out, size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* out, unsigned flags);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamDestroy(cudaStream_t stream);

// An event is a place in a stream, and when it was reached.
enum { cudaEventDisableTiming = 2 };
typedef struct UfHostEvent* cudaEvent_t;
cudaError_t cudaEventCreate(cudaEvent_t* out);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* out, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);

// A graph is what was given to the streams that took part.
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
typedef struct UfHostGraph *cudaGraph_t, *cudaGraphExec_t;
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* out);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* out, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph);
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream);

// A node is a place in the list.
typedef size_t cudaGraphNode_t;
enum cudaGraphNodeType { cudaGraphNodeTypeKernel = 0 };
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count);
inline cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* out) {
    (void)node;
    *out = cudaGraphNodeTypeKernel;
    return cudaSuccess;
}

long long clock64();  // a tick a call

struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
};

// A block may ask for more than 48 KB of shared memory only where this allowed its kernel to.
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
cudaError_t uf_host_func_attribute(const void* kernel, cudaFuncAttribute what, int value);
template <typename... Params>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Params...), cudaFuncAttribute what, int value) {
    return uf_host_func_attribute(reinterpret_cast<const void*>(kernel), what, value);
}

cudaError_t uf_host_launch(const void* kernel, const cudaLaunchConfig_t* config,
                           const std::function<void()>& thread);

template <typename... Params, typename... Args>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Params...), Args&&... args) {
    return uf_host_launch(reinterpret_cast<const void*>(kernel), config,
                          [=] { kernel(args...); });  // each thread gets its copy of the arguments
}

#endif
