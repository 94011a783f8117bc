/** A page of an image and segmentations that holds them itself. */
"use strict";

{
  const { title, segmentations, names, hasVolume } = JSON.parse(document.getElementById("about").textContent);
  const place = document.getElementById("viewer");

  /** The bytes of a volume; the page has no further use for their text. */
  const bytesOf = (id) => {
    const holder = document.getElementById(id);
    const text = holder.textContent;
    holder.remove();
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text).buffer;
    const letters = atob(text);
    const bytes = new Uint8Array(letters.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
    return bytes.buffer;
  };

  globalThis.showSegmentation(place, {
    title,
    image: bytesOf("image"),
    segmentations: segmentations.map((name, i) => ({ name, labels: () => bytesOf(`labels-${i}`) })),
    names,
    hasVolume,
  }).catch((error) => {
    place.textContent = `It could not be shown: ${error.message}`;
  });
}
