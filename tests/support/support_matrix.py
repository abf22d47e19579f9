"""The support matrix beside what the SDKs were seen to send, and docs/support.md as made of both.

`python -m tests.support.support_matrix` writes the page again.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.javascript_calls import javascript_calls
from tests.support.sdk_calls import Seen, python_calls, template
from threadfold import Engine
from threadfold.app.http.application import create_app
from threadfold.app.http.support import ANY_CALL, Row, rows
from threadfold.app.http.system import NOT_YET

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fastapi import FastAPI

    from threadfold.app.http.answers import Call

PAGE = Path(__file__).parents[2] / "docs" / "support.md"
COMMAND = "make support"

Key = tuple[str, str, str, str]
"""Method, path without the names of its parameters, where, and name: what a row is about."""

OURS: set[Key] = {
    ("GET", "/ok", "call", ""),
    ("GET", "/info", "call", ""),
    ("GET", "/runs/crons/{}", "call", ""),
    ("GET", "/threads/{}/history", "call", ""),
    ("GET", "/threads/{}/history", "query", "limit"),
    ("GET", "/threads/{}/history", "query", "before"),
    ("GET", "/threads/{}/history", "query", "select"),
    ("GET", "/threads/{}/runs/{}/join", "query", "cancel_on_disconnect"),
    ("GET", "/threads/{}/stream", "query", "stream_modes"),
    ("POST", "/threads", "body", "ttl.refresh_on_read"),
    ("PATCH", "/threads/{}", "body", "ttl.refresh_on_read"),
    ("POST", "/assistants", "body", "config.metadata"),
    ("PATCH", "/assistants/{}", "body", "config.metadata"),
    ("GET", "/runs/{}/join", "call", ""),
    ("GET", "/runs/{}/join", "query", "cancel_on_disconnect"),
    *(("POST", f"/runs{more}", "body", "thread_id") for more in ("", "/wait", "/stream")),
    *(
        ("POST", path, "header", "idempotency-key")
        for path in (
            "/threads",
            *(f"/threads/{{}}/runs{more}" for more in ("", "/wait", "/stream")),
            *(f"/runs{more}" for more in ("", "/wait", "/stream", "/batch")),
        )
    ),
    *(
        ("POST", "/runs/batch", "body", name)
        for name in (
            "after_seconds",
            "checkpoint",
            "checkpoint_during",
            "command",
            "command.goto",
            "command.resume",
            "command.update",
            "config.metadata",
            "durability",
            "feedback_keys",
            "if_not_exists",
            "langsmith_tracer",
            "on_completion",
            "on_disconnect",
            "stream_mode",
            "stream_resumable",
            "stream_subgraphs",
            "strict_resume",
        )
    ),
    ("*", "*", "header", "x-request-id"),
    *(
        ("POST", f"{before}/runs{more}", "body", name)
        for before in ("/threads/{}", "")
        for more, names in {
            "": ("on_disconnect", "feedback_keys", "config.metadata"),
            "/wait": (
                "stream_mode",
                "stream_subgraphs",
                "stream_resumable",
                "feedback_keys",
                "config.metadata",
            ),
            "/stream": ("config.metadata",),
        }.items()
        for name in names
    ),
}
"""Rows that no SDK sends: for curl, or fields that an SDK sends to another call with the same body."""


def shape(path: str) -> str:
    """Return a path's template without names, which routes and tests may choose differently."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def key(row: Row) -> Key:
    """Return what a row is about."""
    name = row.name.lower() if row.where == "header" else row.name
    return (row.method, shape(row.path), row.where, name)


def matrix(app: FastAPI | None = None) -> list[Row]:
    """Return the server's matrix."""
    return rows((app or create_app(Engine("memory://"))).openapi(), NOT_YET)


@cache
def all_calls() -> tuple[Seen, ...]:
    """Return what all clients were seen to send."""
    return (*python_calls(), *javascript_calls())


def sent_keys(seen: Seen) -> Iterator[Key]:
    """Yield what a method of an SDK sends."""
    for request in seen.requests:
        path = shape(template(request.path))
        yield (request.method, path, "call", "")
        for where, name in request.fields:
            if where == "part":
                yield (request.method, path, "body", name)
                continue
            yield (request.method, path, where, name.lower() if where == "header" else name)


# ------------------------------------------------------------------ both together


