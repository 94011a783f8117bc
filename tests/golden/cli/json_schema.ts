/** Checks JSON by a schema, as far as the service's description uses JSON Schema 2020-12; a keyword beyond that is a problem itself. */
import type { Json } from "./served.ts";

const ANNOTATIONS = new Set(["description", "default", "format"]);

/** What does not fit, with its place; empty where all does. */
export function schemaProblems(value: Json, schema: Json, document: Json, at = "$"): string[] {
  const problems: string[] = [];
  const say = (text: string) => void problems.push(`${at}: ${text}`);
  for (const [keyword, rule] of Object.entries<Json>(schema)) {
    if (ANNOTATIONS.has(keyword)) continue;
    switch (keyword) {
      case "$ref": {
        const found = rule.slice(2).split("/").reduce((part: Json, key: string) => part?.[key], document);
        if (found === undefined) say(`${rule} is not there`);
        else problems.push(...schemaProblems(value, found, document, at));
        break;
      }
      case "type":
        if (!isOfType(value, rule)) say(`${JSON.stringify(value)} is no ${rule}`);
        break;
      case "enum":
        if (!rule.includes(value)) say(`${JSON.stringify(value)} is none of ${rule}`);
        break;
      case "const":
        if (value !== rule) say(`${JSON.stringify(value)} is not ${rule}`);
        break;
      case "minimum":
        if (value < rule) say(`${value} is below ${rule}`);
        break;
      case "maximum":
        if (value > rule) say(`${value} is above ${rule}`);
        break;
      case "maxLength":
        if (value.length > rule) say(`it is longer than ${rule}`);
        break;
      case "pattern":
        if (!new RegExp(rule).test(value)) say(`${value} does not fit ${rule}`);
        break;
      case "required":
        for (const key of rule) if (!(key in value)) say(`${key} is missing`);
        break;
      case "items":
        value.forEach((item: Json, i: number) => problems.push(...schemaProblems(item, rule, document, `${at}[${i}]`)));
        break;
      case "propertyNames":
        for (const key of Object.keys(value)) problems.push(...schemaProblems(key, rule, document, `${at} ${key}`));
        break;
      case "properties":
        for (const [key, one] of Object.entries<Json>(rule)) {
          if (value[key] !== undefined) problems.push(...schemaProblems(value[key], one, document, `${at}.${key}`));
        }
        break;
      case "additionalProperties":
        for (const key of Object.keys(value).filter((name) => !(name in (schema.properties ?? {})))) {
          if (rule === false) say(`${key} is not described`);
          else problems.push(...schemaProblems(value[key], rule, document, `${at}.${key}`));
        }
        break;
      default:
        say(`the schema has ${keyword}, which is not checked here`);
    }
  }
  return problems;
}

function isOfType(value: Json, type: string): boolean {
  if (type === "array") return Array.isArray(value);
  if (type === "integer") return Number.isInteger(value);
  if (type === "object") return typeof value === "object" && value !== null && !Array.isArray(value);
  const found: string = typeof value;
  return found === type;
}
