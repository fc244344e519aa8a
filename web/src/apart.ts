/** How likely each pixel is of the animal at a place, by what a network says of all places: petseg/clicks/apart.py. */

import { clip, type Point } from "./geometry";
import { enlarged } from "./resize";
import type { Rules } from "./rules";

/** (S, S) log-odds of what vectors (E, side, side) say, at a place in pixels of the square of side S. */
export function margins(
  vectors: Float32Array,
  side: number,
  [x, y]: Point,
  size: number,
  { apart: { FINER, SAME } }: Rules,
): Float32Array {
  const fine = side * FINER;
  const cell = (at: number): number => Math.trunc(clip((at * fine) / size, 0, fine - 1));
  const there = cell(y) * fine + cell(x);
  const said = new Float32Array(fine * fine).fill(SAME);
  for (let start = 0; start < vectors.length; start += side * side) {
    const plane = enlarged(vectors.subarray(start, start + side * side), side, fine);
    for (let at = 0; at < said.length; at++) said[at] -= (plane[at] - plane[there]) ** 2;
  }
  return enlarged(said, fine, size);
}

/** Logits (3, S, S), each pixel of a pet less sure by how unsure it is to be of one animal, by its log-odds. */
export function withoutOthers(
  logits: Float32Array,
  same: Float32Array,
  { apart: { LOW, HIGH } }: Rules,
): Float32Array {
  const count = same.length;
  return logits.map((value, at) =>
    at < count ? 0 : value - logits[at % count] - (HIGH - clip(same[at % count], LOW, HIGH)),
  );
}
