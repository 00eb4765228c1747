"""A tiny MCP server over stdio: one tool, which answers with the picture named on the command line."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

TOOL = {"name": "picture", "description": "A picture.", "inputSchema": {"type": "object", "properties": {}}}


def answer(method: str, version: str) -> dict[str, Any] | None:
    """The result of a request; None for one that is not known."""
    data = base64.b64encode(Path(sys.argv[1]).read_bytes()).decode()
    results: dict[str, dict[str, Any]] = {
        "initialize": {
            "protocolVersion": version,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "pictures", "version": "1"},
        },
        "ping": {},
        "tools/list": {"tools": [TOOL]},
        "tools/call": {"content": [{"type": "image", "mimeType": "image/png", "data": data}]},
    }
    return results.get(method)


for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue  # a notification
    result = answer(request["method"], request.get("params", {}).get("protocolVersion", ""))
    outcome = {"result": result} if result is not None else {"error": {"code": -32601, "message": "unknown method"}}
    print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **outcome}), flush=True)
