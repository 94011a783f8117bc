/** y = A x on vec4 for a small constant matrix, as WGSL. */
import { mappedRows } from "../../operators/conv/linear_map.ts";
import type { Matrix } from "../../operators/conv/scheme.ts";
import { f32Literal } from "../emit/thread_kernel.ts";

interface Term {
  readonly coefficient: number;
  readonly value: string;
}

/** Sum of coefficient * value as one expression. */
function sumText(terms: readonly Term[]): string {
  if (terms.length === 0) return "vec4f(0.0)";
  const first = Math.max(terms.findIndex((t) => t.coefficient === 1), 0);
  const { coefficient, value } = terms[first];
  const start = coefficient === 1 ? value : `${f32Literal(coefficient)} * ${value}`;
  return terms.filter((_, i) => i !== first).reduce((total, t) => {
    if (t.coefficient === 1) return `(${total} + ${t.value})`;
    if (t.coefficient === -1) return `(${total} - ${t.value})`;
    return `fma(vec4f(${f32Literal(t.coefficient)}), ${t.value}, ${total})`;
  }, start);
}

/** Statements `let <name>_i = ...` for every row of `matrix` times `values`. */
export function mapText(name: string, matrix: Matrix, values: readonly string[]): string[] {
  const text = (row: readonly number[]) =>
    sumText(row.map((coefficient, k) => ({ coefficient, value: values[k] })).filter((t) => t.coefficient !== 0));
  return mappedRows(matrix).flatMap((mapped) => {
    const { row } = mapped;
    if (!("partner" in mapped)) return [`let ${name}_${row} = ${text(mapped.coefficients)};`];
    return [
      `let ${name}_even_${row} = ${text(mapped.even)};`,
      `let ${name}_odd_${row} = ${text(mapped.odd)};`,
      `let ${name}_${row} = ${name}_even_${row} + ${name}_odd_${row};`,
      `let ${name}_${mapped.partner} = ${name}_even_${row} - ${name}_odd_${row};`,
    ];
  });
}
