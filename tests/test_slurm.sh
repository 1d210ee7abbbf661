#!/usr/bin/env bash
# test_slurm: job arrays of core/sweeps/slurm.h under a real Slurm of one node (tests/slurm_up.sh): submitting, two at a time,
# back into the queue before the time limit, cancelling, forgotten by Slurm, refused; then sweeps by them: the same store as
# without, stopped, killed, failing. Prints "ok name", "not ok name" or "skip name". Environment: UNIFLORAL, BUILD.
set -uo pipefail
U=$(realpath "${UNIFLORAL:-./unifloral}")
A=$(realpath "${BUILD:-build}/tests/slurm_array")
flags=$(realpath "${BUILD:-build}/flags")
T=$(mktemp -d /tmp/unifloral-slurm-XXXXXX)
trap 'slurm_down "$T/slurm"; rm -rf "$T"' EXIT
bad=0

. tests/check.sh
. tests/slurm_up.sh
refused() { # NAME PATTERN COMMAND...: status 1, and one line on stderr that matches
    local name=$1 pattern=$2 got
    shift 2
    "$@" >"$T/said" 2>"$T/complaint" </dev/null
    got=$?
    check "$name" test "$got $(sed -E "s#^error: .*($pattern).*#as wanted#" "$T/complaint")" = "1 as wanted"
}
within() { # SECONDS COMMAND...: until the command succeeds
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}
# Everything that could need a quote, but for a backslash.
D="$T/it's a \"folder\" 100%a #1"
mkdir -p "$D/logs" "$T/back\\slash"
cd "$D" || exit 1

# ---- without Slurm: the script, and what is refused before anything is submitted ----

offline() { PATH=$T/nothing "$A" submit script.sh logs "$@"; }
refused "no sbatch" "sbatch: there is no such program: this machine submits no Slurm jobs; leave --slurm away" offline "0 1 2 3 7 9 10" 2 60 "--time=5  --comment 'a # \"b\"'" true
check "indices, as short as they go" grep -qx '#SBATCH --array=0-3,7,9-10%2' script.sh
check "own options come last of all" test "$(grep '^#SBATCH' script.sh | tail -n 1)" = '#SBATCH --time=5 --comment "a # \"b\""'
check "it is a script" bash -n script.sh
refused "options that are none" "sbatch_options: \"time=5\": expected options of sbatch, as --time" offline 0 0 60 "time=5" true
for option in --array=0-3 --arr=0-3 -a0-3 "-a 0-3" --wrap=ls --test-only --wait -W --chdir=/ "-D /" --clusters=x; do
    refused "refuses $option" "sbatch_options: ${option%% *}: is chosen by the program" offline 0 0 60 "--mem=1G $option" true
done
refused "a quote without an end" "a ' has no end" offline 0 0 60 "--comment='a" true
refused "two lines" "sbatch_options: holds a control character" offline 0 0 60 $'--time=5\nrm -r /' true
refused "a folder that Slurm cannot name" "sbatch takes no folder with a backslash" "$A" submit script.sh "$T/back\\slash" 0 0 60 "" true
refused "no folder for logs" "nowhere: No such file" "$A" submit script.sh nowhere 0 0 60 "" true
refused "nothing to ask" "squeue: there is no such program" env PATH="$T/nothing" "$A" state 1

# ---- with it ----

if ! SLURM_MIN_JOB_AGE=15 slurm_up "$T/slurm"; then
    echo "skip job arrays under Slurm: $slurm_why"
    exit $bad
fi

cat >task.sh <<'END'
# a task: notes what it was called with, waits for the file `go`, heeds signals
trap 'echo TERM >>"$1.$2"; exit 143' TERM
trap 'echo USR1 >>"$1.$2"; exit 138' USR1
printf '%s ' "start ${SLURM_RESTART_COUNT:-0}" "$@" >>"$1.$2"
echo "in $PWD" >>"$1.$2"
echo "out of task $2"
while [ ! -e "$1.go" ]; do sleep 0.05; done
exit "$(cat "$1.go")"
END
task=(bash task.sh)
running() { [ "$(squeue --noheader --states=R --jobs="$1" | wc -l)" = "$2" ]; }
state() { "$A" state "$1"; }

