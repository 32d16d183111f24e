"""64-bit arithmetic as BPF does it, on values and on bounds.

Pure. A value is a pattern of 64 bits; bounds are integers, where a pattern that is meant as
negative counts as negative. Operators are those of `instructions.Operation`.
"""

from __future__ import annotations

__all__ = ["FULL", "LOW", "MASK", "Bounds", "computed", "result_bounds", "signed"]

MASK = (1 << 64) - 1
LOW = (1 << 32) - 1
_SIGN = 1 << 63

Bounds = tuple[int, int]
"""The least and the greatest value."""
FULL: Bounds = (0, MASK)


def signed(value: int, bits: int = 64) -> int:
    """Return the integer that a pattern of so many bits stands for in two's complement."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def computed(operator: str, x: int, y: int) -> int:
    """Return the 64-bit result of an operation on two patterns, as the machine computes it."""
    a, b = signed(x), signed(y)
    match operator:
        case "+":
            return x + y
        case "-":
            return x - y
        case "*":
            return x * y
        case "/":
            return x // y if y else 0
        case "%":
            return x % y if y else x
        case "s/":
            return (abs(a) // abs(b)) * (1 if (a < 0) == (b < 0) else -1) if b else 0
        case "s%":
            return (abs(a) % abs(b)) * (-1 if a < 0 else 1) if b else x
        case "|":
            return x | y
        case "&":
            return x & y
        case "^":
            return x ^ y
        case "<<":
            return x << (y & 63)
        case ">>":
            return x >> (y & 63)
        case "s>>":
            return a >> (y & 63)
    raise ValueError(f"no operator {operator!r}")


def result_bounds(operator: str, a: Bounds, b: Bounds, number: int | None) -> Bounds:
    """Return the bounds of `a operator b`; `number` is b's pattern where it is known."""
    (low, high), (least, most) = a, b
    natural = low >= 0 and least >= 0
    match operator:
        case "+":
            if number is not None and high + number > MASK:
                least = most = signed(number)
            return _possible(low + least, high + most)
        case "-":
            return _possible(low - most, high - least)
        case "*" if natural:
            return _possible(low * least, high * most)
        case "/" if natural:
            return (low // most if least and most else 0, high // max(least, 1))
        case "%" if natural:
            return (0, min(high, most - 1) if least else high)
        case "s/" | "s%" if natural and high < _SIGN and most < _SIGN:
            return result_bounds(operator[1:], a, b, number)
        case "s%" if least > 0 and most < _SIGN:
            return (1 - most, most - 1)
        case "&" if low >= 0 or least >= 0:
            return (0, min(bound[1] for bound in (a, b) if bound[0] >= 0))
        case "|" | "^" if natural:
            bits = max(high.bit_length(), most.bit_length())
            return (max(low, least) if operator == "|" else 0, (1 << bits) - 1)
        case "<<" | ">>" | "s>>" if number is not None:
            return _shifted(operator, a, number)
    return FULL


def _shifted(operator: str, a: Bounds, by: int) -> Bounds:
    low, high = a
    if operator == "<<":
        return _possible(low << by, high << by) if low >= 0 else FULL
    if low >= 0 and (operator == ">>" or high < _SIGN):
        return (low >> by, high >> by)
    if operator == ">>":
        return (0, MASK >> by)
    if high < _SIGN:
        return (low >> by, high >> by)
    return (-_SIGN >> by, (_SIGN - 1) >> by)


def _possible(low: int, high: int) -> Bounds:
    return (low, high) if low >= -_SIGN and high <= MASK else FULL
