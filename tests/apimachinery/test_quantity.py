"""Quantities against what upstream's implementation (1.34.4) printed for the same text."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kloster.apimachinery import quantity
from kloster.apimachinery.quantity import Format, Quantity, QuantityError

CANONICAL = {
    "0": "0",
    "000": "0",
    "0Gi": "0",
    "Gi": "0",
    "5.": "5.",
    "+1": "+1",
    "00010": "00010",
    "1e3": "1e3",
    "1000.0": "1k",
    "1000": "1k",
    "1500m": "1500m",
    "1500": "1500",
    "0.5": "500m",
    ".5": "500m",
    "0.50": "500m",
    "1024Mi": "1Gi",
    "1Gi": "1Gi",
    "1.5Gi": "1536Mi",
    "0.5Ki": "512",
    "1000Ki": "1000Ki",
    "1000000Ki": "1000000Ki",
    "1.1Ki": "1126400m",
    "0.0000000001": "1n",
    "-0.5n": "-1n",
    "-1024Ki": "-1Mi",
    "1E": "1E",
    "1E3": "1E3",
    "1000e3": "1e6",
    "1e-3": "1e-3",
    "00010Ei": "9223372036854775807",
    "123456789012345678901": "123456789012345678901",
    "9223372036854775808": "9223372036854775808",
    "1.50Gi": "1536Mi",
    "1.1n": "2n",
}


@pytest.mark.parametrize(("text", "expected"), CANONICAL.items(), ids=CANONICAL)
def test_canonical(text: str, expected: str) -> None:
    assert quantity.canonical(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", quantity.FORMAT_ERROR),
        ("x", quantity.FORMAT_ERROR),
        ("1GiB", quantity.FORMAT_ERROR),
        ("1.1.1", quantity.FORMAT_ERROR),
        ("--1", quantity.SUFFIX_ERROR),
        ("１", quantity.FORMAT_ERROR),
        ("1kk", quantity.SUFFIX_ERROR),
        ("1e", quantity.SUFFIX_ERROR),
        ("1Ki5", quantity.SUFFIX_ERROR),
        ("1e99999999999999999999", quantity.SUFFIX_ERROR),
        ("Pi", quantity.NUMERIC_ERROR),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(QuantityError) as caught:
        quantity.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "value", "milli"),
    [("1500m", 2, 1500), ("-1500m", -2, -1500), ("1n", 1, 1), ("-1n", -1, -1), ("1Ki", 1024, 1_024_000), ("0", 0, 0)],
)
def test_whole_units_are_rounded_away_from_zero(text: str, value: int, milli: int) -> None:
    found = quantity.parse(text)
    assert (found.value, found.milli_value) == (value, milli)


@pytest.mark.parametrize(
    ("left", "right", "total", "difference"),
    [
        ("1", "500m", "1500m", "500m"),
        ("1Gi", "1Mi", "1025Mi", "1023Mi"),
        ("1Gi", "1", "1073741825", "1073741823"),
        ("0", "1Gi", "1Gi", "-1Gi"),
        ("1k", "1Ki", "2024", "-24"),
        ("100m", "100m", "200m", "0"),
    ],
)
def test_sum_and_difference_take_the_left_family(left: str, right: str, total: str, difference: str) -> None:
    one, other = quantity.parse(left), quantity.parse(right)
    assert (one + other).text == total
    assert (one - other).text == difference


def test_equal_numbers_are_equal_whatever_their_spelling() -> None:
    assert quantity.parse("1024Mi") == quantity.parse("1Gi") == quantity.parse("1073741824")
    assert hash(quantity.parse("1000m")) == hash(quantity.parse("1"))
    assert quantity.parse("1k") < quantity.parse("1Ki")
    assert not quantity.parse("0Gi")


def test_monstrous_exponents_stay_cheap() -> None:
    huge, tiny = quantity.parse("1e2000000000"), quantity.parse("1e-2000000000")
    assert huge.text == "100e1999999998"
    assert tiny.text == "1e-9"
    assert quantity.ZERO < tiny < huge
    assert (huge + tiny).digits > 0


@given(st.integers(-(10**21), 10**21), st.integers(-9, 12), st.sampled_from(Format))
def test_text_is_a_fixed_point(digits: int, exponent: int, format: Format) -> None:
    limit = 2**63 if format is Format.BINARY else 10**21  # capped; no suffix beyond E
    assume(abs(digits) * 10 ** max(exponent, 0) < limit)
    number = Quantity(digits, exponent, format)
    again = quantity.parse(number.text)
    assert again == number
    if format is not Format.BINARY or number.text.endswith("i"):  # 10000 without a suffix is read as decimal: 10k
        assert again.text == number.text
