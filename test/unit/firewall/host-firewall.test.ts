import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { TsflannelError } from '../../../src/errors.ts';
import { HostFirewall } from '../../../src/firewall/host-firewall.ts';
import { toIp } from '../../../src/net/ip.ts';
import { firewallConfig, firewallFamily } from './config.ts';
import { FakeHost } from './fake-host.ts';

const FORWARDING = 'net/ipv4/ip_forward';
/** Without an engine that says what it uses, also for its nftables table. */
const LOOK = ['iptables-save', 'nft list', 'nft list'];

let directory: string;
let foundFile: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fwtest-'));
  foundFile = join(directory, 'run', 'found.json');
});
afterEach(() => rmSync(directory, { recursive: true }));

/** As a new process would start. */
const firewallOn = (host: FakeHost): HostFirewall =>
  new HostFirewall({ foundFile, watch: null, exec: host.exec, sysctls: host });

describe('apply', () => {
  test('turns forwarding on after everything that guards it', async () => {
    const host = new FakeHost();
    expect(await firewallOn(host).apply(firewallConfig())).toBe(true);
    expect(host.takeLog().at(-1)).toBe(`${FORWARDING}=1`);
    expect(host.filter['FORWARD']?.policy).toBe('DROP');
    expect(host.nft).toContain('ct original ip daddr 10.5.1.0/24');
  });

  test('leaves forwarding off when the guard cannot be set', async () => {
    const host = new FakeHost();
    host.failing.set('iptables-restore', 'no');
    await expect(firewallOn(host).apply(firewallConfig())).rejects.toThrow(TsflannelError);
    expect(host.sysctls.get(FORWARDING)).toBe('0');
  });

  test('looks with two processes and changes nothing on a host that is right, also after a restart', async () => {
    const host = new FakeHost();
    const firewall = firewallOn(host);
    await firewall.apply(firewallConfig());
    host.takeLog();
    expect(await firewall.apply(firewallConfig())).toBe(false);
    expect(host.takeLog()).toEqual(LOOK);
    expect(await firewallOn(host).apply(firewallConfig())).toBe(false);
    expect(host.takeLog()).toEqual(LOOK);
  });

  test('does not write again and again where the tools print rules in a way of their own', async () => {
    const host = new FakeHost();
    host.spell = (text) =>
      text.replaceAll('RELATED,ESTABLISHED', 'ESTABLISHED,RELATED').replaceAll(' != ', ' ne ');
    const firewall = firewallOn(host);
    expect(await firewall.apply(firewallConfig())).toBe(true);
    expect(await firewall.apply(firewallConfig())).toBe(false);
    host.nft = host.nft?.replace('192.0.2.13', '203.0.113.1') ?? null;
    expect(await firewall.apply(firewallConfig())).toBe(true);
    expect(host.nft).toContain('192.0.2.13');
    const more = firewallConfig({ families: [firewallFamily({ memberIps: [toIp('192.0.2.14')] })] });
    expect(await firewall.apply(more)).toBe(true);
    expect(await firewall.apply(more)).toBe(false);
  });

  test('does not guard a host that forwarded before us', async () => {
    const host = new FakeHost({ [FORWARDING]: '1' });
    await firewallOn(host).apply(firewallConfig());
    expect(host.filter['FORWARD']?.policy).toBe('ACCEPT');
    expect(host.nft).not.toContain('chain forward');
  });

  test('still knows after a restart that it was we who turned forwarding on, and not after a reboot', async () => {
    const host = new FakeHost();
    await firewallOn(host).apply(firewallConfig());
    host.filter = new FakeHost().filter;
    await firewallOn(host).apply(firewallConfig());
    expect(host.filter['FORWARD']?.policy).toBe('DROP');
    const rebooted = new FakeHost({ [FORWARDING]: '1', 'kernel/random/boot_id': 'b002' });
    await firewallOn(rebooted).apply(firewallConfig());
    expect(rebooted.filter['FORWARD']?.policy).toBe('ACCEPT');
  });

  test('does not flush DOCKER-USER when Docker makes and fills it between look and change', async () => {
    const host = new FakeHost({ [FORWARDING]: '1' });
    host.beforeRestore = () => {
      host.filter = { ...host.filter, 'DOCKER-USER': { policy: '-', rules: ['-A DOCKER-USER -j RETURN'] } };
    };
    expect(await firewallOn(host).apply(firewallConfig())).toBe(true);
    expect(host.filter['DOCKER-USER']?.rules).toEqual([
      '-A DOCKER-USER -j TSFLANNEL-FORWARD',
      '-A DOCKER-USER -j RETURN',
    ]);
  });

  test('without accepts leaves the filter table alone', async () => {
    const host = new FakeHost({ [FORWARDING]: '1' });
    const before = host.filter;
    await firewallOn(host).apply(firewallConfig({ forwardRules: false }));
    expect(host.filter).toEqual(before);
    expect(host.takeLog()).not.toContain('iptables-restore --noflush');
  });

  test('serves calls one after the other', async () => {
    const host = new FakeHost();
    const firewall = firewallOn(host);
    const answers = await Promise.all([
      firewall.apply(firewallConfig()),
      firewall.apply(firewallConfig()),
      firewall.remove(),
    ]);
    expect(answers).toEqual([true, false, undefined]);
    expect(host.nft).toBe(null);
  });

  test('says which tool refused and what it said', async () => {
    const host = new FakeHost();
    host.failing.set('nft', 'Error: Could not process rule: Operation not supported\n...');
    await expect(firewallOn(host).apply(firewallConfig())).rejects.toThrow(
      'nft -f - failed with exit code 1: Error: Could not process rule: Operation not supported.',
    );
  });
});

