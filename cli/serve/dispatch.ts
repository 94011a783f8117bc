/** From a request to its route's answer, with a line for the log and a count for each. */
import { accessCheck, type AccessRules } from "./access.ts";
import { ClientGone, type HttpHandler, type HttpRequest, type HttpResponse, problemResponse } from "./http_server.ts";
import { HttpProblem } from "./problem.ts";
import { PAGE_ROUTES } from "./page_routes.ts";
import { type Route, ROUTES, type Service } from "./routes.ts";

/** A request that was answered. */
export interface Answered {
  readonly method: string;
  /** The route's, "/jobs/{id}": what a client has sent may be a name. "other" where there is no such route. */
  readonly route: string;
  /** As it was sent. */
  readonly path: string;
  readonly job?: string;
  readonly status: number;
  /** Until the answer began. */
  readonly seconds: number;
  /** Why it was refused. */
  readonly problem?: string;
}

const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

interface Found {
  readonly route: Route;
  readonly id: string;
}

/** @param onAnswered Called once for each request */
export function dispatcher(
  service: Service,
  rules: AccessRules,
  onAnswered: (answered: Answered) => void,
): HttpHandler {
  const check = accessCheck(rules);
  return async (request) => {
    const begun = performance.now();
    const candidates = findRoutes(request.path);
    const found = candidates.find(({ route }) => route.method === request.method);
    const tell = (status: number, problem?: string) =>
      onAnswered({
        method: METHODS.has(request.method) ? request.method : "other",
        route: candidates[0]?.route.path ?? "other",
        path: request.path,
        ...(found && found.id !== "" && { job: found.id }),
        status,
        seconds: (performance.now() - begun) / 1000,
        ...(problem !== undefined && { problem }),
      });
    try {
      check(request, found?.route.open === true);
      const response = await answer(request, candidates, found, service);
      tell(response.status);
      return response;
    } catch (error) {
      if (!(error instanceof HttpProblem)) {
        tell(error instanceof ClientGone ? 499 : 500);
        throw error;
      }
      tell(error.status, error.message);
      return problemResponse(error);
    }
  };
}

async function answer(
  request: HttpRequest,
  candidates: readonly Found[],
  found: Found | undefined,
  service: Service,
): Promise<HttpResponse> {
  if (found) return await found.route.answer({ request, id: found.id, service });
  if (candidates.length === 0) throw new HttpProblem(404, "there is no such path; /docs says what there is");
  const methods = candidates.map(({ route }) => route.method).join(", ");
  throw new HttpProblem(405, `it may be asked with ${methods}`, { allow: methods });
}

const ALL_ROUTES: readonly Route[] = [...ROUTES, ...PAGE_ROUTES];

/** The routes of a path, whatever their method. An id is one component, as it is: none has a sign that would be escaped. */
function findRoutes(path: string): readonly Found[] {
  const parts = path.split("/");
  return ALL_ROUTES.flatMap((route) => {
    const pattern = route.path.split("/");
    if (pattern.length !== parts.length) return [];
    const at = pattern.indexOf("{id}");
    const fits = pattern.every((part, i) => i === at ? parts[i] !== "" : part === parts[i]);
    return fits ? [{ route, id: at < 0 ? "" : parts[at] }] : [];
  });
}
