/** Damaged and odd NIfTI files, made from sound ones. Headers are NIfTI-1, little endian, as SimpleITK writes them. */
import { gunzipSync, gzipSync } from "node:zlib";

const VOX_OFFSET = 352;
const DATATYPE = 70;
const BITPIX = 72;
const FLOAT32 = 16;
const DIM = 40;
const PIXDIM = 76;

/** Reads a .nii.gz, gives its decompressed bytes to `edit`, writes what that gives. */
export async function editNifti(from: string, to: string, edit: (bytes: Uint8Array) => Uint8Array): Promise<void> {
  const bytes = new Uint8Array(gunzipSync(await Deno.readFile(from)));
  await Deno.writeFile(to, gzipSync(edit(bytes)));
}

/** Reads a file, gives its bytes as stored to `edit`, writes what that gives. */
export async function editBytes(from: string, to: string, edit: (bytes: Uint8Array) => Uint8Array): Promise<void> {
  await Deno.writeFile(to, edit(await Deno.readFile(from)));
}

/** The int16 image as float32, the first voxels replaced by `values`. */
export function asFloatWith(values: readonly number[]): (bytes: Uint8Array) => Uint8Array {
  return (bytes) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (view.getInt16(DATATYPE, true) !== 4) throw new Error("the image is not int16");
    const voxels = new Int16Array(bytes.slice(VOX_OFFSET).buffer);
    const floats = Float32Array.from(voxels);
    floats.set(values);
    const out = new Uint8Array(VOX_OFFSET + floats.byteLength);
    out.set(bytes.subarray(0, VOX_OFFSET));
    out.set(new Uint8Array(floats.buffer), VOX_OFFSET);
    const header = new DataView(out.buffer);
    header.setInt16(DATATYPE, FLOAT32, true);
    header.setInt16(BITPIX, 32, true);
    return out;
  };
}

/** The image without its last plane along z. */
export function withoutLastPlane(bytes: Uint8Array): Uint8Array {
  const out = bytes.slice();
  const view = new DataView(out.buffer);
  const [x, y, z] = [1, 2, 3].map((axis) => view.getInt16(DIM + 2 * axis, true));
  view.setInt16(DIM + 6, z - 1, true);
  return out.subarray(0, VOX_OFFSET + x * y * (z - 1) * (view.getInt16(BITPIX, true) / 8));
}

/** The image with voxels half as large again along x. */
export function withWiderVoxels(bytes: Uint8Array): Uint8Array {
  const out = bytes.slice();
  const view = new DataView(out.buffer);
  view.setFloat32(PIXDIM + 4, view.getFloat32(PIXDIM + 4, true) * 1.5, true);
  return out;
}

/** The image repeated `times` along z, for work that takes a while. */
export function repeatedAlongZ(times: number): (bytes: Uint8Array) => Uint8Array {
  return (bytes) => {
    const voxels = bytes.subarray(VOX_OFFSET);
    const out = new Uint8Array(VOX_OFFSET + voxels.length * times);
    out.set(bytes.subarray(0, VOX_OFFSET));
    for (let i = 0; i < times; i++) out.set(voxels, VOX_OFFSET + i * voxels.length);
    const view = new DataView(out.buffer);
    view.setInt16(DIM + 6, view.getInt16(DIM + 6, true) * times, true);
    return out;
  };
}

/** The image with voxels `factor` times as large along all axes, as where another unit was taken for millimetres. */
export function withVoxelsTimes(factor: number): (bytes: Uint8Array) => Uint8Array {
  return (bytes) => {
    const out = bytes.slice();
    const view = new DataView(out.buffer);
    for (const axis of [1, 2, 3]) {
      view.setFloat32(PIXDIM + 4 * axis, view.getFloat32(PIXDIM + 4 * axis, true) * factor, true);
    }
    // Without a qform and sform SimpleITK goes by these sizes alone.
    for (const code of [252, 254]) view.setInt16(code, 0, true);
    return out;
  };
}
