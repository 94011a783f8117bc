/** Runs a command to its end and measures it from outside: wall time, and peak memory of the whole process tree (Linux). */

export interface Measurement {
  readonly seconds: number;
  /** Largest sum, over the process tree, of proportional set sizes, in MB (10^6 bytes); polled every 50 ms. */
  readonly peakMB: number;
  readonly code: number;
  readonly stderr: string;
}

/** Starts `command`, follows its process tree, and waits for it. Output on stdout is read and dropped. */
export async function measureProcess(
  command: readonly string[],
  env: Record<string, string> = {},
): Promise<Measurement> {
  const start = performance.now();
  const child = new Deno.Command(command[0], {
    args: command.slice(1),
    env,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let peak = 0;
  const timer = setInterval(() => peak = Math.max(peak, treeKilobytes(child.pid)), 50);
  const output = await child.output();
  clearInterval(timer);
  return {
    seconds: (performance.now() - start) / 1000,
    peakMB: peak * 1024 / 1e6,
    code: output.code,
    stderr: new TextDecoder().decode(output.stderr),
  };
}

function treeKilobytes(root: number): number {
  const children = new Map<number, number[]>();
  for (const entry of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(entry.name)) continue;
    const stat = readText(`/proc/${entry.name}/stat`);
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(entry.name)]);
  }
  let sum = 0;
  const open = [root];
  for (let pid = open.pop(); pid !== undefined; pid = open.pop()) {
    sum += Number(/^Pss:\s+(\d+)/m.exec(readText(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0);
    open.push(...(children.get(pid) ?? []));
  }
  return sum;
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return ""; // the process has ended meanwhile
  }
}
