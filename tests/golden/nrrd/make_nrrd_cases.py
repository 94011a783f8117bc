"""Makes nrrd.json: NRRD files as they may come, and what SimpleITKIO reads from each.

Usage (venv with nnunetv2 2.5.1 and SimpleITK 2.5.7), in this folder: python make_nrrd_cases.py
"""
import bz2
import gzip
import sys
import zlib
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from itk_cases import values_of, write_cases

TYPES = {'int8': 'i1', 'uint8': 'u1', 'int16': 'i2', 'uint16': 'u2', 'int32': 'i4', 'uint32': 'u4', 'int64': 'i8', 'uint64': 'u8',
         'float': 'f4', 'double': 'f8'}
SIZE = (3, 4, 5)


def voxels(kind, size=SIZE):
    return values_of(np.dtype(TYPES[kind]), size)


def header(fields, version=4):
    return f'NRRD000{version}\n' + ''.join(f'{k}: {v}\n' if v is not None else f'{k}\n' for k, v in fields.items())


def base(kind='int16', size=SIZE, encoding='raw', endian='little', **other):
    fields = {'type': kind, 'dimension': len(size), 'space': 'left-posterior-superior', 'sizes': ' '.join(map(str, size)),
              'space directions': '(0.8,0,0) (0,0.9,0) (0,0,2.5)', 'kinds': 'domain domain domain', 'endian': endian,
              'encoding': encoding, 'space origin': '(-11.5,7.25,30)'}
    for key, value in other.items():
        key = key.replace('_', ' ')
        if value is None:
            fields.pop(key, None)
        else:
            fields[key] = value
    return fields


def packed(data, encoding, endian='little'):
    data = data.astype(data.dtype.newbyteorder('<' if endian == 'little' else '>'))
    raw = data.tobytes()
    if encoding in ('gzip', 'gz'):
        return gzip.compress(raw, 9, mtime=0)
    if encoding in ('bzip2', 'bz2'):
        return bz2.compress(raw)
    if encoding == 'hex':
        text = raw.hex()
        return '\n'.join(text[i:i + 40] for i in range(0, len(text), 40)).encode() + b'\n'
    if encoding in ('ascii', 'text', 'txt'):
        return (' '.join(repr(v) for v in data.tolist()) + '\n').encode()
    return raw


def whole(kind='int16', size=SIZE, encoding='raw', endian='little', data=None, after=b'', **other):
    data = voxels(kind, size) if data is None else data
    body = data if isinstance(data, bytes) else packed(data, encoding, endian)
    return {'a.nrrd': header(base(kind, size, encoding, endian, **other)).encode() + b'\n' + body + after}


def detached(pieces, name='a.nhdr', end='', **other):
    fields = base(**other)
    files = {name: (header(fields) + end).encode()}
    files.update(pieces)
    return files


cases = {}
for kind in TYPES:
    for endian in ('little', 'big'):
        cases[f'{kind}_{endian}'] = whole(kind, endian=endian)
    for encoding in ('gzip', 'ascii', 'hex'):
        cases[f'{kind}_{encoding}'] = whole(kind, encoding=encoding)
for encoding in ('gz', 'txt', 'text', 'bzip2', 'bz2', 'RAW', 'GZip', 'zrl', 'nonsense'):
    cases[f'encoding_{encoding}'] = whole(encoding=encoding, data=packed(voxels('int16'), encoding.lower()))
