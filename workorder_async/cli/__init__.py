"""The command line `workorder`; it needs the extra `cli` (cyclopts and rich), and uses the client as anyone could."""
