/** The page of the service: images in, jobs, and the viewer of what came of them. It asks the service it came from and nobody else. */
"use strict";

/** Between looks at the list of jobs. */
const LIST_MS = 5000;
const FINAL = new Set(["done", "failed", "cancelled"]);
const KEY = "nnunet-token";

const byId = (id) => document.getElementById(id);
let models = [];
/** Parts of results, as they are called on buttons. */
const FORMATS = [["nifti", "NIfTI"], ["nrrd", "NRRD"], ["mha", "MHA"], ["dicom-seg", "DICOM-SEG"], [
  "rtstruct",
  "RTSTRUCT",
]];
/** What a part of DICOM files is made of, besides what the model's images are. */
const OF_DICOM = "nifti dicom-seg";
/** What is to be sent: { kind: "image" | "dicom", files, spacing: a file of voxel sizes }. */
let chosen;
/** The job that is looked at. */
let current;
let shown;

/** Asks the service. @throws Error with its words */
async function ask(path, init = {}) {
  const token = sessionStorage.getItem(KEY);
  const headers = { ...init.headers, ...(token && { authorization: `Bearer ${token}` }) };
  const response = await fetch(path, { ...init, headers });
  byId("access").hidden = response.status !== 401;
  if (response.ok) return response;
  const text = await response.text();
  let detail = text;
  try {
    detail = JSON.parse(text).detail;
  } catch {
    // Not the service's own words.
  }
  throw new Error(detail || `the service answered ${response.status}`);
}

const askJson = async (path, init) => await (await ask(path, init)).json();

function say(problem) {
  byId("problem").textContent = problem instanceof Error ? problem.message : problem;
}

/** What goes wrong in answering a person's act is told to that person. */
const telling = (act) => async (...args) => {
  try {
    say("");
    return await act(...args);
  } catch (error) {
    say(error);
  }
};

const chosenModel = () => models.find(({ name }) => name === byId("model").value);

async function loadModels() {
  ({ models } = await askJson("/models"));
  byId("model").replaceChildren(...models.map(({ name }) => new Option(name, name)));
  tellModel();
}

function tellModel() {
  const model = chosenModel();
  if (!model) return;
  byId("takes").textContent = `${model.dataset}, ${model.configuration}. Takes ${model.file_ending}: ${
    model.channels.join(", ")
  }.`;
  choose(chosen?.all);
}

/** Takes files: images where all have the model's ending, but for one with the voxel sizes of TIFF; else those of a DICOM study. */
function choose(files) {
  const model = chosenModel();
  if (!files?.length || !model) return;
  const spacing = files.find(({ name }) => name.endsWith(".json"));
  const images = files.filter((file) => file !== spacing);
  const isImages = images.length > 0 && images.every(({ name }) => name.endsWith(model.file_ending));
  const sorted = (isImages ? images : files).toSorted((a, b) => a.name < b.name ? -1 : 1);
  chosen = { kind: isImages ? "image" : "dicom", files: sorted, all: files, ...(isImages && { spacing }) };
  const names = sorted.length > 4 ? `${sorted.length} files` : sorted.map(({ name }) => name).join(", ");
  byId("chosen").textContent = isImages ? `Images: ${names}` : `DICOM: ${names}`;
  byId("start").disabled = false;
}

async function start(event) {
  event.preventDefault();
  const form = new FormData();
  form.append("model", chosenModel().name);
  form.append("name", chosen.kind === "image" ? chosen.files[0].name : "DICOM study");
  form.append("view", "true");
  if (byId("disable_tta").checked) form.append("disable_tta", "true");
  form.append("step_size", byId("step_size").value);
  if (byId("nan").value) form.append("nan", byId("nan").value);
  if (chosen.kind === "dicom") form.append("output_format", OF_DICOM);
  if (chosen.spacing) form.append("spacing", await chosen.spacing.text());
  for (const file of chosen.files) form.append(chosen.kind, file, file.name);
  byId("start").disabled = true;
  byId("chosen").textContent = "Sending...";
  try {
    const job = await askJson("/jobs", { method: "POST", body: form });
    byId("chosen").textContent = "Sent. Choose the next image meanwhile.";
    chosen = undefined;
    await open(job);
  } catch (error) {
    choose(chosen.all);
    throw error;
  }
}