cases['hex_big'] = whole('int16', encoding='hex', endian='big')
cases['gzip_big'] = whole('float', encoding='gzip', endian='big')
cases['gzip_zlib_stream'] = whole(encoding='gzip', data=zlib.compress(voxels('int16').tobytes()))
cases['gzip_that_is_raw'] = whole(encoding='gzip', data=voxels('int16').tobytes())
cases['gzip_two_members'] = whole(encoding='gzip', data=gzip.compress(voxels('int16').tobytes()[:50], mtime=0) + gzip.compress(voxels('int16').tobytes()[50:], mtime=0))
cases['gzip_garbage_behind'] = whole(encoding='gzip', after=b'garbage')
cases['gzip_cut'] = whole(encoding='gzip', data=packed(voxels('int16'), 'gzip')[:-20])
cases['gzip_crc_wrong'] = whole(encoding='gzip', data=packed(voxels('int16'), 'gzip')[:-8] + b'\0' * 8)
cases['gzip_more'] = whole(encoding='gzip', data=gzip.compress(voxels('int16').tobytes() + b'abc', mtime=0))
cases['raw_cut'] = whole(data=voxels('int16').tobytes()[:-1])
cases['raw_more'] = whole(after=b'abcdef')
cases['raw_empty'] = whole(data=b'')
cases['hex_cut'] = whole(encoding='hex', data=packed(voxels('int16'), 'hex')[:-3])
cases['hex_bad'] = whole(encoding='hex', data=b'zz' + packed(voxels('int16'), 'hex')[2:])
cases['hex_upper'] = whole(encoding='hex', data=packed(voxels('int16'), 'hex').upper())
cases['ascii_cut'] = whole(encoding='ascii', data=b'1 2 3\n')
cases['ascii_commas'] = whole('uint8', encoding='ascii', data=b', '.join(str(i).encode() for i in range(60)))
cases['ascii_tight_commas'] = whole('uint8', encoding='ascii', data=b','.join(str(i).encode() for i in range(60)))
cases['ascii_leading_commas'] = whole('uint8', encoding='ascii', data=b' '.join(b',%d' % i for i in range(60)))
cases['ascii_fraction_in_int'] = whole('int16', encoding='ascii', data=b' '.join(b'%d.7' % i for i in range(60)))
cases['ascii_overflow'] = whole('uint8', encoding='ascii', data=b' '.join(b'%d' % (i * 10) for i in range(60)))
cases['ascii_word'] = whole('int16', encoding='ascii', data=b'x ' + b' '.join(b'%d' % i for i in range(59)))
cases['ascii_float_nan_inf'] = whole('float', encoding='ascii', data=b'nan inf -inf NaN ' + b' '.join(b'%d' % i for i in range(56)))
cases['ascii_float_exponents'] = whole('double', encoding='ascii', data=b' '.join(b'%de-3' % i for i in range(60)))
cases['ascii_newlines'] = whole('int16', encoding='ascii', data=b'\r\n'.join(b'%d' % i for i in range(60)))
cases['float_nan_inf'] = whole('float', data=np.array([np.nan, np.inf, -np.inf, 1e-45, -0.0] + [1] * 55, np.float32))
cases['double_large'] = whole('double', data=np.array([1e300, -1e300, 1e-300, 16777217.0, 0.1] + [1] * 55))
cases['int64_rounding'] = whole('int64', data=np.array([2**62 + 2**38, 2**53 + 1, 2**60 + 1, -2**63, 16777217] + [1] * 55, np.int64))
for alias in ('signed char', 'int8_t', 'uchar', 'unsigned char', 'uint8_t', 'short', 'short int', 'signed short', 'signed short int', 'int16_t',
              'ushort', 'unsigned short', 'unsigned short int', 'uint16_t', 'int', 'signed int', 'int32_t', 'uint', 'unsigned int', 'uint32_t',
              'longlong', 'long long', 'long long int', 'signed long long', 'signed long long int', 'int64_t', 'ulonglong',
              'unsigned long long', 'unsigned long long int', 'uint64_t'):
    kind = next(k for k, starts in {'int8': ('signed char', 'int8'), 'uint8': ('uchar', 'unsigned char', 'uint8'),
                                    'int64': ('longlong', 'long long', 'signed long long', 'int64'),
                                    'uint64': ('ulonglong', 'unsigned long long', 'uint64'),
                                    'int16': ('short', 'signed short', 'int16'), 'uint16': ('ushort', 'unsigned short', 'uint16'),
                                    'int32': ('int', 'signed int', 'int32'), 'uint32': ('uint', 'unsigned int', 'uint32')}.items()
                if alias.startswith(starts))
    cases[f'type_{alias.replace(" ", "_")}'] = {'a.nrrd': header({**base(kind), 'type': alias}).encode() + b'\n' + voxels(kind).tobytes()}
for alias in ('char', 'block', 'half', 'float32', 'Short', 'SHORT', ' short', 'short '):
    cases[f'type_{alias.replace(" ", "_")}'] = {'a.nrrd': header({**base(), 'type': alias}).encode() + b'\n' + voxels('int16').tobytes()}
