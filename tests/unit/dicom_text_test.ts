/** Character sets: the examples of PS3.5, annexes H, I and K of the standard. */
import { decodeText } from "../../core/formats/dicom/text.ts";
import { assertEquals } from "../assert.ts";

const bytes = (text: string) => Uint8Array.from(text, (one) => one.charCodeAt(0));

Deno.test("A name of one character set is decoded by it, and one without by Latin letters", () => {
  assertEquals(decodeText(bytes("Buc^J\xe9r\xf4me"), ["ISO_IR 100"]), "Buc^Jérôme");
  assertEquals(decodeText(bytes("Buc^J\xe9r\xf4me"), []), "Buc^Jérôme");
  assertEquals(decodeText(bytes("\xbb\xee\xda\x63\x65\xdc\xd1\x79\x70\xd3"), ["ISO_IR 144"]), "Люкceмбypг");
  assertEquals(decodeText(new TextEncoder().encode("Wang^XiaoDong=王^小東"), ["ISO_IR 192"]), "Wang^XiaoDong=王^小東");
});

Deno.test("Escape sequences switch between character sets", () => {
  const yamada = "Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B";
  assertEquals(decodeText(bytes(yamada), ["", "ISO 2022 IR 87"]), "Yamada^Tarou=山田^太郎=やまだ^たろう");
  const hong = "Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf";
  assertEquals(decodeText(bytes(hong), ["", "ISO 2022 IR 149"]), "Hong^Gildong=洪^吉洞=홍^길동");
});
