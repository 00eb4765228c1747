"""What is told of a session's row. `integration/test_archive_host.py` compares it with the real host's."""

from ocblob.hosts.opencode.export import session_info

ROW: dict[str, int | float | str | None] = {
    "id": "ses_1", "project_id": "prj", "parent_id": None, "slug": "s", "directory": "/d", "title": "t", "version": "1",
    "time_created": 1, "time_updated": 2,
}  # fmt: skip


def test_a_row_of_an_older_schema_has_fewer_keys() -> None:
    """What the table has no column for, and what is null, is left out; nothing is made up."""
    expected = {
        "id": "ses_1", "slug": "s", "projectID": "prj", "directory": "/d", "title": "t", "version": "1",
        "time": {"created": 1, "updated": 2},
    }  # fmt: skip

    assert expected == session_info(ROW)


def test_columns_that_are_no_json_are_left_out() -> None:
    """Broken JSON, other values than the host writes, and numbers that JSON does not know."""
    broken = {"model": "{", "revert": "[1]", "metadata": '{"a":NaN}', "permission": None, "summary_diffs": "no"}

    assert session_info(ROW) == session_info(ROW | broken)


def test_a_summary_is_told_if_there_is_any_count() -> None:
    """The other counts are zero then."""
    told = session_info(ROW | {"summary_additions": None, "summary_files": 3, "summary_diffs": "[]"})

    assert {"additions": 0, "deletions": 0, "files": 3, "diffs": []} == told["summary"]
