"""Invented data, in Chinese and plausible: master data that each sandbox has, and its first tickets.

The master data are people, customers, product lines, tags, sub-types and forms; the first two people have the names in
the API document's examples. A person's id is a long staff number of the business platform (业务平台长工号). No two
people have one name, so a name identifies a person. The same count, seed and end give the same tickets on any machine.
"""

import random
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import TypeAlias, TypeVar

from attrs import frozen

from workorder_async.arguments import whole_within
from workorder_async.sandbox.files import invented_files
from workorder_async.sandbox.store import BLANK, Action, Record, new_assign, packed, step


@frozen
class Named:
    """A person or a customer: an id and a name."""

    id: int
    name: str


_NAMES = (
    "田金秀 姜程 陈以安 林书瑶 周明轩 何清越 沈知行 陆雨桐 顾长风 苏念慈 韩子昂 唐若溪 许嘉树 邓晓岚 冯启明 曹静姝 "
    "彭远航 萧语晴 程立新 袁慧中 潘景行 杜若兰 戴承志 夏听雨 钟毓秀 汪德宁 任思齐 姚望舒 卢永康 傅采薇 丁一鸣 崔雅琴"
)

#: Everybody who creates, handles or answers for tickets.
PEOPLE: tuple[Named, ...] = tuple(Named(210001 + index, name) for index, name in enumerate(_NAMES.split()))

_CITIES = "北京 上海 广州 深圳 杭州 成都 武汉 西安"
_TRADES = "晨曦网络科技 远山信息技术 星河互动娱乐 安和在线教育 云帆供应链"

#: The customers' companies.
CUSTOMERS: tuple[Named, ...] = tuple(
    Named(5001 + index, f"{city}{trade}有限公司")
    for index, (trade, city) in enumerate(product(_TRADES.split(), _CITIES.split()))
)


@frozen
class ProductLine:
    """A product line: who answers for it, who handles its tickets, and for which group of users they act."""

    id: int
    name: str
    manager: Named
    members: tuple[Named, ...]
    user_group_id: int


_LINE_NAMES = (
    "云服务器 裸金属服务器 云硬盘 对象存储 云数据库 缓存数据库 "
    "负载均衡 虚拟私有网络 内容分发网络 容器服务 日志服务 大数据平台"
)

#: Every product line by its id; 36 stands in the API document's example.
PRODUCT_LINES: Mapping[int, ProductLine] = {
    36 + index: ProductLine(
        id=36 + index,
        name=name,
        manager=PEOPLE[index % len(PEOPLE)],
        members=tuple(PEOPLE[(index * 3 + step) % len(PEOPLE)] for step in range(1, 5)),
        user_group_id=136 + index,
    )
    for index, name in enumerate(_LINE_NAMES.split())
}

#: When the master data was made: 2022-06-01 00:00:00 China Standard Time.
_MADE = 1654012800


def product_line(id: int) -> ProductLine:
    """Return a product line; for an unknown id one with a made-up name and no people."""
    return PRODUCT_LINES.get(id) or ProductLine(id, f"产品线{id}", Named(0, ""), (), 0)


_TAG_NAMES = (
    "重点客户 紧急恢复 版本缺陷 配置错误 容量不足 网络抖动 计费咨询 文档缺失 安全合规 迁移上云 重复问题 待客户反馈"
)

#: The tags (schema Tag) by id; the last one is not in use any more.
TAGS: Mapping[int, Mapping[str, int | bool | str]] = {
    index: {
        "created_time": _MADE,
        "id": index,
        "is_deleted": False,
        "is_enabled": index < 12,
        "name": name,
        "updated_time": _MADE,
    }
    for index, name in enumerate(_TAG_NAMES.split(), start=1)
}

#: Names of the sub-types; the first digit is the ticket's type.
SUB_TYPES: Mapping[int, str] = {
    11: "服务不可用",
    12: "性能下降",
    13: "功能异常",
    21: "新功能",
    22: "功能改进",
    31: "使用咨询",
    32: "计费咨询",
}

#: Names of the second-level sub-types; the first two digits are the sub-type.
SECOND_SUBTYPES: Mapping[int, str] = {
    sub_type * 10 + index: f"{name}-{kind}"
    for sub_type, name in SUB_TYPES.items()
    for index, kind in enumerate(("单客户", "多客户"), start=1)
}

REGIONS = ("北京", "上海", "广州", "香港")
SCOPES = ("单个实例", "多个实例", "整个可用区")

#: The fields of every form: name, kind (1 text, 3 drop-down, 4 radio), choices, whether it must be filled.
_FORM: tuple[tuple[str, int, str, int], ...] = (
    ("实例ID", 1, "", 1),
    ("地域", 3, ",".join(REGIONS), 1),
    ("影响范围", 4, ",".join(SCOPES), 0),
)


