/** Models that stay loaded: what they predict, run after run and beside each other, is what a run of its own predicts. */
import { Interrupted } from "../../core/base/errors.ts";
import { join } from "../../core/base/path.ts";
import { openModel } from "../../core/predict/model/model_folder.ts";
import { keepModels } from "../../core/predict/run/resident_models.ts";
import { predictCases } from "../../core/predict/run/predict_cases.ts";
import type { PredictionEvent } from "../../core/predict/run/request.ts";
import { listCase, type NamedCase, runOf } from "../../cli/serve/asked_case.ts";
import { JOB_OPTIONS } from "../../cli/serve/job.ts";
import { readsAhead } from "../../cli/serve/read_ahead.ts";
import { createCpuEngine } from "../../cpu/engine.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { GOLDEN, inTempFolder, namesIn } from "./cli/run_command.ts";

const open = (name: string, folds: readonly string[]) =>
  openModel(join(GOLDEN, "models", name), {
    folds,
    checkpointName: "checkpoint_final.pth",
    assumePlansNetwork: false,
  });

const caseOf = (name: string, id: string, channels: number, output: string) => ({
  id,
  files: Array.from({ length: channels }, (_, i) => join(GOLDEN, "images", name, `${id}_000${i}.nii.gz`)),
  output,
});

Deno.test("models that stay loaded predict byte for byte what a run of its own does, and take no more memory from run to run", async () => {
  await inTempFolder(async (folder) => {
    using ct = await open("iso_ct_two_folds", ["0", "1"]);
    using regions = await open("regions_ignore", ["0"]);
    const expected = new Map<string, Uint8Array>();
    for (const [model, name, channels] of [[ct, "iso_ct_two_folds", 1], [regions, "regions_ignore", 2]] as const) {
      await using engine = await createCpuEngine({ threads: 1 });
      const one = caseOf(name, "test_000", channels, join(folder, `${name}.nii.gz`));
      assertEquals((await predictCases({ engine, model, cases: [one] })).failed, []);
      expected.set(name, await Deno.readFile(one.output));
    }
    await using engine = await createCpuEngine({ threads: 2 });
    const kept = keepModels({ engine, options: {} });
    const used: number[] = [];
    for (let run = 0; run < 4; run++) {
      for (const [model, name, channels] of [[ct, "iso_ct_two_folds", 1], [regions, "regions_ignore", 2]] as const) {
        const one = caseOf(name, "test_000", channels, join(folder, `run ${run}`, `${name}.nii.gz`));
        assertEquals((await kept.predict(model, { cases: [one], options: {} })).failed, []);
        assertEquals(await Deno.readFile(one.output), expected.get(name));
      }
      used.push(engine.memoryUse().used);
    }
    assertEquals(used.slice(1), [used[0], used[0], used[0]]);
    assert(kept.heldBytes(ct) > 0 && kept.heldBytes(regions) > 0);
    await kept[Symbol.asyncDispose]();
    assertEquals([kept.heldBytes(ct), engine.memoryUse().used < used[0]], [0, true]);
  });
});

Deno.test("a run that is stopped, and a case that fails, leave the models loaded and right", async () => {
  await inTempFolder(async (folder) => {
    using ct = await open("iso_ct_two_folds", ["0", "1"]);
    await using engine = await createCpuEngine({ threads: 1 });
    await using kept = keepModels({ engine, options: {} });
    const predict = (
      output: string,
      options: { id?: string; signal?: AbortSignal; onEvent?: (event: PredictionEvent) => void } = {},
    ) => {
      const { id = "test_000", ...hooks } = options;
      return kept.predict(ct, { cases: [caseOf("iso_ct_two_folds", id, 1, join(folder, output))], options: {} }, hooks);
    };
    await predict("first.nii.gz");
    const { failed } = await predict("none.nii.gz", { id: "not_there" });
    assert(failed[0].message.includes("not_there_0000.nii.gz"), failed[0].message);
    const stop = new AbortController();
    await assertFails(
      () =>
        predict("stopped.nii.gz", { signal: stop.signal, onEvent: ({ kind }) => kind === "progress" && stop.abort() }),
      Interrupted,
    );
    await assertFails(() => predict("stopped.nii.gz", { signal: stop.signal }), Interrupted);
    const held = kept.heldBytes(ct);
    await predict("second.nii.gz");
    assertEquals(kept.heldBytes(ct), held);
    assertEquals(await Deno.readFile(join(folder, "second.nii.gz")), await Deno.readFile(join(folder, "first.nii.gz")));
    assertEquals(await namesIn(folder), ["first.nii.gz", "second.nii.gz"]);
  });
});

