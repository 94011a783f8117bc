"""Small PNGs of every kind of pixels, with every row filter, interlaced and not, in many IDAT chunks; and what NaturalImage2DIO of
nnU-Net 2.5.1 (scikit-image 0.26.0, pillow 13.0.0) makes of them.

Usage: python make_pngs.py OUTPUT_FOLDER  (pip install scikit-image==0.26.0 pillow==13.0.0; pip install --no-deps nnunetv2==2.5.1)
Writes OUTPUT_FOLDER/*.png and OUTPUT_FOLDER/expected.json: for each file the array's shape (channels, 1, height, width) and its values
in C order, or null where it can't be read. The files are made here, byte by byte, so that each row has the filter that is wanted.
"""
import json, os, struct, sys, zlib
import numpy as np
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO

OUT = sys.argv[1]
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def chunk(kind, data): return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def packed(row, bits):
    v = row.reshape(-1)
    if bits == 16: return v.astype('>u2').tobytes()
    if bits == 8: return v.astype('u1').tobytes()
    text = ''.join(format(int(x), f'0{bits}b') for x in v)
    text += '0' * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, 'big')


def paeth(a, b, c):
    p = a + b - c
    pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
    return a if pa <= pb and pa <= pc else b if pb <= pc else c


def filtered(rows, pixel_bytes, first):
    out, above = b'', bytes(len(rows[0]))
    for y, row in enumerate(rows):
        kind = (first + y) % 5
        left = bytes(pixel_bytes) + row
        corner = bytes(pixel_bytes) + above
        predicted = [[0, left[i], above[i], (left[i] + above[i]) >> 1, paeth(left[i], above[i], corner[i])][kind] for i in range(len(row))]
        out += bytes([kind]) + bytes((a - b) & 255 for a, b in zip(row, predicted))
        above = row
    return out


def png(name, w, h, bits, colour, interlaced=0, palette=None, highest=None, surplus=b'', pieces=7):
    n = SAMPLES[colour]
    rng = np.random.RandomState(w * h * bits + colour)
    ramp = np.add.outer(np.arange(h) * 3, np.arange(w) * 5)[..., None] * (1 + np.arange(n)) * (257 if bits == 16 else 1)
    pixels = (ramp + rng.randint(0, 40, (h, w, n))) % (highest or 2 ** bits)
    raw = b''
    for x0, y0, dx, dy in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        part = pixels[y0::dy, x0::dx]
        if part.shape[0] and part.shape[1]:
            raw += filtered([packed(row, bits) for row in part], max(1, n * bits // 8), x0 + y0)
    data = zlib.compress(raw + surplus, 9)
    body = chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, bits, colour, 0, 0, interlaced))
    if palette is not None: body += chunk(b'PLTE', bytes(palette))
    size = -(-len(data) // pieces)
    for at in range(0, len(data), size): body += chunk(b'IDAT', data[at:at + size]) + chunk(b'IDAT', b'')
    open(f'{OUT}/{name}.png', 'wb').write(b'\x89PNG\r\n\x1a\n' + body + chunk(b'IEND', b''))


COLOURS = [(i * 83 + 11) % 256 for i in range(768)]
for interlaced in (0, 1):
    end = '_interlaced' if interlaced else ''
    for bits in (1, 2, 4, 8, 16): png(f'grey{bits}{end}', 13, 11, bits, 0, interlaced)
    for bits in (1, 2, 4, 8): png(f'palette{bits}{end}', 13, 11, bits, 3, interlaced, COLOURS[:3 * 2 ** bits])
    for bits in (8, 16):
        png(f'rgb{bits}{end}', 13, 11, bits, 2, interlaced)
        png(f'rgba{bits}{end}', 13, 11, bits, 6, interlaced)
    png(f'greyalpha16{end}', 13, 11, 16, 4, interlaced)
png('one_pixel_interlaced', 1, 1, 8, 2, 1)
png('two_columns_interlaced', 2, 9, 4, 0, 1)
png('one_row_interlaced', 9, 1, 16, 0, 1)
png('rgb8_suggested_palette', 13, 11, 8, 2, palette=COLOURS[:30])
png('palette4_short', 13, 11, 4, 3, palette=COLOURS[:18])
png('surplus_bytes', 13, 11, 8, 0, surplus=bytes(100))

expected = {}
for file in sorted(os.listdir(OUT)):
    if not file.endswith('.png'): continue
    try:
        array, _ = NaturalImage2DIO().read_images([f'{OUT}/{file}'])
        expected[file] = {'shape': list(array.shape), 'values': [int(v) for v in array.reshape(-1)]}
    except Exception as error:
        print(file, type(error).__name__, error)
        expected[file] = None
json.dump(expected, open(f'{OUT}/expected.json', 'w'))
