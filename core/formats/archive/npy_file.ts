/** An .npy file whose elements are read by ranges. */
import { type NpyHeader, readNpyHeader } from "./npy_header.ts";
import { openRangeFile } from "./range_file.ts";

export interface NpyFile extends Disposable {
  readonly file: string;
  readonly header: NpyHeader;
  /** Fills `into` with the elements from `element` on; `into` has to be of the file's type. */
  read(element: number, into: ArrayBufferView): void;
}

/**
 * Opens a file of little-endian elements in C order.
 * @param remedy What to do about a file that is not as it should be
 * @throws UserError if it is something else, or cut off
 */
export function openNpy(path: string, doing: string, remedy = "run preprocess again"): NpyFile {
  using stack = new DisposableStack();
  const { size, readAt, fail } = stack.use(openRangeFile(path, doing, remedy));
  const layout = readNpyHeader((offset, length) => {
    const bytes = new Uint8Array(length);
    readAt(offset, bytes);
    return bytes;
  }, fail);
  const { dataAt, elementBytes, end } = layout;
  if (size < end) fail(`it is cut off: ${size} of ${end} bytes are there`);
  const open = stack.move();
  return {
    file: path,
    header: layout,
    read: (element, into) => {
      readAt(dataAt + element * elementBytes, new Uint8Array(into.buffer, into.byteOffset, into.byteLength));
    },
    [Symbol.dispose]: () => open.dispose(),
  };
}