# Spaces
for space in ('right-anterior-superior', 'RAS', 'ras', 'right anterior superior', 'rightanteriorsuperior', 'left-anterior-superior', 'LAS', 'LPS',
              'left-posterior-superior', 'Left-Posterior-Superior', 'scanner-xyz', '3D-right-handed', '3D-left-handed', '3D right handed',
              'LPI', 'left-posterior-superior-time', 'unknown', '???'):
    cases[f'space_{space.replace(" ", "_").replace("?", "q")}'] = whole(space=space)
cases['space_dimension_3'] = {'a.nrrd': header({k.replace('space', 'space dimension') if k == 'space' else k: 3 if k == 'space' else v for k, v in base().items()}).encode() + b'\n' + voxels('int16').tobytes()}
cases['space_dimension_2'] = {'a.nrrd': header({k.replace('space', 'space dimension') if k == 'space' else k: 2 if k == 'space' else v for k, v in base().items()}).encode() + b'\n' + voxels('int16').tobytes()}
cases['no_space'] = whole(space=None, space_directions=None, space_origin=None)
cases['no_space_but_directions'] = whole(space=None)
cases['no_directions'] = whole(space_directions=None)
cases['no_origin'] = whole(space_origin=None)
cases['no_kinds'] = whole(kinds=None)
cases['no_directions_but_spacings'] = whole(space=None, space_directions=None, space_origin=None, spacings='0.8 0.9 2.5')
cases['spacings_with_space'] = whole(space_directions=None, spacings='0.8 0.9 2.5')
cases['spacings_nan'] = whole(space=None, space_directions=None, space_origin=None, spacings='0.8 nan 2.5')
cases['spacings_NaN'] = whole(space=None, space_directions=None, space_origin=None, spacings='NaN 0.9 2.5')
cases['spacings_negative'] = whole(space=None, space_directions=None, space_origin=None, spacings='0.8 -0.9 2.5')
cases['spacings_zero'] = whole(space=None, space_directions=None, space_origin=None, spacings='0.8 0 2.5')
cases['spacings_inf'] = whole(space=None, space_directions=None, space_origin=None, spacings='0.8 inf 2.5')
cases['spacings_few'] = whole(space=None, space_directions=None, space_origin=None, spacings='0.8 0.9')
cases['spacings_many'] = whole(space=None, space_directions=None, space_origin=None, spacings='0.8 0.9 1 1')
cases['spacings_exponent'] = whole(space=None, space_directions=None, space_origin=None, spacings='8e-1 9.0E-1 +2.5')
cases['mins_spacings'] = whole(space=None, space_directions=None, space_origin=None, spacings='0.8 0.9 2.5', axis_mins='-1 -2 -3')
cases['mins_maxs'] = whole(space=None, space_directions=None, space_origin=None, axis_mins='-1 -2 -3', axis_maxs='5 6 7')
cases['mins_maxs_node'] = whole(space=None, space_directions=None, space_origin=None, axis_mins='-1 -2 -3', axis_maxs='5 6 7', centers='node node node')
cases['mins_spacings_cell_node'] = whole(space=None, space_directions=None, space_origin=None, spacings='0.8 0.9 2.5', axis_mins='-1 -2 -3', centerings='cell node ???')
cases['mins_only'] = whole(space=None, space_directions=None, space_origin=None, axis_mins='-1 -2 -3')
cases['mins_nan_first'] = whole(space=None, space_directions=None, space_origin=None, axis_mins='nan -2 -3', spacings='1 1 1')
cases['mins_nan_last'] = whole(space=None, space_directions=None, space_origin=None, axis_mins='-1 -2 nan', spacings='1 1 1')
for name, directions in {
        'oblique': '(0.7648421872844885,0.19866933079506122,0) (-0.2235030,0.8604476,0) (0,0,2.5)',
        'permuted': '(0,0.8,0) (0,0,0.9) (2.5,0,0)', 'flipped': '(-0.8,0,0) (0,-0.9,0) (0,0,2.5)',
        'left_handed': '(0.8,0,0) (0,0.9,0) (0,0,-2.5)', 'sheared': '(0.8,0,0) (0.3,0.9,0) (0.1,0.2,2.5)',
        'singular': '(0.8,0,0) (0.8,0,0) (0,0,2.5)', 'zero': '(0.8,0,0) (0,0,0) (0,0,2.5)', 'tiny': '(1e-9,0,0) (0,0.9,0) (0,0,2.5)',
        'spaces': ' (0.8,0,0)   (0,0.9,0)\t(0,0,2.5) ', 'inner_spaces': '(0.8, 0, 0) (0, 0.9, 0) (0, 0, 2.5)',
        'inner_spaces_before': '( 0.8 ,0 ,0 ) (0,0.9,0) (0,0,2.5)', 'no_gap': '(0.8,0,0)(0,0.9,0)(0,0,2.5)',
        'none_last': '(0.8,0,0) (0,0.9,0) none', 'none_first': 'none (0,0.9,0) (0,0,2.5)', 'none_all': 'none none none',
        'nan': '(0.8,0,0) (0,0.9,0) (nan,nan,nan)', 'nan_part': '(0.8,0,0) (0,0.9,0) (nan,0,1)', 'inf': '(inf,0,0) (0,0.9,0) (0,0,1)',
        'few': '(0.8,0,0) (0,0.9,0)', 'many': '(0.8,0,0) (0,0.9,0) (0,0,1) (0,0,1)', 'short_vectors': '(0.8,0) (0,0.9) (0,0)',
        'long_vectors': '(0.8,0,0,0) (0,0.9,0,0) (0,0,1,0)', 'no_parentheses': '0.8 0 0 0 0.9 0 0 0 2.5', 'word': '(a,b,c) (0,0.9,0) (0,0,1)',
        'random': '(0.3,0.5,-0.2) (-0.6,0.4,0.1) (0.2,0.1,1.9)'}.items():
    cases[f'directions_{name}'] = whole(space_directions=directions)
