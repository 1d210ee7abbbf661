# check.sh: cases of a shell test, and what is in a store. Needs a folder in T and the program in U; sets bad=1 where a case fails.
check() { # NAME COMMAND...: passes if the command does
    local name=$1
    shift
    if "$@" >"$T/out" 2>"$T/err"; then
        echo "ok $name"
    else
        echo "not ok $name"
        sed 's/^/    /' "$T/out" "$T/err" | head -n 8
        bad=1
    fi
}
contents() { # FOLDER of a sweep: its store without times and places
    "$U" results "$1/store.sqlite" --csv "$1/contents.csv" >/dev/null && cut -d, -f1-7,9-15,17- "$1/contents.csv"
}
refused() { # NAME STATUS PATTERN ARGUMENTS...: this status, and one line on stderr that matches
    local name=$1 status=$2 pattern=$3 got
    shift 3
    "$U" "$@" >"$T/said" 2>"$T/complaint" </dev/null
    got=$?
    check "$name" test "$got $(sed -E "s#^error: .*($pattern).*#as wanted#" "$T/complaint")" = "$status as wanted"
}
