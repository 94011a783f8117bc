"""
Makes series.json.gz (DICOM files by series, in base64) and expected.json (what SimpleITK's series reader makes of each):

    python make_dicom.py        (pydicom 3.0, SimpleITK 2.5.7, imagecodecs, pyjpegls)

Where SimpleITK reads a series wrongly, or not at all, the voxels are those that were put in (`truth`), and `why` says what is wrong.
`refused`: what has to be in the error. `nifti`: SimpleITK's NIfTI file of the series, in base64.
"""

import base64
import gzip
import hashlib
import json
import pathlib
import shutil
import tempfile

import numpy as np
import SimpleITK as sitk
from dicom_series import *  # noqa: F403

HERE = pathlib.Path(__file__).parent
sitk.ProcessObject.SetGlobalWarningDisplay(False)
rng = np.random.default_rng(17)

RLE, JPEG, LOSSLESS, SV1 = (f"1.2.840.10008.1.2.{x}" for x in ("5", "4.50", "4.57", "4.70"))
JLS, JLS_LOSSY, J2K, J2K_LOSSY = (f"1.2.840.10008.1.2.4.{x}" for x in ("80", "81", "90", "91"))


def phantom(shape=(5, 16, 20), low=-1000, high=1500, dtype=np.int16):
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    smooth = (np.exp(-2 * ((x - 0.2) ** 2 + y**2 + z**2)) + 0.1 * rng.random(shape)) / 1.1
    return np.round(low + smooth * (high - low)).astype(dtype)


CASES = {}


def case(name, make, *, single=False, truth=None, why=None, nifti=False, refused=None, warned=None):
    CASES[name] = dict(make=make, single=single, truth=truth, why=why, nifti=nifti, refused=refused, warned=warned)


s16 = phantom()
s12 = phantom(low=-2000, high=2000)
u16 = phantom(low=0, high=65535, dtype=np.uint16)
u12 = phantom(low=0, high=4095, dtype=np.uint16)
u10 = phantom(low=0, high=1023, dtype=np.uint16)
u8 = phantom(low=0, high=255, dtype=np.uint8)
s8 = phantom(low=-128, high=127, dtype=np.int8)
u8in16 = u8.astype(np.uint16)

# Geometry.
for axes, matrix in AXES.items():
    case(axes, lambda f, m=matrix: slices(f, s16, name="1", direction=m), nifti=True)
for i, angles in enumerate([(10, 20, 30), (-35, 5, 120), (80, -40, 10), (0.5, 0, 0), (179, 1, -2)]):
    case(f"oblique_{i}", lambda f, a=angles: slices(f, s16, name="1", direction=rotation(*a)), nifti=i < 3)
flips = np.diag([1, -1, -1]).astype(float)
case("rows_upward", lambda f: slices(f, s16, name="1", direction=flips), nifti=True)
case("columns_backward", lambda f: slices(f, s16, name="1", direction=np.diag([-1.0, 1, -1])))
case("feet_first", lambda f: slices(f, s16, name="1", order=[4, 3, 2, 1, 0]))
case("names_in_disorder", lambda f: slices(f, s16, name="1", order=[3, 0, 4, 1, 2]))
case("anisotropic", lambda f: slices(f, s16, name="1", spacing=(0.48828125, 0.9765625, 7)))
case("far_off", lambda f: slices(f, s16, name="1", origin=(-987.654, 812.25, 1499.125)))
case("two_slices", lambda f: slices(f, s16[:2], name="1"))
case("one_slice", lambda f: slices(f, s16[:1], name="1"))


def said_between(ds, z):
    ds.SpacingBetweenSlices = "3.3"


case("one_slice_with_spacing", lambda f: slices(f, s16[:1], name="1", change=said_between))
case("spacing_between_slices_is_wrong", lambda f: slices(f, s16, name="1", change=said_between))


def slight(ds, z):
    ds.ImageOrientationPatient = ["0.9999", "0.0001", "0", "0", "0.9998", "0.0005"]
    ds.ImagePositionPatient = ["0", number(-0.0005 * 2.5 * z), number(2.5 * z)]


