/**
 * nnU-Net's checkpoints: torch.save's zip of a pickle (data.pkl) and raw storages (data/0, data/1, ...), read without running
 * anything and without reading more than the tensors that are asked for.
 * Format: torch/serialization.py (_save, _load) and nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py (save_checkpoint).
 */
import { UserError } from "../../base/errors.ts";
import { isTensor } from "./pickle_globals.ts";
import { toPlain } from "./pickle_plain.ts";
import { unpickle } from "./pickle.ts";
import { isStorage, MAX_REPEATED, type StoredTensor, storedTensor, type TorchStorage } from "./torch_tensor.ts";
import { openZip, type ZipEntry, type ZipFile } from "../archive/zip.ts";
import { shortName } from "../../base/path_name.ts";

export type { StoredTensor } from "./torch_tensor.ts";

/** What inference needs of a checkpoint. Its file stays open until it is disposed. */
export interface Checkpoint extends Disposable {
  readonly file: string;
  readonly trainerName: string;
  /** init_args.configuration. */
  readonly configurationName: string;
  /** inference_allowed_mirroring_axes; null where it is None or absent. */
  readonly mirrorAxes: readonly number[] | null;
  /** The trainer's arguments as JSON-like data. */
  readonly initArgs: unknown;
  /**
   * network_weights by their own names: `module.` and `_orig_mod.` are stripped, and the aliases that torch writes beside
   * (`decoder.encoder.*`, `*.all_modules.*`) are left out, or stand in under the proper name where that is absent.
   */
  readonly weights: ReadonlyMap<string, StoredTensor>;
}

/** A checkpoint file with what training needs beside. */
export interface CheckpointFile extends Checkpoint {
  /** Everything in the file as it was unpickled; what of it training needs is read by core/train/read_checkpoint.ts. */
  readonly members: ReadonlyMap<unknown, unknown>;
  /** A tensor of `members`, undefined for anything else. @param name For errors */
  tensor(value: unknown, name: string): StoredTensor | undefined;
}

export interface CheckpointOptions {
  /** True: network_weights are enough; the names of trainer and configuration may be missing, and are empty then. */
  readonly weightsAlone?: boolean;
}

type Fail = (problem: string, remedy?: string) => never;

const DOING = "reading the checkpoint";
const COPY_AGAIN = "copy the file again from where it came from";
const GIVE_ANOTHER = "give a checkpoint_*.pth that nnU-Net v2 wrote";
/** torch stores without packing. Who packed a checkpoint by hand gains little, as weights are noise. */
const MAX_PACKING = 32;
/** The pickle of a training of 1000 epochs with its plans has a few MB. */
const MAX_PICKLE_BYTES = 256 * 2 ** 20;
/** Names of storages are numbers; longer names of trainers and configurations are no names. */
const MAX_NAME = 200;
/** Pickle protocol 2 and then the LONG1 that legacy torch files start with (torch.serialization.MAGIC_NUMBER). */
const LEGACY_MAGIC = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/**
 * Opens a checkpoint.
 * @throws UserError naming the file: not there, cut off, no zip, no torch checkpoint, one of something else than nnU-Net, or one
 * that wants to run code.
 */
// deno-lint-ignore require-await -- reading is synchronous today; callers are not to depend on it
export async function openCheckpoint(path: string, options: CheckpointOptions = {}): Promise<CheckpointFile> {
  refuseLegacy(path);
  const zip = openZip(path, DOING, { kind: "checkpoint", remedy: COPY_AGAIN, maxRatio: MAX_PACKING });
  try {
    return readCheckpoint(zip, options);
  } catch (error) {
    zip[Symbol.dispose]();
    throw error;
  }
}

function readCheckpoint(zip: ZipFile, { weightsAlone = false }: CheckpointOptions): CheckpointFile {
  const fail: Fail = (problem, remedy = COPY_AGAIN) => {
    throw new UserError({ doing: DOING, file: zip.path, problem, remedy });
  };
  const { pickle, prefix } = findPickle(zip, fail);
  if (pickle.size > MAX_PICKLE_BYTES) {
    fail(`its data.pkl has ${pickle.size.toLocaleString("en-US")} bytes`, GIVE_ANOTHER);
  }
  const persistentLoad = storageLoader(zip, prefix, fail);
  const { value: root } = unpickle(zip.read(pickle), { file: zip.path, doing: DOING, persistentLoad });

  if (!(root instanceof Map) || !root.has("network_weights")) {
    const names = root instanceof Map ? Array.from(root.keys()).filter((key) => typeof key === "string") : [];
    const keys = names.slice(0, 8).map((name) => name.slice(0, 40)).join(", ");
    return fail(
      `it is a torch file but no nnU-Net checkpoint: the key network_weights is missing (there: ${keys || "nothing"})`,
      GIVE_ANOTHER,
    );
  }
  const initArgs = toPlain(root.get("init_args")) as { configuration?: unknown } | null;
  const stateDict = root.get("network_weights");
  if (!(stateDict instanceof Map)) return fail("network_weights is no dictionary of tensors", GIVE_ANOTHER);
  const weights = collectWeights(stateDict, zip.path);
  requireStored(weights, zip, fail);
  const name = (value: unknown, what: string) => value === undefined && weightsAlone ? "" : nameOf(value, what, fail);
  return {
    file: zip.path,
    trainerName: name(root.get("trainer_name"), "the key trainer_name"),
    configurationName: name(initArgs?.configuration, "init_args.configuration"),
    mirrorAxes: mirrorAxesOf(root.get("inference_allowed_mirroring_axes"), fail),
    initArgs,
    weights,
    members: root,
    tensor: (value, name) =>
      isTensor(value) && isStorage(value.storage) ? storedTensor(value, value.storage, name, zip.path) : undefined,
    [Symbol.dispose]: () => zip[Symbol.dispose](),
  };
}

