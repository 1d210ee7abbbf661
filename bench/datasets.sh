#!/usr/bin/env bash
# Makes the locomotion datasets from nothing: SAC learns each task online, then its checkpoints are rolled out.
# usage: bench/datasets.sh           from the repository root, after `make`; `make datasets` calls it
#        bench/datasets.sh --table   the made files as a table of Markdown, from `unifloral info`
# Stopped or killed, it leaves all it needs: the same command goes on, and the files are those of a run that was never stopped.
# Variables: TASKS; STEPS of training and ROWS of each of medium and expert; MEDIUM, a score instead of the configuration's
# medium_score; CORES; the folders CONFIGS, RUNS and DATASETS.
set -uo pipefail
TASKS=${TASKS:-hopper halfcheetah walker2d} STEPS=${STEPS:-300000} ROWS=${ROWS:-100000} MEDIUM=${MEDIUM:-} CORES=${CORES:-$(nproc)}
CONFIGS=${CONFIGS:-configs/online} RUNS=${RUNS:-runs/datasets} DATASETS=${DATASETS:-datasets} U=${UNIFLORAL:-./unifloral}
KINDS="medium-replay medium expert medium-expert"

table() {
    echo "| file | made with | rows | episodes | return mean / max | score mean / max | size | SHA-256 |"
    echo "|---|---|---|---|---|---|---|---|"
    local task kind file
    for task in $TASKS; do
        for kind in $KINDS; do
            file=$DATASETS/$task-$kind.hdf5
            [ -e "$file" ] || continue
            "$U" info "$file" | awk -v name="$task-$kind.hdf5" -v size="$(stat -c %s "$file")" \
                -v made="$(sed -n '1s/ MEDIUM=$//p; 1s/.*MEDIUM=..*/&/p' "$RUNS/$task.made" 2>/dev/null)" '
                { for (i = 2; i < NF; i++) of[$1, $i] = $(i + 1); first[$1] = $2 }
                $1 == "rows" && $4 ~ /^[0-9]+$/ { first[$1] += $4 }
                END { printf "| %s | %s | %d | %d | %.1f / %.1f | %.1f / %.1f | %.1f MiB | `%s` |\n", name, made, first["rows"],
                      first["episodes"], of["return", "mean"], of["return", "max"], of["score", "mean"], of["score", "max"],
                      size / 1048576, first["sha256"] }'
        done
    done
}

fail() {
    echo "error: $1" >&2
    exit 1
}

# Whether there is nothing to do. $RUNS/TASK.made says what was asked for and, once it is done, which files there are.
is_made() {
    local task=$1 made=$RUNS/$1.made asked file
    [ -e "$made" ] || return 1
    asked=$(head -n 1 "$made")
    [ "$asked" = "$settings" ] || fail "$task: $asked in $RUNS, not $settings; give those, other folders RUNS= and DATASETS=, or \
remove $made, $RUNS/$task and $DATASETS/$task-*.hdf5"
    grep -q '^done$' "$made" || return 1
    for file in $(sed -nE 's/^(wrote|kept) //p' "$made"); do [ -e "$file" ] || return 1; done
}

start() { # TASK THREADS
    local task=$1 made=$RUNS/$1.made
    echo "$task: $STEPS steps, threads: $2, run folder $RUNS/$task"
    echo "$settings" >"$made"
    "$U" online "$CONFIGS/sac_$task.json" --steps "$STEPS" --resume "$RUNS/$task" --threads "$2" --datasets "$DATASETS" \
        --dataset-steps "$ROWS" ${MEDIUM:+--medium-score "$MEDIUM"} </dev/null >"$RUNS/$task.out" 2> >(trap '' INT TERM HUP; exec sed -u "s/^/$task: /" >&2) &
    pids+=($!)
    running+=("$task")
}

finish() { # PID TASK
    wait "$1" || { failed=1; return; }
    grep -E '^(wrote|kept|skipped) ' "$RUNS/$2.out" | tee -a "$RUNS/$2.made"
    echo "done" >>"$RUNS/$2.made"
}

# A second signal would end the program at once, so the terminal must not send one of its own: `set -m`.
stop() { # SIGNAL STATUS
    trap '' INT TERM HUP
    kill -s "$1" "${pids[@]}" 2>/dev/null
    wait
    echo "stopped; the same command goes on" >&2
    exit "$2"
}

if [ "${1:-}" = --table ]; then
    table
    exit
fi
set -m
mkdir -p "$RUNS" "$DATASETS" || exit 1
failed=0 waiting=() pids=() settings="STEPS=$STEPS ROWS=$ROWS MEDIUM=$MEDIUM"
for task in $TASKS; do
    [ -e "$CONFIGS/sac_$task.json" ] || fail "TASKS: '$task' has no $CONFIGS/sac_$task.json"
    if is_made "$task"; then echo "$task: made before"; else waiting+=("$task"); fi
done
trap 'stop INT 130' INT
trap 'stop TERM 143' TERM
trap 'stop TERM 129' HUP
# A run with one thread each is faster than one run with two after the other; what is left over gets the threads that are.
while ((${#waiting[@]} > 0)); do
    pids=() running=() wave=$((CORES < ${#waiting[@]} ? CORES : ${#waiting[@]}))
    for task in "${waiting[@]:0:wave}"; do start "$task" $((CORES / wave)); done
    waiting=("${waiting[@]:wave}")
    for i in "${!pids[@]}"; do finish "${pids[i]}" "${running[i]}"; done
done
exit $failed
