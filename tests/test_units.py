from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocblob.errors import UsageError
from ocblob.units import format_size, parse_age, parse_size

SIZES = {
    "0": 0, "8192": 8192, "1B": 1, "1b": 1, "1kB": 1000, "1KB": 1000, "1KiB": 1024, "200MB": 200_000_000,
    "200 mb": 200_000_000, " 1.5GiB ": 1_610_612_736, "2GB": 2_000_000_000, "1TB": 10**12, "1TiB": 2**40,
    "0.5MiB": 524_288, "2.01MB": 2_010_000, "0.001kB": 1, "999999999999999": 999_999_999_999_999,
}  # fmt: skip
UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
AGES = {
    "30d": 2_592_000.0,
    "12h": 43_200.0,
    "15m": 900.0,
    "90s": 90.0,
    "2w": 1_209_600.0,
    " 1.5 D ": 129_600.0,
    "0d": 0.0,
}
NO_NUMBERS = ["", " ", "-1", "+1", "1e3", "0x10", ".5", "5.", "1_000", "1,5", "1 2", "MB", "\u0661\u0662", "nan", "inf"]


@pytest.mark.parametrize(("text", "expected"), SIZES.items())
def test_sizes_read_as_people_write_them(text: str, expected: int) -> None:
    """MB is 10^6 bytes, MiB 2^20; case and blanks do not matter, and no byte is lost to rounding."""
    assert expected == parse_size(text)


@settings(deadline=None, max_examples=300)
@given(whole=st.integers(0, 9999), part=st.integers(0, 999), unit=st.sampled_from(sorted(UNITS)))
def test_fractions_are_exact(whole: int, part: int, unit: str) -> None:
    """A size with three decimals is exactly what it says, cut to whole bytes."""
    text = f"{whole}.{part:03}"
    assert int(Decimal(text) * UNITS[unit]) == parse_size(text + unit)


@settings(deadline=None)
@given(size=st.integers(0, 10**15 - 1))
def test_plain_bytes_are_exact(size: int) -> None:
    """A number without a unit is that many bytes, however large."""
    assert size == parse_size(str(size))


@pytest.mark.parametrize(
    "text", [*NO_NUMBERS, "5XB", "5 MBit", "5MB/s", "5d", "9" * 400, "9" * 30 + "TB", "9" * 15 + "TB"]
)
def test_what_is_no_size_is_a_usage_error(text: str) -> None:
    """A size that cannot be meant is refused in words that show how to write one."""
    with pytest.raises(UsageError, match="200MB"):
        parse_size(text)


@pytest.mark.parametrize(("text", "expected"), AGES.items())
def test_ages_read_as_people_write_them(text: str, expected: float) -> None:
    """An age is seconds from a number and one of s, m, h, d, w."""
    assert expected == parse_age(text)


@pytest.mark.parametrize("text", [*NO_NUMBERS, "30", "30MB", "1y", "1d12h", "9" * 400 + "d", "9" * 15 + "w"])
def test_what_is_no_age_is_a_usage_error(text: str) -> None:
    """An age without a unit, or of no sense, is refused: 30 might be days or seconds."""
    with pytest.raises(UsageError, match="30d"):
        parse_age(text)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 B"), (1, "1 B"), (999, "999 B"), (1000, "1.0 kB"), (1234, "1.2 kB"), (123_456, "123 kB"),
        (372_640_000, "373 MB"), (1_130_000_000, "1.1 GB"), (2_500_000_000_000, "2.50 TB"), (-1234, "-1.2 kB"),
    ],
)  # fmt: skip
def test_sizes_print_short(size: float, expected: str) -> None:
    """A size prints with three digits or so, in units of 1000."""
    assert expected == format_size(size)


@settings(deadline=None)
@given(size=st.integers(0, 10**13))
def test_printed_size_is_near(size: int) -> None:
    """What is printed reads back within 5 % of what was meant, and shows no thousand of any unit below TB."""
    text = format_size(size)
    assert abs(parse_size(text) - size) <= size * 0.05
    assert "TB" in text or len(text.split()[0].replace(".", "")) <= 3
