"""The data source with short attempts: an earlier attempt's request is waited for until it can no longer come."""

from typing import Unpack

from workorder_async import WorkorderClient
from workorder_async.integrations.spark import WorkorderDataSource
from workorder_async.wire.options import ClientOptions


class QuickSource(WorkorderDataSource):
    """Gives a request up after four seconds; a look some eight seconds later proves that it was not carried out."""

    @classmethod
    def name(cls) -> str:
        """Return the name of the format."""
        return "quick"

    @staticmethod
    def connect(**options: Unpack[ClientOptions]) -> WorkorderClient:
        """Make the client of a task."""
        options["attempt_timeout"], options["deadline"] = 4, 40
        return WorkorderClient.from_env(**options)
