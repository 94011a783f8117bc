/** Processes of the one file on one folder, one of them killed: each case is done once. And what a disk or a copy can do to the file. */
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { GOLDEN, inTempFolder, namesIn } from "../golden/cli/run_command.ts";
import { killed, makePackage, sh, type Shell } from "./packaged.ts";

const MODEL = join(GOLDEN, "models/iso_ct_two_folds");
const IMAGE = join(GOLDEN, "images/iso_ct_two_folds/test_000_0000.nii.gz");
const IDS = Array.from({ length: 40 }, (_, i) => `case${String(i).padStart(2, "0")}`);
const LINUX = Deno.build.os === "linux";

interface Place extends Shell {
  readonly file: string;
}

async function makePlace(folder: string): Promise<Place> {
  const [home, cwd] = ["home", "elsewhere"].map((name) => join(folder, name));
  for (const path of [home, cwd]) await Deno.mkdir(path);
  return { file: await makePackage(join(folder, "dist")), home, cwd };
}

/** Cases that a prediction says it has written. */
function written(stdout: string): string[] {
  return [...stdout.matchAll(/^\[\d+\/\d+\] (\w+): .* -> /gm)].map(([, id]) => id);
}

Deno.test({
  name:
    "of two processes of the one file that share a prediction one is killed: each case is done once, and all of them",
  ignore: !LINUX,
  fn: () =>
    inTempFolder(async (folder) => {
      const place = await makePlace(folder);
      const [input, output] = [join(folder, "in"), join(folder, "out")];
      await Deno.mkdir(input);
      for (const id of IDS) await Deno.copyFile(IMAGE, join(input, `${id}_0000.nii.gz`));
      const flags = ["-m", MODEL, "-i", input, "-o", output, "-f", "0", "--disable_tta", "--threads", "1", "--share"];
      const words = [place.file, "predict_from_modelfolder", ...flags];
      const running = sh(place, 'exec "$@"', words);
      const one = await killed(place, words, (stdout) => Promise.resolve(written(stdout).length >= 2));
      const other = await running;
      assert(one.code !== 0, one.stdout);
      assertEquals(other.code, 0, other.stderr);
      const both = [...written(one.stdout), ...written(other.stdout)];
      assertEquals(both.length, new Set(both).size, `${one.stdout}\n${other.stdout}`);
      const files = (await namesIn(output)).filter((name) => name.endsWith(".nii.gz") && !name.startsWith("."));
      assertEquals(files, IDS.map((id) => `${id}.nii.gz`));
      const again = await sh(place, 'exec "$@"', words);
      assertEquals([again.code, written(again.stdout)], [0, []], again.stderr);
      assertEquals((await namesIn(output)).filter((name) => name.startsWith(".")), []);
    }),
});

Deno.test({
  name: "of two processes of the one file that share a dataset one is killed: the other ends with all cases",
  ignore: !LINUX,
  fn: () =>
    inTempFolder(async (folder) => {
      const place = await makePlace(folder);
      const env = { nnUNet_raw: join(folder, "raw"), nnUNet_preprocessed: join(folder, "pre") };
      const raw = join(env.nnUNet_raw, "Dataset001_Many");
      for (const part of ["imagesTr", "labelsTr"]) await Deno.mkdir(join(raw, part), { recursive: true });
      await sh(place, 'exec "$@"', [place.file, "demo", "--predict-only", "-o", join(folder, "demo")]);
      for (const id of IDS.slice(0, 20)) {
        await Deno.copyFile(
          join(folder, "demo/images/phantom_101_0000.nii.gz"),
          join(raw, `imagesTr/${id}_0000.nii.gz`),
        );
        await Deno.copyFile(join(folder, "demo/truth/phantom_101.nii.gz"), join(raw, `labelsTr/${id}.nii.gz`));
      }
      const json = JSON.parse(await Deno.readTextFile(new URL("../../cli/demo/model/dataset.json", import.meta.url)));
      await Deno.writeTextFile(join(raw, "dataset.json"), JSON.stringify({ ...json, numTraining: 20 }));
      const at = { ...place, env };
      const planned = await sh(at, 'exec "$@"', [place.file, "plan_and_preprocess", "-d", "1", "--no_pp"]);
      assertEquals(planned.code, 0, planned.stderr);
      const words = [place.file, "preprocess", "-d", "1", "-c", "3d_fullres", "-np", "1", "--share"];
      const dataset = join(env.nnUNet_preprocessed, "Dataset001_Many");
      const running = sh(at, 'exec "$@"', words);
      const work = join(dataset, ".nnUNetPlans_3d_fullres.partial");
      const one = await killed(at, words, async () => {
        const names = await namesIn(work);
        return names.filter((name) => name.startsWith("case")).length >= 3;
      });
      assert(one.code !== 0, one.stdout);
      const other = await running;
      assertEquals(other.code, 0, other.stderr);
      const made = IDS.slice(0, 20).map((id) => `${id}.bricks`);
      assertEquals(await namesIn(join(dataset, "nnUNetPlans_3d_fullres")), [...made, "preprocessed.jsonl"]);
      assertEquals((await namesIn(dataset)).filter((name) => name.startsWith(".")), []);
    }),
});

