import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { type RunResult, tryRun } from './command.ts';

const prepare = fileURLToPath(new URL('../../deploy/prepare.sh', import.meta.url));
const demo = fileURLToPath(new URL('../../deploy/demo.sh', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'tsflannel-prepare-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/**
 * A machine as its scripts see it: `sbin` stands in for /usr/sbin in a mount namespace of its own, and an apt-get that
 * writes down what it was asked, and which policy for starting services it met.
 */
class Machine {
  readonly sbin = join(mkdtempSync(join(scratch, 'machine-')), 'sbin');
  readonly #log = join(this.sbin, 'apt.log');

  constructor(aptExitCode = 0) {
    mkdirSync(this.sbin);
    const script = `#!/bin/sh\necho "$@" >>${this.#log}\nsh /usr/sbin/policy-rc.d; echo "policy $?" >>${this.#log}\nexit ${aptExitCode}\n`;
    writeFileSync(join(this.sbin, 'apt-get'), script);
    chmodSync(join(this.sbin, 'apt-get'), 0o755);
  }

  get policy(): string {
    return join(this.sbin, 'policy-rc.d');
  }

  /** What apt-get was asked, one call a line. */
  get asked(): string {
    return existsSync(this.#log) ? readFileSync(this.#log, 'utf8') : '';
  }

  run(script: string): Promise<RunResult> {
    const inside = `mount --bind ${this.sbin} /usr/sbin && PATH=${this.sbin}:$PATH && . ${prepare} && ${script}`;
    return tryRun(['unshare', '--mount', 'bash', '--norc', '-c', inside]);
  }
}

describe('what demo and tests do to the machine', () => {
  test('apt may start no service while it installs, and the policy is gone afterwards', async () => {
    const machine = new Machine();
    expect((await machine.run('apt_install one two')).code).toBe(0);
    expect(machine.asked).toBe(
      'update -qq\npolicy 101\ninstall -qq --yes --no-install-recommends one two\npolicy 101\n',
    );
    expect(existsSync(machine.policy)).toBe(false);
  });

  test('a policy that was there is back afterwards, also after a failure', async () => {
    const machine = new Machine(100);
    writeFileSync(machine.policy, '#!/bin/sh\nexit 7\n');
    expect((await machine.run('apt_install one')).code).not.toBe(0);
    expect(machine.asked).toBe('update -qq\npolicy 101\n');
    expect(readFileSync(machine.policy, 'utf8')).toBe('#!/bin/sh\nexit 7\n');
  });

  test('an engine that is there is not replaced', async () => {
    const machine = new Machine();
    for (const name of ['dockerd', 'docker']) {
      writeFileSync(join(machine.sbin, name), '#!/bin/sh\n');
      chmodSync(join(machine.sbin, name), 0o755);
    }
    expect((await machine.run('need_engine')).code).toBe(0);
    expect(machine.asked).toBe('');
  });

  test('tools that are there are not installed, one that is missing is', async () => {
    const machine = new Machine();
    await machine.run('need_tools sh:dash no-such-command:its-package');
    expect(machine.asked).toContain('its-package');
    expect(machine.asked).not.toContain('dash');
    expect(machine.asked).not.toContain('iputils-ping');
  });

  test('no root, and root that may not make namespaces, are told in a sentence', async () => {
    const source = ['bash', '--norc', '-c', `. ${prepare} && need_root`];
    const user = await tryRun(['setpriv', '--reuid', '65534', '--clear-groups', ...source]);
    expect([user.code, user.stderr]).toEqual([1, expect.stringContaining('run it as root')]);
    const caps = ['--bounding-set', '-sys_admin', '--inh-caps', '-sys_admin'];
    const contained = await tryRun(['setpriv', ...caps, ...source]);
    expect([contained.code, contained.stderr]).toEqual([1, expect.stringContaining('CAP_SYS_ADMIN')]);
  });

  test('a mistyped option of the demo ends before anything is installed: 2', async () => {
    for (const words of [['--keeep'], ['--loop'], ['--loop', '0'], ['extra']]) {
      const { code, stderr } = await tryRun([demo, ...words]);
      expect([words, code, stderr]).toEqual([words, 2, expect.stringContaining('usage:')]);
    }
    expect((await tryRun([demo, '--help'])).code).toBe(0);
  });
});
