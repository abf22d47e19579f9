"""Which rule each method of the engine goes by: what its handler is asked, and what of the answer is passed on.

A method that is not here is not open for that: it goes by a rule made from the request's method, and is bounded like all others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from ...assistant_search import AssistantFilter
from ...search import ThreadFilter

Arguments = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """`value` says what the handler is shown; `takes` names arguments that it may change there."""

    resource: str
    action: str
    value: Callable[[Mapping[str, Any]], dict[str, Any]]
    takes: tuple[str, ...] = ()


def shown(*names: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Return what shows a handler these arguments: ids as UUIDs, metadata as an object of its own."""

    def value(arguments: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in names:
            given = arguments.get(name)
            if name == "metadata":
                found[name] = dict(given or {})
            elif name in arguments:
                found[name] = identified(given) if name.endswith("_id") else given
        return found

    return value


def identified(given: object) -> object:
    """Return an id as a UUID, if it is one."""
    with suppress(ValueError):
        return UUID(given) if isinstance(given, str) else given
    return given


def _run(arguments: Mapping[str, Any]) -> dict[str, Any]:
    strategy = arguments.get("multitask_strategy", "enqueue")
    return {
        "assistant_id": identified(arguments.get("assistant_id")),
        "thread_id": None
        if arguments.get("is_stateless")
        else identified(arguments.get("thread_id")),
        "run_id": identified(arguments.get("run_id")),
        "status": "pending",
        "metadata": dict(arguments.get("metadata") or {}),
        "prevent_insert_if_inflight": strategy == "reject",
        "multitask_strategy": strategy,
        "if_not_exists": arguments.get("if_not_exists", "reject"),
        "after_seconds": arguments.get("after_seconds", 0),
        "kwargs": {"input": arguments.get("input"), **(arguments.get("kwargs") or {})},
    }


def _search(arguments: Mapping[str, Any]) -> dict[str, Any]:
    where = arguments.get("where")
    found: dict[str, Any] = {"metadata": {}}
    if isinstance(where, ThreadFilter):
        found["metadata"] = dict(where.metadata or {})
        found["status"] = where.status
        found["ids"] = None if where.ids is None else [identified(text) for text in where.ids]
    return found | {name: arguments[name] for name in ("limit", "offset") if name in arguments}


def _runs_search(arguments: Mapping[str, Any]) -> dict[str, Any]:
    found = shown("thread_id", "limit", "offset", "status")(arguments)
    return {"metadata": {}, **found}


def _in_flight(arguments: Mapping[str, Any]) -> dict[str, Any]:
    del arguments
    return {"metadata": {}}


_READ = Rule("threads", "read", shown("thread_id"))
_READ_RUN = Rule("threads", "read", shown("thread_id", "run_id"))
_SEARCH = Rule("threads", "search", _search)
_CREATE = Rule("threads", "create", shown("thread_id", "metadata", "if_exists"), ("metadata",))
_PATCH = Rule("threads", "update", shown("thread_id", "metadata"), ("metadata",))
_CREATE_RUN = Rule("threads", "create_run", _run, ("metadata", "kwargs"))


def _assistants_search(arguments: Mapping[str, Any]) -> dict[str, Any]:
    where = arguments.get("where")
    found: dict[str, Any] = {"metadata": {}}
    if isinstance(where, AssistantFilter):
        found = {"metadata": dict(where.metadata or {}), "graph_id": where.graph_id}
    return found | {name: arguments[name] for name in ("limit", "offset") if name in arguments}


_READ_ASSISTANT = Rule("assistants", "read", shown("assistant_id", "metadata"))
_SEARCH_ASSISTANTS = Rule("assistants", "search", _assistants_search)

RULES: Mapping[str, Rule] = {
    "assistants.create": Rule(
        "assistants",
        "create",
        shown("assistant_id", "graph_id", "metadata", "if_exists"),
        ("metadata",),
    ),
    "assistants.get": _READ_ASSISTANT,
    "assistants.versions": _READ_ASSISTANT,
    "assistants.patch": Rule(
        "assistants", "update", shown("assistant_id", "graph_id", "metadata"), ("metadata",)
    ),
    "assistants.set_latest": Rule("assistants", "update", shown("assistant_id", "version")),
    "assistants.delete": Rule("assistants", "delete", shown("assistant_id")),
    "assistants.search": _SEARCH_ASSISTANTS,
    "assistants.count": _SEARCH_ASSISTANTS,
    "create_thread": _CREATE,
    "threads.create": _CREATE,
    "threads.delete": Rule("threads", "delete", shown("thread_id")),
    "get_thread": _READ,
    "patch_thread": _PATCH,
    "threads.patch": _PATCH,
    "threads.prune": Rule("threads", "delete", shown("thread_ids", "strategy")),
    "delete_thread": Rule("threads", "delete", shown("thread_id")),
    "update_state": Rule("threads", "update", shown("thread_id")),
    "submit_run": _CREATE_RUN,
    "submissions.check": _CREATE_RUN,
    "submissions.submit": _CREATE_RUN,
    "get_run": _READ_RUN,
    "join_run": _READ_RUN,
    "attach": _READ_RUN,
    "cancel_run": Rule("threads", "update", shown("thread_id", "run_id", "action")),
    "delete_run": Rule("threads", "delete", shown("thread_id", "run_id")),
    "replays.thread": _READ,
    "queries.thread": _READ,
    "queries.thread_of_runs": _READ,
    "queries.find_run": _READ_RUN,
    "queries.rolled_back_result": _READ_RUN,
    "queries.get_thread": _READ,
    "queries.get_state": _READ,
    "queries.get_state_at": _READ,
    "queries.history": _READ,
    "queries.get_run": _READ_RUN,
    "queries.list_runs": Rule("threads", "search", _runs_search),
    "queries.list_threads": _SEARCH,
    "queries.search_threads": _SEARCH,
    "queries.count_threads": _SEARCH,
    "queries.thread_ids": _SEARCH,
    "queries.list_in_flight": Rule("threads", "search", _in_flight),
}

OPEN = frozenset(
    {
        "settings", "graphs", "created_at", "is_open", "new_run_id", "new_thread_id", "follow_run", "metrics", "slots",
        "answers.lock", "answers.find", "answers.kept", "replays.follow", "replays.run", "queries.count_in_flight",
    }
)  # fmt: skip
"""What is nobody's. A follower of a run gives nothing away by itself: it is left at once unless `attach` or a submission, which
are asked, let its caller in. Kept answers are found by who got them: the fingerprint of the user is part of their key. How much
is in flight says nothing of whose it is."""

_VERBS = {"GET": "read", "HEAD": "read", "DELETE": "delete"}


def rule_of(name: str, method: str) -> Rule:
    """Return the rule of a method of the engine, called for a request with this HTTP method."""
    found = RULES.get(name)
    if found is not None:
        return found
    resource = "assistants" if "assistant" in name else "threads"
    return Rule(
        resource, _VERBS.get(method, "update"), shown("thread_id", "run_id", "assistant_id")
    )


def passed_on(rule: Rule, arguments: Arguments, value: Mapping[str, Any]) -> None:
    """Put what the handler changed into the arguments that the method is called with."""
    for name in rule.takes:
        given = value.get(name)
        if name == "kwargs":
            content = dict(cast("Mapping[str, Any]", given or {}))
            content.pop("input", None)
            if content or arguments.get(name):
                arguments[name] = content
        elif given or arguments.get(name):
            arguments[name] = given
