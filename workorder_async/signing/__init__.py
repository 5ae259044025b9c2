"""How a request is signed: schemes, the clocks that sign, and the search for an unknown scheme; no I/O."""
