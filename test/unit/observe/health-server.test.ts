import { describe, expect, test } from 'vitest';
import { TsflannelError } from '../../../src/errors.ts';
import { toIp } from '../../../src/net/ip.ts';
import { serveHealth } from '../../../src/observe/health-server.ts';

const ip = toIp('127.0.0.1');

describe('the health endpoints have the bodies of flannel', () => {
  test('before and after ready', async () => {
    let ready = false;
    await using server = await serveHealth({ ip, port: 0, isReady: () => ready });
    const get = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${server.port}${path}`);
      return [response.status, await response.text()];
    };
    expect(await get('/healthz')).toEqual([200, 'flanneld is running']);
    expect(await get('/readyz')).toEqual([503, 'flanneld is not ready yet']);
    ready = true;
    expect(await get('/readyz?verbose')).toEqual([200, 'flanneld is ready']);
    expect(await get('/metrics')).toEqual([404, '404 page not found']);
    expect(await get('/')).toEqual([404, '404 page not found']);
  });

  test('anything but reading is refused', async () => {
    await using server = await serveHealth({ ip, port: 0, isReady: () => true });
    const response = await fetch(`http://127.0.0.1:${server.port}/healthz`, { method: 'POST', body: 'x' });
    expect(response.status).toBe(405);
  });

  test('a port in use is exit 1 with the port in the sentence', async () => {
    await using first = await serveHealth({ ip, port: 0, isReady: () => true });
    const error = await serveHealth({ ip, port: first.port, isReady: () => true }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(TsflannelError);
    if (!(error instanceof TsflannelError)) return;
    expect(error.refusal).toMatchObject({ code: 'health-port', exitCode: 1 });
    expect(error.refusal.text).toContain(`port ${first.port}: the port is in use`);
  });
});
