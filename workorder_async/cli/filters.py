"""The filters of `list`, `export` and batches: those of the API document, as options."""

from typing import Annotated, Final

from attrs import frozen
from cyclopts import Group, Parameter

from workorder_async.cli.values import TIME_HELP, Whole, point_in_time
from workorder_async.errors import ConfigError
from workorder_async.models import TicketQuery, TicketStatus, TicketType


@Parameter(name="*", group=Group("Filters", sort_key=5))
@frozen(kw_only=True)
class TicketFilters:
    """Which tickets; what is left out filters nothing."""

    status: Annotated[
        str | None, Parameter(help="pending, processing, closed, cancelled; or 1 to 4, or 待处理 ...")
    ] = None
    type: Annotated[
        str | None, Parameter(help="troubleshooting, 'feature request', consultation; or 1 to 3, or 咨询 ...")
    ] = None
    created_start: Annotated[str | None, Parameter(help=f"Created at or after: {TIME_HELP}.")] = None
    created_end: Annotated[str | None, Parameter(help="Created until, written likewise.")] = None
    creator_id: Annotated[Whole | None, Parameter(help="Creator's long staff number (业务平台长工号).")] = None
    customer: Annotated[
        str | None, Parameter(name=["--customer", "--customer-organization-name"], help="Name of the customer.")
    ] = None
    product_group_id: Annotated[
        tuple[Whole, ...], Parameter(help="Product line; may be repeated, for any of several.", show_default=False)
    ] = ()
    sub_type: Annotated[Whole | None, Parameter(help="Id of the sub-type.")] = None
    second_subtype: Annotated[Whole | None, Parameter(help="Id of the second-level sub-type.")] = None

    def query(self) -> TicketQuery:
        """Return the query. Raises `ConfigError` that names the option."""
        start, end = self.created_start, self.created_end
        return TicketQuery(
            status=None if self.status is None else TicketStatus.parse(self.status),
            type=None if self.type is None else TicketType.parse(self.type),
            created_start=None if start is None else point_in_time(start, "--created-start"),
            created_end=None if end is None else point_in_time(end, "--created-end"),
            creator_id=self.creator_id,
            customer_organization_name=self.customer,
            product_group_id=self.product_group_id,
            sub_type=self.sub_type,
            second_subtype=self.second_subtype,
        )


EVERYTHING: Final = TicketFilters()
"""No filter given."""


@Parameter(name="*", group=Group("Filters", sort_key=5))
@frozen(kw_only=True)
class OtherTicketFilters(TicketFilters):
    """The same filters, for commands whose --product-group-id says who acts."""

    product_group_id: Annotated[
        tuple[Whole, ...],
        Parameter(
            name="--in-product-group-id", help="Product line that has the ticket; may be repeated.", show_default=False
        ),
    ] = ()

    def query(self) -> TicketQuery:
        """Return the query. Raises `ConfigError` that names the option."""
        try:
            return TicketFilters.query(self)
        except ConfigError as error:
            renamed = str(error).replace("TicketQuery.product_group_id", "--in-product-group-id")
            raise ConfigError(renamed) from None


EVERYTHING_OF_OTHERS: Final = OtherTicketFilters()
"""No filter given."""
