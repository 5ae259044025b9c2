"""One signed call over the wire: to its answer, or to an error that says what is known."""
