import base64
import json
import os
import random
import sys
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocblob.databases.base import OVERLAP_BYTES, overlapping
from ocblob.errors import DatabaseError, OcblobError
from ocblob.hosts.opencode.places import prompt_history_files
from ocblob.marks import MARK_BYTES_MIN, NEEDLES, PENDING_MAX, Mark, Marks, digests_in, mark_file
from ocblob.placeholders import ALIASES, CARRIERS
from ocblob.ref import Ref, marker_line
from ocblob.rewrite import reference_text
from processes import as_nobody

DIGEST = bytes(range(32))
TYPES = [*CARRIERS, *ALIASES, "", "application/zip"]


def ref(digest: bytes = DIGEST, size: int = 5) -> Ref:
    """A ref as a pass of ours makes it."""
    return Ref(digest.hex(), size, (("store", "3f2a9c01"),))


def lines(text: bytes, width: int, ending: bytes) -> bytes:
    """Text in lines of one width."""
    return ending.join(text[at : at + width] for at in range(0, len(text), width))


# Each says a marker line, with some bytes before and after it, in another way.
Encoding = Callable[[bytes, bytes, bytes], bytes]
ENCODINGS: dict[str, Encoding] = {
    "plain": lambda a, line, b: a + line + b,
    "upper case": lambda a, line, b: a + line[:9] + line[9:].upper() + b,
    "slash escaped": lambda a, line, b: a + line.replace(b"/", b"\\/") + b,
    "slash escaped twice": lambda a, line, b: a + line.replace(b"/", b"\\\\\\/") + b,
    "json unicode": lambda a, line, b: a + line.replace(b"/", b"\\u002f").replace(b" ", b"\\u0020") + b,
    "json unicode twice": lambda a, line, b: a + line.replace(b"/", b"\\\\u002F").replace(b" ", b"\\\\u0020") + b,
    "url": lambda a, line, b: a + urllib.parse.quote_from_bytes(line, safe="").encode("ascii") + b,
    "url lower case": lambda a, line, b: a + urllib.parse.quote(line, safe="").lower().encode("ascii") + b,
    "url twice": lambda a, line, b: a + urllib.parse.quote(urllib.parse.quote(line, safe="")).encode("ascii") + b,
    "form": lambda a, line, b: a + urllib.parse.quote_plus(line).encode("ascii") + b,
    "html": lambda a, line, b: a + line.replace(b"/", b"&#x2F;").replace(b" ", b"&#32;") + b,
    "utf-16 little end": lambda a, line, b: a + line.decode("ascii").encode("utf-16-le") + b,
    "utf-16 big end": lambda a, line, b: a + line.decode("ascii").encode("utf-16-be") + b,
    "base64": lambda a, line, b: base64.b64encode(a + line + b),
    "base64 url-safe": lambda a, line, b: base64.urlsafe_b64encode(a + line + b),
    "base64 without padding": lambda a, line, b: base64.b64encode(a + line + b).rstrip(b"="),
    "base64 in url": lambda a, line, b: urllib.parse.quote(base64.b64encode(a + line + b), safe="").encode("ascii"),
    "base64 in json": lambda a, line, b: base64.b64encode(a + line + b).replace(b"/", b"\\/"),
    "base64 lines 76": lambda a, line, b: lines(base64.b64encode(a + line + b), 76, b"\r\n"),
    "base64 lines 64": lambda a, line, b: lines(base64.b64encode(a + line + b), 64, b"\n"),
    "base64 lines 19": lambda a, line, b: lines(base64.b64encode(a + line + b), 19, b"\n  "),
    "base64 lines in json": lambda a, line, b: lines(base64.b64encode(a + line + b), 60, b"\\r\\n"),
    "base64 lines in json twice": lambda a, line, b: lines(base64.b64encode(a + line + b), 76, b"\\\\n"),
    "base64 lines unicode": lambda a, line, b: lines(base64.b64encode(a + line + b), 76, b"\\u000a"),
    "base64 lines quoted-printable": lambda a, line, b: lines(base64.b64encode(a + line + b), 75, b"=\r\n"),
    "base64 lines in url": lambda a, line, b: lines(base64.b64encode(a + line + b), 76, b"%0D%0A"),
}


