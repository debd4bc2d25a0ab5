# Functions that the scripts share. Sourced, never run.
# shellcheck shell=bash

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/rac-target}
# A release that links what an interrupted build left in the incremental cache was seen to fail,
# again and again, with undefined symbols.
export CARGO_INCREMENTAL=${CARGO_INCREMENTAL:-0}

say() { printf '%s\n' "$*"; }

warn() { printf '%s\n' "$*" >&2; }

die() {
    warn "$*"
    exit 1
}

need_root() {
    [ "$(id -u)" = 0 ] || die "$1 needs root, because it makes containers and networks: run it again with sudo."
}

# Every package of the lists given that is not there, one a line.
missing_packages() {
    local package probes
    cat "$@" | while read -r package probes; do
        case $package in '' | '#'*) continue ;; esac
        any_there "$probes" || say "$package"
    done | sort -u
}

any_there() {
    local probe
    for probe in ${1//|/ }; do
        case $probe in
            /*) [ -e "$probe" ] && return ;;
            *) command -v "$probe" >/dev/null && return ;;
        esac
    done
    return 1
}

# Installs what is missing of the lists given, without starting any service that comes with it.
install_packages() {
    local packages
    mapfile -t packages < <(missing_packages "$@")
    [ "${#packages[@]}" -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        die "These programs are missing and there is no apt-get to install them: ${packages[*]}. Install them by hand, then run this again."
    need_root "Installing ${packages[*]}"
    say "Installing ${packages[*]}"
    quietly "apt-get update" apt-get update -q
    (
        forbid_services
        trap 'end_quiet; allow_services' EXIT
        DEBIAN_FRONTEND=noninteractive quietly "apt-get install ${packages[*]}" \
            apt-get install -q -y --no-install-recommends "${packages[@]}"
    )
    mapfile -t packages < <(missing_packages "$@")
    [ "${#packages[@]}" = 0 ] || die "These packages were installed and their programs are not there: ${packages[*]}"
}

# Debian starts a service when it is installed, unless this file says 101. RAC starts its own.
policy=/usr/sbin/policy-rc.d

forbid_services() {
    # One that is there already has its own reasons.
    [ ! -e "$policy" ] || return 0
    printf '#!/bin/sh\n# Made by RAC for the time of an installation.\nexit 101\n' >"$policy"
    chmod +x "$policy"
}

allow_services() {
    if [ -e "$policy" ] && grep -q 'Made by RAC' "$policy"; then rm -f "$policy"; fi
}

# Puts cargo into reach, or says how to get it.
need_cargo() {
    command -v cargo >/dev/null || PATH=$PATH:${HOME:-/root}/.cargo/bin
    local version
    version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$here/Cargo.toml")
    command -v cargo >/dev/null ||
        die "RAC is built with Rust $version or newer, and there is no cargo: install Rust as rustup.rs says, then run this again."
}

# Runs a command and shows what it wrote only if it fails, or takes longer than a person waits
# without a word. The first argument is what to call it.
quietly() {
    local name=$1 output code=0 told=
    shift
    output=$(mktemp)
    # A session of its own, so that it can be ended with all that it has started: a compiler that
    # outlives its cargo spoils what the next one builds.
    setsid env --default-signal "$@" >"$output" 2>&1 </dev/null &
    quiet_pid=$!
    for ((i = 0; ; i++)); do
        kill -0 "$quiet_pid" 2>/dev/null || break
        if [ "$i" = 25 ] && [ -z "$told" ]; then
            told=1
            say "$name: this takes a moment"
        fi
        sleep 0.2
    done
    wait "$quiet_pid" || code=$?
    quiet_pid=
    if [ "$code" != 0 ]; then
        cat "$output" >&2
        rm -f "$output"
        die "Failed: $name"
    fi
    rm -f "$output"
}

end_quiet() {
    [ -n "${quiet_pid:-}" ] || return 0
    kill -TERM -- "-$quiet_pid" 2>/dev/null || true
    wait "$quiet_pid" 2>/dev/null || true
    quiet_pid=
}
trap end_quiet EXIT
trap 'exit 130' INT TERM

# Whether a process is there and has not ended (one that ended and was not waited for still
# answers `kill -0`).
alive() {
    local state
    state=$(sed -n 's/^.*) \(.\).*$/\1/p' "/proc/$1/stat" 2>/dev/null) || return 1
    [ -n "$state" ] && [ "$state" != Z ]
}

# Waits until the command given after the seconds says yes.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}
