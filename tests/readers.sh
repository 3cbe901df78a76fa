#!/usr/bin/env bash
# Readers that nobody here wrote find every record: jq, DuckDB, chDB and GoAccess, by the commands of docs/readers.md.
#
# usage: tests/readers.sh [DEMO]      DEMO: the built example axum; it is built when none is given
# Needs jq, curl, goaccess and a python3 with duckdb and chdb. What is missing is installed where CI=true (Python
# packages into a folder that is removed again), else its readers are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "readers: $*" >&2; exit 1; }

# package COMMAND: a Debian package of the same name, unless its command is there.
package() {
    command -v "$1" >/dev/null && return
    [ "${CI:-}" = true ] || return 1
    local root=; [ "$(id -u)" = 0 ] || root=sudo
    { $root apt-get update -qq && $root apt-get install -y -qq --no-install-recommends "$1"; } >"$folder/apt" 2>&1 ||
        { cat "$folder/apt" >&2; fail "$1 cannot be installed"; }
}

# A Python that has both engines; of chDB the engine alone, without pandas and pyarrow.
python=${PYTHON:-python3}
engines() {
    "$python" -c "import duckdb, chdb" 2>/dev/null && return
    [ "${CI:-}" = true ] || return 1
    python3 -m venv "$folder/venv"
    python=$folder/venv/bin/python
    timeout 300 "$python" -m pip install --quiet --no-deps duckdb chdb-core || fail "duckdb and chdb cannot be installed"
}

# Finds or installs what reads, and the demo.
prepare() {
    local command
    for command in jq curl; do
        package "$command" || { echo "readers: no $command here; skipped"; exit 0; }
    done
    readers=(jq)
    if engines; then readers+=(DuckDB chDB); else echo "readers: no python3 with duckdb and chdb here; both skipped"; fi
    if package goaccess; then readers+=(GoAccess); else echo "readers: no goaccess here; skipped"; fi
    demo=${1:-}
    if [ -z "$demo" ]; then
        cargo build --locked --quiet --example axum
        demo=${CARGO_TARGET_DIR:-target}/debug/examples/axum
    fi
    demo=$(realpath "$demo")
}

# Everything after what has to be installed or built is bounded to a hundred seconds.
if [ -z "${READERS_FOLDER:-}" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    trap 'exit 1' INT TERM
    prepare "$@"
    READERS_FOLDER=$folder PYTHON=$python timeout --kill-after=5 100 bash "$PWD/tests/readers.sh" "$demo" "${readers[@]}"
    exit
fi

demo=$1
shift
readers=("$@")
processes=()
clean() {
    [ ${#processes[@]} = 0 ] || kill "${processes[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
}
trap clean EXIT
trap 'exit 1' INT TERM
pages=$PWD/docs/readers.md
cd "$READERS_FOLDER"

cat >policy.toml <<'POLICY'
policy = "readers"
[client]
source = "x-forwarded-for"
trusted_proxies = ["127.0.0.1"]
[log.access]
purpose = ["security"]
legal_basis = "contract"
retention = "30d"
[log.access.fields]
"timestamp" = { precision = "1s" }
"client.address" = "truncate"
"http.request.method" = "keep"
"http.route" = "keep"
"http.response.status_code" = "keep"
"http.response.body.size" = { round = 1024 }
"http.server.request.duration" = { precision = "1ms" }
"http.request.header.referer" = "origin"
"user_agent.name" = "keep"
"error.type" = "keep"
[log.access.app_fields]
"generation.model" = "keep"
POLICY

# start NAME: a demo that writes to the same folder as the others; its address goes to NAME.at.
start() {
    : >"$1.err"
    "$demo" --policy policy.toml --listen 127.0.0.1:0 --log-dir logs >"$1.out" 2>"$1.err" &
    processes+=($!)
    for _ in $(seq 100); do
        sed -n 's|^listening on ||p' "$1.err" >"$1.at"
        [ -s "$1.at" ] && return
        sleep 0.05
    done
    cat "$1.err" >&2
    fail "the demo does not start"
}

ask() { curl --silent --show-error --max-time 60 --noproxy '*' "$@" >/dev/null; }

start one
start two
one=$(cat one.at) two=$(cat two.at)
firefox="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
ask -A "$firefox" -H "X-Forwarded-For: 198.51.100.7" -e "https://example.com/a?b" "$one/generate?model=%22m%5C[1-2000]"
ask -A "" -H "X-Forwarded-For: 2001:db8::7" "$two/users/[1-1000]"
ask -H "X-Forwarded-For: unknown" -X POST -d "x" "$one/upload?[1-300]"
ask "$two/nothing/[1-200]" "$one/fail?[1-50]" "$two/?[1-50]"
ask "$one/panic" 2>panic.err || true
ask --max-time 0.3 "$two/stream?chunks=1000&ms=20" 2>stream.err || true
expected=3602
kill -INT "${processes[@]}"
wait
processes=()
[ "$(ls logs/access | wc -l)" = 2 ] || fail "two demos write two files, not: $(ls logs/access)"
gzip "$(find logs/access -name '*.1.jsonl')"
echo '{"log":"access","dropped":7}' >>"$(find logs/access -name '*.jsonl')"

# block HEADING: the first command under this heading of the documentation, and its language.
block() {
    awk -v heading="$1" '
        /^## / { here = index($0, "## " heading) == 1 }
        here && /^```/ { if (inside) exit; inside = 1; print substr($0, 4); next }
        here && inside' "$pages"
}

for reader in "${readers[@]}"; do
    block "$reader" >command
    case $(head -n 1 command) in
        sh) run=(bash -euo pipefail) ;;
        python) run=("$python") ;;
        *) fail "no command for $reader in docs/readers.md" ;;
    esac
    found=$(tail -n +2 command | timeout 60 "${run[@]}") || { cat goaccess.out >&2 2>/dev/null; fail "$reader failed"; }
    [ "$found" = "$expected" ] || fail "$reader finds $found records, not $expected"
done

if [ -f report.json ]; then
    jq -e '.general.failed_requests == 0 and ([.browsers.data[] | select(.data == "Firefox") | .hits.count] == [2000])
        and ([.status_codes.data[] | select(.data | startswith("5xx")) | .hits.count] == [50])
        and ([.requests.data[] | select(.data == "/users/{id}") | .hits.count] == [1000])
        and (.general.unique_not_found == 1)' report.json >/dev/null || fail "GoAccess has its columns wrong: $(cat report.json)"
fi
echo "readers: $expected records, found by ${readers[*]}"
