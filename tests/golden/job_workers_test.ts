/** Small jobs are done in the calling thread; here the threads of larger ones do them, with the same results. */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { startJobThread } from "../../core/base/worker_thread.ts";
import { ensembleCase, type EnsembledCase, type EnsembleJob } from "../../core/ensemble/ensemble_case.ts";
import { createLabelMemory } from "../../core/ensemble/label_memory.ts";
import { evaluateCase, type EvaluatedCase, type EvaluationJob } from "../../core/evaluate/evaluate_case.ts";
import { labelTarget } from "../../core/evaluate/targets.ts";
import {
  measureCase as describeCase,
  type MeasureJob as DescriptionJob,
  type MeasureOutcome as DescribedCase,
} from "../../core/measure/measure_case.ts";
import { filterCase, type FilterJob, type FilterOutcome } from "../../core/postprocess/filter_case.ts";
import { measureCase, type MeasuredCase, type MeasurementJob } from "../../core/postprocess/measure_case.ts";
import { assertEquals } from "../assert.ts";
import { inTempFolder } from "./cli/run_command.ts";

const GOLDEN = fromFileUrl(new URL("./ensemble/labels/", import.meta.url));
const FILES = [0, 1, 2].map((model) => join(GOLDEN, `model_${model}`, "one.npz"));
const TRUTH = join(GOLDEN, "expected", "two.nii.gz");

Deno.test("threads that average, compare, measure, filter and describe give what the calling thread gives", async () => {
  await inTempFolder(async (folder) => {
    const about = { caseId: "one", reader: "SimpleITKIO" } as const;
    const { averaged, filtered } = { averaged: join(folder, "one.nii.gz"), filtered: join(folder, "filtered.nii.gz") };
    const average: EnsembleJob = { ...about, files: FILES, rule: { kind: "labels", channels: 4 }, output: averaged };
    const pair = { ...about, predictionFile: averaged, referenceFile: TRUTH, targets: [1, 2].map(labelTarget) };
    const measure: MeasurementJob = { ...pair, kind: "measure", labels: [1, 2] };
    const filters = [{ labels: [1, 2], background: 0 }];
    const filter: FilterJob = { ...about, kind: "filter", input: averaged, output: filtered, filters };

    using averaging = startJobThread<undefined, EnsembleJob, EnsembledCase>({
      does: "averages",
      startWorker: () => new Worker(new URL("../../core/ensemble/ensemble_worker.ts", import.meta.url), MODULE),
      setting: undefined,
    });
    using comparing = startJobThread<undefined, EvaluationJob, EvaluatedCase>({
      does: "compares",
      startWorker: () => new Worker(new URL("../../core/evaluate/evaluate_worker.ts", import.meta.url), MODULE),
      setting: undefined,
    });
    using filtering = startJobThread<undefined, MeasurementJob | FilterJob, MeasuredCase | FilterOutcome>({
      does: "filters",
      startWorker: () => new Worker(new URL("../../core/postprocess/postprocess_worker.ts", import.meta.url), MODULE),
      setting: undefined,
    });
    const mesh = { kind: "stl", folder: join(folder, "meshes") } as const;
    const classes = [{ ...labelTarget(1), name: "one" }, { ...labelTarget(2), name: "two" }];
    const describe: DescriptionJob = { ...about, segmentation: TRUTH, images: [TRUTH], classes, mesh };
    using describing = startJobThread<undefined, DescriptionJob, DescribedCase>({
      does: "describes",
      startWorker: () => new Worker(new URL("../../core/measure/measure_worker.ts", import.meta.url), MODULE),
      setting: undefined,
    });
    const there: unknown[] = [await averaging.run(average), await Deno.readFile(averaged)];
    there.push(await comparing.run(pair), await filtering.run(measure), await filtering.run(filter));
    there.push(await Deno.readFile(filtered));
    there.push(await describing.run(describe), await Deno.readFile(join(mesh.folder, "one.stl")));
    const here: unknown[] = [await ensembleCase(average, createLabelMemory()), await Deno.readFile(averaged)];
    here.push(await evaluateCase(pair), await measureCase(measure), await filterCase(filter));
    here.push(await Deno.readFile(filtered));
    here.push(await describeCase(describe), await Deno.readFile(join(mesh.folder, "one.stl")));
    assertEquals(there, here);
    assertEquals(there[0], {});
  });
});

const MODULE = { type: "module" } as const;
