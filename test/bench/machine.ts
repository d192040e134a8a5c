/** The limits of the machine that the figures must be read beside: its disk, its route table and its veth. */
import { closeSync, fdatasyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { arch, cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, tryRun } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import type { Namespace } from '../lab/namespace.ts';
import { round } from './statistics.ts';

const ROUTES = 10_000;

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly arch: string;
  readonly kernel: string;
  readonly node: string;
  /** 512-byte appends, each followed by fdatasync, one after the other, where temporary files lie. */
  readonly fdatasyncPerSecond: number;
}

export interface Network {
  readonly ipBatch10000RoutesMs: number;
  /** Null where iperf3 is not installed. */
  readonly vethGbitPerSecond: number | null;
}

export async function measureMachine(): Promise<Machine> {
  const directory = await mkdtemp(join(tmpdir(), 'tsflannel-bench-'));
  try {
    return {
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      arch: arch(),
      kernel: release(),
      node: process.versions.node,
      fdatasyncPerSecond: fdatasyncPerSecond(join(directory, 'sync')),
    };
  } finally {
    await rm(directory, { recursive: true });
  }
}

export async function measureNetwork(): Promise<Network> {
  await using lab = await Lab.create();
  const l2 = await lab.l2('x');
  const a = await lab.host('a', { l2, address: '10.99.1.11/24' });
  const b = await lab.host('b', { l2, address: '10.99.1.12/24' });
  const routes = Array.from(
    { length: ROUTES },
    (_, i) => `route add 10.${128 + (i >> 8)}.${i & 255}.0/24 via ${b.address}`,
  );
  const start = performance.now();
  await a.configure(routes);
  const ipBatchMs = performance.now() - start;
  return {
    ipBatch10000RoutesMs: round(ipBatchMs),
    vethGbitPerSecond: await vethThroughput(lab),
  };
}

function fdatasyncPerSecond(path: string): number {
  const fd = openSync(path, 'w');
  const block = Buffer.alloc(512, 1);
  const start = performance.now();
  let count = 0;
  for (; performance.now() - start < 2_000; count++) {
    writeSync(fd, block);
    fdatasyncSync(fd);
  }
  const seconds = (performance.now() - start) / 1000;
  closeSync(fd);
  return Math.round(count / seconds);
}

/** Two namespaces and the veth between them, nothing else in the way. */
async function vethThroughput(lab: Lab): Promise<number | null> {
  if (!(await hasIperf())) return null;
  const server = await lab.namespace('veth-server');
  const client = await lab.namespace('veth-client');
  await run([
    'ip',
    '-n',
    server.netns,
    ...`link add eth0 type veth peer name eth0 netns ${client.netns}`.split(' '),
  ]);
  await server.configure(['address add 10.99.3.1/24 dev eth0', 'link set eth0 up']);
  await client.configure(['address add 10.99.3.2/24 dev eth0', 'link set eth0 up']);
  await serveIperf(server);
  return iperf(client, '10.99.3.1', 3);
}

/** Resolves when it listens; it stays until the namespace is stopped. */
export async function serveIperf(on: Namespace): Promise<void> {
  await on.start(['iperf3', '--server', '--forceflush']).line(/listening/);
}

/** Gbit/s of one TCP stream, as the server received it. */
export async function iperf(from: Namespace, to: string, seconds: number): Promise<number> {
  const result: { end: { sum_received: { bits_per_second: number } } } = JSON.parse(
    await from.run(['iperf3', '--client', to, '--time', `${seconds}`, '--json']),
  );
  return round(result.end.sum_received.bits_per_second / 1e9);
}

export async function hasIperf(): Promise<boolean> {
  return (await tryRun(['sh', '-c', 'command -v iperf3'])).code === 0;
}

/** Resident bytes and the CPU time of all threads so far, of one process. */
export function processUsage(pid: number): { readonly rssBytes: number; readonly cpuMs: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // Clock ticks of 10 ms: USER_HZ is 100 on every Linux.
  const cpuMs = (Number(fields[11]) + Number(fields[12])) * 10;
  return { rssBytes: Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024, cpuMs };
}

/** What one process has had written to disks so far. */
export function diskBytes(pid: number): number {
  return Number(/^write_bytes: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]);
}
