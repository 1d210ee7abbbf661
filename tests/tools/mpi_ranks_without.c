// mpi_ranks_without: mpi_ranks as a build without MPI has it.
#ifndef UF_NO_MPI
#define UF_NO_MPI
#endif
#include "core/mpi.c"
#include "mpi_ranks.c"
