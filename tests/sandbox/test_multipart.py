import pytest

from tests.support.rows import each
from workorder_async.sandbox.errnos import Refused
from workorder_async.sandbox.files import FilePart, find_file

KIND = "multipart/form-data; boundary=b0"


def body_of(content: bytes, disposition: str = 'form-data; name="file"; filename="a.txt"', *more: str) -> bytes:
    """Write a body with one part."""
    head = "\r\n".join([f"Content-Disposition: {disposition}", *more])
    return b"--b0\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n--b0--\r\n"


def read(body: bytes, kind: str = KIND) -> FilePart:
    """Find the file."""
    return find_file(kind, body)


@each(
    "content",
    [
        b"",
        b"x",
        b"\r\n",
        b"\r\n\r\n",
        b"--b",
        b"x--b0--",
        b"\r\n--b\r\n--",
        b"\r\n--B0\r\n",
        b"\r" * 9,
        bytes(range(256)) * 3,
    ],
)
def test_the_file_is_found(content: bytes) -> None:
    """Whatever the content looks like, the part's bytes come out unchanged."""
    part = read(body_of(content, 'form-data; name="file"; filename="a.txt"', "Content-Type: text/plain"))
    assert part == FilePart("a.txt", "text/plain", content)


@each(
    ("disposition", "name"),
    [
        ('form-data; name="file"; filename="截图 1.png"', "截图 1.png"),
        ("form-data; name=file; filename=a.png", "a.png"),
        ('form-data; filename="a.png"; name="file"', "a.png"),
        ('form-data;name="file";filename="a;b=c.png"', "a;b=c.png"),
        (r'form-data; name="file"; filename="say \"hi\" \\ a\b.png"', r'say "hi" \\ a\b.png'),
        ('form-data; name="file"; filename="a\\"', "a\\"),
        ("form-data; name=\"file\"; filename*=UTF-8''100%2522", "100%22"),
        ("""form-data; name="file"; filename="%E5%9B%BE.png"; filename*=utf-8''%E5%9B%BE.png""", "图.png"),
        ("""form-data; name="file"; filename*=UTF-8'zh'%E5%9B%BE%27.png; filename="x.png\"""", "图'.png"),
        ('form-data; name="file"; filename="say %22hi%22 100%25.png"', 'say "hi" 100%25.png'),
        ('FORM-DATA; NAME="file"; FILENAME="a.png"', "a.png"),
    ],
)
def test_a_file_name_is_read_in_every_spelling(disposition: str, name: str) -> None:
    """UTF-8, quoted, escaped, percent-encoded (RFC 8187), in any order and case."""
    assert read(body_of(b"x", disposition)).file_name == name


@each(
    ("line", "kind"),
    [
        ("Content-Type: image/png", "image/png"),
        ("content-type:text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("X-Other: 1", "application/octet-stream"),
        ("Content-Type: 图片", "application/octet-stream"),
        ("Content-Type: ", "application/octet-stream"),
        ("Content-Type: text/plain; a\nX: y", "application/octet-stream"),
    ],
)
def test_a_file_type_is_a_mime_type(line: str, kind: str) -> None:
    """What is no MIME type, or is missing, is application/octet-stream."""
    assert read(body_of(b"x", 'form-data; name="file"; filename="a"', line)).file_type == kind


@each("kind", ['multipart/form-data; boundary="b0"', "Multipart/Form-Data; charset=utf-8; boundary=b0"])
def test_a_boundary_is_read_in_every_spelling(kind: str) -> None:
    """The boundary may be quoted, and the type of any case."""
    assert read(body_of(b"x"), kind).content == b"x"


@each(
    ("body", "kind", "errno", "said"),
    [
        (b"", "", 90007, "multipart/form-data"),
        (body_of(b"x"), "application/json", 90007, "application/json"),
        (body_of(b"x"), "multipart/mixed; boundary=b0", 90007, "multipart/mixed"),
        (body_of(b"x"), "multipart/form-data", 90007, "boundary"),
        *((body_of(b"x"), f"multipart/form-data; boundary*={of}''%ff", 90007, "boundary") for of in ("idna", "utf-8")),
        (b"", KIND, 90007, "boundary"),
        (body_of(b"x"), "multipart/form-data; boundary=c", 90007, "boundary"),
        (b"\r\n" + body_of(b"x"), KIND, 90007, "boundary"),
        (body_of(b"x")[:-4], KIND, 90007, "boundary"),
        (body_of(b"x")[:-12], KIND, 90007, "boundary"),
        (b"--b0\r\n\r\n--b0--", KIND, 90007, "头"),
        (b"--b0\r\nX: y\r\n--b0--", KIND, 90007, "头"),
        (b"--b0X: y\r\n\r\nx\r\n--b0--", KIND, 90007, "头"),
        (b"--b0--\r\n", KIND, 90007, "boundary"),
        (body_of(b"x", 'form-data; filename="a"'), KIND, 90004, "参数 file "),
        (body_of(b"x", 'form-data; name="document"; filename="a"'), KIND, 90004, "'document'"),
        (body_of(b"x", 'form-data; name="file"'), KIND, 90004, "filename"),
        (body_of(b"x", 'form-data; name="file"; filename=" "'), KIND, 90004, "filename"),
        (body_of(b"x", 'form-data; name="file"; filename=""'), KIND, 90004, "filename"),
        (body_of(b"x").replace(b"--b0--", body_of(b"y")), KIND, 90004, "2"),
    ],
)
def test_anything_else_is_refused(body: bytes, kind: str, errno: int, said: str) -> None:
    """A body that is no form, is cut off, or has not exactly one file named file is refused, saying why."""
    with pytest.raises(Refused) as caught:
        read(body, kind)
    assert (int(caught.value.errno), said in caught.value.errmsg) == (errno, True), caught.value.errmsg
