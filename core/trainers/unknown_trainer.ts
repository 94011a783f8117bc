/** A trainer that is none of the table's. */
import { UserError } from "../base/errors.ts";

/** Thrown for a name that is no trainer's here. It may be one of the user's own, in Python. */
export class UnknownTrainer extends UserError {
  /** The same error with a sentence added to what to do. */
  withRemedy(sentence: string): UserError {
    const { remedy } = this.parts;
    return new UserError({ ...this.parts, remedy: remedy === undefined ? sentence : `${remedy}. ${sentence}` });
  }
}
