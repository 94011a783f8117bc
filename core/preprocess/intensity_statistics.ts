/**
 * Statistics of the intensities sampled from all cases, exact over all draws, in bounded memory: runs of different values are merged as
 * they come, and go to a scratch file when they become too many. Source: DatasetFingerprintExtractor.run in
 * nnunetv2/experiment_planning/dataset_fingerprint/fingerprint_extractor.py.
 */
import { createScratch, type HiddenFile } from "../base/leftovers.ts";
import { writeAll, writeError } from "../base/files.ts";
import type { IntensityProperties } from "../plan/plans.ts";
import { mergeRuns, type SampledIntensities, type SampleRun, valueOf } from "./intensity_samples.ts";

/** One channel's samples so far. */
export interface IntensityCollector extends AsyncDisposable {
  /** @param index The case's place among all: cases may come in any order, and the sums are those of one order */
  add(samples: SampledIntensities, index: number): Promise<void>;
  /** Upstream's numbers over all draws; null if there was none. */
  statistics(): Promise<IntensityProperties | null>;
}

/** Different values (8 bytes each) that are kept in memory. */
const ENTRIES_IN_MEMORY = 4 << 20;

interface Moments {
  readonly draws: number;
  readonly mean: number;
  /** Sum of squared differences from the mean. */
  readonly squares: number;
}

/** Chan's formula for joined means and squares. Rounded, it depends on the order. */
function joinMoments(cases: readonly Moments[]): Moments {
  let [draws, mean, squares] = [0, 0, 0];
  for (const one of cases) {
    const total = draws + one.draws;
    const difference = one.mean - mean;
    squares += one.squares + difference * difference * draws * (one.draws / total);
    mean += difference * (one.draws / total);
    draws = total;
  }
  return { draws, mean, squares };
}

/**
 * @param scratchFolder Where a file is made if memory does not suffice; it is removed on disposal.
 * @param entries Different values that may be in memory.
 */
export function createIntensityCollector(scratchFolder: string, entries = ENTRIES_IN_MEMORY): IntensityCollector {
  // Runs from the largest to the smallest, each at least twice the next: every value is merged a few times only.
  const runs: SampleRun[] = [];
  const moments: (Moments & { readonly index: number })[] = [];
  let caseWithout = false;
  let scratch: ScratchRuns | undefined;

  const joinLast = () => {
    const [a, b] = runs.splice(-2);
    runs.push(mergeRuns(a, b));
  };
  return {
    async add(samples, index) {
      if (samples.draws === 0) {
        caseWithout = true;
        return;
      }
      moments.push({ index, draws: samples.draws, mean: samples.mean, squares: samples.squares });
      runs.push({ codes: samples.codes, counts: samples.counts });
      while (runs.length > 1 && runs[runs.length - 2].codes.length < 2 * runs[runs.length - 1].codes.length) joinLast();
      if (runs.reduce((sum, run) => sum + run.codes.length, 0) <= entries) return;
      while (runs.length > 1) joinLast();
      if (runs[0].codes.length <= entries / 2) return; // they were mostly the same values
      scratch ??= openScratch(scratchFolder);
      await scratch.append(runs[0]);
      runs.length = 0;
    },
    async statistics() {
      if (moments.length === 0) return null;
      const { draws, mean, squares } = joinMoments(moments.toSorted((a, b) => a.index - b.index));
      while (runs.length > 1) joinLast();
      const ranks = [0, ...PERCENTILES.flatMap((percent) => neighbours(draws, percent)), draws - 1];
      const values = (await select(() => allRuns(runs, scratch), ranks)).map(valueOf);
      // numpy subtracts neighbours as float32, unless a case without foreground has made all of them float64.
      const round = caseWithout ? (value: number) => value : Math.fround;
      const [low, median, high] = PERCENTILES.map((percent, i) => {
        const [a, b] = values.slice(1 + 2 * i, 3 + 2 * i);
        const position = (draws - 1) * (percent / 100);
        const t = position - Math.floor(position);
        const step = round(b - a);
        return t < 0.5 ? a + step * t : b - step * (1 - t);
      });
      return {
        max: values[values.length - 1],
        mean,
        median,
        min: values[0],
        percentile_00_5: low,
        percentile_99_5: high,
        std: Math.sqrt(squares / draws),
      };
    },
    [Symbol.asyncDispose]: async () => await scratch?.[Symbol.asyncDispose](),
  };
}

