"""Where the time of a benchmark goes: its top functions, in text files. `run.py --profile` asks for it.

Each piece of work runs once for each profiler in place: `cProfile` counts the calls of this thread, and makes each of them
slower; `py-spy`, if there is one, samples all threads and disturbs little.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections import Counter
from contextlib import contextmanager
from time import sleep
from typing import TYPE_CHECKING

from .harness import disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    Profiler = Callable[[str], AbstractContextManager[None]]

TOP = 45
RATE = 400
IDLE = ("EpollSelector.select", "_worker (concurrent", "Condition.wait", "wait (threading")
"""Functions in which a thread waits for something to do."""

THREAD = re.compile(r"^thread \(\d+\): |[-_\d]+$")


def profilers() -> list[Profiler]:
    """Return what is in place: each takes a name, and profiles what is done inside it."""
    return [_counted, *([_sampled] if _spy() else [])]


def _spy() -> str | None:
    return shutil.which("py-spy", path=sysconfig.get_path("scripts")) or shutil.which("py-spy")


def _file(name: str, ending: str) -> Path:
    place = disk() / "profiles"
    place.mkdir(exist_ok=True)
    letters = "".join(letter if letter.isalnum() else "-" for letter in name)
    return place / f"{letters}.{ending}"


@contextmanager
def _counted(name: str) -> Iterator[None]:
    profile = cProfile.Profile()
    profile.enable()
    try:
        yield
    finally:
        profile.disable()
    path = _file(name, "calls.txt")
    with path.open("w", encoding="utf-8") as file:
        stats = pstats.Stats(profile, stream=file)
        for order in ("tottime", "cumulative"):
            stats.sort_stats(order).print_stats(TOP)
    sys.stdout.write(f"{path}\n")


@contextmanager
def _sampled(name: str) -> Iterator[None]:
    spy = _spy()
    assert spy is not None
    raw = _file(name, "samples.raw")
    raw.unlink(missing_ok=True)
    asked = ["record", "--pid", str(os.getpid()), "--rate", str(RATE), "--threads", "--nolineno"]
    process = subprocess.Popen(  # noqa: S603 - nothing of it comes from outside
        [spy, *asked, "--format", "raw", "--output", raw],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    sleep(1)  # It says nowhere that it has begun.
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
    if not raw.exists():
        sys.stdout.write(f"{name}: py-spy may not look into this process\n")
        return
    path = _file(name, "samples.txt")
    path.write_text(_summary(raw.read_text(encoding="utf-8")), encoding="utf-8")
    raw.unlink()
    sys.stdout.write(f"{path}\n")


def _summary(text: str) -> str:
    """Return which share of its thread's samples each function has, by itself and with what it calls."""
    own: dict[str, Counter[str]] = {}
    inside: dict[str, Counter[str]] = {}
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        thread, *frames = stack.split(";")
        if not frames or frames[-1].startswith(IDLE):
            continue
        # The threads of a pool count as one.
        thread = THREAD.sub("", thread)
        own.setdefault(thread, Counter())[frames[-1]] += int(count)
        for frame in set(frames):
            inside.setdefault(thread, Counter())[frame] += int(count)
    everything = sum(counter.total() for counter in own.values())
    lines = [f"{everything} samples of threads that did something, {RATE} a second"]
    for thread, counter in sorted(own.items(), key=lambda item: -item[1].total()):
        lines.append(f"\n{thread}: {counter.total() / everything:.1%} of all samples")
        for heading, shares in (("by itself", counter), ("with what it calls", inside[thread])):
            lines.append(f"  {heading}")
            lines += [
                f"    {count / counter.total():6.1%}  {frame}"
                for frame, count in shares.most_common(TOP)
            ]
    return "\n".join(lines) + "\n"
