/** Reading what the user names: files and standard input, never more than a bound, with a sentence for what fails. */
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { EXIT, refuse, TsflannelError } from '../errors.ts';

export async function readInputFile(path: string, bytesMax: number): Promise<string> {
  return (await readInputBytes(path, bytesMax)).toString('utf8');
}

export async function readInputBytes(path: string, bytesMax: number): Promise<Buffer> {
  return await readStream(createReadStream(path), path, bytesMax);
}

export async function readInput(stdin: Readable, bytesMax: number): Promise<string> {
  return (await readStream(stdin, 'standard input', bytesMax)).toString('utf8');
}

async function readStream(stream: Readable, name: string, bytesMax: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of stream) {
      const part = Buffer.from(chunk);
      bytes += part.length;
      if (bytes > bytesMax) throw new RangeError(`longer than ${bytesMax} bytes`);
      chunks.push(part);
    }
  } catch (cause) {
    throw unreadable(name, cause);
  }
  return Buffer.concat(chunks);
}

function unreadable(name: string, cause: unknown): TsflannelError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  const reason =
    code === 'ENOENT' ? 'it does not exist' : cause instanceof Error ? cause.message : String(cause);
  return new TsflannelError(
    refuse(
      'unreadable-input',
      EXIT.usage,
      `Cannot read ${name}: ${reason}.`,
      'Give a file that can be read, with its path.',
    ),
    { cause },
  );
}
