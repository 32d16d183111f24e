"""Constant expressions come to what C makes of them, or to nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcp_verifier.constants import enumerators, number, value_of
from schedcp_verifier.ctokens import CText


def value(expression: str) -> int | None:
    text = CText(f"enum {{ A, B = 4, C, D = B << 2 }};\nint x = {expression};\n".encode())
    (node,) = text.of_kind("init_declarator")
    found = node.child_by_field_name("value")
    assert found is not None
    return value_of(found, enumerators(text))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30000", 30000),
        ("0x7530u", 30000),
        ("030", 24),
        ("0", 0),
        ("(2 + 3) * 4 - 6 / 4", 19),
        ("1ULL << 3 | 1 ^ 3 & 2", 11),
        ("C + A", 5),
        ("D", 16),
        ("(unsigned)B", 4),
        ("7 / A", None),
        ("1 << 64", None),
        ("elsewhere + 1", None),
        ("f(3)", None),
        ("1.5", None),
    ],
)
def test_values(expression: str, expected: int | None) -> None:
    assert value(expression) == expected


@given(st.text(max_size=20))
def test_no_literal_breaks_it(text: str) -> None:
    found = number(text)
    assert found is None or isinstance(found, int)


def test_nesting_has_an_end() -> None:
    assert value("(" * 500 + "1" + ")" * 500) is None
