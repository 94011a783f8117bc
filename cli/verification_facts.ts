/** What stands under a verification in its page: program, engine, model and their checksums, as the prediction's report has them. */
import type { VerificationPage } from "../core/evaluate/agreement/agreement_html.ts";
import type { VerifyValues } from "./run_verification.ts";
import type { PredictionFacts } from "./verification_report.ts";

interface Named {
  readonly file?: string;
  readonly sha256?: string;
}

/** The part of the prediction's report (cli/report.ts) that is shown. */
interface Facts {
  readonly program?: {
    readonly version?: string;
    readonly follows?: string;
    readonly sha256?: string;
    readonly of?: string;
    readonly runtime?: string;
    readonly system?: string;
  };
  readonly engine?: { readonly description?: string; readonly precision?: string };
  readonly model?: {
    readonly folder?: string;
    readonly dataset?: string;
    readonly configuration?: string;
    readonly trainer?: string;
    readonly plans?: Named & { readonly name?: string };
    readonly datasetJson?: Named;
    readonly folds?: readonly (Named & { readonly name?: string })[];
  };
  readonly overrides?: readonly { readonly flag: string; readonly what: string }[];
}

/** @param formats What the files are: "NRRD" */
export function factsOf(
  prediction: PredictionFacts,
  { images, against, minDice, maxVoxels }: VerifyValues,
  formats: { readonly images: string; readonly against: string },
): Pick<VerificationPage, "title" | "subtitle" | "facts"> {
  const { program, engine, model, overrides } = prediction as Facts;
  const named = (name: string, one: Named | undefined): [string, string][] =>
    one?.file === undefined ? [] : [[name, `${one.file}, SHA-256 ${one.sha256}`]];
  const folds = model?.folds ?? [];
  return {
    title: `Verification of ${model?.dataset || "a model"}`,
    subtitle: [
      model?.trainer,
      model?.plans?.name,
      model?.configuration,
      `fold ${folds.map(({ name }) => name).join(" ")}`,
    ]
      .filter(Boolean).join(", "),
    facts: [
      ["program", `nnunet ${program?.version}, follows ${program?.follows}`],
      ["its SHA-256", `${program?.sha256} (${program?.of})`],
      ["system", `${program?.system}, ${program?.runtime}`],
      ["engine", `${engine?.description ?? "none"}, ${engine?.precision ?? ""}`],
      ["model", model?.folder ?? ""],
      ...folds.flatMap((fold) => named(`fold ${fold.name}`, fold)),
      ...named("plans", model?.plans),
      ...named("dataset.json", model?.datasetJson),
      ["images", `${images} (${formats.images})`],
      ["compared with", `${against} (${formats.against})`],
      ["lowest Dice asked for", minDice === undefined ? "none" : String(minDice)],
      ["voxels that may differ", maxVoxels === undefined ? "any number" : String(maxVoxels)],
      ...(overrides ?? []).map(({ flag, what }): [string, string] => [flag, what]),
    ],
  };
}
