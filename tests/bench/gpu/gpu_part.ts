/**
 * A part of the GPU bench in a process of its own: the engine is opened, the part run, what it finds written to stdout (report.ts). So a
 * device that hangs or is lost ends one part, and the driver's memory is the part's alone.
 */
import { z } from "zod";
import { messageOf } from "../../../core/base/errors.ts";
import { createGpuEngine } from "../../../gpu/engine.ts";
import { measureBeside, measureSelfTest } from "./beside_part.ts";
import { createLimit } from "./budget.ts";
import { measureBusyShare } from "./busy_part.ts";
import { loadWebGpu, webGpuSchema } from "./dawn.ts";
import type { EnginePart } from "./engine_part.ts";
import { measureForward, measurePeak } from "./forward_part.ts";
import { measureParity } from "./parity_part.ts";
import { sendingReport } from "./report.ts";
import { sizesSchema } from "./sizes.ts";
import { measureTraining } from "./training_part.ts";
import { measureTuning } from "./tuning_part.ts";

export const ENGINE_PARTS = ["self-test", "parity", "peak", "forward", "training", "busy", "beside", "tuning"] as const;

/** Exit code where there is no such WebGPU, or it does not find the adapter. */
export const NO_WEBGPU = 3;

const requestSchema = z.object({
  part: z.enum(ENGINE_PARTS),
  sizes: sizesSchema,
  /** When it is to end: milliseconds since 1970, so that what it takes to start counts. */
  until: z.number(),
  allowSoftware: z.boolean(),
  /** Keys of kernels that the driver does not compile. */
  refused: z.array(z.string()),
  /** Of a convolution's transformed tiles, kept at a time; where it was measured. */
  cacheBytes: z.number().optional(),
  webgpu: webGpuSchema,
  /** What the driver calls the adapter. */
  adapter: z.string(),
  /** For files. */
  folder: z.string(),
});
export type PartRequest = z.infer<typeof requestSchema>;

async function main(request: PartRequest): Promise<void> {
  const { part, sizes, allowSoftware, folder, cacheBytes } = request;
  const report = sendingReport();
  const clock = () => performance.now();
  const limit = createLimit(clock, request.until - Date.now(), report.cut);
  const webgpu = await loadWebGpu(request.webgpu, request.adapter).catch((error) => {
    Deno.stderr.writeSync(new TextEncoder().encode(`${messageOf(error)}\n`));
    Deno.exit(NO_WEBGPU);
  });
  const options = { allowSoftware, refused: new Set(request.refused), cacheBytes, ...(webgpu && { webgpu }) };
  report.detail("bytes of tiles kept at a time", cacheBytes ?? "usual");
  await using engine = await createGpuEngine(options);
  const given: EnginePart = { engine, sizes, limit, report, clock };
  const parts: Record<PartRequest["part"], () => Promise<void>> = {
    "self-test": () => measureSelfTest(given),
    parity: () => measureParity(given),
    peak: () => measurePeak(given),
    forward: () => measureForward(given),
    training: () => measureTraining(given),
    busy: () => measureBusyShare(given, folder),
    beside: () => measureBeside(given),
    tuning: () => measureTuning(given, options),
  };
  await parts[part]();
}

if (import.meta.main) await main(requestSchema.parse(JSON.parse(Deno.args[0])));
