"""Samples that several tests of the client use: an answer byte for byte, a mutation, an environment."""

from datetime import UTC, datetime

from tests.support.clients import BASE_URL
from workorder_async import Attachment, CloseTicket

#: An answer to get_ticket, as the API document has it.
BASE = (
    '{"errno":10000,"errmsg":"OK","data":{"id":1204,"type":1,"title":"测试","detail":"测试","status":2,"priority":3,'
    '"need_process":false,"creator_id":38361,"creator_name":"姜程","customer_organization_id":1,'
    '"customer_organization_name":"北京金山云网络技术有限公司","product_group_id":36,"updated_time":1635766132,'
    '"started_time":0,"suspended_time":0,"updated_progress_time":0,"finished_time":1632742075,"solved_time":0,'
    '"closed_time":0,"is_solved":false,"is_suspended_notice":false,"reported_time":1632742020,'
    '"created_time":1632742075},"request_id":"f6d607003d4a46ef9633fa670e398355"}'
).encode()

CLOSE = CloseTicket(
    id=1473,
    closer_id=40084,
    closer_name="田金秀",
    is_solved=False,
    detail="这是工单关闭的备注反馈内容",
    solved_time=datetime(2022, 8, 12, 10, 3, 0, tzinfo=UTC),
    handle_attachment=[
        Attachment("test.png", "workorder/40084/dc4ced807eec9218bf2fe9513ebc9b99", 195204, "image/png", 40084)
    ],
)

ENVIRONMENT = {
    "WORKORDER_BASE_URL": f"{BASE_URL}/prefix/",
    "WORKORDER_APP_ID": "demo-app",
    "WORKORDER_APP_SECRET": "demo-secret",
    "WORKORDER_SIGN_SCHEME": "md5:{app_id}{timestamp}{secret}{path}",
}
