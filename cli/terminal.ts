/** Writing to the terminal: results and progress to stdout, warnings and errors to stderr. Nothing is ever half a line. */

const encoder = new TextEncoder();

function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length;) {
    try {
      at += stream.writeSync(bytes.subarray(at));
    } catch (error) {
      // The reader of a pipe has gone (`nnunet ... | head`): there is nobody to tell.
      if (error instanceof Deno.errors.BrokenPipe) return;
      // A pipe that another program made non-blocking is full: it is being emptied.
      if (!(error instanceof Deno.errors.WouldBlock)) throw error;
    }
  }
}

/** What terminals obey instead of showing it, and what turns the direction of letters, so that a line reads as another one. */
// deno-lint-ignore no-control-regex -- these are what is looked for
const OBEYED = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

/** The text with such characters shown, as names in other people's files may hold them: as in JSON, which stays what it is. */
export function shown(text: string): string {
  return text.replace(OBEYED, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** A line, or several, to stdout. */
export function print(text: string): void {
  writeAll(Deno.stdout, shown(text.endsWith("\n") ? text : `${text}\n`));
}

/** A line, or several, to stderr. */
export function printError(text: string): void {
  writeAll(Deno.stderr, shown(text.endsWith("\n") ? text : `${text}\n`));
}

/** True if progress may be redrawn in place. */
export function isTerminal(): boolean {
  return Deno.stderr.isTerminal();
}

/** "3 s", "2:05 min", "1:02:03 h". */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (value: number) => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}:${two(whole % 60)} min`;
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)} h`;
}

/** A heading and indented lines under it. */
export function list(heading: string, lines: readonly string[]): string {
  return [heading, ...lines.map((line) => `  ${line}`)].join("\n");
}
