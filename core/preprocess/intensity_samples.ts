/**
 * The intensities sampled from one case's foreground, as values and how often each was drawn: upstream keeps every draw (10^8 for a
 * dataset and channel), of which few differ. Source: collect_foreground_intensities in
 * nnunetv2/experiment_planning/dataset_fingerprint/fingerprint_extractor.py.
 */
import { createRandomState } from "../base/numpy_random.ts";

/** Different values ascending, as codes (see {@link codeOf}), and the draws of each. */
export interface SampleRun {
  readonly codes: Uint32Array;
  readonly counts: Uint32Array;
}

/** One channel of one case. */
export interface SampledIntensities extends SampleRun {
  /** Draws; 0 if the case has no foreground. */
  readonly draws: number;
  readonly mean: number;
  /** Sum of squared differences from the mean. */
  readonly squares: number;
}

/** Upstream's seed; every case begins with it, and its channels go on in one stream. */
const SEED = 1234;
/** A range of whole numbers up to this wide is counted in a table, without sorting. */
const TABLE_SIZE = 1 << 16;

const bits = new DataView(new ArrayBuffer(4));

/** A float32's bits as a number that grows with its value; -0 is taken for 0. */
export function codeOf(value: number): number {
  bits.setFloat32(0, value + 0);
  const word = bits.getInt32(0);
  return (word ^ ((word >> 31) | 0x80000000)) >>> 0;
}

/** The float32 of a code. */
export function valueOf(code: number): number {
  bits.setUint32(0, code & 0x80000000 ? code ^ 0x80000000 : ~code);
  return bits.getFloat32(0);
}

/**
 * Draws `draws` times from the foreground of every channel, with replacement and upstream's random numbers.
 * @param data (channels, z, y, x)
 * @param foreground Elements of the foreground within a channel, ascending
 */
export function sampleIntensities(
  data: Float32Array,
  channels: number,
  foreground: Uint32Array,
  draws: number,
): SampledIntensities[] {
  const random = createRandomState(SEED);
  const voxels = data.length / channels;
  const values = new Float32Array(foreground.length);
  const results: SampledIntensities[] = [];
  for (let c = 0; c < channels; c++) {
    if (foreground.length === 0) {
      results.push({ codes: new Uint32Array(0), counts: new Uint32Array(0), draws: 0, mean: 0, squares: 0 });
      continue;
    }
    const channel = data.subarray(c * voxels, (c + 1) * voxels);
    for (let i = 0; i < values.length; i++) values[i] = channel[foreground[i]];
    const counts = new Uint32Array(values.length);
    random.countDraws(counts, draws);
    results.push(summarise(values, counts, draws));
  }
  return results;
}

function summarise(values: Float32Array, counts: Uint32Array, draws: number): SampledIntensities {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += counts[i] * values[i];
  const mean = sum / draws;
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += counts[i] * (values[i] - mean) * (values[i] - mean);
  return { ...(tabulate(values, counts) ?? sortRun(values, counts)), draws, mean, squares };
}

/** The run of values that are whole numbers close together; null for others. */
function tabulate(values: Float32Array, counts: Uint32Array): SampleRun | null {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value !== Math.round(value)) return null;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (!(high - low < TABLE_SIZE)) return null;
  const table = new Uint32Array(high - low + 1);
  for (let i = 0; i < values.length; i++) table[values[i] - low] += counts[i];
  let size = 0;
  for (let i = 0; i < table.length; i++) if (table[i] > 0) size++;
  const run = { codes: new Uint32Array(size), counts: new Uint32Array(size) };
  let at = 0;
  for (let i = 0; i < table.length; i++) {
    if (table[i] === 0) continue;
    run.codes[at] = codeOf(low + i);
    run.counts[at++] = table[i];
  }
  return run;
}

function sortRun(values: Float32Array, counts: Uint32Array): SampleRun {
  let size = 0;
  for (let i = 0; i < counts.length; i++) if (counts[i] > 0) size++;
  let codes = new Uint32Array(size);
  let drawn = new Uint32Array(size);
  const words = new Int32Array(values.buffer, values.byteOffset, values.length);
  let at = 0;
  for (let i = 0; i < values.length; i++) {
    if (counts[i] === 0) continue;
    const word = words[i] === -0x80000000 ? 0 : words[i]; // -0
    codes[at] = word ^ ((word >> 31) | 0x80000000);
    drawn[at++] = counts[i];
  }
  let otherCodes = new Uint32Array(size);
  let otherDrawn = new Uint32Array(size);
  // Least significant digit first, 11 bits at a time.
  for (const shift of [0, 11, 22]) {
    const starts = new Uint32Array(2049);
    for (let i = 0; i < size; i++) starts[((codes[i] >>> shift) & 2047) + 1]++;
    for (let digit = 0; digit < 2048; digit++) starts[digit + 1] += starts[digit];
    for (let i = 0; i < size; i++) {
      const at = starts[(codes[i] >>> shift) & 2047]++;
      otherCodes[at] = codes[i];
      otherDrawn[at] = drawn[i];
    }
    [codes, otherCodes] = [otherCodes, codes];
    [drawn, otherDrawn] = [otherDrawn, drawn];
  }
  return joinEqual(codes, drawn);
}

/** Joins equal neighbours. The arrays are overwritten. */
function joinEqual(codes: Uint32Array, counts: Uint32Array): SampleRun {
  let size = 0;
  for (let i = 0; i < codes.length; i++) {
    if (size > 0 && codes[size - 1] === codes[i]) counts[size - 1] += counts[i];
    else {
      codes[size] = codes[i];
      counts[size++] = counts[i];
    }
  }
  return { codes: codes.slice(0, size), counts: counts.slice(0, size) };
}

/** Both runs as one. */
export function mergeRuns(a: SampleRun, b: SampleRun): SampleRun {
  const codes = new Uint32Array(a.codes.length + b.codes.length);
  const counts = new Uint32Array(codes.length);
  let [i, j, size] = [0, 0, 0];
  while (i < a.codes.length && j < b.codes.length) {
    const [x, y] = [a.codes[i], b.codes[j]];
    codes[size] = x < y ? x : y;
    counts[size++] = (x <= y ? a.counts[i++] : 0) + (y <= x ? b.counts[j++] : 0);
  }
  for (; i < a.codes.length; i++) {
    codes[size] = a.codes[i];
    counts[size++] = a.counts[i];
  }
  for (; j < b.codes.length; j++) {
    codes[size] = b.codes[j];
    counts[size++] = b.counts[j];
  }
  return { codes: codes.slice(0, size), counts: counts.slice(0, size) };
}
