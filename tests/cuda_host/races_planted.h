// races_planted.h: kernels with and without a fault of order, for test_cuda_races.c.
#ifndef UF_RACES_PLANTED_H
#define UF_RACES_PLANTED_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

// Each has a twin that is mended.
typedef enum Planted {
    NO_BARRIER,         // a warp reads what another wrote to shared memory
    NO_BARRIER_BEHIND,  // a warp overwrites what another still reads there
    NO_BARRIER_LAUNCH,  // the first, in the memory that the launch asked for
    NO_WARP_MEETING,    // a lane reads what another wrote there
    SHUFFLE_ALONE,      // likewise, and a shuffle in between, which does not order memory
    NO_BARRIER_GLOBAL,  // the first, in global memory
    BLOCKS_WRITE,       // two blocks write one word
    BLOCKS_READ,        // a block reads what another writes
    BYTES,              // threads write the same bytes of one word
    FLAGS,              // blocks write the same to one word, without saying so
    ATOMIC,             // one reads where others use atomics
    STREAMS_READ,       // a stream reads what another writes
    STREAMS_WRITE,      // a stream writes what another reads, and a third
    COPY,               // a copy takes what another stream writes
    GRAPH,              // as STREAMS_READ, of a recording's branches
    GRAPH_BEHIND,       // a stream does not wait for the graph of another
    NUM_PLANTED
} Planted;

extern const char* const uf_planted_names[NUM_PLANTED];

// Launches it and waits.
void uf_plant(Planted fault, bool mended);

#ifdef __cplusplus
}
#endif

#endif
