"""The schemes that people build, as the search tries them: a few parts, in every order, with their separators.

`Variants` are text of the scheme language alone. `lines` writes their templates, `messages` the texts for one request,
both in the same order: a message that hits tells by its number which template it was.

    single   app_id, timestamp, secret, method, path, query and one of the kinds of body, joined by one separator or by
             two in turn; the secret once, or before and after; keyed, the same without the secret
    named    key=value of the headers under the names that people give them, the secret as a value or glued on
    whole    key=value of the request as well, sorted or in order, in each case of letters
    nested   the digest of a digest, of the secret's digest, or of the digest of some of the parts
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, combinations, permutations, product
from math import factorial
from typing import Any, TypeAlias

from attrs import evolve, frozen

APP_ID, TIMESTAMP, SECRET = "{app_id}", "{timestamp}", "{secret}"
METHOD, PATH, QUERY = "{method}", "{path}", "{query}"
#: The parts of a request that are not its body.
WHOLE = (APP_ID, TIMESTAMP, METHOD, PATH, QUERY)
#: The kinds of body, the simplest first: of two that are alike in a request, the first is searched for.
BODIES = (
    *("{body}", "{body_md5}", "{body_sha256}"),
    *("{body_sorted}", "{body_sorted_spaced_ascii}", "{MD5({body})}", "{SHA256({body})}", "{body_pairs}"),
    *("{md5({body_sorted})}", "{sha256({body_sorted})}", "{sha1({body})}", "{sha512({body})}", "{sm3({body})}"),
    *("{md5_base64({body})}", "{sha256_base64({body})}", "{body_sorted_ascii}", "{body_sorted_spaced}"),
    *("{md5({body_sorted_spaced_ascii})}", "{sha256({body_sorted_spaced_ascii})}"),
    *("{md5({body_pairs})}", "{sha256({body_pairs})}"),
    # The query of a GET, and the body of a POST, in one place.
    *("{query}{body}", "{md5({query}{body})}", "{sha256({query}{body})}"),
)
_PLAIN_BODIES = 3
_COMMON_BODIES = 10

_SEPARATORS = ("", "&", ":", "|", "\\n", "-", "_", ",", ".", "+", "/", "#", "@", " ", ";", "~", "\\t")
_UNUSUAL = (
    *("=", "*", "$", "%", "!", "^", "?"),
    *("||", "::", "&&", "--", "__", "##", "@@", "\\n\\n", ", ", ";;", "~~", "//"),
)
# The names of a key, in each case of letters; the document's own stands first.
_APP_IDS = ("AppId", "appId", "app_id", "appid", "AppID", "appID", "APPID", "APP_ID", "app-id", "App-Id", "appKey")
_TIMES = ("Timestamp", "timestamp", "timeStamp", "TimeStamp", "time_stamp", "TIMESTAMP", "ts", "time", "t")
_SECRETS = (
    *("key", "secret", "app_secret", "appSecret", "AppSecret", "Secret", "Key", "appsecret", "secretKey", "SecretKey"),
    *("secret_key", "secretkey", "app_key", "appKey", "AppKey", "appkey", "APP_SECRET", "SECRET", "KEY", "sk", "token"),
    *("app-secret", "access_key", "accessKey", "Appsecret", "APPSECRET", "SECRET_KEY", "signKey", "sign_key", "salt"),
)
_COMMON_SECRETS = 8
_JOINS = (
    *(("&", "="), ("", ""), ("", "="), (",", "="), ("|", "="), (";", "="), ("\\n", ":"), ("\\n", "="), (":", "=")),
    *((",", ":"), ("&", ":"), ("|", ":"), (";", ":"), (" ", "="), ("_", "="), ("-", "="), ("&", "")),
)
_USUAL_JOINS = 6
# The names of a request's parts in the document's case, camel, snake, lower; then capitals: AppId, Timestamp, method,
# path, query, body, and those of its digests beside the body's own.
_STYLES = [
    [names.split(",") for names in style.split()]
    for style in (
        "AppId Timestamp Method,HttpMethod Path,Uri,Url Query Body,Data BodyMd5 BodySha256",
        "appId timestamp method,httpMethod path,uri,url query body,data bodyMd5 bodySha256",
        "app_id timestamp method,http_method path,uri,url query body,data body_md5 body_sha256",
        "appid timestamp method path,uri,url query body,data bodymd5 bodysha256",
        "appId timeStamp method path,uri,url query body contentMd5 bodyHash",
        "app_id time_stamp method path,uri,url query body content_md5 body_hash",
        "APPID TIMESTAMP METHOD PATH QUERY BODY BODY_MD5 BODY_SHA256",
    )
]
#: The names of the two headers in each of these.
_HEADERS = [(app_ids[0], times[0]) for app_ids, times, *_ in _STYLES]

Turns: TypeAlias = tuple[tuple[str, str], ...]
"""Separators of parts: two in turn, which may be the same."""


@frozen(slots=True)
class Variants:
    """Candidates that differ in the order of their parts, in the separators, and in the texts glued to the ends.

    `key` is the template of an HMAC's key, and "" without one; `around` stands before and after the parts, joined like
    them; `nest` is the call around everything.
    """

    parts: tuple[str, ...]
    turns: Turns = (("", ""),)
    key: str = ""
    any_order: bool = True
    around: str = ""
    ends: Turns = (("", ""),)
    nest: str = ""

    @property
    def size(self) -> int:
        """How many candidates there are."""
        return len(self.ends) * len(self.turns) * (factorial(len(self.parts)) if self.any_order else 1)

    def lines(self) -> Iterator[str]:
        """Yield each template."""
        for line in self.messages(str):
            yield _call(self.nest, line) if self.nest else line

    # Any is str or bytes: the result of `render`.
    def messages(self, render: Callable[[str], Any]) -> Iterator[Any]:
        """Yield the text of each template, without the call around it."""
        parts = [render(part) for part in self.parts]
        around = [render(self.around)] if self.around else []
        orders = [[*around, *each, *around] for each in (permutations(parts) if self.any_order else (parts,))]
        for turn in self.turns:
            one, other = map(render, turn)
            gaps = [one, other] * len(orders[0])
            for end in self.ends:
                head, tail = map(render, end)
                if one != other:
                    for order in orders:
                        mixed = [*chain.from_iterable(zip(order, gaps, strict=False))]
                        yield head + one[:0].join(mixed[:-1]) + tail
                elif head or tail:
                    yield from (head + one.join(order) + tail for order in orders)
                else:
                    yield from map(one.join, orders)


@frozen
class Seen:
    """The facts of a request: its distinct kinds of body, its empty parts, and whether more than headers is known."""

    bodies: tuple[str, ...] = ()
    empty: frozenset[str] = frozenset()
    whole: bool = True

    @property
    def plain_bodies(self) -> list[str]:
        """The body as it is, and its digests."""
        return [body for body in self.bodies if body in BODIES[:_PLAIN_BODIES]]


def _call(name: str, inside: str) -> str:
    return f"{{{name}({inside})}}"


def _same(separators: Iterable[str]) -> Turns:
    return tuple((separator, separator) for separator in separators)


_COMMON = _same(_SEPARATORS)
_ALL = _same((*_SEPARATORS, *_UNUSUAL))
_GLUED = _same(("",))
_FEW = _same(("", "&", ":", "|", "\\n", "-", "_", ","))
#: The separators to try, by how many parts there are beside the secret; first one of them, then two in turn.
_BY_SIZE = (
    *(_GLUED, _ALL),
    _ALL + tuple(permutations((*_SEPARATORS, "=", "?"), 2)),
    _ALL + tuple(permutations(("", "&", ":", "|", "\\n", "-", "_", ",", "=", ";", "/"), 2)),
    _COMMON + tuple(permutations(("&", ":", "|", "\\n", "-", "="), 2)),
    *(_COMMON, _FEW),
)


def _turns(parts: Sequence[str], seen: Seen, turns: Turns) -> Turns:
    """Return the separators to try: if a part is empty, only separators that show its place."""
    return tuple(turn for turn in turns if all(turn)) if seen.empty.intersection(parts) else turns


def _sets(seen: Seen, most: int, bodies: Sequence[str], among: Sequence[str] = WHOLE) -> Iterator[tuple[str, ...]]:
    """Yield the sets of parts to sign beside the secret, the fewest parts first; a body stands last."""
    others = among if seen.whole else (APP_ID, TIMESTAMP)
    for size in range(most + 1):
        for chosen in combinations(others, size):
            yield chosen
            if size < most:
                for body in bodies:
                    yield *chosen, body


def _with_secret(parts: tuple[str, ...], seen: Seen, turns: Turns, secret: str = SECRET) -> Iterator[Variants]:
    """Yield every order of the parts with the secret: among them, before and after them, or as the key."""
    turns = _turns(parts, seen, turns)
    if turns:
        yield Variants((*parts, secret), turns if parts else _GLUED)
        if parts:
            yield Variants(parts, turns, around=secret)
        if parts and secret == SECRET:
            yield Variants(parts, turns if parts[1:] else _GLUED, key=SECRET)


def _ends(
    parts: tuple[str, ...], turns: Turns, secret: str = SECRET, *, any_order: bool = True, names: Sequence[str] = ()
) -> Iterator[Variants]:
    """Yield the ways to bring the secret to the ends of the rest: glued or joined, before, after, or both; and keyed.

    `names` are texts that may stand between the rest and the secret.
    """
    more = [("", f"{name}{secret}") for name in names]
    for turn in turns:
        joints = dict.fromkeys(("", turn[0]))
        ends = chain.from_iterable(
            (("", joint + secret), (secret + joint, ""), (secret + joint, joint + secret)) for joint in joints
        )
        yield Variants(parts, (turn,), any_order=any_order, ends=(*ends, *more))
    if secret == SECRET:
        # An HMAC that has the secret in its text as well, as WeChat's.
        yield Variants(parts, turns, key=SECRET, any_order=any_order, ends=(("", ""), *more[:2]))


def _single(seen: Seen) -> Iterator[Variants]:
    plain = seen.plain_bodies
    rare = [body for body in seen.bodies if body not in plain]
    for parts in _sets(seen, 6, plain):
        yield from _with_secret(parts, seen, _BY_SIZE[len(parts)])
        if 0 < len(parts) <= 3:
            turns = _turns(parts, seen, _COMMON)
            yield Variants((*parts, SECRET), turns, key=SECRET)
            yield from _ends(parts, turns)
        elif len(parts) == 6:
            yield from _ends(parts, _turns(parts, seen, _COMMON))
    for parts in _sets(seen, 6, rare):
        if not parts or parts[-1] not in rare:
            continue
        if len(parts) <= 3:
            yield from _with_secret(parts, seen, _COMMON)
        elif len(parts) == 4 or parts[-1] in BODIES[:_COMMON_BODIES]:
            yield from _ends(parts, _turns(parts, seen, _FEW))
    if seen.whole and QUERY not in seen.empty:
        url = f"{PATH}?{QUERY}"
        for parts in _sets(seen, 5, plain, (APP_ID, TIMESTAMP, METHOD, url)):
            if url in parts:
                yield from _with_secret(parts, seen, _COMMON if len(parts) < 4 else _FEW)


def _headers(equals: str, names: Iterable[tuple[str, str]] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the pairs of the two headers under each of the names (all, if none are given), then each header alone."""
    alone = {}
    for app_id, time in names or product(_APP_IDS, _TIMES):
        pairs = (f"{app_id}{equals}{APP_ID}", f"{time}{equals}{TIMESTAMP}")
        yield pairs
        alone.update(dict.fromkeys(pairs))
    for pair in alone:
        yield (pair,)


