/** `export --safetensors` of checkpoints that torch wrote (checkpoints/make_checkpoints.py), read back by the format's rules. */
import { openCheckpoint } from "../../core/formats/torch/torch_checkpoint.ts";
import { join } from "../../core/base/path.ts";
import { assert, assertEquals } from "../assert.ts";
import { inTempFolder, namesIn, runCommand } from "./cli/run_command.ts";

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

const fixture = (name: string) => new URL(`./checkpoints/${name}`, import.meta.url).pathname;

function parse(bytes: Uint8Array<ArrayBuffer>) {
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const { __metadata__: metadata, ...tensors } = header;
  return {
    length,
    metadata: metadata as Readonly<Record<string, string>>,
    tensors: tensors as Readonly<Record<string, Entry>>,
    data: bytes.slice(8 + length),
  };
}

for (const name of ["plain_3d.pth", "residual_3d.pth", "plain_2d_batch_norm.pth"]) {
  Deno.test(`a network of ${name} is exported with every distinct tensor once`, async () => {
    await inTempFolder(async (folder) => {
      const file = join(folder, "model.safetensors");
      const { code, stdout, stderr } = await runCommand(["export", fixture(name), "--safetensors", "-o", file]);
      assertEquals([code, stderr], [0, ""]);
      const { length, metadata, tensors, data } = parse(await Deno.readFile(file));
      assertEquals(length % 8, 0);
      using checkpoint = await openCheckpoint(fixture(name));
      assertEquals(Object.keys(tensors), [...checkpoint.weights.keys()]);
      assert(stdout.includes(`${checkpoint.weights.size} tensors`), stdout);
      assert(Object.keys(tensors).every((key) => !/^decoder\.encoder|all_modules/.test(key)), "no aliases");
      let end = 0;
      for (const [key, { dtype, shape, data_offsets: [from, to] }] of Object.entries(tensors)) {
        const stored = checkpoint.weights.get(key);
        assert(stored, key);
        assertEquals(
          [dtype, from, [...shape]],
          [stored.dtype === "int64" ? "I64" : "F32", end, [...stored.shape]],
          key,
        );
        const bytes = data.slice(from, to).buffer;
        const values = dtype === "I64" ? Array.from(new BigInt64Array(bytes), Number) : [...new Float32Array(bytes)];
        assertEquals(values, [...stored.read()], key);
        end = to;
      }
      assertEquals(end, data.length, "no bytes but the tensors'");
      assertEquals([metadata.format, metadata.trainer_name], ["pt", checkpoint.trainerName]);
      assertEquals(JSON.parse(metadata.inference_allowed_mirroring_axes), checkpoint.mirrorAxes);
    });
  });
}

Deno.test("export without a format is a usage error; what is no checkpoint is refused and leaves nothing", async () => {
  await inTempFolder(async (folder) => {
    const file = join(folder, "model.safetensors");
    const none = await runCommand(["export", fixture("plain_3d.pth"), "-o", file]);
    assertEquals(none.code, 2);
    assert(none.stderr.includes("--safetensors"), none.stderr);
    const foreign = await runCommand(["export", fixture("foreign.pth"), "--safetensors", "-o", file]);
    assertEquals(foreign.code, 1);
    assert(foreign.stderr.includes("no nnU-Net checkpoint"), foreign.stderr);
    assertEquals(await namesIn(folder), []);
    const checkpoint = join(folder, "plain.pth");
    await Deno.copyFile(fixture("plain_3d.pth"), checkpoint);
    await Deno.symlink(checkpoint, join(folder, "link.safetensors"));
    const onto = await runCommand(["export", checkpoint, "--safetensors", "-o", join(folder, "link.safetensors")]);
    assertEquals(onto.code, 1);
    assert(onto.stderr.includes("the exported file would overwrite the checkpoint"), onto.stderr);
    // What else lies in a model's folder has other endings.
    const other = await runCommand(["export", checkpoint, "--safetensors", "-o", join(folder, "plans.json")]);
    assertEquals(other.code, 2);
    assert(other.stderr.includes("a name that ends in .safetensors"), other.stderr);
    assertEquals(await Deno.readFile(checkpoint), await Deno.readFile(fixture("plain_3d.pth")));
  });
});
