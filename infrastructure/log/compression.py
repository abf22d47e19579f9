"""Smaller stored bytes: what events have in common stands in a dictionary that is part of the storage format.

Compressed bytes begin with the number of their dictionary. Text that is not compressed begins as JSON does: small events, and
those of earlier stores.
"""

from __future__ import annotations

import threading

import zstandard

LEVEL = 3
SIZE_MIN = 96
"""Bytes below which compressing is not worth its time."""


PLAIN = 0
"""In place of a dictionary's number: the rest is as it is."""

FIRST_OF_TEXT = b"\x20"
"""Lower bytes begin no JSON that is written here."""

# Its bytes are needed to read what was written with it: it never changes. A better one gets the next number.
_FIRST = (
    b'"metadata":{"graph_id":"agent","assistant_id":"fe096781-5601-53d2-b2f6-0d3403f7e9ca"},"kwargs":{"config":'
    b'{"configurable":{"user_id":"","thread_id":"0190a0a0-0000-7000-8000-000000000001"},"metadata":{},"tags":[],'
    b'"recursion_limit":25},"context":{},"stream_mode":["values","messages-tuple","updates","custom"],"durability":"async",'
    b'"command":{"resume":"interrupt_before":,"is_typed":true,"raw_input":"multitask_strategy":"rollback","interrupt",'
    b'"reject","enqueue","after_seconds":0,"timeout_seconds":3600.0,"reason":"double_text","by_run_id":"holder":'
    b'"keeps_work":true,"error":{"error":"ValueError","message":"tasks":[{"id":"name":"interrupts":[{"value":"id":"'
    b'"nested":{"remove":["op":"merge","value":{"op":"nested","value":{"$items":[["$item":"op":"item","item":'
    b'"is_fork":true,"parent_id":"1f0c3a5e-0000-6000-8000-000000000000","ns":"tools:33661340-bb23-55bb-b0a4-05b62de1c517|'
    b'"seen":{"__start__":{"__start__":1},"__input__":{},"__interrupt__":{"versions":{"has_updated":false,"updated":['
    b'"source":"update","metadata":{"op":"set","value":{"parents":{"":"","run_id":"langgraph_auth_user":'
    b'"call_id":"call_","status":"finished","result":{"task":"tools","name":"tools","channel":"__interrupt__",'
    b'"channel":"__resume__","channel":"__error__","__pregel_tasks":{"op":"list","items":["join:'
    b'{"content":[{"type":"text","text":"additional_kwargs":{},"response_metadata":{"model_name":"finish_reason":"stop",'
    b'"usage_metadata":{"input_tokens":"output_tokens":"total_tokens":"tool_calls":[{"name":"args":{"id":"call_'
    b'"type":"tool_call"}],"invalid_tool_calls":[],"type":"tool","name":null,"tool_call_id":"artifact":null,"status":"success"}'
    b'{"$":["message","tool",{"content":"","id":"","tool_call_id":"call_"}]}{"$":["message","system",{"content":"You are '
    b'{"content":"","additional_kwargs":{},"response_metadata":{},"type":"human","name":null,"id":"'
    b'{"content":"","additional_kwargs":{},"response_metadata":{},"type":"ai","name":null,"id":"","tool_calls":[],'
    b'"invalid_tool_calls":[],"usage_metadata":null}],"assistant_id":"fe096781-5601-53d2-b2f6-0d3403f7e9ca","graph_id":"agent",'
    b'"input":{"messages":{"op":"list","items":[[1,2]]}},"checkpoint_id":"1f1e4f9d-02e5-6e69-bfff-49602909f2f0","source":"input",'
    b'"node":"agent","next":["tools"],"update":{"messages":{"op":"list","items":[[0,1]]}},"deltas":{"messages":{"op":"list",'
    b'"task_path":"~__pregel_pull, __start__","writes":[{"channel":"messages","value":{"op":"list","items":[[1,2]]}},{"channel":'
    b'"branch:to:model"}]}"checkpoint_id":"1f1e4f9d-02e7-6384-8000-4f6a73fd0614","source":"input","deltas":{"__start__":'
    b'{"op":"nested","value":{"messages":{"$items":[[1,2]]}}}},"version":4,"bumped":["__start__"],"ts":-11}'
    b'{"at":1795189701600703,"task_id":"33661340-bb23-55bb-b0a4-05b62de1c517","run_id":"0190a0a0-0000-7000-8000-000000000001",'
    b'"first_item":1,"items":[{"$":["message","human",{"content":" ","id":"b4d303a0-b332-4edf-a20c-c88c7a716d98"}]}],'
    b'"task_path":"~__pregel_pull, model","writes":[{"channel":"messages","value":{"op":"list","items":[[1,2]]}}]}'
    b'{"at":1795189701600703,"checkpoint_id":"1f1e4f9d-02e5-6e69-bfff-49602909f2f0","first_item":1,"items":[{"$":["message",'
    b'"ai",{"content":"","id":"b4d303a0-b332-4edf-a20c-c88c7a716d98"}]}],"deltas":{"messages":{"op":"splice","at":1,"items":'
    b'[[2,3]]},"branch:to:model":{"op":"set","value":null},"__start__":{"op":"drop"},"branch:to:tools":{"op":"drop"}},"version":2,'
    b'"bumped":["__start__","messages","branch:to:model"],"saw":["__start__"],"consumed":["__start__","branch:to:model"],"ts":-6}'
)
_DICTIONARIES = {1: _FIRST}
NEWEST = max(_DICTIONARIES)


class _Tools(threading.local):
    """Compressors and decompressors: each may be used by one thread at a time."""

    def __init__(self) -> None:
        data = {
            number: zstandard.ZstdCompressionDict(text, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
            for number, text in _DICTIONARIES.items()
        }
        self.compressor = zstandard.ZstdCompressor(
            level=LEVEL, dict_data=data[NEWEST], write_content_size=True, write_checksum=False
        )
        self.decompressors = {
            number: zstandard.ZstdDecompressor(dict_data=each) for number, each in data.items()
        }


_tools = _Tools()


def compressed(text: bytes) -> bytes:
    """Return the text in fewer bytes, if it can be had in fewer; `expanded` reads both."""
    if len(text) >= SIZE_MIN:
        smaller = _tools.compressor.compress(text)
        if len(smaller) < len(text) - 1:
            return bytes((NEWEST,)) + smaller
    return uncompressed(text)


def uncompressed(text: bytes) -> bytes:
    """Return what `expanded` makes the text of, at the text's own length."""
    return bytes((PLAIN,)) + text if text[:1] < FIRST_OF_TEXT else text


def expanded(stored: bytes) -> bytes:
    """Return the text that was stored.

    Raises:
        ValueError: the bytes are damaged, or were written with a dictionary that is not known here.
    """
    if not stored or stored[:1] >= FIRST_OF_TEXT:
        return stored
    if stored[0] == PLAIN:
        return stored[1:]
    decompressor = _tools.decompressors.get(stored[0])
    if decompressor is None:
        message = "these bytes were written by a newer version, or they are damaged"
        raise ValueError(message)
    try:
        return decompressor.decompress(stored[1:])
    except zstandard.ZstdError as error:
        message = f"damaged bytes: {error}"
        raise ValueError(message) from error
