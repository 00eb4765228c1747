"""What OpenCode's `export` says of a session, out of the row of its table: the same keys in the same order."""

import json
from collections.abc import Mapping
from typing import Any

Cell = int | float | str | None

SESSION_JSON = frozenset({"summary_diffs", "model", "metadata", "revert", "permission"})
"""Columns whose text is JSON."""


def session_info(row: Mapping[str, Cell]) -> dict[str, Any]:
    """The `info` of an export. What the table does not have, or is no JSON where it must be, is left out."""
    cells: dict[str, Any] = {name: _parsed(value) if name in SESSION_JSON else value for name, value in row.items()}
    time = {"created": cells.get("time_created"), "updated": cells.get("time_updated")}
    info: dict[str, Any] = {
        "id": cells.get("id"),
        "slug": cells.get("slug"),
        "projectID": cells.get("project_id"),
        **_present(workspaceID=cells.get("workspace_id")),
        "directory": cells.get("directory"),
        **_present(path=cells.get("path"), parentID=cells.get("parent_id")),
        "title": cells.get("title"),
        **_present(agent=cells.get("agent"), model=_model(cells.get("model"))),
        "version": cells.get("version"),
        **_present(summary=_summary(cells), cost=cells.get("cost"), tokens=_tokens(cells)),
        **_present(share={"url": cells["share_url"]} if cells.get("share_url") else None),
        **_present(
            metadata=cells.get("metadata"), revert=_revert(cells.get("revert")), permission=cells.get("permission")
        ),
        "time": time | _present(compacting=cells.get("time_compacting"), archived=cells.get("time_archived")),
    }
    return info


def _present(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def _parsed(value: Cell) -> object:
    if not isinstance(value, str):
        return None
    try:
        parsed: object = json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return parsed


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _model(value: object) -> dict[str, object] | None:
    if not isinstance(value, dict):
        return None
    return {name: value[name] for name in ("id", "providerID", "variant") if name in value}


def _revert(value: object) -> dict[str, object] | None:
    if not isinstance(value, dict):
        return None
    return {name: value[name] for name in ("messageID", "partID", "snapshot", "diff") if name in value}


def _summary(cells: Mapping[str, Any]) -> dict[str, object] | None:
    counts = {name: cells.get(f"summary_{name}") for name in ("additions", "deletions", "files")}
    if all(count is None for count in counts.values()):
        return None
    return {name: count or 0 for name, count in counts.items()} | _present(diffs=cells.get("summary_diffs"))


def _tokens(cells: Mapping[str, Any]) -> dict[str, object] | None:
    names = {"input": "tokens_input", "output": "tokens_output", "reasoning": "tokens_reasoning"}
    cache = {"read": "tokens_cache_read", "write": "tokens_cache_write"}
    if names["input"] not in cells:
        return None  # a session of before there were any
    told: dict[str, object] = {name: cells.get(column) for name, column in names.items()}
    return told | {"cache": {name: cells.get(column) for name, column in cache.items()}}
