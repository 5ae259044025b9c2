"""Drift: a list that changes between two reads of it, by script, to test a bot against a moving list.

    async with Sandbox(drift=[Drift(after=3, every=1, close=10)]) as sandbox:

After the third read of list_tickets, and after every one from then on, ten pending tickets are closed. Nobody asked
for these changes: they are not in `Sandbox.applied` but in `Sandbox.drifted`.
"""

import random
from collections.abc import Iterable
from typing import Literal, TypeAlias, get_args

from attrs import define, field, frozen
from attrs.validators import optional

from workorder_async.arguments import as_validator, items, one_of, shown, whole, whole_within
from workorder_async.document import TicketStatus
from workorder_async.errors import ConfigError
from workorder_async.sandbox import seed
from workorder_async.sandbox.rules import act
from workorder_async.sandbox.store import Store

Pick: TypeAlias = Literal["random", "newest", "oldest"]
"""Which tickets are changed: random ones, or those that were created last, or first."""

_OPEN = (TicketStatus.PENDING, TicketStatus.PROCESSING)
_CLOSED = 3
_AMOUNT = as_validator(whole_within, 0, 10**6, names_class=True)


@frozen(kw_only=True)
class Drift:
    """One change of a list, which may repeat: how many tickets leave and enter the list, and after which reads of it.

    A read is an answered page of list_tickets, with any filters; reads are counted from when `drift` was set. Tickets
    to close and to delete are chosen among those of `status`, tickets to reopen among the closed ones, all before
    anything is changed: no ticket is changed twice. If there are fewer tickets, all of them are taken. The same seed,
    script and order of requests change the same tickets. Raises `ConfigError`, naming the field.
    """

    after: int = field(default=1, validator=as_validator(whole, names_class=True))
    """The number of the read after which the change happens first, from 1."""
    every: int = field(default=0, validator=as_validator(whole, 0, names_class=True))
    """After how many further reads the change happens again, each time; 0: it happens once."""
    times: int | None = field(default=None, validator=optional(as_validator(whole, names_class=True)))
    """How often the change happens at most; None: no limit."""
    close: int = field(default=0, validator=_AMOUNT)
    """How many tickets of `status` are closed, as by their creators."""
    reopen: int = field(default=0, validator=_AMOUNT)
    """How many closed tickets are reopened, and get `status`."""
    create: int = field(default=0, validator=_AMOUNT)
    """How many new tickets of `status` are added, created now by the sandbox's clock."""
    delete: int = field(default=0, validator=_AMOUNT)
    """How many tickets of `status` are deleted, for every endpoint; no other ticket gets their ids."""
    pick: Pick = field(default="random", validator=as_validator(one_of, get_args(Pick), names_class=True))
    """Which tickets are chosen to be closed, deleted and reopened."""
    status: TicketStatus = TicketStatus.PENDING
    """The list that changes: that of the pending tickets, or that of the tickets in process."""

    def __attrs_post_init__(self) -> None:
        if not self.close + self.reopen + self.create + self.delete:
            raise ConfigError("this Drift changes nothing", mend="give it close, reopen, create or delete")
        # `isinstance`, since the code 1 equals the member PENDING and is no member.
        if not isinstance(self.status, TicketStatus) or self.status not in _OPEN:
            mend = f"it must be one of {', '.join(map(str, _OPEN))}"
            raise ConfigError(f"is {shown(self.status)}", argument="Drift.status", mend=mend)

    def is_due(self, reads: int) -> bool:
        """Tell whether the change happens after the read with this number."""
        since = reads - self.after
        if since < 0 or (since % self.every if self.every else since):
            return False
        return self.times is None or not self.every or since // self.every < self.times


@frozen(kw_only=True)
class Drifted:
    """One change of the list, by the tickets' ids."""

    after: int
    """After how many reads of list_tickets, counted from when the script was set."""
    time: float
    """When, in seconds since the epoch by the sandbox's clock."""
    closed: tuple[int, ...]
    """These were open, and are closed."""
    reopened: tuple[int, ...]
    """These were closed, and are open."""
    created: tuple[int, ...]
    """These are new."""
    deleted: tuple[int, ...]
    """These were open, and are gone."""


@define
class Script:
    """The changes to make, and the number of reads so far.

    A new script is a new object: a thread may set one while the event loop counts a read of the old one.
    """

    drifts: tuple[Drift, ...]
    reads: int = 0


class Drifting:
    """Makes the changes of a script after the reads of a list; `seed` decides what is random in them."""

    def __init__(self, drifts: Iterable[Drift], seed: int) -> None:
        self.drifted: list[Drifted] = []
        self._random = random.Random(f"drift {seed}")  # noqa: S311 - a choice that can be repeated, not a secret
        self.follow(drifts)

    def follow(self, drifts: Iterable[Drift]) -> None:
        """Set the script, and count reads anew."""
        self.script: Script = Script(items("drift", drifts, Drift))

    def after_read(self, store: Store) -> None:
        """Count a read of the list, and make the changes that are due after it."""
        script = self.script
        script.reads += 1
        for drift in script.drifts:
            if drift.is_due(script.reads):
                self.change(store, drift, script.reads)

    def change(self, store: Store, drift: Drift, reads: int | None = None) -> Drifted:
        """Make a change now; `reads` is the number of reads before it, None for the present one."""
        reads = self.script.reads if reads is None else reads
        time = store.clock()
        now, status = int(time), int(drift.status.value)
        leaving = self._choose(store, status, drift.close + drift.delete, drift.pick)
        closed, deleted = leaving[: drift.close], leaving[drift.close :]
        reopened = self._choose(store, _CLOSED, drift.reopen, drift.pick)
        ids = range(store.next_id(), store.next_id() + drift.create)
        new = [seed.ticket(self._random.random, id, now, status, until=now) for id in ids]

        def make(store: Store) -> tuple[int, ...]:
            for id in closed:
                act(store, id, "close", now)
            for id in reopened:
                act(store, id, "reopen", now, status=status)
            for id in deleted:
                store.delete(id)
            return tuple(map(store.insert, new))

        created = store.make(make)
        drifted = Drifted(after=reads, time=time, closed=closed, reopened=reopened, created=created, deleted=deleted)
        self.drifted.append(drifted)
        return drifted

    def _choose(self, store: Store, status: int, amount: int, pick: Pick) -> tuple[int, ...]:
        ids = store.ids(status) if amount else []
        if pick == "oldest":
            ids.reverse()
        elif pick == "random":
            ids = self._random.sample(ids, min(amount, len(ids)))
        return tuple(ids[:amount])
