// An SMSC on npm `smpp`, driven by a test: orders as JSON lines on stdin, events as JSON lines on stdout.
//
// Order:  {"from", "to", "text", "system_id"}   deliver a phone's text to the ESME bound under system_id
// Events: listening {port}; bound {system_id, bind}; acknowledged {from, status}; submitted {…}; octets {…}
// A submit_sm is accepted before its event is written. Ends with its stdin.

const readline = require("readline");
const smpp = require("smpp");

const say = (event, fields) => process.stdout.write(JSON.stringify({ event, ...fields }) + "\n");
const bound = new Map(); // system_id -> session that receives
let messageId = 0;

function bind(session, kind) {
  return (pdu) => {
    session.send(pdu.response({ system_id: "npm-smpp" }));
    if (kind !== "transmitter") bound.set(pdu.system_id, session);
    say("bound", { system_id: pdu.system_id, bind: kind });
  };
}

function submitted(session, pdu) {
  messageId += 1;
  session.send(pdu.response({ message_id: String(messageId) }));
  const { udh, message } = pdu.short_message;
  say("submitted", {
    from: pdu.source_addr,
    to: pdu.destination_addr,
    to_ton: pdu.dest_addr_ton,
    to_npi: pdu.dest_addr_npi,
    data_coding: pdu.data_coding,
    udh: udh ? udh.map((part) => part.toString("hex")) : [],
    text: message.toString(),
  });
}

// What went over the socket, for the dissector: `ours` is what the gateway sent.
function record(socket) {
  const read = socket.read.bind(socket);
  socket.read = (size) => {
    const data = read(size);
    if (data) say("octets", { ours: true, port: socket.remotePort, hex: data.toString("hex") });
    return data;
  };
  const write = socket.write.bind(socket);
  socket.write = (data, ...rest) => {
    say("octets", { ours: false, port: socket.remotePort, hex: data.toString("hex") });
    return write(data, ...rest);
  };
}

const server = smpp.createServer((session) => {
  record(session.socket);
  for (const kind of ["transceiver", "receiver", "transmitter"]) {
    session.on(`bind_${kind}`, bind(session, kind));
  }
  session.on("submit_sm", (pdu) => submitted(session, pdu));
  session.on("enquire_link", (pdu) => session.send(pdu.response()));
  session.on("unbind", (pdu) => {
    session.send(pdu.response());
    session.close();
  });
  session.on("error", (error) => say("error", { message: String(error) }));
});
server.listen(0, "127.0.0.1", () => say("listening", { port: server.address().port }));

readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const order = JSON.parse(line);
    bound.get(order.system_id).deliver_sm(
      {
        source_addr_ton: 1,
        source_addr_npi: 1,
        source_addr: order.from,
        dest_addr_npi: 1,
        destination_addr: order.to,
        short_message: order.text,
      },
      (response) => say("acknowledged", { from: order.from, status: response.command_status }),
    );
  })
  .on("close", () => process.exit(0));
