"""The options of the Spark data source: what each may be, and how a read is planned.

Spark gives options as texts, in plans and on pages that many people see: none of them is a secret.
"""

import re
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from math import ceil
from typing import Any, Final, TypeAlias

from attrs import evolve, field, frozen
from attrs.validators import optional

from workorder_async.arguments import above_zero, as_validator, unknown_name, whole
from workorder_async.client import WorkorderClient
from workorder_async.document import TicketQuery
from workorder_async.environment import VARIABLES
from workorder_async.errors import ConfigError
from workorder_async.integrations.arrow_batches import ArrowOptions, OwnLoop
from workorder_async.walks.windows import Window

Connect: TypeAlias = Callable[..., WorkorderClient]
"""Makes a client of `ClientOptions`, in the driver and in the executors; picklable."""

_SECRET: Final = re.compile("secret|sign|token|password|credential|app_?id|base_?url|workorder_", re.IGNORECASE)
# So many windows a task: tasks end at about the same time then, though each window is only about as large as planned.
_WINDOWS_PER_TASK: Final = 16
_PAGE: Final = 100
#: The share of a rate that tasks use: requests that leave evenly spaced may arrive some 50 ms nearer to each other.
RATE_USED: Final = 0.95


# What a text may be


def _whole(name: str, text: str) -> int:
    if not re.fullmatch("[0-9]{1,19}", text.strip()):
        raise ConfigError(f"option {name} is {text!r:.60}; it must be a whole number")
    return int(text)


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"option {name} is {text!r:.60}; it must be a number") from None


def _flag(name: str, text: str) -> bool:
    if text.strip().lower() not in ("true", "false"):
        raise ConfigError(f"option {name} is {text!r:.60}; it must be true or false")
    return text.strip().lower() == "true"


def _moment(name: str, text: str) -> int | datetime:
    if text.strip().isdecimal():
        return _whole(name, text)
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        at = datetime.min
    if at.tzinfo is None:
        raise ConfigError(
            f"option {name} is {text!r:.60}; it must be seconds since 1970, or a time with its zone, such as "
            "2026-11-01T00:00:00+08:00"
        )
    return at


def _text(name: str, text: str) -> str:
    return text


def _words(name: str, text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _wholes(name: str, text: str) -> tuple[int, ...]:
    return tuple(_whole(name, word) for word in _words(name, text))


Parser: TypeAlias = Callable[[str, str], object]
"""Reads an option's text, given its name and that."""

_FILTERS: Final[Mapping[str, Parser]] = {
    "created_start": _moment,
    "created_end": _moment,
    "creator_id": _whole,
    "customer_organization_name": _text,
    "product_group_id": _wholes,
    "status": _text,
    "type": _text,
    "sub_type": _whole,
    "second_subtype": _whole,
}
_ARROW: Final[Mapping[str, Parser]] = {
    "detail": _flag,
    "columns": _words,
    "exact": _flag,
    "page_size": _whole,
    "concurrency": _whole,
    "on_bad_row": _text,
    "batch_rows": _whole,
}
_READING: Final[Mapping[str, Parser]] = {"tasks": _whole, "rate": _number, "pushdown": _flag}
#: Options for writing.
WRITING: Final[Mapping[str, Parser]] = {
    "operation": _text,
    "journals": _text,
    "tasks": _whole,
    "rate": _number,
    "concurrency": _whole,
}


def refuse_secrets(options: Mapping[str, str]) -> None:
    """Raise `ConfigError` for an option that seems to say who asks, or where; its value is not shown."""
    for name in options:
        if _SECRET.search(name):
            raise ConfigError(
                f"option {name} is refused, for options are shown in plans and in Spark's pages; the connection comes "
                f"from the environment of the driver and of the executors: {', '.join(VARIABLES)}"
            )


def parsed(options: Mapping[str, str], known: Mapping[str, Parser]) -> dict[str, Any]:
    """Return the values of options by their names. Raises `ConfigError` that names the option."""
    refuse_secrets(options)
    values = {}
    for given, text in options.items():
        name = given.lower()
        if wrong := unknown_name("the data source has no option", [name], known):
            raise ConfigError(wrong)
        values[name] = known[name](name, text)
    return values


@frozen(kw_only=True)
class SparkRead:
    """What a job reads, and how; picklable. Raises `ConfigError` for what can never work."""

    query: TicketQuery = field(factory=TicketQuery)
    """Which tickets."""
    tasks: int = field(default=4, validator=as_validator(whole))
    """Partitions to make, and so the tasks that may run at once."""
    rate: float | None = field(default=None, validator=optional(as_validator(above_zero)))
    """Requests of the whole job in a second, at the most: each task has its share, whether it uses it or not."""
    pushdown: bool = False
    """Whether Spark's filters on created time and status narrow what is asked for."""
    arrow: ArrowOptions = field(factory=ArrowOptions)
    """How windows are read."""

    @classmethod
    def of(cls, options: Mapping[str, str]) -> "SparkRead":
        """Read the options of the data source. Raises `ConfigError` that names the option."""
        values = parsed(options, {**_FILTERS, **_ARROW, **_READING})
        try:
            query = TicketQuery(**{name: values[name] for name in _FILTERS if name in values})
            arrow = ArrowOptions(**{name: values[name] for name in _ARROW if name in values})
            return cls(query=query, arrow=arrow, **{name: values[name] for name in _READING if name in values})
        except ConfigError as error:
            raise ConfigError(str(error).replace("TicketQuery.", "option ")) from None

    @property
    def task_rate(self) -> float | None:
        """Requests of one task in a second, at the most."""
        return None if self.rate is None else RATE_USED * self.rate / self.tasks

    def narrowed(self, start: int | None, end: int | None, status: int | None) -> "SparkRead":
        """Return the read of only what was created in these seconds, both included, and has this status.

        More may be read: Spark filters what comes. A second more is asked for at each end, since it is not documented
        whether the ends are inclusive.
        """
        query = self.query
        starts = [at for at in (query.created_start, None if start is None else max(0, start - 1)) if at is not None]
        ends = [at for at in (query.created_end, None if end is None else end + 1) if at is not None]
        first, last = max(starts, default=None), min(ends, default=None)
        if first is not None and last is not None:
            last = max(first, last)
        chosen = status if query.status is None else query.status
        return evolve(self, query=evolve(query, created_start=first, created_end=last, status=chosen))

    def plan(self, connect: Connect) -> list[list[Window]]:
        """Return the windows of each task: `tasks` slices of the list, of about as many tickets each."""
        with OwnLoop() as loop:
            windows = loop.run(self._windows(connect))
        groups: list[list[Window]] = [[] for _ in range(self.tasks)]
        # A window costs a request even where it is empty.
        weights = [window.total + 1 for window in windows]
        whole, before = sum(weights), 0
        for window, weight in zip(windows, weights, strict=True):
            groups[(2 * before + weight) * self.tasks // (2 * whole)].append(window)
            before += weight
        return groups

    async def _windows(self, connect: Connect) -> list[Window]:
        async with connect(rate=self.rate) as client:
            # A window of everything: unlike a page of the list, its total can be had where a row cannot be read.
            (whole,) = await client.plan_windows(self.query, max_tickets=sys.maxsize)
            most = max(_PAGE, ceil(whole.total / (self.tasks * _WINDOWS_PER_TASK)))
            return await client.plan_windows(self.query, max_tickets=most)