case("cosines_roughly_rounded", lambda f: slices(f, s16, name="1", change=slight))


def rounded(ds, z):
    ds.ImagePositionPatient = ["0", "0", f"{1.25 * z:.1f}"]


case("positions_rounded", lambda f: slices(f, s16, name="1", change=rounded), warned="off the even distance")

# Numbers.
case("u12_in_16", lambda f: slices(f, u12, name="1", stored=12))
case("u10_in_16", lambda f: slices(f, u10, name="1", stored=10))
case("u8_in_16", lambda f: slices(f, u8in16, name="1", stored=8))
case("u16", lambda f: slices(f, u16, name="1"))
case("u8", lambda f: slices(f, u8, name="1"))
case("s8", lambda f: slices(f, s8, name="1"))
case("s12_in_16", lambda f: slices(f, s12, name="1", stored=12))
case("s12_without_its_sign_bits", lambda f: slices(f, (s12 & 0xFFF).astype(np.int16), name="1", stored=12))
case("u12_with_overlay_bits", lambda f: slices(f, u12 | 0x9000, name="1", stored=12))
case(
    "u12_at_the_top", lambda f: slices(f, u12 << 4, name="1", stored=12, high=15), truth=u12,
    why="GDCM does not shift by High Bit",
)
case("odd_number_of_bytes", lambda f: slices(f, np.ascontiguousarray(u8[:, :15, :19]), name="1"))


def mono1(ds, z):
    ds.PhotometricInterpretation = "MONOCHROME1"


case("low_is_bright_u12", lambda f: slices(f, u12, name="1", stored=12, change=mono1))
case("low_is_bright_s16", lambda f: slices(f, s16, name="1", change=mono1))
case("low_is_bright_rescaled", lambda f: slices(f, u12, name="1", stored=12, change=mono1, rescale=(1, -1024)))

# Rescaling.
case("hounsfield", lambda f: slices(f, u12, name="1", stored=12, rescale=(1, -1024)), nifti=True)
case("hounsfield_s16", lambda f: slices(f, s16, name="1", rescale=(1, -1024)))
case("slope_of_a_half", lambda f: slices(f, u12, name="1", stored=12, rescale=(0.5, -10)))
case("slope_of_a_third", lambda f: slices(f, u12, name="1", stored=12, rescale=(0.333333333, 0.1)), nifti=True)
case("slope_of_three", lambda f: slices(f, u16, name="1", rescale=(3, -5)))
case("slope_of_0", lambda f: slices(f, u12, name="1", stored=12, rescale=(0, -5)))
case("intercept_of_a_half", lambda f: slices(f, u12, name="1", stored=12, rescale=(1, 0.5)))
case("pet", lambda f: slices(f, u16, name="1", rescale=lambda z: (0.0123 * (z + 1), 0), sop_class=PET, modality="PT"))
case("mr_rescaled", lambda f: slices(f, u12, name="1", stored=12, rescale=(2.5, -10), sop_class=MR, modality="MR"))
case("intercepts_by_slice", lambda f: slices(f, u12, name="1", stored=12, rescale=lambda z: (1, -1000 - z)))
case(
    "only_later_slopes_are_fractions",
    lambda f: slices(f, u12, name="1", stored=12, rescale=lambda z: (1 + 0.25 * z, 0)),
    truth=u12 * (1 + 0.25 * np.arange(5))[:, None, None], why="ITK takes the type of the first slice and cuts fractions",
)


def table(ds, z):
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [1000, 100, 16], "US"
    item.add_new(0x00283006, "US", [(7 * i + z) % 5000 for i in range(1000)])
    ds.ModalityLUTSequence = Sequence([item])


case(
    "modality_lut", lambda f: slices(f, u12, name="1", stored=12, change=table),
    truth=np.stack([(7 * (np.clip(one.astype(int), 100, 1099) - 100) + z) % 5000 for z, one in enumerate(u12)]),
    why="GDCM does not apply modality LUTs",
)

