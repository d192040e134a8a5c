import { describe, expect, test } from 'vitest';
import type { Container, Host, Lab } from '../lab.ts';
import type { Namespace } from '../namespace.ts';
import { connectTcp, listenTcp, ping } from '../probes.ts';
import { useLab } from '../use-lab.ts';
import { allRules, firewallOn, labConfig } from './lab-firewall.ts';

const MEMBERS = ['10.99.1.11', '10.99.1.12'];
const CONFIG_A = labConfig('10.5.1.0/24', MEMBERS);
const CONFIG_B = labConfig('10.5.2.0/24', MEMBERS);
const PORT = 8080;
const VXLAN_HEADER_FLAGS = '08000000';

/**
 *   container ca - host a ─┐
 *                          ├─ one L2 ─ outsider, which routes to both leases
 *   container cb - host b ─┘
 */
interface Net {
  readonly a: Host;
  readonly b: Host;
  readonly outsider: Host;
  readonly ca: Container;
  readonly cb: Container;
}

async function buildNet(lab: Lab): Promise<Net> {
  const l2 = await lab.l2('x');
  const a = await lab.host('a', { l2, address: '10.99.1.11/24' });
  const b = await lab.host('b', { l2, address: '10.99.1.12/24' });
  const outsider = await lab.host('o', { l2, address: '10.99.1.99/24' });
  const ca = await lab.container('ca', a, { address: '10.5.1.2/24', gateway: '10.5.1.1/24' });
  const cb = await lab.container('cb', b, { address: '10.5.2.2/24', gateway: '10.5.2.1/24' });
  await a.configure(['address add 10.5.1.0/32 dev lo', 'route add 10.5.2.0/24 via 10.99.1.12 src 10.5.1.0']);
  await b.configure(['address add 10.5.2.0/32 dev lo', 'route add 10.5.1.0/24 via 10.99.1.11 src 10.5.2.0']);
  await outsider.configure(['route add 10.5.1.0/24 via 10.99.1.11', 'route add 10.5.2.0/24 via 10.99.1.12']);
  for (const node of [outsider, ca, cb]) await listenTcp(node, PORT);
  return { a, b, outsider, ca, cb };
}

/** The source address that the server on the other side sees. */
const source = (from: Namespace, to: Container | Host): Promise<string | null> =>
  connectTcp(from, to.address, PORT);

/** The same for a program that is bound to an address of its own. */
async function sourceBound(from: Host, localAddress: string, to: Container): Promise<string> {
  const client = `require('net').connect(${JSON.stringify({ host: to.address, port: PORT, localAddress })}).pipe(process.stdout)`;
  return (await from.run([process.execPath, '-e', client], { timeoutMs: 15_000 })).trim();
}

/** A packet that is dropped is only ever seen not to arrive. */
const isBlocked = async (from: Namespace, to: string, port = PORT): Promise<boolean> =>
  (await connectTcp(from, to, port, 1_000)) === null;

/** Which of the sent vxlan headers a program on the host's vxlan port received. */
async function vxlanReceived(
  from: Namespace,
  to: Host,
  headers: readonly string[],
): Promise<readonly string[]> {
  const receive = `const s = require('dgram').createSocket('udp4');
    s.on('message', (m) => console.log('got', m.toString('hex')));
    s.bind(8472, () => console.log('listening'));`;
  const receiver = to.start([process.execPath, '-e', receive]);
  await receiver.line(/^listening$/);
  // The last one is no vxlan of ours and passes: once it is there, so is everything that will be.
  const last = `${VXLAN_HEADER_FLAGS}ffffff00`;
  const send = `const s = require('dgram').createSocket('udp4'); let n = ${headers.length + 1};
    for (const h of process.argv.slice(1)) s.send(Buffer.from(h, 'hex'), 8472, '${to.address}', () => --n || s.close());`;
  await from.run([process.execPath, '-e', send, ...headers, last]);
  await receiver.line(new RegExp(`^got ${last}$`), 15_000);
  await receiver.stop();
  return headers.filter((header) => receiver.stdout.includes(`got ${header}\n`));
}