def found(text: bytes, cuts: list[int]) -> set[bytes]:
    """The digests in a text that comes in chunks of these sizes; only pieces with a needle are looked at."""
    chunks, at = [], 0
    for size in cuts:
        chunks.append(text[at : at + size])
        at += size
    chunks.append(text[at:])
    pieces = [piece for piece in overlapping(chunks) if any(needle in piece for needle in NEEDLES)]
    return {digest for piece in pieces for digest in digests_in(piece)}


@pytest.mark.many
@settings(deadline=None, max_examples=1500)
@given(
    encoding=st.sampled_from(sorted(ENCODINGS)),
    digest=st.binary(min_size=32, max_size=32),
    size=st.integers(0, 2**53 - 1),
    inside=st.tuples(st.binary(max_size=100), st.binary(max_size=100)),
    around=st.tuples(st.binary(max_size=80), st.binary(max_size=80)),
    cuts=st.lists(st.integers(0, 300), max_size=30),
)
@example("base64", b"\xff" * 32, 1, (b"", b""), (b"b2NibG", b"9iLzEg"), [1] * 300)
@example("plain", b"\0" * 32, 1, (b"ocblob/1 ocblob", b"00"), (b"a" * 70, b"f"), [1] * 300)
def test_every_marker_is_found_however_it_is_written(
    encoding: str, digest: bytes, size: int, inside: tuple[bytes, bytes], around: tuple[bytes, bytes], cuts: list[int]
) -> None:
    """In any encoding, at any alignment, between any bytes and cut anywhere, a marker's digest is found."""
    text = ENCODINGS[encoding](inside[0], marker_line(ref(digest, size)), inside[1])
    # What stands around it is no part of the encoding: letters of base64 right before it would shift it.
    glue = b'"' if encoding.startswith("base64") else b""
    assert digest in found(around[0] + glue + text + glue + around[1], cuts)


@settings(deadline=None, max_examples=500)
@given(
    mime=st.sampled_from(TYPES),
    digest=st.binary(min_size=32, max_size=32),
    cuts=st.lists(st.integers(0, 500), max_size=30),
    before=st.binary(max_size=300),
)
def test_every_placeholder_is_found(mime: str, digest: bytes, cuts: list[int], before: bytes) -> None:
    """A ref of any type names its blob as it stands in a row, and again as a file in base64 of another alignment."""
    text = reference_text(mime, ref(digest))
    assert text is not None
    assert {digest} == found(b'{"url":"data:' + mime.encode("ascii") + b";base64," + text + b'"}', cuts)
    for shift in range(3):
        again = base64.b64encode(bytes(shift) + base64.b64decode(text))
        assert digest in found(before + b'"' + again + b'"', cuts)


@pytest.mark.parametrize("width", range(12, 120))
@pytest.mark.parametrize("shift", range(3))
def test_lines_of_any_width(width: int, shift: int) -> None:
    """Wherever base64 is broken into lines of 12 or more characters, each alignment is found at each place."""
    for before in range(shift, 90, 3):
        text = base64.b64encode(bytes(before) + marker_line(ref()) + b"more")
        assert DIGEST in set(digests_in(lines(text, width, b"\n")))


def test_all_digests_of_a_piece_are_found() -> None:
    """Many refs in one piece come out each, in any mixture of forms, and nothing else from clean ones."""
    digests = [random.Random(number).randbytes(32) for number in range(200)]
    forms = [base64.b64encode(bytes(number % 3) + marker_line(ref(one))) for number, one in enumerate(digests)]
    assert sorted(digests) == sorted(digests_in(b'","'.join(forms)))
    assert digests == list(digests_in(b"".join(marker_line(ref(one)) for one in digests)))


