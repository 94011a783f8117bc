"""Makes small BMP files of every kind, and what nnU-Net's NaturalImage2DIO makes of them: bmps.json.

Run with nnU-Net 2.5.1, scikit-image 0.26.0, imageio 2.38.1, pillow 13.0.0, numpy 2.4.6:

    python make_bmps.py

The file is deflated in base64, the voxels are float32 (little-endian), deflated, in base64; null: the reader fails.
"""
import base64
import io
import json
import os
import struct
import tempfile
import warnings
import zlib

import numpy as np
from PIL import Image
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO

warnings.simplefilter("ignore")
HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(18)
files = {}


def put(name, data):
    assert name not in files, name
    files[name] = bytes(data)


def rows_of(values, bits):
    """Rows, each filled up to a multiple of four bytes."""
    lines = []
    for row in values:
        text = "".join(f"{int(value):0{bits}b}" for value in row) if bits < 8 else ""
        line = bytes(int((text + "0" * (-len(text) % 8))[i:i + 8], 2) for i in range(0, len(text), 8)) if bits < 8 else row.tobytes()
        lines.append(line + b"\0" * (-len(line) % 4))
    return lines


def bmp(width, height, bits, pixels, table=b"", compression=0, header=40, colours=0, masks=(), top_down=False, gap=0, offset=None):
    body = struct.pack("<IiiHHIIiiII", header, width, -height if top_down else height, 1, bits, compression, len(pixels), 2835, 2835, colours, 0)
    behind = b""
    if header == 12:
        body = struct.pack("<IHHHH", 12, width, height, 1, bits)
    elif header == 40:
        behind = struct.pack("<%dI" % len(masks), *masks)
    else:
        body = (body + struct.pack("<%dI" % len(masks), *masks)).ljust(header, b"\0")
    start = 14 + len(body) + len(behind) + len(table) + gap
    place = start if offset is None else offset
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, place) + body + behind + table + b"\xaa" * gap + pixels


def table_of(colours, entry=4):
    return b"".join(bytes(colour) + b"\0" * (entry - 3) for colour in colours)


def ramp(count):
    return [(i, i, i) for i in range(count)]


def some_colours(count):
    return [tuple(int(v) for v in rng.integers(0, 256, 3)) for _ in range(count)]


def by_pillow(name, image):
    out = io.BytesIO()
    image.save(out, "BMP")
    put(name, out.getvalue())


for width in (1, 2, 3, 4, 5, 13):
    by_pillow(f"pillow_l_{width}", Image.fromarray(rng.integers(0, 256, (5, width), dtype=np.uint8)))
    by_pillow(f"pillow_1_{width}", Image.fromarray(rng.integers(0, 2, (5, width), dtype=np.uint8) * 255).convert("1"))
    by_pillow(f"pillow_rgb_{width}", Image.fromarray(rng.integers(0, 256, (5, width, 3), dtype=np.uint8)))
    by_pillow(f"pillow_rgba_{width}", Image.fromarray(rng.integers(0, 256, (5, width, 4), dtype=np.uint8)))
    palette = Image.fromarray(rng.integers(0, 7, (5, width), dtype=np.uint8), "P")
    palette.putpalette([v for colour in some_colours(7) for v in colour])
    by_pillow(f"pillow_p_{width}", palette)

# --- indices: bits, tables, headers, directions
for bits in (1, 4, 8):
    count = 2**bits
    values = rng.integers(0, count, (5, 7), dtype=np.uint8)
    lines = rows_of(values, bits)
    up = b"".join(lines[::-1])
    for kind, colours in (("ramp", ramp(count)), ("colours", some_colours(count)), ("grey", [(0,) * 3, (255,) * 3] if bits == 1 else ramp(count)[::-1])):
        for header in (40, 52, 56, 64, 108, 124):
            if header != 40 and kind == "ramp":
                continue
            put(f"index_{bits}_{kind}_{header}", bmp(7, 5, bits, up, table_of(colours), header=header))
        put(f"index_{bits}_{kind}_12", bmp(7, 5, bits, up, table_of(colours, 3), header=12))
        put(f"index_{bits}_{kind}_top_down", bmp(7, 5, bits, b"".join(lines), table_of(colours), top_down=True))
    colours = some_colours(count)
    put(f"index_{bits}_gap", bmp(7, 5, bits, up, table_of(colours), gap=6))
    put(f"index_{bits}_counted", bmp(7, 5, bits, up, table_of(colours), colours=count))
    put(f"index_{bits}_offset_of_table", bmp(7, 5, bits, up, table_of(colours), offset=54))
    put(f"index_{bits}_no_offset", bmp(7, 5, bits, up, table_of(colours), offset=0))
    put(f"index_{bits}_cut", bmp(7, 5, bits, up[:-3], table_of(colours)))
    put(f"index_{bits}_more", bmp(7, 5, bits, up + b"more", table_of(colours)))
