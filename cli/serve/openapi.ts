/** The service described as OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1), made of the table of routes. */
import { z } from "zod";
import { VERSION } from "../version.ts";
import type { Answer, Route } from "./routes.ts";

type Json = Readonly<Record<string, unknown>>;

const PROBLEM: Json = {
  type: "object",
  description: "What is wrong, by RFC 9457.",
  required: ["type", "title", "status", "detail"],
  properties: {
    type: { type: "string" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string" },
  },
};

/** What every route may answer. */
const COMMON: readonly Answer[] = [
  { status: 401, description: "The token is missing or wrong.", mediaType: "application/problem+json" },
  { status: 403, description: "A page of another site asks.", mediaType: "application/problem+json" },
  { status: 421, description: "The service is not called that.", mediaType: "application/problem+json" },
];

export function openApiDocument(routes: readonly Route[]): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) (paths[route.path] ??= {})[route.method.toLowerCase()] = operationOf(route);
  return {
    openapi: "3.1.1",
    info: {
      title: "nnunet",
      version: VERSION,
      description: "Segments images with the nnU-Net models that are loaded. For research; not a medical device.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    security: [{}, { token: [] }],
    paths,
    components: {
      schemas: { Problem: PROBLEM },
      securitySchemes: { token: { type: "http", scheme: "bearer", description: "Where the service has a token." } },
    },
  };
}

function operationOf(route: Route): Json {
  const parameters = [
    ...(route.path.includes("{id}")
      ? [{ name: "id", in: "path", required: true, schema: { type: "string" }, description: "The job's id." }]
      : []),
    ...(route.query ?? []).map(({ name, description, schema }) => ({
      name,
      in: "query",
      description,
      schema: schemaOf(schema, "input"),
    })),
  ];
  const own = new Set(route.answers.map(({ status }) => status));
  const answers = [...route.answers, ...COMMON.filter(({ status }) => !own.has(status))];
  return {
    operationId: `${route.method.toLowerCase()}${
      route.path.replaceAll(/[/{}.]+(\w?)/g, (_, letter) => letter.toUpperCase())
    }`,
    summary: route.summary,
    ...(route.description !== undefined && { description: route.description }),
    ...(route.open && { security: [{}] }),
    ...(parameters.length > 0 && { parameters }),
    ...(route.bodies && { requestBody: { required: true, content: bodiesOf(route.bodies) } }),
    responses: Object.fromEntries(answers.map((answer) => [String(answer.status), responseOf(answer)])),
  };
}

function bodiesOf(bodies: NonNullable<Route["bodies"]>): Json {
  return Object.fromEntries(
    Object.entries(bodies).map(([type, schema]) => [
      type,
      { schema: schema instanceof z.ZodType ? schemaOf(schema, "input") : schema },
    ]),
  );
}

function responseOf({ description, mediaType, schema }: Answer): Json {
  if (mediaType === undefined) return { description };
  const isProblem = mediaType === "application/problem+json";
  const told = isProblem ? { $ref: "#/components/schemas/Problem" } : schema && schemaOf(schema, "output");
  return { description, content: { [mediaType]: told ? { schema: told } : {} } };
}

function schemaOf(schema: z.ZodType, io: "input" | "output"): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io });
  return rest;
}
