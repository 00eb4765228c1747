import json
import os
import sys
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from command_line import Cli, cli_in
from ocblob import BlobStore, codec, find_refs, replacing
from ocblob.backends.memory import MemoryBackend
from ocblob.deletions import prune_pass
from ocblob.digest import digest_of
from ocblob.errors import BlobCorruptError, ClaimLostError, DeletionRefusedError
from ocblob.filesystem import sole_replacer
from ocblob.hosts.opencode.places import prompt_history_places
from ocblob.prompts import (
    PromptOffloadReport,
    PromptRestoreReport,
    offload_prompts,
    restore_prompts,
    rewriting,
)
from ocblob.prompts.lines import PromptFile
from ocblob.store.writer import Batch, Wanted, Writer
from processes import Neighbour, as_nobody, finish, spawn
from samples import data_url, make_opencode, object_path, payload, prompt_line, tree
from stores import keys, place, remote_store, shared

MIN_CHARS = 8192
BIG, SMALL = 20_000, 600


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    """An empty store."""
    with BlobStore.create(tmp_path / "store")[0] as made:
        yield made


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A history of a few prompts."""
    return write(
        tmp_path / "state" / "prompt-history.jsonl",
        [
            prompt_line("only text, über alles"),
            prompt_line("[Image 1] [Image 2] look", payload(BIG, 1), payload(BIG, 2)),
            prompt_line("[Image 1] small", payload(SMALL, 3)),
            prompt_line("[Image 1] again", payload(BIG, 1)),
        ],
    )


def write(path: Path, lines: Iterable[bytes]) -> Path:
    """A file of lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(lines))
    return path


def out(store: BlobStore, *paths: Path) -> PromptOffloadReport:
    """Offload some files."""
    return offload_prompts(paths, store, min_chars=MIN_CHARS)


def back(store: BlobStore, *paths: Path) -> PromptRestoreReport:
    """Restore some files."""
    return restore_prompts(paths, store)


def named(path: Path) -> list[str]:
    """The digests that a file's refs name, in their order."""
    return [ref.digest for line in path.read_bytes().splitlines() for ref in find_refs(line)]


# There and back


def test_payloads_move_out_and_come_back(store: BlobStore, history: Path) -> None:
    """Each large payload becomes a ref to a blob in the store; a restore gives the very same bytes again."""
    before = history.read_bytes()
    moved = out(store, history)

    expected = [digest_of(payload(BIG, number)) for number in (1, 2, 1)]
    assert expected == named(history)
    assert (1, 1, 2, 3, 2) == (moved.files, moved.files_replaced, moved.lines, moved.payloads, moved.blobs_new)
    assert (3 * BIG, {"small": 1}, True) == (moved.size, moved.inline, moved.complete)
    assert len(before) - history.stat().st_size > moved.payload_chars - 3 * 3000

    restored = back(store, history)

    assert before == history.read_bytes()
    assert (1, 2, 3, 3 * BIG) == (restored.files_replaced, restored.lines, restored.refs_restored, restored.size)
    assert restored.complete
    assert [history] == list(history.parent.iterdir())


def test_lines_with_refs_stay_json(store: BlobStore, history: Path) -> None:
    """A host that reads the file finds as many prompts, with the same texts and a valid file in each part."""
    before = [json.loads(line) for line in history.read_bytes().splitlines()]
    out(store, history)
    after = [json.loads(line) for line in history.read_bytes().splitlines()]

    def without_urls(lines: list[Any]) -> list[Any]:
        return [{**line, "parts": [{**part, "url": ""} for part in line["parts"]]} for line in lines]

    assert without_urls(before) == without_urls(after)
    assert all(part["url"].startswith("data:image/png;base64,iVBOR") for part in after[1]["parts"])


def test_nothing_to_do_changes_nothing(store: BlobStore, history: Path) -> None:
    """A second pass leaves the very file, and counts what moved before."""
    out(store, history)
    inode = history.stat().st_ino
    again = out(store, history)

    assert (0, 0, 3) == (again.files_replaced, again.payloads, again.refs)
    assert inode == history.stat().st_ino
    assert again.complete


