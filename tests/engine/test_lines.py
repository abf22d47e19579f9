"""Lines, in which callers are served one at a time, in the order in which they came."""

from __future__ import annotations

import asyncio
import gc

import pytest

from threadfold.app.lines import Lines

pytestmark = pytest.mark.anyio

WAITING = 20


class Guests:
    """Callers of one line, and the order in which they were let in."""

    def __init__(self, lines: Lines[str]) -> None:
        self._lines = lines
        self.served: list[int] = []

    async def stand(self, number: int) -> asyncio.Task[None]:
        """Let one wait in the line "a"; return when it does."""
        has_come = asyncio.Event()

        async def wait() -> None:
            has_come.set()
            async with self._lines.of("a"):
                self.served.append(number)

        guest = asyncio.create_task(wait())
        await has_come.wait()
        return guest


async def test_callers_are_served_in_the_order_in_which_they_came() -> None:
    lines = Lines[str]()
    guests = Guests(lines)
    async with lines.of("a"):
        waiting = [await guests.stand(number) for number in range(WAITING)]
        assert guests.served == []
    waiting.append(await guests.stand(WAITING))
    await asyncio.gather(*waiting)
    assert guests.served == list(range(WAITING + 1))


async def test_a_caller_that_gives_up_holds_up_nobody_behind_it() -> None:
    lines = Lines[str]()
    guests = Guests(lines)
    async with lines.of("a"):
        waiting = [await guests.stand(number) for number in range(3)]
        waiting[1].cancel()
        await asyncio.wait([waiting[1]])
    await asyncio.gather(waiting[0], waiting[2])
    assert guests.served == [0, 2]


async def test_the_lines_of_different_keys_do_not_wait_for_each_other() -> None:
    lines = Lines[tuple[str, str]]()
    async with lines.of(("a", "b")), lines.of(("a", "c")):
        assert lines.of(("a", "b")).locked()
        assert not lines.of(("b", "a")).locked()


async def test_a_line_is_kept_for_as_long_as_somebody_is_in_it() -> None:
    lines = Lines[str]()
    guests = Guests(lines)
    async with lines.of("a"):
        first = await guests.stand(1)
        gc.collect()
        assert lines.of("a").locked()
    await first
    del first
    for number in range(WAITING):
        async with lines.of(f"other {number}"):
            pass
    gc.collect()
    assert list(lines._locks) == []
