"""A server of its own, fuzzed over a socket by what it says of itself: single calls, and chains of them along its links."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import FlakyStrategyDefinition
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import GenerationMode
from schemathesis.config import GenerationConfig, SchemathesisConfig
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    ensure_resource_availability,
    positive_data_acceptance,
)

from tests.support.engine import Database, Gates, said
from tests.support.http import served
from tests.support.langgraph_agents import hosting
from threadfold.app.http.openapi import ENDLESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from schemathesis import Case, Response
    from schemathesis.schemas import APIOperation, BaseSchema

SECONDS_MAX = 20
"""A request that takes longer hangs."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

GRAPHS = ("agent", "function", "asking", "nested", "failing")

NOT_CHECKED = [
    ensure_resource_availability,  # Links may lead to what an earlier call of the chain has deleted or rolled back.
    positive_data_acceptance,  # Not all that hangs together can be said in a schema: names of fields, of nodes, of graphs.
]


@dataclass
class Tally:
    """How many cases there were, and what they were answered."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)

    @property
    def cases(self) -> int:
        return sum(self.answers.values())

    @property
    def labels(self) -> set[str]:
        return {label for label, _ in self.answers}

    @property
    def served(self) -> set[str]:
        """Calls that went well at least once."""
        return {label for label, status in self.answers if status < 300}


class Fuzz:
    """Cases made from the document of a server; each answer is checked against it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.tally = Tally()
        self._thread: dict[str, str] | None = None
        self._session = requests.Session()
        self._session.trust_env = False
        config = SchemathesisConfig()
        config.projects.default.generation = GenerationConfig(database="none")
        document = self._session.get(f"{url}/openapi.json", timeout=SECONDS_MAX).json()
        document["paths"] = {
            path: {name: entry for name, entry in methods.items() if ENDLESS not in entry}
            for path, methods in document["paths"].items()
        }
        self.schema: BaseSchema = schemathesis.openapi.from_dict(document, config=config)

    def close(self) -> None:
        self._session.close()

    def operations(self) -> list[APIOperation]:
        return [result.ok() for result in self.schema.get_all_operations()]

    def send(self, case: Case) -> Response:
        """Make a call, and count it."""
        tame(case)
        response = case.call(base_url=self._url, session=self._session, timeout=SECONDS_MAX)
        self.tally.answers[case.operation.label, response.status_code] += 1
        return response

    def call(self, case: Case) -> Response:
        """Make a call, and check the answer; raises schemathesis' failures."""
        response = self.send(case)
        case.validate_response(response, excluded_checks=NOT_CHECKED)
        return response

    def singles(self, chosen: settings) -> None:
        """Make calls of all kinds, each on its own: of data that fit the document, and of such that do not."""
        for operation in self.operations():
            self.single(operation, chosen, GenerationMode.POSITIVE)
            if operation.definition.raw["parameters"] or "requestBody" in operation.definition.raw:
                self.single(operation, chosen, GenerationMode.NEGATIVE)

    def single(self, operation: APIOperation, chosen: settings, mode: GenerationMode) -> None:
        """Make calls of one kind."""

        @chosen
        @given(case=operation.as_strategy(generation_mode=mode))
        def test(case: Case) -> None:
            self._aim(case)
            self.call(case)

        test()

    def _aim(self, case: Case) -> None:
        """Let most ids in paths be those of a thread and a run that there are: made up, all but a few lead nowhere."""
        label, names = (
            case.operation.label,
            [*case.path_parameters.keys() & {"thread_id", "run_id"}],
        )
        if label == "POST /runs/cancel":
            self._made(is_waiting=True)
        made_up = [str(case.path_parameters[name]) for name in sorted(names)]
        if not made_up or made_up[-1][:1] in "01" or not all(map(_UUID.fullmatch, made_up)):
            return
        if label.endswith("/cancel"):
            self._thread = self._made(is_waiting=True)
        thread = self._thread or self._made()
        is_spent = label.startswith("DELETE") or label.endswith("/cancel")
        self._thread = None if is_spent else thread
        case.path_parameters |= {name: thread[name] for name in names}

    def _made(self, *, is_waiting: bool = False) -> dict[str, str]:
        """Make a thread with a run that has ended, or that waits to be cancelled, of each graph in turn."""
        thread = self._post("/threads", {})
        path = f"/threads/{thread['thread_id']}/runs"
        graph = GRAPHS[self.tally.cases % len(GRAPHS)]
        body = {"assistant_id": graph, "input": said("A"), "after_seconds": 60 * is_waiting}
        run = self._post(path, body)
        if not is_waiting:
            self._session.get(f"{self._url}{path}/{run['run_id']}/join", timeout=SECONDS_MAX)
        return {"thread_id": thread["thread_id"], "run_id": run["run_id"]}

    def _post(self, path: str, body: object) -> Any:
        answer = self._session.post(f"{self._url}{path}", json=body, timeout=SECONDS_MAX)
        answer.raise_for_status()
        return answer.json()

    def chains(self, chosen: settings) -> None:
        """Make chains of calls, each with what the one before has made.

        Hypothesis gives up where the same calls get other answers, as those about runs may: one has ended by now, or has not.
        What was found until then counts, and the next chains begin anew.
        """
        fuzz, broken = self, list[Exception]()

        class Chain(cast("Any", self.schema.as_state_machine())):
            def setup(self) -> None:
                fuzz.clear()
                super().setup()

            def call(self, case: Case, **kwargs: Any) -> Response:
                del kwargs
                return fuzz.send(case)

            def validate_response(self, response: Response, case: Case, *_: Any, **__: Any) -> None:
                try:
                    case.validate_response(response, excluded_checks=NOT_CHECKED)
                except (Failure, FailureGroup) as error:
                    broken.append(error)
                    raise

        try:
            run_state_machine_as_test(Chain, settings=chosen)
        except FlakyStrategyDefinition:
            if broken:
                raise ExceptionGroup("broken, though not each time", broken) from None

    def clear(self) -> None:
        """Delete all threads: a chain shall not find what others have left."""
        self._thread = None
        while found := self._post("/threads/search", {"limit": 1000, "select": ["thread_id"]}):
            for thread in found:
                self._session.delete(
                    f"{self._url}/threads/{thread['thread_id']}", timeout=SECONDS_MAX
                )


