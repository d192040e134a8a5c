import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { dropIn as dockerDropIn } from '../../src/docker/drop-in.ts';
import { execArguments, parseUnit } from '../support/unit-file.ts';

const deploy = fileURLToPath(new URL('../../deploy/', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'tsflannel-deploy-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const service = parseUnit(readFileSync(join(deploy, 'tsflannel.service'), 'utf8'));
const dropIn = parseUnit(readFileSync(join(deploy, 'docker-tsflannel.conf'), 'utf8'));

function values(unit: typeof service, key: string): readonly string[] {
  return unit.filter((setting) => setting.key === key).map(({ value }) => value);
}

/** Runs the last Exec line of the unit with stand-ins of ours first on the PATH, which print their arguments. */
function runExecStart(
  unit: typeof service,
  env: Record<string, string>,
): { code: number | null; out: string; err: string } {
  const bin = mkdtempSync(join(scratch, 'bin-'));
  for (const name of ['dockerd', 'node']) {
    writeFileSync(join(bin, name), '#!/bin/sh\nprintf "%s\\n" "$0" "$@"\n');
    chmodSync(join(bin, name), 0o755);
  }
  mkdirSync(join(bin, 'lib'));
  writeFileSync(join(bin, 'lib', 'main.js'), '');
  chmodSync(join(bin, 'lib', 'main.js'), 0o755);
  symlinkSync(join(bin, 'lib', 'main.js'), join(bin, 'tsflannel'));
  const [file = '', ...args] = execArguments(values(unit, 'ExecStart').at(-1) ?? '');
  const { status, stdout, stderr } = spawnSync(file, args, {
    env: { PATH: `${bin}:/usr/bin:/bin`, ...env },
    encoding: 'utf8',
  });
  return { code: status, out: stdout.replaceAll(bin, ''), err: stderr };
}

/** `systemd-analyze` complains on stderr and, for some mistakes, by its exit code only. */
function verify(...units: readonly string[]): string {
  const { error, status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', ...units], {
    encoding: 'utf8',
  });
  if (error !== undefined)
    throw new Error('systemd-analyze is missing: apt-get install systemd', { cause: error });
  const complaints = `${stdout}${stderr}`
    .split('\n')
    .filter((line) => /tsflannel|docker\.service/.test(line));
  return `${status}${complaints.join('\n')}`;
}

describe('tsflannel.service', () => {
  test('is what systemd understands', () => {
    expect(verify(join(deploy, 'tsflannel.service'))).toBe('0');
    const broken = join(mkdtempSync(join(scratch, 'broken-')), 'tsflannel.service');
    writeFileSync(broken, '[Service]\nExecStart=/bin/true\nTpye=notify\n');
    expect(verify(broken)).toMatch(/Tpye/);
  });

  test('starts the installed program with V8 flags for size', () => {
    expect(runExecStart(service, {})).toEqual({
      code: 0,
      out: '/node\n--optimize-for-size\n--max-semi-space-size=2\n/lib/main.js\nagent\n',
      err: '',
    });
  });

  test('fails where tsflannel is not on the PATH', () => {
    const { code, out } = runExecStart(service, { PATH: '/usr/bin:/bin' });
    expect(code).not.toBe(0);
    expect(out).toBe('');
  });

  test('has what the contract of the agent needs', () => {
    const wanted: Record<string, string> = {
      Type: 'notify',
      Before: 'docker.service',
      After: 'network-online.target',
      Wants: 'network-online.target',
      Restart: 'always',
      RuntimeDirectory: 'tsflannel flannel',
      RuntimeDirectoryPreserve: 'yes',
      StateDirectory: 'tsflannel',
      StateDirectoryMode: '0700',
      CapabilityBoundingSet: 'CAP_NET_ADMIN CAP_NET_RAW',
      Environment: 'UV_THREADPOOL_SIZE=6',
    };
    for (const [key, value] of Object.entries(wanted))
      expect([key, ...values(service, key)]).toEqual([key, value]);
  });

  test('leaves /proc/sys/net writable, V8 its compiler and the host its network', () => {
    for (const key of ['ProtectKernelTunables', 'MemoryDenyWriteExecute', 'PrivateNetwork', 'ProtectSystem'])
      expect([key, ...values(service, key)]).toEqual(key === 'ProtectSystem' ? [key, 'full'] : [key]);
  });
});

describe('the docker drop-in', () => {
  const lease = { FLANNEL_SUBNET: '10.5.7.1/24', FLANNEL_MTU: '1450' };

  test('is what systemd understands, on top of a unit of a distribution', () => {
    const unit = [
      '[Service]\nType=notify\nEnvironmentFile=-/etc/default/docker',
      'ExecStart=/bin/true -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS\n',
    ].join('\n');
    writeFileSync(join(scratch, 'docker.service'), unit);
    mkdirSync(join(scratch, 'docker.service.d'));
    cpSync(join(deploy, 'docker-tsflannel.conf'), join(scratch, 'docker.service.d', 'tsflannel.conf'));
    expect(verify(join(scratch, 'docker.service'))).toBe('0');
  });

  test('adds bridge address and MTU and keeps the flags of the distribution', () => {
    const distribution = '-H\nfd://\n--containerd=/run/containerd/containerd.sock\n';
    const options = '--bip=10.5.7.1/24\n--mtu=1450\n';
    expect(runExecStart(dropIn, lease)).toEqual({
      code: 0,
      out: `/dockerd\n${distribution}${options}`,
      err: '',
    });
    expect(runExecStart(dropIn, { ...lease, DOCKER_OPTS: '--debug --icc=false' }).out).toBe(
      `/dockerd\n${distribution}--debug\n--icc=false\n${options}`,
    );
  });

  test.each([
    ['no subnet file', {}, 'FLANNEL_SUBNET'],
    ['an empty subnet', { ...lease, FLANNEL_SUBNET: '' }, 'FLANNEL_SUBNET'],
    ['no MTU', { FLANNEL_SUBNET: lease.FLANNEL_SUBNET }, 'FLANNEL_MTU'],
    ['an empty MTU', { ...lease, FLANNEL_MTU: '' }, 'FLANNEL_MTU'],
  ])('does not start dockerd with %s', (_, env, name) => {
    const { code, out, err } = runExecStart(dropIn, env);
    expect(code).not.toBe(0);
    expect(out).toBe('');
    expect(err).toContain(`${name}: is empty in /run/flannel/subnet.env, run tsflannel status`);
  });

  test('waits for the lease first, and is not bound to the life of the agent', () => {
    expect(values(dropIn, 'ExecStartPre')).toEqual(['/usr/bin/env tsflannel status --wait lease']);
    expect(values(dropIn, 'ExecStart')[0]).toBe('');
    expect(values(dropIn, 'EnvironmentFile')).toEqual(['-/run/flannel/subnet.env']);
    expect(values(dropIn, 'Requires')).toEqual([]);
  });
});

describe('the drop-in that docker-opts makes', () => {
  const command = '/bin/true -H fd:// $DOCKER_OPTS';
  const made = dockerDropIn(command, { subnetFile: '/run/flannel/subnet.env', ipv4: true, ipv6: true });
  const lease = { FLANNEL_SUBNET: '10.5.7.1/24', FLANNEL_MTU: '1450', FLANNEL_IPV6_SUBNET: 'fd00:7::1/64' };

  test('is what systemd understands', () => {
    const directory = mkdtempSync(join(scratch, 'made-'));
    writeFileSync(join(directory, 'docker.service'), `[Service]\nType=notify\nExecStart=${command}\n`);
    mkdirSync(join(directory, 'docker.service.d'));
    writeFileSync(join(directory, 'docker.service.d', 'tsflannel.conf'), made);
    expect(verify(join(directory, 'docker.service'))).toBe('0');
  });

  test.each([
    ['a whole lease', lease, 0],
    ['no subnet', { ...lease, FLANNEL_SUBNET: '' }, 2],
    ['no MTU', { ...lease, FLANNEL_MTU: '' }, 2],
    ['no IPv6 subnet', { ...lease, FLANNEL_IPV6_SUBNET: '' }, 2],
  ])('checks subnet.env before dockerd starts: %s', (_, env, code) => {
    const [file = '', ...args] = execArguments(values(parseUnit(made), 'ExecStartPre').at(-1) ?? '');
    const { status, stderr } = spawnSync(file, args, { env, encoding: 'utf8' });
    expect([status, stderr.includes('is not in subnet.env')]).toEqual([code, code !== 0]);
  });
});