def _named(_: Seen) -> Iterator[Variants]:
    for number, (between, equals) in enumerate(_JOINS):
        turns = _same([between])
        names = [] if number < _USUAL_JOINS else _HEADERS
        others = [other for other in _SEPARATORS if other not in ("", between)] if number == 0 else []
        for pairs in _headers(equals, names):
            yield from _ends(pairs, turns, names=others)
            for secret in _SECRETS:
                yield Variants((*pairs, f"{secret}{equals}{SECRET}"), turns)
                if number == 0:
                    yield Variants((*pairs, f"{secret}{equals}{SECRET}"), turns, key=SECRET)


def _request_pairs(seen: Seen, style: Sequence[Sequence[str]], equals: str) -> Iterator[tuple[str, ...]]:
    """Yield the pairs of a request's parts in one case of letters: each choice of parts, and each of their names."""
    _, _, methods, paths, [query], bodies, md5, sha256 = style
    digests = {"{body_md5}": md5, "{body_sha256}": sha256}
    choices = [
        [f"{name}{equals}{METHOD}" for name in methods],
        [f"{name}{equals}{PATH}" for name in paths],
        [] if QUERY in seen.empty else [QUERY, f"{query}{equals}{QUERY}"],
        [
            f"{name}{equals}{body}"
            for body in seen.bodies[:_PLAIN_BODIES]
            if body not in seen.empty
            for name in (*bodies, *digests.get(body, ()))
        ],
    ]
    for chosen in product(*(["", *choice] for choice in choices)):
        if pairs := tuple(pair for pair in chosen if pair):
            yield pairs


