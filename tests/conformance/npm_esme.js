// An ordinary ESME on npm `smpp`, written as its README shows: binds as transceiver, keeps the bind up, answers the
// keyword with a text, and sends again what was throttled.
//
// node npm_esme.js PORT SYSTEM_ID PASSWORD KEYWORD ENQUIRE_LINK_S RECONNECT_S

const smpp = require("../foreign/npm/node_modules/smpp");

const [port, systemId, password, keyword, enquireLinkS, reconnectS] = process.argv.slice(2);
const log = (...words) => console.log(new Date().toISOString(), ...words);

function connect() {
  const session = smpp.connect({
    url: `smpp://127.0.0.1:${port}`,
    auto_enquire_link_period: enquireLinkS * 1000,
  });

  session.on("connect", () => {
    session.bind_transceiver({ system_id: systemId, password }, (pdu) => {
      log("bind", pdu.command_status);
      if (pdu.command_status !== 0) session.close();
    });
  });

  session.on("deliver_sm", (pdu) => {
    session.send(pdu.response());
    if (pdu.esm_class & 0x3c) return; // a receipt or a notification
    const message = (pdu.message_payload || pdu.short_message)?.message;
    if (message && message.toString().trim() === keyword) answer(session, pdu.source_addr, pdu.destination_addr);
  });

  session.on("enquire_link", (pdu) => session.send(pdu.response()));
  session.on("unbind", (pdu) => {
    session.send(pdu.response());
    session.close();
  });
  session.on("unknown", (pdu) => {
    if (pdu.command_id < 0x80000000) session.send(pdu.response()); // a generic_nack
  });

  // The library stops reading after an error of its own, so the connection is of no use any more.
  session.on("error", (error) => {
    log("error", error.message);
    session.destroy();
  });
  session.on("close", () => setTimeout(connect, reconnectS * 1000));
}

function answer(session, number, service) {
  const fields = {
    source_addr: service,
    source_addr_npi: 1,
    dest_addr_ton: 1,
    dest_addr_npi: 1,
    destination_addr: number,
    short_message: "You sent the keyword.",
  };
  session.submit_sm(fields, (pdu) => {
    const throttled = [smpp.ESME_RTHROTTLED, smpp.ESME_RMSGQFUL].includes(pdu.command_status);
    if (throttled) setTimeout(() => answer(session, number, service), 200);
    else if (pdu.command_status) log("refused", pdu.command_status);
  });
}

connect();
