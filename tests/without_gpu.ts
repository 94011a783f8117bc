/** Tests of the GPU engine: a software adapter will do. */
import { requestAdapter } from "../gpu/adapter.ts";

/** True where they are skipped: there is no adapter, and NNUNET_TEST_GPU=required does not ask for one. */
export const ignore: boolean = Deno.env.get("NNUNET_TEST_GPU") !== "required" && await requestAdapter() === null;
