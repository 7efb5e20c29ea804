"""What an audit of a log needs beside replay: the schema of records, and the keyed hash of a user's key."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from . import _convert

_SHORTEST = 16


def record_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) that decision records follow, as a dict of the caller's own.

    A record that follows it has the right form; whether it is true, `replay` says.
    """
    from importlib.resources import files

    text = files(__package__).joinpath("record.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def user_hash(user_key: str, hash_key: bytes | None) -> str:
    """HMAC-SHA256 (RFC 2104) of a user's key, in hex: what a record holds as `user_key_hmac`.

    With it a log is searched for the decisions of a user, as for a request of access or of erasure; without the
    secret nobody can tell from it who the user is, not even by trying all keys.

    Args:
        user_key: your name for the user, at least one character; hashed as UTF-8.
        hash_key: the secret, at least 16 bytes.
    """
    key = _convert.text("user_key", user_key)
    expected = f"at least {_SHORTEST} bytes"
    if not isinstance(hash_key, bytes | bytearray):
        raise _convert.wrong_type("hash_key", expected, _convert.kind_of_secret(hash_key))
    if len(hash_key) < _SHORTEST:
        raise _convert.invalid("hash_key", expected, f"{len(hash_key)} bytes")
    try:
        return hmac.new(hash_key, key.encode(), hashlib.sha256).hexdigest()
    except UnicodeEncodeError:
        raise _convert.invalid("user_key", "Unicode text", f"a lone surrogate in {key!r}") from None
