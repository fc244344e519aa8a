/** Which class a pixel gets, and how opaque it is: petseg/pixels/decision.py and opacity.py. */

import { type Letterbox, type Region, round } from "./geometry";
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
export function showsPet({ cat, dog, box }: Look, rules: Rules): boolean {
  const { SURE, ENOUGH } = rules.decision;
  let sure = 0;
  for (const [start, end] of box.rows()) {
    for (let at = start; at < end; at++) {
      if (Math.exp(cat[at]) + Math.exp(dog[at]) >= SURE / (1 - SURE)) sure++;
    }
  }
  return sure >= Math.max(1, ENOUGH * box.innerWidth * box.innerHeight);
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
