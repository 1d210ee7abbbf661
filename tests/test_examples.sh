#!/usr/bin/env bash
# test_examples: the programs of examples/, the installed library in a staged folder, and what the header exports.
set -uo pipefail
B=${BUILD:-build} CC=${CC:-gcc}
T=$(mktemp -d /tmp/unifloral-examples-XXXXXX)
trap 'rm -rf "$T"' EXIT
bad=0

check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$T/out" 2>&1; then
        echo "ok $name"
    else
        echo "not ok $name"
        sed 's/^/    /' "$T/out" | head -n 8
        bad=1
    fi
}

check "train_arrays trains" "$B/examples/train_arrays" "$T/point.h5"
check "and saves a checkpoint" test -s "$T/point.h5"
check "act acts" eval "'$B/examples/act' '$T/point.h5' >'$T/actions' && [ \$(grep -c action '$T/actions') = 5 ]"
check "act refuses what is no checkpoint" eval "! '$B/examples/act' Makefile 2>'$T/err' && grep -q '^error: Makefile' '$T/err'"
check "world_model trains" eval "'$B/examples/world_model' '$T/model.h5' >'$T/r2' && [ \$(grep -c 'R^2 of' '$T/r2') = 3 ]"
check "and saves a world model" test -s "$T/model.h5"
check "distil distils" eval "'$B/examples/distil' '$T/cartpole.hdf5' >'$T/distil' && [ \$(grep -c '^generation' '$T/distil') = 4 ]"
check "and writes a dataset" test -s "$T/cartpole.hdf5"
check "synthetic searches" eval "'$B/examples/synthetic' '$T/synthetic.h5' >'$T/synthetic' && [ \$(grep -c '^generation' '$T/synthetic') = 4 ] && [ \$(grep -c '^DQN agent' '$T/synthetic') = 4 ]"
check "and writes an environment" test -s "$T/synthetic.h5"
check "examples stay under 80 lines" test "$(wc -l examples/*.c | awk '$2 != "total" && $1 >= 80' | wc -l)" = 0
check "the header compiles alone in C" $CC -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -x c unifloral.h
if command -v g++ >/dev/null; then
    check "the header compiles alone in C++" g++ -std=c++17 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -x c++ unifloral.h
else
    echo "skip the header in C++: no g++ here"
fi

if [ -n "${SANITIZE:-}" ]; then
    echo "skip staged install: a sanitized build is not installed"
    exit $bad
fi
unset MAKEFLAGS MAKELEVEL MFLAGS
check "make install" make install PREFIX=/usr "DESTDIR=$T/stage"
export PKG_CONFIG_PATH=$T/stage/usr/lib/pkgconfig
pc() { pkg-config --define-variable=prefix="$T/stage/usr" "$@" unifloral; }
check "pkg-config knows the version" test "$(pc --modversion)" = "$(sed -n 's/.*UF_VERSION "\(.*\)".*/\1/p' unifloral.h)"
check "act builds against the installed shared library" $CC -std=c11 examples/act.c $(pc --cflags --libs) -o "$T/act"
check "it asks for libunifloral.so.0" grep -q 'libunifloral.so.0' <(LD_LIBRARY_PATH= ldd "$T/act")
check "and gives the same actions" eval "LD_LIBRARY_PATH='$T/stage/usr/lib' '$T/act' '$T/point.h5' | cmp - '$T/actions'"
check "act builds against the installed archive" $CC -std=c11 examples/act.c $(pc --cflags) "$T/stage/usr/lib/libunifloral.a" \
    $(pkg-config --libs $(pc --print-requires-private)) \
    $(sed -n 's/^Libs.private: //p' "$T/stage/usr/lib/pkgconfig/unifloral.pc") -o "$T/act_static"
check "and gives the same actions too" eval "'$T/act_static' '$T/point.h5' | cmp - '$T/actions'"
check "train_arrays builds against the installed library" $CC -std=c11 examples/train_arrays.c $(pc --cflags --libs) -o "$T/train"
check "distil builds against the installed library" $CC -std=c11 examples/distil.c $(pc --cflags --libs) -o "$T/distilled"
check "synthetic builds against the installed library" $CC -std=c11 examples/synthetic.c $(pc --cflags --libs) -o "$T/synthesised"
check "the installed program runs" "$T/stage/usr/bin/unifloral" --version
check "the module for Python is installed" cmp python/unifloral_navix.py "$T/stage/usr/share/unifloral/python/unifloral_navix.py"
# Less the linker's own three, which it shows where a library linked has them too.
nm -D --defined-only "$T/stage/usr/lib/libunifloral.so.0" | awk '$2 != "A" && $3 !~ /^(__bss_start|_edata|_end)$/ { print $3 }' | sort >"$T/exported"
sed -nE 's/^UF_API .*[ *]((uf|nx|hd|se)_[a-z_0-9]+)\(.*/\1/p' unifloral.h navix.h hades.h synthenv.h | sort >"$T/declared"
check "the shared library exports what the headers declare" diff "$T/declared" "$T/exported"
check "make uninstall" make uninstall PREFIX=/usr "DESTDIR=$T/stage"
check "nothing is left of it" test -z "$(find "$T/stage" -type f -o -type l)"
exit $bad