describe.each(['nft', 'legacy'] as const)(
  'two hosts that did not forward before, with iptables-%s',
  (variant) => {
    let net: Net;
    const apply = async (more: Partial<typeof CONFIG_A> = {}): Promise<void> => {
      await Promise.all([
        firewallOn(net.a, variant).firewall.apply({ ...CONFIG_A, ...more }),
        firewallOn(net.b, variant).firewall.apply({ ...CONFIG_B, ...more }),
      ]);
    };
    useLab(async (lab) => {
      net = await buildNet(lab);
      await apply();
    });

    /** Everything that has to work and everything that must not. */
    async function expectAllRight(): Promise<void> {
      const { a, b, outsider, ca, cb } = net;
      expect([await source(ca, cb), await source(cb, ca)]).toEqual([ca.address, cb.address]);
      expect(await source(a, cb)).toBe('10.5.1.0');
      expect(await sourceBound(a, a.address, cb)).toBe(a.address);
      expect(await isBlocked(outsider, cb.address)).toBe(true);
      const rules = await b.run([`iptables-${variant}`, '-S', 'FORWARD']);
      expect(rules.split('\n').slice(0, 2)).toEqual(['-P FORWARD DROP', '-A FORWARD -j DOCKER-USER']);
    }

    test('containers reach each other with their own addresses, outsiders reach none', async () => {
      await expectAllRight();
      expect(await ping(net.outsider, net.ca.address)).toMatchObject({ received: 0 });
      expect(await net.a.sysctl('net.ipv4.ip_forward')).toBe('1');
    });

    test('an outsider cannot use a host as its router', async () => {
      const { outsider, cb, b } = net;
      await outsider.ip('route replace 10.5.2.0/24 via 10.99.1.11');
      expect(await isBlocked(outsider, cb.address)).toBe(true);
      await outsider.ip('route replace 10.5.2.0/24 via 10.99.1.12');
      await outsider.ip('route add 203.0.113.1 via 10.99.1.11');
      await b.ip('address add 203.0.113.1/32 dev lo');
      expect(await ping(outsider, '203.0.113.1')).toMatchObject({ received: 0 });
      await b.ip('address delete 203.0.113.1/32 dev lo');
    });

    test('the guard holds where something else accepts everything', async () => {
      const { b, outsider, cb, ca } = net;
      await b.run([`iptables-${variant}`, '-I', 'FORWARD', '1', '-j', 'ACCEPT']);
      expect(await isBlocked(outsider, cb.address)).toBe(true);
      expect(await source(ca, cb)).toBe(ca.address);
      await b.run([`iptables-${variant}`, '-D', 'FORWARD', '-j', 'ACCEPT']);
    });

    test('a port that is published with DNAT is open to everybody, with the source address kept', async () => {
      const { b, outsider, cb } = net;
      const publish = ['PREROUTING', '-d', b.address, '-p', 'tcp', '--dport', '80', '-j', 'DNAT'];
      await b.run([
        `iptables-${variant}`,
        '-t',
        'nat',
        '-A',
        ...publish,
        '--to-destination',
        `${cb.address}:8080`,
      ]);
      await b.run([`iptables-${variant}`, '-A', 'FORWARD', '-d', cb.address, '-j', 'ACCEPT']);
      await b.run([`iptables-${variant}`, '-A', 'FORWARD', '-s', cb.address, '-j', 'ACCEPT']);
      expect(await connectTcp(outsider, b.address, 80)).toBe(outsider.address);
      expect(await isBlocked(outsider, cb.address)).toBe(true);
      await b.run([`iptables-${variant}`, '-D', 'FORWARD', '-d', cb.address, '-j', 'ACCEPT']);
      await b.run([`iptables-${variant}`, '-D', 'FORWARD', '-s', cb.address, '-j', 'ACCEPT']);
      await b.run([`iptables-${variant}`, '-t', 'nat', '-F', 'PREROUTING']);
    });

    test('a masquerade of somebody else, before and after ours was set, does not touch container traffic', async () => {
      const { a, b, ca, cb } = net;
      for (const host of [a, b])
        await host.run([`iptables-${variant}`, '-t', 'nat', '-I', 'POSTROUTING', '-j', 'MASQUERADE']);
      expect([await source(ca, cb), await source(cb, ca)]).toEqual([ca.address, cb.address]);
      await apply({ ipMasq: true });
      expect([await source(ca, cb), await source(cb, ca)]).toEqual([ca.address, cb.address]);
      for (const host of [a, b]) await host.run([`iptables-${variant}`, '-t', 'nat', '-F', 'POSTROUTING']);
      await apply();
    });

    test('only members reach the vxlan port, and only our VNI is ours to say', async () => {
      const { a, b, outsider } = net;
      const ours = `${VXLAN_HEADER_FLAGS}00000100`;
      const foreign = `${VXLAN_HEADER_FLAGS}00000200`;
      expect(await vxlanReceived(outsider, b, [ours, foreign])).toEqual([foreign]);
      expect(await vxlanReceived(a, b, [ours, foreign])).toEqual([ours, foreign]);
    });

    test('with --ip-masq the outside and a bound source see the host, remote containers the container', async () => {
      const { a, outsider, ca, cb } = net;
      // The way out is the engine's to accept; here there is none.
      for (const way of ['-i', '-o'])
        await a.run([`iptables-${variant}`, '-A', 'FORWARD', way, 'docker0', '-j', 'ACCEPT']);
      expect(await source(ca, outsider)).toBe(ca.address);
      await apply({ ipMasq: true });
      expect(await source(ca, outsider)).toBe(a.address);
      expect(await source(ca, cb)).toBe(ca.address);
      expect(await sourceBound(a, a.address, cb)).toBe('10.5.1.0');
      await apply();
      expect(await source(ca, outsider)).toBe(ca.address);
      for (const way of ['-i', '-o'])
        await a.run([`iptables-${variant}`, '-D', 'FORWARD', way, 'docker0', '-j', 'ACCEPT']);
    });

    test.each([
      ['iptables -F', [`iptables-${variant}`, '-F']],
      ['nft flush ruleset', ['nft', 'flush', 'ruleset']],
      ['nft delete table', ['nft', 'delete', 'table', 'ip', 'tsflannel']],
      ['a rule less', [`iptables-${variant}`, '-D', 'TSFLANNEL-FORWARD', '1']],
      [
        'a jump behind others',
        [`iptables-${variant}`, '-I', 'DOCKER-USER', '1', '-s', '10.5.0.0/16', '-j', 'DROP'],
      ],
      ['an open policy', [`iptables-${variant}`, '-P', 'FORWARD', 'ACCEPT']],
      ['forwarding off', ['sysctl', '-qw', 'net.ipv4.ip_forward=0']],
    ])('is whole again after %s', async (_, damage) => {
      const { b } = net;
      await b.run(damage);
      expect(await firewallOn(b, variant).firewall.apply(CONFIG_B)).toBe(true);
      await expectAllRight();
      expect(await b.sysctl('net.ipv4.ip_forward')).toBe('1');
    });

    test('a look at an unchanged host costs three processes', async () => {
      const { firewall, commands } = firewallOn(net.a, variant);
      expect(await firewall.apply(CONFIG_A)).toBe(false);
      expect(commands).toEqual([
        'iptables-save',
        'nft list table ip docker-bridges',
        'nft list table ip tsflannel',
      ]);
    });
  },
);

