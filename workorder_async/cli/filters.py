"""The filters of `list`, `export` and batches: those of the API document, as options."""

from typing import Annotated, ClassVar, Final, TypeAlias

from attrs import frozen
from cyclopts import Group, Parameter

from workorder_async.cli.times import TIME_HELP, Time, as_written
from workorder_async.cli.values import Whole, member, names
from workorder_async.document import TicketQuery, TicketStatus, TicketType
from workorder_async.errors import ConfigError

_ONE_TIME: Final = Parameter(converter=as_written, n_tokens=1, accepts_keys=False)
_Since: TypeAlias = Annotated[
    Time | None,
    Parameter(name=["--since", "--created-start"], help=f"Created at or after the beginning of it: {TIME_HELP}."),
    _ONE_TIME,
]
_Until: TypeAlias = Annotated[
    Time | None,
    Parameter(
        name=["--until", "--created-end"],
        help="Created until the end of it, written likewise: a day is meant as a whole.",
    ),
    _ONE_TIME,
]


@Parameter(name="*", group=Group("Filters", sort_key=5))
@frozen(kw_only=True)
class TicketFilters:
    """Which tickets; what is left out filters nothing."""

    product_group_option: ClassVar[str] = "--product-group-id"

    status: Annotated[
        str | None,
        Parameter(help="pending, processing, closed, cancelled; or 1 to 4, or 待处理 ...; several with commas between"),
    ] = None
    type: Annotated[
        str | None, Parameter(help="troubleshooting, feature-request, consultation; or 1 to 3, or 咨询 ...")
    ] = None
    created_start: _Since = None
    created_end: _Until = None
    creator_id: Annotated[Whole | None, Parameter(help="Creator's long staff number (业务平台长工号).")] = None
    customer: Annotated[
        str | None, Parameter(name=["--customer", "--customer-organization-name"], help="Name of the customer.")
    ] = None
    product_group_id: Annotated[
        tuple[Whole, ...],
        Parameter(
            name=["--product-group", "--product-group-id"],
            help="Product line; may be repeated, for any of several.",
            show_default=False,
        ),
    ] = ()
    sub_type: Annotated[Whole | None, Parameter(help="Id of the sub-type.")] = None
    second_subtype: Annotated[Whole | None, Parameter(help="Id of the second-level sub-type.")] = None

    def queries(self) -> tuple[TicketQuery, ...]:
        """Return a query for each status that is named, each once; one query for all where none is.

        Raises `ConfigError` that names the option.
        """
        statuses = [None] if self.status is None else _statuses(self.status)
        return tuple(self._query(status) for status in statuses)

    def steady_times(self) -> list[str]:
        """Return options in place of those whose time is another one tomorrow."""
        times = (self.created_start, self.created_end)
        return [steady for time in times if time is not None and (steady := time.steady())]

    def _query(self, status: TicketStatus | None) -> TicketQuery:
        start, end = self.created_start, self.created_end
        try:
            return TicketQuery(
                status=status,
                type=None if self.type is None else member(TicketType, self.type, "--type"),
                created_start=None if start is None else start.begun(),
                created_end=None if end is None else end.last(),
                creator_id=self.creator_id,
                customer_organization_name=self.customer,
                product_group_id=self.product_group_id,
                sub_type=self.sub_type,
                second_subtype=self.second_subtype,
            )
        except ConfigError as error:
            # The field is told by the option that was written for it.
            text = str(error).replace("TicketQuery.product_group_id", self.product_group_option)
            text = text.replace("TicketQuery.customer_organization_name", "--customer")
            for field, written in (("created_start", start), ("created_end", end)):
                text = text.replace(f"TicketQuery.{field}", written.option if written else field)
            raise ConfigError(text) from None


def _statuses(text: str) -> list[TicketStatus]:
    """Read statuses with commas between them, each once."""
    return list(dict.fromkeys(member(TicketStatus, word, "--status") for word in names(text)))


EVERYTHING: Final = TicketFilters()
"""No filter given."""


@Parameter(name="*", group=Group("Filters", sort_key=5))
@frozen(kw_only=True)
class OtherTicketFilters(TicketFilters):
    """The same filters, for commands whose --product-group-id says who acts."""

    product_group_option: ClassVar[str] = "--in-product-group-id"

    product_group_id: Annotated[
        tuple[Whole, ...],
        Parameter(
            name=["--in-product-group", "--in-product-group-id"],
            help="Product line that has the ticket; may be repeated.",
            show_default=False,
        ),
    ] = ()


EVERYTHING_OF_OTHERS: Final = OtherTicketFilters()
"""No filter given."""
