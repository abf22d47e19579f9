"""`GET /metrics`, in Prometheus' text format."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from .following import Following
from .requests import door_of, engine_of


async def metrics(request: Request) -> Response:
    """Return what this process measured, and what is in flight in the whole store."""
    engine = engine_of(request)
    found = engine.metrics
    if found is None:
        raise HTTPException(404, "Not Found")
    # Figures of the server are for whoever may search threads, and the same for all of them.
    await door_of(request).require(request, "threads", "search", {"metadata": {}})
    in_flight = await engine.queries.count_in_flight()
    for status in ("pending", "running"):
        found.in_flight.labels(status).set(in_flight.get(status, 0))
    following: set[Following] = request.app.state.following
    found.streams.set(len(following))
    slots_free, fenced = engine.slots
    found.slots_free.set(slots_free)
    found.fenced.set(fenced)
    return Response(generate_latest(found.registry), media_type=CONTENT_TYPE_LATEST)