for space in ('RAS', 'LAS', 'scanner-xyz'):
    cases[f'oblique_{space}'] = whole(space=space, space_directions='(0.3,0.5,-0.2) (-0.6,0.4,0.1) (0.2,0.1,1.9)')
for name, origin in {'nan': '(nan,nan,nan)', 'nan_part': '(nan,0,0)', 'none': 'none', 'inf': '(inf,0,0)', 'few': '(1,2)', 'exponent': '(1e2,-2.5E-3,+7)',
                     'text': '(a,b,c)'}.items():
    cases[f'origin_{name}'] = whole(space_origin=origin)
cases['measurement_frame'] = whole(measurement_frame='(1,0,0) (0,1,0) (0,0,1)')
cases['measurement_frame_bad'] = whole(measurement_frame='(1,0,0)')
cases['units'] = whole(space_units='"mm" "mm" "mm"')
cases['units_cm'] = whole(space_units='"cm" "cm" "cm"')
cases['axis_units_with_directions'] = whole(units='"mm" "mm" "mm"')
cases['thicknesses'] = whole(thicknesses='1 1 3')
cases['labels'] = whole(labels='"x" "y" "z"')
cases['content_and_more'] = whole(content='a title', sample_units='HU', number='60', old_min='0', old_max='5', min='3', max='4')
# Dimensions and kinds
d2 = dict(space=None, space_directions=None, space_origin=None, kinds=None)
cases['1d'] = whole(size=(5,), **d2)
cases['2d'] = whole(size=(4, 5), **d2)
cases['2d_spacings'] = whole(size=(4, 5), spacings='0.5 0.7', **d2)
cases['2d_space'] = {'a.nrrd': header({'type': 'int16', 'dimension': 2, 'space dimension': 2, 'sizes': '4 5', 'space directions': '(0.5,0) (0,0.7)',
                                       'endian': 'little', 'encoding': 'raw', 'space origin': '(3,4)'}).encode() + b'\n' + voxels('int16', (4, 5)).tobytes()}
cases['2d_space_turned'] = {'a.nrrd': header({'type': 'int16', 'dimension': 2, 'space dimension': 2, 'sizes': '4 5', 'space directions': '(0.3,0.4) (-0.4,0.3)',
                                              'endian': 'little', 'encoding': 'raw', 'space origin': '(3,4)'}).encode() + b'\n' + voxels('int16', (4, 5)).tobytes()}
