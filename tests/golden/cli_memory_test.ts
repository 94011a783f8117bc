/** Runs with --max-memory: what does not fit is refused by name before memory is taken for it, and what fits gives the same files. */
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { editNifti, repeatedAlongZ, withVoxelsTimes } from "./cli/edit_nifti.ts";
import { GOLDEN, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

const MODEL = join(GOLDEN, "models/iso_ct_two_folds");
const IMAGE = join(GOLDEN, "images/iso_ct_two_folds/test_000_0000.nii.gz");
const FAST = ["--disable_tta", "-step_size", "1", "-f", "0", "-device", "cpu", "--threads", "1"];
const MIB = 2 ** 20;

/** Runs predict_from_modelfolder, and gives the most memory that it had, in bytes. */
async function predictMeasured(input: string, output: string, more: readonly string[]) {
  const { code, stdout, stderr } = await runCommand(
    ["predict_from_modelfolder", "-m", MODEL, "-i", input, "-o", output, ...FAST, ...more],
    { script: new URL("./cli/measured_main.ts", import.meta.url).pathname },
  );
  const [, peak = "0"] = /peak of resident memory: (\d+) bytes/.exec(stderr) ?? [];
  return { code, stdout, stderr, peak: Number(peak) };
}

async function threeImages(folder: string, bad: (bytes: Uint8Array) => Uint8Array): Promise<void> {
  await Deno.mkdir(folder);
  await Deno.copyFile(IMAGE, join(folder, "a_0000.nii.gz"));
  await editNifti(IMAGE, join(folder, "b_0000.nii.gz"), bad);
  await Deno.copyFile(IMAGE, join(folder, "c_0000.nii.gz"));
}

for (
  const { name, factor, parts } of [
    { name: "micrometres taken for millimetres", factor: 1000, parts: ["micrometres", "more than can be worked on"] },
    { name: "a voxel size of 1e30", factor: 1e30, parts: ["more than can be worked on"] },
    { name: "a voxel size 30 times too large", factor: 30, parts: ["may be used (--max-memory)", "not millimetres?"] },
  ]
) {
  Deno.test(`${name}: the case fails by name with both spacings, and the others are done below the limit`, () =>
    inTempFolder(async (folder) => {
      const [input, output] = [join(folder, "in"), join(folder, "out")];
      await threeImages(input, withVoxelsTimes(factor));
      const { code, stderr, peak } = await predictMeasured(input, output, ["--max-memory", "768M"]);
      assertEquals(code, 1, stderr);
      for (const part of [`(case b, ${join(input, "b_0000.nii.gz")})`, " mm become ", "at the model's", ...parts]) {
        assert(stderr.includes(part), `${part} in: ${stderr}`);
      }
      assert(!stderr.includes("defect"), stderr);
      const made = (await namesIn(output)).filter((one) => one.endsWith(".nii.gz"));
      assertEquals(made, ["a.nii.gz", "c.nii.gz"]);
      assert(peak > 0 && peak < 768 * MIB, `${peak} bytes`);
    }));
}

Deno.test("images larger than the limit allows at once are done one after the other, with the same labels", () =>
  inTempFolder(async (folder) => {
    const input = join(folder, "in");
    await Deno.mkdir(input);
    for (const id of ["a", "b"]) await editNifti(IMAGE, join(input, `${id}_0000.nii.gz`), repeatedAlongZ(40));
    const free = await predictMeasured(input, join(folder, "free"), []);
    assertEquals(free.code, 0, free.stderr);
    const limit = 480;
    const limited = await predictMeasured(input, join(folder, "limited"), ["--max-memory", `${limit}M`]);
    assertEquals(limited.code, 0, limited.stderr);
    for (const id of ["a", "b"]) {
      const [one, other] = [join(folder, "free", `${id}.nii.gz`), join(folder, "limited", `${id}.nii.gz`)];
      assertEquals(await Deno.readFile(one), await Deno.readFile(other));
    }
    assert(limited.peak < 1.1 * limit * MIB, `${limited.peak} bytes`);
  }));

Deno.test("a limit below what the program itself takes is refused for every case, with what it takes", () =>
  inTempFolder(async (folder) => {
    const { code, stderr } = await predictMeasured(IMAGE, join(folder, "a.nii.gz"), ["--max-memory", "64M"]);
    assertEquals(code, 1, stderr);
    assert(/64 MiB may be used \(--max-memory\), of which the program has \d+ MiB/.test(stderr), stderr);
    assertEquals((await namesIn(folder)).filter((one) => one.endsWith(".nii.gz")), []);
  }));

Deno.test({
  name: "a process that may open few files says so, and what to do, instead of ending without a word",
  ignore: Deno.build.os === "windows",
  fn: () =>
    inTempFolder(async (folder) => {
      const args = ["predict_from_modelfolder", "-m", MODEL, "-i", IMAGE, "-o", join(folder, "a.nii.gz"), ...FAST];
      const { code, stderr } = await runCommand(args, { openFiles: 32 });
      assertEquals(code, 1, stderr);
      assert(stderr.includes("more files may be open at once") && stderr.includes("ulimit -n"), stderr);
      const enough = await runCommand(args, { openFiles: 256 });
      assertEquals(enough.code, 0, enough.stderr);
    }),
});