id=$("$A" submit array.sh logs "0 1 2 5" 2 60 '--time=10 --comment="a # b"' "${task[@]}" array)
check "submits and says the job's number" test "$id" -gt 0
check "two run" within 30 running "$id" 2
check "two wait" grep -q '^2 pending, 2 running, 0 died' <(state "$id")
check "options are heeded" test "$(squeue --noheader --array --format='%l|%k|%C' --jobs="$id" | sort -u)" = "10:00|a # b|1"
"$A" wait "$id" >waited 2>&1 &
waiter=$!
within 10 test -s waited
kill -TERM $waiter
wait $waiter
check "waiting can be stopped" test $? = 143
check "without harm" running "$id" 2
echo 0 >array.go
check "waits for the end" "$A" wait "$id"
check "and sees it" test "$(tail -n 1 "$T/out" | cut -c 1-28)" = "0 pending, 0 running, 0 died"
check "each task ran once, with its index, in this folder" test "$(cat array.? | sort)" = "$(for i in 0 1 2 5; do echo "start 0 array $i in $D"; done)"
check "each has a log" test "$(cat logs/task_?.txt)" = "$(for i in 0 1 2 5; do echo "out of task $i"; done)"
array=$id

# Words with quotes reach the task as they are; a status other than 0 is a death.
"$A" submit words.sh logs "3" 0 60 "" bash -c 'printf "<%s>" "$@" >words; exit 7' "a  b" "it's" '"$HOME"' '%a \n' '*' >id
check "a task that fails" "$A" wait "$(cat id)"
check "is seen to" test "$(tail -n 1 "$T/out")" = "0 pending, 0 running, 1 died: 3 FAILED; waits for: "
check "words are not changed" test "$(cat words)" = "<it's><\"\$HOME\"><%a \\n><*><3>"

# ---- the time limit ----

short=$("$A" submit short.sh logs "9" 0 60 "--time=1" "${task[@]}" short)
id=$("$A" submit limit.sh logs "0 1" 0 3 "--time=5" "${task[@]}" limit)
within 30 running "$id" 2
sleep 4 # the least that a task needs here
timeout 60 scancel --signal=USR1 --batch "${id}_0" &
check "asked to stop, a task saves" within 20 grep -q USR1 limit.0
check "and waits in the queue" within 20 grep -q '^1 pending, 1 running, 0 died' <(state "$id")
check "it begins again" within 60 grep -q 'start 1 limit 0' limit.0
check "the log goes on" test "$(grep -c 'out of task 0' logs/task_0.txt)" = 3
check "and says why" grep -q 'the time limit is near: back into the queue' logs/task_0.txt
check "the other was left alone" test "$(grep -c . limit.1)" = 1
wait
check "cancels" "$A" cancel "$id"
check "no task is left" "$A" wait "$id"
check "by SIGTERM, once" test "$(grep -c TERM limit.0) $(grep -c TERM limit.1)" = "1 1"
check "a cancelled task does not come back" test "$(grep -c start limit.0) $(grep -c start limit.1)" = "2 1"
check "cancelling twice is harmless" "$A" cancel "$id"
check "a limit below a minute is asked to stop at once" "$A" wait "$short"
check "and is not queued for ever" grep -q -- '--time is too short' logs/task_9.txt

# ---- a controller that is away for a while ----

rm array.go
id=$("$A" submit away.sh logs "4" 0 60 "" "${task[@]}" array)
within 30 running "$id" 1
kill "$(cat "$T/slurm/slurmctld.pid")"
"$A" wait "$id" >waited 2>&1 &
waiter=$!
refused "a question that gets no answer" "squeue: .*Unable to contact slurm controller" "$A" state "$id"
PATH=$PATH:/usr/sbin slurmctld
echo 0 >array.go
wait $waiter
check "waiting outlives it" test $? = 0
check "and sees the end" test "$(tail -n 1 waited | cut -c 1-28)" = "0 pending, 0 running, 0 died"

# ---- forgotten, refused ----