# Transfer syntaxes.
for name, syntax in dict(implicit=IMPLICIT, deflated=DEFLATED, rle=RLE, jpeg_ls=JLS, j2k=J2K, lossless=LOSSLESS, sv1=SV1).items():
    for kind, volume, stored in (("u12", u12, 12), ("u8", u8, 8), ("s16", s16, 16)):
        unread = dict(truth=u8, why="GDCM can't decode it") if (name, kind) == ("jpeg_ls", "u8") else {}
        case(f"{name}_{kind}", lambda f, v=volume, s=stored, x=syntax: slices(f, v, name="1", stored=s, syntax=x), **unread)
case("big_endian_u12", lambda f: slices(f, u12, name="1", stored=12, syntax=BIG))
case("big_endian_s16", lambda f: slices(f, s16, name="1", syntax=BIG, rescale=(1, -24)))
case("j2k_s12", lambda f: slices(f, s12, name="1", stored=12, syntax=J2K))
case("jpeg_ls_s12", lambda f: slices(f, s12, name="1", stored=12, syntax=JLS))
case("rle_s12", lambda f: slices(f, s12, name="1", stored=12, syntax=RLE))
case("jpeg_u8", lambda f: slices(f, u8, name="1", syntax=JPEG))
case("jpeg_u8_hounsfield", lambda f: slices(f, u8, name="1", syntax=JPEG, rescale=(10, -1024)))
case("jpeg_ls_lossy_u12", lambda f: slices(f, u12, name="1", stored=12, syntax=JLS_LOSSY))
case("j2k_lossy_u12", lambda f: slices(f, u12, name="1", stored=12, syntax=J2K_LOSSY))

# Enhanced multi-frame objects.
for name, kw in dict(
    enhanced={},
    enhanced_oblique=dict(direction=rotation(10, 20, 30)),
    enhanced_feet_first=dict(order=[4, 3, 2, 1, 0]),
    enhanced_rescaled=dict(rescale=(1, -1024)),
    enhanced_rescaled_by_frame=dict(rescale=lambda z: (1, -1024)),
    enhanced_fractions=dict(rescale=(0.25, 3)),
    enhanced_mr=dict(sop_class=ENHANCED_MR, modality="MR", rescale=(2, -10)),
    enhanced_rle=dict(syntax=RLE),
    enhanced_j2k=dict(syntax=J2K),
    enhanced_jpeg_ls=dict(syntax=JLS),
    enhanced_sv1=dict(syntax=SV1),
    enhanced_implicit=dict(syntax=IMPLICIT),
    enhanced_deflated=dict(syntax=DEFLATED),
).items():
    case(name, lambda f, k=kw: enhanced(f / "enhanced.dcm", s16, name="1", **k), single=True)
case(
    "enhanced_in_disorder", lambda f: enhanced(f / "enhanced.dcm", s16, name="1", order=[1, 3, 0, 4, 2]), truth=s16,
    why="ITK does not put frames in order",
)
case(
    "enhanced_slopes_by_frame",
    lambda f: enhanced(f / "enhanced.dcm", u12, name="1", stored=12, rescale=lambda z: (1 + z, 5)), single=True,
    truth=u12 * (1.0 + np.arange(5))[:, None, None] + 5, why="ITK takes the slope of the first frame for all",
)

# With other things among the files.
def localiser(ds, z):
    if z == 4:
        ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        ds.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


case(
    "with_a_localiser", lambda f: slices(f, s16, name="1", change=localiser), truth=s16[:4], why="ITK stacks it",
    warned="1 localiser left out",
)


def report(folder):
    slices(folder, s16, name="1")
    ds = base("1", "1.2.840.10008.5.1.4.1.1.88.33", "SR")
    ds.SOPInstanceUID = ROOT + "8"
    save(ds, folder / "SR.dcm")


case("with_a_report", report, truth=s16, why="GDCM leaves it out without a word")


def cut_report(folder):
    report(folder)
    path = folder / "SR.dcm"
    path.write_bytes(path.read_bytes()[:-5])


case("with_a_cut_report", cut_report, truth=s16, why="GDCM leaves it out without a word")


