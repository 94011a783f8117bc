/** Damage of an image file, as its format's reader finds it; it becomes a UserError where the file's name is known. */
export abstract class ImageDamage extends Error {
  /** @param kind Whether the file's end is missing: it ends before what it says it holds */
  constructor(message: string, readonly kind: "cut short" | "damaged" = "damaged") {
    super(message);
  }

  /** In the user's terms. @param format "PNG" */
  problem(format: string): string {
    return `the ${format} file is ${this.kind === "cut short" ? "cut short or damaged" : "damaged"} (${this.message})`;
  }
}
