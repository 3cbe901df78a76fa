"""From results.json to what people read: the table on the terminal, docs/performance.md, docs/performance.svg.

Ratios and differences are of runs of the same round, then their median: what the machine does in one round, it
does to all servers.
"""

import html
import statistics

from servers import ROOT, SERVERS

PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "performance.svg"


class Cost:
    """One server's figures; `tax` and `ratio` are against the same server without a log."""

    def __init__(self, server, results):
        loaded, counts = (results.get(part, {}).get("servers", {}) for part in ("load", "instructions"))
        self.server = server
        runs = loaded.get(server.id, {})
        self.rates, self.cpu = runs.get("requests_per_second", []), runs.get("cpu_us", [])
        self.missing = runs.get("missing", 0)
        base = loaded.get(server.base, {}).get("cpu_us", [])
        self.tax = [with_log - without for with_log, without in zip(self.cpu, base)]
        self.ratio = [with_log / without for with_log, without in zip(self.cpu, base)]
        self.itself = counts.get(server.id)
        both = server.id in counts and server.base in counts
        self.extra = counts[server.id] - counts[server.base] if both else None


def costs(results):
    every = [Cost(server, results) for server in SERVERS]
    return [cost for cost in every if cost.cpu or cost.itself]


def middle(values, form):
    return form.format(statistics.median(values)) if values else ""


def spread(values, form):
    """Median, and from the least to the most."""
    if not values:
        return ""
    least, most = form.format(min(values)), form.format(max(values))
    return f"{middle(values, form)} ({least} – {most})"


def grouped(number):
    return f"{number:,}".replace(",", " ")


def instructions(cost):
    if cost.extra is not None:
        return f"+{grouped(cost.extra)}"
    return f"({grouped(cost.itself)} itself)" if cost.itself else ""


def rate(cost):
    return grouped(round(statistics.median(cost.rates) / 100) * 100) if cost.rates else ""


HEAD = [
    "server",
    "requests/s",
    "CPU µs per request",
    "logging tax, µs",
    "CPU ratio to no log",
    "extra instructions",
]


def rows(results):
    for cost in costs(results):
        yield [
            cost.server.name,
            rate(cost),
            spread(cost.cpu, "{:.2f}"),
            middle(cost.tax, "{:+.2f}"),
            spread(cost.ratio, "{:.2f}"),
            instructions(cost),
        ]


