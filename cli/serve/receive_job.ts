/**
 * What a client sends becomes a job: images as parts of a multipart body, which go to the disk as they come, or as paths of images that
 * are there. Nothing of a job that is refused stays.
 */
import { z } from "zod";
import { messageOf, UserError } from "../../core/base/errors.ts";
import { problemsOf } from "../../core/base/fields.ts";
import { ensureFolder, writeAll, writeAtomically, writeError } from "../../core/base/files.ts";
import { basename, join } from "../../core/base/path.ts";
import { pathNameProblem } from "../../core/base/path_name.ts";
import { splitName } from "../../core/dataset/input_cases.ts";
import { readerClass, takesSeries } from "../../core/formats/image/readers.ts";
import { spacingFiles } from "../../core/formats/image/tiff/spacing_file.ts";
import { refersToSource } from "../../core/predict/run/output_formats.ts";
import { quoted } from "./access.ts";
import type { HttpRequest } from "./http_server.ts";
import { type Job, JOB_OPTIONS, type JobOptions } from "./job.ts";
import type { JobStore, Receiving } from "./job_store.ts";
import { boundaryOf, type Part, readMultipart } from "./multipart.ts";
import { REPORT } from "./predictor.ts";
import { HttpProblem } from "./problem.ts";
import type { TextRoom } from "./text_room.ts";
import { type AllowedPath, allowedPath, MOST_DICOM_FILES } from "./allowed_paths.ts";
import type { ServedModel, ServedModels } from "./served_models.ts";

export interface Reception {
  readonly store: JobStore;
  readonly models: ServedModels;
  /** Real paths of folders whose images may be named. */
  readonly roots: readonly string[];
  /** Most bytes of a body. */
  readonly maxUpload: number;
  /** For what of bodies is held in memory. */
  readonly texts: TextRoom;
}

/** Takes a place in the queue for the job of this id, which has come whole. @throws HttpProblem 503 if there is none */
export type TakePlace = (id: string) => Disposable;

const JSON_BYTES = 1 << 20;
const FIELD_BYTES = 4096;
const MOST_FIELDS = 16;
/** Channels of a case; nobody's model has as many. */
const MOST_IMAGES = 256;
/** What the case of a study is called: its files' names are nobody's to see. */
const STUDY = "study";

const NAME = z.string().max(200).describe("What the client calls the job; given back with it.");
const MODEL = z.string().max(200).describe("A name of /models; it may be left out where one model is served.");

/** The body of a JSON request. */
export const JSON_JOB = z.strictObject({
  model: MODEL.optional(),
  name: NAME.optional(),
  files: z.array(z.string().min(1).max(4096)).min(1).max(MOST_IMAGES).describe(
    "Paths of the images, one a channel, in channel order; or of folders of DICOM: below a folder of the service's --root.",
  ),
  options: JOB_OPTIONS.default(JOB_OPTIONS.parse({})),
});

/** Text fields of a multipart body. */
const FIELDS = z.strictObject({
  model: MODEL.optional(),
  name: NAME.optional(),
  disable_tta: z.enum(["true", "false"]).optional(),
  step_size: z.string().regex(/^[0-9.]{1,20}$/, "expected a number").optional(),
  save_probabilities: z.enum(["true", "false"]).optional(),
  nan: z.enum(["zero", "min"]).optional(),
  output_format: z.string().optional(),
  spacing: z.string().optional(),
  view: z.enum(["true", "false"]).optional(),
});

/** The JSON file beside a TIFF volume, as Tiff3DIO has it. */
const SPACING = z.object({ spacing: z.array(z.number().positive()).length(3) });

