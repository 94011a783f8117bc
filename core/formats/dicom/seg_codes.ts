/** From the name of a class to coded terms, by which other programs know what a segment is. The terms: seg_code_table.ts. */
import {
  ABNORMAL,
  ANATOMY,
  type CodeRow,
  LESIONS_NCIT,
  PARTS,
  SUBSTANCES,
  TISSUES,
  UNKNOWN,
} from "./seg_code_table.ts";

/** A coded term: coding scheme ("SCT" is SNOMED CT), code, and what it means in words. */
export interface Code {
  readonly scheme: string;
  readonly code: string;
  readonly meaning: string;
}

/** What a segment is. */
export interface SegmentCodes {
  readonly category: Code;
  readonly type: Code;
  /** Of the type: a side. */
  readonly modifier?: Code;
  /** Where something abnormal is, and on which side. */
  readonly region?: Code;
  readonly regionModifier?: Code;
}

const sct = (code: string, meaning: string): Code => ({ scheme: "SCT", code, meaning });

const CATEGORIES = {
  anatomy: sct("91723000", "Anatomical Structure"),
  tissue: sct("85756007", "Tissue"),
  substance: sct("91720002", "Body Substance"),
  abnormal: sct("49755003", "Morphologically Abnormal Structure"),
} as const;

/** Words that tell one of several structures of a kind. */
const MODIFIERS: ReadonlyMap<string, Code> = new Map([
  ["left", sct("7771000", "Left")],
  ["right", sct("24028007", "Right")],
  ["anterior", sct("255549009", "Anterior")],
  ["posterior", sct("255551008", "Posterior")],
]);

/** Spellings that mean the same word; an empty one says nothing. */
const SAME_WORDS: ReadonlyMap<string, string> = new Map([
  ...["the", "of", "gland", "structure", "organ", "area", "label"].map((word) => [word, ""] as const),
  ...([["l", "left"], ["lt", "left"], ["r", "right"], ["rt", "right"], ["ant", "anterior"], [
    "post",
    "posterior",
  ]] as const),
  ...([["hepatic", "liver"], ["renal", "kidney"], ["pancreatic", "pancreas"], ["pulmonary", "lung"]] as const),
  ...([["splenic", "spleen"], ["prostatic", "prostate"], ["cardiac", "heart"], ["vertebral", "vertebra"]] as const),
  ...([["tumour", "tumor"], ["vertebrae", "vertebra"], ["metastases", "metastasis"], ["bronchi", "bronchus"]] as const),
]);

/** The words of a name that matter, in lower case, in the singular and in no order. */
function wordsOf(name: string): ReadonlySet<string> {
  const parts = name.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase().split(/[^\p{L}\p{N}]+/u);
  const words = parts.map((part) => {
    const same = SAME_WORDS.get(part) ?? part;
    // Cut from names and table alike, so that it does no harm where the word has its s in the singular.
    const singular = same.length > 3 ? same.replace(/ies$/, "y").replace(/s$/, "") : same;
    return SAME_WORDS.get(singular) ?? singular;
  });
  return new Set(words.filter((word) => word !== ""));
}

interface Term {
  readonly words: ReadonlySet<string>;
  readonly category: Code;
  readonly type: Code;
}

function termsOf(rows: readonly CodeRow[], category: Code, scheme = "SCT"): Term[] {
  return rows.flatMap(([code, meaning, names]) =>
    names.split(",").map((name) => ({ words: wordsOf(name), category, type: { scheme, code, meaning } }))
  );
}

const PLACES = termsOf(ANATOMY, CATEGORIES.anatomy);
const ABNORMALITIES = [
  ...termsOf(ABNORMAL, CATEGORIES.abnormal),
  ...termsOf(LESIONS_NCIT, CATEGORIES.abnormal, "NCIt"),
];
/** What is somewhere. */
const LOCATED = [...termsOf(PARTS, CATEGORIES.anatomy), ...ABNORMALITIES];
const TERMS = [
  ...PLACES,
  ...termsOf(SUBSTANCES, CATEGORIES.substance),
  ...termsOf(TISSUES, CATEGORIES.tissue),
  ...LOCATED,
];

/**
 * The codes of a class.
 * @param name As dataset.json has it: "kidney_left", "liver tumour", "RV"
 * @param dataset The dataset's name, which may say the organ: "Dataset004_Hippocampus"
 * @returns Undefined where the name says nothing that is known
 */
export function codesOf(name: string, dataset = ""): SegmentCodes | undefined {
  const words = wordsOf(name);
  const [plain, modifier] = withoutModifier(words);
  const term = find(TERMS, words) ?? find(TERMS, plain);
  if (term && term.category !== CATEGORIES.abnormal) {
    const said = find(TERMS, words) === undefined ? modifier : undefined;
    return { category: term.category, type: term.type, ...(said && { modifier: said }) };
  }
  const context = wordsOf(dataset.replace(/^Dataset\d+_/, ""));
  return located(plain, modifier, context) ?? inContext(plain, modifier, context);
}

/** What is written for a class whose name says nothing. */
export const UNKNOWN_CODES: SegmentCodes = { category: CATEGORIES.tissue, type: sct(...UNKNOWN) };

function withoutModifier(words: ReadonlySet<string>): [ReadonlySet<string>, Code | undefined] {
  const said = [...words].filter((word) => MODIFIERS.has(word));
  if (said.length !== 1) return [words, undefined];
  return [new Set([...words].filter((word) => word !== said[0])), MODIFIERS.get(said[0])];
}

function find(terms: readonly Term[], words: ReadonlySet<string>): Term | undefined {
  return terms.find((term) => term.words.size === words.size && isWithin(term.words, words));
}

function isWithin(part: ReadonlySet<string>, whole: ReadonlySet<string>): boolean {
  return [...part].every((word) => whole.has(word));
}

/** Something in the organ that the name or else the dataset says: the most telling term whose words are all there. */
function located(
  words: ReadonlySet<string>,
  modifier: Code | undefined,
  context: ReadonlySet<string>,
): SegmentCodes | undefined {
  const candidates = LOCATED.filter((term) => isWithin(term.words, words))
    .toSorted((a, b) => b.words.size - a.words.size);
  for (const { words: told, category, type } of candidates) {
    const rest = new Set([...words].filter((word) => !told.has(word)));
    const named = find(PLACES, rest);
    if (rest.size > 0 && !named) continue;
    const region = named ?? PLACES.find((place) => isWithin(place.words, context));
    if (!region) return { category, type, ...(modifier && { modifier }) };
    return { category, type, region: region.type, ...(modifier && { regionModifier: modifier }) };
  }
  return undefined;
}

/** A part whose organ only the dataset says: "PZ" of a prostate, "Anterior" of a hippocampus. */
function inContext(
  words: ReadonlySet<string>,
  modifier: Code | undefined,
  context: ReadonlySet<string>,
): SegmentCodes | undefined {
  if (words.size === 0 && !modifier) return undefined;
  const all = new Set([...words, ...context]);
  const term = PLACES.find((place) => isWithin(words, place.words) && isWithin(place.words, all));
  return term && { category: term.category, type: term.type, ...(modifier && { modifier }) };
}
