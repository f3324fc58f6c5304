"""Files as accidents, other programs and pranks leave them: seeded changes of good ones."""

from __future__ import annotations

import json
import random

VALUES = (
    *(None, True, -1, 0, 1, 2.9, 1e300, 10**30, -(10**400), float("nan"), float("inf")),
    *("", "x", "[/red]", "\x1b]0;x\x07", "\ud800", [], [1], {}, {"a": 1}, [[[[]]]], [None] * 50),
)
PIECES = (
    *(b"", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"-", b"9" * 40, b"1e999", b"nan", b'"', b","),
    *(b"[" * 2000, b"{" * 50, b"." * 60, b"\n", b"=", b"null", b"\x1b[31m", b"0x", b"'", b"#"),
)


def changed_bytes(data: bytes, rng: random.Random) -> bytes:
    """`data` with bits flipped, a part lost, doubled or written over, or the end missing."""
    content = bytearray(data)
    kind = rng.randrange(6)
    at, until = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    until = min(until, at + rng.choice([1, 4, 40, 4000]))
    if kind == 0:
        for _ in range(rng.choice([1, 3, 30])):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del content[at:]
    elif kind == 2:
        del content[at:until]
    elif kind == 3:
        content[at:at] = content[at:until]
    elif kind == 4:
        content[at:until] = bytes(until - at)
    else:
        content[at:until] = rng.choice(PIECES)
    return bytes(content)


def changed_json(text: str, rng: random.Random) -> str:
    """A JSON text with one value, key or part exchanged for something that is not meant there."""
    data = json.loads(text)
    places = list(_places(data))
    holder, key = rng.choice(places)
    kind = rng.randrange(4)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[rng.choice(["x", "", "space", key * 2])] = holder.pop(key)
    elif kind == 2:
        other, elsewhere = rng.choice(places)
        holder[key] = json.loads(json.dumps(other[elsewhere]))
    else:
        holder[key] = rng.choice(VALUES)
    return json.dumps(data)


def _places(value):
    """Where the values of nested plain data stand."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)
