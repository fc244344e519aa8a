/** A click on a photo, answered by a promptable model: petseg/dialogue.py and what it consists of. */

import { margins, withoutOthers } from "./apart";
import { type Look, showsPet, withoutUnsure } from "./decision";
import { clip, Letterbox, type Point, type Region } from "./geometry";
import { closeUp, isWide, most, overlap } from "./lookagain";
import { type Clicker, type Features, semantic, vectors } from "./network";
import { depths, type Grid, regionAt, regions } from "./regions";
import { enlarged, type Photo, square } from "./resize";
import type { Rules } from "./rules";

/** The answer to a click: logits (3, S, S) of what a letterbox shows. */
export interface Answer {
  click: Point;
  box: Letterbox;
  logits: Float32Array;
  /** Whether the photo shows hardly a pet but what was clicked; null where that was not looked for. */
  alone: boolean | null;
}

/** What the model that finds all pets says of a part of the photo, and that without what it is unsure of. */
interface Seen {
  raw: Look;
  sure: Look;
}

/** Views whose features are kept, a mirror image being one of its own. */
const KEPT = 8;

const margin = (logits: Float32Array, at: number, count = logits.length / 3): number =>
  Math.max(logits[count + at], logits[2 * count + at]) - logits[at];

/** A photo, and what the model saw of it: another click on the same part costs the decoder alone. */
export class Dialogue {
  private readonly kept = new Map<string, Promise<Features>>();
  private readonly whole: Letterbox;
  private everywhere: Promise<Seen> | undefined;

  constructor(
    private readonly photo: Photo,
    private readonly clicker: Clicker,
    private readonly rules: Rules,
    /** What the model that finds all pets says of a part of the photo: petseg/engine/presence.py. */
    private readonly presence: (part: Letterbox) => Promise<Look>,
  ) {
    this.whole = new Letterbox(photo.width, photo.height, clicker.manifest.size);
  }

  /** See the photo before anyone asks. */
  async prepare(): Promise<void> {
    await this.features(this.whole, false);
  }

  /** One pass over the whole photo, for what a pointer is over. */
  async glance(click: Point): Promise<Answer> {
    const logits = await this.ask(click, this.whole, false);
    const answer = { click, box: this.whole, logits, alone: null };
    return this.ifPet({ ...answer, logits: this.oneAnimal(await this.withoutOthers(answer)) });
  }

  /** The animal that is clicked on, or just beside. */
  async answer(click: Point): Promise<Answer> {
    const answer = await this.ifPet(await this.first(click));
    if (this.found(answer)) return answer;
    const nearby = await this.nearby(click);
    return nearby ? this.ifPet(await this.first(nearby)) : answer;
  }

  /** The answer, which finds nothing where neither the photo nor the last view of it shows a pet, or none near the click. */
  private async ifPet(answer: Answer): Promise<Answer> {
    if (!this.clicker.manifest.presence || !this.found(answer)) return answer;
    this.everywhere ??= this.see(this.whole);
    const seen = await this.everywhere;
    const { MAYBE } = this.rules.second_look;
    if (isWide(seen.raw.box, this.rules) || this.near(seen, answer.click) > MAYBE) {
      if (this.shows(seen, answer.click)) return this.agreed(answer, seen.sure);
      if (!answer.box.whole && this.shows(await this.see(answer.box), answer.click)) return answer;
    }
    const logits = answer.logits.slice();
    logits.fill(this.rules.decision.OUTSIDE, logits.length / 3);
    return { ...answer, logits };
  }

  private async see(part: Letterbox): Promise<Seen> {
    const raw = await this.presence(part);
    return { raw, sure: withoutUnsure(raw, this.rules) };
  }

  /** By how much a pet exceeds background near a click, at most. */
  private near({ raw }: Seen, [x, y]: Point): number {
    const reach = this.rules.dialogue.NEAR * Math.max(this.photo.width, this.photo.height);
    return most(raw, [x - reach, y - reach], [x + reach, y + reach]);
  }

  /** Whether there is a pet, of which less is needed where somebody points. */
  private shows(seen: Seen, click: Point): boolean {
    return this.near(seen, click) > this.rules.presence.POINTED || showsPet(seen.sure, this.rules);
  }

  /** The logits, each pixel less sure by how unsure it is to be of the animal that was clicked. */
  private async withoutOthers({ click, box, logits }: Answer): Promise<Float32Array> {
    const said = vectors(await this.features(box, false), this.clicker.manifest);
    if (!said) return logits;
    const same = margins(said.planes, said.side, box.toModel(click), box.size, this.rules);
    return withoutOthers(logits, same, this.rules);
  }

