import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  AGENT_OPTION_NAMES,
  type AgentOptions,
  environmentName,
  formatAgentOptions,
  parseAgentOptions,
  type RawAgentOptions,
  readAgentOptions,
  resolveAgentOptions,
  writeAgentOptions,
} from '../../../src/config/agent-options.ts';

function resolve(flags: RawAgentOptions, stored: RawAgentOptions = {}) {
  return resolveAgentOptions({ flags, stored, hostName: 'host-a' });
}

function options(...sources: Parameters<typeof resolve>): AgentOptions {
  const result = resolve(...sources);
  if (!result.ok) throw new Error(result.refusal.text);
  return result.options;
}

function refusal(flags: RawAgentOptions): string {
  const result = resolve(flags);
  if (result.ok) throw new Error('accepted');
  expect(result.refusal.exitCode).toBe(2);
  return result.refusal.text;
}

it('has the defaults of the contract', () => {
  expect(options({})).toEqual({
    name: 'host-a',
    iface: [],
    ifaceRegex: [],
    ifaceCanReach: null,
    publicIp: null,
    publicIpv6: null,
    port: 6473,
    subnetFile: '/run/flannel/subnet.env',
    ipMasq: false,
    ipMasqFullyRandomDisable: false,
    iptablesForwardRules: true,
    iptablesResyncMs: 5_000,
    ipBlackholeRoute: false,
    healthzIp: '127.0.0.1',
    healthzPort: 0,
    subnetLeaseRenewMarginMs: 3_600_000,
  });
});

it('reads every option', () => {
  const given: RawAgentOptions = {
    name: ['web_1.example'],
    iface: ['eth0', '10.0.0.1'],
    'iface-regex': ['^en'],
    'iface-can-reach': ['fc00::1'],
    'public-ip': ['192.0.2.1'],
    'public-ipv6': ['2001:DB8::1'],
    port: ['7000'],
    'subnet-file': ['/tmp/subnet.env'],
    'ip-masq': ['true'],
    'ip-masq-fully-random-disable': ['1'],
    'iptables-forward-rules': ['false'],
    'iptables-resync': ['30'],
    'ip-blackhole-route': ['T'],
    'healthz-ip': ['0.0.0.0'],
    'healthz-port': ['8471'],
    'subnet-lease-renew-margin': ['1439'],
  };
  expect(Object.keys(given).sort()).toEqual([...AGENT_OPTION_NAMES].sort());
  expect(options(given)).toEqual({
    name: 'web_1.example',
    iface: ['eth0', '10.0.0.1'],
    ifaceRegex: ['^en'],
    ifaceCanReach: 'fc00::1',
    publicIp: '192.0.2.1',
    publicIpv6: '2001:db8::1',
    port: 7_000,
    subnetFile: '/tmp/subnet.env',
    ipMasq: true,
    ipMasqFullyRandomDisable: true,
    iptablesForwardRules: false,
    iptablesResyncMs: 30_000,
    ipBlackholeRoute: true,
    healthzIp: '0.0.0.0',
    healthzPort: 8_471,
    subnetLeaseRenewMarginMs: 86_340_000,
  });
});

it('lets what is given win over what is stored, that over the default', () => {
  const stored = { port: ['1'], name: ['stored'], 'healthz-port': ['1'] };
  const result = resolve({ port: ['3'], name: ['given'] }, stored);
  expect(result).toMatchObject({ ok: true, options: { port: 3, name: 'given', healthzPort: 1, iface: [] } });
  expect(result).toMatchObject({ given: { port: ['3'], name: ['given'], 'healthz-port': ['1'] } });
  expect(environmentName('subnet-lease-renew-margin')).toBe('TSFLANNEL_SUBNET_LEASE_RENEW_MARGIN');
});

it('takes an empty text for "not given", and the last of two', () => {
  expect(options({ 'public-ip': [''], iface: [''] })).toMatchObject({ publicIp: null, iface: [] });
  expect(options({ port: ['1', '2'] }).port).toBe(2);
});

const MARGIN = 'Invalid subnet-lease-renew-margin option, out of acceptable range';
it.each<[RawAgentOptions, string]>([
  [{ 'subnet-lease-renew-margin': ['0'] }, MARGIN],
  [{ 'subnet-lease-renew-margin': ['1440'] }, MARGIN],
  [{ 'subnet-lease-renew-margin': ['x'] }, '--subnet-lease-renew-margin must be a number from'],
  [{ name: ['-x'] }, '--name must be a name of up to 64'],
  [{ name: ['x'.repeat(65)] }, '--name must be'],
  [{ port: ['0'] }, '--port must be a number from 1 to 65535, not "0".'],
  [{ port: ['65536'] }, '--port must be'],
  [{ 'healthz-port': ['-1'] }, '--healthz-port must be a number from 0'],
  [{ 'healthz-ip': ['localhost'] }, '--healthz-ip must be an IP address, not "localhost".'],
  [{ 'public-ip': ['fc00::1'] }, '--public-ip must be an IPv4 address'],
  [{ 'public-ipv6': ['10.0.0.1'] }, '--public-ipv6 must be an IPv6 address'],
  [{ 'iface-can-reach': ['host'] }, '--iface-can-reach must be an IP address'],
  [{ 'iface-regex': ['['] }, '--iface-regex must be a regular expression, not "[".'],
  [{ iface: Array.from({ length: 33 }, () => 'eth0') }, '--iface may be given at most 32 times.'],
  [{ 'subnet-file': ['subnet.env'] }, '--subnet-file must be an absolute path'],
  [{ 'ip-masq': ['yes'] }, '--ip-masq must be true or false, not "yes".'],
  [{ 'iptables-resync': ['0'] }, '--iptables-resync must be a number from 1'],
])('refuses %j', (flags, expected) => {
  expect(refusal(flags)).toContain(expected);
});

describe('stored form', () => {
  it('reads what it wrote', () => {
    const raw = fc.dictionary(
      fc.constantFrom(...AGENT_OPTION_NAMES),
      fc.array(fc.stringMatching(/^[ -~]{0,20}$/)),
    );
    fc.assert(
      fc.property(raw, (given) => {
        expect(parseAgentOptions(new TextEncoder().encode(formatAgentOptions(given)))).toEqual(given);
      }),
    );
  });
  it('never throws for other bytes', () => {
    for (const text of [
      '',
      '{}',
      '{"formatVersion":2,"options":{}}',
      '{"formatVersion":1,"options":{"x":["1"]}}',
    ])
      expect(parseAgentOptions(new TextEncoder().encode(text))).toBeUndefined();
    fc.assert(fc.property(fc.uint8Array(), (bytes) => void parseAgentOptions(bytes)));
  });
  it('lives in a file; none is nothing, a damaged one is said', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'su-'));
    const path = join(directory, 'agent.json');
    try {
      expect(await readAgentOptions(path)).toEqual({});
      await writeAgentOptions(path, { port: ['7000'] });
      expect(await readAgentOptions(path)).toEqual({ port: ['7000'] });
      await writeFile(path, '{');
      await expect(readAgentOptions(path)).rejects.toThrow(`The stored options in ${path} are damaged.`);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
