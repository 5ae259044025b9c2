"""The standings of journal.py: the table at its head, read from there, square by square."""

import inspect
from collections.abc import Callable
from contextlib import closing

import pytest
from attrs import evolve

from tests.support.rows import each
from workorder_async.batches.journal_file import Entry, JournalFile, Standing
from workorder_async.document import JSON
from workorder_async.mutations.memory import EarlierRun
from workorder_async.signing.clock import Ahead

LINE: dict[str, JSON] = {
    "intent": "a",
    "operation": "CommentTicket",
    "mutation": {"id": 1},
    "began": 100.5,
    "trace": "t",
    "ahead": [-1, 1],
    "within": 60,
}
ENTRY = Entry("a", "CommentTicket", {"id": 1}, 300.0, "t")
Step = Callable[[JournalFile], object]


def intent(known: JournalFile) -> None:
    """Read an intent of an earlier run."""
    known.read(2, LINE)


def read(state: str) -> Step:
    """Return a step that reads an outcome of an earlier run."""
    return lambda known: known.read(2, {"outcome": "a", "state": state})


def ends(state: str) -> Step:
    """Return a step that ends the mutation in this run."""
    return lambda known: known.end("a", state, {})


def begin(known: JournalFile) -> None:
    """Begin the mutation in this run."""
    known.begin(ENTRY)


#: How a mutation comes to each standing.
WAYS: dict[str, list[list[Step]]] = {
    "NEW": [[], [intent, read("REJECTED")], [begin, ends("NOT_SENT")]],
    "OPEN": [[intent], [intent, read("UNKNOWN")], [intent, read("DONE"), intent]],
    "DONE": [
        [intent, read("DONE")],
        [intent, read("ALREADY"), begin],
        [begin],
        [intent, begin],
        [begin, ends("UNKNOWN")],
    ],
}
EVENTS: dict[str, list[Step]] = {
    "an intent": [intent],
    "in the file: DONE or ALREADY": [read("DONE"), read("ALREADY")],
    "in the file: UNKNOWN": [read("UNKNOWN")],
    "in the file: any other outcome": [read("REJECTED"), read("NOT_SENT"), read("SKIPPED")],
    "it is begun": [begin],
    "in this run: DONE or ALREADY": [ends("DONE"), ends("ALREADY")],
    "in this run: UNKNOWN": [ends("UNKNOWN")],
    "in this run: any other outcome": [ends("REJECTED"), ends("NOT_SENT")],
}


def squares() -> list[tuple[str, str, str]]:
    """Read the table: the event, the standing before, and what is said to come of it."""
    found, half = [], ""
    for line in (inspect.getdoc(JournalFile) or "").splitlines():
        if not line.startswith(" " * 4) or "What begun means" in line:
            continue
        name, *cells = (line[:38], *line[38:].split(maxsplit=2))
        half = name[:18].strip() or half
        event = name[18:].strip()
        event = event if event in EVENTS else f"{half} {event}"
        if event in EVENTS:
            found += [(event, before, after) for before, after in zip(WAYS, cells, strict=True)]
    return found


def test_the_table_is_read() -> None:
    """Every event has its row, and every standing its column."""
    assert [event for event, before, _ in squares() if before == "NEW"] == list(EVENTS)
    assert len(squares()) == len(EVENTS) * len(Standing) == len(EVENTS) * len(WAYS)


@each(("event", "before", "after"), [square for square in squares() if square[2] != "-"])
def test_a_square(event: str, before: str, after: str) -> None:
    """Whatever way led to a standing, the event leads to the next one, or is refused."""
    for way in WAYS[before]:
        for step in EVENTS[event]:
            with closing(JournalFile(None, {})) as known:
                known.open()
                for earlier in way:
                    earlier(known)
                assert known._standing_of("a") is Standing[before]
                if after == "(refused)":
                    with pytest.raises(ValueError, match="an outcome of nothing"):
                        step(known)
                else:
                    step(known)
                    assert known._standing_of("a") is Standing[before if after == "." else after]


@pytest.mark.parametrize(
    ("before", "answer"),
    [
        ("NEW", (Standing.NEW, 300.0)),
        ("OPEN", (Standing.OPEN, 100.5)),
        ("DONE", (Standing.DONE, None)),
    ],
)
def test_what_beginning_answers(before: str, answer: tuple[Standing, float | None]) -> None:
    """New ones begin now, open ones when they first began, and neither what is in hand nor what is done is sent."""
    for way in WAYS[before]:
        with closing(JournalFile(None, {})) as known:
            known.open()
            for earlier in way:
                earlier(known)
            standing, first = known.begin(ENTRY)
            assert standing is answer[0]
            assert answer[1] in (None, first.began)


def test_a_beginning_that_is_taken_back() -> None:
    """What an earlier run left open is whole again, with its own words and its own moment."""
    with closing(JournalFile(None, {})) as known:
        known.open()
        intent(known)
        left = known.left_open()
        assert left == [
            Entry("a", "CommentTicket", {"id": 1}, 100.5, "t", ahead=Ahead(-1, 1), run=EarlierRun(within=60))
        ]
        begin(known)
        assert known.left_open() == []
        known.take_back("a", Standing.OPEN)
        assert known.left_open() == left


def test_a_done_one_whose_intent_nobody_wrote() -> None:
    """An outcome alone says enough: it is not sent."""
    with closing(JournalFile(None, {})) as known:
        known.open()
        read("DONE")(known)
        assert known.begin(ENTRY)[0] is Standing.DONE


def test_twins() -> None:
    """Another mutation of an earlier run at the same place is a twin, if it may have happened at about this time."""
    other = Entry("b", "CommentTicket", {"id": 1}, 150.0, "t", ahead=Ahead(-1, 1), run=EarlierRun(within=60))
    cases: list[tuple[list[Step], bool]] = [
        ([intent], True),
        ([intent, begin], True),
        ([intent, read("UNKNOWN")], True),
        ([intent, read("DONE")], True),
        ([intent, read("REJECTED")], False),
        # The client knows those of this run.
        ([begin], False),
        ([begin, ends("UNKNOWN")], False),
    ]
    for steps, twin in cases:
        with closing(JournalFile(None, {})) as known:
            known.open()
            for step in steps:
                step(known)
            assert not known.has_twin(ENTRY)
            assert known.has_twin(other) == twin
            assert known.has_twin(evolve(other, began=761.0)) == twin
            assert not known.has_twin(evolve(other, began=763.0))
            # By a clock that may have been wrong, any time may be near.
            assert known.has_twin(evolve(other, began=763.0, ahead=None)) == twin
            assert known.has_twin(evolve(other, began=763.0, ahead=Ahead(-601, -599))) == twin
            assert not known.has_twin(evolve(other, place="u"))
            assert not known.has_twin(evolve(other, place=""))
            # The close of a ticket has its solution behind that; another ticket has more digits.
            known.read(2, {**LINE, "intent": "c", "trace": "t1 1660298580 True"})
            assert known.has_twin(evolve(other, place="t1"))
            assert not known.has_twin(evolve(other, place="t1 1660298580 False"))
            assert known.has_twin(evolve(other, place="t")) == twin
