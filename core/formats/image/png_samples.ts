/** A picture as plain samples, and their way out of packed bytes. */

/** A decoded picture: samples of `depth` bits as stored, interleaved by channel, one array element each. */
export interface PngImage {
  readonly width: number;
  readonly height: number;
  /** 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA; 1 also with a palette, whose indices the samples then are. */
  readonly channels: number;
  readonly depth: 1 | 2 | 4 | 8 | 16;
  readonly samples: Uint8Array | Uint16Array;
  /** Colours (red, green, blue[, alpha]), 0..255. */
  readonly palette?: readonly (readonly number[])[];
}

/** Samples of 1, 2 or 4 bits, highest bits first, rows padded to whole bytes. */
export function unpackBits(packed: Uint8Array, width: number, height: number, depth: number): Uint8Array {
  const rowBytes = Math.ceil(width * depth / 8);
  const samples = new Uint8Array(width * height);
  const mask = (1 << depth) - 1;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const bit = x * depth;
      samples[y * width + x] = (packed[y * rowBytes + (bit >> 3)] >> (8 - depth - (bit & 7))) & mask;
    }
  }
  return samples;
}
