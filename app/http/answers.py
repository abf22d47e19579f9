"""What each call answers: the table behind the responses in `/openapi.json`. A test holds that no call is without a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .schemas import ANY, OBJECT, TEXT, Schema, listed, record, ref

Call = tuple[str, str]
"""A method and the template of a path."""

JSON = "application/json"
EVENTS = "text/event-stream"

PROBLEMS = {
    400: "The request contradicts itself, or what the thread is.",
    401: "The caller did not say who it is.",
    403: "The caller may not do that.",
    404: "There is no such thing: never, not any more, or not for this caller.",
    409: "It conflicts with what is there: an id in use, or a run in flight.",
    410: "The state asked for was erased.",
    413: "The request body is too large.",
    422: "The request is malformed, or asks for what is not supported; `detail` names the field.",
    429: "The thread's queue is full; `Retry-After` says when to try again.",
    503: "The store is busy; `Retry-After` says when to try again.",
}

EVERYWHERE = (401, 403, 503)

_PAGES = ("X-Pagination-Total", "X-Pagination-Next")

HEADERS = {
    "Location": "Where a client that lost the connection goes on listening.",
    "Content-Location": "The run.",
    "X-Pagination-Total": "How many are known to be there: this page's end, and one more if there is more.",
    "X-Pagination-Next": "The offset of the next page, if there is one.",
    "Retry-After": "Seconds.",
}


@dataclass(frozen=True)
class Answer:
    """What a call answers if all goes well, and the problems that it knows."""

    schema: Schema | None = None
    description: str = "Done."
    status: int = 200
    media_type: str = JSON
    headers: tuple[str, ...] = ()
    problems: tuple[int, ...] = ()
    also: Mapping[int, str] | None = None
    """Other statuses of success, without a body."""
    is_endless: bool = False
    """A stream that goes on until the client leaves."""


_NOTHING = Answer(status=204, problems=(404,))
_COUNT = Answer({"type": "integer", "minimum": 0}, "How many there are.")
_THREAD = Answer(ref("Thread"), "The thread.", problems=(404,))
_STATE = Answer(ref("ThreadState"), "The state.", problems=(404, 410))
_STATES = Answer(listed(ref("ThreadState")), "States, newest first.", problems=(404, 410))
_ASSISTANT = Answer(ref("Assistant"), "The assistant.", problems=(404,))

_OF_RUNS = (400, 404, 409, 429)
_RUN = Answer(ref("Run"), "The run.", headers=("Content-Location",), problems=_OF_RUNS)
_WAIT = Answer(
    ref("Values"),
    "The values that the run ended with, behind a line feed for every five seconds that it took: the status is sent at once.",
    headers=("Location", "Content-Location"),
    problems=_OF_RUNS,
)
_STREAM = Answer(
    ref("Events"),
    "What the run does, as it happens.",
    media_type=EVENTS,
    headers=("Location", "Content-Location"),
    problems=_OF_RUNS,
)

ANSWERS: dict[Call, Answer] = {
    ("POST", "/threads"): Answer(ref("Thread"), "The thread.", problems=(400, 404, 409)),
    ("POST", "/threads/search"): Answer(
        listed(ref("ThreadFound")), "Threads, with the fields selected.", headers=_PAGES
    ),
    ("POST", "/threads/count"): _COUNT,
    ("POST", "/threads/prune"): Answer(
        record({"pruned_count": {"type": "integer", "minimum": 0}}), "How many were pruned."
    ),
    ("GET", "/threads/{thread_id}"): _THREAD,
    ("PATCH", "/threads/{thread_id}"): Answer(
        ref("Thread"), "The thread.", problems=(404,), also={204: "With `Prefer: return=minimal`."}
    ),
    ("DELETE", "/threads/{thread_id}"): _NOTHING,
    ("POST", "/threads/{thread_id}/copy"): Answer(ref("Thread"), "The copy.", problems=(404,)),
    ("GET", "/threads/{thread_id}/stream"): Answer(
        ref("Events"),
        "What all runs of the thread do, as it happens, without end.",
        media_type=EVENTS,
        problems=(404,),
        is_endless=True,
    ),
    ("GET", "/threads/{thread_id}/state"): _STATE,
    ("GET", "/threads/{thread_id}/state/{checkpoint_id}"): _STATE,
    ("POST", "/threads/{thread_id}/state/checkpoint"): _STATE,
    ("POST", "/threads/{thread_id}/state"): Answer(
        ref("StateUpdated"), "The new checkpoint.", problems=(400, 404, 409, 410)
    ),
    ("GET", "/threads/{thread_id}/history"): _STATES,
    ("POST", "/threads/{thread_id}/history"): _STATES,
    ("POST", "/threads/{thread_id}/runs"): _RUN,
    ("POST", "/threads/{thread_id}/runs/wait"): _WAIT,
    ("POST", "/threads/{thread_id}/runs/stream"): _STREAM,
    ("POST", "/runs"): _RUN,
    ("POST", "/runs/wait"): _WAIT,
    ("POST", "/runs/stream"): _STREAM,
    ("POST", "/runs/batch"): Answer(listed(ref("Run")), "The runs.", problems=_OF_RUNS),
    ("GET", "/runs/{run_id}/join"): Answer(
        ref("Values"), _WAIT.description, headers=("Location",), problems=(404,)
    ),
    ("GET", "/runs/{run_id}/stream"): Answer(
        ref("Events"), "What the run does from now on.", media_type=EVENTS, problems=(404,)
    ),
    ("GET", "/threads/{thread_id}/runs"): Answer(
        listed(ref("RunFound")), "Runs, newest first, with the fields selected.", problems=(404,)
    ),
    ("GET", "/threads/{thread_id}/runs/{run_id}"): Answer(ref("Run"), "The run.", problems=(404,)),
    ("GET", "/threads/{thread_id}/runs/{run_id}/join"): Answer(
        ref("Values"), _WAIT.description, headers=("Location",), problems=(404,)
    ),
    ("GET", "/threads/{thread_id}/runs/{run_id}/stream"): Answer(
        ref("Events"),
        "What the run does from now on.",
        media_type=EVENTS,
        headers=("Location",),
        problems=(404,),
    ),
    ("POST", "/threads/{thread_id}/runs/{run_id}/cancel"): Answer(
        ref("Values"),
        "With `wait`: the values as they stand then.",
        problems=(404,),
        also={202: "Without `wait`: it is asked to stop."},
    ),
    ("POST", "/runs/cancel"): _NOTHING,
    ("DELETE", "/threads/{thread_id}/runs/{run_id}"): _NOTHING,
    ("POST", "/assistants"): Answer(ref("Assistant"), "The assistant.", problems=(400, 404, 409)),
    ("POST", "/assistants/search"): Answer(
        listed(ref("AssistantFound")), "Assistants, with the fields selected.", headers=_PAGES
    ),
    ("POST", "/assistants/count"): _COUNT,
    ("GET", "/assistants/{assistant_id}"): _ASSISTANT,
    ("PATCH", "/assistants/{assistant_id}"): Answer(
        ref("Assistant"), "Its new version.", problems=(400, 404, 409)
    ),
    ("DELETE", "/assistants/{assistant_id}"): Answer(status=204, problems=(404, 409)),
    ("POST", "/assistants/{assistant_id}/latest"): _ASSISTANT,
    ("POST", "/assistants/{assistant_id}/versions"): Answer(
        listed(ref("AssistantVersion")), "Its versions, newest first.", problems=(404,)
    ),
    ("GET", "/assistants/{assistant_id}/graph"): Answer(
        ref("Drawing"), "The graph's nodes and edges.", problems=(404,)
    ),
    ("GET", "/assistants/{assistant_id}/schemas"): Answer(
        ref("GraphSchemas"), "The graph's schemas.", problems=(404,)
    ),
    ("GET", "/assistants/{assistant_id}/subgraphs"): Answer(
        OBJECT, "Schemas of the graph's subgraphs, by namespace.", problems=(404,)
    ),
    ("GET", "/assistants/{assistant_id}/subgraphs/{namespace}"): Answer(
        OBJECT, "Schemas of one subgraph.", problems=(404,)
    ),
    ("GET", "/ok"): Answer(record({"ok": {"const": True}}), "The server is there."),
    ("GET", "/info"): Answer(
        record({"version": TEXT, "flags": OBJECT, "host": OBJECT, "support": OBJECT}),
        "What this server is, and what of the SDKs it supports.",
    ),
}


def responses(call: Call, operation: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an operation answers, by status."""
    answer = ANSWERS.get(call, Answer(ANY))
    problems = {*EVERYWHERE, *answer.problems}
    if operation.get("parameters") or "requestBody" in operation:
        problems.add(422)
    if "requestBody" in operation:
        problems.add(413)
    found: dict[int, Any] = {answer.status: _success(answer)}
    for status, text in (answer.also or {}).items():
        found[status] = {"description": text}
    for status in problems:
        found[status] = _problem(status)
    return {str(status): found[status] for status in sorted(found)}


def _success(answer: Answer) -> dict[str, Any]:
    content: dict[str, Any] = {"description": answer.description}
    if answer.schema is not None:
        content["content"] = {answer.media_type: {"schema": answer.schema}}
    if answer.headers:
        content["headers"] = {name: _header(name) for name in answer.headers}
    return content


def _problem(status: int) -> dict[str, Any]:
    content: dict[str, Any] = {
        "description": PROBLEMS[status],
        "content": {JSON: {"schema": ref("Problem")}},
    }
    if status in (429, 503):
        content["headers"] = {"Retry-After": _header("Retry-After")}
    return content


def _header(name: str) -> dict[str, Any]:
    return {"description": HEADERS[name], "schema": TEXT}
