"""Makes mha.json: MetaImage files as they may come, and what SimpleITKIO reads from each.

Usage (venv with nnunetv2 2.5.1 and SimpleITK 2.5.7), in this folder: python make_mha_cases.py
"""
import gzip
import sys
import zlib
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from itk_cases import values_of, write_cases

TYPES = {'MET_CHAR': 'i1', 'MET_UCHAR': 'u1', 'MET_SHORT': 'i2', 'MET_USHORT': 'u2', 'MET_INT': 'i4', 'MET_UINT': 'u4', 'MET_LONG': 'i4',
         'MET_ULONG': 'u4', 'MET_LONG_LONG': 'i8', 'MET_ULONG_LONG': 'u8', 'MET_FLOAT': 'f4', 'MET_DOUBLE': 'f8'}
SIZE = (3, 4, 5)


def voxels(kind, size=SIZE):
    return values_of(np.dtype(TYPES[kind]), size)


def base(kind='MET_SHORT', size=SIZE, **other):
    n = len(size)
    fields = {'ObjectType': 'Image', 'NDims': n, 'BinaryData': 'True', 'BinaryDataByteOrderMSB': 'False', 'CompressedData': 'False',
              'TransformMatrix': ' '.join(str(int(i == j)) for i in range(n) for j in range(n)), 'Offset': ' '.join('-11.5 7.25 30 4'.split()[:n]),
              'CenterOfRotation': ' '.join('0' * n), 'ElementSpacing': ' '.join('0.8 0.9 2.5 7'.split()[:n]), 'DimSize': ' '.join(map(str, size)),
              'ElementType': kind, 'ElementDataFile': 'LOCAL'}
    for key, value in other.items():
        if value is None:
            fields.pop(key, None)
        elif key in fields:
            fields[key] = value
        else:
            fields = {**{k: v for k, v in fields.items() if k != 'ElementDataFile'}, key: value, 'ElementDataFile': fields['ElementDataFile']}
    return fields


def header(fields, separator=' = ', end='\n'):
    return ''.join(f'{k}{separator}{v}{end}' for k, v in fields.items()).encode()


def text(data, separator=' '):
    return (separator.join(repr(v) for v in data.tolist()) + '\n').encode()


def whole(kind='MET_SHORT', size=SIZE, data=None, after=b'', name='a.mha', **other):
    body = voxels(kind, size).tobytes() if data is None else data
    return {name: header(base(kind, size, **other)) + body + after}


def detached(files, name='a.mhd', end=b'', **other):
    return {name: header(base(**other)) + end, **files}


def packed(kind='MET_SHORT', size=SIZE):
    return zlib.compress(voxels(kind, size).tobytes())


cases = {}
for kind in TYPES:
    cases[f'{kind}_little'] = whole(kind)
    cases[f'{kind}_big'] = whole(kind, data=voxels(kind).byteswap().tobytes(), BinaryDataByteOrderMSB='True')
    cases[f'{kind}_zlib'] = whole(kind, data=packed(kind), CompressedData='True', CompressedDataSize=len(packed(kind)))
    cases[f'{kind}_ascii'] = whole(kind, data=text(voxels(kind)), BinaryData='False')
for kind in ('MET_ASCII_CHAR', 'MET_OTHER', 'MET_NONE', 'MET_STRING', 'MET_SHORT_ARRAY', 'MET_UCHAR_ARRAY', 'MET_FLOAT_MATRIX', 'MET_HALF', 'short', 'met_short',
             'MET_SHORT ', 'MET_FLOAT_ARRAY'):
    cases[f'type_{kind.replace(" ", "_")}'] = whole(data=voxels('MET_FLOAT' if 'FLOAT' in kind else 'MET_UCHAR' if 'UCHAR' in kind or kind in ('MET_ASCII_CHAR', 'MET_STRING') else 'MET_SHORT').tobytes(), ElementType=kind)
