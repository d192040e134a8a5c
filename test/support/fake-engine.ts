/**
 * A Docker engine for unit tests: an HTTP server on a unix socket that answers as one of a given version would, from
 * tables that the test fills. Keeps networks like an engine; runs nothing.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface FakeNetwork {
  readonly Id: string;
  readonly Name: string;
  readonly Driver: string;
  readonly [field: string]: unknown;
}

export interface FakeContainer {
  readonly Id: string;
  readonly Names: readonly string[];
  /** Ids of networks. */
  readonly networks: readonly string[];
  readonly running?: boolean;
}

export class FakeEngine implements AsyncDisposable {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'fake-engine-'));
  readonly socket: string = join(this.directory, 'docker.sock');
  version: unknown = { Version: '20.10.24+dfsg1', ApiVersion: '1.41', MinAPIVersion: '1.12' };
  info: unknown = {};
  networks: FakeNetwork[] = [];
  containers: FakeContainer[] = [];
  /** Instead of what is above, for a path without its version. */
  readonly answers: Map<string, (response: ServerResponse) => void> = new Map();
  readonly requests: { readonly method: string; readonly path: string; readonly body: string }[] = [];
  readonly #listeners = new Set<ServerResponse>();
  readonly #server = createServer((request, response) => void this.#answer(request, response));

  static async start(): Promise<FakeEngine> {
    const engine = new FakeEngine();
    await engine.listen();
    return engine;
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.socket, resolve));
  }

  /** How many follow its events. */
  get listeners(): number {
    return this.#listeners.size;
  }

  emit(event: object): void {
    for (const listener of this.#listeners) listener.write(`${JSON.stringify(event)}\n`);
  }

  /** As an engine that ends; `listen` starts it again. */
  async stop(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
    this.#listeners.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method = '', url = '' } = request;
    this.requests.push({ method, path: url, body: Buffer.concat(chunks).toString() });
    const { pathname, searchParams } = new URL(url, 'http://docker');
    const path = pathname.replace(/^\/v1\.\d+/, '');
    const instead = this.answers.get(path);
    if (instead !== undefined) instead(response);
    else this.#route(method, path, searchParams, response);
  }

  #route(method: string, path: string, query: URLSearchParams, response: ServerResponse): void {
    const json = (status: number, document: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(document));
    };
    const body = this.requests.at(-1)?.body ?? '';
    if (path === '/version') json(200, this.version);
    else if (path === '/info') json(200, this.info);
    else if (path === '/networks') json(200, this.networks);
    else if (path === '/containers/json') json(200, this.#containers(query.get('all') === '1'));
    else if (path === '/networks/create') json(201, this.#create(JSON.parse(body)));
    else if (method === 'DELETE') json(200, this.#remove(path.split('/').at(-1)));
    else if (path === '/events') this.#listen(response);
    else json(404, { message: `page not found: ${method} ${path}` });
  }

  #containers(all: boolean): unknown {
    return this.containers
      .filter(({ running = true }) => all || running)
      .map(({ Id, Names, networks }) => ({
        Id,
        Names,
        NetworkSettings: { Networks: Object.fromEntries(networks.map((id) => [id, { NetworkID: id }])) },
      }));
  }

  #create(spec: Omit<FakeNetwork, 'Id'> & { readonly Name: string; readonly Driver: string }): unknown {
    const network = { Id: `id-of-${spec.Name}`, ...spec };
    this.networks.push(network);
    return { Id: network.Id };
  }

  #remove(id: string | undefined): unknown {
    this.networks = this.networks.filter(({ Id }) => Id !== id);
    return {};
  }

  #listen(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    this.#listeners.add(response);
    response.once('close', () => this.#listeners.delete(response));
  }
}
