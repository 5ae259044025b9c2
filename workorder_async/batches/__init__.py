"""Many mutations, each carried out once, with a journal."""
