"""examples/fastapi_service.py: a close is made once for its key, and what became of it can be asked."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientSession

from tests.support.programs import FOLDER, ROOT, serving
from workorder_async import Sandbox, TicketQuery, TicketStatus, TicketSummary
from workorder_async.sandbox import Fault

# Not imported here: that takes long, and cyclopts would ask pydantic about each value in later tests.
if not (find_spec("fastapi") and find_spec("uvicorn")):
    pytest.skip("needs FastAPI and uvicorn", allow_module_level=True)


class Service:
    """The service, as another program sees it."""

    def __init__(self, session: ClientSession) -> None:
        self.session = session
        self.headers: dict[str, str] = {}

    async def ask(self, verb: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return the status and the JSON of an answer."""
        async with self.session.request(verb, path, json=body) as answer:
            self.headers = dict(answer.headers)
            return answer.status, await answer.json()


@asynccontextmanager
async def service(sandbox: Sandbox, folder: Path) -> AsyncIterator[Service]:
    """Run the service."""
    variables = {**sandbox.environment, "JOURNAL": str(folder / "service.journal"), "WORKORDER_LANG": "en"}
    words = ("-m", "uvicorn", "fastapi_service:app", "--port", 0)
    async with serving(variables, *words) as (_, url), ClientSession(url) as session:
        yield Service(session)


async def closes(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return the bodies that close the pending tickets."""
    async with sandbox.client() as client:
        found = (await client.list_tickets(TicketQuery(status=TicketStatus.PENDING), page_size=50)).tickets
    return [
        {"id": one.id, "closer_id": 40084, "closer_name": one.creator_name, "solved_time": 1660298580} for one in found
    ]


@pytest.mark.slow
async def test_lists_and_closes(tmp_path: Path) -> None:
    """Tickets are listed; ten equal closes are one, after a restart too; a second close of the ticket is refused."""
    async with Sandbox(tickets=60) as sandbox:
        body, *_ = await closes(sandbox)
        for _ in range(2):
            async with service(sandbox, tmp_path) as mine:
                answers = await asyncio.gather(*(mine.ask("PUT", "/closes/a", body) for _ in range(10)))
                assert answers == [answers[0]] * 10
                status, told = answers[0]
                assert (status, told["state"], told["ticket_id"]) == (200, "done", body["id"])
                assert await mine.ask("GET", "/outcomes/a") == (status, told)
                status, rows = await mine.ask("GET", "/tickets?status=closed")
                assert status == 200
                assert body["id"] in [TicketSummary.from_dict(row).id for row in rows]
                assert len((await mine.ask("GET", "/tickets?page=2"))[1]) == 10
                status, told = await mine.ask("PUT", "/closes/b", body)
                assert (status, f"ticket {body['id']}" in told["says"]) == (409, True)
        assert [one.ticket_id for one in sandbox.applied] == [body["id"]]


async def describes_itself(mine: Service) -> None:
    """Look whether its description names the models, with the sentences of their fields."""
    status, described = await mine.ask("GET", "/openapi.json")
    assert status == 200
    schemas = described["components"]["schemas"]
    assert {"CloseTicket", "TicketSummary", "Told"} <= schemas.keys()
    assert schemas["CloseTicket"]["properties"]["id"] == {"type": "integer", "description": "The ticket (工单ID)."}
    body = described["paths"]["/closes/{key}"]["put"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/CloseTicket"}


@pytest.mark.slow
async def test_what_is_refused(tmp_path: Path) -> None:
    """Each kind of failure has its status, and a sentence; the service describes itself."""
    async with Sandbox(tickets=60) as sandbox:
        body, other, *_ = await closes(sandbox)
        async with service(sandbox, tmp_path) as mine:
            await describes_itself(mine)
            assert (await mine.ask("GET", "/outcomes/a"))[0] == 404
            status, told = await mine.ask("PUT", "/closes/a", body | {"id": 0})
            assert (status, "CloseTicket.id" in str(told["detail"])) == (422, True)
            for wrong in ([body], None, {}, body | {"closer": 1}):
                assert (await mine.ask("PUT", "/closes/a", wrong))[0] == 422
            status, told = await mine.ask("GET", "/tickets?status=nonsense")
            assert (status, "not valid" in told["says"]) == (422, True)
            assert (await mine.ask("PUT", "/closes/a", body | {"id": 99_999_999}))[0] == 404
            sandbox.faults = [Fault("errno", operation="close_ticket", errno=23000)]
            status, told = await mine.ask("PUT", "/closes/b", other)
            assert (status, told["state"]) == (409, "rejected")
            sandbox.faults = [Fault("errno", operation="list_tickets", errno=90003)]
            assert (await mine.ask("GET", "/tickets"))[0] == 502
            sandbox.faults = []
            assert (await mine.ask("PUT", "/closes/b", body))[0] == 422  # the key was another's
        assert sandbox.applied == []


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.slow
async def test_a_lost_answer(tmp_path: Path, *, restarts: bool) -> None:
    """It is 202 with a place to ask again, also in the next run; asking sends nothing."""
    async with Sandbox(tickets=60) as sandbox:
        key, (body, *_) = quote("关闭 1?"), await closes(sandbox)
        lost, blind = Fault("reset_after", operation="close_ticket"), Fault("403", operation="get_ticket_detail")
        sandbox.faults = [lost, blind]
        async with service(sandbox, tmp_path) as mine:
            status, told = await mine.ask("PUT", f"/closes/{key}", body)
            assert (status, told["state"], mine.headers["Location"]) == (202, "unknown", f"/outcomes/{key}")
            assert (await mine.ask("GET", mine.headers["Location"]))[0] == 202
            if not restarts:
                sandbox.faults = []
                assert (await mine.ask("GET", f"/outcomes/{key}"))[0] == 200
        sandbox.faults = []
        async with service(sandbox, tmp_path) as mine:
            status, told = await mine.ask("GET", f"/outcomes/{key}")
            assert (status, told["state"], told["ticket_id"]) == (200, "done", body["id"])
        assert sandbox.requests["close_ticket"] == 1


def test_the_page_shows_it() -> None:
    """The page on applications shows lines of this program, and no others."""
    page = (ROOT / "docs" / "applications.md").read_text("utf-8")
    (shown,) = re.findall(r"fastapi_service\.py, which is -->\n```python\n(.*?)```", page, re.DOTALL)
    lines = (FOLDER / "fastapi_service.py").read_text("utf-8").splitlines()
    assert [line for line in shown.splitlines() if line not in lines] == []
