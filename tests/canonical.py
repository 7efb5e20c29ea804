"""The digest of a decision record, worked out from the description alone: RFC 8785, large integers as text."""

import hashlib
import json


def number(x):
    """A number as JavaScript writes it (ECMA-262, Number::toString)."""
    if isinstance(x, int):
        return str(x) if abs(x) <= 2**53 else f'"{x}"'
    if x == 0:
        return "0"
    if 1e-6 <= abs(x) < 1e21:
        digits, _, exponent = repr(x).partition("e")
        if not exponent:
            return digits.removesuffix(".0")
        sign, digits = ("-", digits[1:]) if x < 0 else ("", digits)
        whole, _, fraction = digits.partition(".")
        shift = int(exponent)
        fraction = "" if fraction == "0" else fraction
        if shift < 0:
            return f"{sign}0.{'0' * (-shift - 1)}{whole}{fraction}"
        return f"{sign}{whole}{fraction.ljust(shift, '0')}"
    digits, _, exponent = repr(x).partition("e")
    return f"{digits.removesuffix('.0')}e{'-' if int(exponent) < 0 else '+'}{abs(int(exponent))}"


def canonical(value):
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(key)}:{canonical(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return number(value)


def sealed(record):
    """The record with the digest that its other fields have."""
    rest = {name: value for name, value in record.items() if name != "digest"}
    return {**rest, "digest": hashlib.sha256(canonical(rest).encode()).hexdigest()}