  /** The answer; if it is about all pets of the photo, its mean with what is said of those. */
  private agreed(answer: Answer, seen: Look): Answer {
    const { click, box, logits } = answer;
    if (!box.whole) return answer;
    const highest = seen.cat.map((cat, at) => Math.max(cat, seen.dog[at]));
    // What the answer rules out is another animal, however sure of a pet the other model is.
    const { RULED_OUT } = this.rules.animal;
    const pets = box.see(highest, seen.box, this.rules.decision.OUTSIDE).map((pet, at) => {
      const own = margin(logits, at);
      return own < RULED_OUT ? Math.min(pet, own) : pet;
    });
    const count = pets.length;
    let [both, either] = [0, 0];
    pets.forEach((pet, at) => {
      const own = margin(logits, at) > 0;
      both += Number(own && pet > 0);
      either += Number(own || pet > 0);
    });
    if (both < this.rules.dialogue.AGREE * either) return answer;
    const mean = new Float32Array(logits.length);
    for (let at = count; at < logits.length; at++) {
      mean[at] = (logits[at] - logits[at % count] + pets[at % count]) / 2;
    }
    const agreed = { ...answer, logits: this.oneAnimal(mean) };
    const [x, y] = box.toModel(click).map((value) => Math.min(Math.trunc(value), box.size - 1));
    return margin(agreed.logits, y * box.size + x) > 0 ? agreed : answer;
  }

  private async first(click: Point): Promise<Answer> {
    let answer = await this.predict(click, this.whole, null);
    if (this.doubted(answer)) answer = await this.cropAtClick(answer);
    answer = await this.zoomIn(answer);
    if (answer.box.whole) answer = await this.secondScale(answer);
    return { ...answer, logits: this.oneAnimal(await this.withoutOthers(answer)) };
  }

  /** The corners in the photo of what was called pet; null if nothing was. */
  private found({ logits, box }: Answer): [Point, Point] | null {
    return box.bounds((at) => margin(logits, at) > 0);
  }

  private doubted({ logits, box }: Answer): boolean {
    let highest = Number.NEGATIVE_INFINITY;
    for (const [start, end] of box.rows()) {
      for (let at = start; at < end; at++) highest = Math.max(highest, margin(logits, at));
    }
    return this.rules.closeup.DOUBT < highest && highest <= 0;
  }

  private region(points: readonly Point[], tight = false): Region | null {
    if (!this.clicker.manifest.zoom) return null;
    return closeUp(this.photo.width, this.photo.height, points, this.rules, tight);
  }

  private view(region: Region): Letterbox {
    return new Letterbox(this.photo.width, this.photo.height, this.whole.size, region);
  }

  private async cropAtClick(answer: Answer): Promise<Answer> {
    const { AGAIN, MARGIN } = this.rules.closeup;
    const [x, y] = answer.click;
    const reach = ((AGAIN / MARGIN) * Math.max(this.photo.width, this.photo.height)) / 2;
    const region = this.region([
      [x - reach, y - reach],
      [x + reach, y + reach],
    ]);
    if (!region) return answer;
    const cropped = await this.predict(answer.click, this.view(region), false);
    return this.found(cropped) ? { ...cropped, alone: answer.alone } : answer;
  }

  private async zoomIn(answer: Answer): Promise<Answer> {
    for (let zoom = 0; zoom < this.rules.closeup.ZOOMS; zoom++) {
      const found = this.found(answer);
      const region = found && this.region([answer.click, ...found]);
      if (!region || overlap(region, answer.box.region) > this.rules.closeup.SAME) break;
      answer = await this.predict(answer.click, this.view(region), answer.alone);
    }
    return answer;
  }

  private async secondScale(answer: Answer): Promise<Answer> {
    const found = this.found(answer);
    const region = found && this.region([answer.click, ...found], true);
    if (!region) return answer;
    const other = await this.predict(answer.click, this.view(region), answer.alone);
    const count = answer.logits.length / 3;
    const logits = new Float32Array(answer.logits.length);
    for (const kind of [1, 2]) {
      const plane = other.logits.slice(kind * count, (kind + 1) * count).map((v, at) => v - other.logits[at]);
      const seen = answer.box.see(plane, other.box, this.rules.decision.OUTSIDE);
      for (let at = 0; at < count; at++) {
        logits[kind * count + at] = (answer.logits[kind * count + at] - answer.logits[at] + seen[at]) / 2;
      }
    }
    return { ...answer, logits };
  }

  private async predict(click: Point, box: Letterbox, alone: boolean | null): Promise<Answer> {
    const { manifest } = this.clicker;
    let logits = await this.ask(click, box, false);
    let all = semantic(await this.features(box, false), manifest);
    if (manifest.mirror) {
      logits = mean(logits, await this.ask(click, box, true), box.size);
      const other = semantic(await this.features(box, true), manifest);
      all = all && other && mean(all, other, Math.sqrt(all.length / 3));
    }
    if (all) {
      const pets = new Pets(logits, all, box, click, this.rules);
      alone ??= pets.alone;
      logits = pets.completed(alone);
    }
    return { click, box, logits, alone };
  }

