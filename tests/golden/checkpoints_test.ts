/** Checkpoints, pickles and arrays that torch and numpy wrote; fixtures and the script that made them: tests/golden/checkpoints. */
import { createHash } from "node:crypto";
import { UserError } from "../../core/base/errors.ts";
import { readNpz } from "../../core/formats/archive/npz.ts";
import { isNumpyArray } from "../../core/formats/torch/pickle_globals.ts";
import { toPlain } from "../../core/formats/torch/pickle_plain.ts";
import { unpickle } from "../../core/formats/torch/pickle.ts";
import { openCheckpoint } from "../../core/formats/torch/torch_checkpoint.ts";
import { buildGraph } from "../../core/network/build_graph.ts";
import { weightShapes } from "../../core/graph/weight_shapes.ts";
import { checkpointWeights } from "../../core/network/weights.ts";
import { readArchitecture } from "../../core/plan/read_architecture.ts";
import { assert, assertClose, assertEquals, assertFails } from "../assert.ts";
import { evaluateGraph, readWeights } from "../engine/reference_network.ts";

interface StoredTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly values: readonly number[];
}
interface StoredNetwork {
  readonly network_class_name: string;
  readonly arch_kwargs: Readonly<Record<string, unknown>>;
  readonly keys: readonly string[];
  readonly input: readonly number[];
  readonly output: readonly number[];
}

const fixture = (name: string) => new URL(`./checkpoints/${name}`, import.meta.url).pathname;
const expected = JSON.parse(Deno.readTextFileSync(fixture("expected.json"))) as {
  readonly "types.pth": Readonly<Record<string, StoredTensor>>;
  readonly "names.pth": Readonly<Record<string, number>>;
  readonly networks: Readonly<Record<string, StoredNetwork>>;
};

for (const file of ["types.pth", "big_endian.pth", "deflated.pth"]) {
  Deno.test(`every dtype and every view in ${file} reads as torch has it`, async () => {
    using checkpoint = await openCheckpoint(fixture(file));
    assertEquals([...checkpoint.weights.keys()], Object.keys(expected["types.pth"]));
    for (const [name, tensor] of Object.entries(expected["types.pth"])) {
      const stored = checkpoint.weights.get(name);
      assert(stored, name);
      assertEquals([stored.dtype, [...stored.shape]], [tensor.dtype, [...tensor.shape]], name);
      assertEquals(Array.from(stored.read()), [...tensor.values], name);
    }
  });
}

Deno.test("trainer, configuration, mirroring and arguments of a checkpoint are read", async () => {
  using checkpoint = await openCheckpoint(fixture("types.pth"));
  assertEquals(checkpoint.trainerName, "nnUNetTrainer");
  assertEquals(checkpoint.configurationName, "3d_fullres");
  assertEquals(checkpoint.mirrorAxes, [0, 1, 2]);
  assertEquals(checkpoint.initArgs, {
    plans: { a: 1 },
    configuration: "3d_fullres",
    fold: 0,
    dataset_json: { b: [1.5] },
    device: "cuda:0",
  });
});

Deno.test("prefixes are stripped, and an alias stands in only where the proper name is absent", async () => {
  using checkpoint = await openCheckpoint(fixture("names.pth"));
  const values = Array.from(checkpoint.weights, ([name, tensor]) => [name, tensor.read()[0]]);
  assertEquals(Object.fromEntries(values), expected["names.pth"]);
  assertEquals(checkpoint.mirrorAxes, null);
});

