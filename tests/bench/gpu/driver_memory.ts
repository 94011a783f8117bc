/** Memory of the GPUs in use, as the driver counts it. */

/** MiB on all GPUs together, those of other programs included; undefined where there is no nvidia-smi to ask. */
export async function driverMebibytes(): Promise<number | undefined> {
  try {
    const { success, stdout } = await new Deno.Command("nvidia-smi", {
      args: ["--query-gpu=memory.used", "--format=csv,noheader,nounits"],
      stderr: "null",
    }).output();
    const numbers = new TextDecoder().decode(stdout).trim().split("\n").map(Number);
    return success && numbers.every(Number.isFinite) ? numbers.reduce((a, b) => a + b) : undefined;
  } catch {
    return undefined;
  }
}
