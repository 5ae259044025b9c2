"""Files for a sandbox, uploaded and attached by a caller that knows nothing of the client."""

from typing import Any

from tests.support.sandbox_wire import Wire, ticket_request

FORM_TYPE = "multipart/form-data; boundary=xyz"


def form(content: bytes, file_name: str = "test.png", file_type: str = "image/png") -> bytes:
    """Write the form that an upload is."""
    head = f'--xyz\r\nContent-Disposition: form-data; name="file"; filename="{file_name}"\r\nContent-Type: {file_type}'
    return head.encode() + b"\r\n\r\n" + content + b"\r\n--xyz--\r\n"


async def upload(wire: Wire, content: bytes, **names: str) -> dict[str, Any]:
    """Upload a file and return its Attachment."""
    envelope = (await wire.send("POST", "upload_file", form(content, **names), content_type=FORM_TYPE)).envelope
    assert envelope["errno"] == 10000, envelope
    attachment: dict[str, Any] = envelope["data"]
    return attachment


async def shown_url(wire: Wire, attachment: dict[str, Any]) -> str:
    """Attach an uploaded file to a new ticket, and return the URL that detail shows for it."""
    created = await wire.post("create", ticket_request() | {"attachment": [attachment]})
    detail = (await wire.get("detail", id=created["data"]["id"]))["data"]
    url: str = detail["attachment"][0]["file_path"]
    return url
