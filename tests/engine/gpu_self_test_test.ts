/** The self-test: right on a GPU that computes right, and a GPU that does not is found out and not used. */
import { main } from "../../cli/main.ts";
import { selfTest } from "../../cli/engines/self_test.ts";
import { compareResults, toleranceOf } from "../../core/cases/case.ts";
import { ENGINE_CASES } from "../../core/cases/cases.ts";
import { createCpuEngine } from "../../cpu/engine.ts";
import { createGpuEngine } from "../../gpu/engine.ts";
import { assert, assertEquals } from "../assert.ts";
import { captureOutput, miscompile, predictSlices, useGpuCache } from "./gpu_cache.ts";
import { BLOCKS } from "../../kernels/wgsl/conv/tile_storage.ts";
import { ignore } from "../without_gpu.ts";

/** As a driver that gets a bias wrong. */
const wrongBias = () =>
  miscompile((code) => code.replaceAll("let bias = load_weights(", "let bias = 1.5 * load_weights("));

Deno.test({ name: "the self-test passes, and runs every kind of kernel in several forms", ignore }, async () => {
  await using gpu = await createGpuEngine({ allowSoftware: true });
  await using cpu = await createCpuEngine();
  const { failures, cases, worst, algorithms } = await selfTest(gpu, cpu);
  assertEquals(failures, []);
  assert(cases >= 8 && worst > 0 && worst < 1e-4);
  const all = [...algorithms];
  for (const kind of ["direct", "winograd", "transposed", "norm table", "constant norm", "residual", "average pool"]) {
    assert(all.some((name) => name.startsWith(kind)), `no network is computed by ${kind}`);
  }
  const schemes = new Set(all.filter((name) => name.startsWith("winograd")).map((name) => name.split(" ")[1]));
  assert(schemes.size >= 6 && [...schemes].some((name) => name.includes("*2")), `${[...schemes]}`);
  for (const scheme of ["4x4x4", "2/2x2/2x2/2"]) {
    const isTested = (name: string) => name.startsWith(`winograd ${scheme} `) && name.includes(BLOCKS.suffix);
    assert(!gpu.supports("f16") || all.some(isTested), `no network is computed by ${scheme}${BLOCKS.suffix}`);
  }
  for (const way of ["direct", "winograd 4x4x4", "winograd 1x4x4"]) {
    assert(all.some((name) => name.startsWith(`weight gradient ${way} `)), `no weight gradient is computed by ${way}`);
  }
  assert(
    !gpu.supports("f16") ||
      all.some((name) => name.startsWith("weight gradient winograd") && name.includes(BLOCKS.suffix)),
    `no weight gradient is computed${BLOCKS.suffix}`,
  );
});

Deno.test({ name: "a GPU that computes wrong gradients is found out", ignore }, async () => {
  using _driver = miscompile((code, label) =>
    label.startsWith("winograd weight gradient")
      ? code.replaceAll("let factor = taps_y", "let factor = 1.05 * taps_y")
      : code
  );
  await using gpu = await createGpuEngine({ allowSoftware: true });
  await using cpu = await createCpuEngine();
  const { failures } = await selfTest(gpu, cpu);
  assert(failures.length > 0 && failures.every((text) => /^a training step .* differs by/.test(text)), `${failures}`);
});

/** How WGSL lets a device round to f16, as bits of the f32s: to zero, or some values up and some down. */
const ROUNDED = {
  "to zero": "bitcast<vec4u>(value) & vec4u(0xffffe000u)",
  "to either side": "(bitcast<vec4u>(value) + vec4u((i & 1u) * 0x1fffu)) & vec4u(0xffffe000u)",
};

Deno.test(
  { name: "the self-test leaves devices room that do not round 16-bit floats to the nearest", ignore },
  async () => {
    await using cpu = await createCpuEngine();
    const cases = ENGINE_CASES.filter((one) => one.selfTest && one.precisions.includes("f16"));
    assertEquals(new Set(cases.map(({ family }) => family)), new Set(["network", "training"]));
    for (const [how, bits] of Object.entries(ROUNDED)) {
      let stores = 0;
      using _driver = miscompile((code) =>
        code.replaceAll("= vec4<f16>(value);", () => (stores++, `= vec4<f16>(bitcast<vec4f>(${bits}));`))
      );
      await using gpu = await createGpuEngine({ allowSoftware: true });
      for (const one of cases) {
        if (one.family === "training" && how === "to zero") continue;
        const allowed = toleranceOf(one, "f16");
        const { worst } = compareResults(await one.run(gpu, "f16"), await one.run(cpu, "f32"), allowed);
        assert(worst < 0.75 * allowed, `${one.name}, rounded ${how}: ${worst} of ${allowed}`);
      }
      assert(stores > 0);
    }
  },
);

