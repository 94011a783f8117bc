"""Makes small TIFF files of every kind, and what nnU-Net's readers make of them: tiffs.json.

Run with nnU-Net 2.5.1, tifffile 2026.3.3, imagecodecs 2026.3.6, scikit-image 0.26.0, numpy 2.4.6:

    python make_tiffs.py

The file is in base64, the voxels are float32 (little-endian), deflated, in base64; null: the reader fails.
"""
import base64
import json
import os
import struct
import tempfile
import warnings
import zlib

import imagecodecs
import numpy as np
import tifffile
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from nnunetv2.imageio.tif_reader_writer import Tiff3DIO

warnings.simplefilter("ignore")
HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(17)
files = {}


def values(dtype, shape):
    """Neighbours alike, as in images, so that packing packs; all of the type's range is in it."""
    dtype = np.dtype(dtype)
    ramp = np.cumsum(rng.integers(-3, 4, shape), axis=-1)
    if dtype.kind == "f":
        array = (ramp * 1.37 + rng.normal(size=shape)).astype(dtype)
        array.flat[0], array.flat[-1] = np.finfo(dtype).max, -np.finfo(dtype).smallest_normal
        return array
    if dtype == bool:
        return ramp > 0
    info = np.iinfo(dtype)
    array = (ramp + (100 if info.min == 0 else -5)).astype(dtype)
    array.flat[:2] = [info.min, info.max][: array.size]
    array.flat[-1] = info.max - 1
    return array


def put(name, write, ending=".tif"):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x_0000" + ending)
        write(path)
        data = open(path, "rb").read()
    assert name not in files, name
    files[name] = (ending, data)


def write(name, array, ending=".tif", **options):
    put(name, lambda path: tifffile.imwrite(path, array, **options), ending)


TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 5: "I", 12: "d", 16: "Q"}


def by_hand(pages, order="<", big=False):
    """A file of pages of (fields, strips): fields are {code: (type, values)}; strips' places and sizes are filled in."""
    out = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42))
    out += struct.pack(order + "HHQ", 8, 0, 0) if big else struct.pack(order + "I", 0)
    link = 8 if big else 4
    offset = "Q" if big else "I"
    for fields, strips in pages:
        fields = dict(fields)
        places = []
        for strip in strips:
            places.append(len(out))
            out += strip + b"\0" * (len(strip) % 2)
        tiled = 322 in fields
        fields.setdefault(324 if tiled else 273, (16 if big else 4, places))
        fields.setdefault(325 if tiled else 279, (4, [len(strip) for strip in strips]))
        fields = {code: field for code, field in fields.items() if field is not None}
        entries = []
        for code in sorted(fields):
            kind, content = fields[code]
            if kind == 2:
                content = content if isinstance(content, bytes) else content.encode() + b"\0"
                value, count = content, len(content)
            else:
                count = len(content) // (2 if kind == 5 else 1)
                value = struct.pack(order + TYPES[kind] * len(content), *content)
            if len(value) > (8 if big else 4):
                place = len(out)
                out += value + b"\0" * (len(value) % 2)
                value = struct.pack(order + offset, place)
            entries.append(struct.pack(order + "HH" + offset, code, kind, count) + value.ljust(8 if big else 4, b"\0"))
        out[link:link + (8 if big else 4)] = struct.pack(order + offset, len(out))
        out += struct.pack(order + ("Q" if big else "H"), len(entries)) + b"".join(entries)
        link = len(out)
        out += struct.pack(order + offset, 0)
    return bytes(out)


def hand(name, pages, ending=".tif", **options):
    assert name not in files, name
    files[name] = (ending, by_hand(pages, **options))


def grey(width, height, bits=8, **more):
    fields = {256: (4, [width]), 257: (4, [height]), 258: (3, [bits]), 259: (3, [1]), 262: (3, [1])}
    fields.update({int(code[1:]): value for code, value in more.items()})
    return fields


