// cuda_clock.cu: how long each launch of an update takes, for the bench.
//
// An event before and one after each launch. A launch that does nothing takes time between its events too: how much is
// measured by a few empty ones, and only what exceeds that counts as work. The device begins with a kernel that waits,
// so that the launches after it are queued before the first begins and the host's time is in none of them.
#include "core/cuda.h"

namespace {

enum { EMPTY = 32, MOST = 16384 };  // launches that do nothing, and of the others that are noted
const long long WAIT_CYCLES =
    20ll * 1500000;  // 20 ms or less: the host queues a launch in a few microseconds

}  // namespace

struct UfCudaClock {
    cudaStream_t stream;
    cudaEvent_t events[2 * (EMPTY + MOST)];  // before and after each launch: the empty ones, then the others
    int num_events;
    bool full;
    cudaError_t failed;
};

namespace {

__global__ void wait_kernel(long long cycles) {
    const long long start = clock64();
    while (clock64() - start < cycles) {
    }
}

__global__ void empty_kernel() {}

void keep(UfCudaClock* c, cudaError_t error) {
    if (c->failed == cudaSuccess) c->failed = error;
}

void note_event(UfCudaClock* c, cudaStream_t stream) {
    c->full = c->full || c->num_events == 2 * (EMPTY + MOST);
    if (c->failed != cudaSuccess || c->full) return;
    cudaEvent_t* event = &c->events[c->num_events];
    keep(c, cudaEventCreate(event));
    if (c->failed != cudaSuccess) return;
    c->num_events++;
    keep(c, cudaEventRecord(*event, stream));
}

cudaLaunchConfig_t one_thread(cudaStream_t stream) {
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(1);
    config.blockDim = dim3(1);
    config.stream = stream;
    return config;
}

// What is launched from here on queues up.
void hold(UfCudaClock* c) {
    const cudaLaunchConfig_t config = one_thread(c->stream);
    keep(c, cudaLaunchKernelEx(&config, wait_kernel, static_cast<long long>(WAIT_CYCLES)));
}

double seconds_of(UfCudaClock* c, int launch) {
    float milliseconds = 0;
    keep(c, cudaEventElapsedTime(&milliseconds, c->events[2 * launch], c->events[2 * launch + 1]));
    return 1e-3 * milliseconds;
}

void measure(UfCudaClock* c, UfLaunchTimes* out) {
    double empty[EMPTY];
    const int count = c->num_events / 2;
    for (int i = 0; i < EMPTY; i++) empty[i] = seconds_of(c, i);
    uf_sort(empty, EMPTY);
    out->empty_seconds = empty[EMPTY / 2];
    out->num_launches = count - EMPTY;
    out->busy_seconds = 0;
    for (int i = EMPTY; i < count; i++) {
        const double work = seconds_of(c, i) - out->empty_seconds;
        out->busy_seconds += work > 0 ? work : 0;
    }
}

UfStatus status_of(const UfCudaClock* c) {
    if (c->failed != cudaSuccess)
        return UF_FAIL(UF_ERR_DEVICE, "timing launches: %s", cudaGetErrorString(c->failed));
    if (c->full) return UF_FAIL(UF_ERR_UNSUPPORTED, "more than %d launches cannot be timed one by one", MOST);
    return UF_OK;
}

}  // namespace

UfStatus uf_cuda_clock_start(UfCudaClock** out, cudaStream_t stream) {
    UfCudaClock* c = nullptr;
    *out = nullptr;
    UF_TRY(UF_ALLOC(&c, 1, "a clock of launches"));
    c->stream = stream;
    const cudaLaunchConfig_t config = one_thread(stream);
    keep(c, cudaStreamSynchronize(stream));
    hold(c);
    for (int i = 0; i < EMPTY; i++) {
        note_event(c, stream);
        keep(c, cudaLaunchKernelEx(&config, empty_kernel));
        note_event(c, stream);
    }
    keep(c, cudaStreamSynchronize(stream));
    *out = c;
    return UF_OK;
}

void uf_cuda_clock_before(UfCudaClock* c, cudaStream_t stream) {
    if (!c) return;
    if (c->num_events == 2 * EMPTY) hold(c);  // not earlier: what prepares an update may wait for the stream
    note_event(c, stream);
}

void uf_cuda_clock_after(UfCudaClock* c, cudaStream_t stream) {
    if (c) note_event(c, stream);
}

UfStatus uf_cuda_clock_stop(UfCudaClock* c, UfLaunchTimes* out) {
    if (!c) return UF_OK;
    keep(c, cudaStreamSynchronize(c->stream));
    if (out && c->failed == cudaSuccess) measure(c, out);
    const UfStatus status = out ? status_of(c) : UF_OK;
    for (int i = 0; i < c->num_events; i++) cudaEventDestroy(c->events[i]);
    uf_free(c);
    return status;
}
