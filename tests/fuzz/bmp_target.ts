/** The reader of BMP. */
import { join } from "../../core/base/path.ts";
import { probeImage, readCase, readLabels } from "../../core/formats/image/read_image.ts";
import { readBmps } from "../golden/bmp/bmps.ts";
import type { Target } from "./target.ts";

export const bmpTarget: Target = {
  name: "bmp",
  seeds: () => Promise.resolve(Array.from(readBmps().values(), ({ file }) => ({ "a.bmp": file }))),
  async read(folder, attempt) {
    const file = join(folder, "a.bmp");
    await attempt(() => readCase("NaturalImage2DIO", [file]));
    await attempt(() => probeImage("NaturalImage2DIO", file));
    await attempt(() => readLabels("NaturalImage2DIO", file));
  },
};
