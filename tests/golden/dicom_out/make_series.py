"""Makes a CT series of a NIfTI image, for validate.py: square slices of square pixels, FACTOR times as many each way.

    python make_series.py IMAGE.nii.gz SERIES_FOLDER [FACTOR]        (SimpleITK 2.5.7, pydicom 3.0.2)
"""
import pathlib
import sys
import zlib

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian


def square(image, factor):
    side = min(image.GetSize()[:2])
    image = image[:side, :side, :]
    resample = sitk.ResampleImageFilter()
    resample.SetSize([int(size * factor) for size in image.GetSize()])
    resample.SetOutputSpacing([spacing / factor for spacing in image.GetSpacing()])
    resample.SetOutputOrigin(image.GetOrigin())
    resample.SetOutputDirection(image.GetDirection())
    image = resample.Execute(image)
    x, _, z = image.GetSpacing()
    image.SetSpacing((x, x, z))
    return image


def main(source, folder, factor=1):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    image = square(sitk.ReadImage(source), factor)
    voxels = np.round(sitk.GetArrayFromImage(image)).astype(np.int16)
    directions = np.array(image.GetDirection()).reshape(3, 3)
    spacing = image.GetSpacing()
    root = f"1.2.826.0.1.3680043.8.498.{zlib.crc32(source.encode())}"
    for k, plane in enumerate(voxels):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = f"{root}.4.{k + 1}"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = f"{root}.1", f"{root}.2", f"{root}.3"
        ds.SpecificCharacterSet = "ISO_IR 100"
        ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Müller^Jörg", "P1", "19700101", "M"
        ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20240131", "101112", "S1", "A1"
        ds.ReferringPhysicianName, ds.Manufacturer, ds.PositionReferenceIndicator = "", "M", ""
        ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "CT", 4, len(voxels) - k
        ds.ImageType, ds.KVP, ds.AcquisitionNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], 120, 1
        ds.SliceThickness = f"{spacing[2]:.6f}"
        ds.PixelSpacing = [f"{spacing[1]:.6f}", f"{spacing[0]:.6f}"]
        ds.ImagePositionPatient = [f"{v:.6f}" for v in image.TransformIndexToPhysicalPoint((0, 0, k))]
        ds.ImageOrientationPatient = [f"{v:.9f}" for v in [*directions[:, 0], *directions[:, 1]]]
        ds.Rows, ds.Columns = plane.shape
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.RescaleSlope, ds.RescaleIntercept = 1, 0
        ds.PixelData = plane.tobytes()
        ds.save_as(folder / f"{(k * 7919) % len(voxels):04d}_{k}.dcm", enforce_file_format=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *(int(factor) for factor in sys.argv[3:]))
