/**
 * The example for Orthanc with a real one (Debian's, with a folder, a port and a user of its own on this machine's loopback): what is stored is
 * predict's DICOM-SEG, once. Left out where Orthanc or Python is not installed.
 */
import { dirname, fromFileUrl, join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { inTempFolder, namesIn, runCommand } from "../golden/cli/run_command.ts";
import { type Json, modelFolder, serve } from "../golden/cli/served.ts";
import { packedSeries, unpackSeries } from "../golden/dicom/cases.ts";

const SCRIPT = fromFileUrl(new URL("../../examples/orthanc/segment.py", import.meta.url));
const CT = "iso_ct_two_folds";
const LOGIN = "anna:secret";
const HEADERS = { authorization: `Basic ${btoa(LOGIN)}` };

async function sh(command: string) {
  const { code, stderr } = await new Deno.Command("sh", { args: ["-c", command], stdin: "null" }).output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}

const READY = (await sh("command -v Orthanc && command -v python3")).code === 0;

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}

interface Orthanc extends AsyncDisposable {
  readonly address: string;
  ask(path: string, init?: RequestInit): Promise<Response>;
}

/** @param port Given, so that its clients can be there before it */
async function startOrthanc(folder: string, port: number): Promise<Orthanc> {
  await Deno.writeTextFile(
    join(folder, "orthanc.json"),
    JSON.stringify({
      Name: "example",
      StorageDirectory: join(folder, "storage"),
      IndexDirectory: join(folder, "storage"),
      HttpPort: port,
      RemoteAccessAllowed: false,
      AuthenticationEnabled: true,
      RegisteredUsers: { anna: "secret" },
      DicomServerEnabled: false,
      StableAge: 1,
      Plugins: [],
    }),
  );
  const child = new Deno.Command("sh", {
    args: ["-c", `exec Orthanc ${folder}/orthanc.json`],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const url = `http://127.0.0.1:${port}`;
  const ask = (path: string, init?: RequestInit) => fetch(`${url}${path}`, { headers: HEADERS, ...init });
  for (let tries = 0;; tries++) {
    const status = await ask("/system").then(async (answer) => {
      await answer.body?.cancel();
      return answer.status;
    }, () => 0);
    if (status === 200) break;
    assert(tries < 300, "Orthanc does not answer");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return {
    address: `http://${LOGIN}@127.0.0.1:${port}`,
    ask,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
    },
  };
}

async function stored({ ask }: Orthanc, modality: string): Promise<Json[]> {
  const series: Json[] = await (await ask("/series?expand")).json();
  return series.filter(({ MainDicomTags: { Modality } }) => Modality === modality);
}

async function bytesOf({ ask }: Orthanc, instance: string): Promise<Uint8Array> {
  return new Uint8Array(await (await ask(`/instances/${instance}/file`)).arrayBuffer());
}

/** Sends a folder's files, which are one series, and waits until that is stable. */
async function sendStudy(orthanc: Orthanc, folder: string): Promise<void> {
  for (const name of await namesIn(folder)) {
    const answer = await orthanc.ask("/instances", {
      method: "POST",
      body: await Deno.readFile(join(folder, name)),
    });
    await answer.json();
  }
  await untilStable(orthanc, 1);
}

/** Until Orthanc says of so many series that they are stable. */
async function untilStable({ ask }: Orthanc, count: number): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    const { Changes: changes } = await (await ask("/changes?limit=1000")).json();
    if (changes.filter(({ ChangeType }: Json) => ChangeType === "StableSeries").length >= count) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`Orthanc has no ${count} stable series`);
}

Deno.test({
  name: "a series that arrives in Orthanc is segmented once, and predict's DICOM-SEG of it is stored beside it",
  ignore: !READY,
  fn: () =>
    inTempFolder(async (folder) => {
      const study = join(folder, "study");
      await unpackSeries((await packedSeries()).axial, study);
      const output = join(folder, "predicted");
      const flags = ["-m", modelFolder(CT), "-f", "0", "1", "--output-format", "dicom-seg"];
      const { code, stderr } = await runCommand(["predict_from_modelfolder", "-i", study, "-o", output, ...flags]);
      assertEquals(code, 0, stderr);

      await using served = await serve(["-m", `ct=${modelFolder(CT)}`, "--state", join(folder, "state")]);
      await using orthanc = await startOrthanc(folder, freePort());
      const addresses = `--orthanc ${orthanc.address} --nnunet ${served.url} --model ct`;
      const segment = (more = "") => sh(`python3 ${SCRIPT} ${addresses} --state ${folder}/last.json --once ${more}`);
      await sendStudy(orthanc, study);
      const first = await segment();
      assertEquals(first.code, 0, first.stderr);
      const segmentations = await stored(orthanc, "SEG");
      assertEquals(segmentations.length, 1, first.stderr);
      const [{ Instances: [instance], ParentStudy: parent }] = segmentations;
      const [source] = await stored(orthanc, (await stored(orthanc, "CT")).length > 0 ? "CT" : "MR");
      assertEquals(parent, source.ParentStudy, "the segmentation is in the study of its series");
      const [expected] = (await namesIn(output)).filter((name) => name.endsWith("_seg.dcm"));
      assertEquals(await bytesOf(orthanc, instance), await Deno.readFile(join(output, expected)));

      // The segmentation is a stable series too by then, and neither is done again; from the start, Orthanc has the object already.
      await untilStable(orthanc, 2);
      const second = await segment();
      assertEquals([second.code, second.stderr], [0, ""]);
      await Deno.remove(join(folder, "last.json"));
      const again = await segment();
      assertEquals(again.code, 0, again.stderr);
      assert(again.stderr.includes("AlreadyStored"), again.stderr);
      assertEquals((await stored(orthanc, "SEG")).length, 1);

      // What the service refuses is told in its words, and is dealt with.
      await Deno.remove(join(folder, "last.json"));
      const refused = await segment("--model other");
      assertEquals(refused.code, 1);
      assert(refused.stderr.includes("is not segmented: sending the series: "), refused.stderr);
      assert(refused.stderr.includes("other"), refused.stderr);
      assertEquals((await segment()).stderr, "");
    }),
});

