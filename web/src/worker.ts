/** What thinks: it has the models and the photo, and never keeps the page from answering. */

import { MOST, next } from "./animals";
import { type Alpha, alpha, type Look, look, mask, type Said, said, showsPet } from "./decision";
import { Dialogue } from "./dialogue";
import { Letterbox, type Point } from "./geometry";
import { see } from "./lookagain";
import { Clicker, Finder } from "./network";
import { cutout, sticker } from "./pictures";
import { type Photo, square } from "./resize";
import type { Listing } from "./rules";

/** What the page may ask; `shown` is how long the longest side of its picture is. */
export type Question =
  | { kind: "open"; file: Blob; shown: number }
  | { kind: "prepare" }
  | { kind: "another"; shown: number }
  | { kind: "glance" | "click"; at: Point; shown: number; add?: boolean }
  | { kind: "reset" }
  | { kind: "mask" }
  | { kind: "cutout" | "sticker" };

/** The answer to a glance or a click, and to a photo. */
export interface Shown extends Said {
  alpha: Alpha;
  /** Of the picture, and of the photo. */
  size: [number, number];
  photo: [number, number];
  picture?: ImageBitmap;
}

/** More pixels are refused: they would take gigabytes. */
const LARGEST = 100e6;

class Studio {
  private photo: Photo | null = null;
  private everything: Look | null = null;
  private chosen: Look[] = [];
  private dialogue: Dialogue | null = null;
  /** Places that nobody pointed at. */
  private asked: Point[] = [];
  /** Those that are known, by a pointer or before it. */
  private animals: Look[] = [];
  private finder: Promise<Finder> | undefined;
  private clicker: Promise<Clicker> | undefined;
  private readonly listing: Promise<Listing> = fetch("models.json").then((answer) => answer.json());

  /** Begin to fetch the model that is needed first. */
  async warm(): Promise<Finder> {
    this.finder ??= this.listing.then((listing) =>
      Finder.open(listing, progress(listing, ["runtime", "all"])),
    );
    return this.finder.catch((error) => {
      this.finder = undefined; // the network may be back the next time
      throw error;
    });
  }

  async ask(question: Question): Promise<unknown> {
    switch (question.kind) {
      case "open":
        return this.open(question.file, question.shown);
      case "prepare":
        return (await this.talk()).prepare();
      case "another":
        return this.another(question.shown);
      case "glance":
        return this.glance(question.at, question.shown);
      case "click":
        return this.click(question.at, question.shown, question.add);
      case "reset":
        this.chosen = [];
        return;
      case "mask":
        return this.mask();
      default:
        return (question.kind === "cutout" ? cutout : sticker)(
          this.need(this.photo),
          this.current(),
          (await this.listing).rules,
        );
    }
  }

