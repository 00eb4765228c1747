"""What goes into an archive comes out of it, byte for byte; what is not as it was written is refused."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_sessions import TREE, MemorySessions, content, plain, row, sessions_with
from ocblob import find_refs
from ocblob.databases.session_rows import Content, Row, Value
from ocblob.digest import digest_of
from ocblob.errors import ArchiveError
from ocblob.ref import Ref
from ocblob.rewrite import reference_text
from ocblob.rows import session_digest
from ocblob.sessions.archive import ArchiveReport, apply_archive, plan_archive
from ocblob.sessions.reader import Archive, ArchivedTable
from ocblob.sessions.sealing import archive_place
from ocblob.sessions.unarchive_plan import chosen
from ocblob.sessions.verification import verify
from samples import cell, data_url, flip, payload

FILE = payload(3000, "file")
LITTLE = payload(780, "little")
"""Just enough to be kept as a blob."""
OTHER = payload(70_000, "other")
SUFFIXES = (".json", ".json.zst")


def archive(database: MemorySessions, path: Path) -> ArchiveReport:
    """Archive all sessions, without a store."""
    plan = plan_archive(database.survey(TREE))
    return apply_archive(database, TREE, plan, archive_place(path, stem="x"), None, host="opencode")


def back(path: Path) -> list[tuple[ArchivedTable, int | None, list[object]]]:
    """All rows of an archive, with their bytes."""
    file = Archive(path)
    with file.needed() as needed, file.extract(needed) as blobs:
        return [
            (table, each.rowid, [plain(value) for value in each.values])
            for _session, rows in file.sessions(blobs=blobs)
            for table, each in rows
        ]


def expected(database: MemorySessions, session: str = "ses_0") -> list[tuple[str, int | None, list[object]]]:
    """What must come back of one session."""
    with database.snapshot() as snapshot:
        found = [("project", each) for each in snapshot.context_rows("project", "id", "prj")]
        found += [(owned.table, each) for owned in TREE.owned for each in snapshot.rows(owned, session)]
        return [(table, each.rowid, [plain(value) for value in each.values]) for table, each in found]


def element(path: Path, index: int = 0) -> dict[str, object]:
    """One element of an archive, as any JSON tool reads it."""
    value = json.loads(path.read_bytes())[index]
    assert isinstance(value, dict)
    return value


ODD_TEXT = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(
        [
            b"",
            b'"data:',
            b'["data:;base64,',
            cell(FILE).encode(),
            data_url(FILE).encode(),
            b"\xff" + cell(FILE).encode() + b"\xc3",
            b"\xe2\x82" * 40_000,
            "€".encode() * 40_000,
            b"x" * 70_000 + b"\0\n\r\t\x7f",
            b'{"a":"' + data_url(OTHER).encode() + b'","b":"' + data_url(FILE, "image/x,y").encode() + b'"}',
            f'{{"data:{"x" * 2000};base64,QUJD":1}}'.encode(),
        ]
    ),
)
VALUES: st.SearchStrategy[Value] = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.builds(content, ODD_TEXT, st.just("text"), pieces=st.integers(1, 100_000)),
    st.builds(content, ODD_TEXT, st.just("blob")),
)


@settings(deadline=None)  # each makes a file that is flushed to the disk
@given(st.lists(VALUES, max_size=6), VALUES, st.sampled_from(SUFFIXES))
def test_whatever_rows_hold_comes_back(
    tmp_path_factory: pytest.TempPathFactory, values: list[Value], icon: Value, suffix: str
) -> None:
    """Every kind of value comes back with its type, its bytes and its rowid, and the file verifies."""
    database = sessions_with(*values, icon=icon)
    path = tmp_path_factory.mktemp("archive") / f"a{suffix}"

    report = archive(database, path)

    assert expected(database) == [(table.table, rowid, found) for table, rowid, found in back(path)]
    with database.snapshot() as snapshot:
        assert {"ses_0": session_digest(snapshot, TREE, "ses_0")} == report.digests == verify(path)
    if suffix == ".json":
        json.loads(path.read_bytes())


def test_each_payload_is_in_the_file_once(tmp_path: Path) -> None:
    """A payload of two sessions, of a broken cell and an icon, stands in one data URL; else there are refs to it."""
    broken = content(b"\xff" + cell(OTHER).encode())
    database = sessions_with(content(cell(FILE)), content(cell(FILE)), broken, icon=content(data_url(OTHER)), count=2)

    archive(database, tmp_path / "a.json")

    text = (tmp_path / "a.json").read_text()
    assert 1 == text.count(data_url(FILE))
    assert 1 == text.count(data_url(OTHER))
    first, second = (element(tmp_path / "a.json", index)["messages"] for index in (0, 1))
    assert json.loads(cell(FILE))["url"] == first[0]["parts"][0]["url"]  # type: ignore[index]
    assert Ref(digest_of(FILE), len(FILE)) in find_refs(first[0]["parts"][1]["url"])  # type: ignore[index]
    assert Ref(digest_of(FILE), len(FILE)) in find_refs(second[0]["parts"][0]["url"])  # type: ignore[index]


def test_zstd_alone_gives_the_same_text(tmp_path: Path) -> None:
    """What is packed is the very text of the plain file, for any zstd tool."""
    database = sessions_with(*(content(payload(300_000, number).hex()) for number in range(5)))
    archive(database, tmp_path / "a.json")
    archive(database, tmp_path / "b.json.zst")

    done = subprocess.run(["zstd", "-dc", str(tmp_path / "b.json.zst")], capture_output=True, check=True)

    times = re.compile(rb'"archived_ms":\d+|"text":"\w+"')
    assert times.sub(b"", (tmp_path / "a.json").read_bytes()) == times.sub(b"", done.stdout)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_truncation_is_refused(tmp_path: Path, suffix: str) -> None:
    """Whatever is cut off at the end, looking through it and listing it tell so."""
    path = tmp_path / f"a{suffix}"
    archive(sessions_with(content(cell(LITTLE))), path)
    whole = path.read_bytes()
    cut = tmp_path / f"cut{suffix}"

    for size in range(len(whole)):
        cut.write_bytes(whole[:size])
        with pytest.raises(ArchiveError):
            list(Archive(cut).headers())
        if size % 100 == 0:
            with pytest.raises(ArchiveError):
                verify(cut)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_flipped_bit_is_found(tmp_path: Path, suffix: str) -> None:
    """A bit that is not as it was written is found by verification, wherever it is; or the text is still the same."""
    path = tmp_path / f"a{suffix}"
    archive(sessions_with(content(cell(LITTLE))), path)
    digests, texts = verify(path), back(path)

    for offset in range(path.stat().st_size):
        flip(path, offset)
        try:
            assert digests == verify(path)
            assert texts == back(path)
            assert suffix == ".json.zst"
        except ArchiveError:
            pass
        flip(path, offset)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"messages":[', '"messages":[ '),
        ('"format":1', '"format":2'),
        ('"refs":false,', '"refs":0,'),
        ('{"table":"part"', '{"table":5'),
        ("]},\n{", "]}\n{"),
        ('"rows":[\n[0,', '"rows":[\n[true,'),
        ('"rows":[\n[0,', '"rows":[\n["0",'),
        ('"rows":[\n[0,', '"rows":[\n[9223372036854775808,'),
        ('"rows":[\n[0,"', '"rows":[\n[0,"\\ud800'),
        ('"rows":[\n[0,', '"rows":[\n[0,1,'),
        ('{"content":0}', '{"content":1}'),
        ('{"content":0}', '{"content":0.5}'),
        ('"kind":"text"', '"kind":"word"'),
        ('"pieces":[\n"', '"pieces":[\n5,"'),
        ('"unresolved":0,', ""),
        ("]\n", "]\n\n"),
        ("\n]\n", ",\n]\n"),
    ],
)
def test_what_does_not_fit_is_told_by_its_line(tmp_path: Path, old: str, new: str) -> None:
    """A file that is not of this grammar is refused with its name and the line."""
    path = tmp_path / "a.json"
    archive(sessions_with(content(cell(FILE))), path)
    text = path.read_text()
    assert old in text
    before = text.rpartition(old)[0] if old == "]\n" else text.partition(old)[0]
    path.write_text(before + new + text[len(before) + len(old) :])

    expected = rf"{re.escape(str(path))}, line \d+: .*not an archive that ocblob wrote"
    with pytest.raises(ArchiveError, match=expected):
        list(Archive(path).sessions())
    with pytest.raises(ArchiveError, match=expected):
        list(Archive(path).headers())


def test_a_payload_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A blob that a row needs and the archive does not hold is named, by verification and by who reads the row."""
    path = tmp_path / "a.json"
    archive(sessions_with(content(cell(FILE))), path)
    path.write_bytes(path.read_bytes().replace(data_url(FILE).encode(), data_url(OTHER).encode()))

    with pytest.raises(ArchiveError, match=digest_of(FILE)):
        verify(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (rb'"rows":\d+', b'"rows":99'),
        (rb'"size":\d+,"unresolved"', b'"size":99,"unresolved"'),
        (rb'"unresolved":\d+', b'"unresolved":0'),
        (rb'"digest":"\w+"', b'"digest":"%s"' % (b"0" * 64)),
    ],
    ids=["rows", "size", "unresolved", "digest"],
)
def test_what_a_session_says_of_itself_is_checked(tmp_path: Path, old: bytes, new: bytes) -> None:
    """The line behind the rows has no digest of its own: whoever verifies an archive counts and hashes anew."""
    path = tmp_path / "a.json"
    ref = reference_text("image/png", Ref("a" * 64, 5000)) or b""
    archive(sessions_with(content(b'{"url":"data:image/png;base64,%s"}' % ref)), path)
    verify(path)
    path.write_bytes(re.sub(old + rb"(?=[^\n]*\}\}\n\]\n$)", new, path.read_bytes()))

    with pytest.raises(ArchiveError, match="is not what it says"):
        verify(path)


