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
  let buffer = new Uint8Array(DIRECTORY_BYTES);
  let start = 0;
  let filled = 0;
  const get = async (offset: number, length: number, ahead: number): Promise<Uint8Array> => {
    if (offset + length > size) {
      throw new TiffDamage(`it ends before byte ${(offset + length).toLocaleString("en-US")}`);
    }
    if (offset < start || offset + length > start + filled) {
      const wanted = Math.min(Math.max(length, ahead), size - offset);
      if (buffer.length < wanted) buffer = new Uint8Array(wanted);
      filled = 0;
      try {
        await handle.seek(offset, Deno.SeekMode.Start);
        while (filled < wanted) {
          const got = await handle.read(buffer.subarray(filled, wanted));
          if (!got) break;
          filled += got;
        }
      } catch (error) {
        throw asUserError(error);
      }
      start = offset;
      if (filled < length) throw new TiffDamage("it has become shorter while it was read");
    }
    return buffer.subarray(offset - start, offset - start + length);
  };
  return {
    file,
    size,
    bytes: (offset, length) => get(offset, length, DIRECTORY_BYTES),
    data: (offset, length) => get(offset, length, PIECE_BYTES),
    [Symbol.dispose]: () => handle.close(),
  };
}