# Packing
cases['zlib_no_size'] = whole(data=packed(), CompressedData='True')
cases['zlib_size_zero'] = whole(data=packed(), CompressedData='True', CompressedDataSize=0)
cases['zlib_size_small'] = whole(data=packed(), CompressedData='True', CompressedDataSize=20)
cases['zlib_size_large'] = whole(data=packed(), CompressedData='True', CompressedDataSize=len(packed()) + 10)
cases['zlib_no_size_garbage'] = whole(data=packed(), CompressedData='True', after=b'garbage')
cases['zlib_garbage'] = whole(data=packed(), CompressedData='True', CompressedDataSize=len(packed()), after=b'garbage')
cases['zlib_cut'] = whole(data=packed()[:-10], CompressedData='True', CompressedDataSize=len(packed()))
cases['zlib_cut_no_size'] = whole(data=packed()[:-10], CompressedData='True')
cases['zlib_checksum'] = whole(data=packed()[:-4] + b'\0\0\0\0', CompressedData='True')
cases['zlib_more'] = whole(data=zlib.compress(voxels('MET_SHORT').tobytes() + b'abcd'), CompressedData='True')
cases['zlib_less'] = whole(data=zlib.compress(voxels('MET_SHORT').tobytes()[:-4]), CompressedData='True')
cases['gzip'] = whole(data=gzip.compress(voxels('MET_SHORT').tobytes(), mtime=0), CompressedData='True')
for name, data in {'checksum': packed()[:-4] + b'\0\0\0\0', 'more': zlib.compress(voxels('MET_SHORT').tobytes() + b'abcd'),
                   'less': zlib.compress(voxels('MET_SHORT').tobytes()[:-4]), 'gzip': gzip.compress(voxels('MET_SHORT').tobytes(), mtime=0),
                   'raw': voxels('MET_SHORT').tobytes()}.items():
    cases[f'zlib_sized_{name}'] = whole(data=data, CompressedData='True', CompressedDataSize=len(data))
cases['packed_is_raw'] = whole(CompressedData='True')
cases['packed_big'] = whole('MET_FLOAT', data=zlib.compress(voxels('MET_FLOAT').byteswap().tobytes()), CompressedData='True', BinaryDataByteOrderMSB='True')
for word in ('true', 'TRUE', '1', 't', 'yes', 'Tomorrow', '0', 'False', ''):
    cases[f'compressed_{word or "empty"}'] = whole(data=packed() if word[:1] in ('t', 'T', '1') and word else None, CompressedData=word)
    cases[f'msb_{word or "empty"}'] = whole(BinaryDataByteOrderMSB=word, data=voxels('MET_SHORT').byteswap().tobytes() if word[:1] in ('t', 'T', '1') and word else None)