# --- number types, byte orders, file kinds
NUMBERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64"]
for dtype in NUMBERS:
    for order, word in (("<", "le"), (">", "be")):
        write(f"volume_{dtype}_{word}", values(dtype, (5, 7, 6)), byteorder=order)
        write(f"picture_{dtype}_{word}", values(dtype, (7, 6)), byteorder=order)
write("volume_bigtiff", values("int16", (5, 7, 6)), bigtiff=True)
write("volume_bigtiff_be", values("uint16", (5, 7, 6)), bigtiff=True, byteorder=">", compression="zlib")
write("picture_bigtiff", values("uint16", (7, 6)), bigtiff=True)
write("volume_bool", values(bool, (5, 7, 13)))
write("picture_bool", values(bool, (7, 13)))
write("volume_tiff_ending", values("uint8", (5, 7, 6)), ".tiff")
for dtype in ("complex64", "complex128"):
    write(f"picture_{dtype}", values("float32", (7, 6)).astype(dtype))

# --- packing, predictors, strips, tiles
for compression in ("lzw", "zlib", "deflate", "packbits", "zstd"):
    for dtype in ("uint8", "int16", "float32"):
        predictors = [None] if compression == "packbits" else [None, 3] if dtype == "float32" else [None, 2]
        for predictor in predictors:
            word = f"{compression}_{dtype}" + (f"_predictor{predictor}" if predictor else "")
            write(f"volume_{word}", values(dtype, (4, 9, 11)), compression=compression, predictor=predictor, rowsperstrip=4)
            if dtype != "int16":
                write(f"picture_{word}", values(dtype, (9, 11)), compression=compression, predictor=predictor)
for dtype in ("uint16", "uint32", "uint64", "float64", "float16"):
    for order, word in (("<", "le"), (">", "be")):
        predictor = 3 if dtype.startswith("float") else 2
        write(f"picture_predictor{predictor}_{dtype}_{word}", values(dtype, (9, 11)), compression="zlib", byteorder=order, predictor=predictor)
for compression in ("lzma", "jpeg", "jpeg2000", "jpegxl", "png"):
    write(f"picture_{compression}", values("uint8", (32, 32)), compression=compression)
write("volume_lzw_large", rng.integers(0, 256, (3, 90, 80), dtype=np.uint8), compression="lzw")
write("volume_lzw_flat", np.zeros((3, 90, 80), np.uint8), compression="lzw")
write("volume_one_strip_a_row", values("uint16", (4, 9, 11)), rowsperstrip=1)
write("volume_odd_strips", values("uint16", (4, 9, 11)), rowsperstrip=5, compression="packbits")
for compression in (None, "lzw", "zlib"):
    word = compression or "bare"
    write(f"volume_tiles_{word}", values("int16", (3, 37, 45)), tile=(16, 32), compression=compression)
    write(f"picture_tiles_{word}", values("uint8", (37, 45)), tile=(16, 16), compression=compression, predictor=2 if compression else None)
write("volume_tiles_deep", values("uint8", (9, 37, 20)), tile=(4, 16, 16), compression="zlib", volumetric=True)
write("volume_deep", values("uint8", (5, 7, 6)), volumetric=True)
write("volume_tile_of_its_size", values("uint8", (3, 16, 32)), tile=(16, 32))
write("picture_rgb_tiles", values("uint8", (37, 45, 3)), tile=(16, 16), photometric="rgb", compression="lzw", predictor=2)
write("picture_rgb_tiles_planar", values("uint16", (3, 37, 45)), tile=(16, 16), photometric="rgb", planarconfig="separate")

# --- colours
for dtype in ("uint8", "uint16", "float32"):
    write(f"picture_rgb_{dtype}", values(dtype, (7, 6, 3)), photometric="rgb")
    write(f"picture_rgba_{dtype}", values(dtype, (7, 6, 4)), photometric="rgb", extrasamples=["unassalpha"])
    write(f"picture_rgb_planar_{dtype}", values(dtype, (3, 7, 6)), photometric="rgb", planarconfig="separate", byteorder=">")
    write(f"picture_rgba_planar_{dtype}", values(dtype, (4, 7, 6)), photometric="rgb", planarconfig="separate", compression="zlib",
          predictor=3 if dtype == "float32" else 2)
