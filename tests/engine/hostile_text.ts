/**
 * A kernel's text as the most hostile device that WebGPU allows would run it, for tests. Robustness only promises that an access out of
 * bounds stays in the buffer: here a load gives poison (NaN, or all bits), a store is lost, and both are counted. Workgroup memory begins
 * with poison, not zeros, and lanes and workgroups come in another order.
 */

/** The group in which a kernel notes its stores out of bounds, at binding 0: a u32, one bit for each of {@link FAULTS}. */
export const FAULT_GROUP = 1;

/** What stores can go beyond the bounds of. */
export const FAULTS = ["a buffer", "workgroup memory"] as const;

interface ArrayVariable {
  readonly name: string;
  readonly element: string;
  /** Of workgroup memory; undefined: bound at run time. */
  readonly length?: number;
  /** Of arrays in an array. */
  readonly inner?: number;
}

const DECLARATION = /var<(?:storage, \w+|workgroup)> (\w+): array<((?:[^<>,]|<[^<>]*>)+)(?:, (\d+))?>;/g;
const STRUCT = /struct (\w+) \{([^}]*)\}/g;
const MAIN = /@compute @workgroup_size\((\d+)\)\s*fn main\(((?:@builtin\(\w+\) \w+: \w+(?:, )?)*)\) \{\n/;

/** @throws TypeError if the text accesses an array in a way that is not known here, or its entry point is none that is */
export function hostileText(code: string): string {
  const structs = new Map([...code.matchAll(STRUCT)].map(([, name, members]) => [name, memberTypes(members)]));
  const arrays = [...code.matchAll(DECLARATION)].map(([, name, type, length]): ArrayVariable => {
    const [, element = type, inner] = /^array<(.+), (\d+)>$/.exec(type) ?? [];
    return {
      name,
      element,
      ...(length !== undefined && { length: Number(length) }),
      ...(inner !== undefined && { inner: Number(inner) }),
    };
  });
  // Declarations have no access in them, and begin the text of a header.
  const text = permuteThreads(
    guardAccesses(code, new Map(arrays.map((array) => [array.name, array]))),
    arrays,
    structs,
  );
  const faults = `@group(${FAULT_GROUP}) @binding(0) var<storage, read_write> faults: atomic<u32>;
var<private> fault: u32;`;
  return [text, faults, ...arrays.flatMap((array) => accessors(array, text, structs))].join("\n");
}

const memberTypes = (members: string) => [...members.matchAll(/\w+: ([^,\n]+),?/g)].map(([, type]) => type.trim());

/** All accesses of arrays by functions: take_x(i), put_x(i, value) and, for atomics, place_x(i). */
function guardAccesses(code: string, arrays: ReadonlyMap<string, ArrayVariable>): string {
  let out = "";
  let from = 0;
  for (const match of code.matchAll(/(&?)\b(\w+)\[/g)) {
    const [found, reference, name] = match;
    const array = arrays.get(name);
    if (!array || match.index < from) continue;
    out += code.slice(from, match.index);
    const indices: string[] = [];
    from = match.index + found.length;
    for (const _ of array.inner === undefined ? [0] : [0, 1]) {
      const end = closingBracket(code, from);
      indices.push(guardAccesses(code.slice(from, end), arrays));
      // Of two brackets the second begins where the first ends.
      from = end + (indices.length === 1 && array.inner !== undefined ? 2 : 1);
    }
    const index = indices.join(", ");
    const assignment = /^((?:\.\w+|\[[^\]]*\])*)\s*([-+*/|&^]?)=(?!=)\s*/.exec(code.slice(from));
    if (reference) {
      out += `&${name}[place_${name}(${index})]`;
    } else if (assignment) {
      const [all, part, operator] = assignment;
      if (part) throw new TypeError(`Rewriting a kernel: a part of ${name}[] is assigned`);
      const semicolon = code.indexOf(";", from);
      const value = guardAccesses(code.slice(from + all.length, semicolon), arrays);
      out += `put_${name}(${index}, ${operator ? `take_${name}(${index}) ${operator} (${value})` : value});`;
      from = semicolon + 1;
    } else {
      out += `take_${name}(${index})`;
    }
  }
  return out + code.slice(from);
}

/** Where the bracket is closed that was opened before `start`. */
function closingBracket(code: string, start: number): number {
  let depth = 1;
  for (let at = start; at < code.length; at++) {
    if (code[at] === "[") depth++;
    if (code[at] === "]" && --depth === 0) return at;
  }
  throw new TypeError("Rewriting a kernel: a bracket stays open");
}

type Structs = ReadonlyMap<string, readonly string[]>;

/** An expression that no compiler knows the value of, in a function that has a u32 `i`. */
function poison(type: string, structs: Structs): string {
  const members = structs.get(type);
  if (members) return `${type}(${members.map((member) => poison(member, structs)).join(", ")})`;
  const bits = "(0xffffffffu | (i & 1u))";
  if (type === "u32" || type === "atomic<u32>") return bits;
  if (type === "i32" || type === "f32") return `bitcast<${type}>(${bits})`;
  if (type === "f16") return `f16(bitcast<f32>(${bits}))`;
  const vector = /^vec[234](?:<(\w+)>|([fuih]))$/.exec(type);
  if (!vector) throw new TypeError(`Rewriting a kernel: an array of ${type}`);
  const [, long, short] = vector;
  const scalar = long ?? { f: "f32", u: "u32", i: "i32", h: "f16" }[short];
  return `${type}(${poison(scalar ?? "", structs)})`;
}

/** The functions that stand for an array's accesses, those that the text uses. Without branches, which cost compilers most. */
function accessors({ name, element, length, inner }: ArrayVariable, text: string, structs: Structs): string[] {
  const bound = length === undefined ? `arrayLength(&${name})` : `${length}u`;
  const nested = inner !== undefined;
  const indices = nested ? "i: u32, k: u32" : "i: u32";
  const place = nested ? `${name}[i][k]` : `${name}[i]`;
  const beyond = nested ? `i >= ${bound} || k >= ${inner}u` : `i >= ${bound}`;
  const fault = `fault |= select(0u, ${length === undefined ? 1 : 2}u, ${beyond});`;
  const load = structs.has(element)
    ? `if (${beyond}) { return ${poison(element, structs)}; }
  return ${place};`
    : `return select(${place}, ${poison(element, structs)}, ${beyond});`;
  const functions: [string, string][] = [
    [`take_${name}(`, `fn take_${name}(${indices}) -> ${element} {\n  ${load}\n}`],
    [
      `put_${name}(`,
      `fn put_${name}(${indices}, value: ${element}) {\n  ${fault}\n  if (!(${beyond})) { ${place} = value; }\n}`,
    ],
    [`place_${name}(`, `fn place_${name}(i: u32) -> u32 {\n  ${fault}\n  return select(i, 0u, ${beyond});\n}`],
  ];
  return functions.filter(([call]) => text.includes(call)).map(([, code]) => code);
}

/** The entry point with other threads in its threads' places, after workgroup memory was filled with poison. */
function permuteThreads(code: string, arrays: readonly ArrayVariable[], structs: Structs): string {
  const main = MAIN.exec(code);
  if (!main) throw new TypeError("Rewriting a kernel: its entry point is none that is known");
  const size = Number(main[1]);
  const values: Readonly<Record<string, string>> = {
    local_invocation_index: "permuted_lane",
    workgroup_id: "permuted_group",
    global_invocation_id: `permuted_group * vec3u(${size}u, 1u, 1u) + vec3u(permuted_lane, 0u, 0u)`,
  };
  const parameters = [...main[2].matchAll(/@builtin\((\w+)\) (\w+): (\w+)/g)];
  const given = parameters.map(([, builtin]) => {
    if (!(builtin in values)) throw new TypeError(`Rewriting a kernel: it asks for ${builtin}`);
    return values[builtin];
  });
  const fills = arrays.flatMap(({ name, element, length, inner }) => {
    if (length === undefined) return [];
    const value = poison(element, structs);
    const place = inner === undefined ? `${name}[i]` : `${name}[i / ${inner}u][i % ${inner}u]`;
    const fill = element.startsWith("atomic") ? `atomicStore(&${place}, ${value});` : `${place} = ${value};`;
    return [`  for (var i = permuted_lane; i < ${length * (inner ?? 1)}u; i += ${size}u) { ${fill} }`];
  });
  const lines = [
    `@compute @workgroup_size(${size})`,
    "fn main(@builtin(workgroup_id) raw_group: vec3u, @builtin(num_workgroups) raw_groups: vec3u, " +
    "@builtin(local_invocation_index) raw_lane: u32) {",
    // The last workgroup first; lanes in steps that share no factor with their number.
    "  let permuted_group = raw_groups - vec3u(1u) - raw_group;",
    `  let permuted_lane = (raw_lane * ${stepFor(size)}u + ${size >> 1}u) % ${size}u;`,
    ...fills,
    ...(fills.length > 0 ? ["  workgroupBarrier();"] : []),
    `  kernel_main(${given.join(", ")});`,
    "  if (fault != 0u) { atomicOr(&faults, fault); }",
    "}",
    `fn kernel_main(${parameters.map(([, , name, type]) => `${name}: ${type}`).join(", ")}) {`,
  ];
  return code.slice(0, main.index) + lines.join("\n") + "\n" + code.slice(main.index + main[0].length);
}

function stepFor(size: number): number {
  const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));
  let step = 37;
  while (divisor(step, size) !== 1) step += 2;
  return step;
}