Deno.test({
  name: "a full cache disk, a full output disk, and a file that was cut off or changed are said in one error each",
  ignore: !LINUX,
  fn: () =>
    inTempFolder(async (folder) => {
      const place = await makePlace(folder);
      const { file } = place;
      const broken = join(folder, "broken");
      const refused = async (...parts: string[]) => {
        const run = await sh(place, 'exec "$@"', [broken, "version"]);
        assertEquals([run.code, run.stdout], [1, ""]);
        for (const part of parts) assert(run.stderr.includes(part), run.stderr);
        await Deno.remove(broken);
      };
      const { size } = await Deno.stat(file);
      await Deno.copyFile(file, broken);
      await Deno.truncate(broken, Math.floor(size / 2));
      await refused("the file is incomplete: copy it again");
      await Deno.copyFile(file, broken);
      {
        using out = await Deno.open(broken, { read: true, write: true });
        const byte = new Uint8Array(1);
        await out.seek(Math.floor(size / 3), Deno.SeekMode.Start);
        await out.read(byte);
        byte[0] ^= 1;
        await out.seek(Math.floor(size / 3), Deno.SeekMode.Start);
        await out.write(byte);
      }
      await refused("copy it again");

      if ((await sh(place, "unshare -rm true", [])).code !== 0) return;
      const disk = join(folder, "disk");
      await Deno.mkdir(disk);
      const onDisk = (megabytes: number, words: readonly string[], env: Readonly<Record<string, string>> = {}) =>
        sh(
          { ...place, env },
          `disk=$1; shift; exec unshare -rm sh -c 'mount -t tmpfs -o size=${megabytes}m,mode=755 none "$0" || exit 99; "$@"; code=$?; ls -A "$0" | sed "s/^/left: /"; exit $code' "$disk" "$@"`,
          [disk, ...words],
        );
      const full = await onDisk(60, [file, "version"], { NNUNET_CACHE: disk });
      assertEquals([full.code, full.stdout], [1, ""], full.stderr);
      assert(full.stderr.includes("the disk is full") && full.stderr.includes("NNUNET_CACHE"), full.stderr);
      const fits = await onDisk(160, [file, "version"], { NNUNET_CACHE: disk });
      assertEquals(fits.code, 0, fits.stderr);

      // The model's files fit, the first case does not.
      const flags = ["-m", MODEL, "-i", join(IMAGE, ".."), "-o", join(disk, "out"), "-f", "0", "--disable_tta"];
      const output = await onDisk(1, [
        "sh",
        "-c",
        'head -c 1030000 /dev/zero > "$1/filler"; shift; exec "$@"',
        "sh",
        disk,
        file,
        "predict_from_modelfolder",
        ...flags,
      ]);
      assertEquals(output.code, 1, output.stdout);
      assert(output.stderr.includes("the disk is full"), output.stderr);
      assert(!/left: .*tmp/.test(output.stdout), output.stdout);
    }),
});
