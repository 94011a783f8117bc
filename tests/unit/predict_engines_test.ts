/** The predictor on the CPU engine: labels as defined, byte-equal for every number of threads, placement and batch. */
import { createCpuEngine } from "../../cpu/engine.ts";
import { planCase, uploadCase } from "../../core/predict/stream/case_plan.ts";
import { loadNetwork } from "../../core/predict/model/network.ts";
import { predictCase } from "../../core/predict/stream/predict_case.ts";
import type { StreamChoice } from "../../core/predict/stream/stream.ts";
import { assert, assertEquals } from "../assert.ts";
import { type CaseOptions, makeCase, makeModel, type ModelOptions, PLAN_OPTIONS } from "./predict_fixture.ts";
import { predictByDefinition } from "./predict_oracle.ts";

const MARGIN = 1e-3;

const SETTINGS: readonly { readonly name: string; readonly model: ModelOptions; readonly case: CaseOptions }[] = [
  {
    name: "3-D, two folds, mirrored, cropped, transposed, resampled",
    model: { patch: [8, 12, 10], folds: 2, mirrorAxes: [0, 2], outputs: 6, transposeForward: [2, 0, 1] },
    case: { grid: [19, 14, 23], cropped: [25, 13, 29], margins: [[1, 2], [0, 3], [2, 0]] },
  },
  {
    name: "2-D over slices, regions",
    model: { patch: [1, 12, 16], dimensions: 2, mirrorAxes: [0, 1], regionsClassOrder: [2, 1, 3] },
    case: { grid: [9, 21, 33], cropped: [9, 30, 40] },
  },
];

const CHOICES: readonly StreamChoice[] = [
  { placement: "memory" },
  { placement: "memory", batch: 1, foldsResident: false },
  { placement: "strips", batch: 3 },
  { placement: "patches", foldsResident: false },
];

for (const setting of SETTINGS) {
  Deno.test(`the CPU engine's labels follow the definition whatever the threads and memory: ${setting.name}`, async () => {
    const model = makeModel(setting.model);
    const input = makeCase(model, setting.case);
    const expected = predictByDefinition(model, input, 0.5, true);
    const folder = await Deno.makeTempDir();
    let first: ArrayLike<number> | undefined;
    try {
      for (const threads of [1, 2, 3]) {
        await using engine = await createCpuEngine({ threads });
        await using network = loadNetwork(engine, model, false);
        for (const only of CHOICES) {
          const plan = planCase(model, network, input, { ...PLAN_OPTIONS, only });
          using uploaded = uploadCase(engine, input);
          const { data } = await predictCase({ engine, model, network, input: uploaded, plan, scratchFolder: folder });
          first ??= data;
          assertEquals(data, first, `${threads} threads, ${JSON.stringify(only)}`);
        }
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
    let decided = 0;
    for (let i = 0; i < expected.labels.length; i++) {
      if (expected.margins[i] < MARGIN) continue;
      decided++;
      assertEquals(first?.[i], expected.labels[i], `voxel ${i}`);
    }
    assert(decided > 0.99 * expected.labels.length, "nearly all voxels are compared");
  });
}
