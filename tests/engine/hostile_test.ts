/** Kernels are right on the most hostile device that WebGPU allows, and that device finds out those that are not. */
import { fromFileUrl } from "../../core/base/path.ts";
import type { Graph } from "../../core/graph/graph.ts";
import { prepareNetwork } from "../../core/cases/networks.ts";
import { createGpuEngine } from "../../gpu/engine.ts";
import { assert, assertEquals } from "../assert.ts";
import { miscompile } from "./gpu_cache.ts";
import type { HostileReport } from "./hostile_check.ts";
import { hostileDevice } from "./hostile_device.ts";
import { hostileText } from "./hostile_text.ts";
import { ignore } from "../without_gpu.ts";

const KERNEL = `@group(0) @binding(0) var<storage, read> input_0: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read_write> words_0: array<atomic<u32>>;
@group(0) @binding(2) var<storage, read_write> output_0: array<f32>;
struct Pair {
  count: u32,
  mean: vec4f,
}
var<workgroup> pairs: array<Pair, 64>;
var<workgroup> rows: array<array<vec4f, 5>, 16>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  pairs[lane] = Pair(1u, vec4f(input_0[id.x / 4u + u32(output_0[lane])]));
  workgroupBarrier();
  output_0[id.x] += pairs[63u - lane].mean.x;
  atomicOr(&words_0[id.x / 32u], 1u);
  rows[lane / 4u][lane % 4u] = rows[2u][u32(output_0[lane])];
}
`;

Deno.test("a kernel's text is rewritten for a hostile device: every access by a function, threads permuted", () => {
  const lines = hostileText(KERNEL).split("\n").map((line) => line.trim());
  for (
    const line of [
      "put_pairs(lane, Pair(1u, vec4f(take_input_0(id.x / 4u + u32(take_output_0(lane))))));",
      "put_output_0(id.x, take_output_0(id.x) + (take_pairs(63u - lane).mean.x));",
      "put_rows(lane / 4u, lane % 4u, take_rows(2u, u32(take_output_0(lane))));",
      "fn take_rows(i: u32, k: u32) -> vec4f {",
      "atomicOr(&words_0[place_words_0(id.x / 32u)], 1u);",
      "kernel_main(permuted_group * vec3u(64u, 1u, 1u) + vec3u(permuted_lane, 0u, 0u), permuted_lane);",
      "fn kernel_main(id: vec3u, lane: u32) {",
      "fn take_input_0(i: u32) -> vec4<f16> {",
      "fn put_pairs(i: u32, value: Pair) {",
    ]
  ) assert(lines.includes(line), line);
  // Of each array what is used.
  for (const name of ["put_input_0", "take_words_0", "place_pairs"]) {
    assert(!lines.some((line) => line.includes(name)), name);
  }
});

Deno.test("a text that a hostile device could not be made of is refused, not run as it is", () => {
  const assigned = KERNEL.replace("pairs[lane] =", "pairs[lane].mean =");
  const other = KERNEL.replace("local_invocation_index", "local_invocation_id");
  for (const code of [assigned, other, KERNEL.replace("@compute", "@fragment")]) {
    let refused = false;
    try {
      hostileText(code);
    } catch (error) {
      refused = error instanceof TypeError;
    }
    assert(refused, code);
  }
});

const PATCH = [5, 6, 7] as const;
const GRAPH: Graph = {
  nodes: [
    { kind: "input", channels: 3 },
    { kind: "conv", input: 0, channels: 6, kernel: [3, 3, 3], stride: [1, 1, 1], weight: "a.weight", bias: "a.bias" },
    { kind: "instanceNorm", input: 1, eps: 1e-5, weight: "b.weight", bias: "b.bias" },
    { kind: "conv", input: 2, channels: 5, kernel: [1, 1, 1], stride: [1, 1, 1], weight: "c.weight", bias: "c.bias" },
  ],
  outputs: [3],
};

/** The output on a device that is as it is, or hostile, with kernels changed. */
async function forward(hostile: boolean, change = (code: string, _label: string) => code) {
  using device = hostile ? hostileDevice() : undefined;
  using _changed = miscompile(change);
  await using engine = await createGpuEngine({ allowSoftware: true });
  using prepared = await prepareNetwork(engine, { graph: GRAPH, patch: PATCH, batch: 1 }, "f32");
  prepared.run();
  const output = await engine.downloadOutput(prepared.program, 0);
  return { output, faults: await device?.faults() ?? [] };
}

/** The largest difference; infinite where a number is none. */
function difference(a: Float32Array, b: Float32Array): number {
  const differences = a.map((value, i) => Math.abs(value - b[i]));
  return differences.some(Number.isNaN) ? Infinity : Math.max(...differences);
}

Deno.test({ name: "a hostile device finds out kernels that this one computes right with", ignore }, async (t) => {
  const { output: wanted } = await forward(false);
  await t.step("it leaves right kernels right", async () => {
    const { output, faults } = await forward(true);
    assertEquals(faults, []);
    assert(difference(output, wanted) < 1e-5);
  });
  const broken: readonly [what: string, from: RegExp, to: string, faults: readonly string[]][] = [
    ["weights are read beyond their end", /if \(k >= \d+u \|\| column >= \d+u\) \{ return vec4f\(0\.0\); \}/, "", []],
    [
      "voxels are written beyond the end",
      /store_table\(at, scale\);/,
      "store_table(at, scale); store_table(at + 999u, 1.0);",
      [
        "a buffer",
      ],
    ],
    [
      "workgroup memory is written beyond its end",
      /halves\[lane\] = mine;/,
      "halves[lane] = mine; halves[lane + 64u] = mine;",
      [
        "workgroup memory",
      ],
    ],
    [
      "workgroup memory is taken to begin with zeros",
      /halves\[lane\] = mine;/,
      "if (mine.count > 0.0) { halves[lane] = mine; }",
      [],
    ],
  ];
  for (const [what, from, to, faultsWanted] of broken) {
    await t.step(what, async () => {
      let changes = 0;
      const change = (code: string) => code.replace(from, () => (changes++, to));
      const usual = await forward(false, change);
      assert(changes > 0 && difference(usual.output, wanted) < 1e-5, "this device computes right");
      const { output, faults } = await forward(true, change);
      assertEquals(faults, faultsWanted);
      assert(faults.length > 0 || !(difference(output, wanted) < 1e-2));
    });
  }
});

Deno.test({ name: "the self-test passes on a hostile device, with every kernel that it has", ignore }, async () => {
  const script = fromFileUrl(new URL("hostile_check.ts", import.meta.url));
  const reports = await Promise.all(
    [0, 1].map(async (share): Promise<HostileReport> => {
      const { code, stdout, stderr } = await new Deno.Command("deno", {
        args: [...["run", "--quiet", "--allow-read", "--allow-env", "--allow-sys", script], `${share}`, "2"],
        // Lavapipe compiles in a third less time without optimizing, and for narrow vectors.
        env: { GALLIVM_PERF: "nopt", LP_NATIVE_VECTOR_WIDTH: "128" },
      }).output();
      assertEquals(code, 0, new TextDecoder().decode(stderr));
      return JSON.parse(new TextDecoder().decode(stdout));
    }),
  );
  assertEquals(reports.flatMap(({ wrong }) => wrong), []);
  const total = (of: (report: HostileReport) => number) => reports.reduce((sum, report) => sum + of(report), 0);
  assert(total(({ cases }) => cases) >= 18 && total(({ kernels }) => kernels) > 400 && total((r) => r.buffers) > 100);
});
