"""Words that say nothing to who types commands: of the library, of Python, of the parser."""

import re

LIBRARY_WORDS = re.compile(
    r"""contextlib|aclosing|file_name=|Unused\ Tokens|Ticket(Status|Type|Query|Summary|Page)|Priority\b
    |\b(Create|Comment|Reject|Close)Ticket\b|\b(resume|overwrite|raw|detail|verify|strict|csv_bom|csv_defuse)=
    |on_bad_row|page_size|on_unknown|base_url|(?<!\{)\bapp_id\b|None\b|True\b|False\b|NoneType|<class|object\ at\ 0x
    |app_secret|session=|upload_file|from_env|SchemeSigner|WorkorderClient|run_batch|export_tickets|Errno\b|parameter\ -
    |\binto\ (int|float|bool|str)\b|[a-z]Error\b
    |\bstr\ '|\bint\ [0-9]""",
    re.VERBOSE,
)
