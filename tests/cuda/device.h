// device.h: for tests of a CUDA device: whether there is one, and in which order the host that plays one takes its threads.
#ifndef DEVICE_H
#define DEVICE_H

#include "../support.h"

#include "kernels.h"
#ifdef UF_HOST_CUDA
#include "cuda_host/host_cuda.h"
#endif

static bool has_device;

// A group's set-up.
static inline int look_for_device(void** state) {
    UfBackend* be = NULL;
    (void)state;
    has_device = uf_backend_open(&be, "cuda", "fp32", 1) == UF_OK;
    if (!has_device) printf("[  SKIPPED ] without a device: %s\n", uf_error());
    uf_backend_close(be);
    return 0;
}
#define NEEDS_DEVICE() \
    (void)state;       \
    if (!has_device) skip()

// A missing barrier shows as a difference between orders of threads.
static inline void change_order(int64_t to) {
    (void)to;
#ifdef UF_HOST_CUDA
    uf_host_cuda.order = (UfHostOrder)(to % UF_HOST_NUM_ORDERS);
#endif
}

#endif
