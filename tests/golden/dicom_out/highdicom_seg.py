"""Small DICOM series, labels on them, and the DICOM segmentation that highdicom makes of these: highdicom_seg.json.

    python highdicom_seg.py        (highdicom 0.28.2, pydicom 3.0.2)

A case: the series' files in a shuffled order (base64), labels (slice, row, column) in the order along the normal (base64, uint8), the
names of the classes, and highdicom's file (base64).
"""
import base64
import io
import json
import pathlib

import highdicom as hd
import numpy as np
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.8.498."


def base(sop_class, uid, syntax):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = sop_class
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = uid
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Müller^Jörg", "P 1", "19700101", "O"
    ds.PatientAge = "054Y"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = ROOT + "11", ROOT + "12", ROOT + "13"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20240131", "101112", "S1", "A1"
    ds.ReferringPhysicianName, ds.StudyDescription = "Dr^X", "Abdomen"
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "CT", 4, 1
    ds.Manufacturer, ds.PositionReferenceIndicator = "M", ""
    ds.ContentDate, ds.ContentTime = "20240131", "101500"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    return ds


def written(ds):
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def series(rows, columns, slices, orientation, spacing, thickness, syntax):
    """Slices in order along the normal."""
    normal = np.cross(orientation[:3], orientation[3:])
    made = []
    for k in range(slices):
        ds = base(CTImageStorage, ROOT + f"14.{k + 1}", syntax)
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.InstanceNumber = k + 1
        ds.SliceThickness, ds.PixelSpacing = thickness, list(spacing)
        position = np.array([-100.5, -80.25, 33]) + normal * thickness * k
        ds.ImagePositionPatient = [round(float(v), 6) for v in position]
        ds.ImageOrientationPatient = [float(v) for v in orientation]
        ds.Rows, ds.Columns = rows, columns
        ds.RescaleSlope, ds.RescaleIntercept, ds.KVP, ds.AcquisitionNumber = 1, -1024, 120, 1
        ds.PixelData = np.zeros((rows, columns), np.uint16).tobytes()
        made.append(ds)
    return made


def enhanced(rows, columns, slices, spacing, thickness):
    """One multi-frame object, its frames in order."""
    ds = base(EnhancedCTImageStorage, ROOT + "15", ExplicitVRLittleEndian)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.Rows, ds.Columns, ds.NumberOfFrames = rows, columns, slices
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = list(spacing), thickness
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = []
    for k in range(slices):
        frame, position, content = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [-10.0, 20.0, 5.0 + thickness * k]
        content.DimensionIndexValues = [k + 1]
        frame.PlanePositionSequence, frame.FrameContentSequence = [position], [content]
        ds.PerFrameFunctionalGroupsSequence.append(frame)
    ds.PixelData = np.zeros((slices, rows, columns), np.uint16).tobytes()
    return [ds]


def segmentation(sources, labels, names):
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=i + 1, segment_label=name,
            segmented_property_category=CodedConcept("85756007", "SCT", "Tissue"),
            segmented_property_type=CodedConcept("85756007", "SCT", "Tissue"),
            algorithm_type="AUTOMATIC",
            algorithm_identification=hd.AlgorithmIdentificationSequence(
                name="n", version="1", family=CodedConcept("123109", "DCM", "Manual Processing")),
        ) for i, name in enumerate(names)
    ]
    planes = np.stack([labels == i + 1 for i in range(len(names))], -1).astype(np.uint8)
    return hd.seg.Segmentation(
        source_images=sources, pixel_array=planes, segmentation_type="BINARY", segment_descriptions=descriptions,
        series_instance_uid=ROOT + "20", series_number=9, sop_instance_uid=ROOT + "21", instance_number=1,
        manufacturer="M", manufacturer_model_name="M", software_versions="1", device_serial_number="1",
        omit_empty_frames=True,
    )


def case(name, sources, labels, names):
    rng = np.random.default_rng(5)
    files = [written(ds) for ds in sources]
    shuffled = [base64.b64encode(files[i]).decode() for i in rng.permutation(len(files))]
    seg = io.BytesIO()
    segmentation(sources, labels, names).save_as(seg)
    return {
        "name": name, "files": shuffled, "shape": list(labels.shape), "names": names,
        "labels": base64.b64encode(labels.tobytes()).decode(), "seg": base64.b64encode(seg.getvalue()).decode(),
    }


def main():
    rng = np.random.default_rng(7)
    oblique = np.array([0.955336, 0.295520, 0, -0.289629, 0.936293, 0.198669])
    axial = np.array([1, 0, 0, 0, 1, 0])
    sagittal = np.array([0, 1, 0, 0, 0, -1])

    def labels(*shape):
        made = rng.integers(0, 4, shape).astype(np.uint8)
        made[0][made[0] == 2] = 0  # a slice that a segment is not in
        return made

    names = ["liver", "kidney_left", "unknown thing"]
    cases = [
        case("axial slices whose pixels are no whole bytes", series(7, 5, 4, axial, (0.7, 0.8), 2.5, ExplicitVRLittleEndian),
             labels(4, 7, 5), names),
        case("oblique slices", series(8, 8, 3, oblique, (1.5, 1.5), 3, ImplicitVRLittleEndian), labels(3, 8, 8), names),
        case("sagittal slices", series(6, 9, 3, sagittal, (1.25, 1.25), 4, ExplicitVRLittleEndian), labels(3, 6, 9), names),
        case("frames of one object", enhanced(8, 6, 3, (0.5, 0.5), 1.5), labels(3, 8, 6), names),
    ]
    path = pathlib.Path(__file__).with_name("highdicom_seg.json")
    path.write_text(json.dumps({"cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