def _whole(seen: Seen) -> Iterator[Variants]:
    """Yield key=value of the request beside that of the headers; and the pairs of query and body among them."""
    if not seen.whole:
        return
    for between, equals in _JOINS[:2]:
        turns = _same([between])
        styles = _STYLES if between else _STYLES[:4]
        names = [f"{between}{secret}{equals}" for secret in _SECRETS[:_COMMON_SECRETS]]
        for style, (app_id, time) in zip(styles, _HEADERS, strict=False):
            both = (f"{app_id}{equals}{APP_ID}", f"{time}{equals}{TIMESTAMP}")
            for headers, pairs in product((both, both[1:]), _request_pairs(seen, style, equals)):
                every = (*headers, *pairs)
                for order in dict.fromkeys((every, (*pairs, *headers), tuple(sorted(every)))):
                    yield from _ends(order, turns, any_order=False, names=names)
                for secret in _SECRETS[:5]:
                    among = sorted((*every, f"{secret}{equals}{SECRET}"))
                    yield Variants(tuple(among), turns, any_order=False)
                if len(pairs) == 1:
                    yield from _ends(every, turns)
    yield from _merged(seen)


def _merged(seen: Seen) -> Iterator[Variants]:
    """Yield the pairs of the query and of the body, alone and among those of the headers."""
    there = [pairs for pairs in (QUERY, "{body_pairs}") if pairs not in seen.empty]
    sources = [there[:1], there[1:], there]
    turns = _same(["&"])
    names = [f"&{secret}=" for secret in _SECRETS]
    for alone in (QUERY, *seen.bodies):
        if alone not in seen.empty:
            yield from _ends((alone,), turns, names=names)
    for pairs in sources:
        if not pairs:
            continue
        for headers in _headers("="):
            named = "&".join((*headers, *pairs))
            for parts in ((_call("sorted", named),), (*headers, *pairs)):
                yield from _ends(parts, turns, names=names)
            yield from _ends((_call("glued", named),), _GLUED)
        for (app_id, time), secret in product(_HEADERS, _SECRETS):
            among = (f"{app_id}={APP_ID}", f"{time}={TIMESTAMP}", f"{secret}={SECRET}")
            for headers in (among, among[1:]):
                yield Variants((_call("sorted", "&".join((*headers, *pairs))),))


