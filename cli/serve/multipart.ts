/**
 * multipart/form-data (RFC 7578) as it comes: a part's bytes are handed on piece by piece, and no more than a piece and a delimiter's
 * length is held.
 */
import { Buffer } from "node:buffer";
import { HttpProblem } from "./problem.ts";

/** One part. Its body is read whole before the next part is asked for, or not at all: then it is passed over. */
export interface Part {
  readonly name: string;
  /** Of a file, as the client gives it: not checked. */
  readonly fileName?: string;
  readonly body: AsyncIterable<Uint8Array>;
}

const HEADER_BYTES = 8192;
const HEADERS_END = Buffer.from("\r\n\r\n");

/** The boundary of a content type. @throws HttpProblem 400 if it has none */
export function boundaryOf(contentType: string): string {
  const [, quoted, plain] = /;\s*boundary=(?:"([^"]*)"|([^\s;"]+))/i.exec(contentType) ?? [];
  const boundary = quoted ?? plain ?? "";
  if (/^[\x20-\x7e]{1,70}$/.test(boundary) && !boundary.endsWith(" ")) return boundary;
  throw new HttpProblem(400, "the content type multipart/form-data has no boundary of 1 to 70 characters");
}

/** @throws HttpProblem 400 if it is not well formed, or ends before its last boundary; and what `body` throws */
export async function* readMultipart(body: AsyncIterable<Uint8Array>, boundary: string): AsyncGenerator<Part> {
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  const input = createInput(body);
  // The first delimiter may stand at the very beginning, without a line end before it.
  input.unread(Buffer.from("\r\n"));
  for await (const _ of input.until(delimiter)) { /* What stands before the first part means nothing. */ }
  for (;;) {
    if (await isLast(input)) return;
    const { name, fileName } = dispositionOf(await input.take(HEADERS_END, HEADER_BYTES));
    let isRead = false;
    const rest = input.until(delimiter);
    const content = (async function* () {
      yield* rest;
      isRead = true;
    })();
    yield { name, ...(fileName !== undefined && { fileName }), body: content };
    if (!isRead) { for await (const _ of content) { /* Passed over. */ } }
  }
}

/** Reads what stands behind a delimiter. The line end before a part's headers stays: a part may have none. */
async function isLast(input: Input): Promise<boolean> {
  const two = await input.exactly(2);
  if (two.equals(Buffer.from("--"))) return true;
  if (!two.equals(Buffer.from("\r\n"))) throw malformed("no line ends behind a boundary");
  input.unread(two);
  return false;
}

interface Input {
  /** Puts bytes before those that come. */
  unread(bytes: Buffer): void;
  exactly(count: number): Promise<Buffer>;
  /** All bytes before `mark`, which is passed over too. */
  take(mark: Buffer, most: number): Promise<Buffer>;
  /** The same, piece by piece. It must be read to its end. */
  until(mark: Buffer): AsyncGenerator<Uint8Array>;
}

function createInput(body: AsyncIterable<Uint8Array>): Input {
  const pieces = body[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);

  async function more(): Promise<void> {
    const { done, value } = await pieces.next();
    if (done) throw malformed("it ends before its last boundary");
    const piece = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    held = held.length === 0 ? piece : Buffer.concat([held, piece]);
  }

  return {
    unread(bytes) {
      held = Buffer.concat([bytes, held]);
    },
    async exactly(count) {
      while (held.length < count) await more();
      const taken = held.subarray(0, count);
      held = held.subarray(count);
      return taken;
    },
    async take(mark, most) {
      for (;;) {
        const at = held.indexOf(mark);
        if (at > most || (at < 0 && held.length > most)) throw malformed(`a part's headers have over ${most} bytes`);
        if (at < 0) {
          await more();
          continue;
        }
        const taken = held.subarray(0, at);
        held = held.subarray(at + mark.length);
        return taken;
      }
    },
    async *until(mark) {
      for (;;) {
        const at = held.indexOf(mark);
        // The end of what is there may be the beginning of the mark.
        const sure = at < 0 ? held.length - mark.length + 1 : at;
        if (sure > 0) {
          const piece = held.subarray(0, sure);
          held = held.subarray(sure);
          yield piece;
        }
        if (at < 0) {
          await more();
          continue;
        }
        held = held.subarray(mark.length);
        return;
      }
    },
  };
}

/** @param bytes The headers, with the line end before them */
function dispositionOf(bytes: Uint8Array): { readonly name: string; readonly fileName?: string } {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw malformed("a part's headers are not UTF-8");
  }
  const line = text.split("\r\n").find((one) => /^content-disposition:/i.test(one));
  if (line === undefined || !/^content-disposition:\s*form-data\s*;/i.test(line)) {
    throw malformed("a part has no Content-Disposition: form-data");
  }
  const name = parameterOf(line, "name");
  const fileName = parameterOf(line, "filename");
  if (name === undefined) throw malformed("a part has no name");
  return { name, ...(fileName !== undefined && { fileName }) };
}

/** Browsers escape quotes as %22, others by a backslash. */
function parameterOf(line: string, name: string): string | undefined {
  const [, quoted, plain] = new RegExp(`;\\s*${name}=(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s;"]+))`, "i").exec(line) ?? [];
  return quoted === undefined ? plain : quoted.replaceAll(/\\(["\\])/g, "$1");
}

function malformed(problem: string): HttpProblem {
  return new HttpProblem(400, `the multipart body is not well formed: ${problem}`);
}
