"""A SQLite database that keeps up with the platform: `mirror_tickets`; and its changes as events: `watch`."""

from workorder_async.described import describe
from workorder_async.mirror.mirror import MirrorOptions, MirrorProgress, MirrorReport, mirror_tickets
from workorder_async.mirror.watch import Changed, Created, Event, Gap, Gone, Left, Watch, watch

__all__ = [
    "Changed", "Created", "Event", "Gap", "Gone", "Left", "MirrorOptions", "MirrorProgress", "MirrorReport", "Watch",
    "mirror_tickets", "watch",
]  # fmt: skip

for _kind in (Changed, Created, Gap, Gone, Left, MirrorOptions, MirrorProgress, MirrorReport):
    describe(_kind)
