/** Pillow's resizing (libImaging/Resample.c and Reduce.c): a canvas scales in another way in each browser. */

import { Letterbox, type Region } from "./geometry";
import type { Rules } from "./rules";
import { withoutSpeckles } from "./speckles";

/** A photo, upright, RGBA, all of it solid. */
export interface Photo {
  width: number;
  height: number;
  data: Uint8ClampedArray;
}

/** For each of some values, where those begin that it is made of, and their weights, `reach` of them. */
export interface Weights {
  starts: Int32Array;
  reach: number;
  values: Float64Array;
}

/** Bilinear weights, wider where an image is made smaller. */
export function bilinear(length: number, from: number, to: number, count: number): Weights {
  const scale = (to - from) / count;
  const support = Math.max(scale, 1);
  const reach = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(count);
  const values = new Float64Array(count * reach);
  for (let at = 0; at < count; at++) {
    const centre = from + (at + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(length, Math.trunc(centre + support + 0.5));
    let total = 0;
    for (let i = start; i < end; i++) {
      const weight = Math.max(0, 1 - Math.abs((i - centre + 0.5) / support));
      values[at * reach + i - start] = weight;
      total += weight;
    }
    for (let i = 0; i < end - start; i++) values[at * reach + i] /= total;
    // Weights of 0 at the end of each, which must not reach beyond what there is.
    starts[at] = start;
  }
  return { starts, reach, values };
}

/** A part of a photo, made smaller by whole factors: means of boxes, as Image.reduce. RGB. */
function reduce(photo: Photo, [x0, y0, x1, y1]: Region, across: number, down: number): Uint8Array {
  const width = Math.ceil((x1 - x0) / across);
  const height = Math.ceil((y1 - y0) / down);
  const result = new Uint8Array(width * height * 3);
  for (let y = 0, to = 0; y < height; y++) {
    const top = y0 + y * down;
    const bottom = Math.min(y1, top + down);
    for (let x = 0; x < width; x++, to += 3) {
      const left = x0 + x * across;
      const right = Math.min(x1, left + across);
      const count = (right - left) * (bottom - top);
      let red = count >> 1;
      let green = red;
      let blue = red;
      for (let row = top; row < bottom; row++) {
        const end = (row * photo.width + right) * 4;
        for (let at = (row * photo.width + left) * 4; at < end; at += 4) {
          red += photo.data[at];
          green += photo.data[at + 1];
          blue += photo.data[at + 2];
        }
      }
      const share = Math.floor(Math.fround(2 ** 32 / (256 * count)));
      result[to] = (red * share) >>> 24;
      result[to + 1] = (green * share) >>> 24;
      result[to + 2] = (blue * share) >>> 24;
    }
  }
  return result;
}

const BITS = 22;
/** Weights as whole numbers, as Pillow has them for bytes. */
const whole = (weights: Weights): Int32Array => Int32Array.from(weights.values, (w) => 0.5 + w * 2 ** BITS);

/** The square (3, S, S) that a letterbox makes of a photo: `Letterbox.apply` of petseg/pixels/geometry.py. */
export function square(photo: Photo, box: Letterbox, fill: number, rules: Rules): Uint8Array {
  const [x0, y0, x1, y1] = box.region;
  const { innerWidth, innerHeight, size } = box;
  const across = Math.max(1, Math.trunc((x1 - x0) / innerWidth / 2)); // reducing_gap=2
  const down = Math.max(1, Math.trunc((y1 - y0) / innerHeight / 2));
  const width = Math.ceil((x1 - x0) / across);
  const height = Math.ceil((y1 - y0) / down);
  const small =
    across * down > 1
      ? reduce(photo, box.region, across, down)
      : withoutSpeckles(copy(photo, box.region), width, height, rules);
  const columns = bilinear(width, 0, (x1 - x0) / across, innerWidth);
  const rows = bilinear(height, 0, (y1 - y0) / down, innerHeight);
  const narrow = new Uint8Array(innerWidth * height * 3);
  const byColumn = whole(columns);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < innerWidth; x++) {
      const start = (y * width + columns.starts[x]) * 3;
      const reach = Math.min(columns.reach, width - columns.starts[x]);
      for (let channel = 0; channel < 3; channel++) {
        let sum = 1 << (BITS - 1);
        for (let i = 0; i < reach; i++)
          sum += small[start + i * 3 + channel] * byColumn[x * columns.reach + i];
        narrow[(y * innerWidth + x) * 3 + channel] = sum >> BITS;
      }
    }
  }
  const result = new Uint8Array(3 * size * size).fill(fill);
  const byRow = whole(rows);
  for (let y = 0; y < innerHeight; y++) {
    const reach = Math.min(rows.reach, height - rows.starts[y]);
    for (let x = 0; x < innerWidth; x++) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 1 << (BITS - 1);
        for (let i = 0; i < reach; i++) {
          sum += narrow[((rows.starts[y] + i) * innerWidth + x) * 3 + channel] * byRow[y * rows.reach + i];
        }
        result[channel * size * size + (box.top + y) * size + box.left + x] = sum >> BITS;
      }
    }
  }
  return result;
}

function copy(photo: Photo, [x0, y0, x1, y1]: Region): Uint8Array {
  const result = new Uint8Array((x1 - x0) * (y1 - y0) * 3);
  let to = 0;
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      const at = (y * photo.width + x) * 4;
      result[to++] = photo.data[at];
      result[to++] = photo.data[at + 1];
      result[to++] = photo.data[at + 2];
    }
  }
  return result;
}

/** Rows of a plane of a square, scaled to the pixels of the region, one after the other; each is reused. */
export function* restored(plane: Float32Array, box: Letterbox, region: Region): Generator<Float32Array> {
  const [width, height] = [region[2] - region[0], region[3] - region[1]];
  const columns = bilinear(box.innerWidth, 0, box.innerWidth, width);
  const rows = bilinear(box.innerHeight, 0, box.innerHeight, height);
  const wide = new Float32Array(box.innerHeight * width);
  for (let y = 0; y < box.innerHeight; y++) {
    const start = (box.top + y) * box.size + box.left;
    for (let x = 0; x < width; x++) {
      const reach = Math.min(columns.reach, box.innerWidth - columns.starts[x]);
      let sum = 0;
      for (let i = 0; i < reach; i++) {
        sum += plane[start + columns.starts[x] + i] * columns.values[x * columns.reach + i];
      }
      wide[y * width + x] = sum;
    }
  }
  const row = new Float32Array(width);
  for (let y = 0; y < height; y++) {
    row.fill(0);
    const reach = Math.min(rows.reach, box.innerHeight - rows.starts[y]);
    for (let i = 0; i < reach; i++) {
      const weight = rows.values[y * rows.reach + i];
      if (weight === 0) continue;
      const start = (rows.starts[y] + i) * width;
      for (let x = 0; x < width; x++) row[x] += wide[start + x] * weight;
    }
    yield row;
  }
}

/** A square plane, scaled to another side. */
export function enlarged(plane: Float32Array, side: number, size: number): Float32Array {
  const result = new Float32Array(size * size);
  let at = 0;
  for (const row of restored(plane, new Letterbox(side, side, side), [0, 0, size, size])) {
    result.set(row, at);
    at += size;
  }
  return result;
}
