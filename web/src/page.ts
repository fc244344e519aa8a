/** What a visitor sees: petseg/app's page, with the models in this browser. */

import { clip, type Point } from "./geometry";
import { Thinker } from "./thinker";
import type { Shown } from "./worker";

/** Longest side of the picture, and of what a pointer lights up, in pixels. */
const [SHOWN, GLANCED] = [1400, 320];
/** How far an arrow key moves the marker, as a share of the picture's longer side; with Shift. */
const [STEP, STRIDE] = [0.02, 0.1];
const NAMES = { cat: "Cat", dog: "Dog", background: "No pet found" };
const COLOURS = { cat: "rgb(255 140 0 / .35)", dog: "rgb(0 114 255 / .35)", background: "transparent" };

const find = <Kind extends HTMLElement>(id: string): Kind => document.getElementById(id) as Kind;
const [start, stage, legend] = ["start", "stage", "legend"].map((id) => find(id));
const board = find("board");
const canvas = find<HTMLCanvasElement>("picture");
const status = find("status");
const bar = find<HTMLProgressElement>("progress");
const drawing = canvas.getContext("2d") as CanvasRenderingContext2D;
const thinker = new Thinker((share) => {
  bar.hidden = share >= 1 || everything !== null; // the second model comes while the first answer is looked at
  bar.value = share;
});

/** What is known of the photo: all pets, what is chosen, and what a pointer was over. */
let picture: ImageBitmap | null = null;
let everything: Shown | null = null;
let chosen: Shown | null = null;
let glances: Shown[] = [];
let lit: Shown | null = null;
let marker: Point | null = null;
/** A photo's number: answers about one before are dropped. */
let photo = 0;

function say(text: string, wrong = false): void {
  status.textContent = text;
  status.classList.toggle("wrong", wrong);
}

/** Run what a visitor asked for, and say what keeps it from working. */
async function attempt(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    say(error instanceof Error ? error.message : String(error), true);
  }
}

function open(file: Blob): Promise<void> {
  return attempt(async () => {
    const own = ++photo;
    const begun = performance.now();
    say("Looking for cats and dogs …");
    const seen = (await thinker.ask({ kind: "open", file, shown: SHOWN })) as Shown;
    if (own !== photo) return;
    [picture, everything, chosen, glances, lit, marker] = [seen.picture ?? null, seen, null, [], null, null];
    [canvas.width, canvas.height] = seen.size;
    board.style.setProperty("--ratio", String(canvas.width / canvas.height));
    [start.hidden, stage.hidden] = [true, false];
    tell(seen, performance.now() - begun);
    draw();
    await thinker.ask({ kind: "prepare" });
    void navigator.serviceWorker?.register("offline.js");
    if (matchMedia("(hover: hover)").matches) await learn(own);
  });
}

/** Get to know the animals of a photo, so that one that a pointer is on lights up at once. */
async function learn(own: number): Promise<void> {
  while (own === photo) {
    const seen = (await thinker.ask({ kind: "another", shown: GLANCED })) as Shown | null;
    if (!seen || own !== photo) return;
    if (seen.label !== "background") glances.push(seen);
  }
}

/** The answer in words. */
function tell(seen: Shown, milliseconds: number): void {
  const sure = Math.round(seen.score * 100);
  say(`${NAMES[seen.label]}, ${sure}% sure`);
  legend.hidden = false;
  const meter = legend.querySelector(".meter") as HTMLElement;
  meter.className = `meter ${seen.label}`;
  (meter.firstElementChild as HTMLElement).style.width = `${sure}%`;
  const kinds = (["cat", "dog"] as const).filter((kind) => seen[kind] > 0);
  const chips = kinds.map((kind) => {
    const chip = document.createElement("li");
    chip.className = kind;
    chip.textContent = `${kind} ${(seen[kind] * 100).toFixed(1)}% of the photo`;
    return chip;
  });
  legend.querySelector(".chips")?.replaceChildren(...chips);
  const facts = legend.querySelector(".facts") as HTMLElement;
  facts.textContent = `${milliseconds.toFixed(0)} ms on this device · ${seen.photo.join(" x ")} pixels`;
  board.setAttribute("aria-label", `Your photo: ${NAMES[seen.label]}`);
  for (const id of ["sticker", "cutout"]) find<HTMLButtonElement>(id).disabled = seen.label === "background";
}

