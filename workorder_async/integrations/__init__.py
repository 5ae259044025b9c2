"""What plugs this library into somebody else's house: one optional dependency a file."""
