#!/usr/bin/env bash
# test_sweep: unifloral sweep at a tiny scale: it ends, goes on after kills with the same store, records failures; and
# unifloral results on what it stored. Prints "ok name", "not ok name" or "skip name". Environment: UNIFLORAL, BUILD.
set -uo pipefail
U=$(realpath "${UNIFLORAL:-./unifloral}")
flags=$(realpath "${BUILD:-build}/flags")
T=$(mktemp -d /tmp/unifloral-sweep-XXXXXX)
trap 'rm -rf "$T"' EXIT
bad=0

. tests/check.sh
sweep() { # NAME ARGUMENTS...: passes if it does; what it says stays in `said`
    local name=$1
    shift
    "$U" "$@" >"$T/said" 2>"$T/complaint" </dev/null
    check "$name" test $? = 0 -a ! -s "$T/complaint"
}
cd "$T" || exit 1

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
here=(--dataset pendulum-random.hdf5)

if grep -q UF_NO_SQLITE "$flags"; then
    refused "refused without SQLite" 1 "SQLite was missing; install libsqlite3-dev" sweep tiny.json "${here[@]}"
    echo "skip sweeps: built without SQLite"
    exit $bad
fi

# ---- lists ----

refused "train refuses an axis" 1 "actor_q_coef: \[1, 2.5\] is a list.*unifloral sweep.*one value" train tiny.json "${here[@]}"
refused "an axis that is none" 1 "eval_workers: \[1,2\] is a list.*a sweep needs one value" sweep tiny.json "${here[@]}" --set 'eval_workers=[1,2]'
refused "fewer combinations than policies" 1 "have 12 combinations, fewer than 20" sweep tiny.json "${here[@]}" --set 'seed=[1,2]'
refused "no dataset" 1 "dataset: is empty" sweep tiny.json
refused "nothing but contradictions" 1 "diversity_coef 1 needs num_critics" sweep tiny.json "${here[@]}" --set num_critics=1 --set diversity_coef=1
check "and leaves nothing behind" test ! -e runs

# ---- straight, killed, and stopped ----

draw=(sweep tiny.json "${here[@]}" --num-policies 7 --sweep-seed 5 --jobs 2)
sweep "a sweep" "${draw[@]}" --out straight
check "a line for each policy" test "$(grep -cE '^\[[1-7]/7\] policy 000[0-6]  score ' "$T/said")" = 7
check "and what is left" grep -q '^\[3/7\].* left$' "$T/said"
check "all are in the store" test "$(contents straight | wc -l)" = 8
check "seeds differ" test "$(contents straight | tail -n +2 | cut -d, -f8 | sort -u | wc -l)" = 7
sweep "again: nothing is trained twice" "${draw[@]}" --out straight
check "and it says so" grep -q '7 ended before' "$T/said"
check "no policy ends again" test "$(grep -c '^\[' "$T/said")" = 0

for n in 1 2 3 4; do # the parent alone; its runs stop by themselves
    "$U" "${draw[@]}" --out killed >/dev/null 2>&1 &
    pid=$!
    sleep "0.$n"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
check "goes on after kills, $(find killed -name final.h5 | wc -l) of 7 done" "$U" "${draw[@]}" --out killed
check "to the same store" diff <(contents straight) <(contents killed)

"$U" "${draw[@]}" --out stopped --set num_updates=100000000 >"$T/said" 2>&1 &
pid=$!
for _ in $(seq 1200); do
    [ "$(find stopped -name log.jsonl 2>/dev/null | wc -l)" = 2 ] && break
    sleep 0.05
done
refused "two sweeps in one folder" 1 "another sweep works in this folder" "${draw[@]}" --out stopped --set num_updates=100000000
kill -TERM $pid
wait $pid
check "SIGTERM ends with 143" test $? = 143
check "and leaves two checkpoints" test "$(find stopped -name checkpoint.h5 | wc -l)" = 2
check "and no failure" test "$(contents stopped | wc -l)" -le 1
check "and says how to go on" grep -q 'the same command goes on' "$T/said"

sweep "more policies go on from the same draws" sweep tiny.json "${here[@]}" --num-policies 9 --sweep-seed 5 --out straight
check "two more" test "$(grep -c '^\[' "$T/said")" = 2
refused "another configuration in the folder" 1 "sweep.json: describes another sweep: it has \"batch_size\": 16 where this one has \"batch_size\": 8" \
    "${draw[@]}" --out straight --set batch_size=8

# ---- grid, failures ----

