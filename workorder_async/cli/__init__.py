"""The command line `workorder`; it needs the extra `cli` (cyclopts and rich), and uses the client as anyone could.

app.py             the commands by name, and how any end becomes an exit code
commands/          one file a command, named after it: its options, and what it does with the client
batches/           what `close`, `comment` and `reject` share: choose, show, ask, carry out, report
demo/              the tours of `workorder demo`
terminal/          what people see and type: lines, tables, bars, questions, Ctrl-C
connection.py      the four environment variables, and the options that go before them
profiles.py        platforms by name, in a file, for what the variables do not say
filters.py         the filters of `list`, `export` and batches, as options
times.py           times as people write them
values.py          other values as people write them: whole numbers, names of codes, texts, files
ticket_json.py     a new ticket as a JSON object
attachments.py     the files that a command uploads
interrupting.py    what becomes of a creation when Ctrl-C comes
exporting.py       how far an export is, and what came of it
checks.py          the checks of `workorder doctor`
failures.py        what a failure is: a sentence, a hint, an exit code
usage.py           what is wrong with a command line, in a sentence
wording.py         the library's words as the command line says them
"""
