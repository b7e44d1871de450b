// How numbers, times and octets are written.

export const clock = (atS) => new Date(atS * 1000).toLocaleTimeString("en-GB");

export const clockMs = (atS) => `${clock(atS)}.${String(Math.floor((atS * 1000) % 1000)).padStart(3, "0")}`;

export const day = (atS) =>
  new Date(atS * 1000).toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long" });

export function duration(ms) {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

// 8613800000001 -> +86 138 0000 0001
export function phoneNumber(digits) {
  const mainland = /^(86)?(1\d{2})(\d{4})(\d{4})$/.exec(digits);
  if (!mainland) return /^\d{9,}$/.test(digits) ? `+${digits}` : digits;
  return [mainland[1] ? "+86" : "", ...mainland.slice(2)].join(" ").trim();
}

export const isChinese = (text) => /[\u3400-\u9fff]/.test(text);

// Rows of {offset, octets, text}, eight octets each.
export function hexRows(hex) {
  const octets = hex.match(/../g) ?? [];
  const rows = [];
  for (let at = 0; at < octets.length; at += 8) {
    const row = octets.slice(at, at + 8);
    const text = row.map((octet) => {
      const code = parseInt(octet, 16);
      return code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : "·";
    });
    rows.push({ offset: at.toString(16).padStart(4, "0"), octets: row, text: text.join("") });
  }
  return rows;
}
