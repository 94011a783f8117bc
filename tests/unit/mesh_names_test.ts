/** Names of meshes: one component of a path that every system takes, one for each class. */
import { pathNameProblem } from "../../core/base/path_name.ts";
import { meshNames } from "../../core/measure/mesh/mesh_names.ts";
import { assertEquals } from "../assert.ts";

Deno.test("classes keep their names where a file can have them", () => {
  const names = ["liver", "kidney left", "Läsion", "肝臓", "a.b"];
  assertEquals(meshNames(names), names);
});

Deno.test("whatever a class is called, its mesh has a name that leads nowhere else, on Windows too", () => {
  const names = [
    "../up",
    "a/b",
    "a\\b",
    "..",
    ".",
    "",
    " ",
    "con",
    "NUL.x",
    "a:b|c?",
    "end. ",
    ".hidden",
    "\u0000\n",
    "x".repeat(500),
    "ü".repeat(300),
  ];
  const found = meshNames(names);
  assertEquals(new Set(found.map((name) => name.toLowerCase())).size, names.length);
  for (const name of found) {
    assertEquals(pathNameProblem(`${name}.stl`, true), undefined, name);
    assertEquals(name.startsWith("."), false, name);
  }
});

Deno.test("classes of names that differ in nothing that counts get numbers", () => {
  assertEquals(meshNames(["lobe", "Lobe", "lobe", "lobe_2", "lo/be", "lo:be"]), [
    "lobe",
    "Lobe_2",
    "lobe_3",
    "lobe_2_2",
    "lo_be",
    "lo_be_2",
  ]);
});
