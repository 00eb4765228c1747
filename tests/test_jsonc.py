from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocblob.errors import UsageError
from ocblob.hosts.opencode.jsonc import DEPTH_MAX, Node, parse
from ocblob.hosts.opencode.jsonc_edits import appended, removed, replaced, written

READ: dict[str, Any] = {
    "{}": {},
    "\ufeff [1,\r\n\t-2.5e3, true, false, null]\n": [1, -2500.0, True, False, None],
    '{"a": 1,} // end': {"a": 1},
    "[1, /* two */ 2, // three\n]": [1, 2],
    '/* before */ {"a" /* b */ : // c\n [ ] /* d */ , }': {"a": []},
    '"// no comment /* here */"': "// no comment /* here */",
    '"\\u00e9\\n\\/\\" \u00e9"': 'é\n/" é',
    '{"a": 1, "a": 2}': {"a": 2},
    "1" * 5000: float("inf"),
    '{"port": {env:PORT}, "key": "{file:~/key}"}': {"port": "{env:PORT}", "key": "{file:~/key}"},
}

REFUSED: dict[str, str] = {
    "": "line 1, column 1: expected a value, found the end of the file",
    "{": "line 1, column 2: expected a name in quotation marks, found the end of the file",
    '{\n  "a": 1\n  "b": 2\n}': "line 3, column 3: expected ',' or '}', found '\"'",
    '{"a" 1}': "line 1, column 6: expected ':', found '1'",
    "{a: 1}": "line 1, column 2: expected a name in quotation marks, found 'a'",
    "{1: 1}": "line 1, column 2: expected a name in quotation marks, found '1'",
    "[,]": "line 1, column 2: expected a value, found ','",
    "[1,,]": "line 1, column 4: expected a value, found ','",
    "[1 2]": "line 1, column 4: expected ',' or ']', found '2'",
    "[01]": "line 1, column 2: expected a value, found '0'",
    "[1.]": "line 1, column 3: expected ',' or ']', found '.'",
    "[nul]": "line 1, column 2: expected a value, found 'n'",
    "['a']": 'line 1, column 2: expected a value, found "\'"',
    '["a\nb"]': "line 1, column 2: expected a value, found '\"'",
    '["\\x"]': "line 1, column 2: expected a value, found '\"'",
    "{} /* open": "line 1, column 4: expected the end of the file, found '/'",
    "{} {}": "line 1, column 4: expected the end of the file, found '{'",
    "[" * 300: f"line 1, column 202: expected at most {DEPTH_MAX} levels, found '['",
}

ELEMENTS = {"[": '["x", {\n\t"k": 1\n}]', "{": '"new": [\n\t["x", {\n\t\t"k": 1\n\t}]\n]'}

APPENDED = {
    "[]": '[["x", {\n  "k": 1\n}]]',
    '["a"]': '["a", ["x", {\n  "k": 1\n}]]',
    '["http://a"]': '["http://a", ["x", {\n  "k": 1\n}]]',
    '["a",]': '["a", ["x", {\n  "k": 1\n}],]',
    '[\n\t"a"\n]': '[\n\t"a",\n\t["x", {\n\t\t"k": 1\n\t}]\n]',
    '[\r\n    "a", // about a\r\n]': '[\r\n    "a", // about a\r\n    ["x", {\r\n        "k": 1\r\n    }],\r\n]',
    '[\n  "a" // about a\n]': '[\n  "a", // about a\n  ["x", {\n    "k": 1\n  }]\n]',
    '[\n  "a" /* so */ , /* and so */\n]': '[\n  "a" /* so */ , /* and so */\n  ["x", {\n    "k": 1\n  }],\n]',
    '["a" // about a\n]': '["a", // about a\n["x", {\n  "k": 1\n}]\n]',
    "{}": '{\n  "new": [\n    ["x", {\n      "k": 1\n    }]\n  ]\n}',
    '{"a": 1}': '{"a": 1, "new": [\n  ["x", {\n    "k": 1\n  }]\n]}',
}


@pytest.mark.parametrize("text", READ)
def test_what_opencode_reads_is_read(text: str) -> None:
    """Comments, trailing commas, a byte order mark, OpenCode's own variables; of two equal names the last counts."""
    assert READ[text] == parse(text).value


@pytest.mark.parametrize("text", REFUSED)
def test_what_opencode_does_not_read_is_refused(text: str) -> None:
    """The error tells line and column, what should stand there, and what does."""
    with pytest.raises(UsageError) as caught:
        parse(text)

    assert REFUSED[text] == str(caught.value)


