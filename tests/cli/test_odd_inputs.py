"""cli: hundreds of odd inputs, each with its exit code, its sentence, and a stdout that is empty or right."""

import io
import re
import shlex
import sys
from pathlib import Path

import orjson
import pytest

from tests.support.cli_runs import Workorder
from tests.support.cli_words import LIBRARY_WORDS
from tests.support.slow import slow_but_every
from workorder_async.sandbox import Sandbox

TICKETS = 40

# exit code | command line | what stderr says, or what stdout begins with where the exit code is 0
ODD = r"""
2 | clse 1                                      | Unknown command "clse". Did you mean "close"?
2 | CLOSE 1                                     | Unknown command "CLOSE"
2 | ''                                          | Unknown command ""
2 | 工单                                        | Unknown command "工单"
2 | --verbose list                              | Options stand after the command; see `workorder --help`
2 | -v                                          | see `workorder --help`
2 | list list                                   | nothing here takes 'list'
0 | sign                                        | Usage: workorder sign
2 | sign detct                                  | Did you mean "detect"?
2 | help clse                                   | Did you mean "close"?
0 | help list show                              | Usage: workorder list
2 | help --nope                                 | Unknown option: --nope
0 | help list                                   | Usage: workorder list
0 | help sign detect                            | Usage: workorder sign detect
0 | help                                        | Usage: workorder COMMAND
0 | help help                                   | Usage: workorder help
0 | list --help                                 | Usage: workorder list
0 | close 1 --help                              | Usage: workorder close
0 | --help                                      | Usage: workorder COMMAND
2 | completion                                  | SHELL is missing
2 | completion csh                              | "bash", "zsh", "fish"
2 | completion bash zsh                         | nothing here takes 'zsh'
0 | completion zsh                              | #compdef workorder
0 | completion fish                             | # Fish completion
2 | completion --shell bash                     | Unknown option: --shell
2 | list surplus                                | nothing here takes 'surplus'; a text with blanks must be in quotes
2 | list two words                              | nothing here takes 'two', 'words'
2 | list --statu 1                              | --status
2 | list -n 5                                   | Unknown option: -n
2 | list --status                               | --status needs a value
2 | list --status --json                        | --status needs a value
2 | list --status ''                            | --status: '' is not known; use one of: 1 pending 待处理
2 | list --status pendin                        | --status: 'pendin' is not known
2 | list --status 5                             | 4 cancelled 已取消
2 | list --status -1                            | --status: '-1' is not known
2 | list --status 1,                            | --status: '' is not known
2 | list --status 1,,2                          | --status: '' is not known
2 | list --status 1;2                           | --status: '1;2' is not known
2 | list --status 1 --status 2                  | --status was said before; say it once
2 | list --status 1.0                           | --status: '1.0' is not known
2 | list --status １                            | --status: '１' is not known
0 | list --status canceled --json               | {"id":
0 | list --status CANCELLED --json              | {"id":
0 | list --status 待处理,已关闭 --json          | {"id":
2 | list --type 4                               | --type: '4' is not known
2 | list --type feature--request                | --type: 'feature--request' is not known; use one of
2 | list --type bug                             | 2 feature-request 需求反馈
0 | list --type feature-request --json          | {"id":
0 | list --type 'Feature Request' --json        | {"id":
0 | list --type FEATURE_REQUEST --json          | {"id":
2 | list --limit                                | --limit needs a value
2 | list --limit -1                             | Must be >= 0
2 | list --limit many                           | --limit: 'many' is no whole number of 64 bits; write one in digits
2 | list --limit 2.5                            | --limit: '2.5' is no whole number
2 | list --limit 1e3                            | --limit: '1e3' is no whole number
2 | list --limit 0x10                           | --limit: '0x10' is no whole number
2 | list --limit 1,000                          | --limit: '1,000' is no whole number
2 | list --limit １０                           | --limit: '１０' is no whole number
2 | list --limit ''                             | --limit: '' is no whole number
2 | list --limit 99999999999999999999           | --limit: '99999999999999999999' is no whole number
2 | list --limit 1 --limit 2                    | --limit was said before
0 | list --limit 9223372036854775807 --json     | {"id":
0 | list --limit 0 --json                       | {"id":
0 | list --limit +1 --json                      | {"id":
2 | list --json=maybe                           | --json takes no value, and was given 'maybe'
2 | list --json no                              | nothing here takes 'no'
2 | list --no-json                              | Unknown option: --no-json
2 | list --since                                | --since needs a value
2 | list --since ''                             | --since '' is no time
2 | list --since 2025                           | --since '2025' is read as seconds since 1970
2 | list --since 1473                           | --since '1473' is read as seconds
2 | list --since 20241301                       | --since '20241301' is no time; write 2024-01-31
2 | list --since 2024-02-30                     | --since '2024-02-30' is no time
2 | list --since 2024-13                        | --since '2024-13' is no time
2 | list --since tomorow                        | --since 'tomorow' is no time
2 | list --since 1700000000000                  | is read as seconds since 1970, and is no time of a ticket
2 | list --since -5                             | --since '-5' is no time
2 | list --since '5 years ago'                  | --since '5 years ago' is no time
2 | list --since 25:00                          | --since '25:00' is no time
2 | list --created-end soon                     | --created-end 'soon' is no time
2 | list --since 2024-02-01 --until 2024-01-01  | is after --until
2 | list --since today --until yesterday        | is after --until
2 | list --since 1700000000 --created-start 1   | --created-start was said before
0 | list --since 2020/1/1 --json                | {"id":
0 | list --until 今天 --json                    | {"id":
2 | list --creator-id 0                         | --creator-id is 0; it must be from 1
2 | list --creator-id -7                        | --creator-id is -7
2 | list --creator-id me                        | --creator-id: 'me' is no whole number
2 | list --creator-id 9999999999999999999       | is no whole number of 64 bits
2 | list --customer ' '                         | --customer is empty
2 | list --customer                             | --customer needs a value
2 | list --product-group 0                      | --product-group is 0
2 | list --product-group 0x24                   | --product-group
2 | list --product-group 36 --product-group x   | --product-group
2 | list --sub-type 0                           | --sub-type is 0
2 | upload ''                                    | FILE is empty; name a file
2 | report ''                                    | FILE is empty; name a file
2 | create {all} --attach ''                     | --attach is empty; name a file
2 | comment 1001 --detail x --journal ''         | --journal is empty; name a file
2 | comment --from '' --detail x                 | --from '': No such file
2 | sandbox --db ''                              | --db is empty; name a file
2 | list --sub-type 1.5                         | --sub-type: '1.5' is no whole number
2 | list --second-subtype -1                    | --second-subtype is -1
2 | list --fields                               | --fields needs a value
2 | list --fields ''                            | --fields: the list has no field ''; it has id
2 | list --fields ID                            | --fields: the list has no field 'ID'; it has id, title
2 | list --fields id,titel                      | the list has no field 'titel'; did you mean title?
2 | list --fields 'id title'                    | --fields: the list has no field 'id title'
2 | list --fields id --fields title             | --fields was said before
2 | list --fields '*'                           | --fields: the list has no field '*'; it has id
0 | list --fields id,title,created_at --json    | {"id":
0 | list --fields title,id,id --json            | {"title":
0 | list --limit 13                             | id
0 | list --fields title,id                      | title
0 | list --count --until 2025-01-01             | 40
0 | list --count --json --until 2025-01-01      | 40
0 | list --count --limit 1 --until 20250101     | 40
2 | list --older-than soon                      | --older-than 'soon' is no age; write one such as 30d or 2w
2 | list --older-than 9999w                     | --older-than '9999w' is before 1970; write an age such as 30d or 2w
2 | list --count --fields title                 | --count prints a number alone
2 | list --count 5                              | nothing here takes '5'
2 | list --base-url ftp://host                  | 'ftp://host' must be http:// or https://
2 | list --base-url platform.example            | must be http:// or https://
2 | list --base-url ''                          | not set: WORKORDER_BASE_URL
2 | list --base-url http://                     | http://
2 | list --base-url http://user:pw@host         | the base URL has an @
2 | list --base-url 'http://host/?a=1'          | must have no user, query or fragment
1 | list --base-url http://127.0.0.1:1          | could not send to http://127.0.0.1:1: Cannot connect
2 | list --scheme crc32:{secret}                | unknown digest 'crc32'
2 | list --scheme md5:{secrt}                   | {secrt}
2 | list --scheme md5                           | the signing scheme 'md5' has no ':'
2 | list --scheme ''                            | not set: WORKORDER_SIGN_SCHEME
2 | list --scheme 'md5:'                        | scheme
1 | list --scheme md5:{secret}                  | `workorder doctor`
2 | list --app-id 工单                          | '工单' cannot be an HTTP header
2 | list --app-id ''                            | not set: WORKORDER_APP_ID
2 | list --secret x                             | Unknown option: --secret
2 | list --app-secret x                         | Unknown option: --app-secret
2 | show                                        | ID is missing
2 | show 1 2                                    | nothing here takes '2'
2 | show 0                                      | workorder: ID is 0; it must be a ticket's number
2 | show -1                                     | -1
2 | show abc                                    | ID: 'abc' is no whole number
2 | show 1473.5                                 | ID: '1473.5' is no whole number
2 | show １２                                   | ID: '１２' is no whole number
2 | show '#1001'                                | ID: '#1001' is no whole number
2 | show ''                                     | ID: '' is no whole number
2 | show 9999999999999999999                    | 9999999999999999999
2 | show 1001,1002                              | ID: '1001,1002' is no whole number
2 | show --id 1001                              | Unknown option: --id
1 | show 12                                     | 工单 12 不存在
1 | show 9223372036854775807                    | 不存在
0 | show 1001 --json                            | {"id":1001
0 | show +1001 --json                           | {"id":1001
0 | show 0001001 --json                         | {"id":1001
2 | create                                      | missing: --title, --detail, --type, --priority
2 | create x                                    | nothing here takes 'x'
2 | create --title x                            | missing: --detail, --type
2 | create --title                              | --title needs a value
2 | create --titel x                            | Did you mean --title?
2 | create {all} --title ' '                    | --title was said before
2 | create {but_title} --title ' '              | --title is empty
2 | create {but_title} --title ''               | --title is empty
2 | create {all} --reported-time tomorrow       | --reported-time 'tomorrow' is no time
2 | create {all} --reported-time 2099-01-01     | --reported-time '2099-01-01' has not come yet
2 | create {all} --reported-time 4070880000     | is no time of a ticket
2 | create {all} --reported-time 2024-01        | --reported-time '2024-01' is a month
2 | create {all} --tag x                        | --tag
2 | create {all} --tag 0                        | --tag is 0
2 | create {all} --sub-type 0                   | --sub-type is 0
2 | create {all} --customer-info me             | --customer-info must be a user_id or a JSON object
2 | create {all} --customer-info {}             | --customer-info [0].user_id is 0
2 | create {all} --customer-info '[1]'          | must be a user_id or a JSON object
2 | create {all} --customer-info '{"user_id":"x"}' | must be a user_id or a JSON object
2 | create {all} --customer-info 0              | --customer-info [0].user_id is 0
2 | create {all} --relate-to-ticket-id 0        | --relate-to-ticket-id is 0
2 | create {all} --attach none.png              | "none.png" does not exist
2 | create {all} --attach folder                | "folder" is a directory
2 | create {all} --author 5                     | --author says who uploads, and there is no file; add --attach FILE
2 | close {by} 1001 --author 5                  | --author says who uploads, and there is no file; add --attach FILE
2 | create {all} --need-process=perhaps         | --need-process takes no value
2 | create {all} --author x                     | --author: 'x' is no whole number
2 | create --from-json                          | --from-json needs a value
2 | create --from-json none.json                | --from-json none.json: No such file or directory
2 | create --from-json folder                   | --from-json folder: Is a directory
2 | create --from-json empty                    | --from-json empty is no JSON
2 | create --from-json binary                   | --from-json binary is not UTF-8 (byte 128)
2 | create --from-json list.json                | --from-json list.json is no object
2 | create --from-json odd.json                 | a ticket has no field 'titel'; did you mean title?
2 | create --from-json some.json                | missing: --detail
2 | create --from-json -                        | --from-json - is no JSON
2 | create --from-json - --detail -             | cannot go together
2 | create --from-json wrong.json               | creator_id in --from-json wrong.json is '210002'; it must be a whole
2 | create --from-json late.json                | reported_time in --from-json late.json '2099-01-01' has not come yet
0 | create --from-json ticket.json --json       | {"id":
0 | create --from-json ticket.json --title x    | 10
2 | comment                                     | --detail is missing
2 | comment 1001                                | --detail is missing
2 | comment --detail x                          | must be chosen in one way
2 | comment 1001 --detail ''                    | --detail is empty
2 | comment 1001 --detail ' '                   | --detail is empty
2 | comment 1001 --detail -                     | --detail is empty
2 | comment 1001 --detail x --detail y          | --detail was said before
2 | comment 0 --detail x                        | ID is 0; it must be from 1
2 | comment 1.4 1.6 --detail x                  | IDS: '1.4' is no whole number
2 | comment abc --detail x                      | IDS: 'abc' is no whole number
2 | comment 1001 two words --detail x           | IDS: 'two' is no whole number
2 | comment 1001 --detail x --as-product-group 0 | --as-product-group is 0
2 | comment 1001 --detail x --product-group 36  | the tickets must be chosen in one way
0 | list --product-group-id 36                  | id
2 | comment 1001 --detail x --status pending    | the tickets must be chosen in one way
2 | comment 1001 --detail x --from ids.txt      | the tickets must be chosen in one way
2 | comment --from none.txt --detail x          | none.txt
2 | comment --from folder --detail x            | folder
2 | comment --from bad.txt --detail x --yes     | bad.txt
2 | comment --from - --detail - --yes           | cannot go together
2 | comment --from ids.txt --detail x           | nobody is there to be asked; add --yes
2 | comment --status pending --detail x         | nobody is there to be asked
2 | comment 1001 --detail x --concurrency 0     | --concurrency
2 | comment 1001 --detail x --journal folder    | folder
2 | comment 1001 --detail x --journal ids.txt   | ids.txt
1 | comment 12 --detail x                       | 工单 12 不存在
0 | comment 1001 1002 --detail x --dry-run      | 1001
0 | comment 1001 --detail x --json              | {"id":1001
2 | reject                                      | must be chosen in one way
2 | reject 0                                    | ID is 0
2 | reject x                                    | IDS: 'x' is no whole number
2 | reject --status pending                     | nobody is there to be asked
2 | reject 1001 --detail                        | --detail needs a value
2 | reject 1001 --product-group 0               | the tickets must be chosen in one way
1 | reject 12                                   | 工单 12 不存在
0 | reject 1001 --dry-run                       | 1001
2 | close                                       | --closer-id is missing
2 | close 1001                                  | --closer-id is missing
2 | close 1001 --closer-id                      | --closer-id needs a value
2 | close 1001 --closer-id 0 --closer-name x    | --closer-id is 0
2 | close 1001 --closer-id 1.5 --closer-name x  | --closer-id: '1.5' is no whole number
2 | close 1001 --closer-id 1                    | say who closes
2 | close 1001 --closer-id 1 --closer-name ''   | --closer-name is empty
2 | close 1001 --closer-id 1 --closer-name x --as-creator | say who closes
2 | close {by} 0                                | ID is 0
2 | close {by} -3                               | -3
2 | close {by}                                  | must be chosen in one way
2 | close {by} 1001 --solved-time 2099-01-01    | --solved-time '2099-01-01' has not come yet
2 | close {by} 1001 --solved-time 2024          | --solved-time '2024' is read as seconds
2 | close {by} 1001 --solved-time ''            | --solved-time '' is no time
2 | close {by} 1001 --attach none.png           | "none.png" does not exist
2 | close {by} 1001 --is-solved=so              | --is-solved takes no value
2 | close {by} --status pending                 | nobody is there to be asked
2 | close {by} --status pending 1001            | the tickets must be chosen in one way
2 | close {by} --from ids.txt --customer x      | the tickets must be chosen in one way
2 | close {by} --from empty2.txt --status 1     | the tickets must be chosen in one way
0 | close {by} 1001 --dry-run                   | 1001
0 | close {by} 1001 --dry-run --json            | {"operation":"close_ticket"
1 | close {by} 12                               | 工单 12 不存在
1 | close --closer-id 1 --closer-name 无名 1003 | 创建人
2 | upload                                      | FILE is missing
2 | upload none.png                             | "none.png" does not exist
2 | upload folder                               | "folder" is a directory
2 | upload trace.txt ids.txt                    | nothing here takes 'ids.txt'
2 | upload --file trace.txt                     | --file
0 | upload trace.txt --json                     | {"file_name":"trace.txt"
2 | export                                      | --output is missing
2 | export ''                                   | OUTPUT '' names no file; name one, or - for stdout
2 | export new/                                 | OUTPUT 'new/' names no file
2 | export folder                               | folder
2 | export none/x.csv                           | 'none/x.csv': there is no folder
2 | mirror none/x.db                            | none/x.db': there is no folder
2 | export x                                    | 'x' says no format by its suffix; add --format, or use one of
2 | export x.txt                                | says no format by its suffix
2 | export x.csv --format cvs                   | --format 'cvs' is not known
2 | export x.csv --format ''                    | --format '' is not known
2 | export - --format parquet                   | parquet cannot be written to stdout
2 | export - --format xlsx                      | xlsx cannot be written to stdout
2 | export trace.txt --format csv               | exists; --overwrite replaces it
2 | export a.csv b.csv                          | nothing here takes 'b.csv'
2 | export a.csv --output b.csv                 | nothing here takes 'a.csv'
2 | export a.csv -o b.csv                       | nothing here takes 'a.csv'
2 | export -o ''                                | -o '' names no file
2 | export -o                                   | -o needs a value
2 | export --output ''                          | --output '' names no file
2 | export --output                             | --output needs a value
2 | export -o new/                              | -o 'new/' names no file
2 | export x.csv --raw                          | --raw writes the server's own objects
2 | export x.jsonl --raw --detail               | --raw writes the rows of the list; detail and attachments need
2 | export x.jsonl --concurrency 0              | --concurrency is 0; it must be a whole number of at least 1
2 | export x.jsonl --concurrency x              | --concurrency: 'x' is no whole number
2 | export x.jsonl --page-size 0                | --page-size is 0
2 | list --page-size 0                          | --page-size
2 | export x.jsonl --page-size 99999999999      | --page-size is 99999999999
2 | export x.jsonl --attachments ''             | --attachments is empty; it must be a path
2 | export x.jsonl --status 9                   | --status: '9' is not known
2 | export x.jsonl --since 2025                 | --since '2025' is read as seconds
1 | export other.csv                            | no manifest of an export
1 | export part.csv                             | move it away, or begin anew with --no-resume
1 | export x.jsonl --base-url http://127.0.0.1:1 | could not send
2 | export - --limit 1                          | Unknown option: --limit
0 | export -                                    | {"id":
0 | export -o - --status pending                | {"id":
0 | export - --format csv --no-csv-bom          | id,title
0 | export done.csv --no-csv-defuse             | nothing on stdout
2 | columns x                                   | nothing here takes 'x'
2 | columns --format csv                        | Unknown option: --format
0 | columns                                     | | column
0 | columns --detail --json                     | {"name":"id"
2 | doctor x                                    | nothing here takes 'x'
0 | doctor --json                               | {"name":
2 | sandbox --port 99999999                     | --port is 99999999
2 | sandbox --port -1                           | --port is -1
2 | sandbox --port x                            | --port: 'x' is no whole number
2 | sandbox --tickets -1                        | --tickets is -1
2 | sandbox --tickets 999999999999              | --tickets is 999999999999
2 | sandbox --seed -1                           | --seed is -1
2 | sandbox --latency -1                        | --latency is -1.0
2 | sandbox --latency x                         | --latency: 'x' is no number
2 | sandbox --latency nan                       | --latency is nan
2 | sandbox --name 'a b'                        | --name has 'a b'
2 | sandbox --page-size-cap 0                   | --page-size-cap is 0
2 | sandbox --db folder                         | folder
2 | sandbox --db trace.txt --port 0             | trace.txt is not a database
2 | sandbox --db none/x.db --port 0             | none/x.db cannot be opened
2 | sandbox 8011                                | nothing here takes '8011'
2 | demo --tickets -1                           | --tickets is -1
2 | demo --tickets x                            | --tickets: 'x' is no whole number
2 | demo --closes -1                            | Must be >= 0
2 | demo --latency -1                           | --latency is -1.0
2 | demo --hostile --latency 1                  | --latency is for the plain demo
2 | demo --output ''                            | --output '' names no file
2 | demo --output folder                        | folder
2 | demo --output none/x.jsonl --tickets 1      | there is no folder
2 | demo -o new/                                | -o 'new/' names no file
2 | demo x                                      | nothing here takes 'x'
2 | sign detect                                 | Timestamp is missing
2 | sign detect --timestamp 1                   | Sign is missing
2 | sign detect x                               | nothing here takes 'x'
2 | sign detect --body-file none                | "none" does not exist
2 | sign detect --secret x                      | Unknown option: --secret
"""
FIELDS = {
    "title": "实例无法启动",
    "detail": "报错见附件",
    "type": 1,
    "priority": "紧急",
    "creator_name": "姜程",
    "customer_organization_id": 5001,
    "customer_organization_name": "北京晨曦网络科技有限公司",
    "repository_product_id": 36,
    "creator_id": 210002,
}
FILES = {
    "trace.txt": b"trace",
    "ids.txt": b"1001\n1002\n",
    "bad.txt": b"1001\n1,002\n",
    "empty": b"",
    "empty2.txt": b"",
    "binary": bytes(range(256)),
    "list.json": b"[]",
    "odd.json": b'{"titel":"x"}',
    "some.json": b'{"title":"x"}',
    "ticket.json": orjson.dumps(FIELDS),
    "wrong.json": orjson.dumps({**FIELDS, "creator_id": "210002"}),
    "late.json": orjson.dumps({**FIELDS, "reported_time": "2099-01-01"}),
    "other.csv.manifest": b"something else\n",
    "part.csv.part": b"id\n1\n",
}


