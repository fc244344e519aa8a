/** Pixels that are black or white by themselves give way to their neighbours: petseg/pixels/speckles.py. */

import type { Rules } from "./rules";

const NONE = 0;
const BLACK = 1;
const WHITE = 2;

/** A photo (H, W, 3), its speckles the mean of their neighbours; the photo itself if they are few. */
export function withoutSpeckles(
  photo: Uint8Array,
  width: number,
  height: number,
  { speckles: rules }: Rules,
): Uint8Array {
  const extreme = (at: number): number => {
    const [red, green, blue] = [photo[at * 3], photo[at * 3 + 1], photo[at * 3 + 2]];
    if (Math.max(red, green, blue) <= rules.BLACK) return BLACK;
    return Math.min(red, green, blue) >= rules.WHITE ? WHITE : NONE;
  };
  if (!mayHaveThem(extreme, width, height, rules)) return photo;
  const kinds = new Uint8Array(width * height).map((_, at) => extreme(at));
  const result = photo.slice();
  let count = 0;
  const sums = [0, 0, 0];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (kinds[at] === NONE) continue;
      let alike = -1; // itself
      let plain = 0;
      sums.fill(0);
      for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
        for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++) {
          const beside = row * width + column;
          if (kinds[beside] === kinds[at]) alike++;
          if (kinds[beside] !== NONE) continue;
          plain++;
          for (let channel = 0; channel < 3; channel++) sums[channel] += photo[beside * 3 + channel];
        }
      }
      if (alike > rules.ALONE || plain === 0) continue;
      const means = sums.map((sum) => Math.floor((sum + (plain >> 1)) / plain));
      const own = photo[at * 3] + photo[at * 3 + 1] + photo[at * 3 + 2];
      const brighter = means[0] + means[1] + means[2] - own;
      if ((kinds[at] === BLACK ? brighter : -brighter) < 3 * rules.APART) continue;
      result.set(means, at * 3);
      count++;
    }
  }
  return count < rules.MANY * width * height ? photo : result;
}

/** Whether enough places of a grid are black or white while those to the right and below are not. */
function mayHaveThem(
  extreme: (at: number) => number,
  width: number,
  height: number,
  { GRID, MANY }: Rules["speckles"],
): boolean {
  const step = Math.floor(Math.max(width, height) / GRID) + 1;
  let [alone, places] = [0, 0];
  for (let y = 0; y < height - 1; y += step) {
    for (let x = 0; x < width - 1; x += step, places++) {
      const at = y * width + x;
      const kind = extreme(at);
      if (kind !== NONE && kind !== extreme(at + 1) && kind !== extreme(at + width)) alone++;
    }
  }
  return places > 0 && alone >= MANY * places;
}
