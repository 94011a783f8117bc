"""Makes gipl.json: GIPL files as they may come, and what SimpleITKIO reads from each.

Usage (venv with nnunetv2 2.5.1 and SimpleITK 2.5.7), in this folder: python make_gipl_cases.py
"""
import gzip
import struct
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from itk_cases import values_of, write_cases

#  GIPL's code of each type
TYPES = {'binary': (1, 'u1'), 'char': (7, 'i1'), 'uchar': (8, 'u1'), 'short': (15, 'i2'), 'ushort': (16, 'u2'), 'uint': (31, 'u4'), 'int': (32, 'i4'),
         'float': (64, 'f4'), 'double': (65, 'f8')}
SIZE = (3, 4, 5, 1)


def voxels(kind, size=SIZE):
    return values_of(np.dtype(TYPES[kind][1]), size)


def header(kind='short', size=SIZE, spacing=(0.8, 0.9, 2.5, 7), origin=(-11.5, 7.25, 30, 4), code=None, text=b'No Patient Information', matrix=None,
           flags=(0, 0), low=0.0, high=0.0, offset=0.0, calibration=0.0, user=(0.0, 0.0), magic=0xefffe9b0, order='>'):
    fields = struct.pack(order + '4HH4f', *size, TYPES[kind][0] if code is None else code, *spacing) + text.ljust(80, b'\0')
    fields += struct.pack(order + '20f', *(matrix or [0] * 20)) + bytes(flags)
    fields += struct.pack(order + '2d4d', low, high, *origin) + struct.pack(order + '4fI', offset, calibration, *user, magic)
    assert len(fields) == 256
    return fields


def whole(kind='short', size=SIZE, data=None, after=b'', name='a.gipl', order='>', **other):
    values = voxels(kind, size)
    body = values.astype(values.dtype.newbyteorder(order)).tobytes() if data is None else data
    return {name: header(kind, size, order=order, **other) + body + after}


def packed(files, level=9):
    return {f'{name}.gz': gzip.compress(data, level, mtime=0) for name, data in files.items()}


cases = {}
for kind in TYPES:
    cases[kind] = whole(kind)
    cases[f'{kind}_gz'] = packed(whole(kind))
    cases[f'{kind}_2d'] = whole(kind, size=(4, 5, 0, 0))
    cases[f'{kind}_4d'] = whole(kind, size=(3, 4, 5, 2))
for code in (0, 2, 144, 160, 192, 193, 200, 201, 255, 65535):
    cases[f'type_{code}'] = whole(code=code)
for name, size in {'3_4_5_0': (3, 4, 5, 0), '4_5_1_1': (4, 5, 1, 1), '4_5_1_0': (4, 5, 1, 0), '4_5_0_1': (4, 5, 0, 1), '4_0_0_0': (4, 0, 0, 0), '0_0_0_0': (0, 0, 0, 0),
                   '3_4_5_3': (3, 4, 5, 3), '4_5_0_3': (4, 5, 0, 3), '4_0_5_1': (4, 0, 5, 1), '0_4_5_1': (0, 4, 5, 1), '1_1_1_1': (1, 1, 1, 1), '1_1_60_1': (1, 1, 60, 1)}.items():
    cases[f'size_{name}'] = whole(size=size)
cases['size_huge'] = {'a.gipl': header(size=(65535, 65535, 65535, 65535)) + voxels('short').tobytes()}
cases['size_large'] = {'a.gipl': header(size=(3, 4, 50, 1)) + voxels('short').tobytes()}
cases['raw_cut'] = whole(data=voxels('short').byteswap().tobytes()[:-1])
cases['raw_empty'] = whole(data=b'')
cases['raw_more'] = whole(after=b'abc')
cases['header_cut'] = {'a.gipl': header()[:255]}
cases['empty'] = {'a.gipl': b''}
cases['no_magic'] = whole(magic=0)
cases['magic_other'] = whole(magic=0x2ae389b8)
cases['magic_swapped'] = whole(magic=0xb0e9ffef)
cases['little_endian'] = whole(order='<')
cases['named_GIPL'] = whole(name='a.GIPL')
cases['packed_named_gipl'] = {'a.gipl': packed(whole())['a.gipl.gz']}
cases['plain_named_gz'] = {'a.gipl.gz': whole()['a.gipl']}
cases['gz_cut'] = {'a.gipl.gz': packed(whole())['a.gipl.gz'][:-12]}
cases['gz_checksum'] = {'a.gipl.gz': packed(whole())['a.gipl.gz'][:-8] + b'\0' * 8}
cases['gz_garbage'] = {'a.gipl.gz': packed(whole())['a.gipl.gz'] + b'garbage'}
cases['gz_short_data'] = packed(whole(data=b'1234'))
for name, spacing in {'negative': (0.8, -0.9, 2.5, 1), 'zero': (0.8, 0, 2.5, 1), 'zero_fourth': (0.8, 0.9, 2.5, 0), 'nan': (0.8, np.nan, 2.5, 1), 'inf': (0.8, np.inf, 2.5, 1),
                      'tiny': (1e-30, 0.9, 2.5, 1), 'thirds': (1 / 3, 2 / 3, 4 / 3, 1)}.items():
    cases[f'spacing_{name}'] = whole(spacing=spacing)
for name, origin in {'nan': (np.nan, 0, 0, 0), 'inf': (0, np.inf, 0, 0), 'thirds': (1 / 3, -2 / 3, 4e9 / 3, 0), 'tiny': (1e-300, 0, 0, 0), 'far': (1e12, 0, 0, 0)}.items():
    cases[f'origin_{name}'] = whole(origin=origin)
cases['matrix'] = whole(matrix=[0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0] + [0] * 8)
cases['flags'] = whole(flags=(9, 3))
cases['range'] = whole(low=-5, high=100)
cases['calibration'] = whole(offset=3, calibration=2, user=(0.5, 7))
cases['text'] = whole(text=b'\xff' * 80)
cases['float_nan_inf'] = whole('float', data=np.array([np.nan, np.inf, -np.inf, 1e-45, -0.0] + [1] * 55, '>f4').tobytes())
cases['double_large'] = whole('double', data=np.array([1e300, -1e300, 1e-300, 16777217.0, 0.1] + [1] * 55, '>f8').tobytes())
for size in ((2, 2, 2, 1), (7, 1, 3, 1), (1, 9, 2, 1), (5, 4, 3, 1), (2, 3, 4, 5), (6, 6, 1, 2)):
    cases['grid_' + '_'.join(map(str, size))] = whole('uchar', size=size, spacing=(0.1 * size[0], 3, 0.7, 1))

orient = ['short', 'float', 'uchar_gz', 'double', 'int', 'uint', 'char', 'ushort', 'binary', 'spacing_negative', 'spacing_thirds', 'origin_thirds', 'origin_far', 'short_4d', 'short_2d',
          'grid_2_2_2_1', 'grid_7_1_3_1', 'grid_1_9_2_1', 'grid_5_4_3_1', 'size_1_1_60_1', 'size_4_5_1_1', 'size_3_4_5_0', 'magic_other', 'matrix', 'flags']
# What SimpleITK does not see: it gives what was in memory.
garbage = ['raw_cut', 'raw_empty', 'size_large', 'gz_cut', 'gz_short_data']
write_cases(cases, '.gipl', Path(__file__).parent / 'gipl.json', orient, garbage)
