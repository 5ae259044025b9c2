"""A batch in a process of its own, to be killed: reads mutations from a file and prints what became of each.

Arguments: the journal, the file of mutations, a JSON line each, a seed: where it is not 0, our clock is set now and
then, and the disk hangs; and "mark" where comments and creations carry a mark. The sandbox comes from the environment.
A journal that is refused is exit code 3.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from random import Random

import orjson

from tests.support.at_random import SetClock
from workorder_async import JournalError, RetryPolicy, SchemeSigner, WorkorderClient
from workorder_async.batches.batch import run_batch
from workorder_async.document.codec import decode_mutation
from workorder_async.mutations.kinds import key_of
from workorder_async.sandbox import SANDBOX_ERRNOS


def let_the_disk_hang(random: Random) -> None:
    """Let one fsync in some hundred take more than a second."""
    fsync = os.fsync

    def slow(file: int) -> None:
        if random.random() < 0.003:
            time.sleep(1.5)
        fsync(file)

    os.fsync = slow  # type: ignore[assignment]


async def main(journal: str, mutations: str, seed: str, mark: str = "") -> None:
    """Run the batch, as a user's bot would."""
    random = Random(int(seed))
    if int(seed):
        let_the_disk_hang(random)
    signer = SchemeSigner(*(os.environ[f"WORKORDER_{name}"] for name in ("APP_ID", "APP_SECRET", "SIGN_SCHEME")))
    lines = await asyncio.to_thread(Path(mutations).read_bytes)
    batch = [decode_mutation(*orjson.loads(line)) for line in lines.splitlines()]
    async with WorkorderClient(
        os.environ["WORKORDER_BASE_URL"],
        signer=signer,
        errnos=SANDBOX_ERRNOS,
        retry=RetryPolicy(first=0.01),
        # What was sent is carried out, and shown by a replica that is 1.5 s behind, long before.
        attempt_timeout=4,
        deadline=20,
        now=SetClock(random) if int(seed) else time.time,
    ) as client:
        async for outcome in run_batch(client, batch, concurrency=16, journal=journal, key=key_of, mark=bool(mark)):
            sys.stdout.write(f"{key_of(outcome.mutation)} {outcome.state.name}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except JournalError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(3)
