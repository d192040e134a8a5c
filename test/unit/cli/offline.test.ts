import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { writeAgentOptions } from '../../../src/config/agent-options.ts';
import { cli, failure } from './harness.ts';

const directory = mkdtempSync(join(tmpdir(), 'cl-offline-'));
afterAll(() => rmSync(directory, { recursive: true }));

let files = 0;
function file(text: string): string {
  const path = join(directory, `file-${++files}`);
  writeFileSync(path, text);
  return path;
}

/** No agent, nothing stored. */
const environment = {
  TSFLANNEL_DATA_DIR: join(directory, 'data'),
  TSFLANNEL_RUN_DIR: join(directory, 'run'),
};

describe('config validate', () => {
  test("prints the normalised configuration in flannel's keys", async () => {
    const path = file('{"network": "10.2.7.9/16", "SubnetLen": 24, "Backend": {"Type": "VXLAN"}}');
    const { code, stdout, stderr } = await cli(['config', 'validate', path, '--json']);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toBe(`{
  "EnableIPv4": true,
  "EnableIPv6": false,
  "EnableNFTables": false,
  "Network": "10.2.0.0/16",
  "SubnetLen": 24,
  "SubnetMin": "10.2.1.0",
  "SubnetMax": "10.2.255.0",
  "Backend": {
    "Type": "vxlan",
    "VNI": 1,
    "Port": 8472,
    "MTU": 0,
    "GBP": false,
    "Learning": false,
    "DirectRouting": false
  }
}
`);
    expect((await cli(['config', 'validate', path])).stdout).toBe(stdout);
  });

  test.each([
    ['{"Network":"10.2.0.0/16","Backend":{"Type":"udp"}}', 'unknown backend type: udp'],
    ['{}', 'please define a correct Network parameter in the flannel config'],
    ['{"Network":"10.2.0.0/16","SubnetLen":31}', 'SubnetLen must be less than /31'],
    ['{', 'the network configuration is not valid JSON'],
  ])("%s fails with exit 2 and flannel's words", async (text, words) => {
    const result = await cli(['config', 'validate', file(text), '--json']);
    expect(result.code).toBe(2);
    expect(failure(result)).toMatchObject({ code: 'invalid-config', exitCode: 2 });
    expect(failure(result)['text']).toContain(words);
  });

  test('a file that cannot be read, or has no end', async () => {
    for (const [path, reason] of [
      [join(directory, 'missing'), 'it does not exist'],
      [directory, 'EISDIR'],
      ['/dev/zero', 'longer than'],
    ] as const) {
      const result = await cli(['config', 'validate', path, '--json']);
      expect(failure(result)).toMatchObject({ code: 'unreadable-input', exitCode: 2 });
      expect(failure(result)['text']).toContain(`Cannot read ${path}: ${reason}`);
    }
  });
});

const SUBNET_ENV = `FLANNEL_NETWORK=10.2.0.0/16
FLANNEL_SUBNET=10.2.21.1/24
FLANNEL_MTU=1450
FLANNEL_IPMASQ=false
`;

