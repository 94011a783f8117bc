/** The same network in torch on the same card: what ours is held against. Nothing of it is needed; what is absent is said. */
import { z } from "zod";
import { messageOf } from "../../../core/base/errors.ts";
import { startTorch, type TorchProcess } from "../torch_process.ts";
import type { Limit, PartEnd } from "./budget.ts";
import type { Report } from "./report.ts";
import type { Sizes } from "./sizes.ts";

const aboutSchema = z.object({ torch: z.string(), cuda: z.string().nullable(), nnunetv2: z.boolean() });

/** A Python that has torch. */
export interface Python {
  readonly program: string;
  /** Of its torch; null where it has no CUDA. */
  readonly device: string | null;
  readonly hasNnunet: boolean;
}

const DTYPES = ["fp16", "tf32", "fp32"] as const;
/** Runs of torch's that count, and seconds for one type and memory format; what it takes to import it. */
const RUNS = 20;

/** The Python that NNUNET_BENCH_PYTHON names, or python3. @returns why there is none that can be used */
export async function findPython(limit: Limit): Promise<Python | string> {
  const program = Deno.env.get("NNUNET_BENCH_PYTHON") ?? "python3";
  try {
    using torch = startTorch(program, "torch_gpu.py", 1);
    const { torch: version, cuda, nnunetv2 } = aboutSchema.parse(await within(limit, torch.ask({ about: true })));
    return { program, device: cuda && `${cuda}, torch ${version}`, hasNnunet: nnunetv2 };
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound ? "there is no such program" : "it has no torch, or is too slow";
    return `${program}: ${why} (NNUNET_BENCH_PYTHON names another Python)`;
  }
}

/** @param onCpu Without CUDA on the CPU, to rehearse */
export async function measureTorch(
  python: Python | string,
  sizes: Sizes,
  onCpu: boolean,
  limit: Limit,
  report: Report,
): Promise<PartEnd> {
  if (typeof python === "string") return { state: "skipped", why: python };
  if (python.device === null && !onCpu) return { state: "skipped", why: `${python.program}: its torch has no CUDA` };
  report.detail("device", python.device ?? "cpu");
  using torch = startTorch(python.program, "torch_gpu.py", 1);
  for (const { name, ...request } of requestsOf(sizes)) {
    if (!limit.allows(name)) continue;
    try {
      const [milliseconds, format] = await measureOne(torch, { ...request, cpu: onCpu, runs: RUNS }, limit);
      report.measure(name, milliseconds, "ms");
      report.say(`torch ${name}: ${milliseconds.toFixed(2)} ms, ${format}`);
    } catch (error) {
      report.say(`torch ${name}: ${messageOf(error)}`);
      // It may be in the middle of a run that is still not done.
      if (error instanceof OutOfTime) return { state: "cut", why: name };
    }
  }
  return { state: "done" };
}

/** Passes and steps in turn, those that nnU-Net itself takes first. */
function requestsOf({ edge, features, batches: [batch], trainBatch }: Sizes) {
  return DTYPES.flatMap((dtype) => [
    { name: `${dtype}, batch ${batch}: latency`, edge, features, batch, dtype, train: false },
    { name: `${dtype}: step`, edge, features, batch: trainBatch, dtype, train: true },
  ]);
}

const answerSchema = z.object({ milliseconds: z.array(z.number().positive()).min(1), format: z.string() });

/** @returns the best milliseconds, and in which memory format */
async function measureOne(
  torch: TorchProcess,
  request: Readonly<Record<string, unknown>>,
  limit: Limit,
): Promise<readonly [number, string]> {
  // A third of what is left at most, so that there is something of the others too.
  const seconds = limit.left() / 3000;
  const { milliseconds, format } = answerSchema.parse(await within(limit, torch.ask({ ...request, seconds })));
  return [Math.min(...milliseconds), format];
}

class OutOfTime extends Error {}

/** What it becomes, if that is in time. */
async function within<T>(limit: Limit, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new OutOfTime("its time is over")), limit.left());
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
