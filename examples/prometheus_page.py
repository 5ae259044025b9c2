"""A page of numbers for Prometheus, made of the calls of a client; `feishu_bot.py` has it at `/metrics`.

    client = WorkorderClient.from_env(observers=[METRICS])
    app.router.add_get("/metrics", page)

Needs `pip install prometheus-client`. The page is for your Prometheus: let no proxy give it to the internet.
"""

from aiohttp import web
from attrs import asdict
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest

from workorder_async import CallEnded, Event

SECONDS = Histogram(
    "workorder_call_seconds",
    "Calls that ended, with all their waits; `error` is the name of the error's class, empty for success.",
    ["operation", "error"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
SPENT = Counter(
    "workorder_spent_seconds",
    "Where calls spent their time: in the queue of the client's limits, in requests, in sleep between attempts.",
    ["operation", "where"],
)
ATTEMPTS = Counter("workorder_attempts", "Requests that these calls made.", ["operation"])


class Metrics:
    """An observer that counts; one for all clients of a program."""

    def on_event(self, event: Event) -> None:
        """Count a call that has ended."""
        if isinstance(event, CallEnded):
            spent = asdict(event.seconds)
            SECONDS.labels(event.operation, event.error or "").observe(sum(spent.values()))
            ATTEMPTS.labels(event.operation).inc(event.attempts)
            for where, seconds in spent.items():
                SPENT.labels(event.operation, where).inc(seconds)


METRICS = Metrics()


async def page(request: web.Request) -> web.Response:
    """Give the numbers to Prometheus."""
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
