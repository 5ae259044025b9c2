"""identity.py: which mutations are the same, and which batches."""

import pytest
from attrs import evolve

from tests.support.mutations import close_of, creation
from workorder_async import CommentTicket, Mutation, RejectTicket
from workorder_async.batches.journal import identity_of
from workorder_async.document import JSON
from workorder_async.mutations.kinds import key_of


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (CommentTicket(id=1, detail="甲"), CommentTicket(id=1, detail="乙")),
        (CommentTicket(id=1, detail="甲"), CommentTicket(id=2, detail="甲")),
        (CommentTicket(id=1, detail="甲"), CommentTicket(id=1, detail="甲", productGroupId=3)),
        (CommentTicket(id=1, detail="甲"), RejectTicket(id=1, detail="甲")),
        (RejectTicket(id=1), RejectTicket(id=1, productGroupId=3)),
        (RejectTicket(id=1), close_of(1, "姜程")),
        (creation("甲"), creation("乙")),
    ],
)
def test_told_apart(first: Mutation, second: Mutation) -> None:
    """What does something else is another mutation."""
    assert key_of(first) != key_of(second)
    assert key_of(first) == key_of(evolve(first))


#: What journals that exist already call these mutations.
KEYS: list[tuple[Mutation, str]] = [
    (close_of(1473, "田金秀"), "7ac3d966778d471edbb27dbc308a2a61"),
    (RejectTicket(id=1473, detail="x"), "be866a86661761c2036e22a52b5b6213"),
    (RejectTicket(id=1473, productGroupId=7), "57fbbe920f677b893eeec39924a7b02a"),
    (CommentTicket(id=1473, detail="已联系客户"), "62882410b7f588b6f120eab684f721a6"),
    (CommentTicket(id=1473, detail="已联系客户", productGroupId=7), "b767ac8f6815708eadb1cfcc3ad30047"),
    (creation(), "69ffaefa67de2ff833f35a86abfb064a"),
]


@pytest.mark.parametrize(("mutation", "key"), KEYS)
def test_keys_stay(mutation: Mutation, key: str) -> None:
    """A journal of last year still tells what was done."""
    assert key_of(mutation) == key


def test_a_close_is_the_same_whoever_closes() -> None:
    """A ticket is closed once, and rejected once with whatever words."""
    assert key_of(close_of(1, "姜程")) == key_of(close_of(1, "田金秀"))
    assert key_of(RejectTicket(id=1, detail="甲")) == key_of(RejectTicket(id=1, detail="乙"))


def test_the_identity_of_a_batch_stays() -> None:
    """A list or tuple is told from others by its length and its mutations in their order; any other iterable is not."""
    mutations = [mutation for mutation, _ in KEYS]
    platform: dict[str, JSON] = {"platform": "http://workorder.test", "batch": "七月"}
    found = identity_of(mutations, "http://workorder.test", "七月")
    assert found == platform | {"list": "6 mutations, 10dcada76785389c"}
    assert identity_of(tuple(mutations), "http://workorder.test", "七月") == found
    assert identity_of(mutations[::-1], "http://workorder.test", "七月") != found
    assert identity_of(iter(mutations), "http://workorder.test", "七月") == platform
