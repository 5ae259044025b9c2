"""Promise 3: a mutation never happens twice, and an unknown outcome is said to be unknown."""
