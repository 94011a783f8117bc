/** Runs a command to its end and measures it from outside: wall time, memory and processor time of the whole process tree (Linux). */

export interface Measurement {
  readonly seconds: number;
  /** Largest sum, over the process tree, of proportional set sizes, in MB (10^6 bytes); polled. */
  readonly peakMB: number;
  /** Processor time, in whole seconds of each process, as last polled. */
  readonly processorSeconds: number;
  readonly code: number;
  readonly stderr: string;
}

/** Often enough for peaks of a network's run, seldom enough not to disturb it. */
const POLL_MILLISECONDS = 250;

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
  let [peak, processorSeconds] = [0, 0];
  let running = true;
  const polling = (async () => {
    for (; running; await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS))) {
      const use = await treeUse(child.pid);
      peak = Math.max(peak, use.kilobytes);
      processorSeconds = Math.max(processorSeconds, use.seconds);
    }
  })();
  const output = await child.output();
  running = false;
  await polling;
  return {
    seconds: (performance.now() - start) / 1000,
    peakMB: peak * 1024 / 1e6,
    processorSeconds,
    code: output.code,
    stderr: new TextDecoder().decode(output.stderr),
  };
}

/** Deno guards /proc, so `ps` is asked: first for the tree, then for its members' memory, which costs more. */
async function treeUse(root: number): Promise<{ readonly kilobytes: number; readonly seconds: number }> {
  const tree = new Set([root]);
  const processes = await ps("-eo", "pid=,ppid=");
  // A child has a larger number than its parent unless numbers wrapped round: the second pass finds it then, too.
  for (const [pid, parent] of [...processes, ...processes]) if (tree.has(parent)) tree.add(pid);
  const members = await ps("-o", "pss=,times=", "-p", [...tree].join(","));
  const sum = (column: number) => members.reduce((total, values) => total + (values[column] || 0), 0);
  return { kilobytes: sum(0), seconds: sum(1) };
}

async function ps(...args: string[]): Promise<number[][]> {
  const { stdout } = await new Deno.Command("ps", { args, stderr: "null" }).output();
  return new TextDecoder().decode(stdout).trim().split("\n").map((line) => line.trim().split(/\s+/).map(Number));
}
