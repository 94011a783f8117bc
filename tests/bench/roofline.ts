/** What the machine can do at most right now, on all threads of the engine's own workers: 128-bit fused multiply-adds, bytes moved. */
import { createStream } from "../../cpu/stream.ts";
import { f32x4, i64, v128 } from "../../kernels/wasm/emit/expression.ts";
import type { Kernel } from "../../kernels/wasm/emit/module_builder.ts";
import { distance, walk } from "../../kernels/wasm/elementwise/simd.ts";
import { emitModule } from "../../kernels/wasm/module.ts";

const CHAINS = 12;
const STEPS = 2_000_000;

/** Twelve independent chains of fused multiply-adds, enough to hide their latency. */
const fmaKernel: Kernel = {
  name: "fma",
  emit: (m) =>
    m.kernel("fma", (f, params, _item, scratch) => {
      const { steps } = f.readParams(params, { steps: "i32" });
      const factor = f.local("v128", f32x4.splat(0.999));
      const sums = Array.from({ length: CHAINS }, () => f.local("v128", f32x4.splat(1)));
      f.countdown(steps, () => sums.forEach((sum) => f.set(sum, f32x4.madd(sum, factor, factor))));
      sums.forEach((sum, i) => f.storeV128(scratch, sum, i * 16));
    }),
};

/** GFLOP/s of all threads together, the best of several runs; `now` gives milliseconds. */
export async function measureRoofline(threads: number, now = () => performance.now()): Promise<number> {
  await using stream = await createStream({ threads, module: emitModule([fmaKernel]) });
  const items = threads * 8;
  const call = {
    kernel: "fma",
    params: [{ type: "i32", value: STEPS } as const],
    items,
    scratchBytes: CHAINS * 16,
  };
  const encoded = stream.encode([{ call, addressOf: () => 0 }]);
  let best = Infinity;
  for (let i = 0; i < 6; i++) {
    const start = now();
    stream.submit(encoded, []);
    await stream.settled();
    best = Math.min(best, now() - start);
  }
  return items * STEPS * CHAINS * 8 / best / 1e6;
}

const MEBIBYTE = 2 ** 20;
/** Each of both arrays, in MiB. */
const STREAMED = 256;

/** to += from * 0.5, a MiB an item. */
const streamKernel: Kernel = {
  name: "stream_add",
  emit: (m) =>
    m.kernel("stream_add", (f, params, item) => {
      const p = f.readParams(params, { to: "address", from: "address" });
      const from = f.local("i64", i64.add(p.from, distance(item, i64.const(MEBIBYTE))));
      const to = f.local("i64", i64.add(p.to, distance(item, i64.const(MEBIBYTE))));
      const end = f.local("i64", i64.add(to, i64.const(MEBIBYTE)));
      walk(f, to, end, 64, () => {
        for (let i = 0; i < 64; i += 16) {
          f.storeV128(to, f32x4.add(v128.load(to, i), f32x4.mul(v128.load(from, i), f32x4.splat(0.5))), i);
        }
        f.add(from, 64);
      });
    }),
};

/** Bytes read and written, and the milliseconds of the best of several runs. */
export async function measureMemory(
  threads: number,
): Promise<{ readonly bytes: number; readonly milliseconds: number }> {
  await using stream = await createStream({ threads, module: emitModule([streamKernel]) });
  const { memory } = stream;
  const [to, from] = ["to", "from"].map((name) => memory.allocate(STREAMED * MEBIBYTE, name).address);
  // Pages that were never written read as one page of zeros, from the cache.
  for (const address of [to, from]) new Uint8Array(memory.memory.buffer, address, STREAMED * MEBIBYTE).fill(1);
  const params = [{ type: "address", slot: "to" }, { type: "address", slot: "from" }] as const;
  const call = { kernel: "stream_add", params, items: STREAMED, scratchBytes: 0 };
  const encoded = stream.encode([{ call, addressOf: (slot) => (slot === "to" ? to : from) }]);
  let best = Infinity;
  for (let i = 0; i < 6; i++) {
    const start = performance.now();
    stream.submit(encoded, []);
    await stream.settled();
    best = Math.min(best, performance.now() - start);
  }
  return { bytes: 3 * STREAMED * MEBIBYTE, milliseconds: best };
}
