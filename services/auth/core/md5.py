"""MD5 (RFC 1321) with its state in the open, which `hashlib` keeps to itself.

HMAC-MD5 can so be kept half done: after the key, before the text (RFC 2195 §2).
"""

import math
from struct import pack, unpack

BLOCK = 64  # octets
START = bytes.fromhex("0123456789abcdeffedcba9876543210")
"""The state before the first block, as octets (§3.3)."""

_MASK = 0xFFFFFFFF
_SHIFTS = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
_WORDS = ((1, 0), (5, 1), (3, 5), (7, 0))  # step i of a round takes word (a * i + b) mod 16
_STEPS = tuple(
    (
        (_WORDS[i // 16][0] * i + _WORDS[i // 16][1]) % 16,
        _SHIFTS[i // 16][i % 4],
        32 - _SHIFTS[i // 16][i % 4],
        int(abs(math.sin(i + 1)) * 2**32),
    )
    for i in range(64)
)


def compress(state: bytes, block: bytes) -> bytes:
    """Return the state after one more block (§3.4)."""
    words = unpack("<16I", block)
    before = a, b, c, d = unpack("<4I", state)
    for i, (word, left, right, constant) in enumerate(_STEPS):
        if i < 16:  # noqa: PLR2004 - the four rounds of 16 steps
            mixed = d ^ (b & (c ^ d))
        elif i < 32:  # noqa: PLR2004
            mixed = c ^ (d & (b ^ c))
        elif i < 48:  # noqa: PLR2004
            mixed = b ^ c ^ d
        else:
            mixed = c ^ (b | (~d & _MASK))
        summed = (a + mixed + words[word] + constant) & _MASK
        a, d, c, b = d, c, b, (b + (summed << left | summed >> right)) & _MASK
    after = (a, b, c, d)
    return pack("<4I", *((x + y) & _MASK for x, y in zip(before, after, strict=True)))


def finish(state: bytes, blocks: int, text: bytes) -> bytes:
    """Return the digest of ``text`` after ``blocks`` blocks that have led to ``state``."""
    bits = 8 * (blocks * BLOCK + len(text))
    padding = b"\x80" + bytes(-(len(text) + 9) % BLOCK)  # §3.1
    padded = text + padding + pack("<Q", bits)
    for start in range(0, len(padded), BLOCK):
        state = compress(state, padded[start : start + BLOCK])
    return state
