/** What is wrong with a TIFF file, or is not read here; made a UserError with the file's name where the file is opened and read. */
import { ImageDamage } from "../damage.ts";

/** The file is damaged or cut short; the message says where. */
export class TiffDamage extends ImageDamage {
  override readonly name = "TiffDamage";
}

/** The file may be whole, and is none that is read; the message says what it is. */
export class TiffRefusal extends Error {
  override readonly name = "TiffRefusal";

  constructor(message: string, /** What to do: "save it as ...". */ readonly remedy: string) {
    super(message);
  }
}
