/** The report of a verification as one page for the files: what was compared, with what, how far it agrees, and where it does not. */
import { escapeHtml, htmlFact, htmlPage, htmlTile, pngAddress } from "../../base/html.ts";
import { plural } from "../../base/plural.ts";
import type { UserError } from "../../base/errors.ts";
import { type AgreementSummary, type CaseAgreement, lowestDiceOf, type TargetSummary } from "./agreement.ts";
import type { Place } from "./compare_labels.ts";

export interface VerificationPage {
  /** The model's dataset. */
  readonly title: string;
  readonly subtitle: string;
  readonly verdict: Verdict;
  readonly summary: AgreementSummary;
  readonly cases: readonly CaseAgreement[];
  readonly failed: readonly { readonly id: string; readonly error: Pick<UserError, "message"> }[];
  /** Names of classes or regions by their key. */
  readonly names: ReadonlyMap<string, string>;
  /** Program, engine, model and checksums, date, ... */
  readonly facts: readonly (readonly [name: string, value: string])[];
  /** Of the worst case; undefined where no voxel differs or no picture could be drawn. */
  readonly picture?: { readonly png: Uint8Array; readonly caption: string };
  readonly written: Date;
}

export interface Verdict {
  /** `compared`: nothing was asked for, so there is nothing to judge. */
  readonly state: "passed" | "failed" | "compared";
  /** A sentence, and why it failed. */
  readonly sentence: string;
  readonly reasons: readonly string[];
}

/** Rows of the table of cases; the others are in the JSON report. */
const MOST_CASES = 40;

/** The text of the page. */
export function verificationHtml(page: VerificationPage): string {
  const { title, subtitle, verdict, summary, cases, failed, names, facts, picture, written } = page;
  const reasons = verdict.reasons.map((reason) => `<li>${escapeHtml(reason)}</li>`).join("");
  const time = written.toISOString();
  const body = `<header>
<h1>${escapeHtml(title)} <span class="state ${verdict.state}">${verdict.state}</span></h1>
<p>${escapeHtml(subtitle)}</p>
</header>
<section class="card"><p>${escapeHtml(verdict.sentence)}</p>${reasons ? `<ul>${reasons}</ul>` : ""}</section>
<section class="tiles">${tiles(summary, cases).map(([name, value]) => htmlTile(name, value)).join("")}</section>
<section class="card"><h2>Classes</h2>${classTable(summary.targets, names)}</section>
${failedHtml(failed)}${pictureHtml(picture)}<section class="card"><h2>Cases, the least alike first</h2>${
    caseTable(cases, names)
  }</section>
<section class="card"><h2>What was compared</h2><table>${
    facts.map(([name, value]) => htmlFact(name, value)).join("")
  }</table></section>
<footer>Written <time datetime="${time}">${
    time.slice(0, 19).replace("T", " ")
  } UTC</time>. For research; not a medical device.
Dice: twice the common voxels by the voxels of both. Slices and positions are counted from 0, in the order z, y, x.</footer>
`;
  return htmlPage({ title: `${verdict.state}: ${title}`, body, style: STYLE });
}

function tiles(summary: AgreementSummary, cases: readonly CaseAgreement[]): (readonly [string, string])[] {
  return [
    ["cases compared", String(cases.length)],
    ["of them the same at every voxel", String(summary.identical)],
    ["voxels that differ", count(summary.differing)],
    ["voxels in all", count(summary.voxels)],
    ["most in one case", count(summary.mostVoxels?.value ?? 0)],
    ["lowest Dice", dice(summary.lowestDice?.value ?? NaN)],
  ];
}

function classTable(targets: readonly TargetSummary[], names: ReadonlyMap<string, string>): string {
  const rows = targets.map(({ key, cases, meanDice, lowestDice, differing, largestMl }) =>
    row([
      nameOf(key, names),
      String(cases),
      dice(meanDice),
      lowestDice ? `${dice(lowestDice.value)} (${lowestDice.id})` : "none",
      count(differing),
      largestMl ? `${ml(largestMl.value)} (${largestMl.id})` : "none",
    ])
  );
  const head = ["class", "cases with it", "mean Dice", "lowest Dice", "voxels in one only", "largest difference in ml"];
  return table(head, rows);
}

