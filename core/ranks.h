// ranks.h: processes that share the work of a generation. The library knows only this table; what fills it with MPI is
// core/mpi.c, which the program links and the library does not.
#ifndef UF_RANKS_H
#define UF_RANKS_H

#include "core/core.h"

typedef struct UfRanks {
    int rank, size;
    void* context;
    // values[i] becomes its sum over all ranks, the same bits on each. Numbers that all ranks but one have as 0 come
    // through as they are (-0 as 0).   Errors: UF_ERR_DEVICE, with a sentence.
    UfStatus (*sum)(void* context, double* values, int64_t count);
} UfRanks;

// Rank `rank`'s share of `count` things: [*first, *end).
static inline void uf_rank_share(const UfRanks* ranks, int64_t count, int64_t* first, int64_t* end) {
    const int64_t size = ranks ? ranks->size : 1, rank = ranks ? ranks->rank : 0;
    *first = count * rank / size;
    *end = count * (rank + 1) / size;
}

// Refuses ranks that were not given the same text (a configuration, say); `what` names it.   Nullable: ranks
UfStatus uf_ranks_agree(const UfRanks* ranks, const char* text, const char* what);

// Whether all went well with every process, so that none waits for one that failed: each says how it fared, and hears
// its own sentence or that another failed.   Nullable: ranks
UfStatus uf_ranks_all_well(const UfRanks* ranks, UfStatus mine);

// ---- mpi.c ----

// Joins the other processes where a launcher of MPI started this one with others (mpirun, srun), else *out is NULL and
// nothing is touched. Once a process, whose other threads leave *out alone.   Errors: UF_ERR_UNSUPPORTED (started with others, but
// MPI is not in this build, or they cannot find each other), UF_ERR_DEVICE.
UfStatus uf_mpi_join(UfRanks** out);
// When all is done; NULL is harmless. It waits for the other ranks, so one that failed while they work exits without, and
// the launcher ends them.
void uf_mpi_leave(UfRanks* ranks);

#endif
