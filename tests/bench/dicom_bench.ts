// deno-lint-ignore-file no-console
/**
 * A DICOM series into an array of float32: finding its files, headers and pixels, beside SimpleITK's series reader, each in processes of
 * their own, in turns; wall time with the start of the process, and peak memory. The best of several runs is shown.
 *
 *   python tests/bench/make_ct_series.py FOLDER [SLICES]      (pydicom)
 *   deno task bench dicom FOLDER [RUNS]
 *
 * NNUNET_BENCH_PYTHON names a Python that has SimpleITK.
 */
import { type Measurement, measureProcess } from "./measure_process.ts";

const SCRIPT = new URL("dicom_read.ts", import.meta.url).pathname;
/** Reading alone: what nnU-Net makes of it, a copy as float32, comes on top. */
const PYTHON = `
import sys
import SimpleITK as sitk
sitk.ProcessObject.SetGlobalWarningDisplay(False)
reader = sitk.ImageSeriesReader()
uid, = reader.GetGDCMSeriesIDs(sys.argv[1])
reader.SetFileNames(reader.GetGDCMSeriesFileNames(sys.argv[1], uid))
reader.Execute()
`;

export async function bench([folder, runs = "3"]: readonly string[]): Promise<number> {
  if (folder === undefined) {
    console.error("usage: deno task bench dicom FOLDER [RUNS]");
    return 2;
  }
  const python = Deno.env.get("NNUNET_BENCH_PYTHON");
  const commands: Record<string, readonly string[]> = {
    nnunet: [Deno.execPath(), "run", "--quiet", "--allow-read", "--allow-env", "--allow-sys", SCRIPT, folder],
    ...(python === undefined ? {} : { SimpleITK: [python, "-c", PYTHON, folder] }),
  };
  const best = new Map<string, Measurement>();
  for (let run = 0; run < Number(runs); run++) {
    for (const [name, command] of Object.entries(commands)) {
      const measured = await measureProcess(command);
      if (measured.code !== 0) throw new Error(`${name}: ${measured.stderr}`);
      if (measured.seconds < (best.get(name)?.seconds ?? Infinity)) best.set(name, measured);
    }
  }
  for (const [name, { seconds, peakMB }] of best) {
    console.log(`${name.padEnd(10)} ${seconds.toFixed(2).padStart(7)} s ${peakMB.toFixed(0).padStart(6)} MB`);
  }
  return 0;
}
