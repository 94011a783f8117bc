"""Small DICOM series made with pydicom: slices, enhanced multi-frame objects, every transfer syntax that is read."""

import copy
import pathlib
import warnings

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID

warnings.simplefilter("ignore")

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
PET = "1.2.840.10008.5.1.4.1.1.128"
SC = "1.2.840.10008.5.1.4.1.1.7"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
ROOT = "1.2.826.0.1.3680043.8.498.17."


def number(value: float) -> str:
    """A decimal string of at most 16 characters."""
    for digits in range(16, 0, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= 16:
            return text
    raise ValueError(value)


def rotation(*degrees: float) -> np.ndarray:
    """Turns about x, y and z; columns are the directions of rows, columns and slices."""
    a, b, c = np.deg2rad(degrees)
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return z @ y @ x


AXES = {
    "axial": np.eye(3),
    "coronal": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float),
    "sagittal": np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]], float),
}


def base(series: str, sop_class: str = CT, modality: str = "CT") -> Dataset:
    ds = Dataset()
    ds.SOPClassUID = sop_class
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.StudyDate, ds.StudyTime = "20240102", "101112"
    ds.Modality, ds.Manufacturer = modality, "Phantoms"
    ds.PatientName, ds.PatientID = "Phantom^One", "P1"
    ds.PatientBirthDate, ds.PatientSex = "19500102", "O"
    ds.StudyInstanceUID = ROOT + "1"
    ds.SeriesInstanceUID = ROOT + "2." + series
    ds.FrameOfReferenceUID = ROOT + "3"
    ds.StudyID, ds.SeriesNumber, ds.AcquisitionNumber = "S1", 1, 1
    return ds


def pixel_module(ds: Dataset, array: np.ndarray, stored: int, high: int | None = None) -> None:
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = array.shape[-2:]
    ds.BitsAllocated = 8 * array.dtype.itemsize
    ds.BitsStored = stored
    ds.HighBit = stored - 1 if high is None else high
    ds.PixelRepresentation = int(array.dtype.kind == "i")


def encode(ds: Dataset, frames: np.ndarray, syntax: str) -> None:
    """Pixel data of one or several frames in a transfer syntax."""
    vr = "OW" if frames.dtype.itemsize > 1 or syntax == IMPLICIT else "OB"
    if syntax in (EXPLICIT, IMPLICIT, BIG, DEFLATED):
        data = (frames.byteswap() if syntax == BIG else frames).tobytes()
        ds.add_new(0x7FE00010, vr, data + b"\0" * (len(data) % 2))
        return
    coded = [encode_frame(ds, frame, syntax) for frame in (frames if frames.ndim == 3 else [frames])]
    ds.add_new(0x7FE00010, "OB", encapsulate(coded))
    ds["PixelData"].is_undefined_length = True


def encode_frame(ds: Dataset, frame: np.ndarray, syntax: str) -> bytes:
    import imagecodecs

    bits, signed = int(ds.BitsStored), bool(ds.PixelRepresentation)
    if syntax == "1.2.840.10008.1.2.5":
        return rle(frame)
    unsigned = frame.view(f"u{frame.dtype.itemsize}") & np.array((1 << bits) - 1, f"u{frame.dtype.itemsize}")
    if syntax in ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"):
        import jpeg_ls

        near = 0 if syntax.endswith("80") else 2
        return bytes(jpeg_ls.encode_array(np.ascontiguousarray(unsigned), lossy_error=near))
    if syntax in ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"):
        return imagecodecs.ljpeg_encode(unsigned, bitspersample=bits)
    if syntax == "1.2.840.10008.1.2.4.50":
        return imagecodecs.jpeg8_encode(unsigned.astype(np.uint8), level=90)
    if syntax in ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"):
        return imagecodecs.jpeg2k_encode(
            frame if signed else unsigned, codecformat="j2k", bitspersample=bits,
            **({"level": 0, "reversible": True} if syntax.endswith("90") else {"level": 60, "reversible": False}),
        )
    raise ValueError(syntax)


def rle(frame: np.ndarray) -> bytes:
    """RLE of PS3.5, annex G: one segment for each byte of a pixel, the high one first."""
    segments = []
    planes = frame.astype(frame.dtype.newbyteorder(">")).view(np.uint8).reshape(*frame.shape, -1)
    for k in range(planes.shape[-1]):
        packed = b""
        for row in planes[..., k]:
            at = 0
            while at < len(row):
                run = 1
                while at + run < len(row) and run < 128 and row[at + run] == row[at]:
                    run += 1
                if run > 1:
                    packed += bytes([257 - run, row[at]])
                    at += run
                    continue
                end = at + 1
                while end < len(row) and end - at < 128 and (end + 1 >= len(row) or row[end] != row[end + 1]):
                    end += 1
                packed += bytes([end - at - 1]) + row[at:end].tobytes()
                at = end
        segments.append(packed + b"\0" * (len(packed) % 2))
    offsets, at = [], 64
    for one in segments:
        offsets.append(at)
        at += len(one)
    head = np.zeros(16, "<u4")
    head[0] = len(segments)
    head[1 : 1 + len(offsets)] = offsets
    return head.tobytes() + b"".join(segments)