  private async open(file: Blob, longest: number): Promise<Shown> {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => {
      throw new Error("This file is no photo that your browser can read. JPEG, PNG and WebP work.");
    });
    const { width, height } = bitmap;
    if (width * height > LARGEST) throw new Error("This photo is too large: 100 megapixels is the most.");
    [this.photo, this.everything, this.chosen, this.dialogue] = [null, null, [], null];
    [this.asked, this.animals] = [[], []];
    const [across, down] = fitted(width, height, longest);
    const shrunk = createImageBitmap(bitmap, {
      resizeWidth: across,
      resizeHeight: down,
      resizeQuality: "medium",
    });
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    if (!context) throw new Error("Your browser gives no room for a photo of this size.");
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
    context.drawImage(bitmap, 0, 0);
    this.photo = { width, height, data: context.getImageData(0, 0, width, height).data };
    const { rules } = await this.listing;
    const picture = await shrunk;
    bitmap.close();
    const seen = await see(this.photo, await this.warm(), rules);
    const shown = showsPet(seen, rules);
    if (shown) this.everything = seen;
    return { ...this.shown(shown ? [seen] : [], longest), ...said(seen, shown), picture };
  }

  private async click(at: Point, longest: number, add = false): Promise<Shown> {
    const answer = this.look(await (await this.talk()).answer(at));
    const found = said(answer, true).label !== "background";
    if (found) this.chosen = add ? [...this.chosen, answer] : [answer];
    return { ...this.shown(found ? this.chosen : [], longest), ...said(answer, true) };
  }

  /** One more animal that is known before a pointer is on it; null when there are no more. */
  private async another(longest: number): Promise<Shown | null> {
    const at =
      this.everything && this.asked.length < MOST ? next(this.everything, this.animals, this.asked) : null;
    if (!at) return null;
    this.asked.push(at);
    return this.glance(at, longest);
  }

  /** What a pointer is over, or may be later. */
  private async glance(at: Point, longest: number): Promise<Shown> {
    const animal = this.look(await (await this.talk()).glance(at));
    const shown = this.shown([animal], longest);
    if (shown.label !== "background") this.animals.push(animal);
    return shown;
  }

  private look(answer: Awaited<ReturnType<Dialogue["answer"]>>): Look {
    return look(answer.logits, answer.box);
  }

  private async talk(): Promise<Dialogue> {
    const { rules } = await this.listing;
    this.clicker ??= this.listing.then((listing) =>
      Clicker.open(listing, progress(listing, ["encoder", "decoder"])),
    );
    const clicker = await this.clicker.catch((error) => {
      this.clicker = undefined;
      throw error;
    });
    const [finder, photo] = [await this.warm(), this.need(this.photo)];
    this.dialogue ??= new Dialogue(photo, clicker, rules, async ({ region }) => {
      const { fill, size } = finder.manifest;
      const part = new Letterbox(photo.width, photo.height, size, region);
      return look(await finder.run(square(photo, part, fill, rules)), part);
    });
    return this.dialogue;
  }

  /** What is chosen, or else all pets. */
  private current(): Look[] {
    return this.chosen.length ? this.chosen : this.everything ? [this.everything] : [];
  }

  private mask(): Uint8Array {
    const { width, height } = this.need(this.photo);
    const result = new Uint8Array(width * height);
    for (const one of this.current())
      mask(one).forEach((kind, at) => {
        result[at] ||= kind;
      });
    return result;
  }

  private shown(looks: readonly Look[], longest: number): Shown {
    const photo = this.need(this.photo);
    const size = fitted(photo.width, photo.height, longest);
    const alphas = looks.map((one) => alpha(one, ...size));
    const words = looks.length
      ? said(looks[looks.length - 1], true)
      : { label: "background" as const, score: 0, cat: 0, dog: 0 };
    return { ...words, alpha: joined(alphas, size), size, photo: [photo.width, photo.height] };
  }

  private need<Thing>(thing: Thing | null): Thing {
    if (thing === null) throw new Error("Choose a photo first.");
    return thing;
  }
}

function fitted(width: number, height: number, longest: number): [number, number] {
  const scale = Math.min(1, longest / Math.max(width, height));
  return [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
}

/** Several animals as one. */
function joined(alphas: readonly Alpha[], [width, height]: [number, number]): Alpha {
  if (alphas.length === 1) return alphas[0];
  const data = new Uint8ClampedArray(width * height);
  for (const {
    data: own,
    region: [x0, y0, x1],
  } of alphas) {
    own.forEach((value, at) => {
      const to = (y0 + Math.floor(at / (x1 - x0))) * width + x0 + (at % (x1 - x0));
      data[to] = Math.max(data[to], value);
    });
  }
  return { data, region: [0, 0, width, height] };
}

/** Tell the page how much of some files came. */
function progress(
  listing: Listing,
  files: ("runtime" | "all" | "encoder" | "decoder")[],
): (bytes: number) => void {
  const total = files.reduce((sum, file) => sum + listing[file].packed, 0);
  let came = 0;
  return (bytes) => {
    came += bytes;
    self.postMessage({ progress: came / total });
  };
}

const studio = new Studio();
studio.warm().catch(() => undefined); // who asks for it is told
let turn: Promise<unknown> = Promise.resolve();

self.addEventListener(
  "message",
  ({ data: { id, question } }: MessageEvent<{ id: number; question: Question }>) => {
    turn = turn.then(async () => {
      try {
        const answer = await studio.ask(question);
        const given = answer as Partial<Shown> | undefined;
        const moved = given?.picture ? [given.picture] : [];
        self.postMessage({ id, answer }, { transfer: moved });
      } catch (error) {
        self.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
      }
    });
  },
);
