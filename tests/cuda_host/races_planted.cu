// races_planted.cu: see races_planted.h. Of the tests on the host alone; the library has nothing of it.
#include "races_planted.h"

#include "../../kernels_mma.cuh"

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>

namespace {

enum { THREADS = 64, BLOCKS = 3, COUNT = THREADS * BLOCKS };

// A neighbour's number by shared memory.
template <bool MENDED, int FAR>
__global__ void shift_shared(int* out) {
    __shared__ int x[THREADS];
    const int i = static_cast<int>(threadIdx.x);
    x[i] = i;
    if (MENDED && FAR >= 32) __syncthreads();
    if (MENDED && FAR < 32) __syncwarp();
    out[blockIdx.x * THREADS + threadIdx.x] = x[i ^ FAR];
}

template <bool MENDED>
__global__ void shuffle_alone(int* out) {
    __shared__ int x[THREADS];
    const int i = static_cast<int>(threadIdx.x);
    x[i] = i;
    const int own = __shfl_xor_sync(0xffffffffu, i, 1);
    if (MENDED) __syncwarp();
    out[blockIdx.x * THREADS + threadIdx.x] = x[i ^ 1] + own;
}

template <bool MENDED>
__global__ void reuse_shared(int* out) {
    __shared__ int x[THREADS];
    const int i = static_cast<int>(threadIdx.x);
    int sum = 0;
    for (int k = 0; k < 3; k++) {
        x[i] = i + k;
        __syncthreads();
        sum += x[i ^ 32];
        if (MENDED) __syncthreads();
    }
    out[blockIdx.x * THREADS + threadIdx.x] = sum;
}

template <bool MENDED>
__global__ void shift_launch(int* out) {
    int* x = reinterpret_cast<int*>(uf_shared_memory());
    const int i = static_cast<int>(threadIdx.x);
    x[i] = i;
    if (MENDED) __syncthreads();
    out[blockIdx.x * THREADS + threadIdx.x] = x[i ^ 32];
}

template <bool MENDED>
__global__ void shift_global(int* out) {
    int* x = out + blockIdx.x * THREADS;
    const int i = static_cast<int>(threadIdx.x);
    x[i] = i;
    if (MENDED) __syncthreads();
    const int other = x[i ^ 32];
    __syncthreads();
    x[i] += other;
}

__global__ void write_word(int* out, int stride) {
    if (threadIdx.x == 0) out[blockIdx.x * static_cast<unsigned>(stride)] = static_cast<int>(blockIdx.x);
}

__global__ void read_before(int* out, int by) {
    const int i = static_cast<int>(blockIdx.x) + BLOCKS;
    if (threadIdx.x == 0) out[i] = out[i - by] + 1;
}

// Each a byte of its own, or one of two threads.
__global__ void write_bytes(char* out, int each) {
    out[(blockIdx.x * THREADS + threadIdx.x) / static_cast<unsigned>(each)] = 1;
}

__global__ void set_flag(int* out, bool says_so) {
    if (says_so)
        uf_store_flag(out);
    else
        *out = 1;
}

__global__ void count_up(unsigned long long* out, bool reads) {
    atomicMax(out, static_cast<unsigned long long>(threadIdx.x));
    if (reads && threadIdx.x == 0) out[1] = out[0];
}

__global__ void write_all(int* out) { out[blockIdx.x * THREADS + threadIdx.x] = 1; }

__global__ void copy_all(const int* in, int* out) {
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    out[i] = in[COUNT - 1 - i];
}

void expect(bool good) {
    if (good) return;
    fprintf(stderr, "ERROR: a planted kernel cannot be launched\n");
    abort();
}

struct Plant {
    cudaStream_t streams[3];
    cudaEvent_t events[3];
    int *a, *b, *c;

    template <typename... Params, typename... Args>
    void launch(int stream, void (*kernel)(Params...), Args... args) {
        cudaLaunchConfig_t config = {};
        config.gridDim = dim3(BLOCKS);
        config.blockDim = dim3(THREADS);
        config.dynamicSmemBytes = THREADS * sizeof(int);
        config.stream = streams[stream];
        expect(cudaLaunchKernelEx(&config, kernel, Params(args)...) == cudaSuccess);
    }

    void order(int first, int second) {
        expect(cudaEventRecord(events[first], streams[first]) == cudaSuccess);
        expect(cudaStreamWaitEvent(streams[second], events[first], 0) == cudaSuccess);
    }

    void wait() {
        for (cudaStream_t stream : streams) expect(cudaStreamSynchronize(stream) == cudaSuccess);
    }

    // The second stream works between fork and join; mended: and reads only what it waited for.
    void fork(bool mended) {
        order(0, 1);
        launch(0, write_all, a);
        if (mended) order(0, 1);
        launch(1, copy_all, a, b);
        order(1, 0);
        launch(0, write_all, b);
    }

