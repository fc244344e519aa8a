/** Cut-outs and stickers, to keep: petseg/pixels/stickers.py. What is clear holds no colour of the photo. */

import { alpha, type Look } from "./decision";
import type { Photo } from "./resize";
import type { Rules } from "./rules";

/** The pets on a clear ground, at the photo's own size, PNG. */
export async function cutout(photo: Photo, looks: readonly Look[]): Promise<Blob> {
  return painted(photo, looks).convertToBlob({ type: "image/png" });
}

/** The pets with a white outline and a soft shadow, in the middle of a clear square, PNG. */
export async function sticker(photo: Photo, looks: readonly Look[], { stickers }: Rules): Promise<Blob> {
  const cut = painted(photo, looks);
  const [x0, y0, x1, y1] = bounds(context(cut).getImageData(0, 0, photo.width, photo.height));
  const { SIDE } = stickers;
  const room = SIDE - 2 * Math.round(stickers.MARGIN * SIDE);
  const scale = room / Math.max(x1 - x0, y1 - y0);
  const [width, height] = [(x1 - x0) * scale, (y1 - y0) * scale];
  const [left, top] = [(SIDE - width) / 2, (SIDE - height) / 2];
  const pet = new OffscreenCanvas(SIDE, SIDE);
  context(pet).imageSmoothingQuality = "high";
  context(pet).drawImage(cut, x0, y0, x1 - x0, y1 - y0, left, top, width, height);
  const outline = outlined(pet, stickers.OUTLINE * SIDE);
  const result = context(new OffscreenCanvas(SIDE, SIDE));
  result.shadowColor = `rgb(0 0 0 / ${stickers.DARK})`;
  result.shadowBlur = 2 * stickers.SHADOW * SIDE; // of a canvas: twice the standard deviation
  result.shadowOffsetY = stickers.DROP * SIDE;
  result.drawImage(outline, 0, 0);
  result.shadowColor = "transparent";
  result.drawImage(pet, 0, 0);
  return result.canvas.convertToBlob({ type: "image/png" });
}

function context(canvas: OffscreenCanvas): OffscreenCanvasRenderingContext2D {
  const found = canvas.getContext("2d", { willReadFrequently: true });
  if (!found) throw new Error("Your browser gives no room for a picture of this size.");
  return found;
}

function painted(photo: Photo, looks: readonly Look[]): OffscreenCanvas {
  if (!looks.length) throw new Error("There is no pet to keep.");
  const pixels = new ImageData(photo.width, photo.height);
  for (const one of looks) {
    const {
      data,
      region: [x0, y0, x1],
    } = alpha(one, photo.width, photo.height);
    data.forEach((value, at) => {
      const to = ((y0 + Math.floor(at / (x1 - x0))) * photo.width + x0 + (at % (x1 - x0))) * 4;
      if (value <= pixels.data[to + 3]) return;
      for (let channel = 0; channel < 3; channel++) pixels.data[to + channel] = photo.data[to + channel];
      pixels.data[to + 3] = value;
    });
  }
  const canvas = new OffscreenCanvas(photo.width, photo.height);
  context(canvas).putImageData(pixels, 0, 0);
  return canvas;
}

/** The box around what is not nearly clear. */
function bounds({ data, width, height }: ImageData): [number, number, number, number] {
  let [x0, y0, x1, y1] = [width, height, 0, 0];
  for (let at = 3; at < data.length; at += 4) {
    if (data[at] < 128) continue;
    const x = (at >> 2) % width;
    const y = Math.floor((at >> 2) / width);
    [x0, x1, y0, y1] = [Math.min(x0, x), Math.max(x1, x + 1), Math.min(y0, y), Math.max(y1, y + 1)];
  }
  if (!x1) throw new Error("There is no pet to keep.");
  return [x0, y0, x1, y1];
}

/** The shape of a picture in white, wider by some pixels all around. */
function outlined(picture: OffscreenCanvas, by: number): OffscreenCanvas {
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const drawing = context(canvas);
  const steps = Math.ceil(2 * Math.PI * by);
  for (let step = 0; step < steps; step++) {
    const angle = (2 * Math.PI * step) / steps;
    drawing.drawImage(picture, by * Math.cos(angle), by * Math.sin(angle));
  }
  drawing.globalCompositeOperation = "source-in";
  drawing.fillStyle = "white";
  drawing.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}