write("picture_rgb_tiff_ending", values("uint8", (7, 6, 3)), ".tiff", photometric="rgb")
write("picture_5_samples", values("uint8", (7, 6, 5)), photometric="minisblack", planarconfig="contig")
write("picture_2_samples", values("uint8", (7, 6, 2)), photometric="minisblack", planarconfig="contig")
write("picture_cmyk", values("uint8", (7, 6, 4)), photometric="separated")
write("picture_white_is_0", values("uint8", (7, 6)), photometric="miniswhite")
write("volume_white_is_0", values("uint16", (5, 7, 6)), photometric="miniswhite", compression="lzw")
write("picture_palette", values("uint8", (7, 6)), photometric="palette", colormap=rng.integers(0, 65536, (3, 256), dtype=np.uint16))
write("volume_palette", values("uint8", (5, 7, 6)), photometric="palette", colormap=rng.integers(0, 65536, (3, 256), dtype=np.uint16))
write("pictures_rgb", values("uint8", (5, 7, 6, 3)), photometric="rgb")

# --- stacks of few slices or columns, and of axes of one
for shape in ((3, 7, 6), (4, 7, 6), (1, 7, 6), (5, 1, 6), (5, 7, 1), (1, 1, 6), (5, 7, 3), (5, 7, 4), (2, 5, 7, 6), (1, 5, 7, 6), (1, 1, 7, 6),
              (3, 7, 3), (1, 1), (1, 1, 1)):
    word = "x".join(map(str, shape))
    write(f"shape_{word}", values("uint8", shape), photometric="minisblack")
    write(f"shape_{word}_plain", values("uint8", shape), photometric="minisblack", metadata=None)
    write(f"shape_{word}_zlib", values("uint16", shape), photometric="minisblack", compression="zlib")


def stack(shapes, **options):
    def save(path):
        with tifffile.TiffWriter(path) as out:
            for shape in shapes:
                out.write(values("uint8", shape), contiguous=False, photometric="minisblack", **options)
    return save


put("pages_9_plain", stack([(7, 6)] * 9, metadata=None))
put("pages_3_plain", stack([(7, 6)] * 3, metadata=None))
put("pages_5_plain_zlib", stack([(7, 6)] * 5, metadata=None, compression="zlib"))
put("pages_one_other", stack([(7, 6)] * 2 + [(5, 6)] + [(7, 6)] * 3, metadata=None))
put("pages_first_other", stack([(5, 6)] + [(7, 6)] * 3, metadata=None))
put("pages_10_one_other", stack([(7, 6)] * 4 + [(5, 6)] + [(7, 6)] * 5, metadata=None))
put("pages_shaped_each", stack([(7, 6)] * 4))
put("series_two", stack([(5, 7, 6), (2, 4, 4)]))


def appended(path):
    tifffile.imwrite(path, values("uint8", (4, 7, 6)), compression="zlib")
    tifffile.imwrite(path, values("uint8", (7, 6)), append=True, metadata=None, photometric="minisblack")


put("shaped_then_plain", appended)


def thumbnail(path):
    with tifffile.TiffWriter(path) as out:
        for _ in range(4):
            out.write(values("uint8", (16, 32)), metadata=None, photometric="minisblack", subifds=1)
            out.write(values("uint8", (8, 16)), metadata=None, photometric="minisblack", subfiletype=1)


def pyramid(path):
    with tifffile.TiffWriter(path) as out:
        out.write(values("uint8", (5, 16, 32)), subifds=1, photometric="minisblack")
        out.write(values("uint8", (5, 8, 16)), subfiletype=1, photometric="minisblack")


put("thumbnails_plain", thumbnail)
put("pyramid_shaped", pyramid)
write("truncated_shaped", values("uint16", (5, 7, 6)), truncate=True)
write("axes_shaped", values("uint16", (5, 7, 6)), metadata={"axes": "ZYX", "spacing": 2})

