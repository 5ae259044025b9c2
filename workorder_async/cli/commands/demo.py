"""`workorder demo`: export, closes, a creation, a comment and a walk, against an embedded sandbox.

A hostile sandbox loses answers, lies, hangs and moves its list. Any sandbox records which mutations it carried out and
which tickets others changed. The demo compares all results of the client with these records.
"""

import asyncio
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, nullcontext, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from attrs import asdict, define, field
from cyclopts import Parameter, validators

from workorder_async.batches.outcomes import BatchReport, Outcome, State
from workorder_async.cli.commands.export import Going
from workorder_async.cli.connection import Client, log_to_stderr, run
from workorder_async.cli.failures import sentence
from workorder_async.cli.terminal import Bar, note, out, print_fields, print_heading
from workorder_async.cli.values import File, Number, Whole
from workorder_async.document import Attachment, CloseTicket, CommentTicket, CreateTicket, Mutation, TicketQuery
from workorder_async.document.json_text import loads
from workorder_async.errors import ConfigError, NotFoundError, WorkorderError
from workorder_async.exports import ExportReport
from workorder_async.exports.formats import target_of
from workorder_async.mutations.kinds import kind_of
from workorder_async.walk_report import WalkReport

if TYPE_CHECKING:
    from workorder_async.sandbox import Sandbox

_LATENCY: Final = 0.05
_FILE: Final = File("demo-tickets.jsonl", "--output")
_OUTPUT: Final = Parameter(name=["--output", "-o"], help="The file to write them to; - for stdout.")
_WAITS: Final = Parameter(help=f"Seconds that the sandbox takes to answer: {_LATENCY:g}, or 0 if it is hostile.")
_NEXT: Final = """\
{workorder} sandbox                  # leave it running, copy its lines into another terminal, and there:
{workorder} list --status pending
{workorder} show {id}
{workorder} doctor"""
_AT_ONCE: Final = 16
_PAGE: Final = 100
_TRACE: Final = b"2024-01-31 09:30:00 gateway: upstream timed out\n" * 1000
_PENDING: Final = TicketQuery(status=1)
_LARGEST_ANSWER: Final = 4 << 20
# The faults of a hostile sandbox by their chance; KIND@OPERATION strikes one operation only. 429 is rare, as each slows
# all callers down. deep never strikes a list: it looks like an answer of the platform, so a walk would end there.
_FAULTS: Final = {
    0.02: "reset reset_after portal other_ticket date page_size 500_after 502_after 504_after",
    0.01: "refuse truncate html html_after 503 503_after slow_headers slow_body",
    0.005: "429 portal_after deep@close_ticket first_page total hang hang_after many_headers long_header bomb",
    0.002: "endless drip",
}

# By the client's result for a mutation: how often the sandbox may have carried it out.
_RIGHT: Final = {"done": (1,), "already": (1,), "unknown": (0, 1), "rejected": (0,), "not sent": (0,), "nothing": (0,)}

_Key: TypeAlias = tuple[str, object]
"""Names a mutation: its operation, and the title of a creation, the text of a comment, or the ticket's id."""


def demo(
    *,
    tickets: Annotated[Whole, Parameter(help="How many tickets the sandbox has.")] = 5000,
    output: Annotated[File, _OUTPUT] = _FILE,
    closes: Annotated[Whole, Parameter(help="Pending tickets to close.", validator=validators.Number(gte=0))] = 200,
    latency: Annotated[Number | None, _WAITS] = None,
    hostile: Annotated[bool, Parameter(help="Let everything go wrong that can, and count the results.")] = False,
    seed: Annotated[Whole, Parameter(help="Chooses the tickets, and with --hostile the faults.")] = 1,
    verbose: Annotated[bool, Parameter(help="Log every attempt to stderr.")] = False,
) -> int:
    """See the real thing work, without any configuration.

    Starts a sandbox, writes all its tickets to a file of JSON Lines, closes pending tickets, creates one with an
    upload, comments on it and reads it back, and reads a list that moves meanwhile; exits with 0 only when nothing was
    lost, nothing happened twice, and nothing was said that is not so. With --hostile the sandbox loses answers, lies,
    hangs and changes its list meanwhile.
    """
    if verbose:
        log_to_stderr()
    if hostile and latency:
        raise ConfigError("is for the plain demo", argument="--latency", mend="the hostile one has its own delays")
    name, waits = output.file_name(), _LATENCY if latency is None else latency
    is_copied, place = target_of(name, "jsonl").is_stream, "stdout" if name == "-" else name
    if not is_copied and name != _FILE.text and Path(name).is_file():
        mend = f"name another file; only {_FILE.text} is replaced"
        raise ConfigError("exists", argument=f"--output {name}", mend=mend)
    # The demo reads its file back, which is not possible on stdout or a device: there a file is copied in the end.
    with TemporaryDirectory(prefix="workorder-demo-") as folder:
        file = Path(folder, "tickets.jsonl") if is_copied else Path(name)
        with redirect_stdout(sys.stderr) if is_copied else nullcontext():
            code = run(_demo(tickets, file, place, closes=closes, seed=seed, waits=None if hostile else waits))
        if is_copied and file.exists():
            with output.target(beside=file, overwrite=True) as copy:
                copy.write(file.read_bytes())
                copy.flush()
    return code


