/** Counts in words. */

/** "1 case", "2 cases", "0 cases". */
export function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