describe('the reverse path filter', () => {
  const rp = (iface: string): string => `net/ipv4/conf/${iface}/rp_filter`;

  test.each([
    // all, interface, afterwards
    ['0', '0', '0'],
    ['0', '1', '2'],
    ['1', '0', '2'],
    ['1', '1', '2'],
    ['2', '1', '1'],
    ['1', '2', '2'],
  ])('with %s for all and %s on the interface: %s', async (all, before, after) => {
    const host = new FakeHost({
      [rp('all')]: all,
      [rp('eth0')]: before,
      [rp('flannel.1')]: before,
      [rp('eth1')]: '1',
    });
    const firewall = firewallOn(host);
    await firewall.apply(firewallConfig());
    expect(['eth0', 'flannel.1', 'eth1', 'all'].map((iface) => host.sysctls.get(rp(iface)))).toEqual([
      ...[after, after],
      ...['1', all],
    ]);
    expect(await firewall.apply(firewallConfig())).toBe(false);
    await firewall.remove();
    expect([host.sysctls.get(rp('eth0')), host.sysctls.get(rp('flannel.1'))]).toEqual([before, before]);
  });

  test('of a device that comes later, and is gone at the end', async () => {
    const host = new FakeHost({ [rp('all')]: '1' });
    const firewall = firewallOn(host);
    await firewall.apply(firewallConfig());
    host.sysctls.set(rp('flannel.1'), '0');
    expect(await firewall.apply(firewallConfig())).toBe(true);
    expect(host.sysctls.get(rp('flannel.1'))).toBe('2');
    host.sysctls.delete(rp('flannel.1'));
    await firewall.remove();
    expect(host.sysctls.has(rp('flannel.1'))).toBe(false);
  });
});

describe('remove', () => {
  test('turns forwarding off before the guard falls, by another process than the one that applied', async () => {
    const host = new FakeHost();
    const before = host.filter;
    await firewallOn(host).apply(firewallConfig());
    host.takeLog();
    await firewallOn(host).remove();
    expect(host.takeLog()).toEqual([
      'iptables-save',
      `${FORWARDING}=0`,
      'iptables-restore --noflush',
      'nft -f',
      'ip6tables-save',
      'nft -f',
    ]);
    expect([host.filter, host.nft]).toEqual([before, null]);
    expect(() => readFileSync(foundFile)).toThrow('ENOENT');
  });

  test('leaves forwarding and its guard to an engine that came after us', async () => {
    const host = new FakeHost();
    await firewallOn(host).apply(firewallConfig());
    host.filter = { ...host.filter, DOCKER: { policy: '-', rules: [] } };
    await firewallOn(host).remove();
    expect([host.sysctls.get(FORWARDING), host.filter['FORWARD']?.policy]).toEqual(['1', 'DROP']);
    expect(host.filter['TSFLANNEL-FORWARD']).toBe(undefined);
  });

  test('leaves a value that somebody has set since', async () => {
    const key = 'net/ipv4/conf/eth0/rp_filter';
    const host = new FakeHost({ [key]: '1' });
    await firewallOn(host).apply(firewallConfig());
    host.sysctls.set(key, '0');
    await firewallOn(host).remove();
    expect(host.sysctls.get(key)).toBe('0');
  });

  test('of nothing does nothing', async () => {
    const host = new FakeHost();
    const before = host.filter;
    await firewallOn(host).remove();
    expect([host.filter, host.nft, host.sysctls.get(FORWARDING)]).toEqual([before, null, '0']);
  });
});

describe('the file of what was found', () => {
  test.each([
    ['no JSON', '{'],
    [
      'a key that is not ours to write',
      '{"formatVersion":1,"bootId":"b001","sysctls":{"../../etc/passwd":"1"},"filter":{}}',
    ],
    ['another version', '{"formatVersion":2}'],
  ])('with %s is refused with a sentence, and nothing is touched', async (_, content) => {
    const host = new FakeHost();
    foundFile = join(directory, 'found.json');
    writeFileSync(foundFile, content);
    await expect(firewallOn(host).apply(firewallConfig())).rejects.toThrow(/found.json.* is damaged/);
    await expect(firewallOn(host).remove()).rejects.toThrow(TsflannelError);
    expect(host.takeLog()).toEqual([]);
  });

  test('is private and names what was there', async () => {
    const host = new FakeHost();
    await firewallOn(host).apply(firewallConfig());
    expect(JSON.parse(readFileSync(foundFile, 'utf8'))).toEqual({
      formatVersion: 1,
      bootId: 'b001',
      sysctls: { [FORWARDING]: '0' },
      filters: { 4: { dockerUserMissing: true, userJumpMissing: true, forwardPolicyAccept: true } },
    });
  });
});
