#!/usr/bin/env bash
# test_python: python/unifloral_navix.py, alone and beside MiniGrid (tests/python/check_navix.py); its example; the version.
# Prints "ok name", "not ok name" or "skip name": nothing is installed for it. Environment: UNIFLORAL, SANITIZE, CC, PYTHON.
set -uo pipefail
U=$(realpath "${UNIFLORAL:-./unifloral}")
PYTHON=${PYTHON:-python3}
T=$(mktemp -d /tmp/unifloral-python-XXXXXX)
trap 'rm -rf "$T"' EXIT
bad=0

. tests/check.sh

version=$(sed -n 's/.*UF_VERSION "\(.*\)".*/\1/p' unifloral.h)
check "the module is of the library's version" grep -q "^VERSION = \"$version\"" python/unifloral_navix.py
if ! command -v "$PYTHON" >/dev/null; then
    echo "skip the rest: there is no $PYTHON"
    exit $bad
fi
if [ -n "${SANITIZE:-}" ]; then
    echo "skip the rest: a library under a sanitizer does not load into $PYTHON"
    exit $bad
fi
for module in numpy gymnasium; do
    if ! "$PYTHON" -c "import $module" 2>/dev/null; then
        echo "skip the rest: $PYTHON has no $module (pip install gymnasium)"
        exit $bad
    fi
done
export UNIFLORAL_LIBRARY=$(dirname "$U")/libunifloral.so.0 PYTHONPATH=python PYTHONDONTWRITEBYTECODE=1 TEST_FOLDER=$T
"$PYTHON" -W ignore tests/python/check_navix.py || bad=1
check "the example" eval '"$PYTHON" python/example_random.py --envs 64 --steps 50 >"$T/said" && grep -Eq "^[0-9,]+ steps/s" "$T/said"'
exit $bad
