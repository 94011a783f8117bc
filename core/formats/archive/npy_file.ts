/** An .npy file whose elements are read by ranges. Format: numpy/lib/format.py, versions 1.0 to 3.0. */
import { UserError } from "../../base/errors.ts";
import type { NpyHeader } from "./npz.ts";

export interface NpyFile extends Disposable {
  readonly file: string;
  readonly header: NpyHeader;
  /** Fills `into` with the elements from `element` on; `into` has to be of the file's type. */
  read(element: number, into: ArrayBufferView): void;
}

/** Opens a file of little-endian elements in C order. @throws UserError if it is something else, or cut off */
export function openNpy(path: string, doing: string): NpyFile {
  const fail = (problem: string): never => {
    throw new UserError({ doing, file: path, problem, remedy: "run preprocess again" });
  };
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return fail("there is no such file");
    throw error;
  }
  const readAt = (offset: number, bytes: Uint8Array): void => {
    file.seekSync(offset, Deno.SeekMode.Start);
    for (let at = 0; at < bytes.length;) {
      const got = file.readSync(bytes.subarray(at));
      if (!got) return fail("it is cut off");
      at += got;
    }
  };
  try {
    const start = new Uint8Array(12);
    readAt(0, start);
    if (start[0] !== 0x93 || new TextDecoder().decode(start.subarray(1, 6)) !== "NUMPY") fail("it is no numpy array");
    const view = new DataView(start.buffer);
    const wide = start[6] >= 2;
    const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
    if (length > 1 << 20) fail("its header can't be read");
    const text = new Uint8Array(length);
    readAt(wide ? 12 : 10, text);
    const header = parseHeader(new TextDecoder().decode(text)) ?? fail("its header can't be read");
    const elementBytes = Number(/^[<|][a-z]([0-9]+)$/.exec(header.dtype)?.[1] ?? fail(`its type is ${header.dtype}`));
    const elementsAt = (wide ? 12 : 10) + length;
    const needed = elementsAt + header.shape.reduce((product, n) => product * n, elementBytes);
    if (file.statSync().size < needed) fail(`it is cut off: ${file.statSync().size} of ${needed} bytes are there`);
    return {
      file: path,
      header,
      read: (element, into) => {
        readAt(elementsAt + element * elementBytes, new Uint8Array(into.buffer, into.byteOffset, into.byteLength));
      },
      [Symbol.dispose]: () => file.close(),
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

function parseHeader(text: string): NpyHeader | null {
  const dtype = /'descr': *'([^']+)'/.exec(text)?.[1];
  const order = /'fortran_order': *(True|False)/.exec(text)?.[1];
  const shape = /'shape': *\(([0-9, ]*)\)/.exec(text)?.[1];
  if (dtype === undefined || order !== "False" || shape === undefined) return null;
  return { dtype, shape: shape.split(",").map((n) => n.trim()).filter(Boolean).map(Number) };
}
