"""Small .b2nd files and what blosc2 reads from them, and two datasets as nnU-Net 2.8.1 preprocesses them.

Run with nnunetv2 2.8.1 and blosc2 4.14 installed: python make_b2nd_golden.py; writes beside this file
  files.bin      all files, one after the other
  expected.json  of each file: its place, type, shape and SHA-256 of the array that blosc2 reads; or what is not read here
  tiles.json     blocks and chunks that nnU-Net chooses for images and patches
  preprocessed/  CASE.b2nd, CASE_seg.b2nd and CASE.pkl of 3d_fullres of datasets of ../preprocess_dataset/raw
"""
import hashlib
import itertools
import json
import shutil
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "preprocess_dataset"
import blosc2
import numpy as np
from blosc2 import Codec, Filter, SplitMode
from batchgenerators.utilities.file_and_folder_operations import load_json
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

WORK = Path(tempfile.mkdtemp())
RNG = np.random.default_rng(0)
TYPES = ["float32", "int16", "int8", "uint8", "uint16"]
FILES = bytearray()
ENTRIES = []


def add(name, make, **more):
    """`make` gets the path; what it writes is read again, from the file."""
    path = WORK / "one.b2nd"
    blosc2.remove_urlpath(str(path))
    make(str(path))
    content = path.read_bytes()
    entry = {"name": name, "at": len(FILES), "bytes": len(content), **more}
    if "refused" not in more:
        array = blosc2.open(str(path), mode="r")[...]
        entry.update(dtype=array.dtype.str, shape=list(array.shape),
                     sha256=hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest())
    FILES.extend(content)
    ENTRIES.append(entry)


def image(dtype, shape=(2, 7, 11, 15)):
    """Part smooth, part noise, part constant."""
    grid = np.indices(shape).sum(0)
    array = 20 * np.sin(grid / 7) + RNG.integers(0, 4, shape) * (grid % 3 == 0)
    array[:, 5:] = np.round(array[:, 5:] / 8)
    array[0, :2] = 0
    return np.clip(array, 0, None).astype(dtype) if dtype[0] == "u" else array.astype(dtype)


TILES = dict(chunks=(1, 6, 11, 10), blocks=(1, 4, 8, 8))


def codecs():
    codecs = [Codec.BLOSCLZ, Codec.LZ4, Codec.LZ4HC, Codec.ZLIB, Codec.ZSTD]
    filters = {"none": [Filter.NOFILTER], "shuffle": [Filter.SHUFFLE], "bitshuffle": [Filter.BITSHUFFLE]}
    splits = itertools.cycle([SplitMode.ALWAYS_SPLIT, SplitMode.NEVER_SPLIT, SplitMode.AUTO_SPLIT])
    levels = itertools.cycle([1, 5, 9, 8])
    for dtype, codec, (name, pipeline) in itertools.product(TYPES, codecs, filters.items()):
        split, level = next(splits), next(levels)
        cparams = dict(codec=codec, clevel=level, filters=pipeline, splitmode=split, nthreads=1 + level % 2 * 3)
        add(f"{dtype} {codec.name} {name} {split.name} {level}",
            lambda path: blosc2.asarray(image(dtype), urlpath=path, cparams=cparams, **TILES))
    for pipeline, meta in [([Filter.TRUNC_PREC, Filter.BITSHUFFLE], [10, 0]), ([Filter.SHUFFLE], [2]),
                           ([Filter.SHUFFLE, Filter.BITSHUFFLE], [0, 0]), ([Filter.SHUFFLE], [3])]:
        cparams = dict(codec=Codec.ZSTD, filters=pipeline, filters_meta=meta)
        add(f"float32 {pipeline} {meta}",
            lambda path: blosc2.asarray(image("float32"), urlpath=path, cparams=cparams, **TILES))


def special():
    tiles = dict(chunks=(1, 6, 6, 6), blocks=(1, 4, 4, 4))
    shape = (2, 9, 8, 7)

    def written(array):
        array[1, 3:5] = 5
        array[0, 2:4, 3:] = np.arange(70).reshape(2, 5, 7)
        array[1, 6:] = 2

    for dtype in TYPES:
        add(f"zeros {dtype}", lambda path: blosc2.zeros(shape, dtype=dtype, urlpath=path, **tiles))
        add(f"full {dtype}", lambda path: blosc2.full(shape, 7, dtype=dtype, urlpath=path, **tiles))
        add(f"zeros and written {dtype}",
            lambda path: written(blosc2.zeros(shape, dtype=dtype, urlpath=path, **tiles)))
        add(f"full and written {dtype}",
            lambda path: written(blosc2.full(shape, 3, dtype=dtype, urlpath=path, **tiles)))
        add(f"constant {dtype}", lambda path: blosc2.asarray(np.full((9, 8, 7), 99, dtype), urlpath=path,
                                                             chunks=(5, 5, 5), blocks=(3, 3, 3)))
        add(f"one element {dtype}", lambda path: blosc2.asarray(np.full((1, 1, 1, 1), 9, dtype), urlpath=path))
        add(f"level 0 {dtype}", lambda path: blosc2.asarray(
            RNG.integers(0, 100, (2, 7, 9, 8)).astype(dtype), urlpath=path, chunks=(2, 4, 5, 8), blocks=(2, 3, 2, 8),
            cparams=dict(codec=Codec.LZ4HC, clevel=0)))
        add(f"default tiles {dtype}",
            lambda path: blosc2.asarray(RNG.integers(0, 100, (9, 11, 10)).astype(dtype), urlpath=path))
    for tail in [(37,), (5, 7), (5, 7, 3, 2, 4)]:
        add(f"{len(tail)} dimensions", lambda path: blosc2.asarray(
            RNG.integers(-9, 9, tail).astype("int16"), urlpath=path, chunks=[min(3, n) for n in tail],
            blocks=[min(2, n) for n in tail]))
    add("nans", lambda path: blosc2.asarray(np.full((9, 8, 7), np.nan, "float32"), urlpath=path, chunks=(5, 5, 5),
                                            blocks=(3, 3, 3)))

    def layers(path):
        array = blosc2.asarray(image("float32"), urlpath=path, meta={"a": {"x": 1}, "zz": [1, 2]}, **TILES)
        array.schunk.vlmeta["note"] = "hello" * 100

    add("other metalayers", layers)

    def grown(path):
        array = blosc2.asarray(RNG.normal(size=(20, 9, 8)).astype("float32"), urlpath=path, chunks=(6, 6, 6),
                               blocks=(3, 3, 3))
        array[3:5] = RNG.normal(size=(2, 9, 8))
        array.resize((25, 9, 8))
        array[21:] = 1

    add("written over and grown", grown)