@pytest.mark.parametrize(
    "text",
    [
        b"", b"ocblob", b"ocblob/1 " + b"0" * 63, b"ocblob/1 " + b"g" * 64, b"b2NibG9iLzEg", b"b2NibG9iLzEg" * 20,
        b"b2NibG" + b"\n" * 2000 + b"9iLzEg", base64.b64encode(marker_line(ref()))[:97], b"9iLzEg" * 100, b"Yi8xI",
        b"o\0c\0b\0l\0o\0b\0", b"\\" * 5000 + b"2IvMS" + b"\\" * 5000,
    ],
)  # fmt: skip
def test_no_digest_is_made_up(text: bytes) -> None:
    """What is cut short or is no marker names nothing and breaks nothing."""
    assert [] == list(digests_in(text))


def test_shortest_marker_is_not_below_the_limit() -> None:
    """No form in which a digest is found is shorter than what a mark looks at."""
    bare = marker_line(ref())[:MARK_BYTES_MIN]
    assert [DIGEST] == list(digests_in(bare))
    assert [] == list(digests_in(bare[:-1]))


def test_longest_marker_fits_in_the_overlap() -> None:
    """Every form of a marker with its digest is shorter than what two pieces have in common."""
    sizes = [len(encode(b"", marker_line(ref())[: MARK_BYTES_MIN + 1], b"")) for encode in ENCODINGS.values()]
    assert max(sizes) < OVERLAP_BYTES


# Marks


def test_marks_count_and_order() -> None:
    """Refs and lenient digests are counted together, by digest; the size comes from whoever knows it."""
    marks = Marks()
    assert 3 == marks.add_digests(iter([b"\2" * 32, b"\1" * 32, b"\2" * 32]))
    marks.add(ref(b"\2" * 32, 70))
    marks.add(ref(b"\3" * 32, 9))
    expected = [Mark("01" * 32, 0, 1), Mark("02" * 32, 70, 3), Mark("03" * 32, 9, 1)]
    assert expected == list(marks)
    assert [b"\1" * 32, b"\2" * 32, b"\3" * 32] == list(marks.digests())
    assert (3, 79, 219) == marks.totals()
    marks.add_digests([b"\2" * 32])
    assert 4 == list(marks)[1].refs
    marks.close()


def test_marks_beyond_what_waits_in_memory() -> None:
    """More digests than are held in memory are all there, those still waiting as well as those on disk."""
    marks = Marks()
    digests = [number.to_bytes(32, "little") for number in range(PENDING_MAX + 10)]
    marks.add_digests(digests)
    marks.add_digests(digests[:5])
    assert digests[0] in marks
    assert digests[-1] in marks
    assert b"\xff" * 32 not in marks
    assert sorted(digests) == list(marks.digests())
    assert PENDING_MAX + 15 == sum(one.refs for one in marks)
    marks.close()


def test_marks_of_forged_sizes() -> None:
    """Sums of the largest sizes that refs may claim do not overflow."""
    marks = Marks()
    for number in range(5000):
        marks.add(ref(number.to_bytes(32, "big"), 2**53 - 1))
    assert (5000, 5000 * (2**53 - 1), 5000 * (2**53 - 1)) == marks.totals()
    marks.close()


@pytest.mark.parametrize("own", [True, False])
def test_marks_can_be_attached(tmp_path: Path, own: bool) -> None:  # noqa: FBT001
    """Another connection sees all that was added before it asked for the path; closing leaves no file."""
    marks = Marks(None if own else tmp_path / "marks.sqlite")
    marks.add_digests([DIGEST])
    path = marks.path
    other = apsw.Connection(":memory:")
    other.execute("ATTACH ? AS m", (str(path),))
    assert [(DIGEST, None, 1)] == other.execute("SELECT * FROM m.mark").fetchall()
    marks.add_digests([DIGEST])
    assert path == marks.path
    assert [(2,)] == other.execute("SELECT refs FROM m.mark").fetchall()
    other.close()
    marks.close()
    assert not path.exists()
    assert own is not path.parent.exists()


