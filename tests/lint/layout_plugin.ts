/**
 * The project's own lint rule: who may import whom.
 * main -> cli -> {gpu, cpu, core}; gpu -> kernels/wgsl, cpu -> kernels/wasm, both -> {kernels/operators, core/lowering, core/engine,
 * core/graph, core/base}, gpu -> core/cases too; kernels/wgsl, kernels/wasm -> kernels/operators and none the other;
 * kernels -> {core/graph, core/base};
 * core imports only core, and inside core left never imports right; nothing outside tests imports tests.
 */
import { fromFileUrl } from "../../core/base/path.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));

/** Inside core, a part may import itself and those before it. */
export const CORE_ORDER = [
  "base",
  "formats",
  "dataset",
  "graph",
  "engine",
  "lowering",
  "network",
  "cases",
  "trainers",
  "plan",
  "preprocess",
  "evaluate",
  "measure",
  "postprocess",
  "ensemble",
  "choose",
  "predict",
  "train",
  "share",
  "experiment",
] as const;

const ENGINE_MAY_IMPORT = ["kernels/operators", "core/lowering", "core/engine", "core/graph", "core/base"];

/** Parts of kernels, and what each may import of them besides itself: what is neutral is in operators. */
const KERNEL_PARTS: Record<string, readonly string[]> = {
  operators: [],
  wasm: ["operators"],
  wgsl: ["operators"],
};

/** Top-level parts and what each may import besides itself; core's parts are handled by {@link CORE_ORDER}. */
const ALLOWED: Record<string, readonly string[]> = {
  "main.ts": ["cli"],
  cli: ["gpu", "cpu", "core"],
  gpu: ["kernels/wgsl", "core/cases", ...ENGINE_MAY_IMPORT],
  cpu: ["kernels/wasm", ...ENGINE_MAY_IMPORT],
  kernels: ["core/graph", "core/base"],
};

/** Why `from` may not import `to` (both relative to the root, with slashes), or null if it may. */
export function importViolation(from: string, to: string): string | null {
  const [fromTop, fromPart] = from.split("/");
  const [toTop, toPart] = to.split("/");
  if (fromTop === "tests") return null;
  if (toTop === "tests") return "nothing outside tests imports tests";
  if (fromTop === "core") {
    if (toTop !== "core") return `core imports only core, not ${toTop}`;
    const order = CORE_ORDER as readonly string[];
    const [a, b] = [order.indexOf(fromPart), order.indexOf(toPart)];
    if (a < 0 || b < 0) return `core/${a < 0 ? fromPart : toPart} is not a part of core (${order.join(", ")})`;
    return b <= a ? null : `core/${fromPart} may not import core/${toPart}: inside core, left never imports right`;
  }
  if (fromTop === "kernels" && toTop === "kernels") return kernelViolation(fromPart, toPart);
  if (fromTop === toTop) return null;
  const allowed = ALLOWED[fromTop];
  if (!allowed) return `${fromTop} is not a top-level part of the project`;
  const fits = allowed.some((part) => part === toTop || part === `${toTop}/${toPart}`);
  return fits ? null : `${fromTop} may import ${allowed.join(", ")}, not ${toTop}/${toPart}`;
}

function kernelViolation(from: string, to: string): string | null {
  const unknown = [from, to].find((part) => !(part in KERNEL_PARTS));
  if (unknown) return `kernels/${unknown} is not a part of kernels (${Object.keys(KERNEL_PARTS).join(", ")})`;
  if (from === to || KERNEL_PARTS[from].includes(to)) return null;
  return `kernels/${from} may not import kernels/${to}: what both need is in kernels/operators`;
}

function relativeToRoot(path: string): string | null {
  const normal = path.replaceAll("\\", "/");
  const root = ROOT.replaceAll("\\", "/");
  return normal.startsWith(root) ? normal.slice(root.length) : null;
}

function checkSource(context: Deno.lint.RuleContext, source: Deno.lint.StringLiteral | null | undefined): void {
  if (!source || !source.value.startsWith(".")) return;
  const from = relativeToRoot(context.filename);
  if (from === null) return;
  const target = fromFileUrl(new URL(source.value, new URL(`file://${context.filename}`)));
  const to = relativeToRoot(target);
  const violation = to === null ? "imports stay inside the project" : importViolation(from, to);
  if (violation) context.report({ node: source, message: `${from} imports ${to ?? source.value}: ${violation}` });
}

const plugin: Deno.lint.Plugin = {
  name: "layout",
  rules: {
    imports: {
      create: (context) => ({
        ImportDeclaration: (node) => checkSource(context, node.source),
        ExportNamedDeclaration: (node) => checkSource(context, node.source as Deno.lint.StringLiteral | null),
        ExportAllDeclaration: (node) => checkSource(context, node.source),
      }),
    },
  },
};
export default plugin;