Deno.test("a checkpoint without checksums reads, one with a wrong checksum is refused", async () => {
  using checkpoint = await openCheckpoint(fixture("no_checksums.pth"));
  assertEquals(Array.from(checkpoint.weights.get("a")?.read() ?? []), [0, 1, 2]);

  const bytes = Deno.readFileSync(fixture("plain_3d.pth"));
  const at = find(bytes, new TextEncoder().encode("/data/0")) + 7;
  const folder = Deno.makeTempDirSync();
  try {
    // Past the padding that aligns the storage: the first weight's bytes.
    const changed = bytes.slice();
    changed[Math.ceil(at / 64) * 64 + 1] ^= 0x10;
    Deno.writeFileSync(`${folder}/flipped.pth`, changed);
    using flipped = await openCheckpoint(`${folder}/flipped.pth`);
    await assertFails(
      () => [...flipped.weights.values()].forEach((tensor) => tensor.read()),
      UserError,
      "flipped.pth",
      "damaged",
      "checksum",
    );
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

for (const [name, network] of Object.entries(expected.networks)) {
  Deno.test(`${name}: the graph has the package's weights and computes what torch computes`, async () => {
    const dimensions = String(network.arch_kwargs.conv_op).endsWith("2d") ? 2 : 3;
    const context = { doing: "testing", file: "plans.json", path: [] };
    const architecture = readArchitecture({ architecture: network }, dimensions, context);
    const withAllHeads = buildGraph(architecture, 2, 3, { deepSupervision: true });
    const needed = weightShapes(withAllHeads).map(({ name }) => name).toSorted();
    assertEquals(needed, network.keys.filter((key) => !key.endsWith("num_batches_tracked")).toSorted());

    using checkpoint = await openCheckpoint(fixture(`${name}.pth`));
    const graph = buildGraph(architecture, 2, 3);
    const weights = readWeights(graph, checkpointWeights(checkpoint, graph, `${name}.pth`));
    const patch = dimensions === 2 ? [1, 8, 8] as const : [4, 8, 8] as const;
    const [output] = evaluateGraph(graph, patch, weights, Float32Array.from(network.input));
    assertClose(output, network.output, 1e-5, name);
  });
}

Deno.test("a checkpoint of another network is refused with what differs", async () => {
  const { plain_3d: plain } = expected.networks;
  const context = { doing: "testing", file: "plans.json", path: [] };
  const architecture = readArchitecture({ architecture: plain }, 3, context);
  using checkpoint = await openCheckpoint(fixture("plain_3d.pth"));
  using other = await openCheckpoint(fixture("residual_3d.pth"));
  const load = (graph: ReturnType<typeof buildGraph>, source = checkpoint) => () =>
    checkpointWeights(source, graph, "fold_0/checkpoint_final.pth");

  await assertFails(
    load(buildGraph(architecture, 2, 4)),
    UserError,
    "fold_0",
    "decoder.seg_layers.1.weight",
    "classes",
  );
  await assertFails(load(buildGraph(architecture, 1, 3)), UserError, "2x2x1x3x3", "2x1x1x3x3", "input channels");
  await assertFails(load(buildGraph(architecture, 2, 3), other), UserError, "missing", "belong to no part", "another");
  const batchNorm = { ...architecture, norm: { kind: "batch", eps: 1e-5, affine: true } } as const;
  await assertFails(load(buildGraph(batchNorm, 2, 3)), UserError, "running_mean", "none in the other");
});

Deno.test("a source of weights refuses names and shapes it does not have", async () => {
  const context = { doing: "testing", file: "plans.json", path: [] };
  const graph = buildGraph(readArchitecture({ architecture: expected.networks.plain_3d }, 3, context), 2, 3);
  using checkpoint = await openCheckpoint(fixture("plain_3d.pth"));
  const source = checkpointWeights(checkpoint, graph, "x.pth");
  await assertFails(() => source.get("encoder.nothing", [1]), UserError, "encoder.nothing", "not there");
  await assertFails(() => source.get("decoder.seg_layers.1.bias", [4]), UserError, "needed, it is 3");
});

Deno.test("a checkpoint that wants to run code is refused by the name of what it wants", async () => {
  await assertFails(() => openCheckpoint(fixture("hostile.pth")), UserError, "hostile.pth", "os.system", "refused");
});

Deno.test("hostile pickles of all protocols are refused by name", async () => {
  const names = {
    system: "os.system",
    eval: "builtins.eval",
    getattr: "builtins.getattr",
    load_from_bytes: "torch.storage._load_from_bytes",
    open: "io.open",
  };
  for (const [name, called] of Object.entries(names)) {
    for (const protocol of [0, 2, 4]) {
      const file = `hostile_${name}_${protocol}.pkl`;
      const read = () => unpickle(Deno.readFileSync(fixture(file)), { file, doing: "testing" });
      await assertFails(read, UserError, file, `wants to run code (`, `${called})`, "nothing was run");
    }
  }
});

Deno.test("plain values in every protocol read as Python has them", () => {
  for (let protocol = 0; protocol <= 5; protocol++) {
    const file = `values_${protocol}.pkl`;
    const { value } = unpickle(Deno.readFileSync(fixture(file)), { file, doing: "testing" });
    assert(value instanceof Map, file);
    const array = value.get("array");
    assert(isNumpyArray(array), file);
    assertEquals(array.shape, [2, 3]);
    assertEquals(Array.from(new Float64Array(Uint8Array.from(array.data as Uint8Array).buffer)), [0, 1, 2, 3, 4, 5]);
    value.delete("array");
    assertEquals(
      value,
      new Map<string, unknown>([
        ["none", null],
        ["bools", [true, false]],
        ["ints", [0, -1, 255, 65535, 2 ** 31, -(2 ** 40), 2n ** 53n + 1n]],
        ["float", -1.5e-300],
        ["text", "ä€\n"],
        ["bytes", Uint8Array.of(0, 255)],
        ["tuple", [1, [2, 3], []]],
        ["set", new Set([5])],
        ["frozen", new Set([6])],
        ["dict", new Map<unknown, unknown>([["a", [1]], [2, "b"]])],
        ["ordered", new Map([["x", 1]])],
        ["scalar", 2.5],
        ["int64", -3],
      ]),
      file,
    );
  }
});

Deno.test("lists that share lists are read, and not spelled out without end", () => {
  // l = []; 60 times: l = [l, l]. Protocol 2: EMPTY_LIST, then MARK x x APPENDS by way of the memo.
  const bytes = [0x80, 2, 0x5d, 0x71, 0];
  for (let i = 0; i < 60; i++) bytes.push(0x5d, 0x71, i + 1, 0x28, 0x68, i, 0x68, i, 0x65);
  bytes.push(0x2e);
  const { value } = unpickle(Uint8Array.from(bytes), { file: "laughs.pkl", doing: "testing" });
  assert(Array.isArray(value) && value.length === 2);
  assert(Array.isArray(toPlain(value)));
});

Deno.test("a pickle cut anywhere is refused, never half-read", async () => {
  for (const protocol of [0, 2, 4]) {
    const bytes = Deno.readFileSync(fixture(`values_${protocol}.pkl`));
    for (let length = 0; length < bytes.length; length++) {
      const read = () => unpickle(bytes.subarray(0, length), { file: "cut.pkl", doing: "testing" });
      await assertFails(read, UserError, "cut.pkl");
    }
  }
});

Deno.test("a pickle with any one byte changed is read or refused with a UserError, nothing else", () => {
  for (const protocol of [0, 2, 4]) {
    const bytes = Deno.readFileSync(fixture(`values_${protocol}.pkl`));
    for (let at = 0; at < bytes.length; at++) {
      const changed = bytes.slice();
      changed[at] ^= [0x01, 0x10, 0x80][at % 3];
      try {
        unpickle(changed, { file: "changed.pkl", doing: "testing" });
      } catch (error) {
        if (!(error instanceof UserError)) throw new Error(`byte ${at}, protocol ${protocol}`, { cause: error });
      }
    }
  }
});

Deno.test("a checkpoint cut anywhere is refused with the bytes that are there", async () => {
  const bytes = Deno.readFileSync(fixture("types.pth"));
  const folder = Deno.makeTempDirSync();
  try {
    const file = `${folder}/cut.pth`;
    for (const length of [0, 1, 3, 4, 100, 2000, 5000, bytes.length - 100, bytes.length - 1]) {
      Deno.writeFileSync(file, bytes.subarray(0, length));
      await assertFails(() => openCheckpoint(file), UserError, "cut.pth", `${length.toLocaleString("en-US")} bytes`);
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("files that are no nnU-Net checkpoint are refused for what they are", async () => {
  const open = (name: string) => () => openCheckpoint(fixture(name));
  await assertFails(open("foreign.pth"), UserError, "foreign.pth", "network_weights is missing", "state_dict, epoch");
  await assertFails(open("legacy.pth"), UserError, "legacy.pth", "old format", "torch.save(");
  await assertFails(open("arrays.npz"), UserError, "arrays.npz", "data.pkl is missing");
  await assertFails(open("expected.json"), UserError, "not a checkpoint");
  await assertFails(open("nothing.pth"), UserError, "nothing.pth", "no such file");
  await assertFails(open(""), UserError, "folder");
});

Deno.test("numpy's compressed arrays read with their types and shapes", async () => {
  const arrays = await readNpz(fixture("arrays.npz"));
  const found = Array.from(
    arrays,
    ([name, { dtype, shape, data }]) => [name, dtype, [...shape], Array.from(data, Number)],
  );
  assertEquals(found, [
    ["f2", "<f2", [3], [0.0999755859375, 65504, -2]],
    ["f4", "<f4", [2, 3, 4], Array.from({ length: 24 }, (_, i) => i)],
    ["u1", "|u1", [1, 2], [1, 255]],
    ["i2", "<i2", [1], [-5]],
    ["b", "|b1", [2], [1, 0]],
    ["zero", "<f8", [], [3.5]],
  ]);
});

const SHARED_MODELS = new URL("../../../shared/reference/models/", import.meta.url);
const sharedModels = JSON.parse(Deno.readTextFileSync(fixture("shared_models.json"))) as Readonly<
  Record<string, { readonly count: number; readonly sha256: string }>
>;
for (const [file, { count, sha256 }] of Object.entries(sharedModels)) {
  const path = new URL(file, SHARED_MODELS).pathname;
  Deno.test({
    name: `every weight of the reference model ${file} is torch's, bit by bit`,
    ignore: !exists(path),
    fn: async () => {
      using checkpoint = await openCheckpoint(path);
      assertEquals(checkpoint.weights.size, count);
      const hash = createHash("sha256");
      for (const [name, tensor] of [...checkpoint.weights].sort(([a], [b]) => (a < b ? -1 : 1))) {
        hash.update(`${name} `).update(new Uint8Array(tensor.read().buffer));
      }
      assertEquals(hash.digest("hex"), sha256);
    },
  });
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

function find(bytes: Uint8Array, pattern: Uint8Array): number {
  for (let at = 0; at + pattern.length <= bytes.length; at++) {
    if (pattern.every((byte, index) => bytes[at + index] === byte)) return at;
  }
  throw new Error("the pattern is not there");
}
