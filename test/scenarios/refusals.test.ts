/** Bad input gets one clear sentence and the exit code of the contract, and changes nothing. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Agent } from '../lab/agent.ts';
import { type Cluster, fourHosts, type Hosts, startVoters } from '../lab/cluster.ts';
import type { Host, Lab } from '../lab/lab.ts';
import { KernelWatch, listenTcp } from '../lab/probes.ts';
import { useLab } from '../lab/use-lab.ts';

/** Every file below a directory with its content, so that a refusal can be seen to have written nothing. */
function contents(directory: string): readonly string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== 'lock')
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => `${path} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`)
    .sort();
}

const text = (error: { readonly text: string; readonly fix: string }): string => `${error.text} ${error.fix}`;

/** One sentence each of what and what to do, and no stack trace. */
function expectSentences(error: { readonly text: string; readonly fix: string }): void {
  for (const sentence of [error.text, error.fix]) expect(sentence).toMatch(/^\S[^\n]*$/);
  expect(text(error)).not.toMatch(/\bat .*\.(ts|js):\d+/);
}

describe('on a host of its own', () => {
  let host: Host;
  let agent: Agent;

  useLab(async (lab: Lab) => {
    ({ a: host } = await fourHosts(lab));
    agent = new Agent(host);
  });

  /** The command is refused, the kernel is left alone and no file is written. */
  async function refused(exitCode: number, args: readonly string[]): Promise<string> {
    const before = contents(host.directory);
    const watch = await KernelWatch.start(host);
    const error = await agent.refused(args, { timeoutMs: 30_000 });
    expectSentences(error);
    expect([error.exitCode, error.text]).toEqual([exitCode, error.text]);
    expect(await watch.stop()).toEqual([]);
    expect(contents(host.directory)).toEqual(before);
    expect(existsSync(agent.subnetFile)).toBe(false);
    return text(error);
  }

  test.each([
    ['stats', /status/],
    ['int', /init/],
  ])('%s is a mistyped command: 2, with a suggestion', async (word, suggestion) => {
    expect(await refused(2, [word])).toMatch(suggestion);
  });

  test('an unknown option, a missing argument and no command at all: 2', async () => {
    await refused(2, ['init', '--no-such-option']);
    await refused(2, ['join']);
    await refused(2, []);
  });

  test.each([
    [['--network', 'fc00::/48'], 'invalid IPv4 CIDR format'],
    [['--network', '10.5.0.0/30'], 'network is too small. Minimum useful network prefix is /28'],
    [['--network', '10.5.0.0/16', '--subnet-len', '31'], 'SubnetLen must be less than /31'],
    [
      ['--network', '10.5.0.0/16', '--subnet-len', '17'],
      'network must be able to accommodate at least four subnets',
    ],
    [['--subnet-min', '10.6.0.0'], 'SubnetMin is not in the range of the Network'],
    [['--subnet-max', '10.5.7.9'], 'SubnetMax is not on a SubnetLen boundary: 10.5.7.9'],
    [['--backend', 'udp'], 'unknown backend type: udp'],
  ])('init %j is bad configuration: 2, in the words of flannel', async (args, words) => {
    expect(await refused(2, ['init', ...args])).toContain(words);
  });

  test('a configuration file that is none: 2, and it is named', async () => {
    const file = join(host.directory, 'config.json');
    writeFileSync(file, '{"Network": "10.2.0.0/16"');
    expect(await refused(2, ['init', '--config', file])).toContain(file);
    expect(await refused(2, ['init', '--config', `${file}.missing`])).toContain(`${file}.missing`);
    writeFileSync(file, '{"Network": "10.2.0.0/16", "EnableIPv6": true, "IPv6Network": "fd00:2::/48"}');
    expect(await refused(2, ['init', '--config', file])).toMatch(/eth0 has no IPv6/);
    expect((await agent.cli(['config', 'validate', file])).code).toBe(0);
    writeFileSync(file, '{}');
    const error = await agent.refused(['config', 'validate', file]);
    expect(error.exitCode).toBe(2);
    expect(error.text).toContain('please define a correct Network parameter in the flannel config');
  });

  test('an interface that does not exist: 2', async () => {
    expect(await refused(2, ['init', '--iface', 'enp9s9'])).toContain('enp9s9');
  });

  test('nobody listens at the address: 8', async () => {
    const token = await someToken();
    expect(await refused(8, ['join', token, '10.99.1.77', '--timeout', '2s'])).toContain('10.99.1.77');
    expect(await refused(8, ['join', token, host.address, '--timeout', '2s'])).toContain(host.address);
  });

  test('a token that is none: 2 or 6, without talking to anybody', async () => {
    const error = await agent.refused(['join', 'tsf1.nonsense', '10.99.1.12']);
    expectSentences(error);
    expect([2, 6]).toContain(error.exitCode);
  });

  test('commands that need an agent: 5', async () => {
    for (const command of [['status'], ['members'], ['leases'], ['routes'], ['token', 'list']])
      await refused(5, command);
  });

  test('agent on a host that was never initialised says which commands do that', async () => {
    const error = await agent.refused(['agent']);
    expectSentences(error);
    expect(text(error)).toMatch(/init/);
    expect(text(error)).toMatch(/join/);
  });

  test('the port is in use: 1', async () => {
    const other = await listenTcp(host, 6473);
    expect(await refused(1, ['init'])).toMatch(/6473/);
    await other.stop();
  });

  test('a route or address of somebody else inside the network: 7, and it is named', async () => {
    await host.ip('route add 10.5.9.0/24 dev eth0');
    expect(await refused(7, ['init'])).toContain('10.5.9.0/24');
    await host.ip('route delete 10.5.9.0/24 dev eth0');
    await host.ip('address add 10.5.8.1/24 dev eth0');
    expect(await refused(7, ['init'])).toMatch(/10\.5\.8\./);
    await host.ip('address delete 10.5.8.1/24 dev eth0');
  });

  test('a foreign flannel.1: 7, with a way out', async () => {
    await host.ip('link add flannel.1 type vxlan id 1 dstport 4789 dev eth0');
    expect(await refused(7, ['init'])).toContain('flannel.1');
    await host.ip('link delete flannel.1');
  });

  test('no root, or root without the capability: 1', async () => {
    const before = contents(agent.dataDir);
    const dropped = ['setpriv', '--bounding-set', '-net_admin', '--inh-caps', '-net_admin'];
    const init = agent.commandLine(['init', '--json']);
    const { code, stdout } = await host.tryRun([...dropped, ...init], { env: agent.env });
    expect([code, stdout]).toEqual([1, expect.stringMatching(/CAP_NET_ADMIN|root/)]);
    const user = ['setpriv', '--reuid', '65534', '--clear-groups'];
    const asUser = await host.tryRun([...user, ...init], { env: agent.env });
    expect([asUser.code, asUser.stdout]).toEqual([1, expect.stringMatching(/root/)]);
    expect(contents(agent.dataDir)).toEqual(before);
  });

  test('after all these refusals init works', async () => {
    await agent.init();
    expect(agent.subnetEnv()).toMatchObject({ FLANNEL_NETWORK: '10.5.0.0/16' });
    await agent.stop();
  });

  /** Well-formed, of no cluster at hand. */
  async function someToken(): Promise<string> {
    const digest = createHash('sha256').update('no cluster').digest();
    return `tsf1.${'0'.repeat(10)}.${digest.toString('base64url')}.${digest.toString('base64url')}`;
  }
});

