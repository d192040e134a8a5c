import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type AgentOptions, resolveAgentOptions } from '../../../src/config/agent-options.ts';
import { DataPlane } from '../../../src/daemon/data-plane.ts';
import type { Firewall } from '../../../src/firewall/firewall.ts';
import { toIp } from '../../../src/net/ip.ts';
import { FakeKernel } from '../../support/fake-kernel.ts';
import { networkConfig, nodeIdOf, snapshot } from '../../support/leases.ts';
import { recordingLog } from '../control/fake-agent.ts';

const own = { number: 1, address: '10.99.1.11' };
const leases = snapshot(networkConfig({ Type: 'alloc' }), own, [own]);
const host = { iface: 'eth0', index: 2, address: toIp(own.address), address6: null, mtu: 1500 };
const firewall: Firewall = {
  problems: [],
  onChange: () => () => undefined,
  check: async () => undefined,
  apply: async () => false,
  remove: async () => undefined,
};

function options(subnetFile: string): AgentOptions {
  const resolved = resolveAgentOptions({
    // Nothing but the leases themselves may start a pass.
    flags: { 'subnet-file': [subnetFile], 'iptables-resync': ['86400'] },
    stored: {},
    hostName: 'host-a',
  });
  if (!resolved.ok) throw new Error(resolved.refusal.text);
  return resolved.options;
}

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tsflannel-'));
});
afterEach(() => rm(directory, { recursive: true }));

test('leases that come at the very moment at which a pass ends are programmed at once', async () => {
  for (let steps = 0; steps < 20; steps++) {
    const subnetFile = join(directory, `subnet-${steps}.env`);
    await using plane = new DataPlane({
      nodeId: nodeIdOf(own.number),
      kernel: new FakeKernel(),
      firewall,
      agent: options(subnetFile),
      log: recordingLog().log,
      onChange: () => undefined,
    });
    plane.setHost(host);
    for (let step = 0; step < steps; step++) await Promise.resolve();
    plane.setSnapshot(leases);
    while (!plane.ready) await turn();
    expect(await readFile(subnetFile, 'utf8')).toContain('FLANNEL_SUBNET=10.5.1.1/24');
  }
});

test('alloc has the firewall of an earlier configuration removed, once, and applies none', async () => {
  const calls: string[] = [];
  await using plane = new DataPlane({
    nodeId: nodeIdOf(own.number),
    kernel: new FakeKernel(),
    firewall: {
      ...firewall,
      apply: async () => calls.push('apply') > 0,
      remove: async () => void calls.push('remove'),
    },
    agent: options(join(directory, 'subnet.env')),
    log: recordingLog().log,
    onChange: () => undefined,
  });
  plane.setHost(host);
  const types = ['alloc', 'alloc', 'host-gw', 'alloc', 'alloc'];
  for (const [index, Type] of types.entries()) {
    const file = join(directory, 'subnet.env');
    plane.setSnapshot(snapshot(networkConfig({ Type }, `10.5.0.0/${12 + index}`), own, [own]));
    // Written after the firewall of the same pass.
    while (!(await readFile(file, 'utf8').catch(() => '')).includes(`/${12 + index}`)) await turn();
  }
  expect(calls).toEqual(['remove', 'apply', 'remove']);
});