cases['2d_in_3d_space'] = whole(size=(4, 5), kinds=None, space_directions='(0.5,0,0) (0,0.7,0)')
cases['3d_one_slice'] = whole(size=(4, 5, 1))
cases['4d'] = whole(size=(3, 4, 5, 2), **d2)
cases['4d_spacings'] = whole(size=(3, 4, 5, 2), spacings='0.8 0.9 2.5 7', **d2)
cases['4d_spacings_nan'] = whole(size=(3, 4, 5, 2), spacings='0.8 0.9 2.5 nan', **d2)
cases['4d_kinds_time'] = whole(size=(3, 4, 5, 2), spacings='0.8 0.9 2.5 7', **{**d2, 'kinds': 'space space space time'})
cases['4d_time_first'] = whole(size=(2, 3, 4, 5), spacings='7 0.8 0.9 2.5', **{**d2, 'kinds': 'time space space space'})
cases['4d_one'] = whole(size=(3, 4, 5, 1), **d2)
cases['4d_space_time'] = whole(size=(3, 4, 5, 2), space='left-posterior-superior-time', kinds='space space space time', space_origin='(1,2,3,4)',
                               space_directions='(0.8,0,0,0) (0,0.9,0,0) (0,0,2.5,0) (0,0,0,3)')
cases['4d_space_time_ras'] = whole(size=(3, 4, 5, 2), space='RAST', kinds='space space space time', space_origin='(1,2,3,4)',
                                   space_directions='(0.8,0,0,0) (0,0.9,0,0) (0,0,2.5,0) (0,0,0,3)')
cases['4d_mixed_axes'] = whole(size=(3, 4, 5, 2), space='left-posterior-superior-time', kinds='space space space time', space_origin='(1,2,3,4)',
                               space_directions='(0.8,0,0,0) (0,0.9,0,0) (0,0,0,2.5) (0,0,3,0)')
cases['4d_no_direction_time'] = whole(size=(3, 4, 5, 2), kinds='space space space time', space_directions='(0.8,0,0) (0,0.9,0) (0,0,2.5) none')
cases['4d_no_direction_unknown'] = whole(size=(3, 4, 5, 2), kinds=None, space_directions='(0.8,0,0) (0,0.9,0) (0,0,2.5) none')
cases['5d'] = whole(size=(2, 3, 2, 3, 2), **d2)
cases['6d'] = whole(size=(2, 3, 2, 3, 2, 2), **d2)
for kind, count in {'list': 2, 'vector': 3, 'RGB-color': 3, 'RGBA-color': 4, '3-color': 3, 'point': 3, 'covariant-vector': 3, 'scalar': 1, 'stub': 1,
                    'normal': 3, '3-vector': 3, '3D-matrix': 9, '3D-symmetric-matrix': 6, '3D-masked-symmetric-matrix': 7, 'complex': 2,
                    'quaternion': 4, 'nonsense': 3}.items():
    for place in ('first', 'last'):
        for type_ in ('float', 'uint8') if kind == 'complex' else ('uint8',):
            size = (count, 3, 4, 5) if place == 'first' else (3, 4, 5, count)
            v = ['(0.8,0,0)', '(0,0.9,0)', '(0,0,2.5)']
            k = ['domain'] * 3
            at = 0 if place == 'first' else 3
            v.insert(at, 'none'), k.insert(at, kind)
            cases[f'kind_{kind}_{place}_{type_}'] = whole(type_, size=size, kinds=' '.join(k), space_directions=' '.join(v))
