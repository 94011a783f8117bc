/**
 * BMP as nnU-Net's NaturalImage2DIO gives it (skimage 0.26 on pillow 13): a colour table that counts up is grey with 1 channel, any
 * other RGB; of 1 bit the values are 0 and 1. Source: nnunetv2/imageio/natural_image_reader_writer.py.
 */
import { Interrupted, UserError } from "../../../base/errors.ts";
import { writeAll, writeAtomically } from "../../../base/files.ts";
import { type ByteSource, openBytes, PIECE_BYTES } from "../../archive/gzip.ts";
import { type ImageFormat, type LabelsToWrite, type OpenedImage, READING, WRITING } from "../image_format.ts";
import { pictureGeometry, pictureSize } from "../picture.ts";
import { BmpDamage, type BmpHeader, BmpRefusal, readBmpHeader } from "./header.ts";
import { channelsOf, leastBytes, readRows, storedRowBytes } from "./rows.ts";

export const BMP: ImageFormat = {
  name: "BMP",
  endings: [".bmp"],
  channelsPerFile: "colours",
  labelsAdvice: "a grey picture whose values are the labels (not as RGB or with a palette)",
  filesOf: (file) => [file],
  open: openPicture,
  write: writePicture,
};

/** Pixels that a byte of runs may stand for; more are none of a picture's. */
const MOST_RUN_RATIO = 1 << 14;

async function openPicture(file: string): Promise<OpenedImage> {
  const source = await openBytes(file, false);
  try {
    const header = await readBmpHeader(source);
    requirePixels(source, header);
    const { width, height } = header;
    return {
      file,
      channels: channelsOf(header),
      geometry: pictureGeometry(height, width),
      storedType: "uint8",
      bufferBytes: 2 * PIECE_BYTES + storedRowBytes(header),
      warnings: [],
      read: async (data, offset) => {
        try {
          await readRows(source, header, { data, offset });
        } catch (error) {
          throw pictureError(error, file);
        }
        return [];
      },
      [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
    };
  } catch (error) {
    await source[Symbol.asyncDispose]();
    throw pictureError(error, file);
  }
}

/** Refuses sizes that the file can't hold. */
function requirePixels({ storedBytes }: ByteSource, header: BmpHeader): void {
  const { width, height, packing, start } = header;
  const there = Math.max(0, storedBytes - start);
  const fits = packing === "none" ? leastBytes(header) <= there : width * height <= there * MOST_RUN_RATIO;
  if (!fits) {
    throw new BmpDamage(
      `${storedBytes.toLocaleString("en-US")} bytes can't hold ${width} x ${height} pixels`,
      "cut short",
    );
  }
}

/** Damage in the user's terms. */
function pictureError(error: unknown, file: string): unknown {
  const user = (problem: string, remedy: string) =>
    new UserError({ doing: READING, file, problem, remedy }, { cause: error });
  if (error instanceof BmpRefusal) return user(error.message, "convert the picture to PNG");
  if (!(error instanceof BmpDamage)) return error;
  return user(error.problem("BMP"), "copy or export the picture again");
}

/** What pillow writes as pixels per metre: 96 per inch. */
const PIXELS_PER_METRE = 3780;

/** Writes 8 bits a pixel with a colour table that counts up, as pillow does. */
async function writePicture(
  file: string,
  { labels, bytesPerLabel, signal }: LabelsToWrite,
): Promise<void> {
  const { data } = labels;
  const [height, width] = pictureSize(labels);
  const rowBytes = 4 * Math.ceil(width / 4);
  const header = headerBytes(width, height, rowBytes);
  if (bytesPerLabel > 1 || header.length + rowBytes * height > 2 ** 32 - 1) {
    const problem = bytesPerLabel > 1
      ? "it has labels above 255, which a grey BMP can't hold"
      : `${width} x ${height} pixels are more than a BMP file can hold`;
    throw new UserError({ doing: WRITING, file, problem, remedy: "use .png or .tif as file ending" });
  }
  await writeAtomically(file, async (out) => {
    await writeAll(out, header);
    const perPiece = Math.max(1, Math.floor(PIECE_BYTES / rowBytes));
    const piece = new Uint8Array(perPiece * rowBytes);
    for (let row = 0; row < height; row += perPiece) {
      if (signal?.aborted) throw new Interrupted(WRITING);
      const count = Math.min(perPiece, height - row);
      for (let i = 0; i < count; i++) {
        const first = (height - 1 - row - i) * width;
        piece.set(data.subarray(first, first + width), i * rowBytes);
      }
      await writeAll(out, piece.subarray(0, count * rowBytes));
    }
  }, { doing: WRITING, signal });
}

function headerBytes(width: number, height: number, rowBytes: number): Uint8Array {
  const bytes = new Uint8Array(14 + 40 + 4 * 256);
  const view = new DataView(bytes.buffer);
  const put = (at: number, ...values: readonly number[]) =>
    values.forEach((value, i) => view.setUint32(at + 4 * i, value, true));
  bytes.set([0x42, 0x4d]);
  put(2, bytes.length + rowBytes * height, 0, bytes.length);
  put(14, 40, width, height);
  view.setUint16(26, 1, true);
  view.setUint16(28, 8, true);
  put(30, 0, rowBytes * height, PIXELS_PER_METRE, PIXELS_PER_METRE, 256, 256);
  for (let i = 0; i < 256; i++) bytes.fill(i, 54 + 4 * i, 54 + 4 * i + 3);
  return bytes;
}