def _cased(*digests: str) -> tuple[str, ...]:
    """Return the calls of these digests, in small letters and then in capitals."""
    names = tuple(dict.fromkeys(digests))
    return (*names, *(name.upper() for name in names))


def _nested(seen: Seen, digest: str) -> Iterator[Variants]:
    calls = _cased("md5", digest, "sha1", "sha256")
    for parts in _sets(seen, 3, seen.plain_bodies):
        for call in calls:
            for some in _with_secret(parts, seen, _COMMON):
                yield evolve(some, nest=call)
            yield from _with_secret(parts, seen, _COMMON, _call(call, SECRET))
    for call in calls:
        digested = _call(call, SECRET)
        for pairs in _headers("=", _HEADERS):
            for some in _ends(pairs, _same("&")):
                yield evolve(some, nest=call)
            yield from _ends(pairs, _same("&"), digested)
            for secret in _SECRETS:
                yield Variants((*pairs, f"{secret}={SECRET}"), _same("&"), nest=call)
                yield Variants((*pairs, f"{secret}={digested}"), _same("&"))
        for parts in ((APP_ID, TIMESTAMP, SECRET), (TIMESTAMP, SECRET), (APP_ID, SECRET)):
            for each in product(*((part, _call(call, part)) for part in parts)):
                yield Variants(each, _COMMON)
    yield from _partly(seen, tuple(dict.fromkeys((*_cased("md5", digest), "sha256"))), seen.plain_bodies)


