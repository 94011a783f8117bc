/**
 * Wrong input through the command line: a clear error that names case and file, exit code 1, nothing half-written, and the other
 * cases done. Upstream predicts from many of these files without a word.
 */
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import {
  asFloatWith,
  editBytes,
  editNifti,
  repeatedAlongZ,
  withoutLastPlane,
  withWiderVoxels,
} from "./cli/edit_nifti.ts";
import { assertRefused, CASCADE, ONE, predict, predictions, TWO } from "./cli/predict_command.ts";
import { copyFolder, inTempFolder, interruptCommand, namesIn, runCommand } from "./cli/run_command.ts";

async function twoChannelCase(folder: string, id: string): Promise<[string, string]> {
  const files: [string, string] = [join(folder, `${id}_0000.nii.gz`), join(folder, `${id}_0001.nii.gz`)];
  for (const [channel, file] of files.entries()) {
    await Deno.copyFile(join(TWO.images, `test_000_000${channel}.nii.gz`), file);
  }
  return files;
}

Deno.test("damaged cases are refused by name, the sound ones are done, and the report lists both", async () => {
  await inTempFolder(async (folder) => {
    const input = join(folder, "in");
    await Deno.mkdir(input);
    const second = async (id: string) => (await twoChannelCase(input, id))[1];
    await second("sound");
    const truncated = await second("truncated");
    await editBytes(truncated, truncated, (bytes) => bytes.subarray(0, bytes.length >> 1));
    const flipped = await second("flipped");
    await editBytes(flipped, flipped, (bytes) => bytes.with(bytes.length - 7, bytes[bytes.length - 7] ^ 1));
    const short = await second("short");
    await editNifti(short, short, (bytes) => bytes.subarray(0, bytes.length - 100));
    const nan = await second("nan");
    await editNifti(nan, nan, asFloatWith([NaN, 1, NaN]));
    const infinite = await second("infinite");
    await editNifti(infinite, infinite, asFloatWith([Infinity]));
    const shape = await second("shape");
    await editNifti(shape, shape, withoutLastPlane);
    const spacing = await second("spacing");
    await editNifti(spacing, spacing, withWiderVoxels);
    const text = await second("text");
    await Deno.writeTextFile(text, "not an image");
    await Deno.remove(await second("missing"));
    await Deno.copyFile(await second("surplus"), join(input, "surplus_0003.nii.gz"));

    const output = join(folder, "out");
    const reportFile = join(folder, "report.json");
    const result = await predict(TWO.model, input, output, "--report", reportFile);
    assertRefused(result, "10 of 11 cases could not be predicted");
    assertEquals(await predictions(output), ["sound.nii.gz"]);

    const report = JSON.parse(await Deno.readTextFile(reportFile));
    assertEquals(report.outcome, "some cases failed");
    assertEquals(report.cases.map(({ id }: { id: string }) => id), ["sound"]);
    const messages = new Map<string, string>(
      report.failed.map(({ id, message }: { id: string; message: string }) => [id, message]),
    );
    assertEquals([...messages.keys()].sort(), [
      ...["flipped", "infinite", "missing", "nan", "shape", "short", "spacing", "surplus", "text", "truncated"],
    ]);
    const words: Record<string, string[]> = {
      truncated: [truncated],
      flipped: [flipped, "CRC"],
      short: [short],
      nan: [nan, "2", "--nan"],
      infinite: [infinite, "--nan"],
      shape: [shape],
      spacing: [spacing],
      text: [text],
      missing: ["missing_0001.nii.gz (T2) is not there"],
      surplus: ["surplus_0003.nii.gz"],
    };
    for (const [id, parts] of Object.entries(words)) {
      const message = messages.get(id) ?? "";
      assert(message.includes(`case ${id}`), message);
      for (const part of parts) assert(message.includes(part), `${id} lacks ${part}: ${message}`);
      assert(result.stderr.includes(message), `stderr lacks ${message}`);
    }
  });
});

Deno.test("--nan zero predicts images with NaN and counts what it replaced", async () => {
  await inTempFolder(async (folder) => {
    const input = join(folder, "in");
    await Deno.mkdir(input);
    const [, file] = await twoChannelCase(input, "nan");
    await editNifti(file, file, asFloatWith([NaN, 1, -Infinity]));
    const reportFile = join(folder, "report.json");
    const result = await predict(TWO.model, input, join(folder, "out"), "--nan", "zero", "--report", reportFile);
    assertEquals(result.code, 0, result.stderr);
    const report = JSON.parse(await Deno.readTextFile(reportFile));
    assertEquals(report.cases[0].replacedVoxels, [0, 2]);
  });
});

