import { describe, expect, test } from 'vitest';
import { readEngineInfo, readNetworks } from '../../../src/docker/engine.ts';
import { EngineClient, engineSocket } from '../../../src/docker/engine-client.ts';
import { FakeEngine } from '../../support/fake-engine.ts';

const BRIDGE = {
  Id: 'b'.repeat(64),
  Name: 'bridge',
  Driver: 'bridge',
  IPAM: { Driver: 'default', Options: null, Config: [{ Subnet: '172.17.0.0/16', Gateway: '172.17.0.1' }] },
  EnableIPv6: false,
  Options: { 'com.docker.network.bridge.name': 'docker0' },
  Labels: null,
};
const HOST = {
  Id: 'a'.repeat(64),
  Name: 'host',
  Driver: 'host',
  IPAM: { Driver: 'default', Options: null, Config: null },
};
const COMPOSE = {
  Id: 'c'.repeat(64),
  Name: 'shop_default',
  Driver: 'bridge',
  IPAM: { Driver: 'default', Config: [{ Subnet: '172.18.0.0/16' }, { Subnet: 'fd00::/64' }] },
  EnableIPv6: true,
  Options: {},
  Labels: { 'com.docker.compose.project': 'shop' },
};

async function facts(prepare: (engine: FakeEngine) => void) {
  await using engine = await FakeEngine.start();
  prepare(engine);
  const client = await EngineClient.connect(engine.socket);
  return {
    facts: { ...(await readEngineInfo(client)), networks: await readNetworks(client) },
    requests: engine.requests.map(({ path }) => path),
  };
}

const failure = async (prepare: (engine: FakeEngine) => void): Promise<string> => {
  const error: unknown = await facts(prepare).catch((reason: unknown) => reason);
  if (!(error instanceof Error)) throw new Error('it was understood');
  return error.message;
};

describe('an engine', () => {
  test('is asked in the newest version that both know, and 20.10 has only iptables', async () => {
    const { facts: found, requests } = await facts((engine) => {
      engine.networks = [COMPOSE, HOST, BRIDGE];
      engine.containers = [
        { Id: '1', Names: ['/web', '/shop/web'], networks: [COMPOSE.Id] },
        { Id: '2', Names: ['/db'], networks: [COMPOSE.Id, BRIDGE.Id] },
      ];
    });
    expect(requests[0]).toBe('/version');
    expect(requests.slice(1).every((path) => path.startsWith('/v1.41/'))).toBe(true);
    expect(found).toMatchObject({
      version: '20.10.24+dfsg1',
      apiVersion: '1.41',
      firewallBackend: 'iptables',
      addressPools: null,
    });
    expect(
      found.networks.map(({ name, device, subnets, containers }) => ({ name, device, subnets, containers })),
    ).toEqual([
      { name: 'host', device: null, subnets: [], containers: [] },
      { name: 'bridge', device: 'docker0', subnets: ['172.17.0.0/16'], containers: ['db'] },
      {
        name: 'shop_default',
        device: 'br-cccccccccccc',
        subnets: ['172.18.0.0/16', 'fd00::/64'],
        containers: ['db', 'web'],
      },
    ]);
  });

  test.each([
    ['iptables', 'iptables'],
    ['iptables+firewalld', 'iptables'],
    ['nftables', 'nftables'],
    ['nftables+firewalld', 'nftables'],
  ])('of version 29 says its firewall backend: %s', async (driver, backend) => {
    const { facts: found, requests } = await facts((engine) => {
      engine.version = { Version: '29.1.3', ApiVersion: '1.52', MinAPIVersion: '1.44', Os: 'linux' };
      engine.info = {
        FirewallBackend: { Driver: driver, Info: [['ReloadedAt', 'today']] },
        DefaultAddressPools: [{ Base: '10.200.0.0/16', Size: 24 }],
      };
    });
    expect(requests).toContain('/v1.49/info');
    expect(found).toMatchObject({
      version: '29.1.3',
      apiVersion: '1.49',
      firewallBackend: backend,
      addressPools: ['10.200.0.0/16'],
    });
  });

  test('that has left our version behind is not guessed at', async () => {
    const text = await failure((engine) => {
      engine.version = { Version: '40.0.0', ApiVersion: '1.90', MinAPIVersion: '1.60' };
    });
    expect(text).toContain('1.60');
  });

  test.each<[string, (engine: FakeEngine) => void]>([
    ['no version', (engine) => (engine.version = {})],
    ['a version that is no text', (engine) => (engine.version = { Version: 1, ApiVersion: '1.41' })],
    ['an API of its own', (engine) => (engine.version = { Version: '9', ApiVersion: '2.0' })],
    ['a list for an object', (engine) => (engine.info = [])],
    ['a pool that is none', (engine) => (engine.info = { DefaultAddressPools: [{ Base: 'x' }] })],
    ['a network without a name', (engine) => (engine.networks = [{ ...BRIDGE, Name: undefined as never }])],
    ['a name that moves the cursor', (engine) => (engine.networks = [{ ...BRIDGE, Name: '\u001b[2J' }])],
    ['no JSON', (engine) => engine.answers.set('/networks', (response) => void response.end('<html>'))],
    ['no end', (engine) => engine.answers.set('/networks', endless)],
    ['a hang-up', (engine) => engine.answers.set('/networks', (response) => void response.destroy())],
  ])('that answers with %s is refused', async (_, prepare) => {
    expect(await failure(prepare)).toMatch(/understood|MiB|hang up|GET/);
  });

  test('is quoted when it refuses', async () => {
    const text = await failure((engine) =>
      engine.answers.set('/networks', (response) => {
        response.statusCode = 500;
        response.end(JSON.stringify({ message: 'the disk is full' }));
      }),
    );
    expect(text).toBe('the disk is full');
  });

  test('that is not there is said so', async () => {
    await expect(EngineClient.connect('/nonexistent/docker.sock')).rejects.toThrow('ENOENT');
  });
});

test('the engine is where its own clients look, as far as that is this host', () => {
  const system = { path: '/run/docker.sock', pidFile: '/run/docker.pid' };
  expect(engineSocket({})).toEqual(system);
  expect(engineSocket({ DOCKER_HOST: 'tcp://10.0.0.1:2376' })).toEqual(system);
  expect(engineSocket({ DOCKER_HOST: 'unix:///srv/d.sock' })).toEqual({ path: '/srv/d.sock', pidFile: null });
});

function endless(response: {
  write(chunk: string): boolean;
  once(event: 'drain', more: () => void): unknown;
}) {
  const chunk = '['.repeat(1 << 16);
  const more = (): void => {
    while (response.write(chunk));
    response.once('drain', more);
  };
  more();
}
