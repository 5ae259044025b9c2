"""A batch in a process of its own, to be killed: reads mutations from a file and prints what became of each.

Arguments: the journal, and the file of mutations, a JSON line each. The sandbox comes from the environment.
"""

import asyncio
import os
import sys
from pathlib import Path

import orjson

from workorder_async import RetryPolicy, SchemeSigner, WorkorderClient
from workorder_async.batches.batch import run_batch
from workorder_async.document.codec import decode_mutation
from workorder_async.mutations.kinds import key_of
from workorder_async.sandbox import SANDBOX_ERRNOS


async def main(journal: str, mutations: str) -> None:
    """Run the batch, as a user's bot would."""
    signer = SchemeSigner(*(os.environ[f"WORKORDER_{name}"] for name in ("APP_ID", "APP_SECRET", "SIGN_SCHEME")))
    lines = await asyncio.to_thread(Path(mutations).read_bytes)
    batch = [decode_mutation(*orjson.loads(line)) for line in lines.splitlines()]
    async with WorkorderClient(
        os.environ["WORKORDER_BASE_URL"],
        signer=signer,
        errnos=SANDBOX_ERRNOS,
        retry=RetryPolicy(first=0.01),
        attempt_timeout=2,
        deadline=20,
    ) as client:
        async for outcome in run_batch(client, batch, concurrency=16, journal=journal, key=key_of):
            sys.stdout.write(f"{key_of(outcome.mutation)} {outcome.state.name}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