cases['msb_element'] = whole(BinaryDataByteOrderMSB=None, ElementByteOrderMSB='True', data=voxels('MET_SHORT').byteswap().tobytes())
cases['msb_both'] = whole(ElementByteOrderMSB='True')
cases['msb_none'] = whole(BinaryDataByteOrderMSB=None)
cases['binary_none'] = whole(BinaryData=None)
cases['binary_none_ascii'] = whole(BinaryData=None, data=text(voxels('MET_SHORT')))
cases['raw_cut'] = whole(data=voxels('MET_SHORT').tobytes()[:-1])
cases['raw_more'] = whole(after=b'abc')
cases['raw_empty'] = whole(data=b'')
# Text
cases['ascii_newlines'] = whole(data=text(voxels('MET_SHORT'), '\n'), BinaryData='False')
cases['ascii_crlf'] = whole(data=text(voxels('MET_SHORT'), '\r\n'), BinaryData='False')
cases['ascii_commas'] = whole(data=text(voxels('MET_SHORT'), ','), BinaryData='False')
cases['ascii_commas_blanks'] = whole(data=text(voxels('MET_SHORT'), ', '), BinaryData='False')
cases['ascii_cut'] = whole(data=b'1 2 3\n', BinaryData='False')
cases['ascii_no_end'] = whole('MET_UCHAR', data=text(voxels('MET_UCHAR')).strip(), BinaryData='False')
cases['ascii_word'] = whole(data=b'1 x ' + text(voxels('MET_SHORT')), BinaryData='False')
cases['ascii_fraction'] = whole(data=b' '.join(b'%d.7' % i for i in range(60)) + b'\n', BinaryData='False')
cases['ascii_exponent'] = whole('MET_FLOAT', data=b' '.join(b'%de-3' % i for i in range(60)) + b'\n', BinaryData='False')
cases['ascii_exponent_in_int'] = whole(data=b' '.join(b'%de1' % i for i in range(60)) + b'\n', BinaryData='False')
cases['ascii_overflow'] = whole('MET_UCHAR', data=b' '.join(b'%d' % (i * 10) for i in range(60)) + b'\n', BinaryData='False')
cases['ascii_msb'] = whole(data=text(voxels('MET_SHORT')), BinaryData='False', BinaryDataByteOrderMSB='True')
cases['ascii_compressed'] = whole(data=text(voxels('MET_SHORT')), BinaryData='False', CompressedData='True')
cases['float_nan_inf'] = whole('MET_FLOAT', data=np.array([np.nan, np.inf, -np.inf, 1e-45, -0.0] + [1] * 55, np.float32).tobytes())
cases['double_large'] = whole('MET_DOUBLE', data=np.array([1e300, -1e300, 1e-300, 16777217.0, 0.1] + [1] * 55).tobytes())
# Geometry
for name, matrix in {'permuted': '0 1 0 0 0 1 1 0 0', 'flipped': '-1 0 0 0 -1 0 0 0 1', 'left_handed': '1 0 0 0 1 0 0 0 -1',
                     'oblique': '0.9553364891256060 0.2955202066613396 0 -0.2955202066613396 0.9553364891256060 0 0 0 1', 'sheared': '1 0 0 0.3 0.9 0 0.1 0.2 1',
                     'scaled': '2 0 0 0 2 0 0 0 2', 'singular': '1 0 0 1 0 0 0 0 1', 'zeros': '0 0 0 0 0 0 0 0 0', 'few': '1 0 0 0 1 0', 'many': '1 0 0 0 1 0 0 0 1 5 5',
                     'nan': 'nan 0 0 0 1 0 0 0 1', 'text': 'a b c', 'commas': '1,0,0,0,1,0,0,0,1', 'random': '0.3 0.5 -0.2 -0.6 0.4 0.1 0.2 0.1 0.9'}.items():
    cases[f'matrix_{name}'] = whole(TransformMatrix=matrix)
cases['matrix_none'] = whole(TransformMatrix=None)
for name in ('Orientation', 'Rotation'):
    cases[f'matrix_{name}'] = whole(TransformMatrix=None, **{name: '0 1 0 1 0 0 0 0 1'})
    cases[f'matrix_{name}_and_TransformMatrix'] = whole(**{name: '0 1 0 1 0 0 0 0 1'})
cases['matrix_Orientation_and_Rotation'] = whole(TransformMatrix=None, Rotation='-1 0 0 0 -1 0 0 0 1', Orientation='0 1 0 1 0 0 0 0 1')
for name in ('Position', 'Origin', 'ImagePosition', 'ElementOrigin'):
    cases[f'offset_{name}'] = whole(Offset=None, **{name: '1 2 3'})
    cases[f'offset_{name}_and_Offset'] = whole(**{name: '1 2 3'})
