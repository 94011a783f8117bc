/** The `version` command, and the version itself. */
import type { Command } from "./command.ts";
import { parseCommandLine } from "../flags/parse_command_line.ts";
import { print } from "../terminal.ts";

/** Of this program; deno.json says the same (a test compares them). */
export const VERSION = "0.1.0";
/** The nnU-Net whose files, commands and results are followed. */
export const UPSTREAM_VERSION = "2.5.1";

export const version: Command = {
  flags: {},
  run(args, shownName) {
    if (parseCommandLine("version", version, args, shownName)) {
      print(`nnunet ${VERSION} (follows nnU-Net ${UPSTREAM_VERSION})`);
    }
    return Promise.resolve(0);
  },
};
