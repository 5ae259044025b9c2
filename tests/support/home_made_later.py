"""Sixty-five more schemes, thought of after the search was finished; see `home_made`."""

import base64
import json
from collections.abc import Callable

from tests.support.home_made import HomeMade, b64, b64url, compact, hexed, mac, pairs, python

ALL: list[HomeMade] = []


def _add(name: str, kind: str, unit: str, sign: Callable[..., str]) -> None:
    ALL.append(HomeMade(name, kind, unit, sign))


# Over the headers.
_add("timestamp, secret, app with =", "bare", "s", lambda r: hexed("md5", f"{r.ts}={r.secret}={r.app}"))
_add("secret$app$ts", "bare", "ms", lambda r: hexed("sha1", f"{r.secret}${r.app}${r.ts}"))
_add("double pipe", "bare", "s", lambda r: hexed("sha256", f"{r.app}||{r.ts}||{r.secret}"))
_add("secret around, tab", "bare", "s", lambda r: hexed("sha512", "\t".join((r.secret, r.app, r.ts, r.secret))))
_add("app:secret@ts", "bare", "s", lambda r: hexed("md5", f"{r.app}:{r.secret}@{r.ts}"))
_add("app/ts?secret", "bare", "ms", lambda r: hexed("sha256", f"{r.app}/{r.ts}?{r.secret}"))
_add("sha384 of three, base64url", "bare", "s", lambda r: b64url(hexed("sha384", f"{r.ts}~{r.secret}~{r.app}")))
_add("sha224 HEX", "bare", "s", lambda r: hexed("sha224", f"{r.secret};{r.ts};{r.app}").upper())
_add("hmac sha224 base64", "bare", "s", lambda r: b64(mac("sha224", r.secret, f"{r.app};{r.ts}")))
_add("hmac of app alone", "bare", "s", lambda r: mac("sha256", r.secret, r.app))
_add("hmac with the secret inside", "bare", "s", lambda r: mac("sha256", r.secret, r.app + r.ts + r.secret))
_add("hmac key app, secret inside", "bare", "s", lambda r: mac("sha1", r.app, r.ts + r.secret))
_add("hmac sm3 in lines", "bare", "ms", lambda r: mac("sm3", r.secret, f"{r.app}\n{r.ts}").upper())
_add("prefix sm3=", "bare", "s", lambda r: "sm3=" + hexed("sm3", f"{r.app}{r.ts}{r.secret}"))
_add("prefix Bearer", "bare", "s", lambda r: "Bearer " + b64(mac("sha512", r.secret, r.ts)))
_add("prefix HMAC-SHA256 ", "bare", "s", lambda r: "HMAC-SHA256 " + mac("sha256", r.secret, f"{r.ts}:{r.app}"))
_add("prefix sha1=, base64", "bare", "s", lambda r: "sha1=" + b64(mac("sha1", r.secret, f"{r.app}.{r.ts}")))
_add(
    "header case, sorted, &Key=", "bare", "s", lambda r: hexed("md5", f"AppId={r.app}&Timestamp={r.ts}&Key={r.secret}")
)
_add("snake, app_key", "bare", "s", lambda r: hexed("sha1", f"app_id={r.app}&app_key={r.secret}&timestamp={r.ts}"))
_add(
    "camel, secretKey", "bare", "ms", lambda r: hexed("sha256", f"appId={r.app}&secretKey={r.secret}&timestamp={r.ts}")
)
_add(
    "ts before app, appSecret first",
    "bare",
    "s",
    lambda r: hexed("md5", f"appSecret={r.secret}&timestamp={r.ts}&appId={r.app}"),
)
_add("lower, glued, HEX", "bare", "s", lambda r: hexed("md5", f"appid={r.app}&timestamp={r.ts}{r.secret}").upper())
_add("secret=, glued in front", "bare", "s", lambda r: hexed("md5", f"{r.secret}&app_id={r.app}&timestamp={r.ts}"))
_add("k=v without &", "bare", "s", lambda r: hexed("md5", f"appId={r.app}timestamp={r.ts}secret={r.secret}"))
_add(
    "kv, secret around",
    "bare",
    "s",
    lambda r: hexed("sha1", f"{r.secret}app_id{r.app}timestamp{r.ts}{r.secret}").upper(),
)
_add("colon pairs", "bare", "s", lambda r: hexed("sha256", f"appId:{r.app},timestamp:{r.ts},secret:{r.secret}"))
_add(
    "md5 of HEX md5 with ts", "bare", "s", lambda r: hexed("md5", hexed("md5", r.app + r.secret).upper() + r.ts).upper()
)
_add("sha256 of sha1 secret", "bare", "s", lambda r: hexed("sha256", f"{r.app}{r.ts}{hexed('sha1', r.secret)}"))
_add("md5 md5 of pairs", "bare", "s", lambda r: hexed("md5", hexed("md5", f"AppId={r.app}&Timestamp={r.ts}{r.secret}")))
_add("sha512 of md5", "bare", "s", lambda r: hexed("sha512", hexed("md5", r.app + r.ts + r.secret)))
_add("hmac sha512 keyed with sha512", "bare", "s", lambda r: mac("sha512", hexed("sha512", r.secret), r.app + r.ts))
_add(
    "hmac sha1 keyed with md5, pairs",
    "bare",
    "s",
    lambda r: mac("sha1", hexed("md5", r.secret), f"app_id={r.app}&timestamp={r.ts}"),
)
_add("hmac key secret&", "bare", "s", lambda r: b64(mac("sha1", r.secret + "&", f"app_id={r.app}&timestamp={r.ts}")))
# Over a GET.
_add("path?query in lines", "get", "s", lambda r: b64(mac("md5", r.secret, f"{r.method}\n{r.path}?{r.query}\n{r.ts}")))
_add(
    "method path query ts app",
    "get",
    "ms",
    lambda r: mac("md5", r.secret, r.method + r.path + r.query + r.ts + r.app),
)
_add("query with secret", "get", "s", lambda r: hexed("md5", f"{r.query}&{r.secret}&{r.ts}"))
_add(
    "sorted query and headers, hmac",
    "get",
    "s",
    lambda r: mac("md5", r.secret, "&".join(sorted([*r.query.split("&"), f"appId={r.app}", f"timestamp={r.ts}"]))),
)
_add(
    "query then secret=",
    "get",
    "s",
    lambda r: hexed("md5", f"{r.query}&app_id={r.app}&timestamp={r.ts}&secret={r.secret}"),
)
_add("url pair", "get", "s", lambda r: hexed("md5", f"app_id={r.app}&timestamp={r.ts}&url={r.path}&key={r.secret}"))
_add("method:path:ts:secret", "get", "s", lambda r: hexed("md5", f"{r.method}:{r.path}:{r.ts}:{r.secret}"))
_add(
    "secret, method, path, ts, secret",
    "get",
    "s",
    lambda r: hexed("md5", "-".join((r.secret, r.method, r.path, r.ts, r.secret))),
)
_add("all, in turn", "get", "s", lambda r: mac("md5", r.secret, f"{r.method}:{r.path}\n{r.query}:{r.ts}"))
_add(
    "get with empty body line",
    "get",
    "s",
    lambda r: mac("md5", r.secret, "\n".join((r.method, r.path, r.query, "", r.ts))),
)
_add(
    "get with md5 of empty body",
    "get",
    "s",
    lambda r: mac("md5", r.secret, "\n".join((r.method, r.path, r.query, hexed("md5", ""), r.ts))),
)
_add(
    "aws-like",
    "get",
    "s",
    lambda r: mac(
        "md5",
        r.secret,
        "\n".join((r.app, r.ts, hexed("sha256", "\n".join((r.method, r.path, r.query, hexed("sha256", "")))))),
    ),
)
# Over a POST.
_add("ts.body", "post", "s", lambda r: "v1=" + mac("md5", r.secret, f"{r.ts}.{r.body}"))
_add("body secret", "post", "s", lambda r: hexed("md5", r.body + r.secret))
_add("app body ts secret", "post", "s", lambda r: hexed("md5", r.app + r.body + r.ts + r.secret))
_add("secret body secret", "post", "ms", lambda r: hexed("md5", r.secret + r.ts + r.body + r.secret))
_add(
    "sha512 of body",
    "post",
    "s",
    lambda r: mac("md5", r.secret, f"{r.method}\n{r.path}\n{r.ts}\n{hexed('sha512', r.body)}"),
)
_add("SHA256 of body", "post", "s", lambda r: mac("md5", r.secret, f"{r.ts}{hexed('sha256', r.body).upper()}"))
_add("md5 of body, ts, secret with +", "post", "s", lambda r: hexed("md5", f"{hexed('md5', r.body)}+{r.ts}+{r.secret}"))
_add("sorted body, semicolons", "post", "s", lambda r: hexed("md5", f"{r.app};{r.ts};{compact(r)};{r.secret}"))
_add("python body in lines", "post", "s", lambda r: mac("md5", r.secret, f"{r.method}\n{r.path}\n{python(r)}\n{r.ts}"))
_add(
    "escaped compact",
    "post",
    "s",
    lambda r: hexed("md5", r.ts + json.dumps(r.fields, sort_keys=True, separators=(",", ":")) + r.secret),
)
_add(
    "spaced, not escaped",
    "post",
    "s",
    lambda r: mac("md5", r.secret, r.app + r.ts + json.dumps(r.fields, sort_keys=True, ensure_ascii=False)),
)
_add(
    "body pairs, key=",
    "post",
    "s",
    lambda r: hexed("md5", "&".join(sorted(pairs(r.fields))) + "&key=" + r.secret).upper(),
)
_add(
    "body pairs, then headers",
    "post",
    "s",
    lambda r: hexed("md5", "&".join(sorted(pairs(r.fields))) + f"&timestamp={r.ts}&app_secret={r.secret}"),
)
_add(
    "body pairs and Timestamp, secret in",
    "post",
    "s",
    lambda r: hexed("md5", "&".join(sorted([*pairs(r.fields), f"timestamp={r.ts}", f"appSecret={r.secret}"]))),
)
_add("named data", "post", "s", lambda r: hexed("md5", f"appid={r.app}&data={r.body}&timestamp={r.ts}&key={r.secret}"))
_add(
    "body= glued secret",
    "post",
    "s",
    lambda r: hexed("md5", f"app_id={r.app}&body={r.body}&timestamp={r.ts}{r.secret}"),
)
_add(
    "method, uri, md5 pairs",
    "post",
    "ms",
    lambda r: mac(
        "md5",
        r.secret,
        f"appId={r.app}&timestamp={r.ts}&method={r.method}&uri={r.path}&bodyMd5={hexed('md5', r.body)}",
    ),
)
_add(
    "keyed with sha256, lines",
    "post",
    "s",
    lambda r: b64(mac("md5", hexed("sha256", r.secret), f"{r.method}\n{r.path}\n{r.body}\n{r.ts}")),
)
_add("hmac of md5 of body and ts", "post", "s", lambda r: mac("md5", r.secret, hexed("md5", r.body + r.ts)))
_add(
    "base64 of hex of md5",
    "bare",
    "s",
    lambda r: base64.b64encode(mac("md5", r.secret, r.ts + r.app).encode()).decode(),
)
