"""The command line `workorder`; it needs the extra `cli` (cyclopts and rich), and uses the client as anyone could.

app.py             all commands by name; turns the end of a command into an exit code
commands/          a file for one command, or for a few that belong together: options, and calls of the client
filters.py         which tickets, by filters; and how much of each is read: options of several commands
number_file.py     which tickets: the numbers in a file of --from
chosen.py          the tickets that a batch changes, read and shown before it
connection.py      the four environment variables, and the options that go before them; running until Ctrl-C
profiles.py        platforms by name, in a file, for the variables that are not set
values.py          values as people write them: whole numbers, names of codes, texts, files, times
terminal.py        output for people and input from them: lines, tables, bars, questions
failures.py        failures as sentences in words of the command line, with a hint and an exit code
"""
