// Just enough of SIP to look at messages that real clients exchanged.
import assert from 'node:assert/strict';

/// Start line, headers (name in small letters -> list of values) and body.
export function split(text) {
  const gap = text.indexOf('\r\n\r\n');
  const [start, ...lines] = text.slice(0, gap < 0 ? undefined : gap).split('\r\n');
  const headers = new Map();
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).trim().toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), line.slice(colon + 1).trim()]);
  }
  return { start, headers, body: gap < 0 ? '' : text.slice(gap + 4) };
}

/// The messages of one kind: `INVITE` for requests, `INVITE 200` for the responses to one.
export function of_kind(wire, way, kind) {
  const [method, status] = kind.split(' ');
  return wire.filter((message) => message.way === way && (status
    ? message.start.startsWith(`SIP/2.0 ${status}`) && message.headers.get('cseq')[0].endsWith(` ${method}`)
    : message.start.startsWith(`${method} `)));
}

/// Asserts that every SDP of one side (offers of INVITE and re-INVITE, answers of their 200, ACKs with one) came to
/// the other as it was, and counts them.
export function same_bodies(sender, receiver) {
  let count = 0;
  for (const kind of ['INVITE', 'INVITE 200', 'ACK']) {
    // A challenged INVITE goes out twice with the same offer; what is repeated is compared once.
    const out = bodies(of_kind(sender, 'out', kind));
    assert.deepEqual(bodies(of_kind(receiver, 'in', kind)), out, `the SDP of ${kind} changed on its way`);
    count += out.length;
  }
  return count;
}

const bodies = (messages) => [...new Set(messages.map(({ body }) => body).filter(Boolean))];
