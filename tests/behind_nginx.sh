#!/usr/bin/env bash
# A real nginx in front of the demo: the client's address wins, what a client forged at the left does not.
#
# usage: tests/behind_nginx.sh [DEMO]      DEMO: the built example axum; it is built when none is given
# Needs nginx and curl. Without nginx it skips, but fails where CI=true. Linux only: every address of
# 127.0.0.0/8 is this machine's, so clients have addresses of their own.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! nginx=$(PATH="$PATH:/usr/sbin" command -v nginx); then
    echo "behind_nginx: no nginx here (Debian: apt-get install nginx-light)" >&2
    [ "${CI:-}" = true ] && exit 1
    echo "behind_nginx: skipped"
    exit 0
fi

# Everything after the build is bounded to thirty seconds.
if [ -z "${BEHIND_NGINX_BOUNDED:-}" ]; then
    demo=${1:-}
    if [ -z "$demo" ]; then
        cargo build --locked --quiet --example axum
        demo=${CARGO_TARGET_DIR:-target}/debug/examples/axum
    fi
    BEHIND_NGINX_BOUNDED=1 exec timeout --kill-after=5 30 "$0" "$demo"
fi
demo=$1

folder=$(mktemp -d)
processes=()
clean() {
    [ ${#processes[@]} = 0 ] || kill "${processes[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap clean EXIT
trap 'exit 1' INT TERM

# until_true COMMAND…: waits five seconds at most.
until_true() {
    for _ in $(seq 100); do
        "$@" && return
        sleep 0.05
    done
    echo "behind_nginx: waited too long for: $*" >&2
    tail -n 5 "$folder"/*.err >&2
    exit 1
}

# start SOURCE: a demo that reads this header, from nginx only; its address goes to SOURCE.at.
start() {
    cat >"$folder/$1.toml" <<POLICY
policy = "behind-nginx"
[client]
source = "$1"
trusted_proxies = ["127.0.0.1"]
[log.access]
purpose = ["security"]
legal_basis = "contract"
retention = "1d"
[log.access.fields]
"client.address" = { keep = true, accept_risk = "a test" }
POLICY
    "$demo" --policy "$folder/$1.toml" --listen 127.0.0.1:0 >"$folder/$1.out" 2>"$folder/$1.err" &
    processes+=($!)
    until_true grep -q '^listening on' "$folder/$1.err"
    sed -n 's|^listening on http://||p' "$folder/$1.err" >"$folder/$1.at"
}

# proxy PORT: nginx's configuration; the Host decides which header it sends to which demo.
proxy() {
    cat <<CONF
daemon off;
master_process off;
pid $folder/nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    map \$remote_addr \$element {
        ~^[0-9.]+\$ "for=\$remote_addr";
        default "for=\"[\$remote_addr]\"";
    }
    map \$http_forwarded \$list {
        "" \$element;
        default "\$http_forwarded, \$element";
    }
    server {
        listen 127.0.0.1:$1;
        server_name x-forwarded-for;
        location / {
            proxy_pass http://$(cat "$folder/x-forwarded-for.at");
            proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
        }
    }
    server {
        listen 127.0.0.1:$1;
        server_name forwarded;
        location / {
            proxy_pass http://$(cat "$folder/forwarded.at");
            proxy_set_header Forwarded \$list;
        }
    }
    server {
        listen 127.0.0.1:$1;
        server_name x-real-ip;
        location / {
            proxy_pass http://$(cat "$folder/x-real-ip.at");
            proxy_set_header X-Real-IP \$remote_addr;
        }
    }
}
CONF
}

# nginx on a free port; another process may take it first, so a few are tried.
serve() {
    for _ in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 20000))
        proxy "$port" >"$folder/nginx.conf"
        "$nginx" -p "$folder" -c "$folder/nginx.conf" -e stderr 2>"$folder/nginx.err" &
        local process=$!
        for _ in $(seq 60); do
            if [ -s "$folder/nginx.pid" ] && [ "$(cat "$folder/nginx.pid")" = "$process" ]; then
                processes+=("$process")
                return
            fi
            kill -0 "$process" 2>/dev/null || break
            sleep 0.05
        done
        kill "$process" 2>/dev/null || true
    done
    echo "behind_nginx: nginx does not start" >&2
    cat "$folder/nginx.err" >&2
    exit 1
}

lines() { wc -l <"$folder/$1.out"; }
more() { [ "$(lines "$1")" -gt "$2" ]; }

# expect SOURCE CLIENT ADDRESS AT [HEADER…]: asks AT from CLIENT's address; the record names ADDRESS.
checks=0
expect() {
    local source=$1 client=$2 expected=$3 at=$4 headers=() before found
    shift 4
    for header in "$@"; do headers+=(-H "$header"); done
    before=$(lines "$source")
    curl -sSf --max-time 5 --noproxy '*' --interface "$client" -o "$folder/answer" \
        -H "Host: $source" ${headers[@]+"${headers[@]}"} "http://$at/health"
    until_true more "$source" "$before"
    found=$(tail -n 1 "$folder/$source.out" | sed -n 's/.*"client.address":"\([^"]*\)".*/\1/p')
    checks=$((checks + 1))
    [ "$found" = "$expected" ] && return
    echo "behind_nginx: $source, from $client with [$*]: expected ${expected:-no address}, found ${found:-none}" >&2
    exit 1
}

for source in x-forwarded-for forwarded x-real-ip; do start "$source"; done
serve

via="127.0.0.1:$port"
for client in 127.0.0.5 127.7.7.7; do
    expect x-forwarded-for "$client" "$client" "$via"
    expect forwarded "$client" "$client" "$via"
    expect x-real-ip "$client" "$client" "$via"
    for forged in 1.2.3.4 127.0.0.1 "127.0.0.1, 1.2.3.4" unknown _hidden garbage "1.2.3.4," '"' "::1" "$client, 1.2.3.4"; do
        expect x-forwarded-for "$client" "$client" "$via" "X-Forwarded-For: $forged"
        expect x-real-ip "$client" "$client" "$via" "X-Real-IP: $forged"
    done
    expect x-forwarded-for "$client" "$client" "$via" "X-Forwarded-For: 1.2.3.4" "X-Forwarded-For: 127.0.0.1"
    for forged in for=1.2.3.4 for=127.0.0.1 for=unknown 'for="' 'for="1.2.3.4' 'for="\' 'for=1.2.3.4;for=1.2.3.4' 'by="a,b' ';;' '"'; do
        expect forwarded "$client" "$client" "$via" "Forwarded: $forged"
    done
    # Another header than the policy's says nothing.
    expect forwarded "$client" "$client" "$via" "X-Forwarded-For: 1.2.3.4" "X-Real-IP: 1.2.3.4"
    # Past nginx nobody is believed.
    expect x-forwarded-for "$client" "$client" "$(cat "$folder/x-forwarded-for.at")" "X-Forwarded-For: 1.2.3.4"
    expect forwarded "$client" "$client" "$(cat "$folder/forwarded.at")" "Forwarded: for=1.2.3.4"
    expect x-real-ip "$client" "$client" "$(cat "$folder/x-real-ip.at")" "X-Real-IP: 1.2.3.4"
done
# nginx's own address without the header is a proxy that names nobody.
expect x-real-ip 127.0.0.1 "" "$(cat "$folder/x-real-ip.at")"
echo "behind_nginx: $checks requests, each with the client that nginx saw"
