"""What is said where no signing scheme was found: what the signature shows, what was tried, and whom to ask what."""

from typing import Final

from workorder_async.signing.search import implied

_TRIED: Final = (
    "AppId, Timestamp, secret, method, path, query and body (as it is, with sorted keys, as pairs, or its digest) in "
    "every order, with any one separator or two in turn; the secret once, before and after, or as the key of an HMAC; "
    "key=value in each case of letters, sorted or not, with the secret as a value or glued on; digests of digests, and "
    "the secret's digest in its place"
)
_LETTER: Final = (
    "您好，我们正在对接工单开放接口（AppId：{app_id}）。接口文档写明请求头需要 AppId、Timestamp 和 Sign，"
    "但签名算法在另一份文档《api接口鉴权》中，我们没有拿到。麻烦提供该文档，或者答复以下几点："
    "1）摘要算法是哪一种（MD5、SHA-1、SHA-256、SM3 等），是否为 HMAC，HMAC 的密钥是什么；"
    "2）哪些内容参与签名（AppId、Timestamp、密钥、请求方法、路径、查询参数、请求体），它们的先后顺序、分隔符或参数名是什么，"
    "密钥放在什么位置；"
    "3）请求体按原文、按键名排序后、还是先取摘要再参与签名，GET 请求和上传文件时如何处理；"
    "4）Timestamp 的单位是秒还是毫秒，允许多大的时间误差；"
    "5）Sign 如何编码（十六进制大小写、Base64），有没有前缀；"
    "6）一个完整的示例：测试用的密钥、请求的各个组成部分、待签名的字符串，以及最终的 Sign。谢谢！"
)


def advice(*, app_id: str, sign: str, tried: int, whole: bool) -> list[str]:
    """Return the paragraphs to print; the last is a letter in Chinese to those who run the platform."""
    rest = (
        "" if whole else "; method, path, query and body were not given: add --curl, or --path, --query and --body-file"
    )
    return [
        "workorder: no scheme that was tried gives this Sign; check that AppId, Timestamp, Sign and secret belong to "
        f"one and the same request, unchanged{rest}",
        f"the signature: {implied(sign)}",
        f"tried: {tried:,} signatures: {_TRIED}",
        "if it is none of these, write a Signer of your own (see workorder_async.Signer), or ask those who run the "
        "platform; a letter to send:",
        _LETTER.format(app_id=app_id),
    ]
