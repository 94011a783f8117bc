/** What a request is refused with: a status and a sentence, which go out as RFC 9457's problem+json. */
import { STATUS_CODES } from "node:http";

export class HttpProblem extends Error {
  override readonly name = "HttpProblem";

  /** @param detail What is wrong with the request, and what to do */
  constructor(
    readonly status: number,
    detail: string,
    readonly headers: Readonly<Record<string, string>> = {},
    options?: ErrorOptions,
  ) {
    super(detail, options);
  }
}

/** The body of a refusal. */
export function problemJson({ status, message }: Pick<HttpProblem, "status" | "message">): string {
  return JSON.stringify({ type: "about:blank", title: STATUS_CODES[status] ?? "Error", status, detail: message });
}
