"""Damage: where the parts of an image file begin, and what is left after a cut or a flip there."""

import struct
from collections.abc import Iterator

import numpy as np


def parts(data: bytes) -> list[int]:
    """Where markers, chunks or blocks of a JPEG, PNG, GIF, WebP or TIFF file begin."""
    for magic, walk in _WALKS.items():
        if data.startswith(magic):
            return sorted({at for at in walk(data) if 0 < at < len(data)})
    raise ValueError("no known format")


def _jpeg(data: bytes) -> Iterator[int]:
    for at in range(2, len(data) - 1):
        if data[at] == 0xFF and data[at + 1] not in (0x00, 0xFF):
            yield at


def _png(data: bytes) -> Iterator[int]:
    at = 8
    while at + 8 <= len(data):
        yield at
        at += 12 + struct.unpack_from(">I", data, at)[0]


def _gif(data: bytes) -> Iterator[int]:
    at = 13 + (3 * 2 ** ((data[10] & 7) + 1) if data[10] & 128 else 0)
    while at < len(data) and data[at] != 0x3B:
        yield at
        if data[at] == 0x2C:
            table = data[at + 9]
            at += 11 + (3 * 2 ** ((table & 7) + 1) if table & 128 else 0)
        else:
            at += 2
        while data[at]:
            yield at
            at += data[at] + 1
        at += 1
    yield at


def _riff(data: bytes) -> Iterator[int]:
    at = 12
    while at + 8 <= len(data):
        yield at
        length = struct.unpack_from("<I", data, at + 4)[0]
        at += 8 + length + length % 2


def _tiff(data: bytes) -> Iterator[int]:
    order = "<" if data[:2] == b"II" else ">"
    at = struct.unpack_from(f"{order}I", data, 4)[0]
    while at:
        count = struct.unpack_from(f"{order}H", data, at)[0]
        yield at
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            yield entry
            tag, _, _, value = struct.unpack_from(f"{order}HHII", data, entry)
            if tag == 273:  # StripOffsets, or where they are listed
                yield value
        at = struct.unpack_from(f"{order}I", data, at + 2 + 12 * count)[0]


_WALKS = {
    b"\xff\xd8": _jpeg,
    b"\x89PNG": _png,
    b"GIF8": _gif,
    b"RIFF": _riff,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
}


def cuts(data: bytes, most: int) -> Iterator[tuple[int, bytes]]:
    """(place, what is left): cut before a part, within its head, and within what follows."""
    places = parts(data)
    ends = [*places[1:], len(data)]
    wanted = sorted(
        {cut for at, end in zip(places, ends, strict=True) for cut in (at, at + 3, (at + end) // 2)}
    )
    for at in wanted[:: -(-len(wanted) // most)]:
        yield at, data[:at]


def flips(data: bytes, rng: np.random.Generator, count: int) -> Iterator[bytes]:
    """With some bytes changed, most of them in the heads of parts, where they hurt."""
    places = np.array(parts(data))
    for _ in range(count):
        damaged = bytearray(data)
        for _ in range(int(rng.integers(1, 5))):
            near = int(rng.choice(places)) + int(rng.integers(0, 12))
            at = near if rng.random() < 0.7 else int(rng.integers(len(data)))
            damaged[min(at, len(data) - 1)] = int(rng.integers(256))
        yield bytes(damaged)
