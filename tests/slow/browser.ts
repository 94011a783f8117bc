/** A headless Chromium as a person would use it, by the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/). */
import type { Json } from "../golden/cli/served.ts";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];
const FLAGS = [
  "--headless=new",
  "--no-sandbox",
  "--no-first-run",
  "--disable-background-networking",
  "--remote-debugging-port=0",
  // Draws without a graphics card.
  "--use-angle=swiftshader",
  "--enable-unsafe-swiftshader",
];

export interface Browser extends AsyncDisposable {
  /** Addresses that were asked for, but for those that hold their data. */
  readonly requests: readonly string[];
  /** What the browser and the page's scripts complain of. */
  readonly complaints: readonly string[];
  send(method: string, params?: Json): Promise<Json>;
  open(url: string): Promise<void>;
  size(width: number, height: number): Promise<void>;
  /** The value of an expression, a promise's included. */
  evaluate(expression: string): Promise<Json>;
  /** Waits until an expression is true. */
  until(expression: string, seconds?: number): Promise<void>;
  click(selector: string): Promise<void>;
  press(key: string): Promise<void>;
  /** Drops files as from a window of files. */
  drop(selector: string, files: readonly string[]): Promise<void>;
  /** PNG of what is seen, or of an element of it. */
  screenshot(selector?: string): Promise<Uint8Array<ArrayBuffer>>;
}

/** The command that starts it, or undefined where there is none. */
export async function findChromium(): Promise<string | undefined> {
  for (const name of NAMES) {
    const { success } = await new Deno.Command("sh", { args: ["-c", `command -v ${name}`], stdout: "null" }).output();
    if (success) return name;
  }
  return undefined;
}

export async function openBrowser(command: string, folder: string): Promise<Browser> {
  const words = [...FLAGS, `--user-data-dir=${folder}`, "about:blank"];
  const child = new Deno.Command("sh", {
    args: ["-c", 'exec "$@"', "sh", command, ...words],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const port = Promise.withResolvers<string>();
  let said = "";
  const reading = child.stderr.pipeThrough(new TextDecoderStream()).pipeTo(
    new WritableStream({
      write(text) {
        said += text;
        const [, found] = /DevTools listening on ws:\/\/127\.0\.0\.1:(\d+)\//.exec(said) ?? [];
        if (found) port.resolve(found);
      },
    }),
  );
  child.status.then(() => port.reject(new Error(`${command} ended: ${said}`)));
  const targets: Json[] = await (await fetch(`http://127.0.0.1:${await port.promise}/json/list`)).json();
  const connection = await connect(targets.find(({ type }) => type === "page").webSocketDebuggerUrl);
  for (const domain of ["Page", "Network", "Log", "Runtime"]) await connection.send(`${domain}.enable`);
  return {
    ...connection,
    ...actions(connection.send),
    async [Symbol.asyncDispose]() {
      connection.close();
      child.kill("SIGTERM");
      await child.status;
      await reading;
    },
  };
}

async function connect(url: string) {
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = reject;
  });
  const waiting = new Map<number, PromiseWithResolvers<Json>>();
  const requests: string[] = [];
  const complaints: string[] = [];
  socket.onmessage = ({ data }) => {
    const { id, method, params, result, error }: Json = JSON.parse(data);
    if (method === "Network.requestWillBeSent" && !/^(data|blob):/.test(params.request.url)) {
      requests.push(params.request.url);
    }
    if (method === "Log.entryAdded" && params.entry.level === "error") complaints.push(params.entry.text);
    if (method === "Runtime.exceptionThrown") complaints.push(JSON.stringify(params.exceptionDetails));
    const asked = waiting.get(id);
    waiting.delete(id);
    if (error) asked?.reject(new Error(error.message));
    else asked?.resolve(result);
  };
  let last = 0;
  const send = (method: string, params: Json = {}): Promise<Json> => {
    const answer = Promise.withResolvers<Json>();
    waiting.set(++last, answer);
    socket.send(JSON.stringify({ id: last, method, params }));
    return answer.promise;
  };
  return { requests, complaints, send, close: () => socket.close() };
}

function actions(send: Browser["send"]) {
  const evaluate = async (expression: string): Promise<Json> => {
    const { result, exceptionDetails } = await send("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
      userGesture: true,
    });
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description}`);
    return result.value;
  };
  const until = async (expression: string, seconds = 60) => {
    const end = performance.now() + 1000 * seconds;
    while (!await evaluate(`Boolean(${expression})`)) {
      if (performance.now() > end) throw new Error(`it did not become true in ${seconds} s: ${expression}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const rectOf = async (selector: string) =>
    await evaluate(`(() => {
      const found = document.querySelector(${JSON.stringify(selector)});
      found.scrollIntoView({ block: "nearest" });
      const { x, y, width, height } = found.getBoundingClientRect();
      return { x, y, width, height };
    })()`);
  const middleOf = async (selector: string) => {
    const { x, y, width, height } = await rectOf(selector);
    return { x: x + width / 2, y: y + height / 2 };
  };
  return {
    evaluate,
    until,
    async open(url: string) {
      await send("Page.navigate", { url });
      await until('document.readyState === "complete" && location.href !== "about:blank"');
    },
    async size(width: number, height: number) {
      await send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
    },
    async click(selector: string) {
      const at = { ...await middleOf(selector), button: "left", clickCount: 1 };
      for (const type of ["mousePressed", "mouseReleased"]) await send("Input.dispatchMouseEvent", { type, ...at });
    },
    async press(key: string) {
      const code = { Tab: 9, Enter: 13, " ": 32, PageUp: 33, PageDown: 34 }[key] ?? 0;
      const text = { Enter: "\r", " ": " " }[key];
      const common = { key, code: key === " " ? "Space" : key, windowsVirtualKeyCode: code };
      await send("Input.dispatchKeyEvent", { type: text ? "keyDown" : "rawKeyDown", ...common, ...(text && { text }) });
      await send("Input.dispatchKeyEvent", { type: "keyUp", ...common });
    },
    async drop(selector: string, files: readonly string[]) {
      const at = await middleOf(selector);
      const data = { items: [], files, dragOperationsMask: 1 };
      for (const type of ["dragEnter", "dragOver", "drop"]) {
        await send("Input.dispatchDragEvent", { type, ...at, data });
      }
    },
    async screenshot(selector?: string) {
      const clip = selector === undefined ? undefined : { ...await rectOf(selector), scale: 1 };
      const { data } = await send("Page.captureScreenshot", { format: "png", ...(clip && { clip }) });
      return Uint8Array.fromBase64(data);
    },
  };
}
