/** What is said of a field that is not as it has to be. */
import { z } from "zod";
import { checkFields, problemsOf } from "../../core/base/fields.ts";
import { shortName } from "../../core/base/path_name.ts";
import { UserError } from "../../core/base/errors.ts";
import { assertEquals, assertFails } from "../assert.ts";

Deno.test("ranges are said in words, and what JSON has no form for is shown as Python writes it", async () => {
  const said: readonly (readonly [z.ZodType, unknown, string])[] = [
    [z.array(z.int()).min(1), [], "expected at least 1 item, found []"],
    [z.array(z.int()).length(3), [1, 2], "expected exactly 3 items, found [1,2]"],
    [z.int(), 1e30, "expected an integer of at most 9,007,199,254,740,991, found 1e+30"],
    [z.int().min(3), 1, "expected a number of at least 3, found 1"],
    [z.number().min(1e-9), 0, "expected a number of at least 1e-9, found 0"],
    [z.number().positive(), -1, "expected a number above 0, found -1"],
    [z.number().max(2.5), 3, "expected a number of at most 2.5, found 3"],
    [z.string().min(2), "a", 'expected at least 2 letters, found "a"'],
    [z.number(), NaN, "expected a number, found NaN"],
    [z.array(z.string()), [{ a: [-Infinity] }], 'expected a text, found {"a":[-Infinity]}'],
    [z.array(z.int()).min(2, "expected 2 or 3 numbers"), [1], "expected 2 or 3 numbers, found [1]"],
  ];
  for (const [schema, value, problem] of said) {
    const context = { doing: "testing", file: "a.json", path: ["field"] };
    await assertFails(() => checkFields(schema, value, context), UserError, problem);
  }
});

Deno.test("of a request all that is wrong is said, field by field", () => {
  const schema = z.strictObject({
    id: z.union([z.string(), z.int()], "expected a text or a whole number"),
    files: z.array(z.string()).min(1),
    nan: z.enum(["zero", "min"]).optional(),
  });
  const said: readonly (readonly [unknown, string])[] = [
    [{ files: [] }, "id: is missing (expected a text or a whole number); files: expected at least 1 item, found []"],
    [{ id: [1], files: [3] }, "id: expected a text or a whole number, found [1]; files[0]: expected a text, found 3"],
    [{ id: 1, files: ["a"], images: ["b"], x: 0 }, 'there is no field "images", "x"'],
    [{ id: 1, files: ["a"], nan: "max" }, 'nan: expected "zero" or "min", found "max"'],
    [null, "expected an object {...}, found null"],
    [[], "expected an object {...}, found []"],
  ];
  for (const [value, problem] of said) {
    const { error } = schema.safeParse(value);
    assertEquals(error && problemsOf(error, value), problem);
  }
});

Deno.test("of a long name beginning and end are shown, by which paths differ", () => {
  const path = "Dataset004_Hippocampus/nnUNetTrainer__nnUNetPlans__3d_fullres/fold_0/checkpoint_final.pth";
  assertEquals([shortName(path).slice(0, 23), shortName(path).slice(-28)], [
    "Dataset004_Hippocamp...",
    "fold_0/checkpoint_final.pth".padStart(28, "/"),
  ]);
  assertEquals([...shortName("患".repeat(300))].length, 80);
  assertEquals(shortName("a/b"), "a/b");
});
