/**
 * Zips of models, exchanged with the real nnU-Net 2.5.1 (share/make_share.py): what it packs and prints, its zip installed here.
 * That it installs ours is run by `make_share.py check`; here Python's place is taken by what the zip's bytes say.
 */
import { crc32 } from "node:zlib";
import { dirname, fromFileUrl, join } from "../../core/base/path.ts";
import { openZip } from "../../core/formats/archive/zip.ts";
import { assert, assertEquals } from "../assert.ts";
import { copyFolder, GOLDEN, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

const SHARE = fromFileUrl(new URL("./share/", import.meta.url));
const UPSTREAM_ZIP = join(SHARE, "upstream.zip");
const DATASET = "Dataset900_Shared";

type Sources = Readonly<Record<string, { readonly model: string } | { readonly text: string }>>;
interface Export {
  readonly flags: string;
  readonly code: number;
  readonly lines: readonly string[];
  /** [bytes, CRC-32] by name. */
  readonly entries?: Readonly<Record<string, readonly [number, number]>>;
}

const SOURCES: Sources = JSON.parse(await Deno.readTextFile(join(SHARE, "results.json")));
const EXPORTS: Readonly<Record<string, Export>> = JSON.parse(await Deno.readTextFile(join(SHARE, "exports.json")));

/** The results folder that upstream exported from. */
async function makeResults(results: string): Promise<void> {
  for (const [path, source] of Object.entries(SOURCES)) {
    const target = join(results, path);
    await Deno.mkdir(dirname(target), { recursive: true });
    if ("model" in source) await Deno.copyFile(join(GOLDEN, "models", source.model), target);
    else await Deno.writeTextFile(target, source.text);
  }
}

/** [bytes, CRC-32] of a zip's entries by name, unpacked here. */
function contentsOf(zip: string): Record<string, [number, number]> {
  using opened = openZip(zip, "testing", { kind: "zip file", remedy: "make it again" });
  return Object.fromEntries(Array.from(opened.entries.values(), (entry) => {
    const bytes = opened.read(entry);
    return [entry.name, [bytes.length, crc32(bytes)]];
  }));
}

/** What we pack and upstream does not: what postprocessings are applied with, and the instructions under the name they have. */
const BEYOND =
  /^Dataset900_Shared\/(?:(?:ensembles\/[^/]+|[^/]+\/crossval_results_folds_0_1)\/(?:plans|dataset)\.json|inference_\w+\.\w+)$/;

for (const [name, { flags, code, lines, entries }] of Object.entries(EXPORTS)) {
  Deno.test(`exported with ${flags}: upstream's lines, its files with their contents (${name})`, async () => {
    await inTempFolder(async (folder) => {
      const results = join(folder, "results");
      await makeResults(results);
      const zip = join(folder, "out.zip");
      const args = ["nnUNetv2_export_model_to_zip", "-d", "900", "-o", zip, ...flags.split(" ")];
      const result = await runCommand(args, { env: { nnUNet_results: results } });
      assertEquals(result.code, code, result.stderr);
      if (!entries) {
        assert(result.stderr.includes("nnUNetPlans__3d_lowres"), result.stderr);
        assertEquals(await namesIn(folder), ["results"]);
        return;
      }
      assertEquals(result.stdout.split("\n").slice(0, lines.length), [...lines]);
      const ours = contentsOf(zip);
      assertEquals(Object.keys(entries).filter((file) => !(file in ours)), []);
      for (const [file, content] of Object.entries(ours)) {
        if (file in entries) assertEquals(content, [...entries[file]], file);
        else assert(BEYOND.test(file), file);
      }
    });
  });
}

Deno.test("upstream's zip is installed whole, predicts, is checked by doctor, and a changed byte is found", async () => {
  await inTempFolder(async (folder) => {
    const results = join(folder, "results");
    const env = { nnUNet_results: results };
    const installed = await runCommand(["install_pretrained_model_from_zip", UPSTREAM_ZIP], { env });
    assertEquals([installed.code, installed.stderr], [0, ""]);
    const entries = EXPORTS.both.entries ?? {};
    for (const [file, [bytes, checksum]] of Object.entries(entries)) {
      const content = await Deno.readFile(join(results, file));
      assertEquals([content.length, crc32(content)], [bytes, checksum], file);
    }
    const again = await runCommand(["nnUNetv2_install_pretrained_model_from_zip", UPSTREAM_ZIP], { env });
    assertEquals(again.code, 0);
    assert(again.stdout.includes("there already"), again.stdout);

    const out = join(folder, "out");
    const line = `predict -i ${GOLDEN}/images/slices_2d -o ${out} -d 900 -c 2d -f 0 -device cpu --disable_tta`;
    assertEquals((await runCommand(line.split(" "), { env })).code, 0);
    assert((await namesIn(out)).includes("plans.json"));

    assertEquals((await runCommand(["doctor", "--checksums"], { env })).code, 0);
    const weights = join(results, DATASET, "nnUNetTrainer__nnUNetPlans__2d/fold_1/checkpoint_final.pth");
    const bytes = await Deno.readFile(weights);
    bytes[bytes.length >> 1] ^= 1;
    await Deno.writeFile(weights, bytes);
    const { code, stdout } = await runCommand(["doctor", "--checksums"], { env });
    assertEquals(code, 1);
    assert(stdout.replaceAll(/\s+/g, " ").includes("fold_1/checkpoint_final.pth is changed"), stdout);
  });
});

Deno.test("a model with nothing but plans, dataset.json and weights is exported without its validation, installed, and predicts", async () => {
  await inTempFolder(async (folder) => {
    const results = join(folder, "results");
    const model = "nnUNetTrainerNoMirroring__nnUNetPlans__3d_fullres";
    await copyFolder(join(GOLDEN, "models/no_mirroring"), join(results, "Dataset291_Released", model));
    const zip = join(folder, "release.zip");
    const line = `export_model_to_zip -d 291 -tr nnUNetTrainerNoMirroring -c 3d_fullres -f 0 -o ${zip}`.split(" ");
    const strict = await runCommand(line, { env: { nnUNet_results: results } });
    assertEquals(strict.code, 1);
    for (const part of ["progress.png", "validation/summary.json", "dataset_fingerprint.json", "--not_strict"]) {
      assert(strict.stderr.includes(part), strict.stderr);
    }
    const { code, stdout, stderr } = await runCommand([...line, "--not_strict"], { env: { nnUNet_results: results } });
    assertEquals(code, 0, stderr);
    assert(stdout.includes("No ensemble directory found for task 291"), stdout);
    const env = { nnUNet_results: join(folder, "elsewhere") };
    assertEquals((await runCommand(["install_pretrained_model_from_zip", zip], { env })).code, 0);
    const out = join(folder, "out");
    const predict = `predict -i ${GOLDEN}/images/no_mirroring -o ${out} -d 291 -c 3d_fullres ` +
      "-tr nnUNetTrainerNoMirroring -f 0 -device cpu";
    const predicted = await runCommand(predict.split(" "), { env });
    assertEquals(predicted.code, 0, predicted.stderr);
    const files = (await namesIn(out)).filter((name) => name.endsWith(".nii.gz"));
    assertEquals(
      files,
      (await namesIn(join(GOLDEN, "expected/no_mirroring"))).filter((name) => name.endsWith(".nii.gz")),
    );
  });
});

Deno.test("--not_strict leaves out what is missing and says so, and a cascade without its first stage is told", async () => {
  await inTempFolder(async (folder) => {
    const results = join(folder, "results");
    await makeResults(results);
    const env = { nnUNet_results: results };
    const cascade = join(results, DATASET, "nnUNetTrainer__nnUNetPlans__3d_cascade_fullres");
    await copyFolder(join(GOLDEN, "models/cascade"), cascade);
    const zip = join(folder, "out.zip");
    const { code, stdout, stderr } = await runCommand(
      ["export_model_to_zip", "-d", DATASET, "-o", zip, "--not_strict"],
      { env },
    );
    assertEquals(code, 0, stderr);
    for (const part of ["3d_lowres", "2d/fold_2", "predicts from the predictions of 3d_lowres"]) {
      assert(stderr.includes(part), stderr);
    }
    const names = Object.keys(contentsOf(zip));
    assert(names.includes(`${DATASET}/nnUNetTrainer__nnUNetPlans__2d/crossval_results_folds_0_1/postprocessing.pkl`));
    assert(!names.some((name) => name.includes("___nnUNetTrainer__nnUNetPlans__3d_lowres")), names.join());
    assert(stdout.includes("Exporting fold_1") && !stdout.includes("Exporting fold_2"), stdout);

    const nothing = await runCommand(
      ["export_model_to_zip", "-d", DATASET, "-o", zip, "-c", "3d_lowres", "--not_strict"],
      { env },
    );
    assertEquals(nothing.code, 1);
    assert(nothing.stderr.includes("2d (0, 1)") && !nothing.stderr.includes("--not_strict"), nothing.stderr);
  });
});

Deno.test("an export into one of the exported files, without nnUNet_results, or of no dataset is refused", async () => {
  await inTempFolder(async (folder) => {
    const results = join(folder, "results");
    await makeResults(results);
    const plans = join(results, DATASET, "nnUNetTrainer__nnUNetPlans__2d/plans.json");
    const line = ["export_model_to_zip", "-d", "900", "-c", "2d", "-f", "0", "-o"];
    const over = await runCommand([...line, plans], { env: { nnUNet_results: results } });
    assertEquals(over.code, 1);
    assert(over.stderr.includes("a file that is to be exported"), over.stderr);
    const unset = await runCommand([...line, join(folder, "a.zip")]);
    assert(unset.code === 1 && unset.stderr.includes("nnUNet_results"), unset.stderr);
    const none = await runCommand(["install_pretrained_model_from_zip", join(folder, "none.zip")], {
      env: { nnUNet_results: results },
    });
    assert(none.code === 1 && none.stderr.includes("there is no such file"), none.stderr);
  });
});

Deno.test("a download names the file to fetch and how to install it, and touches no network", async () => {
  const url = "https://example.org/records/1/files/Dataset004_Hip.zip?download=1";
  const { code, stderr } = await runCommand(["nnUNetv2_download_pretrained_model_by_url", url]);
  assertEquals(code, 1);
  for (const part of [url, "never uses a network", "nnUNetv2_install_pretrained_model_from_zip Dataset004_Hip.zip"]) {
    assert(stderr.includes(part), stderr);
  }
  const file = await runCommand(["download_pretrained_model_by_url", UPSTREAM_ZIP]);
  assert(file.code === 1 && file.stderr.includes("install_pretrained_model_from_zip"), file.stderr);
  const text = await runCommand(["download_pretrained_model_by_url", "hippocampus"]);
  assert(text.code === 1 && text.stderr.includes("no URL"), text.stderr);
});