def text(folder):
    slices(folder, s16, name="1")
    (folder / "notes.txt").write_text("no DICOM")


case("with_a_text", text)


def private(ds, z):
    block = ds.private_block(0x0029, "PHANTOM CSA", create=True)
    block.add_new(0x10, "OB", rng.bytes(3000))
    block.add_new(0x11, "UN", b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + rng.bytes(40))
    block.add_new(0x12, "LO", "\\".join(["x" * 60] * 20))


case("with_private_garbage", lambda f: slices(f, s16, name="1", change=private))


def nested(folder):
    slices(folder / "a", s16, name="1", change=lambda ds, z: None if z < 2 else False)
    slices(folder / "b" / "c", s16, name="1", change=lambda ds, z: None if z >= 2 else False)


case("in_several_folders", nested, truth=s16, why="SimpleITK was not asked to look into folders")


def no_meta(folder):
    slices(folder, s16, name="1", syntax=IMPLICIT)
    for path in folder.glob("*.dcm"):
        data = path.read_bytes()
        ds = pydicom.dcmread(path)
        start = 132 + 12 + ds.file_meta.FileMetaInformationGroupLength
        path.write_bytes(data[start:])


case("without_meta_information", no_meta)

# Refused.
def refuse(name, text, make, **kw):
    case(name, make, refused=text, **kw)


refuse("refused_no_position", "has no Image Position (Patient)", lambda f: slices(f, s16, name="1", change=lambda ds, z: delattr(ds, "ImagePositionPatient")))
refuse("refused_no_orientation", "has no usable Image Orientation (Patient)", lambda f: slices(f, s16, name="1", change=lambda ds, z: delattr(ds, "ImageOrientationPatient")))
refuse("refused_no_spacing", "has no Pixel Spacing", lambda f: slices(f, s16, name="1", change=lambda ds, z: delattr(ds, "PixelSpacing")))


def cosines(ds, z):
    ds.ImageOrientationPatient = [1, 0, 0, 0.1, 0.995, 0]


refuse("refused_skewed_cosines", "usable Image Orientation", lambda f: slices(f, s16, name="1", change=cosines))


def tilt(ds, z):
    ds.ImagePositionPatient = ["0", number(-0.5 * z), number(2.5 * z)]


refuse("refused_gantry_tilt", "gantry tilt of 11.31 degrees", lambda f: slices(f, s16, name="1", change=tilt))
refuse("refused_missing_slice", "a slice is missing", lambda f: slices(f, s16, name="1", change=lambda ds, z: False if z == 2 else None))


def twice(folder):
    slices(folder, s16, name="1")
    shutil.copy(folder / "IM0002.dcm", folder / "copy.dcm")


refuse("refused_copied_slice", "the same slice twice", twice)


def phases(folder):
    for phase in (1, 2):

        def change(ds, z, phase=phase):
            ds.AcquisitionNumber = phase
            ds.SOPInstanceUID += f".{phase}"

        slices(folder / str(phase), s16, name="1", change=change)


refuse("refused_two_phases", "AcquisitionNumber 1 and 2", phases)


def uneven(ds, z):
    ds.ImagePositionPatient = ["0", "0", number([0, 1, 2.3, 4, 5][z])]


refuse("refused_uneven", "unevenly spaced", lambda f: slices(f, s16, name="1", change=uneven))


def sideways(ds, z):
    ds.ImagePositionPatient = [number([0, 0.4, 0, 0, 0][z]), "0", number(2.5 * z)]


refuse("refused_sideways", "shifted sideways", lambda f: slices(f, s16, name="1", change=sideways))


def mosaic(ds, z):
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]


def many(ds):
    ds.NumberOfFrames = 1000000


refuse("refused_too_many_frames", "says that it has 1000000 frames", lambda f: enhanced(f / "enhanced.dcm", s16, name="1", change=many))
def no_number(ds, z):
    if z == 2:
        ds.RescaleSlope, ds.RescaleIntercept = 7, 0
        ds["RescaleSlope"]._value = "abc"