cases['kind_list_of_one'] = whole('uint8', size=(1, 3, 4, 5), kinds='list domain domain domain', space_directions='none (0.8,0,0) (0,0.9,0) (0,0,2.5)')
cases['kind_scalar_of_two'] = whole('uint8', size=(2, 3, 4, 5), kinds='scalar domain domain domain', space_directions='none (0.8,0,0) (0,0.9,0) (0,0,2.5)')
cases['kind_two_lists'] = whole('uint8', size=(2, 2, 4, 5), kinds='list list domain domain', space_directions='none none (0.8,0,0) (0,0.9,0)')
cases['kind_list_2d'] = {'a.nrrd': header({'type': 'uint8', 'dimension': 3, 'sizes': '3 4 5', 'kinds': 'list domain domain', 'encoding': 'raw'}).encode() + b'\n' + voxels('uint8').tobytes()}
cases['kind_vector_2d'] = {'a.nrrd': header({'type': 'uint8', 'dimension': 3, 'sizes': '3 4 5', 'kinds': 'RGB-color domain domain', 'encoding': 'raw'}).encode() + b'\n' + voxels('uint8').tobytes()}
cases['kinds_question'] = whole(kinds='??? none domain')
cases['kinds_few'] = whole(kinds='domain domain')
cases['kinds_many'] = whole(kinds='domain domain domain domain')
cases['kinds_time'] = whole(kinds='space space time')
cases['kinds_case'] = whole(kinds='Domain SPACE domain')
# Headers
for v in (0, 1, 2, 3, 4, 5, 6, 9):
    cases[f'version_{v}'] = {'a.nrrd': header(base(), v).encode() + b'\n' + voxels('int16').tobytes()}
cases['version_00.01'] = {'a.nrrd': b'NRRD00.01\n' + header(base()).encode().split(b'\n', 1)[1] + b'\n' + voxels('int16').tobytes()}
cases['magic_wrong'] = {'a.nrrd': b'NRRX0004\n' + header(base()).encode().split(b'\n', 1)[1] + b'\n' + voxels('int16').tobytes()}
cases['crlf'] = {'a.nrrd': header(base()).replace('\n', '\r\n').encode() + b'\r\n' + voxels('int16').tobytes()}
cases['cr'] = {'a.nrrd': header(base()).replace('\n', '\r').encode() + b'\r' + voxels('int16').tobytes()}
cases['crlf_gzip'] = {'a.nrrd': header(base(encoding='gzip')).replace('\n', '\r\n').encode() + b'\r\n' + packed(voxels('int16'), 'gzip')}
cases['comments'] = {'a.nrrd': header(base()).replace('type', '# a comment: x\n#\ntype', 1).encode() + b'#last\n\n' + voxels('int16').tobytes()}
cases['key_with_colon'] = {'a.nrrd': header(base()).encode() + b'something: else:=3\n\n' + voxels('int16').tobytes()}
cases['key_values'] = {'a.nrrd': header(base()).encode() + b'Segment0_ID:=Segment_1\nnothing:=\nDWMRI_b-value:=1000\n\n' + voxels('int16').tobytes()}
cases['unknown_field'] = whole(nonsense='3')
cases['field_no_space'] = {'a.nrrd': header(base()).replace('kinds: ', 'kinds:').encode() + b'\n' + voxels('int16').tobytes()}
cases['field_case'] = {'a.nrrd': header(base()).replace('kinds: ', 'KINDS: ').replace('space origin', 'spaceorigin').encode() + b'\n' + voxels('int16').tobytes()}
cases['field_spaces_before'] = {'a.nrrd': header(base()).replace('kinds: ', 'kinds:  \t ').replace('type: ', 'type:   ').encode() + b'\n' + voxels('int16').tobytes()}
cases['field_twice'] = {'a.nrrd': header(base()).encode() + b'encoding: raw\n\n' + voxels('int16').tobytes()}
cases['order_sizes_before_dimension'] = {'a.nrrd': header(dict(sorted(base().items(), key=lambda kv: kv[0] != 'sizes'))).encode() + b'\n' + voxels('int16').tobytes()}
cases['order_directions_before_space'] = {'a.nrrd': header(dict(sorted(base().items(), key=lambda kv: kv[0] == 'space'))).encode() + b'\n' + voxels('int16').tobytes()}
for field in ('type', 'dimension', 'sizes', 'encoding', 'endian'):
    cases[f'missing_{field}'] = whole(**{field: None}) if field not in ('type', 'encoding', 'endian') else {
        'a.nrrd': header({k: v for k, v in base().items() if k != field}).encode() + b'\n' + voxels('int16').tobytes()}
