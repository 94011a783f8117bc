/** The planner against plans of the real planners (make_plans_golden.py), and against the shared ones where they are there. */
import { assertEquals } from "../../assert.ts";
import { planExperiment, type PlanningRequest } from "../../../core/plan/plan_experiment.ts";
import { PLANNERS } from "../../../core/plan/planners.ts";

interface GoldenPlans {
  readonly dataset: { channel_names: Record<string, string>; labels: Record<string, unknown>; numTraining: number };
  readonly fingerprint: {
    spacings: number[][];
    shapes_after_crop: number[][];
    median_relative_size_after_cropping: number;
    foreground_intensity_properties_per_channel: unknown;
  };
  readonly plans: Record<string, { dataset_name: string; image_reader_writer: string }>;
}

const SHARED = new URL("../../../../shared/reference/plans.json", import.meta.url);

function readGolden(file: URL): GoldenPlans[] {
  try {
    return JSON.parse(Deno.readTextFileSync(file));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound && file === SHARED) return [];
    throw error;
  }
}

function request(golden: GoldenPlans, plannerName: string): PlanningRequest {
  const planner = PLANNERS.find((one) => one.name === plannerName);
  if (!planner) throw new Error(`no planner ${plannerName}`);
  const { dataset, fingerprint } = golden;
  return {
    planner,
    fingerprint: {
      spacings: fingerprint.spacings,
      shapesAfterCrop: fingerprint.shapes_after_crop,
      medianRelativeSizeAfterCropping: fingerprint.median_relative_size_after_cropping,
      intensityProperties: fingerprint.foreground_intensity_properties_per_channel,
    },
    datasetName: golden.plans[plannerName].dataset_name,
    reader: golden.plans[plannerName].image_reader_writer,
    channelNames: Object.values(dataset.channel_names),
    labelCount: Object.keys(dataset.labels).length,
    trainingCases: dataset.numTraining,
  };
}

/** Rounds spacings to 1e-9, which is how far they may differ; everything else must be equal, keys in order. */
function comparable(plans: unknown): string {
  return JSON.stringify(
    plans,
    (key, value) =>
      key.includes("spacing") && Array.isArray(value) ? value.map((one: number) => Number(one.toFixed(9))) : value,
  );
}

for (const file of [new URL("./plans.json", import.meta.url), SHARED]) {
  for (const [index, golden] of readGolden(file).entries()) {
    const source = file === SHARED ? "shared" : "committed";
    Deno.test(`plans of ${source} fingerprint ${index} equal upstream's, every key of every planner`, () => {
      for (const [name, expected] of Object.entries(golden.plans)) {
        assertEquals(comparable(planExperiment(request(golden, name))), comparable(expected), name);
      }
    });
  }
}
