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
    "cpu may import kernels, core/engine, core/graph, core/base, not core/predict",
  );
  assertEquals(
    importViolation("kernels/wasm/conv.ts", "core/engine/engine.ts"),
    "kernels may import core/graph, core/base, not core/engine",
  );
  assertEquals(importViolation("cli/predict.ts", "tests/assert.ts"), "nothing outside tests imports tests");
  assertEquals(importViolation("main.ts", "core/base/errors.ts"), "main.ts may import cli, not core/base");
});