def tame(case: Case) -> None:
    """Let runs be of a graph that there is, and start at once: most would otherwise be refused, or wait for years."""
    bodies = case.body if isinstance(case.body, list) else [case.body]
    for body in bodies:
        if not isinstance(body, dict):
            continue
        if isinstance(body.get("after_seconds"), int | float) and body["after_seconds"] > 0:
            body["after_seconds"] = 0
        for name in ("assistant_id", "graph_id"):
            text = body.get(name)
            if isinstance(text, str) and text:
                body[name] = GRAPHS[len(text) % len(GRAPHS)]


def budget(examples: int, steps: int = 1, *, is_fixed: bool = True) -> settings:
    """Return how many cases there are, always the same ones or others each time; others may have the machine, so at any pace."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=is_fixed,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def fuzzed() -> Iterator[Fuzz]:
    """Start a server in a thread of its own, and give what fuzzes it."""
    url, stop = _started()
    fuzz = Fuzz(url)
    try:
        yield fuzz
    finally:
        fuzz.close()
        stop()


def _started() -> tuple[str, Callable[[], None]]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fuzzed server")
    thread.start()
    ready: asyncio.Future[str] = asyncio.run_coroutine_threadsafe(_future(), loop).result()
    stopping = asyncio.run_coroutine_threadsafe(_event(), loop).result()

    async def serve() -> None:
        async with hosting(Database(None), Gates()) as engine, served(engine) as url:
            ready.set_result(url)
            await stopping.wait()

    async def wait() -> str:
        return await ready

    serving = asyncio.run_coroutine_threadsafe(serve(), loop)
    url = asyncio.run_coroutine_threadsafe(wait(), loop).result(SECONDS_MAX)

    def stop() -> None:
        loop.call_soon_threadsafe(stopping.set)
        serving.result(SECONDS_MAX)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(SECONDS_MAX)
        loop.close()

    return url, stop


async def _future() -> asyncio.Future[str]:
    return asyncio.get_running_loop().create_future()


async def _event() -> asyncio.Event:
    return asyncio.Event()