@pytest.mark.parametrize(
    "odd",
    [
        b'{"input":"cut off","parts":[{"url":"data:image/png;base64,iVBORw0KGgo',
        b'{"input":"no end","parts":[{"url":"' + data_url(payload(BIG, 9)).encode() + b'"}]',
        b'{"url":"' + data_url(payload(BIG, 9)).encode() + b'"} trailing words',
        b"\xff\xfe\x00\x01 no text at all",
        b"",
        b"\r",
        b'"',
        b"null",
    ],
    ids=["unterminated", "unbalanced", "trailing", "bytes", "empty", "return", "quote", "null"],
)
def test_a_broken_line_stops_no_other(store: BlobStore, tmp_path: Path, odd: bytes) -> None:
    """A line that is no JSON stays as it is, and the ones around it move."""
    lines = [prompt_line("a", payload(BIG, 1)), odd + b"\n", prompt_line("b", payload(BIG, 2))]
    path = write(tmp_path / "h.jsonl", lines)
    moved = out(store, path)

    assert odd == path.read_bytes().split(b"\n")[1]
    assert [digest_of(payload(BIG, number)) for number in (1, 2)] == named(path)
    assert moved.complete
    assert back(store, path).complete
    assert b"".join(lines) == path.read_bytes()


def test_content_that_is_no_json_is_counted(store: BlobStore, tmp_path: Path) -> None:
    """A payload in a broken line is told by its reason, as in a row."""
    path = write(tmp_path / "h.jsonl", [b'{"url":"' + data_url(payload(BIG, 9)).encode() + b'"\n'])

    assert {"broken-json": 1} == out(store, path).inline


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\n\n\n"], ids=["none", "crlf", "empty lines"])
def test_ends_of_lines_stay(store: BlobStore, tmp_path: Path, end: bytes) -> None:
    """The last line may lack its newline; what ends lines is nobody's business."""
    text = prompt_line("a", payload(BIG, 1)).rstrip(b"\n") + end
    path = write(tmp_path / "h.jsonl", [text])
    assert 1 == out(store, path).payloads
    assert path.read_bytes().endswith(b'"mode":"normal"}' + end)
    back(store, path)

    assert text == path.read_bytes()


def test_lines_are_those_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever pieces are cut, the lines are the same."""
    text = b"a\n\nbcd\n" + b"x" * 50 + b"\nlast"
    path = write(tmp_path / "h.jsonl", [text])
    for size in (1, 2, 3, 7, 64):
        monkeypatch.setattr("ocblob.prompts.lines.PIECE_BYTES", size)
        with PromptFile(path) as file:
            found = [(line.number, b"".join(line.read(0, line.size))) for line in file.lines()]
        assert list(enumerate(text.split(b"\n"), start=1)) == found


def test_batches_are_bounded(store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are put a few at a time, and none is forgotten."""
    monkeypatch.setattr("ocblob.prompts.offload.BATCH_CELLS", 2)
    begun: list[int] = []
    real = Writer.begin

    def begin(self: Writer, wanted: Iterable[Wanted]) -> Batch:
        begun.append(len(list(wanted)))
        return real(self, wanted)

    monkeypatch.setattr(Writer, "begin", begin)
    lines = [prompt_line(str(number), payload(BIG, number)) for number in range(5)]
    path = write(tmp_path / "h.jsonl", lines)
    assert 5 == out(store, path).payloads
    assert [2, 2, 1] == begun
    back(store, path)

    assert b"".join(lines) == path.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="resource is POSIX")
def test_memory_does_not_grow_with_a_line(tmp_path: Path) -> None:
    """A line with 75 MB in it goes out and comes back in far less memory."""
    path = tmp_path / "h.jsonl"
    with path.open("wb") as file:
        file.write(b'{"input":"","parts":[')
        for part in range(3):
            file.write((b"," if part else b"") + b'{"url":"data:image/png;base64,' + b"%04d" % part)
            file.writelines([b"A" * 1_000_000] * 25)
            file.write(b'"}')
        file.write(b'],"mode":"normal"}\n')
    before = replacing.content_of(path)
    script = """
import sys
from pathlib import Path
from ocblob import BlobStore
from ocblob.prompts import offload_prompts, restore_prompts
from processes import peak_bytes
path = Path(sys.argv[1])
with BlobStore.create(sys.argv[2])[0] as store:
    moved = offload_prompts([path], store, min_chars=8192)
    assert moved.payloads == 3 and path.stat().st_size < 10_000
    assert restore_prompts([path], store).refs_restored == 3
print(peak_bytes())
"""
    peak = int(finish(spawn(script, str(path), str(tmp_path / "store"))))

    assert before == replacing.content_of(path)
    assert peak < 70_000_000


