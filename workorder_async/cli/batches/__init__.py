"""How `close`, `comment` and `reject` go about many tickets."""
