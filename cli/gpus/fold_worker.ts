/** The script of a thread that trains one fold on an engine of its own. */
/// <reference lib="deno.worker" />
import { answerFold, type FoldThreadPort } from "./answer_fold.ts";

answerFold(self as FoldThreadPort);
