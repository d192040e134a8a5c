/**
 * subnet.env as the command line finds it: where the user says, else where this host was told to write it, else the
 * default place. For what has to work without an agent.
 */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { readAgentOptions, resolveAgentOptions } from '../config/agent-options.ts';
import { TsflannelError } from '../errors.ts';
import { parseEnvFile, readSubnetFile } from '../subnet/subnet-file.ts';
import { SUBNET_FILE } from './command-flags.ts';
import type { Context } from './context.ts';

export interface SubnetVariables {
  readonly path: string;
  /** Undefined where there is no such file. */
  readonly text: string | undefined;
  readonly variables: ReadonlyMap<string, string>;
}

export async function readSubnetVariables(context: Context): Promise<SubnetVariables> {
  const path = context.given.get(SUBNET_FILE) ?? (await storedPath(context.directories.dataDir));
  const text = await readSubnetFile(path);
  return { path, text, variables: parseEnvFile(text ?? '') };
}

async function storedPath(dataDir: string): Promise<string> {
  const stored = await readAgentOptions(join(dataDir, 'agent.json')).catch(ignoreForbidden);
  const result = resolveAgentOptions({ flags: {}, stored, hostName: hostname() });
  if (!result.ok) throw new TsflannelError(result.refusal);
  return result.options.subnetFile;
}

/** Anybody may read subnet.env, only root the data directory. */
function ignoreForbidden(error: unknown): Record<never, never> {
  if (error instanceof Error && 'code' in error && error.code === 'EACCES') return {};
  throw error;
}
