/**
 * Texts of DICOM objects in the character sets of PS3.3, C.12.1.1.2: one set, or several among which escape sequences switch
 * (ISO 2022).
 */

const ESCAPE = 0x1b;

/** What the web calls the sets that Specific Character Set (0008,0005) names; ISO 2022 ones have no escapes before their first use. */
const SETS: ReadonlyMap<string, string> = new Map([
  ["", "iso-8859-1"], // ASCII by the standard; what follows it no more is Latin in practice
  ["ISO_IR 6", "iso-8859-1"],
  ["ISO_IR 100", "iso-8859-1"],
  ["ISO_IR 101", "iso-8859-2"],
  ["ISO_IR 109", "iso-8859-3"],
  ["ISO_IR 110", "iso-8859-4"],
  ["ISO_IR 144", "iso-8859-5"],
  ["ISO_IR 127", "iso-8859-6"],
  ["ISO_IR 126", "iso-8859-7"],
  ["ISO_IR 138", "iso-8859-8"],
  ["ISO_IR 148", "iso-8859-9"],
  ["ISO_IR 203", "iso-8859-15"],
  ["ISO_IR 166", "windows-874"],
  ["ISO_IR 13", "shift_jis"],
  ["ISO_IR 149", "euc-kr"],
  ["ISO_IR 58", "gb18030"],
  ["ISO_IR 192", "utf-8"],
  ["GB18030", "gb18030"],
  ["GBK", "gbk"],
]);

/** What an escape sequence (without its first byte) switches to, by the set it names. */
const ESCAPES: readonly (readonly [sequence: string, set: string])[] = [
  ["-A", "iso-8859-1"],
  ["-B", "iso-8859-2"],
  ["-C", "iso-8859-3"],
  ["-D", "iso-8859-4"],
  ["-L", "iso-8859-5"],
  ["-G", "iso-8859-6"],
  ["-F", "iso-8859-7"],
  ["-H", "iso-8859-8"],
  ["-M", "iso-8859-9"],
  ["-b", "iso-8859-15"],
  ["-T", "windows-874"],
  [")I", "shift_jis"],
  ["(J", "shift_jis"],
  ["$)C", "euc-kr"],
  ["$)A", "gb18030"],
];

/** Decodes a value's bytes. @param names The values of Specific Character Set; none is ASCII */
export function decodeText(bytes: Uint8Array, names: readonly string[]): string {
  if (isPlain(bytes)) return String.fromCharCode(...bytes);
  const first = setNamed(names[0] ?? "");
  if (!bytes.includes(ESCAPE)) return decode(bytes, first);
  let text = "";
  let start = 0;
  while (start < bytes.length) {
    const next = bytes.indexOf(ESCAPE, start + 1);
    const end = next < 0 ? bytes.length : next;
    text += decodePiece(bytes.subarray(start, end), first);
    start = end;
  }
  return text;
}

/** Short and ASCII, as nearly all values are: the same in every set. */
function isPlain(bytes: Uint8Array): boolean {
  return bytes.length <= 1024 && bytes.every((byte) => byte < 128 && byte !== ESCAPE);
}

/** A run of bytes that begins with an escape sequence, or has none. */
function decodePiece(piece: Uint8Array, first: string): string {
  if (piece[0] !== ESCAPE) return decode(piece, first);
  const start = String.fromCharCode(...piece.subarray(1, 4));
  for (const [sequence, set] of ESCAPES) {
    if (start.startsWith(sequence)) return decode(piece.subarray(1 + sequence.length), set);
  }
  if (start.startsWith("(B")) return decode(piece.subarray(3), first);
  return decode(piece, "iso-2022-jp"); // which knows its own escapes: JIS X 0208 and, in part, 0212
}

function setNamed(name: string): string {
  return SETS.get(name.trim().replace(/^ISO 2022 IR /, "ISO_IR ")) ?? "utf-8";
}

function decode(bytes: Uint8Array, set: string): string {
  // A copy, as the decoder takes no shared memory and a view of a few bytes is cheap to copy.
  return new TextDecoder(set).decode(bytes.slice());
}
