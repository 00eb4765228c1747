"""What concerns every test."""

MAX_ID = 60
"""Characters of a value in the name of a test."""


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A value of megabytes is named by its size: pytest spends seconds on such names, and holds and sends them all."""
    if isinstance(val, str | bytes) and len(val) > MAX_ID:
        return f"{argname}-{len(val)}"
    return None