def save(ds: Dataset, path: pathlib.Path, syntax: str = EXPLICIT) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = ROOT + "9"
    path.parent.mkdir(parents=True, exist_ok=True)
    file = FileDataset(None, ds, file_meta=meta, preamble=b"\0" * 128)
    pydicom.dcmwrite(path, file, enforce_file_format=True, implicit_vr=syntax == IMPLICIT, little_endian=syntax != BIG)


def slices(
    folder: pathlib.Path,
    volume: np.ndarray,
    *,
    name: str,
    spacing=(0.7, 0.8, 2.5),
    origin=(-11.25, 7.5, -30.0),
    direction=AXES["axial"],
    syntax: str = EXPLICIT,
    stored: int | None = None,
    high: int | None = None,
    rescale=None,
    sop_class: str = CT,
    modality: str = "CT",
    order=None,
    change=None,
) -> None:
    """
    A series of single-frame objects. `volume` is (z, y, x); spacing is (x, y, z). `rescale`: (slope, intercept), or a function of the
    slice's number that gives them. `order`: the slices' numbers in the order of file names and instance numbers.
    `change(ds, z)`: last changes; False leaves the slice out.
    """
    origin, spacing = np.array(origin, float), np.array(spacing, float)
    for place, z in enumerate(range(len(volume)) if order is None else order):
        ds = base(name, sop_class, modality)
        ds.SOPInstanceUID = f"{ds.SeriesInstanceUID}.{z + 1}"
        ds.InstanceNumber = place + 1
        position = origin + direction[:, 2] * spacing[2] * z
        ds.ImagePositionPatient = [number(value) for value in position]
        ds.ImageOrientationPatient = [number(value) for value in direction[:, :2].T.ravel()]
        ds.PixelSpacing = [number(spacing[1]), number(spacing[0])]
        ds.SliceThickness = number(spacing[2])
        pixel_module(ds, volume[z], stored or 8 * volume.dtype.itemsize, high)
        if rescale is not None:
            slope, intercept = rescale(z) if callable(rescale) else rescale
            ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = number(slope), number(intercept), "HU"
        ds.pixels = volume[z]
        if change is not None and change(ds, z) is False:
            continue
        pixels = ds.pixels
        del ds.pixels
        if pixels is not None:
            encode(ds, pixels, syntax)
        save(ds, folder / f"IM{place + 1:04d}.dcm", syntax)


def enhanced(
    path: pathlib.Path,
    volume: np.ndarray,
    *,
    name: str,
    spacing=(0.7, 0.8, 2.5),
    origin=(-11.25, 7.5, -30.0),
    direction=AXES["axial"],
    syntax: str = EXPLICIT,
    stored: int | None = None,
    rescale=None,
    sop_class: str = ENHANCED_CT,
    modality: str = "CT",
    order=None,
    change=None,
) -> None:
    """One enhanced multi-frame object; arguments as of `slices`."""
    origin, spacing = np.array(origin, float), np.array(spacing, float)
    ds = base(name, sop_class, modality)
    ds.SOPInstanceUID = f"{ds.SeriesInstanceUID}.1"
    ds.InstanceNumber = 1
    numbers = list(range(len(volume)) if order is None else order)
    ds.NumberOfFrames = len(numbers)
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [number(spacing[1]), number(spacing[0])]
    measures.SliceThickness = number(spacing[2])
    measures.SpacingBetweenSlices = number(spacing[2])
    plane.ImageOrientationPatient = [number(value) for value in direction[:, :2].T.ravel()]
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([plane])
    if rescale is not None and not callable(rescale):
        shared.PixelValueTransformationSequence = Sequence([transformation(*rescale)])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for place, z in enumerate(numbers):
        frame, where, content = Dataset(), Dataset(), Dataset()
        where.ImagePositionPatient = [number(value) for value in origin + direction[:, 2] * spacing[2] * z]
        frame.PlanePositionSequence = Sequence([where])
        content.StackID, content.InStackPositionNumber = "1", z + 1
        content.DimensionIndexValues = [1, z + 1]
        frame.FrameContentSequence = Sequence([content])
        if callable(rescale):
            frame.PixelValueTransformationSequence = Sequence([transformation(*rescale(z))])
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = Sequence(frames)
    pixel_module(ds, volume, stored or 8 * volume.dtype.itemsize)
    if change is not None:
        change(ds)
    encode(ds, np.ascontiguousarray(volume[numbers]), syntax)
    save(ds, path, syntax)


def transformation(slope: float, intercept: float) -> Dataset:
    item = Dataset()
    item.RescaleIntercept, item.RescaleSlope, item.RescaleType = number(intercept), number(slope), "US"
    return item