check "Slurm forgets what ended" within 120 bash -c "! squeue --jobs=$array >$T/forgotten 2>&1"
check "which is the end of it" grep -q '^0 pending, 0 running, 0 died' <(state "$array")
check "also for who waits" "$A" wait "$array"
refused "an option that sbatch does not know" "refused.sh: sbatch: unrecognized option '--nonsense'" "$A" submit refused.sh logs 0 0 60 --nonsense true
refused "a partition that is not there" "sbatch: invalid partition specified: nowhere; Batch job submission failed: Invalid partition" "$A" submit refused.sh logs 0 0 60 --partition=nowhere true
refused "an index that is too large" "sbatch: Batch job submission failed: Invalid job array specification .task 100000 of an array; Slurm.s MaxArraySize" "$A" submit refused.sh logs "0 100000" 0 60 "" true
refused "no number at all" "squeue: .*Invalid job id" "$A" state x

# ---- sweeps ----

cat >tiny.json <<'END'
{
    "algorithm": "td3_bc",
    "num_updates": 3000, "eval_interval": 500, "checkpoint_interval": 100, "eval_final_episodes": 4,
    "batch_size": 16, "actor_layer_width": 16, "critic_layer_width": 16,
    "actor_q_coef": [1, 2.5],
    "lr": [1e-3, 3e-4, 1e-4]
}
END
"$U" collect --env pendulum --policy random --steps 2000 --seed 1 --out pendulum-random.hdf5 >/dev/null || bad=1
sweep() { # FOLDER ARGUMENTS...: what it says stays in FOLDER.said
    local folder=$1
    shift
    "$U" sweep tiny.json --dataset pendulum-random.hdf5 --out "$folder" "$@" >"$folder.said" 2>&1 </dev/null
}
begin() { # FOLDER ARGUMENTS...: the same beside this script, as process `waiter`
    local folder=$1
    shift
    "$U" sweep tiny.json --dataset pendulum-random.hdf5 --out "$folder" "$@" >"$folder.said" 2>&1 </dev/null &
    waiter=$!
}
submitted() { # FOLDER: the array's number, once there is one
    within 60 test -s "$1/slurm/job" && cat "$1/slurm/job"
}
says() { # FOLDER PATTERN
    grep -q -- "$2" "$1.said" || { cat "$1.said"; false; }
}
if grep -q UF_NO_SQLITE "$flags"; then
    echo "skip sweeps under Slurm: built without SQLite"