/** @throws HttpProblem, and what the body throws */
export async function receiveJob(request: HttpRequest, reception: Reception, takePlace: TakePlace): Promise<Job> {
  const type = request.header("content-type") ?? "";
  const [media] = type.toLowerCase().split(";");
  const isJson = media.trim() === "application/json";
  if (!isJson && media.trim() !== "multipart/form-data") {
    throw new HttpProblem(415, "send multipart/form-data (images) or application/json (paths of images)");
  }
  const most = isJson ? JSON_BYTES : reception.maxUpload;
  requireLength(request.header("content-length"), most, reception.store);
  try {
    if (isJson) return await receivePaths(await readJson(request, reception), reception, takePlace);
    return await receiveImages(request, boundaryOf(type), reception, takePlace);
  } catch (error) {
    // A full disk, mostly: what there is of the job goes with it.
    if (error instanceof UserError) throw new HttpProblem(507, error.message, {}, { cause: error });
    throw error;
  }
}

function requireLength(header: string | undefined, most: number, store: JobStore): void {
  if (header === undefined) return;
  if (!/^\d{1,16}$/.test(header)) throw new HttpProblem(400, "the content length is no number");
  requireBytes(Number(header), most, store);
}

/** @param come How many of them the store has counted */
function requireBytes(bytes: number, most: number, { limit, room: left }: JobStore, come = 0): void {
  const count = (number: number) => number.toLocaleString("en-US");
  if (bytes > most) {
    throw new HttpProblem(413, `the body has ${count(bytes)} bytes; ${count(most)} are the most that are taken`);
  }
  if (bytes > limit) {
    // Not 507: it would have no room at any other time either.
    const all = `all jobs together may take ${count(limit)} (--max-disk)`;
    throw new HttpProblem(413, `the body has ${count(bytes)} bytes, and ${all}`);
  }
  const room = come + left();
  if (bytes <= room) return;
  throw new HttpProblem(
    507,
    `the body has ${count(bytes)} bytes, and ${count(Math.max(0, room))} more have room in the state folder`,
  );
}

async function readJson({ body }: HttpRequest, { texts }: Reception): Promise<z.infer<typeof JSON_JOB>> {
  return checked(JSON_JOB, parsedJson(await readText(body, JSON_BYTES, "the body", texts), "the body"));
}

function parsedJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new HttpProblem(400, `${what} is no JSON: ${messageOf(error)}`);
  }
}

async function readText(
  body: AsyncIterable<Uint8Array>,
  most: number,
  what: string,
  texts: TextRoom,
): Promise<string> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  using room = texts.open();
  for await (const piece of body) {
    bytes += piece.length;
    if (bytes > most) throw new HttpProblem(413, `${what} has more than ${most} bytes`);
    room.add(piece.length);
    pieces.push(piece);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await new Blob(pieces as BlobPart[]).arrayBuffer());
  } catch {
    throw new HttpProblem(400, `${what} is no UTF-8 text`);
  }
}

function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new HttpProblem(400, problemsOf(result.error, value));
}

async function receivePaths(
  asked: z.infer<typeof JSON_JOB>,
  { store, models, roots }: Reception,
  takePlace: TakePlace,
): Promise<Job> {
  const chosen = chosenModel(asked.model, models);
  const { fileEnding } = chosen.model.dataset;
  const found: AllowedPath[] = [];
  for (const path of asked.files) found.push(await allowedPath(path, roots));
  const isStudy = found.every(({ isFolder }) => isFolder);
  if (isStudy) requireDicom(chosen);
  else found.forEach(({ path }, i) => requireEnding(asked.files[i], path, fileEnding));
  requireFormats(asked.options, chosen, isStudy);
  const files = found.map(({ path }) => path);
  await using receiving = await store.receive();
  using _place = takePlace(receiving.id);
  return await receiving.accept({
    model: chosen.name,
    ...(asked.name !== undefined && { name: asked.name }),
    options: asked.options,
    case: isStudy ? caseOfFolder(files[0]) : caseOf(basename(files[0]), chosen),
    files,
    received: false,
  });
}

