/**
 * An image with segmentations as a page in one HTML file: the viewer's texts, NiiVue and the volumes are in it, and its content policy
 * forbids that anything is loaded from anywhere. So it needs no service and no permission for a network, and may be copied.
 */
import { UserError } from "../../core/base/errors.ts";
import { writeAll, writeAtomically } from "../../core/base/files.ts";
import { escapeHtml } from "../../core/base/html.ts";
import { refuseSpecialFile } from "../../core/base/odd_file.ts";
import { readError } from "../../core/base/read_error.ts";
import { statOrNull } from "../../core/base/stat_or_null.ts";
import { describeBytes } from "../../core/base/describe_bytes.ts";
import { NIIVUE, pageFile } from "../serve/page_files.ts";
import type { Sink } from "./view_volumes.ts";

const DOING = "writing the page";
/** In the beginning of every such page, by which it is known as one. */
const MARK = '<meta name="generator" content="nnunet view">';
/** Of packed volumes: browsers take no longer text than 512 MB, and base64 makes four bytes of three. */
export const MOST_PACKED_BYTES = 384 * 2 ** 20;
/** A multiple of three, so that pieces of base64 join. */
const PIECE_BYTES = 3 << 18;
const POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; " +
  "connect-src data: blob:; base-uri 'none'; form-action 'none'";

/** What the page says of its volumes. */
export interface About {
  /** The names of the segmentations. */
  readonly segmentations: readonly string[];
  /** Of classes, by label. */
  readonly names: Readonly<Record<string, string>>;
  /** False: voxels are counted, for they have no size. */
  readonly hasVolume: boolean;
}

/** Adds a volume to the page by giving its bytes to the sink. */
export type AddVolume = (id: "image" | `labels-${number}`, fill: (sink: Sink) => Promise<void>) => Promise<void>;

/** @throws UserError if there is something else than such a page under this name */
export async function requirePagePlace(output: string): Promise<void> {
  const stat = await statOrNull(output, DOING);
  if (stat === null || stat.isDirectory) return; // a folder is refused when the file is to get its name
  refuseSpecialFile(output, DOING, "give -o another name");
  const start = new Uint8Array(1024);
  try {
    using file = await Deno.open(output);
    await file.read(start);
  } catch (error) {
    throw readError(error, output, DOING);
  }
  if (new TextDecoder().decode(start).includes(MARK)) return;
  throw new UserError({
    doing: DOING,
    file: output,
    problem: "there is a file of this name, which is no page of this command",
    remedy: "give -o another name, or remove it",
  });
}

/**
 * Writes the page whole, or not at all.
 * @param title The image's name
 * @param fill Adds the volumes, and then tells about them
 * @throws UserError if it cannot be written, or its volumes are too large for one file; what `fill` throws
 */
export async function writeViewPage(
  output: string,
  title: string,
  fill: (add: AddVolume) => Promise<About>,
  signal: AbortSignal,
): Promise<void> {
  const read = async (name: Parameters<typeof pageFile>[0]) => await Deno.readTextFile(await pageFile(name));
  const style = [await read("viewer.css"), await read("view.css")].join("\n");
  const scripts = [await read(NIIVUE), await read("volumes.js"), await read("viewer.js"), await read("view.js")];
  const encoder = new TextEncoder();
  await writeAtomically(output, async (file) => {
    const write = async (text: string) => await writeAll(file, encoder.encode(text));
    await write(headOf(title, style));
    let packed = 0;
    const about = await fill(async (id, fillVolume) => {
      await write(`<script type="application/octet-stream" id="${id}">`);
      const base64 = base64Writer(write);
      await fillVolume(async (bytes) => {
        packed += bytes.length;
        requireOneFile(packed, output);
        await base64.add(bytes);
      });
      await base64.end();
      await write("</script>\n");
    });
    const json = JSON.stringify({ title, ...about }).replaceAll("<", "\\u003c");
    await write(`<script type="application/json" id="about">${json}</script>\n`);
    // What a script ends with in HTML may stand in a text of it.
    for (const script of scripts) await write(`<script>${script.replaceAll(/<\/(script)/gi, "<\\/$1")}</script>\n`);
    await write("</body>\n</html>\n");
  }, { doing: DOING, removesLeftovers: true, signal });
}

function headOf(title: string, style: string): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
${MARK}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<header><h1>${escapeHtml(title)}</h1><p>For research; not a medical device.</p></header>
<main id="viewer"><p class="hint" role="status">Loading...</p></main>
`;
}

function requireOneFile(packed: number, file: string): void {
  if (packed <= MOST_PACKED_BYTES) return;
  throw new UserError({
    doing: DOING,
    file,
    problem: `image and segmentations are more than ${
      describeBytes(MOST_PACKED_BYTES)
    } when they are packed, and browsers open no larger file`,
    remedy: "cut them to the part that matters, or look at fewer segmentations at once",
  });
}

/** Bytes as base64, whatever pieces they come in. */
function base64Writer(write: (text: string) => Promise<void>) {
  const piece = new Uint8Array(PIECE_BYTES);
  let filled = 0;
  const flush = async () => {
    await write(piece.subarray(0, filled).toBase64());
    filled = 0;
  };
  return {
    async add(bytes: Uint8Array): Promise<void> {
      for (let at = 0; at < bytes.length;) {
        const count = Math.min(bytes.length - at, PIECE_BYTES - filled);
        piece.set(bytes.subarray(at, at + count), filled);
        filled += count;
        at += count;
        if (filled === PIECE_BYTES) await flush();
      }
    },
    end: flush,
  };
}
