/** A second look at photos that the square shows too small: petseg/engine/second_look.py and clicks/closeup.py. */

import { found, type Look, look, ruleOut, sureness, withoutUnsure } from "./decision";
import { clip, Letterbox, type Point, type Region, round } from "./geometry";
import type { Finder } from "./network";
import { regions } from "./regions";
import { type Photo, square } from "./resize";
import type { Rules } from "./rules";

/** The close-up of what lies between some points; null if it would show hardly less than the whole. */
export function closeUp(
  width: number,
  height: number,
  points: readonly Point[],
  { closeup }: Rules,
  tight = false,
): Region | null {
  const [margin, worth] = tight ? [closeup.TIGHT, closeup.SHOWS_MORE] : [closeup.MARGIN, closeup.WORTH];
  const low = [0, 1].map((axis) => Math.min(...points.map((point) => point[axis])));
  const high = [0, 1].map((axis) => Math.max(...points.map((point) => point[axis])));
  const side = Math.max(margin * Math.max(high[0] - low[0], high[1] - low[1]), closeup.SMALLEST);
  if (side > worth * Math.max(width, height)) return null;
  const stretch = (axis: number, limit: number): [number, number] => {
    const length = Math.min(limit, round(side));
    const start = clip(round((low[axis] + high[axis]) / 2 - length / 2), 0, limit - length);
    return [start, start + length];
  };
  const [left, right] = stretch(0, width);
  const [top, bottom] = stretch(1, height);
  return [left, top, right, bottom];
}

/** IoU of two regions. */
export function overlap(one: Region, other: Region): number {
  const [width, height] = [0, 1].map((axis) =>
    Math.max(0, Math.min(one[axis + 2], other[axis + 2]) - Math.max(one[axis], other[axis])),
  );
  const areas = [one, other].map(([x0, y0, x1, y1]) => (x1 - x0) * (y1 - y0));
  return (width * height) / (areas[0] + areas[1] - width * height);
}

/** What a network that finds all pets says of a photo, after further looks where those are worth it, less what is no pet. */
export async function see(photo: Photo, finder: Finder, rules: Rules): Promise<Look> {
  const { size, fill } = finder.manifest;
  const ask = async (region?: Region): Promise<Look> => {
    const box = new Letterbox(photo.width, photo.height, size, region);
    return look(await finder.run(square(photo, box, fill, rules)), box);
  };
  const first = await ask();
  const closer: Look[] = [];
  for (const part of worth(first, rules)) closer.push(await ask(part));
  const most = closer.length > 1 ? together(first, closer, rules) : (closer[0] ?? first);
  if (finder.manifest.doubt === false) return most;
  const seen = withoutUnsure(most, rules);
  const part = doubted(seen, rules);
  if (!part) return seen;
  const agrees = found(withoutUnsure(await ask(part), rules)).some(Boolean);
  return agrees ? seen : ruleOut(seen, rules);
}

/** By how much a pet exceeds background between two corners of the photo, at most: petseg/engine/presence.py. */
export function most({ cat, dog, box }: Look, low: Point, high: Point): number {
  const [left, top] = box.toModel(low).map((value) => Math.max(0, Math.floor(value)));
  const [right, bottom] = box.toModel(high).map((value) => Math.min(box.size, Math.ceil(value)));
  let highest = Number.NEGATIVE_INFINITY;
  for (let y = top; y < bottom; y++) {
    for (let at = y * box.size + left; at < y * box.size + right; at++) {
      highest = Math.max(highest, cat[at], dog[at]);
    }
  }
  return highest;
}

/** Whether a photo is so long that it is seen in tiles. */
export function isWide({ width, height }: Letterbox, { second_look: { WIDE } }: Rules): boolean {
  return Math.max(width, height) >= WIDE * Math.min(width, height);
}

/** A close-up of all that is a pet, where little of it is sure, and the look was not close already. */
function doubted(seen: Look, rules: Rules): Region | null {
  const { box } = seen;
  if (!box.whole || sureness(seen, rules) >= rules.second_look.DOUBTED) return null;
  const on = found(seen);
  const corners = box.bounds((at) => on[at] > 0);
  return corners && closeUp(box.width, box.height, corners, rules);
}

