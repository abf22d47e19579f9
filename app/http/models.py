"""What the SDKs send: bodies as pydantic models. Fields that they do not know are ignored.

A field that is known, but not supported yet, is refused by name unless it holds its default: silence would mislead.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from .. import options
from ..extraction import PATHS_MAX
from ..threads import MINUTES_MAX
from .requests import LIMIT_MAX, OFFSET_MAX
from .support import REFUSES, STANDING

UNSUPPORTED_STREAM_MODES = ("tools", "lifecycle")
STREAM_MODES = options.STREAM_MODES

SECONDS_MAX = 10 * 366 * 24 * 3600
"""A run may be put off for ten years at most."""

IDS_MAX = 1000
SUPERSTEPS_MAX = 10_000
BATCH_MAX = 1000


def _refuse(value: object) -> object:
    if options.is_nothing(value):
        return None
    raise PydanticCustomError("not_supported", "not supported yet")


_NOTHING: list[Any] = [None, False, "", [], {}]
_NOT_SUPPORTED: dict[str, Any] = {
    "description": "Not supported yet.",
    "enum": _NOTHING,
    STANDING: "refused",
}
Unsupported = Annotated[Any, AfterValidator(_refuse), WithJsonSchema(_NOT_SUPPORTED)]
"""A field of the SDKs that is not supported yet; it may hold its default (null, false or empty)."""

Meaningless = Annotated[
    Any,
    WithJsonSchema({"description": "Accepted; it means nothing here.", STANDING: "meaningless"}),
]
"""A field of the SDKs that only means something to their own platform."""


def stream_modes(value: object) -> list[str]:
    """Return the modes named by a text or a list, each once; raises PydanticCustomError."""
    modes = cast("list[object]", value) if isinstance(value, list) else [value]
    found: list[str] = []
    for mode in modes:
        if mode in UNSUPPORTED_STREAM_MODES:
            raise PydanticCustomError(
                "not_supported", "{mode} is not supported yet", {"mode": mode}
            )
        if not isinstance(mode, str) or mode not in STREAM_MODES:
            known = ", ".join(STREAM_MODES)
            raise PydanticCustomError("stream_mode", "expected some of {known}", {"known": known})
        if mode not in found:
            found.append(mode)
    return found


def named_stream_modes(names: list[str]) -> list[str]:
    """Return the modes that a query names; raises pydantic's ValidationError."""
    return _StreamQuery.model_validate({"stream_mode": names}).stream_mode or []


def _modes_or_none(value: object) -> list[str] | None:
    return None if value is None else stream_modes(value)


Object = dict[str, Any]
_MODE = {"enum": list(STREAM_MODES)}
STREAM_MODES_SCHEMA: dict[str, Any] = {
    "anyOf": [_MODE, {"type": "array", "items": _MODE}, {"type": "null"}],
    REFUSES: list(UNSUPPORTED_STREAM_MODES),
}
StreamModes = Annotated[
    list[str] | None, BeforeValidator(_modes_or_none), WithJsonSchema(STREAM_MODES_SCHEMA)
]
CommandOption = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {"resume": {}, "update": {}, "goto": {}},
                    "additionalProperties": False,
                },
                {"enum": _NOTHING},
            ]
        }
    ),
]
Limit = Annotated[int, Field(ge=1, le=LIMIT_MAX)]
Offset = Annotated[int, Field(ge=0, le=OFFSET_MAX)]


class Body(BaseModel):
    """Base of all bodies: types as in JSON, nothing is converted."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _StreamQuery(Body):
    stream_mode: StreamModes


# ------------------------------------------------------------------ threads


def _object_or_list(value: object) -> object:
    if value is None or isinstance(value, dict | list):
        return cast("object", value)
    raise PydanticCustomError("values", "expected an object of channels, a list, or null")


class TimeToLive(Body):
    """How long a thread lives without a change, in minutes, and what happens then."""

    ttl: Annotated[float, Field(gt=0, le=MINUTES_MAX, allow_inf_nan=False)]
    strategy: Literal["delete", "keep_latest"] | None = None
    refresh_on_read: Unsupported = None


def _minutes(value: object) -> object:
    return {"ttl": value} if isinstance(value, int | float) else value


Lifetime = Annotated[
    TimeToLive | None,
    BeforeValidator(_minutes, json_schema_input_type=float | TimeToLive | None),
]
"""The SDKs write a number of minutes as an object; others may not."""


class SuperstepUpdate(Body):
    """What a node gives: values, or a command."""

    values: Annotated[Any, AfterValidator(_object_or_list)] = None
    command: CommandOption = None
    as_node: str | None = None


class Superstep(Body):
    """Updates that happen at once, each by a node."""

    updates: Annotated[list[SuperstepUpdate], Field(min_length=1, max_length=IDS_MAX)]


class ThreadCreate(Body):
    """POST /threads."""

    thread_id: str | None = None
    metadata: Object | None = None
    if_exists: Literal["raise", "do_nothing"] | None = None
    ttl: Lifetime = None
    supersteps: Annotated[list[Superstep], Field(max_length=SUPERSTEPS_MAX)] | None = None


class ThreadPatch(Body):
    """PATCH /threads/{thread_id}."""

    metadata: Object | None = None
    ttl: Lifetime = None


class ThreadCount(Body):
    """POST /threads/count."""

    metadata: Object | None = None
    status: Literal["idle", "busy", "interrupted", "error"] | None = None
    values: Object | None = None


class ThreadSearch(ThreadCount):
    """POST /threads/search."""

    ids: Annotated[list[str], Field(max_length=IDS_MAX)] | None = None
    limit: Limit | None = None
    offset: Offset | None = None
    sort_by: (
        Literal["thread_id", "status", "created_at", "updated_at", "state_updated_at"] | None
    ) = None
    sort_order: Literal["asc", "desc"] | None = None
    select: list[str] | None = None
    extract: Annotated[dict[str, str], Field(max_length=PATHS_MAX)] | None = None


class ThreadsPrune(Body):
    """POST /threads/prune."""

    thread_ids: Annotated[list[str], Field(max_length=IDS_MAX)]
    strategy: Literal["delete", "keep_latest"] | None = None


class CheckpointReference(Body):
    """A checkpoint as the SDKs name it."""

    checkpoint_id: str | None = None
    checkpoint_ns: str | None = None
    checkpoint_map: dict[str, str] | None = None
    thread_id: str | None = None


class CheckpointConfig(Body):
    """A checkpoint inside a config, as the JavaScript SDK names it in `before`."""

    configurable: CheckpointReference


class StateAtCheckpoint(Body):
    """POST /threads/{thread_id}/state/checkpoint."""

    checkpoint: CheckpointReference
    subgraphs: bool | None = None
    select: list[str] | None = None


class StateUpdate(Body):
    """POST /threads/{thread_id}/state."""

    values: Annotated[Any, AfterValidator(_object_or_list)] = None
    as_node: str | None = None
    checkpoint: CheckpointReference | None = None
    checkpoint_id: str | None = None


def _checkpoint_id(value: object) -> object:
    if isinstance(value, dict):
        content = cast("dict[str, object]", value)
        if isinstance(content.get("configurable"), dict):
            return CheckpointConfig.model_validate(content).configurable.checkpoint_id
        return CheckpointReference.model_validate(content).checkpoint_id
    return value


_CHECKPOINT = CheckpointReference.model_json_schema()
_IN_CONFIG = {
    "type": "object",
    "properties": {"configurable": _CHECKPOINT},
    "required": ["configurable"],
}
CheckpointName = Annotated[
    str | None,
    BeforeValidator(_checkpoint_id),
    WithJsonSchema({"anyOf": [{"type": ["string", "null"]}, _IN_CONFIG, _CHECKPOINT]}),
]
"""A checkpoint's id, or an object that holds it in any of the forms that the SDKs have."""


