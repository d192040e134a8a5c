/**
 * `/healthz` and `/readyz` over HTTP, with flannel's paths and bodies, so that what watches flanneld can watch this.
 * Healthy is whoever answers; ready is what the daemon says: firewall rules and subnet.env in place and the route table
 * synchronised once. Reads no request body and keeps no connection.
 */
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import type { Ip } from '../net/ip.ts';

/** Of a request to arrive; a probe's is one small packet. */
const RECEIVE_TIMEOUT_MS = 5_000;
const CONNECTIONS_MAX = 64;

export interface HealthServer extends AsyncDisposable {
  readonly port: number;
  /** Idempotent. */
  close(): Promise<void>;
}

export interface HealthServerOptions {
  readonly ip: Ip;
  readonly port: number;
  readonly isReady: () => boolean;
}

/** Throws TsflannelError (exit 1) when the address cannot be listened on. */
export async function serveHealth(options: HealthServerOptions): Promise<HealthServer> {
  const server = createServer(answer(options.isReady));
  server.maxConnections = CONNECTIONS_MAX;
  server.requestTimeout = RECEIVE_TIMEOUT_MS;
  server.headersTimeout = RECEIVE_TIMEOUT_MS;
  const { port } = await listen(server, options);
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => (closed ??= closeServer(server));
  return { port, close, [Symbol.asyncDispose]: close };
}

function answer(isReady: () => boolean): RequestListener {
  return (request, response) => {
    const send = (status: number, body: string): void => {
      response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' });
      response.end(body);
    };
    if (request.method !== 'GET' && request.method !== 'HEAD') return send(405, 'method not allowed');
    switch (request.url?.split('?')[0]) {
      case '/healthz':
        return send(200, 'flanneld is running');
      case '/readyz':
        return isReady() ? send(200, 'flanneld is ready') : send(503, 'flanneld is not ready yet');
      default:
        return send(404, '404 page not found');
    }
  };
}

async function listen(server: Server, { ip, port }: HealthServerOptions): Promise<AddressInfo> {
  return await new Promise((resolve, reject) => {
    server.once('error', (cause) => reject(cannotListen(ip, port, cause)));
    server.listen({ host: ip, port }, () => {
      const address = server.address();
      if (typeof address === 'object' && address !== null) resolve(address);
    });
  });
}

function cannotListen(ip: Ip, port: number, cause: NodeJS.ErrnoException): TsflannelError {
  const reason = cause.code === 'EADDRINUSE' ? 'the port is in use' : cause.message;
  return new TsflannelError(
    refuse(
      'health-port',
      EXIT.failed,
      `Cannot serve /healthz on ${ip} port ${port}: ${reason}.`,
      'Free it, or give another --healthz-ip and --healthz-port (0 switches it off).',
    ),
    { cause },
  );
}

async function closeServer(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