describe('docker-opts', () => {
  test('args, by default', async () => {
    const { code, stdout } = await cli(['docker-opts', '--subnet-file', file(SUBNET_ENV)]);
    expect([code, stdout]).toEqual([0, '--bip=10.2.21.1/24 --mtu=1450 --ip-masq=true\n']);
  });

  test('env, as mk-docker-opts.sh writes it', async () => {
    const path = file(SUBNET_ENV.replace('false', 'true'));
    const { stdout } = await cli(['docker-opts', '--format', 'env', '--subnet-file', path]);
    expect(stdout).toBe(`DOCKER_OPT_BIP="--bip=10.2.21.1/24"
DOCKER_OPT_IPMASQ="--ip-masq=false"
DOCKER_OPT_MTU="--mtu=1450"
DOCKER_OPTS=" --bip=10.2.21.1/24 --ip-masq=false --mtu=1450"
`);
  });

  test('--json', async () => {
    const { stdout } = await cli(['docker-opts', '--json', '--subnet-file', file(SUBNET_ENV)]);
    expect(JSON.parse(stdout)).toEqual({ bip: '10.2.21.1/24', bip6: null, mtu: 1450, ipMasq: true });
  });

  test('the file is found by flag, then environment, then what is stored', async () => {
    const { mkdirSync } = await import('node:fs');
    const dataDir = join(directory, 'stored');
    mkdirSync(dataDir);
    const named = (mtu: number): string => file(SUBNET_ENV.replace('1450', String(mtu)));
    await writeAgentOptions(join(dataDir, 'agent.json'), { 'subnet-file': [named(1003)] });
    const stored = { TSFLANNEL_DATA_DIR: dataDir };
    const both = { ...stored, TSFLANNEL_SUBNET_FILE: named(1002) };
    const flag = ['--subnet-file', named(1001)];
    expect((await cli(['docker-opts', ...flag], { environment: both })).stdout).toContain('--mtu=1001');
    expect((await cli(['docker-opts'], { environment: both })).stdout).toContain('--mtu=1002');
    expect((await cli(['docker-opts'], { environment: stored })).stdout).toContain('--mtu=1003');
  });

  test.each([
    ['no file', undefined, 'does not exist'],
    ['an empty one', '', 'names no FLANNEL_SUBNET'],
    ['an empty subnet', SUBNET_ENV.replace('10.2.21.1/24', ''), 'names no FLANNEL_SUBNET'],
    ['no MTU', SUBNET_ENV.replace(/FLANNEL_MTU.*\n/, ''), 'names no FLANNEL_MTU'],
    ['a broken IPMASQ', SUBNET_ENV.replace('false', 'maybe'), 'Invalid value of FLANNEL_IPMASQ: maybe'],
  ])('%s is exit 1 and prints no option', async (_, text, reason) => {
    const path = text === undefined ? join(directory, 'missing') : file(text);
    const { code, stdout, stderr } = await cli(['docker-opts', '--subnet-file', path], { environment });
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain(reason);
  });
});

describe('status --wait without an agent', () => {
  test('lease: subnet.env is enough', async () => {
    const path = file(SUBNET_ENV);
    const words = ['status', '--wait', 'lease', '--subnet-file', path];
    const { code, stdout } = await cli(words, { environment });
    expect([code, stdout]).toEqual([0, `lease 10.2.21.0/24 (from ${path}; no agent is running)\n`]);
    expect(JSON.parse((await cli([...words, '--json'], { environment })).stdout)).toEqual({
      lease: { subnet: '10.2.21.0/24', ipv6Subnet: null, mtu: 1450, expiresAt: null },
    });
  });

  test('lease: waits for the file to appear', async () => {
    const path = join(directory, 'later');
    const waiting = cli(['status', '--wait', 'lease', '--subnet-file', path], { environment });
    writeFileSync(path, SUBNET_ENV);
    expect((await waiting).code).toBe(0);
  });

  test.each(['lease', 'ready', 'quorum', 'direct'])('%s: exit 5 when time is over', async (target) => {
    const missing = join(directory, 'missing');
    const words = ['status', '--wait', target, '--timeout', '10ms', '--subnet-file', missing];
    expect(await cli(words, { environment })).toMatchObject({ code: 5, stdout: '' });
  });
});

describe('without an agent', () => {
  test.each([
    ['status'],
    ['members'],
    ['leases'],
    ['routes'],
    ['paths'],
    ['config get'],
    ['token create'],
    ['token list'],
    ['token revoke x'],
    ['member promote x'],
    ['member demote x'],
    ['member remove x'],
    ['member transfer-leader'],
    ['leave'],
  ])('%s is exit 5 and says where it looked', async (command) => {
    const result = await cli([...command.split(' '), '--json'], { environment });
    expect(result.code).toBe(5);
    expect(failure(result)).toMatchObject({ code: 'agent-not-running', exitCode: 5 });
    expect(failure(result)['text']).toContain(join(directory, 'run', 'agent.sock'));
  });

  test('stacks are shown with --log-level debug only', async () => {
    expect((await cli(['status'], { environment })).stderr).not.toContain('    at ');
    const debug = await cli(['status', '--log-level', 'debug', '--json'], { environment });
    expect(debug.stderr).toContain('    at ');
    expect(failure(debug)['code']).toBe('agent-not-running');
  });
});
