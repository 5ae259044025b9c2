"""A service that lists tickets and closes them, each close once for its key: `uvicorn fastapi_service:app`.

It is one process: its journal, `service.journal` or what JOURNAL says, is locked while it is open.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from workorder_async import (
    CloseTicket,
    ConfigError,
    NotFoundError,
    Once,
    Outcome,
    State,
    TicketQuery,
    TicketStateError,
    TicketSummary,
    WorkorderClient,
    WorkorderError,
    explain,
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Give each request the client and the events."""
    journal = os.environ.get("JOURNAL", "service.journal")
    async with WorkorderClient.from_env() as client, Once(client, journal) as once:
        yield {"client": client, "once": once}


app = FastAPI(title="Tickets", lifespan=lifespan)


class Told(BaseModel):
    """What became of a close."""

    state: str
    says: str
    ticket_id: int


def status_of(error: WorkorderError | None) -> int:
    """Return the HTTP status of what went wrong."""
    kinds = {TicketStateError: 409, NotFoundError: 404, ConfigError: 422}
    return next((status for kind, status in kinds.items() if isinstance(error, kind)), 502)


@app.exception_handler(WorkorderError)
async def say(_: Request, error: WorkorderError) -> JSONResponse:
    """Say what went wrong where nothing was to be changed; of a wrong argument also which, to programmers."""
    why = {"why": str(error)} if isinstance(error, ConfigError) else {}
    return JSONResponse({"says": explain(error), **why}, status_of(error))


def told(outcome: Outcome, key: str, response: Response) -> Told:
    """Say what became of a close; where it is not known yet, where to ask again."""
    known = {State.DONE: 200, State.NOT_SENT: 503, State.UNKNOWN: 202}
    response.status_code = known.get(outcome.state) or status_of(outcome.error)
    if outcome.state is State.UNKNOWN:
        response.headers.update({"Location": f"/outcomes/{quote(key, safe='')}", "Retry-After": "5"})
    return Told(state=outcome.state.value, says=explain(outcome), ticket_id=outcome.ticket_id)


@app.get("/tickets")
async def tickets(request: Request, status: str | None = None, page: int = 1) -> list[TicketSummary]:
    """List tickets, fifty a page."""
    client: WorkorderClient = request.state.client
    return (await client.list_tickets(TicketQuery(status=status), page=page, page_size=50)).tickets


@app.put("/closes/{key}")
async def close(request: Request, response: Response, key: str, body: CloseTicket) -> Told:
    """Close a ticket. Send it again with the same key as often as you like: it is closed once."""
    return told(await request.state.once(key, body, deadline=20), key, response)


@app.get("/outcomes/{key}")
async def outcome(request: Request, response: Response, key: str) -> Told:
    """Tell what became of a close."""
    found = await request.state.once.outcome(key, deadline=20)
    if found is None:
        raise HTTPException(404, "no close with this key was sent; send it again")
    return told(found, key, response)
