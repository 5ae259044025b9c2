"""In which order the answers that are under way reach a walk: the hostile network's choice."""

from collections.abc import Callable, Sequence
from random import Random

#: The order of arrival; each picks the next of several answers, given their sizes and when they were asked for.
ORDERS: dict[str, Callable[[Random, Sequence[int]], int]] = {
    "any": lambda random, sizes: random.randrange(len(sizes)),
    "as sent": lambda random, sizes: 0,
    "newest first": lambda random, sizes: len(sizes) - 1,
    "short first": lambda random, sizes: min(range(len(sizes)), key=lambda index: sizes[index]),
    "long first": lambda random, sizes: max(range(len(sizes)), key=lambda index: sizes[index]),
    # The oldest stays until nothing else is under way.
    "one last": lambda random, sizes: random.randrange(1, len(sizes)) if len(sizes) > 1 else 0,
}
