/** The command `export`: a checkpoint's network in a format other programs read. */
import { plural } from "../../core/base/plural.ts";
import { UsageError } from "../../core/base/errors.ts";
import { stringifyJson } from "../../core/base/json.ts";
import { refuseOverwriting } from "../../core/base/overwriting.ts";
import { dirname, join } from "../../core/base/path.ts";
import { writeSafetensors } from "../../core/formats/torch/safetensors.ts";
import { type Checkpoint, openCheckpoint } from "../../core/formats/torch/torch_checkpoint.ts";
import { defineCommand } from "./command.ts";
import type { FlagTable } from "../flags/flag.ts";

const FORMAT = "Format";
const FILES = "Files";
const FLAGS = {
  checkpoint: {
    kind: "text",
    names: ["checkpoint"],
    value: "FILE",
    required: true,
    group: FILES,
    help: "A checkpoint_*.pth that nnU-Net or this program wrote.",
  },
  safetensors: {
    kind: "switch",
    names: ["--safetensors"],
    group: FORMAT,
    help: "Write a safetensors file.",
  },
  output: {
    kind: "text",
    names: ["-o"],
    value: "FILE",
    form: { fits: /\.safetensors$/i, needed: "a name that ends in .safetensors" },
    group: FILES,
    help: "The file to write. Default: model.safetensors beside the checkpoint.",
  },
} as const satisfies FlagTable;

export const exportCommand = defineCommand({
  flags: FLAGS,
  examples: [
    {
      does: "Write a network for other programs",
      args: "fold_0/checkpoint_final.pth --safetensors -o model.safetensors",
    },
  ],
  details: [
    "Each tensor is written once, as float32, under its name in the network; the second names that torch's checkpoint gives the same " +
    "tensors (decoder.encoder.*, *.all_modules.*) are left out. In Python, safetensors.torch.load_model(network, file) takes it. " +
    "Plans, dataset.json, trainer, configuration, fold and mirroring axes are in the file's metadata, as JSON texts.",
  ],
  check({ safetensors }) {
    if (!safetensors) throw new UsageError("a format is needed: --safetensors");
  },
  async run(values, { print, signal }) {
    const output = values.output ?? join(dirname(values.checkpoint), "model.safetensors");
    refuseOverwriting(
      [{ path: values.checkpoint, what: "the checkpoint" }],
      [{ path: output, what: "the exported file" }],
      { doing: "choosing the output file", remedy: "name another file with -o" },
    );
    using checkpoint = await openCheckpoint(values.checkpoint);
    await writeSafetensors(output, checkpoint.weights, metadataOf(checkpoint), signal);
    print(`${plural(checkpoint.weights.size, "tensor")} written to ${output}`);
    return true;
  },
});

function metadataOf({ trainerName, configurationName, mirrorAxes, initArgs }: Checkpoint): Record<string, string> {
  const args = initArgs as Readonly<Record<string, unknown>>;
  const given = (["fold", "plans", "dataset_json"] as const).filter((name) => args[name] !== undefined);
  return {
    format: "pt",
    trainer_name: trainerName,
    configuration: configurationName,
    inference_allowed_mirroring_axes: JSON.stringify(mirrorAxes),
    ...Object.fromEntries(given.map((name) => [name, stringifyJson(args[name])])),
  };
}
