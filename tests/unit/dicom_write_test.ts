/** Values of DICOM objects that are written: numbers as texts, UIDs, colours, lengths. */
import { cielab } from "../../core/formats/dicom/seg_colour.ts";
import { decimalText, encodeWhole } from "../../core/formats/dicom/write_object.ts";
import { shortText } from "../../core/formats/dicom/write_segment.ts";
import { derivedUid } from "../../core/formats/dicom/write_uid.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

Deno.test("numbers are written as texts of 16 characters at most, exactly where that is possible", async () => {
  assertEquals([0.1, -0, 1e-7, 123456789.25, -2].map(decimalText), ["0.1", "0", "1e-7", "123456789.25", "-2"]);
  for (const value of [1 / 3, -1234.56789012345678, -1.23456789012345e-8, 1e22 / 7, Math.PI * 1e-300]) {
    const text = decimalText(value);
    assert(text.length <= 16, text);
    assert(Math.abs(Number(text) / value - 1) < 1e-8, `${text} for ${value}`);
  }
  await assertFails(() => decimalText(NaN), RangeError, "NaN");
});

Deno.test("a UID follows from all of its parts and from nothing else", () => {
  const uid = derivedUid(["SEG", "1.2.3"]);
  assertEquals(derivedUid(["SEG", "1.2.3"]), uid);
  assert(/^2\.25\.[1-9]\d{0,38}$/.test(uid), uid);
  assertEquals(new Set([["ab", "c"], ["a", "bc"], ["abc"], ["c", "ab"]].map(derivedUid)).size, 4);
  // The version and the variant of RFC 9562.
  const hex = BigInt(uid.slice("2.25.".length)).toString(16).padStart(32, "0");
  assert(hex[12] === "8" && "89ab".includes(hex[16]), hex);
});

Deno.test("colours are CIELab of the D50 white point", () => {
  // Lab of sRGB's red and white by Lindbloom's calculator (Bradford adaptation): 54.29, 80.81, 69.89 and 100, 0, 0.
  const scaled = (l: number, a: number, b: number) =>
    [l / 100, (a + 128) / 255, (b + 128) / 255].map((one) => one * 65535);
  const near = (actual: readonly number[], expected: readonly number[]) =>
    actual.forEach((value, i) => assert(Math.abs(value - expected[i]) < 10, `${actual} for ${expected}`));
  near(cielab([255, 0, 0]), scaled(54.29, 80.81, 69.89));
  near(cielab([255, 255, 255]), scaled(100, 0, 0));
  near(cielab([0, 0, 0]), scaled(0, 0, 0));
});

Deno.test("a value too long for explicit VR is refused, in implicit VR it is written", async () => {
  const long = { ContourData: Array.from({ length: 9000 }, () => "-123.456") };
  await assertFails(() => encodeWhole(long, "explicit"), RangeError, "ContourData has 81000 bytes");
  assertEquals(encodeWhole(long, "implicit").length, 8 + 9000 * 9);
});

Deno.test("texts lose what means something to DICOM, and end at their longest", () => {
  assertEquals(shortText("a\\b\nc"), "a b c");
  assertEquals(shortText("ä".repeat(80)), "ä".repeat(64));
  assertEquals(shortText("  "), "-");
});
