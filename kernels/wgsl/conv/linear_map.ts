/** y = A x on vec4 for a small constant matrix, as WGSL: rows that differ in signs alone share their work. */
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

const sameMagnitudes = (a: readonly number[], b: readonly number[]) =>
  a.every((x, k) => Math.abs(x) === Math.abs(b[k])) && a.some((x, k) => x !== b[k]);

/**
 * Statements `let <name>_i = ...` for every row of `matrix` times `values`. Two rows that are equal but for signs are e + o and e - o:
 * F(4, 3)'s points +-a give such pairs.
 */
export function mapText(name: string, matrix: Matrix, values: readonly string[]): string[] {
  const terms = (row: readonly number[]) =>
    row.map((coefficient, k) => ({ coefficient, value: values[k] })).filter((t) => t.coefficient !== 0);
  const done = new Set<number>();
  return matrix.flatMap((row, i) => {
    if (done.has(i)) return [];
    const partner = matrix.findIndex((other, j) => j > i && !done.has(j) && sameMagnitudes(row, other));
    const even = partner < 0 ? [] : terms(row.map((x, k) => x === matrix[partner][k] ? x : 0));
    const odd = partner < 0 ? [] : terms(row.map((x, k) => x === matrix[partner][k] ? 0 : x));
    if (even.length === 0 || odd.length === 0 || even.length + odd.length < 3) {
      return [`let ${name}_${i} = ${sumText(terms(row))};`];
    }
    done.add(partner);
    return [
      `let ${name}_even_${i} = ${sumText(even)};`,
      `let ${name}_odd_${i} = ${sumText(odd)};`,
      `let ${name}_${i} = ${name}_even_${i} + ${name}_odd_${i};`,
      `let ${name}_${partner} = ${name}_even_${i} - ${name}_odd_${i};`,
    ];
  });
}