values = rng.integers(0, 5, (5, 7), dtype=np.uint8)
up = b"".join(rows_of(values, 8)[::-1])
put("few_colours", bmp(7, 5, 8, up, table_of(some_colours(5)), colours=5))
put("few_grey", bmp(7, 5, 8, up, table_of(ramp(5)), colours=5))
put("black_and_white_of_8_bits", bmp(7, 5, 8, b"".join(rows_of(values % 2, 8)), table_of([(0, 0, 0), (255, 255, 255)]), colours=2))
put("beyond_the_table", bmp(7, 5, 8, up, table_of(some_colours(3)), colours=3))
put("one_colour", bmp(7, 5, 8, b"".join(rows_of(values * 0, 8)), table_of([(0, 0, 0)]), colours=1))
put("short_table", bmp(7, 5, 8, up + b"\1" * 700, table_of(some_colours(6), 3), header=12))
put("short_table_40", bmp(7, 5, 8, up + b"\1" * 1000, table_of(some_colours(6))))
put("short_grey_table", bmp(7, 5, 8, up + b"\1" * 1000, table_of(ramp(6))))
put("too_many_colours", bmp(7, 5, 8, up, table_of(ramp(256)), colours=70000))
put("white_and_black", bmp(7, 5, 1, b"".join(rows_of(values % 2, 1)), table_of([(255, 255, 255), (0, 0, 0)])))

