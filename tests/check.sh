# check.sh: one case of a shell test. Needs a folder in T; sets bad=1 where a case fails.
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