def _options(fields: dict[str, object]) -> str:
    return shlex.join(word for name, value in fields.items() for word in (f"--{name.replace('_', '-')}", str(value)))


SHORT = {
    "{all}": _options(FIELDS),
    "{but_title}": _options({name: value for name, value in FIELDS.items() if name != "title"}),
    "{by}": "--closer-id 40084 --closer-name 姜程",
}


def _row(line: str) -> tuple[int, str, str]:
    code, command, said = (part.strip() for part in line.split(" | ", 2))
    return int(code), command, said


ROWS = [_row(line) for line in ODD.strip().splitlines()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the files that the command lines name, in the folder where they run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    return tmp_path


@pytest.mark.parametrize(("code", "command", "said"), slow_but_every(20, ROWS), ids=[command for _, command, _ in ROWS])
def test_each_ends_as_it_should(
    workorder: Workorder, sandbox: Sandbox, folder: Path, code: int, command: str, said: str
) -> None:
    """Exit code, one sentence, stdout empty or right, no word of the library; and nothing is changed by mistake."""
    words = shlex.split(re.sub("{(all|but_title|by)}", lambda match: SHORT[match[0]], command))
    changed, files, before = len(sandbox.applied), sorted(folder.rglob("*")), sandbox.requests
    ran = workorder(*words)
    assert ran.code == code, ran
    assert not LIBRARY_WORDS.search(ran.err), ran.err
    if code == 0:
        assert ran.out.startswith(said) if said != "nothing on stdout" else ran.out == "", ran.out[:200]
        assert "workorder: " not in ran.err
        return
    assert said in ran.err
    assert ran.err.startswith("workorder: ")
    assert ran.err.count("\n") == 1
    assert ran.out == ""
    assert len(sandbox.applied) == changed
    if code == 2:
        assert (sorted(folder.rglob("*")), sandbox.requests) == (files, before)


def test_there_are_hundreds_of_them() -> None:
    """Each command is there many times over, and each command line once."""
    assert len({command for _, command, _ in ROWS}) == len(ROWS) >= 300