    cudaGraphExec_t record(bool mended) {
        cudaGraph_t graph;
        cudaGraphExec_t ready;
        expect(cudaStreamBeginCapture(streams[0], cudaStreamCaptureModeThreadLocal) == cudaSuccess);
        fork(mended);
        expect(cudaStreamEndCapture(streams[0], &graph) == cudaSuccess);
        expect(cudaGraphInstantiate(&ready, graph, 0) == cudaSuccess);
        expect(cudaGraphDestroy(graph) == cudaSuccess);
        return ready;
    }
};

}  // namespace

const char* const uf_planted_names[NUM_PLANTED] = {
    "no barrier",
    "no barrier behind",
    "no barrier, launch's memory",
    "no meeting of a warp",
    "a shuffle alone",
    "global memory",
    "blocks write",
    "blocks read",
    "bytes",
    "flags",
    "atomics",
    "streams, reading",
    "streams, writing",
    "a copy",
    "a graph",
    "behind a graph",
};

void uf_plant(Planted fault, bool mended) {
    static int seen[COUNT];
    Plant p;
    void* memory;
    for (int i = 0; i < 3; i++) {
        expect(cudaStreamCreateWithFlags(&p.streams[i], cudaStreamNonBlocking) == cudaSuccess);
        expect(cudaEventCreateWithFlags(&p.events[i], cudaEventDisableTiming) == cudaSuccess);
    }
    expect(cudaMalloc(&memory, 3 * COUNT * sizeof(int)) == cudaSuccess);
    p.a = static_cast<int*>(memory);
    p.b = p.a + COUNT;
    p.c = p.b + COUNT;
    expect(cudaMemsetAsync(memory, 0, 3 * COUNT * sizeof(int), p.streams[0]) == cudaSuccess);
    p.wait();
    switch (fault) {
        case NO_BARRIER: p.launch(0, mended ? shift_shared<true, 32> : shift_shared<false, 32>, p.a); break;
        case NO_BARRIER_BEHIND: p.launch(0, mended ? reuse_shared<true> : reuse_shared<false>, p.a); break;
        case NO_BARRIER_LAUNCH: p.launch(0, mended ? shift_launch<true> : shift_launch<false>, p.a); break;
        case NO_WARP_MEETING:
            p.launch(0, mended ? shift_shared<true, 1> : shift_shared<false, 1>, p.a);
            break;
        case SHUFFLE_ALONE: p.launch(0, mended ? shuffle_alone<true> : shuffle_alone<false>, p.a); break;
        case NO_BARRIER_GLOBAL: p.launch(0, mended ? shift_global<true> : shift_global<false>, p.a); break;
        case BLOCKS_WRITE: p.launch(0, write_word, p.a, mended ? 1 : 0); break;
        case BLOCKS_READ: p.launch(0, read_before, p.a, mended ? static_cast<int>(BLOCKS) : 1); break;
        case BYTES: p.launch(0, write_bytes, reinterpret_cast<char*>(p.a), mended ? 1 : 2); break;
        case FLAGS: p.launch(0, set_flag, p.a, mended); break;
        case ATOMIC: p.launch(0, count_up, reinterpret_cast<unsigned long long*>(p.a), !mended); break;
        case STREAMS_READ:
            p.launch(0, write_all, p.a);
            if (mended) p.order(0, 1);
            p.launch(1, copy_all, p.a, p.b);
            break;
        case STREAMS_WRITE:  // the older of two readers is what the writer did not wait for
            p.launch(0, copy_all, p.a, p.b);
            p.launch(1, copy_all, p.a, p.c);
            if (mended) p.order(0, 2);
            p.order(1, 2);
            p.launch(2, write_all, p.a);
            break;
        case COPY:
            p.launch(0, write_all, p.a);
            if (mended) expect(cudaStreamSynchronize(p.streams[0]) == cudaSuccess);
            expect(cudaMemcpyAsync(seen, p.a, sizeof seen, cudaMemcpyDeviceToHost, p.streams[1]) ==
                   cudaSuccess);
            break;
        case GRAPH:
        case GRAPH_BEHIND: {
            const cudaGraphExec_t graph = p.record(fault == GRAPH_BEHIND || mended);
            p.launch(0, write_all, p.b);
            for (int i = 0; i < 2; i++) expect(cudaGraphLaunch(graph, p.streams[0]) == cudaSuccess);
            if (fault == GRAPH || mended) p.order(0, 2);
            p.launch(2, copy_all, p.b, p.c);
            p.wait();
            expect(cudaGraphExecDestroy(graph) == cudaSuccess);
            break;
        }
        case NUM_PLANTED: break;
    }
    p.wait();
    expect(cudaFree(memory) == cudaSuccess);
    for (int i = 0; i < 3; i++) {
        expect(cudaEventDestroy(p.events[i]) == cudaSuccess);
        expect(cudaStreamDestroy(p.streams[i]) == cudaSuccess);
    }
}