# --- ImageJ
for axes, shape in (("ZYX", (5, 7, 6)), ("TYX", (5, 7, 6)), ("CYX", (5, 7, 6)), ("ZCYX", (5, 2, 7, 6)), ("TZYX", (2, 5, 7, 6)),
                    ("TZCYX", (2, 3, 4, 7, 6)), ("YX", (7, 6)), ("YXS", (7, 6, 3)), ("ZYXS", (5, 7, 6, 3)), ("CYX", (3, 7, 6))):
    for dtype in ("uint8", "uint16", "float32"):
        if "S" in axes and dtype != "uint8":
            continue
        word = f"imagej_{axes}_{shape[0]}_{dtype}"
        write(word, values(dtype, shape), imagej=True, metadata={"axes": axes})
    write(word + "_zlib", values(dtype, shape), imagej=True, metadata={"axes": axes}, compression="zlib")
text = "ImageJ=1.53t\nimages=5\nslices=5\nloop=false\nmin=0.0\n"
bare = [values("uint8", (7, 6)) for _ in range(5)]
hand("imagej_by_hand", [(grey(6, 7, t270=(2, text)) if i == 0 else grey(6, 7), [page.tobytes()]) for i, page in enumerate(bare)], order=">")
hand("imagej_one_directory", [(grey(6, 7, t270=(2, text)), [np.stack(bare).tobytes()])])
hand("imagej_too_short", [(grey(6, 7, t270=(2, text)), [bare[0].tobytes()])])
hand("imagej_more_pages", [(grey(6, 7, t270=(2, text.replace("5", "3"))), [page.tobytes()]) for page in bare])
hand("imagej_more_pages_packed", [(grey(6, 7, t259=(3, [8]), t270=(2, text.replace("5", "3"))), [zlib.compress(page.tobytes())]) for page in bare])
hand("imagej_zero_slices", [(grey(6, 7, t270=(2, text.replace("5", "0"))), [page.tobytes()]) for page in bare])

# --- OME
for axes, shape in (("ZYX", (5, 7, 6)), ("TYX", (5, 7, 6)), ("CYX", (5, 7, 6)), ("TZYX", (2, 5, 7, 6)), ("ZCYX", (5, 2, 7, 6)), ("YX", (7, 6)),
                    ("YXS", (7, 6, 3)), ("SYX", (3, 7, 6)), ("ZYXS", (5, 7, 6, 3)), ("ZYX", (1, 7, 6))):
    for compression in (None, "zlib"):
        options = {"photometric": "rgb", "planarconfig": "separate" if axes[0] == "S" else "contig"} if "S" in axes else {}
        word = "_".join(["ome", axes, str(shape[0])] + ([compression] if compression else []))
        write(word, values("uint16", shape), ome=True, metadata={"axes": axes}, compression=compression, **options)


def ome(order, size, tiffdata, extra="", samples=1, root="", c=1):
    z, t = size
    return (f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" {root}>'
            f'<!-- a comment --><Image ID="Image:0" Name="a &amp; b"><Pixels ID="Pixels:0" DimensionOrder="{order}" Type="uint8" '
            f'SizeX="6" SizeY="7" SizeZ="{z}" SizeC="{c}" SizeT="{t}"><Channel ID="Channel:0:0" SamplesPerPixel="{samples}"/>{tiffdata}'
            f"</Pixels></Image>{extra}</OME>")


def ome_pages(name, xml, count=5):
    pages = [values("uint8", (7, 6)) for _ in range(count)]
    hand(name, [(grey(6, 7, t270=(2, xml)) if i == 0 else grey(6, 7), [page.tobytes()]) for i, page in enumerate(pages)])


