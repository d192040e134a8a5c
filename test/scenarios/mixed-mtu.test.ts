/** Jumbo frames on one of two hosts of an L2: the switch carries them, and the other host’s card drops them silently. */
import { beforeAll, describe, expect, test } from 'vitest';
import { containers, startCluster } from '../lab/cluster.ts';
import { eventually } from '../lab/eventually.ts';
import type { Container, Host, Lab } from '../lab/lab.ts';
import { ping } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';

const BYTES = 1_000_000;

function large8000(discovery: 'do' | 'dont', { address }: Container): readonly string[] {
  return ['ping', '-c', '1', '-W', '2', '-M', discovery, '-s', '8000', address];
}

describe('a host with 9,000 bytes and one with 1,500 on one L2', () => {
  let large: Host;
  let from: Container;
  let to: Container;
  let subnet: string;

  useLab(async (lab: Lab) => {
    const l2 = await lab.l2('x');
    large = await lab.host('a', { l2, address: '10.99.1.11/24', mtu: 9000 });
    const small = await lab.host('b', { l2, address: '10.99.1.12/24' });
    const { agents, agent } = await startCluster([large, small], ['--iface', 'eth0']);
    const box = await containers(lab, agents);
    [from, to] = [box('a'), box('b')];
    subnet = agent('b').subnet;
  });

  beforeAll(async () => {
    await eventually('containers talk', async () =>
      (await ping(from, to.address)).received === 1 ? true : undefined,
    );
  });

  /** Bytes that arrive of `BYTES` over TCP, from the host with the large frames to the other. */
  async function transferred(): Promise<number> {
    const receive = `require('net').createServer((s) => { let n = 0; s.on('data', (d) => { n += d.length; });
      s.on('end', () => console.log('received ' + n)); s.on('error', () => {}); }).listen(7070, () => console.log('listening'))`;
    const server = to.start([process.execPath, '-e', receive]);
    await server.line(/^listening$/);
    const sent = from.tryRun([
      'timeout',
      '5',
      'bash',
      '--norc',
      '-c',
      `head -c ${BYTES} /dev/zero > /dev/tcp/${to.address}/7070`,
    ]);
    await Promise.race([sent, server.line(/^received/).catch(() => undefined)]);
    const count = Number(/received (\d+)/.exec(server.stdout)?.[1] ?? 0);
    await server.stop('SIGKILL');
    await sent;
    return count;
  }

  async function cuttable(one: Container, other: Container): Promise<string> {
    return (await one.tryRun(large8000('dont', other))).stdout;
  }

  test('containers have the large MTU, and the route to the other host carries the small one', async () => {
    expect(await from.ip('link show eth0')).toContain('mtu 9000');
    expect(await large.ip(`route show ${subnet} proto 139`)).toContain('mtu 1500');
  });

  test('TCP passes, and datagrams that may be cut do', async () => {
    expect(await transferred()).toBe(BYTES);
    expect(await cuttable(from, to)).toContain(' 1 received');
    expect(await cuttable(to, from)).toContain(' 1 received');
  });

  test('what may not be cut is refused with the length that fits, and not swallowed', async () => {
    expect(await ping(from, to.address, { size: 1_472, dontFragment: true })).toMatchObject({ received: 1 });
    // By a hop, or by the container itself that has heard of it before.
    const { stdout, stderr } = await from.tryRun(large8000('do', to));
    expect(`${stdout}${stderr}`).toMatch(/mtu ?= ?1500/);
  });

  test('a route without it swallows every large packet', async () => {
    await large.ip(`route add ${subnet} via 10.99.1.12 dev eth0 metric 5`);
    await from.ip('route flush cache');
    expect(await ping(from, to.address)).toMatchObject({ received: 1 });
    expect(await cuttable(from, to)).toContain(' 0 received');
    await large.ip(`route delete ${subnet} metric 5`);
  });
});
