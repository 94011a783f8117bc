/**
 * Segmentations as TIFF: volumes a page a slice, packed by deflate, as tifffile.imwrite(compression="zlib") has them; pictures as one
 * page without packing, as skimage has them. Strips are written as they come, and the pages' directories behind them.
 */
import zlib from "node:zlib";
import { Interrupted } from "../../../base/errors.ts";
import { writeAll, writeAtomically } from "../../../base/files.ts";
import type { LabelVolume } from "../image.ts";
import { type LabelsToWrite, WRITING } from "../image_format.ts";
import { pictureSize } from "../picture.ts";
import { writeSpacing } from "./spacing_file.ts";
import { directoryBytes, headerBytes } from "./written_directory.ts";

/** Deflate level: tifffile's own. */
const LEVEL = 6;
/** Unpacked bytes of a strip, about: tifffile's own. */
const STRIP_BYTES = 1 << 18;
/** Unpacked bytes from which on the file is BigTIFF: the classic one ends at 4 GiB, and what is packed may be a little larger. */
const MOST_CLASSIC = 3.9e9;

const NO_PACKING = 1;
const ADOBE_DEFLATE = 8;

/** Writes a volume and the file of its voxel sizes, that one first. */
export async function writeVolume(file: string, segmentation: LabelsToWrite): Promise<void> {
  const { labels: { shape }, geometry, signal } = segmentation;
  await writeSpacing(file, geometry.spacing, signal);
  await writePages(file, segmentation, ADOBE_DEFLATE, `{"shape": [${shape.join(", ")}]}`);
}

/** Writes a picture, which has one slice. */
export async function writePicture(file: string, segmentation: LabelsToWrite): Promise<void> {
  const [height, width] = pictureSize(segmentation.labels);
  await writePages(file, segmentation, NO_PACKING, `{"shape": [${height}, ${width}]}`);
}

async function writePages(
  file: string,
  { labels: { data, shape }, bytesPerLabel, signal }: LabelsToWrite,
  compression: number,
  description: string,
): Promise<void> {
  const [slices, height, width] = shape;
  const rowBytes = width * bytesPerLabel;
  const big = slices * height * rowBytes > MOST_CLASSIC;
  const rows = Math.max(1, Math.min(height, Math.floor(STRIP_BYTES / rowBytes)));
  await writeAtomically(file, async (out) => {
    const header = headerBytes(big, 0);
    await writeAll(out, header);
    let position = header.length;
    const pages: { readonly offsets: number[]; readonly sizes: number[] }[] = [];
    for (let slice = 0; slice < slices; slice++) {
      const page = { offsets: [] as number[], sizes: [] as number[] };
      for (let y = 0; y < height; y += rows) {
        if (signal?.aborted) throw new Interrupted(WRITING);
        const first = (slice * height + y) * width;
        const plain = bytesOf(data, first, first + Math.min(rows, height - y) * width, bytesPerLabel);
        const strip = compression === NO_PACKING ? plain : zlib.deflateSync(plain, { level: LEVEL });
        await writeAll(out, strip);
        page.offsets.push(position);
        page.sizes.push(strip.length);
        position += strip.length;
      }
      pages.push(page);
    }
    // Directories begin at even places.
    if (position % 2 === 1) await writeAll(out, new Uint8Array(1));
    const firstAt = position + position % 2;
    let at = firstAt;
    for (const [i, strips] of pages.entries()) {
      const text = i === 0 ? description : null;
      const page = { width, height, bits: 8 * bytesPerLabel, compression, rows, description: text, ...strips };
      const bytes = directoryBytes(big, at, page, i === pages.length - 1);
      await writeAll(out, bytes);
      at += bytes.length;
    }
    await out.seek(0, Deno.SeekMode.Start);
    await writeAll(out, headerBytes(big, firstAt));
  }, { doing: WRITING, signal });
}

function bytesOf(data: LabelVolume["data"], from: number, to: number, bytesPerLabel: 1 | 2): Uint8Array {
  const part = data.subarray(from, to);
  if (bytesPerLabel === 1) return part instanceof Uint8Array ? part : Uint8Array.from(part);
  const bytes = new Uint8Array(2 * part.length);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < part.length; i++) view.setUint16(2 * i, part[i], true);
  return bytes;
}