uuid = '<UUID FileName="{}">urn:uuid:1</UUID>'
ome_pages("ome_backwards", ome("XYZCT", (5, 1), "".join(f'<TiffData IFD="{i}" FirstZ="{4 - i}"/>' for i in range(5))))
ome_pages("ome_counted", ome("XYZTC", (5, 1), '<TiffData IFD="0" FirstZ="3" PlaneCount="2"/><TiffData IFD="2" FirstZ="0" PlaneCount="3"/>'))
ome_pages("ome_all_pages", ome("XYCZT", (5, 1), "<TiffData/>"))
ome_pages("ome_no_tiffdata", ome("XYCZT", (5, 1), ""))
ome_pages("ome_planes_missing", ome("XYCZT", (7, 1), "<TiffData/>"))
ome_pages("ome_planes_too_many", ome("XYCZT", (4, 1), "<TiffData/>"))
ome_pages("ome_uuid_is_root", ome("XYCZT", (5, 1), '<TiffData IFD="0" PlaneCount="5">' + uuid.format("other.ome.tif") + "</TiffData>", root='UUID="urn:uuid:1"'))
ome_pages("ome_uuid_is_name", ome("XYCZT", (5, 1), '<TiffData IFD="0" PlaneCount="5">' + uuid.format("X_0000.tif") + "</TiffData>"))
ome_pages("ome_uuid_is_other", ome("XYCZT", (5, 1), '<TiffData IFD="0" PlaneCount="5">' + uuid.format("other.ome.tif") + "</TiffData>"))
ome_pages("ome_binary_only", '<OME xmlns="x"><BinaryOnly MetadataFile="a.ome" UUID="b"/></OME>')
ome_pages("ome_broken_xml", ome("XYCZT", (5, 1), "<TiffData>").replace("</Image>", ""))
ome_pages("ome_index_outside", ome("XYCZT", (5, 1), '<TiffData IFD="0" FirstZ="9" PlaneCount="5"/><TiffData/>'))
ome_pages("ome_times", ome("XYTCZ", (1, 5), "<TiffData/>"))


def pack_bits(numbers, bits):
    """A row of numbers, the highest bit first, filled up to whole bytes."""
    text = "".join(f"{int(number):0{bits}b}" for number in numbers)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i:i + 8], 2) for i in range(0, len(text), 8))


# --- by hand: packed bits, bit order, odd fields
for bits in (1, 2, 3, 4, 5, 6, 7, 9, 10, 12, 14, 15, 20, 24, 31):
    numbers = rng.integers(0, 2**bits, (7, 11), dtype=np.uint32)
    packed = b"".join(pack_bits(line, bits) for line in numbers)
    hand(f"bits_{bits}", [(grey(11, 7, bits), [packed])])
    if bits in (1, 4, 12):
        hand(f"bits_{bits}_zlib_low_first", [(grey(11, 7, bits, t259=(3, [8]), t266=(3, [2])), [imagecodecs.bitorder_encode(zlib.compress(packed))])])
        hand(f"bits_{bits}_low_first", [(grey(11, 7, bits, t266=(3, [2])), [imagecodecs.bitorder_encode(packed)])])
page = values("uint16", (7, 6))
row = page.tobytes()
hand("low_bit_first_16", [(grey(6, 7, 16, t266=(3, [2])), [imagecodecs.bitorder_encode(row)])])
hand("low_bit_first_lzw", [(grey(6, 7, 16, t266=(3, [2]), t259=(3, [5])), [imagecodecs.bitorder_encode(imagecodecs.lzw_encode(row))])])
for orientation in range(1, 9):
    hand(f"orientation_{orientation}", [(grey(6, 7, 16, t274=(3, [orientation])), [row])])
