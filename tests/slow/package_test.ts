/**
 * The one file of `deno task package`, used as its user would: copied alone into an empty folder whose name has spaces and letters beyond
 * ASCII, without network, Deno and Node, with an empty home. The whole cycle runs, training included: a minute or two on two free cores.
 */
import { join } from "../../core/base/path.ts";
import { PHANTOM_LABELS } from "../../cli/demo/phantom.ts";
import { fileDigest } from "../../cli/program_digest.ts";
import { VERSION } from "../../cli/version.ts";
import { assert, assertEquals } from "../assert.ts";
import { inTempFolder, namesIn } from "../golden/cli/run_command.ts";
import { makePackage, sh, type Shell } from "./packaged.ts";

const LARGEST = 150e6;

interface Place extends Shell {
  /** The package, alone in its folder. */
  readonly file: string;
}

async function makePlace(folder: string): Promise<Place> {
  const made = await makePackage(join(folder, "made"));
  const [alone, home, cwd] = ["Prüf Gerät 2 \u{1F9E0}", "home", "elsewhere"].map((name) => join(folder, name));
  for (const path of [alone, home, cwd]) await Deno.mkdir(path);
  const file = join(alone, "nnunet");
  await Deno.rename(made, file);
  await Deno.rename(join(folder, "made", "nnunet-serve"), join(alone, "nnunet-serve"));
  await Deno.remove(join(folder, "made"), { recursive: true });
  return { file, home, cwd };
}

/** The Dice of each class of each phantom, of the demo's table. */
function diceOf(text: string): number[] {
  const rows = [...text.matchAll(/^phantom_\d+ +([\d. ]+)$/gm)].map(([, row]) => row.trim().split(/ +/).map(Number));
  assertEquals(rows.map(({ length }) => length), [1, 2, 3].map(() => Object.keys(PHANTOM_LABELS).length), text);
  return rows.flat();
}

Deno.test({
  name: "one file runs the whole cycle anywhere, alone and without network, and opens no socket but Unix ones",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    inTempFolder(async (folder) => {
      const place = await makePlace(folder);
      const { file, cwd } = place;
      assert((await Deno.stat(file)).size < LARGEST);
      const has = async (command: string) => (await sh(place, command, [])).code === 0;
      const alone = await has("unshare -rn true") ? 'unshare -rn "$@"' : '"$@"';

      // Eight at once, on a cold cache.
      const many = 'for i in 1 2 3 4 5 6 7 8; do "$@" version & done; wait';
      const versions = await sh(place, many, [file]);
      const line =
        `nnunet ${VERSION} (follows nnU-Net 2.5.1)\nnetwork: none, other programs: none, native libraries: none\n`;
      assertEquals(versions.stdout, line.repeat(8), versions.stderr);
      assertEquals((await namesIn(join(place.home, ".cache/nnunet"))).length, 1);

      const json = JSON.parse((await sh(place, 'exec "$@"', [file, "version", "--json"])).stdout);
      const here = ["read", "write", "env", "sys"].map((name) => [name, "all"]);
      const denied = ["net", "run", "ffi"].map((name) => [name, "none"]);
      assertEquals(json.permissions, Object.fromEntries([...here, ...denied]));
      assertEquals(json.program, { kind: "package", file, sha256: await fileDigest(file), of: "package" });

      const traced = await has("strace -f --seccomp-bpf -e trace=network true");
      const calls = join(folder, "calls");
      const trace = `strace -f --seccomp-bpf -e trace=socket -o '${calls}' `;
      const cycle = await sh(place, `exec ${traced ? trace : ""}${alone}`, [file, "demo"]);
      assertEquals(cycle.code, 0, cycle.stdout + cycle.stderr);
      for (const dice of diceOf(cycle.stdout)) assert(dice > 0.85, cycle.stdout);
      for (const name of ["overlay.png", "predictions/summary.json"]) {
        assert((await Deno.stat(join(cwd, "demo-output", name))).isFile);
      }
      if (traced) {
        const sockets = (await Deno.readTextFile(calls)).split("\n").filter((line) => line.includes("socket("));
        assertEquals(sockets.filter((line) => !line.includes("socket(AF_UNIX")), []);
      }

      await checkNames(place);
      await checkService(place);
      await checkOtherUser(place, folder);
    }),
});

/** Python's names, by `link` and by a symbolic link; exit codes. */
async function checkNames(place: Place): Promise<void> {
  const { file, home } = place;
  const linked = await sh(place, 'exec "$@"', [file, "link", join(home, "bin dir")]);
  assertEquals(linked.code, 0, linked.stderr);
  await Deno.symlink(file, join(home, "nnUNetv2_predict"));
  for (const name of ["bin dir/nnUNetv2_predict", "nnUNetv2_predict"]) {
    const help = await sh(place, 'exec "$@"', [join(home, name), "--help"]);
    assert(help.code === 0 && help.stdout.includes("usage: nnUNetv2_predict -i"), help.stdout + help.stderr);
    assertEquals((await sh(place, 'exec "$@"', [join(home, name), "--nonsense"])).code, 2);
  }
  assertEquals((await sh(place, 'exec "$@"', [file, "evaluate_simple", "no", "no", "-l", "1"])).code, 1);
}

/** The second one listens on this machine's addresses, and then can't ask anyone. */
async function checkService({ file, home }: Place): Promise<void> {
  const service = `${file}-serve`;
  const version = await sh({ home, cwd: home }, 'exec "$@"', [service, "version"]);
  assert(version.stdout.includes("network: some, other programs: none"), version.stdout);
  const words = ["-m", join(home, "none"), "--port", "0", "--state", join(home, "state")];
  const run = await sh({ home, cwd: home }, 'exec "$@"', [service, ...words]);
  assert(run.code === 1 && run.stderr.includes("there is no such folder"), run.stderr);
  const denied = await sh({ home, cwd: home }, 'exec "$@"', [file, "serve", ...words]);
  assert(denied.code === 1 && denied.stderr.includes("Start nnunet-serve"), denied.stderr);
}

/** Another user's home and folder; the file itself belongs to this one. */
async function checkOtherUser({ file }: Place, folder: string): Promise<void> {
  if (Deno.uid() !== 0) return;
  const [home, cwd] = ["their home", "their folder"].map((name) => join(folder, name));
  await Deno.chmod(folder, 0o755);
  for (const path of [home, cwd]) {
    await Deno.mkdir(path);
    await Deno.chown(path, 65534, 65534);
  }
  const other = 'exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"';
  const run = await sh({ home, cwd }, other, [file, "demo", "--predict-only"]);
  assertEquals(run.code, 0, run.stdout + run.stderr);
  for (const dice of diceOf(run.stdout)) assert(dice > 0.9, run.stdout);
}