# --- colours in the pixels
for bits, dtype in ((16, "<u2"), (24, None), (32, "<u4")):
    if bits == 24:
        pixels = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8).reshape(5, 21)
    else:
        pixels = rng.integers(0, 2**bits, (5, 7), dtype=np.uint64).astype(dtype)
    lines = rows_of(pixels, bits)
    up = b"".join(lines[::-1])
    for header in (40, 52, 56, 64, 108, 124):
        put(f"direct_{bits}_{header}", bmp(7, 5, bits, up, header=header))
    put(f"direct_{bits}_12", bmp(7, 5, bits, up, header=12))
    put(f"direct_{bits}_top_down", bmp(7, 5, bits, b"".join(lines), top_down=True))
    put(f"direct_{bits}_cut", bmp(7, 5, bits, up[:-3]))
    every = {16: [(0x7C00, 0x3E0, 0x1F, 0), (0xF800, 0x7E0, 0x1F, 0), (0xF00, 0xF0, 0xF, 0xF000)], 24: [(0xFF0000, 0xFF00, 0xFF, 0), (0xFF, 0xFF00, 0xFF0000, 0)],
             32: [(0xFF0000, 0xFF00, 0xFF, 0), (0xFF000000, 0xFF0000, 0xFF00, 0), (0xFF000000, 0xFF00, 0xFF, 0), (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
                  (0xFF, 0xFF00, 0xFF0000, 0xFF000000), (0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0xFF000000, 0xFF00, 0xFF, 0xFF0000), (0, 0, 0, 0),
                  (0xFF00, 0xFF, 0xFF0000, 0)]}[bits]
    for i, masks in enumerate(every):
        for header in (40, 52, 56, 108, 124):
            put(f"masks_{bits}_{i}_{header}", bmp(7, 5, bits, up, compression=3, header=header, masks=masks[:3] if header in (40, 52) else masks))
put("masks_of_8_bits", bmp(7, 5, 8, up, table_of(ramp(256)), compression=3, header=108, masks=(1, 2, 4, 0)))
put("all_of_5_bits", bmp(32, 1, 16, np.arange(32, dtype="<u2").tobytes()))
put("all_of_6_bits", bmp(64, 1, 16, (np.arange(64, dtype="<u2") << 5).tobytes(), compression=3, masks=(0xF800, 0x7E0, 0x1F)))

# --- runs
grey, colour = table_of(ramp(256)), table_of(some_colours(256))
eight = {
    "plain": b"\7\1\0\0" b"\7\2\0\0" b"\3\3\4\4\0\0" b"\7\5\0\0" b"\7\6\0\1",
    "absolute": b"\0\7\1\2\3\4\5\6\7\0\0\0" * 5 + b"\0\1",
    "absolute_even": (b"\0\6\1\2\3\4\5\6\1\7\0\0") * 5 + b"\0\1",
    "rows_filled_up": b"\3\1\0\0" b"\0\0" b"\2\3\0\0" b"\7\5\0\0" b"\1\6\0\0\0\1",
    "run_too_long": b"\11\1\0\0" b"\377\2\0\0" b"\7\3\0\0" b"\7\5\0\0" b"\7\6\0\1",
    "runs_too_long": b"\5\1\5\2\5\3\0\0" b"\7\2\0\0" b"\7\3\0\0" b"\7\5\0\0" b"\7\6\0\1",
    "no_line_ends": b"\7\1\7\2\7\3\7\4\7\5\0\1",
    "delta": b"\2\1\0\2\2\0\3\4\0\0" b"\0\2\1\1" b"\2\5\0\0" b"\7\6\0\0" b"\7\7\0\1",
    "delta_to_the_end": b"\7\1\0\0\0\2\0\4\0\1",
    "delta_beyond": b"\7\1\0\0\0\2\377\377\0\1",
    "ends_early": b"\7\1\0\0" b"\7\2\0\1",
    "cut": b"\7\1\0\0" b"\7\2\0\0" b"\7",
    "cut_in_absolute": b"\7\1\0\0" b"\0\7\1\2",
    "over_rows": b"\0\12\1\2\3\4\5\6\7\1\2\3" b"\4\4\0\0" b"\7\1\0\0\7\1\0\0\7\1\0\1",
    "more": b"\7\1\0\0" b"\7\2\0\0" b"\7\3\0\0" b"\7\5\0\0" b"\7\6\0\0" b"\7\7\0\1",
    "no_end": b"\7\1\0\0" b"\7\2\0\0" b"\7\3\0\0" b"\7\5\0\0" b"\7\6",
}
four = {
    "plain": b"\7\x12\0\0" b"\7\x34\0\0" b"\3\x56\4\x78\0\0" b"\7\x9a\0\0" b"\7\xbc\0\1",
    "absolute": b"\0\7\x12\x34\x56\x70\0\0" * 5 + b"\0\1",
    "absolute_odd_bytes": b"\0\5\x12\x34\x50\0\2\x67\0\0" * 5 + b"\0\1",
    "run_too_long": b"\11\x12\0\0" b"\377\x34\0\0" b"\7\x11\0\0" b"\7\x56\0\0" b"\7\x78\0\1",
    "ends_early": b"\7\x12\0\0" b"\7\x34\0\1",
}
for name, data in eight.items():
    put(f"runs_8_{name}", bmp(7, 5, 8, data, grey, compression=1))
    put(f"runs_8_{name}_colour", bmp(7, 5, 8, data, colour, compression=1))
put("runs_8_top_down", bmp(7, 5, 8, eight["plain"], grey, compression=1, top_down=True))
put("runs_8_odd_place", bmp(7, 5, 8, eight["absolute"], grey, compression=1, gap=1))
for name, data in four.items():
    put(f"runs_4_{name}", bmp(7, 5, 4, data, colour[:64], compression=2))
put("runs_4_grey", bmp(7, 5, 4, four["plain"], grey[:64], compression=2))
put("runs_4_of_8_bits", bmp(7, 5, 8, four["plain"], grey, compression=2))
put("runs_8_of_4_bits", bmp(7, 5, 4, eight["plain"], colour[:64], compression=1))
put("runs_8_of_24_bits", bmp(7, 5, 24, eight["plain"], compression=1))
for compression in (4, 5, 6, 11):
    put(f"compression_{compression}", bmp(7, 5, 24, b"\0" * 200, compression=compression))

# --- damage
whole = files["pillow_rgb_13"]
put("empty", b"")
put("text", b"hello, this is no BMP file at all, and long enough to be one")
put("header_cut", whole[:40])
put("bits_2", bmp(7, 5, 2, b"\0" * 40))
put("header_size", bmp(7, 5, 24, b"\0" * 200)[:14] + struct.pack("<I", 41) + whole[18:])
put("no_width", bmp(0, 5, 24, b"\0" * 200))
put("no_height", bmp(5, 0, 24, b"\0" * 200))
put("offset_in_header", bmp(7, 5, 24, b"\0" * 200, offset=20))
put("offset_behind", bmp(7, 5, 24, b"\0" * 200, offset=2**31))
put("very_wide", bmp(2**30, 5, 24, b"\0" * 200))


def read(path):
    try:
        array, _ = NaturalImage2DIO().read_images([path])
    except Exception:
        return None
    assert array.dtype == np.float32 and array.ndim == 4
    packed = base64.b64encode(zlib.compress(np.ascontiguousarray(array).astype("<f4").tobytes(), 9)).decode()
    return {"shape": list(array.shape), "voxels": packed}


def main():
    result = {}
    for name, data in files.items():
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "x_0000.bmp")
            with open(path, "wb") as out:
                out.write(data)
            result[name] = {"file": base64.b64encode(zlib.compress(data, 9)).decode(), "NaturalImage2DIO": read(path)}
    with open(os.path.join(HERE, "bmps.json"), "w") as out:
        out.write("{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in result.items()) + "\n}\n")
    print(sum(one["NaturalImage2DIO"] is not None for one in result.values()), "of", len(result))


main()
