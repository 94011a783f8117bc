/** Reads the only series below a folder, as a case is read; the bench beside measures the process. */
import { readDicomFolder, seriesPath } from "../../core/formats/dicom/series.ts";
import { readCase } from "../../core/formats/image/read_image.ts";

const [folder] = Deno.args;
const { series: [series] } = await readDicomFolder(folder, "measuring");
await readCase("SimpleITKIO", [seriesPath(folder, series.uid)]);
