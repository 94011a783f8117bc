/** Labels read in the type they are stored in are those that every reader gives as float32. */
import { UserError } from "../../core/base/errors.ts";
import { countOverlaps } from "../../core/evaluate/overlap.ts";
import { labelTarget } from "../../core/evaluate/targets.ts";
import { readCase, readLabels, readNarrowLabels, readWideLabels } from "../../core/formats/image/read_image.ts";
import { assert, assertEquals } from "../assert.ts";
import { HEADERS, NIFTI_READERS, readExpected } from "../golden/headers/cases.ts";

Deno.test("labels of every NIfTI header are the same in the stored type, 16 bits, 32 bits and float32", async () => {
  const types = new Set<string>();
  for (const facts of Object.values(readExpected().cases)) {
    for (const reader of NIFTI_READERS) {
      const file = HEADERS + facts.file;
      const image = await orNull(() => readCase(reader, [file]));
      const isLabels = image && image.channels === 1 && image.data.every((value) => value === (value | 0));
      const read = [readNarrowLabels, readWideLabels].map((read) => orNull(() => read(reader, file)));
      for (const labels of await Promise.all(read)) {
        assertEquals(labels === null, !isLabels, `${reader} ${file}`);
        if (!labels || !isLabels) continue;
        types.add(labels.data.constructor.name);
        assertEquals(labels.geometry, image.geometry);
        assert(labels.data.every((label, i) => label === image.data[i]), `${reader} ${file}`);
      }
      const small = await orNull(() => readLabels(reader, file));
      assertEquals(small === null, !isLabels || image.data.some((label) => label < -32768 || label > 32767), file);
      if (small) assert(small.labels.data.every((label, i) => label === image?.data[i]), `${reader} ${file}`);
    }
  }
  assertEquals([...types].sort(), ["Int16Array", "Int32Array", "Uint16Array", "Uint8Array"]);
});

async function orNull<T>(read: () => Promise<T>): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

Deno.test("overlaps of labels of 8 bits are those of the same labels as plain numbers, wherever the arrays begin", () => {
  let seed = 1;
  const random = (below: number) => (seed = seed * 48271 % 2147483647) % below;
  const targets = [1, 3, 200, 300].map(labelTarget);
  for (const length of [0, 1, 3, 4, 5, 64, 1001]) {
    for (const start of [0, 1, 4]) {
      const runs = () => {
        const data = new Uint8Array(start + length);
        for (let i = 0; i < data.length;) {
          const end = i + 1 + random(9);
          data.fill([0, 1, 2, 3, 200][random(5)], i, end);
          i = end;
        }
        return data.subarray(start);
      };
      const [prediction, reference] = [runs(), runs()];
      assertEquals(
        countOverlaps(prediction, reference, targets, 3),
        countOverlaps([...prediction], [...reference], targets, 3),
      );
    }
  }
});
