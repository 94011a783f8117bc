/**
 * Decoders of JPEG, JPEG-LS and JPEG 2000 in WebAssembly: libjpeg-turbo, CharLS and OpenJPEG as Cornerstone packs them. A module is
 * loaded when a stream of its kind is met, from beside the program's script or from the package; nothing is fetched.
 */

/** A stream's pixels as they come out of a decoder. */
export interface DecodedStream {
  readonly columns: number;
  readonly rows: number;
  readonly components: number;
  readonly bits: number;
  /** Little-endian pixels of one byte where `bits` is at most 8, else of two. */
  readonly pixels: Uint8Array;
}

export type StreamKind = "jpeg" | "jpeg-ls" | "jpeg 2000";
export type DecodeStream = (stream: Uint8Array) => DecodedStream;

interface Decoder {
  getEncodedBuffer(bytes: number): Uint8Array;
  getDecodedBuffer(): Uint8Array;
  decode(): void;
  getFrameInfo(): { width: number; height: number; bitsPerSample: number; componentCount: number };
  delete(): void;
}
type DecoderClass = new () => Decoder;
interface DecoderModule {
  readonly JPEGDecoder?: DecoderClass;
  readonly JpegLSDecoder?: DecoderClass;
  readonly J2KDecoder?: DecoderClass;
}
type ModuleFactory = (options: Record<string, unknown>) => Promise<DecoderModule>;

/** A module's script, and where its WebAssembly lies: beside the script where the program was bundled, else in the package. */
interface Source {
  load(): Promise<{ readonly default: unknown }>;
  beside(): URL;
  packaged(): string;
}

const SOURCES: Readonly<Record<StreamKind, Source>> = {
  "jpeg": {
    load: () => import("@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs"),
    beside: () => new URL("./libjpegturbo.wasm", import.meta.url),
    packaged: () => import.meta.resolve("@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasm"),
  },
  "jpeg-ls": {
    load: () => import("@cornerstonejs/codec-charls/decodewasmjs"),
    beside: () => new URL("./charls.wasm", import.meta.url),
    packaged: () => import.meta.resolve("@cornerstonejs/codec-charls/decodewasm"),
  },
  "jpeg 2000": {
    load: () => import("@cornerstonejs/codec-openjpeg/decodewasmjs"),
    beside: () => new URL("./openjpeg.wasm", import.meta.url),
    packaged: () => import.meta.resolve("@cornerstonejs/codec-openjpeg/decodewasm"),
  },
};

/** Loads the decoder of a kind of stream; what it gives throws an Error for a stream that is damaged, and is then of no more use. */
export async function loadDecoder(kind: StreamKind): Promise<DecodeStream> {
  const source = SOURCES[kind];
  const silent = () => {};
  const wasmBinary = await readModule(source);
  const factory = (await source.load()).default as ModuleFactory;
  const module = await factory({ wasmBinary, print: silent, printErr: silent });
  const DecoderOfKind = module.JPEGDecoder ?? module.JpegLSDecoder ?? module.J2KDecoder;
  if (!DecoderOfKind) throw new TypeError(`the module for ${kind} has no decoder`);
  return (stream) => decode(new DecoderOfKind(), stream);
}

function decode(decoder: Decoder, stream: Uint8Array): DecodedStream {
  try {
    decoder.getEncodedBuffer(stream.length).set(stream);
    decoder.decode();
    const { width, height, bitsPerSample, componentCount } = decoder.getFrameInfo();
    // A copy, as the decoder's memory is the next frame's.
    const pixels = decoder.getDecodedBuffer().slice();
    return { columns: width, rows: height, components: componentCount, bits: bitsPerSample, pixels };
  } catch (error) {
    // Emscripten throws numbers for C++ exceptions, which say nothing.
    throw error instanceof Error ? error : new Error("the decoder can't read it");
  } finally {
    decoder.delete();
  }
}

async function readModule({ packaged, beside }: Source): Promise<Uint8Array> {
  try {
    return await Deno.readFile(beside());
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return await Deno.readFile(new URL(packaged()));
  }
}
