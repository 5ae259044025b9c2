"""`workorder demo --hostile`: the same tour where everything goes wrong that can, and an account of what came of it."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from attrs import define, field

from workorder_async.cli.demo.tour import AT_ONCE, TRACE, new_ticket, walk_in_words
from workorder_async.cli.terminal.progress import Bar
from workorder_async.document import Attachment, CloseTicket, CommentTicket
from workorder_async.document.codec import encode
from workorder_async.document.json_text import loads, to_json
from workorder_async.durable import written_whole
from workorder_async.errors import ApiError, NotSentError, OutcomeUnknownError, WorkorderError

if TYPE_CHECKING:
    from workorder_async.client import WorkorderClient
    from workorder_async.sandbox import Applied, Fault, Sandbox
    from workorder_async.walks.walk import Walk

# A batch is run again with its journal for what was refused or not sent.
_RUNS: Final = 3
_CREATIONS: Final = 10
_TRIES: Final = 5
_LARGEST_ANSWER: Final = 4 << 20
_HAPPENED: Final = ("done", "already")
_DID_NOT: Final = ("rejected", "not sent")


class _PageTooDeepError(ApiError):
    """The sandbox's errno for a page beyond those that it gives."""


def hostile_sandbox(tickets: int, seed: int) -> "Sandbox":
    """Make a sandbox with every habit of a nervous server; `seed` chooses how bad each one is."""
    from workorder_async.sandbox import Drift, Sandbox

    random = Random(seed)  # noqa: S311 - to be repeated, not a secret
    most = max(tickets, 0)  # what cannot be is for the sandbox to say
    return Sandbox(
        tickets,
        seed=seed,
        faults=_faults(random, most),
        drift=[Drift(every=1, times=40, close=3, create=2, delete=1)],
        rate=random.randint(40, 80),
        retry_after=random.choice([None, 1]),
        total_cap=max(200, random.randint(most // 3, most)),
        page_depth=max(200, random.randint(most // 3, most)),
        shuffle_ties=True,
        spelling="java",
        date_offset=random.choice([-7200, -600, 600, 7200]),
        backends=[-200, 0, 200],
    )


def _faults(random: Random, tickets: int) -> "list[Fault]":
    """Return what goes wrong by chance: about every fifth request does."""
    from workorder_async.sandbox import Fault

    return [
        *(Fault(kind, chance=0.02) for kind in ("reset", "reset_after", "portal", "other_ticket")),
        *(Fault(kind, chance=0.01) for kind in ("refuse", "truncate", "html", "html_after", "503", "503_after")),
        *(Fault(kind, operation="close_ticket", chance=0.03) for kind in ("500_after", "502_after", "504_after")),
        *(Fault("500_after", operation=one, chance=0.1) for one in ("create_ticket", "comment_ticket")),
        *(Fault(kind, chance=0.005) for kind in ("portal_after", "deep", "first_page", "hang", "hang_after")),
        *(Fault(kind, chance=0.003, size=1 << 20) for kind in ("many_headers", "long_header")),
        *(Fault(kind, chance=0.01, seconds=0.3) for kind in ("slow_headers", "slow_body")),
        # Each one slows all callers down, and the true rate has its own.
        *(Fault("429", chance=0.004, retry_after=after) for after in (None, 1)),
        Fault("date", chance=0.03, seconds=random.choice([-86400, 86400])),
        Fault("bomb", chance=0.005, size=2 * _LARGEST_ANSWER),
        Fault("endless", chance=0.001),
        Fault("drip", chance=0.002, seconds=0.2),
        Fault("total", chance=0.005, number=random.randint(0, tickets // 3)),
        Fault("page_size", chance=0.02, number=random.choice([1, 7, 1000])),
    ]


def hostile_client(sandbox: "Sandbox") -> "WorkorderClient":
    """Make a client that waits as long as a demo may take."""
    from workorder_async.sandbox import Errno
    from workorder_async.wire.retry import RetryPolicy

    return sandbox.client(
        # Another errno that means nothing would cost every deep page a second try, with the clock that Date says.
        errnos={Errno.PAGE_DEPTH: _PageTooDeepError},
        connect_timeout=2,
        attempt_timeout=2,
        deadline=45,
        longest_pause=2,
        max_body=_LARGEST_ANSWER,
        retry=RetryPolicy(attempts=10, first=0.05, longest=0.5),
    )


@define
class HostileTour:
    """What the demo does with a client of a hostile sandbox, and what both sides say of it.

    The sandbox knows what it carried out and what else it changed; whatever the client said is held against that.
    """

    client: "WorkorderClient"
    sandbox: "Sandbox"
    tickets: int
    facts: list[tuple[str, str]] = field(factory=list)
    complaints: list[str] = field(factory=list)
    said: dict[tuple[str, object], str] = field(factory=dict)
    """What was said of each mutation, by its operation and what tells it from others."""
    _rows: list[dict[str, Any]] = field(factory=list)
    _began: float = field(factory=perf_counter)

    async def export(self, output: Path) -> None:
        """Walk over all tickets into a file, while the list moves."""
        try:
            with Bar("walking", delay=0) as bar, written_whole(output) as file:
                async with self.client.walk() as walk:
                    await write_lines(walk, file, bar)
        except WorkorderError as error:
            self.complaints.append(f"the list could not be walked to its end: {type(error).__name__}: {error.message}")
            return
        report = walk.report
        self.facts.append(("walk", f"{walk_in_words(report)}; {report.requests:,} requests"))
        self._rows = await asyncio.to_thread(_rows_in, output)
        self._compare(output, exact=report.exact)

    def _compare(self, output: Path, *, exact: bool) -> None:
        """Hold the file against the tickets that were there all along, and those that came or went meanwhile."""
        from workorder_async.sandbox.seed import FIRST_ID

        ids = Counter(row["id"] for row in self._rows)
        first = set(range(FIRST_ID, FIRST_ID + self.tickets))
        gone = {id for drifted in self.sandbox.drifted for id in drifted.deleted}
        new = {id for drifted in self.sandbox.drifted for id in drifted.created}
        missing, twice, invented = first - gone - ids.keys(), ids.total() - len(ids), ids.keys() - first - new
        self.facts += [
            ("lines written", f"{ids.total():,} to {output}"),
            (
                "there all along",
                f"{len(first - gone):,}: {len(missing)} missing, {twice} twice, {len(invented)} invented",
            ),
        ]
        self._require(not missing, f"{output} lacks {len(missing)} tickets that were there all along")
        self._require(not (missing and exact), "the walk says that it was exact, and it was not")
        self._require(not twice, f"{output} has {twice} tickets more than once")
        self._require(not invented, f"{output} has {len(invented)} tickets that never were")

    async def close_pending(self, number: int) -> None:
        """Close tickets of the file with a journal, run again for what is left, while the list moves on."""
        from workorder_async.batches.batch import run_batch

        self.sandbox.drift = ()
        now = datetime.now(UTC)
        closes = [
            CloseTicket(id=row["id"], closer_id=40084, closer_name=row["creator_name"], solved_time=now)
            for row in [row for row in self._rows if row["status"] == 1][:number]
        ]
        with tempfile.TemporaryDirectory() as folder, Bar("closing", delay=0) as bar:
            for _ in range(_RUNS):
                batch = run_batch(self.client, closes, concurrency=AT_ONCE, journal=Path(folder) / "closes.journal")
                left = ended = 0
                async with aclosing(batch) as outcomes:
                    async for outcome in outcomes:
                        word = outcome.state.value
                        if word != "skipped":
                            self.said["close_ticket", outcome.ticket_id] = word
                        ended, left = ended + 1, left + (word in _DID_NOT)
                        bar(ended, len(closes))
                        if ended % 40 == 0:
                            await self.sandbox.change(close=2, delete=1)
                if not left:
                    break

    async def create_and_comment(self) -> None:
        """Create tickets with an uploaded file each, and comment on each; none of it is sent twice."""
        with Bar("creating", delay=0) as bar:
            for number in range(1, _CREATIONS + 1):
                bar(number, _CREATIONS)
                await self._create_one(f"网关超时, 请协助排查 ({number})", f"已复现, 正在排查 ({number})")

    async def _create_one(self, title: str, comment: str) -> None:
        """Create a ticket with a file, comment on it, and note what was said of both."""
        attachment = await self._upload()
        if attachment is None:
            return
        created: list[int] = []

        async def create() -> None:
            created.append(await self.client.create_ticket(new_ticket(attachment, title), on_unknown="verify"))

        await self._say("create_ticket", title, create)
        for id in created:
            made = [one.ticket_id for one in self.sandbox.applied if _key(one) == ("create_ticket", title)]
            self._require(made == [id], f"{title!r} is said to be ticket {id}, and is {made}")
            say = partial(self.client.comment_ticket, CommentTicket(id=id, detail=comment), on_unknown="verify")
            await self._say("comment_ticket", comment, say)

    async def _upload(self) -> Attachment | None:
        """Upload the file, again where that fails: a file that no ticket shows does no harm."""
        failures = []
        for _ in range(_TRIES):
            try:
                return await self.client.upload_file(TRACE, file_name="trace.log")
            except WorkorderError as error:
                failures.append(str(error))
        self.complaints.append(f"the file could not be uploaded: {failures[-1]}")
        return None

    async def _say(self, operation: str, what: str, change: Callable[[], Awaitable[None]]) -> None:
        """Make a change, and note what the client says of it."""
        try:
            await change()
        except OutcomeUnknownError:
            word = "unknown"
        except NotSentError:
            word = "not sent"
        except WorkorderError:
            word = "rejected"
        else:
            word = "done"
        self.said[operation, what] = word

    def conclude(self) -> None:
        """Hold what was said of each mutation against what the sandbox carried out, and count what struck."""
        applied = Counter(_key(one) for one in self.sandbox.applied)
        by_others = {("close_ticket", id) for drifted in self.sandbox.drifted for id in drifted.closed}
        for name, operation in (
            ("closes", "close_ticket"),
            ("creations", "create_ticket"),
            ("comments", "comment_ticket"),
        ):
            said = Counter(word for (of, _), word in self.said.items() if of == operation)
            counts = [count for (of, _), count in applied.items() if of == operation]
            twice = sum(count > 1 for count in counts)
            words = ", ".join(f"{count} {word}" for word, count in sorted(said.items()))
            self.facts.append((name, f"{words or 'none'}; carried out: {sum(counts)}, {twice} twice"))
            self._require(not twice, f"{twice} {name} were carried out twice")
        false = [
            f"{key[0]} of {key[1]}: said to be {word}, carried out {applied[key]} times"
            for key, word in self.said.items()
            if (word in _HAPPENED and not applied[key] and key not in by_others) or (word in _DID_NOT and applied[key])
        ]
        false += [f"{of} of {what} was carried out, and nobody asked" for of, what in applied.keys() - self.said.keys()]
        self.complaints += false
        self.facts.append(("misreported", str(len(false))))
        self._tell_what_struck()

    def _tell_what_struck(self) -> None:
        """Add to the facts which faults struck, and how the list moved."""
        struck = Counter(one.fault.kind for one in self.sandbox.struck)
        drifted = self.sandbox.drifted
        moved = {
            "deleted": sum(len(one.deleted) for one in drifted),
            "created": sum(len(one.created) for one in drifted),
            "closed": sum(len(one.closed) for one in drifted),
        }
        requests, refused = self.sandbox.requests.total(), self.sandbox.refused.total()
        self.facts += [
            ("struck", f"{struck.total():,} of {requests:,} requests: " + _listed(struck.most_common())),
            ("beyond the rate", f"{refused:,} requests"),
            ("throttled", f"{self.client.stats().throttled:,} answers"),
            ("moved meanwhile", _listed(moved.items())),
            ("seconds", f"{perf_counter() - self._began:.1f}"),
        ]

    def _require(self, holds: bool, complaint: str) -> None:
        """Note a complaint where something does not hold."""
        if not holds:
            self.complaints.append(complaint)


async def write_lines(walk: "Walk", file: BinaryIO, bar: Bar) -> None:
    """Write a walk's tickets as JSON Lines, with one write a page."""
    async for tickets in walk:
        file.write(b"".join(to_json(encode(ticket)) + b"\n" for ticket in tickets))
        bar(walk.report.tickets, max(walk.report.tickets, walk.report.last_total))


def _rows_in(file: Path) -> list[dict[str, Any]]:
    with file.open("rb") as lines:
        return [loads(line) for line in lines]


def _key(applied: "Applied") -> tuple[str, object]:
    """Return by what a mutation is told from others: creations and comments by their text, others by the ticket."""
    match applied.operation:
        case "create_ticket":
            return applied.operation, applied.request["title"]
        case "comment_ticket":
            return applied.operation, applied.request["detail"]
        case operation:
            return operation, applied.ticket_id


def _listed(counts: Iterable[tuple[str, int]]) -> str:
    """Write counts as "3 reset, 1 html"."""
    return ", ".join(f"{count} {name}" for name, count in counts)
