/** The backend `alloc`: leases and subnet.env for somebody else's data plane, and nothing of ours in the kernel. */
import { expect, test } from 'vitest';
import { Agent } from '../lab/agent.ts';
import { fourHosts, type Hosts } from '../lab/cluster.ts';
import type { Host, Lab } from '../lab/lab.ts';
import { KernelWatch } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';

let hosts: Hosts;
useLab(async (lab: Lab) => {
  hosts = await fourHosts(lab);
});

/** What no event tells of. */
async function firewall(host: Host): Promise<readonly string[]> {
  return [
    await host.run(['nft', 'list', 'ruleset']),
    await host.run(['iptables', '-S']),
    await host.sysctl('net.ipv4.ip_forward'),
    await host.sysctl('net.ipv4.conf.eth0.rp_filter'),
  ];
}

test('two hosts get leases and subnet.env; the kernel of neither changes', async () => {
  const { a, b } = hosts;
  await a.sysctl('net.ipv4.conf.eth0.rp_filter', 1);
  const before = await firewall(a);
  const watch = await KernelWatch.start(a);
  const [first, second] = [new Agent(a), new Agent(b)];
  const { token } = await first.init(['--backend', 'alloc']);
  await second.join(token, [a.address]);
  expect(await watch.stop()).toEqual([]);
  expect(await firewall(a)).toEqual(before);
  const { health, problems, lease, peers } = await first.status();
  expect([health, problems, peers.length]).toEqual(['healthy', [], 1]);
  expect(first.subnet).toBe(lease?.subnet);
  expect(second.subnet).not.toBe(first.subnet);
});
