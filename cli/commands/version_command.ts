/** The command `version`: which program this is, and what it may do on this machine. */
import type { FlagTable } from "../flags/flag.ts";
import { permissions } from "../permissions.ts";
import { programDigest } from "../program_digest.ts";
import { installedProgram } from "../packaging/installed_program.ts";
import { UPSTREAM_VERSION, VERSION } from "../version.ts";
import { defineCommand } from "./command.ts";

const FLAGS = {
  json: {
    kind: "switch",
    names: ["--json"],
    group: "Arguments",
    help: "Print it as JSON, with the program's SHA-256, Deno's version and all permissions.",
  },
} as const satisfies FlagTable;

export const versionCommand = defineCommand({
  flags: FLAGS,
  examples: [
    { does: "Print all about the program, for another one to read", args: "--json" },
  ],
  async run({ json }, { print }) {
    const granted = await permissions();
    if (!json) {
      const beyond = `network: ${granted.net}, other programs: ${granted.run}, native libraries: ${granted.ffi}`;
      print(`nnunet ${VERSION} (follows nnU-Net ${UPSTREAM_VERSION})\n${beyond}`);
      return true;
    }
    const { kind, file } = await installedProgram();
    const version = {
      name: "nnunet",
      version: VERSION,
      follows: `nnU-Net ${UPSTREAM_VERSION}`,
      program: { kind, file, ...await programDigest() },
      runtime: `deno ${Deno.version.deno}`,
      target: Deno.build.target,
      permissions: granted,
    };
    print(JSON.stringify(version, null, 2));
    return true;
  },
});