function caseTable(cases: readonly CaseAgreement[], names: ReadonlyMap<string, string>): string {
  const worstFirst = [...cases].sort((a, b) =>
    (lowestDiceOf(a) ?? 1) - (lowestDiceOf(b) ?? 1) || b.agreement.differing - a.agreement.differing
  );
  const rows = worstFirst.slice(0, MOST_CASES).map((one) => {
    const { agreement, id } = one;
    const volumes = agreement.targets.filter(({ voxels, referenceVoxels, common }) =>
      voxels !== common || referenceVoxels !== common
    ).map(({ key, voxels, referenceVoxels, dice: value }) => {
      const name = nameOf(key, names);
      if (agreement.voxelMl === undefined) {
        return `${name} ${dice(value)}: ${count(voxels)} and ${count(referenceVoxels)} voxels`;
      }
      return `${name} ${dice(value)}: ${ml(voxels * agreement.voxelMl)} and ${
        ml(referenceVoxels * agreement.voxelMl)
      } ml`;
    });
    const where = agreement.where ? describePlace(agreement.where) : "";
    return row([id, count(agreement.differing), dice(lowestDiceOf(one) ?? NaN), volumes.join("; "), where]);
  });
  const more = cases.length > MOST_CASES
    ? `<p class="empty">${plural(cases.length - MOST_CASES, "further case")} in verification.json.</p>`
    : "";
  return table(
    ["case", "voxels that differ", "lowest Dice", "classes that differ: Dice, here and there", "where"],
    rows,
  ) + more;
}

/** In words: the box of the voxels, and the slice that has most of them. */
export function describePlace({ box: { low, high }, slice, inSlice }: Place): string {
  const range = [0, 1, 2].map((axis) => {
    const last = high[axis] - 1;
    return low[axis] === last ? String(last) : `${low[axis]}-${last}`;
  }).join(", ");
  return high[0] - low[0] === 1
    ? `at ${range} (z, y, x)`
    : `in ${range} (z, y, x), most in slice ${slice} (${count(inSlice)})`;
}

function failedHtml(failed: VerificationPage["failed"]): string {
  if (failed.length === 0) return "";
  const rows = failed.map(({ id, error }) => row([id, error.message]));
  return `<section class="card"><h2>Cases that could not be compared</h2>${table(["case", "why"], rows)}</section>\n`;
}

function pictureHtml(picture: VerificationPage["picture"]): string {
  if (picture === undefined) return "";
  return `<section class="card"><h2>The least alike</h2><figure><img alt="" src="${pngAddress(picture.png)}">
<figcaption>${escapeHtml(picture.caption)}</figcaption></figure></section>\n`;
}

function table(head: readonly string[], rows: readonly string[]): string {
  return `<table><tr>${head.map((name) => `<th>${escapeHtml(name)}</th>`).join("")}</tr>${rows.join("")}</table>`;
}

function row(cells: readonly string[]): string {
  return `<tr>${cells.map((cell) => `<td>${escapeHtml(cell)}</td>`).join("")}</tr>`;
}

function nameOf(key: string, names: ReadonlyMap<string, string>): string {
  const name = names.get(key);
  return name === undefined ? key : `${key} ${name}`;
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** Never "1.0000" for what is less. */
function dice(value: number): string {
  if (Number.isNaN(value)) return "none";
  return value < 1 && value >= 0.99995 ? "0.9999..." : value.toFixed(4);
}

function ml(value: number): string {
  return value === 0 ? "0" : value < 0.01 ? value.toPrecision(1) : value.toFixed(2);
}

const STYLE = `
.state.passed { background: #2f9e5b; } .state.failed { background: #c23b3b; }
td { vertical-align: top; } td + td { overflow-wrap: anywhere; } .card p { margin: 0; } .card ul { margin: 6px 0 0; }
@media print {
  :root { background: #fff; font-size: 11px; } body { padding: 0; } .tiles { display: flex; } .tiles div { flex: 1; }
  .card, .tiles div { box-shadow: none; border: 1px solid #d9dde7; break-inside: avoid; } .card img { max-width: 14cm; }
}
`;
