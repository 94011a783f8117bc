/** The gradients of a convolution as problems on a GPU: shapes and slots, nothing about how they are computed. */
export type { GradientProblem } from "../../wasm/conv/gradient_problem.ts";
