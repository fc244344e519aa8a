"""Run lengths of a mask, as COCO and as Label Studio write them."""

import numpy as np
from numpy.typing import NDArray

from petseg.pixels.geometry import Region
from petseg.pixels.polygons import Runs

_CHUNKS = (3, 4, 8, 16)
"""Bits of the lengths that Label Studio's own encoder uses."""


def coco(inside: NDArray[np.bool_], box: Region, width: int, height: int) -> list[int]:
    """COCO's uncompressed counts: lengths of 0 and 1 by turns, column by column, 0 first.

    Args:
        inside: (h, w) the mask in its box; elsewhere it is 0.
        box: where that is.
        width, height: of the photo, in pixels.
    """
    starts, ends = _flat(inside.T, box[1], box[0], height)
    edges = np.stack([starts, ends], 1).ravel()
    counts: list[int] = np.diff(np.concatenate([[0], edges, [width * height]])).tolist()
    return counts if counts[-1] or len(counts) == 1 else counts[:-1]


def from_coco(text: str) -> NDArray[np.int64]:
    """The lengths in COCO's compressed text, as `maskApi.c` of pycocotools writes them.

    Groups of five bits, the lowest first, a sixth where more follow; from the fourth on, each is the
    difference from the length two before.

    Raises:
        ValueError: the text breaks off, or is none of those.
    """
    lengths: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{letter!r} is nothing in COCO's run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("COCO's run lengths break off")
    return np.array(lengths, np.int64)


def label_studio(inside: NDArray[np.bool_], box: Region, width: int, height: int) -> bytes:
    """A brush of Label Studio: the four channels of all pixels, 0 or 255, row by row, in its run lengths.

    The format is that of thi.ng's rle-pack: how many values there are, how many bits each has, how many bits
    lengths have; then for each run a 1, which of those lengths, the length less 1, and the value.

    Args:
        inside, box, width, height: see `coco`.

    Raises:
        ValueError: more than 2^30 pixels.
    """
    count = 4 * width * height
    if count >= 1 << 32:
        raise ValueError(f"a brush of {width} x {height} pixels is too large for its format")
    starts, ends = _flat(inside, box[0], box[1], width)
    edges = np.stack([starts, ends], 1).ravel()
    lengths = 4 * np.diff(np.concatenate([[0], edges, [width * height]]))
    head = f"{count:032b}{8 - 1:05b}" + "".join(f"{bits - 1:04b}" for bits in _CHUNKS)
    bits = head + "".join(
        _run(length, 255 if number % 2 else 0) for number, length in enumerate(lengths.tolist()) if length
    )
    return np.packbits(np.frombuffer(bits.encode(), np.uint8) - ord("0")).tobytes()


def from_label_studio(data: bytes, count: int) -> NDArray[np.uint8]:
    """The values that a brush of Label Studio holds.

    Besides the runs of `label_studio`, a 0, a width and a length less 1 begin so many values as they are.

    Args:
        data: as `label_studio` gives it.
        count: of values, 4 for each pixel.

    Raises:
        ValueError: they are not as many, have not 8 bits, or break off.
    """
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    at = 0

    def take(number: int) -> int:
        nonlocal at
        at += number
        if at > len(bits):
            raise ValueError("a brush breaks off")
        return int("".join(map(str, bits[at - number : at])), 2)

    found, word = take(32), take(5) + 1
    if found != count or word != 8:
        raise ValueError(f"a brush of {found} values of {word} bits does not fill {count} of 8")
    widths = [take(4) + 1 for _ in range(4)]
    values, done = np.zeros(count, np.uint8), 0
    while done < count:
        same = take(1)
        length = take(widths[take(2)]) + 1
        if done + length > count:
            raise ValueError("a brush has more values than it says")
        if same:
            values[done : done + length] = take(word)
        else:
            if at + length * word > len(bits):
                raise ValueError("a brush breaks off")
            values[done : done + length] = np.packbits(bits[at : at + length * word])
            at += length * word
        done += length
    return values


def _run(length: int, value: int) -> str:
    """One run as text of bits, in pieces where it is too long for one."""
    longest = 1 << _CHUNKS[-1]
    whole, rest = divmod(length, longest)
    pieces = f"111{longest - 1:016b}{value:08b}" * whole
    if rest:
        number = next(n for n, bits in enumerate(_CHUNKS) if rest <= 1 << bits)
        pieces += f"1{number:02b}{rest - 1:0{_CHUNKS[number]}b}{value:08b}"
    return pieces


def _flat(
    inside: NDArray[np.bool_], left: int, top: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where runs begin and end among all pixels of a photo, row by row; those that meet are one.

    Args:
        inside: (h, w) the mask in its box, whose upper left corner is at `left`, `top`.
        width: of the photo.
    """
    runs = Runs.of(np.asarray(inside).view(np.uint8))
    lines = (runs.rows + top) * width + left
    starts, ends = lines + runs.starts, lines + runs.ends
    apart = starts[1:] != ends[:-1]
    return starts[np.append(True, apart)[: len(starts)]], ends[np.append(apart, True)[: len(ends)]]
