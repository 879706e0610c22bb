"""Figures into Markdown tables and plots."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from plot import Bar, Group, bars, near

REMEMBERED = "scopegate, remembered"


@dataclass
class Figure:
    """A line that a benchmark wrote."""

    bench: str
    group: str
    name: str
    median: float
    spread: float


class Figures:
    def __init__(self, lines: list[dict]):
        self.all = [Figure(**line) for line in lines]

    def of(self, bench: str) -> dict[str, dict[str, Figure]]:
        """By group and name, in the order in which they were written; what was measured again counts anew."""
        found: dict[str, dict[str, Figure]] = {}
        for figure in self.all:
            if figure.bench == bench:
                found.setdefault(figure.group, {})[figure.name] = figure
        return found

    def others(self) -> list[str]:
        return sorted({figure.bench for figure in self.all} - {"check", "peers", "endpoint", "endpoint as seen"})


def table(head: list[str], rows: list[list[str]]) -> str:
    """A column without a heading has words, the others have figures."""
    rule = ["---:" if words else "---" for words in head]
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, rule, *rows])


def with_spread(figure: Figure) -> str:
    return f"{figure.median:,.0f} ±{figure.spread:,.0f}"


def sections(figures: Figures) -> Iterator[str]:
    if check := figures.of("check"):
        yield "## What a check costs\n\n" + over_raw(check, "raw")
        if refusals := check.get("refusal"):
            rows = [[name, with_spread(one)] for name, one in refusals.items()]
            yield "What a refusal costs:\n\n" + table(["", "ns"], rows)
    if peers := figures.of("peers"):
        picture = "![what a check costs beyond its signature](peers.svg)"
        yield f"## Beside other crates\n\n{picture}\n\n" + over_raw(peers, "raw signature")
    if endpoint := figures.of("endpoint"):
        picture = "![requests per second of one core](endpoint.svg)"
        rates_table = requests(endpoint, figures.of("endpoint as seen"))
        yield f"## An endpoint on one core\n\n{picture}\n\n{rates_table}"
    for bench in figures.others():
        groups = figures.of(bench).items()
        if bench == "contention":
            titled = "What threads get done over what one does"
            unit, cell = "times one thread, on the wall", lambda one: f"{one.median:.2f} ±{one.spread:.2f}"
        else:
            titled, unit, cell = bench.capitalize(), "ns", with_spread
        rows = [[group, name, cell(one)] for group, names in groups for name, one in names.items()]
        yield f"## {titled}\n\n" + table(["", "", unit], rows)


def over_raw(groups: dict[str, dict[str, Figure]], raw: str) -> str:
    rows = []
    for group, names in groups.items():
        if limit := names.get(raw):
            rows.append([group, "signature alone", "1", "", with_spread(limit)])
            for name, one in names.items():
                if name != raw:
                    beyond = f"{one.median - limit.median:,.0f}"
                    rows.append(["", name, f"{one.median / limit.median:.3f}", beyond, with_spread(one)])
    return table(["", "", "of the signature", "beyond it, ns", "whole, ns"], rows)


def requests(groups: dict[str, dict[str, Figure]], seen: dict[str, dict[str, Figure]]) -> str:
    rows = []
    for group, names in groups.items():
        first = next(iter(names.values()))
        for number, (name, one) in enumerate(names.items()):
            # Each is beside the same server without its guard; ours is hyper.
            plain = names.get(f"{name.split()[0]}, unguarded", first)
            guard = "" if name.endswith("unguarded") else f"{1e6 / one.median - 1e6 / plain.median:.2f}"
            wrk = seen.get(group, {}).get(name)
            row = [group if number == 0 else "", name, f"{one.median / first.median:.3f}", guard, with_spread(one)]
            rows.append([*row, with_spread(wrk) if wrk else ""])
    return table(["", "", "of unguarded", "the guard, µs", "requests/s of the core", "seen by wrk"], rows)


def plots(figures: Figures) -> Iterator[tuple[str, str]]:
    """The names of files and what goes into them."""
    if peers := figures.of("peers"):
        subtitle = "ns beyond the bare signature check with a prepared key, a whole check each time; shorter is better"
        groups = [beyond(*item) for item in peers.items()]
        yield "peers.svg", bars("What a check costs beyond its signature", subtitle, groups, near)
    if endpoint := figures.of("endpoint"):
        subtitle = "a small answer, HTTP/1.1 with keep-alive, a token with about 700 bytes of claims; longer is better"
        groups = [rates(*item) for item in endpoint.items()]
        yield "endpoint.svg", bars("Requests per second of one core", subtitle, groups)


def beyond(algorithm: str, names: dict[str, Figure]) -> Group:
    limit = names["raw signature"].median
    drawn = [
        Bar(name, one.median - limit, "ours" if name == "scopegate" else "other")
        for name, one in names.items()
        if name not in ["raw signature", REMEMBERED]
    ]
    note = f"signature alone: {limit:,.0f} ns"
    if REMEMBERED in names:
        note += f"; scopegate with a remembered token: {names[REMEMBERED].median:,.0f} ns in all"
    return Group(algorithm, sorted(drawn, key=lambda bar: bar.value), note)


def rates(algorithm: str, names: dict[str, Figure]) -> Group:
    def kind(name: str) -> str:
        return "ours" if name.startswith("scopegate") else "limit" if name.endswith("unguarded") else "other"

    return Group(algorithm, [Bar(name, one.median, kind(name)) for name, one in names.items()])
