/** Small WebAssembly modules: functions of one type over a memory of the module's own. */
import { type Code, flatten, text, unsigned } from "./wasm_encode.ts";

export interface SmallModule {
  /** Of all functions: parameters and results, each as their number and their types. */
  readonly type: Code;
  /** Of 64 KiB; the memory stays as large. */
  readonly pages: number;
  /** Locals and code of each function, by the name that it is exported under. */
  readonly functions: Readonly<Record<string, Code>>;
}

/** The module; it exports its memory as `memory` beside the functions. */
export function smallModule({ type, pages, functions }: SmallModule): Uint8Array<ArrayBuffer> {
  const all = Object.entries(functions);
  return Uint8Array.from(bytesOf([
    [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    section(1, [[0x60, type]]),
    section(3, all.map(() => [0])),
    section(5, [[1, unsigned(pages), unsigned(pages)]]),
    section(7, [[text("memory"), 2, 0], ...all.map(([name], i): Code => [text(name), 0, i])]),
    section(10, all.map(([, code]) => sized([code, 0x0b]))),
  ]));
}

function section(id: number, items: readonly Code[]): Code {
  return [id, sized([unsigned(items.length), items])];
}

/** Code behind the number of its bytes. */
function sized(code: Code): Code {
  const bytes = bytesOf(code);
  return [unsigned(bytes.length), bytes];
}

function bytesOf(code: Code): number[] {
  const bytes: number[] = [];
  flatten(code, bytes);
  return bytes;
}
