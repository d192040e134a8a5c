/** The reader against a tree of files as the programs of a host write them, and against what deploy/host installs. */
import { cpSync, lutimesSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checkSurroundings } from '../../../src/host/checks.ts';
import { HostFiles } from '../../../src/host/files.ts';
import { readSurroundings, type Surroundings, type Wanted } from '../../../src/host/surroundings.ts';
import { macFromBytes } from '../../../src/net/mac.ts';

const deployed = fileURLToPath(new URL('../../../deploy/host', import.meta.url));
const wanted: Wanted = {
  iface: 'eth0',
  devices: [{ name: 'flannel.1', mac: macFromBytes(Buffer.from('020000000001', 'hex')), family: 4 }],
  ...{ port: 6473, vxlanPort: 8472, ipv4: true, ipv6: false },
};

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tsflannel-host-'));
  link('proc/self/ns/net', 'net:[1]');
  link('proc/1/ns/net', 'net:[1]');
  for (const iface of ['all', 'eth0', 'flannel.1']) write(`proc/sys/net/ipv4/conf/${iface}/rp_filter`, '0\n');
  for (const iface of ['eth0', 'flannel.1']) write(`proc/sys/net/ipv4/conf/${iface}/forwarding`, '1\n');
  write('proc/sys/net/ipv4/ip_forward', '1\n');
  write('sys/class/net/flannel.1/ifindex', '7\n');
  write('sys/class/net/flannel.1/address', '02:00:00:00:00:01\n');
});
afterEach(() => rmSync(root, { recursive: true }));

function path(name: string): string {
  const full = join(root, name);
  mkdirSync(dirname(full), { recursive: true });
  return full;
}

function write(name: string, text: string): void {
  writeFileSync(path(name), text);
}

function link(name: string, target: string): void {
  symlinkSync(target, path(name));
}

/** As systemd marks an active unit; `ageMs` ago. */
function runs(unit: string, ageMs = 0): void {
  const name = `run/systemd/units/invocation:${unit}.service`;
  link(name, 'f00dfeed');
  const since = (Date.now() - ageMs) / 1000;
  lutimesSync(join(root, name), since, since);
}

function install(): void {
  cpSync(deployed, root, { recursive: true });
}

function read(): Promise<Surroundings> {
  return readSurroundings(new HostFiles(root), wanted);
}

async function codes(): Promise<readonly string[]> {
  return checkSurroundings(await read(), wanted).map(({ code }) => code);
}

test('a host with none of these programs has nothing to report', async () => {
  expect(await read()).toMatchObject({ networkd: null, networkManager: null, firewalls: [] });
  expect(await codes()).toEqual([]);
});

test('nor has an empty tree: what cannot be read is not known', async () => {
  rmSync(join(root, 'proc'), { recursive: true });
  rmSync(join(root, 'sys'), { recursive: true });
  expect(await codes()).toEqual([]);
});

describe('systemd-networkd', () => {
  const conf = (routes: string): string => `[Network]\nManageForeignRoutes=${routes}\n`;

  test('removes foreign routes unless it is told not to', async () => {
    runs('systemd-networkd');
    expect((await read()).networkd).toMatchObject({ keepsRoutes: false, keepsRules: false });
    expect(await codes()).toEqual(['networkd-foreign-routes']);
  });

  test('is no matter while it does not run', async () => {
    write('etc/systemd/networkd.conf', conf('yes'));
    expect(await codes()).toEqual([]);
  });

  test('that is told and started after that leaves us alone', async () => {
    install();
    runs('systemd-networkd', -60_000);
    expect((await read()).networkd).toEqual({ keepsRoutes: true, keepsRules: true, isOutdated: false });
    expect(await codes()).toEqual([]);
  });

  test('that was told after it started has not heard', async () => {
    install();
    runs('systemd-networkd', 60_000);
    expect((await read()).networkd).toMatchObject({ keepsRoutes: true, isOutdated: true });
    expect(await codes()).toEqual(['networkd-foreign-routes']);
  });

  test.each([
    ['a later name wins', 'etc/systemd/networkd.conf.d/zz.conf', 'yes', false],
    ['an earlier name does not', 'etc/systemd/networkd.conf.d/aa.conf', 'yes', true],
    ['nor the main file', 'etc/systemd/networkd.conf', 'true', true],
    ['one in /etc hides ours by its name', 'etc/systemd/networkd.conf.d/tsflannel.conf', '1', false],
    ['one in /usr is hidden by ours', 'run/systemd/networkd.conf.d/tsflannel.conf', 'off', true],
    ['other suffixes are not read', 'etc/systemd/networkd.conf.d/zz.conf.bak', 'yes', true],
  ])('reads its files as it does: %s', async (_, name, value, keepsRoutes) => {
    install();
    runs('systemd-networkd');
    write(name, conf(value));
    expect((await read()).networkd?.keepsRoutes).toBe(keepsRoutes);
  });

  test('and the sections of them', async () => {
    runs('systemd-networkd');
    write(
      'etc/systemd/networkd.conf',
      '[DHCP]\nManageForeignRoutes=no\n[Network]\n#ManageForeignRoutes=no\n',
    );
    expect((await read()).networkd?.keepsRoutes).toBe(false);
  });
});

