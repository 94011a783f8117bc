/**
 * Mean, standard deviation, median and range of an image's values in each class of a label volume, without a copy of either. The median is
 * exact: values are counted by the upper half of their bits, and those in its bin by the lower half.
 */
export interface Intensities {
  /** Of the class; those that are NaN or infinite are in none of the numbers. */
  readonly excluded: number;
  /** Of the finite values; absent where there is none. */
  readonly values?: {
    readonly mean: number;
    readonly median: number;
    /** As numpy.std: of the values themselves, not of what they are drawn from. */
    readonly std: number;
    readonly min: number;
    readonly max: number;
  };
}

/** What the values are measured in. */
export interface MeasuredClasses {
  /** Consecutive numbers of labels by voxel; 0 belongs to no class. */
  readonly data: Uint8Array | Uint16Array;
  /** By class: 1 for the numbers that make it up. */
  readonly members: readonly Uint8Array[];
  /** How many numbers there are. */
  readonly numbers: number;
}

/** Classes whose medians are looked for at a time. */
const GROUP = 64;
const BINS = 1 << 16;
/** Bytes that measuring takes, whatever the image: bins of a group's classes, and of the two values that each median lies between. */
export function intensityBytes(classes: number): number {
  return 3 * Math.min(GROUP, classes) * BINS * 4;
}

/** Voxels whose sum is taken before it is added to the others', so that rounding grows with neither. */
const BLOCK = 1 << 14;
/** The bits of a float's exponent: all set for NaN and infinite values. */
const EXPONENT = 0x7f800000;

/** @param image One channel, of the classes' grid. @returns one for each class */
export function measureIntensities(image: Float32Array, classes: MeasuredClasses): Intensities[] {
  const range = nonzeroRange(classes.data);
  const bits = new Int32Array(image.buffer, image.byteOffset, image.length);
  const moments = momentsByNumber(image, bits, classes, range);
  const merged = classes.members.map((of) => mergeMoments(moments, of));
  const medians = new Float64Array(merged.length);
  const present = merged.flatMap(({ count }, index) => count > 0 ? [index] : []);
  for (let from = 0; from < present.length; from += GROUP) {
    const group = present.slice(from, from + GROUP);
    const counts = group.map((index) => merged[index].count);
    findMedians(bits, classes, group, counts, range).forEach((median, i) => medians[group[i]] = median);
  }
  return merged.map(({ count, excluded, mean, squares, min, max }, index) => ({
    excluded,
    ...(count > 0 && { values: { mean, median: medians[index], std: Math.sqrt(squares / count), min, max } }),
  }));
}

type Range = readonly [from: number, to: number];

/** From the first voxel that is not 0 to behind the last. */
function nonzeroRange(data: Uint8Array | Uint16Array): Range {
  let [from, to] = [0, data.length];
  while (from < to && data[from] === 0) from++;
  while (to > from && data[to - 1] === 0) to--;
  return [from, to];
}

/** By number. */
interface Moments {
  readonly count: Float64Array;
  readonly excluded: Float64Array;
  readonly mean: Float64Array;
  /** Sums of squared distances from the mean. */
  readonly squares: Float64Array;
  readonly min: Float64Array;
  readonly max: Float64Array;
}

function momentsByNumber(
  image: Float32Array,
  bits: Int32Array,
  { data, numbers }: MeasuredClasses,
  range: Range,
): Moments {
  const zeros = () => new Float64Array(numbers);
  const [count, excluded, sum, squares, part] = [zeros(), zeros(), zeros(), zeros(), zeros()];
  const [min, max] = [zeros().fill(Infinity), zeros().fill(-Infinity)];
  inBlocks(range, sum, part, (from, to) => {
    for (let i = from; i < to; i++) {
      const number = data[i];
      if (number === 0) continue;
      if ((bits[i] & EXPONENT) === EXPONENT) {
        excluded[number]++;
        continue;
      }
      const value = image[i];
      count[number]++;
      part[number] += value;
      if (value < min[number]) min[number] = value;
      if (value > max[number]) max[number] = value;
    }
  });
  const mean = sum.map((total, number) => count[number] > 0 ? total / count[number] : 0);
  inBlocks(range, squares, part, (from, to) => {
    for (let i = from; i < to; i++) {
      const number = data[i];
      if (number === 0 || (bits[i] & EXPONENT) === EXPONENT) continue;
      const distance = image[i] - mean[number];
      part[number] += distance * distance;
    }
  });
  return { count, excluded, mean, squares, min, max };
}