cases['missing_endian_uint8'] = {'a.nrrd': header({k: v for k, v in base('uint8').items() if k != 'endian'}).encode() + b'\n' + voxels('uint8').tobytes()}
cases['missing_endian_ascii'] = {'a.nrrd': header({k: v for k, v in base(encoding='ascii').items() if k != 'endian'}).encode() + b'\n' + packed(voxels('int16'), 'ascii')}
cases['missing_endian_hex'] = {'a.nrrd': header({k: v for k, v in base(encoding='hex').items() if k != 'endian'}).encode() + b'\n' + packed(voxels('int16'), 'hex')}
cases['endian_Little'] = {'a.nrrd': header({**base(), 'endian': 'Little'}).encode() + b'\n' + voxels('int16').tobytes()}
cases['endian_odd'] = {'a.nrrd': header({**base(), 'endian': 'middle'}).encode() + b'\n' + voxels('int16').tobytes()}
cases['no_blank_line'] = {'a.nrrd': header(base()).encode()}
cases['empty'] = {'a.nrrd': b''}
cases['magic_only'] = {'a.nrrd': b'NRRD0004\n'}
for name, sizes in {'zero': '3 0 5', 'negative': '3 -4 5', 'few': '3 4', 'many': '3 4 5 6', 'fraction': '3.0 4 5', 'text': '3 x 5', 'huge': '99999999 99999999 99999999',
                    'large': '3 4 500'}.items():
    cases[f'sizes_{name}'] = whole(sizes=sizes)
for name, dimension in {'0': 0, '17': 17, 'text': 'three', 'fraction': '3.0'}.items():
    cases[f'dimension_{name}'] = whole(dimension=dimension)