def _hostile(tickets: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of a hostile sandbox, and those of a client that is patient with it."""
    from workorder_async.sandbox import Drift, Errno, Fault
    from workorder_async.wire.call import RetryPolicy

    make: Any = Fault
    how = {"retry_after": 1, "number": 7, "size": 2 * _LARGEST_ANSWER}
    faults = [
        make(kind, chance=chance, operation=operation or None, seconds=86400 if kind == "date" else 0.3, **how)
        for chance, kinds in _FAULTS.items()
        for kind, _, operation in (one.partition("@") for one in kinds.split())
    ]
    drift = [Drift(every=1, times=40, close=3, create=2, delete=1)]
    reach = max(200, tickets // 2)
    limits = {"rate": 60, "retry_after": 1, "total_cap": reach, "page_depth": reach}
    odd = {"shuffle_ties": True, "spelling": "java", "date_offset": -600, "backends": [-200, 0, 200]}
    patience = {"connect_timeout": 2, "attempt_timeout": 2, "deadline": 45, "longest_pause": 2}
    retry = RetryPolicy(attempts=10, first=0.05, longest=0.5)
    # A client repeats a read after an errno of unknown meaning, signed by the server's clock. Without this meaning it
    # would do so for each page beyond `page_depth`.
    errnos = {Errno.PAGE_DEPTH: NotFoundError}
    habits = {"faults": faults, "drift": drift, **limits, **odd}
    return habits, {**patience, "errnos": errnos, "max_body": _LARGEST_ANSWER, "retry": retry}


async def _demo(tickets: int, file: Path, place: str, *, closes: int, seed: int, waits: float | None) -> int:
    """Run the tour, print its results, and return the exit code.

    `place` names the file in texts: where it is, or where its content is copied in the end. `waits` is the sandbox's
    delay before each answer, in seconds; None makes it hostile.
    """
    from workorder_async.sandbox import Sandbox

    hostile = waits is None
    habits, patience = _hostile(tickets) if hostile else ({}, {})
    kind, how = ("hostile sandbox", f"by seed {seed}") if hostile else ("sandbox", f"{waits:g} s per answer")
    async with AsyncExitStack() as stack:
        with out(stderr=True).status(f"making {tickets:,} tickets ..."):
            platform = Sandbox(tickets, seed=seed, until=int(time()), latency=waits or 0.0, **habits)
            sandbox = await stack.enter_async_context(platform)
        note(f"a {kind} with {tickets:,} invented tickets runs at {sandbox.url}, {how}")
        client = await stack.enter_async_context(sandbox.client(**patience))
        tour = Tour(client, sandbox, hostile=hostile)
        await tour.export(tickets, file, place)
        await tour.close_pending(closes)
        await tour.create_and_comment()
        if not hostile:
            await tour.read_moving()
        tour.conclude()
    print_fields(tour.facts, "what happened")
    for complaint in tour.complaints:
        note(f"workorder: {complaint}")
    if not hostile:
        print_heading("try next")
        # Where the command is not on the PATH, it is called by its path.
        by_path = Path(sys.argv[0]).name == "workorder" and not shutil.which("workorder")
        workorder = shlex.quote(sys.argv[0]) if by_path else "workorder"
        known = tour.rows[0]["id"] if tour.rows else "ID"
        out().print(_NEXT.format(id=known, workorder=workorder), soft_wrap=True)
    return 1 if tour.complaints else 0


@define
class Tour:
    """The steps of the demo. Each adds `facts` for the summary, and `complaints` where a promise was not kept."""

    client: Client
    sandbox: "Sandbox"
    hostile: bool = False
    """Whether requests go wrong, and other people change tickets meanwhile."""
    facts: list[tuple[str, str]] = field(factory=list)
    complaints: list[str] = field(factory=list)
    said: dict[_Key, str] = field(factory=dict)
    """The client's result for each mutation: a key of `_RIGHT`."""
    rows: list[dict[str, Any]] = field(factory=list)
    """The tickets of the file."""

    async def export(self, tickets: int, file: Path, place: str) -> None:
        """Export all tickets into a file, and compare its lines with the sandbox's tickets."""
        from workorder_async.exports import export_tickets
        from workorder_async.sandbox.seed import FIRST_ID

        try:
            with Bar("exporting", delay=0) as bar:
                how: Any = {"format": "jsonl", "on_progress": Going(bar), "resume": False, "overwrite": True}
                report = await export_tickets(self.client, TicketQuery(), file, **how)
        except ConfigError:
            raise  # the file cannot be written there
        except WorkorderError as error:
            self.complaints.append(f"the list could not be walked to its end: {type(error).__name__}: {error.message}")
            return
        self.rows = await asyncio.to_thread(lambda: [loads(line) for line in file.read_bytes().splitlines()])
        ids, first = Counter(row["id"] for row in self.rows), set(range(FIRST_ID, FIRST_ID + tickets))
        stayed, new = first - self._moved("deleted"), self._moved("created")
        wrong = (len(stayed - ids.keys()), ids.total() - len(ids), len(ids.keys() - first - new))
        found, walk = "{} missing, {} twice, {} invented".format(*wrong), _in_words(report)
        rate = ids.total() / report.seconds
        self.facts += [
            ("exported", f"{walk}; {report.requests:,} requests in {report.seconds:.2f} s, {rate:,.0f} tickets/s"),
            ("lines written", f"{ids.total():,} to {place}"),
            ("there all along", f"{len(stayed):,}: {found}"),
        ]
        complaint = f"of the tickets that were there all along, {place} has {found}; the walk: {walk}"
        self._require(not any(wrong), complaint)

    async def close_pending(self, number: int) -> None:
        """Close pending tickets of the file on their creators' behalf."""
        self.sandbox.drift = ()
        rows, now = [row for row in self.rows if row["status"] == _PENDING.status][:number], datetime.now(UTC)
        # The sandbox checks the closer's name only: `closer_id` may be any number.
        how: Any = {"closer_id": 40084, "solved_time": now}
        closes = [CloseTicket(id=row["id"], closer_name=row["creator_name"], **how) for row in rows]
        await self._change("closes", closes)

    async def create_and_comment(self) -> None:
        """Upload a file, create some tickets with it, and comment on them; read the result."""
        files = list[Attachment]()
        try:
            with Bar("uploading", unit="bytes", delay=0) as bar:
                files.append(await self.client.upload_file(_TRACE, file_name="trace.log", on_progress=bar))
        except WorkorderError as error:
            self._require(self.hostile, f"the file could not be uploaded: {error}")
        tickets = [
            CreateTicket(
                title=f"网关超时, 请协助排查 ({number})",
                detail="09:30 起部分请求超时, 日志见附件。",
                reported_time=datetime.now(UTC),
                type="troubleshooting",
                priority="high",
                customer_organization_id=5001,
                customer_organization_name="北京晨曦网络科技有限公司",
                repository_product_id=36,
                creator_id=210002,
                creator_name="姜程",
                attachment=files,
            )
            for number in range(1, 11 if self.hostile else 2)
        ]
        created = await self._change("creations", tickets)
        made = {(one.request.get("title"), one.ticket_id) for one in self.sandbox.applied}
        ids = {title: outcome.ticket_id for (_, title), outcome in created.items() if outcome.ticket_id}
        for title, id in ids.items() - made:
            self.complaints.append(f"{title!r} is said to be ticket {id}, and is not")
        comments = [CommentTicket(id=id, detail=f"已复现, 正在排查 ({id})") for id in ids.values()]
        await self._change("comments", comments)
        for comment in comments if not self.hostile else ():
            detail = await self.client.get_ticket_detail(comment.id)
            said = [step.detail for part in detail.assigns for step in part.history if step.detail == comment.detail]
            sizes = [file.file_size for file in detail.attachment]
            found = f"{', '.join(said)}; a file of {', '.join(f'{size:,}' for size in sizes)} bytes"
            self.facts.append((f"ticket {comment.id}, read back", found))
            is_whole = (said, sizes) == ([comment.detail], [len(_TRACE)])
            self._require(is_whole, f"ticket {comment.id} does not show once the comment and the file sent: {found}")

    async def _change(self, name: str, mutations: Sequence[Mutation]) -> dict[_Key, Outcome]:
        """Run a batch, and note its results in `said`. In a hostile sandbox other people change tickets meanwhile."""
        from workorder_async.batches.batch import run_batch

        ended: dict[_Key, Outcome] = {}
        report = BatchReport()
        with Bar(name, delay=0) as bar:
            batch = run_batch(self.client, mutations, concurrency=_AT_ONCE, report=report)
            async with aclosing(batch) as outcomes:
                async for outcome in outcomes:
                    # If the list had a ticket twice, its second close is skipped: the first outcome counts.
                    if outcome.state is not State.SKIPPED:
                        sent = asdict(outcome.mutation, recurse=False)
                        ended[_key(kind_of(outcome.mutation).endpoint.operation, sent)] = outcome
                    bar(report.total, len(mutations))
                    if self.hostile and report.total % 40 == 0:
                        await self.sandbox.change(close=2, delete=1)
        failed = [] if self.hostile else report.unsettled
        self.complaints += [f"ticket {one.ticket_id}: {sentence(one.error)}" for one in failed if one.error]
        self.said |= {key: outcome.state.value for key, outcome in ended.items()}
        self.facts.append((name, f"{len(mutations)}, {_AT_ONCE} at a time, in {report.elapsed:.2f} s"))
        return ended

    async def read_moving(self) -> None:
        """Read the pending tickets, page by page and by a walk; after each read others close five and create one."""
        from workorder_async.sandbox import Drift

        for name, read in (("page by page", self._paged), ("walk", self._walked)):
            before, _ = await self._walked()
            changes, self.sandbox.drift = len(self.sandbox.drifted), [Drift(every=1, close=5, create=1)][: len(before)]
            found, remark = await read()
            self.sandbox.drift = ()
            stayed = before - {id for one in self.sandbox.drifted[changes:] for id in one.closed}
            missing = len(stayed - found)
            self.facts.append((name, f"{missing} of {len(stayed):,} that stayed pending are missing{remark}"))
        self._require(not missing, f"the walk lacks {missing} tickets that stayed pending")

    async def _paged(self) -> tuple[set[int], str]:
        """Read the pending tickets by page numbers, as a program without a walk does."""
        found, number, left = set[int](), 0, 1
        while left > 0:
            number += 1
            page = await self.client.list_tickets(_PENDING, page=number, page_size=_PAGE)
            found.update(ticket.id for ticket in page.tickets)
            left = page.pagination.total - number * _PAGE
        return found, ""

    async def _walked(self) -> tuple[set[int], str]:
        async with self.client.walk(_PENDING, page_size=_PAGE) as walk:
            found = {ticket.id async for tickets in walk for ticket in tickets}
        return found, f"; {_in_words(walk.report)}"

    def conclude(self) -> None:
        """Compare the client's result for each mutation with the sandbox's record, and count the faults."""
        applied = Counter(_key(one.operation, one.request) for one in self.sandbox.applied)
        for kind in dict.fromkeys(operation for operation, _ in (*self.said, *applied)):
            words = Counter(word for (of, _), word in self.said.items() if of == kind)
            counts = [count for (of, _), count in applied.items() if of == kind]
            done = f"carried out: {sum(counts)}, {sum(count > 1 for count in counts)} twice"
            self.facts.append((kind, f"{_listed(sorted(words.items()))}; {done}"))
        by_others = {("close_ticket", id) for id in self._moved("closed")}
        words_of_all = dict.fromkeys(applied, "nothing") | self.said
        false = [
            f"{operation} of {what}: said to be {word}, carried out {count} times"
            for (operation, what), word in words_of_all.items()
            if (count := applied[operation, what]) not in _RIGHT[word]
            and not (count == 0 and (operation, what) in by_others)
        ]
        self.complaints += false
        self.facts.append(("misreported", str(len(false))))
        if self.hostile:
            struck = Counter(one.fault.kind for one in self.sandbox.struck)
            requests, refused = self.sandbox.requests.total(), self.sandbox.refused.total()
            self.facts += [
                ("struck", f"{struck.total():,} of {requests:,} requests: {_listed(struck.most_common())}"),
                ("beyond the rate", f"{refused:,} requests; {self.client.stats().throttled:,} answers said so"),
                ("moved meanwhile", _listed((how, len(self._moved(how))) for how in ("deleted", "created", "closed"))),
            ]

    def _moved(self, how: str) -> set[int]:
        return {id for one in self.sandbox.drifted for id in getattr(one, how)}

    def _require(self, holds: bool, complaint: str) -> None:
        if not holds:
            self.complaints.append(complaint)


def _in_words(report: WalkReport | ExportReport) -> str:
    return f"{'exact' if report.exact else 'not exact'}: {report.reason}"


def _key(operation: str, request: Mapping[str, object]) -> _Key:
    return operation, request[{"create_ticket": "title", "comment_ticket": "detail"}.get(operation, "id")]


def _listed(counts: Iterable[tuple[str, int]]) -> str:
    """Write counts as "3 reset, 1 html"."""
    return ", ".join(f"{count} {name}" for name, count in counts)
