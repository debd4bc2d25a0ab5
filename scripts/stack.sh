# What run.sh does, step by step: settings, processes that are started again when they die, and the
# stop that leaves nothing behind. Sourced after lib.sh.
# shellcheck shell=bash

# Every process takes its settings from these.
stack_settings() {
    local base
    export RAC_HOME RAC_DOMAIN RAC_PORT RAC_BASE_PORT
    RAC_HOME=$(realpath -m "${RAC_HOME:-$here/.rac}")
    RAC_DOMAIN=${RAC_DOMAIN:-localhost}
    RAC_PORT=${RAC_PORT:-8080}
    RAC_BASE_PORT=${RAC_BASE_PORT:-7000}
    is_port "$RAC_PORT" || die "RAC_PORT is \`$RAC_PORT\`: it takes a port from 1 to 65535."
    is_port "$RAC_BASE_PORT" || die "RAC_BASE_PORT is \`$RAC_BASE_PORT\`: it takes a port from 1 to 65532."
    is_port $((RAC_BASE_PORT + 3)) || die "RAC_BASE_PORT is \`$RAC_BASE_PORT\`: it takes a port from 1 to 65532."
    base=$((10#$RAC_BASE_PORT))
    apex=$RAC_DOMAIN
    [ "$RAC_PORT" = 80 ] || apex=$RAC_DOMAIN:$RAC_PORT

    export RAC_STACK=rac-$base
    export RAC_NETWORK=${RAC_NETWORK:-$(network_of "$base")}
    export RAC_PUBLIC_URL=${RAC_PUBLIC_URL:-http://$apex}
    export RAC_API_LISTEN=127.0.0.1:$base RAC_API_URL=http://127.0.0.1:$base
    export RAC_INTERNAL_LISTEN=127.0.0.1:$((base + 1)) RAC_API_INTERNAL_URL=http://127.0.0.1:$((base + 1))
    export RAC_REGISTRY_URL=http://127.0.0.1:$((base + 2))
    export RAC_ADMIN_LISTEN=127.0.0.1:$((base + 3))
    export RAC_LISTEN=0.0.0.0:$RAC_PORT
}

is_port() { [[ $1 =~ ^[0-9]{1,5}$ ]] && ((10#$1 >= 1 && 10#$1 <= 65535)); }

# A network that no route of this machine leads to yet: the same one for a base port wherever it
# is free, so that two stacks that start at once do not both take the first.
network_of() {
    local routes first=$((88 + ($1 - 7000) / 4 % 150)) i second
    routes=$(ip -4 route show table all 2>/dev/null | grep -v " dev rac-$1 " || true)
    for ((i = 0; i < 150; i++)); do
        second=$(((first - 88 + 150 + i) % 150 + 88))
        if ! grep -q "\b10\.$second\." <<<"$routes"; then
            say "10.$second.0.0/16"
            return
        fi
    done
    die "No 10.x.0.0/16 network is free on this machine: say which one to use with RAC_NETWORK."
}

# One run.sh for each home.
lock_home() {
    (umask 077 && mkdir -p "$RAC_HOME/run" "$RAC_HOME/log")
    exec 9>"$RAC_HOME/run/lock"
    flock -n 9 || die "RAC runs already from $RAC_HOME: stop that one first, or set RAC_HOME, RAC_PORT and RAC_BASE_PORT for another."
}

need_free_ports() {
    local port name
    for port in "$RAC_PORT" "$RAC_BASE_PORT" $((RAC_BASE_PORT + 1)) $((RAC_BASE_PORT + 2)) $((RAC_BASE_PORT + 3)); do
        name=RAC_BASE_PORT
        [ "$port" != "$RAC_PORT" ] || name=RAC_PORT
        [ -z "$(ss -Hltn "sport = :$port")" ] ||
            die "Port $port is taken by another program: stop it, or choose another port with $name."
    done
}

# Runs a program and starts it again whenever it ends, waiting 0.2 s, then twice as long each time,
# up to 5 s; a program that has held for a minute begins anew.
start() {
    local name=$1
    shift
    rotate "$RAC_HOME/log/$name.log"
    (supervise "$name" "$@") 9>&- &
    echo $! >"$RAC_HOME/run/$name.supervisor"
}

supervise() {
    local name=$1 pid='' stopping='' tenths=2 code started
    shift
    trap - EXIT
    trap '' INT
    trap 'stopping=1; kill -TERM "$pid" 2>/dev/null || true' TERM
    while [ -z "$stopping" ]; do
        started=$SECONDS
        # A session of its own, so that Ctrl-C on the terminal reaches run.sh alone; and signals as
        # a program expects them, not ignored as the shell's background jobs have them.
        setsid env --default-signal "$@" >>"$RAC_HOME/log/$name.log" 2>&1 &
        pid=$!
        echo "$pid" >"$RAC_HOME/run/$name.pid"
        # `wait` also returns at a signal; and it would print that the program was killed.
        while :; do
            code=0
            wait "$pid" 2>/dev/null || code=$?
            kill -0 "$pid" 2>/dev/null || break
        done
        [ -z "$stopping" ] || break
        ((SECONDS - started < 60)) || tenths=2
        warn "$name ended (exit $code): starting it again"
        sleep "$((tenths / 10)).$((tenths % 10))" &
        wait $! || true
        tenths=$((tenths * 2 > 50 ? 50 : tenths * 2))
    done
    rm -f "$RAC_HOME/run/$name.pid"
}

# Keeps the log of the last run beside this one's.
rotate() {
    if [ -s "$1" ]; then mv -f "$1" "$1.1"; fi
    : >"$1"
}

ready() {
    [ "$(curl -s -m 2 -o "$RAC_HOME/run/readyz" -w '%{http_code}' \
        -H "Host: $apex" "http://127.0.0.1:$RAC_PORT/readyz" || true)" = 200 ]
}

# Says what is missing, with the last words of the programs given, and ends.
not_ready() {
    local name
    warn "RAC did not get ready in time."
    if [ -s "$RAC_HOME/run/readyz" ]; then warn "Missing: $(cat "$RAC_HOME/run/readyz")"; fi
    for name; do
        warn "--- the end of $RAC_HOME/log/$name.log"
        tail -n 5 "$RAC_HOME/log/$name.log" >&2 || true
    done
    exit 1
}

# One line for each event that a person cares about, until run.sh is told to stop.
show_events() {
    while :; do
        tail --pid=$$ -q -n 0 -F "$RAC_HOME/log/api.log" "$RAC_HOME/log/edge.log" 2>/dev/null 9>&- \
            > >(exec jq --unbuffered -Rr -f "$here/scripts/events.jq" 9>&-) &
        events_pid=$!
        wait "$events_pid" || sleep 1
    done
}

# Stops what was started, last things first. A second Ctrl-C hurries.
stop_stack() {
    local code=$?
    set +e
    trap - EXIT
    # Ctrl-C also ends what the output goes to, in `./run.sh | tee log`: what is said then is lost,
    # and what is stopped is not.
    trap '' PIPE
    trap 'hurry=1' INT TERM
    hurry=
    end_quiet
    if [ -n "${events_pid:-}" ]; then kill -TERM "$events_pid" 2>/dev/null || true; fi
    if [ -e "$RAC_HOME/run/containerd.supervisor" ]; then
        say "Stopping"
        stop edge 30
        sweep
        stop api 10
        stop registry 10
        stop containerd 10
        # What the first sweep could not remove by way of containerd goes without it.
        sweep
        rm -rf "/run/${RAC_STACK:?}"
    fi
    exit "$code"
}

# Ends a program by its signal, and by force after the seconds given.
stop() {
    local name=$1 supervisor pid tenths=$(($2 * 10))
    supervisor=$(cat "$RAC_HOME/run/$name.supervisor" 2>/dev/null) || return 0
    pid=$(cat "$RAC_HOME/run/$name.pid" 2>/dev/null) || pid=
    kill -TERM "$supervisor" 2>/dev/null || true
    while alive "$supervisor"; do
        if [ "$tenths" = 0 ] || [ -n "$hurry" ]; then
            [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
        fi
        tenths=$((tenths > 0 ? tenths - 1 : 0))
        sleep 0.1 || true
    done
    rm -f "$RAC_HOME/run/$name.supervisor" "$RAC_HOME/run/$name.pid"
}

# Removes every instance of the stack, with its network and its mounts.
sweep() {
    timeout 60 rac-edge sweep >>"$RAC_HOME/log/sweep.log" 2>&1 9>&- ||
        warn "Not every container could be removed: $RAC_HOME/log/sweep.log says why."
}

# Ends what a run.sh that was killed has left running from the same home.
stop_leftovers() {
    local file pid left=
    hurry=1
    for file in "$RAC_HOME"/run/*.supervisor "$RAC_HOME"/run/*.pid; do
        [ -e "$file" ] || continue
        pid=$(cat "$file")
        # A process number may belong to somebody else by now.
        if [[ $file = *.supervisor ]]; then
            grep -qz 'run\.sh' "/proc/$pid/cmdline" 2>/dev/null || continue
        else
            grep -qzxF "RAC_STACK=$RAC_STACK" "/proc/$pid/environ" 2>/dev/null || continue
        fi
        [ -n "$left" ] || say "Stopping what an earlier run left behind"
        left=1
        kill -KILL "$pid" 2>/dev/null || true
        wait_until 5 not alive "$pid" || true
    done
    rm -f "$RAC_HOME"/run/*.supervisor "$RAC_HOME"/run/*.pid
    hurry=
}

not() { ! "$@"; }
