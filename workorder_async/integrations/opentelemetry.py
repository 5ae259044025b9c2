"""Traces and metrics of calls: `WorkorderClient(observers=[OpenTelemetryObserver()])`; needs the extra `otel`.

A call is a span of kind INTERNAL, and each attempt of it one of kind CLIENT below, in the caller's trace. The
attributes of attempts, and the histogram `http.client.request.duration`, have the names of OpenTelemetry's stable
conventions for HTTP. No signature, secret, text or number of a ticket is in them.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from attrs import define
from yarl import URL

from workorder_async.document.endpoints import ENDPOINTS, Safety
from workorder_async.errors import ConfigError
from workorder_async.extras import extra_module
from workorder_async.wire.observing import AttemptEnded, AttemptStarted, CallEnded, CallStarted, Event

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider  # pyright: ignore[reportMissingImports]
    from opentelemetry.trace import TracerProvider  # pyright: ignore[reportMissingImports]

__all__ = ["OpenTelemetryObserver"]

# The buckets that the conventions name for this histogram, in seconds.
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_CLIENT_ERROR: Final = 400


@define
class _Call:
    """A call that is under way."""

    span: Any
    target: Mapping[str, str | int]
    """The attributes that all its attempts have: method, address, port, scheme."""
    url: str
    began: int = 0
    """When the present attempt began, in nanoseconds since the epoch."""


class OpenTelemetryObserver:
    """Makes a span of each call and attempt, and a metric of attempts; one object may serve several clients.

    Without the two arguments the global providers are used. The span of a call has `workorder.operation`,
    `workorder.attempts`, `workorder.sent`, `workorder.errno`, `workorder.request_id` and `workorder.outcome`: "done" if
    the platform says so, also if its data cannot be read, "rejected" by the platform, "not sent", "unknown" for a
    mutation that may have happened, "failed" for a read.

    Raises `ConfigError` where the package `opentelemetry-api` is not installed.
    """

    def __init__(
        self, *, tracer_provider: "TracerProvider | None" = None, meter_provider: "MeterProvider | None" = None
    ) -> None:
        for name, given in (("tracer_provider", tracer_provider), ("meter_provider", meter_provider)):
            make = f"get_{name.partition('_')[0]}"
            if given is not None and not hasattr(given, make):
                raise ConfigError(
                    f"is a {type(given).__name__}", argument=name, mend=f"it must have {make}, as the SDK's"
                )
        self._trace = extra_module("opentelemetry.trace", "otel", "OpenTelemetryObserver")
        metrics = extra_module("opentelemetry.metrics", "otel", "OpenTelemetryObserver")
        self._tracer = self._trace.get_tracer("workorder_async", tracer_provider=tracer_provider)
        meter = metrics.get_meter("workorder_async", meter_provider=meter_provider)
        name, description = "http.client.request.duration", "Duration of HTTP client requests."
        self._duration = meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=_BUCKETS)
        # By task and number of the call: two clients may use the same numbers, but not in one task at a time.
        self._calls: dict[tuple[asyncio.Task[object] | None, int], _Call] = {}

    def on_event(self, event: Event) -> None:
        """Begin or end a span."""
        key = (asyncio.current_task(), event.call_id)
        if isinstance(event, CallStarted):
            self._calls[key] = self._begun(event)
        elif isinstance(event, CallEnded):
            facts: dict[str, str | int] = {"workorder.attempts": event.attempts, "workorder.outcome": _outcome(event)}
            self._end(self._calls.pop(key).span, event, facts)
        elif isinstance(event, AttemptStarted):
            self._calls[key].began = time.time_ns()
        else:
            self._tell_of_attempt(self._calls[key], event)

    def _begun(self, event: CallStarted) -> _Call:
        endpoint, server = ENDPOINTS[event.operation], URL(event.base_url)
        name, attributes = f"workorder.{event.operation}", {"workorder.operation": event.operation}
        span = self._tracer.start_span(name, kind=self._trace.SpanKind.INTERNAL, attributes=attributes)
        target: dict[str, str | int] = {
            "http.request.method": endpoint.method,
            "server.address": server.host or "",
            "server.port": server.port or 0,
            "url.scheme": server.scheme,
        }
        return _Call(span, target, event.base_url + endpoint.path)

    def _tell_of_attempt(self, call: _Call, event: AttemptEnded) -> None:
        facts = {**call.target}
        if event.status is not None:
            facts["http.response.status_code"] = event.status
        if event.error is not None:
            failed = event.status is not None and event.status >= _CLIENT_ERROR
            facts["error.type"] = str(event.status) if failed else event.error
        own: dict[str, str | int] = {"url.full": call.url, "workorder.operation": event.operation}
        if event.attempt > 1:
            own["http.request.resend_count"] = event.attempt - 1
        name = f"{call.target['http.request.method']} {ENDPOINTS[event.operation].path}"
        within, kind = self._trace.set_span_in_context(call.span), self._trace.SpanKind.CLIENT
        span = self._tracer.start_span(name, within, kind, {**facts, **own}, start_time=call.began)
        self._duration.record(event.seconds.request, facts, context=self._trace.set_span_in_context(span))
        # The event comes only when the wait before the next attempt is known, so the end of the attempt is computed.
        self._end(span, event, {**facts}, call.began + int(event.seconds.request * 1e9))

    def _end(
        self, span: Any, event: AttemptEnded | CallEnded, facts: dict[str, str | int], at: int | None = None
    ) -> None:
        """End a span with these attributes, those of the platform's answer, and whether the request was sent."""
        facts["workorder.sent"] = event.sent
        if event.errno:
            facts["workorder.errno"] = event.errno
        if event.request_id:
            facts["workorder.request_id"] = event.request_id
        if event.error is not None:
            facts.setdefault("error.type", event.error)
            span.set_status(self._trace.StatusCode.ERROR, event.error)
        span.set_attributes(facts)
        span.end(at)


def _outcome(event: CallEnded) -> str:
    if event.error is None:
        return "done"
    if event.errno is not None:
        return "rejected"
    if ENDPOINTS[event.operation].safety is Safety.READ:
        return "failed"
    return "unknown" if event.sent and event.error != "NotSentError" else "not sent"
