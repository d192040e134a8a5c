import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { DockerUnit } from '../../../src/docker/docker-unit.ts';
import { dropIn, execStart } from '../../../src/docker/drop-in.ts';

/** A root file system with these files. */
function machine(files: Readonly<Record<string, string>>): {
  readonly root: string;
  readonly unit: DockerUnit;
} {
  const root = mkdtempSync(join(tmpdir(), 'docker-unit-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return { root, unit: new DockerUnit(root) };
}

const command = async (files: Readonly<Record<string, string>>): Promise<string | undefined> =>
  execStart(await machine(files).unit.texts());

const service = (line: string): string => `[Unit]\nAfter=x\n[Service]\n${line}\n[Install]\nWantedBy=y\n`;
const VENDOR = 'usr/lib/systemd/system/docker.service';
const DROP_INS = 'etc/systemd/system/docker.service.d';

describe('the ExecStart in force', () => {
  test('is that of the unit', async () => {
    expect(await command({ [VENDOR]: service('ExecStart=/usr/bin/dockerd -H fd://') })).toBe(
      '/usr/bin/dockerd -H fd://',
    );
    expect(await command({})).toBe(undefined);
    expect(await command({ [VENDOR]: service('ExecStart=dockerd\nExecStart=') })).toBe(undefined);
  });

  test('is joined over its lines, and comments are none', async () => {
    const text = service(
      '#ExecStart=no\nExecStart=/usr/bin/dockerd \\\n# why\n  --tls \\\n  -H fd:// $OPTS\nExecStop=x',
    );
    expect((await command({ [VENDOR]: text }))?.split(/\s+/)).toEqual([
      '/usr/bin/dockerd',
      '--tls',
      '-H',
      'fd://',
      '$OPTS',
    ]);
  });

  test('is that of the administrator’s unit, and of the last drop-in by name, but never of ours', async () => {
    const files = {
      [VENDOR]: service('ExecStart=vendor'),
      'etc/systemd/system/docker.service': service('ExecStart=administrator'),
    };
    expect(await command(files)).toBe('administrator');
    const dropIns = {
      ...files,
      'usr/lib/systemd/system/docker.service.d/20-last.conf': service('ExecStart=\nExecStart=hidden'),
      [`${DROP_INS}/20-last.conf`]: service('ExecStart=\nExecStart=/opt/dockerd --tls'),
      [`${DROP_INS}/10-machine.conf`]: service('ExecStart=\nExecStart=first'),
      [`${DROP_INS}/30-other.conf`]: service('Environment=A=b'),
      [`${DROP_INS}/tsflannel.conf`]: service('ExecStart=\nExecStart=ours'),
      [`${DROP_INS}/README`]: service('ExecStart=\nExecStart=no drop-in'),
    };
    expect(await command(dropIns)).toBe('/opt/dockerd --tls');
  });
});

describe('the drop-in', () => {
  const both = { subnetFile: '/run/flannel/subnet.env', ipv4: true, ipv6: true };
  const v4 = { ...both, ipv6: false };
  const commandOf = (text: string): string | undefined => execStart([text]);

  test('keeps what was there and takes the lease from subnet.env at each start', () => {
    const text = dropIn('/usr/bin/dockerd -H fd:// --tlsverify $DOCKER_OPTS', v4);
    expect(commandOf(text)).toBe(
      `/usr/bin/dockerd -H fd:// --tlsverify $DOCKER_OPTS --bip=\${FLANNEL_SUBNET} --mtu=\${FLANNEL_MTU}`,
    );
    expect(text).toContain('\nEnvironmentFile=-/run/flannel/subnet.env\n');
    expect(text).toContain('$${FLANNEL_SUBNET:?');
    expect(text).not.toContain('IPV6');
    expect(text).toMatch(/\nExecStart=\nExecStart=/);
  });

  test('takes the place of what was written there by hand', () => {
    const byHand =
      '/usr/bin/dockerd --bip=10.2.21.1/24 --tls --mtu 1450 --icc=false --ipv6 --fixed-cidr-v6="fd00::/64" -H fd://';
    expect(commandOf(dropIn(byHand, v4))).toBe(
      `/usr/bin/dockerd --tls --icc=false -H fd:// --bip=\${FLANNEL_SUBNET} --mtu=\${FLANNEL_MTU}`,
    );
    expect(commandOf(dropIn('dockerd --mtunnel=1 --ipv6-like', v4))).toContain('--mtunnel=1 --ipv6-like ');
  });

  test('has the IPv6 side of the lease', () => {
    expect(commandOf(dropIn('dockerd', both))).toBe(
      `dockerd --bip=\${FLANNEL_SUBNET} --mtu=\${FLANNEL_MTU} --ipv6 --fixed-cidr-v6=\${FLANNEL_IPV6_SUBNET}`,
    );
    expect(commandOf(dropIn('dockerd', { ...both, ipv4: false }))).not.toContain('--bip');
  });

  test('is what deploy has for the unit of the distribution, in its effect', () => {
    const shipped = readFileSync(new URL('../../../deploy/docker-tsflannel.conf', import.meta.url), 'utf8');
    for (const line of [
      'Wants=tsflannel.service',
      'After=tsflannel.service',
      'EnvironmentFile=-/run/flannel/subnet.env',
    ])
      for (const text of [shipped, dropIn('dockerd', v4)]) expect(text).toContain(`\n${line}\n`);
  });

  test('is written where systemd reads it, for everybody to read', async () => {
    const { root, unit } = machine({ [VENDOR]: service('ExecStart=dockerd') });
    expect(await unit.readDropIn()).toBe(undefined);
    await unit.writeDropIn('text\n');
    expect(await unit.readDropIn()).toBe('text\n');
    const path = join(root, DROP_INS, 'tsflannel.conf');
    expect([unit.dropInPath, statSync(path).mode & 0o777]).toEqual([path, 0o644]);
  });
});
