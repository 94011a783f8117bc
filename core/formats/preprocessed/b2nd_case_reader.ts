/** Reading a preprocessed case of Python's nnU-Net 2.6 and later: boxes of <case>.b2nd and <case>_seg.b2nd, and <case>.pkl. */
import { openB2nd } from "../blosc2/b2nd_file.ts";
import { B2ND_ENDING } from "./b2nd_case.ts";
import { openArrayCase } from "./pickled_case.ts";
import type { StoredCase } from "./training_data.ts";

/** Opens a case; blocks are read as boxes need them. @throws UserError if a file is missing or damaged */
export function openB2ndCase(stem: string): Promise<StoredCase> {
  return openArrayCase(stem, B2ND_ENDING, openB2nd, ({ data, seg, channels }, box, origin, size) => {
    data.readBox([0, ...origin], [channels, ...size], box.image);
    seg.readBox([0, ...origin], [1, ...size], box.segmentation);
  });
}
