from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ui import format as fmt

AT = 1_795_235_709_123_456_789
"""2026-11-21 04:35:09.123456789 UTC."""


@pytest.mark.parametrize(
    ("whole", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1,000"),
        (99_999, "99,999"),
        (100_000, "1,00,000"),
        (123_456_789, "12,34,56,789"),
        (-1_234_567, "-12,34,567"),
    ],
)
def test_digits_are_grouped_the_indian_way(whole: int, text: str) -> None:
    assert fmt.group(whole) == text


@pytest.mark.parametrize(
    ("paise", "text"),
    [
        (0, "₹0.00"),
        (5, "₹0.05"),
        (-5, "-₹0.05"),
        (123_450, "₹1,234.50"),
        (-123_450, "-₹1,234.50"),
        (12_345_678_950, "₹12,34,56,789.50"),
    ],
)
def test_the_minus_stands_before_the_symbol(paise: int, text: str) -> None:
    assert fmt.amount(paise) == text
    assert fmt.rupees(Decimal(paise) / 100) == text


def test_profit_and_loss_always_show_their_sign() -> None:
    assert fmt.pnl(125_040) == "+₹1,250.40"
    assert fmt.pnl(-125_040) == "-₹1,250.40"
    assert fmt.pnl(0) == "₹0.00"
    assert [fmt.arrow(n) for n in (3, -3, 0)] == ["▲", "▼", ""]


def test_a_loss_that_rounds_to_nothing_has_no_sign() -> None:
    assert fmt.rupees(Decimal("-0.004")) == "₹0.00"
    assert fmt.percent(Decimal("-0.004")) == "0.00%"


@pytest.mark.parametrize(
    ("rupees", "text"),
    [
        ("99999.50", "₹99,999.50"),
        ("125000", "₹1.25 L"),
        ("100000", "₹1 L"),
        ("9999999", "₹1 Cr"),
        ("9994999", "₹99.95 L"),
        ("34000000", "₹3.4 Cr"),
        ("-34000000", "-₹3.4 Cr"),
        ("123456789012", "₹12,345.68 Cr"),
    ],
)
def test_large_amounts_are_told_in_lakh_and_crore(rupees: str, text: str) -> None:
    assert fmt.compact(int(Decimal(rupees) * 100)) == text


def test_prices_have_the_decimals_of_their_tick() -> None:
    assert fmt.price(152_345) == "1,523.45"
    assert fmt.price(152_300, 100, 100) == "1,523.00"
    assert fmt.price(845_025, 10_000, 25) == "84.5025"
    assert fmt.price(845_025_000, 10_000_000, 25_000) == "84.5025"
    assert fmt.price(-1250) == "-12.50"
    assert fmt.change(1250, 152_345) == "+12.50 (+0.82%)"
    assert fmt.change(-1250, 0) == "-12.50"


def test_quantity_is_told_in_units_and_lots() -> None:
    assert fmt.quantity(75, 75) == "75 · 1 lot"
    assert fmt.quantity(-150, 75) == "-150 · 2 lots"
    assert fmt.quantity(1200) == "1,200"
    assert fmt.quantity(80, 75) == "80"


def test_moments_are_indian_and_in_english() -> None:
    assert fmt.time(AT) == "10:05:09"
    assert fmt.clock(AT) == "10:05"
    assert fmt.date_time(AT) == "21 Nov 2026 10:05:09"
    assert fmt.day(date(2026, 5, 3)) == "03 May 2026"
    assert fmt.short_day(date(2026, 5, 3)) == "3 May"


def test_late_evening_in_utc_is_already_tomorrow_in_india() -> None:
    assert fmt.day_of(AT + 14 * 3_600_000_000_000) == "22 Nov 2026"


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "0.0 s"), (420, "0.4 s"), (9_940, "9.9 s"), (9_960, "10 s"), (180_000, "3 min"), (None, "–")],
)
def test_ages(ms: int | None, text: str) -> None:
    assert fmt.age(ms) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5L", "150000"),
        ("2cr", "20000000"),
        ("75k", "75000"),
        ("₹ 12,34,567.5", "1234567.5"),
        ("-₹3.4 Cr", "-34000000"),
        ("+10", "10"),
        (".5", "0.5"),
        ("−4", "-4"),
        ("12.5%", "12.5"),
        ("1,055.50", "1055.5"),
        ("1,234,567", "1234567"),
    ],
)
def test_what_traders_type_is_understood(text: str, value: str) -> None:
    assert fmt.parse(text) == Decimal(value)


@pytest.mark.parametrize(
    "text", ["", "  ", "abc", "1.2.3", "5x", "--3", "₹", "1e5", "nan", "k", "1055,50", "1,2", ",5", "1,,000", "٣"]
)
def test_what_is_not_a_number_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"number|unit"):
        fmt.parse(text)


@pytest.mark.parametrize("text", ["999999999999999999999", "-1000000000cr", "1" * 5000])
def test_a_number_that_no_store_holds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="too large"):
        fmt.parse_price(text)


def test_too_many_decimals_are_refused_not_rounded() -> None:
    with pytest.raises(ValueError, match="two decimals"):
        fmt.parse_amount("1.005")
    with pytest.raises(ValueError, match="2 decimals"):
        fmt.parse_price("10.123")
    with pytest.raises(ValueError, match="whole number"):
        fmt.parse_quantity("1.5")


@given(st.integers(-(10**15), 10**15), st.booleans())
def test_money_survives_the_screen(paise: int, signed: bool) -> None:
    assert fmt.parse_amount(fmt.amount(paise, signed=signed)) == paise


@given(st.integers(-(10**12), 10**12), st.sampled_from([100, 10_000, 10_000_000]))
def test_prices_survive_the_screen(price: int, scale: int) -> None:
    assert fmt.parse_price(fmt.price(price, scale), scale) == price


@given(st.integers(-(10**9), 10**9), st.sampled_from([1, 25, 75]))
def test_quantities_survive_the_screen(units: int, lot: int) -> None:
    assert fmt.parse_quantity(fmt.quantity(units, lot)) == units


@given(st.integers(-(10**14), 10**14))
def test_compact_money_is_within_half_of_its_last_digit(paise: int) -> None:
    read = fmt.parse(fmt.compact(paise)) * 100
    unit = 10**9 if abs(paise) >= 10**9 else 10**7
    assert abs(read - paise) <= unit * Decimal("0.005")