  private features(box: Letterbox, mirrored: boolean): Promise<Features> {
    const key = `${box.region} ${mirrored}`;
    let features = this.kept.get(key);
    if (!features) {
      const seen = square(this.photo, box, this.clicker.manifest.fill, this.rules);
      features = this.clicker.encode(mirrored ? flipped(seen, box.size) : seen);
      this.kept.set(key, features);
      // The whole photo comes first, and stays.
      if (this.kept.size > KEPT) this.kept.delete([...this.kept.keys()][2]);
    }
    return features;
  }

  private async ask(click: Point, box: Letterbox, mirrored: boolean): Promise<Float32Array> {
    const prompt = this.encode(box.toModel(click), box.size);
    const features = await this.features(box, mirrored);
    return this.clicker.answer(features, mirrored ? flipped(prompt, box.size) : prompt);
  }

  /** What the network is fed of a click, (2, S, S): petseg/clicks/prompts.py. */
  private encode([x, y]: Point, size: number): Float32Array {
    const { SIGMA, SIGMA_SIZE, REACH } = this.rules.prompts;
    const sigma = (SIGMA * size) / SIGMA_SIZE;
    const result = new Float32Array(2 * size * size);
    const fall = (centre: number): [number, number[]] => {
      const start = Math.max(0, Math.trunc(centre - REACH * sigma));
      const end = Math.min(size, Math.trunc(centre + REACH * sigma) + 1);
      const values = Array.from({ length: Math.max(0, end - start) }, (_, at) =>
        Math.exp(-0.5 * ((start + at + 0.5 - centre) / sigma) ** 2),
      );
      return [start, values];
    };
    const [left, across] = fall(x);
    const [top, down] = fall(y);
    down.forEach((one, row) => {
      across.forEach((other, column) => {
        result[(top + row) * size + left + column] = one * other;
      });
    });
    return result;
  }

  /** All of one species, without crumbs: petseg/clicks/animal.py. */
  private oneAnimal(logits: Float32Array): Float32Array {
    const count = logits.length / 3;
    const either = new Float32Array(count);
    const on = new Uint8Array(count);
    let [cats, dogs] = [0, 0];
    for (let at = 0; at < count; at++) {
      const [cat, dog] = [logits[count + at], logits[2 * count + at]];
      const highest = Math.max(cat, dog);
      either[at] = highest + Math.log(Math.exp(cat - highest) + Math.exp(dog - highest)) - logits[at];
      if (either[at] <= 0) continue;
      on[at] = 1;
      cats += Math.exp(cat - logits[at] - either[at]);
      dogs += Math.exp(dog - logits[at] - either[at]);
    }
    const { numbers, sizes } = regions({ width: Math.sqrt(count), height: Math.sqrt(count), on });
    const largest = sizes.slice(1).reduce((one, other) => Math.max(one, other), 0);
    const { OUTSIDE } = this.rules.decision;
    const result = new Float32Array(logits.length);
    result.fill(OUTSIDE, count);
    const start = cats >= dogs ? count : 2 * count;
    for (let at = 0; at < count; at++) {
      const crumb = numbers[at] > 0 && sizes[numbers[at]] < this.rules.animal.CRUMB * largest;
      if (!crumb) result[start + at] = either[at];
    }
    return result;
  }

  /** A place on the pet that a click is just beside; null on a pet, or farther away from all. */
  private async nearby(click: Point): Promise<Point | null> {
    const all = semantic(await this.features(this.whole, false), this.clicker.manifest);
    if (!all) return null;
    const side = Math.sqrt(all.length / 3);
    const pets: Grid = { width: side, height: side, on: new Uint8Array(side * side) };
    const step = this.whole.size / side;
    pets.on.forEach((_, at) => {
      const middle = (cell: number): number => Math.floor((cell + 0.5) * step);
      const shown = this.whole.shows(middle(Math.floor(at / side)) * this.whole.size + middle(at % side));
      pets.on[at] = Number(shown && margin(all, at) > 0);
    });
    const [x, y] = this.whole.toModel(click).map((value) => (value * side) / this.whole.size);
    const under = clip(Math.trunc(y), 0, side - 1) * side + clip(Math.trunc(x), 0, side - 1);
    if (pets.on[under] || !pets.on.includes(1)) return null;
    const away = (at: number): number => Math.hypot((at % side) + 0.5 - x, Math.floor(at / side) + 0.5 - y);
    const cells = [...pets.on.keys()].filter((at) => pets.on[at]);
    const nearest = cells.reduce((least, at) => Math.min(least, away(at)), Number.POSITIVE_INFINITY);
    const { NEAR, INSIDE } = this.rules.dialogue;
    if (nearest > NEAR * side) return null;
    const deep = depths(pets);
    const close = cells.filter((at) => away(at) <= nearest + INSIDE * side);
    const deepest = close.reduce((best, at) => (deep[at] > deep[best] ? at : best));
    const scale = this.whole.size / side;
    return this.whole.toImage([((deepest % side) + 0.5) * scale, (Math.floor(deepest / side) + 0.5) * scale]);
  }
}

