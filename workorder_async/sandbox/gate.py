"""Who may ask: the three headers of every request, checked against its bytes (API document: 请求Header)."""

import hmac
import re
from collections.abc import Mapping

from workorder_async.sandbox.errnos import Errno, Refused
from workorder_async.secret import Secret
from workorder_async.signing.scheme import Scheme, SigningInput

#: How far `Timestamp` may be from the server's clock, in seconds.
TOLERANCE = 300


class Gate:
    """Knows one application, its secret and its signing scheme."""

    def __init__(self, app_id: str, app_secret: Secret, scheme: Scheme) -> None:
        self._app_id = app_id
        self._secret = app_secret
        self._scheme = scheme

    def check_headers(self, headers: Mapping[str, str], now: float) -> None:
        """Refuse an unknown AppId, and a timestamp (seconds or milliseconds) that is far from `now` (seconds)."""
        if "AppId" not in headers:
            raise Refused(Errno.APP_ID, "AppId 缺失")
        if headers["AppId"] != self._app_id:
            raise Refused(Errno.APP_ID, f"AppId {headers['AppId']!r} 未注册")
        timestamp = headers.get("Timestamp", "")
        if not re.fullmatch(r"[0-9]{9,14}", timestamp):
            raise Refused(Errno.TIMESTAMP, f"Timestamp {timestamp!r} 不是秒级或毫秒级时间戳")
        seconds = int(timestamp) / (1000 if len(timestamp) > 11 else 1)
        away = abs(seconds - now)
        if away > TOLERANCE:
            raise Refused(Errno.TIMESTAMP, f"Timestamp 与服务器时间相差 {away:.0f} 秒, 超过 {TOLERANCE} 秒")

    def check_signature(self, headers: Mapping[str, str], request: SigningInput) -> None:
        """Refuse a `Sign` that is not the signature of these bytes; reads the whole body where the scheme does."""
        wanted = self._scheme.signature(
            request, app_id=self._app_id, secret=self._secret, timestamp=headers["Timestamp"]
        )
        got = headers.get("Sign", "")
        if not hmac.compare_digest(got.encode(errors="surrogateescape"), wanted.encode()):
            raise Refused(Errno.SIGN, "Sign 与请求内容不符, 请检查密钥和签名算法")
