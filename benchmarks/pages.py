"""The list that every benchmark reads: answers of `list_tickets` as bytes, the same on every machine.

A ticket takes about 1.5 kB, nearly all of it Chinese text, and has the types that the API document gives for a row of
the list (响应示例 of 工单列表). All of it is invented.
"""

from random import Random

import orjson

PAGE_SIZE = 100
FIRST_ID = 1_000_001
FIRST_CREATED = 1_672_502_400
SECONDS_APART = 61

_DETAIL_LENGTH = 330

_PEOPLE = ("陈以安", "林书瑶", "周明轩", "何清越", "沈知行", "陆雨桐", "顾长风", "苏念慈")
_CUSTOMERS = ("北京晨曦网络科技有限公司", "上海远山信息技术有限公司", "深圳云帆供应链有限公司", "成都星河互动有限公司")
_LINES = ("云服务器", "对象存储", "云数据库", "负载均衡", "内容分发网络", "容器服务")
_TITLES = (
    "实例无法远程登录",
    "控制台操作报错",
    "响应时间明显变长",
    "监控数据中断",
    "扩容后性能没有提升",
    "咨询计费规则",
)
_TAGS = ("重点客户", "紧急恢复", "配置错误", "容量不足", "待客户反馈")
_SENTENCES = (
    "客户反馈业务高峰期出现异常，控制台偶尔提示“请求超时”，刷新之后恢复正常。",
    "已按文档重启实例并检查网络配置，现象依旧；同一账号下的其他实例没有受到影响。",
    "近一周内出现过三次，每次持续约十分钟，相关日志与抓包文件已经整理完毕。\n",
    "客户侧监控在凌晨 02:30 触发告警，CPU 使用率达到 97.5%，内存与磁盘均无明显变化。",
    "临时方案是切换到备用节点，业务已恢复，但客户希望在本周内得到根本原因。",
    "涉及的配额与权限均已核对无误，客户表示此前未做任何变更。\n",
    "请协助定位原因并给出处理建议，今天下班前需要给客户一个初步答复。",
)


def page(number: int, total: int) -> bytes:
    """Return the answer to a request for this page (from 1) of a list of `total` tickets, the newest first."""
    random = Random(number)
    first = (number - 1) * PAGE_SIZE
    rows = [_row(random, total - 1 - place) for place in range(first, min(first + PAGE_SIZE, total))]
    data = {"pagination": {"page_size": PAGE_SIZE, "total": total}, "tickets": rows}
    return orjson.dumps({"data": data, "errmsg": "OK", "errno": 10000, "request_id": f"{random.getrandbits(128):032x}"})


def pages(total: int) -> list[bytes]:
    """Return the answers for all pages of a list of `total` tickets; an empty list has one page."""
    return [page(number, total) for number in range(1, page_count(total) + 1)]


def page_count(total: int) -> int:
    """Return how many pages a list of `total` tickets has."""
    return max(1, -(-total // PAGE_SIZE))


def _row(random: Random, index: int) -> dict[str, int | str]:
    created = FIRST_CREATED + index * SECONDS_APART
    status = random.choice("1233")
    line = random.choice(_LINES)
    return {
        "closed_time": created + random.randrange(90_000) if status == "3" else 0,
        "created_time": created,
        "creator_name": random.choice(_PEOPLE),
        "customer_organization_name": random.choice(_CUSTOMERS),
        "customer_user_id": str(random.randrange(70_000_000, 79_000_000)),
        "detail": _detail(random),
        "form_values": f'{{"实例ID": "i-{random.getrandbits(40):010x}", "影响范围": "单个实例"}}',
        "handler": random.randrange(210_001, 210_099),
        "id": FIRST_ID + index,
        "manager": random.randrange(210_001, 210_099),
        "need_process": random.randrange(2),
        "priority": random.choice("1233"),
        "product_group": line,
        "reported_time": created - random.randrange(7_200),
        "status": status,
        "tags": ",".join(random.sample(_TAGS, random.randrange(3))),
        "title": f"【{line}】{random.choice(_TITLES)}",
        "type": random.randrange(1, 4),
        "sub_type": random.randrange(11, 33),
        "second_subtype": random.randrange(111, 333),
    }


def _detail(random: Random) -> str:
    text = ""
    while len(text) < _DETAIL_LENGTH:
        text += random.choice(_SENTENCES)
    return text
