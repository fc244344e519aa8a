/** What hangs together in a mask, along rows and columns: petseg/pixels/polygons.py. */

/** A mask of some columns. */
export interface Grid {
  width: number;
  height: number;
  on: Uint8Array;
}

/** For each cell the number of its region, 0 for none; and the sizes of the regions, from number 1 on. */
export function regions({ width, height, on }: Grid): { numbers: Int32Array; sizes: number[] } {
  const numbers = new Int32Array(on.length);
  const sizes = [0];
  const waiting = new Int32Array(on.length);
  /** Let a cell wait if it is on and has no number; returns how many wait. */
  const mark = (cell: number, number: number, count: number): number => {
    if (!on[cell] || numbers[cell]) return count;
    numbers[cell] = number;
    waiting[count] = cell;
    return count + 1;
  };
  for (let first = 0; first < on.length; first++) {
    if (!on[first] || numbers[first]) continue;
    const number = sizes.length;
    let [count, size] = [1, 0];
    waiting[0] = first;
    numbers[first] = number;
    while (count) {
      const at = waiting[--count];
      const x = at % width;
      size++;
      // Beyond the ends of a row, and of the grid, there is nothing.
      if (x > 0) count = mark(at - 1, number, count);
      if (x < width - 1) count = mark(at + 1, number, count);
      if (at >= width) count = mark(at - width, number, count);
      if (at < width * (height - 1)) count = mark(at + width, number, count);
    }
    sizes.push(size);
  }
  return { numbers, sizes };
}

/** The region at a place in cells; nothing where the mask is off there. */
export function regionAt(grid: Grid, x: number, y: number): Uint8Array {
  const { numbers } = regions(grid);
  const column = Math.min(grid.width - 1, Math.max(0, Math.trunc(x)));
  const row = Math.min(grid.height - 1, Math.max(0, Math.trunc(y)));
  const number = numbers[row * grid.width + column];
  return number ? Uint8Array.from(numbers, (one) => Number(one === number)) : new Uint8Array(numbers.length);
}

/** How many steps each cell is from the nearest one that is off, or from the edge. */
export function depths({ width, height, on }: Grid): Int32Array {
  const result = new Int32Array(on.length);
  for (let left = on; left.some(Boolean); ) {
    const before = left;
    left = before.map((one, at) => {
      const x = at % width;
      const inside = x > 0 && x < width - 1 && at >= width && at < width * (height - 1);
      result[at] += one;
      return Number(
        one && inside && before[at - 1] && before[at + 1] && before[at - width] && before[at + width],
      );
    });
  }
  return result;
}
