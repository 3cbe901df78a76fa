"""The load: wrk for a time, or an exact number of requests from here; the same request in both.

Every run is checked: a logger owes one line to each request that was answered.
"""

import json
import re
import socket
import statistics
import subprocess
import time
from collections import Counter

from servers import BODY, Broken, found, running

CONNECTIONS = 64
TARGET = "/users/42?page=1"
HEADERS = {
    "Host": "app.example.com",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Referer": "https://www.example.com/a/b?c",
    "Connection": "keep-alive",
    "Cookie": "session=0123456789abcdef0123456789abcdef; theme=dark",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "cross-site",
    "Priority": "u=0, i",
}
LUA_DONE = """
done = function(summary)
    local e = summary.errors
    local failed = e.connect + e.read + e.write + e.status + e.timeout
    io.write(string.format("e2e %d %d %d\\n", summary.requests, summary.duration, failed))
end
"""


def lua():
    """wrk's script."""
    headers = "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in HEADERS.items())
    return f'wrk.path = "{TARGET}"\n{headers}{LUA_DONE}'


def wrk(port, seconds, script):
    """Requests that were answered, and how many in a second."""
    load = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script, f"http://127.0.0.1:{port}"]
    output = subprocess.run(
        [found("wrk"), *load], capture_output=True, text=True, check=True, timeout=seconds + 30
    ).stdout
    requests, microseconds, failed = map(int, re.search(r"e2e (\d+) (\d+) (\d+)", output).groups())
    if failed or not requests:
        raise Broken(f"wrk: {failed} of {requests} requests failed\n{output}")
    return requests, requests * 1e6 / microseconds


def exactly(port, rounds):
    """Sends one request on every connection, reads all answers, and so on."""
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    request = f"GET {TARGET} HTTP/1.1\r\n{head}\r\n".encode()
    sockets = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(CONNECTIONS)]
    try:
        for _ in range(rounds):
            for one in sockets:
                one.sendall(request)
            for one in sockets:
                read(one)
    finally:
        for one in sockets:
            one.close()
    return rounds * CONNECTIONS


def read(one):
    answer = b""
    while not answer.endswith(BODY):
        try:
            more = one.recv(4096)
        except TimeoutError:
            more = b""
        if not more:
            raise Broken(f"no whole answer, but {answer!r}")
        answer += more
    if not answer.startswith(b"HTTP/1.1 200"):
        raise Broken(f"not a 200: {answer!r}")


def owed(server, requests, answered, dropped, lines):
    """How many lines are missing; a line that a logger lost without saying so ends everything."""
    if not server.logs:
        return 0
    # At the end wrk leaves up to one request on every connection that it does not count.
    most = requests + CONNECTIONS if answered is None else answered
    least = requests if answered is None else answered
    if least <= lines + dropped <= most:
        return dropped
    if server.lossy and lines < least:
        return least - lines
    raise Broken(
        f"WRONG NUMBER OF LINES: {server.name} answered {least} to {most} requests, wrote {lines} lines and says that "
        f"it dropped {dropped}"
    )


def check(server, binary, folder):
    """An exact number of requests gives as many lines, each of them whole."""
    with running(server, binary, folder) as one:
        requests = exactly(one.port, 32)
        _, answered, dropped, lines = one.stop()
        if answered not in (None, requests):
            raise Broken(f"{server.name} answered {answered} of {requests} requests")
        if server.logs and (lines, dropped) != (requests, 0):
            raise Broken(f"WRONG NUMBER OF LINES: {server.name} wrote {lines} lines for {requests} requests")
        for path in (folder / "log").rglob("*.jsonl"):
            [json.loads(line) for line in path.read_text().splitlines()]


def measure(server, binary, folder, seconds, script):
    """One run under wrk: requests a second; CPU µs of a request, until the last line is written; lines missing."""
    with running(server, binary, folder) as one:
        before = one.cpu()
        requests, rate = wrk(one.port, seconds, script)
        after, answered, dropped, lines = one.stop()
        missing = owed(server, requests, answered, dropped, lines)
        return rate, (after - before) * 1e6 / (answered or requests), missing


def alternate(servers, binary, folder, seconds, budget, most=25):
    """All servers in turn, again and again; whole rounds only, so that each has as many runs."""
    script = folder / "load.lua"
    script.write_text(lua())
    results = {server.id: {"requests_per_second": [], "cpu_us": [], "missing": 0} for server in servers}
    start, slowest, rounds = time.monotonic(), 0.0, 0
    while rounds < most and (not rounds or time.monotonic() - start + slowest < budget):
        began = time.monotonic()
        for server in servers:
            rate, cpu, missing = measure(server, binary, folder / "run", seconds, script)
            result = results[server.id]
            result["requests_per_second"].append(round(rate))
            result["cpu_us"].append(round(cpu, 3))
            result["missing"] += missing
        rounds += 1
        slowest = max(slowest, time.monotonic() - began)
        print(f"round {rounds}, {time.monotonic() - start:.0f} s", flush=True)
    return results


def instructions(server, binary, folder):
    """User-mode instructions of one request: what callgrind counts for many requests less what for few, three times."""
    counts = [difference(server, binary, folder, total)[""] for _ in range(3)]
    return round(statistics.median(counts))


def functions(server, binary, folder):
    """The same by function, without what each calls; inlined ones belong to where they went."""
    return difference(server, binary, folder, by_function)


def difference(server, binary, folder, read_counts, few=16, many=80):
    less, more = (callgrind(server, binary, folder, rounds, read_counts) for rounds in (few, many))
    requests = (many - few) * CONNECTIONS
    return {name: (more.get(name, 0) - less.get(name, 0)) / requests for name in less | more}


def callgrind(server, binary, folder, rounds, read_counts):
    out = folder / "callgrind"
    wrapper = [found("valgrind"), "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}"]
    with running(server, binary, folder, wrapper) as one:
        exactly(one.port, rounds)
        one.stop()
        return read_counts(out)


def total(out):
    return {"": int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M)[1])}


def by_function(out):
    command = ["callgrind_annotate", "--threshold=100", "--show-percs=no", out]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    counts = Counter()
    for number, name in re.findall(r"^ *([\d,]+)  ?\S*?:(.+?)(?:'\d+)?(?: \[.*\])?$", lines, re.M):
        counts[name] += int(number.replace(",", ""))
    return counts
