#!/usr/bin/env bash
# Processes that mpirun starts share numbers, agree, and end together; a launcher that MPI cannot follow is refused.
set -uo pipefail
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
. tests/check.sh
. tests/mpi_launch.sh
B=${BUILD:-build}/tests
bad=0

says() { # NAME STATUS PATTERN COMMAND...: this status, and a line that matches on either output
    local name=$1 status=$2 pattern=$3 got
    shift 3
    "$@" >"$T/said" 2>&1 </dev/null
    got=$?
    check "$name" test "$got $(grep -cE "$pattern" "$T/said" | sed 's/^[1-9].*/found/')" = "$status found"
}

alone=$("$B/mpi_ranks" sum 1000)
hash=${alone##* }
says "without a launcher a process is alone" 0 '^alone: \[0, 1000\) [0-9a-f]{64}$' "$B/mpi_ranks" sum 1000
says "also where MPI is not in the build" 0 "^alone: \[0, 1000\) $hash\$" "$B/mpi_ranks_without" sum 1000
says "a launcher, and no MPI in the build" 1 '^error: .*\(OMPI_COMM_WORLD_SIZE=2\), but this build has no MPI.*libopenmpi-dev' \
    env OMPI_COMM_WORLD_SIZE=2 "$B/mpi_ranks_without" sum 5
says "a launcher of one process, and no MPI in the build" 0 '^alone' env OMPI_COMM_WORLD_SIZE=1 "$B/mpi_ranks_without" sum 5
says "a launcher that does not say how many, and no MPI" 1 '^error: .*\(PMIX_RANK=0\), but this build has no MPI' \
    env PMIX_RANK=0 "$B/mpi_ranks_without" sum 5
for program in mpi_ranks mpi_ranks_without; do
    says "$program: tasks of srun that do not know each other" 1 '^error: srun started 2 processes .*--mpi=pmix or mpirun' \
        env SLURM_STEP_NUM_TASKS=2 "$B/$program" sum 5
    says "$program: one task of srun that speaks a PMI that Open MPI may not" 0 '^alone' \
        env PMI_RANK=0 PMI_SIZE=1 PMI_FD=99 SLURM_STEP_NUM_TASKS=1 "$B/$program" sum 5
    says "$program: one task of srun" 0 '^alone' env SLURM_STEP_NUM_TASKS=1 "$B/$program" sum 5
done

if [ "$mpi_why" ]; then
    echo "skip test_mpi: $mpi_why"
else
    says "the launcher of another MPI" 1 '^error: the launcher started 4 processes \(PMI_SIZE\), of which MPI sees 1' \
        env ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" PMI_SIZE=4 PMI_RANK=0 "$B/mpi_ranks" sum 5
    # shares are cut without a gap, and the sum has the bits of one process
    check "a launcher of one process" test "$($mpi_launch -n 1 "$B/mpi_ranks" sum 1000)" = "alone: [0, 1000) $hash"
    check "two processes" test "$($mpi_launch -n 2 "$B/mpi_ranks" sum 1000 | sort)" = "rank 0 of 2: [0, 500) $hash
rank 1 of 2: [500, 1000) $hash"
    check "three processes" test "$($mpi_launch -n 3 "$B/mpi_ranks" sum 1000 | sort)" = "rank 0 of 3: [0, 333) $hash
rank 1 of 3: [333, 666) $hash
rank 2 of 3: [666, 1000) $hash"
    check "more processes than things" test "$($mpi_launch -n 3 "$B/mpi_ranks" sum 2 | sort | cut -d' ' -f1-6)" = "rank 0 of 3: [0, 0)
rank 1 of 3: [0, 1)
rank 2 of 3: [1, 2)"
    says "processes agree" 0 '^rank 2 of 3: agreed' $mpi_launch -n 3 "$B/mpi_ranks" agree "the same"
    says "or do not" 1 '^error: the text differs on 1 of the 3 processes' $mpi_launch -n 1 "$B/mpi_ranks" agree a : -n 1 "$B/mpi_ranks" agree b : \
        -n 1 "$B/mpi_ranks" agree a
    says "one that fails takes the others along" 1 '^error: rank 1 of 2 broke' timeout 60 $mpi_launch -n 2 "$B/mpi_ranks" break 1
fi
exit $bad
