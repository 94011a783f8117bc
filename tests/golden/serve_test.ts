/** The service as its clients use it: what comes back is what predict gives, and what predict refuses is refused in its words. */
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { packedSeries, unpackSeries } from "./dicom/cases.ts";
import { copyFolder, inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";
import {
  ask,
  atWork,
  ended,
  failToServe,
  imagesOf,
  type Json,
  modelFolder,
  putCascade,
  resultOf,
  segmented,
  send,
  serve,
} from "./cli/served.ts";

const CT = "iso_ct_two_folds";
const REGIONS = "regions_ignore";
const MODELS = ["-m", `ct=${modelFolder(CT)}`, "-m", `regions=${modelFolder(REGIONS)}`];

/** What predict makes of a case: the folder's files. */
async function predicted(folder: string, model: string, files: readonly string[], ...flags: string[]) {
  const output = join(folder, `predicted ${model} ${flags.join(" ").replaceAll("/", " ")}`);
  await Deno.mkdir(output);
  const line = ["-i", files.join(","), "-o", output, "-m", modelFolder(model), ...flags];
  return { output, ...await runCommand(["predict_from_modelfolder", ...line]) };
}

interface Asked {
  readonly model: string;
  readonly files: readonly string[];
  readonly fields: Readonly<Record<string, string>>;
  /** The golden model, and how predict is asked for the same. */
  readonly of: string;
  readonly flags: readonly string[];
}

Deno.test("what the service gives is predict's to the byte, for several models, options and jobs at once", async () => {
  await inTempFolder(async (folder) => {
    const state = join(folder, "state");
    await using served = await serve([...MODELS, "--state", state]);
    const { url } = served;
    assert(served.stdout().startsWith("listening on http://127.0.0.1:"), served.stdout());
    const asked: readonly Asked[] = [
      { model: "ct", files: imagesOf(CT, "test_000", 1), fields: {}, of: CT, flags: ["-f", "0", "1"] },
      { model: "regions", files: imagesOf(REGIONS, "test_001", 2), fields: {}, of: REGIONS, flags: ["-f", "0"] },
      {
        model: "ct",
        files: imagesOf(CT, "test_001", 1),
        fields: { disable_tta: "true", step_size: "0.8", save_probabilities: "true" },
        of: CT,
        flags: ["-f", "0", "1", "--disable_tta", "-step_size", "0.8", "--save_probabilities"],
      },
    ];
    const jobs = await Promise.all(
      asked.map(({ model, files, fields }) => segmented(url, files, { model, ...fields })),
    );
    for (const [i, { of, files, flags }] of asked.entries()) {
      const { output, code, stderr } = await predicted(folder, of, files, ...flags);
      assertEquals(code, 0, stderr);
      const job = jobs[i];
      assertEquals(job.state, "done", JSON.stringify(job));
      const parts = flags.includes("--save_probabilities")
        ? ["segmentation", "probabilities", "properties"]
        : ["segmentation"];
      assertEquals(job.results, parts);
      for (const [k, ending] of [".nii.gz", ".npz", ".pkl"].slice(0, parts.length).entries()) {
        const expected = await Deno.readFile(join(output, `${job.case}${ending}`));
        assertEquals(await resultOf(url, job.id, parts[k]), expected, `${job.case}${ending}`);
      }
      const report = (await ask(`${url}/jobs/${job.id}/report`)).body;
      assertEquals(report.cases[0].labels, job.labels);
      assert(/^[0-9a-f]{64}$/.test(report.model.folds[0].sha256));
      assertEquals(await namesIn(join(state, "jobs", job.id)), ["job.json", "result"], "the images are gone");
    }
    // Names and paths of images are nobody's who reads the log.
    assert(!served.stdout().includes("test_00"), served.stdout());
    const metrics = await (await fetch(`${url}/metrics`)).text();
    assert(metrics.includes('nnunet_jobs_total{model="ct",state="done"} 2\n'), metrics);
  });
});

Deno.test("an image is named by its path where it lies below a root, through whatever links, and nowhere else", async () => {
  await inTempFolder(async (folder) => {
    const root = join(folder, "root");
    await Deno.mkdir(root);
    const [image] = imagesOf(CT, "test_000", 1);
    const [inside, outside] = [join(root, "a_0000.nii.gz"), join(folder, "a_0000.nii.gz")];
    await Deno.copyFile(image, inside);
    await Deno.copyFile(image, outside);
    await Deno.symlink(outside, join(root, "link_0000.nii.gz"));
    await using served = await serve(["-m", modelFolder(CT), "--state", join(folder, "state"), "--root", root]);
    const post = (body: unknown) =>
      ask(`${served.url}/jobs`, {
        method: "POST",
        body: JSON.stringify(body),
        headers: { "content-type": "application/json" },
      });
    const { status, body } = await post({ files: [inside], options: { disable_tta: true } });
    assertEquals(status, 202);
    const job = await ended(served.url, body.id);
    assertEquals([job.state, job.case], ["done", "a"]);
    assert((await Deno.stat(inside)).isFile, "it is not the service's to remove");
    const refused = [
      outside,
      join(root, "link_0000.nii.gz"),
      `${root}/../a_0000.nii.gz`,
      "a_0000.nii.gz",
      root,
      join(root, "none.nii.gz"),
    ];
    for (const path of refused) {
      const { status, body } = await post({ files: [path] });
      assertEquals(status, 403, path);
      assert(body.detail.includes("(--root)"), body.detail);
    }
    const study = join(root, "study");
    await unpackSeries((await packedSeries()).axial, study);
    const sent = await post({ files: [study], options: { output_format: ["dicom-seg"] } });
    const series = await ended(served.url, sent.body.id);
    assertEquals([series.state, series.case, series.results], ["done", "study", ["segmentation", "dicom-seg"]]);
    assertEquals((await post({ files: [inside], options: { output_format: ["dicom-seg"] } })).status, 400);
    assertEquals((await post({ files: [inside, study] })).status, 415);
    // A link that takes a file's place while the job waits. Two are before it, so that it is not read ahead.
    const folded = join(root, "folder");
    await Deno.mkdir(folded);
    const waiting = [inside, join(folded, "b_0000.nii.gz"), study];
    await Deno.copyFile(image, waiting[1]);
    const before = [
      (await send(served.url, [image], { step_size: "0.02" })).body,
      (await send(served.url, [image])).body,
    ];
    const jobs = [];
    for (const path of waiting) jobs.push((await post({ files: [path] })).body);
    await Deno.remove(inside);
    await Deno.symlink(outside, inside);
    await Deno.remove(folded, { recursive: true });
    await Deno.mkdir(join(folder, "elsewhere"));
    await Deno.copyFile(outside, join(folder, "elsewhere", "b_0000.nii.gz"));
    await Deno.symlink(join(folder, "elsewhere"), folded);
    await Deno.symlink(outside, join(study, "another.dcm"));
    for (const { id } of before.reverse()) await ask(`${served.url}/jobs/${id}`, { method: "DELETE" });
    for (const [i, { id }] of jobs.entries()) {
      const job = await ended(served.url, id);
      assertEquals([job.state, job.error?.file], ["failed", waiting[i]]);
      assert(job.error.problem.includes("it leads out of the folders"), job.error.problem);
    }
    assertEquals((await post({ files: [study] })).status, 403);
  });
});

Deno.test("a DICOM study is sent file by file, in any order and under any name, and gives what predict makes of its folder, as DICOM too", async () => {
  await inTempFolder(async (folder) => {
    const study = join(folder, "study");
    await unpackSeries((await packedSeries()).axial, study);
    const codes = join(folder, "codes.json");
    await Deno.writeTextFile(
      codes,
      '{"L1": {"type": {"scheme": "SCT", "code": "367643001", "meaning": "Cyst"}, "colour": [250, 200, 0]}}',
    );
    const flags = ["-f", "0", "1", "--output-format", "dicom-seg", "nifti", "mha", "--segment-codes", codes];
    const { output, code, stderr } = await predicted(folder, CT, [study], ...flags);
    assertEquals(code, 0, stderr);
    const line = ["-m", modelFolder(CT), "--state", join(folder, "state"), "--segment-codes", codes];
    await using served = await serve(line);
    const form = new FormData();
    form.append("output_format", "dicom-seg, nifti mha");
    for (const name of (await namesIn(study)).reverse()) {
      form.append("dicom", new File([await Deno.readFile(join(study, name))], `../MUELLER^HANS/${name}`));
    }
    const { status, body } = await ask(`${served.url}/jobs`, { method: "POST", body: form });
    assertEquals(status, 202, JSON.stringify(body));
    const job = await ended(served.url, body.id);
    assertEquals([job.state, job.case], ["done", "study"], JSON.stringify(job));
    assertEquals(job.results, ["segmentation", "nifti", "mha", "dicom-seg"]);
    const parts = { segmentation: ".nii.gz", nifti: ".nii.gz", mha: ".mha", "dicom-seg": "_seg.dcm" };
    for (const [part, ending] of Object.entries(parts)) {
      assertEquals(await resultOf(served.url, job.id, part), await Deno.readFile(join(output, `study${ending}`)), part);
    }
    const rtstruct = await ask(`${served.url}/jobs/${job.id}/result?part=rtstruct`);
    assertEquals([rtstruct.status, rtstruct.body.detail], [409, "the job was done without rtstruct (output_format)"]);
    for (const output_format of ["dicom-seg", "dicom", ","]) {
      assertEquals((await send(served.url, imagesOf(CT, "test_000", 1), { output_format })).status, 400, output_format);
    }
    form.append("image", new File([], "a_0000.nii.gz"));
    assertEquals((await ask(`${served.url}/jobs`, { method: "POST", body: form })).status, 400);
  });
});

Deno.test("a cascade's second stage is served with its first, and gives what predict makes in two steps", async () => {
  await inTempFolder(async (folder) => {
    const { first, second, images } = await putCascade(folder);
    const [lowres, expected] = ["lowres", "expected"].map((name) => join(folder, name));
    for (
      const line of [["-m", first, "-o", lowres], ["-m", second, "-o", expected, "-prev_stage_predictions", lowres]]
    ) {
      const { code, stderr } = await runCommand(["predict_from_modelfolder", "-i", images, "-f", "0", ...line]);
      assertEquals(code, 0, stderr);
    }
    const state = join(folder, "state");
    await using served = await serve(["-m", `a=${second}`, "-m", `b=${first}`, "--state", state]);
    const { models } = (await ask(`${served.url}/models`)).body;
    assertEquals(models.map(({ first_stage }: Json) => first_stage), ["b", undefined]);
    const files = ["test_000", "test_001"].map((id) => join(images, `${id}_0000.nii.gz`));
    const jobs = await Promise.all(files.map((file) => segmented(served.url, [file], { model: "a" })));
    for (const job of jobs) {
      assertEquals(job.state, "done", JSON.stringify(job));
      const whole = await Deno.readFile(join(expected, `${job.case}.nii.gz`));
      assertEquals(await resultOf(served.url, job.id), whole, job.case);
      assert(whole.length !== (await Deno.readFile(join(lowres, `${job.case}.nii.gz`))).length, "the stages differ");
      assert(job.seconds.first_stage > 0);
      assertEquals(await namesIn(join(state, "jobs", job.id)), ["job.json", "result"]);
    }
    const cut = join(folder, "cut_0000.nii.gz");
    await Deno.writeFile(cut, (await Deno.readFile(files[0])).subarray(0, 500));
    const failed = await segmented(served.url, [cut], { model: "a" });
    assertEquals([failed.state, failed.error.file], ["failed", "cut_0000.nii.gz"]);
  });
});

Deno.test("a job that fails for the service's disk, or for a file of the model's that is away, says so, and those after it are done", async () => {
  await inTempFolder(async (folder) => {
    const [model, state] = ["model", "state"].map((name) => join(folder, name));
    await copyFolder(modelFolder(CT), model);
    await using served = await serve(["-m", model, "--state", state]);
    const image = imagesOf(CT, "test_000", 1);
    const plans = join(model, "plans.json");
    await Deno.rename(plans, `${plans}.away`);
    const away = await segmented(served.url, image);
    assertEquals([away.state, away.error.file, away.error.problem], ["failed", plans, "there is no such file"]);
    await Deno.rename(`${plans}.away`, plans);
    const done = await segmented(served.url, image);
    assertEquals(done.state, "done", JSON.stringify(done));

    const running = (await send(served.url, image, { step_size: "0.02" })).body;
    const waiting = (await send(served.url, image)).body;
    await atWork(served.url, running.id);
    await Deno.writeTextFile(join(state, "jobs", waiting.id, "result"), "a file in the folder's place");
    await ask(`${served.url}/jobs/${running.id}`, { method: "DELETE" });
    const failed = await ended(served.url, waiting.id);
    assertEquals([failed.state, failed.error.file], ["failed", "the job's folder/result"]);
    assert(failed.error.problem.startsWith("a file has that name"), JSON.stringify(failed));
  });
});

Deno.test("what predict refuses comes back as a failed job with the same words", async () => {
  await inTempFolder(async (folder) => {
    await using served = await serve([...MODELS, "--state", join(folder, "state")]);
    const truncated = join(folder, "cut_0000.nii.gz");
    const [whole] = imagesOf(CT, "test_000", 1);
    await Deno.writeFile(truncated, (await Deno.readFile(whole)).subarray(0, 2000));
    const cases = [
      { model: "ct", of: CT, files: [truncated] },
      { model: "regions", of: REGIONS, files: imagesOf(REGIONS, "test_000", 1) },
      { model: "ct", of: CT, files: imagesOf(REGIONS, "test_000", 2) },
    ];
    for (const { model, of, files } of cases) {
      const job = await segmented(served.url, files, { model });
      assertEquals(job.state, "failed");
      const { stderr } = await predicted(await Deno.makeTempDir({ dir: folder }), of, files, "-f", "0");
      assert(stderr.includes(job.error.problem), `${job.error.problem}\n${stderr}`);
      // It begins a sentence there.
      assert(stderr.includes(job.error.remedy.slice(1)), `${job.error.remedy}\n${stderr}`);
      assert(!JSON.stringify(job).includes(folder), JSON.stringify(job));
      assertEquals((await ask(`${served.url}/jobs/${job.id}/result`)).status, 409);
      assertEquals((await ask(`${served.url}/jobs/${job.id}/report`)).body.outcome === "done", false);
    }
    // And it goes on.
    assertEquals((await segmented(served.url, [whole], { model: "ct" })).state, "done");
  });
});

Deno.test("jobs are cancelled while they wait or run, and removed when they have ended", async () => {
  await inTempFolder(async (folder) => {
    const state = join(folder, "state");
    await using served = await serve(["-m", modelFolder(CT), "--state", state, "--max-queue", "2"]);
    const { url } = served;
    const files = imagesOf(CT, "test_000", 1);
    const options = { step_size: "0.02" }; // hundreds of tiles
    const running = (await send(url, files, options)).body;
    await atWork(url, running.id);
    const [first, second] = [(await send(url, files, options)).body, (await send(url, files, options)).body];
    assertEquals([first.position, second.position], [1, 2]);
    const full = await send(url, files);
    assertEquals([full.status, full.body.status], [503, 503]);
    const cancel = (id: string) => ask(`${url}/jobs/${id}`, { method: "DELETE" });
    assertEquals((await cancel(first.id)).body.state, "cancelled");
    assertEquals((await ask(`${url}/jobs/${second.id}`)).body.position, 1);
    assertEquals((await cancel(second.id)).body.state, "cancelled");
    assertEquals((await cancel(running.id)).body.state, "cancelled");
    assertEquals((await cancel(running.id)).status, 204);
    assertEquals((await cancel(running.id)).status, 404);
    assertEquals(await namesIn(join(state, "jobs")), [first.id, second.id].sort());
    assertEquals((await segmented(url, files)).state, "done");
  });
});

Deno.test("what has no room in the service's share of the disk is refused in words, leaves nothing, and takes nothing from the others", async () => {
  await inTempFolder(async (folder) => {
    const state = join(folder, "state");
    const [image] = imagesOf(CT, "test_000", 1);
    const { size } = await Deno.stat(image);
    const args = ["-m", modelFolder(CT), "--state", state, "--max-disk", String(Math.round(1.5 * size))];
    await using served = await serve(args);
    const running = (await send(served.url, [image], { step_size: "0.02" })).body;
    const { status, body } = await send(served.url, [image]);
    assertEquals(status, 507);
    assert(body.detail.includes("have room in the state folder"), body.detail);
    assertEquals(await namesIn(join(state, "jobs")), [running.id]);
    for (let times = 0; times < 2; times++) await ask(`${served.url}/jobs/${running.id}`, { method: "DELETE" });
    const never = await send(served.url, [image, ...imagesOf(CT, "test_001", 1)]);
    assertEquals(never.status, 413);
    assert(never.body.detail.includes("(--max-disk)"), never.body.detail);
    assertEquals((await segmented(served.url, [image])).state, "done");
  });
});

Deno.test("events tell of a job until it has ended, and the last is what the job's own address says", async () => {
  await inTempFolder(async (folder) => {
    await using served = await serve(["-m", modelFolder(CT), "--state", join(folder, "state")]);
    const { body: { id } } = await send(served.url, imagesOf(CT, "test_000", 1), { step_size: "0.1", name: "Ä first" });
    const text = await (await fetch(`${served.url}/jobs/${id}/events`)).text();
    const events: Json[] = [...text.matchAll(/^event: job\ndata: (.*)$/gm)].map(([, data]) => JSON.parse(data));
    assertEquals(events.at(-1), (await ask(`${served.url}/jobs/${id}`)).body);
    assertEquals([events.at(-1).state, events.at(-1).name], ["done", "Ä first"]);
    assert(events.some(({ progress, seconds_left }) => progress?.done > 0 && seconds_left >= 0), text);
  });
});

Deno.test("what would not work stops the service before it listens, in words", async () => {
  await inTempFolder(async (folder) => {
    const state = join(folder, "state");
    const model = modelFolder(CT);
    const fails = async (args: readonly string[], code: number, ...words: string[]) => {
      const told = await failToServe(args);
      assertEquals([told.code, told.stdout], [code, ""], told.stderr);
      for (const word of words) assert(told.stderr.includes(word), `${word}\n${told.stderr}`);
    };
    await fails(["-m", join(folder, "none"), "--state", state], 1, "there is no such folder");
    await fails(["-m", model, model, "--state", state], 1, "is that of", "-m NAME=");
    const codes = join(folder, "codes.json");
    await Deno.writeTextFile(codes, '{"liver": {"colour": [250, 200, 0]}}');
    await fails([...MODELS, "--state", state, "--segment-codes", codes], 1, 'the models have no class "liver"');
    await fails(["-m", modelFolder("cascade"), "--state", state], 1, "Give the folder of that model too");
    await fails(["-m", model, "--host", "0.0.0.0"], 2, "--token-file");
    await fails(["-m", model, "--token", "short"], 2, "16 or more");
    await fails(["-m", model, "--tls-cert", "a.pem"], 2, "it needs --tls-key");
    const pem = join(folder, "a.pem");
    await Deno.writeTextFile(pem, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    await fails(
      ["-m", model, "--tls-cert", pem, "--tls-key", pem, "--state", state],
      1,
      "certificate and key do not do",
    );
    await fails(["-m", model, "--stdio", "--log", "json"], 2, "--stdio");
    const others = join(folder, "others");
    await Deno.mkdir(others);
    await Deno.writeTextFile(join(others, "thesis.txt"), "");
    await fails(["-m", model, "--state", others], 1, "thesis.txt", "--state");
    assertEquals(await namesIn(others), ["thesis.txt"]);
    const denied = await failToServe(["-m", model, "--state", state], []);
    assertEquals(denied.code, 1);
    assert(denied.stderr.includes("nnunet-serve"), denied.stderr);

    await using served = await serve(["-m", model, "--state", state]);
    const port = new URL(served.url).port;
    await fails(["-m", model, "--state", join(folder, "another"), "--port", port], 1, "the port is in use", "--port 0");
    await fails(["-m", model, "--state", state], 1, "another service has it");
    await served.end("SIGTERM");
    await Deno.writeTextFile(join(state, "serve.json"), '{"format":"nnunet serve","version":2}');
    await fails(["-m", model, "--state", state], 1, "of version 2", "--state");
  });
});
