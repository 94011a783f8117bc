/** Elements, attributes and text of an XML document, as far as OME-XML needs it: no document types and no entities of its own. */

export interface XmlElement {
  /** With its prefix. */
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly XmlElement[];
  /** What stands before its first child. */
  readonly text: string;
}

interface OpenElement extends XmlElement {
  readonly children: XmlElement[];
  text: string;
}

/** Elements in each other; more are none of OME's. */
const MOST_DEPTH = 64;
const MARKUP =
  /<!--[\s\S]*?-->|<!\[CDATA\[([\s\S]*?)\]\]>|<\?[\s\S]*?\?>|<\/\s*([^\s<>/]+)\s*>|<([^\s<>/!?]+)((?:\s+[^\s<>=/]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>/y;
const ATTRIBUTE = /([^\s<>=/]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g;

/** The root element, or null where the text is not well formed. */
export function parseXml(text: string): XmlElement | null {
  const open: OpenElement[] = [];
  let root: XmlElement | null = null;
  for (let at = text.startsWith("\ufeff") ? 1 : 0; at < text.length;) {
    const next = text.indexOf("<", at);
    const between = text.slice(at, next < 0 ? text.length : next);
    if (!addText(open.at(-1), unescaped(between))) return null;
    if (next < 0) break;
    MARKUP.lastIndex = next;
    const match = MARKUP.exec(text);
    if (!match) return null;
    at = MARKUP.lastIndex;
    const [, data, closed, name, attributes, empty] = match;
    if (data !== undefined && !addText(open.at(-1), data)) return null;
    if (closed !== undefined && open.pop()?.name !== closed) return null;
    if (name === undefined) continue;
    const element: OpenElement = { name, attributes: attributesOf(attributes), children: [], text: "" };
    const parent = open.at(-1);
    if (parent) parent.children.push(element);
    else if (root) return null;
    else root = element;
    if (!empty) open.push(element);
    if (open.length > MOST_DEPTH) return null;
  }
  return open.length === 0 ? root : null;
}

/** False where text stands outside of the root. */
function addText(element: OpenElement | undefined, text: string): boolean {
  if (!element) return text.trim() === "";
  if (element.children.length === 0) element.text += text;
  return true;
}

function attributesOf(text: string): ReadonlyMap<string, string> {
  return new Map(
    Array.from(text.matchAll(ATTRIBUTE), ([, name, double, single]) => [name, unescaped(double ?? single)]),
  );
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function unescaped(text: string): string {
  return text.replace(/&(#x?[0-9a-fA-F]+|\w+);/g, (whole, name: string) => {
    if (!name.startsWith("#")) return ENTITIES[name] ?? whole;
    const code = name[1] === "x" ? parseInt(name.slice(2), 16) : Number(name.slice(1));
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}
