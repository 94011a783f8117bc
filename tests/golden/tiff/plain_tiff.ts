/** Makes a TIFF of float32 volumes without this program's writer: one directory, whose description says the shape, as tifffile may. */
import type { Vec3 } from "../../../core/base/shape.ts";

export function plainTiff(voxels: Float32Array, shape: Vec3): Uint8Array {
  const [, length, width] = shape;
  const description = new TextEncoder().encode(`{"shape": [${shape.join(", ")}]}\0`);
  const fields = [
    [256, 4, 1, width],
    [257, 4, 1, length],
    [258, 3, 1, 32],
    [259, 3, 1, 1],
    [262, 3, 1, 1],
    [270, 2, description.length, 8],
    [273, 4, 1, 8 + description.length],
    [277, 3, 1, 1],
    [278, 4, 1, length],
    [279, 4, 1, 4 * width * length],
    [339, 3, 1, 3],
  ];
  const data = 8 + description.length;
  const directory = data + voxels.byteLength;
  const bytes = new Uint8Array(directory + 2 + 12 * fields.length + 4);
  const view = new DataView(bytes.buffer);
  bytes.set([0x49, 0x49, 42]);
  view.setUint32(4, directory, true);
  bytes.set(description, 8);
  voxels.forEach((value, i) => view.setFloat32(data + 4 * i, value, true));
  view.setUint16(directory, fields.length, true);
  fields.forEach(([code, type, count, value], i) => {
    const at = directory + 2 + 12 * i;
    view.setUint16(at, code, true);
    view.setUint16(at + 2, type, true);
    view.setUint32(at + 4, count, true);
    view.setUint32(at + 8, value, true);
  });
  return bytes;
}