cases['offset_Position_and_Origin'] = whole(Offset=None, Origin='4 5 6', Position='1 2 3')
cases['offset_Origin_and_ImagePosition'] = whole(Offset=None, ImagePosition='1 2 3', Origin='4 5 6')
cases['offset_none'] = whole(Offset=None)
cases['offset_few'] = whole(Offset='1 2')
cases['offset_nan'] = whole(Offset='nan 2 3')
cases['offset_exponent'] = whole(Offset='1e2 -2.5E-3 +7')
cases['offset_tiny'] = whole(Offset='1e-320 0 0')
cases['spacing_none'] = whole(ElementSpacing=None)
cases['spacing_size'] = whole(ElementSpacing=None, ElementSize='0.4 0.5 0.6')
cases['spacing_and_size'] = whole(ElementSize='0.4 0.5 0.6')
cases['spacing_negative'] = whole(ElementSpacing='0.8 -0.9 2.5')
cases['spacing_zero'] = whole(ElementSpacing='0.8 0 2.5')
cases['spacing_nan'] = whole(ElementSpacing='0.8 nan 2.5')
cases['spacing_inf'] = whole(ElementSpacing='0.8 inf 2.5')
cases['spacing_few'] = whole(ElementSpacing='0.8 0.9')
cases['direction_element'] = whole(ElementDirection='0 1 0 1 0 0 0 0 1')
cases['version_0'] = whole(FileFormatVersion='0')
cases['version_1'] = whole(FileFormatVersion='1')
cases['version_1_fields'] = whole(FileFormatVersion='1', ElementOrigin='1 2 3', ElementDirection='0 1 0 1 0 0 0 0 1')
cases['version_1_position'] = whole(FileFormatVersion='1', Offset=None, Position='1 2 3', ElementOrigin='4 5 6', ElementDirection='1 0 0 0 1 0 0 0 1')
cases['orientation'] = whole(AnatomicalOrientation='RAI')
cases['orientation_other'] = whole(AnatomicalOrientation='LPS')
cases['units'] = whole(DistanceUnits='cm')
cases['modality'] = whole(Modality='MET_MOD_CT')
cases['slope'] = whole(ElementToIntensityFunctionSlope='2', ElementToIntensityFunctionOffset='5')
cases['more_fields'] = whole(Comment='a comment = of several : words', Name='x', ID='4', Color='1 0 0 1', SequenceID='1 2 3', ElementMin='0', ElementMax='4', ElementNBits='12')
cases['unknown_fields'] = whole(Nonsense='x', Seq_Frame0000_Transform='1 0 0 1', Kinds='domain domain domain')
# Dimensions, channels
cases['1d'] = whole(size=(5,))
cases['2d'] = whole(size=(4, 5))
cases['2d_turned'] = whole(size=(4, 5), TransformMatrix='0.6 0.8 -0.8 0.6')
cases['3d_one_slice'] = whole(size=(4, 5, 1))
cases['4d'] = whole(size=(3, 4, 5, 2))
cases['4d_one'] = whole(size=(3, 4, 5, 1))
cases['4d_zlib'] = whole(size=(3, 4, 5, 2), data=packed(size=(3, 4, 5, 2)), CompressedData='True')
cases['4d_turned'] = whole(size=(3, 4, 5, 2), TransformMatrix='0 1 0 0 1 0 0 0 0 0 1 0 0 0 0 1')
cases['4d_mixed'] = whole(size=(3, 4, 5, 2), TransformMatrix='1 0 0 0 0 1 0 0 0 0 0 1 0 0 1 0')
cases['4d_spacing_few'] = whole(size=(3, 4, 5, 2), ElementSpacing='0.8 0.9 2.5')
cases['5d'] = whole(size=(2, 3, 2, 3, 2), Offset='0 0 0 0 0', ElementSpacing='1 1 1 1 1')
cases['6d'] = whole(size=(2, 3, 2, 3, 2, 2), Offset='0 0 0 0 0 0', ElementSpacing='1 1 1 1 1 1')
cases['channels_1'] = whole(ElementNumberOfChannels='1')
cases['channels_0'] = whole(ElementNumberOfChannels='0')
cases['channels_2'] = whole(data=voxels('MET_SHORT', (2, 3, 4, 5)).tobytes(), ElementNumberOfChannels='2')
cases['channels_3_uchar'] = whole('MET_UCHAR', data=voxels('MET_UCHAR', (3, 3, 4, 5)).tobytes(), ElementNumberOfChannels='3')
cases['channels_2_of_2d'] = whole('MET_UCHAR', size=(4, 5), data=voxels('MET_UCHAR', (2, 4, 5)).tobytes(), ElementNumberOfChannels='2')
cases['channels_negative'] = whole(ElementNumberOfChannels='-1')
for name, sizes in {'zero': '3 0 5', 'negative': '3 -4 5', 'few': '3 4', 'many': '3 4 5 6', 'fraction': '3.0 4 5', 'text': '3 x 5', 'huge': '99999999 99999999 99999999', 'large': '3 4 500',
                    'over_int': '3 4 4294967301'}.items():
    cases[f'sizes_{name}'] = whole(DimSize=sizes)
