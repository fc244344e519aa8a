/** The animals of a photo, one after another, before a pointer is on them. */

import type { Look } from "./decision";
import type { Point } from "./geometry";
import { depths } from "./regions";

/** So many places are asked about at most. */
export const MOST = 8;
/** Cells along a side of the grid in which a place is looked for. */
const SIDE = 96;
/** Cells that a place is deep inside at least, and around a place that was asked about. */
const [DEEP, AROUND] = [3, 5];

/** The place deepest inside what is pet and no known animal's; null when hardly anything is left. */
export function next({ cat, dog, box }: Look, known: readonly Look[], asked: readonly Point[]): Point | null {
  const step = box.size / SIDE;
  const inPhoto = (x: number, y: number): Point => box.toImage([(x + 0.5) * step, (y + 0.5) * step]);
  const on = new Uint8Array(SIDE * SIDE);
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const at = Math.floor((y + 0.5) * step) * box.size + Math.floor((x + 0.5) * step);
      if (!box.shows(at) || Math.max(cat[at], dog[at]) <= 0) continue;
      on[y * SIDE + x] = Number(!known.some((one) => covers(one, inPhoto(x, y))));
    }
  }
  for (const point of asked) {
    const [left, top] = box.toModel(point).map((value) => value / step);
    on.forEach((_, at) => {
      const away = Math.hypot((at % SIDE) + 0.5 - left, Math.floor(at / SIDE) + 0.5 - top);
      if (away < AROUND) on[at] = 0;
    });
  }
  const deep = depths({ width: SIDE, height: SIDE, on });
  const deepest = deep.reduce((best, value, at) => (value > deep[best] ? at : best), 0);
  return deep[deepest] < DEEP ? null : inPhoto(deepest % SIDE, Math.floor(deepest / SIDE));
}

function covers({ cat, dog, box }: Look, point: Point): boolean {
  if (!box.contains(point)) return false;
  const [x, y] = box.toModel(point).map(Math.floor);
  const at = y * box.size + x;
  return Math.max(cat[at], dog[at]) > 0;
}
