"""The options of the Spark data source: how they are read, and how a read is planned.

Options are texts, and Spark shows them in plans and on pages that many people see: so no option takes a secret.
"""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from math import ceil
from typing import Any, Final, TypeAlias

from attrs import field, fields_dict, frozen
from attrs.validators import optional

from workorder_async.arguments import above_zero, as_validator, unknown_name, whole
from workorder_async.client import WorkorderClient
from workorder_async.document import TicketQuery
from workorder_async.environment import VARIABLES
from workorder_async.errors import ConfigError
from workorder_async.integrations.arrow_batches import ArrowOptions, arrow_options
from workorder_async.loop_thread import LoopThread
from workorder_async.walks.windows import Window

Connect: TypeAlias = Callable[..., WorkorderClient]
"""Makes a client from `ClientOptions`, in the driver and in the executors; picklable."""

# Names of options that seem to be a credential or an address.
_SECRET: Final = re.compile("secret|sign|token|password|credential|app_?id|base_?url|workorder_", re.IGNORECASE)
# Windows for each task. With many small windows the tasks end at about the same time, though the size of each window is
# only an estimate.
_WINDOWS_PER_TASK: Final = 16
_PAGE: Final = 100
# The share of the rate that tasks use: requests that leave evenly spaced may arrive 50 ms closer to each other.
_RATE_USED: Final = 0.95


# Readers of options: each takes a text, and raises `ValueError` or `KeyError` for one that it cannot read.


def _whole(text: str) -> int:
    if not re.fullmatch("[0-9]{1,19}", text.strip()):
        raise ValueError
    return int(text)


def _moment(text: str) -> int | datetime:
    if text.strip().isdecimal():
        return _whole(text)
    at = datetime.fromisoformat(text.strip())
    if at.tzinfo is None:
        raise ValueError
    return at


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


_FLAGS: Final = {"true": True, "false": False}
_WHOLES: Final = ("creator_id", "sub_type", "second_subtype", "page_size", "concurrency", "batch_rows", "tasks")
_MOMENT: Final = "seconds since 1970, or a time with its zone, such as 2026-11-01T00:00:00+08:00"
# The options that are no plain texts: the reader of each, and a description of the right texts for errors.
_READERS: Final[Mapping[str, tuple[Callable[[str], object], str]]] = {
    **dict.fromkeys(_WHOLES, (_whole, "a whole number")),
    **dict.fromkeys(("detail", "exact"), (lambda text: _FLAGS[text.strip().lower()], "true or false")),
    **dict.fromkeys(("created_start", "created_end"), (_moment, _MOMENT)),
    "rate": (float, "a number"),
    "columns": (_words, "names with commas between"),
    "product_group_id": (lambda text: tuple(map(_whole, _words(text))), "whole numbers with commas between"),
}
# Options of `SparkRead` itself; those of its query and of its Arrow batches come beside them.
_READING: Final = ("tasks", "rate")
#: Options for writing.
WRITING: Final = ("operation", "journals", "tasks", "rate", "concurrency")


def parsed(options: Mapping[str, str], known: Collection[str]) -> dict[str, Any]:
    """Return the values of options by their names.

    Raises `ConfigError` that names an option that is unknown or wrong. An option that seems to be a credential or an
    address is refused without showing its value.
    """
    if secrets := [name for name in options if _SECRET.search(name)]:
        problem = "is refused, for options are shown in plans and in Spark's pages"
        source = "the connection comes from the environment of the driver and of the executors"
        raise ConfigError(problem, argument=f"option {secrets[0]}", mend=f"{source}: {', '.join(VARIABLES)}")
    values = {}
    for given, text in options.items():
        name = given.lower()
        if wrong := unknown_name("the data source has no option", [name], known):
            raise ConfigError(wrong)
        read, wanted = _READERS.get(name, (str, "a text"))
        try:
            values[name] = read(text)
        except (ValueError, KeyError):
            raise ConfigError(f"is {text!r:.60}", argument=f"option {name}", mend=f"it must be {wanted}") from None
    return values


def task_rate(rate: float | None, tasks: int) -> float | None:
    """Return the rate of one task, in requests per second, if the whole job has this rate."""
    return None if rate is None else _RATE_USED * rate / tasks


@frozen(kw_only=True)
class SparkRead:
    """The tickets that a job reads, and how; picklable. Raises `ConfigError` for options that can never work."""

    query: TicketQuery = field(factory=TicketQuery)
    """Which tickets."""
    tasks: int = field(default=4, validator=as_validator(whole))
    """Partitions to make, and so the tasks that may run at once."""
    rate: float | None = field(default=None, validator=optional(as_validator(above_zero)))
    """Requests of the whole job in a second, at the most: each task has its share, whether it uses it or not."""
    arrow: ArrowOptions = field(factory=ArrowOptions, validator=as_validator(arrow_options))
    """How windows are read."""

    @classmethod
    def of(cls, options: Mapping[str, str]) -> "SparkRead":
        """Read the options of the data source. Raises `ConfigError` that names the option."""
        filters, arrow = fields_dict(TicketQuery), fields_dict(ArrowOptions)
        values = parsed(options, (*filters, *arrow, *_READING))

        def among(names: Collection[str]) -> dict[str, Any]:
            return {name: value for name, value in values.items() if name in names}

        try:
            return cls(query=TicketQuery(**among(filters)), arrow=ArrowOptions(**among(arrow)), **among(_READING))
        except ConfigError as error:
            # Name the option in place of the field; the problem of one field may name another one, too.
            argument, problem = (part.replace("TicketQuery.", "option ") for part in (error.argument, error.problem))
            raise ConfigError(problem, argument=argument, mend=error.mend) from None

    def plan(self, connect: Connect) -> list[list[Window]]:
        """Return the windows of each task: `tasks` slices of the list, of about as many tickets each."""
        with LoopThread() as loop:
            windows = loop.run(self._windows(connect))
        groups: list[list[Window]] = [[] for _ in range(self.tasks)]
        # Plus one, since an empty window costs a request, too.
        weights = [window.total + 1 for window in windows]
        whole, before = sum(weights), 0
        for window, weight in zip(windows, weights, strict=True):
            groups[(2 * before + weight) * self.tasks // (2 * whole)].append(window)
            before += weight
        return groups

    async def _windows(self, connect: Connect) -> list[Window]:
        async with connect(rate=self.rate) as client:
            total = await client.count_tickets(self.query)
            most = max(_PAGE, ceil(total / (self.tasks * _WINDOWS_PER_TASK)))
            return await client.plan_windows(self.query, max_tickets=most)
