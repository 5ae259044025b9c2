"""Which mutation is which, and which batch a journal belongs to."""

import hashlib
from collections.abc import AsyncIterable, Iterable, Sequence
from typing import TypeAlias

from workorder_async.document import JSON, CloseTicket, CommentTicket, CreateTicket, Mutation, RejectTicket
from workorder_async.document.codec import encode
from workorder_async.document.json_text import to_json
from workorder_async.errors import ConfigError

Mutations: TypeAlias = Iterable[Mutation] | AsyncIterable[Mutation]


def key_of(mutation: Mutation) -> str:
    """Return what tells a mutation from others: what it does, and to which ticket."""
    match mutation:
        case CloseTicket():
            what: JSON = ["close", mutation.id]
        case RejectTicket():
            what = ["reject", mutation.id, mutation.productGroupId]
        case CommentTicket():
            what = ["comment", mutation.id, mutation.productGroupId, mutation.detail]
        case CreateTicket():
            what = ["create", encode(mutation)]
        case _:
            raise ConfigError(f"a {type(mutation).__name__} is no mutation; use CloseTicket, CommentTicket ...")
    return hashlib.sha256(to_json(what)).hexdigest()[:32]


def identity_of(mutations: Mutations, platform: str, name: str) -> dict[str, JSON]:
    """Return what the head of a journal says of its batch; a list or tuple is told from others by what is in it."""
    identity: dict[str, JSON] = {"platform": platform, "batch": name}
    if isinstance(mutations, Sequence):
        digest = hashlib.sha256()
        for mutation in mutations:
            digest.update(key_of(mutation).encode())
        identity["list"] = f"{len(mutations)} mutations, {digest.hexdigest()[:16]}"
    return identity
