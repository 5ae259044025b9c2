"""The command line `workorder`; it needs the extra `cli` (cyclopts and rich), and uses the client as anyone could.

app.py             the commands by name, and how any end becomes an exit code
commands/          a command, or some that are near each other: options, and what is done with the client
choosing.py        which tickets: the filters of `list`, `export` and batches, as options; or a file of numbers
connection.py      the four environment variables, and the options that go before them; running until Ctrl-C
profiles.py        platforms by name, in a file, for the variables that are not set
values.py          values as people write them: whole numbers, names of codes, texts, files, times
terminal.py        what people see and type: lines, tables, bars, questions
failures.py        what a failure is: a sentence in words of the command line, a hint, an exit code; equal ones once
"""
