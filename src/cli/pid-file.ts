/**
 * agent.pid in the run directory: how an agent that does not answer is found. A number alone may be of another process
 * by now, so it counts only while that process calls itself tsflannel.
 */
import { mkdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const PID_FILE = 'agent.pid';

export async function writePidFile(runDir: string): Promise<void> {
  await mkdir(runDir, { recursive: true, mode: 0o700 });
  await writeFile(join(runDir, PID_FILE), `${process.pid}\n`);
}

/** Leaves one that another agent has written since. */
export async function removePidFile(runDir: string): Promise<void> {
  if ((await storedPid(runDir)) === process.pid) await unlink(join(runDir, PID_FILE));
}

/** Null when no agent runs that this file knows of. */
export async function agentPid(runDir: string): Promise<number | null> {
  const pid = await storedPid(runDir);
  return pid !== null && (await isAgent(pid)) ? pid : null;
}

/** False once it has ended, also while its parent has not taken notice. */
export async function isAgent(pid: number): Promise<boolean> {
  const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return commandLine.includes('tsflannel');
}

async function storedPid(runDir: string): Promise<number | null> {
  const text = await readFile(join(runDir, PID_FILE), 'utf8').catch(() => '');
  return /^[1-9]\d{0,9}\n?$/.test(text) ? Number(text) : null;
}