def test_a_session_stands_in_an_archive_once(tmp_path: Path) -> None:
    """Whoever puts sessions back would not know which of two is meant."""
    path = tmp_path / "a.json"
    archive(sessions_with(content(cell(FILE))), path)
    element = path.read_bytes().removeprefix(b"[\n").removesuffix(b"]\n")
    path.write_bytes(b"[\n" + element + b",\n" + element + b"]\n")

    with pytest.raises(ArchiveError, match="is in it twice"):
        verify(path)
    with pytest.raises(ArchiveError, match="is in the archive twice"):
        chosen(Archive(path).headers(), ())


def test_a_list_tells_what_is_in_it(tmp_path: Path) -> None:
    """Ids, titles, times and amounts of every session, in their order."""
    path = tmp_path / "a.json.zst"
    report = archive(sessions_with(content(cell(FILE)), count=3), path)

    listed = list(Archive(path).headers())

    assert ["ses_0", "ses_1", "ses_2"] == [session.id for session, _ in listed]
    assert ["talk ses_0", 1, 2, "opencode"] == [
        listed[0][0].title, listed[0][0].created_ms, listed[0][0].used_ms, listed[0][0].host,
    ]  # fmt: skip
    assert [(each.rows, each.size, each.digest) for each in report.sessions] == [
        (totals.rows, totals.size, totals.digest) for _, totals in listed
    ]


