// host_cuda.h: how tests handle the device that is none: the order of threads, and failures on demand.
#ifndef UF_HOST_CUDA_H
#define UF_HOST_CUDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Which thread of a block goes on when one waits, and which stream when several could. A missing barrier or a stream that
// does not wait for another shows as a result that depends on it.
typedef enum UfHostOrder {
    UF_HOST_FORWARD,
    UF_HOST_REVERSE,
    UF_HOST_SHUFFLED,
    UF_HOST_NUM_ORDERS
} UfHostOrder;

typedef struct UfHostCuda {
    UfHostOrder order;
    int driver_version;    // 0: none
    int device_count;      // -1: the driver is too old
    int compute_major;     // compute capability of the device
    size_t total_bytes;    // of its memory
    size_t used_bytes;     // of these, in use
    int64_t num_launches;  // of kernels, so far
    int64_t num_products;  // of cuBLAS, so far
    int64_t fail_launch;   // the launch of this number fails.   -1: none
    int64_t fail_sync;     // a wait after so many launches finds an illegal access.   -1: none
    bool no_blas;          // cuBLAS is not installed
    int64_t num_waits;     // of streams for others, so far
    int64_t skip_wait;     // the wait of this number is left out.   -1: none
    int held_stream;       // goes on where no other can: the stream of this number of those at hand.   -1: none
    bool finds_races;      // this build looks for them: races.cpp
    int64_t num_races;     // found so far
    bool expect_races;     // they are counted; else the first stops the program
    bool closes_memory;    // the program cannot access device memory, in a build that can see to it; a test may open it
} UfHostCuda;
extern UfHostCuda uf_host_cuda;

void uf_host_check_mask(unsigned mask);

#ifdef __cplusplus
}
#endif

#endif
