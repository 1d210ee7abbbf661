// mpi.c: joins the processes that a launcher started. The program links it, with Open MPI where that was there at build
// time; the library does not, and knows only the table of ranks.h.
#include "core/ranks.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#ifndef UF_NO_MPI
#include <mpi.h>
#endif

// What the environment says of a launcher.
typedef struct Launch {
    const char* name;  // the variable that says so; NULL: none
    long size;         // 0: it does not say
    bool connects;     // MPI can find the other processes
} Launch;

// 0: not there, or no count.
static long count_of(const char* name) {
    const char* text = getenv(name);
    char* end;
    if (!text) return 0;
    errno = 0;
    const long count = strtol(text, &end, 10);
    return errno == 0 && end != text && *end == 0 && count > 0 ? count : 0;
}

static Launch find_launch(void) {
    // mpirun of Open MPI; launchers that speak PMI (MPICH's mpirun, srun --mpi=pmi2) and PMIx (srun --mpi=pmix). In an
    // allocation of Slurm mpirun has srun start its daemons, so what srun says counts last.
    static const struct {
        const char *sign, *size;
    } launchers[] = {{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"},
                     {"PMI_SIZE", "PMI_SIZE"},
                     {"PMI_RANK", "SLURM_STEP_NUM_TASKS"},
                     {"PMIX_RANK", "SLURM_STEP_NUM_TASKS"}};
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++)
        if (getenv(launchers[i].sign)) return (Launch){launchers[i].sign, count_of(launchers[i].size), true};
    // Several tasks of an srun that told them nothing of each other would all do the same.
    const long tasks = count_of("SLURM_STEP_NUM_TASKS");
    return tasks > 1 ? (Launch){"SLURM_STEP_NUM_TASKS", tasks, false} : (Launch){NULL, 1, false};
}

static UfStatus fail_apart(Launch launch) {
    return UF_FAIL(
        UF_ERR_UNSUPPORTED,
        "srun started %ld processes (%s), which know nothing of each other and would all do the same; use "
        "srun --mpi=pmix or mpirun",
        launch.size, launch.name);
}

#ifdef UF_NO_MPI

UfStatus uf_mpi_join(UfRanks** out) {
    const Launch launch = find_launch();
    *out = NULL;
    if (!launch.name || launch.size == 1) return UF_OK;
    if (!launch.connects) return fail_apart(launch);
    return UF_FAIL(UF_ERR_UNSUPPORTED,
                   "a launcher of MPI started this process with others (%s=%s), but this build has no MPI, "
                   "and they would "
                   "all do the same; install libopenmpi-dev and build again, or start one process",
                   launch.name, getenv(launch.name));
}

void uf_mpi_leave(UfRanks* ranks) { (void)ranks; }

#else

// Of an error that MPI returned.
static UfStatus fail_mpi(const char* what, int code) {
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    return UF_FAIL(UF_ERR_DEVICE, "MPI: %s failed: %s", what, uf_one_line(text));
}

static UfStatus sum(void* context, double* values, int64_t count) {
    (void)context;
    for (int64_t first = 0; first < count; first += INT_MAX) {
        const int n = count - first < INT_MAX ? (int)(count - first) : INT_MAX;
        const int code = MPI_Allreduce(MPI_IN_PLACE, values + first, n, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
        if (code != MPI_SUCCESS) return fail_mpi("a sum over all processes", code);
    }
    return UF_OK;
}

// As the launcher says? One of another MPI starts processes that are each alone to ours.
static UfStatus check_size(Launch launch, int size) {
    if (launch.size == 0 || launch.size == size) return UF_OK;
    return UF_FAIL(UF_ERR_DEVICE,
                   "the launcher started %ld processes (%s), of which MPI sees %d; is it that of another "
                   "MPI? This program "
                   "is linked with Open MPI %d.%d: use its mpirun",
                   launch.size, launch.name, size, OMPI_MAJOR_VERSION, OMPI_MINOR_VERSION);
}

static UfStatus join(UfRanks* ranks, Launch launch) {
    int provided;
    // Other threads than the one that came here never call MPI.
    const int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    if (code != MPI_SUCCESS) return fail_mpi("MPI_Init", code);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &ranks->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks->size);
    const UfStatus status =
        provided < MPI_THREAD_FUNNELED
            ? UF_FAIL(UF_ERR_DEVICE, "MPI: this build of it is for programs without threads; use another")
            : check_size(launch, ranks->size);
    if (status != UF_OK) MPI_Finalize();
    return status;
}

UfStatus uf_mpi_join(UfRanks** out) {
    const Launch launch = find_launch();
    UfRanks* ranks = NULL;
    *out = NULL;
    if (!launch.name || launch.size == 1) return UF_OK;
    if (!launch.connects) return fail_apart(launch);
    UF_TRY(UF_ALLOC(&ranks, 1, "ranks"));
    ranks->sum = sum;
    const UfStatus status = join(ranks, launch);
    if (status != UF_OK) {
        uf_free(ranks);
        return status;
    }
    *out = ranks;
    return UF_OK;
}

void uf_mpi_leave(UfRanks* ranks) {
    if (!ranks) return;
    MPI_Finalize();
    uf_free(ranks);
}

#endif
