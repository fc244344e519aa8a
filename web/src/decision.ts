/** Which class a pixel gets, and how opaque it is: petseg/pixels/decision.py and opacity.py. */

import { type Letterbox, type Region, round } from "./geometry";
import { regions } from "./regions";
import { restored } from "./resize";
import type { Rules } from "./rules";

/** What a network said of a photo, or of a part of it: by how much cat and dog exceed background. */
export interface Look {
  cat: Float32Array;
  dog: Float32Array;
  box: Letterbox;
}

export function look(logits: Float32Array, box: Letterbox): Look {
  const count = box.size * box.size;
  const cat = logits.slice(count, 2 * count);
  const dog = logits.slice(2 * count);
  for (let at = 0; at < count; at++) {
    cat[at] -= logits[at];
    dog[at] -= logits[at];
  }
  return { cat, dog, box };
}

/** Whether there is a pet at all: enough pixels that are sure of one. */
export function showsPet(seen: Look, rules: Rules): boolean {
  const { box } = seen;
  let sure = 0;
  for (const [start, end] of box.rows()) {
    for (let at = start; at < end; at++) sure += isSure(seen, at, rules);
  }
  return sure >= Math.max(1, rules.decision.ENOUGH * box.innerWidth * box.innerHeight);
}

/** The same look, with regions of pet ruled out that have too few pixels that are sure. */
export function withoutUnsure(seen: Look, rules: Rules): Look {
  const [on, side] = [found(seen), seen.box.size];
  const { numbers, sizes } = regions({ width: side, height: side, on });
  const sure = new Float64Array(sizes.length);
  numbers.forEach((number, at) => {
    if (number) sure[number] += isSure(seen, at, rules);
  });
  const unsure = sizes.map((size, number) => number > 0 && sure[number] < rules.decision.PART * size);
  if (!unsure.some(Boolean)) return seen;
  const inside = Uint8Array.from(numbers, (number) => Number(unsure[number]));
  const around = grown(inside, side, rules.decision.FRINGE);
  return ruleOut(seen, rules, (at) => inside[at] > 0 || (around[at] > 0 && !on[at]));
}

/** The same look, there as sure of background as pixels of pets have to be of pets. */
export function ruleOut(
  { cat, dog, box }: Look,
  { decision: { SURE } }: Rules,
  where = (_at: number) => true,
): Look {
  const most = -Math.log(SURE / (1 - SURE));
  const lowered = (plane: Float32Array): Float32Array =>
    plane.map((value, at) => (where(at) ? Math.min(value, most) : value));
  return { cat: lowered(cat), dog: lowered(dog), box };
}

/** Share of the pixels of pets that are sure; 1 where there are none. */
export function sureness(seen: Look, rules: Rules): number {
  let [count, sure] = [0, 0];
  found(seen).forEach((on, at) => {
    count += on;
    if (on) sure += isSure(seen, at, rules);
  });
  return count ? sure / count : 1;
}

/** Which pixels of the photo are of pets. */
export function found({ cat, dog, box }: Look): Uint8Array {
  return Uint8Array.from(cat, (value, at) => Number(Math.max(value, dog[at]) > 0 && box.shows(at)));
}

function isSure({ cat, dog }: Look, at: number, { decision: { SURE } }: Rules): number {
  return Number(Math.exp(cat[at]) + Math.exp(dog[at]) >= SURE / (1 - SURE));
}

/** What lies no more than some pixels from what is on, along rows and columns. */
function grown(on: Uint8Array, side: number, by: number): Uint8Array {
  const along = (from: Uint8Array, step: number, place: (at: number) => number): Uint8Array =>
    from.map((_one, at) => {
      const [least, most] = [-Math.min(by, place(at)), Math.min(by, side - 1 - place(at))];
      for (let away = least; away <= most; away++) if (from[at + away * step]) return 1;
      return 0;
    });
  return along(
    along(on, 1, (at) => at % side),
    side,
    (at) => Math.floor(at / side),
  );
}

/** What is said of a photo in words and figures. */
export interface Said {
  label: "cat" | "dog" | "background";
  score: number;
  /** Shares of the photo that are cat and dog. */
  cat: number;
  dog: number;
}

export function said({ cat, dog, box }: Look, shown: boolean): Said {
  const counts = [0, 0, 0];
  const sums = [0, 0, 0];
  for (const [start, end] of box.rows()) {
    for (let at = start; at < end; at++) {
      const kind = !shown || Math.max(cat[at], dog[at]) <= 0 ? 0 : dog[at] > cat[at] ? 2 : 1;
      const highest = Math.max(cat[at], dog[at], 0);
      const odds = [Math.exp(-highest), Math.exp(cat[at] - highest), Math.exp(dog[at] - highest)];
      const total = odds[0] + odds[1] + odds[2];
      counts[kind]++;
      const pet = kind > 0;
      for (let one = pet ? 1 : 0; one < (pet ? 3 : 1); one++) sums[one] += odds[one] / total;
    }
  }
  const pets = counts[1] + counts[2];
  const area = (box.region[2] - box.region[0]) * (box.region[3] - box.region[1]);
  const share = area / (box.width * box.height) / (box.innerWidth * box.innerHeight);
  const winner = !pets ? 0 : counts[2] > counts[1] ? 2 : 1;
  return {
    label: (["background", "cat", "dog"] as const)[winner],
    score: sums[winner] / (pets || counts[0]),
    cat: counts[1] * share,
    dog: counts[2] * share,
  };
}

/** The class of each pixel of the photo: 0 background, 1 cat, 2 dog. */
export function mask({ cat, dog, box }: Look): Uint8Array {
  const result = new Uint8Array(box.width * box.height);
  const [x0, y0, x1] = box.region;
  const others = restored(dog, box, box.region);
  let start = y0 * box.width + x0;
  for (const cats of restored(cat, box, box.region)) {
    const dogs = others.next().value as Float32Array;
    for (let x = 0; x < x1 - x0; x++) {
      if (cats[x] > 0 || dogs[x] > 0) result[start + x] = dogs[x] > cats[x] ? 2 : 1;
    }
    start += box.width;
  }
  return result;
}

/** How opaque the pets are, 0..255, in a part of a copy of the photo. */
export interface Alpha {
  data: Uint8ClampedArray;
  region: Region;
}

/** From a quarter on a probability shows, from three quarters on it is solid. */
export function alpha({ cat, dog, box }: Look, width: number, height: number): Alpha {
  const by = [width / box.width, height / box.height];
  const [x0, y0, x1, y1] = box.region.map((edge, at) => round(edge * by[at % 2]));
  const region: Region = [
    Math.min(x0, width - 1),
    Math.min(y0, height - 1),
    Math.max(x1, x0 + 1),
    Math.max(y1, y0 + 1),
  ];
  const across = region[2] - region[0];
  const data = new Uint8ClampedArray(across * (region[3] - region[1]));
  const others = restored(dog, box, region);
  let start = 0;
  for (const cats of restored(cat, box, region)) {
    const dogs = others.next().value as Float32Array;
    for (let x = 0; x < across; x++) {
      const best = Math.max(cats[x], dogs[x]);
      if (best > 2) data[start + x] = 255;
      else if (best > -2) data[start + x] = 255 * (1.5 - 2 / (1 + Math.exp(cats[x]) + Math.exp(dogs[x])));
    }
    start += across;
  }
  return { data, region };
}
