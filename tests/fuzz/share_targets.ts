/** Readers of what is shared: zips of models, and the record of an installation. */
import { crc32, deflateRawSync } from "node:zlib";
import { join } from "../../core/base/path.ts";
import { zipDirectory } from "../../core/formats/archive/zip_directory.ts";
import { findDifferences, readChecksums, writeChecksums } from "../../core/share/checksums.ts";
import { installZip } from "../../core/share/install_zip.ts";
import { concat } from "./mutate_bytes.ts";
import { filesIn, golden, MODEL, type Target, text } from "./target.ts";

const PLACE = "Dataset900_Shared/nnUNetTrainer__nnUNetPlans__2d";

/** A zip of a model with little in it, so that most mutations are of the lists. */
function modelZip(isPacked: boolean): Uint8Array {
  const members: [string, Uint8Array][] = [
    [`${PLACE}/plans.json`, golden(`${MODEL}/plans.json`)],
    [`${PLACE}/dataset.json`, golden(`${MODEL}/dataset.json`)],
    [`${PLACE}/fold_0/checkpoint_final.pth`, new Uint8Array(500).map((_, i) => (i * i) % 251)],
    [`${PLACE}/fold_0/validation/`, new Uint8Array(0)],
    ["Dataset900_Shared/ensembles/ensemble___a___b___0/summary.json", text({})],
  ];
  let offset = 0;
  const parts: Uint8Array[] = [];
  const entries = members.map(([name, data]) => {
    const method = isPacked ? 8 : 0;
    const packed = isPacked ? deflateRawSync(data) : data;
    const nameBytes = new TextEncoder().encode(name);
    const local = new Uint8Array(30);
    const view = new DataView(local.buffer);
    view.setUint32(0, 0x04034b50, true);
    view.setUint16(8, method, true);
    view.setUint16(26, nameBytes.length, true);
    parts.push(local, nameBytes, packed);
    const end = offset + 30 + nameBytes.length + packed.length;
    const entry = {
      name,
      method,
      checksum: crc32(data),
      size: data.length,
      packed: packed.length,
      offset,
      end,
    } as const;
    offset = end;
    return entry;
  });
  return concat([...parts, zipDirectory(entries, offset)]);
}

/** Names of all that lies in a folder, at any depth. */
async function namesBelow(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    names.push(name);
    if (isDirectory) names.push(...await namesBelow(join(folder, name)));
  }
  return names;
}

export const shareTargets: readonly Target[] = [
  {
    name: "model_zip",
    seeds: () => Promise.resolve([{ "models.zip": modelZip(false) }, { "models.zip": modelZip(true) }]),
    async read(folder, attempt) {
      const results = join(folder, "above", "results");
      let isInstalled = false;
      await attempt(async () => {
        await installZip({ zip: join(folder, "models.zip"), results, force: false });
        isInstalled = true;
      });
      // Nothing beside the results, nothing hidden in them, and nothing at all where the zip was refused.
      const beside = (await namesBelow(folder)).filter((name) => !["models.zip", "above"].includes(name));
      const inside = isInstalled ? await namesBelow(results) : [];
      const wanted = beside.length === 0 ? 0 : 1 + inside.length;
      if (beside.length !== wanted || inside.some((name) => name.startsWith(".nnunet"))) {
        throw new Error(`left behind: ${beside.join(", ")}`);
      }
    },
  },
  {
    name: "installed_checksums",
    async seeds(folder) {
      const files = new Map([["plans.json", { bytes: 2, sha256: "0".repeat(64) }]]);
      await writeChecksums(folder, "models.zip", files);
      return [{ ...await filesIn(folder), "plans.json": text({}) }];
    },
    read: (folder, attempt) =>
      attempt(async () => {
        const checksums = await readChecksums(folder);
        if (checksums) await findDifferences(folder, checksums, { whole: true });
      }),
  },
];
