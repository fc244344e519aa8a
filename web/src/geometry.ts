/** Where the pixels of a photo lie in a model's square, and back: petseg/pixels/geometry.py. */

export type Point = readonly [x: number, y: number];
/** x0, y0, x1, y1 in pixels, ends exclusive. */
export type Region = readonly [x0: number, y0: number, x1: number, y1: number];

/** Rounds halves to even numbers, as Python does. */
export function round(value: number): number {
  const floor = Math.floor(value);
  const over = value - floor;
  return over < 0.5 || (over === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}

export const clip = (value: number, low: number, high: number): number =>
  Math.min(high, Math.max(low, value));

/** A photo, or a region of it, scaled to fit a square and centred in it. */
export class Letterbox {
  readonly left: number;
  readonly top: number;
  readonly innerWidth: number;
  readonly innerHeight: number;

  constructor(
    readonly width: number,
    readonly height: number,
    readonly size: number,
    readonly region: Region = [0, 0, width, height],
  ) {
    const [x0, y0, x1, y1] = region;
    const scale = size / Math.max(x1 - x0, y1 - y0);
    this.innerWidth = Math.max(1, round((x1 - x0) * scale));
    this.innerHeight = Math.max(1, round((y1 - y0) * scale));
    this.left = Math.floor((size - this.innerWidth) / 2);
    this.top = Math.floor((size - this.innerHeight) / 2);
  }

  get whole(): boolean {
    const [x0, y0, x1, y1] = this.region;
    return x0 === 0 && y0 === 0 && x1 === this.width && y1 === this.height;
  }

  /** Pixels of the square to one of the photo, in x and y. */
  get scale(): Point {
    const [x0, y0, x1, y1] = this.region;
    return [this.innerWidth / (x1 - x0), this.innerHeight / (y1 - y0)];
  }

  contains([x, y]: Point): boolean {
    const [x0, y0, x1, y1] = this.region;
    return x >= x0 && y >= y0 && x <= x1 && y <= y1;
  }

  toModel([x, y]: Point): Point {
    const [across, down] = this.scale;
    return [(x - this.region[0]) * across + this.left, (y - this.region[1]) * down + this.top];
  }

  toImage([x, y]: Point): Point {
    const [across, down] = this.scale;
    return [(x - this.left) / across + this.region[0], (y - this.top) / down + this.region[1]];
  }

  /** Whether an index of the square's pixels shows the region. */
  shows(index: number): boolean {
    const x = (index % this.size) - this.left;
    const y = Math.floor(index / this.size) - this.top;
    return x >= 0 && y >= 0 && x < this.innerWidth && y < this.innerHeight;
  }

  /** Indices of the square's pixels that show the region, row by row. */
  *rows(): Generator<[start: number, end: number]> {
    for (let y = this.top; y < this.top + this.innerHeight; y++) {
      const start = y * this.size + this.left;
      yield [start, start + this.innerWidth];
    }
  }

  /** The corners in the photo of what fulfils a condition in the square; null if nothing does. */
  bounds(wanted: (index: number) => boolean): [Point, Point] | null {
    let [left, top, right, bottom] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, -1, -1];
    for (const [start, end] of this.rows()) {
      for (let index = start; index < end; index++) {
        if (!wanted(index)) continue;
        const x = index % this.size;
        const y = Math.floor(index / this.size);
        [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
        [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
      }
    }
    return right < 0 ? null : [this.toImage([left, top]), this.toImage([right, bottom])];
  }

  /** What a plane of another letterbox of the photo says at this one's pixels, bilinear (PIL's AFFINE). */
  see(plane: Float32Array, of: Letterbox, outside: number): Float32Array {
    const scale = [of.scale[0] / this.scale[0], of.scale[1] / this.scale[1]];
    const shift = [
      (this.region[0] - of.region[0]) * of.scale[0] - this.left * scale[0],
      (this.region[1] - of.region[1]) * of.scale[1] - this.top * scale[1],
    ];
    const seen = new Float32Array(this.size * this.size).fill(outside);
    for (let y = 0; y < this.size; y++) {
      const down = (y + 0.5) * scale[1] + shift[1];
      if (down < 0 || down >= of.innerHeight) continue;
      const row = Math.floor(down - 0.5);
      const dy = down - 0.5 - row;
      const upper = (of.top + Math.max(0, row)) * of.size + of.left;
      const lower = (of.top + Math.min(of.innerHeight - 1, row + 1)) * of.size + of.left;
      for (let x = 0; x < this.size; x++) {
        const across = (x + 0.5) * scale[0] + shift[0];
        if (across < 0 || across >= of.innerWidth) continue;
        const column = Math.floor(across - 0.5);
        const dx = across - 0.5 - column;
        const [one, other] = [Math.max(0, column), Math.min(of.innerWidth - 1, column + 1)];
        const above = plane[upper + one] * (1 - dx) + plane[upper + other] * dx;
        const below = plane[lower + one] * (1 - dx) + plane[lower + other] * dx;
        seen[y * this.size + x] = above * (1 - dy) + below * dy;
      }
    }
    return seen;
  }
}
