// The simulator's HTTP API, see gateway/simulator/api.py.

async function answerOf(response) {
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error ?? `the simulator answered ${response.status}`);
  return body;
}

export async function get(path, query = {}) {
  return answerOf(await fetch(`${path}?${new URLSearchParams(query)}`));
}

export async function post(path, body) {
  return answerOf(await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  }));
}

const KINDS = ["mo_sent", "mo_attempted", "mo_acknowledged", "mo_refused", "mo_expired", "mt_part", "mt_complete",
  "pdu", "link_up", "link_down"];

// Calls `happened(kind, body)` for each event, `connected()` after every (re)connection: what was missed is to be
// fetched then. EventSource connects anew by itself, except after an HTTP error; then we do.
export function listen({ connected, disconnected, happened }) {
  const source = new EventSource("/api/events");
  source.addEventListener("open", connected);
  source.addEventListener("error", () => {
    disconnected();
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen({ connected, disconnected, happened }), 1000);
  });
  for (const kind of KINDS) source.addEventListener(kind, (event) => happened(kind, JSON.parse(event.data)));
}