describe.each(['nft', 'legacy'] as const)('rules of others, with iptables-%s', (variant) => {
  let lab: Lab;
  let hosts = 0;
  useLab(async (made) => {
    lab = made;
  });

  /** A host with rules of somebody else everywhere that we put ours. */
  async function busyHost(lines: readonly string[] = []): Promise<Host> {
    const l2 = await lab.l2(`l${hosts}`);
    const host = await lab.host(`h${hosts++}`, { l2, address: '10.99.1.11/24' });
    const rules = [
      '-A INPUT -p udp --dport 8472 -j ACCEPT',
      '-A FORWARD -s 192.0.2.0/24 -j DROP',
      '-N TSFLANNEL-OTHER',
      '-A TSFLANNEL-OTHER -j RETURN',
      ...lines,
      '-t nat -A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE',
      '-t mangle -A PREROUTING -j MARK --set-mark 7',
    ];
    for (const rule of rules) await host.run([`iptables-${variant}`, ...rule.split(' ')]);
    const nft = `table inet tsflannel { chain forward { type filter hook forward priority 0; counter accept; }; }
      table ip tsflannel-2 { set members { type ipv4_addr; elements = { 192.0.2.1 } ; } ; }`;
    await host.run(['nft', '-f', '-'], { input: nft });
    return host;
  }

  async function expectUntouched(host: Host, more: Partial<typeof CONFIG_A> = {}): Promise<void> {
    const before = await allRules(host);
    await firewallOn(host, variant).firewall.apply({ ...CONFIG_A, ...more });
    const during = exceptForwardPolicy(await allRules(host));
    for (const line of exceptForwardPolicy(before)) expect(during).toContain(line);
    await firewallOn(host, variant).firewall.remove();
    expect(await allRules(host)).toBe(before);
  }

  /** The one thing of others that we change, and put back. */
  const exceptForwardPolicy = (rules: string): readonly string[] =>
    rules.split('\n').filter((line) => !/^:FORWARD |hook forward priority filter; policy/.test(line));

  test('stay, and what was missing is missing again', async () => {
    const host = await busyHost();
    await expectUntouched(host);
    expect(await host.sysctl('net.ipv4.ip_forward')).toBe('0');
    await expectUntouched(host, {
      ipMasq: true,
      families: CONFIG_A.families.map((family) => ({ ...family, vxlan: null })),
    });
    await expectUntouched(host, { forwardRules: false });
  });

  test('stay where the user has a DOCKER-USER of his own', async () => {
    const host = await busyHost(['-N DOCKER-USER', '-A DOCKER-USER -s 203.0.113.0/24 -j DROP']);
    await host.sysctl('net.ipv4.ip_forward', 1);
    await expectUntouched(host);
    expect(await host.sysctl('net.ipv4.ip_forward')).toBe('1');
  });

  test('stay where the chain of the user is empty and unused', async () => {
    await expectUntouched(await busyHost(['-N DOCKER-USER']));
  });

  test('stay after somebody flushed and we repaired', async () => {
    const host = await busyHost();
    const { firewall } = firewallOn(host, variant);
    const before = await allRules(host);
    await firewall.apply(CONFIG_A);
    for (const chain of ['TSFLANNEL-FORWARD', 'DOCKER-USER'])
      await host.run([`iptables-${variant}`, '-F', chain]);
    await firewall.apply(CONFIG_A);
    await firewall.remove();
    expect(await allRules(host)).toBe(before);
  });
});
