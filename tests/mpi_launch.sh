# mpi_launch.sh: mpirun for tests, on a machine with fewer cores than processes, as root too. Source it, then
#   [ "$mpi_why" ] && echo "skip NAME: $mpi_why"; $mpi_launch -n 2 PROGRAM...
# The shell that sources it is no longer under a launcher, should a test run under one.
for v in OMPI_COMM_WORLD_SIZE PMI_SIZE PMI_RANK PMIX_RANK SLURM_STEP_NUM_TASKS; do unset $v; done
mpi_launch="mpirun --oversubscribe"
[ "$(id -u)" = 0 ] && mpi_launch="$mpi_launch --allow-run-as-root"
mpi_why=
if ! grep -q -- "-lmpi" "${BUILD:-build}/flags"; then
    mpi_why="not built with Open MPI (libopenmpi-dev)"
elif ! mpirun --version 2>/dev/null | grep -q "Open MPI"; then
    mpi_why="no mpirun of Open MPI (openmpi-bin)"
fi
# Processes of one machine need no network, and this one may have none.
export OMPI_MCA_btl=self,vader OMPI_MCA_btl_base_warn_component_unused=0
# Open MPI does not free all that it allocates, in modules that it has unloaded when leaks are looked for.
[ "${SANITIZE:-}" ] && mpi_launch="env ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0 $mpi_launch"
