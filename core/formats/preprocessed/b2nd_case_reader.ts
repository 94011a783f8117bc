/** Reading a preprocessed case of Python's nnU-Net 2.6 and later: boxes of <case>.b2nd and <case>_seg.b2nd, and <case>.pkl. */
import { UserError } from "../../base/errors.ts";
import { type B2ndFile, openB2nd } from "../blosc2/b2nd_file.ts";
import type { B2ndType } from "../blosc2/frame.ts";
import { B2ND_ENDING } from "./b2nd_case.ts";
import { caseShape, readCaseProperties } from "./pickled_case.ts";
import { emptyBox } from "./training_box.ts";
import type { StoredCase } from "./training_data.ts";

const DOING = "reading the preprocessed case";
const REMEDY = "run preprocess again";

/** Opens a case; blocks are read as boxes need them. @throws UserError if a file is missing or damaged */
export async function openB2ndCase(stem: string): Promise<StoredCase> {
  using stack = new DisposableStack();
  const data = stack.use(openB2nd(stem + B2ND_ENDING, DOING, REMEDY));
  const seg = stack.use(openB2nd(`${stem}_seg${B2ND_ENDING}`, DOING, REMEDY));
  const [channels, grid] = caseShape(data.header.shape, seg.header.shape, data.file);
  requireType(data, ["<f4"]);
  requireType(seg, ["|i1", "<i2"]);
  const kind = seg.header.dtype === "|i1" ? "int8" : "int16";
  const common = await readCaseProperties(`${stem}.pkl`, grid);
  const files = stack.move();
  return {
    ...common,
    file: data.file,
    channels,
    grid,
    // deno-lint-ignore require-await -- reading is synchronous today; callers are not to depend on it
    readBox: async (origin, size) => {
      const box = emptyBox(channels, size, kind);
      data.readBox([0, ...origin], [channels, ...size], box.image);
      seg.readBox([0, ...origin], [1, ...size], box.segmentation);
      return box;
    },
    [Symbol.dispose]: () => files.dispose(),
  };
}

function requireType({ file, header }: B2ndFile, types: readonly B2ndType[]): void {
  if (types.includes(header.dtype)) return;
  const problem = `its type is ${header.dtype}, ${types.join(" or ")} is needed`;
  throw new UserError({ doing: DOING, file, problem, remedy: REMEDY });
}
