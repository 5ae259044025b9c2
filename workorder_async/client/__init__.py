"""The client: a coroutine for each endpoint, walks, and what became of a lost answer."""
