import { verifyAddress } from "../../cli/engines/verify_address.ts";
import { UserError } from "../../core/base/errors.ts";
import type { AdapterChoice } from "../../gpu/adapter.ts";
import { assert, assertEquals, assertFails } from "../assert.ts";

const CHOICE: AdapterChoice = {
  name: "0000:81:00.0",
  label: "GPU 0000:81:00.0",
  environment: { DRI_PRIME: "pci-0000_81_00_0" },
  turn: new Int32Array(new SharedArrayBuffer(4)),
  isUnchecked: true,
};

/** What a driver's loader shows for an address: the card there, else the first one. */
function bus(cards: Readonly<Record<string, string>>, first: string) {
  const asked: string[] = [];
  const ask = ({ environment: { DRI_PRIME } }: AdapterChoice) => {
    asked.push(DRI_PRIME);
    const description = cards[DRI_PRIME] ?? first;
    const info = { description, vendor: "4318", device: "7864", architecture: "" };
    return Promise.resolve({ info, features: new Set<string>() } as unknown as GPUAdapter);
  };
  return { ask, asked };
}

Deno.test("a GPU at an address that may not be looked at is verified where no other address shows its model", async () => {
  const { ask, asked } = bus({ "pci-0000_81_00_0": "Tesla T4" }, "NVIDIA A40");
  const { choice, doubt } = await verifyAddress(CHOICE, ask);
  assertEquals(doubt, undefined);
  assertEquals([choice.label, choice.vendor, choice.device], ["GPU 0000:81:00.0 (Tesla T4)", 0x10de, 0x1eb8]);
  assertEquals(asked, ["pci-0000_81_00_0", "pci-ffff_ff_1f_7"]);
});

Deno.test("of an address that shows what any address does it is said that it could not be verified", async () => {
  const buses: readonly Record<string, string>[] = [{}, { "pci-0000_81_00_0": "NVIDIA A40" }];
  for (const cards of buses) {
    const { doubt } = await verifyAddress(CHOICE, bus(cards, "NVIDIA A40").ask);
    assert(doubt?.includes("the driver shows NVIDIA A40 for this address, and for one that no GPU has as well"), doubt);
  }
  const { asked, ask } = bus({}, "NVIDIA A40");
  const known = { ...CHOICE, isUnchecked: undefined };
  assertEquals(await verifyAddress(known, ask), { choice: known });
  assertEquals(asked, []);
});

Deno.test("an address at which the driver shows nothing is refused", async () => {
  await assertFails(
    () => verifyAddress(CHOICE, () => Promise.resolve(null)),
    UserError,
    "shows no GPU there",
    "lspci -D",
  );
});