/** A mask as a picture of one colour. */
function painted({ alpha: { data, region } }: Shown, colour: string): OffscreenCanvas {
  const [width, height] = [region[2] - region[0], region[3] - region[1]];
  const pixels = new ImageData(width, height);
  data.forEach((value, at) => {
    pixels.data[at * 4 + 3] = value;
  });
  const result = new OffscreenCanvas(width, height);
  const context = result.getContext("2d") as OffscreenCanvasRenderingContext2D;
  context.putImageData(pixels, 0, 0);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = colour;
  context.fillRect(0, 0, width, height);
  return result;
}

/** Lay a picture of a mask where that is. */
function lay(
  context: CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D,
  shown: Shown,
  colour: string,
): void {
  const { region } = shown.alpha;
  const [across, down] = [canvas.width / shown.size[0], canvas.height / shown.size[1]];
  const place = [
    region[0] * across,
    region[1] * down,
    (region[2] - region[0]) * across,
    (region[3] - region[1]) * down,
  ];
  context.drawImage(painted(shown, colour), ...(place as [number, number, number, number]));
}

/** The photo in grey and dark, but for what is lit. */
function draw(): void {
  const shown = lit ?? chosen ?? everything;
  if (!picture || !shown) return;
  const { width, height } = canvas;
  drawing.drawImage(picture, 0, 0, width, height);
  if (shown.label !== "background") {
    drawing.globalCompositeOperation = "saturation";
    drawing.fillStyle = "grey";
    drawing.fillRect(0, 0, width, height);
    drawing.globalCompositeOperation = "source-over";
    drawing.fillStyle = "rgb(8 10 16 / .62)";
    drawing.fillRect(0, 0, width, height);
    const cut = new OffscreenCanvas(width, height);
    const context = cut.getContext("2d") as OffscreenCanvasRenderingContext2D;
    lay(context, shown, "black");
    context.globalCompositeOperation = "source-in";
    context.drawImage(picture, 0, 0, width, height);
    drawing.drawImage(cut, 0, 0);
    if (lit) lay(drawing, lit, COLOURS[lit.label]);
  }
  if (marker) ring(marker);
}

function ring([x, y]: Point): void {
  const radius = Math.max(canvas.width, canvas.height) / 60;
  for (const [colour, width] of [
    ["black", 6],
    ["white", 3],
  ] as const) {
    drawing.beginPath();
    drawing.arc(x, y, radius, 0, 2 * Math.PI);
    drawing.strokeStyle = colour;
    drawing.lineWidth = width * (canvas.width / canvas.clientWidth);
    drawing.stroke();
  }
}

/** Whether a place of the picture is in a mask. */
function covers({ alpha: { data, region }, size }: Shown, [x, y]: Point): boolean {
  const column = Math.floor((x * size[0]) / canvas.width) - region[0];
  const row = Math.floor((y * size[1]) / canvas.height) - region[1];
  const width = region[2] - region[0];
  return column >= 0 && column < width && row >= 0 && data[row * width + column] > 127;
}

function inPhoto([x, y]: Point): Point {
  const [width, height] = everything?.photo ?? [1, 1];
  return [
    clip((x * width) / canvas.width, 0, width - 1e-3),
    clip((y * height) / canvas.height, 0, height - 1e-3),
  ];
}

let waiting: Point | null = null;
let glancing = false;

/** Light up what is at a place: at once if that is known, else as soon as the model has said it. */
function point(at: Point): void {
  const known = glances.find((one) => covers(one, at));
  const over = known !== undefined || (everything !== null && covers(everything, at));
  if (known || !over) {
    waiting = null;
    light(known ?? null);
  } else {
    waiting = at;
    if (!glancing) void attempt(glance);
  }
}

