#!/usr/bin/env bash
# Runs the tests given (cmocka programs and shell scripts) from the repository root and counts each case.
# The last line is "N passed, N failed, N skipped"; the status is 1 if anything failed. Output: $BUILD/tests/NAME.log.
set -uo pipefail
BUILD=${BUILD:-build}
export BUILD UNIFLORAL=${UNIFLORAL:-./unifloral} CC=${CC:-gcc} SANITIZE=${SANITIZE:-}
export LSAN_OPTIONS="suppressions=$PWD/tests/lsan.supp:print_suppressions=0"
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:allocator_may_return_null=1} UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}
mkdir -p "$BUILD/tests"

passed=0 failed=0 skipped=0

name_of() { basename "$1" .sh; }

# Runs a test; its status and seconds stay beside its log.
run() {
    local log=$BUILD/tests/$(name_of "$1").log start=$SECONDS command=("$1")
    [[ $1 == *.sh ]] && command=(bash "$1")
    timeout -k 10 "${TEST_SECONDS:-1500}" "${command[@]}" >"$log" 2>&1 </dev/null
    echo "$? $((SECONDS - start))" >"$log.status"
}

# Prints what came of it, and counts.
report() {
    local name status seconds p f s log
    name=$(name_of "$1")
    log=$BUILD/tests/$name.log
    read -r status seconds <"$log.status"
    # cmocka repeats failures in its summary, so only lines between RUN and the end of a group count.
    read -r p f s < <(awk '
        /^\[ RUN      \]/ { inside = 1; if (open) f++; open = 1; next }
        inside && /^\[       OK \]/ { p++; open = 0; next }
        inside && /^\[  FAILED  \]/ { f++; open = 0; next }
        inside && /^\[  SKIPPED \]/ { s++; open = 0; next }
        /^\[==========\] [0-9]+ test\(s\) run/ { inside = 0 }
        /^ok / { p++ } /^not ok / { f++ } /^skip / { s++ }
        END { print p + 0, f + open, s + 0 }' "$log")
    ((status == 0 || f > 0)) || f=1      # it crashed, ran out of time, or a sanitizer spoke at the end
    ((status != 0 || p + f + s > 0)) || f=1  # it ran nothing
    printf '%-24s %3d passed %3d failed %3d skipped  %3d s\n' "$name" "$p" "$f" "$s" "$seconds"
    grep -ahE '^(SKIP|skip) ' "$log" | sed 's/^/    /'
    if ((f > 0)); then
        grep -aE '^not ok |^\[  FAILED  \]|^\[  ERROR   \]|^(==[0-9]+==)?ERROR|runtime error|SUMMARY: ' "$log" | sort -u | head -n 20 | cut -c 1-300 | sed 's/^/    /'
        echo "    exit status $status; whole output: $log; its end:"
        tail -n 15 "$log" | cut -c 1-300 | sed 's/^/    | /'
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

# One that does little but wait, for daemons' timers, runs beside the others.
waits() { [[ $(name_of "$1") == test_slurm ]]; }

for test in "$@"; do
    if waits "$test"; then run "$test" & fi
done
for test in "$@"; do
    waits "$test" && continue
    run "$test"
    report "$test"
done
wait
for test in "$@"; do
    if waits "$test"; then report "$test"; fi
done
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0 && passed > 0))
