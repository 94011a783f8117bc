/** A page of an image and segmentations that holds them itself: which segmentation is shown is chosen here. */
"use strict";

{
  const about = JSON.parse(document.getElementById("about").textContent);
  const place = document.getElementById("viewer");
  const choice = document.getElementById("chosen");
  let shown;

  const bytesOf = (id) => {
    const text = document.getElementById(id).textContent;
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text).buffer;
    const letters = atob(text);
    const bytes = new Uint8Array(letters.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
    return bytes.buffer;
  };

  const show = async () => {
    choice.disabled = true;
    shown?.dispose();
    try {
      shown = await globalThis.showSegmentation(place, {
        title: `${about.title}, ${about.segmentations[choice.value]}`,
        image: bytesOf("image"),
        labels: bytesOf(`labels-${choice.value}`),
        names: about.names,
        hasVolume: about.hasVolume,
      });
    } catch (error) {
      place.textContent = `It could not be shown: ${error.message}`;
    }
    choice.disabled = false;
  };

  choice.append(...about.segmentations.map((name, i) => new Option(name, String(i))));
  choice.addEventListener("change", show);
  show();
}