class HistoryQuery(Body):
    """POST /threads/{thread_id}/history."""

    limit: Limit | None = None
    before: CheckpointName = None
    metadata: Object | None = None
    checkpoint: CheckpointReference | None = None
    select: list[str] | None = None


# ------------------------------------------------------------------ runs


class RunConfig(BaseModel):
    """A run's config; what else it holds is handed to the graph as it is."""

    model_config = ConfigDict(strict=True, extra="allow")

    configurable: Object | None = None
    metadata: Object | None = None
    tags: list[str] | None = None
    recursion_limit: int | None = None


_TEXTS = {"type": "array", "items": {"type": "string"}}
StopsOption = Annotated[Any, WithJsonSchema({"anyOf": [{"enum": ["*", *_NOTHING]}, _TEXTS]})]
CheckpointOption = Annotated[Any, WithJsonSchema({"anyOf": [_CHECKPOINT, {"enum": _NOTHING}]})]

OPTIONS = frozenset(
    {
        "command", "checkpoint", "checkpoint_id", "checkpoint_during", "durability",
        "interrupt_before", "interrupt_after", "stream_subgraphs", "stream_resumable", "strict_resume",
        "webhook",
    }
)  # fmt: skip
"""Fields of RunCreate that hang on the graph: the engine checks them (`options.py`)."""


class RunCreate(Body):
    """POST /threads/{thread_id}/runs, …/runs/stream and …/runs/wait."""

    assistant_id: Annotated[str, Field(min_length=1)]
    input: Any = None
    metadata: Object | None = None
    config: RunConfig | None = None
    context: Object | None = None
    stream_mode: StreamModes = None
    multitask_strategy: Literal["reject", "rollback", "interrupt", "enqueue"] | None = None
    if_not_exists: Literal["create", "reject"] | None = None
    on_disconnect: Literal["cancel", "continue"] | None = None
    on_completion: Literal["delete", "keep"] | None = None
    """Of runs without a thread; to others it means nothing."""
    after_seconds: Annotated[float, Field(ge=0, le=SECONDS_MAX, allow_inf_nan=False)] | None = None
    webhook: str | None = None
    langsmith_tracer: Meaningless = None
    feedback_keys: Meaningless = None
    stream_resumable: bool | None = None
    command: CommandOption = None
    checkpoint: CheckpointOption = None
    checkpoint_id: str | None = None
    checkpoint_during: bool | None = None
    durability: Literal["sync", "async", "exit"] | None = None
    interrupt_before: StopsOption = None
    interrupt_after: StopsOption = None
    stream_subgraphs: bool | None = None
    strict_resume: bool | None = None


def _refuse_without_thread(value: object) -> object:
    if value in (None, "", {}):
        return None
    raise PydanticCustomError("no_thread", "not supported: a run without a thread has none")


class StatelessRunCreate(RunCreate):
    """POST /runs, /runs/stream, /runs/wait, and each of POST /runs/batch."""

    thread_id: Annotated[Any, AfterValidator(_refuse_without_thread)] = None
    checkpoint: Annotated[CheckpointOption, AfterValidator(_refuse_without_thread)] = None
    checkpoint_id: Annotated[str | None, AfterValidator(_refuse_without_thread)] = None


Batch = Annotated[list[StatelessRunCreate], Field(max_length=BATCH_MAX)]
"""POST /runs/batch."""


class RunsCancel(Body):
    """POST /runs/cancel."""

    thread_id: str | None = None
    run_ids: Annotated[list[str], Field(max_length=IDS_MAX)] | None = None
    status: Literal["pending", "running", "all"] | None = None
