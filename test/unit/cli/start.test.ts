import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { InitReady, Launcher, Running } from '../../../src/cli/launcher.ts';
import { formatToken } from '../../../src/cluster/token.ts';
import { EXIT, refuse, TsflannelError } from '../../../src/errors.ts';
import {
  type Calls,
  type CliOptions,
  type CliResult,
  cli,
  failure,
  fakeLauncher,
  initReady,
  newCalls,
  ready,
} from './harness.ts';

let directory: string;
let calls: Calls;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cl-start-'));
  calls = newCalls();
});
afterEach(() => rmSync(directory, { recursive: true }));

async function run(
  words: readonly string[],
  { environment = {}, ...options }: CliOptions = {},
  launcher: Partial<Launcher> = {},
): Promise<CliResult> {
  const directories = {
    TSFLANNEL_RUN_DIR: join(directory, 'run'),
    TSFLANNEL_DATA_DIR: join(directory, 'data'),
  };
  return await cli(words, {
    launcher: fakeLauncher(calls, launcher),
    environment: { ...directories, ...environment },
    ...options,
  });
}

function refused(code: string): TsflannelError {
  return new TsflannelError(
    refuse(code, EXIT.conflict, 'It is in a cluster already.', 'Use "tsflannel agent".'),
  );
}

const token = formatToken({ id: '0123456789', caDigest: 'd'.repeat(43), secret: 's'.repeat(43) });

