// Ports that are free now on 127.0.0.1, for TCP and UDP alike. They are drawn below the range the system
// hands out by itself, so that nobody gets one by accident between the look and the use.
import dgram from 'node:dgram';
import net from 'node:net';

const FIRST = 12_000;
const LAST = 30_000;
const taken = new Set();

const can = (open) => new Promise((resolve) => open(resolve));

const free_tcp = (port) => can((resolve) => {
  const server = net.createServer();
  server.once('error', () => resolve(false));
  server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
});

const free_udp = (port) => can((resolve) => {
  const socket = dgram.createSocket('udp4');
  socket.once('error', () => resolve(false));
  socket.bind(port, '127.0.0.1', () => socket.close(() => resolve(true)));
});

/// `count` ports in a row, the first of them even.
export async function ports(count = 1) {
  for (let attempt = 0; attempt < 500; attempt += 1) {
    const first = (FIRST + Math.floor(Math.random() * (LAST - FIRST - count))) & ~1;
    const row = Array.from({ length: count }, (_, i) => first + i);
    if (row.some((port) => taken.has(port))) continue;
    const free = await Promise.all(row.flatMap((port) => [free_tcp(port), free_udp(port)]));
    if (free.every(Boolean)) {
      for (const port of row) taken.add(port);
      return row;
    }
  }
  throw new Error(`no ${count} free ports in a row`);
}

export const port = async () => (await ports(1))[0];
