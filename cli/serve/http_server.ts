/**
 * HTTP/1.1 on a socket: requests in, responses out, and the limits that keep one client from stopping the others. node:http and not
 * Deno.serve, which waits without end for a client that has sent half of its headers, and knows no limit of connections.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import http from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { messageOf, UserError } from "../../core/base/errors.ts";
import { HttpProblem, problemJson } from "./problem.ts";

export interface HttpRequest {
  readonly method: string;
  /** As it was sent, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** In lower case. @returns undefined where it was not sent */
  header(name: string): string | undefined;
  /**
   * What the client sends, piece by piece, as it comes.
   * @throws HttpProblem 408 from a client that has stopped sending, or sends next to nothing; ClientGone if it has gone
   */
  readonly body: AsyncIterable<Uint8Array>;
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | AsyncIterable<Uint8Array>;
}

/** @returns The response; what it throws that is no HttpProblem is answered with 500 */
export type HttpHandler = (request: HttpRequest) => Promise<HttpResponse>;

export interface HttpOptions {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** PEM texts. */
  readonly tls?: Pem;
  readonly limits?: Partial<HttpLimits>;
  /** Is told of what the handler throws and should not. */
  readonly onDefect: (error: unknown) => void;
}

export interface HttpLimits {
  readonly connections: number;
  /** For a request's headers. */
  readonly headersMs: number;
  /** Without a byte in a body, or without one taken of a response. */
  readonly idleMs: number;
  /** Of a body, once it has been coming for as long as `idleMs`. */
  readonly bytesPerSecond: number;
}

const LIMITS: HttpLimits = { connections: 512, headersMs: 10_000, idleMs: 30_000, bytesPerSecond: 1024 };
const HEADER_BYTES = 16_384;
/** What a client may go on sending after its answer, so that it reads that instead of an error of its socket. */
const LINGER_MS = 500;
/** Sent with everything. */
const ALWAYS = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
};

export interface HttpServer {
  readonly host: string;
  readonly port: number;
  /** Takes no more connections, and waits for requests that are being answered, at most so long. */
  close(graceMs: number): Promise<void>;
}

/** Begins to listen. @throws UserError if the port is taken, may not be taken, or the certificate does not do */
export async function listen(handler: HttpHandler, options: HttpOptions): Promise<HttpServer> {
  const limits: HttpLimits = { ...LIMITS, ...options.limits };
  const settings = {
    maxHeaderSize: HEADER_BYTES,
    headersTimeout: limits.headersMs,
    // Of whole requests: bodies have limits of their own.
    requestTimeout: 0,
    keepAliveTimeout: 5000,
    connectionsCheckingInterval: Math.min(1000, limits.headersMs / 2),
  };
  const answer = (incoming: http.IncomingMessage, outgoing: http.ServerResponse) =>
    void answerOne(handler, incoming, outgoing, limits, options.onDefect);
  const server = options.tls
    ? createSecure({ ...settings, ...options.tls }, answer)
    : http.createServer(settings, answer);
  server.maxConnections = limits.connections;
  const { host, port } = options;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(listenError(error, host, port)));
    server.listen(port, host, () => resolve());
  });
  server.on("error", options.onDefect);
  return {
    host,
    port: (server.address() as AddressInfo).port,
    async close(graceMs) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<void>((resolve) => timer = setTimeout(resolve, graceMs));
      await Promise.race([closed, late]);
      clearTimeout(timer);
      server.closeAllConnections();
    },
  };
}

interface Pem {
  readonly cert: string;
  readonly key: string;
}

function createSecure(settings: https.ServerOptions & Pem, answer: http.RequestListener): https.Server {
  try {
    // The server itself would find out with its first client.
    const { cert, key } = settings;
    const certificate = new X509Certificate(cert);
    if (!certificate.checkPrivateKey(createPrivateKey(key))) throw new Error("the key is another certificate's");
    return https.createServer(settings, answer);
  } catch (error) {
    const problem = `certificate and key do not do (${messageOf(error)})`;
    const remedy = "give PEM files that belong together with --tls-cert and --tls-key";
    throw new UserError({ doing: "starting the service", problem, remedy }, { cause: error });
  }
}

function listenError(error: unknown, host: string, port: number): unknown {
  const doing = `listening on ${host}, port ${port}`;
  const code = (error as { code?: string } | null)?.code;
  if (code === "EADDRINUSE" || error instanceof Deno.errors.AddrInUse) {
    const remedy = "stop what listens there, or give another port (--port 0 takes any that is free)";
    return new UserError({ doing, problem: "the port is in use", remedy }, { cause: error });
  }
  if (code === "EACCES" || error instanceof Deno.errors.PermissionDenied) {
    const problem = "the system does not let this user listen there";
    return new UserError({ doing, problem, remedy: "give a port from 1024 on" }, { cause: error });
  }
  if (
    code === "EADDRNOTAVAIL" || code === "EINVAL" || code === "ENOTFOUND" ||
    error instanceof Deno.errors.AddrNotAvailable
  ) {
    const problem = "this machine does not have that address";
    const remedy = "give one that it has, or 0.0.0.0 for all of them";
    return new UserError({ doing, problem, remedy }, { cause: error });
  }
  return error;
}