Deno.test("the next case is read beside the network of the present one, and gives what it gives alone", async () => {
  await inTempFolder(async (folder) => {
    using ct = await open("iso_ct_two_folds", ["0"]);
    using regions = await open("regions_ignore", ["0"]);
    await using engine = await createCpuEngine({ threads: 1 });
    await using kept = keepModels({ engine, options: {} });
    const ahead = readsAhead(kept);
    const options = JOB_OPTIONS.parse({ save_probabilities: true });
    const asked = async (model: typeof ct, name: string, channels: number, key: string) => {
      const { files, output } = caseOf(name, "test_000", channels, join(folder, `${key}.nii.gz`));
      const copies = files.map((_, i) => join(folder, `${key}_000${i}.nii.gz`));
      for (const [i, copy] of copies.entries()) await Deno.copyFile(files[i], copy);
      const details = { segments: [], maker: { model: name, version: "" } };
      return { key, model, options, details, files: copies, output };
    };
    const alone = await asked(regions, "regions_ignore", 2, "alone");
    assertEquals((await kept.predict(regions, runOf(alone, await listCase(alone)))).failed, []);
    const present = await asked(ct, "iso_ct_two_folds", 1, "present");
    const next = await asked(regions, "regions_ignore", 2, "next");
    const { signal } = new AbortController();
    const lookFrom = async (one: NamedCase, following: NamedCase) => {
      const onEvent = (event: PredictionEvent) => ahead.look({ ...one, signal, next: () => following }, event);
      assertEquals((await kept.predict(one.model, runOf(one, await listCase(one)), { onEvent })).failed, []);
    };
    await lookFrom(present, next);
    const taken = await ahead.take("next");
    assert(taken?.ahead, "it was read");
    await taken.ahead.prepared;
    for (const file of next.files) await Deno.remove(file);
    const run = { ...runOf(next, taken.listed), ahead: taken.ahead };
    assertEquals((await kept.predict(regions, run)).failed, []);
    for (const ending of [".nii.gz", ".npz", ".pkl"]) {
      const [one, other] = ["alone", "next"].map((name) => Deno.readFile(join(folder, `${name}${ending}`)));
      assertEquals(await other, await one, ending);
    }
    // What is read of another case is given back, and what can't be read is told when it is asked for.
    await lookFrom(present, alone);
    assertEquals(await ahead.take("another"), undefined);
    await lookFrom(present, next);
    assertEquals(await ahead.take("next"), undefined);
    assertEquals(await kept.readAhead(regions, runOf(alone, await listCase(alone)), 0) !== undefined, true);
  });
});

Deno.test("where memory is short the model that was used the longest ago gives its own back", async () => {
  await inTempFolder(async (folder) => {
    using ct = await open("iso_ct_two_folds", ["0", "1"]);
    using regions = await open("regions_ignore", ["0"]);
    await using engine = await createCpuEngine({ threads: 1 });
    /** With the first model loaded: the least limit that the second one can do with, and whether the first has given its memory back. */
    const pressed = async (from: number, step: number) => {
      // As if the first model had taken all there is.
      let limit = 2 ** 40;
      await using kept = keepModels({
        engine,
        options: {
          get maxMemory() {
            return limit;
          },
        },
      });
      const run = async (model: typeof ct, name: string, channels: number) => {
        const one = caseOf(name, "test_000", channels, join(folder, `${name}.nii.gz`));
        return (await kept.predict(model, { cases: [one], options: {} })).failed.length === 0;
      };
      assert(await run(ct, "iso_ct_two_folds", 1) && kept.heldBytes(ct) > 0);
      for (limit = from; !await run(regions, "regions_ignore", 2);) limit += step;
      return { limit, gaveBack: kept.heldBytes(ct) === 0 };
    };
    const { limit } = await pressed(64 * 2 ** 20, 16 * 2 ** 20);
    // What the first model has is little, and the process's own memory comes and goes: a few tries.
    for (let tries = 0; tries < 5; tries++) {
      if ((await pressed(limit - 24 * 2 ** 20, 3 * 2 ** 20)).gaveBack) return;
    }
    throw new Error("the first model kept its memory");
  });
});