sweep "a grid" sweep tiny.json "${here[@]}" --grid --seed 100 --out grid
check "its size comes first" grep -q '^6 policies, the full grid: actor_q_coef (2) x lr (3)' <(head -n 1 "$T/said")
check "all combinations, one seed" test "$(contents grid | tail -n +2 | sort -u | wc -l)" = 6 -a "$("$U" results grid/store.sqlite --where seed=100 | wc -l)" = 7
refused "a failed policy is status 1" 1 "2 of 4 policies failed" sweep tiny.json "${here[@]}" --grid --out some --set lr=1e-3 --set diversity_coef=1 --set 'num_critics=[2,1]'
check "is said" grep -q 'num_critics=1  FAILED: .*diversity_coef 1 needs num_critics' "$T/said"
check "is in the store" test "$("$U" results some/store.sqlite --where status=failed | grep -c 'FAILED: .*diversity_coef')" = 2
check "and does not stop the rest" test "$("$U" results some/store.sqlite --where status=done | wc -l)" = 3
refused "is kept" 1 "2 of 4 policies failed" sweep tiny.json "${here[@]}" --grid --out some --set lr=1e-3 --set diversity_coef=1 --set 'num_critics=[2,1]'
check "without another try" grep -q '4 ended before' "$T/said"
refused "or tried again" 1 "2 of 4 policies failed" sweep tiny.json "${here[@]}" --grid --out some --set lr=1e-3 --set diversity_coef=1 --set 'num_critics=[2,1]' --retry
check "those two alone" test "$(grep -c '^\[[34]/4\].*FAILED' "$T/said")" = 2

# ---- populations ----

# Three widths and a coefficient that may be 0: what cannot train together is kept apart.
shapes=("${draw[@]}" --set 'critic_layer_width=[16,24]' --set 'actor_q_coef=[0,1,2.5]' --set seed=7)
sweep "policies of several shapes, alone" "${shapes[@]}" --out singles
sweep "in populations" "${shapes[@]}" --out together --population 3
check "says how they were put together" grep -Eq '; [3-7] blocks of [2-4] shapes, 2 at a time' "$T/said"
check "to the same store" diff <(contents singles) <(contents together)
sweep "in as many as fit" "${shapes[@]}" --out chosen --population auto --threads 2
check "which it says why" grep -q '^population: 2 of a shape in a process, one for each thread; an update works on .* MiB' "$T/said"
check "to the same store again" diff <(contents singles) <(contents chosen)
for n in 1 2 3; do
    "$U" "${shapes[@]}" --out hunted --population 4 --jobs 2 >/dev/null 2>&1 &
    pid=$!
    sleep "0.$((RANDOM % 6))"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
sweep "populations go on after kills" "${shapes[@]}" --out hunted --population 2 --jobs 2
check "also in others" diff <(contents singles) <(contents hunted)
fails=(sweep tiny.json "${here[@]}" --grid --set 'lr=[1e-3,1000]' --set critic_ln=false --set actor_ln=false --set num_updates=400)
refused "members that fail" 1 "2 of 4 policies failed" "${fails[@]}" --out sick --population 4
check "each by its own sentence" test "$("$U" results sick/store.sqlite --where status=failed | grep -c 'update [0-9]*: .* is not finite')" = 2
check "and the others do not" test "$("$U" results sick/store.sqlite --where status=done | wc -l)" = 3
refused "all of a block" 1 "4 of 4 policies failed" "${fails[@]}" --out fewrows --population 4 --set env=cartpole
check "by the one sentence" test "$("$U" results fewrows/store.sqlite | grep -c 'FAILED: env: environment CartPole-v1 has 4 observations')" = 4
refused "a population that is none" 2 "--population wants a whole number from 1 to 4096, or auto, not 'many'" "${draw[@]}" --population many

# ---- results ----

check "of a folder" cmp <("$U" results grid) <("$U" results grid/store.sqlite)
check "a filter" test "$("$U" results grid/store.sqlite --where lr=0.001 --where actor_q_coef=1 | wc -l)" = 2
refused "a filter that nothing passes" 1 "grid/store.sqlite: holds no policy for which" results grid/store.sqlite --where seed=7
refused "an unknown column" 1 "did you mean 'seed'" results grid/store.sqlite --where sead=7
refused "no store" 1 "nowhere.sqlite: cannot open" results nowhere.sqlite
check "npz out" "$U" results grid/store.sqlite --npz npz
check "npz in" "$U" results back.sqlite --import npz
check "are the same policies" diff <("$U" results grid/store.sqlite) <("$U" results back.sqlite)
check "run folders in" "$U" results folders.sqlite --import grid straight
check "are the same policies as the two stores'" test "$("$U" results folders.sqlite | wc -l)" = 16
check "a sweep and the protocol in one command" "$U" "${draw[@]}" --out straight --protocol
cp "$T/out" one_command
check "that of its store" diff <(sed -n '/^Expected score/,$p' one_command | grep -v ^wrote) <("$U" protocol straight/store.sqlite --out protocol0 2>/dev/null | grep -v ^wrote)
check "with the figure" test -s straight/protocol/curves.csv -a \( -s straight/protocol/protocol.svg -o -z "$(grep -v UF_NO_CAIRO "$flags")" \)
check "the protocol on a store" "$U" protocol straight/store.sqlite --trials 20 --bootstraps 20 --max-pulls 10 --out protocol
cp "$T/out" of_store
check "is that on its run folders" "$U" protocol straight --trials 20 --bootstraps 20 --max-pulls 10 --out protocol
cp "$T/out" of_folders
check "to the digit" diff of_store of_folders
refused "the protocol on no store" 1 "tiny.json: is not a result store" protocol tiny.json
printf '' >unevaluated.sqlite
refused "an empty store" 1 "unevaluated.sqlite: is not a result store: it is empty" results unevaluated.sqlite

exit $bad
