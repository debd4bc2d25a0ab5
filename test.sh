#!/usr/bin/env bash
# Checks everything, from a fresh clone on: style, unit tests, the API against its own document, the
# end-to-end tests on the real stack. Ends with a line that counts.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/scripts/lib.sh"
cd "$here"

usage() {
    cat <<'END'
Usage: ./test.sh [lint | unit | api | e2e] [FILTER]

Runs all four parts, or the one named; of the tests only those whose name contains FILTER.
END
}

part=${1:-all}
filter=${2:-}
case $part in
    all | lint | unit | api | e2e) ;;
    -h | --help) usage && exit ;;
    *) die "There is no part $part: ./test.sh --help lists the parts." ;;
esac

passed=0
failed=0
skipped=0
output=$(mktemp)
trap 'end_quiet; rm -f "$output"' EXIT

# Runs one check, which counts as one test.
check() {
    section "$*"
    if "$@"; then passed=$((passed + 1)); else fail "$*"; fi
    section_end
}

# Runs tests that close with `test result: …` lines as cargo has them, and adds the counts.
tests() {
    local code=0 before=$failed
    section "$*"
    "$@" 2>&1 | tee "$output" || code=$?
    add_counts
    if [ "$code" != 0 ] && [ "$failed" = "$before" ]; then fail "$*"; fi
    section_end
}

add_counts() {
    local p f s
    read -r p f s < <(awk '/^test result: / { p += $4; f += $6; s += $8 } END { print p + 0, f + 0, s + 0 }' "$output")
    passed=$((passed + p))
    failed=$((failed + f))
    skipped=$((skipped + s))
}

# The program that the API's tests are, built as with everything else.
api_tests() {
    cargo test --release --locked --no-run --message-format json --workspace --exclude rac-tests \
        2>/dev/null | jq -r 'select(.executable != null and .target.name == "it")
            | select(.manifest_path | endswith("/api/Cargo.toml")) | .executable'
}

fail() {
    failed=$((failed + 1))
    warn "FAILED: $*"
}

section() {
    section_started=$SECONDS
    say "=== $*"
}

section_end() { say "    $((SECONDS - section_started)) s"; }

install_packages "$here/scripts/packages.txt" "$here/scripts/packages-test.txt"
need_cargo

if [ "$part" = all ] || [ "$part" = lint ]; then
    check cargo fmt --all --check
    # In the profile of everything else, whose build scripts have run then.
    check cargo clippy --release --workspace --all-targets --locked -- -D warnings
    check shellcheck -x run.sh test.sh .ci/run scripts/*.sh scripts/oci-image scripts/bench scripts/postgres
fi
if [ "$part" = all ] || [ "$part" = unit ]; then
    tests cargo test --release --locked --no-fail-fast --workspace --exclude rac-tests -- "$filter"
    # The API's once more, on the other database.
    RAC_TEST_DATABASE=postgres tests "$(api_tests)" "$filter"
fi
if [ "$part" = all ] || [ "$part" = api ]; then
    # With the whole workspace for the same reason as below.
    tests cargo test --release --locked --workspace --test schemathesis -- "$filter"
fi
if [ "$part" = all ] || [ "$part" = e2e ]; then
    need_root "./test.sh e2e"
    # With the whole workspace, although only one test of it is run: so the dependencies are those
    # that are built already.
    tests cargo test --release --locked --workspace --test e2e -- "$filter"
fi

if [ "$((passed + failed))" = 0 ]; then warn "No test has this name: $filter"; fi
say "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
