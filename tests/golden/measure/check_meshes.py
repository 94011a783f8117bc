"""What trimesh says of mesh files: python check_meshes.py FOLDER, with trimesh installed. Every .stl and .obj below FOLDER must be watertight,
of one winding, outwards, and without triangles that have no area."""
import sys
from pathlib import Path

import trimesh

files = [file for file in Path(sys.argv[1]).rglob("*") if file.suffix in (".stl", ".obj")]
for file in files:
    mesh = trimesh.load(str(file))
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.is_volume and mesh.volume > 0, file
    assert (mesh.area_faces > 0).all(), file
    print(f"{file}: {len(mesh.faces)} triangles, {mesh.volume:.6g} mm3, {mesh.euler_number}")
print(f"{len(files)} files")
