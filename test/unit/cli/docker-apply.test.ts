import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { applyDropIn, applyNetwork, requireFreeOptions } from '../../../src/cli/docker-apply.ts';
import { DockerUnit } from '../../../src/docker/docker-unit.ts';
import { TsflannelError } from '../../../src/errors.ts';
import { FakeEngine } from '../../support/fake-engine.ts';

const OPTIONS = { bip: '10.5.42.1/24', bip6: null, mtu: '1450', ipMasq: true };
const UNIT = 'usr/lib/systemd/system/docker.service';

function unitOf(files: Readonly<Record<string, string>> = {}): DockerUnit {
  const root = mkdtempSync(join(tmpdir(), 'docker-apply-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return new DockerUnit(root);
}

async function engine(): Promise<{
  readonly fake: FakeEngine;
  readonly environment: { DOCKER_HOST: string };
}> {
  const fake = await FakeEngine.start();
  onTestFinished(() => fake[Symbol.asyncDispose]());
  return { fake, environment: { DOCKER_HOST: `unix://${fake.socket}` } };
}

const noEngine = { DOCKER_HOST: 'unix:///nonexistent/docker.sock' };

async function refusal(work: Promise<unknown>): Promise<TsflannelError['refusal']> {
  const error: unknown = await work.catch((reason: unknown) => reason);
  if (error instanceof TsflannelError) return error.refusal;
  throw new Error(`not refused: ${String(error)}`);
}

const bridge = (subnet: string) => ({
  ...{ Id: 'b', Name: 'bridge', Driver: 'bridge' },
  IPAM: { Config: [{ Subnet: subnet }] },
});
const changes = ({ requests }: FakeEngine) =>
  requests.filter(({ method }) => method !== 'GET').map(({ method, path }) => `${method} ${path}`);

describe('the network', () => {
  test('is made once, and made anew for a new lease', async () => {
    const { fake, environment } = await engine();
    fake.networks = [bridge('172.17.0.0/16')];
    const unit = unitOf();
    expect(await applyNetwork(OPTIONS, unit, environment)).toMatchObject({
      applied: 'network',
      changed: true,
    });
    expect(await applyNetwork(OPTIONS, unit, environment)).toMatchObject({
      applied: 'network',
      changed: false,
    });
    expect(changes(fake)).toEqual(['POST /v1.41/networks/create']);
    const moved = { ...OPTIONS, bip: '10.5.43.1/24' };
    expect(await applyNetwork(moved, unit, environment)).toMatchObject({ changed: true });
    expect(changes(fake).slice(1)).toEqual([
      'DELETE /v1.41/networks/id-of-tsflannel',
      'POST /v1.41/networks/create',
    ]);
  });

  test('stays while a container that is stopped, or was never started, names it', async () => {
    const { fake, environment } = await engine();
    await applyNetwork(OPTIONS, unitOf(), environment);
    const id = fake.networks[0]?.Id ?? '';
    fake.containers = [{ Id: '1', Names: ['/stopped'], networks: [id], running: false }];
    const moved = applyNetwork({ ...OPTIONS, bip: '10.5.43.1/24' }, unitOf(), environment);
    expect(await refusal(moved)).toMatchObject({ exitCode: 7, text: expect.stringContaining('stopped') });
    expect(changes(fake)).toHaveLength(1);
  });

  test('is nothing to do where docker0 has the lease, and refused where it has a part of it', async () => {
    const { fake, environment } = await engine();
    fake.networks = [bridge('10.5.42.0/24')];
    expect(await applyNetwork(OPTIONS, unitOf(), environment)).toMatchObject({
      applied: 'docker0',
      changed: false,
    });
    fake.networks = [bridge('10.5.0.0/16')];
    expect(await refusal(applyNetwork(OPTIONS, unitOf(), environment))).toMatchObject({ exitCode: 7 });
    expect(changes(fake)).toEqual([]);
  });

  test('is refused where a drop-in puts docker0 on the lease at the next start of Docker', async () => {
    const { fake, environment } = await engine();
    const unit = unitOf({ 'etc/systemd/system/docker.service.d/tsflannel.conf': 'x' });
    expect(await refusal(applyNetwork(OPTIONS, unit, environment))).toMatchObject({
      code: 'drop-in-waits',
      exitCode: 7,
    });
    expect(changes(fake)).toEqual([]);
  });

  test('needs an engine, and quotes one that refuses', async () => {
    expect(await refusal(applyNetwork(OPTIONS, unitOf(), noEngine))).toMatchObject({
      code: 'docker-engine',
      exitCode: 1,
      fix: expect.stringContaining('--format dropin'),
    });
    const { fake, environment } = await engine();
    fake.answers.set('/networks/create', (response) => {
      response.statusCode = 403;
      response.end('{"message":"Pool overlaps with other one on this address space"}');
    });
    expect(await refusal(applyNetwork(OPTIONS, unitOf(), environment))).toMatchObject({
      text: expect.stringContaining('Pool overlaps'),
    });
  });

  test('is not made from a file that is not understood', async () => {
    const { fake, environment } = await engine();
    for (const broken of [{ bip: '10.5.42.1' }, { mtu: 'many' }])
      expect(await refusal(applyNetwork({ ...OPTIONS, ...broken }, unitOf(), environment))).toMatchObject({
        code: 'invalid-subnet-file',
      });
    expect(changes(fake)).toEqual([]);
  });
});

describe('the drop-in', () => {
  const files = { [UNIT]: '[Service]\nExecStart=/usr/bin/dockerd -H fd://\n' };

  test('is written once, with no engine running', async () => {
    const unit = unitOf(files);
    const apply = () => applyDropIn(OPTIONS, '/run/flannel/subnet.env', unit, noEngine);
    expect(await apply()).toMatchObject({ applied: 'dropin', changed: true });
    expect(await apply()).toMatchObject({ applied: 'dropin', changed: false });
    expect(await unit.readDropIn()).toContain('ExecStart=/usr/bin/dockerd -H fd:// --bip=');
  });

  test('is refused while the network has the lease: Docker would not start', async () => {
    const { environment } = await engine();
    await applyNetwork(OPTIONS, unitOf(), environment);
    const unit = unitOf(files);
    expect(await refusal(applyDropIn(OPTIONS, '/x', unit, environment))).toMatchObject({ exitCode: 7 });
    expect(await unit.readDropIn()).toBe(undefined);
  });

  test('is refused where Docker has no unit', async () => {
    expect(await refusal(applyDropIn(OPTIONS, '/x', unitOf(), noEngine))).toMatchObject({
      code: 'no-docker-unit',
      exitCode: 1,
    });
  });
});

describe('daemon.json', () => {
  test.each([
    ['{"bip": "10.0.0.1/24", "mtu": 1400}', '"bip", "mtu"'],
    ['{"ip-masq": false}', '"ip-masq"'],
    ['{"bip"', 'not JSON'],
    ['[]', undefined],
    ['{"log-driver": "local"}', undefined],
  ])('%s', async (text, said) => {
    const checked = requireFreeOptions(unitOf({ 'etc/docker/daemon.json': text }));
    if (said === undefined) await checked;
    else expect(await refusal(checked)).toMatchObject({ exitCode: 7, text: expect.stringContaining(said) });
  });

  test('that is not there sets nothing', async () => {
    await requireFreeOptions(unitOf());
  });
});
