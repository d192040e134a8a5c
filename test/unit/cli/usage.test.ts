import { describe, expect, test } from 'vitest';
import { cli, failure } from './harness.ts';

describe('mistakes are exit 2, one sentence on stderr and nothing on stdout', () => {
  test.each([
    [['statsu'], "Unknown command 'statsu'.", 'Did you mean status?'],
    [['xyzzy'], "Unknown command 'xyzzy'.", 'See "tsflannel --help"'],
    [['token', 'creat'], "Unknown command 'creat'.", 'Did you mean create?'],
    [['status', '--wacth'], "Unknown option '--wacth'.", 'Did you mean --watch?'],
    [['status', 'now'], "Too many arguments for 'status'. Expected 0 arguments but got 1.", '--help'],
    [['config', 'validate'], "Missing required argument 'file'.", '--help'],
    [['init', '--port'], "Option '--port <PORT>' argument missing.", '--help'],
    [['init', '--port', '70000'], '--port must be a number from 1 to 65535, not "70000".', '--port'],
    [['init', '--iface-regex', '('], '--iface-regex must be a regular expression, not "(".', '--help'],
    [['init', '--peers', '10.0.0.1,nowhere'], '--peers: "10.0.0.1,nowhere" is not a comma list', '--help'],
    [['status', '--timeout', '61m'], '--timeout: "61m" is not a duration such as 10s, up to 1h.', '--help'],
    [['status', '--timeout', '10'], '--timeout: "10" is not a duration such as 10s, up to 1h.', '--help'],
    [
      ['status', '--wait', 'forever'],
      '--wait: "forever" is not one of lease, ready, quorum, direct.',
      '--help',
    ],
    [['status', '--wait', 'lease', '--watch'], '--wait and --watch exclude each other.', '--help'],
    [
      ['status', '--log-level', 'loud'],
      '--log-level: "loud" is not one of error, warn, info, debug.',
      '--help',
    ],
    [['token', 'create', '--role', 'king'], '--role: "king" is not one of voter, learner.', '--help'],
    [['token', 'create', '--uses', '0'], '--uses: "0" is not a number from 1 to', '--help'],
    [['token', 'create', '--ttl', '0s'], '--ttl: a token that lasts 0 s admits nobody.', '--help'],
    [['docker-opts', '--format', 'xml'], '--format: "xml" is not one of args, env, json, dropin.', '--help'],
    [['agent', '--contact', 'host-a'], '--contact: "host-a" is not an address', '--help'],
    [['join'], 'A token is missing.', 'tsflannel token create'],
    [['join', 'tsf1.x'], 'The address of a member is missing.', 'tsflannel join TOKEN ADDR'],
    [['join', 'tsf1.x', 'host-a'], '"host-a" is not an address', '--help'],
    [
      ['join', 'tsf1.x', '10.0.0.1', '--voter', '--learner'],
      '--voter and --learner exclude each other.',
      '--help',
    ],
  ])('%j', async (words, text, fix) => {
    const { code, stdout, stderr } = await cli(words);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain(`tsflannel: `);
    expect(stderr).toContain(text);
    expect(stderr).toContain(fix);
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test('with --json the failure is the document', async () => {
    for (const words of [
      ['--json', 'statsu'],
      ['statsu', '--json'],
    ]) {
      const result = await cli(words);
      expect(result.stderr).toBe('');
      expect(JSON.parse(result.stdout)).toEqual({
        error: { code: 'usage', exitCode: 2, text: "Unknown command 'statsu'.", fix: 'Did you mean status?' },
      });
    }
    expect(failure(await cli(['statsu'], { environment: { TSFLANNEL_JSON: '1' } }))['code']).toBe('usage');
  });

  test('no command: the help goes to stderr', async () => {
    const { code, stdout, stderr } = await cli([]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('Usage: tsflannel [options] [command]');
    expect(stderr).toContain('tsflannel: A command is missing.');
    expect(failure(await cli(['--json']))).toMatchObject({ code: 'usage', exitCode: 2 });
  });
});

describe('help and version', () => {
  test('--help, help and help of a command are results', async () => {
    for (const words of [['--help'], ['help']]) {
      const { code, stdout, stderr } = await cli(words);
      expect([code, stderr]).toEqual([0, '']);
      for (const name of ['init', 'join', 'agent', 'status', 'docker-opts', 'leave'])
        expect(stdout).toMatch(new RegExp(`^ +${name} `, 'm'));
      expect(stdout).toContain('TSFLANNEL_<NAME>');
    }
    const { stdout } = await cli(['help', 'join']);
    expect(stdout).toContain('Global Options:');
    expect(stdout).toContain('Usage: tsflannel join [options] TOKEN ADDR [ADDR...]');
    expect(stdout).toContain('--subnet-lease-renew-margin <MINUTES>');
    expect(stdout).not.toContain('--no-');
  });

  test('version', async () => {
    const { stdout } = await cli(['version']);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+.*\n$/);
    expect((await cli(['--version'])).stdout).toBe(stdout);
    expect(JSON.parse((await cli(['version', '--json'])).stdout)).toEqual({ version: stdout.trim() });
  });
});