Deno.test("an empty folder, a wrong ending and a missing input are errors that say what is there", async () => {
  await inTempFolder(async (folder) => {
    const input = join(folder, "in");
    const output = join(folder, "out");
    assertRefused(await predict(ONE.model, input, output), input, "there is no such file or folder");
    await Deno.mkdir(input);
    assertRefused(await predict(ONE.model, input, output), input, "the folder is empty");
    await Deno.writeTextFile(join(input, "a_0000.nii"), "");
    assertRefused(await predict(ONE.model, input, output), "no file ends with .nii.gz", "1 file .nii");
    assertEquals(await namesIn(output), []);
  });
});

Deno.test("two inputs for one output are refused", async () => {
  await inTempFolder(async (folder) => {
    assertRefused(
      await predict(ONE.model, ONE.images, join(folder, "out.nii.gz")),
      "two inputs for one output",
      "2 cases",
    );
    const input = join(folder, "in");
    await copyFolder(ONE.images, input);
    await Deno.copyFile(join(input, "test_000_0000.nii.gz"), join(input, "test_000.nii.gz"));
    const result = await predict(ONE.model, input, join(folder, "out"));
    assertRefused(result, "case test_000", "two inputs for one output");
    assertEquals(await predictions(join(folder, "out")), ["test_001.nii.gz"]);
  });
});

Deno.test("an output that is an input, of another ending, or cannot be made is refused before the work", async () => {
  await inTempFolder(async (folder) => {
    const image = join(folder, "scan.nii.gz");
    await Deno.copyFile(join(ONE.images, "test_000_0000.nii.gz"), image);
    assertRefused(await predict(ONE.model, image, folder), "overwrite an input image", image);
    assertRefused(await predict(ONE.model, image, join(folder, "x.nii")), "-o ends with .nii", ".nii.gz");
    await Deno.writeTextFile(join(folder, "file"), "");
    assertRefused(await predict(ONE.model, image, join(folder, "file", "out")), join(folder, "file", "out"));
    // A missing folder of the report is made; one that a file stands in the way of is not.
    const report = join(folder, "file", "report.json");
    assertRefused(await predict(ONE.model, image, join(folder, "out"), "--report", report), join(folder, "file"));
    assertEquals(await namesIn(folder), ["file", "scan.nii.gz"]);
  });
});

Deno.test("no input is overwritten: images, previous stage, model and report, by links as well", async () => {
  await inTempFolder(async (folder) => {
    const [images, model, previous] = ["in", "model", "prev"].map((name) => join(folder, name));
    await copyFolder(ONE.images, images);
    await copyFolder(ONE.model, model);
    await copyFolder(CASCADE.previous, previous);
    await Deno.symlink(images, join(folder, "link"));
    await Deno.symlink(folder, join(folder, "up"));
    const before = await filesBelow(folder);
    for (const output of ["in", "link", "up/in", "up/link", "up/up/in"]) {
      assertRefused(
        await predict(model, images, join(folder, output)),
        "the output folder is the folder of the images",
      );
    }
    const image = join(images, "test_000_0000.nii.gz");
    assertRefused(await predict(model, image, join(folder, "link/test_000_0000.nii.gz")), "overwrite an input image");
    assertRefused(await predict(model, images, join(folder, "up/model")), "the output folder is the model's folder");
    const stage = ["-prev_stage_predictions", join(folder, "up/prev")];
    const cascade = await predict(CASCADE.model, CASCADE.images, previous, ...stage);
    assertRefused(cascade, "the previous stage's segmentation");
    const output = join(folder, "out");
    for (const report of ["link/test_000_0000.nii.gz", "model/fold_0/checkpoint_final.pth", "out/test_000.nii.gz"]) {
      const { code, stderr } = await predict(model, images, output, "--report", join(folder, report));
      assertEquals(code, 2, stderr);
      assert(stderr.includes("a name that ends in .json is needed"), stderr);
    }
    for (const report of ["up/model/plans.json", "out/dataset.json", "out/predict_from_raw_data_args.json"]) {
      const result = await predict(model, images, output, "--report", join(folder, report));
      assertRefused(result, "files of this name hold something else", report);
    }
    assertEquals(await filesBelow(folder), before);
    await Deno.symlink(image, join(folder, "image.json"));
    await Deno.symlink(join(folder, "image.json"), join(folder, "report.json"));
    const onto = await predict(model, images, output, "--report", join(folder, "report.json"));
    assertRefused(onto, "the report would overwrite an input", image);
  });
});

