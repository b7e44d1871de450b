// An SMSC on npm `smpp`. A submit_sm is accepted before its event is written; a receipt follows where one is asked
// for. With a certificate and a key as arguments it speaks TLS.

const fs = require("fs");
const smpp = require("smpp");
const { say, orders, part, message } = require("./stdio");

const bound = { receives: new Map(), any: new Map() }; // system_id -> session
const refuse = { status: 0, count: 0 };
const addresses = { source_addr_ton: 1, source_addr_npi: 1, dest_addr_npi: 1 };
let messageId = 0;

function bind(session, kind) {
  return (pdu) => {
    session.system_id = pdu.system_id;
    session.send(pdu.response({ system_id: "npm-smpp" }));
    bound.any.set(pdu.system_id, session);
    if (kind !== "transmitter") bound.receives.set(pdu.system_id, session);
    say("bound", { system_id: pdu.system_id, bind: kind, interface_version: pdu.interface_version });
  };
}

function submitted(session, pdu) {
  const { system_id } = session;
  if (refuse.count > 0) {
    refuse.count -= 1;
    session.send(pdu.response({ command_status: refuse.status }));
    say("refused", { system_id, to: pdu.destination_addr });
    return;
  }
  messageId += 1;
  session.send(pdu.response({ message_id: String(messageId) }));
  say("submitted", {
    system_id,
    from: pdu.source_addr,
    to: pdu.destination_addr,
    to_ton: pdu.dest_addr_ton,
    to_npi: pdu.dest_addr_npi,
    data_coding: pdu.data_coding,
    registered_delivery: pdu.registered_delivery,
    ...part(pdu),
  });
  if (pdu.registered_delivery & 1) receipt(bound.receives.get(system_id), pdu, String(messageId));
}

// As most SMSCs word it (SMPP 3.4 appendix B), with the TLVs.
function receipt(session, pdu, id) {
  const time = "2601010000";
  session.deliver_sm(
    {
      ...addresses,
      source_addr: pdu.destination_addr,
      destination_addr: pdu.source_addr,
      esm_class: smpp.ESM_CLASS.MC_DELIVERY_RECEIPT,
      short_message: `id:${id} sub:001 dlvrd:001 submit date:${time} done date:${time} stat:DELIVRD err:000 text:`,
      receipted_message_id: id,
      message_state: smpp.MESSAGE_STATE.DELIVERED,
    },
    (response) => say("receipt", { status: response.command_status, to: pdu.destination_addr }),
  );
}

function accepted(session) {
  for (const kind of ["transceiver", "receiver", "transmitter"]) {
    session.on(`bind_${kind}`, bind(session, kind));
  }
  session.on("submit_sm", (pdu) => submitted(session, pdu));
  session.on("enquire_link", (pdu) => {
    session.send(pdu.response());
    say("enquiry", { system_id: session.system_id });
  });
  session.on("unbind", (pdu) => {
    session.send(pdu.response());
    session.close();
    say("unbound", { system_id: session.system_id, by: "esme" });
  });
  session.on("close", () => say("closed", { system_id: session.system_id }));
  session.on("error", (error) => say("failed", { message: String(error) })); // a reset is one
}

const [cert, key] = process.argv.slice(2).map((file) => fs.readFileSync(file));
const server = smpp.createServer(key ? { cert, key } : {}, accepted);
server.listen(0, "127.0.0.1", () => say("listening", { port: server.address().port }));

orders({
  deliver: (order) =>
    bound.receives
      .get(order.system_id)
      .deliver_sm(
        { ...addresses, source_addr: order.from, destination_addr: order.to, ...message(order) },
        (response) => say("acknowledged", { from: order.from, status: response.command_status }),
      ),
  answer: (order) => Object.assign(refuse, { status: order.status, count: order.count }),
  enquire: ({ system_id }) =>
    bound.any.get(system_id).enquire_link((response) => say("enquired", { system_id, status: response.command_status })),
  unbind: ({ system_id }) => {
    const session = bound.any.get(system_id);
    session.unbind(() => {
      say("unbound", { system_id, by: "smsc" });
      session.close();
    });
  },
  drop: ({ system_id }) => bound.any.get(system_id).destroy(),
});
