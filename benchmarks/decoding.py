"""Row decode: from the bytes of a page to models, over `orjson.loads` of the same bytes."""

import json
from collections.abc import Callable
from time import perf_counter

import orjson
from cattrs import Converter

from benchmarks.measuring import Comparison, Contestant, Plan, Row, race
from benchmarks.pages import PAGE_SIZE, page, page_count
from workorder_async.document import TicketPage, TicketSummary, codec
from workorder_async.document.envelope import open_envelope
from workorder_async.errors import DOCUMENTED_ERRNOS

# Together several times as large as a processor's cache of the second level.
_MOST_PAGES = 30

_LOADS = "orjson.loads"
_DECODE = "decode"
_IN_STEPS = "read_rows and decode_rows"
_CATTRS = "stock cattrs on the same classes, after orjson.loads"
_PYDANTIC_JSON = "pydantic, model_validate_json"
_PYDANTIC = "pydantic, model_validate after orjson.loads"
_JSON = "json.loads, no models"


def measure(plan: Plan) -> Row:
    """Measure the row: every round takes all of a few dozen distinct pages, and keeps none of them."""
    count = min(_MOST_PAGES, page_count(plan.tickets))
    tickets = min(plan.tickets, count * PAGE_SIZE)
    bodies = [page(number, tickets) for number in range(1, count + 1)]
    stock = Converter()
    contestants = {
        _LOADS: _each(bodies, orjson.loads),
        _DECODE: _each(bodies, _decode),
        _IN_STEPS: _each(bodies, _decode_in_steps),
        _CATTRS: _each(bodies, lambda body: stock.structure(orjson.loads(body)["data"], TicketPage)),
        _JSON: _each(bodies, json.loads),
    }
    missing: list[Comparison] = []
    try:
        from benchmarks.pydantic_client import Envelope
    except ImportError as error:
        missing.append(Comparison(f"pydantic: {error}; install the group `bench`", None))
    else:
        contestants[_PYDANTIC_JSON] = _each(bodies, Envelope.model_validate_json)
        contestants[_PYDANTIC] = _each(bodies, lambda body: Envelope.model_validate(orjson.loads(body)))
    result = race(_LOADS, contestants, plan.rounds)
    per_page = result.seconds[_LOADS].median / count * 1e6
    size = sum(map(len, bodies)) / tickets
    others = [name for name in contestants if name not in (_LOADS, _DECODE, _IN_STEPS)]
    return Row(
        "decode",
        "a page of bytes to models, time",
        "orjson.loads of the same bytes",
        "<=",
        1.7,
        result.ratio(_DECODE, _LOADS),
        result,
        beside=(*(Comparison(name, result.ratio(name, _DECODE)) for name in others), *missing),
        notes=(
            f"{count} distinct pages, {size:.0f} bytes a ticket; orjson.loads {per_page:.0f} µs a page",
            f"in two steps, ids first, as a walk does: {result.ratio(_IN_STEPS, _LOADS).median:.2f} times orjson.loads",
        ),
    )


def _decode(body: bytes) -> TicketPage:
    return codec.decode(TicketPage, open_envelope(200, body, DOCUMENTED_ERRNOS))


def _decode_in_steps(body: bytes) -> list[TicketSummary]:
    answer = open_envelope(200, body, DOCUMENTED_ERRNOS)
    _, rows, _ = codec.read_rows(answer)
    return codec.decode_rows(rows, answer)


def _each(bodies: list[bytes], decode: Callable[[bytes], object]) -> Contestant:
    def run() -> float:
        begun = perf_counter()
        for body in bodies:
            decode(body)
        return perf_counter() - begun

    return run