async function answerOne(
  handler: HttpHandler,
  incoming: http.IncomingMessage,
  outgoing: http.ServerResponse,
  limits: HttpLimits,
  onDefect: (error: unknown) => void,
): Promise<void> {
  const gone = new AbortController();
  outgoing.on("close", () => gone.abort());
  // Their sockets' errors are those of clients that have gone.
  incoming.on("error", () => {});
  outgoing.on("error", () => {});
  let response: HttpResponse;
  try {
    response = await handler(requestOf(incoming, gone.signal, limits));
  } catch (error) {
    const isKnown = error instanceof HttpProblem;
    if (!isKnown && !(error instanceof ClientGone)) onDefect(error);
    const problem = isKnown ? error : new HttpProblem(500, "the service could not answer: a defect of it, not of you");
    response = problemResponse(problem);
  }
  const isRead = incoming.complete;
  const headers = { ...ALWAYS, ...response.headers, ...(isRead ? {} : { connection: "close" }) };
  try {
    outgoing.writeHead(response.status, headers);
    await writeBody(outgoing, response.body, gone.signal, limits.idleMs);
    outgoing.end();
  } catch (error) {
    // Half a response has to look like one.
    if (!gone.signal.aborted && !(error instanceof ClientTooSlow)) onDefect(error);
    incoming.destroy();
    outgoing.destroy();
    return;
  }
  if (isRead) return;
  incoming.resume();
  setTimeout(() => incoming.socket.destroy(), LINGER_MS);
}

/** A problem as it is sent. */
export function problemResponse(problem: HttpProblem): HttpResponse {
  return {
    status: problem.status,
    headers: { "content-type": "application/problem+json", ...problem.headers },
    body: problemJson(problem),
  };
}

function requestOf(incoming: http.IncomingMessage, signal: AbortSignal, limits: HttpLimits): HttpRequest {
  const [path, query = ""] = splitOnce(incoming.url ?? "/", "?");
  return {
    method: incoming.method ?? "GET",
    path,
    query: new URLSearchParams(query),
    header(name) {
      const value = incoming.headers[name];
      return Array.isArray(value) ? value.join(", ") : value;
    },
    body: bodyOf(incoming, limits),
    signal,
  };
}

function splitOnce(text: string, at: string): [string, string?] {
  const index = text.indexOf(at);
  return index < 0 ? [text] : [text.slice(0, index), text.slice(index + 1)];
}

/** The iterator of the stream itself would end the connection, and with it the answer, where it is left early. */
async function* bodyOf(
  incoming: http.IncomingMessage,
  { idleMs, bytesPerSecond }: HttpLimits,
): AsyncGenerator<Uint8Array> {
  const pieces = incoming[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  const begun = performance.now();
  let bytes = 0;
  for (;;) {
    const next = pieces.next().catch((error: unknown) => {
      throw new ClientGone("the client has gone", { cause: error });
    });
    const { done, value } = await within(next, idleMs, () => {
      next.catch(() => {});
      return new HttpProblem(408, `no byte of the body has come for ${idleMs / 1000} s`);
    });
    if (done) return;
    bytes += value.length;
    const ms = performance.now() - begun;
    if (ms > idleMs && bytes < (bytesPerSecond * ms) / 1000) {
      throw new HttpProblem(408, `the body comes slower than ${bytesPerSecond} bytes a second`);
    }
    yield value;
  }
}

/** A connection that has ended before its request did. */
export class ClientGone extends Error {
  override readonly name = "ClientGone";
}

class ClientTooSlow extends Error {}

async function writeBody(
  outgoing: http.ServerResponse,
  body: HttpResponse["body"],
  signal: AbortSignal,
  idleMs: number,
): Promise<void> {
  if (body === undefined) return;
  if (typeof body === "string") return void outgoing.write(body);
  outgoing.flushHeaders();
  for await (const piece of body) {
    if (signal.aborted) return;
    if (outgoing.write(piece)) continue;
    const drained = Promise.withResolvers<void>();
    const go = () => drained.resolve();
    outgoing.once("drain", go);
    signal.addEventListener("abort", go, { once: true });
    await within(drained.promise, idleMs, () => new ClientTooSlow());
    outgoing.off("drain", go);
    signal.removeEventListener("abort", go);
  }
}

async function within<T>(promise: Promise<T>, ms: number, late: () => Error): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => timer = setTimeout(() => reject(late()), ms));
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