const PERCENTILES = [0.5, 50, 99.5];

/** Ranks of the two values between which a percentile lies. */
function neighbours(draws: number, percent: number): [number, number] {
  const below = Math.floor((draws - 1) * (percent / 100));
  return [below, Math.min(below + 1, draws - 1)];
}

type Runs = AsyncIterable<SampleRun>;

async function* allRuns(runs: readonly SampleRun[], scratch: ScratchRuns | undefined): Runs {
  yield* runs;
  if (scratch) yield* scratch.read();
}

/** Codes of the draws at `ranks` (from 0) of all draws in ascending order: by the upper 16 bits first, then by the lower. */
async function select(all: () => Runs, ranks: readonly number[]): Promise<number[]> {
  const upper = new Float64Array(1 << 16);
  for await (const { codes, counts } of all()) {
    for (let i = 0; i < codes.length; i++) upper[codes[i] >>> 16] += counts[i];
  }
  const places = ranks.map((rank) => locate(upper, rank));
  const lower = new Map(places.map(({ bin }) => [bin, new Float64Array(1 << 16)]));
  for await (const { codes, counts } of all()) {
    let table: Float64Array | undefined;
    let bin = -1;
    for (let i = 0; i < codes.length; i++) {
      if (codes[i] >>> 16 !== bin) {
        bin = codes[i] >>> 16;
        table = lower.get(bin);
      }
      if (table) table[codes[i] & 0xffff] += counts[i];
    }
  }
  return places.map(({ bin, rest }) => {
    const table = lower.get(bin);
    if (!table) throw new RangeError(`no table of bin ${bin}`);
    return (bin * 65536) + locate(table, rest).bin;
  });
}

/** The bin that holds the draw at `rank`, and its rank within. */
function locate(histogram: Float64Array, rank: number): { bin: number; rest: number } {
  let rest = rank;
  for (let bin = 0; bin < histogram.length; bin++) {
    if (rest < histogram[bin]) return { bin, rest };
    rest -= histogram[bin];
  }
  throw new RangeError(`there is no draw of rank ${rank}`);
}

interface ScratchRuns extends AsyncDisposable {
  append(run: SampleRun): Promise<void>;
  /** Pieces of the runs; within one, codes ascend. */
  read(): Runs;
}

const PIECE_ENTRIES = 1 << 17;

const SCRATCH_DOING = "keeping sampled intensities in a scratch file";

function makeScratch(folder: string): HiddenFile {
  try {
    return createScratch(folder, "intensities-", "tmp");
  } catch (error) {
    throw writeError(error, folder, SCRATCH_DOING);
  }
}

/** @throws UserError if it can't be made, as `append` if it can't be written */
function openScratch(folder: string): ScratchRuns {
  const { file, path } = makeScratch(folder);
  const lengths: number[] = [];
  const bytes = (array: Uint32Array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  return {
    async append({ codes, counts }) {
      try {
        await file.seek(0, Deno.SeekMode.End);
        for (let from = 0; from < codes.length; from += PIECE_ENTRIES) {
          const to = Math.min(codes.length, from + PIECE_ENTRIES);
          await writeAll(file, bytes(codes.subarray(from, to)));
          await writeAll(file, bytes(counts.subarray(from, to)));
          lengths.push(to - from);
        }
      } catch (error) {
        throw writeError(error, path, SCRATCH_DOING, codes.byteLength + counts.byteLength);
      }
    },
    async *read() {
      await file.seek(0, Deno.SeekMode.Start);
      for (const length of lengths) {
        const both = new Uint32Array(2 * length);
        const target = bytes(both);
        for (let got = 0; got < target.length;) {
          const more = await file.read(target.subarray(got));
          if (more === null) throw new Error(`${path} ends too early`);
          got += more;
        }
        yield { codes: both.subarray(0, length), counts: both.subarray(length) };
      }
    },
    [Symbol.asyncDispose]: async () => {
      file.close();
      await Deno.remove(path);
    },
  };
}