Deno.test({
  name:
    "a series that the service has no room for is given up and marked with the reason, and no longer when it is segmented",
  ignore: !READY,
  fn: () =>
    inTempFolder(async (folder) => {
      const study = join(folder, "study");
      await unpackSeries((await packedSeries()).axial, study);
      await using orthanc = await startOrthanc(folder, freePort());
      await sendStudy(orthanc, study);
      const [{ ID: series }] = await (await orthanc.ask("/series?expand")).json();
      let bytes = 0;
      for (const name of await namesIn(study)) bytes += (await Deno.stat(join(study, name))).size + 200;
      const segment = async (maxDisk: number, number: number) => {
        const state = join(folder, `state ${number}`);
        const args = ["-m", modelFolder(CT), "--state", state, "--max-disk", String(maxDisk)];
        await using served = await serve(args);
        const line =
          `--orthanc ${orthanc.address} --nnunet ${served.url} --state ${folder}/last.json --once --wait-for-room 1`;
        await Deno.remove(`${folder}/last.json`).catch(() => {});
        const run = await sh(`python3 ${SCRIPT} ${line}`);
        const mark = await orthanc.ask(`/series/${series}/metadata/4711`);
        return { ...run, mark: mark.status === 200 ? await mark.text() : (await mark.body?.cancel(), undefined) };
      };
      const never = await segment(bytes / 2, 1);
      assertEquals(never.code, 1, never.stderr);
      assert(/says 413: .*--max-disk/.test(never.mark ?? ""), never.stderr);
      // Room for the series, and with its results for no other.
      const done = await segment(bytes + 2000, 2);
      assertEquals([done.code, done.mark], [0, undefined], done.stderr);
      const full = await segment(bytes + 2000, 2);
      assertEquals(full.code, 1, full.stderr);
      assert(/says 507: .*given up, as there was no room for 1 s/.test(full.mark ?? ""), full.stderr);
    }),
});

Deno.test({
  name: "while the service is gone a series waits, and is segmented when it is back",
  ignore: !READY,
  fn: () =>
    inTempFolder(async (folder) => {
      const study = join(folder, "study");
      await unpackSeries((await packedSeries()).axial, study);
      await using orthanc = await startOrthanc(folder, freePort());
      await sendStudy(orthanc, study);
      const port = freePort();
      const addresses = `--orthanc ${orthanc.address} --nnunet http://127.0.0.1:${port}`;
      const running = sh(`python3 ${SCRIPT} ${addresses} --state ${folder}/last.json --once`);
      await new Promise((resolve) => setTimeout(resolve, 3000));
      await using _served = await serve(["-m", modelFolder(CT), "--state", join(folder, "state"), "--port", `${port}`]);
      const { code, stderr } = await running;
      assertEquals(code, 0, stderr);
      assert(stderr.includes("does not answer"), stderr);
      assertEquals((await stored(orthanc, "SEG")).length, 1, stderr);
    }),
});

Deno.test({
  name: "a body that the service refuses before its end is told in the service's words, and not sent again",
  ignore: (await sh("command -v python3")).code !== 0,
  fn: () =>
    inTempFolder(async (folder) => {
      await using served = await serve(["-m", modelFolder(CT), "--state", join(folder, "state"), "--max-upload", "1M"]);
      const script = join(folder, "send.py");
      const large = `orthanc = type("Large", (), {"ask": lambda *given, **named: bytes(1 << 20)})()`;
      const lines = [
        "import segment",
        large,
        "arguments = type('', (), {'model': None, 'disable_tta': False})",
        `segment.send("series", range(200), orthanc, segment.Server("${served.url}"), arguments)`,
      ];
      await Deno.writeTextFile(script, lines.join("\n"));
      const { stderr } = await sh(`PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=${dirname(SCRIPT)} python3 ${script}`);
      assert(/Refused: sending the series: .* says 413: .*are the most that are taken/.test(stderr), stderr);
    }),
});