describe('beside a running cluster', () => {
  let hosts: Hosts;
  let cluster: Cluster;
  let outsider: Agent;

  useLab(async (lab: Lab) => {
    hosts = await fourHosts(lab);
    cluster = await startVoters([hosts.a, hosts.b]);
    outsider = new Agent(hosts.c);
  });

  const refuses = async (agent: Agent, exitCode: number, args: readonly string[]): Promise<string> => {
    const error = await agent.refused(args, { timeoutMs: 30_000 });
    expectSentences(error);
    expect([error.exitCode, error.text]).toEqual([exitCode, error.text]);
    return text(error);
  };
  const joinIsRefused = async (
    exitCode: number,
    token: string,
    args: readonly string[] = [],
  ): Promise<string> => {
    const said = await refuses(outsider, exitCode, ['join', token, hosts.a.address, ...args]);
    expect(existsSync(outsider.subnetFile)).toBe(false);
    expect(contents(outsider.dataDir)).toEqual([]);
    return said;
  };
  const tampered = (part: number): string => {
    const parts = cluster.token.split('.');
    const old = parts[part] ?? '';
    // Not the last character, which may hold bits that mean nothing.
    parts[part] = `${old.startsWith('A') || old.startsWith('0') ? '1' : '0'}${old.slice(1)}`;
    return parts.join('.');
  };

  test('a second init on a member: 7, and the running agent is undisturbed', async () => {
    const a = cluster.agent('a');
    const before = await a.status();
    await refuses(a, 7, ['init']);
    const after = await a.status();
    expect([after.node.id, after.cluster.id, after.raft.term]).toEqual([
      before.node.id,
      before.cluster.id,
      before.raft.term,
    ]);
  });

  test('a second agent on the data directory of a running one: 7', async () => {
    await refuses(cluster.agent('a'), 7, ['agent', '--port', '7000']);
  });

  test('init that names a host which is a member: 7', async () => {
    expect(
      await refuses(outsider, 7, ['init', '--peers', `${hosts.a.address},${hosts.c.address}`]),
    ).toContain(hosts.a.address);
    expect(contents(outsider.dataDir)).toEqual([]);
  });

  test('a wrong secret: 6', async () => {
    await joinIsRefused(6, tampered(3));
  });

  test('a wrong CA digest: 6, and the secret is not sent', async () => {
    await joinIsRefused(6, tampered(2));
  });

  test('an unknown token: 6', async () => {
    await joinIsRefused(6, tampered(1));
  });

  test('a revoked, an expired and a used-up token: 6', async () => {
    const a = cluster.agent('a');
    const create = (...args: readonly string[]): Promise<{ id: string; token: string }> =>
      a.json(['token', 'create', ...args]);
    const revoked = await create();
    await a.json(['token', 'revoke', revoked.id]);
    await joinIsRefused(6, revoked.token);
    await joinIsRefused(6, (await create('--ttl', '1ms')).token);
    const once = await create('--uses', '1');
    const d = new Agent(hosts.d);
    await d.join(once.token, [hosts.a.address]);
    expect(await joinIsRefused(6, once.token)).toMatch(/used/);
  });

  test('the role of a token caps --voter: 6', async () => {
    const { token } = await cluster
      .agent('a')
      .json<{ token: string }>(['token', 'create', '--role', 'learner']);
    await joinIsRefused(6, token, ['--voter']);
  });

  test('an admin command on a learner: 6, and it names a voter', async () => {
    const learner = cluster.agent('b');
    const said = await refuses(learner, 6, ['token', 'create']);
    expect(said).toMatch(/\ba\b/);
  });

  test('a lease of somebody else: 7', async () => {
    await joinIsRefused(7, cluster.token, ['--subnet', cluster.agent('a').subnet]);
  });

  test('two members with one address: 7', async () => {
    const { b, c } = hosts;
    await cluster.agent('b').kill();
    await b.ip('link set eth0 down');
    await c.ip(`address add ${b.address}/24 dev eth0`);
    // The address is at another MAC now.
    await hosts.a.ip('neighbour flush dev eth0');
    expect(await joinIsRefused(7, cluster.token, ['--public-ip', b.address])).toContain(b.address);
    await c.ip(`address delete ${b.address}/24 dev eth0`);
    await b.ip('link set eth0 up');
    await b.ip('route add default via 10.99.1.1');
    await cluster.agent('b').agent();
  });

  test('the data directory of another cluster: 7', async () => {
    const { c } = hosts;
    await outsider.init(['--network', '10.6.0.0/16']);
    await outsider.stop();
    await refuses(outsider, 7, ['join', cluster.token, hosts.a.address]);
    const { code } = await outsider.cli(['down', '--purge', '--yes']);
    expect(code).toBe(0);
    expect(await c.ip('route show proto 139')).toBe('');
  });

  test('the last member is told how to end: leave refuses', async () => {
    const alone = outsider;
    await alone.init(['--network', '10.6.0.0/16']);
    const error = await alone.refused(['leave', '--yes']);
    expect(text(error)).toMatch(/down --purge/);
    await alone.stop();
  });

  test('a damaged stored file is named, not overwritten: 1', async () => {
    const b = cluster.agent('b');
    await b.stop();
    const identity = join(b.dataDir, 'identity.json');
    const good = readFileSync(identity);
    mkdirSync(b.dataDir, { recursive: true });
    writeFileSync(identity, good.subarray(0, good.length / 2));
    const error = await b.refused(['agent']);
    expectSentences(error);
    expect([error.exitCode, text(error)]).toEqual([1, expect.stringContaining('identity.json')]);
    writeFileSync(identity, good);
    await b.agent();
  });
});