/** A function of the kernels with another body. */
const withBody = (code: string, name: string, body: string) =>
  code.replace(new RegExp(`(fn ${name}\\([^{]*\\{)[^}]*\\}`), (_, head) => `${head} ${body} }`);

Deno.test(
  { name: "16-bit floats would be too coarse for transformed tiles, which blocks of 16 bits are not", ignore },
  async () => {
    const one = ENGINE_CASES.find(({ name }) => name === "a residual encoder");
    assert(one !== undefined);
    await using cpu = await createCpuEngine();
    const expected = await one.run(cpu, "f32");
    const allowed = toleranceOf(one, "f16");
    const errorOf = async () => {
      await using gpu = await createGpuEngine({ allowSoftware: true });
      return gpu.supports("f16") ? compareResults(await one.run(gpu, "f16"), expected, allowed).worst : undefined;
    };
    const blocks = await errorOf();
    if (blocks === undefined) return;
    let [packed, unpacked] = [0, 0];
    using _driver = miscompile((code) => {
      const floats = withBody(code, "pack_block", "return vec2u(pack2x16float(value.xy), pack2x16float(value.zw));");
      packed += Number(floats !== code);
      const both = withBody(
        floats,
        "unpack_block",
        "return vec4f(unpack2x16float(block.x), unpack2x16float(block.y));",
      );
      unpacked += Number(both !== floats);
      return both.replaceAll(BLOCKS.zero, "vec2u(0u)");
    });
    const floats = await errorOf() ?? 0;
    assert(packed > 2 && unpacked === packed, `${packed} and ${unpacked} kernels were changed`);
    assert(blocks < allowed / 2 && floats > 1.2 * allowed, `${blocks} and ${floats} of ${allowed}`);
  },
);

Deno.test({ name: "doctor tests the GPU and says so; the next prediction relies on it", ignore }, async () => {
  await using cache = await useGpuCache(false);
  using output = captureOutput();
  assertEquals(await main(["doctor", "--allow_software_gpu"]), 0, output.text);
  assert(/All \d+ tests give what the CPU gives/.test(output.text), output.text);
  assert(/its driver took [\d.:]+ \w+ to compile \d+ kernels/.test(output.text.replaceAll(/\s+/g, " ")), output.text);
  assertEquals((await cache.record()).findings.selfTest?.passed, true);
});

Deno.test(
  { name: "a GPU that computes wrong results is said to, by doctor, and is not kept as tested", ignore },
  async () => {
    await using cache = await useGpuCache();
    using _driver = wrongBias();
    using output = captureOutput();
    assertEquals(await main(["doctor", "--allow_software_gpu", "--tune"]), 1);
    const text = output.text.replaceAll(/\s+/g, " ");
    assert(text.includes("THE GPU COMPUTES WRONG RESULTS and will not be used"), output.text);
    assert(/a plain 3-D network: output 0 differs by/.test(text), output.text);
    assert(text.includes("CPU engine (the GPU computes wrong results)"));
    assert(!text.includes("Tuning"));
    assertEquals((await cache.record()).findings.selfTest?.passed, false);
  },
);

Deno.test({ name: "no prediction is made on a GPU that computes wrong results", ignore }, async (t) => {
  await using _cache = await useGpuCache(false);
  using _driver = wrongBias();
  await t.step("asked for by name, it is an error that says what to do", async () => {
    const { code, text, report } = await predictSlices("-device", "gpu");
    assertEquals(code, 1);
    assert(text.includes("it computes wrong results and is not used") && text.includes("-device cpu"), text);
    assertEquals(report.cases, []);
  });
  await t.step("with -device auto the CPU computes, with one loud line", async () => {
    const { code, text, report } = await predictSlices("-device", "auto");
    assertEquals([code, report.engine.kind, report.failed], [0, "cpu", []]);
    assertEquals(text.match(/warning: the GPU is not used: .*wrong results/g)?.length, 1, text);
    assert(report.engine.reason.includes("wrong results") && report.warnings[0].includes("wrong results"));
  });
});
