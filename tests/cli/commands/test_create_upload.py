"""`workorder upload`: what it prints."""

from pathlib import Path

from tests.support.cli_runs import Workorder


def test_upload_prints_what_a_ticket_needs(workorder: Workorder, tmp_path: Path) -> None:
    """`upload` prints the five fields of the attachment, also of an empty file."""
    path = tmp_path / "empty.log"
    path.write_bytes(b"")
    [attachment] = workorder("upload", path, "--json").rows
    assert attachment.keys() == {"file_name", "file_path", "file_size", "file_type", "author"}
    assert (attachment["file_name"], attachment["file_size"], attachment["author"]) == ("empty.log", 0, 40084)
    lines = [tuple(line.split(maxsplit=1)) for line in workorder("upload", path).out.splitlines()]
    assert ("file_size", "0 bytes") in lines
    assert ("file_name", "empty.log") in lines


def test_a_name_that_is_no_text(workorder: Workorder, tmp_path: Path) -> None:
    """A file whose name is no UTF-8 is refused with what a person can do."""
    (tmp_path / "t\udcff.log").touch()
    ran = workorder("upload", tmp_path / "t\udcff.log")
    assert (ran.code, ran.err) == (2, "workorder: the file's name 't\\udcff.log' is not valid text; rename the file\n")
