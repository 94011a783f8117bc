/** Ensembles of probabilities against those that the real nnU-Net makes (ensemble/make_ensemble_golden.py). */
import { UserError } from "../../core/base/errors.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import { type Vec3, voxelCount } from "../../core/base/shape.ts";
import { ensembleCase } from "../../core/ensemble/ensemble_case.ts";
import { ensembleFolders } from "../../core/ensemble/ensemble_folders.ts";
import { createLabelMemory } from "../../core/ensemble/label_memory.ts";
import { readNpz, writeNpz } from "../../core/formats/archive/npz.ts";
import { readLabels } from "../../core/formats/image/read_image.ts";
import { readPickledProperties } from "../../core/formats/preprocessed/pickled_properties.ts";
import { pickleProperties } from "../../core/formats/torch/pickle_properties.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";
import { copyFolder, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

const GOLDEN = fromFileUrl(new URL("./ensemble/", import.meta.url));
const SETS = [
  { name: "labels", reader: "SimpleITKIO", models: 3 },
  { name: "regions", reader: "NibabelIOWithReorient", models: 2 },
] as const;

function foldersOf({ name, models }: typeof SETS[number]): string[] {
  return Array.from({ length: models }, (_, i) => join(GOLDEN, name, `model_${i}`));
}

Deno.test("labels and means of float16, float32 and float64 files are upstream's at every voxel, ties included, on one thread and two", async () => {
  for (const set of SETS) {
    for (const threads of [1, 2]) {
      await inTempFolder(async (output) => {
        const ensemble = await ensembleFolders({ folders: foldersOf(set), output, threads, saveProbabilities: true });
        assertEquals(ensemble, { cases: ["one", "two"], failed: [] });
        assertEquals(
          await namesIn(output),
          ["dataset.json", "one.nii.gz", "one.npz", "one.pkl", "plans.json", "two.nii.gz", "two.npz", "two.pkl"],
        );
        for (const id of ensemble.cases) {
          const expected = join(GOLDEN, set.name, "expected", id);
          const [ours, theirs] = [join(output, id), expected];
          const [a, b] = await Promise.all([ours, theirs].map((stem) => readLabels(set.reader, `${stem}.nii.gz`)));
          assertEquals(a.labels.data, b.labels.data, `${set.name}, ${id}`);
          // As text, in which 0 and -0 are the same.
          assertEquals(JSON.stringify(a.geometry), JSON.stringify(b.geometry));
          const [means, known] = await Promise.all([ours, theirs].map((stem) => readNpz(`${stem}.npz`)));
          assertEquals(means.get("probabilities"), known.get("probabilities"));
          // The properties are kept for the next ensemble, where 2.5.1 writes the probabilities into the .pkl.
          const { properties } = await readPickledProperties(`${ours}.pkl`, "testing", "none");
          assertEquals(properties.shapeBeforeCropping, [9, 5, 7]);
        }
      });
    }
  }
});

Deno.test("an ensemble of the ensemble that kept its means is the same ensemble", async () => {
  await inTempFolder(async (folder) => {
    const [first, second] = [join(folder, "first"), join(folder, "second")];
    await ensembleFolders({ folders: foldersOf(SETS[1]), output: first, saveProbabilities: true });
    await ensembleFolders({ folders: [first], output: second });
    for (const name of ["one.nii.gz", "two.nii.gz", "dataset.json", "plans.json"]) {
      assertEquals(await Deno.readFile(join(second, name)), await Deno.readFile(join(first, name)), name);
    }
  });
});

Deno.test("a case that can't be averaged is told with its file, and the others are done", async () => {
  await inTempFolder(async (folder) => {
    await copyFolder(join(GOLDEN, "labels"), folder);
    const folders = [join(folder, "model_0"), join(folder, "model_1")];
    const damaged = join(folders[1], "one.npz");
    const whole = await Deno.readFile(damaged);
    const fail = async (bytes: Uint8Array | null, ...parts: string[]) => {
      if (bytes) await Deno.writeFile(damaged, bytes);
      const output = join(folder, "out");
      const { failed } = await ensembleFolders({ folders, output });
      assertEquals(failed.map(({ id }) => id), ["one"]);
      for (const part of parts) assert(failed[0].message.includes(part), failed[0].message);
      assertEquals(await namesIn(output), ["dataset.json", "plans.json", "two.nii.gz"]);
      await Deno.remove(output, { recursive: true });
    };
    await fail(whole.subarray(0, whole.length - 30), damaged, "cut off", "--save_probabilities");
    const flipped = whole.slice();
    flipped[whole.length >> 1] ^= 0x40;
    await fail(flipped, damaged, "damaged");
    const write = (shape: number[], value = 0.25) => {
      const numbers = new Float32Array(shape.reduce((a, b) => a * b)).fill(value);
      const source = [new Uint8Array(numbers.buffer)];
      return writeNpz(
        damaged,
        "probabilities",
        { dtype: "<f4", shape },
        async function* () {
          yield* source;
        }(),
      );
    };
    await write([3, 5, 9, 7]);
    await fail(null, damaged, "probabilities of 3 classes, and dataset.json makes 4");
    await write([4, 5, 9, 8]);
    await fail(null, damaged, "its shape is 5 x 9 x 8");
    await write([4, 5, 9, 7], NaN);
    await fail(null, damaged, "no numbers");
    await Deno.writeFile(damaged, whole);
    await Deno.remove(join(folders[0], "one.pkl"));
    await fail(null, join(folders[0], "one.pkl"), "there is no such file");
  });
});

Deno.test("of numbers that damage has made NaN the damage is told", async () => {
  await inTempFolder(async (folder) => {
    const file = join(folder, "one.npz");
    const shape: Vec3 = [64, 128, 128];
    const boundingBox = shape.map((size) => [0, size] as const);
    const geometry = { reader: "NaturalImage2DIO", spacing: [999, 1, 1], shape } as const;
    const properties = { geometry, shapeBeforeCropping: shape, boundingBox, shapeAfterCropping: shape };
    await Deno.writeFile(join(folder, "one.pkl"), pickleProperties(properties));
    const job = {
      caseId: "one",
      files: [file],
      reader: "NaturalImage2DIO",
      rule: { kind: "labels", channels: 3 },
      output: join(folder, "one.png"),
    } as const;
    const numbers = new Float32Array(3 * voxelCount(shape)).fill(1 / 3);
    numbers[5] = NaN;
    const pieces = [new Uint8Array(numbers.buffer)];
    await writeNpz(
      file,
      "probabilities",
      { dtype: "<f4", shape: [3, ...shape] },
      async function* () {
        yield* pieces;
      }(),
    );
    using memory = createLabelMemory();
    const failure = async () => (await ensembleCase(job, memory)).failure?.problem ?? "";
    assert((await failure()).includes("no numbers (NaN)"), await failure());
    const bytes = await Deno.readFile(file);
    const central = bytes.lastIndexOf(0x50, bytes.length - 23);
    assertEquals([...bytes.subarray(central, central + 4)], [0x50, 0x4b, 1, 2]);
    bytes[central + 16] ^= 1;
    await Deno.writeFile(file, bytes);
    assert((await failure()).includes("checksum"), await failure());
  });
});

Deno.test("folders that do not belong together are refused before anything is written, with all that is missing", async () => {
  await inTempFolder(async (folder) => {
    await copyFolder(join(GOLDEN, "labels"), folder);
    const folders = [join(folder, "model_0"), join(folder, "model_1")];
    const output = join(folder, "out");
    const refused = (...parts: string[]) =>
      assertFails(() => ensembleFolders({ folders, output }), UserError, ...parts);
    await Deno.rename(join(folders[0], "one.npz"), join(folders[0], "three.npz"));
    await refused(`${folders[0]} lacks 1 case: one.npz`, `${folders[1]} lacks 1 case: three.npz`);
    await Deno.remove(join(folders[0], "dataset.json"));
    await refused(folders[0], "there is no dataset.json");
    await assertFails(() => ensembleFolders({ folders, output: folders[1] }), UserError, "a folder of probabilities");
    await assertFails(() => ensembleFolders({ folders: [join(folder, "no")], output }), UserError, "no such folder");
    assertEquals((await namesIn(folder)).includes("out"), false);
  });
});

Deno.test("the command averages under its Python name, and ends with 1 where a case failed", async () => {
  await inTempFolder(async (folder) => {
    await copyFolder(join(GOLDEN, "labels"), folder);
    const models = ["model_0", "model_1", "model_2"].map((name) => join(folder, name));
    const output = join(folder, "out");
    const args = ["nnUNetv2_ensemble", "-i", ...models, "-o", output, "-np", "1"];
    const done = await runCommand(args);
    assertEquals([done.code, done.stderr], [0, ""]);
    assert(done.stdout.includes(`2 cases of 3 folders averaged: ${output}`), done.stdout);
    assertEquals(await namesIn(output), ["dataset.json", "one.nii.gz", "plans.json", "two.nii.gz"]);
    await Deno.writeTextFile(join(folder, "model_1", "two.npz"), "PK");
    const failed = await runCommand(args);
    assertEquals(failed.code, 1);
    assert(failed.stderr.includes("1 of 2 cases could not be averaged: two"), failed.stderr);
    assert(failed.stderr.includes("two.npz"), failed.stderr);
  });
});
