#!/usr/bin/env bash
# Starts everything RAC is made of on this machine, and stops it again at Ctrl-C.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/scripts/lib.sh"
# shellcheck source=scripts/stack.sh
. "$here/scripts/stack.sh"

usage() {
    cat <<'END'
Usage: ./run.sh [--demo [--once]]

Starts RAC on this machine: the registry, containerd, the API and the edge. Ctrl-C stops all.

  --demo   also build examples/hello, push it, request it, and print how long that took
  --once   with --demo: stop afterwards

Settings, from the environment:
  RAC_HOME       where everything lasts that should (default: .rac in the checkout)
  RAC_DOMAIN     apps answer at <app>.<domain> (default: localhost)
  RAC_PORT       the one port that the world is served on (default: 8080)
  RAC_BASE_PORT  this port and the three after it are for RAC itself (default: 7000)
END
}

demo=
once=
for argument; do
    case $argument in
        --demo) demo=1 ;;
        --once) once=1 ;;
        -h | --help) usage && exit ;;
        *) die "There is no option $argument: ./run.sh --help lists the options." ;;
    esac
done
[ -z "$once" ] || [ -n "$demo" ] || die "--once goes with --demo."

stack_settings
need_root "./run.sh"
install_packages "$here/scripts/packages.txt"
need_cargo
lock_home
trap stop_stack EXIT

quietly "cargo build" cargo build --release --locked --manifest-path "$here/Cargo.toml" -p rac-api -p rac-edge -p rac-cli
PATH=$CARGO_TARGET_DIR/release:$PATH

stop_leftovers
need_free_ports
rac-api init
rac-edge containerd-config >"$RAC_HOME/containerd.toml"

start containerd containerd --config "$RAC_HOME/containerd.toml"
wait_until 20 test -S "/run/$RAC_STACK/containerd/containerd.sock" || not_ready containerd
rac-edge sweep >>"$RAC_HOME/log/sweep.log" 2>&1 || not_ready sweep
start registry "$(command -v docker-registry || command -v registry)" serve "$RAC_HOME/registry.yml"
start api rac-api serve
start edge rac-edge
wait_until 60 ready || not_ready edge api registry containerd

say "RAC is ready"
say "  push:     docker push $apex/hello"
say "  request:  http://hello.$apex/"
say "  look:     rac status hello  (the command is $CARGO_TARGET_DIR/release/rac)"
trap 'exit 0' INT TERM

if [ -n "$demo" ]; then
    # shellcheck source=scripts/demo.sh
    . "$here/scripts/demo.sh"
    [ -z "$once" ] || exit 0
fi
show_events
