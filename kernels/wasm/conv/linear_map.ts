/** Emits y = A x on four-wide vectors for a small constant matrix, sharing work between rows (or columns) that differ in signs only. */
import { mappedRows, sameMagnitudes } from "../../operators/conv/linear_map.ts";
import { f32x4, type V128 } from "../emit/expression.ts";
import { discardingBuilder, type FunctionBuilder, type Local } from "../emit/module_builder.ts";
import type { Matrix } from "../../operators/conv/scheme.ts";

/** Gives the splat of a constant. */
export type Constants = (value: number) => V128;

/**
 * The constants that `emit` asks for, as variables set here, before a loop: V8 would otherwise build each anew at each use.
 * `emit` is run once into a function that is thrown away to learn what it needs.
 */
export function hoistConstants(f: FunctionBuilder, emit: (f: FunctionBuilder, constant: Constants) => void): Constants {
  const values = new Set<number>();
  emit(discardingBuilder(), (value) => {
    values.add(value);
    return f32x4.splat(value);
  });
  const locals = new Map([...values].map((value) => [value, f.local("v128", f32x4.splat(value))]));
  return (value) => {
    const local = locals.get(value);
    if (!local) throw new RangeError(`The constant ${value} was not hoisted`);
    return local;
  };
}

interface Term {
  readonly coefficient: number;
  readonly value: V128;
}

/** sum of coefficient * value, starting from a term of coefficient +-1 where there is one. Undefined: no terms. */
function sum(terms: readonly Term[], constant: Constants): V128 | undefined {
  if (terms.length === 0) return undefined;
  const first = Math.max(terms.findIndex((t) => t.coefficient === 1), 0);
  const start = terms[first];
  const base = start.coefficient === 1 ? start.value : f32x4.mul(constant(start.coefficient), start.value);
  return terms.reduce((total, { coefficient, value }, i) => {
    if (i === first) return total;
    if (coefficient === 1) return f32x4.add(total, value);
    if (coefficient === -1) return f32x4.sub(total, value);
    return coefficient < 0 && terms.some((t) => t.coefficient === -coefficient)
      ? f32x4.nmadd(constant(-coefficient), value, total)
      : f32x4.madd(constant(coefficient), value, total);
  }, base);
}

function rowTerms(row: readonly number[], values: readonly V128[]): Term[] {
  return row.map((coefficient, k) => ({ coefficient, value: values[k] })).filter((t) => t.coefficient !== 0);
}

/**
 * Emits `matrix` * `values`, handing each result to `store`.
 * `temporaries` are two free vector variables.
 */
export function emitRows(
  f: FunctionBuilder,
  matrix: Matrix,
  values: readonly V128[],
  temporaries: readonly [Local<"v128">, Local<"v128">],
  constant: Constants,
  store: (row: number, value: V128) => void,
): void {
  const [e, o] = temporaries;
  const valueOf = (terms: readonly Term[]) => sum(terms, constant) ?? f32x4.splat(0);
  for (const mapped of mappedRows(matrix)) {
    if (!("partner" in mapped)) {
      store(mapped.row, valueOf(rowTerms(mapped.coefficients, values)));
      continue;
    }
    const { row, partner } = mapped;
    const opposite = rowTerms(mapped.odd, values);
    const factor = opposite[opposite.length - 1].coefficient;
    f.set(e, valueOf(rowTerms(mapped.even, values)));
    f.set(o, valueOf(opposite.map((t) => ({ coefficient: t.coefficient / factor, value: t.value }))));
    store(row, factor === 1 ? f32x4.add(e, o) : f32x4.madd(constant(factor), o, e));
    store(partner, factor === 1 ? f32x4.sub(e, o) : f32x4.nmadd(constant(factor), o, e));
  }
}

/**
 * As {@link emitRows} for a matrix whose COLUMNS pair up: the pair's sum and difference replace the two values first.
 * `values` are variables and are overwritten.
 */
export function emitPairedColumns(
  f: FunctionBuilder,
  matrix: Matrix,
  values: readonly Local<"v128">[],
  temporary: Local<"v128">,
  constant: Constants,
  store: (row: number, value: V128) => void,
): void {
  const column = (k: number) => matrix.map((row) => row[k]);
  const reduced = matrix.map((row) => [...row]);
  const used = new Set<number>();
  values.forEach((value, a) => {
    if (used.has(a)) return;
    const b = values.findIndex((_, k) => k > a && !used.has(k) && sameMagnitudes(column(a), column(k)));
    if (b < 0) return;
    used.add(a).add(b);
    f.set(temporary, f32x4.sub(value, values[b]));
    f.set(value, f32x4.add(value, values[b]));
    f.set(values[b], temporary);
    // Rows where both have one sign take the sum (now in a), the others the difference (now in b).
    reduced.forEach((row) => {
      const isSum = row[a] === row[b];
      row[b] = isSum ? 0 : row[a];
      if (!isSum) row[a] = 0;
    });
  });
  reduced.forEach((row, i) => store(i, sum(rowTerms(row, values), constant) ?? f32x4.splat(0)));
}
