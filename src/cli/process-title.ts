/**
 * What other users of this host see of us in the process list. On Linux the title takes the place of the arguments, in
 * /proc/PID/cmdline too, so the secret of a token is gone as soon as this has run.
 */

export function showInProcessList(words: readonly string[]): void {
  process.title = ['tsflannel', ...words.map(withoutSecret)].join(' ');
}

function withoutSecret(word: string): string {
  return word.replace(/tsf1\.\S*/g, 'TOKEN');
}
