/** The packed program: bundled into a folder of its own, it predicts there without the checkout. */
import { basename, fromFileUrl, join } from "../../core/base/path.ts";
import { bundle, STARTERS } from "../../cli/packaging/bundle.ts";
import { VERSION } from "../../cli/version.ts";
import { workerScripts } from "../../cli/packaging/worker_scripts.ts";
import { assert, assertEquals } from "../assert.ts";
import { assertSameSegmentation } from "./cli/compare_labels.ts";
import { packedSeries, unpackSeries } from "./dicom/cases.ts";
import { GOLDEN, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));

const PACKED = ["jpeg_u8", "jpeg_ls_u12", "j2k_s16", "sv1_s16", "rle_s16"];
const MODULES = ["charls.wasm", "libjpegturbo.wasm", "openjpeg.wasm", "resvg.wasm"];

Deno.test("the bundled program and its threads predict from another folder, without configuration or package cache", async () => {
  await inTempFolder(async (folder) => {
    const script = await bundle(join(folder, "program"));
    const threads = (await workerScripts(ROOT)).map((path) => basename(path));
    assertEquals(
      await namesIn(join(folder, "program")),
      [...threads, ...MODULES, "main.js", "model", "page", ...STARTERS].sort(),
    );
    const name = "iso_ct_two_folds";
    const output = join(folder, "out");
    const line = ["-i", join(GOLDEN, "images", name), "-o", output, "-m", join(GOLDEN, "models", name), "-f", "0", "1"];
    const { code, stdout, stderr } = await runCommand(["predict_from_modelfolder", ...line], {
      script,
      flags: ["--no-config", "--no-remote", "--no-npm", "--no-lock"],
    });
    assertEquals(code, 0, stderr);
    assert(stdout.includes("2 cases in"), stdout);
    if (Deno.build.os !== "windows") {
      await Deno.rename(join(folder, "program"), join(folder, "moved"));
      const started = await new Deno.Command("sh", { args: [join(folder, "moved", "nnunet"), "version"] }).output();
      const version = new TextDecoder().decode(started.stdout);
      assert(version.startsWith(`nnunet ${VERSION} (follows nnU-Net 2.5.1)\nnetwork: none,`), version);
      const usage = await new Deno.Command("sh", { args: [join(folder, "moved", "nnunet-serve")] }).output();
      assertEquals(usage.code, 2);
      assert(new TextDecoder().decode(usage.stderr).startsWith("usage: nnunet serve -m FOLDER..."));
    }
    // The decoders' modules are there too.
    for (const series of PACKED) await unpackSeries((await packedSeries())[series], join(folder, "dicom", series));
    const dicom = ["-i", join(folder, "dicom"), "-o", join(folder, "out_dicom"), ...line.slice(4)];
    const packed = await runCommand(["predict_from_modelfolder", ...dicom], {
      script: join(folder, Deno.build.os === "windows" ? "program" : "moved", "main.js"),
      flags: ["--no-config", "--no-remote", "--no-npm", "--no-lock"],
    });
    assertEquals([packed.code, packed.stderr], [0, ""]);
    for (const file of ["test_000.nii.gz", "test_001.nii.gz"]) {
      await assertSameSegmentation("SimpleITKIO", join(output, file), join(GOLDEN, "expected", name, file));
    }
  });
});
