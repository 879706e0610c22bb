"""The table of the manual (`src/manual/interop.md`): what the checks have shown in a run, issuer by issuer."""

from __future__ import annotations

from pathlib import Path

from checks import Report
from processes import Trouble
from server import Server

BEGIN = "<!-- What the interop suite has shown; written by `tests/interop/run --write-table`. -->"
END = "<!-- The end of what the interop suite has shown. -->"

ROWS = {
    "JWTs": "JWTs, judged by its keys",
    "rotation": "keys turned over, with overlap and without",
    "flood": "a flood of invented key names costs two requests for its keys",
    "keys out of reach": "out of reach: tokens by keys at hand are accepted",
    "introspection": "asked about tokens (RFC 7662), the API proving itself by",
    "revocation": "a revoked token is refused",
    "revoked JWTs": "a revoked JWT is refused, by its keys and then asked",
    "signed answers": "signed answers (RFC 9701)",
    "down or slow": "down or slow where it has to be asked: 503 in time",
    "Authlib's client": "login by Authlib's Flask client, which calls the guarded API; logout",
    "the tutorial: login": "login by the tutorial",
    "the tutorial: the API is called": "the tutorial calls its API with the token",
    "the tutorial: the token is renewed": "and beyond the token's end, renewed by one request",
    "the tutorial: logout": "logout of the tutorial and of the issuer",
    "the tutorial: the server tells it of a logout": "told by the back channel: the token is refused at once",
}
"""What the checks call it, and what the manual says."""


def cell(report: Report, server: str, feature: str) -> str:
    """What was shown in particular, or that it was shown; a dash for what the server does not have."""
    shown = report.shown.get((server, feature))
    return "–" if shown is None else ", ".join(f"`{name}`" if "_" in name else name for name in shown) or "yes"


def rows(report: Report, servers: list[Server]) -> list[str]:
    head = ["", *(server.title for server in servers)]
    features = [feature for feature in ROWS if any((server.name, feature) in report.shown for server in servers)]
    body = [[ROWS[feature], *(cell(report, server.name, feature) for server in servers)] for feature in features]
    return [f"| {' | '.join(row)} |".replace("|  |", "| |") for row in [head, ["---"] * len(head), *body]]


def parts(page: Path) -> tuple[str, str, str]:
    """What stands before the table, the table, and what stands after it."""
    text = page.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise Trouble(f"{page.name} does not say where its table begins and ends")
    before, rest = text.split(BEGIN)
    table, after = rest.split(END)
    return before + BEGIN, table.strip(), END + after


def write(page: Path, report: Report, servers: list[Server]) -> None:
    before, _, after = parts(page)
    table = "\n".join(rows(report, servers))
    page.write_text(f"{before}\n\n{table}\n\n{after}")


def differences(page: Path, report: Report, servers: list[Server]) -> str:
    """Where the page says something else than this run, of the servers that ran."""
    committed = [columns(row) for row in parts(page)[1].splitlines()]
    now = [columns(row) for row in rows(report, servers)]
    places = {title: place for place, title in enumerate(committed[0])} if committed else {}
    said = {row[0]: row for row in committed[2:]}
    found = [f"no row {row[0]!r}" for row in now[2:] if row[0] not in said]
    for place, title in enumerate(now[0][1:], 1):
        if title not in places:
            found.append(f"no column {title!r}")
            continue
        for name, line in said.items():
            shown = next((row[place] for row in now[2:] if row[0] == name), "–")
            if line[places[title]] != shown:
                found.append(f"{title}, {name!r}: {line[places[title]]} there, {shown} here")
    return "; ".join(found)


def columns(row: str) -> list[str]:
    return [column.strip() for column in row.strip().removeprefix("|").removesuffix("|").split("|")]
