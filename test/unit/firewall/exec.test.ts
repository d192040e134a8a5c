import { describe, expect, test } from 'vitest';
import { TsflannelError } from '../../../src/errors.ts';
import { exec, execWithin, output } from '../../../src/firewall/exec.ts';

async function refusalOf(promise: Promise<unknown>): Promise<unknown> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof TsflannelError ? error.refusal : error;
}

describe('running a firewall tool', () => {
  test('hands over the input and returns what was printed', async () => {
    expect(await exec(['sh', '-c', 'cat; echo to stderr >&2'], 'rules\n')).toEqual({
      code: 0,
      stdout: 'rules\n',
      stderr: 'to stderr\n',
    });
  });

  test('speaks to it in the C locale', async () => {
    expect((await exec(['sh', '-c', 'echo $LC_ALL'])).stdout).toBe('C\n');
  });

  test('gives any exit code, also when the tool does not read its input', async () => {
    const rules = 'x'.repeat(1 << 20);
    expect(await exec(['sh', '-c', 'exit 3'], rules)).toMatchObject({ code: 3 });
  });

  test('names the package of a tool that is missing', async () => {
    expect(await refusalOf(exec(['iptables-nowhere']))).toEqual({
      code: 'firewall-tool-missing',
      exitCode: 1,
      text: 'iptables-nowhere is not installed on this host.',
      fix: 'Install the package iptables.',
    });
  });

  test('ends a tool that hangs', async () => {
    expect(await refusalOf(execWithin(50)(['sleep', '60']))).toMatchObject({
      code: 'firewall-tool-failed',
      text: 'sleep was not done after 0.05 s.',
    });
  });

  test('says what a tool said that had to succeed', async () => {
    const failing = output(exec, ['sh', '-c', 'echo Permission denied. >&2; echo more >&2; exit 4']);
    expect(await refusalOf(failing)).toMatchObject({
      code: 'firewall-refused',
      exitCode: 1,
      text: expect.stringMatching(/^sh -c .* failed with exit code 4: Permission denied\.$/),
    });
  });
});
