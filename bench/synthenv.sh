#!/usr/bin/env bash
# Synthetic environments against what is asked of them. Run folders stay in runs/synthenv; the same command goes on.
# docs/synthenv.md has what came out.
#   bench/synthenv.sh [reuse] [meta] [speed] [mode] [hyperparameters] [transfer] [published]     default: the first three
# SEEDS="0 1 2", THREADS=0 (all cores), AGENTS=12, CHECKPOINTS=the file of published environments (reuse, published).
set -euo pipefail
cd "$(dirname "$0")/.."
unifloral=${UNIFLORAL:-./unifloral}
seeds=${SEEDS:-0 1 2}
threads=${THREADS:-0}
agents=${AGENTS:-12}
checkpoints=${CHECKPOINTS:-../shared/oracle/synth_checkpoints.h5}
out=runs/synthenv
mkdir -p $out

# verdict WHAT VALUE BOUND: whether VALUE >= BOUND
verdict() {
    awk -v what="$1" -v value="$2" -v bound="$3" 'BEGIN { printf "%-56s %9.4g  asked %6g  %s\n", what, value, bound, (value >= bound ? "reached" : "MISSED") }'
}

# within WHAT VALUE ASKED: whether VALUE is at most 3 % of ASKED off
within() {
    awk -v what="$1" -v value="$2" -v asked="$3" 'BEGIN { d = (value - asked) / asked; if (d < 0) d = -d; printf "%-56s %9.4g  asked %6g  %s (%.1f %% off)\n", what, value, asked, (d <= .03 ? "reached" : "MISSED"), 100 * d }'
}

# published NAME: the published environment in $file
published() {
    file=$out/$1.h5
    [ -e "$file" ] || $unifloral synthenv import "$checkpoints" "$1" --out "$file" >/dev/null
}

# reuse_one NAME CONFIG: agents of each algorithm in a published environment, and as many in the real one
reuse_one() {
    published "$1"
    $unifloral synthenv train "$file" --config "configs/synthenv/published/$2.json" --agents "$agents" --threads "$threads" \
        --controls | tee "$out/$1.txt"
}

# asked NAME ALGORITHM BOUND
asked() { verdict "$1, $2 agents, inter-quartile mean" "$(awk -v a="$2" '$1 == a && $2 == "synthetic" { print $3 }' "$out/$1.txt")" "$3"; }

arg_max() {
    published "$1"
    within "$1, the reward's best action, 512 episodes" "$($unifloral synthenv play "$file" --episodes 512 --seed 0 | awk '$1 == "return" { print $2 }')" "$2"
}

reuse() {
    reuse_one cartpole cartpole
    reuse_one acrobot acrobot
    reuse_one mountaincar mountain_car
    reuse_one continuous_mountaincar mountain_car_continuous
    reuse_one pendulum pendulum
    asked cartpole dqn 500
    asked cartpole ppo 500
    asked acrobot dqn -85
    asked acrobot ppo -85
    asked mountaincar dqn -120
    asked pendulum ddpg -190
    asked continuous_mountaincar ddpg 97
    arg_max cartpole 500
    arg_max acrobot -83.4
    arg_max mountaincar -124.5
    arg_max continuous_mountaincar 75
    arg_max pendulum -262.9
}

# run CONFIG SEED [--set ...]: a finished search in $folder
run() {
    local config=$1 seed=$2
    shift 2
    folder=$out/$(basename "$config" .json)_$seed
    [ -e "$folder/report.txt" ] && return
    if [ -e "$folder/synthenv.json" ]; then
        $unifloral synthenv meta --resume "$folder" --threads "$threads" --quiet >/dev/null
    else
        $unifloral synthenv meta --config "configs/synthenv/$config.json" --seed "$seed" --out "$folder" --threads "$threads" \
            --quiet "$@" >/dev/null
    fi
}

# column NAME LINE: a number of the log; LINE as tail or head take it
column() { awk -F, -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i; next } { v[NR - 1] = $c } END { print v['"$2"' < 0 ? NR - 1 : '"$2"'] }' "$folder/log.csv"; }

# TASKS="cartpole acrobot gridworld mountain_car_continuous pendulum mountain_car": the last three take minutes a seed.
meta() {
    for c in ${TASKS:-cartpole acrobot gridworld mountain_car_continuous pendulum mountain_car}; do
        for s in $seeds; do
            run $c "$s"
            echo "$c, seed $s: generation 1 $(printf %.4g "$(column mean 1)"), last $(printf %.4g "$(column mean -1)"), $(printf %.0f "$(column seconds -1)") s"
            sed -n '/inter-quartile\|no agent/s/^/    /p' "$folder/report.txt"
        done
    done
}

# CartPole by PPO, 32 candidates, 2000 steps an agent: from below 30 to above 400 within 100 generations, in 30 s of two cores.
speed() {
    for s in $seeds; do
        folder=$out/speed_$s
        rm -rf "$folder"
        $unifloral synthenv meta --config configs/synthenv/cartpole.json --seed "$s" --out "$folder" --threads "$threads" --quiet \
            --set eval_algorithms=ppo --set mean_eval_interval=20 --set mean_eval_agents=32 >/dev/null
        echo "speed, seed $s: generation 1 $(printf %.4g "$(column mean 1)"); agents in the mean before generations 1, 21, ...: $(awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "mean_ppo") c = i; next } $c != "" { printf "%s%.0f", n++ ? ", " : "", $c }' "$folder/log.csv"); $(sed -n 's/ *inter-quartile.*//p' "$folder/report.txt") at the end; $(printf %.1f "$(column seconds -1)") s"
    done
}

sweep() { $unifloral synthenv sweep --config "configs/synthenv/sweeps/$1.json" --out "$out/$1" --threads "$threads" --quiet; }

mode() { sweep mode; }
transfer() { sweep transfer; }

# Searches with fixed and with sampled hyperparameters; the agents of both are trained with sampled ones.
hyperparameters() {
    sweep fixed
    sweep sampled
    for kind in fixed sampled; do
        for s in $seeds; do
            echo "searched with $kind ones, seed $s:"
            $unifloral synthenv train "$out/$kind/seed=$s/environment.h5" --set env=CartPole-v1 --set num_steps=2000 --set layer_width=32 \
                --set warm_up=200 --set ppo_num_minibatches=4 --set ppo_update_epochs=4 --set lr=0.01,0.005,0.001,0.0005 \
                --set ent_coef=0,0.01,0.05 --algorithms ppo,dqn --agents 40 --seed 100 --threads "$threads" | tail -n +3
        done
    done
}

# A generation of each algorithm by the published settings for CartPole, and what 300 come to.
published_run() {
    folder=$out/published_3
    rm -rf "$folder"
    $unifloral synthenv meta --config configs/synthenv/published/cartpole.json --set generations=3 --set eval_algorithms=ppo \
        --set eval_agents=1 --set eval_episodes=1 --out "$folder" --threads "$threads" --quiet >/dev/null
    awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "agents_per_second") c = i; next } { t = 128 / $c; printf "published settings, generation %d: %.1f s\n", $1, t; s += t } END { printf "published settings, 300 generations: %.0f minutes\n", s * 100 / 60 }' "$folder/log.csv"
}

for part in ${@:-reuse meta speed}; do
    case $part in
        reuse | meta | speed | mode | transfer | hyperparameters) $part ;;
        published) published_run ;;
        *) echo "bench/synthenv.sh: there is no part '$part'" >&2 && exit 2 ;;
    esac
done
