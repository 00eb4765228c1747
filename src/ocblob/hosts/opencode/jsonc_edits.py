"""Edits of JSON with comments that leave every other byte as it is.

What `appended` adds `removed` takes away again, to the last space. An element's text may hold line breaks, and tabs for
levels of indentation: it comes out in the way of the file.
"""

import json
import re
from typing import Any, Final

from ocblob.hosts.opencode.jsonc import Node, skip

_WHITE: Final = " \t\r\n"
_COMMENT_BEHIND = re.compile(r"[ \t]*(?://[^\r\n]*|/\*[^\r\n]*?\*/(?=[ \t]*\r?\n))")
_INDENTATION = re.compile(r"\n([ \t]+)")


def written(value: Any) -> str:
    """A value as JSON on one line."""
    return json.dumps(value, ensure_ascii=False)


def replaced(text: str, node: Node, element: str) -> str:
    """The text with another value in the place of one."""
    return text[: node.start] + _laid_out(text, element, node.start) + text[node.end :]


def appended(text: str, outer: Node, element: str) -> str:
    """The text with one more element at the end of an array or an object: an item, or a name and its value.

    It looks as the one before it: on a line of its own if that has one, with a comma behind it if that has one.
    """
    elements = _elements(outer)
    if not elements:
        at = outer.start + 1
        if text[outer.start] == "{":
            break_ = _newline(text) + _indentation(text, outer.start)
            element = f"{break_}{_step(text)}{_laid_out(text, element, outer.start, deeper=True)}{break_}"
        else:
            element = _laid_out(text, element, outer.start)
        return text[:at] + element + text[at:]
    start, end = elements[-1]
    comma = skip(text, end)
    has_comma = text.startswith(",", comma)
    behind = comma + 1 if has_comma else end
    comment = _COMMENT_BEHIND.match(text, behind)
    at = comment.end() if comment else behind
    own_line = "\n" in text[_gap(text, start) : start] or "//" in text[behind:at]
    gap = _newline(text) + _indentation(text, start) if own_line else " "
    element = gap + _laid_out(text, element, start)
    if has_comma:
        return f"{text[:at]}{element},{text[at:]}"
    return f"{text[:end]},{text[end:at]}{element}{text[at:]}"


def removed(text: str, outer: Node, index: int) -> str:
    """The text without one element of an array or an object. Comments around it stay."""
    elements = _elements(outer)
    start, end = elements[index]
    gap, comma = _gap(text, start), skip(text, end)
    has_comma = text.startswith(",", comma)
    behind = comma + 1 if has_comma else end
    cuts = []
    if has_comma:
        cuts.append((comma, comma + 1))
    elif index:
        before = skip(text, elements[index - 1][1])
        cuts.append((before, before + 1))
    if index or text[outer.start] == "{":
        # A comment to the end of its line must not swallow what comes next.
        between = text[elements[index - 1][1] if index else outer.start + 1 : gap]
        commented = "//" in between.rpartition("\n")[2]
        stays = commented and not text.startswith(("\n", "\r"), behind)
        cuts.append((start if stays else gap, end))
        if len(elements) == 1 and not commented:
            break_ = _newline(text) + _indentation(text, outer.start)
            cuts.append((behind, behind + len(break_) if text.startswith(break_, behind) else behind))
    else:
        cuts.append((start, end))
        if len(elements) > 1:
            cuts.append((behind, behind + len(text[behind:]) - len(text[behind:].lstrip(_WHITE))))
    for cut_start, cut_end in sorted(cuts, reverse=True):
        text = text[:cut_start] + text[cut_end:]
    return text


def _elements(outer: Node) -> list[tuple[int, int]]:
    return [(item.start, item.end) for item in outer.items] + [(member.start, member.end) for member in outer.members]


def _laid_out(text: str, element: str, at: int, *, deeper: bool = False) -> str:
    """An element with line breaks and indentation as the file has them on the line of this place."""
    indentation = _indentation(text, at) + (_step(text) if deeper else "")
    return element.replace("\t", _step(text)).replace("\n", _newline(text) + indentation)


def _gap(text: str, at: int) -> int:
    """Where the white space right before a place begins."""
    return len(text[:at].rstrip(_WHITE))


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _indentation(text: str, at: int) -> str:
    """The white space that the line of a place begins with."""
    line = text[text.rfind("\n", 0, at) + 1 : at].lstrip("\ufeff")
    return line[: len(line) - len(line.lstrip(" \t"))]


def _step(text: str) -> str:
    """One level of indentation in this file."""
    match = _INDENTATION.search(text)
    return match[1] if match else "  "
