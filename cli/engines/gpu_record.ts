/**
 * What has been found out about a GPU, kept from run to run: that its self-test passed, how models may store activations, which way each
 * convolution is the fastest, and how much of one is best done at a time. One file for an adapter and its driver; it holds for the kernels
 * it was made with. Losing it costs time only.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { messageOf } from "../../core/base/errors.ts";
import { ensureFolder, writeAtomically } from "../../core/base/files.ts";
import { dirname, join } from "../../core/base/path.ts";
import type { Precision } from "../../core/engine/engine.ts";

/** What a record is about. */
export interface GpuIdentity {
  readonly adapter: string;
  /** The driver, and the runtime whose compiler makes the driver's input of the kernels' text. */
  readonly driver: string;
  /** gpu/kernel_checksum.ts. */
  readonly kernels: string;
}

export interface GpuFindings {
  /** How the self-test last went; undefined: it never ran, with these kernels. */
  readonly selfTest?: {
    readonly passed: boolean;
    readonly when: string;
    /** What was wrong with activations in f16, which are not used then; absent if nothing was, or the GPU has none. */
    readonly halvesFailed?: string;
  };
  /** By model: what `--precision auto` found. */
  readonly precision: Readonly<Record<string, { readonly precision: Precision; readonly why: string }>>;
  /** By model and precision: whether a tile was computed as the CPU does. */
  readonly models: Readonly<Record<string, { readonly passed: boolean; readonly why: string }>>;
  /** By shape (gpu/tuning.ts): the fastest candidate. */
  readonly convolutions: Readonly<Record<string, { readonly candidate: string; readonly milliseconds: number }>>;
  /** How much of a convolution's tiles is best kept at a time (gpu/measure_cache.ts), and what it gains. */
  readonly cache?: { readonly bytes: number; readonly milliseconds: number; readonly usualMilliseconds: number };
  /** By key (gpu/refused.ts): kernels that the driver did not compile, and ways to compute layers that gave wrong results. */
  readonly refused: Readonly<Record<string, { readonly name: string; readonly why: string }>>;
}

export interface GpuRecord {
  /** Undefined where there is no folder to keep it in. */
  readonly path?: string;
  readonly findings: GpuFindings;
  /** Why what is there is not used, a line for the user; undefined if it is, or nothing is there. */
  readonly ignored?: string;
  /** Adds findings to those of the file, which another process may have written to. @returns why they could not be kept */
  add(more: Partial<GpuFindings>): Promise<string | undefined>;
}

const FORMAT = { name: "nnunet GPU record", version: 2 } as const;
const NOTHING: GpuFindings = { precision: {}, models: {}, convolutions: {}, refused: {} };

const fileSchema = z.strictObject({
  format: z.strictObject({ name: z.literal(FORMAT.name), version: z.literal(FORMAT.version) }),
  adapter: z.string(),
  driver: z.string(),
  kernels: z.string(),
  selfTest: z.strictObject({ passed: z.boolean(), when: z.string(), halvesFailed: z.string().optional() }).optional(),
  precision: z.record(z.string(), z.strictObject({ precision: z.enum(["f32", "f16"]), why: z.string() })),
  models: z.record(z.string(), z.strictObject({ passed: z.boolean(), why: z.string() })).default({}),
  convolutions: z.record(z.string(), z.strictObject({ candidate: z.string(), milliseconds: z.number() })),
  refused: z.record(z.string(), z.strictObject({ name: z.string(), why: z.string() })),
  cache: z.strictObject({
    bytes: z.number().int().positive(),
    milliseconds: z.number().nonnegative(),
    usualMilliseconds: z.number().nonnegative(),
  }).optional(),
});
/** Of earlier versions of the program. */
const olderSchema = z.looseObject({ format: z.strictObject({ name: z.literal(FORMAT.name), version: z.literal(1) }) });

/** Reads the record of a GPU, or starts an empty one. */
export async function openGpuRecord(identity: GpuIdentity, folder = cacheFolder()): Promise<GpuRecord> {
  const path = folder === undefined ? undefined : join(folder, fileName(identity));
  const { findings, ignored } = path === undefined
    ? { findings: NOTHING, ignored: undefined }
    : await read(path, identity);
  let current = findings;
  return {
    path,
    ignored,
    get findings() {
      return current;
    },
    async add(more) {
      const there = path === undefined ? NOTHING : (await read(path, identity)).findings;
      current = merge(merge(there, current), more);
      if (path === undefined) return "there is no folder to keep it in (set NNUNET_CACHE to one)";
      try {
        const doing = "keeping what was found out about the GPU";
        await ensureFolder(dirname(path), doing);
        await writeAtomically(path, JSON.stringify({ format: FORMAT, ...identity, ...current }, null, 1) + "\n", {
          doing,
          removesLeftovers: true,
        });
        return undefined;
      } catch (error) {
        return messageOf(error);
      }
    },
  };
}

function merge(a: GpuFindings, b: Partial<GpuFindings>): GpuFindings {
  return {
    selfTest: b.selfTest ?? a.selfTest,
    precision: { ...a.precision, ...b.precision },
    models: { ...a.models, ...b.models },
    convolutions: { ...a.convolutions, ...b.convolutions },
    refused: { ...a.refused, ...b.refused },
    cache: b.cache ?? a.cache,
  };
}

async function read(path: string, identity: GpuIdentity): Promise<Pick<GpuRecord, "findings" | "ignored">> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { findings: NOTHING };
    return { findings: NOTHING, ignored: `${path} cannot be read and is not used (${String(error)})` };
  }
  const content = parseOrUndefined(text);
  const parsed = fileSchema.safeParse(content);
  if (!parsed.success && olderSchema.safeParse(content).success) {
    return { findings: NOTHING, ignored: `${path} is of an earlier version of the program and is not used` };
  }
  if (!parsed.success) {
    return { findings: NOTHING, ignored: `${path} is damaged and is not used; \`nnunet doctor --tune\` makes it anew` };
  }
  const { format: _format, adapter, driver, kernels, ...findings } = parsed.data;
  if (adapter !== identity.adapter || driver !== identity.driver) {
    return { findings: NOTHING, ignored: `${path} is of another GPU or driver and is not used` };
  }
  if (kernels !== identity.kernels) {
    const tuned = Object.keys(findings.convolutions).length > 0 ? "; `nnunet doctor --tune` measures again" : "";
    return { findings: NOTHING, ignored: `${path} was made with other kernels and is not used${tuned}` };
  }
  return { findings };
}

function parseOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** "nvidia-h200-1a2b3c4d5e6f.json": adapter and driver; new kernels replace what was measured with old ones. */
function fileName({ adapter, driver }: GpuIdentity): string {
  const readable = adapter.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-|-$/g, "").slice(0, 40);
  return `${readable}-${createHash("sha256").update(`${adapter}\n${driver}`).digest("hex").slice(0, 12)}.json`;
}

/** NNUNET_CACHE, or the system's folder for what programs may lose. */
function cacheFolder(): string | undefined {
  const get = (name: string) => Deno.env.get(name) || undefined;
  const own = get("NNUNET_CACHE");
  if (own !== undefined) return own;
  const home = get("HOME");
  if (Deno.build.os === "windows") return within(get("LOCALAPPDATA"), "nnunet");
  if (Deno.build.os === "darwin") return within(home, "Library", "Caches", "nnunet");
  return within(get("XDG_CACHE_HOME"), "nnunet") ?? within(home, ".cache", "nnunet");
}

function within(folder: string | undefined, ...names: string[]): string | undefined {
  return folder === undefined ? undefined : join(folder, ...names);
}