function light(shown: Shown | null): void {
  if (lit === shown) return;
  lit = shown;
  requestAnimationFrame(draw);
}

async function glance(): Promise<void> {
  glancing = true;
  try {
    while (waiting) {
      const [at, own] = [waiting, photo];
      const seen = (await thinker.ask({ kind: "glance", at: inPhoto(at), shown: GLANCED })) as Shown;
      if (own !== photo) break;
      if (seen.label !== "background") glances.push(seen);
      if (waiting !== at) continue;
      waiting = null;
      light(seen.label === "background" ? null : seen);
    }
  } finally {
    glancing = false;
  }
}

function choose(at: Point, add: boolean): Promise<void> {
  return attempt(async () => {
    const [own, begun] = [photo, performance.now()];
    const seen = (await thinker.ask({ kind: "click", at: inPhoto(at), shown: SHOWN, add })) as Shown;
    if (own !== photo) return;
    if (seen.label === "background") return say("No pet there.");
    [chosen, lit] = [seen, null];
    tell(seen, performance.now() - begun);
    draw();
  });
}

async function showAll(): Promise<void> {
  await thinker.ask({ kind: "reset" });
  [chosen, lit, marker] = [null, null, null];
  if (everything) say(`${NAMES[everything.label]}: all pets`);
  draw();
}

function keep(kind: "sticker" | "cutout"): Promise<void> {
  return attempt(async () => {
    const file = (await thinker.ask({ kind })) as Blob;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = `${kind}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    say(kind === "sticker" ? "The sticker is saved." : "The cutout is saved.");
  });
}

function startOver(): void {
  photo++;
  [start.hidden, stage.hidden, legend.hidden] = [false, true, true];
  say("Choose a photo of a cat or a dog: the answer is described here.");
  find("choose").focus();
}

function onKey(event: KeyboardEvent): void {
  const moves: Record<string, Point> = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, -1],
    ArrowDown: [0, 1],
  };
  const by = moves[event.key];
  const { width, height } = canvas;
  if (by) {
    const step = Math.max(width, height) * (event.shiftKey ? STRIDE : STEP);
    const [x, y] = marker ?? [width / 2, height / 2];
    marker = [clip(x + by[0] * step, 0, width - 1), clip(y + by[1] * step, 0, height - 1)];
    point(marker);
    requestAnimationFrame(draw);
  } else if (event.key === "Enter") {
    void choose(marker ?? [width / 2, height / 2], event.shiftKey);
  } else if (event.key === "Escape") void showAll();
  else return;
  event.preventDefault();
}

function place(event: MouseEvent): Point {
  const scale = canvas.width / canvas.clientWidth;
  return [event.offsetX * scale, event.offsetY * scale];
}

/** The first photo among what was dropped, pasted or chosen. */
function take(files: FileList | null | undefined): void {
  const file = [...(files ?? [])].find(({ type }) => type.startsWith("image/")) ?? files?.[0];
  if (file) void open(file);
}

for (const [button, input] of [
  ["choose", "file"],
  ["take", "camera"],
]) {
  const chooser = find<HTMLInputElement>(input);
  find(button).addEventListener("click", () => chooser.click());
  chooser.addEventListener("change", () => {
    take(chooser.files);
    chooser.value = "";
  });
}
find("example").addEventListener("click", async () => open(await (await fetch("chelsea.jpg")).blob()));
find("everything").addEventListener("click", () => void showAll());
find("sticker").addEventListener("click", () => void keep("sticker"));
find("cutout").addEventListener("click", () => void keep("cutout"));
find("again").addEventListener("click", startOver);
canvas.addEventListener("pointermove", (event) => {
  if (event.pointerType !== "touch") point(place(event));
});
canvas.addEventListener("pointerleave", () => {
  waiting = null;
  light(null);
});
canvas.addEventListener("click", (event) => void choose(place(event), event.shiftKey));
board.addEventListener("keydown", onKey);
document.addEventListener("paste", (event) => take(event.clipboardData?.files));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("over", kind === "dragover");
    if (kind === "drop") take((event as DragEvent).dataTransfer?.files);
  });
}
