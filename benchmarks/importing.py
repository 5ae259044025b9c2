"""Row import: what `import workorder_async` adds to the start of a bare interpreter, in milliseconds.

Bytecode is kept, as that of an installed package is: in a folder of its own, which the round that does not count fills.
"""

import os
import subprocess
import sys
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.child import ROOT
from benchmarks.measuring import Comparison, Contestant, Plan, Row, race

_BARE = "pass"  # a bare interpreter
_OURS = "import workorder_async"


def measure(plan: Plan) -> Row:
    """Measure whole child processes, from start to exit."""
    others = ("import aiohttp", "from workorder_async import WorkorderClient")
    with TemporaryDirectory() as bytecode:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        result = race(_BARE, {code: _child(code, environment) for code in (_BARE, _OURS, *others)}, plan.rounds)
    return Row(
        "import",
        "import workorder_async, whole process, ms",
        "a bare interpreter, which is taken off",
        "<=",
        60.0,
        result.excess(_OURS, _BARE).times(1000),
        result,
        unit="ms",
        beside=tuple(Comparison(code, result.excess(code, _BARE).times(1000), "ms for") for code in others),
        notes=(f"bare interpreter: {result.seconds[_BARE].median * 1000:.0f} ms",),
    )


def _child(code: str, environment: dict[str, str]) -> Contestant:
    def run() -> float:
        begun = perf_counter()
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
        return perf_counter() - begun

    return run
