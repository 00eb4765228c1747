"""OpenCode's own web UI in a real browser: what it shows of a session whose attachments have moved out.

`opencode serve` serves it out of the binary: nothing is fetched from elsewhere.
"""

import base64
import io
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from chromium import Chromium, Page
from mock_model import MockModel
from opencode import OpenCode, Server
from PIL import Image
from plugin import NEEDLE, ocblob, store_of

from ocblob import Resolver, find_refs

SHOW_TIMEOUT_SECONDS = 60.0
PLAIN_SIZE = [144, 80]
SIZE = (640, 400)
COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40))
"""Of the quarters of a picture, row by row."""
NOISE = 0.1
"""How much of a pixel is noise, so that the file does not compress."""
TOLERANCE = 40
PICTURES = ("quarters.png", "quarters.jpg")
ANSWER = "They are colourful."

SHOWN = """
(() => {
    const found = [...document.querySelectorAll('img[src^="data:"]')]
    if (found.length < COUNT || !document.body.innerText.includes(ANSWER)) return null
    return Promise.all(found.map(async (image) => {
        await image.decode()
        const canvas = document.createElement("canvas")
        const width = canvas.width = image.naturalWidth
        const height = canvas.height = image.naturalHeight
        const pen = canvas.getContext("2d")
        pen.drawImage(image, 0, 0)
        const at = (x, y) => [...pen.getImageData(Math.floor(width * x), Math.floor(height * y), 1, 1).data].slice(0, 3)
        const colours = [at(0.25, 0.25), at(0.75, 0.25), at(0.25, 0.75), at(0.75, 0.75)]
        const seen = image.getClientRects().length > 0
        return { name: image.alt, url: image.src, size: [width, height], seen, colours }
    }))
})()
"""


@dataclass(frozen=True)
class Host:
    """A running server, with the model that answers it."""

    opencode: OpenCode
    server: Server
    model: MockModel

    def session(self, files: dict[str, str]) -> str:
        """A session with one turn; `files` are the data URLs of attachments by name."""
        session = self.server.create()
        self.model.answer(ANSWER)
        parts = [
            {"type": "file", "mime": url[5:].partition(";")[0], "filename": name, "url": url}
            for name, url in files.items()
        ]
        body = {"parts": [{"type": "text", "text": "Look at these."}, *parts]}
        self.server.request("POST", f"/session/{session}/message", body)
        return session

    def open(self, page: Page, session: str) -> None:
        """Show a session in a tab."""
        directory = base64.urlsafe_b64encode(str(self.opencode.project).encode()).decode().rstrip("=")
        page.open(f"{self.server.url}/{directory}/session/{session}")


@pytest.fixture(scope="module")
def host(opencode_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host for the tests of this file; each makes a session of its own."""
    with MockModel() as model:
        opencode = OpenCode(opencode_binary, tmp_path_factory.mktemp("web"), model)
        with opencode.serve() as server:
            yield Host(opencode, server, model)


def quarters(suffix: str) -> bytes:
    """A picture of four colours."""
    picture = Image.new("RGB", (2, 2))
    picture.putdata(COLOURS)
    noise = Image.frombytes("RGB", SIZE, random.Random(suffix).randbytes(SIZE[0] * SIZE[1] * 3))
    out = io.BytesIO()
    noisy = Image.blend(picture.resize(SIZE, Image.Resampling.NEAREST), noise, NOISE)
    noisy.save(out, {".png": "PNG", ".jpg": "JPEG"}[suffix], quality=95)
    return out.getvalue()


def shown(page: Page, count: int) -> list[dict[str, Any]]:
    """The pictures on the page, as soon as there are that many and the model's answer is there too."""
    script = SHOWN.replace("COUNT", str(count)).replace("ANSWER", json.dumps(ANSWER))
    pictures: list[dict[str, Any]] = page.wait_for(script, timeout_seconds=SHOW_TIMEOUT_SECONDS)
    return pictures


def distance(one: list[int], other: tuple[int, ...]) -> int:
    """How far two colours are apart, in the worst of their channels."""
    return max(abs(first - second) for first, second in zip(one, other, strict=True))


def image_size(url: str) -> list[int]:
    """The width and height of the picture in a data URL."""
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        return list(image.size)


def test_an_offloaded_session_shows_its_pictures(host: Host, chromium: Chromium) -> None:
    """After an offload the page shows a thumbnail of each picture, in its colours, without any error."""
    files = {name: quarters(Path(name).suffix) for name in PICTURES}
    types = {".png": "image/png", ".jpg": "image/jpeg"}
    urls = {
        name: f"data:{types[Path(name).suffix]};base64,{base64.b64encode(data).decode()}"
        for name, data in files.items()
    }
    session = host.session(urls)
    ocblob(host.opencode, "offload", "--no-plugin", "--session", session)

    with chromium.page() as page:
        host.open(page, session)
        pictures = shown(page, len(PICTURES))
        errors = page.errors

    assert [] == errors
    assert list(PICTURES) == [picture["name"] for picture in pictures]
    assert [True, True] == [NEEDLE in picture["url"] and picture["seen"] for picture in pictures]
    assert [image_size(picture["url"]) for picture in pictures] == [picture["size"] for picture in pictures]
    assert list(SIZE) not in [picture["size"] for picture in pictures]
    assert TOLERANCE > max(
        distance(colour, meant)
        for picture in pictures
        for colour, meant in zip(picture["colours"], COLOURS, strict=True)
    )
    with Resolver(store_of(host.opencode)) as resolver:
        assert list(files.values()) == [resolver.read(find_refs(picture["url"])[0]) for picture in pictures]


def test_a_plain_placeholder_is_shown_as_the_picture_that_it_is(host: Host, chromium: Chromium, tmp_path: Path) -> None:
    """Without previews the page shows the placeholder's own picture, and the name of a PDF, without any error."""
    urls = {}
    for name, kind, data in (
        ("plain.png", "image/png", quarters(".png")),
        ("plain.pdf", "application/pdf", b"%PDF-1.7\n" + bytes(20_000)),
    ):
        (tmp_path / name).write_bytes(data)
        done = ocblob(host.opencode, "put", str(tmp_path / name), "--mime", kind, "--no-previews")
        urls[name] = done["url"]
    session = host.session(urls)

    with chromium.page() as page:
        host.open(page, session)
        pictures = shown(page, 1)
        text = page.evaluate("document.body.innerText")
        errors = page.errors

    assert [] == errors
    assert [("plain.png", urls["plain.png"], PLAIN_SIZE, True)] == [
        (picture["name"], picture["url"], picture["size"], picture["seen"]) for picture in pictures
    ]
    assert "plain.pdf" in text


def test_a_page_with_errors_is_told(chromium: Chromium) -> None:
    """A broken picture, a script that throws and words on the error console would be seen by the tests above."""
    html = '<img src="data:image/png;base64,AAAA"><script>console.error("first"); throw new Error("second")</script>'

    with chromium.page() as page:
        page.open(f"data:text/html,{html}")
        size = page.wait_for(
            "document.images[0]?.complete && [document.images[0].naturalWidth]", timeout_seconds=SHOW_TIMEOUT_SECONDS
        )
        errors = page.errors

    assert [0] == size
    assert "first" in errors
    assert any("second" in error for error in errors)
