"""What is stored in fewer bytes comes back as it was."""

import pytest
from hypothesis import given, strategies as st

from threadfold.domain.errors import UnreadableEventError
from threadfold.infrastructure.log.codec import CODEC
from threadfold.infrastructure.log.compression import NEWEST, compressed, expanded

EVENT = (
    b'{"at":1795189701600703,"run_id":"0190a0a0-0000-7000-8000-000000000001","checkpoint_id":"","deltas":{}}'
    * 3
)


@given(st.binary(max_size=400))
def test_any_bytes_come_back(text: bytes) -> None:
    assert expanded(compressed(text)) == text


@given(st.text(max_size=400))
def test_json_is_never_taken_for_something_compressed(text: str) -> None:
    plain = b'{"text":"%b"}' % text.encode(errors="replace")
    assert expanded(plain) == plain


def test_an_event_takes_less_than_half() -> None:
    assert len(compressed(EVENT)) < len(EVENT) / 2
    assert compressed(EVENT)[0] == NEWEST


@pytest.mark.parametrize(
    "stored", [b"\x02rest", bytes((NEWEST,)) + b"rest", compressed(EVENT)[:-4]]
)
def test_damaged_bytes_and_those_of_newer_versions_are_refused(stored: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        expanded(stored)
    with pytest.raises(UnreadableEventError):
        CODEC.decode((1, "t", 1, "RunDeleted.1", stored))