/** Path, bytes and time of change of all files, links not followed. */
async function filesBelow(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    const { size, mtime } = await Deno.lstat(path);
    found.push(...(isDirectory ? await filesBelow(path) : [`${path} ${size} ${mtime?.getTime()}`]));
  }
  return found.sort();
}

Deno.test("the cascade's second stage is refused without the first, for all cases or for one", async () => {
  await inTempFolder(async (folder) => {
    const output = join(folder, "out");
    assertRefused(await predict(CASCADE.model, CASCADE.images, output), "-prev_stage_predictions");
    const previous = join(folder, "prev");
    await copyFolder(CASCADE.previous, previous);
    await Deno.remove(join(previous, "test_001.nii.gz"));
    const result = await predict(CASCADE.model, CASCADE.images, output, "-prev_stage_predictions", previous);
    assertRefused(result, "case test_001", join(previous, "test_001.nii.gz"));
    assertEquals(await predictions(output), ["test_000.nii.gz"]);
    assertRefused(
      await predict(ONE.model, ONE.images, output, "-prev_stage_predictions", previous),
      "no previous stage",
    );
  });
});

Deno.test("a GPU asked for by name is refused, unless the CPU is allowed", async () => {
  await inTempFolder(async (folder) => {
    const image = join(ONE.images, "test_000_0000.nii.gz");
    const output = join(folder, "x.nii.gz");
    assertRefused(await predict(ONE.model, image, output, "-device", "cuda"), "-device cuda", "--allow_cpu");
    const result = await predict(ONE.model, image, output, "-device", "cuda", "--allow_cpu", "--quiet");
    assertEquals([result.code, result.stdout, result.stderr], [0, "", ""]);
    assertEquals(await namesIn(folder), ["x.nii.gz"]);
  });
});

Deno.test("an empty part and nothing left to continue are a line and exit code 0", async () => {
  await inTempFolder(async (folder) => {
    const output = join(folder, "out");
    const empty = await predict(ONE.model, ONE.images, output, "-num_parts", "5", "-part_id", "4");
    assertEquals(empty.code, 0, empty.stderr);
    assert(empty.stdout.includes("nothing to do in this part"), empty.stdout);

    const part = await predict(ONE.model, ONE.images, output, "-num_parts", "2", "-part_id", "1");
    assertEquals([part.code, await predictions(output)], [0, ["test_001.nii.gz"]]);
    const before = (await Deno.stat(join(output, "test_001.nii.gz"))).mtime;
    assertEquals((await predict(ONE.model, ONE.images, output, "--continue_prediction")).code, 0);
    assertEquals(await predictions(output), ["test_000.nii.gz", "test_001.nii.gz"]);
    assertEquals((await Deno.stat(join(output, "test_001.nii.gz"))).mtime, before);
    const nothing = await predict(ONE.model, ONE.images, output, "--c");
    assertEquals(nothing.code, 0);
    assert(nothing.stdout.includes("nothing is left to do"), nothing.stdout);
  });
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test({
    name: `${signal} ends a run with exit code 1 and nothing half-written, and the run can be continued`,
    ignore: Deno.build.os === "windows",
    fn: () =>
      inTempFolder(async (folder) => {
        const input = join(folder, "in");
        const output = join(folder, "out");
        await Deno.mkdir(input);
        const source = join(ONE.images, "test_000_0000.nii.gz");
        await Deno.copyFile(source, join(input, "a_0000.nii.gz"));
        await editNifti(source, join(input, "b_0000.nii.gz"), repeatedAlongZ(60));
        const args = ["predict_from_modelfolder", "-m", ONE.model, "-i", input, "-o", output, "-f", "0", "1"];
        const stopped = await interruptCommand([...args, "--save_probabilities", "--verbose"], "b: ", signal);
        assertRefused(stopped, "stopped: ", "of 2 cases are done", "--continue_prediction");
        const left = await namesIn(output);
        assert(!left.includes("b.nii.gz") && !left.some((name) => name.startsWith(".")), left.join(", "));
        assert(!left.includes("b.npz"), left.join(", "));

        const continued = await runCommand([...args, "--continue_prediction", "--disable_tta", "-step_size", "1"]);
        assertEquals(continued.code, 0, continued.stderr);
        assertEquals((await predictions(output)).filter((name) => name.endsWith(".nii.gz")), ["a.nii.gz", "b.nii.gz"]);
      }),
  });
}
