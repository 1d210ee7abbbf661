#!/usr/bin/env bash
# bench/cuda_vs_jax.sh with stand-ins for the program, for python and for the reference: what it refuses, and its sums.
set -uo pipefail
T=$(mktemp -d /tmp/unifloral-vs-jax-XXXXXX)
trap 'rm -rf "$T"' EXIT
bad=0 U=bench/cuda_vs_jax.sh
. tests/check.sh

mkdir -p "$T/reference/algorithms"
touch "$T/reference/algorithms/unifloral.py" "$T/tool.py"
cat >"$T/unifloral" <<'SH'
#!/bin/sh
case $1 in
    verify) [ -z "$NO_GPU" ] || { echo "error: device 'cuda': no NVIDIA driver is installed" >&2; exit 1; } ;;
    bench) echo "{\"algorithm\": \"x\", $NOTE\"us_per_update_and_agent\": {\"min\": 1, \"median\": 1.25e+02, \"max\": 900}, \"device\": \"cuda (a card, tf32)\"}" ;;
esac
SH
cat >"$T/python" <<'SH'
#!/bin/sh
case "$1 $2" in
    "-c import jax") [ -z "$NO_JAX" ] || { echo "ModuleNotFoundError: No module named 'jax'" >&2; exit 1; } ;;
    -c*) echo "${BACKEND:-gpu}" ;;
    *) echo "{\"peer\": \"jax_unifloral\", \"ms_per_step_per_agent\": {\"min\": 0.1, \"median\": 0.75, \"max\": 2}, \"compile_s\": 9}" ;;
esac
SH
chmod +x "$T/unifloral" "$T/python"
export UNIFLORAL=$T/unifloral PYTHON=$T/python JAX_BENCH=$T/tool.py NO_GPU= NO_JAX= NOTE= BACKEND=

check "two presets, two populations" env POPULATIONS="1 16" bash -c "$U '$T/reference' td3_bc iql >'$T/table'"
check "a line for each" test "$(wc -l <"$T/table")" = 6
check "the quotient of the medians" grep -Eq '^iql +16 +125\.0 +750\.0 +6\.0$' "$T/table"
check "and the device" grep -q '^ours on cuda (a card, tf32)$' "$T/table"
refused "no reference" 1 "clone github.com/EmptyJackson/unifloral" "$T/nowhere"
refused "no folder named" 1 "name the folder of the reference"
refused "an unknown preset" 1 "configs/nothing.json is not here" "$T/reference" nothing
NO_GPU=1 refused "no GPU" 1 "no GPU for this program: device 'cuda': no NVIDIA driver" "$T/reference"
NO_JAX=1 refused "no jax" 1 "has no jax .ModuleNotFoundError.*pip install" "$T/reference"
BACKEND=cpu refused "jax without a GPU" 1 "jax runs on 'cpu', not on the GPU" "$T/reference"
NOTE='"note": "no GPU: x", ' refused "kernels on the host" 1 "built to run kernels on the host" "$T/reference"
JAX_BENCH=$T/none.py refused "no program that times the reference" 1 "none.py is not there" "$T/reference"
exit $bad
