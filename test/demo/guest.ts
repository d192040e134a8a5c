/**
 * A container of the demo, by an engine or without one: an address, and a namespace that programs run in. What a user
 * would type to run one is part of it, because the demo shows what it does.
 */

import type { Agent } from '../lab/agent.ts';
import type { Lab } from '../lab/lab.ts';
import { Namespace } from '../lab/namespace.ts';
import type { Engine } from '../support/docker-engine.ts';

export interface Guest {
  /** The host's name: one container a host. */
  readonly host: string;
  readonly address: string;
  readonly engine: boolean;
  readonly namespace: Namespace;
  /** `docker exec box-a`, or `ip netns exec ...`. */
  readonly prompt: readonly string[];
}

/** A namespace that is known by a process in it and not by name. */
class ProcessNamespace extends Namespace {
  readonly #pid: number;

  constructor(name: string, pid: number) {
    super(name, `/proc/${pid}/ns/net`);
    this.#pid = pid;
  }

  override command(argv: readonly string[]): readonly string[] {
    return ['nsenter', `--target=${this.#pid}`, '--net', ...argv];
  }
}

export async function plainGuest(lab: Lab, agent: Agent): Promise<Guest> {
  const container = await agent.container(lab);
  const prompt = ['ip', 'netns', 'exec', container.netns];
  return { host: agent.host.name, address: container.address, engine: false, namespace: container, prompt };
}

export async function engineGuest(engine: Engine, host: string): Promise<Guest> {
  const name = `box-${host}`;
  const { pid, address } = await engine.runContainer(name);
  return {
    host,
    address,
    engine: true,
    namespace: new ProcessNamespace(name, pid),
    prompt: ['docker', 'exec', name],
  };
}
