/**
 * Reports as one HTML file that needs nothing else: styles and pictures are in it, and its content policy forbids that anything is
 * loaded from anywhere.
 */

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text as it may stand between tags and in quoted attributes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => ESCAPES[letter]);
}

/** A PNG as the address of an image. */
export function pngAddress(png: Uint8Array): string {
  let text = "";
  for (let at = 0; at < png.length; at += 0x8000) text += String.fromCharCode(...png.subarray(at, at + 0x8000));
  return `data:image/png;base64,${btoa(text)}`;
}

/** A number with what it counts, in large letters: `<div><b>12</b><span>cases</span></div>` in a section of the class "tiles". */
export function htmlTile(name: string, value: string): string {
  return `<div><b>${escapeHtml(value)}</b><span>${escapeHtml(name)}</span></div>`;
}

/** A row of a table of facts. */
export function htmlFact(name: string, value: string): string {
  return `<tr><td>${escapeHtml(name)}</td><td>${escapeHtml(value)}</td></tr>`;
}

export interface HtmlPage {
  readonly title: string;
  /** Tags of the head, besides title, style and policy. */
  readonly head?: string;
  readonly body: string;
  /** Rules besides those that all reports have. */
  readonly style?: string;
  /** True: scripts that stand in the page may run. */
  readonly scripts?: boolean;
  /** True: dark where the reader's system is; what the body draws has to show on both. */
  readonly dark?: boolean;
}

/** The text of a page; `head`, `body` and `style` are taken as they are. */
export function htmlPage({ title, head = "", body, style = "", scripts = false, dark = false }: HtmlPage): string {
  const script = scripts ? "; script-src 'unsafe-inline'" : "";
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'${script}">
${head}<title>${escapeHtml(title)}</title>
<style>${STYLE}${dark ? DARK_STYLE : ""}${style}</style>
</head>
<body>
${body}</body>
</html>
`;
}

const STYLE = `
:root { font: 16px/1.45 system-ui, sans-serif; color: #222836; background: #eef0f5; }
body { max-width: 1080px; margin: 0 auto; padding: 20px 16px 40px; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1rem; margin: 0 0 10px; } header p { margin: 2px 0 12px; color: #5a6376; }
.state { font-size: .8rem; font-weight: 600; padding: 2px 10px; border-radius: 99px; vertical-align: middle; color: #fff; background: #3867c8; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(122px, 1fr)); gap: 10px; margin: 16px 0; }
.tiles div, .card { background: #fff; border-radius: 10px; box-shadow: 0 1px 3px #1c274022; }
.tiles div { padding: 10px 12px; } .tiles b { display: block; font-size: 1.15rem; } .tiles span { font-size: .8rem; color: #5a6376; }
.card { padding: 14px 16px; margin: 0 0 16px; } .card svg, .card img { display: block; width: 100%; height: auto; }
table { border-collapse: collapse; font-size: .9rem; } td, th { padding: 3px 20px 3px 0; text-align: left; font-weight: normal; }
th { color: #5a6376; } td + td { font-variant-numeric: tabular-nums; }
i { display: inline-block; width: .75em; height: .75em; border-radius: 3px; margin-right: 7px; }
.legend { margin: 0 0 10px; font-size: .9rem; } .legend span { margin-right: 16px; white-space: nowrap; }
figure { margin: 0; } img { image-rendering: pixelated; border-radius: 4px; } figcaption { font-size: .85rem; color: #5a6376; }
footer { font-size: .85rem; color: #5a6376; } .empty { color: #5a6376; }
`;

const DARK_STYLE = `
@media (prefers-color-scheme: dark) {
:root { color-scheme: dark; color: #e3e7f0; background: #14171f; }
.tiles div, .card { background: #1e2330; box-shadow: none; }
header p, .tiles span, th, figcaption, footer, .empty { color: #9aa4b8; }
}
`;