def refused():
    def plain(path, **more):
        blosc2.asarray(image("float32"), urlpath=path, **{**TILES, **more})

    for dtype in ["float64", "int32", "complex64", "bool", ">i2"]:
        add(dtype, lambda path: blosc2.asarray(np.arange(60).reshape(3, 4, 5).astype(dtype), urlpath=path),
            refused="its type is")
    add("delta", lambda path: plain(path, cparams=dict(filters=[Filter.DELTA, Filter.SHUFFLE])),
        refused="the delta filter")
    add("a user's filter", lambda path: plain(path, cparams=dict(filters=[Filter.NDCELL], filters_meta=[4])),
        refused="its filter")
    add("a user's codec", lambda path: blosc2.asarray(
        np.zeros((16, 16), "int8") + np.arange(16, dtype="int8") // 4, urlpath=path, chunks=(16, 16), blocks=(8, 8),
        cparams=dict(codec=Codec.NDLZ, codec_meta=4, filters=[Filter.NOFILTER], nthreads=1)), refused="codec")
    add("no array", lambda path: blosc2.SChunk(chunksize=400, data=bytes(range(200)) * 4, urlpath=path,
                                               contiguous=True), refused="no n-dimensional array")


def preprocessed():
    locations = {}
    for dataset in ["Dataset811_Thick", "Dataset812_Regions"]:
        raw, target = GOLDEN / "raw" / dataset, HERE / "preprocessed" / dataset
        plans = PlansManager(str(GOLDEN / "expected" / dataset / "nnUNetPlans.json"))
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for label in sorted((raw / "labelsTr").iterdir())[:2]:
            case = label.name.split(".")[0]
            DefaultPreprocessor(verbose=False).run_case_save(
                str(target / case), [str(file) for file in sorted((raw / "imagesTr").glob(f"{case}_*"))], str(label),
                plans, plans.get_configuration("3d_fullres"), load_json(str(raw / "dataset.json")))
            one = {}
            for part in ("", "_seg"):
                array = blosc2.open(str(target / f"{case}{part}.b2nd"), mode="r")[...]
                one["seg" if part else "data"] = {
                    "dtype": array.dtype.str, "shape": list(array.shape),
                    "sha256": hashlib.sha256(array.tobytes()).hexdigest()}
            shape = one["data"]["shape"][1:]
            found = np.load(target / f"{case}.pkl", allow_pickle=True)["class_locations"]
            one["locations"] = [
                {"labels": list(key) if isinstance(key, tuple) else [int(key)],
                 "voxels": [int(np.ravel_multi_index(tuple(row[1:]), shape)) for row in rows][:50],
                 "count": len(rows)} for key, rows in found.items()]
            locations[f"{dataset}/{case}"] = one
    return locations


def tiles():
    """Shapes of blocks and chunks, (patch, image, bytes) -> (block, chunk) of the spatial axes."""
    rng = np.random.default_rng(1)
    found = []
    for i in range(300):
        image = [int(n) for n in rng.integers(1, rng.choice([20, 200, 700]), 3)]
        patch = [int(n) for n in rng.integers(1, rng.choice([20, 200, 700]), 3)]
        if i % 5 == 0:
            patch = [int(n) for n in rng.choice([16, 32, 64, 96, 128, 192], 3)]
        if i % 7 == 0:
            image = [image[0]] * 3
            patch = [patch[0]] * 3
        size = int(rng.choice([1, 2, 4]))
        two = i % 3 == 0
        block, chunk = comp_blosc2_params((1, *image), patch[1:] if two else patch, size)
        found.append({"image": image, "patch": [1, *patch[1:]] if two else patch, "dimensions": 2 if two else 3,
                      "bytes": size, "block": block[1:], "chunk": chunk[1:]})
    return found


codecs()
special()
refused()
(HERE / "files.bin").write_bytes(bytes(FILES))
cases = preprocessed()
(HERE / "expected.json").write_text(json.dumps({"files": ENTRIES, "cases": cases}, indent=1) + "\n")
(HERE / "tiles.json").write_text("[\n" + ",\n".join(json.dumps(one) for one in tiles()) + "\n]\n")
print(len(ENTRIES), len(FILES))