# What cannot be done


def test_a_missing_blob_stays_a_ref(store: BlobStore, history: Path, tmp_path: Path) -> None:
    """What the store does not have is told by line and reason; the others come back."""
    out(store, history)
    object_path(tmp_path / "store", digest_of(payload(BIG, 2))).unlink()
    restored = back(store, history)

    assert [digest_of(payload(BIG, 2))] == named(history)
    assert ({"missing": 1}, 2, False) == (restored.unresolved, restored.refs_restored, restored.complete)
    assert f"{history} line 2: " in restored.problems[0]


def test_a_blob_that_goes_bad_under_our_eyes(
    store: BlobStore, history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a blob cannot be read after all, the file is as it was, and nothing is beside it."""
    out(store, history)
    before = history.read_bytes()
    monkeypatch.setattr("ocblob.unresolved.Unresolved.why", lambda *_: None)
    object_path(tmp_path / "store", digest_of(payload(BIG, 2))).unlink()
    restored = back(store, history)

    assert (1, 0, False) == (restored.files_left, restored.refs_restored, restored.complete)
    assert before == history.read_bytes()
    assert [history] == list(history.parent.iterdir())


def test_a_blob_that_cannot_be_stored(store: BlobStore, history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line with a payload that does not read back from the store stays as it is, and is told; others move."""
    real, bad = codec.decode, digest_of(payload(BIG, 2))

    def decode(stream: BinaryIO, *, digest: str) -> Iterator[bytes]:
        if digest == bad:
            raise BlobCorruptError("a bug of the codec", digest=digest)
        return real(stream, digest=digest)

    monkeypatch.setattr(codec, "decode", decode)
    before = history.read_bytes().splitlines()
    moved = out(store, history)

    assert (1, 1, 1, False) == (moved.files_replaced, moved.payloads, moved.failed, moved.complete)
    assert before[:3] == history.read_bytes().splitlines()[:3]
    assert f"{history} line 2: blob {bad} does not read back" in moved.problems[0]


def test_unreadable_files_are_told(store: BlobStore, tmp_path: Path) -> None:
    """What cannot be read is counted as left, with its name, and the next file is dealt with."""
    directory = tmp_path / "prompt-history.jsonl"
    directory.mkdir()
    good = write(tmp_path / "prompt-stash.jsonl", [prompt_line("a", payload(BIG, 1), timestamp=1)])
    moved = out(store, directory, good)

    assert (2, 1, 1, False) == (moved.files, moved.files_left, moved.files_replaced, moved.complete)
    assert [f"{directory}: Is a directory"] == moved.problems
    assert 1 == offload_prompts([directory], None, min_chars=MIN_CHARS).files_left
    assert 1 == restore_prompts([directory], store, dry_run=True).files_left


def test_a_file_that_is_gone_is_no_trouble(store: BlobStore, tmp_path: Path) -> None:
    """The host removes its stash when it is empty, whenever it likes."""
    moved = out(store, tmp_path / "none.jsonl")

    assert (0, 0, True) == (moved.files_replaced, moved.files_left, moved.complete)


def test_a_new_file_that_is_gone_is_told(store: BlobStore, history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no directory can be locked, another pass may tidy our new file away: nothing is done then."""
    before = history.read_bytes()
    real = Writer.confirm

    def confirm(writer: Writer, digests: Collection[str]) -> None:
        real(writer, digests)
        for new in history.parent.glob(f".*{replacing.NEW}"):
            new.unlink()

    monkeypatch.setattr(Writer, "confirm", confirm)
    moved = out(store, history)

    assert (0, 1, False) == (moved.files_replaced, moved.files_left, moved.complete)
    assert [f"{history}: No such file or directory"] == moved.problems
    assert before == history.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="no owners")
def test_a_directory_that_cannot_be_written(history: Path) -> None:
    """Where no file can be made beside it, the file stays and the reason is told."""
    for parent in history.parents[:3]:
        parent.chmod(0o755)
    history.parent.chmod(0o555)
    before = history.read_bytes()
    report = PromptOffloadReport()
    with as_nobody():
        assert not rewriting.rewrite(history, report, lambda file, draft: draft.change(next(file.lines()), (b"{}",)))
    history.parent.chmod(0o755)

    assert [f"{history}: Permission denied"] == report.problems
    assert before == history.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="resource is POSIX")
def test_a_full_disk(store: BlobStore, tmp_path: Path) -> None:
    """If the new file cannot be written the old one stays, nothing is left beside it, and the reason is told."""
    path = write(tmp_path / "state" / "h.jsonl", [prompt_line("a", payload(3_000_000, 1)), prompt_line("b")])
    assert 1 == out(store, path).payloads
    before = path.read_bytes()
    script = """
import resource, sys
from pathlib import Path
from ocblob import BlobStore
from ocblob.prompts import restore_prompts
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
with BlobStore.open(sys.argv[2]) as store:
    print(*restore_prompts([Path(sys.argv[1])], store).problems)
"""
    assert f"{path}: File too large\n" == finish(spawn(script, str(path), store.url))
    assert before == path.read_bytes()
    assert [path] == list(path.parent.iterdir())


def test_lines_left_aside_are_told(store: BlobStore, history: Path) -> None:
    """What a killed pass could not bring over is named each time, until somebody has looked at it."""
    aside = write(history.with_name(f".{history.name}.7-0123456789abcdef-00000000{replacing.KEPT}"), [b"another"])
    moved = out(store, history)

    assert (1, 1, False) == (moved.files_replaced, moved.files_left, moved.complete)
    assert [f"{aside}: holds lines that were written to {history.name} while it was replaced"] == moved.problems
    assert b"another" == aside.read_bytes()


def test_two_passes_at_once(store: BlobStore, history: Path) -> None:
    """The one that comes second leaves the file, and says why."""
    before = history.read_bytes()
    with sole_replacer(history.parent):
        moved = out(store, history)

    assert (1, 0) == (moved.files_left, moved.payloads)
    assert "another ocblob" in moved.problems[0]
    assert before == history.read_bytes()


def test_lost_claims_are_done_again(store: BlobStore, history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a deleter came between the put and the rename, the blobs are put anew; the third time it is told."""
    real, left = Writer.confirm, [2]

    def confirm(self: Writer, digests: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise ClaimLostError("taken away")
        real(self, digests)

    monkeypatch.setattr(Writer, "confirm", confirm)
    moved = out(store, history)
    assert (1, 3) == (moved.files_replaced, moved.payloads)
    back(store, history)
    left[0] = rewriting.TRIES
    moved = out(store, history)

    assert (1, 0, [f"{history}: taken away"]) == (moved.files_left, moved.payloads, moved.problems)


def test_blobs_are_durable_before_the_rename(
    store: BlobStore, history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the new file takes its place, every blob it names has its name in the store and its claim confirmed."""
    seen: list[tuple[bool, bool]] = []
    confirmed: set[str] = set()
    real_confirm, real_replace = Writer.confirm, replacing.replace

    def confirm(self: Writer, digests: Any) -> None:
        real_confirm(self, digests)
        confirmed.update(digests)

    def watched(path: Path, new: Path, was: replacing.Content) -> replacing.Replaced:
        wanted = set(named(new))
        seen.append((all(object_path(tmp_path / "store", name).exists() for name in wanted), wanted == confirmed))
        return real_replace(path, new, was)

    monkeypatch.setattr(Writer, "confirm", confirm)
    monkeypatch.setattr(rewriting, "replace", watched)
    out(store, history)

    assert [(True, True)] == seen


# Beside a host that writes


def test_a_line_that_comes_while_we_read(store: BlobStore, history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt that is written between reading and rename comes along; the next pass deals with it."""
    real, late = replacing.replace, [prompt_line("late", payload(BIG, 8))]

    def watched(path: Path, new: Path, was: replacing.Content) -> replacing.Replaced:
        if late:
            with path.open("ab") as file:
                file.write(late.pop())
        return real(path, new, was)

    monkeypatch.setattr(rewriting, "replace", watched)
    before = history.read_bytes()
    moved = out(store, history)

    assert (1, 3, True) == (moved.files_replaced, moved.payloads, moved.complete)
    assert history.read_bytes().endswith(b"\n" + prompt_line("late", payload(BIG, 8)))
    assert 1 == out(store, history).payloads
    back(store, history)
    assert before + prompt_line("late", payload(BIG, 8)) == history.read_bytes()


def test_a_file_that_changes_each_time(store: BlobStore, history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some tries the file is left to the next pass, with every line that was written."""
    real = replacing.replace

    def watched(path: Path, new: Path, was: replacing.Content) -> replacing.Replaced:
        path.write_bytes(prompt_line("more") + path.read_bytes())
        return real(path, new, was)

    monkeypatch.setattr(rewriting, "replace", watched)
    before = history.read_bytes()
    moved = out(store, history)

    assert (1, 0, [f"{history}: it was written to meanwhile"]) == (moved.files_left, moved.payloads, moved.problems)
    assert rewriting.TRIES * prompt_line("more") + before == history.read_bytes()


def test_a_file_cut_short_while_we_read(store: BlobStore, history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that has just truncated the file, to write it anew, makes the try void and loses nothing."""
    text = history.read_bytes()
    real, cut = PromptFile.lines, [True]

    def lines(self: PromptFile) -> Iterator[Any]:
        if cut:
            cut.clear()
            history.write_bytes(text[:10])
        try:
            yield from real(self)
        finally:
            history.write_bytes(text)

    monkeypatch.setattr(PromptFile, "lines", lines)
    moved = out(store, history)

    assert (1, 3, True) == (moved.files_replaced, moved.payloads, moved.complete)
    back(store, history)
    assert text == history.read_bytes()


HOST = """
import json, os, pathlib, sys, time
path, prompts, keep = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
history = []
path.touch()
print("ready", flush=True)
for number in range(prompts):
    history.append(json.dumps({"input": f"prompt {number}", "parts": [{"url": sys.argv[4]}] if number % 3 else []}))
    if keep and len(history) > keep:
        # As Bun's writeFile: what cannot be opened at once is not written, and nobody hears of it.
        del history[:-keep]
        lines, flags = "".join(line + "\\n" for line in history), os.O_TRUNC | os.O_NONBLOCK
    else:
        lines, flags = history[-1] + "\\n", os.O_APPEND
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o644)
    os.write(fd, lines.encode())
    os.close(fd)
    time.sleep(0.001)
    if number % 10 == 9:
        sys.stdin.readline()
print("\\n".join(history))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="nobody renames over an open file there")
@pytest.mark.parametrize("keep", [0, 20], ids=["appends", "writes anew"])
def test_a_host_that_never_stops(store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: int) -> None:
    """While a host writes on, the file is replaced again and again: no line is lost, torn or doubled."""
    monkeypatch.setattr(replacing, "LINGER_S", 0.005)
    monkeypatch.setattr(rewriting, "TRIES", 50)
    path = tmp_path / "prompt-history.jsonl"
    url = data_url(payload(9000, "pasted"), "image/png")
    rounds = 16
    host = spawn(HOST, str(path), str(rounds * 10), str(keep), url, stdin=-1)
    assert host.stdin is not None
    assert host.stdout is not None
    assert "ready\n" == host.stdout.readline()
    replaced = 0
    for number in range(rounds):
        host.stdin.write("on\n")
        host.stdin.flush()
        done = out(store, path) if number % 2 else back(store, path)
        replaced += done.files_replaced
    output, _ = host.communicate(timeout=60)
    assert back(store, path).complete

    expected = output.splitlines()
    assert (keep or rounds * 10) == len(expected)
    assert sorted(expected) == sorted(path.read_text().splitlines())
    assert replaced >= rounds // 8
    assert [] == [left for left in tmp_path.iterdir() if left.name.startswith(".")]


# The command line


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """The command line beside an OpenCode with a database and a history."""
    cli = cli_in(tmp_path, monkeypatch, capfdbinary)
    make_opencode(tmp_path / "data" / "opencode" / "opencode.db", sessions=1, parts=1)
    write(state(cli) / "prompt-history.jsonl", [prompt_line("[Image 1] hello", payload(BIG, 1)), prompt_line("text")])
    return cli


def state(cli: Cli) -> Path:
    """Where OpenCode keeps prompts."""
    return cli.root / "state" / "opencode"


def test_only_the_option_touches_the_files(host: Cli) -> None:
    """Without it the files stay as they are, and reports say nothing of them."""
    before = tree(state(host))
    assert [0, 0] == [host.run("offload", "--no-plugin").code, host.run("restore").code]
    done = host.run("offload", "--no-plugin", "--json")

    assert None is done.json["prompts"]
    assert before == tree(state(host))


def test_offload_and_restore_by_command(host: Cli) -> None:
    """The option moves the files' payloads out and back; counts are in the text and in the JSON."""
    history = state(host) / "prompt-history.jsonl"
    before = history.read_bytes()
    planned = host.run("offload", "--no-plugin", "--prompt-history", "--dry-run", "--json")
    assert (0, 1, before) == (planned.code, planned.json["prompts"]["payloads"], history.read_bytes())
    moved = host.run("offload", "--no-plugin", "--prompt-history")
    assert 0 == moved.code
    assert b"prompts   1 payloads out of 1 lines: 26.7 kB of base64" in moved.out
    assert [digest_of(payload(BIG, 1))] == named(history)
    planned = host.run("restore", "--prompt-history", "--dry-run")
    assert b"prompts   1 attachments into 1 lines, 20.0 kB" in planned.out
    assert 1 == len(named(history))
    restored = host.run("restore", "--prompt-history", "--json")

    assert (0, 1, True) == (restored.code, restored.json["prompts"]["refs_restored"], restored.json["complete"])
    assert before == history.read_bytes()


def test_a_running_host_is_warned_of(host: Cli) -> None:
    """A host that has read refs may write them again: who restores is told so, if one runs and something came back."""
    assert 0 == host.run("offload", "--no-plugin", "--prompt-history").code
    with Neighbour(host.root / "data" / "opencode" / "opencode.db") as neighbour:
        neighbour.execute("SELECT count(*) FROM part")
        done, again = (host.run("restore", "--prompt-history") for _ in range(2))

    assert [0, 0] == [done.code, again.code]
    assert [True, False] == ["may write refs into these files again" in told.err for told in (done, again)]


def test_min_size_counts_for_prompts_too(host: Cli) -> None:
    """A payload below --min-size stays in its line."""
    done = host.run("offload", "--no-plugin", "--prompt-history", "--min-size", "1MB", "--json")

    assert (0, {"small": 1}) == (done.json["prompts"]["payloads"], done.json["prompts"]["inline"])


def test_what_is_left_is_incomplete(host: Cli) -> None:
    """A file that could not be dealt with, or a ref that stays, makes exit code 3 and is told."""
    (state(host) / "prompt-stash.jsonl").mkdir()
    moved = host.run("offload", "--no-plugin", "--prompt-history")
    assert (3, True) == (moved.code, "prompt-stash.jsonl: Is a directory" in moved.err)
    (state(host) / "prompt-stash.jsonl").rmdir()
    object_path(host.store, digest_of(payload(BIG, 1))).unlink()
    restored = host.run("restore", "--prompt-history")

    assert 3 == restored.code
    assert b"missing   1 refs stay as they are" in restored.out
    assert "prompt-history.jsonl line 1: " in restored.err
    assert host.run("restore", "--prompt-history", "--json").json["complete"] is False


@pytest.mark.parametrize("verb", ["offload", "restore"])
def test_another_database_has_no_prompts(host: Cli, tmp_path: Path, verb: str) -> None:
    """With a database that is not the host's own the option is a usage error, before anything happens."""
    other = make_opencode(tmp_path / "copies" / "backup.db", sessions=1, parts=1)
    done = host.run(verb, "--prompt-history", "--db", other)

    assert (2, True) == (done.code, "OpenCode's own database" in done.err)
    assert not host.store.exists()


def test_status_counts_prompts(host: Cli) -> None:
    """Status says what is inline in each file and what refs stand for, without changing anything."""
    before = tree(state(host))
    inline = host.run("status", "--json").json["prompts"]
    assert b"prompt-history.jsonl      1 inline, 26.7 kB of base64; 0 refs" in host.run("status").out
    assert before == tree(state(host))
    host.run("offload", "--no-plugin", "--prompt-history")
    moved = host.run("status", "--json").json

    path, chars = str(state(host) / "prompt-history.jsonl"), (BIG + 2) // 3 * 4
    expected = {"path": path, "size": len(prompt_line("[Image 1] hello", payload(BIG, 1)) + prompt_line("text"))}
    assert [expected | {"inline": 1, "inline_chars": chars, "refs": 0, "refs_size": 0}] == inline
    assert [(0, 1, BIG)] == [(file["inline"], file["refs"], file["refs_size"]) for file in moved["prompts"]]
    assert 2 == moved["blobs_named"]


def test_status_of_another_database_has_no_prompts(host: Cli, tmp_path: Path) -> None:
    """The files belong to the host's own database."""
    other = make_opencode(tmp_path / "copies" / "backup.db", sessions=1, parts=1)

    assert [] == host.run("status", "--json", "--db", other).json["prompts"]


def test_status_warns_of_what_it_cannot_read(host: Cli) -> None:
    """A file that cannot be read is a warning, and the others are counted."""
    (state(host) / "prompt-stash.jsonl").mkdir()
    done = host.run("status", "--json")

    assert 1 == len(done.json["prompts"])
    assert [f"{state(host) / 'prompt-stash.jsonl'}: Is a directory"] == done.json["warnings"]


# Prune


@pytest.mark.parametrize("verb", ["offload", "restore"])
def test_places_of_prompts_are_registered(host: Cli, verb: str) -> None:
    """Every pass over the host's own database registers where its prompts are: one that is edited anew holds refs."""
    BlobStore.create(host.store)[0].close()
    assert 0 == host.run(verb, *(["--no-plugin"] if verb == "offload" else [])).code
    with BlobStore.open(host.store) as store:
        (entry,) = store.registry.databases()

    places = prompt_history_places(dict(os.environ), host.root)
    assert [str(place) for place in sorted(places)] == list(entry.files)


def test_prune_keeps_what_only_prompts_name(host: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blob that no row names any more is marked by the history, also by a prune that has another environment."""
    assert 0 == host.run("offload", "--no-plugin", "--prompt-history").code
    assert 0 == host.run("restore").code
    monkeypatch.setenv("XDG_STATE_HOME", str(host.root / "elsewhere"))
    blob = object_path(host.store, digest_of(payload(BIG, 1)))
    kept = host.run("prune", "--force", "--json").json
    assert blob.exists()
    (state(host) / "prompt-history.jsonl").unlink()
    gone = host.run("prune", "--force", "--json").json

    assert [1, 1] == [kept["report"]["condemned"], gone["report"]["condemned"]]
    assert not blob.exists()


def test_prune_keeps_what_only_a_line_set_aside_names(host: Cli) -> None:
    """What a killed pass could not bring over may hold the last line that names a blob."""
    assert 0 == host.run("offload", "--no-plugin", "--prompt-history").code
    assert 0 == host.run("restore").code
    history = state(host) / "prompt-history.jsonl"
    history.rename(history.with_name(f".{history.name}.7-0123456789abcdef-00000000{replacing.KEPT}"))
    history.touch()
    kept = host.run("prune", "--force", "--json").json

    assert 1 == kept["report"]["condemned"]
    assert object_path(host.store, digest_of(payload(BIG, 1))).exists()


def test_another_machine_keeps_what_only_prompts_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the prompts on one machine name is in the mark that it publishes for the others."""
    backend = MemoryBackend()
    shared(monkeypatch, backend)
    database = make_opencode(tmp_path / "opencode.db", sessions=1, parts=1)
    history = write(tmp_path / "prompt-history.jsonl", [prompt_line("[Image 1]", payload(BIG, 1))])
    with remote_store(backend, tmp_path / "one") as store:
        store.registry.register(str(database), host="opencode", files=[str(history)])
        assert 1 == out(store, history).payloads
    elsewhere = make_opencode(tmp_path / "elsewhere.db", sessions=1, parts=1)
    with remote_store(backend, tmp_path / "two") as store:
        store.registry.register(str(elsewhere), host="opencode")
    first, second = place(tmp_path / "store", tmp_path / "one"), place(tmp_path / "store", tmp_path / "two")
    with pytest.raises(DeletionRefusedError):
        prune_pass(first, force=True)
    kept = prune_pass(second, force=True)
    history.unlink()
    prune_pass(first, force=True)

    assert 0 == kept.plan.condemned
    assert [] == keys(backend, "objects/")
