#!/usr/bin/env bash
# test_ranking: unifloral fqe as scripts use it, and that it ranks ten policies of Pendulum as their returns do
# (bench/fqe.sh --quick). Prints "ok name" or "not ok name". Environment: UNIFLORAL (the program).
set -uo pipefail
U=$(realpath "${UNIFLORAL:-./unifloral}")
T=$(mktemp -d /tmp/unifloral-ranking-XXXXXX)
trap 'rm -rf "$T"' EXIT
bad=0

. tests/check.sh

# ---- ten policies; over ten seeds the correlation is 0.88 to 1 (docs/fqe.md) ----

THREADS=1 UNIFLORAL=$U bench/fqe.sh --quick --out "$T/runs" >"$T/table.md" 2>"$T/notes"
status=$?
sed 's/^/    /' "$T/table.md"
check "FQE ranks ten policies, Spearman above 0.8" test $status = 0

# ---- what it prints and writes ----

D=$T/runs/pendulum-medium-replay.hdf5 good=$T/runs/rebrac_3000 poor=$T/runs/bc_1
fast=(--dataset "$D" --set batch_size=32 --set critic_layer_width=16 --set polyak_step_size=0.5 --num-updates 700 --threads 1)
"$U" fqe "$poor" "$good" "${fast[@]}" --out "$T/fqe.json" >"$T/table" 2>"$T/notes"
check "a table" test $? = 0 -a ! -s "$T/notes"
check "with the better policy first" grep -Eq "^   1  $good +-[0-9.]+  \[-[0-9.]+, -[0-9.]+\]" "$T/table"
check "and the other after it" grep -Eq "^   2  $poor " "$T/table"
check "and the initial states" grep -q "39800 rows, 200 initial states" "$T/table"
"$U" fqe "$poor/checkpoint.h5" "$good/checkpoint.h5" "${fast[@]}" --json --threads 2 >"$T/line"
check "one line of JSON" test "$(wc -l <"$T/line")" = 1
check "which --out writes, for any number of threads" diff <(sed 's#/checkpoint.h5##g' "$T/line") "$T/fqe.json"
"$U" fqe "$good" "${fast[@]}" --json >"$T/alone"
estimate() { tr '{' '\n' <"$2" | grep "/$1\"" | grep -o '"estimate".*"td_error":[^,]*'; }
check "a policy alone gets the same numbers" test "$(estimate rebrac_3000 "$T/alone")" = "$(estimate rebrac_3000 "$T/fqe.json")"
"$U" fqe "$good" "${fast[@]}" --seed 1 --json >"$T/other"
check "another seed others" test "$(estimate rebrac_3000 "$T/other")" != "$(estimate rebrac_3000 "$T/fqe.json")"
"$U" fqe "$good" "${fast[@]}" --gamma 0.5 --json >"$T/other"
check "another gamma too" grep -q '"gamma":0.5' "$T/other"

# ---- divergence ----

"$U" fqe "$good" "$poor" "${fast[@]}" --set lr=300 >"$T/table" 2>"$T/complaint"
check "divergence is an error" test $? = 1
check "and named" grep -q "^error: 2 of 2 evaluations diverged" "$T/complaint"
check "and no number" test "$(grep -c " -  $T/runs.* diverged: " "$T/table")" = 2
"$U" fqe "$good" "${fast[@]}" --set lr=300 --json >"$T/line" 2>/dev/null
check "nor one in JSON" grep -q '"rank":null,"estimate":null,"low":null,"high":null,.*"diverged":true' "$T/line"

# ---- refusals ----

refused "no dataset" 2 "--dataset is missing" fqe "$good"
refused "no checkpoint" 2 "argument is missing" fqe --dataset "$D"
refused "gamma that is none" 2 "--gamma wants a number" fqe "$good" --dataset "$D" --gamma high
refused "gamma 1" 1 "gamma 1 leaves values without a bound" fqe "$good" --dataset "$D" --gamma 1
refused "gamma above 1" 1 "gamma: 2 is out of range" fqe "$good" --dataset "$D" --gamma 2
refused "what FQE does not read" 1 "actor_lr is set to 0.1, but fitted Q evaluation does not read it" fqe "$good" --dataset "$D" --set actor_lr=0.1
refused "a checkpoint that is not there" 1 "nowhere" fqe "$good" "$T/nowhere" --dataset "$D"
refused "a dataset that is not there" 1 "nowhere.hdf5" fqe "$good" --dataset "$T/nowhere.hdf5"
refused "results into no folder" 1 "none/x.json: its folder is not there" fqe "$good" --dataset "$D" --out "$T/none/x.json"
"$U" collect --env mountaincarcontinuous --policy random --steps 1000 --out "$T/car.hdf5" >/dev/null
refused "a dataset of another task" 1 "rebrac_3000/checkpoint.h5: the policy has 3 observations and 1 actions, .*/car.hdf5 2 and 1" fqe "$good" --dataset "$T/car.hdf5"

# ---- a signal ----

"$U" fqe "$good" --dataset "$D" --num-updates 1000000000 --out "$T/late.json" >"$T/said" 2>"$T/complaint" </dev/null &
pid=$!
sleep 1
kill -INT $pid
wait $pid
check "a signal ends it" test $? = 130
check "and says so" grep -Eq "^stopped at update [0-9]+; nothing was written$" "$T/complaint"
check "and nothing is written" test ! -e "$T/late.json" -a ! -s "$T/said"
exit $bad
