#!/usr/bin/env bash
# fqe.sh: whether fitted Q evaluation orders policies as their returns do, on Pendulum.
# usage: bench/fqe.sh [--quick] [--seed S] [--out FOLDER]    from the repository root, after `make`
#
# Makes the medium-replay dataset of `make demo`, trains ten policies on it with presets of configs/pendulum, stopped
# after different numbers of updates so that they range from useless to expert, evaluates each in the environment
# (1000 episodes) and all by `unifloral fqe` on the dataset, which never sees the environment. Prints a table in the
# order of the true returns and Spearman's rank correlation; the status is 1 where that is 0.8 or less.
# Seed S (default 0) is that of the training, of FQE and, plus 1000, of the episodes. --quick: smaller networks, fewer
# updates and episodes, ten seconds on one core: what tests/test_ranking.sh runs. FOLDER keeps the runs (default: none).
set -euo pipefail
unifloral=${UNIFLORAL:-./unifloral} threads=${THREADS:-0}
quick="" seed=0 out=""
while (($#)); do
    case $1 in
        --quick) quick=yes ;;
        --seed) seed=$2 && shift ;;
        --out) out=$2 && shift ;;
        *) echo "error: unknown argument '$1'; see the head of bench/fqe.sh" >&2 && exit 2 ;;
    esac
    shift
done
if [ -z "$out" ]; then
    out=$(mktemp -d /tmp/unifloral-fqe-XXXXXX)
    trap 'rm -rf "$out"' EXIT
fi
mkdir -p "$out"
data=$out/pendulum-medium-replay.hdf5
"$unifloral" collect --env pendulum --policy replay --steps 40000 --seed 0 --out "$data" >/dev/null

if [ -n "$quick" ]; then
    policies="bc:1 bc:150 bc:1500 td3_bc:300 td3_bc:1000 td3_bc:3000 rebrac:700 rebrac:1300 rebrac:2000 rebrac:3000"
    train=(--set batch_size=128 --set actor_layer_width=32 --set critic_layer_width=32)
    fqe=(--num-updates 6000 --set num_critics=2 --set critic_layer_width=32 --set batch_size=128)
    episodes=200
else
    policies="bc:1 bc:300 bc:10000 td3_bc:500 td3_bc:1500 td3_bc:10000 rebrac:1000 rebrac:1500 rebrac:2500 rebrac:10000"
    train=() fqe=(--set critic_layer_width=64) episodes=1000
fi

runs=()
for policy in $policies; do
    preset=${policy%:*} updates=${policy#*:} run=$out/${preset}_$updates
    "$unifloral" train "configs/pendulum/$preset.json" --dataset "$data" --out "$run" --seed "$seed" --quiet --threads "$threads" \
        --set num_updates="$updates" --set eval_interval=1000000 --set eval_final_episodes=0 "${train[@]}" >/dev/null
    "$unifloral" eval "$run" --episodes $episodes --seed $((seed + 1000)) --threads "$threads" --json >"$run/true.json"
    runs+=("$run")
done
"$unifloral" fqe "${runs[@]}" --dataset "$data" --seed "$seed" --threads "$threads" --quiet --json "${fqe[@]}" >"$out/fqe.json"

number() { sed -n "s/.*\"$1\": *\([-0-9.e+]*\).*/\1/p" "$2"; }
for run in "${runs[@]}"; do
    tr '{' '\n' <"$out/fqe.json" | grep -F "\"policy\":\"$run\"" >"$run/fqe.json"
    echo "$(basename "$run") $(number return_mean "$run/true.json") $(number return_stderr "$run/true.json")" \
        "$(number estimate "$run/fqe.json") $(number low "$run/fqe.json") $(number high "$run/fqe.json") $(number td_error "$run/fqe.json")"
done | sort -k2,2gr | awk '
    NF != 7 { print "error: no estimate of " $1 > "/dev/stderr"; failed = 1; exit 1 }
    { name[NR] = $1; ret[NR] = $2; se[NR] = $3; q[NR] = $4; low[NR] = $5; high[NR] = $6; td[NR] = $7 }
    END {
        if (failed) exit 1
        print "| policy | return | FQE estimate | 95 % interval | TD error | rank by return | by FQE |\n|---|---|---|---|---|---|---|"
        for (i = 1; i <= NR; i++) {
            rank = 1
            for (j = 1; j <= NR; j++) rank += q[j] > q[i]
            sum += (rank - i) ^ 2
            printf "| %s | %.0f ± %.0f | %.1f | %.1f to %.1f | %.3g | %d | %d |\n", name[i], ret[i], se[i], q[i], low[i], high[i], td[i], i, rank
        }
        rho = 1 - 6 * sum / (NR * (NR * NR - 1))
        printf "\nSpearman %.3f of %d policies\n", rho, NR
        exit !(rho > 0.8)
    }'
