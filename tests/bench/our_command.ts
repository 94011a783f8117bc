/** How this checkout's program is started in a process of its own, with the permissions it has for its users. */
const MAIN = new URL("../../main.ts", import.meta.url).pathname;
const PERMISSIONS = ["--allow-read", "--allow-write", "--allow-env", "--allow-sys"];

/** The words that start `command`; its flags follow. */
export function ourCommand(command: string): string[] {
  return [Deno.execPath(), "run", "--quiet", ...PERMISSIONS, MAIN, command];
}
