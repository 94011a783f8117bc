/** Tensors that span several bindings, as kernels without a fixed tile see them. */
import type { SlotLayout } from "./kernel.ts";

/** Where elements that are not a network's activations are; the kernel says what an element is. */
export type ArrayLayout = Omit<SlotLayout, "type">;