refuse("refused_slope", "Rescale Slope or Rescale Intercept is no number", lambda f: slices(f, s16, name="1", change=no_number))
refuse("refused_mosaic", "mosaics of several slices", lambda f: slices(f, s16[:1], name="1", change=mosaic))


def sizes(ds, z):
    if z == 3:
        ds.pixels = np.ascontiguousarray(ds.pixels[:10, :12])
        ds.Rows, ds.Columns = 10, 12


refuse("refused_mixed_sizes", "of several grids", lambda f: slices(f, s16, name="1", change=sizes))


def colour(ds, z):
    ds.pixels = np.repeat(ds.pixels[..., None], 3, -1)
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0


refuse("refused_colours", "a picture in colours (RGB)", lambda f: slices(f, u8, name="1", change=colour))


def no_pixels(ds, z):
    if z == 1:
        ds.pixels = None


refuse("refused_no_pixels", "its Pixel Data are missing", lambda f: slices(f, s16, name="1", change=no_pixels))


def edit(folder, change):
    slices(folder, s16, name="1")
    path = folder / "IM0003.dcm"
    path.write_bytes(change(path.read_bytes()))


refuse("refused_cut_short", "bytes of pixels, and there are", lambda f: edit(f, lambda data: data[:-100]))
refuse("refused_cut_in_the_header", "damaged DICOM file", lambda f: edit(f, lambda data: data[:600]))


def syntax_of(uid):
    def make(folder):
        slices(folder, s16, name="1", syntax=RLE)
        for path in folder.glob("*.dcm"):
            ds = pydicom.dcmread(path)
            ds.file_meta.TransferSyntaxUID = UID(uid)
            ds.save_as(path)

    return make


refuse("refused_htj2k", "High-Throughput JPEG 2000, lossless", syntax_of("1.2.840.10008.1.2.4.201"))
refuse("refused_jpeg_extended", "JPEG Extended (12 bits)", syntax_of("1.2.840.10008.1.2.4.51"))
refuse("refused_private_syntax", "1.2.3.4.5", syntax_of("1.2.3.4.5"))
refuse("refused_rle_named_j2k", "can't be decoded", syntax_of(J2K))


def read(folder, single):
    if single:
        return sitk.ReadImage(str(folder / "enhanced.dcm"))
    reader = sitk.ImageSeriesReader()
    (uid,) = reader.GetGDCMSeriesIDs(str(folder))
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), uid))
    return reader.Execute()


UNREAD = ("with_a_localiser", "enhanced_in_disorder", "in_several_folders", "jpeg_ls_u8")


def main():
    packed, expected = {}, {}
    for name, one in CASES.items():
        with tempfile.TemporaryDirectory() as made:
            folder = pathlib.Path(made)
            one["make"](folder)
            packed[name] = {
                str(path.relative_to(folder)): base64.b64encode(path.read_bytes()).decode()
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            }
            if one["refused"]:
                expected[name] = {"refused": one["refused"]}
                continue
            row = {}
            if one["truth"] is None or name not in UNREAD:
                image = read(folder, one["single"])
                row = {
                    "size": image.GetSize(),
                    "spacing": image.GetSpacing(),
                    "origin": image.GetOrigin(),
                    "direction": image.GetDirection(),
                }
                voxels = sitk.GetArrayFromImage(image)
                if one["nifti"]:
                    path = folder / "x.nii.gz"
                    sitk.WriteImage(image, str(path))
                    row["nifti"] = base64.b64encode(path.read_bytes()).decode()
            if one["truth"] is not None:
                voxels = one["truth"]
                row["why"] = one["why"]
                row.setdefault("size", voxels.shape[::-1])
            row["range"] = [float(voxels.min()), float(voxels.max())]
            row["voxels"] = hashlib.sha256(voxels.astype("<f4").tobytes()).hexdigest()
            if one["warned"]:
                row["warned"] = one["warned"]
            expected[name] = row
    with gzip.GzipFile(HERE / "series.json.gz", "wb", mtime=0) as file:
        file.write(json.dumps(packed).encode())
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    print(len(CASES), "series")


if __name__ == "__main__":
    main()
