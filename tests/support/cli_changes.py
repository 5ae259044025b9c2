"""Words that create and close a ticket, and what a sandbox took of them."""

from workorder_async.document import JSON
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