describe('NetworkManager', () => {
  test.each([
    ['manages the device', 'true', ['network-manager-device']],
    ['leaves it alone', 'false', []],
  ])('%s', async (_, managed, problems) => {
    runs('NetworkManager');
    write('run/NetworkManager/devices/7', `[device]\nmanaged=${managed}\nnm-owned=false\n`);
    write('run/NetworkManager/devices/2', '[device]\nmanaged=true\n');
    expect(await codes()).toEqual(problems);
  });

  test('does not matter once it is stopped: its files stay', async () => {
    write('run/NetworkManager/devices/7', '[device]\nmanaged=true\n');
    expect(await codes()).toEqual([]);
  });
});

test('udev, which chose a MAC by its default policy', async () => {
  write('sys/class/net/flannel.1/address', '02:00:00:00:00:99\n');
  write('run/udev/data/n7', 'I:123\nE:ID_NET_LINK_FILE=/usr/lib/systemd/network/99-default.link\n');
  write(
    'usr/lib/systemd/network/99-default.link',
    '[Match]\nOriginalName=*\n[Link]\nMACAddressPolicy=persistent\n',
  );
  expect((await read()).devices).toEqual([
    {
      ...{ name: 'flannel.1', mac: '02:00:00:00:00:99', macPolicy: 'persistent' },
      linkFile: '/usr/lib/systemd/network/99-default.link',
    },
  ]);
  expect(await codes()).toEqual(['device-mac-changed']);
});

test('the policy of deploy/host is that udev chooses none', async () => {
  install();
  write('run/udev/data/n7', 'E:ID_NET_LINK_FILE=/usr/lib/systemd/network/50-tsflannel.link\n');
  expect((await read()).devices).toMatchObject([{ macPolicy: 'none' }]);
});

test('sysctls that somebody has set against us', async () => {
  write('proc/sys/net/ipv4/ip_forward', '0\n');
  write('proc/sys/net/ipv4/conf/flannel.1/rp_filter', '1\n');
  expect(await codes()).toEqual(['forwarding-off', 'strict-reverse-path']);
});

describe('firewalld', () => {
  beforeEach(() => {
    install();
    write('etc/firewalld/firewalld.conf', '# a comment\nDefaultZone=home\n');
    write('usr/lib/firewalld/services/ssh.xml', '<service><port protocol="tcp" port="22"/></service>');
    write('usr/lib/firewalld/zones/home.xml', zone('<service name="ssh"/>'));
    write('usr/lib/firewalld/zones/trusted.xml', '<zone target="ACCEPT"></zone>');
  });

  const zone = (content: string, attributes = ''): string =>
    `<?xml version="1.0"?>\n<zone ${attributes}>\n <short>x</short>\n${content}\n</zone>`;

  test('does not matter while it does not run', async () => {
    expect(await codes()).toEqual([]);
  });

  test.each([
    ['as it comes', zone('<service name="ssh"/>')],
    ['with our ports in a comment', zone('<!-- <service name="tsflannel"/> -->')],
    ['with some of the ports', zone('<port port="6473" protocol="tcp"/>')],
    ['with a port forward', zone('<forward-port port="6000-9000" protocol="udp" to-port="1"/>')],
  ])('%s keeps the other hosts out', async (_, text) => {
    runs('firewalld');
    write('etc/firewalld/zones/home.xml', text);
    expect(await codes()).toEqual(['host-firewall-closed']);
  });

  test.each([
    ['with our service', 'home', zone('<service name="tsflannel"/>')],
    [
      'with the ports one by one',
      'home',
      zone('<port port="6473" protocol="tcp"/><port protocol="udp" port="6000-9000"/>'),
    ],
    ['with an open default zone', 'home', zone('', 'target="ACCEPT"')],
    ['with an open zone for the interface', 'mine', zone("<interface name='eth0'/>", 'target="ACCEPT"')],
    ['with an open zone for the hosts', 'mine', zone('<source address="10.99.1.0/24"/>', 'target="ACCEPT"')],
    ['with a rule', 'home', zone('<rule family="ipv4"><service name="tsflannel"/><accept/></rule>')],
  ])('%s lets them in', async (_, name, text) => {
    runs('firewalld');
    write(`etc/firewalld/zones/${name}.xml`, text);
    expect(await codes()).toEqual([]);
  });

  test('an open zone for another interface does not', async () => {
    runs('firewalld');
    write('etc/firewalld/zones/mine.xml', zone('<interface name="eth9"/>', 'target="ACCEPT"'));
    expect(await codes()).toEqual(['host-firewall-closed']);
  });
});