@pytest.mark.parametrize("text", APPENDED)
def test_an_element_is_added_in_the_way_of_the_file(text: str) -> None:
    """It has a line, an indentation, a line end and a trailing comma where its neighbour has them."""
    assert APPENDED[text] == appended(text, parse(text), ELEMENTS[text[0]])


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (0, '["b", // about b\n "c", /* d */ "d"]'),
        (1, '["a", // about b\n "c", /* d */ "d"]'),
        (2, '["a", "b", // about b\n  /* d */ "d"]'),
        (3, '["a", "b", // about b\n "c" /* d */]'),
    ],
)
def test_an_element_goes_from_anywhere(index: int, expected: str) -> None:
    """The first, one between others, the last; comments stay, and none swallows what comes next."""
    text = '["a", "b", // about b\n "c", /* d */ "d"]'

    assert expected == removed(text, parse(text), index)


spaces = st.sampled_from(["", "", " ", "\n", "\n    ", "\r\n\t", " /* c, ] */ ", " // c ]}\n", "\n  // c\n  "])
scalars = (
    st.none() | st.booleans() | st.integers(-99, 99) | st.sampled_from(["", "a//b", "/*", 'q"\\', "é", "file:///x"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "c//", "plugin"]), inner),
    max_leaves=8,
)


@st.composite
def documents(draw: st.DrawFn, kind: st.SearchStrategy[Any] = values) -> tuple[str, Any]:
    """A text and the value that it says, with comments and white space anywhere."""

    def text(value: Any) -> str:
        before, behind = draw(spaces), draw(spaces)
        if isinstance(value, list | dict) and value:
            opening, closing = "[]" if isinstance(value, list) else "{}"
            parts = [text(item) for item in value] if isinstance(value, list) else []
            if isinstance(value, dict):
                parts = [f"{draw(spaces)}{written(name)}{draw(spaces)}:{text(item)}" for name, item in value.items()]
            comma = draw(st.sampled_from(["", ","]))
            return f"{before}{opening}{','.join(parts)}{comma}{draw(spaces)}{closing}{behind}"
        if isinstance(value, list | dict):
            inside = draw(spaces)
            return f"{before}[{inside}]{behind}" if isinstance(value, list) else f"{before}{{{inside}}}{behind}"
        return f"{before}{written(value)}{behind}"

    value = draw(kind)
    return text(value), value


lists = st.lists(values, max_size=4)
objects = st.dictionaries(st.sampled_from(["a", "b", "c//", "plugin"]), values)


@settings(max_examples=150, deadline=None)
@given(documents())
def test_any_document_is_read(document: tuple[str, Any]) -> None:
    """Whatever white space and comments stand between, the value is the one that was written."""
    text, value = document

    assert value == parse(text).value


@settings(max_examples=150, deadline=None)
@given(documents(lists | objects))
def test_what_was_added_goes_without_a_trace(document: tuple[str, Any]) -> None:
    """One more element says the old value and the new one, and its removal gives back every byte."""
    text, value = document
    outer = parse(text)
    longer = appended(text, outer, ELEMENTS[text[outer.start]])
    new = parse(longer)
    back = removed(longer, new, len(value))

    assert ([*value, ["x", {"k": 1}]] if isinstance(value, list) else value | {"new": [["x", {"k": 1}]]}) == new.value
    assert text == back


@settings(max_examples=150, deadline=None)
@given(documents(lists.filter(bool) | objects.filter(bool)), st.data())
def test_any_element_goes(document: tuple[str, Any], data: st.DataObject) -> None:
    """What is left says the other elements."""
    text, value = document
    index = data.draw(st.integers(0, len(value) - 1))
    left = removed(text, parse(text), index)
    others = [item for at, item in enumerate(value.items() if isinstance(value, dict) else value) if at != index]

    assert (dict(others) if isinstance(value, dict) else others) == parse(left).value


@settings(max_examples=100, deadline=None)
@given(documents(lists.filter(bool)), st.data())
def test_a_value_is_replaced_in_its_place(document: tuple[str, Any], data: st.DataObject) -> None:
    """Everything around it stays."""
    text, value = document
    index = data.draw(st.integers(0, len(value) - 1))
    node: Node = parse(text).items[index]
    changed = replaced(text, node, '"other"')

    assert [*value[:index], "other", *value[index + 1 :]] == parse(changed).value
    assert (text[: node.start], text[node.end :]) == (changed[: node.start], changed[node.start + 7 :])
