"""`make bench`: runs the benchmarks, each group in a process of its own, and writes down what they measured.

    .venv/bin/python tests/benchmarks/run.py [--only NAME] [--quick] [--print] [--profile]

A run rewrites the tables of docs/benchmarks.md; with `--only`, those of these groups; with `--print`, none. `--quick` takes
small sizes, to see that all of it works: its figures say little, and are not written down. `--profile` measures nothing, and
writes down where the time goes, for the groups that can say it.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from traceback import print_exception
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[2]
# A script's own folder stands there, under which its modules would have other names.
sys.path[0] = str(ROOT)

if TYPE_CHECKING:
    from tests.benchmarks.harness import Row

GROUPS = {
    "append": "Durable appends on SQLite, `synchronous=FULL`",
    "fold": "Folding a thread's log",
    "size": "Bytes on disk",
    "reading": "Long threads",
    "steps": "What the engine adds to a run and to a step",
    "rollback": "Rollback over HTTP",
    "serving": "Runs over HTTP",
    "langgraph_size": "LangGraph: bytes on disk",
    "langgraph_turns": "LangGraph: turns of long conversations",
    "langgraph_steps": "LangGraph: what a saver adds to a step",
}
"""By the name of the module: a heading."""

PROFILED = ("langgraph_turns", "langgraph_steps")


def measure(name: str, *, quick: bool) -> list[Row]:
    """Run one group, in this process."""
    return import_module(f"tests.benchmarks.{name}").rows(quick=quick)


def profile(name: str, *, quick: bool) -> None:
    """Profile one group, in this process."""
    import_module(f"tests.benchmarks.{name}").profile(quick=quick)


def main() -> None:
    """Run what was asked for."""
    options = _options()
    if options.profile:
        for name in options.only or PROFILED:
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                pool.submit(profile, name, quick=options.quick).result()
        return
    report = import_module("tests.benchmarks.report")
    started = perf_counter()
    report.say(report.machine())
    failed: list[str] = []
    for name in options.only or GROUPS:
        # A process for each: none finds a heap, a thread or a cache that another one left.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            future = pool.submit(measure, name, quick=options.quick)
            if error := future.exception():
                print_exception(error)
                failed.append(name)
                continue
        rows = future.result()
        report.say(f"\n{GROUPS[name]} ({name})\n{report.plain(rows)}")
        if not (options.quick or options.print):
            report.rewrite(ROOT / "docs" / "benchmarks.md", name, GROUPS[name], rows)
    report.say(f"\n{perf_counter() - started:.0f} s")
    if failed:
        sys.exit(f"could not be measured: {', '.join(failed)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure, each figure as a ratio within the run.")
    parser.add_argument(
        "--only", action="append", choices=GROUPS, help="one group; may be repeated"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes; nothing is written down")
    parser.add_argument("--print", action="store_true", help="nothing is written down")
    parser.add_argument("--profile", action="store_true", help="where the time goes, in files")
    return parser.parse_args()


if __name__ == "__main__":
    main()
