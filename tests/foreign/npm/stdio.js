// Orders as JSON lines on stdin, events as JSON lines on stdout (tests/foreign/stack.py has the words).

const readline = require("readline");

const say = (event, fields) => process.stdout.write(JSON.stringify({ event, ...fields }) + "\n");

function orders(handlers) {
  readline
    .createInterface({ input: process.stdin })
    .on("line", (line) => {
      const order = JSON.parse(line);
      handlers[order.do](order);
    })
    .on("close", () => process.exit(0));
}

// The text of a submit_sm or deliver_sm, and which part of a long one it is (UDH elements 00 and 08, or SAR TLVs).
function part(pdu) {
  const { udh, message } = pdu.short_message;
  const text = (message.length ? message : pdu.message_payload ? pdu.message_payload.message : "").toString();
  if (pdu.sar_total_segments) {
    return { text, reference: pdu.sar_msg_ref_num, total: pdu.sar_total_segments, index: pdu.sar_segment_seqnum };
  }
  const element = (udh || []).find((one) => one[0] === 0 || one[0] === 8);
  if (!element) return { text, reference: 0, total: 1, index: 1 };
  const [total, index] = element.slice(-2);
  return { text, reference: element.slice(2, -2).readUIntBE(0, element.length - 4), total, index };
}

// The text as it is, or octets that were cut and encoded already.
function message(order) {
  const { text, hex, esm_class, data_coding, tlvs } = order;
  const octets = hex === undefined ? {} : { esm_class, data_coding, short_message: Buffer.from(hex, "hex") };
  return { ...(text === undefined ? octets : { short_message: text }), ...tlvs };
}

module.exports = { say, orders, part, message };
