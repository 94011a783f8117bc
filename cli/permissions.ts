/** What Deno lets this process do, as it says itself: the one file and the tasks grant the first four and nothing else. */

const NAMES = ["read", "write", "env", "sys", "net", "run", "ffi"] as const;

export type PermissionName = (typeof NAMES)[number];
/** "some": for certain folders, hosts, ... only. */
export type Granted = "all" | "some" | "none";

export async function permissions(): Promise<Record<PermissionName, Granted>> {
  const granted = async (name: PermissionName): Promise<Granted> => {
    const { state, partial } = await Deno.permissions.query({ name });
    // Of hosts that alone are granted nothing is told, but of each when it is asked for.
    if (name === "net" && state !== "granted") return await mayListen() ? "some" : "none";
    // What would be asked for is not granted; "granted" to a part where some of it is denied.
    return state !== "granted" ? partial ? "some" : "none" : partial ? "some" : "all";
  };
  const entries = await Promise.all(NAMES.map(async (name) => [name, await granted(name)] as const));
  return Object.fromEntries(entries) as Record<PermissionName, Granted>;
}

/** The service's permission (packaging/starters.ts). */
async function mayListen(): Promise<boolean> {
  return (await Deno.permissions.query({ name: "net", host: "127.0.0.1" })).state === "granted";
}
