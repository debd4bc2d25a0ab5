# The demo of `./run.sh --demo`: build examples/hello, push it, request it twice, say how long that
# took. Sourced by run.sh once everything is up.
# shellcheck shell=bash disable=SC2154

demo_work=$(mktemp -d)
cp "$here/examples/hello/Dockerfile" "$demo_work"
say
say "Building examples/hello"
quietly "rustc examples/hello" rustc --edition 2024 -O -C target-feature=+crt-static -C strip=symbols \
    -o "$demo_work/hello" "$here/examples/hello/hello.rs"

# With Docker as everybody does it; where no Docker runs, with an image put together by hand.
demo_push() {
    if docker version >/dev/null 2>&1; then
        quietly "docker build" docker build -q -t "$apex/hello" "$demo_work"
        say "\$ docker push $apex/hello"
        demo_started=$(date +%s%N)
        quietly "docker push" docker push "$apex/hello"
    else
        install_packages "$here/scripts/packages-demo.txt"
        "$here/scripts/oci-image" "$demo_work/hello" "$demo_work/image"
        say "\$ skopeo copy oci:hello docker://$apex/hello     (no Docker runs here)"
        demo_started=$(date +%s%N)
        quietly "skopeo copy" skopeo copy --dest-tls-verify=false "oci:$demo_work/image" "docker://$apex/hello:latest"
    fi
}

# Whether the API knows a release and the edge has a route to it.
demo_live() {
    curl -sf -m 2 -H "Host: $apex" "http://127.0.0.1:$RAC_PORT/v1/apps/hello" |
        jq -e '.release' >/dev/null
}

demo_request() {
    local status timing
    say
    say "\$ curl http://hello.$apex/     ($1)"
    read -r status timing < <(curl -s -m 70 -D "$demo_work/head" -o "$demo_work/body" \
        -w '%{http_code} %{time_starttransfer}\n' -H "Host: hello.$apex" "http://127.0.0.1:$RAC_PORT/")
    cat "$demo_work/body"
    [ "$status" = 200 ] || die "That was no 200 but a $status: $RAC_HOME/log/edge.log says why."
    say "  first byte after $(jq -rn "$timing * 10000 | round / 10") ms"
    sed -n 's/\r$//; s/^[Ss]erver-[Tt]iming: /  Server-Timing: /p' "$demo_work/head"
}

demo_push
wait_until 30 demo_live || die "The push arrived and did not become a release: $RAC_HOME/log/api.log says why."
say "  live $((($(date +%s%N) - demo_started) / 1000000)) ms after the push began"
demo_request "no container runs: this request starts one"
demo_request "it runs now"
rm -rf "$demo_work"
say
