#!/usr/bin/env bash
# Updates of this program and of the JAX reference on the same GPU, one right after the other: microseconds an update and
# agent of both (medians, compile time apart) and how many times as long the reference takes, a line a preset and
# population. The reference is a checkout of github.com/EmptyJackson/unifloral; what times it is jax_unifloral_bench.py
# of the shared tools (JAX_BENCH names another place), its population is a vmap. Needs python3 (PYTHON names another)
# with jax for CUDA, flax, optax and distrax.
# Usage: bench/cuda_vs_jax.sh REFERENCE_DIR [PRESET...]    from the repository root, after `make`; POPULATIONS="1 16 64"
# PRECISION=tf32 (the reference's products are tf32 by default too)
set -euo pipefail
refuse() {
    echo "error: $*" >&2
    exit 1
}
U=${UNIFLORAL:-./unifloral} python=${PYTHON:-python3} tool=${JAX_BENCH:-../shared/tools/jax_unifloral_bench.py}
precision=${PRECISION:-tf32} populations=${POPULATIONS:-1 16 64}
(($# >= 1)) || refuse "name the folder of the reference: bench/cuda_vs_jax.sh REFERENCE_DIR [PRESET...]"
reference=$1
shift
presets=("$@")
(($# > 0)) || presets=(td3_awr td3_bc iql rebrac)
[[ -x $U ]] || refuse "$U is not there; run make first"
[[ -r $tool ]] || refuse "$tool is not there; JAX_BENCH names the program that times the reference"
[[ -r $reference/algorithms/unifloral.py ]] ||
    refuse "$reference has no algorithms/unifloral.py; clone github.com/EmptyJackson/unifloral and name that folder"
T=$(mktemp -d /tmp/unifloral-jax-XXXXXX)
trap 'rm -rf "$T"' EXIT
for preset in "${presets[@]}"; do
    [[ -r configs/$preset.json ]] || refuse "configs/$preset.json is not here; run this from the repository root"
done
"$U" verify --device cuda --precision "$precision" tests/data/update_bc.h5 >/dev/null 2>"$T/why" ||
    refuse "no GPU for this program: $(grep . "$T/why" | sed 's/^error: //' | head -n 1 || echo "verify fails")"
"$python" -c 'import jax' 2>"$T/why" || refuse "$python has no jax ($(tail -n 1 "$T/why")); pip install 'jax[cuda]' flax optax distrax"
backend=$("$python" -c 'import jax; print(jax.default_backend())' 2>/dev/null) || backend=none
[[ $backend == gpu || $backend == cuda ]] || refuse "jax runs on '$backend', not on the GPU; pip install 'jax[cuda]'"

median() { # FILE NAME: "median" of the object NAME
    sed -nE "s/.*\"$2\": \{[^}]*\"median\": ([0-9.e+-]+).*/\1/p" "$1"
}
echo "preset        population  us ours  us reference  times"
for preset in "${presets[@]}"; do
    for population in $populations; do
        "$U" bench --config "configs/$preset.json" --obs-dim 17 --action-dim 6 --device cuda --precision "$precision" \
            --population "$population" >"$T/ours" 2>"$T/why" || refuse "bench of $preset, $population agents: $(cat "$T/why")"
        ! grep -q '"note": "no GPU' "$T/ours" || refuse "$U is built to run kernels on the host; build it with nvcc"
        "$python" "$tool" "$reference" "$preset" --pop "$population" >"$T/theirs" 2>"$T/why" ||
            refuse "the reference's $preset, $population agents: $(tail -n 1 "$T/why")"
        ours=$(median "$T/ours" us_per_update_and_agent) theirs=$(median "$T/theirs" ms_per_step_per_agent)
        [[ -n $ours && -n $theirs ]] || refuse "$preset: no median in what was printed: $(cat "$T/ours" "$T/theirs")"
        awk -v n="$preset" -v p="$population" -v a="$ours" -v b="$theirs" \
            'BEGIN { printf "%-12s  %10d  %7.1f  %12.1f  %5.1f\n", n, p, a, 1000 * b, 1000 * b / a }'
    done
done
sed -nE 's/.*"device": "([^"]*)".*/ours on \1/p' "$T/ours"
