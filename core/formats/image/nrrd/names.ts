/** Names that NRRD gives to types, encodings, kinds and spaces; none of them heeds capitals. Source: enumsNrrd.c of NrrdIO. */
import type { Encoding } from "../itk/stored_data.ts";

/** By each of its names, NIfTI's code of a type. */
export const TYPES: ReadonlyMap<string, number> = new Map(
  ([
    [256, ["signed char", "int8", "int8_t"]],
    [2, ["uchar", "unsigned char", "uint8", "uint8_t"]],
    [4, ["short", "short int", "signed short", "signed short int", "int16", "int16_t"]],
    [512, ["ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"]],
    [8, ["int", "signed int", "int32", "int32_t"]],
    [768, ["uint", "unsigned int", "uint32", "uint32_t"]],
    [
      1024,
      ["longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"],
    ],
    [1280, ["ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"]],
    [16, ["float"]],
    [64, ["double"]],
  ] as const).flatMap(([code, names]) => names.map((name) => [name, code])),
);

export const ENCODINGS: ReadonlyMap<string, Encoding> = new Map([
  ["raw", "raw"],
  ["txt", "ascii"],
  ["text", "ascii"],
  ["ascii", "ascii"],
  ["hex", "hex"],
  ["gz", "gzip"],
  ["gzip", "gzip"],
]);

/** Kinds of axes along which voxels lie; all others are of numbers within a voxel. */
export const DOMAIN_KINDS: ReadonlySet<string> = new Set(["domain", "space", "time"]);

/** Kinds of axes of numbers within a voxel, with how many there have to be (0: any number). */
export const RANGE_KINDS: ReadonlyMap<string, number> = new Map(
  ([
    [0, ["list", "point", "vector", "contravariant-vector", "covariant-vector", "normal"]],
    [1, ["stub", "scalar"]],
    [2, ["complex", "2-vector"]],
    [
      3,
      [
        ...["3-color", "rgb-color", "rgbcolor", "rgb", "hsv-color", "hsvcolor", "hsv", "xyz-color"],
        ...["3-vector", "3-gradient", "3-normal"],
        ...["2d-symmetric-matrix", "2d-sym-matrix", "2d-symmetric-tensor", "2d-sym-tensor"],
      ],
    ],
    [
      4,
      [
        ...["4-color", "rgba-color", "rgbacolor", "rgba", "4-vector", "quaternion", "2d-matrix", "2d-tensor"],
        ...["2d-masked-symmetric-matrix", "2d-masked-sym-matrix"],
        ...["2d-masked-symmetric-tensor", "2d-masked-sym-tensor"],
      ],
    ],
    [5, ["2d-masked-matrix", "2d-masked-tensor"]],
    [6, ["3d-symmetric-matrix", "3d-sym-matrix", "3d-symmetric-tensor", "3d-sym-tensor"]],
    [
      7,
      [
        ...["3d-masked-symmetric-matrix", "3d-masked-sym-matrix"],
        ...["3d-masked-symmetric-tensor", "3d-masked-sym-tensor"],
      ],
    ],
    [9, ["3d-matrix", "3d-tensor"]],
    [10, ["3d-masked-matrix", "3d-masked-tensor"]],
  ] as const).flatMap(([size, names]) => names.map((name) => [name, size])),
);

export interface Space {
  readonly dimensions: 3 | 4;
  /** Factors of its first axes to those of LPS, where ITK turns them: of spaces of time it does not. */
  readonly toLps: readonly [number, number, number];
}

export const SPACES: ReadonlyMap<string, Space> = new Map(
  ([
    [3, [-1, -1, 1], ["right-anterior-superior", "right anterior superior", "rightanteriorsuperior", "ras"]],
    [3, [1, -1, 1], ["left-anterior-superior", "left anterior superior", "leftanteriorsuperior", "las"]],
    [3, [1, 1, 1], ["left-posterior-superior", "left posterior superior", "leftposteriorsuperior", "lps"]],
    [3, [1, 1, 1], ["scanner-xyz", "3d-right-handed", "3d right handed", "3drighthanded"]],
    [3, [1, 1, 1], ["3d-left-handed", "3d left handed", "3dlefthanded"]],
    [4, [1, 1, 1], [
      ...["right-anterior-superior-time", "right anterior superior time", "rightanteriorsuperiortime", "rast"],
      ...["left-anterior-superior-time", "left anterior superior time", "leftanteriorsuperiortime", "last"],
      ...["left-posterior-superior-time", "left posterior superior time", "leftposteriorsuperiortime", "lpst"],
      ...["scanner-xyz-time", "scanner-xyzt", "3d-right-handed-time", "3d right handed time", "3drighthandedtime"],
      ...["3d-left-handed-time", "3d left handed time", "3dlefthandedtime"],
    ]],
  ] as const).flatMap(([dimensions, toLps, names]) => names.map((name) => [name, { dimensions, toLps }])),
);