def form_fields(form_id: int) -> list[dict[str, int | bool | str]]:
    """Return the fields of a form (schema TicketFormField); a form has its product line's id, 0 is no form."""
    return [
        {
            "created_time": _MADE,
            "display_name": name,
            "display_order": order,
            "display_remarks": "",
            "form_id": form_id,
            "id": form_id * 10 + order,
            "is_deleted": False,
            "is_required": required,
            "options": options,
            "type": kind,
            "updated_time": _MADE,
        }
        for order, (name, kind, options, required) in enumerate(_FORM if form_id else (), start=1)
    ]


#: The first seeded ticket's id; the others follow in the order of their creation.
FIRST_ID = 1001
#: Seeded tickets are created in the two years before an end, evenly.
SPAN = 730 * 86400
#: The end, if none is given: 2024-12-31 00:00:00 China Standard Time.
END = 1735574400

# The ticket of the API document's examples of close_ticket, so that these requests work in a sandbox as they are (but
# for the comma at the end of the first one).
_EXAMPLE_ID = 1473

_HOUR = 3600
# The shares of the statuses 1 to 4, added up: 20 % are pending, 25 % in process, 50 % closed, 5 % cancelled.
_SHARES = (0.2, 0.45, 0.95)
_T = TypeVar("_T")
_Chance: TypeAlias = Callable[[], float]

_LINES = tuple(PRODUCT_LINES.values())
_TAG_IDS = tuple(TAGS)

_TROUBLES = (
    "实例无法远程登录 控制台操作报错 响应时间明显变长 监控数据中断 连接间歇性超时 夜间出现大量错误码 扩容后性能没有提升"
)
_WISHES = "希望支持批量操作 希望增加按标签筛选 希望导出使用明细 希望告警支持自定义模板 希望开放更多接口"
_QUESTIONS = "咨询规格选型 咨询跨地域迁移方案 咨询计费规则 咨询备份策略 咨询白名单配置"
_TITLES = {1: _TROUBLES.split(), 2: _WISHES.split(), 3: _QUESTIONS.split()}
_OPENINGS = (
    *("客户反馈业务高峰期出现异常", "客户在例行巡检中发现问题", "客户升级版本之后来电说明情况"),
    *("客户运维同事今天上午提交了截图", "客户计划下月扩大使用规模", "客户侧监控在凌晨触发告警"),
)
_MIDDLES = (
    *("已按文档重启并检查网络配置，现象依旧", "同一账号下的其他实例没有受到影响"),
    *("近一周内出现过三次，每次持续约十分钟", "相关日志与抓包文件已经整理完毕"),
    *("客户希望由产品线同事直接沟通技术细节", "临时方案是切换到备用节点，业务已恢复", "客户表示此前未做任何变更"),
    "涉及的配额与权限均已核对无误",
)
_ENDINGS = (
    *("请协助定位原因并给出处理建议。", "请评估可行性并反馈预计时间。", "麻烦今天下班前给客户一个初步答复。"),
    *("请确认影响范围，谢谢。", "请给出最佳实践供客户参考。"),
)
_COMMENTS = ("已联系客户补充信息。", "正在复现问题。", "已转交研发同事排查。", "客户同意观察一天。")
# So many tickets are made once for all sandboxes of a process: they take three megabytes.
_FEW = 1000


def seeding(count: int, seed: int, until: int | None) -> Callable[[], Iterator[Record]]:
    """Return a function that makes these `tickets`. Raises `ConfigError` for a wrong argument of `Sandbox`."""
    whole_within("tickets", count, 0, 10**8)
    whole_within("until", END if until is None else until, SPAN, 10**11)
    whole_within("seed", seed, 0, 2**63)
    return lambda: iter((_kept if count <= _FEW else tickets)(count, seed, until))


@lru_cache(maxsize=16)
def _kept(count: int, seed: int, until: int | None) -> tuple[Record, ...]:
    """Return a few tickets, to be kept: a test suite opens the same sandbox for each test."""
    return tuple(tickets(count, seed, until))


def tickets(count: int, seed: int, until: int | None = None) -> Iterator[Record]:
    """Yield `count` rows of the tickets' table, in the order of their ids and of their creation.

    `until` is the end of the two years in which they were created; then no other time of a ticket is after it either.
    """
    chance = random.Random(seed).random  # noqa: S311 - plausible data, not a secret
    begin = (END if until is None else until) - SPAN
    created = begin
    for index in range(count):
        # Some tickets share one second, as after an import: a client must not rely on an order by time alone.
        if not index or chance() > 0.02:
            created = begin + int((index + chance()) * SPAN / count)
        yield ticket(chance, FIRST_ID + index, created, until=until)


def _pick(chance: _Chance, choices: Sequence[_T]) -> _T:
    return choices[int(chance() * len(choices))]


