/** Coded terms of classes, by their names. */
import { codesOf, type SegmentCodes } from "../../core/formats/dicom/seg_codes.ts";
import { readSegmentCodes } from "../../core/formats/dicom/seg_codes_file.ts";
import { UserError } from "../../core/base/errors.ts";
import { assertEquals, assertFails } from "../assert.ts";

function told(codes: SegmentCodes | undefined): string {
  if (!codes) return "nothing";
  const { type, modifier, region, regionModifier } = codes;
  return [type.code, type.meaning, modifier?.meaning, region && `in ${region.meaning}`, regionModifier?.meaning]
    .filter((one) => one !== undefined).join(" ");
}

Deno.test("the usual class names have codes, however they are spelled", () => {
  const names: Readonly<Record<string, string>> = {
    liver: "10200004 Liver",
    kidney_left: "64033007 Kidney Left",
    "Left Kidney": "64033007 Kidney Left",
    RightKidney: "64033007 Kidney Right",
    kidneys: "64033007 Kidney",
    "right adrenal gland": "23451007 Adrenal gland Right",
    postcava: "64131007 Inferior vena cava",
    oesophagus: "32849002 Esophagus",
    heart_ventricle_left: "87878005 Left ventricle",
    "left atrium": "82471001 Left atrium",
    LV: "87878005 Left ventricle",
    vertebrae_T12: "23215003 T12 vertebra",
    rib_right_7: "24915002 Seventh rib Right",
    lung_middle_lobe_right: "72481006 Middle lobe of right lung",
    "lateral ventricle left": "66720007 Lateral ventricle Left",
    HepaticVein: "8993003 Hepatic vein",
    liver_vessels: "59820001 Blood vessel in Liver",
    CSF: "65216001 Cerebrospinal fluid",
    subcutaneous_fat: "71966008 Subcutaneous tissue",
  };
  for (const [name, codes] of Object.entries(names)) assertEquals(told(codesOf(name)), codes, name);
});

Deno.test("what is abnormal is coded with its place", () => {
  assertEquals(told(codesOf("liver tumour")), "108369006 Neoplasm in Liver");
  assertEquals(told(codesOf("kidney_cyst_left")), "367643001 Cyst in Kidney Left");
  assertEquals(told(codesOf("enhancing tumor", "Dataset137_BraTS")), "C113842 Enhancing Lesion");
  assertEquals(told(codesOf("pancreatic-lesion")), "52988006 Lesion in Pancreas");
  assertEquals(told(codesOf("colon cancer primaries")), "372087000 Neoplasm, Primary in Colon");
  assertEquals(told(codesOf("no tumour")), "nothing");
  assertEquals(told(codesOf("ED")), "79654002 Edema");
  assertEquals(told(codesOf("cancer", "Dataset010_Colon")), "108369006 Neoplasm in Colon");
});

Deno.test("what a class name leaves open, the dataset's name may say", () => {
  assertEquals(told(codesOf("Anterior", "Dataset004_Hippocampus")), "5366008 Hippocampus Anterior");
  assertEquals(told(codesOf("PZ", "Dataset005_Prostate")), "279706003 Peripheral zone of prostate");
  assertEquals(told(codesOf("Anterior", "Dataset900_Phantoms")), "nothing");
  assertEquals(told(codesOf("phase B")), "nothing");
});

Deno.test("codes and colours of a file are taken, wrong entries are refused by name", async () => {
  const file = await Deno.makeTempFile({ suffix: ".json" });
  const write = (value: unknown) => Deno.writeTextFile(file, JSON.stringify(value));
  const type = { scheme: "SCT", code: "1", meaning: "Thing" };
  await write({ a: { type, colour: [1, 2, 3] }, b: { colour: [0, 0, 0] } });
  const own = await readSegmentCodes(file);
  assertEquals(told(own.get("a")?.codes), "1 Thing");
  assertEquals(own.get("a")?.codes?.category.meaning, "Anatomical Structure");
  assertEquals(own.get("b"), { colour: [0, 0, 0] });
  await write({ a: { type: { ...type, code: "12345678901234567" } } });
  await assertFails(() => readSegmentCodes(file), UserError, file, "a.type.code");
  await write({ a: { region: type } });
  await assertFails(() => readSegmentCodes(file), UserError, file, "a: expected a type");
  await write({ a: { typ: type } });
  await assertFails(() => readSegmentCodes(file), UserError, file);
  await Deno.remove(file);
});
