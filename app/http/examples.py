"""Bodies as callers send them, for `/docs`."""

from __future__ import annotations

from typing import Any

from .answers import Call
from .schemas import ASSISTANT_ID, CHECKPOINT_ID, RUN_ID, THREAD_ID

_INPUT = {"messages": [{"role": "user", "content": "what's the weather in sf?"}]}
_RUN = {"assistant_id": "agent", "input": _INPUT}
_RUNS = {
    "plain": _RUN,
    "double text": {**_RUN, "multitask_strategy": "rollback", "metadata": {"via": "docs"}},
    "resume": {"assistant_id": "agent", "command": {"resume": "yes"}},
    "stop early": {**_RUN, "interrupt_before": ["tools"], "durability": "sync"},
}
_STREAMS = {**_RUNS, "tokens": {**_RUN, "stream_mode": ["messages-tuple", "updates"]}}
_ALONE = {"plain": _RUN, "kept": {**_RUN, "on_completion": "keep"}}

EXAMPLES: dict[Call, dict[str, Any]] = {
    ("POST", "/threads"): {
        "empty": {},
        "named": {"thread_id": THREAD_ID, "if_exists": "do_nothing", "metadata": {"user": "ada"}},
    },
    ("PATCH", "/threads/{thread_id}"): {"metadata": {"metadata": {"topic": "weather"}}},
    ("POST", "/threads/search"): {
        "by metadata": {"metadata": {"user": "ada"}, "status": "idle", "limit": 20},
        "a page": {"sort_by": "created_at", "sort_order": "desc", "limit": 10, "offset": 10},
    },
    ("POST", "/threads/count"): {"by status": {"status": "busy"}},
    ("POST", "/threads/prune"): {"delete": {"thread_ids": [THREAD_ID], "strategy": "delete"}},
    ("POST", "/threads/{thread_id}/state"): {
        "a message": {"values": _INPUT},
        "as a node": {"values": _INPUT, "as_node": "agent"},
        "a fork": {"values": _INPUT, "checkpoint": {"checkpoint_id": CHECKPOINT_ID}},
    },
    ("POST", "/threads/{thread_id}/state/checkpoint"): {
        "a checkpoint": {"checkpoint": {"checkpoint_id": CHECKPOINT_ID}, "subgraphs": False}
    },
    ("POST", "/threads/{thread_id}/history"): {"newest ten": {"limit": 10}},
    ("POST", "/threads/{thread_id}/runs"): _RUNS,
    ("POST", "/threads/{thread_id}/runs/wait"): _RUNS,
    ("POST", "/threads/{thread_id}/runs/stream"): _STREAMS,
    ("POST", "/runs"): _ALONE,
    ("POST", "/runs/wait"): _ALONE,
    ("POST", "/runs/stream"): _ALONE,
    ("POST", "/runs/batch"): {"two": [_RUN, _RUN]},
    ("POST", "/runs/cancel"): {
        "by id": {"thread_id": THREAD_ID, "run_ids": [RUN_ID]},
        "all that wait": {"status": "pending"},
    },
    ("POST", "/assistants"): {
        "named": {"graph_id": "agent", "name": "Weather", "metadata": {"team": "a"}}
    },
    ("PATCH", "/assistants/{assistant_id}"): {"renamed": {"name": "Weather, but kinder"}},
    ("POST", "/assistants/search"): {"of a graph": {"graph_id": "agent", "limit": 10}},
    ("POST", "/assistants/count"): {"of a graph": {"graph_id": "agent"}},
    ("POST", "/assistants/{assistant_id}/versions"): {"newest ten": {"limit": 10}},
    ("POST", "/assistants/{assistant_id}/latest"): {"back to the first": {"version": 1}},
}

PARAMETERS: dict[str, Any] = {
    "thread_id": THREAD_ID,
    "run_id": RUN_ID,
    "assistant_id": ASSISTANT_ID,
    "checkpoint_id": CHECKPOINT_ID,
    "before": CHECKPOINT_ID,
    "limit": 10,
    "offset": 0,
    "status": "success",
    "action": "rollback",
    "wait": "true",
    "stream_mode": ["values", "updates"],
    "select": ["metadata", "status"],
}
