"""The servers that are compared: how each is started, and where it says what it did.

A server with a `base` does something more than that one; nearly always it logs. `lossy` ones may lose lines. All
listen on a free port of 127.0.0.1, answer `/users/{id}` with the same body, and write only into the folder that
they are given.
"""

import contextlib
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# One core for the server, one for the load; nginx has one process anyway.
ONE_WORKER = {"TOKIO_WORKER_THREADS": "1", "GOMAXPROCS": "1"}
BODY = b"hello, world\n"
PATH = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    default_type text/plain;
    map $remote_addr $anonymized {{
        "~(?P<v4>[0-9]+\\.[0-9]+\\.[0-9]+)\\." $v4.0;
        "~(?P<v6>[0-9a-f]+:[0-9a-f]+:[0-9a-f]+):" $v6::;
        default 0.0.0.0;
    }}
    log_format anonymized '$anonymized - - [$time_local] "$request" '
                          '$status $body_bytes_sent "$http_referer" "$http_user_agent"';
    map $http_referer $origin {{
        "~^(?P<site>https?://[^/?#@]+)" $site;
    }}
    log_format fields escape=json '{{"timestamp":"$time_iso8601","client.address":"$anonymized",'
                                  '"http.request.method":"$request_method","http.route":"/users/",'
                                  '"http.response.status_code":$status,"http.request.header.referer":"$origin",'
                                  '"http.server.request.duration":$request_time}}';
    access_log {log};
    server {{
        listen 127.0.0.1:{port};
        location /users/ {{ return 200 "hello, world\\n"; }}
        location = /requests {{ stub_status; access_log off; }}
    }}
}}
"""

CADDY = """
{{
    admin off
    auto_https off
}}
http://:{port} {{
    bind 127.0.0.1
    {log}
    header Content-Type text/plain
    respond /users/* "hello, world
"
}}
"""

# Without the headers, which no policy of eight fields has: they are most of Caddy's line.
IP_MASK = """log {{
        output file {folder}/log/access.log {{
            roll_disabled
        }}
        format filter {{
            wrap json
            fields {{
                request>remote_ip ip_mask {{
                    ipv4 24
                    ipv6 48
                }}
                request>remote_port delete
                request>headers delete
                resp_headers delete
            }}
        }}
    }}"""


class Broken(Exception):
    """The comparison cannot be trusted, or not be made."""


@dataclass(frozen=True)
class Server:
    id: str
    name: str
    kind: str
    how: str
    base: str | None = None
    lossy: bool = False
    load: bool = True

    @property
    def logs(self):
        return self.base is not None and self.load

    @property
    def program(self):
        return {"axum": "cargo", "nginx": "nginx", "caddy": "caddy"}[self.kind]


BUFFERED = "{{folder}}/log/access.log {} buffer=64k flush=1s"
SERVERS = [
    Server("axum", "axum", "axum", "none"),
    Server("privacy-log", "axum, this crate", "axum", "privacy-log", "axum"),
    Server("info", "axum, one info! and fmt json", "axum", "info", "axum", lossy=True),
    Server("trace-layer", "axum, TraceLayer and fmt json", "axum", "trace-layer", "axum", lossy=True),
    Server("peer", "axum, ConnectInfo and no log", "axum", "peer", "axum", load=False),
    Server("layer", "the same in a layer that does nothing", "axum", "layer", "axum", load=False),
    Server("nginx", "nginx", "nginx", "off"),
    Server("nginx-combined", "nginx, combined log", "nginx", BUFFERED.format("combined"), "nginx"),
    Server("nginx-anonymized", "nginx, anonymized log", "nginx", BUFFERED.format("anonymized"), "nginx"),
    Server("nginx-fields", "nginx, the same fields as JSON", "nginx", BUFFERED.format("fields"), "nginx"),
    Server("caddy", "Caddy", "caddy", ""),
    Server("caddy-ip-mask", "Caddy, ip_mask filter", "caddy", IP_MASK, "caddy"),
]


def found(program):
    return shutil.which(program, path=PATH)


def build():
    """The axum server, in the repository's target folder."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "e2e"
    manifest = HERE / "server" / "Cargo.toml"
    command = ["cargo", "build", "--quiet", "--release", "--manifest-path", manifest, "--target-dir", target]
    if subprocess.run(command).returncode:
        raise Broken("the axum server does not build")
    return target / "release" / "tower-privacy-log-e2e"


def free_port():
    """Below the ports that clients get, so that none takes it meanwhile."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", random.randrange(20000, 32000)))
            return probe.getsockname()[1]


def command(server, binary, folder, port):
    if server.kind == "axum":
        return [binary, server.how, folder / "log"]
    config = folder / "config"
    template = NGINX if server.kind == "nginx" else CADDY
    config.write_text(template.format(folder=folder, port=port, log=server.how.format(folder=folder)))
    if server.kind == "nginx":
        return [found("nginx"), "-p", folder, "-c", config, "-e", "stderr"]
    return [found("caddy"), "run", "--adapter", "caddyfile", "--config", config]


class Running:
    """A started server; `stop` ends it and says what it used and wrote."""

    def __init__(self, server, binary, folder, wrapper=()):
        self.server, self.folder = server, folder
        (folder / "log").mkdir()
        self.port = None if server.kind == "axum" else free_port()
        home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        with open(folder / "stderr", "wb") as stderr:
            self.process = subprocess.Popen(
                [*wrapper, *command(server, binary, folder, self.port)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=os.environ | home | ONE_WORKER,
            )
        if self.port is None:
            line = self.process.stdout.readline().decode()
            self.port = int(line.rpartition(":")[2] or self.fail("does not start"))
        self.wait_for_port()

    def fail(self, what):
        last = (self.folder / "stderr").read_text(errors="replace")[-1000:]
        raise Broken(f"{self.server.name} {what}\n{last}")

    def wait_for_port(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.01)
        self.fail("does not listen")

    def cpu(self):
        """Seconds of user and system time of all threads so far: the clock of clock_getcpuclockid(3)."""
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def answered(self):
        """How many requests nginx says to have answered, without this one."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/requests", timeout=5) as page:
            return int(re.search(rb"\n ?\d+ \d+ (\d+)", page.read())[1]) - 1

    def stop(self):
        """CPU seconds in all, requests answered (None where the server does not say), lines dropped, lines written."""
        answered = self.answered() if self.server.kind == "nginx" else None
        self.process.send_signal(signal.SIGTERM)
        seconds = self.wait()
        dropped = 0
        if self.server.kind == "axum":
            answered, dropped = map(int, self.process.stdout.read().split())
        return seconds, answered, dropped, self.lines()

    def wait(self, most=60):
        start = time.monotonic()
        while (waited := time.monotonic() - start) < most:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                if self.process.returncode:
                    self.fail(f"ended with {self.process.returncode}")
                return usage.ru_utime + usage.ru_stime
            if self.server.kind == "nginx" and waited > 1:
                self.wake()
            time.sleep(0.005)
        self.fail("does not end")

    def wake(self):
        """nginx, told to stop in the moment before it waits for events, stops at the next event only."""
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()

    def lines(self):
        files = [path for path in (self.folder / "log").rglob("*") if path.is_file()]
        return sum(count(path) for path in files)

    def kill(self):
        if self.process.returncode is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def count(path):
    """Whole lines, without those that only say how many are missing."""
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        raise Broken(f"{path.name}: the last line is torn")
    return content.count(b"\n") - content.count(b'{"log":"access","dropped":')


@contextlib.contextmanager
def running(server, binary, folder, wrapper=()):
    """Starts a server in a folder of its own; it is gone at the end, whatever happens."""
    folder.mkdir()
    one = Running.__new__(Running)
    try:
        one.__init__(server, binary, folder, wrapper)
        yield one
    finally:
        if hasattr(one, "process"):
            one.kill()
        shutil.rmtree(folder)
