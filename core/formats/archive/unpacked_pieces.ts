/** Packed pieces through a stream of node:zlib. */
import type zlib from "node:zlib";

/**
 * What `packed` unpacks to, piece by piece; `packed` is read to its end, even where what is unpacked ends before.
 * @param stream Made for this call, which ends it
 * @throws What `packed` throws, else what the stream says of the data
 */
export async function* unpackedPieces(
  stream: zlib.Inflate | zlib.ZstdDecompress,
  packed: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  let stopped = false;
  let ended = false;
  let failure: unknown;
  stream.on("end", () => ended = true);
  const feed = async () => {
    try {
      for await (const piece of packed) {
        if (stopped) return;
        // A copy: zlib may still be reading the piece when the next one takes its place.
        if (!ended && !stream.write(piece.slice())) await roomIn(stream);
      }
      stream.end();
    } catch (error) {
      failure = error;
      stream.destroy();
    }
  };
  const feeding = feed();
  try {
    for await (const piece of stream) yield piece as Uint8Array;
    await feeding;
  } catch (error) {
    throw failure ?? error;
  } finally {
    stopped = true;
    stream.destroy();
    await feeding;
  }
  if (failure) throw failure;
}

/** Waits until the stream takes more, or is closed. */
function roomIn(stream: zlib.Inflate | zlib.ZstdDecompress): Promise<void> {
  return new Promise((resolve) => {
    const events = ["drain", "close", "end"];
    const done = () => {
      for (const event of events) stream.off(event, done);
      resolve();
    };
    for (const event of events) stream.on(event, done);
  });
}