for name, n in {'0': 0, '11': 11, 'text': 'three', 'fraction': '3.0', 'negative': -3}.items():
    cases[f'ndims_{name}'] = whole(NDims=n)
# Headers
for field in ('ObjectType', 'NDims', 'DimSize', 'ElementType', 'ElementDataFile', 'CenterOfRotation', 'CompressedData'):
    cases[f'missing_{field}'] = {'a.mha': header({k: v for k, v in base().items() if k != field}) + voxels('MET_SHORT').tobytes()}
cases['separator_tight'] = {'a.mha': header(base(), '=') + voxels('MET_SHORT').tobytes()}
cases['separator_colon'] = {'a.mha': header(base(), ': ') + voxels('MET_SHORT').tobytes()}
cases['separator_tabs'] = {'a.mha': header(base(), '\t=\t') + voxels('MET_SHORT').tobytes()}
cases['crlf'] = {'a.mha': header(base(), end='\r\n') + voxels('MET_SHORT').tobytes()}
cases['cr'] = {'a.mha': header(base(), end='\r') + voxels('MET_SHORT').tobytes()}
cases['blanks_behind'] = {'a.mha': header(base(), end='  \n') + voxels('MET_SHORT').tobytes()}
cases['blanks_before'] = {'a.mha': header({'  ' + k: v for k, v in base().items()}) + voxels('MET_SHORT').tobytes()}
cases['empty_lines'] = {'a.mha': header(base(), end='\n\n').replace(b'LOCAL\n\n', b'LOCAL\n') + voxels('MET_SHORT').tobytes()}
cases['small_letters'] = {'a.mha': header({k.lower(): v for k, v in base().items()}) + voxels('MET_SHORT').tobytes()}
cases['local_small'] = whole(ElementDataFile='local')
cases['local_capital'] = whole(ElementDataFile='Local')
cases['local_odd'] = whole(ElementDataFile='LoCaL')
cases['field_twice'] = {'a.mha': header({'DimSize ': '1 1 1'}).join([b'NDims = 3\n', b'']) + header({k: v for k, v in base().items() if k != 'NDims'}) + voxels('MET_SHORT').tobytes()}
cases['dim_size_before_ndims'] = {'a.mha': header({'DimSize': '3 4 5', **{k: v for k, v in base().items() if k != 'DimSize'}}) + voxels('MET_SHORT').tobytes()}
cases['object_type_other'] = whole(ObjectType='Tube')
cases['empty'] = {'a.mha': b''}
cases['header_only'] = {'a.mha': b'ObjectType = Image\nNDims = 3\n'}
cases['no_metaimage'] = {'a.mha': b'something else\n' * 20}
cases['named_MHA'] = {'a.MHA': whole()['a.mha']}
cases['attached_named_mhd'] = whole(name='a.mhd')
cases['long_line'] = whole(Comment='x' * 400)
cases['longer_line'] = whole(Comment='x' * 700)
cases['header_size'] = {'a.mha': header(base(HeaderSize=300)).ljust(300, b'x') + voxels('MET_SHORT').tobytes()}
cases['header_size_zero'] = whole(HeaderSize=0)
cases['header_size_end'] = whole(HeaderSize=-1, data=b'abc' + voxels('MET_SHORT').tobytes())
cases['header_size_beyond'] = whole(HeaderSize=3000)
cases['header_size_minus_two'] = whole(HeaderSize=-2)
# Detached data
raw = voxels('MET_SHORT').tobytes()
cases['detached'] = detached({'a.raw': raw}, ElementDataFile='a.raw')
cases['detached_named_mha'] = detached({'a.raw': raw}, name='a.mha', ElementDataFile='a.raw')
cases['detached_zraw'] = detached({'a.zraw': packed()}, ElementDataFile='a.zraw', CompressedData='True')
cases['detached_zraw_size'] = detached({'a.zraw': packed()}, ElementDataFile='a.zraw', CompressedData='True', CompressedDataSize=len(packed()))
cases['detached_gzip_by_name'] = detached({'a.raw.gz': gzip.compress(raw, mtime=0)}, ElementDataFile='a.raw')
cases['detached_gzip_named'] = detached({'a.raw.gz': gzip.compress(raw, mtime=0)}, ElementDataFile='a.raw.gz')
cases['detached_gzip'] = detached({'a.raw.gz': gzip.compress(raw, mtime=0)}, ElementDataFile='a.raw.gz', CompressedData='True')
cases['detached_ascii'] = detached({'a.txt': text(voxels('MET_SHORT'))}, ElementDataFile='a.txt', BinaryData='False')
cases['detached_folder'] = detached({'data/a.raw': raw}, ElementDataFile='data/a.raw')
cases['detached_dot'] = detached({'a.raw': raw}, ElementDataFile='./a.raw')
cases['detached_name_with_blanks'] = detached({'a b.raw': raw}, ElementDataFile='a b.raw')
cases['detached_header_size'] = detached({'a.raw': b'1234' + raw}, ElementDataFile='a.raw', HeaderSize=4)
cases['detached_header_size_end'] = detached({'a.raw': b'12345' + raw}, ElementDataFile='a.raw', HeaderSize=-1)
cases['detached_missing'] = detached({}, ElementDataFile='a.raw')
cases['detached_cut'] = detached({'a.raw': raw[:-2]}, ElementDataFile='a.raw')
cases['detached_more'] = detached({'a.raw': raw + b'abc'}, ElementDataFile='a.raw')
cases['detached_itself'] = detached({}, ElementDataFile='a.mhd', HeaderSize=-1)
cases['detached_outside'] = {'header/a.mhd': detached({}, ElementDataFile='../a.raw')['a.mhd'], 'a.raw': raw}
slices = {f's{i}.raw': raw[24 * i:24 * i + 24] for i in range(5)}
names = ''.join(f's{i}.raw\n' for i in range(5)).encode()
cases['list'] = detached(slices, ElementDataFile='LIST', end=names)
cases['list_named_mha'] = detached(slices, name='a.mha', ElementDataFile='LIST', end=names)
cases['list_no_last_newline'] = detached(slices, ElementDataFile='LIST', end=names[:-1])
cases['list_crlf'] = detached(slices, ElementDataFile='LIST', end=names.replace(b'\n', b'\r\n'))
cases['list_blanks'] = detached(slices, ElementDataFile='LIST', end=names.replace(b'\n', b' \n'))
cases['list_dimension_2'] = detached(slices, ElementDataFile='LIST 2', end=names)
cases['list_dimension_2D'] = detached(slices, ElementDataFile='LIST 2D', end=names)
cases['list_dimension_1'] = detached({f'r{i}.raw': raw[6 * i:6 * i + 6] for i in range(20)}, ElementDataFile='LIST 1', end=''.join(f'r{i}.raw\n' for i in range(20)).encode())
cases['list_dimension_3'] = detached(slices, ElementDataFile='LIST 3', end=names)
cases['list_few'] = detached(slices, ElementDataFile='LIST', end=names[:14])
cases['list_more'] = detached(slices, ElementDataFile='LIST', end=names + b'more.raw\n')
cases['list_missing_file'] = detached({k: v for k, v in slices.items() if k != 's2.raw'}, ElementDataFile='LIST', end=names)
cases['list_cut_file'] = detached({**slices, 's2.raw': b'123'}, ElementDataFile='LIST', end=names)
cases['list_zlib'] = detached({k: zlib.compress(v) for k, v in slices.items()}, ElementDataFile='LIST', CompressedData='True', end=names)
cases['list_header_size'] = detached({k: b'head' + v for k, v in slices.items()}, ElementDataFile='LIST', HeaderSize=4, end=names)
cases['list_header_size_end'] = detached({k: b'head' + v for k, v in slices.items()}, ElementDataFile='LIST', HeaderSize=-1, end=names)
cases['list_4d'] = detached({f's{i}.raw': raw[24 * (i % 5):24 * (i % 5) + 24] for i in range(10)}, size=(3, 4, 5, 2), ElementDataFile='LIST 2', end=''.join(f's{i}.raw\n' for i in range(10)).encode())
cases['list_4d_volumes'] = detached({'v0.raw': raw, 'v1.raw': raw}, size=(3, 4, 5, 2), ElementDataFile='LIST', end=b'v0.raw\nv1.raw\n')
numbered = {f'n{i:03d}.raw': raw[24 * (i - 1):24 * i] for i in range(1, 6)}
cases['pattern'] = detached(numbered, ElementDataFile='n%03d.raw 1 5 1')
cases['pattern_default'] = detached(numbered, ElementDataFile='n%03d.raw')
cases['pattern_min'] = detached(numbered, ElementDataFile='n%03d.raw 1')
cases['pattern_min_max'] = detached(numbered, ElementDataFile='n%03d.raw 1 5')
cases['pattern_min_max_long'] = detached({f'm{2 * i}.raw': raw[24 * i:24 * i + 24] for i in range(5)}, ElementDataFile='m%d.raw 0 10')
cases['pattern_step'] = detached({f'm{2 * i}.raw': raw[24 * i:24 * i + 24] for i in range(5)}, ElementDataFile='m%d.raw 0 8 2')
cases['pattern_many'] = detached({f'm{i}.raw': raw[24 * (i % 5):24 * (i % 5) + 24] for i in range(9)}, ElementDataFile='m%d.raw 0 8 1')
cases['pattern_few'] = detached(numbered, ElementDataFile='n%03d.raw 1 4 1')
cases['pattern_missing'] = detached({k: v for k, v in numbered.items() if '3' not in k}, ElementDataFile='n%03d.raw 1 5 1')
cases['pattern_name_with_blanks'] = detached({f'n {i}.raw': raw[24 * (i - 1):24 * i] for i in range(1, 6)}, ElementDataFile='n %d.raw 1 5 1')

orient = [n for n in cases if n.startswith(('matrix_', 'offset_', 'spacing_'))] + ['2d', '4d', 'MET_FLOAT_big', 'detached', 'list']
# Packed data behind the header without their size are read from the file's beginning, and what zlib then says is not looked at.
garbage = [n for n, f in cases.items() if b'LOCAL' in f.get('a.mha', b'') and b'CompressedDataSize' not in f['a.mha'] and b'BinaryData = True' in f['a.mha']
           and any(b'CompressedData = ' + t in f['a.mha'] for t in (b't', b'T', b'1'))]
garbage += ['zlib_size_zero', 'zlib_size_small', 'zlib_sized_less', 'zlib_sized_raw', 'list_few', 'list_dimension_3', 'list_no_last_newline', 'pattern_few']
write_cases(cases, '.mha', Path(__file__).parent / 'mha.json', orient, garbage)
