"""Status lists: one bit for each coupon of a campaign, and what changed of one since.

A list is that of the Token Status List (draft-ietf-oauth-status-list): bits of one each, the first
place in the lowest bit of the first byte, deflated with zlib, base64url. Terminals keep a shard of
2^20 places each.

What changed is much smaller written as places. Sorted places are random, so the gaps between them
are, and a Rice code keeps gaps of known mean in the fewest bits (Rice, 1979): a gap is the places
between two, `gap >> k` ones and a nought, then its last `k` bits. The first byte says `k`; ones
fill up the last. In a JWT, each byte of it costs 16/9 as base64url and 5/3 as base85 (RFC 1924's
letters, none of which JSON escapes), which is what it is written in.

    1,000 places of a million: 1,450 bytes here, 1,750 deflated, 4,000 as numbers
"""

import math
import zlib
from base64 import b85decode, b85encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping

from schemas.offline import Changed

SHARD_BITS = 20
SHARD_PLACES = 2**SHARD_BITS
SHARD_BYTES = SHARD_PLACES // 8
_MOST_K = 20


def empty() -> bytes:
    """Return a shard in which nothing is set."""
    return _EMPTY


def shard_of(idx: int) -> tuple[int, int]:
    """Return the shard in which a coupon's place lies, and where in it."""
    return divmod(idx, SHARD_PLACES)


def is_set(bits: bytes | bytearray, place: int) -> bool:
    """Is the coupon at this place of the list used up, withdrawn or good elsewhere only?"""
    return bool(bits[place >> 3] >> (place & 7) & 1)


def put(bits: bytearray, place: int, *, is_on: bool) -> None:
    if is_on:
        bits[place >> 3] |= 1 << (place & 7)
    else:
        bits[place >> 3] &= ~(1 << (place & 7))


def apply(bits: bytes, changed: Changed) -> bytes:
    """Return the list as it stands after these changes.

    What was touched is told as it stands now, so doing it twice, or with older changes among it,
    ends the same.

    Raises:
        ValueError: These are no changes of a list of this length.
    """
    new = bytearray(bits)
    for text, is_on in ((changed.cleared, False), (changed.set, True)):
        for place in gaps_decoded(text, most=len(bits) * 8):
            put(new, place, is_on=is_on)
    return bytes(new)


def pack(bits: bytes) -> str:
    """Return the list as it stands in a token: its `lst`."""
    return _b64(deflated(bits))


def pack_shards(shards: Mapping[int, bytes]) -> str:
    """Return these shards as one list, as if all between them were there and empty.

    A list may have a thousand shards of which two hold something. Each is deflated by itself and
    ends at a whole byte, so that the empty ones are all the same few bytes (RFC 1951, 2.3).
    """
    stream, check = [_ZLIB_HEAD], zlib.adler32(b"")
    for shard in range(max(shards, default=0) + 1):
        bits = shards.get(shard, _EMPTY)
        stream.append(_piece(bits) if shard in shards else _EMPTY_PIECE)
        check = zlib.adler32(bits, check)
    return _b64(b"".join([*stream, _LAST_PIECE, check.to_bytes(4)]))


def unpack(lst: str, *, most_bytes: int = SHARD_BYTES) -> bytes:
    """Undo `pack`, never making more than so many bytes of it.

    Raises:
        ValueError: It is no list, or a longer one.
    """
    return inflated(urlsafe_b64decode(lst + "=" * (-len(lst) % 4)), most_bytes=most_bytes)


def deflated(bits: bytes) -> bytes:
    # Level 9 takes four times as long and saves one byte in a hundred.
    return zlib.compress(bits, 6)


def inflated(raw: bytes, *, most_bytes: int = SHARD_BYTES) -> bytes:
    """Undo `deflated`, as `unpack` does.

    Raises:
        ValueError: It is no list, or a longer one.
    """
    opening = zlib.decompressobj()
    try:
        bits = opening.decompress(raw, most_bytes + 1)
    except zlib.error:
        raise ValueError("not a status list") from None
    if len(bits) > most_bytes or not opening.eof or opening.unused_data:
        raise ValueError("not a status list of this length")
    return bits


def gaps_encoded(places: Iterable[int]) -> str:
    """Return these places, each of them once; no places are an empty text."""
    ordered = sorted(set(places))
    if not ordered:
        return ""
    gaps = [place - before - 1 for before, place in zip([-1, *ordered], ordered, strict=False)]
    k = min(
        _near(sum(gaps) / len(gaps)), key=lambda k: sum(gap >> k for gap in gaps) + k * len(gaps)
    )
    last = (1 << k) - 1
    bits = "".join(
        f"{'1' * (gap >> k)}0{gap & last:0{k}b}" if k else f"{'1' * gap}0" for gap in gaps
    )
    bits += "1" * (-len(bits) % 8)
    return b85encode(bytes([k]) + int(bits, 2).to_bytes(len(bits) // 8)).decode()


def gaps_decoded(text: str, *, most: int = SHARD_PLACES) -> list[int]:
    """Undo `gaps_encoded`.

    Raises:
        ValueError: It is no such text, or names a place that is not below `most`.
    """
    if not text:
        return []
    raw = b85decode(text)
    if len(raw) < 2 or raw[0] > _MOST_K:
        raise ValueError("not places of a status list")
    k, rest = raw[0], raw[1:]
    bits = f"{int.from_bytes(rest):0{8 * len(rest)}b}"
    places, place, at = list[int](), -1, 0
    while (end := bits.find("0", at)) >= 0:
        low = bits[end + 1 : end + 1 + k]
        if len(low) < k:
            raise ValueError("places of a status list break off")
        place += 1 + ((end - at) << k) + (int(low, 2) if k else 0)
        if place >= most:
            raise ValueError("a place beyond the list")
        places.append(place)
        at = end + 1 + k
    return places


def _near(mean: float) -> range:
    """Return the numbers of low bits among which the best for gaps of this mean is."""
    best = int(math.log2(mean * math.log(2))) if mean >= 2 else 0
    return range(max(0, best - 1), min(_MOST_K, best + 2) + 1)


def _piece(bits: bytes) -> bytes:
    """Return a part of a deflated stream that refers to nothing before it."""
    deflating = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflating.compress(bits) + deflating.flush(zlib.Z_FULL_FLUSH)


def _b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


_EMPTY = bytes(SHARD_BYTES)
_ZLIB_HEAD = b"\x78\x9c"
_EMPTY_PIECE = _piece(_EMPTY)
_LAST_PIECE = b"\x03\x00"
