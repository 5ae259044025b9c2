"""Mutations that a sandbox would carry out."""

from workorder_async import (
    CloseTicket,
    CommentTicket,
    CreateTicket,
    Mutation,
    RejectTicket,
    RetryPolicy,
    TicketQuery,
    TicketStatus,
    WorkorderClient,
)
from workorder_async.sandbox import ClientOptions

KINDS = ("close", "reject", "comment", "create")
#: The endpoint of each kind, as a sandbox names it.
OPERATIONS = {kind: f"{kind}_ticket" for kind in KINDS}
PENDING = TicketQuery(status=TicketStatus.PENDING)
#: Options of a sandbox's client that repeats quickly and waits long enough for any answer.
QUICK: ClientOptions = {"retry": RetryPolicy(first=0.001), "attempt_timeout": 5}


def creation(title: str = "实例无法远程登录") -> CreateTicket:
    """Return a ticket to be created."""
    return CreateTicket(
        title=title,
        detail="重启之后依旧",
        reported_time=1660298580,
        type=1,
        priority=3,
        customer_organization_id=7,
        customer_organization_name="示例客户",
        repository_product_id=3,
        creator_id=38361,
        creator_name="姜程",
    )


def close_of(id: int, name: str) -> CloseTicket:
    """Return a close by the creator of this name."""
    return CloseTicket(id=id, closer_id=40084, closer_name=name, solved_time=1660298580)


async def mutation_of(client: WorkorderClient, kind: str) -> Mutation:
    """Return a mutation of this kind, of the first pending ticket."""
    if kind == "create":
        return creation()
    row = (await client.list_tickets(PENDING)).tickets[0]
    if kind == "close":
        return close_of(row.id, row.creator_name)
    line = (await client.get_ticket(row.id)).product_group_id
    if kind == "reject":
        return RejectTicket(id=row.id, detail="不属于本产品线", productGroupId=line)
    return CommentTicket(id=row.id, detail="已联系客户", productGroupId=line)


#: Mutations, and the keys that they have in journals that exist already.
KEYS: list[tuple[Mutation, str]] = [
    (close_of(1473, "田金秀"), "7ac3d966778d471edbb27dbc308a2a61"),
    (RejectTicket(id=1473, detail="x"), "be866a86661761c2036e22a52b5b6213"),
    (RejectTicket(id=1473, productGroupId=7), "57fbbe920f677b893eeec39924a7b02a"),
    (CommentTicket(id=1473, detail="已联系客户"), "62882410b7f588b6f120eab684f721a6"),
    (CommentTicket(id=1473, detail="已联系客户", productGroupId=7), "b767ac8f6815708eadb1cfcc3ad30047"),
    (creation(), "69ffaefa67de2ff833f35a86abfb064a"),
]
