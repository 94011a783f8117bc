/** Folders of DICOM files: which series they hold, and the volumes that these are. */
import { listInputCases } from "../../core/dataset/input_cases.ts";
import { probeImage, readCase } from "../../core/formats/image/read_image.ts";
import { packedSeries } from "../golden/dicom/cases.ts";
import type { Files } from "./mutate_files.ts";
import type { Target } from "./target.ts";

/** Of a series: enough for one that is even. */
const MOST_SLICES = 3;

export const dicomTargets: readonly Target[] = [
  {
    name: "dicom",
    async seeds() {
      const series = Object.values(await packedSeries());
      return series.filter((files) => !Object.keys(files).some((name) => name.includes("/"))).map((files): Files =>
        Object.fromEntries(
          Object.entries(files).slice(0, MOST_SLICES).map(([name, bytes]) => [name, Uint8Array.fromBase64(bytes)]),
        )
      );
    },
    async read(folder, attempt) {
      await attempt(async () => {
        const { cases, failures } = await listInputCases(folder, {
          fileEnding: ".nii.gz",
          channelNames: ["CT"],
          severalChannelsPerFile: () => false,
          series: [],
        });
        for (const failure of failures) await attempt(() => Promise.reject(failure));
        for (const { files: [file] } of cases) {
          await attempt(() => readCase("SimpleITKIO", [file]));
          await attempt(() => probeImage("NibabelIOWithReorient", file));
        }
      });
    },
  },
];