/** Shows a job: its progress until it has ended, then what came of it. */
async function open(job) {
  current = job.id;
  shown?.dispose();
  shown = undefined;
  await listJobs();
  if (!FINAL.has(job.state)) job = await follow(job);
  if (current !== job.id) return;
  byId("running").hidden = true;
  await listJobs();
  if (job.state === "done") return await show(job);
  byId("viewer").replaceChildren();
  say(job.error ? job.error.message : `The job is ${job.state}.`);
}

/** Events of the service, read as they come: EventSource sends no token. */
async function follow(job) {
  byId("running").hidden = false;
  tellProgress(job);
  const response = await ask(`/jobs/${job.id}/events`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done || current !== job.id) break;
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const data = event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("");
      if (data) job = JSON.parse(data);
    }
    if (current === job.id) tellProgress(job);
  }
  await reader.cancel();
  return job;
}

function tellProgress({ state, position, progress, seconds_left: left }) {
  const words = state === "queued" ? `Waiting, place ${position ?? 1}` : state === "running" ? "Segmenting" : state;
  byId("state").textContent = left === undefined ? words : `${words}, about ${Math.ceil(left)} s left`;
  const bar = byId("progress");
  if (progress) {
    bar.max = progress.of;
    bar.value = progress.done;
  } else bar.removeAttribute("value");
}

let loadingNiivue;
/** NiiVue is large: it is loaded when there is something to draw. */
function loadNiivue() {
  loadingNiivue ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "/page/niivue.js";
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error("the viewer could not be loaded")));
    document.head.append(script);
  });
  return loadingNiivue;
}

/** A button's worth for each format of a job's segmentation. */
function downloadsOf(job) {
  const download = (part, text) => ({
    text: `Download ${text}`,
    get: telling(async () => {
      const response = await resultOf(job, part);
      const name = decodeURIComponent(/''(.*)$/.exec(response.headers.get("content-disposition"))?.[1] ?? "result");
      return { blob: await response.blob(), name };
    }),
  });
  const has = (part) => job.results.includes(part);
  const made = FORMATS.filter(([part]) => has(part)).map(([part, text]) => download(part, text));
  if (has("nifti") && !has("spacing")) return made;
  const ending = models.find(({ name }) => name === job.model)?.file_ending;
  const own = download("segmentation", ending === ".nii.gz" ? "NIfTI" : `segmentation ${ending ?? ""}`.trim());
  // What a TIFF volume does not hold itself.
  return [own, ...(has("spacing") ? [download("spacing", "voxel sizes .json")] : []), ...made];
}

const resultOf = (job, part) => ask(`/jobs/${job.id}/result?part=${part}`);

async function show(job) {
  const downloads = downloadsOf(job);
  if (!job.results.includes("view_image")) {
    const why = "This job was done without what the page shows (view).";
    byId("viewer").replaceChildren(element("div", { className: "empty" }, why, downloadRow(downloads)));
    return;
  }
  const load = async (part) => await (await resultOf(job, part)).arrayBuffer();
  const [image, labels] = await Promise.all([load("view_image"), load("view_labels"), loadNiivue()]);
  if (current !== job.id) return;
  const named = job.labels.flatMap(({ label, name }) => name === undefined ? [] : [[label, name]]);
  const viewer = await globalThis.showSegmentation(byId("viewer"), {
    title: job.name ?? job.case,
    image,
    segmentations: [{ name: "segmentation", labels: () => labels }],
    names: { ...models.find(({ name }) => name === job.model)?.labels, ...Object.fromEntries(named) },
    hasVolume: job.labels.every(({ ml }) => ml !== undefined),
    downloads,
  });
  if (current === job.id) shown = viewer;
  else viewer.dispose();
}

