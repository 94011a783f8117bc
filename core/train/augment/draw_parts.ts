/** What the recipes of augmentation draw alike. */
import type { RandomStream } from "../../base/random_stream.ts";
import type { BinaryOperator, CascadeStep } from "./steps.ts";

const OPERATORS: readonly BinaryOperator[] = ["dilation", "erosion", "closing", "opening"];

/** Below 1 half of the time. */
export function aroundOne(stream: RandomStream, low: number, high: number): number {
  return stream.chance(0.5) ? stream.uniform(low, 1) : stream.uniform(1, high);
}

/** What is done to `masks` masks of the previous stage. */
export function drawCascade(stream: RandomStream, masks: number): CascadeStep[] {
  const steps: CascadeStep[] = [];
  if (masks === 0) return steps;
  const all = Array.from({ length: masks }, (_, mask) => mask);
  if (stream.chance(0.4)) {
    for (const mask of shuffled(stream, all)) {
      const operator = OPERATORS[stream.below(OPERATORS.length)];
      steps.push({ kind: "operator", mask, operator, radius: stream.uniform(1, 8) });
    }
  }
  if (stream.chance(0.2)) {
    for (const mask of shuffled(stream, all)) {
      steps.push({ kind: "removeComponent", mask, choice: stream.uniform(0, 1) });
    }
  }
  return steps;
}

/** The values in random order. */
export function shuffled(stream: RandomStream, values: readonly number[]): number[] {
  const order = [...values];
  for (let i = order.length - 1; i > 0; i--) {
    const j = stream.below(i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
