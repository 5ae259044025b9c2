"""What makes two mutations one, and which batch a journal is for."""

import hashlib
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from typing import TypeAlias

from workorder_async.document import JSON, Mutation
from workorder_async.document.json_text import to_json
from workorder_async.errors import ConfigError
from workorder_async.mutations.kinds import Prepared, key_of, kind_of

Mutations: TypeAlias = Iterable[Mutation] | AsyncIterable[Mutation]
Key: TypeAlias = Callable[[Mutation], str]


def keys_by(key: Key | None, *, kept: bool) -> Callable[[Mutation | Prepared], str]:
    """Return what tells mutations apart: their kind and `key`, or without it the fields that the kind's row names.

    Raises `ConfigError` for a `key` that returns no text, and for a creation without one in a journal: from run to run
    its time and texts may differ, and it would be made again.
    """

    def told(mutation: Mutation | Prepared) -> str:
        plain = mutation.mutation if isinstance(mutation, Prepared) else mutation
        kind = kind_of(plain)
        if key is None:
            if kept and kind.creates:
                raise ConfigError(
                    "is needed for creations with a journal",
                    argument="key",
                    mend="give a function that returns the same text in each run for what is to be created once, as in "
                    "key=lambda ticket: ticket.title",
                )
            return key_of(mutation)
        if not isinstance(said := key(plain), str) or not said:
            mend = "it must return a text that tells mutations apart, the same in each run"
            raise ConfigError(f"returned {said!r}", argument="key", mend=mend)
        return hashlib.sha256(to_json([kind.verb, {"key": said}])).hexdigest()[:32]

    return told


def identity_of(
    mutations: Mutations, platform: str, name: str, key: Callable[[Mutation], str] = key_of
) -> dict[str, JSON]:
    """Return the identity of a batch, for the head of its journal; a list or tuple has a digest of its keys."""
    identity: dict[str, JSON] = {"platform": platform, "batch": name}
    if isinstance(mutations, Sequence):
        digest = hashlib.sha256()
        for mutation in mutations:
            digest.update(key(mutation).encode())
        identity["list"] = f"{len(mutations)} mutations, {digest.hexdigest()[:16]}"
    return identity
