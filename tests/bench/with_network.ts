/** Benchmarks that talk to a service: of all alone they have the permission for a network, and for this machine's only. */
import { fromFileUrl } from "../../core/base/path.ts";

const BENCH = fromFileUrl(new URL("bench.ts", import.meta.url));
const FLAGS = ["--quiet", "--frozen", "--allow-read", "--allow-write", "--allow-env", "--allow-sys", "--allow-run"];

/**
 * Runs `measure`, in a process of its own where this one lacks the permission.
 * @param name As bench.ts calls it
 * @returns the exit code
 */
export async function benchWithNetwork(
  name: string,
  args: readonly string[],
  measure: (args: readonly string[]) => Promise<number>,
): Promise<number> {
  const { state } = await Deno.permissions.query({ name: "net", host: "127.0.0.1" });
  if (state === "granted") return await measure(args);
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["run", ...FLAGS, "--allow-net=127.0.0.1", BENCH, name, ...args],
  }).spawn().status;
  return code;
}