def test_wanted_sessions_are_read_and_others_passed_over(tmp_path: Path) -> None:
    """Rows of one session come; what the others need is not asked for; rows that nobody reads are passed over."""
    path = tmp_path / "a.json"
    database = sessions_with(content(cell(FILE)), count=3)
    archive(database, path)
    file = Archive(path)

    with file.needed(["ses_1"]) as needed, file.extract(needed) as blobs:
        found = [
            (session.id, [(table.table, each.rowid, [plain(value) for value in each.values]) for table, each in rows])
            for session, rows in file.sessions(["ses_1"], blobs=blobs)
        ]
        assert [digest_of(FILE)] == list(blobs.digests())
        assert FILE == b"".join(blobs.chunks(digest_of(FILE)))
    untouched = [session.id for session, _rows in file.sessions()]

    assert [("ses_1", expected(database, "ses_1"))] == found
    assert ["ses_0", "ses_1", "ses_2"] == untouched


def test_contents_may_be_read_again(tmp_path: Path) -> None:
    """A large text with a payload gives the same bytes each time, until the next row is asked for."""
    path = tmp_path / "a.json"
    text = "x" * 3_000_000 + cell(OTHER) + "€" * 300_000
    archive(sessions_with(content(text)), path)
    file = Archive(path)

    with file.extract(None) as blobs:
        for _session, rows in file.sessions(blobs=blobs, directory=tmp_path):
            for table, each in rows:
                if table.table == "part":
                    twice = [b"".join(_content(each).chunks()) for _ in range(2)]

    assert [text.encode()] * 2 == twice
    assert [path] == list(tmp_path.iterdir())


def _content(each: Row) -> Content:
    value = each.values[3]
    assert isinstance(value, Content)
    return value