async function receiveImages(
  request: HttpRequest,
  boundary: string,
  reception: Reception,
  takePlace: TakePlace,
): Promise<Job> {
  const { store, models } = reception;
  await using receiving = await store.receive();
  const fields = new Map<string, string>();
  const images: string[] = [];
  let dicomFiles = 0;
  const endings = new Set(models.all.map(({ model }) => model.dataset.fileEnding));
  for await (const part of readMultipart(counted(request.body, reception, receiving), boundary)) {
    if (part.fileName === undefined || part.name === "spacing") {
      if (fields.has(part.name)) throw new HttpProblem(400, `the field ${quoted(part.name)} is given twice`);
      if (fields.size === MOST_FIELDS) throw new HttpProblem(400, `there are more than ${MOST_FIELDS} fields`);
      fields.set(part.name, await readText(part.body, FIELD_BYTES, `the field ${quoted(part.name)}`, reception.texts));
    } else if (part.name === "dicom") await receiveDicom(part, dicomFiles++, receiving);
    else images.push(await receiveImage(part, part.fileName, images, endings, receiving));
  }
  const { model: asked, name, spacing, ...told } = checked(FIELDS, Object.fromEntries(fields));
  const options = optionsOf(told);
  const chosen = chosenModel(asked, models);
  const { fileEnding } = chosen.model.dataset;
  if (images.length > 0 && dicomFiles > 0) throw new HttpProblem(400, "there are both image and dicom parts");
  if (images.length === 0 && dicomFiles === 0) {
    throw new HttpProblem(400, "there is no image: a part named image, or dicom, with a file name");
  }
  if (dicomFiles > 0) requireDicom(chosen);
  requireFormats(options, chosen, dicomFiles > 0);
  for (const image of images) requireEnding(image, image, fileEnding);
  if (spacing !== undefined) await receiveSpacing(spacing, chosen, images, receiving);
  using _place = takePlace(receiving.id);
  return await receiving.accept({
    model: chosen.name,
    ...(name !== undefined && { name }),
    options,
    ...(fields.get("view") === "true" && { view: true }),
    case: dicomFiles > 0 ? STUDY : caseOf(images[0], chosen),
    files: images,
    received: true,
    ...(dicomFiles > 0 && { isStudy: true }),
  });
}

/** Writes the voxel sizes of a TIFF to where its reader looks for them. @throws HttpProblem 400 */
async function receiveSpacing(
  text: string,
  { name, model }: ServedModel,
  [image]: readonly string[],
  { images }: Receiving,
): Promise<void> {
  if (image === undefined || readerClass(model.plans.reader).geometry !== "spacing") {
    throw new HttpProblem(400, `spacing is for TIFF volumes; the images of the model ${name} have their own`);
  }
  const value = checked(SPACING, parsedJson(text, "spacing"));
  const [file] = spacingFiles(join(images, image));
  await writeAtomically(file, JSON.stringify(value), { doing: "receiving the voxel sizes" });
}

/** @throws HttpProblem 400 */
function optionsOf(fields: Omit<z.infer<typeof FIELDS>, "model" | "name" | "spacing">): JobOptions {
  const { disable_tta, save_probabilities, step_size, nan, output_format } = fields;
  return checked(JOB_OPTIONS, {
    ...(disable_tta !== undefined && { disable_tta: disable_tta === "true" }),
    ...(save_probabilities !== undefined && { save_probabilities: save_probabilities === "true" }),
    ...(step_size !== undefined && { step_size: Number(step_size) }),
    ...(nan !== undefined && { nan }),
    ...(output_format !== undefined && { output_format: output_format.split(/[\s,]+/).filter((one) => one !== "") }),
  });
}

/** @throws HttpProblem 400 if the segmentation can't be written so */
function requireFormats({ output_format = [] }: JobOptions, { name, model }: ServedModel, isStudy: boolean): void {
  if (output_format.length > 0 && readerClass(model.plans.reader).geometry === "picture") {
    throw new HttpProblem(400, `output_format is for volumes, and the model ${name} takes pictures`);
  }
  const object = output_format.find(refersToSource);
  if (object === undefined || isStudy) return;
  throw new HttpProblem(
    400,
    `${object} refers to DICOM images: send the study, in parts named dicom, or name its folder`,
  );
}

