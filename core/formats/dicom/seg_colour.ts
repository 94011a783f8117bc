/** Colours as DICOM recommends them for display. */
import type { Rgb } from "./seg_codes_file.ts";

/** CIE's white point D50, of DICOM's profile connection space. */
const WHITE = [0.96422, 1, 0.82521] as const;
/** Linear sRGB to XYZ, adapted from D65 to D50 (Bradford). Source: http://www.brucelindbloom.com, "RGB/XYZ Matrices". */
const TO_XYZ = [
  [0.4360747, 0.3850649, 0.1430804],
  [0.2225045, 0.7168786, 0.0606169],
  [0.0139322, 0.0971045, 0.7141733],
] as const;

/** CIELab of an sRGB colour, scaled to 16 bits: L of 0 to 100, a and b of -128 to 127. Source: PS3.3 C.10.7.1.1. */
export function cielab(colour: Rgb): [number, number, number] {
  const linear = colour.map((level) => {
    const share = level / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  const [x, y, z] = TO_XYZ.map((row, i) => {
    const share = row.reduce((sum, factor, j) => sum + factor * linear[j], 0) / WHITE[i];
    return share > (6 / 29) ** 3 ? Math.cbrt(share) : share * (29 / 6) ** 2 / 3 + 4 / 29;
  });
  const scaled = (value: number, lowest: number, range: number) =>
    Math.round(Math.min(1, Math.max(0, (value - lowest) / range)) * 65535);
  return [scaled(116 * y - 16, 0, 100), scaled(500 * (x - y), -128, 255), scaled(200 * (y - z), -128, 255)];
}
