/** Readers of TIFF, and of the JSON file of voxel sizes beside one. */
import { join } from "../../core/base/path.ts";
import { probeImage, readCase, readLabels } from "../../core/formats/image/read_image.ts";
import { readTiffs } from "../golden/tiff/tiffs.ts";
import { filesIn, type Target } from "./target.ts";

export const tiffTargets: readonly Target[] = [
  {
    name: "tif",
    seeds: () =>
      Promise.resolve(Array.from(readTiffs().values(), ({ file, ending }) => ({ [`a_0000${ending}`]: file }))),
    async read(folder, attempt) {
      const [name] = Object.keys(await filesIn(folder));
      const file = join(folder, name);
      for (const reader of ["Tiff3DIO", "NaturalImage2DIO"] as const) {
        await attempt(() => readCase(reader, [file]));
        await attempt(() => probeImage(reader, file));
      }
      await attempt(() => readLabels("Tiff3DIO", file));
    },
  },
  {
    name: "tif_spacing",
    seeds: () => {
      const volume = readTiffs().get("volume_uint8_le")?.file ?? new Uint8Array(0);
      const spacing = new TextEncoder().encode('{"spacing": [3, 0.5, 0.25]}');
      return Promise.resolve([{ "a.json": spacing, "a_0000.tif": volume }]);
    },
    async read(folder, attempt) {
      await attempt(() => readCase("Tiff3DIO", [join(folder, "a_0000.tif")]));
    },
  },
];
