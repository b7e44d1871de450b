// Clients on npm `smpp` for the gateway's listener. `send` sends any command of the library with any fields.

const smpp = require("smpp");
const { say, orders, part, message } = require("./stdio");

const sessions = new Map();
const addresses = { source_addr_ton: 1, source_addr_npi: 1, dest_addr_npi: 1 };

function bind({ session: name, port, system_id, password, bind: kind, version }) {
  const session = smpp.connect({ host: "127.0.0.1", port }, () =>
    session[`bind_${kind}`]({ system_id, password, interface_version: version || 0x34 }, (response) =>
      say("bound", { session: name, status: response.command_status, version: response.sc_interface_version }),
    ),
  );
  sessions.set(name, session);
  session.on("deliver_sm", (pdu) => {
    session.send(pdu.response());
    say("delivered", {
      session: name,
      from: pdu.source_addr,
      to: pdu.destination_addr,
      esm_class: pdu.esm_class,
      data_coding: pdu.data_coding,
      ...part(pdu),
    });
  });
  session.on("enquire_link", (pdu) => {
    session.send(pdu.response());
    say("enquiry", { session: name });
  });
  session.on("unbind", (pdu) => {
    session.send(pdu.response());
    session.close();
  });
  session.on("close", () => say("closed", { session: name }));
  session.on("error", (error) => say("failed", { session: name, message: String(error) }));
}

orders({
  bind,
  submit: (order) =>
    sessions
      .get(order.session)
      .submit_sm(
        {
          ...addresses,
          source_addr: order.from,
          destination_addr: order.to,
          registered_delivery: order.registered_delivery || 0,
          ...message(order),
        },
        ({ command_status: status, message_id }) =>
          say("acknowledged", { session: order.session, status, message_id }),
      ),
  send: ({ session, command, fields }) =>
    sessions
      .get(session)
      [command](fields, (response) =>
        say("response", { session, command: response.command, status: response.command_status }),
      ),
  enquire: ({ session }) =>
    sessions
      .get(session)
      .enquire_link((response) => say("enquired", { session, status: response.command_status })),
  unbind: ({ session: name }) => {
    const session = sessions.get(name);
    session.unbind((response) => {
      say("unbound", { session: name, status: response.command_status });
      session.close();
    });
  },
});
