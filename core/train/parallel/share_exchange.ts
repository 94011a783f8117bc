/**
 * What the shares of a batch exchange, through memory that their threads share. Every share has a place of its own for its gradients; each
 * adds up a slice of all places, in the order of the shares, so that the sum has the same bits however fast they are.
 * A barrier is a count of arrivals. Whoever fails leaves it open for good, so that nobody waits for what never comes.
 */
import type { ShareExchange, ShareNeeds } from "../../engine/training.ts";
import { splitBatch } from "../../graph/batch_share.ts";

/** Crosses to the shares' threads as it is. */
export interface ShareMemory {
  readonly shares: number;
  /** Samples of the whole batch, and numbers of each. */
  readonly of: number;
  readonly needs: ShareNeeds;
  /** i32: see {@link CONTROL}. */
  readonly control: SharedArrayBuffer;
  /** f32 [2][of][rowFloats]: one is written while the other may be read. */
  readonly rows: SharedArrayBuffer;
  /** By bucket: f32 [shares][floats]. */
  readonly buckets: readonly SharedArrayBuffer[];
  /** f64 [buckets][shares]: of the slice of the sum that each share has added up. */
  readonly squares: SharedArrayBuffer;
}

/** Arrivals of all, whether one has failed, and from the third on each share's own arrivals. */
const CONTROL = { arrived: 0, failed: 1, own: 2 } as const;
/** More arrivals than there can be: eight shares of the default network arrive here in some 70,000 epochs. */
const OPEN = 2 ** 30;

/** Bytes that the shares of a batch exchange. */
export function shareBytes(needs: ShareNeeds, { shares, of }: Pick<ShareMemory, "shares" | "of">): number {
  const floats = needs.bucketFloats.reduce((a, b) => a + b, 0);
  return 4 * (shares * floats + 2 * of * needs.rowFloats) + 8 * shares * needs.bucketFloats.length;
}

/** @throws RangeError where memory is short */
export function createShareMemory(needs: ShareNeeds, { shares, of }: Pick<ShareMemory, "shares" | "of">): ShareMemory {
  const shared = (floats: number) => new SharedArrayBuffer(floats * 4);
  return {
    shares,
    of,
    needs,
    control: shared(CONTROL.own + shares),
    rows: shared(2 * of * needs.rowFloats),
    buckets: needs.bucketFloats.map((floats) => shared(shares * floats)),
    squares: new SharedArrayBuffer(8 * shares * needs.bucketFloats.length),
  };
}

/** Ends the waiting of all shares, now and later: they throw {@link ShareFailed}. */
export function failShares({ control }: ShareMemory): void {
  const words = new Int32Array(control);
  if (Atomics.compareExchange(words, CONTROL.failed, 0, 1) !== 0) return;
  Atomics.add(words, CONTROL.arrived, OPEN);
  Atomics.notify(words, CONTROL.arrived);
}

/** Those of the shares that have come the least far: the others wait for them. */
export function lastShares({ control }: ShareMemory, shares: readonly number[]): number[] {
  const words = new Int32Array(control);
  const arrivals = shares.map((share) => Atomics.load(words, CONTROL.own + share));
  return shares.filter((_, i) => arrivals[i] === Math.min(...arrivals));
}

/** Another share failed, and what it failed of is to be told rather than this. */
export class ShareFailed extends Error {
  override readonly name = "ShareFailed";
  constructor() {
    super("Training on several GPUs: another of them failed");
  }
}

/** A share's part of the exchange, for the thread that computes it. @param number Of the share, from 0 on */
export function joinShares(memory: ShareMemory, number: number): ShareExchange {
  const { first, batch } = splitBatch(memory.of, memory.shares)[number];
  const { shares, of, needs: { rowFloats, bucketFloats }, control } = memory;
  const words = new Int32Array(control);
  const rows = new Float32Array(memory.rows);
  const squares = new Float64Array(memory.squares);
  const places = memory.buckets.map((bucket, i) =>
    Array.from({ length: shares }, (_, share) => {
      return new Float32Array(bucket, share * bucketFloats[i] * 4, bucketFloats[i]);
    })
  );
  let barriers = 0;
  let gathered = 0;

  /** Waits until all shares have come here. */
  async function meet(): Promise<void> {
    const wanted = ++barriers * shares;
    Atomics.add(words, CONTROL.own + number, 1);
    Atomics.add(words, CONTROL.arrived, 1);
    Atomics.notify(words, CONTROL.arrived);
    for (;;) {
      // In this order: a failure that comes in between is another count of arrivals.
      const arrived = Atomics.load(words, CONTROL.arrived);
      if (Atomics.load(words, CONTROL.failed) !== 0) throw new ShareFailed();
      if (arrived >= wanted) return;
      const waiting = Atomics.waitAsync(words, CONTROL.arrived, arrived);
      if (waiting.async) await waiting.value;
    }
  }

  return {
    async gather(own) {
      const half = gathered++ % 2 * of * rowFloats;
      const width = own.length / batch;
      rows.set(own, half + first * width);
      await meet();
      return rows.slice(half, half + of * width);
    },
    place: (bucket) => places[bucket][number],
    async sum(bucket) {
      await meet();
      const floats = bucketFloats[bucket];
      const cut = (share: number) => Math.floor(floats * share / shares);
      squares[bucket * shares + number] = addInOrder(places[bucket], cut(number), cut(number + 1));
      await meet();
      const ofSlices = squares.subarray(bucket * shares, (bucket + 1) * shares);
      return { values: places[bucket][0], squares: ofSlices.reduce((a, b) => a + b, 0) };
    },
  };
}

/** Elements that are added up before the next ones are: what a processor's cache holds of two arrays. */
const BLOCK = 4096;

/** Adds elements [start, end) of all arrays, one after the other, into the first one. @returns the sum of their squares */
export function addInOrder(arrays: readonly Float32Array[], start: number, end: number): number {
  // Four sums, none of which waits for another.
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let from = start; from < end; from += BLOCK) {
    const [first, ...others] = arrays.map((array) => array.subarray(from, Math.min(from + BLOCK, end)));
    for (const other of others) {
      for (let i = 0; i < first.length; i++) first[i] += other[i];
    }
    const whole = first.length & ~3;
    for (let i = 0; i < whole; i += 4) {
      a += first[i] * first[i];
      b += first[i + 1] * first[i + 1];
      c += first[i + 2] * first[i + 2];
      d += first[i + 3] * first[i + 3];
    }
    for (let i = whole; i < first.length; i++) a += first[i] * first[i];
  }
  return a + b + (c + d);
}
