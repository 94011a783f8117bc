/** Bytes of a file by position, through a window that is read at once: directories and strips mostly lie beside each other. */
import { UserError } from "../../../base/errors.ts";
import { refuseSpecialFile } from "../../../base/odd_file.ts";
import { readError } from "../../../base/read_error.ts";
import { PIECE_BYTES } from "../../archive/gzip.ts";
import { READING } from "../image_format.ts";
import { TiffDamage } from "./problem.ts";

/** Bytes around a directory that are read with it. */
const DIRECTORY_BYTES = 4096;
const REMEDY = "name an image file";

export interface TiffSource extends Disposable {
  readonly file: string;
  readonly size: number;
  /**
   * Bytes from `offset` on, valid until the next call; for directories and their values.
   * @throws TiffDamage if the file ends before
   */
  bytes(offset: number, length: number): Promise<Uint8Array>;
  /** As {@link bytes}, for picture data: reads on in larger pieces. At most PIECE_BYTES at a time. */
  data(offset: number, length: number): Promise<Uint8Array>;
}

/** @throws UserError if there is no such file, or it may not be read */
export async function openSource(file: string): Promise<TiffSource> {
  refuseSpecialFile(file, READING, REMEDY);
  const asUserError = (error: unknown) => readError(error, file, READING, REMEDY);
  const handle = await Deno.open(file).catch((error) => {
    throw asUserError(error);
  });
  try {
    const { size, isDirectory } = await handle.stat();
    if (isDirectory) {
      throw new UserError({ doing: READING, file, problem: "it is a folder, a file is needed", remedy: REMEDY });
    }
    return windowed(file, handle, size, asUserError);
  } catch (error) {
    handle.close();
    throw asUserError(error);
  }
}

function windowed(
  file: string,
  handle: Deno.FsFile,
  size: number,
  asUserError: (error: unknown) => unknown,
): TiffSource {
  const read = async (into: Uint8Array, offset: number) => {
    try {
      await handle.seek(offset, Deno.SeekMode.Start);
      for (let filled = 0; filled < into.length;) {
        const got = await handle.read(into.subarray(filled));
        if (!got) throw new TiffDamage("it has become shorter while it was read", "cut short");
        filled += got;
      }
    } catch (error) {
      throw asUserError(error);
    }
  };
  return {
    file,
    size,
    bytes: readWindow(size, DIRECTORY_BYTES, read),
    data: readWindow(size, PIECE_BYTES, read),
    [Symbol.dispose]: () => handle.close(),
  };
}

/** Gives bytes by position out of the last `ahead` bytes that were read at once; longer ones are read for themselves. */
function readWindow(
  size: number,
  ahead: number,
  read: (into: Uint8Array, offset: number) => Promise<void>,
): TiffSource["bytes"] {
  let buffer = new Uint8Array(0);
  let start = 0;
  let filled = 0;
  return async (offset, length) => {
    if (offset + length > size) {
      throw new TiffDamage(`it ends before byte ${(offset + length).toLocaleString("en-US")}`, "cut short");
    }
    if (length > ahead) {
      const bytes = new Uint8Array(length);
      await read(bytes, offset);
      return bytes;
    }
    if (offset < start || offset + length > start + filled) {
      if (buffer.length === 0) buffer = new Uint8Array(Math.min(ahead, size));
      start = offset;
      filled = 0;
      const part = buffer.subarray(0, size - offset);
      await read(part, offset);
      filled = part.length;
    }
    return buffer.subarray(offset - start, offset - start + length);
  };
}