hand("no_bits_field", [(grey(6, 7, t258=None), [bytes([0b10110100] * 7)])])
hand("no_byte_counts", [(grey(6, 7, 16, t279=None), [row])])
hand("no_offsets", [(grey(6, 7, 16, t273=None), [row])])
hand("no_width", [(grey(6, 7, 16, t256=None), [row])])
hand("wrong_byte_count", [(grey(6, 7, 16, t279=(4, [9])), [row])])
hand("padded_strips", [(grey(6, 7, 16, t278=(3, [4]), t259=(3, [8])), [zlib.compress(row[:48]), zlib.compress(row[48:] + b"\7" * 12)])])
hand("bare_padded_strips", [(grey(6, 7, 16, t278=(3, [4])), [row[:48], row[48:] + b"\7" * 12])])
hand("strip_too_short", [(grey(6, 7, 16, t278=(3, [4]), t259=(3, [8])), [zlib.compress(row[:48]), zlib.compress(row[48:-2])])])
hand("bare_strip_too_short", [(grey(6, 7, 16, t278=(3, [4])), [row[:48], row[48:-2]])])
hand("strip_missing", [(grey(6, 7, 16, t278=(3, [4]), t259=(3, [8])), [zlib.compress(row[:48])])])
hand("strip_empty", [(grey(6, 7, 16, t278=(3, [4]), t259=(3, [8]), t279=(4, [0, 0])), [zlib.compress(row[:48]), b"12"])])
hand("strips_backwards", [(grey(6, 7, 16, t278=(3, [4]), t273=(4, [8 + 48, 8]), t279=(4, [36, 48])), [row])])
hand("lzw_without_end", [(grey(6, 7, 16, t259=(3, [5])), [imagecodecs.lzw_encode(row)[:-2] + b"\0"])])
hand("lzw_old", [(grey(6, 7, t259=(3, [5])), [b"\0\1\2\3\4\5\6\7"])])
hand("no_picture_pages", [({270: (2, "nothing"), 273: None, 279: None}, [])])
floats = values("float32", (7, 6))
differences = np.diff(floats.view("<u4"), axis=1, prepend=np.zeros((7, 1), "<u4")).astype("<u4")
hand("predictor_2_of_floats", [(grey(6, 7, 32, t317=(3, [2]), t259=(3, [8]), t339=(3, [3])), [zlib.compress(differences.tobytes())])])
hand("predictor_2_bare", [(grey(6, 7, 32, t317=(3, [2])), [differences.tobytes()])])
hand("predictor_2_of_12_bits", [(grey(6, 7, 12, t317=(3, [2]), t259=(3, [8])), [zlib.compress(bytes(range(63)))])])
hand("predictor_4", [(grey(6, 7, 16, t317=(3, [4]), t259=(3, [8])), [zlib.compress(row)])])
hand("predictor_3_of_whole_numbers", [(grey(6, 7, 16, t317=(3, [3]), t259=(3, [8])), [zlib.compress(row)])])
hand("compression_unknown", [(grey(6, 7, 16, t259=(3, [4711])), [row])])
hand("compression_fax", [(grey(6, 7, 1, t259=(3, [4])), [row])])
hand("format_void", [(grey(6, 7, 16, t339=(3, [4])), [row])])
hand("format_signed_4_bits", [(grey(6, 7, 4, t339=(3, [2])), [row])])
hand("format_float_24", [(grey(6, 7, 24, t339=(3, [3])), [row + row[:42]])])
hand("format_complex_whole", [(grey(6, 7, 32, t339=(3, [5])), [row + row])])
hand("formats_differ", [(grey(2, 7, t258=(3, [16, 16, 16]), t277=(3, [3]), t339=(3, [1, 1, 2]), t262=(3, [2])), [row])])
hand("bits_5_6_5", [(grey(6, 7, t258=(3, [5, 6, 5]), t277=(3, [3]), t262=(3, [2])), [row])])
hand("bits_differ", [(grey(2, 7, t258=(3, [16, 8, 24]), t277=(3, [3]), t262=(3, [2])), [row])])
hand("ycbcr", [(grey(2, 7, t258=(3, [16, 16, 16]), t277=(3, [3]), t262=(3, [6])), [row])])
hand("ycbcr_whole", [(grey(2, 7, t258=(3, [16, 16, 16]), t277=(3, [3]), t262=(3, [6]), t530=(3, [1, 1])), [row])])
hand("cielab", [(grey(2, 7, t258=(3, [16, 16, 16]), t277=(3, [3]), t262=(3, [8])), [row])])
hand("rgb_of_one_sample", [(grey(6, 7, 16, t262=(3, [2])), [row])])
hand("description_twice", [(grey(6, 7, 16, t270=(2, "first")), [row])])
hand("description_latin", [(grey(6, 7, 16, t270=(2, b"caf\xe9 {\0")), [row])])
hand("described_wrong_shape", [(grey(6, 7, 16, t270=(2, '{"shape": [5, 7]}')), [row])])
hand("described_other_rows", [(grey(6, 7, 16, t270=(2, '{"shape": [6, 7]}')), [row])])
hand("described_more", [(grey(6, 7, 16, t270=(2, '{"shape": [5, 7, 6]}')), [row])])
hand("described_more_there", [(grey(6, 7, 16, t270=(2, '{"shape": [5, 7, 6]}')), [row * 5])])
hand("described_old", [(grey(6, 7, 16, t270=(2, "shape=(5,7,6)")), [row * 5])])
hand("described_more_packed", [(grey(6, 7, 16, t259=(3, [8]), t270=(2, '{"shape": [5, 7, 6]}')), [zlib.compress(row)])])
hand("described_zeros", [(grey(6, 7, 16, t270=(2, '{"shape": [0, 7, 6]}')), [row])])
hand("described_no_shape", [(grey(6, 7, 16, t270=(2, '{"shape": "a"}')), [row])])
hand("described_axes_of_one", [(grey(6, 7, 16, t270=(2, '{"shape": [1, 7, 1, 6]}')), [row])])
hand("described_mibi", [(grey(6, 7, 16, t270=(2, '{"shape": [5, 7, 6], "mibi.x": 1}')), [row])])
hand("lsm", [(grey(6, 7, 16, t34412=(1, [0] * 8)), [row])])
hand("nih", [(grey(6, 7, 16, t43314=(1, [0] * 8)), [row])])
hand("svs", [(grey(6, 7, 16, t270=(2, "Aperio Image Library v10")), [row])])
hand("big_by_hand", [(grey(6, 7, 16), [row])], big=True, order=">")
complexes = {**grey(6, 7, 64), 339: (3, [6])}
hand("later_page_complex", [(grey(6, 7, 16), [row]), (complexes, [row * 4]), (grey(6, 7, 16), [row])])
hand("later_page_ycbcr", [(grey(6, 7, 16), [row]), (grey(2, 7, t258=(3, [16, 16, 16]), t277=(3, [3]), t262=(3, [6])), [row]), (grey(6, 7, 16), [row])])
hand("sub_directory_damaged", [(grey(6, 7, 16, t330=(4, [9])), [row]), (grey(6, 7, 16), [row])])
array = np.array([[0.5, np.nan, np.inf], [-np.inf, -0.0, 1e-42]], np.float32)
write("not_finite", np.stack([array] * 5))
write("not_finite_picture", np.tile(array, (2, 2)), compression="zlib", predictor=3)
write("not_finite_half", np.tile(array, (2, 2)).astype(np.float16))
files["empty"] = (".tif", b"")
files["text"] = (".tif", b"hello, this is no TIFF")
whole = files["volume_zlib_int16"][1]
files["cut"] = (".tif", whole[: len(whole) // 2])


def read(reader, path):
    try:
        array, properties = reader().read_images([path])
        if array.size == 0 or array.shape[0] == 0:
            return None
    except Exception:
        return None
    assert array.dtype == np.float32 and array.ndim == 4
    packed = base64.b64encode(zlib.compress(np.ascontiguousarray(array).astype("<f4").tobytes(), 9)).decode()
    return {"shape": list(array.shape), "voxels": packed}


def main():
    result = {}
    for name, (ending, data) in files.items():
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "x_0000" + ending)
            with open(path, "wb") as out:
                out.write(data)
            result[name] = {
                "ending": ending,
                "file": base64.b64encode(zlib.compress(data, 9)).decode(),
                "Tiff3DIO": read(Tiff3DIO, path),
                "NaturalImage2DIO": read(NaturalImage2DIO, path),
            }
    with open(os.path.join(HERE, "tiffs.json"), "w") as out:
        out.write("{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in result.items()) + "\n}\n")
    for reader in ("Tiff3DIO", "NaturalImage2DIO"):
        print(reader, sum(one[reader] is not None for one in result.values()), "of", len(result))


main()
