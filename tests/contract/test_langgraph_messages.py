"""Chunks of messages are put together as LangChain does it, whatever they are made of."""

import operator
from functools import reduce
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessageChunk,
    ToolMessageChunk,
    message_chunk_to_message,
)

from threadfold.app.http.chunks import is_chunk, joined, message_of

CALL = {"name": "search", "id": "call 1", "index": 0, "type": "tool_call_chunk"}


def call(args: str, **fields: Any) -> dict[str, Any]:
    """Return a later part of a tool call."""
    return {"name": None, "id": None, "index": 0, "type": "tool_call_chunk", "args": args, **fields}


def chunks(*contents: Any, **fields: list[Any]) -> list[AIMessageChunk]:
    """Return chunks with these contents, and of each field one value after the other."""
    made: list[AIMessageChunk] = []
    for at, content in enumerate(contents):
        own = {name: values[at] for name, values in fields.items() if at < len(values)}
        made.append(AIMessageChunk(content=content, id="m1", **own))
    return made


def together(parts: list[Any]) -> dict[str, Any]:
    """Return what is shown after the last chunk."""
    state: dict[str, Any] | None = None
    for part in parts:
        state = joined(state, part.model_dump())
    assert state is not None
    return message_of(state)


STREAMS = {
    "text": chunks("to", "", "ken"),
    "one chunk": chunks("token"),
    "blocks by index": chunks(
        [{"type": "text", "text": "to", "index": 0}],
        [{"type": "text", "text": "ken", "index": 0}],
        [{"type": "text", "text": "more", "index": 1}],
    ),
    "blocks of other kinds": chunks(
        [{"type": "thinking", "thinking": "so ", "index": 0}],
        [{"type": "thinking", "thinking": "what", "index": 0, "signature": "x"}],
    ),
    "a tool call": chunks(
        "",
        "",
        "",
        tool_call_chunks=[
            [{**CALL, "args": '{"pla'}],
            [call('ce": "sf", "n": [1, ')],
            [call("2]}")],
        ],
    ),
    "a tool call in the middle": chunks(
        "", "", tool_call_chunks=[[{**CALL, "args": '{"place": "s'}], [call("f")]]
    ),
    "two tool calls": chunks(
        "say",
        "",
        tool_call_chunks=[
            [{**CALL, "args": '{"a": 1}'}],
            [{**CALL, "id": "call 2", "index": 1, "args": '{"b": 2}'}],
        ],
    ),
    "a tool call without arguments": chunks("", tool_call_chunks=[[{**CALL, "args": ""}]]),
    "a tool call that is no JSON": chunks("", tool_call_chunks=[[{**CALL, "args": "nonsense"}]]),
    "usage": chunks(
        "to",
        "ken",
        usage_metadata=[
            {
                "input_tokens": 3,
                "output_tokens": 1,
                "total_tokens": 4,
                "input_token_details": {"cache_read": 1},
            },
            {"input_tokens": 0, "output_tokens": 1, "total_tokens": 1},
        ],
    ),
    "metadata": chunks(
        "to",
        "ken",
        response_metadata=[{"model_name": "x"}, {"finish_reason": "stop"}],
        additional_kwargs=[{"a": 1}, {"b": {"c": 2}}],
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_chunks_make_the_message_that_langchain_makes_of_them(name: str) -> None:
    parts = STREAMS[name]
    for count in range(1, len(parts) + 1):
        whole = message_chunk_to_message(reduce(operator.add, parts[:count]))
        expected = whole.model_dump()
        expected["usage_metadata"] = _counts(expected["usage_metadata"])
        assert together(parts[:count]) == expected


def _counts(usage: Any) -> Any:
    """Leave out what LangChain adds to a sum although nobody counted it."""
    if not isinstance(usage, dict):
        return usage
    return {name: value for name, value in usage.items() if value != {}}


def test_chunks_of_a_tools_answer_make_one() -> None:
    parts = [ToolMessageChunk(content=text, id="t1", tool_call_id="call 1") for text in "ab"]
    shown = together(parts)
    assert (shown["type"], shown["content"], shown["tool_call_id"]) == ("tool", "ab", "call 1")


@pytest.mark.parametrize(
    ("kind", "expected"), [("AIMessageChunk", True), ("ai", False), (None, False)]
)
def test_chunks_are_known_by_their_type(kind: str | None, *, expected: bool) -> None:
    assert is_chunk({"type": kind}) is expected
