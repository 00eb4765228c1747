"""The lines of keys in TOML texts."""

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocblob.config.toml_lines import lines_of

VALUES = (
    "1",
    "1.5e3",
    "true",
    "1979-05-27 07:32:00Z",
    '"a # b"',
    r'"a \" = [ b"',
    "'c:\\dir'",
    '""',
    "''",
    '""""""',
    '"""\nfake = 1\n[fake]\n"""',
    r'"""x \""" y = 2"""',
    '"""two""""" # quotes at the end',
    "'''\n# no comment\nfake = 2'''",
    "[]",
    "[1, [2, 3], # fake = 3\n  '[',\n]",
    '["a",\n\n"]"\n]',
    "{ fake = 4, other = [1,\n2] }",
    "1 # fake = 5",
)
NAMES = ("a", "b-c", "d_2", '"e f"', "'g#h'", r'"\"i"', '"=.["', "k.l", 'm . "n o"')


def leaves(values: Mapping[str, Any], *above: str) -> Iterator[tuple[str, ...]]:
    """The path of everything in a document."""
    for name, value in values.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from leaves(value, *above, name)


@pytest.mark.parametrize("value", VALUES)
def test_a_key_behind_any_value_is_found(value: str) -> None:
    """Whatever a value looks like inside, the next key's line is right."""
    text = f"# first\n\nbefore = {value}\nkey = 1\n"

    assert {("before",): 3, ("key",): 4 + value.count("\n")} == lines_of(text)


@pytest.mark.parametrize("name", NAMES)
def test_a_key_may_be_quoted_and_dotted(name: str) -> None:
    """A key's parts are those that `tomllib` finds."""
    text = f"{name} = 1"
    path = list(leaves(tomllib.loads(text)))[-1]

    assert {path: 1} == lines_of(text)


def test_tables_stand_where_their_headers_are() -> None:
    """A key belongs to the table above it; of several tables with one name the first counts."""
    text = "top = 1\n\n[s3] # options\n  region = 'x'\n[ a . 'b' ]\nc = 1\n[[list]]\nd = 1\n[[list]]\nd = 2\n"

    assert {
        ("top",): 1,
        ("s3",): 3,
        ("s3", "region"): 4,
        ("a", "b"): 5,
        ("a", "b", "c"): 6,
        ("list",): 7,
        ("list", "d"): 8,
    } == lines_of(text)


@pytest.mark.parametrize("text", ["", "\n", "# nothing", " \t\r\n# x\r\n"])
def test_an_empty_text_has_no_keys(text: str) -> None:
    """Comments and white space are none."""
    assert {} == lines_of(text)


@given(st.lists(st.tuples(st.sampled_from(VALUES), st.integers(0, 2)), max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_every_key_is_found(entries: list[tuple[str, int]], end: str) -> None:
    """In a document of any such lines each key stands at its line."""
    lines: list[str] = []
    expected = {}
    for number, (value, blank) in enumerate(entries):
        lines += ["# key = 0"] * blank
        expected[(f"key{number}",)] = len(lines) + 1
        lines += f"key{number} = {value}".split("\n")
    text = end.join(lines)

    assert expected == lines_of(text)
    assert {path[0] for path in expected} == set(tomllib.loads(text))