def table(results):
    """Markdown, readable on a terminal too."""
    lines = [HEAD, *rows(results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    lines.insert(1, ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]])
    for line in lines:
        cells = [line[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        yield "| " + " | ".join(cells) + " |"


def targets(results):
    """Target beside measured."""
    found = {cost.server.id: cost for cost in costs(results)}
    ours, theirs = found.get("privacy-log"), found.get("nginx-anonymized")
    if ours and ours.extra is not None:
        yield target("extra instructions a request, at most 5 000", ours.extra, ours.extra <= 5000, grouped)
    if ours and ours.ratio:
        ratio = statistics.median(ours.ratio)
        yield target("CPU ratio to no log, at most 1.20", ratio, ratio <= 1.2, "{:.2f}".format)
        if theirs and theirs.ratio:
            limit = statistics.median(theirs.ratio)
            yield target(f"CPU ratio below nginx's anonymized log, {limit:.2f}", ratio, ratio < limit, "{:.2f}".format)


def target(what, measured, held, form):
    return f"* {what}: **{form(measured)}**, {'held' if held else 'missed'}."


def missing(results):
    """Every run counts its lines; a logger that lost some without its policy allowing it stops the comparison."""
    lost = [(cost.server.name, cost.missing) for cost in costs(results) if cost.missing]
    if not any(cost.cpu for cost in costs(results)):
        return
    yield "Lines missing: " + ("; ".join(f"{name}: {grouped(count)}" for name, count in lost) or "none") + "."


def conditions(results):
    """When and with what; the second part says only what differs from the first."""
    said = None
    for name, how in (("load", under_load), ("instructions", counted)):
        if part := results.get(name):
            same = "The same machine and versions." if said == part["versions"] else f"{versions(part)}."
            yield f"{how(part)}, {part['date']}. {same}"
            yield ""
            said = part["versions"]


def under_load(part):
    rounds = len(next(iter(part["servers"].values()))["cpu_us"])
    return f"Under load: {rounds} rounds, {part['connections']} connections, median (least – most)"


def counted(_):
    return "Instructions: in user mode, under callgrind"


def versions(part):
    names = ", ".join(f"{name} {version}" for name, version in part["versions"].items())
    return f"{part['cores']} cores, {part['cpu']}; {names}"


def text(results):
    for section in (table, targets, missing):
        yield from section(results)
        yield ""
    yield from conditions(results)


def functions(results):
    yield "| function | extra instructions of a request |"
    yield "| --- | ---: |"
    for name, count in results["instructions"]["functions"].items():
        yield f"| `{short(name)}` | {grouped(count)} |"
    yield ""


def short(name, most=88):
    return name if len(name) <= most else name[: most - 1] + "…"


def write(results):
    page = between(PAGE.read_text(), "end-to-end", text(results))
    if "functions" in results.get("instructions", {}):
        page = between(page, "by-function", functions(results))
    PAGE.write_text(page)
    if "load" in results:
        PLOT.write_text(svg(results))


def between(page, name, lines):
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, rest = page.split(start)
    _, after = rest.split(end)
    return before + start + "\n" + "\n".join(lines) + end + after


LEFT, WIDTH, BAR, STEP, TOP = 248, 820, 20, 38, 76
SUBTITLE = "the same server and requests, with and without a log file; shorter is better; thin line: half of the rounds"
STYLE = """
.card{fill:#fff;stroke:#d0d7de}.grid{stroke:#d8dee4}.axis{stroke:#656d76}.spread{stroke:#1f2328;stroke-opacity:.55}
text{font:13px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,"DejaVu Sans",sans-serif;fill:#1f2328}
.title{font-size:16px;font-weight:600}.quiet{fill:#59636e}.ours{fill:#1a7f37}.other{fill:#8c959f}
.strong{font-weight:600}
@media(prefers-color-scheme:dark){.card{fill:#0d1117;stroke:#30363d}.grid{stroke:#21262d}.axis{stroke:#8b949e}
.spread{stroke:#e6edf3}text{fill:#e6edf3}.quiet{fill:#9198a1}.ours{fill:#3fb950}.other{fill:#6e7681}}
"""


def svg(results):
    """Bars from 1 (no log) to the ratio, cheapest first; a thin line is the middle half of the rounds."""
    bars = sorted((cost for cost in costs(results) if cost.ratio), key=lambda cost: statistics.median(cost.ratio))
    most = max(half(cost.ratio)[1] for cost in bars)
    last = max(2.0, -(-most // 0.5) * 0.5)
    bottom = TOP + STEP * len(bars)
    height = bottom + 62

    def x(ratio):
        return LEFT + (ratio - 1) / (last - 1) * (WIDTH - LEFT - 150)

    summary = "; ".join(f"{cost.server.name} {statistics.median(cost.ratio):.2f}" for cost in bars)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-labelledby="title summary">',
        '<title id="title">What a request log costs in CPU time</title>',
        f'<desc id="summary">CPU time per request as a ratio to no log: {html.escape(summary)}.</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="card" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        '<text class="title" x="24" y="34">What a request log costs in CPU time</text>',
        f'<text class="quiet" x="24" y="55">{SUBTITLE}</text>',
        *axis(x, last, bottom),
    ]
    for place, cost in enumerate(bars):
        parts += bar(cost, x, TOP + STEP * place + STEP / 2)
    return "\n".join([*parts, "</svg>", ""])


def half(values):
    """The quartiles, or the ends of a few values."""
    if len(values) < 4:
        return min(values), max(values)
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


def axis(x, last, bottom):
    steps = int((last - 1) / 0.5)
    for ratio in (1 + step / 2 for step in range(steps + 1)):
        line = "axis" if ratio == 1 else "grid"
        yield f'<line class="{line}" x1="{x(ratio):.1f}" x2="{x(ratio):.1f}" y1="{TOP}" y2="{bottom}"/>'
        yield f'<text class="quiet" x="{x(ratio):.1f}" y="{bottom + 19}" text-anchor="middle">{ratio:g} ×</text>'
    label = "CPU time per request, user and system, against the same server without a log (1 ×)"
    yield f'<text class="quiet" x="{(x(1) + x(last)) / 2:.1f}" y="{bottom + 43}" text-anchor="middle">{label}</text>'


def bar(cost, x, y):
    ratio, tax = statistics.median(cost.ratio), statistics.median(cost.tax)
    kind, weight = ("ours", ' class="strong"') if cost.server.id == "privacy-log" else ("other", "")
    least, most = map(x, half(cost.ratio))
    after = max(most, x(ratio)) + 10
    yield f'<text{weight} x="{LEFT - 12}" y="{y + 4.5:.1f}" text-anchor="end">{html.escape(cost.server.name)}</text>'
    yield (
        f'<rect class="{kind}" x="{x(1):.1f}" y="{y - BAR / 2:.1f}" width="{max(x(ratio) - x(1), 1):.1f}" '
        f'height="{BAR}" rx="2"/>'
    )
    yield f'<line class="spread" x1="{least:.1f}" x2="{most:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
    yield f'<text{weight} x="{after:.1f}" y="{y + 4.5:.1f}">{ratio:.2f} ×  ({tax:+.1f} µs)</text>'
