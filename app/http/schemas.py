"""What the SDKs get, as JSON schemas for `/openapi.json`. `objects.py` makes the objects themselves."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

THREAD_ID = "0198d0a4-5c1e-7b1e-9c53-6a0c5e0f2b11"
RUN_ID = "0198d0a4-6d2f-7c2f-8d64-7b1d6f103c22"
ASSISTANT_ID = "fe096781-5601-53d2-b2f6-0d3403f7e9ca"
CHECKPOINT_ID = "1f0a5c1e-5b1e-6c53-8001-6a0c5e0f2b11"
MOMENT = "2026-11-20T08:30:00.000000+00:00"

ANY: Schema = {}
OBJECT: Schema = {"type": "object"}
TEXT: Schema = {"type": "string"}
TEXTS: Schema = {"type": "array", "items": TEXT}
ID: Schema = {"type": "string", "format": "uuid"}
TIME: Schema = {"type": "string", "format": "date-time", "examples": [MOMENT]}


def or_null(schema: Schema) -> Schema:
    """Return a schema that null fits too."""
    return {"anyOf": [schema, {"type": "null"}]}


def ref(name: str) -> Schema:
    """Return a reference to one of the schemas below."""
    return {"$ref": f"#/components/schemas/{name}"}


def listed(schema: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": schema}


def record(fields: dict[str, Schema], *, required: bool = True, example: object = None) -> Schema:
    """Return the schema of an object that has all of these fields, or some; more may come with newer servers."""
    schema: Schema = {"type": "object", "properties": fields}
    if required:
        schema["required"] = list(fields)
    if example is not None:
        schema["examples"] = [example]
    return schema


MESSAGES: Schema = {
    "messages": [{"type": "human", "content": "what's the weather in sf?", "id": "m1"}]
}

_ERROR = record({"error": TEXT, "message": TEXT}, example={"error": "ValueError", "message": "…"})

_INTERRUPTS = listed(OBJECT)

_THREAD: dict[str, Schema] = {
    "thread_id": ID,
    "created_at": TIME,
    "updated_at": TIME,
    "state_updated_at": TIME,
    "metadata": OBJECT,
    "status": {"enum": ["idle", "busy", "interrupted", "error"]},
    "config": OBJECT,
    "values": ANY,
}
_ENDED: dict[str, Schema] = {
    "interrupts": {"type": "object", "additionalProperties": _INTERRUPTS},
    "error": or_null(ref("Error")),
}
_THREAD_EXAMPLE: Schema = {
    "thread_id": THREAD_ID,
    "created_at": MOMENT,
    "updated_at": MOMENT,
    "state_updated_at": MOMENT,
    "metadata": {"user": "ada"},
    "status": "idle",
    "config": {},
    "values": MESSAGES,
    "interrupts": {},
    "error": None,
}

_RUN: dict[str, Schema] = {
    "run_id": ID,
    "thread_id": ID,
    "assistant_id": ID,
    "status": {"enum": ["pending", "running", "success", "error", "timeout", "interrupted"]},
    "metadata": OBJECT,
    "kwargs": OBJECT,
    "multitask_strategy": {"enum": ["reject", "enqueue", "interrupt", "rollback"]},
    "created_at": TIME,
    "updated_at": TIME,
    "langsmith_session_name": or_null(TEXT),
}
_RUN_EXAMPLE: Schema = {
    "run_id": RUN_ID,
    "thread_id": THREAD_ID,
    "assistant_id": ASSISTANT_ID,
    "status": "pending",
    "metadata": {"graph_id": "agent", "assistant_id": ASSISTANT_ID},
    "kwargs": {"input": MESSAGES, "stream_mode": ["values"]},
    "multitask_strategy": "enqueue",
    "created_at": MOMENT,
    "updated_at": MOMENT,
    "langsmith_session_name": None,
}

_TASK = record(
    {
        "id": TEXT,
        "name": TEXT,
        "path": {"type": "array"},
        "error": ANY,
        "interrupts": _INTERRUPTS,
        "checkpoint": or_null(ref("Checkpoint")),
        "state": or_null(ref("ThreadState")),
        "result": ANY,
    }
)
_CHECKPOINT = record(
    {"checkpoint_id": TEXT, "checkpoint_ns": TEXT, "thread_id": TEXT, "checkpoint_map": ANY},
    required=False,
    example={"thread_id": THREAD_ID, "checkpoint_ns": "", "checkpoint_id": CHECKPOINT_ID},
)
_STATE: dict[str, Schema] = {
    "values": ANY,
    "next": TEXTS,
    "tasks": listed(ref("Task")),
    "metadata": or_null(OBJECT),
    "created_at": or_null(TIME),
    "checkpoint": or_null(ref("Checkpoint")),
    "parent_checkpoint": or_null(ref("Checkpoint")),
    "interrupts": _INTERRUPTS,
    "checkpoint_id": or_null(TEXT),
    "parent_checkpoint_id": or_null(TEXT),
}
_STATE_EXAMPLE: Schema = {
    "values": MESSAGES,
    "next": ["agent"],
    "tasks": [],
    "metadata": {"source": "input", "step": 0, "parents": {}},
    "created_at": MOMENT,
    "checkpoint": {"thread_id": THREAD_ID, "checkpoint_ns": "", "checkpoint_id": CHECKPOINT_ID},
    "parent_checkpoint": None,
    "interrupts": [],
    "checkpoint_id": CHECKPOINT_ID,
    "parent_checkpoint_id": None,
}

_ASSISTANT: dict[str, Schema] = {
    "assistant_id": ID,
    "graph_id": TEXT,
    "config": OBJECT,
    "context": OBJECT,
    "metadata": OBJECT,
    "name": TEXT,
    "description": or_null(TEXT),
    "version": {"type": "integer", "minimum": 1},
    "created_at": TIME,
    "updated_at": TIME,
}
_ASSISTANT_EXAMPLE: Schema = {
    "assistant_id": ASSISTANT_ID,
    "graph_id": "agent",
    "config": {},
    "context": {},
    "metadata": {"created_by": "system"},
    "name": "agent",
    "description": None,
    "version": 1,
    "created_at": MOMENT,
    "updated_at": MOMENT,
}


COMPONENTS: dict[str, Schema] = {
    "Problem": record({"detail": TEXT}, example={"detail": "Not Found"}),
    "Error": _ERROR,
    # `interrupts` and `error` are there once a run has ended.
    "Thread": {
        **record(_THREAD, example=_THREAD_EXAMPLE),
        "properties": {**_THREAD, **_ENDED, "ttl": ANY},
    },
    "ThreadFound": record(
        {**_THREAD, **_ENDED, "extracted": OBJECT}, required=False, example=_THREAD_EXAMPLE
    ),
    "Run": record(_RUN, example=_RUN_EXAMPLE),
    "RunFound": record(_RUN, required=False, example=_RUN_EXAMPLE),
    "Checkpoint": _CHECKPOINT,
    "Task": _TASK,
    "ThreadState": record(_STATE, required=False, example=_STATE_EXAMPLE),
    "StateUpdated": record(
        {
            "checkpoint": ref("Checkpoint"),
            "configurable": ref("Checkpoint"),
            "checkpoint_id": TEXT,
        }
    ),
    "Assistant": record(_ASSISTANT, example=_ASSISTANT_EXAMPLE),
    "AssistantVersion": record(
        {name: kind for name, kind in _ASSISTANT.items() if name != "updated_at"}
    ),
    "AssistantFound": record(_ASSISTANT, required=False, example=_ASSISTANT_EXAMPLE),
    "Drawing": record({"nodes": listed(OBJECT), "edges": listed(OBJECT)}),
    "GraphSchemas": {
        **record({"graph_id": TEXT}),
        "properties": {
            "graph_id": TEXT,
            **dict.fromkeys(
                (
                    "input_schema",
                    "output_schema",
                    "state_schema",
                    "config_schema",
                    "context_schema",
                ),
                ANY,
            ),
        },
    },
    "Values": {
        "description": (
            "The values that the run ended with: those of the graph's state. A graph that stopped at a question adds "
            "`__interrupt__`, a list of what it asks. A run that failed, or was rolled back, has `__error__` instead."
        ),
        "examples": [MESSAGES, {"__error__": {"error": "RunRolledBack", "message": "…"}}],
    },
    "Events": {
        **record({"event": TEXT, "data": TEXT, "id": TEXT}, required=False),
        "required": ["event", "data"],
        "description": (
            "Each of the server-sent events: `event: <mode>`, `data: <JSON>`, and `id:` where the stream can be resumed. The "
            "first is `metadata` with the run's id and attempt; then come those of the modes asked for, a failure as `error`, "
            "and a comment `: heartbeat` every five seconds. The body ends with the run."
        ),
        "examples": [
            {"event": "metadata", "data": '{"run_id":"…","attempt":1}'},
            {"event": "values", "data": '{"messages":[]}'},
        ],
    },
}
