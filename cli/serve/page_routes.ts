/** The page that people use, and what it loads. It loads nothing from elsewhere, which its content policy says to the browser too. */
import type { HttpResponse } from "./http_server.ts";
import { NIIVUE, type PageFile, pageFile } from "./page_files.ts";
import { HttpProblem } from "./problem.ts";
import type { Route } from "./routes.ts";
import { fileResponse } from "./send_file.ts";

/** NiiVue draws its letters from pictures that are in its script, and reads volumes that the page has fetched. */
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; " +
  "connect-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const MEDIA_TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
};

/** What needs no token, as it says nothing of images: the page asks for the token. */
export const PAGE_ROUTES: readonly Route[] = [
  pageRoute("/", "index.html"),
  ...(["page.css", "page.js", "viewer.css", "volumes.js", "viewer.js", NIIVUE] as const).map((name) =>
    pageRoute(`/page/${name}`, name)
  ),
  {
    method: "GET",
    path: "/page/phantom.nii.gz",
    summary: "Give the demo's phantom, a CT made of numbers",
    open: true,
    answers: [{ status: 200, description: "The image.", mediaType: "application/gzip" }],
    answer: ({ service: { phantom } }) => ({
      status: 200,
      headers: { "content-type": "application/gzip" },
      body: one(phantom()),
    }),
  },
];

function pageRoute(path: string, name: PageFile): Route {
  const mediaType = MEDIA_TYPES[name.slice(name.lastIndexOf(".") + 1)];
  return {
    method: "GET",
    path,
    summary: `Give ${name} of the page`,
    open: true,
    answers: [{ status: 200, description: "The file.", mediaType }],
    answer: () => sendPageFile(name, mediaType),
  };
}

async function sendPageFile(name: PageFile, mediaType: string): Promise<HttpResponse> {
  const headers = { "content-type": mediaType, "content-security-policy": POLICY };
  const response = await fileResponse(await pageFile(name), headers);
  if (!response) throw new HttpProblem(404, `${name} is not there`);
  return response;
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
