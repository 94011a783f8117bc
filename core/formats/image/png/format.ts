/**
 * PNG as nnU-Net's NaturalImage2DIO gives it (skimage 0.26 on pillow): grey is 1 channel with the values as stored, RGB and RGBA are 3
 * and 4 channels of 8 bits, a palette's colours are looked up. Source: nnunetv2/imageio/natural_image_reader_writer.py.
 */
import zlib from "node:zlib";
import { UserError } from "../../../base/errors.ts";
import { writeAtomically } from "../../../base/files.ts";
import { type ByteSource, DEFLATE_RATIO, openBytes, PIECE_BYTES } from "../../archive/gzip.ts";
import { unpackedPieces } from "../../archive/unpacked_pieces.ts";
import { type ImageFormat, type LabelsToWrite, type OpenedImage, READING, WRITING } from "../image_format.ts";
import { pictureGeometry, pictureSize } from "../picture.ts";
import { hasPngSignature, pictureData, PngDamage, type PngHeader, readPngHeader } from "./chunks.ts";
import { encodeGrey16Png, encodeGreyPng } from "./encode.ts";
import { readRows, unpackedBytes } from "./rows.ts";

export const PNG: ImageFormat = {
  name: "PNG",
  endings: [".png"],
  channelsPerFile: "colours",
  labelsAdvice: "a grey picture whose values are the labels (not as RGB or with a palette)",
  filesOf: (file) => [file],
  open: openPicture,
  write: async (file, segmentation) => {
    await writeAtomically(file, encodeLabels(segmentation), { doing: WRITING, signal: segmentation.signal });
  },
};

/** Bytes behind the last pixel that are passed over, as pillow does; a file with more is refused before they are unpacked. */
const MOST_SURPLUS = 1 << 16;

async function openPicture(file: string): Promise<OpenedImage> {
  const source = await openBytes(file, false);
  try {
    const header = await headerOf(source, file);
    const { width, height, depth, colours, samples } = header;
    if (unpackedBytes(header) > DEFLATE_RATIO * source.storedBytes) {
      throw new PngDamage(`${source.storedBytes} bytes can't hold ${width} x ${height} pixels`, "cut short");
    }
    if (colours === "grey and alpha" && depth === 8) {
      throw new UserError({
        doing: READING,
        file,
        problem: "it is a grey picture with an alpha channel, which nnU-Net does not take",
        remedy: "save it without the alpha channel",
      });
    }
    const channels = colours === "palette" ? 3 : colours === "grey and alpha" ? 4 : samples;
    return {
      file,
      channels,
      geometry: pictureGeometry(height, width),
      storedType: depth === 16 ? "uint16" : "uint8",
      bufferBytes: 3 * PIECE_BYTES + 2 * samples * width * Math.ceil(depth / 8),
      warnings: [],
      read: async (data, offset) => {
        try {
          await readPicture(source, header, { data, offset, channels });
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

async function headerOf(source: ByteSource, file: string): Promise<PngHeader> {
  const start = new Uint8Array(8);
  const got = await source.read(start);
  if (!hasPngSignature(start)) {
    const problem = got === 0 ? "the file is empty" : "it is not a PNG file: the signature is not there";
    const remedy = "convert the image to PNG, or copy the file again";
    throw new UserError({ doing: READING, file, problem, remedy });
  }
  return await readPngHeader(source);
}

/** Streams the pixels into the planes of `target`, and checks the file to its last chunk. */
async function readPicture(
  source: ByteSource,
  header: PngHeader,
  target: Parameters<typeof readRows>[1],
): Promise<void> {
  let palette: Uint8Array | undefined;
  const rows = readRows(header, target, () => {
    if (!palette) throw new PngDamage("it has no palette");
    return palette;
  });
  let surplus = 0;
  const packed = pictureData(source, (colours) => palette = colours);
  for await (const piece of unpackedPieces(zlib.createInflate({ chunkSize: PIECE_BYTES }), packed)) {
    surplus += rows.take(piece);
    if (surplus > MOST_SURPLUS) {
      throw new PngDamage(`its data go on behind the last of its ${header.width} x ${header.height} pixels`);
    }
  }
  if (!rows.isDone()) throw new PngDamage("it ends before its pixels do", "cut short");
}

/** Damage in the user's terms. */
function pictureError(error: unknown, file: string): unknown {
  const damage = error instanceof Error && "code" in error && String(error.code).startsWith("Z_")
    ? new PngDamage(`its packed data: ${error.message}`, error.code === "Z_BUF_ERROR" ? "cut short" : "damaged")
    : error;
  if (!(damage instanceof PngDamage)) return error;
  const remedy = "copy or export the picture again";
  return new UserError({ doing: READING, file, problem: damage.problem("PNG"), remedy }, { cause: error });
}

function encodeLabels({ labels, bytesPerLabel }: LabelsToWrite): Uint8Array {
  const { data } = labels;
  const [height, width] = pictureSize(labels);
  return bytesPerLabel === 1
    ? encodeGreyPng(width, height, data instanceof Uint8Array ? data : Uint8Array.from(data))
    : encodeGrey16Png(width, height, data instanceof Uint16Array ? data : Uint16Array.from(data));
}
