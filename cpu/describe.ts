/** What the machine offers the CPU engine. */

export interface CpuDescription {
  /** Logical cores this process may use. */
  readonly threads: number;
  readonly simd: boolean;
  readonly relaxedSimd: boolean;
  readonly memory64: boolean;
  /** Bytes of main memory, the limit of a container (cgroup) if that is lower. */
  readonly totalMemory: number;
  /** Bytes that can be had without swapping. */
  readonly availableMemory: number;
}

/** Reads the machine's features and memory; needs the permission to read system information. */
export function describeCpu(): CpuDescription {
  const { total, available } = Deno.systemMemoryInfo();
  const limit = containerMemory();
  return {
    threads: Math.max(1, navigator.hardwareConcurrency),
    ...cpuFeatures(),
    totalMemory: Math.min(total, limit.limit),
    availableMemory: Math.min(available, limit.limit - limit.used),
  };
}

/** What this runtime's WebAssembly can do on this processor. */
export function cpuFeatures(): { readonly simd: boolean; readonly relaxedSimd: boolean; readonly memory64: boolean } {
  return {
    simd: accepts([0xfd, 0x0c, ...new Array(16).fill(0)]),
    // relaxed_madd of three zero vectors.
    relaxedSimd: accepts([...zeroVector(), ...zeroVector(), ...zeroVector(), 0xfd, 0x85, 0x02]),
    memory64: acceptsMemory64(),
  };
}

function zeroVector(): number[] {
  return [0xfd, 0x0c, ...new Array(16).fill(0)];
}

const HEADER = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

/** True if a function () -> v128 of these instructions is valid. */
function accepts(instructions: readonly number[]): boolean {
  const body = [0x00, ...instructions, 0x0b];
  const code = [0x01, body.length, ...body];
  return WebAssembly.validate(
    new Uint8Array([
      ...HEADER,
      ...[0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7b],
      ...[0x03, 0x02, 0x01, 0x00],
      ...[0x0a, code.length, ...code],
    ]),
  );
}

/** True if a module may declare a shared 64-bit memory. */
function acceptsMemory64(): boolean {
  return WebAssembly.validate(new Uint8Array([...HEADER, 0x05, 0x04, 0x01, 0x07, 0x01, 0x01]));
}

/** Limit and use of the control group this process is in; no limit where there is none. */
function containerMemory(): { readonly limit: number; readonly used: number } {
  const files = [
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"],
    ["/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"],
  ];
  for (const [limitFile, usedFile] of files) {
    const limit = readNumber(limitFile);
    if (limit !== undefined) return { limit, used: readNumber(usedFile) ?? 0 };
  }
  return { limit: Infinity, used: 0 };
}

/** A number in a file; undefined where the file is absent, unreadable or says "max". */
function readNumber(path: string): number | undefined {
  try {
    const value = Number(Deno.readTextFileSync(path));
    return Number.isFinite(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
