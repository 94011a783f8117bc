/** `serve --stdio`, and the client for Python that uses it, against what the Python nnU-Net made of the same images. */
import { FIRST_STAGE_FOLDER } from "../../cli/engines/cascade.ts";
import { machineMark } from "../../core/base/machine.ts";
import { fromFileUrl, join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { assertSameSegmentation } from "./cli/compare_labels.ts";
import { GOLDEN, inTempFolder, namesIn } from "./cli/run_command.ts";
import { imagesOf, type Json, modelFolder, putCascade } from "./cli/served.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const PERMISSIONS = ["--allow-read", "--allow-write", "--allow-env", "--allow-sys"];
const PROGRAM = ["deno", "run", "--quiet", "--no-prompt", "--frozen", ...PERMISSIONS, join(ROOT, "main.ts")];
const CT = "iso_ct_two_folds";

/** Answers to lines, after the first of all, in order. */
async function talk(args: readonly string[], lines: readonly unknown[]) {
  const child = new Deno.Command(PROGRAM[0], {
    args: [...PROGRAM.slice(1), "serve", "--stdio", ...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  const text = lines.map((line) => `${typeof line === "string" ? line : JSON.stringify(line)}\n`).join("");
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  const answers: Json[] = decoder.decode(stdout).trim().split("\n").map((line) => JSON.parse(line));
  return { code, answers, stderr: decoder.decode(stderr) };
}

Deno.test("requests are answered in their order, wrong ones in words, and what is taken back is not done", async () => {
  await inTempFolder(async (folder) => {
    const [first, second] = ["test_000", "test_001"].map((id) => imagesOf(CT, id, 1));
    const output = join(folder, "a.nii.gz");
    // Of a run that was killed.
    const left = join(folder, `${FIRST_STAGE_FOLDER}${machineMark()}-4711-0123abcd`);
    await Deno.mkdir(left);
    for (const file of [`${left}.scratch`, join(left, "a.nii.gz")]) await Deno.writeTextFile(file, "");
    const { code, answers, stderr } = await talk(["-m", modelFolder(CT)], [
      { id: 7, files: first, output, options: { save_probabilities: true, output_format: ["nifti", "nrrd"] } },
      "no request",
      { id: "x", files: [] },
      { id: "y", files: [join(folder, "none_0000.nii.gz")], output: join(folder, "b.nii.gz") },
      { id: "v", files: first, output: join(folder, "b.nii.gz"), options: { output_format: ["rtstruct"] } },
      { id: "z", files: first, output: first[0] },
      { id: "w", files: first, output: join(folder, "c.png") },
      { id: "late", files: second, output: join(folder, "d.nii.gz") },
      { cancel: "late" },
      { id: 8, files: second, output: join(folder, "e.nii.gz"), options: { step_size: 0.4 }, more: 1 },
    ]);
    assertEquals(code, 0, stderr);
    assertEquals([answers[0].type, answers[0].models[0].file_ending], ["ready", ".nii.gz"]);
    const ends = answers.slice(1).filter(({ type }) => type !== "progress");
    const told = (id: unknown) =>
      ends.filter((one) => one.id === id).map(({ type, problem = "" }) => `${type} ${problem}`);
    assertEquals(told(7), ["result "]);
    assertEquals(told(null), ["error it is no JSON in one line"]);
    assertEquals(told("late"), ["cancelled "]);
    for (
      const [id, words] of [["x", "files"], ["y", "no such file"], ["v", "the images are no DICOM"], [
        "z",
        "would overwrite an input image",
      ], [
        "w",
        ".nii.gz",
      ], [8, "more"]]
    ) {
      assertEquals(told(id).length, 1);
      assert(told(id)[0].startsWith("error") && told(id)[0].includes(String(words)), told(id)[0]);
    }
    const { outputs } = ends.find(({ type }) => type === "result") ?? {};
    assertEquals(outputs, { nifti: output, nrrd: join(folder, "a.nrrd") });
    assert(answers.some(({ id, type, done, of }) => id === 7 && type === "progress" && done === of));
    await assertSameSegmentation("SimpleITKIO", output, join(GOLDEN, "expected", CT, "test_000.nii.gz"));
    assertEquals(await namesIn(folder), ["a.nii.gz", "a.npz", "a.nrrd", "a.pkl"]);
  });
});

const PYTHON = Deno.env.get("NNUNET_TEST_PYTHON") ?? "python3";
const sh = async (script: string, ...words: string[]) => {
  const { code, stdout, stderr } = await new Deno.Command("sh", {
    args: ["-c", script, "sh", ...words],
    cwd: ROOT,
    stdin: "null",
    env: { PYTHONDONTWRITEBYTECODE: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
};
const hasNumpy = Deno.build.os !== "windows" && (await sh('exec "$1" -c "import numpy"', PYTHON)).code === 0;

Deno.test({
  name: "the client for Python predicts files and arrays, with probabilities, as the Python nnU-Net did",
  ignore: !hasNumpy,
  fn: () =>
    inTempFolder(async (folder) => {
      await putCascade(folder);
      const script = join(ROOT, "tests/golden/cli/client_check.py");
      const { code, text } = await sh('exec "$@"', PYTHON, script, GOLDEN, folder, JSON.stringify(PROGRAM));
      assertEquals(code, 0, text);
      assert(text.endsWith("all checks passed\n"), text);
      for (const id of ["test_000", "test_001"]) {
        const expected = join(GOLDEN, "expected", CT, `${id}.nii.gz`);
        await assertSameSegmentation("SimpleITKIO", join(folder, "files", `${id}.nii.gz`), expected);
      }
    }),
});