def _partly(seen: Seen, calls: Sequence[str], bodies: Sequence[str]) -> Iterator[Variants]:
    """Yield the digest of some parts among others."""
    headers = (APP_ID, TIMESTAMP, SECRET, *bodies[:1])
    inside = [order for size in (1, 2, 3) for order in permutations(headers, size) if order != (SECRET,)]
    if seen.whole:
        wholes = [tuple(part for part in parts if part not in seen.empty) for parts in _sets(seen, 6, bodies)]
        inside += [parts for parts in wholes if len(parts) > 1 and not {METHOD, PATH, QUERY}.isdisjoint(parts)]
    inside = list(dict.fromkeys(order for order in inside if seen.empty.isdisjoint(order)))
    for order, call, turn in product(inside, calls, _FEW[:5]):
        digested = _call(call, turn[0].join(order))
        rest = [part for part in (APP_ID, TIMESTAMP) if part not in order]
        if len(order) <= 3 and seen.empty.isdisjoint(bodies[:1]):
            rest += [body for body in bodies[:1] if body not in order]
        turns = (turn,) if turn == _FEW[0] else (_FEW[0], turn)
        for size in range(len(rest) + 1):
            for parts in combinations(rest, size):
                yield Variants((digested, *parts, SECRET), turns)
                if SECRET in order and parts:
                    yield Variants((digested, *parts), turns)
                elif SECRET not in order:
                    yield Variants((digested, *parts), turns, key=SECRET)


def _keys(seen: Seen, digest: str) -> Iterator[Variants]:
    """Yield an HMAC under another key: the hex of the secret's digest, or the secret with another part beside it."""
    calls = (*_cased("md5", digest, "sha1", "sha256"), "sha512", "md5_base64")
    digests = [_call(call, SECRET) for call in calls]
    beside = [f"{APP_ID}{SECRET}", f"{SECRET}{APP_ID}", f"{SECRET}{TIMESTAMP}", f"{TIMESTAMP}{SECRET}", f"{SECRET}&"]
    for parts in _sets(seen, 6, seen.plain_bodies):
        turns = _turns(parts, seen, _COMMON if len(parts) <= 3 else _FEW)
        if parts and turns:
            for key in (*digests, *beside) if len(parts) <= 4 else digests[:3]:
                yield Variants(parts, turns if parts[1:] else _GLUED, key=key)
            for key in (APP_ID, TIMESTAMP) if len(parts) <= 2 else ():
                yield Variants((*parts, SECRET), turns, key=key)
    for key in (*digests, *beside):
        for pairs in _headers("="):
            yield Variants(pairs, _same("&"), key=key)


def candidates(seen: Seen, digest: str) -> Iterator[Variants]:
    """Yield all candidates of one digest, the simplest first."""
    yield from _single(seen)
    yield from _named(seen)
    yield from _keys(seen, digest)
    yield from _whole(seen)
    yield from _nested(seen, digest)
