/** The command `version`. */
import { UPSTREAM_VERSION, VERSION } from "../version.ts";
import { defineCommand } from "./command.ts";

export const versionCommand = defineCommand({
  flags: {},
  run(_values, { print }) {
    print(`nnunet ${VERSION} (follows nnU-Net ${UPSTREAM_VERSION})`);
    return Promise.resolve(true);
  },
});