def missing(found: Iterable[Row], calls: Iterable[Seen]) -> list[str]:
    """Say what the SDKs send that the matrix knows nothing of."""
    standings = {key(row): row.standing for row in found}
    objects = {(*about[:3], about[3].partition(".")[0]) for about in standings if "." in about[3]}
    problems: set[str] = set()
    for seen in calls:
        if not seen.requests:
            problems.add(f"{seen.sdk} {seen.name} was not seen to send anything")
        for method, path, where, name in sent_keys(seen):
            call = standings.get((method, path, "call", ""))
            if call is None:
                problems.add(f"{seen.sdk} {seen.name}: there is no {method} {path}")
            elif "." in name and (method, path, where, name.partition(".")[0]) not in objects:
                continue  # What a caller likes, or part of what is refused as a whole.
            elif call != "refused" and not standings.keys() & {
                (method, path, where, name),
                (*ANY_CALL, where, name),
            }:
                problems.add(
                    f"{seen.sdk} {seen.name}: {method} {path} knows nothing of {where} {name!r}"
                )
    return sorted(problems)


def unsent(found: Iterable[Row], calls: Iterable[Seen], ours: set[Key]) -> list[str]:
    """Say what the matrix has that neither an SDK sends nor we have marked as ours."""
    sent = {key for seen in calls for key in sent_keys(seen)}
    sent |= {(*ANY_CALL, where, name) for _, _, where, name in sent}
    return sorted(
        " ".join(key(row))
        for row in found
        if "=" not in row.name and key(row) not in sent | ours  # A value goes with its field.
    )


# ------------------------------------------------------------------ the page

HEADING = f"""# What of the SDKs is supported

Every call and every field that the official SDKs (`langgraph_sdk` for Python, `@langchain/langgraph-sdk` for JavaScript) can
send, and what the server makes of it. `GET /info` shows the same under `support`. Written by `{COMMAND}` from the server's
routes and models, and from the SDKs themselves, all of whose methods are called for it; a test holds that it is up to date.

* **supported**: it does what the SDK says.
* **refused**: a call is answered 404, a field 422, and `detail` names it. A field may hold its default (null, false or empty).
* **meaningless**: accepted, and without effect: it only means something to other servers or other calls.

What stands in braces behind a field are the parts that it may have. A field in *italics* is sent by neither SDK: it is there
for curl.
"""

AREAS = {
    "Threads": ("/threads",),
    "Runs": ("/threads/{}/runs", "/runs"),
    "Assistants": ("/assistants", "/ui"),
    "Store": ("/store",),
    "Crons": ("/runs/crons", "/threads/{}/runs/crons"),
    "Server": ("/ok", "/info", "*"),
}


def page(found: list[Row], calls: Iterable[Seen]) -> str:
    """Return docs/support.md."""
    methods: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    sent: set[Key] = set()
    for seen in calls:
        language = "js" if seen.sdk == "javascript" else "py"
        for entry in sent_keys(seen):
            sent |= {entry, (*ANY_CALL, *entry[2:])}
            if seen.sdk != "python (sync)":
                methods[entry[:2]].add(f"{language} `{seen.name}`")
    by_area: defaultdict[str, list[str]] = defaultdict(list)
    for call in dict.fromkeys(row.call for row in found):
        line = _line(call, [row for row in found if row.call == call], methods, sent)
        by_area[_area(call[1])].append(line)
    text = HEADING
    for area in AREAS:
        text += f"\n## {area}\n\n| call | SDK methods | supported | refused | meaningless |\n|---|---|---|---|---|\n"
        text += "".join(by_area[area])
    return text


def _area(path: str) -> str:
    prefixes = [(len(prefix), area) for area, all_ in AREAS.items() for prefix in all_]
    fitting = [
        (length, area)
        for (length, area), prefix in zip(
            prefixes, [prefix for all_ in AREAS.values() for prefix in all_], strict=True
        )
        if shape(path).startswith(prefix)
    ]
    return max(fitting)[1]


def _line(
    call: Call, found: list[Row], methods: dict[tuple[str, str], set[str]], sent: set[Key]
) -> str:
    fields: defaultdict[str, list[str]] = defaultdict(list)
    for row in found:
        if row.where == "call":
            if row.standing == "refused":
                fields["refused"].append("**the call**")
            continue
        if "." in row.name and row.standing == "supported":
            continue  # Shown behind what it is a part of.
        inner = [part.name for part in found if part.name.startswith(f"{row.name}.")]
        text = row.name if row.where == "body" else f"{row.name} ({row.where})"
        if inner:
            text += f" {{{', '.join(part.partition('.')[2] for part in inner)}}}"
        is_sent = "=" in row.name or key(row) in sent
        fields[row.standing].append(text if is_sent else f"*{text}*")
    if not fields:
        fields["supported"].append("the call")
    by = sorted(methods.get((call[0], shape(call[1])), ()), reverse=True)
    shown = "any call" if call == ANY_CALL else f"`{call[0]} {call[1]}`"
    cells = [shown, ", ".join(by)]
    cells += [", ".join(fields[standing]) for standing in ("supported", "refused", "meaningless")]
    return "| " + " | ".join(cells) + " |\n"


if __name__ == "__main__":
    PAGE.write_text(page(matrix(), all_calls()))
