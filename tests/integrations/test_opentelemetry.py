"""integrations/opentelemetry.py: spans and a histogram of real calls, by the SDK's exporters in memory."""

import asyncio
import sys
from contextlib import nullcontext
from importlib import import_module
from typing import Any

import pytest

from tests.support.cli_runs import elsewhere
from tests.support.clients import make_client
from tests.support.raw_server import data, drop, hang, http, serving
from tests.support.samples import BASE, CLOSE
from workorder_async import (
    ApiError,
    AuthenticationError,
    CommentTicket,
    ConfigError,
    NotSentError,
    OutcomeUnknownError,
    RetryPolicy,
    SchemeSigner,
    TicketStateError,
    WorkorderClient,
    WorkorderError,
)
from workorder_async.blocking import WorkorderClient as BlockingClient
from workorder_async.integrations.opentelemetry import OpenTelemetryObserver
from workorder_async.wire.observing import AttemptEnded, AttemptStarted, CallEnded, CallStarted, Seconds

COMMENT = CommentTicket(id=7, detail="密语 pa55")
REFUSED = data(None, 23000)
BUSY = http("{}", "429 Too Many Requests", Retry_After="0")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is not installed, a sentence says how to install it."""
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    with pytest.raises(ConfigError, match=r"OpenTelemetryObserver needs opentelemetry.trace.*\[otel\]"):
        OpenTelemetryObserver()


@pytest.mark.parametrize("name", ["tracer_provider", "meter_provider"])
def test_no_provider(name: str) -> None:
    """A tracer in place of its provider is refused by its name."""
    given: Any = {name: object()}
    with pytest.raises(ConfigError, match=f"{name} is a object; it must have get_{name[:6].rstrip('_')}"):
        OpenTelemetryObserver(**given)


class Telemetry:
    """An observer, and what it told the SDK."""

    def __init__(self) -> None:
        sdk = [pytest.importorskip(f"opentelemetry.sdk.{name}") for name in ("trace", "trace.export", "metrics")]
        memory: Any = import_module("opentelemetry.sdk.trace.export.in_memory_span_exporter")
        readers: Any = import_module("opentelemetry.sdk.metrics.export")
        self._exporter: Any = memory.InMemorySpanExporter()
        self._reader: Any = readers.InMemoryMetricReader()
        self.tracers: Any = sdk[0].TracerProvider()
        self.tracers.add_span_processor(sdk[1].SimpleSpanProcessor(self._exporter))
        meters: Any = sdk[2].MeterProvider(metric_readers=[self._reader])
        self.observer = OpenTelemetryObserver(tracer_provider=self.tracers, meter_provider=meters)

    def spans(self, kind: str) -> list[Any]:
        """Return the spans of a kind that have ended."""
        return [span for span in self._exporter.get_finished_spans() if span.kind.name == kind]

    def points(self) -> list[Any]:
        """Return the points of the one histogram."""
        found = self._reader.get_metrics_data()
        metrics = [
            metric
            for resource in (found.resource_metrics if found else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]
        assert [(metric.name, metric.unit) for metric in metrics] in ([("http.client.request.duration", "s")], [])
        return [point for metric in metrics for point in metric.data.data_points]


@pytest.fixture
def told() -> Telemetry:
    """Give an observer with the SDK behind it."""
    return Telemetry()


async def test_a_read(told: Telemetry) -> None:
    """A call is an INTERNAL span, its attempt a CLIENT span in it, with the stable names; and one measurement."""
    async with serving(http(BASE)) as wire, make_client(wire.url, observers=[told.observer]) as client:
        await client.get_ticket(1204)
        port = wire.port
    [call], [attempt] = told.spans("INTERNAL"), told.spans("CLIENT")
    assert (call.name, call.status.status_code.name) == ("workorder.get_ticket", "UNSET")
    assert dict(call.attributes) == {
        "workorder.operation": "get_ticket",
        "workorder.attempts": 1,
        "workorder.outcome": "done",
        "workorder.sent": True,
        "workorder.errno": 10000,
        "workorder.request_id": "f6d607003d4a46ef9633fa670e398355",
    }
    assert (attempt.name, attempt.status.status_code.name) == ("GET /workorder/api/ticket/base", "UNSET")
    assert dict(attempt.attributes) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": port,
        "url.scheme": "http",
        "url.full": f"http://127.0.0.1:{port}/workorder/api/ticket/base",
        "workorder.operation": "get_ticket",
        "workorder.sent": True,
        "workorder.errno": 10000,
        "workorder.request_id": "f6d607003d4a46ef9633fa670e398355",
    }
    assert attempt.parent.span_id == call.context.span_id
    assert call.start_time <= attempt.start_time <= attempt.end_time <= call.end_time
    [point] = told.points()
    assert dict(point.attributes) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": port,
        "url.scheme": "http",
    }
    assert (point.count, point.explicit_bounds[0], point.explicit_bounds[-1]) == (1, 0.005, 10)
    assert point.sum == pytest.approx((attempt.end_time - attempt.start_time) / 1e9, abs=0.01)


async def test_repetitions(told: Telemetry) -> None:
    """Each attempt is a span of its own, numbered, with its error; the call ends well."""
    async with (
        serving(drop, http("x", "503 Service Unavailable"), http(BASE)) as wire,
        make_client(wire.url, observers=[told.observer]) as client,
    ):
        await client.get_ticket(1204)
    [call], attempts = told.spans("INTERNAL"), told.spans("CLIENT")
    assert call.attributes["workorder.attempts"] == 3
    assert [one.attributes.get("http.request.resend_count") for one in attempts] == [None, 1, 2]
    assert [one.attributes.get("error.type") for one in attempts] == ["NoAnswerError", "503", None]
    assert [one.attributes.get("http.response.status_code") for one in attempts] == [None, 503, 200]
    assert [one.status.status_code.name for one in attempts] == ["ERROR", "ERROR", "UNSET"]
    assert {one.parent.span_id for one in attempts} == {call.context.span_id}
    assert sorted(point.attributes.get("error.type", "") for point in told.points()) == ["", "503", "NoAnswerError"]


@pytest.mark.parametrize(
    ("answer", "error", "outcome", "type"),
    [
        (REFUSED, TicketStateError, "rejected", "TicketStateError"),
        (data(None, 5), ApiError, "rejected", "ApiError"),
        (http("{}", "502 Bad Gateway"), OutcomeUnknownError, "unknown", "502"),
        (drop, OutcomeUnknownError, "unknown", "NoAnswerError"),
        (data(None), None, "done", None),
    ],
)
async def test_a_mutation(
    told: Telemetry, answer: Any, error: type[WorkorderError] | None, outcome: str, type: str | None
) -> None:
    """What became of a mutation is told in one word, as its error says."""
    async with serving(answer) as wire, make_client(wire.url, observers=[told.observer]) as client:
        with nullcontext() if error is None else pytest.raises(error):
            await client.comment_ticket(COMMENT)
    call = told.spans("INTERNAL")[0]
    assert call.attributes["workorder.outcome"] == outcome
    assert call.attributes.get("error.type") == (None if error is None else error.__name__)
    assert told.spans("CLIENT")[0].attributes.get("error.type") == type


async def test_not_sent(told: Telemetry) -> None:
    """A mutation that was turned away, and then could not be sent, is not unknown."""
    async with serving(BUSY) as wire, make_client(wire.url, observers=[told.observer]) as client:
        with pytest.raises(WorkorderError):
            await client.comment_ticket(COMMENT, deadline=0.3)
    assert told.spans("INTERNAL")[0].attributes["workorder.outcome"] == "rejected"
    async with make_client("http://127.0.0.1:9", observers=[told.observer], retry=RetryPolicy(attempts=1)) as client:
        with pytest.raises(NotSentError):
            await client.comment_ticket(COMMENT)
        with pytest.raises(NotSentError):
            await client.get_ticket(7)
    assert [one.attributes["workorder.outcome"] for one in told.spans("INTERNAL")][1:] == ["not sent", "failed"]


async def test_a_cancelled_mutation(told: Telemetry) -> None:
    """A mutation that was cancelled after it was sent is unknown, and both of its spans end."""
    async with serving(hang) as wire, make_client(wire.url, observers=[told.observer]) as client:
        task = asyncio.create_task(client.comment_ticket(COMMENT))
        await wire.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    [call], [attempt] = told.spans("INTERNAL"), told.spans("CLIENT")
    assert (call.attributes["workorder.outcome"], call.attributes["error.type"]) == ("unknown", "CancelledError")
    assert attempt.attributes["error.type"] == "CancelledError"
    assert told.observer._calls == {}


async def test_two_clients_count_alike(told: Telemetry) -> None:
    """One observer serves several clients, whose calls have the same numbers, at the same time."""
    async with (
        serving(http(BASE)) as wire,
        make_client(wire.url, observers=[told.observer]) as one,
        make_client(wire.url, observers=[told.observer]) as other,
    ):
        await asyncio.gather(*(client.get_ticket(1204) for client in (one, other) for _ in range(10)))
    calls, attempts = told.spans("INTERNAL"), told.spans("CLIENT")
    assert len(calls) == len(attempts) == 20
    assert {span.parent.span_id for span in attempts} == {span.context.span_id for span in calls}
    assert told.observer._calls == {}


async def test_the_trace_goes_on(told: Telemetry) -> None:
    """A call belongs to the trace of whoever calls; so does one of the client without `async`."""
    tracer = told.tracers.get_tracer("test")
    async with serving(http(BASE)) as wire, make_client(wire.url, observers=[told.observer]) as client:
        with tracer.start_as_current_span("mine") as mine:
            await client.get_ticket(1204)
    assert told.spans("INTERNAL")[0].parent.span_id == mine.context.span_id


def test_the_trace_goes_on_without_async(told: Telemetry) -> None:
    """A call of the client without `async` belongs to the trace of the thread that calls."""
    tracer, signer = told.tracers.get_tracer("test"), SchemeSigner("a", "b", "md5:{secret}")
    with (
        elsewhere(serving(http(BASE))) as wire,
        BlockingClient(wire.url, signer=signer, observers=[told.observer]) as client,
        tracer.start_as_current_span("mine") as mine,
    ):
        client.get_ticket(1204)
    [call] = [span for span in told.spans("INTERNAL") if span.name != "mine"]
    assert call.parent.span_id == mine.context.span_id


async def test_nothing_secret_is_told(told: Telemetry) -> None:
    """No span and no measurement holds the secret, a signature, a text of a ticket or its number."""
    signer = SchemeSigner("demo-app", "s3cret", "md5:{app_id}{timestamp}{secret}")
    refused = http('{"errno":1,"errmsg":"Sign=abc 密语","request_id":"r-1"}')
    async with (
        serving(data(None), refused, data(None)) as wire,
        WorkorderClient(wire.url, signer=signer, observers=[told.observer], errnos={1: AuthenticationError}) as client,
    ):
        await client.close_ticket(CLOSE)
        with pytest.raises(AuthenticationError):
            await client.comment_ticket(COMMENT)
    signs = [
        line[6:] for request in wire.requests for line in request.decode().split("\r\n") if line.startswith("Sign: ")
    ]
    assert len(signs) >= 2
    text = "".join(span.to_json() for span in told.spans("INTERNAL") + told.spans("CLIENT")) + repr(told.points())
    for secret in ("s3cret", "pa55", "密语", "demo-app", ": 1473", "=1473", "Sign=", *signs):
        assert secret not in text


async def test_an_attempt_ends_with_its_answer(told: Telemetry) -> None:
    """The end of an attempt is told later, once the wait for the next one is known; its span ends with its answer."""
    facts: Any = {"call_id": 1, "operation": "get_ticket"}
    ended: Any = {"status": 200, "errno": 10000, "request_id": "", "sent": True, "seconds": Seconds(request=5.0)}
    told.observer.on_event(CallStarted(base_url="https://platform.test/prefix", **facts))
    told.observer.on_event(AttemptStarted(attempt=1, **facts))
    told.observer.on_event(AttemptEnded(attempt=1, wait=None, error=None, **facts, **ended))
    told.observer.on_event(CallEnded(attempts=1, error=None, **facts, **ended))
    [attempt] = told.spans("CLIENT")
    assert attempt.end_time - attempt.start_time == 5_000_000_000
    assert attempt.attributes["url.full"] == "https://platform.test/prefix/workorder/api/ticket/base"
    assert (attempt.attributes["server.address"], attempt.attributes["server.port"]) == ("platform.test", 443)


async def test_an_event_tells_the_base_url() -> None:
    """The event that begins a call tells the client's base URL."""
    events: list[object] = []

    class Observer:
        def on_event(self, event: object) -> None:
            events.append(event)

    async with serving(http(BASE)) as wire, make_client(wire.url, observers=[Observer()]) as client:
        await client.get_ticket(1204)
        assert isinstance(events[0], CallStarted)
        assert events[0].base_url == wire.url
