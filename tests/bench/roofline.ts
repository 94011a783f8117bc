/** What the machine can do at most right now: 128-bit fused multiply-adds on all threads of the engine's own workers. */
import { createStream } from "../../cpu/stream.ts";
import { f32x4 } from "../../kernels/wasm/emit/expression.ts";
import type { Kernel } from "../../kernels/wasm/emit/module_builder.ts";
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

/** GFLOP/s of all threads together, the best of several runs. */
export async function measureRoofline(threads: number): Promise<number> {
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
    const start = performance.now();
    stream.submit(encoded, []);
    await stream.settled();
    best = Math.min(best, performance.now() - start);
  }
  return items * STEPS * CHAINS * 8 / best / 1e6;
}
