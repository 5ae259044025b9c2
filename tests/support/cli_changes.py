"""Words that create and close a ticket, a ticket that is there at once, and what a sandbox took of them."""

import asyncio

from workorder_async.document import JSON, CreateTicket, Priority, TicketType
from workorder_async.sandbox import Sandbox

REQUIRED = {
    "--title": "实例无法启动",
    "--detail": "报错见附件",
    "--reported-time": "2024-01-31T09:30",
    "--type": "troubleshooting",
    "--priority": "紧急",
    "--customer-organization-id": "5001",
    "--customer-organization-name": "北京晨曦网络科技有限公司",
    "--repository-product-id": "36",
    "--creator-id": "210002",
    "--creator-name": "姜程",
}

CREATE = ["create", *(word for pair in REQUIRED.items() for word in pair)]

CLOSER = ["--closer-id", "40084", "--closer-name", "姜程"]


def sent(sandbox: Sandbox, operation: str, id: int) -> dict[str, JSON]:
    """Return the body of the last change of this kind to this ticket, as the sandbox took it."""
    return dict([one for one in sandbox.applied if one.operation == operation and one.ticket_id == id][-1].request)


def created(sandbox: Sandbox, creator: str = "姜程", title: str = REQUIRED["--title"], creator_id: int = 210002) -> int:
    """Create a ticket as the words above do, in a tenth of the time that a command line takes."""
    ticket = CreateTicket(
        title=title,
        detail=REQUIRED["--detail"],
        reported_time=1706664600,
        type=TicketType.TROUBLESHOOTING,
        priority=Priority.URGENT,
        customer_organization_id=5001,
        customer_organization_name=REQUIRED["--customer-organization-name"],
        repository_product_id=36,
        creator_id=creator_id,
        creator_name=creator,
    )

    async def create() -> int:
        async with sandbox.client() as client:
            return await client.create_ticket(ticket)

    return asyncio.run(create())
