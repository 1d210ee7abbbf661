#!/usr/bin/env bash
# `make test-cuda`: the tests that want a GPU, on the one that is there; the last line counts. Without one: a message.
# BUILD and UNIFLORAL as in tests/run_tests.sh; CUDA_TESTS: tests of the device; DEVICE_PROGRAMS: what runs with it as
# UF_TEST_DEVICE. A GPU that is there and runs no kernel fails. compute-sanitizer looks at the first cases: it is slow.
set -uo pipefail
BUILD=${BUILD:-build}
export UNIFLORAL=${UNIFLORAL:-./unifloral}
why=$("$UNIFLORAL" verify --device cuda --precision fp32 tests/data/update_bc.h5 2>&1 >/dev/null | grep "^error: device 'cuda'")
case $why in
    "") ;;
    *"no NVIDIA driver"* | *"the NVIDIA driver is for"* | *"shows no GPU"* | *"has compute capability"*)
        echo "SKIP test-cuda: ${why#error: }"
        exit 0
        ;;
    *)
        echo "not ok test-cuda: ${why#error: }"
        exit 1
        ;;
esac
# shellcheck disable=SC2086  # a list
bash tests/run_tests.sh $CUDA_TESTS
bad=$?
# shellcheck disable=SC2086  # a list
UF_TEST_DEVICE=cuda bash tests/run_tests.sh $DEVICE_PROGRAMS || bad=1
if ! command -v compute-sanitizer >/dev/null; then
    echo "SKIP compute-sanitizer: it is not on the PATH"
    exit $bad
fi
for tool in memcheck racecheck synccheck; do
    for program in test_kernels cuda/test_cuda_grid cuda/test_cuda_off_policy cuda/test_cuda_rules cuda/test_cuda_synth cuda/test_cuda_trials; do
        name="compute-sanitizer $tool of ${program#*/}" log=$BUILD/tests/compute-sanitizer-$tool-${program#*/}.log
        if UF_TEST_CASES=5 compute-sanitizer --tool $tool --error-exitcode 9 "$BUILD/tests/$program" >"$log" 2>&1; then
            echo "ok $name"
        else
            echo "not ok $name: $log; its end:"
            tail -n 10 "$log" | sed 's/^/    | /'
            bad=1
        fi
    done
done
exit $bad