# Skips
cases['byte_skip'] = whole(byte_skip='7', data=b'1234567' + voxels('int16').tobytes())
cases['byte_skip_minus_one'] = whole(byte_skip='-1', data=b'123' + voxels('int16').tobytes())
cases['byte_skip_minus_three'] = whole(byte_skip='-3', data=b'123' + voxels('int16').tobytes() + b'xx')
cases['byte_skip_gzip'] = whole(encoding='gzip', byte_skip='3', data=gzip.compress(b'abc' + voxels('int16').tobytes(), mtime=0))
cases['byte_skip_gzip_minus_one'] = whole(encoding='gzip', byte_skip='-1', data=gzip.compress(b'abc' + voxels('int16').tobytes(), mtime=0))
cases['byte_skip_gzip_minus_three'] = whole(encoding='gzip', byte_skip='-3', data=gzip.compress(b'abc' + voxels('int16').tobytes() + b'xx', mtime=0))
cases['byte_skip_gzip_minus_beyond'] = whole(encoding='gzip', byte_skip='-30', data=gzip.compress(b'abc' + voxels('int16').tobytes(), mtime=0))
cases['byte_and_line_skip_gzip_minus_one'] = whole(encoding='gzip', line_skip='1', byte_skip='-1', data=b'one\n' + gzip.compress(b'abc' + voxels('int16').tobytes(), mtime=0))
cases['byte_skip_hex_minus_one'] = whole(encoding='hex', byte_skip='-1')
cases['byte_skip_minus_beyond'] = whole(byte_skip='-3000')
cases['byte_skip_ascii'] = whole(encoding='ascii', byte_skip='4', data=b'abcd' + packed(voxels('int16'), 'ascii'))
cases['byte_skip_beyond'] = whole(byte_skip='7000')
cases['line_skip'] = whole(line_skip='2', data=b'one\ntwo\n' + voxels('int16').tobytes())
cases['line_skip_crlf'] = whole(line_skip='2', data=b'one\r\ntwo\r\n' + voxels('int16').tobytes())
cases['line_and_byte_skip'] = whole(line_skip='1', byte_skip='2', data=b'one\nab' + voxels('int16').tobytes())
cases['line_skip_gzip'] = whole(encoding='gzip', line_skip='1', data=b'one\n' + packed(voxels('int16'), 'gzip'))
cases['line_skip_beyond'] = whole(line_skip='200')
# Detached data
raw = voxels('int16').tobytes()
cases['detached'] = detached({'a.raw': raw}, data_file='a.raw')
cases['detached_named_nrrd'] = detached({'a.raw': raw}, name='a.nrrd', data_file='a.raw')
cases['detached_blank_line'] = detached({'a.raw': raw}, data_file='a.raw', end='\n')
cases['detached_datafile'] = {'a.nhdr': header(base(datafile='a.raw')).encode(), 'a.raw': raw}
cases['detached_dot'] = detached({'a.raw': raw}, data_file='./a.raw')
cases['detached_folder'] = detached({'data/a.raw': raw}, data_file='data/a.raw')
cases['detached_name_with_spaces'] = detached({'a b.raw': raw}, data_file='a b.raw')
cases['detached_gzip'] = detached({'a.raw.gz': packed(voxels('int16'), 'gzip')}, encoding='gzip', data_file='a.raw.gz')
cases['detached_ascii'] = detached({'a.txt': packed(voxels('int16'), 'ascii')}, encoding='ascii', data_file='a.txt')
cases['detached_hex'] = detached({'a.hex': packed(voxels('int16'), 'hex')}, encoding='hex', data_file='a.hex')
cases['detached_skip'] = detached({'a.raw': b'x\n12' + raw}, line_skip='1', byte_skip='2', data_file='a.raw')
cases['detached_skip_end'] = detached({'a.raw': b'some header' + raw}, byte_skip='-1', data_file='a.raw')
cases['detached_missing'] = detached({}, data_file='a.raw')
cases['detached_cut'] = detached({'a.raw': raw[:-2]}, data_file='a.raw')
cases['detached_list'] = detached({f'{i}.raw': raw[24 * i:24 * i + 24] for i in range(5)}, data_file='LIST', end='0.raw\n1.raw\n2.raw\n3.raw\n4.raw\n')
cases['detached_list_1d'] = detached({f'{i}.raw': raw[6 * i:6 * i + 6] for i in range(20)}, data_file='LIST 1', end=''.join(f'{i}.raw\n' for i in range(20)))
cases['detached_list_3d'] = detached({'0.raw': raw}, data_file='LIST 3', end='0.raw\n')
cases['detached_list_slabs'] = detached({f'{i}.raw': raw[24 * i:24 * i + 24] for i in range(5)}, data_file='LIST 3', end=''.join(f'{i}.raw\n' for i in range(5)))
cases['detached_list_gzip'] = detached({f'{i}.gz': gzip.compress(raw[24 * i:24 * i + 24], mtime=0) for i in range(5)}, encoding='gzip', data_file='LIST', end=''.join(f'{i}.gz\n' for i in range(5)))
cases['detached_list_few'] = detached({'0.raw': raw}, data_file='LIST', end='0.raw\n')
cases['detached_list_not_last'] = {'a.nhdr': header({'data file': 'LIST', **base()}).encode() + b'0.raw\n', '0.raw': raw}
cases['detached_pattern'] = detached({f's{i:03d}.raw': raw[24 * (i - 1):24 * i] for i in range(1, 6)}, data_file='s%03d.raw 1 5 1')
cases['detached_pattern_step'] = detached({f's{2 * i}.raw': raw[24 * i:24 * i + 24] for i in range(5)}, data_file='s%d.raw 8 0 -2')
cases['detached_pattern_dimension'] = detached({f's{i}.raw': raw[6 * i:6 * i + 6] for i in range(20)}, data_file='s%d.raw 0 19 1 1')
cases['detached_pattern_few'] = detached({f's{i}.raw': raw[24 * i:24 * i + 24] for i in range(4)}, data_file='s%d.raw 0 3 1')
cases['detached_pattern_bad'] = detached({'s1.raw': raw}, data_file='s%d.raw 1 5 0')
cases['detached_outside'] = {'header/a.nhdr': detached({}, data_file='../a.raw')['a.nhdr'], 'a.raw': raw}
cases['detached_back'] = {'a.nhdr': detached({}, data_file='data/../a.raw')['a.nhdr'], 'data/b.raw': raw, 'a.raw': raw}
cases['attached_named_nhdr'] = {'a.nhdr': whole()['a.nrrd']}
cases['named_NRRD'] = {'a.NRRD': whole()['a.nrrd']}

orient = [n for n in cases if n.startswith(('directions_', 'oblique_', 'space_'))] + ['2d', '4d', 'gzip_big', 'detached', 'no_space']
write_cases(cases, '.nrrd', Path(__file__).parent / 'nrrd.json', orient)
