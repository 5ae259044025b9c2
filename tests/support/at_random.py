"""What happens at random where mutations are tried: faults, a clock that is set, texts that look alike, people."""

import time
from collections.abc import Callable
from random import Random

from attrs import evolve

from tests.support.mutations import close_of, creation
from workorder_async import CommentTicket, Mutation, RejectTicket, TicketSummary
from workorder_async.sandbox import Fault, Sandbox

#: One request in four goes wrong, in every way that ends quickly; what costs seconds each time is rarer. errno_after is
#: left out: a success that is answered with an errno is a refusal by the API document, so the next run sends it again.
FAULTS = [
    Fault("refuse", chance=0.02),
    Fault("reset", chance=0.02),
    Fault("reset_after", chance=0.03),
    Fault("truncate", chance=0.02),
    Fault("html", chance=0.01),
    Fault("html_after", chance=0.02),
    Fault("portal", chance=0.01),
    Fault("portal_after", chance=0.02),
    Fault("errno", chance=0.005, errno=50_000),
    Fault("429", chance=0.01, retry_after=0),
    Fault("429", chance=0.005, retry_after=None),
    Fault("500", chance=0.01),
    Fault("500_after", chance=0.02),
    Fault("502_after", chance=0.02, errno=10_001),
    Fault("503", chance=0.01, retry_after=0),
    Fault("503_after", chance=0.02, retry_after=0),
    Fault("504_after", chance=0.02),
    Fault("504_before", chance=0.01, seconds=0.5),
    Fault("date", chance=0.01, seconds=3600),
    Fault("date", chance=0.01, seconds=-86400),
    Fault("other_ticket", chance=0.02),
    Fault("deep", chance=0.003),
    Fault("hang", chance=0.001),
    Fault("hang_after", chance=0.001),
    Fault("drip", chance=0.001, seconds=0.5),
    Fault("bomb", chance=0.001),
    Fault("long_header", chance=0.001, size=1 << 16),
    # Each of them stops the batch, which takes one more run.
    Fault("401", chance=0.0004),
    Fault("403", chance=0.0004, errno=50_000),
]
#: Some of them are the same where a platform strips emoji, escapes, normalises or cuts texts.
SAID = (
    "已联系客户",
    "已联系客户😀",
    "a<b",
    "Cafe\u0301",
    "Caf\u00e9",
    "请客户确认后再关闭谢谢大家的支持与配合一",
    "请客户确认后再关闭谢谢大家的支持与配合一二",
)


class SetClock:
    """A clock that somebody sets now and then."""

    def __init__(self, random: Random, clock: Callable[[], float] = time.time) -> None:
        self._random = random
        self._clock = clock
        self._offset = 0.0

    def __call__(self) -> float:
        """Return its time."""
        if self._random.random() < 0.001:
            self._offset = self._random.choice((0.0, -40.0, 40.0, 3600.0, -3600.0))
        return self._clock() + self._offset


def mutation(chance: Random, row: TicketSummary, number: int) -> Mutation:
    """Return a mutation of some kind of a ticket."""
    words = chance.choice(SAID)
    few = chance.choice([None, words])
    kinds: list[Mutation] = [
        evolve(close_of(row.id, row.creator_name), solved_time=1660298580 + number, detail=few),
        RejectTicket(id=row.id, detail=few),
        CommentTicket(id=row.id, detail=words),
        CommentTicket(id=row.id, detail=words),
        evolve(creation(words), detail=words),
    ]
    return chance.choice(kinds)


async def meddle(sandbox: Sandbox, chance: Random, id: int) -> None:
    """Let somebody do something to a ticket now and then."""
    if chance.random() < 0.2:
        await sandbox.act(id, chance.choice(["close", "reopen", "comment"]), chance.choice(SAID))