/** Has `part` filled for each block, and adds it to `total`. */
function inBlocks(
  [start, end]: Range,
  total: Float64Array,
  part: Float64Array,
  add: (from: number, to: number) => void,
) {
  for (let from = start; from < end; from += BLOCK) {
    add(from, Math.min(end, from + BLOCK));
    for (let number = 0; number < part.length; number++) total[number] += part[number];
    part.fill(0);
  }
}

/** Of several numbers together. */
function mergeMoments({ count, excluded, mean, squares, min, max }: Moments, of: Uint8Array) {
  const merged = { count: 0, excluded: 0, mean: 0, squares: 0, min: Infinity, max: -Infinity };
  let sum = 0;
  for (let number = 0; number < of.length; number++) {
    if (of[number] === 0) continue;
    merged.count += count[number];
    merged.excluded += excluded[number];
    sum += mean[number] * count[number];
    merged.min = Math.min(merged.min, min[number]);
    merged.max = Math.max(merged.max, max[number]);
  }
  if (merged.count === 0) return merged;
  merged.mean = sum / merged.count;
  for (let number = 0; number < of.length; number++) {
    if (of[number] === 0) continue;
    merged.squares += squares[number] + count[number] * (mean[number] - merged.mean) ** 2;
  }
  return merged;
}

/** A value that is looked for: the class (within its group), its rank, and the upper half of its bits. */
interface Query {
  readonly member: number;
  readonly rank: number;
  readonly upper: number;
}

/** @param group Indices of classes. @param counts Of their finite values, 1 or more each */
function findMedians(
  bits: Int32Array,
  { data, members, numbers }: MeasuredClasses,
  group: readonly number[],
  counts: readonly number[],
  range: Range,
): number[] {
  const membersOf = Array.from(
    { length: numbers },
    (_, number) => Uint8Array.from(group.flatMap((index, member) => members[index][number] ? [member] : [])),
  );
  const bins = new Uint32Array(group.length * BINS);
  for (let i = range[0]; i < range[1]; i++) {
    const of = membersOf[data[i]];
    if (of.length === 0 || (bits[i] & EXPONENT) === EXPONENT) continue;
    const upper = keyOf(bits[i]) >>> 16;
    for (let k = 0; k < of.length; k++) bins[of[k] * BINS + upper]++;
  }
  // The two values in the middle, or twice the same one.
  const queries: Query[] = counts.flatMap((count, member) =>
    [(count - 1) >>> 1, count >>> 1].map((rank) => ({ member, ...findBin(bins, member * BINS, rank) }))
  );
  // Both middle values are most often in one bin, which is counted once.
  const lists = new Map<string, number>();
  for (const { member, upper } of queries) {
    if (!lists.has(`${member} ${upper}`)) lists.set(`${member} ${upper}`, lists.size);
  }
  const fine = new Uint32Array(lists.size * BINS);
  const wanted = membersOf.map((of) => {
    const keys = [...lists].filter(([key]) => of.includes(Number(key.split(" ")[0])));
    return {
      upper: Uint32Array.from(keys, ([key]) => Number(key.split(" ")[1])),
      start: Uint32Array.from(keys, ([, list]) => list * BINS),
    };
  });
  for (let i = range[0]; i < range[1]; i++) {
    const { upper, start } = wanted[data[i]];
    if (upper.length === 0 || (bits[i] & EXPONENT) === EXPONENT) continue;
    const key = keyOf(bits[i]);
    for (let k = 0; k < upper.length; k++) if (upper[k] === key >>> 16) fine[start[k] + (key & 0xffff)]++;
  }
  const values = queries.map(({ member, rank, upper }) => {
    const start = (lists.get(`${member} ${upper}`) ?? 0) * BINS;
    return valueOf((upper << 16 | findBin(fine, start, rank).upper) >>> 0);
  });
  return group.map((_, member) => (values[2 * member] + values[2 * member + 1]) / 2);
}

/** The bin that the value of a rank is in, and its rank among those in there. */
function findBin(bins: Uint32Array, start: number, rank: number): { readonly upper: number; readonly rank: number } {
  let left = rank;
  let bin = 0;
  while (left >= bins[start + bin]) left -= bins[start + bin++];
  return { upper: bin, rank: left };
}

/** A number of 32 bits that grows with the finite value of these bits. */
function keyOf(bits: number): number {
  return (bits < 0 ? ~bits : bits ^ 0x80000000) >>> 0;
}

/** The value of a key; 0 is never negative. */
function valueOf(key: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, key >= 0x80000000 ? key ^ 0x80000000 : ~key);
  return view.getFloat32(0) + 0;
}
