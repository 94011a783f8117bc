/**
 * Who may ask: a request that names this service as its host, is no other site's, and has the token where there is one. Browsers send
 * requests to loopback addresses for any page they show; what such a page may not do is decided here.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { HttpRequest } from "./http_server.ts";
import { HttpProblem } from "./problem.ts";

export interface AccessRules {
  /** The address that is listened on. */
  readonly host: string;
  readonly port: number;
  readonly token?: string;
  /** Further names that requests may have as their host. */
  readonly names: readonly string[];
}

/** Names that a page may be shown under whose name has been made to lead here (DNS rebinding) are not among these. */
function hostsOf({ host, port, names }: AccessRules): ReadonlySet<string> {
  const own = ["127.0.0.1", "localhost", "[::1]", host.includes(":") ? `[${host}]` : host];
  const hosts = own.flatMap((name) => port === 80 || port === 443 ? [name, `${name}:${port}`] : [`${name}:${port}`]);
  return new Set([...hosts, ...names.flatMap((name) => [name, `${name}:${port}`])].map((name) => name.toLowerCase()));
}

/**
 * Gives the check of a request's headers.
 * @param isOpen True for what needs no token
 */
export function accessCheck(rules: AccessRules): (request: HttpRequest, isOpen: boolean) => void {
  const hosts = hostsOf(rules);
  const digest = rules.token === undefined ? undefined : sha256(rules.token);
  return (request, isOpen) => {
    const host = request.header("host")?.toLowerCase() ?? "";
    // Without a token the name alone tells; a page has no token, whatever name it uses.
    if (digest === undefined && !hosts.has(host)) {
      throw new HttpProblem(421, `this service is not called ${quoted(host)} (--host_name gives it further names)`);
    }
    refuseOtherSites(request, host);
    if (digest === undefined || isOpen) return;
    const given = /^Bearer +(\S+) *$/i.exec(request.header("authorization") ?? "")?.[1];
    if (given !== undefined && timingSafeEqual(sha256(given), digest)) return;
    const problem = given === undefined ? "a token is needed: Authorization: Bearer TOKEN" : "the token is wrong";
    throw new HttpProblem(401, problem, { "www-authenticate": 'Bearer realm="nnunet"' });
  };
}

function refuseOtherSites(request: HttpRequest, host: string): void {
  const origin = request.header("origin");
  if (origin !== undefined && originHost(origin) !== host) {
    throw new HttpProblem(403, `a page of another site (${quoted(origin)}) may not use this service`);
  }
  const site = request.header("sec-fetch-site");
  const isLink = request.method === "GET" && request.header("sec-fetch-mode") === "navigate";
  if (site === undefined || site === "same-origin" || site === "none" || isLink) return;
  throw new HttpProblem(403, "a page of another site may not use this service");
}

function originHost(origin: string): string | undefined {
  try {
    return new URL(origin).host.toLowerCase();
  } catch {
    return undefined; // "null": a page of no site.
  }
}

function sha256(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}

/** What a client has sent, as it may be shown. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}...` : text);
}
