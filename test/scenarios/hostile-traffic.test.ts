/** Whatever a stranger sends to the agent's port: it stays up, stays small, and the cluster does not notice. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Agent } from '../lab/agent.ts';
import { type Cluster, fourHosts, startVoters } from '../lab/cluster.ts';
import { eventually } from '../lab/eventually.ts';
import type { Host, Lab } from '../lab/lab.ts';
import { useLab } from '../lab/use-lab.ts';

const PORT = 6473;
const GROWTH_BYTES_MAX = 15 * 1024 * 1024;

/** A program for the stranger's host. Its bytes are a hash chain from a seed, so that a failure can be replayed. */
const prelude = (seed: string): string => `
  const { createHash } = require('node:crypto');
  let state = ${JSON.stringify(seed)};
  const bytes = (length) => {
    const parts = [];
    for (let have = 0; have < length; have += 32) parts.push((state = createHash('sha256').update(state).digest()));
    return Buffer.concat(parts).subarray(0, length);
  };`;

const datagrams = (seed: string, target: string, count: number): string => `${prelude(seed)}
  const socket = require('node:dgram').createSocket('udp4');
  (async () => {
    for (let i = 0; i < ${count}; i++) {
      const datagram = bytes(i % 1473);
      // One in four begins like something that knows the format: small numbers.
      if (i % 4 === 0) for (let at = 0; at < Math.min(8, datagram.length); at++) datagram[at] %= 4;
      await new Promise((done) => socket.send(datagram, ${PORT}, '${target}', done));
    }
    socket.close();
  })();`;

/** Half speak no TLS at all; the others do, without a certificate, and send garbage inside. */
const connections = (seed: string, target: string, count: number): string => `${prelude(seed)}
  const net = require('node:net');
  const tls = require('node:tls');
  const one = (i) => new Promise((done) => {
    const options = { host: '${target}', port: ${PORT}, rejectUnauthorized: false, minVersion: 'TLSv1.3' };
    const socket = i % 2 === 0 ? net.connect(options) : tls.connect(options);
    socket.on('error', () => undefined).on('close', done);
    socket.once(i % 2 === 0 ? 'connect' : 'secureConnect', () => {
      socket.write(bytes(1 + (i * 37) % 4000));
      // Some hang up, the others wait to be hung up on.
      if (i % 3 === 0) socket.destroy();
    });
    setTimeout(() => socket.destroy(), 15_000).unref();
  });
  (async () => {
    for (let i = 0; i < ${count}; i += 20) await Promise.all(Array.from({ length: 20 }, (_, j) => one(i + j)));
  })();`;

function residentBytes(agent: Agent): number {
  const status = readFileSync(`/proc/${agent.program.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

describe('a stranger on the L2', () => {
  let cluster: Cluster;
  let stranger: Host;

  useLab(async (lab: Lab) => {
    const { a, b, c, near } = await fourHosts(lab);
    cluster = await startVoters([a, b, c]);
    stranger = await lab.host('stranger', { l2: near, address: '10.99.1.66/24' });
  });

  const attack = async (program: string): Promise<void> => {
    await stranger.run([process.execPath, '-e', program], { timeoutMs: 150_000 });
  };

  test.each([
    ['10,000 random datagrams', datagrams, 10_000],
    ['1,000 garbage TLS connections', connections, 1_000],
  ])('%s: every agent stays up and small, and no election is held', async (_, program, count) => {
    for (const agent of cluster.agents) {
      const target = agent.host.address;
      await attack(program(`warm-up ${target}`, target, count));
      const terms = await Promise.all(cluster.agents.map(async (each) => (await each.status()).raft.term));
      const before = residentBytes(agent);
      await attack(program(`seed ${target}`, target, count));
      expect(agent.program.running).toBe(true);
      await eventually(`${agent.host.name} is small again`, () =>
        residentBytes(agent) - before <= GROWTH_BYTES_MAX ? true : undefined,
      );
      expect(await Promise.all(cluster.agents.map(async (each) => (await each.status()).raft.term))).toEqual(
        terms,
      );
    }
  });

  test('and the cluster still admits a member', async () => {
    const { health } = await cluster.agent('a').status();
    expect(health).toBe('healthy');
    const { token } = await cluster.agent('b').json<{ token: string }>(['token', 'create']);
    expect(token).toMatch(/^tsf1\./);
  });
});
