"""The plugin's hooks without OpenCode: what goes into the store, what is asked for again, what can go wrong."""

import base64
import hashlib
import io
import struct
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from plugin_process import MESSAGE, TOOL, TRANSFORM, FakeCommand, Runtime

from ocblob.digest import digest_of
from samples import data_url, payload

CHARS_MAX = 5_242_880
MINUTE_MS = 60_000
PDF = "application/pdf"
WRONG: dict[str, list[object]] = {
    "command": [None, 5, [], [""], ["x", 5], "", {}, True],
    "store": [None, 5, [], {}, False, "blobs", "./blobs", "~blobs"],
    "objects": [None, 5, [], {}, False],
    "db": [None, 5, [], {}, False],
    "environment": [None, 5, [], "", {"A": 5}, {"A": None}],
    "ingest": [None, 0, 1, "true", [], {}],
    "rescan": [None, 0, 1, "false", [], {}],
    "rescanMinutes": [None, -1, "5", [], {}, {"$": "NaN"}, True],
    "minSize": [None, -1, "8KiB", [], {}, {"$": "NaN"}],
    "cacheMB": [None, -0.5, "64", [], {}, {"$": "NaN"}],
    "maintainMinutes": [None, -1, "60", [], {}, {"$": "NaN"}],
    "maxSizeMB": [0, -1, "200", [], {}, {"$": "NaN"}, False],
    "maxAgeDays": [0, -1, "30", [], {}, {"$": "NaN"}],
    "maxSessions": [0, -1, 1.5, "100", [], {}, {"$": "NaN"}],
    "by": [0, "", "newest", []],
    "keepActiveDays": [-1, "7", [], {"$": "NaN"}],
    "keep": ["ses_1", [5], [""], {}, 0],
    "archive": [True, 0, "", []],
    "archiveRefs": [0, "true", []],
    "mirror": [True, False, 0, "", []],
    "vacuum": [True, False, "sometimes", 0],
}


@pytest.fixture
def command(tmp_path: Path) -> FakeCommand:
    """What stands in for ocblob."""
    return FakeCommand(tmp_path / "command")


def part(data: bytes, mime: str = PDF, **more: object) -> dict[str, Any]:
    """A file part."""
    return {"type": "file", "mime": mime, "filename": "a", "url": data_url(data, mime), **more}


def message(parts: Iterable[object]) -> list[Any]:
    """A step: the user's message with these parts."""
    return ["hook", MESSAGE, {}, {"message": {"role": "user"}, "parts": list(parts)}]


def transform(parts: Iterable[object]) -> list[Any]:
    """A step: one message on its way to the model."""
    return ["hook", TRANSFORM, {}, {"messages": [{"info": {}, "parts": list(parts)}]}]


def parts_of(done: Any) -> Any:
    """The parts that either hook has left."""
    gave = done["gave"]
    return gave["parts"] if "parts" in gave else gave["messages"][0]["parts"]


# ---- into the store -----------------------------------------------------------------------------------------------