def test_refs_are_told_by_what_is_needed(tmp_path: Path) -> None:
    """Digests of payloads and of refs are told apart."""
    url = f"data:application/pdf;base64,{(reference_text('application/pdf', Ref(digest_of(OTHER), 5)) or b'').decode()}"
    archive(sessions_with(content(cell(FILE)), content(json.dumps({"url": url}))), tmp_path / "a.json")

    with Archive(tmp_path / "a.json").needed() as needed:
        payloads, refs = ([digest.hex() for digest in marks.digests()] for marks in (needed.payloads, needed.refs))

    assert ([digest_of(FILE)], [digest_of(OTHER)]) == (payloads, refs)


def test_no_file_and_other_files_are_refused(tmp_path: Path) -> None:
    """A file that is not there, an empty one, one of another kind, and foreign frames are told by name."""
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "json").write_text('{"info": {}}\n')
    (tmp_path / "png").write_bytes(b"\x89PNG" * 1000)
    (tmp_path / "long").write_bytes(b"[\n" + b'{"info":{' + b"x" * 100_000)
    foreign = subprocess.run(["zstd", "-c"], input=b"[\n" * 2_000_000, capture_output=True, check=True)
    (tmp_path / "zst").write_bytes(foreign.stdout)

    for name in ("missing", "empty", "json", "png", "long", "zst"):
        with pytest.raises(ArchiveError, match=name):
            list(Archive(tmp_path / name).headers())


def test_an_empty_archive_is_one(tmp_path: Path) -> None:
    """The array may be empty."""
    (tmp_path / "a.json").write_text("[\n]\n")

    assert ([], {}) == (list(Archive(tmp_path / "a.json").headers()), verify(tmp_path / "a.json"))


def test_what_cannot_be_shown_is_in_the_rows_all_the_same(tmp_path: Path) -> None:
    """Parts that are no JSON objects are left out of the messages; keys and line ends between tokens do no harm."""
    texts = [
        '{"a":1',
        "[1]",
        "{}",
        ' {\n "id" : "other",\r\n"b":{"c":"}"} } ',
        '{"a":NaN}',
        '"x"',
        "{}}",
        '{"ä":"\u2028"}',
    ]
    database = sessions_with(*map(content, texts), content(b'{"a":"\xff"}'), content("{}", "blob"), 5, None)
    path = tmp_path / "a.json"

    archive(database, path)

    (message,) = element(path)["messages"]  # type: ignore[misc]
    shown = {part.pop("id")[-3:]: part for part in message["parts"]}  # type: ignore[has-type]
    where = {"sessionID": "ses_0", "messageID": "msg_ses_0"}
    assert {
        "002": where,
        "003": {"b": {"c": "}"}} | where,
        "007": {"ä": "\u2028"} | where,
        "008": {"a": "\ufffd"} | where,
    } == shown
    assert expected(database) == [(table.table, rowid, found) for table, rowid, found in back(path)]


def test_large_objects_are_shown_too(tmp_path: Path) -> None:
    """A cell that is never parsed as a whole is shown if it is an object, whatever stands between its tokens."""
    space = " " * 200_000
    text = f'{{"a":"{"x" * 100_000}"{space},\n"url":"{data_url(OTHER)}" }}{space}'
    broken = f'{{"a":"{"x" * 100_000}\\q"}}'
    path = tmp_path / "a.json"

    archive(sessions_with(content(text), content(broken), content(f"{{{space}}}")), path)

    (message,) = element(path)["messages"]  # type: ignore[misc]
    first, last = message["parts"]  # type: ignore[has-type]
    assert json.loads(text) == {name: first[name] for name in ("a", "url")}
    assert {"id", "sessionID", "messageID"} == last.keys()


def test_messages_stand_by_their_times(tmp_path: Path) -> None:
    """Messages by time and id, parts by id, in whatever order their rows lie; one of no message is not shown."""
    database = sessions_with()
    rows = dict(database.rows)
    rows["message"] = [
        row("b", "ses_0", 5, '{"n":2}'), row("a", "ses_0", 5, '{"n":1}'), row("c", "ses_0", 1, '{"n":0}'),
        row("d", "ses_0", None, "no"),
    ]  # fmt: skip
    rows["part"] = [row("z", "ses_0", "a", "{}"), row("y", "ses_0", "a", "{}"), row("x", "ses_0", "gone", "{}")]
    path = tmp_path / "a.json"

    archive(MemorySessions(rows), path)

    messages = element(path)["messages"]
    assert [(0, []), (1, ["y", "z"]), (2, [])] == [
        (message["info"]["n"], [part["id"] for part in message["parts"]])
        for message in messages  # type: ignore[attr-defined]
    ]
