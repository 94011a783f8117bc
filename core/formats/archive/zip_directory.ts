/**
 * The end of a zip file that is being written: its central directory, with zip64 fields where 32 bits are not enough.
 * Format: PKWARE APPNOTE 6.3.10.
 */

/** An entry of a zip file that has been written. */
export interface WrittenEntry {
  readonly name: string;
  /** 0 stored, 8 deflated. */
  readonly method: 0 | 8;
  readonly checksum: number;
  readonly size: number;
  readonly packed: number;
  /** Of its local header. */
  readonly offset: number;
  /** First byte behind it. */
  readonly end: number;
  /** What the local header has as general purpose flags: 0x800 where the name is UTF-8 and not ASCII. Default: 0. */
  readonly flags?: number;
  /** Date and time as MS-DOS has them, the date in the upper half. Default: 1980-01-01. */
  readonly modified?: number;
  /** Unix's type and permissions of the file. Default: 0o600. */
  readonly mode?: number;
}

/** 1980-01-01 0:00: the same data give the same file. */
export const NO_TIME = 0x0021_0000;

/** The central directory, which starts at `start`, and the end records; 64-bit fields where 32 bits are not enough. */
export function zipDirectory(entries: readonly WrittenEntry[], start: number): Uint8Array<ArrayBuffer> {
  const central = entries.map(centralRecord);
  const bytes = central.reduce((sum, record) => sum + record.length, 0);
  const wide = start >= 0xffffffff || bytes >= 0xffffffff || entries.length >= 0xffff || entries.some(isWide);
  const result = new Uint8Array(bytes + (wide ? 76 : 0) + 22);
  const view = new DataView(result.buffer);
  let at = 0;
  for (const record of central) {
    result.set(record, at);
    at += record.length;
  }
  if (wide) {
    view.setUint32(at, 0x06064b50, true);
    view.setBigUint64(at + 4, 44n, true);
    view.setUint16(at + 12, 45, true);
    view.setUint16(at + 14, 45, true);
    view.setBigUint64(at + 24, BigInt(entries.length), true);
    view.setBigUint64(at + 32, BigInt(entries.length), true);
    view.setBigUint64(at + 40, BigInt(bytes), true);
    view.setBigUint64(at + 48, BigInt(start), true);
    view.setUint32(at + 56, 0x07064b50, true);
    view.setBigUint64(at + 64, BigInt(start + bytes), true);
    view.setUint32(at + 72, 1, true);
    at += 76;
  }
  view.setUint32(at, 0x06054b50, true);
  view.setUint16(at + 8, Math.min(entries.length, 0xffff), true);
  view.setUint16(at + 10, Math.min(entries.length, 0xffff), true);
  view.setUint32(at + 12, Math.min(bytes, 0xffffffff), true);
  view.setUint32(at + 16, wide ? 0xffffffff : start, true);
  return result;
}

function isWide({ size, packed, offset }: WrittenEntry): boolean {
  return [size, packed, offset].some((n) => n >= 0xffffffff);
}

function centralRecord(entry: WrittenEntry): Uint8Array<ArrayBuffer> {
  const { name, method, checksum, size, packed, offset, flags = 0, modified = NO_TIME, mode = 0o600 } = entry;
  const nameBytes = new TextEncoder().encode(name);
  const wide = isWide(entry);
  const bytes = new Uint8Array(46 + nameBytes.length + (wide ? 28 : 0));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x02014b50, true);
  view.setUint16(4, 0x0300 | 45, true); // made on Unix
  view.setUint16(6, 45, true);
  view.setUint16(8, flags, true);
  view.setUint16(10, method, true);
  view.setUint32(12, modified, true);
  view.setUint32(16, checksum, true);
  view.setUint32(20, wide ? 0xffffffff : packed, true);
  view.setUint32(24, wide ? 0xffffffff : size, true);
  view.setUint16(28, nameBytes.length, true);
  view.setUint16(30, wide ? 28 : 0, true);
  view.setUint32(38, mode << 16 >>> 0, true);
  view.setUint32(42, wide ? 0xffffffff : offset, true);
  bytes.set(nameBytes, 46);
  if (wide) {
    const at = 46 + nameBytes.length;
    view.setUint16(at, 1, true);
    view.setUint16(at + 2, 24, true);
    view.setBigUint64(at + 4, BigInt(size), true);
    view.setBigUint64(at + 12, BigInt(packed), true);
    view.setBigUint64(at + 20, BigInt(offset), true);
  }
  return bytes;
}
