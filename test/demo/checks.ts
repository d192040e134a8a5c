/** Whether every container reaches every other, by ping and by TCP, and with its own source address. */
import { connectTcp, listenTcp, ping } from '../lab/probes.ts';
import type { Guest } from './guest.ts';

const PINGS = 3;
const PORT = 8080;

export interface Outcome {
  readonly reached: boolean;
  /** For the cell of a table. */
  readonly text: string;
}

export async function pingFrom(from: Guest, to: Guest): Promise<Outcome> {
  const { received, rttMs, ttl } = await ping(from.namespace, to.address, { count: PINGS });
  if (received < PINGS) return { reached: false, text: `${PINGS - received} of ${PINGS} LOST` };
  return { reached: true, text: `${rttMs} ms, ttl ${ttl}` };
}

/** The servers run for as long as `use` does. */
export async function withServers<T>(guests: readonly Guest[], use: () => Promise<T>): Promise<T> {
  const servers = await Promise.all(guests.map(({ namespace }) => listenTcp(namespace, PORT)));
  try {
    return await use();
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

export async function tcpFrom(from: Guest, to: Guest): Promise<Outcome> {
  const source = await connectTcp(from.namespace, to.address, PORT);
  if (source === null) return { reached: false, text: 'NO CONNECTION' };
  if (source !== from.address) return { reached: false, text: `came as ${source}` };
  return { reached: true, text: 'own address' };
}

/** Every ordered pair: rows are the callers. One caller at a time, its destinations side by side. */
export async function matrix(
  guests: readonly Guest[],
  check: (from: Guest, to: Guest) => Promise<Outcome>,
): Promise<{
  readonly rows: readonly (readonly string[])[];
  readonly reached: number;
  readonly asked: number;
}> {
  const rows = [['from \\ to', ...guests.map(({ host, address }) => `${host} ${address}`)]];
  let reached = 0;
  for (const from of guests) {
    const cells = await Promise.all(guests.map((to) => (to === from ? undefined : check(from, to))));
    rows.push([`${from.host} ${from.address}`, ...cells.map((cell) => cell?.text ?? '-')]);
    reached += cells.filter((cell) => cell?.reached === true).length;
  }
  return { rows, reached, asked: guests.length * (guests.length - 1) };
}