/** Planes with left and right exchanged. */
function flipped<Plane extends Uint8Array | Float32Array>(planes: Plane, width: number): Plane {
  const result = planes.slice() as Plane;
  for (let start = 0; start < result.length; start += width) result.subarray(start, start + width).reverse();
  return result;
}

function mean(one: Float32Array, mirrored: Float32Array, width: number): Float32Array {
  const other = flipped(mirrored, width);
  return one.map((value, at) => (value + other[at]) / 2);
}

/** All pets that a square shows, and the piece of them that was clicked: petseg/clicks/animal.py. */
class Pets {
  private readonly margins: Float32Array;
  private readonly found: Float32Array;
  private readonly covered: Uint8Array;
  private readonly pets: Uint8Array;
  private readonly piece: Uint8Array;
  private readonly side: number;
  private readonly step: number;

  constructor(
    private readonly logits: Float32Array,
    private readonly all: Float32Array,
    box: Letterbox,
    click: Point,
    private readonly rules: Rules,
  ) {
    const count = all.length / 3;
    const side = Math.sqrt(count);
    const step = Math.trunc(box.size / side);
    const fine = (at: number): number =>
      (Math.floor(at / side) * step + (step >> 1)) * box.size + (at % side) * step + (step >> 1);
    [this.side, this.step] = [side, step];
    this.margins = Float32Array.from({ length: count }, (_, at) => margin(all, at));
    this.found = Float32Array.from({ length: count }, (_, at) => margin(logits, fine(at)));
    this.covered = Uint8Array.from({ length: count }, (_, at) =>
      Number(box.shows(fine(at)) && this.found[at] > 0),
    );
    this.pets = Uint8Array.from({ length: count }, (_, at) =>
      Number(box.shows(fine(at)) && this.margins[at] > 0),
    );
    const on = this.covered.map((one, at) => one | this.pets[at]);
    const [x, y] = box.toModel(click);
    this.piece = regionAt({ width: side, height: side, on }, x / step, y / step);
  }

  private count(wanted: (at: number) => unknown): number {
    let count = 0;
    for (let at = 0; at < this.piece.length; at++) if (wanted(at)) count++;
    return count;
  }

  get alone(): boolean {
    const outside = this.count((at) => this.pets[at] && !this.piece[at]);
    const all = this.count((at) => this.pets[at]);
    return this.piece.includes(1) && outside <= this.rules.animal.BESIDES * all;
  }

  /** The answer with the parts of the animal that it left out. */
  completed(alone: boolean): Float32Array {
    const { MOST, NEARLY_ALL, RULED_OUT } = this.rules.animal;
    const covered = this.count((at) => this.piece[at] && this.covered[at]);
    const rest = this.count((at) => this.piece[at] && !this.covered[at]);
    const needed = (alone ? MOST : NEARLY_ALL) * (covered + rest);
    if (!rest || covered < Math.max(1, needed)) return this.logits;
    const count = this.piece.length;
    let [dogsCovered, dogsRest, sure] = [0, 0, 0];
    for (let at = 0; at < count; at++) {
      if (!this.piece[at]) continue;
      const dog = this.all[2 * count + at] - this.all[count + at];
      if (this.covered[at]) dogsCovered += dog;
      else {
        dogsRest += dog;
        sure += this.found[at];
      }
    }
    if (dogsCovered > 0 !== dogsRest > 0 || sure / rest < RULED_OUT) return this.logits;
    return this.raised();
  }

  /** In the piece, and a pixel around it, as sure of a pet as the surer of both. */
  private raised(): Float32Array {
    const { side, step } = this;
    const size = side * step;
    const reach = new Uint8Array(side * side);
    this.piece.forEach((one, at) => {
      if (!one) return;
      for (
        let y = Math.max(0, Math.floor(at / side) - 1);
        y <= Math.min(side - 1, Math.floor(at / side) + 1);
        y++
      ) {
        for (let x = Math.max(0, (at % side) - 1); x <= Math.min(side - 1, (at % side) + 1); x++) {
          reach[y * side + x] = 1;
        }
      }
    });
    const large = enlarged(this.margins, side, size);
    const result = this.logits.slice();
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const at = y * size + x;
        if (!reach[Math.floor(y / step) * side + Math.floor(x / step)]) continue;
        const more = Math.max(0, large[at] - margin(this.logits, at));
        result[size * size + at] += more;
        result[2 * size * size + at] += more;
      }
    }
    return result;
  }
}
