"""Filters one value at a time: Kleene's logic over Python values, None for null."""

import operator

import perso_core as pc

OPERATORS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def made(tree):
    """The `Filter` that a tree describes: ("and", a, b), ("or", a, b), ("not", a) or (what, attribute, value)."""
    what, *rest = tree
    if what == "and":
        return made(rest[0]) & made(rest[1])
    if what == "or":
        return made(rest[0]) | made(rest[1])
    if what == "not":
        return ~made(rest[0])
    name, value = rest
    field = pc.field(name)
    if what in OPERATORS:
        return OPERATORS[what](field, value)
    if what == "between":
        return field.between(*value)
    if what in ("is_null", "is_valid"):
        return getattr(field, what)()
    return getattr(field, what)(value)


def truth(tree, item):
    """True, False, or None for null."""
    what, *rest = tree
    if what == "not":
        found = truth(rest[0], item)
        return None if found is None else not found
    if what in ("and", "or"):
        found = [truth(one, item) for one in rest]
        decisive = what == "or"
        if decisive in found:
            return decisive
        return None if None in found else not decisive
    name, wanted = rest
    value = item[name]
    if what == "is_null":
        return value is None
    if what == "is_valid":
        return value is not None
    if what == "isin":
        return value in wanted
    if value is None:
        return None
    if what == "between":
        return wanted[0] <= value <= wanted[1]
    if what == "contains_any":
        return any(text in value for text in wanted)
    if what == "contains_all":
        return all(text in value for text in wanted)
    return OPERATORS[what](value, wanted)


def kept(tree, items):
    """The numbers of the items of which it is true."""
    return [i for i, item in enumerate(items) if truth(tree, item) is True]
