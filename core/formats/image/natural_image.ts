/**
 * Two-dimensional pictures as nnU-Net's NaturalImage2DIO gives them (skimage 0.26 on pillow): grey is 1 channel with the values as
 * stored, RGB and RGBA are 3 and 4 channels of 8 bits. Source: nnunetv2/imageio/natural_image_reader_writer.py.
 */
import { UserError } from "../../base/errors.ts";
import { openBytes } from "../archive/gzip.ts";
import { READING } from "./nifti_file.ts";
import { decodePng } from "./png.ts";
import type { PngImage } from "./png_samples.ts";

/** A decoded picture and the channels that it becomes. */
export interface Picture {
  readonly file: string;
  readonly image: PngImage;
  readonly channels: number;
}

/** Reads and decodes `file`. */
export async function openPicture(file: string): Promise<Picture> {
  if (!file.toLowerCase().endsWith(".png")) {
    const problem = "of NaturalImage2DIO's formats only PNG is read here";
    throw new UserError({ doing: READING, file, problem, remedy: "convert the pictures to PNG" });
  }
  await using source = await openBytes(file, false);
  const bytes = new Uint8Array(source.storedBytes);
  const got = await source.read(bytes);
  const image = decodePng(bytes.subarray(0, got), file);
  if (image.channels === 2 && image.depth === 8) {
    throw new UserError({
      doing: READING,
      file,
      problem: "it is a grey picture with an alpha channel, which nnU-Net does not take",
      remedy: "save it without the alpha channel",
    });
  }
  return { file, image, channels: image.palette ? 3 : image.channels === 2 ? 4 : image.channels };
}

/** Writes the picture's channels, one plane after the other, into `target` from `offset` on. */
export function putPicture({ image, channels }: Picture, target: Float32Array, offset: number): void {
  const { samples, palette, depth } = image;
  const pixels = image.width * image.height;
  if (palette) {
    for (let c = 0; c < 3; c++) {
      const table = Uint8Array.from({ length: 256 }, (_, i) => palette[i]?.[c] ?? 0);
      for (let i = 0; i < pixels; i++) target[offset + c * pixels + i] = table[samples[i]];
    }
    return;
  }
  if (channels === 1) {
    // pillow spreads 2 and 4 bits over 0..255, and leaves 1 bit and 16 bits as they are.
    const factor = depth === 2 ? 85 : depth === 4 ? 17 : 1;
    for (let i = 0; i < pixels; i++) target[offset + i] = samples[i] * factor;
    return;
  }
  // Colours have 8 bits in pillow: of 16 only the high byte is kept. Grey with alpha becomes RGBA.
  const shift = depth === 16 ? 8 : 0;
  const stored = image.channels;
  for (let c = 0; c < channels; c++) {
    const from = stored === 2 ? (c === 3 ? 1 : 0) : c;
    for (let i = 0; i < pixels; i++) target[offset + c * pixels + i] = samples[i * stored + from] >> shift;
  }
}