def test_what_is_stored_and_what_stays(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """Canonical base64 from the threshold on becomes a ref with the URL's own header; all else stays as it is."""
    data = payload(6144)
    text = command.teach(data, PDF)
    odd = f"data:Application/PDF;Name=x;base64,{base64.b64encode(data).decode()}"
    stays = [
        part(payload(6143 - 3)),  # 8188 characters
        part(data) | {"url": data_url(data).replace(";base64", "")},
        part(data) | {"url": data_url(data) + "\n"},
        part(data) | {"url": data_url(data)[:-1]},
        part(data) | {"url": data_url(payload(6145))[:-2] + "B="},
        part(data) | {"url": "file:///a.pdf"},
        part(data) | {"url": f"data:{PDF};base64,{text}"},
        part(base64.b64decode(text) + b"%" * 7000),  # a ref too: previews make them large
        part(data, "image/heic"),
        part(data, "image/svg+xml"),
        part(data) | {"mime": "image/png"},
        {"type": "text", "text": data_url(data)},
    ]
    steps = [message([part(data), part(data) | {"url": odd}, *stays])]

    case = runtime.one(tmp_path, {"options": command.options, "steps": steps})

    stored, named, *stayed = parts_of(case["done"][0])
    assert part(data) | {"url": f"data:{PDF};base64,{text}"} == stored
    assert f"data:Application/PDF;Name=x;base64,{text}" == named["url"]
    assert stays == stayed
    assert [] == case["logs"]
    words = ["put", "-", "--no-create", "--json", "--mime", PDF, "--db", str(command.database)]
    calls = sorted(command.calls("put"), key=lambda call: str(call["words"]))
    assert [[*words[:5], "Application/PDF", *words[6:]], words] == [call["words"] for call in calls]
    assert {(len(data), sha256(data))} == {(call["size"], call["sha256"]) for call in calls}


def sha256(data: bytes) -> str:
    """As the fake command names bytes."""
    return hashlib.sha256(data).hexdigest()


def pictures() -> dict[str, tuple[str, Callable[[tuple[int, int]], bytes]]]:
    """How to make a picture of each kind in any size, of more than 6 kB."""

    def saved(kind: str, mode: str = "RGB", **options: Any) -> Callable[[tuple[int, int]], bytes]:
        def make(size: tuple[int, int]) -> bytes:
            file = io.BytesIO()
            Image.effect_noise(size, 90).convert(mode).save(file, kind, **options)
            return file.getvalue()

        return make

    exif = Image.Exif()
    exif[0x0112] = 6
    thumbnail = b"Exif\0\0" + saved("JPEG")((90, 70))
    return {
        "png": ("image/png", saved("PNG", "L")),
        "interlaced": ("image/png", saved("PNG", "RGBA")),
        "jpeg": ("image/jpeg", saved("JPEG")),
        "progressive": ("image/jpeg", saved("JPEG", progressive=True)),
        "exif": ("image/jpeg", saved("JPEG", exif=exif)),
        "thumbnail": ("image/jpeg", saved("JPEG", exif=thumbnail)),
        "cmyk": ("image/jpeg", saved("JPEG", "CMYK")),
        "gif": ("image/gif", saved("GIF", "L")),
        "vp8": ("image/webp", saved("WEBP", quality=95)),
        "vp8l": ("image/webp", saved("WEBP", lossless=True)),
        "vp8x": ("image/webp", saved("WEBP", exif=exif)),
        "a lie": ("image/webp", saved("PNG", "L")),
    }


def test_pictures_pass_where_opencode_keeps_them(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """Up to 2000 pixels a side, or what the host's config says, and whole; others are for OpenCode to see."""
    wide, high, small = (2000, 20), (20, 2001), (300, 200)
    made = {
        (name, size): (mime, make(size))
        for name, (mime, make) in pictures().items()
        for size in (wide, high, (2001, 20), small)
    }
    cut = {(name, "cut"): (mime, data[:-40]) for (name, size), (mime, data) in made.items() if size == small}
    cases = made | cut
    for mime, data in cases.values():
        command.teach(data, mime)
    given = [part(data, mime) for mime, data in cases.values()]
    config = {"attachment": {"image": {"max_width": 299, "max_height": 3000}}}
    steps = [message(given), ["hook", "config", config], message(given)]

    case = runtime.one(tmp_path, {"options": command.options, "steps": steps})

    def stored(done: Any) -> list[tuple[str, object]]:
        return [key for key, before, after in zip(cases, given, parts_of(done), strict=True) if before != after]

    usual, _, narrow = case["done"]
    assert [key for key in cases if key[1] in {wide, small}] == stored(usual)
    assert [key for key in cases if key[1] == high] == stored(narrow)


def test_a_pictures_size_is_read_as_pillow_reads_it(tmp_path: Path, runtime: Runtime) -> None:
    """In every format and size; what is damaged where it matters has none."""
    made = [make(size) for _, make in pictures().values() for size in ((1, 1), (64, 65), (257, 300), (1, 4097))]
    png = made[2]
    broken = [png[:end] for end in (0, 1, 8, 20, 33, len(png) - 1)]
    broken += [
        b"\xff\xd8" + b"\xff" * 5000 + b"\xff\xd9",
        b"\xff\xd8\xff\xe0\0\0" * 9 + b"\xff\xd9",
        b"GIF89a;",
        b"RIFF",
    ]
    broken += [png[:at] + bytes([png[at] ^ 1]) + png[at + 1 :] for at in (18, 40, len(png) // 2, len(png) - 1)]
    asked = [[{"$": "bytes", "value": base64.b64encode(data).decode()}] for data in [*made, *broken]]

    case = runtime.one(tmp_path, {"steps": [["ask", "imageSize", asked]]})

    expected = [list(Image.open(io.BytesIO(data)).size) for data in made]
    assert [*expected, *([None] * len(broken))] == case["done"][0]["gave"]


def test_the_largest_picture_that_opencode_keeps(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """Its base64 has 5,242,880 characters; with four more it stays."""
    largest, larger = (padded_png(CHARS_MAX // 4 * 3 + more) for more in (0, 3))
    for data in (largest, larger):
        command.teach(data, "image/png")

    case = runtime.one(
        tmp_path,
        {
            "options": command.options,
            "steps": [message([part(largest, "image/png")]), message([part(larger, "image/png")])],
        },
    )

    lengths = [len(parts_of(done)[0]["url"]) for done in case["done"]]
    assert lengths[0] < 1000
    assert len(data_url(larger, "image/png")) == lengths[1]


def padded_png(size: int) -> bytes:
    """A small picture of exactly `size` bytes."""
    file = io.BytesIO()
    Image.new("L", (9, 9)).save(file, "PNG")
    end = file.getvalue().rindex(b"IEND") - 4
    body = b"noTe" + bytes(size - len(file.getvalue()) - 12)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return file.getvalue()[:end] + chunk + file.getvalue()[end:]


def test_what_tools_answer(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """Attachments, and the images and resources of MCP; types that OpenCode would leave out stay as they are."""
    data = payload(9000)
    picture = padded_png(9000)
    pdf, png = command.teach(data, PDF), command.teach(picture, "image/png")
    bare, image = (base64.b64encode(item).decode() for item in (data, picture))
    content = [
        {"type": "text", "text": bare},
        {"type": "image", "mimeType": "image/png", "data": image},
        {"type": "resource", "resource": {"uri": "x:1", "mimeType": PDF, "blob": bare}},
        {"type": "resource", "resource": {"uri": "x:2", "mimeType": "application/zip", "blob": bare}},
        {"type": "resource", "resource": {"uri": "x:3", "blob": bare}},
        {"type": "resource", "resource": {"uri": "x:4", "mimeType": PDF, "text": "x"}},
        {"type": "image", "data": image},
        {"type": "image", "mimeType": "image/png,", "data": image},
        None,
        "text",
    ]
    attached = [part(data), part(picture, "image/png"), part(b"short")]
    steps = [
        ["hook", TOOL, {"tool": "read"}, {"output": "x", "attachments": attached}],
        ["hook", TOOL, {"tool": "mcp"}, {"content": content}],
        ["hook", TOOL, {"tool": "bash"}, {"output": bare, "attachments": None}],
    ]

    case = runtime.one(tmp_path, {"options": command.options, "steps": steps})

    read, mcp, bash = (done["gave"] for done in case["done"])
    assert [f"data:{PDF};base64,{pdf}", f"data:image/png;base64,{png}", attached[2]["url"]] == [
        file["url"] for file in read["attachments"]
    ]
    assert png == mcp["content"][1]["data"]
    assert pdf == mcp["content"][2]["resource"]["blob"]
    assert content[3:] == mcp["content"][3:]
    assert content[0] == mcp["content"][0]
    assert {"output": bare, "attachments": None} == bash


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("fails", "the disk is on fire"),
        ("rubbish", "JSON"),
        ("endless", "more than 1048576 bytes"),
        ("other", None),
        ("untaught", "FileNotFoundError"),
    ],
)
def test_a_put_that_goes_wrong_leaves_the_attachment(
    tmp_path: Path, runtime: Runtime, command: FakeCommand, mode: str, said: str | None
) -> None:
    """Whatever the command prints: it fails, prints rubbish, prints without end, or speaks of another blob."""
    given = part(payload(9000))
    other = command.root / "other"
    command.teach(payload(9001), PDF)
    other.write_bytes((command.root / sha256(payload(9001))).read_bytes())
    options = command.options | {"environment": {"FAKE_MODE": mode}}

    case = runtime.one(tmp_path, {"options": options, "steps": [message([given])]})

    assert [given] == parts_of(case["done"][0])
    assert 1 == len(command.calls("put"))
    assert [said is not None] == [bool(case["logs"])]
    assert (said or "") in "".join(log["message"] for log in case["logs"])


def test_a_command_that_hangs_is_given_up(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """After a minute the attachment stays, and for five minutes nobody waits for the command again."""
    given = part(payload(9000))
    options = command.options | {"environment": {"FAKE_MODE": "hangs"}}
    steps = [
        ["begin", *message([given])[1:]],
        ["until", str(command.root / "go-begun")],
        ["advance", MINUTE_MS],
        ["end"],
        message([given]),
        ["advance", 5 * MINUTE_MS],
        ["remove", str(command.root / "go-begun")],
        ["begin", *message([given])[1:]],
        ["until", str(command.root / "go-begun")],
        ["advance", MINUTE_MS],
        ["end"],
    ]

    case = runtime.one(tmp_path, {"options": options, "steps": steps})

    ends = [done for done in case["done"] if done]
    assert [[given]] * 3 == [parts_of(done) for done in ends]
    assert 2 == len(command.calls("put"))
    assert ["warn"] == [log["level"] for log in case["logs"]]


def test_a_verb_that_hangs_leaves_the_others(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """Blobs that do not come within five minutes are told in words, for the next five minutes at once."""
    data, begun = payload(9000), str(command.root / "go-begun")
    text = command.teach(data, PDF)
    lost = part(b"") | {"url": ref_part(command, b"lost")["url"]}
    other = part(b"") | {"url": ref_part(command, b"other")["url"]}
    options = command.options | {"environment": {"FAKE_MODE": "cat hangs"}}
    steps = [["begin", *transform([lost])[1:]], ["until", begun], ["advance", 5 * MINUTE_MS], ["end"]]
    steps += [["advance", 2 * MINUTE_MS], transform([lost, other]), message([part(data)])]

    case = runtime.one(tmp_path, {"options": options, "steps": steps})

    first, again, stored = (parts_of(done) for done in case["done"] if done)
    assert ["text"] * 3 == [item["type"] for item in (*first, *again)]
    assert [f"data:{PDF};base64,{text}"] == [item["url"] for item in stored]
    assert [["cat", digest_of(b"lost")]] == [call["words"] for call in command.calls("cat")]


def test_no_command_and_no_database(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """Without either the attachment stays, and it is told once."""
    given = part(payload(9000))
    absent = command.options | {"command": str(tmp_path / "absent")}
    unknown = command.options | {"db": ""}
    steps = [message([given]), message([given])]

    cases = runtime.run(tmp_path, [{"options": options, "steps": steps} for options in (absent, unknown)])

    assert [[[given], [given]]] * 2 == [[parts_of(done) for done in case["done"]] for case in cases]
    assert [1, 1] == [len(case["logs"]) for case in cases]
    assert "absent" in cases[0]["logs"][0]["message"]
    assert "database was not found" in cases[1]["logs"][0]["message"]
    assert [] == command.calls("put")


def test_ingestion_may_be_off(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """With `ingest: false` the plugin has no hook that sees attachments before they are stored."""
    case = runtime.one(tmp_path, {"options": command.options | {"ingest": False}, "steps": [["names"]]})
    assert [["config", "dispose", "event", TRANSFORM]] == case["done"]


# ---- out of the store ---------------------------------------------------------------------------------------------


def ref_part(command: FakeCommand, data: bytes) -> dict[str, Any]:
    """A file part with the ref of a blob that the command has."""
    return part(data) | {"url": f"data:{PDF};base64,{command.teach(data, PDF)}"}


def test_a_blob_is_read_once(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """Many parts of one turn and of later ones share one read, and keep their own headers."""
    data = payload(3000)
    ref = ref_part(command, data)
    named = ref | {"url": ref["url"].replace(";", ";name=x;", 1)}
    turn = [TRANSFORM, {}, {"messages": [{"parts": [ref, named] * 10}]}]
    steps = [["together", turn, turn, turn], ["hook", *turn]]

    case = runtime.one(tmp_path, {"options": command.options, "steps": steps})

    whole = part(data)
    expected = {"messages": [{"parts": [whole, whole | {"url": data_url(data, f"{PDF};name=x")}] * 10}]}
    together, again = case["done"]
    assert [{"gave": expected}] * 4 == [*together, again]
    assert [["cat", digest_of(data)]] == [call["words"] for call in command.calls("cat")]


def test_the_cache_is_bounded(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """The least recently used blob goes; one that is larger than the cache comes each time and drives nothing out."""
    first, second, third, large = (payload(size, size) for size in (300_000, 300_001, 300_002, 900_000))
    one, two, three, huge = (ref_part(command, data) for data in (first, second, third, large))
    nobody = one | {"url": ref_part(command, b"")["url"]}
    turns = [[one], [two], [huge], [two, one], [huge], [three], [one], [two], [nobody], [nobody]]
    options = command.options | {"cacheMB": 1}

    case = runtime.one(tmp_path, {"options": options, "steps": [transform(turn) for turn in turns]})

    assert [] == case["logs"]
    expected = [first, second, large, large, third, second, b""]
    assert [digest_of(data) for data in expected] == [call["words"][1] for call in command.calls("cat")]


def test_what_could_not_be_had_is_asked_for_again_after_a_minute(
    tmp_path: Path, runtime: Runtime, command: FakeCommand
) -> None:
    """Until then the words are the same, and no process is started; the message's other parts are whole."""
    missing, there = payload(3000, "missing"), payload(3000, "there")
    lost, ref = ref_part(command, missing), ref_part(command, there)
    (command.root / digest_of(missing)).rename(command.root / "hidden")
    turn = transform([lost, ref, "no part", None])
    steps = [turn, turn, ["rename", str(command.root / "hidden"), str(command.root / digest_of(missing))]]
    steps += [turn, ["advance", MINUTE_MS + 1000], turn]

    case = runtime.one(tmp_path, {"options": command.options, "steps": steps})

    *failed, found = (parts_of(done) for done in case["done"] if done)
    assert [part(missing), part(there), "no part", None] == found
    assert 3 == len(failed)
    for parts in failed:
        assert parts[0]["text"].startswith('[The attachment "a" (application/pdf, 3000 bytes) is not available: ')
        assert [part(there), "no part", None] == parts[1:]
    assert 2 == [call["words"][1] for call in command.calls("cat")].count(digest_of(missing))
    assert 1 == len(case["logs"])


def test_a_blob_of_another_size_is_not_handed_out(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """The ref says how many bytes there are; more or fewer are not the blob."""
    shorter, longer = payload(3000, "shorter"), payload(3000, "longer")
    refs = [ref_part(command, data) for data in (shorter, longer)]
    (command.root / digest_of(shorter)).write_bytes(shorter[:-1])
    (command.root / digest_of(longer)).write_bytes(longer + b"x")

    case = runtime.one(tmp_path, {"options": command.options, "steps": [transform(refs)]})

    assert ["text", "text"] == [item["type"] for item in parts_of(case["done"][0])]


def test_only_what_opencode_sends_is_read(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """A tool's attachments count when it is done and has not been compacted; its own parts are not changed."""
    data = payload(3000)
    ref = ref_part(command, data)
    usual = {"status": "completed", "output": "x", "attachments": [ref, {"url": "file:///x"}]}
    other = [
        usual | {"status": "running"},
        usual | {"status": "error"},
        usual | {"time": {"compacted": 5}},
        usual | {"attachments": []},
        {"status": "completed"},
        None,
    ]
    parts = [{"type": "tool", "state": state} for state in (*other, usual)] + [{"type": "text", "url": ref["url"]}]

    case = runtime.one(tmp_path, {"options": command.options, "steps": [transform(parts)]})

    *left, done, text = parts_of(case["done"][0])
    assert parts[:6] == left
    assert parts[7] == text
    assert [part(data), {"url": "file:///x"}] == done["state"]["attachments"]
    assert "x" == done["state"]["output"]


# ---- options ------------------------------------------------------------------------------------------------------


def test_wrong_options_are_told_and_count_for_nothing(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """Each is told once, and the plugin works with what is left."""
    data = payload(9000)
    given: list[object] = [{name: value} for name, values in WRONG.items() for value in values]
    given += ["text", 5, True, [], [{}]]
    cases: list[dict[str, Any]] = [{"options": options, "steps": [["names"]]} for options in given]
    unknown = {"comand": ["x"], "constructor": 5, "toString": "x", "__proto__": {"command": "x"}}
    text = command.teach(data, PDF)
    cases.append({"options": command.options | unknown, "steps": [message([part(data)])]})

    *told, last = runtime.run(tmp_path, cases)

    hooks = [MESSAGE, "config", "dispose", "event", TRANSFORM, TOOL]
    assert [["warn"]] * len(told) == [[log["level"] for log in case["logs"]] for case in told]
    assert [[sorted(hooks)]] * len(told) == [case["done"] for case in told]
    assert len(unknown) == sum("unknown option" in log["message"] for log in last["logs"])
    assert f"data:{PDF};base64,{text}" == parts_of(last["done"][0])[0]["url"]


def test_odd_options_that_can_be_meant(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """Nothing, zeros, and very large numbers are options like others."""
    usual = command.options
    given: list[Any] = [{"$": "undefined"}, None, {}, usual | {"rescanMinutes": 0}, usual | {"rescanMinutes": 1e300}]
    given += [usual | {"minSize": 1e300, "cacheMB": 1e300}, usual | {"cacheMB": 0, "minSize": 0}]
    small = [part(b"x"), part(payload(9000)), part(b"")]
    idle = ["hook", "event", {"event": {"type": "session.idle", "properties": {"sessionID": "ses_1"}}}]
    cases = [{"options": options, "steps": [message(small), idle, idle, ["advance", 5000]]} for options in given]

    found = runtime.run(tmp_path, cases)

    assert [3] * len(cases) == [len(parts_of(case["done"][0])) for case in found]
    assert [] == [log for case in found for log in case["logs"] if "ocblob: option" in log["message"]]


# ---- whatever comes -----------------------------------------------------------------------------------------------


def test_no_hook_throws_whatever_it_gets(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """Nothing, wrong shapes, frozen and cyclic objects, and what may not be touched, in every place of every hook."""
    ref = ref_part(command, payload(3000))
    large = part(payload(9000))
    command.teach(payload(9000), PDF)
    odd: list[Any] = [{"$": "undefined"}, None, 0, "", "text", [], {}, [[]], [None], {"$": "cyclic"}, {"$": "throwing"}]
    shapes: list[Any] = [*odd]
    for value in odd:
        shapes += [{"parts": value}, {"messages": value}, {"messages": [{"parts": value}]}, {"attachments": value}]
        shapes += [{"content": value}, {"parts": [value]}, {"attachments": [value]}, {"content": [value]}]
        shapes += [{"messages": [{"parts": [{"type": "tool", "state": value}]}]}, {"event": value}]
        shapes += [{"event": {"type": "session.idle", "properties": value}}, {"attachment": value}]
        shapes += [{"parts": [{"type": "file", "mime": value, "url": large["url"]}]}, {"attachment": {"image": value}}]
        shapes += [{"content": [{"type": "image", "mimeType": value, "data": value}]}]
        shapes += [{"content": [{"type": "resource", "resource": value}]}]
    frozen = {"parts": [large], "attachments": [large], "messages": [{"parts": [ref]}]}
    shapes += [{"$": "frozen", "value": frozen}, {"parts": {"$": "many", "count": 10_000, "value": {"type": "text"}}}]
    hooks = (MESSAGE, TOOL, TRANSFORM, "event", "config", "dispose")
    nothing: dict[str, Any] = {}
    steps = [["hook", name, given, shape] for shape in shapes for name in hooks for given in (shape, nothing)]

    case = runtime.one(tmp_path, {"options": command.options | {"rescan": False}, "steps": steps})

    assert [] == [(step, done) for step, done in zip(steps, case["done"], strict=True) if "threw" in done]


@pytest.mark.parametrize("host", ["no log", "log throws", "log rejects", "none", "null"])
def test_a_host_that_cannot_be_told(tmp_path: Path, runtime: Runtime, command: FakeCommand, host: str) -> None:
    """Everything works as with one that listens."""
    lost = part(b"") | {"url": ref_part(command, b"lost")["url"]}
    (command.root / digest_of(b"lost")).unlink()
    options = command.options | {"minSize": "wrong"}

    case = runtime.one(tmp_path, {"host": host, "options": options, "steps": [transform([lost])]})

    assert ["text"] == [item["type"] for item in parts_of(case["done"][0])]