def test_marks_without_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no file can be made, the error is one of ours."""
    with pytest.raises(OcblobError, match="marks"):
        Marks(tmp_path / "no" / "marks.sqlite")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no"))
    with pytest.raises(OcblobError, match="no temporary directory"):
        Marks()


# Prompt history


def test_prompt_history_is_marked(tmp_path: Path) -> None:
    """A ref in a long history counts, wherever it stands; a missing file names nothing."""
    text = (reference_text("image/png", ref()) or b"").decode("ascii")
    path = tmp_path / "prompt-history.jsonl"
    marks = Marks()
    for before in (0, 1024 * 1024 - 150, 1024 * 1024 - len(text) - 30, 3_000_000):
        path.write_text("x" * before + json.dumps({"parts": [{"url": f"data:image/png;base64,{text}"}]}))
        assert mark_file(marks, path) >= 1
    assert [DIGEST] == list(marks.digests())
    assert 0 == mark_file(marks, tmp_path / "none.jsonl")
    marks.close()


def test_unreadable_prompt_history_is_an_error(tmp_path: Path) -> None:
    """A history that is there and cannot be read stops the mark."""
    path = tmp_path / "prompt-history.jsonl"
    path.write_bytes(marker_line(ref()))
    path.chmod(0)
    tmp_path.chmod(0o755)
    marks = Marks()
    with as_nobody(), pytest.raises(DatabaseError):
        mark_file(marks, path)
    with pytest.raises(DatabaseError, match="cannot be read"):
        mark_file(marks, tmp_path)
    marks.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no FIFOs, no /dev/null")
def test_a_history_that_keeps_nothing(tmp_path: Path) -> None:
    """A link to /dev/null turns a history off; neither it nor a FIFO, which nobody writes to, is read."""
    state = tmp_path / ".local" / "state" / "opencode"
    state.mkdir(parents=True)
    off, fifo = state / "prompt-history.jsonl", state / "prompt-stash.jsonl"
    off.symlink_to(os.devnull)
    os.mkfifo(fifo)
    marks = Marks()

    assert [0, 0] == [mark_file(marks, off), mark_file(marks, fifo)]
    assert [] == prompt_history_files({}, tmp_path)
    marks.close()


def test_prompt_history_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A history that lost a ref is synced before it is believed."""
    path = tmp_path / "prompt-history.jsonl"
    path.write_bytes(b"nothing")
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    marks = Marks()
    assert 0 == mark_file(marks, path)
    assert [path.stat().st_ino] == synced
    marks.close()


def test_prompt_history_files_are_those_of_opencode(tmp_path: Path) -> None:
    """History and stash are looked for below the state directory, by its variable or below the home."""
    assert [] == prompt_history_files({}, tmp_path)
    state, other = tmp_path / ".local" / "state" / "opencode", tmp_path / "other" / "opencode"
    for directory, names in ((state, ("prompt-stash.jsonl",)), (other, ("prompt-history.jsonl", "frecency.jsonl"))):
        directory.mkdir(parents=True)
        for name in names:
            (directory / name).touch()
    assert [state / "prompt-stash.jsonl"] == prompt_history_files({}, tmp_path)
    named = prompt_history_files({"XDG_STATE_HOME": str(tmp_path / "other")}, tmp_path)
    assert [other / "prompt-history.jsonl"] == named


def test_prompt_history_behind_a_closed_door_is_listed(tmp_path: Path) -> None:
    """A directory that cannot be looked into does not hide its files from the mark, which then fails."""
    state = tmp_path / "opencode"
    state.mkdir()
    (state / "prompt-history.jsonl").touch()
    for parent in tmp_path.parents[:3]:
        parent.chmod(0o755)
    tmp_path.chmod(0o755)
    state.chmod(0)
    with as_nobody():
        listed = prompt_history_files({"XDG_STATE_HOME": str(tmp_path)}, tmp_path)
    assert [state / "prompt-history.jsonl", state / "prompt-stash.jsonl"] == listed
