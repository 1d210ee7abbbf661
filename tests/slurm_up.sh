#!/usr/bin/env bash
# slurm_up.sh: a real Slurm of one node for tests, as root and without systemd: munged, slurmctld, slurmd.
#   . tests/slurm_up.sh; slurm_up FOLDER || echo "$slurm_why"; ...; slurm_down FOLDER
#   bash tests/slurm_up.sh up FOLDER      prints the line that a shell needs to talk to it;   down FOLDER
# Configuration, key, state, logs and sockets are in FOLDER, ports are free ones, and only SLURM_CONF leads there, so a
# Slurm that the machine already has is neither used (a test's jobs have no business in its queue) nor disturbed.
# slurm_up installs Debian's slurm-wlm and munge where they are missing. It fails with the reason in slurm_why.

slurm_install() { # FOLDER
    local program missing=()
    for program in munged slurmctld slurmd sbatch; do
        PATH=$PATH:/usr/sbin command -v $program >/dev/null || missing+=($program)
    done
    [ ${#missing[@]} = 0 ] && return
    slurm_why="no ${missing[*]}, and no apt-get to install slurm-wlm with"
    command -v apt-get >/dev/null || return 1
    slurm_why="no ${missing[*]}, and apt-get cannot install slurm-wlm and munge: no network?"
    # No daemons of the packages' own: they would have this machine's addresses and no configuration.
    (
        export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
        exec >"$1/apt.log" 2>&1 </dev/null
        apt-get install -y --no-install-recommends slurm-wlm munge ||
            { apt-get update && apt-get install -y --no-install-recommends slurm-wlm munge; }
    )
}

slurm_free_port() {
    local port
    for _ in $(seq 50); do
        port=$((20000 + RANDOM % 10000))
        (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null || { echo $port; return; }
    done
}

slurm_configure() { # FOLDER
    local node=${HOSTNAME%%.*}
    (umask 077 && head -c 128 /dev/urandom >"$1/munge.key")
    echo "CgroupPlugin=cgroup/v1" >"$1/cgroup.conf" # nothing here uses cgroups; version 2 would want systemd
    cat >"$1/slurm.conf" <<END
ClusterName=unifloral
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=$(slurm_free_port)
SlurmdPort=$(slurm_free_port)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$1/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$1/state
SlurmdSpoolDir=$1/spool
SlurmctldPidFile=$1/slurmctld.pid
SlurmdPidFile=$1/slurmd.pid
SlurmctldLogFile=$1/slurmctld.log
SlurmdLogFile=$1/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait=5
MinJobAge=${SLURM_MIN_JOB_AGE:-300}
MailProg=/bin/true
NodeName=$node NodeAddr=127.0.0.1 CPUs=4 RealMemory=1000
PartitionName=main Nodes=$node Default=YES State=UP
END
}

slurm_start() { # FOLDER
    local PATH=$PATH:/usr/sbin said node=${HOSTNAME%%.*}
    export SLURM_CONF=$1/slurm.conf
    said=$(munged --force --socket="$1/munge.socket" --key-file="$1/munge.key" --pid-file="$1/munged.pid" \
        --log-file="$1/munged.log" --seed-file="$1/munged.seed" 2>&1 </dev/null) || { slurm_why="munged: $said"; return 1; }
    said=$(slurmctld 2>&1 </dev/null) || { slurm_why="slurmctld: $said $(tail -n 1 "$1/slurmctld.log")"; return 1; }
    said=$(slurmd 2>&1 </dev/null) || { slurm_why="slurmd: $said $(tail -n 1 "$1/slurmd.log")"; return 1; }
    for _ in $(seq 150); do
        [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ] && return
        sleep 0.2
    done
    slurm_why="the node '$node' is not idle within 30 s: $(sinfo --noheader --long --Node 2>&1 | tail -n 1)"
    return 1
}

slurm_alive() { # FOLDER DAEMON: a zombie is not
    local pid
    pid=$(cat "$1/$2.pid" 2>/dev/null) && [ -n "$(tr -d '\0' 2>/dev/null <"/proc/$pid/cmdline")" ]
}

# Daemons, and what they started: it has this SLURM_CONF in its environment and is of a job.
slurm_down() { # FOLDER
    local pid file daemon
    for daemon in slurmctld slurmd munged; do
        slurm_alive "$1" $daemon && kill "$(cat "$1/$daemon.pid")"
    done
    for _ in 1 2; do # twice: a task may start another while we look
        for file in /proc/[0-9]*/environ; do
            pid=${file//[!0-9]/}
            grep -qzxF "SLURM_CONF=$1/slurm.conf" "$file" 2>/dev/null || continue
            grep -qzE '^SLURM_JOB_ID=' "$file" || grep -q '^slurmstepd' "/proc/$pid/comm" && kill -9 "$pid"
        done 2>/dev/null
    done
    for _ in $(seq 50); do # they write their state into a folder that is about to be removed
        for daemon in slurmctld slurmd munged; do
            slurm_alive "$1" $daemon && sleep 0.1 && continue 2
        done
        break
    done
    for daemon in slurmctld slurmd munged; do
        slurm_alive "$1" $daemon && kill -9 "$(cat "$1/$daemon.pid")"
        rm -f "$1/$daemon.pid"
    done
    unset SLURM_CONF
}

# 0: up, and SLURM_CONF is exported. A folder whose Slurm is up is left as it is.
slurm_up() { # FOLDER: absolute, on a file system with sockets; its path shorter than 80 bytes
    [ "$(id -u)" = 0 ] || { slurm_why="slurmd needs root"; return 1; }
    mkdir -p "$1" && chmod 755 "$1" || { slurm_why="$1: cannot be made"; return 1; }
    if slurm_alive "$1" slurmctld && slurm_alive "$1" slurmd; then
        export SLURM_CONF=$1/slurm.conf
        return
    fi
    slurm_install "$1" || return 1
    mkdir -p "$1/state" "$1/spool"
    slurm_configure "$1"
    slurm_start "$1" && return
    slurm_down "$1"
    return 1
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    case ${1:-} in
        up) slurm_up "${2:?usage: slurm_up.sh up FOLDER}" && echo "export SLURM_CONF=$SLURM_CONF" || { echo "SKIP Slurm: $slurm_why"; exit 1; } ;;
        down) slurm_down "${2:?usage: slurm_up.sh down FOLDER}" ;;
        *) echo "usage: slurm_up.sh up|down FOLDER" >&2; exit 2 ;;
    esac
fi