def ticket(chance: _Chance, id: int, created: int, status: int | None = None, *, until: int | None = None) -> Record:
    """Return the row of one ticket, of this status or of a random one; `chance` returns random numbers from 0 to 1."""
    line = _pick(chance, _LINES)
    creator, customer, handler = _pick(chance, PEOPLE), _pick(chance, CUSTOMERS), _pick(chance, line.members)
    any_status = 1 + bisect(_SHARES, chance())
    if id == _EXAMPLE_ID:
        creator, any_status = PEOPLE[0], 2
    status = any_status if status is None else status
    type_ = 1 + int(chance() * 3)
    sub_type = _pick(chance, [one for one in SUB_TYPES if one // 10 == type_])
    times = _times(chance, status, created, until)
    account = 70_000_000 + int(chance() * 9_000_000)
    return {
        **BLANK,
        **times,
        "id": id,
        "status": status,
        "type": type_,
        "sub_type": sub_type,
        "second_subtype": _pick(chance, [one for one in SECOND_SUBTYPES if one // 10 == sub_type]),
        "creator_id": creator.id,
        "creator_name": creator.name,
        "product_group_id": line.id,
        "customer_organization_id": customer.id,
        "customer_organization_name": customer.name,
        "customer_user_id": str(account),
        "priority": 3 - int(chance() * chance() * 3),
        "need_process": chance() < 0.7,
        "is_solved": status == 3 and chance() < 0.8,
        "is_suspended_notice": bool(times["suspended_time"]),
        "handler": handler.id if times["started_time"] else 0,
        "form_id": line.id,
        "feedback": str(1 + int(chance() * 5)) if status == 3 else "",
        "feishu_group_id": f"oc_{id:08x}" if status == 2 else "",
        "im_group_id": str(10_000_000 + id) if status == 2 else "",
        "title": line.name + _pick(chance, _TITLES[type_]),
        "detail": _detail(chance),
        "tags": packed(sorted({_pick(chance, _TAG_IDS) for _ in range(int(chance() * 3))})),
        "customer_info": _customer_info(chance, account),
        # One ticket in ten has one or two files. The number of the account decides: another call of `chance` would
        # change all tickets of a seed.
        "attachment": packed(invented_files(id, max(2 - account % 20, 0))),
        "assigns": _assigns(chance, times, creator, handler, line),
        "form_values": _form_values(chance, id),
    }


def _times(chance: _Chance, status: int, created: int, until: int | None) -> Record:
    """Return the times of a ticket up to its status, each from the one before it on; none is after `until`."""
    times = dict.fromkeys(("started_time", "finished_time", "solved_time", "closed_time", "suspended_time"), 0)
    latest = created
    reached = {1: (), 2: ("started_time",), 3: ("started_time", "finished_time", "solved_time", "closed_time"), 4: ()}
    for name in reached[status]:
        latest += 60 + int(chance() * 12 * _HOUR)
        times[name] = latest
    if status == 2 and chance() < 0.5:
        latest += int(chance() * _HOUR)
        times["suspended_time" if chance() < 0.2 else "finished_time"] = latest
    reported = created - int(chance() * 2 * _HOUR)
    if until is not None:
        latest = min(latest, until)
        times.update({name: min(time, until) for name, time in times.items()})
    times |= {"reported_time": reported, "created_time": created, "updated_time": latest}
    return {**times, "updated_progress_time": times["started_time"]}


def _detail(chance: _Chance) -> str:
    first = int(chance() * len(_MIDDLES))
    second = first - 1 - int(chance() * (len(_MIDDLES) - 1))
    sentences = (_pick(chance, _OPENINGS), _MIDDLES[first], _MIDDLES[second], f"涉及地域为{_pick(chance, REGIONS)}")
    return "。".join((*sentences, _pick(chance, _ENDINGS)))


def _customer_info(chance: _Chance, account: int) -> str:
    director = _pick(chance, PEOPLE)
    info = {
        "attribute": 1 + int(chance() * 2),
        "business_director_id": director.id,
        "business_director_name": director.name,
        "level": 1 + int(chance() * 5),
        "user_id": account,
    }
    return packed([info])


def _form_values(chance: _Chance, id: int) -> str:
    instance = f"i-{id:06x}{int(chance() * 0xFFFFFF):06x}"
    return packed({"实例ID": instance, "地域": _pick(chance, REGIONS), "影响范围": _pick(chance, SCOPES)})


def _assigns(chance: _Chance, times: Record, creator: Named, handler: Named, line: ProductLine) -> str:
    created, started = times["created_time"], times["started_time"]
    assign = new_assign(line.id, created, [step(Action.CREATED, created, creator.id, creator.name)])
    if started:
        assign.update(user_id=handler.id, user_name=handler.name, status=2, handled_time=started, updated_time=started)
        assign["history"].append(step(Action.ACCEPTED, started, handler.id, handler.name))
        if chance() < 0.3:
            words = _pick(chance, _COMMENTS)
            assign["history"].append(step(Action.COMMENTED, started, handler.id, handler.name, words))
    if finished := times["finished_time"]:
        assign.update(status=3, finished_time=finished, updated_time=finished)
        assign["history"].append(step(Action.FINISHED, finished, handler.id, handler.name))
    if closed := times["closed_time"]:
        assign["updated_time"] = closed
        assign["history"].append(step(Action.CLOSED, closed, creator.id, creator.name))
    assigns = [assign]
    if chance() < 0.1:
        other = _pick(chance, _LINES)
        if other is not line:
            assigns.append(new_assign(other.id, created, []))
    return packed(assigns)