/** Names of a study's files mean nothing, and may be paths or patients'. */
async function receiveDicom({ body }: Part, index: number, { images }: Receiving): Promise<void> {
  if (index === MOST_DICOM_FILES) throw new HttpProblem(400, `there are more than ${MOST_DICOM_FILES} files`);
  const folder = join(images, STUDY);
  await ensureFolder(folder, "receiving a study");
  await writePart(body, join(folder, `${String(index).padStart(6, "0")}.dcm`));
}

/** A body whose bytes are counted, whatever it said it would have; other bodies that come at the same time take of the room too. */
async function* counted(
  body: AsyncIterable<Uint8Array>,
  { store, maxUpload }: Reception,
  receiving: Receiving,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const piece of body) {
    requireBytes(bytes + piece.length, maxUpload, store, bytes);
    bytes += piece.length;
    receiving.count(piece.length);
    yield piece;
  }
}

async function receiveImage(
  { name, body }: Part,
  fileName: string,
  before: readonly string[],
  endings: ReadonlySet<string>,
  { images }: Receiving,
): Promise<string> {
  if (name !== "image") {
    throw new HttpProblem(400, `there is a file in the part ${quoted(name)}; images are parts named image`);
  }
  const problem = pathNameProblem(fileName, true) ??
    (/^[.-]/.test(fileName) ? "expected a name that begins with neither a dot nor a dash" : undefined);
  if (problem !== undefined) throw new HttpProblem(400, `the file name ${quoted(fileName)} is refused: ${problem}`);
  if (![...endings].some((ending) => fileName.endsWith(ending) && fileName !== ending)) {
    throw new HttpProblem(415, `${quoted(fileName)} is no ${[...endings].join(" or ")} file, which the models take`);
  }
  if (before.length === MOST_IMAGES) throw new HttpProblem(400, `there are more than ${MOST_IMAGES} images`);
  try {
    await writePart(body, join(images, fileName));
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    throw new HttpProblem(400, `two images have the name ${quoted(fileName)}`);
  }
  return fileName;
}

/** @throws Deno.errors.AlreadyExists, UserError, and what the body throws */
async function writePart(body: Part["body"], path: string): Promise<void> {
  try {
    using file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
    for await (const piece of body) await writeAll(file, piece);
    await file.sync();
  } catch (error) {
    throw writeError(error, path, "receiving an image");
  }
}

function chosenModel(name: string | undefined, models: ServedModels): ServedModel {
  const known = models.all.map((one) => one.name).join(", ");
  if (name === undefined) {
    if (models.all.length === 1) return models.all[0];
    throw new HttpProblem(400, `several models are served; say which with model: ${known}`);
  }
  const found = models.find(name);
  if (found) return found;
  throw new HttpProblem(404, `there is no model ${quoted(name)}; served are ${known}`);
}

function requireEnding(shown: string, path: string, ending: string): void {
  if (path.endsWith(ending) && basename(path) !== ending) return;
  throw new HttpProblem(415, `${quoted(shown)} does not end with ${ending}; the model was trained on such files`);
}

/** @throws HttpProblem 415 */
function requireDicom({ name, model: { plans, dataset } }: ServedModel): void {
  if (takesSeries(plans.reader)) return;
  throw new HttpProblem(415, `the model ${name} takes ${dataset.fileEnding} files and no DICOM`);
}

function caseOfFolder(folder: string): string {
  const name = basename(folder);
  return pathNameProblem(name, true) === undefined ? name : STUDY;
}

/** @throws HttpProblem 400 if results can't have its name */
function caseOf(fileName: string, { model: { dataset: { fileEnding: ending }, plans } }: ServedModel): string {
  const { id } = splitName(fileName, ending);
  const hasFileBeside = readerClass(plans.reader).geometry === "spacing";
  if (hasFileBeside && `${id}.json` === REPORT) {
    throw new HttpProblem(400, `${quoted(fileName)}: its voxel sizes would lie where the report does; rename it`);
  }
  if (pathNameProblem(id, true) === undefined) return id;
  throw new HttpProblem(400, `${quoted(fileName)} has no name of a case before ${ending}`);
}
