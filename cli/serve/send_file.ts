/** Files as answers, piece by piece. */
import type { HttpResponse } from "./http_server.ts";

const PIECE_BYTES = 1 << 18;

/** Undefined if the file is not there. */
export async function fileResponse(
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<HttpResponse | undefined> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const { size } = await file.stat();
  return { status: 200, headers: { ...headers, "content-length": String(size) }, body: piecesOf(file) };
}

/** Closes the file when it is read, or its reader has enough. */
async function* piecesOf(file: Deno.FsFile): AsyncGenerator<Uint8Array> {
  using open = file;
  for (;;) {
    const piece = new Uint8Array(PIECE_BYTES);
    const count = await open.read(piece);
    if (count === null) return;
    yield piece.subarray(0, count);
  }
}

export function mediaTypeOf(name: string): string {
  if (name.endsWith(".gz")) return "application/gzip";
  if (name.endsWith(".json")) return "application/json";
  if (name.endsWith(".dcm")) return "application/dicom";
  return name.endsWith(".png") ? "image/png" : "application/octet-stream";
}
