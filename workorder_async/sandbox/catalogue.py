"""The sandbox's master data, the same in every sandbox: people, customers, product lines, tags, sub-types, forms.

All of it is invented; the first two names stand in the API document's examples. A person's id is a long staff number of
the business platform (业务平台长工号). Names are unique, so a name stands for its person.
"""

from collections.abc import Mapping

from attrs import frozen


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
    for index, (city, trade) in enumerate((city, trade) for trade in _TRADES.split() for city in _CITIES.split())
)


@frozen
class ProductLine:
    """A product line: who answers for it, who handles its tickets, and for which group of users they act."""

    id: int
    name: str
    manager: Named
    members: tuple[Named, ...]
    user_group_id: int


_LINES = (
    "云服务器 裸金属服务器 云硬盘 对象存储 云数据库 缓存数据库 "
    "负载均衡 虚拟私有网络 内容分发网络 容器服务 日志服务 大数据平台"
)

#: Every product line by its id; 36 is the one of the API document's example.
PRODUCT_LINES: Mapping[int, ProductLine] = {
    36 + index: ProductLine(
        id=36 + index,
        name=name,
        manager=PEOPLE[index % len(PEOPLE)],
        members=tuple(PEOPLE[(index * 3 + step) % len(PEOPLE)] for step in range(1, 5)),
        user_group_id=136 + index,
    )
    for index, name in enumerate(_LINES.split())
}

#: When the master data was made: 2022-06-01 00:00:00 China Standard Time.
_MADE = 1654012800


def product_line(id: int) -> ProductLine:
    """Return a product line; one that the sandbox does not know has a made-up name and nobody in it."""
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

#: The fields of every form: name, kind (1 text, 3 drop-down, 4 radio), what may be chosen, whether it must be filled.
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
