"""Signing schemes as people build them, signed by a second hand: plain hashlib and hmac, nothing of the package.

Each is a function of what a request sends, and says which request shows it. Those over a whole request end in an MD5,
since each further digest is another search of seconds; those over the headers alone end in every digest.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

from attrs import frozen


@frozen(kw_only=True)
class Sent:
    """What one request sends, and the secret that it was signed with."""

    app: str
    ts: str
    secret: str
    method: str
    path: str
    query: str = ""
    body: str = ""

    @property
    def fields(self) -> dict[str, Any]:
        """The body's fields."""
        found: dict[str, Any] = json.loads(self.body) if self.body else {}
        return found


_POST = {"app": "ops-bot-7", "secret": "Qz8!kd02mmX", "method": "POST", "path": "/workorder/api/ticket/close_ticket"}
_GET = {"app": "ops-bot-7", "secret": "Qz8!kd02mmX", "method": "GET", "path": "/workorder/api/ticket/base"}
_BODIES = (
    '{"page":1,"page_size":50,"creator_name":"姜程","filter":{"b":2,"a":1}}',
    '{"title":"磁盘 \\"full\\"","id":1473,"closer_id":40084,"tags":["x","y"],"done":true}',
)
_TIMES = {"s": ("1731916800", "1764064927"), "ms": ("1731916800123", "1764064927456")}


def sent(kind: str, unit: str, which: int) -> Sent:
    """Return the first or the second request: a `post` with a body, or a `get` with a query; `bare` is either."""
    time = _TIMES[unit][which]
    if kind == "get":
        return Sent(**_GET, ts=time, query=("id=1473", "id=9&view=all")[which])
    return Sent(**_POST, ts=time, body=_BODIES[which])


@frozen
class HomeMade:
    """One scheme: its name, the request that shows it, the unit of its Timestamp, and what signs."""

    name: str
    kind: str
    unit: str
    sign: Callable[..., str]


def hexed(digest: str, text: str) -> str:
    """Return the lower-case hex of a text's digest."""
    return hashlib.new(digest, text.encode()).hexdigest()


def mac(digest: str, key: str, text: str) -> str:
    """Return the lower-case hex of a text's HMAC."""
    return hmac.new(key.encode(), text.encode(), digest).hexdigest()


def b64(text: str) -> str:
    """Return the base64 of the bytes that a hex says."""
    return base64.b64encode(bytes.fromhex(text)).decode()


def b64url(text: str) -> str:
    """Return the base64url of the bytes that a hex says."""
    return base64.urlsafe_b64encode(bytes.fromhex(text)).decode()


def pairs(fields: dict[str, Any]) -> list[str]:
    """Return k=v of each field: texts as they are, all else as compact JSON."""
    return [
        f"{key}={one if isinstance(one, str) else json.dumps(one, ensure_ascii=False, separators=(',', ':'))}"
        for key, one in fields.items()
    ]


