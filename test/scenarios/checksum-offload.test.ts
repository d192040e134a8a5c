/**
 * A NIC that spoils the checksums which flannel.1 leaves to it. Simulated where it would show: what arrives through the
 * tunnel with a checksum that nobody has computed is dropped. Such a SYN holds the sum of its pseudo header instead,
 * which depends on addresses and length alone.
 */
import { describe, expect, test } from 'vitest';
import { ipToBytes, toIp } from '../../src/net/ip.ts';
import { Agent } from '../lab/agent.ts';
import { fourHosts, type Hosts, routed } from '../lab/cluster.ts';
import { eventually } from '../lab/eventually.ts';
import type { Host, Lab } from '../lab/lab.ts';
import { ping } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';

/** Of a SYN with the options that Linux sends. */
const SYN_BYTES = 40;

/** In its place as long as it is not computed. */
function pseudoHeaderSum(from: string, to: string): string {
  const bytes = Buffer.concat([
    ipToBytes(toIp(from)),
    ipToBytes(toIp(to)),
    Buffer.from([0, 6, 0, SYN_BYTES]),
  ]);
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  return `0x${((sum & 0xffff) + (sum >> 16)).toString(16)}`;
}

function base(agent: Agent): string {
  return agent.subnet.replace('/24', '');
}

async function offload(host: Host): Promise<boolean> {
  const features = await host.run(['ethtool', '-k', 'flannel.1']);
  return features.includes('tx-checksum-ip-generic: on');
}

async function drop(host: Host, match: string): Promise<void> {
  const chain = `type filter hook prerouting priority -400; iifname flannel.1 tcp flags syn ${match} counter drop`;
  await host.run(['nft', `table ip nic { chain c { ${chain}; }; }`]);
}

/** SYNs that matched the rule of `drop`, or one that only counts. */
async function matched(host: Host, table = 'nic'): Promise<number> {
  const rules = await host.run(['nft', 'list', 'table', 'ip', table]);
  return Number(/packets (\d+)/.exec(rules)?.[1]);
}

function problems(agent: Agent): Promise<readonly string[]> {
  return agent.status().then((status) => status.problems.map(({ code }) => code));
}

describe('two hosts with a tunnel between them', () => {
  let hosts: Hosts;
  let a: Agent;
  let b: Agent;
  let token: string;
  useLab(async (lab: Lab) => {
    hosts = await fourHosts(lab);
    [a, b] = [new Agent(hosts.a), new Agent(hosts.b)];
    ({ token } = await a.init(['--backend', 'vxlan']));
    // Before the agents have tried anything: a policy on b that lets no SYN in, and a NIC of b that spoils them.
    await drop(hosts.b, '');
    await drop(hosts.a, `@th,128,16 ${pseudoHeaderSum('10.5.42.0', base(a))}`);
    await b.join(token, [hosts.a.address], ['--subnet', '10.5.42.0/24']);
    await routed([a, b]);
  });

  test('checksums that arrive wrong are found out, and the device computes them itself', async () => {
    const found = await eventually('b has found it out', async () =>
      (await problems(b)).includes('checksum-offload-broken') ? true : undefined,
    );
    expect(found).toBe(true);
    expect(await offload(hosts.b)).toBe(false);
    expect(await matched(hosts.a)).toBeGreaterThan(0);
    // What was lost before arrives now; ping never showed it.
    expect(await ping(hosts.b, base(a))).toMatchObject({ received: 1 });
    const refused = await hosts.b.tryRun(['bash', '--norc', '-c', `exec 3<>/dev/tcp/${base(a)}/65000`]);
    expect(refused.stderr).toContain('Connection refused');
  });

  test('a policy that eats the SYN proves nothing, and nothing stays switched', async () => {
    await eventually('a has asked, with offload and without', async () =>
      (await matched(hosts.b)) >= 3 ? true : undefined,
    );
    await eventually('the offload of a is as it was', async () =>
      (await offload(hosts.a)) ? true : undefined,
    );
    expect(await problems(a)).not.toContain('checksum-offload-broken');
  });

  test('a device that is made anew gets the same', async () => {
    await hosts.b.ip('link delete flannel.1');
    await eventually('it is off again', async () =>
      (await offload(hosts.b).catch(() => true)) ? undefined : true,
    );
  });

  test('a good tunnel is asked once, and its device stays as it is', async () => {
    const chain = 'type filter hook prerouting priority -400; ip saddr 10.5.43.0 tcp flags syn counter';
    await hosts.a.run(['nft', `table ip count { chain c { ${chain}; }; }`]);
    await hosts.b.run(['nft', 'delete', 'table', 'ip', 'nic']);
    const c = new Agent(hosts.c);
    await c.join(token, [hosts.a.address], ['--subnet', '10.5.43.0/24']);
    await eventually('c has asked', async () => ((await matched(hosts.a, 'count')) > 0 ? true : undefined));
    await c.stop();
    expect(await offload(hosts.c)).toBe(true);
    expect(c.program.tail()).not.toContain('checksum-offload-broken');
  });
});
