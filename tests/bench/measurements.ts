/** What several runs of a program took, in words. */
import type { Measurement } from "./measure_process.ts";

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** Medians, and the range of times, on a line. */
export function describeRuns(name: string, runs: readonly Measurement[]): string {
  const seconds = runs.map((run) => run.seconds);
  const memory = runs.map((run) => run.peakMB);
  return `${name.padEnd(10)} ${median(seconds).toFixed(1).padStart(8)} s (${Math.min(...seconds).toFixed(1)}-${
    Math.max(...seconds).toFixed(1)
  })  peak ${median(memory).toFixed(0).padStart(6)} MB`;
}