def compact(sent: Sent) -> str:
    """Return the body with its keys sorted, without blanks."""
    return json.dumps(sent.fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def python(sent: Sent) -> str:
    """Return the body as Python writes it, with its keys sorted."""
    return json.dumps(sent.fields, sort_keys=True)


def _taobao(sent: Sent, fields: list[str]) -> str:
    """Return the MD5 of the secret around sorted keys and values, with nothing between them."""
    every = sorted([*fields, f"app_id={sent.app}", f"timestamp={sent.ts}"])
    text = "".join(one.replace("=", "", 1) for one in every)
    return hexed("md5", f"{sent.secret}{text}{sent.secret}").upper()


ALL: list[HomeMade] = []


def _add(name: str, sign: Callable[..., str], kind: str = "bare", unit: str = "s") -> None:
    ALL.append(HomeMade(name, kind, unit, sign))


def _simple() -> None:
    for digest in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sm3"):
        _add(f"{digest} app ts secret", lambda r, d=digest: hexed(d, r.app + r.ts + r.secret))
        _add(f"hmac {digest} app ts", lambda r, d=digest: mac(d, r.secret, r.app + r.ts))
        _add(f"hmac {digest} ts", lambda r, d=digest: mac(d, r.secret, r.ts))
        _add(f"{digest} twice", lambda r, d=digest: hexed(d, r.secret + r.app + r.ts + r.secret))
    for order in ("ast", "ats", "tas", "tsa", "sat", "sta", "ts", "st"):
        _add(
            f"md5 {order} HEX ms",
            lambda r, o=order: hexed("md5", "".join({"a": r.app, "t": r.ts, "s": r.secret}[c] for c in o)).upper(),
            unit="ms",
        )
    for joint in ("&", ":", "-", "_", "|", ",", "+", ".", "#", "@", "/", " ", "\n", ";", "~", "\t"):
        _add(f"sha256 joined {joint!r}", lambda r, j=joint: hexed("sha256", j.join((r.app, r.ts, r.secret))))
        _add(f"md5 around {joint!r}", lambda r, j=joint: hexed("md5", j.join((r.secret, r.ts, r.app, r.secret))))
    for one, other in ((":", "|"), ("&", "="), ("-", "_"), ("|", "#"), ("\n", ":"), (";", "~"), (",", "")):
        _add(
            f"sha1 in turn {one!r} {other!r}", lambda r, i=one, j=other: hexed("sha1", f"{r.app}{i}{r.ts}{j}{r.secret}")
        )
        _add(
            f"sha256 in turn {one!r} {other!r} around",
            lambda r, i=one, j=other: hexed("sha256", f"{r.secret}{i}{r.app}{j}{r.ts}{i}{r.secret}"),
        )


def _encoded() -> None:
    _add("base64 sha256", lambda r: b64(hexed("sha256", r.secret + r.ts + r.app)))
    _add("base64 unpadded", lambda r: b64(mac("sha256", r.secret, r.app + r.ts)).rstrip("="))
    _add("base64url", lambda r: b64url(mac("sha1", r.secret, r.ts + r.app)))
    _add("base64url unpadded", lambda r: b64url(mac("sha512", r.secret, f"{r.ts}\n{r.app}")).rstrip("="))
    _add("base64 of hex", lambda r: base64.b64encode(mac("sha256", r.secret, r.ts).encode()).decode())
    _add("prefix sha256=", lambda r: "sha256=" + mac("md5", r.secret, r.body), "post")
    _add("prefix HMAC", lambda r: "HMAC " + b64(mac("md5", r.secret, f"{r.method}\n{r.path}\n{r.ts}")), "post")
    _add("prefix v1:", lambda r: "v1:" + mac("md5", r.secret, f"{r.ts}.{r.body}"), "post")
    _add("prefix MD5, HEX", lambda r: "MD5 " + hexed("md5", r.app + r.secret + r.ts).upper())
    _add("sm3 base64 ms", lambda r: b64(mac("sm3", r.secret, f"{r.app}|{r.ts}")), unit="ms")
    _add("sha384 HEX", lambda r: hexed("sha384", f"{r.ts}-{r.app}-{r.secret}").upper())


def _named() -> None:
    names = (
        ("AppId", "Timestamp", "Secret"),
        ("appId", "timestamp", "appSecret"),
        ("app_id", "timestamp", "app_secret"),
    )
    for app, time, secret in (*names, ("appid", "timestamp", "key"), ("AppId", "Timestamp", "AppSecret")):
        _add(
            f"{app} {secret} pairs",
            lambda r, a=app, t=time, s=secret: hexed("md5", f"{a}={r.app}&{t}={r.ts}&{s}={r.secret}"),
        )
        _add(
            f"{app} {secret} glued", lambda r, a=app, t=time: hexed("md5", f"{a}={r.app}&{t}={r.ts}{r.secret}").upper()
        )
        _add(
            f"{app} {secret} &key=",
            lambda r, a=app, t=time: hexed("md5", f"{t}={r.ts}&{a}={r.app}&key={r.secret}").upper(),
        )
        _add(
            f"{app} {secret} taobao",
            lambda r, a=app, t=time: hexed("md5", f"{r.secret}{a}{r.app}{t}{r.ts}{r.secret}").upper(),
        )
        _add(f"{app} {secret} hmac", lambda r, a=app, t=time: mac("sha256", r.secret, f"{a}={r.app}&{t}={r.ts}"))
        _add(
            f"{app} {secret} sorted",
            lambda r, n=(app, time, secret): hexed(
                "sha1", "&".join(sorted((f"{n[0]}={r.app}", f"{n[1]}={r.ts}", f"{n[2]}={r.secret}"), key=str.lower))
            ),
        )
    _add("secret first", lambda r: hexed("sha256", f"{r.secret}appId={r.app}&timestamp={r.ts}"))
    _add("time alone", lambda r: hexed("sha1", f"timestamp={r.ts}&secret={r.secret}"), unit="ms")
    _add("lines", lambda r: mac("sha256", r.secret, f"appId:{r.app}\ntimestamp:{r.ts}"))
    _add("semicolons", lambda r: hexed("sha256", f"app_id={r.app};ts={r.ts};secret={r.secret}"))


def _whole() -> None:
    _add("hmac ts body", lambda r: mac("md5", r.secret, r.ts + r.body), "post")
    _add("hmac body", lambda r: mac("md5", r.secret, r.body), "post")
    _add("github-like", lambda r: mac("md5", r.secret, f"v0:{r.ts}:{r.body}".removeprefix("v0:")), "post")
    _add("lines of a GET", lambda r: mac("md5", r.secret, "\n".join((r.method, r.path, r.query, r.ts))), "get")
    _add(
        "lines of a POST",
        lambda r: b64(mac("md5", r.secret, "\n".join((r.method, r.path, hexed("md5", r.body), r.ts, r.app)))),
        "post",
        "ms",
    )
    _add("ts method path body", lambda r: b64(mac("md5", r.secret, r.ts + r.method + r.path + r.body)), "post", "ms")
    _add("all joined by ;", lambda r: mac("md5", r.secret, ";".join((r.app, r.ts, r.method, r.path, r.query))), "get")
    _add(
        "all joined by :",
        lambda r: mac("md5", r.secret, ":".join((r.app, r.ts, r.method, r.path, "", r.body))),
        "post",
    )
    _add("md5 of everything", lambda r: hexed("md5", r.app + r.ts + r.method + r.path + r.body + r.secret), "post")
    _add("path first", lambda r: hexed("md5", r.path + r.query + r.app + r.ts + r.secret), "get")
    _add("secret between", lambda r: hexed("md5", "|".join((r.method, r.path, r.secret, r.ts))), "get")
    _add("url", lambda r: mac("md5", r.secret, f"{r.ts}{r.method}{r.path}?{r.query}"), "get")
    _add("url and secret", lambda r: hexed("md5", f"{r.path}?{r.query}&{r.ts}&{r.secret}"), "get", "ms")
    _add(
        "body sha256",
        lambda r: mac("md5", r.secret, "\n".join((r.method, r.path, r.ts, hexed("sha256", r.body)))),
        "post",
    )
    _add("BODY MD5", lambda r: hexed("md5", hexed("md5", r.body).upper() + r.ts + r.secret).upper(), "post")
    _add(
        "content-md5",
        lambda r: b64(mac("md5", r.secret, "\n".join((r.method, b64(hexed("md5", r.body)), r.path)))),
        "post",
    )
    _add("sorted body", lambda r: hexed("md5", compact(r) + r.ts + r.secret), "post")
    _add("sorted body, python", lambda r: mac("md5", r.secret, r.ts + python(r)), "post")
    _add("sorted body hmac", lambda r: mac("md5", r.secret, f"{r.app}&{r.ts}&{compact(r)}"), "post")
    _add(
        "digest of sorted body",
        lambda r: hexed("md5", r.app + r.ts + hexed("sha256", compact(r)) + r.secret),
        "post",
    )
    _add("md5 of python body", lambda r: hexed("md5", r.ts + hexed("md5", python(r)) + r.secret), "post")
    _add("pairs of body", lambda r: hexed("md5", "&".join(sorted(pairs(r.fields))) + r.secret), "post")
    _add("pairs of body and ts", lambda r: mac("md5", r.secret, r.ts + "&".join(sorted(pairs(r.fields)))), "post")
    _add(
        "pairs merged",
        lambda r: hexed(
            "md5", "&".join(sorted([*pairs(r.fields), f"app_id={r.app}", f"timestamp={r.ts}"])) + f"&key={r.secret}"
        ).upper(),
        "post",
    )
    _add(
        "pairs merged, glued",
        lambda r: hexed("md5", "&".join(sorted([*pairs(r.fields), f"appId={r.app}", f"timestamp={r.ts}"])) + r.secret),
        "post",
        "ms",
    )
    _add(
        "pairs merged, hmac",
        lambda r: mac("md5", r.secret, "&".join(sorted([*pairs(r.fields), f"AppId={r.app}", f"Timestamp={r.ts}"]))),
        "post",
    )
    _add(
        "query merged",
        lambda r: hexed(
            "md5", "&".join(sorted([*r.query.split("&"), f"appid={r.app}", f"timestamp={r.ts}"])) + r.secret
        ),
        "get",
    )
    _add("taobao over a post", lambda r: _taobao(r, pairs(r.fields)), "post")
    _add("taobao over a get", lambda r: _taobao(r, r.query.split("&")), "get")
    _add(
        "query merged with secret",
        lambda r: hexed(
            "md5",
            "&".join(sorted([*r.query.split("&"), f"app_id={r.app}", f"timestamp={r.ts}", f"secret={r.secret}"])),
        ),
        "get",
    )
    _add("query first", lambda r: hexed("md5", f"{r.query}&timestamp={r.ts}&key={r.secret}"), "get")
    _add(
        "named path",
        lambda r: hexed("md5", f"appId={r.app}&path={r.path}&timestamp={r.ts}&secret={r.secret}"),
        "get",
    )
    _add(
        "named all",
        lambda r: mac(
            "md5", r.secret, (f"app_id={r.app}&body={r.body}&method={r.method}&path={r.path}&timestamp={r.ts}")
        ),
        "post",
    )
    _add("named body, glued", lambda r: hexed("md5", f"appId={r.app}&timestamp={r.ts}&body={r.body}{r.secret}"), "post")
    _add(
        "named md5",
        lambda r: mac(
            "md5",
            r.secret,
            (f"AppId={r.app}&Timestamp={r.ts}&Method={r.method}&Path={r.path}&BodyMd5={hexed('md5', r.body)}"),
        ),
        "post",
    )
    _add(
        "secret twice over all",
        lambda r: hexed("md5", (r.secret + r.method + r.path + r.query + r.ts + r.secret)),
        "get",
    )
    for order in ("tmpb", "mptb", "pbt", "bt", "tb", "btm", "ampb", "bpmta"):
        for joint in ("", "\n", "&"):
            _add(
                f"hmac {order} {joint!r}",
                lambda r, o=order, j=joint: mac(
                    "md5",
                    r.secret,
                    j.join({"t": r.ts, "m": r.method, "p": r.path, "b": r.body, "a": r.app}[c] for c in o),
                ),
                "post",
            )
    for order in ("tmpq", "mpqt", "pqts", "atmpqs", "sqpmta", "qst"):
        for joint in ("", "|", "~"):
            _add(
                f"md5 {order} {joint!r}",
                lambda r, o=order, j=joint: hexed(
                    "md5",
                    j.join(
                        {"t": r.ts, "m": r.method, "p": r.path, "q": r.query, "a": r.app, "s": r.secret}[c]
                        for c in (o if "s" in o else o + "s")
                    ),
                ),
                "get",
            )


def _nested() -> None:
    _add("md5 md5", lambda r: hexed("md5", hexed("md5", r.app + r.ts + r.secret)))
    _add("md5 MD5", lambda r: hexed("md5", hexed("md5", r.app + r.ts + r.secret).upper()))
    _add("sha1 md5", lambda r: hexed("sha1", hexed("md5", r.ts + r.secret)))
    _add("sha256 sha256", lambda r: hexed("sha256", hexed("sha256", f"{r.app}:{r.ts}:{r.secret}")))
    _add("md5 sha1 pairs", lambda r: hexed("md5", hexed("sha1", f"app_id={r.app}&timestamp={r.ts}&key={r.secret}")))
    _add("sha1 of md5 secret", lambda r: hexed("sha1", hexed("md5", r.secret) + r.app + r.ts))
    _add("md5 of MD5 secret", lambda r: hexed("md5", r.app + hexed("md5", r.secret).upper() + r.ts))
    _add("sha256 of md5 secret", lambda r: hexed("sha256", f"{r.app}|{r.ts}|{hexed('md5', r.secret)}"))
    _add(
        "md5 of pairs with md5 secret",
        lambda r: hexed("md5", (f"appId={r.app}&timestamp={r.ts}&key={hexed('md5', r.secret)}")),
    )
    _add("md5 (app secret) ts", lambda r: hexed("md5", hexed("md5", r.app + r.secret) + r.ts))
    _add("md5 (ts) secret", lambda r: hexed("md5", hexed("md5", r.app + r.ts) + r.secret))
    _add("sha1 ts (secret app)", lambda r: hexed("sha1", r.ts + hexed("sha1", r.secret + r.app)))
    _add("md5 of each", lambda r: hexed("md5", hexed("md5", r.secret) + hexed("md5", r.ts)))
    _add("md5 of two", lambda r: hexed("sha1", f"{hexed('md5', r.app)}&{r.ts}&{hexed('md5', r.secret)}"))
    _add("sm3 sm3", lambda r: hexed("sm3", hexed("sm3", r.app + r.ts + r.secret)))
    _add("body in md5 in md5", lambda r: hexed("md5", hexed("md5", r.body + r.ts) + r.secret), "post")
    _add(
        "all in md5, then secret",
        lambda r: hexed("md5", hexed("sha256", (r.method + r.path + r.body)) + r.ts + r.secret),
        "post",
    )
    _add(
        "canonical",
        lambda r: mac("md5", r.secret, r.ts + "\n" + hexed("sha256", "\n".join((r.method, r.path, r.query)))),
        "get",
    )
    for digest in ("md5", "sha1", "sha256", "sha512"):
        _add(f"hmac keyed with {digest}", lambda r, d=digest: mac("md5", hexed(d, r.secret), r.app + r.ts))
    _add("hmac keyed with MD5", lambda r: mac("sha1", hexed("md5", r.secret).upper(), r.ts))
    _add(
        "hmac keyed with md5 over all",
        lambda r: mac("md5", hexed("md5", r.secret), "\n".join((r.method, r.path, r.ts, r.body))),
        "post",
    )
    _add("hmac-md5 keyed with md5", lambda r: mac("md5", hexed("md5", r.secret), f"{r.app}&{r.ts}"))
    _add("hmac of md5", lambda r: mac("sha256", r.secret, hexed("md5", r.app + r.ts)))
    _add("hmac keyed with secret and ts", lambda r: mac("sha256", r.secret + r.ts, r.app))


for _group in (_simple, _encoded, _named, _whole, _nested):
    _group()