/** Resolves the persistent ids of a checkpoint's pickle: its storages. */
function storageLoader(zip: ZipFile, prefix: string, fail: Fail): (id: unknown) => TorchStorage {
  const bigEndian = readText(zip, `${prefix}byteorder`) === "big";
  const storages = new Map<string, TorchStorage>();
  return (id) => {
    // ("storage", type, key, location, number of elements)
    if (!Array.isArray(id) || id[0] !== "storage" || typeof id[2] !== "string" || id[2].length > MAX_NAME) {
      return fail("it is no torch checkpoint: it refers to something that is no storage", GIVE_ANOTHER);
    }
    const [, type, key] = id;
    // Views of one storage as another type have a persistent id of their own.
    const identity = `${key} ${type?.name}`;
    const known = storages.get(identity);
    if (known) return known;
    const entry = zip.entries.get(`${prefix}data/${key}`);
    if (!entry) return fail(`the checkpoint is damaged: tensor data ${key} is not in it`);
    const storage: TorchStorage = { kind: "storage", type: String(type?.name), zip, entry, bigEndian };
    storages.set(identity, storage);
    return storage;
  };
}

function nameOf(value: unknown, what: string, fail: Fail): string {
  if (typeof value === "string" && value.length <= MAX_NAME) return value;
  return fail(`${what} is ${value === undefined ? "missing from the checkpoint" : "no name"}`, GIVE_ANOTHER);
}

function mirrorAxesOf(value: unknown, fail: Fail): readonly number[] | null {
  if (value === undefined || value === null) return null;
  if (Array.isArray(value) && value.length <= 3 && value.every((axis) => [0, 1, 2].includes(axis))) {
    if (new Set(value).size === value.length) return value;
  }
  return fail("inference_allowed_mirroring_axes is neither None nor a list of different axes 0 to 2");
}

function findPickle(zip: ZipFile, fail: Fail): {
  pickle: ZipEntry;
  prefix: string;
} {
  for (const entry of zip.entries.values()) {
    // The folder has the name the file was saved under.
    const prefix = /^(?:[^/]*\/)?(?=data\.pkl$)/.exec(entry.name)?.[0];
    if (prefix === undefined) continue;
    if (zip.entries.has(`${prefix}constants.pkl`)) {
      fail("it is a TorchScript program, no checkpoint", GIVE_ANOTHER);
    }
    return { pickle: entry, prefix };
  }
  const names = Array.from(zip.entries.keys()).slice(0, 5).map(shortName).join(", ");
  return fail(
    `it is a zip file but no torch checkpoint: data.pkl is missing (there: ${names || "nothing"})`,
    GIVE_ANOTHER,
  );
}

function readText(zip: ZipFile, name: string): string | undefined {
  const entry = zip.entries.get(name);
  // It is one word.
  return entry && entry.size < 100 ? new TextDecoder().decode(zip.read(entry)).trim() : undefined;
}

/** Tensors by their own names; see {@link Checkpoint.weights}. */
function collectWeights(stateDict: ReadonlyMap<unknown, unknown>, file: string): Map<string, StoredTensor> {
  const own = new Map<string, StoredTensor>();
  const aliases = new Map<string, StoredTensor>();
  for (const [key, value] of stateDict) {
    if (typeof key !== "string" || !isTensor(value) || !isStorage(value.storage)) continue;
    const stripped = key.replace(/^(?:module\.|_orig_mod\.)+/, "").replaceAll("._orig_mod.", ".");
    const name = properName(stripped);
    (name === stripped ? own : aliases).set(name, storedTensor(value, value.storage, stripped, file));
  }
  for (const [name, tensor] of aliases) if (!own.has(name)) own.set(name, tensor);
  return own;
}

/** Weights may share a storage, but all of them together are not much more than the file holds: what is exported is bounded. */
function requireStored(weights: ReadonlyMap<string, StoredTensor>, zip: ZipFile, fail: Fail): void {
  const count = ({ shape }: StoredTensor) => shape.reduce((product, n) => product * n, 1);
  const elements = Array.from(weights.values(), count).reduce((sum, n) => sum + n, 0);
  const stored = Array.from(zip.entries.values(), ({ size }) => size).reduce((sum, n) => sum + n, 0);
  if (elements <= 2 * stored + MAX_REPEATED) return;
  fail(
    `its weights have ${elements.toLocaleString("en-US")} elements, which ${
      stored.toLocaleString("en-US")
    } bytes can't hold`,
  );
}

/**
 * The name of what an alias stands for. `all_modules` holds a block's conv first and then, after an optional dropout or
 * nonlinearity, its norm, the only other one with parameters.
 */
function properName(name: string): string {
  return name
    .replace(/^decoder\.encoder\./, "encoder.")
    .replace(/\.all_modules\.0\./, ".conv.")
    .replace(/\.all_modules\.[1-9][0-9]*\./, ".norm.");
}

function refuseLegacy(path: string): void {
  const start = new Uint8Array(LEGACY_MAGIC.length);
  try {
    if (!Deno.statSync(path).isFile) return; // As below.
    using file = Deno.openSync(path, { read: true });
    file.readSync(start);
  } catch {
    return; // openZip says what is wrong with it.
  }
  if (LEGACY_MAGIC.every((byte, index) => start[index] === byte)) {
    throw new UserError({
      doing: DOING,
      file: path,
      problem: "it was saved in torch's old format (before torch 1.6, or with _use_new_zipfile_serialization=False)",
      remedy: "save it anew with Python: torch.save(torch.load(file, map_location='cpu'), file)",
    });
  }
}
