/**
 * The demo's fast part, `deno task demo --predict-only`: phantom CTs are predicted with a small model that the real nnU-Net trained
 * (cli/demo/model; see tests/golden/models/make_demo_model.py).
 */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { phantomCases, writeCases } from "./phantom_dataset.ts";
import { showResults } from "./results.ts";
import { type DemoVoice, runStep } from "./run_step.ts";

/** @returns the exit code */
export async function predictDemo(folder: string, seeds: readonly number[], voice: DemoVoice): Promise<number> {
  const { print } = voice;
  const [images, truth, predictions] = ["images", "truth", "predictions"].map((name) => join(folder, name));
  const cases = phantomCases(seeds);
  await writeCases(cases, images, truth);
  print(`${cases.length} phantom CTs are in ${images}, their true labels in ${truth}.`);
  const model = fromFileUrl(new URL("./model", import.meta.url));
  const code = await runStep(
    ["predict_from_modelfolder", "-m", model, "-i", images, "-o", predictions, "-f", "all"],
    voice,
  );
  if (code !== 0) return code;
  await showResults(cases, predictions, join(folder, "overlay.png"), print);
  return 0;
}
