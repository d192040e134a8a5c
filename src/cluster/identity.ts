/**
 * Who this node is, for life: an Ed25519 key pair in `identity.json`. The node id is derived from the public key and
 * never from an address, so that addresses, names and replica ids may change around it. Owns the file; the private key
 * leaves it for TLS and for the proof of possession in a join, and nowhere else.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../config/atomic-file.ts';
import { EXIT, refuse, TsflannelError } from '../errors.ts';
import type { NodeId } from '../subnet/lease.ts';
import { nodeIdOf } from '../subnet/member.ts';

export interface Identity {
  readonly nodeId: NodeId;
  readonly privateKey: KeyObject;
  /** SPKI, DER. */
  readonly publicKey: Buffer;
}

const FILE = 'identity.json';
const FORMAT = 1;

export function createIdentity(): Identity {
  return fromPrivateKey(generateKeyPairSync('ed25519').privateKey);
}

/** Null when there is none yet. Throws TsflannelError when the file cannot be believed. */
export async function loadIdentity(dataDir: string): Promise<Identity | null> {
  const path = join(dataDir, FILE);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw damaged(path, error);
  }
  try {
    const stored: unknown = JSON.parse(text);
    if (!isStored(stored)) throw new TypeError('unexpected content');
    return fromPrivateKey(createPrivateKey(stored.privateKey));
  } catch (error) {
    throw damaged(path, error);
  }
}

export async function saveIdentity(dataDir: string, identity: Identity): Promise<void> {
  const privateKey = identity.privateKey.export({ format: 'pem', type: 'pkcs8' });
  await writeFileAtomic(join(dataDir, FILE), `${JSON.stringify({ format: FORMAT, privateKey })}\n`, {
    mode: 0o600,
  });
}

/** Of a membership that never came to be: nobody knows this node. */
export async function removeIdentity(dataDir: string): Promise<void> {
  await rm(join(dataDir, FILE), { force: true });
}

function fromPrivateKey(privateKey: KeyObject): Identity {
  const publicKey = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  return { nodeId: nodeIdOf(publicKey.toString('base64')), privateKey, publicKey };
}

function isStored(value: unknown): value is { format: number; privateKey: string } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'format' in value &&
    value.format === FORMAT &&
    'privateKey' in value &&
    typeof value.privateKey === 'string'
  );
}

function damaged(path: string, cause: unknown): TsflannelError {
  return new TsflannelError(
    refuse(
      'identity-damaged',
      EXIT.failed,
      `The identity of this node in ${path} cannot be read.`,
      'Restore the file from a backup, or run "tsflannel down --purge" and join again.',
    ),
    { cause },
  );
}