/** The parts of the photo that are worth a second look; none for an ordinary photo. */
function worth({ cat, dog, box }: Look, rules: Rules): Region[] {
  const { MAYBE, SPREAD, MOST } = rules.second_look;
  if (isWide(box, rules)) return tiles(box.width, box.height, rules);
  const maybe = Uint8Array.from(cat, (value, at) =>
    Number(Math.max(value, dog[at]) > MAYBE && box.shows(at)),
  );
  const count = maybe.reduce((sum, one) => sum + one, 0);
  if (!count) return [];
  const all = closer(box, (at) => maybe[at] > 0, rules);
  if (all) return [all];
  if (count > SPREAD * box.innerWidth * box.innerHeight) return [];
  const { numbers, sizes } = regions({ width: box.size, height: box.size, on: maybe });
  const largest = [...sizes.keys()].slice(1).sort((a, b) => sizes[b] - sizes[a]);
  const parts: Region[] = [];
  for (const number of largest.slice(0, MOST)) {
    const part = closer(box, (at) => numbers[at] === number, rules);
    if (!part) return [];
    if (!parts.some((other) => inside(part, other))) parts.push(part);
  }
  return parts;
}

function closer(box: Letterbox, wanted: (index: number) => boolean, rules: Rules): Region | null {
  const corners = box.bounds(wanted);
  const part = corners && closeUp(box.width, box.height, corners, rules);
  if (!part) return null;
  const side = Math.max(part[2] - part[0], part[3] - part[1]);
  return side > rules.second_look.SMALL * Math.max(box.width, box.height) ? null : part;
}

const inside = (part: Region, other: Region): boolean =>
  part[0] >= other[0] && part[1] >= other[1] && part[2] <= other[2] && part[3] <= other[3];

/** Overlapping parts along the longer side of a photo, from end to end. */
function tiles(width: number, height: number, rules: Rules): Region[] {
  const { TILE, STEP, MOST } = rules.second_look;
  const [longer, shorter] = [Math.max(width, height), Math.min(width, height)];
  const count = Math.min(MOST, Math.ceil((longer - (TILE - STEP) * shorter) / (STEP * shorter)));
  const length = Math.max(TILE * shorter, longer / (count - (count - 1) * (1 - STEP / TILE)));
  return Array.from({ length: count }, (_, at): Region => {
    const start = round(count > 1 ? (at * (longer - length)) / (count - 1) : 0);
    const end = Math.min(longer, Math.ceil(start + length));
    return width >= height ? [start, 0, end, height] : [0, start, width, end];
  });
}

/** All looks at a finer resolution, those that are surer of a place counting more. */
function together(first: Look, closer: readonly Look[], rules: Rules): Look {
  const { FINER, FIRST } = rules.second_look;
  const whole = first.box;
  const finest = Math.min(
    ...closer.map(({ box: { region } }) => Math.max(region[2] - region[0], region[3] - region[1])),
  );
  const finer = Math.min(FINER, Math.ceil(Math.max(whole.width, whole.height) / finest));
  const canvas = new Letterbox(whole.width, whole.height, whole.size * finer);
  const { OUTSIDE } = rules.decision;
  const [cat, dog] = [first.cat, first.dog].map((plane) =>
    canvas.see(plane, whole, OUTSIDE).map((value) => value * FIRST),
  );
  const total = new Float32Array(cat.length).fill(FIRST);
  for (const one of closer) {
    const weight = canvas.see(tent(one.box, rules), one.box, 0);
    const [cats, dogs] = [one.cat, one.dog].map((plane) => canvas.see(plane, one.box, 0));
    for (let at = 0; at < total.length; at++) {
      total[at] += weight[at];
      cat[at] += weight[at] * cats[at];
      dog[at] += weight[at] * dogs[at];
    }
  }
  return {
    cat: cat.map((sum, at) => sum / total[at]),
    dog: dog.map((sum, at) => sum / total[at]),
    box: canvas,
  };
}

/** How much a look counts, less towards the edges of what it shows. */
function tent(box: Letterbox, { second_look: { EDGE, SLOPE } }: Rules): Float32Array {
  const slope = (at: number, length: number): number =>
    clip(Math.min(at + 0.5, length - at - 0.5) / (SLOPE * length), EDGE, 1);
  const weight = new Float32Array(box.size * box.size);
  for (let y = 0; y < box.innerHeight; y++) {
    for (let x = 0; x < box.innerWidth; x++) {
      weight[(box.top + y) * box.size + box.left + x] = slope(y, box.innerHeight) * slope(x, box.innerWidth);
    }
  }
  return weight;
}
