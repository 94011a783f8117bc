/** The headers of JPEG, JPEG-LS and JPEG 2000 streams: how large an image a decoder would make of one, before it makes it. */

export interface StreamHeader {
  readonly columns: number;
  readonly rows: number;
  readonly components: number;
  readonly bits: number;
  /** The marker that begins a JPEG frame: 0xc0 baseline, 0xc1 extended, 0xc2 progressive, 0xc3 lossless, 0xf7 JPEG-LS; 0x51 JPEG 2000. */
  readonly process: number;
}

/** Undefined for what is no such stream, or ends before its header does. */
export function readStreamHeader(bytes: Uint8Array): StreamHeader | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 4) return undefined;
  if (view.getUint16(0) === 0xff4f) return readSize(view, 2);
  if (view.getUint16(0) === 0xffd8) return readJpeg(view);
  // A JP2 file, as some write in place of the stream alone: the stream begins behind "jp2c".
  const start = view.getUint32(0) === 12 ? findStream(bytes) : -1;
  return start < 0 ? undefined : readSize(view, start + 2);
}

function findStream(bytes: Uint8Array): number {
  for (let at = 4; at + 8 < Math.min(bytes.length, 65536); at++) {
    if (String.fromCharCode(...bytes.subarray(at, at + 4)) === "jp2c") return at + 4;
  }
  return -1;
}

/** The SIZ marker of JPEG 2000, which comes first. */
function readSize(view: DataView, at: number): StreamHeader | undefined {
  if (at + 41 > view.byteLength || view.getUint16(at) !== 0xff51) return undefined;
  return {
    columns: view.getUint32(at + 6) - view.getUint32(at + 14),
    rows: view.getUint32(at + 10) - view.getUint32(at + 18),
    components: view.getUint16(at + 38),
    bits: (view.getUint8(at + 40) & 0x7f) + 1,
    process: 0x51,
  };
}

function readJpeg(view: DataView): StreamHeader | undefined {
  for (let at = 2; at + 10 <= view.byteLength;) {
    if (view.getUint8(at) !== 0xff) return undefined;
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) {
      at++; // a byte that fills
      continue;
    }
    const isFrame = marker === 0xf7 || (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker));
    if (isFrame) {
      return {
        columns: view.getUint16(at + 7),
        rows: view.getUint16(at + 5),
        components: view.getUint8(at + 9),
        bits: view.getUint8(at + 4),
        process: marker,
      };
    }
    at += 2 + view.getUint16(at + 2);
  }
  return undefined;
}
