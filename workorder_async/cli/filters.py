"""Options that several commands have: the filters, which become queries, and how much of each ticket is read."""

from math import floor
from typing import Annotated, Final

from attrs import evolve, frozen
from cyclopts import Group, Parameter

from workorder_async.cli.connection import Client
from workorder_async.cli.values import TIME_HELP, Age, Time, Whole, member, names
from workorder_async.document import TicketQuery, TicketStatus, TicketType
from workorder_async.errors import ConfigError

#: The help of --page-size.
PAGE_SIZE_HELP: Final = "Tickets to ask for per request, at the most; below 20, 20 are asked for."
_SINCE: Final = f"Created at or after the beginning of it: {TIME_HELP}."


@Parameter(name="*", group=Group("Filters", sort_key=5))
@frozen(kw_only=True)
class TicketFilters:
    """Which tickets; a filter that is left out filters nothing."""

    status: str | None = None
    """pending, processing, closed, cancelled; or 1 to 4, or 待处理 ...; several with commas between"""
    type: str | None = None
    """troubleshooting, feature-request, consultation; or 1 to 3, or 咨询 ..."""
    created_start: Annotated[Time | None, Parameter(name=["--since", "--created-start"], help=_SINCE)] = None
    created_end: Annotated[Time | None, Parameter(name=["--until", "--created-end"])] = None
    """Created until the end of it, written likewise: a day is meant as a whole."""
    older_than: Age | None = None
    """Created longer ago than this, to the second: 30d, 2w."""
    creator_id: Whole | None = None
    """Creator's long staff number (业务平台长工号)."""
    customer: Annotated[str | None, Parameter(name=["--customer", "--customer-organization-name"])] = None
    """Name of the customer."""
    product_group_id: Annotated[tuple[Whole, ...], Parameter(name=["--product-group", "--product-group-id"])] = ()
    """Product line; may be repeated, for any of several."""
    sub_type: Whole | None = None
    """Id of the sub-type."""
    second_subtype: Whole | None = None
    """Id of the second-level sub-type."""

    def queries(self) -> tuple[TicketQuery, ...]:
        """Return a query for each status that is named, else one for all. Raises `ConfigError`, naming the option."""
        start, end = self.created_start, self.created_end
        if end is not None and self.older_than is not None:
            raise ConfigError("say the same", argument=f"{end.option} and {self.older_than.option}", mend="write one")
        end = end or self.older_than
        if start and end:
            start.check_before(end)
        words = [] if self.status is None else names(self.status)
        statuses = dict.fromkeys(member(TicketStatus, word, "--status") for word in words) or [None]
        query = TicketQuery(
            type=None if self.type is None else member(TicketType, self.type, "--type"),
            created_start=None if start is None else start.begun(),
            created_end=None if end is None else end.last(),
            creator_id=self.creator_id,
            customer_organization_name=self.customer,
            product_group_id=self.product_group_id,
            sub_type=self.sub_type,
            second_subtype=self.second_subtype,
        )
        return tuple(evolve(query, status=status) for status in statuses)

    async def by_the_server(self, client: Client) -> tuple[TicketQuery, ...]:
        """Return the queries, with --older-than by the server's clock where that clock is behind ours.

        Else `--older-than 30d` would also take tickets that are younger than 30 days by the server's clock. A clock of
        the server that is ahead of ours changes nothing: then the tickets are even older.
        """
        queries = self.queries()
        if self.older_than is None:
            return queries
        await client.ping()
        behind = floor(min(0.0, client.clock_offset))
        return tuple(evolve(query, created_end=(query.created_end or 0) + behind) for query in queries)

    def steady_times(self) -> list[str]:
        """Return the options of times that depend on the day, such as `--since 7d`, with the same time written out."""
        times = (self.created_start, self.created_end, self.older_than)
        return [steady for time in times if time is not None and (steady := time.steady())]


@frozen(kw_only=True)
class Reading:
    """How much of each ticket is read, and how fast."""

    detail: bool = False
    """Read the full record of each ticket that is written, by a request each."""
    attachments: str | None = None
    """A folder for the tickets' attachments; their full records are read, too."""
    private_addresses: bool = False
    """Fetch attachments from private networks, too, which the URLs of a ticket may lead into."""
    concurrency: Whole = 8
    """Requests in flight at once, at most (a client has 32, and keeps two of them for other calls)."""
    page_size: Annotated[Whole, Parameter(help=PAGE_SIZE_HELP)] = 100