describe('ufw', () => {
  /** The lines that are there from the start. */
  const BEFORE = [
    '*filter',
    '-A ufw-before-input -i lo -j ACCEPT',
    '-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    '-A ufw-before-input -p icmp --icmp-type echo-request -j ACCEPT',
    '-A ufw-before-input -p udp --sport 67 --dport 68 -j ACCEPT',
    '-A ufw-before-input -p udp -d 224.0.0.251 --dport 5353 -j ACCEPT',
    'COMMIT',
  ].join('\n');

  function on(...rules: readonly string[]): void {
    write('etc/ufw/ufw.conf', 'ENABLED=yes\nLOGLEVEL=low\n');
    write('etc/default/ufw', 'IPV6=yes\nDEFAULT_INPUT_POLICY="DROP"\nDEFAULT_OUTPUT_POLICY="ACCEPT"\n');
    write('etc/ufw/before.rules', BEFORE);
    write('etc/ufw/user.rules', rules.join('\n'));
  }

  test.each([
    ['as it comes', []],
    ['with other ports', ['-A ufw-user-input -p tcp --dport 22 -j ACCEPT']],
    ['that denies ours', ['-A ufw-user-input -p tcp -m multiport --dports 6473,8472 -j DROP']],
    ['that lets in what goes out', ['-A ufw-user-output -d 10.99.1.0/24 -j ACCEPT']],
    [
      'with ports from one place that are not all',
      ['-A ufw-user-input -p tcp --dport 6473 -s 10.99.1.0/24 -j ACCEPT'],
    ],
  ])('%s keeps the other hosts out', async (_, rules) => {
    on(...rules);
    expect(await codes()).toEqual(['host-firewall-closed']);
  });

  test.each([
    [
      'with our application',
      [
        '### tuple ### allow tcp 6473 0.0.0.0/0 any 10.99.1.0/24 tsflannel - in',
        "-A ufw-user-input -p tcp --dport 6473 -s 10.99.1.0/24 -j ACCEPT -m comment --comment 'dapp_tsflannel'",
        "-A ufw-user-input -p udp -m multiport --dports 6473,8472 -s 10.99.1.0/24 -j ACCEPT -m comment --comment 'dapp_tsflannel'",
      ],
    ],
    [
      'with ranges and a limit',
      [
        '-A ufw-user-input -p tcp -m multiport --dports 6000:7000 -j ufw-user-limit-accept',
        '-A ufw-user-input -p udp -m multiport --dports 53,6000:9000 -j ACCEPT',
      ],
    ],
    ['that trusts the network of the hosts', ['-A ufw-user-input -s 10.99.1.0/24 -j ACCEPT']],
    ['that trusts the interface', ['-A ufw-user-input -i eth0 -j ACCEPT']],
  ])('%s lets them in', async (_, rules) => {
    on(...rules);
    expect(await codes()).toEqual([]);
  });

  test('that is off, or accepts by default, lets them in', async () => {
    on();
    write('etc/default/ufw', 'DEFAULT_INPUT_POLICY="ACCEPT"\n');
    expect(await codes()).toEqual([]);
    on();
    write('etc/ufw/ufw.conf', 'ENABLED=no\n');
    expect(await codes()).toEqual([]);
  });
});

test('programs of the host do not look after another network namespace', async () => {
  for (const unit of ['systemd-networkd', 'NetworkManager', 'firewalld']) runs(unit);
  write('etc/ufw/ufw.conf', 'ENABLED=yes\n');
  write('run/NetworkManager/devices/7', '[device]\nmanaged=true\n');
  expect(await codes()).toHaveLength(4);
  rmSync(join(root, 'proc/self/ns/net'));
  link('proc/self/ns/net', 'net:[2]');
  expect(await codes()).toEqual([]);
});

test('a file larger than any of these is not read', async () => {
  runs('systemd-networkd');
  write('etc/systemd/networkd.conf', `[Network]\nManageForeignRoutes=no\n${'#'.repeat(300_000)}`);
  expect((await read()).networkd?.keepsRoutes).toBe(false);
});
