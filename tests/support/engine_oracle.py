"""A thread as somebody would keep it who never heard of logs: lists of texts, copied whole. Compared with the engine's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

LATE_SECONDS = 40.0
SHORT_SECONDS = 50.0


@dataclass(frozen=True)
class Standing:
    """What a reader of the thread finds."""

    said: tuple[str, ...] = ()
    error: str | None = None
    is_stopped: bool = False
    """The last run was cancelled while it was running."""
    is_open: bool = False
    """Something stood open when the last run ended."""
    history: tuple[tuple[str, ...], ...] = ()

    def with_step(self, text: str) -> Standing:
        said = (*self.said, text)
        return Standing(said=said, is_open=True, history=(*self.history, said))


@dataclass
class OracleRun:
    """A run in flight."""

    run_id: str
    text: str
    due_at: float
    is_short: bool = False
    is_stubborn: bool = False
    attempt: int = 0
    handed_over: int = 0
    is_running: bool = False
    results: dict[str, str] = field(default_factory=dict)


@dataclass
class OracleThread:
    """A thread: what stands, what stood before the active run, and the runs."""

    is_present: bool = True
    stands: Standing = Standing()
    base: Standing | None = None
    active: OracleRun | None = None
    runs: list[OracleRun] = field(default_factory=list)
    listed: list[list[str]] = field(default_factory=list)
    """Run id, text and status of each run that can be seen, in order of creation."""
    gone: set[str] = field(default_factory=set)
    metadata: dict[str, object] = field(default_factory=dict)
    zombies: list[OracleRun] = field(default_factory=list)
    """Runs whose code goes on although they have ended."""
    blocked_until: float | None = None
    """When the grace time of the newest zombie is over."""

    @property
    def status(self) -> str:
        if self.runs:
            return "busy"
        if self.stands.error is not None:
            return "error"
        return "interrupted" if self.stands.is_open else "idle"

    # ------------------------------------------------------------------ what callers do

    def submit(self, run: OracleRun, strategy: str, now: float, grace: float) -> bool:
        """Accept the run, or say that it is refused."""
        if strategy == "reject" and self.runs:
            return False
        if strategy in {"interrupt", "rollback"}:
            for other in self.in_order():
                self.stop(other, strategy, now, grace)
        self.runs.append(run)
        self.listed.append([run.run_id, run.text, "pending"])
        self.metadata["graph_id"] = "agent"
        return True

    def stop(
        self, run: OracleRun, how: str, now: float, grace: float, *, is_cancel: bool = False
    ) -> None:
        """Interrupt a run in flight, or roll it back."""
        self._leave_code(run, now, grace)
        self.runs.remove(run)
        if how == "interrupt":
            self.mark(run.run_id, "interrupted")
            if run is self.active:
                self.base = self.active = None
                self.stands = replace(self.stands, error=None, is_stopped=is_cancel)
        else:
            self.hide(run.run_id)
            if run is self.active:
                assert self.base is not None
                self.stands, self.base, self.active = self.base, None, None

    def _leave_code(self, run: OracleRun, now: float, grace: float) -> None:
        if run.is_running and run.is_stubborn:
            self.zombies.append(run)
            self.blocked_until = now + grace

    def in_order(self) -> list[OracleRun]:
        return sorted(self.runs, key=lambda run: (run.attempt == 0, run.due_at))

    def hide(self, run_id: str) -> None:
        self.gone.add(run_id)
        self.listed = [entry for entry in self.listed if entry[0] != run_id]

    def mark(self, run_id: str, status: str) -> None:
        for entry in self.listed:
            if entry[0] == run_id:
                entry[2] = status

    def delete(self, now: float, grace: float) -> None:
        for run in self.in_order():
            self.stop(run, "rollback", now, grace)
        self.gone |= {entry[0] for entry in self.listed}
        self.listed = []
        self.is_present, self.stands, self.metadata = False, Standing(), {}

    def create(self) -> None:
        self.is_present = True

    def copy(self) -> OracleThread:
        stands = replace(self.base or self.stands, is_stopped=False)
        return OracleThread(stands=stands, metadata=dict(self.metadata))

    # ------------------------------------------------------------------ what runs do

    def start_next(self, now: float) -> OracleRun | None:
        """Start the run that may start now, if there is one; its first step is to say what it was told."""
        is_blocked = self.blocked_until is not None and now < self.blocked_until
        if is_blocked or any(run.is_running for run in self.runs):
            return None
        order = self.in_order()
        if not order or order[0].due_at > now:
            return None
        run = order[0]
        if run is not self.active:
            self.active, self.base = run, self.stands
        assert self.base is not None
        run.attempt += 1
        run.is_running = True
        self.mark(run.run_id, "running")
        self.stands = replace(self.base).with_step(run.text)
        return run

    def end(self, status: str) -> None:
        run = self.active
        assert run is not None
        self.runs.remove(run)
        self.mark(run.run_id, status)
        self.base = self.active = None
        error = {"error": "FailureError", "timeout": "TimeoutError"}.get(status)
        self.stands = replace(
            self.stands, error=error, is_stopped=False, is_open=status != "success"
        )

    def time_out(self, now: float, grace: float) -> None:
        run = self.active
        if run is not None and run.is_running and run.is_short:
            self._leave_code(run, now, grace)
            self.end("timeout")

    def lose_process(self, *, is_handed_over: bool, attempts_max: int) -> None:
        """The process is gone; another one takes the run up, or gives it up."""
        self.zombies.clear()
        self.blocked_until = None
        run = self.active
        if run is None or not run.is_running:
            return
        run.is_running = False
        if is_handed_over:
            run.handed_over += 1
            self.mark(run.run_id, "pending")
        elif run.attempt - run.handed_over >= attempts_max:
            self.end("error")
            self.stands = replace(self.stands, error="AttemptsExhausted")
