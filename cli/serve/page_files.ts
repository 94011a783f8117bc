/**
 * The page's files: texts in page/, beside the program's modules, and NiiVue (https://niivue.com), which draws images, as it comes in
 * its package. Nothing but the page asks for them.
 */
import { fromFileUrl, join } from "../../core/base/path.ts";
import { statOrNull } from "../../core/base/stat_or_null.ts";

/** The page's texts. */
export const PAGE_TEXTS = [
  "index.html",
  "page.css",
  "page.js",
  "viewer.css",
  "volumes.js",
  "viewer.js",
  "view.css",
  "view.js",
] as const;
/** NiiVue for a script tag: it is `niivue` there. */
export const NIIVUE = "niivue.js";

export type PageFile = (typeof PAGE_TEXTS)[number] | typeof NIIVUE;

/** The path of one of them: in the package where the program was not bundled. */
export async function pageFile(name: PageFile): Promise<string> {
  const file = join(fromFileUrl(new URL("./page", import.meta.url)), name);
  if (name !== NIIVUE || await statOrNull(file, "reading the page") !== null) return file;
  return fromFileUrl(niivueAddress());
}

/** Where NiiVue lies in its package, whose manifest gives a name to another build of it only. */
export function niivueAddress(): URL {
  return new URL("../dist/niivue.umd.js", import.meta.resolve("@niivue/niivue/min"));
}
