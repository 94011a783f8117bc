/** Four numbers in 64 bits and back: the step is as fine as 14 bits allow, of any magnitude; what is no number is not lost. */
import { dispatchOf, kernelHeader } from "../../kernels/wgsl/emit/thread_kernel.ts";
import { wholeView } from "../../kernels/wgsl/emit/views.ts";
import { BLOCKS } from "../../kernels/wgsl/conv/tile_storage.ts";
import { randomValues } from "../../core/cases/random_data.ts";
import { assert, assertEquals } from "../assert.ts";
import { gpuPresent, runWgsl } from "./run_wgsl_operator.ts";

/** What comes back of blocks of four. */
async function throughBlocks(values: Float32Array<ArrayBuffer>): Promise<Float32Array> {
  const views = [wholeView("values", "values", "vec4<f32>", "read_write")];
  const header = kernelHeader(views, { start: 0, end: values.length / 4 });
  const code = `${header.text}
${BLOCKS.functions}
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) group: vec3u) {
  let stored: ${BLOCKS.element} = ${BLOCKS.pack("load_values(group.x)")};
  store_values(group.x, ${BLOCKS.unpack("stored")});
}`;
  const dispatch = dispatchOf("blocks", header, [values.length / 4, 1, 1], code);
  const array = values.slice();
  const report = { algorithm: "blocks", temporaries: {}, flops: 0, bytes: 0 };
  await runWgsl({ ...report, dispatches: [dispatch] }, { values: { array } });
  return array;
}

Deno.test({
  name: "a block of four numbers keeps each to half of a step, which is at most 1.25 / 8191 of the largest",
  ignore: !gpuPresent,
  fn: async () => {
    // Magnitudes from 1e-5 to 1e11, and blocks whose numbers have very different ones.
    const blocks = 4000;
    const values = randomValues(4 * blocks, 3).map((value, i) => {
      const block = i >> 2;
      const spread = block % 3 === 0 ? 10 ** -(i % 4) : 1;
      return value * spread * 10 ** (-5 + 16 * block / blocks);
    });
    const found = await throughBlocks(values);
    let worst = 0;
    for (let at = 0; at < values.length; at += 4) {
      const largest = Math.max(...values.subarray(at, at + 4).map(Math.abs));
      for (let i = at; i < at + 4; i++) worst = Math.max(worst, Math.abs(found[i] - values[i]) / largest);
    }
    assert(worst <= 1.251 / 8191 / 2, `${worst}`);
    assert(worst >= 0.9 / 8191 / 2, `${worst}`);
  },
});

Deno.test({
  name: "zeros, multiples of the step, and numbers next to a power of two come back",
  ignore: !gpuPresent,
  fn: async () => {
    const exact = [0, 0, 0, 0, -0, 1.75, 0, 0, 1.75, -1.75, 0.25, -0.25, -448, 0, 448, 224];
    assertEquals([...await throughBlocks(Float32Array.from(exact))].map((v) => v + 0), exact.map((v) => v + 0));
    // Just below and above where the step changes: none wraps around.
    const borders = [1, 1.25, 1.5, 1.75, 2].flatMap((border) =>
      [-1e-4, -6e-5, -3e-5, -6e-8, 0, 1e-7, 1e-4].flatMap((by) => [border * (1 + by), -border * (1 + by), 1, 0])
    );
    const found = await throughBlocks(Float32Array.from(borders));
    borders.forEach((value, i) => assert(Math.abs(found[i] - value) < 1.3 * 2 / 8191, `${value}: ${found[i]}`));
    assertEquals(BLOCKS.zero, `vec2u(${"0x" + ((8192 << 18 | 8192) >>> 0).toString(16)}u)`);
  },
});

Deno.test({
  name:
    "a block with an infinity, NaN or a number that is too large is NaN: no finite number hides that a step overflowed",
  ignore: !gpuPresent,
  fn: async () => {
    for (const value of [Infinity, -Infinity, NaN, 3e38, -2e12]) {
      for (const at of [0, 1, 2, 3]) {
        const block = new Float32Array([1, -2, 3, 4]).map((usual, i) => i === at ? value : usual);
        const found = await throughBlocks(block);
        assert(found.every(Number.isNaN), `${block}: ${found}`);
      }
    }
    // The largest that are kept.
    const kept = await throughBlocks(new Float32Array([1.6e12, -1.6e12, 1e12, 0]));
    assert(kept.every(Number.isFinite), `${kept}`);
  },
});
