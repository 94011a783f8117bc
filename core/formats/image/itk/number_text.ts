/** `value` as C's "%.17g" prints it: as many digits as tell it from all others. */
export function exactNumber(value: number): string {
  if (value === 0) return Object.is(value, -0) ? "-0" : "0";
  const [digits, exponent] = value.toExponential(16).split("e");
  const power = Number(exponent);
  if (power < -4 || power >= 17) {
    return `${withoutZeros(digits)}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  return withoutZeros(value.toFixed(16 - power));
}

function withoutZeros(text: string): string {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}