else
    draw=(--num-policies 5 --sweep-seed 5 --population 2)
    check "no sweep without sbatch" bash -c "! PATH=$T/nothing '$U' sweep tiny.json --dataset pendulum-random.hdf5 --out none --slurm 2>&1 | grep -v 'error: sbatch: there is no such program.*leave --slurm away\|^20 policies'"
    check "a sweep here" sweep here "${draw[@]}" --jobs 2 --threads 1
    check "under Slurm" sweep there "${draw[@]}" --slurm --jobs 2 --set 'sbatch_options=--time=7 --comment=mine'
    check "ends in the same store" diff <(contents here) <(contents there)
    check "of five policies" test "$(contents there | wc -l)" = 6
    check "a line for each" test "$(grep -cE '^\[[1-5]/5\] policy 000[0-4]  score ' there.said)" = 5
    check "blocks of two were tasks, two at a time" grep -qx '#SBATCH --array=0-2%2' there/slurm/array.sh
    check "with their options" grep -qx '#SBATCH --time=7 --comment=mine' there/slurm/array.sh
    check "again: nothing is submitted" sweep there "${draw[@]}" --slurm
    check "all ended before" says there '; 5 ended before; 0 tasks'
    check "and no array is left to wait for" test ! -e there/slurm/job
    check "other options are no other sweep" sweep there "${draw[@]}" --slurm --set sbatch_options=--time=9
    refused "an option that sbatch refuses" "array.sh: sbatch: unrecognized option '--nonsense'" "$U" sweep tiny.json --dataset pendulum-random.hdf5 --out odd --slurm --set sbatch_options=--nonsense
    refused "a block of no plan" "here/slurm/plan: has no block 0" "$U" sweep tiny.json --dataset pendulum-random.hdf5 --out here "${draw[@]}" --block 0
    refused "a block that is not there" "there/slurm/plan: has no block 3" "$U" sweep tiny.json --dataset pendulum-random.hdf5 --out there "${draw[@]}" --block 3

    # What waits is stopped, then killed; the array goes on.
    long=(--num-policies 3 --sweep-seed 5 --set num_updates=20000)
    begin long_here "${long[@]}"
    local_sweep=$waiter
    begin stopped "${long[@]}" --slurm
    id=$(submitted stopped)
    within 60 running "$id" 3
    kill -TERM $waiter
    wait $waiter
    check "stopped while it waits: status 143" test $? = 143
    check "it says what goes on" says stopped "job $id of Slurm runs on, scancel $id ends it; the same command goes on"
    check "it does" running "$id" 3
    refused "a sweep here is refused meanwhile" "stopped: job $id of Slurm works in this folder; give --slurm" \
        "$U" sweep tiny.json --dataset pendulum-random.hdf5 --out stopped "${long[@]}"
    begin stopped "${long[@]}" --slurm
    within 20 says stopped "job $id of Slurm is under way" >/dev/null
    kill -9 $waiter
    wait $waiter 2>/dev/null
    check "the same command waits for the rest" sweep stopped "${long[@]}" --slurm
    check "of that array" test "$(cat stopped/slurm/task_?.txt | grep -c 'block')" = 3
    wait $local_sweep
    check "which ends in the same store" diff <(contents long_here) <(contents stopped)

    # The array dies in the middle: cancelled, and one task killed before.
    begin killed "${long[@]}" --slurm
    id=$(submitted killed)
    for k in 0 1 2; do within 60 test -e killed/policy_000$k/checkpoint.h5; done
    for file in /proc/[0-9]*/cmdline; do # the task of block 1
        [ "$(readlink "${file%cmdline}cwd")" = "$D" ] || continue
        [ "$(tr '\0' ' ' <"$file" 2>/dev/null | grep -c -- "--out killed .*--block 1 $")" = 1 ] && task_pid=${file//[!0-9]/}
    done
    kill -9 "$task_pid"
    scancel "$id"
    wait $waiter
    check "an array that dies: status 1" test $? = 1
    check "it says what has no result, and what to do" says killed 'killed: [1-3] of 3 policies have no result (task [0-2]: [A-Z]*).*the same command submits them again'
    check "that is no failure of a policy" test "$("$U" results killed/store.sqlite --where status=failed 2>&1 | grep -c FAILED)" = 0
    check "all were begun" test "$(find killed -name checkpoint.h5 | wc -l)" = 3
    check "the same command submits again" sweep killed "${long[@]}" --slurm
    check "and ends in the same store" diff <(contents long_here) <(contents killed)

    # The time limit, with less of it than the minute that a sweep asks for; the array is one that the command finds.
    begin limited "${long[@]}" --slurm
    id=$(submitted limited)
    scancel "$id"
    wait $waiter
    rm -rf limited/policy_000?
    sed -i 's/^grace=60$/grace=1/' limited/slurm/array.sh
    id=$(sbatch --parsable limited/slurm/array.sh)
    printf %s "$id" >limited/slurm/job
    within 60 test -e limited/policy_0002/checkpoint.h5
    sleep 1.2
    timeout 60 scancel --signal=USR1 --batch "${id}_2" &
    check "a sweep whose task meets its time limit" sweep limited "${long[@]}" --slurm
    check "finds the array" says limited "job $id of Slurm is under way"
    check "the task went on later" test "$(grep -c 'block 2' limited/slurm/task_2.txt)" -ge 2
    check "ends in the same store too" diff <(contents long_here) <(contents limited)
    wait

    # Policies that fail.
    some=(--grid --set lr=1e-3 --set diversity_coef=1 --set 'num_critics=[2,1]')
    sweep some_here "${some[@]}"
    sweep some "${some[@]}" --slurm
    check "failed policies are status 1" test $? = 1
    check "are said" says some 'num_critics=1  FAILED: .*diversity_coef 1 needs num_critics'
    check "and counted" says some 'error: 2 of 4 policies failed'
    check "are in the same store" diff <(contents some_here | sed s/some_here/some/g) <(contents some)
    sweep some "${some[@]}" --slurm
    check "are kept" says some '4 ended before; 0 tasks'
    sweep some "${some[@]}" --slurm --retry
    check "or tried again" says some '2 tasks for Slurm'
    check "those two alone" test "$(grep -c '^\[[34]/4\].*FAILED' some.said)" = 2
    check "no sanitizer spoke in a task" bash -c "! grep -rlE 'Sanitizer|runtime error' --include='*.txt' --include='*.said' ."
fi

slurm_down "$T/slurm"
check "nothing is left running" test -z "$(grep -lzF "$T/slurm" /proc/[0-9]*/environ 2>/dev/null)"

exit $bad
