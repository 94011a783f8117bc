import { assertEquals } from "../assert.ts";
import { importViolation } from "../lint/layout_plugin.ts";

Deno.test("core imports only core, and never to its right", () => {
  assertEquals(importViolation("core/plan/plans.ts", "core/base/shape.ts"), null);
  assertEquals(
    importViolation("core/base/shape.ts", "core/plan/plans.ts"),
    "core/base may not import core/plan: inside core, left never imports right",
  );
  assertEquals(importViolation("core/predict/stream/tiles.ts", "cpu/engine.ts"), "core imports only core, not cpu");
});

Deno.test("engines see kernels and the port, kernels see shapes only, nothing sees tests", () => {
  assertEquals(importViolation("cpu/engine.ts", "kernels/wasm/conv.ts"), null);
  assertEquals(importViolation("cpu/engine.ts", "core/engine/engine.ts"), null);
  assertEquals(
    importViolation("cpu/engine.ts", "core/predict/stream/tiles.ts"),
    "cpu may import kernels/wasm, kernels/operators, core/lowering, core/engine, core/graph, core/base, not core/predict",
  );
  assertEquals(
    importViolation("kernels/wasm/conv.ts", "core/engine/engine.ts"),
    "kernels may import core/graph, core/base, not core/engine",
  );
  assertEquals(importViolation("cli/predict.ts", "tests/assert.ts"), "nothing outside tests imports tests");
  assertEquals(importViolation("main.ts", "core/base/errors.ts"), "main.ts may import cli, not core/base");
});

Deno.test("an engine sees its own kernels and the neutral operators, and so do the kernels of each kind", () => {
  const neutral = "kernels/operators/conv/problem.ts";
  const own = [["cpu/engine.ts", "kernels/wasm/conv/plan_conv.ts"], [
    "gpu/engine.ts",
    "kernels/wgsl/conv/plan_conv.ts",
  ]];
  for (const [engine, kernel] of own) {
    assertEquals([importViolation(engine, kernel), importViolation(engine, neutral)], [null, null]);
    assertEquals([importViolation(kernel, kernel), importViolation(kernel, neutral)], [null, null]);
    assertEquals(
      importViolation(neutral, kernel),
      `kernels/operators may not import ${kernel.slice(0, 12)}: what both need is in kernels/operators`,
    );
  }
  assertEquals(
    importViolation("cpu/engine.ts", "kernels/wgsl/conv/plan_conv.ts"),
    "cpu may import kernels/wasm, kernels/operators, core/lowering, core/engine, core/graph, core/base, not kernels/wgsl",
  );
  assertEquals(
    importViolation("gpu/engine.ts", "kernels/wasm/module.ts"),
    "gpu may import kernels/wgsl, core/cases, kernels/operators, core/lowering, core/engine, core/graph, core/base, not kernels/wasm",
  );
  assertEquals(
    importViolation("kernels/wgsl/conv/pack.ts", "kernels/wasm/conv/pack_weights.ts"),
    "kernels/wgsl may not import kernels/wasm: what both need is in kernels/operators",
  );
  assertEquals(
    importViolation("kernels/wasm/kernel.ts", "kernels/wgsl/kernel.ts"),
    "kernels/wasm may not import kernels/wgsl: what both need is in kernels/operators",
  );
  assertEquals(
    importViolation("kernels/wasm/kernel.ts", "kernels/helpers.ts"),
    "kernels/helpers.ts is not a part of kernels (operators, wasm, wgsl)",
  );
});
