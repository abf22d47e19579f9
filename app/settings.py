"""Settings of an engine and its server, each with its unit, bounds and default."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator


def _separated(given: object, *, keeps_empty: bool) -> object:
    """Return a text with commas as the list that an environment variable means by it."""
    if not isinstance(given, str):
        return given
    parts = tuple(map(str.strip, given.split(",")))
    return parts if keeps_empty else tuple(filter(None, parts))


Origins = Annotated[tuple[str, ...], BeforeValidator(partial(_separated, keeps_empty=False))]
Keys = Annotated[tuple[SecretStr, ...], BeforeValidator(partial(_separated, keeps_empty=True))]
"""An empty one is kept, so that it is refused."""


class Settings(BaseModel):
    """How an engine works. Times are seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    worker_slots: int = Field(default=10, ge=0, le=10_000)
    """Runs that this process executes at once; 0: it accepts runs and leaves them to other processes."""
    grace_seconds: float = Field(default=5.0, ge=0)
    """How long a new run waits for the code of the one that it displaced to stop."""
    run_timeout_seconds: float | None = Field(default=3600.0, gt=0)
    """The longest time from a run's first start to its end; None: unlimited."""
    runs_in_flight_max: int = Field(default=1000, ge=1)
    """Runs pending or running on one thread at once."""
    attempts_max: int = Field(default=3, ge=1)
    """Attempts that may be lost with their process before the run fails."""
    lease_seconds: float = Field(default=10.0, gt=0)
    """A process that gives no sign for so long loses its runs to others."""
    contention_seconds: float = Field(default=5.0, gt=0)
    """How long a decision is tried again while other writers get in first."""
    shutdown_seconds: float = Field(default=5.0, ge=0)
    """How long a stopping engine waits for running code before it hands the runs over."""
    poll_seconds: float = Field(default=1.0, gt=0)
    """How often the log is asked for what other processes wrote, where the database cannot tell."""
    retention: Literal["keep", "erase"] = "keep"
    """What happens to the payloads of rolled-back runs: kept for the audit, or overwritten."""
    stream_retention_seconds: float = Field(default=24 * 3600.0, ge=0)
    """How long after a run's end the stored part of its resumable stream is kept: tokens, custom data, what LangGraph streams."""
    cached_threads_max: int = Field(default=1000, ge=1)
    """Threads whose folded state is held in memory."""
    cached_events_max: int = Field(default=500_000, ge=1)
    """Events that the threads held in memory may have together, as a bound of memory."""
    snapshot_events_min: int = Field(default=500, ge=1)
    """Events since the last snapshot of a thread before a new one is written."""
    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    """SQLite only. FULL: what is acknowledged survives a power cut. NORMAL: it survives a crash of the process."""
    group_commit_max: int = Field(default=256, ge=1)
    """Appends that share one transaction at most; 1: one transaction each."""
    metrics: bool = True
    """Whether the engine counts what it does; the server shows it at `/metrics`."""
    traces: bool = True
    """Whether attempts get OpenTelemetry spans, if that is installed."""
    cors_origins: Origins = ()
    """Origins whose pages may call the server from a browser; none: those of this machine; `*`: all. With commas between them."""

    idempotency_seconds: float = Field(default=86_400.0, gt=0)
    """How long the answer to a request with an `Idempotency-Key` is kept."""
    webhook_secret: SecretStr | None = None
    """What calls of webhooks are signed with; None: they are not."""
    webhook_allows_private: bool = False
    """Whether webhooks may be at private, loopback and link-local addresses, which others cannot reach."""
    webhook_timeout_seconds: float = Field(default=10.0, gt=0)
    """How long one call of a webhook may take."""
    webhook_tries_max: int = Field(default=10, ge=1)
    """Calls of a webhook that may fail before it is given up."""
    webhook_retry_seconds: float = Field(default=1.0, gt=0)
    """How long the second call waits after the first has failed; each next one waits twice as long, an hour at most."""
    body_bytes_max: int = Field(default=8 * 1024 * 1024, ge=1024)
    """The largest request body that the server reads."""
    api_keys: Keys = ()
    """Keys that callers must send one of, in `x-api-key` or as `Authorization: Bearer`; none: anybody may call."""

    @field_validator("api_keys")
    @classmethod
    def _named(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(key.get_secret_value() for key in keys):
            # A variable that was meant to hold a key must not leave the server open.
            raise ValueError("a key is empty; leave the setting out to have none")
        return keys
