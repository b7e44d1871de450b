// The gateway a Node user would write: acknowledge, look the answer up in Redis, send it.
// usage: node gateway.js SMPP_PORT REDIS_PORT [BINDS]
const smpp = require("smpp");
const { createClient } = require("redis");

const [smppPort, redisPort, binds = 1] = process.argv.slice(2).map(Number);

(async () => {
  const redis = createClient({ socket: { port: redisPort } });
  await redis.connect();
  for (let bind = 0; bind < binds; bind++) {
    const session = smpp.connect({ url: `smpp://127.0.0.1:${smppPort}`, auto_enquire_link_period: 30000 });
    session.on("connect", () => session.bind_transceiver({ system_id: "node", password: "pw" }));
    session.on("deliver_sm", async pdu => {
      session.send(pdu.response());
      const text = await redis.get("reply:" + pdu.source_addr);
      session.submit_sm({
        source_addr: pdu.destination_addr,
        dest_addr_ton: pdu.source_addr_ton,
        dest_addr_npi: pdu.source_addr_npi,
        destination_addr: pdu.source_addr,
        short_message: text ?? "unknown",
      });
    });
    session.on("unbind", pdu => session.send(pdu.response(), null, () => process.exit(0)));
    session.on("close", () => process.exit(0));
    session.on("error", () => process.exit(0));
  }
})();
