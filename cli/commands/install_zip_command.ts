/** The commands `install_pretrained_model_from_zip` and `download_pretrained_model_by_url`, which never uses a network. */
import { describeBytes } from "../../core/base/describe_bytes.ts";
import { UserError } from "../../core/base/errors.ts";
import { basename, join } from "../../core/base/path.ts";
import { plural } from "../../core/base/plural.ts";
import { statOrNull } from "../../core/base/stat_or_null.ts";
import { installZip } from "../../core/share/install_zip.ts";
import { requireFolders } from "../dataset_folders.ts";
import type { FlagTable } from "../flags/flag.ts";
import { LOG } from "../flags/forms.ts";
import { defineCommand } from "./command.ts";
import { countBytes } from "./count_bytes.ts";

const INSTALL = "install_pretrained_model_from_zip";
const INSTALL_FLAGS = {
  zip: {
    kind: "text",
    names: ["zip"],
    value: "FILE",
    required: true,
    group: "Zip file",
    help: "A zip that export_model_to_zip made, or one of the same layout.",
  },
  force: {
    kind: "switch",
    names: ["--force"],
    beyond: true,
    group: "Zip file",
    help:
      "Replace files that are there and differ from the zip's. Without it they are listed, and nothing is installed.",
  },
  log: LOG,
} as const satisfies FlagTable;

export const installZipCommand = defineCommand({
  flags: INSTALL_FLAGS,
  examples: [{ does: "Install a model that was shared", args: "hippocampus.zip" }],
  details: [
    "The whole zip is checked before anything is written: it may hold DatasetXXX_Name/TRAINER__PLANS__CONFIGURATION/... and " +
    "DatasetXXX_Name/ensembles/..., no links, no path that leads elsewhere, no name twice. Folders of validations and logs may be " +
    "missing. Files take their names once all are unpacked and their checksums were right; what is there already is left as it is. " +
    "Checksums are kept in each model's folder; `doctor --checksums` compares them.",
  ],
  async run({ zip, force }, { environment, print, warn, signal, count, event }) {
    const { results } = requireFolders(environment, ["results"], {
      doing: "looking for the folder of trained models",
      remedy: "set it to the folder that holds them, or is to (export nnUNet_results=/path/to/results)",
    });
    const installed = await installZip({ zip, results, force, signal, onProgress: countBytes(count, "unpacked") });
    for (const warning of installed.warnings) warn(warning);
    const { models, files, bytes } = installed;
    event?.("installed", { zip, results, models, files, bytes });
    const size = `${plural(files, "file")}, ${describeBytes(bytes)}`;
    print(files > 0 ? `installed: ${size}` : "all of it is there already, byte for byte; nothing was written");
    for (const model of models) print(join(results, ...model.split("/")));
    return true;
  },
});

const DOWNLOAD_FLAGS = {
  url: {
    kind: "text",
    names: ["url"],
    value: "URL",
    required: true,
    group: "Zip file",
    help: "Where the zip file is.",
  },
} as const satisfies FlagTable;

export const downloadCommand = defineCommand({
  flags: DOWNLOAD_FLAGS,
  examples: [{ does: "Be told how to get a model", args: "https://example.org/models/hippocampus.zip" }],
  details: [`This program uses no network: it says which file to fetch, and how to install it. Exit code 1.`],
  async run({ url }, { byUpstreamName }) {
    const install = byUpstreamName ? `nnUNetv2_${INSTALL}` : `nnunet ${INSTALL}`;
    const doing = "downloading the model";
    if (await statOrNull(url, doing)) {
      const remedy = `run: ${install} ${quoted(url)}`;
      throw new UserError({ doing, file: url, problem: "it is a file on this machine, not a URL", remedy });
    }
    const name = fileName(url);
    if (name === undefined) {
      const remedy = `give one that begins with https://, or a zip file to ${install}`;
      throw new UserError({ doing, problem: `"${url}" is no URL of a file`, remedy });
    }
    throw new UserError({
      doing,
      problem: "this program never uses a network",
      remedy: `fetch ${url} with a browser or, on a machine with a network, with: curl -L -o ${quoted(name)} ` +
        `${quoted(url)}; then run: ${install} ${quoted(name)}`,
    });
  },
});

/** What the file would be called; undefined if the text is no URL. */
function fileName(text: string): string | undefined {
  const url = URL.parse(text);
  if (!url || !/^(?:https?|ftp):$/.test(url.protocol)) return undefined;
  const name = basename(url.pathname).replaceAll(/[^\w.+-]/g, "_");
  return /\.zip$/i.test(name) ? name : "model.zip";
}

function quoted(word: string): string {
  return /^[\w./:+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
