/** The description of the service as a page, made of the same document as /openapi.json. */
import { escapeHtml, htmlPage } from "../../core/base/html.ts";
import { openApiDocument } from "./openapi.ts";
import type { Route } from "./routes.ts";

export function docsPage(routes: readonly Route[]): string {
  const document = openApiDocument(routes);
  const paths = document.paths as Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  const cards = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => cardOf(method, path, operation))
  );
  const body = `<header><h1>nnunet</h1>
<p>Segments images with the nnU-Net models that are loaded. <a href="/openapi.json">OpenAPI 3.1</a></p></header>
<main>
${cards.join("\n")}
</main>
`;
  return htmlPage({ title: "nnunet: what the service answers", body, style: STYLE, dark: true });
}

interface Operation {
  readonly summary: string;
  readonly description?: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly description: string }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: unknown }>> };
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: object }>>;
}

function cardOf(method: string, path: string, operation: Operation): string {
  const { summary, description, parameters = [], requestBody, responses } = operation;
  const rows = Object.entries(responses).map(([status, { description, content = {} }]) =>
    `<tr><td>${status}</td><td>${escapeHtml(description)}</td><td>${
      escapeHtml(Object.keys(content).join(", "))
    }</td></tr>`
  );
  const named = parameters.map(({ name, in: place, description }) =>
    `<li><code>${escapeHtml(name)}</code> (${place}): ${escapeHtml(description)}</li>`
  );
  const bodies = Object.entries(requestBody?.content ?? {}).map(([type, { schema }]) =>
    `<details><summary>${escapeHtml(type)}</summary><pre>${escapeHtml(JSON.stringify(schema, null, 2))}</pre></details>`
  );
  return `<section class="card">
<h2><code>${method.toUpperCase()} ${escapeHtml(path)}</code></h2>
<p>${escapeHtml(summary)}.${description === undefined ? "" : ` ${escapeHtml(description)}`}</p>
${named.length > 0 ? `<ul>${named.join("")}</ul>` : ""}${bodies.join("\n")}
<table><thead><tr><th>Status</th><th>Meaning</th><th>Body</th></tr></thead><tbody>${rows.join("")}</tbody></table>
</section>`;
}

const STYLE = `
p { margin: 0 0 8px; } pre { overflow-x: auto; font-size: .8rem; } ul { margin: 0 0 8px; } details { margin: 0 0 8px; }
`;