async function listJobs() {
  const { jobs } = await askJson("/jobs");
  byId("no-jobs").hidden = jobs.length > 0;
  const focused = document.activeElement?.dataset?.key;
  byId("jobs").replaceChildren(...jobs.toReversed().map(jobRow));
  if (focused) document.querySelector(`[data-key="${focused}"]`)?.focus();
}

function jobRow(job) {
  const row = document.createElement("li");
  row.className = job.state;
  const time = new Date(job.accepted).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const open_ = document.createElement("button");
  open_.type = "button";
  open_.className = "open";
  open_.dataset.key = `open-${job.id}`;
  open_.setAttribute("aria-current", String(job.id === current));
  const small = document.createElement("small");
  small.textContent = [job.state, time, ...(models.length > 1 ? [job.model] : [])].join(", ");
  open_.append(job.name ?? job.case, small);
  open_.addEventListener("click", telling(() => open(job)));
  const remove = document.createElement("button");
  remove.type = "button";
  remove.dataset.key = `remove-${job.id}`;
  remove.textContent = "×";
  remove.setAttribute("aria-label", `${FINAL.has(job.state) ? "Remove" : "Cancel"} ${job.name ?? job.case} of ${time}`);
  remove.addEventListener("click", telling(() => removeJob(job.id)));
  row.append(open_, remove);
  return row;
}

async function removeJob(id) {
  await ask(`/jobs/${id}`, { method: "DELETE" });
  if (id === current && shown) {
    shown.dispose();
    [shown, current] = [];
  }
  await listJobs();
}

/** The files of what was dropped, folders' among them. */
async function filesOf(entries) {
  const files = [];
  for (const entry of entries) {
    if (entry.isFile) files.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    else {
      const reader = entry.createReader();
      for (;;) {
        const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
        if (part.length === 0) break;
        files.push(...await filesOf(part));
      }
    }
  }
  return files.filter(({ name }) => !name.startsWith("."));
}

function listenToDrops() {
  const drop = byId("drop");
  // Beside the field a browser would open the file in the page's place.
  for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
  addEventListener("dragover", () => drop.classList.add("over"));
  addEventListener("dragleave", () => drop.classList.remove("over"));
  addEventListener(
    "drop",
    telling(async ({ dataTransfer }) => {
      drop.classList.remove("over");
      const entries = [...dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
      choose(await filesOf(entries));
    }),
  );
}

async function takePhantom() {
  const model = chosenModel();
  const blob = await (await ask("/page/phantom.nii.gz")).blob();
  if (model.file_ending !== ".nii.gz" || model.channels.length !== 1) {
    throw new Error("The phantom is one .nii.gz image; this model takes others.");
  }
  choose([new File([blob], "phantom_0000.nii.gz")]);
}

for (const id of ["images", "folder"]) {
  byId(id).addEventListener("change", ({ target }) => {
    say("");
    choose([...target.files].filter(({ name }) => !name.startsWith(".")));
    target.value = "";
  });
}
byId("phantom").addEventListener("click", telling(takePhantom));
byId("model").addEventListener("change", tellModel);
byId("ask").addEventListener("submit", telling(start));
byId("cancel").addEventListener("click", telling(() => removeJob(current)));
byId("access").addEventListener(
  "submit",
  telling(async (event) => {
    event.preventDefault();
    sessionStorage.setItem(KEY, byId("token").value.trim());
    await loadModels();
    await listJobs();
  }),
);
listenToDrops();
telling(async () => {
  await loadModels();
  await listJobs();
})();
setInterval(() => {
  if (!document.hidden && models.length > 0) listJobs().catch(() => {});
}, LIST_MS);