describe('init', () => {
  test('prints the facts at a glance and the line to paste', async () => {
    expect(await run(['init'])).toEqual({
      code: 0,
      stderr: '',
      stdout: `cluster    5f0c
node       host-a (aaaaaaaa)
interface  enp0s3, address 192.168.19.120
network    10.2.0.0/16, subnets /24 from 10.2.1.0 to 10.2.255.0
backend    vxlan (VNI 1, port 8472)
lease      10.2.99.0/24, mtu 1450, previous subnet none
expires    2026-11-23T10:00:00.000Z, renewed before
written    /run/flannel/subnet.env

On every other host run

  tsflannel join tsf1.0123456789.digest.secret 192.168.19.120
`,
    });
  });

  test('--json', async () => {
    const { node, lease } = ready;
    const { token: secret, joinCommand, clusterId } = initReady;
    expect(JSON.parse((await run(['init', '--json'])).stdout)).toEqual({
      clusterId,
      token: secret,
      joinCommand,
      node,
      lease,
    });
  });

  test('the network comes from a file, flags win over it', async () => {
    const path = join(directory, 'flannel_config.json');
    writeFileSync(path, '{"Network":"10.2.0.0/16","SubnetLen":24,"Backend":{"Type":"vxlan","VNI":7}}');
    const flags = ['--network', '10.3.0.0/16', '--subnet-len', '25', '--subnet-min', '10.3.4.0'];
    await run(['init', '--config', path, ...flags]);
    expect(calls.init[0]?.network).toMatchObject({
      Network: '10.3.0.0/16',
      SubnetLen: 25,
      SubnetMin: '10.3.4.0',
      Backend: { Type: 'vxlan', VNI: 7 },
    });
  });

  test('peers are addresses with or without a port', async () => {
    await run(['init', '--peers', '192.168.19.120,192.168.19.121:7000,[fd00::1]:7001']);
    expect(calls.init[0]?.peers).toEqual([
      { ip: '192.168.19.120', port: null },
      { ip: '192.168.19.121', port: 7000 },
      { ip: 'fd00::1', port: 7001 },
    ]);
  });

  test('only what was given is handed on; flags win over the environment', async () => {
    const environment = {
      TSFLANNEL_PORT: '7000',
      TSFLANNEL_IFACE: 'eth1',
      TSFLANNEL_IP_MASQ: 'false',
      TSFLANNEL_IPTABLES_RESYNC: '',
    };
    const words = [
      '--port',
      '7001',
      '--iface-regex',
      'a',
      '--iface-regex',
      'b',
      '--iptables-forward-rules=false',
    ];
    await run(['init', '--ip-blackhole-route', ...words], { environment });
    expect(calls.init[0]?.given).toEqual({
      port: ['7001'],
      iface: ['eth1'],
      'iface-regex': ['a', 'b'],
      'ip-masq': ['false'],
      'iptables-forward-rules': ['false'],
      'ip-blackhole-route': ['true'],
    });
    expect(calls.init[0]).toMatchObject({
      dataDir: join(directory, 'data'),
      runDir: join(directory, 'run'),
      timeoutMs: 10_000,
      peers: [],
    });
  });

  test.each([
    [['--backend', 'udp'], 'unknown backend type: udp'],
    [['--network', '10.2.0.0/29'], 'network is too small'],
    [['--network', 'fd00::/48'], 'invalid IPv4 CIDR format'],
    [['--subnet-len', 'x'], '--subnet-len must be a number'],
    [
      ['--subnet-lease-renew-margin', '1440'],
      'Invalid subnet-lease-renew-margin option, out of acceptable range',
    ],
    [['--public-ip', 'fd00::1'], '--public-ip must be an IPv4 address'],
    [['--healthz-port', '-1'], '--healthz-port must be a number from 0 to 65535'],
  ])('%j is exit 2 before anything is touched', async (words, text) => {
    const { code, stdout, stderr } = await run(['init', ...words]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(text);
    expect(calls.init).toEqual([]);
    expect(existsSync(join(directory, 'data'))).toBe(false);
  });

  test('a network of both families is passed on whole', async () => {
    const path = join(directory, 'dual.json');
    writeFileSync(path, '{"Network":"10.2.0.0/16","EnableIPv6":true,"IPv6Network":"fd00::/48"}');
    expect((await run(['init', '--config', path])).code).toBe(0);
    expect(calls.init[0]?.network).toMatchObject({ Network: '10.2.0.0/16', IPv6Network: 'fd00::/48' });
  });
});

describe('join', () => {
  const there = { ip: '10.0.0.1', port: null };

  test('token and addresses', async () => {
    const { code, stdout } = await run([
      'join',
      token,
      '10.0.0.1',
      '10.0.0.2:7000',
      '--subnet',
      '10.2.5.9/24',
    ]);
    expect(code).toBe(0);
    expect(stdout).toContain('lease      10.2.99.0/24, mtu 1450');
    expect(stdout).not.toContain('tsf1.');
    expect(calls.join[0]).toMatchObject({
      token,
      contacts: [there, { ip: '10.0.0.2', port: 7000 }],
      role: null,
      subnets: ['10.2.5.0/24'],
    });
    const both = ['join', token, '10.0.0.1', '--subnet', '10.2.5.0/24,fd00:0:0:5::/64'];
    expect((await run(both)).code).toBe(0);
    expect(calls.join[1]?.subnets).toEqual(['10.2.5.0/24', 'fd00:0:0:5::/64']);
    const two = await run([...both.slice(0, -1), '10.2.5.0/24,10.2.6.0/24']);
    expect([two.code, two.stderr]).toEqual([2, expect.stringContaining('one of each family')]);
    const { node, lease } = ready;
    expect(JSON.parse((await run(['join', token, '10.0.0.1', '--json'])).stdout)).toEqual({ node, lease });
  });

  test('the token comes from standard input, a file or the environment', async () => {
    const path = join(directory, 'token');
    writeFileSync(path, `${token}\n`);
    const variable = { TSFLANNEL_TOKEN: token };
    await run(['join', '-', '10.0.0.1'], { stdin: `${token}\n` });
    await run(['join', `@${path}`, '10.0.0.1']);
    await run(['join', '10.0.0.1'], { environment: variable });
    await run(['join', '10.0.0.1'], { environment: { TSFLANNEL_TOKEN: '-' }, stdin: token });
    await run(['join', token, '10.0.0.1'], { environment: { TSFLANNEL_TOKEN: 'another' } });
    expect(calls.join).toHaveLength(5);
    for (const call of calls.join) expect(call).toMatchObject({ token, contacts: [there] });
  });

  test('--voter and --learner', async () => {
    await run(['join', token, '10.0.0.1', '--voter']);
    await run(['join', token, '10.0.0.1', '--learner']);
    expect(calls.join.map((call) => call.role)).toEqual(['voter', 'learner']);
  });

  test.each(['tsf1.0123456789', `${token}x`, 'secret'])('%s is no token: exit 6', async (text) => {
    const result = await run(['join', text, '10.0.0.1', '--json']);
    expect(result.code).toBe(6);
    expect(failure(result)).toMatchObject({ code: 'malformed-token', exitCode: 6 });
    expect(result.stdout).not.toContain(text);
    expect(calls.join).toEqual([]);
  });

  test('a token file that is not there', async () => {
    const result = await run(['join', '@/nonexistent', '10.0.0.1', '--json']);
    expect(failure(result)).toMatchObject({ code: 'unreadable-input', exitCode: 2 });
  });
});

describe('agent', () => {
  test('contacts, repeated or from the environment', async () => {
    await run(['agent', '--contact', '10.0.0.1', '--contact', '10.0.0.2:7000']);
    await run(['agent'], { environment: { TSFLANNEL_CONTACT: '10.0.0.3' } });
    expect(calls.agent.map((call) => call.contacts)).toEqual([
      [
        { ip: '10.0.0.1', port: null },
        { ip: '10.0.0.2', port: 7000 },
      ],
      [{ ip: '10.0.0.3', port: null }],
    ]);
  });
});

describe('an agent in the foreground', () => {
  test('a refused start is its exit code and prints no result', async () => {
    const init = async (): Promise<never> => {
      throw refused('already-initialised');
    };
    expect(await run(['init'], {}, { init })).toEqual({
      code: 7,
      stdout: '',
      stderr: 'tsflannel: It is in a cluster already.\nUse "tsflannel agent".\n',
    });
  });

  test('one that does not become ready is stopped before its reason is said', async () => {
    let stopped = 0;
    const init = async (): Promise<Running<InitReady>> => ({
      ready: Promise.reject(refused('peer-in-cluster')),
      stopped: new Promise(() => undefined),
      stop: async () => void stopped++,
    });
    const result = await run(['init', '--json'], {}, { init });
    expect(failure(result)['code']).toBe('peer-in-cluster');
    expect(stopped).toBe(1);
  });

  test('one that ends before it is ready gives its exit code', async () => {
    const init = async (): Promise<Running<InitReady>> => ({
      ready: new Promise(() => undefined),
      stopped: Promise.resolve(EXIT.failed),
      stop: async () => undefined,
    });
    expect(await run(['init'], {}, { init })).toMatchObject({ code: 1, stdout: '' });
  });

  test('what ends it later is said, after what was printed when it was ready', async () => {
    const init = async (): Promise<Running<InitReady>> => ({
      ready: Promise.resolve(initReady),
      stopped: Promise.resolve().then(() => {
        throw refused('disk-full');
      }),
      stop: async () => undefined,
    });
    const { code, stdout, stderr } = await run(['init', '--json'], {}, { init });
    expect([code, JSON.parse(stdout)]).toMatchObject([7, { clusterId: initReady.clusterId }]);
    expect(stderr).toContain('disk-full');
  });

  test('agent.pid is there while it runs', async () => {
    const pidFile = join(directory, 'run', 'agent.pid');
    let seen = '';
    const init = async (): Promise<Running<InitReady>> => ({
      ready: Promise.resolve(initReady),
      get stopped() {
        return new Promise<0>((resolve) => {
          setImmediate(() => {
            seen = existsSync(pidFile) ? readFileSync(pidFile, 'utf8') : '';
            resolve(0);
          });
        });
      },
      stop: async () => undefined,
    });
    expect((await run(['init'], {}, { init })).code).toBe(0);
    expect(seen).toBe(`${process.pid}\n`);
    expect(existsSync(pidFile)).toBe(false);
  });
});
